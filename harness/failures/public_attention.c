/* public_attention.c: failures of attention that others met in public. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "failures.h"

static void all(const bf_tensor *t, double value) {
    for (int64_t i = 0; i < t->dim[0] * t->dim[1]; i++) bf_lab_put(t, i, value);
}
static int nans(const bf_tensor *t, int64_t begin, int64_t end) {
    int n = 0;
    for (int64_t i = begin; i < end; i++) n += isnan(bf_lab_get(t, i)) != 0;
    return n;
}

/* ---- B4: rows without a key ---- */

static int b4(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { QUERIES = 9, KEYS = 33, D = 64 };
    bf_job_run j;
    int masked = 0, lowest = 0, stray = 0, averaged = 0;
    snprintf(r->input, sizeof r->input,
             "attention queries=%d keys=%d mask=f32: of three rows one is all -inf, one all -3.4028e38", QUERIES,
             KEYS);
    int rc = bf_lab_open(&j, err, "attention queries=%d keys=%d mask=f32 pattern=rows expect=zeros", QUERIES, KEYS);
    if (!rc) rc = bf_lab_pair(lab, &j, e, ATTENTION_O, r, err);
    for (int64_t i = 0; !rc && i < QUERIES; i++) {
        int n = nans(&j.t[ATTENTION_O], i * D, (i + 1) * D);
        masked += i % 3 == 1 && n == D, lowest += i % 3 == 2 && !n, stray += i % 3 == 0 && n;
        averaged += i % 3 == 2 && bf_lab_get(&j.t[ATTENTION_O], i * D) != 0;
    }
    if (!rc) {
        bf_fail_require(r, masked == 3 && !stray, "%d of 3 rows of -inf are NaN, %d others", masked, stray);
        bf_fail_require(r, lowest == 3 && averaged == 3, "%d of 3 rows of -FLT_MAX are the mean of masked values",
                        averaged);
        snprintf(r->seen, sizeof r->seen,
                 "rows of -inf are NaN, rows of -FLT_MAX the mean of values that are all masked; sound: exactly 0, "
                 "log-sum-exp -inf");
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b4 = {
    "B4",
    "fully-masked-row",
    BF_FAIL_NUMERIC,
    "A row in which every key is masked: the maximum is -inf and -inf - -inf is NaN.",
    "pytorch#103963, #109517",
    "zero for a row without a key (attention's policy)",
    {"attention_twin_no-guard", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b4,
};

/* ---- B5: NaN behind a mask ---- */

static int b5(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { QUERIES = 4, KEYS = 40, D = 64, MASKED = 2 /* of five keys, which is masked */ };
    bf_job_run j;
    snprintf(r->input, sizeof r->input,
             "attention queries=%d keys=%d mask=f16; one key in five masked by -inf, its k and v all NaN", QUERIES,
             KEYS);
    int rc = bf_lab_open(&j, err, "attention queries=%d keys=%d mask=f16", QUERIES, KEYS);
    for (int64_t k = 0; !rc && k < KEYS; k++) {
        for (int64_t i = 0; i < QUERIES; i++)
            bf_lab_put(&j.t[ATTENTION_MASK], i * KEYS + k, k % 5 == MASKED ? -INFINITY : 0);
        for (int64_t d = 0; k % 5 == MASKED && d < D; d++)
            bf_lab_put(&j.t[ATTENTION_K], k * D + d, NAN), bf_lab_put(&j.t[ATTENTION_V], k * D + d, NAN);
    }
    if (!rc) rc = bf_lab_pair(lab, &j, e, ATTENTION_O, r, err);
    if (!rc) {
        bf_fail_require(r, r->broken.nan == r->broken.values, "%lld of %lld outputs are NaN",
                        (long long)r->broken.nan, (long long)r->broken.values);
        bf_fail_require(r, !r->sound.nan && !r->sound.inf, "the sound kernel leaks");
        snprintf(r->seen, sizeof r->seen, "the weight of a masked key is 0, and 0 * NaN is NaN: %lld of %lld outputs",
                 (long long)r->broken.nan, (long long)r->broken.values);
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b5 = {
    "B5",
    "nan-behind-a-mask",
    BF_FAIL_NUMERIC,
    "NaN in masked keys or values leaks through 0 * NaN.",
    "pytorch#101967",
    "skip masked keys, do not multiply them by zero (attention's policy)",
    {"attention_twin_mask-leak", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b5,
};

/* ---- B6: long contexts ---- */

/* A cache of 24,576 keys whose length the launch takes to be `number` keys more (rounded up to a tile, say, without a mask). What lies behind
 * is NaN and ours, so that reading it is seen and harms nothing. */
static int past_the_end(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { KEYS = 24576 };
    bf_job_run j;
    bf_fail_side side = {.has_first = 0};
    int rc = bf_lab_open(&j, err, "attention queries=1 keys=%d kv=f16", KEYS);
    j.slack = 65536;
    if (!rc) all(&j.t[ATTENTION_Q], 0), all(&j.t[ATTENTION_V], 1), rc = bf_lab_run(lab, &j, "attention", e->sound.kernel, err);
    double sound = rc ? NAN : bf_lab_get(&j.t[ATTENTION_O], 0);
    j.p.dim[ATTENTION_KEYS] = KEYS + e->broken.number;
    if (!rc) rc = bf_lab_run(lab, &j, "attention", e->sound.kernel, err);
    if (!rc) {
        bf_lab_census(&side, &j.t[ATTENTION_O], 0, (int64_t)(j.t[ATTENTION_O].bytes / bf_dtype_bytes(j.t[ATTENTION_O].type, 1)), NULL);
        bf_fail_row(r, 4, bf_fail_text("%d, launched with %d", KEYS, KEYS + e->broken.number), side.nan ? "NaN" : "finite", "NaN", bf_fail_text("%.4g", sound));
        bf_fail_require(r, side.nan == side.values, "reading %d keys past the end: %lld of %lld outputs are NaN", e->broken.number, (long long)side.nan,
                        (long long)side.values);
        bf_fail_require(r, fabs(sound - 1) < 1e-4, "%d keys and no more: %g", KEYS, sound);
    }
    bf_lab_close(&j);
    return rc;
}

static int b6(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    static const int keys[] = {1024, 2048, 4096, 32768, 100000};
    int rc = 0;
    snprintf(r->input, sizeof r->input,
             "attention queries=1, all scores equal, all values 1: every output is 1 at any length");
    bf_fail_row(r, 4, "#keys", "o, fp16 sum", "predicted", "o, fp32 sum");
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !rc; i++) {
        bf_job_run j;
        memset(&r->broken, 0, sizeof r->broken), memset(&r->sound, 0, sizeof r->sound);
        rc = bf_lab_open(&j, err, "attention queries=1 keys=%d kv=f16", keys[i]);
        if (!rc)
            all(&j.t[ATTENTION_Q], 0), all(&j.t[ATTENTION_V], 1), rc = bf_lab_pair(lab, &j, e, ATTENTION_O, r, err);
        if (!rc) {
            double got = bf_lab_get(&j.t[ATTENTION_O], 0), want = keys[i] <= 2048 ? 1 : 2048.0 / keys[i];
            bf_fail_row(r, 4, bf_fail_text("%d", keys[i]), bf_fail_text("%.4f", got), bf_fail_text("%.4f", want),
                        "1");
            bf_fail_require(r, fabs(got - want) < 0.001 * want, "%d keys: %g, predicted %g", keys[i], got, want);
            if (r->broken.wrong && !r->broken.has_first) bf_lab_first(&r->broken, &j.t[ATTENTION_O], 0, 1);
            snprintf(r->seen, sizeof r->seen,
                     "an fp16 sum of ones stops at 2,048: finite, without NaN, and %.0f times too small at %d keys",
                     1 / got, keys[i]);
        }
        bf_lab_close(&j);
    }
    return rc ? rc : past_the_end(lab, e, r, err);
}
const bf_fail_entry bf_fail_b6 = {
    "B6",
    "long-context",
    BF_FAIL_NUMERIC,
    "Attention accumulates P.V in fp16: with a long context each share is below half a unit of the sum and is lost. Or it reads past the end of "
    "the cache.",
    "llama.cpp#13991 (near 100K), #22032 (past the end, beyond 24K)",
    "sums in fp32 (attention)",
    {"attention_twin_v-acc-fp16", BF_NONE, 16},
    {NULL, BF_NONE, 0},
    b6,
};

/* ---- B7: overflow of the same sum ---- */

static int b7(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { KEYS = 256, VALUE = 1000 };
    bf_job_run j;
    snprintf(r->input, sizeof r->input,
             "attention queries=4 keys=%d, all scores equal, all values %d: the sum is %d before it is divided", KEYS,
             VALUE, KEYS * VALUE);
    int rc = bf_lab_open(&j, err, "attention queries=4 keys=%d kv=f16", KEYS);
    if (!rc)
        all(&j.t[ATTENTION_Q], 0), all(&j.t[ATTENTION_V], VALUE), rc = bf_lab_pair(lab, &j, e, ATTENTION_O, r, err);
    if (!rc) {
        bf_fail_require(r, r->broken.inf == r->broken.values, "%lld of %lld outputs are inf",
                        (long long)r->broken.inf, (long long)r->broken.values);
        bf_fail_require(r, !r->sound.inf && !r->sound.nan, "the sound kernel is not finite");
        snprintf(r->seen, sizeof r->seen, "every output is inf where %d is right; from 66 keys of %d on", VALUE,
                 VALUE);
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b7 = {
    "B7",
    "fp16-v-accumulator",
    BF_FAIL_NUMERIC,
    "P.V is accumulated in fp16 before it is divided by the sum of the weights, and overflows.",
    "llama.cpp#17746",
    "sums in fp32 (attention)",
    {"attention_twin_v-acc-fp16", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b7,
};

/* ---- B15: one output of several ---- */

static int b15(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    bf_job_run j;
    snprintf(r->input, sizeof r->input, "attention queries=4 keys=40: o and the log-sum-exp, both judged");
    int rc = bf_lab_open(&j, err, "attention queries=4 keys=40");
    if (!rc) rc = bf_lab_pair(lab, &j, e, ATTENTION_LSE, r, err);
    if (!rc) {
        int64_t o = bf_lab_wrong(&j, ATTENTION_O) + nans(&j.t[ATTENTION_O], 0, j.ref[ATTENTION_O].count),
                lse = r->broken.wrong + r->broken.nan;
        bf_lab_judge(&j, &r->broken);
        bf_fail_require(r, !o && lse == r->broken.values, "%lld of o and %lld of the log-sum-exp are wrong",
                        (long long)o, (long long)lse);
        bf_fail_require(r, !strncmp(r->broken.judged, "FAIL", 4), "judged %s", r->broken.judged);
        snprintf(r->seen, sizeof r->seen,
                 "all %lld of o are right, all %lld of the log-sum-exp wrong, and the check fails",
                 (long long)j.ref[ATTENTION_O].count, (long long)lse);
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b15 = {
    "B15",
    "one-output-of-several",
    BF_FAIL_NUMERIC,
    "The log-sum-exp is wrong while the main output is clean: a check of the main output alone passes.",
    "aotriton#183 (there on hardware, in half of the runs)",
    "every output is judged, and every run repeated bit for bit (check)",
    {"attention_twin_lse-wrong", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b15,
};

/* ---- B20: the maximum is not subtracted ---- */

static int b20(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { QUERIES = 24, D = 64, LEAST = 80 };
    bf_job_run j;
    int first = -1;
    snprintf(r->input, sizeof r->input, "attention queries=%d keys=3 scale=1, row i has three scores of %d + i",
             QUERIES, LEAST);
    int rc = bf_lab_open(&j, err, "attention queries=%d keys=3 scale=1 kv=f32", QUERIES);
    if (!rc) {
        all(&j.t[ATTENTION_Q], 0), all(&j.t[ATTENTION_K], 1);
        for (int64_t i = 0; i < QUERIES; i++) bf_lab_put(&j.t[ATTENTION_Q], i * D, LEAST + (double)i);
        rc = bf_lab_pair(lab, &j, e, ATTENTION_O, r, err);
    }
    for (int i = 0; !rc && i < QUERIES && first < 0; i++)
        if (nans(&j.t[ATTENTION_O], i * D, (i + 1) * D)) first = i + LEAST;
    if (!rc) {
        /* The exponential overflows from ln(FLT_MAX) = 88.72 on, a sum of three from 87.6 on. */
        bf_fail_require(r, first >= 88 && first <= 89, "NaN from a score of %d", first);
        bf_fail_require(r, !r->sound.inf && !r->sound.nan, "the sound kernel is not finite");
        snprintf(r->seen, sizeof r->seen,
                 "exp(score) is inf and inf / inf NaN from a score of %d on (ln of the largest fp32 is 88.7; of the "
                 "largest fp16 11.1)",
                 first);
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b20 = {
    "B20",
    "max-not-subtracted",
    BF_FAIL_NUMERIC,
    "A softmax that does not subtract the maximum overflows beyond 88.7 in fp32, 11.1 in fp16.",
    "classic",
    "subtract the row's maximum first (attention)",
    {"attention_twin_no-max", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b20,
};
