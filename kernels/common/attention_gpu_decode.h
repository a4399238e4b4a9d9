/* attention_gpu_decode.h: one query, the key range split over blocks, then a second launch that puts the parts together.
 *
 * A block takes one kv head, up to G of its query heads and one part of the keys; its warps take tiles of 32 keys in turn, each
 * with a maximum, a sum and an output of its own. In a tile
 *   - LPK lanes share a key, 8 elements each, one 128-bit load (fp32: two). K is widened once for G heads, whose q stays in
 *     registers; the G partial sums of a key are summed over its lanes by halving: 8 shuffles for 8 heads and 16 lanes
 *     instead of 32. Scores go to shared memory;
 *   - lane l takes key l: scale, cap, mask, one exponential a key and head, the new maximum; P goes back to shared memory;
 *   - V is read as K was, and widened once for G heads; P comes by broadcast.
 * An excluded key has P = -0: its V is replaced by zero before it is multiplied. */
#ifndef BF_ATTENTION_GPU_DECODE_H
#define BF_ATTENTION_GPU_DECODE_H

#include "attention_gpu.h"

constexpr int DECODE_WARPS = 4, DECODE_TILE = 32, DECODE_SLICE = 8;

/* Shared memory of a block, in floats: q and the scores of each warp; in the end the warps' outputs, maxima and sums. */
constexpr int decode_floats(int lpk, int g) {
    int work = g * lpk * DECODE_SLICE + DECODE_WARPS * DECODE_TILE * g, end = DECODE_WARPS * g * (lpk * DECODE_SLICE + 2);
    return work > end ? work : end;
}

/* Keys a lane has on their way at a time; more would cost registers that G = 8 has not got. */
template <int G> constexpr int DECODE_AHEAD = G == 8 ? 2 : 4;

struct decode_raw { bf_u32x4 low, high; }; /* 8 elements; 16-bit types use low alone */

template <int TYPE> BF_FN decode_raw decode_load(const char *p, bool active) {
    decode_raw r = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    if (!active) return r;
    r.low = bf_ld_u32x4(p);
    if (TYPE == BF_F32) r.high = bf_ld_u32x4(p + 16);
    return r;
}
BF_FN uint32_t decode_word(const decode_raw &r, int i) {
    return i == 0 ? r.low.x : i == 1 ? r.low.y : i == 2 ? r.low.z : i == 3 ? r.low.w
         : i == 4 ? r.high.x : i == 5 ? r.high.y : i == 6 ? r.high.z : r.high.w;
}
template <int TYPE> BF_FN float decode_element(const decode_raw &r, int i) {
    if (TYPE == BF_F32) return bf_bits_f(decode_word(r, i));
    uint32_t w = decode_word(r, i / 2);
    if (TYPE == BF_F16) return bf_f16_to_f32(i % 2 ? w >> 16 : w & 0xffffu);
    return bf_bits_f(i % 2 ? w & 0xffff0000u : w << 16);
}

/* Halves n sums over lanes l and l ^ mask, and what is left again until one lane has one key's sum. Recursive, so that every
 * index is a constant: a chosen index would put the sums into memory. */
template <int MASK, int N> BF_FN void decode_halve(float *v) {
    bool upper = bf_lane() & MASK;
    if constexpr (N == 1) v[0] += bf_shfl_xor_f(v[0], MASK);
    ATTENTION_UNROLLED
    for (int i = 0; i < N / 2; i++) {
        float low = v[i], high = v[i + N / 2];
        v[i] = (upper ? high : low) + bf_shfl_xor_f(upper ? low : high, MASK);
    }
    if constexpr (MASK > 1) decode_halve<MASK / 2, (N > 1 ? N / 2 : 1)>(v);
}
/* Sums v[G] over LPK lanes; lane l is left with the sum of head decode_head(l) in v[0]. */
template <int LPK, int G> BF_FN void decode_reduce(float *v) { decode_halve<LPK / 2, G>(v); }
template <int LPK, int G> BF_FN int decode_head(int lane) {
    int head = 0;
    ATTENTION_UNROLLED
    for (int mask = LPK / 2, n = G; mask && n > 1; mask /= 2, n /= 2) head += lane & mask ? n / 2 : 0;
    return head;
}
/* Lanes whose mask is not split over heads any more hold copies; the first of them writes. LPK >= G. */
template <int LPK, int G> BF_FN bool decode_writes(int lane) { return lane % (LPK / G) == 0; }

struct decode_range {  /* of one warp's tile */
    const char *row;      /* its first row, this lane's slice */
    uint32_t at, stride;  /* bytes to this lane's first key, and from one of its keys to the next */
    uint32_t last;        /* bytes to the last row: keys beyond it are read there */
    bool active;          /* this lane's slice lies inside d */
};
BF_FN const char *decode_row(const decode_range &t, uint32_t at) { return t.row + (at < t.last ? at : t.last); }

/* Scores of a tile, before the scale, into s[32][G]. */
template <int LPK, int G, int TYPE> BF_FN void decode_scores(const decode_range &t, const float *qs, float *s) {
    constexpr int KEYS = 32 / LPK, AHEAD = DECODE_AHEAD<G>;
    int lane = bf_lane(), sub = lane / LPK, slice = lane % LPK;
    float q[G][DECODE_SLICE];
    ATTENTION_UNROLLED
    for (int g = 0; g < G; g++) {
        ATTENTION_UNROLLED
        for (int e = 0; e < DECODE_SLICE; e++) q[g][e] = qs[(g * LPK + slice) * DECODE_SLICE + e];
    }
    uint32_t at = t.at;
    ATTENTION_ROLLED
    for (int step = 0; step < LPK; step += AHEAD) {
        decode_raw raw[AHEAD];
        ATTENTION_UNROLLED
        for (int u = 0; u < AHEAD; u++, at += t.stride) raw[u] = decode_load<TYPE>(decode_row(t, at), t.active);
        ATTENTION_UNROLLED
        for (int u = 0; u < AHEAD; u++) {
            float sum[G];
            ATTENTION_UNROLLED
            for (int g = 0; g < G; g++) sum[g] = 0.0f;
            ATTENTION_UNROLLED
            for (int e = 0; e < DECODE_SLICE; e++) {
                float k = decode_element<TYPE>(raw[u], e);
                ATTENTION_UNROLLED
                for (int g = 0; g < G; g++) sum[g] = bf_fma(q[g][e], k, sum[g]);
            }
            decode_reduce<LPK, G>(sum);
            if (decode_writes<LPK, G>(lane)) s[((step + u) * KEYS + sub) * G + decode_head<LPK, G>(lane)] = sum[0];
        }
    }
}

/* Lane l: key `key` (beyond the range: in false). Scores become P; maximum, sum and output follow. */
template <int G>
BF_FN void decode_softmax(const attention_args &a, int key, bool in, float *s, float max[G], float sum[G],
                          float acc[G][DECODE_SLICE]) {
    float mask = in ? attention_mask(a, 0, key) : 0.0f;
    bool excluded = !in || mask <= ATTENTION_EXCLUDES;
    ATTENTION_UNROLLED
    for (int g = 0; g < G; g++) {
        float t = excluded ? ATTENTION_NONE : attention_capped(a, s[g]) + mask;
        float higher = bf_max(max[g], attention_warp_max(t)), base = attention_base(higher);
        float p = excluded ? bf_bits_f(ATTENTION_EXCLUDED_P) : bf_exp(t - base);
        if (higher != max[g]) { /* the whole warp */
            float factor = bf_exp(max[g] - base);
            sum[g] *= factor, max[g] = higher;
            ATTENTION_UNROLLED
            for (int e = 0; e < DECODE_SLICE; e++) acc[g][e] *= factor;
        }
        sum[g] += p;
        s[g] = p;
    }
}

template <int LPK, int G, int TYPE>
BF_FN void decode_add(const decode_range &t, const float *s, float acc[G][DECODE_SLICE]) {
    constexpr int KEYS = 32 / LPK, AHEAD = DECODE_AHEAD<G>;
    int sub = bf_lane() / LPK;
    uint32_t at = t.at;
    ATTENTION_ROLLED
    for (int step = 0; step < LPK; step += AHEAD) {
        decode_raw raw[AHEAD];
        ATTENTION_UNROLLED
        for (int u = 0; u < AHEAD; u++, at += t.stride) raw[u] = decode_load<TYPE>(decode_row(t, at), t.active);
        ATTENTION_UNROLLED
        for (int u = 0; u < AHEAD; u++) {
            const float *p = s + ((step + u) * KEYS + sub) * G;
            if (bf_f_bits(p[0]) == ATTENTION_EXCLUDED_P) raw[u] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
            float pg[G];
            ATTENTION_UNROLLED
            for (int g = 0; g < G; g++) pg[g] = p[g];
            ATTENTION_UNROLLED
            for (int e = 0; e < DECODE_SLICE; e++) {
                float v = decode_element<TYPE>(raw[u], e);
                ATTENTION_UNROLLED
                for (int g = 0; g < G; g++) acc[g][e] = bf_fma(pg[g], v, acc[g][e]);
            }
        }
    }
}

/* The warps' parts become one, in scratch: outputs [heads][splits][d], then {maximum, sum} [heads][splits]. */
template <int LPK, int G>
BF_FN void decode_store(const attention_args &a, int head, int heads, const float *shared) {
    constexpr int WIDTH = LPK * DECODE_SLICE;
    const float *ms = shared + DECODE_WARPS * G * WIDTH;
    int split = bf_bid_x();
    float *pairs = a.scratch + (int64_t)a.heads * a.splits * a.d;
    for (int at = bf_tid_x(); at < heads * a.d; at += 32 * DECODE_WARPS) {
        int g = at / a.d, d = at % a.d;
        float max = ATTENTION_NONE, o = 0.0f, sum = 0.0f;
        for (int w = 0; w < DECODE_WARPS; w++) max = bf_max(max, ms[(w * G + g) * 2]);
        for (int w = 0; w < DECODE_WARPS; w++) {
            float factor = bf_exp(ms[(w * G + g) * 2] - attention_base(max));
            o = bf_fma(shared[(w * G + g) * WIDTH + d], factor, o);
            sum = bf_fma(ms[(w * G + g) * 2 + 1], factor, sum);
        }
        int64_t part = (int64_t)(head + g) * a.splits + split;
        a.scratch[part * a.d + d] = o;
        if (d == 0) pairs[2 * part] = max, pairs[2 * part + 1] = sum;
    }
}

template <int LPK, int G, int TYPE> BF_FN void decode_body(const attention_args &a) {
    constexpr int WIDTH = LPK * DECODE_SLICE, THREADS = 32 * DECODE_WARPS;
    float *shared = (float *)bf_dynamic_shared();
    int lane = bf_lane(), warp = bf_tid_x() / 32, chunks = (a.group + G - 1) / G, kv = bf_bid_y() / chunks;
    int within = bf_bid_y() % chunks * G, head = kv * a.group + within, heads = a.group - within < G ? a.group - within : G;
    for (int at = bf_tid_x(); at < G * WIDTH; at += THREADS) {
        int g = at / WIDTH, d = at % WIDTH;
        shared[at] = g < heads && d < a.d ? attention_read(a.q, a.q_type, (int64_t)(head + g) * a.d + d) : 0.0f;
    }
    bf_sync();
    float *s = shared + G * WIDTH + warp * DECODE_TILE * G, acc[G][DECODE_SLICE], max[G], sum[G];
    ATTENTION_UNROLLED
    for (int g = 0; g < G; g++) {
        max[g] = ATTENTION_NONE, sum[g] = 0.0f;
        ATTENTION_UNROLLED
        for (int e = 0; e < DECODE_SLICE; e++) acc[g][e] = 0.0f;
    }
    int begin = attention_first(a, 0) + bf_bid_x() * a.per_split, end = begin + a.per_split;
    end = end < a.keys ? end : a.keys;
    decode_range t;
    uint32_t bytes = a.d * (TYPE == BF_F32 ? 4 : 2);
    t.at = lane / LPK * bytes, t.stride = 32 / LPK * bytes, t.active = lane % LPK * DECODE_SLICE < a.d;
    for (int tile = begin + warp * DECODE_TILE; tile < end; tile += THREADS) {
        int64_t at = ((int64_t)kv * a.keys + tile) * bytes + lane % LPK * (DECODE_SLICE * (TYPE == BF_F32 ? 4 : 2));
        int rows = end - tile < DECODE_TILE ? end - tile : DECODE_TILE;
        t.last = (uint32_t)(rows - 1) * bytes;
        t.row = (const char *)a.k + at;
        decode_scores<LPK, G, TYPE>(t, shared, s);
        bf_warp_sync();
        decode_softmax<G>(a, tile + lane, lane < rows, s + lane * G, max, sum, acc);
        bf_warp_sync();
        t.row = (const char *)a.v + at;
        decode_add<LPK, G, TYPE>(t, s, acc);
        bf_warp_sync();
    }
    bf_sync();
    ATTENTION_UNROLLED
    for (int g = 0; g < G; g++) {
        ATTENTION_UNROLLED
        for (int e = 0; e < DECODE_SLICE; e++) {
            for (int mask = LPK; mask < 32; mask *= 2) acc[g][e] += bf_shfl_xor_f(acc[g][e], mask);
            if (lane < LPK) shared[(warp * G + g) * WIDTH + lane * DECODE_SLICE + e] = acc[g][e];
        }
        float total = bf_warp_sum_f(sum[g]);
        float *ms = shared + DECODE_WARPS * G * WIDTH + (warp * G + g) * 2;
        if (lane == 0) ms[0] = max[g], ms[1] = total;
    }
    bf_sync();
    decode_store<LPK, G>(a, head, heads, shared);
}

/* A block a head: the parts of the key range and the sink. */
BF_FN void decode_combine_body(const attention_args &a) {
    int head = bf_bid_x();
    const float *parts = a.scratch + (int64_t)head * a.splits * a.d;
    const float *pairs = a.scratch + (int64_t)a.heads * a.splits * a.d + (int64_t)2 * head * a.splits;
    float sink = a.sink ? a.sink[head] : ATTENTION_NONE, max = sink;
    for (int s = 0; s < a.splits; s++) max = bf_max(max, pairs[2 * s]);
    float base = attention_base(max), sum = sink == ATTENTION_NONE ? 0.0f : bf_exp(sink - base);
    for (int s = 0; s < a.splits; s++) sum = bf_fma(pairs[2 * s + 1], bf_exp(pairs[2 * s] - base), sum);
    for (int d = bf_tid_x(); d < a.d; d += bf_bdim_x()) {
        float o = 0.0f;
        for (int s = 0; s < a.splits; s++) o = bf_fma(parts[(int64_t)s * a.d + d], bf_exp(pairs[2 * s] - base), o);
        a.o[(int64_t)head * a.d + d] = o * attention_inverse(sum);
    }
    if (bf_tid_x() == 0) a.lse[head] = attention_lse(base, sum);
}

#if BF_HOST
constexpr int DECODE_COMBINE_THREADS = 128, DECODE_MOST_SPLITS = 64;
/* Lanes of a key, and heads a block. */
static inline int decode_lpk(const attention_args &a) { return a.d <= 64 ? 8 : a.d <= 128 ? 16 : 32; }
static inline int decode_g(const attention_args &a) { return a.group == 1 ? 1 : a.group <= 4 ? 4 : 8; }
static inline int decode_chunks(const attention_args &a) { return (a.group + decode_g(a) - 1) / decode_g(a); }

/* Parts of the key range so that there are about `blocks` blocks, whole rounds of tiles each. */
static inline void decode_split(attention_args &a, int64_t blocks) {
    constexpr int64_t ROUND = DECODE_WARPS * DECODE_TILE;
    int64_t first = a.window > 0 && a.keys > a.window ? a.keys - a.window : 0, range = a.keys - first;
    int64_t splits = blocks / ((int64_t)(a.heads / a.group) * decode_chunks(a)), rounds = (range + ROUND - 1) / ROUND;
    splits = splits > DECODE_MOST_SPLITS ? DECODE_MOST_SPLITS : splits < 1 ? 1 : splits;
    splits = splits > rounds ? rounds : splits;
    a.per_split = (int32_t)((rounds + splits - 1) / splits * ROUND);
    a.splits = (int32_t)((range + a.per_split - 1) / a.per_split);
}
/* 16-bit and fp32 keys and values must be aligned to 16 bytes. */
static inline int decode_aligned(const attention_args &a) { return !(((uintptr_t)a.k | (uintptr_t)a.v) & 15); }
static inline int decode_accepts(const bf_problem *p) { return attention_accepts(p) && p->dim[ATTENTION_QUERIES] == 1; }
static inline uint64_t decode_scratch(const bf_problem *p) {
    return (uint64_t)p->dim[ATTENTION_HEADS] * DECODE_MOST_SPLITS * (uint64_t)(p->dim[ATTENTION_D] + 2) * sizeof(float);
}
/* A lane adds one key in LPK of its tiles (but counts 16: it rescales once a tile), then lanes, warps and parts; the sink. */
static inline int64_t decode_chain(const bf_problem *p, int64_t blocks) {
    attention_args a = attention_arguments(p);
    decode_split(a, blocks);
    int64_t lpk = decode_lpk(a), tiles = a.per_split / (DECODE_WARPS * DECODE_TILE);
    return tiles * (lpk < 16 ? 16 : lpk) + (lpk == 8 ? 2 : lpk == 16 ? 1 : 0) + DECODE_WARPS + a.splits + 1;
}
#endif
#endif
