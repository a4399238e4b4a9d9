/* q4k_matvec_naive.h: the plain mat-vec kernels of both paths. Shared by q4k_matvec_naive.c (sound) and by the twins in
 * kernels/broken/q4k_matvec.c, which differ in the one constant `defect`. */
#ifndef BF_CPU_Q4K_MATVEC_NAIVE_H
#define BF_CPU_Q4K_MATVEC_NAIVE_H

#include "q4k_matvec.h"

enum matvec_defect {
    MATVEC_SOUND,
    MATVEC_ACC_FP16,
    MATVEC_ACC_BF16,
    MATVEC_X_FP16,
    MATVEC_X_BF16,
    MATVEC_X_TF32,
    MATVEC_DSC_FP16,
    MATVEC_PARTIAL_FP16,
    MATVEC_DROP_BLOCK,
    MATVEC_SCALE_102,
    MATVEC_TRUNC_QUANT,
    MATVEC_SUM_FP16
};

static inline float matvec_fp16(float f) { return bf_f16_value(bf_f32_bits_to_f16(bf_bits(f))); }
static inline float matvec_bf16(float f) { return bf_bf16_value(bf_f32_bits_to_bf16(bf_bits(f))); }
static inline float matvec_tf32(float f) {
    uint32_t u = bf_bits(f);
    if ((u & 0x7f800000u) == 0x7f800000u) return f;
    return bf_float((u + 0xfffu + ((u >> 13) & 1u)) & 0xffffe000u);
}
static inline float matvec_acc(float f, int defect) {
    return defect == MATVEC_ACC_FP16 ? matvec_fp16(f) : defect == MATVEC_ACC_BF16 ? matvec_bf16(f) : f;
}
static inline float matvec_x(float f, int defect) {
    return defect == MATVEC_X_FP16   ? matvec_fp16(f)
           : defect == MATVEC_X_BF16 ? matvec_bf16(f)
           : defect == MATVEC_X_TF32 ? matvec_tf32(f)
                                     : f;
}

/* d*sc and dmin*m of sub-block s: exact in fp32. */
static inline void matvec_scales(const bf_q4_k *b, int s, int defect, float *dsc, float *dm) {
    *dsc = bf_f16_value(b->d) * (float)bf_q4_k_scale(b->scales, s);
    *dm = bf_f16_value(b->dmin) * (float)bf_q4_k_min(b->scales, s);
    if (defect == MATVEC_DSC_FP16) *dsc = matvec_fp16(*dsc);
}
static inline int matvec_nibble(const bf_q4_k *b, int s, int l) { return b->qs[32 * (s / 2) + l] >> 4 * (s & 1) & 15; }

/* Outputs [begin, end) of y [n][m]; one chain of additions from the first weight to the last. */
static inline __attribute__((always_inline)) void matvec_fp32_chunk(const matvec_job *j, int64_t begin, int64_t end, int defect) {
    int64_t blocks = j->k / Q4K_MATVEC_QBLOCK;
    for (int64_t o = begin; o < end; o++) {
        const bf_q4_k *row = j->w + o % j->m * (j->k / BF_Q4_K_WEIGHTS);
        float acc = 0.0f;
        for (int64_t b = 0; b < blocks; b++) {
            float dsc, dm, part = 0.0f;
            if (defect == MATVEC_DROP_BLOCK && b == blocks / 2) continue;
            matvec_scales(row + b / 8, (int)(b % 8), defect, &dsc, &dm);
            for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
                float x = matvec_x(bf_load_float(j->x, j->x_type, o / j->m * j->k + b * Q4K_MATVEC_QBLOCK + l), defect);
                float weight = dsc * (float)matvec_nibble(row + b / 8, (int)(b % 8), l) - dm;
                if (defect == MATVEC_PARTIAL_FP16) part += weight * x;
                else acc = matvec_acc(acc + weight * x, defect);
            }
            if (defect == MATVEC_PARTIAL_FP16) acc += matvec_fp16(part);
        }
        j->y[o] = defect == MATVEC_SCALE_102 ? acc * 1.02f : acc;
    }
}

/* Blocks [begin, end) of 32 values of x [n][k] (policy: q4k_matvec.h). */
static inline __attribute__((always_inline)) void matvec_quantise_chunk(const matvec_job *j, int64_t begin, int64_t end,
                                                                      int defect) {
    for (int64_t b = begin; b < end; b++) {
        uint32_t amax = 0;
        for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
            uint32_t u = bf_bits(bf_load_float(j->x, j->x_type, b * Q4K_MATVEC_QBLOCK + l)) & 0x7fffffffu;
            if (u > amax) amax = u; /* as integers, so that a NaN is the largest */
        }
        int none = amax < MATVEC_AMAX_MIN || amax >= MATVEC_INF, sum = 0;
        float d = none ? 0.0f : bf_float(amax) / 127.0f;
        for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
            float x = none ? 0.0f : bf_load_float(j->x, j->x_type, b * Q4K_MATVEC_QBLOCK + l);
            int q = none ? 0 : defect == MATVEC_TRUNC_QUANT ? (int)(x / d) : (int)lrintf(x / d);
            j->xq[b * Q4K_MATVEC_QBLOCK + l] = (int8_t)q;
            sum += q;
        }
        j->xd[b] = amax >= MATVEC_INF ? NAN : d;
        j->xs[b] = sum;
    }
}

/* Outputs [begin, end) of y [n][m]; integer sums inside a block of 32, one chain of additions over the blocks. */
static inline __attribute__((always_inline)) void matvec_int8_chunk(const matvec_job *j, int64_t begin, int64_t end, int defect) {
    int64_t blocks = j->k / Q4K_MATVEC_QBLOCK;
    for (int64_t o = begin; o < end; o++) {
        const bf_q4_k *row = j->w + o % j->m * (j->k / BF_Q4_K_WEIGHTS);
        float acc = 0.0f;
        for (int64_t b = 0; b < blocks; b++) {
            int64_t at = o / j->m * blocks + b;
            const int8_t *q = j->xq + at * Q4K_MATVEC_QBLOCK;
            float dsc, dm, d = j->xd[at], s = (float)j->xs[at];
            int32_t dot = 0;
            if (defect == MATVEC_DROP_BLOCK && b == blocks / 2) continue;
            matvec_scales(row + b / 8, (int)(b % 8), defect, &dsc, &dm);
            for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) dot += matvec_nibble(row + b / 8, (int)(b % 8), l) * q[l];
            float share = d * (dsc * (float)dot - dm * s);
            if (defect == MATVEC_SUM_FP16) share = d * (dsc * (float)dot) - dm * matvec_fp16(d * s);
            if (defect == MATVEC_PARTIAL_FP16) share = matvec_fp16(share);
            acc = matvec_acc(acc + share, defect);
        }
        j->y[o] = defect == MATVEC_SCALE_102 ? acc * 1.02f : acc;
    }
}

/* The first addition is to zero and rounds nothing: K terms, K - 1 additions. */
static inline int64_t matvec_fp32_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] - 1; }
/* One addition a block. */
static inline int64_t matvec_int8_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / Q4K_MATVEC_QBLOCK; }

#endif
