/* judge.c: from counts and norms to a verdict, groups of layers, and advice. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/cpu/fp16.h"
#include "scan.h"

const char *const bf_scan_verdict_name[BF_SCAN_VERDICTS] = {
    [BF_SCAN_OK] = "OK", [BF_SCAN_UNREAD] = "UNREAD", [BF_SCAN_TIGHT] = "TIGHT", [BF_SCAN_LOSSY] = "LOSSY",
    [BF_SCAN_NO_HEADROOM] = "NO HEADROOM", [BF_SCAN_OVERFLOW] = "OVERFLOW", [BF_SCAN_DAMAGED] = "DAMAGED",
};

static double magnitude(const bf_scan_tensor *s, uint32_t bits) {
    bf_dtype type = s->t->dtype == BF_NONE ? BF_F32 : s->t->dtype;
    return type == BF_F32 ? (double)bf_float(bits) : type == BF_BF16 ? (double)bf_bf16_value(bits) : (double)bf_f16_value(bits);
}

/* The first element whose magnitude is not below `limit`. */
static uint64_t first_of(const bf_scan_tensor *s, float limit) {
    float value[256];
    const bf_model_tensor *t = s->t;
    if (t->blocks) {
        for (uint64_t b = 0; b < t->elements / t->blocks->elements; b++) {
            t->blocks->values((const uint8_t *)t->data + b * t->blocks->bytes, value);
            for (uint32_t i = 0; i < t->blocks->elements; i++)
                if (!(fabsf(value[i]) < limit)) return b * t->blocks->elements + i;
        }
        return 0;
    }
    for (uint64_t i = 0; i < t->elements; i++) {
        uint32_t wide;
        uint16_t half;
        if (t->dtype == BF_F32) memcpy(&wide, (const char *)t->data + 4 * i, 4);
        else memcpy(&half, (const char *)t->data + 2 * i, 2), wide = t->dtype == BF_BF16 ? (uint32_t)half << 16 : bf_f16_to_f32_bits(half);
        if (!(fabsf(bf_float(wide)) < limit)) return i;
    }
    return 0;
}

static double share(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }

void bf_scan_judge(bf_scan_tensor *s, int basic, double amplitude) {
    const bf_scan_counts *c = &s->c;
    uint64_t nonzero = c->level[BF_SCAN_NONZERO], flushed = nonzero - c->level[BF_SCAN_KEPT], subnormal = c->level[BF_SCAN_KEPT] - c->level[BF_SCAN_NORMAL];
    s->verdict = BF_SCAN_OK, s->headroom = INFINITY;
    s->largest = magnitude(s, c->largest), s->smallest = c->smallest == UINT32_MAX ? 0 : magnitude(s, c->smallest);
    if (!c->values && s->t->elements) {
        s->verdict = BF_SCAN_UNREAD;
        return;
    }
    int vector = s->t->rows == 1 && s->t->rank <= 1;
    double norm1 = vector || basic ? s->largest : s->norm1, norm2 = vector || basic ? s->largest : s->norm2;
    if (!basic || vector) {
        s->estimate = 65520 / norm1, s->random = 65520 / (vector ? norm2 : 6 * norm2);
        s->guarantee = s->estimate / (vector ? 1 + 0x1p-11 : exp((double)s->t->row * log1p(0x1p-11)));
        s->headroom = log2(s->estimate / amplitude);
    }
    if (c->level[BF_SCAN_INF] || s->bad_blocks) s->verdict = BF_SCAN_DAMAGED;
    else if (c->level[BF_SCAN_OVER]) s->verdict = BF_SCAN_OVERFLOW;
    else if (s->headroom < 0) s->verdict = BF_SCAN_NO_HEADROOM;
    else if (share(flushed, nonzero) > 1e-3 || share(subnormal, nonzero) > 0.05) s->verdict = BF_SCAN_LOSSY;
    else if (s->headroom < 2) s->verdict = BF_SCAN_TIGHT;
    if (s->bad_blocks) s->first = s->first_bad_block * s->t->blocks->elements;
    else if (s->verdict >= BF_SCAN_OVERFLOW) s->first = first_of(s, s->verdict == BF_SCAN_DAMAGED ? INFINITY : 65520.0f);
}

/* ---- layers ---- */

/* Numbers between dots become {}: "blk.12.attn_q.weight". */
static char *pattern_of(const char *name) {
    char *out = malloc(strlen(name) * 2 + 3), *to = out;
    if (!out) return NULL;
    for (const char *p = name; *p;) {
        size_t digits = strspn(p, "0123456789");
        int whole = digits && (p == name || p[-1] == '.' || p[-1] == '_') && (!p[digits] || p[digits] == '.' || p[digits] == '_');
        if (whole) *to++ = '{', *to++ = '}', p += digits;
        else *to++ = *p++;
    }
    *to = 0;
    return out;
}

static int worse(const bf_scan_tensor *a, const bf_scan_tensor *b) {
    return a->verdict != b->verdict ? a->verdict > b->verdict : a->headroom < b->headroom;
}

bf_scan_group *bf_scan_groups(const bf_scan *s, int *count) {
    size_t n = bf_model_count(s->model);
    bf_scan_group *g = calloc(n + 1, sizeof *g);
    *count = 0;
    for (size_t i = 0; g && i < n; i++) {
        char *name = pattern_of(s->tensor[i].t->name);
        int k = *count - 1;
        while (name && k >= 0 && strcmp(g[k].name, name)) k--;
        if (!name) {
            bf_scan_groups_free(g, *count);
            return NULL;
        }
        if (k < 0) k = (*count)++, g[k].name = name;
        else free(name);
        if (!g[k].worst || worse(&s->tensor[i], g[k].worst)) g[k].worst = &s->tensor[i];
        g[k].tensors++, g[k].troubled += s->tensor[i].verdict >= BF_SCAN_LOSSY;
    }
    return g;
}

void bf_scan_groups_free(bf_scan_group *g, int count) {
    for (int i = 0; g && i < count; i++) free(g[i].name);
    free(g);
}

void bf_scan_advice(const bf_scan_tensor *s, char *text, size_t size) {
    const bf_scan_counts *c = &s->c;
    const char *kept = s->t->dtype == BF_F16 ? "fp16" : s->t->dtype == BF_BF16 ? "bf16" : s->t->dtype == BF_F32 ? "fp32" : s->t->type;
    switch (s->verdict) {
    case BF_SCAN_DAMAGED:
        if (s->bad_blocks)
            snprintf(text, size, "%llu blocks have a scale that is infinite or NaN: fetch or convert the file again", (unsigned long long)s->bad_blocks);
        else
            snprintf(text, size, "the file holds %llu infinities and %llu NaN (converted with an overflow?): convert it again from the original",
                     (unsigned long long)(c->level[BF_SCAN_INF] - c->level[BF_SCAN_NAN]), (unsigned long long)c->level[BF_SCAN_NAN]);
        break;
    case BF_SCAN_OVERFLOW:
        snprintf(text, size, "store as %s, not fp16: %llu values become infinite; compute in fp32", kept,
                 (unsigned long long)(c->level[BF_SCAN_OVER] - c->level[BF_SCAN_INF]));
        break;
    case BF_SCAN_NO_HEADROOM:
        snprintf(text, size, "store as %s; sums and outputs in fp32: fp16 ones may overflow from |x| = %.3g", kept, s->estimate);
        break;
    case BF_SCAN_LOSSY:
        snprintf(text, size, "store as %s: as fp16 %.2g %% become zero, %.2g %% lose bits; sums in fp32", kept,
                 100 * share(c->level[BF_SCAN_NONZERO] - c->level[BF_SCAN_KEPT], c->level[BF_SCAN_NONZERO]),
                 100 * share(c->level[BF_SCAN_KEPT] - c->level[BF_SCAN_NORMAL], c->level[BF_SCAN_NONZERO]));
        break;
    case BF_SCAN_TIGHT: snprintf(text, size, "sums in fp32; fp16 outputs only while |x| stays below %.3g", s->estimate); break;
    case BF_SCAN_UNREAD: snprintf(text, size, "type %s is not read here", s->t->type); break;
    default: snprintf(text, size, "fp16 holds it"); break;
    }
}
