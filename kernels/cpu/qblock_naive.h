/* qblock_naive.h: the plain kernels of qblock_dequant and qblock_matmul. Shared by qblock_naive.c (sound) and by the twins in
 * kernels/broken/qblock.c, which differ in the one constant `defect`. */
#ifndef BF_CPU_QBLOCK_NAIVE_H
#define BF_CPU_QBLOCK_NAIVE_H

#include "../common/q6_k.h"
#include "../common/q8_0.h"
#include "../common/qblock.h"
#include "q4k_dequant_naive.h"
#include "q4k_matvec_naive.h"
#include "qblock.h"

/* Beside those of q4k (enum matvec_defect, dequant_defect). */
enum qblock_defect {
    QBLOCK_UNSIGNED = 100, /* Q6_K: scales read as unsigned bytes; Q8_0: the weights; MXFP4: signs dropped */
    QBLOCK_PAIR,           /* Q6_K: one scale for 32 weights */
    QBLOCK_HALVES,         /* Q6_K, MXFP4: low and high nibbles exchanged */
    QBLOCK_EXPONENT,       /* MXFP4: scales off by one exponent */
    QBLOCK_NO_NAN,         /* MXFP4: e = 255 read as a number */
    QBLOCK_FLUSH           /* MXFP4: half scales that are subnormal read as zero */
};

/* d*sc of weight i of a row: exact. */
static inline float qblock_scale(bf_dtype type, const char *row, int64_t i, int defect) {
    if (type == BF_Q8_0) return bf_f16_value(((const bf_q8_0 *)row)[i / 32].d);
    if (type == BF_MXFP4) {
        uint32_t e = ((const bf_mxfp4 *)row)[i / 32].e;
        if (defect == QBLOCK_NO_NAN && e == BF_MXFP4_NAN) return 0x1p127f;
        if (defect == QBLOCK_FLUSH && e < 2) return 0.0f;
        return bf_float(bf_mxfp4_half_scale(e + (defect == QBLOCK_EXPONENT)));
    }
    const bf_q6_k *b = (const bf_q6_k *)row + i / 256;
    int s = (int)(i % 256) / 16, sc = b->scales[defect == QBLOCK_PAIR ? s & ~1 : s];
    if (defect == QBLOCK_UNSIGNED) sc &= 255;
    float f = bf_f16_value(b->d) * (float)sc;
    return defect == MATVEC_DSC_FP16 ? matvec_fp16(f) : f;
}
static inline int qblock_value(bf_dtype type, const char *row, int64_t i, int defect) {
    if (type == BF_Q8_0) {
        int q = ((const bf_q8_0 *)row)[i / 32].qs[i % 32];
        return defect == QBLOCK_UNSIGNED ? q & 255 : q;
    }
    if (type == BF_MXFP4) {
        int code = bf_mxfp4_code((const bf_mxfp4 *)row + i / 32, (int)(i % 32) ^ (defect == QBLOCK_HALVES ? 16 : 0));
        return bf_mxfp4_integer(defect == QBLOCK_UNSIGNED ? code & 7 : code);
    }
    return bf_q6_k_value((const bf_q6_k *)row + i / 256, (int)(i % 256) ^ (defect == QBLOCK_HALVES ? 64 : 0));
}

typedef struct qblock_dequant_job {
    const char *w;
    void *y;
    bf_dtype from, to;
} qblock_dequant_job;

/* Weights [begin, end) of the whole tensor: rows are contiguous. */
static inline __attribute__((always_inline)) void qblock_dequant_chunk(const qblock_dequant_job *j, int64_t begin, int64_t end,
                                                                       int defect) {
    int wrong = defect == DEQUANT_DSC_FP16 ? MATVEC_DSC_FP16 : defect >= QBLOCK_UNSIGNED ? defect : MATVEC_SOUND;
    for (int64_t i = begin; i < end; i++) {
        float f = qblock_scale(j->from, j->w, i, wrong) * (float)qblock_value(j->from, j->w, i, wrong);
        if (j->to == BF_F32) ((float *)j->y)[i] = f;
        else ((uint16_t *)j->y)[i] = (uint16_t)dequant_narrow(bf_bits(f), j->to, defect);
    }
}

static inline void qblock_dequant_run(const bf_problem *p, bf_pool *pool, void (*chunk)(void *, int64_t, int64_t, int)) {
    qblock_dequant_job j = {p->ptr[Q4K_DEQUANT_W], p->ptr[Q4K_DEQUANT_Y], p->type[Q4K_DEQUANT_W], p->type[Q4K_DEQUANT_Y]};
    bf_pool_run(pool, chunk, &j, p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K], 4096);
}

/* Outputs [begin, end) of y [n][m]; one chain of additions from the first weight to the last. */
static inline __attribute__((always_inline)) void qblock_fp32_chunk(const qblock_job *q, int64_t begin, int64_t end, int defect) {
    const matvec_job *j = &q->job;
    for (int64_t o = begin; o < end; o++) {
        const char *row = (const char *)j->w + o % j->m * q->row_bytes;
        float acc = 0.0f, part = 0.0f;
        for (int64_t i = 0; i < j->k; i++) {
            if (defect == MATVEC_DROP_BLOCK && i / 32 == j->k / 32 / 2) continue;
            float x = matvec_x(bf_load_float(j->x, j->x_type, o / j->m * j->k + i), defect);
            float term = qblock_scale(q->type, row, i, defect) * (float)qblock_value(q->type, row, i, defect) * x;
            if (defect != MATVEC_PARTIAL_FP16) {
                acc = matvec_acc(acc + term, defect);
                continue;
            }
            part += term;
            if (i % 32 == 31) acc += matvec_fp16(part), part = 0.0f;
        }
        j->y[o] = defect == MATVEC_SCALE_102 ? acc * 1.02f : acc;
    }
}

/* Outputs [begin, end) of y [n][m]; integer sums inside a block of 32, scales of Q6_K included, one chain over the blocks. */
static inline __attribute__((always_inline)) void qblock_int8_chunk(const qblock_job *q, int64_t begin, int64_t end, int defect) {
    const matvec_job *j = &q->job;
    int64_t blocks = j->k / 32;
    for (int64_t o = begin; o < end; o++) {
        const char *row = (const char *)j->w + o % j->m * q->row_bytes;
        float acc = 0.0f;
        for (int64_t b = 0; b < blocks; b++) {
            int64_t at = o / j->m * blocks + b;
            float sum = 0.0f; /* of two exact parts, each one rounding at most */
            if (defect == MATVEC_DROP_BLOCK && b == blocks / 2) continue;
            for (int half = 0; half < 2; half++) {
                int32_t dot = 0;
                for (int i = 16 * half; i < 16 * half + 16; i++) dot += qblock_value(q->type, row, 32 * b + i, defect) * j->xq[32 * at + i];
                sum += qblock_scale(q->type, row, 32 * b + 16 * half, defect) * (float)dot;
            }
            float share = j->xd[at] * sum;
            if (defect == MATVEC_PARTIAL_FP16) share = matvec_fp16(share);
            acc = matvec_acc(acc + share, defect);
        }
        j->y[o] = defect == MATVEC_SCALE_102 ? acc * 1.02f : acc;
    }
}

static inline int64_t qblock_fp32_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] - 1; }
/* One addition a block and one inside it. */
static inline int64_t qblock_int8_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 32 + 1; }

#endif
