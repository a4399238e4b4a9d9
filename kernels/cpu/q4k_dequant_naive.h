/* q4k_dequant_naive.h: the plain dequantisation kernel. Shared by q4k_dequant_naive.c (sound) and by the twins in
 * kernels/broken/q4k_dequant.c, which differ in the one constant `defect`. */
#ifndef BF_CPU_Q4K_DEQUANT_NAIVE_H
#define BF_CPU_Q4K_DEQUANT_NAIVE_H

#include "../common/q4_k.h"
#include "../common/q4k_dequant.h"
#include "cache.h"
#include "fp16.h"
#include "pool.h"

enum dequant_defect { DEQUANT_SOUND, DEQUANT_DSC_FP16, DEQUANT_SWAP_NIBBLES, DEQUANT_TRUNC_BF16, DEQUANT_DROP_MIN };

typedef struct dequant_job {
    const bf_q4_k *w;
    void *y;
    bf_dtype to;
    int nontemporal; /* tuned kernels: the result is too large for the caches */
} dequant_job;

/* The fp32 result in a 16-bit type; truncating is the defect "trunc-bf16". */
static inline uint32_t dequant_narrow(uint32_t u, bf_dtype to, int defect) {
    if (defect == DEQUANT_TRUNC_BF16) {
        if (to == BF_BF16) return u >> 16;
        uint32_t h = bf_f32_bits_to_f16(u);
        return (bf_f16_to_f32_bits(h) & 0x7fffffffu) > (u & 0x7fffffffu) ? h - 1 : h;
    }
    return to == BF_F16 ? bf_f32_bits_to_f16(u) : bf_f32_bits_to_bf16(u);
}

/* Super-blocks [begin, end): the rows are contiguous, so their length does not matter. */
static inline __attribute__((always_inline)) void dequant_chunk(const dequant_job *j, int64_t begin, int64_t end, int defect) {
    for (int64_t i = begin * BF_Q4_K_WEIGHTS; i < end * BF_Q4_K_WEIGHTS; i++) {
        const bf_q4_k *b = j->w + i / BF_Q4_K_WEIGHTS;
        int s = (int)(i % BF_Q4_K_WEIGHTS) / BF_Q4_K_SUB, l = (int)(i % BF_Q4_K_SUB), high = s & 1;
        if (defect == DEQUANT_SWAP_NIBBLES) high = !high;
        int q = b->qs[32 * (s / 2) + l] >> 4 * high & 15;
        float dsc = bf_f16_value(b->d) * (float)bf_q4_k_scale(b->scales, s);
        float dm = bf_f16_value(b->dmin) * (float)bf_q4_k_min(b->scales, s);
        if (defect == DEQUANT_DSC_FP16) dsc = bf_f16_value(bf_f32_bits_to_f16(bf_bits(dsc)));
        if (defect == DEQUANT_DROP_MIN) dm = 0.0f;
        float f = dsc * (float)q - dm;
        if (j->to == BF_F32) ((float *)j->y)[i] = f;
        else ((uint16_t *)j->y)[i] = (uint16_t)dequant_narrow(bf_bits(f), j->to, defect);
    }
}

static inline int dequant_accepts(const bf_problem *p) {
    bf_dtype y = p->type[Q4K_DEQUANT_Y];
    return p->type[Q4K_DEQUANT_W] == BF_Q4_K && (y == BF_F32 || y == BF_F16 || y == BF_BF16);
}

static inline void dequant_run(const bf_problem *p, bf_pool *pool, void (*chunk)(void *, int64_t, int64_t, int), int64_t grain) {
    int64_t n = p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K];
    dequant_job j = {p->ptr[Q4K_DEQUANT_W], p->ptr[Q4K_DEQUANT_Y], p->type[Q4K_DEQUANT_Y], 0};
    j.nontemporal = n * (j.to == BF_F32 ? 4 : 2) > bf_cache_bytes();
    bf_pool_run(pool, chunk, &j, n / BF_Q4_K_WEIGHTS, grain);
}

#endif
