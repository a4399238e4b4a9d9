/* q4k_matvec.c: see q4k_matvec.h. */
#include "q4k_matvec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"
#include "q4_k.h"

enum { PANEL = 32 /* rows dequantised at a time: 2 x 3.7 MB at k = 14336 */ };

int bf_ref_q4k_matvec(const unsigned char *w, int64_t m, int64_t k, const double *x, int64_t n, double *y,
                      double *magnitude, unsigned char *bad_row, bf_error *err) {
    if (bf_blas_open(err)) return -1;
    double *wide = malloc(sizeof *wide * (size_t)(2 * PANEL + n) * (size_t)k);
    if (!wide) return bf_fail(err, "q4k_matvec: no memory for the reference");
    double *sizes = wide + PANEL * k, *abs_x = sizes + PANEL * k;
    int64_t row_bytes = k / BF_REF_Q4_K_WEIGHTS * BF_REF_Q4_K_BYTES;
    for (int64_t i = 0; i < n * k; i++) abs_x[i] = fabs(x[i]);
    for (int64_t r = 0; r < m; r += PANEL) {
        int64_t rows = m - r < PANEL ? m - r : PANEL;
        for (int64_t i = 0; i < rows; i++) {
            bad_row[r + i] = !bf_ref_q4_k_row(w + (r + i) * row_bytes, k, wide + i * k, sizes + i * k);
            if (!bad_row[r + i]) continue;
            memset(wide + i * k, 0, sizeof *wide * (size_t)k);
            memset(sizes + i * k, 0, sizeof *sizes * (size_t)k);
        }
        bf_blas_product(n, rows, k, x, wide, y + r, m);
        bf_blas_product(n, rows, k, abs_x, sizes, magnitude + r, m);
    }
    free(wide);
    return 0;
}

void bf_ref_q4k_matvec_int8(const unsigned char *w, int64_t m, int64_t k, const int8_t *q, const float *d, int64_t n,
                            const unsigned char *skip, double *y, double *magnitude) {
    for (int64_t i = 0; i < n * m; i++) y[i] = magnitude[i] = 0;
    for (int64_t r = 0; r < m; r++)
        for (int64_t at = 0; at < k; at += BF_REF_Q4_K_WEIGHTS) {
            bf_ref_q4_k b;
            bf_ref_q4_k_decode(w + (r * k + at) / BF_REF_Q4_K_WEIGHTS * BF_REF_Q4_K_BYTES, &b);
            if (!b.finite) continue; /* judged by class */
            for (int64_t c = 0; c < n; c++) {
                if (skip[c]) continue;
                for (int s = 0; s < 8; s++) {
                    const int8_t *x = q + c * k + at + 32 * s;
                    int dot = 0, sum = 0, abs_dot = 0, abs_sum = 0;
                    for (int i = 0; i < 32; i++) {
                        int v = x[i], a = v < 0 ? -v : v, w4 = b.q[32 * s + i];
                        dot += w4 * v, sum += v, abs_dot += w4 * a, abs_sum += a;
                    }
                    double dx = d[(c * k + at) / 32 + s];
                    double scale = b.d * b.scale[s], min = b.dmin * b.min[s];
                    y[c * m + r] += dx * (scale * dot - min * sum);
                    magnitude[c * m + r] += fabs(dx) * (fabs(scale) * abs_dot + fabs(min) * abs_sum);
                }
            }
        }
}
