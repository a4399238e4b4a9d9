/* number.h: the 16- and 32-bit floating-point formats for the references, in double arithmetic.
 *
 * Written from IEEE 754-2019 section 3 and shares nothing with kernels/common: decoding is sign * significand * 2^e,
 * encoding is a rounding of x / ulp to an integer, so that a mistake in the kernels' integer tricks cannot be
 * repeated here. */
#ifndef BF_REF_NUMBER_H
#define BF_REF_NUMBER_H

#include <stdint.h>

#include "../kernels/common/kernel.h"

/* Unit roundoffs, half an ulp of 1: fp32 2^-24, fp16 2^-11, bf16 2^-8. */
#define BF_REF_U32 0x1p-24
#define BF_REF_U64 0x1p-53

typedef struct bf_ref_format {
    int bits;       /* storage: 16, 32 */
    int fraction;   /* stored significand bits */
    int emin, emax; /* exponents of the smallest and the largest normal binade */
} bf_ref_format;

bf_ref_format bf_ref_format_of(bf_dtype type); /* F32, F16, BF16 */

/* Exact. Infinities and NaN become double's (the payload is not kept). */
double bf_ref_decode(bf_dtype type, uint32_t bits);
/* To nearest, ties to even, overflow to infinity, subnormals kept. NaN gives the format's plain quiet NaN. */
uint32_t bf_ref_encode(bf_dtype type, double x);
/* Largest finite value. */
double bf_ref_largest(bf_dtype type);
/* Distance between neighbours at |x| in the format (in the subnormal range its smallest value); x finite. */
double bf_ref_ulp(bf_dtype type, double x);

int bf_ref_is_nan(bf_dtype type, uint32_t bits);
int bf_ref_is_finite(bf_dtype type, uint32_t bits);
int bf_ref_is_subnormal(bf_dtype type, uint32_t bits);
int bf_ref_is_zero(bf_dtype type, uint32_t bits); /* either sign */

/* Element i of an array of that type, as its bits and as its value. I8, I32, U32 too. */
uint32_t bf_ref_bits_at(bf_dtype type, const void *data, int64_t i);
double bf_ref_at(bf_dtype type, const void *data, int64_t i);

#endif
