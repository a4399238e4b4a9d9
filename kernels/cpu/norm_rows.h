/* norm_rows.h: the tuned normalisation, once for every instruction set. The including file brings the vectors (below) and says
 * NORM_TARGET, the attribute of every function.
 *
 * Idea: memory is the bound, so each value is read from memory once and written once, around the caches where input and
 * result fill them; and while row r streams out, the sums of row r + 1 stream in, in one loop, so that neither direction
 * waits. Row r itself comes from the second-level cache.
 *
 * Sums in fp64: fp32 squares neither overflow nor vanish there, so no scale is needed and nothing of the sum is lost. Layer norm in
 * the same single pass: with d = s - s[0], S1 = sum(d), S2 = sum(d^2), n var = S2 - S1^2 / n. That cancels, but not much, because s[0] is
 * one of the values: n (mean - s[0])^2 <= n * n var, so the difference is at least S2 / (n + 1), and rounding errors of S1 and S2
 * grow by n + 1 at most: 2^14 values, chains of n/64 additions in 2^-53: below 2^-28 of the variance, the mean off by
 * 2^-40 of the deviation. Rows longer than that are joined from such pieces by Chan, Golub and LeVeque's update (Updating formulae
 * and a pairwise algorithm for computing sample variances, 1979), whose terms have one sign.
 *
 * y = ((s 2^-e - high) - low) f g + b in fp32: high + low = mean 2^-e in two words, f = 2^e / sqrt(var + eps) rounded once; e from the
 * larger of |mean| and the root, so that nothing leaves the range.
 *
 * What the including file defines:
 *   vf             16 floats        vf_load(p, type, i)  vf_put(p, type, i, v, nt)  vf_set(f)  vf_add, vf_sub, vf_mul(a, b)
 *   va             16 double sums   va_zero()  va_total(va)
 *   va_square(&square, v)           square += v^2
 *   va_shifted(&sum, &square, v, shift)    sum += v - shift, square += (v - shift)^2
 *   norm_fence()                    after non-temporal stores
 * Types are asked once for 64 values, where they are constants after inlining: a copy of the loops for each pair of types would be megabytes. */
#ifndef BF_CPU_NORM_ROWS_H
#define BF_CPU_NORM_ROWS_H

#include <math.h>

#include "cache.h"
#include "norm.h"
#include "pool.h"

#define NORM_INLINE NORM_TARGET __attribute__((always_inline)) static inline

enum { BLOCK = 64 /* values a step */, PIECE = 1 << 14 /* values of one pass of sums */, EXPAND = BLOCK };

typedef struct rows_job {
    norm_job j;
    double eps;
    const float *g, *b; /* by value where inner is small, else by channel; NULL: absent */
    int64_t inner;      /* 1: g and b have a weight a value */
    int nontemporal;
} rows_job;

typedef struct row_sums {
    double shift, sum, square; /* of the values minus shift */
} row_sums;

typedef struct row_scale {
    float down, high, low, factor;
} row_scale;

/* ---- one value ---- */

NORM_INLINE float value_at(const norm_job *j, int64_t at) {
    float s = bf_load_float(j->x, j->x_type, at);
    return j->r ? s + bf_load_float(j->r, j->r_type, at) : s;
}
NORM_INLINE void finish_one(const rows_job *w, const row_scale *s, int64_t at, int64_t channel, int centred) {
    float v = value_at(&w->j, at);
    if (w->j.s) w->j.s[at] = v;
    v *= s->down;
    if (centred) v = (v - s->high) - s->low;
    v *= s->factor;
    if (w->g) v *= w->g[channel];
    if (w->b) v += w->b[channel];
    norm_store(w->j.y, w->j.y_type, at, v);
}

/* ---- 64 values ---- */

NORM_INLINE void load_type(vf v[4], const void *p, bf_dtype t, int64_t at, int add) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        vf u = vf_load(p, t, at + 16 * k);
        v[k] = add ? vf_add(v[k], u) : u;
    }
}
/* Loads four vectors, or adds them. */
NORM_INLINE void load_block(vf v[4], const void *p, bf_dtype t, int64_t at, int add) {
    if (t == BF_F32) load_type(v, p, BF_F32, at, add);
    else if (t == BF_F16) load_type(v, p, BF_F16, at, add);
    else load_type(v, p, BF_BF16, at, add);
}
NORM_INLINE void values_at(vf v[4], const norm_job *j, int64_t at) {
    load_block(v, j->x, j->x_type, at, 0);
    if (j->r) load_block(v, j->r, j->r_type, at, 1);
}
NORM_INLINE void put_type(void *p, bf_dtype t, int64_t at, const vf v[4], int nt) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) vf_put(p, t, at + 16 * k, v[k], nt);
}
NORM_INLINE void put_block(void *p, bf_dtype t, int64_t at, const vf v[4], int nt) {
    if (t == BF_F32) put_type(p, BF_F32, at, v, nt);
    else if (t == BF_F16) put_type(p, BF_F16, at, v, nt);
    else put_type(p, BF_BF16, at, v, nt);
}
/* Lines of the block that lies 4 KiB ahead. */
NORM_INLINE void prefetch(const void *p, bf_dtype t, int64_t at) {
    int64_t size = t == BF_F32 ? 4 : 2;
    const char *line = (const char *)p + at * size + 4096;
    for (int k = 0; k < 2; k++) __builtin_prefetch(line + 64 * k, 0, 2);
    if (t != BF_F32) return;
    for (int k = 2; k < 4; k++) __builtin_prefetch(line + 64 * k, 0, 2);
}
NORM_INLINE void sum_block(const norm_job *j, int64_t at, int centred, double shift, va sum[2], va square[2]) {
    vf v[4];
    prefetch(j->x, j->x_type, at);
    if (j->r) prefetch(j->r, j->r_type, at);
    values_at(v, j, at);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        if (centred) va_shifted(&sum[k & 1], &square[k & 1], v[k], shift);
        else va_square(&square[k & 1], v[k]);
    }
}
/* Weights (or biases) of 64 values from the i-th of a row on, whose channels begin at `first`. */
NORM_INLINE const float *channels_at(const float *g, int64_t inner, int64_t first, int64_t i, float room[BLOCK]) {
    if (inner == 1) return g + first + i;
    int64_t channel = i / inner, left = (channel + 1) * inner - i;
    if (left >= BLOCK) {
        for (int k = 0; k < 4; k++) vf_put(room, BF_F32, 16 * k, vf_set(g[first + channel]), 0);
        return room;
    }
    for (int64_t k = 0; k < BLOCK; k++) {
        if (k == left) channel++, left += inner;
        room[k] = g[first + channel];
    }
    return room;
}
NORM_INLINE void finish_block(const rows_job *w, const row_scale *s, int64_t at, int64_t first, int64_t i,
                              int centred, int nt) {
    float room[2][BLOCK];
    const float *g = w->g ? channels_at(w->g, w->inner, first, i, room[0]) : NULL;
    const float *b = w->b ? channels_at(w->b, w->inner, first, i, room[1]) : NULL;
    vf v[4];
    values_at(v, &w->j, at + i);
    /* y is aligned where nt; s may begin elsewhere. */
    if (w->j.s) put_type(w->j.s, BF_F32, at + i, v, nt && (uintptr_t)(w->j.s + at + i) % 64 == 0);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        v[k] = vf_mul(v[k], vf_set(s->down));
        if (centred) v[k] = vf_sub(vf_sub(v[k], vf_set(s->high)), vf_set(s->low));
        v[k] = vf_mul(v[k], vf_set(s->factor));
    }
    if (g)
        for (int k = 0; k < 4; k++) v[k] = vf_mul(v[k], vf_load(g, BF_F32, 16 * k));
    if (b)
        for (int k = 0; k < 4; k++) v[k] = vf_add(v[k], vf_load(b, BF_F32, 16 * k));
    put_block(w->j.y, w->j.y_type, at + i, v, nt);
}

/* ---- a row ---- */

/* 2^n for -126..127. */
NORM_INLINE float rows_pow2(int n) { return bf_float((uint32_t)(n + 127) << 23); }

/* `square`: mean of the squared deviations. */
NORM_INLINE row_scale scale_of(const rows_job *w, double mean, double square) {
    if (!(square <= DBL_MAX)) return (row_scale){.down = 1, .factor = NAN};
    double root = sqrt(square + w->eps), top = fabs(mean) > root ? fabs(mean) : root;
    uint64_t bits;
    memcpy(&bits, &top, 8);
    int e = (int)(bits >> 52) - 1023;
    e = e < -126 ? -126 : e > 126 ? 126 : e;
    double down = (double)rows_pow2(-e), factor = 1 / (root * down);
    row_scale s = {.down = (float)down, .high = (float)(mean * down)};
    s.low = (float)(mean * down - (double)s.high);
    /* Beyond fp32 only beside equal values, whose deviations are zero: 0 * infinity is not wanted there. */
    s.factor = root > 0 && factor > FLT_MAX ? FLT_MAX : (float)factor;
    return s;
}
NORM_INLINE void mean_of(const row_sums *s, double n, int centred, double *mean, double *deviations) {
    *mean = centred ? s->shift + s->sum / n : 0;
    *deviations = s->square - (centred ? s->sum * (s->sum / n) : 0);
    if (*deviations < 0) *deviations = 0;
}

/* What is left of a row's values from `from` on, and of the vectors' sums. */
NORM_INLINE void sum_tail(const norm_job *j, int64_t at, int64_t from, int64_t n, int centred, const va sum[2],
                          const va square[2], row_sums *s) {
    s->sum = centred ? va_total(sum[0]) + va_total(sum[1]) : 0;
    s->square = va_total(square[0]) + va_total(square[1]);
    for (int64_t i = from; i < n; i++) {
        double d = (double)value_at(j, at + i) - s->shift;
        s->sum += d, s->square += d * d;
    }
}
NORM_INLINE row_sums sum_piece(const norm_job *j, int64_t at, int64_t n, int centred) {
    row_sums s = {.shift = centred ? (double)value_at(j, at) : 0};
    va sum[2] = {va_zero(), va_zero()}, square[2] = {va_zero(), va_zero()};
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) sum_block(j, at + i, centred, s.shift, sum, square);
    sum_tail(j, at, i, n, centred, sum, square, &s);
    return s;
}

/* Where row r's weights begin: one a value where inner is 1 (or was made so), else one a channel. */
NORM_INLINE int64_t first_weight(const rows_job *w, int64_t r) {
    return r % w->j.groups * (w->inner == 1 ? w->j.length : w->j.channels);
}

/* Rows [begin, end) of at most PIECE values. */
NORM_INLINE void short_rows(const rows_job *w, int centred, int nt, int64_t begin, int64_t end) {
    const norm_job *j = &w->j;
    int64_t n = j->length, at = begin * n, size = j->y_type == BF_F32 ? 4 : 2;
    row_sums s = sum_piece(j, at, n, centred);
    for (int64_t r = begin; r < end; r++, at += n) {
        double mean, square;
        mean_of(&s, (double)n, centred, &mean, &square);
        row_scale scale = scale_of(w, mean, square / (double)n);
        int64_t first = first_weight(w, r), i = 0, k = 0, next = r + 1 < end ? n : 0;
        row_sums following = {.shift = centred && next ? (double)value_at(j, at + n) : 0};
        va sums[2] = {va_zero(), va_zero()}, squares[2] = {va_zero(), va_zero()};
        int64_t head = nt ? bf_until_aligned((const char *)j->y + at * size, size, 64, n) : 0;
        for (; i < head; i++) finish_one(w, &scale, at + i, first + i / w->inner, centred);
        for (; i + BLOCK <= n && k + BLOCK <= next; i += BLOCK, k += BLOCK) {
            sum_block(j, at + n + k, centred, following.shift, sums, squares);
            finish_block(w, &scale, at, first, i, centred, nt);
        }
        for (; i + BLOCK <= n; i += BLOCK) finish_block(w, &scale, at, first, i, centred, nt);
        for (; k + BLOCK <= next; k += BLOCK) sum_block(j, at + n + k, centred, following.shift, sums, squares);
        for (; i < n; i++) finish_one(w, &scale, at + i, first + i / w->inner, centred);
        if (next) sum_tail(j, at + n, k, n, centred, sums, squares, &following);
        s = following;
    }
    if (nt) norm_fence();
}

/* Rows [begin, end) of more: sums of all pieces, then the output; read twice. */
NORM_INLINE void long_rows(const rows_job *w, int centred, int nt, int64_t begin, int64_t end) {
    const norm_job *j = &w->j;
    int64_t n = j->length, size = j->y_type == BF_F32 ? 4 : 2;
    for (int64_t r = begin; r < end; r++) {
        int64_t at = r * n, first = first_weight(w, r), i = 0;
        double mean = 0, square = 0, seen = 0;
        for (int64_t from = 0; from < n; from += PIECE) {
            int64_t m = n - from < PIECE ? n - from : PIECE;
            row_sums s = sum_piece(j, at + from, m, centred);
            double part, deviations;
            mean_of(&s, (double)m, centred, &part, &deviations);
            double apart = part - mean;
            square += deviations + apart * apart * (seen * (double)m / (seen + (double)m));
            mean += apart * ((double)m / (seen + (double)m));
            seen += (double)m;
        }
        row_scale scale = scale_of(w, mean, square / (double)n);
        int64_t head = nt ? bf_until_aligned((const char *)j->y + at * size, size, 64, n) : 0;
        for (; i < head; i++) finish_one(w, &scale, at + i, first + i / w->inner, centred);
        for (; i + BLOCK <= n; i += BLOCK) {
            prefetch(j->x, j->x_type, at + i);
            finish_block(w, &scale, at, first, i, centred, nt);
        }
        for (; i < n; i++) finish_one(w, &scale, at + i, first + i / w->inner, centred);
    }
    if (nt) norm_fence();
}

/* ---- choice ---- */

NORM_INLINE void chunk_of(const rows_job *w, int centred, int64_t begin, int64_t end) {
    if (w->j.length > PIECE) long_rows(w, centred, w->nontemporal, begin, end);
    else short_rows(w, centred, w->nontemporal, begin, end);
}
NORM_TARGET static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const rows_job *w = arg;
    if (w->j.centred) chunk_of(w, 1, begin, end);
    else chunk_of(w, 0, begin, end);
}

/* Channels with few values get a weight a value, in scratch: no division in the loop. */
static int64_t rows_weights(const bf_problem *p) {
    return p->dim[NORM_K] * (p->dim[NORM_INNER] < EXPAND ? p->dim[NORM_INNER] : 1);
}
static uint64_t rows_scratch(const bf_problem *p) {
    return (uint64_t)rows_weights(p) * sizeof(float) * ((p->type[NORM_W] != BF_NONE) + (p->type[NORM_B] != BF_NONE));
}
static const float *widen(float *to, const void *from, bf_dtype type, int64_t n, int64_t each, int plus_one) {
    for (int64_t i = 0; i < n; i++) {
        float g = bf_load_float(from, type, i / each);
        to[i] = plus_one ? 1 + g : g;
    }
    return to;
}
static void rows_run(const bf_problem *p, bf_pool *pool) {
    rows_job w = {.j = norm_job_of(p), .eps = p->param[NORM_EPS], .inner = p->dim[NORM_INNER]};
    float *room = p->scratch;
    int64_t n = rows_weights(p), each = w.inner < EXPAND ? w.inner : 1;
    if (w.inner < EXPAND) w.inner = 1;
    if (w.j.w) w.g = widen(room, w.j.w, w.j.w_type, n, each, w.j.plus_one), room += n;
    if (w.j.b) w.b = widen(room, w.j.b, w.j.b_type, n, each, 0);
    /* Where what is read and written fills the cache, the result would not stay in it. */
    int64_t elements = w.j.rows * w.j.length, size = (w.j.x_type == BF_F32 ? 4 : 2) + (w.j.y_type == BF_F32 ? 4 : 2);
    w.nontemporal = elements * size >= bf_cache_bytes();
    /* Pieces of 64 Ki values or so: a first row whose sums overlap with nothing is then little. */
    int64_t grain = 65536 / w.j.length, share = w.j.rows / (4 * bf_pool_threads(pool));
    if (grain > share) grain = share;
    bf_pool_run(pool, chunk, &w, w.j.rows, grain < 1 ? 1 : grain);
}

/* Additions are fp64; fp32 sees none of them. */
static int64_t rows_chain(const bf_problem *p) {
    (void)p;
    return 0;
}
#endif
