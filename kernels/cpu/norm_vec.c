/* norm_vec.c: norm_rows.h in portable C: arrays of sixteen that the compiler turns into the vectors there are; plain stores.
 * Bound: a read for each line that is stored; 16-bit types are converted one by one.
 *
 * Run: blackframe bench -b cpu -k norm_vec norm */
#include <string.h>

#include "fp16.h"

#define NORM_TARGET
typedef struct vf {
    float v[16];
} vf;
typedef struct va {
    double v[16];
} va;
#define EACH for (int k = 0; k < 16; k++)

/* 16-bit types out of line: the loops stay small enough for vectors. */
__attribute__((noinline)) static vf load16(const void *p, bf_dtype t, int64_t i) {
    vf v;
    EACH v.v[k] = bf_load_float(p, t, i + k);
    return v;
}
__attribute__((noinline)) static void put16(uint16_t *p, bf_dtype t, const vf *v) {
    EACH p[k] = (uint16_t)(t == BF_F16 ? bf_f32_bits_to_f16(bf_bits(v->v[k])) : bf_f32_bits_to_bf16(bf_bits(v->v[k])));
}
static inline vf vf_load(const void *p, bf_dtype t, int64_t i) {
    if (t != BF_F32) return load16(p, t, i);
    vf v;
    memcpy(v.v, (const float *)p + i, sizeof v.v);
    return v;
}
static inline void vf_put(void *p, bf_dtype t, int64_t i, vf v, int nt) {
    (void)nt;
    if (t == BF_F32) memcpy((float *)p + i, v.v, sizeof v.v);
    else put16((uint16_t *)p + i, t, &v);
}
static inline vf vf_set(float f) {
    vf v;
    EACH v.v[k] = f;
    return v;
}
static inline vf vf_add(vf a, vf b) {
    EACH a.v[k] += b.v[k];
    return a;
}
static inline vf vf_sub(vf a, vf b) {
    EACH a.v[k] -= b.v[k];
    return a;
}
static inline vf vf_mul(vf a, vf b) {
    EACH a.v[k] *= b.v[k];
    return a;
}
static inline va va_zero(void) { return (va){{0}}; }
static inline double va_total(va s) {
    for (int half = 8; half; half /= 2)
        for (int k = 0; k < half; k++) s.v[k] += s.v[k + half];
    return s.v[0];
}
static inline void va_square(va *square, vf v) { EACH square->v[k] += (double)v.v[k] * (double)v.v[k]; }
static inline void va_shifted(va *sum, va *square, vf v, double shift) {
    EACH {
        double d = (double)v.v[k] - shift;
        sum->v[k] += d, square->v[k] += d * d;
    }
}
static inline void norm_fence(void) {}

#include "norm_rows.h"

static const bf_kernel norm_vec = {
    .op = "norm", .name = "norm_vec", .file = "norm_vec", .target = BF_CPU, .role = BF_TUNED, .rank = 10,
    .summary = "sums of a row in fp64 while the row before streams out, portable C", .accepts = norm_accepts,
    .scratch = rows_scratch, .chain = rows_chain, .run = rows_run,
};
BF_REGISTER(norm_vec);
