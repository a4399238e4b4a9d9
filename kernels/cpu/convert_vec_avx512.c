/* convert_vec_avx512.c: conversions in vectors of sixteen, every direction, saturating and counting.
 *
 * Idea: the exact fp32 value in 32-bit lanes; to fp16 by VCVTPS2PH, to bf16 by the rounding add in integers (the instruction
 * for it flushes subnormals). 128 bytes of fp32 a turn, prefetched 4 KiB ahead; results too large for the caches are stored
 * around them, for a plain store reads the line first. Bound: memory. */
#include "convert_naive.h"
#include "x86.h"

#if defined(__x86_64__)
enum { GRAIN = 128 * 1024 };

BF_AVX512_INLINE __m512i load_raw(const void *x, bf_dtype t, int64_t i) {
    if (t == BF_F32) return _mm512_loadu_si512((const uint32_t *)x + i);
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)((const uint16_t *)x + i)));
}

/* The bits of the exact fp32 value. */
BF_AVX512_INLINE __m512i load_f32(const void *x, bf_dtype t, int64_t i) {
    if (t == BF_F16)
        return _mm512_castps_si512(_mm512_cvtph_ps(_mm256_loadu_si256((const void *)((const uint16_t *)x + i))));
    __m512i raw = load_raw(x, t, i);
    return t == BF_BF16 ? _mm512_slli_epi32(raw, 16) : raw;
}

/* bf16 in the upper halves of the lanes, the lower ones undefined. */
BF_AVX512_INLINE __m512i to_bf16(__m512i u) {
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(_mm512_castsi512_ps(u), _mm512_castsi512_ps(u), _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
}
BF_AVX512_INLINE __m256i to_f16(__m512i u) {
    return _mm512_cvtps_ph(_mm512_castsi512_ps(u), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

BF_AVX512_INLINE void store64(void *p, __m512i v, int nontemporal) {
    if (nontemporal) _mm512_stream_si512(p, v);
    else _mm512_storeu_si512(p, v);
}

/* 32 elements, neither saturating nor counting. */
BF_AVX512_INLINE void plain32(const convert_job *j, int64_t i, bf_dtype from, bf_dtype to, int nt) {
    char *y = (char *)j->y + i * (to == BF_F32 ? 4 : 2);
    if (from == to) {
        const char *x = (const char *)j->x + i * (to == BF_F32 ? 4 : 2);
        store64(y, _mm512_loadu_si512(x), nt);
        if (to == BF_F32) store64(y + 64, _mm512_loadu_si512(x + 64), nt);
        return;
    }
    __m512i a = load_f32(j->x, from, i), b = load_f32(j->x, from, i + 16);
    if (to == BF_F32) {
        store64(y, a, nt);
        store64(y + 64, b, nt);
    } else if (to == BF_F16)
        store64(y, _mm512_inserti64x4(_mm512_castsi256_si512(to_f16(a)), to_f16(b), 1), nt);
    else {
        const __m512i upper = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25,
                                               23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
        store64(y, _mm512_permutex2var_epi16(to_bf16(a), upper, to_bf16(b)), nt);
    }
}

/* Sixteen results in 32-bit lanes, saturated if asked for; adds to the counts, one a lane. */
BF_AVX512_INLINE __m512i special16(const convert_job *j, int64_t i, bf_dtype from, bf_dtype to, __m512i count[CONVERT_COUNTS]) {
    __m512i in = from == to ? load_raw(j->x, from, i) : load_f32(j->x, from, i), r = in;
    if (from != to && to == BF_F16) r = _mm512_cvtepu16_epi32(to_f16(in));
    if (from != to && to == BF_BF16) r = _mm512_srli_epi32(to_bf16(in), 16);
    bf_dtype wide = from == to ? from : BF_F32; /* what `in` is in */
    __m512i zero = _mm512_setzero_si512(), in_inf = _mm512_set1_epi32((int)convert_inf(wide));
    __m512i a = _mm512_and_si512(in, _mm512_set1_epi32((int)convert_abs(wide)));
    __m512i b = _mm512_and_si512(r, _mm512_set1_epi32((int)convert_abs(to)));
    __mmask16 inf = _mm512_cmpeq_epi32_mask(b, _mm512_set1_epi32((int)convert_inf(to)));
    __mmask16 none = _mm512_cmpeq_epi32_mask(b, zero);
    /* b - 1 as an unsigned number: zero is the largest */
    __mmask16 small = _mm512_cmplt_epu32_mask(_mm512_sub_epi32(b, _mm512_set1_epi32(1)),
                                              _mm512_set1_epi32((int)convert_min_normal(to) - 1));
    const __m512i one = _mm512_set1_epi32(1);
    __mmask16 over = _mm512_mask_cmplt_epi32_mask(inf, a, in_inf), under = _mm512_mask_cmpneq_epi32_mask(none, a, zero);
    __mmask16 nan = _mm512_cmpgt_epi32_mask(a, in_inf);
    count[CONVERT_OVERFLOW] = _mm512_mask_add_epi32(count[CONVERT_OVERFLOW], over, count[CONVERT_OVERFLOW], one);
    count[CONVERT_UNDERFLOW] = _mm512_mask_add_epi32(count[CONVERT_UNDERFLOW], under, count[CONVERT_UNDERFLOW], one);
    count[CONVERT_SUBNORMAL] = _mm512_mask_add_epi32(count[CONVERT_SUBNORMAL], small, count[CONVERT_SUBNORMAL], one);
    count[CONVERT_NAN] = _mm512_mask_add_epi32(count[CONVERT_NAN], nan, count[CONVERT_NAN], one);
    return j->saturate ? _mm512_mask_sub_epi32(r, inf, r, one) : r;
}

BF_AVX512_INLINE void special32(const convert_job *j, int64_t i, bf_dtype from, bf_dtype to, int nt, __m512i count[]) {
    __m512i a = special16(j, i, from, to, count), b = special16(j, i + 16, from, to, count);
    char *y = (char *)j->y + i * (to == BF_F32 ? 4 : 2);
    if (to == BF_F32) {
        store64(y, a, nt);
        store64(y + 64, b, nt);
    } else
        store64(y, _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(a)), _mm512_cvtepi32_epi16(b), 1), nt);
}

BF_AVX512_INLINE void loop(const convert_job *job, int64_t i, int64_t end, bf_dtype from, bf_dtype to, int special, int nt) {
    const convert_job copy = *job, *j = &copy; /* a copy: the stores cannot change it */
    __m512i count[CONVERT_COUNTS]; /* a chunk is far below 2^32 elements */
    for (int k = 0; k < CONVERT_COUNTS; k++) count[k] = _mm512_setzero_si512();
    for (; i < end; i += 32) {
        const char *x = (const char *)j->x + i * (from == BF_F32 ? 4 : 2);
        _mm_prefetch(x + 4096, _MM_HINT_T1);
        if (from == BF_F32) _mm_prefetch(x + 4160, _MM_HINT_T1);
        if (special) special32(j, i, from, to, nt, count);
        else plain32(j, i, from, to, nt);
    }
    for (int k = 0; j->c && k < CONVERT_COUNTS; k++)
        __atomic_fetch_add(&j->c[k], (uint64_t)_mm512_reduce_add_epi32(count[k]), __ATOMIC_RELAXED);
    if (nt) _mm_sfence();
}

BF_AVX512_INLINE void chunk(const convert_job *j, int64_t begin, int64_t end, bf_dtype from, bf_dtype to) {
    int64_t size = convert_size(to), i = begin + bf_until_aligned((char *)j->y + begin * size, size, 64, end - begin);
    int64_t to_i = i + (end - i) / 32 * 32;
    convert_chunk(j, begin, i, CONVERT_SOUND);
    if (j->c || j->saturate) {
        if (j->nontemporal) loop(j, i, to_i, from, to, 1, 1);
        else loop(j, i, to_i, from, to, 1, 0);
    } else if (j->nontemporal) loop(j, i, to_i, from, to, 0, 1);
    else loop(j, i, to_i, from, to, 0, 0);
    convert_chunk(j, to_i, end, CONVERT_SOUND);
}

#define DIRECTION(from, to)                                                              \
    BF_AVX512 static void from##_##to(void *arg, int64_t begin, int64_t end, int thread) { \
        (void)thread;                                                                    \
        chunk(arg, begin, end, from, to);                                                \
    }
DIRECTION(BF_F32, BF_F32) DIRECTION(BF_F32, BF_F16) DIRECTION(BF_F32, BF_BF16)
DIRECTION(BF_F16, BF_F32) DIRECTION(BF_F16, BF_F16) DIRECTION(BF_F16, BF_BF16)
DIRECTION(BF_BF16, BF_F32) DIRECTION(BF_BF16, BF_F16) DIRECTION(BF_BF16, BF_BF16)

static void run(const bf_problem *p, bf_pool *pool) {
    static void (*const by_type[3][3])(void *, int64_t, int64_t, int) = {
        {BF_F32_BF_F32, BF_F32_BF_F16, BF_F32_BF_BF16},
        {BF_F16_BF_F32, BF_F16_BF_F16, BF_F16_BF_BF16},
        {BF_BF16_BF_F32, BF_BF16_BF_F16, BF_BF16_BF_BF16}};
    convert_run(p, pool, by_type[p->type[CONVERT_X] - BF_F32][p->type[CONVERT_Y] - BF_F32], GRAIN);
}

static const bf_kernel convert_vec_avx512 = {
    .op = "convert", .name = "convert_vec_avx512", .file = "convert_vec_avx512", .target = BF_CPU, .role = BF_TUNED,
    .summary = "sixteen at a time, streaming stores for large results; memory-bound", .rank = 30, .available = bf_has_avx512,
    .accepts = convert_accepts, .run = run,
};
BF_REGISTER(convert_vec_avx512);
#endif
