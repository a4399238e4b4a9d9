/* convert.h: the reference of conversions between fp32, fp16 and bf16. Plain C: no product is involved. */
#ifndef BF_REF_CONVERT_H
#define BF_REF_CONVERT_H

#include <stdint.h>

#include "../kernels/common/kernel.h"

typedef struct bf_ref_converted {
    uint32_t bits;
    int any_nan;                             /* 1: any quiet NaN is right */
    int overflow, underflow, subnormal, nan; /* what the counters of the op count, 0 or 1 each */
} bf_ref_converted;

/* One element. `target` decides the NaN rule (table in kernels/common/convert.h; sources: PTX ISA, cvt; IEEE 754-2019
 * section 6.2 as x86 F16C and RDNA 3 implement it). */
bf_ref_converted bf_ref_convert(bf_dtype from, bf_dtype to, int saturate, bf_target target, uint32_t bits);

#endif
