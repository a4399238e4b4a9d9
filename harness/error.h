/* error.h: how library code says what went wrong. It never prints and never exits; only main does. */
#ifndef BF_ERROR_H
#define BF_ERROR_H

#include <stddef.h>

/* Exit statuses of the command. */
enum { BF_EXIT_OK = 0, BF_EXIT_FAILED = 1, BF_EXIT_USAGE = 2, BF_EXIT_NO_DEVICE = 3 };

typedef struct bf_error {
    char text[512]; /* one line: file or device, field, what is wrong, the mend; no newline */
} bf_error;

/* text for a terminal: control characters and what is not UTF-8 become '?', a long one loses its middle. Returns out. */
char *bf_printable(const char *text, char *out, size_t room);

/* Formats into err->text (control characters in it are replaced by '?') and returns -1; err may be NULL. */
int bf_fail(bf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
