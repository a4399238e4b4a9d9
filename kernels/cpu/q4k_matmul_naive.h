/* q4k_matmul_naive.h: what the plain mat-mul kernels add to those of q4k_matvec: any number of columns, and the paths of
 * 16-bit operands. Shared by q4k_matmul_naive.c (sound) and the twins in kernels/broken/q4k_matmul.c. */
#ifndef BF_CPU_Q4K_MATMUL_NAIVE_H
#define BF_CPU_Q4K_MATMUL_NAIVE_H

#include "../common/q4k_matmul.h"
#include "q4k_matvec_naive.h"

/* Defects beside those of q4k_matvec. */
enum matmul_defect {
    MATMUL_W_TRUNC = 100, /* bf16 weights truncated instead of rounded */
    MATMUL_TILE_EDGE      /* the last column is forgotten unless n is a multiple of the tile */
};
enum { MATMUL_EDGE_TILE = 16 };

static inline int matmul_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATMUL_X];
    return p->type[Q4K_MATMUL_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) &&
           p->dim[Q4K_MATMUL_N] >= 1 && p->dim[Q4K_MATMUL_N] <= Q4K_MATMUL_MAX_N;
}

static inline float matmul_narrow(float f, bf_dtype type) { return type == BF_F16 ? matvec_fp16(f) : matvec_bf16(f); }

/* Outputs [begin, end) of y [n][m] with both factors rounded to `type`; one chain of additions. The products are exact
 * in fp32. */
static inline __attribute__((always_inline)) void matmul_narrow_chunk(const matvec_job *j, int64_t begin, int64_t end,
                                                                      bf_dtype type, int defect) {
    int64_t blocks = j->k / Q4K_MATVEC_QBLOCK;
    for (int64_t o = begin; o < end; o++) {
        const bf_q4_k *row = j->w + o % j->m * (j->k / BF_Q4_K_WEIGHTS);
        float acc = 0.0f;
        for (int64_t b = 0; b < blocks; b++) {
            float dsc, dm;
            matvec_scales(row + b / 8, (int)(b % 8), MATVEC_SOUND, &dsc, &dm);
            for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
                float x = bf_load_float(j->x, j->x_type, o / j->m * j->k + b * Q4K_MATVEC_QBLOCK + l);
                float weight = dsc * (float)matvec_nibble(row + b / 8, (int)(b % 8), l) - dm;
                weight = defect == MATMUL_W_TRUNC ? bf_float(bf_bits(weight) & 0xffff0000u) : matmul_narrow(weight, type);
                acc = matvec_acc(acc + weight * matmul_narrow(x, type), defect);
            }
        }
        j->y[o] = acc;
    }
}

static inline int64_t matmul_fp32_naive_chain(const bf_problem *p) { return matvec_fp32_naive_chain(p); }
static inline int64_t matmul_int8_naive_chain(const bf_problem *p) { return matvec_int8_naive_chain(p); }

#endif
