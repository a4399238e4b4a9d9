/* norm: RMS, layer and group norm over rows of x, with optional residual, weight and bias.
 *
 *   s = x + r                         rounded to fp32; a second output when there is a residual. Without: s = x
 *   rms:    y = s / sqrt(mean(s^2) + eps) * g
 *   layer:  y = (s - mean(s)) / sqrt(var(s) + eps) * g + b,  var the mean of the squared deviations
 *   group:  layer norm over each group of k / groups channels, each channel `inner` values wide; g and b by channel.
 *           In memory a group is one row of k / groups * inner values, and so it is below
 *   g = w, or 1 + w (plus_one), or 1 without weight. Every operand is widened exactly; all arithmetic is fp32 or wider;
 *   y is rounded to its type once. (s - mean) / sqrt(...) is formed before g multiplies it: their product may be
 *   representable where g / sqrt(...) is not. eps is rounded to 24 significant bits, of any exponent.
 *
 * Any magnitude: |s| to FLT_MAX neither overflows the sum of squares nor loses it (rows are scaled by a power of two, or the
 * sums are wider than fp32), so that y(2^p x, eps 4^p) = y(x, eps) bit for bit while nothing leaves the normal range.
 *
 * Layer norm subtracts before it squares, and subtracts well: with c the fp32 mean, the deviations d = s - c lose almost
 * nothing, and their own mean is subtracted once more before they are squared (or the mean carries more than 24 bits). So
 * the error is relative to the deviation and not to the mean: mean 1e6 with deviation 1 is as good as mean 0.
 *
 * Policies. A row with a NaN or an infinity in s (an overflow of x + r too: inf is right in s) is NaN from end to end in y,
 * whatever the kind: a finite / inf = 0 would hide the overflow. Other rows are untouched. A non-finite weight or bias makes
 * its column non-finite. A row of zeros: y = b with eps > 0, NaN with eps = 0. A row of equal values in layer norm: y near b
 * with eps > 0; with eps = 0 NaN, or a value of magnitude sqrt(length) |g| at most (the mean's last rounding divided by itself). y
 * beyond its type's largest value is an infinity, as rounding makes it. */
#ifndef BF_OP_NORM_H
#define BF_OP_NORM_H

enum { /* dim */
    NORM_M,      /* rows (group norm: batch) */
    NORM_K,      /* row length; group norm: channels */
    NORM_GROUPS, /* group norm only, divides k; else 1 */
    NORM_INNER   /* group norm only: values a channel; else 1 */
};
enum { NORM_KIND, NORM_EPS, NORM_PLUS_ONE /* param; eps: 0 to 2^299 */ };
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
