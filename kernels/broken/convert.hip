/* The twins of convert: the plain kernel with one rule of rounding changed. A witness case must catch each. */
#include "../hip/convert_element.h"

BF_KERNEL_FN(convert_twin_clear, convert_clear_args, 32) {
    if (bf_tid_x() < CONVERT_COUNTS) a.c[bf_tid_x()] = 0;
}

#if BF_HOST
#define TWIN_HOST(SYMBOL, DEFECT)                                                                              \
    static int SYMBOL##_plan(const bf_problem *p, bf_step *s) {                                                \
        return convert_steps(p, s, BF_STEP_FN(convert_twin_clear), BF_STEP_FN(SYMBOL), convert_naive_groups(p), \
                             CONVERT_NAIVE_THREADS);                                                           \
    }                                                                                                          \
    static const bf_kernel SYMBOL##_kernel = {                                                                 \
        .op = "convert", .name = "convert_twin_" DEFECT, .file = "broken_convert", .target = BF_STEP_TARGET,   \
        .role = BF_TWIN, .twin = DEFECT, .summary = "plain kernel, broken on purpose: " DEFECT,                \
        .accepts = convert_accepts, .plan = SYMBOL##_plan,                                                     \
    };                                                                                                         \
    BF_REGISTER(SYMBOL##_kernel);
#else
#define TWIN_HOST(SYMBOL, DEFECT)
#endif
#define TWIN(SYMBOL, VALUE, DEFECT)                                                                       \
    BF_KERNEL_FN(SYMBOL, convert_args, CONVERT_NAIVE_THREADS) { convert_naive_body<VALUE>(a); }           \
    TWIN_HOST(SYMBOL, DEFECT)

TWIN(convert_twin_trunc, CONVERT_TRUNC, "trunc")
TWIN(convert_twin_half_away, CONVERT_HALF_AWAY, "half-away")
TWIN(convert_twin_flush_subnormal, CONVERT_FLUSH_SUBNORMAL, "flush-subnormal")
TWIN(convert_twin_nan_to_inf, CONVERT_NAN_TO_INF, "nan-to-inf")
