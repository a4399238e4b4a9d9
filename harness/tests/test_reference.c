/* The references: against MPFR, against each other, and against the kernels' decoders, which they share no code with.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <mpfr.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/q4_k.h"
#include "../../reference/blas.h"
#include "../../reference/convert.h"
#include "../../reference/number.h"
#include "../../reference/q4_k.h"
#include "../../reference/q4k_matvec.h"
#include "../fill.h"
#include "../formats/npy.h"
#include "../ops/ops.h"

static const bf_dtype types[] = {BF_F32, BF_F16, BF_BF16};

/* x correctly rounded by MPFR to a format with that precision and exponent range, subnormals and overflow as in IEEE
 * 754. */
static double mpfr_rounded(bf_dtype type, double x) {
    bf_ref_format f = bf_ref_format_of(type);
    mpfr_exp_t emin = mpfr_get_emin(), emax = mpfr_get_emax();
    mpfr_t r;
    mpfr_init2(r, f.fraction + 1);
    mpfr_set_emin(f.emin - f.fraction + 1), mpfr_set_emax(f.emax + 1);
    int t = mpfr_set_d(r, x, MPFR_RNDN);
    t = mpfr_check_range(r, t, MPFR_RNDN);
    mpfr_subnormalize(r, t, MPFR_RNDN);
    double d = mpfr_get_d(r, MPFR_RNDN);
    mpfr_clear(r);
    mpfr_set_emin(emin), mpfr_set_emax(emax);
    return d;
}

Test(reference, encode_agrees_with_mpfr) {
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < 200000; i++) {
            uint32_t r[4];
            bf_random4(11, (uint32_t)t, (uint64_t)i, r);
            /* Exponents over and beyond the range of the format; a third of the values are ties or next to one. */
            bf_ref_format f = bf_ref_format_of(types[t]);
            int e = f.emin - f.fraction - 4 + (int)(r[0] % (uint32_t)(f.emax - f.emin + f.fraction + 8));
            double m = 1 + (double)r[1] * 0x1p-32 + (double)(r[2] >> 12) * 0x1p-52;
            if (r[3] % 3 == 0)
                m = 1 + ((double)(r[1] % (1u << (f.fraction + 1))) + 0.5 * (r[3] & 4 ? 1 : 0)) *
                            ldexp(1, -f.fraction - 1);
            if (r[3] % 7 == 0) m = nextafter(m, r[3] & 8 ? 0 : 9);
            double x = ldexp(r[3] & 1 ? -m : m, e), got = bf_ref_decode(types[t], bf_ref_encode(types[t], x));
            double want = mpfr_rounded(types[t], x);
            cr_assert(got == want && signbit(got) == signbit(x), "type %d: %a gave %a, MPFR %a", types[t], x, got,
                      want);
        }
}

Test(reference, decode_and_encode_are_inverse) {
    for (int t = 1; t < 3; t++)
        for (uint32_t u = 0; u < 65536; u++)
            if (!bf_ref_is_nan(types[t], u))
                cr_assert_eq(bf_ref_encode(types[t], bf_ref_decode(types[t], u)), u);
            else
                cr_assert(isnan(bf_ref_decode(types[t], u)));
}

/* The unit roundoff that the bounds use is the largest relative error of rounding, attained at 1 + u. */
Test(reference, unit_roundoffs) {
    static const double u[] = {0x1p-24, 0x1p-11, 0x1p-8};
    for (int t = 0; t < 3; t++) {
        cr_assert_eq(mpfr_rounded(types[t], 1 + u[t]), 1);
        cr_assert_eq(mpfr_rounded(types[t], 1 + u[t] * 1.001), 1 + 2 * u[t]);
        cr_assert_eq(bf_ref_ulp(types[t], 1), 2 * u[t]);
    }
    cr_assert_eq(u[0], BF_REF_U32);
}

Test(reference, gammas) {
    cr_assert_float_eq(bf_gamma(1000), 1000 * 0x1p-24 / (1 - 1000 * 0x1p-24), 1e-18);
    cr_assert_lt(bf_gamma_prob(4096), bf_gamma(4096));
    cr_assert_float_eq(bf_gamma_prob(1e6) / (8 * 1000 * 0x1p-24), 1, 1e-2);
    cr_assert_eq(bf_gamma_prob(4), bf_gamma(4)); /* few roundings: the worst case is the smaller one */
}

typedef struct conversion {
    bf_dtype from, to;
    bf_target target;
    int saturate;
    uint32_t in, out;
} conversion;

/* The table of kernels/common/convert.h, written out. */
Test(reference, conversions_by_the_contract) {
    static const conversion rows[] = {
        {BF_F32, BF_BF16, BF_CPU, 0, 0x7f800001, 0x7fc0},  {BF_F32, BF_BF16, BF_CUDA, 0, 0xff80ffff, 0xffc0},
        {BF_F32, BF_BF16, BF_HIP, 0, 0x7fa10000, 0x7fe1},  {BF_F32, BF_F16, BF_CPU, 0, 0x7f800001, 0x7e00},
        {BF_F32, BF_F16, BF_CPU, 0, 0xffc02000, 0xfe01},   {BF_F32, BF_F16, BF_CUDA, 0, 0xffc02000, 0x7fff},
        {BF_BF16, BF_F32, BF_CUDA, 0, 0x7f81, 0x7f810000}, {BF_F16, BF_F32, BF_CPU, 0, 0x7c01, 0x7fc02000},
        {BF_F16, BF_F32, BF_HIP, 0, 0xfe01, 0xffc02000},   {BF_F16, BF_BF16, BF_CPU, 0, 0x7c01, 0x7fc0},
        {BF_BF16, BF_F16, BF_CUDA, 0, 0xffc0, 0x7fff},     {BF_F32, BF_F32, BF_CPU, 0, 0x7f800001, 0x7f800001},
        {BF_F32, BF_F16, BF_CPU, 0, 0x477fefff, 0x7bff},   {BF_F32, BF_F16, BF_CPU, 0, 0x477ff000, 0x7c00},
        {BF_F32, BF_F16, BF_CPU, 1, 0x477ff000, 0x7bff},   {BF_F32, BF_F16, BF_CPU, 1, 0xff800000, 0xfbff},
        {BF_F32, BF_BF16, BF_CPU, 0, 0x7f7f8000, 0x7f80},  {BF_F32, BF_BF16, BF_CPU, 1, 0x7f7f8000, 0x7f7f},
        {BF_BF16, BF_F16, BF_CPU, 0, 0x3f80, 0x3c00},      {BF_BF16, BF_F16, BF_CPU, 0, 0x7f7f, 0x7c00},
        {BF_F32, BF_F16, BF_CPU, 0, 0x33000000, 0x0000},   {BF_F32, BF_F16, BF_CPU, 0, 0xb3000001, 0x8001},
        {BF_F32, BF_F16, BF_CPU, 0, 0x80000000, 0x8000},   {BF_F32, BF_BF16, BF_CPU, 0, 0x3f808000, 0x3f80},
        {BF_F32, BF_BF16, BF_CPU, 0, 0x3f818000, 0x3f82},  {BF_F16, BF_F32, BF_CPU, 0, 0x0001, 0x33800000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const conversion *r = &rows[i];
        bf_ref_converted c = bf_ref_convert(r->from, r->to, r->saturate, r->target, r->in);
        cr_expect_eq(c.bits, r->out, "row %zu: 0x%x gave 0x%x, want 0x%x", i, r->in, c.bits, r->out);
    }
    cr_assert(bf_ref_convert(BF_F16, BF_F32, 0, BF_CUDA, 0x7c01).any_nan);
    cr_assert(bf_ref_convert(BF_F32, BF_F16, 1, BF_CPU, 0x477ff000).overflow);
    cr_assert_not(bf_ref_convert(BF_F32, BF_F16, 1, BF_CPU, 0x7f800000).overflow);
    cr_assert(bf_ref_convert(BF_F32, BF_F16, 0, BF_CPU, 0x33000000).underflow);
    cr_assert(bf_ref_convert(BF_F32, BF_F16, 0, BF_CPU, 0x33800000).subnormal);
}

/* What ggml's conversions gave (cases/golden/README.md). Its software fp16 makes every NaN 0x7e00, so the F16C file
 * is compared, which follows the contract's rule for the CPU. */
static void same_as_golden(const char *in, const char *out, bf_dtype from, bf_dtype to) {
    npy_array a = {0}, b = {0};
    bf_error err;
    if (in) cr_assert_eq(npy_open(in, &a, &err), 0, "%s", err.text);
    cr_assert_eq(npy_open(out, &b, &err), 0, "%s", err.text);
    cr_assert_geq(b.elements, 7808);
    for (uint32_t i = 0; i < b.elements; i++) {
        uint32_t x = in ? bf_ref_bits_at(from, a.data, i) : i;
        uint32_t want = bf_ref_bits_at(to, b.data, i), got = bf_ref_convert(from, to, 0, BF_CPU, x).bits;
        cr_assert_eq(got, want, "%s: 0x%x gave 0x%x, golden 0x%x", out, x, got, want);
    }
    if (in) npy_close(&a);
    npy_close(&b);
}

Test(reference, conversions_agree_with_the_golden_files) {
    same_as_golden(NULL, "cases/golden/bf16_all_to_f32bits.npy", BF_BF16, BF_F32);
    same_as_golden(NULL, "cases/golden/fp16_all_to_f32bits.npy", BF_F16, BF_F32);
    same_as_golden("cases/golden/f32_special_bits.npy", "cases/golden/f32_special_to_bf16.npy", BF_F32, BF_BF16);
    same_as_golden("cases/golden/f32_special_bits.npy", "cases/golden/f32_special_to_fp16_f16c.npy", BF_F32, BF_F16);
}

Test(reference, q4_k_decoders_agree_on_random_blocks) {
    static unsigned char blocks[500 * 144];
    bf_fill_q4_k(BF_FILL_BITS, 3, 0, 500, 1, blocks);
    for (int i = 0; i < 500; i++) {
        bf_ref_q4_k ref;
        bf_q4_k b;
        uint32_t sc[2], mn[2], s[3];
        bf_ref_q4_k_decode(blocks + 144 * i, &ref);
        memcpy(&b, blocks + 144 * i, 144);
        memcpy(s, b.scales, 12);
        bf_q4_k_scales(s[0], s[1], s[2], sc, mn);
        for (int j = 0; j < 8; j++) {
            cr_assert_eq(ref.scale[j], (int)bf_q4_k_scale(b.scales, j));
            cr_assert_eq(ref.min[j], (int)bf_q4_k_min(b.scales, j));
            cr_assert_eq(ref.scale[j], (int)(sc[j / 4] >> 8 * (j % 4) & 255));
            cr_assert_eq(ref.min[j], (int)(mn[j / 4] >> 8 * (j % 4) & 255));
            for (int l = 0; l < 32; l++) cr_assert_eq(ref.q[32 * j + l], b.qs[32 * (j / 2) + l] >> 4 * (j & 1) & 15);
        }
    }
}

enum { M = 37, K = 768, N = 3 };
static unsigned char weights[M * K / 256 * 144];
static double x[N * K], y[N * M], size[N * M], y8[N * M], size8[N * M];
static unsigned char bad[M];

/* Both product references and a plain loop. */
Test(reference, products_agree) {
    static int8_t q[N * K];
    static float d[N * K / 32];
    static double w[K], s[K];
    unsigned char skip[N] = {0};
    bf_error err;
    bf_fill_q4_k(BF_FILL_GAUSS, 5, 0, M, K / 256, weights);
    for (int i = 0; i < N * K; i++) {
        uint32_t r[4];
        bf_random4(6, 0, (uint64_t)i, r);
        q[i] = (int8_t)((int)(r[0] % 255) - 127);
        d[i / 32] = (float)(1 + i / 32) * 0.001f;
        x[i] = (double)q[i] * d[i / 32];
    }
    cr_assert_eq(bf_ref_q4k_matvec(weights, M, K, x, N, y, size, bad, &err), 0, "%s", err.text);
    bf_ref_q4k_matvec_int8(weights, M, K, q, d, N, skip, y8, size8);
    for (int r = 0; r < M; r++) {
        cr_assert(bf_ref_q4_k_row(weights + r * K / 256 * 144, K, w, s));
        for (int c = 0; c < N; c++) {
            double sum = 0, sizes = 0;
            for (int k = 0; k < K; k++) sum += w[k] * x[c * K + k], sizes += s[k] * fabs(x[c * K + k]);
            int i = c * M + r;
            cr_assert_float_eq(size[i], sizes, sizes * K * 0x1p-52);
            cr_assert_float_eq(size8[i], sizes, sizes * K * 0x1p-52);
            cr_assert_float_eq(y[i], sum, sizes * K * 0x1p-52);
            cr_assert_float_eq(y8[i], sum, sizes * K * 0x1p-52);
        }
    }
}

Test(reference, bad_rows_are_marked_and_harm_no_other) {
    bf_error err;
    bf_fill_q4_k(BF_FILL_GAUSS, 5, 0, M, K / 256, weights);
    weights[5 * K / 256 * 144 + 144 + 1] = 0x7c; /* d of a block in row 5 becomes non-finite */
    for (int i = 0; i < N * K; i++) x[i] = 1;
    cr_assert_eq(bf_ref_q4k_matvec(weights, M, K, x, N, y, size, bad, &err), 0, "%s", err.text);
    for (int r = 0; r < M; r++) {
        cr_assert_eq(bad[r], r == 5);
        for (int c = 0; c < N; c++) cr_assert(isfinite(y[c * M + r]));
    }
}

Test(reference, openblas_has_a_core_that_fits) {
    cr_assert_str_neq(bf_blas_core(), "none");
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && !getenv("OPENBLAS_CORETYPE"))
        cr_assert_str_neq(bf_blas_core(), "Prescott", "OpenBLAS was loaded before its core could be chosen");
#endif
}
