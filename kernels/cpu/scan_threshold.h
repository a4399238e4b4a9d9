/* scan_threshold.h: the thresholds of scan.h in the bits of each stored type. */
#ifndef BF_CPU_SCAN_THRESHOLD_H
#define BF_CPU_SCAN_THRESHOLD_H

#include "scan.h"

static inline const uint32_t *scan_threshold(bf_dtype type) {
    static const uint32_t f32[BF_SCAN_LEVELS] = {1, 0x33000001u, 0x38800000u, 0x477ff000u, 0x7f800000u, 0x7f800001u};
    static const uint32_t bf16[BF_SCAN_LEVELS] = {1, 0x3301u, 0x3880u, 0x4780u, 0x7f80u, 0x7f81u};
    static const uint32_t f16[BF_SCAN_LEVELS] = {1, 1, 0x0400u, 0x7c00u, 0x7c00u, 0x7c01u};
    return type == BF_F32 ? f32 : type == BF_BF16 ? bf16 : f16;
}

#endif
