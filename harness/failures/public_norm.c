/* public_norm.c: failures of normalisation and of residual streams that others met in public. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "../../kernels/common/fail.h"
#include "../../kernels/common/linear.h"
#include "../../kernels/common/norm.h"
#include "failures.h"

/* ---- B8: fp32 sums of squares ---- */

static int b8(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { K = 256, ROWS = 19, FIRST = -90, STEP = 10 };
    bf_job_run j;
    int high = -1, low = -1, want_high = -1, want_low = -1;
    snprintf(r->input, sizeof r->input, "rms norm k=%d eps=0 of bf16 values +-2^p, p = %d to %d: every output is +-1",
             K, FIRST, FIRST + STEP * (ROWS - 1));
    int rc = bf_lab_open(&j, err, "norm m=%d k=%d x=bf16 w=none eps=0", ROWS, K);
    for (int64_t i = 0; !rc && i < ROWS * K; i++)
        bf_lab_put(&j.t[NORM_X], i, ldexp(i % 3 ? 1 : -1, FIRST + STEP * (int)(i / K)));
    if (!rc) rc = bf_lab_pair(lab, &j, e, NORM_Y, r, err);
    for (int i = 0; !rc && i < ROWS; i++) {
        int p = FIRST + STEP * i;
        double y = bf_lab_get(&j.t[NORM_Y], (int64_t)i * K);
        if (y == 0 && high < 0) high = p;
        if (!isfinite(y)) low = p;
        if (2 * p + 8 >= 128 && want_high < 0) want_high = p;
        if (2 * p < -149) want_low = p;
    }
    if (!rc) {
        bf_fail_require(r, high == want_high && low == want_low && high > 0 && low < 0,
                        "0 from 2^%d, inf up to 2^%d; predicted 2^%d and 2^%d", high, low, want_high, want_low);
        snprintf(r->seen, sizeof r->seen,
                 "0 from 2^%d on (K x^2 passes 3.4e38), inf up to 2^%d (x^2 below the least fp32), as predicted; the "
                 "sound kernel is scale-invariant",
                 high, low);
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b8 = {
    "B8",
    "norm-fp32-overflow",
    BF_FAIL_NUMERIC,
    "Beyond 1.84e19 even an fp32 sum of squares overflows; bf16 holds such values.",
    "tt-metal#55159",
    "scale a row by a power of two first (norm)",
    {"norm_twin_plain-fp32", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b8,
};

/* ---- B9, B10: residual adds in fp16 ---- */

static int residual(const bf_lab *lab, const bf_fail_entry *e, const float *x, double r0, int at, bf_fail_result *r,
                    bf_error *err) {
    enum { K = 256 };
    bf_job_run j;
    int rc = bf_lab_open(&j, err, "norm m=2 k=%d r=f32 w=none", K);
    for (int i = 0; !rc && i < K; i++)
        bf_lab_put(&j.t[NORM_X], i, x[i]), bf_lab_put(&j.t[NORM_R], i, i == at ? r0 : 1);
    if (!rc) rc = bf_lab_pair(lab, &j, e, NORM_S, r, err);
    if (!rc) {
        double got = bf_lab_get(&j.t[NORM_S], at), want = j.ref[NORM_S].ref[at];
        int nan = 0;
        for (int i = 0; i < K; i++) nan += isnan(bf_lab_get(&j.t[NORM_Y], i)) != 0;
        bf_fail_require(r, isinf(got) && nan == K, "the sum is %g, %d of %d values behind it NaN", got, nan, K);
        bf_fail_require(r, want >= 65520 && !r->sound.inf && !r->sound.nan, "the sound sum is %g", want);
        snprintf(r->seen, sizeof r->seen,
                 "%.6g + %.6g = %.6g is inf in fp16; the next norm makes NaN of all %d values of the token",
                 (double)x[at], r0, want, K);
    }
    bf_lab_close(&j);
    return rc;
}

static int b9(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { K = 256, AT = 7, W = 5000 };
    bf_job_run n;
    float y[K];
    snprintf(r->input, sizeof r->input,
             "rms norm with factor 1 + w, w = %d in channel %d; its output added to a residual of 60,000 there", W,
             AT);
    int rc = bf_lab_open(&n, err, "norm m=2 k=%d plus_one=1 w=bf16", K);
    for (int i = 0; !rc && i < K; i++) bf_lab_put(&n.t[NORM_W], i, i == AT ? W : 0);
    if (!rc) bf_lab_put(&n.t[NORM_X], AT, 8), rc = bf_lab_run(lab, &n, "norm", NULL, err);
    for (int i = 0; !rc && i < K; i++) y[i] = (float)bf_lab_get(&n.t[NORM_Y], i);
    if (!rc) rc = residual(lab, e, y, 60000, AT, r, err);
    bf_lab_close(&n);
    return rc;
}
const bf_fail_entry bf_fail_b9 = {
    "B9",
    "one-plus-w-residual",
    BF_FAIL_NUMERIC,
    "Norm weights as 1 + w with a large w make outliers that overflow the fp16 residual they are added to.",
    "transformers#36822 (Gemma)",
    "residual stream in fp32 (norm with r=f32)",
    {"norm_twin_residual-fp16", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b9,
};

static int b10(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    float x[256];
    for (int i = 0; i < 256; i++) x[i] = i == 11 ? 58820 : 0.5f;
    snprintf(r->input, sizeof r->input, "residual add and rms norm k=256; in one channel 58,820 + 33,760");
    return residual(lab, e, x, 33760, 11, r, err);
}
const bf_fail_entry bf_fail_b10 = {
    "B10",
    "fp16-residual-add",
    BF_FAIL_NUMERIC,
    "Two values that fp16 holds have a sum that it does not: 58,820 + 33,760 = 92,580.",
    "ROCm/hip-ep#168",
    "residual stream in fp32 (norm with r=f32)",
    {"norm_twin_residual-fp16", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b10,
};

/* ---- B11: an infinite activation meets a norm ---- */

static int b11(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { K = 256 };
    bf_job_run ff, n;
    const bf_fail_way *way[2] = {&e->broken, &e->sound};
    bf_fail_side *side[2] = {&r->broken, &r->sound};
    int rc = 0;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "linear m=%d k=1, one result of 80,000, then rms norm; results stored in fp16 (broken) or fp32", K);
    for (int w = 0; w < 2 && !rc; w++) {
        rc = bf_lab_open(&ff, err, "linear m=%d k=1 w=f32 y=%s", K, bf_dtype_name(way[w]->type));
        for (int i = 0; !rc && i < K; i++) bf_lab_put(&ff.t[LINEAR_W], i, i == 5 ? 80000 : 1 + i % 7);
        if (!rc) bf_lab_put(&ff.t[LINEAR_X], 0, 1), rc = bf_lab_run(lab, &ff, "linear", NULL, err);
        int rc2 = bf_lab_open(&n, err, "norm m=1 k=%d w=none x=f32", K);
        for (int i = 0; !rc && !rc2 && i < K; i++) bf_lab_put(&n.t[NORM_X], i, bf_lab_get(&ff.t[LINEAR_Y], i));
        if (!rc && !rc2) rc = bf_lab_run(lab, &n, "norm", way[w]->kernel, err);
        if (!rc && !rc2)
            bf_lab_census(side[w], &n.t[NORM_Y], 0, K, NULL),
                bf_lab_name(side[w], &n, ", input stored in %s", bf_dtype_name(way[w]->type));
        rc |= rc2;
        bf_lab_close(&ff), bf_lab_close(&n);
    }
    bf_fail_require(r, rc || (r->broken.nan == 1 && r->broken.zero == K - 1), "%lld NaN and %lld zero of %d",
                    (long long)r->broken.nan, (long long)r->broken.zero, K);
    bf_fail_require(r, rc || (!r->sound.nan && !r->sound.zero), "the sound way: %lld NaN, %lld zero",
                    (long long)r->sound.nan, (long long)r->sound.zero);
    snprintf(r->seen, sizeof r->seen,
             "rsqrt(inf) = 0: the outlier is inf * 0 = NaN and every other value 0 (a NaN in place of all would have "
             "been seen at once)");
    return rc;
}
const bf_fail_entry bf_fail_b11 = {
    "B11",
    "rsqrt-of-inf",
    BF_FAIL_NUMERIC,
    "A feed-forward output above 65,504 is inf in fp16; the norm behind it gives inf * 0 = NaN and zeros: an "
    "all-black video.",
    "openvino#37039 (T5)",
    "fp32 between feed-forward and norm; norm's policy: a row with an infinity is NaN from end to end",
    {"norm_twin_plain-fp32", BF_F16, 0},
    {NULL, BF_F32, 0},
    b11,
};

/* ---- B12: the product of gate and up ---- */

static int b12(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { K = 256, M = 32 };
    const bf_fail_way *way[2] = {&e->broken, &e->sound};
    bf_fail_side *side[2] = {&r->broken, &r->sound};
    long inf[2] = {0, 0};
    int rc = 0;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "silu(gate) * up of %d values, 300 * +-300 in eight of them, then linear m=%d k=%d; the product stored "
             "in fp16 (broken) or fp32",
             K, M, K);
    for (int w = 0; w < 2 && !rc; w++) {
        bf_job_run g = {.p = {.dim = {[FAIL_N] = K}}}, d;
        rc = bf_lab_tensor(&g, FAIL_SWIGLU_GATE, "gate", BF_INPUT, BF_F32, K, err) ||
             bf_lab_tensor(&g, FAIL_SWIGLU_UP, "up", BF_INPUT, BF_F32, K, err) ||
             bf_lab_tensor(&g, FAIL_SWIGLU_Y, "y", BF_OUTPUT, way[w]->type, K, err);
        for (int i = 0; !rc && i < K; i++)
            bf_lab_put(&g.t[FAIL_SWIGLU_GATE], i, i % 32 ? 1 : 300), bf_lab_put(&g.t[FAIL_SWIGLU_UP], i,
                                                                                i % 32   ? 0.5
                                                                                : i % 64 ? 300
                                                                                         : -300);
        if (!rc) rc = bf_lab_run(lab, &g, "fail_swiglu", NULL, err);
        int rc2 = bf_lab_open(&d, err, "linear m=%d k=%d w=bf16 x=f32 y=f32", M, K);
        for (int i = 0; !rc && !rc2 && i < K; i++) {
            double v = bf_lab_get(&g.t[FAIL_SWIGLU_Y], i);
            inf[w] += isinf(v) != 0;
            bf_lab_put(&d.t[LINEAR_X], i, v);
        }
        if (!rc && !rc2) rc = bf_lab_run(lab, &d, "linear", NULL, err);
        if (!rc && !rc2)
            bf_lab_census(side[w], &d.t[LINEAR_Y], 0, M, NULL),
                bf_lab_name(side[w], &d, ", product stored in %s", bf_dtype_name(way[w]->type));
        rc |= rc2;
        bf_lab_close(&g), bf_lab_close(&d);
    }
    bf_fail_require(r, rc || (inf[0] == 8 && r->broken.inf + r->broken.nan == M),
                    "%ld infinite products, %lld of %d outputs not finite", inf[0],
                    (long long)(r->broken.inf + r->broken.nan), M);
    bf_fail_require(r, rc || (!inf[1] && !r->sound.nan && !r->sound.inf), "the sound way is not finite");
    snprintf(r->seen, sizeof r->seen,
             "eight products of 90,000 are inf in fp16 and cost the down projection all its %d outputs", M);
    return rc;
}
const bf_fail_entry bf_fail_b12 = {
    "B12",
    "gate-times-up",
    BF_FAIL_NUMERIC,
    "The product of gate and up overflows fp16 where neither factor does; the down projection is infinite.",
    "unsloth-zoo#600",
    "store the product in fp32 or bf16",
    {NULL, BF_F16, 0},
    {NULL, BF_F32, 0},
    b12,
};

/* ---- B19: cancellation ---- */

static int b19(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { K = 1024, ROWS = 21 };
    bf_job_run j;
    int bad = -1, lost = -1;
    snprintf(r->input, sizeof r->input,
             "layer norm k=%d, row e = 2^e +- 1, e = 0 to %d: mean 2^e, deviation 1, every output +-1", K, ROWS - 1);
    int rc = bf_lab_open(&j, err, "norm kind=layer m=%d k=%d w=none", ROWS, K);
    for (int64_t i = 0; !rc && i < ROWS * K; i++)
        bf_lab_put(&j.t[NORM_X], i, ldexp(1, (int)(i / K)) + (i % 2 ? -1 : 1));
    if (!rc) rc = bf_lab_pair(lab, &j, e, NORM_Y, r, err);
    for (int row = 0; !rc && row < ROWS; row++) {
        double y = bf_lab_get(&j.t[NORM_Y], (int64_t)row * K);
        if (!(fabs(y - 1) < 0.01) && bad < 0) bad = row;
        if (!(fabs(y) < 10) && lost < 0) lost = row;
    }
    if (!rc) {
        /* E[x^2] is near 2^2e and known to a few units of 2^(2e - 24); the variance of 1 has gone under at e = 12. */
        bf_fail_require(r, bad >= 6 && bad <= 13, "more than 1 %% wrong from 2^%d", bad);
        bf_fail_require(r, lost >= bad && lost <= 14, "the variance is lost from 2^%d", lost);
        snprintf(r->seen, sizeof r->seen,
                 "more than 1 %% wrong from a mean of 2^%d deviations on, nothing left from 2^%d (predicted: by "
                 "2^12): %lld NaN, %lld finite and wrong",
                 bad, lost, (long long)r->broken.nan, (long long)r->broken.wrong);
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b19 = {
    "B19",
    "layer-norm-cancellation",
    BF_FAIL_NUMERIC,
    "Variance as E[x^2] - E[x]^2 loses all digits, or becomes negative, where the mean is large beside the "
    "deviation.",
    "a shipped CUDA kernel (ggml's norm)",
    "subtract the mean before squaring (norm)",
    {"norm_twin_cancel", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b19,
};
