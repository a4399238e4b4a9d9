/* safetensors.h: reading safetensors files.
 *
 * Layout (huggingface/safetensors, README "Format"): 8 bytes N, little-endian; N bytes of JSON, which begin with '{' and may end in
 * spaces: NAME -> {"dtype", "shape", "data_offsets": [begin, end)}, "__metadata__" -> {text: text}; then the data, which the
 * tensors cover without holes or overlaps. The header is parsed by jansson, duplicate keys are refused; every offset is checked
 * before use; an open file is sound. Errors are one line: file: offset N: field: what is wrong (mend). */
#ifndef BF_SAFETENSORS_H
#define BF_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

enum { SAFETENSORS_MAX_RANK = 8 };

typedef struct safetensors_tensor {
    const char *name;
    char type[12]; /* "F32" "F16" "BF16" "F64" "I8" "U8" "BOOL" "F8_E4M3" ... */
    int rank;
    uint64_t dim[SAFETENSORS_MAX_RANK]; /* slowest first */
    uint64_t elements, bytes; /* bytes: elements of the type; of a type unknown here, what the offsets say */
    const void *data; /* in the mapping; not aligned */
    uint64_t offset;  /* of the data in the file */
} safetensors_tensor;

typedef struct safetensors_file safetensors_file;

/* NULL with err when the file cannot be read or is not sound. */
safetensors_file *safetensors_open(const char *path, bf_error *);
/* The same on bytes in memory (kept by the caller until safetensors_close); label: for messages. */
safetensors_file *safetensors_open_memory(const void *bytes, size_t size, const char *label, bf_error *);
void safetensors_close(safetensors_file *);

size_t safetensors_count(const safetensors_file *);
const safetensors_tensor *safetensors_at(const safetensors_file *, size_t i); /* in the order of the data */
const safetensors_tensor *safetensors_find(const safetensors_file *, const char *name);
/* Bytes of an element, 0 for an unknown type. */
uint64_t safetensors_type_bytes(const char *type);

#endif
