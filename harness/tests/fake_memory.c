/* fake_memory.c: an allocator that refuses, preloaded into the command (ci/memory): malloc, calloc, realloc, the aligned ones and mmap
 * count their calls in a file that all processes of a run share, and the wanted one answers that there is no memory.
 *
 *   BF_MEMORY=FILE     the shared state below; without it nothing is counted and nothing refused
 * FILE is written by the caller before the run: `first` is the call that is refused, counted from 1 (0: none), `last` the last one
 * (beyond the end: from there on there is no memory at all). `trace` 1: the hash of each call's stack goes behind the state.
 * The stack of the first refusal goes to FILE.stack. Only the program named blackframe is spoilt, not what it starts. */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH = 24 };

static struct state {
    uint64_t first, last, trace, calls, refused;
    uint64_t stack[];
} *state;
static uint64_t room; /* entries of stack[] */
static __thread int inside;

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

__attribute__((constructor)) static void begin(void) {
    void *frame[DEPTH];
    struct stat st;
    const char *file = getenv("BF_MEMORY");
    int fd = file && !strcmp(program_invocation_short_name, "blackframe") ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st)) return;
    backtrace(frame, DEPTH); /* loads what it needs, and allocates */
    void *p = (void *)syscall(SYS_mmap, NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return;
    room = ((uint64_t)st.st_size - sizeof *state) / sizeof(uint64_t);
    state = p;
}

static uint64_t hash_of(void *const *frame, int n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < n; i++) h = (h ^ (uintptr_t)frame[i]) * 0x100000001b3u;
    return h;
}

static void tell(void *const *frame, int n) {
    char path[4096];
    snprintf(path, sizeof path, "%s.stack", getenv("BF_MEMORY"));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return;
    backtrace_symbols_fd(frame, n, fd);
    close(fd);
}

static int refuse(void) {
    if (!state || inside) return 0;
    int was = errno;
    uint64_t call = __atomic_add_fetch(&state->calls, 1, __ATOMIC_RELAXED);
    int now = state->first && call >= state->first && call <= state->last;
    inside = 1;
    if (now || (state->trace && call <= room)) {
        void *frame[DEPTH];
        int n = backtrace(frame, DEPTH);
        if (now && !__atomic_fetch_add(&state->refused, 1, __ATOMIC_RELAXED)) tell(frame, n);
        if (!now) state->stack[call - 1] = hash_of(frame, n);
    }
    inside = 0;
    errno = now ? ENOMEM : was;
    return now;
}

void *malloc(size_t n) { return refuse() ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return refuse() ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return refuse() ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { return refuse() ? NULL : __libc_memalign(a, n); }
void *memalign(size_t a, size_t n) { return refuse() ? NULL : __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) {
    void *got = refuse() ? NULL : __libc_memalign(a, n);
    if (!got) return ENOMEM;
    *p = got;
    return 0;
}
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    if (refuse()) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}
