/* q4_k.h: the references' own decoder of Q4_K super-blocks, written from the GGUF specification's table of bit fields
 * and sharing nothing with kernels/common/q4_k.h. */
#ifndef BF_REF_Q4_K_H
#define BF_REF_Q4_K_H

#include <stdint.h>

enum { BF_REF_Q4_K_WEIGHTS = 256, BF_REF_Q4_K_BYTES = 144 };

typedef struct bf_ref_q4_k {
    double d, dmin; /* exact values of the fp16 fields, may be infinite or NaN */
    int scale[8], min[8];
    unsigned char q[256]; /* 0..15, in the order of the weights */
    int finite;           /* d and dmin both are */
} bf_ref_q4_k;

void bf_ref_q4_k_decode(const unsigned char block[144], bf_ref_q4_k *);

/* One row of k weights: w[i] = d*sc*q - dmin*m and |d*sc*q| + |dmin*m|, both exact in double (at most 50 significant
 * bits). magnitude may be NULL. Returns 0 when a block holds a non-finite d or dmin (the row is then what IEEE
 * arithmetic makes). */
int bf_ref_q4_k_row(const unsigned char *row, int64_t k, double *w, double *magnitude);

#endif
