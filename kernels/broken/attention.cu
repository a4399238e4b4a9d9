/* Twins of attention: the plain kernel with one defect each. A witness case must catch every one. */
#include "../common/attention_gpu_naive.h"

#if BF_HOST
#define TWIN_HOST(SYMBOL, DEFECT, WHAT)                                                                                  \
    static int SYMBOL##_plan(const bf_problem *p, bf_step *s) { return attention_naive_plan(p, s, BF_STEP_FN(SYMBOL)); } \
    static const bf_kernel SYMBOL##_kernel = {                                                                           \
        .op = "attention", .name = "attention_twin_" DEFECT, .file = "broken_attention", .target = BF_STEP_TARGET,       \
        .role = BF_TWIN, .twin = DEFECT, .summary = WHAT, .accepts = attention_accepts, .chain = attention_naive_chain,  \
        .plan = SYMBOL##_plan,                                                                                           \
    };                                                                                                                   \
    BF_REGISTER(SYMBOL##_kernel);
#else
#define TWIN_HOST(SYMBOL, DEFECT, WHAT)
#endif
#define TWIN(SYMBOL, VALUE, DEFECT, WHAT)                                                                        \
    BF_KERNEL_FN(SYMBOL, attention_args, 32 * ATTENTION_NAIVE_WARPS) { attention_naive_body<VALUE>(a); }         \
    TWIN_HOST(SYMBOL, DEFECT, WHAT)

TWIN(attention_twin_scores_fp16, ATTENTION_SCORES_FP16, "scores-fp16", "scores held in fp16")
TWIN(attention_twin_p_fp16, ATTENTION_P_FP16, "p-fp16", "probabilities rounded to fp16")
TWIN(attention_twin_p_bf16, ATTENTION_P_BF16, "p-bf16", "probabilities rounded to bf16")
TWIN(attention_twin_v_acc_fp16, ATTENTION_V_ACC_FP16, "v-acc-fp16", "P.V accumulated in fp16")
TWIN(attention_twin_k_fp16, ATTENTION_K_FP16, "k-fp16", "K rounded to fp16")
TWIN(attention_twin_v_bf16, ATTENTION_V_BF16, "v-bf16", "V rounded to bf16")
TWIN(attention_twin_no_max, ATTENTION_NO_MAX, "no-max", "the maximum is not subtracted")
TWIN(attention_twin_drop_key, ATTENTION_DROP_KEY, "drop-key", "the last key of the range is skipped")
TWIN(attention_twin_causal_off_by_one, ATTENTION_CAUSAL_OFF_BY_ONE, "causal-off-by-one", "the key behind the query takes part")
TWIN(attention_twin_mask_leak, ATTENTION_MASK_LEAK, "mask-leak", "0 * NaN of an excluded key is added")
TWIN(attention_twin_sink_dropped, ATTENTION_SINK_DROPPED, "sink-dropped", "the sink takes no part")
TWIN(attention_twin_lse_wrong, ATTENTION_LSE_WRONG, "lse-wrong", "lse without the maximum")
TWIN(attention_twin_scale_102, ATTENTION_SCALE_102, "scale-1.02", "o times 1.02")
TWIN(attention_twin_k_bf16, ATTENTION_K_BF16, "k-bf16", "K rounded to bf16")
TWIN(attention_twin_k_tf32, ATTENTION_K_TF32, "k-tf32", "K rounded to tf32's 11 significand bits")
TWIN(attention_twin_v_fp16, ATTENTION_V_FP16, "v-fp16", "V rounded to fp16")
TWIN(attention_twin_v_tf32, ATTENTION_V_TF32, "v-tf32", "V rounded to tf32's 11 significand bits")
TWIN(attention_twin_p_tf32, ATTENTION_P_TF32, "p-tf32", "probabilities rounded to tf32's 11 significand bits")
TWIN(attention_twin_v_acc_bf16, ATTENTION_V_ACC_BF16, "v-acc-bf16", "P.V accumulated in bf16")
