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

int bf_json_lines_stream(FILE *f, const char *label, int (*take)(const bf_json_line *, void *), void *user, bf_error *err) {
    bf_json_line l = {.path = label, .err = err};
    char *line = malloc(BF_JSON_LINE_MOST + 2);
    int rc = line ? 0 : bf_fail(err, "%s: out of memory", label);
    /* fgets, not getline: a line without an end must not fill the memory. */
    while (!rc && fgets(line, BF_JSON_LINE_MOST + 2, f)) {
        size_t n = strlen(line);
        l.number++;
        if (n == BF_JSON_LINE_MOST + 1 && line[n - 1] != '\n') n++;
        else if (n && line[n - 1] == '\n') n--;
        rc = take_line(&l, line, n, take, user);
    }
    if (!rc && ferror(f)) rc = bf_fail(err, "%s: %s", label, strerror(errno));
    free(line);
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
