/* attention_naive.c: a row of q after another, the keys in order, two passes. The plain version that the others are measured
 * against. Only this one: blackframe check attention --kernel attention_naive --backend cpu */
#include "attention_naive.h"

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    attention_naive_rows(arg, begin, end, ATTENTION_SOUND);
}
static void run(const bf_problem *p, bf_pool *pool) {
    attention_job j = attention_job_of(p);
    bf_pool_run(pool, rows, &j, j.heads * j.queries, 1);
}

static const bf_kernel attention_naive = {
    .op = "attention", .name = "attention_naive", .file = "attention_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "row by row, two passes", .accepts = attention_accepts, .chain = attention_naive_chain, .run = run,
};
BF_REGISTER(attention_naive);
