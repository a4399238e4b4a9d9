/* linear_naive.c: one output after another. The plain version that the others are measured against. */
#include "linear_naive.h"

static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    linear_naive_chunk(arg, begin, end, LINEAR_SOUND);
}
static void run(const bf_problem *p, bf_pool *pool) {
    linear_job j = linear_job_of(p);
    bf_pool_run(pool, chunk, &j, j.m * j.n, 4);
}

static const bf_kernel linear_naive = {
    .op = "linear", .name = "linear_naive", .file = "linear_naive", .target = BF_CPU, .role = BF_NAIVE, .path = "fp32",
    .summary = "product by product, one chain", .accepts = linear_accepts, .chain = linear_naive_chain, .run = run,
};
BF_REGISTER(linear_naive);
