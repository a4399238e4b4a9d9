/* numerics.h: how a device really computes, found from outside: the numerics card.
 *
 * Every kernel is handed crafted inputs through its backend as in any run, and what comes out tells its arithmetic: a probe has
 * several possible outcomes and each names one. Nothing is asked of a datasheet or of the kernel's descriptor but its op,
 * path and what it accepts. Methods: swamping (Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor
 * cores", 2021); orders of summation (FPRev, 2024, see probe.h).
 *
 * Families, one file each: sums (sums.c, with the weights of rows.c), conversions (conversions.c), functions (functions.c). */
#ifndef BF_NUMERICS_H
#define BF_NUMERICS_H

#include "../backend.h"
#include "../op.h"

/* One finding. `key` and `title` are static text: a row travels from a child process to its parent. */
typedef struct bf_trait {
    const char *key;   /* in JSON: "accumulator_bits" */
    const char *title; /* head of the column: "sum bits" */
    char text[28];     /* for a person: "24 (fp32)"; "-": does not apply, or the device did not answer as a number can */
    double value;      /* where the finding is a number, else NaN */
} bf_trait;

enum { BF_MAX_TRAITS = 8 };
typedef struct bf_traits {
    int failed; /* the device failed: why says how */
    char why[200];
    int count;
    bf_trait trait[BF_MAX_TRAITS];
} bf_traits;

typedef struct bf_family {
    const char *name, *title;
    /* Variants of kernel k that this family looks at, 0: none (convert: one for each target type). */
    int (*variants)(const bf_kernel *k);
    /* What is shown behind the kernel's name, with a blank before it; "" where a kernel has one variant. */
    const char *(*label)(const bf_kernel *k, int variant);
    /* 0, or -1 with err when the device failed. Appends to *r. */
    int (*probe)(const bf_backend *, bf_context *, const bf_kernel *k, int variant, bf_traits *r, bf_error *err);
} bf_family;

extern const bf_family *const bf_families[]; /* NULL-terminated */

/* All of one family on one kernel; whatever fails ends in r. */
void bf_numerics_probe(const bf_family *, const bf_backend *, bf_context *, const bf_kernel *k, int variant, bf_traits *r);
/* The trait of that key; NULL: not found. */
const bf_trait *bf_numerics_find(const bf_traits *, const char *key);

/* ---- for the families ---- */

/* A problem in device memory, with its tensors in host memory too (t[i].data). */
typedef struct bf_stand {
    const bf_backend *b;
    bf_context *x;
    const bf_kernel *k;
    bf_problem p;
    bf_tensor t[BF_MAX_TENSORS];
} bf_stand;

/* Of the shape, types and parameters in `p`. 0, or -1 with err; bf_stand_close either way. */
int bf_stand_open(bf_stand *, const bf_backend *, bf_context *, const bf_kernel *, const bf_problem *p, bf_error *);
/* Uploads inputs, runs, downloads outputs. Outputs are NaN (integers: -1) where the kernel writes nothing. */
int bf_stand_run(bf_stand *, bf_error *);
void bf_stand_close(bf_stand *);
/* Stores a value that the tensor's type (F32, F16, BF16) holds exactly. */
void bf_stand_put(bf_tensor *, int64_t index, double value);

/* Rows of weights. ROUNDED: times 1 + 2^-23 not an fp32 (3; 1 + 2^-7 in plain types). LARGE: 2^20. TINY: 2^-24 (2^-40 in plain types).
 * RAMP: small integers, up to 12 as the format has them. */
typedef enum bf_row_kind { BF_ROW_ONES, BF_ROW_ROUNDED, BF_ROW_LARGE, BF_ROW_TINY, BF_ROW_RAMP } bf_row_kind;
/* Fills w, of any floating or block type; weight i of it. */
void bf_row_fill(bf_tensor *w, bf_row_kind);
double bf_row_weight(bf_dtype, bf_row_kind, int64_t i);

void bf_numerics_say(bf_traits *, const char *key, const char *title, double value, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
