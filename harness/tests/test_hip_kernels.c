/* test_hip_kernels.c: the kernels of kernels/hip and their twins, run under simt against plain double loops that share
 * no code with them. All column counts, odd row counts, lengths on both sides of every tile, all types of x, addresses
 * aligned to the element only; inputs are exact allocations, so that AddressSanitizer sees the edge, outputs end in a
 * guard. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/convert.h"
#include "../../kernels/common/q4k_dequant.h"
#include "../../kernels/common/q4k_matvec.h"
#include "../../kernels/common/stream.h"
#include "../../kernels/simt/runtime.h"
#include "../op.h"

enum { GUARD = 64, BLOCK = 144 };

/* ---- numbers ---- */
static uint64_t seed = 1;
static uint32_t bits32(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}
static double uniform(void) { return bits32() * 0x1p-32; }
static double gauss(void) { return sqrt(-2 * log(uniform() + 0x1p-33)) * cos(6.283185307179586 * uniform()); }

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
static uint16_t f16_of(float f) {
    _Float16 h = (_Float16)f;
    uint16_t u;
    memcpy(&u, &h, 2);
    return u;
}
static double f16_value(uint16_t u) {
    _Float16 h;
    memcpy(&h, &u, 2);
    return h;
}
/* To nearest even by looking at both neighbours. */
static uint16_t bf16_of(float f) {
    uint16_t down = (uint16_t)(bits_of(f) >> 16), up = (uint16_t)(down + 1);
    double below = f32_of((uint32_t)down << 16), above = f32_of((uint32_t)up << 16), v = f;
    if (v == below || isinf(f)) return down;
    if (isinf(above)) above = copysign(0x1p128, v); /* where the next value would be */
    double a = fabs(v - below), b = fabs(above - v);
    return a < b || (a == b && !(down & 1)) ? down : up;
}
static int size_of(bf_dtype t) { return t == BF_F32 ? 4 : 2; }
static double value_at(bf_dtype t, const void *p, int64_t i) {
    float f;
    uint16_t h;
    if (t == BF_F32) return memcpy(&f, (const char *)p + 4 * i, 4), f;
    memcpy(&h, (const char *)p + 2 * i, 2);
    return t == BF_F16 ? f16_value(h) : f32_of((uint32_t)h << 16);
}
static void put(bf_dtype t, void *p, int64_t i, double v) {
    float f = (float)v;
    uint16_t h = t == BF_F16 ? f16_of(f) : bf16_of(f);
    if (t == BF_F32)
        memcpy((char *)p + 4 * i, &f, 4);
    else
        memcpy((char *)p + 2 * i, &h, 2);
}

/* ---- memory: `offset` bytes behind a 256-byte boundary ---- */
typedef struct block {
    char *base, *at;
    size_t bytes, guard;
} block;
static block take(size_t bytes, size_t offset, size_t guard) {
    block b = {.bytes = bytes, .guard = guard};
    void *p = NULL;
    cr_assert_eq(posix_memalign(&p, 256, offset + bytes + guard + !(bytes + offset + guard)), 0);
    b.base = p, b.at = b.base + offset;
    memset(b.base, 0xff, offset + bytes + guard);
    return b;
}
static block input(size_t bytes, size_t offset) { return take(bytes, offset, 0); }
static block output(size_t bytes, size_t offset) { return take(bytes, offset, GUARD); }
static void drop(block b, const char *who) {
    for (size_t i = 0; i < b.guard; i++)
        cr_assert_eq((unsigned char)b.at[b.bytes + i], 0xff, "%s wrote %zu bytes past the end", who, i + 1);
    free(b.base);
}

static const bf_kernel *find(const char *name) {
    for (size_t i = 0; i < bf_kernel_count(); i++)
        if (bf_kernel_at(i)->target == BF_HIP && !strcmp(bf_kernel_at(i)->name, name)) return bf_kernel_at(i);
    cr_assert_fail("no HIP kernel %s", name);
    return NULL;
}
static void run(const bf_kernel *k, bf_problem *p) {
    bf_step steps[BF_MAX_STEPS];
    char why[512] = "";
    cr_assert(k->accepts(p), "%s refuses", k->name);
    block scratch = output(k->scratch ? k->scratch(p) : 0, 0);
    p->scratch = scratch.at;
    int n = k->plan(p, steps);
    cr_assert(n >= 1 && n <= BF_MAX_STEPS, "%s plans %d steps", k->name, n);
    for (int i = 0; i < n; i++)
        cr_assert_eq(bf_simt_run(BF_HIP, &steps[i], why, sizeof why), 0, "%s: %s", k->name, why);
    drop(scratch, k->name);
}

/* ---- Q4_K by its description ---- */
static double weight(const unsigned char *w, int64_t i, double *magnitude) {
    const unsigned char *b = w + i / 256 * BLOCK, *s = b + 4;
    int in = (int)(i % 256), sub = in / 32, j = sub % 4;
    int sc = sub < 4 ? s[j] & 63 : (s[8 + j] & 15) + (s[j] >> 6) * 16;
    int mn = sub < 4 ? s[4 + j] & 63 : (s[8 + j] >> 4) + (s[4 + j] >> 6) * 16;
    int byte = b[16 + sub / 2 * 32 + in % 32], q = sub % 2 ? byte / 16 : byte % 16;
    double a = f16_value((uint16_t)(b[0] + 256 * b[1])) * sc * q, m = f16_value((uint16_t)(b[2] + 256 * b[3])) * mn;
    if (magnitude) *magnitude = fabs(a) + fabs(m);
    return a - m;
}
static void set16(unsigned char *p, uint16_t v) { p[0] = (unsigned char)v, p[1] = (unsigned char)(v >> 8); }
/* exact: d = dmin = 1, scales and minima below 4, so that sums of integers stay integers. */
static void random_weights(unsigned char *w, int64_t blocks, int exact) {
    for (int64_t b = 0; b < blocks; b++, w += BLOCK) {
        for (int i = 4; i < BLOCK; i++) w[i] = (unsigned char)bits32();
        set16(w, f16_of(exact ? 1 : (float)(0.002 + 0.02 * uniform())));
        set16(w + 2, f16_of(exact ? 1 : (float)(0.03 * uniform())));
        for (int i = 4; exact && i < 16; i++) w[i] &= i < 12 ? 3 : 0x33;
    }
}

/* ---- q4k_matvec ---- */
typedef struct matvec {
    int m, k, n;
    bf_dtype type;
    block w, x, y, xq, xd, xs;
    bf_problem p;
} matvec;

enum { ODD_W = 1, ODD_X = 2, ODD_XQ = 4, ODD_REST = 8 }; /* addresses aligned to their element only */

static matvec matvec_make(int m, int k, int n, bf_dtype type, int odd, int exact) {
    matvec t = {.m = m, .k = k, .n = n, .type = type};
    size_t rows = (size_t)m * k / 256, values = (size_t)n * k;
    t.w = input(rows * BLOCK, odd & ODD_W ? 2 : 0);
    t.x = input(values * size_of(type), odd & ODD_X ? size_of(type) : 0);
    t.y = output((size_t)m * n * 4, odd & ODD_REST ? 4 : 0);
    t.xq = output(values, odd & ODD_XQ ? 1 : 0);
    t.xd = output(values / 8, odd & ODD_REST ? 4 : 0), t.xs = output(values / 8, odd & ODD_REST ? 4 : 0);
    random_weights((unsigned char *)t.w.at, (int64_t)rows, exact);
    for (size_t i = 0; i < values; i++) {
        double v = exact ? (i % 32 == 5 ? 127 : bits32() % 7 - 3.0) : gauss() * (bits32() % 100 ? 1 : 50);
        put(type, t.x.at, (int64_t)i, v);
    }
    t.p.dim[Q4K_MATVEC_M] = m, t.p.dim[Q4K_MATVEC_K] = k, t.p.dim[Q4K_MATVEC_N] = n;
    t.p.type[Q4K_MATVEC_W] = BF_Q4_K, t.p.type[Q4K_MATVEC_X] = type, t.p.type[Q4K_MATVEC_Y] = BF_F32;
    t.p.ptr[Q4K_MATVEC_W] = t.w.at, t.p.ptr[Q4K_MATVEC_X] = t.x.at, t.p.ptr[Q4K_MATVEC_Y] = t.y.at;
    return t;
}
static void matvec_drop(matvec *t, const char *who) {
    block all[] = {t->w, t->x, t->y, t->xq, t->xd, t->xs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) drop(all[i], who);
}
static void matvec_run(const bf_kernel *k, matvec *t) {
    int int8 = !strcmp(k->path, "int8");
    t->p.ptr[Q4K_MATVEC_XQ] = int8 ? t->xq.at : NULL;
    t->p.ptr[Q4K_MATVEC_XD] = int8 ? t->xd.at : NULL;
    t->p.ptr[Q4K_MATVEC_XS] = int8 ? t->xs.at : NULL;
    memset(t->y.at, 0xff, t->y.bytes);
    run(k, &t->p);
}

/* The contract's words on q, d and s, block by block. */
static void check_quantiser(const matvec *t, const char *who) {
    for (int64_t b = 0; b < (int64_t)t->n * t->k / 32; b++) {
        double amax = 0, d = ((float *)t->xd.at)[b];
        int sum = 0;
        for (int l = 0; l < 32; l++) amax = fmax(amax, fabs(value_at(t->type, t->x.at, 32 * b + l)));
        double want = amax < 0x1p-100 ? 0 : amax / 127;
        cr_assert(fabs(d - want) <= want * 0x1p-23, "%s: block %ld, d = %a, want %a", who, (long)b, d, want);
        for (int l = 0; l < 32; l++) {
            int q = ((int8_t *)t->xq.at)[32 * b + l];
            double x = value_at(t->type, t->x.at, 32 * b + l), rest = fabs(x - d * q); /* x / d is rounded before q is */
            cr_assert(want == 0 ? q == 0 : rest <= d / 2 + fabs(x) * 0x1p-22, "%s: block %ld, q = %d", who, (long)b, q);
            sum += q;
        }
        cr_assert_eq(((int32_t *)t->xs.at)[b], sum, "%s: block %ld", who, (long)b);
    }
}
/* y against double sums of the x that the path multiplies; within gamma(chain) * sum |W||x|, or exactly. */
static double check_product(const bf_kernel *k, const matvec *t, int exact) {
    int int8 = !strcmp(k->path, "int8");
    double chain = (double)k->chain(&t->p), gamma = chain * 0x1p-24 / (1 - chain * 0x1p-24), worst = 0;
    for (int r = 0; r < t->m; r++)
        for (int c = 0; c < t->n; c++) {
            double sum = 0, scale = 0, got = ((float *)t->y.at)[(int64_t)c * t->m + r];
            for (int i = 0; i < t->k; i++) {
                int64_t at = (int64_t)c * t->k + i;
                double magnitude, w = weight((unsigned char *)t->w.at, (int64_t)r * t->k + i, &magnitude);
                double x = int8 ? ((int8_t *)t->xq.at)[at] * (double)((float *)t->xd.at)[at / 32]
                                : value_at(t->type, t->x.at, at);
                sum += w * x, scale += magnitude * fabs(x);
            }
            double error = fabs(got - sum), bound = exact ? 0 : gamma * scale + fabs(sum) * 0x1p-24;
            cr_assert(error <= bound, "%s m=%d k=%d n=%d type=%d: y[%d][%d] = %.9g, want %.9g, error %.3g, bound %.3g",
                      k->name, t->m, t->k, t->n, t->type, c, r, got, sum, error, bound);
            if (bound > 0) worst = fmax(worst, error / bound);
        }
    return worst;
}
static void matvec_check(const char *name, int m, int k, int n, bf_dtype type, int odd, int exact) {
    const bf_kernel *kernel = find(name);
    matvec t = matvec_make(m, k, n, type, odd, exact);
    if (kernel->accepts(&t.p)) {
        matvec_run(kernel, &t);
        if (!strcmp(kernel->path, "int8")) check_quantiser(&t, name);
        check_product(kernel, &t, exact);
    }
    matvec_drop(&t, name);
}

static const char *const MATVEC[] = {"q4k_matvec_fp32_naive", "q4k_matvec_int8_naive", "q4k_matvec_fp32",
                                     "q4k_matvec_int8", "q4k_matvec_int8_r1"};
enum { MATVECS = sizeof MATVEC / sizeof *MATVEC };
static const bf_dtype TYPES[] = {BF_F32, BF_F16, BF_BF16};

Test(hip_kernels, matvec_shapes) {
    static const int M[] = {1, 2, 3, 7, 31, 33, 65}, K[] = {256, 512, 1024, 1280, 2048, 2304, 4096};
    for (int i = 0; i < MATVECS; i++)
        for (int n = 1; n <= 8; n++)
            for (int s = 0; s < 7; s++) matvec_check(MATVEC[i], M[(s + n) % 7], K[s], n, TYPES[(s + n) % 3], 0, 0);
}
Test(hip_kernels, matvec_aligned_to_the_element_only) {
    for (int i = 0; i < MATVECS; i++)
        for (int n = 1; n <= 8; n += 3)
            for (int odd = ODD_W; odd <= 15; odd += odd < ODD_REST ? odd : 7) /* one after the other, then all */
                matvec_check(MATVEC[i], 9, 2304, n, TYPES[(n + odd) % 3], odd, 0);
}
Test(hip_kernels, matvec_exact_on_integers) {
    for (int i = 0; i < MATVECS; i++)
        for (int n = 1; n <= 8; n++) matvec_check(MATVEC[i], 5, n % 2 ? 4096 : 1280, n, TYPES[n % 3], 0, 1);
}

/* Tiny blocks count as zero; NaN and infinity stay in their column, a bad super-block in its row. */
Test(hip_kernels, matvec_non_finite) {
    for (int i = 0; i < MATVECS; i++) {
        const bf_kernel *kernel = find(MATVEC[i]);
        matvec t = matvec_make(6, 2304, 4, BF_F32, 0, 0);
        float *x = (float *)t.x.at, *y = (float *)t.y.at;
        unsigned char *w = (unsigned char *)t.w.at;
        for (int l = 0; l < 32; l++) x[64 + l] = (float)(gauss() * 0x1p-110);
        x[1 * t.k + 700] = NAN, x[2 * t.k + 2303] = -INFINITY;
        set16(w + 2 * 9 * BLOCK + 3 * BLOCK, 0x7c00), set16(w + 4 * 9 * BLOCK + 8 * BLOCK + 2, 0xfe00);
        matvec_run(kernel, &t);
        for (int c = 0; c < 4; c++)
            for (int r = 0; r < 6; r++)
                cr_assert_eq(!isfinite(y[c * 6 + r]), c == 1 || c == 2 || r == 2 || r == 4, "%s: y[%d][%d] = %g",
                             kernel->name, c, r, y[c * 6 + r]);
        if (!strcmp(kernel->path, "int8")) {
            const float *d = (float *)t.xd.at;
            const int32_t *s = (int32_t *)t.xs.at;
            cr_assert(d[2] == 0 && s[2] == 0 && isnan(d[t.k / 32 + 21]) && s[t.k / 32 + 21] == 0 && isnan(d[3 * t.k / 32 - 1]));
            for (int l = 0; l < 32; l++) cr_assert_eq(t.xq.at[64 + l], 0);
            for (int l = 0; l < 32; l++) cr_assert_eq(t.xq.at[t.k + 672 + l], 0);
        }
        matvec_drop(&t, kernel->name);
    }
}

/* The largest finite d, scale, minimum and x: no step may overflow before y does. */
Test(hip_kernels, matvec_large_values) {
    for (int i = 0; i < MATVECS; i++) {
        const bf_kernel *kernel = find(MATVEC[i]);
        matvec t = matvec_make(3, 512, 2, BF_F32, 0, 0);
        unsigned char *w = (unsigned char *)t.w.at;
        for (int b = 0; b < 6; b++) set16(w + b * BLOCK, 0x7bff), set16(w + b * BLOCK + 2, 0x7bff);
        memset(w + 4, 0xff, 12);
        for (int j = 0; j < 2 * 512; j++) ((float *)t.x.at)[j] = (float)(gauss() * (j % 32 ? 1 : 50) * 0x1p90);
        matvec_run(kernel, &t);
        if (!strcmp(kernel->path, "int8")) check_quantiser(&t, kernel->name);
        check_product(kernel, &t, 0);
        matvec_drop(&t, kernel->name);
    }
}

/* ---- q4k_dequant ---- */
static void dequant_check(const char *name, int m, int k, bf_dtype to, int offset) {
    const bf_kernel *kernel = find(name);
    int64_t n = (int64_t)m * k;
    block w = input((size_t)(n / 256) * BLOCK, 2 * offset), y = output((size_t)n * size_of(to), size_of(to) * offset);
    bf_problem p = {.dim = {m, k}, .type = {BF_Q4_K, to}, .ptr = {w.at, y.at}};
    random_weights((unsigned char *)w.at, n / 256, 0);
    for (int64_t b = 0; b < n / 256; b += 3) /* subnormal, huge and negative d */
        for (int f = 0; f < 2; f++) set16((unsigned char *)w.at + b * BLOCK + 2 * f, (uint16_t)(bits32() % 0x7c00 + 0x8000 * (bits32() & 1)));
    run(kernel, &p);
    for (int64_t i = 0; i < n; i++) {
        float want = (float)weight((unsigned char *)w.at, i, NULL); /* the double is exact: one rounding */
        uint32_t bits = to == BF_F32 ? bits_of(want) : to == BF_F16 ? f16_of(want) : bf16_of(want), got = 0;
        memcpy(&got, y.at + i * size_of(to), (size_t)size_of(to));
        if (want == 0 && (got & (to == BF_F32 ? 0x7fffffffu : 0x7fffu)) == 0) continue; /* the sign of zero is not promised */
        cr_assert_eq(got, bits, "%s: y[%ld] = %x, want %x", name, (long)i, got, bits);
    }
    drop(w, name), drop(y, name);
}
Test(hip_kernels, dequant) {
    static const char *const name[] = {"q4k_dequant_naive", "q4k_dequant_vec"};
    static const int M[] = {1, 3, 5, 16, 33, 67}, K[] = {256, 512, 2304, 1024, 256, 768};
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < 3; t++) {
            for (int s = 0; s < 6; s++) dequant_check(name[i], M[s], K[s], TYPES[t], 0);
            dequant_check(name[i], 3, 512, TYPES[t], 1);
        }
}

/* ---- convert ---- */
typedef struct verdict {
    uint32_t bits; /* after saturation where asked for */
    int count;     /* CONVERT_OVERFLOW .. CONVERT_NAN, -1 none */
} verdict;
static const uint32_t MAGNITUDE[] = {[BF_F32] = 0x7fffffff, [BF_F16] = 0x7fff, [BF_BF16] = 0x7fff};
static const uint32_t INFINITE[] = {[BF_F32] = 0x7f800000, [BF_F16] = 0x7c00, [BF_BF16] = 0x7f80};
static const uint32_t NORMAL[] = {[BF_F32] = 0x800000, [BF_F16] = 0x400, [BF_BF16] = 0x80};

/* NaN bits by the contract's table for hip. */
static uint32_t nan_bits(uint32_t v, bf_dtype from, bf_dtype to) {
    if (from == to) return v;
    uint32_t u = from == BF_F32 ? v : from == BF_BF16 ? v << 16
                                                      : (v & 0x8000) << 16 | 0x7fc00000 | (v & 0x3ff) << 13;
    if (to == BF_F32) return u;
    return to == BF_BF16 ? u >> 16 | 0x40 : (u >> 16 & 0x8000) | 0x7e00 | (u >> 13 & 0x3ff);
}
static verdict convert_want(uint32_t v, bf_dtype from, bf_dtype to, int saturate) {
    verdict want = {.count = -1};
    uint32_t in = v & MAGNITUDE[from];
    if (in > INFINITE[from]) return (verdict){nan_bits(v, from, to), CONVERT_NAN};
    float f = (float)value_at(from, &v, 0);
    want.bits = to == BF_F32 ? bits_of(f) : to == BF_F16 ? f16_of(f) : bf16_of(f);
    uint32_t out = want.bits & MAGNITUDE[to];
    if (out == INFINITE[to] && in != INFINITE[from]) want.count = CONVERT_OVERFLOW;
    if (in && !out) want.count = CONVERT_UNDERFLOW;
    if (out && out < NORMAL[to]) want.count = CONVERT_SUBNORMAL;
    if (saturate && out == INFINITE[to]) want.bits--;
    return want;
}
static void convert_check(const char *name, bf_dtype from, bf_dtype to, int64_t n, int saturate, int count, int offset) {
    block x = input((size_t)n * size_of(from), size_of(from) * offset), y = output((size_t)n * size_of(to), size_of(to) * offset);
    block c = output(32, 0);
    bf_problem p = {.dim = {n}, .param = {saturate, count}, .type = {from, to, BF_U64}, .ptr = {x.at, y.at, count ? c.at : NULL}};
    uint64_t total[CONVERT_COUNTS] = {0};
    for (int64_t i = 0; i < n; i++) { /* every pattern of 16 bits; of 32 the same with edges and noise below them */
        uint32_t u = (uint32_t)i & 0xffff, low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1000, 0x0fff, 0x2000, bits32() & 0xffff};
        if (from == BF_F32) u = u << 16 | low[(i >> 16) % 10];
        memcpy(x.at + i * size_of(from), &u, (size_t)size_of(from));
    }
    run(find(name), &p);
    for (int64_t i = 0; i < n; i++) {
        uint32_t v = 0, got = 0;
        memcpy(&v, x.at + i * size_of(from), (size_t)size_of(from));
        memcpy(&got, y.at + i * size_of(to), (size_t)size_of(to));
        verdict want = convert_want(v, from, to, saturate);
        cr_assert_eq(got, want.bits, "%s %d to %d: %x gives %x, want %x", name, from, to, v, got, want.bits);
        if (want.count >= 0) total[want.count]++;
    }
    for (int i = 0; count && i < CONVERT_COUNTS; i++)
        cr_assert_eq(((uint64_t *)c.at)[i], total[i], "%s %d to %d: count %d is %lu, want %lu", name, from, to, i,
                     (unsigned long)((uint64_t *)c.at)[i], (unsigned long)total[i]);
    drop(x, name), drop(y, name), drop(c, name);
}
static const char *const CONVERT[] = {"convert_naive", "convert_vec"};
Test(hip_kernels, convert_all_patterns) {
    for (int k = 0; k < 2; k++)
        for (int f = 0; f < 3; f++)
            for (int t = 0; t < 3; t++)
                for (int mode = 0; mode < 4; mode += 3)
                    convert_check(CONVERT[k], TYPES[f], TYPES[t], TYPES[f] == BF_F32 ? 655360 : 65536, mode & 1, mode >> 1, 0);
}
Test(hip_kernels, convert_lengths_and_alignment) {
    static const int64_t N[] = {1, 7, 8, 9, 2047, 8191, 8192, 8193, 16391, 40963};
    for (int k = 0; k < 2; k++)
        for (int s = 0; s < 10; s++)
            for (int mode = 0; mode < 4; mode++)
                for (int offset = 0; offset < 2; offset++)
                    convert_check(CONVERT[k], TYPES[s % 3], TYPES[(s + mode) % 3], N[s], mode & 1, mode >> 1, offset);
}

/* ---- stream ---- */
static void stream_check(const char *name, int mode, int store, int64_t n, int offset) {
    const bf_kernel *kernel = find(name);
    block x = input((size_t)n * 4, 4 * offset), z = input((size_t)n * 4, 4 * offset), y = output((size_t)n * 4, 4 * offset), c = output(4, 0);
    bf_problem p = {.dim = {n}, .param = {mode, store}, .type = {BF_F32, BF_F32, BF_F32, BF_U32}};
    p.ptr[STREAM_X] = mode == STREAM_WRITE ? NULL : x.at, p.ptr[STREAM_Z] = mode == STREAM_TRIAD ? z.at : NULL;
    p.ptr[STREAM_Y] = mode == STREAM_READ ? NULL : y.at, p.ptr[STREAM_C] = mode == STREAM_READ ? c.at : NULL;
    uint32_t all = 0, got;
    for (int64_t i = 0; i < n; i++) {
        float a = (float)(bits32() % 1000), b = (float)(bits32() % 1000);
        memcpy(x.at + 4 * i, &a, 4), memcpy(z.at + 4 * i, &b, 4);
        all ^= bits_of(a);
    }
    if (!kernel->accepts(&p)) goto done;
    run(kernel, &p);
    if (mode == STREAM_READ) cr_assert_eq(*(uint32_t *)c.at, all, "%s n=%ld", name, (long)n);
    for (int64_t i = 0; i < n && mode != STREAM_READ; i++) {
        double a = value_at(BF_F32, x.at, i), b = value_at(BF_F32, z.at, i);
        uint32_t want = mode == STREAM_WRITE ? 0x3f800000u | (i & 0xff) : bits_of((float)(mode == STREAM_COPY ? a : a + 3 * b));
        memcpy(&got, y.at + 4 * i, 4);
        cr_assert_eq(got, want, "%s mode %d store %d n=%ld: y[%ld]", name, mode, store, (long)n, (long)i);
    }
done:
    drop(x, name), drop(z, name), drop(y, name), drop(c, name);
}
Test(hip_kernels, stream) {
    static const int64_t N[] = {1, 4, 1020, 4095, 4096, 4100, 9001, 100004};
    for (int mode = STREAM_COPY; mode <= STREAM_TRIAD; mode++)
        for (int s = 0; s < 8; s++)
            for (int store = 0; store < 2; store++)
                for (int offset = 0; offset < 2; offset++)
                    for (int k = 0; k < 2; k++)
                        stream_check(k ? "stream_vec" : "stream_naive", mode, store, N[s], offset);
}
/* Both arrays longer in turn, shares with and without whole lines, tails, addresses that are not aligned. */
static void stream_mix_check(const char *name, int store, int64_t n, int64_t m, int offset) {
    const bf_kernel *kernel = find(name);
    block x = input((size_t)n * 4, 4 * offset), y = output((size_t)m * 4, 4 * offset), c = output(4, 0);
    bf_problem p = {.dim = {n, m}, .param = {STREAM_MIX, store}, .type = {BF_F32, BF_F32, BF_F32, BF_U32}};
    p.ptr[STREAM_X] = x.at, p.ptr[STREAM_Y] = y.at, p.ptr[STREAM_C] = c.at;
    uint32_t all = 0, got;
    for (int64_t i = 0; i < n; i++) {
        uint32_t word = bits32();
        memcpy(x.at + 4 * i, &word, 4);
        all ^= word;
    }
    if (kernel->accepts(&p)) {
        run(kernel, &p);
        cr_expect_eq(*(uint32_t *)c.at, all, "%s n=%ld m=%ld: c", name, (long)n, (long)m);
        for (int64_t i = 0; i < m; i++) {
            memcpy(&got, y.at + 4 * i, 4);
            cr_assert_eq(got, 0x3f800000u | (i & 0xff), "%s store %d n=%ld m=%ld: y[%ld]", name, store, (long)n, (long)m, (long)i);
        }
    }
    drop(x, name), drop(y, name), drop(c, name);
}
Test(hip_kernels, stream_mix) {
    static const int64_t sizes[][2] = {{4, 4}, {60, 4}, {4, 1028}, {4100, 8200}, {8200, 4100}, {30004, 4284}, {4284, 30004}, {9000, 8999}, {40001, 20003}, {12345, 70001}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int v = 0; v < 8; v++)
            stream_mix_check(v & 1 ? "stream_vec" : "stream_naive", v >> 1 & 1, sizes[s][0], sizes[s][1], v >> 2);
}

/* ---- twins: all there, all run, none gives the sound kernel's answer. (Which witness catches which: cases/.) ---- */
static void twin_matvec(const bf_kernel *twin) {
    matvec t = matvec_make(3, 1024, 2, BF_F32, 0, 0);
    block sound = take(t.y.bytes, 0, 0);
    matvec_run(find(!strcmp(twin->path, "int8") ? "q4k_matvec_int8_naive" : "q4k_matvec_fp32_naive"), &t);
    memcpy(sound.at, t.y.at, t.y.bytes);
    matvec_run(twin, &t);
    cr_assert(memcmp(sound.at, t.y.at, t.y.bytes), "%s gives the sound answer", twin->name);
    for (size_t i = 0; i < t.y.bytes / 4; i++) cr_assert(isfinite(((float *)t.y.at)[i]), "%s", twin->name);
    drop(sound, twin->name);
    matvec_drop(&t, twin->name);
}
static void twin_elementwise(const bf_kernel *twin, const char *name, bf_problem p, size_t out) {
    block y[2] = {output(out, 0), output(out, 0)};
    for (int i = 0; i < 2; i++) {
        p.ptr[1] = y[i].at;
        run(i ? twin : find(name), &p);
    }
    cr_assert(memcmp(y[0].at, y[1].at, out), "%s gives the sound answer", twin->name);
    drop(y[0], name), drop(y[1], twin->name);
}
Test(hip_kernels, twins) {
    int found = 0;
    block x = input(65536 * 4, 0), w = input(8 * BLOCK, 0);
    for (uint32_t i = 0; i < 65536; i++) {
        uint32_t u = i << 16 | (i % 3 == 0 ? 0x8000 : i % 3); /* ties, and a little more than what was truncated */
        memcpy(x.at + 4 * i, &u, 4);
    }
    random_weights((unsigned char *)w.at, 8, 0);
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (k->target != BF_HIP || k->role != BF_TWIN) continue;
        cr_assert_not_null(k->twin, "%s", k->name);
        found += !strcmp(k->op, "q4k_matvec") || !strcmp(k->op, "q4k_dequant") || !strcmp(k->op, "convert");
        if (!strcmp(k->op, "q4k_matvec")) twin_matvec(k);
        if (!strcmp(k->op, "q4k_dequant"))
            twin_elementwise(k, "q4k_dequant_naive", (bf_problem){.dim = {4, 512}, .type = {BF_Q4_K, BF_BF16}, .ptr = {w.at}}, 4096);
        if (!strcmp(k->op, "convert"))
            twin_elementwise(k, "convert_naive", (bf_problem){.dim = {65536}, .type = {BF_F32, BF_BF16}, .ptr = {x.at}}, 131072);
    }
    cr_assert_eq(found, 9 + 7 + 4 + 4, "%d twins", found);
    drop(x, "twins"), drop(w, "twins");
}
