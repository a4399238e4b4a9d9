/* norm_avx2.c: norm_rows.h in vectors of eight, two at a time. Bound: memory; on one core the fp64 sums.
 *
 * Measured as in norm_avx512.c, one thread: rms 23.0 GB/s (97 % of one memcpy of 2 GiB), layer 16.8 (71 %). Two threads, 32768 rows: rms
 * 44 GB/s, 189 % of that memcpy and 88 % of the best copy.
 *
 * Run: blackframe bench -b cpu -k norm_avx2 norm */
#include "narrow_x86.h"

#if defined(__x86_64__)
#include <string.h>

#define NORM_TARGET BF_AVX2
typedef struct vf {
    __m256 low, high;
} vf;
typedef struct va {
    __m256d a, b; /* four lanes each take four values: two additions after another */
} va;

BF_AVX2_INLINE __m256 half_load(const void *p, bf_dtype t, int64_t i) {
    if (t == BF_F32) return _mm256_loadu_ps((const float *)p + i);
    __m128i h = _mm_loadu_si128((const void *)((const uint16_t *)p + i));
    if (t == BF_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
BF_AVX2_INLINE vf vf_load(const void *p, bf_dtype t, int64_t i) { return (vf){half_load(p, t, i), half_load(p, t, i + 8)}; }
BF_AVX2_INLINE void vf_put(void *p, bf_dtype t, int64_t i, vf v, int nt) {
    if (t == BF_F32) {
        if (nt) _mm256_stream_ps((float *)p + i, v.low), _mm256_stream_ps((float *)p + i + 8, v.high);
        else _mm256_storeu_ps((float *)p + i, v.low), _mm256_storeu_ps((float *)p + i + 8, v.high);
        return;
    }
    __m256i low = narrow256(_mm256_castps_si256(v.low), t), high = narrow256(_mm256_castps_si256(v.high), t);
    __m256i h = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
    if (nt) _mm256_stream_si256((void *)((uint16_t *)p + i), h);
    else _mm256_storeu_si256((void *)((uint16_t *)p + i), h);
}
BF_AVX2_INLINE vf vf_set(float f) { return (vf){_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
BF_AVX2_INLINE vf vf_add(vf a, vf b) { return (vf){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
BF_AVX2_INLINE vf vf_sub(vf a, vf b) { return (vf){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
BF_AVX2_INLINE vf vf_mul(vf a, vf b) { return (vf){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
BF_AVX2_INLINE va va_zero(void) { return (va){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
BF_AVX2_INLINE double va_total(va s) {
    double d[4];
    _mm256_storeu_pd(d, _mm256_add_pd(s.a, s.b));
    return (d[0] + d[1]) + (d[2] + d[3]);
}
BF_AVX2_INLINE void va_wide(vf v, __m256d d[4]) {
    d[0] = _mm256_cvtps_pd(_mm256_castps256_ps128(v.low)), d[1] = _mm256_cvtps_pd(_mm256_extractf128_ps(v.low, 1));
    d[2] = _mm256_cvtps_pd(_mm256_castps256_ps128(v.high)), d[3] = _mm256_cvtps_pd(_mm256_extractf128_ps(v.high, 1));
}
BF_AVX2_INLINE void va_square(va *square, vf v) {
    __m256d d[4];
    va_wide(v, d);
    square->a = _mm256_fmadd_pd(d[0], d[0], square->a), square->b = _mm256_fmadd_pd(d[1], d[1], square->b);
    square->a = _mm256_fmadd_pd(d[2], d[2], square->a), square->b = _mm256_fmadd_pd(d[3], d[3], square->b);
}
BF_AVX2_INLINE void va_shifted(va *sum, va *square, vf v, double shift) {
    __m256d d[4], c = _mm256_set1_pd(shift);
    va_wide(v, d);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        d[k] = _mm256_sub_pd(d[k], c);
        __m256d *s = k & 1 ? &sum->b : &sum->a, *q = k & 1 ? &square->b : &square->a;
        *s = _mm256_add_pd(*s, d[k]), *q = _mm256_fmadd_pd(d[k], d[k], *q);
    }
}
BF_AVX2_INLINE void norm_fence(void) { _mm_sfence(); }

#include "norm_rows.h"

static const bf_kernel norm_avx2 = {
    .op = "norm", .name = "norm_avx2", .file = "norm_avx2", .target = BF_CPU, .role = BF_TUNED, .rank = 20,
    .summary = "sums of a row in fp64 while the row before streams out, vectors of 8", .available = bf_has_avx2,
    .accepts = norm_accepts, .scratch = rows_scratch, .chain = rows_chain, .run = rows_run,
};
BF_REGISTER(norm_avx2);
#endif
