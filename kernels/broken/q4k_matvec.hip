/* The twins of q4k_matvec, both paths: the plain kernels with one step changed. A witness case must catch each. */
#include "../hip/q4k_matvec_plain.h"

BF_KERNEL_FN(q4k_quantise_plain, matvec_args, MATVEC_NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_quantise_trunc, matvec_args, MATVEC_NAIVE_THREADS) { matvec_quantise_body<MATVEC_TRUNC_QUANT>(a); }

#if BF_HOST
#define TWIN_DESCRIPTOR(SYMBOL, NAME, DEFECT, PATH, CHAIN)                                                 \
    static const bf_kernel SYMBOL##_kernel = {                                                             \
        .op = "q4k_matvec", .name = NAME DEFECT, .file = "broken_q4k_matvec", .target = BF_STEP_TARGET,    \
        .role = BF_TWIN, .path = PATH, .twin = DEFECT, .summary = "plain kernel, broken on purpose: " DEFECT, \
        .accepts = matvec_accepts, .chain = CHAIN, .plan = SYMBOL##_plan,                                  \
    };                                                                                                     \
    BF_REGISTER(SYMBOL##_kernel);
#define FP32_HOST(SYMBOL, DEFECT)                                                                                  \
    static int SYMBOL##_plan(const bf_problem *p, bf_step *s) { return matvec_plain_fp32(p, s, BF_STEP_FN(SYMBOL)); } \
    TWIN_DESCRIPTOR(SYMBOL, "q4k_matvec_twin_", DEFECT, "fp32", matvec_fp32_naive_chain)
#define INT8_HOST(SYMBOL, QUANTISE, DEFECT)                                         \
    static int SYMBOL##_plan(const bf_problem *p, bf_step *s) {                     \
        return matvec_plain_int8(p, s, BF_STEP_FN(QUANTISE), BF_STEP_FN(SYMBOL));   \
    }                                                                               \
    TWIN_DESCRIPTOR(SYMBOL, "q4k_matvec_int8_twin_", DEFECT, "int8", matvec_int8_naive_chain)
#else
#define FP32_HOST(SYMBOL, DEFECT)
#define INT8_HOST(SYMBOL, QUANTISE, DEFECT)
#endif
#define FP32(SYMBOL, VALUE, DEFECT)                                                          \
    BF_KERNEL_FN(SYMBOL, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<VALUE>(a); }  \
    FP32_HOST(SYMBOL, DEFECT)
#define INT8(SYMBOL, VALUE, QUANTISE, DEFECT)                                                \
    BF_KERNEL_FN(SYMBOL, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<VALUE>(a); }  \
    INT8_HOST(SYMBOL, QUANTISE, DEFECT)

FP32(q4k_matvec_twin_acc_fp16, MATVEC_ACC_FP16, "acc-fp16")
FP32(q4k_matvec_twin_acc_bf16, MATVEC_ACC_BF16, "acc-bf16")
FP32(q4k_matvec_twin_x_fp16, MATVEC_X_FP16, "x-fp16")
FP32(q4k_matvec_twin_x_bf16, MATVEC_X_BF16, "x-bf16")
FP32(q4k_matvec_twin_x_tf32, MATVEC_X_TF32, "x-tf32")
FP32(q4k_matvec_twin_dsc_fp16, MATVEC_DSC_FP16, "dsc-fp16")
FP32(q4k_matvec_twin_partial_fp16, MATVEC_PARTIAL_FP16, "partial-fp16")
FP32(q4k_matvec_twin_drop_block, MATVEC_DROP_BLOCK, "drop-block")
FP32(q4k_matvec_twin_scale_102, MATVEC_SCALE_102, "scale-1.02")

INT8(q4k_matvec_int8_twin_trunc_quant, MATVEC_SOUND, q4k_quantise_trunc, "trunc-quant")
INT8(q4k_matvec_int8_twin_drop_block, MATVEC_DROP_BLOCK, q4k_quantise_plain, "drop-block")
INT8(q4k_matvec_int8_twin_scale_102, MATVEC_SCALE_102, q4k_quantise_plain, "scale-1.02")
INT8(q4k_matvec_int8_twin_acc_fp16, MATVEC_ACC_FP16, q4k_quantise_plain, "acc-fp16")
INT8(q4k_matvec_int8_twin_dsc_fp16, MATVEC_DSC_FP16, q4k_quantise_plain, "dsc-fp16")
INT8(q4k_matvec_int8_twin_partial_fp16, MATVEC_PARTIAL_FP16, q4k_quantise_plain, "partial-fp16")
INT8(q4k_matvec_int8_twin_sum_fp16, MATVEC_SUM_FP16, q4k_quantise_plain, "sum-fp16")
