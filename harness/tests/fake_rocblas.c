/* fake_rocblas.c: a library that plays rocBLAS 4.4 beside fake_hip; see fake_gemm.h. */
#include "fake_gemm.h"

int rocblas_create_handle(void **handle) { return *handle = malloc(1), 0; }
int rocblas_destroy_handle(void *handle) { return free(handle), 0; }
int rocblas_get_version_string(char *text, size_t room) { return room < 8 ? 1 : (strcpy(text, "4.4.0"), 0); }
int rocblas_sgemm(void *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
                  const float *beta, float *c, int ldc) {
    if (!handle || ta != 112 || tb != 111 || *alpha != 1 || *beta != 0) return 1;
    return fake_gemm(m, n, k, a, lda, b, ldb, FAKE_F32, c, ldc);
}
int rocblas_gemm_ex(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda, const void *b,
                    int b_type, int ldb, const void *beta, const void *c, int c_type, int ldc, void *d, int d_type, int ldd, int compute,
                    int algorithm, int solution, unsigned flags) {
    if (!handle || ta != 112 || tb != 111 || *(const float *)alpha != 1 || *(const float *)beta != 0 || a_type != b_type || c != d ||
        c_type != 151 || d_type != 151 || ldc != ldd || compute != 151 || algorithm || solution || flags || (a_type != 150 && a_type != 168))
        return 1;
    return fake_gemm(m, n, k, a, lda, b, ldb, a_type == 150 ? FAKE_F16 : FAKE_BF16, d, ldd);
}
