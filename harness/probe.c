/* probe.c: see probe.h. */
#include "probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/q4k_matvec.h"
#include "compare.h"

enum { COLUMNS = Q4K_MATVEC_MAX_N, BLOCK = Q4K_MATVEC_QBLOCK };

typedef struct probe {
    const bf_backend *b;
    bf_context *x;
    const bf_kernel *k;
    bf_error *err;
    bf_problem p;
    bf_tensor t[BF_MAX_TENSORS];
    float *in;
    int64_t length, leaves;
    int stride;  /* weights a leaf */
    int columns; /* probes a run */
    float unit;
} probe;

/* d = 1, all scales and nibbles 1, minima 0. Bytes of scales: sc[0..3] in the low six bits of bytes 0..3, sc[4..7] in
 * the low nibbles of bytes 8..11. */
static void block_of_ones(unsigned char b[144]) {
    memset(b, 0, 144);
    b[1] = 0x3c;
    for (int j = 0; j < 4; j++) b[4 + j] = b[12 + j] = 1;
    memset(b + 16, 0x11, 128);
}

static int upload_weights(probe *s) {
    unsigned char *w = malloc(s->t[Q4K_MATVEC_W].bytes);
    if (!w) return bf_fail(s->err, "probe: no memory");
    for (uint64_t at = 0; at < s->t[Q4K_MATVEC_W].bytes; at += 144) block_of_ones(w + at);
    int rc = s->b->upload(s->x, s->p.ptr[Q4K_MATVEC_W], w, s->t[Q4K_MATVEC_W].bytes, s->err);
    free(w);
    return rc;
}

static void close_probe(probe *s) {
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (s->p.ptr[i]) s->b->free(s->x, s->p.ptr[i]);
    if (s->p.scratch) s->b->free(s->x, s->p.scratch);
    free(s->in);
}

/* One row; as many columns as the kernel takes, 8 or 1. */
static bf_problem shape(const bf_kernel *k, int64_t length) {
    bf_problem p = {.dim = {[Q4K_MATVEC_M] = 1, [Q4K_MATVEC_K] = length, [Q4K_MATVEC_N] = COLUMNS},
                    .type = {[Q4K_MATVEC_W] = BF_Q4_K, [Q4K_MATVEC_X] = BF_F32}};
    if (k->accepts && !k->accepts(&p)) p.dim[Q4K_MATVEC_N] = 1;
    return p;
}

static int open_probe(probe *s) {
    int int8 = s->k->path && !strcmp(s->k->path, "int8");
    s->stride = int8 ? BLOCK : 1;
    s->unit = int8 ? 127 : 1;
    s->leaves = s->length / s->stride;
    s->p = shape(s->k, s->length);
    s->columns = (int)s->p.dim[Q4K_MATVEC_N];
    if (s->k->accepts && !s->k->accepts(&s->p)) return bf_fail(s->err, "%s: does not take the probe", s->k->name);
    if (bf_op_find("q4k_matvec")->tensors(&s->p, s->k->path, s->t, s->err)) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (s->t[i].role != BF_UNUSED && !(s->p.ptr[i] = s->b->alloc(s->x, s->t[i].bytes, s->err))) return -1;
    uint64_t scratch = s->k->scratch ? s->k->scratch(&s->p) : 0;
    if (scratch && !(s->p.scratch = s->b->alloc(s->x, scratch, s->err))) return -1;
    s->in = malloc(s->t[Q4K_MATVEC_X].bytes);
    return s->in ? upload_weights(s) : bf_fail(s->err, "probe: no memory");
}

/* size[n] of the smallest subtrees that hold leaf `with` and each of other[n], n <= columns. */
static int sizes(probe *s, int64_t with, const int64_t *other, int n, int64_t *size) {
    float y[COLUMNS];
    memset(s->in, 0, s->t[Q4K_MATVEC_X].bytes);
    for (int c = 0; c < s->columns; c++) {
        float *x = s->in + c * s->length;
        for (int64_t i = 0; i < s->leaves; i++) x[i * s->stride] = s->unit;
        if (c >= n) continue;
        x[with * s->stride] =
            s->unit * 0x1p40f; /* 2^40 units: half an ulp is 2^16 units, more than there are leaves */
        x[other[c] * s->stride] = s->unit * -0x1p40f;
    }
    if (s->b->upload(s->x, s->p.ptr[Q4K_MATVEC_X], s->in, s->t[Q4K_MATVEC_X].bytes, s->err) ||
        s->b->run(s->x, s->k, &s->p, s->err) ||
        s->b->download(s->x, y, s->p.ptr[Q4K_MATVEC_Y], sizeof *y * (size_t)s->columns, s->err))
        return -1;
    for (int c = 0; c < n; c++) {
        double outside = (double)y[c] / s->unit;
        if (!(outside >= 0 && outside <= (double)s->leaves - 2 && outside == floor(outside)))
            return bf_fail(s->err, "%s: leaves %lld and %lld of %lld gave %g: no count", s->k->name, (long long)with,
                           (long long)other[c], (long long)s->leaves, outside);
        size[c] = s->leaves - (int64_t)outside;
    }
    return 0;
}

typedef struct sibling {
    int64_t leaf, size;
} sibling;

static int by_size(const void *a, const void *b) {
    const sibling *x = a, *y = b;
    return x->size != y->size ? (x->size > y->size) - (x->size < y->size) : (x->leaf > y->leaf) - (x->leaf < y->leaf);
}

/* Depth of the subtree whose leaves are leaf[0..n-1]: the ancestors of the first leaf have the sizes of the subtrees
 * that it shares with the others; those with the same size hang on the same ancestor and are a subtree of their own.
 */
static int64_t depth(probe *s, const int64_t *leaf, int64_t n) {
    if (n < 2) return 0;
    sibling *others = malloc((size_t)n * sizeof *others);
    int64_t *group = malloc((size_t)n * sizeof *group), deepest = -1, above = 0;
    int ok = others && group;
    if (!ok) bf_fail(s->err, "probe: no memory");
    for (int64_t i = 1; ok && i < n; i += s->columns) {
        int64_t size[COLUMNS];
        int count = n - i < s->columns ? (int)(n - i) : s->columns;
        ok = !sizes(s, leaf[0], leaf + i, count, size);
        for (int c = 0; c < count; c++) others[i - 1 + c] = (sibling){leaf[i + c], size[c]};
    }
    if (ok) {
        qsort(others, (size_t)n - 1, sizeof *others, by_size);
        for (int64_t i = 0; i < n - 1; i++) above += !i || others[i].size != others[i - 1].size;
        deepest = above;
    }
    for (int64_t i = 0; ok && i < n - 1;
         above--) { /* ancestors from the lowest up; `above` counts from here to the root */
        int64_t g = 0, size = others[i].size;
        for (; i < n - 1 && others[i].size == size; i++) group[g++] = others[i].leaf;
        int64_t below = depth(s, group, g);
        ok = below >= 0;
        if (ok && above + below > deepest) deepest = above + below;
    }
    free(others), free(group);
    return ok ? deepest : -1;
}

int bf_probe_chain(const bf_backend *b, bf_context *x, const bf_kernel *k, int64_t length, int64_t *chain,
                   bf_error *err) {
    probe s = {.b = b, .x = x, .k = k, .err = err, .length = length};
    int64_t *leaf = NULL;
    if (strcmp(k->op, "q4k_matvec") || length < 256 || length > 32768 || length % 256)
        return bf_fail(err, "%s: only q4k_matvec is probed, at 256 to 32768 weights", k->name);
    int rc = open_probe(&s);
    if (!rc && !(leaf = malloc((size_t)s.leaves * sizeof *leaf))) rc = bf_fail(err, "probe: no memory");
    if (!rc) {
        for (int64_t i = 0; i < s.leaves; i++) leaf[i] = i;
        *chain = depth(&s, leaf, s.leaves);
        rc = *chain < 0 ? -1 : 0;
    }
    free(leaf);
    close_probe(&s);
    return rc;
}

void bf_probe_judge(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_verdict *v) {
    bf_verdict_begin(v);
    if (strcmp(k->op, "q4k_matvec") || !k->chain) {
        v->status = BF_SKIP;
        bf_verdict_note(v, "no chain is declared");
        return;
    }
    int int8 = k->path && !strcmp(k->path, "int8");
    for (int i = 0; i < 2; i++) {
        int64_t length = (int8 ? 4096 : 512) << i, measured;
        bf_problem p = shape(k, length);
        bf_error err;
        if (bf_probe_chain(b, x, k, length, &measured, &err)) {
            v->status = BF_ERROR;
            bf_verdict_note(v, "%.200s", err.text);
            return;
        }
        int64_t declared = k->chain(&p);
        v->outputs++;
        int wrong = declared < measured || declared > 2 * measured + 2;
        if (wrong) v->status = BF_FAIL, v->mismatched++;
        bf_verdict_note(v, "K=%lld: chain %lld measured, %lld declared%s", (long long)length, (long long)measured,
                        (long long)declared, wrong ? (declared < measured ? " (too small)" : " (too large)") : "");
    }
}
