/* q4k_quantise.h: the quantiser of the int8 paths as the tuned kernels run it: eight threads a block of 32, four values a
 * thread. What a kernel does with the result beside XQ, XD, XS (a copy in its own order) is its own. */
#ifndef BF_CUDA_Q4K_QUANTISE_H
#define BF_CUDA_Q4K_QUANTISE_H

#include "q4k_matvec_naive.h"

/* Four values of x, 16 or 8 bytes at once. */
BF_FN void load_x4(const void *x, int type, int64_t i, float v[4]) {
    if (type == BF_F32) {
        bf_u32x4 u = bf_ld_u32x4((const uint32_t *)x + i);
        v[0] = bf_bits_f(u.x), v[1] = bf_bits_f(u.y), v[2] = bf_bits_f(u.z), v[3] = bf_bits_f(u.w);
        return;
    }
    bf_u32x2 u = bf_ld_u32x2((const uint16_t *)x + i);
    uint32_t h[4] = {u.x & 0xffffu, u.x >> 16, u.y & 0xffffu, u.y >> 16};
    for (int k = 0; k < 4; k++) v[k] = type == BF_F16 ? bf_f16_to_f32(h[k]) : bf_bits_f(bf_bf16_to_f32_bits(h[k]));
}

struct quantised4 {
    uint32_t packed; /* this thread's four q */
    float d;         /* of the block; NaN where x is not finite */
    int sum;         /* of the block */
};

/* Values e .. e+3 of x [n][k], e a multiple of 4; writes XQ, XD, XS if `mine`. All lanes of the warp call it together. */
BF_FN quantised4 quantise4(const matvec_args &a, int64_t e, bool mine = true) {
    float v[4];
    load_x4(a.x, a.x_type, e, v);
    uint32_t amax = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t u = bf_f_bits(v[i]) & 0x7fffffffu;
        amax = u > amax ? u : amax; /* as integers, so that a NaN is the largest */
    }
    for (int mask = 1; mask < 8; mask *= 2) {
        uint32_t other = bf_shfl_xor(amax, mask);
        amax = other > amax ? other : amax;
    }
    bool bad = amax >= MATVEC_AMAX_INF, zero = bad || amax < MATVEC_AMAX_MIN;
    float d = zero ? 0.0f : matvec_qscale(bf_bits_f(amax)), inverse = zero ? 0.0f : 127.0f / bf_bits_f(amax);
    int sum = 0;
    uint32_t packed = 0;
    for (int i = 0; i < 4; i++) {
        int q = matvec_quantise(zero ? 0.0f : v[i], d, inverse);
        packed |= ((uint32_t)q & 0xffu) << 8 * i;
        sum += q;
    }
    for (int mask = 1; mask < 8; mask *= 2) sum += (int)bf_shfl_xor((uint32_t)sum, mask);
    if (bad) d = bf_bits_f(MATVEC_QNAN);
    if (mine) ((uint32_t *)a.xq)[e / 4] = packed;
    if (mine && e % 32 == 0) {
        a.xd[e / 32] = d;
        a.xs[e / 32] = sum;
    }
    return {packed, d, sum};
}

/* 1.5 * 2^23: an integer sum below 2^22 in magnitude started here is a float's bits; one subtraction brings it back. */
enum : int32_t { INT_BASE = 0x4b400000 };
BF_FN float int_value(int32_t sum) { return bf_bits_f((uint32_t)sum) - 12582912.0f; }

#endif
