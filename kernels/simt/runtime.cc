/* runtime.cc: one launch, block after block, thread after thread; see runtime.h.
 *
 * The threads of a block start in order on one fiber, as plain calls, and go on so while none waits. A thread that
 * waits at a barrier or shuffle keeps its fiber; the next thread starts or resumes at once, without a scheduler in
 * between: the following lane of its warp, and when all lanes of the warp wait at the block barrier (or have ended)
 * the next warp. The last to arrive does not switch. Every wait checks that nobody has ended or waits elsewhere, so
 * the thread chosen next can always run and nothing can hang.
 *
 * Shuffle values (and the operands of matrix steps) go into one of two sets of slots in turn: nobody can write to a set
 * before all lanes have arrived at the following shuffle, that is, have read it. */
#include "runtime.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "fiber.h"
#include "race.h"
#include "sections.h"
#include "simt_math.h"
#include "simt_state.h"
#include "wmma_adder.h"

bf_simt_thread *bf_simt_self;
bf_simt_grid bf_simt_now;
#if defined(__x86_64__)
const bool bf_simt_has_fma = __builtin_cpu_supports("fma");
#else
const bool bf_simt_has_fma = false;
#endif

namespace {

enum { WARP = 32, MAX_THREADS = BF_SIMT_MAX_THREADS, MAX_WARPS = MAX_THREADS / WARP };
enum { RACE_STACK = 16 << 10 }; /* of each fiber's stack: what a kernel's frames may take, race.h */
enum state : uint8_t { NEW, RUNNING, AT_WARP, AT_BLOCK, ENDED };

struct site {
    const char *file;
    int line;
    bool operator==(const site &o) const { return line == o.line && (file == o.file || strcmp(file, o.file) == 0); }
};

struct thread : bf_simt_thread {
    state at;
    uint32_t phase; /* of the barrier it waits at; passed when the barrier's has moved on */
    int warp;
    bf_fiber *fiber;
};

struct warp {
    uint32_t phase;
    int arrived, at_block, ended;
    site where; /* of the first lane that arrived */
    uint32_t slot[2][WARP];
    float sum[2];
};

/* A matrix step in progress: what each lane brought, and A widened once for all (indexed like warps and slots). */
struct matrix {
    uint32_t a[WARP][8], b[WARP][8];
    union {
        float f[16][16];
        int32_t i[16][16];
    } rows;
};

struct kernel {
    const char *name, *file;
    size_t args_bytes;
    int max_threads;
};

struct launch {
    const bf_step *step;
    const char *model;
    kernel what;
    uint64_t blocks, done, stride, offset; /* block number k runs as (k * stride + offset) mod blocks */
    int threads, warps;
    uint32_t phase; /* of the block barrier */
    int arrived, ended;
    site where;
    bf_fiber *running;
    char *message;
    size_t room;
    bool failed;
} g;

thread threads[MAX_THREADS];
warp warps[MAX_WARPS];
matrix matrices[MAX_WARPS][2];
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
int order = -1; /* a bf_simt_order; -1: not asked yet */

/* ---- faults ---- */
__attribute__((format(printf, 1, 2))) int refuse(const char *format, ...) {
    int n = g.what.name ? snprintf(g.message, g.room, "%s: kernel %s: ", g.model, g.what.name)
                        : snprintf(g.message, g.room, "%s: ", g.model);
    va_list ap;
    va_start(ap, format);
    if (n >= 0 && static_cast<size_t>(n) < g.room) vsnprintf(g.message + n, g.room - static_cast<size_t>(n), format, ap);
    va_end(ap);
    return -1;
}

/* Gives up the launch from inside a thread. */
[[noreturn]] __attribute__((format(printf, 1, 2))) void fault(const char *format, ...) {
    char text[320];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    refuse("block (%d,%d,%d), thread (%d,%d): %s", bf_simt_now.bid_x, bf_simt_now.bid_y, bf_simt_now.bid_z,
           bf_simt_self->tid_x, bf_simt_self->tid_y, text);
    g.failed = true;
    if (bf_race) bf_race_host();
    bf_fiber_abandon(bf_fiber_host());
}

const char *base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- blocks ---- */
/* Reaches over the fences that AddressSanitizer puts between variables; no byte repeats, so it stays a loop. */
__attribute__((no_sanitize("address"))) void poison(unsigned char *p, size_t bytes) {
    const uint32_t word = BF_SIMT_POISON;
    const unsigned char *w = reinterpret_cast<const unsigned char *>(&word);
    size_t i = 0;
    for (; i < bytes && reinterpret_cast<uintptr_t>(p + i) % 4; ++i) p[i] = w[i % 4];
    for (; i + 4 <= bytes; i += 4) *reinterpret_cast<uint32_t *>(p + i) = word;
    for (; i < bytes; ++i) p[i] = w[i % 4];
}

void begin_block() {
    uint64_t k = (static_cast<unsigned __int128>(g.done) * g.stride + g.offset) % g.blocks;
    const uint32_t *grid = g.step->grid;
    bf_simt_now.bid_x = static_cast<int>(k % grid[0]);
    bf_simt_now.bid_y = static_cast<int>(k / grid[0] % grid[1]);
    bf_simt_now.bid_z = static_cast<int>(k / grid[0] / grid[1]);
    poison(bf_simt_now.fixed, bf_simt_now.fixed_bytes);
    poison(bf_simt_now.dynamic, bf_simt_now.dynamic_bytes);
    if (bf_race) {
        bf_race_forget(bf_simt_now.fixed, bf_simt_now.fixed_bytes);
        bf_race_forget(bf_simt_now.dynamic, bf_simt_now.dynamic_bytes);
        bf_race_block();
    }
    for (int i = 0; i < g.threads; ++i) threads[i].at = NEW;
    for (int i = 0; i < g.warps; ++i) {
        warps[i].phase = 0;
        warps[i].arrived = warps[i].at_block = warps[i].ended = 0;
    }
    g.phase = 0;
    g.arrived = g.ended = 0;
}

/* ---- who is next ---- */
bool can_run(const thread &t) {
    return t.at == NEW || (t.at == AT_WARP && t.phase != warps[t.warp].phase) ||
           (t.at == AT_BLOCK && t.phase != g.phase);
}

thread *next_lane(int w, int after) {
    for (int k = 1; k <= WARP; ++k) {
        thread *t = &threads[w * WARP + (after + k) % WARP];
        if (can_run(*t)) return t;
    }
    fault("no lane can run: the runtime's own error");
}

thread *next_of_block(const thread *t) {
    for (int k = 0; k < g.warps; ++k) {
        int w = (t->warp + k) % g.warps;
        if (warps[w].at_block + warps[w].ended < WARP) return next_lane(w, w == t->warp ? t->lane : WARP - 1);
    }
    fault("no warp can run: the runtime's own error");
}

void resume(thread *t) {
    bf_fiber *me = g.running;
    bf_simt_self = t;
    t->at = RUNNING;
    g.running = t->fiber;
    if (bf_race) bf_race_run(static_cast<int>(t - threads));
    bf_fiber_switch(me, t->fiber);
}

void thread_body();

/* For a thread that waits. */
void yield_to(thread *t) {
    if (t->at == NEW) {
        t->fiber = bf_fiber_take(thread_body);
        if (!t->fiber) fault("out of memory for fibers");
    }
    resume(t);
}

void end_thread(thread *t) {
    warp &w = warps[t->warp];
    if (g.arrived)
        fault("divergent barrier: this thread has returned while %d of %d wait at bf_sync, %s:%d", g.arrived, g.threads,
              base(g.where.file), g.where.line);
    if (w.arrived)
        fault("shuffle or warp barrier at %s:%d: this lane has returned while %d lanes of its warp wait",
              base(w.where.file), w.where.line, w.arrived);
    t->at = ENDED;
    ++w.ended;
    if (bf_race) bf_race_end(g.ended + 1 == g.threads);
    thread *next;
    if (++g.ended < g.threads) {
        next = next_of_block(t);
    } else if (++g.done < g.blocks) {
        begin_block();
        next = &threads[0];
    } else {
        bf_fiber *me = g.running;
        bf_fiber_idle(me);
        if (bf_race) bf_race_host();
        bf_fiber_switch(me, bf_fiber_host());
        return;
    }
    if (next->at == NEW) { /* a plain call on this same fiber */
        bf_simt_self = next;
        if (bf_race) bf_race_run(static_cast<int>(next - threads));
        return;
    }
    bf_fiber_idle(g.running);
    resume(next);
}

/* What every fiber runs: one thread after the other. */
void thread_body() {
    for (;;) {
        thread *t = static_cast<thread *>(bf_simt_self);
        t->at = RUNNING;
        t->fiber = g.running;
        if (bf_race) {
            bf_race_forget(bf_fiber_top(g.running) - RACE_STACK, RACE_STACK);
            bf_race_begin(static_cast<int>(t - threads));
        }
        g.step->host(g.step->args);
        end_thread(t);
    }
}

/* ---- launching ---- */
int check_launch(bf_target model) {
    const bf_step *s = g.step;
    const uint32_t shared_max = model == BF_CUDA ? 48 << 10 : 64 << 10;
    for (int i = 0; i < 3; ++i) {
        if (!s->grid[i] || !s->block[i])
            return refuse("empty launch: grid %u x %u x %u, block %u x %u x %u", s->grid[0], s->grid[1], s->grid[2],
                          s->block[0], s->block[1], s->block[2]);
    }
    if (s->block[2] != 1) return refuse("block z is %u; the dialect has no bf_tid_z", s->block[2]);
    uint64_t count = static_cast<uint64_t>(s->block[0]) * s->block[1];
    if (count > static_cast<uint64_t>(g.what.max_threads))
        return refuse("%llu threads a block; declared for at most %d", static_cast<unsigned long long>(count),
                      g.what.max_threads);
    if (s->block[0] % WARP) return refuse("block x is %u, not a multiple of 32", s->block[0]);
    if (s->shared > shared_max) return refuse("%u bytes of shared memory; at most %u", s->shared, shared_max);
    if (model == BF_CUDA && (s->grid[0] > 0x7fffffffu || s->grid[1] > 65535 || s->grid[2] > 65535))
        return refuse("grid %u x %u x %u; at most 2147483647 x 65535 x 65535", s->grid[0], s->grid[1], s->grid[2]);
    for (int i = 0; i < 3; ++i) {
        if (static_cast<uint64_t>(s->grid[i]) * s->block[i] > UINT32_MAX && model == BF_HIP)
            return refuse("grid %u times block %u; at most 2^32 - 1 threads a dimension", s->grid[i], s->block[i]);
    }
    if (s->args_bytes > BF_MAX_ARGS || s->args_bytes != g.what.args_bytes)
        return refuse("argument of %u bytes; the kernel takes %zu, and at most %d are passed", s->args_bytes,
                      g.what.args_bytes, BF_MAX_ARGS);
    if (!s->symbol || strcmp(s->symbol, g.what.name))
        return refuse("the step names symbol %s", s->symbol ? s->symbol : "(none)");
    return 0;
}

uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

int set_order() {
    if (order < 0) {
        const char *e = getenv("BF_SIMT_ORDER");
        if (!e || !*e || !strcmp(e, "forward")) order = BF_SIMT_FORWARD;
        else if (!strcmp(e, "reverse")) order = BF_SIMT_REVERSE;
        else if (!strcmp(e, "shuffle")) order = BF_SIMT_SHUFFLE;
        else return refuse("BF_SIMT_ORDER=%.32s: forward, reverse or shuffle", e);
    }
    uint64_t n = g.blocks;
    g.stride = 1, g.offset = 0;
    if (order == BF_SIMT_REVERSE) g.stride = n - 1, g.offset = n - 1;
    if (order == BF_SIMT_SHUFFLE) { /* steps near the golden section of the grid: a fixed, well-spread permutation */
        g.stride = static_cast<uint64_t>(static_cast<double>(n) * 0.6180339887498949) | 1;
        while (gcd(g.stride, n) != 1) g.stride += 2;
        g.offset = n / 3;
    }
    return 0;
}

int prepare(bf_target model) {
    g.step->host(nullptr);
    if (check_launch(model)) return -1;
    const bf_step *s = g.step;
    g.blocks = static_cast<uint64_t>(s->grid[0]) * s->grid[1] * s->grid[2];
    g.threads = static_cast<int>(s->block[0] * s->block[1]);
    g.warps = g.threads / WARP;
    if (set_order()) return -1;
    for (int i = 0; i < g.threads; ++i) {
        thread &t = threads[i];
        t.tid_x = i % static_cast<int>(s->block[0]);
        t.tid_y = i / static_cast<int>(s->block[0]);
        t.lane = i % WARP;
        t.warp = i / WARP;
    }
    bf_simt_now.bdim_x = static_cast<int>(s->block[0]);
    bf_simt_now.bdim_y = static_cast<int>(s->block[1]);
    bf_simt_now.gdim_x = static_cast<int>(s->grid[0]);
    static const char *last_file;
    static bf_section last;
    if (last_file != g.what.file) {
        char name[512];
        snprintf(name, sizeof name, "bf.shared.%s", g.what.file);
        last = bf_section_find(name);
        last_file = g.what.file;
    }
    bf_simt_now.fixed = last.begin;
    bf_simt_now.fixed_bytes = last.bytes;
    bf_simt_now.dynamic_bytes = s->shared;
    bf_simt_now.dynamic = static_cast<unsigned char *>(s->shared ? malloc(s->shared) : nullptr); /* 16-byte aligned */
    if (s->shared && !bf_simt_now.dynamic) return refuse("out of memory for shared memory");
    return 0;
}

int launch_all() {
    bf_fiber *first = bf_fiber_take(thread_body);
    if (!first) return refuse("out of memory for fibers");
#if defined(__x86_64__)
    /* All sticky flags set beforehand: a fiber whose flags differ makes every switch several times slower. */
    const unsigned csr = _mm_getcsr();
    _mm_setcsr(0x1f80u | 0x3fu);
#endif
    if (bf_race) bf_race_launch();
    begin_block();
    bf_simt_self = &threads[0];
    g.running = first;
    if (bf_race) bf_race_run(0);
    bf_fiber_switch(bf_fiber_host(), first);
#if defined(__x86_64__)
    _mm_setcsr(csr);
#endif
    if (g.failed) bf_fiber_reset();
    int races = bf_race ? bf_race_finish() : 0;
    if (g.failed) return -1;
    if (races)
        return refuse("%d data races between %s (reported on stderr)", races,
                      bf_race == BF_RACE_THREADS ? "threads of a block" : "blocks");
    return 0;
}

} // namespace

void bf_simt_set_order(bf_simt_order o) { order = o; }

int bf_simt_run(bf_target model, const bf_step *step, char *message, size_t room) {
    pthread_mutex_lock(&lock);
    g = launch{};
    bf_simt_now = bf_simt_grid{};
    g.step = step;
    g.model = model == BF_CUDA ? "simt-cuda" : "simt-hip";
    g.message = message;
    g.room = room;
    const char *blind = bf_race_start();
    int rc = blind         ? refuse("%s", blind)
             : !step->host ? refuse("step %s has no host entry", step->symbol ? step->symbol : "(none)")
                           : prepare(model);
    if (!rc) rc = launch_all();
    free(bf_simt_now.dynamic);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- what the dialect calls ---- */
void bf_simt_describe(const char *name, size_t args_bytes, int max_threads, const char *file) {
    g.what = {name, file, args_bytes, max_threads};
}

void bf_simt_bad_access(const void *p, int bytes, const char *what) {
    if (reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes))
        fault("misaligned %d-byte %s at %p", bytes, what, p);
    fault("global %d-byte %s at %p, which is shared memory", bytes, what, p);
}

void bf_simt_block_wait(const char *file, int line) {
    thread *t = static_cast<thread *>(bf_simt_self);
    warp &w = warps[t->warp];
    const site here = {file, line};
    if (g.ended)
        fault("divergent barrier: bf_sync at %s:%d, but %d of %d threads have returned", base(file), line, g.ended,
              g.threads);
    if (w.arrived)
        fault("divergent barrier: bf_sync at %s:%d, but %d lanes of the warp wait at %s:%d", base(file), line, w.arrived,
              base(w.where.file), w.where.line);
    if (!g.arrived)
        g.where = here;
    else if (!(g.where == here))
        fault("divergent barrier: bf_sync at %s:%d, but %d threads wait at %s:%d", base(file), line, g.arrived,
              base(g.where.file), g.where.line);
    ++w.at_block;
    const uint32_t phase = g.phase;
    if (bf_race) bf_race_arrive(-1, phase);
    if (++g.arrived == g.threads) {
        ++g.phase;
        g.arrived = 0;
        for (int i = 0; i < g.warps; ++i) warps[i].at_block = 0;
    } else {
        t->at = AT_BLOCK;
        t->phase = phase;
        yield_to(next_of_block(t));
    }
    if (bf_race) bf_race_leave(-1, phase, static_cast<int>(t - threads));
}

namespace {

/* Arrival at a shuffle or warp barrier. True: as the last. */
bool arrive_in_warp(thread *t, warp &w, const char *file, int line) {
    const site here = {file, line};
    if (w.ended)
        fault("shuffle or warp barrier at %s:%d, but %d lanes of the warp have returned", base(file), line, w.ended);
    if (w.at_block)
        fault("shuffle or warp barrier at %s:%d, but %d lanes of the warp wait at bf_sync, %s:%d", base(file), line,
              w.at_block, base(g.where.file), g.where.line);
    if (!w.arrived)
        w.where = here;
    else if (!(w.where == here))
        fault("shuffle or warp barrier at %s:%d, but %d lanes of the warp wait at %s:%d", base(file), line, w.arrived,
              base(w.where.file), w.where.line);
    if (++w.arrived == WARP) {
        ++w.phase;
        w.arrived = 0;
        return true;
    }
    t->at = AT_WARP;
    t->phase = w.phase;
    return false;
}

} // namespace

void bf_simt_warp_wait(const char *file, int line) {
    thread *t = static_cast<thread *>(bf_simt_self);
    const uint32_t phase = warps[t->warp].phase;
    if (bf_race) bf_race_arrive(t->warp, phase);
    if (!arrive_in_warp(t, warps[t->warp], file, line)) yield_to(next_lane(t->warp, t->lane));
    if (bf_race) bf_race_leave(t->warp, phase, static_cast<int>(t - threads));
}

uint32_t bf_simt_shuffle(uint32_t v, int lane, const char *file, int line) {
    thread *t = static_cast<thread *>(bf_simt_self);
    warp &w = warps[t->warp];
    uint32_t *slot = w.slot[w.phase & 1];
    slot[t->lane] = v;
    if (!arrive_in_warp(t, w, file, line)) yield_to(next_lane(t->warp, t->lane));
    return slot[lane];
}

float bf_simt_warp_sum(float v, const char *file, int line) {
    thread *t = static_cast<thread *>(bf_simt_self);
    warp &w = warps[t->warp];
    const uint32_t set = w.phase & 1;
    memcpy(&w.slot[set][t->lane], &v, sizeof v);
    if (arrive_in_warp(t, w, file, line)) {
        float x[WARP];
        memcpy(x, w.slot[set], sizeof x);
        for (int m = 16; m; m >>= 1) /* addition commutes: every lane of the butterfly gets what lane 0 gets */
            for (int i = 0; i < m; ++i) x[i] = x[i] + x[i + m];
        w.sum[set] = x[0];
    } else {
        yield_to(next_lane(t->warp, t->lane));
    }
    return w.sum[set];
}

namespace {

/* Element k of a row of A or a column of B. */
float half_of(bf_simt_matrix kind, const uint32_t *words, int k) {
    uint32_t h = words[k / 2] >> 16 * (k & 1) & 0xffffu;
    return bf_simt_bits_f(kind == BF_SIMT_WMMA_F16 ? bf_simt_f16_to_f32_hip(h) : h << 16);
}
int32_t byte_of(const uint32_t *words, int k, bool is_signed) {
    uint32_t v = words[k / 4] >> 8 * (k & 3) & 0xffu;
    return is_signed ? static_cast<int8_t>(v) : static_cast<int32_t>(v);
}
bool of_floats(bf_simt_matrix kind) { return kind == BF_SIMT_WMMA_F16 || kind == BF_SIMT_WMMA_BF16; }

/* By the last lane to arrive: both halves must hold the same; then A is widened once for all lanes. */
void widen_rows(bf_simt_matrix kind, matrix &m, const char *file, int line) {
    const int words = of_floats(kind) ? 8 : 4;
    for (int l = 0; l < 16; ++l) {
        uint32_t a = 0, b = 0; /* no memcmp, no memcpy of unknown size here: the race checker would look into it */
        for (int i = 0; i < words; ++i) a |= m.a[l][i] ^ m.a[l + 16][i], b |= m.b[l][i] ^ m.b[l + 16][i];
        if (a | b)
            fault("matrix step at %s:%d: lanes %d and %d of the wave differ in %s", base(file), line, l, l + 16,
                  a ? "A" : "B");
        for (int k = 0; k < 16; ++k)
            if (of_floats(kind)) m.rows.f[l][k] = half_of(kind, m.a[l], k);
            else m.rows.i[l][k] = byte_of(m.a[l], k, kind == BF_SIMT_WMMA_I8);
    }
}

} // namespace

void bf_simt_wmma(bf_simt_matrix kind, const uint32_t *a, const uint32_t *b, const void *c, void *d, const char *file,
                  int line) {
    thread *t = static_cast<thread *>(bf_simt_self);
    warp &w = warps[t->warp];
    matrix &m = matrices[t->warp][w.phase & 1];
    if (of_floats(kind)) {
        memcpy(m.a[t->lane], a, 32);
        memcpy(m.b[t->lane], b, 32);
    } else {
        memcpy(m.a[t->lane], a, 16);
        memcpy(m.b[t->lane], b, 16);
    }
    if (arrive_in_warp(t, w, file, line)) widen_rows(kind, m, file, line);
    else yield_to(next_lane(t->warp, t->lane));
    float sum[8], column[16];
    int32_t count[8];
    memcpy(sum, c, sizeof sum);
    memcpy(count, c, sizeof count);
    if (of_floats(kind)) {
        const int least = kind == BF_SIMT_WMMA_F16 ? -14 : -126;
        for (int k = 0; k < 16; ++k) column[k] = half_of(kind, b, k);
        for (int i = 0; i < 8; ++i) {
            const float *row = m.rows.f[2 * i + t->lane / 16];
            for (int k = 0; k < 16; k += 2) sum[i] = bf_wmma::dot2(sum[i], row[k], column[k], row[k + 1], column[k + 1], least);
        }
        memcpy(d, sum, sizeof sum);
        return;
    }
    for (int i = 0; i < 8; ++i)
        for (int k = 0; k < 16; ++k)
            count[i] = static_cast<int32_t>(static_cast<uint32_t>(count[i]) +
                                            static_cast<uint32_t>(m.rows.i[2 * i + t->lane / 16][k] * byte_of(b, k, true)));
    memcpy(d, count, sizeof count);
}
