/* `check --archive`, `compare --outputs`: distances, classes, files that nobody should believe, and the two commands from outside. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../compare_outputs.h"

static bf_error err;

static bf_output_difference between(bf_dtype type, uint64_t a, uint64_t b, uint64_t ulps) {
    bf_output x = {.type = type, .elements = 1, .bytes = (unsigned char *)&a}, y = {.type = type, .elements = 1, .bytes = (unsigned char *)&b};
    bf_output_difference d;
    bf_output_compare(&x, &y, ulps, &d);
    return d;
}

Test(compare_outputs, distances_in_ulps) {
    static const struct {
        bf_dtype type;
        uint64_t a, b, worst;
        int bin;
    } row[] = {{BF_F32, 0x3f800000, 0x3f800001, 1, BF_ULP_1}, {BF_F32, 0x3f7fffff, 0x3f800001, 2, BF_ULP_2}, {BF_F32, 0x00000001, 0x80000001, 2, BF_ULP_2},
               {BF_F32, 0x007fffff, 0x00800000, 1, BF_ULP_1}, {BF_F32, 0x3f800000, 0xbf800000, 0x7f000000, BF_ULP_MORE}, {BF_F16, 0x3c00, 0x3c03, 3, BF_ULP_4},
               {BF_BF16, 0x3f80, 0x3f90, 16, BF_ULP_16}, {BF_F64, 0x3ff0000000000000, 0x3ff0000000000100, 256, BF_ULP_256}, {BF_I8, 0x80, 0x7f, 255, BF_ULP_256},
               {BF_I32, 0xffffffff, 1, 2, BF_ULP_2}, {BF_F64, 0x7fefffffffffffff, 0xffefffffffffffff, 0xffdffffffffffffe, BF_ULP_MORE}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (int swap = 0; swap < 2; swap++) {
            uint64_t a = swap ? row[i].b : row[i].a, b = swap ? row[i].a : row[i].b;
            bf_output_difference d = between(row[i].type, a, b, 0);
            cr_expect(d.worst == row[i].worst && d.bin[row[i].bin] == 1 && d.different == 1 && d.beyond == 1 && d.first == 0, "row %zu: %llu in %d", i, (unsigned long long)d.worst, row[i].bin);
            cr_expect_eq(between(row[i].type, a, b, row[i].worst).beyond, 0, "row %zu", i);
            cr_expect_eq(between(row[i].type, a, b, row[i].worst - 1).beyond, 1, "row %zu", i);
        }
}

Test(compare_outputs, classes_are_never_near) {
    static const uint64_t nan = 0x7fc00000, infinity = 0x7f800000, largest = 0x7f7fffff;
    cr_expect(between(BF_F32, infinity, largest, UINT64_MAX).classes == 1 && between(BF_F32, infinity, largest, UINT64_MAX).beyond == 1);
    cr_expect(between(BF_F32, nan, infinity, UINT64_MAX).classes == 1 && between(BF_F32, largest, nan, UINT64_MAX).beyond == 1);
    cr_expect(between(BF_F32, infinity, infinity | 0x80000000, UINT64_MAX).beyond == 1);
    bf_output_difference d = between(BF_F32, nan, nan | 0x80000001, 0);
    cr_expect(d.payload == 1 && d.beyond == 1 && !d.classes);
    cr_expect_eq(between(BF_F32, nan, nan | 0x80000001, 1).beyond, 0);
    d = between(BF_F16, 0, 0x8000, 0);
    cr_expect(d.sign == 1 && d.beyond == 1 && d.worst == 0);
    cr_expect_eq(between(BF_F16, 0, 0x8000, 1).beyond, 0);
    cr_expect_eq(between(BF_F32, nan, nan, 0).different, 0);
}

Test(compare_outputs, without_values_the_hash_decides) {
    bf_output a = {.type = BF_F32, .elements = 1, .hash = 1}, b = a;
    bf_output_difference d;
    bf_output_compare(&a, &b, 0, &d);
    cr_expect(!d.unknown);
    b.hash = 2;
    bf_output_compare(&a, &b, UINT64_MAX, &d);
    cr_expect(d.unknown);
}

/* ---- files ---- */

#define LINE(dtype, shape, hash, values) "{\"type\":\"output\",\"op\":\"convert\",\"case\":\"convert n=1\",\"kernel\":\"k\",\"backend\":\"cpu\",\"arch\":\"a\",\"status\":\"PASS\",\"tensor\":\"y\",\"dtype\":" dtype ",\"shape\":" shape ",\"hash\":" hash ",\"values\":" values "}\n"

static int read_text(const char *text, bf_output_list *l) {
    FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    cr_assert(f);
    int rc = bf_archive_stream(f, "file", l, &err);
    fclose(f);
    return rc;
}

Test(compare_outputs, a_hostile_archive_is_one_line) {
    static const struct {
        const char *text, *says;
    } row[] = {
        {"{\"type\":\"output\"}\n", "line 1: field 'dtype'"},
        {LINE("\"q4_k\"", "[1]", "\"0\"", "\"\""), "no type that outputs have"},
        {LINE("\"q6_k\"", "[256]", "\"0\"", "\"\""), "no type that outputs have"},
        {LINE("\"q8_0\"", "[32]", "\"0\"", "\"\""), "no type that outputs have"},
        {LINE("\"mxfp4\"", "[32]", "\"0\"", "\"\""), "no type that outputs have"},
        {LINE("\"f16\"", "[1,1,1,1,1]", "\"0\"", "\"\""), "at most four"},
        {LINE("\"f16\"", "[-1]", "\"0\"", "\"\""), "cannot be"},
        {LINE("\"f16\"", "[4294967296,4294967296]", "\"0\"", "\"\""), "cannot be"},
        {LINE("\"f16\"", "[1.5]", "\"0\"", "\"\""), "cannot be"},
        {LINE("\"f16\"", "[1]", "\"xyz\"", "\"003c\""), "16 hexadecimal"},
        {LINE("\"f16\"", "[1]", "\"0000000000000000\"", "\"003c0\""), "as many"},
        {LINE("\"f16\"", "[1]", "\"0000000000000000\"", "\"003c00\""), "as many"},
        {LINE("\"f16\"", "[1]", "\"0000000000000000\"", "7"), "as many"},
        {LINE("\"f16\"", "[1]", "\"0000000000000000\"", "\"0g3c\""), "not hexadecimal"},
        {LINE("\"f16\"", "[1]", "\"0000000000000000\"", "\"003c\""), "damaged"},
        {"{\"type\":\"run\"}\nnonsense\n", "line 2: not JSON"},
        {"{}\n", "'type'"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bf_output_list l = {0};
        err.text[0] = 0;
        cr_expect_eq(read_text(row[i].text, &l), -1, "row %zu", i);
        cr_expect(strstr(err.text, row[i].says) && !strncmp(err.text, "file: line ", 11) && !strchr(err.text, '\n'), "row %zu: %s", i, err.text);
        cr_expect_eq(l.count, 0);
        bf_archive_free(&l);
    }
    bf_output_list l = {0};
    cr_assert_eq(read_text(LINE("\"f16\"", "[]", "\"08328c07b4eb76b9\"", "\"003c\""), &l), 0, "%s", err.text);
    cr_assert_eq(l.count, 1);
    cr_expect(l.item[0].elements == 1 && bf_output_bits(&l.item[0], 0) == 0x3c00 && bf_output_value(&l.item[0], 0) == 1);
    bf_archive_free(&l);
}

/* ---- from outside ---- */

static char output[1 << 14];
static int command(const char *format, const char *d) {
    char line[1024], words[900];
    snprintf(words, sizeof words, format, d, d, d);
    snprintf(line, sizeof line, "%s/blackframe %s 2>&1", BF_BUILD, words);
    FILE *p = popen(line, "r");
    size_t n = fread(output, 1, sizeof output - 1, p);
    output[n] = 0;
    int ws = pclose(p);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
}

/* One bit of one value of the copy is turned, with the hash put right. */
static void spoil(const char *d) {
    char line[700];
    snprintf(line, sizeof line, "python3 -c \"\nimport json\nout = open('%s/b', 'w')\nfor t in open('%s/a'):\n    r = json.loads(t)\n    if r['type'] == 'output' and r['kernel'] == 'linear_naive':\n"
             "        v = bytearray.fromhex(r['values']); v[8] ^= 4; r['values'] = v.hex(); h = 0xcbf29ce484222325\n        for b in v: h = (h ^ b) * 0x100000001b3 %% 2**64\n"
             "        r['hash'] = '%%016x' %% h\n    print(json.dumps(r), file=out)\n\"", d, d);
    cr_assert_eq(system(line), 0);
}

Test(compare_outputs, a_bit_is_found_and_measured, .timeout = 30) {
    char d[] = "/tmp/blackframe-archive-XXXXXX";
    cr_assert(mkdtemp(d));
    cr_assert_eq(command("check --backend cpu,simt-cuda --kernel 'l*_naive' --archive %s/a linear m=3 k=5 n=1,2 w=bf16 x=f32", d), 0, "%s", output);
    cr_expect_eq(command("compare --outputs %s/a %s/a", d), 0, "%s", output);
    cr_expect(strstr(output, "\n4 outputs compared, 0 differ"), "%s", output);
    spoil(d);
    cr_expect_eq(command("compare --outputs %s/a %s/b --json %s/j", d), 1, "%s", output);
    cr_expect(strstr(output, "first difference: cpu linear_naive: linear m=3 k=5") && strstr(output, "y[2] 0x") && strstr(output, ": 4 ulp; 1 of 6 values"), "%s", output);
    cr_expect(strstr(output, "4 outputs compared, 4 differ by more than 0 ulp"), "%s", output);
    cr_expect_eq(command("compare --outputs %s/a %s/b --ulps 4", d), 0, "%s", output);
    cr_expect_eq(command("compare --outputs %s/a %s/b --ulps 3", d), 1, "%s", output);
    /* Other backends, matched by the kernel's name; and a case that only one side has. */
    cr_assert_eq(command("check --backend cpu --kernel linear_naive --archive %s/c linear m=3 k=5 n=1,2 w=bf16 x=f32 fill=integer", d), 0, "%s", output);
    cr_assert_eq(command("check --backend simt-hip --kernel linear_naive --archive %s/e linear m=3 k=5 n=1,2,3 w=bf16 x=f32 fill=integer", d), 0, "%s", output);
    cr_expect_eq(command("compare --outputs %s/c %s/e", d), 0, "%s", output);
    cr_expect(strstr(output, "only B  simt-hip linear_naive: linear m=3 k=5 n=3") && strstr(output, "2 outputs compared, 0 differ by more than 0 ulp; only in A 0, only in B 1"), "%s", output);
    cr_expect_eq(command("compare --outputs %s/a %s/e", d), 2, "%s", output);
    cr_expect(strstr(output, "is there twice, with different outputs"), "%s", output);
    cr_expect_eq(command("compare --outputs %s/a", d), 2, "%s", output);
    cr_expect_eq(command("compare --outputs %s/j %s/a", d), 2, "%s", output);
    cr_expect(strstr(output, "no outputs in it"), "%s", output);
    for (const char *n = "abcej"; *n; n++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%c", d, *n);
        unlink(path);
    }
    cr_expect_eq(rmdir(d), 0);
}
