/* norm for sm_61 (contract: kernels/common/norm.h).
 *
 * norm_naive   a thread a row, one chain a sum. The plain version; also what every other is measured against.
 * norm_row     (../common/norm_block.h, shared by both vendors) the row stays in registers, 32 values a thread, between three
 *              passes: largest value, for the scale; mean, and the mean of what the subtraction left; squares. A warp takes a row
 *              of up to 1,024 values (up to 256 with 8 values a thread, so that no lanes idle), 128, 256 or 512 threads
 *              one of up to 4,096, 8,192, 16,384. One barrier a reduction: each has its own words of shared memory.
 *              Longer rows (group norm of a VAE): slabs of 16,384 in two launches; the first leaves exponent, mean as two
 *              words and squares of each slab, the second joins them (every block for itself: they are few) and reads the slab
 *              again.
 *              Accesses are 128 bit: units of 4 values where a tensor is fp32, of 8 where all are 16-bit; 32 or 16 bit
 *              where the length or an address does not allow it.
 *
 * Expected bound: memory. fp32 to fp32 a P40 moves 43 G values/s at 346 GB/s and issues 5.9 T lane-instructions/s: 136 a value; the
 * path of one combination of types takes about a quarter of what is counted below. Bytes in flight: 32 warps an SM x
 * 32 lanes x 128 B = 131 KB, where half a microsecond needs 6.
 *
 * Static counts (clang 19.1, ptxas 11.8; `make isa`): SASS of the whole kernel a value, registers, resident warps an SM:
 *     norm_warp_few_e4 154  37 48      norm_warp_e4 124  64 32      norm_128_e4 127  56 36      norm_512_e4 126  64 32
 *     norm_warp_few_e8 130  37 48      norm_warp_e8 102  62 32      norm_128_e8 104  61 32      norm_512_e8 104  61 32
 *     norm_*_e1 (any alignment)  up to 126 registers, 16 warps
 * No spills. Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'norm_row' --backend simt-cuda norm */
/* Whole kernels are counted: the code of all types lies in line. Narrow loads: 16-bit tensors in units of four (64 bit), and the weights
 * of channels with planes, one by one. */
/* isa: norm_warp_few_e4 unit=element per_trip=8 loop=none gate=load128 narrow=42 */
/* isa: norm_warp_few_e8 unit=element per_trip=8 loop=none gate=load128 narrow=32 */
/* isa: norm_part_e4 unit=element per_trip=32 loop=none gate=load128 narrow=24 */
/* isa: norm_part_e8 unit=element per_trip=32 loop=none gate=load128 */
/* isa: norm_join_e4 unit=element per_trip=32 loop=none gate=load128 narrow=176 */
/* isa: norm_join_e8 unit=element per_trip=32 loop=none gate=load128 narrow=136 */
/* isa: norm_*_e4 unit=element per_trip=32 loop=none gate=load128 narrow=168 */
/* isa: norm_*_e8 unit=element per_trip=32 loop=none gate=load128 narrow=128 */
#include "../common/norm_block.h"

BF_KERNEL_FN(norm_naive, norm_args, NORM_NAIVE_THREADS) { norm_naive_body<NORM_SOUND>(a); }

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) { return norm_naive_steps(p, s, BF_STEP_FN(norm_naive)); }
static const bf_kernel naive = {
    .op = "norm", .name = "norm_naive", .file = "norm", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread a row, one chain a sum", .rank = 0, .accepts = norm_naive_accepts, .chain = norm_naive_chain,
    .plan = naive_plan,
};
BF_REGISTER(naive);

static const bf_kernel row = {
    .op = "norm", .name = "norm_row", .file = "norm", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "a warp or a block a row that stays in registers, 128-bit accesses; long rows in slabs", .rank = 10,
    .accepts = norm_tuned_accepts, .scratch = norm_tuned_scratch, .chain = norm_tuned_chain, .plan = norm_tuned_plan,
};
BF_REGISTER(row);
#endif
