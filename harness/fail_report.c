/* fail_report.c: what entries say of themselves. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fail.h"
#include "worker.h"

const char *bf_fail_kind_name(bf_fail_kind k) {
    static const char *const name[] = {"numeric", "fault", "measurement"};
    return name[k];
}
const char *bf_fail_verdict_name(bf_fail_verdict v) {
    static const char *const name[] = {"REPRODUCED", "NOT REPRODUCED", "MEASURED", "SKIPPED"};
    return name[v];
}

const bf_fail_entry *bf_failure_find(const char *word) {
    for (int i = 0; bf_failures[i]; i++)
        if (!strcasecmp(word, bf_failures[i]->id) || !strcasecmp(word, bf_failures[i]->name)) return bf_failures[i];
    return NULL;
}

void bf_failure_run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r) {
    bf_error err = {{0}};
    double begin = bf_now();
    memset(r, 0, sizeof *r);
    r->verdict = e->kind == BF_FAIL_MEASUREMENT ? BF_MEASURED : BF_REPRODUCED;
    if (e->run(lab, e, r, &err)) {
        r->verdict = BF_NOT_REPRODUCED;
        snprintf(r->why, sizeof r->why, "%.250s", err.text);
    }
    r->seconds = bf_now() - begin;
}

int bf_fail_require(bf_fail_result *r, int condition, const char *format, ...) {
    va_list ap;
    if (condition || r->verdict == BF_NOT_REPRODUCED) return condition;
    va_start(ap, format);
    vsnprintf(r->why, sizeof r->why, format, ap);
    va_end(ap);
    r->verdict = BF_NOT_REPRODUCED;
    return 0;
}

void bf_fail_skip(bf_fail_result *r, const char *needs) {
    r->verdict = BF_SKIPPED;
    snprintf(r->why, sizeof r->why, "%s", needs);
}

void bf_fail_row(bf_fail_result *r, int columns, ...) {
    va_list ap;
    va_start(ap, columns);
    if (columns > r->columns) r->columns = columns;
    for (int i = 0; i < columns && r->rows < BF_FAIL_ROWS; i++)
        snprintf(r->cell[r->rows][i], BF_FAIL_CELL, "%s", va_arg(ap, const char *));
    va_end(ap);
    if (r->rows < BF_FAIL_ROWS) r->rows++;
}

const char *bf_fail_text(const char *format, ...) {
    static char text[32][BF_FAIL_CELL];
    static int at;
    va_list ap;
    va_start(ap, format);
    at = (at + 1) % 32;
    vsnprintf(text[at], sizeof text[at], format, ap);
    va_end(ap);
    return text[at];
}

const char *bf_fail_scale(int index) { return index < 0 ? "-" : bf_fail_text("2^%d", index + BF_SWEEP_FIRST); }
