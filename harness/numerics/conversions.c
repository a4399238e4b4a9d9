/* conversions.c: rounding, subnormals and NaN of convert. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/convert.h"
#include "../compare.h"
#include "numerics.h"

enum { INPUTS = 16, ROUNDINGS = 6 };

/* fp32 to each 16-bit type. */
static const struct target {
    bf_dtype type;
    const char *label;
    int digits;             /* of the significand behind the point */
    float tiny;             /* gives a subnormal: twice the smallest */
    unsigned inf, quiet;    /* bits */
    int payload_shift;
} targets[] = {{BF_F16, " to f16", 10, 0x1p-23f, 0x7c00, 0x0200, 13}, {BF_BF16, " to bf16", 7, 0x1p-132f, 0x7f80, 0x0040, 16}};

/* 1 and what lies beside it, in units of the target's last place, and what the modes make of it. */
static const double ulps[ROUNDINGS] = {0.25, 0.5, 0.75, 1.5, -2.5, -2.75}; /* added to 1 (negative: to -1) */
static const struct mode {
    const char *name;
    int to[ROUNDINGS];
} modes[] = {{"nearest, ties to even", {0, 0, 1, 2, -2, -3}}, {"nearest, ties away", {0, 1, 1, 2, -3, -3}},
             {"nearest, ties to zero", {0, 0, 1, 1, -2, -3}}, {"towards zero", {0, 0, 0, 1, -2, -2}},
             {"away from zero", {1, 1, 1, 2, -3, -3}},        {"up", {1, 1, 1, 2, -2, -2}},
             {"down", {0, 0, 0, 1, -3, -3}}};

static bf_problem shape(int variant, int widen) {
    bf_problem p = {.dim = {[CONVERT_N] = INPUTS}, .type = {[CONVERT_X] = BF_F32, [CONVERT_Y] = targets[variant].type}};
    if (widen) p.type[CONVERT_X] = targets[variant].type, p.type[CONVERT_Y] = BF_F32;
    return p;
}

static int variants(const bf_kernel *k) { return strcmp(k->op, "convert") ? 0 : 2; }
static const char *label(const bf_kernel *k, int variant) {
    (void)k;
    return targets[variant].label;
}

static void say_rounding(const bf_stand *s, const struct target *to, bf_traits *r) {
    double unit = ldexp(1, -to->digits);
    const char *name = "none of the usual";
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        int fits = 1;
        for (int i = 0; i < ROUNDINGS; i++)
            fits &= bf_element_value(&s->t[CONVERT_Y], i) == (ulps[i] < 0 ? -1 : 1) + unit * modes[m].to[i];
        if (fits) name = modes[m].name;
    }
    bf_numerics_say(r, "rounding", "rounding", NAN, "%s", name);
}

static void say_nan(unsigned bits, const struct target *to, bf_traits *r) {
    unsigned magnitude = bits & 0x7fff;
    const unsigned low = (0x7fb00000u & 0x7fffffu) >> to->payload_shift & (to->quiet - 1);
    if (magnitude <= to->inf)
        bf_numerics_say(r, "nan", "NaN becomes", NAN, "%s", magnitude == to->inf ? "an infinity" : "a number");
    else
        bf_numerics_say(r, "nan", "NaN becomes", NAN, "%s%s%s", magnitude & to->quiet ? "quiet" : "signalling",
                        bits & 0x8000 ? ", sign" : "", (magnitude & (to->quiet - 1)) == low ? ", payload" : "");
}

static const char *kept(double got, double want) { return got == want ? "kept" : got == 0 ? "flushed" : "wrong"; }

/* x: rounding, the subnormal result, a subnormal fp32 (bf16 can hold it), NaN with high and with low payload bits. */
static int probe(const bf_backend *b, bf_context *x, const bf_kernel *k, int variant, bf_traits *r, bf_error *err) {
    const struct target *to = &targets[variant];
    bf_problem p = shape(variant, 0), back = shape(variant, 1);
    bf_stand s;
    if (k->accepts && (!k->accepts(&p) || !k->accepts(&back))) return 0;
    int rc = bf_stand_open(&s, b, x, k, &p, err);
    if (!rc) {
        uint32_t *in = s.t[CONVERT_X].data;
        for (int i = 0; i < ROUNDINGS; i++)
            bf_stand_put(&s.t[CONVERT_X], i, (ulps[i] < 0 ? -1 : 1) + ldexp(ulps[i], -to->digits));
        bf_stand_put(&s.t[CONVERT_X], 6, to->tiny);
        in[7] = 0xffb00000u, in[8] = 0x7f800001u; /* both signalling */
        rc = bf_stand_run(&s, err);
    }
    if (!rc) {
        say_rounding(&s, to, r);
        unsigned low = (unsigned)bf_element_bits(&s.t[CONVERT_Y], 8) & 0x7fff;
        say_nan((unsigned)bf_element_bits(&s.t[CONVERT_Y], low > to->inf ? 7 : 8), to, r);
        bf_numerics_say(r, "subnormal_out", "subn out", NAN, "%s", kept(bf_element_value(&s.t[CONVERT_Y], 6), to->tiny));
    }
    bf_stand_close(&s);
    if (rc) return -1;
    rc = bf_stand_open(&s, b, x, k, &back, err);
    if (!rc) ((uint16_t *)s.t[CONVERT_X].data)[0] = 1; /* the smallest subnormal */
    if (!rc && !(rc = bf_stand_run(&s, err)))
        bf_numerics_say(r, "subnormal_in", "in", NAN, "%s",
                        kept(bf_element_value(&s.t[CONVERT_Y], 0), to->type == BF_F16 ? 0x1p-24 : 0x1p-133));
    bf_stand_close(&s);
    return rc;
}

const bf_family bf_family_conversions = {"conversions", "Conversions from fp32", variants, label, probe};
