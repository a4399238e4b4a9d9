/* attention_naive.h: the plain attention kernel: a row after another, first the maximum, then the sums. Shared by
 * attention_naive.c (sound) and by the twins in kernels/broken/attention.c, which differ in the one constant `defect`. */
#ifndef BF_CPU_ATTENTION_NAIVE_H
#define BF_CPU_ATTENTION_NAIVE_H

#include "attention.h"

enum attention_defect {
    ATTENTION_SOUND,
    ATTENTION_SCORES_FP16,
    ATTENTION_P_FP16,
    ATTENTION_P_BF16,
    ATTENTION_V_ACC_FP16,
    ATTENTION_K_FP16,
    ATTENTION_V_BF16,
    ATTENTION_NO_MAX,
    ATTENTION_DROP_KEY,
    ATTENTION_CAUSAL_OFF_BY_ONE,
    ATTENTION_MASK_LEAK,
    ATTENTION_SINK_DROPPED,
    ATTENTION_LSE_WRONG,
    ATTENTION_SCALE_102,
    ATTENTION_K_BF16,
    ATTENTION_K_TF32,
    ATTENTION_V_FP16,
    ATTENTION_V_TF32,
    ATTENTION_P_TF32,
    ATTENTION_V_ACC_BF16
};

static inline float attention_fp16(float f) { return bf_f16_value(bf_f32_bits_to_f16(bf_bits(f))); }
static inline float attention_bf16(float f) { return bf_bf16_value(bf_f32_bits_to_bf16(bf_bits(f))); }

/* The score of query row `row` (of query i) and key k of kv head g; -inf: excluded. */
static inline float attention_score(const attention_job *j, int64_t row, int64_t i, int64_t g, int64_t k, int defect) {
    float dot = 0.0f, mask = attention_mask(j, i, k);
    for (int64_t d = 0; d < j->d; d++) {
        float key = bf_load_float(j->k, j->kv_type, (g * j->keys + k) * j->d + d);
        if (defect == ATTENTION_K_FP16) key = attention_fp16(key);
        if (defect == ATTENTION_K_BF16) key = attention_bf16(key);
        if (defect == ATTENTION_K_TF32) key = bf_tf32(key);
        dot += bf_load_float(j->q, j->q_type, row * j->d + d) * key;
    }
    if (mask <= ATTENTION_EXCLUDES) return -INFINITY;
    float t = dot * j->scale;
    if (j->cap > 0) t = j->cap * tanhf(t / j->cap);
    t += mask;
    return defect == ATTENTION_SCORES_FP16 ? attention_fp16(t) : t;
}

static inline void attention_add(const attention_job *j, int64_t g, int64_t k, float p, float *acc, int defect) {
    if (defect == ATTENTION_P_FP16) p = attention_fp16(p);
    if (defect == ATTENTION_P_BF16) p = attention_bf16(p);
    if (defect == ATTENTION_P_TF32) p = bf_tf32(p);
    for (int64_t d = 0; d < j->d; d++) {
        float v = bf_load_float(j->v, j->kv_type, (g * j->keys + k) * j->d + d);
        if (defect == ATTENTION_V_BF16) v = attention_bf16(v);
        if (defect == ATTENTION_V_FP16) v = attention_fp16(v);
        if (defect == ATTENTION_V_TF32) v = bf_tf32(v);
        acc[d] += p * v;
        if (defect == ATTENTION_V_ACC_FP16) acc[d] = attention_fp16(acc[d]);
        if (defect == ATTENTION_V_ACC_BF16) acc[d] = attention_bf16(acc[d]);
    }
}

/* Rows [begin, end) of q [heads][queries]. */
static inline __attribute__((always_inline)) void attention_naive_rows(const attention_job *j, int64_t begin, int64_t end,
                                                                       int defect) {
    for (int64_t row = begin; row < end; row++) {
        int64_t head = row / j->queries, i = row % j->queries, g = head / j->group;
        int64_t from = attention_first(j, i), to = attention_end(j, i);
        if (defect == ATTENTION_CAUSAL_OFF_BY_ONE && to < j->keys) to++;
        if (defect == ATTENTION_DROP_KEY && to > from) to--;
        float sink = defect == ATTENTION_SINK_DROPPED ? -INFINITY : attention_sink(j, head), max = sink;
        float acc[ATTENTION_MAX_D] = {0}, sum = 0.0f;
        for (int64_t k = from; k < to; k++) max = fmaxf(max, attention_score(j, row, i, g, k, defect));
        float base = max == -INFINITY || defect == ATTENTION_NO_MAX ? 0.0f : max;
        for (int64_t k = from; k < to; k++) {
            float t = attention_score(j, row, i, g, k, defect);
            if (t == -INFINITY && defect != ATTENTION_MASK_LEAK) continue;
            float p = expf(t - base);
            sum += p;
            attention_add(j, g, k, p, acc, defect);
        }
        sum += sink == -INFINITY ? 0.0f : expf(sink - base);
        float scale = defect == ATTENTION_SCALE_102 ? 1.02f : 1.0f;
        for (int64_t d = 0; d < j->d; d++) j->o[row * j->d + d] = sum == 0.0f ? 0.0f : acc[d] / sum * scale;
        j->lse[row] = attention_lse(defect == ATTENTION_LSE_WRONG ? 0.0f : base, sum);
    }
}

/* One addition a key. */
static inline int64_t attention_naive_chain(const bf_problem *p) { return p->dim[ATTENTION_KEYS]; }

#endif
