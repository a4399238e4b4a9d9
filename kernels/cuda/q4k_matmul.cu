/* q4k_matmul for sm_61 (contract: kernels/common/q4k_matmul.h).
 *
 * q4k_matmul_{fp32,int8,f16,bf16}_naive   a thread an output; also what pointers that are not aligned get. The 16-bit
 *                     paths exist for comparison only: this card has no use for them.
 * q4k_matmul_int8     two launches. First x is quantised, eight threads a block of 32; d and s of all columns are left a
 *                     second time, block after block, as floats. Then tiles of 128 rows x 64 columns (32 for up to 32
 *                     columns), K in steps of 64: the pair of sub-blocks that shares 32 bytes of nibbles.
 *                       - nibbles become bytes once a tile: q & 0x0f0f0f0f and, without a shift, q & 0xf0f0f0f0, whose
 *                         16 goes into the scale;
 *                       - 8 dp4a a block of 32 and output, started at 1.5 * 2^23 so that one FADD makes a float of the
 *                         sum (no I2F, which runs at a quarter of the rate);
 *                       - then d * (dsc * sum - dm * s), the contract's order: 4 instructions, so that 8 in 12 are the
 *                         most that dp4a can be;
 *                       - 8 rows x 4 columns a thread: a 128-bit read of shared memory feeds 16 or 32 dp4a;
 *                       - the next step's global loads are in flight while this one is computed.
 * q4k_matmul_fp32     weights become fp32 in shared memory, 128 x 32 of them a step, by (q | 2^23) - 2^23 and one FMA;
 *                     tiles of 128 x 128 (8 x 8 a thread), 128 x 64 for up to 64 columns. x of 16 bits is widened to
 *                     fp32 in scratch first.
 *
 * Expected bound: issue. 30 SMs x 128 lanes x 1.53 GHz are 5.9 T lane-instructions/s: at the dp4a and FFMA shares below
 * 13.4 T int8 and 5.1 T fp32 multiply-adds/s, if shared memory keeps up (int8: 30 reads, mostly 128 bit, for 384 others a
 * block of 32, at most 4 clocks each beside 96 clocks of issue). W is read once for all columns of a row of tiles.
 *
 * Static counts of the inner loop (clang 19.1, ptxas 11.8; make isa), SASS for one weight times one column:
 *     int8  128 x 64   925 instructions, 512 dp4a (55 %)    0.45   145 registers
 *     int8  128 x 32   532 instructions, 256 dp4a (48 %)    0.52   100 registers
 *     fp32  128 x 128  2348 instructions, 2064 FFMA (88 %)  1.15   159 registers
 *     fp32  128 x 64   1282 instructions, 1040 FFMA (81 %)  1.25   94 registers
 * ggml's tile of 64 columns: 666 instructions for 256 dp4a (38 %). Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --backend simt-cuda q4k_matmul */

#include "q4k_tile.h"

constexpr int QUANTISE_THREADS = 128;

BF_KERNEL_FN(q4k_matmul_fp32_naive, matvec_args, 128) { matvec_fp32_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_quantise_naive, matvec_args, 128) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_int8_naive, matvec_args, 128) { matvec_int8_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_f16_naive, matvec_args, 128) { matmul_narrow_body<BF_F16, MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matmul_bf16_naive, matvec_args, 128) { matmul_narrow_body<BF_BF16, MATVEC_SOUND>(a); }

BF_KERNEL_FN(q4k_matmul_quantise, matvec_args, QUANTISE_THREADS) { matmul_quantise_body(a, QUANTISE_THREADS); }
BF_KERNEL_FN(q4k_matmul_widen, matvec_args, QUANTISE_THREADS) { matmul_widen_body(a, QUANTISE_THREADS); }

/* isa: q4k_matmul_int8_c64 unit=weight-column per_trip=2048 gate=dot,load128 share=IDP:55 */
BF_KERNEL_FN(q4k_matmul_int8_c64, matvec_args, TILE_THREADS) {
    BF_SHARED int8_tile<64> tile[2];
    matmul_int8_tile<64, TILE_SOUND>(a, tile);
}
/* isa: q4k_matmul_int8_c32 unit=weight-column per_trip=1024 gate=dot,load128 share=IDP:45 */
BF_KERNEL_FN(q4k_matmul_int8_c32, matvec_args, TILE_THREADS) {
    BF_SHARED int8_tile<32> tile[2];
    matmul_int8_tile<32, TILE_SOUND>(a, tile);
}
/* isa: q4k_matmul_fp32_c128 unit=weight-column per_trip=2048 gate=load128 share=FFMA:80 */
BF_KERNEL_FN(q4k_matmul_fp32_c128, matvec_args, TILE_THREADS) {
    BF_SHARED fp32_tile<128> tile;
    matmul_fp32_tile<128, TILE_SOUND>(a, tile);
}
/* isa: q4k_matmul_fp32_c64 unit=weight-column per_trip=1024 gate=load128 share=FFMA:75 */
BF_KERNEL_FN(q4k_matmul_fp32_c64, matvec_args, TILE_THREADS) {
    BF_SHARED fp32_tile<64> tile;
    matmul_fp32_tile<64, TILE_SOUND>(a, tile);
}

#if BF_HOST
static int fp32_naive_plan(const bf_problem *p, bf_step *s) { return matmul_plan_naive(p, s, BF_STEP_FN(q4k_matmul_fp32_naive)); }
static int f16_naive_plan(const bf_problem *p, bf_step *s) { return matmul_plan_naive(p, s, BF_STEP_FN(q4k_matmul_f16_naive)); }
static int bf16_naive_plan(const bf_problem *p, bf_step *s) { return matmul_plan_naive(p, s, BF_STEP_FN(q4k_matmul_bf16_naive)); }
static int int8_naive_plan(const bf_problem *p, bf_step *s) {
    return matmul_plan_naive_int8(p, s, BF_STEP_FN(q4k_matmul_quantise_naive), BF_STEP_FN(q4k_matmul_int8_naive));
}

/* NULL (not placed yet) counts as aligned. */
static int aligned(const bf_problem *p) {
    return launch_aligned16(p->ptr[Q4K_MATMUL_W]) && launch_aligned16(p->ptr[Q4K_MATMUL_X]) &&
           launch_aligned16(p->ptr[Q4K_MATMUL_Y]) && launch_aligned16(p->ptr[Q4K_MATMUL_XQ]);
}
/* Tiles are numbered in 31 bits. */
static int tile_accepts(const bf_problem *p) { return matmul_accepts(p) && matmul_tiles(p, 32) <= INT32_MAX; }

static int int8_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_make_args(p);
    if (!aligned(p)) return int8_naive_plan(p, s);
    bf_step_set(&s[0], BF_STEP_FN(q4k_matmul_quantise), launch_blocks((int64_t)a.n * a.k / 4, QUANTISE_THREADS), 1,
                QUANTISE_THREADS, 1, 0, a);
    if (a.n <= 32)
        bf_step_set(&s[1], BF_STEP_FN(q4k_matmul_int8_c32), matmul_tiles(p, 32), 1, TILE_THREADS, 1, 0, a);
    else
        bf_step_set(&s[1], BF_STEP_FN(q4k_matmul_int8_c64), matmul_tiles(p, 64), 1, TILE_THREADS, 1, 0, a);
    return 2;
}

static uint64_t fp32_scratch(const bf_problem *p) {
    return p->type[Q4K_MATMUL_X] == BF_F32 ? 0 : (uint64_t)p->dim[Q4K_MATMUL_N] * (uint64_t)p->dim[Q4K_MATMUL_K] * 4;
}
static int fp32_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_make_args(p);
    int steps = 0;
    if (!aligned(p)) return fp32_naive_plan(p, s);
    if (a.x_type != BF_F32) {
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_widen), launch_blocks((int64_t)a.n * a.k / 4, QUANTISE_THREADS), 1,
                    QUANTISE_THREADS, 1, 0, a);
        a.x = a.scratch;
    }
    if (a.n <= 64)
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_fp32_c64), matmul_tiles(p, 64), 1, TILE_THREADS, 1, 0, a);
    else
        bf_step_set(&s[steps++], BF_STEP_FN(q4k_matmul_fp32_c128), matmul_tiles(p, 128), 1, TILE_THREADS, 1, 0, a);
    return steps;
}

static constexpr bf_kernel naive(const char *path, const char *name, const char *summary,
                                 int (*plan)(const bf_problem *, bf_step *)) {
    return {.op = "q4k_matmul", .name = name, .file = "q4k_matmul", .target = BF_STEP_TARGET, .role = BF_NAIVE,
            .path = path, .summary = summary, .rank = 0, .accepts = matmul_accepts,
            .chain = path[0] == 'i' ? matvec_int8_naive_chain : matvec_fp32_naive_chain, .plan = plan};
}
static constexpr bf_kernel fp32_naive =
    naive("fp32", "q4k_matmul_fp32_naive", "a thread an output, one chain of FMAs", fp32_naive_plan);
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
    .path = "fp32", .summary = "128 x 128 tiles of fp32 weights in shared memory; issue-bound", .rank = 1,
    .accepts = tile_accepts, .scratch = fp32_scratch, .chain = matvec_fp32_naive_chain, .plan = fp32_plan,
};
BF_REGISTER(fp32);
static const bf_kernel int8 = {
    .op = "q4k_matmul", .name = "q4k_matmul_int8", .file = "q4k_matmul", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "int8", .summary = "128 x 64 tiles of bytes in shared memory, dp4a; issue-bound", .rank = 1,
    .accepts = tile_accepts, .scratch = matmul_int8_scratch, .chain = matvec_int8_naive_chain, .plan = int8_plan,
};
BF_REGISTER(int8);
#endif
