/* error.c: one line of text for a person, safe for a terminal and for JSON whatever bytes a hostile file put in. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

/* Control characters (C0, DEL and C1, which terminals obey too) and what is not UTF-8 become '?'. */
static void make_harmless(char *text) {
    unsigned char *p = (unsigned char *)text;
    size_t left = strlen(text);
    while (left) {
        size_t n = bf_utf8_length(p, left);
        int control = n == 1 ? p[0] < 0x20 || p[0] == 0x7f : n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
        size_t step = n ? n : 1;
        if (!n || control) memset(p, '?', step);
        p += step;
        left -= step;
    }
}

/* A text too long for the room loses its middle: the head says where, the tail says what and the mend. */
static void fit(char *out, size_t room, const char *text) {
    size_t n = strlen(text), head = room / 3;
    if (n < room) {
        memcpy(out, text, n + 1);
        return;
    }
    size_t tail = room - 1 - head - 3;
    memcpy(out, text, head);
    memcpy(out + head, "...", 3);
    memcpy(out + head + 3, text + n - tail, tail + 1);
}

char *bf_printable(const char *text, char *out, size_t room) {
    fit(out, room, text);
    make_harmless(out);
    return out;
}

int bf_fail(bf_error *err, const char *format, ...) {
    char text[8192]; /* apart from err->text: the arguments may be an earlier error's text */
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!err) return -1;
    if (n < 0) strcpy(text, "an error whose text could not be formatted");
    fit(err->text, sizeof err->text, text);
    make_harmless(err->text);
    return -1;
}
