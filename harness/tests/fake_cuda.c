/* fake_cuda.c: a library that plays libcuda for the tests; see fake_gpu.h. */
#define FAKE_TARGET BF_CUDA
#include "fake_gpu.h"

#include "../backends/cuda_driver.h"

int cuInit(unsigned flags) { return flags ? FAKE_INVALID : fake_init(); }
int cuDriverGetVersion(int *version) { return *version = 12040, 0; }
int cuGetErrorName(int e, const char **name) { return *name = fake_error_name(e), 0; }
int cuGetErrorString(int e, const char **text) { return *text = e ? "an error of the fake" : "no error", 0; }

int cuDeviceGetCount(int *n) { return *n = fake_devices(), fake_initialized ? 0 : FAKE_NOT_INITIALIZED; }
int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= fake_devices()) return FAKE_INVALID_DEVICE;
    return *device = 70 + ordinal, 0; /* a handle is not an ordinal */
}
static int is_device(int device) { return device >= 70 && device < 70 + fake_devices(); }
int cuDeviceGetName(char *name, int room, int device) {
    snprintf(name, (size_t)room, "fake CUDA device %d (no GPU)", device - 70);
    return is_device(device) ? 0 : FAKE_INVALID_DEVICE;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = (size_t)1 << 30, is_device(device) ? 0 : FAKE_INVALID_DEVICE; }
int cuDeviceGetUuid(cu_uuid *uuid, int device) { return memset(uuid, 0xfa, 16), is_device(device) ? 0 : FAKE_INVALID_DEVICE; }
int cuDeviceGetPCIBusId(char *text, int room, int device) {
    snprintf(text, (size_t)room, "0000:fa:%02x.0", device - 70);
    return is_device(device) ? 0 : FAKE_INVALID_DEVICE;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    const char *text = getenv("BF_FAKE_CAPABILITY");
    int major = 6, minor = 1;
    if (text) sscanf(text, "%d.%d", &major, &minor);
    if (!is_device(device)) return FAKE_INVALID_DEVICE;
    switch (attribute) {
    case 1: case 2: case 3: *value = 1024; return 0;
    case 4: *value = 64; return 0;
    case 5: *value = 0x7fffffff; return 0;
    case 6: case 7: *value = 65535; return 0;
    case 8: case 97: *value = 49152; return 0;
    case 10: *value = 32; return 0;
    case 16: *value = 30; return 0;
    case 20: *value = 0; return 0;
    case 38: *value = fake_cache(3 << 20); return 0;
    case 75: *value = major; return 0;
    case 76: *value = minor; return 0;
    default: return FAKE_INVALID;
    }
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    if (!fake_initialized) return FAKE_NOT_INITIALIZED;
    return *context = (void *)(intptr_t)device, is_device(device) ? 0 : FAKE_INVALID_DEVICE;
}
int cuDevicePrimaryCtxRelease(int device) { return fake_current = 0, is_device(device) ? 0 : FAKE_INVALID_DEVICE; }
int cuCtxSetCurrent(void *context) { return fake_current = context != NULL, 0; }
int cuCtxSynchronize(void) { return fake_wait(); }

int cuMemAlloc_v2(unsigned long long *p, size_t bytes) {
    void *at = NULL;
    int e = fake_alloc(&at, bytes);
    return *p = (uintptr_t)at, e;
}
int cuMemFree_v2(unsigned long long p) { return fake_free((void *)(uintptr_t)p); }
int cuMemcpyHtoD_v2(unsigned long long to, const void *from, size_t n) {
    return fake_copy((void *)(uintptr_t)to, from, n, (void *)(uintptr_t)to);
}
int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t n) {
    return fake_copy(to, (void *)(uintptr_t)from, n, (void *)(uintptr_t)from);
}

int cuModuleLoadDataEx(void **module, const void *image, unsigned options, int *option, void **value) {
    int e = fake_load(module, image, "\x50\xed\x55\xba", "//");
    for (unsigned i = 0; e && i < options; i++)
        if (option[i] == 5) strcpy(value[i], "words of the fake's compiler");
    return e;
}
int cuModuleUnload(void *module) { return fake_unload(module); }
int cuModuleGetFunction(void **f, void *module, const char *name) { return fake_get_function(f, module, name); }
int cuFuncGetAttribute(int *value, int attribute, void *f) { return f ? fake_function_attribute(value, attribute) : FAKE_INVALID; }
int cuFuncSetAttribute(void *f, int attribute, int value) { return (void)f, (void)attribute, (void)value, FAKE_INVALID; }
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void *stream, void **parameters, void **extra) {
    if (stream || extra) return FAKE_INVALID;
    return fake_run(f, (uint32_t[]){gx, gy, gz}, (uint32_t[]){bx, by, bz}, shared, parameters);
}

int cuEventCreate(void **event, unsigned flags) { return (void)flags, fake_event_new(event); }
int cuEventDestroy_v2(void *event) { return free(event), 0; }
int cuEventRecord(void *event, void *stream) { return (void)stream, fake_event_record(event); }
int cuEventElapsedTime(float *ms, void *from, void *to) { return fake_event_ms(ms, from, to); }

/* The backend calls through these very types. */
#define SAME_TYPE(member, symbol, parameters) \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&symbol), __typeof__(((cuda_driver *)0)->member)), #symbol);
CUDA_ENTRIES(SAME_TYPE)
