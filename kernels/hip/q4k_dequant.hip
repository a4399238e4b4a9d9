#include "q4k_dequant_plain.h"

BF_KERNEL_FN(q4k_dequant_naive, dequant_args, DEQUANT_NAIVE_THREADS) { dequant_naive_body<DEQUANT_SOUND>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return dequant_plain_step(p, s, BF_STEP_FN(q4k_dequant_naive)); }
static const bf_kernel naive = {
    .op = "q4k_dequant", .name = "q4k_dequant_naive", .file = "q4k_dequant", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .summary = "a thread a weight", .rank = 0, .accepts = dequant_accepts, .plan = naive_plan,
};
BF_REGISTER(naive);
#endif
