/* measure.h: the timing engine: one kernel on one case, on one device, on rotated buffers beside its ceiling.
 *
 * Only what passed its check on these very inputs is timed. Rounds alternate kernel and ceiling, so that a busy neighbour slows
 * both; the ratio is formed inside a round. In a round each works through some of the copies, in
 * a section of the rotation of its own, so that none finds in a cache what another left there. Peers take their turn behind the
 * ceiling; their time is not counted against the kernel's. A kernel whose interval lies wholly above 1.03 of the ceiling is INVALID, not
 * fast. */
#ifndef BF_MEASURE_H
#define BF_MEASURE_H

#include "backend.h"
#include "peer.h"
#include "power.h"
#include "runner.h"
#include "statistics.h"

/* VALID: the 95 % interval of the ratio's median is within 1 % of it; UNSETTLED: time was up before. SHORT: a launch of less than
 * 20 microseconds is the launch's own cost, and no fraction of a ceiling. NOT_TIMED: see the note. */
typedef enum bf_bench_status { BF_VALID, BF_UNSETTLED, BF_SHORT, BF_INVALID, BF_NOT_TIMED } bf_bench_status;
const char *bf_bench_status_name(bf_bench_status);

/* Another library on the same case, in turn with the kernel. */
typedef struct bf_peer_measurement {
    char name[64], how[96];
    double worst, ours;        /* bf_peer_judge of it, bf_peer_error of us */
    bf_summary seconds, ratio; /* of one launch; its time over ours within a round: above 1 ours is faster */
} bf_peer_measurement;

typedef struct bf_measure_options {
    double size, seconds; /* see bf_measure */
    const char *peers;    /* folder of ggml's libraries, "" the system's; NULL: no peers */
    int threads;          /* of the peers */
    bf_power *power;      /* NULL: not read */
} bf_measure_options;

typedef struct bf_measurement {
    bf_bench_status status;
    double first, second;              /* seconds, host clock, the very first launches of this kernel in this process */
    bf_summary steady, ceiling, ratio; /* seconds of one launch; of the ceiling for as many bytes; ratio of bandwidths */
    double hot;                        /* median seconds, one set of buffers again and again */
    double worst;                      /* of the check that admitted it */
    uint64_t bytes_read, bytes_written, distinct;
    int copies, rounds;
    char ceiling_name[160], note[256];
    int powered;            /* 1: power holds what was drawn while the kernel ran alone, launch after launch, on rotated buffers */
    bf_power_reading power;
    double joules;          /* a launch, from that */
    int peers;
    bf_peer_measurement peer[BF_MAX_PEERS];
} bf_measurement;

/* Fills *row. size: at least so many bytes of distinct buffers (the last-level cache eight times in any case); seconds: time
 * that it may take until the interval is narrow. The device says backend, cache and memory; it need not be a discovered one.
 * 0: measured. 1: its check did not admit it, status NOT_TIMED and the note say why. -1 with err. */
int bf_measure(const bf_device *, bf_context *, const bf_kernel *, const bf_prepared *, const bf_measure_options *,
               bf_measurement *row, bf_error *);

#endif
