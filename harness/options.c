/* options.c: one table of options for all commands; each command takes the rows whose mask names it. */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"

const char *argp_program_version = "blackframe " BF_VERSION;

enum { KEY_REQUIRE = 256, KEY_SEED, KEY_SHARD, KEY_JUNIT, KEY_DUMP, KEY_TIER, KEY_WEIGHTS, KEY_TENSOR, KEY_CASES,
       KEY_TWINS, KEY_TIMEOUT, KEY_EXHAUSTIVE, KEY_SECONDS, KEY_SIZE, KEY_THREADS, KEY_NAIVE, KEY_BEST, KEY_CHAIN, KEY_NUMERICS, KEY_MARKDOWN, KEY_LIST,
       KEY_PLAN, KEY_SET, KEY_DEPTH, KEY_REAL, KEY_WIDTHS, KEY_BISECT, KEY_FRAME, KEY_INPUT, KEY_THRESHOLD,
       KEY_FAIL_FAST, KEY_BASIC, KEY_READ, KEY_AMPLITUDE, KEY_CHAIN_NAME, KEY_ARCHIVE, KEY_OUTPUTS, KEY_ULPS, KEY_PEERS };

/* The commands an option belongs to. */
enum { CHECK = BF_OPT_CHECK, BENCH = BF_OPT_BENCH, LIST = BF_OPT_LIST, DEVICES = BF_OPT_DEVICES, FAIL = BF_OPT_FAIL,
       TRACE = BF_OPT_TRACE, COMPARE = BF_OPT_COMPARE, SCAN = BF_OPT_SCAN,
       ON_CASES = CHECK | BENCH | LIST, ON_KERNELS = ON_CASES | DEVICES, ON_DEVICES = ON_KERNELS | FAIL | TRACE,
       ALL = ON_DEVICES | COMPARE | SCAN };

static const struct {
    int mask;
    struct argp_option o;
} table[] = {
    {ON_DEVICES, {"backend", 'b', "LIST", 0, "only these: cpu,simt-cuda,simt-hip,cuda,hip", 0}},
    {ON_DEVICES, {"require", KEY_REQUIRE, "LIST", 0, "exit 3 if one of these has no device", 0}},
    {ON_KERNELS, {"kernel", 'k', "GLOB", 0, "only kernels with such names", 0}},
    {ON_CASES, {"suite", 's', "NAME", 0, "a suite of cases/ or a file (repeatable)", 0}},
    {ON_CASES, {"tier", KEY_TIER, "TIER", 0, "smoke, quick (default) or full", 0}},
    {ON_CASES, {"weights", KEY_WEIGHTS, "FILE", 0, "run on every Q4_K, Q6_K, Q8_0 and MXFP4 tensor of a GGUF file", 0}},
    {TRACE, {"weights", KEY_WEIGHTS, "FILE", 0, "weights of a GGUF or safetensors file where it has them", 0}},
    {ON_CASES, {"tensor", KEY_TENSOR, "GLOB", 0, "with --weights: only such tensors", 0}},
    {ON_CASES | TRACE, {"seed", KEY_SEED, "N", 0, "in place of the cases' own seeds (trace: 1)", 0}},
    {ON_CASES, {"shard", KEY_SHARD, "I/N", 0, "every N-th case, starting with the I-th", 0}},
    {ON_CASES | TRACE | SCAN, {"cases", KEY_CASES, "DIR", 0, "where the suites are", 0}},
    {CHECK | BENCH | DEVICES | FAIL | TRACE | COMPARE | SCAN, {"json", 'j', "FILE", 0, "write JSON Lines", 0}},
    {CHECK | FAIL, {"junit", KEY_JUNIT, "FILE", 0, "write JUnit XML", 0}},
    {CHECK, {"dump", KEY_DUMP, "DIR", 0, "write tensors of small cases as .npy", 0}},
    {CHECK, {"archive", KEY_ARCHIVE, "FILE", 0, "keep all outputs, for compare --outputs", 0}},
    {DEVICES, {"twins", KEY_TWINS, NULL, 0, "with --numerics: the kernels broken on purpose", 0}},
    {CHECK | LIST, {"twins", KEY_TWINS, NULL, 0, "run the kernels broken on purpose: each must be caught", 0}},
    {CHECK, {"exhaustive", KEY_EXHAUSTIVE, NULL, 0, "all 2^32 fp32 patterns to bf16 and fp16", 0}},
    {DEVICES, {"numerics", KEY_NUMERICS, NULL, 0, "how each kernel computes, by probes: sums, conversions, functions", 0}},
    {CHECK, {"fail-fast", KEY_FAIL_FAST, NULL, 0, "stop at the first failing row", 0}},
    {CHECK, {"chain", KEY_CHAIN, NULL, 0, "measure each kernel's chain of additions", 0}},
    {CHECK | BENCH | DEVICES | FAIL | TRACE, {"timeout", KEY_TIMEOUT, "S", 0, "seconds a kernel may take before it counts as hung (120)", 0}},
    {CHECK | DEVICES, {"parallel", 'P', "N", 0, "devices side by side (one a core)", 0}},
    {BENCH, {"seconds", KEY_SECONDS, "S", 0, "time for each kernel and case (1)", 0}},
    {BENCH, {"size", KEY_SIZE, "MB", 0, "rotate through at least this many megabytes", 0}},
    {BENCH, {"naive", KEY_NAIVE, NULL, 0, "time the naive kernels too, not only those that --kernel names in full", 0}},
    {CHECK | BENCH, {"best", KEY_BEST, NULL, 0, "only the preferred kernel of each path", 0}},
    {BENCH, {"threads", KEY_THREADS, "N", 0, "threads of the cpu backend (all cores)", 0}},
    {BENCH, {"peers", KEY_PEERS, "DIR", OPTION_ARG_OPTIONAL, "beside OpenBLAS and ggml (GPUs: cuBLAS, rocBLAS) where installed; DIR holds libggml-base.so, libggml-cpu.so", 0}},
    {LIST, {"markdown", KEY_MARKDOWN, NULL, 0, "the table of kernels in README.md", 0}},
    {FAIL, {"list", KEY_LIST, NULL, 0, "only list the catalogue", 0}},
    {TRACE, {"list", KEY_LIST, NULL, 0, "only list the chain: its ops, kinds, shapes", 0}},
    {TRACE, {"plan", KEY_PLAN, "PLAN", 0, "fp16 (default), bf16-as-fp16, fp16-sums, fp16-weights-fp32-math, fp32", 0}},
    {TRACE, {"set", KEY_SET, "WHAT=MODE", 0, "another precision for a kind or a label: fp32, fp16-weights, fp16, fp16-sums, bf16-as-fp16 (repeatable)", 0}},
    {TRACE, {"depth", KEY_DEPTH, "N", 0, "blocks (the chain's own)", 0}},
    {TRACE, {"real-width", KEY_REAL, NULL, 0, "the model's widths instead of reduced ones (always with --weights)", 0}},
    {TRACE, {"size", KEY_WIDTHS, "SYMBOL=N", 0, "another value for a symbol of the chain, or for tokens (repeatable)", 0}},
    {TRACE, {"bisect", KEY_BISECT, NULL, 0, "find the smallest sets of kinds that must be fp32", 0}},
    {TRACE, {"frame", KEY_FRAME, "DIR", 0, "send a picture through the chain, write what comes out as PNG", 0}},
    {TRACE, {"input", KEY_INPUT, "NAME=FILE", 0, "values of an input from a .npy file (repeatable)", 0}},
    {COMPARE, {"outputs", KEY_OUTPUTS, NULL, 0, "archives of check --archive: outputs, value by value", 0}},
    {COMPARE, {"ulps", KEY_ULPS, "N", 0, "with --outputs: distance that is allowed (0: bit for bit)", 0}},
    {COMPARE, {"threshold", KEY_THRESHOLD, "PERCENT", 0, "smallest change that counts (2)", 0}},
    {SCAN, {"basic", KEY_BASIC, NULL, 0, "counts and range only, at the speed of the memory", 0}},
    {SCAN, {"amplitude", KEY_AMPLITUDE, "A", 0, "the largest activation expected (50)", 0}},
    {SCAN, {"chain", KEY_CHAIN_NAME, "CHAIN", 0, "also print the trace that applies the plan to this chain", 0}},
    {SCAN, {"read", KEY_READ, NULL, 0, "also time read(2) of the same file, for comparison", 0}},
    {SCAN, {"threads", KEY_THREADS, "N", 0, "threads (all cores)", 0}},
    {ALL, {"verbose", 'v', NULL, 0, "a line for every case (scan: every tensor)", 0}},
    {ALL, {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0}},
};

static const struct {
    int command;
    const char *arguments, *text; /* after \v: what follows the options */
} about[] = {
    {CHECK, "[OP...] | [CASE LINE]",
     "Checks kernels against the float64 references, on every device found.\v"
     "Without arguments: all suites. OP names keep only those ops; a word with '=' makes the arguments one case line.\n"
     "Exit status: 0 all right, 1 a check failed, 2 usage or input, 3 a device that was asked for is missing."},
    {BENCH, "[OP...] | [CASE LINE]",
     "Times kernels beside the memory ceiling measured in the same run; only kernels that passed their check are timed."},
    {LIST, "[OP...] | [CASE LINE]",
     "Lists ops, kernels of each backend, and the cases that match."},
    {DEVICES, "",
     "Says which devices were found, which are not used, why, and what mends it."},
    {FAIL, "[ID...]",
     "Makes the failures of the catalogue happen on purpose, each beside the sound answer on the same input.\v"
     "Without arguments: all of it; an ID is one of --list, or its name.\n"
     "Exit status: 0 all reproduced, 1 one did not, 2 usage or input, 3 a device that was asked for is missing."},
    {TRACE, "CHAIN",
     "Runs a chain of transformer blocks in a precision, op by op, and names the first that goes wrong.\v"
     "CHAIN is a name of cases/trace or a file. Linear, norm and attention run through the kernels of the backend (default: "
     "cpu), the rest on the host.\n"
     "Exit status: 0 traced, whatever was found, 1 the run failed, 2 usage or input, 3 a device that was asked for is "
     "missing."},
    {COMPARE, "OLD[,OLD...] NEW[,NEW...]",
     "Sets two records of bench side by side: SAME, FASTER, SLOWER or AMBIGUOUS for each kernel and case.\v"
     "OLD and NEW are files that bench --json wrote, or with --outputs files that check --archive wrote; several runs of one side are joined by commas. Speeds are compared by "
     "the ratio to the ceiling of each run, by times where that ratio says nothing.\n"
     "Exit status: 0 nothing slower, 1 something is slower or no longer timed, 2 usage or input."},
    {SCAN, "FILE...",
     "Says what fp16 would do to the weights of a model file, tensor by tensor, and what activations products with them "
     "survive.\v"
     "FILE: .gguf, .safetensors, or the .safetensors.index.json of a sharded model.\n"
     "Exit status: 0 scanned, 1 a tensor is damaged or overflows fp16, 2 usage or input."},
};

unsigned bf_options_argp_flags;

typedef struct parse {
    bf_options *o;
    bf_error *err;
    int failed;
} parse;

static int number(const char *text, double min, double max, const char *option, double *out, parse *p) {
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= min && v <= max)) {
        bf_fail(p->err, "--%s: '%s' is not a number from %g to %g", option, text, min, max);
        p->failed = 1;
        return -1;
    }
    *out = v;
    return 0;
}

static void seed(parse *p, const char *arg) {
    char *end;
    errno = 0;
    unsigned long long v = strtoull(arg, &end, 0);
    if (end == arg || *end || errno || *arg == '-') {
        bf_fail(p->err, "--seed: '%s' is not a number from 0 to 2^64-1", arg);
        p->failed = 1;
    }
    p->o->select.seed = v, p->o->select.have_seed = 1;
}

static void shard(parse *p, const char *arg) {
    int i, n, used = 0;
    if (sscanf(arg, "%d/%d%n", &i, &n, &used) != 2 || arg[used] || n < 1 || i < 1 || i > n || n > 1000000) {
        bf_fail(p->err, "--shard: '%s' is not I/N with 1 <= I <= N", arg);
        p->failed = 1;
        return;
    }
    p->o->select.shard = i, p->o->select.shards = n;
}

static void tier(parse *p, const char *arg) {
    if (strcmp(arg, "smoke") && strcmp(arg, "quick") && strcmp(arg, "full")) {
        bf_fail(p->err, "--tier: '%s' is none of smoke, quick, full", arg);
        p->failed = 1;
    }
    p->o->select.tier = arg;
}

static void append(const char **list, int *count, int most, const char *arg, parse *p) {
    if (*count < most)
        list[(*count)++] = arg;
    else
        p->failed = 1, bf_fail(p->err, "command line: more than %d of these: '%s'", most, arg);
}

static error_t on_option(int key, char *arg, struct argp_state *state) {
    parse *p = state->input;
    bf_options *o = p->o;
    bf_selection *s = &o->select;
    double v = 0;
    switch (key) {
    case 'b': s->backends = arg; break;
    case KEY_REQUIRE: s->require = arg; break;
    case 'k': s->kernel = arg; break;
    case 's': append(s->suites, &s->suite_count, 64, arg, p); break;
    case KEY_TIER: tier(p, arg); break;
    case KEY_WEIGHTS: s->weights = arg; break;
    case KEY_TENSOR: s->tensor = arg; break;
    case KEY_SEED: seed(p, arg); break;
    case KEY_SHARD: shard(p, arg); break;
    case KEY_CASES: s->cases = arg; break;
    case 'j': o->json = arg; break;
    case KEY_JUNIT: o->junit = arg; break;
    case KEY_DUMP: o->dump = arg; break;
    case KEY_TWINS: s->twins = 1; break;
    case KEY_EXHAUSTIVE: o->exhaustive = 1; break;
    case KEY_TIMEOUT: number(arg, 0.1, 1e6, "timeout", &o->timeout, p); break;
    case 'P': number(arg, 1, 1024, "parallel", &v, p), o->parallel = (int)v; break;
    case KEY_SECONDS: number(arg, 0.001, 1e5, "seconds", &o->seconds, p); break;
    case KEY_SIZE: number(arg, 0, 1e7, "size", &v, p), o->size = v * 1e6; break;
    case KEY_THREADS: number(arg, 1, 4096, "threads", &v, p), o->threads = (int)v; break;
    case KEY_MARKDOWN: o->markdown = 1; break;
    case KEY_NUMERICS: o->numerics = 1; break;
    case KEY_CHAIN: o->chain = 1; break;
    case KEY_FAIL_FAST: o->fail_fast = 1; break;
    case KEY_LIST: o->list = 1; break;
    case KEY_PLAN: o->plan = arg; break;
    case KEY_SET: append(o->sets, &o->set_count, 32, arg, p); break;
    case KEY_WIDTHS: append(o->sizes, &o->size_count, 32, arg, p); break;
    case KEY_INPUT: append(o->inputs, &o->input_count, 8, arg, p); break;
    case KEY_DEPTH: number(arg, 1, 96, "depth", &v, p), o->depth = (int)v; break;
    case KEY_REAL: o->real = 1; break;
    case KEY_BASIC: o->basic = 1; break;
    case KEY_READ: o->read_too = 1; break;
    case KEY_AMPLITUDE: number(arg, 1e-6, 1e30, "amplitude", &o->amplitude, p); break;
    case KEY_CHAIN_NAME: o->chain_name = arg; break;
    case KEY_BISECT: o->bisect = 1; break;
    case KEY_FRAME: o->frame = arg; break;
    case KEY_THRESHOLD: number(arg, 0, 1000, "threshold", &v, p), o->threshold = v / 100; break;
    case KEY_ARCHIVE: o->archive = arg; break;
    case KEY_OUTPUTS: o->outputs = 1; break;
    case KEY_ULPS: number(arg, 0, 1e15, "ulps", &o->ulps, p); break;
    case KEY_NAIVE: s->tuned = 0; break;
    case KEY_PEERS: o->peers = arg ? arg : getenv("GGML") ? getenv("GGML") : ""; break;
    case KEY_BEST: s->best = 1; break;
    case 'v': o->verbose = 1; break;
    case 'h': argp_state_help(state, stdout, ARGP_HELP_STD_HELP); break;
    case ARGP_KEY_ARG: append(s->words, &s->word_count, 64, arg, p); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Files that are written beside standard output, each once. */
static int outputs_differ(const bf_options *o, bf_error *err) {
    const struct {
        const char *option, *path;
    } file[] = {{"json", o->json}, {"junit", o->junit}, {"archive", o->archive}};
    for (int i = 0; i < 3; i++) {
        if (!file[i].path) continue;
        if (!strcmp(file[i].path, "-")) return bf_fail(err, "--%s: '-' is no file: standard output is for people; name a file", file[i].option);
        for (int n = 0; n < i; n++)
            if (file[n].path && !strcmp(file[n].path, file[i].path))
                return bf_fail(err, "--%s and --%s: both would write %s: name two files", file[n].option, file[i].option, file[i].path);
    }
    return 0;
}

int bf_options_parse(int which, int argc, char **argv, const char *program, bf_options *o, bf_error *err) {
    struct argp_option rows[sizeof table / sizeof *table + 1];
    memset(rows, 0, sizeof rows);
    int n = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].mask & which) rows[n++] = table[i].o;
    size_t row = 0;
    while (about[row].command != which) row++;
    struct argp argp = {rows, on_option, about[row].arguments, about[row].text, NULL, NULL, NULL};
    *o = (bf_options){.timeout = 120, .seconds = 1, .threshold = 0.02, .amplitude = 50, .program = program, .argc = argc, .argv = argv};
    o->select.tuned = which == BF_OPT_BENCH;
    parse p = {o, err, 0};
    argp_err_exit_status = BF_EXIT_USAGE;
    static char name[64];
    snprintf(name, sizeof name, "blackframe %s", argv[0]);
    argv[0] = name;
    error_t rc = argp_parse(&argp, argc, argv, bf_options_argp_flags, NULL, &p);
    argv[0] = name + 11;
    if (rc) return bf_fail(err, "command line: %s", strerror(rc));
    return p.failed || outputs_differ(o, err) ? -1 : 0;
}
