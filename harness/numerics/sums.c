/* sums.c: accumulators, products, subnormals, order of additions and small integers of the kernels that form sums of products:
 * linear, conv, q4k_matvec, q4k_matmul, qblock_matmul (each format); of attention the accumulator of P V.
 *
 * One row of weights against many columns of x: each column is one question, a few values at chosen places over a
 * background. A place is a leaf of the summation tree: a weight, or on an int8 path a block of 32 with one value 127 * 2^e,
 * which the quantiser takes exactly. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "../../kernels/common/conv.h"
#include "../../kernels/common/linear.h"
#include "../../kernels/common/q4k_matvec.h"
#include "../compare.h"
#include "numerics.h"

enum { W = 0, X = 1, M_SLOT = 0, K_SLOT = 1, N_SLOT = 2 }; /* the same in all ops but conv */
_Static_assert((int)LINEAR_W == W && (int)LINEAR_X == X && (int)Q4K_MATVEC_W == W && (int)Q4K_MATVEC_X == X, "tensors");
_Static_assert((int)LINEAR_M == M_SLOT && (int)LINEAR_K == K_SLOT && (int)LINEAR_N == N_SLOT, "dimensions of linear");
_Static_assert((int)Q4K_MATVEC_M == M_SLOT && (int)Q4K_MATVEC_K == K_SLOT && (int)Q4K_MATVEC_N == N_SLOT, "dimensions");

enum { MOST_BITS = 36 /* what fp16 spans from 2^12 down */, FIRST = 12, ARRANGEMENTS = 3 };

typedef struct subject {
    bf_stand s;
    int w, x, y, int8; /* tensors; the path */
    bf_dtype type;     /* of the weights; BF_NONE: plain, as the kernel likes */
    int64_t k, columns, leaves, rows; /* rows of weights, all the same: the first one's results are looked at */
    int stride, unit;
} subject;

typedef struct question {
    double background;
    int64_t leaf[3];
    double value[3]; /* 0: nothing */
    double answer;   /* in units of the subject */
} question;

static const bf_dtype formats[] = {BF_Q6_K, BF_Q8_0, BF_MXFP4};
static int is(const bf_kernel *k, const char *op) { return !strcmp(k->op, op); }
static int variants(const bf_kernel *k) {
    if (is(k, "qblock_matmul")) return sizeof formats / sizeof *formats;
    return is(k, "linear") || is(k, "conv") || is(k, "q4k_matvec") || is(k, "q4k_matmul") || is(k, "attention");
}
static const char *label(const bf_kernel *k, int variant) {
    static const char *const of[] = {" q6_k", " q8_0", " mxfp4"};
    return is(k, "qblock_matmul") ? of[variant] : "";
}

/* A row of length k is a filter of as many taps and channels, a column an image of its size: the same bytes as linear's. */
static bf_problem filter(int64_t length, int64_t channels, int64_t rows, int64_t columns, bf_dtype w, bf_dtype x) {
    return (bf_problem){.dim = {[CONV_BATCH] = columns, [CONV_IN] = channels, [CONV_OUT] = rows, [CONV_GROUPS] = 1, [CONV_Z] = 1, [CONV_H] = 1,
                                [CONV_W] = length / channels},
                        .param = {[CONV_RANK] = 1, [CONV_TAPS] = (double)(length / channels), [CONV_STRIDE] = 1, [CONV_DILATION] = 1},
                        .type = {[CONV_X] = x, [CONV_WT] = w, [CONV_Y] = BF_F32}};
}

/* The widest x and the fewest columns that the kernel takes; 0: none. */
static int shape(const bf_kernel *k, bf_problem *p, subject *u) {
    static const bf_dtype x_types[] = {BF_F32, BF_BF16, BF_F16};
    static const int64_t columns[] = {8, 64, 1};
    static const struct {
        int64_t channels, rows;
    } filters[] = {{64, 1}, {1, 1}, {64, 16}};
    int conv = is(k, "conv");
    for (int t = 0; t < 3; t++)
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < (conv ? 3 : 1); i++) {
                bf_dtype w = u->type != BF_NONE ? u->type : x_types[t] == BF_F16 ? BF_F16 : BF_BF16;
                *p = (bf_problem){.dim = {[M_SLOT] = 1, [K_SLOT] = u->k, [N_SLOT] = columns[c]}, .type = {[W] = w, [X] = x_types[t]}};
                if (u->type == BF_NONE) p->type[LINEAR_Y] = BF_F32;
                if (conv) *p = filter(u->k, filters[i].channels, filters[i].rows, columns[c], w, x_types[t]);
                u->columns = columns[c], u->rows = conv ? filters[i].rows : 1;
                if (!k->accepts || k->accepts(p)) return 1;
            }
    return 0;
}

static void weights(subject *u, bf_row_kind kind) { bf_row_fill(&u->s.t[u->w], kind); }

static int ask(subject *u, question *q, int64_t n, bf_error *err) {
    bf_tensor *x = &u->s.t[u->x];
    for (int64_t first = 0; first < n; first += u->columns) {
        memset(x->data, 0, x->bytes);
        for (int64_t c = 0; c < u->columns && first + c < n; c++) {
            const question *a = &q[first + c];
            for (int64_t i = 0; a->background != 0 && i < u->leaves; i++)
                bf_stand_put(x, c * u->k + i * u->stride, a->background * u->unit);
            for (int i = 0; i < 3; i++)
                if (a->value[i] != 0) bf_stand_put(x, c * u->k + a->leaf[i] * u->stride, a->value[i] * u->unit);
        }
        if (bf_stand_run(&u->s, err)) return -1;
        for (int64_t c = 0; c < u->columns && first + c < n; c++)
            q[first + c].answer = bf_element_value(&u->s.t[u->y], c * u->rows) / u->unit;
    }
    return 0;
}

/* ---- the accumulator ---- */

/* 2^e, 2^(e-p), -2^e in some order: what is left is 2^(e-p) only where the sum had room for both. */
static const int where[ARRANGEMENTS][3] = {{0, 1, 2}, {0, 2, 1}, {1, 2, 0}}; /* of the large, the small, the negative one */

/* `kept`: how many of p = 0, 1, ... were. unit * (2^(kept-1) + 1) was exact; unit is 1, or 127 of seven bits. */
static void say_accumulator(bf_traits *r, int kept, int unit) {
    int bits = kept - 1 + (unit == 1 ? 1 : kept - 1 < 7 ? 8 : 7);
    const char *name = bits == 24 ? " (fp32)" : bits == 11 ? " (fp16)" : bits == 8 ? " (bf16)" : "";
    if (!kept) bf_numerics_say(r, "accumulator_bits", "sum bits", NAN, "-");
    else if (kept == MOST_BITS) bf_numerics_say(r, "accumulator_bits", "sum bits", bits, "over %d", bits - 1);
    else bf_numerics_say(r, "accumulator_bits", "sum bits", bits, "%d%s", bits, name);
}

static int accumulator(subject *u, bf_traits *r, bf_error *err) {
    question q[MOST_BITS * ARRANGEMENTS] = {{0}};
    int n = 0, e = u->unit == 1 ? FIRST : 0, p;
    for (p = 0; p < MOST_BITS; p++)
        for (int a = 0; a < ARRANGEMENTS; a++, n++) {
            const double value[3] = {ldexp(1, e), ldexp(1, e - p), -ldexp(1, e)};
            for (int i = 0; i < 3; i++) q[n].leaf[i] = where[a][i], q[n].value[i] = value[i];
        }
    if (ask(u, q, n, err)) return -1;
    for (n = 0, p = 0; p < MOST_BITS; p++, n += ARRANGEMENTS) {
        int kept = 1;
        for (int a = 0; a < ARRANGEMENTS; a++) kept &= q[n + a].answer == ldexp(1, e - p);
        if (!kept) break;
    }
    say_accumulator(r, p, u->unit);
    return 0;
}

/* ---- products ---- */

/* 1 + 2^-p alone: the bits of x that reach the product. */
static int input(subject *u, int *bits, bf_traits *r, bf_error *err) {
    question q[23] = {{0}};
    for (int p = 0; p < 23; p++) q[p].value[0] = 1 + ldexp(1, -p - 1);
    if (ask(u, q, 23, err)) return -1;
    for (*bits = 1; *bits < 24 && q[*bits - 1].answer == q[*bits - 1].value[0];) ++*bits;
    bf_numerics_say(r, "input_bits", "x", *bits, "%d", *bits);
    return 0;
}

/* w a - w a with w a not an fp32: zero when products are rounded, their rounding error when the second one is fused with
 * the addition to the first. The two have to meet in one chain: all distances that are powers of two. */
static int products(subject *u, bf_traits *r, bf_error *err) {
    question q[16] = {{0}};
    int n = 0, fused = 0, bits = 0;
    if (!u->int8 && input(u, &bits, r, err)) return -1;
    if (bits < 24) { /* of two 16-bit numbers, or of integers: nothing to round */
        bf_numerics_say(r, "product", "product", NAN, u->int8 ? "integer" : "exact");
        return 0;
    }
    weights(u, BF_ROW_ROUNDED);
    for (int64_t d = 1; d < u->leaves && n < 16; d *= 2, n++)
        q[n] = (question){.leaf = {0, d}, .value = {1 + 0x1p-23, -1 - 0x1p-23}};
    if (ask(u, q, n, err)) return -1;
    for (int i = 0; i < n; i++) fused |= q[i].answer != 0;
    bf_numerics_say(r, "product", "product", NAN, fused ? "fused" : "rounded");
    return 0;
}

static const char *fate(double got, double want) { return got == want ? "kept" : got == 0 ? "flushed" : "wrong"; }

static int subnormals(subject *u, bf_traits *r, bf_error *err) {
    question normal = {.value = {0x1p-100}}, in = {.value = {0x1p-130}}, out = {.value = {u->type == BF_NONE ? 0x1p-100 : 0x1p-116}};
    if (u->int8) return 0;
    weights(u, BF_ROW_ONES);
    if (ask(u, &normal, 1, err)) return -1;
    if (normal.answer != 0x1p-100) return 0; /* x is rounded to a type with less range */
    weights(u, BF_ROW_LARGE);
    if (ask(u, &in, 1, err)) return -1;
    weights(u, BF_ROW_TINY);
    if (ask(u, &out, 1, err)) return -1;
    bf_numerics_say(r, "subnormal_in", "subn in", NAN, "%s", fate(in.answer, 0x1p-110));
    bf_numerics_say(r, "subnormal_out", "out", NAN, "%s", fate(out.answer, 0x1p-140));
    return 0;
}

/* ---- the order ---- */

static int descending(const void *a, const void *b) {
    double x = ((const question *)a)->answer, y = ((const question *)b)->answer;
    return (x < y) - (x > y);
}

/* Additions behind leaf `with` (probe.h): distinct numbers of leaves outside the subtrees that it shares with the others.
 * 0: these are no counts. */
static int64_t additions(subject *u, int64_t with, bf_error *err) {
    int64_t n = 0, found = 0;
    question *q = calloc((size_t)u->leaves, sizeof *q);
    if (!q) return bf_fail(err, "numerics: no memory");
    for (int64_t j = 0; j < u->leaves; j++)
        if (j != with) q[n++] = (question){.background = 0x1p-24, .leaf = {with, j}, .value = {0x1p15, -0x1p15}};
    if (ask(u, q, n, err)) found = -1;
    else qsort(q, (size_t)n, sizeof *q, descending);
    for (int64_t j = 0; found >= 0 && j < n; j++) {
        double outside = ldexp(q[j].answer, 24);
        if (!(outside >= 0 && outside == floor(outside) && outside <= (double)u->leaves - 2)) {
            found = 0;
            break;
        }
        found += !j || q[j].answer != q[j - 1].answer;
    }
    free(q);
    return found;
}

static int order(subject *u, bf_traits *r, bf_error *err) {
    weights(u, BF_ROW_ONES);
    int64_t first = additions(u, 0, err), last = first > 0 ? additions(u, u->leaves - 1, err) : 0;
    if (first < 0 || last < 0) return -1;
    int64_t most = first > last ? first : last;
    const int64_t pairwise = (int64_t)ceil(log2((double)u->leaves)) + 1;
    if (!first || !last) bf_numerics_say(r, "order", "order", NAN, "-");
    else if (most >= u->leaves - 1) bf_numerics_say(r, "order", "order", NAN, "sequential");
    else if (most <= pairwise) bf_numerics_say(r, "order", "order", NAN, "pairwise %lld/%lld", (long long)most, (long long)u->leaves);
    else bf_numerics_say(r, "order", "order", NAN, "blocked %lld/%lld", (long long)most, (long long)u->leaves);
    return 0;
}

/* ---- small integers ---- */

static int integers(subject *u, bf_traits *r, bf_error *err) {
    bf_tensor *x = &u->s.t[u->x];
    double want[64] = {0};
    int wrong = 0;
    weights(u, BF_ROW_RAMP);
    for (int64_t c = 0; c < u->columns; c++)
        for (int64_t i = 0; i < u->k; i++) {
            int64_t v = i % 32 ? (i * 37 + c * 11) % 31 - 15 : u->int8 ? 127 : 15; /* 127: the quantiser's scale is 1 */
            bf_stand_put(x, c * u->k + i, (double)v);
            want[c] += (double)v * bf_row_weight(u->s.t[u->w].type, BF_ROW_RAMP, i);
        }
    if (bf_stand_run(&u->s, err)) return -1;
    for (int64_t c = 0; c < u->columns; c++) wrong += bf_element_value(&u->s.t[u->y], c * u->rows) != want[c];
    bf_numerics_say(r, "integers_wrong", "integers", wrong, "%s", wrong ? "not exact" : "exact");
    return 0;
}

/* ---- attention: four equal scores, so that the result is the sum of four values over four ---- */

static int attention(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_traits *r, bf_error *err) {
    bf_problem p;
    bf_stand s;
    int taken = 0, kept = MOST_BITS;
    for (int i = 0; i < 4 && !taken; i++) {
        p = (bf_problem){.dim = {1, 1, i & 1 ? 1 : 16, 4, 64}, .param = {[ATTENTION_SCALE] = 1},
                         .type = {[ATTENTION_Q] = i < 2 ? BF_F32 : BF_F16, [ATTENTION_K] = BF_F16}};
        taken = !k->accepts || k->accepts(&p);
    }
    if (!taken) return 0;
    int rc = bf_stand_open(&s, b, x, k, &p, err);
    for (int a = 0; !rc && a < ARRANGEMENTS; a++) {
        memset(s.t[ATTENTION_V].data, 0, s.t[ATTENTION_V].bytes);
        for (int c = 0; c < MOST_BITS; c++) {
            const double value[3] = {0x1p12, ldexp(1, FIRST - c), -0x1p12};
            for (int i = 0; i < 3; i++) bf_stand_put(&s.t[ATTENTION_V], where[a][i] * 64 + c, value[i]);
        }
        rc = bf_stand_run(&s, err);
        for (int c = 0; !rc && c < kept; c++)
            if (bf_element_value(&s.t[ATTENTION_O], c) * 4 != ldexp(1, FIRST - c)) kept = c;
    }
    bf_stand_close(&s);
    if (rc) return -1;
    say_accumulator(r, kept, 1);
    return 0;
}

static int probe(const bf_backend *b, bf_context *x, const bf_kernel *k, int variant, bf_traits *r, bf_error *err) {
    if (is(k, "attention")) return attention(b, x, k, r, err);
    int plain = is(k, "linear") || is(k, "conv"), int8 = k->path && !strcmp(k->path, "int8");
    subject u = {.w = W, .x = X, .y = plain ? (int)LINEAR_Y : (int)Q4K_MATVEC_Y, .int8 = int8, .k = int8 ? 2048 : 256,
                 .type = plain ? BF_NONE : is(k, "qblock_matmul") ? formats[variant] : BF_Q4_K,
                 .stride = int8 ? Q4K_MATVEC_QBLOCK : 1, .unit = int8 ? 127 : 1};
    if (is(k, "conv")) u.w = CONV_WT, u.x = CONV_X, u.y = CONV_Y;
    u.leaves = u.k / u.stride;
    bf_problem p;
    if (!shape(k, &p, &u)) return 0;
    int rc = bf_stand_open(&u.s, b, x, k, &p, err);
    if (!rc) weights(&u, BF_ROW_ONES);
    rc = rc || accumulator(&u, r, err) || products(&u, r, err) || subnormals(&u, r, err) || order(&u, r, err) || integers(&u, r, err);
    bf_stand_close(&u.s);
    return rc ? -1 : 0;
}

const bf_family bf_family_sums = {"sums", "Sums of products", variants, label, probe};
