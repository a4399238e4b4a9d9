/* attention_wmma.h: q . k by matrix instructions, for q and K of the same 16-bit type (the rest: attention_gpu_prefill.h).
 *
 * Wave w has rows 16 w to 16 w + 15 and all 64 keys of the tile: four fragments, whose elements are the 8 x 4 scores of a lane. K lies in
 * shared memory as stored, 32 elements of d at a time, rows of 80 bytes (free of bank conflicts for the 128-bit reads of 16 consecutive
 * rows); q is the A operand and comes straight from memory, 32 bytes of one row a lane, cached and no wave's but this one's. Beyond d both
 * are zero. */
#ifndef BF_HIP_ATTENTION_WMMA_H
#define BF_HIP_ATTENTION_WMMA_H

#include "../common/attention_gpu_prefill.h"

constexpr int WMMA_DEPTH = 32, WMMA_STRIDE = WMMA_DEPTH / 8 + 1, WMMA_BUFFER = PREFILL_KEYS * WMMA_STRIDE; /* in units of 16 bytes */
static_assert(2 * WMMA_BUFFER * 4 <= PREFILL_FIRST, "K must fit");

BF_FN bf_u32x4 wmma_eight(const char *p, bool in) {
    bf_u32x4 v = {0, 0, 0, 0};
    if (in) v = bf_ld_u32x4(p);
    return v;
}
BF_FN bf_u32x8 wmma_join(const bf_u32x4 &low, const bf_u32x4 &high) {
    return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

template <int TYPE, int DEFECT>
BF_FN void attention_wmma_scores(const attention_args &a, const prefill_block &b, int tile, float *shared, float s[8][4]) {
    int t = bf_tid_x(), lane = bf_lane(), eight = t % 4 * 8, at = t / 4; /* loads: keys at and at + 32 */
    int row = t / 32 * 16 + lane % 16, low = tile + at, high = low + 32, last = a.keys - 1;
    row = b.first + (row < b.rows ? row : b.rows - 1);
    const char *q = (const char *)a.q + ((int64_t)b.kv * a.group * a.queries + row) * a.d * 2;
    const char *k0 = (const char *)a.k + ((int64_t)b.kv * a.keys + (low < last ? low : last)) * a.d * 2 + eight * 2;
    const char *k1 = (const char *)a.k + ((int64_t)b.kv * a.keys + (high < last ? high : last)) * a.d * 2 + eight * 2;
    bf_u32x4 *to = (bf_u32x4 *)shared + at * WMMA_STRIDE + t % 4;
    const bf_u32x4 *from = (const bf_u32x4 *)shared + lane % 16 * WMMA_STRIDE;
    int other = WMMA_BUFFER;
    bf_f32x8 acc[4];
    ATTENTION_UNROLLED
    for (int i = 0; i < 32; i++) acc[i / 8].v[i % 8] = 0.0f;
    to[0] = wmma_eight(k0, true), to[32 * WMMA_STRIDE] = wmma_eight(k1, true);
    bf_sync();
    ATTENTION_ROLLED
    for (int d = 0; d < (DEFECT == ATTENTION_DROP_KEY ? a.d - WMMA_DEPTH : a.d); d += WMMA_DEPTH) {
        bool in = d + WMMA_DEPTH + eight < a.d;
        bf_u32x4 n0 = wmma_eight(k0 + (d + WMMA_DEPTH) * 2, in), n1 = wmma_eight(k1 + (d + WMMA_DEPTH) * 2, in);
        ATTENTION_UNROLLED
        for (int half = 0; half < 2; half++) {
            bool more = d + 16 * half < a.d;
            bf_u32x8 x = wmma_join(wmma_eight(q + (d + 16 * half) * 2, more), wmma_eight(q + (d + 16 * half) * 2 + 16, more));
            ATTENTION_UNROLLED
            for (int f = 0; f < 4; f++) {
                bf_u32x8 y = wmma_join(from[f * 16 * WMMA_STRIDE + 2 * half], from[f * 16 * WMMA_STRIDE + 2 * half + 1]);
                acc[f] = TYPE == BF_F16 ? bf_wmma_f16(x, y, acc[f]) : bf_wmma_bf16(x, y, acc[f]);
                if constexpr (DEFECT == ATTENTION_SCORES_FP16)
                    for (int i = 0; i < 8; i++) acc[f].v[i] = attention_via_fp16(acc[f].v[i]);
            }
        }
        to += other, to[0] = n0, to[32 * WMMA_STRIDE] = n1;
        from += other, other = -other;
        bf_sync();
    }
    ATTENTION_UNROLLED
    for (int i = 0; i < 32; i++) s[i / 4][i % 4] = acc[i % 4].v[i / 4];
}

#if BF_HOST
static inline int attention_wmma_accepts(const bf_problem *p) { /* the first 32 values of a key are loaded whatever d is */
    return prefill_accepts(p) && p->dim[ATTENTION_D] >= WMMA_DEPTH && p->type[ATTENTION_Q] == p->type[ATTENTION_K] && p->type[ATTENTION_K] != BF_F32;
}
static inline int attention_wmma_plan(const bf_problem *p, bf_step *s, const bf_step_fn<attention_args> *fn, bf_step_fn<attention_args> any) {
    attention_args a = attention_arguments(p);
    return prefill_aligned(a) ? prefill_step(a, s, fn) : attention_naive_plan(p, s, any);
}
#endif
#endif
