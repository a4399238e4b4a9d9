/* qblock_dequant and qblock_matmul (Q6_K, Q8_0; contract: kernels/common/qblock.h), the plain versions: a thread a weight, a
 * thread an output. Only there to be right. The text serves sm_61 and, included by kernels/hip/qblock.hip, gfx1151.
 *
 * Compiled, run under simt, not run on a GPU.
 * Only these: blackframe check qblock_dequant qblock_matmul --kernel '*naive' --backend simt-cuda */
#include "../common/qblock_gpu.h"

BF_KERNEL_FN(qblock_dequant_q6k_naive, qblock_dequant_args, QBLOCK_NAIVE_THREADS) { qblock_dequant_body<bf_q6_k, MATVEC_SOUND>(a); }
BF_KERNEL_FN(qblock_dequant_q80_naive, qblock_dequant_args, QBLOCK_NAIVE_THREADS) { qblock_dequant_body<bf_q8_0, MATVEC_SOUND>(a); }
BF_KERNEL_FN(qblock_quantise_naive, matvec_args, QBLOCK_NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(qblock_fp32_q6k_naive, matvec_args, QBLOCK_NAIVE_THREADS) { qblock_fp32_body<bf_q6_k, MATVEC_SOUND>(a); }
BF_KERNEL_FN(qblock_fp32_q80_naive, matvec_args, QBLOCK_NAIVE_THREADS) { qblock_fp32_body<bf_q8_0, MATVEC_SOUND>(a); }
BF_KERNEL_FN(qblock_int8_q6k_naive, matvec_args, QBLOCK_NAIVE_THREADS) { qblock_int8_body<bf_q6_k, MATVEC_SOUND>(a); }
BF_KERNEL_FN(qblock_int8_q80_naive, matvec_args, QBLOCK_NAIVE_THREADS) { qblock_int8_body<bf_q8_0, MATVEC_SOUND>(a); }

#if BF_HOST
static int dequant_plan(const bf_problem *p, bf_step *s) {
    return qblock_naive_dequant(p, s, BF_STEP_FN(qblock_dequant_q6k_naive), BF_STEP_FN(qblock_dequant_q80_naive));
}
static int fp32_plan(const bf_problem *p, bf_step *s) {
    return qblock_naive_fp32(p, s, BF_STEP_FN(qblock_fp32_q6k_naive), BF_STEP_FN(qblock_fp32_q80_naive));
}
static int int8_plan(const bf_problem *p, bf_step *s) {
    return qblock_naive_int8(p, s, BF_STEP_FN(qblock_quantise_naive), BF_STEP_FN(qblock_int8_q6k_naive),
                             BF_STEP_FN(qblock_int8_q80_naive));
}
static const bf_kernel dequant = {
    .op = "qblock_dequant", .name = "qblock_dequant_naive", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread a weight", .rank = 0, .accepts = qblock_dequant_accepts, .plan = dequant_plan,
};
BF_REGISTER(dequant);
static const bf_kernel fp32 = {
    .op = "qblock_matmul", .name = "qblock_fp32_naive", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .path = "fp32", .summary = "a thread an output, one chain of FMAs", .rank = 0, .accepts = qblock_accepts,
    .chain = qblock_fp32_naive_chain, .plan = fp32_plan,
};
BF_REGISTER(fp32);
static const bf_kernel int8 = {
    .op = "qblock_matmul", .name = "qblock_int8_naive", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .path = "int8", .summary = "a thread a block of x, then a thread an output", .rank = 0, .accepts = qblock_accepts,
    .chain = qblock_int8_naive_chain, .plan = int8_plan,
};
BF_REGISTER(int8);
#endif
