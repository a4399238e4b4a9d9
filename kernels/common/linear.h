/* linear: y[c][r] = sum over k of W[r][k] * x[c][k] + b[r]: 16-bit weights against activations of any type.
 *
 * The sound answer to the mixed-dtype failure: weights stay two bytes in memory, are widened exactly in registers, products
 * and sums are at least fp32, y is fp32 and rounded once where its type is narrower. Any m, n, k >= 1 (k = 0 has no case).
 * The bias is added last, in fp32, widened from its own type.
 *
 * Paths: "fp32" everywhere; "wmma" (gfx1151): fp16 x fp16 or bf16 x bf16 matrix instructions with fp32 accumulate, only
 * where W and X have the same 16-bit type, so that nothing is rounded on the way in. Their additions are not IEEE's
 * (kernels/simt/wmma_adder.h); the bound follows them, and bf16 subnormals may be flushed.
 *
 * Non-finite: IEEE. An output whose row, column or bias holds no NaN or infinity is finite unless the sum itself overflows
 * its type, which then is the infinity of its sign. A NaN among them makes it NaN; a single infinity makes it an infinity of the
 * product's sign, or NaN where its partner is zero; several infinities, NaN or an infinity. Nothing beyond the end of
 * a row, column or matrix may enter: what fills a tile up is zero on both sides. */
#ifndef BF_OP_LINEAR_H
#define BF_OP_LINEAR_H

enum { LINEAR_M, LINEAR_K, LINEAR_N /* dim */ };
enum {           /* tensors, row-major */
    LINEAR_W, /* in  F16, BF16 or F32 [m][k] */
    LINEAR_X, /* in  F32, F16 or BF16 [n][k] */
    LINEAR_B, /* in  F32, F16 or BF16 [m], or type BF_NONE and NULL: no bias */
    LINEAR_Y, /* out F32, F16 or BF16 [n][m] */
    LINEAR_TENSORS
};

#endif
