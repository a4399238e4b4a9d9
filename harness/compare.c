/* compare.c: see compare.h. */
#include "compare.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../reference/number.h"

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "the checker must see NaN: no fast-math here"
#endif

static int is_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }

uint64_t bf_element_bits(const bf_tensor *t, int64_t index) {
    uint64_t w = 0;
    if (t->type != BF_U64 && t->type != BF_F64) return bf_ref_bits_at(t->type, t->data, index);
    memcpy(&w, (const char *)t->data + 8 * index, 8);
    return w;
}

double bf_element_value(const bf_tensor *t, int64_t index) {
    uint64_t w = bf_element_bits(t, index);
    double d;
    if (t->type == BF_U64) return (double)w;
    if (t->type != BF_F64) return bf_ref_at(t->type, t->data, index);
    memcpy(&d, &w, 8);
    return d;
}

void bf_verdict_begin(bf_verdict *v) {
    memset(v, 0, sizeof *v);
    v->status = BF_PASS;
    v->worst_prob = v->total_error = NAN;
}

void bf_verdict_note(bf_verdict *v, const char *format, ...) {
    size_t used = strlen(v->note);
    va_list ap;
    if (used && used + 2 < sizeof v->note) {
        memcpy(v->note + used, "; ", 3);
        used += 2;
    }
    va_start(ap, format);
    vsnprintf(v->note + used, sizeof v->note - used, format, ap);
    va_end(ap);
}

void bf_verdict_mismatch(bf_verdict *v, const bf_tensor *t, int64_t index, double want, uint64_t want_bits,
                         double bound, const char *why) {
    v->mismatched++;
    if (v->count == BF_MISMATCHES) return;
    v->first[v->count++] = (bf_mismatch){.tensor = t->name,
                                         .index = index,
                                         .got_bits = bf_element_bits(t, index),
                                         .want_bits = want_bits,
                                         .got = bf_element_value(t, index),
                                         .want = want,
                                         .bound = bound,
                                         .why = why};
}

static void count(bf_verdict *v, double got) {
    v->outputs++, v->elements++;
    v->nan += isnan(got) != 0;
    v->inf += isinf(got) != 0;
    v->zero += got == 0;
}

static const char *class_error(double got, int allow) {
    if (isnan(got)) return allow & BF_ALLOW_FINITE ? "NaN, want finite" : "NaN, want infinity";
    if (isinf(got)) return allow & BF_ALLOW_FINITE ? "infinity, want finite" : "infinity, want NaN";
    return allow == BF_ALLOW_NAN   ? "finite, want NaN"
           : allow == BF_ALLOW_INF ? "finite, want infinity"
                                   : "finite, want NaN or infinity";
}

/* The larger of two fractions; a NaN stays. */
static double worse(double a, double b) { return !(b <= a) ? b : a; }

void bf_verdict_bounded(bf_verdict *v, const bf_tensor *t, int64_t index, bf_want w) {
    double got = bf_element_value(t, index);
    count(v, got);
    int class = isnan(got) ? BF_ALLOW_NAN : isinf(got) ? BF_ALLOW_INF : BF_ALLOW_FINITE;
    uint64_t want_bits = is_float(t->type) ? bf_ref_encode(t->type, w.allow & BF_ALLOW_FINITE ? w.value : NAN)
                                           : (uint64_t)(int64_t)w.value;
    if (!(class & w.allow)) {
        bf_verdict_mismatch(v, t, index, w.allow & BF_ALLOW_FINITE ? w.value : NAN, want_bits, w.bound,
                            class_error(got, w.allow));
        return;
    }
    if (class != BF_ALLOW_FINITE) {
        /* A reference of known sign: an infinity of the other sign is not an overflow of it. */
        double sign = w.allow == BF_ALLOW_INF                         ? (isinf(w.value) ? w.value : NAN)
                      : w.allow != (BF_ALLOW_FINITE | BF_ALLOW_INF) ? NAN
                      : w.infinity != 0                               ? w.infinity
                      : fabs(w.value) > w.bound                       ? w.value
                                                                      : NAN;
        if (class == BF_ALLOW_INF && !isnan(sign) && signbit(got) != signbit(sign))
            bf_verdict_mismatch(v, t, index, w.value, want_bits, w.bound, "infinity of the wrong sign");
        return;
    }
    double error = fabs(got - w.value);
    double fraction = error == 0 ? 0 : error / w.bound; /* bound 0: infinite */
    v->worst = worse(v->worst, fraction);
    if (w.prob > 0) v->worst_prob = isnan(v->worst_prob) ? error / w.prob : worse(v->worst_prob, error / w.prob);
    if (!(error <= w.bound))
        bf_verdict_mismatch(v, t, index, w.value, want_bits, w.bound,
                            w.bound == 0 ? "not exact" : "error above bound");
}

void bf_verdict_exact(bf_verdict *v, const bf_tensor *t, int64_t index, uint64_t bits, int any_nan) {
    uint64_t got = bf_element_bits(t, index);
    count(v, bf_element_value(t, index));
    if (any_nan ? is_float(t->type) && bf_ref_is_nan(t->type, (uint32_t)got) : got == bits) return;
    double want = any_nan ? NAN : is_float(t->type) ? bf_ref_decode(t->type, (uint32_t)bits) : (double)(int64_t)bits;
    const char *why = "bits differ";
    if (any_nan)
        why = "want NaN";
    else if (is_float(t->type) && bf_ref_is_nan(t->type, (uint32_t)bits))
        why = bf_ref_is_nan(t->type, (uint32_t)got) ? "NaN with other payload or sign" : "want NaN";
    else if (is_float(t->type) && bf_ref_is_nan(t->type, (uint32_t)got))
        why = "NaN, want a number";
    v->worst = INFINITY;
    bf_verdict_mismatch(v, t, index, want, bits, 0, why);
}

void bf_verdict_end(bf_verdict *v, const bf_case *c) {
    if (v->mismatched) v->status = BF_FAIL;
    if (v->status == BF_PASS && !v->outputs) {
        v->status = BF_FAIL;
        bf_verdict_note(v, "no output was looked at");
    }
    /* Real weights may hold whole tensors of zeros; there an agreement to the last bit is enough. */
    int expects_zeros = (c->expect && !strcmp(c->expect, "zeros")) || (c->real && v->worst == 0);
    if (v->status == BF_PASS && v->zero * 2 > v->elements && !expects_zeros) {
        v->status = BF_MISTRUSTED;
        bf_verdict_note(v, "%lld of %lld outputs are exact zeros and the case does not say expect=zeros",
                        (long long)v->zero, (long long)v->elements);
    }
}
