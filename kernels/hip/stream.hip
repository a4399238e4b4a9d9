/* stream on RDNA 3.5 (gfx1151): copy, read, write, triad, mix; the yardstick of the other kernels.
 *
 * Bound: memory, by definition. 128-bit accesses, four of them a thread before the first is used, so that a wave has
 * 2 KiB (triad: 4 KiB) on its way; 256 GB/s at some 800 ns want 200 KiB in all, 5 KiB a CU. The base address of a trip is
 * uniform. Stores are plain or non-temporal as the case asks (one kernel each: which is faster here only hardware can
 * tell); reads that store nothing take the same word for their loads. A trip of mix is a tile of the longer array and its
 * share of the shorter one, which begins at a line of 128 bytes.
 *
 * Static, clang 19.1, gfx1151, no spills (make isa prints the same):
 *   VALU an element: copy 0.81, read 0.94, write 0.44, triad 1.69; at most 40 VGPRs, 16 waves a SIMD. Non-temporal is
 *   "slc dlc" on loads, "glc slc dlc" on stores.
 * Compiled, run under simt, not run on a GPU.
 *
 * Just this one:  blackframe check --backend simt-hip stream   (on a machine with the card: --backend hip) */
#include "../common/device.h"

#include "../common/kernel.h"
#include "../common/stream.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 256, VEC_THREADS = 256, VEC_UNROLL = 4;
constexpr int VEC_TILE = VEC_THREADS * VEC_UNROLL; /* 16-byte vectors */

struct stream_args {
    const char *x, *z;
    char *y;
    uint32_t *c;
    int64_t n, m;   /* m: mix */
    int32_t mode;
    int32_t line;   /* mix: ~7 where the shares can begin at lines of eight vectors, else ~0 */
    uint64_t share; /* mix: vectors of the shorter array for a tile of the longer, 20 bits of fraction, VEC_TILE at most */
};

BF_FN uint32_t stream_pattern(uint32_t i) { return 0x3f800000u | (i & 0xffu); }
BF_FN uint32_t stream_triad(uint32_t x, uint32_t z) { return bf_f_bits(bf_fma(3.0f, bf_bits_f(z), bf_bits_f(x))); }

BF_KERNEL_FN(stream_clear, stream_args, 32) {
    if (bf_tid_x() == 0) *a.c = 0;
}

/* Element i; what it adds to the checksum of a read. */
BF_FN uint32_t stream_element(const stream_args &a, int mode, int64_t i) {
    uint32_t *y = (uint32_t *)a.y;
    if (mode == STREAM_WRITE) {
        y[i] = stream_pattern((uint32_t)i);
        return 0;
    }
    uint32_t x = bf_ld_u32(a.x + 4 * i);
    if (mode == STREAM_READ) return x;
    y[i] = mode == STREAM_COPY ? x : stream_triad(x, bf_ld_u32(a.z + 4 * i));
    return 0;
}

/* A thread an element; also what the tuned kernels leave addresses to that are not 16-byte aligned. */
BF_KERNEL_FN(stream_naive, stream_args, NAIVE_THREADS) {
    uint32_t all = 0;
    int64_t step = (int64_t)bf_gdim_x() * NAIVE_THREADS;
    for (int64_t i = (int64_t)bf_bid_x() * NAIVE_THREADS + bf_tid_x(); i < a.n; i += step)
        all ^= stream_element(a, a.mode, i);
    if (a.mode == STREAM_READ && all) bf_atomic_xor_u32(a.c, all);
}
BF_KERNEL_FN(stream_mix_naive, stream_args, NAIVE_THREADS) {
    uint32_t all = 0;
    int64_t step = (int64_t)bf_gdim_x() * NAIVE_THREADS, longer = a.n > a.m ? a.n : a.m;
    for (int64_t i = (int64_t)bf_bid_x() * NAIVE_THREADS + bf_tid_x(); i < longer; i += step) {
        if (i < a.n) all ^= stream_element(a, STREAM_READ, i);
        if (i < a.m) stream_element(a, STREAM_WRITE, i);
    }
    if (all) bf_atomic_xor_u32(a.c, all);
}

/* ---- tuned ---- */
template <bool STREAMING> BF_FN bf_u32x4 stream_load(const char *p) {
    return STREAMING ? bf_ld_u32x4_stream(p) : bf_ld_u32x4(p);
}
template <bool STREAMING> BF_FN void stream_store(char *p, bf_u32x4 v) {
    if (STREAMING)
        bf_st_u32x4_stream(p, v);
    else
        bf_st_u32x4(p, v);
}
/* The four words of vector i, whose number modulo 64 decides the pattern. */
BF_FN bf_u32x4 stream_pattern4(uint32_t i) {
    uint32_t p = stream_pattern(4 * i); /* 4 * i ends in two zero bits */
    return {p, p | 1u, p | 2u, p | 3u};
}

/* U vectors, VEC_THREADS apart; `first` and `base` (bytes) are uniform. */
template <int MODE, bool STREAMING, int U>
BF_FN uint32_t stream_vectors(const stream_args &a, int64_t first, uint32_t thread) {
    bf_u32x4 x[U], z[U];
    uint32_t all = 0;
    int64_t base = first * 16;
#pragma unroll
    for (uint32_t u = 0; u < U; u++) {
        uint32_t at = (u * VEC_THREADS + thread) * 16;
        if (MODE != STREAM_WRITE) x[u] = stream_load<STREAMING && MODE == STREAM_READ>(a.x + base + at);
        if (MODE == STREAM_TRIAD) z[u] = stream_load<false>(a.z + base + at);
    }
#pragma unroll
    for (uint32_t u = 0; u < U; u++) {
        uint32_t at = (u * VEC_THREADS + thread) * 16;
        if (MODE == STREAM_READ) all ^= x[u].x ^ x[u].y ^ x[u].z ^ x[u].w;
        if (MODE == STREAM_WRITE) x[u] = stream_pattern4((uint32_t)first + u * VEC_THREADS + thread);
        if (MODE == STREAM_TRIAD)
            x[u] = {stream_triad(x[u].x, z[u].x), stream_triad(x[u].y, z[u].y), stream_triad(x[u].z, z[u].z),
                    stream_triad(x[u].w, z[u].w)};
        if (MODE != STREAM_READ) stream_store<STREAMING>(a.y + base + at, x[u]);
    }
    return all;
}

/* Whole tiles by all workgroups in turn, what is left (less than one) by the one whose turn it would be. */
template <int MODE, bool STREAMING> BF_FN void stream_vec_body(const stream_args &a) {
    uint32_t all = 0, thread = (uint32_t)bf_tid_x();
    int64_t vectors = a.n / 4, tiles = vectors / VEC_TILE, tile = bf_bid_x();
    for (; tile < tiles; tile += bf_gdim_x())
        all ^= stream_vectors<MODE, STREAMING, VEC_UNROLL>(a, tile * VEC_TILE, thread);
    if (tile == tiles) {
        for (int64_t first = tiles * VEC_TILE; first + thread < vectors; first += VEC_THREADS)
            all ^= stream_vectors<MODE, STREAMING, 1>(a, first, thread);
        if (vectors * 4 + thread < a.n) all ^= stream_element(a, MODE, vectors * 4 + thread);
    }
    if (MODE != STREAM_READ) return;
    for (int mask = BF_WARP / 2; mask; mask /= 2) all ^= bf_shfl_xor(all, mask);
    if (bf_lane() == 0 && all) bf_atomic_xor_u32(a.c, all);
}

/* Where the shorter array's part of tile t begins. */
BF_FN int64_t stream_share(const stream_args &a, int64_t t) { return (int64_t)((uint64_t)t * a.share >> 20) & a.line; }

template <bool READS_MORE, bool STREAMING> BF_FN void stream_mixed(const stream_args &a) {
    int64_t reads = a.n / 4, writes = a.m / 4, tiles = (READS_MORE ? reads : writes) / VEC_TILE;
    uint32_t all = 0, thread = (uint32_t)bf_tid_x();
    for (int64_t tile = bf_bid_x(); tile < tiles; tile += bf_gdim_x()) {
        int64_t share = stream_share(a, tile), whole = tile * VEC_TILE;
        uint32_t length = (uint32_t)(stream_share(a, tile + 1) - share); /* at most VEC_TILE */
        const char *from = a.x + 16 * (READS_MORE ? whole : share);
        char *to = a.y + 16 * (READS_MORE ? share : whole);
        uint32_t first = (uint32_t)(READS_MORE ? share : whole);
        bf_u32x4 x[VEC_UNROLL];
#pragma unroll
        for (uint32_t u = 0; u < VEC_UNROLL; u++) {
            uint32_t k = u * VEC_THREADS + thread;
            x[u] = {0, 0, 0, 0};
            if (READS_MORE || k < length) x[u] = stream_load<false>(from + k * 16);
        }
#pragma unroll
        for (uint32_t u = 0; u < VEC_UNROLL; u++) {
            uint32_t k = u * VEC_THREADS + thread;
            if (!READS_MORE || k < length) stream_store<STREAMING>(to + k * 16, stream_pattern4(first + k));
        }
#pragma unroll
        for (uint32_t u = 0; u < VEC_UNROLL; u++) all ^= x[u].x ^ x[u].y ^ x[u].z ^ x[u].w;
    }
    /* What the tiles left over: less than a tile of the longer array, 24 vectors more of the shorter (n below 2^36). */
    int64_t id = (int64_t)bf_bid_x() * VEC_THREADS + thread;
    int64_t longer = tiles * VEC_TILE + id, shorter = stream_share(a, tiles) + id, g = READS_MORE ? longer : shorter;
    if (g < reads) {
        bf_u32x4 x = stream_load<false>(a.x + 16 * g);
        all ^= x.x ^ x.y ^ x.z ^ x.w;
    }
    g = READS_MORE ? shorter : longer;
    if (g < writes) stream_store<STREAMING>(a.y + 16 * g, stream_pattern4((uint32_t)g));
    if (4 * reads + id < a.n) all ^= stream_element(a, STREAM_READ, 4 * reads + id);
    if (4 * writes + id < a.m) stream_element(a, STREAM_WRITE, 4 * writes + id);
    for (int mask = BF_WARP / 2; mask; mask /= 2) all ^= bf_shfl_xor(all, mask);
    if (bf_lane() == 0 && all) bf_atomic_xor_u32(a.c, all);
}

/* The stores of mix_read are laid out behind its loop, which ci/isa.py then does not find: the whole kernel is counted. */
/* isa: stream_mix_read unit=element per_trip=16 loop=none gate=load128 narrow=1 */
/* isa: stream_mix_read_nt unit=element per_trip=16 loop=none gate=load128 narrow=1 */
/* isa: stream_mix_write* unit=element per_trip=16 gate=load128 */
/* isa: stream_copy unit=element per_trip=16 gate=load128 */
/* isa: stream_copy_nt unit=element per_trip=16 gate=load128 */
/* isa: stream_read unit=element per_trip=16 gate=load128 */
/* isa: stream_read_nt unit=element per_trip=16 gate=load128 */
/* isa: stream_triad unit=element per_trip=16 gate=load128 */
/* isa: stream_triad_nt unit=element per_trip=16 gate=load128 */
BF_KERNEL_FN(stream_copy, stream_args, VEC_THREADS) { stream_vec_body<STREAM_COPY, false>(a); }
BF_KERNEL_FN(stream_copy_nt, stream_args, VEC_THREADS) { stream_vec_body<STREAM_COPY, true>(a); }
BF_KERNEL_FN(stream_read, stream_args, VEC_THREADS) { stream_vec_body<STREAM_READ, false>(a); }
BF_KERNEL_FN(stream_read_nt, stream_args, VEC_THREADS) { stream_vec_body<STREAM_READ, true>(a); }
BF_KERNEL_FN(stream_write, stream_args, VEC_THREADS) { stream_vec_body<STREAM_WRITE, false>(a); }
BF_KERNEL_FN(stream_write_nt, stream_args, VEC_THREADS) { stream_vec_body<STREAM_WRITE, true>(a); }
BF_KERNEL_FN(stream_triad, stream_args, VEC_THREADS) { stream_vec_body<STREAM_TRIAD, false>(a); }
BF_KERNEL_FN(stream_triad_nt, stream_args, VEC_THREADS) { stream_vec_body<STREAM_TRIAD, true>(a); }
BF_KERNEL_FN(stream_mix_read, stream_args, VEC_THREADS) { stream_mixed<true, false>(a); }
BF_KERNEL_FN(stream_mix_read_nt, stream_args, VEC_THREADS) { stream_mixed<true, true>(a); }
BF_KERNEL_FN(stream_mix_write, stream_args, VEC_THREADS) { stream_mixed<false, false>(a); }
BF_KERNEL_FN(stream_mix_write_nt, stream_args, VEC_THREADS) { stream_mixed<false, true>(a); }

#if BF_HOST
constexpr int GROUPS = 2560; /* 64 for each of 40 CUs */
constexpr int LEAST_MIX = VEC_UNROLL + 1; /* a thread for each vector that the tiles of mix leave over */

static stream_args stream_arguments(const bf_problem *p) {
    stream_args a = {(const char *)p->ptr[STREAM_X], (const char *)p->ptr[STREAM_Z], (char *)p->ptr[STREAM_Y],
                     (uint32_t *)p->ptr[STREAM_C],   p->dim[STREAM_N],               0, (int32_t)p->param[STREAM_MODE], 0, 0};
    if (a.mode != STREAM_MIX) return a;
    a.m = p->dim[STREAM_M];
    int64_t longer = a.n > a.m ? a.n / 4 : a.m / 4, shorter = a.n > a.m ? a.m / 4 : a.n / 4;
    a.share = longer ? (uint64_t)(((unsigned __int128)shorter * VEC_TILE << 20) / (uint64_t)longer) : 0;
    a.line = a.share >> 20 < VEC_TILE - 8 ? ~7 : ~0; /* a share that begins up to seven vectors early is longer by as many */
    return a;
}
static int64_t stream_longer(const stream_args &a) { return a.n > a.m ? a.n : a.m; }
static int stream_steps(bf_step *s, const stream_args &a, bf_step_fn<stream_args> fn, int64_t groups, int threads) {
    int n = 0;
    if (a.mode == STREAM_READ || a.mode == STREAM_MIX) bf_step_set(&s[n++], BF_STEP_FN(stream_clear), 1, 1, 32, 1, 0, a);
    bf_step_set(&s[n++], fn, groups, 1, threads, 1, 0, a);
    return n;
}
static int vec_accepts(const bf_problem *p) {
    int mode = (int)p->param[STREAM_MODE];
    return mode >= STREAM_COPY && mode <= STREAM_MIX;
}
static int naive_accepts(const bf_problem *p) { return vec_accepts(p) && p->param[STREAM_STORE] == 0; }

static int naive_plan(const bf_problem *p, bf_step *s) {
    stream_args a = stream_arguments(p);
    bf_step_fn<stream_args> fn = BF_STEP_FN(stream_naive);
    if (a.mode == STREAM_MIX) fn = BF_STEP_FN(stream_mix_naive);
    return stream_steps(s, a, fn, launch_groups(stream_longer(a), NAIVE_THREADS, GROUPS), NAIVE_THREADS);
}
static const bf_kernel naive = {
    .op = "stream", .name = "stream_naive", .file = "stream", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, 32-bit accesses", .rank = 0, .accepts = naive_accepts, .plan = naive_plan,
};
BF_REGISTER(naive);

/* [mode][store]; the row after mix: more is read than written */
static const bf_step_fn<stream_args> vec_fn[6][2] = {
    {BF_STEP_FN(stream_copy), BF_STEP_FN(stream_copy_nt)},
    {BF_STEP_FN(stream_read), BF_STEP_FN(stream_read_nt)},
    {BF_STEP_FN(stream_write), BF_STEP_FN(stream_write_nt)},
    {BF_STEP_FN(stream_triad), BF_STEP_FN(stream_triad_nt)},
    {BF_STEP_FN(stream_mix_write), BF_STEP_FN(stream_mix_write_nt)},
    {BF_STEP_FN(stream_mix_read), BF_STEP_FN(stream_mix_read_nt)},
};
static int vec_plan(const bf_problem *p, bf_step *s) {
    stream_args a = stream_arguments(p);
    if (!launch_aligned(a.x, 16) || !launch_aligned(a.y, 16) || !launch_aligned(a.z, 16)) return naive_plan(p, s);
    int mix = a.mode == STREAM_MIX, row = a.mode + (mix && a.n > a.m);
    int64_t groups = launch_groups(stream_longer(a), 4 * VEC_TILE, GROUPS);
    return stream_steps(s, a, vec_fn[row][p->param[STREAM_STORE] != 0], mix && groups < LEAST_MIX ? LEAST_MIX : groups,
                        VEC_THREADS);
}
static const bf_kernel vec = {
    .op = "stream", .name = "stream_vec", .file = "stream", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "128-bit accesses, four in flight a thread, plain or non-temporal", .rank = 10, .accepts = vec_accepts,
    .plan = vec_plan,
};
BF_REGISTER(vec);
#endif
