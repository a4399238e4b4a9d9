/* cache.h: when a result is too large for the caches to keep, it is stored around them (non-temporal). */
#ifndef BF_CPU_CACHE_H
#define BF_CPU_CACHE_H

#include <stdint.h>
#include <unistd.h>

/* Bytes of the largest cache that the C library knows; 8 MiB where it knows none. */
static inline int64_t bf_cache_bytes(void) {
    long bytes = -1;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (bytes <= 0) bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? bytes : 8 << 20;
}

/* Elements of `size` bytes from p on until it is aligned to `to` (a power of two), at most n. */
static inline int64_t bf_until_aligned(const void *p, int64_t size, uintptr_t to, int64_t n) {
    int64_t k = (int64_t)((0 - (uintptr_t)p) & (to - 1)) / size;
    return k < n ? k : n;
}

#endif
