/* npy.c: see npy.h.
 *
 *   offset 0          6     7     8                       8+2 (v1) or 8+4 (v2, v3)
 *          \x93NUMPY  major minor length (u16 or u32 LE)  header                  data
 *
 * The header is a Python dict in ASCII, padded with blanks, ending in a newline:
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
#define _GNU_SOURCE
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../atomic_file.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are copied as they lie in the file: little-endian hosts only"
#endif

enum { MAX_HEADER = 64 << 10 };

static const char types[][3] = {"f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"};

uint64_t npy_type_bytes(const char *type) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i])) return (uint64_t)(type[1] - '0');
    return 0;
}

typedef struct cursor {
    const char *label;
    const uint8_t *base;
    uint64_t at, end; /* of the header */
    bf_error *err;
} cursor;

/* file: offset N: field: what is wrong (mend); always -1. */
static int complain(const cursor *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int complain(const cursor *c, const char *format, ...) {
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return bf_fail(c->err, "%s: offset %llu: %s", c->label, (unsigned long long)c->at, text);
}

/* ---- the dict ---- */

static int next(cursor *c) { /* the next byte that is not blank, -1 at the end; not consumed */
    while (c->at < c->end && (c->base[c->at] == ' ' || c->base[c->at] == '\t' || c->base[c->at] == '\n')) c->at++;
    return c->at < c->end ? c->base[c->at] : -1;
}

static int expect(cursor *c, char wanted) {
    if (next(c) != wanted) return complain(c, "header: '%c' wanted (not a .npy header, or damaged)", wanted);
    c->at++;
    return 0;
}

static int take_quoted(cursor *c, char *out, size_t room) {
    int quote = next(c);
    size_t n = 0;
    if (quote != '\'' && quote != '"') return complain(c, "header: a quoted word wanted (structured types are not read)");
    for (c->at++; c->at < c->end && c->base[c->at] != quote; c->at++) {
        if (n + 1 == room || c->base[c->at] < 0x20 || c->base[c->at] > 0x7e || c->base[c->at] == '\\')
            return complain(c, "header: a word that no .npy header holds");
        out[n++] = (char)c->base[c->at];
    }
    out[n] = 0;
    return expect(c, (char)quote);
}

static int take_descr(cursor *c, npy_array *a) {
    char descr[16];
    if (take_quoted(c, descr, sizeof descr)) return -1;
    int one = strlen(descr) == 3 && descr[2] == '1';
    if (descr[0] == '>' && npy_type_bytes(descr + 1) && !one)
        return complain(c, "descr: '%s' is big-endian (save it with .astype('<%s'))", descr, descr + 1);
    if ((descr[0] != '<' && descr[0] != '=' && !(one && (descr[0] == '|' || descr[0] == '>'))) || !npy_type_bytes(descr + 1))
        return complain(c, "descr: '%s' is not read (f2 f4 f8, i1 i2 i4 i8, u1 u2 u4 u8; save it as one of these)", descr);
    memcpy(a->type, descr + 1, sizeof a->type);
    return 0;
}

static int take_order(cursor *c, int *fortran) {
    static const char *const word[] = {"False", "True"};
    next(c);
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(word[i]);
        if (c->end - c->at >= n && !memcmp(c->base + c->at, word[i], n)) {
            c->at += n;
            *fortran = i;
            return 0;
        }
    }
    return complain(c, "fortran_order: False or True wanted");
}

static int take_length(cursor *c, uint64_t *length) {
    uint64_t start = c->at;
    *length = 0;
    for (; c->at < c->end && c->base[c->at] >= '0' && c->base[c->at] <= '9'; c->at++)
        if (__builtin_mul_overflow(*length, 10u, length) || __builtin_add_overflow(*length, c->base[c->at] - '0', length))
            return complain(c, "shape: a length beyond 2^64 (damaged)");
    return c->at == start ? complain(c, "shape: a length wanted, or ')'") : 0;
}

/* "()", "(3,)", "(3, 4)"; a lone "(3)" is a number to Python and numpy refuses it too. */
static int take_shape(cursor *c, npy_array *a) {
    int commas = 0;
    if (expect(c, '(')) return -1;
    for (a->rank = 0; next(c) != ')'; commas++) {
        if (a->rank == NPY_MAX_RANK) return complain(c, "shape: more than %d dimensions (reshape it)", NPY_MAX_RANK);
        if (take_length(c, &a->dim[a->rank++])) return -1;
        if (next(c) != ',') break;
        c->at++;
    }
    if (a->rank == 1 && !commas) return complain(c, "shape: ',' wanted: (n,)");
    return expect(c, ')');
}

static int take_dict(cursor *c, npy_array *a, int *fortran) {
    enum { DESCR, ORDER, SHAPE, KEYS };
    static const char *const names[KEYS] = {"descr", "fortran_order", "shape"};
    char key[24];
    int seen = 0;
    if (expect(c, '{')) return -1;
    while (next(c) != '}') {
        int k = 0;
        if (take_quoted(c, key, sizeof key)) return -1;
        while (k < KEYS && strcmp(key, names[k])) k++;
        if (k == KEYS) return complain(c, "header: unknown key '%s' (descr, fortran_order, shape)", key);
        if (seen & 1 << k) return complain(c, "header: '%s' is there twice", key);
        seen |= 1 << k;
        if (expect(c, ':') || (k == DESCR ? take_descr(c, a) : k == ORDER ? take_order(c, fortran) : take_shape(c, a)))
            return -1;
        if (next(c) != ',') break;
        c->at++;
    }
    if (expect(c, '}')) return -1;
    for (int k = 0; k < KEYS; k++)
        if (!(seen & 1 << k)) return complain(c, "header: '%s' is missing", names[k]);
    return next(c) < 0 ? 0 : complain(c, "header: more text behind the dict");
}

/* ---- the file ---- */

static int take_prefix(cursor *c, uint64_t size) {
    const uint8_t *b = c->base;
    if (size < 10) return complain(c, "magic: %llu bytes are no .npy file (truncated)", (unsigned long long)size);
    if (memcmp(b, "\x93NUMPY", 6)) return complain(c, "magic: not a .npy file");
    c->at = 6;
    if (b[6] < 1 || b[6] > 3 || b[7]) return complain(c, "version: %u.%u (1.0, 2.0 and 3.0 are read)", b[6], b[7]);
    uint64_t start = b[6] == 1 ? 10 : 12;
    if (size < start) return complain(c, "header length: the file ends in it (truncated)");
    uint64_t length = b[8] | (uint64_t)b[9] << 8;
    if (start == 12) length |= (uint64_t)b[10] << 16 | (uint64_t)b[11] << 24;
    c->at = 8;
    if (length > MAX_HEADER) return complain(c, "header length: %llu (at most %d)", (unsigned long long)length, MAX_HEADER);
    if (length > size - start)
        return complain(c, "header length: %llu, the file has %llu bytes more (truncated)", (unsigned long long)length,
                        (unsigned long long)(size - start));
    c->at = start, c->end = start + length;
    return 0;
}

static int parse(cursor *c, uint64_t size, npy_array *a) {
    int fortran = 0;
    if (take_prefix(c, size) || take_dict(c, a, &fortran)) return -1;
    uint64_t item = npy_type_bytes(a->type), room = size - c->end;
    a->elements = 1;
    c->at = c->end;
    for (int i = 0; i < a->rank; i++)
        if (__builtin_mul_overflow(a->elements, a->dim[i], &a->elements)) return complain(c, "shape: more than 2^64 elements");
    if (fortran && a->rank > 1)
        return complain(c, "fortran_order: True (save it with numpy.ascontiguousarray)");
    if (__builtin_mul_overflow(a->elements, item, &a->bytes) || a->bytes > room)
        return complain(c, "data: %llu elements of %llu bytes, the file has %llu bytes (truncated)",
                        (unsigned long long)a->elements, (unsigned long long)item, (unsigned long long)room);
    if (a->bytes < room)
        return complain(c, "data: %llu bytes, %llu more behind them (the shape or the file is wrong)",
                        (unsigned long long)a->bytes, (unsigned long long)(room - a->bytes));
    a->data = c->base + c->end;
    if ((uintptr_t)a->data % item)
        return complain(c, "data: not aligned to %llu bytes (save it again with numpy)", (unsigned long long)item);
    return 0;
}

int npy_open_memory(const void *bytes, size_t size, const char *label, npy_array *a, bf_error *err) {
    cursor c = {label, bytes, 0, 0, err};
    *a = (npy_array){0};
    if (!parse(&c, size, a)) return 0;
    *a = (npy_array){0};
    return -1;
}

int npy_open(const char *path, npy_array *a, bf_error *err) {
    struct stat st;
    void *map = MAP_FAILED;
    *a = (npy_array){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st))
        bf_fail(err, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        bf_fail(err, "%s: not a regular file (give a .npy file)", path);
    else if (!st.st_size)
        bf_fail(err, "%s: offset 0: magic: the file is empty", path);
    else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        bf_fail(err, "%s: cannot map it: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    if (map == MAP_FAILED) return -1;
    if (npy_open_memory(map, (size_t)st.st_size, path, a, err)) {
        munmap(map, (size_t)st.st_size);
        return -1;
    }
    a->map = map, a->map_bytes = (size_t)st.st_size;
    return 0;
}

void npy_close(npy_array *a) {
    if (a->map) munmap(a->map, a->map_bytes);
    *a = (npy_array){0};
}

/* ---- writing ---- */

/* Version 1.0, padded so that the data begin at a multiple of 64. Returns its bytes. */
static size_t make_header(const char *type, int rank, const int64_t *dim, char *out, size_t room) {
    size_t n = 10;
    n += (size_t)snprintf(out + n, room - n, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", type[1] == '1' ? '|' : '<',
                          type);
    for (int i = 0; i < rank; i++)
        n += (size_t)snprintf(out + n, room - n, "%s%lld%s", i ? " " : "", (long long)dim[i], i + 1 < rank || rank == 1 ? "," : "");
    n += (size_t)snprintf(out + n, room - n, "), }");
    while ((n + 1) % 64) out[n++] = ' ';
    out[n++] = '\n';
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)((n - 10) & 0xff), out[9] = (char)((n - 10) >> 8);
    return n;
}

int npy_write(const char *path, const char *type, int rank, const int64_t *dim, const void *data, bf_error *err) {
    char header[512]; /* eight dims of at most 19 digits leave half of it free */
    uint64_t bytes = npy_type_bytes(type);
    bf_atomic_file f;
    if (!bytes) return bf_fail(err, "%s: descr: '%.8s' is not written", path, type);
    if (rank < 0 || rank > NPY_MAX_RANK) return bf_fail(err, "%s: shape: %d dimensions (at most %d)", path, rank, NPY_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (dim[i] < 0 || __builtin_mul_overflow(bytes, (uint64_t)dim[i], &bytes) || bytes > SIZE_MAX)
            return bf_fail(err, "%s: shape: dimension %d is %lld", path, i, (long long)dim[i]);
    size_t n = make_header(type, rank, dim, header, sizeof header);
    if (bf_atomic_open(&f, path, err)) return -1;
    if (fwrite(header, 1, n, f.stream) != n || fwrite(data, 1, (size_t)bytes, f.stream) != bytes) f.reason = errno; /* commit reports it */
    return bf_atomic_commit(&f, err);
}
