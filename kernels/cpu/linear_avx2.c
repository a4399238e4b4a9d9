/* linear_avx2.c: linear by vectors of eight k (linear_simd.h: idea, bounds, figures).
 * Only this: blackframe check --backend cpu --kernel 'linear_*_avx2' linear */
#include <string.h>

#include "linear.h"
#include "x86.h"

#if defined(__x86_64__)
typedef __m256 V;
enum { LANES = 8, LANES_STEPS = 3, TILE_R = 4, TILE_C = 2 };
#define SIMD BF_AVX2_INLINE
#define SIMD_CHUNK BF_AVX2 static
/* Rows, columns, vectors of k: to 12 sums in registers. */
#define VEC_SHAPE_1 4, 1, 2
#define VEC_SHAPE_2 4, 2, 1
#define VEC_SHAPE_3 4, 3, 1
#define VEC_SHAPE_4 2, 4, 1
#define VEC_SHAPE_5 2, 5, 1
#define VEC_SHAPE_6 2, 6, 1
#define VEC_SHAPE_7 1, 7, 1
#define VEC_SHAPE_8 1, 8, 1

SIMD V simd_zero(void) { return _mm256_setzero_ps(); }
SIMD V simd_load(const float *p) { return _mm256_loadu_ps(p); }
SIMD V simd_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
SIMD V simd_weights(const char *w, const int type, int64_t i) {
    if (type == BF_F32) return _mm256_loadu_ps((const float *)w + i);
    __m128i h = _mm_loadu_si128((const void *)(w + 2 * i));
    return type == BF_F16 ? _mm256_cvtph_ps(h) : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
SIMD V simd_weights_tail(const char *w, const int type, int64_t i, int64_t left) {
    char some[32] = {0};
    size_t size = type == BF_F32 ? 4 : 2;
    memcpy(some, w + (size_t)i * size, (size_t)left * size);
    return simd_weights(some, type, 0);
}
SIMD void simd_sum4(V a, V b, V c, V d, float out[4]) {
    V ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    V cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    V all = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))),
                          _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}

#include "linear_simd.h"

static int64_t vec_chain(const bf_problem *p) { return lanes_chain(p->dim[LINEAR_K]); }

static const bf_kernel linear_vec = {
    .op = "linear", .name = "linear_vec_avx2", .file = "linear_avx2", .target = BF_CPU, .role = BF_TUNED, .path = "fp32",
    .summary = "to 8 columns: W streams, widened in registers; memory-bound", .rank = 3, .available = bf_has_avx2,
    .accepts = vec_accepts, .scratch = linear_scratch, .chain = vec_chain, .run = vec_run,
};
BF_REGISTER(linear_vec);
static const bf_kernel linear_tile = {
    .op = "linear", .name = "linear_tile_avx2", .file = "linear_avx2", .target = BF_CPU, .role = BF_TUNED, .path = "fp32",
    .summary = "from 9 columns: 64 rows of W widened into the cache, 4 rows x 2 columns in registers", .rank = 3,
    .available = bf_has_avx2, .accepts = tile_accepts, .scratch = linear_scratch, .chain = tile_chain, .run = tile_run,
};
BF_REGISTER(linear_tile);
#endif
