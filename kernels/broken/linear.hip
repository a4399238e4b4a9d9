/* Twins of linear: the same text as for sm_61, and twins of the matrix tile. */
#include "../hip/linear_wmma.h"
#include "linear.cu"

BF_KERNEL_FN(linear_wmma_twin_acc_fp16, linear_args, WMMA_THREADS) { linear_wmma_body<BF_F16, 64, false, LINEAR_ACC_FP16>(a); }
BF_KERNEL_FN(linear_wmma_twin_drop_k_tail, linear_args, WMMA_THREADS) { linear_wmma_body<BF_F16, 64, false, LINEAR_DROP_K_TAIL>(a); }

#if BF_HOST
static int linear_wmma_twin_accepts(const bf_problem *p) { return linear_wmma_accepts(p) && p->type[LINEAR_W] == BF_F16; }
#define WMMA_TWIN(id, defect, text)                                                                                             \
    static int wmma_##id##_plan(const bf_problem *p, bf_step *s) {                                                              \
        linear_args a = linear_arguments(p);                                                                                    \
        bf_step_set(&s[0], BF_STEP_FN(linear_wmma_twin_##id), linear_blocks(a.m, WMMA_M), linear_blocks(a.n, 64), WMMA_THREADS, \
                    1, linear_wmma<64>::BYTES, a);                                                                              \
        return 1;                                                                                                               \
    }                                                                                                                           \
    static const bf_kernel wmma_##id##_kernel = {                                                                               \
        .op = "linear", .name = "linear_wmma_twin_" defect, .file = "broken_linear", .target = BF_STEP_TARGET,                  \
        .role = BF_TWIN, .path = "wmma", .twin = defect, .summary = text, .accepts = linear_wmma_twin_accepts,                  \
        .chain = linear_tile_chain, .plan = wmma_##id##_plan,                                                                   \
    };                                                                                                                          \
    BF_REGISTER(wmma_##id##_kernel)
WMMA_TWIN(acc_fp16, "acc-fp16", "sums of the matrix instructions rounded to fp16 at every step");
WMMA_TWIN(drop_k_tail, "drop-k-tail", "the last tile of k left out");
#endif
