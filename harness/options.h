/* options.h: the command line. */
#ifndef BF_OPTIONS_H
#define BF_OPTIONS_H

#include "select.h"

typedef struct bf_options {
    bf_selection select;
    const char *json, *junit, *dump, *archive;
    double timeout; /* seconds a job */
    int parallel;   /* children side by side; 0: one a core */
    int verbose;
    int exhaustive, chain, markdown, numerics;
    int fail_fast;  /* check: stop at the first row that is neither a pass nor a skip */
    int list;       /* fail: the catalogue itself */
    double threshold; /* compare: smallest change of speed that counts, 0.02 for 2 % */
    int outputs;      /* compare: archives of outputs instead of records of bench */
    double ulps;      /* compare --outputs: distance that is allowed */
    double seconds; /* bench: time a kernel may take */
    double size;    /* bench: smallest bytes of distinct buffers rotated through; 0: from the cache */
    int threads;    /* bench, cpu: 0 all */
    const char *peers; /* bench: folder of ggml's libraries, "" the system's; NULL: no peers */
    const char *plan;    /* trace: precision plan, NULL: fp16 */
    const char *sets[32], *sizes[32], *inputs[8]; /* trace: WHAT=MODE, SYMBOL=NUMBER, INPUT=FILE */
    int set_count, size_count, input_count;
    int depth, real, bisect;
    int basic, read_too;   /* scan: counts and range only; read(2) of the files too */
    double amplitude;      /* scan: the largest activation expected */
    const char *chain_name; /* scan: the chain whose trace applies the plan */
    const char *frame; /* trace: directory of the pictures */
    const char *program; /* for the lines that reproduce */
    int argc;
    char **argv;
} bf_options;

enum { BF_OPT_CHECK = 1, BF_OPT_BENCH = 2, BF_OPT_LIST = 4, BF_OPT_DEVICES = 8, BF_OPT_FAIL = 16, BF_OPT_TRACE = 32,
       BF_OPT_COMPARE = 64, BF_OPT_SCAN = 128 };

/* argv[0] is the command's name. 0, or -1 with err: a usage error. --help and --usage print and exit 0. */
extern unsigned bf_options_argp_flags; /* 0; fuzzing sets ARGP_NO_EXIT and the like */
int bf_options_parse(int which, int argc, char **argv, const char *program, bf_options *, bf_error *);

int bf_command_check(bf_options *);
/* `check --exhaustive`, `check --chain`: on the devices found, instead of the cases. */
int bf_command_check_kernels(bf_options *, const bf_discovery *);
/* 0, or -1 with err: an option or word that checks of whole kernels do not take. */
int bf_check_kernels_options(const bf_options *, bf_error *);
int bf_command_bench(bf_options *);
int bf_command_list(bf_options *);
int bf_command_devices(bf_options *);
int bf_command_fail(bf_options *);
int bf_command_trace(bf_options *);
int bf_command_compare(bf_options *);
int bf_command_compare_outputs(bf_options *); /* compare --outputs */
/* argv[0] is "report"; the rest goes to reports/report.py as it is. Returns only when that cannot be started. */
int bf_command_report(int argc, char **argv);
int bf_command_scan(bf_options *);

#endif
