/* cuda_driver.h: the few entries of the CUDA driver API that the backend calls, declared by hand so that no vendor header
 * is needed. Source: CUDA Driver API reference, docs.nvidia.com/cuda/cuda-driver-api. Names are those of the library:
 * where the first version took 32-bit sizes, name_v2 is listed. Otherwise the first version, which every driver exports,
 * also where cuda.h maps the name to a later one (cuDevicePrimaryCtxRelease, cuDeviceGetUuid, cuEventElapsedTime). */
#ifndef BF_CUDA_DRIVER_H
#define BF_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int cu_result; /* CUresult; 0 is success */
typedef int cu_device; /* CUdevice */
typedef unsigned long long cu_address; /* CUdeviceptr */
typedef struct cu_uuid { unsigned char bytes[16]; } cu_uuid;

/* X(member, name in the library, parameters) */
#define CUDA_ENTRIES(X)                                                                                              \
    X(init, cuInit, (unsigned flags))                                                                                \
    X(driver_version, cuDriverGetVersion, (int *version))                                                            \
    X(error_name, cuGetErrorName, (cu_result, const char **))                                                        \
    X(error_text, cuGetErrorString, (cu_result, const char **))                                                      \
    X(device_count, cuDeviceGetCount, (int *))                                                                       \
    X(device_get, cuDeviceGet, (cu_device *, int ordinal))                                                           \
    X(device_name, cuDeviceGetName, (char *, int room, cu_device))                                                   \
    X(device_memory, cuDeviceTotalMem_v2, (size_t *, cu_device))                                                     \
    X(device_attribute, cuDeviceGetAttribute, (int *, int attribute, cu_device))                                     \
    X(device_uuid, cuDeviceGetUuid, (cu_uuid *, cu_device))                                                          \
    X(device_pci, cuDeviceGetPCIBusId, (char *, int room, cu_device))                                                \
    X(context_retain, cuDevicePrimaryCtxRetain, (void **context, cu_device))                                         \
    X(context_release, cuDevicePrimaryCtxRelease, (cu_device))                                                    \
    X(context_current, cuCtxSetCurrent, (void *context))                                                             \
    X(context_wait, cuCtxSynchronize, (void))                                                                        \
    X(alloc, cuMemAlloc_v2, (cu_address *, size_t))                                                                  \
    X(free, cuMemFree_v2, (cu_address))                                                                              \
    X(upload, cuMemcpyHtoD_v2, (cu_address, const void *, size_t))                                                   \
    X(download, cuMemcpyDtoH_v2, (void *, cu_address, size_t))                                                       \
    X(module_load, cuModuleLoadDataEx,                                                                               \
      (void **module, const void *image, unsigned options, int *option, void **value))                               \
    X(module_unload, cuModuleUnload, (void *module))                                                                 \
    X(module_function, cuModuleGetFunction, (void **function, void *module, const char *name))                       \
    X(function_attribute, cuFuncGetAttribute, (int *, int attribute, void *function))                                \
    X(function_set, cuFuncSetAttribute, (void *function, int attribute, int value))                                  \
    X(launch, cuLaunchKernel,                                                                                        \
      (void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,        \
       unsigned block_z, unsigned shared, void *stream, void **parameters, void **extra))                            \
    X(event_create, cuEventCreate, (void **event, unsigned flags))                                                   \
    X(event_destroy, cuEventDestroy_v2, (void *event))                                                               \
    X(event_record, cuEventRecord, (void *event, void *stream))                                                      \
    X(event_elapsed, cuEventElapsedTime, (float *milliseconds, void *from, void *to))

#define CUDA_MEMBER(member, symbol, parameters) cu_result (*member) parameters;
typedef struct cuda_driver {
    CUDA_ENTRIES(CUDA_MEMBER)
} cuda_driver;
#undef CUDA_MEMBER

enum { /* CUdevice_attribute */
    CU_THREADS_PER_BLOCK = 1,
    CU_BLOCK_DIM_X = 2, /* y, z follow */
    CU_GRID_DIM_X = 5,
    CU_SHARED_PER_BLOCK = 8,
    CU_WARP_SIZE = 10,
    CU_MULTIPROCESSORS = 16,
    CU_COMPUTE_MODE = 20, /* 2: prohibited */
    CU_L2_CACHE = 38,
    CU_CAPABILITY_MAJOR = 75,
    CU_CAPABILITY_MINOR = 76,
    CU_SHARED_PER_BLOCK_OPTIN = 97 /* since CUDA 9.0 */
};
enum { /* CUfunction_attribute */
    CU_FUNCTION_THREADS = 0,
    CU_FUNCTION_SHARED = 1,
    CU_FUNCTION_DYNAMIC_SHARED = 8
};
enum { CU_JIT_ERROR_LOG = 5, CU_JIT_ERROR_LOG_BYTES = 6 }; /* CUjit_option */

enum { /* CUresult, those that have a mend */
    CU_OUT_OF_MEMORY = 2,
    CU_STUB_LIBRARY = 34,
    CU_NO_DEVICE = 100,
    CU_INVALID_IMAGE = 200,
    CU_NO_BINARY_FOR_GPU = 209,
    CU_ECC_UNCORRECTABLE = 214,
    CU_INVALID_PTX = 218,
    CU_JIT_COMPILER_NOT_FOUND = 221,
    CU_UNSUPPORTED_PTX_VERSION = 222,
    CU_JIT_DISABLED = 223,
    CU_OPERATING_SYSTEM = 304,
    CU_ILLEGAL_ADDRESS = 700,
    CU_LAUNCH_OUT_OF_RESOURCES = 701,
    CU_LAUNCH_TIMEOUT = 702,
    CU_ASSERT = 710,
    CU_HARDWARE_STACK = 714,
    CU_ILLEGAL_INSTRUCTION = 715,
    CU_MISALIGNED_ADDRESS = 716,
    CU_INVALID_ADDRESS_SPACE = 717,
    CU_INVALID_PC = 718,
    CU_LAUNCH_FAILED = 719,
    CU_SYSTEM_NOT_READY = 802,
    CU_SYSTEM_DRIVER_MISMATCH = 803,
    CU_COMPAT_NOT_SUPPORTED = 804,
    CU_UNKNOWN = 999
};

#endif
