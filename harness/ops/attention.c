/* attention: softmax(cap(scale q k^T) + mask) v and its log-sum-exp (contract: kernels/common/attention.h). How the bounds
 * come about:
 *
 * Notation: u = 2^-24, gamma(n) = n u / (1 - n u) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
 * lemma 3.1). For one row: t_j the exact score of key j, m their maximum, w_j the exact weights (sum 1), o = sum w_j v_j.
 *
 * 1. Scores. q . k in fp32, any order, with or without fused multiply-add: z products and additions, z the values of q
 * that are not zero; the scale rounds once, and once more where log2(e) is folded into it; one to spare:
 *   gamma(z + 3) scale sum|q||k|.
 * Base 2 needs log2(e) itself: 2 u of each term; the addition of the mask rounds once: 3 u (|t| + |t + mask|) + 2 u |mask|.
 * Soft cap: t/cap rounds twice (a rounded reciprocal), and tanh keeps relative errors of its argument or shrinks them; tanh
 * itself 12 u relative (device_math.h, tested against MPFR); the product with cap once: 16 u |t| more.
 * All this is e_j: |t^_j - t_j| <= e_j.
 *
 * 2. Weights. p_j = exp2((t_j - m) log2(e)): the subtraction, the constant and the product round: the argument is off by
 * 3 u |t_j - m|, where m is the maximum at that time. When a new maximum comes, sums are multiplied by
 * exp2((m - m') log2(e)), 3 u (m' - m); maxima only grow, so all arguments of one key together are off by at most
 * 3 u |t_j - m| for the last, computed m, which is within max e of the exact one: 3 u (|t_j - m| + 2 max e).
 * exp2 itself is good to 2 ulp = 4 u (PTX ISA, ex2.approx; RDNA 3.5 ISA, v_exp_f32: 1 ulp), exact at 0. With R rescales
 *   p^_j = p_j exp(a_j),   |a_j| <= b_j + 4 u (1 + R),   b_j = e_j + 3 u (|t_j - m| + 2 max e).
 * R is not declared: the contract allows chain/16 + 2, and there is none without a key of weight above zero. A key whose weight
 * is zero counts as well where b_j may lift it above 2^-126.
 *
 * 3. Sums, chain rounded additions at most behind one output (declared; the cap is keys + 64; never more than the keys of
 * weight above zero, since adding zero rounds nothing), each rescale a product: 1 + theta, |theta| <= g =
 * gamma(chain + R + 1), + 1 for p v without fused multiply-add. With E_j = e^|a_j| - 1, numerator over denominator:
 *   |o^ - o| <= (sum w_j E_j |v_j - o| + g (sum w_j (1 + E_j) |v_j| + |o| (1 + sum w_j E_j))) / (1 - S - g (1 + S)),
 * S = sum w_j E_j, because an error that all weights share cancels: sum w_j (v_j - o) = 0. |v_j - o| <= |v_j - c| + |o - c|
 * for the column's mean c, so that these are plain products. The division, or a reciprocal and a product: 2 u of o^.
 * Where that says little (S near 1: scores of thousands) another bound holds: o^ is a weighted mean, so it lies between the
 * least and the largest value of its column, but for 3 g of the largest magnitude.
 *
 * Underflow: a weight below 2^-126 may be flushed, each time it is formed or rescaled: (R + 2) 2^-126 (sum|v_j| + n |o|);
 * products lose 2^-149 each.
 *
 * 4. lse = m + log(sum p_j): the sum is off by r = S + g (1 + S) of itself, its logarithm by r / (1 - r), or by max_j a_j + 2 g
 * where that is less (log-sum-exp moves no further than the largest score does). log is good to 4 ulp = 8 u of its value
 * (device_math.h, tested), the addition rounds once, base 2 costs 3 u of both parts.
 *
 * 5. Class comes first, by the policies of the contract. Anything goes where a step may leave fp32 although the result does
 * not: q . k before or after scaling, score + mask, the sum of a column's magnitudes.
 *
 * 6. Path wmma: q . k by matrix instructions, for q and K of the same 16-bit type. Products are exact; additions err by up to
 * 3 u, 4 u a product where a step has one alone (ops.h derives it): gamma(4 z) at most. So e_j, and with it b_j, at most has
 * fourfold size (4 gamma(n) and gamma(4 n) differ by less than 1e-4 here), and
 *   e^(4 b) - 1 = (e^b - 1)(1 + e^b + e^(2 b) + e^(3 b)) <= (e^b - 1)(1 + e^B + e^(2 B) + e^(3 B)),  B = max b.
 * What underflow costs there, times the scale, is added to |a_j|, three times (e_j and 2 max e of section 2), whatever the key. There
 * is no probabilistic form for the scores: these errors have a preferred sign.
 *
 * 7. The probabilistic bound has gamma_prob (ops.h) in place of gamma for q . k and for the sums. Witness cases on random data
 * are judged by it. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "../../reference/attention.h"
#include "../../reference/linear.h"
#include "../../reference/number.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

#define U BF_REF_U32
enum { PATTERN = 3, PLANT, AMPLITUDE }; /* params of the case alone */
enum { RANDOM, LOWEST, ROWS, HALF_LOWEST, SLOPE, SPECIAL };
enum { NOTHING, EXCLUDED, K_NAN, V_NAN, V_INF, SCORE_INF, Q_NAN, SINK_NAN };
static const char *const patterns[] = {"random", "lowest", "rows", "half-lowest", "slope", "special", NULL};
static const char *const plants[] = {"none", "excluded", "k-nan", "v-nan", "v-inf", "score-inf", "q-nan", "sink-nan", NULL};

static const char *const paths[] = {"", "wmma", NULL}; /* "": fp32 throughout */

#define FLOATS (1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16)
#define DIM BF_FIELD_DIM
static const bf_field fields[] = {
    {"heads", DIM, ATTENTION_HEADS, "1", 1, 1024, 1, 0, NULL, "query heads"},
    {"kv_heads", DIM, ATTENTION_KV_HEADS, "1", 1, 1024, 1, 0, NULL, "key and value heads; divides heads"},
    {"queries", DIM, ATTENTION_QUERIES, NULL, 1, INT64_C(1) << 20, 1, 0, NULL, "rows of q of a head"},
    {"keys", DIM, ATTENTION_KEYS, NULL, 1, INT64_C(1) << 20, 1, 0, NULL, "keys and values of a kv head"},
    {"d", DIM, ATTENTION_D, "64", 64, 256, 16, 0, NULL, "head dimension: 64, 80, 96, 112, 128, 192, 256"},
    {"window", DIM, ATTENTION_WINDOW, "0", 0, INT64_C(1) << 20, 1, 0, NULL, "sliding window in keys; 0: none"},
    {"causal", BF_FIELD_PARAM, ATTENTION_CAUSAL, "0", 0, 1, 1, 0, NULL, "1: keys behind the query are excluded"},
    {"scale", BF_FIELD_PARAM, ATTENTION_SCALE, "0", 0, 1 << 20, 0, 0, NULL, "of the scores; 0: 1/sqrt(d)"},
    {"cap", BF_FIELD_PARAM, ATTENTION_CAP, "0", 0, 1 << 20, 0, 0, NULL, "soft cap; 0: none"},
    {"q", BF_FIELD_TYPE, ATTENTION_Q, "f32", 0, 0, 0, FLOATS, NULL, "type of q"},
    {"kv", BF_FIELD_TYPE, ATTENTION_K, "f16", 0, 0, 0, FLOATS, NULL, "type of k and v"},
    {"mask", BF_FIELD_TYPE, ATTENTION_MASK, "none", 0, 0, 0, 1u << BF_NONE | 1u << BF_F32 | 1u << BF_F16, NULL,
     "type of the additive mask"},
    {"sink", BF_FIELD_TYPE, ATTENTION_SINK, "none", 0, 0, 0, 1u << BF_NONE | 1u << BF_F32, NULL, "type of the sinks"},
    {"pattern", BF_FIELD_CHOICE, PATTERN, "random", 0, 0, 0, 0, patterns,
     "mask: random with -inf, lowest: with -FLT_MAX, rows: whole rows of them, half-lowest: -65504, slope: by distance"},
    {"plant", BF_FIELD_CHOICE, PLANT, "none", 0, 0, 0, 0, plants, "NaN or infinity at chosen places"},
    {"amp", BF_FIELD_POWER, AMPLITUDE, "1", 0, 0, 0, 0, NULL, "q is multiplied by this power of two"},
    {0}};

typedef struct attention_expected {
    bf_expected base;
    bf_ref_attention_result r;
    double scale;
    double *underflow; /* [heads][queries]: of a score on path wmma; NULL: q and k of other types */
} attention_expected;

/* ---- tensors ---- */

static int dimension_known(int64_t d) {
    static const int known[] = {64, 80, 96, 112, 128, 192, 256};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (d == known[i]) return 1;
    return 0;
}

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t heads = p->dim[ATTENTION_HEADS], kv = p->dim[ATTENTION_KV_HEADS], d = p->dim[ATTENTION_D];
    int64_t queries = p->dim[ATTENTION_QUERIES], keys = p->dim[ATTENTION_KEYS];
    if (heads % kv) return bf_fail(err, "attention: heads=%lld is not a multiple of kv_heads=%lld", (long long)heads, (long long)kv);
    if (!dimension_known(d)) return bf_fail(err, "attention: d=%lld (known: 64, 80, 96, 112, 128, 192, 256)", (long long)d);
    bf_dtype kv_type = p->type[ATTENTION_K], mask = p->type[ATTENTION_MASK];
    if (bf_op_tensor(&t[ATTENTION_Q], "q", BF_INPUT, p->type[ATTENTION_Q], heads * queries, d, err) ||
        bf_op_tensor(&t[ATTENTION_K], "k", BF_INPUT, kv_type, kv * keys, d, err) ||
        bf_op_tensor(&t[ATTENTION_V], "v", BF_INPUT, kv_type, kv * keys, d, err) ||
        bf_op_tensor(&t[ATTENTION_O], "o", BF_OUTPUT, BF_F32, heads * queries, d, err) ||
        bf_op_tensor(&t[ATTENTION_LSE], "lse", BF_OUTPUT, BF_F32, heads, queries, err))
        return -1;
    if (mask != BF_NONE && bf_op_tensor(&t[ATTENTION_MASK], "mask", BF_INPUT, mask, queries, keys, err)) return -1;
    return p->type[ATTENTION_SINK] == BF_NONE ? 0 : bf_op_tensor(&t[ATTENTION_SINK], "sink", BF_INPUT, BF_F32, 0, heads, err);
}

/* ---- fill ---- */

static void put(bf_tensor *t, int64_t i, double value) {
    uint32_t bits = bf_ref_encode(t->type, value);
    if (t->type == BF_F32) memcpy((char *)t->data + 4 * i, &bits, 4);
    else memcpy((char *)t->data + 2 * i, &bits, 2);
}

/* Keys that plant=excluded takes out of every row. */
static int planted(int64_t j) { return j % 5 == 2; }

static double mask_value(const bf_case *c, bf_dtype type, int64_t i, int64_t j) {
    uint32_t r[4];
    bf_random4(c->seed, 4, (uint64_t)(i * c->problem.dim[ATTENTION_KEYS] + j), r);
    double plain = bf_random_gauss(r), out = type == BF_F32 && r[1] % 2 ? -FLT_MAX : -INFINITY;
    int exclude = r[0] % 4 == 0;
    int64_t causal_at = i + c->problem.dim[ATTENTION_KEYS] - c->problem.dim[ATTENTION_QUERIES];
    if ((int)c->problem.param[PLANT] == EXCLUDED && planted(j)) return out;
    switch ((int)c->problem.param[PATTERN]) {
    case LOWEST: return exclude ? (type == BF_F32 ? -FLT_MAX : -INFINITY) : plain;
    case ROWS: return i % 3 == 1 ? -INFINITY : i % 3 == 2 ? (type == BF_F32 ? -FLT_MAX : -INFINITY) : exclude ? out : plain;
    case HALF_LOWEST: return exclude || i % 3 == 1 ? -65504 : plain;
    case SLOPE: return -0.0625 * fabs((double)(causal_at - j));
    case SPECIAL: return i % 4 == 1 && r[0] % 64 == 0 ? (r[1] % 2 ? NAN : INFINITY) : exclude ? out : plain;
    default: return exclude ? out : plain;
    }
}

/* NaN and infinities in places that the contract has a rule for. */
static void plant(const bf_case *c, bf_tensor t[BF_MAX_TENSORS]) {
    const bf_problem *p = &c->problem;
    int64_t keys = p->dim[ATTENTION_KEYS], d = p->dim[ATTENTION_D], kv = p->dim[ATTENTION_KV_HEADS];
    int what = (int)p->param[PLANT];
    for (int64_t g = 0; g < kv; g++) {
        int64_t last = (g * keys + keys - 1) * d, column = (g * 7 + 3) % d;
        if (what == K_NAN) put(&t[ATTENTION_K], last + column, NAN);
        if (what == V_NAN) put(&t[ATTENTION_V], last + column, NAN);
        if (what == V_INF) put(&t[ATTENTION_V], last + column, g % 2 ? -INFINITY : INFINITY);
        if (what == SCORE_INF) put(&t[ATTENTION_K], last + column, INFINITY); /* -inf where q is negative there */
        for (int64_t j = 0; what == EXCLUDED && j < keys; j++)
            for (int64_t e = 0; planted(j) && e < d; e += 3) {
                put(&t[ATTENTION_K], (g * keys + j) * d + e, e % 2 ? NAN : INFINITY);
                put(&t[ATTENTION_V], (g * keys + j) * d + (e + (j & 1)) % d, e % 2 ? INFINITY : NAN);
            }
    }
    int64_t rows = p->dim[ATTENTION_HEADS] * p->dim[ATTENTION_QUERIES];
    for (int64_t i = 0; what == Q_NAN && i < rows; i += 3) put(&t[ATTENTION_Q], i * d + i % d, NAN);
    for (int64_t h = 0; what == SINK_NAN && t[ATTENTION_SINK].role == BF_INPUT && h < p->dim[ATTENTION_HEADS]; h++)
        put(&t[ATTENTION_SINK], h, h % 3 == 0 ? NAN : h % 3 == 1 ? -INFINITY : INFINITY);
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    int f = bf_fill_parse(c->fill), pow2, power = frexp(p->param[AMPLITUDE], &pow2) == 0.5 && abs(--pow2) <= 300;
    if (f < 0) return bf_fail(err, "attention: unknown fill '%s'", c->fill);
    if (!power) return bf_fail(err, "attention: amp=%g must be a power of two (2^-300 to 2^300)", p->param[AMPLITUDE]);
    /* Values that are mostly zero would say little: sparse and onehot are for q and k, whose products they leave short. */
    int plain = f == BF_FILL_SPARSE || f == BF_FILL_ONEHOT;
    for (int s = ATTENTION_Q; s <= ATTENTION_V; s++)
        bf_fill_values(s == ATTENTION_V && plain ? BF_FILL_GAUSS : (bf_fill)f, c->seed, (uint32_t)s + 1, t[s].type, t[s].dim[0], t[s].dim[1],
                       s == ATTENTION_Q ? pow2 : 0, t[s].data);
    int hard = f == BF_FILL_EDGE || f == BF_FILL_FINITE_EDGE || f == BF_FILL_BITS;
    if (t[ATTENTION_SINK].role == BF_INPUT)
        bf_fill_values(hard ? (bf_fill)f : BF_FILL_GAUSS, c->seed, 5, BF_F32, 0, t[ATTENTION_SINK].dim[0], !hard, t[ATTENTION_SINK].data);
    for (int64_t i = 0; t[ATTENTION_MASK].role == BF_INPUT && i < p->dim[ATTENTION_QUERIES]; i++)
        for (int64_t j = 0; j < p->dim[ATTENTION_KEYS]; j++)
            put(&t[ATTENTION_MASK], i * p->dim[ATTENTION_KEYS] + j, mask_value(c, t[ATTENTION_MASK].type, i, j));
    plant(c, t);
    return 0;
}

/* ---- reference ---- */

static void release(bf_expected *base) {
    attention_expected *e = (attention_expected *)base;
    if (!e) return;
    bf_ref_attention_free(&e->r);
    free(e->underflow);
    free(e);
}

static int dump(const bf_case *, const bf_kernel *, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *, int slot,
                double *ref, double *bound);

/* Section 6. -1: no memory. */
static int underflow_of_scores(const bf_problem *p, const bf_tensor t[BF_MAX_TENSORS], attention_expected *e) {
    int64_t heads = p->dim[ATTENTION_HEADS], kv = p->dim[ATTENTION_KV_HEADS], queries = p->dim[ATTENTION_QUERIES];
    int64_t keys = p->dim[ATTENTION_KEYS], d = p->dim[ATTENTION_D];
    bf_dtype type = p->type[ATTENTION_Q];
    double wide[256];
    if (type != p->type[ATTENTION_K] || type == BF_F32) return 0;
    if (!(e->underflow = malloc(sizeof *e->underflow * (size_t)(heads * queries)))) return -1;
    for (int64_t g = 0; g < kv; g++) {
        double subnormal = 0, top = 0;
        bf_ref_row row;
        for (int64_t j = g * keys; j < (g + 1) * keys; j++) {
            bf_ref_linear_widen(type, (const uint16_t *)t[ATTENTION_K].data + j * d, 1, d, wide, &row);
            subnormal = fmax(subnormal, (double)row.subnormal), top = fmax(top, row.top);
        }
        int64_t rows = heads / kv * queries;
        for (int64_t i = g * rows; i < (g + 1) * rows; i++) {
            bf_ref_linear_widen(type, (const uint16_t *)t[ATTENTION_Q].data + i * d, 1, d, wide, &row);
            e->underflow[i] = e->scale * bf_grid_underflow(type, d, (double)row.subnormal, row.top, subnormal, top);
        }
    }
    return 0;
}

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    const bf_problem *p = &c->problem;
    attention_expected *e = calloc(1, sizeof *e);
    if (!e) return bf_fail(err, "attention: no memory for the reference"), NULL;
    double scale = p->param[ATTENTION_SCALE], cap = (float)p->param[ATTENTION_CAP];
    e->base.dump = dump;
    e->scale = scale == 0 ? (float)(1 / sqrt((double)p->dim[ATTENTION_D])) : (float)scale;
    bf_ref_attention_problem q = {
        .heads = p->dim[ATTENTION_HEADS], .kv_heads = p->dim[ATTENTION_KV_HEADS], .queries = p->dim[ATTENTION_QUERIES],
        .keys = p->dim[ATTENTION_KEYS], .d = p->dim[ATTENTION_D], .window = p->dim[ATTENTION_WINDOW],
        .scale = e->scale, .cap = cap, .causal = p->param[ATTENTION_CAUSAL] != 0, .q_type = p->type[ATTENTION_Q],
        .kv_type = p->type[ATTENTION_K], .mask_type = p->type[ATTENTION_MASK], .sink_type = p->type[ATTENTION_SINK],
        .q = t[ATTENTION_Q].data, .k = t[ATTENTION_K].data, .v = t[ATTENTION_V].data, .mask = t[ATTENTION_MASK].data,
        .sink = t[ATTENTION_SINK].data};
    bf_ref_attention_errors x = {.score = (cap > 0 ? 19 : 3) * U, .mask = 2 * U, .argument = 3 * U};
    for (int z = 0; z <= 256; z++) x.dot[0][z] = bf_gamma(z + 3), x.dot[1][z] = bf_gamma_prob(z + 3);
    if (underflow_of_scores(p, t, e)) bf_fail(err, "attention: no memory for the reference");
    else if (!bf_ref_attention(&q, &x, &e->r, err)) return &e->base;
    free(e->underflow);
    free(e);
    return NULL;
}

/* ---- judgement ---- */

typedef struct row_bound { /* of one row, x: 0 worst case, 1 probabilistic */
    double rescales, grow, g[2], spread[2]; /* R; e^(4u(1+R) + underflow) - 1; g; S */
    double underflow;                       /* path wmma: of the scores, else 0 */
    double by[2];                           /* e^b - 1 is multiplied by: path wmma: 1 + e^B + e^(2B) + e^(3B), else 1 */
    int of[2];                              /* which of the reference's are meant: path wmma has the worst case alone */
} row_bound;

static row_bound bound_of_row(const bf_case *c, const bf_kernel *k, const attention_expected *e, int64_t index) {
    const bf_ref_attention_row *row = &e->r.row[index];
    int64_t cap = c->problem.dim[ATTENTION_KEYS] + 64, chain = k->chain ? k->chain(&c->problem) : cap;
    if (chain < 0 || chain > cap) chain = cap;
    if ((double)chain > row->keys) chain = (int64_t)row->keys;
    row_bound b = {.rescales = (double)(chain / 16 + 2)};
    if (b.rescales > row->keys + 2) b.rescales = row->keys + 2;
    int wmma = bf_adds_on_grid(k);
    if (wmma && e->underflow) b.underflow = 3 * e->underflow[index];
    b.grow = expm1(4 * U * (1 + b.rescales) + b.underflow);
    b.g[0] = bf_gamma((double)chain + b.rescales + 1), b.g[1] = bf_gamma_prob((double)chain + b.rescales + 1);
    for (int x = 0; x < 2; x++) {
        b.of[x] = wmma ? 0 : x;
        double grown = exp(row->worst[0]);
        b.by[x] = wmma ? 1.0001 * (1 + grown * (1 + grown * (1 + grown))) : 1;
        b.spread[x] = b.by[x] * row->error[b.of[x]] * (1 + b.grow) + b.grow;
    }
    return b;
}

static double element_bound(const row_bound *b, const bf_ref_attention_row *row, const bf_ref_attention_element *e,
                            const bf_ref_attention_column *c, int x) {
    double o = fabs(e->o), s = b->spread[x], g = b->g[x], rest = 1 - s - g * (1 + s);
    double moved = b->by[x] * e->moved[b->of[x]] * (1 + b->grow) + b->grow * e->spread; /* sum w E |v - c| */
    double flush = (b->rescales + 2) * 0x1p-126 * (c->sum + row->keys * o) + (row->keys + b->rescales + 8) * 0x1p-149;
    double exact = 1e-12 * (e->magnitude + o); /* of the reference itself */
    double top = fmax(fabs(c->low), fabs(c->high)), hull = c->high - c->low + 3 * g * top;
    double tight = (moved + fabs(e->o - c->center) * s + g * (e->magnitude + o + moved + (fabs(c->center) + o) * s)) / rest;
    double bound = rest > 0.5 && tight < hull ? tight : hull;
    return bound + 2 * U * (o + bound) + flush + exact;
}

static double lse_bound(const row_bound *b, const bf_ref_attention_row *row, int x) {
    double r = b->spread[x] + b->g[x] * (1 + b->spread[x]), worst = row->worst[b->of[x]] * (b->by[x] > 1 ? BF_GRID_PRODUCT * 1.0001 : 1) + b->underflow;
    double moved = worst + 4 * U * (1 + b->rescales) + 2 * b->g[x];
    if (r < 0.5 && r / (1 - r) < moved) moved = r / (1 - r);
    double log_sum = row->lse - row->max;
    return moved + 8 * U * (fabs(log_sum) + moved) + 4 * U * (fabs(row->lse) + fabs(row->max) + moved) +
           row->keys * (b->rescales + 2) * 0x1p-126 + 1e-12 * (1 + fabs(row->lse)) * U;
}

static int by_probability(const bf_case *c) { return c->witness && bf_fill_random((bf_fill)bf_fill_parse(c->fill)); }

static bf_want anything(void) { return (bf_want){.bound = INFINITY, .prob = INFINITY, .allow = BF_REF_ANY}; }

static bf_want want_o(const bf_case *c, const attention_expected *e, const row_bound *b, int64_t row, int64_t i) {
    const bf_problem *p = &c->problem;
    const bf_ref_attention_row *r = &e->r.row[row];
    int64_t group = row / p->dim[ATTENTION_QUERIES] / (p->dim[ATTENTION_HEADS] / p->dim[ATTENTION_KV_HEADS]);
    const bf_ref_attention_column *column = &e->r.column[group * p->dim[ATTENTION_D] + i % p->dim[ATTENTION_D]];
    bf_want w = {.value = e->r.element[i].o, .allow = e->r.allow[i]};
    if (r->allow == BF_REF_INF) return w; /* no key left: exactly 0 */
    if (!(w.allow & BF_ALLOW_FINITE)) return (bf_want){.value = NAN, .bound = NAN, .allow = w.allow};
    w.bound = element_bound(b, r, &e->r.element[i], column, 0);
    w.prob = element_bound(b, r, &e->r.element[i], column, 1);
    if (!(column->sum < FLT_MAX / 4) || (w.allow != BF_ALLOW_FINITE && r->allow != BF_REF_FINITE)) return anything();
    if (by_probability(c) && w.prob < w.bound) w.bound = w.prob;
    return w;
}

static bf_want want_lse(const bf_case *c, const attention_expected *e, const row_bound *b, int64_t row) {
    const bf_ref_attention_row *r = &e->r.row[row];
    bf_want w = {.value = r->lse, .allow = r->allow};
    if (!(w.allow & BF_ALLOW_FINITE)) w.bound = NAN;
    else if (w.allow != BF_ALLOW_FINITE) return anything();
    else w.bound = lse_bound(b, r, 0), w.prob = lse_bound(b, r, 1);
    if (w.allow == BF_ALLOW_FINITE && by_probability(c) && w.prob < w.bound) w.bound = w.prob;
    return w;
}

static void for_outputs(const bf_case *c, const bf_kernel *k, const attention_expected *e, int slot,
                        void (*each)(void *, int64_t index, bf_want), void *user) {
    int64_t rows = c->problem.dim[ATTENTION_HEADS] * c->problem.dim[ATTENTION_QUERIES], d = c->problem.dim[ATTENTION_D];
    for (int64_t row = 0; row < rows; row++) {
        row_bound b = bound_of_row(c, k, e, row);
        if (slot == ATTENTION_LSE) each(user, row, want_lse(c, e, &b, row));
        for (int64_t i = row * d; slot == ATTENTION_O && i < (row + 1) * d; i++) each(user, i, want_o(c, e, &b, row, i));
    }
}

typedef struct dump_arrays {
    double *ref, *bound;
} dump_arrays;

static void dump_one(void *user, int64_t i, bf_want w) {
    dump_arrays *d = user;
    d->ref[i] = w.value;
    d->bound[i] = w.allow & BF_ALLOW_FINITE && w.allow != BF_ALLOW_FINITE ? INFINITY : w.bound;
}

static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e, int slot,
                double *ref, double *bound) {
    (void)t;
    for_outputs(c, k, (const attention_expected *)e, slot, dump_one, &(dump_arrays){ref, bound});
    return 0;
}

typedef struct judge_state {
    bf_verdict *v;
    const bf_tensor *t;
} judge_state;

static void judge_one(void *user, int64_t i, bf_want w) {
    judge_state *j = user;
    bf_verdict_bounded(j->v, j->t, i, w);
}

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e, bf_verdict *v) {
    bf_verdict_begin(v);
    for_outputs(c, k, (const attention_expected *)e, ATTENTION_O, judge_one, &(judge_state){v, &t[ATTENTION_O]});
    int64_t before = v->mismatched;
    for_outputs(c, k, (const attention_expected *)e, ATTENTION_LSE, judge_one, &(judge_state){v, &t[ATTENTION_LSE]});
    if (v->mismatched && !before) bf_verdict_note(v, "o is right, lse is wrong");
    bf_verdict_end(v, c);
}

/* ---- cost ---- */

static uint64_t bytes_read(const bf_problem *p) {
    int64_t rows = p->dim[ATTENTION_HEADS] * p->dim[ATTENTION_QUERIES], d = p->dim[ATTENTION_D];
    return bf_dtype_bytes(p->type[ATTENTION_Q], rows * d) +
           2 * bf_dtype_bytes(p->type[ATTENTION_K], p->dim[ATTENTION_KV_HEADS] * p->dim[ATTENTION_KEYS] * d) +
           bf_dtype_bytes(p->type[ATTENTION_MASK], p->dim[ATTENTION_QUERIES] * p->dim[ATTENTION_KEYS]) +
           bf_dtype_bytes(p->type[ATTENTION_SINK], p->dim[ATTENTION_HEADS]);
}
static uint64_t bytes_written(const bf_problem *p) {
    return bf_dtype_bytes(BF_F32, p->dim[ATTENTION_HEADS] * p->dim[ATTENTION_QUERIES] * (p->dim[ATTENTION_D] + 1));
}
/* Keys that causal and window leave; both products. */
static double flops(const bf_problem *p) {
    double pairs = 0;
    int64_t keys = p->dim[ATTENTION_KEYS], window = p->dim[ATTENTION_WINDOW];
    for (int64_t i = 0; i < p->dim[ATTENTION_QUERIES]; i++) {
        int64_t last = i + keys - p->dim[ATTENTION_QUERIES], first = window > 0 && last - window + 1 > 0 ? last - window + 1 : 0;
        int64_t end = p->param[ATTENTION_CAUSAL] != 0 ? last + 1 : keys;
        if (end > first) pairs += (double)(end - first);
    }
    return 4 * pairs * (double)p->dim[ATTENTION_D] * (double)p->dim[ATTENTION_HEADS];
}

const bf_op bf_op_attention = {.name = "attention",
                               .summary = "softmax(q k^T) v: grouped heads, masks, windows, caps, sinks, log-sum-exp",
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
