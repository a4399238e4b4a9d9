/* narrow_x86.h: fp32 lanes to fp16 or bf16, to nearest even; NaN as in convert.h, row cpu. Shared by convert_vec.c and
 * q4k_dequant_vec.c. */
#ifndef BF_CPU_NARROW_X86_H
#define BF_CPU_NARROW_X86_H

#include "../common/kernel.h"
#include "x86.h"

#if defined(__x86_64__)
/* Sixteen fp32 bit patterns to sixteen words of `to`, BF_F16 or BF_BF16. */
BF_AVX512_INLINE __m256i narrow512(__m512i u, bf_dtype to) {
    if (to == BF_F16) return _mm512_cvtps_ph(_mm512_castsi512_ps(u), _MM_FROUND_TO_NEAREST_INT);
    const __m512i inf = _mm512_set1_epi32(0x7f800000);
    __m512i a = _mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff)), top = _mm512_srli_epi32(u, 16);
    __m512i odd = _mm512_and_si512(top, _mm512_set1_epi32(1));
    __m512i r = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd), 16);
    r = _mm512_mask_or_epi32(r, _mm512_cmpgt_epu32_mask(a, inf), top, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(r);
}

/* Eight, left in 32-bit lanes; BF_F32 returns them as they are. */
BF_AVX2_INLINE __m256i narrow256(__m256i u, bf_dtype to) {
    if (to == BF_F32) return u;
    if (to == BF_F16) return _mm256_cvtepu16_epi32(_mm256_cvtps_ph(_mm256_castsi256_ps(u), _MM_FROUND_TO_NEAREST_INT));
    __m256i a = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff)), top = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    __m256i r = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
    __m256i nan = _mm256_cmpgt_epi32(a, _mm256_set1_epi32(0x7f800000)); /* a is not negative */
    return _mm256_blendv_epi8(r, _mm256_or_si256(top, _mm256_set1_epi32(0x40)), nan);
}
#endif
#endif
