/* json_lines.h: a file of JSON Lines, read line by line. A record may come from anywhere: what is no line, no object or too long is
 * refused with the file and the line's number. */
#ifndef BF_JSON_LINES_H
#define BF_JSON_LINES_H

#include <jansson.h>
#include <stdio.h>

#include "error.h"

enum { BF_JSON_LINE_MOST = 1 << 20 }; /* bytes */

typedef struct bf_json_line {
    const char *path;
    long number;
    json_t *object;   /* gone when the callback returns */
    const char *type; /* its field "type" */
    bf_error *err;
} bf_json_line;

/* Calls take(line, user) for each line until one returns other than 0, which is then returned. -1 with err where the file is none. */
int bf_json_lines_read(const char *path, int (*take)(const bf_json_line *, void *user), void *user, bf_error *);
int bf_json_lines_stream(FILE *, const char *label, int (*take)(const bf_json_line *, void *user), void *user, bf_error *);

/* Fails with "path: line N: field 'x' why". */
int bf_json_line_bad(const bf_json_line *, const char *field, const char *why);
/* A copy of a text field that a terminal can show, from malloc; NULL with err. */
char *bf_json_line_text(const bf_json_line *, const char *field);

#endif
