/* Twins of convert: the plain kernel with one defect each. A witness case must catch every one of them. */
#include "../cuda/convert_naive.h"
#include "../cuda/launch.h"

constexpr int THREADS = 256;

struct convert_zero_args {
    uint64_t *c;
};
BF_KERNEL_FN(convert_twin_zero, convert_zero_args, 32) {
    if (bf_tid_x() < CONVERT_COUNTS) a.c[bf_tid_x()] = 0;
}
BF_KERNEL_FN(convert_twin_trunc, convert_args, THREADS) { convert_naive_body<CONVERT_TRUNC>(a); }
BF_KERNEL_FN(convert_twin_half_away, convert_args, THREADS) { convert_naive_body<CONVERT_HALF_AWAY>(a); }
BF_KERNEL_FN(convert_twin_flush_subnormal, convert_args, THREADS) { convert_naive_body<CONVERT_FLUSH>(a); }
BF_KERNEL_FN(convert_twin_nan_to_inf, convert_args, THREADS) { convert_naive_body<CONVERT_NAN_TO_INF>(a); }

#if BF_HOST
constexpr int BLOCKS = 4096;

static int plan(const bf_problem *p, bf_step *s, bf_step_fn<convert_args> fn) {
    convert_args a = convert_make_args(p);
    int steps = 0;
    if (a.c) bf_step_set(&s[steps++], BF_STEP_FN(convert_twin_zero), 1, 1, 32, 1, 0, {a.c});
    bf_step_set(&s[steps++], fn, launch_blocks(a.n, THREADS, BLOCKS), 1, THREADS, 1, 0, a);
    return steps;
}
static constexpr bf_kernel twin(const char *name, const char *defect, const char *summary,
                      int (*planned)(const bf_problem *, bf_step *)) {
    return {.op = "convert", .name = name, .file = "broken_convert", .target = BF_STEP_TARGET, .role = BF_TWIN,
            .twin = defect, .summary = summary, .accepts = convert_accepts, .plan = planned};
}
#define PLAN(symbol) [](const bf_problem *p, bf_step *s) { return plan(p, s, BF_STEP_FN(symbol)); }

static constexpr bf_kernel trunc = twin("convert_twin_trunc", "trunc", "truncates where it should round",
                                    PLAN(convert_twin_trunc));
BF_REGISTER(trunc);
static constexpr bf_kernel half_away = twin("convert_twin_half-away", "half-away", "ties go away from zero",
                                        PLAN(convert_twin_half_away));
BF_REGISTER(half_away);
static constexpr bf_kernel flush = twin("convert_twin_flush-subnormal", "flush-subnormal",
                                    "subnormal inputs and results become zero", PLAN(convert_twin_flush_subnormal));
BF_REGISTER(flush);
static constexpr bf_kernel nan_to_inf = twin("convert_twin_nan-to-inf", "nan-to-inf",
                                         "a NaN with only low payload bits becomes an infinity",
                                         PLAN(convert_twin_nan_to_inf));
BF_REGISTER(nan_to_inf);
#endif
