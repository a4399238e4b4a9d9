/* convert_vec.c: conversions between fp32, fp16 and bf16 by AVX-512 and AVX2.
 *
 * Idea: every direction goes through fp32 lanes (bf16 by shifts and an integer rounding add, fp16 by the processor's own
 * conversion, whose NaN rule is the contract's), 64 elements a turn. Large outputs leave by non-temporal stores, so that a
 * line is not read before it is written; every input line is prefetched into L2 4 KiB ahead, as in stream_vec.c. Saturation
 * and counting work on the result's own lanes by compare masks; a conversion that asks for neither pays for neither.
 * Bound: memory. Same type on both sides: the plain kernel's.
 * Run: blackframe bench -b cpu -k 'convert_vec*' */
#include <string.h>

#include "convert_naive.h"
#include "narrow_x86.h"

#if defined(__x86_64__)

enum { GRAIN = 65536, TURN = 64 };

/* Beyond half of the usual last-level caches what is written is not read again from there. */
static int streams(const convert_job *j) { return (uint64_t)j->n * (j->to == BF_F32 ? 4 : 2) >= 16u << 20; }

/* Elements from i until the output is aligned to `bytes`, at most up to e. */
static int64_t head(const convert_job *j, int64_t i, int64_t e, uintptr_t bytes) {
    uintptr_t size = j->to == BF_F32 ? 4 : 2, at = (uintptr_t)j->y + (uintptr_t)i * size;
    int64_t n = (int64_t)(((0 - at) & (bytes - 1)) / size);
    return n < e - i ? n : e - i;
}

static void add_counts(const convert_job *j, const uint64_t count[CONVERT_COUNTS]) {
    for (int k = 0; k < CONVERT_COUNTS; k++) __atomic_fetch_add(&j->c[k], count[k], __ATOMIC_RELAXED);
}

#define AHEAD(p) _mm_prefetch((const char *)(p) + 4096, _MM_HINT_T1)

/* ---- AVX-512: sixteen elements a vector ---- */

BF_AVX512_INLINE __m512i load512(const void *x, int64_t i, bf_dtype from) {
    if (from == BF_F32) return _mm512_loadu_si512((const uint32_t *)x + i);
    __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)x + i));
    if (from == BF_F16) return _mm512_castps_si512(_mm512_cvtph_ps(h));
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
}

/* Saturates and counts sixteen results of a 16-bit type; u: the inputs as fp32. */
BF_AVX512_INLINE __m256i checked512(__m512i u, __m256i r, bf_dtype to, const convert_job *j, uint64_t c[CONVERT_COUNTS]) {
    __m512i a = _mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff));
    __m256i b = _mm256_and_si256(r, _mm256_set1_epi16(0x7fff));
    __mmask16 inf = _mm256_cmpeq_epi16_mask(b, _mm256_set1_epi16((short)convert_inf(to)));
    if (j->c) {
        __mmask16 zero = _mm256_testn_epi16_mask(b, b);
        __mmask16 small = _mm256_cmplt_epu16_mask(b, _mm256_set1_epi16((short)convert_min_normal(to)));
        __mmask16 finite = _mm512_cmplt_epu32_mask(a, _mm512_set1_epi32(0x7f800000));
        c[CONVERT_OVERFLOW] += (unsigned)__builtin_popcount(inf & finite);
        c[CONVERT_UNDERFLOW] += (unsigned)__builtin_popcount(zero & _mm512_test_epi32_mask(a, a));
        c[CONVERT_SUBNORMAL] += (unsigned)__builtin_popcount(small & (unsigned)~zero);
        c[CONVERT_NAN] += (unsigned)__builtin_popcount(_mm512_cmpgt_epu32_mask(a, _mm512_set1_epi32(0x7f800000)));
    }
    return j->saturate ? _mm256_mask_sub_epi16(r, inf, r, _mm256_set1_epi16(1)) : r;
}

/* The same for fp32 results, which are the widened inputs: nothing can overflow or vanish. */
BF_AVX512_INLINE __m512i checked_wide512(__m512i u, const convert_job *j, uint64_t c[CONVERT_COUNTS]) {
    __m512i a = _mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff)), inf = _mm512_set1_epi32(0x7f800000);
    if (j->c) {
        c[CONVERT_SUBNORMAL] += (unsigned)__builtin_popcount(_mm512_cmplt_epu32_mask(a, _mm512_set1_epi32(0x00800000)) & _mm512_test_epi32_mask(a, a));
        c[CONVERT_NAN] += (unsigned)__builtin_popcount(_mm512_cmpgt_epu32_mask(a, inf));
    }
    return j->saturate ? _mm512_mask_sub_epi32(u, _mm512_cmpeq_epi32_mask(a, inf), u, _mm512_set1_epi32(1)) : u;
}

BF_AVX512_INLINE void store512(void *p, __m512i v, int nt) {
    if (nt) _mm512_stream_si512(p, v);
    else _mm512_storeu_si512(p, v);
}

BF_AVX512_INLINE void body512(const convert_job *j, int64_t i, int64_t e, bf_dtype from, bf_dtype to, int check, int nt) {
    uint64_t c[CONVERT_COUNTS] = {0};
    int64_t to_aligned = i + head(j, i, e, 64);
    convert_chunk(j, i, to_aligned, CONVERT_SOUND);
    for (i = to_aligned; i + TURN <= e; i += TURN) {
        const char *x = (const char *)j->x + i * (from == BF_F32 ? 4 : 2);
        __m512i u[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            if (k < 2 || from == BF_F32) AHEAD(x + 64 * k);
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) u[k] = load512(j->x, i + 16 * k, from);
        if (to == BF_F32) {
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++)
                store512((uint32_t *)j->y + i + 16 * k, check ? checked_wide512(u[k], j, c) : u[k], nt);
            continue;
        }
        __m256i r[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            r[k] = narrow512(u[k], to);
            if (check) r[k] = checked512(u[k], r[k], to, j, c);
        }
        for (int k = 0; k < 4; k += 2)
            store512((uint16_t *)j->y + i + 16 * k, _mm512_inserti64x4(_mm512_castsi256_si512(r[k]), r[k + 1], 1), nt);
    }
    if (nt) _mm_sfence(); /* another thread reads what was streamed */
    if (j->c) add_counts(j, c);
    convert_chunk(j, i, e, CONVERT_SOUND);
}

/* ---- AVX2: eight elements a vector; results stay in 32-bit lanes until they are stored ---- */

BF_AVX2_INLINE __m256i load256(const void *x, int64_t i, bf_dtype from) {
    if (from == BF_F32) return _mm256_loadu_si256((const __m256i *)(const void *)((const uint32_t *)x + i));
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)x + i));
    if (from == BF_F16) return _mm256_castps_si256(_mm256_cvtph_ps(h));
    return _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
}

BF_AVX2_INLINE unsigned lanes(__m256i mask) { return (unsigned)__builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(mask))); }

BF_AVX2_INLINE __m256i checked256(__m256i u, __m256i r, bf_dtype to, const convert_job *j, uint64_t c[CONVERT_COUNTS]) {
    const __m256i none = _mm256_setzero_si256(), limit = _mm256_set1_epi32(0x7f800000);
    __m256i a = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    __m256i b = _mm256_and_si256(r, _mm256_set1_epi32((int)convert_abs(to)));
    __m256i inf = _mm256_cmpeq_epi32(b, _mm256_set1_epi32((int)convert_inf(to)));
    if (j->c) {
        __m256i zero = _mm256_cmpeq_epi32(b, none);
        __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)convert_min_normal(to)), b);
        c[CONVERT_OVERFLOW] += lanes(_mm256_and_si256(inf, _mm256_cmpgt_epi32(limit, a)));
        c[CONVERT_UNDERFLOW] += lanes(_mm256_andnot_si256(_mm256_cmpeq_epi32(a, none), zero));
        c[CONVERT_SUBNORMAL] += lanes(_mm256_andnot_si256(zero, small));
        c[CONVERT_NAN] += lanes(_mm256_cmpgt_epi32(a, limit));
    }
    return j->saturate ? _mm256_add_epi32(r, inf) : r; /* the mask is -1 */
}

BF_AVX2_INLINE void store256(void *p, __m256i v, int nt) {
    if (nt) _mm256_stream_si256(p, v);
    else _mm256_storeu_si256(p, v);
}

BF_AVX2_INLINE void body256(const convert_job *j, int64_t i, int64_t e, bf_dtype from, bf_dtype to, int check, int nt) {
    uint64_t c[CONVERT_COUNTS] = {0};
    int64_t to_aligned = i + head(j, i, e, 32);
    convert_chunk(j, i, to_aligned, CONVERT_SOUND);
    for (i = to_aligned; i + TURN <= e; i += TURN) {
        const char *x = (const char *)j->x + i * (from == BF_F32 ? 4 : 2);
        __m256i r[8];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            if (k < 2 || from == BF_F32) AHEAD(x + 64 * k);
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            __m256i u = load256(j->x, i + 8 * k, from);
            r[k] = narrow256(u, to);
            if (check) r[k] = checked256(u, r[k], to, j, c);
        }
        if (to == BF_F32) {
#pragma GCC unroll 8
            for (int k = 0; k < 8; k++) store256((uint32_t *)j->y + i + 8 * k, r[k], nt);
            continue;
        }
#pragma GCC unroll 4
        for (int k = 0; k < 8; k += 2) /* the pack works in halves of a vector: put the quarters in order */
            store256((uint16_t *)j->y + i + 8 * k, _mm256_permute4x64_epi64(_mm256_packus_epi32(r[k], r[k + 1]), 0xd8), nt);
    }
    if (nt) _mm_sfence();
    if (j->c) add_counts(j, c);
    convert_chunk(j, i, e, CONVERT_SOUND);
}

/* ---- one loop for each direction, with types and kinds of store as its constants ---- */

#define DIRECTION(body, from, to)                                                                   \
    case (from) * BF_DTYPES + (to):                                                                 \
        if (check) nt ? body(j, b, e, from, to, 1, 1) : body(j, b, e, from, to, 1, 0);              \
        else nt ? body(j, b, e, from, to, 0, 1) : body(j, b, e, from, to, 0, 0);                    \
        break;
#define CHUNK(name, isa, body)                                                                      \
    isa static void name(void *arg, int64_t b, int64_t e, int thread) {                             \
        (void)thread;                                                                               \
        const convert_job *j = arg;                                                                 \
        int check = j->saturate || j->c, nt = streams(j);                                           \
        switch (j->from * BF_DTYPES + j->to) {                                                      \
            DIRECTION(body, BF_BF16, BF_F32)                                                        \
            DIRECTION(body, BF_F16, BF_F32)                                                         \
            DIRECTION(body, BF_F32, BF_BF16)                                                        \
            DIRECTION(body, BF_F32, BF_F16)                                                         \
            DIRECTION(body, BF_F16, BF_BF16)                                                        \
            DIRECTION(body, BF_BF16, BF_F16)                                                        \
        }                                                                                           \
    }
CHUNK(chunk512, BF_AVX512, body512)
CHUNK(chunk256, BF_AVX2, body256)

static int accepts(const bf_problem *p) { return convert_accepts(p) && p->type[CONVERT_X] != p->type[CONVERT_Y]; }
static void run512(const bf_problem *p, bf_pool *pool) { convert_run(p, pool, chunk512, GRAIN); }
static void run256(const bf_problem *p, bf_pool *pool) { convert_run(p, pool, chunk256, GRAIN); }

static const bf_kernel convert_avx512 = {
    .op = "convert", .name = "convert_vec_avx512", .file = "convert_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "64 elements a turn, non-temporal stores for large outputs; memory-bound", .rank = 20,
    .available = bf_has_avx512, .accepts = accepts, .run = run512,
};
BF_REGISTER(convert_avx512);

static const bf_kernel convert_avx2 = {
    .op = "convert", .name = "convert_vec_avx2", .file = "convert_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "the same by AVX2 and F16C", .rank = 10, .available = bf_has_avx2, .accepts = accepts, .run = run256,
};
BF_REGISTER(convert_avx2);
#endif
