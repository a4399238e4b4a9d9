/* functions.c: exp and the reciprocal root as shipped: the worst error of attention's and norm's results where nothing else can
 * go wrong, against float64, over a stratified sweep.
 *
 * exp: two keys with scores 0 and t <= 0, values 0 and 1: the result is exp(t) / (1 + exp(t)). Below t = -17 that is exp(t) to
 * half an ulp, above it the errors of exp, one addition and one division together. Where q is fp16, t has 11 bits.
 * rsqrt: a row with a single non-zero value a among 48: a / sqrt(a^2 / 48), for a through two binades: the errors of a square,
 * a division, the root and a product together. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "../../kernels/common/norm.h"
#include "../compare.h"
#include "numerics.h"

enum { SAMPLES = 8192, BINADE = 1024, LENGTH = 48 };

static int variants(const bf_kernel *k) { return !strcmp(k->op, "attention") || !strcmp(k->op, "norm"); }
static const char *label(const bf_kernel *k, int variant) {
    (void)k;
    (void)variant;
    return "";
}

/* |got - want| in units of the last place that an fp32 of `want` has. */
static double in_ulps(double got, double want) {
    int e = ilogb(want) + 1;
    return got == got ? fabs(got - want) / ldexp(1, e - 24 < -149 ? -149 : e - 24) : INFINITY;
}

/* A score in each query, or in each head where a kernel takes one query. */
static int exp_shape(const bf_kernel *k, bf_problem *p) {
    for (int i = 0; i < 4; i++) {
        bf_dtype type = i < 2 ? BF_F32 : BF_F16;
        *p = (bf_problem){.dim = {1, 1, SAMPLES, 2, 64, 0}, .param = {[ATTENTION_SCALE] = 1},
                          .type = {[ATTENTION_Q] = type, [ATTENTION_K] = BF_F16}};
        if (i & 1) p->dim[ATTENTION_HEADS] = SAMPLES, p->dim[ATTENTION_QUERIES] = 1;
        if (!k->accepts || k->accepts(p)) return 1;
    }
    return 0;
}

/* -87 to -1/2: every number of eleven significant bits there; with `fine`, one fp32 anywhere in the gap above each instead (bits of a
 * multiplicative hash; Knuth, The Art of Computer Programming 3, 6.4). What would be below -87 goes to (-1/2, 0]. */
static double score(int i, int fine) {
    double t = -ldexp(1 + i % BINADE / (double)BINADE, i / BINADE - 1), unit = ldexp(1, ilogb(t) - 10);
    if (fine) t += unit * ((double)((uint32_t)i * 2654435769u >> 19) * 0x1p-13);
    return t < -87 ? t / 256 : t;
}

static int probe_exp(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_traits *r, bf_error *err) {
    bf_problem p;
    bf_stand s;
    if (!exp_shape(k, &p)) return 0;
    int rc = bf_stand_open(&s, b, x, k, &p, err);
    if (!rc) {
        for (int i = 0; i < SAMPLES; i++) bf_stand_put(&s.t[ATTENTION_Q], i * 64, (float)score(i, p.type[ATTENTION_Q] == BF_F32));
        bf_stand_put(&s.t[ATTENTION_K], 64, 1);
        for (int d = 0; d < 64; d++) bf_stand_put(&s.t[ATTENTION_V], 64 + d, 1);
        rc = bf_stand_run(&s, err);
    }
    double near = 0, far = 0;
    for (int i = 0; !rc && i < SAMPLES; i++) {
        double t = bf_element_value(&s.t[ATTENTION_Q], i * 64);
        double e = in_ulps(bf_element_value(&s.t[ATTENTION_O], i * 64), exp(t) / (1 + exp(t)));
        if (t > -17) near = fmax(near, e);
        else far = fmax(far, e);
    }
    bf_stand_close(&s);
    if (rc) return -1;
    bf_numerics_say(r, "exp_ulp", "exp, -87 to -17", far, "%.2f ulp", far);
    bf_numerics_say(r, "softmax_ulp", "softmax, -17 to 0", near, "%.2f ulp", near);
    return 0;
}

static int probe_root(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_traits *r, bf_error *err) {
    bf_problem p = {.dim = {SAMPLES, LENGTH, 1, 1}, .param = {[NORM_KIND] = NORM_RMS},
                    .type = {[NORM_X] = BF_F32, [NORM_Y] = BF_F32}};
    bf_stand s;
    if (k->accepts && !k->accepts(&p)) return 0;
    int rc = bf_stand_open(&s, b, x, k, &p, err);
    if (!rc) {
        for (int i = 0; i < SAMPLES; i++) bf_stand_put(&s.t[NORM_X], i * LENGTH, 1 + i * 0x1.8p-12 + i % 7 * 0x1p-22);
        rc = bf_stand_run(&s, err);
    }
    double worst = 0;
    for (int i = 0; !rc && i < SAMPLES; i++) worst = fmax(worst, in_ulps(bf_element_value(&s.t[NORM_Y], i * LENGTH), sqrt(LENGTH)));
    bf_stand_close(&s);
    if (rc) return -1;
    bf_numerics_say(r, "rsqrt_ulp", "rsqrt in norm", worst, "%.2f ulp", worst);
    return 0;
}

static int probe(const bf_backend *b, bf_context *x, const bf_kernel *k, int variant, bf_traits *r, bf_error *err) {
    (void)variant;
    return strcmp(k->op, "norm") ? probe_exp(b, x, k, r, err) : probe_root(b, x, k, r, err);
}

const bf_family bf_family_functions = {"functions", "Functions, worst error", variants, label, probe};
