/* trace_show.c: see trace_show.h. */
#include "trace_show.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

void bf_trace_first(const bf_trace_record *r, int n, int *bad, int *lost) {
    *bad = *lost = -1;
    for (int i = 0; i < n; i++) {
        if (*bad < 0 && bf_trace_bad(&r[i])) *bad = i;
        if (*lost < 0 && r[i].off > BF_TRACE_LOST) *lost = i;
    }
}

static const char *kind_of(const bf_trace_chain *c, const bf_trace_line *l) { return l->op == BF_TRACE_INPUT ? "input" : c->kind[l->kind]; }

static const char *block_text(const bf_trace_record *r, char text[16]) {
    if (r->block >= 0) snprintf(text, 16, "%d", r->block);
    else snprintf(text, 16, "%s", r->block == -1 ? "in" : "out");
    return text;
}

/* 12,345 below a million, else in powers of ten. */
static const char *magnitude(double v, char text[32]) {
    if (v < 1000) snprintf(text, 32, "%.4g", v);
    else if (v < 1e6) snprintf(text, 32, "%d,%03d", (int)v / 1000, (int)v % 1000);
    else snprintf(text, 32, "%.3e", v);
    return text;
}

static const char *off_text(double off, char text[32]) {
    if (isnan(off)) strcpy(text, "-");
    else if (isinf(off)) strcpy(text, "all");
    else if (off == 0) strcpy(text, "0");
    else snprintf(text, 32, off < 0.01 ? "%.1e" : off < 10 ? "%.3f" : "%.1e", off);
    return text;
}

static void row(FILE *f, const bf_trace_chain *c, const bf_trace_record *r, const char *mark) {
    const bf_trace_line *l = &c->line[r->line];
    char block[16], size[32], off[32];
    fprintf(f, "%5s  %-10.10s %-10.10s %-12s %10s %8lld %7lld %7lld  %8s%s\n", block_text(r, block), l->label, kind_of(c, l),
            bf_trace_mode_name[r->mode], r->largest || !bf_trace_bad(r) ? magnitude(r->largest, size) : "-", (long long)r->over,
            (long long)r->inf, (long long)r->nan, off_text(r->off, off), mark);
}

/* Ops shown singly: all of a short chain, else the first, the last, and around what is marked. */
static int shown(int n, int at, int bad, int lost) {
    enum { SHORT = 40, ENDS = 3, AROUND = 5 };
    return n <= SHORT || at < ENDS || at >= n - ENDS || (bad >= 0 && abs(at - bad) <= AROUND) || (lost >= 0 && abs(at - lost) <= AROUND);
}

/* One line for the ops [from, to): the largest of them. */
static void folded(FILE *f, const bf_trace_chain *c, const bf_trace_record *r, int from, int to) {
    int top = from;
    long long inf = 0, nan = 0, over = 0;
    char size[32], blocks[40], first[16], last[16];
    for (int i = from; i < to; i++) {
        inf += r[i].inf, nan += r[i].nan, over += r[i].over;
        if (r[i].largest > r[top].largest) top = i;
    }
    block_text(&r[from], first), block_text(&r[to - 1], last);
    snprintf(blocks, sizeof blocks, "%s%s%s", first, strcmp(first, last) ? "-" : "", strcmp(first, last) ? last : "");
    fprintf(f, "%5s  %-34s %10s %8lld %7lld %7lld", blocks, inf + nan ? "..." : "... largest:", magnitude(r[top].largest, size), over, inf, nan);
    fprintf(f, "  at %s of block %d\n", c->line[r[top].line].label, r[top].block);
}

void bf_trace_table(FILE *f, const bf_trace_chain *c, const bf_trace_record *r, int n, int verbose) {
    int bad, lost;
    bf_trace_first(r, n, &bad, &lost);
    fprintf(f, "%5s  %-10s %-10s %-12s %10s %8s %7s %7s  %8s\n", "block", "op", "kind", "precision", "largest", ">65,504", "inf", "NaN", "off fp32");
    for (int i = 0; i < n; i++) {
        if (!verbose && !shown(n, i, bad, lost)) {
            int from = i;
            while (i + 1 < n && !shown(n, i + 1, bad, lost)) i++;
            folded(f, c, r, from, i + 1);
            continue;
        }
        row(f, c, &r[i], i == bad ? "  <== first not finite" : i == lost ? "  <== first lost" : "");
    }
}

static int64_t width_of(const bf_trace_chain *c, const bf_trace_record *r) { return c->line[r->line].width; }

void bf_trace_summary(FILE *f, const bf_trace_chain *c, const char *plan, const bf_trace_record *r, int n) {
    int bad, lost, top = 0, over = -1;
    char size[32], block[16], off[32];
    bf_trace_first(r, n, &bad, &lost);
    for (int i = 0; i < n; i++) {
        if (r[i].largest > r[top].largest) top = i;
        if (over < 0 && r[i].over) over = i;
    }
    if (!n) return;
    if (bad < 0) {
        fprintf(f, "%s stays finite in %s over %d blocks; largest %s at %s of block %s", c->name, plan, c->depth, magnitude(r[top].largest, size),
                c->line[r[top].line].label, block_text(&r[top], block));
        fprintf(f, "; the last result is off fp32 by %s.\n", off_text(r[n - 1].off, off));
        if (over >= 0) fprintf(f, "Beyond fp16 (65,504) first: op %d of the chain, %s (%s) of block %s.\n", over, c->line[r[over].line].label,
                               kind_of(c, &c->line[r[over].line]), block_text(&r[over], block));
    } else {
        const bf_trace_record *b = &r[bad];
        const bf_trace_line *l = &c->line[b->line];
        fprintf(f, "%s in %s: first not finite: op %d of the chain, %s (%s) of block %s, %s[%lld][%lld] = %g", c->name, plan, bad, l->label, kind_of(c, l),
                block_text(b, block), l->label, (long long)(b->first / width_of(c, b)), (long long)(b->first % width_of(c, b)), b->got);
        if (!isnan(b->want)) fprintf(f, ", in fp32 %.6g", b->want);
        fprintf(f, ".\n");
    }
    if (lost >= 0 && lost != bad && (bad < 0 || lost < bad))
        fprintf(f, "Lost before it is not finite (off fp32 by more than %g): op %d, %s of block %s.\n", BF_TRACE_LOST, lost, c->line[r[lost].line].label,
                block_text(&r[lost], block));
}

const char *bf_trace_set_text(const bf_trace_chain *c, unsigned set, char *text, size_t room) {
    size_t n = 0;
    snprintf(text, room, "nothing");
    for (int k = 0; k < c->kinds; k++)
        if (set & 1u << k && n < room) n += (size_t)snprintf(text + n, room - n, "%s%s", n ? ", " : "", c->kind[k]);
    return text;
}

void bf_trace_bisect_show(FILE *f, const bf_trace_chain *c, const char *plan, const bf_trace_bisect *b) {
    char text[512], block[16], off[32];
    if (b->size < 0) {
        fprintf(f, "bisect: no set of kinds makes %s finite in %s (%d sets tried, all kinds in fp32 among them).\n", c->name, plan, b->tried);
        return;
    }
    if (!b->size) {
        fprintf(f, "bisect: %s in %s is finite as it is: nothing has to be widened.\n", c->name, plan);
        return;
    }
    fprintf(f, "bisect: %s in %s is finite with in fp32: %s", c->name, plan, bf_trace_set_text(c, b->set[0], text, sizeof text));
    fprintf(f, " (%d of %d kinds; result off fp32 by %s).\n", b->size, c->kinds, off_text(b->result.off, off));
    for (int i = 1; i < b->sets && i < BF_TRACE_SETS; i++) fprintf(f, "        as small: %s\n", bf_trace_set_text(c, b->set[i], text, sizeof text));
    fprintf(f, "        %d sets tried: every smaller one fails.\n", b->tried);
    for (int k = 0; k < c->kinds; k++)
        if (b->set[0] & 1u << k)
            fprintf(f, "        without %-10s fails at %s (%s) of block %s\n", c->kind[k], c->line[b->without[k].line].label,
                    kind_of(c, &c->line[b->without[k].line]), block_text(&b->without[k], block));
}

void bf_trace_list(FILE *f, const bf_trace_chain *c) {
    char text[512];
    fprintf(f, "%s: %d blocks, %lld tokens, kinds: %s\n", c->name, c->depth, (long long)c->tokens, bf_trace_set_text(c, (1u << c->kinds) - 1, text, sizeof text));
    for (int i = 0; i < c->lines; i++) {
        const bf_trace_line *l = &c->line[i];
        if (i == c->begin) fprintf(f, "block (%d times)\n", c->depth);
        if (i == c->end) fprintf(f, "after\n");
        fprintf(f, "  %-10s %-10s %-10s %lld x %lld", l->label, kind_of(c, l), bf_trace_op_name[l->op], (long long)l->rows, (long long)l->width);
        if (l->op == BF_TRACE_LINEAR) fprintf(f, " from %lld", (long long)l->k);
        if (l->op == BF_TRACE_ATTENTION) fprintf(f, ", %lld heads over %lld, %s", (long long)l->heads, (long long)l->kv_heads, l->causal ? "causal" : "both ways");
        fputc('\n', f);
    }
}

/* ---- JSON ---- */

static json_t *place_json(const char *type, const bf_trace_chain *c, const char *place) {
    return json_pack("{s:s, s:s, s:s}", "type", type, "chain", c->name, "backend", place);
}
static void add(json_t *to, json_t *from) {
    json_object_update(to, from);
    json_decref(from);
}

/* Infinity is a word: JSON has none, and null stands for what was not run. */
static json_t *number(double v) { return isinf(v) ? json_string(v > 0 ? "inf" : "-inf") : isnan(v) ? json_null() : json_real(v); }

static json_t *record_json(const bf_trace_chain *c, const bf_trace_record *r) {
    const bf_trace_line *l = &c->line[r->line];
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:s, s:o, s:o}", "block", r->block, "label", l->label, "kind", kind_of(c, l),
                     "op", bf_trace_op_name[l->op], "mode", bf_trace_mode_name[r->mode], "values", (json_int_t)r->values, "largest", number(r->largest),
                     "over", (json_int_t)r->over, "inf", (json_int_t)r->inf, "nan", (json_int_t)r->nan, "first", (json_int_t)r->first, "got",
                     r->first < 0 ? "" : isnan(r->got) ? "NaN" : r->got > 0 ? "inf" : "-inf", "want", number(r->want), "off", number(r->off));
}

json_t *bf_trace_record_json(const bf_trace_chain *c, const bf_trace_record *r, const char *place) {
    json_t *o = place_json("trace-op", c, place);
    add(o, record_json(c, r));
    return o;
}

json_t *bf_trace_summary_json(const bf_trace_chain *c, const char *plan, const bf_trace_record *r, int n, const char *place) {
    int bad, lost;
    json_t *o = place_json("trace", c, place);
    bf_trace_first(r, n, &bad, &lost);
    json_object_set_new(o, "plan", json_string(plan));
    json_object_set_new(o, "depth", json_integer(c->depth));
    json_object_set_new(o, "ops", json_integer(n));
    json_object_set_new(o, "finite", json_boolean(bad < 0));
    json_object_set_new(o, "first_bad_op", bad < 0 ? json_null() : json_integer(bad));
    json_object_set_new(o, "first_bad", bad < 0 ? json_null() : record_json(c, &r[bad]));
    json_object_set_new(o, "first_lost", lost < 0 ? json_null() : record_json(c, &r[lost]));
    return o;
}

static json_t *set_json(const bf_trace_chain *c, unsigned set) {
    json_t *a = json_array();
    for (int k = 0; k < c->kinds; k++)
        if (set & 1u << k) json_array_append_new(a, json_string(c->kind[k]));
    return a;
}

json_t *bf_trace_bisect_json(const bf_trace_chain *c, const char *plan, const bf_trace_bisect *b, const char *place) {
    json_t *o = place_json("trace-bisect", c, place), *sets = json_array(), *without = json_object();
    for (int i = 0; i < b->sets && i < BF_TRACE_SETS; i++) json_array_append_new(sets, set_json(c, b->set[i]));
    for (int k = 0; b->size > 0 && k < c->kinds; k++)
        if (b->set[0] & 1u << k) json_object_set_new(without, c->kind[k], record_json(c, &b->without[k]));
    json_object_set_new(o, "plan", json_string(plan));
    json_object_set_new(o, "size", json_integer(b->size));
    json_object_set_new(o, "tried", json_integer(b->tried));
    json_object_set_new(o, "kinds", set_json(c, (1u << c->kinds) - 1));
    json_object_set_new(o, "sets", sets);
    json_object_set_new(o, "without", without);
    json_object_set_new(o, "off", b->size < 0 ? json_null() : number(b->result.off));
    return o;
}
