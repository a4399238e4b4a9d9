/* linear for RDNA 3.5 (gfx1151) (contract: kernels/common/linear.h): bf16, fp16 or fp32 weights against x of any type.
 *
 * linear_naive        a thread an output.
 * linear_vec          to eight columns (linear_vec.h): a wave two rows (from three columns on four), a lane eight weights at a time by one
 *                     128-bit load. bf16 becomes fp32 by a shift or a mask; fp16 needs nothing: v_fma_mix_f32 reads it. x
 *                     is widened once by a launch of its own where it is narrower than fp32.
 * linear_tile         from nine columns on (linear_tile.h): 128 rows x 32, 64 or 128 columns a workgroup, 8 x 8 a thread, fp32; the multiply-adds
 *                     are issued in pairs (v_dual_fmac_f32).
 * linear_wmma         W and x of the same 16-bit type (linear_wmma.h): v_wmma_f32_16x16x16 with fp32 sums, so that nothing is rounded on
 *                     the way in. What the hardware rounds inside a step is not documented; harness/ops/linear.c says what is assumed.
 * Rows that are not aligned (k not a multiple of 8) take the _any kernels, which load value by value.
 *
 * Expected bounds. vec: memory; 256 GB/s are 128 G 16-bit weights/s, and 40 CUs issue 7.4 T lane-instructions/s: 58 a weight.
 * tile: 40 CUs x 128 FMA x 2.9 GHz, 29.7 TFLOP/s where all pairs dual-issue. wmma: twice that (RDNA 3: 512 FLOP a clock and CU),
 * 59 TFLOP/s; bounded by LDS reads before that with 32 columns (6 reads of 128 bit for 4 steps there, 12 for 8 with 128).
 *
 * Static counts (clang 19.1, gfx1151; `make isa`), VALU a weight and VGPRs:
 *     columns      1          2          4          8
 *     vec bf16   2.50  29   3.13  43   4.41  95   7.72  95
 *     vec f16    1.88  27   3.00  37   4.94  77   9.19 103
 * Dual-issued multiply-adds of the loop's VALU instructions and VGPRs; matrix steps; 32, 64 and 128 columns:
 *     tile bf16 x bf16   86 % 121   91 % 112   93 % 106
 *     tile bf16 x f32    87 % 133   92 % 116   94 % 110
 *     wmma, 16-bit       4 of 22 VALU, 90    8 of 26, 122    16 of 46, 193
 * No spills, here and on gfx1100; global loads 128 bit. Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'linear_*' --backend simt-hip linear */

/* isa: linear_vec_bf16_n* unit=weight per_trip=32 gate=load128 max=10 */
/* isa: linear_vec_bf16_n1 unit=weight per_trip=16 gate=load128 max=3 */
/* isa: linear_vec_bf16_n2 unit=weight per_trip=16 gate=load128 max=4 */
/* isa: linear_vec_f16_n* unit=weight per_trip=32 gate=load128 max=10 */
/* isa: linear_vec_f16_n1 unit=weight per_trip=16 gate=load128 max=3 */
/* isa: linear_vec_f16_n2 unit=weight per_trip=16 gate=load128 max=4 */
/* isa: linear_vec_f32_n* unit=weight per_trip=32 gate=load128 max=10 */
/* isa: linear_vec_f32_n1 unit=weight per_trip=16 gate=load128 max=3 */
/* isa: linear_vec_f32_n2 unit=weight per_trip=16 gate=load128 max=4 */
/* isa: linear_tile_*_32 unit=product per_trip=1024 gate=load128 share=v_dual_fmac:70 shared=21504 */
/* isa: linear_tile_*_64 unit=product per_trip=1024 gate=load128 share=v_dual_fmac:70 shared=25600 */
/* isa: linear_tile_*_128 unit=product per_trip=1024 gate=load128 share=v_dual_fmac:70 shared=33792 */
/* isa: linear_wmma_*_32 unit=product per_trip=512 gate=wmma,load128 shared=25600 */
/* isa: linear_wmma_*_64 unit=product per_trip=1024 gate=wmma,load128 shared=30720 */
/* isa: linear_wmma_*_128 unit=product per_trip=2048 gate=wmma,load128 shared=40960 */
#include "linear_wmma.h"

BF_KERNEL_FN(linear_naive, linear_args, LINEAR_NAIVE_THREADS) { linear_naive_body<LINEAR_SOUND>(a); }
BF_KERNEL_FN(linear_widen_x, linear_args, LINEAR_WIDEN_THREADS) { linear_widen_body(a); }
BF_KERNEL_FN(linear_vec_any, linear_args, LINEAR_VEC_THREADS) { linear_vec_any_body(a); }

#define VEC_ROWS(n) ((n) <= 2 ? 2 : 4)
#define EACH_N(K) K(1) K(2) K(3) K(4) K(5) K(6) K(7) K(8)
#define VEC_BF16(N) BF_KERNEL_FN(linear_vec_bf16_n##N, linear_args, LINEAR_VEC_THREADS) { linear_vec_body<BF_BF16, N, VEC_ROWS(N)>(a); }
#define VEC_F16(N) BF_KERNEL_FN(linear_vec_f16_n##N, linear_args, LINEAR_VEC_THREADS) { linear_vec_body<BF_F16, N, VEC_ROWS(N)>(a); }
#define VEC_F32(N) BF_KERNEL_FN(linear_vec_f32_n##N, linear_args, LINEAR_VEC_THREADS) { linear_vec_body<BF_F32, N, VEC_ROWS(N)>(a); }
EACH_N(VEC_BF16)
EACH_N(VEC_F16)
EACH_N(VEC_F32)

/* A kernel for each pair of types: chosen by a branch inside the loop, as on sm_61, they spill here. */
#define TILE(W, X, BN) \
    BF_KERNEL_FN(linear_tile_##W##_##X##_##BN, linear_args, 2 * BN) { linear_tile_body<BF_##W, BF_##X, BN, true>(a); }
#define EACH_BN(K, ...) K(__VA_ARGS__, 32) K(__VA_ARGS__, 64) K(__VA_ARGS__, 128)
#define EACH_X(K, W) EACH_BN(K, W, BF16) EACH_BN(K, W, F16) EACH_BN(K, W, F32)
/* fp32 weights with 16-bit x: narrower blocks than 128 columns spill. */
#define EACH_X_OF_F32(K) K(F32, BF16, 128) K(F32, F16, 128) EACH_BN(K, F32, F32)
EACH_X(TILE, BF16)
EACH_X(TILE, F16)
EACH_X_OF_F32(TILE)
BF_KERNEL_FN(linear_tile_any, linear_args, 128) { linear_tile_body<BF_F32, BF_F32, 64, false>(a); }

#define WMMA(NAME, TYPE, BN) \
    BF_KERNEL_FN(linear_wmma_##NAME##_##BN, linear_args, WMMA_THREADS) { linear_wmma_body<TYPE, BN, true>(a); }
EACH_BN(WMMA, f16, BF_F16)
EACH_BN(WMMA, bf16, BF_BF16)
BF_KERNEL_FN(linear_wmma_f16_any, linear_args, WMMA_THREADS) { linear_wmma_body<BF_F16, 64, false>(a); }
BF_KERNEL_FN(linear_wmma_bf16_any, linear_args, WMMA_THREADS) { linear_wmma_body<BF_BF16, 64, false>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return linear_naive_plan(p, s, BF_STEP_FN(linear_naive)); }

static int type_index(bf_dtype t) { return t == BF_BF16 ? 0 : t == BF_F16 ? 1 : 2; }
static int vec_plan(const bf_problem *p, bf_step *s) {
#define STEP_BF16(N) BF_STEP_FN(linear_vec_bf16_n##N),
#define STEP_F16(N) BF_STEP_FN(linear_vec_f16_n##N),
#define STEP_F32(N) BF_STEP_FN(linear_vec_f32_n##N),
    static const linear_fn product[3][LINEAR_MAX_N] = {{EACH_N(STEP_BF16)}, {EACH_N(STEP_F16)}, {EACH_N(STEP_F32)}};
    int n = (int)p->dim[LINEAR_N], type = type_index(p->type[LINEAR_W]);
    return linear_vec_plan(p, s, BF_STEP_FN(linear_widen_x), product[type][n - 1], VEC_ROWS(n), BF_STEP_FN(linear_vec_any));
}

static int tile_plan(const bf_problem *p, bf_step *s) {
#define STEP_TILE(W, X, BN) BF_STEP_FN(linear_tile_##W##_##X##_##BN),
    static const linear_fn product[2][9] = {{EACH_X(STEP_TILE, BF16)}, {EACH_X(STEP_TILE, F16)}};
    static const linear_fn of_f32[5] = {EACH_X_OF_F32(STEP_TILE)};
    static const int64_t bytes[3] = {linear_tile<32>::BYTES, linear_tile<64>::BYTES, linear_tile<128>::BYTES};
    if (!linear_wide(p)) return linear_tile_plan(p, s, BF_STEP_FN(linear_tile_any), 64, linear_tile<64>::BYTES);
    int columns = linear_tile_columns(p), which = columns / 64;
    int w = type_index(p->type[LINEAR_W]), x = type_index(p->type[LINEAR_X]);
    if (w == 2 && x < 2) columns = 128, which = 2;
    linear_fn fn = w < 2 ? product[w][3 * x + which] : of_f32[x < 2 ? x : 2 + which];
    return linear_tile_plan(p, s, fn, columns, bytes[which]);
}

static int wmma_plan(const bf_problem *p, bf_step *s) {
#define STEP_WMMA(NAME, BN) BF_STEP_FN(linear_wmma_##NAME##_##BN),
    static const linear_fn product[2][3] = {{EACH_BN(STEP_WMMA, bf16)}, {EACH_BN(STEP_WMMA, f16)}};
    static const linear_fn any[2] = {BF_STEP_FN(linear_wmma_bf16_any), BF_STEP_FN(linear_wmma_f16_any)};
    static const int64_t bytes[3] = {linear_wmma<32>::BYTES, linear_wmma<64>::BYTES, linear_wmma<128>::BYTES};
    int wide = linear_wide(p), columns = wide ? linear_tile_columns(p) : 64, which = columns / 64, f16 = p->type[LINEAR_W] == BF_F16;
    linear_args a = linear_arguments(p);
    bf_step_set(&s[0], wide ? product[f16][which] : any[f16], linear_blocks(a.m, WMMA_M), linear_blocks(a.n, columns), WMMA_THREADS,
                1, bytes[which], a);
    return 1;
}

static const bf_kernel naive = {
    .op = "linear", .name = "linear_naive", .file = "linear", .target = BF_STEP_TARGET, .role = BF_NAIVE, .path = "fp32",
    .summary = "a thread an output, one chain of FMAs", .rank = 0, .accepts = linear_accepts, .chain = linear_naive_chain,
    .plan = naive_plan,
};
BF_REGISTER(naive);
static const bf_kernel vec = {
    .op = "linear", .name = "linear_vec", .file = "linear", .target = BF_STEP_TARGET, .role = BF_TUNED, .path = "fp32",
    .summary = "to 8 columns: a warp 2 or 4 rows, weights by 128-bit loads, widened in registers; memory-bound", .rank = 2,
    .accepts = linear_vec_accepts, .scratch = linear_vec_scratch, .chain = linear_vec_chain, .plan = vec_plan,
};
BF_REGISTER(vec);
static const bf_kernel tile = {
    .op = "linear", .name = "linear_tile", .file = "linear", .target = BF_STEP_TARGET, .role = BF_TUNED, .path = "fp32",
    .summary = "from 9 columns: 128 rows x 32, 64 or 128 columns a block, 8 x 8 a thread; compute-bound", .rank = 1,
    .accepts = linear_tile_accepts, .chain = linear_tile_chain, .plan = tile_plan,
};
BF_REGISTER(tile);
static const bf_kernel wmma = {
    .op = "linear", .name = "linear_wmma", .file = "linear", .target = BF_STEP_TARGET, .role = BF_TUNED, .path = "wmma",
    .summary = "W and x of one 16-bit type: v_wmma with fp32 sums, 128 rows x 32, 64 or 128 columns; compute-bound", .rank = 1,
    .accepts = linear_wmma_accepts, .chain = linear_tile_chain, .plan = wmma_plan,
};
BF_REGISTER(wmma);
#endif
