/* fail_show.h: entries and their results as text for a terminal of 80 columns and more, and as JSON. */
#ifndef BF_FAIL_SHOW_H
#define BF_FAIL_SHOW_H

#include <jansson.h>
#include <stdio.h>

#include "fail.h"

typedef struct bf_fail_shown {
    const char *place; /* backend, or "host" */
    const bf_fail_result *result;
} bf_fail_shown;

/* Columns of the terminal behind f, 60 to 120; 100 where there is none. */
int bf_fail_width(FILE *f);
/* One entry and what it gave in n places. The first place in full, the others in a line each, unless they did not
 * reproduce or `verbose`. */
void bf_fail_show(FILE *, int width, const bf_fail_entry *, const bf_fail_shown *, int n, int verbose,
                  const char *program);
void bf_fail_list(FILE *, int width, const bf_fail_entry *const *, int n);
json_t *bf_fail_json(const bf_fail_entry *, const bf_fail_result *, const char *place, const bf_device *,
                     const char *program);

#endif
