/* The fills: what each promises, and that the bytes never change. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../reference/number.h"
#include "../../reference/q4_k.h"
#include "../fill.h"

Test(fill, names_are_known_and_parse_back) {
    for (int i = 0; i < BF_FILLS; i++) cr_assert_eq(bf_fill_parse(bf_fill_name((bf_fill)i)), i);
    cr_assert_not(bf_fill_known("gaus"));
    cr_assert_not(bf_fill_known(""));
    cr_assert_not(bf_fill_known(NULL));
}

static uint64_t hash(const void *data, size_t n) { /* FNV-1a */
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* A change here changes the data of every recorded case: give the fill another name instead. */
Test(fill, bytes_are_the_same_on_every_machine) {
    static float values[2 * 512];
    static unsigned char blocks[3 * 2 * 144];
    static const struct {
        uint64_t values, blocks;
    } want[BF_FILLS] = {
        [0] = {0x3cf6dc698b52d50cu, 0x95378bef14494283u},  /* gauss */
        [1] = {0xdb07ef97c2e31880u, 0x95378bef14494283u},  /* outlier */
        [2] = {0x1b2d62f2f3514f5du, 0xb4887627c4cbd057u},  /* heavy */
        [3] = {0x731459248fe178d1u, 0x95378bef14494283u},  /* uniform */
        [4] = {0x17600a2d7a7886c0u, 0xe06c79736ea90dedu},  /* integer */
        [5] = {0x36c762e02097c870u, 0xa83f87e660a3a8e6u},  /* edge */
        [6] = {0x36c762e02097c870u, 0xa83f87e660a3a8e6u},  /* finite-edge */
        [7] = {0xa9bc16431ff5cf25u, 0x77a6ecfef7a850c1u},  /* constant */
        [8] = {0x703f07ebc5be8e65u, 0x95378bef14494283u},  /* onehot */
        [9] = {0x4d2737a1b8714d77u, 0x95378bef14494283u},  /* sparse */
        [10] = {0xb8b6e6784e2ac325u, 0x5906e99b073d7e76u}, /* swamp */
        [11] = {0xd81a2bd442a3855cu, 0x8dc6ce8fea921422u}, /* bits */
        [12] = {0x3966775e6cb814b8u, 0x8dc6ce8fea921422u}, /* ties */
        [13] = {0x0aa3eaf0149269cbu, 0x8dc6ce8fea921422u}, /* all16 */
        [14] = {0x8d4b90e3dcf49fa5u, 0x24127a68b4dac7fbu}, /* zeros */
    };
    for (int f = 0; f < BF_FILLS; f++) {
        bf_fill_values((bf_fill)f, 42, 1, BF_F32, 2, 512, 0, values);
        bf_fill_q4_k((bf_fill)f, 42, 0, 3, 2, blocks);
        cr_expect(hash(values, sizeof values) == want[f].values && hash(blocks, sizeof blocks) == want[f].blocks,
                  "[%d] = {0x%016llxu, 0x%016llxu}, /* %s */", f, (unsigned long long)hash(values, sizeof values),
                  (unsigned long long)hash(blocks, sizeof blocks), bf_fill_name((bf_fill)f));
    }
}

Test(fill, bytes_of_every_block_format_are_the_same_on_every_machine) {
    static unsigned char blocks[8 * 8 * 210];
    static const bf_dtype types[] = {BF_Q6_K, BF_Q8_0, BF_MXFP4};
    static const uint64_t want[BF_FILLS][3] = {
        [0] = {0x83b1a0f1bedeebdau, 0xa48056df0316027au, 0xf81c0a1659eff900u}, /* gauss */
        [1] = {0xd444192ff4923757u, 0xa522f8528904975eu, 0x2ad1982b131cee6cu}, /* outlier */
        [2] = {0x19d4ffd94a428f0du, 0x6079f3f5d4367e8au, 0x5df80b458ffeff5au}, /* heavy */
        [3] = {0x83b1a0f1bedeebdau, 0xa48056df0316027au, 0xf81c0a1659eff900u}, /* uniform */
        [4] = {0x9015af1798198017u, 0x5d4d2a96183f436fu, 0xeb414453cdc2f6f3u}, /* integer */
        [5] = {0xc1c6e4ba132be769u, 0xa1409f4879c0522bu, 0x39da587bb3772a42u}, /* edge */
        [6] = {0xdc0d6adf5cc255abu, 0x2eebb19747db0a39u, 0x82c731b678e4b7a3u}, /* finite-edge */
        [7] = {0x4ab0060dc1b8c45cu, 0x3300f58c83bc1ad8u, 0x34ff5b7fcba839eau}, /* constant */
        [8] = {0x83b1a0f1bedeebdau, 0xa48056df0316027au, 0xf81c0a1659eff900u}, /* onehot */
        [9] = {0x83b1a0f1bedeebdau, 0xa48056df0316027au, 0xf81c0a1659eff900u}, /* sparse */
        [10] = {0x94e953481e8bfd5cu, 0x5c7cb19462aed598u, 0x06644629239071eau}, /* swamp */
        [11] = {0x7f5334df9c42c954u, 0x985a5f40cd313cc3u, 0x0cbd757f22e79cb5u}, /* bits */
        [12] = {0x7f5334df9c42c954u, 0x985a5f40cd313cc3u, 0x0cbd757f22e79cb5u}, /* ties */
        [13] = {0x7f5334df9c42c954u, 0x985a5f40cd313cc3u, 0x0cbd757f22e79cb5u}, /* all16 */
        [14] = {0xe0120709e3cbdea7u, 0x1baeaf8222c882a7u, 0x0089414eb5faf072u}, /* zeros */
    };
    for (int f = 0; f < BF_FILLS; f++) {
        uint64_t h[3];
        for (int i = 0; i < 3; i++) {
            memset(blocks, 0, sizeof blocks);
            bf_fill_qblock((bf_fill)f, types[i], 42, 0, 8, 8, blocks);
            h[i] = hash(blocks, sizeof blocks);
        }
        cr_expect(!memcmp(h, want[f], sizeof h), "[%d] = {0x%016llxu, 0x%016llxu, 0x%016llxu}, /* %s */", f, (unsigned long long)h[0],
                  (unsigned long long)h[1], (unsigned long long)h[2], bf_fill_name((bf_fill)f));
    }
}

Test(fill, bytes_of_the_16_bit_types_are_the_same_on_every_machine) {
    static uint16_t values[2 * 512];
    static const bf_dtype types[] = {BF_F16, BF_BF16};
    static const uint64_t want[BF_FILLS][2] = {
        [0] = {0x98f1c62ba958cc8au, 0x4b61f27ee2041cbcu}, /* gauss */
        [1] = {0x5ca25cb20caf3d48u, 0x949abb8cefca9c0bu}, /* outlier */
        [2] = {0x30bfb8489d3d7366u, 0x5bfad96a8e558b70u}, /* heavy */
        [3] = {0x4903fbc4b8a5aeb2u, 0x2d90014de898f728u}, /* uniform */
        [4] = {0x107b518ddfdf8ee5u, 0x02594af810fd9325u}, /* integer */
        [5] = {0x8b4a868fd32618ebu, 0xee43ab3f8f6aacb0u}, /* edge */
        [6] = {0x05290061079b0699u, 0x376fb9a8ae146978u}, /* finite-edge */
        [7] = {0x2d8913c4ccf16325u, 0x89fbdfa280b04b25u}, /* constant */
        [8] = {0x266cdc4aa96312e1u, 0x4b924c422a57f038u}, /* onehot */
        [9] = {0x55ba5b0ae0658bd3u, 0x07cf97685301b662u}, /* sparse */
        [10] = {0xcfe9a6e9d9072cb5u, 0x34af0ee89885d547u}, /* swamp */
        [11] = {0x4763fb22f1b9b2bcu, 0x4763fb22f1b9b2bcu}, /* bits */
        [12] = {0x4763fb22f1b9b2bcu, 0x4763fb22f1b9b2bcu}, /* ties */
        [13] = {0xa572bf4726c0ee25u, 0xa572bf4726c0ee25u}, /* all16 */
        [14] = {0x226415007d1dc0a5u, 0x226415007d1dc0a5u}, /* zeros */
    };
    for (int f = 0; f < BF_FILLS; f++) {
        uint64_t h[2];
        for (int i = 0; i < 2; i++) bf_fill_values((bf_fill)f, 42, 1, types[i], 0, 1024, 0, values), h[i] = hash(values, sizeof values);
        cr_expect(!memcmp(h, want[f], sizeof h), "[%d] = {0x%016llxu, 0x%016llxu}, /* %s */", f, (unsigned long long)h[0],
                  (unsigned long long)h[1], bf_fill_name((bf_fill)f));
    }
}

Test(fill, an_element_does_not_depend_on_the_length) {
    static float few[64], many[4096];
    for (int f = BF_FILL_GAUSS; f <= BF_FILL_INTEGER; f++) {
        bf_fill_values((bf_fill)f, 7, 0, BF_F32, 1, 64, 0, few);
        bf_fill_values((bf_fill)f, 7, 0, BF_F32, 1, 4096, 0, many);
        cr_assert(!memcmp(few, many, sizeof few), "%s", bf_fill_name((bf_fill)f));
    }
}

Test(fill, seeds_and_streams_differ) {
    static float a[256], b[256], c[256];
    bf_fill_values(BF_FILL_GAUSS, 1, 0, BF_F32, 1, 256, 0, a);
    bf_fill_values(BF_FILL_GAUSS, 2, 0, BF_F32, 1, 256, 0, b);
    bf_fill_values(BF_FILL_GAUSS, 1, 1, BF_F32, 1, 256, 0, c);
    int same = 0;
    for (int i = 0; i < 256; i++) same += a[i] == b[i] || a[i] == c[i];
    cr_assert_leq(same, 2);
}

/* Sample moments of 2^20 values; limits are five standard errors: 5/sqrt(n), 5 sqrt(2/n), 5 sqrt(96/n). */
Test(fill, gauss_has_the_moments_of_a_gaussian) {
    const int n = 1 << 20;
    double s1 = 0, s2 = 0, s4 = 0, lag = 0, last = 0;
    for (int i = 0; i < n; i++) {
        uint32_t r[4];
        bf_random4(3, 0, (uint64_t)i, r);
        double x = bf_random_gauss(r);
        s1 += x, s2 += x * x, s4 += x * x * x * x, lag += x * last, last = x;
    }
    cr_assert_lt(fabs(s1 / n), 5 / sqrt(n));
    cr_assert_lt(fabs(lag / n), 5 / sqrt(n));
    cr_assert_lt(fabs(s2 / n - 1), 5 * sqrt(2.0 / n));
    cr_assert_lt(fabs(s4 / n - 3), 0.025 + 5 * sqrt(96.0 / n)); /* 0.025: its own kurtosis is 2.98 */
}

Test(fill, integer_blocks_hold_127_once_and_small_integers) {
    static float x[4 * 1024];
    bf_fill_values(BF_FILL_INTEGER, 5, 1, BF_F32, 4, 1024, 0, x);
    for (int row = 0; row < 4; row++) {
        double unit = ldexp(1, bf_fill_integer_exponent(5, 1, row));
        for (int b = 0; b < 32; b++) {
            int large = 0;
            for (int i = 0; i < 32; i++) {
                double v = fabs(x[row * 1024 + b * 32 + i]) / unit;
                cr_assert(v == 127 || v == 1 || v == 0);
                large += v == 127;
            }
            cr_assert_eq(large, 1);
        }
    }
}

/* The claim of fill.h: sums of magnitudes stay below 2^24 units up to K = 64 * 256. */
Test(fill, integer_sums_are_exact_in_fp32) {
    enum { K = 64 * 256 };
    static float x[K];
    static unsigned char blocks[64 * 144];
    static double w[K], size[K];
    for (uint64_t seed = 1; seed < 20; seed++) {
        bf_fill_values(BF_FILL_INTEGER, seed, 1, BF_F32, 1, K, 0, x);
        bf_fill_q4_k(BF_FILL_INTEGER, seed, 0, 1, 64, blocks);
        cr_assert(bf_ref_q4_k_row(blocks, K, w, size));
        double sum = 0, unit = ldexp(1, bf_fill_integer_exponent(seed, 1, 0) + bf_fill_integer_exponent(seed, 0, 0));
        for (int i = 0; i < K; i++) sum += size[i] * fabs(x[i]);
        cr_assert_lt(sum / unit, 0x1p24);
        cr_assert_eq(sum / unit, floor(sum / unit));
    }
}

Test(fill, edges_hold_every_class_in_every_type) {
    static const bf_dtype types[] = {BF_F32, BF_F16, BF_BF16};
    static uint32_t data[512];
    for (int t = 0; t < 3; t++) {
        int nan = 0, inf = 0, minus_zero = 0, subnormal = 0, largest = 0, signalling = 0;
        bf_ref_format f = bf_ref_format_of(types[t]);
        bf_fill_values(BF_FILL_EDGE, 1, 0, types[t], 0, 512, 0, data);
        for (int i = 0; i < 512; i++) {
            uint32_t u = bf_ref_bits_at(types[t], data, i);
            double v = bf_ref_decode(types[t], u);
            nan += isnan(v), inf += isinf(v) != 0, minus_zero += v == 0 && signbit(v);
            subnormal += bf_ref_is_subnormal(types[t], u), largest += v == bf_ref_largest(types[t]);
            signalling += isnan(v) && !(u >> (f.fraction - 1) & 1);
        }
        cr_assert(nan && inf && minus_zero && subnormal && largest && signalling, "type %d", types[t]);
        bf_fill_values(BF_FILL_FINITE_EDGE, 1, 0, types[t], 0, 512, 0, data);
        for (int i = 0; i < 512; i++) cr_assert(isfinite(bf_ref_at(types[t], data, i)));
    }
}

/* Rows by (row + seed) % 4: 1 non-finite, 3 up to FLT_MAX, 0 and 2 at most 2^63. */
Test(fill, edge_rows_keep_apart) {
    static float x[8 * 512];
    bf_fill_values(BF_FILL_EDGE, 2, 1, BF_F32, 8, 512, 0, x);
    for (int row = 0; row < 8; row++) {
        int bad = 0, kind = (row + 2) % 4;
        float largest = 0;
        for (int i = 0; i < 512; i++) {
            bad += !isfinite(x[row * 512 + i]);
            if (isfinite(x[row * 512 + i])) largest = fmaxf(largest, fabsf(x[row * 512 + i]));
        }
        cr_assert_eq(bad > 0, kind == 1, "row %d: %d", row, bad);
        cr_assert_eq(largest, kind == 3 ? FLT_MAX : 0x1p63f, "row %d: %g", row, largest);
    }
}

Test(fill, all16_is_all_patterns) {
    static uint16_t h[65536];
    bf_fill_values(BF_FILL_ALL16, 1, 0, BF_F16, 0, 65536, 0, h);
    for (int i = 0; i < 65536; i++) cr_assert_eq(h[i], i);
}

Test(fill, ties_lie_half_way_for_a_16_bit_type) {
    static float x[4096];
    int halves[2] = {0};
    bf_fill_values(BF_FILL_TIES, 1, 0, BF_F32, 0, 4096, 0, x);
    for (int i = 0; i < 4096; i++)
        for (int t = 0; t < 2; t++) {
            if (!isfinite(x[i])) continue;
            double ulp = bf_ref_ulp(t ? BF_BF16 : BF_F16, x[i]), rest = fabs(x[i]) / ulp;
            halves[t] += rest - floor(rest) == 0.5 && fabs(x[i]) < 65504;
        }
    cr_assert(halves[0] > 1000 && halves[1] > 500, "%d fp16, %d bf16", halves[0], halves[1]);
}

Test(fill, onehot_sparse_and_scale) {
    static float x[8 * 512];
    bf_fill_values(BF_FILL_ONEHOT, 9, 1, BF_F32, 8, 512, 3, x);
    for (int row = 0; row < 8; row++) {
        float sum = 0;
        for (int i = 0; i < 512; i++) sum += x[row * 512 + i];
        cr_assert_eq(sum, 8.0f);
    }
    bf_fill_values(BF_FILL_SPARSE, 9, 1, BF_F32, 8, 512, 0, x);
    for (int row = 0; row < 8; row++) {
        int some = 0;
        for (int i = 0; i < 512; i++) some += x[row * 512 + i] != 0;
        cr_assert(some >= 1 && some <= 4);
    }
}

/* Standard deviation near 0.025 and mean near 0, as quantised weights of a model have. */
Test(fill, gauss_weights_look_like_weights) {
    static unsigned char blocks[256 * 144];
    static double w[256 * 256];
    bf_fill_q4_k(BF_FILL_GAUSS, 1, 0, 256, 1, blocks);
    cr_assert(bf_ref_q4_k_row(blocks, 256 * 256, w, NULL));
    double s1 = 0, s2 = 0;
    for (int i = 0; i < 65536; i++) s1 += w[i], s2 += w[i] * w[i];
    cr_assert_lt(fabs(s1 / 65536), 0.005);
    cr_assert(sqrt(s2 / 65536) > 0.015 && sqrt(s2 / 65536) < 0.04, "%g", sqrt(s2 / 65536));
}
