/* archive.h: outputs of a run of check, kept to be compared with those of another backend, machine or build.
 *
 * JSON Lines: the line "run" of every record, then for each output tensor of each case on each kernel a line
 *   {"type":"output","op","case","kernel","path","backend","device","arch","status","tensor","dtype","shape":[..],"hash","values"}
 * hash: FNV-1a, 64 bits, of the tensor's bytes (little-endian, as in memory), 16 hexadecimal digits; values: those bytes in
 * hexadecimal, left out where there are more than BF_ARCHIVE_VALUES. Files joined by cat are an archive. */
#ifndef BF_ARCHIVE_H
#define BF_ARCHIVE_H

#include "backend.h"
#include "op.h"

enum { BF_ARCHIVE_VALUES = 1 << 14 };

/* Writes the outputs of one case on one kernel to fd, each line by one write(2), so that children may share it. */
int bf_archive_append(int fd, const bf_device *, const bf_case *, const bf_kernel *, const bf_tensor out[BF_MAX_TENSORS], bf_status, bf_error *);

typedef struct bf_output {
    char *backend, *arch, *op, *kernel, *what, *tensor, *status; /* what: the case, with the tensor where it came from a file */
    bf_dtype type;
    int rank;
    int64_t dim[4];
    uint64_t elements, hash;
    unsigned char *bytes; /* NULL: too many */
} bf_output;

typedef struct bf_output_list {
    bf_output *item;
    size_t count;
} bf_output_list;

/* Appends the outputs of an archive. 0, or -1 with err: the file, the line, the field. */
int bf_archive_read(const char *path, bf_output_list *, bf_error *);
int bf_archive_stream(FILE *, const char *label, bf_output_list *, bf_error *);
void bf_output_free(bf_output *);
void bf_archive_free(bf_output_list *);

#endif
