/* linear.h: y = W x in float64 for stored types of 16 and 32 bits, and the sums of magnitudes that its bounds need. */
#ifndef BF_REF_LINEAR_H
#define BF_REF_LINEAR_H

#include <stdint.h>

#include "../harness/error.h"
#include "../kernels/common/kernel.h"

/* What is special in one row of a matrix. */
typedef struct bf_ref_row {
    int64_t nonzero, nan, inf; /* counts */
    int64_t subnormal;         /* of its type */
    double top;                /* largest finite magnitude */
    int64_t at;                /* column of the last infinity */
    int negative;              /* its sign */
} bf_ref_row;

/* rows x k values of `type` (F32, F16, BF16) as doubles at wide[rows][k], NaN and infinities as 0; row[rows]. */
void bf_ref_linear_widen(bf_dtype type, const void *data, int64_t rows, int64_t k, double *wide, bf_ref_row *row);

/* W: m rows of k. x: n rows of k finite doubles. y, magnitude: [n][m]; y = W x, magnitude = |W| |x|, both by OpenBLAS
 * dgemm, NaN and infinities of W taken as 0; row[m]. -1 with err: no memory, no OpenBLAS. */
int bf_ref_linear(bf_dtype type, const void *w, int64_t m, int64_t k, const double *x, int64_t n, double *y,
                  double *magnitude, bf_ref_row *row, bf_error *);

#endif
