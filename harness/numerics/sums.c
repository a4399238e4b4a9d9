/* sums.c: accumulators, products, subnormals, order of additions and small integers of the kernels that form sums of products:
 * linear, conv, q4k_matvec, q4k_matmul, qblock_matmul (each format); of attention the accumulator of P V.
 * How they are asked: subject.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "../compare.h"
#include "subject.h"

enum { MOST_BITS = 36 /* what fp16 spans from 2^12 down */, FIRST = 12, ARRANGEMENTS = 3 };

static int variants(const bf_kernel *k) { return strcmp(k->op, "attention") ? bf_subject_formats(k) : 1; }

/* ---- the accumulator ---- */

/* 2^e, 2^(e-p), -2^e in some order: what is left is 2^(e-p) only where the sum had room for both. Within half of it: the matrix
 * instructions of gfx11 leave 2^e - 2^e one unit from zero, half of the last bit that they keep (kernels/simt/wmma_adder.h). A sum
 * without room leaves nothing, or twice as much. */
static const int where[ARRANGEMENTS][3] = {{0, 1, 2}, {0, 2, 1}, {1, 2, 0}}; /* of the large, the small, the negative one */

static int is_kept(double got, double want) { return fabs(got - want) <= want / 2; }

/* `kept`: how many of p = 0, 1, ... were. unit * (2^(kept-1) + 1) was exact; unit is 1, or 127 of seven bits. */
static void say_accumulator(bf_traits *r, int kept, int unit) {
    int bits = kept - 1 + (unit == 1 ? 1 : kept - 1 < 7 ? 8 : 7);
    const char *name = bits == 24 ? " (fp32)" : bits == 11 ? " (fp16)" : bits == 8 ? " (bf16)" : "";
    if (!kept) bf_numerics_say(r, "accumulator_bits", "sum bits", NAN, "-");
    else if (kept == MOST_BITS) bf_numerics_say(r, "accumulator_bits", "sum bits", bits, "over %d", bits - 1);
    else bf_numerics_say(r, "accumulator_bits", "sum bits", bits, "%d%s", bits, name);
}

static int accumulator(bf_subject *u, bf_traits *r, bf_error *err) {
    bf_question q[MOST_BITS * ARRANGEMENTS] = {{0}};
    int n = 0, e = u->unit == 1 ? FIRST : 0, p;
    for (p = 0; p < MOST_BITS; p++)
        for (int a = 0; a < ARRANGEMENTS; a++, n++) {
            const double value[3] = {ldexp(1, e), ldexp(1, e - p), -ldexp(1, e)};
            for (int i = 0; i < 3; i++) q[n].leaf[i] = where[a][i], q[n].value[i] = value[i];
        }
    if (bf_subject_ask(u, q, n, err)) return -1;
    for (n = 0, p = 0; p < MOST_BITS; p++, n += ARRANGEMENTS) {
        int kept = 1;
        for (int a = 0; a < ARRANGEMENTS; a++) {
            double want = ldexp(1, e - p), got = q[n + a].answer;
            kept &= u->unit == 1 ? is_kept(got, want) : got == want; /* 127 has bits to lose */
        }
        if (!kept) break;
    }
    say_accumulator(r, p, u->unit);
    return 0;
}

/* ---- products ---- */

/* 1 + 2^-p alone: the bits of x that reach the product. */
static int input(bf_subject *u, int *bits, bf_traits *r, bf_error *err) {
    bf_question q[23] = {{0}};
    for (int p = 0; p < 23; p++) q[p].value[0] = 1 + ldexp(1, -p - 1);
    if (bf_subject_ask(u, q, 23, err)) return -1;
    for (*bits = 1; *bits < 24 && q[*bits - 1].answer == q[*bits - 1].value[0];) ++*bits;
    bf_numerics_say(r, "input_bits", "x", *bits, "%d", *bits);
    return 0;
}

/* w a - w a with w a not an fp32: zero when products are rounded, their rounding error when the second one is fused with
 * the addition to the first. The two have to meet in one chain: all distances that are powers of two. */
static int products(bf_subject *u, bf_traits *r, bf_error *err) {
    bf_question q[16] = {{0}};
    int n = 0, fused = 0, bits = 0;
    if (!u->int8 && input(u, &bits, r, err)) return -1;
    if (bits < 24) { /* of two 16-bit numbers, or of integers: nothing to round */
        bf_numerics_say(r, "product", "product", NAN, u->int8 ? "integer" : "exact");
        return 0;
    }
    bf_subject_weights(u, BF_ROW_ROUNDED);
    for (int64_t d = 1; d < u->leaves && n < 16; d *= 2, n++)
        q[n] = (bf_question){.leaf = {0, d}, .value = {1 + 0x1p-23, -1 - 0x1p-23}};
    if (bf_subject_ask(u, q, n, err)) return -1;
    for (int i = 0; i < n; i++) fused |= q[i].answer != 0;
    bf_numerics_say(r, "product", "product", NAN, fused ? "fused" : "rounded");
    return 0;
}

static const char *fate(double got, double want) { return got == want ? "kept" : got == 0 ? "flushed" : "wrong"; }

static int subnormals(bf_subject *u, bf_traits *r, bf_error *err) {
    bf_question normal = {.value = {0x1p-100}}, in = {.value = {0x1p-130}}, out = {.value = {u->type == BF_NONE ? 0x1p-100 : 0x1p-116}};
    if (u->int8) return 0;
    bf_subject_weights(u, BF_ROW_ONES);
    if (bf_subject_ask(u, &normal, 1, err)) return -1;
    if (normal.answer != 0x1p-100) return 0; /* x is rounded to a type with less range */
    bf_subject_weights(u, BF_ROW_LARGE);
    if (bf_subject_ask(u, &in, 1, err)) return -1;
    bf_subject_weights(u, BF_ROW_TINY);
    if (bf_subject_ask(u, &out, 1, err)) return -1;
    bf_numerics_say(r, "subnormal_in", "subn in", NAN, "%s", fate(in.answer, 0x1p-110));
    bf_numerics_say(r, "subnormal_out", "out", NAN, "%s", fate(out.answer, 0x1p-140));
    return 0;
}

/* ---- the order ---- */

static int descending(const void *a, const void *b) {
    double x = ((const bf_question *)a)->answer, y = ((const bf_question *)b)->answer;
    return (x < y) - (x > y);
}

/* Additions behind leaf `with` (probe.h): distinct numbers of leaves outside the subtrees that it shares with the others.
 * 0: these are no counts. */
static int64_t additions(bf_subject *u, int64_t with, bf_error *err) {
    int64_t n = 0, found = 0;
    bf_question *q = calloc((size_t)u->leaves, sizeof *q);
    if (!q) return bf_fail(err, "numerics: no memory");
    for (int64_t j = 0; j < u->leaves; j++)
        if (j != with) q[n++] = (bf_question){.background = 0x1p-24, .leaf = {with, j}, .value = {0x1p15, -0x1p15}};
    if (bf_subject_ask(u, q, n, err)) found = -1;
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

static int order(bf_subject *u, bf_traits *r, bf_error *err) {
    bf_subject_weights(u, BF_ROW_ONES);
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

static int integers(bf_subject *u, bf_traits *r, bf_error *err) {
    bf_tensor *x = &u->s.t[u->x];
    double want[64] = {0};
    int wrong = 0;
    bf_subject_weights(u, BF_ROW_RAMP);
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
            if (!is_kept(bf_element_value(&s.t[ATTENTION_O], c) * 4, ldexp(1, FIRST - c))) kept = c;
    }
    bf_stand_close(&s);
    if (rc) return -1;
    say_accumulator(r, kept, 1);
    return 0;
}

static int probe(const bf_backend *b, bf_context *x, const bf_kernel *k, int variant, bf_traits *r, bf_error *err) {
    if (!strcmp(k->op, "attention")) return attention(b, x, k, r, err);
    bf_subject u;
    int rc = bf_subject_open(&u, b, x, k, variant, k->path && !strcmp(k->path, "int8") ? 2048 : 256, err);
    if (rc == 1) return 0;
    rc = rc || accumulator(&u, r, err) || products(&u, r, err) || subnormals(&u, r, err) || order(&u, r, err) || integers(&u, r, err);
    bf_subject_close(&u);
    return rc ? -1 : 0;
}

const bf_family bf_family_sums = {"sums", "Sums of products", variants, bf_subject_format, probe};
