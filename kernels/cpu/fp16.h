/* fp16.h: IEEE binary16 in integer code, for processors without a conversion instruction and for the plain kernels.
 * NaN: sign and upper payload stay, the quiet bit is set (convert.h, row cpu). */
#ifndef BF_CPU_FP16_H
#define BF_CPU_FP16_H

#include <stdint.h>
#include <string.h>

#include "../common/bf16.h"
#include "../common/kernel.h"

static inline uint32_t bf_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline float bf_float(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Exact. Returns fp32 bits. */
static inline uint32_t bf_f16_to_f32_bits(uint32_t h) {
    uint32_t sign = (h & 0x8000u) << 16, a = h & 0x7fffu;
    if (a > 0x7c00u) return sign | 0x7fc00000u | a << 13;
    if (a == 0x7c00u) return sign | 0x7f800000u;
    if (a >= 0x0400u) return sign | ((a << 13) + 0x38000000u);
    return sign | bf_bits((float)(int32_t)a * 0x1p-24f); /* subnormal: a units of 2^-24 */
}

/* To nearest, ties to even; overflow gives infinity; subnormals kept. */
static inline uint32_t bf_f32_bits_to_f16(uint32_t u) {
    uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return sign | 0x7e00u | (a >> 13 & 0x3ffu);
    if (a >= 0x477ff000u) return sign | 0x7c00u; /* 65,520 and beyond */
    if (a >= 0x38800000u) return sign | (a - 0x38000000u + 0xfffu + (a >> 13 & 1u)) >> 13;
    /* Below 2^-14: adding 0.5 leaves the value rounded to units of 2^-24 in the low bits of the significand. */
    return sign | (bf_bits(bf_float(a) + 0.5f) - 0x3f000000u);
}

static inline float bf_f16_value(uint32_t h) { return bf_float(bf_f16_to_f32_bits(h)); }
static inline float bf_bf16_value(uint32_t h) { return bf_float(bf_bf16_to_f32_bits(h)); }

/* Element i of an array of fp32, fp16 or bf16, widened. */
static inline float bf_load_float(const void *x, bf_dtype type, int64_t i) {
    if (type == BF_F32) return ((const float *)x)[i];
    uint32_t h = ((const uint16_t *)x)[i];
    return type == BF_F16 ? bf_f16_value(h) : bf_bf16_value(h);
}

/* f rounded to nearest even to tf32's 11 significand bits, for kernels that are broken on purpose. */
static inline float bf_tf32(float f) {
    uint32_t u = bf_bits(f);
    if ((u & 0x7f800000u) == 0x7f800000u) return f;
    return bf_float((u + 0xfffu + ((u >> 13) & 1u)) & 0xffffe000u);
}

#endif
