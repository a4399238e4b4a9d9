/* trace_show.h: what a trace found, as text and as JSON. */
#ifndef BF_TRACE_SHOW_H
#define BF_TRACE_SHOW_H

#include <jansson.h>
#include <stdio.h>

#include "trace.h"

/* The first record that is not finite, and the first that is off by more than BF_TRACE_LOST; -1: none. */
void bf_trace_first(const bf_trace_record *, int n, int *bad, int *lost);
/* The table: op by op; without `verbose` blocks of no interest are one line. */
void bf_trace_table(FILE *, const bf_trace_chain *, const bf_trace_record *, int n, int verbose);
/* In words: what goes wrong first, or that nothing does. */
void bf_trace_summary(FILE *, const bf_trace_chain *, const char *plan, const bf_trace_record *, int n);
void bf_trace_bisect_show(FILE *, const bf_trace_chain *, const char *plan, const bf_trace_bisect *);
void bf_trace_list(FILE *, const bf_trace_chain *);

json_t *bf_trace_record_json(const bf_trace_chain *, const bf_trace_record *, const char *place);
json_t *bf_trace_summary_json(const bf_trace_chain *, const char *plan, const bf_trace_record *, int n, const char *place);
json_t *bf_trace_bisect_json(const bf_trace_chain *, const char *plan, const bf_trace_bisect *, const char *place);
/* "residual, norm" of a set of kinds. */
const char *bf_trace_set_text(const bf_trace_chain *, unsigned set, char *text, size_t room);

#endif
