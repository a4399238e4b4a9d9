/* Twins of q4k_dequant: the plain kernel with one defect each. A witness case must catch every one of them. */
#include "../cuda/launch.h"
#include "../cuda/q4k_dequant_naive.h"

constexpr int THREADS = 256;

BF_KERNEL_FN(q4k_dequant_twin_dsc_fp16, dequant_args, THREADS) { dequant_body<DEQUANT_DSC_FP16>(a); }
BF_KERNEL_FN(q4k_dequant_twin_swap_nibbles, dequant_args, THREADS) { dequant_body<DEQUANT_SWAP_NIBBLES>(a); }
BF_KERNEL_FN(q4k_dequant_twin_trunc_bf16, dequant_args, THREADS) { dequant_body<DEQUANT_TRUNC_BF16>(a); }
BF_KERNEL_FN(q4k_dequant_twin_drop_min, dequant_args, THREADS) { dequant_body<DEQUANT_DROP_MIN>(a); }

#if BF_HOST
constexpr int BLOCKS = 4096;

static int accepts_16bit(const bf_problem *p) { return dequant_accepts(p) && p->type[Q4K_DEQUANT_Y] != BF_F32; }
static int plan(const bf_problem *p, bf_step *s, bf_step_fn<dequant_args> fn) {
    dequant_args a = dequant_make_args(p);
    bf_step_set(&s[0], fn, launch_blocks(a.n, THREADS, BLOCKS), 1, THREADS, 1, 0, a);
    return 1;
}
static constexpr bf_kernel twin(const char *name, const char *defect, const char *summary, int (*accepts)(const bf_problem *),
                      int (*planned)(const bf_problem *, bf_step *)) {
    return {.op = "q4k_dequant", .name = name, .file = "broken_q4k_dequant", .target = BF_STEP_TARGET, .role = BF_TWIN,
            .twin = defect, .summary = summary, .accepts = accepts, .plan = planned};
}
#define PLAN(symbol) [](const bf_problem *p, bf_step *s) { return plan(p, s, BF_STEP_FN(symbol)); }

static constexpr bf_kernel dsc = twin("q4k_dequant_twin_dsc-fp16", "dsc-fp16", "d*sc rounded to fp16", dequant_accepts,
                                  PLAN(q4k_dequant_twin_dsc_fp16));
BF_REGISTER(dsc);
static constexpr bf_kernel swap = twin("q4k_dequant_twin_swap-nibbles", "swap-nibbles", "low and high nibble exchanged",
                                   dequant_accepts, PLAN(q4k_dequant_twin_swap_nibbles));
BF_REGISTER(swap);
static constexpr bf_kernel trunc = twin("q4k_dequant_twin_trunc-bf16", "trunc-bf16", "truncates to the 16-bit types",
                                    accepts_16bit, PLAN(q4k_dequant_twin_trunc_bf16));
BF_REGISTER(trunc);
static constexpr bf_kernel drop_min = twin("q4k_dequant_twin_drop-min", "drop-min", "forgets the minimum",
                                       dequant_accepts, PLAN(q4k_dequant_twin_drop_min));
BF_REGISTER(drop_min);
#endif
