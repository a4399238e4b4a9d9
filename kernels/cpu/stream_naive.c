/* stream_naive.c: one loop a mode, left to the compiler; plain stores only. */
#include "../common/stream.h"
#include "pool.h"

typedef struct stream_job {
    const float *x, *z;
    float *y;
    uint32_t *c;
    int64_t n, m;
    int mode;
} stream_job;

/* mix: 1 KiB of the longer array a unit, and the shorter one's share. */
enum { MIX_UNIT = 256 };

static uint32_t pattern(int64_t i) { return 0x3f800000u | ((uint32_t)i & 0xffu); }
static int64_t mix_units(const stream_job *j) { return ((j->n > j->m ? j->n : j->m) + MIX_UNIT - 1) / MIX_UNIT; }
/* Where unit `at` begins in an array of `length`. */
static int64_t mix_from(const stream_job *j, int64_t length, int64_t at) {
    return (int64_t)((unsigned __int128)length * (uint64_t)at / (uint64_t)mix_units(j));
}
static uint32_t mix_chunk(const stream_job *j, const uint32_t *x, uint32_t *y, int64_t begin, int64_t end) {
    uint32_t all = 0;
    int64_t i = mix_from(j, j->n, begin), k = mix_from(j, j->m, begin);
    for (int64_t at = begin + 1; at <= end; at++) {
        for (int64_t to = mix_from(j, j->n, at); i < to; i++) all ^= x[i];
        for (int64_t to = mix_from(j, j->m, at); k < to; k++) y[k] = pattern(k);
    }
    return all;
}

static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const stream_job *j = arg;
    const uint32_t *x = (const uint32_t *)j->x;
    uint32_t *y = (uint32_t *)j->y, all = 0;
    switch (j->mode) {
    case STREAM_COPY:
        for (int64_t i = begin; i < end; i++) y[i] = x[i];
        break;
    case STREAM_READ:
        for (int64_t i = begin; i < end; i++) all ^= x[i];
        __atomic_fetch_xor(j->c, all, __ATOMIC_RELAXED);
        break;
    case STREAM_WRITE:
        for (int64_t i = begin; i < end; i++) y[i] = pattern(i);
        break;
    case STREAM_MIX: __atomic_fetch_xor(j->c, mix_chunk(j, x, y, begin, end), __ATOMIC_RELAXED); break;
    default:
        for (int64_t i = begin; i < end; i++) j->y[i] = j->x[i] + 3.0f * j->z[i];
    }
}

static int accepts(const bf_problem *p) { return p->param[STREAM_STORE] == 0; }

static void run(const bf_problem *p, bf_pool *pool) {
    stream_job j = {p->ptr[STREAM_X], p->ptr[STREAM_Z], p->ptr[STREAM_Y], p->ptr[STREAM_C],
                    p->dim[STREAM_N], p->dim[STREAM_M], (int)p->param[STREAM_MODE]};
    if (j.mode == STREAM_READ || j.mode == STREAM_MIX) *j.c = 0;
    if (j.mode == STREAM_MIX) bf_pool_run(pool, chunk, &j, mix_units(&j), 65536 / MIX_UNIT);
    else bf_pool_run(pool, chunk, &j, j.n, 65536);
}

static const bf_kernel stream_naive = {
    .op = "stream", .name = "stream_naive", .file = "stream_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "one loop a mode, plain stores", .accepts = accepts, .run = run,
};
BF_REGISTER(stream_naive);
