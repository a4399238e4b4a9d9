/* The twins of q4k_dequant: the plain kernel with one step changed. A witness case must catch each. */
#include "../hip/q4k_dequant_plain.h"

#if BF_HOST
#define TWIN_HOST(SYMBOL, DEFECT)                                                                               \
    static int SYMBOL##_plan(const bf_problem *p, bf_step *s) { return dequant_plain_step(p, s, BF_STEP_FN(SYMBOL)); } \
    static const bf_kernel SYMBOL##_kernel = {                                                                  \
        .op = "q4k_dequant", .name = "q4k_dequant_twin_" DEFECT, .file = "broken_q4k_dequant",                  \
        .target = BF_STEP_TARGET, .role = BF_TWIN, .twin = DEFECT,                                              \
        .summary = "plain kernel, broken on purpose: " DEFECT, .accepts = dequant_accepts, .plan = SYMBOL##_plan, \
    };                                                                                                          \
    BF_REGISTER(SYMBOL##_kernel);
#else
#define TWIN_HOST(SYMBOL, DEFECT)
#endif
#define TWIN(SYMBOL, VALUE, DEFECT)                                                             \
    BF_KERNEL_FN(SYMBOL, dequant_args, DEQUANT_NAIVE_THREADS) { dequant_naive_body<VALUE>(a); } \
    TWIN_HOST(SYMBOL, DEFECT)

TWIN(q4k_dequant_twin_dsc_fp16, DEQUANT_DSC_FP16, "dsc-fp16")
TWIN(q4k_dequant_twin_swap_nibbles, DEQUANT_SWAP_NIBBLES, "swap-nibbles")
TWIN(q4k_dequant_twin_trunc_bf16, DEQUANT_TRUNC_BF16, "trunc-bf16")
TWIN(q4k_dequant_twin_drop_min, DEQUANT_DROP_MIN, "drop-min")
