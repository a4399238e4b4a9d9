/* q4_k.h: the Q4_K super-block (the GGUF format's type 12): 256 weights in 144 bytes, 4.5 bits a weight.
 *
 *   byte 0    2    4              16                                       144
 *        | d  |dmin| scales[12]   | qs[128]                                 |
 *        fp16 fp16   8 x (6-bit scale, 6-bit minimum)
 *
 *   weight i = 32*s + l, sub-block s = 0..7:   w = d*sc[s] * q  -  dmin*m[s]
 *   q is the low nibble of qs[32*(s/2) + l] when s is even, the high nibble when s is odd.
 *
 *   scales, byte j:     7 6   5 4 3 2 1 0
 *     j = 0..3         hs[j]   sc[j]           hs: upper two bits of sc[j+4]
 *     j = 4..7         hm[j-4] m[j-4]          hm: upper two bits of m[j-4+4]
 *     j = 8..11        m[j-4] low 4 | sc[j-4] low 4
 *
 * Source: the GGUF specification and the layout of its K-quants. Compiles as C, C++, CUDA and HIP; with
 * device.h included first its functions are device functions. */
#ifndef BF_Q4_K_H
#define BF_Q4_K_H

#include <stdint.h>

#ifndef BF_FN
#define BF_FN static inline
#endif

enum { BF_Q4_K_WEIGHTS = 256, BF_Q4_K_BYTES = 144, BF_Q4_K_SUB = 32 };

typedef struct bf_q4_k {
    uint16_t d, dmin; /* fp16 bits */
    uint8_t scales[12];
    uint8_t qs[128];
} bf_q4_k;

#ifdef __cplusplus
static_assert(sizeof(bf_q4_k) == 144, "Q4_K super-block is 144 bytes");
#else
_Static_assert(sizeof(bf_q4_k) == 144, "Q4_K super-block is 144 bytes");
#endif

/* The 6-bit scale and minimum of sub-block s (0..7), one at a time: the plain decode of the naive kernels. */
BF_FN uint32_t bf_q4_k_scale(const uint8_t *scales, int s) {
    return s < 4 ? scales[s] & 63u : (scales[s + 4] & 15u) | (uint32_t)(scales[s - 4] >> 6) << 4;
}
BF_FN uint32_t bf_q4_k_min(const uint8_t *scales, int s) {
    return s < 4 ? scales[s + 4] & 63u : (uint32_t)(scales[s + 4] >> 4) | (uint32_t)(scales[s] >> 6) << 4;
}

/* All eight of each at once: bytes of sc[0] are scales 0..3, of sc[1] scales 4..7; mn likewise.
 * s0, s1, s2: the twelve bytes as little-endian words. Branch-free. */
BF_FN void bf_q4_k_scales(uint32_t s0, uint32_t s1, uint32_t s2, uint32_t sc[2], uint32_t mn[2]) {
    sc[0] = s0 & 0x3f3f3f3fu;
    mn[0] = s1 & 0x3f3f3f3fu;
    sc[1] = (s2 & 0x0f0f0f0fu) | ((s0 >> 2) & 0x30303030u);
    mn[1] = ((s2 >> 4) & 0x0f0f0f0fu) | ((s1 >> 2) & 0x30303030u);
}

#endif
