/* norm_avx512.c: norm_rows.h in vectors of sixteen. Bound: memory.
 *
 * Measured on an AMD EPYC of two cores with neighbours at work, 8192 rows of 4096 in fp32, one thread, GB/s read and written beside one
 * memcpy of 2 GiB in the same run (23.9): rms 28.2 (118 %), layer 27.1 (113 %); 67 and 70 % of the best copy with non-temporal stores.
 *
 * Run: blackframe bench -b cpu -k norm_avx512 norm */
#include "narrow_x86.h"

#if defined(__x86_64__)
#include <string.h>

#define NORM_TARGET BF_AVX512
typedef __m512 vf;
typedef struct va {
    __m512d low, high;
} va;

BF_AVX512_INLINE vf vf_load(const void *p, bf_dtype t, int64_t i) {
    if (t == BF_F32) return _mm512_loadu_ps((const float *)p + i);
    __m256i h = _mm256_loadu_si256((const void *)((const uint16_t *)p + i));
    if (t == BF_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
BF_AVX512_INLINE void vf_put(void *p, bf_dtype t, int64_t i, vf v, int nt) {
    if (t == BF_F32) {
        if (nt) _mm512_stream_ps((float *)p + i, v);
        else _mm512_storeu_ps((float *)p + i, v);
        return;
    }
    __m256i h = narrow512(_mm512_castps_si512(v), t);
    if (nt) _mm256_stream_si256((void *)((uint16_t *)p + i), h);
    else _mm256_storeu_si256((void *)((uint16_t *)p + i), h);
}
BF_AVX512_INLINE vf vf_set(float f) { return _mm512_set1_ps(f); }
BF_AVX512_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
BF_AVX512_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
BF_AVX512_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
BF_AVX512_INLINE va va_zero(void) { return (va){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
BF_AVX512_INLINE double va_total(va s) { return _mm512_reduce_add_pd(_mm512_add_pd(s.low, s.high)); }
BF_AVX512_INLINE va va_wide(vf v) {
    return (va){_mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
}
BF_AVX512_INLINE void va_square(va *square, vf v) {
    va d = va_wide(v);
    square->low = _mm512_fmadd_pd(d.low, d.low, square->low), square->high = _mm512_fmadd_pd(d.high, d.high, square->high);
}
BF_AVX512_INLINE void va_shifted(va *sum, va *square, vf v, double shift) {
    va d = va_wide(v);
    __m512d c = _mm512_set1_pd(shift);
    d.low = _mm512_sub_pd(d.low, c), d.high = _mm512_sub_pd(d.high, c);
    sum->low = _mm512_add_pd(sum->low, d.low), sum->high = _mm512_add_pd(sum->high, d.high);
    square->low = _mm512_fmadd_pd(d.low, d.low, square->low), square->high = _mm512_fmadd_pd(d.high, d.high, square->high);
}
BF_AVX512_INLINE void norm_fence(void) { _mm_sfence(); }

#include "norm_rows.h"

static const bf_kernel norm_avx512 = {
    .op = "norm", .name = "norm_avx512", .file = "norm_avx512", .target = BF_CPU, .role = BF_TUNED, .rank = 30,
    .summary = "sums of a row in fp64 while the row before streams out, vectors of 16", .available = bf_has_avx512,
    .accepts = norm_accepts, .scratch = rows_scratch, .chain = rows_chain, .run = rows_run,
};
BF_REGISTER(norm_avx512);
#endif
