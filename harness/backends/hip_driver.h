/* hip_driver.h: the few entries of the HIP runtime that the backend calls, declared by hand so that no vendor header is
 * needed. Source: hip/hip_runtime_api.h of HIP 5.2.3 (Debian) and of ROCm 7 (github.com/ROCm/rocm-systems); the values below
 * are the same in both. */
#ifndef BF_HIP_DRIVER_H
#define BF_HIP_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int hip_result; /* hipError_t; 0 is success */

/* X(member, name in the library, result, parameters) */
#define HIP_ENTRIES(X)                                                                                               \
    X(init, hipInit, hip_result, (unsigned flags))                                                                   \
    X(runtime_version, hipRuntimeGetVersion, hip_result, (int *version))                                             \
    X(error_name, hipGetErrorName, const char *, (hip_result))                                                       \
    X(error_text, hipGetErrorString, const char *, (hip_result))                                                     \
    X(device_count, hipGetDeviceCount, hip_result, (int *))                                                          \
    X(device_set, hipSetDevice, hip_result, (int))                                                                   \
    X(device_name, hipDeviceGetName, hip_result, (char *, int room, int device))                                     \
    X(device_memory, hipDeviceTotalMem, hip_result, (size_t *, int device))                                          \
    X(device_attribute, hipDeviceGetAttribute, hip_result, (int *, int attribute, int device))                       \
    X(device_pci, hipDeviceGetPCIBusId, hip_result, (char *, int room, int device))                                  \
    X(device_wait, hipDeviceSynchronize, hip_result, (void))                                                         \
    X(alloc, hipMalloc, hip_result, (void **, size_t))                                                               \
    X(free, hipFree, hip_result, (void *))                                                                           \
    X(copy, hipMemcpy, hip_result, (void *to, const void *from, size_t, int kind))                                   \
    X(module_load, hipModuleLoadData, hip_result, (void **module, const void *image))                                \
    X(module_unload, hipModuleUnload, hip_result, (void *module))                                                    \
    X(module_function, hipModuleGetFunction, hip_result, (void **function, void *module, const char *name))          \
    X(function_attribute, hipFuncGetAttribute, hip_result, (int *, int attribute, void *function))                   \
    X(launch, hipModuleLaunchKernel, hip_result,                                                                     \
      (void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,        \
       unsigned block_z, unsigned shared, void *stream, void **parameters, void **extra))                            \
    X(event_create, hipEventCreate, hip_result, (void **event))                                                      \
    X(event_destroy, hipEventDestroy, hip_result, (void *event))                                                     \
    X(event_record, hipEventRecord, hip_result, (void *event, void *stream))                                         \
    X(event_elapsed, hipEventElapsedTime, hip_result, (float *milliseconds, void *from, void *to))

#define HIP_MEMBER(member, symbol, result, parameters) result (*member) parameters;
typedef struct hip_driver {
    HIP_ENTRIES(HIP_MEMBER)
    /* The arch is a text inside hipDeviceProp_t only, whose layout changed with ROCm 6.0. Each layout has its own entry: the
     * header maps hipGetDeviceProperties to ...R0600, while the library's plain symbol still fills the old layout
     * (github.com/ROCm/clr, issue 151). Either may be missing. */
    hip_result (*properties_6)(void *properties, int device); /* hipGetDevicePropertiesR0600 */
    hip_result (*properties_5)(void *properties, int device); /* hipGetDeviceProperties */
} hip_driver;
#undef HIP_MEMBER

/* Offset of gcnArchName[256]: computed from the two headers, and the same two numbers that LLVM's amdgpu-arch uses
 * (llvm-project, pull request 167695). The larger structure is about 1,500 bytes. */
enum { HIP_ARCH_OFFSET_6 = 1160, HIP_ARCH_OFFSET_5 = 396, HIP_PROPERTIES_ROOM = 8192 };

enum { HIP_HOST_TO_DEVICE = 1, HIP_DEVICE_TO_HOST = 2 }; /* hipMemcpyKind */
enum { /* hipDeviceAttribute_t: numbered in the order of the header since HIP 4.3 or so; hip.c checks that they make sense */
    HIP_L2_CACHE = 19,
    HIP_BLOCK_DIM_X = 26, /* y, z follow */
    HIP_GRID_DIM_X = 29,
    HIP_THREADS_PER_BLOCK = 56,
    HIP_MULTIPROCESSORS = 63,
    HIP_SHARED_PER_BLOCK = 74,
    HIP_WARP_SIZE = 87
};
enum { HIP_FUNCTION_SHARED = 1, HIP_FUNCTION_THREADS = 0 }; /* hipFunction_attribute */

enum { /* hipError_t, those that have a mend */
    HIP_OUT_OF_MEMORY = 2,
    HIP_NOT_INITIALIZED = 3,
    HIP_INVALID_DEVICE_FUNCTION = 98,
    HIP_INSUFFICIENT_DRIVER = 35,
    HIP_NO_DEVICE = 100,
    HIP_INVALID_IMAGE = 200,
    HIP_NO_BINARY_FOR_GPU = 209,
    HIP_ECC_UNCORRECTABLE = 214,
    HIP_SHARED_OBJECT_INIT_FAILED = 303,
    HIP_OPERATING_SYSTEM = 304,
    HIP_ILLEGAL_ADDRESS = 700,
    HIP_LAUNCH_OUT_OF_RESOURCES = 701,
    HIP_LAUNCH_TIMEOUT = 702,
    HIP_ASSERT = 710,
    HIP_LAUNCH_FAILURE = 719,
    HIP_UNKNOWN = 999
};

#endif
