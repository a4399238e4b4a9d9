/* activation.c: A2: activations that leave fp16, swept over the scale of the input. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/linear.h"
#include "../../reference/number.h"
#include "failures.h"

enum { M = 32, K = 256 };

static const double FP16_OVER = 65520; /* the least magnitude that rounds to infinity */

/* Column c of x is the first column times 2^(c - 24). */
static void sweep(bf_job_run *j) {
    for (int64_t c = BF_SWEEP - 1; c >= 0; c--)
        for (int64_t i = 0; i < K; i++)
            bf_lab_put(&j->t[LINEAR_X], c * K + i, ldexp(bf_lab_get(&j->t[LINEAR_X], i), (int)c + BF_SWEEP_FIRST));
}

/* First column with a value that is not finite; last column that has one zero or more. -1: none. */
static void ends(const bf_tensor *y, int *high, int *low) {
    *high = *low = -1;
    for (int c = 0; c < BF_SWEEP; c++)
        for (int r = 0; r < M; r++) {
            double v = bf_lab_get(y, (int64_t)c * M + r);
            if (!isfinite(v) && *high < 0) *high = c;
            if (v == 0) *low = c;
        }
}

/* The same from the data in float64. what: 'y' the results, 'x' the activations themselves, 's' the partial sums in
 * order of k. */
static void predict(const bf_job_run *j, char what, int *high, int *low) {
    double most = 0, least = INFINITY;
    for (int64_t r = 0; r < M; r++) {
        double sum = 0;
        for (int64_t k = 0; k < K; k++) {
            double x = bf_lab_get(&j->t[LINEAR_X], -BF_SWEEP_FIRST * K + k);
            sum += x * bf_lab_get(&j->t[LINEAR_W], r * K + k);
            double v = what == 'x' ? x : sum;
            if (what != 'y' || k == K - 1) most = fmax(most, fabs(v)), least = fmin(least, fabs(v));
        }
    }
    *high = *low = -1;
    for (int c = 0; c < BF_SWEEP; c++) {
        if (*high < 0 && ldexp(most, c + BF_SWEEP_FIRST) >= FP16_OVER) *high = c;
        if (ldexp(least, c + BF_SWEEP_FIRST) <= 0x1p-25) *low = c;
    }
    if (what != 'y') *low = -1; /* a zero on the way need not make a zero of the result */
}

/* One precision over the whole sweep: a row of the table. The sound ones have no `predicted`. */
static int precision(const bf_lab *lab, bf_job_run *j, const char *name, const char *kernel, char predicted,
                     bf_fail_result *r, int *high, bf_error *err) {
    int low, want_high = -1, want_low = -1;
    if (bf_lab_run(lab, j, "linear", kernel, err)) return -1;
    ends(&j->t[LINEAR_Y], high, &low);
    if (predicted) predict(j, predicted, &want_high, &want_low);
    bf_fail_row(r, 5, name, bf_fail_scale(*high), bf_fail_scale(want_high), bf_fail_scale(low),
                bf_fail_scale(predicted == 'y' ? want_low : low));
    bf_fail_require(r, *high == want_high, "%s: inf from %s, predicted %s", name, bf_fail_scale(*high),
                    bf_fail_scale(want_high));
    if (predicted == 'y')
        bf_fail_require(r, low == want_low, "%s: zeros up to %s, predicted %s", name, bf_fail_scale(low),
                        bf_fail_scale(want_low));
    return 0;
}

/* y as an operand of the next layer, at the scale where the broken way first fails. */
static int next_layer(const bf_lab *lab, const bf_fail_entry *e, const bf_job_run *first, int column, int broken,
                      bf_fail_result *r, bf_error *err) {
    bf_job_run j;
    bf_fail_side *side = broken ? &r->broken : &r->sound;
    int rc = bf_lab_open(&j, err, "linear m=%d k=%d w=f16 x=%s y=%s wscale=2^-3 seed=2", M, M,
                         bf_dtype_name(broken ? e->broken.type : e->sound.type),
                         bf_dtype_name(broken ? e->broken.type : e->sound.type));
    for (int64_t i = 0; !rc && i < M; i++)
        bf_lab_put(&j.t[LINEAR_X], i, bf_lab_get(&first->t[LINEAR_Y], column * M + i));
    if (!rc) rc = bf_lab_run(lab, &j, "linear", NULL, err);
    if (!rc) {
        bf_lab_census(side, &j.t[LINEAR_Y], 0, M, NULL);
        bf_lab_name(side, &j, ", next layer, y in %s", bf_dtype_name(j.p.type[LINEAR_Y]));
    }
    bf_lab_close(&j);
    return rc;
}

/* 65,504 is the largest fp16; what lies between it and 65,520 rounds to it and is counted apart. */
static int edge(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    static const float value[] = {65504, 65512, 65519.99f, 65520};
    bf_job_run j;
    long rounded = 0, inf = 0;
    int rc = bf_lab_open(&j, err, "linear m=1 k=1 n=4 w=f16 y=%s", bf_dtype_name(e->broken.type));
    for (int i = 0; !rc && i < 4; i++) bf_lab_put(&j.t[LINEAR_X], i, value[i]);
    if (!rc) bf_lab_put(&j.t[LINEAR_W], 0, 1), rc = bf_lab_run(lab, &j, "linear", NULL, err);
    for (int i = 0; !rc && i < 4; i++)
        rounded += bf_lab_get(&j.t[LINEAR_Y], i) == 65504, inf += isinf(bf_lab_get(&j.t[LINEAR_Y], i)) != 0;
    if (!rc) {
        snprintf(r->seen, sizeof r->seen,
                 "65,504, 65,512 and 65,519.99 are stored as 65,504, 65,520 as inf; the layer behind gets %lld inf, "
                 "%lld NaN of %d",
                 (long long)r->broken.inf, (long long)r->broken.nan, M);
        bf_fail_require(r, rounded == 3 && inf == 1,
                        "of 65,504 65,512 65,519.99 65,520 %ld are stored as 65,504 and %ld as inf", rounded, inf);
    }
    bf_lab_close(&j);
    return rc;
}

static int run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    bf_job_run j, wide;
    int high = -1, broken_at = -1;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "linear m=%d k=%d w=f16, column c of x = Gaussian times 2^c, c = -24 to 20; then a second layer", M, K);
    int rc =
        bf_lab_open(&j, err, "linear m=%d k=%d n=%d w=f16 x=f32 y=%s", M, K, BF_SWEEP, bf_dtype_name(e->broken.type));
    int rc2 = bf_lab_open(&wide, err, "linear m=%d k=%d n=%d w=f16 x=f32 y=%s", M, K, BF_SWEEP,
                          bf_dtype_name(e->sound.type));
    bf_fail_row(r, 5, "#precision", "inf from", "predicted", "zeros up to", "predicted");
    if (!rc && !rc2) {
        sweep(&j), sweep(&wide);
        rc = precision(lab, &j, "fp16 results", NULL, 'y', r, &broken_at, err) ||
             (broken_at >= 0 && next_layer(lab, e, &j, broken_at, 1, r, err)) ||
             precision(lab, &wide, "fp16 sums", e->broken.kernel, 's', r, &high, err) ||
             precision(lab, &wide, "fp16 activations", e->broken.kernel ? "linear_twin_x-fp16" : NULL, 'x', r, &high,
                       err);
        if (!rc) {
            int at = broken_at < 0 ? BF_SWEEP - 1 : broken_at;
            rc = precision(lab, &wide, "fp16 weights, fp32 else", e->sound.kernel, 0, r, &high, err) ||
                 bf_lab_expect(lab, &wide, err);
            if (!rc)
                bf_fail_require(r, bf_lab_judge(&wide, &r->sound), "the sound kernel does not pass: %s",
                                r->sound.judged);
            if (!rc) rc = next_layer(lab, e, &wide, at, 0, r, err);
        }
    }
    if (!rc && !rc2) {
        bf_fail_require(r, broken_at >= 0, "no scale of the sweep makes an infinity");
        bf_fail_require(r, r->broken.inf + r->broken.nan > 0, "the next layer is finite");
        bf_fail_require(r, !r->sound.inf && !r->sound.nan, "the sound chain is not finite");
        rc = edge(lab, e, r, err);
    }
    bf_lab_close(&j), bf_lab_close(&wide);
    return rc || rc2 ? -1 : 0;
}

const bf_fail_entry bf_fail_a2 = {
    "A2",
    "fp16-activation-overflow",
    BF_FAIL_NUMERIC,
    "Activations of 65,520 and more become infinite when they are stored in fp16; the next layer makes inf - inf = "
    "NaN of them.",
    "home-lab P40 logs: feed-forward outputs of bf16-era models beyond 65,504",
    "fp16-stored weights, fp32 activations and arithmetic (linear w=f16 x=f32 y=f32)",
    {"linear_twin_acc-fp16", BF_F16, 0},
    {NULL, BF_F32, 0},
    run,
};
