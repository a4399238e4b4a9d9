/* q4k_matvec: y = W x for 1..8 columns, q4k_matmul: the same for any number of columns, with two paths more, and
 * qblock_matmul: weights without a minimum, paths fp32 and int8 (contracts: kernels/common/q4k_matvec.h, q4k_matmul.h, qblock.h).
 * One judge serves all. How the bounds come about:
 *
 * Notation: u = 2^-24, gamma(n) = n u / (1 - n u); a product of n factors (1 + delta) with |delta| <= u is 1 + theta
 * with |theta| <= gamma(n) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1).
 *
 * 1. Path fp32. Two forms are sound and have one bound.
 *
 * Weights first: w = fl(d*sc*q - dmin*m). Both products are exact in fp32 (21 and 17 significand bits), so one
 * rounding; the product with x is one more (none with fused multiply-add).
 *
 * Factored: in each sub-block d*sc * S1 - dmin*m * S2 with S1 = sum(q x), S2 = sum(x). The products q x round once,
 * d*sc*S1 and dmin*m*S2 once, their difference once.
 *
 * So every term of either form carries at most 3 roundings of its own, and one for each addition between it and the
 * output. With `chain` the longest such path of additions,
 *
 *     |y - y_ref| <= gamma(chain + 3) M,    M = sum over k of (|d*sc*q| + |dmin*m|) |x|
 *
 * where |w| alone would not do: the factored form rounds both parts before they cancel.
 *
 * chain is what the kernel declares; never more than K + 8 (one sequential sum over all weights and a last
 * reduction); never more than 2 z, z the non-zero values of the column: adding an exact zero rounds nothing, and a
 * non-zero x brings at most two addends (of S1 and of S2). Sparse columns therefore have bounds of a few u, and
 * reveal rounded operands.
 *
 * Underflow: sums of multiples of 2^-149 are exact; d*sc, dmin*m, w are multiples of 2^-24 and q is an integer.
 * Inexact underflow is left for at most one product a weight (w x) or two a sub-block: each off by at most 2^-150,
 * together below eta = K 2^-149. The reference's own dgemm is off by at most K 2^-53 M. Both are added to the bound.
 *
 * 2. Path int8, judged twice.
 *
 * (a) The quantiser's outputs, for each block of 32 values (XQ, XD, XS).
 *
 * d: amax is exact, then one division: within 1 ulp of amax/127. (Multiplying by fl(1/127) is within 1 ulp too: the
 * reciprocal of 127 happens to round with an error of u/16.)
 *
 * q: |x - d q| <= d/2 + 4 u |x|. Rounding x/d exactly gives d/2. fl(x/d) is off by u |x/d|; with a reciprocal of d,
 * or 127/amax in place of it, by at most 3 u |x/d| to first order, and 4 u covers the higher orders. So a tie goes
 * either way, and nothing else does. |q| <= 127.
 *
 * s: the exact sum of the 32 q. Blocks with amax < 2^-100: d, q, s zero. With NaN or infinity: d NaN, q = s = 0.
 *
 * (b) The product, against float64 on those q and d: the integer sums are exact, d*sc and dmin*m too. Each part of a
 * block rounds once when it is scaled, once in the difference, once when multiplied by d: 3, as above. M is taken
 * with |d q| for |x|. chain <= 2 (K/32) + 16 (blocks one after another, both parts apart at worst), and
 * <= 2 z + 5, z the blocks that are not all zero (5: a block's sum may be split among up to 32 lanes).
 *
 * The distance to y of the unquantised x is reported as total_error and never judged.
 *
 * 3. Class comes first. A row with a non-finite d or dmin or a column with a non-finite x gives NaN or an infinity
 * (which is not promised). Every other output is finite, unless its sum may leave fp32: M (1 + gamma) >= FLT_MAX, or
 * on the fp32 path 15 sum|x| of a sub-block >= FLT_MAX (the factored form's S1). There anything goes.
 *
 * 4. Integer fill: all partial sums are integers below 2^24 times one unit; then the bound is 0.
 *
 * 5. The probabilistic bound has gamma_prob (ops.h) in place of gamma. Witness cases on random data are judged by it,
 * because worst-case bounds on Gaussian data are wide enough to hide a dropped block. It presumes rounding errors
 * without a preferred sign, so constant and swamping data are always judged by the worst case.
 *
 * 6. Paths f16 and bf16 (q4k_matmul): the matrix instructions take 16-bit operands, so both factors are rounded to the
 * path's type, of unit roundoff U (2^-11, 2^-8), on their way in:
 *
 *     w16 = w (1 + d1)(1 + d2) + e_w,   |d1| <= u (the fp32 weight of section 1), |d2| <= U, |e_w| <= e
 *     x16 = x (1 + d3) + e_x,           |d3| <= U', |e_x| <= e'
 *
 * e is half the smallest subnormal of the type (2^-25, 2^-134). U' = e' = 0 where x is of the path's type; U' = 0 for
 * bf16 x in fp16, whose 8 bits fit (e' stays: the range is smaller). A product of two 16-bit numbers is exact in fp32
 * (22 or 16 significand bits; a bf16 product that underflows is counted in eta), so a term carries d1, d2, d3 and the
 * additions: with g = gamma(chain + 1),
 *
 *     |y - y_ref| <= ((1 + g)(1 + U)(1 + U') - 1) M_w + (1 + g)(1 + U)(1 + U') (e sum|x| + e' sum|w| + K e e')
 *
 * M_w = sum of |w| |x|, not M: the weight is whole before it is rounded, so a factored form has no place here. The
 * additions are those of IEEE fp32, but on HIP, where they are the matrix instructions': 3 u each, g = gamma(3 (chain + 1)), with
 * bf_grid_underflow(K, all subnormal) of sum|x| and sum|w| added and no probabilistic bound (ops.h derives it). M_w with U instead of a recomputed w16 leaves the kernel free to round w from its exact value or
 * from fp32. Integer fills are not exact here: the rounding term stays.
 *
 * A row with |w|, or a column with |x|, beyond the type's largest value may give anything.
 *
 * 7. Weights without a minimum (Q6_K, Q8_0): w = d*sc*q is exact in fp32, so M = sum |w| |x| and two roundings are a term's own:
 * on path fp32 that of w x, or those of q x and of d*sc times the sub-block's sum; on path int8 those of d times the exact
 * integer sum and of the product with d_x. A non-zero x brings one addend, not two: chain <= z. On path int8 a block of
 * 32 is one addend of Q8_0, at most two of Q6_K (16 weights share a scale): chain <= parts (K/32) + 16 and
 * <= parts z + 5. The inner sums of section 3 have max |q| in place of 15: 32, 128.
 *
 * 8. MXFP4: the same with q = 2 v, an integer from -12 to 12, and the half scale d = 2^(e-128). d is a power of two: multiplied with q
 * or with an exact integer sum it rounds nothing (a subnormal d neither: d q and d times the sum of a block are multiples of
 * 2^-128). One rounding is a term's own, that of w x, of q x, or of the product with d_x. d times a rounded sum may underflow:
 * one product a weight, within eta.
 * At the upper end a scale alone leaves fp32, whatever x is: a row may give an infinity or NaN besides where its largest |w|
 * (int8 path: 127 * 32 |w|, which d times the integer sum may reach before d_x brings it down) is FLT_MAX or more. A finite
 * output must be right even there. The other formats' d is fp16 and never reaches this. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/qblock.h"
#include "../../reference/number.h"
#include "../../reference/q4k_matvec.h"
#include "../../reference/qblock.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

enum { SCALE /* param: a power of two that x is multiplied by */, BLOCK = Q4K_MATVEC_QBLOCK };

/* What the bounds need to know of a format (sections 1, 2, 7). */
typedef struct format {
    int own;          /* roundings of a term's own */
    int addends;      /* that a non-zero x brings, path fp32 */
    int parts;        /* that a block of 32 brings, path int8 */
    int top;          /* largest |q| */
    int64_t weights;  /* of a block: k is a multiple of it */
} format;
static bf_dtype weights_of(const bf_problem *p) { return p->type[Q4K_MATVEC_W] ? p->type[Q4K_MATVEC_W] : BF_Q4_K; }
static format format_of(const bf_problem *p) {
    bf_dtype w = weights_of(p);
    if (w == BF_MXFP4) return (format){1, 1, 1, 12, 32};
    return w == BF_Q6_K ? (format){2, 1, 2, 32, 256} : w == BF_Q8_0 ? (format){2, 1, 1, 128, 32} : (format){3, 2, 2, 15, 256};
}

/* The ops differ in the most columns and in the formats of W. */
#define PRODUCT_FIELDS(first, formats, step, most_columns)                                                                                  \
    {                                                                                                                 \
        {"w", BF_FIELD_TYPE, Q4K_MATVEC_W, first, 0, 0, 0, formats, NULL, "type of the weights"},                     \
        {"m", BF_FIELD_DIM, Q4K_MATVEC_M, NULL, 1, INT64_C(1) << 24, 1, 0, NULL, "rows of W"},                        \
        {"k", BF_FIELD_DIM, Q4K_MATVEC_K, NULL, step, INT64_C(1) << 20, step, 0, NULL,                                \
         "columns of W, length of the sums"},                                                                         \
        {"n", BF_FIELD_DIM, Q4K_MATVEC_N, "1", 1, most_columns, 1, 0, NULL, "columns of x"},                          \
        {"x", BF_FIELD_TYPE, Q4K_MATVEC_X, "f32", 0, 0, 0, 1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16, NULL,         \
         "type of x"},                                                                                                \
        {"scale", BF_FIELD_POWER, SCALE, "1", 0, 0, 0, 0, NULL, "x is multiplied by this power of two"},              \
        {0}                                                                                                           \
    }
static const bf_field matvec_fields[] = PRODUCT_FIELDS("q4_k", 1u << BF_Q4_K, 256, Q4K_MATVEC_MAX_N);
static const bf_field matmul_fields[] = PRODUCT_FIELDS("q4_k", 1u << BF_Q4_K, 256, Q4K_MATMUL_MAX_N);
static const bf_field qblock_fields[] = PRODUCT_FIELDS(NULL, 1u << BF_Q6_K | 1u << BF_Q8_0 | 1u << BF_MXFP4, 32, QBLOCK_MAX_N);
static const char *const matvec_paths[] = {"fp32", "int8", NULL};
static const char *const matmul_paths[] = {"fp32", "int8", "f16", "bf16", NULL};

typedef enum arithmetic { FP32, INT8, NARROW } arithmetic;

typedef struct product_expected {
    bf_expected base;
    double *x;             /* [n][k], non-finite columns zeroed */
    double *y, *magnitude; /* [n][m], fp32 path */
    double *inner;         /* [n]: the largest max|q| sum|x| of 32 values */
    int64_t *nonzero;      /* [n]: values of x that are not zero */
    unsigned char *bad_row, *bad_column;
    double *row_top;           /* [m]: largest of |w|; NULL: not needed (sections 6, 8) */
    double *plain;             /* [n][m]: M_w. This and the rest: q4k_matmul only, NULL otherwise */
    double *row_sum;           /* [m]: sum of |w| */
    double *x_sum, *x_top;     /* [n]: of |x| */
} product_expected;

/* What section 6 needs to know of a path and a type of x. */
typedef struct narrow {
    double unit, x_unit, tiny, x_tiny, top; /* U, U', e, e', largest value */
    bf_dtype type;
} narrow;

/* One output column's judgement. */
typedef struct sums {
    const double *y, *magnitude, *plain; /* [m] */
    double chain, inner;
    double reach; /* of |w|: what may stand between a weight and its share of y */
    const narrow *narrow; /* NULL: paths fp32 and int8 */
    int grid;             /* gfx11's matrix instructions */
} sums;

static arithmetic arithmetic_of(const bf_kernel *k) {
    if (k->path && !strcmp(k->path, "int8")) return INT8;
    return k->path && strstr(k->path, "f16") ? NARROW : FP32;
}

static narrow narrow_of(const bf_kernel *k, bf_dtype x) {
    bf_dtype type = strcmp(k->path, "f16") ? BF_BF16 : BF_F16;
    bf_ref_format f = bf_ref_format_of(type);
    double unit = ldexp(1, -f.fraction - 1), tiny = ldexp(1, f.emin - f.fraction - 1);
    int fits = bf_ref_format_of(x).fraction <= f.fraction;
    return (narrow){unit, fits ? 0 : unit, tiny, x == type ? 0 : tiny, bf_ref_largest(type), type};
}

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t m = p->dim[Q4K_MATVEC_M], k = p->dim[Q4K_MATVEC_K], n = p->dim[Q4K_MATVEC_N];
    if (k % format_of(p).weights)
        return bf_fail(err, "k=%lld is not a multiple of %lld, the block of %s", (long long)k, (long long)format_of(p).weights,
                       bf_dtype_name(weights_of(p)));
    if (bf_op_tensor(&t[Q4K_MATVEC_W], "w", BF_INPUT, weights_of(p), m, k, err) ||
        bf_op_tensor(&t[Q4K_MATVEC_X], "x", BF_INPUT, p->type[Q4K_MATVEC_X], n, k, err) ||
        bf_op_tensor(&t[Q4K_MATVEC_Y], "y", BF_OUTPUT, BF_F32, n, m, err))
        return -1;
    if (path && strcmp(path, "int8")) return 0;
    return bf_op_tensor(&t[Q4K_MATVEC_XQ], "xq", BF_OUTPUT, BF_I8, n, k, err) ||
                   bf_op_tensor(&t[Q4K_MATVEC_XD], "xd", BF_OUTPUT, BF_F32, n, k / BLOCK, err) ||
                   bf_op_tensor(&t[Q4K_MATVEC_XS], "xs", BF_OUTPUT, BF_I32, n, k / BLOCK, err)
               ? -1
               : 0;
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    int pow2, power = frexp(p->param[SCALE], &pow2) == 0.5 && abs(--pow2) <= 300;
    if (!power) return bf_fail(err, "%s: scale=%g must be a power of two (2^-300 to 2^300)", c->op->name, p->param[SCALE]);
    if (bf_op_fill_blocks(c, &t[Q4K_MATVEC_W], err)) return -1;
    bf_fill_values((bf_fill)bf_fill_parse(c->fill), c->seed, 1, t[Q4K_MATVEC_X].type, p->dim[Q4K_MATVEC_N],
                   p->dim[Q4K_MATVEC_K], pow2, t[Q4K_MATVEC_X].data);
    return 0;
}

/* ---- reference ---- */

static void release(bf_expected *base) {
    product_expected *e = (product_expected *)base;
    if (!e) return;
    free(e->x), free(e->y), free(e->magnitude), free(e->inner), free(e->nonzero), free(e->bad_row);
    free(e->bad_column), free(e->plain), free(e->row_sum), free(e->row_top), free(e->x_sum), free(e->x_top);
    free(e);
}

/* x in double; per column: is it finite, how many values are not zero, the largest inner sum. */
static void widen(const bf_tensor *x, int64_t k, int64_t n, int top, product_expected *e) {
    for (int64_t c = 0; c < n; c++) {
        double *out = e->x + c * k, block = 0;
        for (int64_t i = 0; i < k; i++) {
            out[i] = bf_ref_at(x->type, x->data, c * k + i);
            if (!isfinite(out[i])) e->bad_column[c] = 1;
            e->nonzero[c] += out[i] != 0;
            block = (i % BLOCK ? block : 0) + top * fabs(out[i]);
            if (block > e->inner[c]) e->inner[c] = block;
            if (!e->plain) continue;
            e->x_sum[c] += fabs(out[i]), e->x_top[c] = fmax(e->x_top[c], fabs(out[i]));
        }
        if (e->bad_column[c]) memset(out, 0, sizeof *out * (size_t)k);
    }
}

static int dump(const bf_case *, const bf_kernel *, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *, int slot,
                double *ref, double *bound);

/* All or nothing: 0, or -1 without memory. */
static int allocate(product_expected *e, size_t m, size_t k, size_t n, int with_narrow, int with_top) {
    struct {
        double **at;
        size_t count;
        int needed;
    } arrays[] = {{&e->x, n * k, 1},     {&e->y, n * m, 1},           {&e->magnitude, n * m, 1},
                  {&e->inner, n, 1},     {&e->plain, n * m, with_narrow}, {&e->row_sum, m, with_narrow},
                  {&e->row_top, m, with_top}, {&e->x_sum, n, with_narrow}, {&e->x_top, n, with_narrow}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i].needed && !(*arrays[i].at = calloc(arrays[i].count, sizeof(double)))) return -1;
    e->nonzero = calloc(n, sizeof *e->nonzero), e->bad_row = calloc(m, 1), e->bad_column = calloc(n, 1);
    return e->nonzero && e->bad_row && e->bad_column ? 0 : -1;
}

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    int64_t m = c->problem.dim[Q4K_MATVEC_M], k = c->problem.dim[Q4K_MATVEC_K], n = c->problem.dim[Q4K_MATVEC_N];
    product_expected *e = calloc(1, sizeof *e);
    int narrow = c->op == &bf_op_q4k_matmul;
    if (!e || allocate(e, (size_t)m, (size_t)k, (size_t)n, narrow, narrow || weights_of(&c->problem) == BF_MXFP4)) {
        bf_fail(err, "%s: no memory for the reference", c->op->name);
        release((bf_expected *)e);
        return NULL;
    }
    e->base.dump = dump;
    widen(&t[Q4K_MATVEC_X], k, n, format_of(&c->problem).top, e);
    bf_ref_q4k_sums s = {e->y, e->magnitude, e->plain, e->row_sum, e->row_top, e->bad_row};
    if (bf_ref_q4k_product(weights_of(&c->problem), t[Q4K_MATVEC_W].data, m, k, e->x, n, &s, err)) {
        release((bf_expected *)e);
        return NULL;
    }
    return &e->base;
}

/* ---- judgement ---- */

static double chain_of(const bf_case *c, const bf_kernel *k, int64_t nonzero) {
    int int8 = arithmetic_of(k) == INT8;
    format f = format_of(&c->problem);
    int64_t cap = int8 ? c->problem.dim[Q4K_MATVEC_K] / BLOCK * f.parts + 16 : c->problem.dim[Q4K_MATVEC_K] + 8;
    int64_t declared = k->chain ? k->chain(&c->problem) : cap;
    int64_t few = int8 ? f.parts * nonzero + 5 : f.addends * nonzero;
    if (declared < 0 || declared > cap) declared = cap;
    return (double)(declared < few ? declared : few);
}

/* 1 when every partial sum of output (r, col) is an integer below 2^24 times its unit. */
static int exact(const bf_case *c, int64_t r, int64_t col, double magnitude) {
    if (c->real || bf_fill_parse(c->fill) != BF_FILL_INTEGER) return 0;
    int x = bf_fill_integer_exponent(c->seed, 1, col) + ilogb(c->problem.param[SCALE]), unit = bf_fill_integer_exponent(c->seed, 0, r) + x;
    /* 7-bit integers times 2^x are exact in fp16 only within its range. */
    if (c->problem.type[Q4K_MATVEC_X] == BF_F16 && (x < -24 || x > 8)) return 0;
    return unit > -120 && magnitude < ldexp(1, unit + 24);
}

/* Section 6: what the roundings to 16 bits and additions with relative error g may do to output (r, col). */
static double narrow_bound(const product_expected *e, const sums *s, double g, double k, int64_t r, int64_t col) {
    const narrow *a = s->narrow;
    double factor = (1 + g) * (1 + a->unit) * (1 + a->x_unit);
    return (factor - 1) * s->plain[r] +
           factor * (a->tiny * e->x_sum[col] + a->x_tiny * e->row_sum[r] + k * a->tiny * a->x_tiny);
}

static bf_want want(const bf_case *c, const product_expected *e, const sums *s, int64_t r, int64_t col) {
    double k = (double)c->problem.dim[Q4K_MATVEC_K], magnitude = s->magnitude[r], top = bf_ref_largest(BF_F32);
    bf_want w = {.value = s->y[r], .allow = BF_ALLOW_FINITE};
    if (e->bad_row[r] || e->bad_column[col])
        return (bf_want){.value = NAN, .bound = NAN, .allow = BF_ALLOW_INF | BF_ALLOW_NAN};
    int beyond = e->row_top && !(s->reach * e->row_top[r] < top), within = magnitude < top && s->inner < top && !beyond;
    if (!s->narrow && within && exact(c, r, col, magnitude)) return w;
    double rest = k * BF_REF_U64 * magnitude + k * 0x1p-149;
    if (s->grid) {
        double few = BF_GRID_PRODUCT * (double)e->nonzero[col] + 1, most = fmin(BF_GRID_ADDITION * (s->chain + 1), few);
        rest += bf_grid_underflow(s->narrow->type, (int64_t)k, 2, e->row_sum[r], 2, e->x_sum[col]); /* 2: rounded operands are larger */
        w.bound = narrow_bound(e, s, bf_gamma(most), k, r, col) + rest;
    } else if (s->narrow) {
        w.bound = narrow_bound(e, s, bf_gamma(s->chain + 1), k, r, col) + rest;
        w.prob = narrow_bound(e, s, bf_gamma_prob(s->chain + 1), k, r, col) + rest;
    } else {
        int own = format_of(&c->problem).own;
        w.bound = bf_gamma(s->chain + own) * magnitude + rest;
        w.prob = bf_gamma_prob(s->chain + own) * magnitude + rest;
    }
    int leaves = s->narrow && (e->row_top[r] > s->narrow->top || e->x_top[col] > s->narrow->top);
    if (!(magnitude + w.bound < top) || !(s->inner < top) || leaves || beyond) w.allow |= BF_ALLOW_INF | BF_ALLOW_NAN;
    if (leaves) w.bound = INFINITY, w.prob = s->grid ? 0 : INFINITY;
    if (!s->grid && c->witness && !c->real && bf_fill_random((bf_fill)bf_fill_parse(c->fill)) && w.prob < w.bound)
        w.bound = w.prob;
    return w;
}

/* (a): block b of all columns. */
static void judge_block(const bf_tensor t[BF_MAX_TENSORS], const double x[BLOCK], int64_t b, bf_verdict *v) {
    const bf_tensor *xq = &t[Q4K_MATVEC_XQ], *xd = &t[Q4K_MATVEC_XD], *xs = &t[Q4K_MATVEC_XS];
    double amax = 0, d = bf_element_value(xd, b);
    int finite = 1, sum = 0;
    for (int i = 0; i < BLOCK; i++) {
        finite &= isfinite(x[i]) != 0;
        amax = fmax(amax, fabs(x[i]));
    }
    int none = !finite || amax < 0x1p-100;
    double want_d = !finite ? NAN : none ? 0 : amax / 127, tie = d / 2;
    v->outputs += BLOCK + 2;
    if (finite ? !(fabs(d - want_d) <= (none ? 0 : bf_ref_ulp(BF_F32, want_d))) : !isnan(d))
        bf_verdict_mismatch(v, xd, b, want_d, bf_ref_encode(BF_F32, want_d), none ? 0 : bf_ref_ulp(BF_F32, want_d),
                            finite ? "(a) scale is not amax/127" : "(a) scale of a non-finite block is not NaN");
    for (int i = 0; i < BLOCK; i++) {
        int q = (int)bf_element_value(xq, b * BLOCK + i);
        double near = none ? 0 : rint(x[i] / want_d);
        sum += q;
        if (none ? q == 0 : q >= -127 && fabs(x[i] - d * q) <= tie + 4 * BF_REF_U32 * fabs(x[i])) continue;
        bf_verdict_mismatch(v, xq, b * BLOCK + i, near, (uint64_t)(int64_t)near & 0xff, 0.5,
                            "(a) quantised value is not x/d to nearest");
    }
    if (bf_element_value(xs, b) != sum)
        bf_verdict_mismatch(v, xs, b, sum, (uint32_t)sum, 0, "(a) block sum is not the sum of q");
}

static void judge_quantiser(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_verdict *v) {
    int64_t blocks = c->problem.dim[Q4K_MATVEC_N] * c->problem.dim[Q4K_MATVEC_K] / BLOCK;
    const bf_tensor *x = &t[Q4K_MATVEC_X];
    for (int64_t b = 0; b < blocks; b++) {
        double value[BLOCK];
        for (int i = 0; i < BLOCK; i++) value[i] = bf_ref_at(x->type, x->data, b * BLOCK + i);
        judge_block(t, value, b, v);
    }
}

/* Products up to this size are summed block by block in the contract's own form; larger ones by dgemm on d*q, which is
 * exact in double. */
enum { BLOCK_FORM = 1 << 26 };

/* Reference on the kernel's own q and d: y and magnitude [n][m]. */
static int int8_sums(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], const product_expected *e, double *y,
                     double *magnitude) {
    int64_t m = c->problem.dim[Q4K_MATVEC_M], k = c->problem.dim[Q4K_MATVEC_K], n = c->problem.dim[Q4K_MATVEC_N];
    const int8_t *q = t[Q4K_MATVEC_XQ].data;
    const float *d = t[Q4K_MATVEC_XD].data;
    if (m * k * n <= BLOCK_FORM) {
        if (weights_of(&c->problem) == BF_Q4_K)
            bf_ref_q4k_matvec_int8(t[Q4K_MATVEC_W].data, m, k, q, d, n, e->bad_column, y, magnitude);
        else
            bf_ref_qblock_int8(weights_of(&c->problem), t[Q4K_MATVEC_W].data, m, k, q, d, n, e->bad_column, y, magnitude);
        return 0;
    }
    bf_error err;
    double *x = calloc((size_t)(n * k), sizeof *x);
    unsigned char *bad = malloc((size_t)m);
    bf_ref_q4k_sums s = {.y = y, .magnitude = magnitude, .bad_row = bad};
    for (int64_t i = 0; x && i < n * k; i++)
        if (!e->bad_column[i / k]) x[i] = (double)d[i / BLOCK] * q[i];
    int rc = x && bad ? bf_ref_q4k_product(weights_of(&c->problem), t[Q4K_MATVEC_W].data, m, k, x, n, &s, &err) : -1;
    free(x), free(bad);
    return rc;
}

/* Blocks of a column of XQ that are not all zero. */
static int64_t blocks_in_use(const int8_t *q, int64_t k) {
    int64_t blocks = 0;
    for (int64_t b = 0; b < k / BLOCK; b++) {
        int any = 0;
        for (int i = 0; i < BLOCK; i++) any |= q[b * BLOCK + i];
        blocks += any != 0;
    }
    return blocks;
}

/* Hands every (row, column) with its want to `each`. -1: no memory. */
static int for_outputs(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS],
                       const product_expected *e, void (*each)(void *, int64_t index, bf_want), void *user) {
    int64_t m = c->problem.dim[Q4K_MATVEC_M], n = c->problem.dim[Q4K_MATVEC_N], length = c->problem.dim[Q4K_MATVEC_K];
    const double *y = e->y, *magnitude = e->magnitude;
    double *own = NULL;
    narrow limits;
    arithmetic how = arithmetic_of(k);
    if (how == INT8) {
        own = malloc(sizeof *own * 2 * (size_t)(n * m));
        if (!own || int8_sums(c, t, e, own, own + n * m)) return free(own), -1;
        y = own, magnitude = own + n * m;
    }
    if (how == NARROW) limits = narrow_of(k, t[Q4K_MATVEC_X].type);
    for (int64_t col = 0; col < n; col++) {
        int64_t terms = how == INT8 ? blocks_in_use((int8_t *)t[Q4K_MATVEC_XQ].data + col * length, length) : e->nonzero[col];
        sums s = {.y = y + col * m,
                  .magnitude = magnitude + col * m,
                  .plain = how == NARROW ? e->plain + col * m : NULL,
                  .chain = chain_of(c, k, terms),
                  .inner = how == FP32 ? e->inner[col] : 0,
                  .reach = how == INT8 ? 127.0 * BLOCK : 1,
                  .narrow = how == NARROW ? &limits : NULL,
                  .grid = how == NARROW && bf_adds_on_grid(k)};
        for (int64_t r = 0; r < m; r++) each(user, col * m + r, want(c, e, &s, r, col));
    }
    free(own);
    return 0;
}

typedef struct dump_arrays {
    double *ref, *bound;
} dump_arrays;

static void dump_one(void *user, int64_t i, bf_want w) {
    dump_arrays *d = user;
    d->ref[i] = w.value;
    d->bound[i] = w.allow & BF_ALLOW_FINITE && w.allow != BF_ALLOW_FINITE ? INFINITY : w.bound;
}

static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                int slot, double *ref, double *bound) {
    if (slot != Q4K_MATVEC_Y) return 1;
    return for_outputs(c, k, t, (const product_expected *)e, dump_one, &(dump_arrays){ref, bound});
}

typedef struct judge_state {
    bf_verdict *v;
    const bf_tensor *y;
    const product_expected *e;
    int int8;
} judge_state;

static void judge_one(void *user, int64_t i, bf_want w) {
    judge_state *j = user;
    bf_verdict_bounded(j->v, j->y, i, w);
    if (!j->int8 || !(j->e->magnitude[i] > 0) || !(w.allow & BF_ALLOW_FINITE)) return;
    double total = fabs(bf_element_value(j->y, i) - j->e->y[i]) / j->e->magnitude[i];
    if (isnan(j->v->total_error) || total > j->v->total_error) j->v->total_error = total;
}

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                  bf_verdict *v) {
    judge_state j = {v, &t[Q4K_MATVEC_Y], (const product_expected *)e, arithmetic_of(k) == INT8};
    bf_verdict_begin(v);
    if (j.int8) judge_quantiser(c, t, v);
    if (v->mismatched) bf_verdict_note(v, "(a) the quantiser's outputs are wrong");
    int64_t before = v->mismatched;
    if (for_outputs(c, k, t, j.e, judge_one, &j)) {
        bf_verdict_note(v, "no memory to judge");
        v->status = BF_ERROR;
        return;
    }
    if (j.int8 && v->mismatched > before) bf_verdict_note(v, "(b) the product is wrong for its own q, d, s");
    bf_verdict_end(v, c);
}

/* ---- cost ---- */

static uint64_t bytes_read(const bf_problem *p) {
    return bf_dtype_bytes(weights_of(p), p->dim[Q4K_MATVEC_M] * p->dim[Q4K_MATVEC_K]) +
           bf_dtype_bytes(p->type[Q4K_MATVEC_X], p->dim[Q4K_MATVEC_N] * p->dim[Q4K_MATVEC_K]);
}
static uint64_t bytes_written(const bf_problem *p) {
    return bf_dtype_bytes(BF_F32, p->dim[Q4K_MATVEC_N] * p->dim[Q4K_MATVEC_M]);
}
static double flops(const bf_problem *p) {
    return 2.0 * (double)p->dim[Q4K_MATVEC_M] * (double)p->dim[Q4K_MATVEC_K] * (double)p->dim[Q4K_MATVEC_N];
}

#define PRODUCT_OP                                                                                                    \
    .weights = "w", .tensors = tensors, .fill = fill, .expect = expect, .release = release, .judge = judge,           \
    .bytes_read = bytes_read, .bytes_written = bytes_written, .flops = flops

const bf_op bf_op_q4k_matvec = {.name = "q4k_matvec",
                                .summary = "y = W x, W in Q4_K, 1 to 8 columns (decode)",
                                .fields = matvec_fields,
                                .paths = matvec_paths,
                                PRODUCT_OP};
const bf_op bf_op_q4k_matmul = {.name = "q4k_matmul",
                                .summary = "Y = X W^T, W in Q4_K, any number of columns (prefill)",
                                .fields = matmul_fields,
                                .paths = matmul_paths,
                                PRODUCT_OP};
const bf_op bf_op_qblock_matmul = {.name = "qblock_matmul",
                                   .summary = "Y = X W^T, W in Q6_K, Q8_0 or MXFP4, any number of columns",
                                   .fields = qblock_fields,
                                   .paths = matvec_paths,
                                   PRODUCT_OP};
