/* stream.c: bf_scan_run: tensors in units of some megabytes, in the order of the files, handed out to pinned threads.
 *
 * The files are mapped: a copy into a buffer would cost more than the statistics. A page that cannot be read (the file was
 * cut, the disk failed) raises SIGBUS; the unit is given up and the scan reports it in one line. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../kernels/cpu/pool.h"
#include "scan.h"

enum { UNIT_BYTES = 4 << 20, READ_BYTES = 1 << 20, DECODED = 8192 };

typedef struct unit {
    uint32_t tensor;
    uint64_t row, rows;   /* whole rows ... */
    uint64_t first, count; /* ... or, of a single long row, elements */
} unit;

typedef struct shared { /* of one tensor */
    pthread_mutex_t lock;
    uint32_t *column; /* [row] fp32 bits; NULL: not wanted */
    bf_scan_row partial; /* of a row that several units share */
} shared;

typedef struct run {
    bf_scan *s;
    const bf_scan_kernel *k;
    unit *unit;
    size_t units;
    shared *shared;
    uint32_t **scratch; /* [threads]: columns of the unit in hand */
    uint64_t longest;   /* of the units' rows or runs of elements */
    atomic_size_t done;
    atomic_int failed;  /* 1 + tensor */
} run;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Thread_local sigjmp_buf *escape;
static void on_bus(int sig) {
    if (escape) siglongjmp(*escape, 1);
    signal(sig, SIG_DFL), raise(sig);
}

/* ---- one unit ---- */

typedef struct result {
    bf_scan_counts c;
    bf_scan_row row; /* the last */
    double norm1, norm2;
    uint64_t norm1_row, norm2_row, bad, first_bad;
    uint32_t error;
} result;

/* A run of elements inside a row; begin: within the row. */
static void elements(const run *r, const bf_model_tensor *t, uint64_t at, uint64_t begin, uint64_t n, uint32_t *column, result *out) {
    if (t->dtype != BF_NONE) {
        const char *p = (const char *)t->data + at * (t->dtype == BF_F32 ? 4 : 2);
        if (r->s->basic) r->k->count(p, t->dtype, (int64_t)n, &out->c);
        else r->k->full(p, t->dtype, (int64_t)n, &out->c, &out->row, column + begin, &out->error);
        return;
    }
    float value[DECODED];
    const bf_block_format *f = t->blocks;
    for (uint64_t i = 0; i < n;) {
        uint64_t m = 0;
        for (; m < DECODED && i + m < n; m += f->elements) {
            uint64_t block = (at + i + m) / f->elements;
            if (f->values((const uint8_t *)t->data + block * f->bytes, value + m)) continue;
            if (!out->bad++) out->first_bad = block;
        }
        if (r->s->basic) r->k->count(value, BF_F32, (int64_t)m, &out->c);
        else r->k->full(value, BF_F32, (int64_t)m, &out->c, &out->row, column + begin + i, &out->error);
        i += m;
    }
}

static void end_of_row(result *out, const bf_model_tensor *t, uint64_t row) {
    if (t->rows == 1 && t->rank <= 1) return; /* a vector is multiplied element by element */
    if (out->row.sum > out->norm1) out->norm1 = out->row.sum, out->norm1_row = row;
    if (out->row.squares > out->norm2) out->norm2 = out->row.squares, out->norm2_row = row;
}

static void merge(run *r, const unit *u, const result *x, const uint32_t *column) {
    bf_scan_tensor *to = &r->s->tensor[u->tensor];
    shared *h = &r->shared[u->tensor];
    pthread_mutex_lock(&h->lock);
    to->c.values += x->c.values;
    for (int l = 0; l < BF_SCAN_LEVELS; l++) to->c.level[l] += x->c.level[l];
    if (x->c.largest > to->c.largest) to->c.largest = x->c.largest;
    if (x->c.smallest < to->c.smallest) to->c.smallest = x->c.smallest;
    if (x->norm1 > to->norm1 || (x->norm1 == to->norm1 && x->norm1_row < to->norm1_row)) to->norm1 = x->norm1, to->norm1_row = x->norm1_row;
    if (x->norm2 > to->norm2 || (x->norm2 == to->norm2 && x->norm2_row < to->norm2_row)) to->norm2 = x->norm2, to->norm2_row = x->norm2_row;
    if (u->count) h->partial.sum += x->row.sum, h->partial.squares += x->row.squares;
    float error;
    memcpy(&error, &x->error, sizeof error);
    if (error > to->error) to->error = error;
    if (x->bad && (!to->bad_blocks || x->first_bad < to->first_bad_block)) to->first_bad_block = x->first_bad;
    to->bad_blocks += x->bad;
    if (h->column)
        for (uint64_t i = 0; i < to->t->row; i++)
            if (column[i] > h->column[i]) h->column[i] = column[i];
    pthread_mutex_unlock(&h->lock);
}

static void one_unit(run *r, const unit *u, uint32_t *column) {
    const bf_model_tensor *t = r->s->tensor[u->tensor].t;
    result x = {0};
    bf_scan_counts_start(&x.c);
    if (!r->s->basic) memset(column, 0, (size_t)(u->count ? u->count : t->row) * sizeof *column);
    if (u->count) { /* a single row has no columns to compare: those of the unit are thrown away */
        elements(r, t, u->first, 0, u->count, column, &x);
    } else if (r->s->basic) { /* rows do not matter */
        elements(r, t, u->row * t->row, 0, u->rows * t->row, column, &x);
    } else
        for (uint64_t i = u->row; i < u->row + u->rows; i++) {
            x.row = (bf_scan_row){0, 0};
            elements(r, t, i * t->row, 0, t->row, column, &x);
            end_of_row(&x, t, i);
        }
    merge(r, u, &x, column);
}

/* 0, or -1: a page could not be read. */
static __attribute__((noinline)) int guarded(run *r, const unit *u, uint32_t *column) {
    sigjmp_buf here;
    if (sigsetjmp(here, 1)) {
        escape = NULL;
        return -1;
    }
    escape = &here;
    one_unit(r, u, column);
    escape = NULL;
    return 0;
}

static void work(void *arg, int64_t begin, int64_t end, int thread) {
    run *r = arg;
    for (int64_t i = begin; i < end && !atomic_load(&r->failed); i++) {
        if (guarded(r, &r->unit[i], r->scratch[thread])) atomic_store(&r->failed, 1 + (int)r->unit[i].tensor);
        size_t done = atomic_fetch_add(&r->done, 1) + 1;
        if (thread == 0 && isatty(2)) fprintf(stderr, "\rscan %zu %% ", 100 * done / r->units), fflush(stderr);
    }
}

/* ---- outlier columns ---- */

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double value_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static void outliers(bf_scan_tensor *s, const uint32_t *column, uint32_t *sorted) {
    uint64_t n = s->t->row;
    memcpy(sorted, column, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    double median = value_of(sorted[n / 2]);
    if (!(median > 0)) return;
    for (uint64_t i = 0; i < n; i++) {
        double times = value_of(column[i]) / median;
        if (times <= 6) continue;
        s->outlier_columns++;
        for (int k = 0; k < BF_SCAN_OUTLIERS; k++)
            if (times > s->outlier_times[k]) {
                for (int l = BF_SCAN_OUTLIERS - 1; l > k; l--) s->outlier_times[l] = s->outlier_times[l - 1], s->outlier[l] = s->outlier[l - 1];
                s->outlier_times[k] = times, s->outlier[k] = i;
                break;
            }
    }
}

/* ---- the whole ---- */

static int readable(const bf_model_tensor *t) { return t->elements && t->data && (t->dtype != BF_NONE || t->blocks); }

/* Units of whole rows, or parts of a single row; blocks are never cut: 8192 is a multiple of every block. */
static size_t plan(const run *r, unit *out) {
    size_t n = 0;
    for (size_t i = 0; i < bf_model_count(r->s->model); i++) {
        const bf_model_tensor *t = r->s->tensor[i].t;
        if (!readable(t)) continue;
        double each = (double)t->bytes / (double)t->elements;
        if (t->rows == 1 && t->bytes > UNIT_BYTES) {
            uint64_t step = (uint64_t)(UNIT_BYTES / each) / DECODED * DECODED;
            for (uint64_t at = 0; at < t->elements; at += step, n++)
                if (out) out[n] = (unit){(uint32_t)i, 0, 0, at, t->elements - at < step ? t->elements - at : step};
            continue;
        }
        uint64_t step = (uint64_t)(UNIT_BYTES / (each * (double)t->row));
        if (!step) step = 1;
        for (uint64_t at = 0; at < t->rows; at += step, n++)
            if (out) out[n] = (unit){(uint32_t)i, at, t->rows - at < step ? t->rows - at : step, 0, 0};
    }
    return n;
}

static int prepare(run *r, bf_error *err) {
    size_t n = bf_model_count(r->s->model);
    r->s->tensor = calloc(n + 1, sizeof *r->s->tensor);
    r->shared = calloc(n + 1, sizeof *r->shared);
    if (!r->s->tensor || !r->shared) return bf_fail(err, "out of memory");
    for (size_t i = 0; i < n; i++) {
        bf_scan_tensor *s = &r->s->tensor[i];
        s->t = bf_model_at(r->s->model, i);
        bf_scan_counts_start(&s->c);
        pthread_mutex_init(&r->shared[i].lock, NULL);
        if (!readable(s->t)) continue;
        r->s->bytes += s->t->bytes;
        if (r->s->basic) continue;
        if (s->t->rows > 1 && !(r->shared[i].column = calloc(s->t->row, sizeof(uint32_t)))) return bf_fail(err, "out of memory");
    }
    r->units = plan(r, NULL);
    r->unit = calloc(r->units + 1, sizeof *r->unit);
    if (!r->unit) return bf_fail(err, "out of memory");
    plan(r, r->unit);
    for (size_t i = 0; i < r->units && !r->s->basic; i++) {
        const unit *u = &r->unit[i];
        uint64_t n = u->count ? u->count : r->s->tensor[u->tensor].t->row;
        if (n > r->longest) r->longest = n;
    }
    return 0;
}

typedef struct reading {
    const bf_model *m;
    int *fd;
    off_t *size;
    char **buffer;
    atomic_int failed;
} reading;

/* One megabyte of all files, end to end. */
static void read_some(void *arg, int64_t begin, int64_t end, int thread) {
    reading *r = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t at = i;
        int f = 0;
        for (; at >= (r->size[f] + READ_BYTES - 1) / READ_BYTES; f++) at -= (r->size[f] + READ_BYTES - 1) / READ_BYTES;
        if (pread(r->fd[f], r->buffer[thread], READ_BYTES, at * READ_BYTES) <= 0) atomic_store(&r->failed, 1);
    }
}

static int read_files(bf_scan *s, bf_pool *pool, bf_error *err) {
    int files = bf_model_files(s->model), threads = bf_pool_threads(pool), status = 0;
    reading r = {.m = s->model, .fd = calloc((size_t)files, sizeof(int)), .size = calloc((size_t)files, sizeof(off_t)),
                 .buffer = calloc((size_t)threads, sizeof(char *))};
    int64_t blocks = 0;
    if (!r.fd || !r.size || !r.buffer) status = bf_fail(err, "out of memory");
    for (int i = 0; !status && i < threads; i++)
        if (!(r.buffer[i] = malloc(READ_BYTES))) status = bf_fail(err, "out of memory");
    for (int i = 0; !status && i < files; i++) {
        r.fd[i] = open(bf_model_file(s->model, i), O_RDONLY | O_CLOEXEC);
        r.size[i] = r.fd[i] >= 0 ? lseek(r.fd[i], 0, SEEK_END) : 0;
        if (r.fd[i] < 0) status = bf_fail(err, "%s: cannot be opened again", bf_model_file(s->model, i));
        blocks += (r.size[i] + READ_BYTES - 1) / READ_BYTES;
    }
    for (int pass = 0; !status && pass < 2; pass++) { /* the second finds in the cache what the first has brought there */
        double t0 = now();
        bf_pool_run(pool, read_some, &r, blocks, 1);
        s->read_seconds = now() - t0;
        if (atomic_load(&r.failed)) status = bf_fail(err, "%s: read failed", bf_model_file(s->model, 0));
    }
    for (int i = 0; r.fd && i < files; i++)
        if (r.fd[i] > 0) close(r.fd[i]);
    for (int i = 0; r.buffer && i < threads; i++) free(r.buffer[i]);
    free(r.fd), free(r.size), free(r.buffer);
    return status;
}

static int finish(run *r, bf_error *err) {
    uint32_t *sorted = malloc((r->longest + 1) * sizeof *sorted);
    if (!sorted) return bf_fail(err, "out of memory");
    for (size_t i = 0; i < bf_model_count(r->s->model); i++) {
        bf_scan_tensor *s = &r->s->tensor[i];
        shared *h = &r->shared[i];
        if (h->partial.sum > s->norm1 && s->t->rank > 1) s->norm1 = h->partial.sum;
        if (h->partial.squares > s->norm2 && s->t->rank > 1) s->norm2 = h->partial.squares;
        s->norm2 = s->norm2 > 0 ? __builtin_sqrt(s->norm2) : 0;
        if (h->column) outliers(s, h->column, sorted);
    }
    free(sorted);
    return 0;
}

static void release(run *r) {
    for (size_t i = 0; r->shared && i < bf_model_count(r->s->model); i++) {
        pthread_mutex_destroy(&r->shared[i].lock);
        free(r->shared[i].column);
    }
    for (int i = 0; r->scratch && i < r->s->threads; i++) free(r->scratch[i]);
    free(r->scratch), free(r->shared), free(r->unit);
}

/* Anonymous memory of this process in bytes: what it allocated and touched, mapped files apart; 0 where /proc does not say. */
static uint64_t private_memory(void) {
    char text[8192]; /* read(2), not stdio: this figure needs no memory that could be refused */
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    const char *at = strstr(text, "RssAnon:");
    return at ? strtoull(at + 8, NULL, 10) * 1024 : 0;
}

int bf_scan_run(bf_scan *s, const bf_model *model, int basic, int threads, int read_too, bf_error *err) {
    *s = (bf_scan){.model = model, .basic = basic};
    run r = {.s = s, .k = bf_scan_kernel_best()};
    bf_pool *pool = bf_pool_new(threads);
    struct sigaction bus = {.sa_handler = on_bus}, before;
    int status = pool ? prepare(&r, err) : bf_fail(err, "out of memory or threads");
    if (!status && read_too) status = read_files(s, pool, err);
    s->threads = pool ? bf_pool_threads(pool) : 0;
    if (!status && !(r.scratch = calloc((size_t)s->threads, sizeof *r.scratch))) status = bf_fail(err, "out of memory");
    for (int i = 0; !status && i < s->threads; i++)
        if (!(r.scratch[i] = malloc((r.longest + 1) * sizeof(uint32_t)))) status = bf_fail(err, "out of memory");
    if (!status) {
        sigaction(SIGBUS, &bus, &before);
        double t0 = now();
        bf_pool_run(pool, work, &r, (int64_t)r.units, 1);
        s->seconds = now() - t0;
        sigaction(SIGBUS, &before, NULL);
        if (isatty(2)) fprintf(stderr, "\r\033[K");
        int failed = atomic_load(&r.failed);
        if (failed) {
            const bf_model_tensor *t = s->tensor[failed - 1].t;
            status = bf_fail(err, "%s: %.80s: cannot be read near offset %llu (was the file cut while it was scanned?)", bf_model_file(model, t->file), t->name,
                             (unsigned long long)t->offset);
        } else
            status = finish(&r, err);
        s->private_bytes = private_memory();
    }
    release(&r);
    bf_pool_free(pool);
    return status;
}

void bf_scan_free(bf_scan *s) {
    free(s->tensor);
    s->tensor = NULL;
}
