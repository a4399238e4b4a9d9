/* simt.c: the backends simt-cuda and simt-hip: the GPU kernels' own source, run by the CPU (kernels/simt).
 *
 * They check results and memory accesses, nothing else: gpu = 0, the device's name says that it is a CPU, and the
 * seconds of time() are the CPU's, never to be shown as a GPU's. */
#include "simt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../kernels/simt/runtime.h"
#include "../op.h"

struct bf_context {
    bf_target model;
};

static void cpu_name(char *out, size_t room) {
    snprintf(out, room, "this CPU");
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !value) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = 0;
        snprintf(out, room, "%s", value);
        break;
    }
    fclose(f);
}

static void discover(bf_discovery *out, const bf_backend *backend, const char *arch) {
    if (out->devices == BF_MAX_DEVICES) return;
    bf_device *d = &out->device[out->devices++];
    char cpu[96];
    cpu_name(cpu, sizeof cpu);
    *d = (bf_device){.backend = backend, .units = 1, .warp = 32};
    snprintf(d->name, sizeof d->name, "%s on %s", backend->name, cpu);
    snprintf(d->arch, sizeof d->arch, "%s model", arch);
    snprintf(d->object, sizeof d->object, "host");
    snprintf(d->driver, sizeof d->driver, "no driver: CPU executing GPU source");
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) d->memory = (uint64_t)pages * (uint64_t)page;
    d->cache = bf_host_cache();
}

static void discover_cuda(bf_discovery *out) { discover(out, &bf_backend_simt_cuda, "sm_61"); }
static void discover_hip(bf_discovery *out) { discover(out, &bf_backend_simt_hip, "gfx1151"); }

static bf_context *simt_open(const bf_device *device, bf_error *err) {
    bf_context *c = malloc(sizeof *c);
    if (!c) return bf_fail(err, "%s: out of memory", device->name), NULL;
    c->model = device->backend->target;
    return c;
}

static void simt_close(bf_context *c) { free(c); }

static void *simt_alloc(bf_context *c, uint64_t bytes, bf_error *err) {
    (void)c;
    void *p = NULL;
    if (bytes > SIZE_MAX / 2 || posix_memalign(&p, 256, bytes))
        return bf_fail(err, "simt: no memory for %llu bytes", (unsigned long long)bytes), NULL;
    return p;
}

static void simt_free(bf_context *c, void *p) {
    (void)c;
    free(p);
}

static int simt_copy(bf_context *c, void *to, const void *from, uint64_t bytes, bf_error *err) {
    (void)c, (void)err;
    if (bytes) memcpy(to, from, bytes);
    return 0;
}

static int simt_run(bf_context *c, const bf_kernel *k, const bf_problem *p, bf_error *err) {
    if (k->target != c->model || !k->plan) return bf_fail(err, "simt: kernel %s is not for this device", k->name);
    bf_step steps[BF_MAX_STEPS];
    memset(steps, 0, sizeof steps);
    int count = k->plan(p, steps);
    if (count < 1 || count > BF_MAX_STEPS)
        return bf_fail(err, "simt: kernel %s plans %d launches, not 1 to %d", k->name, count, BF_MAX_STEPS);
    for (int i = 0; i < count; ++i) {
        char why[sizeof err->text];
        if (bf_simt_run(c->model, &steps[i], why, sizeof why)) return bf_fail(err, "%s", why);
    }
    return 0;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int simt_time(bf_context *c, const bf_kernel *k, const bf_problem *p, int count, double *seconds,
                     bf_error *err) {
    for (int i = 0; i < count; ++i) {
        double begin = seconds_now();
        if (simt_run(c, k, &p[i], err)) return -1;
        seconds[i] = seconds_now() - begin;
    }
    return 0;
}

/* The proof kernel registers under the op "proof", which no suite knows: dim[0] the nonce, ptr[0] the answer. */
static int simt_prove(bf_context *c, uint64_t nonce, uint64_t *proof, bf_error *err) {
    for (size_t i = 0; i < bf_kernel_count(); ++i) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->target != c->model || strcmp(k->op, "proof")) continue;
        bf_problem p = {.dim = {(int64_t)nonce}, .ptr = {proof}};
        return simt_run(c, k, &p, err);
    }
    return bf_fail(err, "simt: no proof kernel");
}

#define BF_SIMT_BACKEND(text, kernels, find)                                                                         \
    {                                                                                                                \
        .name = text, .target = kernels, .gpu = 0, .discover = find, .open = simt_open, .close = simt_close,         \
        .alloc = simt_alloc, .free = simt_free, .upload = simt_copy, .download = simt_copy, .run = simt_run,         \
        .time = simt_time, .prove = simt_prove,                                                                      \
    }
const bf_backend bf_backend_simt_cuda = BF_SIMT_BACKEND("simt-cuda", BF_CUDA, discover_cuda);
const bf_backend bf_backend_simt_hip = BF_SIMT_BACKEND("simt-hip", BF_HIP, discover_hip);
