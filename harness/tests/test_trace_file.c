/* test_trace_file.c: weights and activations of files in a chain: the values are the file's, and hostile files end in one line. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../formats/gguf.h"
#include "../formats/npy.h"
#include "../formats/safetensors.h"
#include "../trace.h"
#include "../trace_weights.h"

enum { W = 32, TOKENS = 2 };
static const char text[] = "chain t depth=2 tokens=2\n"
                           "input x width=32\n"
                           "block\n"
                           "norm n x plus_one=1 weight=0.5,0.125 tensor=l.{}.norm gguf=blk.{}.norm.weight\n"
                           "linear y n rows=32 tensor=l.{}.w gguf=blk.{}.w.weight bias_tensor=l.{}.b bias_gguf=blk.{}.b\n"
                           "residual x x y\n";
static bf_trace_chain chain;
static char directory[64], path[96];

static void setup(void) {
    bf_error err = {{0}};
    bf_trace_sizes sizes = {0};
    strcpy(directory, "/tmp/bf-trace-test.XXXXXX");
    cr_assert(mkdtemp(directory));
    cr_assert_eq(bf_trace_parse(text, sizeof text - 1, "t.chain", &sizes, &chain, &err), 0, "%s", err.text);
}
static void teardown(void) {
    char line[128];
    snprintf(line, sizeof line, "rm -rf '%s'", directory);
    cr_expect_eq(system(line), 0);
}
TestSuite(trace_file, .init = setup, .fini = teardown);

/* ---- files made here ---- */

typedef struct bytes {
    unsigned char data[1 << 17];
    size_t n;
} bytes;
static bytes header, body;

static void put(bytes *b, const void *data, size_t n) {
    cr_assert(b->n + n <= sizeof b->data);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}
static void put32(bytes *b, uint32_t v) { put(b, &v, 4); }
static void put64(bytes *b, uint64_t v) { put(b, &v, 8); }

static const char *save(const char *name, const void *head, size_t n, const void *more, size_t m) {
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(head, 1, n, f) == n && fwrite(more, 1, m, f) == m && !fclose(f));
    return path;
}

typedef struct given {
    const char *name, *dtype; /* as in safetensors */
    int rows, columns;        /* rows 0: one dimension */
    const void *data;
    size_t size;
} given;

static const char *safetensors(const char *name, const given *g, size_t n) {
    char json[4096];
    size_t at = 0, offset = 0;
    header.n = body.n = 0;
    at += (size_t)sprintf(json, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        char shape[32];
        if (g[i].rows) snprintf(shape, sizeof shape, "[%d,%d]", g[i].rows, g[i].columns);
        else snprintf(shape, sizeof shape, "[%d]", g[i].columns);
        at += (size_t)sprintf(json + at, ",\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}", g[i].name, g[i].dtype, shape, offset, offset + g[i].size);
        put(&body, g[i].data, g[i].size);
        offset += g[i].size;
    }
    at += (size_t)sprintf(json + at, "}");
    put64(&header, at), put(&header, json, at);
    return save(name, header.data, header.n, body.data, body.n);
}

/* `type`: ggml's number. */
static const char *gguf(const char *name, const given *g, const uint32_t *type, size_t n) {
    uint64_t offset = 0;
    header.n = body.n = 0;
    put(&header, "GGUF", 4), put32(&header, 3), put64(&header, n), put64(&header, 0);
    for (size_t i = 0; i < n; i++) {
        put64(&header, strlen(g[i].name)), put(&header, g[i].name, strlen(g[i].name));
        put32(&header, g[i].rows ? 2 : 1), put64(&header, (uint64_t)g[i].columns);
        if (g[i].rows) put64(&header, (uint64_t)g[i].rows);
        put32(&header, type[i]), put64(&header, offset);
        put(&body, g[i].data, g[i].size);
        while (body.n % 32) put(&body, "", 1);
        offset = body.n;
    }
    while (header.n % 32) put(&header, "", 1);
    return save(name, header.data, header.n, body.data, body.n);
}

/* ---- values ---- */

static float x0[TOKENS * W], result[TOKENS * W];

static void run(const char *file, int *found, int *synthetic) {
    bf_error err = {{0}};
    bf_discovery d = {0};
    const bf_backend *cpu = bf_backend_find("cpu");
    cpu->discover(&d);
    bf_lab lab = {cpu, cpu->open(&d.device[0], &err), &d.device[0], NULL};
    bf_trace_settings s = {.seed = 1}; /* fp32 */
    bf_trace_weights *w = bf_trace_weights_open(file, &chain, 1, &err);
    cr_assert(w, "%s", err.text);
    bf_trace_run *r = bf_trace_open(&lab, &chain, w, &s, 0, &err);
    bf_trace_record record;
    int rc;
    bf_trace_replace(r, 0, x0);
    while ((rc = bf_trace_step(r, &record, &err)) == 1) continue;
    cr_assert_eq(rc, 0, "%s", err.text);
    memcpy(result, bf_trace_values(r, 0, bf_trace_value(&chain, "x")), sizeof result);
    bf_trace_weights_count(w, found, synthetic);
    bf_trace_close(r);
    bf_trace_weights_close(w);
    cpu->close(lab.context);
}

/* Block 0: weight 2 on the diagonal, norm 1 + 0.25, bias 0.5; block 1: -1 on the other diagonal, norm 1 + 1, no bias. */
static void expect_two_blocks(void) {
    for (int t = 0; t < TOKENS; t++) {
        double x[W], n[W], sum;
        for (int i = 0; i < W; i++) x[i] = x0[t * W + i];
        for (int block = 0; block < 2; block++) {
            sum = 0;
            for (int i = 0; i < W; i++) sum += x[i] * x[i];
            for (int i = 0; i < W; i++) n[i] = x[i] / sqrt(sum / W + 1e-6) * (block ? 2 : 1.25);
            for (int i = 0; i < W; i++) x[i] += block ? -n[W - 1 - i] : 2 * n[i] + 0.5;
        }
        for (int i = 0; i < W; i++)
            cr_assert(fabs(result[t * W + i] - x[i]) < 1e-5 * fabs(x[i]) + 1e-5, "[%d][%d]: %g, want %g", t, i, result[t * W + i], x[i]);
    }
}

static float wide[W * W], bias[W], gain[W];
static uint16_t half[W * W], brain[W];

static void fill(float norm0) {
    for (int i = 0; i < TOKENS * W; i++) x0[i] = (float)(i % 7) - 2.5f;
    memset(wide, 0, sizeof wide), memset(half, 0, sizeof half);
    for (int i = 0; i < W; i++) {
        wide[i * W + i] = 2, half[i * W + W - 1 - i] = 0xbc00, bias[i] = 0.5f;
        gain[i] = norm0, brain[i] = norm0 > 1 ? 0x4000 : 0x3f80; /* bf16 2 or 1 */
    }
}

Test(trace_file, safetensors_of_every_type) {
    int found, synthetic;
    fill(0.25f);
    run(safetensors("m.safetensors",
                    (given[]){{"l.0.norm", "F32", 0, W, gain, sizeof gain},
                              {"l.0.w", "F32", W, W, wide, sizeof wide},
                              {"l.0.b", "F32", 0, W, bias, sizeof bias},
                              {"l.1.norm", "BF16", 0, W, brain, sizeof brain},
                              {"other", "I64", 0, 1, wide, 8},
                              {"l.1.w", "F16", W, W, half, sizeof half}},
                    6),
        &found, &synthetic);
    cr_expect(found == 5 && synthetic == 1, "%d found, %d not", found, synthetic);
    expect_two_blocks();
}

/* A converter to GGUF has added the 1 of 1 + w. */
Test(trace_file, gguf_norms_are_plain) {
    int found, synthetic;
    fill(1.25f);
    run(gguf("m.gguf",
             (given[]){{"blk.0.norm.weight", "", 0, W, gain, sizeof gain},
                       {"blk.0.w.weight", "", W, W, wide, sizeof wide},
                       {"blk.0.b", "", 0, W, bias, sizeof bias},
                       {"blk.1.norm.weight", "", 0, W, brain, sizeof brain},
                       {"blk.1.w.weight", "", W, W, half, sizeof half}},
             (const uint32_t[]){0, 0, 0, 30, 1}, 5),
        &found, &synthetic);
    cr_expect(found == 5 && synthetic == 1, "%d found, %d not", found, synthetic);
    expect_two_blocks();
}

/* ---- block formats ---- */

static void load_linear(int rows, int k, const char *gguf_name) {
    char line[256];
    bf_error err = {{0}};
    bf_trace_sizes sizes = {0};
    snprintf(line, sizeof line, "chain t depth=1 tokens=1\ninput x width=%d\nblock\nlinear y x rows=%d gguf=%s\n", k, rows, gguf_name);
    cr_assert_eq(bf_trace_parse(line, strlen(line), "t.chain", &sizes, &chain, &err), 0, "%s", err.text);
}

static void expect_weights(const char *file, const float *want, int n) {
    bf_error err = {{0}};
    bf_trace_matrix m;
    bf_trace_weights *w = bf_trace_weights_open(file, &chain, 1, &err);
    cr_assert(w, "%s", err.text);
    cr_assert_eq(bf_trace_weights_get(w, 1, 0, BF_TRACE_WEIGHT, BF_TRACE_FP32, &m, &err), 0, "%s", err.text);
    cr_assert(m.type == BF_F32 && m.elements == n);
    for (int i = 0; i < n; i++) cr_assert_eq(((const float *)m.data)[i], want[i], "[%d]: %g, want %g", i, ((const float *)m.data)[i], want[i]);
    bf_trace_weights_close(w);
}

/* Against ggml's own values. */
Test(trace_file, q4_k_is_ggmls) {
    bf_error err = {{0}};
    gguf_file *f = gguf_open("cases/golden/q4k_golden.gguf", &err);
    int seen = 0;
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i), *g;
        char name[96];
        snprintf(name, sizeof name, "%.80s.dequant", t->name);
        if (t->type != GGUF_Q4_K || strncmp(t->name, "gauss", 5) || t->dim[0] > 2048 || !(g = gguf_tensor_find(f, name))) continue;
        load_linear((int)(t->elements / t->dim[0]), (int)t->dim[0], t->name);
        expect_weights("cases/golden/q4k_golden.gguf", g->data, (int)t->elements);
        seen++;
    }
    cr_expect(seen > 0);
    gguf_close(f);
}

/* Packed in the order of ggml's quantize_row_q6_K_ref and quantize_row_q8_0_ref. */
Test(trace_file, q6_k_and_q8_0) {
    unsigned char six[210] = {0}, eight[34 * 8];
    static float want[256];
    int q[256];
    for (int i = 0; i < 256; i++) q[i] = (i * 29 + i / 16) % 64;
    for (int j = 0; j < 256; j += 128)
        for (int l = 0; l < 32; l++) {
            for (int part = 0; part < 2; part++) six[j / 2 + 32 * part + l] = (unsigned char)((q[j + 32 * part + l] & 15) | (q[j + 64 + 32 * part + l] & 15) << 4);
            for (int quarter = 0; quarter < 4; quarter++) six[128 + j / 4 + l] |= (unsigned char)(q[j + 32 * quarter + l] >> 4 << 2 * quarter);
        }
    for (int s = 0; s < 16; s++) six[192 + s] = (unsigned char)(signed char)(s * 9 - 60);
    six[208] = 0x00, six[209] = 0x34; /* d = 0.25 */
    for (int i = 0; i < 256; i++) want[i] = 0.25f * (float)(i / 16 * 9 - 60) * (float)(q[i] - 32);
    load_linear(1, 256, "w");
    expect_weights(gguf("six.gguf", (given[]){{"w", "", 1, 256, six, sizeof six}}, (const uint32_t[]){GGUF_Q6_K}, 1), want, 256);
    for (int i = 0; i < 256; i++) {
        eight[i / 32 * 34] = 0, eight[i / 32 * 34 + 1] = (unsigned char)(0x30 + i / 32 * 4); /* d = 2^-3 and up */
        eight[i / 32 * 34 + 2 + i % 32] = (unsigned char)(signed char)(i * 5 % 255 - 127);
        want[i] = ldexpf((float)(i * 5 % 255 - 127), i / 32 - 3);
    }
    expect_weights(gguf("eight.gguf", (given[]){{"w", "", 1, 256, eight, sizeof eight}}, (const uint32_t[]){GGUF_Q8_0}, 1), want, 256);
}

/* ---- the command ---- */

static char said[1 << 16];
static int command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int command(const char *format, ...) {
    char line[1024];
    va_list ap;
    int n = snprintf(line, sizeof line, "%s/blackframe trace ", BF_BUILD);
    va_start(ap, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n, format, ap);
    va_end(ap);
    snprintf(line + n, sizeof line - (size_t)n, " 2>&1");
    FILE *f = popen(line, "r");
    size_t got = f ? fread(said, 1, sizeof said - 1, f) : 0;
    said[got] = 0;
    int status = f ? pclose(f) : -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refused(const char *says) {
    char file[96];
    snprintf(file, sizeof file, "%s", path);
    cr_expect_eq(command("%s/t.chain --weights %s", directory, file), 2, "%s: %s", says, said);
    cr_expect(strstr(said, says) && strstr(said, file) && strchr(said, '\n') == said + strlen(said) - 1, "'%s' does not say '%s'", said, says);
}
static void json(const char *header_text, size_t data) {
    header.n = body.n = 0;
    put64(&header, strlen(header_text)), put(&header, header_text, strlen(header_text));
    memset(body.data, 0, data);
    save("bad.safetensors", header.data, header.n, body.data, data);
}

Test(trace_file, hostile_safetensors) {
    save("t.chain", text, sizeof text - 1, "", 0);
    fill(0.25f);
    const given whole = {"l.0.w", "F32", W, W, wide, sizeof wide};
    safetensors("short.safetensors", &whole, 1);
    cr_assert_eq(truncate(path, 2000), 0);
    refused("a download cut short?");
    save("five.safetensors", "12345", 5, "", 0);
    refused("header length");
    save("huge.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10, "", 0);
    refused("header length");
    safetensors("shape.safetensors", &(given){"l.0.w", "F32", W / 2, W, wide, sizeof wide / 2}, 1);
    refused("16 rows of 32, the chain's line 5 (y) has 32 rows of 32");
    safetensors("type.safetensors", &(given){"l.0.w", "I32", W, W, wide, sizeof wide}, 1);
    refused("type I32 is not read");
    safetensors("none.safetensors", &(given){"L.0.w", "F32", W, W, wide, sizeof wide}, 1);
    refused("none of the weights");
    json("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12);
    refused("overlaps");
    json("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12);
    refused("hole");
    json("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}", 0);
    refused("too large");
    json("{\"a\\nb\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8);
    refused("its shape and type say otherwise");
    json("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}}", 8);
    refused("no count");
    json("{\"a\":1}", 0);
    refused("dtype");
    json("{\"a\":{}, \"a\":{}}", 0);
    refused("duplicate");
    json("[]", 0);
    refused("does not begin with '{'");
}

Test(trace_file, hostile_gguf) {
    save("t.chain", text, sizeof text - 1, "", 0);
    fill(0.25f);
    const given whole = {"blk.0.w.weight", "", W, W, wide, sizeof wide};
    gguf("short.gguf", &whole, (const uint32_t[]){0}, 1);
    cr_assert_eq(truncate(path, 3000), 0);
    refused("offset");
    gguf("type.gguf", &whole, (const uint32_t[]){26}, 1);
    refused("type I32 is not read");
    gguf("shape.gguf", &(given){"blk.1.norm.weight", "", 0, W / 2, wide, W / 2 * 4}, (const uint32_t[]){0}, 1);
    refused("16, the chain's line 4");
}

static void npy(const char *name, const char *type, int rows, int columns, const void *data, size_t bytes_of_data) {
    char head[256];
    int n = snprintf(head, sizeof head, "\x93NUMPY%c%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }", 1, 1, 118, 1, type, rows, columns);
    head[7] = 0, head[9] = 0; /* version 1.0, header of 118 bytes */
    while (n < 127) head[n++] = ' ';
    head[n++] = '\n';
    save(name, head, (size_t)n, data, bytes_of_data);
}

Test(trace_file, inputs) {
    save("t.chain", text, sizeof text - 1, "", 0);
    fill(0.25f);
    for (int i = 0; i < TOKENS * W; i++) x0[i] *= 1024;
    x0[W + 3] = 70000;
    npy("x.npy", "<f4", TOKENS, W, x0, sizeof x0);
    cr_expect_eq(command("%s/t.chain --input x=%s", directory, path), 0, "%s", said);
    cr_expect(strstr(said, "first not finite: op 1 of the chain, n (norm) of block 0, n[1][0] = nan"), "%s", said);
    x0[3] = NAN;
    npy("x.npy", "<f4", TOKENS, W, x0, sizeof x0);
    cr_expect_eq(command("%s/t.chain --input x=%s --plan fp32", directory, path), 0);
    cr_expect(strstr(said, "first not finite: op 0 of the chain, x (input) of block in, x[0][3] = nan"), "%s", said);
    npy("w.npy", "<f4", TOKENS, W + 1, x0, sizeof x0);
    cr_expect_eq(command("%s/t.chain --input x=%s", directory, path), 2, "%s", said);
    npy("w.npy", "<f4", TOKENS, W, x0, sizeof x0 - 4);
    cr_expect_eq(command("%s/t.chain --input x=%s", directory, path), 2, "%s", said);
    cr_expect(strchr(said, '\n') == said + strlen(said) - 1, "%s", said);
    npy("w.npy", "<i4", TOKENS, W, x0, sizeof x0);
    cr_expect_eq(command("%s/t.chain --input x=%s", directory, path), 2);
    cr_expect(strstr(said, "input x wants floating point, 2 x 32"), "%s", said);
}
