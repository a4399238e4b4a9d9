/* peer_gpu.c: cuBLAS and rocBLAS beside the GPU kernels of products: the same buffers, the same stream, timed by the same events.
 * BF_CUBLAS_LIBRARY and BF_ROCBLAS_LIBRARY load another library in their place (the tests' fakes).
 *
 * Both compute in columns: our row-major y[n][m] = x[n][k] w[m][k]^T is their m x n result of w (k x m, transposed) and x (k x n). Where
 * weights and activations have one type they are given as they are; otherwise the weights are widened to fp32 beforehand, one copy
 * for all turns, as someone with a card that cannot do better would.
 *
 * Sources: cublas_v2.h, cublas_api.h and library_types.h of CUDA 11 to 13 (before 11 the compute type was a data type); rocblas-types.h
 * and rocblas-functions.h of ROCm 5 to 7. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/linear.h"
#include "../kernels/common/q4k_matmul.h"
#include "backends/gpu.h"
#include "compare.h"
#include "peer.h"

typedef int create_fn(void **handle);
typedef int destroy_fn(void *handle);
typedef int sgemm_fn(void *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
                     const float *beta, float *c, int ldc);
typedef int cublas_version_fn(void *handle, int *version);
typedef int cublas_gemm_fn(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda,
                           const void *b, int b_type, int ldb, const void *beta, void *c, int c_type, int ldc, int compute, int algorithm);
typedef int rocblas_version_fn(char *text, size_t room);
typedef int rocblas_gemm_fn(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda,
                            const void *b, int b_type, int ldb, const void *beta, const void *c, int c_type, int ldc, void *d,
                            int d_type, int ldd, int compute, int algorithm, int solution, unsigned flags);

enum { CUBLAS_N = 0, CUBLAS_T = 1, CUDA_F32 = 0, CUDA_F16 = 2, CUDA_BF16 = 14, CUBLAS_COMPUTE_32F = 68, CUBLAS_DEFAULT = -1 };
enum { ROCBLAS_N = 111, ROCBLAS_T = 112, ROCBLAS_F16 = 150, ROCBLAS_F32 = 151, ROCBLAS_BF16 = 168, ROCBLAS_STANDARD = 0 };

typedef struct gpu_blas {
    const bf_backend *b;
    bf_context *x;
    void *library, *handle, *weights; /* weights: fp32 on the device; NULL: the case's own */
    int rocm, version;
    destroy_fn *destroy;
    sgemm_fn *sgemm;
    cublas_gemm_fn *cublas;
    rocblas_gemm_fn *rocblas;
} gpu_blas;

typedef struct turn {
    const gpu_blas *g;
    const bf_problem *q;
    int y;
} turn;

/* Queues the product; what it returns is the library's status. */
static int product(void *arg) {
    const turn *t = arg;
    const gpu_blas *g = t->g;
    const bf_problem *q = t->q;
    const float one = 1, zero = 0;
    int m = (int)q->dim[Q4K_MATMUL_M], k = (int)q->dim[Q4K_MATMUL_K], n = (int)q->dim[Q4K_MATMUL_N], half = q->type[Q4K_MATMUL_X] == BF_F16;
    const void *w = g->weights ? g->weights : q->ptr[Q4K_MATMUL_W], *x = q->ptr[Q4K_MATMUL_X];
    void *y = q->ptr[t->y];
    if (q->type[Q4K_MATMUL_X] == BF_F32)
        return g->sgemm(g->handle, g->rocm ? ROCBLAS_T : CUBLAS_T, g->rocm ? ROCBLAS_N : CUBLAS_N, m, n, k, &one, w, k, x, k, &zero, y, m);
    if (g->rocm) {
        int type = half ? ROCBLAS_F16 : ROCBLAS_BF16;
        return g->rocblas(g->handle, ROCBLAS_T, ROCBLAS_N, m, n, k, &one, w, type, k, x, type, k, &zero, y, ROCBLAS_F32, m, y, ROCBLAS_F32, m,
                          ROCBLAS_F32, ROCBLAS_STANDARD, 0, 0);
    }
    int type = half ? CUDA_F16 : CUDA_BF16;
    return g->cublas(g->handle, CUBLAS_T, CUBLAS_N, m, n, k, &one, w, type, k, x, type, k, &zero, y, CUDA_F32, m,
                     g->version < 11000 ? CUDA_F32 : CUBLAS_COMPUTE_32F, CUBLAS_DEFAULT);
}

static int gpu_run(bf_peer *p, int copy) {
    gpu_blas *g = p->state;
    bf_error err;
    return g->b->time_call(g->x, product, &(turn){g, &p->problem[copy], bf_peer_output(p->pre->c)}, &p->seconds, &err);
}

static int gpu_fetch(bf_peer *p, bf_tensor *out, int slot) {
    gpu_blas *g = p->state;
    bf_error err;
    return g->b->download(g->x, out->data, p->problem[0].ptr[slot], out->bytes, &err);
}

static void gpu_close(bf_peer *p) {
    gpu_blas *g = p->state;
    if (!g) return;
    if (g->handle) g->destroy(g->handle);
    if (g->weights) g->b->free(g->x, g->weights);
    free(g); /* the library stays: its threads and context may outlive the handle */
}

/* ---- opening ---- */

static void *open_library(int rocm) {
    static const char *const cublas[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "libcublas.so.10", "libcublas.so", NULL};
    static const char *const rocblas[] = {"librocblas.so.5", "librocblas.so.4", "librocblas.so.3", "librocblas.so.0", "librocblas.so", NULL};
    char why[256];
    return bf_gpu_library(rocm ? "BF_ROCBLAS_LIBRARY" : "BF_CUBLAS_LIBRARY", rocm ? rocblas : cublas, why, sizeof why);
}

/* 0, or -1: something is missing or refuses. */
static int start(gpu_blas *g, char *name, size_t room) {
    create_fn *create = NULL;
    cublas_version_fn *cublas_version = NULL;
    rocblas_version_fn *rocblas_version = NULL;
    const bf_gpu_symbol cuda[] = {{(void **)&create, "cublasCreate_v2", 0}, {(void **)&g->destroy, "cublasDestroy_v2", 0},
                                  {(void **)&cublas_version, "cublasGetVersion_v2", 0}, {(void **)&g->sgemm, "cublasSgemm_v2", 0},
                                  {(void **)&g->cublas, "cublasGemmEx", 0}};
    const bf_gpu_symbol hip[] = {{(void **)&create, "rocblas_create_handle", 0}, {(void **)&g->destroy, "rocblas_destroy_handle", 0},
                                 {(void **)&rocblas_version, "rocblas_get_version_string", 0}, {(void **)&g->sgemm, "rocblas_sgemm", 0},
                                 {(void **)&g->rocblas, "rocblas_gemm_ex", 0}};
    bf_error err;
    if (!g->library || bf_gpu_symbols(g->library, g->rocm ? hip : cuda, 5, &err) || create(&g->handle)) return -1;
    char version[32] = "";
    if (g->rocm) {
        if (rocblas_version(version, sizeof version)) return -1;
    } else {
        if (cublas_version(g->handle, &g->version)) return -1;
        int v = g->version, old = v < 100000; /* 11.x: 11804; from 12 on 120803 */
        snprintf(version, sizeof version, "%d.%d", v / (old ? 1000 : 10000), old ? v % 1000 / 100 : v % 10000 / 100);
    }
    snprintf(name, room, "%s %.24s", g->rocm ? "rocBLAS" : "cuBLAS", version);
    return 0;
}

/* The weights as fp32 on the device. 0, or -1: no memory, or a block that holds no number. */
static int widen(gpu_blas *g, const bf_prepared *pre, const bf_tensor *w) {
    const bf_problem *q = &pre->c->problem;
    uint64_t bytes = (uint64_t)(q->dim[Q4K_MATMUL_M] * q->dim[Q4K_MATMUL_K]) * 4;
    float *host = bf_peer_widened(w, q->dim[Q4K_MATMUL_M], q->dim[Q4K_MATMUL_K]);
    bf_error err;
    int rc = host && (g->weights = g->b->alloc(g->x, bytes, &err)) ? g->b->upload(g->x, g->weights, host, bytes, &err) : -1;
    free(host);
    return rc;
}

/* 1: the case's own weights, 2: widened ones, 0: not a product that these libraries have. */
static int fits(const bf_case *c) {
    const bf_problem *q = &c->problem;
    if (!strncmp(c->op->name, "q4k_mat", 7)) return q->type[Q4K_MATMUL_X] == BF_F32 ? 2 : 0;
    if (strcmp(c->op->name, "linear") || q->type[LINEAR_B] != BF_NONE || q->type[LINEAR_Y] != BF_F32) return 0;
    return q->type[LINEAR_W] == q->type[LINEAR_X] ? 1 : q->type[LINEAR_X] == BF_F32 ? 2 : 0;
}

int bf_peer_gpu_open(const bf_backend *b, bf_context *x, const bf_prepared *pre, const bf_tensor t[BF_MAX_TENSORS],
                     const bf_problem *problem, int copies, bf_peer *p) {
    int kind = fits(pre->c);
    gpu_blas *g = kind ? calloc(1, sizeof *g) : NULL;
    if (!g) return 0;
    *p = (bf_peer){.pre = pre, .problem = problem, .copies = copies, .threads = 1, .state = g, .run = gpu_run, .fetch = gpu_fetch, .close = gpu_close};
    *g = (gpu_blas){.b = b, .x = x, .rocm = b->target == BF_HIP, .library = open_library(b->target == BF_HIP)};
    if (start(g, p->name, sizeof p->name) || (kind == 2 && widen(g, pre, &t[Q4K_MATMUL_W]))) return gpu_close(p), 0;
    bf_dtype type = problem->type[Q4K_MATMUL_X];
    snprintf(p->how, sizeof p->how, "%s, %s", type == BF_F32 ? "sgemm" : type == BF_F16 ? "fp16 gemm, fp32 sums" : "bf16 gemm, fp32 sums",
             kind == 2 ? "weights widened to fp32 beforehand" : "the same weights");
    return 1;
}
