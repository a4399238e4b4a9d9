/* q4k_tile.h: the int8 tile of the tuned mat-mul kernels (q4k_matmul.cu tells the story; kernels/broken/q4k_matmul.cu has
 * twins of it, by the template parameter DEFECT), and what runs before a tile. */
#ifndef BF_CUDA_Q4K_TILE_H
#define BF_CUDA_Q4K_TILE_H

#include "q4k_matmul_naive.h"

#include "../common/q4k_tile.h"
#include "q4k_lane.h"
#include "q4k_quantise.h"

/* ---- int8: a step is a pair of sub-blocks, whose nibbles lie in the same 32 bytes ----
 *
 * Chunks of 16 bytes, [sub-block][half][row or column]. A thread's rows and columns are consecutive, but in a chunk they
 * lie 16 apart (slot = i * 16 + group), so that neighbouring lanes read neighbouring chunks. High nibbles are left in
 * place: 16 * q, with 1/16 in the scale. */
template <int COLS> struct alignas(16) int8_tile {
    bf_u32x4 w[2][2][TILE_ROWS], x[2][2][COLS];
    tile_scale scale[2][TILE_ROWS]; /* {dsc, dm} */
    float d[2][COLS], s[2][COLS];
};
BF_FN int tile_slot(int i, int each) { return i % each * 16 + i / each; }

/* d and s (as a float) of all columns, block after block of 32: what the quantiser leaves in scratch. Rows are padded
 * so that a tile reads whole vectors; the padding is never written, nor are outputs that depend on it. */
BF_FN int64_t int8_padded(int n) { return (n + 63) / 64 * 64; }

struct int8_fetch {
    bf_u32x4 a, b; /* of a row: header and nibbles; of the columns: q and {d, s} of two columns */
};

template <int COLS> BF_FN void int8_fill_rows(const int8_fetch &f, int pair, int8_tile<COLS> &s) {
    int t = bf_tid_x(), row = t % TILE_ROWS, half = t / TILE_ROWS, slot = tile_slot(row, 8);
    s.w[0][half][slot] = {f.b.x & 0x0f0f0f0fu, f.b.y & 0x0f0f0f0fu, f.b.z & 0x0f0f0f0fu, f.b.w & 0x0f0f0f0fu};
    s.w[1][half][slot] = {f.b.x & 0xf0f0f0f0u, f.b.y & 0xf0f0f0f0u, f.b.z & 0xf0f0f0f0u, f.b.w & 0xf0f0f0f0u};
    tile_scale scale = tile_scale_of(f.a, 2 * pair + half);
    s.scale[half][slot] = {half ? scale.x * 0.0625f : scale.x, scale.y};
}
template <int COLS> BF_FN void int8_fill_columns(const int8_fetch &f, int8_tile<COLS> &s) {
    int t = bf_tid_x(), sub = t / (COLS / 2), c = t % (COLS / 2) * 2;
    if (COLS == 64 || t < 4 * COLS) s.x[t / COLS / 2][t / COLS % 2][tile_slot(t % COLS, COLS / 16)] = f.a;
    if (t >= COLS) return;
    *(tile_scale *)&s.d[sub][c] = {bf_bits_f(f.b.x), bf_bits_f(f.b.z)};
    *(tile_scale *)&s.s[sub][c] = {bf_bits_f(f.b.y), bf_bits_f(f.b.w)};
}

/* One sub-block: 8 rows x J columns. */
template <int COLS, int SUB>
BF_FN void int8_dots(const tile_place &at, const int8_tile<COLS> &s, float acc[8][COLS / 16]) {
    constexpr int J = COLS / 16;
    bf_u32x4 v[J][2];
    float d[J], sum[J];
    UNROLLED
    for (int j = 0; j < J; j++) {
        v[j][0] = s.x[SUB][0][16 * j + at.columns], v[j][1] = s.x[SUB][1][16 * j + at.columns];
        d[j] = s.d[SUB][J * at.columns + j], sum[j] = s.s[SUB][J * at.columns + j];
    }
    UNROLLED
    for (int i = 0; i < 8; i++) {
        bf_u32x4 u0 = s.w[SUB][0][16 * i + at.rows], u1 = s.w[SUB][1][16 * i + at.rows];
        tile_scale scale = s.scale[SUB][16 * i + at.rows];
        UNROLLED
        for (int j = 0; j < J; j++) {
            int32_t dot = INT_BASE;
            UNROLLED
            for (int k = 0; k < 4; k++) dot = bf_dp4a_us(word_of(u0, k), (int32_t)word_of(v[j][0], k), dot);
            UNROLLED
            for (int k = 0; k < 4; k++) dot = bf_dp4a_us(word_of(u1, k), (int32_t)word_of(v[j][1], k), dot);
            float bracket = bf_fma(scale.x, int_value(dot), -(scale.y * sum[j]));
            acc[i][j] = bf_fma(d[j], bracket, acc[i][j]);
        }
    }
}

/* Rows are fetched while sub-block 0 is computed and columns while sub-block 1 is, into the other half of shared memory:
 * one barrier a step, and half of the registers that fetching all at once would hold. */
template <int COLS, int DEFECT> BF_FN void matmul_int8_tile(const matvec_args &a, int8_tile<COLS> s[2]) {
    constexpr int J = COLS / 16;
    tile_place at = tile_of<COLS>(a);
    int t = bf_tid_x(), row = tile_least(at.row0 + t % TILE_ROWS, a.m - 1), column = tile_least(at.column0 + t % COLS, a.n - 1);
    const char *w = (const char *)(a.w + (int64_t)row * (a.k / BF_Q4_K_WEIGHTS));
    const int8_t *x = a.xq + (int64_t)column * a.k + t / COLS * 16;
    int64_t padded = int8_padded(a.n);
    const float *ds = (const float *)a.scratch + 2 * (t / (COLS / 2) * padded + at.column0 + t % (COLS / 2) * 2);
    int nibbles = 16 + t / TILE_ROWS * 16;
    int8_tile<COLS> *here = s, *there = s + 1;
    float acc[8][J];
    UNROLLED
    for (int i = 0; i < 8 * J; i++) acc[i / J][i % J] = 0.0f;

    int8_fetch f = {bf_ld_u32x4(w), bf_ld_u32x4(w + nibbles)};
    int8_fill_rows<COLS>(f, 0, s[0]);
    if (COLS == 64 || t < 4 * COLS) f.a = bf_ld_u32x4(x);
    if (t < COLS) f.b = bf_ld_u32x4(ds);
    int8_fill_columns<COLS>(f, s[0]);
    bf_sync();
    for (int left = a.k / 64 - 1; left >= 0; left--) {
        int pair = -left & 3; /* of the step that is fetched: k / 64 is a multiple of 4 */
        if (left) {
            if (!pair) w += BF_Q4_K_BYTES;
            f.a = bf_ld_u32x4(w), f.b = bf_ld_u32x4(w + pair * 32 + nibbles);
        }
        int8_dots<COLS, 0>(at, *here, acc);
        if (left) {
            int8_fill_rows<COLS>(f, pair, *there);
            x += 64, ds += 4 * padded;
            if (COLS == 64 || t < 4 * COLS) f.a = bf_ld_u32x4(x);
            if (t < COLS) f.b = bf_ld_u32x4(ds);
        }
        int8_dots<COLS, 1>(at, *here, acc);
        if (left) int8_fill_columns<COLS>(f, *there);
        if (DEFECT != TILE_BARRIER) bf_sync();
        int8_tile<COLS> *swap = here;
        here = there, there = swap;
    }
    UNROLLED
    for (int j = 0; j < J; j++) {
        int c = at.column0 + at.columns * J + j;
        if (!tile_has_column<COLS, DEFECT>(a, c)) continue;
        UNROLLED
        for (int i = 0; i < 2; i++) {
            float v[4] = {acc[4 * i][j], acc[4 * i + 1][j], acc[4 * i + 2][j], acc[4 * i + 3][j]};
            tile_store(a, at.row0 + at.rows * 8 + 4 * i, c, v);
        }
    }
}

/* ---- what runs before a tile: four values of x a thread ---- */

/* Quantises x and leaves {d, s} of block b, column c at scratch[b][c]. */
BF_FN void matmul_quantise_body(const matvec_args &a, int threads) {
    int64_t e = 4 * ((int64_t)bf_bid_x() * threads + bf_tid_x());
    if (e >= (int64_t)a.n * a.k) return; /* whole warps: n * k is a multiple of 256 */
    quantised4 v = quantise4(a, e);
    int64_t c = e / a.k, b = e % a.k / 32;
    if (e % 32 == 0)
        bf_st_u32x2((bf_u32x2 *)a.scratch + b * int8_padded(a.n) + c, {bf_f_bits(v.d), bf_f_bits((float)v.sum)});
}
/* Widens x to fp32 in scratch. */
BF_FN void matmul_widen_body(const matvec_args &a, int threads) {
    int64_t e = 4 * ((int64_t)bf_bid_x() * threads + bf_tid_x());
    if (e >= (int64_t)a.n * a.k) return;
    float v[4];
    load_x4(a.x, a.x_type, e, v);
    bf_st_u32x4((bf_u32x4 *)a.scratch + e / 4, {bf_f_bits(v[0]), bf_f_bits(v[1]), bf_f_bits(v[2]), bf_f_bits(v[3])});
}

#if BF_HOST
static inline int64_t matmul_tiles(const bf_problem *p, int columns) {
    return launch_blocks(p->dim[Q4K_MATMUL_M], TILE_ROWS) * launch_blocks(p->dim[Q4K_MATMUL_N], columns);
}
static inline uint64_t matmul_int8_scratch(const bf_problem *p) {
    return (uint64_t)int8_padded((int)p->dim[Q4K_MATMUL_N]) * (uint64_t)(p->dim[Q4K_MATMUL_K] / 32) * 8;
}
#endif
#endif
