/* conv_tile_avx512.c: im2col and product (conv_tile.h) with AVX-512: strips of 8 channels of y, 48 outputs.
 *
 * 24 sums and 3 columns in 27 of the 32 registers: three loads of x and 8 broadcasts of weights for 24 fused multiply-adds.
 * Expected bound: the two FMA units; laying x out costs one widened copy for each range of 256 channels of y.
 *
 * Only this one: blackframe check --kernel conv_tile_avx512 --backend cpu */
#include "conv_tile.h"

#if defined(__x86_64__)

enum { ROWS = 8, COLUMNS = 48, LANES = 16, VECTORS = COLUMNS / LANES };

BF_AVX512 static void micro(int32_t k, const float *w, const float *x, float *c) {
    __m512 acc[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm512_loadu_ps(c + r * CONV_BLOCK + v * LANES);
    for (int32_t i = 0; i < k; i++, w += ROWS, x += COLUMNS) {
        __m512 column[VECTORS];
        for (int v = 0; v < VECTORS; v++) column[v] = _mm512_loadu_ps(x + v * LANES);
        for (int r = 0; r < ROWS; r++) {
            __m512 weight = _mm512_set1_ps(w[r]);
            for (int v = 0; v < VECTORS; v++) acc[r][v] = _mm512_fmadd_ps(weight, column[v], acc[r][v]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) _mm512_storeu_ps(c + r * CONV_BLOCK + v * LANES, acc[r][v]);
}

static int accepts(const bf_problem *p) { return conv_tile_accepts(p); }
static uint64_t scratch(const bf_problem *p) { return conv_tile_scratch(p, ROWS); }
static void run(const bf_problem *p, bf_pool *pool) { conv_tile_run(p, pool, micro, ROWS, COLUMNS); }

static const bf_kernel conv_tile_avx512 = {
    .op = "conv", .name = "conv_tile_avx512", .file = "conv_tile_avx512", .target = BF_CPU, .role = BF_TUNED,
    .summary = "im2col in cache, strips of 8 channels by 48 outputs, AVX-512", .rank = 20, .available = bf_has_avx512,
    .accepts = accepts, .scratch = scratch, .chain = conv_plain_chain, .run = run,
};
BF_REGISTER(conv_tile_avx512);

#endif
