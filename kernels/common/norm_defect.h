/* norm_defect.h: what the twins of norm do wrong, on every backend. */
#ifndef BF_NORM_DEFECT_H
#define BF_NORM_DEFECT_H

enum norm_defect {
    NORM_SOUND,
    NORM_ACC_FP16,         /* sums in fp16, of values that are not scaled */
    NORM_ACC_BF16,
    NORM_X_FP16,           /* values rounded to fp16 */
    NORM_NO_SCALE,         /* plain fp32 sum of squares: overflows at 1.85e19 */
    NORM_CANCEL,           /* layer norm as E[s^2] - mean^2 */
    NORM_EPS_OUTSIDE,      /* eps added after the root */
    NORM_PLUS_ONE_DROPPED, /* w in place of 1 + w */
    NORM_TAIL_DROPPED,     /* the last value of a row is not in the sums */
    NORM_MEAN_OF_K_1,      /* sums divided by k - 1 */
    NORM_RESIDUAL_FP16,    /* x + r rounded to fp16 */
    NORM_W_AS_FP16,        /* the bits of bf16 weights read as fp16 */
    NORM_SCALE_102,
    NORM_X_BF16,
    NORM_X_TF32
};

#endif
