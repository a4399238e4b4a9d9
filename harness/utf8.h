/* utf8.h: the length of one well-formed UTF-8 sequence (Unicode 15, table 3-7). */
#ifndef BF_UTF8_H
#define BF_UTF8_H

#include <stddef.h>

/* Bytes (1..4) of the sequence at p with `left` bytes to the end, 0 when it is not well formed: overlong forms, surrogates
 * and what lies beyond U+10FFFF are refused. */
static inline size_t bf_utf8_length(const unsigned char *p, size_t left) {
    if (!left) return 0;
    unsigned char c = p[0], low = 0x80, high = 0xbf;
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n <= 1) return n;
    if (n > left) return 0;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f;
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}

#endif
