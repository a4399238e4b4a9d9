/* peers.h: what the parts of ci/peers share: ggml's C interface as far as it is used, and turns of several runners. */
#ifndef BF_PEERS_H
#define BF_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kernels/common/kernel.h"
#include "../kernels/cpu/pool.h"

enum { COPIES = 8, MOST_ROUNDS = 25, GGML_F32 = 0, GGML_F16 = 1, GGML_Q4_K = 12 };
typedef struct ggml_params { size_t size; void *memory; bool no_alloc; } ggml_params;

/* Declarations of ggml.h, ggml-backend.h and ggml-cpu.h of version 0.13; type numbers are the GGUF format's. */
typedef struct ggml_calls {
    void *(*init)(ggml_params), *(*tensor)(void *, int, int64_t, int64_t), *(*tensor3)(void *, int, int64_t, int64_t, int64_t);
    void *(*mul_mat)(void *, void *, void *), *(*rms_norm)(void *, void *, float), *(*norm)(void *, void *, float);
    void *(*attention)(void *, void *q, void *k, void *v, void *mask, float scale, float max_bias, float cap);
    void *(*graph)(void *), *(*data)(const void *), *(*cpu)(void);
    void (*expand)(void *, void *), (*threads)(void *, int), (*free)(void *);
    int (*compute)(void *, void *);
    const char *(*version)(void);
    void *backend;
} ggml_calls;

/* One of the things that are timed: a graph of ggml, a kernel of ours, or a plain function. */
typedef struct runner runner;
struct runner {
    const char *name;
    void *graph[COPIES];
    const bf_kernel *kernel;
    bf_problem problem;
    int slot[2];            /* tensors of the kernel that are another copy each turn ... */
    void *copy[COPIES][2];  /* ... and where they are; NULL: as they are in the problem */
    void (*call)(runner *);
    double seconds[MOST_ROUNDS];
};

extern ggml_calls ggml; /* backend NULL: not there */
extern bf_pool *peers_pool;

void *peers_room(uint64_t bytes); /* zeroed, 256-byte aligned, never NULL; the process ends when there is none */
/* Fills in the preferred kernel of an op's path (NULL: no path) for r->problem, its scratch and its name. */
void peers_kernel(runner *r, const char *op, const char *path);
/* A graph that computes `result`. */
void *peers_graph(void *context, void *result);
/* Rounds in which each runner does `copies` turns; prints medians, and those of the ratio to the first within a round. */
void peers_compare(const char *label, runner *r, int count, int copies, int rounds, double bytes, double flops);

void peers_attention(void); /* peers_blocks.c */
void peers_norm(void);

#endif
