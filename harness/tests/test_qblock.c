/* Q6_K, Q8_0 and MXFP4: four decoders that share no code agree, the product references agree, real files give cases. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/mxfp4.h"
#include "../../kernels/common/q6_k.h"
#include "../../kernels/common/q8_0.h"
#include "../../kernels/common/qblock.h"
#include "../../kernels/cpu/fp16.h"
#include "../../kernels/cpu/mxfp4_scales.h"
#include "../../reference/q4k_matvec.h"
#include "../../reference/qblock.h"
#include "../case.h"
#include "../fill.h"
#include "../formats/blocks.h"
#include "../weights.h"

enum { TYPES = 3 };
static const bf_dtype types[TYPES] = {BF_Q6_K, BF_Q8_0, BF_MXFP4};
static const char *const gguf_names[TYPES] = {"Q6_K", "Q8_0", "MXFP4"};

/* q of weight i by the kernels' own decoder. */
static int kernels_value(bf_dtype type, const unsigned char *block, int i) {
    if (type == BF_Q6_K) return bf_q6_k_value((const bf_q6_k *)block, i);
    return type == BF_Q8_0 ? ((const bf_q8_0 *)block)->qs[i] : bf_mxfp4_integer(bf_mxfp4_code((const bf_mxfp4 *)block, i));
}

Test(qblock, the_references_decoder_the_kernels_and_the_file_readers_agree) {
    for (int t = 0; t < TYPES; t++) {
        bf_ref_qblock size = bf_ref_qblock_of(types[t]);
        const bf_block_format *file = bf_block_format_of(gguf_names[t]);
        enum { BLOCKS = 300 };
        unsigned char *blocks = malloc((size_t)(BLOCKS * size.bytes));
        bf_fill_qblock(BF_FILL_BITS, types[t], 3, 0, BLOCKS, 1, blocks);
        for (int b = 0; b < BLOCKS; b++) {
            const unsigned char *p = blocks + b * size.bytes;
            double w[256];
            float f[256];
            int finite = bf_ref_qblock_row(types[t], p, size.weights, w, NULL);
            cr_assert_eq(finite, file->values(p, f));
            bf_ref_qblock r = bf_ref_qblock_decode(types[t], p);
            for (int i = 0; i < size.weights; i++) {
                cr_assert_eq(kernels_value(types[t], p, i), r.q[i], "type %d block %d weight %d", t, b, i);
                if (finite) cr_assert(fabs(w[i]) < 0x1p128 ? (double)f[i] == w[i] : isinf(f[i]) && (f[i] > 0) == (w[i] > 0), "type %d block %d weight %d: %g, %g", t, b, i, f[i], w[i]);
            }
        }
        free(blocks);
    }
}

/* Every scale with every code, in both nibbles: the table of OCP Microscaling Formats 1.0, 5.3.3, written out. */
Test(qblock, mxfp4_every_scale_and_code) {
    static const double element[8] = {0, .5, 1, 1.5, 2, 3, 4, 6};
    const bf_block_format *file = bf_block_format_of("MXFP4");
    bf_mxfp4 b;
    for (int i = 0; i < 16; i++) b.qs[i] = (uint8_t)(i | (15 - i) << 4);
    for (int e = 0; e < 256; e++) {
        double w[32], scale = ldexp(1, e - 127);
        float f[32], half = bf_float(bf_mxfp4_half_scale((uint32_t)e));
        b.e = (uint8_t)e;
        cr_assert_eq(bf_ref_qblock_row(BF_MXFP4, (const unsigned char *)&b, 32, w, NULL), e != 255);
        cr_assert_eq(file->values((const uint8_t *)&b, f), e != 255);
        cr_assert(e == 255 ? isnan(half) && isnan(qblock_half_scales[e]) : half == 0.5 * scale && half == qblock_half_scales[e], "e %d", e);
        for (int i = 0; i < 32; i++) {
            int code = i < 16 ? i : 31 - i;
            double want = (code & 8 ? -1 : 1) * element[code & 7] * scale;
            float got = (float)bf_mxfp4_integer(bf_mxfp4_code(&b, i)) * half;
            if (e == 255) {
                cr_assert(isnan(w[i]) && isnan(f[i]) && isnan(got));
                continue;
            }
            cr_assert_eq(w[i], want, "e %d, code %d", e, code);
            cr_assert(fabs(want) < 0x1p128 ? got == want : isinf(got), "e %d, code %d: %g", e, code, got);
            cr_assert(!memcmp(&got, &f[i], 4) && !!signbit(got) == (want < 0), "e %d, code %d", e, code);
        }
    }
}

Test(qblock, integer_form_and_dgemm_agree) {
    enum { M = 5, K = 512, N = 3 };
    static unsigned char w[M * K * 2], bad[M], skip[N];
    static int8_t q[N * K];
    static float d[N * K / 32];
    static double x[N * K], y[N * M], size[N * M], y8[N * M], size8[N * M];
    for (int i = 0; i < N * K / 32; i++) d[i] = ldexpf(1 + (float)i / 64, -i % 7);
    for (int i = 0; i < N * K; i++) q[i] = (int8_t)(i * 37 % 255 - 127), x[i] = (double)d[i / 32] * q[i];
    for (int t = 0; t < TYPES; t++) {
        bf_error err;
        bf_fill_qblock(BF_FILL_HEAVY, types[t], 5, 0, M, K / bf_ref_qblock_of(types[t]).weights, w);
        bf_ref_q4k_sums s = {.y = y, .magnitude = size, .bad_row = bad};
        cr_assert_eq(bf_ref_q4k_product(types[t], w, M, K, x, N, &s, &err), 0, "%s", err.text);
        bf_ref_qblock_int8(types[t], w, M, K, q, d, N, skip, y8, size8);
        for (int i = 0; i < N * M; i++) {
            cr_assert(fabs(y[i] - y8[i]) <= 1e-12 * size[i], "%d: %g, %g", i, y[i], y8[i]);
            cr_assert(fabs(size[i] - size8[i]) <= 1e-12 * size[i]);
        }
    }
}

/* A block without a scale that is a number is left to the class of the result: the sums of its row go on without it. */
Test(qblock, integer_form_leaves_bad_blocks_out) {
    enum { M = 2, K = 512 };
    static unsigned char w[M * K * 2], skip[1];
    static int8_t q[K];
    static float d[K / 32];
    double y[M], size[M];
    for (int i = 0; i < K / 32; i++) d[i] = 1;
    for (int i = 0; i < K; i++) q[i] = (int8_t)(i % 7 - 3);
    for (int t = 0; t < TYPES; t++) {
        bf_ref_qblock of = bf_ref_qblock_of(types[t]);
        bf_fill_qblock(BF_FILL_GAUSS, types[t], 5, 0, M, K / of.weights, w);
        if (types[t] == BF_MXFP4) w[0] = 255;
        else memset(w + (types[t] == BF_Q6_K ? of.bytes - 2 : 0), 0x7f, 2); /* fp16 NaN */
        cr_assert_eq(bf_ref_qblock_decode(types[t], w).finite, 0);
        bf_ref_qblock_int8(types[t], w, M, K, q, d, 1, skip, y, size);
        cr_assert(isfinite(y[0]) && isfinite(size[0]) && size[0] > 0 && isfinite(y[1]), "%d: %g, %g", t, y[0], size[0]);
    }
}

/* The largest integer sum of a block of 32: both halves at 16 * 32 * 127 * 128 stay below 2^24 (qblock.h). */
Test(qblock, block_sums_are_exact_in_fp32) { cr_assert_lt(2 * 16 * 32 * 127 * 128, 1 << 24); }

static size_t count(const bf_case_list *list, const char *op, bf_dtype type, int golden) {
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++)
        n += !strcmp(list->item[i].op->name, op) && list->item[i].problem.type[0] == type && (!golden || list->item[i].golden);
    return n;
}

Test(qblock, weights_of_a_file_become_cases_of_their_own_type) {
    bf_case_list list = {0};
    bf_error err;
    char skipped[512];
    const char *file = "cases/golden/blocks_golden.gguf";
    cr_assert_eq(bf_weights_cases(file, NULL, NULL, &list, skipped, sizeof skipped, &err), 0, "%s", err.text);
    cr_assert_eq(list.count, 8);
    cr_assert_str_eq(skipped, "6 F32, 1 Q4_0 and 1 Q5_K");
    cr_assert_eq(count(&list, "q4k_dequant", BF_Q4_K, 1), 1);
    for (int t = 0; t < TYPES; t++) {
        cr_assert_eq(count(&list, "qblock_dequant", types[t], 1), 1, "golden values of %s", bf_dtype_name(types[t]));
        cr_assert_eq(count(&list, "qblock_matmul", types[t], 0), 1);
    }
    bf_case_list_free(&list);
    list = (bf_case_list){0};
    cr_assert_eq(bf_weights_cases(file, NULL, "qblock_matmul n=3 x=bf16", &list, skipped, sizeof skipped, &err), 0, "%s", err.text);
    cr_assert(strstr(skipped, "1 Q4_K"), "this op does not take it: %s", skipped);
    cr_assert_eq(list.count, 3, "only the formats that the op takes");
    bf_case_list_free(&list);
    list = (bf_case_list){0};
    cr_assert_neq(bf_weights_cases(file, "q4_0*", NULL, &list, skipped, sizeof skipped, &err), 0);
    cr_assert(strstr(err.text, "none of its 4"), "%s", err.text);
}

Test(qblock, a_row_that_fills_no_block_is_refused) {
    bf_case_list list = {0};
    bf_error err = {{0}};
    const char *line = "qblock_matmul w=q6_k m=8 k=32";
    bf_tensor t[BF_MAX_TENSORS];
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &list, &err), 0, "%s", err.text);
    cr_assert_neq(list.item[0].op->tensors(&list.item[0].problem, NULL, t, &err), 0);
    cr_assert(strstr(err.text, "multiple of 256"), "%s", err.text);
    bf_case_list_free(&list);
}
