/* cache.c: see cache.h. The kernel's tree in /sys comes first: the C library adds up all last-level caches of a socket where a
 * processor describes them so (320 MiB instead of 32 on an EPYC of ten such caches). */
#include "cache.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static int64_t from_tree(int index) {
    char path[96], unit = 0;
    long long size = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    int got = fscanf(f, "%lld%c", &size, &unit);
    fclose(f);
    if (got < 1 || size < 0 || size > 1 << 30) return 0;
    return size * (unit == 'K' ? 1024 : unit == 'M' ? 1024 * 1024 : 1);
}

static int64_t find(void) {
    int64_t bytes = from_tree(3);
    if (!bytes) bytes = from_tree(2);
#if defined(_SC_LEVEL3_CACHE_SIZE)
    if (bytes <= 0) bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (bytes <= 0) bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? bytes : 8 << 20;
}

int64_t bf_cache_bytes(void) {
    static _Atomic int64_t known;
    int64_t bytes = atomic_load(&known);
    if (!bytes) atomic_store(&known, bytes = find());
    return bytes;
}
