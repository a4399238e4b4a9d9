/* race.cc: see race.h. The sanitizer's functions are weak: without it this file does nothing. */
#include "race.h"

#include <stdlib.h>
#include <string.h>

extern "C" {
__attribute__((weak)) void *__tsan_get_current_fiber(void);
__attribute__((weak)) void *__tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_destroy_fiber(void *fiber);
__attribute__((weak)) void __tsan_switch_to_fiber(void *fiber, unsigned flags);
__attribute__((weak)) void __tsan_set_fiber_name(void *fiber, const char *name);
__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak)) void __tsan_release(void *address);
__attribute__((weak)) void __tsan_write4(void *address);
__attribute__((weak)) void __tsan_java_alloc(unsigned long p, unsigned long bytes);
__attribute__((weak)) void __tsan_java_free(unsigned long p, unsigned long bytes);

const char *__tsan_default_options(void) {
    return "atexit_sleep_ms=0:report_thread_leaks=0:history_size=4:exitcode=66:die_after_fork=0";
}
}

bf_race_pass bf_race = BF_RACE_OFF;

namespace __tsan {
class ReportDesc;
bool OnReport(const ReportDesc *, bool suppressed); /* the sanitizer's hook; true: do not print */
}

namespace {

enum { NO_SYNC = 1, THREADS = 1024, WARPS = 32 };
/* The sanitizer has 255 slots for clocks. Whoever takes over a slot counts as coming after its former owner, so blocks
 * share fewer fibers than that, for as long as the process lives. */
enum { BLOCKS = 199 };

int reports;
bool rehearsal; /* the race is our own */
void *host, *fiber[THREADS];
int current; /* fiber of the block, in the second pass */
/* Only their addresses count. */
char start, end, barrier[2], warp_barrier[WARPS][2], own[THREADS];

/* By hand: the sanitizer would take a call of strcpy or snprintf for an access of the thread that runs. */
void *named(const char *kind, int n) {
    char name[16], *p = name;
    while (*kind) *p++ = *kind++;
    int unit = 1;
    while (n / unit >= 10) unit *= 10;
    for (; unit; unit /= 10) *p++ = static_cast<char>('0' + n / unit % 10);
    *p = 0;
    void *f = __tsan_create_fiber(0);
    __tsan_set_fiber_name(f, name);
    return f;
}

/* Two fibers write to one place: if that is not reported, nothing else would be either. */
bool sees_a_race() {
    static int canary;
    void *a = named("canary ", 0), *b = named("canary ", 1);
    rehearsal = true;
    void *both[2] = {a, b};
    for (void *f : both) {
        __tsan_switch_to_fiber(f, NO_SYNC);
        __tsan_write4(&canary);
        __tsan_switch_to_fiber(host, NO_SYNC);
    }
    rehearsal = false;
    __tsan_destroy_fiber(a);
    __tsan_destroy_fiber(b);
    return reports > 0;
}

} // namespace

bool __tsan::OnReport(const ReportDesc *, bool suppressed) {
    reports += !suppressed;
    return suppressed || rehearsal;
}

const char *bf_race_start() {
    static bool asked;
    if (asked) return nullptr;
    const char *e = getenv("BF_SIMT_RACE");
    if (!e || !*e) return asked = true, nullptr;
    if (!__tsan_create_fiber) return "BF_SIMT_RACE is set, but this program is built without ThreadSanitizer";
    if (strcmp(e, "threads") && strcmp(e, "blocks")) return "BF_SIMT_RACE: threads or blocks";
    host = __tsan_get_current_fiber();
    if (!sees_a_race())
        return "the race checker sees nothing in this process (was it forked from one with several threads?)";
    bf_race = strcmp(e, "threads") ? BF_RACE_BLOCKS : BF_RACE_THREADS;
    asked = true;
    return nullptr;
}

void bf_race_forget(void *p, size_t bytes) {
    uintptr_t low = reinterpret_cast<uintptr_t>(p) & ~uintptr_t{7};
    uintptr_t high = (reinterpret_cast<uintptr_t>(p) + bytes + 7) & ~uintptr_t{7};
    if (high == low) return;
    __tsan_java_alloc(low, high - low);
    __tsan_java_free(low, high - low);
}

void bf_race_launch() {
    host = __tsan_get_current_fiber();
    reports = 0;
    current = BLOCKS - 1;
    __tsan_release(&start);
}

void bf_race_block() { current = (current + 1) % BLOCKS; }

void bf_race_run(int thread) {
    const bool threads = bf_race == BF_RACE_THREADS;
    void *&f = fiber[threads ? thread : current];
    if (!f) {
        __tsan_switch_to_fiber(host, NO_SYNC); /* or everything that its creator did would come before it */
        f = threads ? named("thread ", thread) : named("block ", current);
    }
    __tsan_switch_to_fiber(f, NO_SYNC);
}

void bf_race_begin(int thread) {
    if (bf_race == BF_RACE_BLOCKS && thread) return; /* the fiber has begun with the block's first thread */
    __tsan_acquire(&start);
    __tsan_release(&own[thread]); /* takes a slot again where it has lost its own (more than 254 threads) */
}

void bf_race_end(bool last) {
    if (bf_race == BF_RACE_THREADS || last) __tsan_release(&end);
}

void bf_race_host() { __tsan_switch_to_fiber(host, NO_SYNC); }

void bf_race_arrive(int warp, uint32_t phase) {
    if (bf_race != BF_RACE_THREADS) return;
    __tsan_release(warp < 0 ? &barrier[phase & 1] : &warp_barrier[warp][phase & 1]);
}

void bf_race_leave(int warp, uint32_t phase, int thread) {
    if (bf_race != BF_RACE_THREADS) return;
    __tsan_acquire(warp < 0 ? &barrier[phase & 1] : &warp_barrier[warp][phase & 1]);
    __tsan_release(&own[thread]); /* as above */
}

int bf_race_finish() {
    __tsan_acquire(&end);
    return reports;
}
