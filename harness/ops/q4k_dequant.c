/* q4k_dequant: w = d*sc*q - dmin*m to fp32, fp16, bf16 (contract: kernels/common/q4k_dequant.h).
 *
 * No tolerance. d has 11 significand bits, sc 6, q 4: d*sc*q has at most 21 and is an integer multiple of 2^-24 (the
 * unit of fp16's subnormals), so it is exact in fp32; so is dmin*m with 17. One rounding remains, that of the
 * difference, whether it is written as two products and a subtraction or as a fused multiply-add. The reference forms
 * the difference exactly in double (multiples of 2^-24 below 2^27: 51 bits) and rounds once; to fp16 and bf16 it
 * rounds that fp32 value again, as the contract says. Infinities are judged by sign; NaN by being NaN. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/q4k_dequant.h"
#include "../../reference/number.h"
#include "../../reference/q4_k.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

static const bf_field fields[] = {
    {"w", BF_FIELD_TYPE, Q4K_DEQUANT_W, "q4_k", 0, 0, 0, 1u << BF_Q4_K, NULL, "type of the weights"},
    {"m", BF_FIELD_DIM, Q4K_DEQUANT_M, NULL, 1, INT64_C(1) << 24, 1, 0, NULL, "rows"},
    {"k", BF_FIELD_DIM, Q4K_DEQUANT_K, NULL, 256, INT64_C(1) << 20, 256, 0, NULL, "weights in a row"},
    {"to", BF_FIELD_TYPE, Q4K_DEQUANT_Y, "f32", 0, 0, 0, 1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16, NULL,
     "type of the output"},
    {0}};

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t m = p->dim[Q4K_DEQUANT_M], k = p->dim[Q4K_DEQUANT_K];
    return bf_op_tensor(&t[Q4K_DEQUANT_W], "w", BF_INPUT, BF_Q4_K, m, k, err) ||
                   bf_op_tensor(&t[Q4K_DEQUANT_Y], "y", BF_OUTPUT, p->type[Q4K_DEQUANT_Y], m, k, err)
               ? -1
               : 0;
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    return bf_op_fill_q4_k(c, &t[Q4K_DEQUANT_W], err);
}

/* Bits in the output type of the exact value w. */
static uint32_t rounded(bf_dtype to, double w) {
    uint32_t f32 = bf_ref_encode(BF_F32, w);
    return to == BF_F32 ? f32 : bf_ref_encode(to, bf_ref_decode(BF_F32, f32));
}

static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                int slot, double *ref, double *bound) {
    (void)k, (void)e;
    const bf_problem *p = &c->problem;
    if (slot != Q4K_DEQUANT_Y) return 1;
    int64_t columns = p->dim[Q4K_DEQUANT_K], row_bytes = columns / 256 * 144;
    for (int64_t r = 0; r < p->dim[Q4K_DEQUANT_M]; r++) {
        bf_ref_q4_k_row((const unsigned char *)t[Q4K_DEQUANT_W].data + r * row_bytes, columns, ref + r * columns,
                        NULL);
        for (int64_t i = r * columns; i < (r + 1) * columns; i++) {
            ref[i] = bf_ref_decode(t[slot].type, rounded(t[slot].type, ref[i]));
            bound[i] = isfinite(ref[i]) ? 0 : NAN;
        }
    }
    return 0;
}

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)c, (void)t;
    bf_expected *e = calloc(1, sizeof *e);
    if (!e)
        bf_fail(err, "q4k_dequant: no memory");
    else
        e->dump = dump;
    return e;
}

static void release(bf_expected *e) { free(e); }

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                  bf_verdict *v) {
    (void)k, (void)e;
    const bf_tensor *y = &t[Q4K_DEQUANT_Y];
    int64_t m = c->problem.dim[Q4K_DEQUANT_M], columns = c->problem.dim[Q4K_DEQUANT_K];
    bf_verdict_begin(v);
    for (int64_t block = 0; block < m * columns / 256; block++) {
        double w[256];
        bf_ref_q4_k_row((const unsigned char *)t[Q4K_DEQUANT_W].data + block * 144, 256, w, NULL);
        for (int i = 0; i < 256; i++) bf_verdict_exact(v, y, block * 256 + i, rounded(y->type, w[i]), isnan(w[i]));
    }
    bf_verdict_end(v, c);
}

static uint64_t bytes_read(const bf_problem *p) {
    return bf_dtype_bytes(BF_Q4_K, p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K]);
}
static uint64_t bytes_written(const bf_problem *p) {
    return bf_dtype_bytes(p->type[Q4K_DEQUANT_Y], p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K]);
}
static double flops(const bf_problem *p) {
    return 2.0 * (double)p->dim[Q4K_DEQUANT_M] * (double)p->dim[Q4K_DEQUANT_K];
}

const bf_op bf_op_q4k_dequant = {.name = "q4k_dequant",
                                 .summary = "Q4_K super-blocks to fp32, fp16, bf16",
                                 .fields = fields,
                                 .weights = "w",
                                 .tensors = tensors,
                                 .fill = fill,
                                 .expect = expect,
                                 .release = release,
                                 .judge = judge,
                                 .bytes_read = bytes_read,
                                 .bytes_written = bytes_written,
                                 .flops = flops};
