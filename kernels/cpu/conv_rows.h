/* conv_rows.h: what the vectorised convolutions share: where a run of outputs meets x, widening it, and rounding results into y.
 * AVX2 with FMA and F16C; kernels for wider vectors call the same functions. */
#ifndef BF_CPU_CONV_ROWS_H
#define BF_CPU_CONV_ROWS_H

#include "conv_naive.h"
#include "x86.h"

#if defined(__x86_64__)

/* One phase of a problem (conv_shape.h): its outputs, and the taps that meet it, in order. */
typedef struct conv_phase {
    int32_t first[3], outs[3], total; /* first output in each dimension, outputs, their product */
    int32_t taps[3];                  /* that meet it */
    int32_t tap[3], tap_step[3], from[3], from_step[3]; /* the first, the distance to the next; their places in x for output 0 */
} conv_phase;

static inline conv_phase conv_phase_of(const conv_shape *s, int32_t phase) {
    conv_phase f = {.total = 1};
    for (int d = 2; d >= 0; d--) {
        int32_t step = conv_out_step(s, d), last = 0, at;
        f.first[d] = phase % step, phase /= step;
        f.outs[d] = conv_phase_size(s, d, f.first[d]);
        f.total *= f.outs[d];
        for (int32_t t = 0; t < s->taps[d]; t++) {
            if (!conv_offset(s, d, f.first[d], t, &at)) continue;
            if (!f.taps[d]) f.tap[d] = t, f.from[d] = at;
            else if (f.taps[d] == 1) f.tap_step[d] = t - last, f.from_step[d] = at - f.from[d];
            last = t, f.taps[d]++;
        }
    }
    return f;
}
static inline int32_t conv_phase_taps(const conv_phase *f) { return f->taps[0] * f->taps[1] * f->taps[2]; }
/* Tap i of the phase: its number among the kernel's taps, and its place in x for output 0. */
static inline int32_t conv_phase_tap(const conv_shape *s, const conv_phase *f, int32_t i, int32_t from[3]) {
    int32_t at[3] = {i / (f->taps[1] * f->taps[2]), i / f->taps[2] % f->taps[1], i % f->taps[2]}, number = 0;
    for (int d = 0; d < 3; d++) {
        from[d] = f->from[d] + at[d] * f->from_step[d];
        number = number * s->taps[d] + f->tap[d] + at[d] * f->tap_step[d];
    }
    return number;
}

/* A run of outputs in one row whose elements of x lie `in_step` apart: all of them inside x, or (from -1) none. */
typedef struct conv_run {
    int32_t to, n, from;
} conv_run;

/* The runs of outputs [q, q + n) of a phase for the tap at `at`; returns how many, at most 3 n. */
static inline int conv_runs(const conv_shape *s, const conv_phase *f, int32_t q, int32_t n, const int32_t at[3], conv_run *run) {
    int count = 0;
    int32_t x = q % f->outs[2], y = q / f->outs[2] % f->outs[1], z = q / f->outs[2] / f->outs[1];
    int32_t step = conv_in_step(s, 2);
    for (int32_t to = 0; to < n;) {
        int32_t rest = f->outs[2] - x < n - to ? f->outs[2] - x : n - to;
        int32_t sz = z * conv_in_step(s, 0) + at[0], sy = y * conv_in_step(s, 1) + at[1], sx = x * step + at[2];
        int32_t low = sx < 0 ? (-sx + step - 1) / step : 0, high = sx < s->size[2] ? (s->size[2] - 1 - sx) / step + 1 : 0;
        if (sz < 0 || sz >= s->size[0] || sy < 0 || sy >= s->size[1]) high = 0;
        if (high > rest) high = rest;
        if (low > high) low = high;
        if (low > 0) run[count++] = (conv_run){to, low, -1};
        if (high > low) run[count++] = (conv_run){to + low, high - low, (sz * s->size[1] + sy) * s->size[2] + sx + low * step};
        if (rest > high) run[count++] = (conv_run){to + high, rest - high, -1};
        to += rest, x = 0;
        if (++y == f->outs[1]) y = 0, z++;
    }
    return count;
}

/* n elements from x[at] on, `step` apart, widened. */
BF_AVX2_INLINE void conv_widen(float *to, const void *x, bf_dtype type, int64_t at, int32_t n, int32_t step) {
    int32_t i = 0;
    if (step == 1 && type == BF_F32) {
        memcpy(to, (const float *)x + at, sizeof *to * (size_t)n);
        return;
    }
    if (step == 1)
        for (; i + 8 <= n; i += 8) {
            __m128i h = _mm_loadu_si128((const __m128i *)((const uint16_t *)x + at + i));
            _mm256_storeu_ps(to + i, type == BF_F16 ? _mm256_cvtph_ps(h)
                                                    : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)));
        }
    for (; i < n; i++) to[i] = bf_load_float(x, type, at + (int64_t)i * step);
}

/* n sums with their bias into y[at], `step` apart. */
BF_AVX2_INLINE void conv_finish(const conv_job *j, int32_t o, int64_t at, const float *sum, int32_t n, int32_t step) {
    float b = j->b ? bf_load_float(j->b, j->b_type, o) : 0.0f;
    int32_t i = 0;
    if (step == 1 && j->y_type != BF_BF16)
        for (; i + 8 <= n; i += 8) {
            __m256 v = _mm256_loadu_ps(sum + i);
            if (j->b) v = _mm256_add_ps(v, _mm256_set1_ps(b));
            if (j->y_type == BF_F32) _mm256_storeu_ps((float *)j->y + at + i, v);
            else _mm_storeu_si128((__m128i *)((uint16_t *)j->y + at + i), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
        }
    for (; i < n; i++) conv_store(j->y, j->y_type, at + (int64_t)i * step, j->b ? sum[i] + b : sum[i]);
}

/* Outputs [q, q + n) of a phase, channel o (of all), item `item`. */
BF_AVX2_INLINE void conv_finish_phase(const conv_job *j, const conv_phase *f, int64_t item, int32_t o, int32_t q, const float *sum,
                                      int32_t n) {
    const conv_shape *s = &j->s;
    int64_t plane = (item * s->groups * s->out + o) * s->oplane;
    if (!s->transposed) {
        conv_finish(j, o, plane + q, sum, n, 1);
        return;
    }
    int32_t x = q % f->outs[2], y = q / f->outs[2] % f->outs[1], z = q / f->outs[2] / f->outs[1];
    for (int32_t i = 0; i < n;) {
        int32_t rest = f->outs[2] - x < n - i ? f->outs[2] - x : n - i;
        int64_t row = (int64_t)(f->first[0] + z * s->stride[0]) * s->osize[1] + f->first[1] + y * s->stride[1];
        conv_finish(j, o, plane + row * s->osize[2] + f->first[2] + x * s->stride[2], sum + i, rest, s->stride[2]);
        i += rest, x = 0;
        if (++y == f->outs[1]) y = 0, z++;
    }
}

#endif
#endif
