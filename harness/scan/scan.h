/* scan.h: what fp16 would do to the weights of a model file, and to products with them.
 *
 * Storage: a value becomes infinite from 65,520 on, zero up to 2^-25, subnormal (fewer than eleven significant bits) below 2^-14.
 * Products: an output is at most A * (1-norm of its row) when no activation exceeds A, so that
 *     A_estimate   = 65,520 / max 1-norm                  keeps every fp16 output finite, apart from the rounding of a sum
 *     A_guarantee  = A_estimate / (1 + 2^-11)^K           and an fp16 accumulator of K terms too (Higham, Accuracy and
 *                                                         Stability of Numerical Algorithms, 2nd ed., section 3.1: each of K
 *                                                         roundings makes a partial sum larger by at most 1 + u)
 *     A_random     = 65,520 / (6 max 2-norm)              the same for activations of random sign: six deviations
 * Headroom in bits is log2(A_estimate / amplitude), the amplitude being the largest activation that is expected. An int8 path that
 * keeps the sum of 32 quantised activations in fp16 survives 65,504 / 32 = 2,047, whatever the weights are. */
#ifndef BF_SCAN_H
#define BF_SCAN_H

#include <stdint.h>

#include "../../kernels/cpu/scan.h"
#include "../error.h"
#include "../formats/model.h"

typedef enum bf_scan_verdict {
    BF_SCAN_OK, BF_SCAN_UNREAD, BF_SCAN_TIGHT, BF_SCAN_LOSSY, BF_SCAN_NO_HEADROOM, BF_SCAN_OVERFLOW, BF_SCAN_DAMAGED, BF_SCAN_VERDICTS
} bf_scan_verdict; /* the worst last */
extern const char *const bf_scan_verdict_name[BF_SCAN_VERDICTS];

enum { BF_SCAN_OUTLIERS = 3 };

typedef struct bf_scan_tensor {
    const bf_model_tensor *t;
    bf_scan_counts c;            /* magnitudes: fp32 bits for block formats, else the stored type's */
    double norm1, norm2;         /* largest of a row; of a vector: its largest value */
    uint64_t norm1_row, norm2_row;
    float error;                 /* worst relative error as fp16 of what stays nonzero and finite */
    uint64_t bad_blocks, first_bad_block;
    uint64_t first;              /* element that is infinite, NaN or too large for fp16, if any */
    uint32_t outlier_columns;    /* whose largest value exceeds six times the median of columns' largest values */
    uint64_t outlier[BF_SCAN_OUTLIERS];
    double outlier_times[BF_SCAN_OUTLIERS]; /* of that median, largest first */
    /* From judging: */
    double largest, smallest;    /* nonzero finite magnitudes; 0: none */
    double estimate, guarantee, random; /* activation amplitudes, see above; infinite for a zero matrix */
    double headroom;             /* bits */
    bf_scan_verdict verdict;
} bf_scan_tensor;

typedef struct bf_scan {
    const bf_model *model;
    bf_scan_tensor *tensor; /* [bf_model_count] */
    int basic;              /* 1: counts and range only */
    int threads;
    uint64_t bytes;         /* scanned */
    uint64_t private_bytes; /* of the process with all buffers of the scan in use; mapped files do not count; 0: not known */
    double seconds, read_seconds; /* read(2) of the same bytes by as many threads; 0: not measured */
} bf_scan;

/* Streams all tensors once. read_too: measures read(2) of the same files first. -1 with err: out of memory, or a file that changed
 * or failed under the scan. Free with bf_scan_free. */
int bf_scan_run(bf_scan *, const bf_model *, int basic, int threads, int read_too, bf_error *);
void bf_scan_free(bf_scan *);

/* Fills what is derived. amplitude: the largest activation that is expected. */
void bf_scan_judge(bf_scan_tensor *, int basic, double amplitude);

/* Tensors of one layer type: names that differ in numbers only. */
typedef struct bf_scan_group {
    char *name; /* "model.layers.{}.mlp.down_proj.weight" */
    const bf_scan_tensor *worst; /* the highest verdict, then the least headroom */
    int tensors, troubled;       /* troubled: lossy or worse */
} bf_scan_group;
/* Groups in the order of their first tensor; NULL when out of memory. */
bf_scan_group *bf_scan_groups(const bf_scan *, int *count);
void bf_scan_groups_free(bf_scan_group *, int count);

/* What to do with a tensor, in words: how to store it, what to compute in. */
void bf_scan_advice(const bf_scan_tensor *, char *text, size_t size);

#endif
