/* norm_shape.h: what the kernels of norm derive from a problem; host only, C11 and C++. */
#ifndef BF_NORM_SHAPE_H
#define BF_NORM_SHAPE_H

#include <math.h>

#include "kernel.h"
#include "norm.h"

/* A group of group norm is a row like any other, `channels` weights long. */
static inline int64_t norm_rows(const bf_problem *p) { return p->dim[NORM_M] * p->dim[NORM_GROUPS]; }
static inline int64_t norm_channels(const bf_problem *p) { return p->dim[NORM_K] / p->dim[NORM_GROUPS]; }
static inline int64_t norm_length(const bf_problem *p) { return norm_channels(p) * p->dim[NORM_INNER]; }

/* Whether the mean is subtracted. A parameter is a double: made an integer before it meets the enumeration. */
static inline int norm_centred(const bf_problem *p) { return (int)p->param[NORM_KIND] != NORM_RMS; }

static inline int norm_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }
static inline int norm_accepts(const bf_problem *p) {
    const bf_dtype *t = p->type;
    return norm_float(t[NORM_X]) && norm_float(t[NORM_Y]) && (!t[NORM_R] || norm_float(t[NORM_R])) &&
           (!t[NORM_W] || norm_float(t[NORM_W])) && (!t[NORM_B] || norm_float(t[NORM_B])) &&
           norm_length(p) < INT32_MAX / 2;
}

/* eps = m 2^exponent, m in [1, 2) rounded to fp32; with eps = 0: 0 and an exponent that every scale leaves at zero. `least`: the
 * least exponent that a row is scaled down by, so that eps / 4^least is below 4. */
typedef struct norm_eps {
    float m;
    int exponent, least;
} norm_eps;
static inline norm_eps norm_eps_of(const bf_problem *p) {
    int e = 0;
    norm_eps s = {0.0f, -100000, -126};
    double m = frexp(p->param[NORM_EPS], &e);
    if (m == 0) return s;
    s.m = (float)(2 * m), s.exponent = e - 1;
    s.least = s.exponent >> 1;
    if (s.least < -126) s.least = -126;
    if (s.least > 126) s.least = 126;
    return s;
}

#endif
