/* attention: the sums that reference/attention.h promises, formed again one key at a time. A bound is made of them, so that an error
 * here would widen or narrow what every kernel is held to. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "../../reference/attention.h"
#include "../fill.h"

enum { HEADS = 4, KV = 2, QUERIES = 3, KEYS = 530 /* two panels */, D = 64, WINDOW = 515 };

static float q[HEADS * QUERIES * D], k[KV * KEYS * D], v[KV * KEYS * D], mask[QUERIES * KEYS], sink[HEADS];

static bf_ref_attention_problem problem(int with_sink) {
    bf_fill_values(BF_FILL_GAUSS, 3, 0, BF_F32, HEADS * QUERIES, D, 0, q);
    bf_fill_values(BF_FILL_GAUSS, 3, 1, BF_F32, KV * KEYS, D, 0, k);
    bf_fill_values(BF_FILL_GAUSS, 3, 2, BF_F32, KV * KEYS, D, 0, v);
    bf_fill_values(BF_FILL_GAUSS, 3, 3, BF_F32, QUERIES, KEYS, 0, mask);
    for (int i = 0; i < HEADS; i++) sink[i] = (float)i - 1;
    mask[4] = -INFINITY, mask[KEYS + 7] = -FLT_MAX, q[5] = 0, q[9] = 0;
    bf_ref_attention_problem p = {.heads = HEADS, .kv_heads = KV, .queries = QUERIES, .keys = KEYS, .d = D, .window = WINDOW, .scale = 0.25,
                                  .cap = 3, .causal = 1, .q_type = BF_F32, .kv_type = BF_F32, .mask_type = BF_F32,
                                  .sink_type = with_sink ? BF_F32 : BF_NONE, .q = q, .k = k, .v = v, .mask = mask, .sink = sink};
    return p;
}

/* Coefficients far above those of fp32, all different, so that the second order counts. */
static bf_ref_attention_errors coefficients(void) {
    bf_ref_attention_errors e = {.score = 3e-3, .mask = 5e-3, .argument = 7e-3};
    for (int z = 0; z <= 256; z++) e.dot[0][z] = 1e-4 * z, e.dot[1][z] = 3e-5 * z;
    return e;
}

typedef struct key {
    double t, e[2]; /* score and its errors; -inf: excluded */
} key;

static key score(const bf_ref_attention_problem *p, const bf_ref_attention_errors *e, int64_t head, int64_t i, int64_t j) {
    int64_t last = i + KEYS - QUERIES, g = head / (HEADS / KV);
    double dot = 0, size = 0, m = mask[i * KEYS + j];
    int nonzero = 0;
    key r = {-INFINITY, {0, 0}};
    if (j > last || j <= last - WINDOW || m <= -FLT_MAX) return r;
    for (int x = 0; x < D; x++) {
        double a = q[(head * QUERIES + i) * D + x], b = k[(g * KEYS + j) * D + x];
        dot += a * b, size += fabs(a * b), nonzero += a != 0;
    }
    double t = p->cap * tanh(p->scale * dot / p->cap);
    r.t = t + m;
    for (int x = 0; x < 2; x++)
        r.e[x] = e->dot[x][nonzero] * p->scale * size + e->score * (fabs(t) + fabs(t + m)) + e->mask * fabs(m);
    return r;
}

static double center_of(int64_t g, int x) {
    double sum = 0;
    for (int64_t j = 0; j < KEYS; j++) sum += v[(g * KEYS + j) * D + x];
    return sum / KEYS;
}

static void near(double a, double b, const char *what) {
    cr_assert_float_eq(a, b, 1e-10 * fabs(b) + 1e-14, "%s: %.17g, by hand %.17g", what, a, b);
}

static void row_by_hand(const bf_ref_attention_problem *p, const bf_ref_attention_errors *e, const bf_ref_attention_result *r, int64_t head,
                        int64_t i) {
    static key s[KEYS];
    const bf_ref_attention_row *row = &r->row[head * QUERIES + i];
    double own = p->sink_type == BF_NONE ? -INFINITY : sink[head], max = own, most[2] = {0, 0}, sum = 0, keys = own > -INFINITY;
    for (int64_t j = 0; j < KEYS; j++) {
        s[j] = score(p, e, head, i, j);
        max = fmax(max, s[j].t), keys += s[j].t > -INFINITY;
        for (int x = 0; x < 2; x++) most[x] = fmax(most[x], s[j].e[x]);
    }
    for (int64_t j = 0; j < KEYS; j++) sum += exp(s[j].t - max);
    double shift = exp(own - max) / (sum += exp(own - max)), worst[2] = {0, 0}, error[2];
    for (int x = 0; x < 2; x++) error[x] = shift > 0 ? shift * expm1(e->argument * (fabs(own - max) + 2 * most[x])) : 0;
    for (int64_t j = 0; j < KEYS; j++)
        for (int x = 0; x < 2 && s[j].t > -INFINITY; x++) {
            double b = s[j].e[x] + e->argument * (fabs(s[j].t - max) + 2 * most[x]);
            cr_assert(b < 1); /* where expm1 is what the sum is of */
            worst[x] = fmax(worst[x], b), error[x] += exp(s[j].t - max) / sum * expm1(b);
        }
    near(row->lse, max + log(sum), "lse");
    near(row->max, max, "max");
    cr_assert_eq(row->keys, keys);
    cr_assert_eq(row->allow, BF_REF_FINITE);
    for (int x = 0; x < 2; x++) near(row->error[x], error[x], "error"), near(row->worst[x], worst[x], "worst");
    for (int d = 0; d < D; d++) {
        int64_t g = head / (HEADS / KV);
        double c = center_of(g, d), o = 0, size = 0, spread = shift * fabs(c), moved[2];
        for (int x = 0; x < 2; x++) moved[x] = shift > 0 ? shift * fabs(c) * expm1(e->argument * (fabs(own - max) + 2 * worst[x])) : 0;
        for (int64_t j = 0; j < KEYS; j++) {
            double w = exp(s[j].t - max) / sum, value = v[(g * KEYS + j) * D + d];
            o += w * value, size += w * fabs(value), spread += w * fabs(value - c);
            for (int x = 0; x < 2 && w > 0; x++)
                moved[x] += w * fabs(value - c) * expm1(s[j].e[x] + e->argument * (fabs(s[j].t - max) + 2 * most[x]));
        }
        const bf_ref_attention_element *a = &r->element[(head * QUERIES + i) * D + d];
        cr_assert_float_eq(a->o, o, 1e-13 * size);
        near(a->magnitude, size, "magnitude"), near(a->spread, spread, "spread");
        for (int x = 0; x < 2; x++) near(a->moved[x], moved[x], "moved");
    }
}

static void by_hand(int with_sink) {
    bf_ref_attention_problem p = problem(with_sink);
    bf_ref_attention_errors e = coefficients();
    bf_ref_attention_result r;
    bf_error err;
    cr_assert_eq(bf_ref_attention(&p, &e, &r, &err), 0);
    for (int64_t head = 0; head < HEADS; head++)
        for (int64_t i = 0; i < QUERIES; i++) row_by_hand(&p, &e, &r, head, i);
    for (int64_t g = 0; g < KV; g++)
        for (int d = 0; d < D; d++) {
            const bf_ref_attention_column *c = &r.column[g * D + d];
            double low = with_sink ? 0 : INFINITY, high = -low, sum = 0; /* a sink's value is zero */
            for (int64_t j = 0; j < KEYS; j++) {
                double x = v[(g * KEYS + j) * D + d];
                low = fmin(low, x), high = fmax(high, x), sum += fabs(x);
            }
            near(c->center, center_of(g, d), "center"), near(c->sum, sum, "sum");
            cr_assert(c->low == low && c->high == high);
        }
    bf_ref_attention_free(&r);
}

Test(attention, error_sums_by_hand) { by_hand(0); }
Test(attention, error_sums_with_a_sink_by_hand) { by_hand(1); }

/* A weight that is zero even in float64 counts where the error of its score may lift it to what fp32 holds (logarithm above -110). */
Test(attention, a_key_far_below_the_maximum_counts_where_its_error_may_lift_it) {
    static const float far[2] = {0, -900};
    bf_ref_attention_problem p = {.heads = 1, .kv_heads = 1, .queries = 1, .keys = 2, .d = 1, .scale = 1, .q_type = BF_F32, .kv_type = BF_F32,
                                  .mask_type = BF_F32, .sink_type = BF_NONE, .q = (float[]){0}, .k = (float[]){1, 1}, .v = (float[]){1, 2},
                                  .mask = far};
    static const struct {
        double mask, worst, log_error;
        int keys;
    } want[] = {{0.5, 0, -INFINITY, 1}, {0.877, 0, -INFINITY, 1}, {0.878, 0.878 * 900, 0.878 * 900 - 900, 2}, {0.9, 810, -90, 2}};
    const double flush = 6 * 0x1p-149; /* what a score of zero may be off by, subnormals flushed */
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bf_ref_attention_errors e = {.mask = want[i].mask};
        bf_ref_attention_result r;
        bf_error err;
        cr_assert_eq(bf_ref_attention(&p, &e, &r, &err), 0);
        near(r.row[0].worst[0], want[i].worst, "worst");
        cr_assert_eq(r.row[0].keys, want[i].keys);
        cr_assert_float_eq(r.row[0].error[0], flush + exp(want[i].log_error), 1e-9 * r.row[0].error[0], "%g", r.row[0].error[0]);
        bf_ref_attention_free(&r);
    }
}
