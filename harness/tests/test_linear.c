/* The judge of linear, shown results that are right and wrong, its references, and its kernels in buffers of exact size. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/linear.h"
#include "../../kernels/cpu/pool.h"
#include "../../kernels/simt/runtime.h"
#include "../../reference/linear.h"
#include "../../reference/number.h"
#include "../case.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"

static bf_case_list cases;
static bf_case *c;
static bf_tensor t[BF_MAX_TENSORS];
static bf_expected *expected;
static bf_verdict v;
static bf_error err;

static int64_t declared;
static int64_t declare(const bf_problem *p) { return declared ? declared : p->dim[LINEAR_K]; }
static const bf_kernel fp32 = {.op = "linear", .name = "test", .path = "fp32", .chain = declare};
static const bf_kernel wmma = {.op = "linear", .name = "test", .path = "wmma", .chain = declare};

static void begin(const char *line) {
    declared = 0;
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", err.text);
    c = &cases.item[cases.count - 1];
    cr_assert_eq(c->op->tensors(&c->problem, NULL, t, &err), 0, "%s", err.text);
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (t[i].role != BF_UNUSED) t[i].data = malloc(t[i].bytes); /* exact: the sanitizer sees the edge */
    cr_assert_eq(c->op->fill(c, t, &err), 0, "%s", err.text);
}
static void expect(void) {
    if (expected) c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    cr_assert(expected, "%s", err.text);
}
static void end(void) {
    if (expected) c->op->release(expected);
    expected = NULL;
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(t[i].data);
    memset(t, 0, sizeof t);
    bf_case_list_free(&cases);
}
static bf_status judge(const bf_kernel *k) {
    c->op->judge(c, k, t, expected, &v);
    return v.status;
}
static void put(int64_t i, double value) {
    uint32_t u = bf_ref_encode(t[LINEAR_Y].type, value);
    if (t[LINEAR_Y].type == BF_F32) ((uint32_t *)t[LINEAR_Y].data)[i] = u;
    else ((uint16_t *)t[LINEAR_Y].data)[i] = (uint16_t)u;
}
/* y as right as it can be; where anything goes, zero. */
static bf_dump right(const bf_kernel *k) {
    bf_dump d;
    cr_assert_eq(bf_op_dump(c, k, t, expected, LINEAR_Y, &d, &err), 0, "%s", err.text);
    for (int64_t i = 0; i < d.count; i++) put(i, d.ref[i]);
    return d;
}
static void drop(bf_dump d) { free(d.ref), free(d.bound); }

Test(linear, right_passes_and_each_wrong_result_fails) {
    begin("linear m=20 k=300 n=3 w=bf16 b=f32 fill=gauss");
    expect();
    bf_dump d = right(&fp32);
    cr_assert_eq(judge(&fp32), BF_PASS, "%s", v.note);
    cr_assert_eq(v.outputs, 60);
    cr_assert(v.worst < 0.2);
    put(59, d.ref[59] + 1.01 * d.bound[59] + FLT_EPSILON * fabs(d.ref[59]));
    cr_assert_eq(judge(&fp32), BF_FAIL);
    cr_assert_eq(v.first[0].index, 59);
    put(59, NAN);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    put(59, -INFINITY);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    for (int i = 0; i < 20; i++) put(i, d.ref[20 + i]), put(20 + i, d.ref[i]);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    for (int i = 0; i < 60; i++) put(i, 0);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    for (int i = 0; i < 60; i++) put(i, 1.02 * d.ref[i]);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    for (int i = 0; i < 60; i++) put(i, d.ref[i] - bf_element_value(&t[LINEAR_B], i % 20));
    cr_assert_eq(judge(&fp32), BF_FAIL);
    drop(d);
    end();
}

static double bound_over(const bf_kernel *k, int64_t chain) {
    bf_dump d;
    declared = chain;
    cr_assert_eq(bf_op_dump(c, k, t, expected, LINEAR_Y, &d, &err), 0);
    double b = d.bound[0];
    drop(d);
    return b;
}
Test(linear, bound_follows_the_chain_and_its_caps) {
    begin("linear m=4 k=1000 fill=gauss");
    expect();
    cr_assert_float_eq(bound_over(&fp32, 31) / bound_over(&fp32, 15), 2, 1e-3);
    cr_assert_float_eq(bound_over(&wmma, 15) / bound_over(&fp32, 15), 3, 1e-3);
    cr_assert_eq(bound_over(&fp32, 1 << 20), bound_over(&fp32, 1000));
    cr_assert_eq(bound_over(&fp32, -1), bound_over(&fp32, 1000));
    end();
    begin("linear m=4 k=1000 fill=onehot");
    expect();
    cr_assert_eq(bound_over(&fp32, 1000), bound_over(&fp32, 1));
    cr_assert_eq(bound_over(&wmma, 1000), bound_over(&wmma, 1));
    end();
}

/* What underflow may cost the matrix instructions: nothing that could be seen where no operand is near the end of its range. */
Test(linear, the_grid_s_underflow_is_allowed_where_there_is_some) {
    static const struct {
        const char *line;
        double least, most; /* bound of wmma over three times that of fp32 */
    } cases[] = {{"linear m=4 k=1000 w=bf16 x=bf16 fill=gauss", 0.999, 1.001},
                 {"linear m=4 k=1000 w=f16 x=f16 fill=gauss", 0.999, 1.02},
                 {"linear m=4 k=1000 w=f16 x=f16 wscale=2^-20 fill=gauss", 2, 1000},
                 {"linear m=4 k=1000 w=bf16 x=bf16 wscale=2^-130 fill=gauss", 1000, 1e12}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(cases[i].line);
        expect();
        double r = bound_over(&wmma, 15) / bound_over(&fp32, 15) / 3;
        cr_expect(r > cases[i].least && r < cases[i].most, "%s: %g", cases[i].line, r);
        end();
    }
}
/* Integers are exact in fp32, not on the grid. */
Test(linear, integers_are_no_exact_case_on_the_grid) {
    begin("linear m=4 k=256 w=bf16 x=bf16 fill=integer");
    expect();
    cr_assert_eq(bound_over(&fp32, 15), 0);
    cr_assert_gt(bound_over(&wmma, 15), 0);
    end();
}

/* Half an ulp of y's type comes on top, and no more: a cut-off result is seen. */
Test(linear, narrow_outputs_are_rounded_not_cut) {
    static const char *const lines[] = {"linear m=64 k=16 y=f16 fill=gauss", "linear m=64 k=16 y=bf16 fill=gauss"};
    for (int i = 0; i < 2; i++) {
        begin(lines[i]);
        expect();
        bf_dump d = right(&fp32);
        cr_assert_eq(judge(&fp32), BF_PASS);
        for (int o = 0; o < 64; o++) {
            uint16_t *h = (uint16_t *)t[LINEAR_Y].data + o;
            if (fabs(bf_ref_decode(t[LINEAR_Y].type, *h)) > fabs(d.ref[o])) --*h;
        }
        cr_assert_eq(judge(&fp32), BF_FAIL);
        cr_assert_gt(v.mismatched, 16);
        drop(d);
        end();
    }
}

/* Overflow of y's type: 65,504 up to the midpoint 65,520, infinity beyond, never the other sign. */
Test(linear, overflow_of_a_narrow_output) {
    begin("linear m=4 k=1 w=f32 x=f32 y=f16 fill=gauss");
    float w[4] = {65519, 65521, 65520, -70000}, one = 1;
    memcpy(t[LINEAR_W].data, w, sizeof w), memcpy(t[LINEAR_X].data, &one, sizeof one);
    expect();
    put(0, 65504), put(1, INFINITY), put(2, INFINITY), put(3, -INFINITY);
    cr_assert_eq(judge(&fp32), BF_PASS, "%s", v.note);
    put(2, 65504); /* the bound reaches to both sides */
    cr_assert_eq(judge(&fp32), BF_PASS);
    put(2, -INFINITY);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    put(2, 65504), put(3, INFINITY);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    put(3, -65504);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    put(3, -INFINITY), put(1, 65504);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    put(1, INFINITY), put(0, INFINITY);
    cr_assert_eq(judge(&fp32), BF_FAIL);
    end();
}

/* rows: inf, NaN, inf on a zero, inf and inf of the other sign; the bias of row 4 infinite; row 5 plain. */
Test(linear, classes_of_non_finite_inputs) {
    begin("linear m=6 k=3 w=f32 x=f32 b=f32 fill=gauss");
    const float i = INFINITY, w[18] = {1, i, 1, 1, NAN, 1, 1, 1, i, i, -i, 1, 1, 1, 1, 1, 2, 3}, x[3] = {1, -2, 0}, b[6] = {0, 0, 0, 0, -i, 1};
    memcpy(t[LINEAR_W].data, w, sizeof w), memcpy(t[LINEAR_X].data, x, sizeof x), memcpy(t[LINEAR_B].data, b, sizeof b);
    expect();
    const double good[6] = {-i, NAN, NAN, i, -i, -2};
    for (int o = 0; o < 6; o++) put(o, good[o]);
    cr_assert_eq(judge(&fp32), BF_PASS, "%s %lld", v.first[0].why, (long long)v.first[0].index);
    put(3, NAN); /* not promised */
    cr_assert_eq(judge(&fp32), BF_PASS);
    static const double wrong[6][2] = {{INFINITY, 1}, {INFINITY, 0}, {INFINITY, 1}, {1, 0}, {INFINITY, NAN}, {NAN, INFINITY}};
    for (int o = 0; o < 6; o++)
        for (int n = 0; n < 2; n++) {
            put(o, wrong[o][n]);
            cr_assert_eq(judge(&fp32), BF_FAIL, "output %d", o);
            cr_assert_eq(v.first[0].index, o);
            put(o, good[o]);
        }
    end();
}

Test(linear, integer_fill_is_exact_in_every_output_type) {
    begin("linear m=40 k=1024 n=2 w=bf16 x=bf16 b=f32 y=f16 fill=integer");
    expect();
    bf_dump d = right(&fp32);
    cr_assert_eq(judge(&fp32), BF_PASS, "%s", v.first[0].why);
    for (int o = 0; o < 80; o++) cr_assert(d.bound[o] == 0 || !isfinite(d.ref[o]));
    ((uint16_t *)t[LINEAR_Y].data)[7]++;
    cr_assert_eq(judge(&fp32), BF_FAIL);
    drop(d);
    end();
}

/* dgemm against a plain loop. */
Test(linear, reference_agrees_with_a_loop) {
    begin("linear m=37 k=53 n=5 w=f16 x=bf16 fill=heavy");
    double *x = malloc(5 * 53 * sizeof *x), y[5 * 37], size[5 * 37];
    bf_ref_row column[5], row[37];
    bf_ref_linear_widen(BF_BF16, t[LINEAR_X].data, 5, 53, x, column);
    cr_assert_eq(bf_ref_linear(BF_F16, t[LINEAR_W].data, 37, 53, x, 5, y, size, row, &err), 0);
    for (int o = 0; o < 5 * 37; o++) {
        double sum = 0, magnitude = 0;
        for (int i = 0; i < 53; i++) {
            double p = bf_element_value(&t[LINEAR_W], o % 37 * 53 + i) * bf_element_value(&t[LINEAR_X], o / 37 * 53 + i);
            sum += p, magnitude += fabs(p);
        }
        cr_assert_float_eq(y[o], sum, 1e-13 * magnitude);
        cr_assert_float_eq(size[o], magnitude, 1e-13 * magnitude);
    }
    cr_assert_eq(row[3].nonzero, 53);
    free(x);
    end();
}

/* Matrices of 65,536 values and more go through a table of all codes: the same values and counts as one by one, to the last code. */
Test(linear, widening_by_table_is_widening_one_by_one) {
    static uint16_t code[65536];
    static double wide[65536];
    static bf_ref_row row[256];
    for (int i = 0; i < 65536; i++) code[i] = (uint16_t)i;
    for (int b = 0; b < 2; b++) {
        bf_dtype type = b ? BF_BF16 : BF_F16;
        bf_ref_linear_widen(type, code, 256, 256, wide, row);
        for (int r = 0; r < 256; r++) {
            int64_t nan = 0, inf = 0, nonzero = 0;
            for (int i = r * 256; i < r * 256 + 256; i++) {
                double v = bf_ref_decode(type, (uint32_t)i);
                nan += isnan(v), inf += isinf(v) != 0, nonzero += isfinite(v) && v != 0;
                cr_assert_eq(wide[i], isfinite(v) ? v : 0, "%04x", i);
            }
            cr_assert(row[r].nan == nan && row[r].inf == inf && row[r].nonzero == nonzero, "codes %02x..", r);
        }
    }
}

/* ---- kernels ---- */

/* Runs kernel k of any target on t, in scratch of exact size, and judges it. */
static void run(const bf_kernel *k) {
    bf_problem p = c->problem;
    char why[512] = "";
    for (int i = 0; i < BF_MAX_TENSORS; i++) p.ptr[i] = t[i].role == BF_UNUSED ? NULL : t[i].data;
    memset(t[LINEAR_Y].data, 0xff, t[LINEAR_Y].bytes);
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
    cr_assert_eq(judge(k), BF_PASS, "target %d, %s: %s: %s[%lld] got %g, want %g", k->target, k->name, c->line, v.first[0].why,
                 (long long)v.first[0].index, v.first[0].got, v.first[0].want);
}

static void run_all(const char *line) {
    begin(line);
    expect();
    int ran = 0;
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (strcmp(k->op, "linear") || k->role == BF_TWIN || (k->available && !k->available()) || !k->accepts(&c->problem)) continue;
        run(k);
        ran++;
    }
    cr_assert_geq(ran, 3); /* one a target */
    end();
}

/* malloc's alignment is 16, so that the wide paths run too; odd lengths make rows unaligned. */
Test(linear, every_kernel_in_exact_buffers) {
    static const char *const types[] = {"w=bf16 x=f32 y=f32", "w=f16 x=f16 b=bf16 y=f16", "w=bf16 x=bf16 b=f32 y=bf16",
                                        "w=f32 x=f32 y=f32", "w=f16 x=bf16 b=f16 y=f32"};
    static const struct { int m, k, n; } shape[] = {{1, 1, 1}, {5, 7, 8}, {3, 8, 9}, {33, 100, 3}, {17, 264, 2}, {130, 40, 65}, {7, 17, 33}};
    char line[256];
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            snprintf(line, sizeof line, "linear m=%d k=%d n=%d %s fill=gauss seed=%zu", shape[s].m, shape[s].k, shape[s].n,
                     types[i], s + i);
            run_all(line);
        }
}

/* Aligned to the element only. */
Test(linear, every_kernel_at_odd_addresses) {
    static const char *const lines[] = {"linear m=9 k=72 n=3 w=bf16 x=bf16 fill=gauss", "linear m=19 k=40 n=12 w=f16 x=f16 y=f16 fill=gauss",
                                        "linear m=9 k=64 n=2 w=f16 x=f32 fill=sparse", "linear m=4 k=72 n=20 w=bf16 x=f32 b=f32 fill=gauss"};
    for (size_t l = 0; l < 4; l++) {
        begin(lines[l]);
        char *block[BF_MAX_TENSORS] = {0};
        for (int i = 0; i < BF_MAX_TENSORS; i++) {
            if (t[i].role == BF_UNUSED) continue;
            uint64_t off = t[i].type == BF_F32 ? 4 : 2;
            block[i] = malloc(t[i].bytes + off);
            memcpy(block[i] + off, t[i].data, t[i].bytes);
            free(t[i].data);
            t[i].data = block[i] + off;
        }
        expect();
        for (size_t i = 0; i < bf_kernel_count(); i++) {
            const bf_kernel *k = bf_kernel_at(i);
            if (!strcmp(k->op, "linear") && k->role != BF_TWIN && (!k->available || k->available()) && k->accepts(&c->problem)) run(k);
        }
        for (int i = 0; i < BF_MAX_TENSORS; i++)
            if (block[i]) free(block[i]), t[i].data = NULL;
        end();
    }
}
