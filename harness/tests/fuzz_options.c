/* fuzz_options.c: any command line: one clean line of refusal, or options within what they promise and a selection of cases that
 * is an error of one line or holds at least one case. The first byte chooses the command, the words stand on lines of their own. */
#define _GNU_SOURCE
#include <argp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../options.h"
#include "fuzz_no_backends.h"

enum { WORDS = 100 };

static void must(int holds) {
    if (!holds) abort();
}

static void one_line(const bf_error *err) { must(err->text[0] && !strchr(err->text, '\n')); }

/* Suites of a few lines: those of the repository take too long for each of a million inputs. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static char folder[] = "/tmp/blackframe-fuzz-XXXXXX";
    static const char *const text[][2] = {{"smoke", "convert n=4,9 from=f32 to=f16\nnorm m=2 k=8 tier=full\n"},
                                          {"witness", "linear m=1 k=4 witness=acc-f16\n"}, {"bench", "stream n=64 mode=copy tier=bench\n"}};
    (void)argc, (void)argv;
    must(mkdtemp(folder) != NULL);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s.case", folder, text[i][0]);
        FILE *f = fopen(path, "w");
        must(f && fputs(text[i][1], f) >= 0 && !fclose(f));
    }
    setenv("BF_CASES", folder, 1);
    bf_options_argp_flags = ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP;
    return 0;
}

static void check_options(const bf_options *o) {
    const bf_selection *s = &o->select;
    must(o->timeout > 0 && o->seconds > 0 && o->size >= 0 && o->parallel >= 0 && o->threads >= 0 && o->threshold >= 0 && o->ulps >= 0 && o->amplitude > 0);
    must(s->suite_count >= 0 && s->suite_count <= 64 && s->word_count >= 0 && s->word_count <= 64 && o->set_count <= 32 && o->size_count <= 32 && o->input_count <= 8);
    must(s->shard >= 0 && s->shard <= s->shards && (!s->shards || s->shard >= 1));
    must(!s->tier || !strcmp(s->tier, "smoke") || !strcmp(s->tier, "quick") || !strcmp(s->tier, "full"));
    for (int i = 0; i < s->word_count; i++) must(s->words[i] != NULL);
}

/* A name that leads out of the folder may be a device that never ends, or a large tree. */
static int leads_out(const bf_selection *s) {
    int out = s->cases || (s->weights && strchr(s->weights, '/'));
    for (int i = 0; i < s->suite_count; i++) out |= strchr(s->suites[i], '/') != NULL;
    return out;
}

static void check_selection(const bf_selection *s) {
    bf_case_list list = {0};
    bf_error err = {""};
    if (bf_select_cases(s, &list, &err)) one_line(&err);
    else {
        must(list.count > 0);
        for (size_t i = 0; i < list.count; i += list.count / 16 + 1) must(list.item[i].op && list.item[i].line && (!s->have_seed || list.item[i].seed == s->seed));
    }
    bf_case_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct {
        const char *name;
        int which;
    } command[] = {{"check", BF_OPT_CHECK}, {"bench", BF_OPT_BENCH}, {"list", BF_OPT_LIST}, {"devices", BF_OPT_DEVICES},
                   {"fail", BF_OPT_FAIL}, {"trace", BF_OPT_TRACE}, {"compare", BF_OPT_COMPARE}, {"scan", BF_OPT_SCAN}};
    char *argv[WORDS + 2], *text = malloc(size + 1), *rest = text, name[16];
    int argc = 1;
    must(text != NULL);
    if (size) memcpy(text, data + 1, size - 1);
    text[size ? size - 1 : 0] = 0;
    int c = size ? data[0] % 8 : 0;
    argv[0] = strcpy(name, command[c].name);
    for (char *word; argc <= WORDS && (word = strsep(&rest, "\n"));) argv[argc++] = word;
    argv[argc] = NULL;
    bf_options o;
    bf_error err = {""};
    if (bf_options_parse(command[c].which, argc, argv, "blackframe", &o, &err)) one_line(&err);
    else {
        check_options(&o);
        if (command[c].which & (BF_OPT_CHECK | BF_OPT_BENCH | BF_OPT_LIST) && !leads_out(&o.select)) check_selection(&o.select);
    }
    free(text);
    return 0;
}
