/* trace_weights.h: the weights of a chain: synthetic, or from a file. */
#ifndef BF_TRACE_WEIGHTS_H
#define BF_TRACE_WEIGHTS_H

#include "error.h"
#include "trace.h"

enum { BF_TRACE_WEIGHT, BF_TRACE_BIAS /* or the shift of modulate */, BF_TRACE_PARTS };

typedef struct bf_trace_matrix {
    bf_dtype type; /* F32, F16 or BF16; NONE: there is none */
    int64_t elements;
    const void *data;
    int plain; /* norm: the file's weight is 1 + w already */
} bf_trace_matrix;

/* path NULL: all synthetic; else a .gguf or .safetensors file: what a line names is looked up there and must have that shape; what it
 * does not find is synthetic. NULL with err when the file is not sound or holds none of the names. */
bf_trace_weights *bf_trace_weights_open(const char *path, const bf_trace_chain *, uint64_t seed, bf_error *);
void bf_trace_weights_close(bf_trace_weights *);
/* The weights of a line in a block, as `mode` stores them; valid until the next call but one. */
int bf_trace_weights_get(bf_trace_weights *, int line, int block, int part, bf_trace_mode mode, bf_trace_matrix *, bf_error *);
/* Weights found in the file and synthetic ones, over all blocks. */
void bf_trace_weights_count(const bf_trace_weights *, int *found, int *synthetic);
/* The synthetic values of an input. */
void bf_trace_input(const bf_trace_chain *, int line, uint64_t seed, float *values);

#endif
