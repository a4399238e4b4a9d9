/* q8_0.h: the Q8_0 block (the GGUF format's type 8): 32 weights in 34 bytes, 8.5 bits a weight.
 *
 *   byte 0     2            34
 *        | d   | qs[32]     |        w[i] = d * qs[i]; d fp16, qs int8
 *
 * d*q has at most 11 + 7 significand bits: exact in fp32. Blocks are aligned to 2 bytes only.
 * Source: ggml's block_q8_0. C, C++, CUDA and HIP. */
#ifndef BF_Q8_0_H
#define BF_Q8_0_H

#include <stdint.h>

enum { BF_Q8_0_WEIGHTS = 32, BF_Q8_0_BYTES = 34 };

typedef struct bf_q8_0 {
    uint16_t d; /* fp16 bits */
    int8_t qs[32];
} bf_q8_0;

#ifdef __cplusplus
static_assert(sizeof(bf_q8_0) == 34, "Q8_0 block is 34 bytes");
#else
_Static_assert(sizeof(bf_q8_0) == 34, "Q8_0 block is 34 bytes");
#endif

#endif
