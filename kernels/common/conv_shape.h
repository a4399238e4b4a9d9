/* conv_shape.h: what a convolution's kernels need to know of a problem, worked out once on the host.
 * C11 and C++17. Dimensions in the order depth, height, width; one that is not used has size 1, one tap, stride 1, no
 * padding. */
#ifndef BF_CONV_SHAPE_H
#define BF_CONV_SHAPE_H

#include <stdint.h>

#include "conv.h"
#include "kernel.h"

typedef struct conv_shape {
    int32_t batch, groups, in, out; /* channels of one group */
    int32_t size[3], osize[3], taps[3], stride[3], pad[3];
    int32_t dilation, transposed;
    int32_t plane, oplane, tap_count; /* elements of a channel of x and of y; taps in all */
} conv_shape;

/* The sound form of both directions is a gather. Outputs fall into phases: one for a plain convolution, stride^rank for
 * a transposed one, output index z = phase + out_step * q. Inside a phase, output q meets x at q * in_step +
 * conv_offset(phase, tap), for the taps that have an offset there. */
static inline int32_t conv_in_step(const conv_shape *s, int d) { return s->transposed ? 1 : s->stride[d]; }
static inline int32_t conv_out_step(const conv_shape *s, int d) { return s->transposed ? s->stride[d] : 1; }
static inline int32_t conv_phases(const conv_shape *s) {
    return s->transposed ? s->stride[0] * s->stride[1] * s->stride[2] : 1;
}
/* Outputs of a phase in dimension d. */
static inline int32_t conv_phase_size(const conv_shape *s, int d, int32_t phase) {
    int32_t step = conv_out_step(s, d);
    return s->osize[d] > phase ? (s->osize[d] - phase + step - 1) / step : 0;
}
/* 1 and the offset, or 0: the tap does not meet this phase. */
static inline int conv_offset(const conv_shape *s, int d, int32_t phase, int32_t tap, int32_t *offset) {
    int32_t at = tap * s->dilation;
    if (!s->transposed) {
        *offset = at - s->pad[d];
        return 1;
    }
    at = phase + s->pad[d] - at;
    if (at % s->stride[d]) return 0;
    *offset = at / s->stride[d];
    return 1;
}
/* Taps that meet one output, at most. */
static inline int64_t conv_most_taps(const conv_shape *s) {
    int64_t all = 1;
    for (int d = 0; d < 3; d++) {
        int32_t most = 0, at;
        for (int32_t phase = 0; phase < conv_out_step(s, d); phase++) {
            int32_t n = 0;
            for (int32_t t = 0; t < s->taps[d]; t++) n += conv_offset(s, d, phase, t, &at);
            if (n > most) most = n;
        }
        all *= most;
    }
    return all;
}
/* Products behind one output, at most. */
static inline int64_t conv_terms(const conv_shape *s) { return s->in * conv_most_taps(s); }

/* 0 when the problem is not a convolution, or so large that an index within one batch item leaves 31 bits. */
static inline int conv_shape_of(const bf_problem *p, conv_shape *s) {
    const int64_t most = INT64_C(1) << 30, *size = p->dim + CONV_Z;
    int rank = (int)p->param[CONV_RANK], first = 3 - rank;
    int64_t groups = p->dim[CONV_GROUPS], in = p->dim[CONV_IN], out = p->dim[CONV_OUT], plane = 1, oplane = 1, taps = 1;
    if (rank < 1 || rank > 3 || groups < 1 || in < 1 || out < 1 || in % groups || out % groups || in > most || out > most)
        return 0;
    if (p->dim[CONV_BATCH] < 1 || p->dim[CONV_BATCH] > 65535) return 0;
    *s = (conv_shape){0};
    s->batch = (int32_t)p->dim[CONV_BATCH], s->groups = (int32_t)groups;
    s->in = (int32_t)(in / groups), s->out = (int32_t)(out / groups);
    s->dilation = (int32_t)p->param[CONV_DILATION], s->transposed = p->param[CONV_TRANSPOSED] != 0;
    for (int d = 0; d < 3; d++) {
        int used = d >= first;
        int64_t step = used ? (int64_t)p->param[CONV_STRIDE] : 1, pad = used ? (int64_t)p->param[CONV_PAD] : 0;
        int64_t t = used ? (int64_t)p->param[CONV_TAPS] : 1, reach = s->dilation * (t - 1) + 1;
        int64_t o = s->transposed ? (size[d] - 1) * step - 2 * pad + reach : size[d] + 2 * pad - reach;
        if (!s->transposed) o = o < 0 ? 0 : o / step + 1;
        if (size[d] < 1 || size[d] > most || step < 1 || t < 1 || o < 1 || o > most || pad < 0 || pad > most / 2 || reach > most)
            return 0;
        s->size[d] = (int32_t)size[d], s->osize[d] = (int32_t)o, s->taps[d] = (int32_t)t;
        s->stride[d] = (int32_t)step, s->pad[d] = (int32_t)pad;
        plane *= size[d], oplane *= o, taps *= t;
        if (plane > most || oplane > most || taps > most) return 0;
    }
    if (plane * (in < out ? out : in) > most || oplane * (in < out ? out : in) > most || taps * in > most) return 0;
    s->plane = (int32_t)plane, s->oplane = (int32_t)oplane, s->tap_count = (int32_t)taps;
    return 1;
}

static inline int conv_is_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }
static inline int conv_accepts(const bf_problem *p) {
    conv_shape s;
    return conv_is_float(p->type[CONV_X]) && conv_is_float(p->type[CONV_WT]) && conv_is_float(p->type[CONV_Y]) &&
           (p->type[CONV_B] == BF_NONE || conv_is_float(p->type[CONV_B])) && conv_shape_of(p, &s);
}
/* Kernels that add one product after another: the first addition is to zero, the bias is one more. */
static inline int64_t conv_plain_chain(const bf_problem *p) {
    conv_shape s;
    if (!conv_shape_of(p, &s)) return 0;
    return conv_terms(&s) - 1 + (p->type[CONV_B] != BF_NONE);
}

#endif
