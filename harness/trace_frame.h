/* trace_frame.h: the picture at the end of a chain: what the last op leaves in each lane, decoded by frame.h.
 *
 * The picture goes in as latents, embedded by the transpose of the chain's last weights: x = a * sum over c of p[c] W[c] / |W[c]|, so that
 * what the blocks leave of the stream decodes to it again. It takes the last 96 tokens (12 x 8; the tokens before are an earlier
 * frame's and stay synthetic); planted activations stay. */
#ifndef BF_TRACE_FRAME_H
#define BF_TRACE_FRAME_H

#include <jansson.h>
#include <stdio.h>

#include "frame.h"
#include "trace.h"

enum { BF_TRACE_FRAME_TOKENS = BF_FRAME_LATENTS + BF_FRAME_ACROSS };

typedef struct bf_trace_frame {
    int nan, inf;         /* of the picture's values in the plan */
    bf_frame plan, sound; /* BT.601 */
} bf_trace_frame;

/* The input that takes the picture, the first one of the stream's width, and its values (malloc, rows x width). Error: the
 * chain does not end in a linear op with four outputs or more on 96 tokens or more of such an input. */
int bf_trace_frame_input(const bf_trace_chain *, bf_trace_weights *, uint64_t seed, int *line, float **values, bf_error *);
/* At the end of a run with both lanes. */
int bf_trace_frame_decode(const bf_lab *, const bf_trace_chain *, const bf_trace_run *, bf_trace_frame *, bf_error *);
/* DIR/frame-PLAN-rgb.png, frame-PLAN-yuv.png, frame-sound.png; a line about each. `place`: as trace_show.h. */
int bf_trace_frame_write(FILE *, const char *directory, const char *plan, const bf_trace_frame *, bf_error *);
json_t *bf_trace_frame_json(const bf_trace_chain *, const char *plan, const bf_trace_frame *, const char *place);

#endif
