/* norm.c: A3: the sum of squares of a norm in fp16, swept over the scale of the input, by kind of norm and order of
 * the sum. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/norm.h"
#include "failures.h"

enum { K = 4096, GROUP_INNER = 64 };
static const double EPS = 1e-8; /* zero in fp16 */

/* Row e of x holds values of magnitude 2^(e - 24). rms: signs in turn. Others: three of four positive, so that the
 * mean is half of the magnitude and the mean square of the deviations 3/4 of its square. */
static void sweep(const bf_tensor *x, int centred) {
    for (int64_t e = 0; e < BF_SWEEP; e++)
        for (int64_t i = 0; i < K; i++)
            bf_lab_put(x, e * K + i, ldexp((centred ? i % 4 == 3 : i % 2) ? -1 : 1, (int)e + BF_SWEEP_FIRST));
}

/* v rounded to fp16 where only its last subnormal unit matters: above 2^-14 nothing here is rounded. */
static double small(double v) { return v < 0x1p-14 ? rint(v * 0x1p24) * 0x1p-24 : v; }

/* What K values of magnitude v = 2^e come to in fp16, in closed form.
 *
 * tree: 32 sums of K/32 equal squares and five doublings, all exact, to S = K v^2 (rms) or 3/4 K v^2 (deviations v/2
 * and 3v/2); chain: the sum stops growing at 2,048 v^2, where half a unit in its last place is v^2. S >= 65,520 is
 * inf. Squares below half a subnormal unit of 2^-24 vanish, and so does the mean S/K. In fp32 (wide) none of it
 * happens in this sweep. */
static void predict(int centred, int tree, int wide, int *high, int *low) {
    *high = *low = -1;
    for (int e = 0; e < BF_SWEEP && !wide; e++) {
        double v2 = ldexp(1, 2 * (e + BF_SWEEP_FIRST));
        double mean = centred ? 0.75 * small(0.25 * v2) + 0.25 * small(2.25 * v2) : small(v2);
        double s = (centred || tree ? K : 2048) * mean;
        if (s >= 65520 && *high < 0) *high = e;
        if (small(s / K) == 0) *low = e;
    }
}

/* Where the broken output fails: `high` the first row beyond scale 1 whose values are all zero or NaN, `nan` the
 * first with a NaN, `low` the last row that is infinite or NaN on the way down. */
static void observe(const bf_tensor *y, int *high, int *nan, int *low) {
    *high = *nan = *low = -1;
    for (int e = 0; e < BF_SWEEP; e++) {
        int64_t zeros = 0, nans = 0, infs = 0;
        for (int64_t i = 0; i < K; i++) {
            double v = bf_lab_get(y, e * K + i);
            zeros += v == 0, nans += isnan(v) != 0, infs += isinf(v) != 0;
        }
        if (e >= -BF_SWEEP_FIRST) {
            if (zeros + nans == K && *high < 0) *high = e;
            if (nans && *nan < 0) *nan = e;
        } else if (infs || nans)
            *low = e;
    }
}

typedef struct variant {
    const char *name, *line, *kernel; /* kernel NULL: the entry's broken one */
    int centred, tree, wide;
} variant;
static const variant variants[] = {
    {"rms, fp16 chain", "kind=rms m=45 k=4096 w=none", NULL, 0, 0, 0},
    {"rms, fp16 tree", "kind=rms m=45 k=4096 w=none", "norm_twin_tree-fp16", 0, 1, 0},
    {"layer, fp16 tree", "kind=layer m=45 k=4096 w=none", "norm_twin_tree-fp16", 1, 1, 0},
    {"group, fp16 tree", "kind=group m=45 k=64 inner=64 w=none", "norm_twin_tree-fp16", 1, 1, 0},
    {"rms, fp32 tree", "kind=rms m=45 k=4096 w=none", "norm_twin_plain-fp32", 0, 1, 1},
};

static int one(const bf_lab *lab, const bf_fail_entry *e, const variant *v, bf_fail_result *r, bf_error *err) {
    bf_job_run j;
    int high, nan, low, want_high, want_low;
    int rc = bf_lab_open(&j, err, "norm %s eps=%g", v->line, EPS);
    if (!rc) sweep(&j.t[NORM_X], v->centred), rc = bf_lab_expect(lab, &j, err);
    /* The sound one in place of the broken one is in place of every variant. */
    if (!rc) rc = bf_lab_run(lab, &j, "norm", e->broken.kernel && v->kernel ? v->kernel : e->broken.kernel, err);
    if (!rc) {
        observe(&j.t[NORM_Y], &high, &nan, &low);
        predict(v->centred, v->tree, v->wide, &want_high, &want_low);
        bf_fail_row(r, 6, v->name, bf_fail_scale(high), bf_fail_scale(want_high), bf_fail_scale(nan),
                    bf_fail_scale(low), bf_fail_scale(want_low));
        bf_fail_require(r, high == want_high, "%s: zeros or NaN from %s, predicted %s", v->name, bf_fail_scale(high),
                        bf_fail_scale(want_high));
        bf_fail_require(r, low == want_low, "%s: inf up to %s, predicted %s", v->name, bf_fail_scale(low),
                        bf_fail_scale(want_low));
        bf_lab_census(&r->broken, &j.t[NORM_Y], 0, BF_SWEEP * (int64_t)K, j.ref[NORM_Y].ref);
        snprintf(r->broken.what, sizeof r->broken.what, "%s, norm_twin_tree-fp16 and plain-fp32, %zu sweeps",
                 e->broken.kernel ? e->broken.kernel : j.kernel->name, sizeof variants / sizeof *variants);
        /* A chain stops growing before it overflows: finite, and by sqrt(2) too large at K = 4096. */
        int64_t at = -BF_SWEEP_FIRST * (int64_t)K;
        double got = bf_lab_get(&j.t[NORM_Y], at), want = j.ref[NORM_Y].ref[at];
        if (v->wide)
            bf_fail_require(r, fabs(got / want - 1) < 1e-5, "fp32 at scale 1: %g where %g is right", got, want);
        if (!v->centred && !v->tree) {
            bf_fail_require(r, fabs(got / want - sqrt(2)) < 0.01, "chain at scale 1: %g where %g is right", got,
                            want);
            snprintf(r->seen, sizeof r->seen,
                     "rms norm gives 0 = x rsqrt(inf) and layer norm 0, then NaN; below 2^-12 rsqrt(0) = inf; a "
                     "chain stagnates at 2,048 x^2 and gives %.3f for %.0f at every scale between",
                     got, want);
        }
        rc = bf_lab_run(lab, &j, "norm", e->sound.kernel, err);
    }
    if (!rc) {
        bf_lab_census(&r->sound, &j.t[NORM_Y], 0, BF_SWEEP * (int64_t)K, j.ref[NORM_Y].ref);
        bf_lab_name(&r->sound, &j, " on the same %zu sweeps", sizeof variants / sizeof *variants);
        bf_fail_require(r, bf_lab_judge(&j, &r->sound), "%s: the sound kernel does not pass: %s", v->name,
                        r->sound.judged);
    }
    bf_lab_close(&j);
    return rc;
}

static int run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "norm k=%d eps=%g, row e of x = +-2^e, e = -24 to 20: rms, layer and group norm", K, EPS);
    bf_fail_row(r, 6, "#norm, sum", "0 or NaN from", "predicted", "NaN from", "inf up to", "predicted");
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (one(lab, e, &variants[i], r, err)) return -1;
    bf_fail_require(r, r->broken.zero > 0 && r->broken.nan > 0 && r->broken.inf > 0, "%lld zero, %lld NaN, %lld inf",
                    (long long)r->broken.zero, (long long)r->broken.nan, (long long)r->broken.inf);
    bf_fail_require(r, !r->sound.nan && !r->sound.inf && !r->sound.zero, "the sound kernel is not finite");
    return 0;
}

const bf_fail_entry bf_fail_a3 = {
    "A3",
    "norm-fp16-accumulate",
    BF_FAIL_NUMERIC,
    "The sum of squares is kept in fp16: from K rms^2 = 65,520 on it is inf, x rsqrt(inf) = 0; small squares vanish "
    "and rsqrt(0) = inf.",
    "home-lab P40 logs: norms run in the activations' fp16",
    "sums in fp32 (norm of any input type)",
    {"norm_twin_chain-fp16", BF_F16, 0},
    {NULL, BF_F32, 0},
    run,
};
