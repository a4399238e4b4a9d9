/* conv: convolution in one to three dimensions (contract: kernels/common/conv.h). How the bound comes about:
 *
 * Notation: u = 2^-24, gamma(n) = n u / (1 - n u); a product of n factors (1 + delta) with |delta| <= u is 1 + theta
 * with |theta| <= gamma(n) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1).
 *
 * 1. Weights, bias and activations are widened exactly. Each product w x rounds once (not at all inside a fused
 * multiply-add, whose one rounding is then the addition's). A term carries one rounding for each addition between it and the
 * output, the addition of the bias among them. With `chain` the longest such path,
 *
 *     |y - y_ref| <= gamma(chain + 1) M + u |b| (1 + u),   M = sum over channels and taps of |w||x|
 *
 * because the bias, added last, meets one rounding only.
 *
 * chain is what the kernel declares; never more than K + 8, K = in/groups * taps (one sequential sum over all products,
 * those with padding too, and the bias); never more than z - 1 + (bias), z the elements behind this output that are
 * not zero: adding an exact zero rounds nothing, and a tree of z addends has at most z - 1 additions on a path.
 * Sparse data therefore have bounds of a few u, and reveal rounded operands.
 *
 * 2. Underflow: sums of multiples of 2^-149 are exact; each product (or fused step) may be off by 2^-150, after all
 * roundings below K 2^-149 together. The reference's dgemm is off by at most K 2^-53 M, its bias by 2^-53 (M + |b|).
 *
 * 3. y narrower than fp32: one more rounding, at most half a unit in the last place at |y_ref| + bound. Where |y_ref| -
 * bound reaches the type's overflow threshold (largest + half a unit: 65,520 in fp16), y must be that infinity; where
 * |y_ref| + bound does, it may be.
 *
 * 4. Classes: see the contract; the reference finds which outputs a non-finite value reaches. Outputs whose sum may leave
 * fp32 (M + |b| + bound >= FLT_MAX) may be anything.
 *
 * 5. Integer fill: all partial sums are integers below 2^24 times one unit; then the bound is 0 before the rounding to y.
 *
 * 6. The probabilistic bound has gamma_prob (ops.h) in place of gamma. Witness cases on random data are judged by it,
 * because worst-case bounds on Gaussian data are wide enough to hide a dropped tap. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/conv.h"
#include "../../reference/conv.h"
#include "../../reference/number.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

enum { SCALE = CONV_TRANSPOSED + 1 /* param: a power of two that x is multiplied by */, POISON /* param */ };
enum { WEIGHT_POW2 = -5 /* weights of deviation 2^-5 */ };
#define FLOATS (1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16)

static const bf_field fields[] = {
    {"rank", BF_FIELD_PARAM, CONV_RANK, NULL, 1, 3, 1, 0, NULL, "dimensions: 1, 2 or 3"},
    {"in", BF_FIELD_DIM, CONV_IN, NULL, 1, 1 << 20, 1, 0, NULL, "channels of x"},
    {"out", BF_FIELD_DIM, CONV_OUT, NULL, 1, 1 << 20, 1, 0, NULL, "channels of y"},
    {"groups", BF_FIELD_DIM, CONV_GROUPS, "1", 1, 1 << 20, 1, 0, NULL, "groups; divide both"},
    {"z", BF_FIELD_DIM, CONV_Z, "1", 1, 1 << 20, 1, 0, NULL, "depth of x (rank 3)"},
    {"h", BF_FIELD_DIM, CONV_H, "1", 1, 1 << 20, 1, 0, NULL, "height of x (rank 2, 3)"},
    {"w", BF_FIELD_DIM, CONV_W, NULL, 1, 1 << 24, 1, 0, NULL, "width of x"},
    {"batch", BF_FIELD_DIM, CONV_BATCH, "1", 1, 65535, 1, 0, NULL, "items"},
    {"taps", BF_FIELD_PARAM, CONV_TAPS, "3", 1, 4096, 1, 0, NULL, "taps in each dimension"},
    {"stride", BF_FIELD_PARAM, CONV_STRIDE, "1", 1, 4096, 1, 0, NULL, "stride"},
    {"pad", BF_FIELD_PARAM, CONV_PAD, "0", 0, 4096, 1, 0, NULL, "padding on either side"},
    {"dilation", BF_FIELD_PARAM, CONV_DILATION, "1", 1, 4096, 1, 0, NULL, "distance of taps"},
    {"transposed", BF_FIELD_PARAM, CONV_TRANSPOSED, "0", 0, 1, 1, 0, NULL, "1: transposed convolution"},
    {"x", BF_FIELD_TYPE, CONV_X, "f32", 0, 0, 0, FLOATS, NULL, "type of x"},
    {"wt", BF_FIELD_TYPE, CONV_WT, "f16", 0, 0, 0, FLOATS, NULL, "type of the weights"},
    {"b", BF_FIELD_TYPE, CONV_B, "f32", 0, 0, 0, FLOATS | 1u << BF_NONE, NULL, "type of the bias; none: no bias"},
    {"y", BF_FIELD_TYPE, CONV_Y, "f32", 0, 0, 0, FLOATS, NULL, "type of y"},
    {"scale", BF_FIELD_POWER, SCALE, "1", 0, 0, 0, 0, NULL, "x is multiplied by this power of two"},
    {"poison", BF_FIELD_PARAM, POISON, "0", 0, 1 << 30, 1, 0, NULL, "n > 0: element n - 1 of x (modulo its size) is NaN"},
    {0}};

typedef struct conv_expected {
    bf_expected base;
    bf_ref_conv r;
    double *y, *magnitude, *bias; /* y without bias; bias [out], NULL: none */
    unsigned char *state;
    int64_t *terms; /* [batch][groups][oplane] */
    int64_t oplane, k;
} conv_expected;

static bf_ref_conv shape(const bf_problem *p) {
    bf_ref_conv r = {.batch = p->dim[CONV_BATCH], .in = p->dim[CONV_IN], .out = p->dim[CONV_OUT],
                     .groups = p->dim[CONV_GROUPS], .dilation = (int64_t)p->param[CONV_DILATION],
                     .transposed = p->param[CONV_TRANSPOSED] != 0};
    for (int d = 0; d < 3; d++) {
        int used = d >= 3 - (int)p->param[CONV_RANK];
        r.size[d] = p->dim[CONV_Z + d];
        r.taps[d] = used ? (int64_t)p->param[CONV_TAPS] : 1, r.stride[d] = used ? (int64_t)p->param[CONV_STRIDE] : 1;
        r.pad[d] = used ? (int64_t)p->param[CONV_PAD] : 0;
    }
    return r;
}

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    static const char *const name[] = {"z", "h", "w"};
    bf_ref_conv r = shape(p);
    int64_t plane = 1, oplane = 1, taps = 1;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    if (r.in % r.groups || r.out % r.groups) return bf_fail(err, "conv: groups must divide in and out");
    for (int d = 0; d < 3; d++) {
        int64_t o = bf_ref_conv_size(&r, d);
        if (d < 3 - (int)p->param[CONV_RANK] && r.size[d] != 1)
            return bf_fail(err, "conv: %s=%lld in a convolution of rank %d", name[d], (long long)r.size[d],
                           (int)p->param[CONV_RANK]);
        if (o < 1) return bf_fail(err, "conv: %s=%lld leaves no output", name[d], (long long)r.size[d]);
        if (o > 1 << 30) return bf_fail(err, "conv: too many outputs");
        if (plane > INT64_C(1) << 31 || oplane > INT64_C(1) << 31) return bf_fail(err, "conv: too large");
        plane *= r.size[d], oplane *= o, taps *= r.taps[d];
    }
    if (plane > INT64_C(1) << 40 || oplane > INT64_C(1) << 40) return bf_fail(err, "conv: too large");
    int64_t rows = r.transposed ? r.in : r.out, columns = (r.transposed ? r.out : r.in) / r.groups * taps;
    if (bf_op_tensor(&t[CONV_X], "x", BF_INPUT, p->type[CONV_X], r.batch * r.in, plane, err) ||
        bf_op_tensor(&t[CONV_WT], "wt", BF_INPUT, p->type[CONV_WT], rows, columns, err) ||
        bf_op_tensor(&t[CONV_Y], "y", BF_OUTPUT, p->type[CONV_Y], r.batch * r.out, oplane, err))
        return -1;
    if (p->type[CONV_B] == BF_NONE) return 0;
    return bf_op_tensor(&t[CONV_B], "b", BF_INPUT, p->type[CONV_B], 0, r.out, err);
}

/* What a list of rows means to a fill is the contraction's here: integer and swamp treat a batch item as one row, so that
 * an output has one unit, and one place where it is swamped; the others take a channel. */
static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    int pow2, f = bf_fill_parse(c->fill);
    if (f < 0) return bf_fail(err, "conv: unknown fill '%s'", c->fill);
    if (frexp(p->param[SCALE], &pow2) != 0.5 || abs(--pow2) > 300)
        return bf_fail(err, "conv: scale=%g must be a power of two (2^-300 to 2^300)", p->param[SCALE]);
    int whole = f == BF_FILL_INTEGER || f == BF_FILL_SWAMP;
    int64_t batch = p->dim[CONV_BATCH], elements = t[CONV_X].dim[0] * t[CONV_X].dim[1];
    int64_t rows = whole ? batch : t[CONV_X].dim[0];
    bf_fill_values((bf_fill)f, c->seed, 1, t[CONV_X].type, rows, elements / rows, pow2, t[CONV_X].data);
    int64_t poison = (int64_t)p->param[POISON];
    if (poison) {
        uint32_t nan = bf_ref_encode(t[CONV_X].type, NAN);
        uint64_t size = bf_dtype_bytes(t[CONV_X].type, 1);
        memcpy((char *)t[CONV_X].data + (uint64_t)((poison - 1) % elements) * size, &nan, size);
    }
    /* Sums of one-hot and sparse data need weights that are none of it; a swamped sum needs weights of one sign. */
    bf_fill of_w = f == BF_FILL_ONEHOT || f == BF_FILL_SPARSE || f == BF_FILL_ZEROS ? BF_FILL_GAUSS : (bf_fill)f;
    int64_t w_rows = f == BF_FILL_INTEGER ? 1 : t[CONV_WT].dim[0];
    int64_t w_columns = t[CONV_WT].dim[0] * t[CONV_WT].dim[1] / w_rows;
    int scaled = bf_fill_random((bf_fill)f) || f == BF_FILL_ONEHOT || f == BF_FILL_ZEROS;
    if (f == BF_FILL_SWAMP) /* the constant of seed 0, 1 */
        bf_fill_values(BF_FILL_CONSTANT, 0, 0, t[CONV_WT].type, 1, w_rows * w_columns, 0, t[CONV_WT].data);
    else
        bf_fill_values(of_w, c->seed, 0, t[CONV_WT].type, w_rows, w_columns, scaled ? WEIGHT_POW2 : 0, t[CONV_WT].data);
    if (t[CONV_B].role == BF_INPUT)
        bf_fill_values(f == BF_FILL_SPARSE || f == BF_FILL_ONEHOT || f == BF_FILL_SWAMP ? BF_FILL_GAUSS : (bf_fill)f, c->seed,
                       2, t[CONV_B].type, 0, t[CONV_B].dim[0], 0, t[CONV_B].data);
    return 0;
}

/* ---- reference ---- */

static void release(bf_expected *base) {
    conv_expected *e = (conv_expected *)base;
    if (!e) return;
    free(e->y), free(e->magnitude), free(e->bias), free(e->state), free(e->terms);
    free(e);
}

static double *widened(const bf_tensor *t) {
    int64_t n = t->rank == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
    double *out = malloc(sizeof *out * (size_t)n);
    for (int64_t i = 0; out && i < n; i++) out[i] = bf_ref_at(t->type, t->data, i);
    return out;
}

static int dump(const bf_case *, const bf_kernel *, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *, int slot,
                double *ref, double *bound);

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    conv_expected *e = calloc(1, sizeof *e);
    double *x = widened(&t[CONV_X]), *w = widened(&t[CONV_WT]);
    int has_bias = t[CONV_B].role == BF_INPUT;
    if (e) {
        size_t outputs = (size_t)(t[CONV_Y].dim[0] * t[CONV_Y].dim[1]);
        e->base.dump = dump;
        e->r = shape(&c->problem);
        e->oplane = t[CONV_Y].dim[1];
        e->k = e->r.in / e->r.groups * e->r.taps[0] * e->r.taps[1] * e->r.taps[2];
        e->y = malloc(outputs * sizeof *e->y), e->magnitude = malloc(outputs * sizeof *e->magnitude);
        e->state = malloc(outputs);
        e->terms = malloc(sizeof *e->terms * (size_t)(e->r.batch * e->r.groups * e->oplane));
        e->bias = has_bias ? widened(&t[CONV_B]) : NULL;
    }
    int ok = e && x && w && e->y && e->magnitude && e->state && e->terms && (!has_bias || e->bias);
    if (!ok) bf_fail(err, "conv: no memory for the reference");
    if (ok) ok = !bf_ref_conv_sums(&e->r, x, w, e->y, e->magnitude, e->state, e->terms, err);
    free(x), free(w);
    if (ok) return &e->base;
    release((bf_expected *)e);
    return NULL;
}

/* ---- judgement ---- */

/* 1 when every partial sum of batch item n, the bias among them, is an integer below 2^24 times one unit. */
static int exact(const bf_case *c, int64_t n, double magnitude, double bias, int has_bias) {
    if (bf_fill_parse(c->fill) != BF_FILL_INTEGER) return 0;
    int unit = bf_fill_integer_exponent(c->seed, 0, 0) + bf_fill_integer_exponent(c->seed, 1, n) + ilogb(c->problem.param[SCALE]);
    if (has_bias && bf_fill_integer_exponent(c->seed, 2, 0) < unit) unit = bf_fill_integer_exponent(c->seed, 2, 0);
    return unit > -120 && magnitude + bias < ldexp(1, unit + 24);
}

/* What a kernel may give for a sum of bound `b` around `value` in y's own type: the rest of paragraph 3. */
static bf_want narrowed(bf_want w, bf_dtype type) {
    if (type == BF_F32 || !(w.allow & BF_ALLOW_FINITE)) return w;
    double top = bf_ref_largest(type), limit = top + bf_ref_ulp(type, top) / 2, a = fabs(w.value);
    if (a - w.bound >= limit)
        return (bf_want){.value = copysign(INFINITY, w.value), .bound = NAN,
                         .allow = BF_ALLOW_INF | (w.allow & BF_ALLOW_NAN)};
    if (a + w.bound >= limit) w.allow |= BF_ALLOW_INF;
    double half = bf_ref_ulp(type, a + w.bound < top ? a + w.bound : top) / 2;
    w.bound += half, w.prob += half;
    return w;
}

static bf_want want(const bf_case *c, const bf_kernel *k, const conv_expected *e, int64_t i) {
    int64_t channel = i / e->oplane, o = channel % e->r.out, n = channel / e->r.out;
    int64_t g = o / (e->r.out / e->r.groups), z = e->terms[(n * e->r.groups + g) * e->oplane + i % e->oplane];
    int has_bias = e->bias != NULL;
    double bias = has_bias ? e->bias[o] : 0, m = e->magnitude[i], top = bf_ref_largest(BF_F32);
    if (e->state[i] == BF_REF_CONV_BAD || !isfinite(bias))
        return (bf_want){.value = NAN, .bound = NAN, .allow = BF_ALLOW_INF | BF_ALLOW_NAN};
    int64_t cap = e->k + 8, chain = k->chain ? k->chain(&c->problem) : cap, few = (z ? z - 1 : 0) + has_bias;
    if (chain < 0 || chain > cap) chain = cap;
    if (chain > few) chain = few;
    bf_want w = {.value = e->y[i] + bias, .allow = BF_ALLOW_FINITE};
    double b = fabs(bias), rest = BF_REF_U32 * b * (1 + BF_REF_U32) + ((double)e->k + 1) * BF_REF_U64 * m +
                                  BF_REF_U64 * b + (double)(z ? e->k : 0) * 0x1p-149;
    w.bound = z ? bf_gamma((double)chain + 1) * m + rest : 0;
    w.prob = z ? bf_gamma_prob((double)chain + 1) * m + rest : 0;
    if (exact(c, n, m, b, has_bias)) w.bound = w.prob = 0;
    if (!(m + b + w.bound < top)) w.allow |= BF_ALLOW_INF | BF_ALLOW_NAN;
    if (e->state[i] == BF_REF_CONV_MAYBE) w.allow |= BF_ALLOW_NAN;
    if (c->witness && bf_fill_random((bf_fill)bf_fill_parse(c->fill)) && w.prob < w.bound) w.bound = w.prob;
    return narrowed(w, c->problem.type[CONV_Y]);
}

static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *base,
                int slot, double *ref, double *bound) {
    if (slot != CONV_Y) return 1;
    for (int64_t i = 0; i < t[CONV_Y].dim[0] * t[CONV_Y].dim[1]; i++) {
        bf_want w = want(c, k, (const conv_expected *)base, i);
        ref[i] = w.value;
        bound[i] = w.allow & BF_ALLOW_FINITE && w.allow != BF_ALLOW_FINITE ? INFINITY : w.bound;
    }
    return 0;
}

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *base,
                  bf_verdict *v) {
    bf_verdict_begin(v);
    for (int64_t i = 0; i < t[CONV_Y].dim[0] * t[CONV_Y].dim[1]; i++)
        bf_verdict_bounded(v, &t[CONV_Y], i, want(c, k, (const conv_expected *)base, i));
    bf_verdict_end(v, c);
}

/* ---- cost ---- */

static int64_t product(const int64_t v[3]) { return v[0] * v[1] * v[2]; }
static int64_t outputs_of(const bf_ref_conv *r) {
    int64_t n = r->batch * r->out;
    for (int d = 0; d < 3; d++) n *= bf_ref_conv_size(r, d);
    return n;
}
static uint64_t bytes_read(const bf_problem *p) {
    bf_ref_conv r = shape(p);
    return bf_dtype_bytes(p->type[CONV_X], r.batch * r.in * product(r.size)) +
           bf_dtype_bytes(p->type[CONV_WT], r.out * (r.in / r.groups) * product(r.taps)) +
           (p->type[CONV_B] == BF_NONE ? 0 : bf_dtype_bytes(p->type[CONV_B], r.out));
}
static uint64_t bytes_written(const bf_problem *p) {
    bf_ref_conv r = shape(p);
    return bf_dtype_bytes(p->type[CONV_Y], outputs_of(&r));
}
/* Multiplications with padding counted: what the usual convention has. */
static double flops(const bf_problem *p) {
    bf_ref_conv r = shape(p);
    double from = r.transposed ? (double)(r.batch * r.in) * (double)product(r.size) * (double)(r.out / r.groups)
                               : (double)outputs_of(&r) * (double)(r.in / r.groups);
    return 2 * from * (double)product(r.taps);
}

const bf_op bf_op_conv = {.name = "conv",
                          .summary = "convolution, 1 to 3 dimensions, plain or transposed, mixed types",
                          .fields = fields,
                          .tensors = tensors,
                          .fill = fill,
                          .expect = expect,
                          .release = release,
                          .judge = judge,
                          .bytes_read = bytes_read,
                          .bytes_written = bytes_written,
                          .flops = flops};
