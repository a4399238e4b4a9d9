/* test_cuda_kernels.c: every kernel of kernels/cuda, run by the simt model, against plain double loops that share no
 * code with it: exact-size buffers (the sanitizer sees the edge), all column counts, odd row counts, all types of x,
 * lengths that leave tails. The harness' own ops and cases are not used here. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/convert.h"
#include "../../kernels/common/q4k_dequant.h"
#include "../../kernels/common/q4k_matvec.h"
#include "../../kernels/common/stream.h"
#include "../../kernels/simt/runtime.h"
#include "../op.h"

static uint64_t state;
static uint64_t draw(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static double uniform(void) { return (double)(draw() >> 11) * 0x1p-53 * 2 - 1; }

static float f32_of(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
/* Values by definition of the formats. */
static double half_value(uint16_t h) {
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}
static double bfloat_value(uint16_t h) { return f32_of((uint32_t)h << 16); }
static double value(bf_dtype t, const void *p, int64_t i) {
    return t == BF_F32 ? ((const float *)p)[i]
           : t == BF_F16 ? half_value(((const uint16_t *)p)[i])
                         : bfloat_value(((const uint16_t *)p)[i]);
}
/* Nearest even by search over the 16-bit patterns of one sign: slow, obviously right. */
static uint16_t nearest16(double v, bf_dtype t) {
    uint16_t sign = signbit(v) ? 0x8000 : 0, inf = t == BF_F16 ? 0x7c00 : 0x7f80, lo = 0, hi = inf;
    double a = fabs(v), past = t == BF_F16 ? 65536.0 : 0x1p128; /* the value that infinity's pattern stands for */
    while (hi - lo > 1) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if ((t == BF_F16 ? half_value(mid) : bfloat_value(mid)) <= a) lo = mid;
        else hi = mid;
    }
    double vlo = t == BF_F16 ? half_value(lo) : bfloat_value(lo);
    double vhi = hi == inf ? past : t == BF_F16 ? half_value(hi) : bfloat_value(hi);
    if (isinf(a)) return sign | inf;
    double below = a - vlo, above = vhi - a;
    return sign | (below < above || (below == above && !(lo & 1)) ? lo : hi);
}

static const bf_kernel *find(const char *name) {
    for (size_t i = 0; i < bf_kernel_count(); i++)
        if (bf_kernel_at(i)->target == BF_CUDA && !strcmp(bf_kernel_at(i)->name, name)) return bf_kernel_at(i);
    cr_assert_fail("no kernel %s", name);
    return NULL;
}
static void *buffer(uint64_t bytes) {
    void *p = NULL;
    cr_assert_eq(posix_memalign(&p, 256, bytes ? bytes : 1), 0);
    memset(p, 0xff, bytes);
    return p;
}
static void launch(const bf_kernel *k, bf_problem *p) {
    bf_step steps[BF_MAX_STEPS];
    char why[512] = "";
    cr_assert(k->accepts(p), "%s refuses", k->name);
    uint64_t room = k->scratch ? k->scratch(p) : 0;
    p->scratch = room ? buffer(room) : NULL;
    int n = k->plan(p, steps);
    cr_assert(n >= 1 && n <= BF_MAX_STEPS);
    for (int i = 0; i < n; i++) cr_assert_eq(bf_simt_run(BF_CUDA, &steps[i], why, sizeof why), 0, "%s: %s", k->name, why);
    free(p->scratch);
}

/* ---- Q4_K, decoded from the drawing in the format's description ---- */
enum { BLOCK = 144 };
static void random_weights(uint8_t *w, int64_t blocks) {
    for (int64_t b = 0; b < blocks; b++, w += BLOCK) {
        for (int i = 0; i < BLOCK; i++) w[i] = (uint8_t)draw();
        uint16_t d = nearest16(uniform() * 0.02, BF_F16), m = nearest16(uniform() * 0.05, BF_F16);
        memcpy(w, &d, 2), memcpy(w + 2, &m, 2);
    }
}
/* Weight i of a block = *a - *b. */
static void weight(const uint8_t *w, int i, double *a, double *b) {
    uint16_t d, m;
    memcpy(&d, w, 2), memcpy(&m, w + 2, 2);
    const uint8_t *s = w + 4, *q = w + 16;
    int sub = i / 32, low = q[i / 64 * 32 + i % 32];
    int sc = sub < 4 ? s[sub] % 64 : s[sub + 4] % 16 + s[sub - 4] / 64 * 16;
    int mn = sub < 4 ? s[sub + 4] % 64 : s[sub + 4] / 16 + s[sub] / 64 * 16;
    *a = half_value(d) * sc * (sub % 2 ? low / 16 : low % 16);
    *b = half_value(m) * mn;
}

typedef struct problem {
    bf_problem p;
    int64_t m, k, n;
    uint8_t *w;
    void *x;
    float *y, *xd;
    int8_t *xq;
    int32_t *xs;
} problem;

static problem make(int64_t m, int64_t k, int64_t n, bf_dtype type, int offset) {
    problem t = {.m = m, .k = k, .n = n};
    t.w = buffer((uint64_t)(m * k / 256 * BLOCK));
    t.x = buffer((uint64_t)(n * k) * (type == BF_F32 ? 4 : 2) + (uint64_t)offset);
    t.x = (char *)t.x + offset;
    t.y = buffer((uint64_t)(m * n) * 4);
    t.xq = buffer((uint64_t)(n * k));
    t.xd = buffer((uint64_t)(n * k / 32) * 4);
    t.xs = buffer((uint64_t)(n * k / 32) * 4);
    random_weights(t.w, m * k / 256);
    for (int64_t i = 0; i < n * k; i++) {
        double v = uniform() * exp2(uniform() * 6) * (draw() % 64 ? 1 : 50);
        if (type == BF_F32) ((float *)t.x)[i] = (float)v;
        else ((uint16_t *)t.x)[i] = nearest16(v, type);
    }
    t.p.dim[Q4K_MATVEC_M] = m, t.p.dim[Q4K_MATVEC_K] = k, t.p.dim[Q4K_MATVEC_N] = n;
    t.p.type[Q4K_MATVEC_W] = BF_Q4_K, t.p.type[Q4K_MATVEC_X] = type, t.p.type[Q4K_MATVEC_Y] = BF_F32;
    t.p.ptr[Q4K_MATVEC_W] = t.w, t.p.ptr[Q4K_MATVEC_X] = t.x, t.p.ptr[Q4K_MATVEC_Y] = t.y;
    t.p.ptr[Q4K_MATVEC_XQ] = t.xq, t.p.ptr[Q4K_MATVEC_XD] = t.xd, t.p.ptr[Q4K_MATVEC_XS] = t.xs;
    return t;
}
static void drop(problem *t, int offset) {
    free(t->w), free((char *)t->x - offset), free(t->y), free(t->xq), free(t->xd), free(t->xs);
}

/* q, d and s of every block are what the policy asks for. */
static void check_quantiser(const problem *t, const char *who) {
    for (int64_t b = 0; b < t->n * t->k / 32; b++) {
        double amax = 0, d = t->xd[b];
        int sum = 0;
        for (int l = 0; l < 32; l++) amax = fmax(amax, fabs(value(t->p.type[Q4K_MATVEC_X], t->x, b * 32 + l)));
        if (amax < 0x1p-100) cr_assert(d == 0 && t->xs[b] == 0, "%s: block %ld of zeros", who, (long)b);
        else cr_assert(fabs(d - amax / 127) <= amax / 127 * 0x1p-23, "%s: d of block %ld", who, (long)b);
        for (int l = 0; l < 32; l++) {
            double x = value(t->p.type[Q4K_MATVEC_X], t->x, b * 32 + l);
            int q = t->xq[b * 32 + l];
            cr_assert(fabs(x - d * q) <= d / 2 * (1 + 0x1p-22), "%s: q of element %ld: %d for %g", who,
                      (long)(b * 32 + l), q, x / d);
            sum += q;
        }
        cr_assert_eq(t->xs[b], sum, "%s: sum of block %ld", who, (long)b);
    }
}

/* |y - reference| <= gamma(chain) * (|W||x|), the reference over the path's own x. */
static double check_product(const problem *t, const bf_kernel *k) {
    int int8 = !strcmp(k->path, "int8");
    double u = 0x1p-24, chain = (double)k->chain(&t->p), gamma = chain * u / (1 - chain * u), worst = 0;
    for (int64_t c = 0; c < t->n; c++)
        for (int64_t r = 0; r < t->m; r++) {
            double want = 0, magnitude = 0;
            for (int64_t e = 0; e < t->k; e++) {
                double a, b, x = int8 ? (double)t->xd[(c * t->k + e) / 32] * t->xq[c * t->k + e]
                                      : value(t->p.type[Q4K_MATVEC_X], t->x, c * t->k + e);
                weight(t->w + (r * t->k + e) / 256 * BLOCK, (int)(e % 256), &a, &b);
                want += (a - b) * x;
                magnitude += (fabs(a) + fabs(b)) * fabs(x);
            }
            double got = t->y[c * t->m + r], error = fabs(got - want);
            cr_assert(error <= gamma * magnitude, "%s: m=%ld k=%ld n=%ld: y[%ld][%ld] = %.9g, want %.9g", k->name,
                      (long)t->m, (long)t->k, (long)t->n, (long)c, (long)r, got, want);
            worst = fmax(worst, error / (gamma * magnitude));
        }
    return worst;
}

static const char *const matvec[] = {"q4k_matvec_fp32_naive", "q4k_matvec_fp32",    "q4k_matvec_int8_naive",
                                     "q4k_matvec_int8",       "q4k_matvec_int8_c8", "q4k_matvec_int8_r4"};
enum { MATVECS = sizeof matvec / sizeof *matvec };

Test(cuda_kernels, matvec_is_within_its_bound) {
    static const bf_dtype types[] = {BF_F32, BF_F16, BF_BF16};
    static const int64_t rows[] = {1, 3, 7, 9, 17, 21}, lengths[] = {256, 512, 1024, 2304, 4096};
    state = 1;
    for (int i = 0; i < MATVECS; i++) {
        const bf_kernel *k = find(matvec[i]);
        double worst = 0;
        for (int n = 1; n <= 8; n++)
            for (int j = 0; j < 5; j++) {
                problem t = make(rows[(n + j) % 6], lengths[j], n, types[(n + j) % 3], 0);
                if (strstr(k->name, "_r4") && n > 4) {
                    cr_assert(!k->accepts(&t.p));
                    drop(&t, 0);
                    continue;
                }
                launch(k, &t.p);
                if (!strcmp(k->path, "int8")) check_quantiser(&t, k->name);
                worst = fmax(worst, check_product(&t, k));
                drop(&t, 0);
            }
        cr_log_info("%s: worst error %.3f of the bound", k->name, worst);
        cr_assert(worst > 0);
    }
}

Test(cuda_kernels, matvec_takes_offset_pointers) {
    state = 2;
    for (int i = 0; i < MATVECS; i++) {
        const bf_kernel *k = find(matvec[i]);
        problem t = make(5, 512, 2, BF_F32, 4);
        launch(k, &t.p);
        check_product(&t, k);
        drop(&t, 4);
    }
}

/* x of 1 + tiny and of the largest size: no step of either path overflows before y does, and a NaN or an infinity in
 * a column, or in a row's scales, reaches exactly the outputs that it belongs to. */
Test(cuda_kernels, matvec_survives_extremes_and_keeps_nan_in_its_place) {
    state = 3;
    for (int i = 0; i < MATVECS; i++) {
        const bf_kernel *k = find(matvec[i]);
        problem t = make(6, 1024, 3, BF_F32, 0);
        float *x = t.x;
        for (int64_t b = 0; b < t.m * 4; b++) memcpy(t.w + b * BLOCK, (uint16_t[]){0x0001, 0x8001}, 4);
        for (int64_t e = 0; e < 3 * 1024; e++) x[e] *= 0x1p112f;
        for (int l = 0; l < 32; l++) x[64 + l] = 0x1p-110f, x[2048 + 64 + l] = 0;
        launch(k, &t.p);
        for (int64_t o = 0; o < t.m * t.n; o++) cr_assert(isfinite(t.y[o]), "%s: y[%ld]", k->name, (long)o);
        check_product(&t, k);
        x[1024 + 77] = NAN;
        x[2048 + 1000] = -INFINITY;
        memcpy(t.w + 4 * 4 * BLOCK + 2 * BLOCK, (uint16_t[]){0x7c00}, 2);
        launch(k, &t.p);
        for (int64_t c = 0; c < t.n; c++)
            for (int64_t r = 0; r < t.m; r++)
                cr_assert_eq(!isfinite(t.y[c * t.m + r]), c > 0 || r == 4, "%s: y[%ld][%ld] = %g", k->name, (long)c,
                             (long)r, t.y[c * t.m + r]);
        drop(&t, 0);
    }
}

/* The bound must notice: a twin that skips one 32-block does not pass. */
Test(cuda_kernels, matvec_check_notices_a_dropped_block) {
    static const char *const twins[] = {"q4k_matvec_twin_drop-block", "q4k_matvec_int8_twin_drop-block"};
    state = 4;
    for (int i = 0; i < 2; i++) {
        const bf_kernel *k = find(twins[i]);
        problem t = make(2, 4096, 1, BF_F32, 0);
        launch(k, &t.p);
        double error = 0, magnitude = 0, gamma = (double)k->chain(&t.p) * 0x1p-24;
        for (int64_t e = 0; e < t.k; e++) {
            double a, b, x = i ? (double)t.xd[e / 32] * t.xq[e] : value(BF_F32, t.x, e);
            weight(t.w + e / 256 * BLOCK, (int)(e % 256), &a, &b);
            error += (a - b) * x, magnitude += (fabs(a) + fabs(b)) * fabs(x);
        }
        cr_assert(fabs(error - t.y[0]) > gamma * magnitude);
        drop(&t, 0);
    }
}

/* ---- dequantisation: bit for bit ---- */
Test(cuda_kernels, dequant_is_exact) {
    static const char *const kernels[] = {"q4k_dequant_naive", "q4k_dequant_vec"};
    static const int64_t blocks[] = {1, 2, 7, 33, 100};
    state = 5;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 15; j++) {
            const bf_kernel *k = find(kernels[i]);
            bf_dtype type = (bf_dtype[]){BF_F32, BF_F16, BF_BF16}[j % 3];
            int64_t n = blocks[j / 3] * 256;
            int size = type == BF_F32 ? 4 : 2, offset = j / 3 == 3 ? size : 0;
            uint8_t *w = buffer((uint64_t)n / 256 * BLOCK);
            char *base = buffer((uint64_t)(n * size + offset)), *y = base + offset;
            random_weights(w, n / 256);
            if (j / 3 == 2) memcpy(w, (uint16_t[]){0x0001, 0x8003}, 4), memcpy(w + BLOCK, (uint16_t[]){0x7bff, 0xfbff}, 4);
            bf_problem p = {.dim = {[Q4K_DEQUANT_M] = 1, [Q4K_DEQUANT_K] = n},
                            .type = {[Q4K_DEQUANT_W] = BF_Q4_K, [Q4K_DEQUANT_Y] = type},
                            .ptr = {[Q4K_DEQUANT_W] = w, [Q4K_DEQUANT_Y] = y}};
            launch(k, &p);
            for (int64_t e = 0; e < n; e++) {
                double a, b;
                weight(w + e / 256 * BLOCK, (int)(e % 256), &a, &b);
                float f = (float)(a - b);
                uint32_t want = type == BF_F32 ? bits_of(f) : nearest16(f, type), got = 0;
                memcpy(&got, y + e * size, (size_t)size);
                cr_assert_eq(got, want, "%s to type %d, weight %ld of %ld: %08x, want %08x", k->name, type, (long)e,
                             (long)n, got, want);
            }
            free(w), free(base);
        }
}

/* ---- conversion: bit for bit, NaN by class; every direction, saturating and counting, lengths with tails ---- */
static uint32_t edge_bits(bf_dtype t) {
    if (t != BF_F32) return draw() & 0xffff;
    uint32_t u = (uint32_t)draw();
    switch (draw() % 4) {
    case 0: return u;                                               /* anything */
    case 1: return (u & 0xffff0000u) | 0x8000u | (draw() % 3 - 1);  /* near a tie of bf16 */
    case 2: return (u & 0x87ffe000u) + 0x38000000u + 0x1000u + (draw() % 3 - 1); /* near a tie of fp16 */
    default: return bits_of((float)half_value((uint16_t)u)) - 1 + draw() % 3;
    }
}
static void check_convert(const bf_kernel *k, bf_dtype from, bf_dtype to, int64_t n, int saturate, int count, int offset) {
    int in = from == BF_F32 ? 4 : 2, out = to == BF_F32 ? 4 : 2;
    char *xb = buffer((uint64_t)(n * in + offset * in)), *yb = buffer((uint64_t)(n * out + offset * out));
    char *x = xb + offset * in, *y = yb + offset * out;
    uint64_t *c = buffer(sizeof(uint64_t[CONVERT_COUNTS])), want_c[CONVERT_COUNTS] = {0};
    for (int64_t i = 0; i < n; i++) memcpy(x + i * in, &(uint32_t){edge_bits(from)}, (size_t)in);
    bf_problem p = {.dim = {n}, .param = {[CONVERT_SATURATE] = saturate, [CONVERT_COUNT] = count},
                    .type = {[CONVERT_X] = from, [CONVERT_Y] = to}, .ptr = {x, y, count ? c : NULL}};
    launch(k, &p);
    uint32_t inf = to == BF_F32 ? 0x7f800000 : to == BF_F16 ? 0x7c00 : 0x7f80, sign = to == BF_F32 ? 0x80000000 : 0x8000;
    double normal = to == BF_F16 ? 0x1p-14 : 0x1p-126;
    for (int64_t i = 0; i < n; i++) {
        uint32_t got = 0, raw = 0;
        memcpy(&got, y + i * out, (size_t)out), memcpy(&raw, x + i * in, (size_t)in);
        double v = value(from, x, i);
        if (isnan(v)) {
            want_c[CONVERT_NAN]++;
            cr_assert((got & ~sign) > inf, "%s: NaN %08x became %08x", k->name, raw, got);
            if (from == to) cr_assert_eq(got, raw);
            continue;
        }
        uint32_t want = to == BF_F32 ? bits_of((float)v) : nearest16(v, to);
        double w = to == BF_F32 ? v : to == BF_F16 ? half_value((uint16_t)want) : bfloat_value((uint16_t)want);
        want_c[CONVERT_OVERFLOW] += isinf(w) && !isinf(v);
        want_c[CONVERT_UNDERFLOW] += w == 0 && v != 0;
        want_c[CONVERT_SUBNORMAL] += w != 0 && fabs(w) < normal;
        if (saturate && isinf(w)) want--;
        cr_assert_eq(got, want, "%s %d to %d, element %ld of %ld: %08x gives %08x, want %08x", k->name, from, to,
                     (long)i, (long)n, raw, got, want);
    }
    for (int j = 0; count && j < CONVERT_COUNTS; j++)
        cr_assert_eq(c[j], want_c[j], "%s %d to %d n=%ld: count %d is %ld, want %ld", k->name, from, to, (long)n, j,
                     (long)c[j], (long)want_c[j]);
    free(xb), free(yb), free(c);
}
Test(cuda_kernels, convert_is_exact) {
    static const char *const kernels[] = {"convert_naive", "convert_vec"};
    static const bf_dtype types[] = {BF_F32, BF_F16, BF_BF16};
    static const int64_t lengths[] = {1, 7, 255, 4099, 40003};
    state = 6;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 9; j++)
            for (int v = 0; v < 4; v++)
                for (int l = 0; l < 5; l++)
                    check_convert(find(kernels[i]), types[j / 3], types[j % 3], lengths[l], v & 1, v >> 1, l == 3);
}

/* ---- stream ---- */
Test(cuda_kernels, stream_moves_every_word) {
    static const int64_t lengths[] = {4, 1001, 4098, 100003}; /* odd tails: more than the op asks for */
    state = 7;
    for (int v = 0; v < 3; v++)
        for (int mode = STREAM_COPY; mode <= STREAM_TRIAD; mode++)
            for (int l = 0; l < 4; l++) {
                const bf_kernel *k = find(v ? "stream_vec" : "stream_naive");
                int64_t n = lengths[l];
                float *x = buffer((uint64_t)n * 4), *z = buffer((uint64_t)n * 4), *y = buffer((uint64_t)n * 4);
                uint32_t *c = buffer(4), want_c = 0;
                for (int64_t i = 0; i < n; i++) {
                    x[i] = (float)(draw() % 4096), z[i] = (float)(draw() % 4096);
                    want_c ^= bits_of(x[i]);
                }
                bf_problem p = {.dim = {n}, .param = {mode, v == 2}, .ptr = {x, z, y, c}};
                launch(k, &p);
                if (mode == STREAM_READ) cr_assert_eq(*c, want_c, "n=%ld", (long)n);
                for (int64_t i = 0; i < n && mode != STREAM_READ; i++) {
                    float want = mode == STREAM_COPY    ? x[i]
                                 : mode == STREAM_TRIAD ? x[i] + 3 * z[i]
                                                        : f32_of(0x3f800000u | ((uint32_t)i & 255));
                    cr_assert_eq(y[i], want, "%s mode %d: y[%ld]", k->name, mode, (long)i);
                }
                free(x), free(z), free(y), free(c);
            }
}
/* Both arrays longer in turn, shares with and without whole lines, tails. */
Test(cuda_kernels, stream_mix_moves_every_word) {
    static const int64_t sizes[][2] = {{4, 4}, {60, 4}, {4, 1028}, {4100, 8200}, {8200, 4100}, {30004, 4284}, {4284, 30004}, {9000, 8999}, {40001, 20003}, {12345, 70001}};
    state = 8;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int v = 0; v < 3; v++) {
            const bf_kernel *k = find(v ? "stream_vec" : "stream_naive");
            int64_t n = sizes[s][0], m = sizes[s][1];
            uint32_t *x = buffer((uint64_t)n * 4), *y = buffer((uint64_t)m * 4), *c = buffer(4), want = 0;
            for (int64_t i = 0; i < n; i++) want ^= x[i] = (uint32_t)draw();
            bf_problem p = {.dim = {n, m}, .param = {STREAM_MIX, v == 2}, .ptr = {x, NULL, y, c}};
            launch(k, &p);
            cr_expect_eq(*c, want, "%s n=%ld m=%ld: c", k->name, (long)n, (long)m);
            for (int64_t i = 0; i < m; i++)
                cr_assert_eq(y[i], 0x3f800000u | ((uint32_t)i & 255), "%s n=%ld m=%ld: y[%ld]", k->name, (long)n, (long)m, (long)i);
            free(x), free(y), free(c);
        }
}
