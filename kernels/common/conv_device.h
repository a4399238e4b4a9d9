/* conv_device.h: what the GPU kernels of conv share on both vendors: the argument, loads and stores by type, and the plain
 * kernel (a thread an output) with the defects of its twins, which differ by DEFECT alone. In the dialect of device.h. */
#ifndef BF_CONV_DEVICE_H
#define BF_CONV_DEVICE_H

#include "device.h"

#include "bf16.h"
#include "device_math.h"
#include "conv.h"
#include "kernel.h"

struct conv_args {
    const void *x, *w, *b; /* b NULL: no bias */
    void *y, *scratch;
    int32_t batch, groups, in, out; /* channels of one group */
    int32_t size[3], osize[3], taps[3], stride[3], pad[3];
    int32_t dilation, transposed, plane, oplane, tap_count;
    int32_t x_type, w_type, b_type, y_type;
};

BF_FN float conv_widen(uint32_t v, int type) {
    return type == BF_F32 ? bf_bits_f(v) : type == BF_F16 ? bf_f16_to_f32(v) : bf_bits_f(bf_bf16_to_f32_bits(v));
}
BF_FN float conv_load(const void *p, int type, int64_t i) {
    return type == BF_F32 ? conv_widen(bf_ld_u32((const uint32_t *)p + i), type)
                          : conv_widen(bf_ld_u16((const uint16_t *)p + i), type);
}
BF_FN void conv_store(void *p, int type, int64_t i, float v) {
    if (type == BF_F32)
        ((float *)p)[i] = v;
    else
        ((uint16_t *)p)[i] = (uint16_t)(type == BF_F16 ? bf_f32_to_f16(v) : bf_f32_bits_to_bf16(bf_f_bits(v)));
}
/* The sum of channel o (of all) with its bias, rounded to the type of y. */
BF_FN void conv_finish(const conv_args &a, int o, int64_t at, float sum) {
    conv_store(a.y, a.y_type, at, a.b ? sum + conv_load(a.b, a.b_type, o) : sum);
}

/* ---- a thread an output ---- */

enum conv_defect {
    CONV_SOUND,
    CONV_ACC_FP16,    /* every partial sum rounded to fp16 */
    CONV_X_FP16,      /* activations rounded to fp16 */
    CONV_W_AS_FP16,   /* the bits of bf16 weights read as fp16 */
    CONV_PAD_OFF,     /* padding off by one */
    CONV_NO_DILATION,
    CONV_GROUP_WRONG, /* the neighbouring group's channels */
    CONV_TAP_DROPPED, /* the middle tap skipped */
    CONV_PHASE_WRONG, /* transposed: elements of x land one output too early */
    CONV_BIAS_FP16,
    CONV_SCALE_102,
    CONV_ACC_BF16,
    CONV_X_BF16,
    CONV_X_TF32
};
constexpr int CONV_NAIVE_THREADS = 128;

BF_FN float conv_via_fp16(float f) { return bf_f16_to_f32(bf_f32_to_f16(f)); }
BF_FN float conv_via_bf16(float f) { return bf_bits_f(bf_bf16_to_f32_bits(bf_f32_bits_to_bf16(bf_f_bits(f)))); }

/* Where output z meets x through a tap in dimension d; -1: nowhere. */
template <int DEFECT> BF_FN int conv_source(const conv_args &a, int d, int z, int tap) {
    int used = a.taps[d] * a.stride[d] > 1 || a.pad[d] > 0; /* a defect leaves unused dimensions alone */
    int pad = a.pad[d] + (DEFECT == CONV_PAD_OFF && used), step = a.stride[d];
    int reach = tap * (DEFECT == CONV_NO_DILATION ? 1 : a.dilation), s = z * step + reach - pad;
    if (a.transposed) {
        s = z + pad - reach + (DEFECT == CONV_PHASE_WRONG && used);
        if (s < 0 || s % step) return -1;
        s /= step;
    }
    return s < 0 || s >= a.size[d] ? -1 : s;
}

template <int DEFECT> BF_FN void conv_naive_body(const conv_args &a) {
    int64_t i = (int64_t)bf_bid_x() * CONV_NAIVE_THREADS + bf_tid_x();
    if (i >= (int64_t)a.batch * a.groups * a.out * a.oplane) return;
    int p = (int)(i % a.oplane), channels = a.groups * a.out, o = (int)(i / a.oplane % channels);
    int64_t n = i / a.oplane / channels;
    int oz = p / (a.osize[1] * a.osize[2]), oy = p / a.osize[2] % a.osize[1], ox = p % a.osize[2];
    int g = o / a.out, from = DEFECT == CONV_GROUP_WRONG ? (g + 1) % a.groups : g;
    int w_type = DEFECT == CONV_W_AS_FP16 && a.w_type == BF_BF16 ? BF_F16 : a.w_type;
    float acc = 0.0f;
    for (int c = 0; c < a.in; c++) {
        int64_t xat = ((n * a.groups + from) * a.in + c) * a.plane;
        int64_t wat = a.transposed ? ((int64_t)(g * a.in + c) * a.out + o % a.out) * a.tap_count
                                   : ((int64_t)o * a.in + c) * a.tap_count;
        for (int t = 0; t < a.tap_count; t++) {
            int tz = t / (a.taps[1] * a.taps[2]), ty = t / a.taps[2] % a.taps[1], tx = t % a.taps[2];
            int sz = conv_source<DEFECT>(a, 0, oz, tz), sy = conv_source<DEFECT>(a, 1, oy, ty),
                sx = conv_source<DEFECT>(a, 2, ox, tx);
            if (sz < 0 || sy < 0 || sx < 0 || (DEFECT == CONV_TAP_DROPPED && t == a.tap_count / 2)) continue;
            float x = conv_load(a.x, a.x_type, xat + ((int64_t)sz * a.size[1] + sy) * a.size[2] + sx);
            float w = conv_load(a.w, w_type, wat + t);
            if (DEFECT == CONV_X_FP16) x = conv_via_fp16(x);
            if (DEFECT == CONV_X_BF16) x = conv_via_bf16(x);
            if (DEFECT == CONV_X_TF32) x = bf_to_tf32(x);
            acc = bf_fma(w, x, acc);
            if (DEFECT == CONV_ACC_FP16) acc = conv_via_fp16(acc);
            if (DEFECT == CONV_ACC_BF16) acc = conv_via_bf16(acc);
        }
    }
    if (DEFECT == CONV_BIAS_FP16 && a.b) acc += conv_via_fp16(conv_load(a.b, a.b_type, o));
    if (DEFECT == CONV_SCALE_102) acc *= 1.02f;
    if (DEFECT == CONV_BIAS_FP16)
        conv_store(a.y, a.y_type, i, acc);
    else
        conv_finish(a, o, i, acc);
}

#if BF_HOST
#include "conv_shape.h"

static inline conv_args conv_arguments(const bf_problem *p) {
    conv_shape s;
    conv_args a = {};
    if (!conv_shape_of(p, &s)) return a;
    a.x = p->ptr[CONV_X], a.w = p->ptr[CONV_WT], a.y = p->ptr[CONV_Y], a.scratch = p->scratch;
    a.b = p->type[CONV_B] == BF_NONE ? nullptr : p->ptr[CONV_B];
    a.batch = s.batch, a.groups = s.groups, a.in = s.in, a.out = s.out;
    for (int d = 0; d < 3; d++) {
        a.size[d] = s.size[d], a.osize[d] = s.osize[d], a.taps[d] = s.taps[d];
        a.stride[d] = s.stride[d], a.pad[d] = s.pad[d];
    }
    a.dilation = s.dilation, a.transposed = s.transposed;
    a.plane = s.plane, a.oplane = s.oplane, a.tap_count = s.tap_count;
    a.x_type = p->type[CONV_X], a.w_type = p->type[CONV_WT], a.b_type = p->type[CONV_B], a.y_type = p->type[CONV_Y];
    return a;
}
static inline int conv_naive_accepts(const bf_problem *p) {
    conv_shape s; /* z * stride + reach in 32 bits: reach and sizes are below 2^30 */
    return conv_accepts(p) && conv_shape_of(p, &s) &&
           (int64_t)s.batch * s.groups * s.out * s.oplane < INT64_C(0x7fffffff) * CONV_NAIVE_THREADS;
}
static inline int conv_naive_steps(const bf_problem *p, bf_step *s, bf_step_fn<conv_args> fn) {
    conv_args a = conv_arguments(p);
    int64_t outputs = (int64_t)a.batch * a.groups * a.out * a.oplane;
    bf_step_set(&s[0], fn, (outputs + CONV_NAIVE_THREADS - 1) / CONV_NAIVE_THREADS, 1, CONV_NAIVE_THREADS, 1, 0, a);
    return 1;
}
#endif
#endif
