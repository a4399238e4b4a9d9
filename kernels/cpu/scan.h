/* scan.h: statistics of stored weights as they stream by: what fp16 would do to them, and the norms that bound a product.
 *
 * Magnitudes are compared as integers: with the sign cleared, the order of IEEE 754 patterns is that of the values, NaN last.
 * Thresholds of storage as fp16, to nearest even (IEEE 754-2008, 4.3.1 and 7.4):
 *     |x| <= 2^-25            becomes zero (2^-25 is a tie, and goes to even)
 *     |x| <  2^-14            becomes subnormal: fewer than eleven significant bits
 *     |x| >= 65520            becomes infinite */
#ifndef BF_CPU_SCAN_H
#define BF_CPU_SCAN_H

#include <stdint.h>

#include "../common/kernel.h"

/* Counts of values not below a threshold; a class is the difference of two. Where a type cannot hold what a threshold asks for,
 * its count is that of the next threshold. */
enum { BF_SCAN_NONZERO, BF_SCAN_KEPT, BF_SCAN_NORMAL, BF_SCAN_OVER, BF_SCAN_INF, BF_SCAN_NAN, BF_SCAN_LEVELS };

typedef struct bf_scan_counts {
    uint64_t values, level[BF_SCAN_LEVELS];
    uint32_t largest, smallest; /* magnitudes in the stored type's bits: of finite values; of nonzero ones, UINT32_MAX: none */
} bf_scan_counts;

/* One row of a matrix, in pieces. Non-finite values are left out of the sums. */
typedef struct bf_scan_row {
    double sum, squares;  /* 1-norm, 2-norm squared: sums of at most 2048 values in fp32, those in double */
} bf_scan_row;

enum { BF_SCAN_PIECE = 2048 };

typedef struct bf_scan_kernel {
    const char *name;
    /* n values of BF_BF16, BF_F16 or BF_F32, aligned to their size, added to the counts. */
    void (*count)(const void *p, bf_dtype type, int64_t n, bf_scan_counts *);
    /* The same, and: the row's sums; column[i] = max(column[i], fp32 bits of |p[i]|) where finite; *error = max(*error, fp32 bits of
     * the relative error of a value stored as fp16 that neither becomes zero nor infinite). */
    void (*full)(const void *p, bf_dtype type, int64_t n, bf_scan_counts *, bf_scan_row *, uint32_t *column, uint32_t *error);
} bf_scan_kernel;

/* The kernel for this processor. */
const bf_scan_kernel *bf_scan_kernel_best(void);
/* All of them, for tests; NULL beyond the last. */
const bf_scan_kernel *bf_scan_kernel_at(int i);

static inline void bf_scan_counts_start(bf_scan_counts *c) { *c = (bf_scan_counts){.smallest = UINT32_MAX}; }

#endif
