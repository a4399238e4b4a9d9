/* json_lines.c: see json_lines.h. */
#define _GNU_SOURCE
#include "json_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json_memory.h"

int bf_json_line_bad(const bf_json_line *l, const char *field, const char *why) {
    return bf_fail(l->err, "%s: line %ld: field '%s' %s", l->path, l->number, field, why);
}

char *bf_json_line_text(const bf_json_line *l, const char *field) {
    const char *t = json_string_value(json_object_get(l->object, field));
    char *copy = t ? strdup(t) : NULL;
    if (!copy) return bf_json_line_bad(l, field, t ? "does not fit in memory" : "is missing or no text"), NULL;
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) *p = '?';
    return copy;
}

static int take_line(bf_json_line *l, const char *line, size_t length, int (*take)(const bf_json_line *, void *), void *user) {
    json_error_t why;
    if (length > BF_JSON_LINE_MOST) return bf_fail(l->err, "%s: line %ld: longer than %d bytes", l->path, l->number, BF_JSON_LINE_MOST);
    if (!(l->object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &why)))
        return bf_json_starved() ? bf_fail(l->err, "%s: line %ld: out of memory", l->path, l->number)
                                 : bf_fail(l->err, "%s: line %ld: not JSON: %s", l->path, l->number, why.text);
    l->type = json_string_value(json_object_get(l->object, "type"));
    int rc = l->type ? take(l, user) : bf_json_line_bad(l, "type", "is missing: not a record of blackframe");
    json_decref(l->object);
    return rc;
}

typedef struct buffer {
    char *text;
    size_t room;
} buffer;

/* The next line; 0 at the end, -1 without memory. What is longer than may be is cut behind one byte too many: a line without an end
 * must not fill the memory, as it would with getline. */
static int next_line(FILE *f, buffer *b, size_t *length) {
    *length = 0;
    for (;;) {
        if (b->room - *length < 2) {
            char *more = b->room < BF_JSON_LINE_MOST + 2 ? realloc(b->text, b->room ? 2 * b->room : 4096) : NULL;
            if (!more) return b->room < BF_JSON_LINE_MOST + 2 ? -1 : 1;
            b->text = more, b->room = b->room ? 2 * b->room : 4096;
        }
        if (!fgets(b->text + *length, (int)(b->room - *length), f)) return *length > 0;
        *length += strlen(b->text + *length);
        if (*length && b->text[*length - 1] == '\n') return --*length, 1;
    }
}

int bf_json_lines_stream(FILE *f, const char *label, int (*take)(const bf_json_line *, void *), void *user, bf_error *err) {
    bf_json_line l = {.path = label, .err = err};
    buffer b = {0};
    size_t length;
    int rc = 0, got = 0;
    while (!rc && (got = next_line(f, &b, &length)) > 0) {
        l.number++;
        rc = take_line(&l, b.text, length, take, user);
    }
    if (!rc && got < 0) rc = bf_fail(err, "%s: line %ld: out of memory", label, l.number + 1);
    if (!rc && ferror(f)) rc = bf_fail(err, "%s: %s", label, strerror(errno));
    free(b.text);
    return rc;
}

int bf_json_lines_read(const char *path, int (*take)(const bf_json_line *, void *), void *user, bf_error *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = 0;
    if (fd < 0 || fstat(fd, &st)) rc = bf_fail(err, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode)) rc = bf_fail(err, "%s: not a file", path);
    FILE *f = rc ? NULL : fdopen(fd, "r");
    if (!f) {
        if (!rc) rc = bf_fail(err, "%s: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return rc;
    }
    rc = bf_json_lines_stream(f, path, take, user, err);
    fclose(f);
    return rc;
}
