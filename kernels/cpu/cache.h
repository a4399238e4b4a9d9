/* cache.h: when a result is too large for the caches to keep, it is stored around them (non-temporal). */
#ifndef BF_CPU_CACHE_H
#define BF_CPU_CACHE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the largest cache that the first core can use; 8 MiB where nothing says so. */
int64_t bf_cache_bytes(void);

#ifdef __cplusplus
}
#endif

/* Elements of `size` bytes from p on until it is aligned to `to` (a power of two), at most n. */
static inline int64_t bf_until_aligned(const void *p, int64_t size, uintptr_t to, int64_t n) {
    int64_t k = (int64_t)((0 - (uintptr_t)p) & (to - 1)) / size;
    return k < n ? k : n;
}

#endif
