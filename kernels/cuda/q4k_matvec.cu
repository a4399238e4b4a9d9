#include "q4k_matvec_naive.h"
#include "launch.h"

enum { NAIVE_THREADS = 128 };

BF_KERNEL_FN(q4k_matvec_fp32_naive, matvec_args, NAIVE_THREADS) { matvec_fp32_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_quantise_naive, matvec_args, NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matvec_int8_naive, matvec_args, NAIVE_THREADS) { matvec_int8_body<MATVEC_SOUND>(a); }

#if BF_HOST
static int matvec_fp32_naive_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], BF_STEP_FN(q4k_matvec_fp32_naive), launch_blocks((int64_t)a.m * a.n, NAIVE_THREADS), 1,
                NAIVE_THREADS, 1, 0, a);
    return 1;
}
static int matvec_int8_naive_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], BF_STEP_FN(q4k_quantise_naive), launch_blocks((int64_t)a.n * a.k / 32, NAIVE_THREADS), 1,
                NAIVE_THREADS, 1, 0, a);
    bf_step_set(&s[1], BF_STEP_FN(q4k_matvec_int8_naive), launch_blocks((int64_t)a.m * a.n, NAIVE_THREADS), 1,
                NAIVE_THREADS, 1, 0, a);
    return 2;
}
static const bf_kernel fp32_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "fp32", .summary = "a thread an output, one chain of FMAs", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_fp32_naive_chain, .plan = matvec_fp32_naive_plan,
};
BF_REGISTER(fp32_naive);
static const bf_kernel int8_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "int8", .summary = "a thread a block of x, then a thread an output", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_int8_naive_chain, .plan = matvec_int8_naive_plan,
};
BF_REGISTER(int8_naive);
#endif
