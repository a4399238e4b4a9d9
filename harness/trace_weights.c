/* trace_weights.c: weights made by the generator of fill.h, or mapped from a file, and kept as each precision stores them. */
#include "trace_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/cpu/fp16.h"
#include "fill.h"
#include "trace_file.h"

/* Kept while all weights together stay below this; the rest is made again each time. */
#define KEEP_BYTES (UINT64_C(1) << 30)

typedef struct kept {
    void *data; /* malloc */
    bf_dtype type;
    int64_t elements;
    int plain;
} kept;

enum { AS_IS, AS_FP16, FORMS };

struct bf_trace_weights {
    const bf_trace_chain *chain;
    uint64_t seed, bytes;
    bf_trace_file *file;
    int found, synthetic;
    kept *item;         /* [block][line][part][form] */
    kept loose[4];      /* beyond KEEP_BYTES: the latest */
    int next;
};

static kept *slot(bf_trace_weights *w, int line, int block, int part, int form) {
    int b = block < 0 ? 0 : block;
    return &w->item[((((size_t)b * BF_TRACE_LINES) + (size_t)line) * BF_TRACE_PARTS + (size_t)part) * FORMS + (size_t)form];
}

static uint32_t stream(int line, int block, int part) {
    return (uint32_t)(((block + 2) * BF_TRACE_LINES + line) * BF_TRACE_PARTS + part);
}

/* mean + deviation * Gaussian, in fp32. */
static void normal(uint64_t seed, uint32_t s, int64_t n, double mean, double deviation, float *out) {
    bf_fill_values(BF_FILL_GAUSS, seed, s, BF_F32, 0, n, 0, out);
    for (int64_t i = 0; i < n; i++) out[i] = (float)(mean + deviation * out[i]);
}

static void plant(const bf_trace_line *l, int block, int bias, int64_t columns, float *f, uint16_t *h) {
    for (int i = 0; i < l->plants; i++) {
        const bf_trace_plant *t = &l->plant[i];
        if ((block >= 0 && (block < t->first || block > t->last)) || bias != t->bias) continue; /* before and after the blocks: always */
        int64_t at = bias ? t->row : t->row * columns + t->column;
        if (f) f[at] = (float)t->value;
        else h[at] = (uint16_t)bf_f32_bits_to_bf16(bf_bits((float)t->value));
    }
}

void bf_trace_input(const bf_trace_chain *c, int line, uint64_t seed, float *values) {
    const bf_trace_line *l = &c->line[line];
    bf_fill_values((bf_fill)l->fill, seed, stream(line, -1, 0), BF_F32, l->rows, l->width, 0, values);
    for (int64_t i = 0; i < l->rows * l->width; i++) values[i] = (float)(l->scale * values[i]);
    plant(l, 0, 0, l->width, values, NULL);
}

/* Elements of a part, 0: there is none. */
static int64_t elements_of(const bf_trace_line *l, int part) {
    switch (l->op) {
    case BF_TRACE_LINEAR: return part == BF_TRACE_WEIGHT ? l->width * l->k : l->bias > 0 || l->bias_tensor[0] || l->bias_gguf[0] ? l->width : 0;
    case BF_TRACE_NORM: return part == BF_TRACE_WEIGHT && l->weighted ? l->k : 0;
    case BF_TRACE_MODULATE: return l->width;
    case BF_TRACE_GATE: return part == BF_TRACE_WEIGHT ? l->width : 0;
    default: return 0;
    }
}

/* bf16, as such models are stored. */
static uint16_t *synthetic(const bf_trace_weights *w, const bf_trace_line *l, int line, int block, int part, int64_t n) {
    uint16_t *h = malloc((size_t)n * 2);
    uint32_t s = stream(line, block, part);
    if (h && l->op == BF_TRACE_LINEAR && part == BF_TRACE_WEIGHT) {
        bf_fill_values(BF_FILL_GAUSS, w->seed, s, BF_BF16, l->width, l->k, (int)lrint(log2(l->gain / sqrt((double)l->k))), h);
        plant(l, block, 0, l->k, NULL, h);
        return h;
    }
    float *f = malloc((size_t)n * sizeof *f);
    if (h && f) {
        double mean = l->op == BF_TRACE_NORM || l->op == BF_TRACE_GATE ? l->mean : 0;
        double deviation = l->op == BF_TRACE_LINEAR ? l->bias : l->op == BF_TRACE_MODULATE ? (part == BF_TRACE_WEIGHT ? l->scale : l->shift) : l->deviation;
        normal(w->seed, s, n, mean, deviation, f);
        if (part == BF_TRACE_WEIGHT || l->op == BF_TRACE_LINEAR) plant(l, block, part == BF_TRACE_BIAS, n, f, NULL);
        for (int64_t i = 0; i < n; i++) h[i] = (uint16_t)bf_f32_bits_to_bf16(bf_bits(f[i]));
    }
    if (!f) free(h), h = NULL;
    free(f);
    return h;
}

static int as_is(bf_trace_weights *w, int line, int block, int part, kept *k, bf_error *err) {
    const bf_trace_line *l = &w->chain->line[line];
    int64_t n = elements_of(l, part);
    *k = (kept){.type = BF_BF16, .elements = n};
    if (!n) return k->type = BF_NONE, 0;
    int rc = w->file ? bf_trace_file_read(w->file, l, block, part, n, &k->type, &k->data, &k->plain, err) : 0;
    if (rc < 0) return -1;
    if (!rc && part == BF_TRACE_BIAS && l->op == BF_TRACE_LINEAR && !(l->bias > 0)) return k->type = BF_NONE, 0; /* named, not in this file */
    if (!rc) k->data = synthetic(w, l, line, block, part, n);
    return k->data ? 0 : bf_fail(err, "no memory for the weights of %s (%lld values)", l->label, (long long)n);
}

/* The other form: fp16 by value. */
static int as_fp16(const kept *from, kept *k, bf_error *err) {
    *k = (kept){.type = from->type == BF_NONE ? BF_NONE : BF_F16, .elements = from->elements, .plain = from->plain};
    if (from->type == BF_NONE) return 0;
    uint16_t *h = k->data = malloc((size_t)from->elements * 2);
    if (!h) return bf_fail(err, "no memory for weights in fp16");
    for (int64_t i = 0; i < from->elements; i++) h[i] = (uint16_t)bf_f32_bits_to_f16(bf_bits(bf_load_float(from->data, from->type, i)));
    return 0;
}

/* Keeps it, or replaces the oldest loose one. */
static const kept *keep(bf_trace_weights *w, kept *s, const kept *made) {
    uint64_t bytes = bf_dtype_bytes(made->type, made->elements);
    if (w->bytes + bytes <= KEEP_BYTES) return w->bytes += bytes, *s = *made, s;
    kept *l = &w->loose[w->next];
    w->next = (w->next + 1) % 4;
    free(l->data);
    *l = *made;
    return l;
}

int bf_trace_weights_get(bf_trace_weights *w, int line, int block, int part, bf_trace_mode mode, bf_trace_matrix *m, bf_error *err) {
    int form = mode == BF_TRACE_FP32 || mode == BF_TRACE_BF16_AS_FP16 ? AS_IS : AS_FP16;
    kept *s = slot(w, line, block, part, AS_IS), made;
    const kept *k = s->elements ? s : NULL;
    if (form == AS_FP16 && slot(w, line, block, part, AS_FP16)->elements) k = slot(w, line, block, part, AS_FP16), form = AS_IS;
    if (!k) {
        if (as_is(w, line, block, part, &made, err)) return -1;
        k = made.type == BF_NONE ? &made : keep(w, s, &made);
    }
    if (form == AS_FP16 && k->type != BF_F16 && k->type != BF_NONE) {
        if (as_fp16(k, &made, err)) return -1;
        k = keep(w, slot(w, line, block, part, AS_FP16), &made);
    }
    *m = (bf_trace_matrix){k->type, k->elements, k->data, k->plain};
    if (mode == BF_TRACE_BF16_AS_FP16 && m->type == BF_BF16) m->type = BF_F16; /* the label changes, not the bits */
    return 0;
}

bf_trace_weights *bf_trace_weights_open(const char *path, const bf_trace_chain *c, uint64_t seed, bf_error *err) {
    bf_trace_weights *w = calloc(1, sizeof *w);
    if (w) w->item = calloc((size_t)c->depth * BF_TRACE_LINES * BF_TRACE_PARTS * FORMS, sizeof *w->item);
    if (!w || !w->item) {
        bf_fail(err, "out of memory");
        free(w);
        return NULL;
    }
    w->chain = c, w->seed = seed;
    if (path && !(w->file = bf_trace_file_open(path, c, &w->found, &w->synthetic, err))) {
        bf_trace_weights_close(w);
        return NULL;
    }
    return w;
}

void bf_trace_weights_close(bf_trace_weights *w) {
    if (!w) return;
    size_t n = (size_t)w->chain->depth * BF_TRACE_LINES * BF_TRACE_PARTS * FORMS;
    for (size_t i = 0; i < n; i++) free(w->item[i].data);
    for (int i = 0; i < 4; i++) free(w->loose[i].data);
    if (w->file) bf_trace_file_close(w->file);
    free(w->item);
    free(w);
}

void bf_trace_weights_count(const bf_trace_weights *w, int *found, int *synthetic) {
    *found = w->found, *synthetic = w->synthetic;
}
