/* compare_outputs.h: archived outputs (archive.h) of two backends, machines or builds, element by element. */
#ifndef BF_COMPARE_OUTPUTS_H
#define BF_COMPARE_OUTPUTS_H

#include "archive.h"

/* Distances in units of the last place of the tensor's own type: how many of its values lie between; integers: the difference.
 * The classes differ where one side is NaN and the other is not, or one infinite and the other not. */
enum { BF_ULP_1, BF_ULP_2, BF_ULP_4, BF_ULP_16, BF_ULP_256, BF_ULP_65536, BF_ULP_MORE, BF_ULP_BINS };

typedef struct bf_output_difference {
    uint64_t elements, different; /* different: not bit for bit */
    uint64_t bin[BF_ULP_BINS];
    uint64_t classes;             /* NaN or infinity on one side only */
    uint64_t payload, sign;       /* both NaN with other bits; both zero with another sign */
    uint64_t beyond;              /* further apart than was allowed, or of other classes */
    uint64_t worst;               /* largest distance where the classes agree */
    int64_t first;                /* element beyond what was allowed, -1: none */
    int unknown;                  /* other hashes, and the values of a side are not kept: counts as beyond */
} bf_output_difference;

/* Shapes and types must agree. ulps 0: bit for bit; otherwise NaN payloads and the sign of zero do not count. */
void bf_output_compare(const bf_output *, const bf_output *, uint64_t ulps, bf_output_difference *);

/* Bits of element i, as stored. */
uint64_t bf_output_bits(const bf_output *, uint64_t i);
double bf_output_value(const bf_output *, uint64_t i);

#endif
