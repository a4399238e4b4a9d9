/* pool.c: see pool.h.
 *
 * The caller is thread 0, pinned to the first core for the length of a run and set free again; the others are pinned
 * once. A waiting thread spins for a moment only when it has a core of its own: two threads that share one core and spin
 * would each wait for the other's time slice. After that it sleeps on a futex. The caller never waits for a worker that has
 * not woken up in time to take part: workers join an open launch, and the caller closes it when the work is gone. */
#define _GNU_SOURCE
#include "pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 2000, LINE = 64, MAX_THREADS = 4096 };
#define OPEN 0x80000000u /* bit of `state`; the rest counts the workers that take part */

typedef struct worker {
    bf_pool *pool;
    pthread_t id;
    int index, core;
} worker;

struct bf_pool {
    int threads, started, spins, *core; /* core[threads]; -1: not pinned */
    worker *worker;                     /* [threads], 0 unused */
    struct {
        void (*fn)(void *arg, int64_t begin, int64_t end, int thread);
        void *arg;
        int64_t n, grain;
    } job;
    atomic_int quit;
    _Alignas(LINE) atomic_uint launch;  /* counts launches; workers sleep on it */
    atomic_uint sleepers;
    _Alignas(LINE) atomic_uint state;   /* OPEN | workers in the launch; the caller sleeps on it */
    _Alignas(LINE) _Atomic int64_t next; /* the next chunk */
};

static void futex_wait(atomic_uint *word, unsigned seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}
static void futex_wake(atomic_uint *word, int threads) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}
static void pause_a_moment(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void pin(int core) {
    cpu_set_t one;
    if (core < 0) return;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one); /* only a hint: a refusal leaves a slower, correct run */
}

static void work(bf_pool *p, int thread) {
    int64_t chunks = (p->job.n + p->job.grain - 1) / p->job.grain, c;
    while ((c = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < chunks) {
        int64_t begin = c * p->job.grain, end = begin + p->job.grain;
        p->job.fn(p->job.arg, begin, end < p->job.n ? end : p->job.n, thread);
    }
}

/* 1 when the launch is open and this worker is now counted in it. */
static int join(bf_pool *p) {
    unsigned s = atomic_load(&p->state);
    while (s & OPEN)
        if (atomic_compare_exchange_weak(&p->state, &s, s + 1)) return 1;
    return 0;
}

static unsigned await_launch(bf_pool *p, unsigned seen) {
    for (int i = 0; i < p->spins; i++) {
        unsigned now = atomic_load(&p->launch);
        if (now != seen) return now;
        pause_a_moment();
    }
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->launch) == seen) futex_wait(&p->launch, seen);
    atomic_fetch_sub(&p->sleepers, 1);
    return atomic_load(&p->launch);
}

static void *worker_main(void *arg) {
    worker *w = arg;
    bf_pool *p = w->pool;
    pin(w->core);
    for (unsigned seen = 0;;) {
        seen = await_launch(p, seen);
        if (atomic_load(&p->quit)) return NULL;
        if (!join(p)) continue;
        work(p, w->index);
        if (atomic_fetch_sub(&p->state, 1) == 1) futex_wake(&p->state, 1); /* closed, and this was the last */
    }
}

bf_pool *bf_pool_new(int threads) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    int cores = sched_getaffinity(0, sizeof allowed, &allowed) ? 0 : CPU_COUNT(&allowed);
    if (threads < 1) threads = cores ? cores : 1;
    if (threads > MAX_THREADS) return NULL;
    bf_pool *p = aligned_alloc(LINE, (sizeof *p + LINE - 1) / LINE * LINE);
    if (!p) return NULL;
    *p = (bf_pool){.threads = threads, .started = 1, .spins = threads <= cores ? SPINS : 0,
                   .core = malloc(sizeof *p->core * (size_t)threads),
                   .worker = calloc((size_t)threads, sizeof *p->worker)};
    if (!p->core || !p->worker) return bf_pool_free(p), NULL;
    for (int t = 0, core = -1; t < threads; t++) {
        for (int tries = 0; cores && tries < CPU_SETSIZE; tries++)
            if (CPU_ISSET(core = (core + 1) % CPU_SETSIZE, &allowed)) break;
        p->core[t] = core;
    }
    for (int t = 1; t < threads; t++, p->started++) {
        p->worker[t] = (worker){.pool = p, .index = t, .core = p->core[t]};
        if (pthread_create(&p->worker[t].id, NULL, worker_main, &p->worker[t])) return bf_pool_free(p), NULL;
    }
    return p;
}

void bf_pool_free(bf_pool *p) {
    if (!p) return;
    atomic_store(&p->quit, 1);
    atomic_fetch_add(&p->launch, 1);
    futex_wake(&p->launch, MAX_THREADS);
    for (int t = 1; t < p->started; t++) pthread_join(p->worker[t].id, NULL);
    free(p->core);
    free(p->worker);
    free(p);
}

int bf_pool_threads(const bf_pool *p) { return p ? p->threads : 1; }

static void await_workers(bf_pool *p) {
    unsigned s = atomic_fetch_and(&p->state, ~OPEN) & ~OPEN;
    for (int i = 0; s && i < p->spins; i++, s = atomic_load(&p->state)) pause_a_moment();
    for (; s; s = atomic_load(&p->state)) futex_wait(&p->state, s);
}

void bf_pool_run(bf_pool *p, void (*fn)(void *arg, int64_t begin, int64_t end, int thread), void *arg, int64_t n,
                 int64_t grain) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    if (!p || p->threads == 1) {
        for (int64_t b = 0; b < n; b += grain) fn(arg, b, n - b < grain ? n : b + grain, 0);
        return;
    }
    cpu_set_t before;
    int pinned = !sched_getaffinity(0, sizeof before, &before);
    if (pinned) pin(p->core[0]);
    p->job.fn = fn, p->job.arg = arg, p->job.n = n, p->job.grain = grain;
    atomic_store(&p->next, 0);
    atomic_store(&p->state, OPEN);
    atomic_fetch_add(&p->launch, 1);
    if (atomic_load(&p->sleepers)) futex_wake(&p->launch, MAX_THREADS);
    work(p, 0);
    await_workers(p);
    if (pinned) sched_setaffinity(0, sizeof before, &before);
}
