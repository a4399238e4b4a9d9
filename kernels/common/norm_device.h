/* norm_device.h: what the GPU kernels of norm share on both vendors: the argument, loads and stores by type, scale and root of
 * a row, and the plain kernel (a thread a row), of which its twins differ by DEFECT alone. In the dialect of device.h. */
#ifndef BF_NORM_DEVICE_H
#define BF_NORM_DEVICE_H

#include "device.h"

#include "bf16.h"
#include "device_math.h"
#include "kernel.h"
#include "norm.h"
#include "norm_defect.h"

struct norm_args {
    const void *x, *r, *w, *b; /* r, w, b NULL: absent */
    void *y;
    float *s;
    void *parts; /* long rows: what each slab of a row knows */
    int64_t rows;
    int32_t length, slabs, groups, channels, inner;
    int32_t x_type, r_type, w_type, b_type, y_type, centred, plus_one;
    float inverse;             /* 1 / length, rounded */
    float eps;                 /* times 2^eps_exponent: norm_shape.h */
    int32_t eps_exponent, least;
};

enum { NORM_BAD = 128 /* exponent of NaN and infinity */ };
constexpr uint32_t NORM_NAN = 0x7fc00000u, NORM_TINY = 0x00800000u; /* fp32 bits */

/* ---- one element ---- */

/* Both answers and a select: written with a branch, the compiler splits the wave at every element. */
BF_FN uint32_t norm_to_bf16(float f) {
    uint32_t u = bf_f_bits(f), quiet = u | 0x400000u, rounded = u + (u >> 16 & 1u) + 0x7fffu;
    return (f != f ? quiet : rounded) >> 16;
}
BF_FN float norm_widen(uint32_t v, int type) {
    return type == BF_F32 ? bf_bits_f(v) : type == BF_F16 ? bf_f16_to_f32(v) : bf_bits_f(bf_bf16_to_f32_bits(v));
}
BF_FN float norm_load(const void *p, int type, int64_t i) {
    return type == BF_F32 ? norm_widen(bf_ld_u32((const uint32_t *)p + i), type)
                          : norm_widen(bf_ld_u16((const uint16_t *)p + i), type);
}
BF_FN void norm_store(void *p, int type, int64_t i, float v) {
    if (type == BF_F32)
        ((float *)p)[i] = v;
    else
        ((uint16_t *)p)[i] = (uint16_t)(type == BF_F16 ? bf_f32_to_f16(v) : norm_to_bf16(v));
}

/* ---- scale and root of a row ---- */

/* 2^n; 0 below the normal range. n at most 127. */
BF_FN float norm_pow2(int n) { return n < -126 ? 0.0f : bf_bits_f((uint32_t)(n + 127) << 23); }

/* The exponent that a row is scaled down by: that of its largest value (given as bits), at least `least`; NORM_BAD when a value
 * is not finite. Scaled values are below 2 (4 beyond 2^127), and the largest is 1 or more unless eps is larger or all are subnormal. */
BF_FN int norm_exponent(uint32_t largest, int least) {
    int e = (int)(largest >> 23) - 127;
    if (e == NORM_BAD) return e;
    e = e < least ? least : e;
    return e > 126 ? 126 : e;
}

/* 1/sqrt(v): one Newton step makes 1.51 u of whatever the instruction promises. 0 gives NaN. */
BF_FN float norm_root(float v) {
    float r = bf_rsqrt(v);
    return bf_fma(0.5f * r, bf_fma(-(v * r), r, 1.0f), r);
}
/* The factor of a row of that mean square, both in the row's scale. Eps may go under beside equal values whose deviations are all
 * zero: the floor makes 0 of them and not NaN. */
BF_FN float norm_factor(const norm_args &a, float mean_square, int e) {
    if (e == NORM_BAD) return bf_bits_f(NORM_NAN);
    float v = mean_square + a.eps * norm_pow2(a.eps_exponent - 2 * e);
    return norm_root(a.eps > 0.0f ? bf_max(v, bf_bits_f(NORM_TINY)) : v);
}
/* The factor that scales by; 1 for bad rows, which the factor makes NaN. */
BF_FN float norm_down(int e) { return e == NORM_BAD ? 1.0f : norm_pow2(-e); }

BF_FN float norm_weight(const norm_args &a, int64_t channel) {
    if (!a.w) return 1.0f;
    float w = norm_load(a.w, a.w_type, channel);
    return a.plus_one ? 1.0f + w : w;
}

/* ---- a thread a row ---- */

constexpr int NORM_NAIVE_THREADS = 64;

BF_FN float norm_via_fp16(float f) { return bf_f16_to_f32(bf_f32_to_f16(bf_apart(f))); }
BF_FN float norm_via_bf16(float f) { return bf_bits_f(bf_bf16_to_f32_bits(norm_to_bf16(f))); }
template <int DEFECT> BF_FN float norm_acc(float f) {
    return DEFECT == NORM_ACC_FP16 ? norm_via_fp16(f) : DEFECT == NORM_ACC_BF16 ? norm_via_bf16(f) : f;
}
template <int DEFECT> BF_FN float norm_value(const norm_args &a, int64_t i) {
    float s = norm_load(a.x, a.x_type, i);
    if (a.r) s += norm_load(a.r, a.r_type, i);
    if (a.r && DEFECT == NORM_RESIDUAL_FP16) s = norm_via_fp16(s);
    return DEFECT == NORM_X_FP16 ? norm_via_fp16(s) : DEFECT == NORM_X_BF16 ? norm_via_bf16(s) : DEFECT == NORM_X_TF32 ? bf_to_tf32(s) : s;
}

/* What a row becomes: y = ((s * down - c) - rest) * factor. */
struct norm_row {
    float down, c, rest, factor;
};

template <int DEFECT> BF_FN norm_row norm_naive_row(const norm_args &a, int64_t at) {
    uint32_t largest = 0;
    for (int i = 0; i < a.length; i++) {
        uint32_t u = bf_f_bits(norm_value<DEFECT>(a, at + i)) & 0x7fffffffu;
        largest = u > largest ? u : largest; /* as integers, so that a NaN is the largest */
    }
    int e = norm_exponent(largest, a.least), n = a.length - (DEFECT == NORM_TAIL_DROPPED);
    if (e != NORM_BAD && (DEFECT == NORM_NO_SCALE || DEFECT == NORM_ACC_FP16 || DEFECT == NORM_ACC_BF16)) e = 0;
    norm_row row = {norm_down(e), 0.0f, 0.0f, 0.0f};
    float over = DEFECT == NORM_MEAN_OF_K_1 ? 1.0f / (float)(a.length - 1) : a.inverse, square = 0.0f, raw = 0.0f;
    if (a.centred) {
        float sum = 0.0f;
        for (int i = 0; i < n; i++) sum = norm_acc<DEFECT>(sum + norm_value<DEFECT>(a, at + i) * row.down);
        row.c = sum * over, sum = 0.0f;
        for (int i = 0; i < n; i++) sum += norm_value<DEFECT>(a, at + i) * row.down - row.c;
        row.rest = sum * over;
    }
    for (int i = 0; i < n; i++) {
        float s = norm_value<DEFECT>(a, at + i) * row.down, d = s - row.c - row.rest;
        square = norm_acc<DEFECT>(bf_fma(d, d, square));
        raw = bf_fma(s, s, raw);
    }
    float v = square * over;
    if (DEFECT == NORM_CANCEL && a.centred) v = raw * over - row.c * row.c;
    row.factor = norm_factor(a, v, e);
    if (DEFECT == NORM_EPS_OUTSIDE && e != NORM_BAD)
        row.factor = 1.0f / (v * norm_root(v) + a.eps * norm_pow2(a.eps_exponent - e));
    return row;
}

template <int DEFECT> BF_FN void norm_naive_body(const norm_args &a) {
    int64_t r = (int64_t)bf_bid_x() * NORM_NAIVE_THREADS + bf_tid_x(), at = r * a.length;
    if (r >= a.rows) return;
    norm_row row = norm_naive_row<DEFECT>(a, at);
    int w_type = DEFECT == NORM_W_AS_FP16 && a.w_type == BF_BF16 ? BF_F16 : a.w_type;
    for (int i = 0; i < a.length; i++) {
        int64_t channel = r % a.groups * a.channels + i / a.inner;
        float s = norm_value<DEFECT>(a, at + i), g = a.w ? norm_load(a.w, w_type, channel) : 1.0f;
        if (a.plus_one && DEFECT != NORM_PLUS_ONE_DROPPED) g += 1.0f;
        float y = (s * row.down - row.c - row.rest) * row.factor * g;
        if (a.b) y += norm_load(a.b, a.b_type, channel);
        if (DEFECT == NORM_SCALE_102) y *= 1.02f;
        norm_store(a.y, a.y_type, at + i, y);
        if (a.s) a.s[at + i] = s;
    }
}

#if BF_HOST
#include "norm_shape.h"

static inline norm_args norm_arguments(const bf_problem *p) {
    norm_args a = {};
    norm_eps e = norm_eps_of(p);
    const bf_dtype *t = p->type;
    a.x = p->ptr[NORM_X], a.y = p->ptr[NORM_Y], a.parts = p->scratch;
    a.r = t[NORM_R] ? p->ptr[NORM_R] : nullptr, a.s = t[NORM_R] ? (float *)p->ptr[NORM_S] : nullptr;
    a.w = t[NORM_W] ? p->ptr[NORM_W] : nullptr, a.b = t[NORM_B] ? p->ptr[NORM_B] : nullptr;
    a.rows = norm_rows(p), a.length = (int32_t)norm_length(p), a.slabs = 1;
    a.groups = (int32_t)p->dim[NORM_GROUPS], a.channels = (int32_t)norm_channels(p), a.inner = (int32_t)p->dim[NORM_INNER];
    a.x_type = t[NORM_X], a.r_type = t[NORM_R], a.w_type = t[NORM_W], a.b_type = t[NORM_B], a.y_type = t[NORM_Y];
    a.centred = norm_centred(p), a.plus_one = p->param[NORM_PLUS_ONE] != 0;
    a.inverse = 1.0f / (float)a.length; /* lengths beyond 2^24 are rounded once more: harness/ops/norm.c counts two */
    a.eps = e.m, a.eps_exponent = e.exponent, a.least = e.least;
    return a;
}
static inline int norm_naive_accepts(const bf_problem *p) {
    return norm_accepts(p) && norm_length(p) <= 1 << 22 && norm_rows(p) < INT64_C(0x7fffffff) * NORM_NAIVE_THREADS;
}
static inline int64_t norm_naive_chain(const bf_problem *p) { return norm_length(p); }
static inline int norm_naive_steps(const bf_problem *p, bf_step *s, bf_step_fn<norm_args> fn) {
    norm_args a = norm_arguments(p);
    bf_step_set(&s[0], fn, (a.rows + NORM_NAIVE_THREADS - 1) / NORM_NAIVE_THREADS, 1, NORM_NAIVE_THREADS, 1, 0, a);
    return 1;
}
#endif
#endif
