/* norm: the judge, shown results that are right and wrong; the reference; and every kernel of every target in buffers of
 * exact size: lengths, types, policies, scale invariance bit for bit, ggml's results. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/norm.h"
#include "../../kernels/cpu/cache.h"
#include "../../kernels/cpu/pool.h"
#include "../../kernels/simt/runtime.h"
#include "../../kernels/simt/simt_math.h"
#include "../../reference/norm.h"
#include "../../reference/number.h"
#include "../case.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "../formats/npy.h"

static bf_case_list cases;
static bf_case *c;
static bf_tensor t[BF_MAX_TENSORS];
static void *base[BF_MAX_TENSORS];
static bf_expected *expected;
static bf_verdict v;
static bf_error err;

static int64_t declared;
static int64_t declare(const bf_problem *p) { return declared ? declared : p->dim[NORM_K]; }
static const bf_kernel test = {.op = "norm", .name = "test", .chain = declare};

/* `off`: elements by which every tensor is away from the alignment that malloc gives. */
static void begin_at(const char *line, uint64_t off) {
    declared = 0;
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", err.text);
    c = &cases.item[cases.count - 1];
    cr_assert_eq(c->op->tensors(&c->problem, NULL, t, &err), 0, "%s", err.text);
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (t[i].role == BF_UNUSED) continue;
        base[i] = malloc(t[i].bytes + off * bf_dtype_bytes(t[i].type, 1)); /* exact: the sanitizer sees the edge */
        t[i].data = (char *)base[i] + off * bf_dtype_bytes(t[i].type, 1);
    }
    cr_assert_eq(c->op->fill(c, t, &err), 0, "%s", err.text);
}
static void begin(const char *line) { begin_at(line, 0); }
static void expect(void) {
    if (expected) c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    cr_assert(expected, "%s", err.text);
}
static void end(void) {
    if (expected) c->op->release(expected);
    expected = NULL;
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(base[i]), base[i] = NULL;
    memset(t, 0, sizeof t);
    bf_case_list_free(&cases);
}
static bf_status judge(const bf_kernel *k) {
    c->op->judge(c, k, t, expected, &v);
    return v.status;
}
static void put(int slot, int64_t i, double value) {
    uint32_t u = bf_ref_encode(t[slot].type, value);
    memcpy((char *)t[slot].data + (uint64_t)i * bf_dtype_bytes(t[slot].type, 1), &u, bf_dtype_bytes(t[slot].type, 1));
}
static double get(int slot, int64_t i) { return bf_element_value(&t[slot], i); }
/* The outputs as right as they can be. */
static bf_dump right(void) {
    bf_dump d;
    if (t[NORM_S].role == BF_OUTPUT) {
        cr_assert_eq(bf_op_dump(c, &test, t, expected, NORM_S, &d, &err), 0, "%s", err.text);
        for (int64_t i = 0; i < d.count; i++) put(NORM_S, i, d.ref[i]);
        free(d.ref), free(d.bound);
    }
    cr_assert_eq(bf_op_dump(c, &test, t, expected, NORM_Y, &d, &err), 0, "%s", err.text);
    for (int64_t i = 0; i < d.count; i++) put(NORM_Y, i, d.ref[i]);
    return d;
}
static void drop(bf_dump d) { free(d.ref), free(d.bound); }

/* ---- the judge ---- */

Test(norm, right_passes_and_each_wrong_result_fails) {
    static const char *const lines[] = {"norm m=3 k=200 w=bf16 plus_one=1 fill=gauss", "norm kind=layer m=3 k=200 b=f32 fill=gauss",
                                        "norm kind=group m=1 k=15 groups=3 inner=40 b=f16 fill=gauss"};
    for (int l = 0; l < 3; l++) {
        begin(lines[l]);
        expect();
        bf_dump d = right();
        int64_t n = d.count, row = 200;
        declared = 12;
        cr_assert_eq(judge(&test), BF_PASS, "%s", v.note);
        cr_assert_eq(v.outputs, n);
        cr_assert_lt(v.worst, 0.2);
        put(NORM_Y, n - 1, d.ref[n - 1] + 1.01 * d.bound[n - 1] + FLT_EPSILON * fabs(d.ref[n - 1]));
        cr_assert_eq(judge(&test), BF_FAIL);
        cr_assert_eq(v.first[0].index, n - 1);
        double bad[] = {NAN, INFINITY, -d.ref[n - 1]};
        for (int i = 0; i < 3; i++) {
            put(NORM_Y, n - 1, bad[i]);
            cr_assert_eq(judge(&test), BF_FAIL);
        }
        for (int i = 0; i < row; i++) put(NORM_Y, i, d.ref[row + i]), put(NORM_Y, row + i, d.ref[i]);
        cr_assert_eq(judge(&test), BF_FAIL);
        double factor[] = {0, 1.02, 1 + 1.0 / 400, 1 - 1.0 / 400, 0x1.001p0};
        for (int f = 0; f < 5; f++) {
            for (int64_t i = 0; i < n; i++) put(NORM_Y, i, d.ref[i] * factor[f]);
            cr_assert_eq(judge(&test), BF_FAIL, "%s: all times %g", lines[l], factor[f]);
        }
        drop(d);
        end();
    }
}

Test(norm, s_is_judged_bit_for_bit) {
    begin("norm m=2 k=64 x=bf16 r=f16 fill=gauss");
    expect();
    bf_dump d = right();
    cr_assert_eq(judge(&test), BF_PASS, "%s", v.note);
    cr_assert(!strstr(v.note, "wrong") && !strstr(v.note, "s is not"), "%s", v.note);
    ((uint32_t *)t[NORM_S].data)[100] ^= 1;
    cr_assert_eq(judge(&test), BF_FAIL);
    cr_assert_eq(v.mismatched, 1);
    cr_assert(strstr(v.note, "s is not x + r") && !strstr(v.note, "y is wrong"), "%s", v.note);
    ((uint32_t *)t[NORM_S].data)[100] ^= 1;
    put(NORM_Y, 100, -get(NORM_Y, 100));
    cr_assert_eq(judge(&test), BF_FAIL);
    cr_assert(!strstr(v.note, "s is not") && strstr(v.note, "y is wrong for the exact s"), "%s", v.note);
    drop(d);
    end();
}

static double bound_over(int64_t chain, int64_t i) {
    bf_dump d;
    declared = chain;
    cr_assert_eq(bf_op_dump(c, &test, t, expected, NORM_Y, &d, &err), 0);
    double b = d.bound[i];
    drop(d);
    return b;
}
Test(norm, bound_follows_the_chain_and_its_caps) {
    begin("norm m=2 k=1000 fill=gauss");
    expect();
    cr_assert_gt(bound_over(400, 3) / bound_over(200, 3), 1.8);
    cr_assert_lt(bound_over(400, 3) / bound_over(200, 3), 2);
    cr_assert_eq(bound_over(1 << 20, 3), bound_over(1016, 3));
    cr_assert_eq(bound_over(-1, 3), bound_over(1016, 3));
    end();
    begin("norm m=1 k=1000 fill=onehot");
    expect();
    cr_assert_eq(bound_over(1000, 3), bound_over(1, 3));
    end();
}

/* The point of subtracting the mean twice: the bound is relative to the deviation. */
Test(norm, bound_does_not_grow_with_the_mean) {
    double b[2];
    for (int i = 0; i < 2; i++) {
        begin(i ? "norm kind=layer m=1 k=4096 w=none mean=1000 fill=gauss" : "norm kind=layer m=1 k=4096 w=none fill=gauss");
        expect();
        b[i] = bound_over(20, 7);
        end();
    }
    cr_assert_lt(b[1], 1.5 * b[0]);
    cr_assert_lt(b[1], 1e-4);
}

Test(norm, refused_cases_name_their_reason) {
    static const char *const lines[] = {"norm m=1 k=8 groups=2", "norm m=1 k=8 b=f32", "norm kind=group m=1 k=8 groups=3",
                                        "norm m=1 k=8 w=none plus_one=1", "norm m=1 k=8 eps=-1", "norm m=1 k=8 inner=2",
                                        "norm m=1 k=8 eps=1e-300"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bf_tensor x[BF_MAX_TENSORS];
        int refused = bf_case_parse_line(lines[i], strlen(lines[i]), NULL, 0, &cases, &err);
        if (!refused) refused = cases.item[cases.count - 1].op->tensors(&cases.item[cases.count - 1].problem, NULL, x, &err);
        cr_assert_eq(refused, -1, "%s", lines[i]);
        cr_assert_gt(strlen(err.text), 10);
    }
    bf_case_list_free(&cases);
}

/* ---- the reference ---- */

Test(norm, reference_of_known_rows) {
    double a[] = {1, 2, 3, 4, 10}, big[] = {1e6 - 1, 1e6 + 1, 1e6 - 1, 1e6 + 1}, huge[] = {3e38, -3e38, 3e38, 0};
    bf_ref_norm_row r = bf_ref_norm(a, 5, 1);
    cr_assert(r.mean == 4 && r.square == 10 && r.magnitude == 4 && r.nonzero == 5);
    r = bf_ref_norm(a, 5, 0);
    cr_assert(r.mean == 0 && r.square == 26);
    r = bf_ref_norm(big, 4, 1);
    cr_assert(r.mean == 1e6 && r.square == 1);
    r = bf_ref_norm(huge, 4, 0);
    cr_assert(fabs(r.square / 9e76 - 0.75) < 1e-15 && r.nonzero == 3);
    a[3] = NAN;
    cr_assert_eq(bf_ref_norm(a, 5, 1).finite, 0);
    cr_assert(isinf(bf_ref_norm_sum(FLT_MAX, FLT_MAX)) && bf_ref_norm_sum(1, 0x1p-25) == 1);
}

/* Equal values: the mean is that value and nothing deviates, whatever stands behind the row and whatever a division would round. */
Test(norm, reference_of_equal_values) {
    static double row[501];
    int rounded = 0;
    for (int n = 1; n <= 500; n++)
        for (int k = 0; k < 4; k++) {
            double value = k < 2 ? 0.1 + k : -0.7 * k, sum = 0;
            for (int i = 0; i < n; i++) row[i] = value, sum += value;
            row[n] = k % 2 ? 7 : -7;
            rounded += sum / n != value;
            bf_ref_norm_row r = bf_ref_norm(row, n, 1);
            cr_assert(r.mean == value && r.square == 0 && r.nonzero == n, "%d x %g: mean %.17g, square %g", n, value, r.mean, r.square);
            if (n < 2) continue;
            row[0] += 1; /* first and last count as well */
            cr_assert_gt(bf_ref_norm(row, n, 1).square, 0);
            row[0] -= 1, row[n - 1] -= 1;
            cr_assert_gt(bf_ref_norm(row, n, 1).square, 0);
        }
    cr_assert_gt(rounded, 0);
}

/* The model of an approximate root is as inexact as documented, on both sides, and scales as hardware does. */
Test(norm, model_of_rsqrt) {
    double worst[2] = {0, 0};
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t r[4];
        bf_random4(3, 9, i, r);
        float x = bf_simt_bits_f(0x00800000u + r[0] % 0x7e000000u);
        float y = bf_simt_rsqrt(x, 0x1p-23), four = bf_simt_rsqrt(4 * x, 0x1p-23);
        double e = (double)y * sqrt((double)x) - 1;
        if (e > worst[0]) worst[0] = e;
        if (e < worst[1]) worst[1] = e;
        cr_assert_eq(four, y / 2);
    }
    cr_assert(worst[0] < 0x1.01p-23 && worst[0] > 0x1.8p-24, "%g", worst[0]);
    cr_assert(worst[1] > -0x1.01p-23 && worst[1] < -0x1.8p-24, "%g", worst[1]);
    cr_assert(isinf(bf_simt_rsqrt(0.0f, 0x1p-23)) && isnan(bf_simt_rsqrt(-1.0f, 0x1p-23)) && isnan(bf_simt_rsqrt(NAN, 0x1p-23)));
    cr_assert_eq(bf_simt_rsqrt(INFINITY, 0x1p-23), 0);
}

/* ---- kernels ---- */

static int sound(const bf_kernel *k) {
    return !strcmp(k->op, "norm") && k->role != BF_TWIN && !(k->available && !k->available()) && k->accepts(&c->problem);
}
/* Runs kernel k of any target on t, in scratch of exact size. */
static void run(const bf_kernel *k) {
    bf_problem p = c->problem;
    char why[512] = "";
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        p.ptr[i] = t[i].role == BF_UNUSED ? NULL : t[i].data;
        if (t[i].role == BF_OUTPUT) memset(t[i].data, 0xff, t[i].bytes);
    }
    uint64_t room = k->scratch ? k->scratch(&p) : 0;
    void *scratch = NULL;
    if (room) cr_assert_eq(posix_memalign(&scratch, 256, room), 0);
    p.scratch = scratch;
    if (k->target == BF_CPU) {
        k->run(&p, NULL);
    } else {
        bf_step steps[BF_MAX_STEPS];
        int n = k->plan(&p, steps);
        for (int i = 0; i < n; i++) cr_assert_eq(bf_simt_run(k->target, &steps[i], why, sizeof why), 0, "%s: %s", k->name, why);
    }
    free(scratch);
}
static void run_all(const char *line, uint64_t off) {
    begin_at(line, off);
    expect();
    int ran = 0;
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (!sound(k)) continue;
        run(k);
        cr_assert_eq(judge(k), BF_PASS, "target %d, %s: %s: %s %s[%lld] got %g, want %g", k->target, k->name, c->line, v.first[0].why,
                     v.first[0].tensor, (long long)v.first[0].index, v.first[0].got, v.first[0].want);
        ran++;
    }
    cr_assert_geq(ran, 3, "%s", line);
    end();
}

Test(norm, kernels_at_every_length) {
    static const int lengths[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 24, 31, 32, 33, 40, 63, 64, 65, 100, 255, 256, 257, 264,
                                  1000, 1023, 1024, 1025, 2050, 4095, 4096, 4100, 8193, 16380, 16384, 16385, 33000};
    char line[200];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int kind = 0; kind < 2; kind++) {
            snprintf(line, sizeof line, "norm kind=%s m=3 k=%d x=%s y=%s w=bf16 fill=gauss expect=zeros", kind ? "layer" : "rms",
                     lengths[i], i % 2 ? "f32" : "bf16", i % 3 ? "f32" : "f16");
            run_all(line, 0);
            snprintf(line, sizeof line, "norm kind=%s m=2 k=%d x=%s y=%s r=f32 fill=heavy expect=zeros", kind ? "layer" : "rms",
                     lengths[i], i % 2 ? "f16" : "f32", i % 3 ? "bf16" : "f32");
            run_all(line, 1);
        }
}

Test(norm, kernels_of_every_type) {
    static const char *const type[] = {"f32", "f16", "bf16"}, *const maybe[] = {"none", "f32", "f16", "bf16"};
    char line[200];
    for (int i = 0; i < 3 * 3 * 4 * 4 * 4; i++) {
        int plus = i / 9 % 4 && i % 5 == 0;
        snprintf(line, sizeof line, "norm kind=layer m=2 k=72 x=%s y=%s w=%s b=%s r=%s plus_one=%d fill=gauss", type[i % 3], type[i / 3 % 3],
                 maybe[i / 9 % 4], maybe[i / 36 % 4], maybe[i / 144 % 4], plus);
        run_all(line, (uint64_t)(i % 7 == 0));
    }
}

Test(norm, kernels_of_groups) {
    static const char *const lines[] = {
        "norm kind=group m=2 k=6 groups=3 inner=1 b=f32 fill=gauss expect=zeros", "norm kind=group m=2 k=6 groups=2 inner=5 b=f32 fill=gauss",
        "norm kind=group m=2 k=8 groups=2 inner=64 b=bf16 w=bf16 fill=gauss",     "norm kind=group m=1 k=9 groups=3 inner=7000 r=f16 fill=heavy",
        "norm kind=group m=3 k=4 groups=4 inner=31 w=none x=f16 y=f16 fill=outlier",
        "norm kind=group m=1 k=522 groups=2 inner=63 w=bf16 b=f32 fill=gauss"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) run_all(lines[i], 0), run_all(lines[i], 1);
}

/* Beyond the largest cache results are stored around it, by another loop, whose rows must be what they are alone. */
static int64_t rows_that_differ(const bf_kernel *k, const bf_problem *p, bf_pool *pool) {
    int64_t n = p->dim[NORM_K], rows = p->dim[NORM_M], bad = 0;
    uint64_t y_size = bf_dtype_bytes(p->type[NORM_Y], n), s_size = p->type[NORM_R] ? bf_dtype_bytes(BF_F32, n) : 0;
    char *y = malloc(y_size), *s = malloc(s_size + 1);
    memset(p->ptr[NORM_Y], 0xff, y_size * (uint64_t)rows);
    k->run(p, pool);
    for (int64_t r = 0; r < rows; r += r + 60 < rows ? 53 : 1) {
        bf_problem one = *p;
        one.dim[NORM_M] = 1;
        for (int i = NORM_X; i <= NORM_R; i++)
            if (p->type[i]) one.ptr[i] = (char *)p->ptr[i] + bf_dtype_bytes(p->type[i], r * n);
        one.ptr[NORM_Y] = y, one.ptr[NORM_S] = s;
        k->run(&one, NULL);
        bad += memcmp(y, (char *)p->ptr[NORM_Y] + y_size * (uint64_t)r, y_size) ||
               (s_size && memcmp(s, (char *)p->ptr[NORM_S] + s_size * (uint64_t)r, s_size));
    }
    free(y), free(s);
    return bad;
}
Test(norm, large_results_are_rows_like_others) {
    static const struct {
        int64_t k;
        bf_dtype x, r, y;
        int kind;
    } shape[] = {{1027, BF_F32, BF_NONE, BF_F32, NORM_RMS},
                 {1024, BF_F32, BF_F32, BF_F32, NORM_LAYER},
                 {333, BF_BF16, BF_BF16, BF_BF16, NORM_LAYER},
                 {20003, BF_F16, BF_NONE, BF_F16, NORM_LAYER}};
    int64_t room = bf_cache_bytes() + (1 << 20);
    if (room > 100 << 20) cr_skip_test("the cache is too large for a unit test");
    void *data[NORM_TENSORS] = {NULL};
    for (int i = 0; i < NORM_TENSORS; i++) data[i] = malloc((size_t)room * 2 + 64);
    bf_pool *pool = bf_pool_new(2);
    int ran = 0;
    for (size_t l = 0; l < sizeof shape / sizeof *shape; l++) {
        int64_t m = room / (int64_t)bf_dtype_bytes(shape[l].y, shape[l].k);
        bf_problem p = {.dim = {m, shape[l].k, 1, 1}, .param = {shape[l].kind, 1e-6, 0}};
        p.type[NORM_X] = shape[l].x, p.type[NORM_R] = shape[l].r, p.type[NORM_Y] = shape[l].y;
        for (int i = 0; i < NORM_TENSORS; i++) p.ptr[i] = (char *)data[i] + 4 * (i + 1);
        for (int i = NORM_X; i <= NORM_R; i++)
            if (p.type[i]) bf_fill_values(BF_FILL_GAUSS, 7, (uint32_t)i + 1, p.type[i], m, shape[l].k, 0, p.ptr[i]);
        for (size_t i = 0; i < bf_kernel_count(); i++) {
            const bf_kernel *k = bf_kernel_at(i);
            if (k->target != BF_CPU || k->role != BF_TUNED || strcmp(k->op, "norm") || (k->available && !k->available())) continue;
            cr_expect_eq(rows_that_differ(k, &p, pool), 0, "%s, shape %zu", k->name, l);
            ran++;
        }
    }
    cr_expect_geq(ran, 4);
    bf_pool_free(pool);
    for (int i = 0; i < NORM_TENSORS; i++) free(data[i]);
}

/* y(2^p x, eps 4^p) = y(x, eps) bit for bit. */
Test(norm, scale_invariance_bit_for_bit) {
    static const char *const kinds[] = {"kind=rms m=2 k=300", "kind=layer m=2 k=300 b=f32", "kind=rms m=1 k=17000", "kind=layer m=1 k=17000",
                                        "kind=group m=1 k=6 groups=2 inner=50 r=f32", "kind=layer m=2 k=1024 x=bf16 y=bf16"};
    static const int powers[] = {-90, -64, -33, -1, 1, 31, 63, 90, 120};
    void **first = calloc(bf_kernel_count(), sizeof *first); /* a kernel's y at 2^0 */
    for (size_t l = 0; l < sizeof kinds / sizeof *kinds; l++)
        for (int eps = 0; eps < 2; eps++) {
            for (int q = -1; q < (int)(sizeof powers / sizeof *powers); q++) {
                char line[200], word[32];
                int p = q < 0 ? 0 : powers[q];
                snprintf(word, sizeof word, "2^%d", -18 + 2 * p);
                snprintf(line, sizeof line, "norm %s eps=%s scale=2^%d fill=uniform", kinds[l], eps ? word : "0", p);
                begin(line);
                for (size_t i = 0; i < bf_kernel_count(); i++) {
                    if (!sound(bf_kernel_at(i))) continue;
                    run(bf_kernel_at(i));
                    if (!first[i]) first[i] = memcpy(malloc(t[NORM_Y].bytes), t[NORM_Y].data, t[NORM_Y].bytes);
                    cr_assert_eq(memcmp(first[i], t[NORM_Y].data, t[NORM_Y].bytes), 0, "%s: %s", bf_kernel_at(i)->name, line);
                }
                end();
            }
            for (size_t i = 0; i < bf_kernel_count(); i++) free(first[i]), first[i] = NULL;
        }
    free(first);
}

/* What a row that is not finite does to itself, and to no other. */
Test(norm, policies) {
    static const char *const lines[] = {"norm kind=rms m=3 k=40 w=none r=f32 fill=uniform", "norm kind=layer m=3 k=40 w=none r=f32 fill=uniform",
                                        "norm kind=group m=1 k=6 groups=3 inner=20 w=none r=f32 fill=uniform",
                                        "norm kind=rms m=3 k=17000 w=none r=f32 fill=uniform", "norm kind=layer m=3 k=1025 w=none r=f32 fill=uniform"};
    static const float values[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    for (size_t l = 0; l < sizeof lines / sizeof *lines; l++)
        for (int w = 0; w < 4; w++) {
            begin(lines[l]);
            int64_t n = t[NORM_X].dim[0] * t[NORM_X].dim[1] / 3;
            put(NORM_X, n + n / 2, values[w]);
            if (w == 3) put(NORM_R, n + n / 2, 0x1p127); /* the sum is beyond FLT_MAX: inf is right in s */
            expect();
            for (size_t i = 0; i < bf_kernel_count(); i++) {
                if (!sound(bf_kernel_at(i))) continue;
                run(bf_kernel_at(i));
                cr_assert_eq(judge(bf_kernel_at(i)), BF_PASS, "%s: %s", bf_kernel_at(i)->name, v.first[0].why);
                for (int64_t k = 0; k < 3 * n; k++) cr_assert_eq(isnan(get(NORM_Y, k)), k / n == 1);
                if (w == 3) cr_assert_eq(get(NORM_S, n + n / 2), INFINITY);
            }
            end();
        }
}

/* Zero rows, and rows of equal values where eps is nothing beside them: 0 and not NaN. */
Test(norm, rows_without_deviation) {
    static const char *const lines[] = {"norm kind=rms m=2 k=64 w=none eps=0 fill=zeros", "norm kind=layer m=2 k=64 w=none eps=0 fill=zeros",
                                        "norm kind=rms m=2 k=64 w=none fill=zeros", "norm kind=layer m=2 k=64 w=none fill=zeros",
                                        "norm kind=layer m=2 k=64 w=none fill=zeros"};
    for (int l = 0; l < 5; l++) {
        begin(lines[l]);
        for (int i = 0; l == 4 && i < 128; i++) put(NORM_X, i, i < 64 ? 3e38 : 1e20);
        for (size_t i = 0; i < bf_kernel_count(); i++) {
            if (!sound(bf_kernel_at(i))) continue;
            run(bf_kernel_at(i));
            for (int64_t k = 0; k < 128; k++)
                cr_assert(l < 2 ? isnan(get(NORM_Y, k)) : get(NORM_Y, k) == 0, "%s: %s: %g", bf_kernel_at(i)->name, lines[l], get(NORM_Y, k));
        }
        end();
    }
}

/* ---- ggml ---- */

typedef struct golden_rows {
    const char *name;
    int rows, length;
    const char *eps;
    int rms_wrong, layer_wrong; /* where ggml's own result is outside of the bound of a sequential sum */
} golden_rows;

Test(norm, ggml_agrees_where_it_is_right) {
    static const golden_rows rows[] = {
        {"uniform10", 2, 64, "1e-6", 0, 0},  {"odd 1025", 1, 1025, "1e-5", 0, 0},      {"outlier 1e4", 1, 512, "1e-6", 0, 0},
        {"bigmean", 2, 768, "1e-6", 0, 0},   {"bigmean 1e6", 2, 256, "1e-6", 0, 1},    {"tiny 1e-20", 1, 256, "1e-6", 0, 0},
        {"tiny, eps 0", 1, 256, "0", 0, 0},  {"huge 1e19", 1, 256, "1e-6", 1, 1},      {"huge 3e38", 1, 128, "1e-6", 1, 1},
        {"zero", 1, 256, "1e-6", 0, 0},      {"zero, eps 0", 1, 64, "0", 0, 0},        {"const 5", 1, 320, "1e-6", 0, 0},
        {"one inf", 2, 128, "1e-6", 1, 0},   {"one nan", 2, 128, "1e-6", 0, 0},        {"k 1", 4, 1, "1e-6", 0, 0}};
    npy_array a;
    cr_assert_eq(npy_open("cases/golden/norm_ggml.npy", &a, &err), 0, "%s", err.text);
    uint64_t n = a.elements / 3, at = 0;
    const float *x = a.data;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t count = (uint64_t)(rows[i].rows * rows[i].length);
        for (int layer = 0; layer < 2; layer++) {
            char line[200];
            snprintf(line, sizeof line, "norm kind=%s m=%d k=%d w=none eps=%s expect=zeros", layer ? "layer" : "rms", rows[i].rows, rows[i].length,
                     rows[i].eps);
            begin(line);
            memcpy(t[NORM_X].data, x + at, count * 4);
            expect();
            memcpy(t[NORM_Y].data, x + (uint64_t)(1 + layer) * n + at, count * 4);
            int wrong = judge(&test) != BF_PASS;
            cr_expect_eq(wrong, layer ? rows[i].layer_wrong : rows[i].rms_wrong, "ggml %s, %s: %s, worst %g", rows[i].name, line,
                         wrong ? v.first[0].why : "passes", v.worst);
            for (size_t k = 0; k < bf_kernel_count(); k++) {
                if (!sound(bf_kernel_at(k))) continue;
                run(bf_kernel_at(k));
                cr_assert_eq(judge(bf_kernel_at(k)), BF_PASS, "%s: %s", bf_kernel_at(k)->name, line);
            }
            end();
        }
        at += count;
    }
    cr_assert_eq(at, n);
    npy_close(&a);
}
