/* qblock_avx512.c: qblock_matmul (Q6_K, Q8_0, MXFP4) and qblock_dequant with 512-bit vectors.
 *
 * Idea: 64 weights at a time. int8: VPDPBUSD takes unsigned weights (Q6_K as stored, 0..63; Q8_0 plus 128; MXFP4 by VPSHUFB from a
 * table of integers plus 12) and signed x; the dot starts at minus 32 (128, 12) times the sum of the four x, made once for the rows that
 * are computed together. Each of the sixteen sums belongs to one scale and one block of x: d*sc and d_x come by a permutation. MXFP4 has
 * four blocks in a vector of low and one of high nibbles: both have one scale, their dots are one chain, x is put in that order once.
 * fp32: sixteen weights made whole, exactly, then one FMA. One column on int8: four rows share what x costs.
 * The rows to come are prefetched into L2 (qblock.h), so that memory sees one linear stream.
 * Bound: the memory with one column on int8. Measured on an AMD EPYC Zen 4 beside other work, two threads, 4096 x 14336, 1.1 GB of
 * buffers, in one run with the version before (two rows, no prefetch): Q6_K 93 % of the read ceiling (46), Q8_0 91 % (58), MXFP4 72 % (38); out of
 * L2 and one thread 34, 37 and 41 G weights/s. Only these: blackframe check qblock_matmul --kernel 'qblock_*_avx512*' */
#include "narrow_x86.h"
#include "q4k_quantise_avx2.h"
#include "qblock.h"

#if defined(__x86_64__)
typedef struct avx512_job {
    qblock_job q;
    const float *x; /* fp32 path: [n][k] */
    int int8;
} avx512_job;

enum { ROWS = 2, FOUR = 4 };

/* 64 weights of a row. */
typedef struct weights64 {
    __m512i q;  /* bytes, unsigned: value + bias */
    __m512 scale; /* of lane i: d*sc of weights 4 i .. 4 i + 3 */
} weights64;

/* Weights 128 h .. 128 h + 127 of a super-block: low nibbles, then high ones. */
BF_VNNI_INLINE void q6_half(const char *block, int h, weights64 out[2]) {
    const bf_q6_k *b = (const bf_q6_k *)block;
    const __m512i four = _mm512_set1_epi8(0x0f), two = _mm512_set1_epi8(0x30);
    const __m512i up = _mm512_inserti64x4(_mm512_set1_epi16(2), _mm256_set1_epi16(4), 0);
    const __m512i down = _mm512_inserti64x4(_mm512_set1_epi16(2), _mm256_setzero_si256(), 0);
    __m512i low = _mm512_loadu_si512(b->ql + 64 * h), top = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(b->qh + 32 * h)));
    out[0].q = _mm512_or_si512(_mm512_and_si512(low, four), _mm512_and_si512(_mm512_sllv_epi16(top, up), two));
    out[1].q = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), four), _mm512_and_si512(_mm512_srlv_epi16(top, down), two));
    __m256 sc = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(b->scales + 8 * h))));
    __m512 all = _mm512_castps256_ps512(_mm256_mul_ps(sc, _mm256_set1_ps(_cvtsh_ss(b->d))));
    out[0].scale = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), all);
    out[1].scale = _mm512_permutexvar_ps(_mm512_setr_epi32(4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7), all);
}
/* Two blocks; with `one` the first alone, the other 32 weights are zero. */
BF_VNNI_INLINE weights64 q8_pair(const char *block, int one) {
    const bf_q8_0 *b = (const bf_q8_0 *)block, *next = one ? b : b + 1;
    __m256i second = one ? _mm256_setzero_si256() : _mm256_loadu_si256((const void *)next->qs);
    __m512i q = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)b->qs)), second, 1);
    return (weights64){_mm512_xor_si512(q, _mm512_set1_epi8((char)0x80)),
                       _mm512_mask_blend_ps(0xff00, _mm512_set1_ps(_cvtsh_ss(b->d)), _mm512_set1_ps(_cvtsh_ss(next->d)))};
}
/* Four blocks of MXFP4, one in each 128 bits: their low nibbles, then their high ones, so that both vectors have one scale. Of those past
 * `count` the last is read again. */
BF_VNNI_INLINE void mxfp4_four(const char *block, int count, weights64 out[2]) {
    const bf_mxfp4 *b[4];
    for (int t = 0; t < 4; t++) b[t] = (const bf_mxfp4 *)block + (t < count ? t : count - 1);
    const __m512i integers = _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i four = _mm512_set1_epi8(15), each = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    __m256i first = _mm256_set_m128i(_mm_loadu_si128((const void *)b[1]->qs), _mm_loadu_si128((const void *)b[0]->qs));
    __m256i second = _mm256_set_m128i(_mm_loadu_si128((const void *)b[3]->qs), _mm_loadu_si128((const void *)b[2]->qs));
    __m512i codes = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    __m128 d = _mm_load_ss(&qblock_half_scales[b[0]->e]);
    d = _mm_insert_ps(d, _mm_load_ss(&qblock_half_scales[b[1]->e]), 0x10);
    d = _mm_insert_ps(d, _mm_load_ss(&qblock_half_scales[b[2]->e]), 0x20);
    d = _mm_insert_ps(d, _mm_load_ss(&qblock_half_scales[b[3]->e]), 0x30);
    __m512 scale = _mm512_permutexvar_ps(each, _mm512_castps128_ps512(d));
    out[0] = (weights64){_mm512_shuffle_epi8(integers, _mm512_and_si512(codes, four)), scale};
    out[1] = (weights64){_mm512_shuffle_epi8(integers, _mm512_and_si512(_mm512_srli_epi16(codes, 4), four)), scale};
}
/* Twice 64 weights from number `at` on (a multiple of 128), in the order of place(); Q8_0, MXFP4: the first `count` of their four blocks,
 * what stands for the others is multiplied by nothing but zeros. */
BF_VNNI_INLINE void load128(bf_dtype type, const char *row, int64_t at, int count, weights64 out[2]) {
    if (type == BF_Q6_K) q6_half(row + at / 256 * BF_Q6_K_BYTES, (int)(at / 128 % 2), out);
    if (type == BF_MXFP4) mxfp4_four(row + at / 32 * BF_MXFP4_BYTES, count, out);
    if (type != BF_Q8_0) return;
    const char *b = row + at / 32 * BF_Q8_0_BYTES;
    out[0] = q8_pair(b, count == 1);
    out[1] = count > 2 ? q8_pair(b + 2 * BF_Q8_0_BYTES, count == 3) : out[0];
}
/* Number of the first of the sixteen weights in part i of vector h. */
BF_VNNI_INLINE int place(bf_dtype type, int h, int i) { return type == BF_MXFP4 ? 32 * i + 16 * h : 64 * h + 16 * i; }
/* What stands in the vectors above the value. */
BF_VNNI_INLINE int bias_of(bf_dtype type) { return type == BF_Q6_K ? 32 : type == BF_Q8_0 ? 128 : BF_MXFP4_TOP; }
/* Weights 16 i .. 16 i + 15 of the 64 in fp32: exact. */
BF_VNNI_INLINE __m512 weights16(const weights64 *w, int i, int bias) {
    __m128i q = _mm512_extracti32x4_epi32(w->q, 0);
    if (i == 1) q = _mm512_extracti32x4_epi32(w->q, 1);
    if (i == 2) q = _mm512_extracti32x4_epi32(w->q, 2);
    if (i == 3) q = _mm512_extracti32x4_epi32(w->q, 3);
    __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_cvtepu8_epi32(q), _mm512_set1_epi32(bias)));
    /* All formats: sixteen weights have one scale. */
    return _mm512_mul_ps(value, _mm512_permutexvar_ps(_mm512_set1_epi32(4 * i), w->scale));
}

/* 128 values of quantised x in the order of the weights, with what they start the dot products at, and d_x of each lane; of the first
 * `count` blocks, otherwise zeros. */
typedef struct x128 {
    __m512i q[2], start[2];
    __m512 d[2];
} x128;
BF_VNNI_INLINE x128 x_load(bf_dtype type, const int8_t *q, const float *d, int count) {
    const __m512i bias = _mm512_set1_epi8((char)bias_of(type)), zero = _mm512_setzero_si512();
    uint32_t there = count == 4 ? ~0u : (1u << 8 * count) - 1;
    x128 x = {.q = {_mm512_maskz_loadu_epi32((__mmask16)there, q), _mm512_maskz_loadu_epi32((__mmask16)(there >> 16), q + 64)}};
    __m512 scale = _mm512_castps128_ps512(_mm_maskz_loadu_ps((__mmask8)((1 << count) - 1), d));
    if (type == BF_MXFP4) {
        __m512i low = _mm512_permutex2var_epi64(x.q[0], _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13), x.q[1]);
        __m512i high = _mm512_permutex2var_epi64(x.q[0], _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15), x.q[1]);
        x.q[0] = low, x.q[1] = high;
        x.start[0] = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(zero, bias, low), bias, high));
        x.d[0] = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), scale);
        return x;
    }
    for (int h = 0; h < 2; h++) {
        x.start[h] = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, bias, x.q[h]));
        const float *first = d + (2 * h < count ? 2 * h : 0), *second = d + (2 * h + 1 < count ? 2 * h + 1 : 0);
        x.d[h] = _mm512_mask_broadcastss_ps(_mm512_set1_ps(*first), 0xff00, _mm_load_ss(second));
    }
    return x;
}
/* acc and what 128 weights add to it. */
BF_VNNI_INLINE __m512 share(bf_dtype type, const weights64 w[2], const x128 *x, int count, __m512 acc) {
    __m512i dot = _mm512_dpbusd_epi32(x->start[0], w[0].q, x->q[0]);
    if (type == BF_MXFP4) dot = _mm512_dpbusd_epi32(dot, w[1].q, x->q[1]);
    acc = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(dot), w[0].scale), x->d[0], acc);
    if (type == BF_MXFP4 || count <= 2) return acc;
    dot = _mm512_dpbusd_epi32(x->start[1], w[1].q, x->q[1]);
    return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(dot), w[1].scale), x->d[1], acc);
}
/* ROWS rows from w on, `n` columns from `column` on. */
BF_VNNI_INLINE void product(const avx512_job *a, bf_dtype type, const char *w, int64_t stride, int64_t column, const int n, const int int8,
                            float out[ROWS][4]) {
    const matvec_job *j = &a->q.job;
    __m512 acc[ROWS][4];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < n; c++) acc[r][c] = _mm512_setzero_ps();
    for (int64_t at = 0; at < j->k; at += 128) {
        int count = j->k - at < 128 ? (int)(j->k - at) / 32 : 4;
        weights64 b[ROWS][2];
        for (int r = 0; r < ROWS; r++) load128(type, w + r * stride, at, count, b[r]);
        if (n == 1) qblock_prefetch(type, w, stride, at, ROWS);
#pragma GCC unroll 4
        for (int c = 0; int8 && c < n; c++) {
            x128 x = x_load(type, j->xq + (column + c) * j->k + at, j->xd + ((column + c) * j->k + at) / 32, count);
#pragma GCC unroll 2
            for (int r = 0; r < ROWS; r++) acc[r][c] = share(type, b[r], &x, count, acc[r][c]);
        }
#pragma GCC unroll 8
        for (int part = 0; !int8 && part < 8; part++) {
            int first = place(type, part / 4, part % 4);
            if (first / 32 >= count) continue;
#pragma GCC unroll 2
            for (int r = 0; r < ROWS; r++) {
                __m512 value = weights16(&b[r][part / 4], part % 4, bias_of(type));
#pragma GCC unroll 4
                for (int c = 0; c < n; c++)
                    acc[r][c] = _mm512_fmadd_ps(value, _mm512_loadu_ps(a->x + (column + c) * j->k + at + first), acc[r][c]);
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < n; c++) out[r][c] = _mm512_reduce_add_ps(acc[r][c]);
}

/* Weights at .. at + 32 count - 1 of FOUR rows, one column. */
BF_VNNI_INLINE void four_rows_128(bf_dtype type, const char *w, int64_t stride, const int8_t *q, const float *d, int64_t at, int count,
                                  __m512 acc[FOUR]) {
    x128 x = x_load(type, q + at, d + at / 32, count);
    qblock_prefetch(type, w, stride, at, FOUR);
#pragma GCC unroll 4
    for (int r = 0; r < FOUR; r++) {
        weights64 b[2];
        load128(type, w + r * stride, at, count, b);
        acc[r] = share(type, b, &x, count, acc[r]);
    }
}
/* FOUR rows, one column, path int8: what x costs is shared by more rows, and all that a row needs fits the registers. */
BF_VNNI_INLINE void four_rows(const avx512_job *a, bf_dtype type, const char *w, int64_t stride, int64_t column, float out[FOUR]) {
    const matvec_job *j = &a->q.job;
    const int8_t *q = j->xq + column * j->k;
    const float *d = j->xd + column * j->k / 32;
    __m512 acc[FOUR];
    int64_t at = 0;
    for (int r = 0; r < FOUR; r++) acc[r] = _mm512_setzero_ps();
    for (; at + 128 <= j->k; at += 128) four_rows_128(type, w, stride, q, d, at, 4, acc);
    if (at < j->k) four_rows_128(type, w, stride, q, d, at, (int)(j->k - at) / 32, acc);
    for (int r = 0; r < FOUR; r++) out[r] = _mm512_reduce_add_ps(acc[r]);
}

#define EACH_N(type, int8, n) \
    BF_VNNI static void type##int8##n(const avx512_job *a, const char *w, int64_t s, int64_t c, float out[ROWS][4]) { product(a, type, w, s, c, n, int8, out); }
#define EACH(type, int8) EACH_N(type, int8, 1) EACH_N(type, int8, 2) EACH_N(type, int8, 4)
EACH(BF_Q6_K, 0) EACH(BF_Q6_K, 1) EACH(BF_Q8_0, 0) EACH(BF_Q8_0, 1) EACH(BF_MXFP4, 0) EACH(BF_MXFP4, 1)
typedef void product_fn(const avx512_job *, const char *, int64_t, int64_t, float[ROWS][4]);
#define ALL(type, int8) {type##int8##1, type##int8##2, type##int8##4}
static product_fn *const products[QBLOCK_FORMATS][2][3] = {
    {ALL(BF_Q6_K, 0), ALL(BF_Q6_K, 1)}, {ALL(BF_Q8_0, 0), ALL(BF_Q8_0, 1)}, {ALL(BF_MXFP4, 0), ALL(BF_MXFP4, 1)}};

#define EACH_FOUR(type) \
    BF_VNNI static void type##four(const avx512_job *a, const char *w, int64_t s, int64_t c, float out[FOUR]) { four_rows(a, type, w, s, c, out); }
EACH_FOUR(BF_Q6_K) EACH_FOUR(BF_Q8_0) EACH_FOUR(BF_MXFP4)
static void (*const fours[QBLOCK_FORMATS])(const avx512_job *, const char *, int64_t, int64_t, float[FOUR]) = {BF_Q6_Kfour, BF_Q8_0four, BF_MXFP4four};

/* FOUR rows from r on, fewer at the end, columns from c on: how many columns were done. */
static int64_t rows_of(const avx512_job *a, int64_t r, int64_t c) {
    const matvec_job *j = &a->q.job;
    const char *w = (const char *)j->w + r * a->q.row_bytes;
    int which = j->n - c >= 4 ? 2 : j->n - c >= 2 ? 1 : 0, n = 1 << which;
    if (a->int8 && n == 1 && r + FOUR <= j->m) {
        fours[qblock_format(a->q.type)](a, w, a->q.row_bytes, c, j->y + c * j->m + r);
        return 1;
    }
    for (int i = 0; i < FOUR && r + i < j->m; i += ROWS) {
        float out[ROWS][4];
        products[qblock_format(a->q.type)][a->int8][which](a, w + i * a->q.row_bytes, r + i + 1 < j->m ? a->q.row_bytes : 0, c, out);
        for (int o = 0; o < ROWS * n; o++)
            if (r + i + o / n < j->m) j->y[(c + o % n) * j->m + r + i + o / n] = out[o / n][o % n];
    }
    return n;
}
static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const avx512_job *a = arg;
    for (int64_t r = begin; r < end; r += FOUR)
        for (int64_t c = 0; c < a->q.job.n;) c += rows_of(a, r, c);
}

/* Values [begin, end) of x, multiples of 8, to fp32. */
BF_AVX2 static void widen(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const avx512_job *a = arg;
    for (int64_t i = begin; i < end; i += 8) _mm256_storeu_ps((float *)a->x + i, quantise_load8(&a->q.job, i));
}

static void run(const bf_problem *p, bf_pool *pool, int int8) {
    avx512_job a = {.q = qblock_job_of(p), .int8 = int8};
    const matvec_job *j = &a.q.job;
    if (int8)
        quantise_x(j, pool);
    else if (j->x_type == BF_F32)
        a.x = j->x;
    else {
        a.x = j->scratch;
        bf_pool_run(j->n * j->k > 65536 ? pool : NULL, widen, &a, j->n * j->k, 4096);
    }
    bf_pool_run(pool, rows, &a, j->m, qblock_grain(&a.q, pool, FOUR));
}
static void run_int8(const bf_problem *p, bf_pool *pool) { run(p, pool, 1); }
static void run_fp32(const bf_problem *p, bf_pool *pool) { run(p, pool, 0); }

/* One addition each 64 weights, or each 16; the sixteen lanes. */
static int64_t int8_chain(const bf_problem *p) { return (p->dim[Q4K_MATVEC_K] + 63) / 64 + 4; }
static int64_t fp32_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 16 + 4; }
static uint64_t fp32_scratch(const bf_problem *p) {
    return p->type[Q4K_MATVEC_X] == BF_F32 ? 0 : 4 * (uint64_t)p->dim[Q4K_MATVEC_N] * (uint64_t)p->dim[Q4K_MATVEC_K];
}

static const bf_kernel qblock_fp32_avx512 = {
    .op = "qblock_matmul", .name = "qblock_fp32_avx512", .file = "qblock_avx512", .target = BF_CPU, .role = BF_TUNED, .path = "fp32",
    .summary = "weights made whole sixteen at a time, two rows", .rank = 30, .available = bf_has_vnni, .accepts = qblock_accepts,
    .scratch = fp32_scratch, .chain = fp32_chain, .run = run_fp32,
};
BF_REGISTER(qblock_fp32_avx512);
static const bf_kernel qblock_int8_avx512vnni = {
    .op = "qblock_matmul", .name = "qblock_int8_avx512vnni", .file = "qblock_avx512", .target = BF_CPU, .role = BF_TUNED,
    .path = "int8", .summary = "VPDPBUSD on 64 weights, two rows", .rank = 30,
    .available = bf_has_vnni, .accepts = qblock_accepts, .chain = int8_chain, .run = run_int8,
};
BF_REGISTER(qblock_int8_avx512vnni);

/* ---- dequantisation ---- */
typedef struct dequant_all {
    const char *w;
    char *y;
    bf_dtype from, to;
} dequant_all;

/* Weights [begin, end), a multiple of 128 the first. */
BF_VNNI_INLINE void dequant(const dequant_all *j, bf_dtype from, bf_dtype to, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += 128) {
        weights64 b[2];
        int count = end - at < 128 ? (int)(end - at) / 32 : 4;
        load128(from, j->w, at, count, b);
#pragma GCC unroll 8
        for (int part = 0; part < 8; part++) {
            int first = place(from, part / 4, part % 4);
            if (first / 32 >= count) continue;
            __m512i u = _mm512_castps_si512(weights16(&b[part / 4], part % 4, bias_of(from)));
            if (to == BF_F32)
                _mm512_storeu_si512(j->y + 4 * (at + first), u);
            else
                _mm256_storeu_si256((void *)(j->y + 2 * (at + first)), narrow512(u, to));
        }
    }
}
BF_VNNI_INLINE void dequant_to(const dequant_all *j, bf_dtype from, int64_t begin, int64_t end) {
    if (j->to == BF_F32) dequant(j, from, BF_F32, begin, end);
    if (j->to == BF_F16) dequant(j, from, BF_F16, begin, end);
    if (j->to == BF_BF16) dequant(j, from, BF_BF16, begin, end);
}
BF_VNNI static void dequant_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const dequant_all *j = arg;
    if (j->from == BF_Q6_K) dequant_to(j, BF_Q6_K, begin, end);
    if (j->from == BF_Q8_0) dequant_to(j, BF_Q8_0, begin, end);
    if (j->from == BF_MXFP4) dequant_to(j, BF_MXFP4, begin, end);
}
static void run_dequant(const bf_problem *p, bf_pool *pool) {
    dequant_all j = {p->ptr[Q4K_DEQUANT_W], p->ptr[Q4K_DEQUANT_Y], p->type[Q4K_DEQUANT_W], p->type[Q4K_DEQUANT_Y]};
    bf_pool_run(pool, dequant_chunk, &j, p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K], 32768);
}
static const bf_kernel qblock_dequant_avx512 = {
    .op = "qblock_dequant", .name = "qblock_dequant_avx512", .file = "qblock_avx512", .target = BF_CPU, .role = BF_TUNED,
    .summary = "sixteen weights at a time", .rank = 30, .available = bf_has_vnni, .accepts = qblock_dequant_accepts, .run = run_dequant,
};
BF_REGISTER(qblock_dequant_avx512);
#endif
