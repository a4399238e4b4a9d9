/* norm_naive.c: row by row, value by value. The plain version that the others are measured against. */
#include "norm_naive.h"

static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    norm_naive_chunk(arg, begin, end, NORM_SOUND);
}
static void run(const bf_problem *p, bf_pool *pool) {
    norm_job j = norm_job_of(p);
    bf_pool_run(pool, chunk, &j, j.rows, 1);
}

static const bf_kernel norm_naive = {
    .op = "norm", .name = "norm_naive", .file = "norm_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "row by row, one chain a sum", .accepts = norm_naive_accepts, .chain = norm_naive_chain, .run = run,
};
BF_REGISTER(norm_naive);
