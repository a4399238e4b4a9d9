/* cpu.c: the backend of the native C kernels. BF_CPU_THREADS=N sets the number of threads (default: one a core that
 * this process may use). */
#define _GNU_SOURCE
#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "../../kernels/cpu/pool.h"
#include "../backend.h"
#include "../op.h"

struct bf_context {
    bf_pool *pool;
};

/* ---- discovery ---- */

/* The first value of `key` in /proc/cpuinfo, or "unknown CPU". */
static void cpuinfo(const char *key, char *out, size_t room) {
    char line[512];
    snprintf(out, room, "unknown CPU");
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (!value || strncmp(line, key, strlen(key))) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = 0;
        snprintf(out, room, "%s", value);
        break;
    }
    if (f) fclose(f);
}

/* The widest integer-dot or vector extension that the compiler's own test (CPUID and the kernel's state saving) finds. */
static const char *widest_isa(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vnni")) return "avx512-vnni";
    if (__builtin_cpu_supports("avx512bw")) return "avx512";
    if (__builtin_cpu_supports("avx2")) return "avx2";
    return "sse2";
#else
    return "";
#endif
}

uint64_t bf_host_cache(void) {
    uint64_t best = 0;
    hwloc_topology_t t;
    if (hwloc_topology_init(&t)) return 0;
    if (!hwloc_topology_load(t)) {
        static const hwloc_obj_type_t level[] = {HWLOC_OBJ_L5CACHE, HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE};
        for (size_t i = 0; i < sizeof level / sizeof *level && !best; i++) {
            int n = hwloc_get_nbobjs_by_type(t, level[i]);
            for (int k = 0; k < n; k++) {
                hwloc_obj_t o = hwloc_get_obj_by_type(t, level[i], (unsigned)k);
                if (o && o->attr && o->attr->cache.size > best) best = o->attr->cache.size;
            }
        }
    }
    hwloc_topology_destroy(t);
    return best;
}

static void cpu_discover(bf_discovery *out) {
    if (out->devices == BF_MAX_DEVICES) return;
    bf_device *d = &out->device[out->devices++];
    extern const bf_backend bf_backend_cpu;
    *d = (bf_device){.backend = &bf_backend_cpu, .warp = 1};
    struct utsname u = {0};
    uname(&u);
    cpu_set_t set;
    long cores = sched_getaffinity(0, sizeof set, &set) ? sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
    cpuinfo("model name", d->name, sizeof d->name);
    snprintf(d->arch, sizeof d->arch, "%.12s %s", !strcmp(u.machine, "x86_64") ? "x86-64" : u.machine, widest_isa());
    snprintf(d->object, sizeof d->object, "host");
    snprintf(d->driver, sizeof d->driver, "%.16s %.40s", u.sysname, u.release);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) d->memory = (uint64_t)pages * (uint64_t)page;
    d->cache = bf_host_cache();
    d->units = (int)cores;
}

/* ---- context and memory ---- */

static bf_context *cpu_open(const bf_device *device, bf_error *err) {
    const char *text = getenv("BF_CPU_THREADS");
    char *end = NULL;
    errno = 0;
    long threads = text && *text ? strtol(text, &end, 10) : 0;
    if (threads < 0 || threads > 4096 || errno || (end && *end))
        return bf_fail(err, "cpu: BF_CPU_THREADS=%s is not a number of threads (0 to 4096)", text), NULL;
    bf_context *c = calloc(1, sizeof *c);
    if (c) c->pool = bf_pool_new((int)threads);
    if (c && c->pool) return c;
    free(c);
    return bf_fail(err, "%s: cannot start the worker threads: out of memory or threads", device->name), NULL;
}

static void cpu_close(bf_context *c) {
    if (!c) return;
    bf_pool_free(c->pool);
    free(c);
}

/* Exact size: AddressSanitizer's red zone begins at the first byte behind it. */
static void *cpu_alloc(bf_context *c, uint64_t bytes, bf_error *err) {
    (void)c;
    void *p = NULL;
    if (bytes > SIZE_MAX / 2 || posix_memalign(&p, 256, bytes ? bytes : 1))
        return bf_fail(err, "cpu: no memory for %llu bytes", (unsigned long long)bytes), NULL;
    /* Large buffers on large pages: a walk of page tables would be part of every bandwidth. Only a hint. */
    const uintptr_t huge = 2u << 20;
    uintptr_t from = ((uintptr_t)p + huge - 1) & ~(huge - 1), to = ((uintptr_t)p + bytes) & ~(huge - 1);
    if (bytes >= 4 * huge && from < to) (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
    return p;
}

static void cpu_free(bf_context *c, void *p) {
    (void)c;
    free(p);
}

static int cpu_copy(bf_context *c, void *to, const void *from, uint64_t bytes, bf_error *err) {
    (void)c, (void)err;
    if (bytes) memcpy(to, from, bytes);
    return 0;
}

/* ---- running ---- */

static int runs_here(const bf_kernel *k, bf_error *err) {
    if (k->target != BF_CPU || !k->run) return bf_fail(err, "cpu: kernel %s is not for this device", k->name);
    if (k->available && !k->available())
        return bf_fail(err, "cpu: kernel %s needs instructions that this processor lacks", k->name);
    return 0;
}

static int cpu_run(bf_context *c, const bf_kernel *k, const bf_problem *p, bf_error *err) {
    if (runs_here(k, err)) return -1;
    k->run(p, c->pool);
    return 0;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int cpu_time(bf_context *c, const bf_kernel *k, const bf_problem *p, int count, double *seconds, bf_error *err) {
    if (runs_here(k, err)) return -1;
    for (int i = 0; i < count; i++) {
        double begin = seconds_now();
        k->run(&p[i], c->pool);
        seconds[i] = seconds_now() - begin;
    }
    return 0;
}

/* The proof kernel registers under the op "proof", which no suite knows: dim[0] the nonce, ptr[0] the answer. */
static int cpu_prove(bf_context *c, uint64_t nonce, uint64_t *proof, bf_error *err) {
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->target != BF_CPU || strcmp(k->op, "proof")) continue;
        bf_problem p = {.dim = {(int64_t)nonce}, .ptr = {proof}};
        return cpu_run(c, k, &p, err);
    }
    return bf_fail(err, "cpu: no proof kernel");
}

const bf_backend bf_backend_cpu = {
    .name = "cpu", .target = BF_CPU, .gpu = 0, .discover = cpu_discover, .open = cpu_open, .close = cpu_close,
    .alloc = cpu_alloc, .free = cpu_free, .upload = cpu_copy, .download = cpu_copy, .run = cpu_run, .time = cpu_time,
    .prove = cpu_prove,
};
