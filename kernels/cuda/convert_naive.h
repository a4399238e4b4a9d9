/* convert_naive.h: conversion of one element, and the plain kernel built from it. Shared by convert.cu and by
 * the twins in kernels/broken/convert.cu, which differ from the sound kernel in one template parameter. */
#ifndef BF_CUDA_CONVERT_NAIVE_H
#define BF_CUDA_CONVERT_NAIVE_H

#include "../common/device.h"

#include "../common/bf16.h"
#include "../common/convert.h"
#include "../common/kernel.h"

enum convert_defect { CONVERT_SOUND, CONVERT_TRUNC, CONVERT_HALF_AWAY, CONVERT_FLUSH, CONVERT_NAN_TO_INF };

struct convert_args {
    const void *x;
    void *y;
    uint64_t *c; /* NULL: do not count */
    int64_t n;
    int32_t from, to, saturate;
};

/* The bit patterns that bound a type's classes, sign removed. */
BF_FN constexpr uint32_t convert_abs(int type) { return type == BF_F32 ? 0x7fffffffu : 0x7fffu; }
BF_FN constexpr uint32_t convert_inf(int type) {
    return type == BF_F32 ? 0x7f800000u : type == BF_F16 ? 0x7c00u : 0x7f80u;
}
BF_FN constexpr uint32_t convert_min_normal(int type) {
    return type == BF_F32 ? 0x00800000u : type == BF_F16 ? 0x0400u : 0x0080u;
}

/* Exact, to the bits of an fp32. */
BF_FN uint32_t convert_widen(uint32_t in, int from) {
    if (from == BF_F16) return bf_f_bits(bf_f16_to_f32(in));
    return from == BF_BF16 ? bf_bf16_to_f32_bits(in) : in;
}

/* fp32 to a 16-bit type by a rule that is not round to nearest even. `drop` bits are lost; the carry of the
 * half-away rule may reach the exponent, as it should. */
template <int DEFECT> BF_FN uint32_t convert_narrow_wrong(uint32_t u, int to) {
    uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu, half = DEFECT == CONVERT_HALF_AWAY;
    if (DEFECT == CONVERT_NAN_TO_INF) { /* the rounding add without the NaN test: low payloads vanish */
        if (to == BF_BF16) return a > 0x7f800000u ? u >> 16 : bf_f32_bits_to_bf16(u);
        return a > 0x7f800000u && !(a & 0x007fe000u) ? sign | 0x7c00u : bf_f32_to_f16(bf_bits_f(u));
    }
    if (a > 0x7f800000u) return to == BF_BF16 ? bf_f32_bits_to_bf16(u) : bf_f32_to_f16(bf_bits_f(u));
    if (to == BF_BF16) return sign | (a + (half << 15)) >> 16;
    if (a >= 0x47800000u) return sign | (a < 0x7f800000u && !half ? 0x7bffu : 0x7c00u);
    if (a >= 0x38800000u) return sign | ((a - 0x38000000u) + (half << 12)) >> 13;
    uint32_t shift = 126u - (a >> 23); /* subnormal result: significand >> shift */
    if (shift > 25u) return sign;
    return sign | (((a & 0x7fffffu) | 0x800000u) + (half << (shift - 1))) >> shift;
}

template <int DEFECT> BF_FN uint32_t convert_narrow(uint32_t u, int to) {
    if (to == BF_F32) return u;
    if (DEFECT == CONVERT_TRUNC || DEFECT == CONVERT_HALF_AWAY || DEFECT == CONVERT_NAN_TO_INF)
        return convert_narrow_wrong<DEFECT>(u, to);
    return to == BF_F16 ? bf_f32_to_f16(bf_bits_f(u)) : bf_f32_bits_to_bf16(u);
}

/* One element, before saturation. */
template <int DEFECT> BF_FN uint32_t convert_bits(uint32_t in, int from, int to) {
    uint32_t r = from == to ? in : convert_narrow<DEFECT>(convert_widen(in, from), to);
    if (DEFECT == CONVERT_FLUSH) {
        if ((in & convert_abs(from)) < convert_min_normal(from) || (r & convert_abs(to)) < convert_min_normal(to))
            r &= ~convert_abs(to);
    }
    return r;
}
/* The pattern below infinity is the largest finite value, whatever the sign. */
BF_FN uint32_t convert_clamp(uint32_t r, int to) { return (r & convert_abs(to)) == convert_inf(to) ? r - 1 : r; }

/* Adds one element to the four counts; r is the result before saturation. */
BF_FN void convert_count(uint32_t in, uint32_t r, int from, int to, uint32_t count[CONVERT_COUNTS]) {
    uint32_t a = in & convert_abs(from), b = r & convert_abs(to);
    count[CONVERT_OVERFLOW] += b == convert_inf(to) && a < convert_inf(from);
    count[CONVERT_UNDERFLOW] += b == 0 && a != 0;
    count[CONVERT_SUBNORMAL] += b != 0 && b < convert_min_normal(to);
    count[CONVERT_NAN] += a > convert_inf(from);
}

BF_FN uint32_t convert_load(const void *x, int type, int64_t i) {
    return type == BF_F32 ? bf_ld_u32((const uint32_t *)x + i) : bf_ld_u16((const uint16_t *)x + i);
}
BF_FN void convert_store(void *y, int type, int64_t i, uint32_t bits) {
    if (type == BF_F32)
        ((uint32_t *)y)[i] = bits;
    else
        ((uint16_t *)y)[i] = (uint16_t)bits;
}

/* A thread an element, grid-stride. */
template <int DEFECT> BF_FN void convert_naive_body(const convert_args &a) {
    uint32_t count[CONVERT_COUNTS] = {0, 0, 0, 0};
    int64_t stride = (int64_t)bf_gdim_x() * bf_bdim_x();
    for (int64_t i = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x(); i < a.n; i += stride) {
        uint32_t in = convert_load(a.x, a.from, i), r = convert_bits<DEFECT>(in, a.from, a.to);
        convert_count(in, r, a.from, a.to, count);
        convert_store(a.y, a.to, i, a.saturate ? convert_clamp(r, a.to) : r);
    }
    for (int k = 0; a.c && k < CONVERT_COUNTS; k++)
        if (count[k]) bf_atomic_add_u64(a.c + k, count[k]);
}

#if BF_HOST
static inline int convert_is_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }
static inline int convert_accepts(const bf_problem *p) {
    return convert_is_float(p->type[CONVERT_X]) && convert_is_float(p->type[CONVERT_Y]);
}
static inline convert_args convert_make_args(const bf_problem *p) {
    convert_args a = {};
    a.x = p->ptr[CONVERT_X];
    a.y = p->ptr[CONVERT_Y];
    a.c = p->param[CONVERT_COUNT] != 0 ? (uint64_t *)p->ptr[CONVERT_C] : nullptr;
    a.n = p->dim[CONVERT_N];
    a.from = p->type[CONVERT_X];
    a.to = p->type[CONVERT_Y];
    a.saturate = p->param[CONVERT_SATURATE] != 0;
    return a;
}
#endif
#endif
