/* q4k_lane.h: what one lane decodes of a Q4_K super-block in the tuned kernels. The lane holds a piece of qs whose low
 * nibbles belong to sub-block 2j and whose high nibbles to 2j+1. */
#ifndef BF_CUDA_Q4K_LANE_H
#define BF_CUDA_Q4K_LANE_H

#include "../common/device.h"

BF_FN uint32_t word_of(bf_u32x4 v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

/* The scales of the two sub-blocks that a lane works on, decoded without a branch: what differs between sub-blocks
 * 0..3 and 4..7 is two shifts and two masks that the lane keeps in registers. */
struct lane_scales {
    uint32_t shift_a, shift_b, mask_a, mask_b;
};
BF_FN lane_scales lane_scales_make(int j) {
    uint32_t upper = j >= 2, half = 16 * (j & 1);
    return {half + 2 * upper, half, upper ? 0x3030u : 0x3f3fu, upper ? 0x0f0fu : 0u};
}
struct pair_scales {
    float dsc[2], dm[2];
};
BF_FN pair_scales lane_scales_get(const lane_scales &t, bf_u32x4 header) {
    uint32_t sc = ((header.y >> t.shift_a) & t.mask_a) | ((header.w >> t.shift_b) & t.mask_b);
    uint32_t mn = ((header.z >> t.shift_a) & t.mask_a) | ((header.w >> t.shift_b >> 4) & t.mask_b);
    float d = bf_f16_to_f32(header.x & 0xffffu), dmin = bf_f16_to_f32(header.x >> 16);
    return {{d * (float)(sc & 0xffu), d * (float)(sc >> 8)}, {dmin * (float)(mn & 0xffu), dmin * (float)(mn >> 8)}};
}

/* Byte k of a word of qs as the float q (high: 16*q, the scale makes up for it), without a conversion, which runs at a
 * quarter of the rate: the nibble becomes the low bits of 2^23. Exact. */
BF_FN float lane_nibble(uint32_t word, int k, int high) {
    return bf_bits_f((word >> 8 * k & (high ? 0xf0u : 0x0fu)) | 0x4b000000u) - 8388608.0f;
}
#endif
