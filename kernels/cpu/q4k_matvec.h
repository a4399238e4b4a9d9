/* q4k_matvec.h: what the CPU kernels of q4k_matvec share: the job handed to the worker threads. */
#ifndef BF_CPU_Q4K_MATVEC_H
#define BF_CPU_Q4K_MATVEC_H

#include <math.h>

#include "../common/q4_k.h"
#include "../common/q4k_matvec.h"
#include "fp16.h"
#include "pool.h"

typedef struct matvec_job {
    const bf_q4_k *w;
    const void *x;
    float *y;
    int8_t *xq;
    float *xd;
    int32_t *xs;
    void *scratch;
    int64_t m, k;
    int n;
    bf_dtype x_type;
} matvec_job;

/* Bits of the least amax that is quantised, 2^-100, and of infinity. */
#define MATVEC_AMAX_MIN 0x0d800000u
#define MATVEC_INF 0x7f800000u

static inline int matvec_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATVEC_X];
    return p->type[Q4K_MATVEC_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) &&
           p->dim[Q4K_MATVEC_N] >= 1 && p->dim[Q4K_MATVEC_N] <= Q4K_MATVEC_MAX_N;
}

static inline matvec_job matvec_job_of(const bf_problem *p) {
    return (matvec_job){.w = p->ptr[Q4K_MATVEC_W], .x = p->ptr[Q4K_MATVEC_X], .y = p->ptr[Q4K_MATVEC_Y],
                        .xq = p->ptr[Q4K_MATVEC_XQ], .xd = p->ptr[Q4K_MATVEC_XD], .xs = p->ptr[Q4K_MATVEC_XS],
                        .scratch = p->scratch, .m = p->dim[Q4K_MATVEC_M], .k = p->dim[Q4K_MATVEC_K],
                        .n = (int)p->dim[Q4K_MATVEC_N], .x_type = p->type[Q4K_MATVEC_X]};
}

#endif
