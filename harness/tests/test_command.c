/* The command from outside: exit statuses, filters that match nothing, shards, records that survive an interruption. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../error.h"

static const char *const program = BF_BUILD "/blackframe";
static char output[1 << 16];

/* Starts the command with these words (NULL ends them); *fd is its stdout and stderr. */
static pid_t start(int *fd, const char *const *words) {
    const char *argv[32] = {program};
    int p[2], n = 1;
    while (*words && n < 31) argv[n++] = *words++;
    cr_assert_eq(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(p[1], 1), dup2(p[1], 2);
        close(p[0]), close(p[1]);
        execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(p[1]);
    *fd = p[0];
    return pid;
}

static int finish(pid_t pid, int fd) {
    size_t n = 0;
    int ws = 0;
    for (ssize_t r; n < sizeof output - 1 && (r = read(fd, output + n, sizeof output - 1 - n)) > 0;) n += (size_t)r;
    output[n] = 0;
    close(fd);
    waitpid(pid, &ws, 0);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})
static int run(const char *const *words) {
    int fd;
    pid_t pid = start(&fd, words);
    return finish(pid, fd);
}

static int lines_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

/* ---- exit statuses ---- */

static void is_usage_error(int status, const char *says) {
    cr_expect_eq(status, BF_EXIT_USAGE, "status %d, output: %s", status, output);
    cr_expect(strstr(output, says), "'%s' is not in: %s", says, output);
    cr_expect_eq(lines_of(output), 1, "more than one line: %s", output);
}

Test(command, what_nobody_can_run_is_status_2_and_one_line) {
    is_usage_error(RUN("frobnicate"), "unknown command 'frobnicate'");
    is_usage_error(RUN("check", "--backend", "gpu"), "unknown backend 'gpu'");
    is_usage_error(RUN("check", "--backend", ""), "empty");
    is_usage_error(RUN("check", "matvec"), "unknown op 'matvec'");
    is_usage_error(RUN("check", "--shard", "3/2"), "'3/2' is not I/N");
    is_usage_error(RUN("check", "--seed", "-1"), "--seed");
    is_usage_error(RUN("check", "--tier", "slow"), "'slow' is none of");
    is_usage_error(RUN("check", "--timeout", "nan"), "--timeout");
    is_usage_error(RUN("check", "--suite", "no-such-suite"), "no-such-suite");
    is_usage_error(RUN("check", "convert", "n=0", "from=f32", "to=f16"), "n=0");
    is_usage_error(RUN("check", "--weights", "/nonexistent.gguf"), "/nonexistent.gguf");
    is_usage_error(RUN("check", "--weights", "README.md"), "README.md");
    is_usage_error(RUN("bench", "--backend", "cpu", "--suite", "no-such-suite"), "no-such-suite");
}

Test(command, a_filter_that_matches_nothing_is_no_success) {
    cr_expect_eq(RUN("check", "--backend", "cpu", "--kernel", "no_such_kernel"), BF_EXIT_USAGE);
    cr_expect(strstr(output, "nothing was checked"), "%s", output);
    cr_expect_eq(RUN("check", "--backend", "cpu", "--weights", "cases/golden/q4k_golden.gguf", "--tensor", "none*"), BF_EXIT_USAGE);
    cr_expect(strstr(output, "none of its"), "%s", output);
    cr_expect_eq(RUN("check", "--backend", "cpu", "--suite", "smoke", "--shard", "9999/9999"), BF_EXIT_USAGE);
}

Test(command, an_unwritable_record_is_said_before_the_run) {
    cr_expect_eq(RUN("check", "--backend", "cpu", "--json", "/nonexistent/r.jsonl", "convert", "n=4", "from=f32", "to=f16"), BF_EXIT_USAGE);
    cr_expect(strstr(output, "/nonexistent/r.jsonl") && !strstr(output, "passed"), "%s", output);
}

Test(command, one_case_line_passes) {
    cr_expect_eq(RUN("check", "--backend", "cpu", "--kernel", "convert_naive", "convert", "n=33", "from=f32", "to=bf16"), BF_EXIT_OK, "%s", output);
    cr_expect(strstr(output, "\n1 passed, 0 failed, 0 skipped\n"), "%s", output);
}

/* Blocks and their values as the formats' public Python package gives them: all kernels of all three backends, bit for bit. */
Test(command, golden_blocks_match_on_every_backend) {
    cr_expect_eq(RUN("check", "--backend", "cpu,simt-cuda,simt-hip", "--weights", "cases/golden/blocks_golden.gguf",
                     "qblock_dequant", "to=f32"), BF_EXIT_OK, "%s", output);
    cr_expect(strstr(output, " 0 failed, 0 skipped"), "%s", output);
    cr_expect(strstr(output, "not run: 6 F32, 1 Q4_0, 1 Q4_K and 1 Q5_K"), "%s", output);
}

/* ---- devices --numerics ---- */

Test(command, a_numerics_card_is_printed_and_recorded) {
    char file[] = "/tmp/bf-test-numerics-XXXXXX";
    json_t *line;
    int fd = mkstemp(file), seen = 0;
    cr_assert(fd >= 0);
    close(fd);
    cr_expect_eq(RUN("devices", "--numerics", "--backend", "cpu", "--kernel", "linear_naive", "--json", file), BF_EXIT_OK, "%s", output);
    cr_expect(strstr(output, "linear_naive      24 (fp32)  24  rounded"), "%s", output);
    cr_expect(strstr(output, "mode: exact"), "%s", output);
    FILE *f = fopen(file, "r");
    cr_assert(f);
    while ((line = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL))) {
        if (!strcmp(json_string_value(json_object_get(line, "type")), "numerics"))
            seen += json_number_value(json_object_get(line, "accumulator_bits")) == 24;
        json_decref(line);
    }
    cr_expect_eq(seen, 1);
    fclose(f);
    unlink(file);
    cr_expect_eq(RUN("devices", "--numerics", "--backend", "cpu", "--kernel", "none*"), BF_EXIT_USAGE);
    cr_expect(strstr(output, "nothing was probed"), "%s", output);
    is_usage_error(RUN("devices", "--backend", "cpu", "--twins"), "--numerics");
    is_usage_error(RUN("devices", "--numerics", "--backend", "cpu", "--json", "/nonexistent/r.jsonl"), "/nonexistent/r.jsonl");
}

/* ---- bench ---- */

/* What the launch costs is no fraction of a ceiling, however it comes out. */
Test(command, a_launch_too_short_to_time_is_called_short) {
    cr_expect_eq(RUN("bench", "--backend", "cpu", "--threads", "1", "--seconds", "0.01", "--kernel", "stream_naive", "stream", "n=64", "mode=copy"),
                 BF_EXIT_OK, "%s", output);
    cr_expect(strstr(output, "SHORT") && strstr(output, "1 timed (0 INVALID"), "%s", output);
}

static void write_suite(const char *folder, const char *name, const char *lines) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(lines, f) >= 0 && !fclose(f), "%s", path);
}

/* On suites of its own: those of the repository take many seconds. */
Test(command, bench_of_an_op_times_its_timing_cases_only) {
    char folder[] = "/tmp/blackframe-cases-XXXXXX";
    cr_assert(mkdtemp(folder));
    write_suite(folder, "bench.case", "convert n=4096 from=bf16 to=f32,f16 tier=bench\n");
    write_suite(folder, "other.case", "convert n=64 from=bf16 to=f32\n");
    cr_expect_eq(RUN("bench", "--backend", "cpu", "--cases", folder, "--best", "--seconds", "0.01", "convert"), BF_EXIT_OK, "%s", output);
    int rows = 0, timing = 0;
    for (const char *p = output; (p = strstr(p, " convert n=")); p++, rows++) {
        const char *end = strchr(p, '\n'), *tier = strstr(p, "tier=bench");
        timing += tier && end && tier < end;
    }
    cr_expect(rows == 2 && rows == timing, "%d rows, %d of tier=bench: %s", rows, timing, output);
    for (const char *const *name = (const char *const[]){"bench.case", "other.case", NULL}; *name; name++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", folder, *name);
        unlink(path);
    }
    rmdir(folder);
}

/* ---- a driver that misbehaves (fake_gpu.h) ---- */

static void with_fake(const char *mode, const char *faults) {
    setenv("BF_CUDA_LIBRARY", BF_BUILD "/fake_cuda.so", 1);
    setenv("BF_FAKE", mode, 1);
    if (faults) setenv("BF_FAKE_FAULTS", faults, 1);
}

Test(command, a_clock_that_runs_backwards_times_nothing) {
    with_fake("simt", NULL);
    setenv("BF_FAKE_CACHE", "4096", 1); /* fewer buffers to rotate through */
    if (RUN("bench", "--backend", "cuda", "--best", "--size", "1", "--seconds", "0.02", "convert n=512 from=bf16 to=f32") == BF_EXIT_NO_DEVICE)
        cr_skip_test("no code objects in this build");
    cr_expect(strstr(output, "1 timed"), "%s", output);
    with_fake("backwards", NULL);
    cr_expect_eq(RUN("bench", "--backend", "cuda", "--best", "--size", "1", "--seconds", "0.02", "convert n=512 from=bf16 to=f32"), BF_EXIT_FAILED, "%s", output);
    cr_expect(strstr(output, "clock ran backwards") && strstr(output, "0 timed"), "%s", output);
}

Test(command, every_launch_faulty_and_no_row_is_lost) {
    with_fake("simt", "1:3");
    int status = RUN("check", "--backend", "cuda", "--timeout", "1", "norm", "m=2,3,4,5", "k=64", "kind=rms");
    if (status == BF_EXIT_NO_DEVICE) cr_skip_test("no code objects in this build");
    cr_expect_eq(status, BF_EXIT_FAILED, "%s", output);
    cr_expect(strstr(output, "0 passed, 8 failed"), "%s", output);
}

Test(command, fail_fast_stops_at_the_first_failing_row) {
    with_fake("simt", "1:3");
    int status = RUN("check", "--fail-fast", "--backend", "cuda", "--timeout", "1", "norm", "m=2,3,4,5", "k=64", "kind=rms");
    if (status == BF_EXIT_NO_DEVICE) cr_skip_test("no code objects in this build");
    cr_expect_eq(status, BF_EXIT_FAILED, "%s", output);
    cr_expect(strstr(output, "stopped at the first failure, after 1 of 8") && strstr(output, "0 passed, 1 failed"), "%s", output);
    /* Nothing fails: nothing is left out. */
    cr_expect_eq(RUN("check", "--fail-fast", "--backend", "cpu", "norm", "m=2,3,4,5", "k=64", "kind=rms", "--kernel", "norm_naive"), 0, "%s", output);
    cr_expect(strstr(output, "4 passed, 0 failed") && !strstr(output, "stopped"), "%s", output);
}

/* ---- records ---- */

static long rows_of(const char *path, const char *type, int *bad) {
    char *line = NULL;
    size_t room = 0;
    long n = 0;
    FILE *f = fopen(path, "r");
    cr_assert(f, "%s", path);
    while (getline(&line, &room, f) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        if (!o) ++*bad;
        const char *t = json_string_value(json_object_get(o, "type"));
        n += t && !strcmp(t, type);
        json_decref(o);
    }
    free(line);
    fclose(f);
    return n;
}

static void path_of(char *path, size_t room, const char *name) { snprintf(path, room, "%s/command-%d-%s", BF_BUILD, (int)getpid(), name); }

Test(command, shards_add_up_to_the_whole) {
    char path[4][256];
    const char *shard[] = {"1/1", "1/3", "2/3", "3/3"};
    long rows[4];
    int bad = 0;
    for (int i = 0; i < 4; i++) {
        path_of(path[i], sizeof path[i], i ? "shard.jsonl" : "whole.jsonl");
        cr_assert_eq(RUN("check", "--backend", "cpu", "--suite", "smoke", "--shard", shard[i], "--json", path[i]), 0, "%s", output);
        rows[i] = rows_of(path[i], "check", &bad);
        unlink(path[i]);
    }
    cr_expect(rows[1] && rows[2] && rows[3], "%ld %ld %ld", rows[1], rows[2], rows[3]);
    cr_expect_eq(rows[0], rows[1] + rows[2] + rows[3]);
    cr_expect_eq(bad, 0);
}

Test(command, junit_counts_its_cases) {
    char path[256], text[1024];
    path_of(path, sizeof path, "junit.xml");
    cr_assert_eq(RUN("check", "--backend", "cpu", "--kernel", "stream_naive", "--junit", path, "stream", "n=64", "mode=copy,read"), 0, "%s", output);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    cr_assert(n > 0);
    text[n] = 0;
    close(fd);
    cr_expect(strstr(text, "tests=\"2\" failures=\"0\" skipped=\"0\""), "%s", text);
    unlink(path);
}

Test(command, an_interrupted_run_keeps_whole_lines_and_says_so, .timeout = 60) {
    char path[256];
    path_of(path, sizeof path, "interrupted.jsonl");
    int fd, bad = 0;
    pid_t pid = start(&fd, (const char *const[]){"check", "--backend", "simt-cuda", "--suite", "random", "--tier", "full", "--json", path, NULL});
    struct pollfd said = {.fd = fd, .events = POLLIN}; /* the devices: signals have their handlers by then, on a busy machine late */
    cr_assert_eq(poll(&said, 1, 40000), 1);
    usleep(200000);
    kill(pid, SIGINT);
    int status = finish(pid, fd);
    cr_expect_eq(status, BF_EXIT_FAILED, "status %d: %s", status, output);
    cr_expect(strstr(output, "interrupted after"), "%s", output);
    rows_of(path, "check", &bad);
    cr_expect(bad == 0 && rows_of(path, "summary", &bad) == 1);
    unlink(path);
}

/* ---- dumps ---- */

Test(command, a_dump_holds_inputs_outputs_and_reference) {
    char path[256], file[512];
    struct stat st;
    path_of(path, sizeof path, "dump");
    cr_assert_eq(RUN("check", "--backend", "cpu", "--kernel", "q4k_matvec_fp32_naive", "--dump", path, "q4k_matvec", "m=2", "k=256"), 0, "%s", output);
    static const char *const want[] = {"w.npy", "x.npy", "y.npy", "ref-y.npy", "bound-y.npy", "case.json"};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        snprintf(file, sizeof file, "%s/00000-cpu-0-q4k_matvec_fp32_naive/%s", path, want[i]);
        cr_expect(!stat(file, &st) && st.st_size > 0, "%s", file);
        unlink(file);
    }
    snprintf(file, sizeof file, "%s/00000-cpu-0-q4k_matvec_fp32_naive", path);
    rmdir(file), rmdir(path);
}
