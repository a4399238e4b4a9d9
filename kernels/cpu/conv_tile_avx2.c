/* conv_tile_avx2.c: im2col and product (conv_tile.h) with AVX2 and FMA: strips of 4 channels of y, 24 outputs.
 *
 * 12 sums, 3 columns and a weight in the 16 registers: three loads of x and 4 broadcasts of weights for 12 fused multiply-adds.
 * Expected bound: the two FMA units; laying x out costs one widened copy for each range of 256 channels of y.
 *
 * Only this one: blackframe check --kernel conv_tile_avx2 --backend cpu */
#include "conv_tile.h"

#if defined(__x86_64__)

enum { ROWS = 4, COLUMNS = 24, LANES = 8, VECTORS = COLUMNS / LANES };

BF_AVX2 static void micro(int32_t k, const float *w, const float *x, float *c) {
    __m256 acc[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm256_loadu_ps(c + r * CONV_BLOCK + v * LANES);
    for (int32_t i = 0; i < k; i++, w += ROWS, x += COLUMNS) {
        __m256 column[VECTORS];
        for (int v = 0; v < VECTORS; v++) column[v] = _mm256_loadu_ps(x + v * LANES);
        for (int r = 0; r < ROWS; r++) {
            __m256 weight = _mm256_set1_ps(w[r]);
            for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm256_fmadd_ps(weight, column[v], acc[r][v]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) _mm256_storeu_ps(c + r * CONV_BLOCK + v * LANES, acc[r][v]);
}

static int accepts(const bf_problem *p) { return conv_tile_accepts(p); }
static uint64_t scratch(const bf_problem *p) { return conv_tile_scratch(p, ROWS); }
static void run(const bf_problem *p, bf_pool *pool) { conv_tile_run(p, pool, micro, ROWS, COLUMNS); }

static const bf_kernel conv_tile_avx2 = {
    .op = "conv", .name = "conv_tile_avx2", .file = "conv_tile_avx2", .target = BF_CPU, .role = BF_TUNED,
    .summary = "im2col in cache, strips of 4 channels by 24 outputs, AVX2 and FMA", .rank = 10, .available = bf_has_avx2,
    .accepts = accepts, .scratch = scratch, .chain = conv_plain_chain, .run = run,
};
BF_REGISTER(conv_tile_avx2);

#endif
