/* statistics.c: see the header. */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *x, size_t n, double q) {
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? x[i] + (at - (double)i) * (x[i + 1] - x[i]) : x[n - 1];
}

bf_summary bf_summarize(double *x, size_t n) {
    bf_summary s = {n, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    if (!n) return s;
    qsort(x, n, sizeof *x, ascending);
    s.min = s.low = x[0], s.max = s.high = x[n - 1];
    s.median = quantile(x, n, 0.5), s.p25 = quantile(x, n, 0.25), s.p75 = quantile(x, n, 0.75);
    if (n >= 6) {
        double half = 0.98 * sqrt((double)n), mid = 0.5 * (double)n;
        long lo = (long)floor(mid - half) - 1, hi = (long)ceil(mid + half);
        s.low = x[lo < 0 ? 0 : lo];
        s.high = x[hi >= (long)n ? (long)n - 1 : hi];
    }
    return s;
}
