/* Twins of norm: the plain kernel with one defect each. A witness case must catch every one. */
#include "../cpu/norm_naive.h"

#define TWIN(id, defect, constant, what)                                                                              \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {                                       \
        (void)thread;                                                                                                 \
        norm_naive_chunk(arg, begin, end, constant);                                                                  \
    }                                                                                                                 \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                                                        \
        norm_job j = norm_job_of(p);                                                                                  \
        bf_pool_run(pool, id##_chunk, &j, j.rows, 1);                                                                 \
    }                                                                                                                 \
    static const bf_kernel id = {.op = "norm", .name = "norm_twin_" defect, .file = "broken_norm", .target = BF_CPU,  \
                                 .role = BF_TWIN, .twin = defect, .summary = what, .accepts = norm_naive_accepts,     \
                                 .chain = norm_naive_chain, .run = id##_run};                                         \
    BF_REGISTER(id)

TWIN(acc_fp16, "acc-fp16", NORM_ACC_FP16, "sums in fp16");
TWIN(acc_bf16, "acc-bf16", NORM_ACC_BF16, "sums in bf16");
TWIN(x_fp16, "x-fp16", NORM_X_FP16, "values rounded to fp16");
TWIN(no_scale, "no-scale", NORM_NO_SCALE, "plain fp32 sum of squares");
TWIN(cancel, "cancel", NORM_CANCEL, "variance as E[s^2] - mean^2");
TWIN(eps_outside, "eps-outside", NORM_EPS_OUTSIDE, "eps added after the root");
TWIN(plus_one_dropped, "plus-one-dropped", NORM_PLUS_ONE_DROPPED, "w in place of 1 + w");
TWIN(tail_dropped, "tail-dropped", NORM_TAIL_DROPPED, "the last value of a row is not in the sums");
TWIN(mean_of_k_1, "mean-of-k-1", NORM_MEAN_OF_K_1, "sums divided by k - 1");
TWIN(residual_fp16, "residual-fp16", NORM_RESIDUAL_FP16, "x + r rounded to fp16");
TWIN(w_as_fp16, "w-as-fp16", NORM_W_AS_FP16, "the bits of bf16 weights read as fp16");
TWIN(scale_102, "scale-1.02", NORM_SCALE_102, "results times 1.02");
TWIN(x_bf16, "x-bf16", NORM_X_BF16, "values rounded to bf16");
TWIN(x_tf32, "x-tf32", NORM_X_TF32, "values rounded to tf32's 11 significand bits");
