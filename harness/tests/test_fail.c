/* The failure catalogue: every entry reproduces on every backend of this machine, none does when its broken way is
 * swapped for the sound one; verdicts, the command's exit statuses and its records. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fail_show.h"

static const char *const program = BF_BUILD "/blackframe";
static bf_discovery found;
static bf_fail_result result;

static bf_lab lab_of(const char *backend) {
    bf_error err = {{0}};
    const bf_backend *b = bf_backend_find(backend);
    memset(&found, 0, sizeof found);
    b->discover(&found);
    cr_assert(found.devices, "%s: no device", backend);
    bf_lab lab = {b, b->open(&found.device[0], &err), &found.device[0], program};
    cr_assert(lab.context, "%s: %s", backend, err.text);
    return lab;
}

/* swapped: only with the sound kernel in the broken one's place; that the entries reproduce there is what `ci/check fail` runs. */
static void every_entry(const char *backend, int swapped) {
    bf_lab lab = lab_of(backend);
    for (int i = 0; bf_failures[i]; i++) {
        bf_fail_entry e = *bf_failures[i];
        if (e.kind == BF_FAIL_MEASUREMENT) continue;
        if (swapped) e.broken = e.sound;
        bf_failure_run(&lab, &e, &result);
        if (result.verdict == BF_SKIPPED) {
            cr_expect(result.why[0], "%s: skipped without a reason", e.id);
            continue;
        }
        if (swapped) {
            cr_expect_eq(result.verdict, BF_NOT_REPRODUCED, "%s on %s: reproduced by the sound way", e.id, backend);
            continue;
        }
        cr_expect_eq(result.verdict, BF_REPRODUCED, "%s on %s: %s", e.id, backend, result.why);
        cr_expect(result.input[0] && result.seen[0], "%s: says neither its input nor what was seen", e.id);
        if (result.sides)
            cr_expect(result.broken.values > 0 && result.sound.values > 0 && result.broken.what[0] &&
                          result.sound.what[0],
                      "%s: counts nothing", e.id);
        e.broken = e.sound;
        bf_failure_run(&lab, &e, &result);
        cr_expect_eq(result.verdict, BF_NOT_REPRODUCED, "%s on %s: reproduced by the sound way", e.id, backend);
        cr_expect(result.why[0], "%s: not reproduced without a reason", e.id);
    }
    lab.backend->close(lab.context);
}
Test(fail, every_entry_on_cpu) { every_entry("cpu", 0); }
Test(fail, every_entry_on_simt_cuda) { every_entry("simt-cuda", 1); }
Test(fail, every_entry_on_simt_hip) { every_entry("simt-hip", 1); }

/* ---- verdicts ---- */

static int device_fails(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)lab, (void)e, (void)r;
    return bf_fail(err, "the device is on fire");
}
static int two_reasons(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)lab, (void)e, (void)err;
    bf_fail_require(r, 1, "holds");
    bf_fail_require(r, 0, "first %d", 1);
    bf_fail_require(r, 0, "second");
    return 0;
}
static int skips(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)lab, (void)e, (void)err;
    bf_fail_skip(r, "two GPUs");
    return 0;
}
static int nothing(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)lab, (void)e, (void)r, (void)err;
    return 0;
}
static bf_fail_verdict verdict_of(int (*run)(const bf_lab *, const bf_fail_entry *, bf_fail_result *, bf_error *),
                                  bf_fail_kind kind) {
    bf_fail_entry e = {
        .id = "T", .name = "test", .kind = kind, .mechanism = "m", .thread = "t", .fix = "f", .run = run};
    bf_failure_run(NULL, &e, &result);
    return result.verdict;
}

Test(fail, verdicts) {
    cr_expect_eq(verdict_of(nothing, BF_FAIL_NUMERIC), BF_REPRODUCED);
    cr_expect_eq(verdict_of(nothing, BF_FAIL_FAULT), BF_REPRODUCED);
    cr_expect_eq(verdict_of(nothing, BF_FAIL_MEASUREMENT), BF_MEASURED);
    cr_expect_eq(verdict_of(device_fails, BF_FAIL_NUMERIC), BF_NOT_REPRODUCED);
    cr_expect_str_eq(result.why, "the device is on fire");
    cr_expect_eq(verdict_of(device_fails, BF_FAIL_MEASUREMENT), BF_NOT_REPRODUCED);
    cr_expect_eq(verdict_of(two_reasons, BF_FAIL_NUMERIC), BF_NOT_REPRODUCED);
    cr_expect_str_eq(result.why, "first 1");
    cr_expect_eq(verdict_of(skips, BF_FAIL_MEASUREMENT), BF_SKIPPED);
    cr_expect_str_eq(result.why, "two GPUs");
}

Test(fail, a_kernel_that_does_not_exist_is_an_error_and_no_reproduction) {
    bf_lab lab = lab_of("cpu");
    bf_fail_entry e = *bf_failure_find("A4");
    e.broken.kernel = "no_such_kernel";
    bf_failure_run(&lab, &e, &result);
    cr_expect_eq(result.verdict, BF_NOT_REPRODUCED);
    cr_expect(strstr(result.why, "no_such_kernel"), "%s", result.why);
}

Test(fail, entries_are_named_once_and_say_everything) {
    for (int i = 0; bf_failures[i]; i++) {
        const bf_fail_entry *e = bf_failures[i];
        cr_expect(e->id && e->name && e->mechanism && e->thread && e->fix && e->run, "entry %d is incomplete", i);
        cr_expect_eq(bf_failure_find(e->id), e, "%s is there twice", e->id);
        cr_expect_eq(bf_failure_find(e->name), e, "%s is there twice", e->name);
    }
    cr_expect_eq(bf_failure_find("a1B"), bf_failure_find("A1b"));
    cr_expect_null(bf_failure_find("A"));
    cr_expect_null(bf_failure_find(""));
}

Test(fail, counts_and_first_offender) {
    float y[6] = {1, 0, -0.0f, 2, 0, 5};
    double source[6] = {1, 0, 3, 2, 4, 5};
    bf_tensor t = {
        .name = "y", .role = BF_OUTPUT, .type = BF_F32, .rank = 1, .dim = {6}, .bytes = sizeof y, .data = y};
    bf_fail_side s = {.values = 0};
    bf_lab_census(&s, &t, 0, 6, source); /* no NaN: the first zero that should be none */
    cr_expect(s.values == 6 && s.zero == 3 && !s.nan && !s.inf && s.has_first && s.index == 2 && s.source == 3 &&
              s.bits == 0x80000000u);
    y[3] = -1.0f / 0.0f, y[4] = 0.0f / 0.0f;
    s = (bf_fail_side){.values = 0};
    bf_lab_census(&s, &t, 1, 6, source);
    cr_expect(s.values == 5 && s.inf == 1 && s.nan == 1 && s.index == 3 && s.bits == 0xff800000u && s.source == 2);
}

Test(fail, text_fits_80_columns_and_json_has_everything) {
    char *text = NULL;
    size_t bytes = 0;
    bf_lab lab = lab_of("cpu");
    for (int i = 0; bf_failures[i]; i++) {
        if (bf_failures[i]->kind != BF_FAIL_NUMERIC) continue;
        bf_failure_run(&lab, bf_failures[i], &result);
        FILE *f = open_memstream(&text, &bytes);
        bf_fail_show(f, 80, bf_failures[i], &(bf_fail_shown){"cpu", &result}, 1, 1, "build/blackframe");
        fclose(f);
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            cr_expect(strlen(line) <= 80, "%s: %zu columns: %s", bf_failures[i]->id, strlen(line), line);
        free(text);
        json_t *o = bf_fail_json(bf_failures[i], &result, "cpu", lab.device, program);
        cr_assert(o);
        char *dumped = json_dumps(o, 0);
        json_t *back = json_loads(dumped, 0, NULL);
        cr_expect(back && json_equal(o, back), "%s: %s", bf_failures[i]->id, dumped);
        if (result.sides) cr_expect(json_object_get(json_object_get(o, "broken"), "nan"));
        free(dumped), json_decref(o), json_decref(back);
    }
}

/* ---- the command ---- */

static char output[1 << 20];
static int command(const char *arguments) {
    char line[1024];
    snprintf(line, sizeof line, "%s fail %s 2>&1", program, arguments);
    FILE *f = popen(line, "r");
    size_t n = fread(output, 1, sizeof output - 1, f);
    output[n] = 0;
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
static int lines_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

Test(fail, what_nobody_can_run_is_status_2_and_one_line) {
    static const char *const bad[] = {
        "A99", "A1 nonsense", "''", "--backend gpu", "--json /nonexistent/x A1", "--timeout nan", "'A*'"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(command(bad[i]), 2, "%s: %s", bad[i], output);
        cr_expect_eq(lines_of(output), 1, "%s: %s", bad[i], output);
    }
    cr_expect_eq(command("A99"), 2);
    cr_expect(strstr(output, "unknown failure 'A99'"), "%s", output);
}

Test(fail, command_lists_runs_and_records) {
    char path[256], line[600];
    cr_expect_eq(command("--list"), 0);
    for (int i = 0; bf_failures[i]; i++) cr_expect(strstr(output, bf_failures[i]->name), "%s", bf_failures[i]->id);
    snprintf(path, sizeof path, "%s/fail-%d", BF_BUILD, (int)getpid());
    snprintf(line, sizeof line, "a2 A4 --backend cpu --json %s.jsonl --junit %s.xml", path, path);
    cr_expect_eq(command(line), 0, "%s", output);
    cr_expect(strstr(output, "\n2 passed, 0 failed, 0 skipped\n"), "%s", output);
    cr_expect(strstr(output, "build/blackframe fail A2 --backend cpu") ||
              strstr(output, "/blackframe fail A2 --backend cpu"));
    snprintf(line, sizeof line, "%s.jsonl", path);
    FILE *f = fopen(line, "r");
    int failures = 0;
    cr_assert(f);
    for (char text[65536]; fgets(text, sizeof text, f);) {
        json_t *o = json_loads(text, 0, NULL);
        cr_assert(o, "not JSON: %s", text);
        failures += !strcmp(json_string_value(json_object_get(o, "type")), "failure");
        json_decref(o);
    }
    fclose(f);
    unlink(line);
    cr_expect_eq(failures, 2);
    snprintf(line, sizeof line, "%s.xml", path);
    f = fopen(line, "r");
    cr_assert(f);
    output[fread(output, 1, sizeof output - 1, f)] = 0;
    fclose(f);
    unlink(line);
    cr_expect(strstr(output, "tests=\"2\" failures=\"0\" skipped=\"0\"") && strstr(output, "name=\"A2\""), "%s",
              output);
}

Test(fail, a_missing_device_is_status_3) {
    setenv("BF_CUDA_LIBRARY", "/nonexistent/libcuda.so", 1);
    cr_expect_eq(command("A2 --backend cuda"), 3, "%s", output);
    cr_expect(strstr(output, "cuda was asked for and has no device"), "%s", output);
    cr_expect_eq(command("A2 --backend cpu --require cuda"), 3, "%s", output);
}
