/* qblock_avx2.h: Q6_K, Q8_0 and MXFP4 in 256-bit vectors of 32 weights, which share one block of quantised x. */
#ifndef BF_CPU_QBLOCK_AVX2_H
#define BF_CPU_QBLOCK_AVX2_H

#include "qblock.h"
#include "x86.h"

#if defined(__x86_64__)
/* 32 weights d*sc*q of a row. */
typedef struct qblock32 {
    __m256i q;      /* signed bytes */
    __m256i scale;  /* of each pair of them, 16 bit: sc of the first sixteen weights, then of the others; Q8_0, MXFP4: 1 */
    __m256 d;
} qblock32;

/* Weights 128 h .. 128 h + 127 of a super-block: four times 32. */
BF_AVX2_INLINE void qblock_q6_half(const char *block, int h, qblock32 out[4]) {
    const bf_q6_k *b = (const bf_q6_k *)block;
    const __m256i four = _mm256_set1_epi8(0x0f), two = _mm256_set1_epi8(0x30), bias = _mm256_set1_epi8(32);
    __m256i lo = _mm256_loadu_si256((const void *)(b->ql + 64 * h)), hi = _mm256_loadu_si256((const void *)(b->ql + 64 * h + 32));
    __m256i top = _mm256_loadu_si256((const void *)(b->qh + 32 * h));
    __m256i v[4] = {_mm256_or_si256(_mm256_and_si256(lo, four), _mm256_and_si256(_mm256_slli_epi16(top, 4), two)),
                    _mm256_or_si256(_mm256_and_si256(hi, four), _mm256_and_si256(_mm256_slli_epi16(top, 2), two)),
                    _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(lo, 4), four), _mm256_and_si256(top, two)),
                    _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(hi, 4), four), _mm256_and_si256(_mm256_srli_epi16(top, 2), two))};
    __m256i sc = _mm256_broadcastsi128_si256(_mm_cvtepi8_epi16(_mm_loadl_epi64((const void *)(b->scales + 8 * h))));
    __m256 d = _mm256_set1_ps(_cvtsh_ss(b->d));
#pragma GCC unroll 4
    for (int t = 0; t < 4; t++) {
        /* Bytes 4t, 4t+1 of each 128-bit half are the first scale, 4t+2, 4t+3 the second. */
        const __m256i pick = _mm256_setr_m128i(_mm_set1_epi16((short)((4 * t + 1) << 8 | 4 * t)), _mm_set1_epi16((short)((4 * t + 3) << 8 | (4 * t + 2))));
        out[t] = (qblock32){_mm256_sub_epi8(v[t], bias), _mm256_shuffle_epi8(sc, pick), d};
    }
}
BF_AVX2_INLINE qblock32 qblock_q8_block(const char *block) {
    const bf_q8_0 *b = (const bf_q8_0 *)block;
    return (qblock32){_mm256_loadu_si256((const void *)b->qs), _mm256_set1_epi16(1), _mm256_set1_ps(_cvtsh_ss(b->d))};
}
/* The sixteen codes' integers by VPSHUFB. */
BF_AVX2_INLINE qblock32 qblock_mxfp4_block(const char *block) {
    const bf_mxfp4 *b = (const bf_mxfp4 *)block;
    const __m256i integers = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12));
    __m128i codes = _mm_loadu_si128((const void *)b->qs);
    __m256i code = _mm256_and_si256(_mm256_setr_m128i(codes, _mm_srli_epi16(codes, 4)), _mm256_set1_epi8(15));
    return (qblock32){_mm256_shuffle_epi8(integers, code), _mm256_set1_epi16(1), _mm256_broadcast_ss(&qblock_half_scales[b->e])};
}
/* Four times 32 weights from number `at` on, a multiple of 128 (Q8_0, MXFP4: of 32; `count` blocks only). */
BF_AVX2_INLINE void qblock_load128(bf_dtype type, const char *row, int64_t at, int count, qblock32 out[4]) {
    if (type == BF_Q6_K) {
        qblock_q6_half(row + at / 256 * BF_Q6_K_BYTES, (int)(at / 128 % 2), out);
        return;
    }
    for (int t = 0; t < count; t++)
        out[t] = type == BF_Q8_0 ? qblock_q8_block(row + (at / 32 + t) * BF_Q8_0_BYTES) : qblock_mxfp4_block(row + (at / 32 + t) * BF_MXFP4_BYTES);
}

/* Eight exact partial sums of sc*q*x: pairs below 2^15 (128*127*2 = 32,512), with their scale below 2^22. */
BF_AVX2_INLINE __m256 qblock_dot32(const qblock32 *w, __m256i x) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w->q), _mm256_sign_epi8(x, w->q));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, w->scale));
}
/* Weights 8 i .. 8 i + 7 of the 32 in fp32: exact. */
BF_AVX2_INLINE __m256 qblock_weights8(const qblock32 *w, int i) {
    __m128i half = i < 2 ? _mm256_castsi256_si128(w->q) : _mm256_extracti128_si256(w->q, 1);
    __m256 q = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(i & 1 ? _mm_unpackhi_epi64(half, half) : half));
    __m128i sc = i < 2 ? _mm256_castsi256_si128(w->scale) : _mm256_extracti128_si256(w->scale, 1);
    __m256 scale = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(sc)), w->d);
    return _mm256_mul_ps(q, scale);
}
BF_AVX2_INLINE float qblock_sum8(__m256 v) {
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}
#endif
#endif
