/* linear_vec.h: mat-vec for up to eight columns, both GPU targets: a warp takes R rows, its lanes eight consecutive weights each.
 *
 * Weights stream by 128-bit loads and are widened in registers (bf16: one shift or mask, fp16: one conversion); x is fp32
 * [n][k], widened once by the launch before where it is narrower, and comes out of L1 once for R rows. */
#ifndef BF_LINEAR_VEC_H
#define BF_LINEAR_VEC_H

#include "linear_device.h"

constexpr int LINEAR_MAX_N = 8, LINEAR_VEC_WARPS = 4, LINEAR_VEC_THREADS = 32 * LINEAR_VEC_WARPS, LINEAR_WIDEN_THREADS = 128;

/* Eight consecutive values as stored: four words of 16-bit values, or eight of fp32. */
template <int TYPE> struct linear_eight {
    uint32_t u[TYPE == BF_F32 ? 8 : 4];
};
template <int TYPE> BF_FN linear_eight<TYPE> linear_load_eight(const void *p, int64_t i) {
    const char *at = (const char *)p + i * (TYPE == BF_F32 ? 4 : 2);
    bf_u32x4 v = bf_ld_u32x4(at);
    linear_eight<TYPE> e;
    e.u[0] = v.x, e.u[1] = v.y, e.u[2] = v.z, e.u[3] = v.w;
    if constexpr (TYPE == BF_F32) {
        v = bf_ld_u32x4(at + 16);
        e.u[4] = v.x, e.u[5] = v.y, e.u[6] = v.z, e.u[7] = v.w;
    }
    return e;
}
template <int TYPE> BF_FN float linear_widen(const linear_eight<TYPE> &e, int i) {
    if constexpr (TYPE == BF_F32)
        return bf_bits_f(e.u[i]);
    else if constexpr (TYPE == BF_BF16)
        return bf_bits_f(i & 1 ? e.u[i / 2] & 0xffff0000u : e.u[i / 2] << 16);
    else
        return bf_f16_to_f32(i & 1 ? e.u[i / 2] >> 16 : e.u[i / 2] & 0xffffu);
}

/* x to fp32 in scratch, a thread a value. */
BF_FN void linear_widen_body(const linear_args &a) {
    int64_t i = (int64_t)bf_bid_x() * LINEAR_WIDEN_THREADS + bf_tid_x();
    if (i < (int64_t)a.n * a.k) a.scratch[i] = linear_load(a.x, a.x_type, i);
}

/* W of type TYPE with k a multiple of 8 and aligned rows; x fp32, aligned. */
template <int TYPE, int N, int R> BF_FN void linear_vec_body(const linear_args &a) {
    int lane = bf_lane(), row = (bf_bid_x() * LINEAR_VEC_WARPS + bf_tid_x() / 32) * R, eights = a.k / 8;
    if (row >= a.m) return;
    int64_t at[R];
    float acc[R][N];
    LINEAR_UNROLLED
    for (int r = 0; r < R; r++) at[r] = (int64_t)(row + r < a.m ? row + r : a.m - 1) * a.k + 8 * lane;
    LINEAR_UNROLLED
    for (int i = 0; i < R * N; i++) acc[i / N][i % N] = 0.0f;
    const float *x = a.scratch + 8 * lane;
    for (int e = lane; e < eights; e += 32, x += 256) {
        linear_eight<TYPE> w[R];
        LINEAR_UNROLLED
        for (int r = 0; r < R; r++) w[r] = linear_load_eight<TYPE>(a.w, at[r]), at[r] += 256;
        LINEAR_UNROLLED
        for (int c = 0; c < N; c++) {
            linear_eight<BF_F32> v = linear_load_eight<BF_F32>(x, (int64_t)c * a.k);
            LINEAR_UNROLLED
            for (int i = 0; i < 8; i++)
                LINEAR_UNROLLED
                for (int r = 0; r < R; r++)
                    acc[r][c] = bf_fma(linear_widen<TYPE>(w[r], i), linear_widen<BF_F32>(v, i), acc[r][c]);
        }
    }
    /* The sums of all rows and columns first: lane i then finishes output i of the R * N. */
    float mine = 0.0f;
    LINEAR_UNROLLED
    for (int i = 0; i < R * N; i++) {
        float sum = bf_warp_sum_f(acc[i / N][i % N]);
        if (lane == i) mine = sum;
    }
    if (lane < R * N && row + lane / N < a.m) linear_finish<LINEAR_SOUND>(a, lane % N, row + lane / N, mine);
}

/* Any types, any k, any alignment: a warp two rows, a lane a weight. Columns from n on repeat the last. */
BF_FN void linear_vec_any_body(const linear_args &a) {
    constexpr int R = 2, N = LINEAR_MAX_N;
    int lane = bf_lane(), row = (bf_bid_x() * LINEAR_VEC_WARPS + bf_tid_x() / 32) * R;
    if (row >= a.m) return;
    float acc[R][N];
    LINEAR_UNROLLED
    for (int i = 0; i < R * N; i++) acc[i / N][i % N] = 0.0f;
    int64_t second = row + 1 < a.m ? a.k : 0, first = (int64_t)row * a.k;
    for (int k = lane; k < a.k; k += 32) {
        float w0 = linear_load(a.w, a.w_type, first + k), w1 = linear_load(a.w, a.w_type, first + second + k);
        LINEAR_UNROLLED
        for (int c = 0; c < N; c++) {
            float x = linear_load(a.x, a.x_type, (int64_t)(c < a.n ? c : a.n - 1) * a.k + k);
            acc[0][c] = bf_fma(w0, x, acc[0][c]);
            acc[1][c] = bf_fma(w1, x, acc[1][c]);
        }
    }
    float mine = 0.0f;
    LINEAR_UNROLLED
    for (int i = 0; i < R * N; i++) {
        float sum = bf_warp_sum_f(acc[i / N][i % N]);
        if (lane == i) mine = sum;
    }
    if (lane < R * N && row + lane / N < a.m && lane % N < a.n)
        linear_finish<LINEAR_SOUND>(a, lane % N, row + lane / N, mine);
}

#if BF_HOST
typedef bf_step_fn<linear_args> linear_fn;

static inline int linear_aligned(const void *p) { return ((uintptr_t)p & 15) == 0; }
/* NULL (not placed yet) counts as aligned. */
static inline int linear_wide(const bf_problem *p) {
    return p->dim[LINEAR_K] % 8 == 0 && linear_aligned(p->ptr[LINEAR_W]) && linear_aligned(p->ptr[LINEAR_X]);
}
static inline int linear_vec_accepts(const bf_problem *p) { return linear_accepts(p) && p->dim[LINEAR_N] <= LINEAR_MAX_N; }
static inline uint64_t linear_vec_scratch(const bf_problem *p) {
    return p->type[LINEAR_X] == BF_F32 || p->dim[LINEAR_K] % 8 ? 0 : (uint64_t)(p->dim[LINEAR_N] * p->dim[LINEAR_K]) * 4;
}
/* One lane's chain over its trips, then the steps of the warp's sum that add anything: lanes without weights hold zeros. */
static inline int64_t linear_vec_chain(const bf_problem *p) {
    int64_t each = linear_wide(p) ? 8 : 1, parts = p->dim[LINEAR_K] / each, steps = 0;
    while (steps < 5 && (int64_t)1 << steps < parts) steps++;
    return each * ((parts + 31) / 32) - 1 + steps;
}
/* rows: of a warp of `fn`. */
static inline int linear_vec_plan(const bf_problem *p, bf_step *s, linear_fn widen, linear_fn fn, int rows, linear_fn any) {
    linear_args a = linear_arguments(p);
    int steps = 0;
    if (!linear_wide(p)) {
        bf_step_set(&s[0], any, linear_blocks(a.m, 2 * LINEAR_VEC_WARPS), 1, LINEAR_VEC_THREADS, 1, 0, a);
        return 1;
    }
    if (p->type[LINEAR_X] == BF_F32)
        a.scratch = (float *)p->ptr[LINEAR_X];
    else
        bf_step_set(&s[steps++], widen, linear_blocks((int64_t)a.n * a.k, LINEAR_WIDEN_THREADS), 1, LINEAR_WIDEN_THREADS, 1, 0, a);
    bf_step_set(&s[steps++], fn, linear_blocks(a.m, rows * LINEAR_VEC_WARPS), 1, LINEAR_VEC_THREADS, 1, 0, a);
    return steps;
}
#endif
#endif
