/* convert_element.h: one element from type to type, what is counted of it, and the plain kernel.
 *
 * convert.hip and the twins of kernels/broken/convert.hip are both made of this; a twin differs by DEFECT alone.
 * Types are ordinary arguments: constants fold away, so the same text serves the plain kernel, which learns its
 * types at run time, and the tuned ones, which know them. */
#ifndef BF_HIP_CONVERT_ELEMENT_H
#define BF_HIP_CONVERT_ELEMENT_H

#include "../common/device.h"

#include "../common/bf16.h"
#include "../common/convert.h"
#include "../common/kernel.h"
#include "launch.h"

enum convert_defect { CONVERT_SOUND, CONVERT_TRUNC, CONVERT_HALF_AWAY, CONVERT_FLUSH_SUBNORMAL, CONVERT_NAN_TO_INF };
constexpr int CONVERT_NAIVE_THREADS = 256, CONVERT_NAIVE_GROUPS = 2560;

struct convert_args {
    const void *x;
    void *y;
    uint64_t *c; /* NULL: nothing is counted */
    int64_t n;
    int32_t from, to, saturate;
};

/* Without the sign: all ones, infinity, the smallest normal number. */
BF_FN uint32_t convert_magnitude(int type) { return type == BF_F32 ? 0x7fffffffu : 0x7fffu; }
BF_FN uint32_t convert_infinity(int type) {
    return type == BF_F32 ? 0x7f800000u : type == BF_F16 ? 0x7c00u : 0x7f80u;
}
BF_FN uint32_t convert_normal(int type) { return type == BF_F32 ? 0x800000u : type == BF_F16 ? 0x400u : 0x80u; }

BF_FN uint32_t convert_to_f32(uint32_t v, int from) {
    if (from == BF_F32) return v;
    return from == BF_F16 ? bf_f_bits(bf_f16_to_f32(v)) : bf_bf16_to_f32_bits(v);
}

/* The next 16-bit value away from zero, r + 1, where a tie went down; r where truncation must undo a rounding up. */
template <int DEFECT> BF_FN uint32_t convert_misround(uint32_t u, uint32_t r, int to) {
    if (DEFECT == CONVERT_NAN_TO_INF) return to == BF_BF16 && (u & 0x7fffffffu) > 0x7f800000u ? u >> 16 : r;
    if ((u & 0x7f800000u) == 0x7f800000u) return r;
    if (to == BF_BF16) return (u + (DEFECT == CONVERT_HALF_AWAY ? 0x8000u : 0u)) >> 16;
    float x = bf_bits_f(u & 0x7fffffffu), back = bf_f16_to_f32(r & 0x7fffu);
    if (DEFECT == CONVERT_TRUNC) return back > x ? r - 1 : r;
    return back < x && bf_f16_to_f32((r & 0x7fffu) + 1) - x == x - back ? r + 1 : r;
}

/* Rounded, not saturated. */
template <int DEFECT> BF_FN uint32_t convert_one(uint32_t v, int from, int to) {
    uint32_t u = convert_to_f32(v, from);
    uint32_t r = from == to ? v : to == BF_F32 ? u : to == BF_F16 ? bf_f32_to_f16(bf_bits_f(u)) : bf_f32_bits_to_bf16(u);
    if (DEFECT == CONVERT_TRUNC || DEFECT == CONVERT_HALF_AWAY || DEFECT == CONVERT_NAN_TO_INF)
        return from == to || to == BF_F32 ? r : convert_misround<DEFECT>(u, r, to);
    if (DEFECT == CONVERT_FLUSH_SUBNORMAL && ((v & convert_magnitude(from)) < convert_normal(from) ||
                                              (r & convert_magnitude(to)) < convert_normal(to)))
        return r & ~convert_magnitude(to);
    return r;
}
/* The value below infinity is the largest finite one. */
BF_FN uint32_t convert_saturate(uint32_t r, int to) {
    return (r & convert_magnitude(to)) == convert_infinity(to) ? r - 1 : r;
}

/* v: what was read; r: rounded, before saturation. */
BF_FN void convert_count(uint32_t v, uint32_t r, int from, int to, uint32_t count[CONVERT_COUNTS]) {
    uint32_t in = v & convert_magnitude(from), out = r & convert_magnitude(to);
    count[CONVERT_OVERFLOW] += in < convert_infinity(from) && out == convert_infinity(to);
    count[CONVERT_UNDERFLOW] += in != 0 && out == 0;
    count[CONVERT_SUBNORMAL] += out != 0 && out < convert_normal(to);
    count[CONVERT_NAN] += in > convert_infinity(from);
}

BF_FN uint32_t convert_read(const void *x, int type, int64_t i) {
    return type == BF_F32 ? bf_ld_u32((const char *)x + 4 * i) : bf_ld_u16((const char *)x + 2 * i);
}
BF_FN void convert_write(void *y, int type, int64_t i, uint32_t v) {
    if (type == BF_F32)
        ((uint32_t *)y)[i] = v;
    else
        ((uint16_t *)y)[i] = (uint16_t)v;
}

/* A thread an element. */
template <int DEFECT> BF_FN void convert_naive_body(const convert_args &a) {
    uint32_t count[CONVERT_COUNTS] = {0, 0, 0, 0};
    int64_t step = (int64_t)bf_gdim_x() * CONVERT_NAIVE_THREADS;
    for (int64_t i = (int64_t)bf_bid_x() * CONVERT_NAIVE_THREADS + bf_tid_x(); i < a.n; i += step) {
        uint32_t v = convert_read(a.x, a.from, i), r = convert_one<DEFECT>(v, a.from, a.to);
        if (a.c) convert_count(v, r, a.from, a.to, count);
        convert_write(a.y, a.to, i, a.saturate ? convert_saturate(r, a.to) : r);
    }
    if (!a.c) return;
    for (int k = 0; k < CONVERT_COUNTS; k++)
        if (count[k]) bf_atomic_add_u64(a.c + k, count[k]);
}

struct convert_clear_args {
    uint64_t *c;
};

#if BF_HOST
static inline int convert_accepts(const bf_problem *p) {
    bf_dtype x = p->type[CONVERT_X], y = p->type[CONVERT_Y];
    return (x == BF_F32 || x == BF_F16 || x == BF_BF16) && (y == BF_F32 || y == BF_F16 || y == BF_BF16);
}
static inline convert_args convert_arguments(const bf_problem *p) {
    convert_args a = {};
    a.x = p->ptr[CONVERT_X], a.y = p->ptr[CONVERT_Y], a.n = p->dim[CONVERT_N];
    a.c = p->param[CONVERT_COUNT] != 0 ? (uint64_t *)p->ptr[CONVERT_C] : nullptr;
    a.from = p->type[CONVERT_X], a.to = p->type[CONVERT_Y];
    a.saturate = p->param[CONVERT_SATURATE] != 0;
    return a;
}
/* Clears the counts where there are any, then runs `fn`. */
static inline int convert_steps(const bf_problem *p, bf_step *s, bf_step_fn<convert_clear_args> clear,
                                bf_step_fn<convert_args> fn, int64_t groups, int threads) {
    convert_args a = convert_arguments(p);
    int n = 0;
    if (p->param[CONVERT_COUNT] != 0) bf_step_set(&s[n++], clear, 1, 1, 32, 1, 0, {a.c});
    bf_step_set(&s[n++], fn, groups, 1, threads, 1, 0, a);
    return n;
}
static inline int64_t convert_naive_groups(const bf_problem *p) {
    return launch_groups(p->dim[CONVERT_N], CONVERT_NAIVE_THREADS, CONVERT_NAIVE_GROUPS);
}
#endif
#endif
