/* attention_gpu_naive.h: the plain GPU kernel, a warp a row: first the maximum, then the sums. The twins (kernels/broken)
 * differ from it by DEFECT alone. */
#ifndef BF_ATTENTION_GPU_NAIVE_H
#define BF_ATTENTION_GPU_NAIVE_H

#include "attention_gpu.h"

enum attention_defect {
    ATTENTION_SOUND,
    ATTENTION_SCORES_FP16, /* scores held in fp16 */
    ATTENTION_P_FP16,      /* probabilities rounded before P.V */
    ATTENTION_P_BF16,
    ATTENTION_V_ACC_FP16,  /* P.V accumulated in fp16 */
    ATTENTION_K_FP16,      /* K rounded to fp16 */
    ATTENTION_V_BF16,
    ATTENTION_NO_MAX,      /* the maximum is not subtracted */
    ATTENTION_DROP_KEY,    /* the last key of the range is skipped */
    ATTENTION_CAUSAL_OFF_BY_ONE,
    ATTENTION_MASK_LEAK,   /* an excluded key has weight 0, and 0 * NaN is added */
    ATTENTION_SINK_DROPPED,
    ATTENTION_LSE_WRONG,   /* without the maximum */
    ATTENTION_SCALE_102,
    ATTENTION_K_BF16,
    ATTENTION_K_TF32,
    ATTENTION_V_FP16,
    ATTENTION_V_TF32,
    ATTENTION_P_TF32,
    ATTENTION_V_ACC_BF16
};
constexpr int ATTENTION_NAIVE_WARPS = 4, ATTENTION_NAIVE_SLICE = ATTENTION_MAX_D / 32;

BF_FN float attention_via_fp16(float f) { return bf_f16_to_f32(bf_f32_to_f16(f)); }
BF_FN float attention_via_bf16(float f) { return bf_bits_f(bf_bf16_to_f32_bits(bf_f32_bits_to_bf16(bf_f_bits(f)))); }

struct attention_place { /* of one row */
    int head, i, first, end;
    int64_t q, kv; /* first elements of its q, and of K and V of its kv head */
};
template <int DEFECT> BF_FN attention_place attention_place_of(const attention_args &a, int row) {
    attention_place w;
    w.head = row / a.queries, w.i = row % a.queries;
    w.first = attention_first(a, w.i), w.end = attention_end(a, w.i);
    if (DEFECT == ATTENTION_CAUSAL_OFF_BY_ONE && w.end < a.keys) w.end++;
    if (DEFECT == ATTENTION_DROP_KEY && w.end > w.first) w.end--;
    w.q = (int64_t)row * a.d, w.kv = (int64_t)(w.head / a.group) * a.keys * a.d;
    return w;
}

/* The score of key j; ATTENTION_NONE beyond the range and for an excluded one. */
template <int DEFECT> BF_FN float attention_naive_score(const attention_args &a, const attention_place &w, int j) {
    float dot = 0.0f, mask;
    if (j >= w.end) return ATTENTION_NONE;
    for (int d = 0; d < a.d; d++) {
        float k = attention_read(a.k, a.kv_type, w.kv + (int64_t)j * a.d + d);
        if (DEFECT == ATTENTION_K_FP16) k = attention_via_fp16(k);
        if (DEFECT == ATTENTION_K_BF16) k = attention_via_bf16(k);
        if (DEFECT == ATTENTION_K_TF32) k = bf_to_tf32(k);
        dot = bf_fma(attention_read(a.q, a.q_type, w.q + d), k, dot);
    }
    mask = attention_mask(a, w.i, j);
    float t = attention_score(a, dot, mask);
    return DEFECT == ATTENTION_SCORES_FP16 ? attention_via_fp16(t) : t;
}

/* acc += p v for the columns of this lane; every lane has the p of key j0 + lane, negative: excluded. */
template <int DEFECT>
BF_FN void attention_naive_add(const attention_args &a, const attention_place &w, int j0, float p, float *acc) {
    int lane = bf_lane();
    for (int n = 0; n < 32 && j0 + n < w.end; n++) {
        float pn = bf_shfl_f(p, n);
        if (DEFECT == ATTENTION_MASK_LEAK) pn = bf_max(pn, 0.0f);
        if (DEFECT == ATTENTION_P_FP16) pn = attention_via_fp16(pn);
        if (DEFECT == ATTENTION_P_BF16) pn = attention_via_bf16(pn);
        if (DEFECT == ATTENTION_P_TF32) pn = bf_to_tf32(pn);
        if (pn < 0.0f) continue;
        for (int s = 0; s < ATTENTION_NAIVE_SLICE && lane + 32 * s < a.d; s++) {
            float v = attention_read(a.v, a.kv_type, w.kv + (int64_t)(j0 + n) * a.d + lane + 32 * s);
            if (DEFECT == ATTENTION_V_BF16) v = attention_via_bf16(v);
            if (DEFECT == ATTENTION_V_FP16) v = attention_via_fp16(v);
            if (DEFECT == ATTENTION_V_TF32) v = bf_to_tf32(v);
            acc[s] = bf_fma(pn, v, acc[s]);
            if (DEFECT == ATTENTION_V_ACC_FP16) acc[s] = attention_via_fp16(acc[s]);
            if (DEFECT == ATTENTION_V_ACC_BF16) acc[s] = attention_via_bf16(acc[s]);
        }
    }
}

template <int DEFECT> BF_FN void attention_naive_body(const attention_args &a) {
    int row = bf_bid_x() * ATTENTION_NAIVE_WARPS + bf_tid_x() / 32, lane = bf_lane();
    if (row >= a.heads * a.queries) return;
    attention_place w = attention_place_of<DEFECT>(a, row);
    float sink = a.sink && DEFECT != ATTENTION_SINK_DROPPED ? a.sink[w.head] : ATTENTION_NONE, max = sink;
    for (int j0 = w.first; j0 < w.end; j0 += 32) max = bf_max(max, attention_naive_score<DEFECT>(a, w, j0 + lane));
    max = attention_warp_max(max);
    float base = DEFECT == ATTENTION_NO_MAX ? 0.0f : attention_base(max), sum = 0.0f;
    float acc[ATTENTION_NAIVE_SLICE];
    for (int s = 0; s < ATTENTION_NAIVE_SLICE; s++) acc[s] = 0.0f;
    for (int j0 = w.first; j0 < w.end; j0 += 32) {
        float t = attention_naive_score<DEFECT>(a, w, j0 + lane), p = bf_exp(t - base);
        if (t != ATTENTION_NONE) sum += p;
        attention_naive_add<DEFECT>(a, w, j0, t == ATTENTION_NONE ? -1.0f : p, acc);
    }
    sum = bf_warp_sum_f(sum) + (sink == ATTENTION_NONE ? 0.0f : bf_exp(sink - base));
    float inverse = attention_inverse(sum) * (DEFECT == ATTENTION_SCALE_102 ? 1.02f : 1.0f);
    for (int s = 0; s < ATTENTION_NAIVE_SLICE && lane + 32 * s < a.d; s++) a.o[w.q + lane + 32 * s] = acc[s] * inverse;
    if (lane == 0) a.lse[row] = attention_lse(DEFECT == ATTENTION_LSE_WRONG ? 0.0f : base, sum);
}

#if BF_HOST
/* One addition a key behind o; the sum of the weights has fewer. */
static inline int64_t attention_naive_chain(const bf_problem *p) { return p->dim[ATTENTION_KEYS]; }
static inline int attention_naive_plan(const bf_problem *p, bf_step *s, bf_step_fn<attention_args> fn) {
    attention_args a = attention_arguments(p);
    int64_t rows = (int64_t)a.heads * a.queries;
    bf_step_set(&s[0], fn, (rows + ATTENTION_NAIVE_WARPS - 1) / ATTENTION_NAIVE_WARPS, 1, 32 * ATTENTION_NAIVE_WARPS, 1, 0, a);
    return 1;
}
#endif
#endif
