/* measure.h: the timing engine: one kernel on one case, on one device, on rotated buffers beside its ceiling.
 *
 * Only what passed its check on these very inputs is timed. Rounds alternate kernel and ceiling, so that a busy neighbour slows
 * both; the ratio is formed inside a round. A round is some of the copies, and the ceiling is half of the rotation away from
 * the kernel, so that neither finds the other's buffers in a cache. A kernel whose interval lies wholly above 1.03 of the
 * ceiling is INVALID, not fast. */
#ifndef BF_MEASURE_H
#define BF_MEASURE_H

#include "backend.h"
#include "runner.h"
#include "statistics.h"

/* VALID: the 95 % interval of the ratio's median is within 1 % of it; UNSETTLED: time was up before. SHORT: a launch of less than
 * 20 microseconds is the launch's own cost, and no fraction of a ceiling. NOT_TIMED: see the note. */
typedef enum bf_bench_status { BF_VALID, BF_UNSETTLED, BF_SHORT, BF_INVALID, BF_NOT_TIMED } bf_bench_status;
const char *bf_bench_status_name(bf_bench_status);

typedef struct bf_measurement {
    bf_bench_status status;
    double first, second;              /* seconds, host clock, the very first launches of this kernel in this process */
    bf_summary steady, ceiling, ratio; /* seconds of one launch; of the ceiling for as many bytes; ratio of bandwidths */
    double hot;                        /* median seconds, one set of buffers again and again */
    double worst;                      /* of the check that admitted it */
    uint64_t bytes_read, bytes_written, distinct;
    int copies, rounds;
    char ceiling_name[160], note[256];
} bf_measurement;

/* Fills *row. size: at least so many bytes of distinct buffers (the last-level cache eight times in any case); seconds: time
 * that it may take until the interval is narrow. The device says backend, cache and memory; it need not be a discovered one.
 * 0: measured. 1: its check did not admit it, status NOT_TIMED and the note say why. -1 with err. */
int bf_measure(const bf_device *, bf_context *, const bf_kernel *, const bf_prepared *, double size, double seconds,
               bf_measurement *row, bf_error *);

#endif
