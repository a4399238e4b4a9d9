/* Where output goes wrong: full disks, files that may not grow, readers that leave, signals in the middle, children without memory. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../error.h"

static const char *const program = BF_BUILD "/blackframe";
static char said[1 << 15]; /* stderr, or both where stdout is no file */

typedef struct how {
    const char *to;   /* stdout goes there; NULL: into said */
    rlim_t file_most, memory_most; /* bytes; 0: no limit */
} how;

static pid_t start(how h, int *fd, const char *const *words) {
    const char *argv[32] = {program};
    int p[2], n = 1;
    while (*words && n < 31) argv[n++] = *words++;
    cr_assert_eq(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int out = h.to ? open(h.to, O_WRONLY) : p[1];
        dup2(out, 1), dup2(p[1], 2);
        close(p[0]), close(p[1]);
        setpgid(0, 0);
        signal(SIGPIPE, SIG_DFL), signal(SIGINT, SIG_DFL), signal(SIGHUP, SIG_DFL); /* nohup's too */
        if (h.file_most) setrlimit(RLIMIT_FSIZE, &(struct rlimit){h.file_most, h.file_most});
        if (h.memory_most) setrlimit(RLIMIT_AS, &(struct rlimit){h.memory_most, h.memory_most});
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
    for (ssize_t r; n < sizeof said - 1 && (r = read(fd, said + n, sizeof said - 1 - n)) > 0;) n += (size_t)r;
    said[n] = 0;
    close(fd);
    waitpid(pid, &ws, 0);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
}

#define RUN(h, ...) run(h, (const char *const[]){__VA_ARGS__, NULL})
static int run(how h, const char *const *words) {
    int fd;
    pid_t pid = start(h, &fd, words);
    return finish(pid, fd);
}

/* An empty directory; remove_all empties and removes it and counts what was there. */
static const char *directory(void) {
    static char path[64];
    strcpy(path, "/tmp/blackframe-outputs-XXXXXX");
    cr_assert(mkdtemp(path));
    return path;
}
static int remove_all(const char *path) {
    int n = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char name[512];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        n += !stat(name, &st) && S_ISDIR(st.st_mode) ? remove_all(name) : (unlink(name), 1);
    }
    if (d) closedir(d);
    rmdir(path);
    return n;
}
static const char *in(const char *folder, const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- a full disk ---- */

static void is_refused(int status, const char *says) {
    cr_expect_eq(status, BF_EXIT_USAGE, "status %d, output: %s", status, said);
    cr_expect(strstr(said, says), "'%s' is not in: %s", says, said);
}

Test(outputs, what_could_not_be_printed_is_no_success) {
    const how full = {.to = "/dev/full"};
    const char *const says = "blackframe: standard output: No space left on device\n";
    is_refused(RUN(full, "check", "--backend", "cpu", "--kernel", "*_naive", "convert", "n=4", "from=f32", "to=f16"), says);
    is_refused(RUN(full, "list"), says);
    is_refused(RUN(full, "--help"), says);
    is_refused(RUN(full, "scan", "--help"), says);
    is_refused(RUN(full, "--version"), says);
    is_refused(RUN(full, "scan", "--threads", "1", "cases/golden/types.safetensors"), says);
    is_refused(RUN(full, "fail", "--list"), says);
    is_refused(RUN(full, "devices", "--backend", "simt-cuda"), "standard output");
}

Test(outputs, a_record_that_could_not_be_written_is_no_success) {
    const char *const says = "/dev/full: write failed, nothing replaced: No space left on device\n";
    is_refused(RUN((how){0}, "check", "--backend", "cpu", "--kernel", "*_naive", "--json", "/dev/full", "convert", "n=4", "from=f32", "to=f16"), says);
    is_refused(RUN((how){0}, "check", "--backend", "cpu", "--kernel", "*_naive", "--junit", "/dev/full", "convert", "n=4", "from=f32", "to=f16"), says);
    is_refused(RUN((how){0}, "scan", "--threads", "1", "--json", "/dev/full", "cases/golden/types.safetensors"), says);
    is_refused(RUN((how){0}, "devices", "--backend", "simt-cuda", "--json", "/dev/full"), says);
    is_refused(RUN((how){0}, "fail", "--backend", "cpu", "A1", "--json", "/dev/full"), says);
    is_refused(RUN((how){0}, "trace", "llama-3.1-8b", "--depth", "1", "--json", "/dev/full"), says);
}

/* A file that reaches the limit sends a signal first (SIGXFSZ); that must neither kill nor leave half a file. */
Test(outputs, a_file_that_may_not_grow_leaves_nothing_behind) {
    const how small = {.file_most = 2048};
    const char *d = directory();
    is_refused(RUN(small, "check", "--backend", "cpu", "--kernel", "*_naive", "--json", in(d, "r.jsonl"), "convert", "n=4,5,6,7,8", "from=f32", "to=f16"), "r.jsonl: write failed, nothing replaced: File too large");
    is_refused(RUN((how){.file_most = 100}, "fail", "--backend", "cpu", "A1", "--junit", in(d, "r.xml")), "r.xml: write failed, nothing replaced: File too large");
    is_refused(RUN(small, "scan", "--threads", "1", "--json", in(d, "r.jsonl"), "cases/golden/types.safetensors"), "File too large");
    cr_expect_eq(remove_all(d), 0, "files were left in %s", d);
}

Test(outputs, a_dump_or_a_picture_that_cannot_be_written_fails) {
    const how small = {.file_most = 1024}, smaller = {.file_most = 100};
    const char *d = directory();
    int status = RUN(small, "check", "--backend", "cpu", "--kernel", "*_naive", "--dump", in(d, "dump"), "convert", "n=4000", "from=f32", "to=f16");
    cr_expect_eq(status, BF_EXIT_FAILED, "status %d: %s", status, said);
    cr_expect(strstr(said, "ERROR") && strstr(said, "File too large") && strstr(said, "1 failed"), "%s", said);
    status = RUN(smaller, "trace", "ltx-video-2.3", "--depth", "1", "--frame", in(d, "frame"));
    cr_expect_eq(status, BF_EXIT_FAILED, "status %d: %s", status, said);
    cr_expect(strstr(said, "File too large"), "%s", said);
    cr_expect_leq(remove_all(d), 1, "files were left"); /* case.json is small enough */
    is_refused(RUN((how){0}, "check", "--backend", "cpu", "--archive", "/dev/full", "convert", "n=4", "from=f32", "to=f16"), "/dev/full: write failed: No space left");
    is_refused(RUN((how){0}, "check", "--backend", "cpu", "--dump", "/dev/full", "convert", "n=4", "from=f32", "to=f16"), "/dev/full");
}

/* ---- readers and signals ---- */

Test(outputs, a_reader_that_leaves_ends_it) {
    static const char *const words[][9] = {{"list", "-v", NULL},
                                           {"check", "--backend", "cpu", "-v", "--kernel", "*_naive", "--suite", "smoke", NULL},
                                           {"scan", "-v", "cases/golden/q4k_golden.gguf", NULL}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        int fd, ws = 0;
        pid_t pid = start((how){0}, &fd, words[i]);
        close(fd); /* as `| head -0` would */
        waitpid(pid, &ws, 0);
        cr_expect(WIFSIGNALED(ws) ? WTERMSIG(ws) == SIGPIPE : WEXITSTATUS(ws) == BF_EXIT_USAGE, "%s: status 0x%x", words[i][0], ws);
        cr_expect(kill(-pid, 0) < 0, "%s: a child was left", words[i][0]);
    }
}

/* Whole lines only; returns their number. */
static int lines_of(const char *path) {
    char line[1 << 14];
    int n = 0;
    FILE *f = fopen(path, "r");
    for (; f && fgets(line, sizeof line, f); n++) {
        json_t *o = json_loads(line, 0, NULL);
        cr_expect(o, "%s", line);
        json_decref(o);
    }
    if (f) fclose(f);
    return n;
}

/* Waits until the command says its first word, then sends the signal. */
static int disturbed(int sig, const char *const *words) {
    int fd;
    char first;
    pid_t pid = start((how){0}, &fd, words);
    cr_assert_eq(read(fd, &first, 1), 1);
    usleep(20000);
    kill(pid, sig);
    int status = finish(pid, fd);
    for (int i = 0; i < 200 && !kill(-pid, 0); i++) usleep(10000); /* killed children take a moment */
    cr_expect(kill(-pid, 0) < 0, "%s: a child was left", words[0]);
    return status;
}

Test(outputs, a_signal_leaves_whole_lines_and_no_children, .timeout = 60) {
    static const int sig[] = {SIGINT, SIGTERM};
    const char *d = directory();
    for (int i = 0; i < 2; i++) {
        const char *r = in(d, "r.jsonl");
        int status = disturbed(sig[i], (const char *const[]){"check", "--backend", "simt-cuda,simt-hip", "--suite", "random", "--tier", "full", "--json", r, NULL});
        cr_expect_eq(status, BF_EXIT_FAILED, "status %d: %s", status, said);
        cr_expect(strstr(said, "interrupted after"), "%s", said);
        cr_expect_geq(lines_of(r), 2);
        status = disturbed(sig[i], (const char *const[]){"fail", "--backend", "simt-cuda", "--json", r, NULL});
        cr_expect_eq(status, BF_EXIT_FAILED, "status %d: %s", status, said);
        cr_expect(strstr(said, "interrupted"), "%s", said);
        cr_expect_geq(lines_of(r), 2);
        status = disturbed(sig[i], (const char *const[]){"bench", "--backend", "cpu", "--seconds", "20", "--size", "0", "--threads", "1", "--json", r, "convert", "n=4096", "from=bf16", "to=f32", NULL});
        cr_expect_eq(status, BF_EXIT_FAILED, "status %d: %s", status, said);
        cr_expect_geq(lines_of(r), 2);
    }
    cr_expect_eq(remove_all(d), 1, "something besides the record was left");
}

/* What has no orderly end dies of the signal, and takes its temporary file with it. */
Test(outputs, a_signal_takes_the_temporary_file_with_it) {
    const char *d = directory();
    int status = disturbed(SIGHUP, (const char *const[]){"check", "--backend", "simt-cuda", "--suite", "random", "--tier", "full", "--json", in(d, "r.jsonl"), NULL});
    cr_expect_eq(status, 128 + SIGHUP, "status %d: %s", status, said);
    cr_expect_eq(remove_all(d), 0, "the temporary file was left");
}

/* ---- memory ---- */

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

/* The large case becomes a row with an error, not a pass and not the end of the run. */
Test(outputs, a_child_without_memory_costs_its_row) {
#ifdef SANITIZED
    cr_skip_test("the sanitizer's own memory is beyond any limit");
#endif
    int status = RUN(((how){.memory_most = 700 << 20}), "check", "--backend", "cpu", "--kernel", "convert_naive", "convert", "n=16,200000000,32", "from=f32", "to=f16");
    cr_expect_eq(status, BF_EXIT_FAILED, "status %d: %s", status, said);
    cr_expect(strstr(said, "no memory") && strstr(said, "2 passed, 1 failed"), "%s", said);
}
