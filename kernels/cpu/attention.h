/* attention.h: what the CPU kernels of attention share: the job handed to the worker threads (contract: common/attention.h). */
#ifndef BF_CPU_ATTENTION_H
#define BF_CPU_ATTENTION_H

#include <math.h>

#include "../common/attention.h"
#include "fp16.h"
#include "pool.h"

enum { ATTENTION_MAX_D = 256 };

typedef struct attention_job {
    const void *q, *k, *v, *mask;
    const float *sink;
    float *o, *lse;
    char *scratch;
    int64_t heads, kv_heads, group, queries, keys, d, window; /* group: query heads of one kv head */
    bf_dtype q_type, kv_type, mask_type;
    int causal;
    float scale, cap;
    int64_t splits, per_split; /* decode: parts of the key range, keys a part */
} attention_job;

static inline int attention_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }
static inline int attention_accepts(const bf_problem *p) {
    bf_dtype mask = p->type[ATTENTION_MASK];
    int64_t heads = p->dim[ATTENTION_HEADS], kv = p->dim[ATTENTION_KV_HEADS], d = p->dim[ATTENTION_D];
    return attention_float(p->type[ATTENTION_Q]) && attention_float(p->type[ATTENTION_K]) &&
           (mask == BF_NONE || mask == BF_F32 || mask == BF_F16) && kv >= 1 && heads >= kv && heads % kv == 0 && d >= 16 &&
           d <= ATTENTION_MAX_D && d % 16 == 0 && p->dim[ATTENTION_QUERIES] >= 1 && p->dim[ATTENTION_KEYS] >= 1;
}

static inline attention_job attention_job_of(const bf_problem *p) {
    double scale = p->param[ATTENTION_SCALE];
    attention_job j = {.q = p->ptr[ATTENTION_Q], .k = p->ptr[ATTENTION_K], .v = p->ptr[ATTENTION_V],
                       .mask = p->ptr[ATTENTION_MASK], .o = p->ptr[ATTENTION_O], .lse = p->ptr[ATTENTION_LSE],
                       .scratch = p->scratch, .heads = p->dim[ATTENTION_HEADS], .kv_heads = p->dim[ATTENTION_KV_HEADS],
                       .queries = p->dim[ATTENTION_QUERIES], .keys = p->dim[ATTENTION_KEYS], .d = p->dim[ATTENTION_D],
                       .window = p->dim[ATTENTION_WINDOW], .q_type = p->type[ATTENTION_Q], .kv_type = p->type[ATTENTION_K],
                       .mask_type = p->type[ATTENTION_MASK], .causal = p->param[ATTENTION_CAUSAL] != 0,
                       .cap = (float)p->param[ATTENTION_CAP]};
    j.group = j.heads / j.kv_heads;
    j.scale = scale == 0 ? (float)(1 / sqrt((double)j.d)) : (float)scale;
    if (p->type[ATTENTION_SINK] != BF_NONE) j.sink = p->ptr[ATTENTION_SINK];
    return j;
}

/* Keys [first, end) are left by causal and window for query i. */
static inline int64_t attention_first(const attention_job *j, int64_t i) {
    int64_t first = i + j->keys - j->queries - j->window + 1;
    return j->window > 0 && first > 0 ? first : 0;
}
static inline int64_t attention_end(const attention_job *j, int64_t i) {
    int64_t end = i + j->keys - j->queries + 1;
    return !j->causal || end > j->keys ? j->keys : end < 0 ? 0 : end;
}
/* 0 without a mask; at or below ATTENTION_EXCLUDES the key takes no part. */
static inline float attention_mask(const attention_job *j, int64_t i, int64_t key) {
    return j->mask_type == BF_NONE ? 0.0f : bf_load_float(j->mask, j->mask_type, i * j->keys + key);
}
static inline float attention_sink(const attention_job *j, int64_t head) { return j->sink ? j->sink[head] : -INFINITY; }
static inline float attention_lse(float max, float sum) { return sum == 0.0f ? -INFINITY : max + logf(sum); }

/* ---- decode: one query, the key range in parts ---- */

enum { ATTENTION_PART = 512 /* keys at least, a multiple of 64 */, ATTENTION_MOST_PARTS = 256 };

static inline void attention_split(attention_job *j) {
    int64_t range = attention_end(j, 0) - attention_first(j, 0), least = (range + ATTENTION_MOST_PARTS - 1) / ATTENTION_MOST_PARTS;
    j->per_split = least <= ATTENTION_PART ? ATTENTION_PART : (least + 63) / 64 * 64;
    j->splits = (range + j->per_split - 1) / j->per_split;
}
static inline int attention_decode_accepts(const bf_problem *p) { return attention_accepts(p) && p->dim[ATTENTION_QUERIES] == 1; }
static inline uint64_t attention_decode_scratch(const bf_problem *p) {
    attention_job j = attention_job_of(p);
    attention_split(&j);
    return (uint64_t)(j.heads * j.splits * (j.d + 2)) * sizeof(float);
}
/* One addition a key of a part, then the parts and the sink. */
static inline int64_t attention_decode_chain(const bf_problem *p) {
    attention_job j = attention_job_of(p);
    attention_split(&j);
    return (j.per_split < j.keys ? j.per_split : j.keys) + j.splits + 1;
}
/* One addition a key, and the sink. */
static inline int64_t attention_prefill_chain(const bf_problem *p) { return p->dim[ATTENTION_KEYS] + 1; }

#endif
