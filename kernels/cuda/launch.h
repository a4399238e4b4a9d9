/* launch.h: what the CUDA kernels share: unrolling, and in the host part launch shapes. */
#ifndef BF_CUDA_LAUNCH_H
#define BF_CUDA_LAUNCH_H

#include "../common/device.h"

/* Before a loop whose trip count is a constant and whose arrays must end up in registers. On the host it would only
 * cost compile time. */
#if BF_HOST
#define UNROLLED
#else
#define UNROLLED _Pragma("unroll")
#endif

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
