/* norm for RDNA 3.5 (gfx1151) (contract: kernels/common/norm.h).
 *
 * norm_naive   a thread a row, one chain a sum. The plain version; also what every other is measured against.
 *
 * Only this one: blackframe check --kernel 'norm_*' --backend simt-hip */
#include "../common/norm_device.h"

BF_KERNEL_FN(norm_naive, norm_args, NORM_NAIVE_THREADS) { norm_naive_body<NORM_SOUND>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return norm_naive_steps(p, s, BF_STEP_FN(norm_naive)); }
static const bf_kernel naive = {
    .op = "norm", .name = "norm_naive", .file = "norm", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread a row, one chain a sum", .rank = 0, .accepts = norm_naive_accepts, .chain = norm_naive_chain,
    .plan = naive_plan,
};
BF_REGISTER(naive);
#endif
