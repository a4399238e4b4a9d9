/* label.c: A1 and A1b: 16-bit weights whose label was changed and whose bits were not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/convert.h"
#include "../../kernels/common/linear.h"
#include "../../reference/number.h"
#include "failures.h"

enum { PATTERNS = 65536, LAYERS = 8, WIDTH = 256, TOKENS = 4 };

/* What became of the patterns that are finite numbers under their true label. */
typedef struct census {
    long finite, equal, wrong, inf, nan, strange; /* strange: not what the false label says either */
    double least, most;                           /* |read / true| of the wrong ones */
} census;

static int tabulate(const bf_lab *lab, bf_dtype truth, bf_dtype label, census *c, bf_error *err) {
    bf_job_run j;
    int rc = bf_lab_open(&j, err, "convert n=%d from=%s to=f32 fill=all16", PATTERNS, bf_dtype_name(truth));
    *c = (census){.least = INFINITY};
    j.p.type[CONVERT_X] = label;
    if (!rc) rc = bf_lab_run(lab, &j, "convert", NULL, err);
    for (uint32_t i = 0; !rc && i < PATTERNS; i++) {
        double want = bf_ref_decode(truth, i), got = bf_lab_get(&j.t[CONVERT_Y], i), as = bf_ref_decode(label, i);
        c->strange += !(got == as || (isnan(got) && isnan(as)));
        if (!isfinite(want)) continue;
        c->finite++;
        if (isnan(got))
            c->nan++;
        else if (isinf(got))
            c->inf++;
        else if (got == want)
            c->equal++;
        else {
            double ratio = fabs(got / want);
            c->wrong++;
            if (want != 0 && got != 0) c->least = fmin(c->least, ratio), c->most = fmax(c->most, ratio);
        }
    }
    bf_lab_close(&j);
    return rc;
}

/* Single values under both labels: what the report shows, computed by the references. */
static void examples(bf_dtype truth, bf_dtype label, bf_fail_result *r) {
    const double value[] = {1, 2, 0.001, 0.02, 0.1, truth == BF_BF16 ? 3e36 : 65504};
    bf_fail_row(r, 4, "#value", "bits", bf_fail_text("read as %s", bf_dtype_name(label)), "times");
    for (size_t i = 0; i < sizeof value / sizeof *value; i++) {
        uint32_t bits = bf_ref_encode(truth, value[i]);
        double as = bf_ref_decode(label, bits);
        bf_fail_row(r, 4, bf_fail_text("%g", value[i]), bf_fail_text("0x%04x", bits), bf_fail_text("%.4g", as),
                    bf_fail_text("%.3g", as / value[i]));
    }
}

static double largest(const bf_tensor *t) {
    double most = 0;
    for (int64_t i = 0; i < t->dim[0] * t->dim[1]; i++) {
        double v = fabs(bf_lab_get(t, i));
        if (v > most || isnan(v)) most = v;
        if (isnan(v)) break;
    }
    return most;
}

/* A chain of linear layers with activations in fp16 and weights of deviation 1/sqrt(width), which keep the size of
 * their input. Both ways see the same weights. */
static int chain(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    bf_job_run j;
    bf_fail_side *side[2] = {&r->broken, &r->sound};
    const bf_fail_way *way[2] = {&e->broken, &e->sound};
    void *carried[2] = {NULL, NULL};
    int rc = 0;
    bf_fail_row(r, 4, "#layer", "largest |y|, broken", "inf, NaN, zero", "largest |y|, sound");
    for (int l = 0; l < LAYERS && !rc; l++) {
        double most[2] = {0, 0};
        bf_fail_side now[2] = {{.nan = 0}, {.nan = 0}};
        rc = bf_lab_open(&j, err, "linear m=%d k=%d n=%d w=%s x=f16 y=f16 wscale=2^-4 seed=%d", WIDTH, WIDTH, TOKENS,
                         bf_dtype_name(e->sound.type), l + 1);
        bf_tensor *x = &j.t[LINEAR_X], *y = &j.t[LINEAR_Y];
        for (int w = 0; w < 2 && !rc; w++) {
            if (carried[w]) memcpy(x->data, carried[w], x->bytes);
            rc = bf_lab_run(lab, &j, "linear", way[w]->kernel, err);
            if (!rc && !carried[w] && !(carried[w] = malloc(y->bytes))) rc = bf_fail(err, "no memory for the activations of layer %d", l + 1);
            if (rc) break;
            memcpy(carried[w], y->data, y->bytes);
            most[w] = largest(y);
            bf_lab_census(&now[w], y, 0, WIDTH * TOKENS, NULL);
            bf_lab_name(&now[w], &j, ", layer %d of %d, y in fp16", l + 1, LAYERS);
            *side[w] = now[w];
        }
        if (!rc && (l < 6 || l == LAYERS - 1))
            bf_fail_row(r, 4, bf_fail_text("%d", l + 1), bf_fail_text("%.4g", most[0]),
                        bf_fail_text("%lld, %lld, %lld", (long long)now[0].inf, (long long)now[0].nan,
                                     (long long)now[0].zero),
                        bf_fail_text("%.4g", most[1]));
        bf_lab_close(&j);
    }
    free(carried[0]), free(carried[1]);
    return rc;
}

static int run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    census c;
    bf_dtype truth = e->sound.type, label = e->broken.type;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "all 65,536 %s patterns read as %s; then %d linear layers %dx%d, %s weights of deviation 1/16, %d "
             "tokens, fp16 activations",
             bf_dtype_name(truth), bf_dtype_name(label), LAYERS, WIDTH, WIDTH, bf_dtype_name(truth), TOKENS);
    if (tabulate(lab, truth, label, &c, err)) return -1;
    examples(truth, label, r);
    if (chain(lab, e, r, err)) return -1;
    snprintf(r->seen, sizeof r->seen,
             "of %ld finite patterns %ld read the same, %ld finite and wrong (%.2g to %.2g times), %ld inf, %ld NaN",
             c.finite, c.equal, c.wrong, c.least, c.most, c.inf, c.nan);
    bf_fail_require(r, !c.strange, "%ld patterns are read as neither type", c.strange);
    bf_fail_require(r, c.wrong > c.finite * 9 / 10, "%ld of %ld patterns are read as what they are", c.equal,
                    c.finite);
    bf_fail_require(r, !r->sound.nan && !r->sound.inf && !r->sound.zero, "the sound chain is not finite");
    /* bf16 as fp16: all weights near 1, the chain overflows and ends in NaN. The reverse: weights vanish. */
    long long gone = truth == BF_BF16 ? r->broken.nan : r->broken.zero;
    bf_fail_require(r, gone == WIDTH * TOKENS, "the chain ends in %lld %s of %d", gone,
                    truth == BF_BF16 ? "NaN" : "zeros", WIDTH * TOKENS);
    return 0;
}

const bf_fail_entry bf_fail_a1 = {
    "A1",
    "bf16-as-fp16",
    BF_FAIL_NUMERIC,
    "The dtype of bf16 weights was redirected to fp16: the label changed, the bits did not, so that ordinary weights "
    "all read as about 1.",
    "home-lab P40 logs: bf16 checkpoints loaded under a bf16-to-fp16 redirect",
    "convert by value (convert, or a kernel that widens bf16: linear w=bf16)",
    {"linear_twin_w-as-fp16", BF_F16, 0},
    {NULL, BF_BF16, 0},
    run,
};
const bf_fail_entry bf_fail_a1b = {
    "A1b",
    "fp16-as-bf16",
    BF_FAIL_NUMERIC,
    "fp16 weights were read as bf16: 1.0 becomes 2^-7 and weights of ordinary size vanish.",
    "the same redirect in the other direction",
    "convert by value (convert, or linear w=f16)",
    {"linear_twin_w-as-bf16", BF_BF16, 0},
    {NULL, BF_F16, 0},
    run,
};
