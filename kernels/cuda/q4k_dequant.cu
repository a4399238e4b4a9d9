#include "q4k_dequant_naive.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 256, NAIVE_BLOCKS = 4096;

BF_KERNEL_FN(q4k_dequant_naive, dequant_args, NAIVE_THREADS) { dequant_body<DEQUANT_SOUND>(a); }

#if BF_HOST
static int dequant_naive_plan(const bf_problem *p, bf_step *s) {
    dequant_args a = dequant_make_args(p);
    bf_step_set(&s[0], BF_STEP_FN(q4k_dequant_naive), launch_blocks(a.n, NAIVE_THREADS, NAIVE_BLOCKS), 1, NAIVE_THREADS,
                1, 0, a);
    return 1;
}
static const bf_kernel naive = {
    .op = "q4k_dequant", .name = "q4k_dequant_naive", .file = "q4k_dequant", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .summary = "a thread a weight", .rank = 0, .accepts = dequant_accepts,
    .plan = dequant_naive_plan,
};
BF_REGISTER(naive);
#endif
