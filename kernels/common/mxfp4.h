/* mxfp4.h: the MXFP4 block (OCP Microscaling Formats 1.0, as GGUF's type 39 stores it): 32 weights in 17 bytes, 4.25 bits a weight.
 *
 *   byte 0    1          17
 *        | e  | qs[16]   |        w[i] = 2^(e - 127) * v(code i);  code i: the low nibble of qs[i] for i < 16, else the high one of
 *          E8M0                   qs[i - 16]
 *
 *   code (E2M1: sign, 2 bits of exponent, 1 of significand)   0  1   2  3   4  5  6  7     8 .. 15: the same, negative
 *   v                                                         0 .5   1 1.5  2  3  4  6
 *
 * 2 v is an integer, -12..12, so w is an integer times the half scale 2^(e - 128). e = 255 is NaN, and with it all 32 weights. e = 0
 * and 1 give a half scale that is subnormal in fp32. Every weight is exact in fp32, subnormal ones too, but for those of 2^128 and
 * more (e = 253 with v of 4 and 6, e = 254 with 2 to 6), which become infinite; as a product of integer and half scale
 * every operation rounds that way by itself. Code 8, minus zero, is read as plus zero, because ggml's table of integers has
 * no minus zero. Blocks are aligned to a byte.
 *
 * Source: OCP Microscaling Formats (MX) Specification 1.0, 5.3.3 and 5.4.1; ggml's block_mxfp4 and dequantize_row_mxfp4, which
 * reads e = 255 as 2^128. C, C++, CUDA and HIP; with device.h included first the functions are device functions. */
#ifndef BF_MXFP4_H
#define BF_MXFP4_H

#include <stdint.h>

#ifndef BF_FN
#define BF_FN static inline
#endif

enum { BF_MXFP4_WEIGHTS = 32, BF_MXFP4_BYTES = 17, BF_MXFP4_NAN = 255, BF_MXFP4_TOP = 12 /* largest |2 v| */ };

typedef struct bf_mxfp4 {
    uint8_t e, qs[16];
} bf_mxfp4;

#ifdef __cplusplus
static_assert(sizeof(bf_mxfp4) == 17, "MXFP4 block is 17 bytes");
#else
_Static_assert(sizeof(bf_mxfp4) == 17, "MXFP4 block is 17 bytes");
#endif

/* The magnitudes of codes 0..7, and of 8..15, as they lie in words for byte permutations: code 0 in the lowest byte. */
#define BF_MXFP4_MAGNITUDES_LOW 0x03020100u
#define BF_MXFP4_MAGNITUDES_HIGH 0x0c080604u

BF_FN int bf_mxfp4_code(const bf_mxfp4 *b, int i) { return b->qs[i & 15] >> (i >> 4 << 2) & 15; }
/* 2 v of a code. */
BF_FN int bf_mxfp4_integer(int code) {
    int magnitude = (int)((code & 4 ? BF_MXFP4_MAGNITUDES_HIGH : BF_MXFP4_MAGNITUDES_LOW) >> 8 * (code & 3) & 15u);
    return code & 8 ? -magnitude : magnitude;
}
/* fp32 bits of 2^(e - 128). */
BF_FN uint32_t bf_mxfp4_half_scale(uint32_t e) {
    uint32_t bits = e < 2u ? 0x00200000u << e : (e - 1u) << 23;
    return e == BF_MXFP4_NAN ? 0x7fc00000u : bits;
}

#endif
