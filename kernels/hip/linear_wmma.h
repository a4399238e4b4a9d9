/* linear_wmma.h: the product of many columns by matrix instructions, for W and x of the same 16-bit type.
 *
 * A workgroup of eight waves computes 128 rows x BN columns, k in steps of 32. Both tiles lie in LDS as stored, rows of 32 values
 * and 16 bytes of padding (free of bank conflicts for the 128-bit reads of 16 consecutive rows); a fragment of a lane is 16
 * consecutive k of one row: two reads. x is the A operand and W the B operand, so that the lanes of a half-wave hold
 * consecutive rows of W, which is how y is stored. The next tiles are on their way from memory while these are used.
 * Beyond k both tiles are zero; rows and columns beyond the end repeat the last and are not stored. */
#ifndef BF_HIP_LINEAR_WMMA_H
#define BF_HIP_LINEAR_WMMA_H

#include "../common/linear_tile.h"

constexpr int WMMA_THREADS = 256, WMMA_M = 128, WMMA_K = 32, WMMA_STRIDE = (WMMA_K + 8) / 8; /* in units of 16 bytes */

template <int BN> struct linear_wmma {
    static constexpr int WAVES_N = BN == 32 ? 1 : 2, WAVES_M = 8 / WAVES_N;
    static constexpr int FM = WMMA_M / 16 / WAVES_M, FN = BN / 16 / WAVES_N; /* fragments of a wave */
    static constexpr int W_EIGHTS = WMMA_M * WMMA_K / 8 / WMMA_THREADS;
    static constexpr int X_THREADS = BN * WMMA_K / 8 < WMMA_THREADS ? BN * WMMA_K / 8 : WMMA_THREADS;
    static constexpr int X_EIGHTS = BN * WMMA_K / 8 / X_THREADS;
    static constexpr int BUFFER = (WMMA_M + BN) * WMMA_STRIDE; /* in units of 16 bytes: W, then x */
    static constexpr int BYTES = 2 * BUFFER * 16;
    static_assert(WAVES_N * 16 * WMMA_M * 4 <= BYTES, "results of one fragment a wave must fit");
};

/* Eight 16-bit values from element `row + k` on, zero from k = end on. */
template <bool WIDE> BF_FN bf_u32x4 wmma_load(const void *p, int64_t row, int k, int end) {
    bf_u32x4 v = {0, 0, 0, 0};
    if constexpr (WIDE) {
        if (k < end) v = bf_ld_u32x4((const uint16_t *)p + row + k);
        return v;
    }
    uint32_t u[4];
    LINEAR_UNROLLED
    for (int i = 0; i < 4; i++) {
        uint32_t low = k + 2 * i < end ? bf_ld_u16((const uint16_t *)p + row + k + 2 * i) : 0u;
        uint32_t high = k + 2 * i + 1 < end ? bf_ld_u16((const uint16_t *)p + row + k + 2 * i + 1) : 0u;
        u[i] = low | high << 16;
    }
    return {u[0], u[1], u[2], u[3]};
}

BF_FN bf_u32x8 wmma_fragment(const bf_u32x4 *at) {
    bf_u32x4 low = at[0], high = at[1];
    return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

/* Bias, rounding and stores, 16 columns of each wave at a time through LDS, rows fastest. */
template <int BN> BF_FN void wmma_finish(const linear_args &a, const bf_f32x8 (&acc)[linear_wmma<BN>::FN][linear_wmma<BN>::FM]) {
    typedef linear_wmma<BN> T;
    float *shared = (float *)bf_dynamic_shared();
    int t = bf_tid_x(), lane = bf_lane(), wave = t / 32, wave_m = wave % T::WAVES_M, wave_n = wave / T::WAVES_M;
    LINEAR_UNROLLED
    for (int f = 0; f < T::FN; f++) {
        bf_sync();
        LINEAR_UNROLLED
        for (int g = 0; g < T::FM; g++)
            LINEAR_UNROLLED
            for (int i = 0; i < 8; i++)
                shared[(wave_n * 16 + 2 * i + lane / 16) * WMMA_M + (wave_m * T::FM + g) * 16 + lane % 16] = acc[f][g].v[i];
        bf_sync();
#pragma unroll 1
        for (int o = t; o < T::WAVES_N * 16 * WMMA_M; o += WMMA_THREADS) {
            int column = o / WMMA_M; /* of wave column / 16 */
            int64_t r = (int64_t)bf_bid_x() * WMMA_M + o % WMMA_M;
            int64_t c = (int64_t)bf_bid_y() * BN + (column / 16 * T::FN + f) * 16 + column % 16;
            if (r < a.m && c < a.n) linear_finish<LINEAR_SOUND>(a, c, r, shared[o]);
        }
    }
}

/* DEFECT: of a twin. */
template <int TYPE, int BN, bool WIDE, int DEFECT = LINEAR_SOUND> BF_FN void linear_wmma_body(const linear_args &a) {
    typedef linear_wmma<BN> T;
    bf_u32x4 *shared = (bf_u32x4 *)bf_dynamic_shared();
    int t = bf_tid_x(), lane = bf_lane(), wave = t / 32, wave_m = wave % T::WAVES_M, wave_n = wave / T::WAVES_M;
    int eight = t % 4, first = t / 4; /* which eight of a row; the first of this thread's rows, 64 apart */
    int64_t w_row[T::W_EIGHTS], x_row[T::X_EIGHTS];
    LINEAR_UNROLLED
    for (int i = 0; i < T::W_EIGHTS; i++) {
        int r = bf_bid_x() * WMMA_M + first + 64 * i;
        w_row[i] = (int64_t)(r < a.m ? r : a.m - 1) * a.k;
    }
    LINEAR_UNROLLED
    for (int i = 0; i < T::X_EIGHTS; i++) {
        int c = bf_bid_y() * BN + first + 64 * i;
        x_row[i] = (int64_t)(c < a.n ? c : a.n - 1) * a.k;
    }
    bf_f32x8 acc[T::FN][T::FM];
    LINEAR_UNROLLED
    for (int i = 0; i < T::FN * T::FM * 8; i++) acc[i / 8 / T::FM][i / 8 % T::FM].v[i % 8] = 0.0f;

    bool loads_x = t < T::X_THREADS;
    bf_u32x4 w[T::W_EIGHTS], x[T::X_EIGHTS];
    bf_u32x4 *to = shared + first * WMMA_STRIDE + eight;
    const bf_u32x4 *w_from = shared + (wave_m * T::FM * 16 + lane % 16) * WMMA_STRIDE;
    const bf_u32x4 *x_from = shared + (WMMA_M + wave_n * T::FN * 16 + lane % 16) * WMMA_STRIDE;
    int other = T::BUFFER;
    LINEAR_UNROLLED
    for (int i = 0; i < T::W_EIGHTS; i++) to[64 * i * WMMA_STRIDE] = wmma_load<WIDE>(a.w, w_row[i], 8 * eight, a.k);
    if (loads_x)
        LINEAR_UNROLLED
        for (int i = 0; i < T::X_EIGHTS; i++)
            to[(WMMA_M + 64 * i) * WMMA_STRIDE] = wmma_load<WIDE>(a.x, x_row[i], 8 * eight, a.k);
    bf_sync();
#pragma unroll 1
    for (int done = 0; done < (DEFECT == LINEAR_DROP_K_TAIL ? a.k - WMMA_K : a.k); done += WMMA_K) {
        int k = done + WMMA_K + 8 * eight;
        LINEAR_UNROLLED
        for (int i = 0; i < T::W_EIGHTS; i++) w[i] = wmma_load<WIDE>(a.w, w_row[i], k, a.k);
        LINEAR_UNROLLED
        for (int i = 0; i < T::X_EIGHTS; i++) x[i] = wmma_load<WIDE>(a.x, x_row[i], k, loads_x ? a.k : 0);
        LINEAR_UNROLLED
        for (int half = 0; half < WMMA_K / 16; half++) {
            bf_u32x8 b[T::FM];
            LINEAR_UNROLLED
            for (int g = 0; g < T::FM; g++) b[g] = wmma_fragment(w_from + g * 16 * WMMA_STRIDE + 2 * half);
            LINEAR_UNROLLED
            for (int f = 0; f < T::FN; f++) {
                bf_u32x8 v = wmma_fragment(x_from + f * 16 * WMMA_STRIDE + 2 * half);
                LINEAR_UNROLLED
                for (int g = 0; g < T::FM; g++)
                    acc[f][g] = TYPE == BF_F16 ? bf_wmma_f16(v, b[g], acc[f][g]) : bf_wmma_bf16(v, b[g], acc[f][g]);
            }
            if constexpr (DEFECT == LINEAR_ACC_FP16)
                for (int i = 0; i < T::FN * T::FM * 8; i++)
                    acc[i / 8 / T::FM][i / 8 % T::FM].v[i % 8] = linear_fp16(acc[i / 8 / T::FM][i / 8 % T::FM].v[i % 8]);
        }
        to += other;
        LINEAR_UNROLLED
        for (int i = 0; i < T::W_EIGHTS; i++) to[64 * i * WMMA_STRIDE] = w[i];
        if (loads_x)
            LINEAR_UNROLLED
            for (int i = 0; i < T::X_EIGHTS; i++) to[(WMMA_M + 64 * i) * WMMA_STRIDE] = x[i];
        w_from += other, x_from += other, other = -other;
        bf_sync();
    }
    wmma_finish<BN>(a, acc);
}

#if BF_HOST
static inline int linear_wmma_accepts(const bf_problem *p) {
    return linear_accepts(p) && p->dim[LINEAR_N] < 65535 * 32 && p->type[LINEAR_W] == p->type[LINEAR_X] &&
           p->type[LINEAR_W] != BF_F32;
}
#endif
#endif
