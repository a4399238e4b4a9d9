/* What people do with the command and what it says: names that are nearly right, words that a command does not take, devices that are not
 * there, files that are something else. Each line is run by a shell, so that it can be pasted. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../error.h"
#include "../guess.h"

static char said[1 << 18];

/* Exit status; `said` is what came out on both streams. */
static int sh(const char *line) {
    char text[2048];
    snprintf(text, sizeof text, "{ %s ; } 2>&1", line);
    FILE *f = popen(text, "r");
    cr_assert(f);
    size_t n = fread(said, 1, sizeof said - 1, f);
    said[n] = 0;
    int ws = pclose(f);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws);
}
#define BF BF_BUILD "/blackframe "

static char folder[64];
static void enter(void) {
    strcpy(folder, "/tmp/blackframe-usage-XXXXXX");
    cr_assert(mkdtemp(folder));
    setenv("D", folder, 1);
}
static void leave(void) { sh("rm -r \"$D\""); }

/* The machine may have cards: these tests are about one that has none. */
static void without_gpus(void) {
    setenv("BF_SYSROOT", "/nonexistent", 1);
    setenv("BF_CUDA_LIBRARY", "/nonexistent/libcuda.so", 1);
    setenv("BF_HIP_LIBRARY", "/nonexistent/libamdhip64.so", 1);
}

typedef struct example {
    const char *line;
    int status;
    const char *says;
} example;

static void each(const example *e, size_t n) {
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(sh(e[i].line), e[i].status, "%s: status, and: %.600s", e[i].line, said);
        cr_expect(strstr(said, e[i].says), "%s: '%s' is not in: %.600s", e[i].line, e[i].says, said);
    }
}
#define EACH(table) each(table, sizeof table / sizeof *table)

Test(usage, words_that_a_command_does_not_take_are_refused) {
    static const example e[] = {
        {BF "devices cuda", 2, "devices takes no names: 'cuda'"},
        {BF "check --chain linear m=7 k=64", 2, "--chain goes over kernels, not cases: 'm=7' is no op"},
        {BF "check --chain --suite smoke", 2, "leave out --suite"},
        {BF "check --chain --junit x.xml", 2, "leave out --junit"},
        {BF "check --exhaustive linear", 2, "leave out 'linear'"},
        {BF "check --exhaustive --tier smoke", 2, "leave out --tier"},
        {BF "check --exhaustive --chain", 2, "leave out --chain"},
        {BF "check --json - convert", 2, "'-' is no file"},
        {BF "scan --json - m.gguf", 2, "'-' is no file"},
        {BF "check --json a --junit a convert", 2, "both would write a"},
        {BF "list nosuch", 2, "unknown op 'nosuch'"},
        {BF "list -k nosuch", 2, "no kernel matches --kernel nosuch"},
        {BF "list --require cuda", 3, "cuda was asked for"},
        {BF "check linear m=4 k=4 scale=3 -b cpu", 2, "scale=3: not a power of two"},
        {BF "check attention queries=1 keys=1 amp=0 -b cpu", 2, "amp=0: not a power of two"},
        {BF "check conv rank=1 in=3 out=4 groups=2 w=8 taps=3 -b cpu", 2, "blackframe: command line: conv: "},
    };
    without_gpus();
    EACH(e);
    cr_expect(!strstr(said, "conv: conv:"), "%s", said);
}

Test(usage, help_is_where_people_look_for_it) {
    static const example e[] = {
        {BF "check -h", 0, "Usage: blackframe check"},
        {BF "help scan", 0, "Usage: blackframe scan"},
        {BF "help", 0, "blackframe COMMAND --help"},
        {BF "help nosuch", 2, "unknown command 'nosuch'"},
    };
    EACH(e);
}

Test(usage, names_that_are_nearly_right) {
    static const example e[] = {
        {BF "check -s smok -b cpu", 2, "unknown suite 'smok' in cases (did you mean smoke?)"},
        {BF "check -s zzzzzz -b cpu", 2, "known: attention, "},
        {BF "trace gemma", 2, "did you mean gemma-3-12b?"},
        {BF "trace zzzzzz", 2, "known: gemma-3-12b, llama-3.1-8b"},
        {BF "fail black", 2, "A8 frame"},
        {BF "fail zzzzzz", 2, "unknown failure 'zzzzzz' (`blackframe fail --list`"},
    };
    EACH(e);
}

Test(usage, guesses) {
    bf_guess g = {.wanted = "convet"};
    char text[600];
    bf_guess_add(&g, "conv"), bf_guess_add(&g, "convert"), bf_guess_add(&g, "norm");
    cr_expect_str_eq(bf_guess_text(&g, text, sizeof text), "did you mean convert?");
    g = (bf_guess){.wanted = "xyz"};
    cr_expect_str_eq(bf_guess_text(&g, text, sizeof text), "known: ");
    for (int i = 0; i < 300; i++) bf_guess_add(&g, "averylongname"); /* more than fit */
    cr_expect(strlen(bf_guess_text(&g, text, sizeof text)) < sizeof text);
    bf_guess_directory(&g, "/nonexistent", ".case");
}

Test(usage, list_shows_what_was_asked_for) {
    cr_expect_eq(sh(BF "list linear"), 0);
    cr_expect(strstr(said, "linear_naive") && !strstr(said, "conv_naive") && !strstr(said, "  convert "), "%s", said);
    cr_expect_eq(sh(BF "list -k 'norm_n*'"), 0);
    cr_expect(strstr(said, "norm_naive") && !strstr(said, "norm_row"), "%s", said);
}

/* ---- what ran, and what did not ---- */

Test(usage, a_gpu_that_is_not_used_is_said) {
    without_gpus();
    cr_expect_eq(sh(BF "check --kernel stream_naive stream n=64 mode=copy"), 0, "%s", said);
    cr_expect(strstr(said, "not used   cuda: ") && strstr(said, "(mend: ") && strstr(said, "\nno GPU ran: the GPU kernels' source was executed on the processor (simt)\n\n3 passed"),
              "%s", said);
    cr_expect_eq(sh(BF "check -b cpu --kernel stream_naive stream n=64 mode=copy"), 0, "%s", said);
    cr_expect(!strstr(said, "not used") && !strstr(said, "no GPU"), "%s", said);
}

Test(usage, a_result_of_infinities_is_not_exact) {
    cr_expect_eq(sh(BF "check linear m=7 k=64 x=f16 y=f16 fill=outlier scale=2^14 -b cpu --kernel linear_naive -v"), 0, "%s", said);
    cr_expect(strstr(said, "of 7 outputs 0 are NaN and 7 infinite, as the reference's"), "%s", said);
    cr_expect(strstr(said, "-  1 all NaN or inf, as the reference") && !strstr(said, "exact"), "%s", said);
}

Test(usage, the_table_is_sorted_and_the_same_every_time) {
    char first[8192];
    cr_expect_eq(sh(BF "check -b cpu -s smoke norm linear | grep -A99 '^backend' | grep -v '^[0-9]'"), 0, "%s", said);
    cr_expect(strstr(said, "linear_naive") < strstr(said, "norm_naive"), "%s", said);
    snprintf(first, sizeof first, "%.8000s", said);
    sh(BF "check -b cpu -s smoke norm linear | grep -A99 '^backend' | grep -v '^[0-9]'");
    cr_expect_str_eq(said, first);
}

Test(usage, twins_of_one_op_are_judged_alone) {
    cr_expect_eq(sh(BF "check --twins -b cpu norm"), 0, "%.900s", said);
    cr_expect(strstr(said, "norm_twin_") && !strstr(said, "linear_twin_") && !strstr(said, "NO WITNESS"), "%.900s", said);
}

Test(usage, twins_have_all_families_of_probes) {
    cr_expect_eq(sh(BF "devices --numerics --twins -b cpu"), 0, "%.900s", said);
    cr_expect(strstr(said, "Sums of products") && strstr(said, "Conversions from fp32") && strstr(said, "Functions, worst error"), "%.300s", said);
}

/* A device that is there and computes nothing: status 3 from every command that asks for it. */
Test(usage, a_device_that_computes_nothing_is_no_device) {
    static const char *const lines[] = {BF "check --chain --require cuda -b cuda,cpu -k q4k_matvec_fp32_naive", BF "devices --numerics -b cuda -k linear_naive",
                                        BF "bench -b cuda -k convert_vec --seconds 0.01 convert n=64 from=bf16 to=f32"};
    setenv("BF_CUDA_LIBRARY", BF_BUILD "/fake_cuda.so", 1);
    setenv("BF_FAKE", "wrong-proof", 1);
    if (sh(BF "check -b cuda -s smoke convert") == 3 && strstr(said, "no code")) cr_skip_test("no code objects in this build");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cr_expect_eq(sh(lines[i]), 3, "%s: %s", lines[i], said);
        cr_expect(strstr(said, "did not compute its proof"), "%s: %s", lines[i], said);
    }
}

/* ---- records ---- */

Test(usage, a_run_that_did_nothing_keeps_the_old_record, .init = enter, .fini = leave) {
    static const char *const lines[] = {
        BF "check -b cpu --json \"$D/r\" --kernel nosuch convert", BF "scan --json \"$D/r\" /dev/null",         BF "bench -b cpu --json \"$D/r\" --kernel nosuch convert",
        BF "check --chain --json \"$D/r\" --kernel nosuch",        BF "compare --json \"$D/r\" README.md README.md", BF "trace gemma-3-12b --set x=fp32 --json \"$D/r\"",
        BF "devices --numerics --json \"$D/r\" --kernel nosuch"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        sh("echo old > \"$D/r\"");
        cr_expect_eq(sh(lines[i]), 2, "%s: %s", lines[i], said);
        cr_expect_eq(sh("cat \"$D/r\"; ls \"$D\" | wc -l"), 0);
        cr_expect_str_eq(said, "old\n1\n", "%s: %s", lines[i], said);
    }
}

Test(usage, a_record_that_cannot_be_written_is_no_success, .init = enter, .fini = leave) {
    cr_expect_eq(sh(BF "check --chain -b cpu -k linear_naive --json /dev/full"), 2, "%s", said);
    cr_expect(strstr(said, "/dev/full"), "%s", said);
}

/* A closed descriptor must not become the record's or the archive's. */
Test(usage, closed_descriptors, .init = enter, .fini = leave) {
    cr_expect_eq(sh(BF "check -b cpu --archive \"$D/a\" -k convert_naive convert n=4 from=f32 to=f16 <&-; grep -c '\"output\"' \"$D/a\""), 0, "%s", said);
    cr_expect(strstr(said, "\n1\n"), "%s", said);
    cr_expect_eq(sh(BF "check -b cpu --json \"$D/j\" -k convert_naive convert n=4 from=f32 to=f16 >&-"), 2, "%s", said);
    cr_expect_eq(sh("grep -vc '^{' \"$D/j\""), 1, "%s", said); /* no line that is none */
}

/* The file's last value, one of what its blocks must dequantise to, is made wrong. */
Test(usage, golden_values_count_whatever_the_seed, .init = enter, .fini = leave) {
    sh("cp cases/golden/blocks_golden.gguf \"$D/a b.gguf\"; s=$(stat -c %s \"$D/a b.gguf\"); printf xyzw | dd of=\"$D/a b.gguf\" bs=1 seek=$((s - 4)) conv=notrunc");
    for (int seed = 0; seed < 2; seed++) {
        cr_expect_eq(sh(seed ? BF "check -b cpu --weights \"$D/a b.gguf\" --seed 2 qblock_dequant to=f32" : BF "check -b cpu --weights \"$D/a b.gguf\" qblock_dequant to=f32"), 1, "%s", said);
        cr_expect(strstr(said, "FAIL ") && strstr(said, "a b.gguf' --tensor ") && strstr(said, " --weights '/tmp/"), "%s", said); /* to paste: quoted */
    }
}

/* What is planted before and after the blocks counts as what is planted in them. */
Test(usage, plants_outside_the_blocks, .init = enter, .fini = leave) {
    for (int planted = 0; planted < 2; planted++) {
        setenv("P", planted ? " plant=0,0,1000000" : "", 1);
        sh("printf 'chain t depth=1 tokens=4\\ninput x width=32\\nblock\\nnorm n x\\nlinear y n rows=32\\nafter\\nlinear z y rows=32%s\\n' \"$P\" > \"$D/t.chain\"");
        cr_expect_eq(sh(BF "trace \"$D/t.chain\""), 0, "%s", said);
        cr_expect(strstr(said, planted ? "first not finite: op 3 of the chain, z" : "stays finite"), "%d: %s", planted, said);
        cr_expect_eq(strstr(said, ".chain --bisect\n") != NULL, planted, "%s", said); /* what to do next */
    }
}

Test(usage, files_that_are_something_else, .init = enter, .fini = leave) {
    static const example e[] = {
        {"printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:0\\n' > \"$D/m.gguf\"; " BF "scan \"$D/m.gguf\"", 2, "`git lfs pull` fetches it"},
        {"printf '<!DOCTYPE html>' > \"$D/m.safetensors\"; " BF "scan \"$D/m.safetensors\"", 2, "a web page, not a model"},
        {"printf '01234567890' > \"$D/n.gguf\"; " BF "scan \"$D/n.gguf\"", 2, "not a GGUF file"},
    };
    EACH(e);
    cr_expect(!strstr(said, "safetensors file?"), "%s", said);
}
