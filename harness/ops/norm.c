/* norm: RMS, layer and group norm (contract: kernels/common/norm.h). How the bound comes about:
 *
 * Notation: u = 2^-24, gamma(n) = n u / (1 - n u); a product of n factors (1 + delta)^+-1 with |delta| <= u is 1 + theta with
 * |theta| <= gamma(n) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1). n is the length of a
 * row, `chain` the longest path of rounded additions of its sums. Scaling by powers of two rounds nothing. A hat means computed.
 *
 * s = fl(x + r) is itself an output and judged bit for bit; y is judged on the exact s.
 *
 * 1. Deviations (layer, group). The first mean c: chain additions, and two roundings to divide (by n, or 1/n rounded and a
 * product): |c - mean| <= q = gamma(chain + 3) A, A the mean of |s|. c is a shift like any other; d = fl(s - c) rounds once. The mean
 * of d: every term has its own rounding, chain additions, two for the division: off by at most gamma(chain + 3) mean|s - c|,
 * where mean|s - c| <= sqrt(sigma^2 + q^2) <= sigma + q. Subtracting it rounds once more. So with t = s - mean
 *
 *     |t^ - t| <= 2 u |t| + kappa,    kappa = u q + gamma(chain + 3) (sigma + q)
 *
 * q enters with a factor of gamma: the size of the mean does not matter before A / sigma is about 1 / gamma. A mean in two
 * fp32 words, or in fp64, is within this too. rms: t = s exactly, kappa = 0.
 *
 * 2. The variance. sqrt(mean(t^^2)) is between sigma (1 - 2u) - kappa and sigma (1 + 2u) + kappa (triangle inequality in the
 * Euclidean norm). Each square rounds once, chain additions (of terms of one sign), two for the division, one for + eps; eps was rounded
 * once itself:
 *
 *     v^ <= (sigma (1 + 2u) + kappa)^2 (1 + gamma(chain + 4)) + eps (1 + gamma(2)),   and likewise from below.
 *
 * 3. The root. ROOT = 2 roundings: a correctly rounded square root and division (1 each), or rsqrt with one Newton step,
 * r + (r/2) (1 - (v r) r) by fused multiply-adds: with r (1 + e) / sqrt(v), |e| <= 2^-21.4 (the weakest of the documented ones:
 * kernels/common/device.h), the product v r contributes u/2, the last rounding u, e itself 1.5 e^2 < 2^-42: 1.51 u in all.
 * From 2. follow limits of 1/sqrt(v^) and R, the largest relative distance from 1/sqrt(v).
 *
 * 4. The output. t^ times the root, times g: two roundings; g = 1 + w: one; all on H = |t g| / sqrt(v). + b rounds |y| once:
 *
 *     |y^ - y| <= [H R' + |g| kappa (1 + R') / sqrt(v)] + gamma(3) (...) + u |y|,    R' = (1 + R) (1 + gamma(ROOT)) (1 + 2u) - 1
 *
 * without the last term where there is no bias. Then the rounding to y's type, half a unit in the last place at most (fp32: none, y^ is
 * fp32 already).
 *
 * Whatever the variance, |t^| times the root is at most sqrt(n) (1 + gamma(chain + 8)): no square is larger than the sum of all.
 * Where R is infinite or large (deviations that are rounding errors of the mean), this limits y^, and the bound with it.
 *
 * 5. chain: what the kernel declares, never more than n + 16 or 2^22, and for rms never more than the number of values that are not
 * zero (adding an exact zero rounds nothing).
 *
 * 6. Underflow. A scaled value may be subnormal (off by 2^-150) where the largest is above 1/2: then so are the products with the root
 * and with g: eta = 2^-149 (1 + |g| (1 + 2 sqrt(n))), for where values are subnormal beside a largest one above 1/2, the root is at most
 * 2 sqrt(n). Squares that underflow are below 2^-126 of the mean and vanish in gamma.
 *
 * 7. Class first. A row with a non-finite s: NaN. A non-finite g or b: non-finite, NaN if one of them is NaN. |y| beyond the
 * type's overflow threshold (largest + half a unit): infinite, with the bound deciding what is near it; |H| near FLT_MAX may
 * overflow before b is added. Zero variance with eps = 0: zero rows give NaN; in rows of other equal values t^ is rounding error or
 * zero and the quotient at most sqrt(n): NaN, or finite within that.
 *
 * 8. The probabilistic bound has gamma_prob (ops.h) for the gammas that contain chain; witness cases on random fills are judged by it.
 * The reference (float64, compensated) is off by at most 2^-48 of y and 2^-50 A |g| / sqrt(v).
 *
 * 9. Where errors reach the bound (0.95 of it and more), it is attained and not exceeded: 16-bit y, where the one rounding to the type is nearly
 * all of the bound and many values come within a percent of half a unit; a bias much larger than the rest, whose addition rounds
 * likewise; fill=swamp, where each of the n additions to a plain chain loses all of its u, which is what gamma(chain) says. fp32 y
 * without bias stays below half of the bound elsewhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/norm.h"
#include "../../reference/norm.h"
#include "../../reference/number.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

enum { SCALE = NORM_PLUS_ONE + 1, MEAN, ROOT = 2, MOST_CHAIN = 1 << 22 };
#define FLOATS (1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16)
#define OPTIONAL (FLOATS | 1u << BF_NONE)

static const char *const kinds[] = {[NORM_RMS] = "rms", [NORM_LAYER] = "layer", [NORM_GROUP] = "group", NULL};
static const char *const no_yes[] = {"0", "1", NULL};
static const bf_field fields[] = {
    {"kind", BF_FIELD_CHOICE, NORM_KIND, "rms", 0, 0, 0, 0, kinds, "rms, layer or group norm"},
    {"m", BF_FIELD_DIM, NORM_M, NULL, 1, INT64_C(1) << 30, 1, 0, NULL, "rows; group norm: batch"},
    {"k", BF_FIELD_DIM, NORM_K, NULL, 1, 1 << 24, 1, 0, NULL, "length of a row; group norm: channels"},
    {"groups", BF_FIELD_DIM, NORM_GROUPS, "1", 1, 1 << 24, 1, 0, NULL, "group norm: groups, divide k"},
    {"inner", BF_FIELD_DIM, NORM_INNER, "1", 1, 1 << 24, 1, 0, NULL, "group norm: values a channel"},
    {"eps", BF_FIELD_PARAM, NORM_EPS, "1e-6", 0, 0, 0, 0, NULL, "added to the mean square or variance"},
    {"x", BF_FIELD_TYPE, NORM_X, "f32", 0, 0, 0, FLOATS, NULL, "type of x"},
    {"r", BF_FIELD_TYPE, NORM_R, "none", 0, 0, 0, OPTIONAL, NULL, "type of the residual; none: no residual"},
    {"w", BF_FIELD_TYPE, NORM_W, "f32", 0, 0, 0, OPTIONAL, NULL, "type of the weight; none: no weight"},
    {"plus_one", BF_FIELD_CHOICE, NORM_PLUS_ONE, "0", 0, 0, 0, 0, no_yes, "1: the factor is 1 + w"},
    {"b", BF_FIELD_TYPE, NORM_B, "none", 0, 0, 0, OPTIONAL, NULL, "type of the bias (layer, group); none: no bias"},
    {"y", BF_FIELD_TYPE, NORM_Y, "f32", 0, 0, 0, FLOATS, NULL, "type of y"},
    {"mean", BF_FIELD_PARAM, MEAN, "0", 0, 0, 0, 0, NULL, "added to every value of x"},
    {"scale", BF_FIELD_POWER, SCALE, "1", 0, 0, 0, 0, NULL, "x and r are multiplied by this power of two"},
    {0}};

typedef struct norm_expected {
    bf_expected base;
    int64_t rows, length;
    bf_ref_norm_row *row; /* [rows] */
    double *s;            /* [length]: the row at hand */
    double *g, *b;        /* [k] */
} norm_expected;

/* ---- shape and data ---- */

static int64_t rows_of(const bf_problem *p) { return p->dim[NORM_M] * p->dim[NORM_GROUPS]; }
static int64_t length_of(const bf_problem *p) { return p->dim[NORM_K] / p->dim[NORM_GROUPS] * p->dim[NORM_INNER]; }

static int refuse(const bf_problem *p, bf_error *err) {
    int group = p->param[NORM_KIND] == NORM_GROUP;
    double eps = p->param[NORM_EPS];
    if (!group && (p->dim[NORM_GROUPS] != 1 || p->dim[NORM_INNER] != 1))
        return bf_fail(err, "norm: groups and inner belong to kind=group");
    if (p->dim[NORM_K] % p->dim[NORM_GROUPS]) return bf_fail(err, "norm: groups must divide k");
    if (p->param[NORM_KIND] == NORM_RMS && p->type[NORM_B] != BF_NONE)
        return bf_fail(err, "norm: rms norm has no bias (b=none)");
    if (p->param[NORM_PLUS_ONE] != 0 && p->type[NORM_W] == BF_NONE)
        return bf_fail(err, "norm: plus_one=1 needs a weight");
    if (!(eps >= 0) || (eps != 0 && !(eps >= 0x1p-299 && eps < 0x1p299)))
        return bf_fail(err, "norm: eps=%g must be 0 or 2^-299 to 2^299", eps);
    if (length_of(p) > INT64_C(1) << 30) return bf_fail(err, "norm: rows of more than 2^30 values");
    return 0;
}

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t m = p->dim[NORM_M], k = p->dim[NORM_K], n = k * p->dim[NORM_INNER];
    if (refuse(p, err) || bf_op_tensor(&t[NORM_X], "x", BF_INPUT, p->type[NORM_X], m, n, err) ||
        bf_op_tensor(&t[NORM_Y], "y", BF_OUTPUT, p->type[NORM_Y], m, n, err))
        return -1;
    if (p->type[NORM_R] != BF_NONE && (bf_op_tensor(&t[NORM_R], "r", BF_INPUT, p->type[NORM_R], m, n, err) ||
                                       bf_op_tensor(&t[NORM_S], "s", BF_OUTPUT, BF_F32, m, n, err)))
        return -1;
    if (p->type[NORM_W] != BF_NONE && bf_op_tensor(&t[NORM_W], "w", BF_INPUT, p->type[NORM_W], 0, k, err)) return -1;
    if (p->type[NORM_B] != BF_NONE && bf_op_tensor(&t[NORM_B], "b", BF_INPUT, p->type[NORM_B], 0, k, err)) return -1;
    return 0;
}

static void put(const bf_tensor *t, int64_t i, double v) {
    uint32_t bits = bf_ref_encode(t->type, v);
    memcpy((char *)t->data + (uint64_t)i * bf_dtype_bytes(t->type, 1), &bits, bf_dtype_bytes(t->type, 1));
}

/* Weights near 1 (near 0 when 1 is added) and biases near 0; the pattern fills reach them as lists of that pattern. */
static void fill_channel(const bf_case *c, bf_tensor *t, uint32_t stream, double centre) {
    bf_fill f = (bf_fill)bf_fill_parse(c->fill);
    if (t->role != BF_INPUT) return;
    if (f == BF_FILL_BITS || f == BF_FILL_EDGE || f == BF_FILL_FINITE_EDGE) {
        bf_fill_values(f, c->seed + stream, stream, t->type, 0, t->dim[0], 0, t->data);
        return;
    }
    for (int64_t i = 0; i < t->dim[0]; i++) {
        uint32_t r[4];
        bf_random4(c->seed, stream, (uint64_t)i, r);
        put(t, i, centre + bf_random_gauss(r) / 4 * (f == BF_FILL_OUTLIER && i % 97 == 5 ? 200 : 1));
    }
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    int pow2, f = bf_fill_parse(c->fill);
    if (frexp(p->param[SCALE], &pow2) != 0.5 || abs(--pow2) > 300)
        return bf_fail(err, "norm: scale=%g must be a power of two (2^-300 to 2^300)", p->param[SCALE]);
    if (f < 0) return bf_fail(err, "norm: unknown fill '%s'", c->fill);
    double mean = p->param[MEAN];
    for (int slot = NORM_X; slot <= NORM_R; slot++)
        if (t[slot].role == BF_INPUT)
            bf_fill_values((bf_fill)f, c->seed, (uint32_t)slot + 1, t[slot].type, rows_of(p), length_of(p),
                           mean != 0 && slot == NORM_X ? 0 : pow2, t[slot].data);
    for (int64_t i = 0; mean != 0 && i < rows_of(p) * length_of(p); i++)
        put(&t[NORM_X], i, ldexp(bf_ref_at(t[NORM_X].type, t[NORM_X].data, i) + mean, pow2));
    fill_channel(c, &t[NORM_W], 3, p->param[NORM_PLUS_ONE] == 0);
    fill_channel(c, &t[NORM_B], 4, 0);
    return 0;
}

/* ---- reference ---- */

static void release(bf_expected *base) {
    norm_expected *e = (norm_expected *)base;
    if (!e) return;
    free(e->row), free(e->s), free(e->g), free(e->b);
    free(e);
}

/* s of one row, exact, into e->s. */
static const double *row_values(const norm_expected *e, const bf_tensor t[BF_MAX_TENSORS], int64_t r) {
    for (int64_t i = 0; i < e->length; i++) {
        e->s[i] = bf_ref_at(t[NORM_X].type, t[NORM_X].data, r * e->length + i);
        if (t[NORM_R].role == BF_INPUT)
            e->s[i] = bf_ref_norm_sum(e->s[i], bf_ref_at(t[NORM_R].type, t[NORM_R].data, r * e->length + i));
    }
    return e->s;
}

static int dump(const bf_case *, const bf_kernel *, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *, int slot,
                double *ref, double *bound);

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    size_t k = (size_t)p->dim[NORM_K];
    norm_expected *e = calloc(1, sizeof *e);
    if (e) {
        e->base.dump = dump;
        e->rows = rows_of(p), e->length = length_of(p);
        e->row = calloc((size_t)e->rows, sizeof *e->row), e->s = malloc((size_t)e->length * sizeof *e->s);
        e->g = malloc(k * sizeof *e->g), e->b = malloc(k * sizeof *e->b);
    }
    if (!e || !e->row || !e->s || !e->g || !e->b) {
        bf_fail(err, "norm: no memory for the reference");
        release((bf_expected *)e);
        return NULL;
    }
    for (int64_t i = 0; i < (int64_t)k; i++) {
        e->g[i] = t[NORM_W].role == BF_INPUT ? bf_ref_at(t[NORM_W].type, t[NORM_W].data, i) + (p->param[NORM_PLUS_ONE] != 0)
                                             : 1;
        e->b[i] = t[NORM_B].role == BF_INPUT ? bf_ref_at(t[NORM_B].type, t[NORM_B].data, i) : 0;
    }
    for (int64_t r = 0; r < e->rows; r++)
        e->row[r] = bf_ref_norm(row_values(e, t, r), e->length, p->param[NORM_KIND] != NORM_RMS);
    return &e->base;
}

/* ---- judgement ---- */

/* What step 2 and 3 of the bound make of a row; once with gamma, once with gamma_prob. */
typedef struct row_bound {
    double kappa, relative; /* of t; R' */
    double most;            /* limit of |t^| times the root, whatever the variance */
} row_bound;

static row_bound bound_of_row(const bf_ref_norm_row *row, int centred, double eps, double chain, int64_t length,
                              double (*gamma)(double)) {
    double u = BF_REF_U32, sigma = sqrt(row->square), q = centred ? gamma(chain + 3) * row->magnitude : 0;
    row_bound b = {0};
    if (centred) b.kappa = u * q + gamma(chain + 3) * (sigma + q);
    double v = row->square + eps, wide = centred ? 2 * u : 0;
    double top = sigma * (1 + wide) + b.kappa, bottom = fmax(0, sigma * (1 - wide) - b.kappa);
    double high = top * top * (1 + gamma(chain + 4)) + eps * (1 + bf_gamma(2));
    double low = bottom * bottom * (1 - gamma(chain + 4)) + eps * (1 - bf_gamma(2));
    /* 0 / 0 of equal values with eps = 0 would be lost in fmax. */
    double most = low > 0 ? fmax(sqrt(v / low) - 1, 1 - sqrt(v / high)) : INFINITY;
    b.relative = (1 + most) * (1 + bf_gamma(ROOT)) * (1 + 2 * u) - 1;
    b.most = sqrt((double)length) * (1 + bf_gamma(chain + 8));
    return b;
}

/* Everything one row's outputs share. */
typedef struct row_state {
    const bf_ref_norm_row *row;
    row_bound worst, prob;
    double root, eta; /* 1 / sqrt(v); factor of the underflow */
    int zero_variance, undetermined; /* undetermined: the variance may come out as zero, eps is */
} row_state;

static double chain_of(const bf_case *c, const bf_kernel *k, const norm_expected *e, int64_t r) {
    int64_t cap = e->length + 16 < MOST_CHAIN ? e->length + 16 : MOST_CHAIN;
    int64_t declared = k->chain ? k->chain(&c->problem) : cap;
    if (declared < 0 || declared > cap) declared = cap;
    if (c->problem.param[NORM_KIND] == NORM_RMS && declared > e->row[r].nonzero) declared = e->row[r].nonzero;
    return (double)declared;
}

static row_state state_of(const bf_case *c, const bf_kernel *k, const norm_expected *e, int64_t r) {
    row_state s = {.row = &e->row[r]};
    double eps = c->problem.param[NORM_EPS], chain = chain_of(c, k, e, r);
    int centred = c->problem.param[NORM_KIND] != NORM_RMS;
    s.worst = bound_of_row(s.row, centred, eps, chain, e->length, bf_gamma);
    s.prob = bound_of_row(s.row, centred, eps, chain, e->length, bf_gamma_prob);
    double v = s.row->square + eps;
    s.zero_variance = v == 0;
    s.root = v > 0 ? 1 / sqrt(v) : 0;
    s.eta = 2 * sqrt((double)e->length);
    s.undetermined = s.zero_variance || !isfinite(s.worst.relative);
    return s;
}

static double channel_bound(const row_state *s, const row_bound *b, double t, double g, double y, int biased) {
    double h = fabs(t) * s->root * fabs(g);
    double off = h * b->relative + fabs(g) * b->kappa * s->root * (1 + b->relative);
    double most = fabs(g) * (b->most + fabs(t) * s->root);
    if (!(off <= most)) off = most; /* 0 * infinity too */
    off += bf_gamma(3) * (h + off);
    return off + (biased ? BF_REF_U32 * (fabs(y) + off) : 0);
}

/* Widens a bound of fp32 arithmetic by the rounding to `type`, and finds the classes that a value may have. */
static bf_want to_type(bf_dtype type, double y, double h, double bound, double prob) {
    double largest = bf_ref_largest(type), half = bf_ref_ulp(type, largest) / 2, at = fmin(fabs(y) + bound, largest);
    double over = largest + half;
    bf_want w = {.value = y, .bound = bound, .prob = prob, .allow = BF_ALLOW_FINITE};
    if (type != BF_F32) w.bound += bf_ref_ulp(type, at) / 2, w.prob += bf_ref_ulp(type, at) / 2;
    if (fabs(y) - bound >= over) {
        w.value = copysign(INFINITY, y), w.allow = BF_ALLOW_INF;
        return w;
    }
    int leaves = fabs(h) + bound >= bf_ref_largest(BF_F32); /* before the bias could bring it back: with the sign of h */
    if (leaves || fabs(y) + bound >= over) w.allow |= BF_ALLOW_INF;
    if (leaves && signbit(h) != signbit(y)) w.infinity = fabs(y) + bound >= over ? NAN : copysign(1, h);
    return w;
}

static bf_want want(const bf_case *c, const norm_expected *e, const row_state *s, int64_t channel, double value) {
    double g = e->g[channel], b = e->b[channel];
    bf_want none = {.value = NAN, .bound = NAN, .allow = BF_ALLOW_NAN};
    if (!s->row->finite || isnan(g) || isnan(b)) return none;
    double t = value - s->row->mean;
    if (s->zero_variance && (c->problem.param[NORM_KIND] == NORM_RMS || value == 0)) return none;
    if (!isfinite(g) || !isfinite(b)) {
        none.allow |= BF_ALLOW_INF;
        return none;
    }
    int biased = c->problem.type[NORM_B] != BF_NONE;
    double h = t * s->root * g, y = h + b;
    double rest = 0x1p-149 * (1 + fabs(g) * (1 + s->eta)) + 0x1p-48 * (fabs(h) + fabs(y)) +
                  0x1p-50 * s->row->magnitude * s->root * fabs(g);
    double bound = channel_bound(s, &s->worst, t, g, y, biased) + rest;
    double prob = channel_bound(s, &s->prob, t, g, y, biased) + rest;
    if (c->witness && bf_fill_random((bf_fill)bf_fill_parse(c->fill)) && prob < bound) bound = prob;
    bf_want w = to_type(c->problem.type[NORM_Y], y, h, bound, prob);
    if (s->undetermined) w.allow |= BF_ALLOW_NAN;
    return w;
}

/* Hands every element of y with its want to `each`. */
static void for_outputs(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const norm_expected *e,
                        void (*each)(void *, int64_t index, bf_want), void *user) {
    int64_t inner = c->problem.dim[NORM_INNER], groups = c->problem.dim[NORM_GROUPS];
    int64_t channels = c->problem.dim[NORM_K] / groups;
    for (int64_t r = 0; r < e->rows; r++) {
        const double *value = row_values(e, t, r);
        row_state s = state_of(c, k, e, r);
        for (int64_t i = 0; i < e->length; i++)
            each(user, r * e->length + i, want(c, e, &s, r % groups * channels + i / inner, value[i]));
    }
}

typedef struct dump_arrays {
    double *ref, *bound;
} dump_arrays;

static void dump_one(void *user, int64_t i, bf_want w) {
    dump_arrays *d = user;
    d->ref[i] = w.value;
    d->bound[i] = w.allow == BF_ALLOW_FINITE ? w.bound : w.allow & BF_ALLOW_FINITE ? INFINITY : NAN;
}

static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *base,
                int slot, double *ref, double *bound) {
    const norm_expected *e = (const norm_expected *)base;
    if (slot == NORM_Y) for_outputs(c, k, t, e, dump_one, &(dump_arrays){ref, bound});
    for (int64_t r = 0; slot == NORM_S && r < e->rows; r++) {
        const double *value = row_values(e, t, r);
        for (int64_t i = 0; i < e->length; i++)
            ref[r * e->length + i] = value[i], bound[r * e->length + i] = isfinite(value[i]) ? 0 : NAN;
    }
    return 0;
}

typedef struct judge_state {
    bf_verdict *v;
    const bf_tensor *y;
} judge_state;

static void judge_one(void *user, int64_t i, bf_want w) {
    judge_state *j = user;
    bf_verdict_bounded(j->v, j->y, i, w);
}

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *base,
                  bf_verdict *v) {
    const norm_expected *e = (const norm_expected *)base;
    bf_verdict_begin(v);
    for (int64_t r = 0; t[NORM_S].role == BF_OUTPUT && r < e->rows; r++) {
        const double *value = row_values(e, t, r);
        for (int64_t i = 0; i < e->length; i++)
            bf_verdict_exact(v, &t[NORM_S], r * e->length + i, bf_ref_encode(BF_F32, value[i]), isnan(value[i]));
    }
    if (v->mismatched) bf_verdict_note(v, "s is not x + r rounded to fp32");
    int64_t before = v->mismatched;
    for_outputs(c, k, t, e, judge_one, &(judge_state){v, &t[NORM_Y]});
    if (t[NORM_S].role == BF_OUTPUT && v->mismatched > before) bf_verdict_note(v, "y is wrong for the exact s");
    bf_verdict_end(v, c);
}

/* ---- cost ---- */

static int64_t elements(const bf_problem *p) { return p->dim[NORM_M] * p->dim[NORM_K] * p->dim[NORM_INNER]; }
static uint64_t bytes_read(const bf_problem *p) {
    return bf_dtype_bytes(p->type[NORM_X], elements(p)) + bf_dtype_bytes(p->type[NORM_R], elements(p)) +
           bf_dtype_bytes(p->type[NORM_W], p->dim[NORM_K]) + bf_dtype_bytes(p->type[NORM_B], p->dim[NORM_K]);
}
static uint64_t bytes_written(const bf_problem *p) {
    return bf_dtype_bytes(p->type[NORM_Y], elements(p)) + (p->type[NORM_R] ? bf_dtype_bytes(BF_F32, elements(p)) : 0);
}
/* A multiply-add for the squares, two products; layer norm: a sum and a subtraction more. */
static double flops(const bf_problem *p) { return (p->param[NORM_KIND] == NORM_RMS ? 4.0 : 6.0) * (double)elements(p); }

const bf_op bf_op_norm = {.name = "norm",
                          .summary = "RMS, layer and group norm with residual, weight and bias",
                          .fields = fields,
                          .tensors = tensors,
                          .fill = fill,
                          .expect = expect,
                          .release = release,
                          .judge = judge,
                          .bytes_read = bytes_read,
                          .bytes_written = bytes_written,
                          .flops = flops};
