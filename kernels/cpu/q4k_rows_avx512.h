/* q4k_rows_avx512.h: sixteen rows of Q4_K side by side, one row in each 32-bit lane.
 *
 * A super-block's header is four 32-bit words and its quants are 32, so sixteen headers are four vectors and a sub-block pair
 * (32 bytes a row: even sub-block in the low nibbles, odd in the high) is eight, after transposing. The price is
 * two shuffles for each 64 weights-bytes; what it buys is that scales, conversions and sums of sixteen rows are single
 * instructions, that x is read as one broadcast word from its natural layout, and that nothing is added across lanes. */
#ifndef BF_CPU_Q4K_ROWS_AVX512_H
#define BF_CPU_Q4K_ROWS_AVX512_H

#include "../common/q4_k.h"
#include "x86.h"

#if defined(__x86_64__)
typedef struct q4k_heads16 {
    __m512i dd;           /* d in the low half, dmin in the high half of each lane, fp16 */
    __m512i sc[2], mn[2]; /* scales and minima: byte k of sc[i] is that of sub-block 4 i + k */
} q4k_heads16;

/* Sixteen rows `s` bytes apart, as four pointers and two distances: what the address units can take without arithmetic. */
typedef struct q4k_rows16 {
    const char *p[4]; /* rows 0, 4, 8, 12 */
    int64_t s, s3;
} q4k_rows16;

BF_AVX512_INLINE q4k_rows16 q4k_rows_at(const char *p, int64_t s) {
    return (q4k_rows16){{p, p + 4 * s, p + 8 * s, p + 12 * s}, s, 3 * s};
}
BF_AVX512_INLINE q4k_rows16 q4k_rows_on(q4k_rows16 r, int64_t bytes) {
    return (q4k_rows16){{r.p[0] + bytes, r.p[1] + bytes, r.p[2] + bytes, r.p[3] + bytes}, r.s, r.s3};
}
BF_AVX512_INLINE const char *q4k_row(const q4k_rows16 *r, int i) {
    return r->p[i / 4] + (i % 4 == 3 ? r->s3 : i % 4 * r->s);
}

BF_AVX512_INLINE q4k_heads16 q4k_heads_of(const q4k_rows16 *r) {
    __m512i a[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) { /* a[j]: rows j, j + 4, j + 8, j + 12 */
        a[j] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)q4k_row(r, j)));
        a[j] = _mm512_mask_broadcast_i32x4(a[j], 0x00f0, _mm_loadu_si128((const void *)q4k_row(r, j + 4)));
        a[j] = _mm512_mask_broadcast_i32x4(a[j], 0x0f00, _mm_loadu_si128((const void *)q4k_row(r, j + 8)));
        a[j] = _mm512_mask_broadcast_i32x4(a[j], 0xf000, _mm_loadu_si128((const void *)q4k_row(r, j + 12)));
    }
    __m512i l0 = _mm512_unpacklo_epi32(a[0], a[1]), h0 = _mm512_unpackhi_epi32(a[0], a[1]);
    __m512i l1 = _mm512_unpacklo_epi32(a[2], a[3]), h1 = _mm512_unpackhi_epi32(a[2], a[3]);
    __m512i s0 = _mm512_unpackhi_epi64(l0, l1), s1 = _mm512_unpacklo_epi64(h0, h1), s2 = _mm512_unpackhi_epi64(h0, h1);
    const __m512i m6 = _mm512_set1_epi8(0x3f), m4 = _mm512_set1_epi8(0x0f), m2 = _mm512_set1_epi8(0x30);
    enum { or_masked = 0xf8 }; /* a | (b & c) */
    return (q4k_heads16){
        .dd = _mm512_unpacklo_epi64(l0, l1),
        .sc = {_mm512_and_si512(s0, m6),
               _mm512_ternarylogic_epi32(_mm512_and_si512(s2, m4), _mm512_srli_epi32(s0, 2), m2, or_masked)},
        .mn = {_mm512_and_si512(s1, m6), _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi32(s2, 4), m4),
                                                                   _mm512_srli_epi32(s1, 2), m2, or_masked)}};
}

BF_AVX512_INLINE __m512 q4k_d16(const q4k_heads16 *h) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(h->dd)); }
BF_AVX512_INLINE __m512 q4k_dmin16(const q4k_heads16 *h) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(h->dd, 16)));
}

/* Byte k of each lane. */
BF_AVX512_INLINE __m512i q4k_byte16(__m512i v, int k) {
    const int none = (int)0x80808000u;
    return _mm512_shuffle_epi8(v, _mm512_set4_epi32((none | 12) + k, (none | 8) + k, (none | 4) + k, none + k));
}

/* v[d], d = 0..7: bytes 4 d .. 4 d + 3 of the 32 at offset `at` of each row. */
BF_AVX512_INLINE void q4k_transpose16(const q4k_rows16 *rows, int at, __m512i v[8]) {
    __m512i z[8], t[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) { /* rows 0-3 beside 4-7, 8-11 beside 12-15: the last stage puts them in order */
        int r = j < 4 ? j : j + 4;
        z[j] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)(q4k_row(rows, r) + at))),
                                  _mm256_loadu_si256((const void *)(q4k_row(rows, r + 4) + at)), 1);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 8; j += 2) {
        t[j] = _mm512_unpacklo_epi32(z[j], z[j + 1]);
        t[j + 1] = _mm512_unpackhi_epi32(z[j], z[j + 1]);
    }
#pragma GCC unroll 2
    for (int j = 0; j < 8; j += 4) {
        z[j] = _mm512_unpacklo_epi64(t[j], t[j + 2]);
        z[j + 1] = _mm512_unpackhi_epi64(t[j], t[j + 2]);
        z[j + 2] = _mm512_unpacklo_epi64(t[j + 1], t[j + 3]);
        z[j + 3] = _mm512_unpackhi_epi64(t[j + 1], t[j + 3]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        v[j] = _mm512_shuffle_i32x4(z[j], z[j + 4], 0x88);
        v[j + 4] = _mm512_shuffle_i32x4(z[j], z[j + 4], 0xdd);
    }
}

/* A quarter (g = 0..3) of what a super-block of sixteen rows asks for: these rows' next bytes into L1, `near`; the next unit's
 * into L2, `ahead`, 2,304 bytes a super-block. */
BF_AVX512_INLINE void q4k_prefetch16(const q4k_rows16 *near, const char *ahead, int g) {
#pragma GCC unroll 9
    for (int i = 0; i < 9; i++) _mm_prefetch(ahead + g * 576 + i * 64, _MM_HINT_T1);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) _mm_prefetch(q4k_row(near, g * 4 + (i & 3)) + (i >> 2) * 64, _MM_HINT_T0);
}

/* Where the L1 prefetch of super-block b is: two super-blocks on in the row, and from a row's end at the start of the
 * sixteen rows below. */
BF_AVX512_INLINE q4k_rows16 q4k_near16(q4k_rows16 r, int64_t b, int64_t blocks) {
    return q4k_rows_on(r, 2 * BF_Q4_K_BYTES + (b + 2 < blocks ? 0 : 15 * r.s));
}
#endif
#endif
