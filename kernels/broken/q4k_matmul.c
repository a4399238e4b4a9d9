/* Twins of q4k_matmul: the plain kernels with one defect each. A witness case must catch every one. */
#include "../cpu/q4k_matmul_naive.h"

static void quantise_sound(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_quantise_chunk(arg, begin, end, MATVEC_SOUND);
}
static void quantise_trunc(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_quantise_chunk(arg, begin, end, MATVEC_TRUNC_QUANT);
}

/* Outputs that the twin computes: tile-edge forgets the last column. */
static int64_t outputs_of(const matvec_job *j, int defect) {
    return j->m * (j->n - (defect == MATMUL_TILE_EDGE && j->n % MATMUL_EDGE_TILE != 0));
}

#define TWIN(id, arithmetic, label, text, length, what)                                                        \
    static const bf_kernel id = {.op = "q4k_matmul", .name = label text, .file = "broken_q4k_matmul",           \
                                 .target = BF_CPU, .role = BF_TWIN, .path = arithmetic, .twin = text,          \
                                 .summary = what, .accepts = matmul_accepts, .chain = length, .run = id##_run}; \
    BF_REGISTER(id)

#define FP32_TWIN(id, text, constant, what)                                           \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {       \
        (void)thread;                                                                 \
        matvec_fp32_chunk(arg, begin, end, constant);                                 \
    }                                                                                 \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                        \
        matvec_job j = matvec_job_of(p);                                              \
        bf_pool_run(pool, id##_chunk, &j, outputs_of(&j, constant), 4);               \
    }                                                                                 \
    TWIN(id, "fp32", "q4k_matmul_twin_", text, matmul_fp32_naive_chain, what)

#define INT8_TWIN(id, text, quantise, constant, what)                                 \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {       \
        (void)thread;                                                                 \
        matvec_int8_chunk(arg, begin, end, constant);                                 \
    }                                                                                 \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                        \
        matvec_job j = matvec_job_of(p);                                              \
        bf_pool_run(pool, quantise, &j, j.n * j.k / Q4K_MATVEC_QBLOCK, 32);           \
        bf_pool_run(pool, id##_chunk, &j, outputs_of(&j, constant), 4);               \
    }                                                                                 \
    TWIN(id, "int8", "q4k_matmul_int8_twin_", text, matmul_int8_naive_chain, what)

#define NARROW_TWIN(id, path, type, text, constant, what)                             \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {       \
        (void)thread;                                                                 \
        matmul_narrow_chunk(arg, begin, end, type, constant);                         \
    }                                                                                 \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                        \
        matvec_job j = matvec_job_of(p);                                              \
        bf_pool_run(pool, id##_chunk, &j, j.m * j.n, 4);                              \
    }                                                                                 \
    TWIN(id, path, "q4k_matmul_" path "_twin_", text, matmul_fp32_naive_chain, what)

FP32_TWIN(fp32_acc_fp16, "acc-fp16", MATVEC_ACC_FP16, "every partial sum rounded to fp16");
FP32_TWIN(fp32_acc_bf16, "acc-bf16", MATVEC_ACC_BF16, "every partial sum rounded to bf16");
FP32_TWIN(fp32_x_fp16, "x-fp16", MATVEC_X_FP16, "x rounded to fp16");
FP32_TWIN(fp32_x_bf16, "x-bf16", MATVEC_X_BF16, "x rounded to bf16");
FP32_TWIN(fp32_x_tf32, "x-tf32", MATVEC_X_TF32, "x rounded to tf32's 11 significand bits");
FP32_TWIN(fp32_dsc_fp16, "dsc-fp16", MATVEC_DSC_FP16, "d*sc rounded to fp16");
FP32_TWIN(fp32_partial_fp16, "partial-fp16", MATVEC_PARTIAL_FP16, "sums of 32-blocks stored in fp16");
FP32_TWIN(fp32_drop_block, "drop-block", MATVEC_DROP_BLOCK, "the middle 32-block of every row skipped");
FP32_TWIN(fp32_scale_102, "scale-1.02", MATVEC_SCALE_102, "results times 1.02");
FP32_TWIN(fp32_tile_edge, "tile-edge", MATMUL_TILE_EDGE, "the last column forgotten unless n is a multiple of 16");

INT8_TWIN(int8_trunc, "trunc-quant", quantise_trunc, MATVEC_SOUND, "q truncated instead of rounded");
INT8_TWIN(int8_acc_fp16, "acc-fp16", quantise_sound, MATVEC_ACC_FP16, "chain over the blocks in fp16");
INT8_TWIN(int8_dsc_fp16, "dsc-fp16", quantise_sound, MATVEC_DSC_FP16, "d*sc rounded to fp16");
INT8_TWIN(int8_partial_fp16, "partial-fp16", quantise_sound, MATVEC_PARTIAL_FP16, "shares of 32-blocks stored in fp16");
INT8_TWIN(int8_sum_fp16, "sum-fp16", quantise_sound, MATVEC_SUM_FP16,
          "block sum d*s held in fp16: overflows when |mean of 32 x| passes 2,047");
INT8_TWIN(int8_drop_block, "drop-block", quantise_sound, MATVEC_DROP_BLOCK, "the middle 32-block of every row skipped");
INT8_TWIN(int8_scale_102, "scale-1.02", quantise_sound, MATVEC_SCALE_102, "results times 1.02");
INT8_TWIN(int8_tile_edge, "tile-edge", quantise_sound, MATMUL_TILE_EDGE,
          "the last column forgotten unless n is a multiple of 16");

NARROW_TWIN(f16_acc_fp16, "f16", BF_F16, "acc-fp16", MATVEC_ACC_FP16, "every partial sum rounded to fp16");
NARROW_TWIN(bf16_acc_bf16, "bf16", BF_BF16, "acc-bf16", MATVEC_ACC_BF16, "every partial sum rounded to bf16");
NARROW_TWIN(bf16_w_trunc, "bf16", BF_BF16, "w-bf16-trunc", MATMUL_W_TRUNC, "weights truncated to bf16 instead of rounded");
