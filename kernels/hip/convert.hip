#include "convert_element.h"

BF_KERNEL_FN(convert_clear, convert_clear_args, 32) {
    if (bf_tid_x() < CONVERT_COUNTS) a.c[bf_tid_x()] = 0;
}
BF_KERNEL_FN(convert_naive, convert_args, CONVERT_NAIVE_THREADS) { convert_naive_body<CONVERT_SOUND>(a); }

#if BF_HOST
static int convert_naive_plan(const bf_problem *p, bf_step *s) {
    return convert_steps(p, s, BF_STEP_FN(convert_clear), BF_STEP_FN(convert_naive), convert_naive_groups(p),
                         CONVERT_NAIVE_THREADS);
}
static const bf_kernel naive = {
    .op = "convert", .name = "convert_naive", .file = "convert", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, types read at run time", .rank = 0, .accepts = convert_accepts,
    .plan = convert_naive_plan,
};
BF_REGISTER(naive);
#endif
