/* q4k_wmma.h: the tiles of q4k_matmul.hip that use matrix instructions; kernels/broken/q4k_matmul.hip has twins of them by the
 * template parameter DEFECT. Operand layouts: ../common/device.h.
 *
 * A workgroup of 8 waves makes 128 rows x COLS columns (32, 64, 128), a wave always 32 columns and 16, 32 or 64 rows. x is
 * the instruction's A and W its B: then a lane's eight results belong to one row of W, whose scale it holds in two
 * registers, and neighbouring lanes store neighbouring outputs. In LDS 16-byte chunks lie [piece of K][row or column], so
 * that 16 lanes read 256 consecutive bytes. */
#ifndef BF_HIP_Q4K_WMMA_H
#define BF_HIP_Q4K_WMMA_H

#include "q4k_matmul_plain.h"

#include "../common/q4k_tile.h"
#include "q4k_quantise.h"

/* Nothing is moved across: left alone, the scheduler brings the LDS reads of a whole step forward and spills. */
BF_FN void wmma_in_order() {
#if !BF_HOST
    __builtin_amdgcn_sched_barrier(0);
#endif
}

/* v is needed here: what computes it is not put off beyond this place. */
BF_FN void wmma_pin(float v[8]) {
#if !BF_HOST
    for (int i = 0; i < 8; i++) asm volatile("" : "+v"(v[i]));
#else
    (void)v;
#endif
}

template <int COLS> struct wmma_place {
    static constexpr int ACROSS = COLS / 32, DOWN = 8 / ACROSS; /* waves */
    static constexpr int RT = TILE_ROWS / DOWN / 16, CT = 2;     /* 16 x 16 tiles of a wave */
    int row0, column0;  /* of the workgroup */
    int row, column;    /* of the wave, in the workgroup's tile */
    int line, half;     /* lane % 16, lane / 16 */
};
template <int COLS> BF_FN wmma_place<COLS> wmma_place_of(const matvec_args &a) {
    typedef wmma_place<COLS> P;
    int wave = bf_tid_x() / 32, lane = bf_lane(), across = (a.n + COLS - 1) / COLS;
    return {bf_bid_x() / across * TILE_ROWS, bf_bid_x() % across * COLS, wave / P::ACROSS * (16 * P::RT),
            wave % P::ACROSS * 32, lane % 16, lane / 16};
}
template <int COLS, int DEFECT>
BF_FN void wmma_store(const matvec_args &a, const wmma_place<COLS> &at, int rt, int ct, const float v[8]) {
    int r = at.row0 + at.row + 16 * rt + at.line, c = at.column0 + at.column + 16 * ct + at.half;
    for (int i = 0; i < 8; i++)
        if (r < a.m && tile_has_column<COLS, DEFECT>(a, c + 2 * i)) a.y[(int64_t)(c + 2 * i) * a.m + r] = v[i];
}

/* ---- int8: a step is a pair of sub-blocks, whose nibbles lie in the same 32 bytes ---- */
template <int COLS> struct alignas(16) wmma_int8_tile {
    bf_u32x4 w[2][2][TILE_ROWS], x[2][2][COLS]; /* [sub-block][half] */
    tile_scale scale[2][TILE_ROWS];
    float d[2][COLS], s[2][COLS]; /* in tiles of 16: even columns, then odd ones: what a lane's eight results need */
};
BF_FN int wmma_slot(int column) { return column / 16 * 16 + column % 2 * 8 + column % 16 / 2; }
/* Columns of the table {d, s} [k / 32][columns] in scratch; the padding is never written, nor are outputs that depend on it. */
BF_FN int64_t wmma_padded(int n) { return ((int64_t)n + 127) / 128 * 128; }

template <int COLS> struct wmma_int8_fetch {
    static constexpr int X = COLS * 4 / TILE_THREADS > 1 ? COLS * 4 / TILE_THREADS : 1; /* chunks of x a thread */
    bf_u32x4 header, q, x[X], ds;
};
/* w: the row's super-blocks; x: this thread's first chunk of its column; ds: two columns of its sub-block. */
template <int COLS>
BF_FN wmma_int8_fetch<COLS> wmma_int8_load(const matvec_args &a, const char *w, const int8_t *x, const char *ds, int step) {
    typedef wmma_int8_fetch<COLS> F;
    int t = bf_tid_x();
    F f = {};
    w += (int64_t)(step / 4) * BF_Q4_K_BYTES;
    f.header = bf_ld_u32x4(w), f.q = bf_ld_u32x4(w + 16 + step % 4 * 32 + t / TILE_ROWS * 16);
    if (COLS >= 64 || t < 4 * COLS)
        for (int i = 0; i < F::X; i++) f.x[i] = bf_ld_u32x4(x + (int64_t)step * 64 + i * (TILE_THREADS / COLS * 16));
    if (t < COLS) f.ds = bf_ld_u32x4(ds + (int64_t)step * 16 * wmma_padded(a.n));
    return f;
}
template <int COLS> BF_FN void wmma_int8_fill(const wmma_int8_fetch<COLS> &f, int pair, wmma_int8_tile<COLS> &s) {
    int t = bf_tid_x(), row = t % TILE_ROWS, half = t / TILE_ROWS;
    constexpr uint32_t LOW = 0x0f0f0f0fu;
    s.w[0][half][row] = {f.q.x & LOW, f.q.y & LOW, f.q.z & LOW, f.q.w & LOW};
    s.w[1][half][row] = {f.q.x >> 4 & LOW, f.q.y >> 4 & LOW, f.q.z >> 4 & LOW, f.q.w >> 4 & LOW};
    s.scale[half][row] = tile_scale_of(f.header, 2 * pair + half);
    if (COLS >= 64 || t < 4 * COLS)
        for (int i = 0; i < wmma_int8_fetch<COLS>::X; i++) {
            int chunk = t / COLS + i * (TILE_THREADS / COLS);
            s.x[chunk / 2][chunk % 2][t % COLS] = f.x[i];
        }
    if (t < COLS) {
        int sub = t / (COLS / 2), c = t % (COLS / 2) * 2;
        s.d[sub][wmma_slot(c)] = bf_bits_f(f.ds.x), s.s[sub][wmma_slot(c)] = bf_bits_f(f.ds.y);
        s.d[sub][wmma_slot(c + 1)] = bf_bits_f(f.ds.z), s.s[sub][wmma_slot(c + 1)] = bf_bits_f(f.ds.w);
    }
}

BF_FN void wmma_read8(const float *from, float v[8]) {
    bf_f32x4 a = *(const bf_f32x4 *)from, b = *(const bf_f32x4 *)(from + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

/* Two matrix steps a block of 32, exact; then d * (dsc * sum - dm * s) in the contract's order. */
template <int COLS>
BF_FN void wmma_int8_sub(const wmma_place<COLS> &at, const wmma_int8_tile<COLS> &s, int sub,
                         float acc[wmma_place<COLS>::RT][2][8]) {
    typedef wmma_place<COLS> P;
    bf_u32x4 x[P::CT][2];
    float d[P::CT][8], sum[P::CT][8];
    for (int ct = 0; ct < P::CT; ct++) {
        int tile = at.column + 16 * ct;
        for (int h = 0; h < 2; h++) x[ct][h] = s.x[sub][h][tile + at.line];
        wmma_read8(&s.d[sub][tile + 8 * at.half], d[ct]), wmma_read8(&s.s[sub][tile + 8 * at.half], sum[ct]);
    }
    for (int rt = 0; rt < P::RT; rt++) {
        int row = at.row + 16 * rt + at.line;
        bf_u32x4 w0 = s.w[sub][0][row], w1 = s.w[sub][1][row];
        tile_scale scale = s.scale[sub][row];
        for (int ct = 0; ct < P::CT; ct++) {
            bf_i32x8 dot = bf_wmma_i8(x[ct][1], w1, bf_wmma_i8(x[ct][0], w0, bf_i32x8{}));
            for (int i = 0; i < 8; i++)
                acc[rt][ct][i] = bf_fma(d[ct][i], bf_fma(scale.x, (float)dot.v[i], -(scale.y * sum[ct][i])), acc[rt][ct][i]);
        }
        for (int ct = 0; ct < P::CT; ct++) wmma_pin(acc[rt][ct]);
        wmma_in_order();
    }
}

/* One half of LDS is read while the other is filled: one barrier a step. */
template <int COLS, int DEFECT> BF_FN void matmul_int8_wmma(const matvec_args &a, wmma_int8_tile<COLS> s[2]) {
    typedef wmma_place<COLS> P;
    P at = wmma_place_of<COLS>(a);
    int t = bf_tid_x(), row = tile_least(at.row0 + t % TILE_ROWS, a.m - 1), column = tile_least(at.column0 + t % COLS, a.n - 1);
    const char *w = (const char *)(a.w + (int64_t)row * (a.k / BF_Q4_K_WEIGHTS));
    const int8_t *x = a.xq + (int64_t)column * a.k + t / COLS * 16;
    const char *ds = a.scratch + 8 * (t / (COLS / 2) * wmma_padded(a.n) + at.column0 + t % (COLS / 2) * 2);
    float acc[P::RT][2][8];
    for (int i = 0; i < P::RT * 16; i++) acc[i / 16][i / 8 % 2][i % 8] = 0.0f;

    wmma_int8_fetch<COLS> f = wmma_int8_load<COLS>(a, w, x, ds, 0);
    wmma_int8_fill<COLS>(f, 0, s[0]);
    bf_sync();
    for (int step = 0, steps = a.k / 64; step < steps; step++) {
        if (step + 1 < steps) f = wmma_int8_load<COLS>(a, w, x, ds, step + 1); /* on its way during the products */
        wmma_int8_sub<COLS>(at, s[step % 2], 0, acc);
        wmma_int8_sub<COLS>(at, s[step % 2], 1, acc);
        if (step + 1 < steps) wmma_int8_fill<COLS>(f, (step + 1) % 4, s[(step + 1) % 2]);
        if (DEFECT != TILE_BARRIER) bf_sync();
    }
    for (int rt = 0; rt < P::RT; rt++)
        for (int ct = 0; ct < P::CT; ct++) wmma_store<COLS, DEFECT>(a, at, rt, ct, acc[rt][ct]);
}

/* ---- f16 and bf16: a step is 64 weights of a row, rounded on their way into LDS ---- */
template <int COLS> struct alignas(16) wmma_half_tile {
    bf_u32x4 w[4][2][TILE_ROWS], x[4][2][COLS]; /* [16 of K][eight of them] */
};

/* To nearest even. A NaN weight is 0x7fc00000 or its negative (wmma_scale sees to it), to which 0x8000 may be added. */
template <int TYPE> BF_FN uint32_t wmma_pack(float a, float b) {
    if (TYPE == BF_F16) return bf_f32_to_f16(a) | bf_f32_to_f16(b) << 16;
    uint32_t u = bf_f_bits(a), v = bf_f_bits(b);
    u += (u >> 16 & 1u) + 0x7fffu, v += (v >> 16 & 1u) + 0x7fffu;
    return u >> 16 | (v & 0xffff0000u);
}
BF_FN tile_scale wmma_scale(bf_u32x4 header, int sub) {
    tile_scale s = tile_scale_of(header, sub);
    float nan = bf_bits_f(0x7fc00000u);
    return {s.x != s.x ? nan : s.x, s.y != s.y ? nan : s.y};
}
/* Eight weights: byte i of two words, low nibbles. */
template <int TYPE> BF_FN bf_u32x4 wmma_weights(uint32_t q0, uint32_t q1, tile_scale s) {
    float w[8];
    for (int i = 0; i < 8; i++) w[i] = bf_fma(s.x, (float)((i < 4 ? q0 : q1) >> 8 * (i % 4) & 0xffu), -s.y);
    return {wmma_pack<TYPE>(w[0], w[1]), wmma_pack<TYPE>(w[2], w[3]), wmma_pack<TYPE>(w[4], w[5]),
            wmma_pack<TYPE>(w[6], w[7])};
}

template <int COLS> struct wmma_half_fetch {
    static constexpr int X = COLS * 8 / TILE_THREADS; /* chunks of x a thread */
    bf_u32x4 header, q, x[X];
};
template <int COLS> BF_FN wmma_half_fetch<COLS> wmma_half_load(const char *w, const char *x, int step) {
    typedef wmma_half_fetch<COLS> F;
    F f;
    w += (int64_t)(step / 4) * BF_Q4_K_BYTES;
    f.header = bf_ld_u32x4(w), f.q = bf_ld_u32x4(w + 16 + step % 4 * 32 + bf_tid_x() / TILE_ROWS * 16);
    for (int i = 0; i < F::X; i++) f.x[i] = bf_ld_u32x4(x + (int64_t)step * 128 + i * (TILE_THREADS / COLS * 16));
    return f;
}
template <int COLS, int TYPE> BF_FN void wmma_half_fill(const wmma_half_fetch<COLS> &f, int pair, wmma_half_tile<COLS> &s) {
    int t = bf_tid_x(), row = t % TILE_ROWS, half = t / TILE_ROWS;
    constexpr uint32_t LOW = 0x0f0f0f0fu;
    tile_scale low = wmma_scale(f.header, 2 * pair), high = wmma_scale(f.header, 2 * pair + 1);
    s.w[half][0][row] = wmma_weights<TYPE>(f.q.x & LOW, f.q.y & LOW, low);
    s.w[half][1][row] = wmma_weights<TYPE>(f.q.z & LOW, f.q.w & LOW, low);
    s.w[2 + half][0][row] = wmma_weights<TYPE>(f.q.x >> 4 & LOW, f.q.y >> 4 & LOW, high);
    s.w[2 + half][1][row] = wmma_weights<TYPE>(f.q.z >> 4 & LOW, f.q.w >> 4 & LOW, high);
    for (int i = 0; i < wmma_half_fetch<COLS>::X; i++) {
        int chunk = t / COLS + i * (TILE_THREADS / COLS);
        s.x[chunk / 2][chunk % 2][t % COLS] = f.x[i];
    }
}
BF_FN bf_u32x8 wmma_operand(const bf_u32x4 &a, const bf_u32x4 &b) { return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}}; }

/* x: 16-bit values of TYPE, [n][k]. */
template <int COLS, int TYPE, int DEFECT> BF_FN void matmul_half_wmma(const matvec_args &a, wmma_half_tile<COLS> &s) {
    typedef wmma_place<COLS> P;
    P at = wmma_place_of<COLS>(a);
    int t = bf_tid_x(), row = tile_least(at.row0 + t % TILE_ROWS, a.m - 1), column = tile_least(at.column0 + t % COLS, a.n - 1);
    const char *w = (const char *)(a.w + (int64_t)row * (a.k / BF_Q4_K_WEIGHTS));
    const char *x = (const char *)a.x + 2 * ((int64_t)column * a.k) + t / COLS * 16;
    bf_f32x8 acc[P::RT][P::CT];
    for (int i = 0; i < P::RT * P::CT; i++) acc[i / P::CT][i % P::CT] = {};

    wmma_half_fetch<COLS> f = wmma_half_load<COLS>(w, x, 0);
    for (int step = 0, steps = a.k / 64; step < steps; step++) {
        wmma_half_fill<COLS, TYPE>(f, step % 4, s);
        if (DEFECT != TILE_BARRIER) bf_sync();
        if (step + 1 < steps) f = wmma_half_load<COLS>(w, x, step + 1);
        for (int k = 0; k < 4; k++) {
            bf_u32x8 u[P::CT];
            for (int ct = 0; ct < P::CT; ct++) {
                int c = at.column + 16 * ct + at.line;
                u[ct] = wmma_operand(s.x[k][0][c], s.x[k][1][c]);
            }
            for (int rt = 0; rt < P::RT; rt++) {
                int r = at.row + 16 * rt + at.line;
                bf_u32x8 v = wmma_operand(s.w[k][0][r], s.w[k][1][r]);
                for (int ct = 0; ct < P::CT; ct++)
                    acc[rt][ct] = TYPE == BF_F16 ? bf_wmma_f16(u[ct], v, acc[rt][ct]) : bf_wmma_bf16(u[ct], v, acc[rt][ct]);
            }
            wmma_in_order();
        }
        bf_sync();
    }
    for (int rt = 0; rt < P::RT; rt++)
        for (int ct = 0; ct < P::CT; ct++) wmma_store<COLS, DEFECT>(a, at, rt, ct, acc[rt][ct].v);
}

/* ---- what runs before a tile: four values of x a thread ---- */

/* Quantises x and leaves {d, s} of block b, column c at scratch[b][c]. */
BF_FN void wmma_quantise_body(const matvec_args &a, int threads) {
    int64_t at = 4 * ((int64_t)bf_bid_x() * threads + bf_tid_x());
    if (at >= (int64_t)a.n * a.k) return; /* whole waves: n * k is a multiple of 256 */
    quantised4 v = quantise4(a, at);
    int64_t c = at / a.k, b = at % a.k / 32;
    if (at % 32 == 0) bf_st_u32x2(a.scratch + 8 * (b * wmma_padded(a.n) + c), {bf_f_bits(v.d), bf_f_bits((float)v.s)});
}
/* Rounds x to TYPE. A NaN stays one: those bits that fall off may be all it has. */
template <int TYPE> BF_FN void wmma_narrow_body(const matvec_args &a, int threads) {
    int64_t at = 4 * ((int64_t)bf_bid_x() * threads + bf_tid_x());
    if (at >= (int64_t)a.n * a.k) return;
    bf_f32x4 v = matvec_read_x4(a.x, a.x_type, true, at);
    float x[4] = {v.x, v.y, v.z, v.w};
    for (int i = 0; i < 4; i++) x[i] = x[i] != x[i] ? bf_bits_f(0x7fc00000u) : x[i];
    bf_st_u32x2(a.scratch + 2 * at, {wmma_pack<TYPE>(x[0], x[1]), wmma_pack<TYPE>(x[2], x[3])});
}

#if BF_HOST
static inline int64_t wmma_tiles(const bf_problem *p, int columns) {
    return launch_groups(p->dim[Q4K_MATMUL_M], TILE_ROWS) * launch_groups(p->dim[Q4K_MATMUL_N], columns);
}
static inline uint64_t wmma_int8_scratch(const bf_problem *p) {
    return (uint64_t)wmma_padded((int)p->dim[Q4K_MATMUL_N]) * (uint64_t)(p->dim[Q4K_MATMUL_K] / 32) * 8;
}
#endif
#endif
