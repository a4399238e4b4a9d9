/* peer.c: judging a peer, and OpenBLAS: products with fp32 weights. */
#define _GNU_SOURCE
#include "peer.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/attention.h"
#include "../kernels/common/linear.h"
#include "../kernels/common/norm.h"
#include "../kernels/common/q4k_matmul.h"
#include "../reference/blas.h"
#include "../reference/q4_k.h"
#include "compare.h"

int bf_peer_output(const bf_case *c) {
    return !strcmp(c->op->name, "attention") ? ATTENTION_O : !strcmp(c->op->name, "norm") ? NORM_Y
           : !strcmp(c->op->name, "linear")  ? LINEAR_Y : Q4K_MATVEC_Y;
}

double bf_peer_error(const bf_prepared *pre, const bf_tensor t[BF_MAX_TENSORS]) {
    const bf_op *op = pre->c->op;
    bf_kernel stand_in = {.op = op->name, .name = "peer", .target = BF_CPU, .path = op->paths ? op->paths[0] : NULL};
    bf_verdict v;
    op->judge(pre->c, &stand_in, t, pre->expected, &v);
    /* Values of another class have no error: they alone make the verdict fail. */
    return v.status == BF_PASS || v.worst > 1 ? v.worst : INFINITY;
}

double bf_peer_judge(bf_peer *p, bf_tensor t[BF_MAX_TENSORS]) {
    int y = bf_peer_output(p->pre->c);
    if (!p->fetch) memcpy(t[y].data, p->problem[0].ptr[y], t[y].bytes);
    else if (p->fetch(p, &t[y], y)) return INFINITY;
    if (p->result) p->result(p, &t[y], y);
    return bf_peer_error(p->pre, t);
}

/* ---- OpenBLAS ---- */

typedef void gemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                     float beta, float *c, int ldc);
typedef void gemv_fn(int order, int t, int m, int n, float alpha, const float *a, int lda, const float *x, int incx, float beta,
                     float *y, int incy);
typedef void threads_fn(int);
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef struct blas {
    gemm_fn *gemm;
    gemv_fn *gemv;
    threads_fn *threads;
    float *weights; /* Q4_K widened, one copy for all turns; NULL: the weights are fp32 */
} blas;

static int blas_run(bf_peer *p, int copy) {
    blas *b = p->state;
    const bf_problem *q = &p->problem[copy];
    int m = (int)q->dim[Q4K_MATMUL_M], k = (int)q->dim[Q4K_MATMUL_K], n = (int)q->dim[Q4K_MATMUL_N], y = bf_peer_output(p->pre->c);
    const float *w = b->weights ? b->weights : q->ptr[Q4K_MATMUL_W], *x = q->ptr[Q4K_MATMUL_X];
    b->threads(p->threads);
    if (n == 1) b->gemv(ROW_MAJOR, PLAIN, m, k, 1, w, k, x, 1, 0, q->ptr[y], 1);
    else b->gemm(ROW_MAJOR, PLAIN, TRANSPOSED, n, m, k, 1, x, k, w, k, 0, q->ptr[y], m);
    b->threads(1); /* the references expect it so */
    return 0;
}

static void blas_close(bf_peer *p) {
    blas *b = p->state;
    if (b) free(b->weights);
    free(b);
}

float *bf_peer_widened(const bf_tensor *w, int64_t m, int64_t k) {
    double *row = malloc(sizeof *row * (size_t)k);
    float *out = aligned_alloc(256, (size_t)(m * k * 4 + 255) / 256 * 256);
    int ok = row && out;
    for (int64_t i = 0; ok && i < m; i++) {
        if (w->type == BF_Q4_K) ok = bf_ref_q4_k_row((const unsigned char *)w->data + i * (k / 256 * 144), k, row, NULL);
        for (int64_t j = 0; j < k; j++) out[i * k + j] = (float)(w->type == BF_Q4_K ? row[j] : bf_element_value(w, i * k + j));
    }
    free(row);
    return ok ? out : (free(out), NULL);
}

int bf_peer_blas_open(const bf_prepared *pre, const bf_problem *problem, int copies, int threads, bf_peer *p) {
    const bf_problem *q = &pre->c->problem;
    int q4k = !strncmp(pre->c->op->name, "q4k_mat", 7), linear = !strcmp(pre->c->op->name, "linear");
    if (q->type[Q4K_MATMUL_X] != BF_F32 || !(q4k || linear)) return 0;
    if (linear && (q->type[LINEAR_W] != BF_F32 || q->type[LINEAR_B] != BF_NONE || q->type[LINEAR_Y] != BF_F32)) return 0;
    bf_error err;
    if (bf_blas_open(&err)) return 0;
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD);
    if (!lib) lib = dlopen("libopenblas.so", RTLD_NOW | RTLD_NOLOAD);
    blas *b = calloc(1, sizeof *b);
    bf_tensor w = {.type = BF_Q4_K, .data = problem->ptr[Q4K_MATMUL_W]};
    *p = (bf_peer){.pre = pre, .problem = problem, .copies = copies, .threads = threads, .state = b, .run = blas_run, .close = blas_close};
    if (!lib || !b || !(*(void **)&b->gemm = dlsym(lib, "cblas_sgemm")) || !(*(void **)&b->gemv = dlsym(lib, "cblas_sgemv")) ||
        !(*(void **)&b->threads = dlsym(lib, "openblas_set_num_threads")) || (q4k && !(b->weights = bf_peer_widened(&w, q->dim[Q4K_MATMUL_M], q->dim[Q4K_MATMUL_K]))))
        return blas_close(p), 0;
    snprintf(p->name, sizeof p->name, "OpenBLAS (%.30s)", bf_blas_core());
    snprintf(p->how, sizeof p->how, "%s, %s", q->dim[Q4K_MATMUL_N] == 1 ? "sgemv" : "sgemm",
             q4k ? "weights widened to fp32 beforehand" : "the same fp32 weights");
    return 1;
}
