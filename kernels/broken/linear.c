/* Twins of linear: the plain kernel with one defect each. A witness case must catch every one. */
#include "../cpu/linear_naive.h"

#define TWIN(id, value, defect, text)                                                                         \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {                               \
        (void)thread;                                                                                         \
        linear_naive_chunk(arg, begin, end, value);                                                           \
    }                                                                                                         \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                                                \
        linear_job j = linear_job_of(p);                                                                      \
        bf_pool_run(pool, id##_chunk, &j, j.m * j.n, 4);                                                      \
    }                                                                                                         \
    static const bf_kernel id = {.op = "linear", .name = "linear_twin_" defect, .file = "broken_linear",       \
                                 .target = BF_CPU, .role = BF_TWIN, .path = "fp32", .twin = defect,            \
                                 .summary = text, .accepts = linear_accepts, .chain = linear_naive_chain,     \
                                 .run = id##_run};                                                            \
    BF_REGISTER(id)

TWIN(acc_fp16, LINEAR_ACC_FP16, "acc-fp16", "every partial sum rounded to fp16");
TWIN(acc_bf16, LINEAR_ACC_BF16, "acc-bf16", "every partial sum rounded to bf16");
TWIN(x_fp16, LINEAR_X_FP16, "x-fp16", "x rounded to fp16");
TWIN(x_bf16, LINEAR_X_BF16, "x-bf16", "x rounded to bf16");
TWIN(x_tf32, LINEAR_X_TF32, "x-tf32", "x rounded to tf32's 11 significand bits");
TWIN(w_as_fp16, LINEAR_W_AS_FP16, "w-as-fp16", "the bits of bf16 weights read as fp16");
TWIN(w_as_bf16, LINEAR_W_AS_BF16, "w-as-bf16", "the bits of fp16 weights read as bf16");
TWIN(w_f16_overflow, LINEAR_W_F16_OVERFLOW, "w-f16-overflow", "weights converted to fp16 first: beyond 65,504 infinity");
TWIN(drop_k_tail, LINEAR_DROP_K_TAIL, "drop-k-tail", "the last k mod 8 products left out");
TWIN(bias_dropped, LINEAR_BIAS_DROPPED, "bias-dropped", "no bias added");
TWIN(bias_fp16, LINEAR_BIAS_FP16, "bias-fp16", "the bias rounded to fp16");
TWIN(y_trunc, LINEAR_Y_TRUNC, "y-trunc", "y of 16 bits cut off instead of rounded");
TWIN(scale_102, LINEAR_SCALE_102, "scale-1.02", "the product times 1.02");
TWIN(partial_fp16, LINEAR_PARTIAL_FP16, "partial-fp16", "sums of 32 products stored in fp16");
