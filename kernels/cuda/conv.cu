/* conv for sm_61 (contract: kernels/common/conv.h).
 *
 * conv_naive   a thread an output, one chain over channels and taps. The plain version; also what every other is
 *              measured against.
 *
 * Only this one: blackframe check --kernel 'conv_*' --backend simt-cuda */
#include "../common/conv_device.h"

BF_KERNEL_FN(conv_naive, conv_args, CONV_NAIVE_THREADS) { conv_naive_body<CONV_SOUND>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return conv_naive_steps(p, s, BF_STEP_FN(conv_naive)); }
static const bf_kernel naive = {
    .op = "conv", .name = "conv_naive", .file = "conv", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an output, one chain", .rank = 0, .accepts = conv_naive_accepts, .chain = conv_plain_chain,
    .plan = naive_plan,
};
BF_REGISTER(naive);
#endif
