/* fake_gemm.h: the product that the fakes of cuBLAS and rocBLAS compute, in columns, on memory that the fake drivers take from the host.
 * BF_FAKE_BLAS=unsupported: every product is refused. BF_FAKE_BLAS=wrong: results are 1.5 times what they should be. */
#ifndef FAKE_GEMM_H
#define FAKE_GEMM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>


typedef enum { FAKE_F32, FAKE_F16, FAKE_BF16 } fake_type;

static double fake_at(const void *p, fake_type type, int64_t i) {
    if (type == FAKE_F32) return ((const float *)p)[i];
    uint32_t bits = ((const uint16_t *)p)[i];
    if (type == FAKE_BF16) {
        float f;
        bits <<= 16;
        return memcpy(&f, &bits, 4), f;
    }
    int e = bits >> 10 & 31;
    double v = __builtin_ldexp((bits & 1023) + (e ? 1024 : 0), (e ? e : 1) - 25);
    return bits >> 15 ? -v : v;
}

/* c[i + j ldc] = sum over l of a' [i][l] b[l][j], a' the transpose of a (k x m), b k x n. Nonzero: refused. */
static int fake_gemm(int m, int n, int k, const void *a, int lda, const void *b, int ldb, fake_type type, float *c, int ldc) {
    const char *how = getenv("BF_FAKE_BLAS");
    if (how && !strcmp(how, "unsupported")) return 15;
    double factor = how && !strcmp(how, "wrong") ? 1.5 : 1;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++) sum += fake_at(a, type, l + (int64_t)i * lda) * fake_at(b, type, l + (int64_t)j * ldb);
            c[i + (int64_t)j * ldc] = (float)(factor * sum);
        }
    return 0;
}
#endif
