/* conv: convolution in one to three dimensions, plain or transposed, 16- or 32-bit weights, fp32 accumulate.
 *
 * y[n][o][z] = b[o] + sum over c in o's group, taps t of w[o][c][t] * x[n][c][z * stride + t * dilation - pad]
 * (outside x: zero). Transposed: each x[n][c][z] adds w[c][o][t] * x to y[n][o][z * stride + t * dilation - pad], o in
 * the group of c. Output size: (in + 2 pad - dilation (taps - 1) - 1) / stride + 1, rounded down; transposed:
 * (in - 1) stride - 2 pad + dilation (taps - 1) + 1. All spatial parameters but the sizes are the same in each of
 * the dimensions used (rank); a dimension not used has size 1 and one tap, without stride or padding.
 *
 * The sound answer to the overflow that every convolution of a pipeline had to be patched for: weights and bias are
 * widened exactly from what they are stored in, products and sums are at least fp32, the bias is added last, in fp32,
 * and y is rounded once if its type is narrower.
 *
 * Non-finite: IEEE. A NaN or infinity in x makes non-finite exactly the outputs in whose receptive field it lies (for
 * its group, whatever the weight: 0 * inf is NaN), one in a weight the outputs where its tap meets an element of x,
 * one in the bias its channel. Where such a weight meets padding, or between the elements of a transposed convolution, the
 * output is as without that tap or NaN (0 * inf), either is right. Every other output is finite unless its sum leaves
 * fp32, or the result the type of y. Which non-finite value is not promised. */
#ifndef BF_OP_CONV_H
#define BF_OP_CONV_H

enum { CONV_BATCH, CONV_IN, CONV_OUT, CONV_GROUPS, CONV_Z, CONV_H, CONV_W /* dim: channels, groups; depth, height, width of x */ };
enum { /* param, small integers */
    CONV_RANK, /* 1: width only, 2: height and width, 3: all */
    CONV_TAPS, /* kernel size in each used dimension */
    CONV_STRIDE,
    CONV_PAD,
    CONV_DILATION,
    CONV_TRANSPOSED
};
enum {        /* tensors, row-major */
    CONV_X,  /* in  F32, F16 or BF16 [batch][in][z][h][w] */
    CONV_WT, /* in  F16, BF16 or F32 [out][in/groups][taps...]; transposed: [in][out/groups][taps...] */
    CONV_B,  /* in  F32, F16 or BF16 [out], or type BF_NONE and NULL: no bias */
    CONV_Y,  /* out F32, F16 or BF16 [batch][out][...] */
    CONV_TENSORS
};

#endif
