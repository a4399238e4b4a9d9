/* The judges of the ops, shown results of a plain kernel in double and what can be wrong with them. */
#include <criterion/criterion.h>
#include <float.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/convert.h"
#include "../../kernels/common/q4k_matvec.h"
#include "../../kernels/common/stream.h"
#include "../../reference/number.h"
#include "../../reference/q4k_matvec.h"
#include "../case.h"
#include "../compare.h"
#include "../expected.h"
#include "../ops/ops.h"

static bf_case_list cases;
static bf_case *c;
static bf_tensor t[BF_MAX_TENSORS];
static bf_expected *expected;
static bf_verdict v;
static bf_error err;

static int64_t short_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 32 + 2; }
static const bf_kernel fp32 = {
    .op = "q4k_matvec", .name = "test", .target = BF_CPU, .path = "fp32", .chain = short_chain};
static const bf_kernel int8 = {
    .op = "q4k_matvec", .name = "test", .target = BF_CPU, .path = "int8", .chain = short_chain};
static const bf_kernel plain = {.name = "test", .target = BF_CPU};

static int64_t elements(const bf_tensor *x) {
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++) n *= x->dim[i];
    return n;
}

static void begin(const char *line, const char *path) {
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", err.text);
    c = &cases.item[cases.count - 1];
    cr_assert_eq(c->op->tensors(&c->problem, path, t, &err), 0, "%s", err.text);
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (t[i].role != BF_UNUSED) t[i].data = calloc(1, t[i].bytes + 1);
    cr_assert_eq(c->op->fill(c, t, &err), 0, "%s", err.text);
    expected = c->op->expect(c, t, &err);
    cr_assert(expected, "%s", err.text);
}

static void end(void) {
    c->op->release(expected);
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(t[i].data);
    memset(t, 0, sizeof t);
    bf_case_list_free(&cases);
}

static bf_status judge(const bf_kernel *k) {
    c->op->judge(c, k, t, expected, &v);
    return v.status;
}

static float *y_of(int slot) { return t[slot].data; }

/* The reference, rounded to fp32: as right as a result can be. */
static bf_dump fill_y(const bf_kernel *k, int slot) {
    bf_dump d;
    cr_assert_eq(bf_op_dump(c, k, t, expected, slot, &d, &err), 0, "%s", err.text);
    for (int64_t i = 0; i < d.count; i++) y_of(slot)[i] = (float)d.ref[i];
    return d;
}

static void release(bf_dump d) { free(d.ref), free(d.bound); }

/* A quantiser by the contract, in float. */
static void quantise(void) {
    int64_t blocks = elements(&t[Q4K_MATVEC_XD]);
    for (int64_t b = 0; b < blocks; b++) {
        double amax = 0;
        int sum = 0, bad = 0;
        for (int i = 0; i < 32; i++) {
            double x = bf_element_value(&t[Q4K_MATVEC_X], b * 32 + i);
            bad |= !isfinite(x), amax = fmax(amax, fabs(x));
        }
        float d = bad ? NAN : amax < 0x1p-100 ? 0 : (float)amax / 127;
        for (int i = 0; i < 32; i++) {
            float x = (float)bf_element_value(&t[Q4K_MATVEC_X], b * 32 + i);
            int q = d > 0 ? (int)rintf(x / d) : 0;
            ((int8_t *)t[Q4K_MATVEC_XQ].data)[b * 32 + i] = (int8_t)q;
            sum += q;
        }
        y_of(Q4K_MATVEC_XD)[b] = d;
        ((int32_t *)t[Q4K_MATVEC_XS].data)[b] = sum;
    }
}

/* ---- q4k_matvec, fp32 path ---- */

Test(ops, matvec_right_passes_and_each_wrong_result_fails) {
    begin("q4k_matvec m=40 k=512 n=2 fill=gauss", "fp32");
    bf_dump d = fill_y(&fp32, Q4K_MATVEC_Y);
    float *y = y_of(Q4K_MATVEC_Y);
    cr_assert_eq(judge(&fp32), BF_PASS, "%s", v.note);
    cr_assert_eq(v.outputs, 80);
    cr_assert_lt(v.worst, 0.1);
    cr_assert(v.worst_prob >= v.worst);
    cr_assert(isnan(v.total_error));

    y[79] += (float)(1.01 * d.bound[79]) + FLT_EPSILON * fabsf(y[79]);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    cr_assert_eq(v.first[0].index, 79);
    y[79] = (float)(d.ref[79] + 0.98 * d.bound[79]);
    cr_assert_eq(judge(&fp32), BF_PASS);
    y[79] = NAN;
    cr_assert_eq(judge(&fp32), BF_FAIL);
    y[79] = INFINITY;
    cr_assert_eq(judge(&fp32), BF_FAIL);
    y[79] = (float)d.ref[79];

    for (int i = 0; i < 40; i++) y[i] = (float)d.ref[40 + i], y[40 + i] = (float)d.ref[i]; /* columns swapped */
    cr_assert_eq(judge(&fp32), BF_FAIL);
    for (int i = 0; i < 80; i++) y[i] = 0;
    cr_assert_eq(judge(&fp32), BF_FAIL);
    for (int i = 0; i < 80; i++) y[i] = (float)(1.02 * d.ref[i]);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    release(d);
    end();
}

/* What the declared chain does: the bound follows it, up to the cap, and few non-zeros undercut it. */
static int64_t declared;
static int64_t declare(const bf_problem *p) {
    (void)p;
    return declared;
}
static double bound_over(int64_t chain, const char *path) {
    bf_kernel k = {.path = path, .chain = declare};
    bf_dump d;
    declared = chain;
    if (!strcmp(path, "int8")) quantise();
    cr_assert_eq(bf_op_dump(c, &k, t, expected, Q4K_MATVEC_Y, &d, &err), 0);
    double b = d.bound[0];
    release(d);
    return b;
}

Test(ops, matvec_bound_follows_the_chain_and_its_cap) {
    begin("q4k_matvec m=4 k=1024 fill=gauss", NULL);
    double base = bound_over(13, "fp32");
    cr_assert_float_eq(bound_over(29, "fp32") / base, 2, 1e-3); /* (29 + 3) / (13 + 3) */
    cr_assert_eq(bound_over(1 << 20, "fp32"), bound_over(1024 + 8, "fp32"));
    cr_assert_eq(bound_over(1 << 20, "int8"), bound_over(1024 / 16 + 16, "int8"));
    cr_assert_eq(bound_over(-1, "fp32"), bound_over(1024 + 8, "fp32"));
    end();
    begin("q4k_matvec m=4 k=1024 fill=onehot", NULL);
    cr_assert_eq(bound_over(1000, "fp32"), bound_over(2, "fp32"));
    cr_assert_lt(bound_over(1, "fp32"), bound_over(2, "fp32"));
    end();
}

/* Few non-zeros: an operand rounded to fp16 is far outside. Counting real errors in units of the bound. */
Test(ops, sparse_witness_sees_a_rounded_operand) {
    begin("q4k_matvec m=8 k=512 fill=sparse witness=x-fp16", "fp32");
    bf_dump d = fill_y(&fp32, Q4K_MATVEC_Y);
    cr_assert_eq(judge(&fp32), BF_PASS);
    for (int i = 0; i < 8; i++) y_of(Q4K_MATVEC_Y)[i] = (float)bf_ref_decode(BF_F16, bf_ref_encode(BF_F16, d.ref[i]));
    cr_assert_eq(judge(&fp32), BF_FAIL);
    release(d);
    end();
}

/* Witness cases are judged by the probabilistic bound: an error between the two passes only without the witness. */
Test(ops, witness_uses_the_probabilistic_bound) {
    static const char *const lines[] = {"q4k_matvec m=4 k=4096 fill=gauss",
                                        "q4k_matvec m=4 k=4096 fill=gauss witness=w"};
    bf_kernel k = {.path = "fp32"}; /* no chain declared: K + 8 */
    double error = 0;
    for (int w = 0; w < 2; w++) {
        begin(lines[w], "fp32");
        bf_dump d = fill_y(&k, Q4K_MATVEC_Y);
        cr_assert_eq(judge(&k), BF_PASS);
        if (!w) error = 0.5 * d.bound[0];
        y_of(Q4K_MATVEC_Y)[0] = (float)(d.ref[0] + error);
        cr_assert_eq(judge(&k), w ? BF_FAIL : BF_PASS);
        cr_assert_gt(v.worst_prob, 1);
        release(d);
        end();
    }
}

/* Not so where data is structured: rounding errors of equal addends have one sign. */
Test(ops, structured_witness_uses_the_worst_case) {
    double bound[2];
    for (int w = 0; w < 2; w++) {
        begin(w ? "q4k_matvec m=4 k=4096 fill=swamp witness=w" : "q4k_matvec m=4 k=4096 fill=swamp", "fp32");
        bf_dump d = fill_y(&fp32, Q4K_MATVEC_Y);
        bound[w] = d.bound[0];
        release(d);
        end();
    }
    cr_assert_eq(bound[0], bound[1]);
}

Test(ops, matvec_integers_are_exact) {
    begin("q4k_matvec m=16 k=2048 n=2 fill=integer", "fp32");
    bf_dump d = fill_y(&fp32, Q4K_MATVEC_Y);
    for (int64_t i = 0; i < d.count; i++) cr_assert_eq(d.bound[i], 0);
    cr_assert_eq(judge(&fp32), BF_PASS);
    cr_assert_eq(v.worst, 0);
    y_of(Q4K_MATVEC_Y)[31] = nextafterf(y_of(Q4K_MATVEC_Y)[31], INFINITY);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    release(d);
    end();
}

Test(ops, matvec_class_follows_the_policy) {
    begin("q4k_matvec m=16 k=512 n=2 fill=edge seed=1", "fp32");
    bf_dump d = fill_y(&fp32, Q4K_MATVEC_Y);
    int bad = 0, good = -1;
    for (int64_t i = 0; i < d.count; i++) {
        if (isnan(d.bound[i]))
            y_of(Q4K_MATVEC_Y)[i] = i % 2 ? NAN : -INFINITY, bad++;
        else if (isfinite(d.bound[i]))
            good = (int)i;
        else
            y_of(Q4K_MATVEC_Y)[i] = NAN; /* the sum may leave fp32 */
    }
    cr_assert(bad >= 16 && bad < 32, "%d", bad);
    cr_assert_geq(good, 0, "edge without one ordinary output checks nothing");
    cr_assert_eq(judge(&fp32), BF_PASS, "%s", v.note);
    y_of(Q4K_MATVEC_Y)[good] = NAN;
    cr_assert_eq(judge(&fp32), BF_FAIL);
    y_of(Q4K_MATVEC_Y)[good] = (float)d.ref[good];
    for (int64_t i = 0; i < d.count; i++)
        if (isnan(d.bound[i])) {
            y_of(Q4K_MATVEC_Y)[i] = 0;
            break;
        }
    cr_assert_eq(judge(&fp32), BF_FAIL);
    release(d);
    end();
}

/* ---- int8 path ---- */

Test(ops, int8_right_passes_and_reports_the_total_error) {
    begin("q4k_matvec m=40 k=512 n=2 fill=outlier", "int8");
    quantise();
    release(fill_y(&int8, Q4K_MATVEC_Y));
    cr_assert_eq(judge(&int8), BF_PASS, "%s", v.note);
    cr_assert(v.total_error > 1e-6 && v.total_error < 2e-2, "%g", v.total_error);
    end();
}

static void spoil_q(void) { ((int8_t *)t[Q4K_MATVEC_XQ].data)[100] ^= 1; }
static void spoil_d(void) { y_of(Q4K_MATVEC_XD)[3] = nextafterf(nextafterf(y_of(Q4K_MATVEC_XD)[3], 9), 9); }
static void spoil_s(void) { ((int32_t *)t[Q4K_MATVEC_XS].data)[5] += 1; }
static void truncate_q(void) {
    for (int64_t i = 0; i < elements(&t[Q4K_MATVEC_XQ]); i++)
        ((int8_t *)t[Q4K_MATVEC_XQ].data)[i] =
            (int8_t)(bf_element_value(&t[Q4K_MATVEC_X], i) / y_of(Q4K_MATVEC_XD)[i / 32]);
    for (int64_t b = 0; b < elements(&t[Q4K_MATVEC_XS]); b++) {
        int32_t sum = 0;
        for (int i = 0; i < 32; i++) sum += ((int8_t *)t[Q4K_MATVEC_XQ].data)[b * 32 + i];
        ((int32_t *)t[Q4K_MATVEC_XS].data)[b] = sum;
    }
}

/* Each spoilt quantiser fails by (a) although y is right for the spoilt values. */
Test(ops, int8_quantiser_is_judged_by_itself) {
    static void (*const spoil[])(void) = {spoil_q, spoil_d, spoil_s, truncate_q};
    for (int i = 0; i < 4; i++) {
        begin("q4k_matvec m=8 k=512 fill=gauss", "int8");
        quantise();
        spoil[i]();
        release(fill_y(&int8, Q4K_MATVEC_Y));
        cr_expect_eq(judge(&int8), BF_FAIL, "%d", i);
        cr_expect(strstr(v.note, "(a)") && !strstr(v.note, "(b)"), "%d: %s", i, v.note);
        end();
    }
}

/* A tie goes either way: x exactly half-way between two multiples of d. */
Test(ops, int8_ties_go_either_way) {
    for (int up = 0; up < 2; up++) {
        begin("q4k_matvec m=4 k=256 fill=constant seed=0", "int8");
        float *x = t[Q4K_MATVEC_X].data;
        x[0] = 127, x[1] = 2.5f;
        c->op->release(expected);
        expected = c->op->expect(c, t, &err);
        quantise();
        ((int8_t *)t[Q4K_MATVEC_XQ].data)[1] = (int8_t)(2 + up);
        int32_t sum = 0;
        for (int i = 0; i < 32; i++) sum += ((int8_t *)t[Q4K_MATVEC_XQ].data)[i];
        ((int32_t *)t[Q4K_MATVEC_XS].data)[0] = sum;
        release(fill_y(&int8, Q4K_MATVEC_Y));
        cr_assert_eq(judge(&int8), BF_PASS, "%s %s", v.note, v.first[0].why);
        end();
    }
}

/* One of 16 blocks left out: far inside the error of quantisation, far outside of (b). */
Test(ops, int8_product_is_judged_on_its_own_values) {
    begin("q4k_matvec m=8 k=512 fill=gauss", "int8");
    quantise();
    float d0 = y_of(Q4K_MATVEC_XD)[0];
    y_of(Q4K_MATVEC_XD)[0] = 0;
    release(fill_y(&int8, Q4K_MATVEC_Y));
    y_of(Q4K_MATVEC_XD)[0] = d0;
    cr_assert_eq(judge(&int8), BF_FAIL);
    cr_assert(strstr(v.note, "(b)") && !strstr(v.note, "(a)"), "%s", v.note);
    end();
}

Test(ops, int8_tiny_and_non_finite_blocks) {
    begin("q4k_matvec m=4 k=256 fill=gauss", "int8");
    float *x = t[Q4K_MATVEC_X].data;
    for (int i = 0; i < 32; i++) x[i] = 0x1p-101f * (float)(i % 3 - 1);
    c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    quantise();
    release(fill_y(&int8, Q4K_MATVEC_Y));
    cr_assert_eq(judge(&int8), BF_PASS, "%s %s", v.note, v.first[0].why);
    ((int8_t *)t[Q4K_MATVEC_XQ].data)[0] = -1, ((int32_t *)t[Q4K_MATVEC_XS].data)[0] -= 1;
    cr_assert_eq(judge(&int8), BF_FAIL);
    x[40] = INFINITY;
    c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    quantise();
    for (int r = 0; r < 4; r++) y_of(Q4K_MATVEC_Y)[r] = NAN;
    cr_assert_eq(judge(&int8), BF_PASS, "%s %s", v.note, v.first[0].why);
    y_of(Q4K_MATVEC_XD)[1] = 1;
    cr_assert_eq(judge(&int8), BF_FAIL);
    end();
}

/* ---- the others ---- */

/* ops.h: 2^-126 a term, and for each subnormal operand 2^-126 of the largest partner (bf16) or five units of its grid (fp16). */
Test(ops, what_underflow_costs_on_a_grid) {
    cr_assert_float_eq(bf_grid_underflow(BF_BF16, 32, 3, 5, 2, 7), 48 * 0x1p-126 + 0x1p-126 * (3 * 7 + 2 * 5), 1e-12 * 0x1p-120);
    cr_assert_float_eq(bf_grid_underflow(BF_F16, 32, 3, 5, 2, 7), 48 * 0x1p-126 + 5 * 0x1p-38 * (3 * 7 + 2 * 5), 1e-20);
    cr_assert_float_eq(bf_grid_underflow(BF_F16, 0, 3, 0, 2, 0x1p-20), 16 * 0x1p-126 + 5 * 0x1p-38 * 5 * 0x1p-14, 1e-24); /* partners below the least normal */
    cr_assert_float_eq(bf_grid_underflow(BF_BF16, 16, 0, 1e30, 0, 1e30), 32 * 0x1p-126, 0x1p-140);
}

/* What is dumped is what is judged by: saturated or not, whether or not the kernel counts. */
Test(ops, convert_dumps_what_the_flags_ask_for) {
    for (int flags = 0; flags < 4; flags++) {
        char line[80];
        snprintf(line, sizeof line, "convert n=2 from=f32 to=f16 saturate=%d count=%d", flags & 1, flags >> 1);
        begin(line, NULL);
        memcpy(t[CONVERT_X].data, (float[]){1e6f, -INFINITY}, 8);
        bf_dump d;
        cr_assert_eq(bf_op_dump(c, &plain, t, expected, CONVERT_Y, &d, &err), 0);
        cr_assert_eq(d.ref[0], flags & 1 ? 65504 : INFINITY, "%s: %g", line, d.ref[0]);
        release(d);
        end();
    }
}

Test(ops, convert_bits_and_counters) {
    begin("convert n=256 from=f32 to=f16 fill=edge count=1", NULL);
    uint64_t *count = t[CONVERT_C].data;
    uint16_t *y = t[CONVERT_Y].data;
    uint32_t *x = t[CONVERT_X].data;
    for (int i = 0; i < 256; i++) {
        double value = bf_ref_decode(BF_F32, x[i]);
        y[i] = (uint16_t)bf_ref_encode(BF_F16, value);
        if (isnan(value)) y[i] = (uint16_t)(x[i] >> 16 & 0x8000) | 0x7e00 | (x[i] >> 13 & 0x1ff);
        count[CONVERT_OVERFLOW] += (y[i] & 0x7fff) == 0x7c00 && isfinite(value);
        count[CONVERT_UNDERFLOW] += value != 0 && !(y[i] & 0x7fff);
        count[CONVERT_SUBNORMAL] += (y[i] & 0x7fff) && (y[i] & 0x7fff) < 0x400;
        count[CONVERT_NAN] += isnan(value) != 0;
    }
    cr_assert_eq(judge(&plain), BF_PASS, "%s", v.first[0].why);
    for (int i = 0; i < CONVERT_COUNTS; i++) {
        cr_assert_gt(count[i], 0);
        count[i]--;
        cr_assert_eq(judge(&plain), BF_FAIL);
        count[i]++;
    }
    y[255] ^= 1;
    cr_assert_eq(judge(&plain), BF_FAIL);
    cr_assert_eq(v.first[0].index, 255);
    end();
}

Test(ops, dequant_to_the_last_bit) {
    begin("q4k_dequant m=2 k=256 to=bf16 fill=gauss", NULL);
    bf_dump d;
    cr_assert_eq(bf_op_dump(c, &plain, t, expected, 1, &d, &err), 0);
    for (int i = 0; i < 512; i++) ((uint16_t *)t[1].data)[i] = (uint16_t)bf_ref_encode(BF_BF16, d.ref[i]);
    cr_assert_eq(judge(&plain), BF_PASS);
    ((uint16_t *)t[1].data)[511] ^= 1;
    cr_assert_eq(judge(&plain), BF_FAIL);
    cr_assert_eq(v.mismatched, 1);
    release(d);
    end();
}

Test(ops, stream_modes) {
    begin("stream n=64 mode=read fill=bits", NULL);
    uint32_t parity = 0;
    for (int i = 0; i < 64; i++) parity ^= ((uint32_t *)t[STREAM_X].data)[i];
    *(uint32_t *)t[STREAM_C].data = parity;
    cr_assert_eq(judge(&plain), BF_PASS);
    *(uint32_t *)t[STREAM_C].data ^= 1;
    cr_assert_eq(judge(&plain), BF_FAIL);
    end();
    begin("stream n=64 mode=triad fill=gauss", NULL);
    release(fill_y(&plain, STREAM_Y));
    cr_assert_eq(judge(&plain), BF_PASS);
    memcpy(t[STREAM_Y].data, t[STREAM_X].data, 256);
    cr_assert_eq(judge(&plain), BF_FAIL);
    bf_dump d = fill_y(&plain, STREAM_Y); /* the bound that is dumped is the one that is judged by */
    y_of(STREAM_Y)[7] = (float)(d.ref[7] + 0.98 * d.bound[7]);
    double error = fabs(y_of(STREAM_Y)[7] - d.ref[7]) / d.bound[7]; /* of an fp32: a grid as fine as half a bound */
    cr_assert(error > 0.5 && error <= 1, "%g", error);
    cr_assert_eq(judge(&plain), BF_PASS);
    y_of(STREAM_Y)[7] = (float)(d.ref[7] + 2 * d.bound[7]);
    cr_assert_eq(judge(&plain), BF_FAIL);
    release(d);
    end();
}

/* An infinity is right where the sum may round up to it, and nowhere below. */
Test(ops, stream_triad_may_overflow_at_the_limit_only) {
    begin("stream n=4 mode=triad fill=gauss", NULL);
    memset(t[STREAM_Z].data, 0, t[STREAM_Z].bytes);
    float *x = t[STREAM_X].data;
    x[0] = x[1] = FLT_MAX, x[2] = FLT_MAX / 2, x[3] = -FLT_MAX;
    memcpy(y_of(STREAM_Y), x, 16);
    cr_assert_eq(judge(&plain), BF_PASS);
    y_of(STREAM_Y)[0] = INFINITY, y_of(STREAM_Y)[3] = -INFINITY;
    cr_assert_eq(judge(&plain), BF_PASS, "%s", v.note);
    y_of(STREAM_Y)[2] = INFINITY;
    cr_assert_eq(judge(&plain), BF_FAIL);
    end();
}

/* Both outputs of mix count, each to its last word; m and the mode go together. */
Test(ops, stream_mix) {
    begin("stream n=8 m=64 mode=mix fill=bits", NULL);
    uint32_t parity = 0, *y = t[STREAM_Y].data;
    for (int i = 0; i < 8; i++) parity ^= ((uint32_t *)t[STREAM_X].data)[i];
    for (uint32_t i = 0; i < 64; i++) y[i] = 0x3f800000u | i;
    *(uint32_t *)t[STREAM_C].data = parity;
    cr_assert_eq(judge(&plain), BF_PASS);
    cr_assert_eq(v.outputs, 65);
    y[63] ^= 1;
    cr_assert_eq(judge(&plain), BF_FAIL);
    cr_assert_eq(v.mismatched, 1);
    y[63] ^= 1, *(uint32_t *)t[STREAM_C].data ^= 1;
    cr_assert_eq(judge(&plain), BF_FAIL);
    end();
    static const char *const wrong[] = {"stream n=8 mode=mix", "stream n=8 m=8 mode=copy"};
    for (int i = 0; i < 2; i++) {
        bf_tensor none[BF_MAX_TENSORS];
        cr_assert_eq(bf_case_parse_line(wrong[i], strlen(wrong[i]), NULL, 0, &cases, &err), 0);
        const bf_case *w = &cases.item[cases.count - 1];
        cr_assert_eq(w->op->tensors(&w->problem, NULL, none, &err), -1);
        cr_assert_not_null(strstr(err.text, "mode=mix"), "%s", err.text);
    }
}

/* Every op: tensors agree with the bytes it claims to move, and the union over the paths holds every path's. */
Test(ops, tensors_and_bytes_agree) {
    static const char *const lines[] = {"convert n=100 from=f32 to=bf16", "q4k_dequant m=3 k=512 to=f16",
                                        "q4k_matvec m=3 k=512 n=2 x=bf16", "q4k_matmul m=3 k=512 n=20 x=f16",
                                        "qblock_dequant w=q6_k m=3 k=512", "qblock_matmul w=q8_0 m=3 k=64 n=2",
                                        "linear m=3 k=5 n=2 w=bf16 b=f16 y=bf16", "norm m=3 k=5 x=bf16 r=f32 w=f16 b=f32 kind=layer",
                                        "norm kind=group m=2 k=4 groups=2 inner=3 w=f32", "conv rank=1 in=4 out=6 groups=2 w=10 taps=3 b=f32",
                                        "conv rank=2 in=3 out=2 h=4 w=5 taps=2 transposed=1 stride=2",
                                        "attention heads=4 kv_heads=2 queries=3 keys=10 mask=f16 sink=f32", "stream n=64 mode=triad",
                                        "stream n=64 mode=copy", "stream n=64 m=448 mode=mix"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        begin(lines[i], NULL);
        uint64_t in = 0, out = 0;
        bf_tensor part[BF_MAX_TENSORS];
        memset(part, 0x5a, sizeof part); /* every slot is written, unused ones too */
        cr_assert_eq(c->op->tensors(&c->problem, c->op->paths ? c->op->paths[0] : NULL, part, &err), 0);
        for (int s = 0; s < BF_MAX_TENSORS; s++) {
            if (part[s].role == BF_INPUT) in += part[s].bytes;
            if (part[s].role == BF_OUTPUT) out += part[s].bytes;
            if (part[s].role != BF_UNUSED) cr_assert_eq(part[s].bytes, t[s].bytes);
        }
        cr_assert_eq(in, c->op->bytes_read(&c->problem), "%s", lines[i]);
        cr_assert_eq(out, c->op->bytes_written(&c->problem), "%s", lines[i]);
        end();
    }
}

/* Operations, counted by hand. */
Test(ops, operations) {
    static const struct { const char *line; double flops; } list[] = {
        {"convert n=100 from=f32 to=bf16", 100},
        {"q4k_dequant m=3 k=512", 2 * 3 * 512},
        {"q4k_matvec m=3 k=512 n=2", 2 * 3 * 512 * 2},
        {"linear m=3 k=5 n=2", 2 * 3 * 5 * 2},
        {"norm kind=rms m=2 k=8", 4 * 16},
        {"norm kind=layer m=2 k=8", 6 * 16},
        {"conv rank=1 in=4 out=6 groups=2 w=10 taps=3 pad=1", 2 * (6 * 10) * 2 * 3},
        {"conv rank=1 in=4 out=6 groups=2 w=10 taps=3 transposed=1", 2 * (4 * 10) * 3 * 3},
        {"stream n=64 mode=triad", 128},
        {"stream n=64 mode=copy", 0},
        {"attention heads=4 kv_heads=2 queries=3 keys=10 d=64", 4.0 * (3 * 10) * 64 * 4},
        {"attention heads=4 kv_heads=2 queries=3 keys=10 d=64 causal=1 window=4", 4.0 * (4 + 4 + 4) * 64 * 4},
        {"attention queries=3 keys=10 d=64 window=4", 4.0 * (6 + 5 + 4) * 64},
        {"attention queries=5 keys=3 d=64 causal=1", 4.0 * (0 + 0 + 1 + 2 + 3) * 64},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        cr_assert_eq(bf_case_parse_line(list[i].line, strlen(list[i].line), NULL, 0, &cases, &err), 0, "%s", err.text);
        const bf_case *w = &cases.item[cases.count - 1];
        cr_assert_eq(w->op->flops(&w->problem), list[i].flops, "%s: %g", list[i].line, w->op->flops(&w->problem));
    }
    bf_case_list_free(&cases);
}

/* Whoever builds a case without the parser is told, too. */
Test(ops, an_unknown_fill_is_refused_by_every_op) {
    static const char *const lines[] = {"attention queries=2 keys=3", "conv rank=1 in=2 out=2 w=9", "linear m=2 k=8 n=1", "norm m=2 k=8",
                                        "q4k_matvec m=1 k=256 n=1", "q4k_matmul m=1 k=256 n=9", "q4k_dequant m=1 k=256",
                                        "qblock_matmul w=q8_0 m=1 k=32 n=1", "qblock_dequant w=q6_k m=1 k=256", "stream n=64 mode=copy",
                                        "convert n=8 from=f32 to=bf16"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        begin(lines[i], NULL);
        bf_case other = *c;
        other.fill = "gaus";
        *err.text = 0;
        cr_assert_eq(c->op->fill(&other, t, &err), -1, "%s", lines[i]);
        cr_assert(strstr(err.text, "unknown fill 'gaus'"), "%s: %s", lines[i], err.text);
        end();
    }
}

/* A reference gives back what it took: after a few turns, in which libraries and malloc's own caches settle, nothing more is in use. */
Test(ops, references_leak_nothing) {
    static const char *const lines[] = {"attention heads=4 queries=9 keys=40", "conv rank=1 in=8 out=8 w=40 taps=3", "linear m=40 k=64 n=9",
                                        "norm m=9 k=100 kind=layer", "q4k_matvec m=9 k=512 n=4", "q4k_dequant m=9 k=512",
                                        "qblock_matmul w=q6_k m=9 k=512 n=4", "stream n=400 mode=triad", "convert n=400 from=f16 to=bf16"};
    enum { TURNS = 20 };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        size_t before = 0;
        begin(lines[i], NULL);
        for (int turn = -8; turn < TURNS; turn++) {
            if (turn == 0) before = mallinfo2().uordblks;
            c->op->release(expected);
            expected = c->op->expect(c, t, &err);
            cr_assert(expected, "%s", err.text);
        }
        size_t after = mallinfo2().uordblks;
        cr_assert_lt(after, before + 16 * TURNS, "%s: %zu bytes in %d turns", lines[i], after - before, TURNS);
        end();
    }
}

/* Over a few seeds the fill `edge` brings every input of every op a zero, a subnormal number, a value among the largest of its class (rows
 * of products stop at 2^63) and something that is not finite. Masks have their own values. */
Test(ops, edge_reaches_every_input) {
    static const char *const lines[] = {
        "attention heads=4 queries=9 keys=40 sink=f32 kv=bf16 fill=edge", "conv rank=1 in=8 out=8 w=40 wt=bf16 b=f32 fill=edge",
        "linear m=40 k=64 n=9 w=bf16 b=f16 fill=edge", "norm m=9 k=100 x=f16 r=f32 w=f32 b=bf16 kind=layer fill=edge",
        "q4k_matvec m=9 k=512 n=4 fill=edge", "q4k_matmul m=9 k=512 n=9 x=bf16 fill=edge", "qblock_matmul w=mxfp4 m=9 k=512 n=4 fill=edge",
        "stream n=400 mode=triad fill=edge", "convert n=400 from=f16 to=bf16 fill=edge"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        unsigned seen[BF_MAX_TENSORS] = {0}, wanted[BF_MAX_TENSORS] = {0};
        for (int seed = 1; seed <= 16; seed++) {
            char line[200];
            snprintf(line, sizeof line, "%s seed=%d", lines[i], seed);
            begin(line, NULL);
            for (int s = 0; s < BF_MAX_TENSORS; s++) {
                if (t[s].role != BF_INPUT || bf_dtype_is_block(t[s].type)) continue;
                wanted[s] = 15;
                for (int64_t k = 0; k < elements(&t[s]); k++) {
                    double a = fabs(bf_element_value(&t[s], k)), normal = t[s].type == BF_F16 ? 0x1p-14 : 0x1p-126;
                    seen[s] |= !isfinite(a) ? 8u : a == 0 ? 1u : a < normal ? 2u : a >= (t[s].type == BF_F16 ? 0x1p15 : 0x1p63) ? 4u : 0;
                }
            }
            end();
        }
        for (int s = 0; s < BF_MAX_TENSORS; s++) cr_assert_eq(seen[s], wanted[s], "%s: input %d, %u", lines[i], s, seen[s]);
    }
}

Test(ops, same_case_same_bytes) {
    begin("q4k_matvec m=5 k=256 n=2 fill=heavy seed=77", NULL);
    unsigned char *w = malloc(t[0].bytes);
    memcpy(w, t[0].data, t[0].bytes);
    memset(t[0].data, 0xee, t[0].bytes);
    cr_assert_eq(c->op->fill(c, t, &err), 0);
    cr_assert(!memcmp(w, t[0].data, t[0].bytes));
    free(w);
    end();
}

Test(ops, bad_scale_and_real_size_are_refused) {
    begin("q4k_matvec m=4 k=256 scale=2^-24", NULL);
    c->problem.param[0] = 3;
    cr_assert_eq(c->op->fill(c, t, &err), -1);
    c->problem.param[0] = 1;
    c->real = "", c->real_bytes = 7;
    cr_assert_eq(c->op->fill(c, t, &err), -1);
    c->real = NULL;
    end();
}
