/* npy.h: arrays in numpy's .npy files, versions 1 to 3, C order, little-endian.
 *
 * Reading maps the file and checks everything before use; writing goes to a temporary name that is then renamed.
 * Source: numpy/lib/format, NEP 1. Errors are one line: file: offset N: field: what is wrong (mend). */
#ifndef BF_NPY_H
#define BF_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

enum { NPY_MAX_RANK = 8 };

typedef struct npy_array {
    char type[3]; /* "f2" "f4" "f8" "i1" "u1" "i2" "u2" "i4" "u4" "i8" "u8" */
    int rank;     /* 0: one element */
    uint64_t dim[NPY_MAX_RANK]; /* slowest first */
    uint64_t elements, bytes;
    const void *data; /* read-only, aligned to its element, valid until npy_close */
    void *map;        /* own business */
    size_t map_bytes;
} npy_array;

int npy_open(const char *path, npy_array *, bf_error *);
/* The same on bytes in memory (aligned to 8 bytes, kept by the caller); label: for messages. */
int npy_open_memory(const void *bytes, size_t size, const char *label, npy_array *, bf_error *);
void npy_close(npy_array *); /* safe on a zeroed or failed one */

/* Bytes of an element, 0 for a type that is not in the list above. */
uint64_t npy_type_bytes(const char *type);
int npy_write(const char *path, const char *type, int rank, const int64_t *dim, const void *data, bf_error *);

#endif
