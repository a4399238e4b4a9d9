/* qblock_dequant and qblock_matmul (Q6_K, Q8_0, MXFP4; contract: kernels/common/qblock.h). One text for sm_61 and, included by
 * kernels/hip/qblock.hip, for gfx1151: what decides here is how bytes are fetched, and that is the same for both.
 *
 * qblock_dequant_naive, qblock_fp32_naive, qblock_int8_naive   a thread a weight or an output; also for pointers that are not aligned.
 *
 * Alignment. Blocks have 210 and 34 bytes, so every other one starts 2 bytes past a word: no load wider than 32 bits is possible
 * on the weights, and of the odd blocks each word is put together from two aligned ones by a shift. A lane has two words in
 * a row (8 bytes), which costs 3 loads and 2 shifts in place of one 64-bit load; neighbouring lanes' bytes are contiguous,
 * so that the third load is a cache hit. With Q6_K 0.41 loads a weight, where Q4_K needs 0.08.
 *
 * qblock_int8   x is quantised once (q4k_quantise.h), in its natural order: no second layout is needed, because
 *               - Q6_K: a lane takes 8 bytes at the same place of both halves of low bits and of the high bits: 32 weights,
 *                 8 in each of four quarters; in x those are 8 bytes at distances of 32, and the four scales d_x are one
 *                 128-bit load. Eight lanes a super-block, two rows a warp. The 32 that is subtracted from every 6-bit
 *                 value is a dot product of x with -32, made once for all rows;
 *               - Q8_0: four lanes a block, 8 bytes of weights and of x each, four rows a warp;
 *               - MXFP4: two lanes a block, 8 bytes each: 8 low nibbles and the 8 high ones 16 weights further on. A table in
 *                 registers makes bytes 12 + 2 v of the codes: on sm_61 PRMT takes the packed nibbles as selectors, the values of
 *                 one sign in a first table, of the other in a second one, and two more put the bytes in order; on gfx1151
 *                 v_perm_b32 takes the magnitude of a code in a byte of its own. 12 times the sum of x is subtracted as with Q6_K.
 *                 Blocks have 17 bytes and start anywhere: three aligned loads and two shifts for eight bytes.
 *               A warp goes on by 272 bytes of Q8_0 or MXFP4, so that how a lane is off stays: found once, before the loop.
 *               dp4a (v_dot4) sums are exact; on sm_61 they start at 1.5 * 2^23, so that one FADD makes a float of them.
 * qblock_fp32   the same walk with x widened to fp32 in its natural order by a first launch (none where x is fp32 already);
 *               per 8 weights one chain of FMAs on q x, then one FMA with the exact d*sc.
 * More than eight columns: the grid has a group of up to eight columns in y, each of which reads W again (through L2 where it
 * fits). That is right for decode and short prompts; long prompts deserve a tile, which does not exist yet.
 * qblock_dequant_vec  a lane a word (Q8_0) or one word of each plane (Q6_K, 16 weights); stores of 128 or 64 bits, contiguous over
 *               eight lanes.
 *
 * Expected bound: memory. At 346 GB/s a P40 reads 422 G weights/s of Q6_K, 326 of Q8_0 and 651 of MXFP4, where 14, 18 and 9
 * lane-instructions a weight are affordable.
 *
 * Static counts: `make isa`. Compiled, run under simt, not run on a GPU.
 * Only these: blackframe check qblock_dequant qblock_matmul --tuned --backend simt-cuda */
/* isa: qblock_int8_q6k_n1 unit=weight per_trip=64 share=IDP:8 max=4.4 */
/* isa: qblock_int8_q6k_n2 unit=weight per_trip=64 share=IDP:13 max=5.5 */
/* isa: qblock_int8_q6k_n4 unit=weight per_trip=64 share=IDP:20 max=7.6 */
/* isa: qblock_int8_q6k_n8 unit=weight per_trip=64 share=IDP:25 max=11.6 */
/* isa: qblock_int8_q80_n1 unit=weight per_trip=32 gate=dot cols=1 max=3.3 */
/* isa: qblock_int8_q80_n2 unit=weight per_trip=32 gate=dot cols=2 max=4.2 */
/* isa: qblock_int8_q80_n4 unit=weight per_trip=16 gate=dot cols=4 max=7.3 */
/* isa: qblock_int8_q80_n8 unit=weight per_trip=16 gate=dot cols=8 max=11.5 */
/* isa: qblock_fp32_q6k_n1 unit=weight per_trip=64 max=7.9 */
/* isa: qblock_fp32_q6k_n2 unit=weight per_trip=64 max=9.4 */
/* isa: qblock_fp32_q6k_n4 unit=weight per_trip=64 max=12.4 */
/* isa: qblock_fp32_q6k_n8 unit=weight per_trip=64 max=18.2 */
/* isa: qblock_fp32_q80_n1 unit=weight per_trip=32 max=6.8 */
/* isa: qblock_fp32_q80_n2 unit=weight per_trip=32 max=8.1 */
/* isa: qblock_fp32_q80_n4 unit=weight per_trip=16 max=11.6 */
/* isa: qblock_fp32_q80_n8 unit=weight per_trip=16 max=17.5 */
/* isa: qblock_dequant_q6k_f32 unit=weight per_trip=16 max=11.2 */
/* isa: qblock_dequant_q6k_f16 unit=weight per_trip=16 max=12.8 */
/* isa: qblock_dequant_q6k_bf16 unit=weight per_trip=16 max=19.5 */
/* isa: qblock_dequant_q80_f32 unit=weight per_trip=4 max=16.3 */
/* isa: qblock_dequant_q80_f16 unit=weight per_trip=4 max=17.6 */
/* isa: qblock_dequant_q80_bf16 unit=weight per_trip=4 max=24.8 */
/* isa: qblock_int8_mxfp4_n1 unit=weight per_trip=32 share=IDP:8 max=4.1 */
/* isa: qblock_int8_mxfp4_n2 unit=weight per_trip=32 share=IDP:14 max=4.9 */
/* isa: qblock_int8_mxfp4_n4 unit=weight per_trip=32 share=IDP:21 max=6.7 */
/* isa: qblock_int8_mxfp4_n8 unit=weight per_trip=32 share=IDP:28 max=10.2 */
/* isa: qblock_fp32_mxfp4_n1 unit=weight per_trip=32 max=7.4 */
/* isa: qblock_fp32_mxfp4_n2 unit=weight per_trip=32 max=8.8 */
/* isa: qblock_fp32_mxfp4_n4 unit=weight per_trip=32 max=11.6 */
/* isa: qblock_fp32_mxfp4_n8 unit=weight per_trip=32 max=17.3 */
/* isa: qblock_dequant_mxfp4_f32 unit=weight per_trip=8 max=12.9 */
/* isa: qblock_dequant_mxfp4_f16 unit=weight per_trip=8 max=14.5 */
/* isa: qblock_dequant_mxfp4_bf16 unit=weight per_trip=8 max=20.6 */
#include "../common/qblock_tuned.h"

#define NAIVE(F, B)                                                                                                             \
    BF_KERNEL_FN(qblock_dequant_##F##_naive, qblock_dequant_args, QBLOCK_NAIVE_THREADS) { qblock_dequant_body<B, MATVEC_SOUND>(a); } \
    BF_KERNEL_FN(qblock_fp32_##F##_naive, matvec_args, QBLOCK_NAIVE_THREADS) { qblock_fp32_body<B, MATVEC_SOUND>(a); }               \
    BF_KERNEL_FN(qblock_int8_##F##_naive, matvec_args, QBLOCK_NAIVE_THREADS) { qblock_int8_body<B, MATVEC_SOUND>(a); }
QBLOCK_EACH_FORMAT(NAIVE)
BF_KERNEL_FN(qblock_quantise_naive, matvec_args, QBLOCK_NAIVE_THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }

/* Columns a block: 1, 2, 4 or 8; rows a warp. */
#define EACH_N(K) K(1) K(2) K(4) K(8)
#define Q8_ROWS(n) ((n) <= 2 ? 4 : 2)
#define PRODUCTS(N)                                                                             \
    BF_KERNEL_FN(qblock_int8_q6k_n##N, matvec_args, QBLOCK_THREADS) { int8_q6k<N, 2>(a); }             \
    BF_KERNEL_FN(qblock_fp32_q6k_n##N, matvec_args, QBLOCK_THREADS) { fp32_q6k<N, 2>(a); }             \
    BF_KERNEL_FN(qblock_int8_q80_n##N, matvec_args, QBLOCK_THREADS) { int8_block32<bf_q8_0, N, Q8_ROWS(N)>(a); } \
    BF_KERNEL_FN(qblock_fp32_q80_n##N, matvec_args, QBLOCK_THREADS) { fp32_block32<bf_q8_0, N, Q8_ROWS(N)>(a); } \
    BF_KERNEL_FN(qblock_int8_mxfp4_n##N, matvec_args, QBLOCK_THREADS) { int8_block32<bf_mxfp4, N, 2>(a); } \
    BF_KERNEL_FN(qblock_fp32_mxfp4_n##N, matvec_args, QBLOCK_THREADS) { fp32_block32<bf_mxfp4, N, 2>(a); }
EACH_N(PRODUCTS)

BF_KERNEL_FN(qblock_quantise, matvec_args, QBLOCK_THREADS) { quantise_x(a); }
BF_KERNEL_FN(qblock_widen, matvec_args, QBLOCK_THREADS) { widen_x(a); }
#define DEQUANTS(F)                                                                                 \
    BF_KERNEL_FN(qblock_dequant_##F##_f32, qblock_dequant_args, QBLOCK_THREADS) { dequant_##F<BF_F32>(a); } \
    BF_KERNEL_FN(qblock_dequant_##F##_f16, qblock_dequant_args, QBLOCK_THREADS) { dequant_##F<BF_F16>(a); } \
    BF_KERNEL_FN(qblock_dequant_##F##_bf16, qblock_dequant_args, QBLOCK_THREADS) { dequant_##F<BF_BF16>(a); }
DEQUANTS(q6k)
DEQUANTS(q80)
DEQUANTS(mxfp4)

#if BF_HOST
static const qblock_steps<qblock_dequant_args> dequant_naive_each = QBLOCK_STEPS(qblock_dequant, _naive);
static const qblock_steps<matvec_args> fp32_naive_each = QBLOCK_STEPS(qblock_fp32, _naive), int8_naive_each = QBLOCK_STEPS(qblock_int8, _naive);
static int dequant_naive_plan(const bf_problem *p, bf_step *s) { return qblock_naive_dequant(p, s, dequant_naive_each); }
static int fp32_naive_plan(const bf_problem *p, bf_step *s) { return qblock_naive_fp32(p, s, fp32_naive_each); }
static int int8_naive_plan(const bf_problem *p, bf_step *s) { return qblock_naive_int8(p, s, BF_STEP_FN(qblock_quantise_naive), int8_naive_each); }
static const bf_kernel dequant_naive = {
    .op = "qblock_dequant", .name = "qblock_dequant_naive", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread a weight", .rank = 0, .accepts = qblock_dequant_accepts, .plan = dequant_naive_plan,
};
BF_REGISTER(dequant_naive);
static const bf_kernel fp32_naive = {
    .op = "qblock_matmul", .name = "qblock_fp32_naive", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .path = "fp32", .summary = "a thread an output, one chain of FMAs", .rank = 0, .accepts = qblock_accepts,
    .chain = qblock_fp32_naive_chain, .plan = fp32_naive_plan,
};
BF_REGISTER(fp32_naive);
static const bf_kernel int8_naive = {
    .op = "qblock_matmul", .name = "qblock_int8_naive", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .path = "int8", .summary = "a thread a block of x, then a thread an output", .rank = 0, .accepts = qblock_accepts,
    .chain = qblock_int8_naive_chain, .plan = int8_naive_plan,
};
BF_REGISTER(int8_naive);

/* ---- tuned ---- */
enum { DEQUANT_BLOCKS = 4096 };

/* The plain kernels take pointers that are not aligned (NULL, not placed yet, counts as aligned). W to a word, because blocks that are not
 * aligned are read by whole words; those of MXFP4 must not reach behind the tensor's end. */
static int words_of(const bf_problem *p) {
    return qblock_aligned(p->ptr[Q4K_MATVEC_W], 4) &&
           (qblock_format(p) != QBLOCK_MXFP4 || p->dim[Q4K_MATVEC_M] * p->dim[Q4K_MATVEC_K] / 32 * BF_MXFP4_BYTES % 4 == 0);
}
static_assert((int)Q4K_MATVEC_M == (int)Q4K_DEQUANT_M && (int)Q4K_MATVEC_K == (int)Q4K_DEQUANT_K, "one words_of for both ops");
static int aligned(const bf_problem *p) {
    return words_of(p) && qblock_aligned(p->ptr[Q4K_MATVEC_X], 16) && qblock_aligned(p->ptr[Q4K_MATVEC_XQ], 16) &&
           qblock_aligned(p->ptr[Q4K_MATVEC_XD], 16);
}
static int product_accepts(const bf_problem *p) { return qblock_accepts(p) && p->dim[Q4K_MATVEC_N] <= 65535 * QBLOCK_COLUMNS; }

/* By format: weights of a trip of all lanes, addends that it brings a lane (int8, fp32), dequantised weights a lane. */
static const struct {
    int trip, int8, fp32, each;
} walk[QBLOCK_FORMATS] = {{1024, 4, 4, 16}, {256, 1, 1, 4}, {512, 1, 2, 8}};
/* Trips of a lane, and the warp's sum. */
static int64_t tuned_chain(const bf_problem *p, int addends) {
    int trip = walk[qblock_format(p)].trip;
    return addends * ((p->dim[Q4K_MATVEC_K] + trip - 1) / trip) + 5;
}
static int64_t int8_chain(const bf_problem *p) { return aligned(p) ? tuned_chain(p, walk[qblock_format(p)].int8) : qblock_int8_naive_chain(p); }
/* And the eight weights before. */
static int64_t fp32_chain(const bf_problem *p) { return aligned(p) ? 7 + tuned_chain(p, walk[qblock_format(p)].fp32) : qblock_fp32_naive_chain(p); }
static uint64_t fp32_scratch(const bf_problem *p) {
    return p->type[Q4K_MATVEC_X] == BF_F32 ? 0 : 4 * (uint64_t)p->dim[Q4K_MATVEC_N] * (uint64_t)p->dim[Q4K_MATVEC_K];
}

static int product_step(const matvec_args &a, int format, bf_step *s, const qblock_steps<matvec_args> (&by_n)[4]) {
    int at = a.n <= 2 ? (int)a.n - 1 : a.n <= 4 ? 2 : 3, rows = format == QBLOCK_Q80 && at < 2 ? 4 : 2;
    bf_step_set(s, by_n[at][format], qblock_groups(a.m, QBLOCK_WARPS * rows), qblock_groups(a.n, QBLOCK_COLUMNS), QBLOCK_THREADS, 1, 0, a);
    return 1;
}
static int int8_plan(const bf_problem *p, bf_step *s) {
#define STEPS(N) QBLOCK_STEPS(qblock_int8, _n##N),
    static const qblock_steps<matvec_args> by_n[] = {EACH_N(STEPS)};
#undef STEPS
    matvec_args a = qblock_arguments(p);
    if (!aligned(p)) return int8_naive_plan(p, s);
    bf_step_set(&s[0], BF_STEP_FN(qblock_quantise), qblock_groups((int64_t)a.n * a.k, 4 * QBLOCK_THREADS), 1, QBLOCK_THREADS, 1, 0, a);
    return 1 + product_step(a, qblock_format(p), &s[1], by_n);
}
static int fp32_plan(const bf_problem *p, bf_step *s) {
#define STEPS(N) QBLOCK_STEPS(qblock_fp32, _n##N),
    static const qblock_steps<matvec_args> by_n[] = {EACH_N(STEPS)};
#undef STEPS
    matvec_args a = qblock_arguments(p);
    if (!aligned(p)) return fp32_naive_plan(p, s);
    if (a.x_type == BF_F32) return product_step(a, qblock_format(p), s, by_n);
    bf_step_set(&s[0], BF_STEP_FN(qblock_widen), qblock_groups((int64_t)a.n * a.k, 4 * QBLOCK_THREADS), 1, QBLOCK_THREADS, 1, 0, a);
    a.x = (const void *)a.scratch;
    return 1 + product_step(a, qblock_format(p), &s[1], by_n);
}
static int dequant_plan(const bf_problem *p, bf_step *s) {
    static const qblock_steps<qblock_dequant_args> f32 = QBLOCK_STEPS(qblock_dequant, _f32), f16 = QBLOCK_STEPS(qblock_dequant, _f16),
                                                   bf16 = QBLOCK_STEPS(qblock_dequant, _bf16);
    qblock_dequant_args a = qblock_dequant_arguments(p);
    int format = qblock_format(p);
    if (!words_of(p) || !qblock_aligned(a.y, 16)) return dequant_naive_plan(p, s);
    bf_step_set(&s[0], (a.to == BF_F32 ? f32 : a.to == BF_F16 ? f16 : bf16)[format],
                qblock_groups(a.n, walk[format].each * QBLOCK_THREADS, DEQUANT_BLOCKS), 1, QBLOCK_THREADS, 1, 0, a);
    return 1;
}
static const bf_kernel dequant = {
    .op = "qblock_dequant", .name = "qblock_dequant_vec", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "words joined from aligned halves, wide stores; memory-bound", .rank = 1, .accepts = qblock_dequant_accepts,
    .plan = dequant_plan,
};
BF_REGISTER(dequant);
static const bf_kernel fp32 = {
    .op = "qblock_matmul", .name = "qblock_fp32", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "fp32", .summary = "a warp 2 or 4 rows, x widened once; memory-bound to 4 columns", .rank = 1,
    .accepts = product_accepts, .scratch = fp32_scratch, .chain = fp32_chain, .plan = fp32_plan,
};
BF_REGISTER(fp32);
static const bf_kernel int8 = {
    .op = "qblock_matmul", .name = "qblock_int8", .file = "qblock", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "int8", .summary = "a warp 2 or 4 rows, dp4a on x in its natural order; memory-bound to 8 columns", .rank = 1,
    .accepts = product_accepts, .chain = int8_chain, .plan = int8_plan,
};
BF_REGISTER(int8);
#endif
