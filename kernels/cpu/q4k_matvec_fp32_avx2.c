/* q4k_matvec_fp32_avx2.c: eight rows in the lanes of a vector, nibbles converted to fp32, fused multiply-adds.
 *
 * q4k_matvec_fp32_avx512.c at half the width: the words of eight rows are transposed fully, for x in fp32 would be too
 * large a table in the order of q4k_rows_avx2.h. Bound: instructions, about 110 for a super-block of 256 weights. */
#include "q4k_rows_avx2.h"
#include "q4k_table_fp32.h"

#if defined(__x86_64__)
enum { COLUMNS = 2 /* computed together: there are sixteen registers */ };

typedef struct heads8 {
    __m256 d, dmin;
    __m256i sc[2], mn[2]; /* byte k of sc[i] is the scale of sub-block 4 i + k */
} heads8;

BF_AVX2_INLINE __m256i two_halves(const char *low, const char *high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)low)),
                                   _mm_loadu_si128((const void *)high), 1);
}

/* Rows p.. and, in the high halves, the four below them. */
BF_AVX2_INLINE heads8 heads_of(const q4k_rows4 *r) {
    __m256i z[4], t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) z[i] = two_halves(q4k_row4(r, i), q4k_row4(r, i) + 4 * r->s);
    q4k_turn4(z, t);
    const __m256i m6 = _mm256_set1_epi8(0x3f), m4 = _mm256_set1_epi8(0x0f), m2 = _mm256_set1_epi8(0x30);
    /* low and high halves of the lanes apart: d of rows 0-3, dmin of rows 0-3, then of rows 4-7 */
    __m256i halves = _mm256_packus_epi32(_mm256_and_si256(t[0], _mm256_set1_epi32(0xffff)), _mm256_srli_epi32(t[0], 16));
    halves = _mm256_permute4x64_epi64(halves, 0xd8);
    return (heads8){
        .d = _mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
        .dmin = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)),
        .sc = {_mm256_and_si256(t[1], m6),
               _mm256_or_si256(_mm256_and_si256(t[3], m4), _mm256_and_si256(_mm256_srli_epi32(t[1], 2), m2))},
        .mn = {_mm256_and_si256(t[2], m6), _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(t[3], 4), m4),
                                                           _mm256_and_si256(_mm256_srli_epi32(t[2], 2), m2))}};
}

/* v[d], d = 0..7: word d of the 32 bytes at offset `at` of each row. */
BF_AVX2_INLINE void words8(const q4k_rows4 *r, int at, __m256i v[8]) {
    __m256i z[4];
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const char *p = q4k_row4(r, i) + at + 16 * half;
            z[i] = two_halves(p, p + 4 * r->s);
        }
        q4k_turn4(z, v + 4 * half);
    }
}

BF_AVX2_INLINE __m256 byte_value(__m256i v, int k) { return _mm256_cvtepi32_ps(q4k_byte4(v, k, k, 0)); }

BF_AVX2_INLINE __m256 minima(const heads8 *h, const float *minus) {
    __m256 v = _mm256_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v = _mm256_fmadd_ps(_mm256_mul_ps(byte_value(h->mn[i / 4], i % 4), h->dmin), _mm256_set1_ps(minus[i]), v);
    return v;
}

/* Nibble p of each lane of v; top: v >> 24 (q4k_table_fp32.h). */
BF_AVX2_INLINE __m256 nibble(__m256i v, __m256i top, int p, int form) {
    if (form == TABLE_PLAIN)
        return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(v, 4 * p), _mm256_set1_epi32(15)));
    return _mm256_cvtepi32_ps(_mm256_and_si256(p < 6 ? v : top, _mm256_set1_epi32((int)(15u << 4 * (p < 6 ? p : p - 6)))));
}

/* Adds sub-blocks 2 g and 2 g + 1 to u[c] for n columns. v: their quants; x[c]: 64 entries of the table. */
BF_AVX2_INLINE void pair(const __m256i v[8], const heads8 *h, int g, const float *const x[], const int n, const int form,
                         __m256 u[]) {
    __m256 sum[2][2][COLUMNS]; /* [odd sub-block][odd word][column] */
    for (int c = 0; c < n; c++) sum[0][0][c] = sum[0][1][c] = sum[1][0][c] = sum[1][1][c] = _mm256_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i top = _mm256_srli_epi32(v[i], 24);
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) {
            __m256 even = nibble(v[i], top, 2 * b, form), odd = nibble(v[i], top, 2 * b + 1, form);
#pragma GCC unroll 2
            for (int c = 0; c < n; c++) {
                sum[0][i & 1][c] = _mm256_fmadd_ps(even, _mm256_set1_ps(x[c][8 * i + b]), sum[0][i & 1][c]);
                sum[1][i & 1][c] = _mm256_fmadd_ps(odd, _mm256_set1_ps(x[c][8 * i + 4 + b]), sum[1][i & 1][c]);
            }
        }
    }
#pragma GCC unroll 2
    for (int k = 0; k < 2; k++) {
        __m256 dsc = _mm256_mul_ps(byte_value(h->sc[g / 2], g % 2 * 2 + k), h->d);
        for (int c = 0; c < n; c++) u[c] = _mm256_fmadd_ps(_mm256_add_ps(sum[k][0][c], sum[k][1][c]), dsc, u[c]);
    }
}

/* Eight rows from w on, s bytes apart, columns first .. first + n - 1. */
BF_AVX2_INLINE void rows8(const matvec_job *j, const char *w, int64_t s, const char *ahead, int first, const int n,
                          const int form, __m256 out[]) {
    int64_t supers = j->k / BF_Q4_K_WEIGHTS, blocks = j->k / Q4K_MATVEC_QBLOCK;
    const float *minus = table_minus(j) + first * blocks, *x[COLUMNS];
    for (int c = 0; c < n; c++) out[c] = _mm256_setzero_ps(), x[c] = table_x(j, first + c);
    q4k_rows4 rows = {w, s, 3 * s};
    for (int64_t b = 0; b < supers; b++, rows.p += BF_Q4_K_BYTES, ahead += 8 * BF_Q4_K_BYTES) {
        heads8 h = heads_of(&rows);
        __m256 u[COLUMNS];
        q4k_rows4 near = rows, below = rows;
        near.p += 2 * BF_Q4_K_BYTES + (b + 2 < supers ? 0 : 7 * s), below.p = near.p + 4 * s;
        for (int c = 0; c < n; c++) {
            out[c] = _mm256_add_ps(out[c], minima(&h, minus + c * blocks + b * 8));
            u[c] = _mm256_setzero_ps();
        }
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            __m256i v[8];
            words8(&rows, 16 + 32 * g, v);
            q4k_prefetch4(&near, ahead, g);
            q4k_prefetch4(&below, ahead + 4 * BF_Q4_K_BYTES, g);
            pair(v, &h, g, x, n, form, u);
            for (int c = 0; c < n; c++) x[c] += 64;
        }
        for (int c = 0; c < n; c++) out[c] = _mm256_add_ps(out[c], u[c]);
    }
}

/* Rows as in q4k_matvec_int8_avx512vnni.c. */
BF_AVX2_INLINE void columns(const matvec_units *u, int64_t begin, int64_t end, const char *ahead, int column, const int n,
                            const int form) {
    const matvec_job *j = &u->job;
    int64_t s = matvec_row_bytes(j);
    __m256 out[COLUMNS];
    for (int64_t r = begin, step; r < end; r += step, ahead += 8 * s) {
        int64_t first = j->m < 8 ? r : r + 8 <= j->m ? r : j->m - 8;
        step = j->m < 8 ? 1 : first + 8 - r;
        const char *w = (const char *)j->w + first * s;
        rows8(j, w, j->m < 8 ? 0 : s, j->m < 8 ? w : ahead, column, n, form, out);
        for (int c = 0; c < n; c++) {
            float y[8];
            _mm256_storeu_ps(y, out[c]);
            for (int64_t i = r; i < r + step; i++) j->y[(column + c) * j->m + i] = y[i - first];
        }
    }
}

BF_AVX2 static void one(const matvec_units *u, int64_t b, int64_t e, const char *a, int c) { columns(u, b, e, a, c, 1, TABLE_IN_PLACE); }
BF_AVX2 static void two(const matvec_units *u, int64_t b, int64_t e, const char *a, int c) { columns(u, b, e, a, c, 2, TABLE_IN_PLACE); }
BF_AVX2 static void plain(const matvec_units *u, int64_t b, int64_t e, const char *a, int c) { columns(u, b, e, a, c, 1, TABLE_PLAIN); }

/* Two columns at a time; the later ones find the unit's rows in L2. */
static void unit(const matvec_units *u, int64_t begin, int64_t end, const char *ahead) {
    int most = u->form == TABLE_PLAIN ? 1 : COLUMNS;
    for (int c = 0; c < u->job.n; c += most) {
        int n = u->job.n - c < most ? u->job.n - c : most;
        (u->form == TABLE_PLAIN ? plain : n == 1 ? one : two)(u, begin, end, ahead, c);
        ahead = (const char *)u->job.w + begin * matvec_row_bytes(&u->job);
    }
}

/* As in q4k_matvec_fp32_avx512.c. */
static int64_t chain(const bf_problem *p) { return 15 + 1 + 7 + 2 * (p->dim[Q4K_MATVEC_K] / BF_Q4_K_WEIGHTS) - 1; }

static void run(const bf_problem *p, bf_pool *pool) {
    matvec_units u = {.job = matvec_job_of(p), .unit = unit};
    table_fill(&u, 0);
    matvec_units_run(&u, pool, 8);
}

static const bf_kernel q4k_matvec_fp32_avx2 = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_avx2", .file = "q4k_matvec_fp32_avx2", .target = BF_CPU, .role = BF_TUNED,
    .path = "fp32", .summary = "eight rows in a vector; bound by instructions", .rank = 20, .available = bf_has_avx2,
    .accepts = matvec_accepts, .scratch = table_scratch, .chain = chain, .run = run,
};
BF_REGISTER(q4k_matvec_fp32_avx2);
#endif
