/* norm: RMS, layer and group norm over rows of x, with optional residual, weight and bias.
 *
 *   s = x + r                         fp32, s is a second output when a residual is given (a sum beyond FLT_MAX is
 *                                     an infinity there, and that row of y is then NaN or 0: see below)
 *   rms:    y = s / sqrt(mean(s^2) + eps) * g
 *   layer:  y = (s - mean(s)) / sqrt(var(s) + eps) * g + b,  var the mean of the squared deviations
 *   group:  layer over each group of k / groups channels, each channel `inner` values wide; g and b by channel
 *   g = w, or 1 + w (plus_one), or 1 without weight.
 *
 * Sound at any magnitude: |x| up to FLT_MAX neither overflows the sum of squares nor loses it (rows are scaled by a power of two),
 * so that y(2^p x, eps 4^p) = y(x, eps) bit for bit while nothing leaves the range; layer norm subtracts the mean before it
 * squares (two passes over registers or Welford), never E[x^2] - E[x]^2.
 * A zero row: y = 0 * g (+ b) when eps > 0; with eps = 0, RMS gives NaN (0/0), layer norm too. Rows with a NaN: that row is
 * NaN; with an infinity: every element of that row is NaN or 0 (rms: finite / inf = 0, inf / inf = NaN). Other rows are untouched. */
#ifndef BF_OP_NORM_H
#define BF_OP_NORM_H

enum { /* dim */
    NORM_M,      /* rows (group norm: batch) */
    NORM_K,      /* row length; group norm: channels */
    NORM_GROUPS, /* group norm only, divides k; else 1 */
    NORM_INNER   /* group norm only: values a channel; else 1 */
};
enum { NORM_KIND, NORM_EPS, NORM_PLUS_ONE /* param */ };
enum { NORM_RMS, NORM_LAYER, NORM_GROUP /* values of NORM_KIND */ };
enum {         /* tensors, row-major */
    NORM_X, /* in  F32, F16 or BF16 [m][k] (group: [m][k][inner]) */
    NORM_R, /* in  residual of x's shape, F32, F16 or BF16, or BF_NONE */
    NORM_W, /* in  F32, F16 or BF16 [k], or BF_NONE */
    NORM_B, /* in  F32, F16 or BF16 [k], layer and group only, or BF_NONE */
    NORM_Y, /* out F32, F16 or BF16, x's shape */
    NORM_S, /* out F32, x's shape, only with a residual */
    NORM_TENSORS
};

#endif
