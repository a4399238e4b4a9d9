/* q4k_matvec.h: y = W x in float64, and the sums of magnitudes that its bounds need. */
#ifndef BF_REF_Q4K_MATVEC_H
#define BF_REF_Q4K_MATVEC_H

#include <stdint.h>

#include "../harness/error.h"
#include "../kernels/common/kernel.h"

/* What the product reference fills; [n][m] is column after column. */
typedef struct bf_ref_q4k_sums {
    double *y, *magnitude;     /* [n][m]: W x and (|d*sc*q| + |dmin*m|) |x| */
    double *plain;             /* [n][m]: |w| |x|. NULL: not wanted */
    double *row_sum, *row_top; /* [m]: sum and largest of |w|. NULL: not wanted */
    unsigned char *bad_row;    /* [m]: 1 where a scale is not finite; all sums of such a row are 0 */
} bf_ref_q4k_sums;

/* W: m rows of k weights of type BF_Q4_K, BF_Q6_K, BF_Q8_0 or BF_MXFP4 (magnitude of all but the first: |w| |x|). x: n columns of k finite doubles,
 * column after column. All products by OpenBLAS dgemm on the dequantised rows. -1 with err: no memory, no OpenBLAS. */
int bf_ref_q4k_product(bf_dtype type, const unsigned char *w, int64_t m, int64_t k, const double *x, int64_t n,
                       const bf_ref_q4k_sums *, bf_error *);

/* The same for Q4_K; y, magnitude and bad_row alone. */
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
