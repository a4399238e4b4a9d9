/* stream_naive.c: one loop a mode, left to the compiler; plain stores only. */
#include "../common/stream.h"
#include "pool.h"

typedef struct stream_job {
    const float *x, *z;
    float *y;
    uint32_t *c;
    int mode;
} stream_job;

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
        for (int64_t i = begin; i < end; i++) y[i] = 0x3f800000u | ((uint32_t)i & 0xffu);
        break;
    default:
        for (int64_t i = begin; i < end; i++) j->y[i] = j->x[i] + 3.0f * j->z[i];
    }
}

static int accepts(const bf_problem *p) { return p->param[STREAM_STORE] == 0; }

static void run(const bf_problem *p, bf_pool *pool) {
    stream_job j = {p->ptr[STREAM_X], p->ptr[STREAM_Z], p->ptr[STREAM_Y], p->ptr[STREAM_C], (int)p->param[STREAM_MODE]};
    if (j.mode == STREAM_READ) *j.c = 0;
    bf_pool_run(pool, chunk, &j, p->dim[STREAM_N], 65536);
}

static const bf_kernel stream_naive = {
    .op = "stream", .name = "stream_naive", .file = "stream_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "one loop a mode, plain stores", .accepts = accepts, .run = run,
};
BF_REGISTER(stream_naive);
