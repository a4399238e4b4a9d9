/* qblock.h: the references' own decoders of Q6_K, Q8_0 and MXFP4, the block formats whose weights are a scale times a signed
 * integer; written from ggml's description of the bit fields and the OCP specification of E2M1 and E8M0, and sharing nothing with
 * kernels/common/q6_k.h, q8_0.h and mxfp4.h. */
#ifndef BF_REF_QBLOCK_H
#define BF_REF_QBLOCK_H

#include <stdint.h>

#include "../kernels/common/kernel.h"

typedef struct bf_ref_qblock {
    int bytes, weights, sub; /* of a block; weights that share a scale */
    double d;                /* exact value of the fp16 field, may be infinite or NaN; MXFP4: 2^(e - 128), or NaN */
    int scale[16];           /* Q6_K: -128..127; Q8_0, MXFP4: one, 1 */
    int q[256];              /* Q6_K: -32..31; Q8_0: -128..127; MXFP4: twice the element, -12..12; in the order of the weights */
    int finite;              /* d is */
} bf_ref_qblock;

/* The sizes alone, for BF_Q6_K, BF_Q8_0 or BF_MXFP4. */
bf_ref_qblock bf_ref_qblock_of(bf_dtype type);
/* One block, decoded. */
bf_ref_qblock bf_ref_qblock_decode(bf_dtype type, const unsigned char *block);

/* One row of k weights w[i] = d*sc*q, exact in double (24 bits; MXFP4: may be beyond fp32's range); magnitude (may be NULL): |w|. 0 when a
 * block's d is not finite. */
int bf_ref_qblock_row(bf_dtype type, const unsigned char *row, int64_t k, double *w, double *magnitude);

/* y = W x on quantised activations x = dx[block] * qx in blocks of 32, in integers as far as they go:
 *   y = sum over blocks of 32 of dx * d * (sum over their sub-blocks of sc * sum(q qx)),   magnitude the same of absolute values.
 * x: n columns of k. Columns with skip[c] != 0 and rows with a non-finite d (from there on) are not computed. [n][m]. */
void bf_ref_qblock_int8(bf_dtype type, const unsigned char *w, int64_t m, int64_t k, const int8_t *q, const float *d, int64_t n,
                        const unsigned char *skip, double *y, double *magnitude);

#endif
