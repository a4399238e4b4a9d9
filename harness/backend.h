/* backend.h: a place where kernels run: cpu, simt-cuda, simt-hip, cuda, hip. A backend knows no op. */
#ifndef BF_BACKEND_H
#define BF_BACKEND_H

#include "../kernels/common/kernel.h"
#include "error.h"

typedef struct bf_backend bf_backend;
typedef struct bf_context bf_context; /* each backend's own */

typedef struct bf_device {
    const bf_backend *backend;
    int index;         /* the driver's */
    char name[128];    /* "Tesla P40" */
    char arch[32];     /* "sm_61", "gfx1151", "x86-64 avx512-vnni" */
    char object[64];   /* code that will run: "sm_61 cubin", "compute_61 PTX", "gfx1151 hsaco", "host" */
    char identity[64]; /* PCI address or UUID where there is one */
    char driver[64];   /* driver and runtime version */
    uint64_t memory;   /* bytes */
    uint64_t cache;    /* bytes of last-level cache; 0 unknown */
    int units;         /* SMs, CUs, cores */
    int warp;          /* 32, 64; 1 for cpu */
} bf_device;

/* Why something is not used, for a person: what was found, cause, mend. */
typedef struct bf_finding {
    char what[96], why[256], mend[256];
} bf_finding;

enum { BF_MAX_DEVICES = 32, BF_MAX_FINDINGS = 32 };

typedef struct bf_discovery {
    int devices, findings;
    bf_device device[BF_MAX_DEVICES];
    bf_finding finding[BF_MAX_FINDINGS];
} bf_discovery;

struct bf_backend {
    const char *name;
    bf_target target; /* whose kernels it runs */
    int gpu;          /* 1: real GPU. A run that asked for one is never answered by another backend */

    /* Appends devices and findings. Cheap; must not leave a driver context behind in the calling process where
     * that can be avoided (the command calls it in a child). */
    void (*discover)(bf_discovery *);
    bf_context *(*open)(const bf_device *, bf_error *);
    void (*close)(bf_context *);
    /* 256-byte aligned device memory; exact size on cpu and simt so that sanitizers see the edge. */
    void *(*alloc)(bf_context *, uint64_t bytes, bf_error *);
    void (*free)(bf_context *, void *);
    int (*upload)(bf_context *, void *device, const void *host, uint64_t bytes, bf_error *);
    int (*download)(bf_context *, void *host, const void *device, uint64_t bytes, bf_error *);
    /* Plans and runs the kernel once and waits. 0, or -1 with the driver's error in words. */
    int (*run)(bf_context *, const bf_kernel *, const bf_problem *, bf_error *);
    /* Runs it once for each of `count` problems (the same shape in rotated buffers) and stores the seconds of each
     * launch (device events on GPUs, monotonic clock otherwise). */
    int (*time)(bf_context *, const bf_kernel *, const bf_problem *, int count, double *seconds, bf_error *);
    /* Seconds by the device's events around what call(arg) queues, waited for; -1 too where call returns other than 0. NULL: no events. */
    int (*time_call)(bf_context *, int (*call)(void *), void *arg, double *seconds, bf_error *);
    /* Proof that the device computes: a function of nonce that only its kernel evaluates (kernels/<target>/proof).
     * proof = bf_proof_expected(nonce) when right. */
    int (*prove)(bf_context *, uint64_t nonce, uint64_t *proof, bf_error *);
    /* 1 after an error that no later call in this process recovers from (an illegal address, a failed launch): go on in
     * a fresh child. NULL: never happens. */
    int (*lost)(const bf_context *);
};

uint64_t bf_proof_expected(uint64_t nonce);

extern const bf_backend *const bf_backends[]; /* NULL-terminated (harness/backends/registry.c) */
const bf_backend *bf_backend_find(const char *name);

/* Bytes of the host's largest last-level cache, as hwloc reports it; 0 unknown. */
uint64_t bf_host_cache(void);

#endif
