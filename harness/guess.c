/* guess.c: see guess.h. */
#define _GNU_SOURCE
#include "guess.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Edits (insert, delete, replace, swap neighbours) from a to b; names longer than the table count as far. */
static int distance(const char *a, const char *b) {
    enum { LONGEST = 32 };
    int d[LONGEST + 1][LONGEST + 1];
    int n = (int)strnlen(a, LONGEST + 1), m = (int)strnlen(b, LONGEST + 1);
    if (n > LONGEST || m > LONGEST) return LONGEST;
    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= m; j++) {
            int best = i && j ? d[i - 1][j - 1] + (a[i - 1] != b[j - 1]) : i + j;
            if (i && d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (j && d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

void bf_guess_add(bf_guess *g, const char *name) {
    int d = distance(g->wanted, name);
    size_t n = strlen(g->wanted);
    if (n >= 3 && !strncmp(g->wanted, name, n) && d > 1) d = 1; /* a beginning */
    if (!g->some++ || d < g->best) snprintf(g->nearest, sizeof g->nearest, "%s", name), g->best = d;
    int room = (int)sizeof g->list - g->length;
    int w = snprintf(g->list + g->length, (size_t)room, "%s%s", g->length ? ", " : "", name);
    g->length += w < room ? w : room - 1;
}

const char *bf_guess_text(const bf_guess *g, char *text, size_t room) {
    int near = g->some && g->best <= ((int)strlen(g->nearest) + 2) / 3;
    snprintf(text, room, near ? "did you mean %s?" : "known: %s", near ? g->nearest : g->list);
    return text;
}

void bf_guess_directory(bf_guess *g, const char *directory, const char *ending) {
    struct dirent **entry;
    int n = scandir(directory, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        size_t length = strlen(entry[i]->d_name), end = strlen(ending);
        if (length > end && !strcmp(entry[i]->d_name + length - end, ending)) {
            entry[i]->d_name[length - end] = 0;
            bf_guess_add(g, entry[i]->d_name);
        }
        free(entry[i]);
    }
    if (n >= 0) free(entry);
}
