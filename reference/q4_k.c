/* q4_k.c: see q4_k.h. */
#include "q4_k.h"

#include <math.h>

#include "number.h"

/* `count` bits of the byte string, from bit `at` (bit 8*j is the lowest of byte j). */
static int field(const unsigned char *bytes, int at, int count) {
    int v = 0;
    for (int i = count - 1; i >= 0; i--) v = 2 * v + (bytes[(at + i) / 8] >> (at + i) % 8) % 2;
    return v;
}

void bf_ref_q4_k_decode(const unsigned char block[144], bf_ref_q4_k *b) {
    b->d = bf_ref_decode(BF_F16, (uint32_t)(block[0] + 256 * block[1]));
    b->dmin = bf_ref_decode(BF_F16, (uint32_t)(block[2] + 256 * block[3]));
    b->finite = isfinite(b->d) && isfinite(b->dmin);
    const unsigned char *s = block + 4, *q = block + 16;
    for (int j = 0; j < 4; j++) {
        b->scale[j] = field(s, 8 * j, 6);
        b->min[j] = field(s, 8 * (j + 4), 6);
        b->scale[j + 4] = field(s, 8 * (j + 8), 4) + 16 * field(s, 8 * j + 6, 2);
        b->min[j + 4] = field(s, 8 * (j + 8) + 4, 4) + 16 * field(s, 8 * (j + 4) + 6, 2);
    }
    for (int pair = 0; pair < 4; pair++) /* 32 bytes hold sub-blocks 2*pair (low nibbles) and 2*pair+1 (high) */
        for (int l = 0; l < 32; l++) {
            b->q[64 * pair + l] = q[32 * pair + l] % 16;
            b->q[64 * pair + 32 + l] = q[32 * pair + l] / 16;
        }
}

int bf_ref_q4_k_row(const unsigned char *row, int64_t k, double *w, double *magnitude) {
    int finite = 1;
    for (int64_t at = 0; at < k; at += BF_REF_Q4_K_WEIGHTS) {
        bf_ref_q4_k b;
        bf_ref_q4_k_decode(row + at / BF_REF_Q4_K_WEIGHTS * BF_REF_Q4_K_BYTES, &b);
        finite &= b.finite;
        for (int s = 0; s < 8; s++) {
            double scale = b.d * b.scale[s], min = b.dmin * b.min[s];
            for (int i = 32 * s; i < 32 * s + 32; i++) {
                w[at + i] = scale * b.q[i] - min;
                if (magnitude) magnitude[at + i] = fabs(scale * b.q[i]) + fabs(min);
            }
        }
    }
    return finite;
}
