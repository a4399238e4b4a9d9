/* attention_gpu.h: what the GPU kernels of attention share (contract: attention.h): arguments, which keys take part, what
 * becomes of a dot product. In the dialect of device.h; one text for both GPUs. */
#ifndef BF_ATTENTION_GPU_H
#define BF_ATTENTION_GPU_H

#include "device.h"

#include "attention.h"
#include "bf16.h"
#include "device_math.h"
#include "kernel.h"

/* Before loops whose arrays must end up in registers, and before those that must stay loops. */
#if BF_HOST
#define ATTENTION_UNROLLED
#define ATTENTION_ROLLED
#else
#define ATTENTION_UNROLLED _Pragma("unroll")
#define ATTENTION_ROLLED _Pragma("unroll 1")
#endif

constexpr int ATTENTION_MAX_D = 256;

struct attention_args {
    const void *q, *k, *v, *mask;
    const float *sink;
    float *o, *lse, *scratch;
    int32_t heads, group, queries, keys, d, window; /* group: query heads of one kv head */
    int32_t causal, q_type, kv_type, mask_type, splits, per_split;
    float scale, cap, inverse_cap;
};

#define ATTENTION_NONE bf_bits_f(0xff800000u) /* -inf: the score of a key that does not take part */
#define ATTENTION_EXCLUDED_P 0x80000000u         /* and its weight: -0 */

BF_FN float attention_widen(uint32_t v, int type) {
    return type == BF_F32 ? bf_bits_f(v) : type == BF_F16 ? bf_f16_to_f32(v) : bf_bits_f(bf_bf16_to_f32_bits(v));
}
BF_FN float attention_read(const void *x, int type, int64_t i) {
    return type == BF_F32 ? attention_widen(bf_ld_u32((const char *)x + 4 * i), type)
                          : attention_widen(bf_ld_u16((const char *)x + 2 * i), type);
}

/* Keys [first, end) are left by causal and window for query i. */
BF_FN int attention_first(const attention_args &a, int i) {
    int first = i + a.keys - a.queries - a.window + 1;
    return a.window > 0 && first > 0 ? first : 0;
}
BF_FN int attention_end(const attention_args &a, int i) {
    int end = i + a.keys - a.queries + 1;
    return !a.causal || end > a.keys ? a.keys : end < 0 ? 0 : end;
}

/* 0 without a mask. */
BF_FN float attention_mask(const attention_args &a, int i, int j) {
    return a.mask_type == BF_NONE ? 0.0f : attention_read(a.mask, a.mask_type, (int64_t)i * a.keys + j);
}

/* Scale and soft cap, in the contract's order. */
BF_FN float attention_capped(const attention_args &a, float dot) {
    float t = dot * a.scale;
    return a.cap > 0.0f ? a.cap * bf_tanh(t * a.inverse_cap) : t;
}
/* The score with its mask; ATTENTION_NONE for an excluded key, whatever the dot product is. */
BF_FN float attention_score(const attention_args &a, float dot, float mask) {
    float t = attention_capped(a, dot) + mask;
    return mask <= ATTENTION_EXCLUDES ? ATTENTION_NONE : t;
}
/* What scores are measured from: the maximum, but for rows in which nothing takes part. */
BF_FN float attention_base(float max) { return max == ATTENTION_NONE ? 0.0f : max; }

BF_FN float attention_lse(float max, float sum) {
    if (sum == 0.0f) return ATTENTION_NONE;
    return sum == sum ? max + bf_log(sum) : sum;
}
/* A weighted mean of nothing is zero. */
BF_FN float attention_inverse(float sum) { return sum == 0.0f ? 0.0f : 1.0f / sum; }

BF_FN float attention_warp_max(float v) {
    for (int m = 16; m; m >>= 1) v = bf_max(v, bf_shfl_xor_f(v, m));
    return v;
}

#if BF_HOST
#include <math.h>

static inline int attention_accepts(const bf_problem *p) {
    bf_dtype q = p->type[ATTENTION_Q], k = p->type[ATTENTION_K], m = p->type[ATTENTION_MASK];
    int64_t heads = p->dim[ATTENTION_HEADS], kv = p->dim[ATTENTION_KV_HEADS], d = p->dim[ATTENTION_D];
    return (q == BF_F32 || q == BF_F16 || q == BF_BF16) && (k == BF_F32 || k == BF_F16 || k == BF_BF16) &&
           (m == BF_NONE || m == BF_F32 || m == BF_F16) && kv >= 1 && heads >= kv && heads % kv == 0 && d >= 16 &&
           d <= ATTENTION_MAX_D && d % 16 == 0 && p->dim[ATTENTION_QUERIES] >= 1 && p->dim[ATTENTION_KEYS] >= 1 &&
           p->dim[ATTENTION_QUERIES] < 1 << 30 && p->dim[ATTENTION_KEYS] < 1 << 30 &&
           heads * p->dim[ATTENTION_QUERIES] < INT64_C(1) << 31;
}
static inline attention_args attention_arguments(const bf_problem *p) {
    attention_args a = {};
    a.q = p->ptr[ATTENTION_Q], a.k = p->ptr[ATTENTION_K], a.v = p->ptr[ATTENTION_V], a.mask = p->ptr[ATTENTION_MASK];
    a.sink = (const float *)p->ptr[ATTENTION_SINK], a.o = (float *)p->ptr[ATTENTION_O];
    a.lse = (float *)p->ptr[ATTENTION_LSE], a.scratch = (float *)p->scratch;
    a.heads = (int32_t)p->dim[ATTENTION_HEADS], a.group = (int32_t)(p->dim[ATTENTION_HEADS] / p->dim[ATTENTION_KV_HEADS]);
    a.queries = (int32_t)p->dim[ATTENTION_QUERIES], a.keys = (int32_t)p->dim[ATTENTION_KEYS];
    a.d = (int32_t)p->dim[ATTENTION_D], a.window = (int32_t)p->dim[ATTENTION_WINDOW];
    a.causal = p->param[ATTENTION_CAUSAL] != 0, a.q_type = p->type[ATTENTION_Q], a.kv_type = p->type[ATTENTION_K];
    a.mask_type = p->type[ATTENTION_MASK];
    if (p->type[ATTENTION_SINK] == BF_NONE) a.sink = nullptr;
    double scale = p->param[ATTENTION_SCALE];
    a.scale = scale == 0 ? (float)(1 / sqrt((double)a.d)) : (float)scale;
    a.cap = (float)p->param[ATTENTION_CAP], a.inverse_cap = a.cap > 0 ? 1 / a.cap : 0;
    return a;
}
#endif
#endif
