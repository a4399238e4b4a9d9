/* bench_record.h: the timings of one or several records of `blackframe bench`, read back. A record may come from anywhere:
 * every field that is used is checked. */
#ifndef BF_BENCH_RECORD_H
#define BF_BENCH_RECORD_H

#include <stddef.h>
#include <stdio.h>

#include "error.h"
#include "measure.h"

/* median, low, high of bf_summary: all positive, low <= median <= high. */
typedef struct bf_interval {
    double median, low, high;
} bf_interval;

/* One kernel on one case of one device; of several runs of it all are kept until bf_bench_list_merge. */
typedef struct bf_bench_line {
    char *backend, *device, *op, *kernel, *what; /* what: the case line, with the tensor where it came from a file */
    char *ceiling;                               /* "" where it was not timed */
    bf_bench_status status;
    bf_interval seconds, ratio; /* of one launch; kernel to ceiling. Zero when NOT TIMED */
    double intensity;           /* flops for each byte that must move */
    int runs;
} bf_bench_line;

typedef struct bf_bench_list {
    bf_bench_line *line;
    size_t count;
} bf_bench_list;

/* Appends the `bench` lines of a JSON Lines file; lines of other types are passed over. 0, or -1 with err: the file, the number of
 * the line, the field. */
int bf_bench_list_read(const char *path, bf_bench_list *, bf_error *);
int bf_bench_list_stream(FILE *, const char *label, bf_bench_list *, bf_error *);

/* Sorts, and makes one line of several runs of the same. The median is the median of the runs' medians. The interval spans that
 * of the runs' medians (bf_summarize: below six runs their range) and the typical one of a single run, so that neither what
 * varies between runs nor what varies within one is lost. A run that is INVALID or NOT TIMED makes the whole so. */
void bf_bench_list_merge(bf_bench_list *);

/* Order of lines: backend, device, kernel, case. */
int bf_bench_line_order(const void *, const void *);

void bf_bench_list_free(bf_bench_list *);

#endif
