/* stand.c: what the families of probes share (numerics.h). */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "numerics.h"

int bf_stand_open(bf_stand *s, const bf_backend *b, bf_context *x, const bf_kernel *k, const bf_problem *p, bf_error *err) {
    *s = (bf_stand){.b = b, .x = x, .k = k, .p = *p};
    if (bf_op_find(k->op)->tensors(&s->p, k->path, s->t, err)) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (s->t[i].role == BF_UNUSED) continue;
        if (!(s->t[i].data = calloc(1, s->t[i].bytes + 1))) return bf_fail(err, "numerics: no memory");
        if (!(s->p.ptr[i] = b->alloc(x, s->t[i].bytes, err))) return -1;
    }
    uint64_t scratch = k->scratch ? k->scratch(&s->p) : 0;
    return scratch && !(s->p.scratch = b->alloc(x, scratch, err)) ? -1 : 0;
}

int bf_stand_run(bf_stand *s, bf_error *err) {
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (s->t[i].role == BF_UNUSED) continue;
        if (s->t[i].role == BF_OUTPUT) memset(s->t[i].data, 0xff, s->t[i].bytes);
        if (s->b->upload(s->x, s->p.ptr[i], s->t[i].data, s->t[i].bytes, err)) return -1;
    }
    if (s->b->run(s->x, s->k, &s->p, err)) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (s->t[i].role == BF_OUTPUT && s->b->download(s->x, s->t[i].data, s->p.ptr[i], s->t[i].bytes, err)) return -1;
    return 0;
}

void bf_stand_close(bf_stand *s) {
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (s->p.ptr[i]) s->b->free(s->x, s->p.ptr[i]);
        free(s->t[i].data);
    }
    if (s->p.scratch) s->b->free(s->x, s->p.scratch);
}

void bf_stand_put(bf_tensor *t, int64_t i, double value) {
    float f = (float)value;
    uint32_t u;
    memcpy(&u, &f, 4);
    if (t->type == BF_F32) ((float *)t->data)[i] = f;
    if (t->type == BF_BF16) ((uint16_t *)t->data)[i] = (uint16_t)(u >> 16);
    if (t->type == BF_F16) ((_Float16 *)t->data)[i] = (_Float16)value;
}

void bf_numerics_say(bf_traits *r, const char *key, const char *title, double value, const char *format, ...) {
    if (r->count == BF_MAX_TRAITS) return;
    bf_trait *t = &r->trait[r->count++];
    *t = (bf_trait){.key = key, .title = title, .value = value};
    va_list args;
    va_start(args, format);
    vsnprintf(t->text, sizeof t->text, format, args);
    va_end(args);
}

const bf_trait *bf_numerics_find(const bf_traits *r, const char *key) {
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->trait[i].key, key)) return &r->trait[i];
    return NULL;
}

void bf_numerics_probe(const bf_family *f, const bf_backend *b, bf_context *x, const bf_kernel *k, int variant, bf_traits *r) {
    bf_error err = {{0}};
    memset(r, 0, sizeof *r);
    if (!f->probe(b, x, k, variant, r, &err)) return;
    r->failed = 1;
    snprintf(r->why, sizeof r->why, "%.190s", err.text);
}
