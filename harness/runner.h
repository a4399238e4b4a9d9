/* runner.h: one case on one kernel in an open device context, with every suspicion design asks for: poisoned and
 * fenced outputs, inputs that must not change, a bitwise repeat, then the op's own judgement. */
#ifndef BF_RUNNER_H
#define BF_RUNNER_H

#include "backend.h"
#include "op.h"

/* Inputs and reference of one case in host memory; shared by all kernels that run it. */
typedef struct bf_prepared {
    const bf_case *c;
    bf_tensor t[BF_MAX_TENSORS];
    bf_expected *expected;
    int archive; /* outputs go to this file descriptor too (archive.h); 0: nowhere */
} bf_prepared;

/* want_reference 0: inputs only. */
int bf_prepare(const bf_case *, int want_reference, bf_prepared *, bf_error *);
void bf_unprepare(bf_prepared *);

/* What travels from the child to the parent. */
typedef struct bf_row {
    uint32_t case_index, kernel_index;
    double seconds; /* of the first run, launch to result; not a timing */
    bf_verdict verdict;
} bf_row;

/* Opens the device and has it answer a nonce. No proof, no run: a CPU must never answer under a GPU's name. NULL with err. */
bf_context *bf_open_proved(const bf_device *, bf_error *);

/* Runs and judges. Whatever goes wrong ends in row->verdict (BF_ERROR with the driver's words in the note, BF_SKIP where
 * the device has too little memory); nothing is thrown. `dump`: directory for this run's tensors, or NULL. */
void bf_run_case(const bf_backend *, bf_context *, const bf_device *, const bf_prepared *, const bf_kernel *,
                 const char *dump, bf_row *row);

/* Device memory for a problem, used by check and bench alike. Pads with guard regions unless built with a sanitizer, whose own red
 * zones are sharper. */
typedef struct bf_arena {
    const bf_backend *backend;
    bf_context *context;
    void *base[BF_MAX_TENSORS], *scratch;
    uint64_t bytes[BF_MAX_TENSORS], scratch_bytes; /* without the guards */
} bf_arena;

int bf_arena_open(const bf_backend *, bf_context *, const bf_tensor t[BF_MAX_TENSORS], uint64_t scratch,
                  bf_problem *p, bf_arena *, bf_error *);
void bf_arena_close(bf_arena *);

/* Writes the tensor's poison for round 0 or 1: patterns that no right output holds in both rounds. */
void bf_poison(void *data, bf_dtype type, uint64_t bytes, int round);

#endif
