/* qblock_tuned.h: the tuned kernels of qblock_dequant and qblock_matmul for both GPUs, in the dialect of device.h. What they do and
 * why: kernels/cuda/qblock.cu. */
#ifndef BF_QBLOCK_TUNED_H
#define BF_QBLOCK_TUNED_H

#include "qblock_gpu.h"

#if BF_HOST /* unrolling would only cost compile time there */
#define QBLOCK_UNROLLED
#else
#define QBLOCK_UNROLLED _Pragma("unroll")
#endif

constexpr int QBLOCK_WARPS = 4, QBLOCK_THREADS = 32 * QBLOCK_WARPS, QBLOCK_COLUMNS = 8 /* of a block, at most */;

/* A place in memory aligned to 2: the word it lies in, and by how much it is off. */
struct loose {
    const char *word;
    int shift; /* 0 or 16 */
};
BF_FN loose loose_at(const char *p) {
    int odd = (int)((uint64_t)p & 2u);
    return {p - odd, 8 * odd};
}
BF_FN uint32_t loose_join(uint32_t low, uint32_t high, int shift) { return (uint32_t)(((uint64_t)high << 32 | low) >> shift); }
/* Four bytes at offset `at` (a multiple of 4). The part of the next word that is needed is a half: a tensor may end behind it. */
BF_FN uint32_t loose_word(loose l, int at) {
    return loose_join(bf_ld_u32(l.word + at), bf_ld_u16(l.word + at + 2 + l.shift / 8), l.shift);
}
/* Eight bytes. */
BF_FN bf_u32x2 loose_pair(loose l, int at) {
    uint32_t a = bf_ld_u32(l.word + at), b = bf_ld_u32(l.word + at + 4), c = bf_ld_u16(l.word + at + 6 + l.shift / 8);
    return {loose_join(a, b, l.shift), loose_join(b, c, l.shift)};
}

/* Four unsigned bytes less `bias` as floats, exact. sm_61 converts at a quarter of the rate: there the byte becomes the low bits
 * of 2^23. */
BF_FN float byte_value(uint32_t word, int i, float bias) {
#if defined(BF_DEVICE_HIP) || defined(BF_SIMT_HIP)
    return (float)(word >> 8 * i & 0xffu) - bias;
#else
    return bf_bits_f((word >> 8 * i & 0xffu) | 0x4b000000u) - (8388608.0f + bias);
#endif
}
/* An integer sum that was started at dot_base(): |sum| < 2^22. */
#if defined(BF_DEVICE_HIP) || defined(BF_SIMT_HIP)
BF_FN int32_t dot_base() { return 0; }
BF_FN float dot_value(int32_t sum) { return (float)sum; }
#else
BF_FN int32_t dot_base() { return INT_BASE; }
BF_FN float dot_value(int32_t sum) { return int_value(sum); }
#endif

/* ---- Q6_K: what a lane holds of a super-block: quarter t of half `part` has weights 128*part + 32*t + 8*i .. + 7 ---- */
struct q6_lane {
    bf_u32x2 q[4];  /* 0..63, four a word */
    float scale[4]; /* d * sc */
};
/* i: 0..3. */
BF_FN q6_lane q6_fetch(const char *block, int part, int i) {
    loose l = loose_at(block);
    bf_u32x2 a = loose_pair(l, 64 * part + 8 * i), b = loose_pair(l, 64 * part + 32 + 8 * i);
    bf_u32x2 h = loose_pair(l, 128 + 32 * part + 8 * i), s = loose_pair(l, 192 + 8 * part);
    float d = bf_f16_to_f32(bf_ld_u16(block + 208));
    q6_lane r;
    uint32_t m = 0x0f0f0f0fu, n = 0x30303030u;
    r.q[0] = {(a.x & m) | (h.x << 4 & n), (a.y & m) | (h.y << 4 & n)};
    r.q[1] = {(b.x & m) | (h.x << 2 & n), (b.y & m) | (h.y << 2 & n)};
    r.q[2] = {(a.x >> 4 & m) | (h.x & n), (a.y >> 4 & m) | (h.y & n)};
    r.q[3] = {(b.x >> 4 & m) | (h.x >> 2 & n), (b.y >> 4 & m) | (h.y >> 2 & n)};
    int up = 24 - 8 * (i >> 1); /* sub-blocks of 16: of the two scales of a quarter the first for i < 2 */
    r.scale[0] = d * (float)((int32_t)(s.x << up) >> 24);
    r.scale[1] = d * (float)((int32_t)((s.x >> 16) << up) >> 24);
    r.scale[2] = d * (float)((int32_t)(s.y << up) >> 24);
    r.scale[3] = d * (float)((int32_t)((s.y >> 16) << up) >> 24);
    return r;
}

/* The columns of this block's group: a column past the last reads the last again and is not written. */
BF_FN int column_at(const matvec_args &a, int c) {
    c += QBLOCK_COLUMNS * bf_bid_y();
    return c < a.n ? c : a.n - 1;
}
template <int R, int N> BF_FN void store_sums(const matvec_args &a, int row, float (&acc)[R][N]) {
    QBLOCK_UNROLLED
    for (int i = 0; i < R * N; i++) {
        float sum = bf_warp_sum_f(acc[i / N][i % N]);
        int c = QBLOCK_COLUMNS * bf_bid_y() + i % N;
        if (bf_lane() == 0 && row + i / N < a.m && c < a.n) a.y[(int64_t)c * a.m + row + i / N] = sum;
    }
}
template <int R> BF_FN int first_row() { return (bf_bid_x() * QBLOCK_WARPS + bf_tid_x() / 32) * R; }

template <int N, int R> BF_FN void int8_q6k(const matvec_args &a) {
    int row = first_row<R>(), lane = bf_lane(), part = lane / 4 % 2, i = lane % 4, blocks = a.k / 256;
    if (row >= a.m) return;
    const char *w[R];
    float acc[R][N];
    QBLOCK_UNROLLED
    for (int r = 0; r < R; r++)
        w[r] = (const char *)(const void *)a.w + ((int64_t)(row + r < a.m ? row + r : row) * blocks + lane / 8) * BF_Q6_K_BYTES;
    QBLOCK_UNROLLED
    for (int o = 0; o < R * N; o++) acc[o / N][o % N] = 0.0f;
    for (int b = lane / 8; b < blocks; b += 4) {
        q6_lane q[R];
        QBLOCK_UNROLLED
        for (int r = 0; r < R; r++) q[r] = q6_fetch(w[r], part, i), w[r] += 4 * BF_Q6_K_BYTES;
        QBLOCK_UNROLLED
        for (int c = 0; c < N; c++) {
            int64_t at = (int64_t)column_at(a, c) * blocks + b; /* one place for x and its scales: registers are short */
            const int8_t *x = a.xq + 256 * at + 128 * part + 8 * i;
            bf_u32x4 ds = bf_ld_u32x4(a.xd + 8 * at + 4 * part);
            uint32_t d[4] = {ds.x, ds.y, ds.z, ds.w};
            QBLOCK_UNROLLED
            for (int t = 0; t < 4; t++) {
                bf_u32x2 v = bf_ld_u32x2(x + 32 * t);
                int32_t minus32 = bf_dp4a((int32_t)0xe0e0e0e0u, (int32_t)v.y, bf_dp4a((int32_t)0xe0e0e0e0u, (int32_t)v.x, dot_base()));
                QBLOCK_UNROLLED
                for (int r = 0; r < R; r++) {
                    int32_t dot = bf_dp4a_us(q[r].q[t].y, (int32_t)v.y, bf_dp4a_us(q[r].q[t].x, (int32_t)v.x, minus32));
                    acc[r][c] = bf_fma(bf_bits_f(d[t]), q[r].scale[t] * dot_value(dot), acc[r][c]);
                }
            }
        }
    }
    store_sums(a, row, acc);
}

/* x: fp32 [n][k]. */
template <int N, int R> BF_FN void fp32_q6k(const matvec_args &a) {
    int row = first_row<R>(), lane = bf_lane(), part = lane / 4 % 2, i = lane % 4, blocks = a.k / 256;
    if (row >= a.m) return;
    const char *w[R];
    float acc[R][N];
    QBLOCK_UNROLLED
    for (int r = 0; r < R; r++)
        w[r] = (const char *)(const void *)a.w + ((int64_t)(row + r < a.m ? row + r : row) * blocks + lane / 8) * BF_Q6_K_BYTES;
    QBLOCK_UNROLLED
    for (int o = 0; o < R * N; o++) acc[o / N][o % N] = 0.0f;
    for (int b = lane / 8; b < blocks; b += 4) {
        q6_lane q[R];
        QBLOCK_UNROLLED
        for (int r = 0; r < R; r++) q[r] = q6_fetch(w[r], part, i), w[r] += 4 * BF_Q6_K_BYTES;
        QBLOCK_UNROLLED
        for (int t = 0; t < 4; t++) {
            float value[R][8];
            QBLOCK_UNROLLED
            for (int j = 0; j < 8 * R; j++) value[j / 8][j % 8] = byte_value(j % 8 < 4 ? q[j / 8].q[t].x : q[j / 8].q[t].y, j % 4, 32.0f);
            QBLOCK_UNROLLED
            for (int c = 0; c < N; c++) {
                const float *x = (const float *)a.x + (int64_t)column_at(a, c) * a.k + 256 * b + 128 * part + 32 * t + 8 * i;
                bf_u32x4 lo = bf_ld_u32x4(x), hi = bf_ld_u32x4(x + 4);
                uint32_t v[8] = {lo.x, lo.y, lo.z, lo.w, hi.x, hi.y, hi.z, hi.w};
                QBLOCK_UNROLLED
                for (int r = 0; r < R; r++) {
                    float sum = 0.0f;
                    QBLOCK_UNROLLED
                    for (int j = 0; j < 8; j++) sum = bf_fma(value[r][j], bf_bits_f(v[j]), sum);
                    acc[r][c] = bf_fma(q[r].scale[t], sum, acc[r][c]);
                }
            }
        }
    }
    store_sums(a, row, acc);
}

/* ---- Q8_0 and MXFP4, blocks of 32: what a lane holds of one. PAIRS times eight weights from number 8 i on, 16 apart; LANES lanes a block.
 * Q8_0: signed bytes 8 i .. 8 i + 7, i < 4. MXFP4: the low and the high nibbles of bytes 8 i .. 8 i + 7, i < 2, as 12 + 2 v. ---- */
template <class B> struct block32_shape;
template <> struct block32_shape<bf_q8_0> {
    enum { LANES = 4, PAIRS = 1 };
};
template <> struct block32_shape<bf_mxfp4> {
    enum { LANES = 2, PAIRS = 2 };
};
template <class B> struct block32_lane {
    bf_u32x2 q[block32_shape<B>::PAIRS];
    float d;
};
/* Where a lane reads: `at` is the word that the first of its eight bytes lies in, `shift` bits below it; `third` the distance to the half
 * (Q8_0) or word with the last, `scale` that to the half or word of the scale, which lies scale_shift bits up in it. A warp goes
 * on by 272 bytes, so that all but `at` stays. MXFP4: the tensor ends at a multiple of 4 bytes. */
struct block32_place {
    const char *at;
    int shift, third, scale, scale_shift;
};
BF_FN block32_place block32_find(const bf_q8_0 *block, int i) {
    const char *p = (const char *)block + 2 + 8 * i;
    int off = (int)((uint64_t)p & 2u);
    return {p - off, 8 * off, 6 + off, off - 2 - 8 * i, 0};
}
BF_FN block32_place block32_find(const bf_mxfp4 *block, int i) {
    const char *p = (const char *)block + 1 + 8 * i;
    int off = (int)((uint64_t)p & 3u), e = off - 1 - 8 * i;
    return {p - off, 8 * off, 4 + ((off + 3) & 4), e & ~3, 8 * (e & 3)};
}

/* The codes of a word as bytes 12 + 2 v: those of the low nibbles, those of the high ones. */
#if defined(BF_DEVICE_HIP) || defined(BF_SIMT_HIP)
BF_FN uint32_t mxfp4_bytes(uint32_t code) {
    uint32_t v = bf_perm(BF_MXFP4_MAGNITUDES_LOW, BF_MXFP4_MAGNITUDES_HIGH, code & 0x07070707u);
    uint32_t sign = code >> 3 & 0x01010101u, flip = (sign << 5) - sign; /* 31 where negative: 31 - v, then 31 less */
    return (v ^ flip) + (0x0c0c0c0cu - flip);
}
BF_FN bf_u32x2 mxfp4_word(uint32_t w) { return {mxfp4_bytes(w & 0x0f0f0f0fu), mxfp4_bytes(w >> 4 & 0x0f0f0f0fu)}; }
#else
/* Four nibbles select four bytes. In the table of the other sign they have bit 3 set, and select the sign of a byte, zero. */
BF_FN uint32_t mxfp4_bytes(uint32_t codes) {
    return bf_prmt(0x0f0e0d0cu, 0x18141210u, codes) | bf_prmt(0x090a0b0cu, 0x00040608u, codes ^ 0x8888u);
}
BF_FN bf_u32x2 mxfp4_word(uint32_t w) {
    uint32_t a = mxfp4_bytes(w), b = mxfp4_bytes(w >> 16); /* bytes: weights 0, 16, 1, 17 and 2, 18, 3, 19 */
    return {bf_prmt(a, b, 0x6420u), bf_prmt(a, b, 0x7531u)};
}
#endif

BF_FN block32_lane<bf_q8_0> block32_fetch(const bf_q8_0 *, const block32_place &p) {
    uint32_t a = bf_ld_u32(p.at), b = bf_ld_u32(p.at + 4), c = bf_ld_u16(p.at + p.third);
    return {{{loose_join(a, b, p.shift), loose_join(b, c, p.shift)}}, bf_f16_to_f32(bf_ld_u16(p.at + p.scale))};
}
BF_FN block32_lane<bf_mxfp4> block32_fetch(const bf_mxfp4 *, const block32_place &p) {
    uint32_t a = bf_ld_u32(p.at), b = bf_ld_u32(p.at + 4), c = bf_ld_u32(p.at + p.third), e = bf_ld_u32(p.at + p.scale);
    bf_u32x2 first = mxfp4_word(loose_join(a, b, p.shift)), second = mxfp4_word(loose_join(b, c, p.shift));
    return {{{first.x, second.x}, {first.y, second.y}}, bf_bits_f(bf_mxfp4_half_scale(e >> p.scale_shift & 255u))};
}
/* A dot product starts at what the bias of the weights would add, and goes on with four weights. */
BF_FN int32_t block32_start(const bf_q8_0 *, bf_u32x2, int32_t sum) { return sum; }
BF_FN int32_t block32_start(const bf_mxfp4 *, bf_u32x2 x, int32_t sum) {
    int32_t minus12 = (int32_t)0xf4f4f4f4u;
    return bf_dp4a(minus12, (int32_t)x.y, bf_dp4a(minus12, (int32_t)x.x, sum));
}
BF_FN int32_t block32_dot(const bf_q8_0 *, uint32_t q, uint32_t x, int32_t sum) { return bf_dp4a((int32_t)q, (int32_t)x, sum); }
BF_FN int32_t block32_dot(const bf_mxfp4 *, uint32_t q, uint32_t x, int32_t sum) { return bf_dp4a_us(q, (int32_t)x, sum); }
/* Weight j of a word as a float. */
BF_FN float block32_value(const bf_q8_0 *, uint32_t word, int j) { return byte_value(word ^ 0x80808080u, j, 128.0f); }
BF_FN float block32_value(const bf_mxfp4 *, uint32_t word, int j) { return byte_value(word, j, 12.0f); }

template <class B, int N, int R> BF_FN void int8_block32(const matvec_args &a) {
    constexpr int LANES = block32_shape<B>::LANES, PAIRS = block32_shape<B>::PAIRS;
    int row = first_row<R>(), lane = bf_lane(), i = lane % LANES, blocks = a.k / 32;
    if (row >= a.m) return;
    block32_place w[R];
    float acc[R][N];
    QBLOCK_UNROLLED
    for (int r = 0; r < R; r++)
        w[r] = block32_find((const B *)(const void *)a.w + (int64_t)(row + r < a.m ? row + r : row) * blocks + lane / LANES, i);
    QBLOCK_UNROLLED
    for (int o = 0; o < R * N; o++) acc[o / N][o % N] = 0.0f;
    for (int b = lane / LANES; b < blocks; b += 32 / LANES) {
        block32_lane<B> q[R];
        QBLOCK_UNROLLED
        for (int r = 0; r < R; r++) q[r] = block32_fetch((const B *)0, w[r]), w[r].at += 32 / LANES * (int)sizeof(B);
        QBLOCK_UNROLLED
        for (int c = 0; c < N; c++) {
            int column = column_at(a, c);
            bf_u32x2 v[PAIRS];
            int32_t start = dot_base();
            QBLOCK_UNROLLED
            for (int p = 0; p < PAIRS; p++) {
                v[p] = bf_ld_u32x2(a.xq + (int64_t)column * a.k + 32 * b + 8 * i + 16 * p);
                start = block32_start((const B *)0, v[p], start);
            }
            float d = bf_bits_f(bf_ld_u32(a.xd + (int64_t)column * blocks + b));
            QBLOCK_UNROLLED
            for (int r = 0; r < R; r++) {
                int32_t dot = start;
                QBLOCK_UNROLLED
                for (int p = 0; p < PAIRS; p++)
                    dot = block32_dot((const B *)0, q[r].q[p].y, v[p].y, block32_dot((const B *)0, q[r].q[p].x, v[p].x, dot));
                acc[r][c] = bf_fma(d, q[r].d * dot_value(dot), acc[r][c]);
            }
        }
    }
    store_sums(a, row, acc);
}

template <class B, int N, int R> BF_FN void fp32_block32(const matvec_args &a) {
    constexpr int LANES = block32_shape<B>::LANES, PAIRS = block32_shape<B>::PAIRS;
    int row = first_row<R>(), lane = bf_lane(), i = lane % LANES, blocks = a.k / 32;
    if (row >= a.m) return;
    block32_place w[R];
    float acc[R][N];
    QBLOCK_UNROLLED
    for (int r = 0; r < R; r++)
        w[r] = block32_find((const B *)(const void *)a.w + (int64_t)(row + r < a.m ? row + r : row) * blocks + lane / LANES, i);
    QBLOCK_UNROLLED
    for (int o = 0; o < R * N; o++) acc[o / N][o % N] = 0.0f;
    for (int b = lane / LANES; b < blocks; b += 32 / LANES) {
        block32_lane<B> q[R];
        QBLOCK_UNROLLED
        for (int r = 0; r < R; r++) q[r] = block32_fetch((const B *)0, w[r]), w[r].at += 32 / LANES * (int)sizeof(B);
        QBLOCK_UNROLLED
        for (int p = 0; p < PAIRS; p++) {
            float value[R][8];
            QBLOCK_UNROLLED
            for (int j = 0; j < 8 * R; j++) value[j / 8][j % 8] = block32_value((const B *)0, j % 8 < 4 ? q[j / 8].q[p].x : q[j / 8].q[p].y, j % 4);
            QBLOCK_UNROLLED
            for (int c = 0; c < N; c++) {
                const float *x = (const float *)a.x + (int64_t)column_at(a, c) * a.k + 32 * b + 8 * i + 16 * p;
                bf_u32x4 lo = bf_ld_u32x4(x), hi = bf_ld_u32x4(x + 4);
                uint32_t v[8] = {lo.x, lo.y, lo.z, lo.w, hi.x, hi.y, hi.z, hi.w};
                QBLOCK_UNROLLED
                for (int r = 0; r < R; r++) {
                    float sum = 0.0f;
                    QBLOCK_UNROLLED
                    for (int j = 0; j < 8; j++) sum = bf_fma(value[r][j], bf_bits_f(v[j]), sum);
                    acc[r][c] = bf_fma(q[r].d, sum, acc[r][c]);
                }
            }
        }
    }
    store_sums(a, row, acc);
}

/* ---- x, once ---- */

/* Four values a thread; n*k is a multiple of 32 but not of a warp's 128: lanes past the end read the last block again, so that
 * all lanes shuffle, and write nothing. */
typedef struct x_place {
    int64_t at;
    bool mine;
} x_place;
BF_FN x_place x_place_of(const matvec_args &a) {
    int64_t e = 4 * ((int64_t)bf_bid_x() * QBLOCK_THREADS + bf_tid_x()), all = (int64_t)a.n * a.k;
    return {e < all ? e : all - 32 + e % 32, e < all};
}
BF_FN void quantise_x(const matvec_args &a) {
    x_place e = x_place_of(a);
    quantise4(a, e.at, e.mine);
}
BF_FN void widen_x(const matvec_args &a) {
    int64_t e = 4 * ((int64_t)bf_bid_x() * QBLOCK_THREADS + bf_tid_x());
    if (e >= (int64_t)a.n * a.k) return;
    bf_u32x2 u = bf_ld_u32x2((const uint16_t *)a.x + e);
    uint32_t h[4] = {u.x & 0xffffu, u.x >> 16, u.y & 0xffffu, u.y >> 16};
    for (int i = 0; i < 4; i++) h[i] = a.x_type == BF_F16 ? bf_f_bits(bf_f16_to_f32(h[i])) : bf_bf16_to_f32_bits(h[i]);
    bf_st_u32x4((float *)(void *)a.scratch + e, {h[0], h[1], h[2], h[3]});
}

/* ---- dequantisation ---- */
BF_FN void store_four(void *y, int to, int64_t at, const float f[4]) {
    uint32_t u[4];
    for (int i = 0; i < 4; i++) u[i] = qblock_narrow(f[i], to);
    if (to == BF_F32)
        bf_st_u32x4((uint32_t *)y + at, {u[0], u[1], u[2], u[3]});
    else
        bf_st_u32x2((uint16_t *)y + at, {u[0] | u[1] << 16, u[2] | u[3] << 16});
}

template <int TO> BF_FN void dequant_q6k(const qblock_dequant_args &a) {
    int64_t step = (int64_t)bf_gdim_x() * QBLOCK_THREADS;
    for (int64_t e = (int64_t)bf_bid_x() * QBLOCK_THREADS + bf_tid_x(); e < a.n / 16; e += step) {
        const char *block = (const char *)a.w + e / 16 * BF_Q6_K_BYTES;
        int part = (int)(e % 16 / 8), j = (int)(e % 8);
        loose l = loose_at(block);
        uint32_t lo = loose_word(l, 64 * part + 4 * j), hi = loose_word(l, 64 * part + 32 + 4 * j), h = loose_word(l, 128 + 32 * part + 4 * j);
        uint32_t m = 0x0f0f0f0fu, n = 0x30303030u;
        uint32_t q[4] = {(lo & m) | (h << 4 & n), (hi & m) | (h << 2 & n), (lo >> 4 & m) | (h & n), (hi >> 4 & m) | (h >> 2 & n)};
        bf_u32x2 s = loose_pair(l, 192 + 8 * part);
        float d = bf_f16_to_f32(bf_ld_u16(block + 208));
        int up = 24 - 8 * (j >> 2);
        QBLOCK_UNROLLED
        for (int t = 0; t < 4; t++) {
            uint32_t both = t < 2 ? s.x : s.y;
            float scale = d * (float)((int32_t)((t & 1 ? both >> 16 : both) << up) >> 24), f[4];
            QBLOCK_UNROLLED
            for (int i = 0; i < 4; i++) f[i] = scale * byte_value(q[t], i, 32.0f);
            store_four(a.y, TO, e / 16 * 256 + 128 * part + 32 * t + 4 * j, f);
        }
    }
}
template <int TO> BF_FN void dequant_q80(const qblock_dequant_args &a) {
    int64_t step = (int64_t)bf_gdim_x() * QBLOCK_THREADS;
    for (int64_t e = (int64_t)bf_bid_x() * QBLOCK_THREADS + bf_tid_x(); e < a.n / 4; e += step) {
        const char *block = (const char *)a.w + e / 8 * BF_Q8_0_BYTES;
        uint32_t q = loose_word(loose_at(block + 2), 4 * (int)(e % 8)) ^ 0x80808080u;
        float d = bf_f16_to_f32(bf_ld_u16(block)), f[4];
        QBLOCK_UNROLLED
        for (int i = 0; i < 4; i++) f[i] = d * byte_value(q, i, 128.0f);
        store_four(a.y, TO, 4 * e, f);
    }
}
/* A lane four bytes: eight weights. */
template <int TO> BF_FN void dequant_mxfp4(const qblock_dequant_args &a) {
    int64_t step = (int64_t)bf_gdim_x() * QBLOCK_THREADS;
    for (int64_t e = (int64_t)bf_bid_x() * QBLOCK_THREADS + bf_tid_x(); e < a.n / 8; e += step) {
        const char *block = (const char *)a.w + e / 4 * BF_MXFP4_BYTES;
        int j = 4 * (int)(e % 4), off = (int)((uint64_t)block & 3u), at = (off + 1 + j) & ~3, last = (off + 4 + j) & ~3;
        const char *word = block - off;
        bf_u32x2 q = mxfp4_word(loose_join(bf_ld_u32(word + at), bf_ld_u32(word + last), 8 * ((off + 1) & 3)));
        float d = bf_bits_f(bf_mxfp4_half_scale(bf_ld_u32(word) >> 8 * off & 255u)), f[4];
        QBLOCK_UNROLLED
        for (int h = 0; h < 2; h++) {
            QBLOCK_UNROLLED
            for (int i = 0; i < 4; i++) f[i] = d * byte_value(h ? q.y : q.x, i, 12.0f);
            store_four(a.y, TO, e / 4 * 32 + 16 * h + j, f);
        }
    }
}

#endif
