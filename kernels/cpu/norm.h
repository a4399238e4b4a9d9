/* norm.h: what the CPU kernels of norm share: the job, and stores by type. */
#ifndef BF_CPU_NORM_H
#define BF_CPU_NORM_H

#include <float.h>

#include "../common/norm_shape.h"
#include "fp16.h"

typedef struct norm_job {
    const void *x, *r, *w, *b; /* NULL: absent */
    void *y;
    float *s;
    bf_dtype x_type, r_type, w_type, b_type, y_type;
    int64_t rows, length, groups, channels, inner;
    int centred, plus_one;
    float eps; /* times 2^eps_exponent, see norm_eps */
    int eps_exponent, least;
} norm_job;

static inline norm_job norm_job_of(const bf_problem *p) {
    norm_eps e = norm_eps_of(p);
    const bf_dtype *t = p->type;
    return (norm_job){
        .x = p->ptr[NORM_X], .y = p->ptr[NORM_Y],
        .r = t[NORM_R] ? p->ptr[NORM_R] : NULL, .s = t[NORM_R] ? p->ptr[NORM_S] : NULL,
        .w = t[NORM_W] ? p->ptr[NORM_W] : NULL, .b = t[NORM_B] ? p->ptr[NORM_B] : NULL,
        .x_type = t[NORM_X], .r_type = t[NORM_R], .w_type = t[NORM_W], .b_type = t[NORM_B], .y_type = t[NORM_Y],
        .rows = norm_rows(p), .length = norm_length(p), .groups = p->dim[NORM_GROUPS], .channels = norm_channels(p),
        .inner = p->dim[NORM_INNER], .centred = norm_centred(p), .plus_one = p->param[NORM_PLUS_ONE] != 0,
        .eps = e.m, .eps_exponent = e.exponent, .least = e.least,
    };
}

static inline void norm_store(void *y, bf_dtype type, int64_t i, float v) {
    if (type == BF_F32) ((float *)y)[i] = v;
    else if (type == BF_F16) ((uint16_t *)y)[i] = (uint16_t)bf_f32_bits_to_f16(bf_bits(v));
    else ((uint16_t *)y)[i] = (uint16_t)bf_f32_bits_to_bf16(bf_bits(v));
}

#endif
