/* check.c: `blackframe check`: cases against kernels on every device, verdicts as rows, a table at the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic_file.h"
#include "devices.h"
#include "options.h"
#include "record.h"
#include "runner.h"
#include "worker.h"

static volatile int interrupted, stop; /* stop: by a signal, or by a failing row under --fail-fast */
static void on_interrupt(int sig) { (void)sig, interrupted = stop = 1; }

/* One line of the final table. */
typedef struct tally {
    const bf_kernel *kernel;
    int device;
    long status[BF_ERROR + 1];
    double worst;
    double seconds;
    long judged, hollow; /* outputs whose error was measured; rows right without one: all NaN or infinite, as the reference is */
    int caught; /* twins */
} tally;

typedef struct check {
    bf_options *o;
    bf_case_list cases;
    bf_discovery found;
    bf_record *record;
    bf_atomic_file archive;
    tally *tallies; /* room for every kernel on every device */
    size_t tally_count, done, total;
    long counts[BF_ERROR + 1];
    long shown, refused;
    int proved[BF_MAX_DEVICES];
} check;

typedef struct device_work {
    check *k;
    int device;
    bf_job_list jobs;
    /* In the child. */
    bf_context *context;
    bf_prepared prepared;
    int prepared_case; /* -1: none */
} device_work;

/* ---- in the child ---- */

static int child_open(bf_worker *w, bf_error *err) {
    device_work *d = w->user;
    const bf_device *dev = &d->k->found.device[d->device];
    d->prepared_case = -1;
    d->context = bf_open_proved(dev, err);
    return d->context ? 0 : -1;
}

static int child_job(bf_worker *w, size_t index, void *out) {
    device_work *d = w->user;
    bf_row *row = out;
    bf_job j = d->jobs.item[index];
    row->case_index = j.case_index, row->kernel_index = j.kernel_index;
    row->verdict.worst_prob = row->verdict.total_error = NAN;
    bf_error err = {{0}};
    if (d->prepared_case != (int)j.case_index) {
        if (d->prepared_case >= 0) bf_unprepare(&d->prepared);
        d->prepared_case = -1;
        if (bf_prepare(&d->k->cases.item[j.case_index], 1, &d->prepared, &err)) {
            row->verdict.status = BF_ERROR;
            snprintf(row->verdict.note, sizeof row->verdict.note, "%.250s", err.text);
            return 0;
        }
        d->prepared_case = (int)j.case_index;
        d->prepared.archive = d->k->archive.stream ? fileno(d->k->archive.stream) : 0;
    }
    bf_worker_alive();
    const bf_device *dev = &d->k->found.device[d->device];
    const bf_kernel *kernel = bf_kernel_at(j.kernel_index);
    char dump[4096] = "";
    if (d->k->o->dump)
        snprintf(dump, sizeof dump, "%s/%05u-%s-%d-%s", d->k->o->dump, j.case_index, dev->backend->name, dev->index,
                 kernel->name);
    bf_run_case(dev->backend, d->context, dev, &d->prepared, kernel, dump[0] ? dump : NULL, row);
    return dev->backend->lost && dev->backend->lost(d->context);
}

/* ---- in the parent ---- */

static tally *tally_for(check *k, int device, const bf_kernel *kernel) {
    for (size_t i = 0; i < k->tally_count; i++)
        if (k->tallies[i].device == device && k->tallies[i].kernel == kernel) return &k->tallies[i];
    tally *t = &k->tallies[k->tally_count++];
    *t = (tally){.kernel = kernel, .device = device};
    return t;
}

static void progress(check *k, const char *what) {
    static double last;
    double now = bf_now();
    if (!isatty(2) || (now - last < 0.1 && k->done < k->total)) return;
    last = now;
    fprintf(stderr, "\r\033[K%s", what);
    if (k->done < k->total) fprintf(stderr, " %zu/%zu, %ld failed", k->done, k->total, k->counts[BF_FAIL]);
    if (k->done >= k->total) fprintf(stderr, "\r\033[K");
    fflush(stderr);
}

/* A word for a shell: as it is where nothing in it means anything to one. */
static void quoted(const char *word, size_t n) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/^%@";
    if (n && strspn(word, plain) >= n) {
        printf("%.*s ", (int)n, word);
        return;
    }
    putchar('\'');
    for (size_t i = 0; i < n; i++) fputs(word[i] == '\'' ? "'\\''" : (char[]){word[i], 0}, stdout);
    fputs("' ", stdout);
}

static void again(check *k, const bf_device *d, const bf_kernel *kernel, const bf_case *c) {
    printf("     again: %s check%s --backend %s --kernel %s ", k->o->program, k->o->select.twins ? " --twins" : "",
           d->backend->name, kernel->name);
    if (c->tensor) printf("--weights "), quoted(k->o->select.weights, strlen(k->o->select.weights)), printf("--tensor "), quoted(c->tensor, strlen(c->tensor));
    for (const char *p = c->line; *p;) {
        size_t n = strcspn(p, " ");
        if (!c->tensor || (strncmp(p, "m=", 2) && strncmp(p, "k=", 2))) quoted(p, n); /* m and k are the tensor's */
        p += n + (p[n] == ' ');
    }
    puts("");
}

static void show_mismatch(const bf_mismatch *m) {
    printf("     %s[%lld] got 0x%llx %.9g, want 0x%llx %.9g, bound %.3g: %s\n", m->tensor, (long long)m->index,
           (unsigned long long)m->got_bits, m->got, (unsigned long long)m->want_bits, m->want, m->bound, m->why);
}

static void show_row(check *k, const bf_device *d, const bf_kernel *kernel, const bf_case *c, const bf_verdict *v) {
    printf("%-10s %s %s: %s%s%s\n", bf_status_name(v->status), d->backend->name, kernel->name, c->line,
           c->real && c->file ? "  of " : "", c->real && c->file ? c->file : "");
    if (v->status == BF_PASS || v->status == BF_SKIP) {
        if (v->nan || v->inf)
            printf("     of %lld outputs %lld are NaN and %lld infinite, as the reference's\n", (long long)v->outputs, (long long)v->nan,
                   (long long)v->inf);
        if (v->note[0]) printf("     %s\n", v->note);
        return;
    }
    if (v->outputs)
        printf("     %lld of %lld outputs wrong, %lld NaN, %lld inf, %lld zero; worst error %.3g of the bound\n",
               (long long)v->mismatched, (long long)v->outputs, (long long)v->nan, (long long)v->inf,
               (long long)v->zero, v->worst);
    if (v->note[0]) printf("     %s\n", v->note);
    for (int i = 0; i < v->count; i++) show_mismatch(&v->first[i]);
    again(k, d, kernel, c);
}

static void record_row(check *k, int device, uint32_t case_index, uint32_t kernel_index, double seconds,
                       const bf_verdict *v) {
    const bf_device *d = &k->found.device[device];
    const bf_kernel *kernel = bf_kernel_at(kernel_index);
    const bf_case *c = &k->cases.item[case_index];
    json_t *row = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f}", "type",
                            k->o->select.twins ? "twin" : "check", "backend", d->backend->name, "device", d->index,
                            "arch", d->arch, "object", d->object, "op", kernel->op, "kernel", kernel->name, "case",
                            c->line, "source", c->file ? c->file : "command line", "line", c->lineno, "seconds",
                            seconds);
    json_t *verdict = bf_record_verdict(v);
    json_object_update(row, verdict);
    json_decref(verdict);
    if (kernel->path) json_object_set_new(row, "path", json_string(kernel->path));
    if (kernel->twin) json_object_set_new(row, "twin", json_string(kernel->twin));
    bf_record_line(k->record, row);
}

static void take(check *k, int device, uint32_t case_index, uint32_t kernel_index, double seconds,
                 const bf_verdict *v) {
    const bf_device *d = &k->found.device[device];
    const bf_kernel *kernel = bf_kernel_at(kernel_index);
    const bf_case *c = &k->cases.item[case_index];
    tally *t = tally_for(k, device, kernel);
    bf_status s = v->status > BF_ERROR ? BF_ERROR : v->status;
    t->status[s]++;
    t->seconds += seconds;
    if (!(v->worst <= t->worst)) t->worst = v->worst;
    long long finite = v->outputs - v->nan - v->inf;
    t->judged += finite, t->hollow += s == BF_PASS && v->outputs && !finite;
    /* Only a judged difference counts: a crash of a twin proves nothing. */
    if (s == BF_FAIL && v->mismatched) t->caught++;
    k->counts[s]++, k->done++;
    record_row(k, device, case_index, kernel_index, seconds, v);
    int bad = s != BF_PASS && s != BF_SKIP;
    if (bad && k->o->fail_fast && !k->o->select.twins) stop = 1;
    if (!k->o->select.twins) {
        char suite[128];
        snprintf(suite, sizeof suite, "%s.%s", d->backend->name, kernel->name);
        char text[1024];
        snprintf(text, sizeof text, "%s: %lld of %lld outputs wrong; %s", bf_status_name(s), (long long)v->mismatched,
                 (long long)v->outputs, v->note);
        bf_record_test(k->record, suite, c->line, seconds, s == BF_SKIP, bad || s == BF_SKIP ? text : NULL);
    }
    int tell = bad && (!k->o->select.twins || s >= BF_CRASH); /* a twin is meant to fail, not to break off */
    if (k->o->verbose || (tell && k->shown++ < 20)) {
        if (isatty(2)) fprintf(stderr, "\r\033[K");
        show_row(k, d, kernel, c, v);
    }
    progress(k, d->backend->name);
}

static void parent_ready(bf_worker *w) {
    device_work *d = w->user;
    if (!d->k->proved[d->device]++) bf_record_line(d->k->record, bf_record_device(&d->k->found.device[d->device], 1));
}

static void parent_done(bf_worker *w, size_t index, const void *data) {
    device_work *d = w->user;
    (void)index;
    const bf_row *row = data;
    take(d->k, d->device, row->case_index, row->kernel_index, row->seconds, &row->verdict);
}

static void parent_lost(bf_worker *w, size_t index, bf_status status, const char *why) {
    device_work *d = w->user;
    bf_verdict v = {.status = status, .worst_prob = NAN, .total_error = NAN};
    snprintf(v.note, sizeof v.note, "%.250s", why);
    take(d->k, d->device, d->jobs.item[index].case_index, d->jobs.item[index].kernel_index, 0, &v);
}

static void parent_refused(bf_worker *w, const char *why) {
    device_work *d = w->user;
    const bf_device *dev = &d->k->found.device[d->device];
    printf("REFUSED    %s %s: %s\n", dev->backend->name, dev->name, why);
    bf_record_line(d->k->record, json_pack("{s:s, s:s, s:i, s:s}", "type", "refused", "backend", dev->backend->name,
                                           "device", dev->index, "why", why));
    bf_record_test(d->k->record, dev->backend->name, "open and prove", 0, 0, why);
    d->k->refused++;
    if (d->k->o->fail_fast) stop = 1;
    if (!d->k->proved[d->device]) bf_record_line(d->k->record, bf_record_device(dev, 0));
}

/* ---- the end ---- */

/* Rows arrive as devices finish them; the table is the same for every run. */
static int by_kernel(const void *a, const void *b) {
    const tally *x = a, *y = b;
    if (x->device != y->device) return x->device - y->device;
    int op = strcmp(x->kernel->op, y->kernel->op);
    return op ? op : strcmp(x->kernel->name, y->kernel->name);
}

static void table(check *k) {
    qsort(k->tallies, k->tally_count, sizeof *k->tallies, by_kernel);
    printf("\n%-11s %-34s %7s %7s %7s %12s\n", "backend", "kernel", "cases", "pass", "fail", "worst/bound");
    for (size_t i = 0; i < k->tally_count; i++) {
        tally *t = &k->tallies[i];
        long all = 0;
        for (int s = 0; s <= BF_ERROR; s++) all += t->status[s];
        long skipped = t->status[BF_SKIP];
        char worst[32] = "exact";
        if (!t->judged) strcpy(worst, "-");
        else if (!(t->worst == 0)) snprintf(worst, sizeof worst, "%.4f", t->worst);
        printf("%-11s %-34s %7ld %7ld %7ld %12s", k->found.device[t->device].backend->name, t->kernel->name, all,
               t->status[BF_PASS], all - t->status[BF_PASS] - skipped, worst);
        if (skipped) printf("  %ld skipped", skipped);
        if (t->status[BF_MISTRUSTED]) printf("  %ld mistrusted", t->status[BF_MISTRUSTED]);
        if (t->status[BF_CRASH]) printf("  %ld crashed", t->status[BF_CRASH]);
        if (t->status[BF_HANG]) printf("  %ld hung", t->status[BF_HANG]);
        if (t->status[BF_ERROR]) printf("  %ld errors", t->status[BF_ERROR]);
        if (t->hollow) printf("  %ld all NaN or inf, as the reference", t->hollow);
        puts("");
    }
}

/* Every twin must be caught by the witness named after it, on every backend that has it. */
static long twins_escaped(check *k, long *caught) {
    long escaped = 0;
    const bf_selection *s = &k->o->select;
    int some = s->word_count || s->suite_count || s->shards;
    printf("\n%-11s %-40s %-14s %s\n", "backend", "twin", "defect", "verdict");
    for (int d = 0; d < k->found.devices; d++)
        for (size_t i = 0; i < bf_kernel_count(); i++) {
            const bf_kernel *twin = bf_kernel_at(i);
            if (twin->role != BF_TWIN || twin->target != k->found.device[d].backend->target) continue;
            if (k->o->select.kernel && fnmatch(k->o->select.kernel, twin->name, 0)) continue;
            tally *t = NULL;
            for (size_t n = 0; n < k->tally_count; n++)
                if (k->tallies[n].device == d && k->tallies[n].kernel == twin) t = &k->tallies[n];
            if (!t && some) continue; /* not every case was asked for */
            int ok = t && t->caught;
            printf("%-11s %-40s %-14s %s\n", k->found.device[d].backend->name, twin->name, twin->twin,
                   ok ? "CAUGHT" : t ? "ESCAPED" : "NO WITNESS");
            *(ok ? caught : &escaped) += 1;
            bf_record_test(k->record, k->found.device[d].backend->name, twin->name, t ? t->seconds : 0, 0,
                           ok ? NULL : "the twin was not caught by a witness of its name");
        }
    return escaped;
}

static int summary(check *k, size_t jobs_wanted) {
    long passed = k->counts[BF_PASS], skipped = k->counts[BF_SKIP], failed = 0;
    for (int s = 0; s <= BF_ERROR; s++)
        if (s != BF_PASS && s != BF_SKIP) failed += k->counts[s];
    failed += k->refused;
    if (k->o->select.twins) {
        passed = 0;
        failed = k->refused + k->counts[BF_ERROR] + twins_escaped(k, &passed); /* an error is the harness's or the driver's, not the twin's */
    } else {
        table(k);
        if (k->shown > 20) printf("\n%ld failing rows, 20 shown; all are in the JSON record (--json FILE)\n", k->shown);
    }
    bf_record_line(k->record, json_pack("{s:s, s:I, s:I, s:I, s:b, s:I, s:I}", "type", "summary", "passed",
                                        (json_int_t)passed, "failed", (json_int_t)failed, "skipped",
                                        (json_int_t)skipped, "interrupted", interrupted, "done", (json_int_t)k->done,
                                        "wanted", (json_int_t)jobs_wanted));
    if (stop && !interrupted && k->done < jobs_wanted)
        printf("\nstopped at the first failure, after %zu of %zu\n", k->done, jobs_wanted);
    if (interrupted) printf("\ninterrupted after %zu of %zu\n", k->done, jobs_wanted);
    if (!k->o->select.backends) bf_devices_no_gpu(stdout, &k->found);
    printf("\n%ld passed, %ld failed, %ld skipped\n", passed, failed, skipped);
    return failed || interrupted ? BF_EXIT_FAILED : BF_EXIT_OK;
}

static void announce(check *k) {
    for (int i = 0; i < k->found.devices; i++) {
        const bf_device *d = &k->found.device[i];
        printf("device     %s: %s, %s, %s\n", d->backend->name, d->name, d->arch, d->object);
    }
    for (int i = 0; i < k->found.findings; i++) {
        const bf_finding *f = &k->found.finding[i];
        printf("not used   %s: %s (mend: %s)\n", f->what, f->why, f->mend);
        bf_record_line(k->record, bf_record_finding(f));
    }
    fflush(stdout);
}

static int run_devices(check *k, bf_error *err) {
    device_work work[BF_MAX_DEVICES];
    bf_worker worker[BF_MAX_DEVICES];
    memset(work, 0, sizeof work);
    memset(worker, 0, sizeof worker);
    size_t jobs = 0;
    int devices = k->found.devices;
    for (int i = 0; i < devices; i++) {
        work[i] = (device_work){.k = k, .device = i, .prepared_case = -1};
        if (bf_select_jobs(&k->o->select, &k->cases, &k->found.device[i], &work[i].jobs, err)) return -1;
        jobs += work[i].jobs.count;
        /* The processor's own kernels are the last to start: they take the least time, and fill what the longer ones leave. */
        worker[devices - 1 - i] = (bf_worker){.user = &work[i], .jobs = work[i].jobs.count, .row_bytes = sizeof(bf_row),
                                .timeout = k->o->timeout, .prepares = 1, .open = child_open, .job = child_job, .ready = parent_ready, .done = parent_done,
                                .lost = parent_lost, .refused = parent_refused};
    }
    k->total = jobs;
    if (!jobs)
        return bf_fail(err, "%zu cases match but no kernel does%s%s: nothing was checked", k->cases.count,
                       k->o->select.kernel ? ": --kernel " : "", k->o->select.kernel ? k->o->select.kernel : "");
    int parallel = k->o->parallel ? k->o->parallel : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int rc = bf_workers_run(worker, (size_t)k->found.devices, parallel, &stop, err);
    for (int i = 0; i < k->found.devices; i++) free(work[i].jobs.item);
    return rc;
}

static void cleanup(check *k) {
    bf_atomic_abandon(&k->archive);
    bf_case_list_free(&k->cases);
    free(k->tallies);
    free(k);
}

static int fail(check *k, int status, const bf_error *err) {
    fprintf(stderr, "blackframe: %s\n", err->text);
    if (k->done) bf_record_close(k->record, NULL); /* what is known is not lost */
    else bf_record_abandon(k->record);
    cleanup(k);
    return status;
}

/* The children write behind this line, through the same open file: nothing of it may still lie in a buffer. */
static int open_archive(check *k, bf_error *err) {
    if (bf_atomic_open(&k->archive, k->o->archive, err)) return -1;
    json_t *run = bf_record_run("check", k->o->argc, k->o->argv);
    int bad = json_dumpf(run, k->archive.stream, JSON_COMPACT | JSON_PRESERVE_ORDER) || fputc('\n', k->archive.stream) == EOF || fflush(k->archive.stream);
    json_decref(run);
    return bad ? bf_fail(err, "%s: write failed: %s", k->o->archive, strerror(errno)) : 0;
}

/* What is there already must be a directory: "DIR/." of a file does not exist. */
static const char *in_it(const char *dir) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/.", dir);
    return path;
}

int bf_command_check(bf_options *o) {
    check *k = calloc(1, sizeof *k);
    bf_error err = {{0}};
    if (k) k->tallies = calloc((size_t)BF_MAX_DEVICES * bf_kernel_count(), sizeof *k->tallies);
    if (!k || !k->tallies) {
        fprintf(stderr, "blackframe: out of memory\n");
        free(k);
        return BF_EXIT_USAGE;
    }
    k->o = o;
    int status = bf_select_devices(&o->select, &k->found, &err);
    if (status) return fail(k, status, &err);
    if (o->exhaustive || o->chain) {
        if (!status && bf_check_kernels_options(o, &err)) return fail(k, BF_EXIT_USAGE, &err);
        status = bf_command_check_kernels(o, &k->found);
        cleanup(k);
        return status;
    }
    if (bf_select_cases(&o->select, &k->cases, &err)) return fail(k, BF_EXIT_USAGE, &err);
    if (o->dump && mkdir(o->dump, 0777) && (errno != EEXIST || access(in_it(o->dump), F_OK))) {
        bf_fail(&err, "%s: cannot make the directory: %s", o->dump, strerror(errno));
        return fail(k, BF_EXIT_USAGE, &err);
    }
    k->record = bf_record_open(o->json, o->junit, &err);
    if (!k->record) return fail(k, BF_EXIT_USAGE, &err);
    if (o->archive && open_archive(k, &err)) return fail(k, BF_EXIT_USAGE, &err);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGPIPE, SIG_IGN);
    bf_record_line(k->record, bf_record_run("check", o->argc, o->argv));
    announce(k);
    if (run_devices(k, &err)) return fail(k, BF_EXIT_USAGE, &err);
    status = summary(k, k->total);
    if (k->refused && !interrupted && bf_select_proved(&o->select, &k->found, k->proved, &err)) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        status = BF_EXIT_NO_DEVICE;
    }
    if (bf_record_close(k->record, &err) || (o->archive && bf_atomic_commit(&k->archive, &err))) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        status = BF_EXIT_USAGE;
    }
    cleanup(k);
    return status;
}
