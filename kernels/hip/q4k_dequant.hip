/* q4k_dequant on RDNA 3.5 (gfx1151): Q4_K to fp32, fp16 or bf16.
 *
 * Bound: memory, and of that the stores: 144 bytes in, 1,024 (512) out. So the stores choose the lanes' shares: a lane
 * writes 16 bytes of a low and 16 of a high sub-block, and lanes that are neighbours write neighbouring 16 bytes.
 *   fp32   4 + 4 weights a lane: 32 lanes a super-block, every store fills whole 128-byte lines
 *   16 bit 8 + 8 weights a lane: 16 lanes a super-block, every store fills half lines, the next one the other half
 * That leaves 4 (8) bytes of nibbles a lane, one full line a wave all the same, and the 16-byte header in one 128-bit
 * load that is the same for all lanes of a super-block. (16 bytes of nibbles a lane would make the stores of a wave
 * touch four times as many lines.) Four super-blocks a lane are on their way before the first store. The scales are
 * decoded by every lane for itself, about 20 instructions for 8 weights: at 50 G weights/s a few percent of the issue rate.
 *
 * Static, clang 19.1, gfx1151, no spills (make isa prints the same):
 *   to fp32   5.44 VALU a weight   89 VGPRs     fp16   5.44, 57     bf16   9.94, 77     16 waves a SIMD
 * Compiled, run under simt, not run on a GPU.
 *
 * Just this one:  blackframe check --backend simt-hip q4k_dequant   (on a machine with the card: --backend hip) */
#include "bf16_select.h"
#include "q4k_dequant_plain.h"
#include "q4k_pair.h"

BF_KERNEL_FN(q4k_dequant_naive, dequant_args, DEQUANT_NAIVE_THREADS) { dequant_naive_body<DEQUANT_SOUND>(a); }

/* ---- tuned ---- */
constexpr int VEC_THREADS = 256, VEC_UNROLL = 4;
BF_FN constexpr int dequant_share(int to) { return to == BF_F32 ? 4 : 8; } /* nibble bytes a lane */
BF_FN constexpr int dequant_lanes(int to) { return 32 / dequant_share(to) * 4; } /* lanes a super-block */
BF_FN constexpr int dequant_each(int to) { return VEC_THREADS / dequant_lanes(to); } /* super-blocks a group at once */

template <int TO> BF_FN void dequant_store16(char *y, const float *w) {
    uint32_t word[4];
    for (int i = 0; i < 4; i++) {
        if (TO == BF_F32)
            word[i] = bf_f_bits(w[i]);
        else if (TO == BF_F16)
            word[i] = bf_f32_to_f16(w[2 * i]) | bf_f32_to_f16(w[2 * i + 1]) << 16;
        else
            word[i] = bf16_select(w[2 * i]) | bf16_select(w[2 * i + 1]) << 16;
    }
    bf_st_u32x4(y, {word[0], word[1], word[2], word[3]});
}

/* VEC_UNROLL super-blocks a lane, from super-block `first` on; FULL: all of them exist, else `left` of the group's. */
template <int TO, bool FULL>
BF_FN void dequant_tile(const dequant_args &a, int64_t first, int left, uint32_t low_mask, uint32_t high_mask) {
    constexpr int SHARE = dequant_share(TO), LANES = dequant_lanes(TO), SIZE = TO == BF_F32 ? 4 : 2;
    int lane = bf_tid_x() % LANES, pair = lane / (LANES / 4), at = lane % (LANES / 4) * SHARE;
    const char *w = (const char *)(a.w + first);
    char *y = (char *)a.y + first * (BF_Q4_K_WEIGHTS * SIZE);
    bf_u32x4 header[VEC_UNROLL];
    uint32_t q[VEC_UNROLL][2];
#pragma unroll
    for (int u = 0; u < VEC_UNROLL; u++) {
        int block = u * dequant_each(TO) + bf_tid_x() / LANES;
        if (!FULL && block >= left) block = left - 1;
        const char *b = w + (uint32_t)(block * BF_Q4_K_BYTES);
        header[u] = bf_ld_u32x4(b);
        if (SHARE == 4) {
            q[u][0] = bf_ld_u32(b + 16 + pair * 32 + at);
        } else {
            bf_u32x2 v = bf_ld_u32x2(b + 16 + pair * 32 + at);
            q[u][0] = v.x, q[u][1] = v.y;
        }
    }
#pragma unroll
    for (int u = 0; u < VEC_UNROLL; u++) {
        int block = u * dequant_each(TO) + bf_tid_x() / LANES;
        q4k_pair p = q4k_pair_of(header[u], pair);
        float low[SHARE], high[SHARE];
        for (int i = 0; i < SHARE; i++) {
            low[i] = bf_fma(p.scale[0], q4k_byte(q[u][i / 4] & low_mask, i % 4), -p.least[0]);
            high[i] = bf_fma(p.scale[1], q4k_byte(q[u][i / 4] & high_mask, i % 4), -p.least[1]);
        }
        if (!FULL && block >= left) continue;
        char *out = y + (uint32_t)((block * BF_Q4_K_WEIGHTS + pair * 64 + at) * SIZE);
        dequant_store16<TO>(out, low);
        dequant_store16<TO>(out + 32 * SIZE, high);
    }
}

template <int TO> BF_FN void dequant_vec_body(const dequant_args &a) {
    constexpr int TILE = dequant_each(TO) * VEC_UNROLL;
    uint32_t low_mask = q4k_mask(Q4K_LOW), high_mask = q4k_mask(Q4K_HIGH);
    int64_t tiles = a.blocks / TILE, tile = bf_bid_x();
    for (; tile < tiles; tile += bf_gdim_x()) dequant_tile<TO, true>(a, tile * TILE, TILE, low_mask, high_mask);
    int left = (int)(a.blocks - tiles * TILE);
    if (tile == tiles && left) dequant_tile<TO, false>(a, tile * TILE, left, low_mask, high_mask);
}

/* isa: q4k_dequant_vec_f32 unit=weight per_trip=32 gate=load128 narrow=4 max=6 */
/* isa: q4k_dequant_vec_f16 unit=weight per_trip=64 gate=load128 narrow=4 max=5.5 */
/* isa: q4k_dequant_vec_bf16 unit=weight per_trip=64 gate=load128 narrow=4 max=11 */
BF_KERNEL_FN(q4k_dequant_vec_f32, dequant_args, VEC_THREADS) { dequant_vec_body<BF_F32>(a); }
BF_KERNEL_FN(q4k_dequant_vec_f16, dequant_args, VEC_THREADS) { dequant_vec_body<BF_F16>(a); }
BF_KERNEL_FN(q4k_dequant_vec_bf16, dequant_args, VEC_THREADS) { dequant_vec_body<BF_BF16>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return dequant_plain_step(p, s, BF_STEP_FN(q4k_dequant_naive)); }
static const bf_kernel naive = {
    .op = "q4k_dequant", .name = "q4k_dequant_naive", .file = "q4k_dequant", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .summary = "a thread a weight", .rank = 0, .accepts = dequant_accepts, .plan = naive_plan,
};
BF_REGISTER(naive);

constexpr int VEC_GROUPS = 2560; /* 64 for each of 40 CUs */
static int vec_plan(const bf_problem *p, bf_step *s) {
    dequant_args a = dequant_arguments(p);
    if (!launch_aligned(a.w, 16) || !launch_aligned(a.y, 16)) return naive_plan(p, s);
    bf_step_fn<dequant_args> fn = a.to == BF_F32   ? BF_STEP_FN(q4k_dequant_vec_f32)
                                  : a.to == BF_F16 ? BF_STEP_FN(q4k_dequant_vec_f16)
                                                   : BF_STEP_FN(q4k_dequant_vec_bf16);
    int64_t each = VEC_THREADS / (a.to == BF_F32 ? 32 : 16) * VEC_UNROLL;
    bf_step_set(&s[0], fn, launch_groups(a.blocks, each, VEC_GROUPS), 1, VEC_THREADS, 1, 0, a);
    return 1;
}
static const bf_kernel vec = {
    .op = "q4k_dequant", .name = "q4k_dequant_vec", .file = "q4k_dequant", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "128-bit stores decide the lanes' shares, 4 super-blocks in flight; memory-bound", .rank = 10,
    .accepts = dequant_accepts, .plan = vec_plan,
};
BF_REGISTER(vec);
#endif
