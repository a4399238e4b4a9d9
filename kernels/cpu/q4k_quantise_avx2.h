/* q4k_quantise_avx2.h: the quantiser of the int8 path (policy: kernels/common/q4k_matvec.h), a block of 32 at a time:
 * a division by d and a rounding to nearest even, so that a tie goes to even. */
#ifndef BF_CPU_Q4K_QUANTISE_AVX2_H
#define BF_CPU_Q4K_QUANTISE_AVX2_H

#include "q4k_matvec.h"
#include "x86.h"

#if defined(__x86_64__)
BF_AVX2_INLINE __m256 quantise_load8(const matvec_job *j, int64_t i) {
    if (j->x_type == BF_F32) return _mm256_loadu_ps((const float *)j->x + i);
    __m128i h = _mm_loadu_si128((const void *)((const uint16_t *)j->x + i));
    if (j->x_type == BF_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

BF_AVX2_INLINE __m256i quantise_fold(__m256i a, int by_max) {
    __m256i b = _mm256_permute2x128_si256(a, a, 1);
    a = by_max ? _mm256_max_epi32(a, b) : _mm256_add_epi32(a, b);
    b = _mm256_shuffle_epi32(a, 0x4e);
    a = by_max ? _mm256_max_epi32(a, b) : _mm256_add_epi32(a, b);
    b = _mm256_shuffle_epi32(a, 0xb1);
    return by_max ? _mm256_max_epi32(a, b) : _mm256_add_epi32(a, b);
}

/* Blocks [begin, end) of x [n][k]. */
BF_AVX2 static inline void quantise_blocks(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const matvec_job *j = arg;
    for (int64_t b = begin; b < end; b++) {
        __m256 x[4];
        __m256i top = _mm256_setzero_si256(), sum = top, q[4];
        for (int i = 0; i < 4; i++) {
            x[i] = quantise_load8(j, b * Q4K_MATVEC_QBLOCK + 8 * i);
            /* as integers, so that a NaN is the largest */
            top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(x[i]), _mm256_set1_epi32(0x7fffffff)));
        }
        uint32_t amax = (uint32_t)_mm256_cvtsi256_si32(quantise_fold(top, 1));
        int none = amax < MATVEC_AMAX_MIN || amax >= MATVEC_INF;
        float d = none ? 0.0f : bf_float(amax) / 127.0f;
        for (int i = 0; i < 4; i++) {
            q[i] = none ? _mm256_setzero_si256() : _mm256_cvtps_epi32(_mm256_div_ps(x[i], _mm256_set1_ps(d)));
            sum = _mm256_add_epi32(sum, q[i]);
        }
        /* The packs work in 128-bit halves; the permutation undoes that. */
        __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((void *)(j->xq + b * Q4K_MATVEC_QBLOCK), packed);
        j->xd[b] = amax >= MATVEC_INF ? NAN : d;
        j->xs[b] = _mm256_cvtsi256_si32(quantise_fold(sum, 0));
    }
}

/* Quantises x. Returns 1, "wide", when a d is above 2^100: there a sum over a super-block of integers times d could overflow
 * before the weights' scale is applied, and the products take the long way round. */
BF_AVX2 static inline int quantise_x(const matvec_job *j, bf_pool *pool) {
    int64_t blocks = j->n * j->k / Q4K_MATVEC_QBLOCK;
    int wide = 0;
    bf_pool_run(blocks > 2048 ? pool : NULL, quantise_blocks, (void *)j, blocks, 256);
    for (int64_t b = 0; b < blocks; b++) wide |= j->xd[b] > 0x1p100f;
    return wide;
}

/* What a block's minimum is multiplied by: -(s d), or -s when wide. */
static inline float quantise_minus(const matvec_job *j, int64_t block, int wide) {
    return wide ? (float)-j->xs[block] : (float)-j->xs[block] * j->xd[block];
}

#endif
#endif
