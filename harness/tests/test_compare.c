/* The checker must not be fooled: every way in which a comparison has let a wrong result pass, tried on it. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "../compare.h"

static bf_verdict v;
static const bf_case plain = {0};

static bf_tensor tensor(bf_dtype type, void *data) {
    return (bf_tensor){.name = "y", .role = BF_OUTPUT, .type = type, .data = data};
}

/* The status after comparing one fp32 value. */
static bf_status one(float got, bf_want w) {
    bf_tensor t = tensor(BF_F32, &got);
    bf_verdict_begin(&v);
    bf_verdict_bounded(&v, &t, 0, w);
    bf_verdict_end(&v, &plain);
    return v.status;
}
static bf_want near(double value, double bound) {
    return (bf_want){.value = value, .bound = bound, .allow = BF_ALLOW_FINITE};
}

Test(compare, a_hundredth_above_the_bound_fails_and_below_passes) {
    double bound = 0x1p-10;
    cr_assert_eq(one((float)(1 + bound * 0.99), near(1, bound)), BF_PASS);
    cr_assert_float_eq(v.worst, 0.99, 1e-3);
    cr_assert_eq(one((float)(1 + bound * 1.01), near(1, bound)), BF_FAIL);
    cr_assert_float_eq(v.worst, 1.01, 1e-3);
    cr_assert_eq(one((float)(1 - bound * 1.01), near(1, bound)), BF_FAIL);
}

Test(compare, nan_output_fails) {
    cr_assert_eq(one(NAN, near(1, 1e30)), BF_FAIL);
    cr_assert_str_eq(v.first[0].why, "NaN, want finite");
    cr_assert_eq(v.nan, 1);
}

Test(compare, nan_reference_or_bound_accepts_nothing) {
    cr_assert_eq(one(1, near(NAN, 1)), BF_FAIL);
    cr_assert_eq(one(NAN, near(NAN, 1)), BF_FAIL);
    cr_assert_eq(one(1, near(1.5, NAN)), BF_FAIL);
    cr_assert(isnan(v.worst));
    cr_assert_eq(one(1, near(INFINITY, 1)), BF_FAIL);
}

Test(compare, infinity_on_both_sides_is_no_agreement_of_finite_values) {
    cr_assert_eq(one(INFINITY, near(INFINITY, 1)), BF_FAIL);
    cr_assert_eq(one(INFINITY, near(FLT_MAX, 1e300)), BF_FAIL);
    bf_want inf = {.value = INFINITY, .bound = 0, .allow = BF_ALLOW_INF};
    cr_assert_eq(one(INFINITY, inf), BF_PASS);
    cr_assert_eq(one(-INFINITY, inf), BF_FAIL);
    cr_assert_str_eq(v.first[0].why, "infinity of the wrong sign");
    cr_assert_eq(one(NAN, inf), BF_FAIL);
    cr_assert_eq(one(FLT_MAX, inf), BF_FAIL);
}

/* An overflow that is allowed has the sign of what overflowed, where that is certain. */
Test(compare, an_allowed_overflow_has_the_right_sign) {
    bf_want w = {.value = 65515, .bound = 10, .allow = BF_ALLOW_FINITE | BF_ALLOW_INF};
    cr_assert_eq(one(INFINITY, w), BF_PASS);
    cr_assert_eq(one(-INFINITY, w), BF_FAIL);
    cr_assert_str_eq(v.first[0].why, "infinity of the wrong sign");
    w.value = -65515;
    cr_assert_eq(one(-INFINITY, w), BF_PASS);
    cr_assert_eq(one(INFINITY, w), BF_FAIL);
    w.bound = 65516; /* the sum may have either sign */
    cr_assert_eq(one(INFINITY, w), BF_PASS);
    w.bound = 10, w.infinity = 1; /* what overflowed on the way was positive */
    cr_assert_eq(one(INFINITY, w), BF_PASS);
    cr_assert_eq(one(-INFINITY, w), BF_FAIL);
    w.infinity = NAN;
    cr_assert_eq(one(INFINITY, w), BF_PASS);
    cr_assert_eq(one(-INFINITY, w), BF_PASS);
    w.allow |= BF_ALLOW_NAN, w.infinity = 1; /* anything goes */
    cr_assert_eq(one(-INFINITY, w), BF_PASS);
}

Test(compare, finite_where_nan_is_wanted_fails) {
    bf_want any = {.value = NAN, .bound = NAN, .allow = BF_ALLOW_INF | BF_ALLOW_NAN};
    cr_assert_eq(one(0, any), BF_FAIL);
    cr_assert_eq(one(NAN, any), BF_PASS);
    cr_assert_eq(one(-INFINITY, any), BF_PASS);
}

/* What is said about a value is what is the matter with it. */
Test(compare, a_mismatch_is_named) {
    static const struct { float got; int allow; const char *why; } list[] = {
        {NAN, BF_ALLOW_FINITE, "NaN, want finite"}, {NAN, BF_ALLOW_INF, "NaN, want infinity"},
        {INFINITY, BF_ALLOW_FINITE, "infinity, want finite"}, {-INFINITY, BF_ALLOW_FINITE | BF_ALLOW_NAN, "infinity, want finite"},
        {INFINITY, BF_ALLOW_NAN, "infinity, want NaN"}, {1, BF_ALLOW_NAN, "finite, want NaN"}, {1, BF_ALLOW_INF, "finite, want infinity"},
        {1, BF_ALLOW_INF | BF_ALLOW_NAN, "finite, want NaN or infinity"}, {2, BF_ALLOW_FINITE, "error above bound"}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        cr_assert_eq(one(list[i].got, (bf_want){.value = 1, .bound = 0.5, .allow = list[i].allow}), BF_FAIL);
        cr_assert_str_eq(v.first[0].why, list[i].why);
        cr_assert_eq(v.first[0].bound, 0.5);
        cr_assert(v.nan == (isnan(list[i].got) != 0) && v.inf == (isinf(list[i].got) != 0) && v.zero == 0 && v.outputs == 1);
    }
}

Test(compare, bound_zero_means_exact) {
    cr_assert_eq(one(3, near(3, 0)), BF_PASS);
    cr_assert_eq(v.worst, 0);
    cr_assert_eq(one(nextafterf(3, 4), near(3, 0)), BF_FAIL);
    cr_assert_str_eq(v.first[0].why, "not exact");
    cr_assert(isinf(v.worst));
}

Test(compare, the_last_element_counts) {
    float y[1000];
    bf_tensor t = tensor(BF_F32, y);
    for (int i = 0; i < 1000; i++) y[i] = 1;
    y[999] = 2;
    bf_verdict_begin(&v);
    for (int i = 0; i < 1000; i++) bf_verdict_bounded(&v, &t, i, near(1, 1e-6));
    bf_verdict_end(&v, &plain);
    cr_assert_eq(v.status, BF_FAIL);
    cr_assert_eq(v.mismatched, 1);
    cr_assert_eq(v.first[0].index, 999);
    cr_assert_eq(v.first[0].got_bits, 0x40000000);
    cr_assert_eq(v.first[0].want_bits, 0x3f800000);
}

/* All outputs zero, references so small that zero is within the bound: agreement that proves nothing. */
Test(compare, zeros_are_mistrusted) {
    float y[100] = {0};
    bf_tensor t = tensor(BF_F32, y);
    bf_case expecting = {.expect = "zeros"};
    for (int expects = 0; expects < 2; expects++) {
        bf_verdict_begin(&v);
        for (int i = 0; i < 100; i++) bf_verdict_bounded(&v, &t, i, near(1e-10, 1e-6));
        bf_verdict_end(&v, expects ? &expecting : &plain);
        cr_assert_eq(v.status, expects ? BF_PASS : BF_MISTRUSTED);
        cr_assert_eq(v.zero, 100);
    }
    bf_verdict_begin(&v); /* what an op judged by itself does not dilute them */
    for (int i = 0; i < 100; i++) bf_verdict_bounded(&v, &t, i, near(1e-10, 1e-6));
    v.outputs += 3400;
    bf_verdict_end(&v, &plain);
    cr_assert_eq(v.status, BF_MISTRUSTED);
    bf_verdict_begin(&v); /* one half and no more is believed */
    for (int i = 0; i < 50; i++) bf_verdict_bounded(&v, &t, i, near(1e-10, 1e-6));
    for (int i = 0; i < 50; i++) y[50 + i] = 1e-10f, bf_verdict_bounded(&v, &t, 50 + i, near(1e-10, 1e-6));
    bf_verdict_end(&v, &plain);
    cr_assert_eq(v.status, BF_PASS);
}

Test(compare, nothing_looked_at_fails) {
    bf_verdict_begin(&v);
    bf_verdict_end(&v, &plain);
    cr_assert_eq(v.status, BF_FAIL);
}

Test(compare, exact_tells_zeros_and_nans_apart) {
    uint16_t y[4] = {0x8000, 0x7e00, 0x7e01, 0x3c00};
    bf_tensor t = tensor(BF_F16, y);
    bf_verdict_begin(&v);
    bf_verdict_exact(&v, &t, 0, 0x0000, 0); /* -0 for +0 */
    cr_assert_eq(v.mismatched, 1);
    bf_verdict_exact(&v, &t, 1, 0x7e00, 0);
    cr_assert_eq(v.mismatched, 1);
    bf_verdict_exact(&v, &t, 2, 0x7e00, 0); /* another payload */
    cr_assert_eq(v.mismatched, 2);
    bf_verdict_exact(&v, &t, 2, 0x7e00, 1); /* any NaN will do */
    cr_assert_eq(v.mismatched, 2);
    bf_verdict_exact(&v, &t, 3, 0x3c00, 1); /* a number where any NaN is wanted */
    cr_assert_eq(v.mismatched, 3);
    bf_verdict_end(&v, &plain);
    cr_assert_eq(v.status, BF_FAIL);
}

Test(compare, integers_keep_their_sign) {
    int8_t q[2] = {-127, -1};
    int32_t s[1] = {-4064};
    uint64_t c[1] = {UINT64_C(1) << 40};
    bf_tensor tq = tensor(BF_I8, q), ts = tensor(BF_I32, s), tc = tensor(BF_U64, c);
    cr_assert_eq(bf_element_value(&tq, 0), -127);
    cr_assert_eq(bf_element_value(&tq, 1), -1);
    cr_assert_eq(bf_element_value(&ts, 0), -4064);
    cr_assert_eq(bf_element_value(&tc, 0), 0x1p40);
}

Test(compare, only_the_first_mismatches_are_kept_but_all_are_counted) {
    float y[100];
    bf_tensor t = tensor(BF_F32, y);
    bf_verdict_begin(&v);
    for (int i = 0; i < 100; i++) y[i] = 5, bf_verdict_bounded(&v, &t, i, near(1, 1e-3));
    cr_assert_eq(v.mismatched, 100);
    cr_assert_eq(v.count, BF_MISMATCHES);
    cr_assert_eq(v.first[BF_MISMATCHES - 1].index, BF_MISMATCHES - 1);
}
