/* q4k_matvec on RDNA 3.5 (gfx1151): y = W x for 1..8 columns. Two paths: int8 dots and plain fp32.
 *
 * Bound: memory. 144 bytes bring 256 weights; 256 GB/s of LPDDR5X are 455 G weights/s. 40 CUs of 64 lanes at 2.9 GHz
 * issue 7.4 T lane-instructions/s: 16 a weight, so int8 has room to spare (1.0 a weight with one column, 3.6 with
 * eight) and fp32 enough (3.6 and 8.6). What must be watched is the way from the caches to the lanes: the activations
 * are small but are read again for every row. Hence R rows a wave, and activations laid out in the order in which
 * lanes ask for them.
 *
 * int8. Launch 1 quantises x (XQ, XD, XS) and leaves a second copy in scratch, in lane order. Launch 2: one wave is a
 * workgroup and owns R rows. Four lanes share a super-block, a wave takes eight (1,152 consecutive bytes); a lane
 * loads 16 bytes of header and 32 of nibbles, all 128 bit, and works on two whole sub-blocks (q4k_pair.h). High
 * nibbles are masked in place. Its activations come in five 128-bit loads a column, each of a wave's 512 consecutive
 * bytes: two for each sub-block's 32 q, one for both d and both s (as floats: no conversion in the loop).
 *   scratch, a column: for each eight super-blocks five pieces of 32 lanes x 16 bytes:
 *     piece 0, 1: low sub-block   2, 3: high sub-block   4: d low, d high, s low, s high
 * v_cvt_f32_i32 runs at full rate here, so integer sums start at 0. The R sums of a column are folded over the wave
 * together: log2(R) steps that halve the values, then the rest (R = 4: 6 exchanges in place of 20), by ds_bpermute.
 *
 * fp32. Eight waves share activations in LDS, widened to fp32, 1,024 of each column at a time, stored so that the
 * lanes' 128-bit reads and the threads' writes are free of bank conflicts (17 in place of 16 slots a row). A half-wave
 * owns two rows, a lane again a quarter of a super-block: weight = fma(scale, q, -least), then one fma a column.
 *
 * Tried and left: one row a wave (variant _r1: more waves, twice the cache traffic for activations), four rows with
 * one column (more instructions, 102 VGPRs). Eight lanes a super-block would coalesce better but decode each scale
 * twice; L0 needs 30 clocks for what memory brings in 500, so there is nothing to win.
 *
 * Static, clang 19.1, gfx1151, no spills, all global loads of the loops 128 bit (make isa prints the same):
 *   columns                  1      2      3      4      5      6      7      8
 *   int8  VALU a weight   1.00   1.46   1.84   2.23   2.52   2.86   3.26   3.55     v_dot4 alone: 0.25 a column
 *         VGPRs             82    103    101    107    160    184    222    244
 *         waves a SIMD      16     12     12     12      9      8      6      5     registers; no LDS
 *   _r1   VALU a weight   1.08   1.47   1.84   2.27
 *   fp32  VALU a weight   3.59   4.57   5.31   5.78   6.46   7.23   7.89   8.64     x fp32; fp16 +0.04 to +0.4
 *         VGPRs             73     85     98    111    119    129    139    213     dual-issued FMAs count once
 *         waves a SIMD      16     16     12     12     12     10      8      6
 * Compiled, run under simt, not run on a GPU.
 *
 * Just this one:  blackframe check --backend simt-hip q4k_matvec   (on a machine with the card: --backend hip) */
#include "q4k_matvec_plain.h"
#include "q4k_pair.h"
#include "q4k_quantise.h"

constexpr int WAVE = 32, PIECE = WAVE * 16, PIECES = 5;

BF_KERNEL_FN(q4k_matvec_fp32_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_fp32_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_quantise_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(q4k_matvec_int8_naive, matvec_args, MATVEC_NAIVE_THREADS) { matvec_int8_body<MATVEC_SOUND>(a); }

/* ---- shared by both paths ---- */

/* Sums v[r] over groups of LANES lanes, R values at once. The lane's result belongs to row (lane % LANES) / (LANES / R).
 * R and LANES are powers of two. */
template <int R, int LANES> BF_FN float matvec_fold(float v[R]) {
    int lane = bf_lane(), mask = LANES / 2;
#pragma unroll
    for (int half = R / 2; half >= 1; half /= 2, mask /= 2) {
        bool upper = (lane & mask) != 0;
#pragma unroll
        for (int i = 0; i < half; i++) {
            float keep = upper ? v[i + half] : v[i], give = upper ? v[i] : v[i + half];
            v[i] = keep + bf_shfl_xor_f(give, mask);
        }
    }
#pragma unroll
    for (; mask; mask /= 2) v[0] += bf_shfl_xor_f(v[0], mask);
    return v[0];
}
BF_FN const char *matvec_row(const matvec_args &a, int row) { /* rows past the end read the last one again */
    return (const char *)a.w + (int64_t)(row < a.m ? row : a.m - 1) * (a.k / BF_Q4_K_WEIGHTS) * BF_Q4_K_BYTES;
}
/* ---- int8 path: quantiser ---- */
constexpr int QUANTISE_THREADS = BF_Q4_K_WEIGHTS / 4;

/* Where (column, super-block)'s lane slots of scratch begin. */
BF_FN char *matvec_slots(const matvec_args &a, int column, int super) {
    int trips = (a.k / BF_Q4_K_WEIGHTS + 7) / 8;
    return a.scratch + (int64_t)(column * trips + super / 8) * (PIECE * PIECES) + super % 8 * (4 * 16);
}

/* A workgroup quantises 256 values of a column (grid y), a thread four of them, eight lanes a block. */
BF_KERNEL_FN(q4k_quantise_vec, matvec_args, QUANTISE_THREADS) {
    int t = bf_tid_x(), super = bf_bid_x(), column = bf_bid_y(), sub = t / 8, quad = t % 8;
    int64_t at = (int64_t)column * a.k + super * BF_Q4_K_WEIGHTS + 4 * t;
    quantised4 v = quantise4(a, at);

    char *slot = matvec_slots(a, column, super) + sub / 2 * 16;
    ((uint32_t *)(slot + (sub % 2 * 2 + quad / 4) * PIECE))[quad % 4] = v.word;
    if (quad == 0) {
        ((float *)(slot + 4 * PIECE))[sub % 2] = v.d;
        ((float *)(slot + 4 * PIECE))[2 + sub % 2] = (float)v.s;
    }
}

/* ---- int8 path: product ---- */
BF_FN int32_t matvec_dot32(const bf_u32x4 w[2], bf_u32x4 x0, bf_u32x4 x1, uint32_t mask) {
    int32_t s = bf_dp4a_us(w[0].x & mask, (int32_t)x0.x, 0);
    s = bf_dp4a_us(w[0].y & mask, (int32_t)x0.y, s);
    s = bf_dp4a_us(w[0].z & mask, (int32_t)x0.z, s);
    s = bf_dp4a_us(w[0].w & mask, (int32_t)x0.w, s);
    s = bf_dp4a_us(w[1].x & mask, (int32_t)x1.x, s);
    s = bf_dp4a_us(w[1].y & mask, (int32_t)x1.y, s);
    s = bf_dp4a_us(w[1].z & mask, (int32_t)x1.z, s);
    return bf_dp4a_us(w[1].w & mask, (int32_t)x1.w, s);
}

/* Columns N * bid_y ... , rows R * bid_x ... . The integer sums are at most 16 * 15 * 127 * 32 < 2^24: exact as floats. */
template <int N, int R, bool ALIGNED> BF_FN void matvec_int8_wave(const matvec_args &a) {
    int lane = bf_tid_x(), pair = lane % 4, supers = a.k / BF_Q4_K_WEIGHTS, row = bf_bid_x() * R, column = bf_bid_y() * N;
    int64_t stride = (int64_t)((supers + 7) / 8) * (PIECE * PIECES);
    const char *w[R], *x = a.scratch + column * stride;
    float sum[N][R];
    for (int r = 0; r < R; r++) w[r] = matvec_row(a, row + r);
    for (int c = 0; c < N; c++)
        for (int r = 0; r < R; r++) sum[c][r] = 0.0f;

    uint32_t at = (uint32_t)(lane / 4) * BF_Q4_K_BYTES, mine = (uint32_t)lane * 16;
    for (int super = lane / 4; super < supers; super += 8, at += 8 * BF_Q4_K_BYTES, x += PIECE * PIECES) {
        bf_u32x4 q[R][2];
        q4k_pair p[R];
        for (int r = 0; r < R; r++) {
            p[r] = q4k_pair_of(q4k_load16(w[r] + at, ALIGNED), pair);
            for (int h = 0; h < 2; h++) q[r][h] = q4k_load16(w[r] + at + 16 + pair * 32 + 16 * h, ALIGNED);
        }
        for (int c = 0; c < N; c++) {
            bf_u32x4 v[PIECES];
            for (int i = 0; i < PIECES; i++) v[i] = bf_ld_u32x4(x + c * stride + i * PIECE + mine);
            float d0 = bf_bits_f(v[4].x), d1 = bf_bits_f(v[4].y), s0 = bf_bits_f(v[4].z), s1 = bf_bits_f(v[4].w);
            for (int r = 0; r < R; r++) {
                float dot0 = (float)matvec_dot32(q[r], v[0], v[1], Q4K_LOW);
                float dot1 = (float)matvec_dot32(q[r], v[2], v[3], Q4K_HIGH);
                sum[c][r] = bf_fma(d0, bf_fma(p[r].scale[0], dot0, -(p[r].least[0] * s0)), sum[c][r]);
                sum[c][r] = bf_fma(d1, bf_fma(p[r].scale[1], dot1, -(p[r].least[1] * s1)), sum[c][r]);
            }
        }
    }
    row += lane / (WAVE / R);
    for (int c = 0; c < N; c++) {
        float y = matvec_fold<R, WAVE>(sum[c]);
        if (lane % (WAVE / R) == 0 && row < a.m) a.y[(int64_t)(column + c) * a.m + row] = y;
    }
}

/* isa: q4k_matvec_int8_n1 unit=weight per_trip=128 cols=1 gate=dot,load128 max=1.1 */
/* isa: q4k_matvec_int8_n2 unit=weight per_trip=128 cols=2 gate=dot,load128 max=1.6 */
/* isa: q4k_matvec_int8_n3 unit=weight per_trip=128 cols=3 gate=dot,load128 max=2.0 */
/* isa: q4k_matvec_int8_n4 unit=weight per_trip=128 cols=4 gate=dot,load128 max=2.4 */
/* isa: q4k_matvec_int8_n5 unit=weight per_trip=256 cols=5 gate=dot,load128 max=2.7 */
/* isa: q4k_matvec_int8_n6 unit=weight per_trip=256 cols=6 gate=dot,load128 max=3.1 */
/* isa: q4k_matvec_int8_n7 unit=weight per_trip=256 cols=7 gate=dot,load128 max=3.5 */
/* isa: q4k_matvec_int8_n8 unit=weight per_trip=256 cols=8 gate=dot,load128 max=3.8 */
constexpr int matvec_rows(int n) { return n <= 4 ? 2 : 4; }
BF_KERNEL_FN(q4k_matvec_int8_n1, matvec_args, WAVE) { matvec_int8_wave<1, matvec_rows(1), true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_n2, matvec_args, WAVE) { matvec_int8_wave<2, matvec_rows(2), true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_n3, matvec_args, WAVE) { matvec_int8_wave<3, matvec_rows(3), true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_n4, matvec_args, WAVE) { matvec_int8_wave<4, matvec_rows(4), true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_n5, matvec_args, WAVE) { matvec_int8_wave<5, matvec_rows(5), true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_n6, matvec_args, WAVE) { matvec_int8_wave<6, matvec_rows(6), true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_n7, matvec_args, WAVE) { matvec_int8_wave<7, matvec_rows(7), true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_n8, matvec_args, WAVE) { matvec_int8_wave<8, matvec_rows(8), true>(a); }

/* isa: q4k_matvec_int8_r1_n* unit=weight per_trip=64 cols=n gate=dot,load128 max=2.5 */
BF_KERNEL_FN(q4k_matvec_int8_r1_n1, matvec_args, WAVE) { matvec_int8_wave<1, 1, true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_r1_n2, matvec_args, WAVE) { matvec_int8_wave<2, 1, true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_r1_n3, matvec_args, WAVE) { matvec_int8_wave<3, 1, true>(a); }
BF_KERNEL_FN(q4k_matvec_int8_r1_n4, matvec_args, WAVE) { matvec_int8_wave<4, 1, true>(a); }

/* Addresses that are not 16-byte aligned: the same sums in the same order, a column in each grid y. */
/* isa: q4k_matvec_int8_any unit=weight per_trip=64 cols=1 gate=dot */
BF_KERNEL_FN(q4k_matvec_int8_any, matvec_args, WAVE) { matvec_int8_wave<1, 1, false>(a); }

/* ---- fp32 path ---- */
constexpr int FP32_THREADS = 256, FP32_ROWS = 2, HALF = 16, SLAB = 1024; /* columns of W in LDS at a time */
constexpr int SLOTS = HALF * (HALF + 1);                                 /* of 16 bytes, a column of the slab */

/* Sixteen slots for each of 16 lanes. Quads of x are numbered 16 * lane + i: i = 0..7 low, 8..15 high sub-block. */
BF_FN int matvec_slot(int lane, int i) { return i * (HALF + 1) + lane; }

/* TYPE BF_NONE: known at run time only, and x aligned to its element only. */
template <int N, int TYPE> BF_FN void matvec_stage(const matvec_args &a, int column, int slab, bf_f32x4 *x) {
    int quad = bf_tid_x(); /* 4 * FP32_THREADS = SLAB */
    if (slab * SLAB + 4 * quad >= a.k) return;
    bf_f32x4 v[N];
    for (int c = 0; c < N; c++)
        v[c] = matvec_read_x4(a.x, TYPE == BF_NONE ? a.x_type : TYPE, TYPE != BF_NONE,
                              (int64_t)(column + c) * a.k + slab * SLAB + 4 * quad);
    for (int c = 0; c < N; c++) x[c * SLOTS + matvec_slot(quad / 16, quad % 16)] = v[c];
}

/* One quad of weights against all columns. */
template <int N, int R>
BF_FN void matvec_quad(const bf_f32x4 *x, const uint32_t word[R], const float scale[R], const float least[R],
                       float sum[N][R]) {
    float w[R][4];
    for (int r = 0; r < R; r++)
        for (int i = 0; i < 4; i++) w[r][i] = bf_fma(scale[r], q4k_byte(word[r], i), -least[r]);
    for (int c = 0; c < N; c++) {
        bf_f32x4 v = x[c * SLOTS];
        for (int r = 0; r < R; r++)
            sum[c][r] = bf_fma(w[r][3], v.w, bf_fma(w[r][2], v.z, bf_fma(w[r][1], v.y, bf_fma(w[r][0], v.x, sum[c][r]))));
    }
}

template <int N, int R, int TYPE> BF_FN void matvec_fp32_group(const matvec_args &a, bf_f32x4 *x) {
    constexpr bool ALIGNED = TYPE != BF_NONE;
    int lane = bf_tid_x() % HALF, pair = lane % 4, supers = a.k / BF_Q4_K_WEIGHTS, column = bf_bid_y() * N;
    int row = (bf_bid_x() * (FP32_THREADS / HALF) + bf_tid_x() / HALF) * R;
    uint32_t low_mask = q4k_mask(Q4K_LOW), high_mask = q4k_mask(Q4K_HIGH);
    const char *w[R];
    float sum[N][R];
    for (int r = 0; r < R; r++) w[r] = matvec_row(a, row + r) + lane / 4 * BF_Q4_K_BYTES;
    for (int c = 0; c < N; c++)
        for (int r = 0; r < R; r++) sum[c][r] = 0.0f;

    for (int slab = 0; slab * SLAB < a.k; slab++) {
        bool inside = slab * 4 + lane / 4 < supers;
        bf_u32x4 header[R], q[R][2];
        for (int r = 0; r < R && inside; r++) { /* on their way while x is staged */
            header[r] = q4k_load16(w[r], ALIGNED);
            for (int h = 0; h < 2; h++) q[r][h] = q4k_load16(w[r] + 16 + pair * 32 + 16 * h, ALIGNED);
            w[r] += 4 * BF_Q4_K_BYTES;
        }
        bf_sync();
        matvec_stage<N, TYPE>(a, column, slab, x);
        bf_sync();
        if (!inside) continue;
        float scale[2][R], least[2][R];
        for (int r = 0; r < R; r++) {
            q4k_pair p = q4k_pair_of(header[r], pair);
            for (int h = 0; h < 2; h++) scale[h][r] = p.scale[h], least[h][r] = p.least[h];
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            uint32_t low[R], high[R];
            for (int r = 0; r < R; r++) {
                bf_u32x4 v = q[r][i / 4];
                uint32_t word = i % 4 == 0 ? v.x : i % 4 == 1 ? v.y : i % 4 == 2 ? v.z : v.w;
                low[r] = word & low_mask, high[r] = word & high_mask;
            }
            matvec_quad<N, R>(x + matvec_slot(lane, i), low, scale[0], least[0], sum);
            matvec_quad<N, R>(x + matvec_slot(lane, 8 + i), high, scale[1], least[1], sum);
        }
    }
    row += lane / (HALF / R);
    for (int c = 0; c < N; c++) {
        float y = matvec_fold<R, HALF>(sum[c]);
        if (lane % (HALF / R) == 0 && row < a.m) a.y[(int64_t)(column + c) * a.m + row] = y;
    }
}

/* x of 16 bits is staged by one 64-bit load a column. */
/* isa: q4k_matvec_fp32_f32_n1 unit=weight per_trip=128 gate=load128 max=4.0 */
/* isa: q4k_matvec_fp32_f32_n* unit=weight per_trip=128 gate=load128 max=9.5 */
/* isa: q4k_matvec_fp32_f16_n* unit=weight per_trip=128 gate=load128 narrow=8 max=10 */
/* isa: q4k_matvec_fp32_bf16_n* unit=weight per_trip=128 gate=load128 narrow=8 max=10 */
#define FP32(SYMBOL, N, TYPE)                          \
    BF_KERNEL_FN(SYMBOL, matvec_args, FP32_THREADS) {  \
        BF_SHARED bf_f32x4 x[N * SLOTS];               \
        matvec_fp32_group<N, FP32_ROWS, TYPE>(a, x);   \
    }
FP32(q4k_matvec_fp32_f32_n1, 1, BF_F32)
FP32(q4k_matvec_fp32_f32_n2, 2, BF_F32)
FP32(q4k_matvec_fp32_f32_n3, 3, BF_F32)
FP32(q4k_matvec_fp32_f32_n4, 4, BF_F32)
FP32(q4k_matvec_fp32_f32_n5, 5, BF_F32)
FP32(q4k_matvec_fp32_f32_n6, 6, BF_F32)
FP32(q4k_matvec_fp32_f32_n7, 7, BF_F32)
FP32(q4k_matvec_fp32_f32_n8, 8, BF_F32)
FP32(q4k_matvec_fp32_f16_n1, 1, BF_F16)
FP32(q4k_matvec_fp32_f16_n2, 2, BF_F16)
FP32(q4k_matvec_fp32_f16_n3, 3, BF_F16)
FP32(q4k_matvec_fp32_f16_n4, 4, BF_F16)
FP32(q4k_matvec_fp32_f16_n5, 5, BF_F16)
FP32(q4k_matvec_fp32_f16_n6, 6, BF_F16)
FP32(q4k_matvec_fp32_f16_n7, 7, BF_F16)
FP32(q4k_matvec_fp32_f16_n8, 8, BF_F16)
FP32(q4k_matvec_fp32_bf16_n1, 1, BF_BF16)
FP32(q4k_matvec_fp32_bf16_n2, 2, BF_BF16)
FP32(q4k_matvec_fp32_bf16_n3, 3, BF_BF16)
FP32(q4k_matvec_fp32_bf16_n4, 4, BF_BF16)
FP32(q4k_matvec_fp32_bf16_n5, 5, BF_BF16)
FP32(q4k_matvec_fp32_bf16_n6, 6, BF_BF16)
FP32(q4k_matvec_fp32_bf16_n7, 7, BF_BF16)
FP32(q4k_matvec_fp32_bf16_n8, 8, BF_BF16)
/* Addresses that are not 16-byte aligned: the same sums in the same order, a column in each grid y. */
FP32(q4k_matvec_fp32_any, 1, BF_NONE)

#if BF_HOST
static int fp32_naive_plan(const bf_problem *p, bf_step *s) {
    return matvec_plain_fp32(p, s, BF_STEP_FN(q4k_matvec_fp32_naive));
}
static const bf_kernel fp32_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "fp32", .summary = "a thread an output, one chain", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_fp32_naive_chain, .plan = fp32_naive_plan,
};
BF_REGISTER(fp32_naive);

static int int8_naive_plan(const bf_problem *p, bf_step *s) {
    return matvec_plain_int8(p, s, BF_STEP_FN(q4k_quantise_naive), BF_STEP_FN(q4k_matvec_int8_naive));
}
static const bf_kernel int8_naive = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_naive", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_NAIVE, .path = "int8", .summary = "a thread a block of x, then a thread an output", .rank = 0,
    .accepts = matvec_accepts, .chain = matvec_int8_naive_chain, .plan = int8_naive_plan,
};
BF_REGISTER(int8_naive);

/* ---- int8 ---- */
static int64_t trips(const bf_problem *p, int64_t weights) { return (p->dim[Q4K_MATVEC_K] + weights - 1) / weights; }
static uint64_t int8_scratch(const bf_problem *p) {
    return (uint64_t)(p->dim[Q4K_MATVEC_N] * trips(p, 8 * BF_Q4_K_WEIGHTS)) * (PIECE * PIECES);
}
/* Two sub-blocks a trip, five exchanges, the bracket; + 1: its product dmin*m*s rounds too. */
static int64_t int8_chain(const bf_problem *p) { return 2 * trips(p, 8 * BF_Q4_K_WEIGHTS) + 5 + 1 + 1; }

static int int8_steps(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> fn, int rows) {
    matvec_args a = matvec_arguments(p);
    bf_step_set(&s[0], BF_STEP_FN(q4k_quantise_vec), a.k / BF_Q4_K_WEIGHTS, a.n, QUANTISE_THREADS, 1, 0, a);
    if (a.aligned)
        bf_step_set(&s[1], fn, launch_groups(a.m, rows), 1, WAVE, 1, 0, a);
    else
        bf_step_set(&s[1], BF_STEP_FN(q4k_matvec_int8_any), a.m, a.n, WAVE, 1, 0, a);
    return 2;
}

static const bf_step_fn<matvec_args> int8_fn[Q4K_MATVEC_MAX_N] = {
    BF_STEP_FN(q4k_matvec_int8_n1), BF_STEP_FN(q4k_matvec_int8_n2), BF_STEP_FN(q4k_matvec_int8_n3),
    BF_STEP_FN(q4k_matvec_int8_n4), BF_STEP_FN(q4k_matvec_int8_n5), BF_STEP_FN(q4k_matvec_int8_n6),
    BF_STEP_FN(q4k_matvec_int8_n7), BF_STEP_FN(q4k_matvec_int8_n8),
};
static int int8_plan(const bf_problem *p, bf_step *s) {
    int n = (int)p->dim[Q4K_MATVEC_N];
    return int8_steps(p, s, int8_fn[n - 1], matvec_rows(n));
}
static const bf_kernel int8 = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8", .file = "q4k_matvec", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "int8", .summary = "4 lanes a super-block, 2 or 4 rows a wave, v_dot4; memory-bound", .rank = 20,
    .accepts = matvec_accepts, .scratch = int8_scratch, .chain = int8_chain, .plan = int8_plan,
};
BF_REGISTER(int8);

static const bf_step_fn<matvec_args> int8_r1_fn[] = {
    BF_STEP_FN(q4k_matvec_int8_r1_n1), BF_STEP_FN(q4k_matvec_int8_r1_n2), BF_STEP_FN(q4k_matvec_int8_r1_n3),
    BF_STEP_FN(q4k_matvec_int8_r1_n4),
};
static int int8_r1_accepts(const bf_problem *p) { return matvec_accepts(p) && p->dim[Q4K_MATVEC_N] <= 4; }
static int int8_r1_plan(const bf_problem *p, bf_step *s) { return int8_steps(p, s, int8_r1_fn[p->dim[Q4K_MATVEC_N] - 1], 1); }
static const bf_kernel int8_r1 = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8_r1", .file = "q4k_matvec", .target = BF_STEP_TARGET,
    .role = BF_TUNED, .path = "int8", .summary = "as q4k_matvec_int8, one row a wave, up to 4 columns", .rank = 10,
    .accepts = int8_r1_accepts, .scratch = int8_scratch, .chain = int8_chain, .plan = int8_r1_plan,
};
BF_REGISTER(int8_r1);

/* ---- fp32 ---- */
/* 64 weights a slab, four exchanges; + 1: the weight itself is rounded. */
static int64_t fp32_chain(const bf_problem *p) { return 64 * trips(p, SLAB) + 4 + 1; }

static const bf_step_fn<matvec_args> fp32_fn[3][Q4K_MATVEC_MAX_N] = {
    {BF_STEP_FN(q4k_matvec_fp32_f32_n1), BF_STEP_FN(q4k_matvec_fp32_f32_n2), BF_STEP_FN(q4k_matvec_fp32_f32_n3),
     BF_STEP_FN(q4k_matvec_fp32_f32_n4), BF_STEP_FN(q4k_matvec_fp32_f32_n5), BF_STEP_FN(q4k_matvec_fp32_f32_n6),
     BF_STEP_FN(q4k_matvec_fp32_f32_n7), BF_STEP_FN(q4k_matvec_fp32_f32_n8)},
    {BF_STEP_FN(q4k_matvec_fp32_f16_n1), BF_STEP_FN(q4k_matvec_fp32_f16_n2), BF_STEP_FN(q4k_matvec_fp32_f16_n3),
     BF_STEP_FN(q4k_matvec_fp32_f16_n4), BF_STEP_FN(q4k_matvec_fp32_f16_n5), BF_STEP_FN(q4k_matvec_fp32_f16_n6),
     BF_STEP_FN(q4k_matvec_fp32_f16_n7), BF_STEP_FN(q4k_matvec_fp32_f16_n8)},
    {BF_STEP_FN(q4k_matvec_fp32_bf16_n1), BF_STEP_FN(q4k_matvec_fp32_bf16_n2), BF_STEP_FN(q4k_matvec_fp32_bf16_n3),
     BF_STEP_FN(q4k_matvec_fp32_bf16_n4), BF_STEP_FN(q4k_matvec_fp32_bf16_n5), BF_STEP_FN(q4k_matvec_fp32_bf16_n6),
     BF_STEP_FN(q4k_matvec_fp32_bf16_n7), BF_STEP_FN(q4k_matvec_fp32_bf16_n8)},
};
static int fp32_plan(const bf_problem *p, bf_step *s) {
    matvec_args a = matvec_arguments(p);
    int64_t groups = launch_groups(a.m, FP32_THREADS / HALF * FP32_ROWS);
    if (a.aligned)
        bf_step_set(&s[0], fp32_fn[a.x_type == BF_F32 ? 0 : a.x_type == BF_F16 ? 1 : 2][a.n - 1], groups, 1, FP32_THREADS, 1, 0, a);
    else
        bf_step_set(&s[0], BF_STEP_FN(q4k_matvec_fp32_any), groups, a.n, FP32_THREADS, 1, 0, a);
    return 1;
}
static const bf_kernel fp32 = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32", .file = "q4k_matvec", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "fp32", .summary = "x in LDS, 4 lanes a super-block, 2 rows a half-wave; memory-bound", .rank = 20,
    .accepts = matvec_accepts, .chain = fp32_chain, .plan = fp32_plan,
};
BF_REGISTER(fp32);
#endif
