/* q4k_dequant_naive.c: one weight after another. The plain version that the others are measured against. */
#include "q4k_dequant_naive.h"

static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    dequant_chunk(arg, begin, end, DEQUANT_SOUND);
}
static void run(const bf_problem *p, bf_pool *pool) { dequant_run(p, pool, chunk, 256); }

static const bf_kernel q4k_dequant_naive = {
    .op = "q4k_dequant", .name = "q4k_dequant_naive", .file = "q4k_dequant_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "weight by weight", .accepts = dequant_accepts, .run = run,
};
BF_REGISTER(q4k_dequant_naive);
