/* scan_body.h: the body of scan.h's functions, compiled once for each instruction set: BODY(name) names it, TARGET is its attribute,
 * VECTOR the bytes of a vector.
 *
 * Idea: nearly all weights are ordinary, so a piece of 2048 values takes few operations a value: the largest, the smallest, and how
 * many are below 2^-14 and how many zero; what else there is to count is counted only when those say that there is any. The loops are
 * written for the compiler to vectorise (-O3); only the sums, whose order it may not change, are vectors in the source.
 * Bound: the memory's read bandwidth. Run: blackframe scan FILE; build/tests --filter 'scan/x*'. */
#include "fp16.h"

typedef float BODY(floats) __attribute__((vector_size(VECTOR)));

/* ---- counts ---- */

/* Every threshold, value by value: the tail of a row, and pieces with something to report. */
TARGET static void BODY(count_plain)(const void *p, bf_dtype type, int64_t n, bf_scan_counts *c) {
    const uint32_t *t = scan_threshold(type), inf = t[BF_SCAN_INF];
    for (int64_t i = 0; i < n; i++) {
        uint32_t a = type == BF_F32 ? ((const uint32_t *)p)[i] & 0x7fffffffu : ((const uint16_t *)p)[i] & 0x7fffu;
        for (int l = 0; l < BF_SCAN_LEVELS; l++) c->level[l] += a >= t[l];
        if (a < inf && a > c->largest) c->largest = a;
        if (a && a < c->smallest) c->smallest = a;
    }
    c->values += (uint64_t)n;
}

/* What a whole piece holds. low: the smallest magnitude - 1, in which zero wraps to the largest number. */
typedef struct BODY(extremes) {
    uint32_t high, low, below, zeros;
} BODY(extremes);

TARGET static BODY(extremes) BODY(extremes16)(const uint16_t *p, uint16_t normal) {
    uint16_t high = 0, low = 0xffff, below = 0, zeros = 0;
    for (int i = 0; i < BF_SCAN_PIECE; i++) {
        uint16_t a = p[i] & 0x7fff, b = (uint16_t)(a - 1);
        high = a > high ? a : high;
        low = b < low ? b : low;
        below = (uint16_t)(below + (a < normal)), zeros = (uint16_t)(zeros + !a);
    }
    return (BODY(extremes)){high, low == 0xffff ? UINT32_MAX : low, below, zeros};
}

TARGET static BODY(extremes) BODY(extremes32)(const uint32_t *p, uint32_t normal) {
    uint32_t high = 0, low = UINT32_MAX, below = 0, zeros = 0;
    for (int i = 0; i < BF_SCAN_PIECE; i++) {
        uint32_t a = p[i] & 0x7fffffffu, b = a - 1;
        high = a > high ? a : high;
        low = b < low ? b : low;
        below += a < normal, zeros += !a;
    }
    return (BODY(extremes)){high, low, below, zeros};
}

/* Adds a whole piece. */
TARGET static BODY(extremes) BODY(count_piece)(const void *p, bf_dtype type, bf_scan_counts *c) {
    const uint32_t *t = scan_threshold(type);
    BODY(extremes) e = type == BF_F32 ? BODY(extremes32)(p, t[BF_SCAN_NORMAL]) : BODY(extremes16)(p, (uint16_t)t[BF_SCAN_NORMAL]);
    uint32_t low = e.low == UINT32_MAX ? e.low : e.low + 1;
    if (e.high >= t[BF_SCAN_OVER] || low < t[BF_SCAN_KEPT]) {
        BODY(count_plain)(p, type, BF_SCAN_PIECE, c);
        return e;
    }
    c->level[BF_SCAN_NONZERO] += BF_SCAN_PIECE - e.zeros, c->level[BF_SCAN_KEPT] += BF_SCAN_PIECE - e.zeros;
    c->level[BF_SCAN_NORMAL] += BF_SCAN_PIECE - e.below;
    c->values += BF_SCAN_PIECE;
    if (e.high > c->largest) c->largest = e.high;
    if (low < c->smallest) c->smallest = low;
    return e;
}

TARGET static void BODY(count)(const void *p, bf_dtype type, int64_t n, bf_scan_counts *c) {
    int64_t i = 0, size = type == BF_F32 ? 4 : 2;
    for (; i + BF_SCAN_PIECE <= n; i += BF_SCAN_PIECE) BODY(count_piece)((const char *)p + i * size, type, c);
    BODY(count_plain)((const char *)p + i * size, type, n - i, c);
}

/* ---- sums, columns, errors: on magnitudes as fp32 bits ---- */

/* fp16 to fp32: the exponent moves by 112; 2^112 as a factor does it for subnormals too, and exactly. */
TARGET static void BODY(widen)(const void *p, bf_dtype type, int64_t n, uint32_t *restrict out) {
    const uint32_t *wide = p;
    const uint16_t *half = p;
    if (type == BF_F32)
        for (int64_t i = 0; i < n; i++) out[i] = wide[i] & 0x7fffffffu;
    else if (type == BF_BF16)
        for (int64_t i = 0; i < n; i++) out[i] = (uint32_t)(half[i] & 0x7fffu) << 16;
    else
        for (int64_t i = 0; i < n; i++) {
            uint32_t a = (uint32_t)(half[i] & 0x7fffu) << 13;
            out[i] = a >= 0x0f800000u ? a + 0x70000000u : bf_bits(bf_float(a) * 0x1p112f);
        }
}

/* Of a magnitude above 2^-25 and below 65520 stored as fp16: |error| / value, as bits; 0 for others. Below 2^-14 units of 2^-24
 * count: 0.5f has that unit. */
TARGET static uint32_t BODY(errors)(const uint32_t *a, int64_t n) {
    uint32_t worst = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t tiny = 0u - (a[i] < 0x38800000u), counts = 0u - (a[i] - 0x33000001u < 0x477ff000u - 0x33000001u);
        float f = bf_float(a[i]);
        uint32_t r = (bf_bits((f + 0.5f) - 0.5f) & tiny) | (((a[i] + 0xfffu + (a[i] >> 13 & 1u)) & ~0x1fffu) & ~tiny);
        uint32_t e = bf_bits((bf_float(r) - f) / f) & 0x7fffffffu & counts;
        worst = e > worst ? e : worst;
    }
    return worst;
}

TARGET static void BODY(columns)(const uint32_t *restrict a, int64_t n, uint32_t *restrict column) {
    for (int64_t i = 0; i < n; i++) column[i] = a[i] > column[i] ? a[i] : column[i];
}

/* In double, infinities and NaN left out: tails, and pieces with such, or squares outside fp32. */
TARGET static void BODY(sum_plain)(const uint32_t *a, int64_t n, bf_scan_row *row, uint32_t *column) {
    for (int64_t i = 0; i < n; i++) {
        if (a[i] >= 0x7f800000u) continue;
        double f = (double)bf_float(a[i]);
        row->sum += f, row->squares += f * f;
        if (a[i] > column[i]) column[i] = a[i];
    }
}

TARGET static void BODY(sum_piece)(const uint32_t *a, bf_scan_row *row) {
    enum { LANES = VECTOR / 4 };
    BODY(floats) sum = {0}, squares = {0}, more = {0}, more_squares = {0};
    for (int i = 0; i < BF_SCAN_PIECE; i += 2 * LANES) {
        BODY(floats) f, g;
        memcpy(&f, a + i, VECTOR), memcpy(&g, a + i + LANES, VECTOR);
        sum += f, squares += f * f, more += g, more_squares += g * g;
    }
    for (int l = 0; l < LANES; l++)
        row->sum += (double)sum[l] + (double)more[l], row->squares += (double)squares[l] + (double)more_squares[l];
}

TARGET static void BODY(full)(const void *p, bf_dtype type, int64_t n, bf_scan_counts *c, bf_scan_row *row, uint32_t *column,
                              uint32_t *error) {
    uint32_t a[BF_SCAN_PIECE];
    int64_t size = type == BF_F32 ? 4 : 2;
    for (int64_t i = 0; i < n; i += BF_SCAN_PIECE) {
        const char *at = (const char *)p + i * size;
        int64_t m = n - i < BF_SCAN_PIECE ? n - i : BF_SCAN_PIECE;
        BODY(widen)(at, type, m, a);
        uint32_t below = 1, high = 0x7f800000u;
        if (m == BF_SCAN_PIECE) {
            BODY(extremes) e = BODY(count_piece)(at, type, c);
            below = e.below > e.zeros;
            high = type == BF_F32 ? e.high : type == BF_BF16 ? e.high << 16 : e.high < 0x7c00u ? 0x3f800000u : 0x7f800000u;
        } else
            BODY(count_plain)(at, type, m, c);
        if (high > 0x5d800000u || high < 0x26800000u) /* 2^60 and 2^-50: squares and their sums stay inside fp32 */
            BODY(sum_plain)(a, m, row, column + i);
        else
            BODY(sum_piece)(a, row), BODY(columns)(a, m, column + i);
        if (type == BF_F32 || (type == BF_BF16 && below)) { /* bf16's eight bits fit into eleven */
            uint32_t e = BODY(errors)(a, m);
            if (e > *error) *error = e;
        }
    }
}
