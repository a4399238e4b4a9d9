#include "convert_naive.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 256, NAIVE_BLOCKS = 4096;

struct convert_zero_args {
    uint64_t *c;
};
BF_KERNEL_FN(convert_zero, convert_zero_args, 32) {
    if (bf_tid_x() < CONVERT_COUNTS) a.c[bf_tid_x()] = 0;
}
BF_KERNEL_FN(convert_naive, convert_args, NAIVE_THREADS) { convert_naive_body<CONVERT_SOUND>(a); }

#if BF_HOST
static int convert_naive_plan(const bf_problem *p, bf_step *s) {
    convert_args a = convert_make_args(p);
    int steps = 0;
    if (a.c) bf_step_set(&s[steps++], BF_STEP_FN(convert_zero), 1, 1, 32, 1, 0, {a.c});
    bf_step_set(&s[steps++], BF_STEP_FN(convert_naive), launch_blocks(a.n, NAIVE_THREADS, NAIVE_BLOCKS), 1,
                NAIVE_THREADS, 1, 0, a);
    return steps;
}
static const bf_kernel naive = {
    .op = "convert", .name = "convert_naive", .file = "convert", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, types read at run time", .rank = 0, .accepts = convert_accepts,
    .plan = convert_naive_plan,
};
BF_REGISTER(naive);
#endif
