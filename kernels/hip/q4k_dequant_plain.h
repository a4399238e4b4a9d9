/* q4k_dequant_plain.h: the plain kernel of q4k_dequant.hip; its twins (kernels/broken/q4k_dequant.hip) differ by
 * DEFECT alone. */
#ifndef BF_HIP_Q4K_DEQUANT_PLAIN_H
#define BF_HIP_Q4K_DEQUANT_PLAIN_H

#include "../common/device.h"

#include "../common/bf16.h"
#include "../common/kernel.h"
#include "../common/q4_k.h"
#include "../common/q4k_dequant.h"
#include "launch.h"

enum dequant_defect { DEQUANT_SOUND, DEQUANT_DSC_FP16, DEQUANT_SWAP_NIBBLES, DEQUANT_TRUNC_BF16, DEQUANT_DROP_MIN };
constexpr int DEQUANT_NAIVE_THREADS = 256, DEQUANT_NAIVE_GROUPS = 2560;

struct dequant_args {
    const bf_q4_k *w;
    void *y;
    int64_t blocks; /* super-blocks in all: rows lie one behind the other, their length does not matter */
    int32_t to;
};

BF_FN uint32_t dequant_round(float f, int to) {
    return to == BF_F32 ? bf_f_bits(f) : to == BF_F16 ? bf_f32_to_f16(f) : bf_f32_bits_to_bf16(bf_f_bits(f));
}
/* Toward zero to either 16-bit type: the defect "trunc-bf16". */
BF_FN uint32_t dequant_truncate(float f, int to) {
    uint32_t r = dequant_round(f, to);
    if (to == BF_F32) return r;
    float back = to == BF_F16 ? bf_f16_to_f32(r) : bf_bits_f(bf_bf16_to_f32_bits(r));
    return (bf_f_bits(back) & 0x7fffffffu) > (bf_f_bits(f) & 0x7fffffffu) ? r - 1 : r;
}

template <int DEFECT> BF_FN float dequant_weight(const bf_q4_k *b, int i) {
    int s = i >> 5, high = (s & 1) ^ (DEFECT == DEQUANT_SWAP_NIBBLES);
    int q = b->qs[(s >> 1) * 32 + (i & 31)] >> (high ? 4 : 0) & 15;
    float scale = bf_f16_to_f32(b->d) * (float)bf_q4_k_scale(b->scales, s);
    float least = bf_f16_to_f32(b->dmin) * (float)bf_q4_k_min(b->scales, s);
    if (DEFECT == DEQUANT_DSC_FP16) scale = bf_f16_to_f32(bf_f32_to_f16(bf_apart(scale)));
    return DEFECT == DEQUANT_DROP_MIN ? scale * (float)q : scale * (float)q - least;
}

/* A thread a weight. */
template <int DEFECT> BF_FN void dequant_naive_body(const dequant_args &a) {
    int64_t step = (int64_t)bf_gdim_x() * DEQUANT_NAIVE_THREADS, n = a.blocks * BF_Q4_K_WEIGHTS;
    for (int64_t i = (int64_t)bf_bid_x() * DEQUANT_NAIVE_THREADS + bf_tid_x(); i < n; i += step) {
        float f = dequant_weight<DEFECT>(a.w + i / BF_Q4_K_WEIGHTS, (int)(i % BF_Q4_K_WEIGHTS));
        uint32_t r = DEFECT == DEQUANT_TRUNC_BF16 ? dequant_truncate(f, a.to) : dequant_round(f, a.to);
        if (a.to == BF_F32)
            ((uint32_t *)a.y)[i] = r;
        else
            ((uint16_t *)a.y)[i] = (uint16_t)r;
    }
}

#if BF_HOST
static inline int dequant_accepts(const bf_problem *p) {
    bf_dtype y = p->type[Q4K_DEQUANT_Y];
    return p->type[Q4K_DEQUANT_W] == BF_Q4_K && (y == BF_F32 || y == BF_F16 || y == BF_BF16);
}
static inline dequant_args dequant_arguments(const bf_problem *p) {
    return {(const bf_q4_k *)p->ptr[Q4K_DEQUANT_W], p->ptr[Q4K_DEQUANT_Y],
            p->dim[Q4K_DEQUANT_M] * (p->dim[Q4K_DEQUANT_K] / BF_Q4_K_WEIGHTS), p->type[Q4K_DEQUANT_Y]};
}
static inline int dequant_plain_step(const bf_problem *p, bf_step *s, bf_step_fn<dequant_args> fn) {
    dequant_args a = dequant_arguments(p);
    bf_step_set(&s[0], fn, launch_groups(a.blocks * BF_Q4_K_WEIGHTS, DEQUANT_NAIVE_THREADS, DEQUANT_NAIVE_GROUPS), 1,
                DEQUANT_NAIVE_THREADS, 1, 0, a);
    return 1;
}
#endif
#endif
