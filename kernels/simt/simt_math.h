/* simt_math.h: the scalar instructions of the two devices in integer and plain C arithmetic. Pure functions on
 * bits, valid in C11 and C++, so that tests reach both devices' rules at once.
 *
 * NaN of the fp16 conversions: cuda gives 0x7fff for fp32 -> fp16 (PTX ISA, cvt) and, where PTX only promises "a
 * NaN", 0x7fffffff for fp16 -> fp32; hip keeps sign and payload and sets the quiet bit (RDNA 3.5 ISA, IEEE mode). */
#ifndef BF_SIMT_MATH_H
#define BF_SIMT_MATH_H

#include <stdint.h>
#include <string.h>

#define BF_SIMT_MATH static inline __attribute__((unused))

BF_SIMT_MATH uint32_t bf_simt_f_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
BF_SIMT_MATH float bf_simt_bits_f(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

BF_SIMT_MATH int32_t bf_simt_dp4a(int32_t a, int32_t b, int32_t c) {
    int32_t sum = 0; /* at most 4 * 128 * 128; only the addition of c wraps */
    for (int i = 0; i < 32; i += 8) sum += (int8_t)((uint32_t)a >> i) * (int8_t)((uint32_t)b >> i);
    return (int32_t)((uint32_t)c + (uint32_t)sum);
}
BF_SIMT_MATH int32_t bf_simt_dp4a_us(uint32_t a, int32_t b, int32_t c) {
    int32_t sum = 0;
    for (int i = 0; i < 32; i += 8) sum += (int32_t)(uint8_t)(a >> i) * (int8_t)((uint32_t)b >> i);
    return (int32_t)((uint32_t)c + (uint32_t)sum);
}

/* prmt.b32, default mode (PTX ISA). */
BF_SIMT_MATH uint32_t bf_simt_prmt(uint32_t low, uint32_t high, uint32_t s) {
    uint64_t both = (uint64_t)high << 32 | low;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t pick = s >> 4 * i & 15u, byte = (uint32_t)(both >> 8 * (pick & 7u)) & 255u;
        r |= (pick & 8u ? (byte & 128u ? 255u : 0u) : byte) << 8 * i;
    }
    return r;
}
/* v_perm_b32 (RDNA 3 ISA): selectors 8 to 11 are the signs of bytes 1, 3, 5, 7, 12 is zero, higher ones 255. */
BF_SIMT_MATH uint32_t bf_simt_perm(uint32_t low, uint32_t high, uint32_t s) {
    uint64_t both = (uint64_t)high << 32 | low;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t pick = s >> 8 * i & 255u, byte = pick > 12u ? 255u : 0u;
        if (pick < 8u) byte = (uint32_t)(both >> 8 * pick) & 255u;
        if (pick >= 8u && pick < 12u) byte = both >> (16 * (pick - 8u) + 15) & 1u ? 255u : 0u;
        r |= byte << 8 * i;
    }
    return r;
}

/* fp16 bits to fp32 bits of anything but a NaN: exact. */
BF_SIMT_MATH uint32_t bf_simt_f16_finite(uint32_t h) {
    uint32_t sign = (h & 0x8000u) << 16, e = h >> 10 & 31u, m = h & 0x3ffu;
    if (e == 31u) return sign | 0x7f800000u;
    if (e) return sign | (e + 112u) << 23 | m << 13;
    if (!m) return sign;
    uint32_t shift = (uint32_t)__builtin_clz(m) - 21u; /* brings the leading bit of m to bit 10 */
    return sign | (113u - shift) << 23 | ((m << shift) & 0x3ffu) << 13;
}
BF_SIMT_MATH uint32_t bf_simt_f16_to_f32_cuda(uint32_t h) {
    return (h & 0x7fffu) > 0x7c00u ? 0x7fffffffu : bf_simt_f16_finite(h & 0xffffu);
}
BF_SIMT_MATH uint32_t bf_simt_f16_to_f32_hip(uint32_t h) {
    if ((h & 0x7fffu) > 0x7c00u) return (h & 0x8000u) << 16 | 0x7fc00000u | (h & 0x3ffu) << 13;
    return bf_simt_f16_finite(h & 0xffffu);
}

/* fp32 bits to fp16 bits of anything but a NaN, to nearest, ties to even; from 65,520 on infinity. */
BF_SIMT_MATH uint32_t bf_simt_f32_finite_to_f16(uint32_t u) {
    uint32_t sign = u >> 16 & 0x8000u, x = u & 0x7fffffffu;
    if (x >= 0x477ff000u) return sign | 0x7c00u; /* 65,520 */
    if (x < 0x33000000u) return sign;            /* below 2^-25; 2^-25 itself is a tie and goes to even, 0 */
    uint32_t e = x >> 23, m, drop;
    if (e < 113u) { /* fp16 subnormal: units of 2^-24 */
        m = (x & 0x7fffffu) | 0x800000u;
        drop = 126u - e;
    } else {
        m = x - (112u << 23);
        drop = 13;
    }
    uint32_t kept = m >> drop, rest = m & ((1u << drop) - 1u), half = 1u << (drop - 1u);
    kept += rest > half || (rest == half && (kept & 1u)); /* a carry moves on into the exponent, as it should */
    return sign | kept;
}
BF_SIMT_MATH uint32_t bf_simt_f32_to_f16_cuda(uint32_t u) {
    return (u & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : bf_simt_f32_finite_to_f16(u);
}
BF_SIMT_MATH uint32_t bf_simt_f32_to_f16_hip(uint32_t u) {
    if ((u & 0x7fffffffu) > 0x7f800000u) return (u >> 16 & 0x8000u) | 0x7e00u | (u >> 13 & 0x3ffu);
    return bf_simt_f32_finite_to_f16(u);
}

/* 2^x in double, to 2^-40. */
BF_SIMT_MATH double bf_simt_exp2_double(float x) {
    double n = __builtin_rint((double)x), f = ((double)x - n) * 0.693147180559945309417, p = 1;
    for (int i = 10; i; i--) p = 1 + p * f / i;
    uint64_t u;
    memcpy(&u, &p, 8);
    u += (uint64_t)(int64_t)n << 52;
    memcpy(&p, &u, 8);
    return p;
}
/* As far from 2^x as the manuals allow, so that no result rests on a better one: cuda the nearest value, or its neighbour on
 * either side, by a hash of x; hip the value below. Whole x are exact. Below 2^-126: 0. */
BF_SIMT_MATH float bf_simt_exp2(float x, int cuda) {
    if (x != x) return x;
    if (x >= 128) return bf_simt_bits_f(0x7f800000u);
    if (x < -126) return 0;
    double exact = bf_simt_exp2_double(x);
    float f = (float)exact;
    uint32_t u = bf_simt_f_bits(f), hash = bf_simt_f_bits(x) * 0x9e3779b1u >> 30;
    if (x == __builtin_rintf(x)) return f;
    if (cuda) return bf_simt_bits_f(u + (hash == 1) - (hash == 2 && u > 0x00800000u));
    return (double)f > exact && u > 0x00800000u ? bf_simt_bits_f(u - 1) : f;
}
/* 1/x cut off, less than 1 ulp away; a subnormal x gives an infinity, a subnormal result 0. */
BF_SIMT_MATH float bf_simt_rcp(float x) {
    double exact = 1 / (double)x;
    float f = (float)exact;
    uint32_t u = bf_simt_f_bits(x), sign = u & 0x80000000u;
    if (x != x) return x;
    if ((u & 0x7f800000u) == 0) return bf_simt_bits_f(sign | 0x7f800000u);
    if ((bf_simt_f_bits(f) & 0x7f800000u) == 0) return bf_simt_bits_f(sign);
    return (exact > 0 ? (double)f > exact : (double)f < exact) ? bf_simt_bits_f(bf_simt_f_bits(f) - 1) : f;
}

/* IEEE maxNum and minNum: a NaN operand is ignored, two give both_nan; -0 counts as less than +0. */
BF_SIMT_MATH float bf_simt_max(float a, float b, uint32_t both_nan) {
    if (a != a) return b != b ? bf_simt_bits_f(both_nan) : b;
    if (b != b || a > b) return a;
    if (b > a) return b;
    return bf_simt_bits_f(bf_simt_f_bits(a) & bf_simt_f_bits(b));
}
BF_SIMT_MATH float bf_simt_min(float a, float b, uint32_t both_nan) {
    if (a != a) return b != b ? bf_simt_bits_f(both_nan) : b;
    if (b != b || a < b) return a;
    if (b < a) return b;
    return bf_simt_bits_f(bf_simt_f_bits(a) | bf_simt_f_bits(b));
}

/* 1/sqrt as inexact as an approximate instruction may be: off by nearly `error` of itself, to a side that the operand's significand and
 * the parity of its exponent choose, so that four times the operand gives half the result, as in hardware. */
BF_SIMT_MATH float bf_simt_rsqrt(float v, double error) {
    uint32_t u = bf_simt_f_bits(v), side = ((u & 0xffffffu) * 0x9e3779b9u) >> 31;
    if (!(v > 0) || u >= 0x7f800000u) return v == 0 ? bf_simt_bits_f((u & 0x80000000u) | 0x7f800000u) : v > 0 ? 0.0f : bf_simt_bits_f(0x7fffffffu);
    double r = 1 / __builtin_sqrt((double)v), off = error - 0x1p-24; /* the rounding to fp32 takes the rest */
    return (float)(r * (side ? 1 + off : 1 - off));
}

#endif
