/* linear: y = W x + b for weights of 16 or 32 bits and activations of any type (contract: kernels/common/linear.h). How the
 * bounds come about:
 *
 * Notation: u = 2^-24, gamma(n) = n u / (1 - n u); a product of n factors (1 + delta) with |delta| <= u is 1 + theta with
 * |theta| <= gamma(n) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1).
 *
 * 1. Path fp32. Widening is exact. Each product w x is rounded once (not at all inside a fused multiply-add, whose
 * one rounding is counted as the addition's), each addition between it and the output once, the addition of the bias once. With `chain` the
 * longest path of additions from a product to the sum,
 *
 *     |s - s_ref| <= gamma(chain + 1 + [bias]) M,    M = sum over k of |w| |x| + |b|
 *
 * chain is what the kernel declares; never more than K + 8 (one sequential sum and a last reduction); never more than z,
 * the number of k where w and x can both be non-zero, taken as the smaller of the counts of the row and of the column: adding an exact zero
 * rounds nothing, and z addends need z - 1 additions. Sparse columns therefore have bounds of a few u, and reveal
 * rounded operands.
 *
 * Underflow: every operation that underflows is off by at most 2^-150: K products, K additions, a reduction, together
 * below eta = (K + 16) 2^-149. The reference's dgemm is off by at most K 2^-53 M. Both are added.
 *
 * 2. Path wmma. A product of two 16-bit values with the same type is exact (16 or 22 significand bits). The additions of gfx11's
 * matrix instructions err by up to 3 u, on a grid of their own (ops.h derives it, with its source and what underflow costs there):
 *
 *     |s - s_ref| <= gamma(min(3 (chain + 1), 4 z + 1) + [bias]) M
 *
 * There is no probabilistic form of it: these errors have a preferred sign. An infinity beside a subnormal bf16 operand may give NaN,
 * because that operand is flushed.
 *
 * 3. The output. y is s rounded once more where its type is narrower: half an ulp (of that type) at |s_ref| + the bound so
 * far is added. Where that range reaches the midpoint between the largest finite value and what would come next, an
 * infinity is right too (of s_ref's sign, where the bound leaves no doubt of it); where all of it lies beyond, only that
 * infinity is.
 *
 * 4. Class comes first. A NaN in the row, the column or the bias makes the output NaN. Of infinities: one alone, whose partner is finite and
 * not zero, gives the infinity of the product's sign; with a zero, NaN; more than one, either. Every other output is finite
 * unless the sum may leave fp32: M (1 + gamma) >= FLT_MAX. There anything goes, but for a sum that cannot be finite.
 *
 * 5. Integer fill: partial sums are integers below 2^24 times one unit; then the bound is 0, and y the sum rounded to
 * its type to nearest even. Not on path wmma, whose grid does not keep integers of mixed signs exact.
 *
 * 6. The probabilistic bound has gamma_prob (ops.h) in place of gamma. Witness cases on random data are judged by it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/linear.h"
#include "../../reference/linear.h"
#include "../../reference/number.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

enum { SCALE, WSCALE /* params: powers of two that x and w are multiplied by */ };
#define FLOATS (1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16)

static const bf_field fields[] = {
    {"m", BF_FIELD_DIM, LINEAR_M, NULL, 1, INT64_C(1) << 24, 1, 0, NULL, "rows of W, outputs a column"},
    {"k", BF_FIELD_DIM, LINEAR_K, NULL, 1, INT64_C(1) << 20, 1, 0, NULL, "columns of W, length of the sums"},
    {"n", BF_FIELD_DIM, LINEAR_N, "1", 1, INT64_C(1) << 20, 1, 0, NULL, "columns of x (tokens)"},
    {"w", BF_FIELD_TYPE, LINEAR_W, "bf16", 0, 0, 0, FLOATS, NULL, "type of the weights"},
    {"x", BF_FIELD_TYPE, LINEAR_X, "f32", 0, 0, 0, FLOATS, NULL, "type of x"},
    {"b", BF_FIELD_TYPE, LINEAR_B, "none", 0, 0, 0, FLOATS | 1u << BF_NONE, NULL, "type of the bias, or none"},
    {"y", BF_FIELD_TYPE, LINEAR_Y, "f32", 0, 0, 0, FLOATS, NULL, "type of y"},
    {"scale", BF_FIELD_POWER, SCALE, "1", 0, 0, 0, 0, NULL, "x is multiplied by this power of two"},
    {"wscale", BF_FIELD_POWER, WSCALE, "2^-5", 0, 0, 0, 0, NULL, "weights are multiplied by this power of two"},
    {0}};
static const char *const paths[] = {"fp32", "wmma", NULL};

typedef struct linear_expected {
    bf_expected base;
    double *x;             /* [n][k], NaN and infinities as 0 */
    double *b;             /* [m], as stored; zeros without a bias */
    double *y, *magnitude; /* [n][m], with the bias where it is finite */
    bf_ref_row *row, *column;
} linear_expected;

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t m = p->dim[LINEAR_M], k = p->dim[LINEAR_K], n = p->dim[LINEAR_N];
    if (p->type[LINEAR_B] != BF_NONE && bf_op_tensor(&t[LINEAR_B], "b", BF_INPUT, p->type[LINEAR_B], 0, m, err)) return -1;
    return bf_op_tensor(&t[LINEAR_W], "w", BF_INPUT, p->type[LINEAR_W], m, k, err) ||
                   bf_op_tensor(&t[LINEAR_X], "x", BF_INPUT, p->type[LINEAR_X], n, k, err) ||
                   bf_op_tensor(&t[LINEAR_Y], "y", BF_OUTPUT, p->type[LINEAR_Y], n, m, err)
               ? -1
               : 0;
}

static int power_of_two(double v, int *exponent) {
    int is = frexp(v, exponent) == 0.5;
    return is && abs(--*exponent) <= 300;
}

/* What the weights (stream 0) are where x's fill is made for a vector: swamping needs weights of one sign, one-hot and
 * sparse columns ordinary weights. The bias likewise. */
static bf_fill fill_of(bf_fill f, int weights) {
    if (f == BF_FILL_ONEHOT || f == BF_FILL_SPARSE) return BF_FILL_GAUSS;
    return f == BF_FILL_SWAMP && weights ? BF_FILL_CONSTANT : f;
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    int x2, w2, f = bf_fill_parse(c->fill);
    if (f < 0) return bf_fail(err, "linear: unknown fill '%s'", c->fill);
    if (!power_of_two(p->param[SCALE], &x2) || !power_of_two(p->param[WSCALE], &w2))
        return bf_fail(err, "linear: scale=%g and wscale=%g must be powers of two (2^-300 to 2^300)", p->param[SCALE],
                       p->param[WSCALE]);
    int64_t m = p->dim[LINEAR_M], k = p->dim[LINEAR_K];
    bf_fill w = fill_of((bf_fill)f, 1);
    if (f == BF_FILL_SWAMP) /* one constant for all rows */
        bf_fill_values(w, c->seed, 0, t[LINEAR_W].type, 0, m * k, w2, t[LINEAR_W].data);
    else
        bf_fill_values(w, c->seed, 0, t[LINEAR_W].type, m, k, w2, t[LINEAR_W].data);
    bf_fill_values((bf_fill)f, c->seed, 1, t[LINEAR_X].type, p->dim[LINEAR_N], k, x2, t[LINEAR_X].data);
    if (t[LINEAR_B].role == BF_INPUT)
        bf_fill_values(fill_of((bf_fill)f, 0), c->seed, 2, t[LINEAR_B].type, 0, m, 0, t[LINEAR_B].data);
    return 0;
}

/* ---- reference ---- */

static void release(bf_expected *base) {
    linear_expected *e = (linear_expected *)base;
    if (!e) return;
    free(e->x), free(e->b), free(e->y), free(e->magnitude), free(e->row), free(e->column);
    free(e);
}

static int dump(const bf_case *, const bf_kernel *, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *, int slot,
                double *ref, double *bound);

static void add_bias(const bf_tensor *b, int64_t m, int64_t n, linear_expected *e) {
    for (int64_t r = 0; r < m; r++) {
        e->b[r] = b->role == BF_INPUT ? bf_ref_at(b->type, b->data, r) : 0;
        for (int64_t c = 0; c < n && isfinite(e->b[r]); c++)
            e->y[c * m + r] += e->b[r], e->magnitude[c * m + r] += fabs(e->b[r]);
    }
}

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    size_t m = (size_t)p->dim[LINEAR_M], k = (size_t)p->dim[LINEAR_K], n = (size_t)p->dim[LINEAR_N];
    linear_expected *e = calloc(1, sizeof *e);
    if (e) {
        e->base.dump = dump;
        e->x = malloc(n * k * sizeof *e->x), e->b = malloc(m * sizeof *e->b);
        e->y = malloc(n * m * sizeof *e->y), e->magnitude = malloc(n * m * sizeof *e->magnitude);
        e->row = calloc(m, sizeof *e->row), e->column = calloc(n, sizeof *e->column);
    }
    if (!e || !e->x || !e->b || !e->y || !e->magnitude || !e->row || !e->column) {
        bf_fail(err, "linear: no memory for the reference");
        release((bf_expected *)e);
        return NULL;
    }
    bf_ref_linear_widen(t[LINEAR_X].type, t[LINEAR_X].data, (int64_t)n, (int64_t)k, e->x, e->column);
    if (bf_ref_linear(t[LINEAR_W].type, t[LINEAR_W].data, (int64_t)m, (int64_t)k, e->x, (int64_t)n, e->y, e->magnitude,
                      e->row, err)) {
        release((bf_expected *)e);
        return NULL;
    }
    add_bias(&t[LINEAR_B], (int64_t)m, (int64_t)n, e);
    return &e->base;
}

/* ---- judgement ---- */

/* Roundings behind one output (1. and 2. above). */
static double roundings(const bf_case *c, const bf_kernel *k, const linear_expected *e, int64_t r, int64_t col) {
    int64_t cap = c->problem.dim[LINEAR_K] + 8, chain = k->chain ? k->chain(&c->problem) : cap;
    int64_t few = e->row[r].nonzero < e->column[col].nonzero ? e->row[r].nonzero : e->column[col].nonzero;
    if (chain < 0 || chain > cap) chain = cap;
    int bias = c->problem.type[LINEAR_B] != BF_NONE;
    if (bf_adds_on_grid(k)) return fmin((double)BF_GRID_ADDITION * (double)(chain + 1), (double)BF_GRID_PRODUCT * (double)few + 1) + bias;
    if (chain > few) chain = few;
    return (double)(chain + 1 + bias);
}

/* 1 when every partial sum of output (r, col) is an integer below 2^24 times one unit that divides the products and
 * the bias. */
static int exact(const bf_case *c, int64_t r, int64_t col, double magnitude) {
    const bf_problem *p = &c->problem;
    if (bf_fill_parse(c->fill) != BF_FILL_INTEGER) return 0;
    int x = bf_fill_integer_exponent(c->seed, 1, col) + ilogb(p->param[SCALE]);
    int w = bf_fill_integer_exponent(c->seed, 0, r) + ilogb(p->param[WSCALE]), unit = w + x;
    int bias = p->type[LINEAR_B] != BF_NONE ? bf_fill_integer_exponent(c->seed, 2, 0) : unit;
    if (bias < unit) unit = bias;
    /* 7-bit integers times 2^e are exact in fp16 only within its range. */
    int narrow = (p->type[LINEAR_X] == BF_F16 && (x < -24 || x > 8)) || (p->type[LINEAR_W] == BF_F16 && (w < -24 || w > 8));
    return !narrow && unit > -120 && magnitude < ldexp(1, unit + 24);
}

/* Adds the rounding of a sum within `reach` of w->value to y's type (3. above). */
static void round_output(bf_dtype type, bf_want *w, double reach) {
    double size = fabs(w->value), ulp = bf_ref_ulp(type, fmin(size + reach, bf_ref_largest(type)));
    double top = bf_ref_largest(type) + bf_ref_ulp(type, bf_ref_largest(type)) / 2;
    if (type != BF_F32) w->bound += ulp / 2, w->prob += w->prob > 0 ? ulp / 2 : 0;
    if (size - reach >= top) {
        w->value = copysign(INFINITY, w->value), w->bound = NAN;
        w->allow = w->allow & BF_ALLOW_NAN ? BF_ALLOW_INF | BF_ALLOW_NAN : BF_ALLOW_INF;
    } else if (size + reach >= top)
        w->allow |= BF_ALLOW_INF;
}

static const bf_want nothing_finite = {.value = NAN, .bound = NAN, .allow = BF_ALLOW_INF | BF_ALLOW_NAN};

/* Output of a row, column or bias with NaN or infinities (4. above). `safe`: all the rest stays within fp32. */
static bf_want want_special(const linear_expected *e, const bf_tensor *tw, int64_t r, int64_t col, int64_t k, int grid, int safe) {
    const bf_ref_row *a = &e->row[r], *x = &e->column[col];
    bf_want w = nothing_finite;
    double partner = 1;
    int negative = signbit(e->b[r]) != 0;
    if (a->nan || x->nan || isnan(e->b[r])) {
        w.allow = BF_ALLOW_NAN;
        return w;
    }
    if (a->inf + x->inf + (isinf(e->b[r]) != 0) > 1) return w;
    if (a->inf) partner = e->x[col * k + a->at], negative = a->negative;
    if (x->inf) partner = bf_ref_at(tw->type, tw->data, r * k + x->at), negative = x->negative;
    if (partner == 0)
        w.allow = BF_ALLOW_NAN;
    else if (safe)
        w.allow = BF_ALLOW_INF, w.value = negative != (partner < 0) ? -INFINITY : INFINITY;
    if (grid && fabs(partner) < 0x1p-126) w.allow |= BF_ALLOW_NAN;
    return w;
}

static bf_want want(const bf_case *c, const bf_kernel *kernel, const linear_expected *e,
                    const bf_tensor t[BF_MAX_TENSORS], int64_t r, int64_t col) {
    int64_t k = c->problem.dim[LINEAR_K], m = c->problem.dim[LINEAR_M];
    double magnitude = e->magnitude[col * m + r], own = roundings(c, kernel, e, r, col);
    double rest = (double)k * BF_REF_U64 * magnitude + (double)(k + 16) * 0x1p-149;
    bf_want w = {.value = e->y[col * m + r], .allow = BF_ALLOW_FINITE};
    bf_dtype type = t[LINEAR_Y].type;
    int grid = bf_adds_on_grid(kernel);
    if (grid) {
        const bf_ref_row *a = &e->row[r], *x = &e->column[col];
        rest += bf_grid_underflow(t[LINEAR_W].type, k, (double)a->subnormal, a->top, (double)x->subnormal, x->top);
    }
    w.bound = bf_gamma(own) * magnitude + rest;
    if (!grid) w.prob = bf_gamma_prob(own) * magnitude + rest;
    int safe = magnitude + w.bound < bf_ref_largest(BF_F32);
    if (e->row[r].nan || e->row[r].inf || e->column[col].nan || e->column[col].inf || !isfinite(e->b[r]))
        return want_special(e, &t[LINEAR_W], r, col, k, grid, safe);
    if (!grid && exact(c, r, col, magnitude)) {
        w.value = bf_ref_decode(type, bf_ref_encode(type, w.value)), w.bound = w.prob = 0;
        if (isinf(w.value)) w.allow = BF_ALLOW_INF, w.bound = NAN;
        return w;
    }
    if (c->witness && bf_fill_random((bf_fill)bf_fill_parse(c->fill)) && w.prob > 0 && w.prob < w.bound) w.bound = w.prob;
    if (!safe) w.allow |= BF_ALLOW_INF | BF_ALLOW_NAN;
    round_output(type, &w, w.bound);
    return w;
}

static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *base,
                int slot, double *ref, double *bound) {
    int64_t m = c->problem.dim[LINEAR_M], outputs = m * c->problem.dim[LINEAR_N];
    if (slot != LINEAR_Y) return 1;
    for (int64_t i = 0; i < outputs; i++) {
        bf_want w = want(c, k, (const linear_expected *)base, t, i % m, i / m);
        ref[i] = w.value;
        bound[i] = w.allow & BF_ALLOW_FINITE && w.allow != BF_ALLOW_FINITE ? INFINITY : w.bound;
    }
    return 0;
}

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *base,
                  bf_verdict *v) {
    int64_t m = c->problem.dim[LINEAR_M], outputs = m * c->problem.dim[LINEAR_N];
    const bf_tensor *y = &t[LINEAR_Y];
    bf_verdict_begin(v);
    for (int64_t i = 0; i < outputs; i++) {
        bf_want w = want(c, k, (const linear_expected *)base, t, i % m, i / m);
        bf_verdict_bounded(v, y, i, w);
    }
    bf_verdict_end(v, c);
}

/* ---- cost ---- */

static uint64_t bytes_read(const bf_problem *p) {
    int64_t m = p->dim[LINEAR_M], k = p->dim[LINEAR_K];
    return bf_dtype_bytes(p->type[LINEAR_W], m * k) + bf_dtype_bytes(p->type[LINEAR_X], p->dim[LINEAR_N] * k) +
           bf_dtype_bytes(p->type[LINEAR_B], m);
}
static uint64_t bytes_written(const bf_problem *p) {
    return bf_dtype_bytes(p->type[LINEAR_Y], p->dim[LINEAR_N] * p->dim[LINEAR_M]);
}
static double flops(const bf_problem *p) {
    return 2.0 * (double)p->dim[LINEAR_M] * (double)p->dim[LINEAR_K] * (double)p->dim[LINEAR_N];
}

const bf_op bf_op_linear = {.name = "linear",
                            .summary = "y = W x + b, fp16 or bf16 weights, activations of any type, fp32 sums",
                            .fields = fields,
                            .paths = paths,
                            .tensors = tensors,
                            .fill = fill,
                            .expect = expect,
                            .release = release,
                            .judge = judge,
                            .bytes_read = bytes_read,
                            .bytes_written = bytes_written,
                            .flops = flops};
