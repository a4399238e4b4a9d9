/* conv_tile.h: the tiled convolution of both GPU vendors, in the dialect of device.h: an implicit im2col, no receptive field
 * is ever stored.
 *
 * Both directions are gathers (conv_shape.h): a block takes M = 64 output channels of a group (16 where the group has no more than
 * 32) and 128 output positions of one phase. It walks over the taps that meet the phase, and for each over the group's channels, 8 at
 * a time. Inside such a slice a position's eight elements of x lie a plane apart, at one offset that changes with the tap only: the
 * gather costs a bounds test a tap, not one an element, and no division. What a tap is, is a table in shared memory, made once a
 * block. Weights are laid out first, by a launch of their own, as [group][tap][channel of x][channel of y], padded with zeros to
 * whole tiles; they keep their type and are widened on the way into shared memory, as x is. A thread has M/8 x 8 sums; two slices of
 * shared memory, so that the loads of the next one are in flight during the arithmetic of this one, with one barrier a slice. */
#ifndef BF_CONV_TILE_H
#define BF_CONV_TILE_H

#include "conv_device.h"

#if BF_HOST
#define CONV_UNROLLED
#define CONV_ROLLED
#else
#define CONV_UNROLLED _Pragma("unroll")
#define CONV_ROLLED _Pragma("unroll 1")
#endif

constexpr int CONV_N = 128, CONV_K = 8, CONV_THREADS = 128; /* positions, channels of x */
constexpr int CONV_PACK_THREADS = 256, CONV_TILE_TAPS = 1024; /* their table: 16 KB */

struct conv_tile_args {
    conv_args c;
    int32_t m_pad, k_pad;        /* channels of y and x of a group, rounded up to whole tiles */
    int32_t tap_step, from_step; /* between the taps of a phase; what such a step moves the place in x by */
};

/* ---- weights into tiles: a thread an element of the copy ---- */
BF_FN void conv_pack_body(const conv_tile_args &t) {
    const conv_args &a = t.c;
    int64_t i = (int64_t)bf_bid_x() * CONV_PACK_THREADS + bf_tid_x();
    if (i >= (int64_t)a.groups * a.tap_count * t.k_pad * t.m_pad) return;
    int o = (int)(i % t.m_pad), c = (int)(i / t.m_pad % t.k_pad);
    int tap = (int)(i / t.m_pad / t.k_pad % a.tap_count), g = (int)(i / t.m_pad / t.k_pad / a.tap_count);
    int64_t from = a.transposed ? (int64_t)(g * a.in + c) * a.out + o : (int64_t)(g * a.out + o) * a.in + c;
    bool inside = o < a.out && c < a.in;
    from = from * a.tap_count + tap;
    if (a.w_type == BF_F32)
        ((uint32_t *)a.scratch)[i] = inside ? bf_ld_u32((const uint32_t *)a.w + from) : 0u;
    else
        ((uint16_t *)a.scratch)[i] = (uint16_t)(inside ? bf_ld_u16((const uint16_t *)a.w + from) : 0u);
}

/* ---- where a block is ---- */
struct conv_walk {
    int32_t phase[3], outs[3], total; /* of this phase: first output, outputs, their product */
    int32_t tap[3], taps[3], from[3]; /* first tap that meets it, how many do, the first one's place in x for output 0 */
};
BF_FN int conv_in_step(const conv_args &a, int d) { return a.transposed ? 1 : a.stride[d]; }
BF_FN conv_walk conv_walk_of(const conv_args &a, int phase, int tap_step) {
    conv_walk w;
    w.total = 1;
    for (int d = 2; d >= 0; d--) {
        int step = a.transposed ? a.stride[d] : 1, t = 0;
        w.phase[d] = phase % step;
        phase /= step;
        int at = w.phase[d] + a.pad[d];
        if (a.transposed)
            while (t < a.taps[d] && (at - t * a.dilation) % step) t++;
        w.tap[d] = t;
        w.taps[d] = t < a.taps[d] ? (a.taps[d] - t + tap_step - 1) / tap_step : 0;
        w.from[d] = a.transposed ? (at - t * a.dilation) / step : -a.pad[d];
        w.outs[d] = a.osize[d] > w.phase[d] ? (a.osize[d] - w.phase[d] + step - 1) / step : 0;
        w.total *= w.outs[d];
    }
    return w;
}
/* Index in a plane of y of output q of the phase. */
BF_FN int conv_place(const conv_args &a, const conv_walk &w, int q) {
    if (!a.transposed) return q;
    int x = q % w.outs[2], y = q / w.outs[2] % w.outs[1], z = q / w.outs[2] / w.outs[1];
    return ((w.phase[0] + z * a.stride[0]) * a.osize[1] + w.phase[1] + y * a.stride[1]) * a.osize[2] + w.phase[2] +
           x * a.stride[2];
}

/* ---- the product ---- */
template <int TYPE> constexpr int conv_bytes = TYPE == BF_F32 ? 4 : 2;

BF_FN bf_f32x4 conv_widen4(const void *p, int type) {
    if (type == BF_F32) {
        bf_u32x4 u = bf_ld_u32x4(p);
        return {bf_bits_f(u.x), bf_bits_f(u.y), bf_bits_f(u.z), bf_bits_f(u.w)};
    }
    bf_u32x2 u = bf_ld_u32x2(p);
    if (type == BF_BF16)
        return {bf_bits_f(u.x << 16), bf_bits_f(u.x & 0xffff0000u), bf_bits_f(u.y << 16), bf_bits_f(u.y & 0xffff0000u)};
    return {bf_f16_to_f32(u.x & 0xffffu), bf_f16_to_f32(u.x >> 16), bf_f16_to_f32(u.y & 0xffffu), bf_f16_to_f32(u.y >> 16)};
}

/* What one tap of the walk is to all threads of a block, in shared memory: how far its place in x lies from the first tap's
 * (depth << 16 | height, both signed; width; elements of a plane), and where its weights begin. */
BF_FN void conv_taps(const conv_tile_args &t, const conv_walk &w, bf_u32x4 *taps) {
    const conv_args &a = t.c;
    int count = w.taps[0] * w.taps[1] * w.taps[2];
    for (int i = bf_tid_x(); i < count; i += CONV_THREADS) {
        int z = i / (w.taps[1] * w.taps[2]), y = i / w.taps[2] % w.taps[1], x = i % w.taps[2];
        int tap = ((w.tap[0] + z * t.tap_step) * a.taps[1] + w.tap[1] + y * t.tap_step) * a.taps[2] + w.tap[2] + x * t.tap_step;
        z *= t.from_step, y *= t.from_step, x *= t.from_step;
        taps[i] = {(uint32_t)z << 16 | ((uint32_t)y & 0xffffu), (uint32_t)x, (uint32_t)((z * a.size[1] + y) * a.size[2] + x),
                   (uint32_t)(tap * t.k_pad * t.m_pad)};
    }
}

/* A thread's hand in the gather: one position, whose slices it fetches tap by tap. */
struct conv_hand {
    int32_t tap, at[3];          /* of the block's taps; the first tap's place in x, may be outside */
    int32_t channel, channels;   /* 0: the tap's place is outside x */
    const char *x, *w, *x0, *w0; /* this slice's first element of x and its weights; the first tap's */
};
template <int XT, int WT> BF_FN void conv_hand_tap(const conv_args &a, conv_hand &h) {
    bf_u32x4 tap = ((const bf_u32x4 *)bf_dynamic_shared())[h.tap];
    bool inside = (uint32_t)(h.at[0] + ((int32_t)tap.x >> 16)) < (uint32_t)a.size[0] &&
                  (uint32_t)(h.at[1] + (int32_t)(int16_t)tap.x) < (uint32_t)a.size[1] &&
                  (uint32_t)h.at[2] + tap.y < (uint32_t)a.size[2];
    h.x = h.x0 + (int64_t)(int32_t)tap.z * conv_bytes<XT>;
    h.w = h.w0 + (int64_t)(int32_t)tap.w * conv_bytes<WT>;
    h.channel = 0, h.channels = inside ? a.in : 0;
}
/* To the next slice; false at the end. The same answer in all threads of a block. */
template <int XT, int WT> BF_FN bool conv_hand_next(const conv_tile_args &t, int taps, conv_hand &h) {
    h.channel += CONV_K;
    h.x += (int64_t)CONV_K * t.c.plane * conv_bytes<XT>;
    h.w += (int64_t)CONV_K * t.m_pad * conv_bytes<WT>;
    if (h.channel < t.k_pad) return true;
    if (++h.tap == taps) return false;
    conv_hand_tap<XT, WT>(t.c, h);
    return true;
}

struct conv_slice {
    uint32_t x[CONV_K];
    bf_f32x4 w; /* M = 64: four weights a thread; M = 16: one */
};
template <int XT, int WT, int M> BF_FN void conv_fetch(const conv_hand &h, int64_t plane, conv_slice &s) {
    plane *= conv_bytes<XT>;
    const char *x = h.x;
    CONV_UNROLLED
    for (int k = 0; k < CONV_K; k++, x += plane) {
        s.x[k] = 0;
        if (h.channel + k < h.channels) s.x[k] = XT == BF_F32 ? bf_ld_u32(x) : bf_ld_u16(x);
    }
    if (M == 64) s.w = conv_widen4(h.w, WT);
    else s.w.x = conv_load(h.w, WT, 0);
}

typedef bf_f32x4 conv_xs[2][CONV_K][CONV_N / 4];
template <int M> using conv_ws = bf_f32x4[2][CONV_K][M / 4];
template <int XT, int M> BF_FN void conv_put(const conv_slice &s, int turn, conv_xs xs, conv_ws<M> ws) {
    int tid = bf_tid_x();
    CONV_UNROLLED
    for (int k = 0; k < CONV_K; k++) ((float *)xs[turn][k])[tid] = conv_widen(s.x[k], XT);
    if (M == 64) ws[turn][tid / 16][tid % 16] = s.w;
    else ((float *)ws[turn][tid / 16])[tid % 16] = s.w.x;
}
BF_FN float conv_lane(const bf_f32x4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

/* Rows M/8 * (thread / 16) and the next, columns 4 * (thread % 16) and the next three, and the same 64 further on. */
template <int M> BF_FN void conv_multiply(int turn, const conv_xs xs, const conv_ws<M> ws, float acc[M / 8][8]) {
    constexpr int ROWS = M / 8;
    int col = bf_tid_x() % 16, row = bf_tid_x() / 16;
    CONV_UNROLLED
    for (int k = 0; k < CONV_K; k++) {
        const float *w1 = (const float *)ws[turn][k] + ROWS * row;
        bf_f32x4 x[2] = {xs[turn][k][col], xs[turn][k][16 + col]};
        float w[ROWS];
        CONV_UNROLLED
        for (int i = 0; i < ROWS; i++) w[i] = ROWS == 8 ? conv_lane(*(const bf_f32x4 *)(w1 + i / 4 * 4), i % 4) : w1[i];
        CONV_UNROLLED
        for (int i = 0; i < ROWS; i++)
            CONV_UNROLLED
            for (int j = 0; j < 8; j++) acc[i][j] = bf_fma(w[i], conv_lane(x[j / 4], j % 4), acc[i][j]);
    }
}

/* grid: position tiles; channel tiles of all groups; phases of all items. */
template <int XT, int WT, int M> BF_FN void conv_tile_body(const conv_tile_args &t, conv_xs xs, conv_ws<M> ws) {
    constexpr int ROWS = M / 8;
    const conv_args &a = t.c;
    int tid = bf_tid_x(), phases = a.transposed ? a.stride[0] * a.stride[1] * a.stride[2] : 1;
    int item = bf_bid_z() / phases, m_tiles = t.m_pad / M, g = bf_bid_y() / m_tiles, o = bf_bid_y() % m_tiles * M;
    conv_walk w = conv_walk_of(a, bf_bid_z() % phases, t.tap_step);
    int first = bf_bid_x() * CONV_N, q = first + tid;
    if (first >= w.total) return; /* phases may have fewer outputs than the first */

    float acc[ROWS][8];
    CONV_UNROLLED
    for (int i = 0; i < 8 * ROWS; i++) acc[i / 8][i % 8] = 0.0f;

    int taps = w.taps[0] * w.taps[1] * w.taps[2];
    conv_taps(t, w, (bf_u32x4 *)bf_dynamic_shared());
    conv_hand h;
    int at[3] = {q / w.outs[2] / w.outs[1], q / w.outs[2] % w.outs[1], q % w.outs[2]};
    for (int d = 0; d < 3; d++) h.at[d] = at[d] * conv_in_step(a, d) + w.from[d];
    h.tap = 0;
    h.x0 = (const char *)a.x + (((int64_t)item * a.groups + g) * a.in * a.plane +
                                ((int64_t)h.at[0] * a.size[1] + h.at[1]) * a.size[2] + h.at[2]) * conv_bytes<XT>;
    if (q >= w.total) h.at[0] = -(1 << 30); /* outside whatever the tap */
    h.w0 = (const char *)a.scratch +
           (((int64_t)g * a.tap_count * t.k_pad + tid / 16) * t.m_pad + o + tid % 16 * (M / 16)) * conv_bytes<WT>;
    bool more = taps > 0;
    conv_slice s;
    bf_sync();
    if (more) {
        conv_hand_tap<XT, WT>(a, h);
        conv_fetch<XT, WT, M>(h, a.plane, s);
        conv_put<XT, M>(s, 0, xs, ws);
    }
    bf_sync();
    for (int turn = 0; more; turn ^= 1) {
        more = conv_hand_next<XT, WT>(t, taps, h);
        if (more) conv_fetch<XT, WT, M>(h, a.plane, s);
        conv_multiply<M>(turn, xs, ws, acc);
        if (more) conv_put<XT, M>(s, turn ^ 1, xs, ws);
        bf_sync();
    }
    CONV_UNROLLED
    for (int j = 0; j < 8; j++) {
        int out = first + j / 4 * 64 + tid % 16 * 4 + j % 4;
        if (out >= w.total) continue;
        int p = conv_place(a, w, out);
        CONV_UNROLLED
        for (int i = 0; i < ROWS; i++) {
            int m = o + tid / 16 * ROWS + i;
            if (m < a.out)
                conv_finish(a, g * a.out + m, (((int64_t)item * a.groups + g) * a.out + m) * a.oplane + p, acc[i][j]);
        }
    }
}

/* ---- few channels a group: no tile would fill ---- */
constexpr int CONV_DIRECT_THREADS = 128, CONV_DIRECT_EACH = 3, CONV_DIRECT_WEIGHTS = 1024;
constexpr int CONV_DIRECT_IN = 2; /* channels of x a group, at most */

/* A block is one channel of y and 512 outputs of a phase, four a thread, 128 apart; the channel's weights lie in shared memory,
 * widened. grid: position tiles; channels; phases of all items. */
template <int XT> BF_FN void conv_direct_body(const conv_tile_args &t, float *weights) {
    const conv_args &a = t.c;
    int tid = bf_tid_x(), phases = a.transposed ? a.stride[0] * a.stride[1] * a.stride[2] : 1;
    int item = bf_bid_z() / phases, o = bf_bid_y(), g = o / a.out, m = o % a.out;
    conv_walk w = conv_walk_of(a, bf_bid_z() % phases, t.tap_step);
    int first = bf_bid_x() * CONV_DIRECT_THREADS * CONV_DIRECT_EACH;
    for (int i = tid; i < a.in * a.tap_count; i += CONV_DIRECT_THREADS) {
        int c = i / a.tap_count;
        int64_t from = a.transposed ? (int64_t)(g * a.in + c) * a.out + m : (int64_t)o * a.in + c;
        weights[i] = conv_load(a.w, a.w_type, from * a.tap_count + i % a.tap_count);
    }
    bf_sync();
    int at[CONV_DIRECT_EACH][3];
    float acc[CONV_DIRECT_EACH];
    CONV_UNROLLED
    for (int j = 0; j < CONV_DIRECT_EACH; j++) {
        int q = first + j * CONV_DIRECT_THREADS + tid, there = q < w.total;
        acc[j] = 0.0f;
        at[j][0] = there ? q / w.outs[2] / w.outs[1] * conv_in_step(a, 0) + w.from[0] : -(1 << 30); /* outside whatever the tap */
        at[j][1] = there ? q / w.outs[2] % w.outs[1] * conv_in_step(a, 1) + w.from[1] : 0;
        at[j][2] = there ? q % w.outs[2] * conv_in_step(a, 2) + w.from[2] : 0;
    }
    const char *x = (const char *)a.x + ((int64_t)item * a.groups + g) * a.in * a.plane * conv_bytes<XT>;
    for (int c = 0; c < a.in; c++, x += (int64_t)a.plane * conv_bytes<XT>)
        for (int iz = 0; iz < w.taps[0]; iz++)
            for (int iy = 0; iy < w.taps[1]; iy++) {
                int p[CONV_DIRECT_EACH], width[CONV_DIRECT_EACH]; /* width 0: the row is outside */
                const char *from[CONV_DIRECT_EACH];
                CONV_UNROLLED
                for (int j = 0; j < CONV_DIRECT_EACH; j++) {
                    int z = at[j][0] + iz * t.from_step, y = at[j][1] + iy * t.from_step;
                    bool inside = (uint32_t)z < (uint32_t)a.size[0] && (uint32_t)y < (uint32_t)a.size[1];
                    p[j] = at[j][2], width[j] = inside ? a.size[2] : 0;
                    from[j] = x + (int64_t)((inside ? (z * a.size[1] + y) * a.size[2] : 0) + p[j]) * conv_bytes<XT>;
                }
                const float *v = weights + c * a.tap_count + ((w.tap[0] + iz * t.tap_step) * a.taps[1] + w.tap[1] +
                                                              iy * t.tap_step) * a.taps[2] + w.tap[2];
                CONV_ROLLED
                for (int ix = 0; ix < w.taps[2]; ix++, v += t.tap_step)
                    CONV_UNROLLED
                    for (int j = 0; j < CONV_DIRECT_EACH; j++) {
                        if ((uint32_t)p[j] < (uint32_t)width[j]) acc[j] = bf_fma(*v, conv_load(from[j], XT, 0), acc[j]);
                        p[j] += t.from_step, from[j] += t.from_step * conv_bytes<XT>;
                    }
            }
    CONV_UNROLLED
    for (int j = 0; j < CONV_DIRECT_EACH; j++) {
        int q = first + j * CONV_DIRECT_THREADS + tid;
        if (q < w.total)
            conv_finish(a, o, ((int64_t)item * a.groups * a.out + o) * a.oplane + conv_place(a, w, q), acc[j]);
    }
}

#if BF_HOST
static inline int32_t conv_tile_m(const conv_shape *s) { return s->out <= 32 ? 16 : 64; }
static inline conv_tile_args conv_tile_arguments(const bf_problem *p) {
    conv_shape s;
    conv_tile_args t = {};
    if (!conv_shape_of(p, &s)) return t;
    t.c = conv_arguments(p);
    int32_t m = conv_tile_m(&s);
    t.m_pad = (s.out + m - 1) / m * m, t.k_pad = (s.in + CONV_K - 1) / CONV_K * CONV_K;
    t.tap_step = 1, t.from_step = s.dilation;
    int32_t stride = s.stride[2]; /* the width is always used */
    while (s.transposed && (int64_t)t.tap_step * s.dilation % stride) t.tap_step++;
    if (s.transposed) t.from_step = -(t.tap_step * s.dilation / stride);
    return t;
}
static inline int64_t conv_tiles(const conv_shape *s, int each) {
    int64_t most = 1; /* phase 0 has the most outputs */
    for (int d = 0; d < 3; d++) most *= conv_phase_size(s, d, 0);
    return (most + each - 1) / each;
}
static inline int conv_tile_accepts(const bf_problem *p) {
    conv_shape s;
    if (!conv_accepts(p) || !conv_shape_of(p, &s)) return 0;
    int32_t m = conv_tile_m(&s);
    int64_t m_tiles = (s.out + m - 1) / m * (int64_t)s.groups, packed = m_tiles * m * s.tap_count;
    packed *= (s.in + CONV_K - 1) / CONV_K * CONV_K; /* below 2^30 * 2^30 */
    if (s.tap_count > CONV_TILE_TAPS || (int64_t)s.taps[2] * s.dilation >= 1 << 15 || packed / s.groups >= 1 << 29) return 0;
    return s.in > CONV_DIRECT_IN && m_tiles <= 65535 && (int64_t)conv_phases(&s) * s.batch <= 65535 && packed < INT64_C(1) << 36;
}
static inline uint64_t conv_tile_scratch(const bf_problem *p) {
    conv_tile_args t = conv_tile_arguments(p);
    return (uint64_t)t.c.groups * (uint64_t)t.c.tap_count * (uint64_t)t.k_pad * (uint64_t)t.m_pad * (t.c.w_type == BF_F32 ? 4 : 2);
}
/* One addition a slice's channel: padding channels add exact zeros. */
static inline int conv_tile_steps(const bf_problem *p, bf_step *s, bf_step_fn<conv_tile_args> pack,
                                  bf_step_fn<conv_tile_args> wide, bf_step_fn<conv_tile_args> narrow) {
    conv_tile_args t = conv_tile_arguments(p);
    conv_shape shape;
    if (!conv_shape_of(p, &shape)) return 0;
    int64_t packed = (int64_t)t.c.groups * t.c.tap_count * t.k_pad * t.m_pad;
    bf_step_set(&s[0], pack, (packed + CONV_PACK_THREADS - 1) / CONV_PACK_THREADS, 1, CONV_PACK_THREADS, 1, 0, t);
    int32_t m = conv_tile_m(&shape);
    bf_step_set(&s[1], m == 64 ? wide : narrow, conv_tiles(&shape, CONV_N), (int64_t)t.c.groups * (t.m_pad / m), CONV_THREADS, 1,
                16 * t.c.tap_count, t);
    s[1].grid[2] = (uint32_t)(shape.batch * conv_phases(&shape));
    return 2;
}
static inline int conv_direct_accepts(const bf_problem *p) {
    conv_shape s;
    return conv_accepts(p) && conv_shape_of(p, &s) && s.in <= CONV_DIRECT_IN && (int64_t)s.in * s.tap_count <= CONV_DIRECT_WEIGHTS &&
           (int64_t)s.groups * s.out <= 65535 && (int64_t)conv_phases(&s) * s.batch <= 65535;
}
static inline int conv_direct_steps(const bf_problem *p, bf_step *s, bf_step_fn<conv_tile_args> fn) {
    conv_tile_args t = conv_tile_arguments(p);
    conv_shape shape;
    if (!conv_shape_of(p, &shape)) return 0;
    bf_step_set(&s[0], fn, conv_tiles(&shape, CONV_DIRECT_THREADS * CONV_DIRECT_EACH), (int64_t)t.c.groups * t.c.out,
                CONV_DIRECT_THREADS, 1, 0, t);
    s[0].grid[2] = (uint32_t)(shape.batch * conv_phases(&shape));
    return 1;
}
static inline int conv_type_index(bf_dtype t) { return t == BF_F32 ? 0 : t == BF_F16 ? 1 : 2; }
#endif
#endif
