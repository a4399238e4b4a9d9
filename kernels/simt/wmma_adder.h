/* wmma_adder.h: how gfx11's matrix steps add, bit by bit. v_wmma_f32_16x16x16_{f16,bf16} as a sequence of v_dot2 steps
 *
 *     s' = s + a0 b0 + a1 b1
 *
 * on a sign-magnitude adder, as measured on gfx1151 by the author of github.com/ROCm/rocm-systems issue 12056 (2026-09):
 *   - products are exact. The three terms are aligned on one grid, whose unit follows the largest exponent: that of s, and for a
 *     product the sum of its operands' exponents, not the product's own; a subnormal fp16 operand counts with the least exponent of
 *     a normal one;
 *   - what lies below the grid is cut;
 *   - signs are taken relative to s: a term of the other sign is negated by flipping its bits without the increment, and so lies
 *     one unit further from zero;
 *   - the sum is rounded to fp32, to nearest even;
 *   - subnormal s and results become zero of their sign, and so do subnormal bf16 operands; fp16's do not; products neither;
 *   - with a NaN or an infinity: IEEE.
 * Inferred here, not stated there: the unit, 2^-24 of the largest exponent, from the published example -1 + 32 + 24 = 55.0000038
 * (two flips make one ulp of 2^-18; half that unit would round back, twice that unit give two ulps); that terms which are zero
 * neither set the grid nor are flipped; that the steps follow k two by two from C on; that a subnormal bf16 operand beside an
 * infinity is a zero already; the sign of a sum that is exactly zero. gfx1100 was not measured; it is taken to be the same.
 *
 * So 1 - 1 is -2^-24 here, and sums of small integers are not exact. */
#ifndef BF_SIMT_WMMA_ADDER_H
#define BF_SIMT_WMMA_ADDER_H

#include <math.h>
#include <stdint.h>
#include <string.h>

namespace bf_wmma {

constexpr int GRID = 24; /* bits from the largest exponent down to the unit */

inline uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
inline int field(float f) { return static_cast<int>(bits_of(f) >> 23 & 255); }
inline float flushed(float f) { return field(f) ? f : copysignf(0.0f, f); }
/* 2^e, -1022 <= e <= 1023. */
inline double power(int e) {
    uint64_t u = static_cast<uint64_t>(1023 + e) << 52;
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

/* An exact product, its exponent as the adder sees it. */
struct term {
    double value;
    int exponent;
};
inline term product(float a, float b, int least) {
    auto exponent = [least](float f) { return field(f) - 127 > least ? field(f) - 127 : least; };
    return {static_cast<double>(flushed(a)) * flushed(b), exponent(a) + exponent(b)};
}
/* A term in units of the grid, seen from a sum whose sign is `negative`. */
inline int64_t aligned(double value, double per_unit, bool negative) {
    if (value == 0) return 0;
    int64_t cut = static_cast<int64_t>(fabs(value) * per_unit);
    return (value < 0) == negative ? cut : ~cut;
}

/* One step. Operands of 16 bits, widened; least: the exponent of their type's smallest normal number. */
inline float dot2(float s, float a0, float b0, float a1, float b1, int least) {
    const term p = product(a0, b0, least), q = product(a1, b1, least);
    s = flushed(s);
    if (field(s) == 255 || field(a0) == 255 || field(b0) == 255 || field(a1) == 255 || field(b1) == 255 ||
        (s == 0 && p.value == 0 && q.value == 0))
        return static_cast<float>(p.value + q.value + s);
    int top = s != 0 ? field(s) - 127 : -1022;
    if (p.value != 0 && p.exponent > top) top = p.exponent;
    if (q.value != 0 && q.exponent > top) top = q.exponent;
    const double per_unit = power(GRID - top);
    const bool negative = bits_of(s) >> 31;
    int64_t sum = aligned(s, per_unit, negative) + aligned(p.value, per_unit, negative) + aligned(q.value, per_unit, negative);
    return flushed(static_cast<float>(static_cast<double>(negative ? -sum : sum) * power(top - GRID)));
}

} // namespace bf_wmma

#endif
