/* test_conv.c: every convolution kernel of every target (GPU ones run by the simt model) against plain double loops that
 * share no code with it: exact-size buffers (the sanitizer sees the edge), addresses aligned to the element only, all types,
 * odd shapes; then the judge: that it lets a right result pass and no wrong one. The sums here scatter (each element of x adds
 * to the outputs that it meets), kernels and reference gather. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/conv.h"
#include "../../kernels/cpu/pool.h"
#include "../../kernels/simt/runtime.h"
#include "../../reference/number.h"
#include "../case.h"
#include "../compare.h"
#include "../expected.h"

static uint64_t state;
static uint64_t draw(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static int64_t below(int64_t n) { return (int64_t)(draw() % (uint64_t)n); }

/* ---- kernels ---- */

typedef struct shape {
    int rank, taps, stride, pad, dilation, transposed;
    int64_t batch, in, out, groups, size[3];
    bf_dtype x, w, b, y;
} shape;

typedef struct buffers {
    bf_problem p;
    void *base[CONV_TENSORS];
    double *sum, *magnitude;
    int64_t osize[3], outputs, terms;
} buffers;

static const bf_dtype floats[] = {BF_F32, BF_F16, BF_BF16};

static int64_t reach(const shape *s) { return s->dilation * (s->taps - 1) + 1; }
static int used(const shape *s, int d) { return d >= 3 - s->rank; }
static int64_t out_size(const shape *s, int d) {
    if (!used(s, d)) return 1;
    if (s->transposed) return (s->size[d] - 1) * s->stride - 2 * s->pad + reach(s);
    int64_t room = s->size[d] + 2 * s->pad - reach(s);
    return room < 0 ? 0 : room / s->stride + 1;
}

static void *numbers(bf_dtype type, int64_t n, int offset, void **base) {
    uint64_t each = bf_dtype_bytes(type, 1);
    cr_assert_eq(posix_memalign(base, 256, (uint64_t)n * each + (uint64_t)offset * each), 0);
    char *p = (char *)*base + (uint64_t)offset * each;
    for (int64_t i = 0; i < n; i++) {
        double v = ldexp((double)(draw() >> 11), -53) * 2 - 1;
        uint32_t bits = bf_ref_encode(type, v);
        memcpy(p + (uint64_t)i * each, &bits, each);
    }
    return p;
}

/* Which x and w add to which output, by the contract's sentence about transposed convolutions, and its mirror image. */
static void scatter(const shape *s, buffers *b, int64_t n, int64_t c, const int64_t at[3], const double *w) {
    int64_t taps[3], g = c / (s->in / s->groups), per = s->out / s->groups;
    double x = bf_ref_at(s->x, b->p.ptr[CONV_X], ((n * s->in + c) * s->size[0] + at[0]) * s->size[1] * s->size[2] +
                                                     at[1] * s->size[2] + at[2]);
    for (int d = 0; d < 3; d++) taps[d] = used(s, d) ? s->taps : 1;
    int64_t all = taps[0] * taps[1] * taps[2];
    for (int64_t o = 0; o < per; o++)
        for (int64_t t = 0; t < all; t++) {
            int64_t tap[3] = {t / (taps[1] * taps[2]), t / taps[2] % taps[1], t % taps[2]}, to = 0;
            int meets = 1;
            for (int d = 0; d < 3; d++) {
                int64_t step = used(s, d) ? s->stride : 1, pad = used(s, d) ? s->pad : 0, z;
                if (s->transposed) {
                    z = at[d] * step + tap[d] * s->dilation - pad;
                } else {
                    z = at[d] + pad - tap[d] * s->dilation;
                    meets &= z % step == 0;
                    z = z >= 0 ? z / step : -1;
                }
                meets &= z >= 0 && z < b->osize[d];
                to = to * b->osize[d] + z;
            }
            if (!meets) continue;
            int64_t wat = s->transposed ? (c * per + o) * all + t : ((g * per + o) * (s->in / s->groups) + c % (s->in / s->groups)) * all + t;
            to += (n * s->out + g * per + o) * (b->osize[0] * b->osize[1] * b->osize[2]);
            b->sum[to] += x * w[wat], b->magnitude[to] += fabs(x * w[wat]);
        }
}

static buffers make(const shape *s, int offset) {
    buffers b = {.outputs = s->batch * s->out, .terms = s->in / s->groups};
    int64_t elements = s->batch * s->in, weights = s->out * (s->in / s->groups);
    for (int d = 0; d < 3; d++) {
        b.osize[d] = out_size(s, d), b.outputs *= b.osize[d], elements *= s->size[d];
        if (used(s, d)) weights *= s->taps, b.terms *= s->taps;
        b.p.dim[CONV_Z + d] = s->size[d];
    }
    b.p.dim[CONV_BATCH] = s->batch, b.p.dim[CONV_IN] = s->in, b.p.dim[CONV_OUT] = s->out, b.p.dim[CONV_GROUPS] = s->groups;
    b.p.param[CONV_RANK] = s->rank, b.p.param[CONV_TAPS] = s->taps, b.p.param[CONV_STRIDE] = s->stride;
    b.p.param[CONV_PAD] = s->pad, b.p.param[CONV_DILATION] = s->dilation, b.p.param[CONV_TRANSPOSED] = s->transposed;
    b.p.type[CONV_X] = s->x, b.p.type[CONV_WT] = s->w, b.p.type[CONV_B] = s->b, b.p.type[CONV_Y] = s->y;
    b.p.ptr[CONV_X] = numbers(s->x, elements, offset, &b.base[CONV_X]);
    b.p.ptr[CONV_WT] = numbers(s->w, weights, offset, &b.base[CONV_WT]);
    b.p.ptr[CONV_Y] = numbers(s->y, b.outputs, offset, &b.base[CONV_Y]);
    if (s->b != BF_NONE) b.p.ptr[CONV_B] = numbers(s->b, s->out, offset, &b.base[CONV_B]);
    b.sum = calloc((size_t)b.outputs, sizeof *b.sum), b.magnitude = calloc((size_t)b.outputs, sizeof *b.sum);
    double *w = malloc(sizeof *w * (size_t)weights);
    for (int64_t i = 0; i < weights; i++) w[i] = bf_ref_at(s->w, b.p.ptr[CONV_WT], i);
    int64_t at[3];
    for (int64_t n = 0; n < s->batch; n++)
        for (int64_t c = 0; c < s->in; c++)
            for (at[0] = 0; at[0] < s->size[0]; at[0]++)
                for (at[1] = 0; at[1] < s->size[1]; at[1]++)
                    for (at[2] = 0; at[2] < s->size[2]; at[2]++) scatter(s, &b, n, c, at, w);
    free(w);
    return b;
}
static void release(buffers *b) {
    for (int i = 0; i < CONV_TENSORS; i++) free(b->base[i]);
    free(b->sum), free(b->magnitude);
}

static void launch(const bf_kernel *k, bf_problem *p, bf_pool *pool) {
    bf_step steps[BF_MAX_STEPS];
    char why[512] = "";
    uint64_t room = k->scratch ? k->scratch(p) : 0;
    p->scratch = NULL;
    if (room) cr_assert_eq(posix_memalign(&p->scratch, 256, room), 0);
    if (room) memset(p->scratch, 0xff, room); /* NaN in every type */
    if (k->target == BF_CPU) {
        k->run(p, pool);
    } else {
        int n = k->plan(p, steps);
        cr_assert(n >= 1 && n <= BF_MAX_STEPS);
        for (int i = 0; i < n; i++)
            cr_assert_eq(bf_simt_run(k->target, &steps[i], why, sizeof why), 0, "%s: %s", k->name, why);
    }
    free(p->scratch);
}

static void describe(const shape *s, char text[300]) {
    snprintf(text, 300, "conv rank=%d in=%lld out=%lld groups=%lld z=%lld h=%lld w=%lld batch=%lld taps=%d stride=%d pad=%d "
             "dilation=%d transposed=%d x=%s wt=%s b=%s y=%s", s->rank, (long long)s->in, (long long)s->out,
             (long long)s->groups, (long long)s->size[0], (long long)s->size[1], (long long)s->size[2], (long long)s->batch,
             s->taps, s->stride, s->pad, s->dilation, s->transposed, bf_dtype_name(s->x), bf_dtype_name(s->w),
             bf_dtype_name(s->b), bf_dtype_name(s->y));
}

/* All kernels that accept it, on one problem. Returns how many. */
static int try_shape(const shape *s, int offset, bf_pool *pool) {
    int ran = 0;
    char text[300];
    describe(s, text);
    buffers b = make(s, offset);
    int64_t plane = b.osize[0] * b.osize[1] * b.osize[2];
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (strcmp(k->op, "conv") || k->role == BF_TWIN || (k->available && !k->available()) || !k->accepts(&b.p)) continue;
        memset(b.p.ptr[CONV_Y], 0xff, bf_dtype_bytes(s->y, b.outputs));
        launch(k, &b.p, pool);
        ran++;
        int64_t chain = k->chain(&b.p);
        cr_assert(chain >= (s->b != BF_NONE) && chain <= b.terms + 8, "%s: chain %lld", k->name, (long long)chain);
        for (int64_t o = 0; o < b.outputs; o++) {
            double bias = s->b == BF_NONE ? 0 : bf_ref_at(s->b, b.p.ptr[CONV_B], o / plane % s->out);
            double want = b.sum[o] + bias, got = bf_ref_at(s->y, b.p.ptr[CONV_Y], o);
            double bound = (double)(chain + 1) * 0x1.01p-24 * b.magnitude[o] + 0x1p-24 * fabs(bias) + 0x1p-140;
            if (s->y != BF_F32) bound += bf_ref_ulp(s->y, fabs(want) + bound) / 2;
            cr_assert(fabs(got - want) <= bound, "%s %s (target %d): y[%lld] = %.9g, want %.9g within %.3g", k->name, text,
                      k->target, (long long)o, got, want, bound);
        }
    }
    release(&b);
    return ran;
}

static void random_shape(shape *s) {
    for (;;) {
        s->rank = 1 + (int)below(3), s->taps = 1 + (int)below(s->rank == 1 ? 12 : s->rank == 2 ? 5 : 3);
        s->stride = 1 + (int)below(4), s->pad = (int)below(4), s->dilation = 1 + (int)below(3);
        s->transposed = (int)below(2), s->batch = 1 + below(2);
        s->groups = below(2) ? 1 : 1 + below(6);
        s->in = s->groups * (1 + below(below(4) ? 5 : 20)), s->out = s->groups * (1 + below(below(4) ? 5 : 80));
        if (below(5) == 0) s->groups = s->in = s->out = 1 + below(12);
        for (int d = 0; d < 3; d++) s->size[d] = used(s, d) ? 1 + below(s->rank == 1 ? 150 : s->rank == 2 ? 14 : 6) : 1;
        s->x = floats[below(3)], s->w = floats[below(3)], s->y = floats[below(3)];
        s->b = below(4) ? floats[below(3)] : BF_NONE;
        int ok = 1;
        int64_t work = s->batch * s->out * (s->in / s->groups);
        for (int d = 0; d < 3; d++) ok &= out_size(s, d) >= 1, work *= (used(s, d) ? s->taps : 1) * (ok ? out_size(s, d) : 1);
        if (ok && work < 400000) return;
    }
}

Test(conv, every_kernel_on_random_shapes_and_types) {
    bf_pool *pool = bf_pool_new(2);
    int ran = 0;
    state = 1;
    for (int i = 0; i < 120; i++) {
        shape s;
        random_shape(&s);
        ran += try_shape(&s, i % 2, pool);
    }
    cr_assert_geq(ran, 3 * 120);
    bf_pool_free(pool);
}

Test(conv, kernel_larger_than_the_input) {
    shape s = {.rank = 1, .taps = 31, .stride = 1, .pad = 15, .dilation = 1, .batch = 1, .in = 3, .out = 2, .groups = 1,
               .size = {1, 1, 1}, .x = BF_F32, .w = BF_F16, .b = BF_NONE, .y = BF_F32};
    for (s.size[2] = 1; s.size[2] < 9; s.size[2]++) cr_assert_geq(try_shape(&s, 0, NULL), 3);
    s.rank = 3, s.taps = 3, s.pad = 1, s.size[2] = 1;
    cr_assert_geq(try_shape(&s, 0, NULL), 3);
}

Test(conv, kernels_refuse_what_is_no_convolution) {
    shape s = {.rank = 1, .taps = 3, .stride = 1, .dilation = 1, .batch = 1, .in = 4, .out = 4, .groups = 1,
               .size = {1, 1, 8}, .x = BF_F32, .w = BF_F16, .b = BF_NONE, .y = BF_F32};
    buffers b = make(&s, 0);
    for (int wrong = 0; wrong < 5; wrong++) {
        bf_problem p = b.p;
        if (wrong == 0) p.dim[CONV_GROUPS] = 3;
        if (wrong == 1) p.dim[CONV_W] = 2; /* no room for three taps */
        if (wrong == 2) p.type[CONV_WT] = BF_Q4_K;
        if (wrong == 3) p.param[CONV_RANK] = 4;
        if (wrong == 4) p.dim[CONV_W] = INT64_C(1) << 40;
        for (size_t i = 0; i < bf_kernel_count(); i++)
            if (!strcmp(bf_kernel_at(i)->op, "conv")) cr_assert_not(bf_kernel_at(i)->accepts(&p), "%s takes %d", bf_kernel_at(i)->name, wrong);
    }
    release(&b);
}

/* ---- the judge ---- */

static bf_case_list cases;
static bf_case *c;
static bf_tensor t[BF_MAX_TENSORS];
static bf_expected *expected;
static bf_verdict v;
static bf_error err;

static int64_t declared;
static int64_t declare(const bf_problem *p) {
    (void)p;
    return declared;
}
static const bf_kernel judged = {.op = "conv", .name = "test", .target = BF_CPU, .chain = declare};

static void begin(const char *line) {
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", err.text);
    c = &cases.item[cases.count - 1];
    cr_assert_eq(c->op->tensors(&c->problem, NULL, t, &err), 0, "%s", err.text);
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (t[i].role != BF_UNUSED) t[i].data = calloc(1, t[i].bytes + 1);
    cr_assert_eq(c->op->fill(c, t, &err), 0, "%s", err.text);
    expected = c->op->expect(c, t, &err);
    cr_assert(expected, "%s", err.text);
    declared = 1 << 20;
}
static void end(void) {
    c->op->release(expected);
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(t[i].data);
    memset(t, 0, sizeof t);
    bf_case_list_free(&cases);
}
static bf_status judge(void) {
    c->op->judge(c, &judged, t, expected, &v);
    return v.status;
}
static bf_dump right(void) {
    bf_dump d;
    cr_assert_eq(bf_op_dump(c, &judged, t, expected, CONV_Y, &d, &err), 0, "%s", err.text);
    for (int64_t i = 0; i < d.count; i++) ((float *)t[CONV_Y].data)[i] = (float)d.ref[i];
    return d;
}
static void drop(bf_dump d) { free(d.ref), free(d.bound); }

Test(conv, right_passes_and_each_wrong_result_fails) {
    begin("conv rank=2 in=8 out=6 h=7 w=9 taps=3 pad=1");
    bf_dump d = right();
    float *y = t[CONV_Y].data;
    cr_assert_eq(judge(), BF_PASS, "%s", v.note);
    cr_assert_eq(v.outputs, 6 * 7 * 9);
    cr_assert(v.worst_prob >= v.worst);
    y[77] = (float)(d.ref[77] + 0.98 * d.bound[77]);
    cr_assert_eq(judge(), BF_PASS);
    y[77] = (float)(d.ref[77] + 1.02 * d.bound[77]) + 2 * FLT_EPSILON * fabsf(y[77]);
    cr_assert_eq(judge(), BF_FAIL);
    cr_assert_eq(v.first[0].index, 77);
    y[77] = NAN;
    cr_assert_eq(judge(), BF_FAIL);
    y[77] = INFINITY;
    cr_assert_eq(judge(), BF_FAIL);
    for (int i = 0; i < d.count; i++) y[i] = (float)d.ref[(i + 63) % d.count]; /* channels shifted */
    cr_assert_eq(judge(), BF_FAIL);
    for (int i = 0; i < d.count; i++) y[i] = (float)(1.02 * d.ref[i]);
    cr_assert_eq(judge(), BF_FAIL);
    memset(y, 0, t[CONV_Y].bytes);
    cr_assert_eq(judge(), BF_FAIL);
    drop(d);
    end();
}

Test(conv, bound_follows_the_chain_and_its_caps) {
    begin("conv rank=1 in=32 out=2 w=9 taps=5 b=none");
    declared = 15;
    bf_dump a = right();
    declared = 31;
    bf_dump b = right();
    cr_assert_float_eq(b.bound[0] / a.bound[0], 2, 1e-3);
    drop(a), drop(b);
    declared = -1;
    a = right();
    declared = 1 << 20;
    b = right();
    cr_assert_eq(a.bound[0], b.bound[0]);
    declared = 32 * 5 - 1; /* no element is zero: one addition less than there are products */
    drop(a);
    a = right();
    cr_assert_eq(a.bound[0], b.bound[0]);
    drop(a), drop(b);
    end();
}

Test(conv, exactly_what_a_nan_reaches_is_not_finite) {
    begin("conv rank=1 in=4 out=4 groups=2 w=9 taps=3 pad=1 poison=6"); /* channel 0, position 5 */
    bf_dump d = right();
    float *y = t[CONV_Y].data;
    for (int i = 0; i < 36; i++) cr_assert_eq(isnan(d.ref[i]) != 0, i < 18 && i % 9 >= 4 && i % 9 <= 6, "%d", i);
    cr_assert_eq(judge(), BF_PASS, "%s", v.note);
    y[3] = NAN;
    cr_assert_eq(judge(), BF_FAIL);
    y[3] = (float)d.ref[3], y[4] = 1;
    cr_assert_eq(judge(), BF_FAIL);
    y[4] = INFINITY;
    cr_assert_eq(judge(), BF_PASS);
    drop(d);
    end();
}

Test(conv, a_bad_weight_over_padding_may_or_may_not_poison) {
    begin("conv rank=1 in=1 out=1 w=4 taps=3 pad=1");
    bf_dump d = right();
    uint16_t inf = 0x7c00;
    memcpy(t[CONV_WT].data, &inf, 2); /* first tap: at output 0 it meets padding only */
    c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    float *y = t[CONV_Y].data;
    bf_dump e;
    cr_assert_eq(bf_op_dump(c, &judged, t, expected, CONV_Y, &e, &err), 0);
    y[0] = (float)e.ref[0], y[1] = y[2] = y[3] = NAN;
    cr_assert_eq(judge(), BF_PASS, "%s", v.note);
    y[0] = NAN;
    cr_assert_eq(judge(), BF_PASS);
    y[0] = (float)e.ref[0] + 1;
    cr_assert_eq(judge(), BF_FAIL);
    y[0] = (float)e.ref[0], y[2] = 0;
    cr_assert_eq(judge(), BF_FAIL);
    drop(d), drop(e);
    end();
}

/* Nothing but padding below an output: it is the bias, and nothing rounds. */
Test(conv, an_output_without_products_is_exact) {
    begin("conv rank=1 in=1 out=1 w=1 taps=1 pad=1 x=f32 wt=f32 b=f32");
    float one = 1, *y = t[CONV_Y].data;
    memcpy(t[CONV_B].data, &one, 4);
    c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    drop(right());
    cr_assert_eq(judge(), BF_PASS, "%s", v.note);
    cr_assert_eq(y[0], 1);
    y[0] = 1 - 0x1p-24f; /* half an ulp of one away: what a sum of products may be off by */
    cr_assert_eq(judge(), BF_FAIL);
    end();
}

Test(conv, fp16_outputs_overflow_where_the_sum_does) {
    begin("conv rank=1 in=1 out=1 w=3 taps=1 x=f32 wt=f32 b=none y=f16");
    float x[3] = {65519, 65521, -70000}, one = 1;
    memcpy(t[CONV_X].data, x, sizeof x);
    memcpy(t[CONV_WT].data, &one, 4);
    c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    uint16_t *y = t[CONV_Y].data, right16[3] = {0x7bff, 0x7c00, 0xfc00};
    memcpy(y, right16, sizeof right16);
    cr_assert_eq(judge(), BF_PASS, "%s", v.note);
    y[2] = 0x7c00; /* the other infinity */
    cr_assert_eq(judge(), BF_FAIL);
    y[2] = 0xfc00, y[1] = 0x7bff; /* clamped */
    cr_assert_eq(judge(), BF_FAIL);
    y[1] = 0x7c00, y[0] = 0x7c00;
    cr_assert_eq(judge(), BF_FAIL);
    end();
}

Test(conv, impossible_cases_are_errors) {
    static const char *const lines[] = {"conv rank=1 in=4 out=4 groups=3 w=9", "conv rank=1 in=4 out=4 w=2",
                                        "conv rank=1 in=4 out=4 h=2 w=9", "conv rank=2 in=4 out=4 h=1 w=2 taps=5 pad=1"};
    for (int i = 0; i < 4; i++) {
        cases = (bf_case_list){0};
        cr_assert_eq(bf_case_parse_line(lines[i], strlen(lines[i]), NULL, 0, &cases, &err), 0);
        cr_assert_neq(cases.item[0].op->tensors(&cases.item[0].problem, NULL, t, &err), 0, "%s", lines[i]);
        bf_case_list_free(&cases);
    }
}

Test(conv, fields_have_limits) {
    static const char *const fields[] = {"taps=0", "taps=4097", "stride=0", "dilation=0", "groups=0", "batch=0", "pad=-1", "rank=0", "rank=4",
                                         "transposed=2", "w=0", "in=0", "out=0"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char line[100];
        const char *const had[] = {"rank=1 ", "in=4 ", "out=4 ", "w=9 "};
        int n = snprintf(line, sizeof line, "conv ");
        for (int k = 0; k < 4; k++) /* a field is given once */
            if (strncmp(had[k], fields[i], strcspn(fields[i], "=") + 1)) n += snprintf(line + n, sizeof line - (size_t)n, "%s", had[k]);
        snprintf(line + n, sizeof line - (size_t)n, "%s", fields[i]);
        cases = (bf_case_list){0};
        cr_assert_neq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", line);
        cr_assert(strstr(err.text, "out of range"), "%s: %s", line, err.text);
        bf_case_list_free(&cases);
    }
}

/* A swamped sum needs weights that are all there: each is one. */
Test(conv, swamped_sums_have_weights_of_one) {
    begin("conv rank=1 in=8 out=6 w=20 taps=3 fill=swamp");
    for (int64_t i = 0; i < 6 * 8 * 3; i++) cr_assert_eq(bf_element_value(&t[CONV_WT], i), 1, "weight %lld", (long long)i);
    end();
}
