/* model.h: the tensors of a model, whatever it is stored in: one GGUF file, one safetensors file, or the index of a sharded
 * safetensors model (NAME.safetensors.index.json: {"weight_map": {tensor: file}}; the files lie beside the index).
 *
 * Shapes are seen as a product uses them: `rows` of `row` elements, each row contiguous. A row is the fastest dimension; a
 * convolution's kernel (rank 4 and 5; rank 3 when the fastest dimension is below 32) is [out][in * taps]. */
#ifndef BF_MODEL_H
#define BF_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "../../kernels/common/kernel.h"
#include "../error.h"
#include "blocks.h"

typedef struct bf_model_tensor {
    const char *name, *type;       /* the type as the file calls it */
    bf_dtype dtype;                /* BF_F32, BF_F16, BF_BF16, or BF_NONE */
    const bf_block_format *blocks; /* a block format, or NULL; neither: cannot be read here */
    int rank;
    uint64_t rows, row, elements, bytes;
    uint64_t offset;  /* in its file */
    const void *data; /* mapped read-only; not aligned in general */
    int file;         /* index of the file */
} bf_model_tensor;

typedef struct bf_model bf_model;

/* NULL with err: file, offset or field, what is wrong. */
bf_model *bf_model_open(const char *path, bf_error *);
void bf_model_close(bf_model *);
size_t bf_model_count(const bf_model *);
const bf_model_tensor *bf_model_at(const bf_model *, size_t i); /* in the order of file and offset */
int bf_model_files(const bf_model *);
const char *bf_model_file(const bf_model *, int file); /* its path */
const char *bf_model_format(const bf_model *);         /* "GGUF", "safetensors" */

#endif
