/* storage.c: A6: weights read with the activations' dtype. A7: bf16 weights converted to fp16. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../kernels/common/conv.h"
#include "../../kernels/common/convert.h"
#include "../../kernels/common/linear.h"
#include "../../kernels/common/norm.h"
#include "../../reference/number.h"
#include "../fill.h"
#include "../formats/gguf.h"
#include "../select.h"
#include "failures.h"

/* ---- A6 ---- */

typedef struct mixed {
    const char *op, *line;
    int weight, bias, output;
} mixed;
static const mixed mixes[] = {
    {"linear", "linear m=16 k=64 n=4 w=%s b=%s x=f32", LINEAR_W, LINEAR_B, LINEAR_Y},
    {"norm", "norm kind=layer m=8 k=96 w=%s b=%s x=f32", NORM_W, NORM_B, NORM_Y},
    {"conv", "conv rank=2 in=8 out=8 h=10 w=10 wt=%s b=%s x=f32", CONV_WT, CONV_B, CONV_Y},
};

/* Bytes by which a kernel that believes the label reads past the end of a tensor. */
static int64_t beyond(const bf_job_run *j, int slot, bf_dtype label) {
    return (int64_t)bf_dtype_bytes(label, (int64_t)(j->t[slot].bytes / bf_dtype_bytes(j->t[slot].type, 1))) -
           (int64_t)j->t[slot].bytes;
}

static int mix(const bf_lab *lab, const bf_fail_entry *e, const mixed *m, bf_dtype stored, bf_fail_result *r,
               bf_error *err) {
    bf_job_run j;
    int rc = bf_lab_open(&j, err, m->line, bf_dtype_name(stored), bf_dtype_name(stored));
    bf_dtype label = e->broken.type == BF_NONE ? stored : e->broken.type;
    j.slack = 65536; /* so that even a device may run it: what lies behind is NaN and ours */
    if (!rc) rc = bf_lab_expect(lab, &j, err) || bf_lab_run(lab, &j, m->op, e->sound.kernel, err);
    if (!rc) {
        bf_lab_census(&r->sound, &j.t[m->output], 0, j.ref[m->output].count, NULL);
        snprintf(r->sound.what, sizeof r->sound.what, "linear, norm and conv, each weight with its own dtype");
        bf_fail_require(r, bf_lab_judge(&j, &r->sound), "%s, %s: the sound kernel does not pass: %s", m->op,
                        bf_dtype_name(stored), r->sound.judged);
        int64_t past = beyond(&j, m->weight, label) + beyond(&j, m->bias, label), nan = r->broken.nan;
        j.p.type[m->weight] = j.p.type[m->bias] = label;
        rc = bf_lab_run(lab, &j, m->op, e->broken.kernel, err);
        int64_t finite_wrong = rc ? 0 : bf_lab_wrong(&j, m->output);
        if (!rc) bf_lab_census(&r->broken, &j.t[m->output], 0, j.ref[m->output].count, j.ref[m->output].ref);
        r->broken.wrong += finite_wrong;
        snprintf(r->broken.what, sizeof r->broken.what, "linear, norm and conv, weights and bias read as %s",
                 bf_dtype_name(label));
        bf_fail_row(r, 5, m->op, bf_dtype_name(stored), bf_fail_text("%lld", (long long)past),
                    bf_fail_text("%lld", (long long)(r->broken.nan - nan)),
                    bf_fail_text("%lld", (long long)finite_wrong));
        bf_fail_require(r, rc || past > 0, "%s: the bounds check sees nothing", m->op);
        bf_fail_require(r, rc || r->broken.nan > nan, "%s: nothing of what lies behind the buffer is in the result",
                        m->op);
    }
    bf_lab_close(&j);
    return rc;
}

static int a6(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    bf_error refused = {{0}};
    bf_job_run j;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "fp32 activations against fp16 or bf16 weight and bias; 64 KiB of NaN behind every buffer, so that "
             "reading past the end is seen and harms nothing");
    bf_fail_row(r, 5, "#op", "stored in", "bytes past the end", "NaN", "finite, wrong");
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        for (int t = 0; t < 2; t++)
            if (mix(lab, e, &mixes[i], t ? BF_BF16 : BF_F16, r, err)) return -1;
    int accepted = !bf_lab_open(&j, &refused, "linear m=16 k=64 w=i8");
    bf_lab_close(&j);
    bf_fail_require(r, !accepted && strstr(refused.text, "i8"),
                    "weights of a type that linear does not take are not refused by name: %s", refused.text);
    snprintf(r->seen, sizeof r->seen,
             "the buffer is half as long as its label says: garbage from pairs of weights, then what lies behind; a "
             "type that is not taken is refused: %.100s",
             refused.text);
    return 0;
}

const bf_fail_entry bf_fail_a6 = {
    "A6",
    "mixed-dtype",
    BF_FAIL_NUMERIC,
    "A path that takes one dtype for all operands reads 16-bit weights as if they were fp32: half of its reads lie "
    "past the end.",
    "home-lab P40 logs: \"expected scalar type\" patched away in linear, norm and convolution",
    "each operand with its own dtype, widened in registers (linear, norm, conv)",
    {NULL, BF_F32, 0},
    {NULL, BF_NONE, 0},
    a6,
};

/* ---- A7 ---- */

enum { WEIGHTS = 65536 };
static const struct {
    const char *name, *fill;
    int pow2;
} tensors[] = {
    {"ordinary, deviation 0.02", "gauss", -6}, {"small, deviation 1e-5", "gauss", -17},
    {"tiny, deviation 3e-8", "gauss", -25},    {"outliers of 50 x 1,000", "outlier", 10},
    {"heavy tails x 1,000", "heavy", 10},
};

/* n weights as bf16 holds them: converted, counted, and widened. */
static int weights(const bf_lab *lab, const bf_fail_entry *e, const char *name, const uint16_t *bits, int n, bf_fail_result *r,
                   bf_error *err) {
    bf_job_run j;
    long long want[CONVERT_COUNTS] = {0};
    double most = 0;
    int rc = bf_lab_open(&j, err, "convert n=%d from=bf16 to=%s count=1", n, bf_dtype_name(e->broken.type));
    if (!rc) memcpy(j.t[CONVERT_X].data, bits, j.t[CONVERT_X].bytes);
    for (int64_t i = 0; !rc && i < n; i++) {
        double x = bf_lab_get(&j.t[CONVERT_X], i);
        uint32_t y = bf_ref_encode(e->broken.type, x);
        most = fmax(most, fabs(x));
        want[CONVERT_OVERFLOW] += isfinite(x) && !bf_ref_is_finite(e->broken.type, y);
        want[CONVERT_UNDERFLOW] += x != 0 && bf_ref_is_zero(e->broken.type, y);
        want[CONVERT_SUBNORMAL] += bf_ref_is_subnormal(e->broken.type, y) != 0;
    }
    if (!rc) rc = bf_lab_run(lab, &j, "convert", e->broken.kernel, err);
    const uint64_t *got = j.t[CONVERT_C].data;
    if (!rc) {
        bf_lab_census(&r->broken, &j.t[CONVERT_Y], 0, n, NULL);
        bf_lab_name(&r->broken, &j, ", bf16 to %s, all tensors", bf_dtype_name(e->broken.type));
        bf_fail_row(r, 5, name, bf_fail_text("%lld", (long long)got[CONVERT_OVERFLOW]),
                    bf_fail_text("%lld", (long long)got[CONVERT_UNDERFLOW]),
                    bf_fail_text("%lld", (long long)got[CONVERT_SUBNORMAL]),
                    bf_fail_text("%+.1f bits", log2(65504 / most)));
        for (int i = 0; i < CONVERT_NAN; i++)
            bf_fail_require(r, (long long)got[i] == want[i], "%s: count %d is %lld, predicted %lld", name, i, (long long)got[i], want[i]);
        r->broken.wrong += (int64_t)(got[CONVERT_OVERFLOW] + got[CONVERT_UNDERFLOW] + got[CONVERT_SUBNORMAL]);
    }
    /* The sound way: widened, which is exact. */
    if (!rc) {
        bf_job_run s;
        rc = bf_lab_open(&s, err, "convert n=%d from=bf16 to=%s", n, bf_dtype_name(e->sound.type));
        if (!rc)
            memcpy(s.t[CONVERT_X].data, j.t[CONVERT_X].data, s.t[CONVERT_X].bytes),
                rc = bf_lab_expect(lab, &s, err) || bf_lab_run(lab, &s, "convert", e->sound.kernel, err);
        if (!rc) {
            bf_lab_census(&r->sound, &s.t[CONVERT_Y], 0, n, NULL);
            bf_lab_name(&r->sound, &s, ", bf16 widened to %s", bf_dtype_name(e->sound.type));
            bf_fail_require(r, bf_lab_judge(&s, &r->sound), "the sound kernel does not pass: %s", r->sound.judged);
        }
        bf_lab_close(&s);
    }
    bf_lab_close(&j);
    return rc;
}

static int synthetic(const bf_lab *lab, const bf_fail_entry *e, size_t which, bf_fail_result *r, bf_error *err) {
    uint16_t *bits = malloc(WEIGHTS * sizeof *bits);
    if (!bits) return bf_fail(err, "out of memory");
    bf_fill_values((bf_fill)bf_fill_parse(tensors[which].fill), 1, 7, BF_BF16, 0, WEIGHTS, tensors[which].pow2, bits);
    int rc = weights(lab, e, tensors[which].name, bits, WEIGHTS, r, err);
    free(bits);
    return rc;
}

/* Tensors of a file that another program wrote (cases/golden/README.md), as a bf16 checkpoint would hold them. Returns how many
 * there were, -1 on failure; without the file, none. */
static int of_a_file(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    static const char *const names[] = {"gauss_256x8.src", "tiny_512x8.src", "large_512x4.src"};
    char path[4400];
    bf_error missing;
    int seen = 0, rc = 0;
    snprintf(path, sizeof path, "%s/golden/q4k_golden.gguf", bf_cases_directory(NULL));
    gguf_file *f = access(path, R_OK) ? NULL : gguf_open(path, &missing);
    for (size_t i = 0; f && !rc && i < sizeof names / sizeof *names; i++) {
        const gguf_tensor *t = gguf_tensor_find(f, names[i]);
        if (!t || t->type != GGUF_F32 || !t->elements || t->elements > WEIGHTS) continue;
        uint16_t *bits = malloc(t->elements * sizeof *bits);
        for (uint64_t k = 0; bits && k < t->elements; k++) bits[k] = (uint16_t)bf_ref_encode(BF_BF16, ((const float *)t->data)[k]);
        rc = bits ? weights(lab, e, names[i], bits, (int)t->elements, r, err) : bf_fail(err, "out of memory");
        free(bits), seen++;
    }
    if (f) gguf_close(f);
    return rc ? -1 : seen;
}

static int a7(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "%zu synthetic bf16 tensors of %d weights, and tensors of cases/golden/q4k_golden.gguf where it is; headroom: bits from the largest "
             "weight to 65,504",
             sizeof tensors / sizeof *tensors, WEIGHTS);
    bf_fail_row(r, 5, "#weights", "to inf", "to zero", "subnormal", "headroom");
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        if (synthetic(lab, e, i, r, err)) return -1;
    int real = of_a_file(lab, e, r, err);
    if (real < 0) return -1;
    snprintf(r->seen, sizeof r->seen,
             "%lld weights became inf; %lld in all are inf, zero or subnormal in fp16, as the references predict%s",
             (long long)r->broken.inf, (long long)r->broken.wrong, real ? "" : "; no file of the project's cases was found");
    bf_fail_require(r, r->broken.inf > 0 && r->broken.wrong > r->broken.inf, "%lld weights became inf",
                    (long long)r->broken.inf);
    bf_fail_require(r, !r->sound.inf && !r->sound.nan, "the sound conversion is not finite");
    return 0;
}

const bf_fail_entry bf_fail_a7 = {
    "A7",
    "bf16-to-fp16-weights",
    BF_FAIL_NUMERIC,
    "bf16 weights converted to fp16: beyond 65,504 they become infinite, small ones zero or subnormal.",
    "home-lab P40 logs: bf16 checkpoints converted for a card without bf16",
    "keep the bf16 bits and widen them in the kernel (linear w=bf16)",
    {NULL, BF_F16, 0},
    {NULL, BF_F32, 0},
    a7,
};
