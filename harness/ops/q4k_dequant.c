/* q4k_dequant: w = d*sc*q - dmin*m to fp32, fp16, bf16, and qblock_dequant: w = d*sc*q (contracts:
 * kernels/common/q4k_dequant.h, qblock.h).
 *
 * No tolerance. d has 11 significand bits, sc 6, q 4: d*sc*q has at most 21 and is an integer multiple of 2^-24 (the
 * unit of fp16's subnormals), so it is exact in fp32; so is dmin*m with 17. One rounding remains, that of the
 * difference, whether it is written as two products and a subtraction or as a fused multiply-add. The reference forms
 * the difference exactly in double (multiples of 2^-24 below 2^27: 51 bits) and rounds once; to fp16 and bf16 it
 * rounds that fp32 value again, as the contract says. Without a minimum d*sc*q has at most 24 bits, and no rounding is left; MXFP4 has two bits, all its weights from
 * 2^-128 (subnormal in fp32) up are exact, and those of 2^128 and more become infinite. Infinities are judged by sign; NaN by being NaN. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/qblock.h"
#include "../../reference/number.h"
#include "../../reference/q4_k.h"
#include "../../reference/qblock.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

#define DEQUANT_FIELDS(first, formats, step)                                                                          \
    {                                                                                                                 \
        {"w", BF_FIELD_TYPE, Q4K_DEQUANT_W, first, 0, 0, 0, formats, NULL, "type of the weights"},                    \
        {"m", BF_FIELD_DIM, Q4K_DEQUANT_M, NULL, 1, INT64_C(1) << 24, 1, 0, NULL, "rows"},                            \
        {"k", BF_FIELD_DIM, Q4K_DEQUANT_K, NULL, step, INT64_C(1) << 20, step, 0, NULL, "weights in a row"},          \
        {"to", BF_FIELD_TYPE, Q4K_DEQUANT_Y, "f32", 0, 0, 0, 1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16, NULL,       \
         "type of the output"},                                                                                       \
        {0}                                                                                                           \
    }
static const bf_field fields[] = DEQUANT_FIELDS("q4_k", 1u << BF_Q4_K, 256);
static const bf_field qblock_fields[] = DEQUANT_FIELDS(NULL, 1u << BF_Q6_K | 1u << BF_Q8_0 | 1u << BF_MXFP4, 32);

static bf_dtype weights_of(const bf_problem *p) { return p->type[Q4K_DEQUANT_W] ? p->type[Q4K_DEQUANT_W] : BF_Q4_K; }
static int64_t block_of(bf_dtype w) { return w == BF_Q8_0 || w == BF_MXFP4 ? 32 : 256; }
/* `count` weights from number `first` on, whole blocks. */
static void reference_row(bf_dtype type, const bf_tensor *w, int64_t first, int64_t count, double *out) {
    const unsigned char *bytes = (const unsigned char *)w->data + bf_dtype_bytes(type, first);
    if (type == BF_Q4_K)
        bf_ref_q4_k_row(bytes, count, out, NULL);
    else
        bf_ref_qblock_row(type, bytes, count, out, NULL);
}

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t m = p->dim[Q4K_DEQUANT_M], k = p->dim[Q4K_DEQUANT_K];
    bf_dtype w = weights_of(p);
    if (k % block_of(w))
        return bf_fail(err, "k=%lld is not a multiple of %lld, the block of %s", (long long)k, (long long)block_of(w), bf_dtype_name(w));
    return bf_op_tensor(&t[Q4K_DEQUANT_W], "w", BF_INPUT, w, m, k, err) ||
                   bf_op_tensor(&t[Q4K_DEQUANT_Y], "y", BF_OUTPUT, p->type[Q4K_DEQUANT_Y], m, k, err)
               ? -1
               : 0;
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    return bf_op_fill_blocks(c, &t[Q4K_DEQUANT_W], err);
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
    int64_t columns = p->dim[Q4K_DEQUANT_K];
    for (int64_t r = 0; r < p->dim[Q4K_DEQUANT_M]; r++) {
        reference_row(weights_of(p), &t[Q4K_DEQUANT_W], r * columns, columns, ref + r * columns);
        for (int64_t i = r * columns; i < (r + 1) * columns; i++) {
            ref[i] = bf_ref_decode(t[slot].type, rounded(t[slot].type, ref[i]));
            bound[i] = isfinite(ref[i]) ? 0 : NAN;
        }
    }
    return 0;
}

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)t;
    bf_expected *e = calloc(1, sizeof *e);
    if (!e)
        bf_fail(err, "%s: no memory", c->op->name);
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
    bf_dtype type = weights_of(&c->problem);
    int64_t size = block_of(type);
    bf_verdict_begin(v);
    for (int64_t at = 0; at < m * columns; at += size) {
        double w[256];
        reference_row(type, &t[Q4K_DEQUANT_W], at, size, w);
        for (int i = 0; i < size; i++) bf_verdict_exact(v, y, at + i, rounded(y->type, w[i]), isnan(w[i]));
    }
    bf_verdict_end(v, c);
}

static uint64_t bytes_read(const bf_problem *p) {
    return bf_dtype_bytes(weights_of(p), p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K]);
}
static uint64_t bytes_written(const bf_problem *p) {
    return bf_dtype_bytes(p->type[Q4K_DEQUANT_Y], p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K]);
}
static double flops(const bf_problem *p) {
    return 2.0 * (double)p->dim[Q4K_DEQUANT_M] * (double)p->dim[Q4K_DEQUANT_K];
}

#define DEQUANT_OP                                                                                                    \
    .weights = "w", .tensors = tensors, .fill = fill, .expect = expect, .release = release, .judge = judge,           \
    .bytes_read = bytes_read, .bytes_written = bytes_written, .flops = flops

const bf_op bf_op_q4k_dequant = {
    .name = "q4k_dequant", .summary = "Q4_K super-blocks to fp32, fp16, bf16", .fields = fields, DEQUANT_OP};
const bf_op bf_op_qblock_dequant = {
    .name = "qblock_dequant", .summary = "blocks of Q6_K, Q8_0 and MXFP4 to fp32, fp16, bf16", .fields = qblock_fields, DEQUANT_OP};
