/* op.h: the contract of an operation, and the case, the tensors and the verdict it deals in.
 *
 * An op knows no backend and no kernel but through the descriptor's `path` and `chain`. It owns inputs,
 * reference, error bound, bytes and flops, so that no kernel can flatter itself. */
#ifndef BF_OP_H
#define BF_OP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../kernels/common/kernel.h"
#include "error.h"

typedef struct bf_op bf_op;
typedef struct bf_case bf_case;

/* ---- fields: what a case line may say of an op ---- */
typedef enum bf_field_kind {
    BF_FIELD_DIM,   /* integer into problem.dim[slot] */
    BF_FIELD_TYPE,  /* dtype into problem.type[slot] */
    BF_FIELD_PARAM, /* number into problem.param[slot] */
    BF_FIELD_POWER, /* the same, a power of two from 2^-300 to 2^300 */
    BF_FIELD_CHOICE /* one of choices[]; its index into problem.param[slot] */
} bf_field_kind;

typedef struct bf_field {
    const char *key;
    bf_field_kind kind;
    int slot;
    const char *fallback;       /* value when the key is absent; NULL: the key is required */
    int64_t min, max, multiple; /* BF_FIELD_DIM, inclusive; PARAM where min < max, multiple 1: an integer */
    uint32_t types;             /* BF_FIELD_TYPE: bit set, 1u << BF_F32 and so on; 1u << BF_NONE: "none" is allowed */
    const char *const *choices; /* BF_FIELD_CHOICE, NULL-terminated */
    const char *help;
} bf_field;

/* ---- tensors ---- */
typedef enum bf_tensor_role { BF_UNUSED, BF_INPUT, BF_OUTPUT } bf_tensor_role;

typedef struct bf_tensor {
    const char *name; /* "w", "x", "y": also the name of the dump file */
    bf_tensor_role role;
    bf_dtype type;
    int rank;
    int64_t dim[4]; /* elements, slowest first; block types: last dim in weights */
    uint64_t bytes;
    void *data; /* host memory, owned by whoever allocated it */
} bf_tensor;

uint64_t bf_dtype_bytes(bf_dtype type, int64_t elements); /* 0 unless elements fill whole blocks: Q4_K and Q6_K 256, Q8_0 and MXFP4 32 */
int bf_dtype_is_block(bf_dtype type);                     /* 1: weights share scales, a single one has no bytes */
const char *bf_dtype_name(bf_dtype type);                 /* "f32", "bf16", "q4_k", ... */
bf_dtype bf_dtype_parse(const char *name);                /* BF_NONE if unknown */

/* ---- cases ---- */
struct bf_case {
    const bf_op *op;
    char *line; /* canonical one-line text; pasted back it gives the same case */
    char *file; /* where it came from; NULL: command line or generated */
    const char *tensor; /* --weights: its name, inside `file` (PATH:NAME); NULL otherwise */
    int lineno;
    bf_problem problem; /* dims, types, params; addresses NULL */
    const char *fill;   /* name in the table of fills */
    uint64_t seed;
    char *witness;    /* name of the witness, NULL otherwise */
    char *expect;     /* "zeros": many exact zeros are right; NULL otherwise */
    char *kernel;     /* glob on kernel names this case is for, NULL: all */
    char *tier;       /* "quick" (default), "full", "bench" (only timed) */
    const void *real; /* --weights: the bytes of the weight tensor, of the type of input `weights`, mapped; NULL: filled */
    uint64_t real_bytes;
    const float *golden; /* --weights: what the file says output `golden_slot` must be, bit for bit (any NaN = any NaN) */
    int golden_slot;
};

/* ---- what came out ---- */
enum { BF_MISMATCHES = 8 };

typedef struct bf_mismatch {
    const char *tensor;
    int64_t index;
    uint64_t got_bits, want_bits; /* in the tensor's own type; want rounded to it */
    double got, want, bound;
    const char *why; /* "error above bound", "NaN, want finite", "not exact", ... static text */
} bf_mismatch;

typedef enum bf_status { BF_PASS, BF_FAIL, BF_MISTRUSTED, BF_SKIP, BF_CRASH, BF_HANG, BF_ERROR } bf_status;
const char *bf_status_name(bf_status s); /* "PASS", ... */

typedef struct bf_verdict {
    bf_status status;
    double worst;      /* largest |error| / bound over all outputs; 0 when exact */
    double worst_prob; /* the same against the probabilistic sqrt(n) bound; NaN where the op has none */
    double total_error; /* int8 path: largest |y - y_unquantised| / (|W||x|); reported, never judged; else NaN */
    int64_t outputs, mismatched, nan, inf, zero;
    int64_t elements; /* of the outputs those whose values were counted: the rest an op judged by itself */
    int count; /* entries of first[] */
    bf_mismatch first[BF_MISMATCHES];
    char note[256]; /* why MISTRUSTED, which half of the judgement failed, ...; may be empty */
} bf_verdict;

/* What the reference says, computed once for a case and shared by all kernels and backends. Opaque to the
 * harness; the op allocates and frees it. */
typedef struct bf_expected bf_expected;

struct bf_op {
    const char *name, *summary;
    const bf_field *fields;   /* ends with key NULL */
    const char *const *paths; /* NULL-terminated names of arithmetic paths; NULL: one */
    const char *weights;      /* key of the input that --weights replaces; NULL: none */

    /* Fills t[slot] (all BF_MAX_TENSORS slots; unused ones BF_UNUSED) with name, role, type, dims, bytes; data NULL.
     * `path` NULL: the union over the paths. 0, or -1 with err when sizes overflow. */
    int (*tensors)(const bf_problem *, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err);
    /* Writes all inputs. Same case, same bytes, on every machine and thread count. */
    int (*fill)(const bf_case *, bf_tensor t[BF_MAX_TENSORS], bf_error *err);
    /* float64 reference on these inputs. NULL with err on failure. */
    bf_expected *(*expect)(const bf_case *, const bf_tensor t[BF_MAX_TENSORS], bf_error *err);
    void (*release)(bf_expected *);
    /* Judges the outputs in t (downloaded) of kernel k run as backend `target` rules say. Never called twice on
     * the same outputs; fills *v wholly. */
    void (*judge)(const bf_case *, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *,
                  bf_verdict *v);
    /* Bytes that the mathematics must move, and operations. For bench and report. */
    uint64_t (*bytes_read)(const bf_problem *);
    uint64_t (*bytes_written)(const bf_problem *);
    double (*flops)(const bf_problem *);
};

extern const bf_op *const bf_ops[]; /* NULL-terminated: the one list of ops (harness/ops/registry.c) */
const bf_op *bf_op_find(const char *name);
/* 1: this kernel's sums are those of gfx11's matrix instructions, which are not IEEE's (harness/ops/ops.h): path wmma, and paths f16 and
 * bf16 on HIP. */
int bf_adds_on_grid(const bf_kernel *);

/* Kernels, in the order of the link; found through the linker section. */
size_t bf_kernel_count(void);
const bf_kernel *bf_kernel_at(size_t i);

#endif
