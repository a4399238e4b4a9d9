/* bench.c: `blackframe bench`: time of a kernel on rotated buffers, beside the ceiling on the same buffers in the same run. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"
#include "options.h"
#include "record.h"
#include "runner.h"
#include "worker.h"

enum { MEMCPY_RUNS = 5 };

typedef struct bench_row {
    uint32_t case_index, kernel_index;
    bf_measurement m;
} bench_row;

typedef struct bench {
    bf_options *o;
    bf_case_list cases;
    bf_discovery found;
    bf_record *record;
    long timed, invalid, unsettled, failed, refused;
    int proved[BF_MAX_DEVICES];
    double memcpy_bandwidth; /* bytes read and written a second, one thread; 0: not measured */
    size_t done, total;
} bench;

typedef struct device_work {
    bench *b;
    int device;
    bf_job_list jobs;
    bf_context *context;
    bf_power *power;
    bf_prepared prepared;
    int prepared_case;
} device_work;

static volatile int interrupted;
static void on_interrupt(int sig) { (void)sig, interrupted = 1; }

/* ---- in the child ---- */

static int child_open(bf_worker *w, bf_error *err) {
    device_work *d = w->user;
    const bf_device *dev = &d->b->found.device[d->device];
    char threads[16];
    d->prepared_case = -1;
    snprintf(threads, sizeof threads, "%d", d->b->o->threads);
    if (d->b->o->threads) setenv("BF_CPU_THREADS", threads, 1);
    char why[256];
    d->context = bf_open_proved(dev, err);
    if (d->context) d->power = bf_power_open(dev, why, sizeof why);
    return d->context ? 0 : -1;
}

static int child_job(bf_worker *w, size_t index, void *out) {
    device_work *d = w->user;
    bench_row *row = out;
    bf_job j = d->jobs.item[index];
    bf_error err = {{0}};
    row->case_index = j.case_index, row->kernel_index = j.kernel_index;
    if (d->prepared_case != (int)j.case_index) {
        if (d->prepared_case >= 0) bf_unprepare(&d->prepared);
        d->prepared_case = -1;
        if (!bf_prepare(&d->b->cases.item[j.case_index], 1, &d->prepared, &err)) d->prepared_case = (int)j.case_index;
    }
    const bf_device *dev = &d->b->found.device[d->device];
    bf_measure_options how = {d->b->o->size, d->b->o->seconds, d->b->o->peers, d->b->o->threads ? d->b->o->threads : dev->units, d->power};
    if (d->prepared_case < 0 || bf_measure(dev, d->context, bf_kernel_at(j.kernel_index), &d->prepared, &how, &row->m, &err) < 0) {
        row->m.status = BF_NOT_TIMED;
        snprintf(row->m.note, sizeof row->m.note, "%.250s", err.text);
    }
    return dev->backend->lost && dev->backend->lost(d->context);
}

/* ---- in the parent ---- */

static json_t *summary_json(const bf_summary *s) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "median", bf_json_real(s->median), "low",
                     bf_json_real(s->low), "high", bf_json_real(s->high), "min", bf_json_real(s->min), "max",
                     bf_json_real(s->max), "p25", bf_json_real(s->p25), "p75", bf_json_real(s->p75), "samples",
                     (json_int_t)s->count);
}

static void record_power(json_t *row, const bf_measurement *r) {
    const bf_power_reading *p = &r->power;
    json_object_set_new(row, "watts", bf_json_real(p->watts));
    json_object_set_new(row, "joules", bf_json_real(r->joules));
    json_object_set_new(row, "power", json_pack("{s:o, s:o, s:o, s:o, s:i, s:i, s:s}", "seconds", bf_json_real(p->seconds), "clock_low_mhz",
                                                bf_json_real(p->clock_low), "clock_high_mhz", bf_json_real(p->clock_high), "celsius",
                                                bf_json_real(p->temperature), "samples", p->samples, "throttled", p->throttled, "why", p->why));
}

static void record_row(bench *b, const bf_device *d, const bf_case *c, const bf_kernel *k, const bf_measurement *r) {
    double bytes = (double)(r->bytes_read + r->bytes_written);
    json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "type", "bench", "backend",
                          d->backend->name, "device", d->index, "name", d->name, "arch", d->arch, "object", d->object,
                          "op", k->op, "kernel", k->name, "case", c->line, "status", bf_bench_status_name(r->status), "note", r->note);
    json_object_set_new(o, "source", json_string(c->file ? c->file : "command line"));
    json_object_set_new(o, "role", json_string(k->role == BF_NAIVE ? "naive" : "tuned"));
    json_object_set_new(o, "bytes_read", json_integer((json_int_t)r->bytes_read));
    json_object_set_new(o, "bytes_written", json_integer((json_int_t)r->bytes_written));
    json_object_set_new(o, "distinct_bytes", json_integer((json_int_t)r->distinct));
    json_object_set_new(o, "copies", json_integer(r->copies));
    json_object_set_new(o, "rounds", json_integer(r->rounds));
    json_object_set_new(o, "worst", bf_json_real(r->worst));
    if (r->status != BF_NOT_TIMED) {
        json_object_set_new(o, "first_s", bf_json_real(r->first));
        json_object_set_new(o, "second_s", bf_json_real(r->second));
        json_object_set_new(o, "steady_s", summary_json(&r->steady));
        json_object_set_new(o, "hot_s", bf_json_real(r->hot));
        json_object_set_new(o, "ceiling", json_string(r->ceiling_name));
        json_object_set_new(o, "ceiling_s", summary_json(&r->ceiling));
        json_object_set_new(o, "ratio", summary_json(&r->ratio));
        json_object_set_new(o, "bandwidth", bf_json_real(bytes / r->steady.median));
        json_object_set_new(o, "ceiling_bandwidth", bf_json_real(bytes / r->ceiling.median));
        if (b->memcpy_bandwidth > 0 && d->backend->target == BF_CPU)
            json_object_set_new(o, "of_memcpy", json_real(bytes / r->steady.median / b->memcpy_bandwidth));
        json_object_set_new(o, "flops", bf_json_real(c->op->flops(&c->problem) / r->steady.median));
    }
    if (r->powered) record_power(o, r);
    bf_record_line(b->record, o);
}

/* What stands below a row: power and peers. */
static void beside_row(bench *b, const bf_device *d, const bf_case *c, const bf_kernel *k, const bf_measurement *r) {
    double flops = c->op->flops(&c->problem);
    if (r->powered)
        printf("%41s %.1f W, %.4g J a launch%s%s\n", "", r->power.watts, r->joules, r->power.throttled ? "; held back: " : "", r->power.why);
    for (int i = 0; i < r->peers && r->status != BF_NOT_TIMED; i++) {
        const bf_peer_measurement *p = &r->peer[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "type", "peer", "peer", p->name, "how", p->how,
                              "backend", d->backend->name, "name", d->name, "op", k->op, "kernel", k->name, "case", c->line, "seconds",
                              summary_json(&p->seconds), "ratio", summary_json(&p->ratio), "worst", bf_json_real(p->worst), "flops",
                              bf_json_real(flops / p->seconds.median));
        json_object_set_new(o, "source", json_string(c->file ? c->file : "command line"));
        json_object_set_new(o, "ours_worst", bf_json_real(p->ours));
        bf_record_line(b->record, o);
        printf("%41s %5.2f times as fast as %s [%.2f, %.2f], %s; error / bound %.2g, ours %.2g\n", "", p->ratio.median, p->name,
               p->ratio.low, p->ratio.high, p->how, p->worst, p->ours);
    }
}

static void show_row(const bench *b, const bf_device *d, const bf_case *c, const bf_kernel *k, const bf_measurement *r) {
    if (isatty(2)) fprintf(stderr, "\r\033[K");
    printf("%-9s %-32s ", d->backend->name, k->name);
    if (r->status == BF_NOT_TIMED) {
        printf("NOT TIMED  %s\n%42s%s\n", r->note, "", c->line);
        return;
    }
    double bytes = (double)(r->bytes_read + r->bytes_written);
    char memcpy_share[16] = "-", share[64] = "";
    if (b->memcpy_bandwidth > 0 && d->backend->target == BF_CPU)
        snprintf(memcpy_share, sizeof memcpy_share, "%.0f %%", 100 * bytes / r->steady.median / b->memcpy_bandwidth);
    if (r->status != BF_SHORT)
        snprintf(share, sizeof share, "%5.1f %% [%5.1f, %5.1f]", 100 * r->ratio.median, 100 * r->ratio.low, 100 * r->ratio.high);
    /* Arithmetic for each byte beyond what any of the processors can overlap: the rate says more than the bandwidth. */
    double flops = c->op->flops(&c->problem);
    char rate[32] = "";
    if (flops > 8 * bytes) snprintf(rate, sizeof rate, "%.1f GFLOP/s", flops / r->steady.median * 1e-9);
    printf("%8.2f %8.2f  %-23s %8s %8.2f %8.1fx  %s\n%41s %s%s%s\n", bytes / r->steady.median * 1e-9,
           bytes / r->ceiling.median * 1e-9, share, memcpy_share, bytes / r->hot * 1e-9, r->first / r->steady.median,
           bf_bench_status_name(r->status), rate, c->line, c->real && c->file ? "  of " : "", c->real && c->file ? c->file : "");
    fflush(stdout);
}

static void parent_ready(bf_worker *w) {
    device_work *d = w->user;
    bf_record_line(d->b->record, bf_record_device(&d->b->found.device[d->device], 1));
    d->b->proved[d->device] = 1;
}

static void parent_done(bf_worker *w, size_t index, const void *data) {
    device_work *d = w->user;
    bench *b = d->b;
    const bench_row *row = data;
    const bf_measurement *r = &row->m;
    const bf_device *dev = &b->found.device[d->device];
    const bf_case *c = &b->cases.item[row->case_index];
    const bf_kernel *k = bf_kernel_at(row->kernel_index);
    (void)index;
    b->done++;
    *(r->status == BF_NOT_TIMED ? &b->failed : &b->timed) += 1;
    b->invalid += r->status == BF_INVALID, b->unsettled += r->status == BF_UNSETTLED;
    record_row(b, dev, c, k, r);
    show_row(b, dev, c, k, r);
    beside_row(b, dev, c, k, r);
    if (isatty(2)) fprintf(stderr, "bench %zu/%zu ", b->done, b->total), fflush(stderr);
}

static void parent_lost(bf_worker *w, size_t index, bf_status status, const char *why) {
    device_work *d = w->user;
    bench_row r = {.case_index = d->jobs.item[index].case_index, .kernel_index = d->jobs.item[index].kernel_index,
                   .m.status = BF_NOT_TIMED};
    snprintf(r.m.note, sizeof r.m.note, "%s: %.200s", bf_status_name(status), why);
    parent_done(w, index, &r);
}

static void parent_refused(bf_worker *w, const char *why) {
    device_work *d = w->user;
    const bf_device *dev = &d->b->found.device[d->device];
    printf("REFUSED   %s %s: %s\n", dev->backend->name, dev->name, why);
    bf_record_line(d->b->record, json_pack("{s:s, s:s, s:i, s:s}", "type", "refused", "backend", dev->backend->name,
                                           "device", dev->index, "why", why));
    d->b->failed++, d->b->refused++;
}

/* One plain memcpy in one thread: the figure people know, for reference only. */
static void reference_memcpy(bench *b) {
    size_t n = (size_t)2 << 30;
    long pages = sysconf(_SC_AVPHYS_PAGES);
    while (n > (1u << 26) && (double)n * 3 > (double)pages * (double)sysconf(_SC_PAGESIZE)) n /= 2;
    char *from = malloc(n), *to = malloc(n);
    double t[MEMCPY_RUNS];
    if (from && to) {
        memset(from, 1, n), memset(to, 2, n);
        for (int i = 0; i < MEMCPY_RUNS; i++) {
            double t0 = bf_now();
            memcpy(to, from, n);
            __asm__ volatile("" ::"r"(to) : "memory");
            t[i] = bf_now() - t0;
        }
        bf_summary s = bf_summarize(t, MEMCPY_RUNS);
        b->memcpy_bandwidth = 2 * (double)n / s.median;
        printf("memcpy    %.2f GB/s read + written, one thread, one call of %.1f GiB (for reference)\n",
               1e-9 * b->memcpy_bandwidth, (double)n / 0x1p30);
        bf_record_line(b->record, json_pack("{s:s, s:I, s:o, s:f}", "type", "memcpy", "bytes", (json_int_t)n,
                                            "seconds", summary_json(&s), "bandwidth", b->memcpy_bandwidth));
    }
    free(from), free(to);
}

static int run_devices(bench *b, bf_error *err) {
    device_work work[BF_MAX_DEVICES];
    bf_worker worker[BF_MAX_DEVICES];
    memset(work, 0, sizeof work);
    memset(worker, 0, sizeof worker);
    size_t count = 0;
    for (int i = 0; i < b->found.devices; i++) {
        const bf_device *d = &b->found.device[i];
        if (!strncmp(d->backend->name, "simt", 4)) {
            printf("%-9s not timed: it executes GPU source on the CPU, no figure of it means anything\n", d->backend->name);
            continue;
        }
        device_work *k = &work[count];
        *k = (device_work){.b = b, .device = i, .prepared_case = -1};
        if (bf_select_jobs(&b->o->select, &b->cases, d, &k->jobs, err)) return -1;
        b->total += k->jobs.count;
        worker[count++] = (bf_worker){.user = k, .jobs = k->jobs.count, .row_bytes = sizeof(bench_row), .exclusive = 1,
                                      .timeout = b->o->timeout, .open = child_open, .job = child_job,
                                      .ready = parent_ready, .done = parent_done, .lost = parent_lost, .refused = parent_refused};
    }
    if (!b->total) return bf_fail(err, "no kernel to time: no device that is timed runs a matching kernel");
    int large = 0; /* beside small cases two seconds of memcpy say nothing */
    for (size_t i = 0; i < b->cases.count; i++) {
        const bf_case *c = &b->cases.item[i];
        large |= c->op->bytes_read(&c->problem) + c->op->bytes_written(&c->problem) > 1u << 20;
    }
    for (size_t i = 0; i < count && large; i++)
        if (b->found.device[work[i].device].backend->target == BF_CPU && work[i].jobs.count) reference_memcpy(b);
    printf("\n%-9s %-32s %8s %8s  %7s %-15s %8s %8s %9s\n", "backend", "kernel", "GB/s", "ceiling", "of it", "95 % interval",
           "memcpy", "hot GB/s", "1st/later");
    int rc = bf_workers_run(worker, count, 1, &interrupted, err);
    for (size_t i = 0; i < count; i++) free(work[i].jobs.item);
    return rc;
}

int bf_command_bench(bf_options *o) {
    bench b = {.o = o};
    bf_error err = {{0}};
    int line = 0; /* a case line, rather than names of ops */
    for (int i = 0; i < o->select.word_count; i++) line |= strchr(o->select.words[i], '=') != NULL;
    if (!o->select.suite_count && !line && !o->select.weights && !o->select.tier)
        o->select.suites[o->select.suite_count++] = "bench";
    if (!o->select.tier) o->select.tier = "bench"; /* named suites run whole */
    int status = bf_select_devices(&o->select, &b.found, &err);
    if (!status && bf_select_cases(&o->select, &b.cases, &err)) status = BF_EXIT_USAGE;
    if (!status && !(b.record = bf_record_open(o->json, NULL, &err))) status = BF_EXIT_USAGE;
    if (!status) {
        signal(SIGINT, on_interrupt);
        signal(SIGTERM, on_interrupt);
        signal(SIGPIPE, SIG_IGN);
        bf_record_line(b.record, bf_record_run("bench", o->argc, o->argv));
        if (run_devices(&b, &err)) status = BF_EXIT_USAGE;
    }
    if (!status) {
        printf("\n%ld timed (%ld INVALID, %ld unsettled), %ld not timed\n", b.timed, b.invalid, b.unsettled, b.failed);
        status = b.failed || b.invalid || interrupted ? BF_EXIT_FAILED : BF_EXIT_OK;
        if (b.refused && !interrupted && bf_select_proved(&o->select, &b.found, b.proved, &err)) {
            fprintf(stderr, "blackframe: %s\n", err.text);
            status = BF_EXIT_NO_DEVICE;
        }
        bf_record_line(b.record, json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "type", "summary", "timed",
                                           (json_int_t)b.timed, "invalid", (json_int_t)b.invalid, "unsettled",
                                           (json_int_t)b.unsettled, "not_timed", (json_int_t)b.failed, "interrupted", interrupted));
    } else
        fprintf(stderr, "blackframe: %s\n", err.text);
    bf_case_list_free(&b.cases);
    if (b.record && status == BF_EXIT_USAGE && !b.done) bf_record_abandon(b.record);
    else if (b.record && bf_record_close(b.record, &err)) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        status = BF_EXIT_USAGE;
    }
    return status;
}
