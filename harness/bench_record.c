/* bench_record.c: see the header. */
#define _GNU_SOURCE
#include "bench_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_lines.h"

enum { LINES_MOST = 1000000 };

static int positive(json_t *o, const char *name, double *v) {
    json_t *n = json_object_get(o, name);
    *v = json_number_value(n);
    return json_is_number(n) && *v > 0 && isfinite(*v);
}

static int interval(const bf_json_line *s, const char *field, bf_interval *i) {
    json_t *o = json_object_get(s->object, field);
    if (!positive(o, "median", &i->median) || !positive(o, "low", &i->low) || !positive(o, "high", &i->high))
        return bf_json_line_bad(s, field, "has no positive median, low and high");
    if (!(i->low <= i->median && i->median <= i->high)) return bf_json_line_bad(s, field, "has its median outside of its interval");
    return 0;
}

static int status_of(const bf_json_line *s, bf_bench_status *status) {
    const char *t = json_string_value(json_object_get(s->object, "status"));
    for (int i = BF_VALID; t && i <= BF_NOT_TIMED; i++)
        if (!strcmp(t, bf_bench_status_name((bf_bench_status)i))) return *status = (bf_bench_status)i, 0;
    return bf_json_line_bad(s, "status", "is none of VALID, UNSETTLED, SHORT, INVALID, NOT TIMED");
}

static void release(bf_bench_line *l) {
    free(l->backend), free(l->device), free(l->op), free(l->kernel), free(l->what), free(l->ceiling);
}

/* "case" and, of a tensor of a file, its name: two tensors may share a shape. */
static char *what_of(const bf_json_line *s) {
    char *line = bf_json_line_text(s, "case"), *from = line ? bf_json_line_text(s, "source") : NULL, *what = NULL;
    const char *tensor = from ? strstr(from, ".gguf:") : NULL;
    if (from && asprintf(&what, "%s%s%s", line, tensor ? " of " : "", tensor ? tensor + 6 : "") < 0) what = NULL;
    if (from && !what) bf_json_line_bad(s, "case", "does not fit in memory");
    free(line), free(from);
    return what;
}

static int read_line(const bf_json_line *s, bf_bench_line *l) {
    double flops = json_number_value(json_object_get(s->object, "flops")), bandwidth = 0;
    *l = (bf_bench_line){.runs = 1};
    if (status_of(s, &l->status) || !(l->backend = bf_json_line_text(s, "backend")) || !(l->device = bf_json_line_text(s, "name")) ||
        !(l->op = bf_json_line_text(s, "op")) || !(l->kernel = bf_json_line_text(s, "kernel")) || !(l->what = what_of(s)))
        return -1;
    if (l->status == BF_NOT_TIMED) return (l->ceiling = strdup("")) ? 0 : bf_json_line_bad(s, "ceiling", "does not fit in memory");
    if (!(l->ceiling = bf_json_line_text(s, "ceiling")) || interval(s, "steady_s", &l->seconds) || interval(s, "ratio", &l->ratio)) return -1;
    if (!positive(s->object, "bandwidth", &bandwidth)) return bf_json_line_bad(s, "bandwidth", "is not a positive number");
    l->intensity = flops / bandwidth;
    return 0;
}

static int append(bf_bench_list *list, const bf_json_line *s) {
    if (list->count >= LINES_MOST) return bf_fail(s->err, "%s: line %ld: more than %d timings", s->path, s->number, LINES_MOST);
    if (!(list->count & (list->count - 1))) {
        bf_bench_line *more = realloc(list->line, sizeof *more * (list->count ? 2 * list->count : 1));
        if (!more) return bf_fail(s->err, "out of memory");
        list->line = more;
    }
    if (read_line(s, &list->line[list->count])) return release(&list->line[list->count]), -1;
    list->count++;
    return 0;
}

static int take(const bf_json_line *l, void *list) { return strcmp(l->type, "bench") ? 0 : append(list, l); }

int bf_bench_list_read(const char *path, bf_bench_list *list, bf_error *err) { return bf_json_lines_read(path, take, list, err); }
int bf_bench_list_stream(FILE *f, const char *label, bf_bench_list *list, bf_error *err) { return bf_json_lines_stream(f, label, take, list, err); }

int bf_bench_line_order(const void *a, const void *b) {
    const bf_bench_line *x = a, *y = b;
    int by = strcmp(x->backend, y->backend);
    if (!by) by = strcmp(x->device, y->device);
    if (!by) by = strcmp(x->kernel, y->kernel);
    return by ? by : strcmp(x->what, y->what);
}

/* Of runs whose values lie `offset` bytes into a line. */
static bf_interval spanned(const bf_bench_line *l, size_t n, size_t offset, double *room) {
    double *median = room, *low = room + n, *high = room + 2 * n;
    for (size_t i = 0; i < n; i++) {
        const bf_interval *v = (const bf_interval *)((const char *)&l[i] + offset);
        median[i] = v->median, low[i] = v->low, high[i] = v->high;
    }
    bf_summary s = bf_summarize(median, n);
    return (bf_interval){s.median, fmin(s.low, bf_summarize(low, n).median), fmax(s.high, bf_summarize(high, n).median)};
}

static void merge_group(bf_bench_line *to, bf_bench_line *l, size_t n, double *room) {
    for (size_t i = 1; i < n; i++) {
        if (l[i].status > l[0].status) l[0].status = l[i].status;
        if (strcmp(l[i].ceiling, l[0].ceiling)) l[0].ceiling[0] = 0; /* no one ceiling */
    }
    if (n > 1 && l[0].status != BF_NOT_TIMED) {
        bf_interval seconds = spanned(l, n, offsetof(bf_bench_line, seconds), room);
        l[0].ratio = spanned(l, n, offsetof(bf_bench_line, ratio), room);
        l[0].seconds = seconds;
    }
    l[0].runs = (int)n;
    for (size_t i = 1; i < n; i++) release(&l[i]);
    *to = l[0];
}

void bf_bench_list_merge(bf_bench_list *list) {
    size_t kept = 0;
    double *room = calloc(list->count + 1, 3 * sizeof *room);
    if (!room) return;
    if (list->count) qsort(list->line, list->count, sizeof *list->line, bf_bench_line_order);
    for (size_t i = 0, n; i < list->count; i += n) {
        for (n = 1; i + n < list->count && !bf_bench_line_order(&list->line[i], &list->line[i + n]);) n++;
        merge_group(&list->line[kept++], &list->line[i], n, room);
    }
    list->count = kept;
    free(room);
}

void bf_bench_list_free(bf_bench_list *list) {
    for (size_t i = 0; i < list->count; i++) release(&list->line[i]);
    free(list->line);
    *list = (bf_bench_list){0};
}
