/* compare_runs.h: whether a kernel became slower between two records (harness/compare.h compares outputs, not times). */
#ifndef BF_COMPARE_RUNS_H
#define BF_COMPARE_RUNS_H

#include "bench_record.h"

typedef enum bf_change_verdict { BF_SAME, BF_FASTER, BF_SLOWER, BF_AMBIGUOUS } bf_change_verdict;
const char *bf_change_verdict_name(bf_change_verdict);

/* speed: NEW's over OLD's, 1.05 is 5 % faster. by: what it was formed from, "ratio", "time", "both". */
typedef struct bf_change {
    bf_change_verdict verdict;
    bf_interval speed;
    const char *by, *note;
} bf_change;

/* The quotient of two medians with its 95 % interval: the two intervals' half widths added in squares, in logarithms and each
 * side for itself (method of variance estimates recovery: Donner and Zou, Statistical Methods in Medical Research 21, 2012). */
bf_interval bf_quotient(bf_interval numerator, bf_interval denominator);

/* SAME: the interval of the speed lies within 1/(1 + threshold) to 1 + threshold. FASTER, SLOWER: it lies wholly on one side of 1
 * and its median beyond that. AMBIGUOUS otherwise. The speed is that of the ratios to the ceiling, which a busy neighbour or
 * another clock shifts less than times; of the times where the ratio says nothing of the kernel: the ceiling itself (op
 * stream), launches too SHORT, more than 8 flops a byte. Where the ceiling's kernel differs, ratios and times must agree. */
bf_change bf_change_of(const bf_bench_line *old_run, const bf_bench_line *new_run, double threshold);

#endif
