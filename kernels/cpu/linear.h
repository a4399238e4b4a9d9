/* linear.h: what the CPU kernels of linear share: the job handed to the worker threads, elements, the end of a sum. */
#ifndef BF_CPU_LINEAR_H
#define BF_CPU_LINEAR_H

#include "../common/linear.h"
#include "fp16.h"
#include "pool.h"

typedef struct linear_job {
    const void *w, *x, *b; /* b NULL: none */
    void *y;
    float *wide; /* scratch */
    int64_t m, k, n;
    bf_dtype w_type, x_type, b_type, y_type;
} linear_job;

static inline int linear_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }
static inline int linear_accepts(const bf_problem *p) {
    return linear_float(p->type[LINEAR_W]) && linear_float(p->type[LINEAR_X]) && linear_float(p->type[LINEAR_Y]) &&
           (p->type[LINEAR_B] == BF_NONE || linear_float(p->type[LINEAR_B]));
}

static inline linear_job linear_job_of(const bf_problem *p) {
    return (linear_job){.w = p->ptr[LINEAR_W], .x = p->ptr[LINEAR_X], .y = p->ptr[LINEAR_Y], .wide = p->scratch,
                        .b = p->type[LINEAR_B] == BF_NONE ? NULL : p->ptr[LINEAR_B], .m = p->dim[LINEAR_M],
                        .k = p->dim[LINEAR_K], .n = p->dim[LINEAR_N], .w_type = p->type[LINEAR_W],
                        .x_type = p->type[LINEAR_X], .b_type = p->type[LINEAR_B], .y_type = p->type[LINEAR_Y]};
}

/* Rounds once to the type of y. */
static inline void linear_store(void *y, bf_dtype type, int64_t i, float v) {
    if (type == BF_F32) ((float *)y)[i] = v;
    else ((uint16_t *)y)[i] = (uint16_t)(type == BF_F16 ? bf_f32_bits_to_f16(bf_bits(v)) : bf_f32_bits_to_bf16(bf_bits(v)));
}
/* Output of column c, row r: the bias last, in fp32. */
static inline void linear_finish(const linear_job *j, int64_t c, int64_t r, float sum) {
    linear_store(j->y, j->y_type, c * j->m + r, j->b ? sum + bf_load_float(j->b, j->b_type, r) : sum);
}

#endif
