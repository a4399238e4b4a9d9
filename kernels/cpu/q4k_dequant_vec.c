/* q4k_dequant_vec.c: Q4_K to fp32, fp16 and bf16 by AVX-512 and AVX2.
 *
 * Idea: a sub-block of 32 weights has only sixteen different values. AVX-512 computes all sixteen at once (d*sc*q - dmin*m for
 * q = 0..15, one fused instruction, and once the rounding to 16 bits) and looks the weights up by a permutation. AVX2 has no
 * such permutation of 16 floats: it converts and multiplies. 7 bytes are written for each read (fp32), so what counts
 * is the stores: non-temporal for large outputs.
 * Bound: memory. Exactness: kernels/common/q4k_dequant.h; fused or not makes no difference.
 * Run: blackframe bench -b cpu -k 'q4k_dequant_vec*' */
#include "narrow_x86.h"
#include "q4k_dequant_naive.h"

#if defined(__x86_64__)

enum { GRAIN = 256 /* super-blocks: 256 KiB of fp32 */, LARGE = 16 << 20 /* bytes of output */ };

typedef struct scales {
    float dsc[8], dm[8]; /* d * sc and dmin * m of the eight sub-blocks, both exact */
} scales;

static inline void decode(const bf_q4_k *b, scales *s) {
    uint32_t word[3], sc[2], mn[2];
    float d = bf_f16_value(b->d), dmin = bf_f16_value(b->dmin);
    memcpy(word, b->scales, sizeof word);
    bf_q4_k_scales(word[0], word[1], word[2], sc, mn);
    for (int i = 0; i < 8; i++) {
        s->dsc[i] = d * (float)(sc[i / 4] >> 8 * (i % 4) & 63u);
        s->dm[i] = dmin * (float)(mn[i / 4] >> 8 * (i % 4) & 63u);
    }
}

/* ---- AVX-512 ---- */

BF_AVX512_INLINE void put512(void *p, __m512i v, int nt) {
    if (nt) _mm512_stream_si512(p, v);
    else _mm512_storeu_si512(p, v);
}

/* The 32 weights of one sub-block; q: their nibbles, a byte each; y: where they go. */
BF_AVX512_INLINE void sub512(__m256i q, float dsc, float dm, bf_dtype to, void *y, int nt) {
    const __m512 iota = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 table = _mm512_fmsub_ps(iota, _mm512_set1_ps(dsc), _mm512_set1_ps(dm));
    if (to == BF_F32) {
        put512(y, _mm512_castps_si512(_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(q)), table)), nt);
        put512((char *)y + 64, _mm512_castps_si512(_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(q, 1)), table)), nt);
        return;
    }
    __m512i narrow = _mm512_castsi256_si512(narrow512(_mm512_castps_si512(table), to));
    put512(y, _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(q), narrow), nt);
}

BF_AVX512_INLINE void body512(const dequant_job *j, int64_t b, int64_t e, bf_dtype to, int nt) {
    const int64_t size = to == BF_F32 ? 4 : 2;
    for (; b < e; b++) {
        const bf_q4_k *w = j->w + b;
        char *y = (char *)j->y + b * BF_Q4_K_WEIGHTS * size;
        scales s;
        for (int k = 0; k < 3; k++) _mm_prefetch((const char *)w + 4096 + 64 * k, _MM_HINT_T1);
        decode(w, &s);
        for (int k = 0; k < 4; k++, y += 64 * size) {
            __m256i both = _mm256_loadu_si256((const __m256i *)(const void *)(w->qs + 32 * k)), low = _mm256_set1_epi8(15);
            sub512(_mm256_and_si256(both, low), s.dsc[2 * k], s.dm[2 * k], to, y, nt);
            sub512(_mm256_and_si256(_mm256_srli_epi16(both, 4), low), s.dsc[2 * k + 1], s.dm[2 * k + 1], to, y + 32 * size, nt);
        }
    }
    if (nt) _mm_sfence(); /* another thread reads what was streamed */
}

/* ---- AVX2 ---- */

BF_AVX2_INLINE void put256(void *p, __m256i v, int nt) {
    if (nt) _mm256_stream_si256(p, v);
    else _mm256_storeu_si256(p, v);
}

BF_AVX2_INLINE __m256i eight(__m128i q, __m256 dsc, __m256 dm, bf_dtype to) {
    __m256 f = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(q));
    return narrow256(_mm256_castps_si256(_mm256_fmsub_ps(f, dsc, dm)), to);
}

BF_AVX2_INLINE void sub256(__m256i q, float dsc, float dm, bf_dtype to, char *y, int nt) {
    __m128i half[2] = {_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1)};
    __m256 s = _mm256_set1_ps(dsc), m = _mm256_set1_ps(dm);
    for (int k = 0; k < 2; k++) {
        __m256i r0 = eight(half[k], s, m, to), r1 = eight(_mm_srli_si128(half[k], 8), s, m, to);
        if (to == BF_F32) {
            put256(y + 64 * k, r0, nt), put256(y + 64 * k + 32, r1, nt);
        } else /* the pack works in halves of a vector: put the quarters in order */
            put256(y + 32 * k, _mm256_permute4x64_epi64(_mm256_packus_epi32(r0, r1), 0xd8), nt);
    }
}

BF_AVX2_INLINE void body256(const dequant_job *j, int64_t b, int64_t e, bf_dtype to, int nt) {
    const int64_t size = to == BF_F32 ? 4 : 2;
    for (; b < e; b++) {
        const bf_q4_k *w = j->w + b;
        char *y = (char *)j->y + b * BF_Q4_K_WEIGHTS * size;
        scales s;
        for (int k = 0; k < 3; k++) _mm_prefetch((const char *)w + 4096 + 64 * k, _MM_HINT_T1);
        decode(w, &s);
        for (int k = 0; k < 4; k++, y += 64 * size) {
            __m256i both = _mm256_loadu_si256((const __m256i *)(const void *)(w->qs + 32 * k)), low = _mm256_set1_epi8(15);
            sub256(_mm256_and_si256(both, low), s.dsc[2 * k], s.dm[2 * k], to, y, nt);
            sub256(_mm256_and_si256(_mm256_srli_epi16(both, 4), low), s.dsc[2 * k + 1], s.dm[2 * k + 1], to, y + 32 * size, nt);
        }
    }
    if (nt) _mm_sfence();
}

/* ---- kernels ---- */

/* The launch's kind of store: rows are contiguous, so one look at the base settles the alignment of every store. */
typedef struct vec_job {
    dequant_job job;
    int nt;
} vec_job;

#define CHUNK(name, isa, body)                                                              \
    isa static void name(void *arg, int64_t b, int64_t e, int thread) {                     \
        (void)thread;                                                                       \
        const vec_job *v = arg;                                                             \
        const dequant_job *j = &v->job;                                                     \
        if (j->to == BF_F32) v->nt ? body(j, b, e, BF_F32, 1) : body(j, b, e, BF_F32, 0);   \
        else if (j->to == BF_F16) v->nt ? body(j, b, e, BF_F16, 1) : body(j, b, e, BF_F16, 0); \
        else v->nt ? body(j, b, e, BF_BF16, 1) : body(j, b, e, BF_BF16, 0);                 \
    }
CHUNK(chunk512, BF_AVX512, body512)
CHUNK(chunk256, BF_AVX2, body256)

static void start(const bf_problem *p, bf_pool *pool, void (*chunk)(void *, int64_t, int64_t, int)) {
    int64_t n = p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K], size = p->type[Q4K_DEQUANT_Y] == BF_F32 ? 4 : 2;
    vec_job v = {{p->ptr[Q4K_DEQUANT_W], p->ptr[Q4K_DEQUANT_Y], p->type[Q4K_DEQUANT_Y]},
                 n * size >= LARGE && (uintptr_t)p->ptr[Q4K_DEQUANT_Y] % 64 == 0};
    bf_pool_run(pool, chunk, &v, n / BF_Q4_K_WEIGHTS, GRAIN);
}
static void run512(const bf_problem *p, bf_pool *pool) { start(p, pool, chunk512); }
static void run256(const bf_problem *p, bf_pool *pool) { start(p, pool, chunk256); }

static const bf_kernel dequant_avx512 = {
    .op = "q4k_dequant", .name = "q4k_dequant_vec_avx512", .file = "q4k_dequant_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "sixteen values a sub-block, looked up; non-temporal stores; memory-bound", .rank = 20,
    .available = bf_has_avx512, .accepts = dequant_accepts, .run = run512,
};
BF_REGISTER(dequant_avx512);

static const bf_kernel dequant_avx2 = {
    .op = "q4k_dequant", .name = "q4k_dequant_vec_avx2", .file = "q4k_dequant_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "converted and multiplied, eight at a time; non-temporal stores", .rank = 10,
    .available = bf_has_avx2, .accepts = dequant_accepts, .run = run256,
};
BF_REGISTER(dequant_avx2);
#endif
