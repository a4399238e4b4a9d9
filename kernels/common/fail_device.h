/* fail_device.h: broken kernels of the failure catalogue and its steps (fail.h) on both vendors, in the dialect of device.h.
 * Included by kernels/broken/fail.cu and kernels/broken/fail.hip. */
#ifndef BF_FAIL_DEVICE_H
#define BF_FAIL_DEVICE_H

#include "attention_gpu.h"
#include "fail.h"
#include "norm_device.h"

/* ---- norm as it is often shipped: sums in the type of the activations ----
 *
 * mean = sum / n, y = (x - mean) * rsqrt(sum of squares / n + eps) * w + b; without scaling or a policy for what is not finite.
 * The variants differ by the type of the sums (HALF) and by their order (TREE: a warp's strided sums and a butterfly;
 * otherwise one chain). A block is a warp is a row. */
template <int HALF> BF_FN float fail_round(float v) { return HALF ? norm_via_fp16(v) : v; }

template <int HALF, int TREE> BF_FN float fail_norm_sum(const norm_args &a, int64_t at, float centre, int squares) {
    float sum = 0.0f;
    for (int i = TREE ? bf_lane() : 0; i < a.length && (TREE || bf_lane() == 0); i += TREE ? 32 : 1) {
        float d = fail_round<HALF>(norm_load(a.x, a.x_type, at + i) - centre);
        sum = fail_round<HALF>(sum + (squares ? fail_round<HALF>(d * d) : d));
    }
    for (int m = 16; TREE && m; m >>= 1) sum = fail_round<HALF>(sum + bf_shfl_xor_f(sum, m));
    return TREE ? sum : bf_shfl_f(sum, 0);
}

template <int HALF, int TREE> BF_FN void fail_norm_body(const norm_args &a) {
    int64_t r = bf_bid_x(), at = r * a.length;
    float mean = a.centred ? fail_round<HALF>(fail_norm_sum<HALF, TREE>(a, at, 0.0f, 0) * a.inverse) : 0.0f;
    float v = fail_round<HALF>(fail_norm_sum<HALF, TREE>(a, at, mean, 1) * a.inverse);
    float factor = bf_rsqrt(v + fail_round<HALF>(a.eps * norm_pow2(a.eps_exponent)));
    for (int i = bf_lane(); i < a.length; i += 32) {
        int64_t channel = r % a.groups * a.channels + i / a.inner;
        float y = (norm_load(a.x, a.x_type, at + i) - mean) * factor * norm_weight(a, channel);
        if (a.b) y += norm_load(a.b, a.b_type, channel);
        norm_store(a.y, a.y_type, at + i, y);
    }
}
BF_KERNEL_FN(norm_fail_chain_fp16, norm_args, 32) { fail_norm_body<1, 0>(a); }
BF_KERNEL_FN(norm_fail_tree_fp16, norm_args, 32) { fail_norm_body<1, 1>(a); }
BF_KERNEL_FN(norm_fail_plain_fp32, norm_args, 32) { fail_norm_body<0, 1>(a); }

/* ---- attention whose softmax believes that every row has a key ----
 *
 * The mask is added and nothing is excluded: a row of -inf has the maximum -inf, and -inf - -inf is NaN. A block is a warp is a
 * row; every lane computes all scores and its own columns of o. */
BF_KERNEL_FN(attention_fail_no_guard, attention_args, 32) {
    int row = bf_bid_x(), i = row % a.queries, end = attention_end(a, i), lane = bf_lane();
    int64_t q = (int64_t)row * a.d, kv = (int64_t)(row / a.queries / a.group) * a.keys * a.d;
    float max = ATTENTION_NONE, sum = 0.0f, acc[ATTENTION_MAX_D / 32];
    for (int s = 0; s < ATTENTION_MAX_D / 32; s++) acc[s] = 0.0f;
    for (int pass = 0; pass < 2; pass++)
        for (int j = attention_first(a, i); j < end; j++) {
            float dot = 0.0f;
            for (int d = 0; d < a.d; d++)
                dot = bf_fma(attention_read(a.q, a.q_type, q + d), attention_read(a.k, a.kv_type, kv + (int64_t)j * a.d + d), dot);
            float t = attention_capped(a, dot) + attention_mask(a, i, j);
            if (pass == 0) {
                max = bf_max(max, t);
                continue;
            }
            float p = bf_exp(t - max);
            sum += p;
            for (int s = 0; s < ATTENTION_MAX_D / 32 && lane + 32 * s < a.d; s++)
                acc[s] = bf_fma(p, attention_read(a.v, a.kv_type, kv + (int64_t)j * a.d + lane + 32 * s), acc[s]);
        }
    for (int s = 0; s < ATTENTION_MAX_D / 32 && lane + 32 * s < a.d; s++) a.o[q + lane + 32 * s] = acc[s] / sum;
    if (lane == 0) a.lse[row] = max + bf_log(sum);
}

/* ---- steps ---- */
struct fail_args {
    const void *in[2];
    void *out[2];
    int32_t n, rows, type, mode;
};
constexpr int FAIL_THREADS = 64;

BF_KERNEL_FN(fail_swiglu, fail_args, FAIL_THREADS) {
    int i = bf_bid_x() * FAIL_THREADS + bf_tid_x();
    if (i >= a.n) return;
    float gate = bf_bits_f(bf_ld_u32((const uint32_t *)a.in[0] + i)), up = bf_bits_f(bf_ld_u32((const uint32_t *)a.in[1] + i));
    norm_store(a.out[0], a.type, i, gate / (1.0f + bf_exp(-gate)) * up);
}

/* v of 0..255, rounded and clamped; NaN is 0. */
BF_FN uint8_t fail_byte(float v) { return v == v ? (uint8_t)bf_rint(bf_min(bf_max(v, 0.0f), 255.0f)) : (uint8_t)0; }

/* A thread a latent. */
BF_KERNEL_FN(fail_frame, fail_args, FAIL_THREADS) {
    int l = bf_bid_x() * FAIL_THREADS + bf_tid_x(), width = a.n * FAIL_FRAME_SQUARE;
    if (l >= a.n * a.rows) return;
    const float matrix[3][4] = FAIL_FRAME_MATRIX;
    float c[3], kr = FAIL_KR(a.mode), kb = FAIL_KB(a.mode);
    for (int k = 0; k < 3; k++) {
        c[k] = 0.5f;
        for (int d = 0; d < 4; d++) c[k] = bf_fma(matrix[k][d], bf_bits_f(bf_ld_u32((const uint32_t *)a.in[0] + l * 4 + d)), c[k]);
    }
    float y = kr * c[0] + (1.0f - kr - kb) * c[1] + kb * c[2];
    float yuv[3] = {16.0f + 219.0f * y, 128.0f + 112.0f * (c[2] - y) / (1.0f - kb), 128.0f + 112.0f * (c[0] - y) / (1.0f - kr)};
    for (int k = 0; k < 3; k++)
        for (int p = 0; p < FAIL_FRAME_SQUARE * FAIL_FRAME_SQUARE; p++) {
            int64_t row = l / a.n * FAIL_FRAME_SQUARE + p / FAIL_FRAME_SQUARE + (int64_t)k * a.rows * FAIL_FRAME_SQUARE;
            int64_t at = row * width + l % a.n * FAIL_FRAME_SQUARE + p % FAIL_FRAME_SQUARE;
            ((uint8_t *)a.out[0])[at] = fail_byte(255.0f * c[k]);
            ((uint8_t *)a.out[1])[at] = fail_byte(yuv[k]);
        }
}

BF_KERNEL_FN(fail_reduce, fail_args, 32 * FAIL_REDUCE_WARPS) {
    BF_SHARED float partial[FAIL_REDUCE_WARPS];
    float sum = 0.0f;
    for (int i = bf_tid_x(); i < a.n; i += bf_bdim_x()) sum += bf_bits_f(bf_ld_u32((const uint32_t *)a.in[0] + i));
    sum = bf_warp_sum_f(sum);
    if (bf_lane() == 0) partial[bf_tid_x() / 32] = sum;
    bf_sync();
    if (bf_tid_x() != 0) return;
    for (int w = 1; w < FAIL_REDUCE_WARPS; w++) sum += partial[w];
    *(float *)a.out[0] = sum;
}

#if BF_HOST
#define FAIL_NORM(id, twin_name, text)                                                                                  \
    static int id##_plan(const bf_problem *p, bf_step *s) {                                                             \
        norm_args a = norm_arguments(p);                                                                                \
        bf_step_set(&s[0], BF_STEP_FN(norm_fail_##id), a.rows, 1, 32, 1, 0, a);                                         \
        return 1;                                                                                                       \
    }                                                                                                                   \
    static const bf_kernel id##_kernel = {                                                                              \
        .op = "norm", .name = "norm_twin_" twin_name, .file = "broken_fail", .target = BF_STEP_TARGET, .role = BF_TWIN, \
        .twin = twin_name, .summary = text, .accepts = fail_norm_accepts, .chain = norm_naive_chain, .plan = id##_plan, \
    };                                                                                                                  \
    BF_REGISTER(id##_kernel)

static int fail_norm_accepts(const bf_problem *p) { return norm_naive_accepts(p) && !p->type[NORM_R]; }
FAIL_NORM(chain_fp16, "chain-fp16", "sums in fp16, one chain, as shipped: mean and variance in fp16 too");
FAIL_NORM(tree_fp16, "tree-fp16", "sums in fp16, a warp's strided sums and a butterfly");
FAIL_NORM(plain_fp32, "plain-fp32", "sums in fp32, neither scaled nor guarded: rsqrt(inf) = 0, inf * 0 = NaN");

static int no_guard_plan(const bf_problem *p, bf_step *s) {
    attention_args a = attention_arguments(p);
    bf_step_set(&s[0], BF_STEP_FN(attention_fail_no_guard), (int64_t)a.heads * a.queries, 1, 32, 1, 0, a);
    return 1;
}
static int no_guard_accepts(const bf_problem *p) { return attention_accepts(p) && !p->type[ATTENTION_SINK]; }
static int64_t no_guard_chain(const bf_problem *p) { return p->dim[ATTENTION_KEYS]; }
static const bf_kernel no_guard = {
    .op = "attention", .name = "attention_twin_no-guard", .file = "broken_fail", .target = BF_STEP_TARGET, .role = BF_TWIN,
    .twin = "no-guard", .summary = "no key is excluded: a row of -inf is NaN", .accepts = no_guard_accepts,
    .chain = no_guard_chain, .plan = no_guard_plan,
};
BF_REGISTER(no_guard);

static int step_accepts(const bf_problem *p) { return p->dim[FAIL_N] >= 1 && p->dim[FAIL_N] < 1 << 24; }
static int swiglu_plan(const bf_problem *p, bf_step *s) {
    fail_args a = {{p->ptr[FAIL_SWIGLU_GATE], p->ptr[FAIL_SWIGLU_UP]}, {p->ptr[FAIL_SWIGLU_Y], nullptr},
                   (int32_t)p->dim[FAIL_N], 1, p->type[FAIL_SWIGLU_Y], 0};
    bf_step_set(&s[0], BF_STEP_FN(fail_swiglu), (a.n + FAIL_THREADS - 1) / FAIL_THREADS, 1, FAIL_THREADS, 1, 0, a);
    return 1;
}
static int frame_plan(const bf_problem *p, bf_step *s) {
    fail_args a = {{p->ptr[FAIL_FRAME_LATENT], nullptr}, {p->ptr[FAIL_FRAME_RGB], p->ptr[FAIL_FRAME_YUV]},
                   (int32_t)p->dim[FAIL_N], (int32_t)p->dim[FAIL_ROWS], 0, p->param[FAIL_FRAME_BT709] != 0};
    bf_step_set(&s[0], BF_STEP_FN(fail_frame), (a.n * a.rows + FAIL_THREADS - 1) / FAIL_THREADS, 1, FAIL_THREADS, 1, 0, a);
    return 1;
}
static int reduce_plan(const bf_problem *p, bf_step *s) {
    fail_args a = {{p->ptr[FAIL_REDUCE_X], nullptr}, {p->ptr[FAIL_REDUCE_Y], nullptr}, (int32_t)p->dim[FAIL_N], 1, 0, 0};
    /* First as it was built, so that shared memory holds what an earlier launch left, whatever the device does with it. */
    bf_step_set(&s[0], BF_STEP_FN(fail_reduce), 1, 1, 32 * FAIL_REDUCE_WARPS, 1, 0, a);
    bf_step_set(&s[1], BF_STEP_FN(fail_reduce), 1, 1, 32 * (int64_t)p->param[FAIL_REDUCE_LAUNCHED], 1, 0, a);
    return 2;
}
#define FAIL_STEP(id, text)                                                                                      \
    static const bf_kernel id##_kernel = {                                                                       \
        .op = "fail_" #id, .name = "fail_" #id, .file = "broken_fail", .target = BF_STEP_TARGET, .role = BF_NAIVE, \
        .summary = text, .accepts = step_accepts, .plan = id##_plan,                                             \
    };                                                                                                           \
    BF_REGISTER(id##_kernel)
FAIL_STEP(swiglu, "a step of `fail`: silu(gate) * up");
FAIL_STEP(frame, "a step of `fail`: latents to RGB and YUV bytes");
FAIL_STEP(reduce, "a step of `fail`: a sum whose launch and code may disagree");
#endif
#endif
