/* device_math.h: functions of the dialect made of bf_exp2, bf_rcp and fp32 arithmetic, the same text on every target, so that
 * their errors can be tested on the CPU (harness/tests/test_attention.c, against MPFR). u = 2^-24.
 *
 *   bf_exp(x)    exp2(x log2(e)): relative error 4 u of exp2, and 2 u |x| of the rounded constant and product
 *   bf_tanh(x)   relative error at most 12 u; NaN stays, infinities give 1 and -1
 *   bf_log(x)    natural logarithm of x >= 1, finite: at most 4 ulp; 0 at 1 */
#ifndef BF_DEVICE_MATH_H
#define BF_DEVICE_MATH_H

#include "device.h"

#define BF_LOG2E 0x1.715476p+0f
#define BF_LN2 0x1.62e43p-1f

BF_FN float bf_exp(float x) { return bf_exp2(x * BF_LOG2E); }

/* Below 0.55 an odd polynomial (least squares on Chebyshev points, 0.06 u), beyond 1 - 2 / (e^2x + 1). */
BF_FN float bf_tanh(float x) {
    float a = bf_bits_f(bf_f_bits(x) & 0x7fffffffu), z = x * x;
    float p = bf_fma(-0x1.9b14e4p-8f, z, 0x1.59370cp-6f);
    p = bf_fma(p, z, -0x1.b9278cp-5f);
    p = bf_fma(p, z, 0x1.110d1ep-3f);
    p = bf_fma(p, z, -0x1.55554ap-2f);
    float small = bf_fma(p * z, x, x);
    float large = 1.0f - 2.0f * bf_rcp(bf_exp2(a * (2.0f * BF_LOG2E)) + 1.0f);
    large = bf_bits_f(bf_f_bits(large) | (bf_f_bits(x) & 0x80000000u));
    return a < 0.55f ? small : large; /* a NaN goes to the right */
}

/* x = 2^e m, m in [2/3, 4/3): log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 1/5. */
BF_FN float bf_log(float x) {
    uint32_t u = bf_f_bits(x), e = (u - 0x3f2aaaabu) & 0xff800000u;
    float m = bf_bits_f(u - e), s = (m - 1.0f) / (m + 1.0f), z = s * s;
    float p = bf_fma(2.0f / 11.0f, z, 2.0f / 9.0f);
    p = bf_fma(p, z, 2.0f / 7.0f);
    p = bf_fma(p, z, 2.0f / 5.0f);
    p = bf_fma(p, z, 2.0f / 3.0f);
    return bf_fma((float)((int32_t)e >> 23), BF_LN2, bf_fma(p * z, s, 2.0f * s));
}

/* f rounded to nearest even to tf32's 11 significand bits, for kernels that are broken on purpose. */
BF_FN float bf_to_tf32(float f) {
    uint32_t u = bf_f_bits(f);
    if ((u & 0x7f800000u) == 0x7f800000u) return f;
    return bf_bits_f((u + 0xfffu + ((u >> 13) & 1u)) & 0xffffe000u);
}

#endif
