/* test_trace.c: chains in several precisions: the op that goes wrong first is the one the numbers say, bisect's sets are smallest, and
 * nothing hostile gets past the reader. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../formats/npy.h"
#include "../trace_show.h"
#include "../trace_weights.h"

static bf_discovery found;
static bf_trace_chain chain;
static bf_trace_settings settings;
static bf_trace_record record[BF_TRACE_RECORDS];
static bf_trace_weights *shared; /* of the chain as it was loaded; no precision changes them */
static int with_fp32 = 1, stop_at_bad;

static bf_lab lab_of(const char *backend) {
    bf_error err = {{0}};
    const bf_backend *b = bf_backend_find(backend);
    memset(&found, 0, sizeof found);
    b->discover(&found);
    cr_assert(found.devices, "%s: no device", backend);
    bf_lab lab = {b, b->open(&found.device[0], &err), &found.device[0], NULL};
    cr_assert(lab.context, "%s: %s", backend, err.text);
    return lab;
}

static void plan(bf_trace_mode mode) {
    for (int i = 0; i < chain.lines; i++) settings.mode[i] = chain.line[i].op == BF_TRACE_INPUT ? BF_TRACE_FP32 : mode;
}

/* A chain of cases/trace, four tokens, with sizes ("inner=256", ...; NULL at the end). */
static void load_sized(const char *name, int depth, bf_trace_mode mode, const char *const *set) {
    bf_error err = {{0}};
    bf_trace_sizes sizes = {.depth = depth, .tokens = 4, .set = set};
    while (set[sizes.sets]) sizes.sets++;
    if (shared) bf_trace_weights_close(shared);
    cr_assert_eq(bf_trace_load(name, "cases", &sizes, &chain, &err), 0, "%s", err.text);
    settings.seed = 1;
    shared = bf_trace_weights_open(NULL, &chain, settings.seed, &err);
    cr_assert(shared, "%s", err.text);
    plan(mode);
}
#define SIZES(...) ((const char *const[]){__VA_ARGS__, NULL})
/* Feed-forward networks narrower: what they prove rests on single planted channels. */
static void load(const char *name, int depth, bf_trace_mode mode) { load_sized(name, depth, mode, SIZES("inner=256")); }

static void set(const char *kind, bf_trace_mode mode) {
    int n = 0;
    for (int i = 0; i < chain.lines; i++)
        if (chain.line[i].op != BF_TRACE_INPUT && !strcmp(chain.kind[chain.line[i].kind], kind)) settings.mode[i] = mode, n++;
    cr_assert(n, "no op of kind %s", kind);
}

static int walk_on(const char *backend) {
    bf_error err = {{0}};
    bf_lab lab = lab_of(backend);
    bf_trace_run *r = bf_trace_open(&lab, &chain, shared, &settings, with_fp32, &err);
    int n = 0, rc;
    while ((rc = bf_trace_step(r, &record[n], &err)) == 1 && !(stop_at_bad && bf_trace_bad(&record[n]))) n++;
    n += rc == 1;
    cr_assert(rc >= 0, "%s", err.text);
    bf_trace_close(r);
    lab.backend->close(lab.context);
    return n;
}
static int walk(void) { return walk_on("cpu"); }

static const char *kind_of(const bf_trace_record *r) { return chain.kind[chain.line[r->line].kind]; }

static int first_over(int n) { /* in an fp32 run: the first that fp16 cannot hold */
    for (int i = 0; i < n; i++)
        if (record[i].largest >= 65520) return i;
    return -1;
}
static int first_bad(int n) {
    int bad, lost;
    bf_trace_first(record, n, &bad, &lost);
    return bad;
}

/* ---- physics ---- */

/* A norm behind the feed-forward network puts about sqrt(width) (1 + w) = 16 * 300 on one channel in each block: 3,000 + 14 * 4,800 is the first
 * sum beyond 65,504, in block 13. */
Test(trace, gemma_overflows_in_the_residual) {
    load("gemma-3-12b", 0, BF_TRACE_FP32);
    int n = walk(), over = first_over(n), bad;
    cr_assert_eq(first_bad(n), -1, "fp32 is not finite");
    cr_assert_eq(chain.depth, 48);
    cr_expect_str_eq(kind_of(&record[over]), "residual");
    cr_expect_eq(record[over].block, (int)ceil((65504.0 - 3000) / 4800) - 1, "block %d", record[over].block);
    plan(BF_TRACE_FP16);
    bad = first_bad(n = walk());
    cr_expect_eq(bad, over, "fp16 first goes wrong at op %d, fp32 first passes 65,504 at op %d", bad, over);
    cr_expect_str_eq(kind_of(&record[bad]), "residual");
    cr_expect(isinf(record[bad].got) && fabs(record[bad].want) > 65504, "got %g, fp32 has %g", record[bad].got, record[bad].want);
    cr_expect_eq(record[bad].first, 5, "channel 5 of token 0, not %lld", (long long)record[bad].first);
    cr_expect_eq(record[n - 1].nan, record[n - 1].values, "the end of the chain is not all NaN");
}

/* The next op reads the sum in fp16: widening the residual alone moves the failure by one op. */
Test(trace, widening_one_kind_moves_the_failure) {
    load("gemma-3-12b", 16, BF_TRACE_FP16);
    set("residual", BF_TRACE_FP32);
    int bad = first_bad(walk());
    cr_assert(bad >= 0);
    cr_expect_str_eq(kind_of(&record[bad]), "norm");
    cr_expect_eq(record[bad].block, 14);
    set("norm", BF_TRACE_FP32);
    cr_expect_eq(first_bad(walk()), -1);
}

Test(trace, llama_stays_finite) {
    load("llama-3.1-8b", 0, BF_TRACE_FP32);
    cr_assert_eq(chain.depth, 32);
    with_fp32 = 0;
    for (int m = 0; m < BF_TRACE_BF16_AS_FP16; m++) {
        plan((bf_trace_mode)m);
        int n = walk();
        cr_expect_eq(first_bad(n), -1, "not finite in %s", bf_trace_mode_name[m]);
        cr_expect(record[n - 1].largest > 300, "no massive activation: %g", record[n - 1].largest);
    }
}

/* Each feed-forward network adds (16 * 1 - 8) * 64 * 4 = 2,048 to the channel, gated: 64 + 32 * 2,048 is beyond 65,504 first, in block 31 but for what
 * the synthetic rest of row 7 adds. */
Test(trace, ltx_overflows_in_the_residual) {
    load_sized("ltx-video-2.3", 0, BF_TRACE_FP16, SIZES("inner=16", "ainner=16", "words=4", "sounds=4"));
    int n = walk(), bad = first_bad(n);
    cr_assert(bad >= 0);
    cr_assert_eq(chain.depth, 48);
    cr_expect_str_eq(chain.line[record[bad].line].label, "ff-add");
    cr_expect_str_eq(kind_of(&record[bad]), "residual");
    cr_expect(record[bad].block >= 30 && record[bad].block <= 33, "block %d", record[bad].block);
    cr_expect(record[bad].first == 5 && isinf(record[bad].got) && record[bad].want >= 65520 && record[bad].want < 69000, "[%lld]: got %g, fp32 has %g",
              (long long)record[bad].first, record[bad].got, record[bad].want);
    cr_expect_eq(record[n - 1].nan, record[n - 1].values, "the latents are not all NaN");
}

/* The talker's product stays below fp16's limit by six times; the smaller model's predictor passes it twice over. */
Test(trace, qwen_tts) {
    load_sized("qwen3-tts-1.7b", 0, BF_TRACE_FP16, SIZES("inner=16"));
    int n = walk(), bad;
    double largest = 0;
    cr_assert_eq(chain.depth, 28);
    cr_expect_eq(first_bad(n), -1);
    for (int i = 0; i < n; i++) largest = fmax(largest, record[i].largest);
    cr_expect(largest > 7000 && largest < 65504 / 6.0, "%g", largest);
    load("qwen3-tts-0.6b-predictor", 0, BF_TRACE_FP16);
    cr_assert((bad = first_bad(walk())) >= 0);
    cr_expect_str_eq(kind_of(&record[bad]), "mul");
    cr_expect(record[bad].block == 1 && record[bad].want > 1.5 * 65504 && record[bad].want < 2.5 * 65504, "block %d, %g", record[bad].block, record[bad].want);
}

/* bf16 weights read as fp16 all are near 1. */
Test(trace, relabelled_weights_are_lost_at_once) {
    load_sized("llama-3.1-8b", 3, BF_TRACE_BF16_AS_FP16, SIZES("inner=768"));
    int n = walk(), bad, lost;
    bf_trace_first(record, n, &bad, &lost);
    cr_assert(bad >= 0 && lost >= 0);
    cr_expect_eq(record[bad].block, 0);
    cr_expect(lost < bad && record[lost].block == 0, "lost at op %d", lost);
}

static void same_on(const char *backend) {
    static bf_trace_record cpu[BF_TRACE_RECORDS];
    load("gemma-3-12b", 15, BF_TRACE_FP16);
    int n = walk();
    memcpy(cpu, record, sizeof cpu);
    cr_assert_eq(walk_on(backend), n);
    cr_expect_eq(first_bad(n), 252);
    for (int i = 0; i < n; i++) {
        cr_expect_eq(record[i].nan, cpu[i].nan, "op %d: %lld NaN, cpu %lld", i, (long long)record[i].nan, (long long)cpu[i].nan);
        cr_expect(fabs(record[i].largest - cpu[i].largest) <= 0.01 * cpu[i].largest, "op %d: largest %g, cpu %g", i, record[i].largest, cpu[i].largest);
    }
}
Test(trace, same_on_simt_cuda) { same_on("simt-cuda"); }
Test(trace, same_on_simt_hip) { same_on("simt-hip"); }

/* ---- bisect ---- */

static int finite_with(unsigned kinds) {
    with_fp32 = 0, stop_at_bad = 1;
    for (int i = 0; i < chain.lines; i++)
        settings.mode[i] = chain.line[i].op == BF_TRACE_INPUT || kinds & 1u << chain.line[i].kind ? BF_TRACE_FP32 : BF_TRACE_FP16;
    return first_bad(walk()) < 0;
}

/* Applied by another road than bisect's own: the set is finite, no smaller one is, nor another as small. `words`: what it must be. */
static void smallest(const char *words, const char *plan_fails_at) {
    bf_error err = {{0}};
    bf_trace_bisect b;
    char text[256];
    bf_lab lab = lab_of("cpu");
    cr_assert_eq(bf_trace_bisect_run(&lab, &chain, shared, &settings, NULL, &b, &err), 0, "%s", err.text);
    lab.backend->close(lab.context);
    cr_assert(b.size > 0 && b.sets == 1, "%d kinds, %d sets", b.size, b.sets);
    cr_expect_str_eq(bf_trace_set_text(&chain, b.set[0], text, sizeof text), words);
    cr_expect(b.result.off < 0.01);
    cr_expect(finite_with(b.set[0]));
    for (unsigned s = 0; s < 1u << chain.kinds; s++)
        if (__builtin_popcount(s) <= b.size && s != b.set[0]) cr_expect(!finite_with(s), "%s is finite too", bf_trace_set_text(&chain, s, text, sizeof text));
    cr_expect_str_eq(kind_of(&b.plan), plan_fails_at);
    for (int k = 0; k < chain.kinds; k++)
        if (b.set[0] & 1u << k) cr_expect(bf_trace_bad(&b.without[k]) && chain.line[b.without[k].line].kind == k, "without %s", chain.kind[k]);
}

/* From a larger start, so that few blocks do. */
Test(trace, bisect_of_gemma_is_smallest) {
    load_sized("gemma-3-12b", 4, BF_TRACE_FP16, SIZES("inner=256", "massive=60000"));
    smallest("norm, residual", "residual");
}
Test(trace, bisect_of_ltx_is_smallest) {
    load_sized("ltx-video-2.3", 4, BF_TRACE_FP16, SIZES("inner=16", "ainner=16", "words=4", "sounds=4", "massive=62000"));
    smallest("norm, residual", "residual");
}
Test(trace, bisect_of_a_product) {
    load_sized("qwen3-tts-0.6b-predictor", 3, BF_TRACE_FP16, SIZES("inner=16"));
    smallest("mul, down", "mul");
}

/* ---- the reader ---- */

static const char good[] = "chain t depth=2 tokens=4\nsize w=64:32\ninput x width=w\nblock\nnorm n x\nlinear y n rows=w\nresidual x x y\n";

static void refuses(const char *text, const char *says) {
    bf_error err = {{0}};
    bf_trace_sizes sizes = {0};
    cr_expect_eq(bf_trace_parse(text, strlen(text), "f", &sizes, &chain, &err), -1, "accepted: %s", text);
    cr_expect(strstr(err.text, says) && !strncmp(err.text, "f:", 2), "'%s' does not say '%s'", err.text, says);
}

Test(trace_chain, reads) {
    bf_error err = {{0}};
    bf_trace_sizes sizes = {0};
    cr_assert_eq(bf_trace_parse(good, strlen(good), "f", &sizes, &chain, &err), 0, "%s", err.text);
    cr_expect(chain.lines == 4 && chain.begin == 1 && chain.end == 4 && chain.kinds == 3 && chain.values == 3 && chain.depth == 2);
    cr_expect(chain.line[2].width == 32 && chain.line[2].k == 32 && chain.line[2].rows == 4);
    sizes = (bf_trace_sizes){.real = 1, .depth = 7, .tokens = 3};
    cr_assert_eq(bf_trace_parse(good, strlen(good), "f", &sizes, &chain, &err), 0);
    cr_expect(chain.line[2].width == 64 && chain.depth == 7 && chain.line[2].rows == 3);
    const char *const to[] = {"w=48"};
    sizes = (bf_trace_sizes){.set = to, .sets = 1};
    cr_assert_eq(bf_trace_parse(good, strlen(good), "f", &sizes, &chain, &err), 0);
    cr_expect_eq(chain.line[2].width, 48);
    const char *const none[] = {"v=48"};
    sizes.set = none;
    cr_assert_eq(bf_trace_parse(good, strlen(good), "f", &sizes, &chain, &err), -1);
    cr_expect(strstr(err.text, "--size v=48"));
}

#define HEAD "chain t depth=2 tokens=4\ninput x width=32\nblock\n"
Test(trace_chain, refuses_what_is_wrong) {
    refuses("", "no line 'chain");
    refuses("norm n x\n", "first line must be");
    refuses("chain t depth=0 tokens=4\n", "depth: '0' is not an integer from 1");
    refuses("chain t depth=2\n", "tokens is missing");
    refuses("chain t depth=2 tokens=4 width=3\n", "no such key");
    refuses("chain a/b depth=2 tokens=4\n", "is not a name");
    refuses("chain t depth=2 tokens=4\ninput x width=32\n", "no ops behind a line 'block'");
    refuses("chain t depth=2 tokens=4\nafter\n", "out of place");
    refuses(HEAD "norn n x\n", "f:4: unknown op 'norn'");
    refuses(HEAD "norm n\n", "wants a result and 1 operand");
    refuses(HEAD "norm n q\n", "'q' has no value yet");
    refuses(HEAD "norm n x eps=1 eps=1\n", "eps stands twice");
    refuses(HEAD "norm n x eps=-1\n", "not a number from 0 to 1");
    refuses(HEAD "norm n x gain=1\n", "no such key (known: eps");
    refuses(HEAD "norm n x over=5\n", "does not divide");
    refuses(HEAD "norm n x over=nan\n", "neither a number nor a symbol");
    refuses(HEAD "norm n x plant=32,1\n", "lies outside");
    refuses(HEAD "norm n x plant=1,2,3\n", "wants COLUMN,VALUE");
    refuses(HEAD "norm n x plant=1,2@3-1\n", "@block");
    refuses(HEAD "linear y x rows=8 plant=1,bias,2\n", "there is no bias");
    refuses(HEAD "linear y x rows=8 bias=1 plant=8,bias,2\n", "lies outside");
    refuses(HEAD "norm n x tensor=a%sb\n", "no %");
    refuses(HEAD "norm n x tensor={}{}\n", "more than once");
    refuses(HEAD "linear y x\n", "rows is missing");
    refuses(HEAD "linear y x rows=2^21\n", "not an integer from 1 to");
    refuses(HEAD "linear y x rows=8*\n", "product");
    refuses(HEAD "linear x x rows=8\n", "a value keeps its shape");
    refuses(HEAD "linear y x rows=8\nresidual x x y\n", "y is 4 x 8");
    refuses(HEAD "attention a x x x\n", "heads is missing");
    refuses(HEAD "attention a x x x heads=3\n", "multiple of 16");
    refuses(HEAD "attention a x x x heads=2 kv_heads=1\n", "kv_heads");
    refuses(HEAD "headgate a x x heads=2\n", "wants heads");
    refuses(HEAD "gelu g x plant=1,1\n", "nothing to plant into");
    refuses(HEAD "input y width=4\n", "before the line 'block'");
    refuses("chain t depth=2 tokens=4\nsize a=3 a=4\n", "stands twice");
}

Test(trace_chain, refuses_bytes) {
    bf_error err = {{0}};
    bf_trace_sizes sizes = {0};
    static char big[70000];
    memset(big, 'a', sizeof big);
    cr_expect_eq(bf_trace_parse(big, sizeof big, "f", &sizes, &chain, &err), -1);
    cr_expect(strstr(err.text, "more than a chain has"));
    cr_expect_eq(bf_trace_parse(big, 3000, "f", &sizes, &chain, &err), -1);
    cr_expect(strstr(err.text, "a line of 3000 bytes"));
    cr_expect_eq(bf_trace_parse("chain\0x", 7, "f", &sizes, &chain, &err), -1);
    cr_expect(strstr(err.text, "NUL"));
}

/* ---- the command ---- */

static int command(char *text, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int command(char *text, size_t room, const char *format, ...) {
    char line[1024];
    va_list ap;
    int n = snprintf(line, sizeof line, "%s/blackframe trace ", BF_BUILD);
    va_start(ap, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n, format, ap);
    va_end(ap);
    snprintf(line + n, sizeof line - (size_t)n, " 2>&1");
    FILE *f = popen(line, "r");
    size_t got = f ? fread(text, 1, room - 1, f) : 0;
    text[got] = 0;
    int status = f ? pclose(f) : -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(trace_command, statuses) {
    static char text[1 << 16];
    cr_expect_eq(command(text, sizeof text, "gemma-3-12b --depth 14 --plan fp16"), 0);
    cr_expect(strstr(text, "first not finite: op 252 of the chain, ff-add (residual) of block 13"), "%s", text);
    cr_expect_eq(command(text, sizeof text, "llama-3.1-8b --depth 2"), 0);
    cr_expect(strstr(text, "stays finite in fp16 over 2 blocks"), "%s", text);
    static const struct {
        const char *arguments, *says;
    } wrong[] = {
        {"", "name one chain"},
        {"no-such-chain", "unknown chain 'no-such-chain'"},
        {"gemma", "did you mean gemma-3-12b?"},
        {"gemma-3-12b --plan fp8", "--plan 'fp8'"},
        {"gemma-3-12b --set norm", "wants KIND=MODE"},
        {"gemma-3-12b --set norm=fp8", "unknown precision"},
        {"gemma-3-12b --set nothing=fp16", "no op of that kind"},
        {"gemma-3-12b --size tokens=0", "from 1 to 65536"},
        {"gemma-3-12b --size colour=3", "no such symbol"},
        {"gemma-3-12b --depth 97", "--depth"},
        {"gemma-3-12b --input y=f.npy", "no such input"},
        {"gemma-3-12b --input x=cases/golden/norm_ggml.npy", "wants floating point"},
        {"gemma-3-12b --weights cases/smoke.case", "smoke.case: offset"},
        {"gemma-3-12b --weights cases/golden/q4k_golden.gguf", "none of the weights"},
        {"gemma-3-12b --backend vulkan", "vulkan"},
        {"cases/golden/README.md", "README.md:"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_expect_eq(command(text, sizeof text, "%s", wrong[i].arguments), 2, "%s: %s", wrong[i].arguments, text);
        cr_expect(strstr(text, wrong[i].says) && strchr(text, '\n') == strrchr(text, '\n'), "%s: %s", wrong[i].arguments, text);
    }
}
