/* q6_k.h: the Q6_K super-block (the GGUF format's type 14): 256 weights in 210 bytes, 6.5625 bits a weight.
 *
 *   byte 0            128         192          208   210
 *        | ql[128]    | qh[64]    | scales[16] | d   |
 *                                   int8         fp16
 *
 *   w[i] = d * sc[i/16] * q[i],  q = (4 low bits | 2 high bits << 4) - 32
 *   i = 128*h + 32*t + l (half h, quarter t, l < 32): the low bits are in ql[64*h + 32*(t&1) + l], the low nibble for
 *   t < 2, else the high one; the high bits are bits 2t, 2t+1 of qh[32*h + l].
 *
 * d*sc*q has at most 11 + 7 + 5 significand bits (-128 and -32 are powers of two) and is a multiple of 2^-24: exact in
 * fp32 in any order. Super-blocks are aligned to 2 bytes only: 210 is 2 modulo 4.
 *
 * Source: ggml's block_q6_K and dequantize_row_q6_K. C, C++, CUDA and HIP; with device.h included first the functions are
 * device functions. */
#ifndef BF_Q6_K_H
#define BF_Q6_K_H

#include <stdint.h>

#ifndef BF_FN
#define BF_FN static inline
#endif

enum { BF_Q6_K_WEIGHTS = 256, BF_Q6_K_BYTES = 210, BF_Q6_K_SUB = 16 };

typedef struct bf_q6_k {
    uint8_t ql[128], qh[64];
    int8_t scales[16];
    uint16_t d; /* fp16 bits */
} bf_q6_k;

#ifdef __cplusplus
static_assert(sizeof(bf_q6_k) == 210, "Q6_K super-block is 210 bytes");
#else
_Static_assert(sizeof(bf_q6_k) == 210, "Q6_K super-block is 210 bytes");
#endif

/* q of weight i (0..255): -32..31. */
BF_FN int bf_q6_k_value(const bf_q6_k *b, int i) {
    int h = i >> 7, t = i >> 5 & 3, l = i & 31;
    int low = b->ql[64 * h + 32 * (t & 1) + l] >> (t < 2 ? 0 : 4) & 15, high = b->qh[32 * h + l] >> 2 * t & 3;
    return (low | high << 4) - 32;
}

#endif
