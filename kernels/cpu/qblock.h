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

static inline qblock_job qblock_job_of(const bf_problem *p) {
    bf_dtype w = p->type[Q4K_MATVEC_W];
    int64_t k = p->dim[Q4K_MATVEC_K];
    return (qblock_job){matvec_job_of(p), w, k / qblock_block_weights(w) * qblock_block_bytes(w)};
}

#endif
