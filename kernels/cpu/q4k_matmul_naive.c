/* q4k_matmul_naive.c: one output after another, all four paths: the loops of q4k_matvec over more columns. */
#include "q4k_matmul_naive.h"

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
static void f16_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matmul_narrow_chunk(arg, begin, end, BF_F16, MATVEC_SOUND);
}
static void bf16_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matmul_narrow_chunk(arg, begin, end, BF_BF16, MATVEC_SOUND);
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
static void f16_run(const bf_problem *p, bf_pool *pool) {
    matvec_job j = matvec_job_of(p);
    bf_pool_run(pool, f16_chunk, &j, j.m * j.n, 4);
}
static void bf16_run(const bf_problem *p, bf_pool *pool) {
    matvec_job j = matvec_job_of(p);
    bf_pool_run(pool, bf16_chunk, &j, j.m * j.n, 4);
}

static const bf_kernel q4k_matmul_fp32_naive = {
    .op = "q4k_matmul", .name = "q4k_matmul_fp32_naive", .file = "q4k_matmul_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "fp32", .summary = "weight by weight, one chain", .accepts = matmul_accepts, .chain = matmul_fp32_naive_chain,
    .run = fp32_run,
};
BF_REGISTER(q4k_matmul_fp32_naive);
static const bf_kernel q4k_matmul_int8_naive = {
    .op = "q4k_matmul", .name = "q4k_matmul_int8_naive", .file = "q4k_matmul_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "int8", .summary = "block by block, one chain", .accepts = matmul_accepts, .chain = matmul_int8_naive_chain,
    .run = int8_run,
};
BF_REGISTER(q4k_matmul_int8_naive);
static const bf_kernel q4k_matmul_f16_naive = {
    .op = "q4k_matmul", .name = "q4k_matmul_f16_naive", .file = "q4k_matmul_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "f16", .summary = "both factors rounded to fp16, one chain in fp32", .accepts = matmul_accepts,
    .chain = matmul_fp32_naive_chain, .run = f16_run,
};
BF_REGISTER(q4k_matmul_f16_naive);
static const bf_kernel q4k_matmul_bf16_naive = {
    .op = "q4k_matmul", .name = "q4k_matmul_bf16_naive", .file = "q4k_matmul_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "bf16", .summary = "both factors rounded to bf16, one chain in fp32", .accepts = matmul_accepts,
    .chain = matmul_fp32_naive_chain, .run = bf16_run,
};
BF_REGISTER(q4k_matmul_bf16_naive);
