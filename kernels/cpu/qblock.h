/* qblock.h: what the CPU kernels of qblock_matmul and qblock_dequant share: who accepts what, and the job. */
#ifndef BF_CPU_QBLOCK_H
#define BF_CPU_QBLOCK_H

#include "../common/mxfp4.h"
#include "../common/q6_k.h"
#include "../common/q8_0.h"
#include "../common/qblock.h"
#include "mxfp4_scales.h"
#include "q4k_matvec.h"

typedef struct qblock_job {
    matvec_job job; /* w: bytes of whatever format */
    bf_dtype type;
    int64_t row_bytes;
} qblock_job;

/* The formats in the order of the kernels' tables; -1: none of them. */
enum { QBLOCK_FORMATS = 3 };
static inline int qblock_format(bf_dtype w) { return w == BF_Q6_K ? 0 : w == BF_Q8_0 ? 1 : w == BF_MXFP4 ? 2 : -1; }
static inline int64_t qblock_block_weights(bf_dtype w) { return w == BF_Q6_K ? BF_Q6_K_WEIGHTS : 32; }
static inline int64_t qblock_block_bytes(bf_dtype w) { return w == BF_Q6_K ? BF_Q6_K_BYTES : w == BF_Q8_0 ? BF_Q8_0_BYTES : BF_MXFP4_BYTES; }

static inline int qblock_types(bf_dtype w, int64_t k) { return qblock_format(w) >= 0 && k % qblock_block_weights(w) == 0; }
static inline int qblock_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATVEC_X];
    return qblock_types(p->type[Q4K_MATVEC_W], p->dim[Q4K_MATVEC_K]) && (x == BF_F32 || x == BF_F16 || x == BF_BF16);
}
static inline int qblock_dequant_accepts(const bf_problem *p) {
    bf_dtype y = p->type[Q4K_DEQUANT_Y];
    return qblock_types(p->type[Q4K_DEQUANT_W], p->dim[Q4K_DEQUANT_K]) && (y == BF_F32 || y == BF_F16 || y == BF_BF16);
}

/* Bytes of 128 weights, of a multiple of 128 in the row. */
static inline __attribute__((always_inline)) int qblock_bytes128(bf_dtype w) {
    return w == BF_Q6_K ? BF_Q6_K_BYTES / 2 : 4 * (w == BF_Q8_0 ? BF_Q8_0_BYTES : BF_MXFP4_BYTES);
}
/* Brings the rows behind `rows` rows at w, which are computed side by side, into L2 at the pace of these: for weights from `at` on as
 * many bytes as 128 of every row take. Memory then sees one linear stream. Past the end of W nothing happens. */
static inline __attribute__((always_inline)) void qblock_prefetch(bf_dtype type, const char *w, int64_t stride, int64_t at, int rows) {
    const int bytes = rows * qblock_bytes128(type);
    uintptr_t ahead = (uintptr_t)w + (uintptr_t)(rows * stride + at / 128 * bytes);
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch((const void *)(ahead + (uintptr_t)i), 0, 2);
}
/* Rows that a thread claims at a time, a multiple of `step`: of one column about 1 MiB, so that few of the rows prefetched go to
 * another thread, 128 KiB otherwise; of a small matrix less, for every thread to get some. */
static inline int64_t qblock_grain(const qblock_job *q, const bf_pool *pool, int64_t step) {
    int64_t rows = (q->job.n == 1 ? 1024 * 1024 : 128 * 1024) / q->row_bytes, most = q->job.m / (8 * bf_pool_threads(pool));
    rows = (rows < most ? rows : most) / step * step;
    return rows < step ? step : rows;
}

static inline qblock_job qblock_job_of(const bf_problem *p) {
    bf_dtype w = p->type[Q4K_MATVEC_W];
    int64_t k = p->dim[Q4K_MATVEC_K];
    return (qblock_job){matvec_job_of(p), w, k / qblock_block_weights(w) * qblock_block_bytes(w)};
}

#endif
