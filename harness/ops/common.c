/* common.c: see ops.h. */
#include <math.h>
#include <string.h>

#include "../../reference/number.h"
#include "../fill.h"
#include "ops.h"

int bf_op_tensor(bf_tensor *t, const char *name, bf_tensor_role role, bf_dtype type, int64_t rows, int64_t columns,
                 bf_error *err) {
    int64_t n;
    if (rows < 0 || columns < 0 || __builtin_mul_overflow(rows ? rows : 1, columns, &n) || n > INT64_C(1) << 50)
        return bf_fail(err, "tensor %s: %lld x %lld elements are too many", name, (long long)rows,
                       (long long)columns);
    *t = (bf_tensor){.name = name, .role = role, .type = type, .rank = 2, .dim = {rows, columns}};
    if (!rows) *t = (bf_tensor){.name = name, .role = role, .type = type, .rank = 1, .dim = {columns}};
    t->bytes = bf_dtype_bytes(type, n);
    return 0;
}

int bf_op_fill_blocks(const bf_case *c, bf_tensor *w, bf_error *err) {
    int f = bf_fill_parse(c->fill);
    if (f < 0) return bf_fail(err, "%s: unknown fill '%s'", c->op->name, c->fill);
    if (c->real && c->real_bytes != w->bytes)
        return bf_fail(err, "%s: the file's weights have %llu bytes, the shape needs %llu", c->op->name,
                       (unsigned long long)c->real_bytes, (unsigned long long)w->bytes);
    if (c->real)
        memcpy(w->data, c->real, w->bytes);
    else if (w->type == BF_Q4_K)
        bf_fill_q4_k((bf_fill)f, c->seed, 0, w->dim[0], w->dim[1] / 256, w->data);
    else
        bf_fill_qblock((bf_fill)f, w->type, c->seed, 0, w->dim[0], w->dim[1] / (w->type == BF_Q6_K ? 256 : 32), w->data);
    return 0;
}

double bf_gamma(double n) { return n * BF_REF_U32 / (1 - n * BF_REF_U32); }

double bf_gamma_prob(double n) {
    double u = BF_REF_U32, p = expm1(8 * sqrt(n) * u + n * u * u / (1 - u)), g = bf_gamma(n);
    return p < g ? p : g;
}

int bf_adds_on_grid(const bf_kernel *k) {
    return k->path && (!strcmp(k->path, "wmma") || (k->target == BF_HIP && (!strcmp(k->path, "f16") || !strcmp(k->path, "bf16"))));
}

double bf_grid_underflow(bf_dtype type, int64_t k, double subnormal_a, double top_a, double subnormal_b, double top_b) {
    double least = ldexp(1, bf_ref_format_of(type).emin), share = type == BF_F16 ? 5 * 0x1p-38 : 0x1p-126;
    return (double)(k + 16) * 0x1p-126 + share * (subnormal_a * fmax(top_b, least) + subnormal_b * fmax(top_a, least));
}
