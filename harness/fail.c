/* fail.c: `blackframe fail`: the catalogue on every device, each entry's broken way beside its sound one. */
#define _GNU_SOURCE
#include "fail.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail_show.h"
#include "options.h"
#include "record.h"
#include "runner.h"
#include "worker.h"

enum { MAX_ENTRIES = 64 };

static volatile int interrupted;
static void on_interrupt(int sig) { (void)sig, interrupted = 1; }

typedef struct fail {
    bf_options *o;
    bf_discovery found;
    const bf_fail_entry *entry[MAX_ENTRIES];
    int entries;
    bf_fail_result *result; /* [device][entry] */
    unsigned char have[BF_MAX_DEVICES][MAX_ENTRIES];
    int proved[BF_MAX_DEVICES];
    bf_record *record;
    long reproduced, not_reproduced, measured, skipped, refused;
    int shown; /* entries printed so far */
} fail;

typedef struct device_work {
    fail *f;
    int device;
    int job[MAX_ENTRIES]; /* indices into entry[] */
    bf_context *context;
} device_work;

/* ---- in the child ---- */

static int child_open(bf_worker *w, bf_error *err) {
    device_work *d = w->user;
    d->context = bf_open_proved(&d->f->found.device[d->device], err);
    return d->context ? 0 : -1;
}

static int child_job(bf_worker *w, size_t index, void *row) {
    device_work *d = w->user;
    const bf_device *dev = &d->f->found.device[d->device];
    bf_lab lab = {dev->backend, d->context, dev, d->f->o->program};
    bf_failure_run(&lab, d->f->entry[d->job[index]], row);
    return dev->backend->lost && dev->backend->lost(d->context);
}

/* ---- in the parent ---- */

/* Faults happen once a run, on behalf of the first device. */
static int runs_on(const fail *f, int entry, int device) {
    return f->entry[entry]->kind != BF_FAIL_FAULT || device == 0;
}

static const char *place(const fail *f, int entry, int device) {
    return f->entry[entry]->kind == BF_FAIL_FAULT ? "host" : f->found.device[device].backend->name;
}

static void record(fail *f, int device, int entry, const bf_fail_result *r) {
    const bf_fail_entry *e = f->entry[entry];
    char suite[64], text[320];
    bf_record_line(f->record, bf_fail_json(e, r, place(f, entry, device), &f->found.device[device], f->o->program));
    snprintf(suite, sizeof suite, "%s.fail", place(f, entry, device));
    snprintf(text, sizeof text, "%s: %s", bf_fail_verdict_name(r->verdict), r->why);
    bf_record_test(f->record, suite, e->id, r->seconds, r->verdict == BF_SKIPPED,
                   r->verdict == BF_NOT_REPRODUCED || r->verdict == BF_SKIPPED ? text : NULL);
}

/* Prints what is complete, in the order of the catalogue. */
static void show(fail *f, int all) {
    for (; f->shown < f->entries; f->shown++) {
        int n = 0, missing = 0, e = f->shown;
        bf_fail_shown s[BF_MAX_DEVICES];
        for (int d = 0; d < f->found.devices; d++) {
            if (!runs_on(f, e, d)) continue;
            if (f->have[d][e])
                s[n++] = (bf_fail_shown){place(f, e, d), &f->result[d * MAX_ENTRIES + e]};
            else
                missing = 1;
        }
        if (missing && !all) return;
        if (n) bf_fail_show(stdout, bf_fail_width(stdout), f->entry[e], s, n, f->o->verbose, f->o->program);
        fflush(stdout);
    }
}

static void take(fail *f, int device, int entry, const bf_fail_result *r) {
    f->result[device * MAX_ENTRIES + entry] = *r, f->have[device][entry] = 1;
    *(r->verdict == BF_REPRODUCED ? &f->reproduced
      : r->verdict == BF_MEASURED ? &f->measured
      : r->verdict == BF_SKIPPED  ? &f->skipped
                                  : &f->not_reproduced) += 1;
    record(f, device, entry, r);
    show(f, 0);
}

static void ready(bf_worker *w) {
    device_work *d = w->user;
    if (!d->f->proved[d->device]++) bf_record_line(d->f->record, bf_record_device(&d->f->found.device[d->device], 1));
}
static void done(bf_worker *w, size_t index, const void *row) {
    device_work *d = w->user;
    take(d->f, d->device, d->job[index], row);
}
static void lost(bf_worker *w, size_t index, bf_status status, const char *why) {
    device_work *d = w->user;
    static bf_fail_result result; /* large, and must not fail */
    bf_fail_result *r = &result;
    memset(r, 0, sizeof *r);
    r->verdict = BF_NOT_REPRODUCED;
    snprintf(r->why, sizeof r->why, "%s: %.200s", bf_status_name(status), why);
    take(d->f, d->device, d->job[index], r);
}
static void refused(bf_worker *w, const char *why) {
    device_work *d = w->user;
    const bf_device *dev = &d->f->found.device[d->device];
    printf("REFUSED    %s %s: %s\n", dev->backend->name, dev->name, why);
    bf_record_line(d->f->record, json_pack("{s:s, s:s, s:i, s:s}", "type", "refused", "backend", dev->backend->name,
                                           "device", dev->index, "why", why));
    bf_record_test(d->f->record, dev->backend->name, "open and prove", 0, 0, why);
    d->f->refused++;
}

/* One pass over all devices: measurements come last and alone, so that nothing runs beside them. */
static int pass(fail *f, int measurements, bf_error *err) {
    device_work work[BF_MAX_DEVICES];
    bf_worker worker[BF_MAX_DEVICES];
    size_t jobs = 0, workers = 0;
    memset(work, 0, sizeof work);
    memset(worker, 0, sizeof worker);
    for (int d = 0; d < f->found.devices; d++) {
        size_t n = 0;
        for (int e = 0; e < f->entries; e++)
            if (runs_on(f, e, d) && (f->entry[e]->kind == BF_FAIL_MEASUREMENT) == measurements)
                work[workers].job[n++] = e;
        if (!n) continue;
        work[workers].f = f, work[workers].device = d, jobs += n;
        worker[workers] = (bf_worker){.user = &work[workers],
                                      .jobs = n,
                                      .row_bytes = sizeof(bf_fail_result),
                                      .timeout = f->o->timeout,
                                      .exclusive = measurements,
                                      .open = child_open,
                                      .job = child_job,
                                      .ready = ready,
                                      .done = done,
                                      .lost = lost,
                                      .refused = refused};
        workers++;
    }
    if (!jobs || interrupted) return 0;
    return bf_workers_run(worker, workers, measurements ? 1 : (int)sysconf(_SC_NPROCESSORS_ONLN), &interrupted, err);
}

static int summary(fail *f) {
    long failed = f->not_reproduced + f->refused;
    for (int e = 0; e < f->entries && f->not_reproduced; e++)
        for (int d = 0; d < f->found.devices; d++) {
            const bf_fail_result *r = &f->result[d * MAX_ENTRIES + e];
            if (f->have[d][e] && r->verdict == BF_NOT_REPRODUCED)
                printf("\nNOT REPRODUCED %s on %s: %s", f->entry[e]->id, place(f, e, d), r->why);
        }
    printf("%s\n%ld reproduced, %ld not reproduced, %ld measured, %ld skipped\n", f->not_reproduced ? "\n" : "",
           f->reproduced, f->not_reproduced, f->measured, f->skipped);
    bf_record_line(f->record, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "type", "summary", "reproduced",
                                        (json_int_t)f->reproduced, "not_reproduced", (json_int_t)f->not_reproduced,
                                        "measured", (json_int_t)f->measured, "skipped", (json_int_t)f->skipped,
                                        "refused", (json_int_t)f->refused, "interrupted", interrupted));
    if (interrupted) puts("interrupted");
    printf("%ld passed, %ld failed, %ld skipped\n", f->reproduced + f->measured, failed, f->skipped);
    return failed || interrupted ? BF_EXIT_FAILED : BF_EXIT_OK;
}

/* Names those whose description has the word: people come with what they see. */
static int unknown(const char *word, bf_error *err) {
    char found[300] = "";
    size_t n = 0;
    for (int i = 0; bf_failures[i]; i++) {
        const bf_fail_entry *e = bf_failures[i];
        if (!strcasestr(e->name, word) && !strcasestr(e->mechanism, word) && !strcasestr(e->fix, word)) continue;
        int w = snprintf(found + n, sizeof found - n, "%s%s %s", n ? ", " : "", e->id, e->name);
        if ((size_t)w >= sizeof found - n) {
            found[n] = 0; /* no name in part */
            break;
        }
        n += (size_t)w;
    }
    return bf_fail(err, "unknown failure '%.60s' (%s%s%s`blackframe fail --list` names all)", word, n ? "it stands in: " : "", found, n ? "; " : "");
}

/* The entries named by the words, each once, in the order of the catalogue. */
static int choose(fail *f, bf_error *err) {
    const bf_selection *s = &f->o->select;
    for (int w = 0; w < s->word_count; w++)
        if (!bf_failure_find(s->words[w])) return unknown(s->words[w], err);
    for (int i = 0; bf_failures[i] && f->entries < MAX_ENTRIES; i++) {
        int wanted = !s->word_count;
        for (int w = 0; w < s->word_count; w++) wanted |= bf_failure_find(s->words[w]) == bf_failures[i];
        if (wanted) f->entry[f->entries++] = bf_failures[i];
    }
    return 0;
}

static int run(fail *f, bf_error *err) {
    int status = bf_select_devices(&f->o->select, &f->found, err);
    if (status) return status;
    f->record = bf_record_open(f->o->json, f->o->junit, err);
    if (!f->record) return BF_EXIT_USAGE;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGPIPE, SIG_IGN);
    bf_record_line(f->record, bf_record_run("fail", f->o->argc, f->o->argv));
    for (int i = 0; i < f->found.devices; i++)
        printf("device     %s: %s, %s, %s\n", f->found.device[i].backend->name, f->found.device[i].name,
               f->found.device[i].arch, f->found.device[i].object);
    if (pass(f, 0, err) || pass(f, 1, err)) return BF_EXIT_USAGE;
    show(f, 1);
    status = summary(f);
    if (f->refused && !interrupted && bf_select_proved(&f->o->select, &f->found, f->proved, err))
        status = BF_EXIT_NO_DEVICE;
    if (bf_record_close(f->record, err)) status = BF_EXIT_USAGE;
    f->record = NULL;
    return status;
}

int bf_command_fail(bf_options *o) {
    bf_error err = {{0}};
    fail *f = calloc(1, sizeof *f);
    if (f) f->result = calloc((size_t)BF_MAX_DEVICES * MAX_ENTRIES, sizeof *f->result);
    if (!f || !f->result) {
        fprintf(stderr, "blackframe: out of memory\n");
        free(f);
        return BF_EXIT_USAGE;
    }
    f->o = o;
    int status = choose(f, &err) ? BF_EXIT_USAGE : BF_EXIT_OK;
    if (!status && o->list)
        bf_fail_list(stdout, bf_fail_width(stdout), f->entry, f->entries);
    else if (!status)
        status = run(f, &err);
    if (err.text[0]) fprintf(stderr, "blackframe: %s\n", err.text);
    bf_record_abandon(f->record); /* of a run that did not come to its end */
    free(f->result);
    free(f);
    return status;
}
