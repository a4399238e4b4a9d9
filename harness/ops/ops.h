/* ops.h: what the ops share. Internal to harness/ops. */
#ifndef BF_OPS_H
#define BF_OPS_H

#include "../op.h"

extern const bf_op bf_op_attention, bf_op_convert, bf_op_linear, bf_op_q4k_dequant, bf_op_q4k_matmul, bf_op_q4k_matvec, bf_op_stream, bf_op_conv, bf_op_norm,
    bf_op_qblock_dequant, bf_op_qblock_matmul;

/* Fills one tensor descriptor, rank 1 when rows is 0; -1 with err when the sizes overflow 2^62 bytes. */
int bf_op_tensor(bf_tensor *, const char *name, bf_tensor_role, bf_dtype, int64_t rows, int64_t columns, bf_error *);

/* The bytes of the case's real weights, or the case's fill, into a tensor of a block type (stream 0 of the seed). */
int bf_op_fill_blocks(const bf_case *, bf_tensor *, bf_error *err);

/* gamma(n) = n u / (1 - n u) for the accumulator fp32 (Higham, Accuracy and Stability, 2nd ed., section 3.1). */
double bf_gamma(double n);
/* min(gamma(n), exp(lambda sqrt(n) u + n u^2 / (1-u)) - 1) with lambda = 8: holds for one output with probability at
 * least 1 - 2 n exp(-lambda^2 (1-u)^2 / 2) = 1 - n 2.6e-14, when rounding errors are mean-independent of mean zero
 * (Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 41(5), 2019,
 * theorem 2.4). */
double bf_gamma_prob(double n);

/* The matrix instructions of gfx11 add on a grid, not as IEEE does: kernels/simt/wmma_adder.h says how, where that was measured
 * and what is inferred. bf_adds_on_grid (op.h) says whose they are. A step s' = s + p0 + p1 errs by at most
 *
 *     5 units of the grid (each of three terms may be cut, each of two flipped) and one rounding,
 *     one unit <= 2^-24 of the largest of |s|, |p0|, |p1|:        6 u (|s| + |p0| + |p1|),
 *
 * a product of six factors (1 + delta), |delta| <= u: 3 u an addition. (What is cut and what a flip adds have opposite signs; three
 * units would do if it is done in that order. The bound does not rely on it.) A step with one product that is not zero: two cuts,
 * one flip and the rounding, 4 u. A step without any: none. So, for a sum of `chain` additions of which z products are not zero,
 *
 *     |s - s_ref| <= gamma(min(3 (chain + 1), 4 z + 1)) M
 *
 * Such errors have a preferred sign, and so there is no probabilistic form, and sums of small integers are not exact.
 *
 * Underflow: a step may lose 2^-126 (s or the result flushed). A subnormal bf16 operand is flushed: its whole product, at most 2^-126 of
 * its partner, is lost. A subnormal fp16 operand counts with exponent -14, so that five units may be 5 * 2^-38 of its partner. */
enum { BF_GRID_ADDITION = 3, BF_GRID_PRODUCT = 4 };
/* What underflow of both kinds may cost a sum of k products a b of 16-bit operands of `type`, of which subnormal_a and subnormal_b are
 * subnormal and none is larger than top_a and top_b. */
double bf_grid_underflow(bf_dtype type, int64_t k, double subnormal_a, double top_a, double subnormal_b, double top_b);

#endif
