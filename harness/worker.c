/* worker.c: child processes, their pipes and the watchdog. */
#define _GNU_SOURCE
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double bf_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What goes through the pipe: a header, then for ROW the row and for REFUSED the text. */
enum { FRAME_OPEN = 1, FRAME_REFUSED, FRAME_START, FRAME_ROW, FRAME_END, FRAME_FRESH, FRAME_ALIVE };
typedef struct frame {
    uint32_t kind, bytes;
    uint64_t index;
} frame;

static int write_all(int fd, const void *data, size_t n) {
    const char *p = data;
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return -1;
        p += w, n -= (size_t)w;
    }
    return 0;
}

static int read_all(int fd, void *data, size_t n) {
    char *p = data;
    while (n) {
        ssize_t r = read(fd, p, n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return -1;
        p += r, n -= (size_t)r;
    }
    return 0;
}

static void send_frame(int fd, uint32_t kind, size_t index, const void *body, size_t bytes) {
    frame f = {kind, (uint32_t)bytes, index};
    /* A parent that is gone is not worth outliving. */
    if (write_all(fd, &f, sizeof f) || (bytes && write_all(fd, body, bytes))) _exit(111);
}

size_t bf_job_in_hand = SIZE_MAX;
static int to_parent = -1;

void bf_worker_alive(void) {
    if (to_parent >= 0) send_frame(to_parent, FRAME_ALIVE, bf_job_in_hand, NULL, 0);
}

static void child_main(bf_worker *w, int fd) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* the parent decides */
    signal(SIGPIPE, SIG_IGN);
    to_parent = fd;
    bf_error err = {{0}};
    if (w->open(w, &err)) {
        send_frame(fd, FRAME_REFUSED, 0, err.text, strlen(err.text) + 1);
        _exit(0);
    }
    send_frame(fd, FRAME_OPEN, 0, NULL, 0);
    void *row = calloc(1, w->row_bytes);
    if (!row) _exit(112);
    for (size_t i = w->next; i < w->jobs; i++) {
        send_frame(fd, FRAME_START, i, NULL, 0);
        memset(row, 0, w->row_bytes);
        bf_job_in_hand = i;
        int spoilt = w->job(w, i, row);
        send_frame(fd, FRAME_ROW, i, row, w->row_bytes);
        if (spoilt && i + 1 < w->jobs) {
            send_frame(fd, FRAME_FRESH, i, NULL, 0);
            _exit(0);
        }
    }
    send_frame(fd, FRAME_END, 0, NULL, 0);
    fflush(NULL);
    _exit(0); /* a driver's exit handlers may hang */
}

static int start(bf_worker *w, bf_error *err) {
    int p[2];
    if (pipe(p)) return bf_fail(err, "cannot make a pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        close(p[0]), close(p[1]);
        return bf_fail(err, "cannot start a child process: %s", strerror(errno));
    }
    if (pid == 0) {
        close(p[0]);
        child_main(w, p[1]);
    }
    close(p[1]);
    w->pid = pid, w->fd = p[0], w->started = 1, w->opened = 0, w->since = bf_now();
    return 0;
}

static void reap(bf_worker *w, int *wait_status) {
    close(w->fd);
    w->fd = -1;
    while (waitpid(w->pid, wait_status, 0) < 0 && errno == EINTR) {}
    w->pid = 0, w->started = 0;
}

/* The child is gone without FRAME_END, or is being put down for taking too long. */
static void lose(bf_worker *w, bf_status status) {
    char why[160];
    int ws = 0;
    if (status == BF_HANG) {
        kill(w->pid, SIGKILL);
        snprintf(why, sizeof why, "no answer within %.3g s%s, child killed", w->timeout,
                 w->prepares && w->opened && !w->alive ? " while inputs and reference were made (--timeout)" : "");
        reap(w, &ws);
    } else {
        reap(w, &ws);
        if (WIFSIGNALED(ws))
            snprintf(why, sizeof why, "child died of signal %d (%s)", WTERMSIG(ws), strsignal(WTERMSIG(ws)));
        else
            snprintf(why, sizeof why, "child exited with status %d", WEXITSTATUS(ws));
    }
    if (!w->opened) { /* opening the device does this: it will not get better */
        char text[224];
        snprintf(text, sizeof text, "opening the device: %s", why);
        w->finished = 1;
        w->refused(w, text);
        return;
    }
    if (w->next >= w->jobs) { /* after its last row: nothing is missing */
        w->finished = 1;
        return;
    }
    size_t at = w->next++;
    if (w->next >= w->jobs) w->finished = 1;
    w->lost(w, at, status, why);
}

/* One frame is waiting (or the end of the pipe). */
static void receive(bf_worker *w) {
    frame f;
    char body[16384];
    if (read_all(w->fd, &f, sizeof f) || f.bytes > sizeof body || (f.bytes && read_all(w->fd, body, f.bytes))) {
        lose(w, BF_CRASH);
        return;
    }
    w->since = bf_now();
    int ws;
    switch (f.kind) {
    case FRAME_OPEN:
        w->opened = 1;
        if (w->ready) w->ready(w);
        break;
    case FRAME_START: w->alive = 0; break;
    case FRAME_ALIVE: w->alive = 1; break;
    case FRAME_REFUSED:
        reap(w, &ws);
        w->finished = 1;
        body[sizeof body - 1] = 0;
        w->refused(w, body);
        break;
    case FRAME_ROW:
        w->next = (size_t)f.index + 1;
        w->done(w, (size_t)f.index, body);
        break;
    case FRAME_END:
        reap(w, &ws);
        w->finished = 1;
        break;
    case FRAME_FRESH: reap(w, &ws); break; /* not finished: the next slot starts it again at w->next */
    default: lose(w, BF_CRASH);
    }
}

/* Starts what may run now. Returns the number of running children. */
static int fill_slots(bf_worker *w, size_t count, int parallel, bf_error *err, int *failed) {
    int running = 0, exclusive = 0;
    for (size_t i = 0; i < count; i++) running += w[i].started, exclusive += w[i].started && w[i].exclusive;
    for (size_t i = 0; i < count; i++) {
        if (w[i].finished || w[i].started) continue;
        if (running >= parallel || exclusive || (w[i].exclusive && running)) break;
        if (start(&w[i], err)) {
            *failed = 1;
            break;
        }
        running++, exclusive += w[i].exclusive;
    }
    return running;
}

int bf_workers_run(bf_worker *w, size_t count, int parallel, const volatile int *stop, bf_error *err) {
    if (parallel < 1) parallel = 1;
    for (size_t i = 0; i < count; i++) {
        w[i].fd = -1, w[i].next = 0, w[i].started = w[i].finished = 0;
        if (w[i].row_bytes > 16384) return bf_fail(err, "row of %zu bytes is too long", w[i].row_bytes);
    }
    struct pollfd *p = calloc(count ? count : 1, sizeof *p);
    if (!p) return bf_fail(err, "out of memory");
    int failed = 0, rc = 0;
    for (;;) {
        int running = fill_slots(w, count, parallel, err, &failed);
        if (!running) {
            rc = failed ? -1 : 0;
            break;
        }
        for (size_t i = 0; i < count; i++) p[i] = (struct pollfd){.fd = w[i].started ? w[i].fd : -1, .events = POLLIN};
        int n = poll(p, count, 200);
        if (stop && *stop) break;
        if (n < 0 && errno != EINTR) {
            rc = bf_fail(err, "poll: %s", strerror(errno));
            break;
        }
        for (size_t i = 0; i < count; i++) {
            if (!w[i].started) continue;
            if (n > 0 && (p[i].revents & (POLLIN | POLLHUP | POLLERR)))
                receive(&w[i]);
            else if (bf_now() - w[i].since > w[i].timeout)
                lose(&w[i], BF_HANG);
        }
    }
    for (size_t i = 0; i < count; i++)
        if (w[i].started) {
            int ws;
            kill(w[i].pid, SIGKILL);
            reap(&w[i], &ws);
        }
    free(p);
    return rc;
}
