/* stream: copy, read, write, triad, mix (contract: kernels/common/stream.h).
 *
 * copy, read, write and mix are exact. triad y = fl(x + fl(3 z)), or one rounding with fused multiply-add: the product is
 * off by at most u |3z|, the sum by at most u of itself, so |error| <= gamma(2) (|x| + 3|z|), plus 2^-150 twice where
 * a result is subnormal. On the integer fill nothing rounds and the bound is 0. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/stream.h"
#include "../../reference/number.h"
#include "../compare.h"
#include "../expected.h"
#include "../fill.h"
#include "ops.h"

static const char *const modes[] = {"copy", "read", "write", "triad", "mix", NULL};
static const char *const stores[] = {"plain", "nt", NULL};
static const bf_field fields[] = {
    {"n", BF_FIELD_DIM, STREAM_N, NULL, 4, INT64_C(1) << 36, 4, 0, NULL, "fp32 elements in each array"},
    {"m", BF_FIELD_DIM, STREAM_M, "0", 0, INT64_C(1) << 36, 4, 0, NULL, "mode mix: elements written while n are read"},
    {"mode", BF_FIELD_CHOICE, STREAM_MODE, NULL, 0, 0, 0, 0, modes, "what is moved"},
    {"store", BF_FIELD_CHOICE, STREAM_STORE, "plain", 0, 0, 0, 0, stores, "plain or non-temporal stores"},
    {0}};

static int mode_of(const bf_problem *p) { return (int)p->param[STREAM_MODE]; }
static int sums(int mode) { return mode == STREAM_READ || mode == STREAM_MIX; } /* has the output c */
static int64_t written(const bf_problem *p) {                                   /* elements of y */
    return mode_of(p) == STREAM_READ ? 0 : p->dim[mode_of(p) == STREAM_MIX ? STREAM_M : STREAM_N];
}

static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)path;
    for (int i = 0; i < BF_MAX_TENSORS; i++) t[i] = (bf_tensor){0};
    int64_t n = p->dim[STREAM_N];
    int mode = mode_of(p), rc = 0;
    if (mode == STREAM_MIX && !p->dim[STREAM_M]) return bf_fail(err, "stream: mode=mix needs m=, the elements to write");
    if (mode != STREAM_MIX && p->dim[STREAM_M]) return bf_fail(err, "stream: m=%lld goes with mode=mix only", (long long)p->dim[STREAM_M]);
    if (mode != STREAM_WRITE) rc |= bf_op_tensor(&t[STREAM_X], "x", BF_INPUT, BF_F32, 0, n, err);
    if (mode == STREAM_TRIAD) rc |= bf_op_tensor(&t[STREAM_Z], "z", BF_INPUT, BF_F32, 0, n, err);
    if (mode != STREAM_READ) rc |= bf_op_tensor(&t[STREAM_Y], "y", BF_OUTPUT, BF_F32, 0, written(p), err);
    if (sums(mode)) rc |= bf_op_tensor(&t[STREAM_C], "c", BF_OUTPUT, BF_U32, 0, 1, err);
    return rc ? -1 : 0;
}

static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    int f = bf_fill_parse(c->fill);
    if (f < 0) return bf_fail(err, "stream: unknown fill '%s'", c->fill);
    for (int i = STREAM_X; i <= STREAM_Z; i++)
        if (t[i].role == BF_INPUT)
            bf_fill_values((bf_fill)f, c->seed, (uint32_t)i, BF_F32, 0, c->problem.dim[STREAM_N], 0, t[i].data);
    return 0;
}

static uint32_t word(int64_t i) { return 0x3f800000u | (uint32_t)(i & 0xff); } /* what write and mix put into y */

static bf_want triad(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], int64_t i) {
    double x = bf_ref_at(BF_F32, t[STREAM_X].data, i), z = bf_ref_at(BF_F32, t[STREAM_Z].data, i);
    bf_want w = {.value = x + 3 * z, .allow = BF_ALLOW_FINITE};
    double magnitude = fabs(x) + 3 * fabs(z);
    if (!isfinite(magnitude)) { /* inf + -inf and NaN give NaN, one infinity stays */
        w.allow = isnan(w.value) ? BF_ALLOW_NAN : BF_ALLOW_INF;
        return w;
    }
    w.bound = bf_fill_parse(c->fill) == BF_FILL_INTEGER ? 0 : bf_gamma(2) * magnitude + 0x1p-149;
    if (magnitude * (1 + bf_gamma(2)) > bf_ref_largest(BF_F32)) w.allow |= BF_ALLOW_INF | BF_ALLOW_NAN;
    return w;
}

static int dump(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                int slot, double *ref, double *bound) {
    (void)k, (void)e;
    if (slot != STREAM_Y) return 1;
    for (int64_t i = 0; i < written(&c->problem); i++) {
        int mode = mode_of(&c->problem);
        bf_want w = {0};
        if (mode == STREAM_TRIAD)
            w = triad(c, t, i);
        else
            w.value = mode == STREAM_COPY ? bf_ref_at(BF_F32, t[STREAM_X].data, i)
                                          : bf_ref_decode(BF_F32, word(i));
        ref[i] = w.value;
        bound[i] = isfinite(w.value) ? w.bound : NAN;
    }
    return 0;
}

static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)c, (void)t;
    bf_expected *e = calloc(1, sizeof *e);
    if (!e)
        bf_fail(err, "stream: no memory");
    else
        e->dump = dump;
    return e;
}

static void release(bf_expected *e) { free(e); }

static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                  bf_verdict *v) {
    (void)k, (void)e;
    int64_t n = c->problem.dim[STREAM_N], m = written(&c->problem);
    int mode = mode_of(&c->problem);
    uint32_t parity = 0;
    bf_verdict_begin(v);
    if (sums(mode)) {
        for (int64_t i = 0; i < n; i++) parity ^= bf_ref_bits_at(BF_F32, t[STREAM_X].data, i);
        bf_verdict_exact(v, &t[STREAM_C], 0, parity, 0);
    }
    for (int64_t i = 0; i < m; i++)
        if (mode == STREAM_TRIAD) bf_verdict_bounded(v, &t[STREAM_Y], i, triad(c, t, i));
        else bf_verdict_exact(v, &t[STREAM_Y], i, mode == STREAM_COPY ? bf_ref_bits_at(BF_F32, t[STREAM_X].data, i) : word(i), 0);
    bf_verdict_end(v, c);
}

static uint64_t bytes_read(const bf_problem *p) {
    static const unsigned arrays[] = {[STREAM_COPY] = 1, [STREAM_READ] = 1, [STREAM_WRITE] = 0, [STREAM_TRIAD] = 2,
                                      [STREAM_MIX] = 1};
    return 4 * arrays[mode_of(p)] * (uint64_t)p->dim[STREAM_N];
}
static uint64_t bytes_written(const bf_problem *p) {
    return 4 * (uint64_t)(written(p) + sums(mode_of(p)));
}
static double flops(const bf_problem *p) { return mode_of(p) == STREAM_TRIAD ? 2.0 * (double)p->dim[STREAM_N] : 0; }

const bf_op bf_op_stream = {.name = "stream",
                            .summary = "copy, read, write, triad and mix: the ceiling of the memory system",
                            .fields = fields,
                            .tensors = tensors,
                            .fill = fill,
                            .expect = expect,
                            .release = release,
                            .judge = judge,
                            .bytes_read = bytes_read,
                            .bytes_written = bytes_written,
                            .flops = flops};
