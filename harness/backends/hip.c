/* hip.c: AMD GPUs through the HIP runtime's module API, opened at run time. BF_HIP_LIBRARY=PATH loads another library in
 * its place (the tests' fake); every device then says so in its driver field. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../devices.h"
#include "gpu.h"
#include "hip_driver.h"

static hip_driver hip;
static void *library;
static int lost; /* a sticky error has been seen */

static const struct {
    int code, sticky;
    const char *mend;
} mends[] = {
    {HIP_OUT_OF_MEMORY, 0, "free device memory (rocm-smi shows it), take a smaller case, or give an APU more GTT (ttm.pages_limit)"},
    {HIP_NOT_INITIALIZED, 0, "see `blackframe devices` for the cause"},
    {HIP_INVALID_DEVICE_FUNCTION, 0, "HSA_OVERRIDE_GFX_VERSION and the code object do not fit: see `blackframe devices`"},
    {HIP_INSUFFICIENT_DRIVER, 0, "update the kernel's amdgpu driver or take an older ROCm"},
    {HIP_NO_DEVICE, 0, "see `blackframe devices` for the cause"},
    {HIP_INVALID_IMAGE, 0, "the embedded code object is damaged, or the runtime is too old for code object version 5 (ROCm 5.6)"},
    {HIP_NO_BINARY_FOR_GPU, 0, "this build has no code for the GPU: see `blackframe devices`"},
    {HIP_ECC_UNCORRECTABLE, 1, "device memory is failing: dmesg, reset the GPU"},
    {HIP_SHARED_OBJECT_INIT_FAILED, 0, "the runtime could not load the code object: is its version 5 known (ROCm 5.6)?"},
    {HIP_OPERATING_SYSTEM, 0, "a system call of the driver failed: look at dmesg; in a container pass /dev/kfd and /dev/dri"},
    {HIP_ILLEGAL_ADDRESS, 1, "the kernel left its buffers: run the case on simt-hip in the AddressSanitizer build"},
    {HIP_LAUNCH_OUT_OF_RESOURCES, 0, "the kernel needs more registers or LDS than the GPU has"},
    {HIP_LAUNCH_TIMEOUT, 1, "dmesg shows the ring that hung; take a smaller case"},
    {HIP_ASSERT, 1, NULL},
    {HIP_LAUNCH_FAILURE, 1, "run the case on simt-hip in the AddressSanitizer build; look at dmesg for amdgpu"},
    {HIP_UNKNOWN, 0, "look at dmesg for amdgpu and kfd; reboot"},
};

/* "hip: hipMalloc: hipErrorOutOfMemory (out of memory, code 2); mend: ..." */
static int failed(hip_result r, const char *call, const char *detail, bf_error *err) {
    const char *name = hip.error_name ? hip.error_name(r) : NULL, *text = hip.error_text ? hip.error_text(r) : NULL, *mend = NULL;
    for (size_t i = 0; i < sizeof mends / sizeof *mends; i++)
        if (mends[i].code == r) mend = mends[i].mend, lost |= mends[i].sticky;
    return bf_fail(err, "hip: %s: %s (%s, code %d)%s%s%s%s", call, name ? name : "unknown error", text ? text : "no text", r,
                   detail && *detail ? ": " : "", detail ? detail : "", mend ? "; mend: " : "", mend ? mend : "");
}
static int check(hip_result r, const char *call, bf_error *err) { return r ? failed(r, call, NULL, err) : 0; }

/* ---- the library ---- */

/* 0, or -1 with the loader's words in why. Stays loaded. */
static int load_library(char *why, size_t room) {
    static const char *const names[] = {"libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", NULL};
#define HIP_SYMBOL(member, symbol, result, parameters) {(void **)&hip.member, #symbol, 0},
    static const bf_gpu_symbol symbols[] = {HIP_ENTRIES(HIP_SYMBOL){(void **)&hip.properties_6, "hipGetDevicePropertiesR0600", 1},
                                            {(void **)&hip.properties_5, "hipGetDeviceProperties", 1}};
#undef HIP_SYMBOL
    if (library) return 0;
    void *l = bf_gpu_library("BF_HIP_LIBRARY", names, why, room);
    if (!l) return -1;
    bf_error err = {{0}};
    if (bf_gpu_symbols(l, symbols, sizeof symbols / sizeof *symbols, &err)) {
        snprintf(why, room, "%.200s", err.text);
        dlclose(l);
        return -1;
    }
    library = l;
    return 0;
}

/* ---- discovery ---- */

static int attribute(int device, int which) {
    int v = 0;
    return hip.device_attribute(&v, which, device) ? 0 : v;
}

static int take_arch(const char *text, char *arch, size_t room) {
    if (strncmp(text, "gfx", 3)) return -1;
    snprintf(arch, room, "%.*s", (int)strcspn(text, ":"), text); /* "gfx90a:sramecc+:xnack-" */
    return 0;
}

/* The arch that code objects are chosen by; HSA_OVERRIDE_GFX_VERSION is already applied. "" when nothing tells. */
static void arch_of(int device, const char *pci, const bf_system *system, char *arch, size_t room) {
    union {
        double align;
        char byte[HIP_PROPERTIES_ROOM];
    } *p = calloc(1, sizeof *p);
    const char *text = getenv("HSA_OVERRIDE_GFX_VERSION");
    arch[0] = 0;
    if (!p) return;
    int known = (hip.properties_6 && !hip.properties_6(p, device) && !take_arch(p->byte + HIP_ARCH_OFFSET_6, arch, room)) ||
                (hip.properties_5 && !hip.properties_5(p, device) && !take_arch(p->byte + HIP_ARCH_OFFSET_5, arch, room));
    free(p);
    /* A third layout some day: what the kernel says, and the override by its own rule. */
    if (!known && !(text && !bf_gfx_from_override(text, arch, room))) bf_kfd_arch(system, pci, arch, room);
}

static void describe(int index, const bf_system *system, int runtime, bf_discovery *out) {
    extern const bf_backend bf_backend_hip;
    char what[96], pci[32] = "";
    bf_device dev = {.backend = &bf_backend_hip, .index = index, .units = attribute(index, HIP_MULTIPROCESSORS),
                     .warp = attribute(index, HIP_WARP_SIZE), .cache = (uint64_t)attribute(index, HIP_L2_CACHE)};
    if (hip.device_name(dev.name, sizeof dev.name, index) || !dev.name[0]) snprintf(dev.name, sizeof dev.name, "AMD GPU %d", index);
    if (hip.device_pci(pci, sizeof pci, index)) pci[0] = 0;
    snprintf(dev.identity, sizeof dev.identity, "%s", pci);
    arch_of(index, pci, system, dev.arch, sizeof dev.arch);
    snprintf(dev.object, sizeof dev.object, "%s hsaco", dev.arch);
    const char *override = getenv("BF_HIP_LIBRARY");
    int n = snprintf(dev.driver, sizeof dev.driver, "HIP %d.%d.%d", runtime / 10000000, runtime / 100000 % 100, runtime % 100000);
    if (override && *override)
        snprintf(dev.driver + n, sizeof dev.driver - (size_t)n, ", BF_HIP_LIBRARY=%.20s",
                 strrchr(override, '/') ? strrchr(override, '/') + 1 : override);
    size_t memory = 0;
    if (!hip.device_memory(&memory, index)) dev.memory = memory;
    unsigned long long cache = bf_kfd_cache(system, pci);
    if (!cache && !strcmp(dev.arch, "gfx1151")) cache = 32ull << 20; /* MALL of Strix Halo, datasheet; older kernels do not list it */
    if (cache > dev.cache) dev.cache = cache;

    snprintf(what, sizeof what, "hip device %d, %.60s", index, dev.name);
    if (!dev.arch[0])
        bf_devices_finding(out, what, "report the ROCm version", "the runtime does not tell its arch in a way known here");
    else if (!bf_gpu_object(BF_HIP, "proof", dev.arch))
        bf_devices_no_object(what, dev.arch, out);
    else if (dev.warp != 32)
        bf_devices_finding(out, what, "report the ROCm version", "wavefronts of %d threads, the kernels need 32", dev.warp);
    else if (out->devices < BF_MAX_DEVICES)
        out->device[out->devices++] = dev;
}

static void hip_discover(bf_discovery *out) {
    char why[256] = "";
    bf_error err = {{0}};
    bf_driver_answer answer = {0};
    bf_system system;
    bf_system_init(&system);
    if (load_library(why, sizeof why)) {
        answer.missing = why;
        bf_devices_amd(&system, &answer, out);
        return;
    }
    if (check(hip.init(0), "hipInit", &err) || check(hip.device_count(&answer.listed), "hipGetDeviceCount", &err)) {
        answer.listed = 0;
        answer.error = err.text;
    }
    if (hip.runtime_version(&answer.runtime)) answer.runtime = 0;
    for (int i = 0; i < answer.listed; i++) describe(i, &system, answer.runtime, out);
    bf_devices_amd(&system, &answer, out);
    const char *override = getenv("BF_HIP_LIBRARY");
    if (override && *override)
        bf_devices_finding(out, "hip library", "unset BF_HIP_LIBRARY", "BF_HIP_LIBRARY=%s is used in place of the driver's", override);
}

/* ---- the runtime's calls, as gpu.h wants them ---- */

static int hip_alloc(uint64_t bytes, void **memory, bf_error *err) {
    char detail[48];
    hip_result r = bytes > SIZE_MAX ? HIP_OUT_OF_MEMORY : hip.alloc(memory, (size_t)bytes);
    snprintf(detail, sizeof detail, "%llu bytes asked for", (unsigned long long)bytes);
    return r ? failed(r, "hipMalloc", detail, err) : 0;
}
static int hip_release(void *p, bf_error *err) { return check(hip.free(p), "hipFree", err); }
static int hip_upload(void *device, const void *host, uint64_t bytes, bf_error *err) {
    return check(hip.copy(device, host, bytes, HIP_HOST_TO_DEVICE), "hipMemcpy to the device", err);
}
static int hip_download(void *host, const void *device, uint64_t bytes, bf_error *err) {
    return check(hip.copy(host, device, bytes, HIP_DEVICE_TO_HOST), "hipMemcpy from the device", err);
}
static int hip_load(const bf_object *o, void **module, bf_error *err) {
    char detail[128];
    hip_result r = hip.module_load(module, o->begin);
    snprintf(detail, sizeof detail, "object %.60s (%.30s)", o->file, o->arch);
    return r ? failed(r, "hipModuleLoadData", detail, err) : 0;
}
static int hip_unload(void *module, bf_error *err) { return check(hip.module_unload(module), "hipModuleUnload", err); }
static int hip_function(void *module, const char *symbol, bf_gpu_function *f, bf_error *err) {
    int threads = 0, shared = 0;
    hip_result r = hip.module_function(&f->handle, module, symbol);
    if (r) return failed(r, "hipModuleGetFunction", symbol, err);
    if (check(hip.function_attribute(&threads, HIP_FUNCTION_THREADS, f->handle), "hipFuncGetAttribute", err) ||
        check(hip.function_attribute(&shared, HIP_FUNCTION_SHARED, f->handle), "hipFuncGetAttribute", err))
        return -1;
    f->threads = (uint32_t)threads, f->shared = (uint32_t)shared;
    return 0;
}
static int hip_allow_shared(void *function, uint32_t dynamic, bf_error *err) {
    (void)function;
    return bf_fail(err, "hip: %u bytes of dynamic LDS: a workgroup cannot ask for more than the limit", dynamic);
}
static int hip_launch(void *function, const bf_step *s, bf_error *err) {
    void *parameters[] = {(void *)s->args};
    hip_result r = hip.launch(function, s->grid[0], s->grid[1], s->grid[2], s->block[0], s->block[1], s->block[2], s->shared, NULL,
                              parameters, NULL);
    return r ? failed(r, "hipModuleLaunchKernel", s->symbol, err) : 0;
}
static int hip_wait(bf_error *err) { return check(hip.device_wait(), "hipDeviceSynchronize", err); }
static int hip_event_new(void **event, bf_error *err) { return check(hip.event_create(event), "hipEventCreate", err); }
static int hip_event_free(void *event, bf_error *err) { return check(hip.event_destroy(event), "hipEventDestroy", err); }
static int hip_event_record(void *event, bf_error *err) { return check(hip.event_record(event, NULL), "hipEventRecord", err); }
static int hip_event_seconds(void *from, void *to, double *seconds, bf_error *err) {
    float ms = 0;
    if (check(hip.event_elapsed(&ms, from, to), "hipEventElapsedTime", err)) return -1;
    *seconds = ms * 1e-3;
    return 0;
}
static int hip_lost(void) { return lost; }
static void hip_leave(int index) { (void)index; } /* the runtime's primary context lives as long as the process */

static const bf_gpu_driver driver = {
    .name = "hip", .target = BF_HIP, .alloc = hip_alloc, .release = hip_release, .upload = hip_upload, .download = hip_download,
    .load = hip_load, .unload = hip_unload, .function = hip_function, .allow_shared = hip_allow_shared, .launch = hip_launch,
    .wait = hip_wait, .event_new = hip_event_new, .event_free = hip_event_free, .event_record = hip_event_record,
    .event_seconds = hip_event_seconds, .lost = hip_lost, .leave = hip_leave,
};

static bf_context *hip_open(const bf_device *device, bf_error *err) {
    char why[256];
    if (load_library(why, sizeof why))
        return bf_fail(err, "hip: the runtime does not load: %s; mend: install ROCm's HIP runtime (libamdhip64)", why), NULL;
    if (check(hip.init(0), "hipInit", err) || check(hip.device_set(device->index), "hipSetDevice", err)) return NULL;
    bf_gpu_limits l = {.threads = (uint32_t)attribute(device->index, HIP_THREADS_PER_BLOCK),
                       .extent = UINT32_MAX, /* the dispatch packet counts threads in 32 bits (HSA runtime specification) */
                       .shared = (uint32_t)attribute(device->index, HIP_SHARED_PER_BLOCK)};
    int sense = l.threads >= 64 && l.threads <= 4096 && l.shared >= 16384 && l.shared <= 1u << 20;
    for (int i = 0; i < 3; i++) {
        l.block[i] = (uint32_t)attribute(device->index, HIP_BLOCK_DIM_X + i);
        l.grid[i] = (uint32_t)attribute(device->index, HIP_GRID_DIM_X + i);
        sense &= l.block[i] >= 64 && l.block[i] <= 4096 && l.grid[i] >= 65535;
    }
    l.shared_more = l.shared;
    if (!sense)
        return bf_fail(err, "hip: the runtime's device attributes make no sense (%u threads, %u bytes of LDS a block): another "
                            "numbering than that of ROCm 5 to 7", l.threads, l.shared), NULL;
    return bf_gpu_open(&driver, device, &l, err);
}

const bf_backend bf_backend_hip = {
    .name = "hip", .target = BF_HIP, .gpu = 1, .discover = hip_discover, .open = hip_open, .close = bf_gpu_close,
    .alloc = bf_gpu_alloc, .free = bf_gpu_free, .upload = bf_gpu_upload, .download = bf_gpu_download, .run = bf_gpu_run,
    .time = bf_gpu_time, .time_call = bf_gpu_time_call, .prove = bf_gpu_prove, .lost = bf_gpu_lost,
};
