/* check_kernels.c: checks of a kernel as a whole rather than of a case.
 *
 * `check --exhaustive`: all 2^32 fp32 patterns to bf16 and fp16; a job is a kernel and a target type. Without --backend
 * simt is left out: it would need an hour.
 * `check --chain`: the longest chain of additions behind an output, measured by the summation-order probe, judges what the
 * kernel declares (its bound rests on it). */
#define _GNU_SOURCE

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kernels/common/convert.h"
#include "exhaustive.h"
#include "numerics/subject.h"
#include "options.h"
#include "probe.h"
#include "record.h"
#include "runner.h"
#include "worker.h"

typedef struct work {
    bf_options *o;
    const bf_device *device;
    struct {
        const bf_kernel *kernel;
        bf_dtype to;
    } *job; /* room for two a kernel */
    size_t jobs;
    bf_record *record;
    long passed, failed, skipped;
    int refused, proved;
    bf_context *context;
} work;

static void add(work *e, const bf_kernel *k, bf_dtype to) {
    e->job[e->jobs].kernel = k, e->job[e->jobs++].to = to;
}

int bf_check_kernels_options(const bf_options *o, bf_error *err) {
    const bf_selection *s = &o->select;
    const char *what = o->exhaustive ? "--exhaustive" : "--chain";
    const char *other = s->suite_count ? "--suite" : s->weights ? "--weights" : s->tier ? "--tier" : s->shards ? "--shard" : s->twins ? "--twins"
                        : s->best ? "--best" : o->dump ? "--dump" : o->archive ? "--archive" : o->junit ? "--junit" : o->exhaustive && o->chain ? "--chain" : NULL;
    if (other) return bf_fail(err, "check %s goes over kernels, not cases: leave out %s", what, other);
    if (o->exhaustive && s->word_count)
        return bf_fail(err, "check --exhaustive goes over all patterns of convert, not cases: leave out '%.60s'", s->words[0]);
    for (int i = 0; i < s->word_count; i++)
        if (!bf_op_find(s->words[i])) return bf_fail(err, "check --chain goes over kernels, not cases: '%.60s' is no op", s->words[i]);
    return 0;
}

static int op_wanted(const bf_selection *s, const char *op) {
    int wanted = !s->word_count;
    for (int i = 0; i < s->word_count; i++) wanted |= !strcmp(s->words[i], op);
    return wanted;
}

static void collect(work *e) {
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->target != e->device->backend->target || k->role == BF_TWIN) continue;
        if ((k->available && !k->available()) || (e->o->select.kernel && fnmatch(e->o->select.kernel, k->name, 0))) continue;
        if (e->o->chain && k->chain && bf_subject_formats(k) && op_wanted(&e->o->select, k->op)) add(e, k, BF_NONE);
        bf_problem p = {.dim = {[CONVERT_N] = 1 << 20}, .type = {[CONVERT_X] = BF_F32}};
        for (int t = 0; e->o->exhaustive && !strcmp(k->op, "convert") && t < 2; t++) {
            p.type[CONVERT_Y] = t ? BF_F16 : BF_BF16;
            if (k->accepts(&p)) add(e, k, p.type[CONVERT_Y]);
        }
    }
}

static int child_open(bf_worker *w, bf_error *err) {
    work *e = w->user;
    e->context = bf_open_proved(e->device, err);
    return e->context ? 0 : -1;
}

static int child_job(bf_worker *w, size_t i, void *out) {
    work *e = w->user;
    bf_row *row = out;
    bf_error err = {{0}};
    double t0 = bf_now();
    if (e->job[i].to == BF_NONE)
        bf_probe_judge(e->device->backend, e->context, e->job[i].kernel, &row->verdict);
    else if (bf_exhaustive_convert(e->device->backend, e->context, e->job[i].kernel, e->job[i].to, &row->verdict, &err)) {
        row->verdict.status = BF_ERROR;
        snprintf(row->verdict.note, sizeof row->verdict.note, "%.250s", err.text);
    }
    row->seconds = bf_now() - t0;
    return e->device->backend->lost && e->device->backend->lost(e->context);
}

static void done(bf_worker *w, size_t i, const void *data) {
    work *e = w->user;
    const bf_row *row = data;
    const bf_verdict *v = &row->verdict;
    *(v->status == BF_PASS ? &e->passed : v->status == BF_SKIP ? &e->skipped : &e->failed) += 1;
    printf("%-10s %s %s", bf_status_name(v->status), e->device->backend->name, e->job[i].kernel->name);
    if (e->job[i].to == BF_NONE)
        printf(" chain of additions: %s\n", v->note);
    else
        printf(" fp32 to %s: %lld patterns, %lld wrong, %.1f s%s%s\n", bf_dtype_name(e->job[i].to), (long long)v->outputs,
               (long long)v->mismatched, row->seconds, v->note[0] ? ": " : "", v->note);
    for (int n = 0; n < v->count; n++)
        printf("     input 0x%08llx: got 0x%04llx, want 0x%04llx\n", (unsigned long long)v->first[n].index,
               (unsigned long long)v->first[n].got_bits, (unsigned long long)v->first[n].want_bits);
    fflush(stdout);
    json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:f}", "type", e->job[i].to == BF_NONE ? "chain" : "exhaustive",
                          "backend", e->device->backend->name, "device", e->device->index, "op", e->job[i].kernel->op,
                          "kernel", e->job[i].kernel->name, "seconds", row->seconds);
    if (e->job[i].to != BF_NONE) json_object_set_new(o, "to", json_string(bf_dtype_name(e->job[i].to)));
    json_t *verdict = bf_record_verdict(v);
    json_object_update(o, verdict);
    json_decref(verdict);
    bf_record_line(e->record, o);
}

static void lost(bf_worker *w, size_t i, bf_status status, const char *why) {
    bf_row row = {.verdict = {.status = status}};
    snprintf(row.verdict.note, sizeof row.verdict.note, "%.250s", why);
    done(w, i, &row);
}

static void refused(bf_worker *w, const char *why) {
    work *e = w->user;
    printf("REFUSED    %s: %s\n", e->device->backend->name, why);
    e->failed++, e->refused = 1;
}
static void ready(bf_worker *w) { ((work *)w->user)->proved = 1; }

/* Totals, record, and what a device that computes nothing means. An exit status. */
static int finish(const bf_options *o, const bf_discovery *found, const work *e, size_t count, bf_record *record) {
    long passed = 0, failed = 0, skipped = 0;
    int proved[BF_MAX_DEVICES] = {0}, refused = 0, status;
    bf_error err = {{0}};
    for (size_t i = 0; i < count; i++) {
        passed += e[i].passed, failed += e[i].failed, skipped += e[i].skipped, refused |= e[i].refused;
        proved[e[i].device - found->device] = e[i].proved;
    }
    printf("\n%ld passed, %ld failed, %ld skipped\n", passed, failed, skipped);
    status = failed ? BF_EXIT_FAILED : BF_EXIT_OK;
    if (refused && bf_select_proved(&o->select, found, proved, &err)) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        status = BF_EXIT_NO_DEVICE;
    }
    if (!bf_record_close(record, &err)) return status;
    fprintf(stderr, "blackframe: %s\n", err.text);
    return BF_EXIT_USAGE;
}

int bf_command_check_kernels(bf_options *o, const bf_discovery *found) {
    bf_error err = {{0}};
    work *e = calloc(BF_MAX_DEVICES, sizeof *e);
    bf_worker *w = calloc(BF_MAX_DEVICES, sizeof *w);
    bf_record *record = e && w ? bf_record_open(o->json, NULL, &err) : NULL;
    size_t count = 0, jobs = 0;
    int status = record ? BF_EXIT_OK : BF_EXIT_USAGE, parallel = o->parallel ? o->parallel : (int)sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 0; !status && i < found->devices; i++) {
        if (o->exhaustive && !o->select.backends && found->device[i].backend->target != BF_CPU && !found->device[i].backend->gpu) continue;
        work *x = &e[count];
        *x = (work){.o = o, .device = &found->device[i], .record = record, .job = calloc(2 * bf_kernel_count() + 1, sizeof *x->job)};
        if (!x->job) {
            status = BF_EXIT_USAGE, bf_fail(&err, "out of memory");
            break;
        }
        collect(x);
        jobs += x->jobs;
        /* A job of --exhaustive is 2^32 conversions: the usual watchdog would bite. */
        w[count++] = (bf_worker){.user = x, .jobs = x->jobs, .row_bytes = sizeof(bf_row), .timeout = (o->exhaustive ? 60 : 1) * o->timeout,
                                 .open = child_open, .job = child_job, .ready = ready, .done = done, .lost = lost, .refused = refused};
    }
    if (!status && !jobs) status = BF_EXIT_USAGE, bf_fail(&err, "no such kernel matches: nothing was checked");
    if (!status) {
        bf_record_line(record, bf_record_run("check", o->argc, o->argv));
        /* The exhaustive one has threads of its own. */
        if (bf_workers_run(w, count, o->exhaustive ? 1 : parallel, NULL, &err)) status = BF_EXIT_USAGE;
    }
    if (status) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        bf_record_abandon(record);
    } else status = finish(o, found, e, count, record);
    for (size_t i = 0; e && i < count; i++) free(e[i].job);
    free(e), free(w);
    return status;
}
