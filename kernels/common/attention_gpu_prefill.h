/* attention_gpu_prefill.h: many queries: a block of 128 threads takes 64 rows of one kv head, [group][queries], and walks over the keys
 * in tiles of 64 with a running maximum and sum (Milakov and Gimelshein, Online normalizer calculation for softmax, 2018).
 *
 * Threads lie as 8 x 16 (ty, tx) over a tile: thread (ty, tx) has 8 rows x 4 keys of the scores and the same 8 rows x DMAX / 16
 * columns of o. So the maximum of a row is a reduction over 16 lanes, and rescaling touches registers only.
 *   scores   K, and q beside it, 16 (fp32 path) elements of d at a time through shared memory, widened, d slowest: three 128-bit
 *            reads for 32 FMAs. On gfx1151 with 16-bit q and K: kernels/hip/attention_wmma.h
 *   P        fp32, into shared memory, [key][row], over what held K; an excluded key's is -0
 *   o        V widened on its way into shared memory; two 128-bit reads of P and DMAX / 64 of V for DMAX / 2 FMAs
 *            where 256 columns would be too many registers (gfx1151), grid z is two halves, each with scores of its own
 * The next piece is on its way from memory while one is used; two buffers, one barrier a piece.
 *
 * 0 times the NaN of an excluded key's value would leak. Instead of a look at each value of V, the block looks at its result: when that
 * holds a NaN it starts again, carefully, leaving out every P of -0. */
#ifndef BF_ATTENTION_GPU_PREFILL_H
#define BF_ATTENTION_GPU_PREFILL_H

#include "attention_gpu.h"
#include "attention_gpu_naive.h"

constexpr int PREFILL_THREADS = 128, PREFILL_ROWS = 64, PREFILL_KEYS = 64, PREFILL_DEPTH = 16, PREFILL_STRIDE = PREFILL_ROWS + 4;
/* Floats of shared memory: q and K twice (fp32 path) or P; V twice; queries of the rows; a word a warp. */
constexpr int PREFILL_FIRST = 4 * PREFILL_DEPTH * PREFILL_STRIDE, PREFILL_V = 8 * PREFILL_THREADS;
constexpr int PREFILL_FLOATS = PREFILL_FIRST + 2 * PREFILL_V + PREFILL_ROWS + PREFILL_THREADS / 32;
static_assert(PREFILL_KEYS * PREFILL_STRIDE <= PREFILL_FIRST, "P must fit where K was");

/* Every four steps of a product: AMD's compiler would read the operands of all steps first, and spill. */
#if defined(BF_DEVICE_HIP)
#define PREFILL_IN_ORDER(step) \
    if ((step) % 4 == 0) __builtin_amdgcn_sched_barrier(0)
#else
#define PREFILL_IN_ORDER(step) (void)0
#endif

struct prefill_eight { bf_u32x4 low, high; }; /* as stored; 16-bit types use low alone */

template <int TYPE> BF_FN prefill_eight prefill_load(const char *p) {
    prefill_eight r = {bf_ld_u32x4(p), {0, 0, 0, 0}};
    if (TYPE == BF_F32) r.high = bf_ld_u32x4(p + 16);
    return r;
}
template <int TYPE> BF_FN void prefill_widen(const prefill_eight &r, float v[8]) {
    uint32_t w[8] = {r.low.x, r.low.y, r.low.z, r.low.w, r.high.x, r.high.y, r.high.z, r.high.w};
    ATTENTION_UNROLLED
    for (int i = 0; i < 8; i++) {
        uint32_t h = w[TYPE == BF_F32 ? i : i / 2];
        v[i] = TYPE == BF_F32 ? bf_bits_f(h) : TYPE == BF_F16 ? bf_f16_to_f32(i % 2 ? h >> 16 : h & 0xffffu)
                                                              : bf_bits_f(i % 2 ? h & 0xffff0000u : h << 16);
    }
}
BF_FN void prefill_four(const float *at, float v[4]) {
    bf_f32x4 f = *(const bf_f32x4 *)at;
    v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
}

struct prefill_block {
    int first, rows, kv;  /* rows of this kv head: the first, how many of 64 are real */
    int from, to;         /* keys that any of them may need */
};
BF_FN prefill_block prefill_place(const attention_args &a) {
    prefill_block b;
    int all = a.group * a.queries;
    b.kv = bf_bid_y(), b.first = (bf_gdim_x() - 1 - bf_bid_x()) * PREFILL_ROWS; /* causal: the longest rows first */
    b.rows = all - b.first < PREFILL_ROWS ? all - b.first : PREFILL_ROWS;
    int i = b.first % a.queries, last = i + b.rows - 1;
    if (last >= a.queries) i = 0, last = a.queries - 1; /* rows of more than one head */
    b.from = attention_first(a, i), b.to = attention_end(a, last);
    return b;
}

BF_FN void prefill_store_eight(float *to, int stride, const float v[8]) {
    ATTENTION_UNROLLED
    for (int i = 0; i < 8; i++) to[i * stride] = v[i];
}
template <int TYPE> BF_FN void prefill_store_v(float *to, const prefill_eight &r) {
    float v[8];
    prefill_widen<TYPE>(r, v);
    *(bf_f32x4 *)to = {v[0], v[1], v[2], v[3]};
    *(bf_f32x4 *)(to + 4) = {v[4], v[5], v[6], v[7]};
}

/* Which row of the block score i of thread t belongs to, and which key of the tile score j. */
template <bool WMMA> BF_FN int prefill_row(int t, int i) { return WMMA ? t / 32 * 16 + 2 * i + t / 16 % 2 : 8 * (t / 16) + i; }
template <bool WMMA> BF_FN int prefill_key(int t, int j) { return WMMA ? 16 * j + t % 16 : 4 * (t % 16) + j; }

template <int TYPE, int DEFECT>
BF_FN void attention_wmma_scores(const attention_args &a, const prefill_block &b, int tile, float *shared, float s[8][4]);

BF_FN void prefill_dots(const float *rows, const float *keys, float s[8][4]) {
    ATTENTION_UNROLLED
    for (int d = 0; d < PREFILL_DEPTH; d++) {
        PREFILL_IN_ORDER(d);
        float x[8], y[4];
        prefill_four(rows + d * PREFILL_STRIDE, x), prefill_four(rows + d * PREFILL_STRIDE + 4, x + 4);
        prefill_four(keys + d * PREFILL_STRIDE, y);
        ATTENTION_UNROLLED
        for (int i = 0; i < 8; i++) {
            ATTENTION_UNROLLED
            for (int j = 0; j < 4; j++) s[i][j] = bf_fma(x[i], y[j], s[i][j]);
        }
    }
}

/* Dot products in fp32; q is fp32. */
template <int TYPE>
BF_FN void prefill_scores(const attention_args &a, const prefill_block &b, int tile, float *shared, float s[8][4]) {
    constexpr int SIZE = TYPE == BF_F32 ? 4 : 2, K = PREFILL_DEPTH * PREFILL_STRIDE;
    int t = bf_tid_x(), d8 = t % 2 * 8, at = t / 2;
    int row = b.first + (at < b.rows ? at : b.rows - 1), key = tile + at < a.keys ? tile + at : a.keys - 1;
    const char *q = (const char *)a.q + (((int64_t)b.kv * a.group * a.queries + row) * a.d + d8) * 4;
    const char *k = (const char *)a.k + (((int64_t)b.kv * a.keys + key) * a.d + d8) * SIZE;
    float *to = shared + d8 * PREFILL_STRIDE + at, v[8];
    const float *rows = shared + 8 * (t / 16), *keys = shared + K + 4 * (t % 16);
    int other = 2 * K;
    prefill_eight nq = prefill_load<BF_F32>(q), nk = prefill_load<TYPE>(k);
    prefill_widen<BF_F32>(nq, v), prefill_store_eight(to, PREFILL_STRIDE, v);
    prefill_widen<TYPE>(nk, v), prefill_store_eight(to + K, PREFILL_STRIDE, v);
    bf_sync();
    ATTENTION_ROLLED
    for (int left = a.d / PREFILL_DEPTH; left > 0; left--) {
        bool more = left > 1; /* else the last piece again: never beyond the end */
        q += more ? PREFILL_DEPTH * 4 : 0, k += more ? PREFILL_DEPTH * SIZE : 0;
        nq = prefill_load<BF_F32>(q), nk = prefill_load<TYPE>(k);
        prefill_dots(rows, keys, s);
        to += other;
        prefill_widen<BF_F32>(nq, v), prefill_store_eight(to, PREFILL_STRIDE, v);
        prefill_widen<TYPE>(nk, v), prefill_store_eight(to + K, PREFILL_STRIDE, v);
        rows += other, keys += other, other = -other;
        bf_sync();
    }
}

/* Scale, cap, causal, window and mask of row i of a thread. Returns a bit for each excluded key. */
template <bool WMMA>
BF_FN uint32_t prefill_mask(const attention_args &a, int tile, const int *queries, int i, float s[4]) {
    int t = bf_tid_x(), query = queries[prefill_row<WMMA>(t, i)];
    int first = attention_first(a, query), end = attention_end(a, query);
    uint32_t out = 0;
    ATTENTION_UNROLLED
    for (int j = 0; j < 4; j++) {
        int key = tile + prefill_key<WMMA>(t, j);
        float mask = key >= first && key < end ? attention_mask(a, query, key) : ATTENTION_NONE;
        s[j] += mask;
        if (mask <= ATTENTION_EXCLUDES) s[j] = ATTENTION_NONE, out |= 1u << j;
    }
    return out;
}

/* Dot products become P; maxima, sums and o of the thread's rows follow. */
template <bool WMMA, int COLS>
BF_FN void prefill_softmax(const attention_args &a, int tile, const int *queries, float s[8][4], float max[8], float sum[8],
                           float o[8][COLS]) {
    bool edge = a.mask_type != BF_NONE || a.causal || a.window > 0 || tile + PREFILL_KEYS > a.keys;
    ATTENTION_UNROLLED
    for (int i = 0; i < 8; i++) {
        ATTENTION_UNROLLED
        for (int j = 0; j < 4; j++) s[i][j] = attention_capped(a, s[i][j]);
        uint32_t out = edge ? prefill_mask<WMMA>(a, tile, queries, i, s[i]) : 0;
        float top = bf_max(bf_max(s[i][0], s[i][1]), bf_max(s[i][2], s[i][3]));
        ATTENTION_UNROLLED
        for (int m = 8; m; m /= 2) top = bf_max(top, bf_shfl_xor_f(top, m));
        float higher = bf_max(max[i], top), base = attention_base(higher), factor = bf_exp(max[i] - base);
        max[i] = higher, sum[i] *= factor;
        ATTENTION_UNROLLED
        for (int c = 0; c < COLS; c++) o[i][c] *= factor;
        ATTENTION_UNROLLED
        for (int j = 0; j < 4; j++) {
            float p = bf_exp(s[i][j] - base);
            s[i][j] = out >> j & 1 ? bf_bits_f(ATTENTION_EXCLUDED_P) : p;
            sum[i] += s[i][j];
        }
    }
}
template <bool WMMA> BF_FN void prefill_keep_p(const float s[8][4], float *p) {
    int t = bf_tid_x();
    ATTENTION_UNROLLED
    for (int j = 0; j < 4; j++) {
        float *to = p + prefill_key<WMMA>(t, j) * PREFILL_STRIDE + 8 * (t / 16);
        *(bf_f32x4 *)to = {s[0][j], s[1][j], s[2][j], s[3][j]};
        *(bf_f32x4 *)(to + 4) = {s[4][j], s[5][j], s[6][j], s[7][j]};
    }
}

/* o += P V of the keys of a piece. */
template <int DMAX> BF_FN void prefill_piece(const float *p, const float *v, float o[8][DMAX / 16]) {
    ATTENTION_UNROLLED
    for (int k = 0; k < PREFILL_V / DMAX; k++) {
        PREFILL_IN_ORDER(k);
        float x[8];
        prefill_four(p + k * PREFILL_STRIDE, x), prefill_four(p + k * PREFILL_STRIDE + 4, x + 4);
        ATTENTION_UNROLLED
        for (int c = 0; c < DMAX / 16; c += 4) {
            float y[4];
            prefill_four(v + k * DMAX + 16 * c, y);
            ATTENTION_UNROLLED
            for (int i = 0; i < 8; i++) {
                ATTENTION_UNROLLED
                for (int e = 0; e < 4; e++) o[i][c + e] = bf_fma(x[i], y[e], o[i][c + e]);
            }
        }
    }
}
/* Of one key, excluded ones left out. */
template <int DMAX> BF_FN void prefill_key_carefully(const float *p, const float *v, float o[8][DMAX / 16]) {
    ATTENTION_UNROLLED
    for (int i = 0; i < 8; i++) {
        bool out = bf_f_bits(p[i]) == ATTENTION_EXCLUDED_P;
        ATTENTION_UNROLLED
        for (int c = 0; c < DMAX / 16; c++) o[i][c] = bf_fma(p[i], out ? 0.0f : v[c / 4 * 64 + c % 4], o[i][c]);
    }
}

struct prefill_values { /* V as a thread loads it: eight columns of every V_KEYS-th key */
    const char *base;
    int64_t row; /* bytes */
    int key, last;
    bool active; /* these columns lie inside d */
};
template <int TYPE> BF_FN prefill_eight prefill_load_v(const prefill_values &v, int ahead) {
    int key = v.key + ahead;
    if (!v.active) return {{0, 0, 0, 0}, {0, 0, 0, 0}};
    return prefill_load<TYPE>(v.base + (key < v.last ? key : v.last) * v.row);
}

/* The walk over the keys; o, max and sum in the end. */
template <int TYPE, int DMAX, bool WMMA, int DEFECT>
BF_FN void prefill_walk(const attention_args &a, const prefill_block &b, bool careful, float *shared, float max[8], float sum[8],
                        float o[8][DMAX / 16]) {
    constexpr int V_KEYS = PREFILL_V / DMAX, SIZE = TYPE == BF_F32 ? 4 : 2;
    int t = bf_tid_x();
    const int *queries = (const int *)(shared + PREFILL_FIRST + 2 * PREFILL_V);
    ATTENTION_UNROLLED
    for (int i = 0; i < 8; i++) {
        max[i] = ATTENTION_NONE, sum[i] = 0.0f;
        ATTENTION_UNROLLED
        for (int c = 0; c < DMAX / 16; c++) o[i][c] = 0.0f;
    }
    prefill_values v;
    int column = t % (DMAX / 8) * 8, from_d = bf_bid_z() * DMAX + column;
    v.row = (int64_t)a.d * SIZE, v.last = a.keys - 1, v.active = from_d < a.d;
    v.base = (const char *)a.v + (int64_t)b.kv * a.keys * v.row + from_d * SIZE;
    ATTENTION_ROLLED
    for (int tile = b.from; tile < b.to; tile += PREFILL_KEYS) {
        float s[8][4], *to = shared + PREFILL_FIRST + t / (DMAX / 8) * DMAX + column;
        ATTENTION_UNROLLED
        for (int i = 0; i < 32; i++) s[i / 4][i % 4] = 0.0f;
        if constexpr (WMMA) attention_wmma_scores<TYPE, DEFECT>(a, b, tile, shared, s);
        else prefill_scores<TYPE>(a, b, tile, shared, s);
        v.key = tile + t / (DMAX / 8);
        prefill_eight next = prefill_load_v<TYPE>(v, 0);
        prefill_softmax<WMMA, DMAX / 16>(a, tile, queries, s, max, sum, o);
        prefill_keep_p<WMMA>(s, shared);
        prefill_store_v<TYPE>(to, next);
        bf_sync();
        const float *p = shared + 8 * (t / 16), *from = shared + PREFILL_FIRST + 4 * (t % 16);
        int other = PREFILL_V;
        ATTENTION_ROLLED
        for (int done = 0; done < PREFILL_KEYS; done += V_KEYS) {
            next = prefill_load_v<TYPE>(v, done + V_KEYS); /* past the tile: read, not used */
            ATTENTION_ROLLED
            for (int k = 0; careful && k < V_KEYS; k++) prefill_key_carefully<DMAX>(p + k * PREFILL_STRIDE, from + k * DMAX, o);
            if (!careful) prefill_piece<DMAX>(p, from, o);
            p += V_KEYS * PREFILL_STRIDE, to += other, from += other, other = -other;
            prefill_store_v<TYPE>(to, next);
            bf_sync();
        }
    }
}

/* The sink, the division, and out. */
template <int DMAX, bool WMMA>
BF_FN void prefill_finish(const attention_args &a, const prefill_block &b, const float max[8], const float sum[8],
                          const float o[8][DMAX / 16]) {
    int t = bf_tid_x();
    ATTENTION_UNROLLED
    for (int i = 0; i < 8; i++) {
        float total = sum[i];
        ATTENTION_UNROLLED
        for (int m = 8; m; m /= 2) total += bf_shfl_xor_f(total, m);
        int row = prefill_row<WMMA>(t, i);
        if (row >= b.rows) continue;
        int64_t place = (int64_t)b.kv * a.group * a.queries + b.first + row;
        float sink = a.sink ? a.sink[place / a.queries] : ATTENTION_NONE, higher = bf_max(max[i], sink);
        float base = attention_base(higher), factor = bf_exp(max[i] - base);
        total = total * factor + (sink == ATTENTION_NONE ? 0.0f : bf_exp(sink - base));
        float inverse = attention_inverse(total);
        ATTENTION_UNROLLED
        for (int c = 0; c < DMAX / 16; c += 4) {
            int column = bf_bid_z() * DMAX + 16 * c + 4 * (t % 16);
            bf_f32x4 f = {o[i][c] * factor * inverse, o[i][c + 1] * factor * inverse, o[i][c + 2] * factor * inverse,
                          o[i][c + 3] * factor * inverse};
            if (column < a.d) *(bf_f32x4 *)(a.o + place * a.d + column) = f;
        }
        if (t % 16 == 0 && bf_bid_z() == 0) a.lse[place] = attention_lse(base, total);
    }
}

/* DEFECT: of a twin of the matrix product. */
template <int TYPE, int DMAX, bool WMMA, int DEFECT = ATTENTION_SOUND> BF_FN void prefill_body(const attention_args &a) {
    float *shared = (float *)bf_dynamic_shared();
    int t = bf_tid_x(), *queries = (int *)(shared + PREFILL_FIRST + 2 * PREFILL_V), *bad = queries + PREFILL_ROWS;
    prefill_block b = prefill_place(a);
    if (t < PREFILL_ROWS) queries[t] = (b.first + (t < b.rows ? t : b.rows - 1)) % a.queries;
    bf_sync();
    float max[8], sum[8], o[8][DMAX / 16], zero = 0.0f;
    prefill_walk<TYPE, DMAX, WMMA, DEFECT>(a, b, false, shared, max, sum, o);
    ATTENTION_UNROLLED
    for (int i = 0; i < 8; i++) {
        ATTENTION_UNROLLED
        for (int c = 0; c < DMAX / 16; c++) zero = bf_fma(o[i][c], 0.0f, zero);
    }
    zero = bf_warp_sum_f(zero); /* NaN when one of them is not finite */
    if (bf_lane() == 0) bad[t / 32] = zero != zero;
    bf_sync();
    if (bad[0] | bad[1] | bad[2] | bad[3]) prefill_walk<TYPE, DMAX, WMMA, DEFECT>(a, b, true, shared, max, sum, o);
    prefill_finish<DMAX, WMMA>(a, b, max, sum, o);
}

constexpr int PREFILL_WIDEN_THREADS = 256;
/* q as fp32 [heads][queries][d] into scratch. */
BF_FN void prefill_widen_q_body(const attention_args &a) {
    int64_t at = (int64_t)bf_bid_x() * PREFILL_WIDEN_THREADS + bf_tid_x();
    if (at < (int64_t)a.heads * a.queries * a.d) a.scratch[at] = attention_read(a.q, a.q_type, at);
}

#if BF_HOST
/* Addresses that 128-bit loads and stores can use. */
static inline int prefill_aligned(const attention_args &a) {
    return !(((uintptr_t)a.q | (uintptr_t)a.k | (uintptr_t)a.v | (uintptr_t)a.o) & 15);
}
static inline int prefill_accepts(const bf_problem *p) {
    return attention_accepts(p) && p->dim[ATTENTION_KV_HEADS] < 65536;
}
static inline uint64_t prefill_scratch(const bf_problem *p) {
    if (p->type[ATTENTION_Q] == BF_F32) return 0;
    return (uint64_t)p->dim[ATTENTION_HEADS] * (uint64_t)p->dim[ATTENTION_QUERIES] * (uint64_t)p->dim[ATTENTION_D] * sizeof(float);
}
/* One addition a key; a rescale a tile of 64, and the sink's. */
static inline int64_t prefill_chain(const bf_problem *p) { return p->dim[ATTENTION_KEYS] + 1; }
/* fn: for DMAX 64, 128 and 256; without the last, grid z has two halves of d. */
static inline int prefill_step(const attention_args &a, bf_step *s, const bf_step_fn<attention_args> fn[3]) {
    int64_t rows = (int64_t)a.group * a.queries;
    int which = a.d <= 64 ? 0 : a.d <= 128 || !fn[2].symbol ? 1 : 2;
    bf_step_set(s, fn[which], (rows + PREFILL_ROWS - 1) / PREFILL_ROWS, a.heads / a.group, PREFILL_THREADS, 1, 4 * PREFILL_FLOATS, a);
    s->grid[2] = which == 1 && a.d > 128 ? 2 : 1;
    return 1;
}
/* q is widened first where it is not fp32. */
static inline int prefill_plan(const bf_problem *p, bf_step *s, const bf_step_fn<attention_args> *fn, bf_step_fn<attention_args> widen,
                               bf_step_fn<attention_args> any) {
    attention_args a = attention_arguments(p);
    if (!prefill_aligned(a)) return attention_naive_plan(p, s, any);
    int steps = 0;
    if (a.q_type != BF_F32) {
        int64_t all = (int64_t)a.heads * a.queries * a.d;
        bf_step_set(&s[steps++], widen, (all + PREFILL_WIDEN_THREADS - 1) / PREFILL_WIDEN_THREADS, 1, PREFILL_WIDEN_THREADS, 1, 0, a);
        a.q = a.scratch, a.q_type = BF_F32;
    }
    return steps + prefill_step(a, &s[steps], fn);
}
#endif
#endif
