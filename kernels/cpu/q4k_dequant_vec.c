/* q4k_dequant_vec.c: dequantisation by table.
 *
 * Idea: a sub-block of 32 weights has one scale and one minimum, so its results are sixteen values. They are computed once,
 * d*sc*q - dmin*m for q = 0..15 (both products exact, one rounding), rounded once to the target type, and looked up. With
 * AVX-512 the table is a register and the lookup is VPERMPS, or VPERMW for the 16-bit types: no conversion is left in the
 * inner loop, and VPERM* take the low bits of the index, so that the low nibble needs no mask. With AVX2 the 16-bit types are
 * looked up as two bytes by VPSHUFB; for fp32 nibbles are converted and one fused multiply-subtract rounds once, too.
 * Bound: memory; 4.5 bits are read and 32 or 16 written, around the caches when they cannot keep them. */
#include "q4k_dequant_naive.h"
#include "x86.h"

enum { GRAIN = 512 /* super-blocks */ };

static void table_of(const bf_q4_k *b, int s, float t[16]) {
    float dsc = bf_f16_value(b->d) * (float)bf_q4_k_scale(b->scales, s);
    float dm = bf_f16_value(b->dmin) * (float)bf_q4_k_min(b->scales, s);
    for (int q = 0; q < 16; q++) t[q] = dsc * (float)q - dm;
}

static void block_any(const bf_q4_k *b, char *y, bf_dtype to) {
    for (int s = 0; s < 8; s++) {
        const uint8_t *q = b->qs + 32 * (s / 2);
        float t[16];
        uint16_t h[16];
        table_of(b, s, t);
        if (to == BF_F32) {
            for (int l = 0; l < 32; l++) ((float *)y)[s * 32 + l] = t[q[l] >> 4 * (s & 1) & 15];
            continue;
        }
        for (int k = 0; k < 16; k++) h[k] = (uint16_t)dequant_narrow(bf_bits(t[k]), to, DEQUANT_SOUND);
        for (int l = 0; l < 32; l++) ((uint16_t *)y)[s * 32 + l] = h[q[l] >> 4 * (s & 1) & 15];
    }
}
static void chunk_any(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const dequant_job *j = arg;
    int64_t size = BF_Q4_K_WEIGHTS * (j->to == BF_F32 ? 4 : 2);
    for (int64_t b = begin; b < end; b++) block_any(j->w + b, (char *)j->y + b * size, j->to);
}
static void run_any(const bf_problem *p, bf_pool *pool) { dequant_run(p, pool, chunk_any, GRAIN); }

static const bf_kernel q4k_dequant_vec = {
    .op = "q4k_dequant", .name = "q4k_dequant_vec", .file = "q4k_dequant_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "portable C, sixteen values a sub-block, looked up", .rank = 10, .accepts = dequant_accepts, .run = run_any,
};
BF_REGISTER(q4k_dequant_vec);

#if defined(__x86_64__)
/* Without a NaN or an infinity in d and dmin all results are finite: at most 65,504 * 63 * 15. */
static inline int is_finite(const bf_q4_k *b) { return (b->d & 0x7c00) != 0x7c00 && (b->dmin & 0x7c00) != 0x7c00; }

/* scales[0..7] = d*sc, scales[8..15] = dmin*m. Done one block ahead, so that what is stored here is read when it has arrived. */
BF_AVX2_INLINE void decode(const bf_q4_k *b, float scales[16]) {
    uint32_t w[3], sc[2], mn[2];
    memcpy(w, b->scales, sizeof w);
    bf_q4_k_scales(w[0], w[1], w[2], sc, mn);
    __m256 s = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_set_epi32(0, 0, (int)sc[1], (int)sc[0])));
    __m256 m = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_set_epi32(0, 0, (int)mn[1], (int)mn[0])));
    _mm256_storeu_ps(scales, _mm256_mul_ps(s, _mm256_set1_ps(_cvtsh_ss(b->d))));
    _mm256_storeu_ps(scales + 8, _mm256_mul_ps(m, _mm256_set1_ps(_cvtsh_ss(b->dmin))));
}

/* Four KiB on; 144 bytes are 2.25 lines. */
BF_AVX2_INLINE void prefetch_weights(const bf_q4_k *b) {
    _mm_prefetch((const char *)b + 4096, _MM_HINT_T1);
    _mm_prefetch((const char *)b + 4160, _MM_HINT_T1);
    _mm_prefetch((const char *)b + 4224, _MM_HINT_T1);
}

/* ---- AVX-512 ---- */

BF_AVX512_INLINE void put64(void *p, __m512i v, int nontemporal) {
    if (nontemporal) _mm512_stream_si512(p, v);
    else _mm512_storeu_si512(p, v);
}

/* Sixteen results as fp32, or as 16-bit numbers in both halves. */
BF_AVX512_INLINE __m512i table512(const float *scales, int sub, bf_dtype to) {
    const __m512 q = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i t = _mm512_castps_si512(_mm512_fmsub_ps(q, _mm512_set1_ps(scales[sub]), _mm512_set1_ps(scales[8 + sub])));
    if (to == BF_F32) return t;
    if (to == BF_F16)
        return _mm512_broadcast_i64x4(_mm512_cvtps_ph(_mm512_castsi512_ps(t), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(t, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(t, _mm512_set1_epi32(0x7fff)), odd); /* no NaN here */
    return _mm512_permutexvar_epi16(_mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 31, 29, 27, 25,
                                                     23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1),
                                    r);
}

BF_AVX512_INLINE void block512(const bf_q4_k *b, const float *scales, char *y, bf_dtype to, int nt) {
    prefetch_weights(b);
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        __m512i even = table512(scales, 2 * g, to), odd = table512(scales, 2 * g + 1, to);
        __m256i q = _mm256_loadu_si256((const void *)(b->qs + 32 * g));
        if (to == BF_F32) {
            __m512i i0 = _mm512_cvtepu8_epi32(_mm256_castsi256_si128(q)), i1 = _mm512_cvtepu8_epi32(_mm256_extracti128_si256(q, 1));
            put64(y + 256 * g, _mm512_permutexvar_epi32(i0, even), nt);
            put64(y + 256 * g + 64, _mm512_permutexvar_epi32(i1, even), nt);
            put64(y + 256 * g + 128, _mm512_permutexvar_epi32(_mm512_srli_epi32(i0, 4), odd), nt);
            put64(y + 256 * g + 192, _mm512_permutexvar_epi32(_mm512_srli_epi32(i1, 4), odd), nt);
        } else {
            __m512i i = _mm512_cvtepu8_epi16(q);
            put64(y + 128 * g, _mm512_permutexvar_epi16(i, even), nt);
            put64(y + 128 * g + 64, _mm512_permutexvar_epi16(_mm512_srli_epi16(i, 4), odd), nt);
        }
    }
}

/* A result that is not aligned to a vector is stored plainly. */
#define CHUNK(isa, block, to, width)                                                                  \
    isa static void to##_##width(void *arg, int64_t begin, int64_t end, int thread) {                 \
        (void)thread;                                                                                 \
        const dequant_job *j = arg;                                                                   \
        const int64_t size = BF_Q4_K_WEIGHTS * (to == BF_F32 ? 4 : 2);                                \
        int nt = j->nontemporal && (uintptr_t)j->y % width == 0;                                      \
        float scales[2][16];                                                                          \
        decode(j->w + begin, scales[begin & 1]);                                                      \
        for (int64_t b = begin; b < end; b++) {                                                       \
            char *y = (char *)j->y + b * size;                                                        \
            if (b + 1 < end) decode(j->w + b + 1, scales[~b & 1]);                                    \
            if (!is_finite(j->w + b)) block_any(j->w + b, y, to);                                     \
            else if (nt) block(j->w + b, scales[b & 1], y, to, 1);                                    \
            else block(j->w + b, scales[b & 1], y, to, 0);                                            \
        }                                                                                             \
        if (nt) _mm_sfence();                                                                         \
    }
CHUNK(BF_AVX512, block512, BF_F32, 64)
CHUNK(BF_AVX512, block512, BF_F16, 64)
CHUNK(BF_AVX512, block512, BF_BF16, 64)

/* ---- AVX2 ---- */

BF_AVX2_INLINE void put32(void *p, __m256i v, int nontemporal) {
    if (nontemporal) _mm256_stream_si256(p, v);
    else _mm256_storeu_si256(p, v);
}
/* Sixteen fp32 without NaN to a 16-bit type. */
BF_AVX2_INLINE __m256i narrow256(__m256 a, __m256 b, bf_dtype to) {
    if (to == BF_F16)
        return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)),
                                       _mm256_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), 1);
    __m256i r[2] = {_mm256_castps_si256(a), _mm256_castps_si256(b)};
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++) {
        __m256i odd = _mm256_and_si256(_mm256_srli_epi32(r[k], 16), _mm256_set1_epi32(1));
        r[k] = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(r[k], _mm256_set1_epi32(0x7fff)), odd), 16);
    }
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(r[0], r[1]), 0xd8);
}

/* 32 results of a 16-bit type: the sixteen values, split into their low and high bytes, looked up by VPSHUFB. */
BF_AVX2_INLINE void lookup32(__m256i nibbles, __m256 s, __m256 m, char *y, bf_dtype to, int nt) {
    const __m256 q0 = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), q1 = _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15);
    __m256i t = narrow256(_mm256_fmsub_ps(q0, s, m), _mm256_fmsub_ps(q1, s, m), to);
    t = _mm256_packus_epi16(_mm256_and_si256(t, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(t, 8));
    __m256i low = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(t, 0x88), nibbles);
    __m256i high = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(t, 0xdd), nibbles);
    __m256i a = _mm256_unpacklo_epi8(low, high), b = _mm256_unpackhi_epi8(low, high);
    put32(y, _mm256_permute2x128_si256(a, b, 0x20), nt);
    put32(y + 32, _mm256_permute2x128_si256(a, b, 0x31), nt);
}

/* 32 fp32 from 32 bytes, the low or the high nibbles. */
BF_AVX2_INLINE void convert32(const uint8_t *q, int high, __m256 s, __m256 m, char *y, int nt) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m256i i = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(q + 8 * k)));
        i = high ? _mm256_srli_epi32(i, 4) : _mm256_and_si256(i, _mm256_set1_epi32(15));
        __m256 w = _mm256_fmsub_ps(_mm256_cvtepi32_ps(i), s, m);
        put32(y + 32 * k, _mm256_castps_si256(w), nt);
    }
}

BF_AVX2_INLINE void block256(const bf_q4_k *b, const float *scales, char *y, bf_dtype to, int nt) {
    prefetch_weights(b);
#pragma GCC unroll 8
    for (int s = 0; s < 8; s++) {
        const uint8_t *q = b->qs + 32 * (s / 2);
        __m256 dsc = _mm256_set1_ps(scales[s]), dm = _mm256_set1_ps(scales[8 + s]);
        if (to == BF_F32) {
            convert32(q, s & 1, dsc, dm, y + 128 * s, nt);
            continue;
        }
        __m256i v = _mm256_loadu_si256((const void *)q);
        v = _mm256_and_si256(s & 1 ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
        lookup32(v, dsc, dm, y + 64 * s, to, nt);
    }
}

CHUNK(BF_AVX2, block256, BF_F32, 32)
CHUNK(BF_AVX2, block256, BF_F16, 32)
CHUNK(BF_AVX2, block256, BF_BF16, 32)

/* ---- descriptors ---- */

static void run_avx512(const bf_problem *p, bf_pool *pool) {
    bf_dtype to = p->type[Q4K_DEQUANT_Y];
    dequant_run(p, pool, to == BF_F32 ? BF_F32_64 : to == BF_F16 ? BF_F16_64 : BF_BF16_64, GRAIN);
}
static void run_avx2(const bf_problem *p, bf_pool *pool) {
    bf_dtype to = p->type[Q4K_DEQUANT_Y];
    dequant_run(p, pool, to == BF_F32 ? BF_F32_32 : to == BF_F16 ? BF_F16_32 : BF_BF16_32, GRAIN);
}
static const bf_kernel q4k_dequant_vec_avx512 = {
    .op = "q4k_dequant", .name = "q4k_dequant_vec_avx512", .file = "q4k_dequant_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "a table of sixteen in a register, looked up by permutation; memory-bound", .rank = 30,
    .available = bf_has_avx512, .accepts = dequant_accepts, .run = run_avx512,
};
BF_REGISTER(q4k_dequant_vec_avx512);
static const bf_kernel q4k_dequant_vec_avx2 = {
    .op = "q4k_dequant", .name = "q4k_dequant_vec_avx2", .file = "q4k_dequant_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "eight at a time, one fused multiply-subtract; memory-bound", .rank = 20, .available = bf_has_avx2,
    .accepts = dequant_accepts, .run = run_avx2,
};
BF_REGISTER(q4k_dequant_vec_avx2);
#endif
