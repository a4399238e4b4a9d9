/* trace_run.c: the ops of a chain, in two lanes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/attention.h"
#include "../kernels/common/linear.h"
#include "../kernels/common/norm.h"
#include "../kernels/cpu/fp16.h"
#include "trace_weights.h"

const char *const bf_trace_mode_name[BF_TRACE_MODES] = {"fp32", "fp16-weights", "fp16", "fp16-sums", "bf16-as-fp16"};

const char *bf_trace_plan_name(bf_trace_mode m) { return m == BF_TRACE_FP16_WEIGHTS ? "fp16-weights-fp32-math" : bf_trace_mode_name[m]; }
int bf_trace_mode_find(const char *name) {
    for (int i = 0; i < BF_TRACE_MODES; i++)
        if (!strcmp(bf_trace_mode_name[i], name)) return i;
    return -1;
}
int bf_trace_plan(const char *name) {
    for (int i = 0; i < BF_TRACE_MODES; i++)
        if (!strcmp(bf_trace_plan_name((bf_trace_mode)i), name)) return i;
    return -1;
}

enum { PLAN, FP32, LANES };

typedef struct lane {
    float *v[BF_TRACE_VALUES]; /* rows x width of the line that made it */
    bf_trace_mode mode;        /* of the op at hand */
} lane;

struct bf_trace_run {
    const bf_lab *lab;
    const bf_trace_chain *chain;
    bf_trace_weights *weights;
    bf_trace_settings settings;
    int lanes, block, line;
    lane lane[LANES];
    int64_t rows[BF_TRACE_VALUES], width[BF_TRACE_VALUES];
    const float *given[BF_TRACE_LINES];
};

static int is_half(bf_trace_mode m) { return m != BF_TRACE_FP32 && m != BF_TRACE_FP16_WEIGHTS; }
static float to_half(float v) { return bf_f16_value(bf_f32_bits_to_f16(bf_bits(v))); }

/* ---- kernels ---- */

static int tensor(bf_job_run *j, int slot, const char *name, bf_tensor_role role, bf_dtype type, int64_t n, const void *data, bf_error *err) {
    j->t[slot] = (bf_tensor){.name = name, .role = role, .type = type, .rank = 1, .dim = {n}, .bytes = bf_dtype_bytes(type, n)};
    j->p.type[slot] = type;
    j->t[slot].data = data ? (void *)(uintptr_t)data : malloc(j->t[slot].bytes);
    return j->t[slot].data ? 0 : bf_fail(err, "no memory for %s (%lld values)", name, (long long)n);
}

/* Activations as the op takes them: fp16 in a 16-bit mode. */
static int operand(bf_job_run *j, int slot, const char *name, const float *x, int64_t n, int half, bf_error *err) {
    if (tensor(j, slot, name, BF_INPUT, half ? BF_F16 : BF_F32, n, NULL, err)) return -1;
    uint16_t *h = j->t[slot].data;
    if (!half) memcpy(h, x, (size_t)n * sizeof *x);
    for (int64_t i = 0; half && i < n; i++) h[i] = (uint16_t)bf_f32_bits_to_f16(bf_bits(x[i]));
    return 0;
}

static void result(const bf_job_run *j, int slot, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = bf_load_float(j->t[slot].data, j->t[slot].type, i);
}

static int linear(bf_trace_run *r, const bf_trace_line *l, lane *a, float *y, bf_error *err) {
    bf_trace_matrix w, b;
    bf_job_run j = {.p = {.dim = {[LINEAR_M] = l->width, [LINEAR_K] = l->k, [LINEAR_N] = l->rows}}};
    int half = is_half(a->mode), line = (int)(l - r->chain->line);
    if (bf_trace_weights_get(r->weights, line, r->block, BF_TRACE_WEIGHT, a->mode, &w, err) ||
        bf_trace_weights_get(r->weights, line, r->block, BF_TRACE_BIAS, a->mode, &b, err))
        return -1;
    int rc = tensor(&j, LINEAR_W, "w", BF_INPUT, w.type, w.elements, w.data, err) ||
             operand(&j, LINEAR_X, "x", a->v[l->operand[0]], l->rows * l->k, half, err) ||
             tensor(&j, LINEAR_Y, "y", BF_OUTPUT, half ? BF_F16 : BF_F32, l->rows * l->width, NULL, err);
    if (!rc && b.type != BF_NONE) rc = tensor(&j, LINEAR_B, "b", BF_INPUT, b.type, b.elements, b.data, err);
    if (!rc) rc = bf_lab_run(r->lab, &j, "linear", a->mode == BF_TRACE_FP16_SUMS ? "linear_twin_acc-fp16" : NULL, err);
    if (!rc) result(&j, LINEAR_Y, y, l->rows * l->width);
    free(j.t[LINEAR_X].data), free(j.t[LINEAR_Y].data);
    return rc ? -1 : 0;
}

static int norm(bf_trace_run *r, const bf_trace_line *l, lane *a, float *y, bf_error *err) {
    bf_trace_matrix w;
    int64_t n = l->rows * l->width;
    int half = is_half(a->mode);
    if (bf_trace_weights_get(r->weights, (int)(l - r->chain->line), r->block, BF_TRACE_WEIGHT, a->mode, &w, err)) return -1;
    bf_job_run j = {.p = {.dim = {[NORM_M] = n / l->k, [NORM_K] = l->k, [NORM_GROUPS] = 1, [NORM_INNER] = 1},
                          .param = {[NORM_KIND] = l->layer ? NORM_LAYER : NORM_RMS, [NORM_EPS] = l->eps, [NORM_PLUS_ONE] = l->plus_one && !w.plain}}};
    int rc = operand(&j, NORM_X, "x", a->v[l->operand[0]], n, half, err) ||
             tensor(&j, NORM_Y, "y", BF_OUTPUT, half ? BF_F16 : BF_F32, n, NULL, err);
    if (!rc && w.type != BF_NONE) rc = tensor(&j, NORM_W, "w", BF_INPUT, w.type, w.elements, w.data, err);
    if (!rc) rc = bf_lab_run(r->lab, &j, "norm", a->mode == BF_TRACE_FP16_SUMS ? "norm_twin_chain-fp16" : NULL, err);
    if (!rc) result(&j, NORM_Y, y, n);
    free(j.t[NORM_X].data), free(j.t[NORM_Y].data);
    return rc ? -1 : 0;
}

/* [token][head][d] and [head][token][d], elements of `size` bytes. */
static void turn(const void *from, void *to, int64_t tokens, int64_t heads, int64_t d, int forth, size_t size) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t h = 0; h < heads; h++) {
            size_t a = (size_t)((t * heads + h) * d) * size, b = (size_t)((h * tokens + t) * d) * size;
            memcpy((char *)to + (forth ? b : a), (const char *)from + (forth ? a : b), (size_t)d * size);
        }
}

static int turned(bf_job_run *j, int slot, const char *name, const float *x, int64_t tokens, int64_t heads, int64_t d, int half, bf_error *err) {
    float *copy = malloc((size_t)(tokens * heads * d) * sizeof *copy);
    if (!copy) return bf_fail(err, "no memory for %s", name);
    turn(x, copy, tokens, heads, d, 1, sizeof *copy);
    int rc = operand(j, slot, name, copy, tokens * heads * d, half, err);
    free(copy);
    return rc;
}

static int attention(bf_trace_run *r, const bf_trace_line *l, lane *a, float *y, bf_error *err) {
    int64_t queries = l->rows, keys = r->rows[l->operand[1]], d = l->width / l->heads;
    int half = is_half(a->mode), full = l->full_every && (r->block + 1) % l->full_every == 0;
    bf_job_run j = {.p = {.dim = {[ATTENTION_HEADS] = l->heads, [ATTENTION_KV_HEADS] = l->kv_heads, [ATTENTION_QUERIES] = queries,
                                  [ATTENTION_KEYS] = keys, [ATTENTION_D] = d, [ATTENTION_WINDOW] = full ? 0 : l->window},
                          .param = {[ATTENTION_CAUSAL] = l->causal}}};
    int rc = turned(&j, ATTENTION_Q, "q", a->v[l->operand[0]], queries, l->heads, d, half, err) ||
             turned(&j, ATTENTION_K, "k", a->v[l->operand[1]], keys, l->kv_heads, d, half, err) ||
             turned(&j, ATTENTION_V, "v", a->v[l->operand[2]], keys, l->kv_heads, d, half, err) ||
             tensor(&j, ATTENTION_O, "o", BF_OUTPUT, BF_F32, queries * l->width, NULL, err) ||
             tensor(&j, ATTENTION_LSE, "lse", BF_OUTPUT, BF_F32, queries * l->heads, NULL, err);
    j.p.type[ATTENTION_V] = BF_NONE; /* it is K's */
    if (!rc) rc = bf_lab_run(r->lab, &j, "attention", half ? "attention_twin_scores-fp16" : NULL, err);
    if (!rc) turn(j.t[ATTENTION_O].data, y, queries, l->heads, d, 0, sizeof *y);
    for (int64_t i = 0; !rc && half && i < l->rows * l->width; i++) y[i] = to_half(y[i]);
    for (int i = 0; i < ATTENTION_TENSORS; i++) free(j.t[i].data);
    return rc ? -1 : 0;
}

/* ---- element by element ---- */

typedef struct step { /* operands and rounding of one op */
    const float *a, *b;
    int half;
} step;

static float in(const step *s, const float *x, int64_t i) { return s->half ? to_half(x[i]) : x[i]; }
static float out(const step *s, float v) { return s->half ? to_half(v) : v; }

static float gelu(float x) { return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x))); }
static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/* x * (1 + s) + t: three kernels where it is not fused, so three roundings. */
static float modulate(const step *s, float x, float scale, float shift) { return out(s, out(s, x * out(s, 1.0f + scale)) + shift); }

static int vectors(bf_trace_run *r, const bf_trace_line *l, const lane *a, float *v[2], bf_error *err) {
    for (int part = 0; part < 2; part++) {
        bf_trace_matrix m;
        v[part] = NULL;
        if (bf_trace_weights_get(r->weights, (int)(l - r->chain->line), r->block, part, a->mode, &m, err)) return -1;
        if (m.type == BF_NONE) continue;
        v[part] = malloc((size_t)m.elements * sizeof(float));
        if (!v[part]) return bf_fail(err, "no memory for a vector of %s", l->label);
        for (int64_t i = 0; i < m.elements; i++) v[part][i] = bf_load_float(m.data, m.type, i);
    }
    return 0;
}

static int elementwise(bf_trace_run *r, const bf_trace_line *l, lane *a, float *y, bf_error *err) {
    step s = {a->v[l->operand[0]], l->operand[1] >= 0 ? a->v[l->operand[1]] : NULL, is_half(a->mode)};
    float *v[2] = {NULL, NULL};
    if ((l->op == BF_TRACE_MODULATE || l->op == BF_TRACE_GATE) && vectors(r, l, a, v, err)) {
        free(v[0]), free(v[1]);
        return -1;
    }
    for (int64_t i = 0; i < l->rows * l->width; i++) {
        float x = in(&s, s.a, i);
        int64_t c = i % l->width, g = l->op == BF_TRACE_HEADGATE ? i / l->width * l->heads + c / (l->width / l->heads) : 0;
        switch (l->op) {
        case BF_TRACE_RESIDUAL: y[i] = out(&s, x + in(&s, s.b, i)); break;
        case BF_TRACE_MUL: y[i] = out(&s, x * in(&s, s.b, i)); break;
        case BF_TRACE_GELU: y[i] = out(&s, gelu(x)); break;
        case BF_TRACE_SILU: y[i] = out(&s, x * sigmoid(x)); break;
        case BF_TRACE_MODULATE: y[i] = modulate(&s, x, v[0][c], v[1][c]); break;
        case BF_TRACE_GATE: y[i] = out(&s, x * v[0][c]); break;
        default: y[i] = out(&s, x * out(&s, 2.0f * sigmoid(in(&s, s.b, g)))); break;
        }
    }
    free(v[0]), free(v[1]);
    return 0;
}

static int input(bf_trace_run *r, int line, lane *a, float *y) {
    const bf_trace_line *l = &r->chain->line[line];
    if (r->given[line]) memcpy(y, r->given[line], (size_t)(l->rows * l->width) * sizeof *y);
    else bf_trace_input(r->chain, line, r->settings.seed, y);
    for (int64_t i = 0; is_half(a->mode) && i < l->rows * l->width; i++) y[i] = to_half(y[i]);
    return 0;
}

/* ---- the walk ---- */

static int compute(bf_trace_run *r, int line, lane *a, bf_error *err) {
    const bf_trace_line *l = &r->chain->line[line];
    float *y = malloc((size_t)(l->rows * l->width) * sizeof *y);
    if (!y) return bf_fail(err, "no memory for %s", l->label);
    int rc = l->op == BF_TRACE_INPUT       ? input(r, line, a, y)
             : l->op == BF_TRACE_LINEAR    ? linear(r, l, a, y, err)
             : l->op == BF_TRACE_NORM      ? norm(r, l, a, y, err)
             : l->op == BF_TRACE_ATTENTION ? attention(r, l, a, y, err)
                                           : elementwise(r, l, a, y, err);
    free(rc ? y : a->v[l->result]);
    if (!rc) a->v[l->result] = y, r->rows[l->result] = l->rows, r->width[l->result] = l->width;
    return rc;
}

static void census(const bf_trace_run *r, const bf_trace_line *l, bf_trace_record *out) {
    const float *y = r->lane[PLAN].v[l->result], *w = r->lanes > 1 ? r->lane[FP32].v[l->result] : NULL;
    double error = 0, size = 0;
    out->values = l->rows * l->width, out->first = -1, out->got = out->want = NAN;
    for (int64_t i = 0; i < out->values; i++) {
        double v = y[i], m = fabs(v);
        out->nan += isnan(v) != 0, out->inf += isinf(v) != 0;
        if (out->first < 0 && !isfinite(v)) out->first = i, out->got = v, out->want = w ? w[i] : NAN;
        if (isfinite(v) && m > 65504) out->over++;
        if (isfinite(v) && m > out->largest) out->largest = m;
        if (w) error += (v - w[i]) * (v - w[i]), size += (double)w[i] * w[i];
    }
    out->off = !w ? NAN : out->inf || out->nan ? INFINITY : error == 0 ? 0 : sqrt(error / size);
}

int bf_trace_step(bf_trace_run *r, bf_trace_record *out, bf_error *err) {
    const bf_trace_chain *c = r->chain;
    if (r->line == c->begin && r->block == -1) r->block = 0;
    if (r->line == c->end && r->block >= 0) {
        if (++r->block == c->depth) r->block = -2;
        else r->line = c->begin;
    }
    if (r->line == c->lines) return 0;
    *out = (bf_trace_record){.block = r->block, .line = r->line, .mode = r->settings.mode[r->line]};
    for (int i = 0; i < r->lanes; i++) {
        r->lane[i].mode = i == FP32 ? BF_TRACE_FP32 : out->mode;
        if (compute(r, r->line, &r->lane[i], err)) return -1;
    }
    census(r, &c->line[r->line], out);
    r->line++;
    return 1;
}

bf_trace_run *bf_trace_open(const bf_lab *lab, const bf_trace_chain *c, bf_trace_weights *w, const bf_trace_settings *s, int with_fp32, bf_error *err) {
    bf_trace_run *r = calloc(1, sizeof *r);
    if (!r) {
        bf_fail(err, "out of memory");
        return NULL;
    }
    r->lab = lab, r->chain = c, r->weights = w, r->settings = *s, r->lanes = with_fp32 ? LANES : 1, r->block = -1;
    return r;
}

void bf_trace_close(bf_trace_run *r) {
    for (int i = 0; r && i < LANES; i++)
        for (int v = 0; v < BF_TRACE_VALUES; v++) free(r->lane[i].v[v]);
    free(r);
}

void bf_trace_replace(bf_trace_run *r, int line, const float *values) { r->given[line] = values; }
const float *bf_trace_values(const bf_trace_run *r, int lane, int value) { return r->lane[lane].v[value]; }

/* ---- bisect ---- */

/* The first op that is not finite, or without one the last op. */
static int first_bad(const bf_lab *lab, const bf_trace_chain *c, bf_trace_weights *w, const bf_trace_settings *plan, unsigned set, int with_fp32,
                     const float *const *inputs, bf_trace_record *out, bf_error *err) {
    bf_trace_settings s = *plan;
    for (int i = 0; i < c->lines; i++)
        if (c->line[i].op == BF_TRACE_INPUT || set & 1u << c->line[i].kind) s.mode[i] = BF_TRACE_FP32;
    bf_trace_run *r = bf_trace_open(lab, c, w, &s, with_fp32, err);
    int rc = r ? 1 : -1;
    for (int i = 0; r && inputs && i < c->lines; i++) bf_trace_replace(r, i, inputs[i]);
    bf_trace_record now;
    while (rc == 1 && (rc = bf_trace_step(r, &now, err)) == 1) {
        *out = now;
        if (bf_trace_bad(out)) rc = 0;
    }
    bf_trace_close(r);
    return rc;
}

int bf_trace_bisect_run(const bf_lab *lab, const bf_trace_chain *c, bf_trace_weights *w, const bf_trace_settings *plan,
                        const float *const *inputs, bf_trace_bisect *b, bf_error *err) {
    memset(b, 0, sizeof *b);
    b->size = -1;
    for (int size = 0; size <= c->kinds && b->size < 0; size++)
        for (unsigned set = 0; set < 1u << c->kinds; set++) {
            bf_trace_record r;
            if (__builtin_popcount(set) != size) continue;
            if (first_bad(lab, c, w, plan, set, 0, inputs, &r, err)) return -1;
            b->tried++;
            if (!set) b->plan = r;
            if (bf_trace_bad(&r)) continue;
            if (b->sets < BF_TRACE_SETS) b->set[b->sets] = set;
            b->sets++, b->size = size;
        }
    if (b->size < 0) return 0;
    for (int k = 0; k < c->kinds; k++)
        if (b->set[0] & 1u << k && first_bad(lab, c, w, plan, b->set[0] & ~(1u << k), 0, inputs, &b->without[k], err)) return -1;
    return first_bad(lab, c, w, plan, b->set[0], 1, inputs, &b->result, err);
}
