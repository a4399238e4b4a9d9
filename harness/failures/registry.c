/* registry.c: the one list of failures, in the order they are shown. */
#include "failures.h"

const bf_fail_entry *const bf_failures[] = {
    &bf_fail_a1, &bf_fail_a1b, &bf_fail_a2, &bf_fail_a3, &bf_fail_a4, NULL,
};
