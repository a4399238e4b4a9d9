/* q4k_quantise.h: the quantiser of the int8 paths as the tuned kernels run it: eight lanes a block of 32, four values a lane. What
 * a kernel does with the result beside XQ, XD, XS (a copy in its own order) is its own. */
#ifndef BF_HIP_Q4K_QUANTISE_H
#define BF_HIP_Q4K_QUANTISE_H

#include "q4k_matvec_plain.h"

/* Four consecutive x; i is a multiple of 4. */
BF_FN bf_f32x4 matvec_read_x4(const void *x, int type, bool aligned, int64_t i) {
    if (!aligned)
        return {matvec_read_x(x, type, i), matvec_read_x(x, type, i + 1), matvec_read_x(x, type, i + 2),
                matvec_read_x(x, type, i + 3)};
    if (type == BF_F32) {
        bf_u32x4 v = bf_ld_u32x4((const char *)x + 4 * i);
        return {bf_bits_f(v.x), bf_bits_f(v.y), bf_bits_f(v.z), bf_bits_f(v.w)};
    }
    bf_u32x2 v = bf_ld_u32x2((const char *)x + 2 * i);
    return {matvec_to_f32(v.x & 0xffffu, type), matvec_to_f32(v.x >> 16, type), matvec_to_f32(v.y & 0xffffu, type),
            matvec_to_f32(v.y >> 16, type)};
}

struct quantised4 {
    uint32_t word; /* this lane's four q */
    float d;       /* of the block; NaN where x is not finite */
    int s;         /* of the block */
};

/* Values at .. at+3 of x [n][k], at a multiple of 4; writes XQ, XD, XS if `mine`. All lanes of the wave call it together. The
 * quotients are true divisions: n * K of them are nothing beside m * K products. */
BF_FN quantised4 quantise4(const matvec_args &a, int64_t at, bool mine = true) {
    bf_f32x4 x = matvec_read_x4(a.x, a.x_type, a.aligned, at);
    float value[4] = {x.x, x.y, x.z, x.w};
    uint32_t amax = 0, word = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t u = bf_f_bits(value[i]) & 0x7fffffffu;
        amax = u > amax ? u : amax;
    }
    for (int mask = 4; mask; mask /= 2) {
        uint32_t other = bf_shfl_xor(amax, mask);
        amax = other > amax ? other : amax;
    }
    bool usable;
    float d = matvec_block_scale(amax, &usable);
    for (int i = 0; i < 4; i++) {
        int q = usable ? (int)bf_rint(value[i] / d) : 0;
        word |= ((uint32_t)q & 0xffu) << 8 * i;
        if (mine && !a.aligned) a.xq[at + i] = (int8_t)q;
    }
    if (mine && a.aligned) ((uint32_t *)a.xq)[at / 4] = word;
    int s = bf_dp4a((int32_t)word, 0x01010101, 0);
    for (int mask = 4; mask; mask /= 2) s += (int)bf_shfl_xor((uint32_t)s, mask);
    if (mine && at % 32 == 0) {
        a.xd[at / 32] = d;
        a.xs[at / 32] = s;
    }
    return {word, d, s};
}

#endif
