/* trace_file.c: see trace_file.h. */
#include "trace_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/cpu/fp16.h"
#include "../reference/q4_k.h"
#include "op.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

struct bf_trace_file {
    gguf_file *gguf;
    safetensors_file *tensors;
    char path[256];
};

typedef struct found { /* one tensor of either format */
    bf_dtype type;      /* NONE: not readable as it is; then `type_name` tells */
    uint32_t ggml;
    const char *type_name;
    uint64_t elements, row; /* row: length of the fastest dimension */
    const unsigned char *data;
} found;

static bf_dtype dtype_of(const char *name) {
    return !strcmp(name, "F32") ? BF_F32 : !strcmp(name, "F16") ? BF_F16 : !strcmp(name, "BF16") ? BF_BF16 : BF_NONE;
}

/* 1 when the file has it. */
static int look(const bf_trace_file *f, const char *pattern, int block, char name[BF_TRACE_TENSOR + 16], found *out) {
    const char *brace = strstr(pattern, "{}");
    name[0] = 0;
    if (brace && block < 0) return 0;
    snprintf(name, BF_TRACE_TENSOR + 16, brace ? "%.*s%d%s" : "%.*s", brace ? (int)(brace - pattern) : BF_TRACE_TENSOR, pattern, block, brace ? brace + 2 : "");
    if (f->gguf) {
        const gguf_tensor *t = gguf_tensor_find(f->gguf, name);
        if (t) *out = (found){dtype_of(t->type_name), t->type, t->type_name, t->elements, t->rank ? t->dim[0] : 1, t->data};
        return t != NULL;
    }
    const safetensors_tensor *t = safetensors_find(f->tensors, name);
    if (t) *out = (found){dtype_of(t->type), UINT32_MAX, t->type, t->elements, t->rank ? t->dim[t->rank - 1] : 1, t->data};
    return t != NULL;
}

static const char *pattern_of(const bf_trace_file *f, const bf_trace_line *l, int part) {
    if (f->gguf) return part ? l->bias_gguf : l->gguf;
    return part ? l->bias_tensor : l->tensor;
}

static int quantised(uint32_t ggml) { return ggml == GGUF_Q4_K || ggml == GGUF_Q6_K || ggml == GGUF_Q8_0; }

static int check(const bf_trace_file *f, const bf_trace_line *l, int part, const char *name, const found *t, bf_error *err) {
    uint64_t row = (uint64_t)(part ? l->width : l->k), rows = part || l->op != BF_TRACE_LINEAR ? 1 : (uint64_t)l->width;
    if (t->row != row || t->elements != row * rows)
        return bf_fail(err, "%s: %.80s: %llu rows of %llu, the chain's line %d (%s) has %llu rows of %llu (set its symbols with --size)", f->path, name,
                       (unsigned long long)(t->row ? t->elements / t->row : 0), (unsigned long long)t->row, l->lineno, l->label, (unsigned long long)rows,
                       (unsigned long long)row);
    if (t->type == BF_NONE && !(f->gguf && quantised(t->ggml)))
        return bf_fail(err, "%s: %.80s: type %.20s is not read by trace (F32, F16, BF16%s are)", f->path, name, t->type_name, f->gguf ? ", Q4_K, Q6_K, Q8_0" : "");
    return 0;
}

/* ---- block formats: ggml's block_q8_0 and block_q6_K ---- */

static float half_at(const unsigned char *p) { return bf_f16_value((uint32_t)p[0] | (uint32_t)p[1] << 8); }

static void q8_0(const unsigned char *b, uint64_t n, float *y) {
    for (uint64_t i = 0; i < n; i++) y[i] = half_at(b + i / 32 * 34) * (float)(signed char)b[i / 32 * 34 + 2 + i % 32];
}

/* 256 weights: 128 bytes of low nibbles, 64 of upper pairs of bits, 16 scales, d. */
static void q6_k(const unsigned char *b, uint64_t n, float *y) {
    for (uint64_t at = 0; at < n; at += 256, b += 210)
        for (int i = 0; i < 256; i++) {
            int part = i / 128, quarter = i % 128 / 32, l = i % 32;
            int low = b[64 * part + 32 * (quarter & 1) + l] >> (quarter < 2 ? 0 : 4) & 15, high = b[128 + 32 * part + l] >> 2 * quarter & 3;
            y[at + (uint64_t)i] = half_at(b + 208) * (float)(signed char)b[192 + 8 * part + 2 * quarter + l / 16] * (float)((low | high << 4) - 32);
        }
}

static void q4_k(const unsigned char *b, uint64_t n, float *y) {
    double row[BF_REF_Q4_K_WEIGHTS];
    for (uint64_t at = 0; at < n; at += BF_REF_Q4_K_WEIGHTS, b += BF_REF_Q4_K_BYTES) {
        bf_ref_q4_k_row(b, BF_REF_Q4_K_WEIGHTS, row, NULL);
        for (int i = 0; i < BF_REF_Q4_K_WEIGHTS; i++) y[at + (uint64_t)i] = (float)row[i];
    }
}

/* ---- the file ---- */

int bf_trace_file_read(bf_trace_file *f, const bf_trace_line *l, int block, int part, int64_t elements, bf_dtype *type, void **data,
                       int *plain, bf_error *err) {
    char name[BF_TRACE_TENSOR + 16];
    found t;
    const char *pattern = pattern_of(f, l, part);
    if (!pattern[0] || !look(f, pattern, block, name, &t)) return 0;
    if (check(f, l, part, name, &t, err)) return -1;
    *type = t.type == BF_NONE ? BF_F32 : t.type;
    *plain = f->gguf && part == 0; /* the converter to GGUF adds the 1 of 1 + w */
    *data = malloc(bf_dtype_bytes(*type, elements));
    if (!*data) return bf_fail(err, "%s: %.80s: no memory for %lld values", f->path, name, (long long)elements);
    if (t.type != BF_NONE) memcpy(*data, t.data, bf_dtype_bytes(*type, elements));
    else if (t.ggml == GGUF_Q4_K) q4_k(t.data, t.elements, *data);
    else if (t.ggml == GGUF_Q6_K) q6_k(t.data, t.elements, *data);
    else q8_0(t.data, t.elements, *data);
    return 1;
}

static int survey(const bf_trace_file *f, const bf_trace_chain *c, int *have, int *missing, bf_error *err) {
    char name[BF_TRACE_TENSOR + 16], example[BF_TRACE_TENSOR + 16] = "";
    found t;
    *have = *missing = 0;
    for (int i = 0; i < c->lines; i++)
        for (int b = 0; b < (i >= c->begin && i < c->end ? c->depth : 1); b++)
            for (int part = 0; part < 2; part++) {
                const char *pattern = pattern_of(f, &c->line[i], part);
                if (!pattern[0]) continue;
                int there = look(f, pattern, i >= c->begin && i < c->end ? b : -1, name, &t);
                if (!example[0]) strcpy(example, name);
                if (there && check(f, &c->line[i], part, name, &t, err)) return -1;
                *(there ? have : missing) += 1;
            }
    if (!*have)
        return bf_fail(err, "%s: none of the weights that %s names is in it (%s)", f->path, c->name, example[0] ? example : "the chain names none for this format");
    return 0;
}

bf_trace_file *bf_trace_file_open(const char *path, const bf_trace_chain *c, int *have, int *missing, bf_error *err) {
    char magic[4] = "";
    bf_trace_file *f = calloc(1, sizeof *f);
    if (!f) {
        bf_fail(err, "out of memory");
        return NULL;
    }
    snprintf(f->path, sizeof f->path, "%s", path);
    FILE *probe = fopen(path, "re");
    int is_gguf = probe && fread(magic, 1, 4, probe) == 4 && !memcmp(magic, "GGUF", 4);
    if (probe) fclose(probe);
    if (is_gguf) f->gguf = gguf_open(path, err);
    else f->tensors = safetensors_open(path, err);
    if ((!f->gguf && !f->tensors) || survey(f, c, have, missing, err)) {
        bf_trace_file_close(f);
        return NULL;
    }
    return f;
}

void bf_trace_file_close(bf_trace_file *f) {
    if (!f) return;
    if (f->gguf) gguf_close(f->gguf);
    safetensors_close(f->tensors);
    free(f);
}
