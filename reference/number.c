/* number.c: see number.h. */
#include "number.h"

#include <math.h>
#include <string.h>

bf_ref_format bf_ref_format_of(bf_dtype type) {
    switch (type) {
    case BF_F16:
        return (bf_ref_format){16, 10, -14, 15};
    case BF_BF16:
        return (bf_ref_format){16, 7, -126, 127};
    default:
        return (bf_ref_format){32, 23, -126, 127};
    }
}

static uint32_t sign_bit(bf_ref_format f) { return f.bits == 16 ? 0x8000u : 0x80000000u; }
static uint32_t infinity_bits(bf_ref_format f) { return (uint32_t)(f.emax - f.emin + 2) << f.fraction; }

double bf_ref_decode(bf_dtype type, uint32_t bits) {
    bf_ref_format f = bf_ref_format_of(type);
    uint32_t magnitude = bits & (sign_bit(f) - 1);
    double sign = bits & sign_bit(f) ? -1 : 1;
    if (magnitude > infinity_bits(f)) return NAN;
    if (magnitude == infinity_bits(f)) return sign * INFINITY;
    uint32_t exponent = magnitude >> f.fraction, fraction = magnitude - (exponent << f.fraction);
    if (!exponent) return sign * ldexp((double)fraction, f.emin - f.fraction);
    return sign * ldexp((double)(fraction + (1u << f.fraction)), (int)exponent - 1 + f.emin - f.fraction);
}

double bf_ref_ulp(bf_dtype type, double x) {
    bf_ref_format f = bf_ref_format_of(type);
    int e = x == 0 ? f.emin : ilogb(x);
    if (e < f.emin) e = f.emin;
    return ldexp(1, e - f.fraction);
}

double bf_ref_largest(bf_dtype type) {
    bf_ref_format f = bf_ref_format_of(type);
    return ldexp(2 - ldexp(1, -f.fraction), f.emax);
}

uint32_t bf_ref_encode(bf_dtype type, double x) {
    bf_ref_format f = bf_ref_format_of(type);
    if (isnan(x)) return infinity_bits(f) | 1u << (f.fraction - 1);
    uint32_t sign = signbit(x) ? sign_bit(f) : 0;
    x = fabs(x);
    if (isinf(x)) return sign | infinity_bits(f);
    double ulp = bf_ref_ulp(type, x);
    double n = nearbyint(x / ulp); /* the quotient is exact: ulp is a power of two; the rounding is the only one */
    double rounded = n * ulp;
    if (rounded > bf_ref_largest(type)) return sign | infinity_bits(f);
    ulp = bf_ref_ulp(type, rounded);
    n = rounded / ulp;
    if (n < (double)(1u << f.fraction)) return sign | (uint32_t)n; /* zero or subnormal */
    return sign | (uint32_t)(ilogb(rounded) - f.emin + 1) << f.fraction | ((uint32_t)n - (1u << f.fraction));
}

int bf_ref_is_nan(bf_dtype type, uint32_t bits) {
    bf_ref_format f = bf_ref_format_of(type);
    return (bits & (sign_bit(f) - 1)) > infinity_bits(f);
}
int bf_ref_is_finite(bf_dtype type, uint32_t bits) {
    bf_ref_format f = bf_ref_format_of(type);
    return (bits & (sign_bit(f) - 1)) < infinity_bits(f);
}
int bf_ref_is_subnormal(bf_dtype type, uint32_t bits) {
    bf_ref_format f = bf_ref_format_of(type);
    uint32_t m = bits & (sign_bit(f) - 1);
    return m && m < 1u << f.fraction;
}
int bf_ref_is_zero(bf_dtype type, uint32_t bits) { return !(bits & (sign_bit(bf_ref_format_of(type)) - 1)); }

uint32_t bf_ref_bits_at(bf_dtype type, const void *data, int64_t i) {
    const unsigned char *p = data;
    uint32_t w = 0;
    switch (type) {
    case BF_F16:
    case BF_BF16:
        memcpy(&w, p + 2 * i, 2);
        return w;
    case BF_I8:
        memcpy(&w, p + i, 1);
        return w;
    default:
        memcpy(&w, p + 4 * i, 4);
        return w;
    }
}

double bf_ref_at(bf_dtype type, const void *data, int64_t i) {
    uint32_t u = bf_ref_bits_at(type, data, i);
    switch (type) {
    case BF_I8:
        return (int8_t)u;
    case BF_I32:
        return (int32_t)u;
    case BF_U32:
        return u;
    default:
        return bf_ref_decode(type, u);
    }
}
