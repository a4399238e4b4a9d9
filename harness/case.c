/* case.c: see case.h. A line is cut into words, each value is checked on its own (so that a message names the one that is
 * wrong), then the product of the lists is formed. Every case gets its canonical line. */
#define _GNU_SOURCE
#include "case.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fill.h"
#include "guess.h"
#include "number.h"
#include "utf8.h"

enum { MAX_LINE = 4096, MAX_FILE = 16 << 20, MAX_EXPANSION = 100000, MAX_KEYS = 64 };

/* Keys of every case, in canonical order. `seed` is always written, so that a line stands for one set of data. */
enum { FILL, WITNESS, EXPECT, KERNEL, TIER, SEED, COMMON_KEYS };
static const char *const common_key[COMMON_KEYS] = {
    [FILL] = "fill", [WITNESS] = "witness", [EXPECT] = "expect", [KERNEL] = "kernel", [TIER] = "tier", [SEED] = "seed",
};

typedef struct entry { /* one key=value,value,... */
    const char *key;
    const bf_field *field; /* NULL: a common key */
    int common;
    int first, count; /* values, in parser.value */
} entry;

typedef struct parser {
    const char *file;
    int lineno;
    bf_error *err;
    const bf_op *op;
    char text[MAX_LINE + 1];
    int entries, values;
    entry entry[MAX_KEYS];
    const char *value[MAX_LINE / 2 + 1];
} parser;

/* "file:line: ..."; always -1. */
static int complain(const parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int complain(const parser *p, const char *format, ...) {
    char text[2 * MAX_LINE];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!p->file) return bf_fail(p->err, "command line: %s", text);
    return p->lineno ? bf_fail(p->err, "%s:%d: %s", p->file, p->lineno, text) : bf_fail(p->err, "%s: %s", p->file, text);
}

static int unknown_op(const parser *p, const char *name) {
    bf_guess g = {.wanted = name};
    char text[600];
    for (int i = 0; bf_ops[i]; i++) bf_guess_add(&g, bf_ops[i]->name);
    return complain(p, "unknown op '%.64s' (%s)", name, bf_guess_text(&g, text, sizeof text));
}

static int unknown_key(const parser *p, const char *key) {
    bf_guess g = {.wanted = key};
    char text[600];
    for (const bf_field *f = p->op->fields; f->key; f++) bf_guess_add(&g, f->key);
    for (int i = 0; i < COMMON_KEYS; i++) bf_guess_add(&g, common_key[i]);
    return complain(p, "%.64s: %s has no such key (%s)", key, p->op->name, bf_guess_text(&g, text, sizeof text));
}

/* ---- one value ---- */

static int set_dim(const parser *p, const bf_field *f, const char *value, bf_case *c) {
    int64_t v;
    int rc = bf_number_i64(value, &v);
    if (rc == BF_NUMBER_BAD)
        return complain(p, "%s=%.64s: not an integer (write it as 4096 or 2^12)", f->key, value);
    if (rc == BF_NUMBER_RANGE || v < f->min || v > f->max)
        return complain(p, "%s=%.64s: out of range (%lld to %lld)", f->key, value, (long long)f->min, (long long)f->max);
    if (f->multiple > 1 && v % f->multiple) {
        int64_t near = v - v % f->multiple;
        if (near < f->min || near == 0) near += f->multiple;
        return complain(p, "%s=%lld: not a multiple of %lld (use %lld)", f->key, (long long)v,
                        (long long)f->multiple, (long long)near);
    }
    c->problem.dim[f->slot] = v;
    return 0;
}

static int set_type(const parser *p, const bf_field *f, const char *value, bf_case *c) {
    bf_dtype t = bf_dtype_parse(value);
    int none = !strcmp(value, bf_dtype_name(BF_NONE)); /* a tensor that may be absent: bit 1u << BF_NONE */
    if ((t != BF_NONE || none) && f->types & 1u << t) {
        c->problem.type[f->slot] = t;
        return 0;
    }
    bf_guess g = {.wanted = value};
    for (int i = BF_NONE; i < BF_DTYPES; i++)
        if (f->types & 1u << i) bf_guess_add(&g, bf_dtype_name((bf_dtype)i));
    return complain(p, "%s=%.64s: %s (known: %s)", f->key, value,
                    t == BF_NONE && !none ? "not an element type" : "not a type this op takes here", g.list);
}

static int set_param(const parser *p, const bf_field *f, const char *value, bf_case *c) {
    double v;
    int rc = bf_number_f64(value, &v);
    if (rc == BF_NUMBER_BAD)
        return complain(p, "%s=%.64s: not a number (write it as 0.5, 1e-3 or 2^-24)", f->key, value);
    if (rc == BF_NUMBER_RANGE)
        return complain(p, "%s=%.64s: out of range (finite numbers that a double can hold)", f->key, value);
    if (f->min < f->max && !(v >= (double)f->min && v <= (double)f->max))
        return complain(p, "%s=%.64s: out of range (%lld to %lld)", f->key, value, (long long)f->min, (long long)f->max);
    if (f->multiple && v != floor(v)) return complain(p, "%s=%.64s: not an integer", f->key, value);
    int power;
    if (f->kind == BF_FIELD_POWER && (frexp(v, &power) != 0.5 || abs(power - 1) > 300))
        return complain(p, "%s=%.64s: not a power of two (2^-300 to 2^300)", f->key, value);
    c->problem.param[f->slot] = v;
    return 0;
}

static int set_choice(const parser *p, const bf_field *f, const char *value, bf_case *c) {
    bf_guess g = {.wanted = value};
    char text[600];
    for (int i = 0; f->choices[i]; i++) {
        if (!strcmp(f->choices[i], value)) {
            c->problem.param[f->slot] = i;
            return 0;
        }
        bf_guess_add(&g, f->choices[i]);
    }
    return complain(p, "%s=%.64s: unknown (%s)", f->key, value, bf_guess_text(&g, text, sizeof text));
}

static int set_field(const parser *p, const bf_field *f, const char *value, bf_case *c) {
    switch (f->kind) {
    case BF_FIELD_DIM: return set_dim(p, f, value, c);
    case BF_FIELD_TYPE: return set_type(p, f, value, c);
    case BF_FIELD_PARAM:
    case BF_FIELD_POWER: return set_param(p, f, value, c);
    case BF_FIELD_CHOICE: return set_choice(p, f, value, c);
    }
    return complain(p, "%s: op %s declares a field of no kind", f->key, p->op->name);
}

/* Strings stay in the parser's text; append() gives the case its own. */
static int set_common(const parser *p, int key, const char *value, bf_case *c) {
    if (key == FILL) {
        int f = bf_fill_parse(value);
        if (f >= 0) {
            c->fill = bf_fill_name((bf_fill)f);
            return 0;
        }
        bf_guess g = {.wanted = value};
        char text[600];
        for (int i = 0; i < BF_FILLS; i++) bf_guess_add(&g, bf_fill_name((bf_fill)i));
        return complain(p, "fill=%.64s: unknown (%s)", value, bf_guess_text(&g, text, sizeof text));
    }
    if (key == SEED) {
        int rc = bf_number_u64(value, &c->seed);
        return rc ? complain(p, "seed=%.64s: %s (0 to 18446744073709551615)", value,
                             rc == BF_NUMBER_BAD ? "not an integer" : "out of range")
                  : 0;
    }
    if (key == EXPECT && strcmp(value, "zeros")) return complain(p, "expect=%.64s: unknown (known: zeros)", value);
    if (key == TIER && strcmp(value, "quick") && strcmp(value, "full") && strcmp(value, "bench"))
        return complain(p, "tier=%.64s: unknown (known: quick, full, bench)", value);
    char **where[COMMON_KEYS] = {[WITNESS] = &c->witness, [EXPECT] = &c->expect, [KERNEL] = &c->kernel, [TIER] = &c->tier};
    *where[key] = (char *)value;
    return 0;
}

static int set_value(const parser *p, const entry *e, int i, bf_case *c) {
    const char *value = p->value[e->first + i];
    return e->field ? set_field(p, e->field, value, c) : set_common(p, e->common, value, c);
}

/* ---- the canonical line ---- */

typedef struct writer {
    char text[MAX_LINE + 1];
    size_t length;
    int full;
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(w->text + w->length, sizeof w->text - w->length, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof w->text - w->length)
        w->full = 1;
    else
        w->length += (size_t)n;
}

static void put_field(writer *w, const bf_field *f, const bf_case *c) {
    char number[BF_NUMBER_TEXT];
    const bf_problem *q = &c->problem;
    switch (f->kind) {
    case BF_FIELD_DIM: put(w, " %s=%lld", f->key, (long long)q->dim[f->slot]); break;
    case BF_FIELD_TYPE: put(w, " %s=%s", f->key, bf_dtype_name(q->type[f->slot])); break;
    case BF_FIELD_PARAM:
    case BF_FIELD_POWER: put(w, " %s=%s", f->key, bf_number_text(q->param[f->slot], number)); break;
    case BF_FIELD_CHOICE: put(w, " %s=%s", f->key, f->choices[(int)q->param[f->slot]]); break;
    }
}

static int same_field(const bf_field *f, const bf_case *a, const bf_case *b) {
    switch (f->kind) {
    case BF_FIELD_DIM: return a->problem.dim[f->slot] == b->problem.dim[f->slot];
    case BF_FIELD_TYPE: return a->problem.type[f->slot] == b->problem.type[f->slot];
    default: return !memcmp(&a->problem.param[f->slot], &b->problem.param[f->slot], sizeof(double)); /* -0 is not 0 */
    }
}

static int canonical(const parser *p, const bf_case *c, const bf_case *fallback, writer *w) {
    w->length = 0, w->full = 0;
    put(w, "%s", c->op->name);
    for (const bf_field *f = c->op->fields; f->key; f++)
        if (!f->fallback || !same_field(f, c, fallback)) put_field(w, f, c);
    if (strcmp(c->fill, fallback->fill)) put(w, " fill=%s", c->fill);
    if (c->witness) put(w, " witness=%s", c->witness);
    if (c->expect) put(w, " expect=%s", c->expect);
    if (c->kernel) put(w, " kernel=%s", c->kernel);
    if (strcmp(c->tier, fallback->tier)) put(w, " tier=%s", c->tier);
    put(w, " seed=%llu", (unsigned long long)c->seed);
    return w->full ? complain(p, "the case written out is longer than %d bytes (shorten its values)", MAX_LINE) : 0;
}

/* ---- a line ---- */

static int check_bytes(const parser *p, const char *line, size_t length) {
    if (length > MAX_LINE)
        return complain(p, "the line has %zu bytes (at most %d: split it)", length, MAX_LINE);
    for (size_t i = 0, n; i < length; i += n) {
        const unsigned char *s = (const unsigned char *)line + i;
        if (!(n = bf_utf8_length(s, length - i)))
            return complain(p, "byte %zu is 0x%02x: not UTF-8 (save the file as plain text)", i + 1, s[0]);
        if (n == 1 && (s[0] < 0x20 || s[0] == 0x7f) && s[0] != '\t' && !(s[0] == '\r' && i + 1 == length))
            return complain(p, "byte %zu is 0x%02x: a control character (save the file as plain text)", i + 1, s[0]);
    }
    return 0;
}

static int cut_values(parser *p, char *text, entry *e) {
    e->first = p->values;
    for (char *v = text; v;) {
        char *comma = strchr(v, ',');
        if (comma) *comma++ = 0;
        if (!*v) return complain(p, "%s: empty value (key=value, or key=a,b without a gap)", e->key);
        for (int i = e->first; i < p->values; i++)
            if (!strcmp(p->value[i], v)) return complain(p, "%s=%.64s: listed twice (remove one)", e->key, v);
        p->value[p->values++] = v; /* each took two bytes of the line at least */
        e->count++;
        v = comma;
    }
    return 0;
}

static int cut_entry(parser *p, char *word) {
    char *equals = strchr(word, '=');
    if (!equals) return complain(p, "'%.64s': not key=value (no blanks around = and commas)", word);
    *equals = 0;
    if (p->entries == MAX_KEYS) return complain(p, "more than %d keys", MAX_KEYS);
    entry *e = &p->entry[p->entries];
    *e = (entry){.common = -1};
    for (const bf_field *f = p->op->fields; f->key; f++)
        if (!strcmp(f->key, word)) e->field = f, e->key = f->key;
    for (int i = 0; i < COMMON_KEYS && !e->key; i++)
        if (!strcmp(common_key[i], word)) e->common = i, e->key = common_key[i];
    if (!e->key) return unknown_key(p, word);
    for (int i = 0; i < p->entries; i++)
        if (p->entry[i].key == e->key) return complain(p, "%s: given twice (remove one, or write %s=a,b)", e->key, e->key);
    p->entries++;
    return cut_values(p, equals + 1, e);
}

/* 0 with p->op NULL: nothing on the line. */
static int cut_line(parser *p) {
    char *save = NULL;
    for (char *word = strtok_r(p->text, " \t\r", &save); word && *word != '#'; word = strtok_r(NULL, " \t\r", &save)) {
        if (!p->op) {
            if (!(p->op = bf_op_find(word))) return unknown_op(p, word);
        } else if (cut_entry(p, word))
            return -1;
    }
    return 0;
}

static int given(const parser *p, const char *key) {
    for (int i = 0; i < p->entries; i++)
        if (p->entry[i].key == key) return 1;
    return 0;
}

/* The case with all keys absent. */
static int defaults(const parser *p, bf_case *c) {
    *c = (bf_case){.op = p->op, .file = (char *)p->file, .lineno = p->lineno, .seed = 1, .tier = "quick"};
    c->fill = bf_fill_name(BF_FILL_GAUSS);
    for (const bf_field *f = p->op->fields; f->key; f++) {
        if (f->fallback && set_field(p, f, f->fallback, c)) return -1;
        if (!f->fallback && !given(p, f->key))
            return complain(p, "%s: missing, %s needs it (%s=...: %s)", f->key, p->op->name, f->key,
                            f->help ? f->help : "a value");
    }
    return 0;
}

static int reserve(const parser *p, bf_case_list *list, size_t more) {
    if (list->count + more <= list->room) return 0;
    size_t room = list->room ? 2 * list->room : 64;
    if (room < list->count + more) room = list->count + more;
    bf_case *item = realloc(list->item, room * sizeof *item);
    if (!item) return complain(p, "out of memory for %zu cases", room);
    list->item = item, list->room = room;
    return 0;
}

static void release(bf_case *c) {
    free(c->line), free(c->file), free(c->witness), free(c->expect), free(c->kernel), free(c->tier);
}

static void shrink(bf_case_list *list, size_t count) {
    while (list->count > count) release(&list->item[--list->count]);
}

static char *copy(const char *s, int *failed) {
    char *c = s ? strdup(s) : NULL;
    if (s && !c) *failed = 1;
    return c;
}

/* Appends c with strings of its own; room is reserved. */
static int append(const parser *p, const bf_case *c, const writer *w, bf_case_list *list) {
    bf_case *own = &list->item[list->count];
    int failed = 0;
    *own = *c;
    own->line = copy(w->text, &failed), own->file = copy(c->file, &failed), own->witness = copy(c->witness, &failed);
    own->expect = copy(c->expect, &failed), own->kernel = copy(c->kernel, &failed), own->tier = copy(c->tier, &failed);
    if (!failed) {
        list->count++;
        return 0;
    }
    release(own);
    return complain(p, "out of memory");
}

static int expand(const parser *p, bf_case_list *list) {
    bf_case fallback;
    writer w;
    if (defaults(p, &fallback)) return -1;
    size_t total = 1;
    for (int i = 0; i < p->entries; i++) {
        bf_case scratch = fallback;
        for (int v = 0; v < p->entry[i].count; v++)
            if (set_value(p, &p->entry[i], v, &scratch)) return -1;
        total *= (size_t)p->entry[i].count; /* at most 100,000 times 2,048 before it is refused */
        if (total > MAX_EXPANSION)
            return complain(p, "%s: the lists multiply out to more than %d cases (split the line)", p->entry[i].key,
                            MAX_EXPANSION);
    }
    size_t before = list->count;
    if (reserve(p, list, total)) return -1;
    for (size_t n = 0; n < total; n++) {
        bf_case c = fallback;
        size_t rest = n;
        for (int i = p->entries - 1; i >= 0; i--) { /* the last list runs fastest */
            set_value(p, &p->entry[i], (int)(rest % (size_t)p->entry[i].count), &c);
            rest /= (size_t)p->entry[i].count;
        }
        if (canonical(p, &c, &fallback, &w) || append(p, &c, &w, list)) {
            shrink(list, before);
            return -1;
        }
    }
    return 0;
}

static int parse_line(parser *p, const char *line, size_t length, bf_case_list *list) {
    p->op = NULL, p->entries = 0, p->values = 0;
    if (check_bytes(p, line, length)) return -1;
    memcpy(p->text, line, length);
    p->text[length] = 0;
    if (cut_line(p)) return -1;
    return p->op ? expand(p, list) : 0;
}

int bf_case_parse_line(const char *line, size_t length, const char *file, int lineno, bf_case_list *list, bf_error *err) {
    parser *p = malloc(sizeof *p);
    if (!p) return bf_fail(err, "out of memory");
    p->file = file, p->lineno = lineno, p->err = err;
    int rc = parse_line(p, line, length, list);
    free(p);
    return rc;
}

/* ---- a file ---- */

int bf_case_parse_text(const char *text, size_t length, const char *file, bf_case_list *list, bf_error *err) {
    size_t before = list->count;
    parser *p = malloc(sizeof *p);
    if (!p) return bf_fail(err, "out of memory");
    p->file = file, p->lineno = 0, p->err = err;
    int rc = length > MAX_FILE ? complain(p, "%zu bytes (at most %d: split the file)", length, MAX_FILE) : 0;
    size_t mark = length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0; /* a byte-order mark says nothing here */
    for (size_t at = mark; !rc && at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t n = end ? (size_t)(end - text) - at : length - at;
        p->lineno++;
        rc = parse_line(p, text + at, n, list);
        if (!rc && list->count - before > MAX_EXPANSION)
            rc = complain(p, "the file holds more than %d cases up to here (split it)", MAX_EXPANSION);
        at += n + 1;
    }
    if (rc) shrink(list, before);
    free(p);
    return rc;
}

static int read_all(int fd, const char *path, char **text, size_t *length, bf_error *err) {
    struct stat st;
    if (fstat(fd, &st)) return bf_fail(err, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return bf_fail(err, "%s: not a regular file (give a file of cases)", path);
    if (st.st_size > MAX_FILE)
        return bf_fail(err, "%s: %lld bytes (at most %d: split the file)", path, (long long)st.st_size, MAX_FILE);
    if (!(*text = malloc((size_t)st.st_size + 1))) return bf_fail(err, "%s: out of memory", path);
    for (*length = 0; *length < (size_t)st.st_size;) {
        ssize_t n = read(fd, *text + *length, (size_t)st.st_size - *length);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bf_fail(err, "%s: %s", path, strerror(errno));
        if (!n) break; /* it shrank since; what is there is parsed */
        *length += (size_t)n;
    }
    return 0;
}

int bf_case_load(const char *path, bf_case_list *list, bf_error *err) {
    char *text = NULL;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return bf_fail(err, "%s: %s", path, strerror(errno));
    int rc = read_all(fd, path, &text, &length, err);
    close(fd);
    if (!rc) rc = bf_case_parse_text(text, length, path, list, err);
    free(text);
    return rc;
}

void bf_case_list_free(bf_case_list *list) {
    shrink(list, 0);
    free(list->item);
    *list = (bf_case_list){0};
}
