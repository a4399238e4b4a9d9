/* norm.c: see norm.h. */
#include "norm.h"

#include <math.h>

#include "number.h"

typedef struct sum {
    double high, low;
} sum;

static void add(sum *s, double x) {
    double t = s->high + x;
    s->low += fabs(s->high) >= fabs(x) ? (s->high - t) + x : (x - t) + s->high;
    s->high = t;
}
static double total(const sum *s) { return s->high + s->low; }

bf_ref_norm_row bf_ref_norm(const double *s, int64_t length, int centred) {
    bf_ref_norm_row row = {.finite = 1, .low = s[0], .high = s[0]};
    sum all = {0}, magnitude = {0}, square = {0};
    for (int64_t i = 0; i < length; i++) {
        if (!isfinite(s[i])) return (bf_ref_norm_row){.finite = 0};
        row.nonzero += s[i] != 0;
        row.low = fmin(row.low, s[i]), row.high = fmax(row.high, s[i]);
        if (centred) add(&all, s[i]), add(&magnitude, fabs(s[i]));
    }
    row.mean = total(&all) / (double)length, row.magnitude = total(&magnitude) / (double)length;
    /* Equal values: their mean is that value, and no rounding of the division may say otherwise. */
    if (centred && row.low == row.high) row.mean = row.low;
    for (int64_t i = 0; i < length; i++) add(&square, (s[i] - row.mean) * (s[i] - row.mean));
    row.square = total(&square) / (double)length;
    return row;
}

double bf_ref_norm_sum(double x, double r) { return bf_ref_decode(BF_F32, bf_ref_encode(BF_F32, x + r)); }
