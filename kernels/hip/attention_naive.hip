/* attention for gfx1151, the plain version (contract: kernels/common/attention.h): a wave a row, two passes over the keys, the
 * scores computed in both. Lanes take keys for the scores and columns for P.V. Everything fp32, one chain of additions a
 * column. Only there to be right: K is read by single elements, a row a lane.
 *
 * Compiled, run under simt, not run on a GPU. Only this one: blackframe check attention --kernel attention_naive */
#include "../common/attention_gpu_naive.h"

BF_KERNEL_FN(attention_naive, attention_args, 32 * ATTENTION_NAIVE_WARPS) { attention_naive_body<ATTENTION_SOUND>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return attention_naive_plan(p, s, BF_STEP_FN(attention_naive)); }
static const bf_kernel naive = {
    .op = "attention", .name = "attention_naive", .file = "attention_naive", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a wave a row, two passes", .rank = 0, .accepts = attention_accepts, .chain = attention_naive_chain,
    .plan = naive_plan,
};
BF_REGISTER(naive);
#endif
