/* q4k_matvec_int8_avx512vnni.c: sixteen rows in the lanes of a vector, integer dots by VPDPBUSD.
 *
 * Idea: see q4k_rows_avx512.h. Low nibbles are masked with 0x0f, high nibbles stay in place (0xf0) and the 1/16 sits in
 * the block's scale; both are unsigned, x is signed, which is what VPDPBUSD takes. A dot of 32 is at most 15*16*127*32 < 2^20,
 * times the 6-bit scale below 2^26 with four zeros at its end where it may pass 2^24: exact in fp32. One fused multiply-add
 * with x's scale for each sub-block, one with d for each super-block.
 * 349 vector instructions for 16 super-blocks of 256 weights with one column: 1.4 for 16 weights. */
#include "q4k_quantise_avx2.h"
#include "q4k_rows_avx512.h"

#if defined(__x86_64__)
/* Four quantised values, at any address. */
typedef int32_t x_word __attribute__((may_alias, aligned(1)));

/* The minima's part of a super-block: sum over its sub-blocks of dmin*m * -s*dx. `minus`, `xd`: eight entries of the tables. */
BF_VNNI_INLINE __m512 minima(const q4k_heads16 *h, const float *minus, const float *xd, int wide, __m512 out) {
    __m512 dmin = q4k_dmin16(h), v = _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512 mn = _mm512_cvtepi32_ps(q4k_byte16(h->mn[i / 4], i % 4)), s = _mm512_set1_ps(minus[i]);
        if (wide) v = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_mul_ps(mn, dmin), s), _mm512_set1_ps(xd[i]), v);
        else v = _mm512_fmadd_ps(mn, s, v);
    }
    return wide ? _mm512_add_ps(out, v) : _mm512_fmadd_ps(v, dmin, out);
}

/* Adds sub-blocks 2 g and 2 g + 1 to u, the sum of sc*dot*dx. v: their quants; q, scale: x of the first. */
BF_VNNI_INLINE __m512 pair(const __m512i v[8], const q4k_heads16 *h, int g, const int8_t *q, const float *scale, int wide,
                           __m512 u) {
    const __m512i low = _mm512_set1_epi8(0x0f), high = _mm512_set1_epi8((char)0xf0);
    __m512i dot0 = _mm512_setzero_si512(), dot1 = dot0;
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512i x0 = _mm512_set1_epi32(*(const x_word *)(q + 4 * i)), x1 = _mm512_set1_epi32(*(const x_word *)(q + 32 + 4 * i));
        dot0 = _mm512_dpbusd_epi32(dot0, _mm512_and_si512(v[i], low), x0);
        dot1 = _mm512_dpbusd_epi32(dot1, _mm512_and_si512(v[i], high), x1);
    }
    __m512 t0 = _mm512_cvtepi32_ps(_mm512_mullo_epi32(dot0, q4k_byte16(h->sc[g / 2], g % 2 * 2)));
    __m512 t1 = _mm512_cvtepi32_ps(_mm512_mullo_epi32(dot1, q4k_byte16(h->sc[g / 2], g % 2 * 2 + 1)));
    if (wide) {
        __m512 d = q4k_d16(h);
        t0 = _mm512_mul_ps(t0, d), t1 = _mm512_mul_ps(t1, d);
    }
    return _mm512_fmadd_ps(t1, _mm512_set1_ps(scale[1]), _mm512_fmadd_ps(t0, _mm512_set1_ps(scale[0]), u));
}

/* Sixteen rows from w on, s bytes apart, n columns; out[c] are their results. */
BF_VNNI_INLINE void rows16(const matvec_job *j, const char *w, int64_t s, const char *ahead, const int n, const int wide,
                           __m512 out[]) {
    int64_t supers = j->k / BF_Q4_K_WEIGHTS, blocks = j->k / Q4K_MATVEC_QBLOCK;
    const float *scale = j->scratch, *minus = scale + j->n * blocks;
    for (int c = 0; c < n; c++) out[c] = _mm512_setzero_ps();
    q4k_rows16 rows = q4k_rows_at(w, s);
    for (int64_t b = 0; b < supers; b++, rows = q4k_rows_on(rows, BF_Q4_K_BYTES), ahead += 16 * BF_Q4_K_BYTES) {
        q4k_heads16 h = q4k_heads_of(&rows);
        q4k_rows16 near = q4k_near16(rows, b, supers);
        __m512 u[Q4K_MATVEC_MAX_N];
        for (int c = 0; c < n; c++) {
            out[c] = minima(&h, minus + c * blocks + b * 8, j->xd + c * blocks + b * 8, wide, out[c]);
            u[c] = _mm512_setzero_ps();
        }
        __m512i v[8], next[8]; /* turned one step ahead: the dots of a step do not wait for its shuffles */
        q4k_transpose16(&rows, 16, next);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            for (int i = 0; i < 8; i++) v[i] = next[i];
            if (g < 3) q4k_transpose16(&rows, 48 + 32 * g, next);
            q4k_prefetch16(&near, ahead, g);
            for (int c = 0; c < n; c++)
                u[c] = pair(v, &h, g, j->xq + c * j->k + b * BF_Q4_K_WEIGHTS + g * 64, scale + c * blocks + b * 8 + g * 2, wide,
                            u[c]);
        }
        for (int c = 0; c < n; c++)
            out[c] = wide ? _mm512_add_ps(out[c], u[c]) : _mm512_fmadd_ps(u[c], q4k_d16(&h), out[c]);
    }
}

/* Sixteen rows at a time. The last rows that are no sixteen share their vector with rows before them, which are computed
 * once more and not stored; a matrix of less than sixteen rows fills the lanes with one row. */
BF_VNNI_INLINE void unit(const matvec_units *u, int64_t begin, int64_t end, const char *ahead, const int n, const int wide) {
    const matvec_job *j = &u->job;
    int64_t s = matvec_row_bytes(j);
    __m512 out[Q4K_MATVEC_MAX_N];
    for (int64_t r = begin, step; r < end; r += step, ahead += 16 * s) {
        int64_t first = j->m < 16 ? r : r + 16 <= j->m ? r : j->m - 16;
        step = j->m < 16 ? 1 : first + 16 - r;
        rows16(j, (const char *)j->w + first * s, j->m < 16 ? 0 : s, j->m < 16 ? (const char *)j->w : ahead, n, wide, out);
        __mmask16 mine = (__mmask16)(((1u << step) - 1) << (r - first));
        for (int c = 0; c < n; c++) _mm512_mask_storeu_ps(j->y + c * j->m + first, mine, out[c]);
    }
}

#define UNIT(n) \
    BF_VNNI static void unit_##n(const matvec_units *u, int64_t b, int64_t e, const char *a) { unit(u, b, e, a, n, 0); }
UNIT(1) UNIT(2) UNIT(3) UNIT(4) UNIT(5) UNIT(6) UNIT(7) UNIT(8)
BF_VNNI static void unit_wide(const matvec_units *u, int64_t b, int64_t e, const char *a) { unit(u, b, e, a, u->job.n, 1); }

static uint64_t scratch(const bf_problem *p) {
    return (uint64_t)(p->dim[Q4K_MATVEC_N] * (p->dim[Q4K_MATVEC_K] / Q4K_MATVEC_QBLOCK)) * 2 * sizeof(float);
}

/* Seven additions inside a super-block, then two for each super-block, the scales' share and the minima's; the first of all
 * is to zero. */
static int64_t chain(const bf_problem *p) { return 7 + 2 * (p->dim[Q4K_MATVEC_K] / BF_Q4_K_WEIGHTS) - 1; }

static void run(const bf_problem *p, bf_pool *pool) {
    static void (*const by_n[])(const matvec_units *, int64_t, int64_t, const char *) = {unit_1, unit_2, unit_3, unit_4,
                                                                                         unit_5, unit_6, unit_7, unit_8};
    matvec_units u = {.job = matvec_job_of(p)};
    int wide = quantise_x(&u.job, pool);
    int64_t blocks = u.job.n * u.job.k / Q4K_MATVEC_QBLOCK;
    float *scale = u.job.scratch, *minus = scale + blocks;
    for (int64_t b = 0; b < blocks; b++) {
        scale[b] = b & 1 ? u.job.xd[b] * 0x1p-4f : u.job.xd[b];
        minus[b] = quantise_minus(&u.job, b, wide);
    }
    u.unit = wide ? unit_wide : by_n[u.job.n - 1];
    matvec_units_run(&u, pool, 16);
}

static const bf_kernel q4k_matvec_int8_avx512vnni = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_avx512vnni", .file = "q4k_matvec_int8_avx512vnni", .target = BF_CPU,
    .role = BF_TUNED, .path = "int8", .summary = "sixteen rows in a vector, VPDPBUSD; memory-bound with one column",
    .rank = 30, .available = bf_has_vnni, .accepts = matvec_accepts, .scratch = scratch, .chain = chain,
    .run = run,
};
BF_REGISTER(q4k_matvec_int8_avx512vnni);
#endif
