/* blas.h: OpenBLAS for the references' products, opened at run time so that the core type can be chosen first.
 *
 * OpenBLAS picks its kernels when it is loaded, and Debian's 0.3.21 picks Prescott (SSE3) on processors that it does
 * not know: a reference seven times too slow. Here the core follows from the instructions that the processor has,
 * unless OPENBLAS_CORETYPE is set by the user. One thread: the callers are worker processes side by side. */
#ifndef BF_BLAS_H
#define BF_BLAS_H

#include <stdint.h>

#include "../harness/error.h"

/* 0, or -1 with a line that names the missing library and package. Opened once; later calls are free. */
int bf_blas_open(bf_error *);
/* The core that OpenBLAS reports ("SkylakeX", "Haswell", ...), "none" when it cannot be opened. */
const char *bf_blas_core(void);

/* C[rows][columns] = A[rows][k] B[columns][k]^T, row-major, ldc the distance of C's rows. After a successful
 * bf_blas_open. |error| <= gamma_k(2^-53) |A||B|^T for any order of summation. */
void bf_blas_product(int64_t rows, int64_t columns, int64_t k, const double *a, const double *b, double *c,
                     int64_t ldc);

#endif
