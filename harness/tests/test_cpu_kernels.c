/* test_cpu_kernels.c: every CPU kernel that this processor runs, against plain double-precision loops written here; sizes
 * that are no multiple of a vector, pointers aligned to one element only, buffers of exactly the right size (AddressSanitizer
 * sees a step beyond), extremes, and the same bits from one, two and five threads. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/convert.h"
#include "../../kernels/common/q4k_dequant.h"
#include "../../kernels/common/q4k_matvec.h"
#include "../../kernels/common/stream.h"
#include "../../kernels/cpu/cache.h"
#include "../../kernels/cpu/pool.h"
#include "../op.h"

enum { MOST = 64 };

/* ---- kernels, buffers, data ---- */

/* The kernels of an op on this processor; `twins`: the broken ones instead. NULL-terminated. */
static const bf_kernel **kernels_of(const char *op, int twins) {
    static const bf_kernel *list[MOST + 1];
    size_t n = 0;
    for (size_t i = 0; i < bf_kernel_count() && n < MOST; i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->target == BF_CPU && !strcmp(k->op, op) && (k->role == BF_TWIN) == twins && (!k->available || k->available()))
            list[n++] = k;
    }
    list[n] = NULL;
    cr_assert_gt(n, 1, "no kernels of %s", op);
    return list;
}

/* `bytes` ending at the end of an allocation, `skew` bytes past 256-byte alignment, poisoned. */
typedef struct buffer {
    unsigned char *base, *p;
    size_t bytes;
} buffer;

static buffer buffer_new(size_t bytes, size_t skew) {
    buffer b = {.bytes = bytes};
    cr_assert_eq(posix_memalign((void **)&b.base, 256, bytes + skew ? bytes + skew : 1), 0);
    memset(b.base, 0xa5, bytes + skew);
    b.p = b.base + skew;
    return b;
}
static void buffers_free(buffer *b, int n) {
    for (int i = 0; i < n; i++) free(b[i].base);
}

static uint64_t next(uint64_t *s) {
    uint64_t z = *s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* ---- number formats, by value ---- */

typedef struct format {
    int size, fraction, bias; /* bytes, bits of the fraction, exponent bias */
    uint32_t inf;
} format;
static format format_of(bf_dtype t) {
    return t == BF_F32 ? (format){4, 23, 127, 0x7f800000u} : t == BF_F16 ? (format){2, 10, 15, 0x7c00u} : (format){2, 7, 127, 0x7f80u};
}
static double decode(bf_dtype t, uint32_t bits) {
    format f = format_of(t);
    uint32_t a = bits & (f.inf | (f.inf - 1)) & (t == BF_F32 ? 0x7fffffffu : 0x7fffu);
    int e = (int)(a >> f.fraction);
    double m = (double)(a & ((1u << f.fraction) - 1)), sign = bits >> (8 * f.size - 1) ? -1 : 1;
    if (a > f.inf) return NAN;
    if (a == f.inf) return sign * INFINITY;
    return sign * (e ? ldexp(m + ldexp(1, f.fraction), e - f.bias - f.fraction) : ldexp(m, 1 - f.bias - f.fraction));
}
/* Nearest, ties to even, of a finite value or an infinity. */
static uint32_t encode(bf_dtype t, double v) {
    format f = format_of(t);
    uint32_t sign = signbit(v) ? 1u << (8 * f.size - 1) : 0;
    double a = fabs(v);
    if (isinf(a)) return sign | f.inf;
    int e = a == 0 ? 1 - f.bias : ilogb(a);
    if (e < 1 - f.bias) e = 1 - f.bias;
    double units = rint(ldexp(a, f.fraction - e)); /* at most 2^(fraction + 1): a carry moves the exponent by itself */
    uint32_t bits = ((uint32_t)(e + f.bias - 1) << f.fraction) + (uint32_t)units;
    return sign | (bits >= f.inf ? f.inf : bits);
}
static uint32_t at(bf_dtype t, const void *p, int64_t i) {
    uint32_t u = 0;
    memcpy(&u, (const char *)p + i * format_of(t).size, (size_t)format_of(t).size);
    return u;
}
static void put(bf_dtype t, void *p, int64_t i, uint32_t u) {
    memcpy((char *)p + i * format_of(t).size, &u, (size_t)format_of(t).size);
}

/* ---- convert ---- */

static uint32_t want_nan(bf_dtype from, bf_dtype to, uint32_t in) {
    uint32_t wide = from == BF_F32 ? in : from == BF_BF16 ? in << 16 : (in & 0x8000u) << 16 | 0x7fc00000u | (in & 0x3ffu) << 13;
    if (from == to) return in;
    if (to == BF_F32) return wide;
    if (to == BF_BF16) return wide >> 16 | 0x40u;
    return (wide >> 16 & 0x8000u) | 0x7e00u | (wide >> 13 & 0x3ffu);
}
static uint32_t want_bits(bf_dtype from, bf_dtype to, int saturate, uint32_t in, uint64_t count[4]) {
    double v = decode(from, in);
    format f = format_of(to);
    if (isnan(v)) return count[CONVERT_NAN]++, want_nan(from, to, in);
    uint32_t r = encode(to, v), a = r & ~(1u << (8 * f.size - 1));
    count[CONVERT_OVERFLOW] += a == f.inf && isfinite(v);
    count[CONVERT_UNDERFLOW] += a == 0 && v != 0;
    count[CONVERT_SUBNORMAL] += a != 0 && a < 1u << f.fraction;
    return saturate && a == f.inf ? r - 1 : r;
}

/* Mismatches of kernel k on n elements of `in`. */
static int64_t convert_wrong(const bf_kernel *k, bf_dtype from, bf_dtype to, int saturate, int count, const uint32_t *in, int64_t n,
                             size_t skew, bf_pool *pool) {
    format f = format_of(from), g = format_of(to);
    buffer b[3] = {buffer_new((size_t)(n * f.size), skew * (size_t)f.size), buffer_new((size_t)(n * g.size), skew * (size_t)g.size),
                   buffer_new(32, 0)};
    bf_problem p = {.dim = {n}, .param = {saturate, count}, .type = {from, to, BF_U64}, .ptr = {b[0].p, b[1].p, count ? b[2].p : NULL}};
    for (int64_t i = 0; i < n; i++) put(from, b[0].p, i, in[i]);
    k->run(&p, pool);
    uint64_t want[4] = {0};
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t w = want_bits(from, to, saturate, in[i], want);
        if (at(to, b[1].p, i) != w && wrong++ == 0 && k->role != BF_TWIN)
            cr_log_error("%s: %x gives %x, not %x", k->name, in[i], at(to, b[1].p, i), w);
    }
    if (count) wrong += memcmp(b[2].p, want, 32) != 0;
    buffers_free(b, 3);
    return wrong;
}

static uint32_t *all_16bit(int64_t *n) {
    uint32_t *in = malloc(65536 * sizeof *in);
    for (uint32_t i = 0; i < 65536; i++) in[i] = i;
    *n = 65536;
    return in;
}
/* fp32 around every 16-bit number: its neighbours, the halfway points, a NaN with every upper half, random bits. */
static uint32_t *hard_f32(int64_t *n) {
    static const uint32_t low[] = {0, 1, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { LOWS = sizeof low / sizeof *low };
    uint32_t *in = malloc(65536 * (LOWS + 1) * sizeof *in);
    uint64_t s = 5;
    *n = 0;
    for (uint32_t i = 0; i < 65536; i++) {
        for (int k = 0; k < LOWS; k++) in[(*n)++] = i << 16 | low[k];
        in[(*n)++] = (uint32_t)next(&s);
    }
    return in;
}

Test(cpu_kernels, convert_is_exact_on_all_16bit_patterns_and_hard_fp32) {
    bf_pool *pool = bf_pool_new(2);
    for (const bf_kernel **k = kernels_of("convert", 0); *k; k++)
        for (bf_dtype from = BF_F32; from <= BF_BF16; from++) {
            int64_t n;
            uint32_t *in = from == BF_F32 ? hard_f32(&n) : all_16bit(&n);
            for (bf_dtype to = BF_F32; to <= BF_BF16; to++)
                for (int v = 0; v < 4; v++)
                    cr_expect_eq(convert_wrong(*k, from, to, v & 1, v >> 1, in, n, 0, pool), 0, "%s %d to %d variant %d", (*k)->name,
                                 from, to, v);
            free(in);
        }
    bf_pool_free(pool);
}

Test(cpu_kernels, convert_takes_any_size_and_alignment) {
    int64_t n;
    uint32_t *in = hard_f32(&n);
    for (const bf_kernel **k = kernels_of("convert", 0); *k; k++)
        for (int64_t size = 1; size < 150; size += size < 70 ? 1 : 13)
            for (int v = 0; v < 4; v++) {
                size_t skew = (size_t)(size % 4);
                const uint32_t *x = in + size * 977;
                cr_expect_eq(convert_wrong(*k, BF_F32, BF_BF16, v & 1, v >> 1, x, size, skew, NULL), 0, "%s %ld", (*k)->name, (long)size);
                cr_expect_eq(convert_wrong(*k, BF_F32, BF_F16, v & 1, v >> 1, x, size, skew, NULL), 0, "%s %ld", (*k)->name, (long)size);
                cr_expect_eq(convert_wrong(*k, BF_F32, BF_F32, v & 1, v >> 1, x, size, skew, NULL), 0, "%s %ld", (*k)->name, (long)size);
            }
    free(in);
}

/* Beyond the largest cache results are stored non-temporally: another loop of the same kernel. */
Test(cpu_kernels, convert_streams_large_results) {
    int64_t n = bf_cache_bytes() / 5 + 12345, bad = 0;
    if (n > 64 << 20) cr_skip_test("the cache is too large for a unit test");
    uint16_t *x = malloc((size_t)n * 2);
    uint32_t *y = malloc((size_t)n * 4 + 4);
    bf_pool *pool = bf_pool_new(2);
    for (int64_t i = 0; i < n; i++) x[i] = (uint16_t)(i * 40503u >> 3);
    for (const bf_kernel **k = kernels_of("convert", 0); *k; k++) {
        bf_problem p = {.dim = {n}, .type = {BF_BF16, BF_F32}, .ptr = {x, y + 1}};
        memset(y, 0, (size_t)n * 4 + 4);
        (*k)->run(&p, pool);
        for (int64_t i = 0; i < n; i++) bad += y[i + 1] != (uint32_t)x[i] << 16;
        cr_expect_eq(bad, 0, "%s", (*k)->name);
    }
    bf_pool_free(pool);
    free(x), free(y);
}

Test(cpu_kernels, convert_check_notices_every_twin) {
    int64_t n;
    uint32_t *in = hard_f32(&n);
    for (const bf_kernel **k = kernels_of("convert", 1); *k; k++)
        cr_expect_gt(convert_wrong(*k, BF_F32, BF_BF16, 0, 0, in, n, 0, NULL), 0, "%s", (*k)->name);
    free(in);
}

/* ---- Q4_K, decoded from its description ---- */

typedef struct weights {
    buffer b;
    int64_t m, k;
} weights;

static weights weights_new(int64_t m, int64_t k, size_t skew, uint64_t seed) {
    weights w = {buffer_new((size_t)(m * k / 256 * 144), skew), m, k};
    for (size_t i = 0; i < w.b.bytes; i++) w.b.p[i] = (unsigned char)next(&seed);
    for (size_t i = 0; i < w.b.bytes; i += 144) { /* finite d and dmin of either sign, subnormal ones among them */
        put(BF_F16, w.b.p + i, 0, (uint32_t)(next(&seed) % 0x3000 + (next(&seed) & 0x8000)));
        put(BF_F16, w.b.p + i, 1, (uint32_t)(next(&seed) % 0x3000));
    }
    return w;
}
/* |d*sc*q| and |dmin*m| apart are what the bound is made of; w is their difference. */
static double weight_at(const weights *w, int64_t r, int64_t i, double *magnitude) {
    const unsigned char *b = w->b.p + (r * w->k + i) / 256 * 144, *s = b + 4;
    int sub = (int)(i % 256) / 32, l = (int)(i % 32), k = sub & 3;
    int sc = sub < 4 ? s[k] & 63 : (s[8 + k] & 15) | (s[k] >> 6) << 4, mn = sub < 4 ? s[4 + k] & 63 : s[8 + k] >> 4 | (s[4 + k] >> 6) << 4;
    int q = b[16 + 32 * (sub / 2) + l] >> 4 * (sub & 1) & 15;
    double a = decode(BF_F16, at(BF_F16, b, 0)) * sc * q, c = decode(BF_F16, at(BF_F16, b, 1)) * mn;
    if (magnitude) *magnitude = fabs(a) + fabs(c);
    return a - c;
}

static int64_t dequant_wrong(const bf_kernel *k, const weights *w, bf_dtype to, size_t skew, bf_pool *pool) {
    int size = format_of(to).size;
    buffer y = buffer_new((size_t)(w->m * w->k * size), skew * (size_t)size);
    bf_problem p = {.dim = {w->m, w->k}, .type = {BF_Q4_K, to}, .ptr = {w->b.p, y.p}};
    if (!k->accepts(&p)) return free(y.base), -1;
    k->run(&p, pool);
    int64_t wrong = 0;
    for (int64_t r = 0; r < w->m; r++)
        for (int64_t i = 0; i < w->k; i++) {
            double v = weight_at(w, r, i, NULL); /* exact: multiples of 2^-24 below 2^27 */
            uint32_t got = at(to, y.p, r * w->k + i), want = isnan(v) ? 0 : encode(to, decode(BF_F32, encode(BF_F32, v)));
            if (v == 0) got &= ~(1u << (8 * size - 1)), want = 0; /* the sign of a zero: as the subtraction gives it */
            wrong += isnan(v) ? !isnan(decode(to, got)) : got != want;
        }
    free(y.base);
    return wrong;
}

Test(cpu_kernels, dequant_is_exact) {
    for (int trial = 0; trial < 6; trial++) {
        weights w = weights_new(1 + trial, 256 * (1 + trial % 3), trial & 1 ? 2 : 0, (uint64_t)trial);
        static const uint32_t special[] = {0x7c00, 0x7e01, 0x8001, 0x7bff, 0xfc00, 0x0000};
        put(BF_F16, w.b.p + w.b.bytes - 144, trial & 1, special[trial]);
        for (const bf_kernel **k = kernels_of("q4k_dequant", 0); *k; k++)
            for (bf_dtype to = BF_F32; to <= BF_BF16; to++)
                cr_expect_eq(dequant_wrong(*k, &w, to, (size_t)(trial % 3), NULL), 0, "%s to %d trial %d", (*k)->name, to, trial);
        free(w.b.base);
    }
}

Test(cpu_kernels, dequant_check_notices_every_twin) {
    weights w = weights_new(8, 512, 0, 3);
    for (const bf_kernel **k = kernels_of("q4k_dequant", 1); *k; k++) {
        int64_t f32 = dequant_wrong(*k, &w, BF_F32, 0, NULL);
        cr_expect(f32 > 0 || (f32 < 0 && dequant_wrong(*k, &w, BF_BF16, 0, NULL) > 0), "%s", (*k)->name);
    }
    free(w.b.base);
}

/* ---- q4k_matvec ---- */

typedef struct matvec {
    weights w;
    bf_dtype type;
    int n;
    buffer b[6]; /* x, y, xq, xd, xs, scratch */
    bf_problem p;
} matvec;

static int is_int8(const bf_kernel *k) { return !strcmp(k->path, "int8"); }

static matvec matvec_new(const bf_kernel *k, const weights *w, int n, bf_dtype type, const double *x, size_t skew) {
    matvec v = {.w = *w, .type = type, .n = n};
    size_t nk = (size_t)(n * w->k), size = (size_t)format_of(type).size;
    v.p = (bf_problem){.dim = {w->m, w->k, n}, .type = {BF_Q4_K, type, BF_F32, BF_I8, BF_F32, BF_I32}};
    cr_assert(k->accepts(&v.p));
    v.b[0] = buffer_new(nk * size, skew * size), v.b[1] = buffer_new((size_t)(n * w->m) * 4, skew * 4);
    v.b[2] = buffer_new(nk, skew), v.b[3] = buffer_new(nk / 8, skew * 4), v.b[4] = buffer_new(nk / 8, skew * 4);
    v.b[5] = buffer_new(k->scratch ? k->scratch(&v.p) : 0, 0);
    for (size_t i = 0; i < nk; i++) put(type, v.b[0].p, (int64_t)i, isnan(x[i]) ? 0x7fffu << 8 * (size - 2) : encode(type, x[i]));
    v.p.ptr[Q4K_MATVEC_W] = w->b.p;
    for (int i = 0; i < (is_int8(k) ? 5 : 2); i++) v.p.ptr[Q4K_MATVEC_X + i] = v.b[i].p;
    v.p.scratch = v.b[5].p;
    return v;
}
static double x_at(const matvec *v, int c, int64_t i) { return decode(v->type, at(v->type, v->b[0].p, c * v->w.k + i)); }
static float f32_at(const buffer *b, int64_t i) { return float_of(at(BF_F32, b->p, i)); }

/* (a): XQ, XD, XS by the policy of q4k_matvec.h. */
static int64_t quantiser_wrong(const matvec *v) {
    int64_t wrong = 0;
    for (int64_t b = 0; b < v->n * v->w.k / 32; b++) {
        double amax = 0, d = f32_at(&v->b[3], b);
        int sum = 0, finite = 1;
        for (int64_t i = b * 32; i < b * 32 + 32; i++) {
            double x = x_at(v, 0, i);
            finite &= isfinite(x) != 0;
            if (fabs(x) > amax) amax = fabs(x);
        }
        int none = !finite || amax < ldexp(1, -100);
        for (int64_t i = b * 32; i < b * 32 + 32; i++) {
            int q = (int8_t)v->b[2].p[i];
            sum += q;
            wrong += none ? q != 0 : q < -127 || !(fabs(x_at(v, 0, i) - d * q) <= d / 2 + ldexp(fabs(x_at(v, 0, i)), -22));
        }
        wrong += !finite ? !isnan(d) : none ? d != 0 : !(fabs(d - amax / 127) <= ldexp(amax / 127, -23));
        wrong += (int32_t)at(BF_F32, v->b[4].p, b) != sum;
    }
    return wrong;
}

/* (b): y against the double sum, bound gamma(chain + 3) * sum(|d*sc*q| + |dmin*m|) |x|; a row or column with a number that is
 * not finite gives one. */
static int64_t product_wrong(const matvec *v, const bf_kernel *k) {
    int64_t wrong = 0;
    double u = ldexp((double)k->chain(&v->p) + 3, -24), gamma = u / (1 - u);
    for (int c = 0; c < v->n; c++)
        for (int64_t r = 0; r < v->w.m; r++) {
            double y = 0, bound = 0, got = f32_at(&v->b[1], c * v->w.m + r), part;
            for (int64_t i = 0; i < v->w.k; i++) {
                double x = x_at(v, c, i), w = weight_at(&v->w, r, i, &part);
                if (is_int8(k)) x = (double)f32_at(&v->b[3], (c * v->w.k + i) / 32) * (int8_t)v->b[2].p[c * v->w.k + i];
                y += w * x, bound += part * fabs(x);
            }
            if (!isfinite(bound)) wrong += isfinite(got) != 0;
            else wrong += !(fabs(got - y) <= (gamma + ldexp((double)v->w.k, -53)) * bound + ldexp((double)v->w.k, -149));
        }
    return wrong;
}
static int64_t matvec_wrong(const bf_kernel *k, const weights *w, int n, bf_dtype type, const double *x, size_t skew, bf_pool *pool) {
    matvec v = matvec_new(k, w, n, type, x, skew);
    k->run(&v.p, pool);
    int64_t wrong = product_wrong(&v, k) + (is_int8(k) ? quantiser_wrong(&v) : 0);
    buffers_free(v.b, 6);
    return wrong;
}

static double *columns_of(int64_t count, double scale, uint64_t seed) {
    double *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int k = 0; k < 4; k++) sum += (double)(next(&seed) >> 11) * 0x1p-53 - 0.5;
        x[i] = sum * scale * (next(&seed) % 97 ? 1 : 50);
    }
    return x;
}

Test(cpu_kernels, matvec_takes_any_rows_columns_and_alignment) {
    static const int rows[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t k = 256 * (1 + (int64_t)i % 4);
        weights w = weights_new(rows[i], k, i % 2 * 2, i + 100);
        for (int n = 1; n <= 8; n++) {
            double *x = columns_of(n * k, 1, (uint64_t)n + i);
            for (const bf_kernel **kn = kernels_of("q4k_matvec", 0); *kn; kn++)
                cr_expect_eq(matvec_wrong(*kn, &w, n, (bf_dtype)(BF_F32 + (n + (int)i) % 3), x, (size_t)n % 3, NULL), 0,
                             "%s m=%d k=%ld n=%d", (*kn)->name, rows[i], (long)k, n);
            free(x);
        }
        free(w.b.base);
    }
}

/* Huge, tiny and mixed x; columns whose numbers only the long ways round (see the kernels) can take. */
Test(cpu_kernels, matvec_survives_extremes) {
    static const double scale[] = {0x1p-140, 0x1p-126, 0x1p-110, 0x1p-99, 0x1p-60, 0x1p60, 0x1p96, 0x1p108};
    weights w = weights_new(19, 512, 0, 7);
    for (size_t i = 0; i < w.b.bytes; i += 144) /* small d: the product of a huge x stays finite */
        for (int h = 0; h < 2; h++) put(BF_F16, w.b.p + i, h, at(BF_F16, w.b.p + i, h) & 0x83ffu);
    for (size_t i = 0; i < sizeof scale / sizeof *scale; i++) {
        double *x = columns_of(3 * 512, scale[i], i);
        for (int64_t b = 512; b < 1024; b++) x[b] = b % 5 ? 0 : x[b];             /* a sparse column */
        for (int64_t b = 1024; b < 1536; b++) x[b] = b % 7 ? x[b] * 0x1p-30 : x[b]; /* and one of two magnitudes */
        for (const bf_kernel **k = kernels_of("q4k_matvec", 0); *k; k++)
            cr_expect_eq(matvec_wrong(*k, &w, 3, BF_F32, x, 0, NULL), 0, "%s scale %g", (*k)->name, scale[i]);
        free(x);
    }
    free(w.b.base);
}

Test(cpu_kernels, matvec_keeps_non_finite_numbers_in_their_row_and_column) {
    static const uint32_t bad[] = {0x7c00, 0xfe00};
    for (int trial = 0; trial < 4; trial++) {
        weights w = weights_new(18, 768, 0, 11);
        double *x = columns_of(4 * 768, 1, 12);
        put(BF_F16, w.b.p + 144 * (5 * 3 + 1), trial & 1, bad[trial & 1]);
        x[768 + 40] = trial & 2 ? NAN : INFINITY;
        for (const bf_kernel **k = kernels_of("q4k_matvec", 0); *k; k++)
            cr_expect_eq(matvec_wrong(*k, &w, 4, BF_F32, x, 0, NULL), 0, "%s trial %d", (*k)->name, trial);
        free(x), free(w.b.base);
    }
}

Test(cpu_kernels, matvec_gives_the_same_bits_with_one_two_and_five_threads) {
    weights w = weights_new(203, 2048, 0, 21);
    double *x = columns_of(3 * 2048, 1, 22);
    for (const bf_kernel **k = kernels_of("q4k_matvec", 0); *k; k++) {
        unsigned char *first = NULL;
        for (int t = 1; t <= 5; t += t == 1 ? 1 : 3) {
            bf_pool *pool = bf_pool_new(t);
            cr_assert_eq(bf_pool_threads(pool), t);
            matvec v = matvec_new(*k, &w, 3, BF_F32, x, 0);
            for (int repeat = 0; repeat < 3; repeat++) {
                memset(v.b[1].p, 0xa5, v.b[1].bytes);
                (*k)->run(&v.p, pool);
                if (!first) first = malloc(v.b[1].bytes), memcpy(first, v.b[1].p, v.b[1].bytes);
                cr_expect_eq(memcmp(first, v.b[1].p, v.b[1].bytes), 0, "%s with %d threads", (*k)->name, t);
            }
            buffers_free(v.b, 6);
            bf_pool_free(pool);
        }
        free(first);
    }
    free(x), free(w.b.base);
}

/* Data on which each defect is larger than the worst-case bound: few values that are not zero, 24 significant bits. */
Test(cpu_kernels, matvec_check_notices_twins) {
    static const char *const gross[] = {"drop-block", "scale-1.02", "x-bf16", "x-fp16", "x-tf32", "acc-fp16", "acc-bf16", "trunc-quant"};
    weights w = weights_new(8, 256, 0, 31);
    double *x = columns_of(256, 1, 32);
    for (int i = 0; i < 256; i++) x[i] = i % 4 ? x[i] * 1e-3 : x[i];
    for (const bf_kernel **k = kernels_of("q4k_matvec", 1); *k; k++)
        for (size_t i = 0; i < sizeof gross / sizeof *gross; i++)
            if (!strcmp((*k)->twin, gross[i])) cr_expect_gt(matvec_wrong(*k, &w, 1, BF_F32, x, 0, NULL), 0, "%s", (*k)->name);
    free(x), free(w.b.base);
}

/* ---- stream ---- */

Test(cpu_kernels, stream_moves_every_word) {
    bf_pool *pool = bf_pool_new(2);
    for (int64_t n = 4; n < 700000; n = n < 300 ? n + 4 : n * 7 + 4)
        for (int mode = STREAM_COPY; mode <= STREAM_TRIAD; mode++)
            for (const bf_kernel **k = kernels_of("stream", 0); *k; k++)
                for (int nt = 0; nt < 2; nt++) {
                    size_t skew = (size_t)n / 4 % 3 * 4, bad = 0;
                    buffer b[3] = {buffer_new((size_t)n * 4, skew), buffer_new((size_t)n * 4, skew), buffer_new((size_t)n * 4, skew)};
                    uint32_t word = 1, want = 0;
                    bf_problem p = {.dim = {n}, .param = {mode, nt}, .ptr = {b[0].p, b[1].p, b[2].p, &word}};
                    for (int64_t i = 0; i < n; i++) put(BF_F32, b[0].p, i, bits_of((float)(i % 1000))), put(BF_F32, b[1].p, i, bits_of((float)(i % 77)));
                    if ((*k)->accepts(&p)) (*k)->run(&p, pool);
                    for (int64_t i = 0; i < n; i++) {
                        uint32_t x = bits_of((float)(i % 1000)), y = at(BF_F32, b[2].p, i);
                        want ^= x;
                        bad += mode == STREAM_COPY    ? y != x
                               : mode == STREAM_WRITE ? y != (0x3f800000u | ((uint32_t)i & 0xffu))
                               : mode == STREAM_TRIAD ? y != bits_of((float)(i % 1000 + 3 * (i % 77)))
                                                      : 0;
                    }
                    if (mode == STREAM_READ) bad += word != want;
                    if ((*k)->accepts(&p)) cr_expect_eq(bad, 0, "%s mode %d n %ld nt %d", (*k)->name, mode, (long)n, nt);
                    buffers_free(b, 3);
                }
    bf_pool_free(pool);
}

/* Both arrays longer in turn, shares that no line divides, addresses that are aligned to nothing, several chunks. */
Test(cpu_kernels, stream_mix_moves_every_word) {
    static const int64_t sizes[][2] = {{4, 4},       {4, 60},       {60, 4},         {64, 128},      {1028, 516},     {2052, 14364},
                                       {14364, 2052}, {2100, 132},  {700004, 350004}, {350004, 700004}, {100004, 700028}, {1, 700001}, {300001, 300003}};
    bf_pool *pool = bf_pool_new(2);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (const bf_kernel **k = kernels_of("stream", 0); *k; k++)
            for (int v = 0; v < 6; v++) {
                int64_t n = sizes[s][0], m = sizes[s][1], bad = 0;
                size_t skew = (size_t)v / 2 * 20;
                buffer x = buffer_new((size_t)n * 4, skew), y = buffer_new((size_t)m * 4, skew);
                uint32_t word = 1, want = 0;
                bf_problem p = {.dim = {n, m}, .param = {STREAM_MIX, v % 2}, .ptr = {x.p, NULL, y.p, &word}};
                for (int64_t i = 0; i < n; i++) put(BF_F32, x.p, i, (uint32_t)i * 2654435761u), want ^= (uint32_t)i * 2654435761u;
                if ((*k)->accepts(&p)) {
                    (*k)->run(&p, pool);
                    for (int64_t i = 0; i < m; i++) bad += at(BF_F32, y.p, i) != (0x3f800000u | ((uint32_t)i & 0xffu));
                    cr_expect_eq(bad, 0, "%s n %ld m %ld variant %d", (*k)->name, (long)n, (long)m, v);
                    cr_expect_eq(word, want, "%s n %ld m %ld variant %d: c", (*k)->name, (long)n, (long)m, v);
                }
                buffers_free(&x, 1), buffers_free(&y, 1);
            }
    bf_pool_free(pool);
}

/* ---- pool ---- */

typedef struct cover {
    int *seen, threads;
    int64_t n, grain, wrong;
} cover;
static void cover_chunk(void *arg, int64_t begin, int64_t end, int thread) {
    cover *c = arg;
    int odd = begin % c->grain != 0 || (end - begin != c->grain && end != c->n) || begin >= end || thread < 0 || thread >= c->threads;
    if (odd) __atomic_fetch_add(&c->wrong, 1, __ATOMIC_RELAXED);
    for (int64_t i = begin; i < end; i++) __atomic_fetch_add(&c->seen[i], 1, __ATOMIC_RELAXED);
}

Test(cpu_pool, covers_every_element_once, .timeout = 60) {
    for (int t = 1; t <= 9; t += 2) {
        bf_pool *pool = bf_pool_new(t);
        for (int64_t n = 0; n < 200; n = n * 3 + 1)
            for (int64_t grain = 1; grain < 300; grain = grain * 4 + 1) {
                cover c = {calloc((size_t)n + 1, sizeof(int)), t, n, grain, 0};
                bf_pool_run(pool, cover_chunk, &c, n, grain);
                for (int64_t i = 0; i < n; i++) c.wrong += c.seen[i] != 1;
                cr_expect_eq(c.wrong, 0, "%d threads, n %ld, grain %ld", t, (long)n, (long)grain);
                free(c.seen);
            }
        bf_pool_free(pool);
    }
}

/* A wake-up that is lost hangs; a worker that comes late must not take part in the wrong launch. */
Test(cpu_pool, survives_many_short_launches, .timeout = 60) {
    bf_pool *pool = bf_pool_new(5);
    int seen[8];
    for (int i = 0; i < 20000; i++) {
        cover c = {memset(seen, 0, sizeof seen), 5, 1 + i % 8, 1, 0};
        bf_pool_run(pool, cover_chunk, &c, c.n, c.grain);
        for (int k = 0; k < c.n; k++) cr_assert_eq(seen[k], 1);
        cr_assert_eq(c.wrong, 0);
    }
    bf_pool_free(pool);
}

Test(cpu_pool, leaves_the_caller_where_it_may_run) {
    cpu_set_t before, after;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    bf_pool *pool = bf_pool_new(2);
    int seen[4] = {0};
    cover c = {seen, 2, 4, 1, 0};
    bf_pool_run(pool, cover_chunk, &c, 4, 1);
    bf_pool_free(pool);
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_expect(CPU_EQUAL(&before, &after));
}
