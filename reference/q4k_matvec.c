/* q4k_matvec.c: see q4k_matvec.h. */
#include "q4k_matvec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"
#include "q4_k.h"
#include "qblock.h"

enum { PANEL = 32, WIDE_PANEL = 128 /* rows dequantised at a time: 3 x 3.7 MB at k = 14336; more for many columns */ };

/* Rows [r, r + rows) into wide, sizes and, where wanted, plain ([rows][k] each). */
static void decode_panel(bf_dtype type, const unsigned char *w, int64_t k, int64_t r, int64_t rows, double *wide, double *sizes,
                         double *plain, const bf_ref_q4k_sums *s) {
    bf_ref_qblock size = {.bytes = BF_REF_Q4_K_BYTES, .weights = BF_REF_Q4_K_WEIGHTS};
    if (type != BF_Q4_K) size = bf_ref_qblock_of(type);
    for (int64_t i = 0; i < rows; i++) {
        const unsigned char *bytes = w + (r + i) * (k / size.weights * size.bytes);
        double *row = wide + i * k, sum = 0, top = 0;
        s->bad_row[r + i] = type == BF_Q4_K ? !bf_ref_q4_k_row(bytes, k, row, sizes + i * k)
                                            : !bf_ref_qblock_row(type, bytes, k, row, sizes + i * k);
        if (s->bad_row[r + i]) {
            memset(row, 0, sizeof *row * (size_t)k);
            memset(sizes + i * k, 0, sizeof *sizes * (size_t)k);
        }
        for (int64_t at = 0; (s->plain || s->row_sum || s->row_top) && at < k; at++) {
            double a = fabs(row[at]);
            sum += a, top = fmax(top, a);
            if (s->plain) plain[i * k + at] = a;
        }
        if (s->row_sum) s->row_sum[r + i] = sum;
        if (s->row_top) s->row_top[r + i] = top;
    }
}

int bf_ref_q4k_product(bf_dtype type, const unsigned char *w, int64_t m, int64_t k, const double *x, int64_t n,
                       const bf_ref_q4k_sums *s, bf_error *err) {
    if (bf_blas_open(err)) return -1;
    int64_t panel = n > 8 ? WIDE_PANEL : PANEL;
    double *wide = malloc(sizeof *wide * (size_t)(3 * panel + n) * (size_t)k);
    if (!wide) return bf_fail(err, "q4k: no memory for the reference of the product");
    double *sizes = wide + panel * k, *plain = sizes + panel * k, *abs_x = plain + panel * k;
    for (int64_t i = 0; i < n * k; i++) abs_x[i] = fabs(x[i]);
    for (int64_t r = 0; r < m; r += panel) {
        int64_t rows = m - r < panel ? m - r : panel;
        decode_panel(type, w, k, r, rows, wide, sizes, plain, s);
        bf_blas_product(n, rows, k, x, wide, s->y + r, m);
        bf_blas_product(n, rows, k, abs_x, sizes, s->magnitude + r, m);
        if (s->plain) bf_blas_product(n, rows, k, abs_x, plain, s->plain + r, m);
    }
    free(wide);
    return 0;
}

int bf_ref_q4k_matvec(const unsigned char *w, int64_t m, int64_t k, const double *x, int64_t n, double *y,
                      double *magnitude, unsigned char *bad_row, bf_error *err) {
    bf_ref_q4k_sums s = {.y = y, .magnitude = magnitude, .bad_row = bad_row};
    return bf_ref_q4k_product(BF_Q4_K, w, m, k, x, n, &s, err);
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
