/* bench.c: `blackframe bench`: time of a kernel on rotated buffers, beside the ceiling on the same buffers in the same run.
 *
 * Only what passed its check on these very inputs is timed. Rounds alternate kernel and ceiling, so that a busy neighbour slows
 * both; the ratio is formed inside a round. A round is some of the copies, and the ceiling is half of the rotation away from
 * the kernel, so that neither finds the other's buffers in a cache. A kernel whose interval lies wholly above 1.03 of the
 * ceiling is INVALID, not fast. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ceiling.h"
#include "options.h"
#include "record.h"
#include "runner.h"
#include "statistics.h"
#include "worker.h"

enum { MIN_ROUNDS = 9, MAX_ROUNDS = 1000, MAX_COPIES = 2048, MEMCPY_RUNS = 5 };

/* SHORT: a launch of less than SHORT_S is the launch's own cost, and no fraction of a ceiling. */
typedef enum bench_status { VALID, UNSETTLED, SHORT, INVALID, NOT_TIMED } bench_status;
static const char *const status_name[] = {"VALID", "UNSETTLED", "SHORT", "INVALID", "NOT TIMED"};
#define SHORT_S 20e-6
#define BATCH_S 10e-3 /* time for one ratio: long beside a clock's tick, short beside a neighbour's moods */

typedef struct bench_row {
    uint32_t case_index, kernel_index;
    bench_status status;
    double first, second;             /* seconds, host clock, the very first launches of this kernel in this process */
    bf_summary steady, ceiling, ratio; /* seconds of one launch; ratio of bandwidths, kernel to ceiling */
    double hot;                       /* median seconds, one set of buffers again and again */
    double worst;                     /* of the check that admitted it */
    uint64_t bytes_read, bytes_written, distinct;
    int copies, rounds;
    char ceiling_name[160], note[256];
} bench_row;

typedef struct bench {
    bf_options *o;
    bf_case_list cases;
    bf_discovery found;
    bf_record *record;
    long timed, invalid, unsettled, failed;
    double memcpy_bandwidth; /* bytes read and written a second, one thread; 0: not measured */
    size_t done, total;
} bench;

typedef struct device_work {
    bench *b;
    int device;
    bf_job_list jobs;
    bf_context *context;
    bf_prepared prepared;
    int prepared_case;
} device_work;

static volatile int interrupted;
static void on_interrupt(int sig) { (void)sig, interrupted = 1; }

/* ---- in the child: one kernel on one case ---- */

typedef struct rig {
    const bf_backend *b;
    bf_context *x;
    const bf_kernel *k;
    bf_tensor t[BF_MAX_TENSORS];
    int copies;
    bf_arena *arena;
    bf_problem *problem;
    void **input, **output; /* the largest of each, a pointer a copy */
    uint64_t input_bytes, output_bytes;
    double *kernel_s, *ceiling_s, *all_kernel, *all_ceiling, ratio[MAX_ROUNDS];
} rig;

static void rig_close(rig *r) {
    for (int i = 0; r->arena && i < r->copies; i++) bf_arena_close(&r->arena[i]);
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (r->t[i].role == BF_OUTPUT) free(r->t[i].data);
    free(r->arena), free(r->problem), free(r->input), free(r->output), free(r->kernel_s), free(r->ceiling_s);
    free(r->all_kernel), free(r->all_ceiling);
}

static int largest(const rig *r, bf_tensor_role role) {
    int best = -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (r->t[i].role == role && (best < 0 || r->t[i].bytes > r->t[best].bytes)) best = i;
    return best;
}

static int fill_copy(rig *r, int n, const bf_prepared *pre, bf_error *err) {
    r->problem[n] = pre->c->problem;
    if (bf_arena_open(r->b, r->x, r->t, r->k->scratch ? r->k->scratch(&pre->c->problem) : 0, &r->problem[n],
                      &r->arena[n], err))
        return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        bf_tensor *t = &r->t[i];
        if (t->role == BF_UNUSED) continue;
        if (t->role == BF_OUTPUT) bf_poison(t->data, t->type, t->bytes, 0);
        if (r->b->upload(r->x, r->problem[n].ptr[i], t->data, t->bytes, err)) return -1;
    }
    int in = largest(r, BF_INPUT), out = largest(r, BF_OUTPUT);
    r->input[n] = in >= 0 ? r->problem[n].ptr[in] : NULL, r->input_bytes = in >= 0 ? r->t[in].bytes : 0;
    r->output[n] = out >= 0 ? r->problem[n].ptr[out] : NULL, r->output_bytes = out >= 0 ? r->t[out].bytes : 0;
    return 0;
}

static int rig_open(rig *r, device_work *d, const bf_prepared *pre, bench_row *row, bf_error *err) {
    const bf_device *dev = &d->b->found.device[d->device];
    if (pre->c->op->tensors(&pre->c->problem, r->k->path, r->t, err)) return -1;
    uint64_t set = 0;
    for (int i = 0; i < BF_MAX_TENSORS; i++) set += r->t[i].role == BF_UNUSED ? 0 : r->t[i].bytes;
    double want = 8.0 * (double)dev->cache; /* half of them lie between two uses of a buffer */
    if (d->b->o->size > want) want = d->b->o->size;
    if (!dev->cache && want < 512e6) want = 512e6;
    double copies = ceil(want / (double)(set ? set : 1)), room = 0.6 * (double)dev->memory;
    if (dev->memory && copies * (double)set > room) copies = floor(room / (double)set);
    r->copies = copies < 1 ? 1 : copies > MAX_COPIES ? MAX_COPIES : (int)copies;
    size_t n = (size_t)r->copies;
    r->arena = calloc(n, sizeof *r->arena), r->problem = calloc(n, sizeof *r->problem);
    r->input = calloc(n, sizeof(void *)), r->output = calloc(n, sizeof(void *));
    r->kernel_s = calloc(n, sizeof(double)), r->ceiling_s = calloc(n, sizeof(double));
    r->all_kernel = calloc(n * MAX_ROUNDS, sizeof(double)), r->all_ceiling = calloc(n * MAX_ROUNDS, sizeof(double));
    if (!r->arena || !r->problem || !r->input || !r->output || !r->kernel_s || !r->ceiling_s || !r->all_kernel ||
        !r->all_ceiling)
        return bf_fail(err, "out of memory");
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (r->t[i].role == BF_INPUT) r->t[i].data = pre->t[i].data;
        if (r->t[i].role == BF_OUTPUT && !(r->t[i].data = malloc(r->t[i].bytes ? r->t[i].bytes : 1)))
            return bf_fail(err, "out of memory");
    }
    for (int i = 0; i < r->copies; i++)
        if (fill_copy(r, i, pre, err)) return -1;
    row->copies = r->copies, row->distinct = set * (uint64_t)r->copies;
    return 0;
}

/* The first launches, and the check that admits the kernel to the timing. 1: not admitted. */
static int admit(rig *r, const bf_prepared *pre, bench_row *row, bf_error *err) {
    double t0 = bf_now();
    if (r->b->run(r->x, r->k, &r->problem[0], err)) return -1;
    double t1 = bf_now();
    if (r->b->run(r->x, r->k, &r->problem[r->copies > 1], err)) return -1;
    row->first = t1 - t0, row->second = bf_now() - t1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (r->t[i].role == BF_OUTPUT && r->b->download(r->x, r->t[i].data, r->problem[0].ptr[i], r->t[i].bytes, err))
            return -1;
    bf_verdict v;
    pre->c->op->judge(pre->c, r->k, r->t, pre->expected, &v);
    row->worst = v.worst;
    if (v.status == BF_PASS) return 0;
    row->status = NOT_TIMED;
    snprintf(row->note, sizeof row->note, "its check says %s: %.200s", bf_status_name(v.status), v.note);
    return 1;
}

static int settled(const bf_summary *s) { return s->high - s->low < 0.02 * s->median; }

/* Launches for one ratio; at most half of the copies. */
static int batch_of(const rig *r, double launch) {
    int most = r->copies > 1 ? r->copies / 2 : 1;
    double n = launch > 0 ? ceil(BATCH_S / launch) : most;
    return n < most ? (n < 1 ? 1 : (int)n) : most;
}

/* One batch of launches from copy `at` on, of the kernel and, half of the rotation on, of the ceiling. */
static int time_batch(rig *r, const bf_ceiling *all, int at, int batch, bf_error *err) {
    bf_ceiling some = *all;
    int there = (at + r->copies / 2) % r->copies;
    if (there + batch > r->copies) there = r->copies - batch;
    some.copies = batch;
    for (int i = 0; i < 2; i++)
        if (some.part[i]) some.part[i] += there;
    return r->b->time(r->x, r->k, r->problem + at, batch, r->kernel_s, err) || bf_ceiling_time(&some, r->ceiling_s, err);
}

/* What the samples come to. scale: bytes of the kernel for each byte of the ceiling. */
static void summarise(rig *r, bench_row *row, size_t samples, double scale) {
    row->steady = bf_summarize(r->all_kernel, samples);
    row->ceiling = bf_summarize(r->all_ceiling, samples);
    /* The ceiling's time for this kernel's number of bytes. */
    row->ceiling.median *= scale, row->ceiling.low *= scale, row->ceiling.high *= scale;
    row->ceiling.min *= scale, row->ceiling.max *= scale, row->ceiling.p25 *= scale, row->ceiling.p75 *= scale;
    row->ratio = bf_summarize(r->ratio, (size_t)row->rounds);
    row->status = row->steady.median < SHORT_S || row->ceiling.median < SHORT_S ? SHORT
                  : row->ratio.low > 1.03                                       ? INVALID
                  : settled(&row->ratio)                                        ? VALID
                                                                                : UNSETTLED;
}

static int measure(rig *r, bf_ceiling *c, double budget, bench_row *row, bf_error *err) {
    double scale = (double)(row->bytes_read + row->bytes_written) / (double)c->bytes, start = bf_now();
    int batch = r->copies, at = 0;
    size_t samples = 0;
    /* One pass over all of the copies is not counted: it pays for page faults and says how long a launch takes. */
    if (time_batch(r, c, 0, batch, err)) return -1;
    batch = batch_of(r, bf_summarize(r->kernel_s, (size_t)batch).median);
    for (row->rounds = 0; row->rounds < MAX_ROUNDS; at = at + 2 * batch <= r->copies ? at + batch : 0) {
        if (time_batch(r, c, at, batch, err)) return -1;
        memcpy(r->all_kernel + samples, r->kernel_s, (size_t)batch * sizeof(double));
        memcpy(r->all_ceiling + samples, r->ceiling_s, (size_t)batch * sizeof(double));
        samples += (size_t)batch;
        double ceiling = bf_summarize(r->ceiling_s, (size_t)batch).median, kernel = bf_summarize(r->kernel_s, (size_t)batch).median;
        r->ratio[row->rounds++] = kernel > 0 ? scale * ceiling / kernel : 0;
        if (row->rounds < MIN_ROUNDS || row->rounds % MIN_ROUNDS) continue;
        double copy[MAX_ROUNDS];
        memcpy(copy, r->ratio, sizeof(double) * (size_t)row->rounds);
        bf_summary s = bf_summarize(copy, (size_t)row->rounds);
        if (settled(&s) || bf_now() - start > budget) break;
    }
    summarise(r, row, samples, scale);
    for (int i = 1; i < r->copies; i++) r->problem[i] = r->problem[0];
    for (int pass = 0; pass < 2; pass++)
        if (r->b->time(r->x, r->k, r->problem, batch, r->kernel_s, err)) return -1;
    row->hot = bf_summarize(r->kernel_s, (size_t)batch).median;
    return 0;
}

static int run_job(device_work *d, const bf_prepared *pre, const bf_kernel *k, bench_row *row, bf_error *err) {
    const bf_backend *b = d->b->found.device[d->device].backend;
    rig r = {.b = b, .x = d->context, .k = k};
    bf_ceiling c = {0};
    row->bytes_read = pre->c->op->bytes_read(&pre->c->problem);
    row->bytes_written = pre->c->op->bytes_written(&pre->c->problem);
    int rc = rig_open(&r, d, pre, row, err);
    if (!rc) rc = admit(&r, pre, row, err);
    if (!rc) rc = bf_ceiling_open(b, d->context, r.copies, r.input, r.input_bytes, r.output, r.output_bytes,
                                  row->bytes_read, row->bytes_written, &c, err);
    if (!rc) {
        snprintf(row->ceiling_name, sizeof row->ceiling_name, "%s", c.name);
        rc = measure(&r, &c, d->b->o->seconds, row, err);
        bf_ceiling_close(&c);
    }
    rig_close(&r);
    return rc;
}

static int child_open(bf_worker *w, bf_error *err) {
    device_work *d = w->user;
    const bf_device *dev = &d->b->found.device[d->device];
    char threads[16];
    d->prepared_case = -1;
    snprintf(threads, sizeof threads, "%d", d->b->o->threads);
    if (d->b->o->threads) setenv("BF_CPU_THREADS", threads, 1);
    d->context = bf_open_proved(dev, err);
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
    if (d->prepared_case < 0 || run_job(d, &d->prepared, bf_kernel_at(j.kernel_index), row, &err) < 0) {
        row->status = NOT_TIMED;
        snprintf(row->note, sizeof row->note, "%.250s", err.text);
    }
    const bf_backend *b = d->b->found.device[d->device].backend;
    return b->lost && b->lost(d->context);
}

/* ---- in the parent ---- */

static json_t *summary_json(const bf_summary *s) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "median", bf_json_real(s->median), "low",
                     bf_json_real(s->low), "high", bf_json_real(s->high), "min", bf_json_real(s->min), "max",
                     bf_json_real(s->max), "p25", bf_json_real(s->p25), "p75", bf_json_real(s->p75), "samples",
                     (json_int_t)s->count);
}

static void record_row(bench *b, const bf_device *d, const bench_row *r) {
    const bf_kernel *k = bf_kernel_at(r->kernel_index);
    const bf_case *c = &b->cases.item[r->case_index];
    double bytes = (double)(r->bytes_read + r->bytes_written);
    json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "type", "bench", "backend",
                          d->backend->name, "device", d->index, "name", d->name, "arch", d->arch, "object", d->object,
                          "op", k->op, "kernel", k->name, "case", c->line, "status", status_name[r->status], "note", r->note);
    json_object_set_new(o, "source", json_string(c->file ? c->file : "command line"));
    json_object_set_new(o, "role", json_string(k->role == BF_NAIVE ? "naive" : "tuned"));
    json_object_set_new(o, "bytes_read", json_integer((json_int_t)r->bytes_read));
    json_object_set_new(o, "bytes_written", json_integer((json_int_t)r->bytes_written));
    json_object_set_new(o, "distinct_bytes", json_integer((json_int_t)r->distinct));
    json_object_set_new(o, "copies", json_integer(r->copies));
    json_object_set_new(o, "rounds", json_integer(r->rounds));
    json_object_set_new(o, "worst", bf_json_real(r->worst));
    if (r->status != NOT_TIMED) {
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
    bf_record_line(b->record, o);
}

static void show_row(const bench *b, const bf_device *d, const bf_case *c, const bf_kernel *k, const bench_row *r) {
    if (isatty(2)) fprintf(stderr, "\r\033[K");
    printf("%-9s %-32s ", d->backend->name, k->name);
    if (r->status == NOT_TIMED) {
        printf("NOT TIMED  %s\n%42s%s\n", r->note, "", c->line);
        return;
    }
    double bytes = (double)(r->bytes_read + r->bytes_written);
    char memcpy_share[16] = "-", share[64] = "";
    if (b->memcpy_bandwidth > 0 && d->backend->target == BF_CPU)
        snprintf(memcpy_share, sizeof memcpy_share, "%.0f %%", 100 * bytes / r->steady.median / b->memcpy_bandwidth);
    if (r->status != SHORT)
        snprintf(share, sizeof share, "%5.1f %% [%5.1f, %5.1f]", 100 * r->ratio.median, 100 * r->ratio.low, 100 * r->ratio.high);
    /* Arithmetic for each byte beyond what any of the processors can overlap: the rate says more than the bandwidth. */
    double flops = c->op->flops(&c->problem);
    char rate[32] = "";
    if (flops > 8 * bytes) snprintf(rate, sizeof rate, "%.1f GFLOP/s", flops / r->steady.median * 1e-9);
    printf("%8.2f %8.2f  %-23s %8s %8.2f %8.1fx  %s\n%41s %s%s%s\n", bytes / r->steady.median * 1e-9,
           bytes / r->ceiling.median * 1e-9, share, memcpy_share, bytes / r->hot * 1e-9, r->first / r->steady.median,
           status_name[r->status], rate, c->line, c->real && c->file ? "  of " : "", c->real && c->file ? c->file : "");
    fflush(stdout);
}

static void parent_ready(bf_worker *w) {
    device_work *d = w->user;
    bf_record_line(d->b->record, bf_record_device(&d->b->found.device[d->device], 1));
}

static void parent_done(bf_worker *w, size_t index, const void *data) {
    device_work *d = w->user;
    bench *b = d->b;
    const bench_row *r = data;
    (void)index;
    b->done++;
    *(r->status == NOT_TIMED ? &b->failed : &b->timed) += 1;
    b->invalid += r->status == INVALID, b->unsettled += r->status == UNSETTLED;
    record_row(b, &b->found.device[d->device], r);
    show_row(b, &b->found.device[d->device], &b->cases.item[r->case_index], bf_kernel_at(r->kernel_index), r);
    if (isatty(2)) fprintf(stderr, "bench %zu/%zu ", b->done, b->total), fflush(stderr);
}

static void parent_lost(bf_worker *w, size_t index, bf_status status, const char *why) {
    device_work *d = w->user;
    bench_row r = {.case_index = d->jobs.item[index].case_index, .kernel_index = d->jobs.item[index].kernel_index,
                   .status = NOT_TIMED};
    snprintf(r.note, sizeof r.note, "%s: %.200s", bf_status_name(status), why);
    parent_done(w, index, &r);
}

static void parent_refused(bf_worker *w, const char *why) {
    device_work *d = w->user;
    const bf_device *dev = &d->b->found.device[d->device];
    printf("REFUSED   %s %s: %s\n", dev->backend->name, dev->name, why);
    bf_record_line(d->b->record, json_pack("{s:s, s:s, s:i, s:s}", "type", "refused", "backend", dev->backend->name,
                                           "device", dev->index, "why", why));
    d->b->failed++;
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
        bf_record_line(b.record, json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "type", "summary", "timed",
                                           (json_int_t)b.timed, "invalid", (json_int_t)b.invalid, "unsettled",
                                           (json_int_t)b.unsettled, "not_timed", (json_int_t)b.failed, "interrupted", interrupted));
    } else
        fprintf(stderr, "blackframe: %s\n", err.text);
    bf_case_list_free(&b.cases);
    if (b.record && bf_record_close(b.record, &err)) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        status = BF_EXIT_USAGE;
    }
    return status;
}
