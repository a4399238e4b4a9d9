/* failures.h: the entries, by file. Lines a case would need are written out where they are used. */
#ifndef BF_FAILURES_H
#define BF_FAILURES_H

#include "../fail.h"

extern const bf_fail_entry bf_fail_a1, bf_fail_a1b, bf_fail_a2, bf_fail_a3, bf_fail_a4;

#endif
