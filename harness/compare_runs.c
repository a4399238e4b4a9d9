/* compare_runs.c: `blackframe compare OLD NEW`: two records of bench side by side. */
#define _GNU_SOURCE
#include "compare_runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "record.h"

#define COMPUTE_BOUND 8 /* flops a byte, as in bench: memory is no limit there */

const char *bf_change_verdict_name(bf_change_verdict v) {
    static const char *const name[] = {"SAME", "FASTER", "SLOWER", "AMBIGUOUS"};
    return name[v];
}

/* Not hypot: its present symbol needs glibc 2.35. */
static double in_squares(double a, double b) { return sqrt(a * a + b * b); }

bf_interval bf_quotient(bf_interval a, bf_interval b) {
    double q = a.median / b.median;
    double down = in_squares(log(a.median / a.low), log(b.high / b.median));
    double up = in_squares(log(a.high / a.median), log(b.median / b.low));
    return (bf_interval){q, q * exp(-down), q * exp(up)};
}

static bf_change_verdict verdict_of(bf_interval speed, double threshold) {
    double most = 1 + threshold;
    if (speed.low >= 1 / most && speed.high <= most) return BF_SAME;
    if (speed.low > 1 && speed.median > most) return BF_FASTER;
    if (speed.high < 1 && speed.median < 1 / most) return BF_SLOWER;
    return BF_AMBIGUOUS;
}

bf_change bf_change_of(const bf_bench_line *was, const bf_bench_line *is, double threshold) {
    bf_change c = {.verdict = BF_AMBIGUOUS, .by = "ratio", .note = ""};
    if (was->status >= BF_INVALID || is->status >= BF_INVALID) {
        const bf_bench_line *worst = was->status > is->status ? was : is;
        c.by = "-", c.note = worst->status == BF_INVALID ? "above its ceiling: measured wrongly" : "not timed";
        c.speed = (bf_interval){1, 1, 1};
        return c;
    }
    bf_interval by_ratio = bf_quotient(is->ratio, was->ratio), by_time = bf_quotient(was->seconds, is->seconds);
    bf_change_verdict ratio = verdict_of(by_ratio, threshold), time = verdict_of(by_time, threshold);
    int time_only = !strcmp(was->op, "stream") || was->status == BF_SHORT || is->status == BF_SHORT ||
                    was->intensity > COMPUTE_BOUND;
    c.speed = time_only ? by_time : by_ratio, c.verdict = time_only ? time : ratio;
    if (time_only) c.by = "time";
    else if (strcmp(was->ceiling, is->ceiling) || !*was->ceiling) {
        c.by = "both";
        if (ratio != time) c.verdict = BF_AMBIGUOUS, c.note = "other ceilings, and ratios and times disagree";
    }
    return c;
}

/* ---- the command ---- */

typedef struct comparison {
    bf_bench_list side[2]; /* OLD, NEW */
    long verdict[4], broken, alone[2];
    bf_record *record;
    bf_options *o;
} comparison;

/* FILE or FILE,FILE,...; a file that has a comma in its name is taken whole. */
static int read_side(const char *word, bf_bench_list *list, bf_error *err) {
    char *copy = strdup(word), *rest = copy;
    int rc = copy ? 0 : bf_fail(err, "out of memory");
    if (!rc && (!strchr(word, ',') || !access(word, F_OK))) rc = bf_bench_list_read(word, list, err);
    else
        for (char *one; !rc && (one = strsep(&rest, ","));) rc = bf_bench_list_read(one, list, err);
    free(copy);
    if (!rc && !list->count) rc = bf_fail(err, "%s: no timing in it: make one with blackframe bench --json FILE", word);
    if (!rc) bf_bench_list_merge(list);
    return rc;
}

static void show(comparison *c, const bf_bench_line *was, const bf_bench_line *is) {
    bf_change change = bf_change_of(was, is, c->o->threshold);
    int broken = is->status == BF_NOT_TIMED && was->status != BF_NOT_TIMED;
    c->verdict[change.verdict]++, c->broken += broken;
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "type", "change", "backend", is->backend,
                            "name", is->device, "kernel", is->kernel, "case", is->what, "verdict",
                            bf_change_verdict_name(change.verdict), "by", change.by, "note", change.note, "status",
                            bf_bench_status_name(is->status), "broken", broken);
    json_object_set_new(row, "speed", json_pack("{s:f, s:f, s:f}", "median", change.speed.median, "low", change.speed.low,
                                                "high", change.speed.high));
    json_object_set_new(row, "old_s", bf_json_real(was->seconds.median));
    json_object_set_new(row, "new_s", bf_json_real(is->seconds.median));
    bf_record_line(c->record, row);
    if (change.verdict == BF_SAME && !c->o->verbose) return;
    printf("%-9s %-9s %-32s ", bf_change_verdict_name(change.verdict), is->backend, is->kernel);
    if (*change.by == '-') printf("%-36s", change.note);
    else
        printf("%+7.2f %% [%+7.2f, %+7.2f] by %-5s", 100 * (change.speed.median - 1), 100 * (change.speed.low - 1),
               100 * (change.speed.high - 1), change.by);
    printf("%s\n%20s%s", broken ? "  BROKEN: it was timed before" : "", "", is->what);
    printf(*change.by != '-' && *change.note ? "; %s\n" : "%s\n", *change.by != '-' ? change.note : "");
}

static void alone(comparison *c, int side, const bf_bench_line *l) {
    c->alone[side]++;
    printf("only %s  %-9s %-32s %s\n", side ? "NEW" : "OLD", l->backend, l->kernel, l->what);
}

static int compare(comparison *c, bf_error *err) {
    const bf_bench_list *was = &c->side[0], *is = &c->side[1];
    long both = 0;
    for (size_t i = 0, j = 0; i < was->count || j < is->count;) {
        int by = i == was->count ? 1 : j == is->count ? -1 : bf_bench_line_order(&was->line[i], &is->line[j]);
        if (!by) show(c, &was->line[i++], &is->line[j++]), both++;
        else if (by < 0) alone(c, 0, &was->line[i++]);
        else alone(c, 1, &is->line[j++]);
    }
    return both ? 0 : bf_fail(err, "%s, %s: no kernel, case and device that both have", c->o->select.words[0], c->o->select.words[1]);
}

int bf_command_compare(bf_options *o) {
    if (o->outputs) return bf_command_compare_outputs(o);
    comparison c = {.o = o};
    bf_error err = {{0}};
    int rc = o->select.word_count == 2 ? 0 : bf_fail(&err, "compare: OLD and NEW are wanted, %d names were given", o->select.word_count);
    for (int i = 0; i < 2 && !rc; i++) rc = read_side(o->select.words[i], &c.side[i], &err);
    if (!rc && !(c.record = bf_record_open(o->json, NULL, &err))) rc = -1;
    if (!rc) bf_record_line(c.record, bf_record_run("compare", o->argc, o->argv));
    if (!rc) rc = compare(&c, &err);
    int status = c.verdict[BF_SLOWER] || c.broken ? BF_EXIT_FAILED : BF_EXIT_OK;
    if (!rc) {
        printf("%ld same, %ld faster, %ld slower, %ld ambiguous, %ld broken; only in OLD %ld, only in NEW %ld; threshold %g %%\n",
               c.verdict[BF_SAME], c.verdict[BF_FASTER], c.verdict[BF_SLOWER], c.verdict[BF_AMBIGUOUS], c.broken, c.alone[0],
               c.alone[1], 100 * o->threshold);
        bf_record_line(c.record, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "type", "summary", "same", (json_int_t)c.verdict[BF_SAME],
                                           "faster", (json_int_t)c.verdict[BF_FASTER], "slower", (json_int_t)c.verdict[BF_SLOWER],
                                           "ambiguous", (json_int_t)c.verdict[BF_AMBIGUOUS], "broken", (json_int_t)c.broken,
                                           "threshold", o->threshold));
    }
    if (rc) bf_record_abandon(c.record);
    else if (c.record && bf_record_close(c.record, &err)) rc = -1;
    for (int i = 0; i < 2; i++) bf_bench_list_free(&c.side[i]);
    if (rc) fprintf(stderr, "blackframe: %s\n", err.text);
    return rc ? BF_EXIT_USAGE : status;
}
