/* conv.h: the reference of convolution: float64 by im2col and OpenBLAS dgemm. Written from the contract
 * (kernels/common/conv.h), sharing no code with the kernels. */
#ifndef BF_REF_CONV_H
#define BF_REF_CONV_H

#include <stdint.h>

#include "../harness/error.h"

/* One problem. Dimensions in the order depth, height, width; unused ones have size and taps 1, stride 1, pad 0. */
typedef struct bf_ref_conv {
    int64_t batch, in, out, groups; /* channels in all */
    int64_t size[3], taps[3], stride[3], pad[3];
    int64_t dilation;
    int transposed;
} bf_ref_conv;

/* Size of y in dimension d; below 1: the kernel does not fit. */
int64_t bf_ref_conv_size(const bf_ref_conv *, int d);

enum {
    BF_REF_CONV_FINITE,
    BF_REF_CONV_BAD,  /* a non-finite operand takes part */
    BF_REF_CONV_MAYBE /* a non-finite weight meets padding only, or a hole of a transposed convolution */
};

/* x [batch][in][size], w [out][in/groups][taps] (transposed: [in][out/groups][taps]), widened to double, infinities and
 * NaN among them (they count as 0 in the sums). y, magnitude, state: [batch][out][size of y]:
 *     y = sum of w x,   magnitude = sum of |w||x|   (no bias),   state: see above
 * terms: [batch][groups][size of y]: elements of x that are not zero behind an output. -1 with err: no memory, no
 * OpenBLAS. Errors of y: at most K 2^-53 magnitude, K the products of an output. */
int bf_ref_conv_sums(const bf_ref_conv *, const double *x, const double *w, double *y, double *magnitude,
                     unsigned char *state, int64_t *terms, bf_error *err);

#endif
