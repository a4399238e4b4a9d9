/* peers.c: this project's CPU kernels beside ggml's and OpenBLAS's, turn by turn in one process on the same data. Built and run by
 * ci/peers. A peer that cannot be opened is left out with a line that says so.
 *
 * usage: peers [THREADS] [FOLDER OF libggml-base.so AND libggml-cpu.so] [products|attention|norm]
 *
 * ggml: its default path (weights as they lie in the file, activations quantised to 8 bits; attention by flash_attn_ext), graph
 * built before the clock starts. */
#define _GNU_SOURCE
#include "peers.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../harness/statistics.h"
#include "../kernels/common/q4_k.h"
#include "../kernels/common/q4k_matmul.h"
#include "../reference/blas.h"

enum { M = 4096, K = 14336, COLUMNS = 512 };

ggml_calls ggml;
bf_pool *peers_pool;
static int threads;

static int open_ggml(const char *folder) {
    char base[512], cpu[512];
    snprintf(base, sizeof base, "%s%slibggml-base.so", folder, *folder ? "/" : "");
    snprintf(cpu, sizeof cpu, "%s%slibggml-cpu.so", folder, *folder ? "/" : "");
    void *b = dlopen(base, RTLD_NOW | RTLD_GLOBAL), *c = b ? dlopen(cpu, RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!c) return printf("ggml      left out: %s\n", dlerror()), -1;
#define FROM(lib, field, name) \
    if (!(*(void **)&ggml.field = dlsym(lib, name))) return printf("ggml      left out: it has no %s\n", name), -1
    FROM(b, init, "ggml_init"); FROM(b, tensor, "ggml_new_tensor_2d"); FROM(b, mul_mat, "ggml_mul_mat");
    FROM(b, graph, "ggml_new_graph"); FROM(b, data, "ggml_get_data"); FROM(b, expand, "ggml_build_forward_expand");
    FROM(b, compute, "ggml_backend_graph_compute"); FROM(b, version, "ggml_version");
    FROM(b, tensor3, "ggml_new_tensor_3d"); FROM(b, rms_norm, "ggml_rms_norm"); FROM(b, norm, "ggml_norm");
    FROM(b, attention, "ggml_flash_attn_ext"); FROM(b, free, "ggml_free");
    FROM(c, cpu, "ggml_backend_cpu_init"); FROM(c, threads, "ggml_backend_cpu_set_n_threads");
    ggml.backend = ggml.cpu();
    if (!ggml.backend) return printf("ggml      left out: no CPU backend\n"), -1;
    ggml.threads(ggml.backend, threads);
    return 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What BF_REGISTER left: only the CPU kernels are linked. */
extern const bf_kernel *const __start_bf_kernels[], *const __stop_bf_kernels[];
static size_t kernel_count(void) { return (size_t)(__stop_bf_kernels - __start_bf_kernels); }
static const bf_kernel *kernel_at(size_t i) { return __start_bf_kernels[i]; }

/* The preferred kernel of a path that this processor can run. */
static const bf_kernel *preferred(const char *op, const char *path, const bf_problem *p) {
    const bf_kernel *best = NULL;
    for (size_t i = 0; i < kernel_count(); i++) {
        const bf_kernel *k = kernel_at(i);
        if (k->target != BF_CPU || k->role == BF_TWIN || strcmp(k->op, op) || !k->path != !path || (path && strcmp(k->path, path)))
            continue;
        if (k->available && !k->available()) continue;
        if (k->accepts(p) && (!best || k->rank > best->rank)) best = k;
    }
    return best;
}

void *peers_room(uint64_t bytes) {
    void *p = aligned_alloc(256, (bytes + 256) / 256 * 256);
    if (!p) exit((fprintf(stderr, "peers: out of memory\n"), 2));
    return memset(p, 0, bytes);
}

static void *weights[COPIES];
static float *x, *wide;
static void (*sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

static void run(runner *r, int copy) {
    if (r->graph[0]) {
        ggml.compute(ggml.backend, r->graph[copy]);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (r->copy[copy][i]) r->problem.ptr[r->slot[i]] = r->copy[copy][i];
    if (r->kernel) r->kernel->run(&r->problem, peers_pool);
    else r->call(r);
}

void peers_kernel(runner *r, const char *op, const char *path) {
    r->kernel = preferred(op, path, &r->problem);
    if (!r->kernel) exit((fprintf(stderr, "peers: no kernel for %s %s\n", op, path ? path : ""), 2));
    r->name = r->kernel->name;
    if (r->kernel->scratch) r->problem.scratch = peers_room(r->kernel->scratch(&r->problem) + 1);
}

void *peers_graph(void *context, void *result) {
    void *graph = ggml.graph(context);
    ggml.expand(graph, result);
    return graph;
}

static void by_sgemm(runner *r) {
    int n = (int)r->problem.dim[Q4K_MATMUL_N];
    sgemm(101, 111, 112, n, M, K, 1, x, K, wide, K, 0, r->problem.ptr[Q4K_MATMUL_Y], M);
}

static runner of_kernel(const char *op, const char *path, int n) {
    runner r = {.problem = {.dim = {M, K, n}, .type = {BF_Q4_K, BF_F32, BF_F32, BF_I8, BF_F32, BF_I32}}};
    r.problem.ptr[Q4K_MATMUL_X] = x, r.problem.ptr[Q4K_MATMUL_Y] = peers_room((uint64_t)n * M * 4);
    r.problem.ptr[Q4K_MATMUL_XQ] = peers_room((uint64_t)n * K);
    r.problem.ptr[Q4K_MATMUL_XD] = peers_room((uint64_t)n * K / 8), r.problem.ptr[Q4K_MATMUL_XS] = peers_room((uint64_t)n * K / 8);
    r.slot[0] = Q4K_MATMUL_W;
    for (int c = 0; c < COPIES; c++) r.copy[c][0] = weights[c];
    r.call = by_sgemm, r.name = "OpenBLAS sgemm, weights fp32";
    if (op) peers_kernel(&r, op, path);
    return r;
}

void peers_compare(const char *label, runner *r, int count, int copies, int rounds, double bytes, double flops) {
    for (int round = -1; round < rounds; round++)
        for (int i = 0; i < count; i++) {
            usleep(20000); /* OpenMP workers of the contender before spin for some milliseconds on the processors that this one needs */
            double t0 = now();
            for (int c = 0; c < copies; c++) run(&r[i], c);
            if (round >= 0) r[i].seconds[round] = (now() - t0) / copies;
        }
    for (int i = 0; i < count; i++) {
        double ratio[MOST_ROUNDS], own[MOST_ROUNDS];
        for (int j = 0; j < rounds; j++) ratio[j] = r[0].seconds[j] / r[i].seconds[j], own[j] = r[i].seconds[j];
        bf_summary s = bf_summarize(ratio, (size_t)rounds);
        double t = bf_summarize(own, (size_t)rounds).median;
        printf("%-28s %-34s %8.2f GB/s %8.1f GFLOP/s   %5.2f [%.2f, %.2f] of the first\n", label, r[i].name, bytes / t * 1e-9,
               flops / t * 1e-9, s.median, s.low, s.high);
    }
    fflush(stdout);
}

static runner of_ggml(void *context, int n) {
    runner r = {.name = "ggml mul_mat"};
    void *in = ggml.tensor(context, GGML_F32, K, n);
    memcpy(ggml.data(in), x, sizeof *x * (size_t)K * (size_t)n);
    for (int c = 0; c < COPIES; c++) {
        void *w = ggml.tensor(context, GGML_Q4_K, K, M);
        memcpy(ggml.data(w), weights[c], (size_t)M * K / BF_Q4_K_WEIGHTS * BF_Q4_K_BYTES);
        r.graph[c] = peers_graph(context, ggml.mul_mat(context, w, in));
        if (n > 1) break; /* prefill is bound by arithmetic: one copy */
    }
    return r;
}

static void fill(void) {
    size_t supers = (size_t)M * K / BF_Q4_K_WEIGHTS;
    uint32_t s = 1;
    x = peers_room(sizeof *x * COLUMNS * K), wide = peers_room(sizeof *wide * M * K);
    for (int64_t i = 0; i < (int64_t)COLUMNS * K; i++) s = s * 1664525u + 1013904223u, x[i] = (float)(int32_t)s * 0x1p-31f;
    for (int64_t i = 0; i < (int64_t)M * K; i++) wide[i] = (float)(i % 17 - 8);
    for (int c = 0; c < COPIES; c++) {
        bf_q4_k *w = weights[c] = peers_room(supers * BF_Q4_K_BYTES);
        for (size_t i = 0; i < supers * BF_Q4_K_BYTES; i++) s = s * 1664525u + 1013904223u, ((uint8_t *)w)[i] = (uint8_t)(s >> 24);
        for (size_t i = 0; i < supers; i++) w[i].d = 0x2000, w[i].dmin = 0x2400; /* 2^-7, 2^-6 */
    }
}

static void products(void) {
    double bytes = (double)M * K / BF_Q4_K_WEIGHTS * BF_Q4_K_BYTES;
    void *blas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD);
    void (*set_threads)(int) = blas ? (void (*)(int))dlsym(blas, "openblas_set_num_threads") : NULL;
    if (blas) *(void **)&sgemm = dlsym(blas, "cblas_sgemm");
    if (set_threads) set_threads(threads);
    fill();
    void *context = ggml.backend ? ggml.init((ggml_params){(size_t)800 << 20, NULL, false}) : NULL;
    runner r[4];
    int count = 0;
    if (context) r[count++] = of_ggml(context, 1);
    r[count++] = of_kernel("q4k_matvec", "int8", 1), r[count++] = of_kernel("q4k_matvec", "fp32", 1);
    peers_compare("Q4_K n=1", r, count, COPIES, MOST_ROUNDS, bytes, 2.0 * M * K);
    count = 0;
    if (sgemm) r[count++] = of_kernel(NULL, NULL, COLUMNS);
    else printf("OpenBLAS  left out: libopenblas.so.0 with cblas_sgemm not found\n");
    if (context) r[count++] = of_ggml(context, COLUMNS);
    r[count++] = of_kernel("q4k_matmul", "fp32", COLUMNS), r[count++] = of_kernel("q4k_matmul", "int8", COLUMNS);
    peers_compare("Q4_K n=512", r, count, 1, 7, bytes, 2.0 * M * K * COLUMNS);
    if (context) ggml.free(context);
}

int main(int argc, char **argv) {
    const char *part = argc > 3 ? argv[3] : "";
    threads = argc > 1 ? atoi(argv[1]) : 0;
    peers_pool = bf_pool_new(threads > 0 ? threads : 0);
    if (!peers_pool) return fprintf(stderr, "peers: no threads\n"), 2;
    threads = bf_pool_threads(peers_pool);
    char number[16];
    snprintf(number, sizeof number, "%d", threads);
    setenv("OPENBLAS_NUM_THREADS", number, 1);
    int with_ggml = !open_ggml(argc > 2 ? argv[2] : "");
    printf("%d x %d, %d threads, blas core %s%s%s\n", M, K, threads, bf_blas_core(), with_ggml ? ", ggml " : "",
           with_ggml ? ggml.version() : "");
    if (!*part || !strcmp(part, "products")) products();
    if (!*part || !strcmp(part, "attention")) peers_attention();
    if (!*part || !strcmp(part, "norm")) peers_norm();
    bf_pool_free(peers_pool);
    return 0;
}
