/* kernel.h: what a kernel says of itself, and the problem it is handed.
 *
 * This is the only header of the project that a kernel file needs beside the device dialect
 * (device.h), the block formats (q4_k.h, bf16.h, fp16.h) and the slots of its op (<op>.h).
 * A kernel knows nothing of the harness; the harness finds it through the pointer that BF_REGISTER
 * leaves in the linker section "bf_kernels". Adding a kernel is adding a file.
 *
 * Valid C11 and C++17, on the host only. */
#ifndef BF_KERNEL_H
#define BF_KERNEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bf_dtype {
    BF_NONE = 0,
    BF_F32,
    BF_F16,  /* IEEE binary16, stored as uint16_t */
    BF_BF16, /* upper half of a binary32, stored as uint16_t */
    BF_F64,
    BF_Q4_K, /* super-blocks of 256 weights in 144 bytes, see q4_k.h */
    BF_Q6_K, /* super-blocks of 256 weights in 210 bytes, see q6_k.h */
    BF_Q8_0, /* blocks of 32 weights in 34 bytes, see q8_0.h */
    BF_MXFP4, /* blocks of 32 weights in 17 bytes, see mxfp4.h */
    BF_I8,
    BF_I32,
    BF_U32,
    BF_U64,
    BF_DTYPES
} bf_dtype;

typedef enum bf_target { BF_CPU, BF_CUDA, BF_HIP } bf_target;

typedef enum bf_role {
    BF_TUNED, /* meant to be used */
    BF_NAIVE, /* the plain version; stays for ever */
    BF_TWIN   /* broken on purpose: a witness case must catch it; never part of a normal run */
} bf_role;

enum { BF_MAX_DIMS = 8, BF_MAX_PARAMS = 8, BF_MAX_TENSORS = 12, BF_MAX_STEPS = 4, BF_MAX_ARGS = 192 };

/* One problem: the shape, the types and the addresses. What slot i of dim, param, type and ptr means
 * is the op's (kernels/common/<op>.h). Addresses are the device's own; they are NULL while a
 * kernel is only asked whether it accepts the problem. Every address is 256-byte aligned unless the
 * case asks for an offset, in which case it is aligned to its element. */
typedef struct bf_problem {
    int64_t dim[BF_MAX_DIMS];
    double param[BF_MAX_PARAMS];
    bf_dtype type[BF_MAX_TENSORS];
    void *ptr[BF_MAX_TENSORS];
    void *scratch; /* bf_kernel.scratch bytes, 256-byte aligned, contents undefined */
} bf_problem;

/* One launch of a GPU kernel. The argument is one structure passed by value. */
typedef struct bf_step {
    const char *symbol;           /* name in the code object */
    void (*host)(const void *args); /* the same function, compiled for the CPU (simt) */
    uint32_t grid[3], block[3];
    uint32_t shared; /* bytes of dynamic shared memory */
    uint32_t args_bytes;
    union {
        uint64_t align[2];
        unsigned char args[BF_MAX_ARGS];
    };
} bf_step;

typedef struct bf_pool bf_pool; /* kernels/cpu/pool.h */

typedef struct bf_kernel {
    const char *op;
    const char *name; /* unique in a target; equals the report's column */
    const char *file; /* stem of the source file = name of its code object; in kernels/broken: "broken_<stem>" */
    bf_target target;
    bf_role role;
    const char *path;    /* arithmetic, named by the op: q4k_matvec has "fp32" and "int8"; NULL: one only */
    const char *twin;    /* role BF_TWIN: the defect, e.g. "acc-fp16"; NULL otherwise */
    const char *summary; /* one line: idea and expected bound */
    int rank;            /* among the kernels of an op and path that accept: the highest is the default */
    int (*available)(void);                  /* CPU: does this processor have the instructions? NULL: always */
    int (*accepts)(const bf_problem *);      /* 1 if this kernel computes that shape and these types */
    uint64_t (*scratch)(const bf_problem *); /* bytes; NULL: none */
    int64_t (*chain)(const bf_problem *);    /* longest chain of rounded additions behind one output; NULL: none */
    int (*plan)(const bf_problem *, bf_step steps[BF_MAX_STEPS]); /* GPU: number of launches, in order */
    void (*run)(const bf_problem *, bf_pool *);                   /* CPU */
} bf_kernel;

#ifdef __cplusplus
}
#define BF_EXTERN_C extern "C"
#else
#define BF_EXTERN_C
#endif

/* Leaves a pointer to the descriptor `k` where bf_kernels_begin() finds it. Pointers, not structures,
 * so that no compiler pads or fences the array. */
#define BF_REGISTER(k) \
    __attribute__((section("bf_kernels"), used)) static const bf_kernel *const bf_reg_##k = &(k)

#endif
