/* The watchdog: a crash costs one row, a hang costs one row, a device that dies while opening costs itself. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../worker.h"

typedef struct scene {
    int crash_at, hang_at, spoilt_at, slow_at, refuse, die_open; /* -1: never */
    int opened;
    int rows[16], lost[16];
    bf_status status[16];
    int refused;
    char why[256];
} scene;

static int open_device(bf_worker *w, bf_error *err) {
    scene *s = w->user;
    if (s->die_open) abort();
    return s->refuse ? bf_fail(err, "no such device") : 0;
}
static int job(bf_worker *w, size_t i, void *row) {
    scene *s = w->user;
    if ((int)i == s->crash_at) raise(SIGSEGV);
    if ((int)i == s->hang_at) pause();
    if ((int)i == s->slow_at) usleep(350000), bf_worker_alive(), usleep(350000); /* together more than the limit */
    *(int *)row = 100 + (int)i;
    return (int)i == s->spoilt_at;
}
static void ready(bf_worker *w) { ((scene *)w->user)->opened++; }
static void done(bf_worker *w, size_t i, const void *row) { ((scene *)w->user)->rows[i] = *(const int *)row; }
static void lost(bf_worker *w, size_t i, bf_status st, const char *why) {
    scene *s = w->user;
    s->lost[i]++, s->status[i] = st;
    snprintf(s->why, sizeof s->why, "%s", why);
}
static void refused(bf_worker *w, const char *why) {
    scene *s = w->user;
    s->refused++;
    snprintf(s->why, sizeof s->why, "%s", why);
}
static bf_worker worker_of(scene *s, size_t jobs) {
    return (bf_worker){.user = s, .jobs = jobs, .row_bytes = sizeof(int), .timeout = 0.5, .open = open_device,
                       .job = job, .ready = ready, .done = done, .lost = lost, .refused = refused};
}
static const scene calm = {.crash_at = -1, .hang_at = -1, .spoilt_at = -1, .slow_at = -1};

Test(worker, runs_every_job) {
    scene s = calm;
    bf_worker w = worker_of(&s, 8);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    for (int i = 0; i < 8; i++) cr_assert_eq(s.rows[i], 100 + i);
}

Test(worker, crash_costs_one_row) {
    scene s = calm;
    s.crash_at = 3;
    bf_worker w = worker_of(&s, 8);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    for (int i = 0; i < 8; i++)
        if (i == 3)
            cr_assert(s.lost[i] == 1 && s.status[i] == BF_CRASH && !s.rows[i] && strstr(s.why, "signal"));
        else
            cr_assert(s.rows[i] == 100 + i && !s.lost[i]);
}

Test(worker, a_spoilt_child_is_replaced_and_no_row_is_lost) {
    scene s = calm;
    s.spoilt_at = 3;
    bf_worker w = worker_of(&s, 8);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    for (int i = 0; i < 8; i++) cr_assert(s.rows[i] == 100 + i && !s.lost[i]);
    cr_assert_eq(s.opened, 2);
}

Test(worker, crash_in_the_last_job_ends) {
    scene s = calm;
    s.crash_at = 7;
    bf_worker w = worker_of(&s, 8);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    cr_assert(s.lost[7] == 1 && s.rows[6] == 106);
}

Test(worker, hang_is_killed_and_the_rest_goes_on, .timeout = 20) {
    scene s = calm;
    s.hang_at = 0;
    bf_worker w = worker_of(&s, 4);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    cr_assert(s.lost[0] == 1 && s.status[0] == BF_HANG && s.rows[3] == 103);
}

/* What is compared with takes time too; the kernel's own begins when that is made. */
Test(worker, the_clock_starts_again_when_a_job_says_so, .timeout = 20) {
    scene s = calm;
    s.slow_at = 1;
    bf_worker w = worker_of(&s, 3);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    for (int i = 0; i < 3; i++) cr_assert(s.rows[i] == 100 + i && !s.lost[i]);
    s = calm, s.hang_at = 0;
    w = worker_of(&s, 2), w.prepares = 1;
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    cr_assert(s.status[0] == BF_HANG && strstr(s.why, "while inputs and reference were made"), "%s", s.why);
    bf_worker_alive(); /* outside a child: nothing */
}

Test(worker, refused_device_runs_nothing) {
    scene s = calm;
    s.refuse = 1;
    bf_worker w = worker_of(&s, 4);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    cr_assert(s.refused == 1 && !s.rows[0] && !strcmp(s.why, "no such device"));
}

Test(worker, death_while_opening_is_not_tried_for_ever) {
    scene s = calm;
    s.die_open = 1;
    bf_worker w = worker_of(&s, 4);
    cr_assert_eq(bf_workers_run(&w, 1, 1, NULL, NULL), 0);
    cr_assert(s.refused == 1 && !s.rows[0]);
}

Test(worker, devices_side_by_side_keep_their_rows) {
    scene s[3] = {calm, calm, calm};
    s[1].crash_at = 0;
    bf_worker w[3] = {worker_of(&s[0], 5), worker_of(&s[1], 5), worker_of(&s[2], 5)};
    cr_assert_eq(bf_workers_run(w, 3, 2, NULL, NULL), 0);
    cr_assert(s[0].rows[4] == 104 && s[1].rows[4] == 104 && s[1].lost[0] == 1 && s[2].rows[0] == 100);
}

Test(worker, stop_kills_the_children, .timeout = 10) {
    scene s = calm;
    s.hang_at = 0;
    volatile int stop = 1;
    bf_worker w = worker_of(&s, 4);
    w.timeout = 1000;
    cr_assert_eq(bf_workers_run(&w, 1, 1, &stop, NULL), 0);
    cr_assert(!s.rows[0] && w.pid == 0);
}
