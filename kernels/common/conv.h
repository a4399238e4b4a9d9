/* conv: convolution in one to three dimensions, plain or transposed, 16-bit weights, fp32 accumulate.
 *
 * y[n][o][z] = b[o] + sum over c in o's group, taps t of w[o][c][t] * x[n][c][z * stride + t * dilation - pad]
 * (outside x: zero). Transposed: each x[n][c][z] adds w[c][o][t] * x to y[n][o][z * stride + t * dilation - pad].
 * All spatial parameters are the same in each of the used dimensions but the sizes; unused dimensions have size and taps 1.
 * Output size: (in + 2 pad - dilation (taps - 1) - 1) / stride + 1; transposed: (in - 1) stride - 2 pad + dilation (taps - 1) + 1 (+ out_pad 0).
 * The bias is added last, in fp32. Non-finite policy as in linear.h: an output that no non-finite value can reach is finite. */
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
    CONV_B,  /* in  F32, F16 or BF16 [out], or BF_NONE */
    CONV_Y,  /* out F32 [batch][out][...] */
    CONV_TENSORS
};

#endif
