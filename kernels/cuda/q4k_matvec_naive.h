/* q4k_matvec_naive.h: the plain mat-vec kernels of both paths. Shared by q4k_matvec.cu (sound) and by the twins in
 * kernels/broken/q4k_matvec.cu, which differ in the one template parameter. */
#ifndef BF_CUDA_Q4K_MATVEC_NAIVE_H
#define BF_CUDA_Q4K_MATVEC_NAIVE_H

#include "../common/device.h"

#include "../common/bf16.h"
#include "../common/kernel.h"
#include "../common/q4_k.h"
#include "../common/q4k_matvec.h"

enum matvec_defect {
    MATVEC_SOUND,
    MATVEC_ACC_FP16,
    MATVEC_ACC_BF16,
    MATVEC_X_FP16,
    MATVEC_X_BF16,
    MATVEC_X_TF32,
    MATVEC_DSC_FP16,
    MATVEC_PARTIAL_FP16,
    MATVEC_DROP_BLOCK,
    MATVEC_SCALE_102,
    MATVEC_TRUNC_QUANT,
    MATVEC_SUM_FP16
};

struct matvec_args {
    const bf_q4_k *w;
    const void *x;
    float *y;
    int8_t *xq;
    float *xd;
    int32_t *xs;
    void *scratch;
    int32_t m, k, n, x_type;
};

BF_FN float matvec_load_x(const void *x, int type, int64_t i) {
    if (type == BF_F32) return bf_bits_f(bf_ld_u32((const uint32_t *)x + i));
    uint32_t h = bf_ld_u16((const uint16_t *)x + i);
    return type == BF_F16 ? bf_f16_to_f32(h) : bf_bits_f(bf_bf16_to_f32_bits(h));
}

BF_FN float matvec_fp16(float f) { return bf_f16_to_f32(bf_f32_to_f16(f)); }
BF_FN float matvec_bf16(float f) { return bf_bits_f(bf_bf16_to_f32_bits(bf_f32_bits_to_bf16(bf_f_bits(f)))); }
BF_FN float matvec_tf32(float f) {
    uint32_t u = bf_f_bits(f);
    if ((u & 0x7f800000u) == 0x7f800000u) return f;
    return bf_bits_f((u + 0xfffu + ((u >> 13) & 1u)) & 0xffffe000u);
}
template <int DEFECT> BF_FN float matvec_acc(float f) {
    return DEFECT == MATVEC_ACC_FP16 ? matvec_fp16(f) : DEFECT == MATVEC_ACC_BF16 ? matvec_bf16(f) : f;
}
template <int DEFECT> BF_FN float matvec_x(float f) {
    return DEFECT == MATVEC_X_FP16   ? matvec_fp16(f)
           : DEFECT == MATVEC_X_BF16 ? matvec_bf16(f)
           : DEFECT == MATVEC_X_TF32 ? matvec_tf32(f)
                                     : f;
}

/* d*sc and dmin*m of sub-block s: exact in fp32. */
template <int DEFECT> BF_FN void matvec_scales(const bf_q4_k *b, int s, float *dsc, float *dm) {
    *dsc = bf_f16_to_f32(b->d) * (float)bf_q4_k_scale(b->scales, s);
    *dm = bf_f16_to_f32(b->dmin) * (float)bf_q4_k_min(b->scales, s);
    if (DEFECT == MATVEC_DSC_FP16) *dsc = matvec_fp16(*dsc);
}
BF_FN int matvec_nibble(const bf_q4_k *b, int s, int l) { return b->qs[32 * (s / 2) + l] >> 4 * (s & 1) & 15; }

/* A thread an output; one chain of fused multiply-adds from the first weight to the last. */
template <int DEFECT> BF_FN void matvec_fp32_body(const matvec_args &a) {
    int64_t o = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x();
    if (o >= (int64_t)a.m * a.n) return;
    int64_t r = o % a.m, c = o / a.m;
    float acc = 0.0f;
    for (int b = 0; b < a.k / Q4K_MATVEC_QBLOCK; b++) {
        const bf_q4_k *w = a.w + r * (a.k / BF_Q4_K_WEIGHTS) + b / 8;
        float dsc, dm, part = 0.0f;
        if (DEFECT == MATVEC_DROP_BLOCK && b == a.k / Q4K_MATVEC_QBLOCK / 2) continue;
        matvec_scales<DEFECT>(w, b % 8, &dsc, &dm);
        for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
            float x = matvec_x<DEFECT>(matvec_load_x(a.x, a.x_type, c * a.k + b * Q4K_MATVEC_QBLOCK + l));
            float weight = bf_fma(dsc, (float)matvec_nibble(w, b % 8, l), -dm);
            if (DEFECT == MATVEC_PARTIAL_FP16)
                part = bf_fma(weight, x, part);
            else
                acc = matvec_acc<DEFECT>(bf_fma(weight, x, acc));
        }
        if (DEFECT == MATVEC_PARTIAL_FP16) acc += matvec_fp16(part);
    }
    a.y[o] = DEFECT == MATVEC_SCALE_102 ? acc * 1.02f : acc;
}

/* ---- the quantiser of the int8 path (policy: q4k_matvec.h) ---- */

/* amax / 127, correctly rounded without a division: the constant is 1/127 to 2^-28, one Newton step does the rest. */
BF_FN float matvec_qscale(float amax) {
    const float c = 1.0f / 127.0f;
    float d = amax * c;
    return bf_fma(bf_fma(-127.0f, d, amax), c, d);
}
/* x / d to the nearest integer: x * inverse may miss a near-tie, so the exact remainder corrects it. */
BF_FN int matvec_quantise(float x, float d, float inverse) {
    float q = bf_rint(x * inverse), rest = bf_fma(-q, d, x), half = 0.5f * d;
    return (int)q + (rest > half) - (rest < -half);
}
/* Bits of the least amax that is quantised (2^-100) and of infinity. */
enum : uint32_t { MATVEC_AMAX_MIN = 0x0d800000u, MATVEC_AMAX_INF = 0x7f800000u, MATVEC_QNAN = 0x7fc00000u };

/* A thread a block of 32 values. */
template <int DEFECT> BF_FN void matvec_quantise_body(const matvec_args &a) {
    int64_t i = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x();
    if (i >= (int64_t)a.n * (a.k / Q4K_MATVEC_QBLOCK)) return;
    uint32_t amax = 0;
    for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
        uint32_t u = bf_f_bits(matvec_load_x(a.x, a.x_type, i * Q4K_MATVEC_QBLOCK + l)) & 0x7fffffffu;
        if (u > amax) amax = u; /* as integers, so that a NaN is the largest */
    }
    bool zero = amax < MATVEC_AMAX_MIN || amax >= MATVEC_AMAX_INF;
    float d = zero ? 0.0f : matvec_qscale(bf_bits_f(amax)), inverse = zero ? 0.0f : 127.0f / bf_bits_f(amax);
    int sum = 0;
    for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) {
        int64_t e = i * Q4K_MATVEC_QBLOCK + l;
        float x = zero ? 0.0f : matvec_load_x(a.x, a.x_type, e);
        int q = DEFECT == MATVEC_TRUNC_QUANT ? (int)(x * inverse) : matvec_quantise(x, d, inverse);
        a.xq[e] = (int8_t)q;
        sum += q;
    }
    a.xd[i] = amax >= MATVEC_AMAX_INF ? bf_bits_f(MATVEC_QNAN) : d;
    a.xs[i] = sum;
}

/* A thread an output; integer sums inside a block of 32, one chain of additions over the blocks. */
template <int DEFECT> BF_FN void matvec_int8_body(const matvec_args &a) {
    int64_t o = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x();
    if (o >= (int64_t)a.m * a.n) return;
    int64_t r = o % a.m, c = o / a.m, blocks = a.k / Q4K_MATVEC_QBLOCK;
    float acc = 0.0f;
    for (int b = 0; b < blocks; b++) {
        const bf_q4_k *w = a.w + r * (a.k / BF_Q4_K_WEIGHTS) + b / 8;
        const int8_t *q = a.xq + (c * blocks + b) * Q4K_MATVEC_QBLOCK;
        float dsc, dm, d = a.xd[c * blocks + b], s = (float)a.xs[c * blocks + b], share;
        if (DEFECT == MATVEC_DROP_BLOCK && b == blocks / 2) continue;
        matvec_scales<DEFECT>(w, b % 8, &dsc, &dm);
        int32_t dot = 0;
        for (int l = 0; l < Q4K_MATVEC_QBLOCK; l++) dot += matvec_nibble(w, b % 8, l) * q[l];
        float bracket = bf_fma(dsc, (float)dot, -(dm * s));
        if (DEFECT == MATVEC_SUM_FP16)
            acc += d * (dsc * (float)dot) - dm * matvec_fp16(d * s);
        else if (DEFECT == MATVEC_PARTIAL_FP16)
            share = d * bracket, acc += matvec_fp16(share);
        else
            acc = matvec_acc<DEFECT>(bf_fma(d, bracket, acc));
    }
    a.y[o] = DEFECT == MATVEC_SCALE_102 ? acc * 1.02f : acc;
}

#if BF_HOST
static inline int matvec_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATVEC_X];
    return p->type[Q4K_MATVEC_W] == BF_Q4_K && (x == BF_F32 || x == BF_F16 || x == BF_BF16) &&
           p->dim[Q4K_MATVEC_N] >= 1 && p->dim[Q4K_MATVEC_N] <= Q4K_MATVEC_MAX_N && p->dim[Q4K_MATVEC_M] < 1 << 30 &&
           p->dim[Q4K_MATVEC_K] < 1 << 30;
}
static inline matvec_args matvec_make_args(const bf_problem *p) {
    matvec_args a = {};
    a.w = (const bf_q4_k *)p->ptr[Q4K_MATVEC_W];
    a.x = p->ptr[Q4K_MATVEC_X];
    a.y = (float *)p->ptr[Q4K_MATVEC_Y];
    a.xq = (int8_t *)p->ptr[Q4K_MATVEC_XQ];
    a.xd = (float *)p->ptr[Q4K_MATVEC_XD];
    a.xs = (int32_t *)p->ptr[Q4K_MATVEC_XS];
    a.scratch = p->scratch;
    a.m = (int32_t)p->dim[Q4K_MATVEC_M];
    a.k = (int32_t)p->dim[Q4K_MATVEC_K];
    a.n = (int32_t)p->dim[Q4K_MATVEC_N];
    a.x_type = p->type[Q4K_MATVEC_X];
    return a;
}
/* Roundings behind one output: the weight's, then one a weight. */
static inline int64_t matvec_fp32_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] + 1; }
/* dm*s, the bracket, then one a block. */
static inline int64_t matvec_int8_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 32 + 2; }
#endif
#endif
