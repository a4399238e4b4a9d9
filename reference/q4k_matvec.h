/* q4k_matvec.h: y = W x in float64, and the sums of magnitudes that its bounds need. */
#ifndef BF_REF_Q4K_MATVEC_H
#define BF_REF_Q4K_MATVEC_H

#include <stdint.h>

#include "../harness/error.h"

/* W: m rows of k Q4_K weights. x: n columns of k finite doubles, column after column. y, magnitude: [n][m];
 *   y = W x,   magnitude = (|d*sc*q| + |dmin*m|) |x|,
 * both by OpenBLAS dgemm on the dequantised rows. A row with a non-finite d or dmin gets bad_row[r] = 1, y and
 * magnitude 0. -1 with err: no memory, no OpenBLAS. */
int bf_ref_q4k_matvec(const unsigned char *w, int64_t m, int64_t k, const double *x, int64_t n, double *y,
                      double *magnitude, unsigned char *bad_row, bf_error *);

/* The same on quantised activations, x = d[block] * q in blocks of 32, in the block form that the contract states:
 *   y = sum over blocks of d (d_w*sc*sum(q w4) - dmin*m*sum(q)),   magnitude = (|d_w*sc*w4| + |dmin*m|) |d q|.
 * The inner sums are integers; no BLAS, so that this also checks the dgemm reference. magnitude takes every weight on
 * its own, because a kernel may turn parts of a block's integer sum into fp32 before it adds them. Columns with
 * skip[c] != 0 and rows with non-finite d or dmin (from there on) are not computed. */
void bf_ref_q4k_matvec_int8(const unsigned char *w, int64_t m, int64_t k, const int8_t *q, const float *d, int64_t n,
                            const unsigned char *skip, double *y, double *magnitude);

#endif
