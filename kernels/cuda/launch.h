/* launch.h: launch shapes of the CUDA kernels; host part only. */
#ifndef BF_CUDA_LAUNCH_H
#define BF_CUDA_LAUNCH_H

#include "../common/device.h"

#if BF_HOST
/* Blocks for n items of work, `each` a block: at least one (a launch of none is an error), and for kernels with a
 * grid-stride loop at most `most`. */
static inline int64_t launch_blocks(int64_t n, int64_t each, int64_t most = INT32_MAX) {
    int64_t blocks = n / each + (n % each != 0);
    return blocks < 1 ? 1 : blocks > most ? most : blocks;
}
static inline int launch_aligned16(const void *p) { return ((uintptr_t)p & 15) == 0; }
#endif
#endif
