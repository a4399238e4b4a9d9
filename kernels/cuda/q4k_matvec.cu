/* q4k_matvec for sm_61 (contract: kernels/common/q4k_matvec.h).
 *
 * q4k_matvec_fp32_naive, q4k_matvec_int8_naive   a thread an output; also the path for pointers that are not aligned.
 * q4k_matvec_int8     two launches. First x is quantised, eight threads a block of 32, and laid out a second time in the
 *                     order in which lanes will want it. Then a warp takes two rows; four lanes share a super-block,
 *                     32 bytes of qs each, eight super-blocks a trip:
 *                       - the whole header is one 128-bit load; scales are decoded without a branch;
 *                       - dp4a takes the low nibbles as q & 0x0f0f0f0f and the high ones as q & 0xf0f0f0f0, without a
 *                         shift: 16 times the sum, with 1/16 in the block's scale of x (and 16 times its sum);
 *                       - sums start at 1.5 * 2^23 as an integer: one FADD makes a float of them, no I2F at a quarter of
 *                         the rate. Exact: |sum| <= 16 * 15*127*32 = 975,360 < 2^22;
 *                       - a block's share is d * (dsc * sum - dm * s), the contract's order, so nothing overflows early.
 * q4k_matvec_int8_c8  eight lanes a super-block, 16 bytes each: each load of weights is one contiguous 128 bytes a
 *                     super-block, at the price of twice the scale work a weight. The minimum of a sub-block is counted
 *                     by one of the two lanes that share it.
 * q4k_matvec_int8_r4  as q4k_matvec_int8 with four rows a warp, to four columns: x is read from L1 half as often, with
 *                     more registers. Which of the three wins only hardware can tell.
 * q4k_matvec_fp32     x widened to fp32 once, in lane order; each weight becomes fp32 by (q | 2^23) - 2^23 and one exact
 *                     FMA, so that no product and no sum is formed that is larger than the contract's own terms.
 *
 * Expected bound: memory. At 346 GB/s a P40 reads 615 G weights/s, and 30 SMs issue 5.9 T lane-instructions/s: 9.6 a
 * weight. int8 stays below that to eight columns, fp32 to four. Reads of x through L1 (a byte and a quarter a weight, row
 * pair and column) may become the limit before issue does; r4 is there to find out.
 *
 * Static counts (clang 19.1, ptxas 11.8; `make isa`), SASS a weight in the loop and registers, for 1 and 8 columns:
 *     int8     1.23  61      4.25 104
 *     int8_c8  1.83  48      5.63 136
 *     int8_r4  1.17  72      (2.38 168 for 4 columns, its last)
 *     fp32     6.13  67     14.18 156
 * All global loads are 128 bit; no spills. nvcc 11.8: within 1 %. Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'q4k_matvec_*' --backend simt-cuda */

/* isa: q4k_matvec_int8_n1 unit=weight per_trip=128 cols=1 gate=dot,load128 max=2.0 */
/* isa: q4k_matvec_int8_n2 unit=weight per_trip=128 cols=2 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_n3 unit=weight per_trip=128 cols=3 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_n4 unit=weight per_trip=128 cols=4 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_n5 unit=weight per_trip=128 cols=5 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_n6 unit=weight per_trip=128 cols=6 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_n7 unit=weight per_trip=128 cols=7 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_n8 unit=weight per_trip=128 cols=8 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_c8_n* unit=weight per_trip=64 cols=n gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_c8_n1 unit=weight per_trip=64 cols=1 gate=dot,load128 max=2.0 */
/* isa: q4k_matvec_int8_c8_n8 unit=weight per_trip=96 cols=8 gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_r4_n* unit=weight per_trip=256 cols=n gate=dot,load128 max=6.0 */
/* isa: q4k_matvec_int8_r4_n1 unit=weight per_trip=256 cols=1 gate=dot,load128 max=2.0 */
/* isa: q4k_matvec_fp32_n1 unit=weight per_trip=128 gate=load128 max=7.0 */
/* isa: q4k_matvec_fp32_n2 unit=weight per_trip=128 gate=load128 max=16.0 */
/* isa: q4k_matvec_fp32_n3 unit=weight per_trip=128 gate=load128 max=16.0 */
/* isa: q4k_matvec_fp32_n4 unit=weight per_trip=128 gate=load128 max=16.0 */
/* isa: q4k_matvec_fp32_n5 unit=weight per_trip=128 gate=load128 max=16.0 */
/* isa: q4k_matvec_fp32_n6 unit=weight per_trip=128 gate=load128 max=16.0 */
/* isa: q4k_matvec_fp32_n7 unit=weight per_trip=128 gate=load128 max=16.0 */
/* isa: q4k_matvec_fp32_n8 unit=weight per_trip=128 gate=load128 max=16.0 */
#include "q4k_lane.h"
#include "q4k_matvec_naive.h"
#include "q4k_quantise.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 128, QUANTISE_THREADS = 128, WARPS = 4;

BF_KERNEL_FN(q4k_matvec_fp32_naive, matvec_args, NAIVE_THREADS) { matvec_fp32_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_quantise_naive, matvec_args, NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matvec_int8_naive, matvec_args, NAIVE_THREADS) { matvec_int8_body<MATVEC_SOUND>(a); }

/* ---- how a warp walks a row ----
 *
 * LANES lanes share a super-block, so that a warp takes TILE = 32 / LANES of them in one trip. Lane i of the LANES
 * has bytes [BYTES*i, BYTES*(i+1)) of qs: the low nibbles are weights of sub-block 2j, the high ones of 2j+1.
 *
 * x is brought into the same order once, by the kernel that runs first: for every tile and column a record of CHUNKS
 * planes of 32 x 16 bytes, one 16-byte chunk a lane and plane, so that every load of x is one contiguous 512 bytes
 * and all columns lie at constant distances. */
template <int LANES_> struct walk {
    static constexpr int LANES = LANES_, TILE = 32 / LANES; /* super-blocks a trip */
    static constexpr int BYTES = 128 / LANES, WORDS = BYTES / 4; /* of qs, a lane */
    static constexpr int Q_CHUNKS = BYTES / 8;  /* int8: x of the low nibbles, then of the high ones, */
    static constexpr int I8_CHUNKS = Q_CHUNKS + 1; /* and {d0, s0, d1/16, 16*s1} as floats */
    static constexpr int F_CHUNKS = BYTES / 2;  /* fp32 */
};

/* Where element (column c, sub-block s of super-block b, l inside it) of x lies: lane, and offset of its nibble run. */
template <int LANES> BF_FN int walk_lane(int b, int s, int l) {
    return (b % walk<LANES>::TILE) * LANES + (32 * (s / 2) + l) / walk<LANES>::BYTES;
}

/* Quantises x: eight threads a block of 32, four values a thread. Writes the three outputs and the walk's copy. */
template <int LANES> BF_FN void quantise_body(const matvec_args &a) {
    typedef walk<LANES> W;
    int64_t e = 4 * ((int64_t)bf_bid_x() * QUANTISE_THREADS + bf_tid_x());
    if (e >= (int64_t)a.n * a.k) return; /* whole warps: n * k is a multiple of 256 */
    quantised4 v = quantise4(a, e);
    float d = v.d;
    int sum = v.sum;
    uint32_t packed = v.packed;
    int c = (int)(e / a.k), k = (int)(e % a.k), b = k / 256, s = k % 256 / 32, l = k % 32, high = s & 1;
    int64_t record = ((int64_t)(b / W::TILE) * a.n + c) * W::I8_CHUNKS;
    uint32_t *copy = (uint32_t *)a.scratch;
    int plane = (high * W::BYTES + l % W::BYTES) / 16;
    copy[((record + plane) * 32 + walk_lane<LANES>(b, s, l)) * 4 + l % 16 / 4] = packed;
    if (l % W::BYTES == 0) { /* one thread for each lane that holds a part of this sub-block */
        float factor = high ? 16.0f : 1.0f; /* high nibbles are used as 16*q: the scale makes up for it */
        bool mine = l / W::BYTES == (LANES == 8 ? high : 0); /* two lanes share: the minimum is counted once */
        bf_u32x2 ds = {bf_f_bits(high ? d * 0.0625f : d), bf_f_bits(mine ? (float)sum * factor : 0.0f)};
        bf_st_u32x2(copy + ((record + W::Q_CHUNKS) * 32 + walk_lane<LANES>(b, s, l)) * 4 + 2 * high, ds);
    }
}
BF_KERNEL_FN(q4k_quantise_c4, matvec_args, QUANTISE_THREADS) { quantise_body<4>(a); }
BF_KERNEL_FN(q4k_quantise_c8, matvec_args, QUANTISE_THREADS) { quantise_body<8>(a); }

/* N columns, R rows a warp. */
template <int LANES, int N, int R> BF_FN void matvec_int8_tuned(const matvec_args &a) {
    typedef walk<LANES> W;
    int lane = bf_lane(), row = (bf_bid_x() * WARPS + bf_tid_x() / 32) * R, blocks = a.k / BF_Q4_K_WEIGHTS;
    if (row >= a.m) return;
    const char *w = (const char *)(a.w + ((int64_t)row * blocks + lane / LANES)), *wr[R];
    UNROLLED
    for (int r = 0; r < R; r++) wr[r] = w + (row + r < a.m ? (int64_t)r * blocks * BF_Q4_K_BYTES : 0);
    int part = 16 + lane % LANES * W::BYTES;
    const bf_u32x4 *x = (const bf_u32x4 *)a.scratch + lane;
    lane_scales table = lane_scales_make(lane % LANES * 4 / LANES);
    float acc[R][N];
    UNROLLED
    for (int i = 0; i < R * N; i++) acc[i / N][i % N] = 0.0f;

    for (int b = lane / LANES; b < blocks; b += W::TILE) {
        uint32_t q[R][W::WORDS];
        pair_scales scale[R];
        UNROLLED
        for (int r = 0; r < R; r++) {
            bf_u32x4 header = bf_ld_u32x4(wr[r]);
            UNROLLED
            for (int i = 0; i < W::WORDS; i += 4) {
                bf_u32x4 v = bf_ld_u32x4(wr[r] + part + 4 * i);
                UNROLLED
                for (int k = 0; k < 4; k++) q[r][i + k] = word_of(v, k);
            }
            scale[r] = lane_scales_get(table, header);
            wr[r] += W::TILE * BF_Q4_K_BYTES;
        }
        UNROLLED
        for (int c = 0; c < N; c++) {
            bf_u32x4 v[W::Q_CHUNKS], ds = bf_ld_u32x4(x + 32 * (c * W::I8_CHUNKS + W::Q_CHUNKS));
            UNROLLED
            for (int i = 0; i < W::Q_CHUNKS; i++) v[i] = bf_ld_u32x4(x + 32 * (c * W::I8_CHUNKS + i));
            UNROLLED
            for (int r = 0; r < R; r++) {
                int32_t low = INT_BASE, high = INT_BASE;
                UNROLLED
                for (int i = 0; i < W::WORDS; i++) {
                    low = bf_dp4a_us(q[r][i] & 0x0f0f0f0fu, (int32_t)word_of(v[i / 4], i % 4), low);
                    high = bf_dp4a_us(q[r][i] & 0xf0f0f0f0u, (int32_t)word_of(v[(i + W::WORDS) / 4], i % 4), high);
                }
                float t0 = bf_fma(scale[r].dsc[0], int_value(low), -(scale[r].dm[0] * bf_bits_f(ds.y)));
                acc[r][c] = bf_fma(bf_bits_f(ds.x), t0, acc[r][c]);
                float t1 = bf_fma(scale[r].dsc[1], int_value(high), -(scale[r].dm[1] * bf_bits_f(ds.w)));
                acc[r][c] = bf_fma(bf_bits_f(ds.z), t1, acc[r][c]);
            }
        }
        x += 32 * N * W::I8_CHUNKS;
    }
    UNROLLED
    for (int i = 0; i < R * N; i++) {
        float sum = bf_warp_sum_f(acc[i / N][i % N]);
        if (lane == 0 && row + i / N < a.m) a.y[(int64_t)(i % N) * a.m + row + i / N] = sum;
    }
}
#define TO_4(K) K(1) K(2) K(3) K(4)
#define EACH_N(K) TO_4(K) K(5) K(6) K(7) K(8)
#define INT8_C4(N) BF_KERNEL_FN(q4k_matvec_int8_n##N, matvec_args, 32 * WARPS) { matvec_int8_tuned<4, N, 2>(a); }
EACH_N(INT8_C4)
/* Eight columns: with two rows ptxas 11.8 stops at 80 registers and spills one; with three it does not. */
#define C8_ROWS(n) ((n) == 8 ? 3 : 2)
#define INT8_C8(N) \
    BF_KERNEL_FN(q4k_matvec_int8_c8_n##N, matvec_args, 32 * WARPS) { matvec_int8_tuned<8, N, C8_ROWS(N)>(a); }
EACH_N(INT8_C8)
#define INT8_R4(N) BF_KERNEL_FN(q4k_matvec_int8_r4_n##N, matvec_args, 32 * WARPS) { matvec_int8_tuned<4, N, 4>(a); }
TO_4(INT8_R4) /* beyond, 170 registers leave 8 warps an SM */

/* ---- fp32 path ---- */

/* Widens x to fp32 in the walk's order, four values a thread. Exact. */
template <int LANES> BF_FN void widen_body(const matvec_args &a) {
    typedef walk<LANES> W;
    int64_t e = 4 * ((int64_t)bf_bid_x() * QUANTISE_THREADS + bf_tid_x());
    if (e >= (int64_t)a.n * a.k) return;
    float v[4];
    load_x4(a.x, a.x_type, e, v);
    int c = (int)(e / a.k), k = (int)(e % a.k), b = k / 256, s = k % 256 / 32, l = k % 32;
    int64_t record = ((int64_t)(b / W::TILE) * a.n + c) * W::F_CHUNKS;
    int plane = (s & 1) * W::WORDS + l % W::BYTES / 4;
    bf_u32x4 u = {bf_f_bits(v[0]), bf_f_bits(v[1]), bf_f_bits(v[2]), bf_f_bits(v[3])};
    bf_st_u32x4((bf_u32x4 *)a.scratch + (record + plane) * 32 + walk_lane<LANES>(b, s, l), u);
}
BF_KERNEL_FN(q4k_widen_c4, matvec_args, QUANTISE_THREADS) { widen_body<4>(a); }
BF_KERNEL_FN(q4k_widen_c8, matvec_args, QUANTISE_THREADS) { widen_body<8>(a); }

template <int LANES, int N, int R> BF_FN void matvec_fp32_tuned(const matvec_args &a) {
    typedef walk<LANES> W;
    int lane = bf_lane(), row = (bf_bid_x() * WARPS + bf_tid_x() / 32) * R, blocks = a.k / BF_Q4_K_WEIGHTS;
    if (row >= a.m) return;
    const char *w = (const char *)(a.w + ((int64_t)row * blocks + lane / LANES)), *wr[R];
    UNROLLED
    for (int r = 0; r < R; r++) wr[r] = w + (row + r < a.m ? (int64_t)r * blocks * BF_Q4_K_BYTES : 0);
    int part = 16 + lane % LANES * W::BYTES;
    const bf_u32x4 *x = (const bf_u32x4 *)a.scratch + lane;
    lane_scales table = lane_scales_make(lane % LANES * 4 / LANES);
    float acc[R][N];
    UNROLLED
    for (int i = 0; i < R * N; i++) acc[i / N][i % N] = 0.0f;

    for (int b = lane / LANES; b < blocks; b += W::TILE) {
        uint32_t q[R][W::WORDS];
        pair_scales scale[R];
        UNROLLED
        for (int r = 0; r < R; r++) {
            bf_u32x4 header = bf_ld_u32x4(wr[r]);
            UNROLLED
            for (int i = 0; i < W::WORDS; i += 4) {
                bf_u32x4 v = bf_ld_u32x4(wr[r] + part + 4 * i);
                UNROLLED
                for (int k = 0; k < 4; k++) q[r][i + k] = word_of(v, k);
            }
            scale[r] = lane_scales_get(table, header);
            scale[r].dsc[1] *= 0.0625f; /* high nibbles are used as 16*q */
            wr[r] += W::TILE * BF_Q4_K_BYTES;
        }
        UNROLLED
        for (int i = 0; i < 2 * W::WORDS; i++) { /* four weights: low nibbles of the words, then high ones */
            const int high = i / W::WORDS;
            float weight[R][4];
            UNROLLED
            for (int r = 0; r < R; r++)
                UNROLLED
                for (int k = 0; k < 4; k++) {
                    float nibble = lane_nibble(q[r][i % W::WORDS], k, high);
                    weight[r][k] = bf_fma(scale[r].dsc[high], nibble, -scale[r].dm[high]);
                }
            UNROLLED
            for (int c = 0; c < N; c++) {
                bf_u32x4 v = bf_ld_u32x4(x + 32 * (c * W::F_CHUNKS + i));
                UNROLLED
                for (int k = 0; k < 4; k++)
                    UNROLLED
                    for (int r = 0; r < R; r++) acc[r][c] = bf_fma(weight[r][k], bf_bits_f(word_of(v, k)), acc[r][c]);
            }
        }
        x += 32 * N * W::F_CHUNKS;
    }
    UNROLLED
    for (int i = 0; i < R * N; i++) {
        float sum = bf_warp_sum_f(acc[i / N][i % N]);
        if (lane == 0 && row + i / N < a.m) a.y[(int64_t)(i % N) * a.m + row + i / N] = sum;
    }
}
/* Two rows while x is cheap; from three columns on four rows, so that each load of x feeds more multiply-adds, and
 * eight lanes a super-block, so that the loop stays within the instruction cache. */
#define FP32_ROWS(n) ((n) <= 2 ? 2 : 4)
#define FP32_LANES(n) ((n) <= 2 ? 4 : 8)
#define FP32(N)                                                          \
    BF_KERNEL_FN(q4k_matvec_fp32_n##N, matvec_args, 32 * WARPS) {        \
        matvec_fp32_tuned<FP32_LANES(N), N, FP32_ROWS(N)>(a);            \
    }
EACH_N(FP32)

#if BF_HOST
typedef bf_step_fn<matvec_args> matvec_fn;

static int matvec_fp32_naive_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], BF_STEP_FN(q4k_matvec_fp32_naive), launch_blocks((int64_t)a.m * a.n, NAIVE_THREADS), 1,
                NAIVE_THREADS, 1, 0, a);
    return 1;
}
static int matvec_int8_naive_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], BF_STEP_FN(q4k_quantise_naive), launch_blocks((int64_t)a.n * a.k / 32, NAIVE_THREADS), 1,
                NAIVE_THREADS, 1, 0, a);
    bf_step_set(&s[1], BF_STEP_FN(q4k_matvec_int8_naive), launch_blocks((int64_t)a.m * a.n, NAIVE_THREADS), 1,
                NAIVE_THREADS, 1, 0, a);
    return 2;
}

/* The wide kernels need 16-byte alignment of what they load that way; a case with offset pointers takes the plain
 * ones. NULL (not placed yet) counts as aligned. */
static int aligned(const bf_problem *p) {
    return launch_aligned16(p->ptr[Q4K_MATVEC_W]) && launch_aligned16(p->ptr[Q4K_MATVEC_X]) &&
           launch_aligned16(p->ptr[Q4K_MATVEC_XQ]);
}
static int64_t tiles(const bf_problem *p, int lanes) { return launch_blocks(p->dim[Q4K_MATVEC_K] / 256, 32 / lanes); }
/* Steps of the warp's sum that add anything: lanes without a super-block hold zeros. */
static int64_t sum_steps(const bf_problem *p, int lanes) {
    int64_t blocks = p->dim[Q4K_MATVEC_K] / 256, steps = 0;
    while (steps < 5 && (int64_t)1 << steps < lanes * blocks) steps++;
    return steps;
}
/* x in the walk's order: chunks of 16 bytes a lane for each tile and column. */
static uint64_t walk_bytes(const bf_problem *p, int lanes, int chunks) {
    return (uint64_t)tiles(p, lanes) * (uint64_t)p->dim[Q4K_MATVEC_N] * chunks * 512;
}
static int plan_two(const bf_problem *p, bf_step *s, matvec_fn first, const matvec_fn *product, int rows) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], first, launch_blocks((int64_t)a.n * a.k / 4, QUANTISE_THREADS), 1, QUANTISE_THREADS, 1, 0, a);
    bf_step_set(&s[1], product[a.n - 1], launch_blocks(a.m, WARPS * rows), 1, 32 * WARPS, 1, 0, a);
    return 2;
}
/* dm*s and the bracket; two sub-blocks a lane and trip; the warp's sum. */
template <int LANES> static int64_t int8_chain(const bf_problem *p) {
    return aligned(p) ? 2 + 2 * tiles(p, LANES) + sum_steps(p, LANES) : matvec_int8_naive_chain(p);
}
template <int LANES> static uint64_t int8_scratch(const bf_problem *p) {
    return walk_bytes(p, LANES, walk<LANES>::I8_CHUNKS);
}

static int int8_plan(const bf_problem *p, bf_step *s) {
#define STEP(N) BF_STEP_FN(q4k_matvec_int8_n##N),
    static const matvec_fn product[] = {EACH_N(STEP)};
#undef STEP
    if (!aligned(p)) return matvec_int8_naive_plan(p, s);
    return plan_two(p, s, BF_STEP_FN(q4k_quantise_c4), product, 2);
}
static int int8_c8_plan(const bf_problem *p, bf_step *s) {
#define STEP(N) BF_STEP_FN(q4k_matvec_int8_c8_n##N),
    static const matvec_fn product[] = {EACH_N(STEP)};
#undef STEP
    if (!aligned(p)) return matvec_int8_naive_plan(p, s);
    return plan_two(p, s, BF_STEP_FN(q4k_quantise_c8), product, C8_ROWS((int)p->dim[Q4K_MATVEC_N]));
}
static int int8_r4_accepts(const bf_problem *p) { return matvec_accepts(p) && p->dim[Q4K_MATVEC_N] <= 4; }
static int int8_r4_plan(const bf_problem *p, bf_step *s) {
#define STEP(N) BF_STEP_FN(q4k_matvec_int8_r4_n##N),
    static const matvec_fn product[] = {TO_4(STEP)};
#undef STEP
    if (!aligned(p)) return matvec_int8_naive_plan(p, s);
    return plan_two(p, s, BF_STEP_FN(q4k_quantise_c4), product, 4);
}

/* The weight's rounding; 256 / LANES weights a lane and trip; the warp's sum. */
static int64_t fp32_chain(const bf_problem *p) {
    int lanes = FP32_LANES((int)p->dim[Q4K_MATVEC_N]);
    return aligned(p) ? 1 + 256 / lanes * tiles(p, lanes) + sum_steps(p, lanes) : matvec_fp32_naive_chain(p);
}
static uint64_t fp32_scratch(const bf_problem *p) {
    int lanes = FP32_LANES((int)p->dim[Q4K_MATVEC_N]);
    return walk_bytes(p, lanes, 64 / lanes);
}
static int fp32_plan(const bf_problem *p, bf_step *s) {
#define STEP(N) BF_STEP_FN(q4k_matvec_fp32_n##N),
    static const matvec_fn product[] = {EACH_N(STEP)};
#undef STEP
    int n = (int)p->dim[Q4K_MATVEC_N];
    if (!aligned(p)) return matvec_fp32_naive_plan(p, s);
    return plan_two(p, s, FP32_LANES(n) == 4 ? BF_STEP_FN(q4k_widen_c4) : BF_STEP_FN(q4k_widen_c8), product,
                    FP32_ROWS(n));
}

static const bf_kernel fp32_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "fp32", .summary = "a thread an output, one chain of FMAs", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_fp32_naive_chain, .plan = matvec_fp32_naive_plan,
};
BF_REGISTER(fp32_naive);
static const bf_kernel int8_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "int8", .summary = "a thread a block of x, then a thread an output", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_int8_naive_chain, .plan = matvec_int8_naive_plan,
};
BF_REGISTER(int8_naive);
static const bf_kernel fp32 = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32", .file = "q4k_matvec", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "fp32", .summary = "x widened once into lane order; 128-bit loads; memory-bound to 4 columns", .rank = 1,
    .accepts = matvec_accepts, .scratch = fp32_scratch, .chain = fp32_chain, .plan = fp32_plan,
};
BF_REGISTER(fp32);
static const bf_kernel int8 = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8", .file = "q4k_matvec", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "int8", .summary = "4 lanes a super-block, 2 rows a warp, dp4a; memory-bound", .rank = 3,
    .accepts = matvec_accepts, .scratch = int8_scratch<4>, .chain = int8_chain<4>, .plan = int8_plan,
};
BF_REGISTER(int8);
static const bf_kernel int8_c8 = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_c8", .file = "q4k_matvec", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "int8", .summary = "8 lanes a super-block, weights fully coalesced; memory-bound", .rank = 2,
    .accepts = matvec_accepts, .scratch = int8_scratch<8>, .chain = int8_chain<8>, .plan = int8_c8_plan,
};
BF_REGISTER(int8_c8);
static const bf_kernel int8_r4 = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_r4", .file = "q4k_matvec", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "int8", .summary = "4 lanes a super-block, 4 rows a warp: half the reads of x; memory-bound", .rank = 1,
    .accepts = int8_r4_accepts, .scratch = int8_scratch<4>, .chain = int8_chain<4>, .plan = int8_r4_plan,
};
BF_REGISTER(int8_r4);
#endif
