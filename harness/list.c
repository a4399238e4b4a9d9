/* list.c: `blackframe list`: ops with their fields, kernels of each target, and with -v the cases that match. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static const char *const target_name[] = {"cpu", "cuda", "hip"};
static const char *const role_name[] = {"tuned", "naive", "twin"};

/* Whether the words, op names or one case line, ask for this op. */
static int wanted(const bf_selection *s, const char *op) {
    int is = !s->word_count;
    for (int i = 0; i < s->word_count; i++) is |= !strcmp(s->words[i], op);
    return is;
}

static void list_ops(const bf_selection *s) {
    puts("Ops");
    for (int i = 0; bf_ops[i]; i++) {
        if (!wanted(s, bf_ops[i]->name)) continue;
        printf("  %-14s %s\n", bf_ops[i]->name, bf_ops[i]->summary);
        for (const bf_field *f = bf_ops[i]->fields; f->key; f++)
            printf("      %-10s %s%s%s%s\n", f->key, f->help, f->fallback ? " (default " : " (required)",
                   f->fallback ? f->fallback : "", f->fallback ? ")" : "");
    }
}

static int listed(const bf_selection *s, const bf_kernel *k) {
    return (k->role == BF_TWIN) == (s->twins != 0) && wanted(s, k->op) && !(s->kernel && fnmatch(s->kernel, k->name, 0));
}
static int any_kernel(const bf_selection *s) {
    for (size_t i = 0; i < bf_kernel_count(); i++)
        if (listed(s, bf_kernel_at(i))) return 1;
    return 0;
}

static void list_kernels(const bf_selection *s) {
    puts("\nKernels");
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (!listed(s, k)) continue;
        printf("  %-5s %-34s %-6s %s%s\n", target_name[k->target], k->name, role_name[k->role], k->summary,
               k->available && !k->available() ? "  [not on this processor]" : "");
    }
}

/* ---- the README's table: what exists for each target ---- */

/* Kernels of one op, path and target, the preferred first; the naive one is last by its rank. */
static void cell(const char *op, const char *path, bf_target target) {
    const bf_kernel *found[64];
    int n = 0;
    for (size_t i = 0; i < bf_kernel_count() && n < 64; i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->role == BF_TWIN || k->target != target || strcmp(k->op, op) || strcmp(k->path ? k->path : "", path)) continue;
        int at = n++;
        for (; at > 0 && (found[at - 1]->rank < k->rank ||
                          (found[at - 1]->rank == k->rank && strcmp(found[at - 1]->name, k->name) > 0));
             at--)
            found[at] = found[at - 1];
        found[at] = k;
    }
    for (int i = 0; i < n; i++) printf("%s`%s`", i ? ", " : "", found[i]->name);
    fputs(n ? " | " : "- | ", stdout);
}

static void markdown(void) {
    puts("| op | path | cpu | cuda (sm_61) | hip (gfx1151) |\n|---|---|---|---|---|");
    for (int i = 0; bf_ops[i]; i++) {
        static const char *const single[] = {"", NULL};
        for (const char *const *path = bf_ops[i]->paths ? bf_ops[i]->paths : single; *path; path++) {
            printf("| `%s` | %s | ", bf_ops[i]->name, **path ? *path : "-");
            for (int t = BF_CPU; t <= BF_HIP; t++) cell(bf_ops[i]->name, *path, (bf_target)t);
            puts("");
        }
    }
}

int bf_command_list(bf_options *o) {
    bf_case_list cases = {0};
    bf_error err = {{0}};
    if (o->markdown) {
        markdown();
        return BF_EXIT_OK;
    }
    bf_discovery *found = o->select.require || o->select.backends ? calloc(1, sizeof *found) : NULL;
    int status = found ? bf_select_devices(&o->select, found, &err) : BF_EXIT_OK;
    free(found);
    if (!status && bf_select_cases(&o->select, &cases, &err)) status = BF_EXIT_USAGE;
    if (!status && !any_kernel(&o->select)) {
        bf_fail(&err, "no kernel matches%s%s", o->select.kernel ? " --kernel " : "", o->select.kernel ? o->select.kernel : "");
        bf_case_list_free(&cases);
        status = BF_EXIT_USAGE;
    }
    if (status) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        return status;
    }
    list_ops(&o->select);
    list_kernels(&o->select);
    printf("\nCases: %zu match%s\n", cases.count, o->verbose ? "" : " (-v prints them)");
    for (size_t i = 0; o->verbose && i < cases.count; i++) printf("  %s\n", cases.item[i].line);
    bf_case_list_free(&cases);
    return BF_EXIT_OK;
}
