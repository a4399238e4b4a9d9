/* conv for RDNA 3.5 (gfx1151) (contract: kernels/common/conv.h).
 *
 * conv_naive   a thread an output, one chain over channels and taps. The plain version; also what every other is
 *              measured against.
 * conv_tile    64 or 16 channels x 128 outputs a workgroup of 128 threads, 8 x 8 or 2 x 8 a thread, implicit im2col (conv_tile.h).
 *              Transposed convolutions phase by phase, so that no product with a hole is formed; groups in the grid. Weights are laid
 *              out anew at each call; a pipeline would do that once.
 * conv_direct  for one or two channels of x a group (depthwise), where a tile would be seven eighths padding: three outputs a
 *              thread, the channel's weights in LDS.
 *
 * Expected bound: conv_tile the vector ALUs, with two fp32 products an instruction (v_dual_fmac_f32); conv_direct memory for few taps.
 * Matrix instructions are not used: where x and the weights are both fp16 or both bf16 they would do more.
 *
 * Static counts (clang 19.1, gfx1151; `make isa`), no spills:
 *     tile, 64 channels    0.63 to 0.66 VALU a product (256 dual instructions for 512), 230 to 238 VGPRs, 6 waves a SIMD
 *     tile, 16 channels    1.05 to 1.12, 131 to 139 VGPRs, 10 waves
 *     direct               6.0 (fp32), 29 VGPRs, 16 waves
 * Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'conv_*' --backend simt-hip */

/* isa: conv_tile_*_m64 unit=product per_trip=512 share=v_dual_f:70 max=0.75 */
/* isa: conv_tile_*_m16 unit=product per_trip=128 max=1.4 */
/* isa: conv_direct_f32 unit=product per_trip=3 max=9 */
#include "../common/conv_tile.h"

BF_KERNEL_FN(conv_naive, conv_args, CONV_NAIVE_THREADS) { conv_naive_body<CONV_SOUND>(a); }
BF_KERNEL_FN(conv_pack, conv_tile_args, CONV_PACK_THREADS) { conv_pack_body(a); }

/* x, weights */
#define CONV_PAIRS(K)                                                                                   \
    K(f32_f32, BF_F32, BF_F32) K(f32_f16, BF_F32, BF_F16) K(f32_bf16, BF_F32, BF_BF16)                  \
    K(f16_f32, BF_F16, BF_F32) K(f16_f16, BF_F16, BF_F16) K(f16_bf16, BF_F16, BF_BF16)                  \
    K(bf16_f32, BF_BF16, BF_F32) K(bf16_f16, BF_BF16, BF_F16) K(bf16_bf16, BF_BF16, BF_BF16)
#define CONV_TILE(name, x_type, w_type)                                     \
    BF_KERNEL_FN(conv_tile_##name##_m64, conv_tile_args, CONV_THREADS) {    \
        BF_SHARED conv_xs xs;                                               \
        BF_SHARED conv_ws<64> ws;                                           \
        conv_tile_body<x_type, w_type, 64>(a, xs, ws);                      \
    }                                                                       \
    BF_KERNEL_FN(conv_tile_##name##_m16, conv_tile_args, CONV_THREADS) {    \
        BF_SHARED conv_xs xs;                                               \
        BF_SHARED conv_ws<16> ws;                                           \
        conv_tile_body<x_type, w_type, 16>(a, xs, ws);                      \
    }
CONV_PAIRS(CONV_TILE)

#define CONV_DIRECT(name, x_type)                                              \
    BF_KERNEL_FN(conv_direct_##name, conv_tile_args, CONV_DIRECT_THREADS) {    \
        BF_SHARED float weights[CONV_DIRECT_WEIGHTS];                          \
        conv_direct_body<x_type>(a, weights);                                  \
    }
CONV_DIRECT(f32, BF_F32)
CONV_DIRECT(f16, BF_F16)
CONV_DIRECT(bf16, BF_BF16)

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return conv_naive_steps(p, s, BF_STEP_FN(conv_naive)); }
static const bf_kernel naive = {
    .op = "conv", .name = "conv_naive", .file = "conv", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an output, one chain", .rank = 0, .accepts = conv_naive_accepts, .chain = conv_plain_chain,
    .plan = naive_plan,
};
BF_REGISTER(naive);

#define CONV_TILE_FN(name, x_type, w_type) {BF_STEP_FN(conv_tile_##name##_m64), BF_STEP_FN(conv_tile_##name##_m16)},
static const bf_step_fn<conv_tile_args> tile_fn[9][2] = {CONV_PAIRS(CONV_TILE_FN)};
static int tile_plan(const bf_problem *p, bf_step *s) {
    const bf_step_fn<conv_tile_args> *fn = tile_fn[3 * conv_type_index(p->type[CONV_X]) + conv_type_index(p->type[CONV_WT])];
    return conv_tile_steps(p, s, BF_STEP_FN(conv_pack), fn[0], fn[1]);
}
static const bf_kernel tile = {
    .op = "conv", .name = "conv_tile", .file = "conv", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "implicit im2col, tiles of 64 or 16 channels x 128 outputs; bound by v_fma", .rank = 20,
    .accepts = conv_tile_accepts, .scratch = conv_tile_scratch, .chain = conv_plain_chain, .plan = tile_plan,
};
BF_REGISTER(tile);

static const bf_step_fn<conv_tile_args> direct_fn[3] = {BF_STEP_FN(conv_direct_f32), BF_STEP_FN(conv_direct_f16),
                                                        BF_STEP_FN(conv_direct_bf16)};
static int direct_plan(const bf_problem *p, bf_step *s) {
    return conv_direct_steps(p, s, direct_fn[conv_type_index(p->type[CONV_X])]);
}
static const bf_kernel direct = {
    .op = "conv", .name = "conv_direct", .file = "conv", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "one or two channels a group: 4 outputs a thread, weights in shared memory", .rank = 30,
    .accepts = conv_direct_accepts, .chain = conv_plain_chain, .plan = direct_plan,
};
BF_REGISTER(direct);
#endif
