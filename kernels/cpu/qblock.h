/* qblock.h: what the CPU kernels of qblock_matmul and qblock_dequant share: who accepts what, and the job. */
#ifndef BF_CPU_QBLOCK_H
#define BF_CPU_QBLOCK_H

#include "../common/q6_k.h"
#include "../common/q8_0.h"
#include "../common/qblock.h"
#include "q4k_matvec.h"

typedef struct qblock_job {
    matvec_job job; /* w: bytes of whatever format */
    bf_dtype type;
    int64_t row_bytes;
} qblock_job;

static inline int qblock_types(bf_dtype w, int64_t k) { return (w == BF_Q6_K && k % 256 == 0) || (w == BF_Q8_0 && k % 32 == 0); }
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
    return (qblock_job){matvec_job_of(p), w, w == BF_Q6_K ? k / 256 * BF_Q6_K_BYTES : k / 32 * BF_Q8_0_BYTES};
}

#endif
