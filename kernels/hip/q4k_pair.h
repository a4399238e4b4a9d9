/* q4k_pair.h: a quarter of a Q4_K super-block, the natural share of a lane: sub-blocks 2p and 2p+1 (p = 0..3) lie in
 * the low and the high nibbles of the same 32 bytes, qs[32p .. 32p+31], and need two of the eight scales. */
#ifndef BF_HIP_Q4K_PAIR_H
#define BF_HIP_Q4K_PAIR_H

#include "../common/device.h"

#include "../common/q4_k.h"

/* High nibbles stay where they are, so their scale carries the sixteenth: w = scale[1] * (16 q) - least[1]. All four
 * numbers are exact: 11 + 6 significand bits, and 2^-24 / 16 is far from fp32's subnormals. */
struct q4k_pair {
    float scale[2], least[2];
};
constexpr uint32_t Q4K_LOW = 0x0f0f0f0fu, Q4K_HIGH = 0xf0f0f0f0u;

/* The first 16 bytes of a super-block in one load. `aligned` 0: addresses are even, no more. */
BF_FN bf_u32x4 q4k_load16(const char *p, bool aligned) {
    if (aligned) return bf_ld_u32x4(p);
    uint32_t v[4];
    for (int i = 0; i < 4; i++) v[i] = bf_ld_u16(p + 4 * i) | bf_ld_u16(p + 4 * i + 2) << 16;
    return {v[0], v[1], v[2], v[3]};
}

/* Without a branch: pairs 0 and 1 have their six bits in one place, pairs 2 and 3 have four in the last word and two
 * in the words before. What depends on p alone is computed once a kernel. */
BF_FN q4k_pair q4k_pair_of(bf_u32x4 header, int p) {
    bool split = p >= 2;
    uint32_t shift = 16u * (uint32_t)(p & 1), keep = split ? 0x0f0fu : 0x3f3fu, above = split ? 0x3030u : 0u;
    uint32_t sc = ((split ? header.w : header.y) >> shift & keep) | (header.y >> (shift + 2) & above);
    uint32_t mn = ((split ? header.w : header.z) >> (shift + (split ? 4u : 0u)) & keep) |
                  (header.z >> (shift + 2) & above);
    float d = bf_f16_to_f32(header.x & 0xffffu), dmin = bf_f16_to_f32(header.x >> 16);
    return {{d * (float)(sc & 0xffu), d * 0.0625f * (float)(sc >> 8 & 0xffu)},
            {dmin * (float)(mn & 0xffu), dmin * (float)(mn >> 8 & 0xffu)}};
}

/* Q4K_LOW or Q4K_HIGH, hidden from the compiler, for words whose bytes go through q4k_byte: knowing the mask, it would
 * merge it with q4k_byte's own and mask every byte apart, four instructions in place of one. */
BF_FN uint32_t q4k_mask(uint32_t mask) {
#if !BF_HOST
    asm("" : "+s"(mask));
#endif
    return mask;
}
BF_FN float q4k_byte(uint32_t word, int i) { return (float)(word >> 8 * i & 0xffu); } /* v_cvt_f32_ubyte<i> */

#endif
