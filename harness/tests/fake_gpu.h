/* fake_gpu.h: what the stand-ins for libcuda and libamdhip64 share. They have no GPU: memory is the host's, and a launch
 * does nothing, unless the program that loaded them exports bf_fake_launch and asks for it. The two vendors number the errors
 * used here alike. Behaviour by BF_FAKE:
 *
 *   ok            (default) everything succeeds, launches do nothing: whoever believes it is fooled
 *   ok-host       launches call bf_fake_launch of the loading program, if it exports one
 *   simt          launches run the kernel's own source on the CPU, through what the loading program exports (gpu.h)
 *   wrong-proof   as ok, and the proof kernel answers with the nonce itself
 *   no-device     no device is listed
 *   init-fails    initialisation: unknown error (999)
 *   mismatch      initialisation: library and kernel module differ (803)
 *   oom           every allocation fails
 *   no-binary     every code object is refused (209)
 *   old-driver    the same: its PTX is too new (222)
 *   slow-load     a code object takes 0.1 s
 *   launch-fails  every launch is refused (701)
 *   sticky-error  the first launch is accepted, then every call fails (700)
 *   backwards     as simt, and every third time between two events is negative
 *   hang          waiting for the device never ends
 *   rocm5         HIP: only the old device properties
 *
 * Mode simt injects faults: BF_FAKE_FAULTS=PROBABILITY:SEED for each launch, recorded in the file BF_FAKE_LOG as "JOB FAULT SYMBOL",
 * appended before the fault takes place. The faults: "refused" (701), "lost" (the launch does nothing and says nothing), "half" (only
 * the first half of the blocks run), "sticky" (as sticky-error), "gone" (the device is lost: this and every later call fails with 719),
 * "crash" (the process dies), "hang" (waiting never ends). The proof kernel is spared.
 *
 * BF_FAKE_DEVICES=N (1), BF_FAKE_CAPABILITY=MAJOR.MINOR (6.1), BF_FAKE_ARCH=gfx... (gfx1151), BF_FAKE_CACHE=BYTES. As strict as the vendors where
 * a backend can go wrong: initialisation first, a current context, addresses inside allocations, launch limits. */
#ifndef FAKE_GPU_H
#define FAKE_GPU_H

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../kernels/common/kernel.h"
#include "../../kernels/simt/runtime.h"

enum {
    FAKE_INVALID = 1,
    FAKE_MEMORY = 2,
    FAKE_NOT_INITIALIZED = 3,
    FAKE_NO_DEVICE = 100,
    FAKE_INVALID_DEVICE = 101,
    FAKE_INVALID_IMAGE = 200,
    FAKE_INVALID_CONTEXT = 201,
    FAKE_NO_BINARY = 209,
    FAKE_OLD_DRIVER = 222,
    FAKE_INVALID_HANDLE = 400,
    FAKE_NOT_FOUND = 500,
    FAKE_ILLEGAL_ADDRESS = 700,
    FAKE_RESOURCES = 701,
    FAKE_LAUNCH_FAILED = 719,
    FAKE_MISMATCH = 803,
    FAKE_UNKNOWN = 999
};

typedef int (*fake_launch_fn)(const char *symbol, const uint32_t grid[3], const uint32_t block[3], uint32_t shared,
                              const void *argument);

typedef struct fake_block {
    struct fake_block *next;
    char *at;
    size_t bytes;
} fake_block;
typedef struct fake_function {
    struct fake_function *next;
    uint32_t magic;
    char name[128];
} fake_function;
typedef struct fake_module {
    uint32_t magic;
    fake_function *functions;
} fake_module;
enum { FAKE_MODULE = 0x6d6f6475, FAKE_FUNCTION = 0x66756e63 };

static int fake_initialized, fake_current, fake_broken, fake_hangs;
static fake_block *fake_blocks;

static int fake_is(const char *mode) {
    const char *m = getenv("BF_FAKE");
    return !strcmp(m && *m ? m : "ok", mode);
}
static int fake_devices(void) {
    const char *n = getenv("BF_FAKE_DEVICES");
    return fake_is("no-device") ? 0 : n ? atoi(n) : 1;
}
static int fake_init(void) {
    if (fake_is("init-fails")) return FAKE_UNKNOWN;
    if (fake_is("mismatch")) return FAKE_MISMATCH;
    if (fake_is("no-device")) return FAKE_NO_DEVICE;
    fake_initialized = 1;
    return 0;
}
/* What every call that needs a device begins with. */
static int fake_ready(void) {
    return fake_broken ? fake_broken : !fake_initialized ? FAKE_NOT_INITIALIZED : !fake_current ? FAKE_INVALID_CONTEXT : 0;
}

static const char *fake_error_name(int e) {
    switch (e) {
    case 0: return "FAKE_SUCCESS";
    case FAKE_INVALID: return "FAKE_ERROR_INVALID_VALUE";
    case FAKE_MEMORY: return "FAKE_ERROR_OUT_OF_MEMORY";
    case FAKE_NOT_INITIALIZED: return "FAKE_ERROR_NOT_INITIALIZED";
    case FAKE_NO_DEVICE: return "FAKE_ERROR_NO_DEVICE";
    case FAKE_INVALID_IMAGE: return "FAKE_ERROR_INVALID_IMAGE";
    case FAKE_INVALID_CONTEXT: return "FAKE_ERROR_INVALID_CONTEXT";
    case FAKE_NO_BINARY: return "FAKE_ERROR_NO_BINARY_FOR_GPU";
    case FAKE_NOT_FOUND: return "FAKE_ERROR_NOT_FOUND";
    case FAKE_ILLEGAL_ADDRESS: return "FAKE_ERROR_ILLEGAL_ADDRESS";
    case FAKE_RESOURCES: return "FAKE_ERROR_LAUNCH_OUT_OF_RESOURCES";
    case FAKE_LAUNCH_FAILED: return "FAKE_ERROR_LAUNCH_FAILED";
    case FAKE_MISMATCH: return "FAKE_ERROR_SYSTEM_DRIVER_MISMATCH";
    default: return "FAKE_ERROR_UNKNOWN";
    }
}

/* Bytes of last-level cache: $BF_FAKE_CACHE, so that a test need not rotate through many. */
static int fake_cache(int bytes) {
    const char *text = getenv("BF_FAKE_CACHE");
    return text ? atoi(text) : bytes;
}

/* ---- memory ---- */
static int fake_alloc(void **p, size_t bytes) {
    int e = fake_ready();
    if (e) return e;
    if (!bytes) return FAKE_INVALID;
    fake_block *b = malloc(sizeof *b);
    void *at = NULL;
    if (fake_is("oom") || !b || posix_memalign(&at, 256, bytes)) return free(b), FAKE_MEMORY;
    *b = (fake_block){fake_blocks, at, bytes};
    fake_blocks = b;
    *p = at;
    return 0;
}
static int fake_free(void *p) {
    int e = fake_ready();
    if (e) return e;
    for (fake_block **b = &fake_blocks; *b; b = &(*b)->next)
        if ((*b)->at == p) {
            fake_block *gone = *b;
            *b = gone->next;
            free(gone->at);
            free(gone);
            return 0;
        }
    return FAKE_INVALID;
}
/* An address the device owns, with so many bytes behind it. */
static int fake_owns(const void *p, size_t bytes) {
    for (fake_block *b = fake_blocks; b; b = b->next)
        if ((const char *)p >= b->at && (const char *)p + bytes <= b->at + b->bytes) return 1;
    return 0;
}
static int fake_copy(void *to, const void *from, size_t bytes, const void *device) {
    int e = fake_ready();
    if (e) return e;
    if (!fake_owns(device, bytes)) return FAKE_INVALID;
    memcpy(to, from, bytes);
    return 0;
}

/* ---- code ---- */
static int fake_load(void **module, const void *image, const char *magic, const char *other) {
    int e = fake_ready();
    if (e) return e;
    if (memcmp(image, magic, 4) && (!other || memcmp(image, other, 2))) return FAKE_INVALID_IMAGE;
    if (fake_is("no-binary")) return FAKE_NO_BINARY;
    if (fake_is("old-driver")) return FAKE_OLD_DRIVER;
    if (fake_is("slow-load")) usleep(100000);
    fake_module *m = malloc(sizeof *m);
    if (!m) return FAKE_MEMORY;
    *m = (fake_module){.magic = FAKE_MODULE};
    *module = m;
    return 0;
}
static int fake_unload(void *module) {
    fake_module *m = module;
    if (!m || m->magic != FAKE_MODULE) return FAKE_INVALID_HANDLE;
    for (fake_function *f = m->functions, *next; f; f = next) {
        next = f->next;
        f->magic = 0;
        free(f);
    }
    m->magic = 0;
    free(m);
    return 0;
}
static int fake_get_function(void **function, void *module, const char *name) {
    fake_module *m = module;
    if (!m || m->magic != FAKE_MODULE) return FAKE_INVALID_HANDLE;
    fake_function *f = calloc(1, sizeof *f); /* lives as long as its module */
    if (!f) return FAKE_MEMORY;
    f->magic = FAKE_FUNCTION, f->next = m->functions, m->functions = f;
    snprintf(f->name, sizeof f->name, "%s", name);
    *function = f;
    return 0;
}
static int fake_function_attribute(int *value, int attribute) {
    *value = attribute == 0 ? 1024 : 0; /* threads a block; nothing static */
    return 0;
}
/* ---- mode simt ---- */
enum fake_fault { FAULT_NONE, FAULT_REFUSED, FAULT_LOST, FAULT_HALF, FAULT_STICKY, FAULT_GONE, FAULT_CRASH, FAULT_HANG };

/* From the seed, the job and a counter within it: the same run draws the same faults. */
static uint64_t fake_draw(uint64_t seed, uint64_t job) {
    static uint64_t count, last;
    if (job != last) last = job, count = 0;
    uint64_t x = seed + (job << 20 | ++count) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u, x = (x ^ x >> 27) * 0x94d049bb133111ebu; /* splitmix64 */
    return x ^ x >> 31;
}

static enum fake_fault fake_fault_now(const char *symbol) {
    static const char *const name[] = {"none", "refused", "lost", "half", "sticky", "gone", "crash", "hang"};
    const char *text = getenv("BF_FAKE_FAULTS"), *path = getenv("BF_FAKE_LOG");
    const size_t *job = (const size_t *)dlsym(RTLD_DEFAULT, "bf_job_in_hand");
    double probability = 0;
    unsigned long long seed = 1;
    if (!text || sscanf(text, "%lf:%llu", &probability, &seed) < 1 || strstr(symbol, "proof")) return FAULT_NONE;
    uint64_t at = job ? *job : 0, u = fake_draw(seed, at);
    if ((double)(u >> 11) * 0x1p-53 >= probability) return FAULT_NONE;
    u = fake_draw(seed, at) % 100; /* a hang costs a timeout, so there are few */
    enum fake_fault f = u < 2 ? FAULT_HANG : (enum fake_fault)(1 + u % 6);
    FILE *log = path ? fopen(path, "ae") : NULL;
    if (log) fprintf(log, "%zu %s %s\n", job ? *job : (size_t)-1, name[f], symbol), fclose(log);
    return f;
}

static int fake_simt(const char *symbol, const uint32_t grid[3], const uint32_t block[3], uint32_t shared, const void *argument) {
    __typeof__(&bf_simt_run) run = (__typeof__(&bf_simt_run))(uintptr_t)dlsym(RTLD_DEFAULT, "bf_simt_run");
    const bf_step *const *hand = (const bf_step *const *)dlsym(RTLD_DEFAULT, "bf_step_in_hand");
    char why[256];
    if (!run || !hand || strcmp((*hand)->symbol, symbol)) return FAKE_LAUNCH_FAILED;
    bf_step step = **hand; /* its code; what reached the driver, not what was planned, is what runs */
    memcpy(step.grid, grid, sizeof step.grid), memcpy(step.block, block, sizeof step.block);
    memcpy(step.args, argument, step.args_bytes);
    step.shared = shared;
    switch (fake_fault_now(symbol)) {
    case FAULT_REFUSED: return FAKE_RESOURCES;
    case FAULT_LOST: return 0;
    case FAULT_STICKY: return fake_broken = FAKE_ILLEGAL_ADDRESS, 0;
    case FAULT_GONE: return fake_broken = FAKE_LAUNCH_FAILED;
    case FAULT_CRASH: abort();
    case FAULT_HANG: return fake_hangs = 1, 0;
    case FAULT_HALF:
        if (step.grid[0] / 2 == 0) return 0;
        step.grid[0] /= 2;
        break;
    default: break;
    }
    return run(FAKE_TARGET, &step, why, sizeof why) ? FAKE_LAUNCH_FAILED : 0;
}

static int fake_run(void *function, const uint32_t grid[3], const uint32_t block[3], uint32_t shared, void **parameters) {
    fake_function *f = function;
    int e = fake_ready();
    if (e) return e;
    if (!f || f->magic != FAKE_FUNCTION) return FAKE_INVALID_HANDLE;
    for (int i = 0; i < 3; i++)
        if (!grid[i] || !block[i]) return FAKE_INVALID;
    if ((uint64_t)block[0] * block[1] * block[2] > 1024 || shared > 49152 || !parameters || !parameters[0]) return FAKE_INVALID;
    if (fake_is("launch-fails")) return FAKE_RESOURCES;
    if (fake_is("sticky-error")) return fake_broken = FAKE_ILLEGAL_ADDRESS, 0; /* shows at the next call, as on a GPU */
    if (fake_is("wrong-proof") && strstr(f->name, "proof")) {
        struct {
            uint64_t nonce, *answer;
        } a;
        memcpy(&a, parameters[0], sizeof a);
        if (fake_owns(a.answer, 8)) *a.answer = a.nonce;
    }
    if (fake_is("simt") || fake_is("backwards")) return fake_simt(f->name, grid, block, shared, parameters[0]);
    if (!fake_is("ok-host")) return 0;
    fake_launch_fn launch = (fake_launch_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "bf_fake_launch");
    return launch && !launch(f->name, grid, block, shared, parameters[0]) ? 0 : FAKE_LAUNCH_FAILED;
}
static int fake_wait(void) {
    if (fake_is("hang") || fake_hangs)
        for (;;) pause();
    return fake_ready();
}

/* ---- events ---- */
static int fake_event_new(void **event) {
    int e = fake_ready();
    return e ? e : (*event = calloc(1, sizeof(struct timespec))) ? 0 : FAKE_MEMORY;
}
static int fake_event_record(void *event) { return clock_gettime(CLOCK_MONOTONIC, event), fake_ready(); }
static int fake_event_ms(float *ms, const void *from, const void *to) {
    const struct timespec *a = from, *b = to;
    *ms = (float)(1e3 * (double)(b->tv_sec - a->tv_sec) + 1e-6 * (double)(b->tv_nsec - a->tv_nsec));
    static unsigned times;
    if (fake_is("backwards") && ++times % 3 == 0) *ms = -*ms;
    return fake_ready();
}

#endif
