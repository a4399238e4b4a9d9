/* archive.c: see archive.h. */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json_lines.h"
#include "json_memory.h"

static uint64_t hash_of(const unsigned char *p, uint64_t n) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (uint64_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* ---- writing ---- */

static char *hexadecimal(const unsigned char *p, uint64_t n) {
    static const char digit[] = "0123456789abcdef";
    char *out = malloc(2 * n + 1);
    for (uint64_t i = 0; out && i < n; i++) out[2 * i] = digit[p[i] >> 4], out[2 * i + 1] = digit[p[i] & 15];
    if (out) out[2 * n] = 0;
    return out;
}

static int write_line(int fd, json_t *o, bf_error *err) {
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    int rc = 0;
    if (!text || bf_json_starved()) rc = bf_fail(err, bf_json_starved() ? "archive: out of memory" : "archive: a name is not UTF-8");
    size_t n = rc ? 0 : strlen(text);
    if (n) text[n++] = '\n'; /* in place of the NUL */
    for (size_t at = 0; at < n;) {
        ssize_t w = write(fd, text + at, n - at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return free(text), bf_fail(err, "archive: write failed: %s", strerror(errno));
        at += (size_t)w;
    }
    free(text);
    return rc;
}

int bf_archive_append(int fd, const bf_device *d, const bf_case *c, const bf_kernel *k, const bf_tensor out[BF_MAX_TENSORS], bf_status status, bf_error *err) {
    int rc = 0;
    for (int i = 0; i < BF_MAX_TENSORS && !rc; i++) {
        const bf_tensor *t = &out[i];
        char hash[20];
        if (t->role != BF_OUTPUT) continue;
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hash_of(t->data, t->bytes));
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "type", "output", "op", c->op->name, "case", c->line, "kernel", k->name,
                              "path", k->path ? k->path : "", "backend", d->backend->name, "device", d->index, "arch", d->arch, "status", bf_status_name(status),
                              "tensor", t->name, "dtype", bf_dtype_name(t->type));
        json_t *shape = json_array();
        for (int n = 0; n < t->rank; n++) json_array_append_new(shape, json_integer((json_int_t)t->dim[n]));
        json_object_set_new(o, "shape", shape);
        json_object_set_new(o, "hash", json_string(hash));
        if (c->tensor) json_object_set_new(o, "of", json_string(c->tensor));
        if (t->bytes <= BF_ARCHIVE_VALUES) {
            char *values = hexadecimal(t->data, t->bytes);
            if (!values) rc = bf_fail(err, "archive: out of memory");
            json_object_set_new(o, "values", json_string(values ? values : ""));
            free(values);
        }
        if (!rc) rc = write_line(fd, o, err);
        json_decref(o);
    }
    return rc;
}

/* ---- reading ---- */

void bf_output_free(bf_output *o) {
    free(o->backend), free(o->arch), free(o->op), free(o->kernel), free(o->what), free(o->tensor), free(o->status), free(o->bytes);
    *o = (bf_output){0};
}

void bf_archive_free(bf_output_list *l) {
    for (size_t i = 0; i < l->count; i++) bf_output_free(&l->item[i]);
    free(l->item);
    *l = (bf_output_list){0};
}

static int digit_of(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static int read_shape(const bf_json_line *l, bf_output *o) {
    json_t *shape = json_object_get(l->object, "shape"), *v;
    size_t i;
    o->elements = 1;
    if (!json_is_array(shape) || json_array_size(shape) > 4) return bf_json_line_bad(l, "shape", "is not a list of at most four sizes");
    json_array_foreach(shape, i, v) {
        json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
        if (n < 0 || __builtin_mul_overflow(o->elements, (uint64_t)n, &o->elements) || o->elements >= UINT64_C(1) << 59)
            return bf_json_line_bad(l, "shape", "has a size that cannot be");
        o->dim[i] = n, o->rank = (int)i + 1;
    }
    return 0;
}

static int read_values(const bf_json_line *l, bf_output *o) {
    const char *hash = json_string_value(json_object_get(l->object, "hash"));
    json_t *v = json_object_get(l->object, "values");
    const char *text = json_string_value(v);
    uint64_t bytes = bf_dtype_bytes(o->type, (int64_t)o->elements);
    if (!hash || strlen(hash) != 16 || strspn(hash, "0123456789abcdef") != 16) return bf_json_line_bad(l, "hash", "is not 16 hexadecimal digits");
    o->hash = strtoull(hash, NULL, 16);
    if (!v) return 0;
    if (!text || strlen(text) / 2 != bytes || strlen(text) % 2) return bf_json_line_bad(l, "values", "are not as many as the shape says");
    if (!(o->bytes = malloc(bytes + 1))) return bf_json_line_bad(l, "values", "do not fit in memory");
    for (uint64_t i = 0; i < bytes; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) return bf_json_line_bad(l, "values", "are not hexadecimal");
        o->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return hash_of(o->bytes, bytes) == o->hash ? 0 : bf_json_line_bad(l, "values", "do not have the hash of the line: the file is damaged");
}

static int read_output(const bf_json_line *l, bf_output *o) {
    const char *type = json_string_value(json_object_get(l->object, "dtype"));
    *o = (bf_output){.type = type ? bf_dtype_parse(type) : BF_NONE};
    if (o->type == BF_NONE || bf_dtype_is_block(o->type)) return bf_json_line_bad(l, "dtype", "is no type that outputs have");
    if (!(o->backend = bf_json_line_text(l, "backend")) || !(o->arch = bf_json_line_text(l, "arch")) || !(o->op = bf_json_line_text(l, "op")) ||
        !(o->kernel = bf_json_line_text(l, "kernel")) || !(o->what = bf_json_line_text(l, "case")) || !(o->tensor = bf_json_line_text(l, "tensor")) ||
        !(o->status = bf_json_line_text(l, "status")))
        return -1;
    if (json_object_get(l->object, "of")) {
        char *of = bf_json_line_text(l, "of"), *what = NULL;
        if (!of || asprintf(&what, "%s of %s", o->what, of) < 0) return free(of), bf_json_line_bad(l, "of", "is no text");
        free(of), free(o->what);
        o->what = what;
    }
    return read_shape(l, o) || read_values(l, o) ? -1 : 0;
}

static int take(const bf_json_line *l, void *user) {
    bf_output_list *list = user;
    if (strcmp(l->type, "output")) return 0;
    if (!(list->count & (list->count - 1))) {
        bf_output *more = realloc(list->item, sizeof *more * (list->count ? 2 * list->count : 1));
        if (!more) return bf_fail(l->err, "%s: out of memory", l->path);
        list->item = more;
    }
    if (read_output(l, &list->item[list->count])) return bf_output_free(&list->item[list->count]), -1;
    list->count++;
    return 0;
}

int bf_archive_read(const char *path, bf_output_list *list, bf_error *err) { return bf_json_lines_read(path, take, list, err); }
int bf_archive_stream(FILE *f, const char *label, bf_output_list *list, bf_error *err) { return bf_json_lines_stream(f, label, take, list, err); }
