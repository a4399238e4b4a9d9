/* linear_simd.h: linear by vectors of k: lanes hold neighbouring k of one row, so that W streams as it lies and nothing is
 * transposed.
 *
 * linear_vec (to eight columns): up to four rows side by side, so that a vector of x, which is fp32 and longer than the first-level cache
 * from k = 8192 on, is read once for them. Each row is a stream prefetched into L2 2 KiB ahead; at its end the prefetch goes
 * on with the row that follows in the same stream, R further down. Bound: memory with one to four columns, FMA beyond.
 * linear_tile (from nine): 64 rows of W are widened once into the second-level cache and used for all columns; 4 rows x 6 columns (AVX2: 2)
 * of sums in registers, ten loads for 24 multiply-adds. Bound: FMA.
 *
 * AMD EPYC (Zen 4), one thread, by its CPU time on a shared host with other work on it; W bf16, x fp32; ranges of two runs, each
 * the median of 15 (tile: 5). Share of a read of the same weights (4096 x 14336 and 14336 x 4096), turn by turn:
 *     columns        1               2               4              8
 *     avx512    0.88 to 0.96    0.88 to 0.92    0.87 to 0.88   0.30 to 0.45 (63 to 76 GFLOP/s: FMA-bound)
 *     avx2      0.90 to 1.01    1.08 to 1.10    0.63 to 0.64   0.24         (44 GFLOP/s)
 * avx512 with one column, k = 4096: without the step to the next row in the prefetch 0.78; 4 KiB ahead 0.82, 1 KiB 0.83.
 * tile, GFLOP/s and share of OpenBLAS 0.3.21's sgemm (core SkylakeX, one thread, W given to it as fp32):
 *               4096 x 4096, n=9   n=32        n=512          2048 x 14336, n=512   1024 x 712, n=938
 *     avx512     42, 2.2           76, 1.6    93 to 101, 0.96 to 1.02   93, 0.96      90 to 97, 0.91 to 0.97
 *     avx2       39, 2.0           62, 1.3    68 to 74, 0.68 to 0.74    69, 0.70      68 to 72, 0.68 to 0.71
 *
 * Included by linear_avx512.c and linear_avx2.c, which define
 *     V, LANES                vector of fp32 and its length
 *     SIMD                    target attribute, always inlined; SIMD_CHUNK: the same for a pool's function
 *     simd_zero() simd_load(p) simd_fma(a, b, c)
 *     simd_weights(w, type, i)             LANES weights from element i on, widened
 *     simd_weights_tail(w, type, i, left)  the same, zero from `left` on, which are not read
 *     simd_sum4(a, b, c, d, out)           out[0..3] = sums of the lanes of each
 *     TILE_R, TILE_C          rows and columns of the register tile */

/* x as fp32, columns apart by whole vectors, zero behind k. */
static inline int64_t linear_stride(int64_t k) { return (k + LANES - 1) / LANES * LANES; }

static void linear_widen_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const linear_job *j = arg;
    int64_t stride = linear_stride(j->k);
    for (int64_t c = begin; c < end; c++) {
        float *out = j->wide + c * stride;
        if (j->x_type == BF_F32) memcpy(out, (const float *)j->x + c * j->k, sizeof *out * (size_t)j->k);
        else
            for (int64_t i = 0; i < j->k; i++) out[i] = bf_load_float(j->x, j->x_type, c * j->k + i);
        for (int64_t i = j->k; i < stride; i++) out[i] = 0;
    }
}

static uint64_t linear_scratch(const bf_problem *p) {
    return sizeof(float) * (uint64_t)(p->dim[LINEAR_N] * linear_stride(p->dim[LINEAR_K]));
}

static inline int64_t bytes_of(bf_dtype type) { return type == BF_F32 ? 4 : 2; }

/* ---- mat-vec ---- */
enum { VEC_MAX_N = 8, AHEAD = 2048 /* bytes of each row's stream that are under way from memory */ };

/* Rows r .. r + R - 1 times N columns; U vectors of k at a time, each with sums of its own. */
SIMD void vec_rows(const linear_job *j, int64_t r, const int type, const int R, const int N, const int U) {
    int64_t k = j->k, stride = linear_stride(k), i = 0;
    const char *w = (const char *)j->w + r * k * bytes_of(type);
    V acc[8][VEC_MAX_N][4];
    for (int u = 0; u < U; u++)
        for (int c = 0; c < N; c++)
            for (int q = 0; q < R; q++) acc[u][c][q] = simd_zero();
    for (; i + U * LANES <= k; i += U * LANES) {
        /* Behind the end of a row: the row that follows it in its stream, R further on. */
        const char *ahead = w + i * bytes_of(type) + AHEAD + (i * bytes_of(type) + AHEAD < k * bytes_of(type) ? 0 : (R - 1) * k * bytes_of(type));
        for (int q = 0; q < R; q++)
            for (int line = 0; line < U * LANES * bytes_of(type); line += 64)
                __builtin_prefetch(ahead + q * k * bytes_of(type) + line, 0, 2);
        for (int u = 0; u < U; u++)
            for (int q = 0; q < R; q++) {
                V v = simd_weights(w + q * k * bytes_of(type), type, i + u * LANES);
                for (int c = 0; c < N; c++) acc[u][c][q] = simd_fma(v, simd_load(j->wide + c * stride + i + u * LANES), acc[u][c][q]);
            }
    }
    for (; i < k; i += LANES)
        for (int q = 0; q < R; q++) {
            const char *row = w + q * k * bytes_of(type);
            V v = i + LANES <= k ? simd_weights(row, type, i) : simd_weights_tail(row, type, i, k - i);
            for (int c = 0; c < N; c++) acc[0][c][q] = simd_fma(v, simd_load(j->wide + c * stride + i), acc[0][c][q]);
        }
    for (int u = 1; u < U; u++)
        for (int c = 0; c < N; c++)
            for (int q = 0; q < R; q++) acc[0][c][q] += acc[u][c][q];
    for (int c = 0; c < N; c++) {
        float sum[4];
        for (int q = R; q < 4; q++) acc[0][c][q] = simd_zero();
        simd_sum4(acc[0][c][0], acc[0][c][1], acc[0][c][2], acc[0][c][3], sum);
        for (int q = 0; q < R; q++) linear_finish(j, c, r + q, sum[q]);
    }
}

SIMD void vec_chunk_of(const linear_job *j, int64_t begin, int64_t end, const int type, const int R, const int N, const int U) {
    int64_t r = begin;
    for (; r + R <= end; r += R) vec_rows(j, r, type, R, N, U);
    for (; r < end; r++) vec_rows(j, r, type, 1, N, 1);
}
SIMD void vec_chunk_n(const linear_job *j, int64_t begin, int64_t end, const int type) {
    switch (j->n) {
    case 1: vec_chunk_of(j, begin, end, type, VEC_SHAPE_1); break;
    case 2: vec_chunk_of(j, begin, end, type, VEC_SHAPE_2); break;
    case 3: vec_chunk_of(j, begin, end, type, VEC_SHAPE_3); break;
    case 4: vec_chunk_of(j, begin, end, type, VEC_SHAPE_4); break;
    case 5: vec_chunk_of(j, begin, end, type, VEC_SHAPE_5); break;
    case 6: vec_chunk_of(j, begin, end, type, VEC_SHAPE_6); break;
    case 7: vec_chunk_of(j, begin, end, type, VEC_SHAPE_7); break;
    default: vec_chunk_of(j, begin, end, type, VEC_SHAPE_8); break;
    }
}
SIMD_CHUNK void vec_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const linear_job *j = arg;
    if (j->w_type == BF_BF16) vec_chunk_n(j, begin, end, BF_BF16);
    else if (j->w_type == BF_F16) vec_chunk_n(j, begin, end, BF_F16);
    else vec_chunk_n(j, begin, end, BF_F32);
}
static void vec_run(const bf_problem *p, bf_pool *pool) {
    linear_job j = linear_job_of(p);
    int64_t rows = (256 << 10) / (j.k * bytes_of(j.w_type)) / 4 * 4; /* a chunk: 256 KiB of W */
    bf_pool_run(pool, linear_widen_chunk, &j, j.n, 1);
    bf_pool_run(pool, vec_chunk, &j, j.m, rows < 4 ? 4 : rows);
}
static int vec_accepts(const bf_problem *p) { return linear_accepts(p) && p->dim[LINEAR_N] <= VEC_MAX_N; }

/* ---- many columns ---- */

/* A thread's block: BLOCK_M rows of W, widened, BLOCK_K long, stay in its second-level cache while all columns pass; the sums of BLOCK_N
 * columns are kept as fp32 between the blocks of k. */
enum { BLOCK_M = 64, BLOCK_K = 1024, BLOCK_N = 384 };
typedef struct tile_block {
    _Alignas(64) float w[BLOCK_M][BLOCK_K], sum[BLOCK_N][BLOCK_M];
} tile_block;
static _Thread_local tile_block block;

/* Rows [r, r + rows) from k on, `count` of them (whole vectors), zero behind k and behind the last row up to TILE_R's multiple. */
SIMD void tile_widen(const linear_job *j, int64_t r, int rows, int64_t k, int64_t count, const int type) {
    for (int q = 0; q < (rows + TILE_R - 1) / TILE_R * TILE_R; q++) {
        const char *row = (const char *)j->w + (r + q) * j->k * bytes_of(type);
        for (int64_t i = 0; i < count; i += LANES) {
            V v = q >= rows             ? simd_zero()
                  : k + i + LANES <= j->k ? simd_weights(row, type, k + i)
                                          : simd_weights_tail(row, type, k + i, j->k - k - i);
            memcpy(&block.w[q][i], &v, sizeof v);
        }
    }
}

/* Adds TILE_R rows from q on times C columns from c on, count long, to the sums. */
SIMD void tile_micro(const float *x, int64_t stride, int q, int c, int64_t count, const int C) {
    V acc[TILE_C][4];
    for (int b = 0; b < C; b++)
        for (int a = 0; a < 4; a++) acc[b][a] = simd_zero();
    for (int64_t i = 0; i < count; i += LANES) {
        V w[TILE_R];
        for (int a = 0; a < TILE_R; a++) w[a] = simd_load(&block.w[q + a][i]);
        for (int b = 0; b < C; b++) {
            V v = simd_load(x + b * stride + i);
            for (int a = 0; a < TILE_R; a++) acc[b][a] = simd_fma(w[a], v, acc[b][a]);
        }
    }
    for (int b = 0; b < C; b++) {
        float sum[4];
        simd_sum4(acc[b][0], acc[b][1], acc[b][2], acc[b][3], sum);
        for (int a = 0; a < TILE_R; a++) block.sum[c + b][q + a] += sum[a];
    }
}
SIMD void tile_columns(const float *x, int64_t stride, int rows, int c, int64_t count, const int C) {
    for (int q = 0; q < rows; q += TILE_R) tile_micro(x, stride, q, c, count, C);
}

SIMD_CHUNK void tile_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const linear_job *j = arg;
    int64_t stride = linear_stride(j->k);
    int rows = (int)(end - begin);
    for (int64_t c0 = 0; c0 < j->n; c0 += BLOCK_N) {
        int columns = (int)(j->n - c0 < BLOCK_N ? j->n - c0 : BLOCK_N);
        memset(block.sum, 0, sizeof block.sum[0] * (size_t)columns);
        for (int64_t k = 0; k < j->k; k += BLOCK_K) {
            int64_t count = stride - k < BLOCK_K ? stride - k : BLOCK_K;
            if (j->w_type == BF_BF16) tile_widen(j, begin, rows, k, count, BF_BF16);
            else if (j->w_type == BF_F16) tile_widen(j, begin, rows, k, count, BF_F16);
            else tile_widen(j, begin, rows, k, count, BF_F32);
            int c = 0;
            const float *x = j->wide + c0 * stride + k;
            for (; c + TILE_C <= columns; c += TILE_C) tile_columns(x + c * stride, stride, rows, c, count, TILE_C);
            for (; c + 2 <= columns; c += 2) tile_columns(x + c * stride, stride, rows, c, count, 2);
            if (c < columns) tile_columns(x + c * stride, stride, rows, c, count, 1);
        }
        for (int c = 0; c < columns; c++)
            for (int q = 0; q < rows; q++) linear_finish(j, c0 + c, begin + q, block.sum[c][q]);
    }
}
static void tile_run(const bf_problem *p, bf_pool *pool) {
    linear_job j = linear_job_of(p);
    /* At least four chunks a thread, so that none waits long for the last. */
    int64_t rows = j.m / (4 * (pool ? bf_pool_threads(pool) : 1)) / TILE_R * TILE_R;
    bf_pool_run(pool, linear_widen_chunk, &j, j.n, 1);
    bf_pool_run(pool, tile_chunk, &j, j.m, rows < TILE_R ? TILE_R : rows > BLOCK_M ? BLOCK_M : rows);
}
/* A lane's chain over a block of k, its lanes, then the blocks. */
static int64_t lanes_chain(int64_t k) {
    int64_t vectors = (k + LANES - 1) / LANES, steps = 0;
    while (steps < LANES_STEPS && (int64_t)1 << steps < k) steps++;
    return vectors - 1 + steps;
}
static int64_t tile_chain(const bf_problem *p) {
    int64_t k = p->dim[LINEAR_K];
    return lanes_chain(k < BLOCK_K ? k : BLOCK_K) + (k - 1) / BLOCK_K;
}
static int tile_accepts(const bf_problem *p) { return linear_accepts(p) && p->dim[LINEAR_N] > VEC_MAX_N; }
