/* blocks.h: the values of GGUF's block formats, for reading files: plain code, one element after the other.
 *
 * Layouts and arithmetic: ggml's type traits and dequantize_row_* (fp32: scale times integer, minus minimum), so that
 * a value here has the bits that ggml's reference gives. Little-endian. */
#ifndef BF_BLOCKS_H
#define BF_BLOCKS_H

#include <stdint.h>

typedef struct bf_block_format {
    const char *name;          /* as GGUF calls it: "Q6_K" */
    uint32_t type;             /* GGUF's number */
    uint32_t elements, bytes;  /* of a block */
    /* One block to fp32. Returns 0 when a scale of the block is infinite or NaN: its values are no numbers then. */
    int (*values)(const uint8_t *block, float *out);
} bf_block_format;

/* NULL when the type has no blocks or is not read here. */
const bf_block_format *bf_block_format_of(const char *name);
/* All of them; NULL beyond the last. */
const bf_block_format *bf_block_format_at(int i);

#endif
