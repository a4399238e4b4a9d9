/* rows.c: rows of known weights in every type, for the probes of sums. A block format holds integer * 2^e, one scale for all. */
#include <math.h>
#include <string.h>

#include "numerics.h"

/* Of the blocks: d as bits of an fp16, the scale of all sub-blocks, MXFP4's exponent. */
static const struct {
    unsigned d;
    int scale, exponent;
} forms[] = {
    [BF_ROW_ONES] = {0x3c00, 1, 0},
    [BF_ROW_ROUNDED] = {0x3c00, 1, 0},
    [BF_ROW_LARGE] = {0x7800, 32, 20}, /* 2^15 * 32 */
    [BF_ROW_TINY] = {1, 1, -24},
    [BF_ROW_RAMP] = {0x3c00, 1, 0},
};

/* Of period 13: halves of a byte, sub-blocks and blocks all differ. MXFP4 has no 5, nor 7 to 15. */
static int ramp(bf_dtype type, int64_t i) {
    static const int fp4[] = {0, 1, 2, 3, 4, 6};
    int v = (int)(i * 7 % 13);
    return type == BF_MXFP4 ? fp4[v % 6] : v;
}
static int integer_of(bf_dtype type, bf_row_kind kind, int64_t i) {
    return kind == BF_ROW_RAMP ? ramp(type, i) : kind == BF_ROW_ROUNDED ? 3 : 1;
}
static int blocked(bf_dtype type) { return type == BF_Q4_K || type == BF_Q6_K || type == BF_Q8_0 || type == BF_MXFP4; }

double bf_row_weight(bf_dtype type, bf_row_kind kind, int64_t i) {
    if (blocked(type)) return ldexp(integer_of(type, kind, i), forms[kind].exponent);
    return kind == BF_ROW_ROUNDED ? 1 + 0x1p-7 : kind == BF_ROW_LARGE ? 0x1p20 : kind == BF_ROW_TINY ? 0x1p-40 : integer_of(type, kind, i);
}

static void put16(unsigned char *b, unsigned d) { b[0] = (unsigned char)d, b[1] = (unsigned char)(d >> 8); }

/* d * scale * nibble, minima zero. */
static void q4_k(unsigned char *b, bf_row_kind kind, int64_t first) {
    int scale = forms[kind].scale;
    put16(b, forms[kind].d);
    for (int j = 0; j < 4; j++) {
        b[4 + j] = (unsigned char)(scale | (scale >> 4) << 6); /* low six bits: 0..3; the top two: of 4..7 */
        b[12 + j] = (unsigned char)(scale & 15);
    }
    for (int i = 0; i < 256; i++)
        b[16 + i / 64 * 32 + i % 32] |= (unsigned char)(integer_of(BF_Q4_K, kind, first + i) << (i % 64 / 32 * 4));
}

/* q6_k.h: 16 scales of one byte behind the quants, which are 32 too large. */
static void q6_k(unsigned char *b, bf_row_kind kind, int64_t first) {
    memset(b + 192, forms[kind].scale, 16);
    put16(b + 208, forms[kind].d);
    for (int i = 0; i < 256; i++) {
        int q = integer_of(BF_Q6_K, kind, first + i) + 32, h = i / 128, t = i / 32 % 4, l = i % 32;
        b[64 * h + 32 * (t & 1) + l] |= (unsigned char)((q & 15) << (t < 2 ? 0 : 4));
        b[128 + 32 * h + l] |= (unsigned char)(q >> 4 << 2 * t);
    }
}

static void q8_0(unsigned char *b, bf_row_kind kind, int64_t first) {
    put16(b, forms[kind].d);
    for (int i = 0; i < 32; i++) b[2 + i] = (unsigned char)(integer_of(BF_Q8_0, kind, first + i) * forms[kind].scale);
}

static void mxfp4(unsigned char *b, bf_row_kind kind, int64_t first) {
    static const unsigned char code[] = {0, 2, 4, 5, 6, 0, 7}; /* of 0, 1, 2, 3, 4, 6 */
    b[0] = (unsigned char)(127 + forms[kind].exponent);
    for (int i = 0; i < 32; i++) b[1 + i % 16] |= (unsigned char)(code[integer_of(BF_MXFP4, kind, first + i)] << i / 16 * 4);
}

void bf_row_fill(bf_tensor *w, bf_row_kind kind) {
    memset(w->data, 0, w->bytes);
    if (!blocked(w->type)) {
        for (int64_t i = 0; i < (int64_t)(w->bytes / bf_dtype_bytes(w->type, 1)); i++) bf_stand_put(w, i, bf_row_weight(w->type, kind, i));
        return;
    }
    int64_t weights = w->type == BF_Q4_K || w->type == BF_Q6_K ? 256 : 32;
    uint64_t bytes = bf_dtype_bytes(w->type, weights);
    void (*one)(unsigned char *, bf_row_kind, int64_t) = w->type == BF_Q4_K ? q4_k : w->type == BF_Q6_K ? q6_k : w->type == BF_Q8_0 ? q8_0 : mxfp4;
    for (uint64_t b = 0; b < w->bytes / bytes; b++) one((unsigned char *)w->data + b * bytes, kind, (int64_t)b * weights);
}
