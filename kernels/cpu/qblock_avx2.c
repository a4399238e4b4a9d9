/* qblock_avx2.c: qblock_dequant and qblock_matmul (Q6_K, Q8_0, MXFP4) with 256-bit vectors.
 *
 * Idea: 32 weights at a time, as many as share a block of quantised x (qblock_avx2.h). int8: VPMADDUBSW on |q| and x with q's
 * sign, then VPMADDWD with the scales as 16-bit words, so that they cost nothing; the sum is exact, one multiplication with d and one FMA with d_x follow. fp32: weights made whole, exactly, then one FMA. Two rows at
 * once; columns in groups of four, two, one, for which the rows come from the L1 cache.
 * Bound: the unpacking. Rows to come are prefetched (qblock.h): one thread on an AMD EPYC Zen 4, 4096 x 14336, best of 25 runs, Q6_K 12.9 GB/s (9.3
 * without), Q8_0 16.4 (9.9), MXFP4 7.7 either way. Only these: blackframe check qblock_matmul --kernel 'qblock_*_avx2' */
#include "narrow_x86.h"
#include "q4k_quantise_avx2.h"
#include "qblock_avx2.h"

#if defined(__x86_64__)
typedef struct avx2_job {
    qblock_job q;
    const float *x; /* fp32 path: [n][k] */
    int int8;
} avx2_job;

enum { ROWS = 2 };

/* ROWS rows from w on, `n` columns from `column` on. */
BF_AVX2_INLINE void product(const avx2_job *a, bf_dtype type, const char *w, int64_t stride, int64_t column, const int n, const int int8,
                            float out[ROWS][4]) {
    const matvec_job *j = &a->q.job;
    __m256 acc[ROWS][4];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < n; c++) acc[r][c] = _mm256_setzero_ps();
    for (int64_t at = 0; at < j->k; at += 128) {
        int count = j->k - at < 128 ? (int)(j->k - at) / 32 : 4;
        if (n == 1) qblock_prefetch(type, w, stride, at, ROWS);
#pragma GCC unroll 2
        for (int r = 0; r < ROWS; r++) {
            qblock32 b[4];
            qblock_load128(type, w + r * stride, at, count, b);
#pragma GCC unroll 4
            for (int t = 0; t < 4; t++) {
                if (t >= count) break;
                int64_t e = at + 32 * t;
                if (int8) {
#pragma GCC unroll 4
                    for (int c = 0; c < n; c++) {
                        __m256i x = _mm256_loadu_si256((const void *)(j->xq + (column + c) * j->k + e));
                        __m256 share = _mm256_mul_ps(qblock_dot32(&b[t], x), b[t].d);
                        acc[r][c] = _mm256_fmadd_ps(share, _mm256_set1_ps(j->xd[((column + c) * j->k + e) / 32]), acc[r][c]);
                    }
                    continue;
                }
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) {
                    __m256 value = qblock_weights8(&b[t], i);
#pragma GCC unroll 4
                    for (int c = 0; c < n; c++)
                        acc[r][c] = _mm256_fmadd_ps(value, _mm256_loadu_ps(a->x + (column + c) * j->k + e + 8 * i), acc[r][c]);
                }
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < n; c++) out[r][c] = qblock_sum8(acc[r][c]);
}

#define EACH_N(type, int8, n) \
    BF_AVX2 static void type##int8##n(const avx2_job *a, const char *w, int64_t s, int64_t c, float out[ROWS][4]) { product(a, type, w, s, c, n, int8, out); }
#define EACH(type, int8) EACH_N(type, int8, 1) EACH_N(type, int8, 2) EACH_N(type, int8, 4)
EACH(BF_Q6_K, 0) EACH(BF_Q6_K, 1) EACH(BF_Q8_0, 0) EACH(BF_Q8_0, 1) EACH(BF_MXFP4, 0) EACH(BF_MXFP4, 1)
typedef void product_fn(const avx2_job *, const char *, int64_t, int64_t, float[ROWS][4]);
#define ALL(type, int8) {type##int8##1, type##int8##2, type##int8##4}
static product_fn *const products[QBLOCK_FORMATS][2][3] = {
    {ALL(BF_Q6_K, 0), ALL(BF_Q6_K, 1)}, {ALL(BF_Q8_0, 0), ALL(BF_Q8_0, 1)}, {ALL(BF_MXFP4, 0), ALL(BF_MXFP4, 1)}};

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const avx2_job *a = arg;
    const matvec_job *j = &a->q.job;
    product_fn *const *by_n = products[qblock_format(a->q.type)][a->int8];
    float out[ROWS][4];
    for (int64_t r = begin; r < end; r += ROWS) {
        const char *w = (const char *)j->w + r * a->q.row_bytes;
        for (int64_t c = 0; c < j->n;) {
            int which = j->n - c >= 4 ? 2 : j->n - c >= 2 ? 1 : 0, n = 1 << which;
            by_n[which](a, w, r + 1 < j->m ? a->q.row_bytes : 0, c, out);
            for (int i = 0; i < ROWS && r + i < j->m; i++)
                for (int o = 0; o < n; o++) j->y[(c + o) * j->m + r + i] = out[i][o];
            c += n;
        }
    }
}

/* Values [begin, end) of x, multiples of 8, to fp32. */
BF_AVX2 static void widen(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const avx2_job *a = arg;
    for (int64_t i = begin; i < end; i += 8) _mm256_storeu_ps((float *)a->x + i, quantise_load8(&a->q.job, i));
}

static void run(const bf_problem *p, bf_pool *pool, int int8) {
    avx2_job a = {.q = qblock_job_of(p), .int8 = int8};
    const matvec_job *j = &a.q.job;
    if (int8)
        quantise_x(j, pool);
    else if (j->x_type == BF_F32)
        a.x = j->x;
    else {
        a.x = j->scratch;
        bf_pool_run(j->n * j->k > 65536 ? pool : NULL, widen, &a, j->n * j->k, 4096);
    }
    bf_pool_run(pool, rows, &a, j->m, qblock_grain(&a.q, pool, ROWS));
}
static void run_int8(const bf_problem *p, bf_pool *pool) { run(p, pool, 1); }
static void run_fp32(const bf_problem *p, bf_pool *pool) { run(p, pool, 0); }

/* One addition a block of 32, or one each 8 weights; the eight lanes. */
static int64_t int8_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 32 + 3; }
static int64_t fp32_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 8 + 3; }
static uint64_t fp32_scratch(const bf_problem *p) {
    return p->type[Q4K_MATVEC_X] == BF_F32 ? 0 : 4 * (uint64_t)p->dim[Q4K_MATVEC_N] * (uint64_t)p->dim[Q4K_MATVEC_K];
}

/* ---- dequantisation ---- */
typedef struct dequant_all {
    const char *w;
    char *y;
    bf_dtype from, to;
    int64_t n;
} dequant_all;

/* Weights [begin, end), a multiple of 128 the first. */
BF_AVX2_INLINE void dequant(const dequant_all *j, bf_dtype from, bf_dtype to, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += 128) {
        qblock32 b[4];
        int count = end - at < 128 ? (int)(end - at) / 32 : 4;
        qblock_load128(from, j->w, at, count, b);
#pragma GCC unroll 4
        for (int t = 0; t < 4; t++) {
            if (t >= count) break;
            for (int i = 0; i < 4; i++) {
                __m256i u = narrow256(_mm256_castps_si256(qblock_weights8(&b[t], i)), to);
                int64_t e = at + 32 * t + 8 * i;
                if (to == BF_F32)
                    _mm256_storeu_si256((void *)(j->y + 4 * e), u);
                else
                    _mm_storeu_si128((void *)(j->y + 2 * e), _mm_packus_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1)));
            }
        }
    }
}
BF_AVX2_INLINE void dequant_to(const dequant_all *j, bf_dtype from, int64_t begin, int64_t end) {
    if (j->to == BF_F32) dequant(j, from, BF_F32, begin, end);
    if (j->to == BF_F16) dequant(j, from, BF_F16, begin, end);
    if (j->to == BF_BF16) dequant(j, from, BF_BF16, begin, end);
}
BF_AVX2 static void dequant_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const dequant_all *j = arg;
    if (j->from == BF_Q6_K) dequant_to(j, BF_Q6_K, begin, end);
    if (j->from == BF_Q8_0) dequant_to(j, BF_Q8_0, begin, end);
    if (j->from == BF_MXFP4) dequant_to(j, BF_MXFP4, begin, end);
}
static void run_dequant(const bf_problem *p, bf_pool *pool) {
    dequant_all j = {p->ptr[Q4K_DEQUANT_W], p->ptr[Q4K_DEQUANT_Y], p->type[Q4K_DEQUANT_W], p->type[Q4K_DEQUANT_Y],
                     p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K]};
    bf_pool_run(pool, dequant_chunk, &j, j.n, 32768);
}

static const bf_kernel qblock_dequant_avx2 = {
    .op = "qblock_dequant", .name = "qblock_dequant_avx2", .file = "qblock_avx2", .target = BF_CPU, .role = BF_TUNED,
    .summary = "eight weights at a time", .rank = 20, .available = bf_has_avx2, .accepts = qblock_dequant_accepts, .run = run_dequant,
};
BF_REGISTER(qblock_dequant_avx2);
static const bf_kernel qblock_fp32_avx2 = {
    .op = "qblock_matmul", .name = "qblock_fp32_avx2", .file = "qblock_avx2", .target = BF_CPU, .role = BF_TUNED, .path = "fp32",
    .summary = "weights made whole eight at a time, two rows", .rank = 20, .available = bf_has_avx2, .accepts = qblock_accepts,
    .scratch = fp32_scratch, .chain = fp32_chain, .run = run_fp32,
};
BF_REGISTER(qblock_fp32_avx2);
static const bf_kernel qblock_int8_avx2 = {
    .op = "qblock_matmul", .name = "qblock_int8_avx2", .file = "qblock_avx2", .target = BF_CPU, .role = BF_TUNED, .path = "int8",
    .summary = "VPMADDUBSW and VPMADDWD with the scales, two rows", .rank = 20,
    .available = bf_has_avx2, .accepts = qblock_accepts, .chain = int8_chain, .run = run_int8,
};
BF_REGISTER(qblock_int8_avx2);
#endif
