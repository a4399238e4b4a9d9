/* q4k_matmul on RDNA 3.5 (gfx1151): Y = X W^T for any number of columns.
 *
 * q4k_matmul_{fp32,int8,f16,bf16}_naive   a thread an output; also what pointers that are not aligned get.
 * q4k_matmul_int8     x is quantised, eight lanes a block of 32; then tiles of 128 rows x 32, 64 or 128 columns (the least that
 *                     holds n), K in steps of 64, double-buffered in LDS. Two v_wmma_i32_16x16x16_iu8 make the 256 exact
 *                     sums of a block of 32; then d * (dsc * sum - dm * s), the contract's order.
 * q4k_matmul_{f16,bf16}   weights are made whole in fp32, rounded to the type and put into LDS, x is rounded in a launch
 *                     of its own where it is of another type; v_wmma_f32_16x16x16 with fp32 accumulators.
 * q4k_matmul_fp32     the tile of ../common/q4k_tile.h, 128 x 128 or 128 x 64. No matrix instruction takes fp32.
 *
 * Why WMMA and not v_dot4 for int8: VALU instructions for one weight times one column, clang 19.1 (make isa):
 *     tile 128 x             32      64      128
 *     int8, WMMA             0.15    0.13    0.13      no spill, 136 / 160 / 200 VGPRs
 *     int8, v_dot4           0.43    0.40    -         sm_61's tile compiled for gfx1151: 249 VGPRs; 256 and 80 spilled
 *     int8 on sm_61, dp4a    0.52    0.45    -         SASS, all that issues
 *     f16, WMMA              0.20    0.10    0.05      the decode (112 of 271 are integer) is shared by more columns
 *     bf16, WMMA             0.24    0.12    0.07      + 49: bf16 has no conversion instruction
 *     fp32                   -       0.57    0.54      v_dual_fmac pairs count as one
 * In clocks the lead of int8 WMMA is small: 512 operations a clock and CU (59.4 TOPS, 40 CUs, 2.9 GHz) are 32 clocks for an
 * instruction, so 128 x 64 takes 16 * 32 + 257 = 769 clocks a wave and step beside 815 instructions and spills of v_dot4.
 * What a sum costs afterwards (convert, multiply, two FMAs: 0.125) is the same for both.
 *
 * Expected bound: the matrix units. Counts are static: compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --backend simt-hip q4k_matmul   (on a machine with the card: --backend hip) */
#include "q4k_wmma.h"

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

BF_KERNEL_FN(q4k_matmul_quantise, matvec_args, WIDEN_THREADS) { wmma_quantise_body(a, WIDEN_THREADS); }
BF_KERNEL_FN(q4k_matmul_to_f16, matvec_args, WIDEN_THREADS) { wmma_narrow_body<BF_F16>(a, WIDEN_THREADS); }
BF_KERNEL_FN(q4k_matmul_to_bf16, matvec_args, WIDEN_THREADS) { wmma_narrow_body<BF_BF16>(a, WIDEN_THREADS); }

#define INT8(COLS)                                                      \
    BF_KERNEL_FN(q4k_matmul_int8_c##COLS, matvec_args, TILE_THREADS) {  \
        BF_SHARED wmma_int8_tile<COLS> tile[2];                         \
        matmul_int8_wmma<COLS, TILE_SOUND>(a, tile);                    \
    }
#define HALF(NAME, TYPE, COLS)                                            \
    BF_KERNEL_FN(q4k_matmul_##NAME##_c##COLS, matvec_args, TILE_THREADS) { \
        BF_SHARED wmma_half_tile<COLS> tile;                              \
        matmul_half_wmma<COLS, TYPE, TILE_SOUND>(a, tile);                \
    }
/* isa: q4k_matmul_int8_c32 unit=weight-column per_trip=1024 gate=wmma,load128 */
/* isa: q4k_matmul_int8_c64 unit=weight-column per_trip=2048 gate=wmma,load128 */
/* isa: q4k_matmul_int8_c128 unit=weight-column per_trip=4096 gate=wmma,load128 */
INT8(32)
INT8(64)
INT8(128)
/* isa: q4k_matmul_*16_c32 unit=weight-column per_trip=1024 gate=wmma,load128 */
/* isa: q4k_matmul_*16_c64 unit=weight-column per_trip=2048 gate=wmma,load128 */
/* isa: q4k_matmul_*16_c128 unit=weight-column per_trip=4096 gate=wmma,load128 */
HALF(f16, BF_F16, 32)
HALF(f16, BF_F16, 64)
HALF(f16, BF_F16, 128)
HALF(bf16, BF_BF16, 32)
HALF(bf16, BF_BF16, 64)
HALF(bf16, BF_BF16, 128)

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
/* A launch has at most 2^32 - 1 threads. */
static int tile_accepts(const bf_problem *p) { return matmul_accepts(p) && wmma_tiles(p, 32) < 1 << 24; }
/* 32, 64 or 128 columns: index 0, 1, 2. */
static int width_of(const bf_problem *p) { return p->dim[Q4K_MATMUL_N] <= 32 ? 0 : p->dim[Q4K_MATMUL_N] <= 64 ? 1 : 2; }
/* One launch over x, then a tile kernel on what it left. */
static int plan_two(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> first, bf_step_fn<matvec_args> product) {
    matvec_args a = matvec_arguments(p);
    bf_step_set(&s[0], first, launch_groups((int64_t)a.n * a.k, 4 * WIDEN_THREADS), 1, WIDEN_THREADS, 1, 0, a);
    bf_step_set(&s[1], product, wmma_tiles(p, 32 << width_of(p)), 1, TILE_THREADS, 1, 0, a);
    return 2;
}
static int int8_plan(const bf_problem *p, bf_step *s) {
    static const bf_step_fn<matvec_args> product[] = {
        BF_STEP_FN(q4k_matmul_int8_c32), BF_STEP_FN(q4k_matmul_int8_c64), BF_STEP_FN(q4k_matmul_int8_c128)};
    if (!aligned(p)) return int8_naive_plan(p, s);
    return plan_two(p, s, BF_STEP_FN(q4k_matmul_quantise), product[width_of(p)]);
}

/* x rounded to the path's type, where it is of another. */
static uint64_t f16_scratch(const bf_problem *p) {
    return p->type[Q4K_MATMUL_X] == BF_F16 ? 0 : (uint64_t)p->dim[Q4K_MATMUL_N] * (uint64_t)p->dim[Q4K_MATMUL_K] * 2;
}
static uint64_t bf16_scratch(const bf_problem *p) {
    return p->type[Q4K_MATMUL_X] == BF_BF16 ? 0 : (uint64_t)p->dim[Q4K_MATMUL_N] * (uint64_t)p->dim[Q4K_MATMUL_K] * 2;
}
static int plan_half(const bf_problem *p, bf_step *s, bf_dtype own, bf_step_fn<matvec_args> round,
                     bf_step_fn<matvec_args> product) {
    matvec_args a = matvec_arguments(p);
    int narrow = a.x_type != own;
    plan_two(p, s, round, product);
    if (narrow) a.x = a.scratch;
    bf_step_set(&s[narrow], product, wmma_tiles(p, 32 << width_of(p)), 1, TILE_THREADS, 1, 0, a);
    return 1 + narrow;
}
static int f16_plan(const bf_problem *p, bf_step *s) {
    static const bf_step_fn<matvec_args> product[] = {
        BF_STEP_FN(q4k_matmul_f16_c32), BF_STEP_FN(q4k_matmul_f16_c64), BF_STEP_FN(q4k_matmul_f16_c128)};
    if (!aligned(p)) return f16_naive_plan(p, s);
    return plan_half(p, s, BF_F16, BF_STEP_FN(q4k_matmul_to_f16), product[width_of(p)]);
}
static int bf16_plan(const bf_problem *p, bf_step *s) {
    static const bf_step_fn<matvec_args> product[] = {
        BF_STEP_FN(q4k_matmul_bf16_c32), BF_STEP_FN(q4k_matmul_bf16_c64), BF_STEP_FN(q4k_matmul_bf16_c128)};
    if (!aligned(p)) return bf16_naive_plan(p, s);
    return plan_half(p, s, BF_BF16, BF_STEP_FN(q4k_matmul_to_bf16), product[width_of(p)]);
}

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
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_fp32_c64), wmma_tiles(p, 64), 1, TILE_THREADS, 1, 0, a);
    else
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_fp32_c128), wmma_tiles(p, 128), 1, TILE_THREADS, 1, 0, a);
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
static const bf_kernel int8 = {
    .op = "q4k_matmul", .name = "q4k_matmul_int8", .file = "q4k_matmul", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "int8", .summary = "v_wmma_i32_iu8, two for a block of 32, on 128 x 32 to 128 tiles in LDS; compute-bound",
    .rank = 20, .accepts = tile_accepts, .scratch = wmma_int8_scratch, .chain = matvec_int8_naive_chain, .plan = int8_plan,
};
BF_REGISTER(int8);
static const bf_kernel f16 = {
    .op = "q4k_matmul", .name = "q4k_matmul_f16", .file = "q4k_matmul", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "f16", .summary = "weights rounded to fp16 in LDS, v_wmma with fp32 sums; compute-bound", .rank = 20,
    .accepts = tile_accepts, .scratch = f16_scratch, .chain = matvec_fp32_naive_chain, .plan = f16_plan,
};
BF_REGISTER(f16);
static const bf_kernel bf16 = {
    .op = "q4k_matmul", .name = "q4k_matmul_bf16", .file = "q4k_matmul", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "bf16", .summary = "weights rounded to bf16 in LDS, v_wmma with fp32 sums; compute-bound", .rank = 20,
    .accepts = tile_accepts, .scratch = bf16_scratch, .chain = matvec_fp32_naive_chain, .plan = bf16_plan,
};
BF_REGISTER(bf16);
#endif
