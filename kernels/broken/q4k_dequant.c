/* Twins of q4k_dequant: the plain kernel with one defect each. A witness case must catch every one of them. */
#include "../cpu/q4k_dequant_naive.h"

static int accepts_16bit(const bf_problem *p) { return dequant_accepts(p) && p->type[Q4K_DEQUANT_Y] != BF_F32; }

#define TWIN(id, text, constant, takes, what)                                                                 \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {                               \
        (void)thread;                                                                                         \
        dequant_chunk(arg, begin, end, constant);                                                             \
    }                                                                                                         \
    static void id##_run(const bf_problem *p, bf_pool *pool) { dequant_run(p, pool, id##_chunk, 256); }       \
    static const bf_kernel id = {.op = "q4k_dequant", .name = "q4k_dequant_twin_" text,                       \
                                 .file = "broken_q4k_dequant", .target = BF_CPU, .role = BF_TWIN, .twin = text, \
                                 .summary = what, .accepts = takes, .run = id##_run};                         \
    BF_REGISTER(id)

TWIN(dsc, "dsc-fp16", DEQUANT_DSC_FP16, dequant_accepts, "d*sc rounded to fp16");
TWIN(swap, "swap-nibbles", DEQUANT_SWAP_NIBBLES, dequant_accepts, "low and high nibble exchanged");
TWIN(trunc, "trunc-bf16", DEQUANT_TRUNC_BF16, accepts_16bit, "truncates to the 16-bit types");
TWIN(drop_min, "drop-min", DEQUANT_DROP_MIN, dequant_accepts, "forgets the minimum");
