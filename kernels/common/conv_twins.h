/* conv_twins.h: the twins of conv on both vendors: the plain kernel with one defect each. A witness case must catch every
 * one. Included by kernels/broken/conv.cu and kernels/broken/conv.hip, which are objects of their own. */
#ifndef BF_CONV_TWINS_H
#define BF_CONV_TWINS_H

#include "conv_device.h"

#if BF_HOST
#define CONV_TWIN_HOST(id, defect, text)                                                                              \
    static int id##_plan(const bf_problem *p, bf_step *s) { return conv_naive_steps(p, s, BF_STEP_FN(conv_twin_##id)); } \
    static const bf_kernel id = {                                                                                     \
        .op = "conv", .name = "conv_twin_" defect, .file = "broken_conv", .target = BF_STEP_TARGET, .role = BF_TWIN,  \
        .twin = defect, .summary = text, .accepts = conv_naive_accepts, .chain = conv_plain_chain, .plan = id##_plan, \
    };                                                                                                                \
    BF_REGISTER(id);
#else
#define CONV_TWIN_HOST(id, defect, text)
#endif
#define CONV_TWIN(id, value, defect, text)                                                            \
    BF_KERNEL_FN(conv_twin_##id, conv_args, CONV_NAIVE_THREADS) { conv_naive_body<value>(a); } \
    CONV_TWIN_HOST(id, defect, text)

CONV_TWIN(acc_fp16, CONV_ACC_FP16, "acc-fp16", "every partial sum rounded to fp16")
CONV_TWIN(x_fp16, CONV_X_FP16, "x-fp16", "x rounded to fp16")
CONV_TWIN(w_as_fp16, CONV_W_AS_FP16, "w-as-fp16", "the bits of bf16 weights read as fp16")
CONV_TWIN(pad_off, CONV_PAD_OFF, "pad-off-by-one", "one more of padding on the left")
CONV_TWIN(no_dilation, CONV_NO_DILATION, "dilation-ignored", "taps side by side whatever the dilation")
CONV_TWIN(group_wrong, CONV_GROUP_WRONG, "group-wrong", "channels of the neighbouring group")
CONV_TWIN(tap_dropped, CONV_TAP_DROPPED, "tap-dropped", "the middle tap skipped")
CONV_TWIN(phase_wrong, CONV_PHASE_WRONG, "stride-phase", "transposed: every element lands one output too early")
CONV_TWIN(bias_fp16, CONV_BIAS_FP16, "bias-fp16", "bias rounded to fp16")
CONV_TWIN(acc_bf16, CONV_ACC_BF16, "acc-bf16", "every partial sum rounded to bf16")
CONV_TWIN(x_bf16, CONV_X_BF16, "x-bf16", "x rounded to bf16")
CONV_TWIN(x_tf32, CONV_X_TF32, "x-tf32", "x rounded to tf32's 11 significand bits")
CONV_TWIN(scale_102, CONV_SCALE_102, "scale-1.02", "sums times 1.02")

#endif
