/* test_gguf.c: GGUF files, sound, cut, changed and hostile. The image is built in code; each hostile row changes one field. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../formats/gguf.h"

/* ---- an image, with the offsets of its fields ---- */

typedef struct image {
    uint8_t bytes[4096];
    size_t size;
    size_t tensor_count, value_count, alignment, boolean, array_kind, array_count, nested; /* where they are */
    size_t key_length, value_kind;                                                           /* of the first value */
    size_t name_length[4], rank[4], dim[4], type[4], offset[4], data;
} image;

static size_t put(image *m, const void *p, size_t n) {
    size_t at = m->size;
    memcpy(m->bytes + at, p, n);
    m->size += n;
    return at;
}
static size_t put32(image *m, uint32_t v) { return put(m, &v, 4); }
static size_t put64(image *m, uint64_t v) { return put(m, &v, 8); }
static size_t put_string(image *m, const char *s) {
    size_t at = put64(m, strlen(s));
    put(m, s, strlen(s));
    return at;
}
static void set32(image *m, size_t at, uint32_t v) { memcpy(m->bytes + at, &v, 4); }
static void set64(image *m, size_t at, uint64_t v) { memcpy(m->bytes + at, &v, 8); }

static void put_values(image *m) {
    uint8_t yes = 1;
    m->key_length = put_string(m, "general.name");
    m->value_kind = put32(m, GGUF_STRING);
    put_string(m, "image");
    put_string(m, "general.alignment"), put32(m, GGUF_U32);
    m->alignment = put32(m, 32);
    put_string(m, "a.bool"), put32(m, GGUF_BOOL);
    m->boolean = put(m, &yes, 1);
    put_string(m, "a.strings"), put32(m, GGUF_ARRAY);
    m->array_kind = put32(m, GGUF_STRING);
    m->array_count = put64(m, 2);
    put_string(m, "one"), put_string(m, "two");
    put_string(m, "a.nested"), put32(m, GGUF_ARRAY), put32(m, GGUF_ARRAY);
    m->nested = put64(m, 1);
    put32(m, GGUF_I32), put64(m, 2), put32(m, 5), put32(m, 6);
    put_string(m, "a.minus"), put32(m, GGUF_I16), put(m, "\xfe\xff", 2);
    put_string(m, "a.big"), put32(m, GGUF_U64), put64(m, UINT64_MAX);
    put_string(m, "a.half"), put32(m, GGUF_DOUBLE), put64(m, UINT64_C(0x3fe0000000000000));
}

/* Four tensors: Q4_K [256, 2] at 0 (288 bytes), F32 [3] at 288 (12), F64 scalar at 320 (8), BF16 [4] at 352 (8). */
static void put_tensors(image *m) {
    static const char *const name[4] = {"w", "x", "s", "h"};
    static const uint32_t rank[4] = {2, 1, 0, 1}, type[4] = {GGUF_Q4_K, GGUF_F32, GGUF_F64, GGUF_BF16};
    static const uint64_t dim[4][2] = {{256, 2}, {3}, {0}, {4}}, offset[4] = {0, 288, 320, 352};
    for (int i = 0; i < 4; i++) {
        m->name_length[i] = put_string(m, name[i]);
        m->rank[i] = put32(m, rank[i]);
        m->dim[i] = put(m, dim[i], 8 * rank[i]);
        m->type[i] = put32(m, type[i]);
        m->offset[i] = put64(m, offset[i]);
    }
    while (m->size % 32) m->bytes[m->size++] = 0;
    m->data = m->size;
    for (int i = 0; i < 360; i++) m->bytes[m->size++] = (uint8_t)(i * 5 + 1);
}

static image make_image(void) {
    image m = {.size = 0};
    put(&m, "GGUF", 4), put32(&m, 3);
    m.tensor_count = put64(&m, 4);
    m.value_count = put64(&m, 8);
    put_values(&m);
    put_tensors(&m);
    return m;
}

/* The bytes, ending where an unreadable page begins: one byte too far is a crash in every build. */
static const uint8_t *fenced(const uint8_t *bytes, size_t size) {
    static uint8_t *map;
    enum { ROOM = 8192 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (ROOM + page - 1) / page * page;
    if (!map) {
        map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert(map != MAP_FAILED && !mprotect(map + room, page, PROT_NONE));
    }
    memcpy(map + room - size, bytes, size);
    return map + room - size;
}

/* Opens, and holds an open file to its promises. 0 and all closed, or -1. */
static int try_open(const uint8_t *bytes, size_t size, bf_error *err) {
    const uint8_t *at = fenced(bytes, size);
    static volatile unsigned sink;
    err->text[0] = 0;
    gguf_file *f = gguf_open_memory(at, size, "x.gguf", err);
    if (!f) {
        cr_assert_eq(strncmp(err->text, "x.gguf: offset ", 15), 0, "no place in: %s", err->text);
        return -1;
    }
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        for (uint64_t b = 0; b < t->bytes; b++) sink += ((const uint8_t *)t->data)[b];
    }
    for (size_t i = 0; i < gguf_value_count(f); i++) {
        const gguf_value *v = gguf_value_at(f, i);
        for (uint64_t b = 0; b < v->bytes; b++) sink += v->data[b];
    }
    gguf_close(f);
    return 0;
}

/* ---- sound files ---- */

Test(gguf, golden_file_lists_its_tensors_by_name_type_and_shape) {
    bf_error err = {""};
    gguf_file *f = gguf_open("cases/golden/q4k_golden.gguf", &err);
    cr_assert(f, "%s", err.text);
    cr_assert_eq(gguf_version(f), 3);
    cr_assert_eq(gguf_alignment(f), 32);
    cr_assert_eq(gguf_tensor_count(f), 131);
    char text[64];
    cr_assert_eq(gguf_value_string(gguf_value_find(f, "general.name"), text, sizeof text), 0);
    cr_assert_str_eq(text, "q4k_golden");
    size_t q4k = 0;
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        unsigned long long k, m;
        char dequant[96];
        cr_assert_eq(gguf_tensor_find(f, t->name), t);
        cr_assert_eq((uintptr_t)t->data % 32, 0);
        if (t->type != GGUF_Q4_K) continue;
        q4k++;
        cr_assert_eq(sscanf(strrchr(t->name, '_') + 1, "%llux%llu", &k, &m), 2, "%s", t->name);
        cr_assert(t->rank == 2 && t->dim[0] == k && t->dim[1] == m, "%s", t->name);
        cr_assert_eq(t->bytes, k * m / 256 * 144);
        snprintf(dequant, sizeof dequant, "%s.dequant", t->name);
        const gguf_tensor *d = gguf_tensor_find(f, dequant);
        cr_assert(d && d->type == GGUF_F32 && d->elements == k * m && d->bytes == 4 * k * m, "%s", dequant);
    }
    cr_assert_gt(q4k, 0);
    cr_assert_null(gguf_tensor_find(f, "nothing"));
    gguf_close(f);
}

Test(gguf, image_gives_back_what_went_in) {
    image m = make_image();
    bf_error err = {""};
    gguf_file *f = gguf_open_memory(m.bytes, m.size, "x.gguf", &err);
    cr_assert(f, "%s", err.text);
    const gguf_tensor *w = gguf_tensor_find(f, "w"), *s = gguf_tensor_find(f, "s"), *h = gguf_tensor_find(f, "h");
    cr_assert(w && w->bytes == 288 && w->data == m.bytes + m.data && w->elements == 512 && !strcmp(w->type_name, "Q4_K"));
    cr_assert(s && s->rank == 0 && s->elements == 1 && s->bytes == 8 && s->offset == m.data + 320);
    cr_assert(h && h->bytes == 8 && gguf_tensor_at(f, 3) == h && !gguf_tensor_at(f, 4));
    gguf_close(f);
}

Test(gguf, numbers_convert_only_where_they_fit) {
    image m = make_image();
    bf_error err = {""};
    gguf_file *f = gguf_open_memory(m.bytes, m.size, "x.gguf", &err);
    cr_assert(f, "%s", err.text);
    const gguf_value *minus = gguf_value_find(f, "a.minus"), *big = gguf_value_find(f, "a.big");
    const gguf_value *half = gguf_value_find(f, "a.half"), *name = gguf_value_find(f, "general.name");
    uint64_t u = 77;
    int64_t i = 77;
    double d = 77;
    char text[6];
    cr_assert(!gguf_value_i64(minus, &i) && i == -2);
    cr_assert(!gguf_value_f64(minus, &d) && d == -2);
    cr_assert(gguf_value_u64(minus, &u) && u == 77);
    cr_assert(!gguf_value_u64(big, &u) && u == UINT64_MAX);
    cr_assert(gguf_value_i64(big, &i) && gguf_value_f64(big, &d) && i == -2 && d == -2);
    cr_assert(!gguf_value_f64(half, &d) && d == 0.5 && gguf_value_u64(half, &u));
    cr_assert(gguf_value_u64(name, &u) && gguf_value_u64(NULL, &u) && gguf_value_f64(NULL, &d));
    cr_assert(!gguf_value_string(name, text, 6) && !strcmp(text, "image"));
    cr_assert(gguf_value_string(name, text, 5) && gguf_value_string(big, text, 6) && gguf_value_string(NULL, text, 6));
    gguf_close(f);
}

Test(gguf, version_2_is_read_and_an_empty_file_of_tensors_too) {
    image m = make_image();
    bf_error err;
    set32(&m, 4, 2);
    cr_assert_eq(try_open(m.bytes, m.size, &err), 0, "%s", err.text);
    cr_assert_eq(try_open((const uint8_t *)"GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, &err), 0, "%s", err.text);
}

Test(gguf, a_type_of_the_future_is_listed_and_not_read) {
    image m = make_image();
    bf_error err = {""};
    set32(&m, m.type[1], 99);
    gguf_file *f = gguf_open_memory(m.bytes, m.size, "x.gguf", &err);
    cr_assert(f, "%s", err.text);
    const gguf_tensor *t = gguf_tensor_find(f, "x");
    cr_assert(t && t->type == 99 && !strcmp(t->type_name, "unknown") && !t->data && !t->bytes && t->elements == 3);
    gguf_close(f);
    for (uint32_t gap = 31; gap < 34; gap++) cr_assert_null(gguf_type_at(gap)); /* withdrawn */
    cr_assert_null(gguf_type_at(4));
    cr_assert_null(gguf_type_at(UINT32_MAX));
}

/* ---- damage ---- */

Test(gguf, every_truncation_fails_with_a_place) {
    image m = make_image();
    bf_error err;
    for (size_t n = 0; n < m.size; n++) cr_assert_eq(try_open(m.bytes, n, &err), -1, "%zu of %zu bytes accepted", n, m.size);
    cr_assert_eq(try_open(m.bytes, m.size, &err), 0, "%s", err.text);
}

Test(gguf, every_single_byte_change_is_refused_or_harmless) {
    image m = make_image();
    bf_error err;
    size_t refused = 0;
    for (size_t i = 0; i < m.data; i++)
        for (int v = 0; v < 256; v++) {
            uint8_t keep = m.bytes[i];
            m.bytes[i] = (uint8_t)v;
            refused += try_open(m.bytes, m.size, &err) != 0;
            m.bytes[i] = keep;
        }
    cr_assert_gt(refused, m.data * 64, "hardly anything was refused"); /* most bytes are counts, kinds and lengths */
}

/* ---- hostile fields ---- */

typedef struct hostile {
    const char *what;
    size_t at;
    int width; /* bytes */
    uint64_t value;
    const char *says;
} hostile;

static void check_hostile(const image *sound, const hostile *row, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        image m = *sound;
        bf_error err;
        memcpy(m.bytes + row[i].at, &row[i].value, (size_t)row[i].width);
        cr_assert_eq(try_open(m.bytes, m.size, &err), -1, "accepted: %s", row[i].what);
        cr_assert(strstr(err.text, row[i].says), "%s: %s", row[i].what, err.text);
    }
}
#define ROWS(t) t, sizeof t / sizeof *t

Test(gguf, hostile_header_is_refused_by_name) {
    image m = make_image();
    const hostile row[] = {
        {"magic", 0, 4, 0x46554758, "magic"},
        {"version 0", 4, 4, 0, "version"},
        {"version 1", 4, 4, 1, "version: 1"},
        {"version 4", 4, 4, 4, "version: 4"},
        {"big-endian", 4, 4, 0x03000000, "big-endian"},
        {"more tensors than bytes", m.tensor_count, 8, 1000, "tensor count"},
        {"2^64 - 1 tensors", m.tensor_count, 8, UINT64_MAX, "tensor count"},
        {"tensors times entry wraps", m.tensor_count, 8, UINT64_MAX / 24 + 2, "tensor count"},
        {"2^64 - 1 values", m.value_count, 8, UINT64_MAX, "metadata count"},
        {"more values than bytes", m.value_count, 8, 500, "metadata count"},
    };
    check_hostile(&m, ROWS(row));
}

Test(gguf, hostile_metadata_is_refused_by_name) {
    image m = make_image();
    const hostile row[] = {
        {"empty key", m.key_length, 8, 0, "metadata key: empty"},
        {"key longer than allowed", m.key_length, 8, 65536, "metadata key: length"},
        {"key longer than the file", m.key_length, 8, 65535, "truncated"},
        {"key length 2^64 - 1", m.key_length, 8, UINT64_MAX, "metadata key: length"},
        {"control character in key", m.key_length + 10, 1, 7, "control character"},
        {"key not ASCII", m.key_length + 10, 1, 0xc3, "not ASCII"},
        {"unknown kind", m.value_kind, 4, 13, "type of value 13"},
        {"string length 2^64 - 1", m.value_kind + 4, 8, UINT64_MAX, "general.name"},
        {"alignment 0", m.alignment, 4, 0, "general.alignment: 0"},
        {"alignment 12", m.alignment, 4, 12, "general.alignment: 12"},
        {"alignment 2^31", m.alignment, 4, 1u << 31, "general.alignment"},
        {"alignment of another kind", m.alignment - 4, 4, GGUF_I32, "general.alignment: not a"},
        {"truth value 2", m.boolean, 1, 2, "a.bool: 2"},
        {"unknown kind of elements", m.array_kind, 4, 99, "elements 99"},
        {"2^64 - 1 strings", m.array_count, 8, UINT64_MAX, "a.strings"},
        {"2^61 strings: eight bytes each wrap", m.array_count, 8, UINT64_C(1) << 61, "oversized"},
        {"length of a string in an array", m.array_count + 8, 8, UINT64_MAX - 7, "a.strings"},
        {"2^64 - 1 arrays", m.nested, 8, UINT64_MAX, "a.nested"},
        {"inner array too long", m.nested + 12, 8, UINT64_C(1) << 62, "a.nested"},
    };
    check_hostile(&m, ROWS(row));
}

Test(gguf, hostile_tensors_are_refused_by_name) {
    image m = make_image();
    const hostile row[] = {
        {"empty name", m.name_length[0], 8, 0, "tensor name: empty"},
        {"name too long", m.name_length[0], 8, 1025, "tensor name: length"},
        {"name of another tensor", m.name_length[1] + 8, 1, 'w', "w: two tensors"},
        {"control character in name", m.name_length[1] + 8, 1, 0, "control character"},
        {"five dimensions", m.rank[0], 4, 5, "5 dimensions"},
        {"2^32 - 1 dimensions", m.rank[0], 4, UINT32_MAX, "dimensions"},
        {"negative dimension", m.dim[0], 8, UINT64_MAX - 255, "2^63"},
        {"elements wrap", m.dim[0] + 8, 8, UINT64_C(1) << 60, "2^63"},
        {"half a block in a row", m.dim[0], 8, 128, "blocks of 256"},
        {"one element into the next tensor", m.dim[1], 8, 9, "overlap"},
        {"one row beyond the file", m.dim[0] + 8, 8, 3, "truncated"},
        {"many rows beyond the file", m.dim[0] + 8, 8, 1 << 20, "truncated"},
        {"last tensor one element longer", m.dim[3], 8, 5, "truncated"},
        {"offset not aligned", m.offset[1], 8, 289, "alignment"},
        {"offset inside another tensor", m.offset[1], 8, 256, "overlap"},
        {"offset beyond the file", m.offset[1], 8, 4096, "truncated"},
        {"offset wraps", m.offset[1], 8, UINT64_MAX - 31, "truncated"},
    };
    image ok = m;
    set64(&ok, m.dim[1], 8); /* the slack between tensors may be used */
    bf_error err;
    cr_assert_eq(try_open(ok.bytes, ok.size, &err), 0, "%s", err.text);
    check_hostile(&m, ROWS(row));
}

Test(gguf, a_size_that_wraps_64_bits_is_refused) {
    image m = make_image();
    bf_error err;
    set64(&m, m.dim[3], INT64_MAX); /* BF16: 2^64 - 2 bytes, just below; F64: wraps to 2^64 - 8 */
    cr_assert_eq(try_open(m.bytes, m.size, &err), -1);
    set32(&m, m.type[3], GGUF_F64);
    cr_assert_eq(try_open(m.bytes, m.size, &err), -1);
    cr_assert(strstr(err.text, "2^64 bytes"), "%s", err.text);
}

Test(gguf, an_overlap_hidden_behind_an_empty_tensor_is_seen) {
    image m = make_image();
    bf_error err;
    set64(&m, m.dim[1], 0);       /* x: empty, inside w */
    set64(&m, m.offset[1], 32);
    cr_assert_eq(try_open(m.bytes, m.size, &err), 0, "%s", err.text);
    set64(&m, m.offset[2], 64);   /* s: inside w, behind x */
    cr_assert_eq(try_open(m.bytes, m.size, &err), -1);
    cr_assert(strstr(err.text, "overlap"), "%s", err.text);
}

Test(gguf, one_byte_of_overlap_is_seen) {
    image m = make_image();
    bf_error err;
    set32(&m, m.type[1], 24); /* x: I8, 32 bytes from 288; s follows at 320 */
    set64(&m, m.dim[1], 32);
    cr_assert_eq(try_open(m.bytes, m.size, &err), 0, "%s", err.text);
    set64(&m, m.dim[1], 33);
    cr_assert_eq(try_open(m.bytes, m.size, &err), -1);
    cr_assert(strstr(err.text, "s: its data overlap those of x"), "%s", err.text);
}

Test(gguf, data_begin_at_the_next_multiple_of_the_alignment_and_no_later) {
    char name[65] = "";
    for (size_t n = 1; n <= 64; n++) {
        image m = {.size = 0};
        bf_error err = {""};
        name[n - 1] = 'n';
        put(&m, "GGUF", 4), put32(&m, 3), put64(&m, 1), put64(&m, 0);
        put_string(&m, name), put32(&m, 1), put64(&m, 3), put32(&m, GGUF_F32), put64(&m, 0);
        m.data = (m.size + 31) / 32 * 32;
        gguf_file *f = gguf_open_memory(m.bytes, m.data + 12, "x.gguf", &err);
        cr_assert(f, "name of %zu bytes: %s", n, err.text);
        cr_assert_eq(gguf_tensor_at(f, 0)->offset, m.data);
        gguf_close(f);
    }
}

Test(gguf, counts_have_limits_in_large_files_too) {
    size_t size = 64u << 20; /* room for more entries than are allowed */
    uint8_t *b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert(b != MAP_FAILED);
    const uint64_t over = (1 << 20) + 1, none = 0;
    bf_error err;
    memcpy(b, "GGUF\3", 5);
    memcpy(b + 8, &over, 8);
    cr_assert_null(gguf_open_memory(b, size, "x.gguf", &err));
    cr_assert(strstr(err.text, "tensor count: 1048577 (at most 1048576"), "%s", err.text);
    memcpy(b + 8, &none, 8), memcpy(b + 16, &over, 8);
    cr_assert_null(gguf_open_memory(b, size, "x.gguf", &err));
    cr_assert(strstr(err.text, "metadata count: 1048577 (at most 1048576"), "%s", err.text);
    munmap(b, size);
}

Test(gguf, a_key_given_twice_is_refused) {
    image m = make_image();
    bf_error err;
    for (size_t i = 0; i + 6 < m.data; i++)
        if (!memcmp(m.bytes + i, "a.bool", 6)) memcpy(m.bytes + i, "a.half", 6);
    cr_assert_eq(try_open(m.bytes, m.size, &err), -1);
    cr_assert(strstr(err.text, "a.half: this metadata key is there twice"), "%s", err.text);
}

Test(gguf, arrays_nest_so_deep_and_no_deeper) {
    for (int depth = 1; depth < 200; depth++) {
        image m = {.size = 0};
        bf_error err;
        put(&m, "GGUF", 4), put32(&m, 3), put64(&m, 0), put64(&m, 1);
        put_string(&m, "deep"), put32(&m, GGUF_ARRAY);
        for (int i = 1; i < depth; i++) put32(&m, GGUF_ARRAY), put64(&m, 1);
        put32(&m, GGUF_U8), put64(&m, 0);
        cr_assert_eq(try_open(m.bytes, m.size, &err), depth <= 4 ? 0 : -1, "depth %d: %s", depth, err.text);
        if (depth > 4) cr_assert(strstr(err.text, "nested"), "%s", err.text);
    }
}

Test(gguf, alignment_moves_the_data) {
    image m = make_image();
    bf_error err;
    set32(&m, m.alignment, 8); /* 288, 320, 352 are multiples; the data begin earlier or at the same place */
    cr_assert_eq(try_open(m.bytes, m.size, &err), 0, "%s", err.text);
    set32(&m, m.alignment, 64);
    cr_assert_eq(try_open(m.bytes, m.size, &err), -1);
    cr_assert(strstr(err.text, "multiple of the alignment 64"), "%s", err.text);
}

Test(gguf, files_that_are_none_are_refused) {
    bf_error err = {""};
    char path[] = "/tmp/blackframe-gguf-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_null(gguf_open(path, &err));
    cr_assert(strstr(err.text, "empty"), "%s", err.text);
    cr_assert_eq(write(fd, "GGUF", 4), 4);
    close(fd);
    cr_assert_null(gguf_open(path, &err));
    cr_assert(strstr(err.text, "offset 4: version"), "%s", err.text);
    unlink(path);
    cr_assert_null(gguf_open(path, &err));
    cr_assert(strstr(err.text, path), "%s", err.text);
    cr_assert_null(gguf_open("/tmp", &err));
    cr_assert(strstr(err.text, "regular"), "%s", err.text);
}
