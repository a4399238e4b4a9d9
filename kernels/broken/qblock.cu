/* Twins of qblock_dequant and qblock_matmul: the plain kernels with one defect each. A witness case must catch every one. Defects that
 * do not exist in a format (Q8_0 has no nibbles and no second scale, MXFP4 alone has exponents for scales) are not run on it. */
#include "../common/qblock_gpu.h"

constexpr int THREADS = QBLOCK_NAIVE_THREADS;

/* All formats; `body` of qblock_gpu.h. */
#define EACH_FORMAT(name, args, body, defect)                                          \
    BF_KERNEL_FN(name##_q6k, args, THREADS) { body<bf_q6_k, defect>(a); }              \
    BF_KERNEL_FN(name##_q80, args, THREADS) { body<bf_q8_0, defect>(a); }              \
    BF_KERNEL_FN(name##_mxfp4, args, THREADS) { body<bf_mxfp4, defect>(a); }

EACH_FORMAT(qblock_dequant_twin_dsc, qblock_dequant_args, qblock_dequant_body, MATVEC_DSC_FP16)
EACH_FORMAT(qblock_dequant_twin_halves, qblock_dequant_args, qblock_dequant_body, QBLOCK_HALVES)
EACH_FORMAT(qblock_dequant_twin_trunc, qblock_dequant_args, qblock_dequant_body, QBLOCK_TRUNC)
EACH_FORMAT(qblock_dequant_twin_sign, qblock_dequant_args, qblock_dequant_body, QBLOCK_UNSIGNED)
EACH_FORMAT(qblock_dequant_twin_pair, qblock_dequant_args, qblock_dequant_body, QBLOCK_PAIR)
EACH_FORMAT(qblock_dequant_twin_exponent, qblock_dequant_args, qblock_dequant_body, QBLOCK_EXPONENT)
EACH_FORMAT(qblock_dequant_twin_no_nan, qblock_dequant_args, qblock_dequant_body, QBLOCK_NO_NAN)
EACH_FORMAT(qblock_dequant_twin_flush, qblock_dequant_args, qblock_dequant_body, QBLOCK_FLUSH)
EACH_FORMAT(qblock_fp32_twin_acc_fp16, matvec_args, qblock_fp32_body, MATVEC_ACC_FP16)
EACH_FORMAT(qblock_fp32_twin_acc_bf16, matvec_args, qblock_fp32_body, MATVEC_ACC_BF16)
EACH_FORMAT(qblock_fp32_twin_x_fp16, matvec_args, qblock_fp32_body, MATVEC_X_FP16)
EACH_FORMAT(qblock_fp32_twin_x_bf16, matvec_args, qblock_fp32_body, MATVEC_X_BF16)
EACH_FORMAT(qblock_fp32_twin_x_tf32, matvec_args, qblock_fp32_body, MATVEC_X_TF32)
EACH_FORMAT(qblock_fp32_twin_dsc, matvec_args, qblock_fp32_body, MATVEC_DSC_FP16)
EACH_FORMAT(qblock_fp32_twin_partial, matvec_args, qblock_fp32_body, MATVEC_PARTIAL_FP16)
EACH_FORMAT(qblock_fp32_twin_drop, matvec_args, qblock_fp32_body, MATVEC_DROP_BLOCK)
EACH_FORMAT(qblock_fp32_twin_scale, matvec_args, qblock_fp32_body, MATVEC_SCALE_102)
EACH_FORMAT(qblock_fp32_twin_pair, matvec_args, qblock_fp32_body, QBLOCK_PAIR)
EACH_FORMAT(qblock_fp32_twin_halves, matvec_args, qblock_fp32_body, QBLOCK_HALVES)
EACH_FORMAT(qblock_fp32_twin_exponent, matvec_args, qblock_fp32_body, QBLOCK_EXPONENT)
EACH_FORMAT(qblock_int8_twin_trunc, matvec_args, qblock_int8_body, MATVEC_SOUND)
EACH_FORMAT(qblock_int8_twin_acc_fp16, matvec_args, qblock_int8_body, MATVEC_ACC_FP16)
EACH_FORMAT(qblock_int8_twin_dsc, matvec_args, qblock_int8_body, MATVEC_DSC_FP16)
EACH_FORMAT(qblock_int8_twin_partial, matvec_args, qblock_int8_body, MATVEC_PARTIAL_FP16)
EACH_FORMAT(qblock_int8_twin_drop, matvec_args, qblock_int8_body, MATVEC_DROP_BLOCK)
EACH_FORMAT(qblock_int8_twin_scale, matvec_args, qblock_int8_body, MATVEC_SCALE_102)
EACH_FORMAT(qblock_int8_twin_pair, matvec_args, qblock_int8_body, QBLOCK_PAIR)
EACH_FORMAT(qblock_int8_twin_sign, matvec_args, qblock_int8_body, QBLOCK_UNSIGNED)
EACH_FORMAT(qblock_int8_twin_halves, matvec_args, qblock_int8_body, QBLOCK_HALVES)
EACH_FORMAT(qblock_int8_twin_exponent, matvec_args, qblock_int8_body, QBLOCK_EXPONENT)
BF_KERNEL_FN(qblock_quantise_twin_sound, matvec_args, THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(qblock_quantise_twin_trunc, matvec_args, THREADS) { matvec_quantise_body<MATVEC_TRUNC_QUANT>(a); }

#if BF_HOST
typedef int accepts_fn(const bf_problem *);
typedef int plan_fn(const bf_problem *, bf_step *);
static int dequant_all(const bf_problem *p) { return qblock_dequant_accepts(p); }
static int dequant_16(const bf_problem *p) { return qblock_dequant_accepts(p) && p->type[Q4K_DEQUANT_Y] != BF_F32; }
static int dequant_q6(const bf_problem *p) { return qblock_dequant_accepts(p) && qblock_format(p) == QBLOCK_Q6K; }
static int dequant_mx(const bf_problem *p) { return qblock_dequant_accepts(p) && qblock_format(p) == QBLOCK_MXFP4; }
static int dequant_nibbles(const bf_problem *p) { return qblock_dequant_accepts(p) && qblock_format(p) != QBLOCK_Q80; }
static int product_all(const bf_problem *p) { return qblock_accepts(p); }
static int product_q6(const bf_problem *p) { return qblock_accepts(p) && qblock_format(p) == QBLOCK_Q6K; }
static int product_mx(const bf_problem *p) { return qblock_accepts(p) && qblock_format(p) == QBLOCK_MXFP4; }

static constexpr bf_kernel twin(const char *op, const char *path, const char *name, const char *defect, accepts_fn *accepts,
                                const char *summary, plan_fn *plan) {
    return {.op = op, .name = name, .file = "broken_qblock", .target = BF_STEP_TARGET, .role = BF_TWIN, .path = path,
            .twin = defect, .summary = summary, .accepts = accepts,
            .chain = !path ? nullptr : path[0] == 'f' ? qblock_fp32_naive_chain : qblock_int8_naive_chain, .plan = plan};
}
#define DEQUANT_TWIN(id, defect, accepts, summary)                                                             \
    static constexpr bf_kernel dequant_twin_##id =                                                             \
        twin("qblock_dequant", nullptr, "qblock_dequant_twin_" defect, defect, accepts, summary,               \
             [](const bf_problem *p, bf_step *s) {                                                             \
                 static const qblock_steps<qblock_dequant_args> each = QBLOCK_STEPS(qblock_dequant_twin_##id, ); \
                 return qblock_naive_dequant(p, s, each);                                                      \
             });                                                                                               \
    BF_REGISTER(dequant_twin_##id)
#define FP32_TWIN(id, defect, accepts, summary)                                                                \
    static constexpr bf_kernel fp32_twin_##id =                                                                \
        twin("qblock_matmul", "fp32", "qblock_fp32_twin_" defect, defect, accepts, summary,                    \
             [](const bf_problem *p, bf_step *s) {                                                             \
                 static const qblock_steps<matvec_args> each = QBLOCK_STEPS(qblock_fp32_twin_##id, );          \
                 return qblock_naive_fp32(p, s, each);                                                         \
             });                                                                                               \
    BF_REGISTER(fp32_twin_##id)
#define INT8_TWIN(id, defect, quantise, accepts, summary)                                                      \
    static constexpr bf_kernel int8_twin_##id =                                                                \
        twin("qblock_matmul", "int8", "qblock_int8_twin_" defect, defect, accepts, summary,                    \
             [](const bf_problem *p, bf_step *s) {                                                             \
                 static const qblock_steps<matvec_args> each = QBLOCK_STEPS(qblock_int8_twin_##id, );          \
                 return qblock_naive_int8(p, s, BF_STEP_FN(quantise), each);                                   \
             });                                                                                               \
    BF_REGISTER(int8_twin_##id)

DEQUANT_TWIN(dsc, "dsc-fp16", dequant_q6, "d*sc rounded to fp16");
DEQUANT_TWIN(halves, "swap-nibbles", dequant_nibbles, "low and high nibble exchanged");
DEQUANT_TWIN(trunc, "trunc-bf16", dequant_16, "truncates to the 16-bit types");
DEQUANT_TWIN(sign, "unsigned", dequant_all, "signs lost: signed bytes read as unsigned, magnitudes alone");
DEQUANT_TWIN(pair, "scale-of-32", dequant_q6, "one scale for 32 weights");
DEQUANT_TWIN(exponent, "exponent", dequant_mx, "scales off by one exponent");
DEQUANT_TWIN(no_nan, "no-nan", dequant_mx, "a scale of NaN read as 2^128");
DEQUANT_TWIN(flush, "flush", dequant_mx, "half scales that are subnormal read as zero");
FP32_TWIN(acc_fp16, "acc-fp16", product_all, "every partial sum rounded to fp16");
FP32_TWIN(acc_bf16, "acc-bf16", product_all, "every partial sum rounded to bf16");
FP32_TWIN(x_fp16, "x-fp16", product_all, "x rounded to fp16");
FP32_TWIN(x_bf16, "x-bf16", product_all, "x rounded to bf16");
FP32_TWIN(x_tf32, "x-tf32", product_all, "x rounded to tf32's 11 significand bits");
FP32_TWIN(dsc, "dsc-fp16", product_q6, "d*sc rounded to fp16");
FP32_TWIN(partial, "partial-fp16", product_all, "sums of 32 weights stored in fp16");
FP32_TWIN(drop, "drop-block", product_all, "the middle 32 weights of every row skipped");
FP32_TWIN(scale, "scale-1.02", product_all, "results times 1.02");
FP32_TWIN(pair, "scale-of-32", product_q6, "one scale for 32 weights");
FP32_TWIN(halves, "swap-nibbles", product_mx, "low and high nibble exchanged");
FP32_TWIN(exponent, "exponent", product_mx, "scales off by one exponent");
INT8_TWIN(trunc, "trunc-quant", qblock_quantise_twin_trunc, product_all, "q truncated instead of rounded");
INT8_TWIN(acc_fp16, "acc-fp16", qblock_quantise_twin_sound, product_all, "chain over the blocks in fp16");
INT8_TWIN(dsc, "dsc-fp16", qblock_quantise_twin_sound, product_q6, "d*sc rounded to fp16");
INT8_TWIN(partial, "partial-fp16", qblock_quantise_twin_sound, product_all, "shares of 32 weights stored in fp16");
INT8_TWIN(drop, "drop-block", qblock_quantise_twin_sound, product_all, "the middle 32 weights of every row skipped");
INT8_TWIN(scale, "scale-1.02", qblock_quantise_twin_sound, product_all, "results times 1.02");
INT8_TWIN(pair, "scale-of-32", qblock_quantise_twin_sound, product_q6, "one scale for 32 weights");
INT8_TWIN(sign, "unsigned", qblock_quantise_twin_sound, product_all, "signs lost: signed bytes read as unsigned, magnitudes alone");
INT8_TWIN(halves, "swap-nibbles", qblock_quantise_twin_sound, product_mx, "low and high nibble exchanged");
INT8_TWIN(exponent, "exponent", qblock_quantise_twin_sound, product_mx, "scales off by one exponent");
#endif
