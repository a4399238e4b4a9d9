/* stream_vec.c: copy, read, write, triad and mix as fast as the memory goes: the ceiling that the other kernels are judged by.
 *
 * Idea: one linear stream a thread and array, 256 bytes a turn, every line prefetched into L2 4 KiB ahead. What counts
 * is how many lines are under way: the hardware's own prefetchers stop at a page, the software's do not.
 * Bound: memory.
 * Tried for read on AMD EPYC Zen 4 (two cores of a shared host; 16 MiB pieces of 1 GiB in huge pages, variants interleaved,
 * upper quartile of 200): no prefetch 31.0 GB/s with one thread, 56.7 with two; L2 prefetch 1, 2, 3, 4, 6 KiB ahead
 * 32.9, 32.8, 32.9, 33.1, 32.7 and 59.3, 59.5, 59.3, 59.7, 59.3; 16 KiB 29.8 and 51.9; non-temporal prefetch 30.1 to 31.1;
 * two or four streams in a chunk 31.2 to 32.1; prefetch into both levels 29.3. So 4 KiB, L2, one stream.
 * What non-temporal stores follow is another matter (same machine, one thread, median of 100 pieces of 16 MiB): copy with L2
 * prefetch 2, 4, 8 KiB ahead 44.0, 37.7, 33.9; none 42.1; L1 prefetch 0.5, 1, 2, 4 KiB ahead 42.5, 49.5, 49.4, 48.8. A turn of
 * 64 bytes to 4 KiB makes no difference there. So L1, 2 KiB, where the stores are non-temporal, in mix as well.
 * Run: blackframe bench -b cpu -k 'stream_vec*' */
#include <string.h>

#include "../common/stream.h"
#include "pool.h"
#include "x86.h"

typedef struct stream_job {
    const float *x, *z;
    float *y;
    uint32_t *c;
    int64_t n, m; /* m: mix */
    int nontemporal;
} stream_job;

typedef void stream_chunk(void *job, int64_t begin, int64_t end, int thread);
enum { GRAIN = 256 * 1024 /* elements: 1 MiB */ };

static uint32_t pattern(int64_t i) { return 0x3f800000u | ((uint32_t)i & 0xffu); }

/* Elements to go until y + i is aligned to `bytes`, at most `left`. */
static int64_t head(const float *y, int64_t i, int64_t left, uintptr_t bytes) {
    int64_t n = (int64_t)((0 - (uintptr_t)(y + i)) & (bytes - 1)) / 4;
    return n < left ? n : left;
}

/* ---- mix: what belongs to a chunk of the longer array ---- */

enum { LINE = 16, TURN = 32 }; /* elements in 64 bytes; lines of the longer array a turn */

typedef struct mix_part {
    int64_t x, x_end, y, y_end;       /* elements */
    int64_t turns;                    /* in whole lines; what is left over is less than two turns */
    uint64_t x_turn, y_turn;          /* lines a turn, 32 bits of fraction */
} mix_part;

/* Where the part of the shorter array begins that goes with element `at` of the longer one: at a line's begin, or the end. */
static int64_t mix_share(int64_t at, int64_t longer, int64_t shorter) {
    if (at == longer) return shorter;
    return (int64_t)((unsigned __int128)shorter * (uint64_t)at / (uint64_t)longer) / LINE * LINE;
}
/* `y_align`: bytes that y's whole lines are aligned to; the elements before are written here. */
static mix_part mix_begin(const stream_job *j, int64_t b, int64_t e, uintptr_t y_align) {
    int64_t longer = j->n > j->m ? j->n : j->m;
    mix_part p = {.x = mix_share(b, longer, j->n), .x_end = mix_share(e, longer, j->n),
                  .y = mix_share(b, longer, j->m), .y_end = mix_share(e, longer, j->m)};
    for (int64_t to = p.y + head(j->y, p.y, p.y_end - p.y, y_align); p.y < to; p.y++) ((uint32_t *)j->y)[p.y] = pattern(p.y);
    int64_t x_lines = (p.x_end - p.x) / LINE, y_lines = (p.y_end - p.y) / LINE;
    p.turns = (x_lines > y_lines ? x_lines : y_lines) / TURN;
    if (p.turns) p.x_turn = ((uint64_t)x_lines << 32) / (uint64_t)p.turns, p.y_turn = ((uint64_t)y_lines << 32) / (uint64_t)p.turns;
    return p;
}
/* What the turns left over; `all`: XOR of what they read. */
static void mix_end(const stream_job *j, mix_part p, uint32_t all) {
    for (; p.x < p.x_end; p.x++) all ^= ((const uint32_t *)j->x)[p.x];
    for (; p.y < p.y_end; p.y++) ((uint32_t *)j->y)[p.y] = pattern(p.y);
    __atomic_fetch_xor(j->c, all, __ATOMIC_RELAXED);
}

/* ---- portable ---- */

static void copy_any(void *arg, int64_t b, int64_t e, int thread) {
    (void)thread;
    const stream_job *j = arg;
    memcpy(j->y + b, j->x + b, (size_t)(e - b) * sizeof *j->y);
}
static void read_any(void *arg, int64_t b, int64_t e, int thread) {
    (void)thread;
    const stream_job *j = arg;
    const uint32_t *x = (const uint32_t *)j->x;
    uint32_t all[16] = {0}; /* sixteen chains, for whatever vectors there are */
    int64_t i = b;
    for (; i + 16 <= e; i += 16) {
        __builtin_prefetch(x + i + 1024, 0, 2);
        for (int k = 0; k < 16; k++) all[k] ^= x[i + k];
    }
    for (; i < e; i++) all[0] ^= x[i];
    for (int k = 1; k < 16; k++) all[0] ^= all[k];
    __atomic_fetch_xor(j->c, all[0], __ATOMIC_RELAXED);
}
static void write_any(void *arg, int64_t b, int64_t e, int thread) {
    (void)thread;
    const stream_job *j = arg;
    uint32_t *y = (uint32_t *)j->y;
    for (int64_t i = b; i < e; i++) y[i] = pattern(i);
}
static void triad_any(void *arg, int64_t b, int64_t e, int thread) {
    (void)thread;
    const stream_job *j = arg;
    const float *x = j->x, *z = j->z;
    float *y = j->y;
    for (int64_t i = b; i < e; i++) y[i] = x[i] + 3.0f * z[i];
}
static void mix_any(void *arg, int64_t b, int64_t e, int thread) {
    (void)thread;
    const stream_job *j = arg;
    const uint32_t *x = (const uint32_t *)j->x;
    uint32_t *y = (uint32_t *)j->y, all[LINE] = {0};
    mix_part p = mix_begin(j, b, e, sizeof *y);
    uint64_t reads = 0, writes = 0;
    for (int64_t t = 0; t < p.turns; t++) {
        reads = (uint32_t)reads + p.x_turn, writes = (uint32_t)writes + p.y_turn;
        for (uint64_t k = reads >> 32; k; k--, p.x += LINE) {
            __builtin_prefetch(x + p.x + 1024, 0, 2);
            for (int i = 0; i < LINE; i++) all[i] ^= x[p.x + i];
        }
        for (int64_t to = p.y + (int64_t)(writes >> 32) * LINE; p.y < to; p.y++) y[p.y] = pattern(p.y);
    }
    for (int i = 1; i < LINE; i++) all[0] ^= all[i];
    mix_end(j, p, all[0]);
}

#if defined(__x86_64__)
/* ---- AVX-512: 64 elements a turn ---- */

#define AHEAD(p) _mm_prefetch((const char *)(p) + 4096, _MM_HINT_T1)
/* Where non-temporal stores follow; see the head of this file. */
#define AHEAD_OF(p, nt) ((nt) ? _mm_prefetch((const char *)(p) + 2048, _MM_HINT_T0) : AHEAD(p))

BF_AVX2_INLINE uint32_t xor256(__m256i v) {
    uint32_t word[8], all = 0;
    _mm256_storeu_si256((void *)word, v);
    for (int k = 0; k < 8; k++) all ^= word[k];
    return all;
}
BF_AVX512_INLINE uint32_t xor512(__m512i v) {
    return xor256(_mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1)));
}
BF_AVX512_INLINE void store512(float *p, __m512 v, int nontemporal) {
    if (nontemporal) _mm512_stream_ps(p, v);
    else _mm512_storeu_ps(p, v);
}
BF_AVX512_INLINE void copy512(const stream_job *j, int64_t i, int64_t e, const int nt) {
    for (int64_t to = i + head(j->y, i, e - i, 64); i < to; i++) j->y[i] = j->x[i];
    for (; i + 64 <= e; i += 64) {
        __m512 v[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) AHEAD_OF(j->x + i + 16 * k, nt), v[k] = _mm512_loadu_ps(j->x + i + 16 * k);
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) store512(j->y + i + 16 * k, v[k], nt);
    }
    for (; i < e; i++) j->y[i] = j->x[i];
}
BF_AVX512_INLINE void write512(const stream_job *j, int64_t i, int64_t e, const int nt) {
    for (int64_t to = i + head(j->y, i, e - i, 64); i < to; i++) ((uint32_t *)j->y)[i] = pattern(i);
    const __m512i step = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), low = _mm512_set1_epi32(0xff);
    __m512i at = _mm512_add_epi32(_mm512_set1_epi32((int)(i & 0xff)), step);
    for (; i + 64 <= e; i += 64) {
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            __m512i v = _mm512_or_si512(_mm512_and_si512(at, low), _mm512_set1_epi32(0x3f800000));
            store512(j->y + i + 16 * k, _mm512_castsi512_ps(v), nt);
            at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
        }
    }
    for (; i < e; i++) ((uint32_t *)j->y)[i] = pattern(i);
}
BF_AVX512_INLINE void triad512(const stream_job *j, int64_t i, int64_t e, const int nt) {
    for (int64_t to = i + head(j->y, i, e - i, 64); i < to; i++) j->y[i] = __builtin_fmaf(3.0f, j->z[i], j->x[i]);
    for (; i + 64 <= e; i += 64) {
        __m512 v[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            AHEAD_OF(j->x + i + 16 * k, nt), AHEAD_OF(j->z + i + 16 * k, nt);
            v[k] = _mm512_fmadd_ps(_mm512_set1_ps(3.0f), _mm512_loadu_ps(j->z + i + 16 * k),
                                   _mm512_loadu_ps(j->x + i + 16 * k));
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) store512(j->y + i + 16 * k, v[k], nt);
    }
    for (; i < e; i++) j->y[i] = __builtin_fmaf(3.0f, j->z[i], j->x[i]);
}
BF_AVX512 static void read_avx512(void *arg, int64_t b, int64_t e, int thread) {
    (void)thread;
    const stream_job *j = arg;
    __m512i a[4];
    for (int k = 0; k < 4; k++) a[k] = _mm512_setzero_si512();
    int64_t i = b;
    for (; i + 64 <= e; i += 64)
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            AHEAD(j->x + i + 16 * k);
            a[k] = _mm512_xor_si512(a[k], _mm512_loadu_si512(j->x + i + 16 * k));
        }
    uint32_t all = xor512(_mm512_xor_si512(_mm512_xor_si512(a[0], a[1]), _mm512_xor_si512(a[2], a[3])));
    for (; i < e; i++) all ^= ((const uint32_t *)j->x)[i];
    __atomic_fetch_xor(j->c, all, __ATOMIC_RELAXED);
}
BF_AVX512_INLINE void mix512(const stream_job *j, int64_t b, int64_t e, const int nt) {
    mix_part p = mix_begin(j, b, e, 64);
    const __m512i step = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), low = _mm512_set1_epi32(0xff);
    __m512i at = _mm512_add_epi32(_mm512_set1_epi32((int)(p.y & 0xff)), step), all = _mm512_setzero_si512();
    uint64_t reads = 0, writes = 0;
    for (int64_t t = 0; t < p.turns; t++) {
        reads = (uint32_t)reads + p.x_turn, writes = (uint32_t)writes + p.y_turn;
        for (uint64_t k = 0; k < reads >> 32; k++) AHEAD_OF(j->x + p.x + (int64_t)k * LINE, nt);
        for (uint64_t k = reads >> 32; k; k--, p.x += LINE) {
            all = _mm512_xor_si512(all, _mm512_loadu_si512(j->x + p.x));
        }
        for (uint64_t k = writes >> 32; k; k--, p.y += LINE) {
            __m512i v = _mm512_or_si512(_mm512_and_si512(at, low), _mm512_set1_epi32(0x3f800000));
            store512(j->y + p.y, _mm512_castsi512_ps(v), nt);
            at = _mm512_add_epi32(at, _mm512_set1_epi32(LINE));
        }
    }
    mix_end(j, p, xor512(all));
}
/* Both kinds of store as constants of their own loops; a fence, for the harness reads what another thread streamed. */
#define STREAM512(mode)                                                             \
    BF_AVX512 static void mode##_avx512(void *arg, int64_t b, int64_t e, int thread) { \
        (void)thread;                                                               \
        const stream_job *j = arg;                                                  \
        if (j->nontemporal) mode##512(j, b, e, 1), _mm_sfence();                    \
        else mode##512(j, b, e, 0);                                                 \
    }
STREAM512(copy) STREAM512(write) STREAM512(triad) STREAM512(mix)

/* ---- AVX2: 64 elements a turn ---- */

BF_AVX2_INLINE void store256(float *p, __m256 v, int nontemporal) {
    if (nontemporal) _mm256_stream_ps(p, v);
    else _mm256_storeu_ps(p, v);
}
BF_AVX2_INLINE void copy256(const stream_job *j, int64_t i, int64_t e, const int nt) {
    for (int64_t to = i + head(j->y, i, e - i, 32); i < to; i++) j->y[i] = j->x[i];
    for (; i + 64 <= e; i += 64) {
        __m256 v[8];
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            if (k % 2 == 0) AHEAD_OF(j->x + i + 8 * k, nt);
            v[k] = _mm256_loadu_ps(j->x + i + 8 * k);
        }
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) store256(j->y + i + 8 * k, v[k], nt);
    }
    for (; i < e; i++) j->y[i] = j->x[i];
}
BF_AVX2_INLINE void write256(const stream_job *j, int64_t i, int64_t e, const int nt) {
    for (int64_t to = i + head(j->y, i, e - i, 32); i < to; i++) ((uint32_t *)j->y)[i] = pattern(i);
    const __m256i step = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), low = _mm256_set1_epi32(0xff);
    __m256i at = _mm256_add_epi32(_mm256_set1_epi32((int)(i & 0xff)), step);
    for (; i + 64 <= e; i += 64) {
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            __m256i v = _mm256_or_si256(_mm256_and_si256(at, low), _mm256_set1_epi32(0x3f800000));
            store256(j->y + i + 8 * k, _mm256_castsi256_ps(v), nt);
            at = _mm256_add_epi32(at, _mm256_set1_epi32(8));
        }
    }
    for (; i < e; i++) ((uint32_t *)j->y)[i] = pattern(i);
}
BF_AVX2_INLINE void triad256(const stream_job *j, int64_t i, int64_t e, const int nt) {
    for (int64_t to = i + head(j->y, i, e - i, 32); i < to; i++) j->y[i] = __builtin_fmaf(3.0f, j->z[i], j->x[i]);
    for (; i + 32 <= e; i += 32) {
        __m256 v[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            if (k % 2 == 0) AHEAD_OF(j->x + i + 8 * k, nt), AHEAD_OF(j->z + i + 8 * k, nt);
            v[k] = _mm256_fmadd_ps(_mm256_set1_ps(3.0f), _mm256_loadu_ps(j->z + i + 8 * k), _mm256_loadu_ps(j->x + i + 8 * k));
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) store256(j->y + i + 8 * k, v[k], nt);
    }
    for (; i < e; i++) j->y[i] = __builtin_fmaf(3.0f, j->z[i], j->x[i]);
}
BF_AVX2 static void read_avx2(void *arg, int64_t b, int64_t e, int thread) {
    (void)thread;
    const stream_job *j = arg;
    __m256i a[8];
    for (int k = 0; k < 8; k++) a[k] = _mm256_setzero_si256();
    int64_t i = b;
    for (; i + 64 <= e; i += 64)
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            if (k % 2 == 0) AHEAD(j->x + i + 8 * k);
            a[k] = _mm256_xor_si256(a[k], _mm256_loadu_si256((const void *)(j->x + i + 8 * k)));
        }
    for (int k = 1; k < 8; k++) a[0] = _mm256_xor_si256(a[0], a[k]);
    uint32_t all = xor256(a[0]);
    for (; i < e; i++) all ^= ((const uint32_t *)j->x)[i];
    __atomic_fetch_xor(j->c, all, __ATOMIC_RELAXED);
}
BF_AVX2_INLINE void mix256(const stream_job *j, int64_t b, int64_t e, const int nt) {
    mix_part p = mix_begin(j, b, e, 32);
    const __m256i step = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), low = _mm256_set1_epi32(0xff);
    __m256i at = _mm256_add_epi32(_mm256_set1_epi32((int)(p.y & 0xff)), step), all = _mm256_setzero_si256();
    uint64_t reads = 0, writes = 0;
    for (int64_t t = 0; t < p.turns; t++) {
        reads = (uint32_t)reads + p.x_turn, writes = (uint32_t)writes + p.y_turn;
        for (uint64_t k = 0; k < reads >> 32; k++) AHEAD_OF(j->x + p.x + (int64_t)k * LINE, nt);
        for (uint64_t k = reads >> 32; k; k--, p.x += LINE) {
            const __m256i *x = (const void *)(j->x + p.x);
            all = _mm256_xor_si256(all, _mm256_xor_si256(_mm256_loadu_si256(x), _mm256_loadu_si256(x + 1)));
        }
        for (uint64_t k = 2 * (writes >> 32); k; k--, p.y += LINE / 2) {
            __m256i v = _mm256_or_si256(_mm256_and_si256(at, low), _mm256_set1_epi32(0x3f800000));
            store256(j->y + p.y, _mm256_castsi256_ps(v), nt);
            at = _mm256_add_epi32(at, _mm256_set1_epi32(LINE / 2));
        }
    }
    mix_end(j, p, xor256(all));
}
#define STREAM256(mode)                                                           \
    BF_AVX2 static void mode##_avx2(void *arg, int64_t b, int64_t e, int thread) { \
        (void)thread;                                                             \
        const stream_job *j = arg;                                                \
        if (j->nontemporal) mode##256(j, b, e, 1), _mm_sfence();                  \
        else mode##256(j, b, e, 0);                                               \
    }
STREAM256(copy) STREAM256(write) STREAM256(triad) STREAM256(mix)
#endif

/* ---- descriptors ---- */

static int accepts_plain(const bf_problem *p) { return p->param[STREAM_STORE] == 0; }

static void run_mode(const bf_problem *p, bf_pool *pool, stream_chunk *const by_mode[]) {
    stream_job j = {p->ptr[STREAM_X], p->ptr[STREAM_Z], p->ptr[STREAM_Y], p->ptr[STREAM_C],
                    p->dim[STREAM_N], p->dim[STREAM_M], p->param[STREAM_STORE] != 0};
    int mode = (int)p->param[STREAM_MODE];
    if (mode == STREAM_READ || mode == STREAM_MIX) *j.c = 0;
    bf_pool_run(pool, by_mode[mode], &j, mode == STREAM_MIX && j.m > j.n ? j.m : j.n, GRAIN);
}
static void run_any(const bf_problem *p, bf_pool *pool) {
    static stream_chunk *const by_mode[] = {copy_any, read_any, write_any, triad_any, mix_any};
    run_mode(p, pool, by_mode);
}
static const bf_kernel stream_vec = {
    .op = "stream", .name = "stream_vec", .file = "stream_vec", .target = BF_CPU, .role = BF_TUNED, .rank = 10,
    .summary = "linear stream, plain stores, the compiler's vectors", .accepts = accepts_plain, .run = run_any,
};
BF_REGISTER(stream_vec);

#if defined(__x86_64__)
static int accepts(const bf_problem *p) {
    (void)p;
    return 1;
}
static void run_avx2(const bf_problem *p, bf_pool *pool) {
    static stream_chunk *const by_mode[] = {copy_avx2, read_avx2, write_avx2, triad_avx2, mix_avx2};
    run_mode(p, pool, by_mode);
}
static void run_avx512(const bf_problem *p, bf_pool *pool) {
    static stream_chunk *const by_mode[] = {copy_avx512, read_avx512, write_avx512, triad_avx512, mix_avx512};
    run_mode(p, pool, by_mode);
}
static const bf_kernel stream_vec_avx2 = {
    .op = "stream", .name = "stream_vec_avx2", .file = "stream_vec", .target = BF_CPU, .role = BF_TUNED, .rank = 20,
    .summary = "linear stream, prefetched 4 KiB ahead", .available = bf_has_avx2, .accepts = accepts, .run = run_avx2,
};
BF_REGISTER(stream_vec_avx2);
static const bf_kernel stream_vec_avx512 = {
    .op = "stream", .name = "stream_vec_avx512", .file = "stream_vec", .target = BF_CPU, .role = BF_TUNED, .rank = 30,
    .summary = "linear stream, prefetched 4 KiB ahead", .available = bf_has_avx512, .accepts = accepts, .run = run_avx512,
};
BF_REGISTER(stream_vec_avx512);
#endif
