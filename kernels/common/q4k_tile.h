/* q4k_tile.h: what the tuned mat-mul kernels of both GPUs share, in the dialect of device.h: which outputs a block and a
 * thread make, the decode of one sub-block's scale, and the whole fp32 tile. DEFECT is for the twins (kernels/broken).
 *
 * A block of 256 threads makes ROWS x COLS outputs; a thread makes 8 rows x COLS/16 columns of them. In a warp four
 * groups of rows meet eight groups of columns, so that a 128-bit read of shared memory touches 64 or 128 different
 * bytes. Rows past m and columns past n read the last one again and are not written.
 *
 * Args: a kernel argument with w, x, y, m, k, n as in matvec_args of either target. */
#ifndef BF_Q4K_TILE_H
#define BF_Q4K_TILE_H

#include "device.h"

#include "q4_k.h"

#if BF_HOST /* unrolling would only cost compile time there */
#define TILE_UNROLLED
#else
#define TILE_UNROLLED _Pragma("unroll")
#endif

enum tile_defect {
    TILE_SOUND,
    TILE_EDGE,   /* the last column of a tile is not written where n is not a multiple of the tile */
    TILE_BARRIER /* no barrier between filling shared memory and reading it */
};
constexpr int TILE_THREADS = 256, TILE_ROWS = 128;

/* What of the tile is this thread's. */
struct tile_place {
    int row0, column0;  /* of the block */
    int rows, columns;  /* groups 0..15 of this thread */
};
/* Blocks go through the columns first: those that run together share their rows of W. */
template <int COLS, class Args> BF_FN tile_place tile_of(const Args &a) {
    int t = bf_tid_x(), across = (a.n + COLS - 1) / COLS;
    return {bf_bid_x() / across * TILE_ROWS, bf_bid_x() % across * COLS, t / 64 * 4 + t % 32 / 8,
            t / 32 % 2 * 8 + t % 8};
}
template <int COLS, int DEFECT, class Args> BF_FN bool tile_has_column(const Args &a, int column) {
    return column < a.n - (DEFECT == TILE_EDGE && a.n % COLS != 0);
}
/* Four consecutive rows of y, one column. */
template <class Args> BF_FN void tile_store(const Args &a, int row, int column, const float v[4]) {
    float *y = a.y + (int64_t)column * a.m + row;
    if (a.m % 4 == 0 && row < a.m) {
        bf_st_u32x4(y, {bf_f_bits(v[0]), bf_f_bits(v[1]), bf_f_bits(v[2]), bf_f_bits(v[3])});
        return;
    }
    for (int i = 0; i < 4; i++)
        if (row + i < a.m) y[i] = v[i];
}
BF_FN int tile_least(int a, int b) { return a < b ? a : b; }

BF_FN uint32_t tile_word(bf_u32x4 v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

/* {d * sc, dmin * m} of sub-block 0..7, exact, from the first 16 bytes of a super-block; without a branch. */
struct alignas(8) tile_scale { float x, y; };
BF_FN tile_scale tile_scale_of(bf_u32x4 header, int sub) {
    bool split = sub >= 4;
    uint32_t shift = 8u * (uint32_t)(sub & 3), keep = split ? 15u : 63u, above = split ? 0x30u : 0u;
    uint32_t sc = ((split ? header.w : header.y) >> shift & keep) | (header.y >> shift >> 2 & above);
    uint32_t mn = ((split ? header.w >> 4 : header.z) >> shift & keep) | (header.z >> shift >> 2 & above);
    return {bf_f16_to_f32(header.x & 0xffffu) * (float)sc, bf_f16_to_f32(header.x >> 16) * (float)mn};
}
/* The low nibble of byte i of a word as a float; exact. sm_61 converts at a quarter of the rate, so there the nibble
 * becomes the low bits of 2^23; gfx has v_cvt_f32_ubyte. */
BF_FN float tile_nibble(uint32_t word, int i) {
#if defined(BF_DEVICE_HIP) || defined(BF_SIMT_HIP)
    return (float)((word & 0x0f0f0f0fu) >> 8 * i & 0xffu);
#else
    return bf_bits_f((word >> 8 * i & 15u) | 0x4b000000u) - 8388608.0f;
#endif
}

/* ---- fp32: a step is one sub-block of 32 weights ---- */
template <int COLS> struct alignas(16) fp32_tile {
    bf_f32x4 w[32][TILE_ROWS / 4], x[32][COLS / 4]; /* [k][row or column] */
};

/* What a thread fetches for one step: half a sub-block of one row, and 32 * COLS / 256 values of one column of x. */
template <int COLS> struct fp32_fetch {
    bf_u32x4 header, q, x[COLS / 32];
};

/* w: the row's super-blocks; q: the same, at this thread's nibbles; x: this thread's values of its column. */
template <int COLS> BF_FN fp32_fetch<COLS> fp32_tile_fetch(const char *w, const char *q, const float *x, int step) {
    fp32_fetch<COLS> f;
    f.header = bf_ld_u32x4(w + (int64_t)(step / 8) * BF_Q4_K_BYTES);
    f.q = bf_ld_u32x4(q + (int64_t)(step / 8) * BF_Q4_K_BYTES + step % 8 / 2 * 32);
    TILE_UNROLLED
    for (int i = 0; i < COLS / 32; i++) f.x[i] = bf_ld_u32x4(x + (int64_t)step * 32 + 4 * i);
    return f;
}

template <int COLS> BF_FN void fp32_tile_fill(const fp32_fetch<COLS> &f, int sub, fp32_tile<COLS> &s) {
    int t = bf_tid_x(), row = t % TILE_ROWS, half = t / TILE_ROWS, column = t % COLS, part = t / COLS * (COLS / 8);
    tile_scale scale = tile_scale_of(f.header, sub);
    float *w = (float *)s.w + 16 * half * TILE_ROWS + row, *x = (float *)s.x + part * COLS + column;
    TILE_UNROLLED
    for (int i = 0; i < 16; i++)
        w[i * TILE_ROWS] = bf_fma(scale.x, tile_nibble(tile_word(f.q, i / 4) >> 4 * (sub & 1), i % 4), -scale.y);
    TILE_UNROLLED
    for (int i = 0; i < COLS / 8; i++) x[i * COLS] = bf_bits_f(tile_word(f.x[i / 4], i % 4));
}

/* x: fp32 [n][k]. */
template <int COLS, int DEFECT, class Args> BF_FN void matmul_fp32_tile(const Args &a, fp32_tile<COLS> &s) {
    constexpr int QUADS = COLS / 64;
    tile_place at = tile_of<COLS>(a);
    int t = bf_tid_x(), row = tile_least(at.row0 + t % TILE_ROWS, a.m - 1), column = tile_least(at.column0 + t % COLS, a.n - 1);
    const char *w = (const char *)(a.w + (int64_t)row * (a.k / BF_Q4_K_WEIGHTS)), *q = w + 16 + t / TILE_ROWS * 16;
    const float *x = (const float *)a.x + (int64_t)column * a.k + t / COLS * (COLS / 8);
    float acc[8][4 * QUADS];
    TILE_UNROLLED
    for (int i = 0; i < 32 * QUADS; i++) acc[i / (4 * QUADS)][i % (4 * QUADS)] = 0.0f;

    fp32_fetch<COLS> f = fp32_tile_fetch<COLS>(w, q, x, 0);
    for (int step = 0, steps = a.k / 32; step < steps; step++) {
        fp32_tile_fill<COLS>(f, step % 8, s);
        if (DEFECT != TILE_BARRIER) bf_sync();
        if (step + 1 < steps) f = fp32_tile_fetch<COLS>(w, q, x, step + 1); /* on its way while this step is computed */
        TILE_UNROLLED
        for (int k = 0; k < 32; k++) {
            float u[8], v[4 * QUADS];
            TILE_UNROLLED
            for (int i = 0; i < 2; i++) {
                bf_f32x4 four = s.w[k][16 * i + at.rows];
                u[4 * i] = four.x, u[4 * i + 1] = four.y, u[4 * i + 2] = four.z, u[4 * i + 3] = four.w;
            }
            TILE_UNROLLED
            for (int i = 0; i < QUADS; i++) {
                bf_f32x4 four = s.x[k][16 * i + at.columns];
                v[4 * i] = four.x, v[4 * i + 1] = four.y, v[4 * i + 2] = four.z, v[4 * i + 3] = four.w;
            }
            TILE_UNROLLED
            for (int i = 0; i < 8; i++)
                TILE_UNROLLED
                for (int j = 0; j < 4 * QUADS; j++) acc[i][j] = bf_fma(u[i], v[j], acc[i][j]);
        }
        bf_sync();
    }
    TILE_UNROLLED
    for (int j = 0; j < 4 * QUADS; j++) {
        int c = at.column0 + j / 4 * 64 + at.columns * 4 + j % 4;
        if (!tile_has_column<COLS, DEFECT>(a, c)) continue;
        TILE_UNROLLED
        for (int i = 0; i < 2; i++) {
            float v[4] = {acc[4 * i][j], acc[4 * i + 1][j], acc[4 * i + 2][j], acc[4 * i + 3][j]};
            tile_store(a, at.row0 + 64 * i + at.rows * 4, c, v);
        }
    }
}

#endif
