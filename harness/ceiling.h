/* ceiling.h: what the memory system can do, measured on the very buffers of the kernel it judges.
 *
 * A kernel that must read R and write W bytes is set beside `stream` kernels that move the same bytes in the same
 * buffers, in one of two ways:
 *   composed  a copy of min(R, W) bytes from its input to its output, then a read of the R - W bytes left over, or a
 *             write of the W - R left over;
 *   mixed     one launch of mode `mix` that reads R bytes and writes W at the same time.
 * Of each the fastest variant (kernel, plain or non-temporal stores) of a calibration is kept, and of both the one that is
 * faster when they are run in turn. A part of less than 1 % of the bytes is left out, and nothing is mixed then.
 *
 * Only the largest input and the largest output of the kernel are used. Where R or W is more than that buffer holds (triad
 * reads two arrays), both are cut in proportion: the mix stays, the bytes become fewer, and bandwidths are compared. */
#ifndef BF_CEILING_H
#define BF_CEILING_H

#include "backend.h"
#include "op.h"

typedef struct bf_ceiling {
    const bf_backend *backend;
    bf_context *context;
    /* Up to two parts: copy, then read or write; or mix alone. Empty parts have no kernel. */
    const bf_kernel *part_kernel[2];
    bf_problem *part[2]; /* one problem a rotated copy of the buffers */
    int copies;
    uint64_t bytes; /* moved by both parts together in one launch */
    void *word;     /* result of the read part */
    char name[160]; /* "stream_vec copy nt + stream_vec read", "stream_vec mix nt" */
} bf_ceiling;

/* largest input and output of each copy: the buffers that the kernel streams. read_bytes, written_bytes: what the op says
 * must move (see above); parts are rounded down to 16 bytes. Calibrates, unless this process chose for such bytes before. 0, or -1 with err. */
int bf_ceiling_open(const bf_backend *, bf_context *, int copies, void *const *input, uint64_t input_bytes,
                    void *const *output, uint64_t output_bytes, uint64_t read_bytes, uint64_t written_bytes,
                    bf_ceiling *, bf_error *);
void bf_ceiling_close(bf_ceiling *);

/* Drops the choices of variants kept in this process (they are taken over for bytes within 10 %): for a device that has changed. */
void bf_ceiling_forget(void);

/* Seconds of one launch on each copy, both parts added. */
int bf_ceiling_time(bf_ceiling *, double *seconds, bf_error *);

#endif
