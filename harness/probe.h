/* probe.h: in which order a kernel adds products, found from outside, and the longest chain of additions behind an
 * output.
 *
 * Method: FPRev (Xie, Gao, Zhu, "FPRev: Revealing the order of floating-point summation", 2024). All weights are 1; x
 * is 1 everywhere but M at i and -M at j, M so large that M + (anything else) = M. What is added before M and -M meet
 * is lost, what comes after survives, so the result is the number of leaves outside the smallest subtree of the
 * summation tree that holds i and j. From these sizes the tree follows by recursion, in about K log K probes, eight
 * at a time (one where a kernel takes only one column).
 *
 * fp32 path: a leaf is a weight. int8 path: a leaf is a block of 32 with one non-zero value, 127 times a power of
 * two, so that the quantiser is exact. Additions of exact zeros (a first addition to an empty accumulator, the
 * difference with a minimum of zero) do not show. */
#ifndef BF_PROBE_H
#define BF_PROBE_H

#include "backend.h"
#include "op.h"

/* Longest chain of additions of kernel k (bf_subject_formats: not 0) at rows of `length` weights (a multiple of 256, at most 32,768) in
 * one of its formats, and what it declares for them (may be NULL). 1: it takes no such rows. 2: M - M leaves
 * something, as the matrix instructions of gfx11 may (bf_adds_on_grid; of other kernels this is an error): the results are no counts, there
 * is nothing to measure. -1 with err: the device failed, or its results
 * are no counts (it does not add in fp32, or not in a tree). */
int bf_probe_chain(const bf_backend *, bf_context *, const bf_kernel *k, int format, int64_t length, int64_t *chain, int64_t *declared,
                   bf_error *err);

/* Measures every format at 256 and 512 weights (q4k_matvec at twice as many, int8 paths at eight times) and judges the declaration: PASS when
 *     measured <= declared <= 2 measured + 2,
 * 2 for what cannot show (above). A smaller declaration makes the bound unsound, a larger one too wide. SKIP for
 * other ops and where there is nothing to measure, ERROR when bf_probe_chain fails. The note says what was measured and declared. */
void bf_probe_judge(const bf_backend *, bf_context *, const bf_kernel *k, bf_verdict *v);

#endif
