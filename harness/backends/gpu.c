/* gpu.c: the part of the GPU backends that is no vendor's. */
#define _GNU_SOURCE
#include "gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../op.h"
#include "../worker.h"

typedef struct loaded {
    const bf_object *object;
    void *module;
} loaded;

typedef struct known {
    const void *module;
    const char *symbol;
    bf_gpu_function f;
} known;

struct bf_context {
    const bf_gpu_driver *driver;
    bf_device device;
    bf_gpu_limits limits;
    loaded *modules;
    size_t module_count;
    known *functions;
    size_t function_count;
    void **events;
    size_t event_count;
};

/* ---- code objects ---- */

const bf_object *bf_gpu_object(bf_target target, const char *file, const char *arch) {
    const bf_object *ptx = NULL, *fat = NULL;
    for (size_t i = 0; i < bf_object_count; i++) {
        const bf_object *o = &bf_objects[i];
        if (o->target != target || strcmp(o->file, file)) continue;
        if (!strcmp(o->arch, arch)) return o;
        if (target == BF_CUDA && !strcmp(o->format, "fatbin")) fat = o; /* holds the PTX too */
        if (target == BF_CUDA && !strcmp(o->format, "ptx")) ptx = o;
    }
    return fat ? fat : ptx; /* NULL for HIP: code of one arch does not run on another */
}

int bf_gpu_ptx_isa(const bf_object *o, int *major, int *minor) {
    static const char key[] = "\n.version ";
    const char *at = memmem(o->begin, (size_t)(o->end - o->begin), key, sizeof key - 1);
    char number[16] = "";
    if (!at) return 0;
    size_t left = (size_t)((const char *)o->end - at) - (sizeof key - 1);
    memcpy(number, at + sizeof key - 1, left < sizeof number - 1 ? left : sizeof number - 1);
    return sscanf(number, "%d.%d", major, minor) == 2;
}

static void *module_of(bf_context *c, const bf_kernel *k, bf_error *err) {
    const char *name = c->driver->name;
    const bf_object *o = bf_gpu_object(k->target, k->file, c->device.arch);
    if (!o)
        return bf_fail(err, "%s: no code object of %s for %s in this build; mend: build with the GPU compiler (ci/setup, then make)",
                       name, k->file, c->device.arch), NULL;
    for (size_t i = 0; i < c->module_count; i++)
        if (c->modules[i].object == o) return c->modules[i].module;
    loaded *more = realloc(c->modules, (c->module_count + 1) * sizeof *more);
    if (!more) return bf_fail(err, "%s: out of host memory", name), NULL;
    c->modules = more;
    void *module = NULL;
    if (c->driver->load(o, &module, err)) return NULL;
    bf_worker_alive(); /* PTX is compiled here at its first use, for minutes on a small machine: not the kernel's own time */
    c->modules[c->module_count++] = (loaded){o, module};
    return module;
}

static const bf_gpu_function *function_of(bf_context *c, const bf_kernel *k, const char *symbol, bf_error *err) {
    void *module = module_of(c, k, err);
    if (!module) return NULL;
    for (size_t i = 0; i < c->function_count; i++)
        if (c->functions[i].module == module && !strcmp(c->functions[i].symbol, symbol)) return &c->functions[i].f;
    known *more = realloc(c->functions, (c->function_count + 1) * sizeof *more);
    if (!more) return bf_fail(err, "%s: out of host memory", c->driver->name), NULL;
    c->functions = more;
    known fresh = {.module = module, .symbol = symbol};
    if (c->driver->function(module, symbol, &fresh.f, err)) return NULL;
    c->functions[c->function_count] = fresh;
    return &c->functions[c->function_count++].f;
}

/* ---- launches ---- */

/* A launch outside the limits is refused here with its numbers; the driver would only say "invalid value". */
static int within_limits(const bf_context *c, const bf_kernel *k, const bf_step *s, const bf_gpu_function *f, bf_error *err) {
    const bf_gpu_limits *l = &c->limits;
    const char *name = c->driver->name;
    for (int i = 0; i < 3; i++) {
        if (s->grid[i] < 1 || s->grid[i] > l->grid[i])
            return bf_fail(err, "%s: kernel %s, launch of %s: grid.%c = %u, the device takes 1 to %u", name, k->name, s->symbol,
                           "xyz"[i], s->grid[i], l->grid[i]);
        if (s->block[i] < 1 || s->block[i] > l->block[i])
            return bf_fail(err, "%s: kernel %s, launch of %s: block.%c = %u, the device takes 1 to %u", name, k->name, s->symbol,
                           "xyz"[i], s->block[i], l->block[i]);
        if ((uint64_t)s->grid[i] * s->block[i] > l->extent)
            return bf_fail(err, "%s: kernel %s, launch of %s: %u blocks of %u threads along %c, the device counts to %llu", name,
                           k->name, s->symbol, s->grid[i], s->block[i], "xyz"[i], (unsigned long long)l->extent);
    }
    uint64_t threads = (uint64_t)s->block[0] * s->block[1] * s->block[2];
    uint32_t most = f->threads && f->threads < l->threads ? f->threads : l->threads;
    if (threads > most)
        return bf_fail(err, "%s: kernel %s, launch of %s: %llu threads a block, the function takes %u on this device", name,
                       k->name, s->symbol, (unsigned long long)threads, most);
    uint64_t shared = (uint64_t)s->shared + f->shared;
    if (shared > l->shared_more)
        return bf_fail(err, "%s: kernel %s, launch of %s: %llu bytes of shared memory a block, the device has %u", name, k->name,
                       s->symbol, (unsigned long long)shared, l->shared_more);
    if (s->args_bytes > BF_MAX_ARGS)
        return bf_fail(err, "%s: kernel %s, launch of %s: argument of %u bytes", name, k->name, s->symbol, s->args_bytes);
    return 0;
}

static int plan(bf_context *c, const bf_kernel *k, const bf_problem *p, bf_step steps[BF_MAX_STEPS],
                void *function[BF_MAX_STEPS], bf_error *err) {
    if (k->target != c->driver->target || !k->plan)
        return bf_fail(err, "%s: kernel %s is not for this device", c->driver->name, k->name);
    memset(steps, 0, BF_MAX_STEPS * sizeof *steps);
    int count = k->plan(p, steps);
    if (count < 1 || count > BF_MAX_STEPS)
        return bf_fail(err, "%s: kernel %s plans %d launches, not 1 to %d", c->driver->name, k->name, count, BF_MAX_STEPS);
    for (int i = 0; i < count; i++) {
        const bf_gpu_function *f = function_of(c, k, steps[i].symbol, err);
        if (!f || within_limits(c, k, &steps[i], f, err)) return -1;
        if (steps[i].shared + f->shared > c->limits.shared && c->driver->allow_shared(f->handle, steps[i].shared, err)) return -1;
        function[i] = f->handle;
    }
    return count;
}

const bf_step *bf_step_in_hand;

static int launch(bf_context *c, const bf_kernel *k, const bf_problem *p, bf_error *err) {
    bf_step steps[BF_MAX_STEPS];
    void *function[BF_MAX_STEPS];
    int count = plan(c, k, p, steps, function, err);
    for (int i = 0; i < count; i++) {
        bf_step_in_hand = &steps[i];
        if (c->driver->launch(function[i], &steps[i], err)) return -1;
    }
    return count < 0 ? -1 : 0;
}

int bf_gpu_run(bf_context *c, const bf_kernel *k, const bf_problem *p, bf_error *err) {
    return launch(c, k, p, err) ? -1 : c->driver->wait(err);
}

/* At least `need` events. */
static int events(bf_context *c, size_t need, bf_error *err) {
    if (need <= c->event_count) return 0;
    void **more = realloc(c->events, need * sizeof *more);
    if (!more) return bf_fail(err, "%s: out of host memory", c->driver->name);
    for (c->events = more; c->event_count < need; c->event_count++)
        if (c->driver->event_new(&c->events[c->event_count], err)) return -1;
    return 0;
}

/* Between events 2 i and 2 i + 1. */
static int elapsed(bf_context *c, int i, const char *what, double *seconds, bf_error *err) {
    if (c->driver->event_seconds(c->events[2 * i], c->events[2 * i + 1], seconds, err)) return -1;
    if (*seconds >= 0) return 0;
    /* a median would hide it */
    return bf_fail(err, "%s: kernel %s: %g s between two events: the device's clock ran backwards; mend: another driver version",
                   c->driver->name, what, *seconds);
}

/* Two events around the launches of each problem; all are queued before the first is waited for, so that the host's
 * own time shows only where it is the slower one. */
int bf_gpu_time(bf_context *c, const bf_kernel *k, const bf_problem *p, int count, double *seconds, bf_error *err) {
    if (count < 1) return 0;
    if (events(c, 2 * (size_t)count, err)) return -1;
    for (int i = 0; i < count; i++)
        if (c->driver->event_record(c->events[2 * i], err) || launch(c, k, &p[i], err) ||
            c->driver->event_record(c->events[2 * i + 1], err))
            return -1;
    if (c->driver->wait(err)) return -1;
    for (int i = 0; i < count; i++)
        if (elapsed(c, i, k->name, &seconds[i], err)) return -1;
    return 0;
}

int bf_gpu_time_call(bf_context *c, int (*call)(void *), void *arg, double *seconds, bf_error *err) {
    if (events(c, 2, err) || c->driver->event_record(c->events[0], err)) return -1;
    int status = call(arg);
    if (status) return bf_fail(err, "%s: a library's call returned %d", c->driver->name, status);
    if (c->driver->event_record(c->events[1], err) || c->driver->wait(err)) return -1;
    return elapsed(c, 0, "of a library", seconds, err);
}

/* The answer's memory holds another pattern beforehand, so that a device that does nothing is found out. */
int bf_gpu_prove(bf_context *c, uint64_t nonce, uint64_t *proof, bf_error *err) {
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->target != c->driver->target || strcmp(k->op, "proof")) continue;
        uint64_t poison = ~bf_proof_expected(nonce);
        void *answer = bf_gpu_alloc(c, sizeof *proof, err);
        if (!answer) return -1;
        bf_problem p = {.dim = {(int64_t)nonce}, .ptr = {answer}};
        int rc = bf_gpu_upload(c, answer, &poison, sizeof poison, err) || bf_gpu_run(c, k, &p, err) ||
                 bf_gpu_download(c, proof, answer, sizeof *proof, err);
        bf_gpu_free(c, answer);
        return rc ? -1 : 0;
    }
    return bf_fail(err, "%s: no proof kernel in this build", c->driver->name);
}

/* ---- context and memory ---- */

bf_context *bf_gpu_open(const bf_gpu_driver *driver, const bf_device *device, const bf_gpu_limits *limits, bf_error *err) {
    bf_context *c = calloc(1, sizeof *c);
    if (!c) return bf_fail(err, "%s: out of host memory", driver->name), NULL;
    c->driver = driver, c->device = *device, c->limits = *limits;
    return c;
}

void bf_gpu_close(bf_context *c) {
    if (!c) return;
    for (size_t i = 0; i < c->event_count; i++) c->driver->event_free(c->events[i], NULL);
    for (size_t i = 0; i < c->module_count; i++) c->driver->unload(c->modules[i].module, NULL);
    c->driver->leave(c->device.index);
    free(c->events);
    free(c->functions);
    free(c->modules);
    free(c);
}

void *bf_gpu_alloc(bf_context *c, uint64_t bytes, bf_error *err) {
    void *p = NULL;
    if (c->driver->alloc(bytes ? bytes : 1, &p, err)) return NULL;
    if ((uintptr_t)p % 256) { /* both vendors promise it */
        c->driver->release(p, NULL);
        return bf_fail(err, "%s: device memory at %p is not 256-byte aligned", c->driver->name, p), NULL;
    }
    return p;
}

void bf_gpu_free(bf_context *c, void *p) {
    if (p) c->driver->release(p, NULL);
}
int bf_gpu_upload(bf_context *c, void *device, const void *host, uint64_t bytes, bf_error *err) {
    return bytes ? c->driver->upload(device, host, bytes, err) : 0;
}
int bf_gpu_download(bf_context *c, void *host, const void *device, uint64_t bytes, bf_error *err) {
    return bytes ? c->driver->download(host, device, bytes, err) : 0;
}
int bf_gpu_lost(const bf_context *c) { return c->driver->lost(); }
