/* qblock_gpu.h: qblock_dequant and qblock_matmul (contracts: qblock.h) on both GPUs in the dialect of device.h: the decoders, the
 * plain kernels, and the host part's shapes. The twins (kernels/broken/qblock.*) differ by DEFECT alone. The quantiser is
 * q4k_matvec's, of either target. */
#ifndef BF_QBLOCK_GPU_H
#define BF_QBLOCK_GPU_H

#include "device.h"

#if defined(BF_DEVICE_HIP) || defined(BF_SIMT_HIP)
#include "../hip/q4k_quantise.h"
#else
#include "../cuda/q4k_quantise.h"
#endif
#include "mxfp4.h"
#include "q6_k.h"
#include "q8_0.h"
#include "qblock.h"

/* Beside enum matvec_defect: */
enum qblock_defect {
    QBLOCK_UNSIGNED = 100, /* Q6_K: scales read as unsigned bytes; Q8_0: the weights; MXFP4: signs dropped */
    QBLOCK_PAIR,           /* Q6_K: one scale for 32 weights */
    QBLOCK_HALVES,         /* Q6_K, MXFP4: low and high nibbles exchanged */
    QBLOCK_EXPONENT,       /* MXFP4: scales off by one exponent */
    QBLOCK_NO_NAN,         /* MXFP4: e = 255 read as a number */
    QBLOCK_FLUSH,          /* MXFP4: half scales that are subnormal read as zero */
    QBLOCK_TRUNC           /* dequant: truncates to the 16-bit types */
};
/* The formats, K(what symbols end in, the block): the order of tables of steps. */
#define QBLOCK_EACH_FORMAT(K) K(q6k, bf_q6_k) K(q80, bf_q8_0) K(mxfp4, bf_mxfp4)
constexpr int QBLOCK_NAIVE_THREADS = 128;

struct qblock_dequant_args {
    const void *w;
    void *y;
    int64_t n; /* weights; rows are contiguous */
    int32_t to;
};

BF_FN float qblock_via_fp16(float f) { return bf_f16_to_f32(bf_f32_to_f16(bf_apart(f))); }
BF_FN float qblock_via_bf16(float f) { return bf_bits_f(bf_bf16_to_f32_bits(bf_f32_bits_to_bf16(bf_f_bits(f)))); }
BF_FN float qblock_via_tf32(float f) {
    uint32_t u = bf_f_bits(f);
    return (u & 0x7f800000u) == 0x7f800000u ? f : bf_bits_f((u + 0xfffu + (u >> 13 & 1u)) & 0xffffe000u);
}
template <int DEFECT> BF_FN float qblock_sum(float f) {
    return DEFECT == MATVEC_ACC_FP16 ? qblock_via_fp16(f) : DEFECT == MATVEC_ACC_BF16 ? qblock_via_bf16(f) : f;
}
template <int DEFECT> BF_FN float qblock_x(const void *x, int type, int64_t i) {
    uint32_t v = type == BF_F32 ? bf_ld_u32((const uint32_t *)x + i) : bf_ld_u16((const uint16_t *)x + i);
    float f = type == BF_F32 ? bf_bits_f(v) : type == BF_F16 ? bf_f16_to_f32(v) : bf_bits_f(bf_bf16_to_f32_bits(v));
    return DEFECT == MATVEC_X_FP16   ? qblock_via_fp16(f)
           : DEFECT == MATVEC_X_BF16 ? qblock_via_bf16(f)
           : DEFECT == MATVEC_X_TF32 ? qblock_via_tf32(f)
                                     : f;
}

/* ---- one weight: B is bf_q6_k, bf_q8_0 or bf_mxfp4, row its first block, i the weight in the row ---- */
template <int DEFECT> BF_FN float qblock_scale(const bf_q6_k *row, int64_t i) {
    const bf_q6_k *b = row + i / 256;
    int s = (int)(i % 256) / 16, sc = b->scales[DEFECT == QBLOCK_PAIR ? s & ~1 : s];
    if (DEFECT == QBLOCK_UNSIGNED) sc &= 255;
    float f = bf_f16_to_f32(b->d) * (float)sc;
    return DEFECT == MATVEC_DSC_FP16 ? qblock_via_fp16(f) : f;
}
template <int DEFECT> BF_FN float qblock_scale(const bf_q8_0 *row, int64_t i) { return bf_f16_to_f32(row[i / 32].d); }
template <int DEFECT> BF_FN float qblock_scale(const bf_mxfp4 *row, int64_t i) {
    uint32_t e = row[i / 32].e;
    if (DEFECT == QBLOCK_NO_NAN && e == BF_MXFP4_NAN) return 0x1p127f;
    if (DEFECT == QBLOCK_FLUSH && e < 2u) return 0.0f;
    return bf_bits_f(bf_mxfp4_half_scale(DEFECT == QBLOCK_EXPONENT ? e + 1u : e));
}
template <int DEFECT> BF_FN int qblock_value(const bf_q6_k *row, int64_t i) {
    return bf_q6_k_value(row + i / 256, (int)(i % 256) ^ (DEFECT == QBLOCK_HALVES ? 64 : 0));
}
template <int DEFECT> BF_FN int qblock_value(const bf_q8_0 *row, int64_t i) {
    int q = row[i / 32].qs[i % 32];
    return DEFECT == QBLOCK_UNSIGNED ? q & 255 : q;
}
template <int DEFECT> BF_FN int qblock_value(const bf_mxfp4 *row, int64_t i) {
    int code = bf_mxfp4_code(row + i / 32, (int)(i % 32) ^ (DEFECT == QBLOCK_HALVES ? 16 : 0));
    return bf_mxfp4_integer(DEFECT == QBLOCK_UNSIGNED ? code & 7 : code);
}
BF_FN int qblock_weights(const bf_mxfp4 *) { return BF_MXFP4_WEIGHTS; }
BF_FN int qblock_weights(const bf_q6_k *) { return BF_Q6_K_WEIGHTS; }
BF_FN int qblock_weights(const bf_q8_0 *) { return BF_Q8_0_WEIGHTS; }

/* ---- dequantisation: a thread a weight, grid-stride ---- */
BF_FN uint32_t qblock_narrow(float f, int to) {
    return to == BF_F32 ? bf_f_bits(f) : to == BF_F16 ? bf_f32_to_f16(bf_apart(f)) : bf_f32_bits_to_bf16(bf_f_bits(f));
}
template <class B, int DEFECT> BF_FN void qblock_dequant_body(const qblock_dequant_args &a) {
    int64_t step = (int64_t)bf_gdim_x() * bf_bdim_x();
    for (int64_t i = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x(); i < a.n; i += step) {
        float f = qblock_scale<DEFECT>((const B *)a.w, i) * (float)qblock_value<DEFECT>((const B *)a.w, i);
        uint32_t r = qblock_narrow(f, a.to);
        if (DEFECT == QBLOCK_TRUNC && a.to != BF_F32) {
            float back = a.to == BF_F16 ? bf_f16_to_f32(r) : bf_bits_f(bf_bf16_to_f32_bits(r));
            if ((bf_f_bits(back) & 0x7fffffffu) > (bf_f_bits(f) & 0x7fffffffu)) r--;
        }
        if (a.to == BF_F32)
            ((uint32_t *)a.y)[i] = r;
        else
            ((uint16_t *)a.y)[i] = (uint16_t)r;
    }
}

/* ---- products: a thread an output ---- */

/* One chain of fused multiply-adds from the first weight to the last. */
template <class B, int DEFECT> BF_FN void qblock_fp32_body(const matvec_args &a) {
    int64_t o = (int64_t)bf_bid_x() * QBLOCK_NAIVE_THREADS + bf_tid_x();
    if (o >= (int64_t)a.m * a.n) return;
    const B *row = (const B *)(const void *)a.w + o % a.m * (a.k / qblock_weights((const B *)0));
    int64_t x = o / a.m * a.k;
    float acc = 0.0f, part = 0.0f;
    for (int i = 0; i < a.k; i++) {
        if (DEFECT == MATVEC_DROP_BLOCK && i / 32 == a.k / 32 / 2) continue;
        float w = qblock_scale<DEFECT>(row, i) * (float)qblock_value<DEFECT>(row, i), v = qblock_x<DEFECT>(a.x, a.x_type, x + i);
        if (DEFECT != MATVEC_PARTIAL_FP16) {
            acc = qblock_sum<DEFECT>(bf_fma(w, v, acc));
            continue;
        }
        part = bf_fma(w, v, part);
        if (i % 32 == 31) acc += qblock_via_fp16(part), part = 0.0f;
    }
    a.y[o] = DEFECT == MATVEC_SCALE_102 ? acc * 1.02f : acc;
}

/* Integer sums of 16, one chain over the blocks of 32. */
template <class B, int DEFECT> BF_FN void qblock_int8_body(const matvec_args &a) {
    int64_t o = (int64_t)bf_bid_x() * QBLOCK_NAIVE_THREADS + bf_tid_x();
    if (o >= (int64_t)a.m * a.n) return;
    const B *row = (const B *)(const void *)a.w + o % a.m * (a.k / qblock_weights((const B *)0));
    int blocks = a.k / 32;
    float acc = 0.0f;
    for (int b = 0; b < blocks; b++) {
        if (DEFECT == MATVEC_DROP_BLOCK && b == blocks / 2) continue;
        int64_t at = o / a.m * blocks + b;
        float sum = 0.0f;
        for (int half = 0; half < 32; half += 16) {
            int dot = 0;
            for (int i = half; i < half + 16; i++) dot += qblock_value<DEFECT>(row, 32 * b + i) * a.xq[32 * at + i];
            sum = bf_fma(qblock_scale<DEFECT>(row, 32 * b + half), (float)dot, sum);
        }
        if (DEFECT == MATVEC_PARTIAL_FP16)
            acc += qblock_via_fp16(a.xd[at] * sum);
        else
            acc = qblock_sum<DEFECT>(bf_fma(a.xd[at], sum, acc));
    }
    a.y[o] = DEFECT == MATVEC_SCALE_102 ? acc * 1.02f : acc;
}

#if BF_HOST
static inline int qblock_types(bf_dtype w, int64_t k) {
    return (w == BF_Q6_K && k % 256 == 0) || ((w == BF_Q8_0 || w == BF_MXFP4) && k % 32 == 0);
}
static inline int qblock_dequant_accepts(const bf_problem *p) {
    bf_dtype y = p->type[Q4K_DEQUANT_Y];
    return qblock_types(p->type[Q4K_DEQUANT_W], p->dim[Q4K_DEQUANT_K]) && (y == BF_F32 || y == BF_F16 || y == BF_BF16);
}
static inline int qblock_accepts(const bf_problem *p) {
    bf_dtype x = p->type[Q4K_MATVEC_X];
    return qblock_types(p->type[Q4K_MATVEC_W], p->dim[Q4K_MATVEC_K]) && (x == BF_F32 || x == BF_F16 || x == BF_BF16) &&
           p->dim[Q4K_MATVEC_M] < 1 << 26 && p->dim[Q4K_MATVEC_K] < 1 << 24;
}
/* W is slot 0 of both ops. Numbers in the order of QBLOCK_EACH_FORMAT. */
enum { QBLOCK_Q6K, QBLOCK_Q80, QBLOCK_MXFP4, QBLOCK_FORMATS };
static inline int qblock_format(const bf_problem *p) {
    bf_dtype w = p->type[Q4K_MATVEC_W];
    return w == BF_Q6_K ? QBLOCK_Q6K : w == BF_Q8_0 ? QBLOCK_Q80 : QBLOCK_MXFP4;
}
/* A kernel of each format, named STEM_<format>END. */
#define QBLOCK_STEPS(stem, end) {BF_STEP_FN(stem##_q6k##end), BF_STEP_FN(stem##_q80##end), BF_STEP_FN(stem##_mxfp4##end)}
template <class Args> using qblock_steps = bf_step_fn<Args>[QBLOCK_FORMATS];
/* Blocks for n items of work; at least one, at most `most` for kernels that stride. */
static inline int64_t qblock_groups(int64_t n, int64_t each, int64_t most = INT32_MAX) {
    int64_t groups = (n + each - 1) / each;
    return groups < 1 ? 1 : groups > most ? most : groups;
}
static inline int qblock_aligned(const void *p, int bytes) { return (uintptr_t)p % (uintptr_t)bytes == 0; }

static inline qblock_dequant_args qblock_dequant_arguments(const bf_problem *p) {
    return {p->ptr[Q4K_DEQUANT_W], p->ptr[Q4K_DEQUANT_Y], p->dim[Q4K_DEQUANT_M] * p->dim[Q4K_DEQUANT_K], p->type[Q4K_DEQUANT_Y]};
}
static inline matvec_args qblock_arguments(const bf_problem *p) {
    matvec_args a = {};
    a.w = (const bf_q4_k *)p->ptr[Q4K_MATVEC_W], a.x = p->ptr[Q4K_MATVEC_X], a.y = (float *)p->ptr[Q4K_MATVEC_Y];
    a.xq = (int8_t *)p->ptr[Q4K_MATVEC_XQ], a.xd = (float *)p->ptr[Q4K_MATVEC_XD], a.xs = (int32_t *)p->ptr[Q4K_MATVEC_XS];
    a.scratch = (decltype(a.scratch))p->scratch;
    a.m = (int32_t)p->dim[Q4K_MATVEC_M], a.k = (int32_t)p->dim[Q4K_MATVEC_K], a.n = (int32_t)p->dim[Q4K_MATVEC_N];
    a.x_type = p->type[Q4K_MATVEC_X];
#if defined(BF_SIMT_HIP)
    a.aligned = qblock_aligned(a.w, 16) && qblock_aligned(a.x, 16) && qblock_aligned(a.xq, 4);
#endif
    return a;
}
/* The weight is exact; then one rounding a weight. */
static inline int64_t qblock_fp32_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K]; }
/* One addition a block and one inside it. */
static inline int64_t qblock_int8_naive_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / 32 + 1; }

static inline int qblock_naive_dequant(const bf_problem *p, bf_step *s, const qblock_steps<qblock_dequant_args> &each) {
    qblock_dequant_args a = qblock_dequant_arguments(p);
    bf_step_set(&s[0], each[qblock_format(p)], qblock_groups(a.n, QBLOCK_NAIVE_THREADS, 8192), 1, QBLOCK_NAIVE_THREADS, 1, 0, a);
    return 1;
}
static inline int qblock_naive_fp32(const bf_problem *p, bf_step *s, const qblock_steps<matvec_args> &each) {
    matvec_args a = qblock_arguments(p);
    bf_step_set(&s[0], each[qblock_format(p)], qblock_groups((int64_t)a.m * a.n, QBLOCK_NAIVE_THREADS), 1, QBLOCK_NAIVE_THREADS, 1, 0, a);
    return 1;
}
static inline int qblock_naive_int8(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> quantise, const qblock_steps<matvec_args> &each) {
    matvec_args a = qblock_arguments(p);
    bf_step_set(&s[0], quantise, qblock_groups((int64_t)a.n * a.k / 32, QBLOCK_NAIVE_THREADS), 1, QBLOCK_NAIVE_THREADS, 1, 0, a);
    qblock_naive_fp32(p, &s[1], each);
    return 2;
}
#endif
#endif
