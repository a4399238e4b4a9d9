/* fail_show.c: text and JSON of the failure catalogue. */
#include "fail_show.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "record.h"

int bf_fail_width(FILE *f) {
    struct winsize w;
    int width = fileno(f) >= 0 && ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 100;
    return width < 60 ? 60 : width > 120 ? 120 : width;
}

typedef struct page {
    FILE *f;
    int width;
} page;

enum { INDENT = 5, LABEL = 10 };

/* "     label     text", wrapped at blanks, continued below the text. */
static void field(page *p, const char *label, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void field(page *p, const char *label, const char *format, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    int left = INDENT + (label ? LABEL : 0), room = p->width - left;
    for (const char *at = text; *at;) {
        int n = (int)strlen(at);
        if (n > room)
            for (n = room; n > 0 && at[n] != ' '; n--) {
            }
        if (n <= 0) n = (int)strcspn(at, " ");
        fprintf(p->f, "%*s%-*s%.*s\n", INDENT, "", left - INDENT, at == text && label ? label : "", n, at);
        at += n;
        while (*at == ' ') at++;
    }
}

static void side(page *p, const char *label, const bf_fail_side *s) {
    char wrong[48] = "", first[160] = "";
    if (s->wrong) snprintf(wrong, sizeof wrong, ", %lld wrong", (long long)s->wrong);
    if (s->has_first) {
        int n = snprintf(first, sizeof first, "; first %s[%lld] 0x%0*llx %.6g", s->tensor, (long long)s->index,
                         2 * (int)bf_dtype_bytes(s->type, 1), (unsigned long long)s->bits, s->got);
        if (!isnan(s->source)) snprintf(first + n, sizeof first - (size_t)n, ", exactly %.6g", s->source);
    }
    field(p, label, "%s: %lld values: %lld inf, %lld NaN, %lld zero%s%s%s%s", s->what, (long long)s->values,
          (long long)s->inf, (long long)s->nan, (long long)s->zero, wrong, first, s->judged[0] ? "; " : "",
          s->judged);
}

/* A table: rows that begin with # are heads, and start a new one. */
static void table(page *p, const bf_fail_result *r) {
    for (int begin = 0, end; begin < r->rows; begin = end) {
        int width[BF_FAIL_COLUMNS] = {0};
        for (end = begin + 1; end < r->rows && r->cell[end][0][0] != '#'; end++) {
        }
        for (int i = begin; i < end; i++)
            for (int c = 0; c < r->columns; c++) {
                int n = (int)strlen(r->cell[i][c]) - (r->cell[i][c][0] == '#');
                if (n > width[c]) width[c] = n;
            }
        int all = 0;
        for (int c = 0; c < r->columns; c++) all += width[c] + (c ? 2 : 0);
        for (int i = begin; i < end; i++) {
            char line[BF_FAIL_COLUMNS * (BF_FAIL_CELL + 2) + 1] = "";
            int at = 0;
            for (int c = 0; c < r->columns; c++)
                at += snprintf(line + at, sizeof line - (size_t)at, c ? "  %*s" : "%-*s", width[c],
                               r->cell[i][c] + (r->cell[i][c][0] == '#'));
            while (at > 0 && line[at - 1] == ' ') line[--at] = 0;
            fprintf(p->f, "%*s%s\n", INDENT + (INDENT + LABEL + all <= p->width ? LABEL : 0), "", line);
        }
    }
}

static void again(char *text, size_t room, const bf_fail_entry *e, const char *place, const char *program) {
    if (strcmp(place, "host"))
        snprintf(text, room, "%s fail %s --backend %s", program, e->id, place);
    else
        snprintf(text, room, "%s fail %s", program, e->id);
}

static void detail(page *p, const bf_fail_result *r) {
    if (r->input[0]) field(p, "input", "%s", r->input);
    if (r->sides) side(p, "broken", &r->broken), side(p, "sound", &r->sound);
    if (r->seen[0]) field(p, "seen", "%s", r->seen);
    table(p, r);
}

void bf_fail_show(FILE *f, int width, const bf_fail_entry *e, const bf_fail_shown *s, int n, int verbose,
                  const char *program) {
    char line[512];
    page p = {f, width};
    fprintf(f, "\n%-4s %s (%s)\n", e->id, e->name, bf_fail_kind_name(e->kind));
    field(&p, NULL, "%s", e->mechanism);
    field(&p, "from", "%s", e->thread);
    field(&p, "mend", "%s", e->fix);
    for (int i = 0; i < n; i++) {
        const bf_fail_result *r = s[i].result;
        if (i == 0 || verbose || r->verdict == BF_NOT_REPRODUCED) detail(&p, r);
        again(line, sizeof line, e, s[i].place, program);
        fprintf(f, "%*s%-14s %-9s %5.2f s  %s\n", INDENT, "", bf_fail_verdict_name(r->verdict), s[i].place,
                r->seconds, line);
        /* What every place says alike is said once. */
        if (r->why[0] && (i == 0 || strcmp(r->why, s[i - 1].result->why)))
            field(&p, r->verdict == BF_SKIPPED ? "needs" : "because", "%s", r->why);
    }
}

void bf_fail_list(FILE *f, int width, const bf_fail_entry *const *e, int n) {
    page p = {f, width};
    for (int i = 0; i < n; i++) {
        fprintf(f, "%-4s %-26s %s\n", e[i]->id, e[i]->name, bf_fail_kind_name(e[i]->kind));
        field(&p, NULL, "%s", e[i]->mechanism);
    }
}

static json_t *side_json(const bf_fail_side *s) {
    char bits[24];
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "kernel", s->what, "values", (json_int_t)s->values,
                          "inf", (json_int_t)s->inf, "nan", (json_int_t)s->nan, "zero", (json_int_t)s->zero, "wrong",
                          (json_int_t)s->wrong, "judged", s->judged);
    snprintf(bits, sizeof bits, "0x%0*llx", 2 * (int)bf_dtype_bytes(s->type, 1), (unsigned long long)s->bits);
    if (s->has_first)
        json_object_set_new(o, "first",
                            json_pack("{s:s, s:I, s:s, s:s, s:o, s:o}", "tensor", s->tensor, "index",
                                      (json_int_t)s->index, "bits", bits, "type", bf_dtype_name(s->type), "got",
                                      bf_json_real(s->got), "source", bf_json_real(s->source)));
    return o;
}

static json_t *tables_json(const bf_fail_result *r) {
    json_t *tables = json_array(), *rows = NULL;
    for (int i = 0; i < r->rows; i++) {
        json_t *row = json_array();
        int head = r->cell[i][0][0] == '#';
        for (int c = 0; c < r->columns; c++) json_array_append_new(row, json_string(r->cell[i][c] + (head && !c)));
        if (head || !rows) {
            rows = json_array();
            json_array_append_new(
                tables, json_pack("{s:o, s:o}", "head", head ? json_incref(row) : json_array(), "rows", rows));
        }
        if (!head) json_array_append(rows, row);
        json_decref(row);
    }
    return tables;
}

json_t *bf_fail_json(const bf_fail_entry *e, const bf_fail_result *r, const char *place, const bf_device *d,
                     const char *program) {
    char line[512];
    again(line, sizeof line, e, place, program);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:f, s:s, s:s, s:s, s:o, s:s}",
                  "type", "failure", "id", e->id, "name", e->name, "kind", bf_fail_kind_name(e->kind), "mechanism",
                  e->mechanism, "thread", e->thread, "fix", e->fix, "backend", place, "device", d->index, "arch",
                  d->arch, "object", d->object, "verdict", bf_fail_verdict_name(r->verdict), "seconds", r->seconds,
                  "input", r->input, "seen", r->seen, "why", r->why, "tables", tables_json(r), "again", line);
    if (r->sides)
        json_object_set_new(o, "broken", side_json(&r->broken)),
            json_object_set_new(o, "sound", side_json(&r->sound));
    return o;
}
