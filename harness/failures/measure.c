/* measure.c: A9, A10 and A12: what is measured and not judged. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../statistics.h"
#include "../worker.h"
#include "failures.h"

enum { LAUNCHES = 24, STEADY = 50 };

/* Timed by simt, a kernel says nothing of any device. */
static int untimed(const bf_lab *lab, bf_fail_result *r) {
    if (lab->backend->target == BF_CPU || lab->backend->gpu) return 0;
    bf_fail_skip(r, "a device that is timed: cpu, or a GPU (simt executes GPU kernels on the CPU)");
    return 1;
}

/* ---- A9 ---- */

static const struct {
    const char *op, *line;
} costs[] = {
    {"linear", "linear m=2048 k=4096 w=%s x=f32"},
    {"norm", "norm m=512 k=4096 x=%s y=f32"},
    {"attention", "attention heads=8 kv_heads=8 queries=1 keys=2048 d=128 kv=%s"},
};

/* Enough copies that none is in the cache when its turn comes: four times the last level, as far as memory allows. */
static double distinct(const bf_lab *lab) {
    double most = lab->device->memory ? 0.2 * (double)lab->device->memory : 1e9,
           want = 4.0 * (double)lab->device->cache;
    if (!lab->device->cache) want = 256e6;
    return want < most ? want : most;
}

/* Median seconds of a launch with that storage, and the bytes the mathematics must move. */
static int cost(const bf_lab *lab, size_t which, const char *type, double *seconds, double *bytes, bf_error *err) {
    bf_job_run j;
    double s[LAUNCHES + 1];
    int rc = bf_lab_open(&j, err, costs[which].line, type);
    if (!rc) {
        *bytes = (double)(j.c->op->bytes_read(&j.p) + j.c->op->bytes_written(&j.p));
        rc = bf_lab_time(lab, &j, costs[which].op, NULL, LAUNCHES + 1, distinct(lab), s, err);
    }
    if (!rc) *seconds = bf_summarize(s + 1, LAUNCHES).median;
    bf_lab_close(&j);
    return rc;
}

static int a9(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    static const char *const type[] = {"f32", "f16", "bf16"};
    (void)e;
    if (untimed(lab, r)) return 0;
    snprintf(r->input, sizeof r->input,
             "linear 2048 x 4096, norm 512 x 4096, attention over 2048 keys, each stored in f32, f16, bf16; "
             "preferred kernels, medians of %d launches through copies of four times the last-level cache",
             LAUNCHES);
    bf_fail_row(r, 6, "#op, storage", "time", "GB/s", "to f32", "bytes to f32", "of byte model");
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        double base = 0, base_bytes = 0;
        for (int t = 0; t < 3; t++) {
            double s, b;
            if (cost(lab, i, type[t], &s, &b, err)) return -1;
            if (t == 0) base = s, base_bytes = b;
            bf_fail_row(r, 6, bf_fail_text("%s %s", costs[i].op, type[t]), bf_fail_text("%.3f ms", s * 1e3),
                        bf_fail_text("%.1f", b / s / 1e9), bf_fail_text("%.2f", s / base),
                        bf_fail_text("%.2f", b / base_bytes), bf_fail_text("%.2f", s / base / (b / base_bytes)));
            if (i == 0 && t == 2)
                snprintf(r->seen, sizeof r->seen,
                         "linear with bf16 weights, widened on the way, takes %.2f of the time with fp32 weights; "
                         "its bytes are %.2f of them",
                         s / base, b / base_bytes);
        }
    }
    return 0;
}

const bf_fail_entry bf_fail_a9 = {
    "A9",
    "emulation-cost",
    BF_FAIL_MEASUREMENT,
    "bf16 is widened to fp32 on the fly where the hardware has no bf16: what that costs beside fp16 and fp32 "
    "storage, against the bytes moved.",
    "home-lab P40 logs: \"21 % slower\" for emulated bf16; promotion to fp32 doubles the bytes",
    "keep 16-bit storage and widen in registers; blackframe bench for whole shapes",
    {NULL, BF_BF16, 0},
    {NULL, BF_F32, 0},
    a9,
};

/* ---- A10 ---- */

static const struct {
    const char *op, *name, *line;
} starts[] = {
    {"convert", "convert, 1 Mi values", "convert n=1048576 from=bf16 to=f32"},
    {"linear", "linear 1024 x 1024, 1 column", "linear m=1024 k=1024 w=bf16"},
    {"linear", "the same, 32 columns", "linear m=1024 k=1024 n=32 w=bf16"},
    {"norm", "norm 64 x 4096", "norm m=64 k=4096 x=bf16"},
    {"attention", "attention, 1024 keys", "attention heads=8 kv_heads=8 queries=1 keys=1024 d=128 kv=bf16"},
    {"q4k_matvec", "q4k_matvec 1024 x 4096", "q4k_matvec m=1024 k=4096"},
};

static int start(const bf_lab *lab, size_t which, double *worst, bf_fail_result *r, bf_error *err) {
    bf_job_run j;
    double s[STEADY], first = 0, second = 0;
    int rc = bf_lab_open(&j, err, "%s", starts[which].line);
    /* By the host's clock and through run(): what a one-shot benchmark would see, module load and all. */
    for (int i = 0; !rc && i < 2; i++) rc = bf_lab_once(lab, &j, starts[which].op, NULL, i ? &second : &first, err);
    if (!rc) rc = bf_lab_time(lab, &j, starts[which].op, NULL, STEADY, 0, s, err);
    if (!rc) {
        double steady = bf_summarize(s + 5, STEADY - 5).median;
        if (first / steady > *worst) *worst = first / steady;
        bf_fail_row(r, 5, starts[which].name, bf_fail_text("%.3f", first * 1e3), bf_fail_text("%.3f", second * 1e3),
                    bf_fail_text("%.3f", steady * 1e3), bf_fail_text("%.1f", first / steady));
    }
    bf_lab_close(&j);
    return rc;
}

static int a10(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)e;
    if (untimed(lab, r)) return 0;
    /* A context of its own: code objects are loaded again, threads started again. */
    bf_lab fresh = *lab;
    double worst = 0;
    int rc = 0;
    if (!(fresh.context = lab->backend->open(lab->device, err))) return -1;
    snprintf(
        r->input, sizeof r->input,
        "preferred kernels in a fresh context; first and second launch by the host's clock, then the median of %d",
        STEADY - 5);
    bf_fail_row(r, 5, "#case", "first ms", "second ms", "steady ms", "wrong by");
    for (size_t i = 0; !rc && i < sizeof starts / sizeof *starts; i++) rc = start(&fresh, i, &worst, r, err);
    lab->backend->close(fresh.context);
    snprintf(r->seen, sizeof r->seen, "one launch as a benchmark would have been wrong by a factor of up to %.1f",
             worst);
    return rc;
}

const bf_fail_entry bf_fail_a10 = {
    "A10",
    "short-benchmark",
    BF_FAIL_MEASUREMENT,
    "The first launch includes loading the code, compiling it where only PTX fits, and cold caches; a benchmark of "
    "one launch measures that.",
    "home-lab logs: benchmarks of a single run that contradicted each other",
    "steady state with its interval (blackframe bench reports the first launches apart)",
    {NULL, BF_NONE, 0},
    {NULL, BF_NONE, 0},
    a10,
};

/* ---- A12 ---- */

static int through_host(const bf_lab *lab, int64_t tokens, bf_fail_result *r, bf_error *err) {
    enum { WIDTH = 4096, TIMES = 21 };
    uint64_t bytes = (uint64_t)tokens * WIDTH * 2;
    double up[TIMES], down[TIMES];
    void *host = calloc(1, bytes), *device = host ? lab->backend->alloc(lab->context, bytes, err) : NULL;
    int rc = device ? 0 : -1;
    for (int i = 0; !rc && i < TIMES; i++) {
        double t0 = bf_now();
        rc = lab->backend->upload(lab->context, device, host, bytes, err);
        double t1 = bf_now();
        if (!rc) rc = lab->backend->download(lab->context, host, device, bytes, err);
        up[i] = t1 - t0, down[i] = bf_now() - t1;
    }
    if (!rc) {
        double u = bf_summarize(up, TIMES).median, d = bf_summarize(down, TIMES).median;
        bf_fail_row(r, 5, bf_fail_text("%lld", (long long)tokens), bf_fail_text("%.1f", (double)bytes / 1024),
                    bf_fail_text("%.1f", d * 1e6), bf_fail_text("%.1f", u * 1e6),
                    bf_fail_text("%.1f", 3 * (u + d) * 1e6));
    }
    if (device) lab->backend->free(lab->context, device);
    free(host);
    return rc;
}

static int a12(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    static const int64_t tokens[] = {1, 64, 512, 4096};
    (void)e;
    if (!lab->backend->gpu) {
        bf_fail_skip(
            r, "a GPU, two for copies between devices: on this backend activations never leave the host's memory");
        return 0;
    }
    snprintf(r->input, sizeof r->input,
             "fp16 activations of 4,096 channels through pageable host memory, medians of 21 copies; a pipeline over "
             "four devices has three boundaries");
    bf_fail_row(r, 5, "#tokens", "KiB", "down us", "up us", "3 boundaries us");
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (through_host(lab, tokens[i], r, err)) return -1;
    snprintf(r->seen, sizeof r->seen,
             "staged through the host; copies from device to device need a second GPU and are not measured here");
    return 0;
}

const bf_fail_entry bf_fail_a12 = {
    "A12",
    "boundary-transfers",
    BF_FAIL_MEASUREMENT,
    "A pipeline split over cards sends its activations over PCIe at every boundary, often through the host.",
    "home-lab logs: four P40s, three boundaries",
    "cut where activations are small; keep a block on one card",
    {NULL, BF_NONE, 0},
    {NULL, BF_NONE, 0},
    a12,
};
