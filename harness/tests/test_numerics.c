/* The numerics card: each arithmetic is told from its neighbours, on kernels that are known to have it: sound ones and twins. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../reference/number.h"
#include "../../reference/q4_k.h"
#include "../../reference/qblock.h"
#include "../numerics/numerics.h"

static const char *const hosts[] = {"cpu", "simt-cuda", "simt-hip"};

static bf_context *open_device(const bf_backend *b) {
    bf_discovery *d = calloc(1, sizeof *d);
    bf_error err;
    b->discover(d);
    cr_assert_eq(d->devices, 1, "%s", b->name);
    bf_context *x = b->open(&d->device[0], &err);
    cr_assert(x, "%s", err.text);
    free(d);
    return x;
}

static const bf_kernel *kernel_of(const bf_backend *b, const char *name) {
    for (size_t i = 0; i < bf_kernel_count(); i++)
        if (bf_kernel_at(i)->target == b->target && !strcmp(bf_kernel_at(i)->name, name)) return bf_kernel_at(i);
    cr_assert_fail("%s has no %s", b->name, name);
    return NULL;
}

typedef struct expectation {
    const char *kernel;
    int variant;
    const char *key, *text; /* text: how the finding begins */
} expectation;

static void meet(const char *family, const expectation *e, size_t n, const char *const *names, size_t count) {
    const bf_family *f = bf_families[0];
    for (int i = 0; bf_families[i]; i++)
        if (!strcmp(bf_families[i]->name, family)) f = bf_families[i];
    cr_assert_str_eq(f->name, family);
    for (size_t h = 0; h < count; h++) {
        const bf_backend *b = bf_backend_find(names[h]);
        bf_context *x = open_device(b);
        bf_traits r = {0};
        for (size_t i = 0; i < n; i++) {
            int same = i && !strcmp(e[i].kernel, e[i - 1].kernel) && e[i].variant == e[i - 1].variant;
            if (!same) bf_numerics_probe(f, b, x, kernel_of(b, e[i].kernel), e[i].variant, &r);
            cr_assert(!r.failed, "%s %s: %s", b->name, e[i].kernel, r.why);
            const bf_trait *t = bf_numerics_find(&r, e[i].key);
            cr_assert(t, "%s %s: no %s", b->name, e[i].kernel, e[i].key);
            cr_expect_eq(strncmp(t->text, e[i].text, strlen(e[i].text)), 0, "%s %s: %s is %s, want %s", b->name, e[i].kernel,
                         e[i].key, t->text, e[i].text);
        }
        b->close(x);
    }
}
#define MEET(family, table, names) meet(family, table, sizeof table / sizeof *table, names, sizeof names / sizeof *names)

Test(numerics, accumulators_are_told_apart) {
    static const expectation e[] = {
        {"linear_naive", 0, "accumulator_bits", "24 (fp32)"},
        {"linear_twin_acc-fp16", 0, "accumulator_bits", "11 (fp16)"},
        {"linear_twin_acc-bf16", 0, "accumulator_bits", "8 (bf16)"},
        {"q4k_matvec_fp32_naive", 0, "accumulator_bits", "24 (fp32)"},
        {"q4k_matvec_twin_acc-fp16", 0, "accumulator_bits", "11 (fp16)"},
        {"q4k_matvec_twin_acc-bf16", 0, "accumulator_bits", "8 (bf16)"},
        {"q4k_matvec_int8_naive", 0, "accumulator_bits", "24 (fp32)"},
        {"q4k_matvec_int8_twin_acc-fp16", 0, "accumulator_bits", "11 (fp16)"},
        {"attention_naive", 0, "accumulator_bits", "24 (fp32)"},
        {"attention_twin_v-acc-fp16", 0, "accumulator_bits", "11 (fp16)"},
        {"conv_naive", 0, "accumulator_bits", "24 (fp32)"},
        {"conv_twin_acc-fp16", 0, "accumulator_bits", "11 (fp16)"},
        {"conv_twin_acc-bf16", 0, "accumulator_bits", "8 (bf16)"},
        {"qblock_fp32_naive", 0, "accumulator_bits", "24 (fp32)"},
        {"qblock_fp32_naive", 1, "accumulator_bits", "24 (fp32)"},
        {"qblock_fp32_naive", 2, "accumulator_bits", "24 (fp32)"},
        {"qblock_fp32_twin_acc-fp16", 0, "accumulator_bits", "11 (fp16)"},
        {"qblock_fp32_twin_acc-bf16", 2, "accumulator_bits", "8 (bf16)"},
        {"qblock_int8_twin_acc-fp16", 1, "accumulator_bits", "11 (fp16)"},
    };
    MEET("sums", e, hosts);
}

Test(numerics, inputs_subnormals_integers_orders) {
    static const expectation e[] = {
        {"linear_naive", 0, "input_bits", "24"},
        {"linear_naive", 0, "subnormal_in", "kept"},
        {"linear_naive", 0, "subnormal_out", "kept"},
        {"linear_naive", 0, "order", "sequential"},
        {"linear_naive", 0, "integers_wrong", "exact"},
        {"linear_twin_x-tf32", 0, "input_bits", "11"},
        {"linear_twin_x-bf16", 0, "input_bits", "8"},
        {"linear_twin_acc-bf16", 0, "integers_wrong", "not exact"},
        {"linear_twin_acc-bf16", 0, "subnormal_out", "flushed"},
        {"q4k_matvec_twin_drop-block", 0, "integers_wrong", "not exact"},
        {"conv_naive", 0, "subnormal_in", "kept"},
        {"conv_twin_x-tf32", 0, "input_bits", "11"},
        {"conv_twin_x-bf16", 0, "input_bits", "8"},
        {"conv_twin_acc-bf16", 0, "integers_wrong", "not exact"},
        {"qblock_fp32_naive", 2, "subnormal_out", "kept"},
        {"qblock_fp32_naive", 2, "integers_wrong", "exact"},
        {"qblock_fp32_twin_x-tf32", 0, "input_bits", "11"},
        {"qblock_fp32_twin_scale-of-32", 0, "order", "sequential"},
        {"qblock_fp32_twin_swap-nibbles", 2, "integers_wrong", "not exact"},
    };
    MEET("sums", e, hosts);
}

Test(numerics, products_and_blocked_orders) {
    static const expectation plain[] = {{"linear_naive", 0, "product", "rounded"}}, /* -ffp-contract=off */
        fused[] = {{"linear_vec", 0, "product", "fused"}, {"linear_vec", 0, "order", "blocked 12/256"},
                   {"q4k_matvec_int8", 0, "order", "pairwise"}, {"q4k_matvec_int8", 0, "product", "integer"}},
        wmma[] = {{"linear_wmma", 0, "product", "exact"}, {"linear_wmma", 0, "accumulator_bits", "24 (fp32)"},
                  {"linear_wmma", 0, "integers_wrong", "not exact"}, {"linear_wmma", 0, "subnormal_in", "flushed"},
                  {"linear_wmma", 0, "order", "-"}};
    static const char *const cpu[] = {"cpu"}, *const gpus[] = {"simt-cuda", "simt-hip"}, *const hip[] = {"simt-hip"};
    MEET("sums", plain, cpu);
    MEET("sums", fused, gpus);
    MEET("sums", wmma, hip);
}

/* rows.c against the references' decoders: a probe is only as good as its weights. */
Test(numerics, rows_of_weights_are_what_they_say) {
    static const bf_dtype types[] = {BF_Q6_K, BF_Q8_0, BF_MXFP4, BF_Q4_K, BF_BF16};
    static unsigned char data[512 * 4];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int kind = BF_ROW_ONES; kind <= BF_ROW_RAMP; kind++) {
            double w[512] = {0}, size[512];
            bf_tensor t = {.type = types[i], .data = data, .bytes = bf_dtype_bytes(types[i], 512)};
            bf_row_fill(&t, kind);
            if (types[i] == BF_Q4_K) bf_ref_q4_k_row(data, 512, w, size);
            else if (types[i] == BF_BF16) for (int j = 0; j < 512; j++) w[j] = bf_ref_at(BF_BF16, data, j);
            else bf_ref_qblock_row(types[i], data, 512, w, size);
            for (int j = 0; j < 512; j++) cr_assert_eq(w[j], bf_row_weight(types[i], kind, j), "type %d kind %d: %d: %g", types[i], kind, j, w[j]);
        }
}

Test(numerics, conversions) {
    static const expectation e[] = {
        {"convert_naive", 0, "rounding", "nearest, ties to even"},
        {"convert_naive", 0, "subnormal_out", "kept"},
        {"convert_naive", 0, "subnormal_in", "kept"},
        {"convert_naive", 1, "rounding", "nearest, ties to even"},
        {"convert_naive", 1, "nan", "quiet, sign, payload"},
        {"convert_twin_trunc", 0, "rounding", "towards zero"},
        {"convert_twin_trunc", 1, "rounding", "towards zero"},
        {"convert_twin_half-away", 0, "rounding", "nearest, ties away"},
        {"convert_twin_half-away", 1, "rounding", "nearest, ties away"},
        {"convert_twin_flush-subnormal", 0, "subnormal_out", "flushed"},
        {"convert_twin_flush-subnormal", 0, "subnormal_in", "flushed"},
        {"convert_twin_flush-subnormal", 1, "subnormal_out", "flushed"},
        {"convert_twin_flush-subnormal", 1, "subnormal_in", "flushed"},
        {"convert_twin_nan-to-inf", 1, "nan", "an infinity"},
    };
    static const expectation cuda[] = {{"convert_naive", 0, "nan", "quiet"}}, ieee[] = {{"convert_naive", 0, "nan", "quiet, sign, payload"}};
    static const char *const cuda_only[] = {"simt-cuda"}, *const others[] = {"cpu", "simt-hip"};
    MEET("conversions", e, hosts);
    MEET("conversions", cuda, cuda_only);
    MEET("conversions", ieee, others);
}

static double finding(const bf_backend *b, bf_context *x, const char *kernel, const char *key) {
    bf_traits r;
    for (int i = 0; bf_families[i]; i++)
        if (!strcmp(bf_families[i]->name, "functions")) bf_numerics_probe(bf_families[i], b, x, kernel_of(b, kernel), 0, &r);
    cr_assert(!r.failed && bf_numerics_find(&r, key), "%s %s", b->name, kernel);
    return bf_numerics_find(&r, key)->value;
}

Test(numerics, functions) {
    for (int h = 0; h < 3; h++) {
        const bf_backend *b = bf_backend_find(hosts[h]);
        bf_context *x = open_device(b);
        /* exp2(t log2 e) with both factors rounded: at t = -87 an error of |t| u about each, 126 binades and the last two. */
        double exact = finding(b, x, "attention_naive", "exp_ulp"), root = finding(b, x, "norm_naive", "rsqrt_ulp");
        cr_expect(exact > 0 && exact < 87 * 2 + 4, "%s: exp %g ulp", b->name, exact);
        cr_expect(root > 0 && root < 4, "%s: rsqrt %g ulp", b->name, root);
        cr_expect_gt(finding(b, x, "attention_twin_scale-1.02", "exp_ulp"), 1e5);
        cr_expect_gt(finding(b, x, "attention_twin_p-bf16", "exp_ulp"), 1e4); /* 8 bits of 24 */
        cr_expect_gt(finding(b, x, "norm_twin_acc-fp16", "rsqrt_ulp"), 1e3);
        b->close(x);
    }
}

static int refuse(bf_context *x, const bf_kernel *k, const bf_problem *p, bf_error *err) {
    (void)x, (void)k, (void)p;
    return bf_fail(err, "launch failed");
}
Test(numerics, a_failing_device_is_named) {
    bf_backend broken = *bf_backend_find("cpu");
    broken.run = refuse;
    bf_context *x = open_device(bf_backend_find("cpu"));
    static const char *const names[] = {"linear_naive", "convert_naive", "norm_naive"};
    for (int i = 0; i < 3; i++) {
        bf_traits r;
        bf_numerics_probe(bf_families[i], &broken, x, kernel_of(&broken, names[i]), 0, &r);
        cr_expect(r.failed && strstr(r.why, "launch failed"), "%s: %s", names[i], r.why);
    }
    broken.close(x);
}
