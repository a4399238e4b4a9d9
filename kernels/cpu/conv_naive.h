/* conv_naive.h: the plain convolution. Shared by conv_naive.c (sound) and by the twins in kernels/broken/conv.c, which
 * differ in the one constant `defect`. */
#ifndef BF_CPU_CONV_NAIVE_H
#define BF_CPU_CONV_NAIVE_H

#include "../common/conv_shape.h"
#include "fp16.h"
#include "pool.h"

enum conv_defect {
    CONV_SOUND,
    CONV_ACC_FP16,
    CONV_X_FP16,
    CONV_W_AS_FP16,
    CONV_PAD_OFF,
    CONV_NO_DILATION,
    CONV_GROUP_WRONG,
    CONV_TAP_DROPPED,
    CONV_PHASE_WRONG,
    CONV_BIAS_FP16,
    CONV_SCALE_102,
    CONV_ACC_BF16,
    CONV_X_BF16,
    CONV_X_TF32
};

typedef struct conv_job {
    conv_shape s;
    const void *x, *w, *b;
    void *y, *scratch;
    bf_dtype x_type, w_type, b_type, y_type;
} conv_job;

static inline conv_job conv_job_of(const bf_problem *p) {
    conv_job j = {.x = p->ptr[CONV_X], .w = p->ptr[CONV_WT], .y = p->ptr[CONV_Y], .scratch = p->scratch,
                  .b = p->type[CONV_B] == BF_NONE ? NULL : p->ptr[CONV_B], .x_type = p->type[CONV_X],
                  .w_type = p->type[CONV_WT], .b_type = p->type[CONV_B], .y_type = p->type[CONV_Y]};
    conv_shape_of(p, &j.s);
    return j;
}

static inline float conv_fp16(float f) { return bf_f16_value(bf_f32_bits_to_f16(bf_bits(f))); }
static inline float conv_bf16(float f) { return bf_bf16_value(bf_f32_bits_to_bf16(bf_bits(f))); }

/* To the type of y, rounded once. */
static inline void conv_store(void *y, bf_dtype type, int64_t i, float v) {
    if (type == BF_F32) ((float *)y)[i] = v;
    else ((uint16_t *)y)[i] = (uint16_t)(type == BF_F16 ? bf_f32_bits_to_f16(bf_bits(v)) : bf_f32_bits_to_bf16(bf_bits(v)));
}

/* Where output z meets x through a tap in dimension d; -1: nowhere. */
static inline int32_t conv_source(const conv_shape *s, int d, int32_t z, int32_t tap, int defect) {
    int used = s->taps[d] * s->stride[d] > 1 || s->pad[d] > 0; /* a defect leaves unused dimensions alone */
    int32_t pad = s->pad[d] + (defect == CONV_PAD_OFF && used), step = s->stride[d];
    int32_t reach = tap * (defect == CONV_NO_DILATION ? 1 : s->dilation), at = z * step + reach - pad;
    if (s->transposed) {
        at = z + pad - reach + (defect == CONV_PHASE_WRONG && used);
        if (at < 0 || at % step) return -1;
        at /= step;
    }
    return at < 0 || at >= s->size[d] ? -1 : at;
}

/* Sum behind output p (position) of channel o (of all) and batch item n. */
static inline __attribute__((always_inline)) float conv_sum(const conv_job *j, int64_t n, int32_t o, int32_t p, int defect) {
    const conv_shape *s = &j->s;
    int32_t oz = p / (s->osize[1] * s->osize[2]), oy = p / s->osize[2] % s->osize[1], ox = p % s->osize[2];
    int32_t g = o / s->out, from = defect == CONV_GROUP_WRONG ? (g + 1) % s->groups : g;
    bf_dtype w_type = defect == CONV_W_AS_FP16 && j->w_type == BF_BF16 ? BF_F16 : j->w_type;
    float acc = 0.0f;
    for (int32_t c = 0; c < s->in; c++) {
        int64_t xat = ((n * s->groups + from) * s->in + c) * s->plane;
        int64_t wat = s->transposed ? ((int64_t)(g * s->in + c) * s->out + o % s->out) * s->tap_count
                                    : ((int64_t)o * s->in + c) * s->tap_count;
        for (int32_t t = 0; t < s->tap_count; t++) {
            int32_t tz = t / (s->taps[1] * s->taps[2]), ty = t / s->taps[2] % s->taps[1], tx = t % s->taps[2];
            int32_t sz = conv_source(s, 0, oz, tz, defect), sy = conv_source(s, 1, oy, ty, defect),
                    sx = conv_source(s, 2, ox, tx, defect);
            if (sz < 0 || sy < 0 || sx < 0 || (defect == CONV_TAP_DROPPED && t == s->tap_count / 2)) continue;
            float x = bf_load_float(j->x, j->x_type, xat + ((int64_t)sz * s->size[1] + sy) * s->size[2] + sx);
            if (defect == CONV_X_FP16) x = conv_fp16(x);
            if (defect == CONV_X_BF16) x = conv_bf16(x);
            if (defect == CONV_X_TF32) x = bf_tf32(x);
            acc += bf_load_float(j->w, w_type, wat + t) * x;
            if (defect == CONV_ACC_FP16) acc = conv_fp16(acc);
            if (defect == CONV_ACC_BF16) acc = conv_bf16(acc);
        }
    }
    return defect == CONV_SCALE_102 ? acc * 1.02f : acc;
}

/* Outputs [begin, end) of y. */
static inline __attribute__((always_inline)) void conv_naive_chunk(const conv_job *j, int64_t begin, int64_t end, int defect) {
    int32_t channels = j->s.groups * j->s.out;
    for (int64_t i = begin; i < end; i++) {
        int32_t o = (int32_t)(i / j->s.oplane % channels);
        float sum = conv_sum(j, i / j->s.oplane / channels, o, (int32_t)(i % j->s.oplane), defect);
        float b = j->b ? bf_load_float(j->b, j->b_type, o) : 0.0f;
        if (defect == CONV_BIAS_FP16) b = conv_fp16(b);
        conv_store(j->y, j->y_type, i, j->b ? sum + b : sum);
    }
}

static inline void conv_naive_run(const bf_problem *p, bf_pool *pool, void (*chunk)(void *, int64_t, int64_t, int)) {
    conv_job j = conv_job_of(p);
    bf_pool_run(pool, chunk, &j, (int64_t)j.s.batch * j.s.groups * j.s.out * j.s.oplane, 64);
}

#endif
