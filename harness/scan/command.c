/* command.c: `blackframe scan FILE...`: tables by risk, the plan by layer type, JSON Lines. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../options.h"
#include "../record.h"
#include "../trace_chain.h"
#include "scan.h"

enum { SHOWN = 20 };

static const char *power(double x, char text[24]) {
    if (x == 0) snprintf(text, 24, "0");
    else if (x < 1e-3) snprintf(text, 24, "2^%.1f", log2(x));
    else snprintf(text, 24, "%.4g", x);
    return text;
}

static const char *percent(uint64_t part, uint64_t whole, char text[24]) {
    if (!part) snprintf(text, 24, "0");
    else snprintf(text, 24, "%.2g %%", 100 * (double)part / (double)whole);
    return text;
}

static void show_tensor(const bf_scan_tensor *s, int basic) {
    const uint64_t *l = s->c.level;
    char bits[24] = "-", survives[24] = "-", large[24], zero[24], sub[24], error[24] = "-", advice[160];
    if (isfinite(s->headroom)) snprintf(bits, sizeof bits, "%+.1f", s->headroom), snprintf(survives, sizeof survives, "%.4g", s->estimate);
    if (!basic) power((double)s->error, error);
    char name[256];
    printf("%-11s %6s %9s %9s %7llu %8s %8s %9s  %s (%s, %llu x %llu)\n", bf_scan_verdict_name[s->verdict], bits, survives, power(s->largest, large),
           (unsigned long long)(l[BF_SCAN_OVER] - l[BF_SCAN_INF]), percent(l[BF_SCAN_NONZERO] - l[BF_SCAN_KEPT], s->c.values, zero),
           percent(l[BF_SCAN_KEPT] - l[BF_SCAN_NORMAL], s->c.values, sub), error, bf_printable(s->t->name, name, sizeof name), s->t->type, (unsigned long long)s->t->rows,
           (unsigned long long)s->t->row);
    if (s->verdict < BF_SCAN_OVERFLOW) return;
    bf_scan_advice(s, advice, sizeof advice);
    printf("%11s first at element %llu (row %llu, column %llu): %s\n", "", (unsigned long long)s->first,
           (unsigned long long)(s->t->row ? s->first / s->t->row : 0), (unsigned long long)(s->t->row ? s->first % s->t->row : 0), advice);
}

static int by_risk(const void *a, const void *b) {
    const bf_scan_tensor *s = *(const bf_scan_tensor *const *)a, *t = *(const bf_scan_tensor *const *)b;
    if (s->verdict != t->verdict) return s->verdict > t->verdict ? -1 : 1;
    if (isnan(s->headroom) != isnan(t->headroom)) return isnan(s->headroom) ? -1 : 1; /* damaged weights have none */
    if (s->headroom < t->headroom || s->headroom > t->headroom) return s->headroom < t->headroom ? -1 : 1;
    return s < t ? -1 : s > t;
}

static int show_tensors(const bf_scan *s, int all, bf_error *err) {
    size_t n = bf_model_count(s->model), shown = 0;
    const bf_scan_tensor **order = malloc((n + 1) * sizeof *order);
    if (!order) return bf_fail(err, "out of memory");
    for (size_t i = 0; i < n; i++) order[i] = &s->tensor[i];
    qsort(order, n, sizeof *order, by_risk);
    puts("\nverdict       bits  survives   largest  to inf  to zero subnorm. worst err  tensor (type, rows x row)\n"
         "              left       |x|       |w| as fp16  as fp16  as fp16   as fp16");
    for (; shown < n && (all || shown < SHOWN); shown++) show_tensor(order[shown], s->basic);
    if (shown < n) printf("... %zu more, none of higher risk: --verbose\n", n - shown);
    free(order);
    return 0;
}

static int show_plan(const bf_scan *s, bf_error *err) {
    int count;
    bf_scan_group *g = bf_scan_groups(s, &count);
    if (!g) return bf_fail(err, "out of memory");
    printf("\nplan, by layer type:\n");
    for (int i = 0; i < count; i++) {
        char advice[160];
        bf_scan_advice(g[i].worst, advice, sizeof advice);
        printf("  %-46s %4d x  %-11s %s\n", g[i].name, g[i].tensors, bf_scan_verdict_name[g[i].worst->verdict], advice);
    }
    bf_scan_groups_free(g, count);
    return 0;
}

/* Lines of the chain that the plan wants in fp32: those with weights in trouble; and where sums have no headroom the result may be
 * large, so what reads it too, up to a norm, which makes it small again. */
static void mark(const bf_trace_chain *c, const bf_scan_group *g, int groups, char fp32[BF_TRACE_LINES]) {
    char large[BF_TRACE_VALUES] = {0};
    for (int i = 0; i < c->lines; i++)
        for (int k = 0; k < groups; k++) {
            const bf_trace_line *l = &c->line[i];
            if (g[k].worst->verdict < BF_SCAN_LOSSY || !g[k].name[0] || (strcmp(g[k].name, l->tensor) && strcmp(g[k].name, l->gguf))) continue;
            fp32[i] = 1;
            if (g[k].worst->verdict > BF_SCAN_LOSSY && l->result >= 0) large[l->result] = 1;
        }
    for (int changed = 1; changed;) {
        changed = 0;
        for (int i = 0; i < c->lines; i++)
            for (int k = 0; k < 3; k++) {
                const bf_trace_line *l = &c->line[i];
                if (l->operand[k] < 0 || l->op == BF_TRACE_INPUT || !large[l->operand[k]]) continue;
                fp32[i] = 1;
                if (l->op == BF_TRACE_NORM || large[l->result]) continue;
                large[l->result] = 1, changed = 1;
            }
    }
}

/* The trace that applies the plan. */
static int show_trace(const bf_scan *s, const bf_options *o, bf_error *err) {
    bf_trace_chain *c = malloc(sizeof *c);
    char fp32[BF_TRACE_LINES] = {0};
    int count = 0, any = 0;
    bf_scan_group *g = c ? bf_scan_groups(s, &count) : NULL;
    bf_trace_sizes sizes = {.real = 1};
    int status = g ? bf_trace_load(o->chain_name, bf_cases_directory(o->select.cases), &sizes, c, err) : bf_fail(err, "out of memory");
    if (!status) {
        mark(c, g, count, fp32);
        printf("\nthe plan, applied:\n  blackframe trace %s --plan fp16 --weights %s", o->chain_name, o->select.words[0]);
        for (int i = 0; i < c->lines; i++) {
            int again = 0;
            for (int k = 0; k < i; k++) again |= fp32[k] && !strcmp(c->line[k].label, c->line[i].label);
            if (fp32[i] && !again) printf(" --set %s=fp32", c->line[i].label), any = 1;
        }
        puts(any ? "" : "   (no weight that the chain names is in trouble)");
    }
    bf_scan_groups_free(g, count), free(c);
    return status;
}

static void record(bf_record *r, const bf_scan *s) {
    for (size_t i = 0; i < bf_model_count(s->model); i++) {
        const bf_scan_tensor *t = &s->tensor[i];
        const uint64_t *l = t->c.level;
        char advice[160];
        bf_scan_advice(t, advice, sizeof advice);
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s}", "type", "scan", "tensor", t->t->name, "file", bf_model_file(s->model, t->t->file),
                              "stored", t->t->type, "rows", (json_int_t)t->t->rows, "row", (json_int_t)t->t->row, "verdict",
                              bf_scan_verdict_name[t->verdict], "advice", advice);
        const struct { const char *name; uint64_t n; } counts[] = {
            {"values", t->c.values}, {"zero", t->c.values - l[BF_SCAN_NONZERO]}, {"nan", l[BF_SCAN_NAN]}, {"inf", l[BF_SCAN_INF] - l[BF_SCAN_NAN]},
            {"to_inf", l[BF_SCAN_OVER] - l[BF_SCAN_INF]}, {"to_zero", l[BF_SCAN_NONZERO] - l[BF_SCAN_KEPT]},
            {"to_subnormal", l[BF_SCAN_KEPT] - l[BF_SCAN_NORMAL]}, {"bad_blocks", t->bad_blocks}, {"offset", t->t->offset},
        };
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) json_object_set_new(o, counts[k].name, json_integer((json_int_t)counts[k].n));
        json_object_set_new(o, "largest", bf_json_real(t->largest)), json_object_set_new(o, "smallest", bf_json_real(t->smallest));
        if (t->verdict >= BF_SCAN_OVERFLOW) json_object_set_new(o, "first", json_integer((json_int_t)t->first));
        if (!s->basic && t->verdict != BF_SCAN_UNREAD) {
            json_t *columns = json_array();
            for (int k = 0; k < BF_SCAN_OUTLIERS && t->outlier_times[k] > 0; k++)
                json_array_append_new(columns, json_pack("{s:I, s:f}", "column", (json_int_t)t->outlier[k], "of_median", t->outlier_times[k]));
            json_object_update_new(o, json_pack("{s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "norm1", bf_json_real(t->norm1), "norm2",
                bf_json_real(t->norm2), "norm1_row", (json_int_t)t->norm1_row, "norm2_row", (json_int_t)t->norm2_row, "worst_error",
                bf_json_real((double)t->error), "survives", bf_json_real(t->estimate), "survives_guaranteed", bf_json_real(t->guarantee), "survives_random",
                bf_json_real(t->random), "headroom_bits", bf_json_real(t->headroom), "outlier_columns", (json_int_t)t->outlier_columns, "outliers", columns));
            if (t->t->blocks) json_object_set_new(o, "survives_int8_block_sum", json_real(65504.0 / 32));
        }
        bf_record_line(r, o);
    }
}

static void show_speed(const bf_scan *s) {
    printf("\n%.2f GB in %.2f s: %.1f GB/s, %d threads%s", 1e-9 * (double)s->bytes, s->seconds, 1e-9 * (double)s->bytes / s->seconds, s->threads,
           s->basic ? ", counts and range only" : "");
    if (s->read_seconds > 0)
        printf("; read(2) of the same file in this run: %.1f GB/s, so %.0f %% of it", 1e-9 * (double)s->bytes / s->read_seconds,
               100 * s->read_seconds / s->seconds);
    if (s->private_bytes) printf("; %.1f MB of private memory", 1e-6 * (double)s->private_bytes);
    puts("");
}

static int scan_file(const bf_options *o, const char *path, bf_record *r, int *troubled, bf_error *err) {
    bf_scan s = {0};
    long verdict[BF_SCAN_VERDICTS] = {0};
    bf_model *m = bf_model_open(path, err);
    if (!m) return -1;
    int status = bf_scan_run(&s, m, o->basic, o->threads, o->read_too, err);
    if (!status) {
        uint64_t values = 0;
        for (size_t i = 0; i < bf_model_count(m); i++) {
            bf_scan_judge(&s.tensor[i], o->basic, o->amplitude);
            verdict[s.tensor[i].verdict]++, values += s.tensor[i].t->elements;
        }
        printf("%s: %s, %d file%s, %zu tensors, %.4g million values; largest activation expected: %g\n", path, bf_model_format(m), bf_model_files(m),
               bf_model_files(m) == 1 ? "" : "s", bf_model_count(m), 1e-6 * (double)values, o->amplitude);
        record(r, &s);
        status = show_tensors(&s, o->verbose, err);
        if (!status) status = show_plan(&s, err);
        if (!status && o->chain_name) status = show_trace(&s, o, err);
        if (!status) show_speed(&s);
        json_t *sum = json_pack("{s:s, s:s, s:I, s:f, s:f, s:i, s:b, s:f, s:I}", "type", "scan_summary", "file", path, "bytes", (json_int_t)s.bytes, "seconds",
                                s.seconds, "read_seconds", s.read_seconds, "threads", s.threads, "basic", o->basic, "amplitude", o->amplitude,
                                "private_bytes", (json_int_t)s.private_bytes);
        for (int i = 0; i < BF_SCAN_VERDICTS; i++) {
            json_object_set_new(sum, bf_scan_verdict_name[i], json_integer(verdict[i]));
            if (verdict[i]) printf("%s%ld %s", i ? ", " : "", verdict[i], bf_scan_verdict_name[i]);
        }
        puts("");
        bf_record_line(r, sum);
        *troubled |= verdict[BF_SCAN_OVERFLOW] || verdict[BF_SCAN_DAMAGED];
    }
    bf_scan_free(&s), bf_model_close(m);
    return status;
}

int bf_command_scan(bf_options *o) {
    bf_error err = {{0}};
    int troubled = 0, status = 0;
    bf_record *r = NULL;
    if (!o->select.word_count) status = bf_fail(&err, "scan: no file (FILE.gguf, FILE.safetensors, or FILE.safetensors.index.json)");
    if (!status && !(r = bf_record_open(o->json, NULL, &err))) status = -1;
    if (!status) bf_record_line(r, bf_record_run("scan", o->argc, o->argv));
    int scanned = 0;
    for (; !status && scanned < o->select.word_count; scanned += !status) status = scan_file(o, o->select.words[scanned], r, &troubled, &err);
    if (status && !scanned) bf_record_abandon(r);
    else if (r && bf_record_close(r, status ? NULL : &err)) status = -1;
    if (status) fprintf(stderr, "blackframe: %s\n", err.text);
    return status ? BF_EXIT_USAGE : troubled ? BF_EXIT_FAILED : BF_EXIT_OK;
}
