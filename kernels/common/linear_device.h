/* linear_device.h: what the GPU kernels of linear share on both targets, in the dialect of device.h: arguments, elements, the plain
 * kernel (sound, and with one defect each for kernels/broken), and the end of every kernel: bias and rounding. */
#ifndef BF_LINEAR_DEVICE_H
#define BF_LINEAR_DEVICE_H

#include "device.h"

#include "bf16.h"
#include "device_math.h"
#include "kernel.h"
#include "linear.h"

/* Before a loop whose trip count is a constant and whose arrays must end up in registers. On the host it would only
 * cost compile time. */
#if BF_HOST
#define LINEAR_UNROLLED
#else
#define LINEAR_UNROLLED _Pragma("unroll")
#endif

enum linear_defect {
    LINEAR_SOUND,
    LINEAR_ACC_FP16,
    LINEAR_ACC_BF16,
    LINEAR_X_FP16,
    LINEAR_X_BF16,
    LINEAR_X_TF32,
    LINEAR_W_AS_FP16,
    LINEAR_W_AS_BF16,
    LINEAR_W_F16_OVERFLOW,
    LINEAR_DROP_K_TAIL,
    LINEAR_BIAS_DROPPED,
    LINEAR_BIAS_FP16,
    LINEAR_Y_TRUNC,
    LINEAR_SCALE_102,
    LINEAR_PARTIAL_FP16
};

struct linear_args {
    const void *w, *x, *b;
    void *y;
    float *scratch; /* x as fp32 [n][k], where a kernel wants it so */
    int32_t m, k, n, w_type, x_type, b_type, y_type;
};

/* The bits of a stored 16-bit value as fp32. */
BF_FN float linear_half(uint32_t h, int type) {
    return type == BF_F16 ? bf_f16_to_f32(h) : bf_bits_f(bf_bf16_to_f32_bits(h));
}
BF_FN float linear_load(const void *p, int type, int64_t i) {
    if (type == BF_F32) return bf_bits_f(bf_ld_u32((const uint32_t *)p + i));
    return linear_half(bf_ld_u16((const uint16_t *)p + i), type);
}

BF_FN float linear_fp16(float f) { return bf_f16_to_f32(bf_f32_to_f16(f)); }
BF_FN float linear_bf16(float f) { return bf_bits_f(bf_bf16_to_f32_bits(bf_f32_bits_to_bf16(bf_f_bits(f)))); }

/* One rounding to y's type. TRUNC (the twin): towards zero in a 16-bit type. */
template <int DEFECT> BF_FN void linear_store(void *y, int type, int64_t i, float v) {
    if (type == BF_F32) {
        ((uint32_t *)y)[i] = bf_f_bits(v);
        return;
    }
    uint32_t h = type == BF_F16 ? bf_f32_to_f16(v) : bf_f32_bits_to_bf16(bf_f_bits(v));
    if (DEFECT == LINEAR_Y_TRUNC) {
        float back = linear_half(h & 0x7fffu, type), size = bf_bits_f(bf_f_bits(v) & 0x7fffffffu);
        if (back > size) h -= 1;
    }
    ((uint16_t *)y)[i] = (uint16_t)h;
}

/* Adds the bias of row r, last and in fp32, and stores output (column c, row r). */
template <int DEFECT> BF_FN void linear_finish(const linear_args &a, int64_t c, int64_t r, float sum) {
    if (DEFECT == LINEAR_SCALE_102) sum *= 1.02f;
    if (a.b && DEFECT != LINEAR_BIAS_DROPPED) {
        float b = linear_load(a.b, a.b_type, r);
        sum += DEFECT == LINEAR_BIAS_FP16 ? linear_fp16(b) : b;
    }
    linear_store<DEFECT>(a.y, a.y_type, c * a.m + r, sum);
}

template <int DEFECT> BF_FN float linear_weight(const linear_args &a, int64_t i) {
    int type = a.w_type;
    if (DEFECT == LINEAR_W_AS_FP16 && type == BF_BF16) type = BF_F16;
    else if (DEFECT == LINEAR_W_AS_BF16 && type == BF_F16) type = BF_BF16;
    float w = linear_load(a.w, type, i);
    return DEFECT == LINEAR_W_F16_OVERFLOW ? linear_fp16(w) : w;
}

constexpr int LINEAR_NAIVE_THREADS = 128;

/* A thread an output; one chain of fused multiply-adds from the first weight to the last. */
template <int DEFECT> BF_FN void linear_naive_body(const linear_args &a) {
    int64_t o = (int64_t)bf_bid_x() * LINEAR_NAIVE_THREADS + bf_tid_x();
    if (o >= (int64_t)a.m * a.n) return;
    int64_t r = o % a.m, c = o / a.m;
    int k = DEFECT == LINEAR_DROP_K_TAIL ? a.k / 8 * 8 : a.k;
    float acc = 0.0f, whole = 0.0f;
    for (int i = 0; i < k; i++) {
        if (DEFECT == LINEAR_PARTIAL_FP16 && i % 32 == 0) whole += linear_fp16(acc), acc = 0.0f;
        float x = linear_load(a.x, a.x_type, c * a.k + i);
        if (DEFECT == LINEAR_X_FP16) x = linear_fp16(x);
        if (DEFECT == LINEAR_X_BF16) x = linear_bf16(x);
        if (DEFECT == LINEAR_X_TF32) x = bf_to_tf32(x);
        acc = bf_fma(linear_weight<DEFECT>(a, r * a.k + i), x, acc);
        if (DEFECT == LINEAR_ACC_FP16) acc = linear_fp16(acc);
        if (DEFECT == LINEAR_ACC_BF16) acc = linear_bf16(acc);
    }
    if (DEFECT == LINEAR_PARTIAL_FP16) acc = whole + linear_fp16(acc);
    linear_finish<DEFECT>(a, c, r, acc);
}

#if BF_HOST
static inline int linear_float(bf_dtype t) { return t == BF_F32 || t == BF_F16 || t == BF_BF16; }
static inline int linear_accepts(const bf_problem *p) {
    const int64_t limit = (int64_t)1 << 30;
    return linear_float(p->type[LINEAR_W]) && linear_float(p->type[LINEAR_X]) && linear_float(p->type[LINEAR_Y]) &&
           (p->type[LINEAR_B] == BF_NONE || linear_float(p->type[LINEAR_B])) && p->dim[LINEAR_M] < limit &&
           p->dim[LINEAR_K] < limit >> 6 && p->dim[LINEAR_N] < limit;
}
static inline linear_args linear_arguments(const bf_problem *p) {
    linear_args a = {};
    a.w = p->ptr[LINEAR_W], a.x = p->ptr[LINEAR_X], a.y = p->ptr[LINEAR_Y];
    a.b = p->type[LINEAR_B] == BF_NONE ? nullptr : p->ptr[LINEAR_B];
    a.scratch = (float *)p->scratch;
    a.m = (int32_t)p->dim[LINEAR_M], a.k = (int32_t)p->dim[LINEAR_K], a.n = (int32_t)p->dim[LINEAR_N];
    a.w_type = p->type[LINEAR_W], a.x_type = p->type[LINEAR_X], a.b_type = p->type[LINEAR_B], a.y_type = p->type[LINEAR_Y];
    return a;
}
static inline int64_t linear_blocks(int64_t n, int64_t each) { return n < 1 ? 1 : (n + each - 1) / each; }
/* K products, one chain. */
static inline int64_t linear_naive_chain(const bf_problem *p) { return p->dim[LINEAR_K] - 1; }
static inline int linear_naive_plan(const bf_problem *p, bf_step *s, bf_step_fn<linear_args> fn) {
    linear_args a = linear_arguments(p);
    bf_step_set(&s[0], fn, linear_blocks((int64_t)a.m * a.n, LINEAR_NAIVE_THREADS), 1, LINEAR_NAIVE_THREADS, 1, 0, a);
    return 1;
}
#endif
#endif
