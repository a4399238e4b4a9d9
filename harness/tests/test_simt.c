/* test_simt.c: the runtime that executes GPU source on the CPU does what the dialect says (kernels/common/device.h),
 * and refuses what a GPU would not survive. The kernels are in kernels/simt/selftest.cc. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../kernels/simt/runtime.h"
#include "../../kernels/simt/selftest.h"
#include "../../kernels/simt/simt_math.h"
#include "../backends/simt.h"

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifndef ASAN
#define ASAN 0
#endif

static char why[512];

static int launch(const char *kernel, int64_t grid, int64_t block, int64_t shared, selftest_args args) {
    bf_step step;
    cr_assert_eq(bf_simt_selftest(kernel, &step, grid, 1, block, 1, shared, &args), 0);
    why[0] = 0;
    return bf_simt_run(BF_CUDA, &step, why, sizeof why);
}

static uint64_t splitmix(uint64_t *s) {
    uint64_t z = *s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- indices ---- */
Test(simt, indices_number_threads_x_first_over_a_3d_grid) {
    enum { GX = 2, GY = 3, GZ = 2, BX = 32, BY = 3 };
    int *y = calloc(GX * GY * GZ * BX * BY * 6, sizeof *y), bad = 0;
    selftest_args args = {.y = y};
    bf_step s;
    cr_assert_eq(bf_simt_selftest("indices", &s, GX, GY, BX, BY, 0, &args), 0);
    s.grid[2] = GZ;
    cr_assert_eq(bf_simt_run(BF_HIP, &s, why, sizeof why), 0, "%s", why);
    const int *p = y;
    for (int z = 0; z < GZ; ++z)
        for (int b = 0; b < GY; ++b)
            for (int a = 0; a < GX; ++a)
                for (int ty = 0; ty < BY; ++ty)
                    for (int tx = 0; tx < BX; ++tx, p += 6)
                        bad += p[0] != tx || p[1] != ty || p[2] != tx || p[3] != a || p[4] != b || p[5] != z;
    cr_assert_eq(bad, 0);
    free(y);
}

/* ---- collectives, in blocks of one warp to the largest ---- */
Test(simt, shuffles_give_the_named_lane) {
    static uint32_t y[1024 * 64];
    for (int block = 32; block <= 1024; block *= 2) {
        memset(y, 0xee, sizeof y);
        cr_assert_eq(launch("shuffles", 1, block, 0, (selftest_args){.y = y}), 0, "%s", why);
        for (int t = 0; t < block; ++t)
            for (int m = 0; m < 32; ++m) {
                cr_assert_eq(y[64 * t + m], (uint32_t)(1000 * (t ^ m) + m), "block %d thread %d xor %d", block, t, m);
                cr_assert_eq(y[64 * t + 32 + m], (uint32_t)(1000 * (t / 32 * 32 + m) + m), "block %d thread %d lane %d",
                             block, t, m);
            }
    }
}

/* D = A B + C by definition of the fragments; sums of small integers of one sign, which alone the adder forms exactly in
 * every order: odd rows are negative. */
static double matrix_value(int mode, const void *x, int i) {
    if (mode == 2) return ((const int8_t *)x)[i];
    if (mode == 3) return i < 256 ? ((const uint8_t *)x)[i] : ((const int8_t *)x)[i];
    uint16_t h = ((const uint16_t *)x)[i];
    return mode == 0 ? (h & 0x8000 ? -1 : 1) * (h & 0x7fff ? ldexp(1024 + (h & 1023), (h >> 10 & 31) - 25) : 0)
                     : (double)bf_simt_bits_f((uint32_t)h << 16);
}
Test(simt, matrix_steps_follow_the_lane_layout) {
    static uint16_t x[512];
    static uint32_t c[256], y[256];
    uint64_t s = 5;
    for (int mode = 0; mode < 4; ++mode) {
        for (int i = 0; i < 512; ++i) { /* 1 to 15 in either 16-bit type; bytes: anything */
            int v = 1 + (int)(splitmix(&s) % 15), e = 31 - __builtin_clz((unsigned)v);
            uint16_t sign = i < 256 && i / 16 % 2 ? 0x8000 : 0;
            if (mode == 0) x[i] = (uint16_t)(sign | (e + 15) << 10 | (v << (10 - e) & 1023));
            else if (mode == 1) x[i] = (uint16_t)(sign | (e + 127) << 7 | (v << (7 - e) & 127));
            else ((uint8_t *)x)[i] = (uint8_t)splitmix(&s);
        }
        for (int i = 0; i < 256; ++i) c[i] = mode < 2 ? bf_simt_f_bits((float)(i / 16 % 2 ? -i : i)) : (uint32_t)(i * 1000);
        cr_assert_eq(launch("matrices", 1, 32, 0, (selftest_args){.x = x, .z = c, .y = y, .mode = mode}), 0, "%s", why);
        for (int r = 0; r < 16; ++r)
            for (int col = 0; col < 16; ++col) {
                double want = mode < 2 ? bf_simt_bits_f(c[16 * r + col]) : (int32_t)c[16 * r + col];
                for (int k = 0; k < 16; ++k)
                    want += matrix_value(mode, x, 16 * r + k) * matrix_value(mode, x, 256 + 16 * col + k);
                double got = mode < 2 ? bf_simt_bits_f(y[16 * r + col]) : (int32_t)y[16 * r + col];
                cr_assert_eq(got, want, "mode %d, row %d, column %d: %g, want %g", mode, r, col, got, want);
            }
    }
}
/* One step of two products, the first of the eight and the last; the other fourteen are -0 and leave every sum as it is. */
typedef struct dot2_case {
    int mode; /* 0: fp16, 1: bf16 */
    uint32_t s;
    uint16_t a0, b0, a1, b1;
    uint32_t want;
} dot2_case;
static void dot2_gives_at(int at, const char *what, dot2_case q) {
    static uint16_t x[512];
    static uint32_t c[256], y[256];
    for (int i = 0; i < 256; ++i) x[i] = 0x8000, x[256 + i] = 0, c[i] = 0;
    uint16_t *a = x + 16 * 5 + at, *b = x + 256 + 16 * 9 + at;
    a[0] = q.a0, a[1] = q.a1, b[0] = q.b0, b[1] = q.b1, c[16 * 5 + 9] = q.s;
    cr_assert_eq(launch("matrices", 1, 32, 0, (selftest_args){.x = x, .z = c, .y = y, .mode = q.mode}), 0, "%s", why);
    uint32_t got = y[16 * 5 + 9];
    if (isnan(bf_simt_bits_f(q.want))) cr_assert(isnan(bf_simt_bits_f(got)), "%s: %08x", what, got);
    else cr_assert_eq(got, q.want, "%s: %08x, want %08x", what, got, q.want);
}
static void dot2_gives(const char *what, dot2_case q) {
    dot2_gives_at(0, what, q);
    dot2_gives_at(14, what, q);
}
Test(simt, matrix_steps_add_on_the_grid_of_gfx11) { /* kernels/simt/wmma_adder.h */
    enum { ONE = 0x3c00, BF_ONE = 0x3f80 };
    dot2_gives("-1 + 32 + 24, as published", (dot2_case){0, 0xbf800000, 0x5000, ONE, 0x4e00, ONE, 0x425c0001});
    dot2_gives("1 - 32 - 24", (dot2_case){0, 0x3f800000, 0x5000, 0xbc00, 0xce00, ONE, 0xc25c0001});
    dot2_gives("-1 + 32 + 24 in bf16", (dot2_case){1, 0xbf800000, 0x4200, BF_ONE, 0x41c0, BF_ONE, 0x425c0001});
    dot2_gives("1 + 32 + 24: one sign is exact", (dot2_case){0, 0x3f800000, 0x5000, ONE, 0x4e00, ONE, 0x42640000});
    dot2_gives("-1 - 32 - 24", (dot2_case){0, 0xbf800000, 0x5000, 0xbc00, 0xce00, ONE, 0xc2640000});
    dot2_gives("1 - 1", (dot2_case){0, 0x3f800000, ONE, 0xbc00, 0x8000, 0, 0xb3800000});
    dot2_gives("1.5 units are cut to one, half an ulp", (dot2_case){0, 0x33c00000, ONE, ONE, 0x8000, 0, 0x3f800000});
    dot2_gives("two units round up", (dot2_case){0, 0x34000000, ONE, ONE, 0x8000, 0, 0x3f800001});
    dot2_gives("1.5 * 1.5: the operands' exponents", (dot2_case){0, 0x34400000, 0x3e00, 0x3e00, 0x8000, 0, 0x40100001});
    dot2_gives("a subnormal fp16 is kept", (dot2_case){0, 0, 1, ONE, 0x8000, 0, 0x33800000});
    dot2_gives("but counts as 2^-14", (dot2_case){0, 0x2c000000, 1, ONE, 0x8000, 0, 0x33800000});
    dot2_gives("zero beside s, whatever its sign", (dot2_case){0, 0xbf800000, 0, ONE, 0, 0x7bff, 0xbf800000});
    dot2_gives("a subnormal s is flushed", (dot2_case){0, 0x00400000, 0x8000, 0, 0x8000, 0, 0});
    dot2_gives("beside a product too", (dot2_case){1, 0x00400000, 0x0080, BF_ONE, 0x8000, 0, 0x00800000});
    dot2_gives("with its sign", (dot2_case){0, 0x80400000, 0x8000, 0, 0x8000, 0, 0x80000000});
    dot2_gives("a subnormal result is flushed", (dot2_case){1, 0x00c00000, 0x0080, 0xbf80, 0x8000, 0, 0});
    dot2_gives("with its sign", (dot2_case){1, 0x80c00000, 0x0080, BF_ONE, 0x8000, 0, 0x80000000});
    dot2_gives("a subnormal bf16 is flushed before the product", (dot2_case){1, 0, 0x0040, 0x4480, 0x8000, 0, 0});
    dot2_gives("the least normal one is not", (dot2_case){1, 0, 0x0080, 0x4480, 0x8000, 0, 0x05800000});
    dot2_gives("nor a product below fp32", (dot2_case){1, 0x00800000, 0x0d80, 0x3080, 0x8000, 0, 0x00880000});
    dot2_gives("an infinity", (dot2_case){0, 0xbf800000, 0x7c00, ONE, 0x4e00, ONE, 0x7f800000});
    dot2_gives("infinity times zero", (dot2_case){0, 0xbf800000, 0x7c00, 0, 0x4e00, ONE, 0x7fc00000});
    dot2_gives("beyond fp32", (dot2_case){1, 0x7f7fffff, 0x7f00, 0x3f80, 0x7f00, 0x3f80, 0x7f800000});
}
Test(simt, matrix_steps_want_the_same_operands_in_both_halves) {
    static uint16_t x[512];
    static uint32_t c[256], y[256];
    for (int n = 1; n <= 2; ++n)
        for (int mode = 0; mode < 4; ++mode) {
            cr_assert_neq(launch("matrices", 1, 32, 0, (selftest_args){.x = x, .z = c, .y = y, .n = n, .mode = mode}), 0);
            cr_assert(strstr(why, n == 1 ? "lanes 4 and 20 of the wave differ in A" : "differ in B"), "%s", why);
        }
}

Test(simt, shared_memory_carries_values_between_warps) {
    static uint32_t y[3 * 1024];
    for (int block = 32; block <= 1024; block *= 2) {
        cr_assert_eq(launch("reversals", 3, block, 4 * block, (selftest_args){.y = y}), 0, "%s", why);
        for (uint32_t t = 0; t < (uint32_t)block; ++t) {
            uint32_t v = t * 7 + 2; /* block 2 ran last */
            cr_assert_eq(y[t], ((uint32_t)block - 1 - t) * 7 + 2);
            cr_assert_eq(y[(uint32_t)block + t], v + 1);
            cr_assert_eq(y[2 * (uint32_t)block + t], (t ^ 31) * 7 + 2);
        }
    }
}

Test(simt, warp_sum_has_the_bits_of_the_butterfly) {
    enum { N = 64 * 256 };
    float *x = malloc(N * sizeof *x);
    uint32_t *y = malloc(2 * N * sizeof *y);
    uint64_t seed = 1;
    for (int i = 0; i < N; ++i) x[i] = ldexpf((float)(int32_t)splitmix(&seed), (int)(splitmix(&seed) % 60) - 30);
    cr_assert_eq(launch("sums", N / 256, 256, 0, (selftest_args){.x = x, .y = y}), 0, "%s", why);
    for (int i = 0; i < N; ++i) {
        cr_assert_eq(y[2 * i], y[2 * i + 1], "thread %d", i);
        cr_assert_eq(y[2 * i], y[2 * (i / 32 * 32)], "thread %d", i);
    }
    free(x), free(y);
}

/* ---- instructions ---- */
static int32_t dot_plain(uint32_t a, int a_signed, uint32_t b, uint32_t c) {
    int64_t sum = (int32_t)c;
    for (int i = 0; i < 4; ++i) {
        int x = (int)(a >> 8 * i & 255), y = (int)(b >> 8 * i & 255);
        if (a_signed && x > 127) x -= 256;
        if (y > 127) y -= 256;
        sum += x * y;
    }
    uint32_t low = (uint32_t)((uint64_t)sum & 0xffffffffu);
    return low > 0x7fffffffu ? (int32_t)((int64_t)low - 0x100000000) : (int32_t)low;
}

Test(simt, dp4a_has_signs_and_wraps) {
    static const uint32_t edge[] = {0x80808080u, 0x7f7f7f7fu, 0xffffffffu, 0, 0x80007f01u, 0x7fffffffu, 0x80000000u};
    enum { E = sizeof edge / sizeof *edge, N = E * E * E + 100000 };
    uint32_t *x = malloc(3 * N * sizeof *x);
    int32_t *y = malloc(2 * N * sizeof *y);
    uint64_t seed = 2;
    for (int i = 0; i < N; ++i)
        for (int j = 0, d = 1; j < 3; ++j, d *= E)
            x[3 * i + j] = i < E * E * E ? edge[i / d % E] : (uint32_t)splitmix(&seed);
    cr_assert_eq(launch("dots", (N + 255) / 256, 256, 0, (selftest_args){.x = x, .y = y, .n = N}), 0, "%s", why);
    for (int i = 0; i < N; ++i) {
        cr_assert_eq(y[2 * i], dot_plain(x[3 * i], 1, x[3 * i + 1], x[3 * i + 2]), "%d", i);
        cr_assert_eq(y[2 * i + 1], dot_plain(x[3 * i], 0, x[3 * i + 1], x[3 * i + 2]), "%d", i);
    }
    free(x), free(y);
}

/* Written out from the PTX ISA's table of prmt and the RDNA 3 ISA's of v_perm_b32. */
Test(simt, byte_permutations) {
    const uint32_t low = 0x33a21180u, high = 0xf7665544u;
    cr_assert_eq(bf_simt_prmt(low, high, 0x3210u), low);
    cr_assert_eq(bf_simt_prmt(low, high, 0x7654u), high);
    cr_assert_eq(bf_simt_prmt(low, high, 0xffff0257u), 0x80a255f7u, "the upper half of the selector is not looked at");
    cr_assert_eq(bf_simt_prmt(low, high, 0x89afu), 0xff00ffffu, "signs of bytes 0, 1, 2, 7");
    cr_assert_eq(bf_simt_perm(low, high, 0x03020100u), low);
    cr_assert_eq(bf_simt_perm(low, high, 0x07060504u), high);
    cr_assert_eq(bf_simt_perm(low, high, 0x00020507u), 0x80a255f7u);
    cr_assert_eq(bf_simt_perm(low, high, 0x0d0c0b08u), 0xff00ff00u, "255, 0, signs of bytes 7 and 1");
    cr_assert_eq(bf_simt_perm(low, high, 0xff0c0a09u), 0xff000000u, "255, 0, signs of bytes 5 and 3");
}

Test(simt, float_functions_are_those_of_c) {
    enum { N = 100000 };
    float *x = malloc(3 * N * sizeof *x);
    uint32_t *y = malloc(6 * N * sizeof *y);
    uint64_t seed = 5;
    for (int i = 0; i < 3 * N; ++i) x[i] = ldexpf((float)(int32_t)splitmix(&seed), (int)(splitmix(&seed) % 40) - 45);
    x[0] = 2.5f, x[3] = -3.5f, x[6] = -0.25f;                             /* ties; -0 */
    x[9] = 1 + 0x1p-23f, x[10] = 1 - 0x1p-23f, x[11] = -1;                /* one rounding only: -2^-46 */
    x[12] = NAN, x[13] = 7, x[15] = 65520, x[18] = -65519, x[21] = 0x1p-25f;
    cr_assert_eq(launch("floats", (N + 255) / 256, 256, 0, (selftest_args){.x = x, .y = y, .n = N}), 0, "%s", why);
    for (int i = 0; i < N; ++i) {
        const float *a = x + 3 * i;
        const uint32_t *got = y + 6 * i;
        if (i != 4) {
            float want[4] = {fmaf(a[0], a[1], a[2]), rintf(a[0]), a[0] > a[1] ? a[0] : a[1], a[0] < a[1] ? a[0] : a[1]};
            for (int j = 0; j < 4; ++j) cr_assert_eq(got[j], bf_simt_f_bits(want[j]), "item %d, function %d", i, j);
        }
        cr_assert_eq(got[4], bf_simt_f32_to_f16_cuda(bf_simt_f_bits(a[0])));
        cr_assert_eq(got[5], bf_simt_f16_to_f32_cuda(got[4]));
    }
    cr_assert_eq(y[6 * 3], bf_simt_f_bits(-0x1p-46f));
    cr_assert(y[6 * 4 + 2] == bf_simt_f_bits(7) && y[6 * 4 + 3] == bf_simt_f_bits(7));
    cr_assert(y[6 * 4 + 4] == 0x7fff && y[6 * 5 + 4] == 0x7c00 && y[6 * 6 + 4] == 0xfbff && y[6 * 7 + 4] == 0);
    free(x), free(y);
}

/* fp16 by its definition, in double: value = (-1)^s m 2^e. */
static double f16_value(uint32_t h) {
    int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
    double v = e == 31 ? INFINITY : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

Test(simt, all_fp16_patterns_widen_exactly) {
    for (uint32_t h = 0; h < 65536; ++h) {
        uint32_t cuda = bf_simt_f16_to_f32_cuda(h), hip = bf_simt_f16_to_f32_hip(h);
        if ((h & 0x7fff) > 0x7c00) {
            cr_assert_eq(cuda, 0x7fffffffu, "%04x", h);
            cr_assert_eq(hip, (h & 0x8000) << 16 | 0x7fc00000u | (h & 0x1ff) << 13, "%04x", h);
        } else {
            uint32_t want = bf_simt_f_bits((float)f16_value(h)); /* exact */
            cr_assert(cuda == want && hip == want, "%04x gives %08x, %08x, not %08x", h, cuda, hip, want);
        }
    }
}

/* Nearest multiple of the spacing at x's size, by double's own rounding to even. */
static uint32_t f16_nearest(uint32_t bits) {
    double x = fabs((double)bf_simt_bits_f(bits));
    uint32_t sign = bits >> 16 & 0x8000;
    int e = -14;
    if (x >= 0x1p-14) e = ilogb(x);
    double q = rint(ldexp(x, 10 - e)); /* 1024..2048 when normal, below when subnormal */
    if (isinf(x) || ldexp(q, e - 10) >= 65536) return sign | 0x7c00;
    if (q == 2048) q = 1024, ++e;
    return sign | (q < 1024 ? (uint32_t)q : (uint32_t)(e + 15) << 10 | ((uint32_t)q - 1024));
}

static void same_f16(uint32_t bits) {
    uint32_t cuda = bf_simt_f32_to_f16_cuda(bits), hip = bf_simt_f32_to_f16_hip(bits), want = f16_nearest(bits);
    cr_assert(cuda == want && hip == want, "%08x gives %04x, %04x, not %04x", bits, cuda, hip, want);
}

Test(simt, fp32_rounds_to_nearest_even_fp16) {
    for (uint32_t h = 0; h <= 0x7c00; ++h) { /* each value, the tie above it, and the neighbours of both */
        float v = h == 0x7c00 ? 65536 : (float)f16_value(h), next = h >= 0x7bff ? 65536 : (float)f16_value(h + 1);
        uint32_t at[2] = {bf_simt_f_bits(v), bf_simt_f_bits((v + next) / 2)};
        for (int i = 0; i < 2; ++i)
            for (uint32_t d = 0; d < 3; ++d) {
                if (at[i] + d == 0) continue; /* below zero comes the NaN of the largest payload */
                same_f16(at[i] + d - 1);
                same_f16((at[i] + d - 1) | 0x80000000u);
            }
    }
    uint64_t seed = 3;
    for (int i = 0; i < 1000000; ++i) {
        uint32_t u = (uint32_t)splitmix(&seed);
        if ((u & 0x7fffffff) <= 0x7f800000) same_f16(u);
    }
}

Test(simt, nan_follows_the_table_of_convert_h) {
    static const uint32_t nan[] = {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xff801fffu, 0x7fa02000u, 0xffffffffu};
    static const uint32_t hip[] = {0x7e00u, 0xfe00u, 0x7e00u, 0xfe00u, 0x7f01u, 0xffffu};
    for (size_t i = 0; i < sizeof nan / sizeof *nan; ++i) {
        cr_assert_eq(bf_simt_f32_to_f16_cuda(nan[i]), 0x7fffu);
        cr_assert_eq(bf_simt_f32_to_f16_hip(nan[i]), hip[i], "%08x", nan[i]);
    }
}

Test(simt, max_and_min_ignore_one_nan) {
    const float n = NAN;
    cr_assert_eq(bf_simt_max(n, 1, 5), 1);
    cr_assert_eq(bf_simt_max(-2, n, 5), -2);
    cr_assert_eq(bf_simt_min(n, 1, 5), 1);
    cr_assert_eq(bf_simt_min(-2, n, 5), -2);
    cr_assert_eq(bf_simt_f_bits(bf_simt_max(n, n, 0x7fffffffu)), 0x7fffffffu);
    cr_assert_eq(bf_simt_f_bits(bf_simt_min(n, n, 0x7fffffffu)), 0x7fffffffu);
    cr_assert_eq(bf_simt_max(1, 2, 5), 2);
    cr_assert_eq(bf_simt_min(1, 2, 5), 1);
    cr_assert_eq(bf_simt_f_bits(bf_simt_max(-0.f, 0.f, 5)), 0u);
    cr_assert_eq(bf_simt_f_bits(bf_simt_min(0.f, -0.f, 5)), 0x80000000u);
}

/* ---- memory ---- */
Test(simt, loads_stores_and_atomics) {
    enum { N = 512 };
    uint32_t *x = aligned_alloc(256, 32 * N), *z = aligned_alloc(256, 32 * N);
    union {
        uint64_t sum;
        uint32_t word[4];
    } y = {0};
    uint64_t seed = 4, sum = 0;
    uint32_t mix = 0;
    for (uint32_t i = 0; i < 8 * N; ++i) x[i] = (uint32_t)splitmix(&seed);
    for (uint32_t i = 0; i < N; ++i) sum += i, mix ^= i;
    cr_assert_eq(launch("memory", N / 128, 128, 0, (selftest_args){.x = x, .z = z, .y = &y}), 0, "%s", why);
    cr_assert_eq(memcmp(x, z, 32 * N), 0);
    cr_assert_eq(y.sum, sum);
    cr_assert_eq(y.word[2], mix);
    free(x), free(z);
}

Test(simt, unwritten_shared_memory_is_a_nan_in_every_block) {
    enum { T = 256, BLOCKS = 3 };
    static uint32_t y[BLOCKS][2][T];
    cr_assert_eq(launch("unwritten", BLOCKS, T, 4 * T, (selftest_args){.y = y}), 0, "%s", why);
    for (int b = 0; b < BLOCKS; ++b)
        for (int i = 0; i < 2 * T; ++i) cr_assert_eq(y[b][i / T][i % T], BF_SIMT_POISON, "block %d word %d", b, i);
    cr_assert(isnan(bf_simt_bits_f(BF_SIMT_POISON)));
    cr_assert(isnan(bf_simt_bits_f(BF_SIMT_POISON << 16)), "as bf16");
    cr_assert((BF_SIMT_POISON & 0x7fff) > 0x7c00, "as fp16");
}

static int overflows(selftest_args args) {
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        if (!freopen("/dev/null", "w", stderr)) _exit(3);
        launch("overflow", 1, 64, 64 * sizeof(float), args);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(simt, address_sanitizer_sees_one_element_too_far) {
    if (!ASAN) cr_skip_test("needs a build with AddressSanitizer");
    float *x = calloc(64, sizeof *x), y[64];
    for (int mode = 0; mode < 3; ++mode) {
        cr_assert_not(overflows((selftest_args){.x = x, .y = y, .n = 0, .mode = mode}), "false alarm, mode %d", mode);
        cr_assert(overflows((selftest_args){.x = x, .y = y, .n = 1, .mode = mode}), "missed, mode %d", mode);
    }
    free(x);
}

/* ---- the order of the blocks ---- */
Test(simt, blocks_run_in_the_order_asked_for) {
    for (int64_t n = 1; n <= 97; n += 8) {
        int64_t place[3][97];
        for (int order = BF_SIMT_FORWARD; order <= BF_SIMT_SHUFFLE; ++order) {
            int64_t counter = 0, seen = 0;
            bf_simt_set_order((bf_simt_order)order);
            cr_assert_eq(launch("sequence", n, 64, 0, (selftest_args){.x = &counter, .y = place[order]}), 0, "%s", why);
            cr_assert_eq(counter, n);
            for (int64_t i = 0; i < n; ++i) seen += place[order][i];
            cr_assert_eq(seen, n * (n - 1) / 2);
        }
        int64_t moved = 0;
        for (int64_t i = 0; i < n; ++i) {
            cr_assert_eq(place[BF_SIMT_FORWARD][i], i);
            cr_assert_eq(place[BF_SIMT_REVERSE][i], n - 1 - i);
            moved += place[BF_SIMT_SHUFFLE][i] != i && place[BF_SIMT_SHUFFLE][i] != n - 1 - i;
        }
        cr_assert(n < 9 || moved > n / 2, "%d blocks, %d elsewhere", (int)n, (int)moved);
    }
    bf_simt_set_order(BF_SIMT_FORWARD);
}

/* ---- what is refused ---- */
static void refused(selftest_args args, int64_t grid, int64_t block, const char *word) {
    cr_assert_eq(launch("fault", grid, block, 0, args), -1, "not noticed: %s", word);
    cr_assert(strstr(why, word), "\"%s\" does not say \"%s\"", why, word);
    cr_assert(strstr(why, "kernel fault"), "%s", why);
    uint32_t y[64 * 32]; /* and the next launch is none the worse */
    cr_assert_eq(launch("shuffles", 1, 32, 0, (selftest_args){.y = y}), 0, "%s", why);
    cr_assert_eq(y[1], 1001u);
}

Test(simt, divergence_is_refused) {
    static const struct {
        int mode;
        const char *word;
    } table[7] = {
        {SELFTEST_EARLY_RETURN, "divergent barrier"}, {SELFTEST_LATE_RETURN, "divergent barrier"},
        {SELFTEST_TWO_BARRIERS, "divergent barrier"}, {SELFTEST_EXITED_LANES, "5 lanes of the warp have returned"},
        {SELFTEST_LATE_LANE, "this lane has returned"}, {SELFTEST_MIXED, "wait at bf_sync"},
        {SELFTEST_TWO_SHUFFLES, "16 lanes of the warp wait at selftest.cc"},
    };
    float y[256];
    for (size_t i = 0; i < 10 * sizeof table / sizeof *table; ++i) /* more often than there are stacks */
        refused((selftest_args){.y = y, .mode = table[i % 7].mode}, 1, 256, table[i % 7].word);
}

Test(simt, misaligned_and_misplaced_accesses_are_refused) {
    _Alignas(16) char x[64];
    _Alignas(16) float y[64];
    for (int64_t n = 0; n <= 16; n += 4) {
        selftest_args load = {.x = x, .y = y, .n = n, .mode = SELFTEST_MISALIGNED};
        selftest_args store = {.x = x, .y = y, .n = n, .mode = SELFTEST_MISALIGNED_ST};
        if (n % 16)
            refused(load, 2, 64, "block (0,0,0), thread (0,0): misaligned 16-byte load");
        else
            cr_assert_eq(launch("fault", 1, 64, 0, load), 0, "%s", why);
        if (n % 8)
            refused(store, 2, 64, "misaligned 8-byte store");
        else
            cr_assert_eq(launch("fault", 1, 64, 0, store), 0, "%s", why);
    }
    refused((selftest_args){.y = y, .mode = SELFTEST_SHARED_AS_GLOBAL}, 1, 64, "which is shared memory");
}

Test(simt, launches_outside_the_limits_are_refused) {
    float y[1024];
    selftest_args args = {.y = y, .mode = SELFTEST_LATE_RETURN};
    bf_step good, s;
    cr_assert_eq(bf_simt_selftest("steps", &good, 1, 1, 1024, 1, 48 << 10, &args), 0);
    cr_assert_eq(bf_simt_run(BF_CUDA, &good, why, sizeof why), 0, "%s", why);
    struct {
        const char *word;
        uint32_t grid[3], block[3], shared, bytes;
        int hip;
    } bad[] = {
        {"empty launch", {0, 1, 1}, {32, 1, 1}, 0, sizeof args, 1},
        {"empty launch", {1, 1, 0}, {32, 1, 1}, 0, sizeof args, 1},
        {"empty launch", {1, 1, 1}, {32, 0, 1}, 0, sizeof args, 1},
        {"1056 threads", {1, 1, 1}, {1056, 1, 1}, 0, sizeof args, 1},
        {"2048 threads a block; declared for at most 1024", {1, 1, 1}, {32, 64, 1}, 0, sizeof args, 1},
        {"block z", {1, 1, 1}, {32, 1, 2}, 0, sizeof args, 1},
        {"multiple of 32", {1, 1, 1}, {48, 1, 1}, 0, sizeof args, 1},
        {"at most 49152", {1, 1, 1}, {32, 1, 1}, (48 << 10) + 4, sizeof args, 0},
        {"65535", {1, 65536, 1}, {32, 1, 1}, 0, sizeof args, 0},
        {"argument of", {1, 1, 1}, {32, 1, 1}, 0, BF_MAX_ARGS + 8, 1},
        {"argument of", {1, 1, 1}, {32, 1, 1}, 0, sizeof args - 8, 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        for (int hip = 0; hip <= bad[i].hip; ++hip) {
            s = good;
            memcpy(s.grid, bad[i].grid, sizeof s.grid);
            memcpy(s.block, bad[i].block, sizeof s.block);
            s.shared = bad[i].shared;
            s.args_bytes = bad[i].bytes;
            cr_assert_eq(bf_simt_run(hip ? BF_HIP : BF_CUDA, &s, why, sizeof why), -1, "case %zu", i);
            cr_assert(strstr(why, bad[i].word), "case %zu: %s", i, why);
        }
    s = good, s.shared = 64 << 10;
    cr_assert_eq(bf_simt_run(BF_HIP, &s, why, sizeof why), 0, "%s", why);
    s.shared += 4;
    cr_assert_eq(bf_simt_run(BF_HIP, &s, why, sizeof why), -1);
    cr_assert_eq(launch("fault", 1, 512, 0, args), -1);
    cr_assert(strstr(why, "declared for at most 256"), "%s", why);
    s = good, s.symbol = "other";
    cr_assert_eq(bf_simt_run(BF_CUDA, &s, why, sizeof why), -1);
}

/* ---- the backends ---- */
static int plan_sums(const bf_problem *p, bf_step *s) {
    selftest_args args = {.x = p->ptr[0], .y = p->ptr[1]};
    bf_simt_selftest("sums", &s[0], p->dim[0], 1, 256, 1, 0, &args);
    return 1;
}
static int plan_fault(const bf_problem *p, bf_step *s) {
    selftest_args args = {.x = p->ptr[0], .y = p->ptr[1], .mode = SELFTEST_EARLY_RETURN};
    bf_simt_selftest("fault", &s[0], 1, 1, 256, 1, 0, &args);
    return 1;
}

Test(simt, backends_say_that_they_are_a_cpu_and_run_kernels) {
    static const bf_backend *const both[] = {&bf_backend_simt_cuda, &bf_backend_simt_hip};
    static bf_discovery found;
    for (int i = 0; i < 2; ++i) {
        const bf_backend *b = both[i];
        bf_error err = {""};
        memset(&found, 0, sizeof found);
        b->discover(&found);
        cr_assert_eq(found.devices, 1);
        const bf_device *d = &found.device[0];
        cr_assert_eq(b->gpu, 0);
        cr_assert(strstr(d->driver, "CPU") && !strcmp(d->object, "host") && strstr(d->name, b->name));
        cr_assert_str_eq(d->arch, i ? "gfx1151 model" : "sm_61 model");
        bf_context *c = b->open(d, &err);
        cr_assert(c, "%s", err.text);
        float host[256], back[512];
        for (int t = 0; t < 256; ++t) host[t] = (float)t;
        bf_problem p = {.dim = {1}};
        p.ptr[0] = b->alloc(c, sizeof host, &err);
        p.ptr[1] = b->alloc(c, sizeof back, &err);
        cr_assert_eq((uintptr_t)p.ptr[0] % 256, 0u);
        bf_kernel k = {.op = "x", .name = "sums", .target = b->target, .plan = plan_sums};
        cr_assert_eq(b->upload(c, p.ptr[0], host, sizeof host, &err), 0);
        cr_assert_eq(b->run(c, &k, &p, &err), 0, "%s", err.text);
        cr_assert_eq(b->download(c, back, p.ptr[1], sizeof back, &err), 0);
        cr_assert_float_eq(back[2 * 40], 32 * 32 + 31 * 16, 0);
        double seconds = -1;
        cr_assert_eq(b->time(c, &k, &p, 1, &seconds, &err), 0);
        cr_assert(seconds > 0);
        bf_kernel broken = {.op = "x", .name = "fault", .target = b->target, .plan = plan_fault};
        cr_assert_eq(b->run(c, &broken, &p, &err), -1);
        cr_assert(strstr(err.text, "divergent barrier") && strstr(err.text, b->name), "%s", err.text);
        k.target = both[!i]->target;
        cr_assert_eq(b->run(c, &k, &p, &err), -1, "a kernel of the other device");
        b->free(c, p.ptr[0]), b->free(c, p.ptr[1]);
        b->close(c);
    }
}

Test(simt, the_proof_kernels_answer_through_simt) {
    static const bf_backend *const both[] = {&bf_backend_simt_cuda, &bf_backend_simt_hip};
    static bf_discovery found;
    for (int i = 0; i < 2; ++i) {
        bf_error err = {""};
        found.devices = 0;
        both[i]->discover(&found);
        bf_context *c = both[i]->open(&found.device[0], &err);
        for (uint64_t nonce = 1; nonce; nonce <<= 9) {
            uint64_t proof = 0;
            cr_assert_eq(both[i]->prove(c, nonce, &proof, &err), 0, "%s", err.text);
            cr_assert_eq(proof, bf_proof_expected(nonce));
        }
        both[i]->close(c);
    }
}

/* ---- how fast: a figure of this CPU, for the eyes of who waits for the suites ---- */
Test(simt, throughput) {
    static const char *const what[] = {"barrier", "shuffle", "warp sum", "nothing"};
    enum { BLOCKS = 256, STEPS = 10 };
    uint32_t y[1024];
    for (int mode = 0; mode < 4; ++mode)
        for (int block = 128; block <= 1024; block *= 8) {
            struct timespec a, b;
            clock_gettime(CLOCK_MONOTONIC, &a);
            cr_assert_eq(launch("steps", BLOCKS, block, 0, (selftest_args){.y = y, .n = STEPS, .mode = mode}), 0, "%s", why);
            clock_gettime(CLOCK_MONOTONIC, &b);
            double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
            fprintf(stderr, "simt: %4d threads a block, 10 x %s: %.1f million threads a second, %.1f ns a step\n", block,
                    what[mode], BLOCKS * block / s * 1e-6, s / (BLOCKS * block) / STEPS * 1e9);
        }
}
