/* exhaustive.c: see exhaustive.h. */
#include "exhaustive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/convert.h"
#include "../reference/convert.h"
#include "../reference/number.h"
#include "compare.h"

enum { BLOCK = 1 << 20, ROOM = 32769 };

static uint32_t infinity_code(bf_dtype to) { return to == BF_F16 ? 0x7c00 : 0x7f80; }

/* fp32 bits of a positive double that fp32 holds exactly. */
static uint32_t f32_bits(double x) {
    float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

int bf_exhaustive_steps(bf_dtype to, uint32_t *first, int room) {
    uint32_t top = infinity_code(to);
    if (room <= (int)top) return -1;
    first[0] = 0;
    for (uint32_t c = 0; c < top; c++) {
        /* Infinity takes the place of the next value of an unbounded exponent (IEEE 754-2019, 4.3.1). */
        double low = bf_ref_decode(to, c);
        double high = c + 1 < top ? bf_ref_decode(to, c + 1) : 2 * low - bf_ref_decode(to, c - 1);
        uint32_t threshold = f32_bits((low + high) / 2);
        first[c + 1] = c % 2 ? threshold : threshold + 1; /* on the threshold: the even code */
    }
    return (int)top;
}

/* The code of a magnitude: the last step that is not above it. */
static uint32_t code_of(const uint32_t *first, uint32_t top, uint32_t magnitude) {
    uint32_t low = 0, high = top;
    while (low < high) {
        uint32_t mid = (low + high + 1) / 2;
        if (first[mid] <= magnitude)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

/* memcmp against itself one further: the C library's is vectorised at any optimisation level. */
static int all_equal(const uint16_t *p, uint32_t n, uint16_t want) {
    return p[0] == want && !memcmp(p, p + 1, (n - 1) * sizeof *p);
}

typedef struct run_check {
    bf_dtype to;
    bf_target target;
    bf_tensor y; /* of the block, for messages */
    bf_verdict *v;
} run_check;

/* Outputs at..at+n of the block must be `want`. The slow pass only names what differs. */
static void check_run(run_check *c, uint32_t at, uint32_t n, uint16_t want, uint32_t start) {
    const uint16_t *got = c->y.data;
    c->v->outputs += n, c->v->elements += n;
    if (!bf_ref_is_finite(c->to, want)) c->v->inf += n;
    if (bf_ref_is_zero(c->to, want)) c->v->zero += n;
    if (all_equal(got + at, n, want)) return;
    for (uint32_t i = at; i < at + n; i++)
        if (got[i] != want) {
            bf_verdict_mismatch(c->v, &c->y, i, bf_ref_decode(c->to, want), want, 0, "not the step function's code");
            if (c->v->mismatched <= BF_MISMATCHES) /* the index is the input's bits */
                c->v->first[c->v->count - 1].index = (int64_t)start + i;
        }
}

static void check_nans(run_check *c, uint32_t at, uint32_t n, uint32_t start) {
    const uint16_t *got = c->y.data;
    c->v->outputs += n, c->v->elements += n, c->v->nan += n;
    for (uint32_t i = at; i < at + n; i++) {
        bf_ref_converted r = bf_ref_convert(BF_F32, c->to, 0, c->target, start + i);
        if (r.any_nan ? bf_ref_is_nan(c->to, got[i]) : got[i] == r.bits) continue;
        bf_verdict_mismatch(c->v, &c->y, i, NAN, r.bits, 0, "NaN rule of the target");
        if (c->v->mismatched <= BF_MISMATCHES) c->v->first[c->v->count - 1].index = (int64_t)start + i;
    }
}

void bf_exhaustive_compare(bf_dtype to, bf_target target, const uint32_t *first, uint32_t start, uint32_t count,
                           const uint16_t *got, bf_verdict *v) {
    run_check c = {to, target, {.name = "y", .role = BF_OUTPUT, .type = to, .data = (void *)(uintptr_t)got}, v};
    uint32_t top = infinity_code(to), i = 0;
    while (i < count) {
        uint32_t bits = start + i, magnitude = bits & 0x7fffffffu;
        uint64_t left = count - i, to_sign = UINT64_C(0x80000000) - magnitude, n;
        if (magnitude > 0x7f800000u) {
            n = left < to_sign ? left : to_sign;
            check_nans(&c, i, (uint32_t)n, start);
        } else {
            uint32_t code = code_of(first, top, magnitude);
            uint64_t end = code == top ? UINT64_C(0x7f800001) : first[code + 1];
            n = end - magnitude < left ? end - magnitude : left;
            check_run(&c, i, (uint32_t)n, (uint16_t)(code | (bits >> 31) << 15), start);
        }
        i += (uint32_t)n;
    }
}

typedef struct device_block {
    bf_problem p;
    uint32_t *in;
    uint16_t *out;
    uint32_t *first;
} device_block;

static int blocks(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_dtype to, uint64_t start, uint64_t end,
                  device_block *d, bf_verdict *v, bf_error *err) {
    for (; start < end; start += BLOCK) {
        for (uint32_t i = 0; i < BLOCK; i++) d->in[i] = (uint32_t)start + i;
        /* Poison of the wrong sign: no right code of this half (a NaN of CUDA is 0x7fff whatever its sign). */
        memset(d->out, start >> 31 ? 0x7f : 0xff, BLOCK * sizeof *d->out);
        if (b->upload(x, d->p.ptr[CONVERT_X], d->in, BLOCK * sizeof *d->in, err) ||
            b->upload(x, d->p.ptr[CONVERT_Y], d->out, BLOCK * sizeof *d->out, err) || b->run(x, k, &d->p, err) ||
            b->download(x, d->out, d->p.ptr[CONVERT_Y], BLOCK * sizeof *d->out, err))
            return -1;
        bf_exhaustive_compare(to, k->target, d->first, (uint32_t)start, BLOCK, d->out, v);
    }
    return 0;
}

int bf_exhaustive_range(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_dtype to, uint64_t start,
                        uint64_t end, bf_verdict *v, bf_error *err) {
    device_block d = {.p = {.dim = {BLOCK}}};
    d.p.type[CONVERT_X] = BF_F32, d.p.type[CONVERT_Y] = to;
    bf_verdict_begin(v);
    if ((to != BF_F16 && to != BF_BF16) || strcmp(k->op, "convert") || (k->accepts && !k->accepts(&d.p)))
        return bf_fail(err, "%s: does not convert f32 to %s", k->name, bf_dtype_name(to));
    uint64_t scratch = k->scratch ? k->scratch(&d.p) : 0;
    int rc = -1;
    d.in = malloc(BLOCK * sizeof *d.in), d.out = malloc(BLOCK * sizeof *d.out),
    d.first = malloc(ROOM * sizeof *d.first);
    if (!d.in || !d.out || !d.first || bf_exhaustive_steps(to, d.first, ROOM) < 0)
        bf_fail(err, "exhaustive: no memory");
    else if ((d.p.ptr[CONVERT_X] = b->alloc(x, BLOCK * sizeof *d.in, err)) &&
             (d.p.ptr[CONVERT_Y] = b->alloc(x, BLOCK * sizeof *d.out, err)) &&
             (!scratch || (d.p.scratch = b->alloc(x, scratch, err))))
        rc = blocks(b, x, k, to, start, end, &d, v, err);
    if (d.p.ptr[CONVERT_X]) b->free(x, d.p.ptr[CONVERT_X]);
    if (d.p.ptr[CONVERT_Y]) b->free(x, d.p.ptr[CONVERT_Y]);
    if (d.p.scratch) b->free(x, d.p.scratch);
    free(d.in), free(d.out), free(d.first);
    if (v->mismatched) v->status = BF_FAIL;
    if (!rc && (uint64_t)v->outputs != end - start)
        rc = bf_fail(err, "exhaustive: compared %lld outputs", (long long)v->outputs);
    return rc;
}

int bf_exhaustive_convert(const bf_backend *b, bf_context *x, const bf_kernel *k, bf_dtype to, bf_verdict *v,
                          bf_error *err) {
    return bf_exhaustive_range(b, x, k, to, 0, UINT64_C(1) << 32, v, err);
}
