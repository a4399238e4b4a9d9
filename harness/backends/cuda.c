/* cuda.c: NVIDIA GPUs through the driver API, opened at run time. BF_CUDA_LIBRARY=PATH loads another library in its
 * place (the tests' fake); every device then says so in its driver field. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../devices.h"
#include "cuda_driver.h"
#include "gpu.h"

static cuda_driver cu;
static void *library;
static char library_path[256];
static int lost; /* a sticky error has been seen */
static char older_than_ptx[96]; /* cuda_load */

static const struct {
    int code, sticky;
    const char *mend;
} mends[] = {
    {CU_OUT_OF_MEMORY, 0, "free device memory (nvidia-smi shows who holds it) or take a smaller case"},
    {CU_STUB_LIBRARY, 0, "this is the toolkit's stub: remove .../stubs from LD_LIBRARY_PATH"},
    {CU_NO_DEVICE, 0, "see `blackframe devices` for the cause"},
    {CU_INVALID_IMAGE, 0, "the embedded code object is damaged: rebuild"},
    {CU_NO_BINARY_FOR_GPU, 0, "this build has no code for the GPU: rebuild with a ptxas that knows sm_61 (ci/setup)"},
    {CU_ECC_UNCORRECTABLE, 1, "device memory is failing: nvidia-smi -q -d ECC, reset the GPU"},
    {CU_INVALID_PTX, 0, "the driver's compiler refused the PTX; its words are above"},
    {CU_JIT_COMPILER_NOT_FOUND, 0, "install libnvidia-ptxjitcompiler of the driver's version"},
    {CU_UNSUPPORTED_PTX_VERSION, 0, older_than_ptx},
    {CU_JIT_DISABLED, 0, "unset CUDA_DISABLE_PTX_JIT"},
    {CU_OPERATING_SYSTEM, 0, "a system call of the driver failed: look at dmesg; in a container pass the device nodes"},
    {CU_ILLEGAL_ADDRESS, 1, "the kernel left its buffers: run the case on simt-cuda in the AddressSanitizer build"},
    {CU_LAUNCH_OUT_OF_RESOURCES, 0, "the kernel needs more registers or shared memory than the GPU has"},
    {CU_LAUNCH_TIMEOUT, 1, "a display watches this GPU: use one without a display or a smaller case"},
    {CU_ASSERT, 1, NULL},
    {CU_HARDWARE_STACK, 1, NULL},
    {CU_ILLEGAL_INSTRUCTION, 1, NULL},
    {CU_MISALIGNED_ADDRESS, 1, "run the case on simt-cuda, which names the misaligned access"},
    {CU_INVALID_ADDRESS_SPACE, 1, "run the case on simt-cuda, which names the access"},
    {CU_INVALID_PC, 1, NULL},
    {CU_LAUNCH_FAILED, 1, "run the case on simt-cuda in the AddressSanitizer build; look for Xid in dmesg"},
    {CU_SYSTEM_NOT_READY, 0, "start nvidia-fabricmanager, or wait for the driver"},
    {CU_SYSTEM_DRIVER_MISMATCH, 0, "library and kernel module differ: reboot, or reload the module (rmmod, modprobe nvidia)"},
    {CU_COMPAT_NOT_SUPPORTED, 0, "remove the cuda-compat package from LD_LIBRARY_PATH"},
    {CU_UNKNOWN, 0, "look at dmesg for NVRM; nvidia-modprobe -u -c=0; reboot"},
};

/* "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory); mend: ..." */
static int failed(cu_result r, const char *call, const char *detail, bf_error *err) {
    const char *name = NULL, *text = NULL, *mend = NULL;
    if (cu.error_name) cu.error_name(r, &name);
    if (cu.error_text) cu.error_text(r, &text);
    for (size_t i = 0; i < sizeof mends / sizeof *mends; i++)
        if (mends[i].code == r) mend = mends[i].mend, lost |= mends[i].sticky;
    return bf_fail(err, "cuda: %s: %s (%s, code %d)%s%s%s%s", call, name ? name : "unknown error", text ? text : "no text", r,
                   detail && *detail ? ": " : "", detail ? detail : "", mend ? "; mend: " : "", mend ? mend : "");
}
static int check(cu_result r, const char *call, bf_error *err) { return r ? failed(r, call, NULL, err) : 0; }

/* ---- the library ---- */

/* 0, or -1 with the loader's words in why. Stays loaded. */
static int load_library(char *why, size_t room) {
    static const char *const names[] = {"libcuda.so.1", "libcuda.so", NULL};
#define CUDA_SYMBOL(member, symbol, parameters) {(void **)&cu.member, #symbol, 0},
    static const bf_gpu_symbol symbols[] = {CUDA_ENTRIES(CUDA_SYMBOL)};
#undef CUDA_SYMBOL
    if (library) return 0;
    void *l = bf_gpu_library("BF_CUDA_LIBRARY", names, why, room);
    if (!l) return -1;
    bf_error err = {{0}};
    if (bf_gpu_symbols(l, symbols, sizeof symbols / sizeof *symbols, &err)) {
        snprintf(why, room, "%.200s", err.text);
        dlclose(l);
        return -1;
    }
    Dl_info info;
    if (dladdr((void *)cu.init, &info) && info.dli_fname) {
        char *real = realpath(info.dli_fname, NULL);
        snprintf(library_path, sizeof library_path, "%s", real ? real : info.dli_fname);
        free(real);
    }
    library = l;
    return 0;
}

static int start(bf_error *err) {
    char why[256];
    if (load_library(why, sizeof why))
        return bf_fail(err, "cuda: the driver's library does not load: %s; mend: install the NVIDIA driver (libcuda1)", why);
    return check(cu.init(0), "cuInit", err);
}

/* ---- discovery ---- */

static int attribute(cu_device d, int which) {
    int v = 0;
    return cu.device_attribute(&v, which, d) ? 0 : v;
}

static int have_sm_61(void) {
    for (size_t i = 0; i < bf_object_count; i++)
        if (bf_objects[i].target == BF_CUDA && !strcmp(bf_objects[i].arch, "sm_61")) return 1;
    return 0;
}
static int have_ptx(void) {
    for (size_t i = 0; i < bf_object_count; i++)
        if (bf_objects[i].target == BF_CUDA) return 1; /* a fatbin holds it as well */
    return 0;
}

static void identify(cu_device d, char *out, size_t room) {
    cu_uuid u;
    char pci[32] = "";
    if (cu.device_pci(pci, sizeof pci, d)) pci[0] = 0;
    int n = snprintf(out, room, "%s", pci);
    if (cu.device_uuid(&u, d) || n < 0 || (size_t)n + 22 > room) return;
    n += snprintf(out + n, room - (size_t)n, " GPU-");
    for (int i = 0; i < 8; i++) n += snprintf(out + n, room - (size_t)n, "%02x", u.bytes[i]);
}

/* One device into the list, or a finding why it cannot be used. */
static void describe(int index, bf_discovery *out) {
    extern const bf_backend bf_backend_cuda;
    cu_device d;
    char what[96], mend[256];
    if (cu.device_get(&d, index)) return;
    int major = attribute(d, CU_CAPABILITY_MAJOR), minor = attribute(d, CU_CAPABILITY_MINOR);
    bf_device dev = {.backend = &bf_backend_cuda, .index = index, .units = attribute(d, CU_MULTIPROCESSORS),
                     .warp = attribute(d, CU_WARP_SIZE), .cache = (uint64_t)attribute(d, CU_L2_CACHE)};
    if (cu.device_name(dev.name, sizeof dev.name, d)) snprintf(dev.name, sizeof dev.name, "NVIDIA GPU %d", index);
    snprintf(dev.arch, sizeof dev.arch, "sm_%d%d", major, minor);
    const char *forced = getenv("CUDA_FORCE_PTX_JIT"); /* makes the driver pass over machine code */
    int own = major == 6 && minor == 1 && have_sm_61() && !(forced && !strcmp(forced, "1"));
    snprintf(dev.object, sizeof dev.object, "%s", own ? "sm_61 cubin" : "compute_61 PTX");
    identify(d, dev.identity, sizeof dev.identity);
    int version = 0;
    cu.driver_version(&version);
    const char *override = getenv("BF_CUDA_LIBRARY");
    if (override && *override)
        snprintf(dev.driver, sizeof dev.driver, "CUDA %d.%d, BF_CUDA_LIBRARY=%.18s", version / 1000, version % 1000 / 10,
                 strrchr(override, '/') ? strrchr(override, '/') + 1 : override);
    else
        snprintf(dev.driver, sizeof dev.driver, "CUDA %d.%d", version / 1000, version % 1000 / 10);
    size_t memory = 0;
    if (!cu.device_memory(&memory, d)) dev.memory = memory;

    snprintf(what, sizeof what, "cuda device %d, %.60s", index, dev.name);
    if (attribute(d, CU_COMPUTE_MODE) == 2) {
        snprintf(mend, sizeof mend, "nvidia-smi -i %d -c DEFAULT", index);
        bf_devices_finding(out, what, mend, "its compute mode is \"prohibited\"");
    } else if (major < 6 || (major == 6 && minor < 1)) {
        bf_devices_finding(out, what, "use a GPU of compute capability 6.1 or newer",
                       "compute capability %d.%d is older than 6.1, for which the kernels are built", major, minor);
    } else if (dev.warp != 32) {
        bf_devices_finding(out, what, "report it", "warps of %d threads, the kernels need 32", dev.warp);
    } else if (out->devices < BF_MAX_DEVICES) {
        out->device[out->devices++] = dev;
    }
}

static void cuda_discover(bf_discovery *out) {
    char why[256] = "";
    bf_error error = {{0}}, *err = &error;
    bf_driver_answer answer = {0};
    bf_system system;
    bf_system_init(&system);
    if (load_library(why, sizeof why)) {
        answer.missing = why;
        bf_devices_nvidia(&system, &answer, out);
        return;
    }
    answer.library = library_path;
    if (check(cu.init(0), "cuInit", err) || check(cu.device_count(&answer.listed), "cuDeviceGetCount", err)) answer.error = error.text;
    if (answer.listed && !have_ptx())
        bf_devices_finding(out, "cuda", "ci/setup, then make: it prints why CUDA is skipped",
                       "%d device%s, but this build holds no CUDA code object", answer.listed, answer.listed == 1 ? "" : "s");
    else
        for (int i = 0; i < answer.listed; i++) describe(i, out);
    bf_devices_nvidia(&system, &answer, out);
    if (have_ptx() && !have_sm_61())
        bf_devices_finding(out, "cuda build", "ci/setup fetches the ptxas of CUDA 11.8; up to 12.9 knows sm_61; then make",
                       "no sm_61 machine code, PTX only: no ptxas that knows sm_61 was found (CUDA 13 dropped it)");
    const char *override = getenv("BF_CUDA_LIBRARY");
    if (override && *override)
        bf_devices_finding(out, "cuda library", "unset BF_CUDA_LIBRARY", "BF_CUDA_LIBRARY=%s is used in place of the driver's",
                       override);
}

/* ---- the driver's calls, as gpu.h wants them ---- */

static int cuda_alloc(uint64_t bytes, void **memory, bf_error *err) {
    cu_address a = 0;
    char detail[48];
    cu_result r = bytes > SIZE_MAX ? CU_OUT_OF_MEMORY : cu.alloc(&a, (size_t)bytes);
    snprintf(detail, sizeof detail, "%llu bytes asked for", (unsigned long long)bytes);
    *memory = (void *)(uintptr_t)a;
    return r ? failed(r, "cuMemAlloc", detail, err) : 0;
}
static int cuda_release(void *p, bf_error *err) {
    return check(cu.free((cu_address)(uintptr_t)p), "cuMemFree", err);
}
static int cuda_upload(void *device, const void *host, uint64_t bytes, bf_error *err) {
    return check(cu.upload((cu_address)(uintptr_t)device, host, bytes), "cuMemcpyHtoD", err);
}
static int cuda_download(void *host, const void *device, uint64_t bytes, bf_error *err) {
    return check(cu.download(host, (cu_address)(uintptr_t)device, bytes), "cuMemcpyDtoH", err);
}

static int cuda_load(const bf_object *o, void **module, bf_error *err) {
    char log[256] = "", detail[352];
    int option[] = {CU_JIT_ERROR_LOG, CU_JIT_ERROR_LOG_BYTES};
    void *value[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
    cu_result r = cu.module_load(module, o->begin, 2, option, value);
    int major, minor;
    if (!r) return 0;
    if (!bf_gpu_ptx_isa(o, &major, &minor)) strcpy(older_than_ptx, "the driver is older than the PTX of this build: update it");
    else snprintf(older_than_ptx, sizeof older_than_ptx, "the driver is older than the PTX of this build (ISA %d.%d%s): update it", major, minor,
                  major == 6 && minor == 3 ? ", driver 410" : "");
    snprintf(detail, sizeof detail, "object %s (%s)%s%s", o->file, o->arch, log[0] ? ", compiler: " : "", log);
    return failed(r, "cuModuleLoadDataEx", detail, err);
}
static int cuda_unload(void *module, bf_error *err) {
    return check(cu.module_unload(module), "cuModuleUnload", err);
}
static int cuda_function(void *module, const char *symbol, bf_gpu_function *f, bf_error *err) {
    int threads = 0, shared = 0;
    cu_result r = cu.module_function(&f->handle, module, symbol);
    if (r) return failed(r, "cuModuleGetFunction", symbol, err);
    if (check(cu.function_attribute(&threads, CU_FUNCTION_THREADS, f->handle), "cuFuncGetAttribute", err) ||
        check(cu.function_attribute(&shared, CU_FUNCTION_SHARED, f->handle), "cuFuncGetAttribute", err))
        return -1;
    f->threads = (uint32_t)threads, f->shared = (uint32_t)shared;
    return 0;
}
static int cuda_allow_shared(void *function, uint32_t dynamic, bf_error *err) {
    return check(cu.function_set(function, CU_FUNCTION_DYNAMIC_SHARED, (int)dynamic), "cuFuncSetAttribute", err);
}
static int cuda_launch(void *function, const bf_step *s, bf_error *err) {
    void *parameters[] = {(void *)s->args};
    cu_result r = cu.launch(function, s->grid[0], s->grid[1], s->grid[2], s->block[0], s->block[1], s->block[2], s->shared, NULL,
                            parameters, NULL);
    return r ? failed(r, "cuLaunchKernel", s->symbol, err) : 0;
}
static int cuda_wait(bf_error *err) {
    return check(cu.context_wait(), "cuCtxSynchronize", err);
}
static int cuda_event_new(void **event, bf_error *err) {
    return check(cu.event_create(event, 0), "cuEventCreate", err);
}
static int cuda_event_free(void *event, bf_error *err) {
    return check(cu.event_destroy(event), "cuEventDestroy", err);
}
static int cuda_event_record(void *event, bf_error *err) {
    return check(cu.event_record(event, NULL), "cuEventRecord", err);
}
static int cuda_event_seconds(void *from, void *to, double *seconds, bf_error *err) {
    float ms = 0;
    if (check(cu.event_elapsed(&ms, from, to), "cuEventElapsedTime", err)) return -1;
    *seconds = ms * 1e-3;
    return 0;
}
static int cuda_lost(void) { return lost; }
static void cuda_leave(int index) {
    cu_device d;
    if (!cu.device_get(&d, index)) cu.context_release(d);
}

static const bf_gpu_driver driver = {
    .name = "cuda", .target = BF_CUDA, .alloc = cuda_alloc, .release = cuda_release, .upload = cuda_upload,
    .download = cuda_download, .load = cuda_load, .unload = cuda_unload, .function = cuda_function,
    .allow_shared = cuda_allow_shared, .launch = cuda_launch, .wait = cuda_wait, .event_new = cuda_event_new,
    .event_free = cuda_event_free, .event_record = cuda_event_record, .event_seconds = cuda_event_seconds,
    .lost = cuda_lost, .leave = cuda_leave,
};

/* The primary context, shared with any other user of the device in this process. */
static bf_context *cuda_open(const bf_device *device, bf_error *err) {
    cu_device d;
    void *context = NULL;
    if (start(err) || check(cu.device_get(&d, device->index), "cuDeviceGet", err) ||
        check(cu.context_retain(&context, d), "cuDevicePrimaryCtxRetain", err))
        return NULL;
    if (check(cu.context_current(context), "cuCtxSetCurrent", err)) return cu.context_release(d), NULL;
    bf_gpu_limits l = {.threads = (uint32_t)attribute(d, CU_THREADS_PER_BLOCK), .extent = UINT64_MAX,
                       .shared = (uint32_t)attribute(d, CU_SHARED_PER_BLOCK),
                       .shared_more = (uint32_t)attribute(d, CU_SHARED_PER_BLOCK_OPTIN)};
    for (int i = 0; i < 3; i++) {
        l.block[i] = (uint32_t)attribute(d, CU_BLOCK_DIM_X + i);
        l.grid[i] = (uint32_t)attribute(d, CU_GRID_DIM_X + i);
    }
    if (l.shared_more < l.shared) l.shared_more = l.shared;
    bf_context *c = bf_gpu_open(&driver, device, &l, err);
    if (!c) cu.context_release(d);
    return c;
}

const bf_backend bf_backend_cuda = {
    .name = "cuda", .target = BF_CUDA, .gpu = 1, .discover = cuda_discover, .open = cuda_open, .close = bf_gpu_close,
    .alloc = bf_gpu_alloc, .free = bf_gpu_free, .upload = bf_gpu_upload, .download = bf_gpu_download, .run = bf_gpu_run,
    .time = bf_gpu_time, .time_call = bf_gpu_time_call, .prove = bf_gpu_prove, .lost = bf_gpu_lost,
};
