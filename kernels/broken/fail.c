/* Broken kernels and steps of the failure catalogue on the CPU; what they do is said in ../common/fail_device.h and
 * fail.h. */
#include <math.h>

#include "../common/fail.h"
#include "../cpu/attention.h"
#include "../cpu/norm.h"

/* ---- norm with sums in the type of the activations ---- */

static float half(float v) { return bf_f16_value(bf_f32_bits_to_f16(bf_bits(v))); }
#define ROUND(v) (is_half ? half(v) : (v))
#define INLINE static inline __attribute__((always_inline))

INLINE float norm_sum(const norm_job *j, int64_t at, float centre, int squares, int is_half, int tree) {
    float sum[32] = {0};
    int lanes = tree ? 32 : 1;
    for (int64_t i = 0; i < j->length; i++) {
        float d = ROUND(bf_load_float(j->x, j->x_type, at + i) - centre), *s = &sum[i % lanes];
        *s = ROUND(*s + (squares ? ROUND(d * d) : d));
    }
    for (int m = lanes / 2; m; m >>= 1)
        for (int l = 0; l < m; l++) sum[l] = ROUND(sum[l] + sum[l + m]);
    return sum[0];
}

INLINE void norm_rows_of(const norm_job *j, int64_t begin, int64_t end, int is_half, int tree) {
    float inverse = 1.0f / (float)j->length, eps = ldexpf(j->eps, j->eps_exponent);
    for (int64_t r = begin; r < end; r++) {
        int64_t at = r * j->length;
        float mean = j->centred ? ROUND(norm_sum(j, at, 0, 0, is_half, tree) * inverse) : 0;
        float v = ROUND(norm_sum(j, at, mean, 1, is_half, tree) * inverse), factor = 1.0f / sqrtf(v + ROUND(eps));
        for (int64_t i = 0; i < j->length; i++) {
            int64_t channel = r % j->groups * j->channels + i / j->inner;
            float y = (bf_load_float(j->x, j->x_type, at + i) - mean) * factor;
            if (j->w) y *= bf_load_float(j->w, j->w_type, channel) + (j->plus_one ? 1.0f : 0.0f);
            if (j->b) y += bf_load_float(j->b, j->b_type, channel);
            norm_store(j->y, j->y_type, at + i, y);
        }
    }
}

static int norm_fits(const bf_problem *p) { return norm_accepts(p) && norm_length(p) <= 1 << 22 && !p->type[NORM_R]; }
static int64_t norm_chain(const bf_problem *p) { return norm_length(p); }

#define NORM(id, is_half, tree, defect, text)                                                                        \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {                                      \
        (void)thread;                                                                                                \
        norm_rows_of(arg, begin, end, is_half, tree);                                                                \
    }                                                                                                                \
    static void id##_run(const bf_problem *p, bf_pool *pool) {                                                       \
        norm_job j = norm_job_of(p);                                                                                 \
        bf_pool_run(pool, id##_chunk, &j, j.rows, 1);                                                                \
    }                                                                                                                \
    static const bf_kernel id = {.op = "norm",                                                                       \
                                 .name = "norm_twin_" defect,                                                        \
                                 .file = "broken_fail",                                                              \
                                 .target = BF_CPU,                                                                   \
                                 .role = BF_TWIN,                                                                    \
                                 .twin = defect,                                                                     \
                                 .summary = text,                                                                    \
                                 .accepts = norm_fits,                                                               \
                                 .chain = norm_chain,                                                                \
                                 .run = id##_run};                                                                   \
    BF_REGISTER(id)

NORM(chain_fp16, 1, 0, "chain-fp16", "sums in fp16, one chain, as shipped: mean and variance in fp16 too");
NORM(tree_fp16, 1, 1, "tree-fp16", "sums in fp16, 32 strided sums and a butterfly");
NORM(plain_fp32, 0, 1, "plain-fp32", "sums in fp32, neither scaled nor guarded: rsqrt(inf) = 0, inf * 0 = NaN");

/* ---- attention whose softmax believes that every row has a key ---- */

static float no_guard_score(const attention_job *j, int64_t row, int64_t i, int64_t key) {
    float dot = 0;
    int64_t kv = (row / j->queries / j->group * j->keys + key) * j->d;
    for (int64_t d = 0; d < j->d; d++)
        dot += bf_load_float(j->q, j->q_type, row * j->d + d) * bf_load_float(j->k, j->kv_type, kv + d);
    float t = dot * j->scale;
    if (j->cap > 0) t = j->cap * tanhf(t / j->cap);
    return t + attention_mask(j, i, key);
}

static void no_guard_rows(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const attention_job *j = arg;
    for (int64_t row = begin; row < end; row++) {
        int64_t i = row % j->queries, first = attention_first(j, i), last = attention_end(j, i);
        float max = -INFINITY, sum = 0, acc[ATTENTION_MAX_D] = {0};
        for (int64_t k = first; k < last; k++) max = fmaxf(max, no_guard_score(j, row, i, k));
        for (int64_t k = first; k < last; k++) {
            float p = expf(no_guard_score(j, row, i, k) - max);
            sum += p;
            for (int64_t d = 0; d < j->d; d++)
                acc[d] += p * bf_load_float(j->v, j->kv_type, (row / j->queries / j->group * j->keys + k) * j->d + d);
        }
        for (int64_t d = 0; d < j->d; d++) j->o[row * j->d + d] = acc[d] / sum;
        j->lse[row] = max + logf(sum);
    }
}
static void no_guard_run(const bf_problem *p, bf_pool *pool) {
    attention_job j = attention_job_of(p);
    bf_pool_run(pool, no_guard_rows, &j, j.heads * j.queries, 1);
}
static int no_guard_accepts(const bf_problem *p) { return attention_accepts(p) && !p->type[ATTENTION_SINK]; }
static int64_t no_guard_chain(const bf_problem *p) { return p->dim[ATTENTION_KEYS]; }
static const bf_kernel no_guard = {
    .op = "attention",
    .name = "attention_twin_no-guard",
    .file = "broken_fail",
    .target = BF_CPU,
    .role = BF_TWIN,
    .twin = "no-guard",
    .summary = "no key is excluded: a row of -inf is NaN",
    .accepts = no_guard_accepts,
    .chain = no_guard_chain,
    .run = no_guard_run,
};
BF_REGISTER(no_guard);

/* ---- steps ---- */

static int step_accepts(const bf_problem *p) { return p->dim[FAIL_N] >= 1 && p->dim[FAIL_N] < 1 << 24; }

static void swiglu_run(const bf_problem *p, bf_pool *pool) {
    (void)pool;
    const float *gate = p->ptr[FAIL_SWIGLU_GATE], *up = p->ptr[FAIL_SWIGLU_UP];
    for (int64_t i = 0; i < p->dim[FAIL_N]; i++)
        norm_store(p->ptr[FAIL_SWIGLU_Y], p->type[FAIL_SWIGLU_Y], i, gate[i] / (1.0f + expf(-gate[i])) * up[i]);
}

static unsigned char byte(float v) { return isnan(v) ? 0 : v <= 0 ? 0 : v >= 255 ? 255 : (unsigned char)rintf(v); }

static void frame_run(const bf_problem *p, bf_pool *pool) {
    (void)pool;
    static const float matrix[3][4] = FAIL_FRAME_MATRIX;
    enum { S = FAIL_FRAME_SQUARE };
    const float *latent = p->ptr[FAIL_FRAME_LATENT];
    unsigned char *rgb = p->ptr[FAIL_FRAME_RGB], *planes = p->ptr[FAIL_FRAME_YUV];
    int64_t n = p->dim[FAIL_N], rows = p->dim[FAIL_ROWS];
    int bt709 = p->param[FAIL_FRAME_BT709] != 0;
    float kr = FAIL_KR(bt709), kb = FAIL_KB(bt709);
    for (int64_t l = 0; l < n * rows; l++) {
        float c[3];
        for (int k = 0; k < 3; k++) {
            c[k] = 0.5f;
            for (int d = 0; d < 4; d++) c[k] = fmaf(matrix[k][d], latent[l * 4 + d], c[k]);
        }
        float y = kr * c[0] + (1 - kr - kb) * c[1] + kb * c[2];
        float yuv[3] = {16 + 219 * y, 128 + 112 * (c[2] - y) / (1 - kb), 128 + 112 * (c[0] - y) / (1 - kr)};
        for (int k = 0; k < 3; k++)
            for (int at = 0; at < S * S; at++) {
                int64_t i = ((k * rows + l / n) * S + at / S) * n * S + l % n * S + at % S;
                rgb[i] = byte(255 * c[k]), planes[i] = byte(yuv[k]);
            }
    }
}

/* The partial sums that nobody wrote hold what the buffer held before. */
static void reduce_run(const bf_problem *p, bf_pool *pool) {
    (void)pool;
    const float *x = p->ptr[FAIL_REDUCE_X];
    float *partial = p->scratch, sum = 0;
    int launched = (int)p->param[FAIL_REDUCE_LAUNCHED];
    for (int w = 0; w < launched; w++) {
        partial[w] = 0;
        for (int64_t i = w; i < p->dim[FAIL_N]; i += launched) partial[w] += x[i];
    }
    for (int w = 0; w < FAIL_REDUCE_WARPS; w++) sum += partial[w];
    *(float *)p->ptr[FAIL_REDUCE_Y] = sum;
}
static uint64_t reduce_scratch(const bf_problem *p) { return (void)p, FAIL_REDUCE_WARPS * sizeof(float); }

#define STEP(id, text, ...)                                                                                          \
    static const bf_kernel id = {.op = "fail_" #id,                                                                  \
                                 .name = "fail_" #id,                                                                \
                                 .file = "broken_fail",                                                              \
                                 .target = BF_CPU,                                                                   \
                                 .role = BF_NAIVE,                                                                   \
                                 .summary = text,                                                                    \
                                 .accepts = step_accepts,                                                            \
                                 .run = id##_run,                                                                    \
                                 __VA_ARGS__};                                                                       \
    BF_REGISTER(id)
STEP(swiglu, "a step of `fail`: silu(gate) * up", .scratch = NULL);
STEP(frame, "a step of `fail`: latents to RGB and YUV bytes", .scratch = NULL);
STEP(reduce, "a step of `fail`: a sum whose launch and code may disagree", .scratch = reduce_scratch);
