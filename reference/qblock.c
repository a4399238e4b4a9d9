/* qblock.c: see qblock.h. */
#include "qblock.h"

#include <math.h>
#include <stdlib.h>

#include "number.h"

bf_ref_qblock bf_ref_qblock_of(bf_dtype type) {
    if (type == BF_Q6_K) return (bf_ref_qblock){.bytes = 210, .weights = 256, .sub = 16};
    return (bf_ref_qblock){.bytes = type == BF_MXFP4 ? 17 : 34, .weights = 32, .sub = 32};
}

static int two_complement(int byte) { return byte < 128 ? byte : byte - 256; }

/* 128 bytes of low four bits, 64 of upper two, 16 scales, d. Each half of 128 weights has 64 of the first (weights 0..63 in the low
 * nibbles, 64..127 in the high ones) and 32 of the second (weight i in byte i mod 32, pair of bits i div 32). */
static void q6_k(const unsigned char *p, bf_ref_qblock *b) {
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 128; i++) {
            int low = p[64 * half + i % 64], high = p[128 + 32 * half + i % 32];
            for (int j = 0; j < i / 64; j++) low /= 16;
            for (int j = 0; j < i / 32; j++) high /= 4;
            b->q[128 * half + i] = low % 16 + 16 * (high % 4) - 32;
        }
    for (int s = 0; s < 16; s++) b->scale[s] = two_complement(p[192 + s]);
    b->d = bf_ref_decode(BF_F16, (uint32_t)(p[208] + 256 * p[209]));
}

static void q8_0(const unsigned char *p, bf_ref_qblock *b) {
    b->d = bf_ref_decode(BF_F16, (uint32_t)(p[0] + 256 * p[1]));
    b->scale[0] = 1;
    for (int i = 0; i < 32; i++) b->q[i] = two_complement(p[2 + i]);
}

/* E2M1, OCP Microscaling Formats 1.0, 5.3.3: bias 1, exponent 0 is subnormal, no infinities or NaN. Twice the value. */
static int e2m1_twice(int code) {
    int sign = code / 8, exponent = code / 2 % 4, fraction = code % 2;
    double v = exponent ? ldexp(1 + fraction / 2.0, exponent - 1) : fraction / 2.0;
    return (int)(sign ? -2 * v : 2 * v);
}

/* E8M0 (5.4.1: bias 127, 255 is NaN), then sixteen bytes: the first half of the elements in the low nibbles. */
static void mxfp4(const unsigned char *p, bf_ref_qblock *b) {
    b->d = p[0] == 255 ? NAN : ldexp(1, p[0] - 127 - 1);
    b->scale[0] = 1;
    for (int i = 0; i < 16; i++) b->q[i] = e2m1_twice(p[1 + i] % 16), b->q[16 + i] = e2m1_twice(p[1 + i] / 16);
}

bf_ref_qblock bf_ref_qblock_decode(bf_dtype type, const unsigned char *block) {
    bf_ref_qblock b = bf_ref_qblock_of(type);
    if (type == BF_Q6_K)
        q6_k(block, &b);
    else if (type == BF_MXFP4)
        mxfp4(block, &b);
    else
        q8_0(block, &b);
    b.finite = isfinite(b.d) != 0;
    return b;
}

int bf_ref_qblock_row(bf_dtype type, const unsigned char *row, int64_t k, double *w, double *magnitude) {
    bf_ref_qblock size = bf_ref_qblock_of(type);
    int finite = 1;
    for (int64_t at = 0; at < k; at += size.weights) {
        bf_ref_qblock b = bf_ref_qblock_decode(type, row + at / size.weights * size.bytes);
        finite &= b.finite;
        for (int i = 0; i < size.weights; i++) {
            w[at + i] = b.d * b.scale[i / size.sub] * b.q[i];
            if (magnitude) magnitude[at + i] = fabs(w[at + i]);
        }
    }
    return finite;
}

void bf_ref_qblock_int8(bf_dtype type, const unsigned char *w, int64_t m, int64_t k, const int8_t *q, const float *d, int64_t n,
                        const unsigned char *skip, double *y, double *magnitude) {
    bf_ref_qblock size = bf_ref_qblock_of(type);
    for (int64_t i = 0; i < n * m; i++) y[i] = magnitude[i] = 0;
    for (int64_t r = 0; r < m; r++)
        for (int64_t at = 0; at < k; at += size.weights) {
            bf_ref_qblock b = bf_ref_qblock_decode(type, w + (r * k + at) / size.weights * size.bytes);
            if (!b.finite) continue; /* judged by class */
            for (int64_t c = 0; c < n; c++) {
                if (skip[c]) continue;
                for (int first = 0; first < size.weights; first += 32) {
                    const int8_t *x = q + c * k + at + first;
                    int sum = 0, size_of_it = 0;
                    for (int i = 0; i < 32; i++) {
                        int term = b.scale[(first + i) / size.sub] * b.q[first + i] * x[i];
                        sum += term, size_of_it += abs(term);
                    }
                    double dx = d[(c * k + at + first) / 32];
                    y[c * m + r] += dx * (b.d * sum);
                    magnitude[c * m + r] += fabs(dx) * fabs(b.d) * size_of_it;
                }
            }
        }
}
