/* convert for sm_61 (contract: kernels/common/convert.h).
 *
 * convert_naive  a thread an element; types, saturation and counting read at run time. The rule in its plainest form,
 *                and the path for pointers that are not 16-byte aligned.
 * convert_vec    a kernel for each direction, and four of each: plain, saturating (_s), counting (_c), both (_sc). A
 *                thread takes 16 bytes of the wider type at once, so that the loads and the stores of a warp are each
 *                one contiguous piece (128 bit on the wider side, 64 bit on the narrower; both 128 bit between 16-bit
 *                types), 64 elements a trip of a grid-stride loop. What is left after the last full tile is one element
 *                a thread, without a loop. Counting: four registers a thread, summed over the block through shuffles and
 *                shared memory, then one atomic a block and count.
 *
 * Expected bound: memory. On a P40 (346 GB/s) bf16 to fp32 moves 6 bytes an element, 58 G elements/s, and 30 SMs issue
 * 5.9 T lane-instructions/s: 100 an element are affordable.
 *
 * Static counts (clang 19.1, ptxas 11.8; `make isa`), SASS an element in the loop: bf16 to fp32 1.77, fp32 to bf16 5.88
 * (of which the test for NaN 2), fp16 to fp32 1.91, fp32 to fp16 2.31, copies 0.4 to 0.7; counting 8 to 27. At most 39
 * registers, no spills. nvcc 11.8 gives the same counts. Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'convert_*' --backend simt-cuda */

/* isa: convert_f32_* unit=element per_trip=64 gate=load128 */
/* isa: convert_f16_* unit=element per_trip=64 */
/* isa: convert_bf16_* unit=element per_trip=64 */
/* isa: convert_f32_bf16 unit=element per_trip=64 gate=load128 max=6.0 */
/* isa: convert_bf16_f32 unit=element per_trip=64 max=3.0 */
#include "convert_naive.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 256;

struct convert_zero_args {
    uint64_t *c;
};
BF_KERNEL_FN(convert_zero, convert_zero_args, 32) {
    if (bf_tid_x() < CONVERT_COUNTS) a.c[bf_tid_x()] = 0;
}
BF_KERNEL_FN(convert_naive, convert_args, NAIVE_THREADS) { convert_naive_body<CONVERT_SOUND>(a); }

/* ---- wide ---- */

constexpr int THREADS = 256;
constexpr int LEAST_BLOCKS = 64; /* enough threads for one element each of what is left behind the last full tile */

template <int TYPE> constexpr int type_bytes = TYPE == BF_F32 ? 4 : 2;
/* Elements that a thread takes at once: 16 bytes of the wider type, so that a warp's loads and its stores are both one
 * contiguous piece. */
template <int FROM, int TO> constexpr int group_of = FROM == BF_F32 || TO == BF_F32 ? 4 : 8;
constexpr int TILE = THREADS * 64; /* of a block, a trip: 64 elements a thread */
static_assert(TILE <= LEAST_BLOCKS * THREADS, "a thread for each element of the rest");

template <int WORDS> BF_FN void load_words(const char *p, uint32_t v[WORDS]) {
    if constexpr (WORDS == 4) {
        bf_u32x4 u = bf_ld_u32x4(p);
        v[0] = u.x, v[1] = u.y, v[2] = u.z, v[3] = u.w;
    } else {
        bf_u32x2 u = bf_ld_u32x2(p);
        v[0] = u.x, v[1] = u.y;
    }
}
template <int WORDS> BF_FN void store_words(char *p, const uint32_t v[WORDS]) {
    if constexpr (WORDS == 4)
        bf_st_u32x4(p, {v[0], v[1], v[2], v[3]});
    else
        bf_st_u32x2(p, {v[0], v[1]});
}
template <int TYPE> BF_FN uint32_t element_of(const uint32_t *v, int e) {
    return TYPE == BF_F32 ? v[e] : e & 1 ? v[e / 2] >> 16 : v[e / 2] & 0xffffu;
}

/* fp32 to bf16 with the result in the upper half, which saves a shift for every second element; the rule is bf16.h's,
 * with the test for NaN as one floating-point comparison. */
BF_FN uint32_t narrow_upper(uint32_t u) {
    uint32_t r = u + 0x7fffu + (u >> 16 & 1u);
    return bf_bits_f(u) != bf_bits_f(u) ? u | 0x400000u : r;
}

template <int FROM, int TO, int SATURATE, int COUNT>
BF_FN void convert_group(const uint32_t *in, uint32_t *out, uint32_t count[CONVERT_COUNTS]) {
    constexpr int GROUP = group_of<FROM, TO>;
    if constexpr (FROM == BF_F32 && TO == BF_BF16 && !SATURATE && !COUNT) {
        UNROLLED
        for (int e = 0; e < GROUP; e += 2)
            out[e / 2] = narrow_upper(in[e]) >> 16 | (narrow_upper(in[e + 1]) & 0xffff0000u);
    } else {
        UNROLLED
        for (int e = 0; e < GROUP; e++) {
            uint32_t x = element_of<FROM>(in, e), r = convert_bits<CONVERT_SOUND>(x, FROM, TO);
            if (COUNT) convert_count(x, r, FROM, TO, count);
            if (SATURATE) r = convert_clamp(r, TO);
            if (TO == BF_F32)
                out[e] = r;
            else
                out[e / 2] = e & 1 ? out[e / 2] | r << 16 : r;
        }
    }
}

/* Sums a thread's four counts over the block; one atomic a block and count. */
BF_FN void add_counts(const uint32_t count[CONVERT_COUNTS], uint64_t *c) {
    BF_SHARED uint32_t part[CONVERT_COUNTS][THREADS / 32];
    for (int k = 0; k < CONVERT_COUNTS; k++) {
        uint32_t v = count[k];
        for (int mask = 16; mask; mask /= 2) v += bf_shfl_xor(v, mask);
        if (bf_lane() == 0) part[k][bf_tid_x() / 32] = v;
    }
    bf_sync();
    if (bf_tid_x() < CONVERT_COUNTS) {
        uint64_t sum = 0;
        for (int i = 0; i < THREADS / 32; i++) sum += part[bf_tid_x()][i];
        if (sum) bf_atomic_add_u64(c + bf_tid_x(), sum);
    }
}

template <int FROM, int TO, int SATURATE, int COUNT> BF_FN void convert_body(const convert_args &a) {
    constexpr int GROUP = group_of<FROM, TO>, UNROLL = TILE / THREADS / GROUP;
    constexpr int IN = GROUP * type_bytes<FROM>, OUT = GROUP * type_bytes<TO>; /* bytes of a group */
    constexpr int IN_TILE = TILE / GROUP * IN, OUT_TILE = TILE / GROUP * OUT;
    uint32_t count[CONVERT_COUNTS] = {0, 0, 0, 0};
    int32_t tiles = (int32_t)(a.n / TILE); /* n below 2^44 */
    const char *x = (const char *)a.x + (int64_t)bf_bid_x() * IN_TILE + bf_tid_x() * IN;
    char *y = (char *)a.y + (int64_t)bf_bid_x() * OUT_TILE + bf_tid_x() * OUT;
    for (int32_t t = bf_bid_x(); t < tiles; t += bf_gdim_x()) {
        uint32_t in[UNROLL][IN / 4], out[OUT / 4];
        UNROLLED
        for (int i = 0; i < UNROLL; i++) load_words<IN / 4>(x + i * THREADS * IN, in[i]);
        UNROLLED
        for (int i = 0; i < UNROLL; i++) {
            convert_group<FROM, TO, SATURATE, COUNT>(in[i], out, count);
            store_words<OUT / 4>(y + i * THREADS * OUT, out);
        }
        x += (int64_t)bf_gdim_x() * IN_TILE;
        y += (int64_t)bf_gdim_x() * OUT_TILE;
    }
    int64_t i = (int64_t)tiles * TILE + bf_bid_x() * THREADS + bf_tid_x(); /* the rest, a thread an element */
    if (i < a.n) {
        uint32_t in = convert_load(a.x, FROM, i), r = convert_bits<CONVERT_SOUND>(in, FROM, TO);
        if (COUNT) convert_count(in, r, FROM, TO, count);
        convert_store(a.y, TO, i, SATURATE ? convert_clamp(r, TO) : r);
    }
    if (COUNT) add_counts(count, a.c);
}

/* name, from, to: four kernels each, by saturation (s) and counting (c). */
#define CONVERT_PAIRS(K)                                                                                        \
    K(f32_f32, BF_F32, BF_F32) K(f32_f16, BF_F32, BF_F16) K(f32_bf16, BF_F32, BF_BF16)                          \
    K(f16_f32, BF_F16, BF_F32) K(f16_f16, BF_F16, BF_F16) K(f16_bf16, BF_F16, BF_BF16)                          \
    K(bf16_f32, BF_BF16, BF_F32) K(bf16_f16, BF_BF16, BF_F16) K(bf16_bf16, BF_BF16, BF_BF16)
#define CONVERT_KERNELS(name, from, to)                                                                         \
    BF_KERNEL_FN(convert_##name, convert_args, THREADS) { convert_body<from, to, 0, 0>(a); }                    \
    BF_KERNEL_FN(convert_##name##_s, convert_args, THREADS) { convert_body<from, to, 1, 0>(a); }                \
    BF_KERNEL_FN(convert_##name##_c, convert_args, THREADS) { convert_body<from, to, 0, 1>(a); }                \
    BF_KERNEL_FN(convert_##name##_sc, convert_args, THREADS) { convert_body<from, to, 1, 1>(a); }
CONVERT_PAIRS(CONVERT_KERNELS)

#if BF_HOST
constexpr int NAIVE_BLOCKS = 4096;
constexpr int MOST_BLOCKS = 960; /* four waves of eight blocks on 30 SMs; a bigger grid only adds launch work */

static int convert_naive_plan(const bf_problem *p, bf_step *s) {
    convert_args a = convert_make_args(p);
    int steps = 0;
    if (a.c) bf_step_set(&s[steps++], BF_STEP_FN(convert_zero), 1, 1, 32, 1, 0, {a.c});
    bf_step_set(&s[steps++], BF_STEP_FN(convert_naive), launch_blocks(a.n, NAIVE_THREADS, NAIVE_BLOCKS), 1,
                NAIVE_THREADS, 1, 0, a);
    return steps;
}

static const struct {
    int from, to;
    bf_step_fn<convert_args> fn[2][2]; /* [saturate][count] */
} kernels[] = {
#define ROW(name, from, to)                                               \
    {from,                                                                \
     to,                                                                  \
     {{BF_STEP_FN(convert_##name), BF_STEP_FN(convert_##name##_c)},       \
      {BF_STEP_FN(convert_##name##_s), BF_STEP_FN(convert_##name##_sc)}}},
    CONVERT_PAIRS(ROW)
#undef ROW
};

/* Pointers that are not 16-byte aligned take the plain kernel. */
static int convert_vec_plan(const bf_problem *p, bf_step *s) {
    convert_args a = convert_make_args(p);
    if (!launch_aligned16(a.x) || !launch_aligned16(a.y)) return convert_naive_plan(p, s);
    int steps = 0;
    if (a.c) bf_step_set(&s[steps++], BF_STEP_FN(convert_zero), 1, 1, 32, 1, 0, {a.c});
    int64_t blocks = launch_blocks(a.n, TILE, MOST_BLOCKS);
    for (const auto &k : kernels)
        if (k.from == a.from && k.to == a.to)
            bf_step_set(&s[steps++], k.fn[a.saturate][a.c != nullptr], blocks < LEAST_BLOCKS ? LEAST_BLOCKS : blocks, 1,
                        THREADS, 1, 0, a);
    return steps;
}

static const bf_kernel naive = {
    .op = "convert", .name = "convert_naive", .file = "convert", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, types read at run time", .rank = 0, .accepts = convert_accepts,
    .plan = convert_naive_plan,
};
BF_REGISTER(naive);
static const bf_kernel vec = {
    .op = "convert", .name = "convert_vec", .file = "convert", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "a kernel a direction, 16 bytes of the wider type a thread, four in flight; memory-bound", .rank = 1,
    .accepts = convert_accepts, .plan = convert_vec_plan,
};
BF_REGISTER(vec);
#endif
