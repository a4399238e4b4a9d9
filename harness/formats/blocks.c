/* blocks.c: see blocks.h. */
#include "blocks.h"

#include <math.h>
#include <string.h>

#include "../../kernels/common/q4_k.h"
#include "../../kernels/cpu/fp16.h"

static float half_at(const uint8_t *p) { return bf_f16_value((uint32_t)p[0] | (uint32_t)p[1] << 8); }

/* fp16 d, 16 bytes: element i is the low nibble of byte i, element i + 16 the high one; d * (q - 8). */
static int q4_0(const uint8_t *b, float *y) {
    float d = half_at(b);
    for (int i = 0; i < 32; i++) y[i] = (float)((b[2 + i % 16] >> 4 * (i / 16) & 15) - 8) * d;
    return isfinite(d);
}

/* fp16 d, 32 signed bytes. */
static int q8_0(const uint8_t *b, float *y) {
    float d = half_at(b);
    for (int i = 0; i < 32; i++) y[i] = (float)(int8_t)b[2 + i] * d;
    return isfinite(d);
}

/* q4_k.h. */
static int q4_k(const uint8_t *b, float *y) {
    float d = half_at(b), dmin = half_at(b + 2);
    const uint8_t *scales = b + 4, *q = b + 16;
    for (int s = 0; s < 8; s++) {
        float scale = d * (float)bf_q4_k_scale(scales, s), minimum = dmin * (float)bf_q4_k_min(scales, s);
        for (int l = 0; l < 32; l++) y[32 * s + l] = scale * (float)(q[32 * (s / 2) + l] >> 4 * (s & 1) & 15) - minimum;
    }
    return isfinite(d) && isfinite(dmin);
}

/* As Q4_K, and 32 bytes of fifth bits between scales and nibbles: bit s of byte l belongs to element l of sub-block s. */
static int q5_k(const uint8_t *b, float *y) {
    float d = half_at(b), dmin = half_at(b + 2);
    const uint8_t *scales = b + 4, *high = b + 16, *q = b + 48;
    for (int s = 0; s < 8; s++) {
        float scale = d * (float)bf_q4_k_scale(scales, s), minimum = dmin * (float)bf_q4_k_min(scales, s);
        for (int l = 0; l < 32; l++)
            y[32 * s + l] = scale * (float)((q[32 * (s / 2) + l] >> 4 * (s & 1) & 15) + (high[l] >> s & 1) * 16) - minimum;
    }
    return isfinite(d) && isfinite(dmin);
}

/* 128 bytes of low nibbles, 64 of upper pairs of bits, 16 signed scales, fp16 d. */
static int q6_k(const uint8_t *b, float *y) {
    float d = half_at(b + 208);
    for (int i = 0; i < 256; i++) {
        int part = i / 128, quarter = i % 128 / 32, l = i % 32;
        int low = b[64 * part + 32 * (quarter & 1) + l] >> (quarter < 2 ? 0 : 4) & 15, high = b[128 + 32 * part + l] >> 2 * quarter & 3;
        y[i] = d * (float)(int8_t)b[192 + 8 * part + 2 * quarter + l / 16] * (float)((low | high << 4) - 32);
    }
    return isfinite(d);
}

/* E8M0 exponent, 16 bytes of E2M1 (OCP Microscaling Formats 1.0, 5.3.3): twice the values here, half of the power; 255 is NaN there,
 * 2^128 in ggml. */
static int mxfp4(const uint8_t *b, float *y) {
    static const int8_t twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    float half_scale = b[0] == 255 ? bf_float(0x7fc00000u) : b[0] < 2 ? bf_float(0x00200000u << b[0]) : bf_float((uint32_t)(b[0] - 1) << 23);
    for (int i = 0; i < 32; i++) y[i] = (float)twice[b[1 + i % 16] >> 4 * (i / 16) & 15] * half_scale;
    return b[0] != 255;
}

static const bf_block_format formats[] = {
    {"Q4_0", 2, 32, 18, q4_0},     {"Q8_0", 8, 32, 34, q8_0},     {"Q4_K", 12, 256, 144, q4_k},
    {"Q5_K", 13, 256, 176, q5_k},  {"Q6_K", 14, 256, 210, q6_k},  {"MXFP4", 39, 32, 17, mxfp4},
};

const bf_block_format *bf_block_format_at(int i) { return i >= 0 && i < (int)(sizeof formats / sizeof *formats) ? &formats[i] : NULL; }

const bf_block_format *bf_block_format_of(const char *name) {
    for (int i = 0; bf_block_format_at(i); i++)
        if (!strcmp(formats[i].name, name)) return &formats[i];
    return NULL;
}
