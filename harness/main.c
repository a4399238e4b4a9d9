/* main.c: the command. Only this file exits. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atomic_file.h"
#include "json_memory.h"
#include "options.h"
#include "version.h"

static const struct {
    const char *name, *what;
    int options;
    int (*run)(bf_options *);
} commands[] = {
    {"devices", "what was found, what is not used, why, and the mend", BF_OPT_DEVICES, bf_command_devices},
    {"list", "ops, kernels and cases", BF_OPT_LIST, bf_command_list},
    {"check", "kernels against the references", BF_OPT_CHECK, bf_command_check},
    {"bench", "kernels against the memory ceiling of this run", BF_OPT_BENCH, bf_command_bench},
    {"fail", "every documented failure, on purpose, beside the sound answer", BF_OPT_FAIL, bf_command_fail},
    {"trace", "a chain of blocks in a precision: the first op that goes wrong", BF_OPT_TRACE, bf_command_trace},
    {"compare", "two records of bench: what became slower", BF_OPT_COMPARE, bf_command_compare},
    {"scan", "weights of a model file: what fp16 would lose, what overflows", BF_OPT_SCAN, bf_command_scan},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int usage(FILE *f) {
    fprintf(f, "Usage: blackframe COMMAND [OPTION...]\n"
               "Finds the kernel behind the black frame: proves and times the kernels that\n"
               "bf16-era models need on GPUs made before them.\n\n");
    for (int i = 0; i < COMMANDS; i++) fprintf(f, "  %-8s  %s\n", commands[i].name, commands[i].what);
    fprintf(f, "  %-8s  %s\n", "report", "records of one or several machines as one page");
    fprintf(f, "\n  blackframe COMMAND --help   options of one command\n  blackframe --version\n"
               "Exit status: 0 all right, 1 a check failed, 2 usage or input error, 3 a required device is missing.\n");
    return f == stdout ? BF_EXIT_OK : BF_EXIT_USAGE;
}

static int run(int argc, char **argv) {
    if (argc < 2) return usage(stderr);
    if (!strcmp(argv[1], "help") && argc > 2) return run(3, (char *[]){argv[0], argv[2], (char[]){"--help"}, NULL});
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return usage(stdout);
    if (!strcmp(argv[1], "--version")) {
        puts("blackframe " BF_VERSION);
        return BF_EXIT_OK;
    }
    if (!strcmp(argv[1], "report")) return bf_command_report(argc - 1, argv + 1);
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name)) continue;
        bf_options o;
        bf_error err = {{0}};
        if (bf_options_parse(commands[i].options, argc - 1, argv + 1, argv[0], &o, &err)) {
            fprintf(stderr, "blackframe: %s\n", err.text);
            return BF_EXIT_USAGE;
        }
        return commands[i].run(&o);
    }
    fprintf(stderr, "blackframe: unknown command '%.60s' (devices, list, check, bench, fail, trace, compare, report, scan)\n", argv[1]);
    return BF_EXIT_USAGE;
}

/* What could not be printed was not said: a full disk or a reader that left must not look like success. Also behind --help, which
 * exits by itself. */
static void printed(void) {
    errno = 0;
    if (!fflush(stdout) && !ferror(stdout)) return;
    fprintf(stderr, "blackframe: standard output: %s\n", strerror(errno ? errno : EIO));
    _exit(BF_EXIT_USAGE);
}

/* For what has no handler of its own: half a record is not left lying about. */
static void on_signal(int sig) {
    bf_atomic_unlink_all();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void handle_signals(void) {
    static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        if (signal(deadly[i], on_signal) == SIG_IGN) signal(deadly[i], SIG_IGN); /* nohup */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a write that fails */
}

/* A closed descriptor would be the next file's: a record mixed with what is printed. */
static void fill_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++) /* the wrong way round: what is written still fails */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0) _exit(BF_EXIT_USAGE);
}

int main(int argc, char **argv) {
    fill_descriptors();
    bf_json_watch();
    handle_signals();
    atexit(printed);
    return run(argc, argv);
}
