/* convert on RDNA 3.5 (gfx1151): bf16, fp16 and fp32 in all nine directions.
 *
 * Bound: memory. 4 + 2 bytes an element at 256 GB/s are 43 G elements/s, at up to 7 VALU instructions a twentieth of what
 * the vector units issue. So: 128-bit loads and stores only, and enough of them on their way: a thread takes four
 * vectors of eight elements a trip (64 or 128 bytes loaded before the first store; two with checks), workgroups walk on by the size of
 * the grid. The base address of a trip is uniform (scalar registers), so 2^31 and more elements cost nothing.
 *
 * Saturation and counts are a second set of kernels (_checked): the plain ones carry no trace of them. Counts stay in
 * registers, are summed over the wave and leave as one atomic a wave and count. bf16 rounding is integer code
 * (bf16.h), fp16 rounding v_cvt_f16_f32 (nearest even by the default mode; subnormals kept).
 *
 * Static, clang 19.1, gfx1151, no spills, loads and stores of the loop 128 bit (make isa prints the same):
 *   direction       VALU an element   VGPRs        direction       VALU an element   VGPRs
 *   fp32 -> bf16         6.47           93         fp16 -> bf16         7.91           93
 *   fp32 -> fp16         2.97           41         bf16 -> fp16         3.91           40
 *   bf16 -> fp32         1.47           54         fp16 -> fp32         1.97           50
 *   copies               0.41-0.53      24-42      _checked: 10 to 23, 63 to 83 VGPRs, two vectors a trip
 * 16 waves a SIMD, all of them.
 * Compiled, run under simt, not run on a GPU.
 *
 * Just this one:  blackframe check --backend simt-hip convert   (on a machine with the card: --backend hip) */
#include "bf16_select.h"
#include "convert_element.h"

BF_KERNEL_FN(convert_clear, convert_clear_args, 32) {
    if (bf_tid_x() < CONVERT_COUNTS) a.c[bf_tid_x()] = 0;
}
BF_KERNEL_FN(convert_naive, convert_args, CONVERT_NAIVE_THREADS) { convert_naive_body<CONVERT_SOUND>(a); }

/* ---- tuned ---- */
constexpr int VEC_THREADS = 256, VEC = 8; /* elements a vector */
BF_FN constexpr int convert_unroll(bool checked) { return checked ? 2 : 4; } /* with 4 the checks spill scalars */
BF_FN constexpr int convert_tile(bool checked) { return VEC_THREADS * VEC * convert_unroll(checked); }
BF_FN constexpr int convert_size(int type) { return type == BF_F32 ? 4 : 2; }

template <int TYPE> BF_FN void convert_load8(const char *p, uint32_t v[VEC]) {
    bf_u32x4 a = bf_ld_u32x4(p);
    uint32_t word[4] = {a.x, a.y, a.z, a.w};
    if (TYPE == BF_F32) {
        bf_u32x4 b = bf_ld_u32x4(p + 16);
        uint32_t more[4] = {b.x, b.y, b.z, b.w};
        for (int i = 0; i < 4; i++) v[i] = word[i], v[4 + i] = more[i];
    } else {
        for (int i = 0; i < 4; i++) v[2 * i] = word[i] & 0xffffu, v[2 * i + 1] = word[i] >> 16;
    }
}
template <int TYPE> BF_FN void convert_store8(char *p, const uint32_t v[VEC]) {
    if (TYPE == BF_F32) {
        bf_st_u32x4(p, {v[0], v[1], v[2], v[3]});
        bf_st_u32x4(p + 16, {v[4], v[5], v[6], v[7]});
    } else {
        bf_st_u32x4(p, {v[0] | v[1] << 16, v[2] | v[3] << 16, v[4] | v[5] << 16, v[6] | v[7] << 16});
    }
}

/* convert_one for kernels that know their types. */
template <int FROM, int TO> BF_FN uint32_t convert_lane(uint32_t v) {
    if (TO == BF_BF16 && FROM != BF_BF16) return bf16_select(bf_bits_f(convert_to_f32(v, FROM)));
    return convert_one<CONVERT_SOUND>(v, FROM, TO);
}

template <int FROM, int TO, bool CHECKED>
BF_FN void convert_eight(const convert_args &a, uint32_t v[VEC], uint32_t count[CONVERT_COUNTS]) {
    for (int i = 0; i < VEC; i++) {
        uint32_t r = convert_lane<FROM, TO>(v[i]);
        if (CHECKED) {
            convert_count(v[i], r, FROM, TO, count);
            r = a.saturate ? convert_saturate(r, TO) : r;
        }
        v[i] = r;
    }
}

/* Whole tiles by all workgroups in turn, what is left (less than one) by the one whose turn it would be. */
template <int FROM, int TO, bool CHECKED> BF_FN void convert_vec_body(const convert_args &a) {
    constexpr int UNROLL = convert_unroll(CHECKED), TILE = convert_tile(CHECKED);
    uint32_t count[CONVERT_COUNTS] = {0, 0, 0, 0};
    int thread = bf_tid_x();
    int64_t tiles = a.n / TILE, tile = bf_bid_x();
    for (; tile < tiles; tile += bf_gdim_x()) {
        const char *x = (const char *)a.x + tile * (TILE * convert_size(FROM));
        char *y = (char *)a.y + tile * (TILE * convert_size(TO));
        uint32_t v[UNROLL][VEC];
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            convert_load8<FROM>(x + (uint32_t)((u * VEC_THREADS + thread) * VEC * convert_size(FROM)), v[u]);
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            convert_eight<FROM, TO, CHECKED>(a, v[u], count);
            convert_store8<TO>(y + (uint32_t)((u * VEC_THREADS + thread) * VEC * convert_size(TO)), v[u]);
        }
    }
    if (tile == tiles) {
        int64_t whole = a.n / VEC;
        for (int64_t i = tiles * (TILE / VEC) + thread; i < whole; i += VEC_THREADS) {
            uint32_t v[VEC];
            convert_load8<FROM>((const char *)a.x + i * (VEC * convert_size(FROM)), v);
            convert_eight<FROM, TO, CHECKED>(a, v, count);
            convert_store8<TO>((char *)a.y + i * (VEC * convert_size(TO)), v);
        }
        int64_t i = whole * VEC + thread;
        if (i < a.n) {
            uint32_t v = convert_read(a.x, FROM, i), r = convert_lane<FROM, TO>(v);
            if (CHECKED) convert_count(v, r, FROM, TO, count);
            convert_write(a.y, TO, i, CHECKED && a.saturate ? convert_saturate(r, TO) : r);
        }
    }
    if (!CHECKED || !a.c) return;
    for (int k = 0; k < CONVERT_COUNTS; k++) {
        for (int mask = BF_WARP / 2; mask; mask /= 2) count[k] += bf_shfl_xor(count[k], mask);
        if (bf_lane() == 0 && count[k]) bf_atomic_add_u64(a.c + k, count[k]);
    }
}

/* isa: convert_vec_bf16_f32 unit=element per_trip=32 gate=load128 max=1.6 */
/* isa: convert_vec_f16_f32 unit=element per_trip=32 gate=load128 max=2.2 */
/* isa: convert_vec_f32_bf16 unit=element per_trip=32 gate=load128 max=7 */
/* isa: convert_vec_f32_f16 unit=element per_trip=32 gate=load128 max=3.2 */
#define CONVERT(SYMBOL, FROM, TO)                                                                        \
    BF_KERNEL_FN(SYMBOL, convert_args, VEC_THREADS) { convert_vec_body<FROM, TO, false>(a); }            \
    BF_KERNEL_FN(SYMBOL##_checked, convert_args, VEC_THREADS) { convert_vec_body<FROM, TO, true>(a); }
CONVERT(convert_vec_f32_f32, BF_F32, BF_F32)
CONVERT(convert_vec_f32_f16, BF_F32, BF_F16)
CONVERT(convert_vec_f32_bf16, BF_F32, BF_BF16)
CONVERT(convert_vec_f16_f32, BF_F16, BF_F32)
CONVERT(convert_vec_f16_f16, BF_F16, BF_F16)
CONVERT(convert_vec_f16_bf16, BF_F16, BF_BF16)
CONVERT(convert_vec_bf16_f32, BF_BF16, BF_F32)
CONVERT(convert_vec_bf16_f16, BF_BF16, BF_F16)
CONVERT(convert_vec_bf16_bf16, BF_BF16, BF_BF16)

#if BF_HOST
static int naive_plan(const bf_problem *p, bf_step *s) {
    return convert_steps(p, s, BF_STEP_FN(convert_clear), BF_STEP_FN(convert_naive), convert_naive_groups(p),
                         CONVERT_NAIVE_THREADS);
}
static const bf_kernel naive = {
    .op = "convert", .name = "convert_naive", .file = "convert", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, types read at run time", .rank = 0, .accepts = convert_accepts, .plan = naive_plan,
};
BF_REGISTER(naive);

constexpr int VEC_GROUPS = 2560; /* 64 for each of 40 CUs */

/* [from][to][checked] */
static const bf_step_fn<convert_args> vec_fn[3][3][2] = {
    {{BF_STEP_FN(convert_vec_f32_f32), BF_STEP_FN(convert_vec_f32_f32_checked)},
     {BF_STEP_FN(convert_vec_f32_f16), BF_STEP_FN(convert_vec_f32_f16_checked)},
     {BF_STEP_FN(convert_vec_f32_bf16), BF_STEP_FN(convert_vec_f32_bf16_checked)}},
    {{BF_STEP_FN(convert_vec_f16_f32), BF_STEP_FN(convert_vec_f16_f32_checked)},
     {BF_STEP_FN(convert_vec_f16_f16), BF_STEP_FN(convert_vec_f16_f16_checked)},
     {BF_STEP_FN(convert_vec_f16_bf16), BF_STEP_FN(convert_vec_f16_bf16_checked)}},
    {{BF_STEP_FN(convert_vec_bf16_f32), BF_STEP_FN(convert_vec_bf16_f32_checked)},
     {BF_STEP_FN(convert_vec_bf16_f16), BF_STEP_FN(convert_vec_bf16_f16_checked)},
     {BF_STEP_FN(convert_vec_bf16_bf16), BF_STEP_FN(convert_vec_bf16_bf16_checked)}},
};
static int vec_index(bf_dtype t) { return t == BF_F32 ? 0 : t == BF_F16 ? 1 : 2; }
static int vec_plan(const bf_problem *p, bf_step *s) {
    if (!launch_aligned(p->ptr[CONVERT_X], 16) || !launch_aligned(p->ptr[CONVERT_Y], 16)) return naive_plan(p, s);
    int checked = p->param[CONVERT_SATURATE] != 0 || p->param[CONVERT_COUNT] != 0;
    return convert_steps(p, s, BF_STEP_FN(convert_clear),
                         vec_fn[vec_index(p->type[CONVERT_X])][vec_index(p->type[CONVERT_Y])][checked],
                         launch_groups(p->dim[CONVERT_N], convert_tile(checked), VEC_GROUPS), VEC_THREADS);
}
static const bf_kernel vec = {
    .op = "convert", .name = "convert_vec", .file = "convert", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "128-bit loads and stores, 32 elements a thread and trip; memory-bound", .rank = 10,
    .accepts = convert_accepts, .plan = vec_plan,
};
BF_REGISTER(vec);
#endif
