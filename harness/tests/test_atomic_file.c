/* test_atomic_file.c: an output file is the old one or the new one. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../atomic_file.h"

static char dir[64], path[96];

static void make_dir(void) {
    strcpy(dir, "/tmp/blackframe-test-XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out.json", dir);
}

static int entries(void) {
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void remove_dir(void) {
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(dir);
}

TestSuite(atomic_file, .init = make_dir, .fini = remove_dir);

static const char *content(const char *name) {
    static char text[256];
    FILE *f = fopen(name, "r");
    if (!f) return NULL;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

Test(atomic_file, a_new_file_appears_whole_and_alone) {
    bf_error err = {""};
    bf_atomic_file f;
    cr_assert_eq(bf_atomic_open(&f, path, &err), 0, "%s", err.text);
    fprintf(f.stream, "{\"row\": %d}\n", 1);
    fflush(f.stream);
    cr_assert(access(path, F_OK), "visible before commit");
    cr_assert_eq(bf_atomic_commit(&f, &err), 0, "%s", err.text);
    cr_assert_str_eq(content(path), "{\"row\": 1}\n");
    cr_assert_eq(entries(), 1);
    bf_atomic_abandon(&f); /* safe after commit */
    cr_assert_eq(entries(), 1);
}

Test(atomic_file, the_old_file_stands_until_commit_and_after_abandon) {
    bf_error err = {""};
    bf_atomic_file f;
    cr_assert_eq(bf_atomic_write(path, "old", 3, &err), 0);
    cr_assert_eq(bf_atomic_open(&f, path, &err), 0);
    fputs("new", f.stream);
    fflush(f.stream);
    cr_assert_str_eq(content(path), "old");
    bf_atomic_abandon(&f);
    cr_assert_str_eq(content(path), "old");
    cr_assert_eq(entries(), 1);
    cr_assert_eq(bf_atomic_write(path, "new", 3, &err), 0);
    cr_assert_str_eq(content(path), "new");
}

Test(atomic_file, a_run_that_is_killed_leaves_the_old_file) {
    bf_error err = {""};
    cr_assert_eq(bf_atomic_write(path, "old", 3, &err), 0);
    pid_t pid = fork();
    if (!pid) {
        bf_atomic_file f;
        if (!bf_atomic_open(&f, path, &err)) {
            fputs("half of the n", f.stream);
            fflush(f.stream);
        }
        raise(SIGKILL);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    cr_assert(WIFSIGNALED(status));
    cr_assert_str_eq(content(path), "old");
}

Test(atomic_file, a_disk_that_refuses_is_reported_and_the_old_file_stands) {
    bf_error err = {""};
    bf_atomic_file f;
    cr_assert_eq(bf_atomic_write(path, "old", 3, &err), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {4096, 4096}, before;
    getrlimit(RLIMIT_FSIZE, &before);
    limit.rlim_max = before.rlim_max;
    cr_assert_eq(bf_atomic_open(&f, path, &err), 0);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 100000; i++) fputc('x', f.stream);
    setrlimit(RLIMIT_FSIZE, &before); /* room again: what was lost must be remembered */
    int rc = bf_atomic_commit(&f, &err);
    cr_assert_eq(rc, -1);
    cr_assert(strstr(err.text, path), "%s", err.text);
    cr_assert_str_eq(content(path), "old");
    cr_assert_eq(entries(), 1, "the temporary file is still there");
}

Test(atomic_file, errors_name_the_path) {
    bf_error err = {""};
    char missing[128];
    snprintf(missing, sizeof missing, "%s/no/such/out", dir);
    cr_assert_eq(bf_atomic_write(missing, "x", 1, &err), -1);
    cr_assert(strstr(err.text, missing), "%s", err.text);
    cr_assert_eq(bf_atomic_write(dir, "x", 1, &err), -1);
    cr_assert(strstr(err.text, dir), "%s", err.text);
}

Test(atomic_file, a_link_stays_a_link_and_rights_stay) {
    bf_error err = {""};
    char link_path[128];
    struct stat st;
    cr_assert_eq(bf_atomic_write(path, "old", 3, &err), 0);
    cr_assert_eq(chmod(path, 0640), 0);
    snprintf(link_path, sizeof link_path, "%s/link", dir);
    cr_assert_eq(symlink(path, link_path), 0);
    cr_assert_eq(bf_atomic_write(link_path, "new", 3, &err), 0, "%s", err.text);
    cr_assert_eq(lstat(link_path, &st), 0);
    cr_assert(S_ISLNK(st.st_mode));
    cr_assert_str_eq(content(path), "new");
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0640);
}

Test(atomic_file, a_device_is_written_and_not_replaced) {
    bf_error err = {""};
    struct stat st;
    cr_assert_eq(bf_atomic_write("/dev/null", "x", 1, &err), 0, "%s", err.text);
    cr_assert_eq(stat("/dev/null", &st), 0);
    cr_assert(S_ISCHR(st.st_mode));
}
