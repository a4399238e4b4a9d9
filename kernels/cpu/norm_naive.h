/* norm_naive.h: the plain normalisation: a row at a time, fp32, one chain a sum. Shared by norm_naive.c (sound) and by the
 * twins in kernels/broken/norm.c, which differ in the one constant `defect`. */
#ifndef BF_CPU_NORM_NAIVE_H
#define BF_CPU_NORM_NAIVE_H

#include <math.h>

#include "../common/norm_defect.h"
#include "fp16.h"
#include "norm.h"
#include "pool.h"

static inline float norm_fp16(float f) { return bf_f16_value(bf_f32_bits_to_f16(bf_bits(f))); }
static inline float norm_bf16(float f) { return bf_bf16_value(bf_f32_bits_to_bf16(bf_bits(f))); }
static inline float norm_acc(float f, int defect) {
    return defect == NORM_ACC_FP16 ? norm_fp16(f) : defect == NORM_ACC_BF16 ? norm_bf16(f) : f;
}

static inline float norm_value(const norm_job *j, int64_t i, int defect) {
    float s = bf_load_float(j->x, j->x_type, i);
    if (j->r) s += bf_load_float(j->r, j->r_type, i);
    if (j->r && defect == NORM_RESIDUAL_FP16) s = norm_fp16(s);
    return defect == NORM_X_FP16 ? norm_fp16(s) : defect == NORM_X_BF16 ? norm_bf16(s) : defect == NORM_X_TF32 ? bf_tf32(s) : s;
}

/* What a row becomes: y = ((s * down - c) - rest) * root. */
typedef struct norm_row {
    float down, c, rest, root;
} norm_row;

/* The exponent that the row is scaled down by: its largest value's, or half of that of eps. 128: not finite. */
static inline int norm_naive_exponent(const norm_job *j, int64_t at, int defect) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < j->length; i++) {
        uint32_t u = bf_bits(norm_value(j, at + i, defect)) & 0x7fffffffu;
        if (u > largest) largest = u; /* as integers, so that a NaN is the largest */
    }
    int e = (int)(largest >> 23) - 127;
    if (e == 128) return e;
    if (defect == NORM_NO_SCALE || defect == NORM_ACC_FP16 || defect == NORM_ACC_BF16) return 0;
    if (e < j->least) e = j->least;
    return e > 126 ? 126 : e;
}

static inline __attribute__((always_inline)) norm_row norm_naive_row(const norm_job *j, int64_t at, int defect) {
    int e = norm_naive_exponent(j, at, defect);
    if (e == 128) return (norm_row){.down = 1, .root = NAN};
    norm_row row = {.down = ldexpf(1, -e)};
    int64_t n = j->length - (defect == NORM_TAIL_DROPPED);
    float count = (float)(defect == NORM_MEAN_OF_K_1 ? j->length - 1 : j->length), sum = 0, square = 0, raw = 0;
    for (int64_t i = 0; j->centred && i < n; i++) sum = norm_acc(sum + norm_value(j, at + i, defect) * row.down, defect);
    row.c = sum / count;
    sum = 0;
    for (int64_t i = 0; j->centred && i < n; i++) sum += norm_value(j, at + i, defect) * row.down - row.c;
    row.rest = sum / count;
    for (int64_t i = 0; i < n; i++) {
        float s = norm_value(j, at + i, defect) * row.down, d = s - row.c - row.rest;
        square = norm_acc(square + d * d, defect), raw += s * s;
    }
    float v = square / count, eps = ldexpf(j->eps, j->eps_exponent - 2 * e);
    if (defect == NORM_CANCEL && j->centred) v = raw / count - row.c * row.c;
    if (defect == NORM_EPS_OUTSIDE) {
        row.root = 1.0f / (sqrtf(v) + ldexpf(j->eps, j->eps_exponent - e));
        return row;
    }
    v += eps;
    if (j->eps > 0 && v < FLT_MIN) v = FLT_MIN; /* eps went under beside equal values: 0 / sqrt(0) is not wanted */
    row.root = 1.0f / sqrtf(v);
    return row;
}

/* Rows [begin, end). */
static inline __attribute__((always_inline)) void norm_naive_chunk(const norm_job *j, int64_t begin, int64_t end, int defect) {
    for (int64_t r = begin; r < end; r++) {
        int64_t at = r * j->length, channel = r % j->groups * j->channels;
        norm_row row = norm_naive_row(j, at, defect);
        for (int64_t i = 0; i < j->length; i++) {
            float s = norm_value(j, at + i, defect);
            bf_dtype type = defect == NORM_W_AS_FP16 ? BF_F16 : j->w_type;
            float g = j->w ? bf_load_float(j->w, j->w_type == BF_F32 ? BF_F32 : type, channel + i / j->inner) : 1;
            if (j->plus_one && defect != NORM_PLUS_ONE_DROPPED) g = 1 + g;
            float y = (s * row.down - row.c - row.rest) * row.root * g;
            if (j->b) y += bf_load_float(j->b, j->b_type, channel + i / j->inner);
            if (defect == NORM_SCALE_102) y *= 1.02f;
            norm_store(j->y, j->y_type, at + i, y);
            if (j->s) j->s[at + i] = s;
        }
    }
}

static inline int norm_naive_accepts(const bf_problem *p) { return norm_accepts(p) && norm_length(p) <= 1 << 22; }
/* The first addition is to zero and rounds nothing. */
static inline int64_t norm_naive_chain(const bf_problem *p) { return norm_length(p) - 1; }

#endif
