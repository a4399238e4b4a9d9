/* peer.h: another library's answer to a case, for `bench --peers`: run in turn with our kernel on our own buffers, its result judged
 * by the op's own judge. Opened at run time; what is not installed is left out. OpenBLAS and ggml beside the cpu backend, cuBLAS and
 * rocBLAS beside cuda and hip. A peer that aborts (ggml does on what it does not support) takes the child with it: one row is lost. */
#ifndef BF_PEER_H
#define BF_PEER_H

#include "runner.h"

enum { BF_MAX_PEERS = 2 };

typedef struct bf_peer bf_peer;
struct bf_peer {
    char name[64]; /* "ggml 0.13.1" */
    char how[96];  /* "mul_mat on the same Q4_K, activations in 8 bits" */
    const bf_prepared *pre;
    const bf_problem *problem; /* one a copy of the buffers; outlives the peer */
    int copies, threads;
    void *state;
    int (*run)(bf_peer *, int copy);                     /* 0, or -1 */
    double seconds;                                      /* of the last run by the device's clock; 0: the caller's own clock counts */
    int (*fetch)(bf_peer *, bf_tensor *out, int slot);   /* downloads an output of copy 0: 0, or -1; NULL: it is host memory */
    void (*result)(bf_peer *, bf_tensor *out, int slot); /* brings an output, downloaded from copy 0, to the op's layout; NULL: it is so */
    void (*close)(bf_peer *);
};

/* The peers that can compute this case. Each returns 1 with *p filled in, 0 where it is not there or has no such op. problem: copies of
 * the same case, whose pointers are memory of the device. ggml: "" or the folder of libggml-base.so and libggml-cpu.so. */
int bf_peer_blas_open(const bf_prepared *, const bf_problem *problem, int copies, int threads, bf_peer *p);
int bf_peer_ggml_open(const char *folder, const bf_prepared *, const bf_problem *problem, int copies, int threads, bf_peer *p);
/* cuBLAS for the backend cuda, rocBLAS for hip. t: the case's inputs on the host. */
int bf_peer_gpu_open(const bf_backend *, bf_context *, const bf_prepared *, const bf_tensor t[BF_MAX_TENSORS], const bf_problem *problem,
                     int copies, bf_peer *p);

/* Weights [m][k] of any type as fp32, malloced; NULL: no memory, or a block that holds no number. */
float *bf_peer_widened(const bf_tensor *w, int64_t m, int64_t k);

/* Judges what copy 0 holds after a run as the outputs of the op's path without quantisation, whose bound is the strictest; outputs that
 * the peer does not make (log-sum-exp) are ours in `t`. t: host tensors of the case, outputs overwritten. Largest error over its
 * bound: at most 1 where right; infinite where a value is of another class. */
double bf_peer_judge(bf_peer *, bf_tensor t[BF_MAX_TENSORS]);

/* The same figure of the outputs in t as they are: ours, by the peers' measure. The bound is that of one sum after another in fp32
 * against activations as given, whatever the path. */
double bf_peer_error(const bf_prepared *, const bf_tensor t[BF_MAX_TENSORS]);

/* The output that a peer writes. */
int bf_peer_output(const bf_case *);

#endif
