/* expected.c: see expected.h. */
#include "expected.h"

#include <stdlib.h>

#include "formats/npy.h"

int bf_op_dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
               int slot, bf_dump *d, bf_error *err) {
    *d = (bf_dump){0};
    if (!e->dump || t[slot].role != BF_OUTPUT) return 1;
    d->count = 1;
    for (int i = 0; i < t[slot].rank; i++) d->count *= t[slot].dim[i];
    d->ref = calloc((size_t)d->count + 1, sizeof *d->ref), d->bound = calloc((size_t)d->count + 1, sizeof *d->bound);
    int rc = d->ref && d->bound ? e->dump(c, k, t, e, slot, d->ref, d->bound)
                                : bf_fail(err, "no memory to dump %s", t[slot].name);
    if (rc) {
        free(d->ref), free(d->bound);
        *d = (bf_dump){0};
    }
    return rc;
}

int bf_expected_dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                     const char *directory, bf_error *err) {
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        bf_dump d;
        char path[4400];
        int rc = t[i].role == BF_OUTPUT ? bf_op_dump(c, k, t, e, i, &d, err) : 1;
        if (rc < 0) return -1;
        if (rc) continue;
        snprintf(path, sizeof path, "%s/ref-%s.npy", directory, t[i].name);
        rc = npy_write(path, "f8", t[i].rank, t[i].dim, d.ref, err);
        snprintf(path, sizeof path, "%s/bound-%s.npy", directory, t[i].name);
        if (!rc) rc = npy_write(path, "f8", t[i].rank, t[i].dim, d.bound, err);
        free(d.ref), free(d.bound);
        if (rc) return -1;
    }
    return 0;
}
