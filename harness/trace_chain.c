/* trace_chain.c: see trace_chain.h. */
#define _GNU_SOURCE
#include "trace_chain.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fill.h"
#include "guess.h"
#include "number.h"

const char *const bf_trace_op_name[BF_TRACE_OPS] = {
    "input", "norm", "linear", "attention", "residual", "mul", "gelu", "silu", "modulate", "gate", "headgate",
};
static const int operands[BF_TRACE_OPS] = {0, 1, 1, 3, 2, 2, 1, 1, 1, 1, 2};

enum { MAX_LINE = 1024, MAX_FILE = 64 << 10, MAX_SYMBOLS = 32, MAX_WORDS = 40, MAX_WIDTH = 1 << 20, MAX_TOKENS = 1 << 16 };
#define PLANT_LIMIT 0x1p60

typedef struct symbol {
    char name[BF_TRACE_NAME];
    double value;
    int given; /* by the command line */
} symbol;

typedef struct parser {
    const char *file;
    int lineno, section; /* 0: before the blocks, 1: in them, 2: behind them */
    const bf_trace_sizes *sizes;
    bf_trace_chain *c;
    bf_error *err;
    symbol symbol[MAX_SYMBOLS];
    int symbols, used[MAX_SYMBOLS];
    int64_t rows[BF_TRACE_VALUES], width[BF_TRACE_VALUES];
} parser;

static int complain(const parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int complain(const parser *p, const char *format, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return bf_fail(p->err, "%s:%d: %s", p->file, p->lineno, text);
}

/* ---- numbers ---- */

/* FACTOR or FACTOR*FACTOR...: numbers and symbols. */
static int product(const parser *p, const char *text, const char *key, double *out) {
    char copy[128], *save = NULL;
    double v = 1;
    if (strlen(text) >= sizeof copy || !*text || text[strlen(text) - 1] == '*')
        return complain(p, "%s: '%.64s' is not a number, a symbol or a product of them", key, text);
    strcpy(copy, text);
    for (char *f = strtok_r(copy, "*", &save); f; f = strtok_r(NULL, "*", &save)) {
        double factor;
        int i = 0;
        if (bf_number_f64(f, &factor)) {
            while (i < p->symbols && strcmp(p->symbol[i].name, f)) i++;
            if (i == p->symbols) return complain(p, "%s: '%.40s' is neither a number nor a symbol of a 'size' line above", key, f);
            factor = p->symbol[i].value;
        }
        v *= factor;
    }
    if (!(fabs(v) <= PLANT_LIMIT)) return complain(p, "%s: '%.64s' is beyond 2^60", key, text);
    *out = v;
    return 0;
}

/* REAL:REDUCED or one for both. */
static int number(const parser *p, const char *text, const char *key, double *out) {
    char copy[128];
    const char *colon = strchr(text, ':');
    if (!colon) return product(p, text, key, out);
    if (strlen(text) >= sizeof copy) return complain(p, "%s: '%.64s' is too long", key, text);
    double real, reduced;
    memcpy(copy, text, (size_t)(colon - text));
    copy[colon - text] = 0;
    if (product(p, copy, key, &real) || product(p, colon + 1, key, &reduced)) return -1;
    *out = p->sizes->real ? real : reduced;
    return 0;
}

static int integer(const parser *p, const char *text, const char *key, int64_t min, int64_t max, int64_t *out) {
    double v;
    if (number(p, text, key, &v)) return -1;
    if (!(v >= (double)min && v <= (double)max) || v != floor(v))
        return complain(p, "%s: '%.64s' is not an integer from %lld to %lld", key, text, (long long)min, (long long)max);
    *out = (int64_t)v;
    return 0;
}

static int real(const parser *p, const char *text, const char *key, double min, double max, double *out) {
    if (number(p, text, key, out)) return -1;
    if (!(*out >= min && *out <= max)) return complain(p, "%s: '%.64s' is not a number from %g to %g", key, text, min, max);
    return 0;
}

/* "A,B,C" in place; the number of parts, at most `most`, or -1. */
static int parts(char *text, char **part, int most) {
    int n = 0;
    for (char *at = text; at; n++) {
        if (n == most) return -1;
        part[n] = at;
        at = strchr(at, ',');
        if (at) *at++ = 0;
    }
    return n;
}

/* ---- names ---- */

static int name_ok(const char *s) {
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z'))) return 0;
    for (const char *c = s; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '-' || *c == '.'))
            return 0;
    return strlen(s) < BF_TRACE_NAME;
}

static int name(const parser *p, const char *what, const char *text, char out[BF_TRACE_NAME]) {
    if (!name_ok(text))
        return complain(p, "%s: '%.40s' is not a name (a letter, then letters, digits, _ - . ; at most %d)", what, text, BF_TRACE_NAME - 1);
    strcpy(out, text);
    return 0;
}

int bf_trace_value(const bf_trace_chain *c, const char *wanted) {
    for (int i = 0; i < c->values; i++)
        if (!strcmp(c->value[i], wanted)) return i;
    return -1;
}

static int kind_of(parser *p, const char *text) {
    bf_trace_chain *c = p->c;
    for (int i = 0; i < c->kinds; i++)
        if (!strcmp(c->kind[i], text)) return i;
    if (c->kinds == BF_TRACE_KINDS) return complain(p, "kind: more than %d kinds of ops", BF_TRACE_KINDS);
    strcpy(c->kind[c->kinds], text);
    return c->kinds++;
}

static int tensor_name(const parser *p, const char *key, const char *text, char out[BF_TRACE_TENSOR]) {
    size_t n = strlen(text);
    const char *brace = strstr(text, "{}");
    if (!n || n >= BF_TRACE_TENSOR || strchr(text, '%')) return complain(p, "%s: a tensor's name has 1 to %d characters, no %%", key, BF_TRACE_TENSOR - 1);
    if (brace && strstr(brace + 2, "{}")) return complain(p, "%s: '{}' stands more than once", key);
    strcpy(out, text);
    return 0;
}

/* ---- keys of an op ---- */

/* ROW,COLUMN,VALUE or COLUMN,VALUE, with @BLOCK or @FIRST-LAST behind. */
static int plant(parser *p, bf_trace_line *l, char *text) {
    int places = l->op == BF_TRACE_LINEAR || l->op == BF_TRACE_INPUT ? 2 : 1;
    bf_trace_plant *t = &l->plant[l->plants];
    char *part[3], *at = strchr(text, '@');
    int64_t place[2] = {0, 0};
    if (l->op > BF_TRACE_LINEAR && l->op != BF_TRACE_MODULATE && l->op != BF_TRACE_GATE)
        return complain(p, "plant: %s has nothing to plant into", bf_trace_op_name[l->op]);
    if (l->plants == BF_TRACE_PLANTS) return complain(p, "plant: more than %d", BF_TRACE_PLANTS);
    t->first = 0, t->last = BF_TRACE_DEPTH;
    if (at) {
        int64_t first, last;
        *at++ = 0;
        char *dash = strchr(at, '-');
        if (dash) *dash++ = 0;
        if (integer(p, at, "plant @block", 0, BF_TRACE_DEPTH, &first)) return -1;
        last = first;
        if (dash && integer(p, dash, "plant @block", first, BF_TRACE_DEPTH, &last)) return -1;
        t->first = (int)first, t->last = (int)last;
    }
    if (parts(text, part, 3) != places + 1)
        return complain(p, "plant: wants %sCOLUMN,VALUE", places == 1 ? "" : l->op == BF_TRACE_INPUT ? "TOKEN," : "ROW,");
    t->bias = l->op == BF_TRACE_LINEAR && !strcmp(part[1], "bias");
    for (int i = 0; i < places - t->bias; i++)
        if (integer(p, part[i], "plant", 0, MAX_WIDTH - 1, &place[i])) return -1;
    if (real(p, part[places], "plant", -PLANT_LIMIT, PLANT_LIMIT, &t->value)) return -1;
    t->row = places == 2 ? place[0] : 0, t->column = place[places - 1];
    l->plants++;
    return 0;
}

static int weight(parser *p, bf_trace_line *l, char *text) {
    char *part[2];
    if (l->op == BF_TRACE_NORM && !strcmp(text, "none")) return l->weighted = 0;
    l->weighted = 1;
    if (parts(text, part, 2) != 2) return complain(p, "weight: wants MEAN,DEVIATION%s", l->op == BF_TRACE_NORM ? " or none" : "");
    return real(p, part[0], "weight", -PLANT_LIMIT, PLANT_LIMIT, &l->mean) || real(p, part[1], "weight", 0, PLANT_LIMIT, &l->deviation);
}

#define OF(op) (1u << BF_TRACE_##op)
#define ANY ((1u << BF_TRACE_OPS) - 1)
enum { K_WIDTH, K_ROWS, K_FILL, K_SCALE, K_SHIFT, K_EPS, K_PLUS_ONE, K_LAYER, K_OVER, K_WEIGHT, K_GAIN, K_BIAS, K_HEADS, K_KV_HEADS,
       K_CAUSAL, K_WINDOW, K_FULL_EVERY, K_LABEL, K_KIND, K_PLANT, K_TENSOR, K_GGUF, K_BIAS_TENSOR, K_BIAS_GGUF };
static const struct {
    const char *key;
    unsigned ops;
} keys[] = {
    [K_WIDTH] = {"width", OF(INPUT)}, [K_ROWS] = {"rows", OF(INPUT) | OF(LINEAR)}, [K_FILL] = {"fill", OF(INPUT)},
    [K_SCALE] = {"scale", OF(INPUT) | OF(MODULATE)}, [K_SHIFT] = {"shift", OF(MODULATE)}, [K_EPS] = {"eps", OF(NORM)},
    [K_PLUS_ONE] = {"plus_one", OF(NORM)}, [K_LAYER] = {"layer", OF(NORM)}, [K_OVER] = {"over", OF(NORM)}, [K_WEIGHT] = {"weight", OF(NORM) | OF(GATE)},
    [K_GAIN] = {"gain", OF(LINEAR)}, [K_BIAS] = {"bias", OF(LINEAR)}, [K_HEADS] = {"heads", OF(ATTENTION) | OF(HEADGATE)},
    [K_KV_HEADS] = {"kv_heads", OF(ATTENTION)}, [K_CAUSAL] = {"causal", OF(ATTENTION)}, [K_WINDOW] = {"window", OF(ATTENTION)},
    [K_FULL_EVERY] = {"full_every", OF(ATTENTION)}, [K_LABEL] = {"label", ANY}, [K_KIND] = {"kind", ANY & ~OF(INPUT)},
    [K_PLANT] = {"plant", ANY}, [K_TENSOR] = {"tensor", OF(NORM) | OF(LINEAR)}, [K_GGUF] = {"gguf", OF(NORM) | OF(LINEAR)},
    [K_BIAS_TENSOR] = {"bias_tensor", OF(LINEAR)}, [K_BIAS_GGUF] = {"bias_gguf", OF(LINEAR)},
};
enum { KEYS = sizeof keys / sizeof *keys };

static int unknown_key(const parser *p, const bf_trace_line *l, const char *key) {
    char known[256] = "";
    for (int i = 0; i < KEYS; i++)
        if (keys[i].ops & 1u << l->op) {
            size_t n = strlen(known);
            snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", keys[i].key);
        }
    return complain(p, "%.40s: %s has no such key (known: %s)", key, bf_trace_op_name[l->op], known);
}

static int flag(const parser *p, const char *text, const char *key, int *out) {
    int64_t v;
    if (integer(p, text, key, 0, 1, &v)) return -1;
    *out = (int)v;
    return 0;
}

static int set_key(parser *p, bf_trace_line *l, int key, char *v, char *kind) {
    const char *k = keys[key].key;
    switch (key) {
    case K_WIDTH: return integer(p, v, k, 1, MAX_WIDTH, &l->width);
    case K_ROWS: return integer(p, v, k, 1, l->op == BF_TRACE_INPUT ? MAX_TOKENS : MAX_WIDTH, l->op == BF_TRACE_INPUT ? &l->rows : &l->width);
    case K_FILL:
        l->fill = bf_fill_parse(v);
        if (l->fill < 0) return complain(p, "fill: unknown '%.40s' (gauss, outlier, heavy, uniform, constant, ...)", v);
        return 0;
    case K_SCALE: return real(p, v, k, 0, 0x1p40, &l->scale);
    case K_SHIFT: return real(p, v, k, 0, 0x1p40, &l->shift);
    case K_EPS: return real(p, v, k, 0, 1, &l->eps);
    case K_PLUS_ONE: return flag(p, v, k, &l->plus_one);
    case K_LAYER: return flag(p, v, k, &l->layer);
    case K_OVER: return integer(p, v, k, 1, MAX_WIDTH, &l->k);
    case K_WEIGHT: return weight(p, l, v);
    case K_GAIN: return real(p, v, k, 0x1p-40, 0x1p40, &l->gain);
    case K_BIAS: return real(p, v, k, 0, 0x1p40, &l->bias);
    case K_HEADS: return integer(p, v, k, 1, 1024, &l->heads);
    case K_KV_HEADS: return integer(p, v, k, 1, 1024, &l->kv_heads);
    case K_CAUSAL: return flag(p, v, k, &l->causal);
    case K_WINDOW: return integer(p, v, k, 0, MAX_TOKENS, &l->window);
    case K_FULL_EVERY: return integer(p, v, k, 0, BF_TRACE_DEPTH, &l->full_every);
    case K_LABEL: return name(p, k, v, l->label);
    case K_KIND: return name(p, k, v, kind);
    case K_PLANT: return plant(p, l, v);
    case K_TENSOR: return tensor_name(p, k, v, l->tensor);
    case K_GGUF: return tensor_name(p, k, v, l->gguf);
    case K_BIAS_TENSOR: return tensor_name(p, k, v, l->bias_tensor);
    default: return tensor_name(p, k, v, l->bias_gguf);
    }
}

/* ---- shapes ---- */

static int check_attention(const parser *p, const bf_trace_line *l) {
    const int *o = l->operand;
    if (!l->heads) return complain(p, "heads is missing");
    int64_t d = p->width[o[0]] / l->heads;
    if (p->width[o[0]] % l->heads || d % 16 || d < 16 || d > 256)
        return complain(p, "%lld columns of q over %lld heads: the head dimension must be a multiple of 16 from 16 to 256", (long long)p->width[o[0]], (long long)l->heads);
    if (l->heads % l->kv_heads) return complain(p, "heads=%lld is not a multiple of kv_heads=%lld", (long long)l->heads, (long long)l->kv_heads);
    for (int i = 1; i < 3; i++)
        if (p->width[o[i]] != d * l->kv_heads)
            return complain(p, "%c has %lld columns, %lld kv_heads of %lld want %lld", "qkv"[i], (long long)p->width[o[i]], (long long)l->kv_heads, (long long)d, (long long)(d * l->kv_heads));
    if (p->rows[o[1]] != p->rows[o[2]]) return complain(p, "k has %lld tokens, v %lld", (long long)p->rows[o[1]], (long long)p->rows[o[2]]);
    return 0;
}

/* The result's shape from the operands', and what does not fit together. */
static int shape(parser *p, bf_trace_line *l) {
    const int *o = l->operand;
    int64_t outputs = l->width;
    if (l->op == BF_TRACE_INPUT) {
        if (!l->width) return complain(p, "width is missing");
        if (!l->rows) l->rows = p->c->tokens;
    } else {
        l->rows = p->rows[o[0]], l->width = p->width[o[0]];
    }
    switch (l->op) {
    case BF_TRACE_NORM:
        if (!l->k) l->k = l->width;
        if (l->width % l->k) return complain(p, "over=%lld does not divide the width %lld", (long long)l->k, (long long)l->width);
        break;
    case BF_TRACE_LINEAR:
        if (!outputs) return complain(p, "rows is missing");
        l->k = l->width, l->width = outputs;
        break;
    case BF_TRACE_ATTENTION:
        if (!l->kv_heads) l->kv_heads = l->heads;
        if (check_attention(p, l)) return -1;
        break;
    case BF_TRACE_RESIDUAL:
    case BF_TRACE_MUL:
        if (p->rows[o[1]] != l->rows || p->width[o[1]] != l->width)
            return complain(p, "%s is %lld x %lld, %s is %lld x %lld", p->c->value[o[0]], (long long)l->rows, (long long)l->width,
                            p->c->value[o[1]], (long long)p->rows[o[1]], (long long)p->width[o[1]]);
        break;
    case BF_TRACE_HEADGATE:
        if (!l->heads || p->width[o[1]] != l->heads || l->width % l->heads || p->rows[o[1]] != l->rows)
            return complain(p, "wants heads, a gate of [tokens][heads], and a width that heads divides");
        break;
    default: break;
    }
    if (l->width > MAX_WIDTH || l->rows > MAX_TOKENS || l->rows * l->width > INT64_C(1) << 26)
        return complain(p, "a result of %lld x %lld is larger than 2^26 values", (long long)l->rows, (long long)l->width);
    int64_t rows = l->op == BF_TRACE_LINEAR ? l->width : l->op == BF_TRACE_INPUT ? l->rows : 1;
    int64_t columns = l->op == BF_TRACE_LINEAR || l->op == BF_TRACE_NORM ? l->k : l->width;
    for (int i = 0; i < l->plants; i++)
        if (l->plant[i].bias && !(l->bias > 0)) return complain(p, "plant: there is no bias (bias=DEVIATION)");
        else if (l->plant[i].row >= rows || l->plant[i].column >= columns)
            return complain(p, "plant: row %lld, column %lld lies outside of %lld x %lld", (long long)l->plant[i].row, (long long)l->plant[i].column, (long long)rows, (long long)columns);
    return 0;
}

/* ---- lines ---- */

static int set_keys(parser *p, bf_trace_line *l, char **word, int words, char *kind) {
    unsigned seen = 0;
    for (int i = 0; i < words; i++) {
        char *value = strchr(word[i], '=');
        if (!value) return complain(p, "'%.40s' is no key=value (%s takes %d operand%s)", word[i], bf_trace_op_name[l->op], operands[l->op], operands[l->op] == 1 ? "" : "s");
        *value++ = 0;
        int k = 0;
        while (k < KEYS && (strcmp(keys[k].key, word[i]) || !(keys[k].ops & 1u << l->op))) k++;
        if (k == KEYS) return unknown_key(p, l, word[i]);
        if (k != K_PLANT && seen & 1u << k) return complain(p, "%s stands twice", keys[k].key);
        seen |= 1u << k;
        if (!*value) return complain(p, "%s: no value", keys[k].key);
        if (set_key(p, l, k, value, kind)) return -1;
    }
    return 0;
}

static int op_line(parser *p, bf_trace_op op, char **word, int words) {
    bf_trace_chain *c = p->c;
    char kind[BF_TRACE_NAME], result[BF_TRACE_NAME];
    if (!c->name[0]) return complain(p, "the first line must be: chain NAME depth=N tokens=N");
    if (c->lines == BF_TRACE_LINES) return complain(p, "more than %d ops", BF_TRACE_LINES);
    if (op == BF_TRACE_INPUT && p->section) return complain(p, "an input stands before the line 'block'");
    bf_trace_line *l = &c->line[c->lines];
    *l = (bf_trace_line){.op = op, .lineno = p->lineno, .operand = {-1, -1, -1}, .eps = 1e-6, .mean = 1, .deviation = 0.125,
                         .gain = 1, .weighted = 1, .scale = op == BF_TRACE_MODULATE ? 0.25 : 1, .fill = BF_FILL_GAUSS};
    if (words < 2 + operands[op]) return complain(p, "%s wants a result and %d operand%s", word[0], operands[op], operands[op] == 1 ? "" : "s");
    if (name(p, "result", word[1], result)) return -1;
    for (int i = 0; i < operands[op]; i++) {
        if (strchr(word[2 + i], '=')) return complain(p, "%s wants %d operand%s before its keys", word[0], operands[op], operands[op] == 1 ? "" : "s");
        l->operand[i] = bf_trace_value(c, word[2 + i]);
        if (l->operand[i] < 0) return complain(p, "'%.40s' has no value yet", word[2 + i]);
    }
    strcpy(l->label, result);
    strcpy(kind, bf_trace_op_name[op]);
    if (set_keys(p, l, word + 2 + operands[op], words - 2 - operands[op], kind) || shape(p, l)) return -1;
    if (op != BF_TRACE_INPUT && (l->kind = kind_of(p, kind)) < 0) return -1;
    l->result = bf_trace_value(c, result);
    if (l->result >= 0 && (p->rows[l->result] != l->rows || p->width[l->result] != l->width))
        return complain(p, "%s is %lld x %lld above, here %lld x %lld: a value keeps its shape", result, (long long)p->rows[l->result],
                        (long long)p->width[l->result], (long long)l->rows, (long long)l->width);
    if (l->result < 0) {
        if (c->values == BF_TRACE_VALUES) return complain(p, "more than %d values", BF_TRACE_VALUES);
        l->result = c->values++;
        strcpy(c->value[l->result], result);
        p->rows[l->result] = l->rows, p->width[l->result] = l->width;
    }
    c->lines++;
    return 0;
}

static int chain_line(parser *p, char **word, int words) {
    bf_trace_chain *c = p->c;
    int64_t depth = 0, tokens = 0;
    if (c->name[0]) return complain(p, "'chain' stands twice");
    if (words < 2 || name(p, "chain", word[1], c->name)) return words < 2 ? complain(p, "chain wants a name") : -1;
    for (int i = 2; i < words; i++) {
        char *value = strchr(word[i], '=');
        if (value) *value++ = 0;
        if (value && !strcmp(word[i], "depth")) {
            if (integer(p, value, "depth", 1, BF_TRACE_DEPTH, &depth)) return -1;
        } else if (value && !strcmp(word[i], "tokens")) {
            if (integer(p, value, "tokens", 1, MAX_TOKENS, &tokens)) return -1;
        } else
            return complain(p, "%.40s: chain has no such key (known: depth, tokens)", word[i]);
    }
    if (!depth || !tokens) return complain(p, "%s is missing", depth ? "tokens" : "depth");
    c->depth = p->sizes->depth ? p->sizes->depth : (int)depth;
    c->tokens = p->sizes->tokens ? p->sizes->tokens : tokens;
    return 0;
}

static int size_line(parser *p, char **word, int words) {
    for (int i = 1; i < words; i++) {
        char *value = strchr(word[i], '=');
        int64_t v;
        if (!value) return complain(p, "'%.40s' is no SYMBOL=NUMBER", word[i]);
        *value++ = 0;
        symbol s = {.value = 0};
        if (name(p, "size", word[i], s.name)) return -1;
        for (int j = 0; j < p->symbols; j++)
            if (!strcmp(p->symbol[j].name, s.name)) return complain(p, "size: %s stands twice", s.name);
        if (p->symbols == MAX_SYMBOLS) return complain(p, "size: more than %d symbols", MAX_SYMBOLS);
        for (int j = 0; j < p->sizes->sets && j < MAX_SYMBOLS; j++) {
            size_t n = strlen(s.name);
            if (strncmp(p->sizes->set[j], s.name, n) || p->sizes->set[j][n] != '=') continue;
            value = (char *)(uintptr_t)p->sizes->set[j] + n + 1, p->used[j] = 1;
        }
        if (integer(p, value, s.name, 1, MAX_WIDTH, &v)) return -1;
        s.value = (double)v;
        p->symbol[p->symbols++] = s;
    }
    return 0;
}

static int section(parser *p, int to) {
    bf_trace_chain *c = p->c;
    if (!c->name[0] || p->section != to - 1) return complain(p, "'%s' is out of place (chain, size, input, block, ops, after, ops)", to == 1 ? "block" : "after");
    *(to == 1 ? &c->begin : &c->end) = c->lines;
    p->section = to;
    return 0;
}

static int parse_line(parser *p, char *line) {
    char *word[MAX_WORDS], *save = NULL;
    int words = 0;
    char *comment = strchr(line, '#');
    if (comment) *comment = 0;
    for (char *w = strtok_r(line, " \t\r", &save); w; w = strtok_r(NULL, " \t\r", &save)) {
        if (words == MAX_WORDS) return complain(p, "more than %d words", MAX_WORDS);
        word[words++] = w;
    }
    if (!words) return 0;
    if (!strcmp(word[0], "chain")) return chain_line(p, word, words);
    if (!strcmp(word[0], "size")) return size_line(p, word, words);
    if (!strcmp(word[0], "block") || !strcmp(word[0], "after"))
        return words > 1 ? complain(p, "'%s' stands alone on its line", word[0]) : section(p, word[0][0] == 'b' ? 1 : 2);
    for (int i = 0; i < BF_TRACE_OPS; i++)
        if (!strcmp(word[0], bf_trace_op_name[i])) return op_line(p, (bf_trace_op)i, word, words);
    return complain(p, "unknown op '%.40s' (chain, size, block, after, input, norm, linear, attention, residual, mul, gelu, silu, modulate, gate, headgate)", word[0]);
}

int bf_trace_parse(const char *text, size_t length, const char *file, const bf_trace_sizes *sizes, bf_trace_chain *c, bf_error *err) {
    parser p = {.file = file, .sizes = sizes, .c = c, .err = err};
    char line[MAX_LINE + 1];
    memset(c, 0, sizeof *c);
    if (length > MAX_FILE) return bf_fail(err, "%s:1: %zu bytes are more than a chain has (%d)", file, length, MAX_FILE);
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t n = end ? (size_t)(end - text) - at : length - at;
        p.lineno++;
        if (n > MAX_LINE) return complain(&p, "a line of %zu bytes (at most %d)", n, MAX_LINE);
        if (memchr(text + at, 0, n)) return complain(&p, "a NUL byte: not a text file");
        memcpy(line, text + at, n);
        line[n] = 0;
        if (parse_line(&p, line)) return -1;
        at += n + 1;
    }
    p.lineno = p.lineno ? p.lineno : 1;
    if (!c->name[0]) return complain(&p, "no line 'chain NAME depth=N tokens=N'");
    if (p.section == 0 || c->begin == c->lines) return complain(&p, "no ops behind a line 'block'");
    if (p.section == 1) c->end = c->lines;
    if (c->begin == c->end) return complain(&p, "no ops between 'block' and 'after'");
    for (int i = 0; i < sizes->sets && i < MAX_SYMBOLS; i++)
        if (!p.used[i]) return bf_fail(err, "--size %.60s: %s has no such symbol in its 'size' lines", sizes->set[i], file);
    return 0;
}

/* ---- files ---- */

static int read_all(const char *path, char **text, size_t *length, bf_error *err) {
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f) return bf_fail(err, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fileno(f), &st) || S_ISDIR(st.st_mode)) {
        fclose(f);
        return bf_fail(err, "%s: not a file", path);
    }
    *text = malloc(MAX_FILE + 1);
    *length = *text ? fread(*text, 1, MAX_FILE + 1, f) : 0;
    int bad = !*text || ferror(f);
    fclose(f);
    return bad ? bf_fail(err, "%s: cannot read: %s", path, *text ? strerror(errno) : "out of memory") : 0;
}

int bf_trace_load(const char *wanted, const char *directory, const bf_trace_sizes *sizes, bf_trace_chain *c, bf_error *err) {
    char path[4400], *text = NULL;
    size_t length = 0;
    if (strchr(wanted, '/') || (strlen(wanted) > 6 && !strcmp(wanted + strlen(wanted) - 6, ".chain")))
        snprintf(path, sizeof path, "%s", wanted);
    else
        snprintf(path, sizeof path, "%s/trace/%s.chain", directory, wanted);
    if (!strchr(wanted, '/') && access(path, F_OK)) {
        bf_guess g = {.wanted = wanted};
        char names[600], folder[4400];
        snprintf(folder, sizeof folder, "%.4000s/trace", directory);
        bf_guess_directory(&g, folder, ".chain");
        if (g.some) return bf_fail(err, "unknown chain '%.60s' in %s (%s)", wanted, folder, bf_guess_text(&g, names, sizeof names));
    }
    int rc = read_all(path, &text, &length, err);
    if (!rc) rc = bf_trace_parse(text, length, path, sizes, c, err);
    free(text);
    return rc;
}
