/* expected.h: what an op's reference and bound say of one output tensor, as plain arrays: for --dump and for the
 * independent numpy reference. */
#ifndef BF_EXPECTED_H
#define BF_EXPECTED_H

#include "op.h"

/* First member of every op's bf_expected. */
struct bf_expected {
    /* Writes ref[i] and bound[i] of output `slot` in float64; see bf_op_dump. */
    int (*dump)(const bf_case *, const bf_kernel *, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *, int slot,
                double *ref, double *bound);
};

typedef struct bf_dump {
    double *ref, *bound; /* count entries each; free both. bound 0: exact; NaN: ref is non-finite (ref says which,
                            NaN: not promised); +inf: the output may be anything because the sum may leave fp32 */
    int64_t count;
} bf_dump;

/* The reference of output tensor `slot` of kernel k, whose outputs are in t (the int8 path is judged on the kernel's
 * own quantised activations, so they matter). 0; 1 when that tensor has no float64 reference; -1 with err. */
int bf_op_dump(const bf_case *, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *, int slot,
               bf_dump *, bf_error *);

/* Writes directory/ref-<tensor>.npy and bound-<tensor>.npy (float64, the tensor's shape) for every output that has a
 * reference. -1 with err. */
int bf_expected_dump(const bf_case *, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *,
                     const char *directory, bf_error *);

#endif
