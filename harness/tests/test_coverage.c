/* test_coverage.c: what the quick tier leaves out. Of every kernel of every target and every combination of its op's types, taken
 * from the registry: if the kernel would accept the combination at the sizes of any quick case, some quick case must bring it. */
#include <criterion/criterion.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../select.h"

enum { MOST_COMBINATIONS = 4096, ACCEPTED = 1, COVERED = 2 };

static int type_fields(const bf_op *op, const bf_field *out[BF_MAX_TENSORS]) {
    int count = 0;
    for (const bf_field *f = op->fields; f->key; f++)
        if (f->kind == BF_FIELD_TYPE) out[count++] = f;
    return count;
}

/* Writes combination `index` into type[]; 0 behind the last. */
static int combination(const bf_field *const *field, int count, int index, bf_dtype *type) {
    for (int i = 0; i < count; i++) {
        int choices = __builtin_popcount(field[i]->types), pick = index % choices;
        uint32_t left = field[i]->types;
        while (pick--) left &= left - 1;
        type[field[i]->slot] = (bf_dtype)__builtin_ctz(left);
        index /= choices;
    }
    return index == 0;
}

static int is_own(const bf_field *const *field, int count, const bf_dtype *type, const bf_problem *own) {
    for (int i = 0; i < count; i++)
        if (type[field[i]->slot] != own->type[field[i]->slot]) return 0;
    return 1;
}

static void describe(const bf_field *const *field, int count, int index, char *text, size_t room) {
    bf_dtype type[BF_MAX_TENSORS];
    size_t n = 0;
    combination(field, count, index, type);
    for (int i = 0; i < count; i++) n += (size_t)snprintf(text + n, room - n, " %s=%s", field[i]->key, bf_dtype_name(type[field[i]->slot]));
}

/* Marks what the kernels make of one case under every combination. */
static void mark(const bf_case *c, unsigned char (*seen)[MOST_COMBINATIONS]) {
    const bf_field *field[BF_MAX_TENSORS];
    bf_tensor t[BF_MAX_TENSORS];
    bf_error err;
    int count = type_fields(c->op, field);
    bf_problem p = c->problem;
    for (int i = 0; combination(field, count, i, p.type); i++) {
        int own = is_own(field, count, p.type, &c->problem);
        cr_assert_lt(i, MOST_COMBINATIONS);
        if (c->op->tensors(&p, NULL, t, &err)) continue;
        for (size_t k = 0; k < bf_kernel_count(); k++) {
            const bf_kernel *kernel = bf_kernel_at(k);
            if (kernel->role == BF_TWIN || strcmp(kernel->op, c->op->name)) continue;
            if ((seen[k][i] & (own ? COVERED : ACCEPTED)) || (c->kernel && fnmatch(c->kernel, kernel->name, 0))) continue;
            if (kernel->accepts(&p)) seen[k][i] |= own ? ACCEPTED | COVERED : ACCEPTED;
        }
    }
}

/* Prints and counts the holes of a list of cases; op NULL: of all ops. */
static int holes(const bf_case_list *cases, const char *op, int *combinations) {
    static const char *const targets[] = {"cpu", "cuda", "hip"};
    unsigned char(*seen)[MOST_COMBINATIONS] = calloc(bf_kernel_count(), sizeof *seen);
    int found = 0;
    cr_assert(seen);
    *combinations = 0;
    for (size_t i = 0; i < cases->count; i++) mark(&cases->item[i], seen);
    for (size_t k = 0; k < bf_kernel_count(); k++) {
        const bf_kernel *kernel = bf_kernel_at(k);
        const bf_op *of = bf_op_find(kernel->op); /* none: the proof of a device */
        const bf_field *field[BF_MAX_TENSORS];
        if (!of || kernel->role == BF_TWIN || (op && strcmp(op, kernel->op))) continue;
        int count = type_fields(of, field), any = 0;
        for (int i = 0; i < MOST_COMBINATIONS; i++) {
            char text[256] = "";
            any |= seen[k][i], *combinations += seen[k][i] != 0;
            if (seen[k][i] != ACCEPTED) continue;
            describe(field, count, i, text, sizeof text);
            if (found++ < 40) fprintf(stderr, "%s %s: no quick case has%s\n", targets[kernel->target], kernel->name, text);
        }
        if (!any) fprintf(stderr, "%s %s: no quick case at all\n", targets[kernel->target], kernel->name), found++;
    }
    free(seen);
    return found;
}

Test(coverage, quick_tier_has_every_kernel_and_combination_of_types) {
    bf_selection quick = {.tier = "quick", .cases = "cases"};
    bf_case_list cases = {0};
    bf_error err;
    int combinations, missing;
    cr_assert_eq(bf_select_cases(&quick, &cases, &err), 0, "%s", err.text);
    missing = holes(&cases, NULL, &combinations);
    cr_assert_eq(missing, 0, "%d of %d combinations of kernel and types are in no quick case", missing, combinations);
    cr_assert_gt(combinations, 1000);
    printf("%d combinations of kernel and types\n", combinations);
    bf_case_list_free(&cases);
}

/* All types of convert but one pair: one hole in each of its kernels that takes the pair. */
Test(coverage, a_hole_is_found) {
    static const char *const lines[] = {"convert n=100 from=f32,bf16 to=f32,f16,bf16", "convert n=100 from=f16 to=f32,f16",
                                        "convert n=100 from=f16 to=bf16"};
    bf_case_list cases = {0};
    bf_error err;
    int combinations, before = 0, kernels = 0;
    for (size_t k = 0; k < bf_kernel_count(); k++) kernels += !strcmp(bf_kernel_at(k)->op, "convert") && bf_kernel_at(k)->role != BF_TWIN;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cr_assert_eq(bf_case_parse_line(lines[i], strlen(lines[i]), NULL, 0, &cases, &err), 0, "%s", err.text);
        if (i == 1) before = holes(&cases, "convert", &combinations);
    }
    cr_assert(before > 0 && before <= kernels, "%d", before);
    cr_assert_eq(holes(&cases, "convert", &combinations), 0);
    bf_case_list_free(&cases);
}

/* A kernel that came to refuse cases would have fewer rows and no failing one. So every case must suit some tuned kernel on every
 * target, and every naive kernel of its op; but stream_naive has nothing but plain loads and stores. */
Test(coverage, no_case_is_refused) {
    bf_selection quick = {.tier = "quick", .cases = "cases"};
    bf_case_list cases = {0};
    bf_error err;
    int refused = 0;
    cr_assert_eq(bf_select_cases(&quick, &cases, &err), 0, "%s", err.text);
    for (size_t i = 0; i < cases.count; i++) {
        const bf_case *c = &cases.item[i];
        int tuned[3] = {0}, naive = 0;
        for (size_t k = 0; k < bf_kernel_count(); k++) {
            const bf_kernel *kernel = bf_kernel_at(k);
            if (kernel->role == BF_TWIN || strcmp(kernel->op, c->op->name)) continue;
            int yes = kernel->accepts(&c->problem);
            if (kernel->role == BF_TUNED) tuned[kernel->target] |= yes;
            if (kernel->role != BF_NAIVE || !strcmp(kernel->op, "stream")) continue;
            naive++;
            if (!yes && refused++ < 20) fprintf(stderr, "%s refuses %s\n", kernel->name, c->line);
        }
        if ((!tuned[BF_CPU] || !tuned[BF_CUDA] || !tuned[BF_HIP]) && refused++ < 20) fprintf(stderr, "no tuned kernel: %s\n", c->line);
        cr_assert(naive >= 3 || !strcmp(c->op->name, "stream"));
    }
    cr_assert_eq(refused, 0);
    bf_case_list_free(&cases);
}

/* Length of a kernel's name without the instruction set in it. */
static size_t stem(const char *name) {
    const char *isa = strstr(name, "_avx");
    return isa ? (size_t)(isa - name) : strlen(name);
}

/* Brothers, kernels of one name on cuda and hip, or of one name but for the instruction set on the CPU, accept the same cases. Not
 * stream: stores past the caches are an instruction that plain C does not have. */
Test(coverage, brothers_accept_the_same) {
    bf_selection quick = {.tier = "quick", .cases = "cases"};
    bf_case_list cases = {0};
    bf_error err;
    int apart = 0, pairs = 0;
    cr_assert_eq(bf_select_cases(&quick, &cases, &err), 0, "%s", err.text);
    for (size_t a = 0; a < bf_kernel_count(); a++)
        for (size_t b = 0; b < a; b++) {
            const bf_kernel *one = bf_kernel_at(a), *two = bf_kernel_at(b);
            size_t n = stem(one->name);
            if (one->role == BF_TWIN || !strcmp(one->op, "stream") || one->role != two->role || strcmp(one->op, two->op) || n != stem(two->name) ||
                strncmp(one->name, two->name, n) || (one->target == BF_CPU) != (two->target == BF_CPU)) continue;
            pairs++;
            for (size_t i = 0; i < cases.count; i++) {
                const bf_case *c = &cases.item[i];
                if (strcmp(c->op->name, one->op) || !one->accepts(&c->problem) == !two->accepts(&c->problem)) continue;
                if (apart++ < 20) fprintf(stderr, "%s and %s differ about %s\n", one->name, two->name, c->line);
            }
        }
    cr_assert_gt(pairs, 20);
    cr_assert_eq(apart, 0);
    bf_case_list_free(&cases);
}
