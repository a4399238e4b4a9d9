/* Twins of q4k_matmul: the plain kernels, and the tiles of the tuned ones, with one defect each. A witness case must catch
 * every one. The matrix tiles have no twin without barriers: simt refuses their first matrix step, because the halves of
 * the wave then bring different operands. */
#include "../hip/q4k_wmma.h"

BF_KERNEL_FN(matmul_twin_acc_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_ACC_FP16>(a); }
BF_KERNEL_FN(matmul_twin_acc_bf16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_ACC_BF16>(a); }
BF_KERNEL_FN(matmul_twin_x_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_X_FP16>(a); }
BF_KERNEL_FN(matmul_twin_x_bf16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_X_BF16>(a); }
BF_KERNEL_FN(matmul_twin_x_tf32, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_X_TF32>(a); }
BF_KERNEL_FN(matmul_twin_dsc_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_DSC_FP16>(a); }
BF_KERNEL_FN(matmul_twin_partial_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_PARTIAL_FP16>(a); }
BF_KERNEL_FN(matmul_twin_drop_block, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_DROP_BLOCK>(a); }
BF_KERNEL_FN(matmul_twin_scale_102, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_SCALE_102>(a); }
BF_KERNEL_FN(matmul_twin_tile_edge, matvec_args, TILE_THREADS) {
    BF_SHARED fp32_tile<64> tile;
    matmul_fp32_tile<64, TILE_EDGE>(a, tile);
}
BF_KERNEL_FN(matmul_twin_barrier, matvec_args, TILE_THREADS) {
    BF_SHARED fp32_tile<64> tile;
    matmul_fp32_tile<64, TILE_BARRIER>(a, tile);
}
BF_KERNEL_FN(matmul_twin_widen, matvec_args, MATVEC_NAIVE_THREADS) {
    int64_t at = (int64_t)bf_bid_x() * MATVEC_NAIVE_THREADS + bf_tid_x();
    if (at < (int64_t)a.n * a.k) ((float *)a.scratch)[at] = matvec_read_x(a.x, a.x_type, at);
}

BF_KERNEL_FN(matmul_quantise_sound, matvec_args, MATVEC_NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(matmul_quantise_trunc, matvec_args, MATVEC_NAIVE_THREADS) { matvec_quantise_body<MATVEC_TRUNC_QUANT>(a); }
BF_KERNEL_FN(matmul_int8_twin_sound, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(matmul_int8_twin_acc_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_ACC_FP16>(a); }
BF_KERNEL_FN(matmul_int8_twin_dsc_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_DSC_FP16>(a); }
BF_KERNEL_FN(matmul_int8_twin_partial_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_PARTIAL_FP16>(a); }
BF_KERNEL_FN(matmul_int8_twin_sum_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_SUM_FP16>(a); }
BF_KERNEL_FN(matmul_int8_twin_drop_block, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_DROP_BLOCK>(a); }
BF_KERNEL_FN(matmul_int8_twin_scale_102, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_SCALE_102>(a); }
BF_KERNEL_FN(matmul_quantise_tile, matvec_args, MATVEC_NAIVE_THREADS) { wmma_quantise_body(a, MATVEC_NAIVE_THREADS); }
BF_KERNEL_FN(matmul_int8_twin_tile_edge, matvec_args, TILE_THREADS) {
    BF_SHARED wmma_int8_tile<32> tile[2];
    matmul_int8_wmma<32, TILE_EDGE>(a, tile);
}
BF_KERNEL_FN(matmul_to_f16, matvec_args, MATVEC_NAIVE_THREADS) { wmma_narrow_body<BF_F16>(a, MATVEC_NAIVE_THREADS); }
BF_KERNEL_FN(matmul_f16_twin_tile_edge, matvec_args, TILE_THREADS) {
    BF_SHARED wmma_half_tile<32> tile;
    matmul_half_wmma<32, BF_F16, TILE_EDGE>(a, tile);
}

BF_KERNEL_FN(matmul_f16_twin_acc_fp16, matvec_args, MATVEC_NAIVE_THREADS) { matmul_narrow_body<BF_F16, MATVEC_ACC_FP16>(a); }
BF_KERNEL_FN(matmul_bf16_twin_acc_bf16, matvec_args, MATVEC_NAIVE_THREADS) { matmul_narrow_body<BF_BF16, MATVEC_ACC_BF16>(a); }
BF_KERNEL_FN(matmul_bf16_twin_w_trunc, matvec_args, MATVEC_NAIVE_THREADS) { matmul_narrow_body<BF_BF16, MATMUL_W_TRUNC>(a); }

#if BF_HOST
static uint64_t scratch(const bf_problem *p) {
    uint64_t fp32 = (uint64_t)p->dim[Q4K_MATMUL_N] * (uint64_t)p->dim[Q4K_MATMUL_K] * 4, int8 = wmma_int8_scratch(p);
    return fp32 > int8 ? fp32 : int8;
}
static int plan_tile(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> first, int each, bf_step_fn<matvec_args> product,
                     int columns, bool in_scratch) {
    matvec_args a = matvec_arguments(p);
    bf_step_set(&s[0], first, launch_groups((int64_t)a.n * a.k, each * MATVEC_NAIVE_THREADS), 1, MATVEC_NAIVE_THREADS, 1, 0, a);
    if (in_scratch) a.x = a.scratch;
    bf_step_set(&s[1], product, wmma_tiles(p, columns), 1, TILE_THREADS, 1, 0, a);
    return 2;
}

typedef int plan_fn(const bf_problem *, bf_step *);
static constexpr bf_kernel twin(const char *path, const char *name, const char *defect, const char *summary, plan_fn *plan) {
    return {.op = "q4k_matmul", .name = name, .file = "broken_q4k_matmul", .target = BF_STEP_TARGET, .role = BF_TWIN,
            .path = path, .twin = defect, .summary = summary, .accepts = matmul_accepts, .scratch = scratch,
            .chain = path[0] == 'i' ? matvec_int8_naive_chain : matvec_fp32_naive_chain, .plan = plan};
}

#define TWIN(id, path, label, defect, summary, call)                                                                        \
    static constexpr bf_kernel id =                                                                                         \
        twin(path, label defect, defect, summary, [](const bf_problem *p, bf_step *s) { return call; });                    \
    BF_REGISTER(id)
#define FP32_TWIN(id, defect, summary) \
    TWIN(fp32_##id, "fp32", "q4k_matmul_twin_", defect, summary, matvec_plain_fp32(p, s, BF_STEP_FN(matmul_twin_##id)))
#define INT8_TWIN(id, defect, quantise, product, summary)                      \
    TWIN(int8_##id, "int8", "q4k_matmul_int8_twin_", defect, summary,          \
         matvec_plain_int8(p, s, BF_STEP_FN(quantise), BF_STEP_FN(product)))

FP32_TWIN(acc_fp16, "acc-fp16", "every partial sum rounded to fp16");
FP32_TWIN(acc_bf16, "acc-bf16", "every partial sum rounded to bf16");
FP32_TWIN(x_fp16, "x-fp16", "x rounded to fp16");
FP32_TWIN(x_bf16, "x-bf16", "x rounded to bf16");
FP32_TWIN(x_tf32, "x-tf32", "x rounded to tf32's 11 significand bits");
FP32_TWIN(dsc_fp16, "dsc-fp16", "d*sc rounded to fp16");
FP32_TWIN(partial_fp16, "partial-fp16", "sums of 32-blocks stored in fp16");
FP32_TWIN(drop_block, "drop-block", "the middle 32-block of every row skipped");
FP32_TWIN(scale_102, "scale-1.02", "results times 1.02");
TWIN(fp32_tile_edge, "fp32", "q4k_matmul_twin_", "tile-edge", "the last column of a tile not written unless n fills it",
     plan_tile(p, s, BF_STEP_FN(matmul_twin_widen), 1, BF_STEP_FN(matmul_twin_tile_edge), 64, true));
TWIN(fp32_barrier, "fp32", "q4k_matmul_twin_", "barrier-dropped", "no barrier between filling the tile and reading it",
     plan_tile(p, s, BF_STEP_FN(matmul_twin_widen), 1, BF_STEP_FN(matmul_twin_barrier), 64, true));

INT8_TWIN(trunc, "trunc-quant", matmul_quantise_trunc, matmul_int8_twin_sound, "q truncated instead of rounded");
INT8_TWIN(acc_fp16, "acc-fp16", matmul_quantise_sound, matmul_int8_twin_acc_fp16, "chain over the blocks in fp16");
INT8_TWIN(dsc_fp16, "dsc-fp16", matmul_quantise_sound, matmul_int8_twin_dsc_fp16, "d*sc rounded to fp16");
INT8_TWIN(partial_fp16, "partial-fp16", matmul_quantise_sound, matmul_int8_twin_partial_fp16,
          "shares of 32-blocks stored in fp16");
INT8_TWIN(sum_fp16, "sum-fp16", matmul_quantise_sound, matmul_int8_twin_sum_fp16,
          "block sum d*s held in fp16: overflows when |mean of 32 x| passes 2,047");
INT8_TWIN(drop_block, "drop-block", matmul_quantise_sound, matmul_int8_twin_drop_block,
          "the middle 32-block of every row skipped");
INT8_TWIN(scale_102, "scale-1.02", matmul_quantise_sound, matmul_int8_twin_scale_102, "results times 1.02");
TWIN(int8_tile_edge, "int8", "q4k_matmul_int8_twin_", "tile-edge", "the last column of a tile not written unless n fills it",
     plan_tile(p, s, BF_STEP_FN(matmul_quantise_tile), 4, BF_STEP_FN(matmul_int8_twin_tile_edge), 32, false));
TWIN(f16_tile_edge, "f16", "q4k_matmul_f16_twin_", "tile-edge", "the last column of a tile not written unless n fills it",
     plan_tile(p, s, BF_STEP_FN(matmul_to_f16), 4, BF_STEP_FN(matmul_f16_twin_tile_edge), 32, true));

TWIN(f16_acc_fp16, "f16", "q4k_matmul_f16_twin_", "acc-fp16", "every partial sum rounded to fp16",
     matvec_plain_fp32(p, s, BF_STEP_FN(matmul_f16_twin_acc_fp16)));
TWIN(bf16_acc_bf16, "bf16", "q4k_matmul_bf16_twin_", "acc-bf16", "every partial sum rounded to bf16",
     matvec_plain_fp32(p, s, BF_STEP_FN(matmul_bf16_twin_acc_bf16)));
TWIN(bf16_w_trunc, "bf16", "q4k_matmul_bf16_twin_", "w-bf16-trunc", "weights truncated to bf16 instead of rounded",
     matvec_plain_fp32(p, s, BF_STEP_FN(matmul_bf16_twin_w_trunc)));
#endif
