/* fuzz_record.c: any JSON Lines as a record of bench and as an archive of outputs: one clean line with file and number, or timings and
 * outputs that compare with each other. */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../bench_record.h"
#include "../compare_outputs.h"
#include "../compare_runs.h"
#include "fuzz_no_backends.h"

static void must(int holds) {
    if (!holds) abort();
}

static void one_line(const bf_error *err) { must(err->text[0] && !strchr(err->text, '\n') && !strncmp(err->text, "input: line ", 12)); }
static int ordered(bf_interval i) { return i.low > 0 && i.low <= i.median && i.median <= i.high && isfinite(i.high); }

static void check_timings(FILE *f) {
    bf_bench_list list = {0};
    bf_error err = {""};
    if (bf_bench_list_stream(f, "input", &list, &err)) one_line(&err);
    else if (list.count) {
        bf_bench_list_merge(&list);
        for (size_t i = 0; i < list.count; i++) {
            const bf_bench_line *l = &list.line[i], *last = &list.line[i ? i - 1 : 0];
            must(l->backend && l->device && l->op && l->kernel && l->what && l->ceiling && l->runs >= 1);
            must(l->status == BF_NOT_TIMED || (ordered(l->seconds) && ordered(l->ratio)));
            must(!i || bf_bench_line_order(last, l) < 0);
            bf_change c = bf_change_of(last, l, 0.02);
            must(c.verdict <= BF_AMBIGUOUS && c.note && (c.speed.median >= 0));
        }
    }
    bf_bench_list_free(&list);
}

static void check_outputs(FILE *f) {
    bf_output_list list = {0};
    bf_error err = {""};
    if (bf_archive_stream(f, "input", &list, &err)) one_line(&err);
    for (size_t i = 0; i < list.count; i++) {
        const bf_output *a = &list.item[i], *b = &list.item[i ? i - 1 : 0];
        must(a->backend && a->kernel && a->what && a->tensor && a->rank >= 0 && a->rank <= 4 && a->type != BF_NONE);
        if (a->type != b->type || a->elements != b->elements) continue;
        bf_output_difference d;
        bf_output_compare(a, b, i % 3, &d);
        uint64_t sum = d.classes + d.payload + d.sign;
        for (int n = 0; n < BF_ULP_BINS; n++) sum += d.bin[n];
        must(sum == d.different && d.beyond <= d.different && d.different <= d.elements && (d.first < 0) == !d.beyond);
    }
    bf_archive_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int i = 0; i < 2 && size; i++) {
        FILE *f = fmemopen((void *)(uintptr_t)data, size, "r");
        must(f != NULL);
        if (i) check_outputs(f);
        else check_timings(f);
        fclose(f);
    }
    return 0;
}
