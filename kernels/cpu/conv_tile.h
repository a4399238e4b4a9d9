/* conv_tile.h: im2col and a vectorised product, tile by tile; the vector width comes with the micro-kernel (conv_tile_avx512.c,
 * conv_tile_avx2.c).
 *
 * Weights are widened once and laid out as [group][strip of `rows` channels of y][tap][channel of x][rows]. A piece of work is a
 * block of outputs of one phase (conv_shape.h) of one group and item, and a range of its channels of y. It walks over the products of
 * an output in chunks of 256: lays the chunk's x out as panels [product][columns], as many as the second-level cache holds, and lets
 * the micro-kernel add strip by strip. What is laid out of x is bounded (192 KB a thread), whatever the shape.
 * Sums go on from chunk to chunk, so there is one chain, as in the plain kernel. */
#ifndef BF_CPU_CONV_TILE_H
#define BF_CPU_CONV_TILE_H

#include "conv_rows.h"

#if defined(__x86_64__)

enum { CONV_CHUNK = 256, CONV_BLOCK = 192 /* outputs */, CONV_CHANNELS = 256 /* of y in a piece of work, at most */ };

/* c[rows][CONV_BLOCK] += sum over k products of w[k][rows] * x[k][columns]. */
typedef void conv_micro(int32_t k, const float *w, const float *x, float *c);

typedef struct conv_tiling {
    conv_job j;
    conv_micro *micro;
    int32_t rows, columns; /* of the micro-kernel; columns divide CONV_BLOCK */
    int32_t strips;        /* of a group */
    int32_t ranges, range; /* pieces that a group's strips are split into, strips in each */
    int32_t blocks;        /* of outputs in the largest phase */
} conv_tiling;

static inline int64_t conv_strip_bytes(const conv_shape *s, int rows) { return (int64_t)s->tap_count * s->in * rows * 4; }
static inline uint64_t conv_tile_scratch(const bf_problem *p, int rows) {
    conv_shape s;
    if (!conv_shape_of(p, &s)) return 0;
    return (uint64_t)(s.groups * ((s.out + rows - 1) / rows) * conv_strip_bytes(&s, rows));
}
/* One output channel a group (depthwise) would leave a strip empty: conv_direct_avx2.c. */
static inline int conv_tile_accepts(const bf_problem *p) {
    conv_shape s;
    return conv_accepts(p) && conv_shape_of(p, &s) && s.out > 1 && conv_strip_bytes(&s, 1) < INT64_C(1) << 32;
}

/* Strips [begin, end) of the weights' copy. */
static void conv_pack(void *arg, int64_t begin, int64_t end, int thread) {
    const conv_tiling *t = arg;
    const conv_shape *s = &t->j.s;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int32_t g = (int32_t)(i / t->strips), first = (int32_t)(i % t->strips) * t->rows;
        float *to = (float *)((char *)t->j.scratch + i * conv_strip_bytes(s, t->rows));
        for (int32_t r = 0; r < t->rows; r++)
            for (int32_t c = 0; c < s->in; c++)
                for (int32_t tap = 0; tap < s->tap_count; tap++) {
                    int32_t o = first + r;
                    int64_t from = s->transposed ? (int64_t)(g * s->in + c) * s->out + o : (int64_t)(g * s->out + o) * s->in + c;
                    to[((int64_t)tap * s->in + c) * t->rows + r] =
                        o < s->out ? bf_load_float(t->j.w, t->j.w_type, from * s->tap_count + tap) : 0.0f;
                }
    }
}

/* Products [k, k + n) of outputs [q, q + count) of a phase, columns beyond count zero: x of group g into panel[n][columns]. */
BF_AVX2 static void conv_panel(const conv_tiling *t, const conv_phase *f, int64_t first, int32_t q, int32_t count, int32_t k,
                               int32_t n, float *panel) {
    const conv_shape *s = &t->j.s;
    conv_run run[3 * 64];
    int32_t step = conv_in_step(s, 2);
    while (n > 0) {
        int32_t c = k % s->in, some = s->in - c < n ? s->in - c : n, from[3];
        conv_phase_tap(s, f, k / s->in, from);
        int runs = conv_runs(s, f, q, count, from, run);
        for (int32_t i = 0; i < some; i++, panel += t->columns) {
            for (int r = 0; r < runs; r++) {
                if (run[r].from < 0) memset(panel + run[r].to, 0, sizeof *panel * (size_t)run[r].n);
                else conv_widen(panel + run[r].to, t->j.x, t->j.x_type, first + (int64_t)(c + i) * s->plane + run[r].from, run[r].n, step);
            }
            for (int32_t column = count; column < t->columns; column++) panel[column] = 0.0f;
        }
        k += some, n -= some;
    }
}

/* Strips [strip, last) of group g on products [k, k + n), which may belong to several taps. */
static inline void conv_strips(const conv_tiling *t, const conv_phase *f, int32_t g, int32_t strip, int32_t last, int32_t k, int32_t n,
                               int32_t panels, const float *panel, float *c) {
    const conv_shape *s = &t->j.s;
    for (int32_t i = strip; i < last; i++) {
        const float *w = (const float *)((const char *)t->j.scratch + (g * (int64_t)t->strips + i) * conv_strip_bytes(s, t->rows));
        for (int32_t p = 0; p < panels; p++) {
            float *to = c + (int64_t)(i - strip) * t->rows * CONV_BLOCK + p * t->columns;
            const float *x = panel + (int64_t)p * CONV_CHUNK * t->columns;
            for (int32_t at = k, rest = n; rest > 0;) { /* taps that follow one another are one piece of weights */
                int32_t from[3], tap = conv_phase_tap(s, f, at / s->in, from), some = s->in - at % s->in;
                while (some < rest && conv_phase_tap(s, f, (at + some) / s->in, from) == tap + (at % s->in + some) / s->in) some += s->in;
                if (some > rest) some = rest;
                t->micro(some, w + ((int64_t)tap * s->in + at % s->in) * t->rows, x, to);
                x += (int64_t)some * t->columns, at += some, rest -= some;
            }
        }
    }
}

/* Pieces of work [begin, end). */
BF_AVX2 static void conv_pieces(void *arg, int64_t begin, int64_t end, int thread) {
    const conv_tiling *t = arg;
    const conv_shape *s = &t->j.s;
    float panel[CONV_CHUNK * CONV_BLOCK] __attribute__((aligned(64))), c[CONV_CHANNELS * CONV_BLOCK] __attribute__((aligned(64)));
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int32_t range = (int32_t)(i % t->ranges), block = (int32_t)(i / t->ranges % t->blocks), phases = conv_phases(s);
        int32_t phase = (int32_t)(i / t->ranges / t->blocks % phases);
        int64_t rest = i / t->ranges / t->blocks / phases, item = rest / s->groups;
        int32_t g = (int32_t)(rest % s->groups), q = block * CONV_BLOCK;
        conv_phase f = conv_phase_of(s, phase);
        int32_t count = f.total - q < CONV_BLOCK ? f.total - q : CONV_BLOCK, k = conv_phase_taps(&f) * s->in;
        if (count <= 0) continue;
        int32_t panels = (count + t->columns - 1) / t->columns, strip = range * t->range;
        int32_t last = strip + t->range < t->strips ? strip + t->range : t->strips;
        memset(c, 0, sizeof *c * (size_t)((last - strip) * t->rows) * CONV_BLOCK);
        for (int32_t at = 0; at < k; at += CONV_CHUNK) {
            int32_t n = k - at < CONV_CHUNK ? k - at : CONV_CHUNK;
            for (int32_t p = 0; p < panels; p++) {
                int32_t some = count - p * t->columns < t->columns ? count - p * t->columns : t->columns;
                conv_panel(t, &f, (item * s->groups + g) * s->in * (int64_t)s->plane, q + p * t->columns, some, at, n,
                           panel + (int64_t)p * CONV_CHUNK * t->columns);
            }
            conv_strips(t, &f, g, strip, last, at, n, panels, panel, c);
        }
        for (int32_t o = strip * t->rows; o < last * t->rows && o < s->out; o++)
            conv_finish_phase(&t->j, &f, item, g * s->out + o, q, c + (int64_t)(o - strip * t->rows) * CONV_BLOCK, count);
    }
}

static inline void conv_tile_run(const bf_problem *p, bf_pool *pool, conv_micro *micro, int rows, int columns) {
    conv_tiling t = {.j = conv_job_of(p), .micro = micro, .rows = rows, .columns = columns};
    const conv_shape *s = &t.j.s;
    int64_t largest = 1;
    for (int d = 0; d < 3; d++) largest *= conv_phase_size(s, d, 0);
    t.strips = (s->out + rows - 1) / rows;
    t.blocks = (int32_t)((largest + CONV_BLOCK - 1) / CONV_BLOCK);
    int64_t pieces = (int64_t)t.blocks * conv_phases(s) * s->groups * s->batch;
    t.range = CONV_CHANNELS / rows; /* few blocks: more, smaller ranges of channels, so that all threads have work */
    int64_t wanted = 4 * (int64_t)(pool ? bf_pool_threads(pool) : 1);
    while (t.range > 4 && pieces * ((t.strips + t.range - 1) / t.range) < wanted) t.range /= 2;
    t.ranges = (t.strips + t.range - 1) / t.range;
    bf_pool_run(pool, conv_pack, &t, (int64_t)s->groups * t.strips, 1);
    bf_pool_run(pool, conv_pieces, &t, pieces * t.ranges, 1);
}

#endif
#endif
