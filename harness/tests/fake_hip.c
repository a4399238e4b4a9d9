/* fake_hip.c: a library that plays libamdhip64 for the tests; see fake_gpu.h. */
#define FAKE_TARGET BF_HIP
#include "fake_gpu.h"

#include "../backends/hip_driver.h"

int hipInit(unsigned flags) { return flags ? FAKE_INVALID : fake_init(); }
int hipRuntimeGetVersion(int *version) { return *version = fake_is("rocm5") ? 50222804 : 60443484, 0; }
const char *hipGetErrorName(int e) { return fake_error_name(e); }
const char *hipGetErrorString(int e) { return e ? "an error of the fake" : "no error"; }

int hipGetDeviceCount(int *n) {
    *n = fake_devices();
    return !fake_initialized ? FAKE_NOT_INITIALIZED : *n ? 0 : FAKE_NO_DEVICE;
}
static int is_device(int device) { return device >= 0 && device < fake_devices(); }
int hipSetDevice(int device) { return fake_current = is_device(device), fake_current ? 0 : FAKE_INVALID_DEVICE; }
int hipDeviceGetName(char *name, int room, int device) {
    snprintf(name, (size_t)room, "fake HIP device %d (no GPU)", device);
    return is_device(device) ? 0 : FAKE_INVALID_DEVICE;
}
int hipDeviceTotalMem(size_t *bytes, int device) { return *bytes = (size_t)1 << 30, is_device(device) ? 0 : FAKE_INVALID_DEVICE; }
int hipDeviceGetPCIBusId(char *text, int room, int device) {
    snprintf(text, (size_t)room, "0000:fb:%02x.0", device);
    return is_device(device) ? 0 : FAKE_INVALID_DEVICE;
}
int hipDeviceGetAttribute(int *value, int attribute, int device) {
    if (!is_device(device)) return FAKE_INVALID_DEVICE;
    switch (attribute) {
    case 19: *value = fake_cache(2 << 20); return 0;
    case 26: case 27: case 28: case 56: *value = 1024; return 0;
    case 29: *value = 0x7fffffff; return 0;
    case 30: case 31: *value = 65536; return 0;
    case 63: *value = 40; return 0;
    case 74: *value = 65536; return 0;
    case 87: *value = 32; return 0;
    default: return FAKE_INVALID;
    }
}
/* The arch at the offset of that layout, and junk that starts with no "gfx" at the other. */
static int properties(char *p, int device, size_t at) {
    const char *arch = getenv("BF_FAKE_ARCH");
    if (!is_device(device)) return FAKE_INVALID_DEVICE;
    memset(p, 0x5a, at);
    snprintf(p + at, 256, "%s", arch ? arch : "gfx1151");
    return 0;
}
int hipGetDevicePropertiesR0600(void *p, int device) { return fake_is("rocm5") ? FAKE_INVALID : properties(p, device, 1160); }
int hipGetDeviceProperties(void *p, int device) { return properties(p, device, 396); }

int hipDeviceSynchronize(void) { return fake_wait(); }
int hipMalloc(void **p, size_t bytes) { return fake_alloc(p, bytes); }
int hipFree(void *p) { return fake_free(p); }
int hipMemcpy(void *to, const void *from, size_t n, int kind) {
    return kind == 1 ? fake_copy(to, from, n, to) : kind == 2 ? fake_copy(to, from, n, from) : FAKE_INVALID;
}

int hipModuleLoadData(void **module, const void *image) { return fake_load(module, image, "\177ELF", NULL); }
int hipModuleUnload(void *module) { return fake_unload(module); }
int hipModuleGetFunction(void **f, void *module, const char *name) { return fake_get_function(f, module, name); }
int hipFuncGetAttribute(int *value, int attribute, void *f) { return f ? fake_function_attribute(value, attribute) : FAKE_INVALID; }
int hipModuleLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                          void *stream, void **parameters, void **extra) {
    if (stream || extra) return FAKE_INVALID;
    return fake_run(f, (uint32_t[]){gx, gy, gz}, (uint32_t[]){bx, by, bz}, shared, parameters);
}

int hipEventCreate(void **event) { return fake_event_new(event); }
int hipEventDestroy(void *event) { return free(event), 0; }
int hipEventRecord(void *event, void *stream) { return (void)stream, fake_event_record(event); }
int hipEventElapsedTime(float *ms, void *from, void *to) { return fake_event_ms(ms, from, to); }

/* The backend calls through these very types. */
#define SAME_TYPE(member, symbol, result, parameters) \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&symbol), __typeof__(((hip_driver *)0)->member)), #symbol);
HIP_ENTRIES(SAME_TYPE)
