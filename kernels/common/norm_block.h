/* norm_block.h: the tuned normalisation of both vendors: a row (or a slab of a long one) stays in the registers of a warp or a
 * block between the passes, so that memory is read once and written once. In the dialect of device.h.
 *
 * THREADS threads hold VALUES values each, in units of WIDE adjacent ones: 8 where all tensors of the row are 16-bit and 4 where
 * one is fp32, so that both are 128-bit accesses; 1 where lengths or addresses divide by neither. Unit j of thread t begins at
 * WIDE * (t + j * THREADS): every access of a warp is one contiguous piece. Values past the end are zero and stay out of every sum. */
#ifndef BF_NORM_BLOCK_H
#define BF_NORM_BLOCK_H

#include "norm_device.h"

#if BF_HOST /* on the host it would only cost compile time */
#define NORM_UNROLLED
#else
#define NORM_UNROLLED _Pragma("unroll")
#endif

constexpr int NORM_WARPS = 4; /* of a block whose warps have a row each */
constexpr int NORM_VALUES = 32, NORM_FEW = 8; /* a thread */
constexpr int NORM_LONG = 512 * NORM_VALUES; /* the longest row of one block, and the slab of longer ones */

/* One slab of a long row: its values are c + rest on average, in units of 2^e; square: sum of the squared deviations. */
struct norm_part {
    int32_t e;
    float c, rest, square;
};

/* ---- units ---- */

BF_FN float norm_half(uint32_t word, int k, int type) { return norm_widen(k ? word >> 16 : word & 0xffffu, type); }

/* WIDE values of `type` from element i on; i a multiple of WIDE, p aligned to a unit (fp32: to 16 bytes). */
template <int WIDE> BF_FN void norm_unit(const void *p, int type, int64_t i, float v[WIDE]) {
    if (WIDE == 1) {
        v[0] = norm_load(p, type, i);
    } else if (type == BF_F32) {
        NORM_UNROLLED
        for (int k = 0; k < WIDE; k += 4) {
            bf_u32x4 u = bf_ld_u32x4((const uint32_t *)p + i + k);
            v[k] = bf_bits_f(u.x), v[k + 1 < WIDE ? k + 1 : 0] = bf_bits_f(u.y);
            v[k + 2 < WIDE ? k + 2 : 0] = bf_bits_f(u.z), v[k + 3 < WIDE ? k + 3 : 0] = bf_bits_f(u.w);
        }
    } else {
        uint32_t word[4] = {0, 0, 0, 0};
        if (WIDE == 8) {
            bf_u32x4 u = bf_ld_u32x4((const uint16_t *)p + i);
            word[0] = u.x, word[1] = u.y, word[2] = u.z, word[3] = u.w;
        } else {
            bf_u32x2 u = bf_ld_u32x2((const uint16_t *)p + i);
            word[0] = u.x, word[1] = u.y;
        }
        NORM_UNROLLED
        for (int k = 0; k < WIDE; k++) v[k] = norm_half(word[k / 2], k & 1, type);
    }
}

BF_FN uint32_t norm_pack(int type, float low, float high) {
    if (type == BF_F16) return bf_f32_to_f16(low) | bf_f32_to_f16(high) << 16;
    return norm_to_bf16(low) | norm_to_bf16(high) << 16;
}
template <int WIDE> BF_FN void norm_put(void *p, int type, int64_t i, const float v[WIDE]) {
    if (WIDE == 1) {
        norm_store(p, type, i, v[0]);
    } else if (type == BF_F32) {
        NORM_UNROLLED
        for (int k = 0; k < WIDE; k += 4)
            bf_st_u32x4((uint32_t *)p + i + k, {bf_f_bits(v[k]), bf_f_bits(v[k + 1 < WIDE ? k + 1 : 0]),
                                                bf_f_bits(v[k + 2 < WIDE ? k + 2 : 0]), bf_f_bits(v[k + 3 < WIDE ? k + 3 : 0])});
    } else {
        uint32_t word[4] = {0, 0, 0, 0};
        NORM_UNROLLED
        for (int k = 0; k + 1 < WIDE; k += 2) word[k / 2] = norm_pack(type, v[k], v[k + 1]);
        if (WIDE == 8)
            bf_st_u32x4((uint16_t *)p + i, {word[0], word[1], word[2], word[3]});
        else
            bf_st_u32x2((uint16_t *)p + i, {word[0], word[1]});
    }
}

/* WIDE weights (or biases) for the values from i of a row on, whose first channel is `first`. */
template <int WIDE> BF_FN void norm_channels(const norm_args &a, const void *p, int type, int first, int i, float v[WIDE]) {
    if (a.inner == 1) {
        norm_unit<WIDE>(p, type, (int64_t)first + i, v);
        return;
    }
    int channel = i / a.inner, left = (channel + 1) * a.inner - i;
    NORM_UNROLLED
    for (int k = 0; k < WIDE; k++) {
        v[k] = norm_load(p, type, (int64_t)first + channel);
        left--;
        channel += left == 0;
        left = left == 0 ? a.inner : left;
    }
}

/* ---- a row in registers ---- */

template <int THREADS_, int VALUES_, int WIDE_> struct norm_tile {
    static constexpr int THREADS = THREADS_, VALUES = VALUES_, WIDE = WIDE_;
    static constexpr int UNITS = VALUES_ / WIDE_, WARPS = THREADS_ / BF_WARP;
    float v[VALUES_];
    int64_t at;   /* the first value, in memory */
    int first, n; /* the first value's index in the row, number of values */
    int thread;
};

/* The first value of unit j, counted from the tile's first. */
template <class T> BF_FN int norm_unit_at(const T &x, int j) { return T::WIDE * (x.thread + j * T::THREADS); }

template <class T> BF_FN void norm_fetch_type(T &x, const void *p, int type) {
    NORM_UNROLLED
    for (int j = 0; j < T::UNITS; j++)
        if (norm_unit_at(x, j) < x.n) norm_unit<T::WIDE>(p, type, x.at + norm_unit_at(x, j), x.v + T::WIDE * j);
}
/* s of all units, into registers; into memory too where there is a residual and STORE. */
template <bool STORE, class T> BF_FN void norm_fetch(T &x, const norm_args &a) {
    NORM_UNROLLED
    for (int i = 0; i < T::VALUES; i++) x.v[i] = 0.0f;
    /* The type is asked outside of the loops, so that all loads of a thread are under way together. */
    if (a.x_type == BF_F32)
        norm_fetch_type(x, a.x, BF_F32);
    else if (a.x_type == BF_F16)
        norm_fetch_type(x, a.x, BF_F16);
    else
        norm_fetch_type(x, a.x, BF_BF16);
    if (!a.r) return;
    NORM_UNROLLED
    for (int j = 0; j < T::UNITS; j++) {
        float r[T::WIDE], *u = x.v + T::WIDE * j;
        if (norm_unit_at(x, j) >= x.n) continue;
        norm_unit<T::WIDE>(a.r, a.r_type, x.at + norm_unit_at(x, j), r);
        NORM_UNROLLED
        for (int k = 0; k < T::WIDE; k++) u[k] += r[k];
        if (STORE) norm_put<T::WIDE>(a.s, BF_F32, x.at + norm_unit_at(x, j), u);
    }
}

template <class T> BF_FN uint32_t norm_largest(const T &x) {
    uint32_t most = 0;
    NORM_UNROLLED
    for (int i = 0; i < T::VALUES; i++) {
        uint32_t u = bf_f_bits(x.v[i]) & 0x7fffffffu;
        most = u > most ? u : most; /* as integers, so that a NaN is the largest */
    }
    return most;
}
template <class T> BF_FN void norm_scale(T &x, float by) {
    NORM_UNROLLED
    for (int i = 0; i < T::VALUES; i++) x.v[i] *= by;
}
/* v - c where there are values. */
template <class T> BF_FN void norm_shift(T &x, float c) {
    NORM_UNROLLED
    for (int j = 0; j < T::UNITS; j++) {
        float *u = x.v + T::WIDE * j;
        NORM_UNROLLED
        for (int k = 0; k < T::WIDE; k++) u[k] = norm_unit_at(x, j) < x.n ? u[k] - c : 0.0f;
    }
}
/* Four chains, added in pairs: VALUES / 4 + 1 additions. */
template <class T> BF_FN float norm_sum(const T &x) {
    float s[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    NORM_UNROLLED
    for (int i = 0; i < T::VALUES; i++) s[i & 3] += x.v[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}
template <class T> BF_FN float norm_squares(const T &x) {
    float s[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    NORM_UNROLLED
    for (int i = 0; i < T::VALUES; i++) s[i & 3] = bf_fma(x.v[i], x.v[i], s[i & 3]);
    return (s[0] + s[1]) + (s[2] + s[3]);
}
/* y of deviations: v * factor * g + b; `channel`: the row's first. */
template <class T> BF_FN void norm_finish(T &x, const norm_args &a, int channel, float factor) {
    NORM_UNROLLED
    for (int j = 0; j < T::UNITS; j++) {
        float *u = x.v + T::WIDE * j, g[T::WIDE];
        int i = norm_unit_at(x, j);
        if (i >= x.n) continue;
        NORM_UNROLLED
        for (int k = 0; k < T::WIDE; k++) u[k] *= factor;
        if (a.w) {
            norm_channels<T::WIDE>(a, a.w, a.w_type, channel, x.first + i, g);
            NORM_UNROLLED
            for (int k = 0; k < T::WIDE; k++) u[k] *= a.plus_one ? 1.0f + g[k] : g[k];
        }
        if (a.b) {
            norm_channels<T::WIDE>(a, a.b, a.b_type, channel, x.first + i, g);
            NORM_UNROLLED
            for (int k = 0; k < T::WIDE; k++) u[k] += g[k];
        }
        norm_put<T::WIDE>(a.y, a.y_type, x.at + i, u);
    }
}

/* Sum and maximum over the threads of a row, the same bits in all. `slot`: WARPS words of shared memory that this reduction has
 * for itself, so that one barrier is enough. Additions: 5, and log2(WARPS) more. */
template <int WARPS> BF_FN float norm_all_sum(float v, uint32_t *slot) {
    v = bf_warp_sum_f(v);
    if (WARPS == 1) return v;
    if (bf_lane() == 0) slot[bf_tid_x() / BF_WARP] = bf_f_bits(v);
    bf_sync();
    return bf_warp_sum_f(bf_lane() < WARPS ? bf_bits_f(slot[bf_lane()]) : 0.0f);
}
BF_FN uint32_t norm_warp_max(uint32_t v) {
    for (int mask = BF_WARP / 2; mask; mask /= 2) {
        uint32_t other = bf_shfl_xor(v, mask);
        v = other > v ? other : v;
    }
    return v;
}
template <int WARPS> BF_FN uint32_t norm_all_max(uint32_t v, uint32_t *slot) {
    v = norm_warp_max(v);
    if (WARPS == 1) return v;
    if (bf_lane() == 0) slot[bf_tid_x() / BF_WARP] = v;
    bf_sync();
    return norm_warp_max(bf_lane() < WARPS ? slot[bf_lane()] : 0u);
}
constexpr int NORM_SLOTS = 4 * 16; /* words of shared memory: four reductions of up to sixteen warps */

/* Deviations in place of values (rms: scaled values), and what was subtracted. */
template <class TILE> BF_FN norm_part norm_centre(TILE &x, const norm_args &a, float inverse, int least, uint32_t *slots) {
    norm_part p = {norm_exponent(norm_all_max<TILE::WARPS>(norm_largest(x), slots), least), 0.0f, 0.0f, 0.0f};
    norm_scale(x, norm_down(p.e));
    if (a.centred) {
        p.c = norm_all_sum<TILE::WARPS>(norm_sum(x), slots + 16) * inverse;
        norm_shift(x, p.c);
        p.rest = norm_all_sum<TILE::WARPS>(norm_sum(x), slots + 32) * inverse;
        norm_shift(x, p.rest);
    }
    p.square = norm_all_sum<TILE::WARPS>(norm_squares(x), slots + 48);
    return p;
}

/* One row; THREADS 32: one a warp, NORM_WARPS warps a block, no barrier. */
template <int THREADS, int VALUES, int WIDE> BF_FN void norm_row_body(const norm_args &a, uint32_t *slots) {
    norm_tile<THREADS, VALUES, WIDE> x;
    int64_t row = THREADS == BF_WARP ? (int64_t)bf_bid_x() * NORM_WARPS + bf_tid_x() / BF_WARP : bf_bid_x();
    if (row >= a.rows) return; /* whole warps */
    x.at = row * a.length, x.first = 0, x.n = a.length, x.thread = bf_tid_x() % THREADS;
    norm_fetch<true>(x, a);
    norm_part p = norm_centre(x, a, a.inverse, a.least, slots);
    norm_finish(x, a, (int)(row % a.groups) * a.channels, norm_factor(a, p.square * a.inverse, p.e));
}

/* ---- long rows: two launches, a block a slab ---- */

template <int WIDE> BF_FN void norm_slab(norm_tile<512, NORM_VALUES, WIDE> &x, const norm_args &a) {
    int64_t row = bf_bid_x() / a.slabs;
    x.first = (int)(bf_bid_x() % a.slabs) * NORM_LONG;
    x.n = a.length - x.first < NORM_LONG ? a.length - x.first : NORM_LONG;
    x.at = row * a.length + x.first, x.thread = bf_tid_x();
}
template <int WIDE> BF_FN void norm_part_body(const norm_args &a, uint32_t *slots) {
    norm_tile<512, NORM_VALUES, WIDE> x;
    norm_slab(x, a);
    norm_fetch<false>(x, a);
    norm_part p = norm_centre(x, a, 1.0f / (float)x.n, -126, slots);
    if (bf_tid_x() == 0)
        bf_st_u32x4((norm_part *)a.parts + bf_bid_x(), {(uint32_t)p.e, bf_f_bits(p.c), bf_f_bits(p.rest), bf_f_bits(p.square)});
}

/* What a part adds: its number of values, how far its mean is from c of the first part, and its squares, all in units of 2^e. */
struct norm_share {
    float n, off, square;
};
BF_FN norm_part norm_part_at(const norm_args &a, int64_t i) {
    bf_u32x4 u = bf_ld_u32x4((const norm_part *)a.parts + i);
    return {(int32_t)u.x, bf_bits_f(u.y), bf_bits_f(u.z), bf_bits_f(u.w)};
}
BF_FN norm_share norm_share_at(const norm_args &a, int64_t row, int i, float c, int e) {
    norm_part p = norm_part_at(a, row * a.slabs + i);
    float by = norm_pow2(p.e - e), n = (float)(i + 1 < a.slabs ? NORM_LONG : a.length - i * NORM_LONG);
    return {n, (p.c * by - c) + p.rest * by, p.square * by * by};
}

/* Every block joins all parts of its row for itself (they are few), then takes its slab a second time. */
template <int WIDE> BF_FN void norm_join_body(const norm_args &a, uint32_t *slots) {
    typedef norm_tile<512, NORM_VALUES, WIDE> tile;
    tile x;
    norm_slab(x, a);
    int64_t row = bf_bid_x() / a.slabs;
    uint32_t most = 0; /* exponents from 0 on, for the maximum */
    for (int i = bf_tid_x(); i < a.slabs; i += 512) {
        uint32_t e = (uint32_t)(norm_part_at(a, row * a.slabs + i).e + 127);
        most = e > most ? e : most;
    }
    int e = norm_exponent(norm_all_max<tile::WARPS>(most, slots) << 23, a.least);
    float c = 0.0f, rest = 0.0f, square = 0.0f;
    if (a.centred) {
        norm_part p = norm_part_at(a, row * a.slabs);
        c = p.c * norm_pow2(p.e - e);
        for (int i = bf_tid_x(); i < a.slabs; i += 512) {
            norm_share s = norm_share_at(a, row, i, c, e);
            rest = bf_fma(s.n, s.off, rest);
        }
        rest = norm_all_sum<tile::WARPS>(rest, slots + 16) * a.inverse;
    }
    for (int i = bf_tid_x(); i < a.slabs; i += 512) {
        norm_share s = norm_share_at(a, row, i, c, e);
        float d = a.centred ? s.off - rest : 0.0f;
        square += bf_fma(s.n * d, d, s.square);
    }
    square = norm_all_sum<tile::WARPS>(square, slots + 32);
    norm_fetch<true>(x, a);
    norm_scale(x, norm_down(e));
    norm_shift(x, c);
    norm_shift(x, rest);
    norm_finish(x, a, (int)(row % a.groups) * a.channels, norm_factor(a, square * a.inverse, e));
}

/* ---- kernels: threads a row, values a thread, width ---- */
#define NORM_ROW(name, threads, block, values, wide)                                                             \
    BF_KERNEL_FN(name, norm_args, block) {                                                                       \
        BF_SHARED uint32_t slots[NORM_SLOTS];                                                                    \
        norm_row_body<threads, values, wide>(a, slots);                                                          \
    }
#define NORM_ROWS(wide)                                                           \
    NORM_ROW(norm_warp_few_e##wide, BF_WARP, BF_WARP *NORM_WARPS, NORM_FEW, wide) \
    NORM_ROW(norm_warp_e##wide, BF_WARP, BF_WARP *NORM_WARPS, NORM_VALUES, wide)  \
    NORM_ROW(norm_128_e##wide, 128, 128, NORM_VALUES, wide)                       \
    NORM_ROW(norm_256_e##wide, 256, 256, NORM_VALUES, wide)                       \
    NORM_ROW(norm_512_e##wide, 512, 512, NORM_VALUES, wide)                       \
    BF_KERNEL_FN(norm_part_e##wide, norm_args, 512) {                             \
        BF_SHARED uint32_t slots[NORM_SLOTS];                                     \
        norm_part_body<wide>(a, slots);                                           \
    }                                                                             \
    BF_KERNEL_FN(norm_join_e##wide, norm_args, 512) {                             \
        BF_SHARED uint32_t slots[NORM_SLOTS];                                     \
        norm_join_body<wide>(a, slots);                                           \
    }
NORM_ROWS(1)
NORM_ROWS(4)
NORM_ROWS(8)

#if BF_HOST
struct norm_choice {
    int longest, threads, block, values;
    bf_step_fn<norm_args> fn[3]; /* width 1, 4, 8 */
};
static const norm_choice norm_choices[] = {
    {BF_WARP * NORM_FEW, BF_WARP, BF_WARP *NORM_WARPS, NORM_FEW,
     {BF_STEP_FN(norm_warp_few_e1), BF_STEP_FN(norm_warp_few_e4), BF_STEP_FN(norm_warp_few_e8)}},
    {BF_WARP * NORM_VALUES, BF_WARP, BF_WARP *NORM_WARPS, NORM_VALUES,
     {BF_STEP_FN(norm_warp_e1), BF_STEP_FN(norm_warp_e4), BF_STEP_FN(norm_warp_e8)}},
    {128 * NORM_VALUES, 128, 128, NORM_VALUES, {BF_STEP_FN(norm_128_e1), BF_STEP_FN(norm_128_e4), BF_STEP_FN(norm_128_e8)}},
    {256 * NORM_VALUES, 256, 256, NORM_VALUES, {BF_STEP_FN(norm_256_e1), BF_STEP_FN(norm_256_e4), BF_STEP_FN(norm_256_e8)}},
    {NORM_LONG, 512, 512, NORM_VALUES, {BF_STEP_FN(norm_512_e1), BF_STEP_FN(norm_512_e4), BF_STEP_FN(norm_512_e8)}},
};
static const bf_step_fn<norm_args> norm_part_fn[3] = {BF_STEP_FN(norm_part_e1), BF_STEP_FN(norm_part_e4), BF_STEP_FN(norm_part_e8)};
static const bf_step_fn<norm_args> norm_join_fn[3] = {BF_STEP_FN(norm_join_e1), BF_STEP_FN(norm_join_e4), BF_STEP_FN(norm_join_e8)};

static const norm_choice *norm_choose(int64_t length) {
    for (const norm_choice &c : norm_choices)
        if (length <= c.longest) return &c;
    return nullptr;
}
static int64_t norm_slabs(const bf_problem *p) { return (norm_length(p) + NORM_LONG - 1) / NORM_LONG; }

/* Do units of `wide` values work for this tensor? NULL: it is absent. */
static bool norm_unit_fits(const void *p, int type, int wide) {
    uintptr_t bytes = (uintptr_t)wide * (type == BF_F32 ? 4 : 2);
    return (uintptr_t)p % (bytes > 16 ? 16 : bytes) == 0;
}
static int norm_width(const norm_args &a) {
    for (int wide = 8; wide > 1; wide /= 2) {
        bool narrow = a.x_type != BF_F32 && a.y_type != BF_F32 && !a.r; /* s is fp32 */
        if (a.length % wide || (wide == 8 && !narrow) || (a.inner == 1 && a.channels % wide)) continue;
        if (norm_unit_fits(a.x, a.x_type, wide) && norm_unit_fits(a.r, a.r_type, wide) && norm_unit_fits(a.y, a.y_type, wide) &&
            norm_unit_fits(a.s, BF_F32, wide) && norm_unit_fits(a.w, a.w_type, wide) && norm_unit_fits(a.b, a.b_type, wide))
            return wide;
    }
    return 1;
}

static int norm_tuned_accepts(const bf_problem *p) {
    return norm_accepts(p) && norm_rows(p) * norm_slabs(p) < INT32_MAX && norm_slabs(p) <= 8192;
}
static uint64_t norm_tuned_scratch(const bf_problem *p) {
    int64_t slabs = norm_slabs(p);
    return slabs == 1 ? 0 : (uint64_t)(norm_rows(p) * slabs) * sizeof(norm_part);
}
static int norm_tuned_plan(const bf_problem *p, bf_step *s) {
    norm_args a = norm_arguments(p);
    const norm_choice *c = norm_choose(a.length);
    int width = norm_width(a), i = width == 8 ? 2 : width == 4;
    if (c) {
        int64_t each = c->block / c->threads;
        bf_step_set(&s[0], c->fn[i], (a.rows + each - 1) / each, 1, c->block, 1, 0, a);
        return 1;
    }
    a.slabs = (int32_t)norm_slabs(p);
    bf_step_set(&s[0], norm_part_fn[i], a.rows * a.slabs, 1, 512, 1, 0, a);
    bf_step_set(&s[1], norm_join_fn[i], a.rows * a.slabs, 1, 512, 1, 0, a);
    return 2;
}
/* Four chains of a thread and their sum (VALUES / 4 + 1), the warp (5), the warps of a block; of slabs, each thread its share, once
 * more warp and block, and three of their own: the distance of a mean, the product with n, the sum with the squares. */
static int64_t norm_tuned_chain(const bf_problem *p) {
    const norm_choice *c = norm_choose(norm_length(p));
    int64_t inside = (c ? c->values : NORM_VALUES) / 4 + 1 + 5, warps = c ? c->threads / BF_WARP : 16, log2 = 0;
    while (warps >> (log2 + 1)) log2++;
    inside += log2;
    return c ? inside : inside + (norm_slabs(p) + 511) / 512 + 5 + log2 + 3;
}
#endif
#endif
