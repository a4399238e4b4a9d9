/* norm.h: what rows of a normalisation hold, in float64. */
#ifndef BF_REF_NORM_H
#define BF_REF_NORM_H

#include <stdint.h>

typedef struct bf_ref_norm_row {
    int finite;       /* every value is; if not, the rest is not set */
    int64_t nonzero;  /* values that are not zero */
    double mean;      /* 0 for rms */
    double magnitude; /* mean of |s|; 0 for rms */
    double square;    /* mean of (s - mean)^2 */
    double low, high; /* least and greatest value */
} bf_ref_norm_row;

/* s[length], values of fp32 magnitude at most, length >= 1. centred: layer norm, else rms. Sums are compensated (Neumaier):
 * each is off by 2^-52 of itself, the square by 2^-50, whatever the length. */
bf_ref_norm_row bf_ref_norm(const double *s, int64_t length, int centred);

/* x + r of two values that fp32 holds, rounded to fp32: the sum in float64 rounded again, which is the same (Figueroa, When
 * is double rounding innocuous?, 1995: 53 >= 2 * 24 + 2). */
double bf_ref_norm_sum(double x, double r);

#endif
