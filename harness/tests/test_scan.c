/* test_scan.c: statistics against conversions done one by one, block formats against public writers, model files sound and hostile,
 * the command on a model with a planted overflow. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../kernels/cpu/fp16.h"
#include "../formats/model.h"
#include "../scan/scan.h"

/* ---- the kernels ---- */

static uint32_t state = 1;
static uint32_t draw(void) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

typedef struct plain {
    uint64_t zero, flushed, subnormal, over, inf, nan;
    double sum, squares, error, largest;
} plain;

/* By converting every value to fp16 and looking at what became of it. */
static plain by_conversion(const void *p, bf_dtype type, int64_t n) {
    plain r = {0};
    for (int64_t i = 0; i < n; i++) {
        double x = fabs((double)bf_load_float(p, type, i));
        if (x == 0) r.zero++;
        if (isnan(x)) r.nan++;
        if (isinf(x)) r.inf++;
        if (!isfinite(x)) continue;
        r.sum += x, r.squares += x * x, r.largest = fmax(r.largest, x);
        uint32_t h = bf_f32_bits_to_f16(bf_bits((float)x));
        if (x > 0 && h == 0) r.flushed++;
        else if (h == 0x7c00) r.over++;
        else if (x > 0) {
            r.subnormal += x < 0x1p-14;
            r.error = fmax(r.error, fabs((double)bf_f16_value(h) - x) / x);
        }
    }
    return r;
}

/* kind 0: ordinary weights; 1: any bits; 2: around the thresholds; 3: zeros; 4: large, squares beyond fp32. */
static void make(void *p, bf_dtype type, int64_t n, int kind) {
    static const uint32_t edge[] = {0x33000000u, 0x38800000u, 0x477ff000u, 0x7f800000u, 0x00000001u, 0x47800000u};
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = draw(), bits = (u & 0x80000000u) | ((104 + u % 21) << 23) | (u >> 8 & 0x7fffffu);
        if (kind == 1) bits = u;
        if (kind == 2) bits = (edge[u % 6] + (u >> 8) % 5 - 2) | (u & 0x80000000u);
        if (kind == 3) bits = u & 0x80000000u;
        if (kind == 4) bits = 0x70000000u + (u & 0xffffffu);
        if (type == BF_F32) ((uint32_t *)p)[i] = bits;
        else ((uint16_t *)p)[i] = (uint16_t)(kind == 1 ? u : type == BF_BF16 ? bits >> 16 : bf_f32_bits_to_f16(bits));
    }
}

static void compare(const bf_scan_kernel *k, bf_dtype type, int64_t n, int kind, int full) {
    static uint32_t data[6000], column[6000];
    bf_scan_counts c;
    bf_scan_row row = {0, 0};
    uint32_t error = 0;
    make(data, type, n, kind);
    memset(column, 0, sizeof column);
    bf_scan_counts_start(&c);
    if (full) k->full(data, type, n, &c, &row, column, &error);
    else k->count(data, type, n, &c);
    plain want = by_conversion(data, type, n);
    const uint64_t *l = c.level;
    cr_expect(c.values == (uint64_t)n && (uint64_t)n - l[0] == want.zero && l[0] - l[1] == want.flushed && l[1] - l[2] == want.subnormal &&
                  l[3] - l[4] == want.over && l[4] - l[5] == want.inf && l[5] == want.nan,
              "%s %s n=%ld kind %d: counts differ", k->name, type == BF_F32 ? "f32" : "16 bits", (long)n, kind);
    double largest = type == BF_F32 ? (double)bf_float(c.largest) : type == BF_BF16 ? (double)bf_bf16_value(c.largest) : (double)bf_f16_value(c.largest);
    cr_expect_eq(largest, want.largest, "%s kind %d: largest", k->name, kind);
    if (!full) return;
    cr_expect(fabs(row.sum - want.sum) <= 1e-5 * want.sum && fabs(row.squares - want.squares) <= 1e-5 * want.squares, "%s kind %d n=%ld: sums %g, %g", k->name,
              kind, (long)n, row.sum, want.sum);
    cr_expect(fabs((double)bf_float(error) - want.error) <= 1e-6 * want.error, "%s type %d kind %d n=%ld: error %g, not %g", k->name, (int)type, kind, (long)n,
              (double)bf_float(error), want.error);
    for (int64_t i = 0; i < n; i++) {
        uint32_t a = bf_bits(bf_load_float(data, type, i)) & 0x7fffffffu;
        cr_assert_eq(column[i], a < 0x7f800000u ? a : 0u, "%s kind %d: column %ld", k->name, kind, (long)i);
    }
}

Test(scan, kernels_count_what_conversion_does) {
    static const int64_t length[] = {0, 1, 2047, 2048, 2049, 5000};
    static const bf_dtype types[] = {BF_F32, BF_F16, BF_BF16};
    for (int k = 0; bf_scan_kernel_at(k); k++)
        for (int t = 0; t < 3; t++)
            for (int n = 0; n < 6; n++)
                for (int kind = 0; kind < 5; kind++)
                    for (int full = 0; full < 2; full++) compare(bf_scan_kernel_at(k), types[t], length[n], kind, full);
}

/* ---- formats ---- */

Test(scan, block_formats_agree_with_the_public_reader) {
    bf_error err;
    bf_model *m = bf_model_open("cases/golden/blocks_golden.gguf", &err);
    cr_assert(m, "%s", err.text);
    int formats = 0;
    for (size_t i = 0; i + 1 < bf_model_count(m); i += 2) {
        const bf_model_tensor *t = bf_model_at(m, i), *want = bf_model_at(m, i + 1);
        cr_assert(t->blocks && want->dtype == BF_F32 && !strncmp(want->name, t->name, strlen(t->name)) && t->elements == want->elements, "%s", t->name);
        cr_expect(t->rows == 3 && t->row == 512, "%s: %lu x %lu", t->name, (unsigned long)t->rows, (unsigned long)t->row);
        for (uint64_t b = 0; b < t->elements / t->blocks->elements; b++) {
            float value[256];
            cr_expect(t->blocks->values((const uint8_t *)t->data + b * t->blocks->bytes, value), "%s block %lu", t->name, (unsigned long)b);
            cr_assert(!memcmp(value, (const char *)want->data + b * t->blocks->elements * 4, t->blocks->elements * 4), "%s: block %lu differs", t->name,
                      (unsigned long)b);
        }
        formats++;
    }
    int known = 0;
    while (bf_block_format_at(known)) known++;
    cr_expect_eq(formats, known);
    bf_model_close(m);
}

Test(scan, block_scales_that_are_no_numbers) {
    uint8_t block[256];
    float value[256];
    for (int i = 0; bf_block_format_at(i); i++) {
        const bf_block_format *f = bf_block_format_at(i);
        memset(block, 0, sizeof block);
        cr_expect(f->values(block, value), "%s", f->name);
        uint32_t at = f->type == 14 ? 208 : 0;
        block[at] = f->type == 39 ? 255 : 0, block[at + 1] = 0x7c;
        cr_expect_not(f->values(block, value), "%s with an infinite scale", f->name);
    }
}

Test(scan, safetensors_of_the_public_writer) {
    bf_error err;
    bf_model *m = bf_model_open("cases/golden/types.safetensors", &err);
    cr_assert(m && bf_model_count(m) == 3, "%s", err.text);
    bf_scan s;
    cr_assert_eq(bf_scan_run(&s, m, 0, 2, 1, &err), 0, "%s", err.text);
    for (size_t i = 0; i < 3; i++) {
        const bf_scan_tensor *t = &s.tensor[i];
        bf_scan_judge(&s.tensor[i], 0, 50);
        const uint64_t *l = t->c.level;
        plain want = by_conversion(t->t->data, t->t->dtype, (int64_t)t->t->elements);
        cr_expect(t->c.values - l[0] == want.zero && l[0] - l[1] == want.flushed && l[3] - l[4] == want.over && l[4] - l[5] == want.inf && l[5] == want.nan,
                  "%s", t->t->name);
        if (t->t->dtype == BF_F32) {
            cr_expect(t->t->rows == 2 && t->t->row == 15, "rank 3 with a short last dimension is a convolution");
            cr_expect_eq(t->verdict, BF_SCAN_OK);
        } else
            cr_expect_eq(t->verdict, BF_SCAN_DAMAGED, "%s", t->t->name);
    }
    bf_scan_free(&s), bf_model_close(m);
}

/* ---- files made here ---- */

static char folder[64];
static void enter(void) {
    strcpy(folder, "/tmp/blackframe-scan-XXXXXX");
    cr_assert(mkdtemp(folder));
}
static void leave(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_expect_eq(system(command), 0);
}
static const char *in_folder(const char *name) {
    static char path[4][200];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, 200, "%s/%s", folder, name);
    return p;
}
static void write_file(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(in_folder(name), "wb");
    cr_assert(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
}

/* One bf16 matrix of 8 x 64, named model.layers.N.w.weight, all 2^-6 but the one planted. */
static size_t write_model(const char *name, int layer, int planted_at, float planted) {
    char header[200] = {0}, image[8 + 200 + 1024];
    uint16_t *w = (uint16_t *)(image + 8 + 128);
    snprintf(header, sizeof header, "{\"model.layers.%d.w.weight\":{\"dtype\":\"BF16\",\"shape\":[8,64],\"data_offsets\":[0,1024]}}", layer);
    memset(image, ' ', sizeof image);
    uint64_t n = 128;
    memcpy(image, &n, 8), memcpy(image + 8, header, strlen(header));
    for (int i = 0; i < 512; i++) w[i] = (uint16_t)bf_f32_bits_to_bf16(bf_bits(i == planted_at ? planted : 0x1p-6f));
    write_file(name, image, 8 + 128 + 1024);
    return 8 + 128 + 1024;
}

static bf_scan_tensor scan_one(const char *name) {
    bf_error err;
    bf_scan s;
    bf_model *m = bf_model_open(in_folder(name), &err);
    cr_assert(m, "%s", err.text);
    cr_assert_eq(bf_scan_run(&s, m, 0, 1, 0, &err), 0, "%s", err.text);
    bf_scan_judge(&s.tensor[0], 0, 50);
    bf_scan_tensor t = s.tensor[0];
    bf_scan_free(&s), bf_model_close(m);
    return t;
}

/* A single long row goes through units of a few megabytes, each with columns of its own that nobody keeps. */
Test(scan, a_long_vector_is_counted_once, .init = enter, .fini = leave) {
    enum { N = 5 * 1024 * 1024 + 77 };
    static unsigned char image[8 + 128 + 2 * N];
    char header[129];
    int n = snprintf(header, sizeof header, "{\"w\":{\"dtype\":\"F16\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", N, 2 * N);
    memset(image, 0, sizeof image), memset(image + 8, ' ', 128), memcpy(image + 8, header, (size_t)n);
    image[0] = 128;
    for (size_t i = 0; i < N; i++) image[8 + 128 + 2 * i + 1] = 0x3c; /* 1 */
    image[8 + 128 + 2 * (N - 3)] = 1; /* 1 + 2^-10, the largest */
    write_file("long.safetensors", image, sizeof image);
    bf_scan_tensor t = scan_one("long.safetensors");
    cr_expect_eq(t.c.values, N);
    cr_expect_float_eq(t.largest, 1 + 0x1p-10, 0);
    cr_expect_eq(t.verdict, BF_SCAN_OK);
}

Test(scan, verdicts, .init = enter, .fini = leave) {
    static const struct { float planted; bf_scan_verdict verdict; } row[] = {
        {0x1p-6f, BF_SCAN_OK}, {131072.0f, BF_SCAN_OVERFLOW}, {INFINITY, BF_SCAN_DAMAGED}, {NAN, BF_SCAN_DAMAGED},
        {2000.0f, BF_SCAN_NO_HEADROOM}, {700.0f, BF_SCAN_TIGHT}, {0x1p-30f, BF_SCAN_LOSSY},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        write_model("m.safetensors", 0, 130, row[i].planted);
        bf_scan_tensor t = scan_one("m.safetensors");
        cr_expect_eq(t.verdict, row[i].verdict, "%g: %s", (double)row[i].planted, bf_scan_verdict_name[t.verdict]);
        if (t.verdict >= BF_SCAN_OVERFLOW) cr_expect_eq(t.first, 130u, "first at %lu", (unsigned long)t.first);
        if (t.verdict == BF_SCAN_NO_HEADROOM) {
            double norm1 = 2000 + 63 * 0x1p-6;
            cr_expect(t.norm1 == norm1 && t.norm1_row == 2 && t.estimate == 65520 / norm1 && t.outlier_columns == 1 && t.outlier[0] == 2);
            cr_expect(fabs(t.guarantee - t.estimate / pow(1 + 0x1p-11, 64)) < 1e-9 * t.estimate);
        }
    }
}

static void expect_refused(const char *name, const char *why) {
    bf_error err = {{0}};
    bf_model *m = bf_model_open(in_folder(name), &err);
    cr_expect(!m && strstr(err.text, why) && !strchr(err.text, '\n'), "wanted '%s', got '%s'", why, err.text);
    bf_model_close(m);
}

static void write_text(const char *name, const char *text) { write_file(name, text, strlen(text)); }

Test(scan, sharded_models_and_hostile_indices, .init = enter, .fini = leave) {
    bf_error err;
    write_model("a.safetensors", 0, 0, 1), write_model("b.safetensors", 1, 0, 1);
    write_text("m.json", "{\"metadata\":{},\"weight_map\":{\"model.layers.0.w.weight\":\"a.safetensors\",\"model.layers.1.w.weight\":\"b.safetensors\"}}");
    bf_model *m = bf_model_open(in_folder("m.json"), &err);
    cr_assert(m && bf_model_files(m) == 2 && bf_model_count(m) == 2, "%s", err.text);
    bf_scan s;
    int count;
    cr_assert_eq(bf_scan_run(&s, m, 1, 2, 0, &err), 0);
    for (int i = 0; i < 2; i++) bf_scan_judge(&s.tensor[i], 1, 50);
    bf_scan_group *g = bf_scan_groups(&s, &count);
    cr_expect(g && count == 1 && g[0].tensors == 2 && !strcmp(g[0].name, "model.layers.{}.w.weight"));
    bf_scan_groups_free(g, count), bf_scan_free(&s), bf_model_close(m);
    static const struct { const char *text, *why; } row[] = {
        {"{\"weight_map\":{\"x\":\"../a.safetensors\"}}", "file beside the index"}, {"{\"weight_map\":{\"x\":\"/etc/passwd\"}}", "file beside the index"},
        {"{\"weight_map\":{\"x\":7}}", "file beside the index"}, {"{\"weight_map\":{\"x\":\"a.safetensors\"}}", "not in a.safetensors"},
        {"{\"weight_map\":{\"x\":\"missing\"}}", "No such file"}, {"{}", "weight_map"}, {"[", "line 1"}, {"{\"weight_map\":[]}", "weight_map"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) write_text("bad.json", row[i].text), expect_refused("bad.json", row[i].why);
    expect_refused("", "not a regular file");
    write_text("empty.gguf", "GGUF"), expect_refused("empty.gguf", "offset");
}

/* The page fault of a file that was cut under the mapping becomes one line. */
Test(scan, a_file_cut_during_the_scan, .init = enter, .fini = leave) {
    bf_error err = {{0}};
    bf_scan s;
    size_t n = write_model("m.safetensors", 0, 0, 1);
    bf_model *m = bf_model_open(in_folder("m.safetensors"), &err);
    cr_assert(m && n);
    cr_assert_eq(truncate(in_folder("m.safetensors"), 0), 0);
    cr_expect_eq(bf_scan_run(&s, m, 0, 1, 0, &err), -1);
    cr_expect(strstr(err.text, "cannot be read") && strstr(err.text, "model.layers.0"), "%s", err.text);
    bf_scan_free(&s), bf_model_close(m);
}

/* ---- the command ---- */

static char said[1 << 14];
static int command(const char *arguments) {
    char line[1200];
    snprintf(line, sizeof line, BF_BUILD "/blackframe %s%s 2>&1", strncmp(arguments, "trace ", 6) ? "scan " : "", arguments);
    FILE *f = popen(line, "r");
    cr_assert(f);
    said[fread(said, 1, sizeof said - 1, f)] = 0;
    int ws = pclose(f);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : -1;
}

/* A type that is newer than this reader: its tensor is not read, the others are. */
Test(scan, a_newer_type_does_not_spoil_the_file, .init = enter, .fini = leave) {
    static const char header[] = "{\"w\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[3,7]},\"s\":{\"dtype\":\"F8_E8M0\",\"shape\":[3],\"data_offsets\":[0,3]}}";
    unsigned char image[8 + sizeof header - 1 + 7] = {0};
    image[0] = sizeof header - 1;
    memcpy(image + 8, header, sizeof header - 1);
    memcpy(image + sizeof image - 4, "\0\x3c\0\x7c", 4); /* 1, infinity */
    char line[300];
    write_file("new.safetensors", image, sizeof image);
    snprintf(line, sizeof line, "--verbose %s", in_folder("new.safetensors"));
    cr_expect_eq(command(line), 1, "%s", said);
    cr_expect(strstr(said, "UNREAD") && strstr(said, "F8_E8M0") && strstr(said, "w (F16, 1 x 2)"), "%s", said);
}

Test(scan, the_command_names_the_planted_value, .init = enter, .fini = leave) {
    char arguments[900];
    write_model("m.safetensors", 3, 77, -131072.0f);
    snprintf(arguments, sizeof arguments, "--json %s %s", in_folder("scan.jsonl"), in_folder("m.safetensors"));
    cr_expect_eq(command(arguments), 1, "%s", said);
    cr_expect(strstr(said, "OVERFLOW") && strstr(said, "first at element 77 (row 1, column 13)") && strstr(said, "store as bf16, not fp16"), "%s", said);
    json_t *o = NULL;
    FILE *f = fopen(in_folder("scan.jsonl"), "r");
    char line[4096];
    int rows = 0;
    cr_assert(f);
    while (fgets(line, sizeof line, f)) {
        o = json_loads(line, 0, NULL);
        cr_assert(o, "%s", line);
        if (!strcmp(json_string_value(json_object_get(o, "type")), "scan")) {
            rows++;
            cr_expect(json_integer_value(json_object_get(o, "first")) == 77 && json_integer_value(json_object_get(o, "to_inf")) == 1);
        }
        json_decref(o);
    }
    fclose(f);
    cr_expect_eq(rows, 1);
    write_model("m.safetensors", 3, 77, 1);
    snprintf(arguments, sizeof arguments, "--basic %s", in_folder("m.safetensors"));
    cr_expect_eq(command(arguments), 0, "%s", said);
    cr_expect_eq(command(""), 2);
    cr_expect(strstr(said, "no file"), "%s", said);
    cr_expect_eq(command("/nonexistent.gguf"), 2);
    cr_expect(strstr(said, "/nonexistent.gguf"), "%s", said);
}

/* From the file to the plan to a finite result: a chain of its own, two blocks of 64 columns, a weight that fp16 cannot hold. */
Test(scan, the_plan_applied_is_finite, .init = enter, .fini = leave) {
    static uint16_t w[2][64 * 64];
    char image[8 + 256 + sizeof w], header[257] = "", arguments[1000];
    uint64_t n = 256;
    for (int i = 0; i < 2 * 64 * 64; i++) w[i / 4096][i % 4096] = (uint16_t)(i * 7 % 3 ? 0x3c00 : 0xbc00); /* +-2^-7 */
    w[1][5 * 64 + 9] = 0x4800; /* 2^17 */
    snprintf(header, sizeof header, "{\"layers.0.w\":{\"dtype\":\"BF16\",\"shape\":[64,64],\"data_offsets\":[0,8192]},"
                                    "\"layers.1.w\":{\"dtype\":\"BF16\",\"shape\":[64,64],\"data_offsets\":[8192,16384]}}");
    memset(image, ' ', sizeof image);
    memcpy(image, &n, 8), memcpy(image + 8, header, strlen(header)), memcpy(image + 8 + 256, w, sizeof w);
    write_file("m.safetensors", image, sizeof image);
    write_text("t.chain", "chain t depth=2 tokens=4\nsize width=64\ninput x width=width\nblock\nnorm n x\nlinear d n rows=width tensor=layers.{}.w\n"
                          "residual x x d label=add\n");
    snprintf(arguments, sizeof arguments, "trace %s --weights %s", in_folder("t.chain"), in_folder("m.safetensors"));
    cr_expect_eq(command(arguments), 0, "%s", said);
    cr_expect(strstr(said, "first not finite"), "%s", said);
    snprintf(arguments, sizeof arguments, "%s --chain %s", in_folder("m.safetensors"), in_folder("t.chain"));
    cr_expect_eq(command(arguments), 1, "%s", said);
    const char *plan = strstr(said, "  blackframe trace "), *end = plan ? strchr(plan, '\n') : NULL;
    cr_assert(end && strstr(plan, "--set d=fp32"), "%s", said);
    snprintf(arguments, sizeof arguments, "%.*s", (int)(end - plan - 13), plan + 13);
    cr_expect_eq(command(arguments), 0, "%s", said);
    cr_expect(strstr(said, "stays finite"), "%s: %s", arguments, said);
}
