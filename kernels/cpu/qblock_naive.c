/* qblock_naive.c: qblock_dequant and qblock_matmul, one weight after another. The plain versions that the others are measured
 * against. Only these: blackframe check qblock_dequant qblock_matmul --kernel '*naive' --backend cpu */
#include "qblock_naive.h"

static void dequant(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    qblock_dequant_chunk(arg, begin, end, DEQUANT_SOUND);
}
static void fp32_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    qblock_fp32_chunk(arg, begin, end, MATVEC_SOUND);
}
static void quantise_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_quantise_chunk(arg, begin, end, MATVEC_SOUND);
}
static void int8_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    qblock_int8_chunk(arg, begin, end, MATVEC_SOUND);
}

static void dequant_all(const bf_problem *p, bf_pool *pool) { qblock_dequant_run(p, pool, dequant); }
static void fp32_run(const bf_problem *p, bf_pool *pool) {
    qblock_job j = qblock_job_of(p);
    bf_pool_run(pool, fp32_chunk, &j, j.job.m * j.job.n, 4);
}
static void int8_run(const bf_problem *p, bf_pool *pool) {
    qblock_job j = qblock_job_of(p);
    bf_pool_run(pool, quantise_chunk, &j.job, j.job.n * j.job.k / 32, 32);
    bf_pool_run(pool, int8_chunk, &j, j.job.m * j.job.n, 4);
}

static const bf_kernel qblock_dequant_naive = {
    .op = "qblock_dequant", .name = "qblock_dequant_naive", .file = "qblock_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "weight by weight", .accepts = qblock_dequant_accepts, .run = dequant_all,
};
BF_REGISTER(qblock_dequant_naive);
static const bf_kernel qblock_fp32_naive = {
    .op = "qblock_matmul", .name = "qblock_fp32_naive", .file = "qblock_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "fp32", .summary = "weight by weight, one chain", .accepts = qblock_accepts, .chain = qblock_fp32_naive_chain,
    .run = fp32_run,
};
BF_REGISTER(qblock_fp32_naive);
static const bf_kernel qblock_int8_naive = {
    .op = "qblock_matmul", .name = "qblock_int8_naive", .file = "qblock_naive", .target = BF_CPU, .role = BF_NAIVE,
    .path = "int8", .summary = "block by block, one chain", .accepts = qblock_accepts, .chain = qblock_int8_naive_chain,
    .run = int8_run,
};
BF_REGISTER(qblock_int8_naive);
