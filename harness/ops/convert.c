/* convert: y[i] = x[i] in another type (contract: kernels/common/convert.h).
 *
 * Nothing here has a tolerance. The result is one correctly rounded value of the exact input (fp32 holds every fp16
 * and bf16, so a conversion by way of fp32 rounds once too), hence it is judged bit for bit, sign of zero included. A
 * NaN follows the table of the target the kernel was written for (k->target): simt runs the device's rule. The
 * counters are judged exactly against the reference's own count. */
#include <math.h>
#include <stdlib.h>

#include "../../kernels/common/convert.h"
#include "../../reference/convert.h"
#include "../../reference/number.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

#define FLOATS (1u << BF_F32 | 1u << BF_F16 | 1u << BF_BF16)

static const char *const no_yes[] = {"0", "1", NULL};
static const bf_field fields[] = {
    {"n", BF_FIELD_DIM, CONVERT_N, NULL, 1, INT64_C(1) << 36, 1, 0, NULL, "elements"},
    {"from", BF_FIELD_TYPE, CONVERT_X, NULL, 0, 0, 0, FLOATS, NULL, "type of the input"},
    {"to", BF_FIELD_TYPE, CONVERT_Y, NULL, 0, 0, 0, FLOATS, NULL, "type of the output"},
    {"saturate", BF_FIELD_CHOICE, CONVERT_SATURATE, "0", 0, 0, 0, 0, no_yes,
     "1: overflow gives the largest finite value"},
    {"count", BF_FIELD_CHOICE, CONVERT_COUNT, "0", 0, 0, 0, 0, no_yes,
     "1: count overflow, underflow, subnormals, NaN"},
    {0}};

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t n = p->dim[CONVERT_N];
    return bf_op_tensor(&t[CONVERT_X], "x", BF_INPUT, p->type[CONVERT_X], 0, n, err) ||
                   bf_op_tensor(&t[CONVERT_Y], "y", BF_OUTPUT, p->type[CONVERT_Y], 0, n, err) ||
                   (p->param[CONVERT_COUNT] != 0 &&
                    bf_op_tensor(&t[CONVERT_C], "c", BF_OUTPUT, BF_U64, 0, CONVERT_COUNTS, err))
               ? -1
               : 0;
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    int f = bf_fill_parse(c->fill);
    if (f < 0) return bf_fail(err, "convert: unknown fill '%s'", c->fill);
    bf_fill_values((bf_fill)f, c->seed, 0, t[CONVERT_X].type, 0, c->problem.dim[CONVERT_N], 0, t[CONVERT_X].data);
    return 0;
}

/* The reference of one element is a function of its bits, so there is nothing to keep. */
static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                int slot, double *ref, double *bound) {
    (void)e;
    if (slot != CONVERT_Y) return 1;
    for (int64_t i = 0; i < c->problem.dim[CONVERT_N]; i++) {
        bf_ref_converted r =
            bf_ref_convert(t[CONVERT_X].type, t[CONVERT_Y].type, c->problem.param[CONVERT_SATURATE] != 0, k->target,
                           bf_ref_bits_at(t[CONVERT_X].type, t[CONVERT_X].data, i));
        ref[i] = bf_ref_decode(t[CONVERT_Y].type, r.bits);
        bound[i] = isfinite(ref[i]) ? 0 : NAN;
    }
    return 0;
}

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)c, (void)t;
    bf_expected *e = calloc(1, sizeof *e);
    if (!e)
        bf_fail(err, "convert: no memory");
    else
        e->dump = dump;
    return e;
}

static void release(bf_expected *e) { free(e); }

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                  bf_verdict *v) {
    (void)e;
    const bf_tensor *x = &t[CONVERT_X], *y = &t[CONVERT_Y];
    int saturate = c->problem.param[CONVERT_SATURATE] != 0, counting = c->problem.param[CONVERT_COUNT] != 0;
    uint64_t counts[CONVERT_COUNTS] = {0};
    bf_verdict_begin(v);
    for (int64_t i = 0; i < c->problem.dim[CONVERT_N]; i++) {
        bf_ref_converted r =
            bf_ref_convert(x->type, y->type, saturate, k->target, bf_ref_bits_at(x->type, x->data, i));
        bf_verdict_exact(v, y, i, r.bits, r.any_nan);
        counts[CONVERT_OVERFLOW] += (uint64_t)r.overflow, counts[CONVERT_UNDERFLOW] += (uint64_t)r.underflow;
        counts[CONVERT_SUBNORMAL] += (uint64_t)r.subnormal, counts[CONVERT_NAN] += (uint64_t)r.nan;
    }
    for (int i = 0; counting && i < CONVERT_COUNTS; i++) {
        uint64_t got = bf_element_bits(&t[CONVERT_C], i);
        if (got != counts[i])
            bf_verdict_mismatch(v, &t[CONVERT_C], i, (double)counts[i], counts[i], 0, "count differs");
    }
    bf_verdict_end(v, c);
}

static uint64_t bytes_read(const bf_problem *p) { return bf_dtype_bytes(p->type[CONVERT_X], p->dim[CONVERT_N]); }
static uint64_t bytes_written(const bf_problem *p) { return bf_dtype_bytes(p->type[CONVERT_Y], p->dim[CONVERT_N]); }
static double flops(const bf_problem *p) { return (double)p->dim[CONVERT_N]; }

const bf_op bf_op_convert = {.name = "convert",
                             .summary = "bf16, fp16 and fp32 in all directions, round to nearest even",
                             .fields = fields,
                             .tensors = tensors,
                             .fill = fill,
                             .expect = expect,
                             .release = release,
                             .judge = judge,
                             .bytes_read = bytes_read,
                             .bytes_written = bytes_written,
                             .flops = flops};
