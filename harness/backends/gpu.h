/* gpu.h: what the backends cuda and hip have in common: code objects loaded when first needed, launches checked against
 * the device's limits before they are made, timing by events. Each vendor's file gives a bf_gpu_driver. */
#ifndef BF_BACKEND_GPU_H
#define BF_BACKEND_GPU_H

#include "../backend.h"
#include "objects.h"

typedef struct bf_gpu_limits {
    uint32_t threads;           /* of a block */
    uint32_t block[3], grid[3]; /* largest extents */
    uint64_t extent;            /* most threads along one axis of the grid */
    uint32_t shared;            /* bytes of shared memory a block, static and dynamic together */
    uint32_t shared_more;       /* the same after asking for more; at least `shared` */
} bf_gpu_limits;

typedef struct bf_gpu_function {
    void *handle;
    uint32_t threads; /* most a block of this function may have */
    uint32_t shared;  /* bytes of static shared memory */
} bf_gpu_function;

/* Every call returns 0, or -1 with the driver's error in words (call, name, text, mend). */
typedef struct bf_gpu_driver {
    const char *name; /* "cuda" */
    bf_target target;
    int (*alloc)(uint64_t bytes, void **memory, bf_error *);
    int (*release)(void *memory, bf_error *);
    int (*upload)(void *device, const void *host, uint64_t bytes, bf_error *);
    int (*download)(void *host, const void *device, uint64_t bytes, bf_error *);
    int (*load)(const bf_object *, void **module, bf_error *);
    int (*unload)(void *module, bf_error *);
    int (*function)(void *module, const char *symbol, bf_gpu_function *, bf_error *);
    int (*allow_shared)(void *function, uint32_t dynamic, bf_error *);
    int (*launch)(void *function, const bf_step *, bf_error *); /* into the default stream, does not wait */
    int (*wait)(bf_error *);
    int (*event_new)(void **event, bf_error *);
    int (*event_free)(void *event, bf_error *);
    int (*event_record)(void *event, bf_error *);
    int (*event_seconds)(void *from, void *to, double *seconds, bf_error *);
    int (*lost)(void); /* 1 once an error of this process has made the device unusable for it */
    void (*leave)(int device);
} bf_gpu_driver;

/* The object of this source file that a device of this arch ("sm_61", "gfx1151") runs: its machine code, or for CUDA
 * the PTX. NULL when there is none. */
const bf_object *bf_gpu_object(bf_target target, const char *file, const char *arch);
/* The ISA version of the PTX in an object, as its compiler wrote it (".version 6.3"). 0: there is none to be read. */
int bf_gpu_ptx_isa(const bf_object *, int *major, int *minor);

/* A context on a device that the driver has made current. NULL with err when out of memory. */
bf_context *bf_gpu_open(const bf_gpu_driver *, const bf_device *, const bf_gpu_limits *, bf_error *);

/* The entries of bf_backend. */
void bf_gpu_close(bf_context *);
void *bf_gpu_alloc(bf_context *, uint64_t bytes, bf_error *);
void bf_gpu_free(bf_context *, void *);
int bf_gpu_upload(bf_context *, void *device, const void *host, uint64_t bytes, bf_error *);
int bf_gpu_download(bf_context *, void *host, const void *device, uint64_t bytes, bf_error *);
int bf_gpu_run(bf_context *, const bf_kernel *, const bf_problem *, bf_error *);
int bf_gpu_time(bf_context *, const bf_kernel *, const bf_problem *, int count, double *seconds, bf_error *);
/* The seconds between two events around what call(arg) queues in the default stream, waited for. -1 too where call returns other than 0. */
int bf_gpu_time_call(bf_context *, int (*call)(void *), void *arg, double *seconds, bf_error *);
int bf_gpu_prove(bf_context *, uint64_t nonce, uint64_t *proof, bf_error *);
int bf_gpu_lost(const bf_context *);

/* ---- for discovery ---- */

/* Opens the driver's library: the path in the environment variable `override`, else the first of names[] (NULL-terminated)
 * that loads. NULL with the loader's words in why. */
void *bf_gpu_library(const char *override, const char *const names[], char *why, size_t room);
/* One entry of the library: where to put it, its name; `optional` ones may be missing. */
typedef struct bf_gpu_symbol {
    void **entry;
    const char *name;
    int optional;
} bf_gpu_symbol;
/* 0, or -1 with the first missing name in err. */
int bf_gpu_symbols(void *library, const bf_gpu_symbol *, size_t count, bf_error *);

/* The launch that is handed to the driver: what a stand-in for the driver's library computes, by the kernel's own source on the CPU.
 * Exported by the command, as bf_job_in_hand (worker.h) and bf_simt_run (kernels/simt/runtime.h) are. */
extern const bf_step *bf_step_in_hand;

#endif
