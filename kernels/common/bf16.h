/* bf16.h: bfloat16, the upper half of a binary32, in integer code: neither GPU has the type.
 * With device.h included first these are device functions. */
#ifndef BF_BF16_H
#define BF_BF16_H

#include <stdint.h>

#ifndef BF_FN
#define BF_FN static inline
#endif

/* Exact; NaN payloads and signalling NaNs pass untouched. Returns fp32 bits. */
BF_FN uint32_t bf_bf16_to_f32_bits(uint32_t h) { return h << 16; }

/* To nearest, ties to even; overflow gives infinity; NaN becomes quiet and keeps sign and upper payload. */
BF_FN uint32_t bf_f32_bits_to_bf16(uint32_t u) {
    if ((u & 0x7fffffffu) > 0x7f800000u) return (u >> 16) | 0x40u;
    return (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}

#endif
