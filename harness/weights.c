/* weights.c: tensors of a GGUF file as cases. */
#include "weights.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/q4k_dequant.h"
#include "formats/gguf.h"

/* The file's own dequantised values: an F32 tensor NAME.dequant of the same shape (the golden files carry it). */
static const float *golden_of(const gguf_file *f, const gguf_tensor *t) {
    char name[512];
    if (snprintf(name, sizeof name, "%s.dequant", t->name) >= (int)sizeof name) return NULL;
    const gguf_tensor *g = gguf_tensor_find(f, name);
    return g && g->type == GGUF_F32 && g->elements == t->elements ? g->data : NULL;
}

/* The types that an op takes from a file, and the cases run on each unless a line says otherwise. */
static const struct weights_type {
    uint32_t gguf;
    bf_dtype type;
    const char *usual[2];
} types[] = {
    {GGUF_Q4_K, BF_Q4_K, {"q4k_dequant to=f32", "q4k_matvec n=1 x=f32"}},
    {GGUF_Q6_K, BF_Q6_K, {"qblock_dequant to=f32", "qblock_matmul n=1 x=f32"}},
    {GGUF_Q8_0, BF_Q8_0, {"qblock_dequant to=f32", "qblock_matmul n=1 x=f32"}},
    {GGUF_MXFP4, BF_MXFP4, {"qblock_dequant to=f32", "qblock_matmul n=1 x=f32"}},
};
enum { TYPES = sizeof types / sizeof *types };

static const struct weights_type *type_of(const gguf_tensor *t) {
    for (int i = 0; i < TYPES && t->elements; i++)
        if (types[i].gguf == t->type) return &types[i];
    return NULL;
}

/* Does the op named first in the line take weights of this type? An unknown op does: the parser then says what is wrong. */
static int line_takes(const char *line, bf_dtype type) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, " "), line);
    const bf_op *op = bf_op_find(name);
    if (!op || !op->weights) return 1;
    for (const bf_field *f = op->fields; f->key; f++)
        if (!strcmp(f->key, op->weights) && f->kind == BF_FIELD_TYPE) return (f->types >> type & 1u) != 0;
    return 1;
}

/* "2 F32, 1 Q4_0 and 1 Q5_K": the tensors that no case is made of, by type; text "" when there are none. */
static void left_out(const gguf_file *f, const char *line, char *text, size_t size) {
    enum { LAST = 256 };
    unsigned times[LAST] = {0}, kinds = 0, unnamed = 0;
    *text = '\0';
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        const struct weights_type *type = type_of(t);
        if (type && (!line || line_takes(line, type->type))) continue;
        if (t->type >= LAST) unnamed++;
        else kinds += !times[t->type]++;
    }
    size_t n = 0;
    kinds += unnamed > 0;
    for (unsigned i = 0, said = 0; i <= LAST && n < size; i++) {
        unsigned many = i < LAST ? times[i] : unnamed;
        if (!many) continue;
        const gguf_type *type = i < LAST ? gguf_type_at(i) : NULL;
        n += (size_t)snprintf(text + n, size - n, "%s%u %s", !said ? "" : said + 1 == kinds ? " and " : ", ", many, type ? type->name : "of unknown type");
        said++;
    }
}

static int add(const char *path, const gguf_file *f, const gguf_tensor *t, const char *line, bf_case_list *list,
               bf_error *err) {
    char text[8192], source[4608];
    size_t words = strcspn(line, " "), at = list->count;
    uint64_t rows = t->dim[0] ? t->elements / t->dim[0] : 0;
    const char *type = bf_dtype_name(type_of(t)->type);
    int n = snprintf(text, sizeof text, "%.*s m=%" PRIu64 " k=%" PRIu64 "%s%s%s", (int)words, line, rows, t->dim[0],
                     strstr(line, " w=") ? "" : " w=", strstr(line, " w=") ? "" : type, line + words);
    snprintf(source, sizeof source, "%s:%s", path, t->name);
    if (n < 0 || (size_t)n >= sizeof text) return bf_fail(err, "%s: the case is too long", source);
    if (bf_case_parse_line(text, strlen(text), source, 0, list, err)) return -1;
    for (; at < list->count; at++) {
        bf_case *c = &list->item[at];
        c->real = t->data, c->real_bytes = t->bytes, c->tensor = c->file + strlen(path) + 1;
        int dequant = !strcmp(c->op->name, "q4k_dequant") || !strcmp(c->op->name, "qblock_dequant");
        if (dequant && c->problem.type[Q4K_DEQUANT_Y] == BF_F32) {
            c->golden = golden_of(f, t);
            c->golden_slot = Q4K_DEQUANT_Y;
        }
    }
    return 0;
}

/* The files that cases point into stay open, and are kept here: a leak checker then finds what is lost and not what is in use. */
static struct kept {
    gguf_file *file;
    struct kept *before;
} *kept;

static int keep(gguf_file *f, const char *path, bf_error *err) {
    struct kept *k = malloc(sizeof *k);
    if (!k) return bf_fail(err, "%s: no memory", path);
    *k = (struct kept){f, kept};
    kept = k;
    return 0;
}

int bf_weights_cases(const char *path, const char *glob, const char *line, bf_case_list *list, char *skipped, size_t size, bf_error *err) {
    gguf_file *f = gguf_open(path, err);
    if (!f) return -1;
    if (keep(f, path, err)) return gguf_close(f), -1;
    left_out(f, line, skipped, size);
    size_t usable = 0, matched = 0;
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        const struct weights_type *type = type_of(t);
        if (!type || (line && !line_takes(line, type->type))) continue;
        usable++;
        if (glob && fnmatch(glob, t->name, 0)) continue;
        matched++;
        int rc = 0;
        for (int u = 0; u < (line ? 1 : 2) && !rc; u++) rc = add(path, f, t, line ? line : type->usual[u], list, err);
        if (rc) return -1;
    }
    if (!matched) {
        size_t count = gguf_tensor_count(f);
        if (usable) return bf_fail(err, "%s: none of its %zu Q4_K, Q6_K, Q8_0 and MXFP4 tensors matches '%s'", path, usable, glob);
        return bf_fail(err, "%s: no Q4_K, Q6_K, Q8_0 or MXFP4 tensor%s among its %zu (%s): nothing to run", path, line ? " for this op" : "", count,
                       *skipped ? skipped : "none");
    }
    return 0;
}
