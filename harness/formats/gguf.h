/* gguf.h: reading GGUF files, versions 2 and 3, little-endian.
 *
 * The file is mapped read-only and every count, length, offset and size in it is checked before use; an open file is sound, and
 * all pointers handed out stay valid until gguf_close. Errors are one line: file: offset N: field: what is wrong (mend).
 * Source: the GGUF specification (ggml, docs/gguf.md); sizes of the block types from ggml's type table.
 *
 *     gguf_file *f = gguf_open("model.gguf", &err);
 *     for (size_t i = 0; f && i < gguf_tensor_count(f); i++) {
 *         const gguf_tensor *t = gguf_tensor_at(f, i);
 *         if (t->type == GGUF_Q4_K) use(t->name, t->dim[0], t->dim[1], t->data, t->bytes);
 *     }
 *     gguf_close(f);
 *
 * A file that another process truncates while it is mapped raises SIGBUS on access: no reader of a mapping can prevent that. */
#ifndef BF_GGUF_H
#define BF_GGUF_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

enum { GGUF_MAX_RANK = 4 };

/* Types of tensors that this project names; gguf_type_at knows them all. */
enum { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_Q4_0 = 2, GGUF_Q8_0 = 8, GGUF_Q4_K = 12, GGUF_Q6_K = 14, GGUF_F64 = 28, GGUF_BF16 = 30, GGUF_MXFP4 = 39 };

typedef struct gguf_type {
    const char *name; /* "Q4_K" */
    uint32_t block;   /* elements in a block */
    uint32_t bytes;   /* bytes of a block */
} gguf_type;

/* NULL when the type is unknown here (a newer file, or a type that was withdrawn). */
const gguf_type *gguf_type_at(uint32_t type);

typedef struct gguf_tensor {
    const char *name;
    uint32_t type;
    const char *type_name; /* "Q4_K"; "unknown" */
    int rank;              /* 0..4 */
    uint64_t dim[GGUF_MAX_RANK]; /* as in the file: fastest first (dim[0] = row length); 1 beyond rank */
    uint64_t elements;
    uint64_t bytes;   /* 0 when the type is unknown */
    const void *data; /* in the mapping, aligned to at least 8 bytes; NULL when the type is unknown */
    uint64_t offset;  /* of the data in the file */
} gguf_tensor;

/* Types of metadata values. */
typedef enum gguf_kind {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_FLOAT, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY, GGUF_U64,
    GGUF_I64, GGUF_DOUBLE, GGUF_KINDS
} gguf_kind;

typedef struct gguf_value {
    const char *key;
    gguf_kind kind;
    gguf_kind item;      /* of the elements of an array */
    uint64_t count;      /* elements of an array, bytes of a string, else 1 */
    const uint8_t *data; /* first byte of number, string or first element; little-endian, unaligned, no NUL at the end */
    uint64_t bytes;      /* of all of it */
} gguf_value;

typedef struct gguf_file gguf_file;

/* NULL with err when the file cannot be read or is not sound. */
gguf_file *gguf_open(const char *path, bf_error *);
/* The same on bytes in memory (64-byte aligned, kept by the caller until gguf_close); label: for messages. */
gguf_file *gguf_open_memory(const void *bytes, size_t size, const char *label, bf_error *);
void gguf_close(gguf_file *);

uint32_t gguf_version(const gguf_file *);
uint64_t gguf_alignment(const gguf_file *); /* general.alignment, default 32 */
uint64_t gguf_size(const gguf_file *);      /* bytes of the file */

size_t gguf_tensor_count(const gguf_file *);
const gguf_tensor *gguf_tensor_at(const gguf_file *, size_t i); /* in the order of the file */
const gguf_tensor *gguf_tensor_find(const gguf_file *, const char *name);

size_t gguf_value_count(const gguf_file *);
const gguf_value *gguf_value_at(const gguf_file *, size_t i);
const gguf_value *gguf_value_find(const gguf_file *, const char *key);

/* Convert a single number. 0, or -1 when it is of another kind (v NULL included) or does not fit; *out is then untouched. */
int gguf_value_u64(const gguf_value *v, uint64_t *out);
int gguf_value_i64(const gguf_value *v, int64_t *out);
int gguf_value_f64(const gguf_value *v, double *out); /* integers too where exact */
/* Copies a string with a NUL at the end. -1 when it is none, holds a NUL or does not fit into room. */
int gguf_value_string(const gguf_value *v, char *out, size_t room);

#endif
