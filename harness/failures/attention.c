/* attention.c: A4: attention scores in fp16. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "../../kernels/common/norm.h"
#include "failures.h"

enum { D = 256, KEYS = 64 };

/* Scores of row i and key j in float64, scale 1. */
static double score(const bf_job_run *j, int64_t i, int64_t key) {
    double t = 0;
    for (int64_t d = 0; d < D; d++)
        t += bf_lab_get(&j->t[ATTENTION_Q], i * D + d) * bf_lab_get(&j->t[ATTENTION_K], key * D + d);
    return t;
}

/* Row i of q is row 0 times 2^(i - 24). */
static void sweep(const bf_job_run *j) {
    for (int64_t i = BF_SWEEP - 1; i >= 0; i--)
        for (int64_t d = 0; d < D; d++)
            bf_lab_put(&j->t[ATTENTION_Q], i * D + d,
                       ldexp(bf_lab_get(&j->t[ATTENTION_Q], d), (int)i + BF_SWEEP_FIRST));
}

/* NaN in exactly the rows with a score of 65,520 or more, in all of such a row and in its log-sum-exp. */
static int large_logits(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    bf_job_run j;
    int want = -1, got = -1, stray = 0;
    int rc = bf_lab_open(&j, err, "attention queries=%d keys=%d d=%d scale=1 kv=f32", BF_SWEEP, KEYS, D);
    if (!rc) sweep(&j), rc = bf_lab_expect(lab, &j, err);
    if (!rc) rc = bf_lab_run(lab, &j, "attention", e->broken.kernel, err);
    for (int64_t i = 0; !rc && i < BF_SWEEP; i++) {
        double most = -INFINITY;
        int nans = isnan(bf_lab_get(&j.t[ATTENTION_LSE], i)) != 0;
        for (int64_t k = 0; k < KEYS; k++) most = fmax(most, score(&j, i, k));
        for (int64_t d = 0; d < D; d++) nans += isnan(bf_lab_get(&j.t[ATTENTION_O], i * D + d)) != 0;
        if (most >= 65520 && want < 0) want = (int)i;
        if (nans && got < 0) got = (int)i;
        stray += nans != (most >= 65520 ? D + 1 : 0);
    }
    if (!rc) {
        bf_lab_census(&r->broken, &j.t[ATTENTION_O], 0, BF_SWEEP * (int64_t)D, j.ref[ATTENTION_O].ref);
        bf_lab_name(&r->broken, &j, NULL);
        bf_fail_row(r, 3, "without q/k norm, fp16", bf_fail_scale(got), bf_fail_scale(want));
        bf_fail_require(r, got >= 0 && got == want, "NaN from %s, predicted %s", bf_fail_scale(got),
                        bf_fail_scale(want));
        bf_fail_require(r, !stray, "%d rows hold NaN that should not, or the reverse", stray);
        rc = bf_lab_run(lab, &j, "attention", e->sound.kernel, err);
    }
    if (!rc) {
        bf_lab_census(&r->sound, &j.t[ATTENTION_O], 0, BF_SWEEP * (int64_t)D, j.ref[ATTENTION_O].ref);
        bf_lab_name(&r->sound, &j, NULL);
        bf_fail_row(r, 3, "without q/k norm, fp32", "-", "-");
        bf_fail_require(r, bf_lab_judge(&j, &r->sound) && !r->sound.nan && !r->sound.inf,
                        "the sound kernel does not pass: %s", r->sound.judged);
    }
    bf_lab_close(&j);
    return rc;
}

/* q and k through rms norm with factors 1 + w, every key parallel to its query: q.k = D (1 + w)^2 whatever the scale.
 */
static int normed(const bf_lab *lab, const bf_fail_entry *e, double w, bf_fail_result *r, bf_error *err) {
    bf_job_run n, a;
    int first = -1, expected = D * (1 + w) * (1 + w) >= 65520;
    int rc = bf_lab_open(&n, err, "norm m=%d k=%d plus_one=1 w=bf16 eps=0", BF_SWEEP, D);
    int rc2 = bf_lab_open(&a, err, "attention queries=%d keys=%d d=%d scale=1 kv=f32", BF_SWEEP, BF_SWEEP, D);
    for (int64_t i = 0; !rc && i < BF_SWEEP * (int64_t)D; i++)
        bf_lab_put(&n.t[NORM_X], i, ldexp(i % 2 ? -1 : 1, (int)(i / D) + BF_SWEEP_FIRST));
    for (int64_t i = 0; !rc && i < D; i++) bf_lab_put(&n.t[NORM_W], i, w);
    if (!rc && !rc2) rc = bf_lab_run(lab, &n, "norm", NULL, err);
    if (!rc && !rc2) {
        memcpy(a.t[ATTENTION_Q].data, n.t[NORM_Y].data, n.t[NORM_Y].bytes);
        memcpy(a.t[ATTENTION_K].data, n.t[NORM_Y].data, n.t[NORM_Y].bytes);
        rc = bf_lab_run(lab, &a, "attention", e->broken.kernel, err);
    }
    for (int64_t i = 0; !rc && !rc2 && i < BF_SWEEP * (int64_t)D && first < 0; i++)
        if (!isfinite(bf_lab_get(&a.t[ATTENTION_O], i))) first = (int)(i / D);
    if (!rc && !rc2) {
        bf_fail_row(r, 3, bf_fail_text("with q/k norm, 1+w = %g, fp16", 1 + w),
                    first < 0 ? "no scale"
                    : first   ? bf_fail_scale(first)
                              : "every scale",
                    expected ? "every scale" : "no scale");
        bf_fail_require(r, expected ? first == 0 : first < 0, "q/k norm with 1+w = %g: NaN from %s", 1 + w,
                        bf_fail_scale(first));
    }
    bf_lab_close(&n), bf_lab_close(&a);
    return rc || rc2 ? -1 : 0;
}

/* Scores -65,521, -65,520.5, -65,519.5: the first two become -inf, the third -65,504, and all weight goes to it. */
static int below(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    static const double t[] = {-65521, -65520.5, -65519.5}, v[] = {1, 2, 4};
    bf_job_run j;
    double right = 0, sum = 0;
    int rc = bf_lab_open(&j, err, "attention queries=1 keys=3 d=%d scale=1 kv=f32", D);
    for (int64_t i = 0; !rc && i < D; i++) bf_lab_put(&j.t[ATTENTION_Q], i, i ? 0 : 256);
    for (int64_t i = 0; !rc && i < 3 * D; i++) {
        bf_lab_put(&j.t[ATTENTION_K], i, i % D ? 0 : t[i / D] / 256);
        bf_lab_put(&j.t[ATTENTION_V], i, v[i / D]);
    }
    for (int i = 0; i < 3; i++) sum += exp(t[i] - t[2]), right += v[i] * exp(t[i] - t[2]);
    if (!rc) rc = bf_lab_run(lab, &j, "attention", e->broken.kernel, err);
    if (!rc) {
        double got = bf_lab_get(&j.t[ATTENTION_O], 0);
        bf_fail_row(r, 3, "scores beyond -65,520: o", bf_fail_text("%.4g", got), "4");
        bf_fail_row(r, 3, "the same, in exact arithmetic", bf_fail_text("%.4g", right / sum), "");
        bf_fail_require(r, got == 4, "scores beyond -65,520 give %g, predicted 4", got);
        snprintf(r->seen, sizeof r->seen,
                 "a score of +inf makes NaN of its row (inf - inf) and of no other; -inf drops its key: finite and "
                 "wrong, %g for %.4g; with q/k norm it needs (1+w_q)(1+w_k) >= 65,520/256",
                 got, right / sum);
    }
    bf_lab_close(&j);
    return rc;
}

static int run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    r->sides = 2;
    snprintf(
        r->input, sizeof r->input,
        "attention queries=%d keys=%d d=%d, row e of q = Gaussian times 2^e, e = -24 to 20, 1/sqrt(d) folded into q",
        BF_SWEEP, KEYS, D);
    bf_fail_row(r, 3, "#scores", "NaN from", "predicted");
    return large_logits(lab, e, r, err) || normed(lab, e, 0, r, err) || normed(lab, e, 14, r, err) ||
                   normed(lab, e, 15, r, err) || below(lab, e, r, err)
               ? -1
               : 0;
}

const bf_fail_entry bf_fail_a4 = {
    "A4",
    "attention-fp16-scores",
    BF_FAIL_NUMERIC,
    "Attention scores of 65,520 and more are +inf in fp16, and inf - inf in the softmax is NaN.",
    "home-lab P40 logs: Gemma-like heads of dimension 256",
    "scores and sums in fp32 (attention, any type of q, k and v)",
    {"attention_twin_scores-fp16", BF_F16, 0},
    {NULL, BF_F32, 0},
    run,
};
