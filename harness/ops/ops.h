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

#endif
