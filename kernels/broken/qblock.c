/* Twins of qblock_dequant and qblock_matmul: the plain kernels with one defect each. A witness case must catch every one. Defects that
 * do not exist in a format (Q8_0 has no nibbles and no second scale, MXFP4 alone has exponents for scales) are not run on it. */
#include "../cpu/qblock_naive.h"

static int accepts_16bit(const bf_problem *p) { return qblock_dequant_accepts(p) && p->type[Q4K_DEQUANT_Y] != BF_F32; }
static int accepts_q6(const bf_problem *p) { return p->type[Q4K_DEQUANT_W] == BF_Q6_K && qblock_dequant_accepts(p); }
static int accepts_mx(const bf_problem *p) { return p->type[Q4K_DEQUANT_W] == BF_MXFP4 && qblock_dequant_accepts(p); }
static int accepts_nibbles(const bf_problem *p) { return p->type[Q4K_DEQUANT_W] != BF_Q8_0 && qblock_dequant_accepts(p); }
static int product_mx(const bf_problem *p) { return p->type[Q4K_MATVEC_W] == BF_MXFP4 && qblock_accepts(p); }
static int product_q6(const bf_problem *p) { return p->type[Q4K_MATVEC_W] == BF_Q6_K && qblock_accepts(p); }

static void quantise_sound(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_quantise_chunk(arg, begin, end, MATVEC_SOUND);
}
static void quantise_trunc(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_quantise_chunk(arg, begin, end, MATVEC_TRUNC_QUANT);
}

#define TWIN(id, of, arithmetic, label, text, takes, length, what)                                              \
    static const bf_kernel id = {.op = of, .name = label text, .file = "broken_qblock", .target = BF_CPU,        \
                                 .role = BF_TWIN, .path = arithmetic, .twin = text, .summary = what,           \
                                 .accepts = takes, .chain = length, .run = id##_run};                          \
    BF_REGISTER(id)

#define DEQUANT_TWIN(id, text, constant, takes, what)                                                           \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {                                 \
        (void)thread;                                                                                           \
        qblock_dequant_chunk(arg, begin, end, constant);                                                        \
    }                                                                                                           \
    static void id##_run(const bf_problem *p, bf_pool *pool) { qblock_dequant_run(p, pool, id##_chunk); }        \
    TWIN(id, "qblock_dequant", NULL, "qblock_dequant_twin_", text, takes, NULL, what)

#define FP32_TWIN(id, text, constant, takes, what)                                    \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {       \
        (void)thread;                                                                 \
        qblock_fp32_chunk(arg, begin, end, constant);                                 \
    }                                                                                 \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                        \
        qblock_job j = qblock_job_of(p);                                              \
        bf_pool_run(pool, id##_chunk, &j, j.job.m * j.job.n, 4);                      \
    }                                                                                 \
    TWIN(id, "qblock_matmul", "fp32", "qblock_fp32_twin_", text, takes, qblock_fp32_naive_chain, what)

#define INT8_TWIN(id, text, quantise, constant, takes, what)                          \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {       \
        (void)thread;                                                                 \
        qblock_int8_chunk(arg, begin, end, constant);                                 \
    }                                                                                 \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                        \
        qblock_job j = qblock_job_of(p);                                              \
        bf_pool_run(pool, quantise, &j.job, j.job.n * j.job.k / 32, 32);              \
        bf_pool_run(pool, id##_chunk, &j, j.job.m * j.job.n, 4);                      \
    }                                                                                 \
    TWIN(id, "qblock_matmul", "int8", "qblock_int8_twin_", text, takes, qblock_int8_naive_chain, what)

DEQUANT_TWIN(dsc, "dsc-fp16", DEQUANT_DSC_FP16, accepts_q6, "d*sc rounded to fp16");
DEQUANT_TWIN(halves, "swap-nibbles", QBLOCK_HALVES, accepts_nibbles, "low and high nibble exchanged");
DEQUANT_TWIN(truncated, "trunc-bf16", DEQUANT_TRUNC_BF16, accepts_16bit, "truncates to the 16-bit types");
DEQUANT_TWIN(sign, "unsigned", QBLOCK_UNSIGNED, qblock_dequant_accepts, "signs lost: signed bytes read as unsigned, magnitudes alone");
DEQUANT_TWIN(pair, "scale-of-32", QBLOCK_PAIR, accepts_q6, "one scale for 32 weights");
DEQUANT_TWIN(exponent, "exponent", QBLOCK_EXPONENT, accepts_mx, "scales off by one exponent");
DEQUANT_TWIN(no_nan, "no-nan", QBLOCK_NO_NAN, accepts_mx, "a scale of NaN read as 2^128");
DEQUANT_TWIN(flush, "flush", QBLOCK_FLUSH, accepts_mx, "half scales that are subnormal read as zero");

FP32_TWIN(fp32_acc_fp16, "acc-fp16", MATVEC_ACC_FP16, qblock_accepts, "every partial sum rounded to fp16");
FP32_TWIN(fp32_acc_bf16, "acc-bf16", MATVEC_ACC_BF16, qblock_accepts, "every partial sum rounded to bf16");
FP32_TWIN(fp32_x_fp16, "x-fp16", MATVEC_X_FP16, qblock_accepts, "x rounded to fp16");
FP32_TWIN(fp32_x_bf16, "x-bf16", MATVEC_X_BF16, qblock_accepts, "x rounded to bf16");
FP32_TWIN(fp32_x_tf32, "x-tf32", MATVEC_X_TF32, qblock_accepts, "x rounded to tf32's 11 significand bits");
FP32_TWIN(fp32_dsc_fp16, "dsc-fp16", MATVEC_DSC_FP16, product_q6, "d*sc rounded to fp16");
FP32_TWIN(fp32_partial_fp16, "partial-fp16", MATVEC_PARTIAL_FP16, qblock_accepts, "sums of 32 weights stored in fp16");
FP32_TWIN(fp32_drop_block, "drop-block", MATVEC_DROP_BLOCK, qblock_accepts, "the middle 32 weights of every row skipped");
FP32_TWIN(fp32_scale_102, "scale-1.02", MATVEC_SCALE_102, qblock_accepts, "results times 1.02");
FP32_TWIN(fp32_pair, "scale-of-32", QBLOCK_PAIR, product_q6, "one scale for 32 weights");
FP32_TWIN(fp32_halves, "swap-nibbles", QBLOCK_HALVES, product_mx, "low and high nibble exchanged");
FP32_TWIN(fp32_exponent, "exponent", QBLOCK_EXPONENT, product_mx, "scales off by one exponent");

INT8_TWIN(int8_trunc, "trunc-quant", quantise_trunc, MATVEC_SOUND, qblock_accepts, "q truncated instead of rounded");
INT8_TWIN(int8_acc_fp16, "acc-fp16", quantise_sound, MATVEC_ACC_FP16, qblock_accepts, "chain over the blocks in fp16");
INT8_TWIN(int8_dsc_fp16, "dsc-fp16", quantise_sound, MATVEC_DSC_FP16, product_q6, "d*sc rounded to fp16");
INT8_TWIN(int8_partial_fp16, "partial-fp16", quantise_sound, MATVEC_PARTIAL_FP16, qblock_accepts, "shares of 32 weights stored in fp16");
INT8_TWIN(int8_drop_block, "drop-block", quantise_sound, MATVEC_DROP_BLOCK, qblock_accepts, "the middle 32 weights of every row skipped");
INT8_TWIN(int8_scale_102, "scale-1.02", quantise_sound, MATVEC_SCALE_102, qblock_accepts, "results times 1.02");
INT8_TWIN(int8_pair, "scale-of-32", quantise_sound, QBLOCK_PAIR, product_q6, "one scale for 32 weights");
INT8_TWIN(int8_sign, "unsigned", quantise_sound, QBLOCK_UNSIGNED, qblock_accepts, "signs lost: signed bytes read as unsigned, magnitudes alone");
INT8_TWIN(int8_halves, "swap-nibbles", quantise_sound, QBLOCK_HALVES, product_mx, "low and high nibble exchanged");
INT8_TWIN(int8_exponent, "exponent", quantise_sound, QBLOCK_EXPONENT, product_mx, "scales off by one exponent");
