/* ceiling.c: stream kernels on another kernel's buffers. */
#include "ceiling.h"

#include <stdlib.h>
#include <string.h>

#include "../kernels/common/stream.h"
#include "statistics.h"

static const char *const modes[] = {"copy", "read", "write", "triad"};

static bf_problem problem_of(int mode, int store, uint64_t bytes, void *in, void *out, void *word) {
    bf_problem p;
    memset(&p, 0, sizeof p);
    p.dim[STREAM_N] = (int64_t)(bytes / 16 * 4);
    p.param[STREAM_MODE] = mode, p.param[STREAM_STORE] = store;
    p.type[STREAM_X] = p.type[STREAM_Y] = p.type[STREAM_Z] = BF_F32, p.type[STREAM_C] = BF_U32;
    if (mode == STREAM_COPY || mode == STREAM_READ) p.ptr[STREAM_X] = in;
    if (mode == STREAM_COPY || mode == STREAM_WRITE) p.ptr[STREAM_Y] = out;
    if (mode == STREAM_READ) p.ptr[STREAM_C] = word;
    return p;
}

static double median_of(bf_ceiling *c, const bf_kernel *k, bf_problem *p, double *buffer, bf_error *err) {
    /* The first pass pays for page faults, module load and cold branches. */
    for (int pass = 0; pass < 2; pass++)
        if (c->backend->time(c->context, k, p, c->copies, buffer, err)) return -1;
    return bf_summarize(buffer, (size_t)c->copies).median;
}

/* Fastest kernel and kind of store for one part. */
static int calibrate(bf_ceiling *c, int part, int mode, uint64_t bytes, void *const *in, uint64_t in_skip,
                     void *const *out, uint64_t out_skip, bf_error *err) {
    double *t = malloc(sizeof *t * (size_t)c->copies), best = 0;
    bf_problem *p = malloc(sizeof *p * (size_t)c->copies), *keep = malloc(sizeof *p * (size_t)c->copies);
    int best_store = 0, rc = t && p && keep ? 0 : bf_fail(err, "out of memory");
    for (size_t i = 0; !rc && i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (strcmp(k->op, "stream") || k->target != c->backend->target || k->role == BF_TWIN) continue;
        if (k->available && !k->available()) continue;
        for (int store = 0; store < (mode == STREAM_READ ? 1 : 2) && !rc; store++) {
            for (int n = 0; n < c->copies; n++)
                p[n] = problem_of(mode, store, bytes, in ? (char *)in[n] + in_skip : NULL,
                                  out ? (char *)out[n] + out_skip : NULL, c->word);
            if (!k->accepts(&p[0])) continue;
            double m = median_of(c, k, p, t, err);
            if (m < 0) rc = -1;
            if (!rc && (!c->part_kernel[part] || m < best)) {
                best = m, best_store = store, c->part_kernel[part] = k;
                memcpy(keep, p, sizeof *p * (size_t)c->copies);
            }
        }
    }
    if (!rc && !c->part_kernel[part]) rc = bf_fail(err, "no stream kernel for %s: no ceiling", modes[mode]);
    if (!rc) {
        size_t n = strlen(c->name);
        snprintf(c->name + n, sizeof c->name - n, "%s%s %s%s", n ? " + " : "", c->part_kernel[part]->name, modes[mode],
                 best_store ? " nt" : "");
        c->part[part] = keep, keep = NULL;
        c->bytes += (mode == STREAM_COPY ? 2 : 1) * (bytes / 16 * 16);
    }
    free(t), free(p), free(keep);
    return rc;
}

int bf_ceiling_open(const bf_backend *b, bf_context *x, int copies, void *const *input, uint64_t input_bytes,
                    void *const *output, uint64_t output_bytes, uint64_t r, uint64_t w, bf_ceiling *c, bf_error *err) {
    memset(c, 0, sizeof *c);
    c->backend = b, c->context = x, c->copies = copies;
    c->word = b->alloc(x, 256, err);
    if (!c->word) return -1;
    if (r > input_bytes) r = input_bytes;
    if (w > output_bytes) w = output_bytes;
    uint64_t both = (r < w ? r : w) / 256 * 256; /* what follows starts aligned */
    int part = 0, rc = 0;
    /* Below 1 % of the bytes a part is noise, and what it would add is not the memory's time but a launch's. */
    if (both * 100 >= r + w) rc = calibrate(c, part++, STREAM_COPY, both, input, 0, output, 0, err);
    else both = 0;
    if (!rc && r > both && (r - both) * 100 >= r + w)
        rc = calibrate(c, part++, STREAM_READ, r - both, input, both, NULL, 0, err);
    if (!rc && w > both && (w - both) * 100 >= r + w)
        rc = calibrate(c, part++, STREAM_WRITE, w - both, NULL, 0, output, both, err);
    if (rc) bf_ceiling_close(c);
    return rc;
}

void bf_ceiling_close(bf_ceiling *c) {
    if (c->word) c->backend->free(c->context, c->word);
    free(c->part[0]), free(c->part[1]);
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
