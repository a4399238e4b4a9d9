/* spread.c: A5: one value that fp16 cannot hold enters a chain of blocks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "../../kernels/common/linear.h"
#include "../../kernels/common/norm.h"
#include "../../reference/number.h"
#include "failures.h"

enum {
    TOKENS = 8,
    HEADS = 2,
    D = 64,
    K = HEADS * D,
    BLOCKS = 2,
    TOKEN = 3,
    CHANNEL = 17,
    OUTLIER = 70000,
    COUNT = TOKENS * K
};

typedef struct stream {
    const bf_lab *lab;
    float x[COUNT], s[COUNT], y[COUNT], q[COUNT], k[COUNT], v[COUNT]; /* [token][channel] */
    bf_fail_result *r;
    bf_fail_side *side;
    int causal, show, bad_tokens;
    char first[64]; /* the first op with a value that is not finite */
    bf_error *err;
} stream;

static int finite_row(const float *row) {
    for (int i = 0; i < K; i++)
        if (!isfinite(row[i])) return 0;
    return 1;
}

/* What an op left behind. */
static void trace(stream *t, int block, const char *op, const float *values) {
    int bad = 0, first = -1;
    long nan = 0, inf = 0;
    for (int i = 0; i < COUNT; i++) nan += isnan(values[i]) != 0, inf += isinf(values[i]) != 0;
    for (int i = 0; i < TOKENS; i++) {
        if (finite_row(values + i * K)) continue;
        if (first < 0) first = i;
        bad++;
    }
    if (bad && !t->first[0]) {
        int at = 0;
        while (isfinite(values[at])) at++;
        bf_tensor all = {.name = op,
                         .role = BF_OUTPUT,
                         .type = BF_F32,
                         .rank = 1,
                         .dim = {COUNT},
                         .data = (void *)(uintptr_t)values};
        bf_lab_first(t->side, &all, at, !strcmp(op, "input") ? OUTLIER : NAN);
        snprintf(t->first, sizeof t->first, "block %d, %s[%d][%d] = %g", block, op, at / K, at % K,
                 (double)values[at]);
    }
    t->bad_tokens = bad;
    if (t->show)
        bf_fail_row(t->r, 5, bf_fail_text("%d %s", block, op), bf_fail_text("%ld", inf), bf_fail_text("%ld", nan),
                    bf_fail_text("%d of %d", bad, TOKENS), first < 0 ? "-" : bf_fail_text("%d", first));
}

static int linear(stream *t, int seed, const float *x, float *y) {
    bf_job_run j;
    int rc = bf_lab_open(&j, t->err, "linear m=%d k=%d n=%d w=bf16 wscale=2^-4 seed=%d", K, K, TOKENS, seed);
    if (!rc) memcpy(j.t[LINEAR_X].data, x, sizeof t->x), rc = bf_lab_run(t->lab, &j, "linear", NULL, t->err);
    if (!rc) memcpy(y, j.t[LINEAR_Y].data, sizeof t->y);
    bf_lab_close(&j);
    return rc;
}

/* s = x + s, y = rms norm of s. */
static int norm(stream *t) {
    bf_job_run j;
    int rc = bf_lab_open(&j, t->err, "norm m=%d k=%d r=f32 w=bf16", TOKENS, K);
    if (!rc) {
        memcpy(j.t[NORM_X].data, t->x, sizeof t->x), memcpy(j.t[NORM_R].data, t->s, sizeof t->s);
        rc = bf_lab_run(t->lab, &j, "norm", NULL, t->err);
    }
    if (!rc) memcpy(t->y, j.t[NORM_Y].data, sizeof t->y), memcpy(t->s, j.t[NORM_S].data, sizeof t->s);
    bf_lab_close(&j);
    return rc;
}

/* [token][head][d] and [head][token][d]. */
static void heads(const float *from, float *to, int forth) {
    for (int token = 0; token < TOKENS; token++)
        for (int h = 0; h < HEADS; h++) {
            const size_t a = (size_t)(token * HEADS + h) * D, b = (size_t)(h * TOKENS + token) * D;
            memcpy(to + (forth ? b : a), from + (forth ? a : b), D * sizeof(float));
        }
}

static int attention(stream *t) {
    bf_job_run j;
    int rc = bf_lab_open(&j, t->err, "attention heads=%d kv_heads=%d queries=%d keys=%d d=%d causal=%d kv=f32", HEADS,
                         HEADS, TOKENS, TOKENS, D, t->causal);
    if (!rc) {
        heads(t->q, j.t[ATTENTION_Q].data, 1), heads(t->k, j.t[ATTENTION_K].data, 1),
            heads(t->v, j.t[ATTENTION_V].data, 1);
        rc = bf_lab_run(t->lab, &j, "attention", NULL, t->err);
    }
    if (!rc) heads(j.t[ATTENTION_O].data, t->y, 0);
    bf_lab_close(&j);
    return rc;
}

static int chain(stream *t, bf_dtype storage) {
    bf_job_run j;
    int rc = bf_lab_open(&j, t->err, "norm m=%d k=%d", TOKENS, K); /* its fill is the input */
    t->first[0] = 0;
    for (int i = 0; !rc && i < COUNT; i++) {
        double v = i == TOKEN * K + CHANNEL ? OUTLIER : bf_lab_get(&j.t[NORM_X], i);
        t->x[i] = (float)bf_ref_decode(storage, bf_ref_encode(storage, v)), t->s[i] = 0;
    }
    bf_lab_close(&j);
    if (!rc) trace(t, 0, "input", t->x);
    for (int b = 0; b < BLOCKS && !rc; b++) {
        rc = norm(t);
        if (!rc)
            trace(t, b, "norm", t->y), rc = linear(t, 4 * b + 1, t->y, t->q) || linear(t, 4 * b + 2, t->y, t->k) ||
                                            linear(t, 4 * b + 3, t->y, t->v);
        if (!rc) trace(t, b, "v", t->v), rc = attention(t);
        if (!rc) trace(t, b, "attention", t->y), rc = linear(t, 4 * b + 4, t->y, t->x);
        if (!rc) trace(t, b, "o", t->x);
    }
    if (rc) return -1;
    bf_tensor last = {.name = "o",
                      .role = BF_OUTPUT,
                      .type = BF_F32,
                      .rank = 1,
                      .dim = {COUNT},
                      .bytes = sizeof t->x,
                      .data = t->x};
    bf_lab_census(t->side, &last, 0, COUNT, NULL);
    snprintf(t->side->what, sizeof t->side->what, "%d blocks, %sinput stored in %s", BLOCKS,
             t->causal ? "causal, " : "", bf_dtype_name(storage));
    return 0;
}

static int run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    stream *t = calloc(1, sizeof *t);
    int rc = t ? 0 : bf_fail(err, "out of memory");
    bf_fail_side ignored = {.nan = 0};
    char first[64] = "";
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "%d tokens of %d channels, Gaussian but for 70,000 at token %d, channel %d; blocks of norm, q k v, "
             "attention, o, residual in fp32",
             TOKENS, K, TOKEN, CHANNEL);
    if (!rc) {
        *t = (stream){.lab = lab, .r = r, .side = &r->broken, .causal = 1, .show = 1, .err = err};
        bf_fail_row(r, 5, "#block, op", "inf", "NaN", "tokens", "first");
        rc = chain(t, e->broken.type);
        snprintf(first, sizeof first, "%s", t->first);
        bf_fail_require(r, rc || !strncmp(t->first, "block 0, input[3][17]", 21), "first: %s",
                        t->first[0] ? t->first : "none");
        bf_fail_require(r, rc || t->bad_tokens == TOKENS - TOKEN, "causal: %d tokens are lost, predicted %d",
                        t->bad_tokens, TOKENS - TOKEN);
    }
    if (!rc) {
        *t = (stream){.lab = lab, .r = r, .side = &ignored, .err = err};
        rc = chain(t, e->broken.type);
        bf_fail_require(r, rc || t->bad_tokens == TOKENS,
                        "without a causal mask: %d tokens are lost, predicted all %d", t->bad_tokens, TOKENS);
    }
    if (!rc) {
        *t = (stream){.lab = lab, .r = r, .side = &r->sound, .causal = 1, .err = err};
        rc = chain(t, e->sound.type);
        bf_fail_require(r, rc || !t->first[0], "the sound chain: %s", t->first);
        snprintf(r->seen, sizeof r->seen,
                 "first at %s; norm loses the token, attention every later token (without a causal mask all %d)",
                 first, TOKENS);
    }
    free(t);
    return rc;
}

const bf_fail_entry bf_fail_a5 = {
    "A5",
    "nan-propagation",
    BF_FAIL_NUMERIC,
    "One infinity in one token: norm makes the token NaN, attention takes it to every token that looks at it.",
    "home-lab P40 logs: NaN in every output, one bad value at the start",
    "find the first op (blackframe trace), widen that one",
    {NULL, BF_F16, 0},
    {NULL, BF_F32, 0},
    run,
};
