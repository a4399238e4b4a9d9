/* fail.h: the failure catalogue: what an entry is, what it reports, and the laboratory it runs in.
 *
 * An entry runs one pipeline twice on the same input: the broken way must fail as its mechanism says, the sound way
 * must not. The two ways are data (a kernel's name, a type), so that a test can hand the sound one in as the broken
 * one; the entry must then no longer reproduce. */
#ifndef BF_FAIL_H
#define BF_FAIL_H

#include "backend.h"
#include "case.h"
#include "expected.h"

typedef enum bf_fail_kind {
    BF_FAIL_NUMERIC,    /* REPRODUCED or NOT REPRODUCED, on every backend */
    BF_FAIL_FAULT,      /* the same, once a run: the harness and its surroundings are at fault, no device */
    BF_FAIL_MEASUREMENT /* MEASURED, or SKIPPED with what it needs */
} bf_fail_kind;
typedef enum bf_fail_verdict { BF_REPRODUCED, BF_NOT_REPRODUCED, BF_MEASURED, BF_SKIPPED } bf_fail_verdict;
const char *bf_fail_kind_name(bf_fail_kind);       /* "numeric", ... */
const char *bf_fail_verdict_name(bf_fail_verdict); /* "REPRODUCED", "NOT REPRODUCED", ... */

/* One of the two ways. What `type` (a label, a storage type) and `number` mean is the entry's. kernel NULL: the
 * kernel that is preferred on this device. */
typedef struct bf_fail_way {
    const char *kernel;
    bf_dtype type;
    int number;
} bf_fail_way;

/* What a way produced: counts over one output, and the first value at fault. */
typedef struct bf_fail_side {
    char what[112];                        /* kernel and storage: "linear_naive, y in f16" */
    int64_t values, nan, inf, zero, wrong; /* wrong: finite and not what it must be, where the entry counts that */
    int has_first;
    char tensor[8];
    int64_t index;
    uint64_t bits; /* as stored, in `type` */
    bf_dtype type;
    double got, source; /* source: what the value is in exact arithmetic, or was before; NaN unknown */
    char judged[96];    /* the op's own judgement of this way, where there is one */
} bf_fail_side;

enum { BF_FAIL_ROWS = 20, BF_FAIL_COLUMNS = 6, BF_FAIL_CELL = 40 };

typedef struct bf_fail_result { /* plain memory: it travels through a pipe */
    bf_fail_verdict verdict;
    double seconds;
    char input[224], seen[256], why[256]; /* seen: the symptom in words; why: NOT REPRODUCED or SKIPPED because */
    bf_fail_side broken, sound;
    int sides;         /* 0: a measurement or a fault, without values to count */
    int rows, columns; /* a table, row 0 its heads */
    char cell[BF_FAIL_ROWS][BF_FAIL_COLUMNS][BF_FAIL_CELL];
} bf_fail_result;

typedef struct bf_lab {
    const bf_backend *backend;
    bf_context *context;
    const bf_device *device;
    const char *program; /* the command itself, for faults that run it */
} bf_lab;

typedef struct bf_fail_entry bf_fail_entry;
struct bf_fail_entry {
    const char *id, *name; /* "A1", "bf16-as-fp16" */
    bf_fail_kind kind;
    const char *mechanism; /* one sentence */
    const char *thread;    /* where it was seen */
    const char *fix;       /* what to do about it */
    bf_fail_way broken, sound;
    /* Fills *r. -1 with err when the device or the host fails on the way; a failure that does not show is no error
     * but bf_fail_require. */
    int (*run)(const bf_lab *, const bf_fail_entry *, bf_fail_result *r, bf_error *err);
};

/* The one list (harness/failures/registry.c), in order, ended by id NULL. */
extern const bf_fail_entry *const bf_failures[];
/* By id or name, letter case ignored; NULL unknown. */
const bf_fail_entry *bf_failure_find(const char *word);
/* Runs one entry: the verdict starts as REPRODUCED (or MEASURED), any error makes it NOT REPRODUCED with the words in
 * `why`. */
void bf_failure_run(const bf_lab *, const bf_fail_entry *, bf_fail_result *);

/* ---- reporting, for entries ---- */

/* 1 if `condition`; otherwise the verdict becomes NOT REPRODUCED, the first reason stays. */
int bf_fail_require(bf_fail_result *, int condition, const char *format, ...) __attribute__((format(printf, 3, 4)));
void bf_fail_skip(bf_fail_result *, const char *needs);
void bf_fail_row(bf_fail_result *, int columns,
                 ...); /* the cells, char *: cut to fit; rows beyond the room are dropped */
const char *bf_fail_text(const char *format, ...)
    __attribute__((format(printf, 1, 2))); /* rotating storage, for cells */
/* "2^-13" for the index of a sweep from 2^-24; "-" for a negative index. */
const char *bf_fail_scale(int index);

/* ---- the laboratory ---- */

enum { BF_SWEEP = 45, BF_SWEEP_FIRST = -24 }; /* scales 2^-24 to 2^20, a row or a column each */

typedef struct bf_job_run { /* one problem in host memory */
    bf_case_list cases;
    const bf_case *c; /* NULL: a step without an op */
    bf_problem p;     /* what the kernel is told. An entry may relabel types; the buffers stay as they are */
    bf_tensor t[BF_MAX_TENSORS];
    uint64_t slack; /* bytes of poison behind every input, for kernels that read beyond it */
    bf_expected *expected;
    bf_dump ref[BF_MAX_TENSORS]; /* float64, after bf_lab_expect */
    const bf_kernel *kernel;     /* of the last run */
} bf_job_run;

/* Opens the case of that line: inputs filled, outputs allocated. */
int bf_lab_open(bf_job_run *, bf_error *, const char *line_format, ...) __attribute__((format(printf, 3, 4)));
/* Adds a tensor to a step without an op. */
int bf_lab_tensor(bf_job_run *, int slot, const char *name, bf_tensor_role, bf_dtype, int64_t elements, bf_error *);
void bf_lab_close(bf_job_run *);
/* The kernel of `op` by name, or the preferred one (path NULL or "fp32") that accepts the problem. NULL with err. */
const bf_kernel *bf_lab_kernel(const bf_lab *, const char *op, const char *name, const bf_problem *, bf_error *);
/* Runs it from poisoned outputs; outputs are in t[].data afterwards. `op` of steps: the kernel's. */
int bf_lab_run(const bf_lab *, bf_job_run *, const char *op, const char *kernel, bf_error *);
/* One launch by the host's clock, from the loading of its code to the result, without the copies. */
int bf_lab_once(const bf_lab *, bf_job_run *, const char *op, const char *kernel, double *seconds, bf_error *);
/* The same, timed: seconds of `count` launches that go through at least `distinct` bytes of copies in turn (0: one
 * copy), count copies at most. */
int bf_lab_time(const bf_lab *, bf_job_run *, const char *op, const char *kernel, int count, double distinct,
                double *seconds, bf_error *);
/* The float64 reference of the inputs as they are now, and ref[slot] of every output (for kernels without 8-bit
 * paths). */
int bf_lab_expect(const bf_lab *, bf_job_run *, bf_error *);
/* The op's judgement of the outputs of the last run, written into side->judged. 1: PASS. */
int bf_lab_judge(bf_job_run *, bf_fail_side *);

/* An opened and planted problem, both ways: the reference, the sound kernel (which must pass; its census), then the
 * broken one, whose outputs stay in t[].data. `slot` is the output that is counted. */
int bf_lab_pair(const bf_lab *, bf_job_run *, const bf_fail_entry *, int slot, bf_fail_result *, bf_error *);
/* Finite outputs of the slot that are not within the bound. */
int64_t bf_lab_wrong(const bf_job_run *, int slot);

/* Values of tensor elements, as floating-point numbers. */
double bf_lab_get(const bf_tensor *, int64_t index);
void bf_lab_put(const bf_tensor *, int64_t index, double value);
/* Counts elements [begin, end); the first NaN or infinity, or without one the first zero whose source is not zero,
 * becomes the first offender. `source` NULL: unknown. */
void bf_lab_census(bf_fail_side *, const bf_tensor *, int64_t begin, int64_t end, const double *source);
void bf_lab_first(bf_fail_side *, const bf_tensor *, int64_t index, double source);
/* "linear_naive" and what else there is to say (NULL: nothing). */
void bf_lab_name(bf_fail_side *, const bf_job_run *, const char *more, ...) __attribute__((format(printf, 3, 4)));

#endif
