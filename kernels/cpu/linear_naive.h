/* linear_naive.h: the plain kernel of linear. Shared by linear_naive.c (sound) and by the twins in kernels/broken/linear.c, which
 * differ in the one constant `defect`. */
#ifndef BF_CPU_LINEAR_NAIVE_H
#define BF_CPU_LINEAR_NAIVE_H

#include "linear.h"

enum linear_defect {
    LINEAR_SOUND,
    LINEAR_ACC_FP16,
    LINEAR_ACC_BF16,
    LINEAR_X_FP16,
    LINEAR_X_BF16,
    LINEAR_X_TF32,
    LINEAR_W_AS_FP16,
    LINEAR_W_AS_BF16,
    LINEAR_W_F16_OVERFLOW,
    LINEAR_DROP_K_TAIL,
    LINEAR_BIAS_DROPPED,
    LINEAR_BIAS_FP16,
    LINEAR_Y_TRUNC,
    LINEAR_SCALE_102,
    LINEAR_PARTIAL_FP16
};

static inline float linear_fp16(float f) { return bf_f16_value(bf_f32_bits_to_f16(bf_bits(f))); }
static inline float linear_bf16(float f) { return bf_bf16_value(bf_f32_bits_to_bf16(bf_bits(f))); }

static inline float linear_naive_weight(const linear_job *j, int64_t i, int defect) {
    bf_dtype type = j->w_type;
    if (defect == LINEAR_W_AS_FP16 && type == BF_BF16) type = BF_F16;
    else if (defect == LINEAR_W_AS_BF16 && type == BF_F16) type = BF_BF16;
    float w = bf_load_float(j->w, type, i);
    return defect == LINEAR_W_F16_OVERFLOW ? linear_fp16(w) : w;
}
static inline float linear_naive_x(const linear_job *j, int64_t i, int defect) {
    float x = bf_load_float(j->x, j->x_type, i);
    return defect == LINEAR_X_FP16   ? linear_fp16(x)
           : defect == LINEAR_X_BF16 ? linear_bf16(x)
           : defect == LINEAR_X_TF32 ? bf_tf32(x)
                                     : x;
}
/* 16-bit y of smaller or equal size. */
static inline void linear_store_truncated(void *y, bf_dtype type, int64_t i, float v) {
    linear_store(y, type, i, v);
    if (type == BF_F32) return;
    uint16_t *h = (uint16_t *)y + i;
    uint32_t u = bf_bits(v) & 0x7fffffffu;
    if (bf_load_float(h, type, 0) != 0 && (bf_bits(bf_load_float(h, type, 0)) & 0x7fffffffu) > u) --*h;
}

/* Outputs [begin, end) of y [n][m]; one chain of additions from the first weight to the last. */
static inline __attribute__((always_inline)) void linear_naive_chunk(const linear_job *j, int64_t begin, int64_t end,
                                                                   int defect) {
    int64_t k = defect == LINEAR_DROP_K_TAIL ? j->k / 8 * 8 : j->k;
    for (int64_t o = begin; o < end; o++) {
        int64_t r = o % j->m, c = o / j->m;
        float acc = 0.0f, whole = 0.0f;
        for (int64_t i = 0; i < k; i++) {
            if (defect == LINEAR_PARTIAL_FP16 && i % 32 == 0) whole += linear_fp16(acc), acc = 0.0f;
            acc += linear_naive_weight(j, r * j->k + i, defect) * linear_naive_x(j, c * j->k + i, defect);
            if (defect == LINEAR_ACC_FP16) acc = linear_fp16(acc);
            if (defect == LINEAR_ACC_BF16) acc = linear_bf16(acc);
        }
        if (defect == LINEAR_PARTIAL_FP16) acc = whole + linear_fp16(acc);
        if (defect == LINEAR_SCALE_102) acc *= 1.02f;
        if (j->b && defect != LINEAR_BIAS_DROPPED) {
            float b = bf_load_float(j->b, j->b_type, r);
            acc += defect == LINEAR_BIAS_FP16 ? linear_fp16(b) : b;
        }
        if (defect == LINEAR_Y_TRUNC) linear_store_truncated(j->y, j->y_type, o, acc);
        else linear_store(j->y, j->y_type, o, acc);
    }
}

/* K products, one chain. */
static inline int64_t linear_naive_chain(const bf_problem *p) { return p->dim[LINEAR_K] - 1; }

#endif
