/* trace_file.h: the weights of a chain in a GGUF or safetensors file. */
#ifndef BF_TRACE_FILE_H
#define BF_TRACE_FILE_H

#include "trace_chain.h"

#include "../kernels/common/kernel.h"

typedef struct bf_trace_file bf_trace_file;

/* A file of model.h (sharded models by their index). Every tensor that a line names is looked for in every block, and one that is
 * there must have the line's shape and a readable type (F32, F16, BF16, the block formats of blocks.h). *found of the names are
 * there, *missing are not. None at all is an error. */
bf_trace_file *bf_trace_file_open(const char *path, const bf_trace_chain *, int *found, int *missing, bf_error *);
void bf_trace_file_close(bf_trace_file *);
/* Part 0: the weight, 1: the bias. 1: *data (malloc) and *type filled; 0: not in the file; -1: error. *plain: see bf_trace_matrix. */
int bf_trace_file_read(bf_trace_file *, const bf_trace_line *, int block, int part, int64_t elements, bf_dtype *type, void **data,
                       int *plain, bf_error *);

#endif
