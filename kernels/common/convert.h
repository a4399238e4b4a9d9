/* convert: y[i] = x[i] in another type; bf16, fp16 and fp32 in all nine directions (same type: a copy
 * of values, NaN untouched).
 *
 * Round to nearest, ties to even; subnormals kept on both sides. Overflow gives an infinity, or with
 * saturate the largest finite value of the target with the sign kept (an infinity in the input too
 * becomes that value; NaN stays NaN). fp16 to bf16 and back go through the exact fp32 value, one rounding.
 *
 * With count, C holds over all elements: [0] overflow: finite input whose rounded result is infinite (or was
 * saturated); [1] underflow: non-zero input that gives zero; [2] subnormal: result subnormal in the target
 * type; [3] NaN in the input. Without count C is NULL.
 *
 * NaN in gives NaN out, sign kept where the table of the backend says so:
 *   bf16 -> fp32          bits << 16, untouched (a signalling NaN stays one), every backend
 *   fp32 -> bf16          (bits >> 16) | 0x40, every backend (integer code)
 *   fp16 -> fp32          cpu, hip: sign, payload << 13, quiet bit set;    cuda: any quiet NaN (PTX does not say)
 *   fp32 -> fp16          cpu, hip: sign, payload >> 13, quiet bit set;    cuda: 0x7fff (PTX ISA, cvt)
 *   fp16 <-> bf16         the two rules in turn */
#ifndef BF_OP_CONVERT_H
#define BF_OP_CONVERT_H

enum { CONVERT_N /* dim: elements */ };
enum { /* param */
    CONVERT_SATURATE, /* 0 or 1 */
    CONVERT_COUNT     /* 0 or 1 */
};
enum {          /* tensors */
    CONVERT_X, /* in  [n] */
    CONVERT_Y, /* out [n] */
    CONVERT_C, /* out U64 [4], only with count; the kernel zeroes it itself */
    CONVERT_TENSORS
};
enum { CONVERT_OVERFLOW, CONVERT_UNDERFLOW, CONVERT_SUBNORMAL, CONVERT_NAN, CONVERT_COUNTS };

#endif
