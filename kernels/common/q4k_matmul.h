/* q4k_matmul: y[c][r] = sum over k of W[r][k] * x[c][k], any number n of columns (prefill).
 *
 * Contract, tensors, quantiser and non-finite policy are those of q4k_matvec.h, with n unlimited; slots and dims have the same
 * numbers, so that the two ops share reference and judge. Paths:
 *   "fp32"   products and sums in fp32
 *   "int8"   activations quantised in blocks of 32, integer dots, chain over blocks in fp32
 *   "f16"    matrix instructions: weights (and x, where it is not F16) rounded to fp16, fp32 accumulate
 *   "bf16"   the same with bf16
 * The last two round W once, which their bound says; |w| beyond 65,504 is out of the f16 path's contract (the
 * kernel's accepts() cannot know: the result is then an infinity or NaN, and the case must expect it). */
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

#endif
