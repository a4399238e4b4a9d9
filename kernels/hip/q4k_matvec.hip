#include "q4k_matvec_plain.h"

BF_KERNEL_FN(q4k_matvec_fp32_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_quantise_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matvec_int8_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_SOUND>(a); }

#if BF_HOST
static int fp32_naive_plan(const bf_problem *p, bf_step *s) {
    return matvec_plain_fp32(p, s, BF_STEP_FN(q4k_matvec_fp32_naive));
}
static const bf_kernel fp32_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "fp32", .summary = "a thread an output, one chain", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_fp32_naive_chain, .plan = fp32_naive_plan,
};
BF_REGISTER(fp32_naive);

static int int8_naive_plan(const bf_problem *p, bf_step *s) {
    return matvec_plain_int8(p, s, BF_STEP_FN(q4k_quantise_naive), BF_STEP_FN(q4k_matvec_int8_naive));
}
static const bf_kernel int8_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "int8", .summary = "a thread a block of x, then a thread an output", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_int8_naive_chain, .plan = int8_naive_plan,
};
BF_REGISTER(int8_naive);
#endif
