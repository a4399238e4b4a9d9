/* Twins of attention: the plain kernel with one defect each. A witness case must catch every one. */
#include "../cpu/attention_naive.h"

#define TWIN(id, constant, text, what)                                                                               \
    static void id##_rows(void *arg, int64_t begin, int64_t end, int thread) {                                       \
        (void)thread;                                                                                                \
        attention_naive_rows(arg, begin, end, constant);                                                             \
    }                                                                                                                \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                                                       \
        attention_job j = attention_job_of(p);                                                                       \
        bf_pool_run(pool, id##_rows, &j, j.heads * j.queries, 1);                                                    \
    }                                                                                                                \
    static const bf_kernel id = {.op = "attention", .name = "attention_twin_" text, .file = "broken_attention",      \
                                 .target = BF_CPU, .role = BF_TWIN, .twin = text, .summary = what,                   \
                                 .accepts = attention_accepts, .chain = attention_naive_chain, .run = id##_run};     \
    BF_REGISTER(id)

TWIN(scores_fp16, ATTENTION_SCORES_FP16, "scores-fp16", "scores held in fp16");
TWIN(p_fp16, ATTENTION_P_FP16, "p-fp16", "probabilities rounded to fp16");
TWIN(p_bf16, ATTENTION_P_BF16, "p-bf16", "probabilities rounded to bf16");
TWIN(v_acc_fp16, ATTENTION_V_ACC_FP16, "v-acc-fp16", "P.V accumulated in fp16");
TWIN(k_fp16, ATTENTION_K_FP16, "k-fp16", "K rounded to fp16");
TWIN(v_bf16, ATTENTION_V_BF16, "v-bf16", "V rounded to bf16");
TWIN(no_max, ATTENTION_NO_MAX, "no-max", "the maximum is not subtracted");
TWIN(drop_key, ATTENTION_DROP_KEY, "drop-key", "the last key of the range is skipped");
TWIN(causal_off_by_one, ATTENTION_CAUSAL_OFF_BY_ONE, "causal-off-by-one", "the key behind the query takes part");
TWIN(mask_leak, ATTENTION_MASK_LEAK, "mask-leak", "0 * NaN of an excluded key is added");
TWIN(sink_dropped, ATTENTION_SINK_DROPPED, "sink-dropped", "the sink takes no part");
TWIN(lse_wrong, ATTENTION_LSE_WRONG, "lse-wrong", "lse without the maximum");
TWIN(scale_102, ATTENTION_SCALE_102, "scale-1.02", "o times 1.02");
TWIN(k_bf16, ATTENTION_K_BF16, "k-bf16", "K rounded to bf16");
TWIN(k_tf32, ATTENTION_K_TF32, "k-tf32", "K rounded to tf32's 11 significand bits");
TWIN(v_fp16, ATTENTION_V_FP16, "v-fp16", "V rounded to fp16");
TWIN(v_tf32, ATTENTION_V_TF32, "v-tf32", "V rounded to tf32's 11 significand bits");
TWIN(p_tf32, ATTENTION_P_TF32, "p-tf32", "probabilities rounded to tf32's 11 significand bits");
TWIN(v_acc_bf16, ATTENTION_V_ACC_BF16, "v-acc-bf16", "P.V accumulated in bf16");
