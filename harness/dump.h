/* dump.h: tensors of one run as .npy, for the numpy references and for eyes. */
#ifndef BF_DUMP_H
#define BF_DUMP_H

#include "runner.h"

/* Writes directory/<tensor>.npy for inputs and outputs (Q4_K as bytes, 16-bit floats as their bits in u2),
 * ref-<tensor>.npy and bound-<tensor>.npy in float64 where the op has them, and case.json. Creates directory. */
int bf_dump_case(const char *directory, const bf_prepared *, const bf_tensor out[BF_MAX_TENSORS], const char *backend,
                 const bf_kernel *, bf_error *);

#endif
