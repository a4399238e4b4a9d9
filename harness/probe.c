/* probe.c: see probe.h. */
#include "probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "numerics/subject.h"

enum { MOST_COLUMNS = 64 };

typedef struct probe {
    bf_subject u;
    const bf_kernel *k;
    bf_error *err;
    double one, large; /* of large + one nothing of one is left */
} probe;

/* What stands for one and for a value that swamps all ones: half an ulp of it is far more than there are leaves. Where x becomes fp16 that
 * cannot be 2^40; sums have to be fp32 all the same, which hold 2^15 + 2^-8. All ones have to be counted, or these are no sums. */
static int scale(probe *s) { /* 0, 1: nothing to measure, -1 with err */
    bf_question q[2] = {{.value = {0x1p40}}, {.leaf = {0, 1}, .value = {0x1p15, 0x1p-8}}}, all;
    for (int i = 0; i < 2; i++)
        if (bf_subject_ask(&s->u, &q[i], 1, s->err)) return -1;
    int wide = q[0].answer == 0x1p40;
    s->one = wide ? 1 : 0x1p-24, s->large = wide ? 0x1p40 : 0x1p15;
    bf_question none[2] = {{.leaf = {0, 1}, .value = {s->large, -s->large}}, {.leaf = {0, s->u.leaves - 1}, .value = {-s->large, s->large}}};
    for (int i = 0; i < 2; i++)
        if (bf_subject_ask(&s->u, &none[i], 1, s->err)) return -1;
    if (bf_adds_on_grid(s->k) && (none[0].answer != 0 || none[1].answer != 0)) return 1;
    all = (bf_question){.background = s->one};
    if (bf_subject_ask(&s->u, &all, 1, s->err)) return -1;
    if (all.answer != s->one * (double)s->u.leaves)
        return bf_fail(s->err, "%s: %lld ones gave %g: no count", s->k->name, (long long)s->u.leaves, all.answer / s->one);
    if (!wide && q[1].answer != 0x1p15 + 0x1p-8) return bf_fail(s->err, "%s: 2^15 + 2^-8 gave %.10g: no count in fp32", s->k->name, q[1].answer);
    return 0;
}

/* size[n] of the smallest subtrees that hold leaf `with` and each of other[n], n <= columns. */
static int sizes(probe *s, int64_t with, const int64_t *other, int n, int64_t *size) {
    bf_question q[MOST_COLUMNS];
    for (int c = 0; c < n; c++) q[c] = (bf_question){.background = s->one, .leaf = {with, other[c]}, .value = {s->large, -s->large}};
    if (bf_subject_ask(&s->u, q, n, s->err)) return -1;
    for (int c = 0; c < n; c++) {
        double outside = q[c].answer / s->one;
        if (!(outside >= 0 && outside <= (double)s->u.leaves - 2 && outside == floor(outside)))
            return bf_fail(s->err, "%s: leaves %lld and %lld of %lld gave %g: no count", s->k->name, (long long)with,
                           (long long)other[c], (long long)s->u.leaves, outside);
        size[c] = s->u.leaves - (int64_t)outside;
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
    for (int64_t i = 1; ok && i < n; i += s->u.columns) {
        int64_t size[MOST_COLUMNS];
        int count = (int)(n - i < s->u.columns ? n - i : s->u.columns);
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

int bf_probe_chain(const bf_backend *b, bf_context *x, const bf_kernel *k, int format, int64_t length, int64_t *chain, int64_t *declared,
                   bf_error *err) {
    probe s = {.k = k, .err = err};
    int64_t *leaf = NULL;
    if (!bf_subject_formats(k) || length < 256 || length > 32768 || length % 256)
        return bf_fail(err, "%s: sums of products are probed, at 256 to 32768 weights", k->name);
    int rc = bf_subject_open(&s.u, b, x, k, format, length, err);
    if (rc == 1) return 1;
    if (!rc && !(leaf = malloc((size_t)s.u.leaves * sizeof *leaf))) rc = bf_fail(err, "probe: no memory");
    if (!rc && (rc = scale(&s)) == 1) rc = 2;
    if (!rc) {
        for (int64_t i = 0; i < s.u.leaves; i++) leaf[i] = i;
        *chain = depth(&s, leaf, s.u.leaves);
        rc = *chain < 0 ? -1 : 0;
        if (declared && k->chain) *declared = k->chain(&s.u.s.p);
    }
    free(leaf);
    bf_subject_close(&s.u);
    return rc;
}

/* One format at one length. 1: the kernel takes no such rows. */
static int judge(const bf_backend *b, bf_context *x, const bf_kernel *k, int format, int64_t length, bf_verdict *v) {
    int64_t measured, declared;
    bf_error err;
    int rc = bf_probe_chain(b, x, k, format, length, &measured, &declared, &err);
    if (rc == 2) {
        v->status = BF_SKIP;
        bf_verdict_note(v, "adds on a grid, M - M is not 0: no count");
        return -1;
    }
    if (rc < 0) {
        v->status = BF_ERROR;
        bf_verdict_note(v, "%.200s", err.text);
    }
    if (rc) return rc;
    v->outputs++;
    int wrong = declared < measured || declared > 2 * measured + 2;
    if (wrong) v->status = BF_FAIL, v->mismatched++;
    const char *name = bf_subject_format(k, format);
    bf_verdict_note(v, "%s%sK=%lld: chain %lld measured, %lld declared%s", *name ? name + 1 : "", *name ? " " : "", (long long)length,
                    (long long)measured, (long long)declared, wrong ? (declared < measured ? " (too small)" : " (too large)") : "");
    return 0;
}

void bf_probe_judge(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_verdict *v) {
    bf_verdict_begin(v);
    int formats = k->chain ? bf_subject_formats(k) : 0, int8 = k->path && !strcmp(k->path, "int8");
    int64_t length = (int8 ? 2048 : 256) << !strcmp(k->op, "q4k_matvec"); /* its lanes take more before they meet */
    for (int f = 0; f < formats; f++)
        for (int i = 0; i < 2; i++)
            if (judge(b, x, k, f, length << i, v) < 0) return;
    if (v->outputs) return;
    v->status = BF_SKIP;
    bf_verdict_note(v, formats ? "it takes none of the probe's shapes" : "no chain is declared");
}
