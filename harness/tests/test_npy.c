/* test_npy.c: numpy's files, whole, cut, changed and hostile. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../formats/npy.h"

static char path[64];

static void make_path(void) {
    strcpy(path, "/tmp/blackframe-npy-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
}
static void remove_path(void) { unlink(path); }

TestSuite(npy);
TestSuite(npy_file, .init = make_path, .fini = remove_path);

/* A version 1 image with this dict; the caller frees. Exact size, so that sanitizers see the edge. */
static uint8_t *image(const char *dict, size_t data, size_t *size) {
    size_t n = strlen(dict), header = (10 + n + 1 + 63) / 64 * 64 - 10;
    *size = 10 + header + data;
    uint8_t *b = aligned_alloc(64, (*size + 63) / 64 * 64), *exact = malloc(*size);
    cr_assert(b && exact);
    memcpy(b, "\x93NUMPY\x01\x00", 8);
    b[8] = (uint8_t)header, b[9] = (uint8_t)(header >> 8);
    memset(b + 10, ' ', header);
    memcpy(b + 10, dict, n);
    b[9 + header] = '\n';
    for (size_t i = 0; i < data; i++) b[10 + header + i] = (uint8_t)(i * 7 + 1);
    memcpy(exact, b, *size);
    free(b);
    return exact;
}

static int open_dict(const char *dict, size_t data, npy_array *a, bf_error *err) {
    size_t size;
    uint8_t *b = image(dict, data, &size);
    int rc = npy_open_memory(b, size, "x.npy", a, err);
    free(b);
    return rc;
}

Test(npy, golden_conversions_have_numpys_shape_and_values) {
    bf_error err = {""};
    npy_array a;
    cr_assert_eq(npy_open("cases/golden/bf16_all_to_f32bits.npy", &a, &err), 0, "%s", err.text);
    cr_assert_str_eq(a.type, "u4");
    cr_assert_eq(a.rank, 1);
    cr_assert_eq(a.elements, 65536);
    for (uint32_t i = 0; i < 65536; i++) cr_assert_eq(((const uint32_t *)a.data)[i], i << 16);
    npy_close(&a);
    cr_assert_eq(npy_open("cases/golden/f32_special_to_fp16.npy", &a, &err), 0, "%s", err.text);
    cr_assert_str_eq(a.type, "u2");
    cr_assert_eq(a.bytes, 2 * 7808);
    npy_close(&a);
}

Test(npy, spellings_that_numpy_reads_are_read) {
    static const struct {
        const char *dict;
        size_t data;
        const char *type;
        int rank;
        uint64_t elements;
    } row[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24, "f4", 2, 6},
        {"{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}", 24, "f4", 2, 6},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (5,), }", 5, "u1", 1, 5},
        {"{'descr': '<i1', 'fortran_order': False, 'shape': (5,), }", 5, "i1", 1, 5},
        {"{'descr': '=f8', 'fortran_order': True, 'shape': (1,), }", 8, "f8", 1, 1}, /* one dimension has no order */
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (), }", 8, "i8", 0, 1},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (3, 0, 7), }", 0, "u2", 3, 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bf_error err = {""};
        npy_array a;
        cr_assert_eq(open_dict(row[i].dict, row[i].data, &a, &err), 0, "%s: %s", row[i].dict, err.text);
        cr_assert_str_eq(a.type, row[i].type);
        cr_assert_eq(a.rank, row[i].rank);
        cr_assert_eq(a.elements, row[i].elements);
    }
}

Test(npy, hostile_headers_are_refused_by_name) {
    static const struct {
        const char *dict;
        size_t data;
        const char *says;
    } row[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8, "big-endian"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 16, "not read"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", 16, "not read"},
        {"{'descr': '|f4', 'fortran_order': False, 'shape': (2,), }", 8, "not read"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "structured"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", 16, "ascontiguousarray"},
        {"{'descr': '<f4', 'fortran_order': 1, 'shape': (2, 2), }", 16, "False or True"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2), }", 8, "(n,)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "length wanted"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 2), }", 16, "',' wanted"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8, "2^64"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 8, "2^64"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905,), }", 4, "truncated"}, /* bytes wrap to 4 */
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, "dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, }", 4, "'shape' is missing"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, "twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", 4, "unknown key 'x'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), } + 1", 4, "behind the dict"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), ", 8, "wanted"},
        {"", 8, "'{' wanted"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7, "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 9, "1 more behind"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bf_error err = {""};
        npy_array a;
        cr_assert_eq(open_dict(row[i].dict, row[i].data, &a, &err), -1, "accepted: %s", row[i].dict);
        cr_assert(strstr(err.text, row[i].says), "%s: %s", row[i].dict, err.text);
        cr_assert_eq(strncmp(err.text, "x.npy: offset ", 14), 0, "%s", err.text);
        cr_assert_null(a.data);
    }
}

Test(npy, prefix_is_checked_field_by_field) {
    static const struct {
        size_t at;
        uint8_t value;
        const char *says;
    } row[] = {{0, 'x', "magic"}, {6, 0, "version"}, {6, 4, "version"}, {7, 1, "version"}, {9, 0xff, "header length"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bf_error err = {""};
        npy_array a;
        size_t size;
        uint8_t *b = image("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8, &size);
        b[row[i].at] = row[i].value;
        cr_assert_eq(npy_open_memory(b, size, "x.npy", &a, &err), -1);
        cr_assert(strstr(err.text, row[i].says), "%s", err.text);
        free(b);
    }
}

Test(npy, data_that_a_float_cannot_be_read_from_are_refused) {
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
    _Alignas(8) uint8_t b[128] = "\x93NUMPY\x01";
    bf_error err = {""};
    npy_array a;
    memcpy(b + 10, dict, sizeof dict - 1);
    for (unsigned n = sizeof dict - 1; n < sizeof dict + 7; n++) {
        memset(b + 10 + sizeof dict - 1, ' ', 16);
        b[8] = (uint8_t)n;
        int rc = npy_open_memory(b, 10 + n + 4, "x.npy", &a, &err);
        cr_assert_eq(rc, (10 + n) % 4 ? -1 : 0, "header of %u bytes: %s", n, err.text);
        if (rc) cr_assert(strstr(err.text, "not aligned"), "%s", err.text);
    }
}

Test(npy, every_truncation_fails) {
    size_t size;
    uint8_t *b = image("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24, &size);
    for (size_t n = 0; n < size; n++) {
        bf_error err = {""};
        npy_array a;
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, b, n);
        cr_assert_eq(npy_open_memory(cut, n, "x.npy", &a, &err), -1, "%zu of %zu bytes accepted", n, size);
        cr_assert(strstr(err.text, n < 10 ? "magic" : n < 128 ? "header length" : "data"), "%zu bytes: %s", n, err.text);
        free(cut);
    }
    free(b);
}

Test(npy, every_changed_byte_is_refused_or_stays_inside) {
    size_t size;
    uint8_t *b = image("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24, &size);
    for (size_t i = 0; i < size; i++)
        for (int v = 0; v < 256; v++) {
            bf_error err = {""};
            npy_array a;
            uint8_t keep = b[i];
            b[i] = (uint8_t)v;
            if (!npy_open_memory(b, size, "x.npy", &a, &err))
                cr_assert_eq((const uint8_t *)a.data + a.bytes, b + size, "byte %zu = %d", i, v);
            b[i] = keep;
        }
    free(b);
}

Test(npy_file, what_is_written_reads_back) {
    bf_error err = {""};
    const float values[6] = {0, -0.0f, 1, NAN, INFINITY, 0x1p-149f};
    npy_array a;
    cr_assert_eq(npy_write(path, "f4", 2, (int64_t[]){2, 3}, values, &err), 0, "%s", err.text);
    cr_assert_eq(npy_open(path, &a, &err), 0, "%s", err.text);
    cr_assert_str_eq(a.type, "f4");
    cr_assert(a.rank == 2 && a.dim[0] == 2 && a.dim[1] == 3);
    cr_assert_eq(memcmp(a.data, values, sizeof values), 0);
    cr_assert_eq((uintptr_t)a.data % 64, 0);
    npy_close(&a);
}

Test(npy_file, every_type_and_rank_reads_back) {
    static const char *const type[] = {"f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"};
    const int64_t dim[NPY_MAX_RANK] = {1, 2, 1, 3, 1, 1, 2, 1}, huge[NPY_MAX_RANK] = {INT64_MAX, 0, INT64_MAX, 1, 1, 1, 1, 0};
    uint8_t data[12 * 8];
    bf_error err = {""};
    npy_array a;
    memset(data, 0x5a, sizeof data);
    for (size_t t = 0; t < sizeof type / sizeof *type; t++)
        for (int rank = 0; rank <= NPY_MAX_RANK; rank++) {
            uint64_t n = npy_type_bytes(type[t]);
            for (int i = 0; i < rank; i++) n *= (uint64_t)dim[i];
            cr_assert_eq(npy_write(path, type[t], rank, dim, data, &err), 0, "%s", err.text);
            cr_assert_eq(npy_open(path, &a, &err), 0, "%s", err.text);
            cr_assert(a.rank == rank && a.bytes == n && !strcmp(a.type, type[t]));
            npy_close(&a);
        }
    cr_assert_eq(npy_write(path, "f8", 2, huge, data, &err), -1, "2^63 times 8 bytes must not wrap");
    cr_assert_eq(npy_write(path, "f8", 1, huge + 1, data, &err), 0, "%s", err.text);
    cr_assert_eq(npy_write(path, "b1", 1, dim, data, &err), -1);
    cr_assert_eq(npy_write(path, "f8", 9, dim, data, &err), -1);
    cr_assert_eq(npy_write(path, "f8", 1, (int64_t[]){-1}, data, &err), -1);
}

Test(npy_file, files_that_are_none_are_refused) {
    bf_error err = {""};
    npy_array a;
    cr_assert_eq(npy_open(path, &a, &err), -1);
    cr_assert(strstr(err.text, "empty"), "%s", err.text);
    cr_assert_eq(npy_open("/tmp", &a, &err), -1);
    cr_assert(strstr(err.text, "regular"), "%s", err.text);
    cr_assert_eq(npy_open("/nonexistent.npy", &a, &err), -1);
    cr_assert(strstr(err.text, "/nonexistent.npy: "), "%s", err.text);
}
