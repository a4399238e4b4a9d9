/* weights.c: Q4_K tensors of a GGUF file as cases. */
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

static int add(const char *path, const gguf_file *f, const gguf_tensor *t, const char *line, bf_case_list *list,
               bf_error *err) {
    char text[8192], source[4608];
    size_t words = strcspn(line, " "), at = list->count;
    uint64_t rows = t->dim[0] ? t->elements / t->dim[0] : 0;
    snprintf(text, sizeof text, "%.*s m=%" PRIu64 " k=%" PRIu64 "%s", (int)words, line, rows, t->dim[0], line + words);
    snprintf(source, sizeof source, "%s:%s", path, t->name);
    if (bf_case_parse_line(text, strlen(text), source, 0, list, err)) return -1;
    for (; at < list->count; at++) {
        bf_case *c = &list->item[at];
        c->real = t->data, c->real_bytes = t->bytes;
        if (!strcmp(c->op->name, "q4k_dequant") && c->problem.type[Q4K_DEQUANT_Y] == BF_F32) {
            c->golden = golden_of(f, t);
            c->golden_slot = Q4K_DEQUANT_Y;
        }
    }
    return 0;
}

int bf_weights_cases(const char *path, const char *glob, const char *line, bf_case_list *list, bf_error *err) {
    static const char *const usual[] = {"q4k_dequant to=f32", "q4k_matvec n=1 x=f32"};
    gguf_file *f = gguf_open(path, err);
    if (!f) return -1;
    size_t q4k = 0, matched = 0;
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        if (t->type != GGUF_Q4_K || !t->elements) continue;
        q4k++;
        if (glob && fnmatch(glob, t->name, 0)) continue;
        matched++;
        int rc = 0;
        for (int u = 0; u < (line ? 1 : 2) && !rc; u++) rc = add(path, f, t, line ? line : usual[u], list, err);
        if (rc) {
            gguf_close(f);
            return -1;
        }
    }
    if (!matched) {
        size_t count = gguf_tensor_count(f);
        gguf_close(f);
        if (q4k) return bf_fail(err, "%s: none of its %zu Q4_K tensors matches '%s'", path, q4k, glob);
        return bf_fail(err, "%s: no Q4_K tensor among its %zu: nothing to run", path, count);
    }
    return 0; /* f stays open: the cases point into it */
}
