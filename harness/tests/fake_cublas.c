/* fake_cublas.c: a library that plays cuBLAS 12.8 beside fake_cuda; see fake_gemm.h. */
#include "fake_gemm.h"

int cublasCreate_v2(void **handle) { return *handle = malloc(1), 0; }
int cublasDestroy_v2(void *handle) { return free(handle), 0; }
int cublasGetVersion_v2(void *handle, int *version) { return *version = 120803, !handle; }
int cublasSgemm_v2(void *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
                   const float *beta, float *c, int ldc) {
    if (!handle || ta != 1 || tb != 0 || *alpha != 1 || *beta != 0) return 7;
    return fake_gemm(m, n, k, a, lda, b, ldb, FAKE_F32, c, ldc);
}
int cublasGemmEx(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda, const void *b,
                 int b_type, int ldb, const void *beta, void *c, int c_type, int ldc, int compute, int algorithm) {
    if (!handle || ta != 1 || tb != 0 || *(const float *)alpha != 1 || *(const float *)beta != 0 || a_type != b_type || c_type != 0 ||
        compute != 68 || algorithm != -1 || (a_type != 2 && a_type != 14))
        return 7;
    return fake_gemm(m, n, k, a, lda, b, ldb, a_type == 2 ? FAKE_F16 : FAKE_BF16, c, ldc);
}
