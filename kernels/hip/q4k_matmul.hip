/* q4k_matmul on RDNA 3.5 (gfx1151): Y = X W^T for any number of columns.
 *
 * Only this one: blackframe check --backend simt-hip q4k_matmul   (on a machine with the card: --backend hip) */
#include "q4k_matmul_plain.h"

#include "../common/q4k_tile.h"

constexpr int WIDEN_THREADS = 128;

BF_KERNEL_FN(q4k_matmul_fp32_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_quantise_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_int8_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_f16_naive, matvec_args, MATVEC_NAIVE_THREADS) { matmul_narrow_body<BF_F16, MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_bf16_naive, matvec_args, MATVEC_NAIVE_THREADS) { matmul_narrow_body<BF_BF16, MATVEC_SOUND>(a); }

/* Widens x of 16 bits to fp32 in scratch, four values a thread; x is 8-byte aligned. */
BF_KERNEL_FN(q4k_matmul_widen, matvec_args, WIDEN_THREADS) {
    int64_t at = 4 * ((int64_t)bf_bid_x() * WIDEN_THREADS + bf_tid_x());
    if (at >= (int64_t)a.n * a.k) return;
    bf_u32x2 v = bf_ld_u32x2((const char *)a.x + 2 * at);
    bf_st_u32x4(a.scratch + 4 * at,
                {bf_f_bits(matvec_to_f32(v.x & 0xffffu, a.x_type)), bf_f_bits(matvec_to_f32(v.x >> 16, a.x_type)),
                 bf_f_bits(matvec_to_f32(v.y & 0xffffu, a.x_type)), bf_f_bits(matvec_to_f32(v.y >> 16, a.x_type))});
}

/* isa: q4k_matmul_fp32_c128 unit=weight-column per_trip=2048 gate=load128 */
BF_KERNEL_FN(q4k_matmul_fp32_c128, matvec_args, TILE_THREADS) {
    BF_SHARED fp32_tile<128> tile;
    matmul_fp32_tile<128, TILE_SOUND>(a, tile);
}
/* isa: q4k_matmul_fp32_c64 unit=weight-column per_trip=1024 gate=load128 */
BF_KERNEL_FN(q4k_matmul_fp32_c64, matvec_args, TILE_THREADS) {
    BF_SHARED fp32_tile<64> tile;
    matmul_fp32_tile<64, TILE_SOUND>(a, tile);
}

#if BF_HOST
static int fp32_naive_plan(const bf_problem *p, bf_step *s) { return matvec_plain_fp32(p, s, BF_STEP_FN(q4k_matmul_fp32_naive)); }
static int f16_naive_plan(const bf_problem *p, bf_step *s) { return matvec_plain_fp32(p, s, BF_STEP_FN(q4k_matmul_f16_naive)); }
static int bf16_naive_plan(const bf_problem *p, bf_step *s) { return matvec_plain_fp32(p, s, BF_STEP_FN(q4k_matmul_bf16_naive)); }
static int int8_naive_plan(const bf_problem *p, bf_step *s) {
    return matvec_plain_int8(p, s, BF_STEP_FN(q4k_matmul_quantise_naive), BF_STEP_FN(q4k_matmul_int8_naive));
}

/* NULL (not placed yet) counts as aligned. */
static int aligned(const bf_problem *p) {
    matvec_args a = matvec_arguments(p);
    return a.aligned && launch_aligned(a.y, 16) && launch_aligned(a.xq, 16);
}
static int64_t tiles(const bf_problem *p, int columns) {
    return launch_groups(p->dim[Q4K_MATMUL_M], TILE_ROWS) * launch_groups(p->dim[Q4K_MATMUL_N], columns);
}
/* Tiles are numbered in 31 bits, threads in 32. */
static int tile_accepts(const bf_problem *p) { return matmul_accepts(p) && tiles(p, 64) < 1 << 24; }

static uint64_t fp32_scratch(const bf_problem *p) {
    return p->type[Q4K_MATMUL_X] == BF_F32 ? 0 : (uint64_t)p->dim[Q4K_MATMUL_N] * (uint64_t)p->dim[Q4K_MATMUL_K] * 4;
}
static int fp32_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_arguments(p);
    int steps = 0;
    if (!aligned(p)) return fp32_naive_plan(p, s);
    if (a.x_type != BF_F32) {
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_widen), launch_groups((int64_t)a.n * a.k, 4 * WIDEN_THREADS), 1,
                    WIDEN_THREADS, 1, 0, a);
        a.x = a.scratch;
    }
    if (a.n <= 64)
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_fp32_c64), tiles(p, 64), 1, TILE_THREADS, 1, 0, a);
    else
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_fp32_c128), tiles(p, 128), 1, TILE_THREADS, 1, 0, a);
    return steps;
}

static constexpr bf_kernel naive(const char *path, const char *name, const char *summary,
                                 int (*plan)(const bf_problem *, bf_step *)) {
    return {.op = "q4k_matmul", .name = name, .file = "q4k_matmul", .target = BF_STEP_TARGET, .role = BF_NAIVE,
            .path = path, .summary = summary, .rank = 0, .accepts = matmul_accepts,
            .chain = path[0] == 'i' ? matvec_int8_naive_chain : matvec_fp32_naive_chain, .plan = plan};
}
static constexpr bf_kernel fp32_naive = naive("fp32", "q4k_matmul_fp32_naive", "a thread an output, one chain", fp32_naive_plan);
BF_REGISTER(fp32_naive);
static constexpr bf_kernel int8_naive =
    naive("int8", "q4k_matmul_int8_naive", "a thread a block of x, then a thread an output", int8_naive_plan);
BF_REGISTER(int8_naive);
static constexpr bf_kernel f16_naive =
    naive("f16", "q4k_matmul_f16_naive", "both factors rounded to fp16, one chain in fp32", f16_naive_plan);
BF_REGISTER(f16_naive);
static constexpr bf_kernel bf16_naive =
    naive("bf16", "q4k_matmul_bf16_naive", "both factors rounded to bf16, one chain in fp32", bf16_naive_plan);
BF_REGISTER(bf16_naive);

static const bf_kernel fp32 = {
    .op = "q4k_matmul", .name = "q4k_matmul_fp32", .file = "q4k_matmul", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "fp32", .summary = "128 x 128 tiles of fp32 weights in LDS; issue-bound", .rank = 20,
    .accepts = tile_accepts, .scratch = fp32_scratch, .chain = matvec_fp32_naive_chain, .plan = fp32_plan,
};
BF_REGISTER(fp32);
#endif
