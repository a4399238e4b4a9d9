/* q4k_dequant for sm_61 (contract: kernels/common/q4k_dequant.h).
 *
 * q4k_dequant_naive  a thread a weight; also the path for pointers that are not 16-byte aligned.
 * q4k_dequant_vec    a warp copies eight super-blocks (72 pieces of 16 bytes) to its own shared memory with contiguous
 *                    128-bit loads and decodes them from there: for fp32 a lane has one word of qs, so that eight lanes
 *                    store 128 contiguous bytes twice; for the 16-bit types two words, 64 bytes from four lanes. The
 *                    header comes as one broadcast 128-bit read, its scales are decoded without a branch (q4k_lane.h).
 *
 * Expected bound: memory, and of that the stores: 4.56 bytes a weight to fp32, 76 G weights/s at 346 GB/s, where 78
 * instructions a weight are affordable on a P40.
 *
 * Static counts (clang 19.1, ptxas 11.8; `make isa`), SASS a weight: fp32 8.8, fp16 8.4, bf16 14.5; at most 62 registers,
 * 9,216 bytes of shared memory a block, no spills. Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'q4k_dequant_*' --backend simt-cuda */

/* isa: q4k_dequant_f32 unit=weight per_trip=64 gate=load128 max=10.0 */
/* isa: q4k_dequant_f16 unit=weight per_trip=64 gate=load128 max=10.0 */
/* isa: q4k_dequant_bf16 unit=weight per_trip=64 gate=load128 max=16.0 */
#include "launch.h"
#include "q4k_dequant_naive.h"
#include "q4k_lane.h"

constexpr int NAIVE_THREADS = 256;

BF_KERNEL_FN(q4k_dequant_naive, dequant_args, NAIVE_THREADS) { dequant_body<DEQUANT_SOUND>(a); }

/* ---- wide ---- */

constexpr int THREADS = 256, WARPS = THREADS / 32;
constexpr int TILE = 8;                               /* super-blocks of a warp, a trip */
constexpr int CHUNKS = TILE * BF_Q4_K_BYTES / 16;     /* 16-byte pieces of a tile: 72 */

/* Four weights of a word of qs. */
template <int HIGH> BF_FN void four_weights(uint32_t word, const pair_scales &s, float scale, float out[4]) {
    UNROLLED
    for (int k = 0; k < 4; k++) out[k] = bf_fma(scale, lane_nibble(word, k, HIGH), -s.dm[HIGH]);
}

BF_FN uint32_t pack16(float lo, float hi, int to) {
    return dequant_narrow<DEQUANT_SOUND>(lo, to) | dequant_narrow<DEQUANT_SOUND>(hi, to) << 16;
}

/* fp32: a lane has one word, so that each eight lanes store 128 contiguous bytes. */
BF_FN void lane_to_f32(const bf_u32x4 *block, char *y, int lane) {
    pair_scales s = lane_scales_get(lane_scales_make(lane / 8), block[0]);
    uint32_t word = ((const uint32_t *)(block + 1))[lane];
    char *at = y + 4 * (lane / 8 * 64 + lane % 8 * 4);
    float f[4];
    four_weights<0>(word, s, s.dsc[0], f);
    bf_st_u32x4(at, {bf_f_bits(f[0]), bf_f_bits(f[1]), bf_f_bits(f[2]), bf_f_bits(f[3])});
    four_weights<1>(word, s, s.dsc[1] * 0.0625f, f);
    bf_st_u32x4(at + 4 * 32, {bf_f_bits(f[0]), bf_f_bits(f[1]), bf_f_bits(f[2]), bf_f_bits(f[3])});
}

/* 16-bit types: a lane has two words, a warp two super-blocks. */
template <int TO> BF_FN void lane_to_16(const bf_u32x4 *block, char *y, int lane) {
    pair_scales s = lane_scales_get(lane_scales_make(lane / 4), block[0]);
    bf_u32x2 word = ((const bf_u32x2 *)(block + 1))[lane];
    char *at = y + 2 * (lane / 4 * 64 + lane % 4 * 8);
    float f[8];
    four_weights<0>(word.x, s, s.dsc[0], f);
    four_weights<0>(word.y, s, s.dsc[0], f + 4);
    bf_st_u32x4(at, {pack16(f[0], f[1], TO), pack16(f[2], f[3], TO), pack16(f[4], f[5], TO), pack16(f[6], f[7], TO)});
    four_weights<1>(word.x, s, s.dsc[1] * 0.0625f, f);
    four_weights<1>(word.y, s, s.dsc[1] * 0.0625f, f + 4);
    bf_st_u32x4(at + 2 * 32,
                {pack16(f[0], f[1], TO), pack16(f[2], f[3], TO), pack16(f[4], f[5], TO), pack16(f[6], f[7], TO)});
}

/* A warp copies eight super-blocks to its own shared memory with contiguous 128-bit loads, then decodes them from
 * there in the order in which the stores are contiguous. */
template <int TO> BF_FN void dequant_wide(const dequant_args &a) {
    constexpr int AT_ONCE = TO == BF_F32 ? 1 : 2, LANES = 32 / AT_ONCE, SIZE = TO == BF_F32 ? 4 : 2;
    BF_SHARED bf_u32x4 staged[WARPS][CHUNKS];
    int lane = bf_lane(), warp = bf_tid_x() / 32;
    bf_u32x4 *mine = staged[warp];
    int64_t blocks = a.n / BF_Q4_K_WEIGHTS, step = (int64_t)bf_gdim_x() * WARPS * TILE;
    for (int64_t first = ((int64_t)bf_bid_x() * WARPS + warp) * TILE; first < blocks; first += step) {
        const bf_u32x4 *w = (const bf_u32x4 *)(a.w + first);
        int count = blocks - first < TILE ? (int)(blocks - first) : TILE, chunks = count * BF_Q4_K_BYTES / 16;
        UNROLLED
        for (int i = 0; i < CHUNKS; i += 32)
            if (i + lane < chunks) mine[i + lane] = bf_ld_u32x4(w + i + lane);
        bf_warp_sync();
        UNROLLED
        for (int i = 0; i < TILE; i += AT_ONCE) {
            int b = i + lane / LANES;
            if (b >= count) continue;
            const bf_u32x4 *block = mine + b * (BF_Q4_K_BYTES / 16);
            char *y = (char *)a.y + (first + b) * BF_Q4_K_WEIGHTS * SIZE;
            if constexpr (TO == BF_F32)
                lane_to_f32(block, y, lane);
            else
                lane_to_16<TO>(block, y, lane % LANES);
        }
        bf_warp_sync();
    }
}
BF_KERNEL_FN(q4k_dequant_f32, dequant_args, THREADS) { dequant_wide<BF_F32>(a); }
BF_KERNEL_FN(q4k_dequant_f16, dequant_args, THREADS) { dequant_wide<BF_F16>(a); }
BF_KERNEL_FN(q4k_dequant_bf16, dequant_args, THREADS) { dequant_wide<BF_BF16>(a); }

#if BF_HOST
constexpr int NAIVE_BLOCKS = 4096, MOST_BLOCKS = 960;

static int dequant_naive_plan(const bf_problem *p, bf_step *s) {
    dequant_args a = dequant_make_args(p);
    bf_step_set(&s[0], BF_STEP_FN(q4k_dequant_naive), launch_blocks(a.n, NAIVE_THREADS, NAIVE_BLOCKS), 1, NAIVE_THREADS,
                1, 0, a);
    return 1;
}
/* Pointers that are not 16-byte aligned take the plain kernel. */
static int dequant_vec_plan(const bf_problem *p, bf_step *s) {
    dequant_args a = dequant_make_args(p);
    if (!launch_aligned16(a.w) || !launch_aligned16(a.y)) return dequant_naive_plan(p, s);
    bf_step_set(&s[0],
                a.to == BF_F32   ? BF_STEP_FN(q4k_dequant_f32)
                : a.to == BF_F16 ? BF_STEP_FN(q4k_dequant_f16)
                                 : BF_STEP_FN(q4k_dequant_bf16),
                launch_blocks(a.n / BF_Q4_K_WEIGHTS, WARPS * TILE, MOST_BLOCKS), 1, THREADS, 1, 0, a);
    return 1;
}
static const bf_kernel naive = {
    .op = "q4k_dequant", .name = "q4k_dequant_naive", .file = "q4k_dequant", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .summary = "a thread a weight", .rank = 0, .accepts = dequant_accepts,
    .plan = dequant_naive_plan,
};
BF_REGISTER(naive);
static const bf_kernel vec = {
    .op = "q4k_dequant", .name = "q4k_dequant_vec", .file = "q4k_dequant", .target = BF_STEP_TARGET,
    .role = BF_TUNED, .summary = "super-blocks through shared memory, 128-bit loads and stores; memory-bound",
    .rank = 1, .accepts = dequant_accepts, .plan = dequant_vec_plan,
};
BF_REGISTER(vec);
#endif
