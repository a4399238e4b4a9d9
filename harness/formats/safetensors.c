/* safetensors.c: see safetensors.h. */
#include "safetensors.h"

#include "../json_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The format's own limit of the header. */
enum { MAX_HEADER = 100000000 };

struct safetensors_file {
    json_t *header; /* owns the names */
    safetensors_tensor *tensor;
    size_t count;
    void *map;
    size_t map_bytes;
};

static const struct {
    const char *name;
    uint64_t bytes;
} types[] = {
    {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1}, {"U64", 8},
    {"U32", 4}, {"U16", 2}, {"U8", 1}, {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
};

uint64_t safetensors_type_bytes(const char *type) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, type)) return types[i].bytes;
    return 0;
}

typedef struct reader {
    const uint8_t *bytes;
    uint64_t size, data; /* of the file; where the data begin */
    const char *label;
    bf_error *err;
} reader;

static int whole(const json_t *v, uint64_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < 0) return -1;
    *out = (uint64_t)json_integer_value(v);
    return 0;
}

static int read_shape(const reader *r, const json_t *shape, safetensors_tensor *t) {
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_RANK)
        return bf_fail(r->err, "%s: offset 8: %.80s: shape: wants an array of at most %d sizes", r->label, t->name, SAFETENSORS_MAX_RANK);
    t->rank = (int)json_array_size(shape), t->elements = 1;
    for (int i = 0; i < t->rank; i++)
        if (whole(json_array_get(shape, (size_t)i), &t->dim[i]) || __builtin_mul_overflow(t->elements, t->dim[i], &t->elements))
            return bf_fail(r->err, "%s: offset 8: %.80s: shape: size %d is no count, or the tensor is too large", r->label, t->name, i);
    return 0;
}

static int read_tensor(const reader *r, const char *name, const json_t *v, safetensors_tensor *t) {
    const char *type = json_string_value(json_object_get(v, "dtype"));
    const json_t *offsets = json_object_get(v, "data_offsets");
    uint64_t begin, end, bytes, element;
    t->name = name;
    if (!type || !*type || strlen(type) >= sizeof t->type)
        return bf_fail(r->err, "%s: offset 8: %.80s: dtype: '%.20s' is no type", r->label, name, type ? type : "(missing)");
    element = safetensors_type_bytes(type); /* 0: a newer type, whose tensors are not read */
    strcpy(t->type, type);
    if (read_shape(r, json_object_get(v, "shape"), t)) return -1;
    if (json_array_size(offsets) != 2 || whole(json_array_get(offsets, 0), &begin) || whole(json_array_get(offsets, 1), &end) || begin > end ||
        end > r->size - r->data)
        return bf_fail(r->err, "%s: offset 8: %.80s: data_offsets: not [begin, end) within the %llu bytes of data (a download cut short?)",
                       r->label, name, (unsigned long long)(r->size - r->data));
    bytes = end - begin;
    if (element && (__builtin_mul_overflow(t->elements, element, &bytes) || bytes != end - begin))
        return bf_fail(r->err, "%s: offset %llu: %.80s: %llu bytes, its shape and type say otherwise", r->label,
                       (unsigned long long)(r->data + begin), name, (unsigned long long)(end - begin));
    t->bytes = bytes, t->offset = r->data + begin, t->data = r->bytes + t->offset;
    return 0;
}

static int by_offset(const void *a, const void *b) {
    const safetensors_tensor *s = a, *t = b;
    if (s->offset != t->offset) return s->offset < t->offset ? -1 : 1;
    return s->bytes < t->bytes ? -1 : s->bytes > t->bytes; /* empty ones first */
}

static int no_holes(const reader *r, const safetensors_file *f) {
    uint64_t at = r->data;
    for (size_t i = 0; i < f->count; i++) {
        if (f->tensor[i].offset != at)
            return bf_fail(r->err, "%s: offset %llu: %.80s: data_offsets: %s the tensor before it", r->label, (unsigned long long)f->tensor[i].offset,
                           f->tensor[i].name, f->tensor[i].offset < at ? "overlaps" : "leaves a hole behind");
        at += f->tensor[i].bytes;
    }
    if (at != r->size)
        return bf_fail(r->err, "%s: offset %llu: %llu bytes belong to no tensor", r->label, (unsigned long long)at, (unsigned long long)(r->size - at));
    return 0;
}

static int read_tensors(const reader *r, safetensors_file *f) {
    const char *name;
    json_t *v;
    f->tensor = calloc(json_object_size(f->header) + 1, sizeof *f->tensor);
    if (!f->tensor) return bf_fail(r->err, "%s: offset 8: out of memory", r->label);
    json_object_foreach(f->header, name, v) {
        if (!strcmp(name, "__metadata__")) {
            if (!json_is_object(v)) return bf_fail(r->err, "%s: offset 8: __metadata__: not an object", r->label);
            continue;
        }
        if (read_tensor(r, name, v, &f->tensor[f->count])) return -1;
        f->count++;
    }
    qsort(f->tensor, f->count, sizeof *f->tensor, by_offset);
    return no_holes(r, f);
}

static int read_file(reader *r, safetensors_file *f) {
    uint64_t n = 0;
    json_error_t e;
    if (r->size < 8) return bf_fail(r->err, "%s: offset 0: header length: the file has %llu bytes, 8 are needed", r->label, (unsigned long long)r->size);
    for (int i = 7; i >= 0; i--) n = n << 8 | r->bytes[i];
    if (n > MAX_HEADER || n > r->size - 8)
        return bf_fail(r->err, "%s: offset 0: header length: %llu, the file has %llu bytes behind it (is it a safetensors file?)", r->label,
                       (unsigned long long)n, (unsigned long long)(r->size - 8));
    if (!n || r->bytes[8] != '{') return bf_fail(r->err, "%s: offset 8: header: does not begin with '{'", r->label);
    f->header = json_loadb((const char *)r->bytes + 8, (size_t)n, JSON_REJECT_DUPLICATES, &e);
    if (!f->header && bf_json_starved()) return bf_fail(r->err, "%s: offset 8: header: out of memory", r->label);
    if (!f->header) return bf_fail(r->err, "%s: offset %lld: header: %s", r->label, 8 + (long long)(e.position > 0 ? e.position : 0), e.text);
    if (!json_is_object(f->header)) return bf_fail(r->err, "%s: offset 8: header: not an object", r->label);
    r->data = 8 + n;
    return read_tensors(r, f);
}

safetensors_file *safetensors_open_memory(const void *bytes, size_t size, const char *label, bf_error *err) {
    reader r = {.bytes = bytes, .size = size, .label = label, .err = err};
    safetensors_file *f = calloc(1, sizeof *f);
    if (!f) {
        bf_fail(err, "%s: offset 0: out of memory", label);
        return NULL;
    }
    if (read_file(&r, f)) {
        safetensors_close(f);
        return NULL;
    }
    return f;
}

safetensors_file *safetensors_open(const char *path, bf_error *err) {
    struct stat st;
    void *map = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st))
        bf_fail(err, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        bf_fail(err, "%s: not a regular file (give a .safetensors file)", path);
    else if (!st.st_size)
        bf_fail(err, "%s: offset 0: header length: the file is empty", path);
    else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        bf_fail(err, "%s: cannot map it: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    if (map == MAP_FAILED) return NULL;
    safetensors_file *f = safetensors_open_memory(map, (size_t)st.st_size, path, err);
    if (!f)
        munmap(map, (size_t)st.st_size);
    else
        f->map = map, f->map_bytes = (size_t)st.st_size;
    return f;
}

void safetensors_close(safetensors_file *f) {
    if (!f) return;
    json_decref(f->header);
    free(f->tensor);
    if (f->map) munmap(f->map, f->map_bytes);
    free(f);
}

size_t safetensors_count(const safetensors_file *f) { return f->count; }
const safetensors_tensor *safetensors_at(const safetensors_file *f, size_t i) { return i < f->count ? &f->tensor[i] : NULL; }
const safetensors_tensor *safetensors_find(const safetensors_file *f, const char *name) {
    for (size_t i = 0; i < f->count; i++)
        if (!strcmp(f->tensor[i].name, name)) return &f->tensor[i];
    return NULL;
}
