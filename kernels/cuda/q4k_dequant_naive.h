/* q4k_dequant_naive.h: the plain dequantisation kernel. Shared by q4k_dequant.cu (sound) and by the twins in
 * kernels/broken/q4k_dequant.cu, which differ in the one template parameter. */
#ifndef BF_CUDA_Q4K_DEQUANT_NAIVE_H
#define BF_CUDA_Q4K_DEQUANT_NAIVE_H

#include "../common/device.h"

#include "../common/bf16.h"
#include "../common/kernel.h"
#include "../common/q4_k.h"
#include "../common/q4k_dequant.h"

enum dequant_defect { DEQUANT_SOUND, DEQUANT_DSC_FP16, DEQUANT_SWAP_NIBBLES, DEQUANT_TRUNC_BF16, DEQUANT_DROP_MIN };

struct dequant_args {
    const bf_q4_k *w;
    void *y;
    int64_t n; /* weights, a multiple of 256: the rows are contiguous, so their length does not matter */
    int32_t to;
};

/* The fp32 result in the target type; truncating is the defect "trunc-bf16". */
template <int DEFECT> BF_FN uint32_t dequant_narrow(float f, int to) {
    uint32_t u = bf_f_bits(f);
    if (to == BF_F32) return u;
    if (DEFECT == DEQUANT_TRUNC_BF16) {
        if (to == BF_BF16) return u >> 16;
        uint32_t h = bf_f32_to_f16(f);
        bool away = (bf_f_bits(bf_f16_to_f32(h)) & 0x7fffffffu) > (u & 0x7fffffffu);
        return away ? h - 1 : h;
    }
    return to == BF_F16 ? bf_f32_to_f16(f) : bf_f32_bits_to_bf16(u);
}

/* A thread a weight, grid-stride. */
template <int DEFECT> BF_FN void dequant_body(const dequant_args &a) {
    int64_t stride = (int64_t)bf_gdim_x() * bf_bdim_x();
    for (int64_t i = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x(); i < a.n; i += stride) {
        const bf_q4_k *b = a.w + i / BF_Q4_K_WEIGHTS;
        int s = (int)(i % BF_Q4_K_WEIGHTS) / 32, l = (int)(i % 32), high = s & 1;
        if (DEFECT == DEQUANT_SWAP_NIBBLES) high = !high;
        int q = b->qs[32 * (s / 2) + l] >> 4 * high & 15;
        float dsc = bf_f16_to_f32(b->d) * (float)bf_q4_k_scale(b->scales, s);
        float dm = bf_f16_to_f32(b->dmin) * (float)bf_q4_k_min(b->scales, s);
        if (DEFECT == DEQUANT_DSC_FP16) dsc = bf_f16_to_f32(bf_f32_to_f16(dsc));
        if (DEFECT == DEQUANT_DROP_MIN) dm = 0.0f;
        uint32_t bits = dequant_narrow<DEFECT>(bf_fma(dsc, (float)q, -dm), a.to);
        if (a.to == BF_F32)
            ((uint32_t *)a.y)[i] = bits;
        else
            ((uint16_t *)a.y)[i] = (uint16_t)bits;
    }
}

#if BF_HOST
static inline int dequant_accepts(const bf_problem *p) {
    bf_dtype y = p->type[Q4K_DEQUANT_Y];
    return p->type[Q4K_DEQUANT_W] == BF_Q4_K && (y == BF_F32 || y == BF_F16 || y == BF_BF16);
}
static inline dequant_args dequant_make_args(const bf_problem *p) {
    dequant_args a = {};
    a.w = (const bf_q4_k *)p->ptr[Q4K_DEQUANT_W];
    a.y = p->ptr[Q4K_DEQUANT_Y];
    a.n = p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K];
    a.to = p->type[Q4K_DEQUANT_Y];
    return a;
}
#endif
#endif
