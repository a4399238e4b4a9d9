/* worker.h: each device's work in a child process with a watchdog.
 *
 * A child runs the jobs of one device in order and sends one row a job through a pipe. When it dies, the job it
 * was at becomes a CRASH; when a job outlasts the timeout, the child is killed and the job becomes a HANG. In both cases
 * a fresh child goes on with the next job, so one bad kernel costs one row. Children of several devices run side by side. */
#ifndef BF_WORKER_H
#define BF_WORKER_H

#include <stddef.h>
#include <sys/types.h>

#include "error.h"
#include "op.h"

typedef struct bf_worker bf_worker;
struct bf_worker {
    /* Given by the caller. Rows are plain memory; pointers in them may only lead to static text (the child is a fork). */
    void *user;
    size_t jobs, row_bytes;
    double timeout; /* seconds a job; the opening of the device counts as a job of its own */
    int prepares;   /* 1: jobs call bf_worker_alive when what they compare with is made */
    int exclusive;  /* 1: runs alone (timing) */
    /* In the child. open: 0 or -1 with err. job: fills the zeroed row. */
    int (*open)(bf_worker *, bf_error *err);
    /* 1: the row stands, but this process is spoilt (a sticky device error); a fresh child goes on with the next job. */
    int (*job)(bf_worker *, size_t index, void *row);
    /* In the parent: the device opened and proved itself (NULL: nobody wants to know; once for each child). */
    void (*ready)(bf_worker *);
    /* In the parent, in job order. */
    void (*done)(bf_worker *, size_t index, const void *row);
    /* status BF_CRASH or BF_HANG; why in words. */
    void (*lost)(bf_worker *, size_t index, bf_status status, const char *why);
    /* The device could not be opened (or died while opening); no job of it will run any more. */
    void (*refused)(bf_worker *, const char *why);

    /* Private. */
    pid_t pid;
    int fd;
    size_t next;
    int started, opened, finished, opening_deaths, alive;
    double since;
};

/* Runs all workers to the end, at most `parallel` side by side. *stop, set by a signal handler, ends it early (children are
 * killed). 0, or -1 when no child could be started at all. */
int bf_workers_run(bf_worker *worker, size_t count, int parallel, const volatile int *stop, bf_error *err);

/* In a child, from a job: its clock starts again, for the kernel's own time. */
void bf_worker_alive(void);

/* In a child: the job it is at. A driver's stand-in writes it into its record of injected faults. */
extern size_t bf_job_in_hand;

double bf_now(void); /* seconds, CLOCK_MONOTONIC */

#endif
