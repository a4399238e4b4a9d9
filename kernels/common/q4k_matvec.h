/* q4k_matvec: y[c][r] = sum over k of W[r][k] * x[c][k], for n = 1..8 columns c (decode).
 *
 * Two paths. "fp32": x is widened to fp32, products and sums are fp32. "int8": x is first quantised in
 * blocks of 32 values; the integer sums of a block are exact, the chain over the blocks is fp32.
 *
 * Quantiser (its three outputs are checked on their own): for block b of column c, amax = max |x|;
 * d = amax / 127; q = x / d rounded to nearest (a tie may go either way); s = sum of the 32 q.
 * amax < 2^-100 gives d = 0, q = 0, s = 0 (1/d would overflow). A NaN or an infinity in the block
 * gives d = NaN, q = 0, s = 0. The block's share of y is
 *     d * (W.d*sc * sum(q*w4) - W.dmin*m * s),   w4 the 4-bit weights, in this order: the bracket is at
 * most 65504*63*32*15*127 = 2.5e11, so no step overflows before y itself does.
 *
 * Non-finite policy, both paths: where a row holds a non-finite d or dmin, or a column a non-finite x,
 * that y is NaN or an infinity (which of them is not promised). All other outputs are finite unless the
 * sum itself leaves fp32. K is a multiple of 256; m, n >= 1. */
#ifndef BF_OP_Q4K_MATVEC_H
#define BF_OP_Q4K_MATVEC_H

enum { /* dim */
    Q4K_MATVEC_M, /* rows of W = outputs a column */
    Q4K_MATVEC_K,
    Q4K_MATVEC_N /* columns, 1..8 */
};
enum { /* tensors, row-major */
    Q4K_MATVEC_W,  /* in  Q4_K [m][k] */
    Q4K_MATVEC_X,  /* in  F32, F16 or BF16 [n][k] */
    Q4K_MATVEC_Y,  /* out F32 [n][m] */
    Q4K_MATVEC_XQ, /* out I8  [n][k]      int8 path only, NULL in the fp32 path */
    Q4K_MATVEC_XD, /* out F32 [n][k/32]   int8 path only */
    Q4K_MATVEC_XS, /* out I32 [n][k/32]   int8 path only */
    Q4K_MATVEC_TENSORS
};
enum { Q4K_MATVEC_QBLOCK = 32, Q4K_MATVEC_MAX_N = 8 };

#endif
