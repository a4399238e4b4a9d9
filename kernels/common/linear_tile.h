/* linear_tile.h: the product of many columns in fp32, both GPU targets: a block computes 128 rows x BN columns, a thread 8 x 8 of
 * them, k in steps of 16 through shared memory.
 *
 *   - tiles lie in shared memory as fp32 with k slowest, so that a thread's operands of one k are four 128-bit reads for 64 FMAs;
 *   - the next tile is on its way from memory while this one is used; two buffers, one barrier a step;
 *   - a thread loads eight consecutive k of one row at a time, 128 bit, as stored; widening happens on the way into shared memory;
 *   - beyond k both tiles are zero; rows and columns beyond the end repeat the last and are not stored;
 *   - results go out through shared memory, so that stores are coalesced whatever their type. */
#ifndef BF_LINEAR_TILE_H
#define BF_LINEAR_TILE_H

#include "linear_vec.h"

constexpr int TILE_M = 128, TILE_K = 16, TILE_PAD = 4;

template <int BN> struct linear_tile {
    static constexpr int THREADS = 2 * BN, ROWS = 2 * TILE_M / THREADS; /* eights of W a thread; of x: one */
    static constexpr int W_STRIDE = TILE_M + TILE_PAD, X_STRIDE = BN + TILE_PAD;
    static constexpr int BUFFER = TILE_K * (W_STRIDE + X_STRIDE); /* floats: W, then x */
    static constexpr int BYTES = 2 * BUFFER * 4;
    static_assert(TILE_M * BN / 2 <= 2 * BUFFER, "half of the results must fit");
};

/* What a tile kernel is compiled for: a type, or "16 bits, and the arguments say which": fewer kernels at the price of a branch. */
enum { TILE_HALF = BF_NONE };

/* Eight values from element `row + k` on, as stored, zero from k = end on. WIDE: all at once; else as fp32, one by one. */
template <int TYPE, bool WIDE> BF_FN void tile_load(const void *p, int type, int64_t row, int k, int end, uint32_t u[8]) {
    if constexpr (!WIDE) {
        LINEAR_UNROLLED
        for (int i = 0; i < 8; i++) u[i] = k + i < end ? bf_f_bits(linear_load(p, type, row + k + i)) : 0u;
    } else {
        LINEAR_UNROLLED
        for (int i = 0; i < 8; i++) u[i] = 0u;
        if (k >= end) return;
        constexpr int AS = TYPE == BF_F32 ? BF_F32 : BF_BF16;
        linear_eight<AS> e = linear_load_eight<AS>(p, row + k);
        LINEAR_UNROLLED
        for (int i = 0; i < (TYPE == BF_F32 ? 8 : 4); i++) u[i] = e.u[i];
    }
}

/* Into a tile, eight k apart by its stride. */
template <int TYPE, bool WIDE> BF_FN void tile_store(float *at, int stride, int type, const uint32_t u[8]) {
    if (TYPE == BF_F32 || !WIDE) {
        LINEAR_UNROLLED
        for (int i = 0; i < 8; i++) at[i * stride] = bf_bits_f(u[i]);
    } else if (TYPE == BF_BF16 || (TYPE == TILE_HALF && type == BF_BF16)) {
        LINEAR_UNROLLED
        for (int i = 0; i < 8; i++) at[i * stride] = bf_bits_f(i & 1 ? u[i / 2] & 0xffff0000u : u[i / 2] << 16);
    } else {
        LINEAR_UNROLLED
        for (int i = 0; i < 8; i++) at[i * stride] = bf_f16_to_f32(i & 1 ? u[i / 2] >> 16 : u[i / 2] & 0xffffu);
    }
}

BF_FN void tile_four(const float *at, float v[4]) {
    bf_f32x4 f = *(const bf_f32x4 *)at;
    v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
}

/* Bias, rounding and stores. A half of the columns at a time lies in shared memory, rows fastest. */
template <int BN> BF_FN void tile_finish(const linear_args &a, float *shared, const float acc[8][8]) {
    typedef linear_tile<BN> T;
    int t = bf_tid_x(), tx = t % 16, ty = t / 16;
    LINEAR_UNROLLED
    for (int half = 0; half < 2; half++) {
        bf_sync();
        LINEAR_UNROLLED
        for (int j = 0; j < 4; j++)
            LINEAR_UNROLLED
            for (int i = 0; i < 2; i++) {
                const float *v = &acc[4 * half + j][4 * i];
                *(bf_f32x4 *)(shared + (4 * ty + j) * TILE_M + 64 * i + 4 * tx) = {v[0], v[1], v[2], v[3]};
            }
        bf_sync();
#pragma unroll 1
        for (int o = t; o < TILE_M * BN / 2; o += T::THREADS) {
            int64_t r = (int64_t)bf_bid_x() * TILE_M + o % TILE_M, c = (int64_t)bf_bid_y() * BN + half * (BN / 2) + o / TILE_M;
            if (r < a.m && c < a.n) linear_finish<LINEAR_SOUND>(a, c, r, shared[o]);
        }
    }
}

/* WIDE: k is a multiple of 8 and rows are aligned; without it the types do not matter. */
template <int W_TYPE, int X_TYPE, int BN, bool WIDE> BF_FN void linear_tile_body(const linear_args &a) {
    typedef linear_tile<BN> T;
    float *shared = (float *)bf_dynamic_shared();
    int t = bf_tid_x(), tx = t % 16, ty = t / 16, k8 = t % 2 * 8;
    int row = bf_bid_x() * TILE_M + t / 2, column = bf_bid_y() * BN + t / 2, down[T::ROWS];
    int64_t w_row = (int64_t)(row < a.m ? row : a.m - 1) * a.k, x_row = (int64_t)(column < a.n ? column : a.n - 1) * a.k;
    LINEAR_UNROLLED
    for (int i = 0; i < T::ROWS; i++) { /* from the first row to the others of this thread, below 2^31 (accepts) */
        int r = row + i * (T::THREADS / 2);
        down[i] = i ? ((r < a.m ? r : a.m - 1) - (row < a.m ? row : a.m - 1)) * a.k : 0;
    }
    float acc[8][8]; /* column, row */
    LINEAR_UNROLLED
    for (int i = 0; i < 64; i++) acc[i / 8][i % 8] = 0.0f;

    uint32_t w[T::ROWS][8], x[8];
    float *w_to = shared + k8 * T::W_STRIDE + t / 2, *x_to = shared + TILE_K * T::W_STRIDE + k8 * T::X_STRIDE + t / 2;
    const float *w_from = shared + 4 * tx, *x_from = shared + TILE_K * T::W_STRIDE + 4 * ty;
    int other = T::BUFFER; /* distance to the buffer not in use */
    LINEAR_UNROLLED
    for (int i = 0; i < T::ROWS; i++) {
        tile_load<W_TYPE, WIDE>(a.w, a.w_type, w_row + down[i], k8, a.k, w[i]);
        tile_store<W_TYPE, WIDE>(w_to + i * (T::THREADS / 2), T::W_STRIDE, a.w_type, w[i]);
    }
    tile_load<X_TYPE, WIDE>(a.x, a.x_type, x_row, k8, a.k, x);
    tile_store<X_TYPE, WIDE>(x_to, T::X_STRIDE, a.x_type, x);
    bf_sync();
#pragma unroll 1
    for (int k = TILE_K + k8; k < a.k + TILE_K + k8; k += TILE_K) {
        LINEAR_UNROLLED
        for (int i = 0; i < T::ROWS; i++) tile_load<W_TYPE, WIDE>(a.w, a.w_type, w_row + down[i], k, a.k, w[i]);
        tile_load<X_TYPE, WIDE>(a.x, a.x_type, x_row, k, a.k, x);
        LINEAR_UNROLLED
        for (int kk = 0; kk < TILE_K; kk++) {
            float u[8], v[8];
            tile_four(w_from + kk * T::W_STRIDE, u), tile_four(w_from + kk * T::W_STRIDE + 64, u + 4);
            tile_four(x_from + kk * T::X_STRIDE, v), tile_four(x_from + kk * T::X_STRIDE + BN / 2, v + 4);
            LINEAR_UNROLLED
            for (int j = 0; j < 8; j++)
                LINEAR_UNROLLED
                for (int i = 0; i < 8; i++) acc[j][i] = bf_fma(u[i], v[j], acc[j][i]);
        }
        w_to += other, x_to += other;
        LINEAR_UNROLLED
        for (int i = 0; i < T::ROWS; i++) tile_store<W_TYPE, WIDE>(w_to + i * (T::THREADS / 2), T::W_STRIDE, a.w_type, w[i]);
        tile_store<X_TYPE, WIDE>(x_to, T::X_STRIDE, a.x_type, x);
        w_from += other, x_from += other, other = -other;
        bf_sync();
    }
    tile_finish<BN>(a, shared, acc);
}

#if BF_HOST
static inline int linear_tile_accepts(const bf_problem *p) {
    return linear_accepts(p) && p->dim[LINEAR_N] > LINEAR_MAX_N && p->dim[LINEAR_N] < 65535 * 32;
}
/* One chain over k; what fills the last step up is zero. */
static inline int64_t linear_tile_chain(const bf_problem *p) { return p->dim[LINEAR_K] - 1; }
static inline int linear_tile_columns(const bf_problem *p) { return p->dim[LINEAR_N] <= 32 ? 32 : p->dim[LINEAR_N] <= 64 ? 64 : 128; }
static inline int linear_tile_plan(const bf_problem *p, bf_step *s, linear_fn fn, int columns, int64_t bytes) {
    linear_args a = linear_arguments(p);
    bf_step_set(&s[0], fn, linear_blocks(a.m, TILE_M), linear_blocks(a.n, columns), 2 * columns, 1, bytes, a);
    return 1;
}
#endif
#endif
