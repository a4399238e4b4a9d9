/* q4k_matvec.h: what the CPU kernels of q4k_matvec share: the job, and how rows are dealt to the threads. */
#ifndef BF_CPU_Q4K_MATVEC_H
#define BF_CPU_Q4K_MATVEC_H

#include <math.h>
#include <stdatomic.h>

#include "../common/q4_k.h"
#include "../common/q4k_matvec.h"
#include "fp16.h"
#include "pool.h"

typedef struct matvec_job {
    const bf_q4_k *w;
    const void *x;
    float *y;
    int8_t *xq;
    float *xd;
    int32_t *xs;
    void *scratch;
    int64_t m, k;
    int n;
    bf_dtype x_type;
} matvec_job;

/* Bits of the least amax that is quantised, 2^-100, and of infinity. */
#define MATVEC_AMAX_MIN 0x0d800000u
#define MATVEC_INF 0x7f800000u

static inline int matvec_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATVEC_X];
    return p->type[Q4K_MATVEC_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) &&
           p->dim[Q4K_MATVEC_N] >= 1 && p->dim[Q4K_MATVEC_N] <= Q4K_MATVEC_MAX_N;
}

static inline matvec_job matvec_job_of(const bf_problem *p) {
    return (matvec_job){.w = p->ptr[Q4K_MATVEC_W], .x = p->ptr[Q4K_MATVEC_X], .y = p->ptr[Q4K_MATVEC_Y],
                        .xq = p->ptr[Q4K_MATVEC_XQ], .xd = p->ptr[Q4K_MATVEC_XD], .xs = p->ptr[Q4K_MATVEC_XS],
                        .scratch = p->scratch, .m = p->dim[Q4K_MATVEC_M], .k = p->dim[Q4K_MATVEC_K],
                        .n = (int)p->dim[Q4K_MATVEC_N], .x_type = p->type[Q4K_MATVEC_X]};
}

/* ---- rows dealt out in units ----
 *
 * A unit is the rows that a thread computes at a time, about 80 KiB of neighbouring rows; a block is the units that it claims
 * at a time, about 1 MiB. While a thread computes a unit it brings the next one's bytes into its L2 cache at the
 * pace at which it consumes this one: memory then sees one linear stream a thread, however the rows of a unit are walked,
 * nothing is fetched twice, and a busy neighbour delays a block or two and not half of the matrix.
 * Units claimed singly cost two threads much, presumably because the hardware's prefetchers run on into the other thread's
 * unit at every jump. AMD EPYC Zen 4, two cores, 14336 x 4096, beside a read in turn: q4k_matvec_int8_avx512vnni 73 % so,
 * 89 % by blocks of 1 MiB; q4k_matvec_int8_avx2 67 and 76 %. Units of 36 KiB: 86 and 76 %. */
typedef struct matvec_units {
    matvec_job job;
    int64_t rows, count; /* of a unit; units */
    int64_t block;       /* units claimed together */
    int form;            /* q4k_table_fp32.h */
    float unscale;
    /* Computes rows [begin, end); ahead: as many bytes as these rows have, to be prefetched on the way, never NULL. */
    void (*unit)(const struct matvec_units *, int64_t begin, int64_t end, const char *ahead);
    _Alignas(64) _Atomic int64_t next; /* the first unit of the next block */
} matvec_units;

enum { MATVEC_UNIT_BYTES = 80 * 1024, MATVEC_UNIT_MOST = 512 * 1024, MATVEC_BLOCK_BYTES = 1024 * 1024 };

static inline int64_t matvec_row_bytes(const matvec_job *j) { return j->k / BF_Q4_K_WEIGHTS * BF_Q4_K_BYTES; }

static inline void matvec_units_thread(void *arg, int64_t begin, int64_t end, int thread) {
    (void)begin, (void)end, (void)thread;
    matvec_units *u = arg;
    int64_t row = matvec_row_bytes(&u->job), now = atomic_fetch_add(&u->next, u->block), last_of_block = now + u->block - 1;
    const char *w = (const char *)u->job.w;
    if (now < u->count && u->rows * row <= MATVEC_UNIT_MOST)
        for (int64_t i = 0; i < u->rows * row; i += 64) __builtin_prefetch(w + now * u->rows * row + i, 0, 2);
    while (now < u->count) {
        int64_t then = now + 1, first = now * u->rows, last = first + u->rows;
        if (now == last_of_block) then = atomic_fetch_add(&u->next, u->block), last_of_block = then + u->block - 1;
        /* Nothing to come, or too large for the cache: prefetching what is at hand costs nothing. */
        int64_t at = then < u->count && u->rows * row <= MATVEC_UNIT_MOST ? then : now;
        u->unit(u, first, last < u->job.m ? last : u->job.m, w + at * u->rows * row);
        now = then;
    }
}

/* `step`: rows computed together; units are multiples of it. */
static inline void matvec_units_run(matvec_units *u, bf_pool *pool, int64_t step) {
    int64_t row = matvec_row_bytes(&u->job), steps = MATVEC_UNIT_BYTES / (row * step), threads = bf_pool_threads(pool);
    u->rows = step * (steps > 1 ? steps : 1);
    u->count = (u->job.m + u->rows - 1) / u->rows;
    /* Of a small matrix every thread still gets several blocks. */
    int64_t block = MATVEC_BLOCK_BYTES / (u->rows * row), most = u->count / (8 * threads);
    u->block = block < most ? block : most;
    if (u->block < 1) u->block = 1;
    atomic_init(&u->next, 0);
    bf_pool_run(u->count > 1 ? pool : NULL, matvec_units_thread, u, u->count > 1 ? threads : 1, 1);
}

#endif
