/* convert_vec_avx2.c: convert_vec_avx512.c with vectors of eight and F16C. */
#include "convert_naive.h"
#include "x86.h"

#if defined(__x86_64__)
enum { GRAIN = 128 * 1024 };

BF_AVX2_INLINE __m256i load_raw(const void *x, bf_dtype t, int64_t i) {
    if (t == BF_F32) return _mm256_loadu_si256((const void *)((const uint32_t *)x + i));
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)((const uint16_t *)x + i)));
}

/* The bits of the exact fp32 value. */
BF_AVX2_INLINE __m256i load_f32(const void *x, bf_dtype t, int64_t i) {
    if (t == BF_F16)
        return _mm256_castps_si256(_mm256_cvtph_ps(_mm_loadu_si128((const void *)((const uint16_t *)x + i))));
    __m256i raw = load_raw(x, t, i);
    return t == BF_BF16 ? _mm256_slli_epi32(raw, 16) : raw;
}

/* bf16 in 32-bit lanes. */
BF_AVX2_INLINE __m256i to_bf16(__m256i u) {
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    __m256 nan = _mm256_cmp_ps(_mm256_castsi256_ps(u), _mm256_castsi256_ps(u), _CMP_UNORD_Q);
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    return _mm256_srli_epi32(_mm256_blendv_epi8(r, quiet, _mm256_castps_si256(nan)), 16);
}
BF_AVX2_INLINE __m128i to_f16(__m256i u) {
    return _mm256_cvtps_ph(_mm256_castsi256_ps(u), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* Sixteen 16-bit numbers from two vectors of 32-bit lanes. */
BF_AVX2_INLINE __m256i pack(__m256i a, __m256i b) { return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8); }

BF_AVX2_INLINE void store32(void *p, __m256i v, int nontemporal) {
    if (nontemporal) _mm256_stream_si256(p, v);
    else _mm256_storeu_si256(p, v);
}

/* 16 elements, neither saturating nor counting. */
BF_AVX2_INLINE void plain16(const convert_job *j, int64_t i, bf_dtype from, bf_dtype to, int nt) {
    char *y = (char *)j->y + i * (to == BF_F32 ? 4 : 2);
    if (from == to) {
        const char *x = (const char *)j->x + i * (to == BF_F32 ? 4 : 2);
        store32(y, _mm256_loadu_si256((const void *)x), nt);
        if (to == BF_F32) store32(y + 32, _mm256_loadu_si256((const void *)(x + 32)), nt);
        return;
    }
    __m256i a = load_f32(j->x, from, i), b = load_f32(j->x, from, i + 8);
    if (to == BF_F32) {
        store32(y, a, nt);
        store32(y + 32, b, nt);
    } else if (to == BF_F16)
        store32(y, _mm256_inserti128_si256(_mm256_castsi128_si256(to_f16(a)), to_f16(b), 1), nt);
    else
        store32(y, pack(to_bf16(a), to_bf16(b)), nt);
}

/* Eight results in 32-bit lanes, saturated if asked for; adds to the counts, one a lane. */
BF_AVX2_INLINE __m256i special8(const convert_job *j, int64_t i, bf_dtype from, bf_dtype to, __m256i count[CONVERT_COUNTS]) {
    __m256i in = from == to ? load_raw(j->x, from, i) : load_f32(j->x, from, i), r = in;
    if (from != to && to == BF_F16) r = _mm256_cvtepu16_epi32(to_f16(in));
    if (from != to && to == BF_BF16) r = to_bf16(in);
    bf_dtype wide = from == to ? from : BF_F32; /* what `in` is in */
    __m256i zero = _mm256_setzero_si256(), in_inf = _mm256_set1_epi32((int)convert_inf(wide));
    __m256i a = _mm256_and_si256(in, _mm256_set1_epi32((int)convert_abs(wide)));
    __m256i b = _mm256_and_si256(r, _mm256_set1_epi32((int)convert_abs(to)));
    __m256i inf = _mm256_cmpeq_epi32(b, _mm256_set1_epi32((int)convert_inf(to))), none = _mm256_cmpeq_epi32(b, zero);
    __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)convert_min_normal(to)), b);
    __m256i over = _mm256_and_si256(inf, _mm256_cmpgt_epi32(in_inf, a));
    __m256i under = _mm256_andnot_si256(_mm256_cmpeq_epi32(a, zero), none);
    /* a true comparison is -1 */
    count[CONVERT_OVERFLOW] = _mm256_sub_epi32(count[CONVERT_OVERFLOW], over);
    count[CONVERT_UNDERFLOW] = _mm256_sub_epi32(count[CONVERT_UNDERFLOW], under);
    count[CONVERT_SUBNORMAL] = _mm256_sub_epi32(count[CONVERT_SUBNORMAL], _mm256_andnot_si256(none, small));
    count[CONVERT_NAN] = _mm256_sub_epi32(count[CONVERT_NAN], _mm256_cmpgt_epi32(a, in_inf));
    return j->saturate ? _mm256_add_epi32(r, inf) : r;
}

BF_AVX2_INLINE void special16(const convert_job *j, int64_t i, bf_dtype from, bf_dtype to, int nt, __m256i count[]) {
    __m256i a = special8(j, i, from, to, count), b = special8(j, i + 8, from, to, count);
    char *y = (char *)j->y + i * (to == BF_F32 ? 4 : 2);
    if (to == BF_F32) {
        store32(y, a, nt);
        store32(y + 32, b, nt);
    } else
        store32(y, pack(a, b), nt);
}

BF_AVX2_INLINE void loop(const convert_job *job, int64_t i, int64_t end, bf_dtype from, bf_dtype to, int special, int nt) {
    const convert_job copy = *job, *j = &copy; /* a copy: the stores cannot change it */
    __m256i count[CONVERT_COUNTS];             /* a chunk is far below 2^32 elements */
    for (int k = 0; k < CONVERT_COUNTS; k++) count[k] = _mm256_setzero_si256();
    for (; i < end; i += 32) {
        const char *x = (const char *)j->x + i * (from == BF_F32 ? 4 : 2);
        _mm_prefetch(x + 4096, _MM_HINT_T1);
        if (from == BF_F32) _mm_prefetch(x + 4160, _MM_HINT_T1);
        for (int k = 0; k < 32; k += 16)
            if (special) special16(j, i + k, from, to, nt, count);
            else plain16(j, i + k, from, to, nt);
    }
    for (int k = 0; j->c && k < CONVERT_COUNTS; k++) {
        uint32_t lane[8];
        uint64_t sum = 0;
        _mm256_storeu_si256((void *)lane, count[k]);
        for (int l = 0; l < 8; l++) sum += lane[l];
        __atomic_fetch_add(&j->c[k], sum, __ATOMIC_RELAXED);
    }
    if (nt) _mm_sfence();
}

BF_AVX2_INLINE void chunk(const convert_job *j, int64_t begin, int64_t end, bf_dtype from, bf_dtype to) {
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

#define DIRECTION(from, to)                                                            \
    BF_AVX2 static void from##_##to(void *arg, int64_t begin, int64_t end, int thread) { \
        (void)thread;                                                                  \
        chunk(arg, begin, end, from, to);                                              \
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

static const bf_kernel convert_vec_avx2 = {
    .op = "convert", .name = "convert_vec_avx2", .file = "convert_vec_avx2", .target = BF_CPU, .role = BF_TUNED,
    .summary = "eight at a time, streaming stores for large results; memory-bound", .rank = 20, .available = bf_has_avx2,
    .accepts = convert_accepts, .run = run,
};
BF_REGISTER(convert_vec_avx2);
#endif
