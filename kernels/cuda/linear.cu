/* linear for sm_61 (contract: kernels/common/linear.h). */
#include "../common/linear_device.h"

BF_KERNEL_FN(linear_naive, linear_args, LINEAR_NAIVE_THREADS) { linear_naive_body<LINEAR_SOUND>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return linear_naive_plan(p, s, BF_STEP_FN(linear_naive)); }
static const bf_kernel naive = {
    .op = "linear", .name = "linear_naive", .file = "linear", .target = BF_STEP_TARGET, .role = BF_NAIVE, .path = "fp32",
    .summary = "a thread an output, one chain of FMAs", .rank = 0, .accepts = linear_accepts, .chain = linear_naive_chain,
    .plan = naive_plan,
};
BF_REGISTER(naive);
#endif
