/* fuzz_case.c: any text: one clean line, or cases whose canonical line gives the same case and the same line again. */
#include <stdlib.h>
#include <string.h>

#include "../case.h"

static void must(int holds) {
    if (!holds) abort();
}

static int same(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

static void check_round_trip(const bf_case *c) {
    bf_case_list again = {0};
    bf_error err;
    must(!bf_case_parse_line(c->line, strlen(c->line), NULL, 0, &again, &err));
    must(again.count == 1);
    const bf_case *d = again.item;
    must(d->op == c->op && same(d->line, c->line) && !memcmp(&d->problem, &c->problem, sizeof c->problem));
    must(d->fill == c->fill && d->seed == c->seed && same(d->witness, c->witness) && same(d->expect, c->expect));
    must(same(d->kernel, c->kernel) && same(d->tier, c->tier));
    bf_case_list_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bf_case_list list = {0};
    bf_error err = {""};
    if (bf_case_parse_text((const char *)data, size, "input", &list, &err)) {
        must(err.text[0] && !strchr(err.text, '\n') && !strncmp(err.text, "input:", 6) && !list.count);
    } else {
        size_t step = list.count / 64 + 1; /* of a long expansion, a sample */
        for (size_t i = 0; i < list.count; i += step) check_round_trip(&list.item[i]);
    }
    bf_case_list_free(&list);
    return 0;
}
