/* case.h: cases as text. One line is one case, or several where a value is a list:
 *
 *     # comment
 *     q4k_matvec m=1024 k=4096 n=1,2,8 x=f32,bf16 fill=gauss,outlier seed=1
 *
 * The first word is the op; then key=value in any order, each key once. Values separated by commas multiply
 * out. Keys of every case: fill (default "gauss"), seed (default 1), witness, expect, kernel, tier; the rest are
 * the op's fields. A line is at most 4,096 bytes, a file 16 MiB, an expansion and a file 100,000 cases. */
#ifndef BF_CASE_H
#define BF_CASE_H

#include "op.h"

typedef struct bf_case_list {
    bf_case *item;
    size_t count, room;
} bf_case_list;

/* Append the cases of one line (file, lineno: for messages; file may be NULL). 0, or -1 with one line naming
 * file, line, key and the mend; the list is then unchanged. An empty or comment line appends nothing. */
int bf_case_parse_line(const char *line, size_t length, const char *file, int lineno, bf_case_list *, bf_error *);
int bf_case_parse_text(const char *text, size_t length, const char *file, bf_case_list *, bf_error *);
int bf_case_load(const char *path, bf_case_list *, bf_error *); /* a suite file */
void bf_case_list_free(bf_case_list *);

#endif
