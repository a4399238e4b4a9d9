/* The step-function check: its table against MPFR-free arithmetic at every step, and single wrong codes that it must
 * find. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/bf16.h"
#include "../../kernels/common/convert.h"
#include "../../reference/convert.h"
#include "../../reference/number.h"
#include "../compare.h"
#include "../exhaustive.h"

static uint32_t first[32769];
static const bf_dtype targets[] = {BF_F16, BF_BF16};

Test(exhaustive, steps_are_where_rounding_says) {
    for (int t = 0; t < 2; t++) {
        int top = bf_exhaustive_steps(targets[t], first, 32769);
        cr_assert_eq(top, t ? 0x7f80 : 0x7c00);
        for (int c = 1; c <= top; c++) {
            cr_assert_gt(first[c], first[c - 1]);
            cr_assert_eq((int)bf_ref_convert(BF_F32, targets[t], 0, BF_CPU, first[c]).bits, c);
            cr_assert_eq((int)bf_ref_convert(BF_F32, targets[t], 0, BF_CPU, first[c] - 1).bits, c - 1);
        }
    }
    cr_assert_eq(bf_exhaustive_steps(BF_F16, first, 100), -1);
}

enum { N = 1 << 16 };
static uint16_t got[N];

static void right(bf_dtype to, uint32_t start) {
    for (uint32_t i = 0; i < N; i++) got[i] = (uint16_t)bf_ref_convert(BF_F32, to, 0, BF_CPU, start + i).bits;
}

/* Blocks around zero, subnormals, one, overflow, infinity and NaN, both signs: right passes, one wrong code fails and
 * is named by its input. */
Test(exhaustive, one_wrong_code_is_found) {
    static const uint32_t starts[] = {0,
                                      0x33000000 - N / 2,
                                      0x3f800000 - N / 2,
                                      0x477ff000 - N / 2,
                                      0x7f7f8000 - N / 2,
                                      0x7f800000 - N / 2,
                                      0x80000000 - N / 2,
                                      0xff800000 - N / 2,
                                      0xffff0000};
    for (int t = 0; t < 2; t++) {
        bf_exhaustive_steps(targets[t], first, 32769);
        for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
            bf_verdict v;
            right(targets[t], starts[s]);
            bf_verdict_begin(&v);
            bf_exhaustive_compare(targets[t], BF_CPU, first, starts[s], N, got, &v);
            cr_assert_eq(v.mismatched, 0, "start 0x%x: 0x%llx", starts[s], (unsigned long long)v.first[0].index);
            cr_assert_eq(v.outputs, N);
            for (uint32_t i = 0; i < N; i += 4099) {
                bf_verdict_begin(&v);
                got[i] ^= 1;
                bf_exhaustive_compare(targets[t], BF_CPU, first, starts[s], N, got, &v);
                got[i] ^= 1;
                cr_assert_eq(v.mismatched, 1);
                cr_assert_eq((uint32_t)v.first[0].index, starts[s] + i);
            }
        }
    }
}

/* A backend in host memory, and kernels of the shape the real ones have. */
static void *host_alloc(bf_context *x, uint64_t n, bf_error *e) {
    (void)x, (void)e;
    return aligned_alloc(256, (n + 255) / 256 * 256);
}
static void host_free(bf_context *x, void *p) {
    (void)x;
    free(p);
}
static int host_copy(bf_context *x, void *to, const void *from, uint64_t n, bf_error *e) {
    (void)x, (void)e;
    memcpy(to, from, n);
    return 0;
}
static int host_run(bf_context *x, const bf_kernel *k, const bf_problem *p, bf_error *e) {
    (void)x, (void)e;
    k->run(p, NULL);
    return 0;
}
static const bf_backend host = {.name = "host",
                                .target = BF_CPU,
                                .alloc = host_alloc,
                                .free = host_free,
                                .upload = host_copy,
                                .download = host_copy,
                                .run = host_run};

static void to_bf16(const bf_problem *p, bf_pool *pool) {
    (void)pool;
    const uint32_t *x = p->ptr[CONVERT_X];
    uint16_t *y = p->ptr[CONVERT_Y];
    for (int64_t i = 0; i < p->dim[CONVERT_N]; i++) y[i] = (uint16_t)bf_f32_bits_to_bf16(x[i]);
}
/* One input is wrong. */
static void almost(const bf_problem *p, bf_pool *pool) {
    to_bf16(p, pool);
    const uint32_t *x = p->ptr[CONVERT_X];
    uint16_t *y = p->ptr[CONVERT_Y];
    for (int64_t i = 0; i < p->dim[CONVERT_N]; i++)
        if (x[i] == 0xc2f8abcd) y[i]++;
}
static int takes(const bf_problem *p) { return p->type[CONVERT_X] == BF_F32 && p->type[CONVERT_Y] == BF_BF16; }

Test(exhaustive, one_wrong_input_of_a_kernel_is_found) {
    bf_kernel k = {.op = "convert", .name = "almost", .target = BF_CPU, .accepts = takes, .run = almost};
    bf_verdict v;
    bf_error err;
    cr_assert_eq(bf_exhaustive_range(&host, NULL, &k, BF_BF16, 0xc2000000, 0xc3000000, &v, &err), 0, "%s", err.text);
    cr_assert_eq(v.outputs, 1 << 24);
    cr_assert_eq(v.mismatched, 1);
    cr_assert_eq(v.status, BF_FAIL);
    cr_assert_eq(v.first[0].index, 0xc2f8abcd);
    cr_assert_eq(bf_exhaustive_convert(&host, NULL, &k, BF_F16, &v, &err), -1);
}
