/* convert.c: see convert.h. Values go through double, which holds all three types exactly; the one rounding is
 * bf_ref_encode's. Conversions between fp16 and bf16 are the same single rounding, because fp32 holds both. */
#include "convert.h"

#include <math.h>

#include "number.h"

/* A NaN between types: sign kept, the payload's leading bits aligned to the leading bits, quiet. Only fp32 -> bf16
 * and bf16 -> fp32 are integer code on every target; the others are the device's instruction. */
static uint32_t widen_nan(bf_dtype from, uint32_t bits, bf_target target, int *any) {
    if (from == BF_BF16) return bits * 65536u;
    if (from == BF_F32) return bits;
    *any = target == BF_CUDA;
    return (bits & 0x8000u) * 65536u + 0x7f800000u + (bits & 0x3ffu) * 8192u + (bits & 0x200u ? 0 : 0x400000u);
}

static uint32_t narrow_nan(bf_dtype to, uint32_t f32, bf_target target, int *any) {
    uint32_t sign = f32 / 0x80000000u, payload = f32 % 0x800000u;
    if (to == BF_F32) return f32;
    if (to == BF_BF16) return sign * 0x8000u + 0x7f80u + (payload / 65536u) % 0x40u + 0x40u;
    if (target == BF_CUDA) {
        *any = 0;
        return 0x7fff;
    }
    return sign * 0x8000u + 0x7c00u + (payload / 8192u) % 0x200u + 0x200u;
}

bf_ref_converted bf_ref_convert(bf_dtype from, bf_dtype to, int saturate, bf_target target, uint32_t bits) {
    bf_ref_converted r = {0};
    if (bf_ref_is_nan(from, bits)) {
        r.nan = 1;
        r.bits = from == to ? bits : narrow_nan(to, widen_nan(from, bits, target, &r.any_nan), target, &r.any_nan);
        return r;
    }
    double x = bf_ref_decode(from, bits);
    r.bits = bf_ref_encode(to, x);
    int infinite = !bf_ref_is_finite(to, r.bits);
    r.overflow = infinite && isfinite(x);
    r.underflow = x != 0 && bf_ref_is_zero(to, r.bits);
    r.subnormal = bf_ref_is_subnormal(to, r.bits);
    if (saturate && infinite) r.bits = bf_ref_encode(to, copysign(bf_ref_largest(to), x));
    return r;
}
