/* q4k_table_fp32.h: x of the fp32 path, in the order in which the vector kernels meet the nibbles, and scaled as they want it.
 *
 * The kernels take a 32-bit word of quants and make a nibble q a number in one of three forms:
 *   plain      shift, mask, convert: q. Any x.
 *   in place   mask where it stands, convert: q * 16^p, p = 0..5; of the word shifted down by 24 bits p = 0, 1. x is stored
 *              times 16^-p. Exact when every x is zero or at least 2^-106, for 2^-20 times that is still normal.
 *   subnormal  mask where it stands, and nothing else: the bits, read as an fp32, are the subnormal number q * 2^(4p - 149)
 *              (below bit 24 a number is linear in its bits: exponent 0 or 1). x is stored times 2^(149 - 4p - S),
 *              S = 22 + the exponent of the largest |x|, so that x stays finite; products are q x 2^-S, and round as they
 *              should when every x is zero or at least 2^(S - 126). For processors that multiply subnormals at full speed. */
#ifndef BF_CPU_Q4K_TABLE_FP32_H
#define BF_CPU_Q4K_TABLE_FP32_H

#include "q4k_matvec.h"
#include "x86.h"

#if defined(__x86_64__)
enum table_form { TABLE_PLAIN, TABLE_IN_PLACE, TABLE_SUBNORMAL };

/* [n][k]: for each sub-block pair and word d = 0..7 of its 32 bytes: four x of the even sub-block, four of the odd. */
static inline float *table_x(const matvec_job *j, int column) { return (float *)j->scratch + column * j->k; }
/* [n][k/32]: -(sum of the 32 x), added as a tree of five levels. */
static inline float *table_minus(const matvec_job *j) { return (float *)j->scratch + j->n * j->k; }

static inline uint64_t table_scratch(const bf_problem *p) {
    uint64_t k = (uint64_t)p->dim[Q4K_MATVEC_K];
    return (uint64_t)p->dim[Q4K_MATVEC_N] * (k + k / Q4K_MATVEC_QBLOCK) * sizeof(float);
}

BF_AVX2_INLINE __m128 table_load4(const matvec_job *j, int64_t i) {
    if (j->x_type == BF_F32) return _mm_loadu_ps((const float *)j->x + i);
    __m128i h = _mm_loadl_epi64((const void *)((const uint16_t *)j->x + i));
    if (j->x_type == BF_F16) return _mm_cvtph_ps(h);
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(h), 16));
}

/* Exponents of the smallest and the largest |x| that is not zero; *high = 128 where there is an infinity or a NaN. */
BF_AVX2_INLINE void table_range(const matvec_job *j, int *low, int *high) {
    const __m256i one = _mm256_set1_epi32(1), sign = _mm256_set1_epi32(INT32_MIN);
    __m256i least = _mm256_set1_epi32(-1), most = _mm256_setzero_si256(); /* of |x| - 1 as unsigned numbers: zero is the largest */
    for (int64_t i = 0; i < j->n * j->k; i += 8) {
        __m256 x = _mm256_set_m128(table_load4(j, i + 4), table_load4(j, i));
        __m256i a = _mm256_andnot_si256(sign, _mm256_castps_si256(x));
        most = _mm256_max_epi32(most, a);
        least = _mm256_min_epu32(least, _mm256_sub_epi32(a, one));
    }
    uint32_t l[8], m[8];
    _mm256_storeu_si256((void *)l, least);
    _mm256_storeu_si256((void *)m, most);
    for (int i = 1; i < 8; i++) l[0] = l[i] < l[0] ? l[i] : l[0], m[0] = m[i] > m[0] ? m[i] : m[0];
    *low = m[0] ? (int)((l[0] + 1) >> 23) - 127 : 0; /* subnormal: -127, low enough for all that is asked */
    *high = m[0] ? (int)(m[0] >> 23) - 127 : 0;
}

/* Stores x times the eight factors of a word's nibbles, even then odd, and the negative sums. */
BF_AVX2_INLINE void table_store(const matvec_job *j, __m256 factor) {
    for (int64_t p = 0; p < j->n * j->k / 64; p++) {
        __m256 sum[4];
        for (int d = 0; d < 8; d++) {
            __m256 x = _mm256_set_m128(table_load4(j, p * 64 + 32 + 4 * d), table_load4(j, p * 64 + 4 * d));
            _mm256_storeu_ps((float *)j->scratch + p * 64 + 8 * d, _mm256_mul_ps(x, factor));
            sum[d % 4] = d < 4 ? x : _mm256_add_ps(sum[d % 4], x);
        }
        sum[0] = _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3]));
        sum[0] = _mm256_hadd_ps(sum[0], sum[0]);
        sum[0] = _mm256_hadd_ps(sum[0], sum[0]);
        table_minus(j)[2 * p] = -_mm_cvtss_f32(_mm256_castps256_ps128(sum[0]));
        table_minus(j)[2 * p + 1] = -_mm_cvtss_f32(_mm256_extractf128_ps(sum[0], 1));
    }
}

/* Fills the scratch and says in which form; `subnormal`: that form may be used. */
BF_AVX2 static inline void table_fill(matvec_units *u, int subnormal) {
    int low, high;
    table_range(&u->job, &low, &high);
    int s = 22 + (high > 0 ? high : 0);
    u->form = TABLE_PLAIN, u->unscale = 1.0f;
    if (low >= -106) u->form = TABLE_IN_PLACE;
    if (subnormal && high <= 60 && low >= s - 126) u->form = TABLE_SUBNORMAL, u->unscale = ldexpf(1.0f, s);
    __m256 factor = _mm256_setr_ps(1.0f, 0x1p-8f, 0x1p-16f, 1.0f, 0x1p-4f, 0x1p-12f, 0x1p-20f, 0x1p-4f);
    if (u->form == TABLE_PLAIN) factor = _mm256_set1_ps(1.0f);
    if (u->form == TABLE_SUBNORMAL) factor = _mm256_mul_ps(factor, _mm256_set1_ps(ldexpf(1.0f, 149 - s)));
    table_store(&u->job, factor);
}
#endif
#endif
