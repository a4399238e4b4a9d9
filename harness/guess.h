/* guess.h: what somebody may have meant by a name that is unknown. */
#ifndef BF_GUESS_H
#define BF_GUESS_H

#include <stddef.h>

typedef struct bf_guess { /* the names that would have been right, and the nearest of them */
    const char *wanted;
    char nearest[64];
    int some, best, length;
    char list[512];
} bf_guess;

/* One right name after another; then "did you mean k?" where one is near, else "known: a, b, ...". Returns text. */
void bf_guess_add(bf_guess *, const char *name);
const char *bf_guess_text(const bf_guess *, char *text, size_t room);
/* All names of a directory that end in `ending`, without it, sorted. */
void bf_guess_directory(bf_guess *, const char *directory, const char *ending);

#endif
