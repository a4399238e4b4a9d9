/* gguf.c: see gguf.h. One pass over the file with a cursor that knows its end; then the tensors are set against each other. */
#include "gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are copied as they lie in the file: little-endian hosts only"
#endif

enum {
    MAX_TENSORS = 1 << 20,
    MAX_VALUES = 1 << 20,
    MAX_NESTING = 4,             /* arrays in arrays; writers use one level */
    MAX_NAME = 1024,             /* the specification says 64; writers of diffusion models use more */
    MAX_KEY = 65535,
    MAX_ALIGNMENT = 1 << 30,
    MIN_TENSOR = 8 + 4 + 4 + 8,  /* bytes of the shortest tensor entry: name length, rank, type, offset */
    MIN_VALUE = 8 + 1 + 4 + 1    /* key length, key, kind, value */
};

/* Index = type number in the file. Sizes from ggml's type table. Gaps: withdrawn types. */
static const gguf_type types[] = {
    [0] = {"F32", 1, 4},          [1] = {"F16", 1, 2},       [2] = {"Q4_0", 32, 18},      [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},       [7] = {"Q5_1", 32, 24},    [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},
    [10] = {"Q2_K", 256, 84},     [11] = {"Q3_K", 256, 110}, [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},    [15] = {"Q8_K", 256, 292}, [16] = {"IQ2_XXS", 256, 66}, [17] = {"IQ2_XS", 256, 74},
    [18] = {"IQ3_XXS", 256, 98},  [19] = {"IQ1_S", 256, 50}, [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},
    [22] = {"IQ2_S", 256, 82},    [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},       [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},         [27] = {"I64", 1, 8},      [28] = {"F64", 1, 8},        [29] = {"IQ1_M", 256, 56},
    [30] = {"BF16", 1, 2},        [34] = {"TQ1_0", 256, 54}, [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},
    [40] = {"NVFP4", 64, 36},     [41] = {"Q1_0", 128, 18},
};

/* Bytes of a number of each kind; 0: the length is in the file. */
static const uint8_t kind_bytes[GGUF_KINDS] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,    [GGUF_U16] = 2,  [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_FLOAT] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_DOUBLE] = 8,
};

struct gguf_file {
    const uint8_t *base;
    uint64_t size;
    void *map; /* NULL: the bytes are the caller's */
    char *label;
    uint32_t version;
    uint64_t alignment, data_start;
    size_t values, tensors;
    gguf_value *value, **value_by_key;
    gguf_tensor *tensor, **tensor_by_name;
};

typedef struct cursor {
    gguf_file *f;
    uint64_t at; /* never beyond f->size */
    bf_error *err;
} cursor;

/* file: offset N: field: what is wrong (mend); always -1. */
static int complain(const cursor *c, uint64_t offset, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int complain(const cursor *c, uint64_t offset, const char *format, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return bf_fail(c->err, "%s: offset %llu: %s", c->f->label, (unsigned long long)offset, text);
}

static int truncated(const cursor *c, const char *field, uint64_t wanted) {
    return complain(c, c->at, "%s: %llu bytes wanted, the file ends after %llu more (truncated: fetch it again)", field,
                    (unsigned long long)wanted, (unsigned long long)(c->f->size - c->at));
}

static uint64_t left(const cursor *c) { return c->f->size - c->at; }

static int take(cursor *c, void *out, uint64_t bytes, const char *field) {
    if (bytes > left(c)) return truncated(c, field, bytes);
    memcpy(out, c->f->base + c->at, bytes);
    c->at += bytes;
    return 0;
}

/* ---- metadata ---- */

/* A length and its bytes, left in the mapping. */
static int take_string(cursor *c, const uint8_t **text, uint64_t *length, uint64_t limit, const char *field) {
    uint64_t at = c->at;
    if (take(c, length, 8, field)) return -1;
    if (*length > limit)
        return complain(c, at, "%s: length %llu (at most %llu; the file is damaged)", field, (unsigned long long)*length,
                        (unsigned long long)limit);
    if (*length > left(c)) return truncated(c, field, *length);
    *text = c->f->base + c->at;
    c->at += *length;
    return 0;
}

/* A name of our own, NUL-terminated, of printable bytes (UTF-8 allowed in tensor names). */
static int take_name(cursor *c, char **name, uint64_t limit, const char *field) {
    const uint8_t *text;
    uint64_t n, at = c->at;
    if (take_string(c, &text, &n, limit, field)) return -1;
    if (!n) return complain(c, at, "%s: empty", field);
    for (uint64_t i = 0; i < n; i++)
        if (text[i] < 0x20 || text[i] == 0x7f)
            return complain(c, at + 8 + i, "%s: byte 0x%02x in it (a control character; the file is damaged)", field, text[i]);
    if (!(*name = malloc(n + 1))) return complain(c, at, "%s: out of memory", field);
    memcpy(*name, text, n);
    (*name)[n] = 0;
    return 0;
}

static int take_kind(cursor *c, gguf_kind *kind, const char *key, const char *what) {
    uint64_t at = c->at;
    uint32_t k = 0;
    if (take(c, &k, 4, key)) return -1;
    if (k >= GGUF_KINDS)
        return complain(c, at, "%.64s: %s %u (0 to %d; the file is damaged or newer than version 3)", key, what, k,
                        GGUF_KINDS - 1);
    *kind = (gguf_kind)k;
    return 0;
}

static int skip_bools(cursor *c, uint64_t count, const char *key) {
    for (uint64_t i = 0; i < count; i++)
        if (c->f->base[c->at + i] > 1)
            return complain(c, c->at + i, "%.64s: %u as a truth value (0 or 1)", key, c->f->base[c->at + i]);
    c->at += count;
    return 0;
}

/* Passes over `count` elements; c->at ends behind them. Every element takes at least a byte, hence time linear in the file. */
static int skip_elements(cursor *c, gguf_kind kind, uint64_t count, int nesting, const char *key) {
    uint64_t n = kind_bytes[kind], smallest = n ? n : kind == GGUF_STRING ? 8 : 12;
    if (count > left(c) / smallest)
        return complain(c, c->at, "%.64s: %llu elements, the file has %llu bytes more (truncated or oversized count)", key,
                        (unsigned long long)count, (unsigned long long)left(c));
    if (kind == GGUF_BOOL) return skip_bools(c, count, key);
    if (n) {
        c->at += n * count;
        return 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *text;
        uint64_t length;
        gguf_kind item;
        if (kind == GGUF_STRING) {
            if (take_string(c, &text, &length, UINT64_MAX, key)) return -1;
            continue;
        }
        if (nesting == MAX_NESTING)
            return complain(c, c->at, "%.64s: arrays nested more than %d deep (the file is hostile or damaged)", key,
                            MAX_NESTING);
        if (take_kind(c, &item, key, "type of array elements") || take(c, &length, 8, key) ||
            skip_elements(c, item, length, nesting + 1, key))
            return -1;
    }
    return 0;
}

static int take_value(cursor *c, gguf_value *v) {
    char *key = NULL;
    if (take_name(c, &key, MAX_KEY, "metadata key")) return -1;
    v->key = key; /* from here on freed with the file */
    for (const char *s = key; *s; s++)
        if (*s & 0x80) return complain(c, c->at, "%.64s: metadata key is not ASCII", key);
    if (take_kind(c, &v->kind, key, "type of value")) return -1;
    v->count = 1;
    if (v->kind == GGUF_ARRAY) {
        if (take_kind(c, &v->item, key, "type of array elements") || take(c, &v->count, 8, key)) return -1;
        v->data = c->f->base + c->at;
        if (skip_elements(c, v->item, v->count, 1, key)) return -1;
    } else if (v->kind == GGUF_STRING) {
        if (take_string(c, &v->data, &v->count, UINT64_MAX, key)) return -1;
    } else {
        v->data = c->f->base + c->at;
        if (skip_elements(c, v->kind, 1, 0, key)) return -1;
    }
    v->bytes = (uint64_t)(c->f->base + c->at - v->data);
    return 0;
}

static int by_key(const void *a, const void *b) {
    return strcmp((*(gguf_value *const *)a)->key, (*(gguf_value *const *)b)->key);
}

static int take_values(cursor *c) {
    gguf_file *f = c->f;
    for (size_t i = 0; i < f->values; i++)
        if (take_value(c, &f->value[i])) return -1;
    for (size_t i = 0; i < f->values; i++) f->value_by_key[i] = &f->value[i];
    if (f->values) qsort(f->value_by_key, f->values, sizeof *f->value_by_key, by_key);
    for (size_t i = 1; i < f->values; i++)
        if (!by_key(&f->value_by_key[i - 1], &f->value_by_key[i]))
            return complain(c, (uint64_t)(f->value_by_key[i]->data - f->base), "%.64s: this metadata key is there twice (the file is damaged)",
                            f->value_by_key[i]->key);
    const gguf_value *v = gguf_value_find(f, "general.alignment");
    if (v) {
        if (v->kind != GGUF_U32 || gguf_value_u64(v, &f->alignment))
            return complain(c, (uint64_t)(v->data - f->base), "general.alignment: not a 32-bit unsigned number");
        if (!f->alignment || f->alignment % 8 || f->alignment > MAX_ALIGNMENT)
            return complain(c, (uint64_t)(v->data - f->base), "general.alignment: %llu (a multiple of 8, at most 2^30)",
                            (unsigned long long)f->alignment);
    }
    return 0;
}

/* ---- tensors ---- */

/* Elements and bytes from dims and type. `at`: where the dims begin. */
static int size_tensor(const cursor *c, uint64_t at, gguf_tensor *t) {
    const gguf_type *type = gguf_type_at(t->type);
    t->type_name = type ? type->name : "unknown";
    t->elements = 1;
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] > INT64_MAX || __builtin_mul_overflow(t->elements, t->dim[i], &t->elements) || t->elements > INT64_MAX)
            return complain(c, at + 8 * (uint64_t)i, "%.64s: dimension %d is %llu: more than 2^63 elements (the file is damaged)",
                            t->name, i, (unsigned long long)t->dim[i]);
    }
    if (!type) return 0;
    if (t->dim[0] % type->block)
        return complain(c, at, "%.64s: rows of %llu elements in blocks of %u (%s)", t->name, (unsigned long long)t->dim[0],
                        type->block, type->name);
    if (__builtin_mul_overflow(t->elements / type->block, type->bytes, &t->bytes))
        return complain(c, at, "%.64s: more than 2^64 bytes (the file is damaged)", t->name);
    return 0;
}

static int take_tensor(cursor *c, gguf_tensor *t) {
    char *name = NULL;
    uint32_t rank;
    if (take_name(c, &name, MAX_NAME, "tensor name")) return -1;
    t->name = name;
    uint64_t at = c->at;
    if (take(c, &rank, 4, name)) return -1;
    if (rank > GGUF_MAX_RANK) return complain(c, at, "%.64s: %u dimensions (at most %d)", name, rank, GGUF_MAX_RANK);
    t->rank = (int)rank;
    for (int i = 0; i < GGUF_MAX_RANK; i++) t->dim[i] = 1;
    if (take(c, t->dim, 8 * (uint64_t)rank, name) || take(c, &t->type, 4, name)) return -1;
    if (size_tensor(c, at + 4, t)) return -1;
    at = c->at;
    if (take(c, &t->offset, 8, name)) return -1; /* from the start of the data for now; place_tensors makes it absolute */
    if (t->offset % c->f->alignment)
        return complain(c, at, "%.64s: data offset %llu is not a multiple of the alignment %llu (the file is damaged)", name,
                        (unsigned long long)t->offset, (unsigned long long)c->f->alignment);
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(gguf_tensor *const *)a)->name, (*(gguf_tensor *const *)b)->name);
}

static int by_offset(const void *a, const void *b) {
    const gguf_tensor *s = *(gguf_tensor *const *)a, *t = *(gguf_tensor *const *)b;
    return s->offset != t->offset ? (s->offset > t->offset) - (s->offset < t->offset) : (s->bytes > t->bytes) - (s->bytes < t->bytes);
}

/* Data begins at the next multiple of the alignment behind the last entry; every tensor must lie inside the file. */
static int place_tensors(const cursor *c) {
    gguf_file *f = c->f;
    uint64_t a = f->alignment;
    f->data_start = c->at + (a - c->at % a) % a; /* at most the file's size + 2^30 */
    for (size_t i = 0; i < f->tensors; i++) {
        gguf_tensor *t = &f->tensor[i];
        if (__builtin_add_overflow(t->offset, f->data_start, &t->offset) || t->offset > f->size || t->bytes > f->size - t->offset) {
            /* An empty tensor behind the last byte needs no padding to be there. */
            if (!t->bytes && gguf_type_at(t->type) && t->offset == f->data_start) continue;
            return complain(c, t->offset, "%.64s: its %llu bytes end beyond the file's %llu (truncated: fetch it again)", t->name,
                            (unsigned long long)t->bytes, (unsigned long long)f->size);
        }
        if (gguf_type_at(t->type)) t->data = f->base + t->offset;
    }
    return 0;
}

/* Names differ; byte ranges are apart. Sorts tensor_by_name by offset first, leaves it by name. */
static int compare_tensors(const cursor *c) {
    gguf_file *f = c->f;
    gguf_tensor **order = f->tensor_by_name;
    for (size_t i = 0; i < f->tensors; i++) order[i] = &f->tensor[i];
    if (f->tensors) qsort(order, f->tensors, sizeof *order, by_offset);
    const gguf_tensor *last = NULL; /* the one that reaches farthest so far; empty ones overlap nothing */
    for (size_t i = 0; i < f->tensors; i++) {
        if (!order[i]->bytes) continue;
        if (last && order[i]->offset - last->offset < last->bytes)
            return complain(c, order[i]->offset, "%.64s: its data overlap those of %.64s (the file is damaged)", order[i]->name,
                            last->name);
        last = order[i];
    }
    if (f->tensors) qsort(order, f->tensors, sizeof *order, by_name);
    for (size_t i = 1; i < f->tensors; i++)
        if (!by_name(&order[i - 1], &order[i]))
            return complain(c, order[i]->offset, "%.64s: two tensors have this name (the file is damaged)", order[i]->name);
    return 0;
}

/* ---- header ---- */

static int take_version(cursor *c) {
    char magic[4];
    uint32_t v;
    if (take(c, magic, 4, "magic")) return -1;
    if (memcmp(magic, "GGUF", 4))
        return complain(c, 0, "magic: '%.4s', want 'GGUF' (not a GGUF file)", magic);
    if (take(c, &v, 4, "version")) return -1;
    if (v && !(v & 0xffff)) return complain(c, 4, "version: %u: a big-endian file (convert it to little-endian)", v);
    if (v != 2 && v != 3) return complain(c, 4, "version: %u, only 2 and 3 are read (convert it again with a current writer)", v);
    c->f->version = v;
    return 0;
}

static int take_count(cursor *c, size_t *count, uint64_t limit, uint64_t smallest, const char *field) {
    uint64_t n = 0, at = c->at;
    if (take(c, &n, 8, field)) return -1;
    if (n > limit)
        return complain(c, at, "%s: %llu (at most %llu; the file is damaged)", field, (unsigned long long)n,
                        (unsigned long long)limit);
    if (n > left(c) / smallest)
        return complain(c, at, "%s: %llu, but the file has only %llu bytes more (truncated: fetch it again)", field,
                        (unsigned long long)n, (unsigned long long)left(c));
    *count = (size_t)n;
    return 0;
}

static int parse(gguf_file *f, bf_error *err) {
    cursor c = {f, 0, err};
    size_t tensors, values;
    if (take_version(&c) || take_count(&c, &tensors, MAX_TENSORS, MIN_TENSOR, "tensor count") ||
        take_count(&c, &values, MAX_VALUES, MIN_VALUE, "metadata count"))
        return -1;
    f->value = calloc(values + 1, sizeof *f->value);
    f->value_by_key = calloc(values + 1, sizeof *f->value_by_key);
    f->tensor = calloc(tensors + 1, sizeof *f->tensor);
    f->tensor_by_name = calloc(tensors + 1, sizeof *f->tensor_by_name);
    if (!f->value || !f->value_by_key || !f->tensor || !f->tensor_by_name) return complain(&c, 8, "out of memory");
    f->values = values, f->tensors = tensors;
    if (take_values(&c)) return -1;
    for (size_t i = 0; i < f->tensors; i++)
        if (take_tensor(&c, &f->tensor[i])) return -1;
    return place_tensors(&c) || compare_tensors(&c) ? -1 : 0;
}

/* ---- public ---- */

gguf_file *gguf_open_memory(const void *bytes, size_t size, const char *label, bf_error *err) {
    gguf_file *f = calloc(1, sizeof *f);
    if (!f || !(f->label = strdup(label))) {
        free(f);
        bf_fail(err, "%s: out of memory", label);
        return NULL;
    }
    f->base = bytes, f->size = size, f->alignment = 32;
    if (!parse(f, err)) return f;
    gguf_close(f);
    return NULL;
}

gguf_file *gguf_open(const char *path, bf_error *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        bf_fail(err, "%s: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    void *map = MAP_FAILED;
    if (!S_ISREG(st.st_mode))
        bf_fail(err, "%s: not a regular file (give a .gguf file)", path);
    else if (!st.st_size)
        bf_fail(err, "%s: offset 0: magic: the file is empty", path);
    else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        bf_fail(err, "%s: cannot map it: %s", path, strerror(errno));
    close(fd);
    if (map == MAP_FAILED) return NULL;
    gguf_file *f = gguf_open_memory(map, (size_t)st.st_size, path, err);
    if (f)
        f->map = map;
    else
        munmap(map, (size_t)st.st_size);
    return f;
}

void gguf_close(gguf_file *f) {
    if (!f) return;
    for (size_t i = 0; f->value && i < f->values; i++) free((char *)f->value[i].key);
    for (size_t i = 0; f->tensor && i < f->tensors; i++) free((char *)f->tensor[i].name);
    free(f->value), free(f->value_by_key), free(f->tensor), free(f->tensor_by_name), free(f->label);
    if (f->map) munmap(f->map, f->size);
    free(f);
}

const gguf_type *gguf_type_at(uint32_t type) {
    return type < sizeof types / sizeof *types && types[type].name ? &types[type] : NULL;
}

uint32_t gguf_version(const gguf_file *f) { return f->version; }
uint64_t gguf_alignment(const gguf_file *f) { return f->alignment; }
uint64_t gguf_size(const gguf_file *f) { return f->size; }
size_t gguf_tensor_count(const gguf_file *f) { return f->tensors; }
const gguf_tensor *gguf_tensor_at(const gguf_file *f, size_t i) { return i < f->tensors ? &f->tensor[i] : NULL; }
size_t gguf_value_count(const gguf_file *f) { return f->values; }
const gguf_value *gguf_value_at(const gguf_file *f, size_t i) { return i < f->values ? &f->value[i] : NULL; }

const gguf_tensor *gguf_tensor_find(const gguf_file *f, const char *name) {
    gguf_tensor key = {.name = name}, *p = &key;
    gguf_tensor **hit = f->tensors ? bsearch(&p, f->tensor_by_name, f->tensors, sizeof p, by_name) : NULL;
    return hit ? *hit : NULL;
}

const gguf_value *gguf_value_find(const gguf_file *f, const char *name) {
    gguf_value key = {.key = name}, *p = &key;
    gguf_value **hit = f->values ? bsearch(&p, f->value_by_key, f->values, sizeof p, by_key) : NULL;
    return hit ? *hit : NULL;
}

/* Any integer as magnitude (two's complement) and whether it is negative. */
static int integer(const gguf_value *v, uint64_t *bits, int *negative) {
    if (!v || v->kind == GGUF_STRING || v->kind == GGUF_ARRAY || v->kind == GGUF_FLOAT || v->kind == GGUF_DOUBLE) return -1;
    unsigned n = kind_bytes[v->kind];
    int is_signed = v->kind == GGUF_I8 || v->kind == GGUF_I16 || v->kind == GGUF_I32 || v->kind == GGUF_I64;
    *bits = 0;
    memcpy(bits, v->data, n);
    *negative = is_signed && *bits >> (8 * n - 1);
    if (*negative && n < 8) *bits |= UINT64_MAX << 8 * n;
    return 0;
}

int gguf_value_u64(const gguf_value *v, uint64_t *out) {
    uint64_t bits;
    int negative;
    if (integer(v, &bits, &negative) || negative) return -1;
    *out = bits;
    return 0;
}

int gguf_value_i64(const gguf_value *v, int64_t *out) {
    uint64_t bits;
    int negative;
    if (integer(v, &bits, &negative) || (!negative && bits > INT64_MAX)) return -1;
    *out = (int64_t)bits;
    return 0;
}

int gguf_value_f64(const gguf_value *v, double *out) {
    uint64_t bits;
    int negative;
    float single;
    if (v && v->kind == GGUF_DOUBLE) {
        memcpy(out, v->data, 8);
        return 0;
    }
    if (v && v->kind == GGUF_FLOAT) {
        memcpy(&single, v->data, 4);
        *out = single;
        return 0;
    }
    if (integer(v, &bits, &negative)) return -1;
    uint64_t magnitude = negative ? 0 - bits : bits;
    if (magnitude > UINT64_C(1) << 53) return -1;
    *out = negative ? -(double)magnitude : (double)magnitude;
    return 0;
}

int gguf_value_string(const gguf_value *v, char *out, size_t room) {
    if (!v || v->kind != GGUF_STRING || v->count >= room || memchr(v->data, 0, v->count)) return -1;
    memcpy(out, v->data, v->count);
    out[v->count] = 0;
    return 0;
}
