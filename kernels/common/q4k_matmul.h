/* q4k_matmul: y[c][r] = sum over k of W[r][k] * x[c][k], any number n of columns (prefill).
 *
 * Contract, tensors, quantiser and non-finite policy are those of q4k_matvec.h, with n unlimited; slots and dims have the same
 * numbers, so that the two ops share reference and judge (harness/ops/q4k_product.c). Paths:
 *   "fp32"   products and sums in fp32
 *   "int8"   activations quantised in blocks of 32, integer dots, chain over blocks in fp32
 *   "f16"    for matrix instructions: weights, made whole in fp32, and x where it is not F16, rounded to fp16 (to nearest
 *            even, subnormals kept); products exact, fp32 accumulate
 *   "bf16"   the same with bf16
 * On HIP the sums of the last two may be the matrix instructions', which are not IEEE's (kernels/simt/wmma_adder.h).
 * The bound of the last two holds those roundings and nothing else: truncating is an error. A row with a |w|, or a
 * column with an |x|, beyond the type's largest value (65,504; 3.39e38) leaves their contract: those outputs may be
 * anything (rounded to infinity, it gives infinities or NaN; a saturating kernel gives finite numbers). All others
 * obey. A kernel's accepts() cannot know the values. */
#ifndef BF_OP_Q4K_MATMUL_H
#define BF_OP_Q4K_MATMUL_H

#include "q4k_matvec.h"

enum { Q4K_MATMUL_M = Q4K_MATVEC_M, Q4K_MATMUL_K = Q4K_MATVEC_K, Q4K_MATMUL_N = Q4K_MATVEC_N };
enum {
    Q4K_MATMUL_W = Q4K_MATVEC_W,
    Q4K_MATMUL_X = Q4K_MATVEC_X,
    Q4K_MATMUL_Y = Q4K_MATVEC_Y,
    Q4K_MATMUL_XQ = Q4K_MATVEC_XQ,
    Q4K_MATMUL_XD = Q4K_MATVEC_XD,
    Q4K_MATMUL_XS = Q4K_MATVEC_XS,
    Q4K_MATMUL_TENSORS = Q4K_MATVEC_TENSORS
};
/* "Unlimited" for a case line: a longer prompt is processed in pieces everywhere. */
enum { Q4K_MATMUL_MAX_N = 1 << 20 };

#endif
