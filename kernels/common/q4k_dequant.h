/* q4k_dequant: w[i] = d*sc*q[i] - dmin*m, super-blocks of 256 weights, to fp32, fp16 or bf16.
 *
 * d*sc*q (11 + 6 + 4 significand bits) and dmin*m (11 + 6) are exact in fp32, so one rounding remains and
 * the result is defined bit for bit, with or without fused multiply-add. To fp16 and bf16: that fp32 value
 * rounded to nearest even (overflow gives infinity). NaN: any NaN. */
#ifndef BF_OP_Q4K_DEQUANT_H
#define BF_OP_Q4K_DEQUANT_H

enum { /* dim */
    Q4K_DEQUANT_M,
    Q4K_DEQUANT_K /* multiple of 256 */
};
enum {              /* tensors */
    Q4K_DEQUANT_W, /* in  Q4_K [m][k] */
    Q4K_DEQUANT_Y, /* out F32, F16 or BF16 [m][k] */
    Q4K_DEQUANT_TENSORS
};

#endif
