/* compare.h: how outputs are compared with what the reference wants. Class (NaN, infinity, finite) comes first, then
 * `if (!(error <= bound)) fail`, so that no NaN slips through on either side. Built without any fast-math flag. */
#ifndef BF_COMPARE_H
#define BF_COMPARE_H

#include "op.h"

/* Classes that a right output may have. */
enum { BF_ALLOW_FINITE = 1, BF_ALLOW_INF = 2, BF_ALLOW_NAN = 4 };

/* One output element of a floating-point tensor, or of an integer tensor taken as a number. */
typedef struct bf_want {
    double value; /* the reference; not looked at when BF_ALLOW_FINITE is absent */
    double bound; /* >= 0, 0 = exact; a NaN here or in value fails any finite output */
    double prob;  /* the probabilistic bound; 0: none */
    int allow;
    /* Allowed are finite values and infinities: of this sign (+-1; NaN: either); 0: of value's, where |value| > bound makes it certain. */
    double infinity;
} bf_want;

/* Empties the verdict: status PASS, nothing seen. */
void bf_verdict_begin(bf_verdict *);
/* Adds one element of `tensor`; counts, keeps the worst fractions and the first mismatches. */
void bf_verdict_bounded(bf_verdict *, const bf_tensor *tensor, int64_t index, bf_want want);
/* Bit for bit, signed zeros apart; any_nan: every NaN is right (a NaN is then required). `bits` as stored. */
void bf_verdict_exact(bf_verdict *, const bf_tensor *tensor, int64_t index, uint64_t bits, int any_nan);
/* A mismatch found by the op itself. `why` is static text. */
void bf_verdict_mismatch(bf_verdict *, const bf_tensor *tensor, int64_t index, double want, uint64_t want_bits,
                         double bound, const char *why);
/* FAIL when anything mismatched or nothing was looked at; MISTRUSTED when more than half of the elements that bounded
 * and exact were given (v->elements) are exact zeros and the case does not expect zeros. Outputs judged by the op itself may be
 * added to v->outputs; they do not dilute the zeros. */
void bf_verdict_end(bf_verdict *, const bf_case *);
/* Appends to the note, printf-like. */
void bf_verdict_note(bf_verdict *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bits of an element as stored, and its value (integers as numbers). */
uint64_t bf_element_bits(const bf_tensor *, int64_t index);
double bf_element_value(const bf_tensor *, int64_t index);

#endif
