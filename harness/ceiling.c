/* ceiling.c: stream kernels on another kernel's buffers. */
#include "ceiling.h"

#include <stdlib.h>
#include <string.h>

#include "../kernels/common/stream.h"
#include "statistics.h"

static const char *const modes[] = {"copy", "read", "write", "triad", "mix"};

enum { BOTH = -1 }; /* in place of a mode: the decision between composed and mixed */
enum { ROUNDS = 5 }; /* of the run that decides between composed and mixed */

/* What a part is to move. Bytes read begin at in[] + skip, bytes written at out[] + skip. */
typedef struct work {
    int mode;
    uint64_t read, written, skip;
} work;

static bf_problem problem_of(const work *w, int store, char *in, char *out, void *word) {
    bf_problem p;
    memset(&p, 0, sizeof p);
    p.dim[STREAM_N] = (int64_t)((w->read ? w->read : w->written) / 16 * 4);
    if (w->mode == STREAM_MIX) p.dim[STREAM_M] = (int64_t)(w->written / 16 * 4);
    p.param[STREAM_MODE] = w->mode, p.param[STREAM_STORE] = store;
    p.type[STREAM_X] = p.type[STREAM_Y] = p.type[STREAM_Z] = BF_F32, p.type[STREAM_C] = BF_U32;
    if (w->read) p.ptr[STREAM_X] = in + w->skip;
    if (w->written) p.ptr[STREAM_Y] = out + w->skip;
    if (w->mode == STREAM_READ || w->mode == STREAM_MIX) p.ptr[STREAM_C] = word;
    return p;
}

/* Copies of the buffers that a choice between variants needs: more bytes than any last-level cache, not all there are. */
static int enough(int copies, uint64_t bytes) {
    double n = 512e6 / (double)(bytes ? bytes : 1) + 1;
    return n < copies ? (int)n : copies;
}

/* best: of the variants before, 0 for the first. What is twice as slow is not asked again. */
static double median_of(bf_ceiling *c, const bf_kernel *k, bf_problem *p, int copies, double *buffer, double best, bf_error *err) {
    double median = 0;
    /* The first pass pays for page faults, module load and cold branches. */
    for (int pass = 0; pass < 2 && !(best > 0 && median > 2 * best); pass++) {
        if (c->backend->time(c->context, k, p, copies, buffer, err)) return -1;
        median = bf_summarize(buffer, (size_t)copies).median;
    }
    return median;
}

static int usable(const bf_ceiling *c, const bf_kernel *k) {
    return !strcmp(k->op, "stream") && k->target == c->backend->target && k->role != BF_TWIN && (!k->available || k->available());
}

/* Choices made in this process: rows of one run ask for the same mixes of bytes again and again. What was chosen is timed anew beside
 * each kernel; only who is chosen is kept. */
typedef struct choice {
    const bf_backend *backend;
    work w;
    int copies, store, mixed; /* mixed: `faster`'s answer, kernel NULL */
    const bf_kernel *kernel;
} choice;
enum { CHOICES = 64 };
static choice chosen[CHOICES];
static int choices;

static int near(uint64_t a, uint64_t b) { return a == b || (a && b && (double)a < 1.1 * (double)b && (double)b < 1.1 * (double)a); }

static const choice *choice_of(const bf_ceiling *c, const work *w) {
    for (int i = 0; i < choices; i++) {
        const choice *h = &chosen[i];
        if (h->backend == c->backend && h->w.mode == w->mode && near(h->w.read, w->read) && near(h->w.written, w->written) &&
            near((uint64_t)h->copies, (uint64_t)c->copies))
            return h;
    }
    return NULL;
}

void bf_ceiling_forget(void) { choices = 0; }

static void keep_choice(const bf_ceiling *c, const work *w, const bf_kernel *k, int store, int mixed) {
    if (choices < CHOICES) chosen[choices++] = (choice){c->backend, *w, c->copies, store, mixed, k};
}

/* Fastest kernel and kind of store for a part, which is added to c. */
static int calibrate(bf_ceiling *c, work w, void *const *in, void *const *out, bf_error *err) {
    size_t room = sizeof(bf_problem) * (size_t)c->copies;
    double *t = malloc(sizeof *t * (size_t)c->copies), best = 0;
    bf_problem *p = malloc(room), *keep = malloc(room);
    int part = c->part_kernel[0] != NULL, best_store = 0, rc = t && p && keep ? 0 : bf_fail(err, "out of memory");
    const choice *before = choice_of(c, &w);
    for (size_t i = 0; !rc && i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        for (int store = 0; usable(c, k) && store < (w.written ? 2 : 1) && !rc; store++) {
            for (int n = 0; n < c->copies; n++)
                p[n] = problem_of(&w, store, w.read ? in[n] : NULL, w.written ? out[n] : NULL, c->word);
            if (!k->accepts(&p[0]) || (before && (k != before->kernel || store != before->store))) continue;
            double m = before ? 1 : median_of(c, k, p, enough(c->copies, w.read + w.written), t, c->part_kernel[part] ? best : 0, err);
            if (m < 0) rc = -1;
            if (!rc && (!c->part_kernel[part] || m < best)) {
                best = m, best_store = store, c->part_kernel[part] = k;
                memcpy(keep, p, room);
            }
        }
    }
    if (!rc && !c->part_kernel[part]) rc = bf_fail(err, "no stream kernel for %s: no ceiling", modes[w.mode]);
    if (!rc && !before) keep_choice(c, &w, c->part_kernel[part], best_store, 0);
    if (!rc) {
        size_t n = strlen(c->name);
        snprintf(c->name + n, sizeof c->name - n, "%s%s %s%s", n ? " + " : "", c->part_kernel[part]->name, modes[w.mode],
                 best_store ? " nt" : "");
        c->part[part] = keep, keep = NULL;
        c->bytes += w.read / 16 * 16 + w.written / 16 * 16;
    }
    free(t), free(p), free(keep);
    return rc;
}

/* Below 1 % of the bytes a part is noise, and what it would add is not the memory's time but a launch's. */
static int counts(uint64_t bytes, uint64_t all) { return bytes && bytes * 100 >= all; }

static int compose(bf_ceiling *c, void *const *in, void *const *out, uint64_t r, uint64_t w, bf_error *err) {
    uint64_t both = (r < w ? r : w) / 256 * 256; /* what follows starts aligned */
    int rc = 0;
    if (!counts(both, r + w)) both = 0;
    if (both) rc = calibrate(c, (work){STREAM_COPY, both, both, 0}, in, out, err);
    /* Of the other side the rounding may have left something too: that is no third part. */
    if (!rc && r >= w && counts(r - both, r + w)) rc = calibrate(c, (work){STREAM_READ, r - both, 0, both}, in, out, err);
    if (!rc && w > r && counts(w - both, r + w)) rc = calibrate(c, (work){STREAM_WRITE, 0, w - both, both}, in, out, err);
    return rc;
}

static void drop_parts(bf_ceiling *c) {
    free(c->part[0]), free(c->part[1]);
    c->part[0] = c->part[1] = NULL;
}

/* 1 when b moves a byte in less time than a; both run in turn, so that a busy neighbour slows both. -1 with err. */
static int faster(const bf_ceiling *one, const bf_ceiling *other, bf_error *err) {
    bf_ceiling a = *one, b = *other;
    a.copies = b.copies = enough(a.copies, a.bytes);
    size_t n = (size_t)a.copies;
    double *t = malloc(sizeof *t * 2 * ROUNDS * n), *u = t + ROUNDS * n;
    int rc = t ? 0 : bf_fail(err, "out of memory");
    for (size_t i = 0; i < ROUNDS && !rc; i++)
        rc = bf_ceiling_time(&a, t + i * n, err) || bf_ceiling_time(&b, u + i * n, err) ? -1 : 0;
    if (!rc) rc = bf_summarize(u, ROUNDS * n).median / (double)b.bytes < bf_summarize(t, ROUNDS * n).median / (double)a.bytes;
    free(t);
    return rc;
}

int bf_ceiling_open(const bf_backend *b, bf_context *x, int copies, void *const *input, uint64_t input_bytes,
                    void *const *output, uint64_t output_bytes, uint64_t r, uint64_t w, bf_ceiling *c, bf_error *err) {
    memset(c, 0, sizeof *c);
    c->backend = b, c->context = x, c->copies = copies;
    c->word = b->alloc(x, 256, err);
    if (!c->word) return -1;
    if (r > input_bytes) w = (uint64_t)((double)w * (double)input_bytes / (double)r), r = input_bytes;
    if (w > output_bytes) r = (uint64_t)((double)r * (double)output_bytes / (double)w), w = output_bytes;
    bf_ceiling mixed = *c;
    int rc = compose(c, input, output, r, w, err);
    if (!rc && counts(r, r + w) && counts(w, r + w) && r >= 16 && w >= 16) {
        rc = calibrate(&mixed, (work){STREAM_MIX, r, w, 0}, input, output, err);
        work both = {BOTH, r, w, 0};
        const choice *before = choice_of(c, &both);
        int better = rc ? -1 : before ? before->mixed : faster(c, &mixed, err);
        if (better >= 0 && !before) keep_choice(c, &both, NULL, 0, better);
        if (better > 0) drop_parts(c), *c = mixed;
        else drop_parts(&mixed);
        if (better < 0) rc = -1;
    }
    if (!rc && !c->part_kernel[0]) rc = bf_fail(err, "nothing to stream: no ceiling");
    if (rc) bf_ceiling_close(c);
    return rc;
}

void bf_ceiling_close(bf_ceiling *c) {
    if (c->word) c->backend->free(c->context, c->word);
    drop_parts(c);
    memset(c, 0, sizeof *c);
}

int bf_ceiling_time(bf_ceiling *c, double *seconds, bf_error *err) {
    double *more = malloc(sizeof *more * (size_t)c->copies);
    if (!more) return bf_fail(err, "out of memory");
    int rc = c->backend->time(c->context, c->part_kernel[0], c->part[0], c->copies, seconds, err);
    if (!rc && c->part_kernel[1]) {
        rc = c->backend->time(c->context, c->part_kernel[1], c->part[1], c->copies, more, err);
        for (int i = 0; i < c->copies && !rc; i++) seconds[i] += more[i];
    }
    free(more);
    return rc;
}
