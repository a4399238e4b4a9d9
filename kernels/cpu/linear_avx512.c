/* linear_avx512.c: linear by vectors of sixteen k (linear_simd.h: idea, bounds, figures).
 * Only this: blackframe check --backend cpu --kernel 'linear_*_avx512' linear */
#include <string.h>

#include "linear.h"
#include "x86.h"

#if defined(__x86_64__)
typedef __m512 V;
enum { LANES = 16, LANES_STEPS = 4, TILE_R = 4, TILE_C = 6 };
#define SIMD BF_AVX512_INLINE
#define SIMD_CHUNK BF_AVX512 static
/* Rows, columns, vectors of k: to 24 sums in registers. */
#define VEC_SHAPE_1 4, 1, 2
#define VEC_SHAPE_2 4, 2, 1
#define VEC_SHAPE_3 4, 3, 1
#define VEC_SHAPE_4 4, 4, 1
#define VEC_SHAPE_5 4, 5, 1
#define VEC_SHAPE_6 4, 6, 1
#define VEC_SHAPE_7 3, 7, 1
#define VEC_SHAPE_8 3, 8, 1

SIMD V simd_zero(void) { return _mm512_setzero_ps(); }
SIMD V simd_load(const float *p) { return _mm512_loadu_ps(p); }
SIMD V simd_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
SIMD V simd_half(__m256i h, int type) {
    return type == BF_F16 ? _mm512_cvtph_ps(h) : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
SIMD V simd_weights(const char *w, const int type, int64_t i) {
    return type == BF_F32 ? _mm512_loadu_ps((const float *)w + i) : simd_half(_mm256_loadu_si256((const void *)(w + 2 * i)), type);
}
SIMD V simd_weights_tail(const char *w, const int type, int64_t i, int64_t left) {
    __mmask16 there = (__mmask16)((1u << left) - 1);
    return type == BF_F32 ? _mm512_maskz_loadu_ps(there, (const float *)w + i)
                          : simd_half(_mm256_maskz_loadu_epi16(there, w + 2 * i), type);
}
SIMD void simd_sum4(V a, V b, V c, V d, float out[4]) {
    V ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    V cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    V all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
                          _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

#include "linear_simd.h"

/* The vectors of k of one turn have sums of their own, added at the end: never longer than the plain sum of a lane. */
static int64_t vec_chain(const bf_problem *p) { return lanes_chain(p->dim[LINEAR_K]); }

static const bf_kernel linear_vec = {
    .op = "linear", .name = "linear_vec_avx512", .file = "linear_avx512", .target = BF_CPU, .role = BF_TUNED, .path = "fp32",
    .summary = "to 8 columns: W streams, widened in registers; memory-bound", .rank = 4, .available = bf_has_avx512,
    .accepts = vec_accepts, .scratch = linear_scratch, .chain = vec_chain, .run = vec_run,
};
BF_REGISTER(linear_vec);
static const bf_kernel linear_tile = {
    .op = "linear", .name = "linear_tile_avx512", .file = "linear_avx512", .target = BF_CPU, .role = BF_TUNED, .path = "fp32",
    .summary = "from 9 columns: 64 rows of W widened into the cache, 4 rows x 6 columns in registers; compute-bound", .rank = 4,
    .available = bf_has_avx512, .accepts = tile_accepts, .scratch = linear_scratch, .chain = tile_chain, .run = tile_run,
};
BF_REGISTER(linear_tile);
#endif
