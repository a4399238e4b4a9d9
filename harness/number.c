/* number.c: see number.h. */
#include "number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int digits(const char *s, uint64_t *out) {
    uint64_t v = 0;
    int over = 0;
    if (!*s) return BF_NUMBER_BAD;
    for (; *s; s++) {
        if (*s < '0' || *s > '9') return BF_NUMBER_BAD;
        if (__builtin_mul_overflow(v, 10u, &v)) over = 1;
        if (__builtin_add_overflow(v, (unsigned)(*s - '0'), &v)) over = 1;
    }
    if (over) return BF_NUMBER_RANGE;
    *out = v;
    return BF_NUMBER_OK;
}

int bf_number_u64(const char *text, uint64_t *out) {
    uint64_t k;
    if (strncmp(text, "2^", 2)) return digits(text, out);
    int rc = digits(text + 2, &k);
    if (rc) return rc;
    if (k > 63) return BF_NUMBER_RANGE;
    *out = UINT64_C(1) << k;
    return BF_NUMBER_OK;
}

int bf_number_i64(const char *text, int64_t *out) {
    uint64_t v;
    int minus = *text == '-';
    int rc = bf_number_u64(text + minus, &v);
    if (rc) return rc;
    if (v > (uint64_t)INT64_MAX) return BF_NUMBER_RANGE;
    *out = minus ? -(int64_t)v : (int64_t)v;
    return BF_NUMBER_OK;
}

int bf_number_f64(const char *text, double *out) {
    const char *s = text + (*text == '-' || *text == '+');
    if (!strncmp(s, "2^", 2)) {
        uint64_t k;
        int down = s[2] == '-', rc = digits(s + 2 + down, &k);
        if (rc) return rc;
        if (k > (down ? 1074 : 1023)) return BF_NUMBER_RANGE;
        *out = ldexp(*text == '-' ? -1 : 1, down ? -(int)k : (int)k);
        return BF_NUMBER_OK;
    }
    if (!((*s >= '0' && *s <= '9') || *s == '.')) return BF_NUMBER_BAD; /* no inf, nan or blanks */
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (*end) return BF_NUMBER_BAD;
    /* A subnormal too sets ERANGE; it is wanted. A number that becomes zero is not what was written. */
    if (errno == ERANGE && (v == 0 || isinf(v))) return BF_NUMBER_RANGE;
    *out = v;
    return BF_NUMBER_OK;
}

const char *bf_number_text(double value, char text[BF_NUMBER_TEXT]) {
    int k;
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, BF_NUMBER_TEXT, "%.*g", precision, value);
        if (strtod(text, NULL) == value) break;
    }
    if (fabs(frexp(value, &k)) == 0.5) { /* a power of two reads better as one where that is shorter */
        char power[BF_NUMBER_TEXT];
        snprintf(power, sizeof power, "%s2^%d", value < 0 ? "-" : "", k - 1);
        if (strlen(power) < strlen(text)) strcpy(text, power);
    }
    return text;
}
