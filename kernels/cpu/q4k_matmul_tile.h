/* q4k_matmul_tile.h: the tiles of the tuned CPU kernels of q4k_matmul, for any vector: rows of W in the lanes, as many as a vector
 * has.
 *
 * A thread takes MC rows of W, and of them KB super-blocks of 256 weights at a time: decoded once into a panel in
 * its cache, in the order in which the tile reads it, then used for all columns. Sums wait in y between the panels.
 *   fp32   the weights whole, d*sc*q - dmin*m by one FMA. A tile is FP32_R vectors of rows x FP32_C columns, a step is one k:
 *          FP32_R loads and FP32_C broadcasts for FP32_R * FP32_C FMAs.
 *   int8   weights stay bytes, four k of a row in a lane, with d*sc and dmin*m as fp32 after each block of 32. A tile is
 *          INT8_R x INT8_C; per vector and column a block costs 8 byte dots, and 4 operations for dx * (dsc * dot - dm * s),
 *          the contract's order.
 * Before that x is packed by all threads: groups of columns, of each k (int8: of each four k) one value a column; to the int8
 * blocks their d and s are added. Columns that a group lacks are left undefined and not read.
 *
 * AMD EPYC (Zen 4), two threads of a shared host, GFLOP/s and ratio to OpenBLAS 0.3.21's sgemm (core SkylakeX, two threads) on
 * weights that already are fp32, turn by turn in one run, medians of 5 to 15:
 *                    sgemm     fp32 avx512    fp32 avx2     int8 avx512vnni   int8 avx2
 *     4096 x 14336, n=512    198    215, 1.08     190, 0.96     606, 3.01        324, 1.63
 *     1024 x 4096,  n=512    172    191, 1.10                   503, 2.9
 *     4096 x 4096,  n=128    160    196, 1.23                   520, 3.3
 *     4096 x 4096,  n=32      96    166, 1.73                   421, 4.4
 *     4096 x 4096,  n=9       35    105, 3.00      87, 3.06     264, 7.6         189, 6.6
 * One thread, 4096 x 14336, n=512: 109 (1.08) and 296 (3.0). With the core type Haswell sgemm gives 204. int8 with 1, 2, 4, 8, 16
 * super-blocks a panel: 2.6, 2.8, 3.05, 3.05, 3.15 of sgemm; 4 x 3 instead of 2 x 6 vectors and columns: 2.5 (of 2.6).
 * Bound: the arithmetic units. Zen 4 starts one 512-bit FMA a clock, so that a clock of 3.7 GHz gives 118 a thread.
 *
 * Rows that do not fill a vector are copied beside super-blocks of zeros, so that no row is read that W does not have.
 *
 * Included by the file of an instruction set, which defines
 *     V, I, LANES                     vectors of fp32 and of 32-bit integers, and their length
 *     SIMD, SIMD_CHUNK                target attribute, always inlined; the same for a pool's function
 *     simd_zero() simd_set1(p) simd_load(p) simd_store(p, v) simd_fma(a, b, c) simd_fms(a, b, c) simd_mul(a, b) simd_add(a, b)
 *     simd_load_part(p, n) simd_store_part(p, v, n)   the first n < LANES elements; the others are zero and stay untouched
 *     simd_load_i(p) simd_store_i(p, v) simd_set1_i(p)
 *     rows_scales(w, s, dsc, dm)      of LANES rows s bytes apart: d*sc and dmin*m of the eight sub-blocks
 *     rows_words(w, s, at, v)         v[d]: word d of the 32 bytes at offset `at` of each row
 *     simd_nibble(v, shift)           bits shift .. shift + 3 of each lane as fp32
 *     D, simd_dot_zero() simd_dot(d, w, x) simd_dot_sum(d)    sums of unsigned bytes times signed ones; as fp32, exact
 *     FP32_R, FP32_C, INT8_R, INT8_C */
#ifndef BF_CPU_Q4K_MATMUL_TILE_H
#define BF_CPU_Q4K_MATMUL_TILE_H

enum { SUB = Q4K_MATVEC_QBLOCK, SUBS = BF_Q4_K_WEIGHTS / SUB, SUB_WORDS = SUB / 4 };
/* Most rows a chunk, super-blocks a panel. */
enum { FP32_MC = 128, FP32_KB = 1, INT8_MC = 64, INT8_KB = 4 };
/* Vectors (times INT8_R) and words (times INT8_C) of a block: bytes, then d*sc and dmin*m, or dx and s. */
enum { INT8_ROW = SUB_WORDS + 2 };

static inline int64_t tile_up(int64_t n, int64_t step) { return (n + step - 1) / step; }
static inline int tile_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATMUL_X];
    return p->type[Q4K_MATMUL_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) &&
           p->dim[Q4K_MATMUL_N] >= 1 && p->dim[Q4K_MATMUL_N] <= Q4K_MATMUL_MAX_N;
}

/* LANES rows, of which `rows` exist (the others are zero): at *w, *s bytes apart. */
typedef struct tile_spare {
    _Alignas(64) char row[LANES][BF_Q4_K_BYTES];
} tile_spare;
static inline void tile_rows(const char **w, int64_t *s, int rows, tile_spare *spare) {
    if (rows >= LANES) return;
    memset(spare, 0, sizeof *spare);
    for (int i = 0; i < rows; i++) memcpy(spare->row[i], *w + i * *s, BF_Q4_K_BYTES);
    *w = spare->row[0], *s = BF_Q4_K_BYTES;
}

/* y of one column from here on, `rows` of LANES; `add`: to what is there. */
SIMD V tile_get(const float *y, int rows) { return rows >= LANES ? simd_load(y) : simd_load_part(y, rows); }
SIMD void tile_put(float *y, V v, int rows, int add) {
    if (add) v = simd_add(tile_get(y, rows), v);
    if (rows >= LANES) simd_store(y, v);
    else simd_store_part(y, v, rows);
}

/* ---- fp32 ---- */

/* x as fp32: [group of FP32_C columns][k][column]. */
static void tile_pack_fp32(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const matvec_job *j = arg;
    for (int64_t g = begin; g < end; g++) {
        float *out = (float *)j->scratch + g * FP32_C * j->k;
        int columns = (int)(j->n - g * FP32_C < FP32_C ? j->n - g * FP32_C : FP32_C);
        for (int64_t i = 0; i < j->k; i += SUB)
            for (int c = 0; c < columns; c++)
                for (int l = 0; l < SUB; l++)
                    out[(i + l) * FP32_C + c] = bf_load_float(j->x, j->x_type, (g * FP32_C + c) * j->k + i + l);
    }
}

/* A super-block of LANES rows, R vectors apart. */
SIMD void tile_fill_fp32(const char *w, int64_t s, float *out, const int R) {
    V dsc[SUBS], dm[SUBS];
    rows_scales(w, s, dsc, dm);
    for (int g = 0; g < SUBS / 2; g++) {
        I v[SUB_WORDS];
        rows_words(w, s, 16 + 32 * g, v);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            float *to = out + (2 * g + half) * SUB * R * LANES;
#pragma GCC unroll 8
            for (int d = 0; d < SUB_WORDS; d++)
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    simd_store(to + (4 * d + i) * R * LANES,
                               simd_fms(dsc[2 * g + half], simd_nibble(v[d], 8 * i + 4 * half), dm[2 * g + half]));
        }
    }
}

/* R vectors of rows x C columns, `count` k. */
SIMD void tile_fp32(const float *w, const float *x, int64_t count, float *y, int64_t m, int rows, int add, const int R,
                    const int C) {
    V acc[FP32_C][FP32_R];
#pragma GCC unroll 8
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) acc[c][i] = simd_zero();
    for (int64_t k = 0; k < count; k++, w += R * LANES, x += FP32_C) {
        V u[FP32_R];
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) u[i] = simd_load(w + i * LANES);
#pragma GCC unroll 8
        for (int c = 0; c < C; c++) {
            V v = simd_set1(x + c);
#pragma GCC unroll 4
            for (int i = 0; i < R; i++) acc[c][i] = simd_fma(u[i], v, acc[c][i]);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) tile_put(y + c * m + i * LANES, acc[c][i], rows - i * LANES, add);
}

/* Calls f(.., R, C) with constants. */
#define TILE_COLUMNS(f, R, columns, most, ...)                                        \
    switch (columns) {                                                                \
    case 1: f(__VA_ARGS__, R, 1); break;                                              \
    case 2: f(__VA_ARGS__, R, 2); break;                                              \
    case 3: f(__VA_ARGS__, R, 3); break;                                              \
    case 4: f(__VA_ARGS__, R, most < 4 ? most : 4); break;                            \
    case 5: f(__VA_ARGS__, R, most < 5 ? most : 5); break;                            \
    default: f(__VA_ARGS__, R, most);                                                 \
    }

/* All columns times the rows of one panel. */
SIMD void tile_columns_fp32(const matvec_job *j, const float *w, int64_t k, int64_t count, int64_t row, int rows, const int R) {
    for (int c = 0; c < j->n; c += FP32_C) {
        const float *x = (const float *)j->scratch + c * j->k + k * FP32_C;
        float *y = j->y + c * j->m + row;
        TILE_COLUMNS(tile_fp32, R, j->n - c, FP32_C, w, x, count, y, j->m, rows, k != 0)
    }
}

SIMD_CHUNK void tile_chunk_fp32(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    static _Thread_local struct {
        _Alignas(64) float w[FP32_KB * BF_Q4_K_WEIGHTS * FP32_R * LANES];
    } panel;
    const matvec_job *j = arg;
    int64_t s = matvec_row_bytes(j), supers = j->k / BF_Q4_K_WEIGHTS;
    tile_spare spare;
    for (int64_t b = 0; b < supers; b += FP32_KB) {
        int64_t count = supers - b < FP32_KB ? supers - b : FP32_KB;
        int R;
        for (int64_t r = begin; r < end; r += R * LANES) {
            R = end - r > (FP32_R - 1) * LANES ? FP32_R : 1;
            for (int i = 0; i < R; i++)
                for (int64_t a = 0; a < count; a++) {
                    int64_t own = s;
                    const char *w = (const char *)j->w + (r + i * LANES) * s + (b + a) * BF_Q4_K_BYTES;
                    float *to = panel.w + (a * BF_Q4_K_WEIGHTS * R + i) * LANES;
                    tile_rows(&w, &own, (int)(end - r - i * LANES), &spare);
                    if (R == 1) tile_fill_fp32(w, own, to, 1);
                    else tile_fill_fp32(w, own, to, FP32_R);
                }
            int64_t k = b * BF_Q4_K_WEIGHTS;
            if (R == 1) tile_columns_fp32(j, panel.w, k, count * BF_Q4_K_WEIGHTS, r, (int)(end - r), 1);
            else tile_columns_fp32(j, panel.w, k, count * BF_Q4_K_WEIGHTS, r, (int)(end - r), FP32_R);
        }
    }
}

/* At least four chunks a thread, so that none waits long for the last. */
static int64_t tile_grain(const matvec_job *j, bf_pool *pool, int64_t step, int64_t most) {
    int64_t rows = j->m / (4 * bf_pool_threads(pool)) / step * step;
    return rows < step ? step : rows > most ? most : rows;
}
static uint64_t tile_scratch_fp32(const bf_problem *p) {
    return (uint64_t)(tile_up(p->dim[Q4K_MATMUL_N], FP32_C) * FP32_C * p->dim[Q4K_MATMUL_K]) * sizeof(float);
}
/* One after another in a panel, then the panels. */
static int64_t tile_chain_fp32(const bf_problem *p) {
    int64_t most = FP32_KB * BF_Q4_K_WEIGHTS, k = p->dim[Q4K_MATMUL_K];
    return (k < most ? k : most) - 1 + tile_up(k, most) - 1;
}
static void tile_run_fp32(const bf_problem *p, bf_pool *pool) {
    matvec_job j = matvec_job_of(p);
    bf_pool_run(pool, tile_pack_fp32, &j, tile_up(j.n, FP32_C), 1);
    bf_pool_run(pool, tile_chunk_fp32, &j, j.m, tile_grain(&j, pool, FP32_R * LANES, FP32_MC));
}

/* ---- int8 ---- */

/* XQ, XD, XS as [group of INT8_C columns][block of 32][8 words, d, s][column]; s as fp32. */
static void tile_pack_int8(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const matvec_job *j = arg;
    int64_t blocks = j->k / SUB;
    for (int64_t g = begin; g < end; g++) {
        int32_t *out = (int32_t *)j->scratch + g * INT8_C * blocks * INT8_ROW;
        int columns = (int)(j->n - g * INT8_C < INT8_C ? j->n - g * INT8_C : INT8_C);
        for (int64_t b = 0; b < blocks; b++, out += INT8_ROW * INT8_C)
            for (int c = 0; c < columns; c++) {
                int64_t at = (g * INT8_C + c) * blocks + b;
                int32_t q[SUB_WORDS];
                float sum = (float)j->xs[at];
                memcpy(q, j->xq + at * SUB, sizeof q);
                for (int d = 0; d < SUB_WORDS; d++) out[d * INT8_C + c] = q[d];
                memcpy(&out[SUB_WORDS * INT8_C + c], &j->xd[at], 4);
                memcpy(&out[(SUB_WORDS + 1) * INT8_C + c], &sum, 4);
            }
    }
}

/* A super-block of LANES rows, R vectors apart. */
SIMD void tile_fill_int8(const char *w, int64_t s, int32_t *out, const int R) {
    V dsc[SUBS], dm[SUBS];
    rows_scales(w, s, dsc, dm);
    for (int g = 0; g < SUBS / 2; g++) {
        I v[SUB_WORDS];
        int32_t *low = out + 2 * g * INT8_ROW * R * LANES, *high = low + INT8_ROW * R * LANES;
        rows_words(w, s, 16 + 32 * g, v);
#pragma GCC unroll 8
        for (int d = 0; d < SUB_WORDS; d++) {
            simd_store_i(low + d * R * LANES, simd_low(v[d]));
            simd_store_i(high + d * R * LANES, simd_high(v[d]));
        }
        simd_store((float *)low + SUB_WORDS * R * LANES, dsc[2 * g]);
        simd_store((float *)low + (SUB_WORDS + 1) * R * LANES, dm[2 * g]);
        simd_store((float *)high + SUB_WORDS * R * LANES, dsc[2 * g + 1]);
        simd_store((float *)high + (SUB_WORDS + 1) * R * LANES, dm[2 * g + 1]);
    }
}

/* R vectors of rows x C columns, `blocks` blocks of 32; sums go on from y when `add`. */
SIMD_DOT void tile_int8(const int32_t *w, const int32_t *x, int64_t blocks, float *y, int64_t m, int rows, int add, const int R,
                        const int C) {
    V acc[INT8_C][INT8_R];
#pragma GCC unroll 8
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) acc[c][i] = add ? tile_get(y + c * m + i * LANES, rows - i * LANES) : simd_zero();
    for (int64_t b = 0; b < blocks; b++, w += INT8_ROW * R * LANES, x += INT8_ROW * INT8_C) {
        D dot[INT8_C][INT8_R];
#pragma GCC unroll 8
        for (int c = 0; c < C; c++)
#pragma GCC unroll 4
            for (int i = 0; i < R; i++) dot[c][i] = simd_dot_zero();
#pragma GCC unroll 8
        for (int d = 0; d < SUB_WORDS; d++) {
            I u[INT8_R];
#pragma GCC unroll 4
            for (int i = 0; i < R; i++) u[i] = simd_load_i(w + (d * R + i) * LANES);
#pragma GCC unroll 8
            for (int c = 0; c < C; c++) {
                I v = simd_set1_i(x + d * INT8_C + c);
#pragma GCC unroll 4
                for (int i = 0; i < R; i++) dot[c][i] = simd_dot(dot[c][i], u[i], v);
            }
        }
        const float *scale = (const float *)w + SUB_WORDS * R * LANES, *own = (const float *)x + SUB_WORDS * INT8_C;
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) {
            V dsc = simd_load(scale + i * LANES), dm = simd_load(scale + (R + i) * LANES);
#pragma GCC unroll 8
            for (int c = 0; c < C; c++) {
                V t = simd_fms(dsc, simd_dot_sum(dot[c][i]), simd_mul(dm, simd_set1(own + INT8_C + c)));
                acc[c][i] = simd_fma(t, simd_set1(own + c), acc[c][i]);
            }
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) tile_put(y + c * m + i * LANES, acc[c][i], rows - i * LANES, 0);
}

SIMD_DOT void tile_columns_int8(const matvec_job *j, const int32_t *w, int64_t block, int64_t blocks, int64_t row, int rows,
                                const int R) {
    for (int c = 0; c < j->n; c += INT8_C) {
        const int32_t *x = (const int32_t *)j->scratch + (c * (j->k / SUB) + block * INT8_C) * INT8_ROW;
        float *y = j->y + c * j->m + row;
        TILE_COLUMNS(tile_int8, R, j->n - c, INT8_C, w, x, blocks, y, j->m, rows, block != 0)
    }
}

DOT_CHUNK void tile_chunk_int8(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    static _Thread_local struct {
        _Alignas(64) int32_t w[INT8_KB * SUBS * INT8_ROW * INT8_R * LANES];
    } panel;
    const matvec_job *j = arg;
    int64_t s = matvec_row_bytes(j), supers = j->k / BF_Q4_K_WEIGHTS;
    tile_spare spare;
    for (int64_t b = 0; b < supers; b += INT8_KB) {
        int64_t count = supers - b < INT8_KB ? supers - b : INT8_KB;
        int R;
        for (int64_t r = begin; r < end; r += R * LANES) {
            R = end - r > (INT8_R - 1) * LANES ? INT8_R : 1;
            for (int i = 0; i < R; i++)
                for (int64_t a = 0; a < count; a++) {
                    int64_t own = s;
                    const char *w = (const char *)j->w + (r + i * LANES) * s + (b + a) * BF_Q4_K_BYTES;
                    int32_t *to = panel.w + (a * SUBS * INT8_ROW * R + i) * LANES;
                    tile_rows(&w, &own, (int)(end - r - i * LANES), &spare);
                    if (R == 1) tile_fill_int8(w, own, to, 1);
                    else tile_fill_int8(w, own, to, INT8_R);
                }
            if (R == 1) tile_columns_int8(j, panel.w, b * SUBS, count * SUBS, r, (int)(end - r), 1);
            else tile_columns_int8(j, panel.w, b * SUBS, count * SUBS, r, (int)(end - r), INT8_R);
        }
    }
}

static uint64_t tile_scratch_int8(const bf_problem *p) {
    return (uint64_t)(tile_up(p->dim[Q4K_MATMUL_N], INT8_C) * INT8_C * (p->dim[Q4K_MATMUL_K] / SUB)) * INT8_ROW * 4;
}
/* A block after the other; the first is added to zero. */
static int64_t tile_chain_int8(const bf_problem *p) { return p->dim[Q4K_MATMUL_K] / SUB - 1; }
static void tile_run_int8(const bf_problem *p, bf_pool *pool) {
    matvec_job j = matvec_job_of(p);
    bf_pool_run(pool, quantise_blocks, &j, j.n * j.k / SUB, 256);
    bf_pool_run(pool, tile_pack_int8, &j, tile_up(j.n, INT8_C), 1);
    bf_pool_run(pool, tile_chunk_int8, &j, j.m, tile_grain(&j, pool, INT8_R * LANES, INT8_MC));
}

#endif
