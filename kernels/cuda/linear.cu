/* linear for sm_61 (contract: kernels/common/linear.h): bf16, fp16 or fp32 weights, widened in registers, against x of any type.
 *
 * linear_naive        a thread an output.
 * linear_vec          to eight columns (linear_vec.h): a warp two rows (from three columns on four), a lane eight weights at a time by one
 *                     128-bit load. bf16 becomes fp32 by a shift or a mask, fp16 by a conversion at a quarter of the rate. x is
 *                     widened once by a launch of its own where it is narrower than fp32; its reads come out of L1, once
 *                     for all rows of the warp. Rows that are not aligned (k not a multiple of 8) take linear_vec_any, a
 *                     lane a weight.
 * linear_tile         from nine columns on (linear_tile.h): 128 rows x 32, 64 or 128 columns a block, 8 x 8 a thread. hh, hf, fh, ff: are W
 *                     and x stored in 16 bits or in fp32? Which of the 16-bit types is a branch at the way into shared
 *                     memory, which costs about 1 % of its instructions. linear_tile_any for rows that are not aligned.
 *
 * Expected bounds. vec: memory. At 346 GB/s a P40 reads 173 G 16-bit weights/s, and 30 SMs issue 5.9 T lane-instructions/s: 34 a
 * weight. Even eight columns need 11. tile: issue of FFMA. 11.8 TFLOP/s times the share of FFMA in the loop. Few rows leave
 * SMs without a block (1024 rows x 32 columns are 8 blocks); k is not split.
 *
 * Static counts (clang 19.1, ptxas 11.8; `make isa`), SASS a weight and registers:
 *     columns      1          2          4          8
 *     vec bf16   2.55  36   4.56  40   6.47  80  11.09 128
 *     vec f16    2.50  36   4.56  40   6.50  80  11.19 128
 * FFMA of all instructions of the loop and registers, 32, 64 and 128 columns:
 *     tile hh    78 % 142   83 % 126   86 % 123
 *     tile hf    79 % 150   85 % 126   88 % 127
 * No spills; all global loads of these loops are 128 bit. Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'linear_*' --backend simt-cuda linear */

/* isa: linear_vec_bf16_n* unit=weight per_trip=32 gate=load128 max=12 */
/* isa: linear_vec_bf16_n1 unit=weight per_trip=64 gate=load128 max=3 */
/* isa: linear_vec_bf16_n2 unit=weight per_trip=16 gate=load128 max=5 */
/* isa: linear_vec_f16_n* unit=weight per_trip=32 gate=load128 max=12 */
/* isa: linear_vec_f16_n1 unit=weight per_trip=64 gate=load128 max=3 */
/* isa: linear_vec_f16_n2 unit=weight per_trip=16 gate=load128 max=5 */
/* isa: linear_vec_f32_n* unit=weight per_trip=32 gate=load128 max=12 */
/* isa: linear_vec_f32_n1 unit=weight per_trip=64 gate=load128 max=3 */
/* isa: linear_vec_f32_n2 unit=weight per_trip=16 gate=load128 max=5 */
/* isa: linear_tile_*_32 unit=product per_trip=1024 gate=load128 share=FFMA:75 shared=21504 */
/* isa: linear_tile_*_64 unit=product per_trip=1024 gate=load128 share=FFMA:75 shared=25600 */
/* isa: linear_tile_*_128 unit=product per_trip=1024 gate=load128 share=FFMA:75 shared=33792 */
#include "../common/linear_tile.h"

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

#define TILE(NAME, W, X, BN) \
    BF_KERNEL_FN(linear_tile_##NAME##_##BN, linear_args, 2 * BN) { linear_tile_body<W, X, BN, true>(a); }
#define EACH_BN(K, ...) K(__VA_ARGS__, 32) K(__VA_ARGS__, 64) K(__VA_ARGS__, 128)
EACH_BN(TILE, hh, TILE_HALF, TILE_HALF) /* W and x in 16 bits */
EACH_BN(TILE, hf, TILE_HALF, BF_F32)    /* W in 16 bits, x fp32 */
EACH_BN(TILE, fh, BF_F32, TILE_HALF)
EACH_BN(TILE, ff, BF_F32, BF_F32)
BF_KERNEL_FN(linear_tile_any, linear_args, 128) { linear_tile_body<BF_F32, BF_F32, 64, false>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return linear_naive_plan(p, s, BF_STEP_FN(linear_naive)); }

static int vec_plan(const bf_problem *p, bf_step *s) {
#define STEP_BF16(N) BF_STEP_FN(linear_vec_bf16_n##N),
#define STEP_F16(N) BF_STEP_FN(linear_vec_f16_n##N),
#define STEP_F32(N) BF_STEP_FN(linear_vec_f32_n##N),
    static const linear_fn product[3][LINEAR_MAX_N] = {{EACH_N(STEP_BF16)}, {EACH_N(STEP_F16)}, {EACH_N(STEP_F32)}};
    int n = (int)p->dim[LINEAR_N], type = p->type[LINEAR_W] == BF_BF16 ? 0 : p->type[LINEAR_W] == BF_F16 ? 1 : 2;
    return linear_vec_plan(p, s, BF_STEP_FN(linear_widen_x), product[type][n - 1], VEC_ROWS(n), BF_STEP_FN(linear_vec_any));
}

static int tile_plan(const bf_problem *p, bf_step *s) {
#define STEP_TILE(NAME, BN) BF_STEP_FN(linear_tile_##NAME##_##BN),
    static const linear_fn product[2][2][3] = {{{EACH_BN(STEP_TILE, ff)}, {EACH_BN(STEP_TILE, fh)}},
                                               {{EACH_BN(STEP_TILE, hf)}, {EACH_BN(STEP_TILE, hh)}}};
    static const int64_t bytes[3] = {linear_tile<32>::BYTES, linear_tile<64>::BYTES, linear_tile<128>::BYTES};
    if (!linear_wide(p)) return linear_tile_plan(p, s, BF_STEP_FN(linear_tile_any), 64, linear_tile<64>::BYTES);
    int columns = linear_tile_columns(p), which = columns / 64;
    linear_fn fn = product[p->type[LINEAR_W] != BF_F32][p->type[LINEAR_X] != BF_F32][which];
    return linear_tile_plan(p, s, fn, columns, bytes[which]);
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
#endif
