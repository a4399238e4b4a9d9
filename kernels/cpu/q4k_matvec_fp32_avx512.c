/* q4k_matvec_fp32_avx512.c: sixteen rows in the lanes of a vector, nibbles converted to fp32, fused multiply-adds.
 *
 * Idea: see q4k_rows_avx512.h and q4k_table_fp32.h. The form is factored: for each sub-block d*sc * sum(q x) - dmin*m * sum(x),
 * d*sc and dmin*m exact, sum(x) from the table.
 * Bound: instructions. A mask, a conversion and a multiply-add for 16 weights are 48 for the 256 weights of a super-block,
 * transposing and scales another 13; at two 512-bit instructions a cycle (Zen 4) at most 144 bytes in 31 cycles. Of
 * subnormals, 45 instructions, at most 144 bytes in 23 cycles.
 * Measured of subnormals on AMD EPYC Zen 4 at 3.66 GHz, one thread, one column, matrix in L2: 27 cycles; 29 before words were
 * turned one step ahead. Prefetches, broadcasts from memory, eight sums instead of four: no difference. Without the masks (a
 * wrong result) 22 cycles, without transposing 24. On 1.1 GB of weights: 54 % of a read of the same buffers with one
 * thread; with two the memory is the bound.
 * Run: blackframe bench -b cpu -k 'q4k_matvec_fp32_avx512*' */
#include "q4k_rows_avx512.h"
#include "q4k_table_fp32.h"

#if defined(__x86_64__)
enum { COLUMNS = 4 /* computed together */ };

/* The minima's part of a super-block: sum over its sub-blocks of dmin*m * -sum(x). */
BF_AVX512_INLINE __m512 minima(const q4k_heads16 *h, const float *minus) {
    __m512 dmin = q4k_dmin16(h), v = _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512 m = _mm512_mul_ps(_mm512_cvtepi32_ps(q4k_byte16(h->mn[i / 4], i % 4)), dmin);
        v = _mm512_fmadd_ps(m, _mm512_set1_ps(minus[i]), v);
    }
    return v;
}

/* Nibble p of each lane of v in one of the forms of q4k_table_fp32.h; top: v >> 24. */
BF_AVX512_INLINE __m512 nibble(__m512i v, __m512i top, int p, int form) {
    if (form == TABLE_PLAIN)
        return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(v, (unsigned)(4 * p)), _mm512_set1_epi32(15)));
    __m512i q = _mm512_and_si512(p < 6 ? v : top, _mm512_set1_epi32((int)(15u << 4 * (p < 6 ? p : p - 6))));
    return form == TABLE_IN_PLACE ? _mm512_cvtepi32_ps(q) : _mm512_castsi512_ps(q);
}

/* Adds sub-blocks 2 g and 2 g + 1 to u[c] for n columns. v: their quants; x[c]: 64 entries of the table. */
BF_AVX512_INLINE void pair(const __m512i v[8], const q4k_heads16 *h, int g, const float *const x[], const int n, const int form,
                           __m512 d, __m512 u[]) {
    __m512 sum[2][2][COLUMNS]; /* [odd sub-block][odd word][column] */
    for (int c = 0; c < n; c++) sum[0][0][c] = sum[0][1][c] = sum[1][0][c] = sum[1][1][c] = _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512i top = _mm512_srli_epi32(v[i], 24);
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) {
            __m512 even = nibble(v[i], top, 2 * b, form), odd = nibble(v[i], top, 2 * b + 1, form);
#pragma GCC unroll 4
            for (int c = 0; c < n; c++) {
                sum[0][i & 1][c] = _mm512_fmadd_ps(even, _mm512_set1_ps(x[c][8 * i + b]), sum[0][i & 1][c]);
                sum[1][i & 1][c] = _mm512_fmadd_ps(odd, _mm512_set1_ps(x[c][8 * i + 4 + b]), sum[1][i & 1][c]);
            }
        }
    }
    __m512 dsc[2];
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++) {
        dsc[k] = _mm512_mul_ps(_mm512_cvtepi32_ps(q4k_byte16(h->sc[g / 2], g % 2 * 2 + k)), d);
        for (int c = 0; c < n; c++) u[c] = _mm512_fmadd_ps(_mm512_add_ps(sum[k][0][c], sum[k][1][c]), dsc[k], u[c]);
    }
}

/* Sixteen rows from w on, s bytes apart, columns first .. first + n - 1. */
BF_AVX512_INLINE void rows16(const matvec_job *j, const char *w, int64_t s, const char *ahead, int first, const int n,
                             const int form, float unscale, __m512 out[]) {
    int64_t supers = j->k / BF_Q4_K_WEIGHTS, blocks = j->k / Q4K_MATVEC_QBLOCK;
    const float *minus = table_minus(j) + first * blocks, *x[COLUMNS];
    for (int c = 0; c < n; c++) out[c] = _mm512_setzero_ps(), x[c] = table_x(j, first + c);
    q4k_rows16 rows = q4k_rows_at(w, s);
    for (int64_t b = 0; b < supers; b++, rows = q4k_rows_on(rows, BF_Q4_K_BYTES), ahead += 16 * BF_Q4_K_BYTES) {
        q4k_heads16 h = q4k_heads_of(&rows);
        q4k_rows16 near = q4k_near16(rows, b, supers);
        __m512 u[COLUMNS], d = _mm512_mul_ps(q4k_d16(&h), _mm512_set1_ps(unscale));
        for (int c = 0; c < n; c++) {
            out[c] = _mm512_add_ps(out[c], minima(&h, minus + c * blocks + b * 8));
            u[c] = _mm512_setzero_ps();
        }
        __m512i v[8], next[8]; /* turned one step ahead: the products of a step do not wait for its shuffles */
        q4k_transpose16(&rows, 16, next);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            for (int i = 0; i < 8; i++) v[i] = next[i];
            if (g < 3) q4k_transpose16(&rows, 48 + 32 * g, next);
            q4k_prefetch16(&near, ahead, g);
            pair(v, &h, g, x, n, form, d, u);
            for (int c = 0; c < n; c++) x[c] += 64;
        }
        for (int c = 0; c < n; c++) out[c] = _mm512_add_ps(out[c], u[c]);
    }
}

/* Rows as in q4k_matvec_int8_avx512vnni.c. */
BF_AVX512_INLINE void columns(const matvec_units *u, int64_t begin, int64_t end, const char *ahead, int column, const int n,
                              const int form) {
    const matvec_job *j = &u->job;
    int64_t s = matvec_row_bytes(j);
    __m512 out[COLUMNS];
    for (int64_t r = begin, step; r < end; r += step, ahead += 16 * s) {
        int64_t first = j->m < 16 ? r : r + 16 <= j->m ? r : j->m - 16;
        step = j->m < 16 ? 1 : first + 16 - r;
        const char *w = (const char *)j->w + first * s;
        rows16(j, w, j->m < 16 ? 0 : s, j->m < 16 ? w : ahead, column, n, form, u->unscale, out);
        __mmask16 mine = (__mmask16)(((1u << step) - 1) << (r - first));
        for (int c = 0; c < n; c++) _mm512_mask_storeu_ps(j->y + (column + c) * j->m + first, mine, out[c]);
    }
}

typedef void columns_fn(const matvec_units *u, int64_t begin, int64_t end, const char *ahead, int column);
#define COLUMNS_FN(form, n)                                                                                              \
    BF_AVX512 static void form##_##n(const matvec_units *u, int64_t b, int64_t e, const char *a, int c) {               \
        columns(u, b, e, a, c, n, form);                                                                                 \
    }
COLUMNS_FN(TABLE_PLAIN, 1)
COLUMNS_FN(TABLE_IN_PLACE, 1) COLUMNS_FN(TABLE_IN_PLACE, 2) COLUMNS_FN(TABLE_IN_PLACE, 3) COLUMNS_FN(TABLE_IN_PLACE, 4)
COLUMNS_FN(TABLE_SUBNORMAL, 1) COLUMNS_FN(TABLE_SUBNORMAL, 2) COLUMNS_FN(TABLE_SUBNORMAL, 3) COLUMNS_FN(TABLE_SUBNORMAL, 4)

/* More than four columns in two goes; the second finds the unit's rows in L2. */
static void unit(const matvec_units *u, int64_t begin, int64_t end, const char *ahead) {
    static columns_fn *const by_form[][COLUMNS] = {
        [TABLE_PLAIN] = {TABLE_PLAIN_1},
        [TABLE_IN_PLACE] = {TABLE_IN_PLACE_1, TABLE_IN_PLACE_2, TABLE_IN_PLACE_3, TABLE_IN_PLACE_4},
        [TABLE_SUBNORMAL] = {TABLE_SUBNORMAL_1, TABLE_SUBNORMAL_2, TABLE_SUBNORMAL_3, TABLE_SUBNORMAL_4}};
    int most = u->form == TABLE_PLAIN ? 1 : COLUMNS;
    for (int c = 0, n; c < u->job.n; c += n) {
        n = u->job.n - c < most ? u->job.n - c : most;
        by_form[u->form][n - 1](u, begin, end, ahead, c);
        ahead = (const char *)u->job.w + begin * matvec_row_bytes(&u->job);
    }
}

/* Fifteen additions in each of the two sums of a sub-block, one to join them, seven inside a super-block, then two for each
 * super-block, the scales' share and the minima's, less the first of all, which is to zero. */
static int64_t chain(const bf_problem *p) { return 15 + 1 + 7 + 2 * (p->dim[Q4K_MATVEC_K] / BF_Q4_K_WEIGHTS) - 1; }

static void run_form(const bf_problem *p, bf_pool *pool, int subnormal) {
    matvec_units u = {.job = matvec_job_of(p), .unit = unit};
    table_fill(&u, subnormal);
    matvec_units_run(&u, pool, 16);
}
static void run_in_place(const bf_problem *p, bf_pool *pool) { run_form(p, pool, 0); }
static void run_subnormal(const bf_problem *p, bf_pool *pool) { run_form(p, pool, 1); }

static const bf_kernel q4k_matvec_fp32_avx512 = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_avx512", .file = "q4k_matvec_fp32_avx512", .target = BF_CPU,
    .role = BF_TUNED, .path = "fp32", .summary = "sixteen rows in a vector; bound by instructions with one thread",
    .rank = 30, .available = bf_has_avx512, .accepts = matvec_accepts, .scratch = table_scratch, .chain = chain,
    .run = run_in_place,
};
BF_REGISTER(q4k_matvec_fp32_avx512);

/* Intel's multipliers hand subnormal operands to microcode: there this kernel would crawl. */
static int has_fast_subnormals(void) { return bf_has_avx512() && __builtin_cpu_is("amd"); }

static const bf_kernel q4k_matvec_fp32_avx512_subnormal = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_avx512_subnormal", .file = "q4k_matvec_fp32_avx512", .target = BF_CPU,
    .role = BF_TUNED, .path = "fp32", .summary = "the same without conversions: a nibble in place is a subnormal number",
    .rank = 40, .available = has_fast_subnormals, .accepts = matvec_accepts, .scratch = table_scratch, .chain = chain,
    .run = run_subnormal,
};
BF_REGISTER(q4k_matvec_fp32_avx512_subnormal);
#endif
