/* `blackframe compare`: verdicts from intervals, several runs of a side, and records that nobody should believe. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../compare_runs.h"

static bf_error err;

static bf_interval around(double median, double half) { return (bf_interval){median, median * (1 - half), median * (1 + half)}; }

/* A kernel at 90 % of its ceiling, 1 ms; both changed by `speed`, with intervals of +- half. */
static bf_bench_line timing(double speed, double half) {
    return (bf_bench_line){.op = "q4k_matvec", .ceiling = "stream_vec read", .status = BF_VALID,
                           .seconds = around(1e-3 / speed, half), .ratio = around(0.9 * speed, half)};
}

static bf_change change(double speed, double half) {
    bf_bench_line was = timing(1, half), is = timing(speed, half);
    return bf_change_of(&was, &is, 0.02);
}

Test(compare_runs, verdicts) {
    static const struct {
        double speed, half;
        bf_change_verdict want;
    } rows[] = {{1 / 1.05, 0.005, BF_SLOWER}, {1 / 1.002, 0.005, BF_SAME}, {1.05, 0.005, BF_FASTER}, {1, 0.01, BF_SAME},
                {1 / 1.05, 0.08, BF_AMBIGUOUS}, {1.015, 0.003, BF_SAME}, {1.015, 0.01, BF_AMBIGUOUS}, {1.03, 0.01, BF_FASTER},
                {1, 0.1, BF_AMBIGUOUS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bf_change c = change(rows[i].speed, rows[i].half);
        cr_expect_eq(c.verdict, rows[i].want, "speed %g +- %g: %s [%g, %g]", rows[i].speed, rows[i].half,
                     bf_change_verdict_name(c.verdict), c.speed.low, c.speed.high);
        cr_expect(fabs(c.speed.median - rows[i].speed) < 1e-12 && !strcmp(c.by, "ratio"));
    }
}

/* Two independent errors of 3 and 4 in a thousand come to 5; reversing the quotient reverses the interval. */
Test(compare_runs, the_interval_of_a_quotient) {
    bf_interval a = {10, 10 * exp(-0.003), 10 * exp(0.003)}, b = {5, 5 * exp(-0.004), 5 * exp(0.004)};
    bf_interval q = bf_quotient(a, b), r = bf_quotient(b, a);
    cr_expect(fabs(log(q.high / 2) - 0.005) < 1e-12 && fabs(log(q.low / 2) + 0.005) < 1e-12 && q.median == 2);
    cr_expect(fabs(q.low * r.high - 1) < 1e-12 && fabs(q.high * r.low - 1) < 1e-12);
}

/* The machine became half as fast, the kernel did not: the ratio knows. Of what is its own ceiling, times must decide. */
Test(compare_runs, what_the_speed_is_formed_from) {
    bf_bench_line was = timing(1, 0.005), is = timing(1, 0.005);
    is.seconds = around(2e-3, 0.005);
    cr_expect_eq(bf_change_of(&was, &is, 0.02).verdict, BF_SAME);
    is.ceiling = "stream_vec mix nt";
    bf_change c = bf_change_of(&was, &is, 0.02);
    cr_expect(c.verdict == BF_AMBIGUOUS && !strcmp(c.by, "both") && *c.note);
    is.ceiling = was.ceiling;
    was.op = is.op = "stream";
    cr_expect_eq(bf_change_of(&was, &is, 0.02).verdict, BF_SLOWER);
    was.op = is.op = "linear", was.intensity = is.intensity = 100;
    cr_expect_eq(bf_change_of(&was, &is, 0.02).verdict, BF_SLOWER);
    was.intensity = is.intensity = 1, is.status = BF_SHORT;
    cr_expect_eq(bf_change_of(&was, &is, 0.02).verdict, BF_SLOWER);
    is.status = BF_INVALID;
    cr_expect_eq(bf_change_of(&was, &is, 0.02).verdict, BF_AMBIGUOUS);
}

/* ---- files ---- */

static char folder[] = "/tmp/blackframe-compare-XXXXXX";
static const char *file(const char *name, const char *text) {
    static char path[4][300];
    static int at;
    cr_assert(!strstr(folder, "XXXXXX") || mkdtemp(folder));
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    FILE *f = fopen(path[at], "w");
    cr_assert(f && fputs(text, f) >= 0 && !fclose(f));
    return path[at];
}

static void clean(void) {
    static const char *const names[] = {"was", "is", "slow", "good", "bad", "one", "long"};
    char path[300];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) snprintf(path, sizeof path, "%s/%s", folder, names[i]), unlink(path);
    rmdir(folder);
}
TestSuite(compare_runs, .fini = clean);

static char *row(const char *kernel, double seconds, const char *status) {
    static char text[4][1500];
    static int at;
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at],
             "{\"type\":\"bench\",\"backend\":\"cpu\",\"name\":\"machine\",\"op\":\"q4k_matvec\",\"kernel\":\"%s\",\"case\":\"q4k_matvec m=1\","
             "\"source\":\"cases/bench.case\",\"status\":\"%s\",\"ceiling\":\"stream\",\"bandwidth\":1e9,\"flops\":1e9,"
             "\"steady_s\":{\"median\":%g,\"low\":%g,\"high\":%g},\"ratio\":{\"median\":%g,\"low\":%g,\"high\":%g}}\n",
             kernel, status, seconds, seconds * 0.999, seconds * 1.001, 1e-3 / seconds, 0.999e-3 / seconds, 1.001e-3 / seconds);
    return text[at];
}

static char output[1 << 14];
static int compare(const char *was, const char *is, const char *option) {
    int p[2], ws = 0;
    size_t n = 0;
    cr_assert_eq(pipe(p), 0);
    pid_t pid = fork();
    if (!pid) {
        dup2(p[1], 1), dup2(p[1], 2), close(p[0]), close(p[1]);
        execl(BF_BUILD "/blackframe", "blackframe", "compare", was, is, option, (char *)NULL);
        _exit(127);
    }
    close(p[1]);
    for (ssize_t r; n < sizeof output - 1 && (r = read(p[0], output + n, sizeof output - 1 - n)) > 0;) n += (size_t)r;
    output[n] = 0;
    close(p[0]);
    waitpid(pid, &ws, 0);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
}

Test(compare_runs, a_regression_is_status_1) {
    char both[700];
    const char *was = file("was", row("k", 1.2e-3, "VALID"));
    cr_expect_eq(compare(was, was, NULL), BF_EXIT_OK, "%s", output);
    cr_expect(strstr(output, "1 same, 0 faster, 0 slower"), "%s", output);
    const char *slow = file("slow", row("k", 1.26e-3, "VALID"));
    cr_expect_eq(compare(was, slow, NULL), BF_EXIT_FAILED, "%s", output);
    cr_expect(strstr(output, "SLOWER    cpu       k ") && strstr(output, "1 slower"), "%s", output);
    cr_expect_eq(compare(slow, was, NULL), BF_EXIT_OK);
    cr_expect_eq(compare(was, slow, "--threshold=10"), BF_EXIT_OK, "%s", output);
    snprintf(both, sizeof both, "%s,%s", was, slow);
    cr_expect_eq(compare(both, both, "-v"), BF_EXIT_OK, "%s", output);
    cr_expect(strstr(output, "AMBIGUOUS"), "runs that differ by 5 %% say nothing of 2 %%: %s", output);
}

Test(compare_runs, what_was_timed_and_no_longer_is_counts) {
    const char *was = file("was", row("k", 1.2e-3, "VALID")), *is = file("is", row("k", 1.2e-3, "NOT TIMED"));
    cr_expect_eq(compare(was, is, NULL), BF_EXIT_FAILED, "%s", output);
    cr_expect(strstr(output, "BROKEN"), "%s", output);
    cr_expect_eq(compare(was, file("is", row("other", 1e-3, "VALID")), NULL), BF_EXIT_USAGE, "%s", output);
    cr_expect(strstr(output, "only NEW") && strstr(output, "no kernel, case and device"), "%s", output);
}

Test(compare_runs, hostile_records_are_one_line_and_status_2) {
    const char *good = file("good", row("k", 1e-3, "VALID"));
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "no timing"}, {"{}\n", "'type'"}, {"[1]\n", "'type'"}, {"{\"type\":\"run\"}\n", "no timing"}, {"{\"type\":\"bench\"", "not JSON"},
        {"{\"type\":\"bench\"}\n", "'status'"}, {"{\"type\":\"bench\",\"status\":\"VALID\"}\n", "'backend'"},
        {"{\"type\":\"bench\",\"status\":\"VALID\",\"backend\":7}\n", "'backend'"}, {"{\"type\":\"run\"}\n\xff\n", "line 2"},
        {"{\"type\":\"a\",\"type\":\"bench\"}\n", "duplicate"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(compare(good, file("bad", rows[i].text), NULL), BF_EXIT_USAGE, "%s: %s", rows[i].text, output);
        cr_expect(strstr(output, rows[i].says) && strchr(output, '\n') == strrchr(output, '\n'), "%s: %s", rows[i].text, output);
    }
    static const struct {
        const char *from, *to, *says;
    } edits[] = {{"\"median\":0.001", "\"median\":-1e-3", "'steady_s'"}, {"\"low\":0.000999", "\"low\":1", "outside"},
                 {"\"high\":1.001", "\"high\":1e999", "not JSON"}, {"\"ratio\":{", "\"ratio\":0,\"x\":{", "'ratio'"},
                 {"\"bandwidth\":1e9", "\"bandwidth\":0", "'bandwidth'"}, {"\"case\":", "\"chase\":", "'case'"}};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char text[2000], *line = row("k", 1e-3, "VALID"), *at = strstr(line, edits[i].from);
        cr_assert(at, "%s", edits[i].from);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - line), line, edits[i].to, at + strlen(edits[i].from));
        cr_expect_eq(compare(good, file("bad", text), NULL), BF_EXIT_USAGE, "%s: %s", edits[i].to, output);
        cr_expect(strstr(output, edits[i].says) && strstr(output, "line 1"), "%s: %s", edits[i].to, output);
    }
    cr_expect_eq(compare(good, "/nonexistent", NULL), BF_EXIT_USAGE);
    cr_expect_eq(compare(good, "/dev/zero", NULL), BF_EXIT_USAGE);
    cr_expect_eq(compare(good, folder, NULL), BF_EXIT_USAGE);
    cr_expect_eq(compare(good, NULL, NULL), BF_EXIT_USAGE);
    cr_expect_eq(compare(good, good, "--threshold=-1"), BF_EXIT_USAGE);
}

/* Names are shown on a terminal. */
Test(compare_runs, control_characters_do_not_reach_the_terminal) {
    const char *one = file("one", row("k\\u001b[2J", 1e-3, "VALID"));
    cr_expect_eq(compare(one, one, "-v"), BF_EXIT_OK, "%s", output);
    cr_expect(!strchr(output, 27) && strstr(output, "k?[2J"), "%s", output);
}

/* A single line of many megabytes, without an end. */
Test(compare_runs, a_line_without_an_end_is_refused) {
    char *text = malloc((3u << 20) + 1);
    cr_assert(text);
    memset(text, ' ', 3u << 20);
    text[3u << 20] = 0;
    bf_bench_list list = {0};
    cr_expect_eq(bf_bench_list_read(file("long", text), &list, &err), -1);
    cr_expect(strstr(err.text, "line 1: longer than 1048576"), "%s", err.text);
    free(text);
    bf_bench_list_free(&list);
}
