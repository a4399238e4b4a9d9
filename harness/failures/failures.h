/* failures.h: the entries, each in the file of its mechanism. */
#ifndef BF_FAILURES_H
#define BF_FAILURES_H

#include "../fail.h"

extern const bf_fail_entry bf_fail_a1, bf_fail_a1b, bf_fail_a2, bf_fail_a3, bf_fail_a4, bf_fail_a5, bf_fail_a6,
    bf_fail_a7, bf_fail_a8, bf_fail_a9, bf_fail_a10, bf_fail_a11, bf_fail_a12;
extern const bf_fail_entry bf_fail_b1, bf_fail_b2, bf_fail_b3, bf_fail_b4, bf_fail_b5, bf_fail_b6, bf_fail_b7,
    bf_fail_b8, bf_fail_b9, bf_fail_b10, bf_fail_b11, bf_fail_b12, bf_fail_b13, bf_fail_b14, bf_fail_b15, bf_fail_b16,
    bf_fail_b17, bf_fail_b18, bf_fail_b19, bf_fail_b20;

#endif
