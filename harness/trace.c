/* trace.c: `blackframe trace`: a chain in a precision, on each device asked for, in a child of its own. */
#define _GNU_SOURCE
#include "trace.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../kernels/cpu/fp16.h"
#include "formats/npy.h"
#include "number.h"
#include "options.h"
#include "record.h"
#include "runner.h"
#include "trace_frame.h"
#include "trace_show.h"
#include "trace_weights.h"
#include "worker.h"

static volatile int interrupted;
static void on_interrupt(int sig) { (void)sig, interrupted = 1; }

/* What the child leaves behind, in memory shared with the parent: what was traced before a crash stays. */
typedef struct findings {
    int records, complete, bisected;
    bf_trace_record record[BF_TRACE_RECORDS];
    bf_trace_bisect bisect;
    int framed;
    bf_trace_frame frame;
    double seconds;
    bf_error err;
} findings;

typedef struct trace {
    bf_options *o;
    bf_discovery found;
    bf_trace_chain chain;
    bf_trace_settings settings;
    bf_trace_mode plan;
    char plan_text[512];
    bf_trace_weights *weights;
    float *inputs[BF_TRACE_LINES]; /* --input; NULL: synthetic */
    findings *of[BF_MAX_DEVICES];
    int proved[BF_MAX_DEVICES], failed, refused;
    bf_record *record;
} trace;

typedef struct device_work {
    trace *t;
    int device;
    bf_context *context;
} device_work;

/* ---- the command line ---- */

/* --set WHAT=MODE: every op of that kind, or with that label. */
static int override(trace *t, const char *text, bf_error *err) {
    char what[BF_TRACE_NAME], known[512];
    const char *equals = strchr(text, '=');
    int mode = equals ? bf_trace_mode_find(equals + 1) : -1, n = 0;
    if (!equals || (size_t)(equals - text) >= sizeof what) return bf_fail(err, "--set '%.60s': wants KIND=MODE or LABEL=MODE", text);
    if (mode < 0) return bf_fail(err, "--set '%.60s': unknown precision (fp32, fp16-weights, fp16, fp16-sums, bf16-as-fp16)", text);
    snprintf(what, sizeof what, "%.*s", (int)(equals - text), text);
    for (int i = 0; i < t->chain.lines; i++) {
        const bf_trace_line *l = &t->chain.line[i];
        if (l->op == BF_TRACE_INPUT || (strcmp(l->label, what) && strcmp(t->chain.kind[l->kind], what))) continue;
        t->settings.mode[i] = (bf_trace_mode)mode, n++;
    }
    if (!n)
        return bf_fail(err, "--set '%.60s': %s has no op of that kind or label (kinds: %s; labels: trace %s --list)", text, t->chain.name,
                       bf_trace_set_text(&t->chain, (1u << t->chain.kinds) - 1, known, sizeof known), t->chain.name);
    n = (int)strlen(t->plan_text);
    snprintf(t->plan_text + n, sizeof t->plan_text - (size_t)n, " with %s", text);
    return 0;
}

static int plan(trace *t, bf_error *err) {
    const char *name = t->o->plan ? t->o->plan : "fp16";
    int mode = bf_trace_plan(name);
    if (mode < 0) return bf_fail(err, "--plan '%.60s': unknown (fp16, bf16-as-fp16, fp16-sums, fp16-weights-fp32-math, fp32)", name);
    t->plan = (bf_trace_mode)mode;
    t->settings.seed = t->o->select.have_seed ? t->o->select.seed : 1;
    snprintf(t->plan_text, sizeof t->plan_text, "%s", name);
    for (int i = 0; i < t->chain.lines; i++) t->settings.mode[i] = t->chain.line[i].op == BF_TRACE_INPUT ? BF_TRACE_FP32 : t->plan;
    for (int i = 0; i < t->o->set_count; i++)
        if (override(t, t->o->sets[i], err)) return -1;
    return 0;
}

/* --input NAME=FILE: [rows][width] of f2, f4 or f8. */
static int read_input(trace *t, const char *text, bf_error *err) {
    const char *equals = strchr(text, '=');
    npy_array a;
    int line = -1;
    for (int i = 0; equals && i < t->chain.lines; i++)
        if (t->chain.line[i].op == BF_TRACE_INPUT && strlen(t->chain.line[i].label) == (size_t)(equals - text) &&
            !strncmp(t->chain.line[i].label, text, (size_t)(equals - text)))
            line = i;
    if (line < 0) return bf_fail(err, "--input '%.60s': %s has no such input (wants NAME=FILE.npy; trace %s --list)", text, t->chain.name, t->chain.name);
    const bf_trace_line *l = &t->chain.line[line];
    if (npy_open(equals + 1, &a, err)) return -1;
    int wide = a.type[1] == '8', half = a.type[1] == '2', rc = 0;
    if (a.type[0] != 'f' || a.rank != 2 || a.dim[0] != (uint64_t)l->rows || a.dim[1] != (uint64_t)l->width)
        rc = bf_fail(err, "%s: type %s, %llu x %llu (rank %d): input %s wants floating point, %lld x %lld (--size tokens=N, --size SYMBOL=N)", equals + 1, a.type,
                     a.rank ? (unsigned long long)a.dim[0] : 0, a.rank > 1 ? (unsigned long long)a.dim[1] : 0, a.rank, l->label, (long long)l->rows, (long long)l->width);
    float *v = rc ? NULL : malloc(a.elements * sizeof *v);
    if (!rc && !v) rc = bf_fail(err, "out of memory");
    for (uint64_t i = 0; !rc && i < a.elements; i++)
        v[i] = wide ? (float)((const double *)a.data)[i] : half ? bf_f16_value(((const uint16_t *)a.data)[i]) : ((const float *)a.data)[i];
    free(rc ? NULL : t->inputs[line]);
    if (!rc) t->inputs[line] = v;
    npy_close(&a);
    return rc;
}

/* --size: symbols, and tokens. */
static int sizes(const bf_options *o, bf_trace_sizes *s, const char *symbols[32], bf_error *err) {
    *s = (bf_trace_sizes){.real = o->real || o->select.weights, .depth = o->depth, .tokens = o->frame ? BF_TRACE_FRAME_TOKENS : 0, .set = symbols};
    for (int i = 0; i < o->size_count; i++) {
        if (!strchr(o->sizes[i], '=')) return bf_fail(err, "--size '%.60s': wants SYMBOL=NUMBER", o->sizes[i]);
        if (strncmp(o->sizes[i], "tokens=", 7)) {
            symbols[s->sets++] = o->sizes[i];
            continue;
        }
        if (bf_number_i64(o->sizes[i] + 7, &s->tokens) || s->tokens < 1 || s->tokens > 65536)
            return bf_fail(err, "--size '%.60s': tokens is an integer from 1 to 65536", o->sizes[i]);
    }
    return 0;
}

/* The picture in place of an input that no file gives. */
static int frame(trace *t, bf_error *err) {
    int line;
    float *values = NULL;
    if (!t->o->frame) return 0;
    int rc = bf_trace_frame_input(&t->chain, t->weights, t->settings.seed, &line, &values, err);
    if (!rc && !t->inputs[line]) t->inputs[line] = values;
    else free(values);
    return rc;
}

static int prepare(trace *t, bf_error *err) {
    bf_trace_sizes s;
    const char *symbols[32];
    if (t->o->select.word_count != 1) return bf_fail(err, "command line: name one chain: gemma-3-12b, llama-3.1-8b, ... (files of %s/trace)", bf_cases_directory(t->o->select.cases));
    if (sizes(t->o, &s, symbols, err)) return -1;
    if (bf_trace_load(t->o->select.words[0], bf_cases_directory(t->o->select.cases), &s, &t->chain, err) || plan(t, err)) return -1;
    for (int i = 0; i < t->o->input_count; i++)
        if (read_input(t, t->o->inputs[i], err)) return -1;
    t->weights = bf_trace_weights_open(t->o->select.weights, &t->chain, t->settings.seed, err);
    return t->weights ? frame(t, err) : -1;
}

/* ---- in the child ---- */

static int child_open(bf_worker *w, bf_error *err) {
    device_work *d = w->user;
    d->context = bf_open_proved(&d->t->found.device[d->device], err);
    return d->context ? 0 : -1;
}

static int walk(const trace *t, const bf_lab *lab, findings *f) {
    bf_trace_run *r = bf_trace_open(lab, &t->chain, t->weights, &t->settings, 1, &f->err);
    int rc = r ? 1 : -1;
    for (int i = 0; r && i < t->chain.lines; i++) bf_trace_replace(r, i, t->inputs[i]);
    while (rc == 1 && (rc = bf_trace_step(r, &f->record[f->records], &f->err)) == 1) f->records++;
    if (!rc && t->o->frame) rc = bf_trace_frame_decode(lab, &t->chain, r, &f->frame, &f->err) ? -1 : 0, f->framed = !rc;
    bf_trace_close(r);
    return rc;
}

static int child_job(bf_worker *w, size_t index, void *row) {
    device_work *d = w->user;
    trace *t = d->t;
    const bf_device *dev = &t->found.device[d->device];
    bf_lab lab = {dev->backend, d->context, dev, t->o->program};
    findings *f = t->of[d->device];
    double begin = bf_now();
    if (index == 0) f->complete = !walk(t, &lab, f);
    else f->bisected = !bf_trace_bisect_run(&lab, &t->chain, t->weights, &t->settings, (const float *const *)t->inputs, &f->bisect, &f->err);
    f->seconds += bf_now() - begin;
    *(char *)row = 1;
    return dev->backend->lost && dev->backend->lost(d->context);
}

/* ---- in the parent ---- */

static void ready(bf_worker *w) {
    device_work *d = w->user;
    if (!d->t->proved[d->device]++) bf_record_line(d->t->record, bf_record_device(&d->t->found.device[d->device], 1));
}

static void show_frame(trace *t, const findings *f, const char *place) {
    bf_error err = {{0}};
    const char *plan = bf_trace_plan_name(t->plan);
    char directory[4200];
    snprintf(directory, sizeof directory, t->found.devices > 1 ? "%s-%s" : "%s", t->o->frame, place); /* one for each device */
    if (bf_trace_frame_write(stdout, directory, plan, &f->frame, &err)) {
        printf("ERROR      %s: %s\n", place, err.text);
        t->failed++;
    } else
        bf_record_line(t->record, bf_trace_frame_json(&t->chain, plan, &f->frame, place));
}

static void show_trace(trace *t, const findings *f, const char *place) {
    int found, synthetic;
    bf_trace_weights_count(t->weights, &found, &synthetic);
    printf("\n%s in %s on %s: %d blocks of %d ops, %lld tokens; weights: ", t->chain.name, t->plan_text, place, t->chain.depth, t->chain.end - t->chain.begin,
           (long long)t->chain.tokens);
    if (t->o->select.weights) printf("%d of %s, %d synthetic\n\n", found, t->o->select.weights, synthetic);
    else printf("synthetic, seed %llu\n\n", (unsigned long long)t->settings.seed);
    bf_trace_table(stdout, &t->chain, f->record, f->records, t->o->verbose);
    printf("\n");
    bf_trace_summary(stdout, &t->chain, t->plan_text, f->record, f->records);
    int bad, lost;
    bf_trace_first(f->record, f->records, &bad, &lost);
    if (bad >= 0 && !t->o->bisect) { /* the same line, asking for more */
        printf("what must be fp32: %s", t->o->program);
        for (int i = 0; i < t->o->argc; i++) printf(" %s", t->o->argv[i]);
        printf(" --bisect\n");
    }
    for (int i = 0; i < f->records; i++) bf_record_line(t->record, bf_trace_record_json(&t->chain, &f->record[i], place));
    bf_record_line(t->record, bf_trace_summary_json(&t->chain, t->plan_text, f->record, f->records, place));
}

static void done(bf_worker *w, size_t index, const void *row) {
    device_work *d = w->user;
    trace *t = d->t;
    const char *place = t->found.device[d->device].backend->name;
    const findings *f = t->of[d->device];
    (void)row;
    if (index == 0) show_trace(t, f, place);
    if (index == 0 && f->framed) show_frame(t, f, place);
    if (index == 0 ? !f->complete : !f->bisected) {
        printf("ERROR      %s: %s\n", place, f->err.text);
        t->failed++;
    } else if (index == 1) {
        bf_trace_bisect_show(stdout, &t->chain, t->plan_text, &f->bisect);
        bf_record_line(t->record, bf_trace_bisect_json(&t->chain, t->plan_text, &f->bisect, place));
    }
    fflush(stdout);
}

static void lost(bf_worker *w, size_t index, bf_status status, const char *why) {
    device_work *d = w->user;
    if (index == 0) show_trace(d->t, d->t->of[d->device], d->t->found.device[d->device].backend->name);
    printf("%-10s %s: %s, behind op %d\n", bf_status_name(status), d->t->found.device[d->device].backend->name, why, d->t->of[d->device]->records);
    d->t->failed++;
}
static void refused(bf_worker *w, const char *why) {
    device_work *d = w->user;
    printf("REFUSED    %s: %s\n", d->t->found.device[d->device].backend->name, why);
    d->t->refused++;
}

static int run_devices(trace *t, bf_error *err) {
    device_work work[BF_MAX_DEVICES];
    bf_worker worker[BF_MAX_DEVICES];
    memset(work, 0, sizeof work);
    memset(worker, 0, sizeof worker);
    for (int d = 0; d < t->found.devices; d++) {
        t->of[d] = mmap(NULL, sizeof *t->of[d], PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (t->of[d] == MAP_FAILED) {
            t->of[d] = NULL;
            return bf_fail(err, "out of memory");
        }
        work[d] = (device_work){.t = t, .device = d};
        worker[d] = (bf_worker){.user = &work[d], .jobs = t->o->bisect ? 2 : 1, .row_bytes = 1, .timeout = t->o->timeout * (t->chain.depth + 1) * (t->o->bisect ? 16 : 1),
                                .open = child_open, .job = child_job, .ready = ready, .done = done, .lost = lost, .refused = refused};
    }
    return bf_workers_run(worker, (size_t)t->found.devices, 1, &interrupted, err);
}

static int run(trace *t, bf_error *err) {
    bf_selection s = t->o->select;
    if (!s.backends) s.backends = s.require ? s.require : "cpu";
    int status = bf_select_devices(&s, &t->found, err);
    if (status) return status;
    t->record = bf_record_open(t->o->json, NULL, err);
    if (!t->record) return BF_EXIT_USAGE;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGPIPE, SIG_IGN);
    bf_record_line(t->record, bf_record_run("trace", t->o->argc, t->o->argv));
    if (run_devices(t, err)) return BF_EXIT_USAGE;
    status = t->failed || t->refused || interrupted ? BF_EXIT_FAILED : BF_EXIT_OK;
    if (t->refused && !interrupted && bf_select_proved(&s, &t->found, t->proved, err)) status = BF_EXIT_NO_DEVICE;
    if (bf_record_close(t->record, err)) status = BF_EXIT_USAGE;
    t->record = NULL;
    return status;
}

int bf_command_trace(bf_options *o) {
    bf_error err = {{0}};
    trace *t = calloc(1, sizeof *t);
    if (!t) {
        fprintf(stderr, "blackframe: out of memory\n");
        return BF_EXIT_USAGE;
    }
    t->o = o;
    int status = prepare(t, &err) ? BF_EXIT_USAGE : BF_EXIT_OK;
    if (!status && o->list) bf_trace_list(stdout, &t->chain);
    else if (!status) status = run(t, &err);
    if (err.text[0]) fprintf(stderr, "blackframe: %s\n", err.text);
    bf_record_abandon(t->record); /* of a run that did not come to its end */
    for (int i = 0; i < BF_MAX_DEVICES; i++)
        if (t->of[i]) munmap(t->of[i], sizeof *t->of[i]);
    for (int i = 0; i < BF_TRACE_LINES; i++) free(t->inputs[i]);
    bf_trace_weights_close(t->weights);
    free(t);
    return status;
}
