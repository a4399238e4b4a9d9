/* Twins of conv: the plain kernel with one defect each. A witness case must catch every one. */
#include "../cpu/conv_naive.h"

#define TWIN(id, defect, constant, what)                                                                             \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {                                      \
        (void)thread;                                                                                                \
        conv_naive_chunk(arg, begin, end, constant);                                                                 \
    }                                                                                                                \
    static void id##_run(const bf_problem *p, bf_pool *pool) { conv_naive_run(p, pool, id##_chunk); }                \
    static const bf_kernel id = {.op = "conv", .name = "conv_twin_" defect, .file = "broken_conv", .target = BF_CPU, \
                                 .role = BF_TWIN, .twin = defect, .summary = what, .accepts = conv_accepts,          \
                                 .chain = conv_plain_chain, .run = id##_run};                                        \
    BF_REGISTER(id)

TWIN(acc_fp16, "acc-fp16", CONV_ACC_FP16, "every partial sum rounded to fp16");
TWIN(x_fp16, "x-fp16", CONV_X_FP16, "x rounded to fp16");
TWIN(w_as_fp16, "w-as-fp16", CONV_W_AS_FP16, "the bits of bf16 weights read as fp16");
TWIN(pad_off, "pad-off-by-one", CONV_PAD_OFF, "one more of padding on the left");
TWIN(no_dilation, "dilation-ignored", CONV_NO_DILATION, "taps side by side whatever the dilation");
TWIN(group_wrong, "group-wrong", CONV_GROUP_WRONG, "channels of the neighbouring group");
TWIN(tap_dropped, "tap-dropped", CONV_TAP_DROPPED, "the middle tap skipped");
TWIN(phase_wrong, "stride-phase", CONV_PHASE_WRONG, "transposed: every element lands one output too early");
TWIN(bias_fp16, "bias-fp16", CONV_BIAS_FP16, "bias rounded to fp16");
TWIN(scale_102, "scale-1.02", CONV_SCALE_102, "sums times 1.02");
TWIN(acc_bf16, "acc-bf16", CONV_ACC_BF16, "every partial sum rounded to bf16");
TWIN(x_bf16, "x-bf16", CONV_X_BF16, "x rounded to bf16");
TWIN(x_tf32, "x-tf32", CONV_X_TF32, "x rounded to tf32's 11 significand bits");
