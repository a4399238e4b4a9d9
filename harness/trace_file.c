/* trace_file.c: see trace_file.h. */
#include "trace_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model.h"
#include "op.h"

struct bf_trace_file {
    bf_model *model;
    int gguf;
    char path[256];
};

/* The tensor of a pattern in a block, NULL: the file has none. `name` for messages. */
static const bf_model_tensor *look(const bf_trace_file *f, const char *pattern, int block, char name[BF_TRACE_TENSOR + 16]) {
    const char *brace = strstr(pattern, "{}");
    name[0] = 0;
    if (brace && block < 0) return NULL;
    snprintf(name, BF_TRACE_TENSOR + 16, brace ? "%.*s%d%s" : "%.*s", brace ? (int)(brace - pattern) : BF_TRACE_TENSOR, pattern, block, brace ? brace + 2 : "");
    for (size_t i = 0; i < bf_model_count(f->model); i++)
        if (!strcmp(bf_model_at(f->model, i)->name, name)) return bf_model_at(f->model, i);
    return NULL;
}

static const char *pattern_of(const bf_trace_file *f, const bf_trace_line *l, int part) {
    if (f->gguf) return part ? l->bias_gguf : l->gguf;
    return part ? l->bias_tensor : l->tensor;
}

static int check(const bf_trace_file *f, const bf_trace_line *l, int part, const char *name, const bf_model_tensor *t, bf_error *err) {
    uint64_t row = (uint64_t)(part ? l->width : l->k), rows = part || l->op != BF_TRACE_LINEAR ? 1 : (uint64_t)l->width;
    if (t->row != row || t->elements != row * rows)
        return bf_fail(err, "%s: %.80s: %llu rows of %llu, the chain's line %d (%s) has %llu rows of %llu (set its symbols with --size)", f->path, name,
                       (unsigned long long)(t->row ? t->elements / t->row : 0), (unsigned long long)t->row, l->lineno, l->label, (unsigned long long)rows,
                       (unsigned long long)row);
    if (t->dtype == BF_NONE && !t->blocks)
        return bf_fail(err, "%s: %.80s: type %.20s is not read by trace (F32, F16, BF16 and the block formats Q4_0, Q8_0, Q4_K, Q5_K, Q6_K, MXFP4 are)",
                       f->path, name, t->type);
    return 0;
}

int bf_trace_file_read(bf_trace_file *f, const bf_trace_line *l, int block, int part, int64_t elements, bf_dtype *type, void **data,
                       int *plain, bf_error *err) {
    char name[BF_TRACE_TENSOR + 16];
    const char *pattern = pattern_of(f, l, part);
    const bf_model_tensor *t = pattern[0] ? look(f, pattern, block, name) : NULL;
    if (!t) return 0;
    if (check(f, l, part, name, t, err)) return -1;
    *type = t->blocks ? BF_F32 : t->dtype;
    *plain = f->gguf && part == 0; /* the converter to GGUF adds the 1 of 1 + w */
    float *values = *data = malloc(bf_dtype_bytes(*type, elements));
    if (!values) return bf_fail(err, "%s: %.80s: no memory for %lld values", f->path, name, (long long)elements);
    if (!t->blocks) memcpy(values, t->data, bf_dtype_bytes(*type, elements));
    for (uint64_t b = 0; t->blocks && b < t->elements / t->blocks->elements; b++)
        t->blocks->values((const uint8_t *)t->data + b * t->blocks->bytes, values + b * t->blocks->elements);
    return 1;
}

static int survey(const bf_trace_file *f, const bf_trace_chain *c, int *have, int *missing, bf_error *err) {
    char name[BF_TRACE_TENSOR + 16], example[BF_TRACE_TENSOR + 16] = "";
    *have = *missing = 0;
    for (int i = 0; i < c->lines; i++)
        for (int b = 0; b < (i >= c->begin && i < c->end ? c->depth : 1); b++)
            for (int part = 0; part < 2; part++) {
                const char *pattern = pattern_of(f, &c->line[i], part);
                if (!pattern[0]) continue;
                const bf_model_tensor *t = look(f, pattern, i >= c->begin && i < c->end ? b : -1, name);
                if (!example[0]) strcpy(example, name);
                if (t && check(f, &c->line[i], part, name, t, err)) return -1;
                *(t ? have : missing) += 1;
            }
    if (!*have)
        return bf_fail(err, "%s: none of the weights that %s names is in it (%s)", f->path, c->name, example[0] ? example : "the chain names none for this format");
    return 0;
}

bf_trace_file *bf_trace_file_open(const char *path, const bf_trace_chain *c, int *have, int *missing, bf_error *err) {
    bf_trace_file *f = calloc(1, sizeof *f);
    if (!f) {
        bf_fail(err, "out of memory");
        return NULL;
    }
    snprintf(f->path, sizeof f->path, "%s", path);
    if ((f->model = bf_model_open(path, err))) f->gguf = !strcmp(bf_model_format(f->model), "GGUF");
    if (!f->model || survey(f, c, have, missing, err)) {
        bf_trace_file_close(f);
        return NULL;
    }
    return f;
}

void bf_trace_file_close(bf_trace_file *f) {
    if (!f) return;
    bf_model_close(f->model);
    free(f);
}
