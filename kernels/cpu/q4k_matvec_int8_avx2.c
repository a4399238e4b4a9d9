/* q4k_matvec_int8_avx2.c: four rows in the lanes of a vector, integer dots by VPMADDUBSW.
 *
 * Idea: see q4k_rows_avx2.h. Products of an unsigned nibble and a signed x are added in pairs to 16 bits (at most 3,810) and
 * eight of these stay below 2^15 (30,480), so a sub-block's dot is two 16-bit words in one lane. The two halves of the even
 * sub-block's sums are added into the low half of a vector, the odd one's into the high half: then one VPMADDWD multiplies
 * all words by their 6-bit scales and adds them in twos, exactly, and one conversion and one multiply-add do for both.
 * Bound: vector instructions, about 54 a super-block; at four a cycle (Zen 4) at most 144 bytes in 13.5 cycles. */
#include "q4k_quantise_avx2.h"
#include "q4k_rows_avx2.h"

#if defined(__x86_64__)
enum { COLUMNS = 4 /* computed together */ };

/* x of one column in the order of the quants, for each sub-block pair: 4 vectors for the even, 4 for the odd. Word d four
 * times, then word d + 4 four times. For each sub-block, four times: `minus`, what its minimum is multiplied by, and `scale`,
 * what its dot is multiplied by. */
typedef struct x_table {
    __m256i *x;
    float *minus, *scale;
} x_table;
enum { TABLE_BYTES = 5 /* an element of x */ };

static inline x_table table_of(const matvec_job *j, int column) {
    char *p = (char *)j->scratch + column * j->k * TABLE_BYTES;
    return (x_table){(__m256i *)p, (float *)(p + j->k * 4), (float *)(p + j->k * 4 + j->k / 2)};
}

BF_AVX2 static void fill_table(const matvec_job *j, int column, int wide) {
    x_table t = table_of(j, column);
    const int8_t *q = j->xq + column * j->k;
    int64_t blocks = j->k / Q4K_MATVEC_QBLOCK;
    for (int64_t b = 0; b < blocks; b++) {
        for (int d = 0; d < 4; d++) {
            int32_t low, high;
            memcpy(&low, q + b * Q4K_MATVEC_QBLOCK + 4 * d, 4);
            memcpy(&high, q + b * Q4K_MATVEC_QBLOCK + 16 + 4 * d, 4);
            _mm256_store_si256(&t.x[b * 4 + d], _mm256_setr_epi32(low, low, low, low, high, high, high, high));
        }
        for (int i = 0; i < 4; i++) {
            t.minus[b * 4 + i] = quantise_minus(j, column * blocks + b, wide);
            t.scale[b * 4 + i] = j->xd[column * blocks + b];
        }
    }
}

/* The minima's part of a super-block: sum over its sub-blocks of dmin*m * -s*dx; even sub-blocks in the low half, odd ones in
 * the high half. */
BF_AVX2_INLINE __m256 minima(const q4k_heads4 *h, const float *minus, const float *scale, int wide, __m256 out) {
    __m256 dmin = q4k_half4(h->dd, 1), v = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        __m256 mn = _mm256_cvtepi32_ps(q4k_byte4(h->mn[g / 2], g % 2 * 2, g % 2 * 2 + 1, 0)), s = _mm256_load_ps(minus + 8 * g);
        if (wide)
            v = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_mul_ps(mn, dmin), s), _mm256_load_ps(scale + 8 * g), v);
        else
            v = _mm256_fmadd_ps(mn, s, v);
    }
    return wide ? _mm256_add_ps(out, v) : _mm256_fmadd_ps(v, dmin, out);
}

/* Adds sub-blocks 2 g and 2 g + 1 to u, the sum of sc*dot*dx. v: their quants; x, scale: of the first. */
BF_AVX2_INLINE __m256 pair(const __m256i v[4], const q4k_heads4 *h, int g, const __m256i *x, const float *scale, int wide, __m256 u) {
    const __m256i low = _mm256_set1_epi8(0x0f);
    __m256i dot0 = _mm256_maddubs_epi16(_mm256_and_si256(v[0], low), x[0]);
    __m256i dot1 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v[0], 4), low), x[4]);
#pragma GCC unroll 3
    for (int i = 1; i < 4; i++) {
        dot0 = _mm256_add_epi16(dot0, _mm256_maddubs_epi16(_mm256_and_si256(v[i], low), x[i]));
        dot1 = _mm256_add_epi16(dot1, _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v[i], 4), low), x[4 + i]));
    }
    __m256i dot = _mm256_add_epi16(_mm256_blend_epi32(dot0, dot1, 0xf0), _mm256_permute2x128_si256(dot0, dot1, 0x21));
    int k = g % 2 * 2;
    __m256 t = _mm256_cvtepi32_ps(_mm256_madd_epi16(dot, q4k_byte4(h->sc[g / 2], k, k + 1, 1)));
    if (wide) t = _mm256_mul_ps(t, q4k_half4(h->dd, 0));
    return _mm256_fmadd_ps(t, _mm256_load_ps(scale), u);
}

/* Four rows from w on, s bytes apart, columns first .. first + n - 1; out[c] are their results. */
BF_AVX2_INLINE void rows4(const matvec_job *j, const char *w, int64_t s, const char *ahead, int first, const int n,
                          const int wide, __m128 out[]) {
    int64_t supers = j->k / BF_Q4_K_WEIGHTS;
    __m256 sum[COLUMNS];
    x_table x[COLUMNS];
    for (int c = 0; c < n; c++) sum[c] = _mm256_setzero_ps(), x[c] = table_of(j, first + c);
    q4k_rows4 rows = {w, s, 3 * s};
    for (int64_t b = 0; b < supers; b++, rows.p += BF_Q4_K_BYTES, ahead += 4 * BF_Q4_K_BYTES) {
        q4k_heads4 h = q4k_heads4_of(&rows);
        q4k_rows4 near = q4k_near4(rows, b, supers);
        __m256 u[COLUMNS];
        for (int c = 0; c < n; c++) {
            sum[c] = minima(&h, x[c].minus + b * 32, x[c].scale + b * 32, wide, sum[c]);
            u[c] = _mm256_setzero_ps();
        }
        __m256i v[4], next[4]; /* turned one step ahead: the multiplications of a step do not wait for its shuffles */
        q4k_words4(&rows, 16, next);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            for (int i = 0; i < 4; i++) v[i] = next[i];
            if (g < 3) q4k_words4(&rows, 48 + 32 * g, next);
            q4k_prefetch4(&near, ahead, g);
            for (int c = 0; c < n; c++)
                u[c] = pair(v, &h, g, x[c].x + b * 32 + g * 8, x[c].scale + b * 32 + g * 8, wide, u[c]);
        }
        for (int c = 0; c < n; c++)
            sum[c] = wide ? _mm256_add_ps(sum[c], u[c]) : _mm256_fmadd_ps(u[c], q4k_half4(h.dd, 0), sum[c]);
    }
    for (int c = 0; c < n; c++) out[c] = _mm_add_ps(_mm256_castps256_ps128(sum[c]), _mm256_extractf128_ps(sum[c], 1));
}

/* Four rows at a time, the last and the few as in q4k_matvec_int8_avx512vnni.c. */
BF_AVX2_INLINE void columns(const matvec_job *j, int64_t begin, int64_t end, const char *ahead, int column, const int n,
                            const int wide) {
    int64_t s = matvec_row_bytes(j);
    __m128 out[COLUMNS];
    for (int64_t r = begin, step; r < end; r += step, ahead += 4 * s) {
        int64_t first = j->m < 4 ? r : r + 4 <= j->m ? r : j->m - 4;
        step = j->m < 4 ? 1 : first + 4 - r;
        const char *w = (const char *)j->w + first * s;
        rows4(j, w, j->m < 4 ? 0 : s, j->m < 4 ? w : ahead, column, n, wide, out);
        for (int c = 0; c < n; c++) {
            float y[4];
            _mm_storeu_ps(y, out[c]);
            for (int64_t i = r; i < r + step; i++) j->y[(column + c) * j->m + i] = y[i - first];
        }
    }
}

BF_AVX2 static void columns_1(const matvec_job *j, int64_t b, int64_t e, const char *a, int c) { columns(j, b, e, a, c, 1, 0); }
BF_AVX2 static void columns_2(const matvec_job *j, int64_t b, int64_t e, const char *a, int c) { columns(j, b, e, a, c, 2, 0); }
BF_AVX2 static void columns_3(const matvec_job *j, int64_t b, int64_t e, const char *a, int c) { columns(j, b, e, a, c, 3, 0); }
BF_AVX2 static void columns_4(const matvec_job *j, int64_t b, int64_t e, const char *a, int c) { columns(j, b, e, a, c, 4, 0); }
BF_AVX2 static void columns_wide(const matvec_job *j, int64_t b, int64_t e, const char *a, int c) {
    columns(j, b, e, a, c, 1, 1);
}

/* More than four columns in two goes: the tables of x would not fit the L1 cache, the unit's rows do fit L2. */
static void unit(const matvec_units *u, int64_t begin, int64_t end, const char *ahead) {
    static void (*const by_n[])(const matvec_job *, int64_t, int64_t, const char *, int) = {columns_1, columns_2, columns_3,
                                                                                            columns_4};
    for (int c = 0, n; c < u->job.n; c += n) {
        n = u->job.n - c < COLUMNS ? u->job.n - c : COLUMNS;
        by_n[n - 1](&u->job, begin, end, ahead, c);
        ahead = (const char *)u->job.w + begin * matvec_row_bytes(&u->job);
    }
}
static void unit_wide(const matvec_units *u, int64_t begin, int64_t end, const char *ahead) {
    for (int c = 0; c < u->job.n; c++) columns_wide(&u->job, begin, end, ahead, c);
}

static uint64_t scratch(const bf_problem *p) {
    return (uint64_t)p->dim[Q4K_MATVEC_N] * (uint64_t)p->dim[Q4K_MATVEC_K] * TABLE_BYTES;
}

/* Three additions inside a super-block, then two for each super-block, the scales' share and the minima's, less the first of
 * all, which is to zero; at the end one for the two halves. */
static int64_t chain(const bf_problem *p) { return 3 + 2 * (p->dim[Q4K_MATVEC_K] / BF_Q4_K_WEIGHTS); }

static void run(const bf_problem *p, bf_pool *pool) {
    matvec_units u = {.job = matvec_job_of(p)};
    int wide = quantise_x(&u.job, pool);
    for (int c = 0; c < u.job.n; c++) fill_table(&u.job, c, wide);
    u.unit = wide ? unit_wide : unit;
    matvec_units_run(&u, pool, 4);
}

static const bf_kernel q4k_matvec_int8_avx2 = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_avx2", .file = "q4k_matvec_int8_avx2", .target = BF_CPU, .role = BF_TUNED,
    .path = "int8", .summary = "four rows in a vector, VPMADDUBSW; memory-bound with one column", .rank = 20,
    .available = bf_has_avx2, .accepts = matvec_accepts, .scratch = scratch, .chain = chain, .run = run,
};
BF_REGISTER(q4k_matvec_int8_avx2);
#endif
