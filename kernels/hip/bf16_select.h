/* bf16_select.h: fp32 to bf16 (the rule of ../common/bf16.h) without a branch: both answers and a select. Written with
 * a branch, the compiler splits the wave at every element. */
#ifndef BF_HIP_BF16_SELECT_H
#define BF_HIP_BF16_SELECT_H

#include "../common/device.h"

BF_FN uint32_t bf16_select(float f) {
    uint32_t u = bf_f_bits(f), quiet = u | 0x400000u, rounded = u + (u >> 16 & 1u) + 0x7fffu;
    return (f != f ? quiet : rounded) >> 16;
}

#endif
