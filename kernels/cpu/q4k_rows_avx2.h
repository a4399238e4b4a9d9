/* q4k_rows_avx2.h: four rows of Q4_K side by side, one row in each 32-bit lane of both halves of a vector. The design
 * is that of q4k_rows_avx512.h, fitted to 16 registers: of 32 bytes of quants only four-by-four words are transposed, so that
 * word d is in the low half and word d + 4 in the high half, and x comes in the same order from a table. */
#ifndef BF_CPU_Q4K_ROWS_AVX2_H
#define BF_CPU_Q4K_ROWS_AVX2_H

#include "../common/q4_k.h"
#include "x86.h"

#if defined(__x86_64__)
/* Four rows `s` bytes apart. */
typedef struct q4k_rows4 {
    const char *p;
    int64_t s, s3;
} q4k_rows4;

BF_AVX2_INLINE const char *q4k_row4(const q4k_rows4 *r, int i) { return r->p + (i == 3 ? r->s3 : i * r->s); }

/* Four by four words transposed in each half. */
BF_AVX2_INLINE void q4k_turn4(const __m256i z[4], __m256i v[4]) {
    __m256i l0 = _mm256_unpacklo_epi32(z[0], z[1]), h0 = _mm256_unpackhi_epi32(z[0], z[1]);
    __m256i l1 = _mm256_unpacklo_epi32(z[2], z[3]), h1 = _mm256_unpackhi_epi32(z[2], z[3]);
    v[0] = _mm256_unpacklo_epi64(l0, l1), v[1] = _mm256_unpackhi_epi64(l0, l1);
    v[2] = _mm256_unpacklo_epi64(h0, h1), v[3] = _mm256_unpackhi_epi64(h0, h1);
}

/* Headers, the same in both halves. */
typedef struct q4k_heads4 {
    __m256i dd;           /* d in the low half, dmin in the high half of each lane, fp16 */
    __m256i sc[2], mn[2]; /* scales and minima: byte k of sc[i] is that of sub-block 4 i + k */
} q4k_heads4;

BF_AVX2_INLINE q4k_heads4 q4k_heads4_of(const q4k_rows4 *r) {
    __m256i z[4], t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) z[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)q4k_row4(r, i)));
    q4k_turn4(z, t);
    const __m256i m6 = _mm256_set1_epi8(0x3f), m4 = _mm256_set1_epi8(0x0f), m2 = _mm256_set1_epi8(0x30);
    return (q4k_heads4){
        .dd = t[0],
        .sc = {_mm256_and_si256(t[1], m6),
               _mm256_or_si256(_mm256_and_si256(t[3], m4), _mm256_and_si256(_mm256_srli_epi32(t[1], 2), m2))},
        .mn = {_mm256_and_si256(t[2], m6), _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(t[3], 4), m4),
                                                           _mm256_and_si256(_mm256_srli_epi32(t[2], 2), m2))}};
}

/* d (half = 0) or dmin (half = 1). */
BF_AVX2_INLINE __m256 q4k_half4(__m256i dd, int half) {
    __m128i w = _mm256_castsi256_si128(half ? _mm256_srli_epi32(dd, 16) : _mm256_and_si256(dd, _mm256_set1_epi32(0xffff)));
    return _mm256_cvtph_ps(_mm_packus_epi32(w, w));
}

/* In each lane byte `low` (in the low half of the vector) or `high` (in the high half), as a 32-bit number; `twice`: as two
 * 16-bit numbers. */
BF_AVX2_INLINE __m256i q4k_byte4(__m256i v, int low, int high, int twice) {
    const int none = twice ? (int)0x80008000u : (int)0x80808000u, one = twice ? 0x00010001 : 1;
    return _mm256_shuffle_epi8(v, _mm256_setr_epi32(none + one * low, none + one * (low + 4), none + one * (low + 8),
                                                    none + one * (low + 12), none + one * high, none + one * (high + 4),
                                                    none + one * (high + 8), none + one * (high + 12)));
}

/* v[d], d = 0..3: of the 32 bytes at offset `at` of each row, word d in the low half, word d + 4 in the high half. */
BF_AVX2_INLINE void q4k_words4(const q4k_rows4 *r, int at, __m256i v[4]) {
    __m256i z[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) z[i] = bf_keep256(_mm256_loadu_si256((const void *)(q4k_row4(r, i) + at)));
    q4k_turn4(z, v);
}

/* A quarter (g = 0..3) of what a super-block of four rows asks for: these rows' next bytes into L1, `near`; the next unit's
 * into L2, `ahead`, 576 bytes a super-block. */
BF_AVX2_INLINE void q4k_prefetch4(const q4k_rows4 *near, const char *ahead, int g) {
    _mm_prefetch(ahead + 128 * g, _MM_HINT_T1);
    _mm_prefetch(ahead + 128 * g + 64, _MM_HINT_T1);
    if (g == 3) _mm_prefetch(ahead + 512, _MM_HINT_T1);
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) _mm_prefetch(q4k_row4(near, g) + 64 * i, _MM_HINT_T0);
}

/* Where the L1 prefetch of super-block b is: two super-blocks on in the row, and from a row's end at the start of the
 * four rows below. */
BF_AVX2_INLINE q4k_rows4 q4k_near4(q4k_rows4 r, int64_t b, int64_t blocks) {
    r.p += 2 * BF_Q4_K_BYTES + (b + 2 < blocks ? 0 : 3 * r.s);
    return r;
}
#endif
#endif
