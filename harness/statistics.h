/* statistics.h: order statistics of timing samples. Medians, because noise on a machine is one-sided. */
#ifndef BF_STATISTICS_H
#define BF_STATISTICS_H

#include <stddef.h>

typedef struct bf_summary {
    size_t count;
    double min, max, median, p25, p75;
    double low, high; /* 95 % interval of the median; the whole range below 6 samples */
} bf_summary;

/* Sorts x in place. count 0 gives NaN everywhere. The interval is by order statistics: ranks n/2 -+ 0.98 sqrt(n), rounded outward
 * (normal approximation of the binomial, no assumption on the distribution: Conover, Practical Nonparametric Statistics). */
bf_summary bf_summarize(double *x, size_t count);

#endif
