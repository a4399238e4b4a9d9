/* q4k_matvec_naive.c: one output after another, both paths. The plain versions that the others are measured against. */
#include "q4k_matvec_naive.h"

static void fp32_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_fp32_chunk(arg, begin, end, MATVEC_SOUND);
}
static void quantise_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_quantise_chunk(arg, begin, end, MATVEC_SOUND);
}
static void int8_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_int8_chunk(arg, begin, end, MATVEC_SOUND);
}

static void fp32_run(const bf_problem *p, bf_pool *pool) {
    matvec_job j = matvec_job_of(p);
    bf_pool_run(pool, fp32_chunk, &j, j.m * j.n, 4);
}
static void int8_run(const bf_problem *p, bf_pool *pool) {
    matvec_job j = matvec_job_of(p);
    bf_pool_run(pool, quantise_chunk, &j, j.n * j.k / Q4K_MATVEC_QBLOCK, 32);
    bf_pool_run(pool, int8_chunk, &j, j.m * j.n, 4);
}

static const bf_kernel q4k_matvec_fp32_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_naive", .file = "q4k_matvec_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "fp32", .summary = "weight by weight, one chain", .accepts = matvec_accepts, .chain = matvec_fp32_naive_chain,
    .run = fp32_run,
};
BF_REGISTER(q4k_matvec_fp32_naive);
static const bf_kernel q4k_matvec_int8_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_naive", .file = "q4k_matvec_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "int8", .summary = "block by block, one chain", .accepts = matvec_accepts, .chain = matvec_int8_naive_chain,
    .run = int8_run,
};
BF_REGISTER(q4k_matvec_int8_naive);
