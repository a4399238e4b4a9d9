/* public_harness.c: B16 and B17: checks that cannot fail. */
#define _GNU_SOURCE
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../compare.h"
#include "failures.h"

enum { NAIVE = 1, SOUND = 0 };

/* ---- B16 ---- */

/* Mismatches of one value under either comparison: naive counts what exceeds the bound, and nothing exceeds with a
 * NaN in it. */
static int mismatch(int naive, float got, double want) {
    if (naive) return fabs((double)got - want) > 1e-3;
    bf_tensor t = {.name = "y", .role = BF_OUTPUT, .type = BF_F32, .rank = 1, .dim = {1}, .bytes = 4, .data = &got};
    bf_verdict v;
    bf_verdict_begin(&v);
    bf_verdict_bounded(&v, &t, 0, (bf_want){.value = want, .bound = 1e-3, .allow = BF_ALLOW_FINITE});
    return v.mismatched != 0;
}

static int b16(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    const struct {
        const char *name;
        float got;
        double want;
    } pair[] = {
        {"NaN for 1", NAN, 1}, {"1 for a NaN reference", 1, NAN}, {"inf for 1", INFINITY, 1}, {"1.5 for 1", 1.5f, 1}};
    int slipped = 0;
    (void)lab, (void)err;
    snprintf(r->input, sizeof r->input,
             "four wrong results, compared by `error > bound` and by class first, then `!(error <= bound)`");
    bf_fail_row(r, 3, "#result", "error > bound", "this harness");
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        int naive = mismatch(e->broken.number, pair[i].got, pair[i].want),
            own = mismatch(e->sound.number, pair[i].got, pair[i].want);
        slipped += !naive;
        bf_fail_row(r, 3, pair[i].name, naive ? "caught" : "accepted", own ? "caught" : "accepted");
        bf_fail_require(r, own, "this harness accepts %s", pair[i].name);
    }
    bf_fail_require(r, slipped == 2, "%d of 4 slip through the naive comparison", slipped);
    snprintf(r->seen, sizeof r->seen, "%d of 4 wrong results pass `error > bound`: both that hold a NaN", slipped);
    return 0;
}
const bf_fail_entry bf_fail_b16 = {
    "B16",
    "nan-accepted",
    BF_FAIL_FAULT,
    "Every comparison with NaN is false: a check that fails on `error > bound` accepts NaN, and a NaN reference "
    "accepts everything.",
    "cubecl#1070 and others",
    "class first, then !(error <= bound) (check)",
    {NULL, BF_NONE, NAIVE},
    {NULL, BF_NONE, SOUND},
    b16,
};

/* ---- B17 ---- */

/* Exit status of a run in which no case matches: naive says how many failed. */
static int empty_run(const bf_lab *lab, int naive) {
    int ws = 0, failed = 0;
    if (naive) return failed ? BF_EXIT_FAILED : BF_EXIT_OK;
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
        execlp(lab->program, lab->program, "check", "--backend", "cpu", "--kernel", "no_such_kernel", "convert",
               "n=4", "from=f32", "to=f16", (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &ws, 0) == pid && WIFEXITED(ws) ? WEXITSTATUS(ws) : -1;
}

static int b17(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)err;
    int broken = empty_run(lab, e->broken.number), sound = empty_run(lab, e->sound.number);
    snprintf(r->input, sizeof r->input, "a kernel filter that matches nothing");
    bf_fail_require(r, broken == BF_EXIT_OK, "the naive count ends with status %d", broken);
    bf_fail_require(r, sound == BF_EXIT_USAGE, "blackframe check ends with status %d", sound);
    snprintf(r->seen, sizeof r->seen,
             "zero failures of zero cases: status %d where failures are counted; blackframe check: status %d", broken,
             sound);
    return 0;
}
const bf_fail_entry bf_fail_b17 = {
    "B17",
    "zero-cases-ran",
    BF_FAIL_FAULT,
    "A filter that matches nothing leaves nothing to fail, and the run prints OK.",
    "several test harnesses",
    "exit status 2 where nothing was checked (check, bench, fail)",
    {NULL, BF_NONE, NAIVE},
    {NULL, BF_NONE, SOUND},
    b17,
};
