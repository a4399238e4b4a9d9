/* number.h: numbers as cases write them: 4096, 2^12, -0.5, 1e-3, 2^-24; and back into the shortest text that reads the same. */
#ifndef BF_NUMBER_H
#define BF_NUMBER_H

#include <stdint.h>

enum { BF_NUMBER_OK, BF_NUMBER_BAD, BF_NUMBER_RANGE };
enum { BF_NUMBER_TEXT = 32 };

/* The whole text must be the number: decimal digits with an optional sign, or a power of two, 2^k. BF_NUMBER_OK, _BAD when it is
 * not one, _RANGE when it does not fit; *out is written only when OK. */
int bf_number_u64(const char *text, uint64_t *out);
int bf_number_i64(const char *text, int64_t *out);
/* C's syntax too (1e-3, 0x1p-24); infinity and NaN are BAD; what overflows or vanishes is RANGE. */
int bf_number_f64(const char *text, double *out);

/* Finite value to text; bf_number_f64 of it gives the same bits. Returns text. */
const char *bf_number_text(double value, char text[BF_NUMBER_TEXT]);

#endif
