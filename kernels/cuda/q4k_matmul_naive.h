/* q4k_matmul_naive.h: what the plain mat-mul kernels add to those of q4k_matvec (q4k_matvec_naive.h): any number of columns,
 * and the paths of 16-bit operands. Shared by q4k_matmul.cu (sound) and the twins in kernels/broken/q4k_matmul.cu. */
#ifndef BF_CUDA_Q4K_MATMUL_NAIVE_H
#define BF_CUDA_Q4K_MATMUL_NAIVE_H

#include "launch.h"
#include "q4k_matvec_naive.h"

#include "../common/q4k_matmul.h"

enum { MATMUL_W_TRUNC = 100 /* defect: bf16 weights truncated instead of rounded */ };

template <int TYPE> BF_FN float matmul_narrow(float f) { return TYPE == BF_F16 ? matvec_fp16(f) : matvec_bf16(f); }

/* A thread an output; both factors rounded to TYPE, their product exact in fp32, one chain. */
template <int TYPE, int DEFECT> BF_FN void matmul_narrow_body(const matvec_args &a) {
    int64_t o = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x();
    if (o >= (int64_t)a.m * a.n) return;
    int64_t r = o % a.m, c = o / a.m;
    float acc = 0.0f;
    for (int b = 0; b < a.k / Q4K_MATVEC_QBLOCK; b++) {
        const bf_q4_k *w = a.w + r * (a.k / BF_Q4_K_WEIGHTS) + b / 8;
        float dsc, dm;
        matvec_scales<MATVEC_SOUND>(w, b % 8, &dsc, &dm);
        for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
            float x = matmul_narrow<TYPE>(matvec_load_x(a.x, a.x_type, c * a.k + b * Q4K_MATVEC_QBLOCK + l));
            float weight = bf_fma(dsc, (float)matvec_nibble(w, b % 8, l), -dm);
            if (DEFECT == MATMUL_W_TRUNC)
                weight = bf_bits_f(bf_f_bits(weight) & 0xffff0000u);
            else
                weight = matmul_narrow<TYPE>(weight);
            acc = matvec_acc<DEFECT>(bf_fma(weight, x, acc));
        }
    }
    a.y[o] = acc;
}

#if BF_HOST
enum { MATMUL_NAIVE_THREADS = 128 };

static inline int matmul_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATMUL_X];
    return p->type[Q4K_MATMUL_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) &&
           p->dim[Q4K_MATMUL_N] >= 1 && p->dim[Q4K_MATMUL_N] <= Q4K_MATMUL_MAX_N && p->dim[Q4K_MATMUL_M] < 1 << 30 &&
           p->dim[Q4K_MATMUL_K] < 1 << 30;
}
static inline int matmul_plan_naive(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> product) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], product, launch_blocks((int64_t)a.m * a.n, MATMUL_NAIVE_THREADS), 1, MATMUL_NAIVE_THREADS, 1, 0, a);
    return 1;
}
static inline int matmul_plan_naive_int8(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> quantise,
                                         bf_step_fn<matvec_args> product) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], quantise, launch_blocks((int64_t)a.n * a.k / 32, MATMUL_NAIVE_THREADS), 1, MATMUL_NAIVE_THREADS, 1,
                0, a);
    return 1 + matmul_plan_naive(p, &s[1], product);
}
#endif
#endif
