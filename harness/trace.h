/* trace.h: a chain of blocks in a chosen precision, op by op, beside the same chain in fp32.
 *
 * Linear, norm and attention run through the project's kernels of the backend; what is element by element (residual, mul, gelu,
 * silu, modulate, gate, headgate) runs on the host in fp32, each step rounded as its precision says. */
#ifndef BF_TRACE_H
#define BF_TRACE_H

#include <stdio.h>

#include "fail.h"
#include "trace_chain.h"

/* The precision of one op. Weights are made or read once, as bf16 (a file's in their own type); this is what becomes of them, of the operands and
 * of the result. */
typedef enum bf_trace_mode {
    BF_TRACE_FP32,        /* weights as they are, widened; operands as they come; fp32 sums, fp32 result */
    BF_TRACE_FP16_WEIGHTS, /* weights rounded to fp16, everything else fp32 */
    BF_TRACE_FP16,        /* weights, operands and result fp16, sums fp32; attention holds its scores in fp16 */
    BF_TRACE_FP16_SUMS,   /* the same, sums of linear and norm in fp16 too */
    BF_TRACE_BF16_AS_FP16, /* as fp16, but the bits of bf16 weights are taken for fp16 */
    BF_TRACE_MODES
} bf_trace_mode;
extern const char *const bf_trace_mode_name[BF_TRACE_MODES]; /* as in --set: "fp32", "fp16-weights", ... */
/* Plans: every op in one mode. The mode of a plan's name ("fp16-weights-fp32-math" for fp16-weights), -1 unknown. */
int bf_trace_plan(const char *name);
const char *bf_trace_plan_name(bf_trace_mode);
int bf_trace_mode_find(const char *name); /* -1 unknown */

typedef struct bf_trace_settings {
    bf_trace_mode mode[BF_TRACE_LINES]; /* of each line */
    uint64_t seed;
} bf_trace_settings;

/* What one op left behind. */
typedef struct bf_trace_record {
    int block, line; /* block -1: before, -2: behind the blocks */
    bf_trace_mode mode;
    int64_t values, over, inf, nan; /* over: finite, and beyond 65,504 */
    int64_t first;                  /* index of the first NaN or infinity, -1 */
    double got, want;               /* there: the value, and the one of the fp32 chain (NaN: not run) */
    double largest;                 /* finite magnitude */
    double off;                     /* |result - fp32 result| / |fp32 result|, Euclidean; infinity where not finite; NaN: not run */
} bf_trace_record;

enum { BF_TRACE_RECORDS = BF_TRACE_DEPTH * BF_TRACE_LINES };
/* Off by more than this, a result has more error than signal left. */
#define BF_TRACE_LOST 0.5

typedef struct bf_trace_weights bf_trace_weights; /* trace_weights.h */
typedef struct bf_trace_run bf_trace_run;

/* A run in progress: two lanes, the plan's and the fp32 one (with_fp32 0: the first only). `lab`: where kernels run. */
bf_trace_run *bf_trace_open(const bf_lab *lab, const bf_trace_chain *, bf_trace_weights *, const bf_trace_settings *, int with_fp32,
                            bf_error *);
void bf_trace_close(bf_trace_run *);
/* Puts fp32 values (rows x width of the line) in place of an input's. The caller keeps them. */
void bf_trace_replace(bf_trace_run *, int line, const float *values);
/* Runs the next op. 1: *r filled, 0: the chain is at its end, -1: error. */
int bf_trace_step(bf_trace_run *, bf_trace_record *r, bf_error *);
/* The values of a lane now, rows x width; lane 0: the plan's, 1: fp32. */
const float *bf_trace_values(const bf_trace_run *, int lane, int value);

static inline int bf_trace_bad(const bf_trace_record *r) { return r->inf || r->nan; }

/* ---- bisect ---- */

enum { BF_TRACE_SETS = 32 };
typedef struct bf_trace_bisect {
    int tried, size; /* sets tried; kinds in the smallest one; -1: not even all kinds in fp32 are finite */
    int sets;        /* smallest sets found (the first BF_TRACE_SETS are kept) */
    unsigned set[BF_TRACE_SETS]; /* bit i: kind i of the chain */
    bf_trace_record without[BF_TRACE_KINDS]; /* of set[0]: where the chain fails when that kind is left in the plan */
    bf_trace_record plan;                    /* where it fails without any */
    bf_trace_record result;                  /* of set[0]: the last op, with its distance from fp32 */
} bf_trace_bisect;

/* All sets of kinds by size, until a size has one under which every result is finite; the whole of that size is tried. `progress`, NULL or
 * called with the number tried. */
int bf_trace_bisect_run(const bf_lab *, const bf_trace_chain *, bf_trace_weights *, const bf_trace_settings *plan,
                        const float *const *inputs, bf_trace_bisect *, bf_error *);

#endif
