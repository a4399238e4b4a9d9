/* q4k_matmul_plain.h: what the plain mat-mul kernels add to those of q4k_matvec (q4k_matvec_plain.h): any number of columns,
 * and the paths of 16-bit operands. Shared by q4k_matmul.hip (sound) and the twins in kernels/broken/q4k_matmul.hip. */
#ifndef BF_HIP_Q4K_MATMUL_PLAIN_H
#define BF_HIP_Q4K_MATMUL_PLAIN_H

#include "q4k_matvec_plain.h"

#include "../common/q4k_matmul.h"

enum { MATMUL_W_TRUNC = 100 /* defect: bf16 weights truncated instead of rounded */ };

template <int TYPE> BF_FN float matmul_narrow(float f) { return TYPE == BF_F16 ? matvec_via_fp16(f) : matvec_via_bf16(f); }

/* A thread an output; both factors rounded to TYPE, their product exact in fp32, one chain. */
template <int TYPE, int DEFECT> BF_FN void matmul_narrow_body(const matvec_args &a) {
    int64_t out = (int64_t)bf_bid_x() * MATVEC_NAIVE_THREADS + bf_tid_x();
    if (out >= (int64_t)a.m * a.n) return;
    int64_t column = out / a.m, row = out % a.m;
    float sum = 0.0f;
    for (int b = 0; b < a.k / 32; b++) {
        matvec_sub w = matvec_sub_of<MATVEC_SOUND>(a.w + row * (a.k / BF_Q4_K_WEIGHTS), b);
        for (int l = 0; l < 32; l++) {
            float x = matmul_narrow<TYPE>(matvec_read_x(a.x, a.x_type, column * a.k + 32 * b + l));
            float weight = w.scale * (float)matvec_nibble(w, l) - w.least;
            if (DEFECT == MATMUL_W_TRUNC)
                weight = bf_bits_f(bf_f_bits(weight) & 0xffff0000u);
            else
                weight = matmul_narrow<TYPE>(weight);
            sum = matvec_defective_sum<DEFECT>(bf_fma(weight, x, sum));
        }
    }
    a.y[out] = sum;
}

#if BF_HOST
static inline int matmul_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATMUL_X];
    int64_t m = p->dim[Q4K_MATMUL_M], k = p->dim[Q4K_MATMUL_K], n = p->dim[Q4K_MATMUL_N];
    /* A launch has at most 2^32 - 1 threads, and the plain kernels one for each output. */
    return p->type[Q4K_MATMUL_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) && n >= 1 &&
           n <= Q4K_MATMUL_MAX_N && m >= 1 && m <= 1 << 26 && k >= 256 && k <= 1 << 24 && m * n < INT64_C(0xfffff000);
}
#endif
#endif
