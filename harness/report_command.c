/* report_command.c: `blackframe report`: hands the words on to reports/report.py, which makes the page. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

/* Of the working directory, or of the tree that the program lies in: DIR/build/blackframe or DIR/blackframe. */
static int script(char *path, size_t room) {
    static const char *const from[] = {"", "/reports/report.py", "/../reports/report.py"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n < 0 ? 0 : n] = 0;
    char *slash = strrchr(self, '/');
    if (slash) *slash = 0;
    snprintf(path, room, "reports/report.py");
    for (int i = 0; i < 3; i++) {
        if (i) snprintf(path, room, "%s%s", self, from[i]);
        if (!access(path, R_OK)) return 0;
    }
    return -1;
}

int bf_command_report(int argc, char **argv) {
    char path[PATH_MAX + 32];
    const char **words = calloc((size_t)argc + 3, sizeof *words);
    if (!words) {
        fprintf(stderr, "blackframe: out of memory\n");
        return BF_EXIT_USAGE;
    }
    if (script(path, sizeof path)) {
        fprintf(stderr, "blackframe: reports/report.py: not found: run it where the sources are, or beside the unpacked program\n");
        free(words);
        return BF_EXIT_USAGE;
    }
    /* The distribution's Python has the distribution's matplotlib; another one first in the path may have none. */
    const char *python = getenv("BF_PYTHON") ? getenv("BF_PYTHON") : !access("/usr/bin/python3", X_OK) ? "/usr/bin/python3" : "python3";
    words[0] = python, words[1] = path;
    for (int i = 1; i < argc; i++) words[i + 1] = argv[i];
    execvp(python, (char *const *)words);
    fprintf(stderr, "blackframe: %s: %s: python3 with matplotlib and jinja2 makes the report (ci/setup installs them)\n", python, strerror(errno));
    free(words);
    return BF_EXIT_USAGE;
}
