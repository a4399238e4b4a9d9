/* fail_lab.c: one problem in host memory, run by a kernel that may be broken, on buffers that stay what they are. */
#include "fail.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../reference/number.h"
#include "compare.h"
#include "runner.h"
#include "worker.h"

static int allocate(bf_tensor *t, bf_error *err) {
    t->data = calloc(1, t->bytes + 64);
    return t->data ? 0 : bf_fail(err, "no memory for %s (%llu bytes)", t->name, (unsigned long long)t->bytes);
}

int bf_lab_open(bf_job_run *j, bf_error *err, const char *format, ...) {
    char line[512];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    memset(j, 0, sizeof *j);
    if (n < 0 || (size_t)n >= sizeof line) return bf_fail(err, "the case line is too long");
    if (bf_case_parse_line(line, (size_t)n, NULL, 0, &j->cases, err)) return -1;
    j->c = &j->cases.item[0], j->p = j->c->problem;
    if (j->c->op->tensors(&j->p, NULL, j->t, err)) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (j->t[i].role != BF_UNUSED && allocate(&j->t[i], err)) return -1;
    return j->c->op->fill(j->c, j->t, err);
}

int bf_lab_tensor(bf_job_run *j, int slot, const char *name, bf_tensor_role role, bf_dtype type, int64_t elements,
                  bf_error *err) {
    j->t[slot] = (bf_tensor){.name = name,
                             .role = role,
                             .type = type,
                             .rank = 1,
                             .dim = {elements},
                             .bytes = bf_dtype_bytes(type, elements)};
    j->p.type[slot] = type;
    return allocate(&j->t[slot], err);
}

static void forget(bf_job_run *j) {
    if (j->expected) j->c->op->release(j->expected);
    j->expected = NULL;
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(j->ref[i].ref), free(j->ref[i].bound), j->ref[i] = (bf_dump){0};
}

void bf_lab_close(bf_job_run *j) {
    forget(j);
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(j->t[i].data);
    bf_case_list_free(&j->cases);
    memset(j, 0, sizeof *j);
}

const bf_kernel *bf_lab_kernel(const bf_lab *lab, const char *op, const char *name, const bf_problem *p,
                               bf_error *err) {
    const bf_kernel *best = NULL;
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->target != lab->backend->target || strcmp(k->op, op) || (k->available && !k->available())) continue;
        if (name ? strcmp(k->name, name) : k->role == BF_TWIN || (k->path && strcmp(k->path, "fp32"))) continue;
        if (k->accepts(p) && (!best || k->rank > best->rank)) best = k;
    }
    if (!best)
        bf_fail(err, "%s: no kernel %s%sof %s takes this problem", lab->backend->name, name ? name : "",
                name ? " " : "", op);
    return best;
}

/* ---- one launch ---- */

typedef struct launch {
    const bf_lab *lab;
    void *base[BF_MAX_TENSORS], *scratch;
    bf_problem p;
} launch;

static void launch_close(launch *l) {
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (l->base[i]) l->lab->backend->free(l->lab->context, l->base[i]);
    if (l->scratch) l->lab->backend->free(l->lab->context, l->scratch);
}

static int upload(launch *l, bf_job_run *j, int i, bf_error *err) {
    bf_tensor *t = &j->t[i];
    uint64_t slack = t->role == BF_INPUT ? j->slack : 0, bytes = t->bytes + slack;
    unsigned char *host = malloc(bytes ? bytes : 1);
    if (!host) return bf_fail(err, "no memory for %s", t->name);
    bf_poison(host, BF_F32, bytes, 0);
    if (t->role == BF_INPUT)
        memcpy(host, t->data, t->bytes);
    else
        bf_poison(host, t->type, t->bytes, 0);
    l->base[i] = l->p.ptr[i] = l->lab->backend->alloc(l->lab->context, bytes, err);
    int rc = l->base[i] ? l->lab->backend->upload(l->lab->context, l->base[i], host, bytes, err) : -1;
    free(host);
    return rc;
}

static int launch_open(launch *l, bf_job_run *j, bf_error *err) {
    const bf_backend *b = l->lab->backend;
    bf_tensor own[BF_MAX_TENSORS];
    memcpy(own, j->t, sizeof own);
    /* The kernel's own path may use fewer tensors than all paths together. */
    if (j->c && j->c->op->tensors(&j->c->problem, j->kernel->path, own, err)) return -1;
    l->p = j->p;
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        l->p.ptr[i] = NULL;
        if (own[i].role != BF_UNUSED && upload(l, j, i, err)) return -1;
    }
    uint64_t scratch = j->kernel->scratch ? j->kernel->scratch(&l->p) : 0;
    if (!scratch) return 0;
    unsigned char *host = malloc(scratch);
    if (!host) return bf_fail(err, "%s: no memory for %llu bytes of scratch", j->kernel->name, (unsigned long long)scratch);
    bf_poison(host, BF_F32, scratch, 0);
    l->scratch = l->p.scratch = b->alloc(l->lab->context, scratch, err);
    int rc = l->scratch ? b->upload(l->lab->context, l->scratch, host, scratch, err) : -1;
    free(host);
    return rc;
}

static int launched(const bf_lab *lab, bf_job_run *j, const char *op, const char *kernel, double *seconds,
                    bf_error *err) {
    launch l = {.lab = lab};
    if (!(j->kernel = bf_lab_kernel(lab, op, kernel, &j->p, err))) return -1;
    int rc = launch_open(&l, j, err);
    double begin = bf_now();
    if (!rc) rc = lab->backend->run(lab->context, j->kernel, &l.p, err);
    *seconds = bf_now() - begin;
    for (int i = 0; i < BF_MAX_TENSORS && !rc; i++)
        if (j->t[i].role == BF_OUTPUT && l.base[i])
            rc = lab->backend->download(lab->context, j->t[i].data, l.base[i], j->t[i].bytes, err);
    launch_close(&l);
    return rc;
}
int bf_lab_run(const bf_lab *lab, bf_job_run *j, const char *op, const char *kernel, bf_error *err) {
    double seconds;
    return launched(lab, j, op, kernel, &seconds, err);
}
int bf_lab_once(const bf_lab *lab, bf_job_run *j, const char *op, const char *kernel, double *seconds,
                bf_error *err) {
    return launched(lab, j, op, kernel, seconds, err);
}

int bf_lab_time(const bf_lab *lab, bf_job_run *j, const char *op, const char *kernel, int count, double distinct,
                double *seconds, bf_error *err) {
    bf_problem *turn = calloc((size_t)count, sizeof *turn);
    launch *l = calloc((size_t)count, sizeof *l);
    int copies = 0, rc = turn && l ? 0 : bf_fail(err, "out of memory");
    double set = 1;
    for (int i = 0; i < BF_MAX_TENSORS; i++) set += j->t[i].role == BF_UNUSED ? 0 : (double)j->t[i].bytes;
    if (!rc && !(j->kernel = bf_lab_kernel(lab, op, kernel, &j->p, err))) rc = -1;
    while (!rc && copies < count && (copies == 0 || copies * set < distinct)) {
        l[copies].lab = lab;
        rc = launch_open(&l[copies++], j, err);
    }
    for (int i = 0; !rc && i < count; i++) turn[i] = l[i % copies].p;
    if (!rc) rc = lab->backend->time(lab->context, j->kernel, turn, count, seconds, err);
    for (int i = 0; i < copies; i++) launch_close(&l[i]);
    free(turn), free(l);
    return rc;
}

/* ---- what is right ---- */

int bf_lab_expect(const bf_lab *lab, bf_job_run *j, bf_error *err) {
    const bf_kernel *k = bf_lab_kernel(lab, j->c->op->name, NULL, &j->c->problem, err);
    forget(j);
    if (!k || !(j->expected = j->c->op->expect(j->c, j->t, err))) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (j->t[i].role == BF_OUTPUT && bf_op_dump(j->c, k, j->t, j->expected, i, &j->ref[i], err) < 0) return -1;
    return 0;
}

int bf_lab_judge(bf_job_run *j, bf_fail_side *side) {
    bf_verdict v;
    j->c->op->judge(j->c, j->kernel, j->t, j->expected, &v);
    if (v.status == BF_PASS && v.worst > 0)
        snprintf(side->judged, sizeof side->judged, "PASS, worst error %.2g of the bound", v.worst);
    else
        snprintf(side->judged, sizeof side->judged, "%s%s", bf_status_name(v.status),
                 v.status == BF_PASS ? ", exact" : "");
    if (v.status == BF_FAIL)
        snprintf(side->judged, sizeof side->judged, "FAIL, %lld of %lld wrong", (long long)v.mismatched,
                 (long long)v.outputs);
    return v.status == BF_PASS;
}

int64_t bf_lab_wrong(const bf_job_run *j, int slot) {
    const bf_dump *d = &j->ref[slot];
    int64_t n = 0;
    for (int64_t i = 0; i < d->count; i++) {
        double v = bf_lab_get(&j->t[slot], i);
        n += isfinite(v) && !isnan(d->bound[i]) && !(fabs(v - d->ref[i]) <= d->bound[i]);
    }
    return n;
}

int bf_lab_pair(const bf_lab *lab, bf_job_run *j, const bf_fail_entry *e, int slot, bf_fail_result *r,
                bf_error *err) {
    const char *op = j->c->op->name;
    r->sides = 2;
    if (bf_lab_expect(lab, j, err) || bf_lab_run(lab, j, op, e->sound.kernel, err)) return -1;
    bf_lab_census(&r->sound, &j->t[slot], 0, j->ref[slot].count, NULL);
    bf_lab_name(&r->sound, j, NULL);
    bf_fail_require(r, bf_lab_judge(j, &r->sound), "the sound kernel does not pass: %s", r->sound.judged);
    r->sound.has_first = 0;
    if (bf_lab_run(lab, j, op, e->broken.kernel, err)) return -1;
    bf_lab_census(&r->broken, &j->t[slot], 0, j->ref[slot].count, j->ref[slot].ref);
    r->broken.wrong += bf_lab_wrong(j, slot);
    bf_lab_name(&r->broken, j, NULL);
    return 0;
}

double bf_lab_get(const bf_tensor *t, int64_t i) { return bf_element_value(t, i); }

void bf_lab_put(const bf_tensor *t, int64_t i, double value) {
    uint32_t bits = bf_ref_encode(t->type, value);
    uint64_t size = bf_dtype_bytes(t->type, 1);
    memcpy((char *)t->data + (uint64_t)i * size, &bits, size);
}

void bf_lab_first(bf_fail_side *s, const bf_tensor *t, int64_t i, double source) {
    s->has_first = 1, s->index = i, s->type = t->type;
    snprintf(s->tensor, sizeof s->tensor, "%s", t->name);
    s->bits = bf_element_bits(t, i), s->got = bf_element_value(t, i), s->source = source;
}

void bf_lab_census(bf_fail_side *s, const bf_tensor *t, int64_t begin, int64_t end, const double *source) {
    int64_t zero_at = -1, bad_at = -1;
    for (int64_t i = begin; i < end; i++) {
        double v = bf_lab_get(t, i);
        s->values++;
        s->nan += isnan(v) != 0, s->inf += isinf(v) != 0, s->zero += v == 0;
        if (bad_at < 0 && !isfinite(v)) bad_at = i;
        if (zero_at < 0 && v == 0 && source && source[i] != 0) zero_at = i;
    }
    int64_t at = bad_at >= 0 ? bad_at : zero_at;
    if (at >= 0 && !s->has_first) bf_lab_first(s, t, at, source ? source[at] : NAN);
}

void bf_lab_name(bf_fail_side *s, const bf_job_run *j, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = snprintf(s->what, sizeof s->what, "%s", j->kernel ? j->kernel->name : "");
    if (format && n >= 0 && (size_t)n < sizeof s->what)
        vsnprintf(s->what + n, sizeof s->what - (size_t)n, format, ap);
    va_end(ap);
}
