/* blas.c: see blas.h. */
#define _GNU_SOURCE
#include "blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* CBLAS_ORDER, CBLAS_TRANSPOSE */

typedef void dgemm_fn(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                      const double *b, int ldb, double beta, double *c, int ldc);

static dgemm_fn *dgemm;
static const char *core = "none";
static char why[256];

/* The oldest core type that uses the widest vectors this processor has: every DYNAMIC_ARCH build knows it. */
static const char *fitting_core(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
    return NULL;
}

static void open_library(void) {
    const char *fit = getenv("OPENBLAS_CORETYPE") ? NULL : fitting_core();
    int threads = !getenv("OPENBLAS_NUM_THREADS");
    if (fit) setenv("OPENBLAS_CORETYPE", fit, 1);
    if (threads) setenv("OPENBLAS_NUM_THREADS", "1", 1);
    /* Its threads would spin for 2^26 clocks after each product, beside whatever is timed next. */
    setenv("OPENBLAS_THREAD_TIMEOUT", "14", 0);
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!lib) lib = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
    if (fit) unsetenv("OPENBLAS_CORETYPE");
    if (threads) unsetenv("OPENBLAS_NUM_THREADS");
    if (!lib) {
        bf_error e;
        bf_fail(&e, "OpenBLAS for the float64 reference cannot be opened (%.120s): install libopenblas0-pthread",
                dlerror());
        __builtin_memcpy(why, e.text, sizeof why - 1);
        return;
    }
    char *(*name)(void) = (char *(*)(void))dlsym(lib, "openblas_get_corename");
    void (*set_threads)(int) = (void (*)(int))dlsym(lib, "openblas_set_num_threads");
    dgemm = (dgemm_fn *)dlsym(lib, "cblas_dgemm");
    if (name) core = name();
    if (set_threads) set_threads(1);
    if (!dgemm) __builtin_memcpy(why, "OpenBLAS has no cblas_dgemm", 28);
}

int bf_blas_open(bf_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    return dgemm ? 0 : bf_fail(err, "%s", why);
}

const char *bf_blas_core(void) {
    bf_blas_open(NULL);
    return core;
}

void bf_blas_product(int64_t rows, int64_t columns, int64_t k, const double *a, const double *b, double *c,
                     int64_t ldc) {
    dgemm(ROW_MAJOR, PLAIN, TRANSPOSED, (int)rows, (int)columns, (int)k, 1, a, (int)k, b, (int)k, 0, c, (int)ldc);
}
