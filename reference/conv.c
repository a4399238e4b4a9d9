/* conv.c: see conv.h. */
#include "conv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"

enum { PANEL = 128 /* outputs whose receptive fields are laid out at a time */ };

int64_t bf_ref_conv_size(const bf_ref_conv *r, int d) {
    int64_t reach = r->dilation * (r->taps[d] - 1) + 1;
    if (r->transposed) return (r->size[d] - 1) * r->stride[d] - 2 * r->pad[d] + reach;
    int64_t room = r->size[d] + 2 * r->pad[d] - reach;
    return room < 0 ? 0 : room / r->stride[d] + 1;
}

/* Index into x's dimension d that tap t of output z meets, or -1. */
static int64_t meets(const bf_ref_conv *r, int d, int64_t z, int64_t t) {
    if (!r->transposed) {
        int64_t i = z * r->stride[d] + t * r->dilation - r->pad[d];
        return i >= 0 && i < r->size[d] ? i : -1;
    }
    int64_t i = (z + r->pad[d] - t * r->dilation) / r->stride[d]; /* the only x that can add to z, */
    int adds = i * r->stride[d] + t * r->dilation - r->pad[d] == z; /* if it does */
    return adds && i >= 0 && i < r->size[d] ? i : -1;
}

typedef struct sums {
    const bf_ref_conv *r;
    int64_t osize[3], plane, oplane, taps, k, in, out; /* k = in * taps, of a group */
    int64_t *table[3];                                 /* [osize][taps]: meets */
    double *field, *sizes;                             /* [PANEL][k]: receptive fields of x, and their magnitudes */
    double *w, *abs_w;                                 /* [out][k] of one group */
    unsigned char *bad_x, *bad_w;                      /* [PANEL]; [out][k] */
    int any_bad_w;
} sums;

/* Where output p's tap t lies in a plane of x, or -1. */
static int64_t place(const sums *s, int64_t p, int64_t t) {
    const bf_ref_conv *r = s->r;
    int64_t x = s->table[2][p % s->osize[2] * r->taps[2] + t % r->taps[2]];
    p /= s->osize[2], t /= r->taps[2];
    int64_t y = s->table[1][p % s->osize[1] * r->taps[1] + t % r->taps[1]];
    int64_t z = s->table[0][p / s->osize[1] * r->taps[0] + t / r->taps[1]];
    return x < 0 || y < 0 || z < 0 ? -1 : (z * r->size[1] + y) * r->size[2] + x;
}

static void lay_weights(sums *s, const double *w, int64_t g) {
    s->any_bad_w = 0;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t c = 0; c < s->in; c++)
            for (int64_t t = 0; t < s->taps; t++) {
                int64_t at = s->r->transposed ? ((g * s->in + c) * s->out + o) * s->taps + t
                                              : ((g * s->out + o) * s->in + c) * s->taps + t;
                int64_t to = (o * s->in + c) * s->taps + t;
                int bad = !isfinite(w[at]);
                s->bad_w[to] = (unsigned char)bad, s->any_bad_w |= bad;
                s->w[to] = bad ? 0 : w[at];
                s->abs_w[to] = fabs(s->w[to]);
            }
}

/* The receptive fields of outputs [p, p + n) in one group of one item; x: its first channel. */
static void lay_fields(sums *s, const double *x, int64_t p, int64_t n, int64_t *terms) {
    for (int64_t i = 0; i < n; i++) {
        s->bad_x[i] = 0, terms[p + i] = 0;
        for (int64_t t = 0; t < s->taps; t++) {
            int64_t at = place(s, p + i, t);
            for (int64_t c = 0; c < s->in; c++) {
                double v = at < 0 ? 0 : x[c * s->plane + at];
                if (!isfinite(v)) s->bad_x[i] = 1, v = 0;
                terms[p + i] += v != 0;
                s->field[i * s->k + c * s->taps + t] = v;
                s->sizes[i * s->k + c * s->taps + t] = fabs(v);
            }
        }
    }
}

/* Outputs [p, p + n) of all channels of the group; state: of the group's first channel. */
static void classify(const sums *s, int64_t p, int64_t n, unsigned char *state) {
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < n; i++) {
            unsigned char *to = &state[o * s->oplane + p + i];
            *to = s->bad_x[i] ? BF_REF_CONV_BAD : BF_REF_CONV_FINITE;
            for (int64_t j = 0; s->any_bad_w && j < s->k && *to != BF_REF_CONV_BAD; j++)
                if (s->bad_w[o * s->k + j]) *to = place(s, p + i, j % s->taps) >= 0 ? BF_REF_CONV_BAD : BF_REF_CONV_MAYBE;
        }
}

static int prepare(sums *s, const bf_ref_conv *r) {
    *s = (sums){.r = r, .plane = 1, .oplane = 1, .taps = 1, .in = r->in / r->groups, .out = r->out / r->groups};
    int ok = 1;
    for (int d = 0; d < 3; d++) {
        s->osize[d] = bf_ref_conv_size(r, d);
        s->plane *= r->size[d], s->oplane *= s->osize[d], s->taps *= r->taps[d];
        s->table[d] = malloc(sizeof **s->table * (size_t)(s->osize[d] * r->taps[d]));
        ok &= s->table[d] != NULL;
        for (int64_t z = 0; ok && z < s->osize[d]; z++)
            for (int64_t t = 0; t < r->taps[d]; t++) s->table[d][z * r->taps[d] + t] = meets(r, d, z, t);
    }
    s->k = s->in * s->taps;
    size_t k = (size_t)s->k, out = (size_t)s->out;
    s->field = malloc(sizeof(double) * PANEL * k), s->sizes = malloc(sizeof(double) * PANEL * k);
    s->w = malloc(sizeof(double) * out * k), s->abs_w = malloc(sizeof(double) * out * k);
    s->bad_x = malloc(PANEL), s->bad_w = malloc(out * k);
    return ok && s->field && s->sizes && s->w && s->abs_w && s->bad_x && s->bad_w ? 0 : -1;
}

int bf_ref_conv_sums(const bf_ref_conv *r, const double *x, const double *w, double *y, double *magnitude,
                     unsigned char *state, int64_t *terms, bf_error *err) {
    if (bf_blas_open(err)) return -1;
    sums s;
    int rc = prepare(&s, r);
    for (int64_t g = 0; !rc && g < r->groups; g++) {
        lay_weights(&s, w, g);
        for (int64_t n = 0; n < r->batch; n++) {
            int64_t first = (n * r->out + g * s.out) * s.oplane;
            for (int64_t p = 0; p < s.oplane; p += PANEL) {
                int64_t count = s.oplane - p < PANEL ? s.oplane - p : PANEL;
                lay_fields(&s, x + (n * r->in + g * s.in) * s.plane, p, count, terms + (n * r->groups + g) * s.oplane);
                bf_blas_product(s.out, count, s.k, s.w, s.field, y + first + p, s.oplane);
                bf_blas_product(s.out, count, s.k, s.abs_w, s.sizes, magnitude + first + p, s.oplane);
                classify(&s, p, count, state + first);
            }
        }
    }
    for (int d = 0; d < 3; d++) free(s.table[d]);
    free(s.field), free(s.sizes), free(s.w), free(s.abs_w), free(s.bad_x), free(s.bad_w);
    return rc ? bf_fail(err, "conv: no memory for the reference") : 0;
}
