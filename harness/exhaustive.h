/* exhaustive.h: conversions from fp32 over all 2^32 inputs.
 *
 * Checked by a method of its own: the 16-bit type's values are sorted; between two neighbours lies one threshold,
 * their mean, which fp32 holds exactly; inputs below it round to the lower code, above it to the upper, on it to the
 * even one. So the right output is a step function of the input with 65,536 steps, and checking is comparing runs of
 * equal codes. No rounding is computed anywhere, neither the kernels' nor the reference's. */
#ifndef BF_EXHAUSTIVE_H
#define BF_EXHAUSTIVE_H

#include "backend.h"
#include "op.h"

/* Runs convert kernel k (fp32 to `to`, BF_F16 or BF_BF16, without saturation) on all 2^32 patterns, in blocks of
 * 2^20, in an open context. NaN by the table of k->target. Fills *v (outputs = 2^32 when all was compared). -1 with
 * err when the device fails or the kernel does not take the problem. */
int bf_exhaustive_convert(const bf_backend *, bf_context *, const bf_kernel *k, bf_dtype to, bf_verdict *v,
                          bf_error *err);

/* The same on inputs start .. end-1, multiples of 2^20: parts of the whole, to be run side by side. */
int bf_exhaustive_range(const bf_backend *, bf_context *, const bf_kernel *k, bf_dtype to, uint64_t start,
                        uint64_t end, bf_verdict *v, bf_error *err);

/* The step function by itself, for tests. first[c]: bits of the smallest fp32 magnitude that rounds to code c of the
 * target (0 for c = 0); entries 0 .. infinity's code. Returns that code, `room` must exceed it (32,769 is enough). */
int bf_exhaustive_steps(bf_dtype to, uint32_t *first, int room);

/* Compares `count` outputs for the inputs start, start + 1, ... into *v (begun by bf_verdict_begin). */
void bf_exhaustive_compare(bf_dtype to, bf_target target, const uint32_t *first, uint32_t start, uint32_t count,
                           const uint16_t *got, bf_verdict *v);

#endif
