/* q4k_matvec_plain.h: the plain kernels of q4k_matvec.hip, both paths; the twins (kernels/broken/q4k_matvec.hip)
 * differ by DEFECT alone. The quantiser's arithmetic (policy: ../common/q4k_matvec.h) serves the tuned kernel too. */
#ifndef BF_HIP_Q4K_MATVEC_PLAIN_H
#define BF_HIP_Q4K_MATVEC_PLAIN_H

#include "../common/device.h"

#include "../common/bf16.h"
#include "../common/kernel.h"
#include "../common/q4_k.h"
#include "../common/q4k_matvec.h"
#include "launch.h"

enum matvec_defect {
    MATVEC_SOUND,
    MATVEC_ACC_FP16,     /* accumulator */
    MATVEC_ACC_BF16,
    MATVEC_X_FP16,       /* activations */
    MATVEC_X_BF16,
    MATVEC_X_TF32,
    MATVEC_DSC_FP16,     /* d * sc */
    MATVEC_PARTIAL_FP16, /* what a block of 32 adds */
    MATVEC_DROP_BLOCK,
    MATVEC_SCALE_102,
    MATVEC_TRUNC_QUANT,
    MATVEC_SUM_FP16      /* d * s of a block */
};
constexpr int MATVEC_NAIVE_THREADS = 128;

struct matvec_args {
    const bf_q4_k *w;
    const void *x;
    float *y;
    int8_t *xq;
    float *xd;
    int32_t *xs;
    char *scratch;
    int32_t m, k, n, x_type;
    int32_t aligned; /* w, x to 16 bytes, xq to 4; 0: to their elements (a super-block's: 2) */
};

BF_FN float matvec_to_f32(uint32_t v, int type) {
    return type == BF_F32 ? bf_bits_f(v) : type == BF_F16 ? bf_f16_to_f32(v) : bf_bits_f(bf_bf16_to_f32_bits(v));
}
BF_FN float matvec_read_x(const void *x, int type, int64_t i) {
    return type == BF_F32 ? matvec_to_f32(bf_ld_u32((const char *)x + 4 * i), type)
                          : matvec_to_f32(bf_ld_u16((const char *)x + 2 * i), type);
}

/* ---- what the twins do wrong ---- */
BF_FN float matvec_via_fp16(float f) { return bf_f16_to_f32(bf_f32_to_f16(bf_apart(f))); }
BF_FN float matvec_via_bf16(float f) { return bf_bits_f(bf_bf16_to_f32_bits(bf_f32_bits_to_bf16(bf_f_bits(f)))); }
BF_FN float matvec_via_tf32(float f) { /* 10 significand bits stored, to nearest even */
    uint32_t u = bf_f_bits(f), r = (u + 0x0fffu + (u >> 13 & 1u)) & ~0x1fffu;
    return (u & 0x7f800000u) == 0x7f800000u ? f : bf_bits_f(r);
}
template <int DEFECT> BF_FN float matvec_defective_x(float x) {
    if (DEFECT == MATVEC_X_FP16) return matvec_via_fp16(x);
    if (DEFECT == MATVEC_X_BF16) return matvec_via_bf16(x);
    return DEFECT == MATVEC_X_TF32 ? matvec_via_tf32(x) : x;
}
template <int DEFECT> BF_FN float matvec_defective_sum(float sum) {
    if (DEFECT == MATVEC_ACC_FP16) return matvec_via_fp16(sum);
    return DEFECT == MATVEC_ACC_BF16 ? matvec_via_bf16(sum) : sum;
}
BF_FN bool matvec_dropped(int block, int blocks) { return block == blocks / 3; }

/* ---- one sub-block of 32 weights ---- */
struct matvec_sub {
    const uint8_t *qs;
    int shift;         /* of its nibbles */
    float scale, least; /* d*sc and dmin*m, both exact */
};
template <int DEFECT> BF_FN matvec_sub matvec_sub_of(const bf_q4_k *row, int block) {
    const bf_q4_k *b = row + block / 8;
    int s = block % 8;
    float scale = bf_f16_to_f32(b->d) * (float)bf_q4_k_scale(b->scales, s);
    if (DEFECT == MATVEC_DSC_FP16) scale = matvec_via_fp16(scale);
    return {b->qs + s / 2 * 32, s % 2 * 4, scale, bf_f16_to_f32(b->dmin) * (float)bf_q4_k_min(b->scales, s)};
}
BF_FN int matvec_nibble(const matvec_sub &w, int l) { return w.qs[l] >> w.shift & 15; }

/* ---- fp32 path: a thread an output, the weights in order ---- */
template <int DEFECT> BF_FN void matvec_fp32_body(const matvec_args &a) {
    int64_t out = (int64_t)bf_bid_x() * MATVEC_NAIVE_THREADS + bf_tid_x();
    if (out >= (int64_t)a.m * a.n) return;
    int64_t column = out / a.m, row = out % a.m;
    int blocks = a.k / 32;
    float sum = 0.0f;
    for (int b = 0; b < blocks; b++) {
        matvec_sub w = matvec_sub_of<DEFECT>(a.w + row * (a.k / BF_Q4_K_WEIGHTS), b);
        if (DEFECT == MATVEC_DROP_BLOCK && matvec_dropped(b, blocks)) continue;
        float part = 0.0f;
        for (int l = 0; l < 32; l++) {
            float x = matvec_defective_x<DEFECT>(matvec_read_x(a.x, a.x_type, column * a.k + 32 * b + l));
            float weight = w.scale * (float)matvec_nibble(w, l) - w.least;
            if (DEFECT == MATVEC_PARTIAL_FP16)
                part = bf_fma(weight, x, part);
            else
                sum = matvec_defective_sum<DEFECT>(bf_fma(weight, x, sum));
        }
        if (DEFECT == MATVEC_PARTIAL_FP16) sum += matvec_via_fp16(part);
    }
    a.y[out] = DEFECT == MATVEC_SCALE_102 ? sum * 1.02f : sum;
}

/* ---- int8 path ---- */

/* d of a block from the bits of its largest magnitude (compared as integers, so that a NaN wins): the quotient
 * correctly rounded. `usable` is 0 where all q are zero by decree. */
BF_FN float matvec_block_scale(uint32_t amax, bool *usable) {
    *usable = amax >= 0x0d800000u /* 2^-100 */ && amax < 0x7f800000u;
    if (amax >= 0x7f800000u) return bf_bits_f(0x7fc00000u);
    return *usable ? bf_bits_f(amax) / 127.0f : 0.0f;
}

/* A thread a block of 32. */
template <int DEFECT> BF_FN void matvec_quantise_body(const matvec_args &a) {
    int64_t block = (int64_t)bf_bid_x() * MATVEC_NAIVE_THREADS + bf_tid_x();
    if (block >= (int64_t)a.n * (a.k / 32)) return;
    uint32_t amax = 0;
    for (int l = 0; l < 32; l++) {
        uint32_t u = bf_f_bits(matvec_read_x(a.x, a.x_type, 32 * block + l)) & 0x7fffffffu;
        amax = u > amax ? u : amax;
    }
    bool usable;
    float d = matvec_block_scale(amax, &usable);
    int s = 0;
    for (int l = 0; l < 32; l++) {
        float ratio = usable ? matvec_read_x(a.x, a.x_type, 32 * block + l) / d : 0.0f;
        int q = (int)(DEFECT == MATVEC_TRUNC_QUANT ? ratio : bf_rint(ratio));
        a.xq[32 * block + l] = (int8_t)q;
        s += q;
    }
    a.xd[block] = d;
    a.xs[block] = s;
}

/* A thread an output. */
template <int DEFECT> BF_FN void matvec_int8_body(const matvec_args &a) {
    int64_t out = (int64_t)bf_bid_x() * MATVEC_NAIVE_THREADS + bf_tid_x();
    if (out >= (int64_t)a.m * a.n) return;
    int64_t column = out / a.m, row = out % a.m;
    int blocks = a.k / 32;
    float sum = 0.0f;
    for (int b = 0; b < blocks; b++) {
        matvec_sub w = matvec_sub_of<DEFECT>(a.w + row * (a.k / BF_Q4_K_WEIGHTS), b);
        if (DEFECT == MATVEC_DROP_BLOCK && matvec_dropped(b, blocks)) continue;
        int64_t at = column * blocks + b;
        int dot = 0;
        for (int l = 0; l < 32; l++) dot += matvec_nibble(w, l) * a.xq[32 * at + l];
        float d = a.xd[at], s = (float)a.xs[at];
        if (DEFECT == MATVEC_SUM_FP16)
            sum += d * (w.scale * (float)dot) - w.least * matvec_via_fp16(d * s);
        else if (DEFECT == MATVEC_PARTIAL_FP16)
            sum += matvec_via_fp16(d * bf_fma(w.scale, (float)dot, -(w.least * s)));
        else
            sum = matvec_defective_sum<DEFECT>(bf_fma(d, bf_fma(w.scale, (float)dot, -(w.least * s)), sum));
    }
    a.y[out] = DEFECT == MATVEC_SCALE_102 ? sum * 1.02f : sum;
}

#if BF_HOST
static inline int matvec_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATVEC_X];
    int64_t m = p->dim[Q4K_MATVEC_M], k = p->dim[Q4K_MATVEC_K], n = p->dim[Q4K_MATVEC_N];
    return p->type[Q4K_MATVEC_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) && n >= 1 &&
           n <= Q4K_MATVEC_MAX_N && m >= 1 && m <= 1 << 26 && k >= 256 && k <= 1 << 24;
}
static inline matvec_args matvec_arguments(const bf_problem *p) {
    matvec_args a = {};
    a.w = (const bf_q4_k *)p->ptr[Q4K_MATVEC_W], a.x = p->ptr[Q4K_MATVEC_X], a.y = (float *)p->ptr[Q4K_MATVEC_Y];
    a.xq = (int8_t *)p->ptr[Q4K_MATVEC_XQ], a.xd = (float *)p->ptr[Q4K_MATVEC_XD];
    a.xs = (int32_t *)p->ptr[Q4K_MATVEC_XS], a.scratch = (char *)p->scratch;
    a.m = (int32_t)p->dim[Q4K_MATVEC_M], a.k = (int32_t)p->dim[Q4K_MATVEC_K], a.n = (int32_t)p->dim[Q4K_MATVEC_N];
    a.x_type = p->type[Q4K_MATVEC_X];
    a.aligned = launch_aligned(a.w, 16) && launch_aligned(a.x, 16) && launch_aligned(a.xq, 4);
    return a;
}
/* Additions behind one output: one a weight; one a block beside the bracket's own. Both products before them round
 * as well (the weight; dmin*m*s), which the + 1 stands for. */
static inline int64_t matvec_fp32_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] + 1; }
static inline int64_t matvec_int8_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 32 + 2; }

static inline int matvec_plain_fp32(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> fn) {
    matvec_args a = matvec_arguments(p);
    bf_step_set(&s[0], fn, launch_groups((int64_t)a.m * a.n, MATVEC_NAIVE_THREADS), 1, MATVEC_NAIVE_THREADS, 1, 0, a);
    return 1;
}
static inline int matvec_plain_int8(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> quantise,
                                    bf_step_fn<matvec_args> fn) {
    matvec_args a = matvec_arguments(p);
    bf_step_set(&s[0], quantise, launch_groups((int64_t)a.n * a.k / 32, MATVEC_NAIVE_THREADS), 1, MATVEC_NAIVE_THREADS,
                1, 0, a);
    matvec_plain_fp32(p, &s[1], fn);
    return 2;
}
#endif
#endif
