/* linear.c: see linear.h. */
#include "linear.h"

#include <math.h>
#include <stdlib.h>

#include "blas.h"
#include "number.h"

enum { PANEL = 32 /* rows widened at a time: 2 x 4 MB at k = 16384 */ };

static void widen(bf_dtype type, const void *data, int64_t first, int64_t rows, int64_t k, const double *table,
                  double *wide, bf_ref_row *row) {
    const double least = ldexp(1, bf_ref_format_of(type).emin);
    for (int64_t r = 0; r < rows; r++) {
        bf_ref_row s = {0};
        for (int64_t i = 0; i < k; i++) {
            uint32_t bits = bf_ref_bits_at(type, data, (first + r) * k + i);
            double v = table ? table[bits] : bf_ref_decode(type, bits);
            if (isnan(v)) s.nan++;
            if (isinf(v)) s.inf++, s.at = i, s.negative = v < 0;
            if (!isfinite(v)) v = 0;
            s.nonzero += v != 0, s.subnormal += v != 0 && fabs(v) < least, s.top = fmax(s.top, fabs(v));
            wide[r * k + i] = v;
        }
        row[r] = s;
    }
}

/* All values of a 16-bit type, for matrices larger than that table. NULL: decode one by one. */
static double *values_of(bf_dtype type, int64_t elements) {
    double *table = type == BF_F32 || elements < 1 << 16 ? NULL : malloc(sizeof *table << 16);
    for (uint32_t u = 0; table && u < 1u << 16; u++) table[u] = bf_ref_decode(type, u);
    return table;
}

void bf_ref_linear_widen(bf_dtype type, const void *data, int64_t rows, int64_t k, double *wide, bf_ref_row *row) {
    double *table = values_of(type, rows * k);
    widen(type, data, 0, rows, k, table, wide, row);
    free(table);
}

int bf_ref_linear(bf_dtype type, const void *w, int64_t m, int64_t k, const double *x, int64_t n, double *y,
                  double *magnitude, bf_ref_row *row, bf_error *err) {
    if (bf_blas_open(err)) return -1;
    double *wide = malloc(sizeof *wide * (size_t)(PANEL + n) * (size_t)k), *abs_x = wide ? wide + PANEL * k : NULL;
    if (!wide) return bf_fail(err, "linear: no memory for the reference");
    double *table = values_of(type, m * k);
    for (int64_t i = 0; i < n * k; i++) abs_x[i] = fabs(x[i]);
    for (int64_t r = 0; r < m; r += PANEL) {
        int64_t rows = m - r < PANEL ? m - r : PANEL;
        widen(type, w, r, rows, k, table, wide, row + r);
        bf_blas_product(n, rows, k, x, wide, y + r, m);
        for (int64_t i = 0; i < rows * k; i++) wide[i] = fabs(wide[i]);
        bf_blas_product(n, rows, k, abs_x, wide, magnitude + r, m);
    }
    free(table);
    free(wide);
    return 0;
}
