/* norm_twins.h: the twins of norm on both vendors: the plain kernel with one defect each. A witness case must catch every
 * one. Included by kernels/broken/norm.cu and kernels/broken/norm.hip, which are objects of their own. */
#ifndef BF_NORM_TWINS_H
#define BF_NORM_TWINS_H

#include "norm_device.h"

#if BF_HOST
#define NORM_TWIN_HOST(id, defect, text)                                                                              \
    static int id##_plan(const bf_problem *p, bf_step *s) { return norm_naive_steps(p, s, BF_STEP_FN(norm_twin_##id)); } \
    static const bf_kernel id = {                                                                                     \
        .op = "norm", .name = "norm_twin_" defect, .file = "broken_norm", .target = BF_STEP_TARGET, .role = BF_TWIN,  \
        .twin = defect, .summary = text, .accepts = norm_naive_accepts, .chain = norm_naive_chain, .plan = id##_plan, \
    };                                                                                                                \
    BF_REGISTER(id);
#else
#define NORM_TWIN_HOST(id, defect, text)
#endif
#define NORM_TWIN(id, value, defect, text)                                                     \
    BF_KERNEL_FN(norm_twin_##id, norm_args, NORM_NAIVE_THREADS) { norm_naive_body<value>(a); } \
    NORM_TWIN_HOST(id, defect, text)

NORM_TWIN(acc_fp16, NORM_ACC_FP16, "acc-fp16", "sums in fp16")
NORM_TWIN(acc_bf16, NORM_ACC_BF16, "acc-bf16", "sums in bf16")
NORM_TWIN(x_fp16, NORM_X_FP16, "x-fp16", "values rounded to fp16")
NORM_TWIN(no_scale, NORM_NO_SCALE, "no-scale", "plain fp32 sum of squares")
NORM_TWIN(cancel, NORM_CANCEL, "cancel", "variance as E[s^2] - mean^2")
NORM_TWIN(eps_outside, NORM_EPS_OUTSIDE, "eps-outside", "eps added after the root")
NORM_TWIN(plus_one_dropped, NORM_PLUS_ONE_DROPPED, "plus-one-dropped", "w in place of 1 + w")
NORM_TWIN(tail_dropped, NORM_TAIL_DROPPED, "tail-dropped", "the last value of a row is not in the sums")
NORM_TWIN(mean_of_k_1, NORM_MEAN_OF_K_1, "mean-of-k-1", "sums divided by k - 1")
NORM_TWIN(residual_fp16, NORM_RESIDUAL_FP16, "residual-fp16", "x + r rounded to fp16")
NORM_TWIN(w_as_fp16, NORM_W_AS_FP16, "w-as-fp16", "the bits of bf16 weights read as fp16")
NORM_TWIN(x_bf16, NORM_X_BF16, "x-bf16", "values rounded to bf16")
NORM_TWIN(x_tf32, NORM_X_TF32, "x-tf32", "values rounded to tf32's 11 significand bits")
NORM_TWIN(scale_102, NORM_SCALE_102, "scale-1.02", "results times 1.02")

#endif
