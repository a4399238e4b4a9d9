/* fuzz_chain.c: any text: one clean line, or a chain whose shapes fit together. */
#include <stdlib.h>
#include <string.h>

#include "../trace_chain.h"

static void must(int holds) {
    if (!holds) abort();
}

static void check_line(const bf_trace_chain *c, int i, int64_t rows[], int64_t width[]) {
    const bf_trace_line *l = &c->line[i];
    must(l->rows >= 1 && l->rows <= 1 << 16 && l->width >= 1 && l->width <= 1 << 20 && l->rows * l->width <= INT64_C(1) << 26);
    must(l->result >= 0 && l->result < c->values && strlen(l->label) < BF_TRACE_NAME);
    must(l->op == BF_TRACE_INPUT || (l->kind >= 0 && l->kind < c->kinds));
    for (int o = 0; o < 3; o++) must(l->operand[o] >= -1 && l->operand[o] < c->values && (l->operand[o] < 0 || rows[l->operand[o]] > 0));
    must(!rows[l->result] || (rows[l->result] == l->rows && width[l->result] == l->width));
    if (l->op == BF_TRACE_LINEAR) must(l->k == width[l->operand[0]] && l->rows == rows[l->operand[0]]);
    if (l->op == BF_TRACE_NORM) must(l->k > 0 && l->width % l->k == 0);
    if (l->op == BF_TRACE_ATTENTION) must(l->heads > 0 && l->kv_heads > 0 && l->heads % l->kv_heads == 0 && l->width % l->heads == 0);
    if (l->op == BF_TRACE_HEADGATE) must(l->heads > 0 && l->width % l->heads == 0 && width[l->operand[1]] == l->heads);
    for (int p = 0; p < l->plants; p++) {
        int64_t columns = l->op == BF_TRACE_LINEAR || l->op == BF_TRACE_NORM ? l->k : l->width;
        int64_t most = l->op == BF_TRACE_LINEAR ? l->width : l->op == BF_TRACE_INPUT ? l->rows : 1;
        must(!l->plant[p].bias || (l->op == BF_TRACE_LINEAR && l->bias > 0));
        must(l->plant[p].row >= 0 && l->plant[p].row < most && l->plant[p].column >= 0 && l->plant[p].column < columns);
    }
    rows[l->result] = l->rows, width[l->result] = l->width;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bf_trace_chain c;
    for (int real = 0; real < 2; real++) {
        bf_error err = {""};
        bf_trace_sizes sizes = {.real = real};
        int64_t rows[BF_TRACE_VALUES] = {0}, width[BF_TRACE_VALUES] = {0};
        if (bf_trace_parse((const char *)data, size, "input", &sizes, &c, &err)) {
            must(err.text[0] && !strchr(err.text, '\n') && !strncmp(err.text, "input:", 6));
            continue;
        }
        must(c.lines > 0 && c.lines <= BF_TRACE_LINES && c.begin >= 0 && c.begin < c.end && c.end <= c.lines && c.depth >= 1 && c.depth <= BF_TRACE_DEPTH);
        must(c.values <= BF_TRACE_VALUES && c.kinds <= BF_TRACE_KINDS);
        for (int i = 0; i < c.lines; i++) check_line(&c, i, rows, width);
    }
    return 0;
}
