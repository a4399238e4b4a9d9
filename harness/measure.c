/* measure.c: see the header. */
#define _GNU_SOURCE
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ceiling.h"
#include "worker.h"

enum { MIN_ROUNDS = 9, MAX_ROUNDS = 1000, MAX_COPIES = 2048, PEER_ROUNDS = 27 };

#define SHORT_S 20e-6
#define POWER_S 0.4    /* kernel alone: several times as long as a GPU averages its power over (25 to 100 ms) */
/* An OpenMP worker spins for some milliseconds after its work (libgomp, OMP_WAIT_POLICY undefined), on the processor that whoever comes
 * next needs: ggml's took a third off the kernel timed right after it. */
#define PEER_REST_US 20000
#define BATCH_S 10e-3 /* time for one ratio: long beside a clock's tick, short beside a neighbour's moods */

const char *bf_bench_status_name(bf_bench_status s) {
    static const char *const name[] = {"VALID", "UNSETTLED", "SHORT", "INVALID", "NOT TIMED"};
    return name[s];
}

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
    bf_peer peer[BF_MAX_PEERS];
    double peer_launch[BF_MAX_PEERS], peer_s[BF_MAX_PEERS][PEER_ROUNDS], peer_ratio[BF_MAX_PEERS][PEER_ROUNDS];
    int peers;
} rig;

static void rig_close(rig *r) {
    for (int i = 0; i < r->peers; i++) r->peer[i].close(&r->peer[i]);
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

static int rig_open(rig *r, const bf_device *dev, double size, const bf_prepared *pre, bf_measurement *row, bf_error *err) {
    if (pre->c->op->tensors(&pre->c->problem, r->k->path, r->t, err)) return -1;
    uint64_t set = 0;
    for (int i = 0; i < BF_MAX_TENSORS; i++) set += r->t[i].role == BF_UNUSED ? 0 : r->t[i].bytes;
    double want = 8.0 * (double)dev->cache; /* half of them lie between two uses of a buffer */
    if (size > want) want = size;
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
static int admit(rig *r, const bf_prepared *pre, bf_measurement *row, bf_error *err) {
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
    row->status = BF_NOT_TIMED;
    snprintf(row->note, sizeof row->note, "its check says %s: %.200s", bf_status_name(v.status), v.note);
    return 1;
}

/* The i-th peer of the device, where it is there and has the op. simt has none: its time says nothing. */
static int open_peer(rig *r, const bf_measure_options *o, const bf_prepared *pre, int i, bf_peer *p) {
    if (r->b->gpu) return !i && bf_peer_gpu_open(r->b, r->x, pre, r->t, r->problem, r->copies, p);
    if (r->b->target != BF_CPU) return 0;
    return i ? bf_peer_blas_open(pre, r->problem, r->copies, o->threads, p)
             : bf_peer_ggml_open(o->peers, pre, r->problem, r->copies, o->threads, p);
}

/* One launch, timed. */
static int run_peer(bf_peer *p, int copy, double *seconds) {
    double t0 = bf_now();
    p->seconds = 0;
    if (p->run(p, copy)) return -1;
    *seconds = p->seconds > 0 ? p->seconds : bf_now() - t0;
    return 0;
}

/* Opens the peers, judges what they answer on copy 0, and has each run once more to know how long it takes. */
static void invite(rig *r, const bf_measure_options *o, const bf_prepared *pre, bf_measurement *row) {
    if (!o->peers) return;
    bf_peer p;
    double ours = bf_peer_error(pre, r->t);
    for (int i = 0; i < BF_MAX_PEERS; i++) {
        if (!open_peer(r, o, pre, i, &p)) continue;
        bf_peer_measurement *m = &row->peer[r->peers];
        snprintf(m->name, sizeof m->name, "%s", p.name), snprintf(m->how, sizeof m->how, "%s", p.how);
        m->ours = ours;
        int rc = p.run(&p, 0);
        if (!rc) m->worst = bf_peer_judge(&p, r->t);
        if (rc || run_peer(&p, r->copies > 1, &r->peer_launch[r->peers])) {
            p.close(&p);
            continue;
        }
        r->peer[r->peers++] = p;
    }
    row->peers = r->peers;
}

static int settled(const bf_summary *s) { return s->high - s->low < 0.02 * s->median; }

/* Who takes a turn in a round: the kernel, its ceiling, the peers. */
static int turns(const rig *r) { return 2 + r->peers; }

/* The copies a turn begins with. Each turn has a section of the copies to itself and goes through it batch by batch, so that what it
 * finds was last used most of a rotation ago. Sections change hands after each pass, unless a pass is one batch: then the next would
 * begin with what was used just now. */
static int place_of(const rig *r, int turn, int batch, int round) {
    int section = r->copies / turns(r), steps = section / batch;
    if (steps < 1) return 0; /* fewer copies than turns */
    if (steps > 1) turn += round / steps;
    return turn % turns(r) * section + round % steps * batch;
}

/* Launches for one ratio; at most a section. */
static int batch_of(const rig *r, double launch) {
    int most = r->copies >= turns(r) ? r->copies / turns(r) : 1;
    double n = launch > 0 ? ceil(BATCH_S / launch) : most;
    return n < most ? (n < 1 ? 1 : (int)n) : most;
}

/* One batch of launches of the kernel, from copy `at` on, and of the ceiling, from copy `there` on. */
static int time_batch(rig *r, const bf_ceiling *all, int at, int there, int batch, bf_error *err) {
    bf_ceiling some = *all;
    some.copies = batch;
    for (int i = 0; i < 2; i++)
        if (some.part[i]) some.part[i] += there;
    return r->b->time(r->x, r->k, r->problem + at, batch, r->kernel_s, err) || bf_ceiling_time(&some, r->ceiling_s, err);
}

/* The peers' turns of a round in which the kernel took `launch` seconds a launch. */
static int time_peers(rig *r, int batch, double launch, int round, bf_error *err) {
    for (int i = 0; i < r->peers; i++) {
        bf_peer *p = &r->peer[i];
        double t[MAX_COPIES];
        int there = place_of(r, i + 2, batch, round), n = (int)(2 * BATCH_S / r->peer_launch[i]) + 1;
        if (n > batch) n = batch;
        for (int c = 0; c < n; c++)
            if (run_peer(p, there + c, &t[c])) return bf_fail(err, "peer %s: a launch failed", p->name);
        if (!r->b->gpu) usleep(PEER_REST_US);
        r->peer_s[i][round] = bf_summarize(t, (size_t)n).median;
        r->peer_ratio[i][round] = launch > 0 ? r->peer_s[i][round] / launch : 0;
    }
    return 0;
}

/* What the samples come to. scale: bytes of the kernel for each byte of the ceiling. */
static void summarise(rig *r, bf_measurement *row, size_t samples, double scale) {
    row->steady = bf_summarize(r->all_kernel, samples);
    row->ceiling = bf_summarize(r->all_ceiling, samples);
    /* The ceiling's time for this kernel's number of bytes. */
    row->ceiling.median *= scale, row->ceiling.low *= scale, row->ceiling.high *= scale;
    row->ceiling.min *= scale, row->ceiling.max *= scale, row->ceiling.p25 *= scale, row->ceiling.p75 *= scale;
    row->ratio = bf_summarize(r->ratio, (size_t)row->rounds);
    row->status = row->steady.median < SHORT_S || row->ceiling.median < SHORT_S ? BF_SHORT
                  : row->ratio.low > 1.03                                       ? BF_INVALID
                  : settled(&row->ratio)                                        ? BF_VALID
                                                                                : BF_UNSETTLED;
}

static int measure(rig *r, bf_ceiling *c, double budget, bf_measurement *row, bf_error *err) {
    double scale = (double)(row->bytes_read + row->bytes_written) / (double)c->bytes, start = bf_now();
    int batch = r->copies;
    size_t samples = 0;
    /* One pass over all of the copies is not counted: it pays for page faults and says how long a launch takes. */
    if (time_batch(r, c, 0, 0, batch, err)) return -1;
    batch = batch_of(r, bf_summarize(r->kernel_s, (size_t)batch).median);
    for (row->rounds = 0; row->rounds < MAX_ROUNDS;) {
        if (time_batch(r, c, place_of(r, 0, batch, row->rounds), place_of(r, 1, batch, row->rounds), batch, err)) return -1;
        memcpy(r->all_kernel + samples, r->kernel_s, (size_t)batch * sizeof(double));
        memcpy(r->all_ceiling + samples, r->ceiling_s, (size_t)batch * sizeof(double));
        samples += (size_t)batch;
        double ceiling = bf_summarize(r->ceiling_s, (size_t)batch).median, kernel = bf_summarize(r->kernel_s, (size_t)batch).median;
        r->ratio[row->rounds++] = kernel > 0 ? scale * ceiling / kernel : 0;
        if (row->rounds <= PEER_ROUNDS) {
            double t0 = bf_now();
            if (time_peers(r, batch, kernel, row->rounds - 1, err)) return -1;
            start += bf_now() - t0;
        }
        if (row->rounds < MIN_ROUNDS || row->rounds % MIN_ROUNDS) continue;
        double copy[MAX_ROUNDS];
        memcpy(copy, r->ratio, sizeof(double) * (size_t)row->rounds);
        bf_summary s = bf_summarize(copy, (size_t)row->rounds);
        if (settled(&s) || bf_now() - start > budget) break;
    }
    summarise(r, row, samples, scale);
    for (int i = 0; i < r->peers; i++) {
        size_t n = (size_t)(row->rounds < PEER_ROUNDS ? row->rounds : PEER_ROUNDS);
        row->peer[i].seconds = bf_summarize(r->peer_s[i], n), row->peer[i].ratio = bf_summarize(r->peer_ratio[i], n);
    }
    for (int i = 1; i < r->copies; i++) r->problem[i] = r->problem[0];
    for (int pass = 0; pass < 2; pass++)
        if (r->b->time(r->x, r->k, r->problem, batch, r->kernel_s, err)) return -1;
    row->hot = bf_summarize(r->kernel_s, (size_t)batch).median;
    return 0;
}

/* Joules of a launch: the kernel alone, since beside its ceiling and peers the power would be of all of them. */
static int drawn(rig *r, bf_power *power, bf_measurement *row, bf_error *err) {
    long launches = 0;
    if (r->b->time(r->x, r->k, r->problem, r->copies, r->kernel_s, err)) return -1;
    if (bf_power_begin(power)) return 0;
    double start = bf_now();
    int rc = 0;
    do {
        rc = r->b->time(r->x, r->k, r->problem, r->copies, r->kernel_s, err);
        launches += r->copies;
    } while (!rc && bf_now() - start < POWER_S);
    double took = bf_now() - start;
    row->powered = !bf_power_end(power, &row->power) && !rc;
    /* Watts over the time the launches took: the sampler's first and last look lie outside of it. */
    if (row->powered) row->joules = row->power.watts * took / (double)launches;
    return rc;
}

int bf_measure(const bf_device *dev, bf_context *x, const bf_kernel *k, const bf_prepared *pre, const bf_measure_options *o,
               bf_measurement *row, bf_error *err) {
    static rig r; /* too large for a stack, with all the rounds */
    r = (rig){.b = dev->backend, .x = x, .k = k};
    bf_ceiling c = {0};
    row->bytes_read = pre->c->op->bytes_read(&pre->c->problem);
    row->bytes_written = pre->c->op->bytes_written(&pre->c->problem);
    int rc = rig_open(&r, dev, o->size, pre, row, err);
    if (!rc) rc = admit(&r, pre, row, err);
    if (!rc) invite(&r, o, pre, row);
    if (!rc) rc = bf_ceiling_open(r.b, x, r.copies, r.input, r.input_bytes, r.output, r.output_bytes, row->bytes_read,
                                  row->bytes_written, &c, err);
    if (!rc) {
        snprintf(row->ceiling_name, sizeof row->ceiling_name, "%s", c.name);
        rc = o->power ? drawn(&r, o->power, row, err) : 0;
        if (!rc) rc = measure(&r, &c, o->seconds, row, err);
        bf_ceiling_close(&c);
    }
    rig_close(&r);
    return rc;
}
