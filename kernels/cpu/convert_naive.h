/* convert_naive.h: conversion of one element, and the plain kernel built from it. Shared by convert_naive.c (sound) and
 * by the twins in kernels/broken/convert.c, which differ in the one constant `defect`; also the tail of the tuned kernels. */
#ifndef BF_CPU_CONVERT_NAIVE_H
#define BF_CPU_CONVERT_NAIVE_H

#include "../common/convert.h"
#include "cache.h"
#include "fp16.h"
#include "pool.h"

enum convert_defect { CONVERT_SOUND, CONVERT_TRUNC, CONVERT_HALF_AWAY, CONVERT_FLUSH, CONVERT_NAN_TO_INF };

typedef struct convert_job {
    const void *x;
    void *y;
    uint64_t *c; /* NULL: do not count */
    int64_t n;
    bf_dtype from, to;
    int saturate;
    int nontemporal; /* tuned kernels: the result is too large for the caches */
} convert_job;

/* The bit patterns that bound a type's classes, sign removed. */
static inline uint32_t convert_abs(bf_dtype t) { return t == BF_F32 ? 0x7fffffffu : 0x7fffu; }
static inline uint32_t convert_inf(bf_dtype t) { return t == BF_F32 ? 0x7f800000u : t == BF_F16 ? 0x7c00u : 0x7f80u; }
static inline uint32_t convert_min_normal(bf_dtype t) { return t == BF_F32 ? 0x00800000u : t == BF_F16 ? 0x0400u : 0x0080u; }

/* Exact, to the bits of an fp32. */
static inline uint32_t convert_widen(uint32_t in, bf_dtype from) {
    return from == BF_F16 ? bf_f16_to_f32_bits(in) : from == BF_BF16 ? bf_bf16_to_f32_bits(in) : in;
}

/* fp32 to a 16-bit type, wrongly. `half` is what is added before bits are dropped, in halves of the unit. */
static inline uint32_t convert_narrow_wrong(uint32_t u, bf_dtype to, int defect) {
    uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu, half = defect == CONVERT_HALF_AWAY;
    uint32_t right = to == BF_F16 ? bf_f32_bits_to_f16(u) : bf_f32_bits_to_bf16(u);
    if (defect == CONVERT_NAN_TO_INF) { /* the rounding add without the NaN test: low payloads vanish */
        uint32_t payload = to == BF_BF16 ? 0x007f0000u : 0x007fe000u;
        return a > 0x7f800000u && !(a & payload) ? sign | convert_inf(to) : right;
    }
    if (a > 0x7f800000u) return right;
    if (to == BF_BF16) return sign | (a + (half << 15)) >> 16;
    if (a >= 0x47800000u) return sign | (a < 0x7f800000u && !half ? 0x7bffu : 0x7c00u);
    if (a >= 0x38800000u) return sign | (a - 0x38000000u + (half << 12)) >> 13;
    uint32_t shift = 126u - (a >> 23); /* subnormal result: significand >> shift */
    if (shift > 25u) return sign;
    return sign | ((a & 0x7fffffu) + 0x800000u + (half << (shift - 1))) >> shift;
}

static inline uint32_t convert_narrow(uint32_t u, bf_dtype to, int defect) {
    if (to == BF_F32) return u;
    if (defect != CONVERT_SOUND && defect != CONVERT_FLUSH) return convert_narrow_wrong(u, to, defect);
    return to == BF_F16 ? bf_f32_bits_to_f16(u) : bf_f32_bits_to_bf16(u);
}

/* One element, before saturation. */
static inline uint32_t convert_bits(uint32_t in, bf_dtype from, bf_dtype to, int defect) {
    uint32_t r = from == to ? in : convert_narrow(convert_widen(in, from), to, defect);
    if (defect == CONVERT_FLUSH &&
        ((in & convert_abs(from)) < convert_min_normal(from) || (r & convert_abs(to)) < convert_min_normal(to)))
        r &= ~convert_abs(to);
    return r;
}
/* The pattern below infinity is the largest finite value, whatever the sign. */
static inline uint32_t convert_clamp(uint32_t r, bf_dtype to) { return (r & convert_abs(to)) == convert_inf(to) ? r - 1 : r; }

/* Adds one element to the four counts; r is the result before saturation. */
static inline void convert_count(uint32_t in, uint32_t r, bf_dtype from, bf_dtype to, uint64_t count[CONVERT_COUNTS]) {
    uint32_t a = in & convert_abs(from), b = r & convert_abs(to);
    count[CONVERT_OVERFLOW] += b == convert_inf(to) && a < convert_inf(from);
    count[CONVERT_UNDERFLOW] += b == 0 && a != 0;
    count[CONVERT_SUBNORMAL] += b != 0 && b < convert_min_normal(to);
    count[CONVERT_NAN] += a > convert_inf(from);
}

/* Elements [begin, end), one after another. */
static inline __attribute__((always_inline)) void convert_chunk(const convert_job *j, int64_t begin, int64_t end, int defect) {
    uint64_t count[CONVERT_COUNTS] = {0};
    for (int64_t i = begin; i < end; i++) {
        uint32_t in = j->from == BF_F32 ? ((const uint32_t *)j->x)[i] : ((const uint16_t *)j->x)[i];
        uint32_t r = convert_bits(in, j->from, j->to, defect);
        if (j->c) convert_count(in, r, j->from, j->to, count);
        if (j->saturate) r = convert_clamp(r, j->to);
        if (j->to == BF_F32) ((uint32_t *)j->y)[i] = r;
        else ((uint16_t *)j->y)[i] = (uint16_t)r;
    }
    for (int k = 0; j->c && k < CONVERT_COUNTS; k++) __atomic_fetch_add(&j->c[k], count[k], __ATOMIC_RELAXED);
}

static inline int convert_is_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }
static inline int convert_accepts(const bf_problem *p) {
    return convert_is_float(p->type[CONVERT_X]) && convert_is_float(p->type[CONVERT_Y]);
}

static inline int64_t convert_size(bf_dtype t) { return t == BF_F32 ? 4 : 2; }

/* Zeroes the counts and hands the elements to `chunk`. */
static inline void convert_run(const bf_problem *p, bf_pool *pool, void (*chunk)(void *, int64_t, int64_t, int), int64_t grain) {
    convert_job j = {.x = p->ptr[CONVERT_X], .y = p->ptr[CONVERT_Y], .n = p->dim[CONVERT_N],
                     .c = p->param[CONVERT_COUNT] != 0 ? p->ptr[CONVERT_C] : NULL,
                     .from = p->type[CONVERT_X], .to = p->type[CONVERT_Y], .saturate = p->param[CONVERT_SATURATE] != 0};
    j.nontemporal = j.n * (convert_size(j.from) + convert_size(j.to)) > bf_cache_bytes();
    for (int k = 0; j.c && k < CONVERT_COUNTS; k++) j.c[k] = 0;
    bf_pool_run(pool, chunk, &j, j.n, grain);
}

#endif
