/* list.c: `blackframe list`: ops with their fields, kernels of each target, and with -v the cases that match. */
#include <stdio.h>
#include <string.h>

#include "options.h"

static const char *const target_name[] = {"cpu", "cuda", "hip"};
static const char *const role_name[] = {"tuned", "naive", "twin"};

static void list_ops(void) {
    puts("Ops");
    for (int i = 0; bf_ops[i]; i++) {
        printf("  %-14s %s\n", bf_ops[i]->name, bf_ops[i]->summary);
        for (const bf_field *f = bf_ops[i]->fields; f->key; f++)
            printf("      %-10s %s%s%s%s\n", f->key, f->help, f->fallback ? " (default " : " (required)",
                   f->fallback ? f->fallback : "", f->fallback ? ")" : "");
    }
}

static void list_kernels(const bf_selection *s) {
    puts("\nKernels");
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if ((k->role == BF_TWIN) != (s->twins != 0)) continue;
        printf("  %-5s %-34s %-6s %s%s\n", target_name[k->target], k->name, role_name[k->role], k->summary,
               k->available && !k->available() ? "  [not on this processor]" : "");
    }
}

int bf_command_list(bf_options *o) {
    bf_case_list cases = {0};
    bf_error err = {{0}};
    list_ops();
    list_kernels(&o->select);
    fflush(stdout);
    if (bf_select_cases(&o->select, &cases, &err)) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        return BF_EXIT_USAGE;
    }
    printf("\nCases: %zu match%s\n", cases.count, o->verbose ? "" : " (-v prints them)");
    for (size_t i = 0; o->verbose && i < cases.count; i++) printf("  %s\n", cases.item[i].line);
    bf_case_list_free(&cases);
    return BF_EXIT_OK;
}
