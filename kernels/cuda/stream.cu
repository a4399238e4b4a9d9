/* stream for sm_61 (contract: kernels/common/stream.h): what the memory system of the device gives in this run.
 *
 * stream_naive  a thread an element, 32-bit accesses, plain stores; also the path for pointers that are not aligned.
 * stream_vec    128-bit accesses, four a thread in flight (eight in triad), grid-stride over tiles of 16 KiB; plain
 *               (st.global) and streaming (st.global.cs) stores. Bytes in flight at full occupancy: 30 SMs x 2,048
 *               threads x 64 = 3.9 MB, where 346 GB/s at half a microsecond need 0.17 MB. In mode mix a trip is a tile of the
 *               longer array and its share of the shorter one, which begins at a line of 128 bytes.
 *
 * Expected bound: memory. Static counts (clang 19.1, ptxas 11.8; `make isa`), SASS for 16 elements: copy 17, read 21,
 * write 11, triad 39; no spills. Compiled, run under simt, not run on a GPU.
 *
 * Only this one: blackframe check --kernel 'stream_*' --backend simt-cuda */

/* isa: stream_copy* unit=element per_trip=16 gate=load128 */
/* isa: stream_read unit=element per_trip=16 gate=load128 */
/* isa: stream_write* unit=element per_trip=16 */
/* isa: stream_mix_read* unit=element per_trip=16 gate=load128 */
/* isa: stream_mix_write* unit=element per_trip=16 gate=load128 */
/* isa: stream_triad* unit=element per_trip=16 gate=load128 */
#include "../common/device.h"

#include "../common/kernel.h"
#include "../common/stream.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 256;

struct stream_args {
    const float *x, *z;
    float *y;
    uint32_t *c;
    int64_t n, m;       /* m: mix */
    int32_t mode;
    int32_t line;       /* mix: ~7 where the shares can begin at lines of eight groups, else ~0 */
    uint64_t share;     /* mix: groups of the shorter array for a tile of the longer, 20 bits of fraction, TILE at most */
};

BF_FN uint32_t stream_word(int64_t i) { return 0x3f800000u | ((uint32_t)i & 0xffu); }

BF_KERNEL_FN(stream_zero, stream_args, 32) {
    if (bf_tid_x() == 0) *a.c = 0;
}

/* A thread an element, grid-stride; plain stores whatever the case asks for. */
BF_KERNEL_FN(stream_naive, stream_args, NAIVE_THREADS) {
    uint32_t check = 0;
    int64_t stride = (int64_t)bf_gdim_x() * bf_bdim_x();
    for (int64_t i = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x(); i < a.n; i += stride) {
        if (a.mode == STREAM_COPY) a.y[i] = a.x[i];
        if (a.mode == STREAM_READ) check ^= bf_ld_u32(a.x + i);
        if (a.mode == STREAM_WRITE) a.y[i] = bf_bits_f(stream_word(i));
        if (a.mode == STREAM_TRIAD) a.y[i] = bf_fma(3.0f, a.z[i], a.x[i]);
    }
    if (a.mode == STREAM_READ && check) bf_atomic_xor_u32(a.c, check);
}
BF_KERNEL_FN(stream_mix_naive, stream_args, NAIVE_THREADS) {
    uint32_t check = 0;
    int64_t stride = (int64_t)bf_gdim_x() * bf_bdim_x(), longer = a.n > a.m ? a.n : a.m;
    for (int64_t i = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x(); i < longer; i += stride) {
        if (i < a.n) check ^= bf_ld_u32(a.x + i);
        if (i < a.m) a.y[i] = bf_bits_f(stream_word(i));
    }
    if (check) bf_atomic_xor_u32(a.c, check);
}

/* ---- wide ---- */

constexpr int THREADS = 256, UNROLL = 4;
constexpr int TILE = THREADS * UNROLL;    /* groups of four elements, a block, a trip */

template <int MODE> BF_FN bf_u32x4 stream_value(const bf_u32x4 &x, const bf_u32x4 &z, uint32_t g) {
    if (MODE == STREAM_COPY) return x;
    if (MODE == STREAM_WRITE) {
        uint32_t w = 0x3f800000u | (4 * g & 0xffu); /* a multiple of four: the others differ in two bits */
        return {w, w + 1, w + 2, w + 3};
    }
    return {bf_f_bits(bf_fma(3.0f, bf_bits_f(z.x), bf_bits_f(x.x))), bf_f_bits(bf_fma(3.0f, bf_bits_f(z.y), bf_bits_f(x.y))),
            bf_f_bits(bf_fma(3.0f, bf_bits_f(z.z), bf_bits_f(x.z))), bf_f_bits(bf_fma(3.0f, bf_bits_f(z.w), bf_bits_f(x.w)))};
}
template <int STORE> BF_FN void stream_store(bf_u32x4 *y, bf_u32x4 v) {
    if (STORE)
        bf_st_u32x4_stream(y, v);
    else
        bf_st_u32x4(y, v);
}
BF_FN uint32_t stream_xor(const bf_u32x4 &v) { return v.x ^ v.y ^ v.z ^ v.w; }

template <int MODE, int STORE> BF_FN void stream_wide(const stream_args &a) {
    constexpr bool READS = MODE != STREAM_WRITE, WRITES = MODE != STREAM_READ, ADDS = MODE == STREAM_TRIAD;
    int64_t groups = a.n / 4;
    int32_t tiles = (int32_t)(groups / TILE); /* n below 2^43 */
    const bf_u32x4 zero = {0, 0, 0, 0};
    int64_t at = (int64_t)bf_bid_x() * TILE + bf_tid_x(), step = (int64_t)bf_gdim_x() * TILE;
    /* An absent array stays NULL: arithmetic on it would be undefined. */
    const bf_u32x4 *x = (const bf_u32x4 *)a.x + (READS ? at : 0), *z = (const bf_u32x4 *)a.z + (ADDS ? at : 0);
    bf_u32x4 *y = (bf_u32x4 *)a.y + (WRITES ? at : 0);
    uint32_t check = 0;
    for (int32_t t = bf_bid_x(); t < tiles; t += bf_gdim_x()) {
        bf_u32x4 u[UNROLL], v[UNROLL];
        UNROLLED
        for (int i = 0; i < UNROLL; i++) {
            u[i] = READS ? bf_ld_u32x4(x + i * THREADS) : zero;
            v[i] = ADDS ? bf_ld_u32x4(z + i * THREADS) : zero;
        }
        UNROLLED
        for (int i = 0; i < UNROLL; i++) {
            if (MODE == STREAM_READ)
                check ^= stream_xor(u[i]);
            else /* the tile's first group is a multiple of 1024: only the thread and i reach the low byte */
                stream_store<STORE>(y + i * THREADS, stream_value<MODE>(u[i], v[i], (uint32_t)(bf_tid_x() + i * THREADS)));
        }
        if (READS) x += step;
        if (WRITES) y += step;
        if (ADDS) z += step;
    }
    int64_t g = (int64_t)tiles * TILE + bf_bid_x() * THREADS + bf_tid_x(), i = 3 * groups + g; /* i: elements past 4*groups */
    if (g < groups) {
        bf_u32x4 u = READS ? bf_ld_u32x4((const bf_u32x4 *)a.x + g) : zero;
        bf_u32x4 v = ADDS ? bf_ld_u32x4((const bf_u32x4 *)a.z + g) : zero;
        if (MODE == STREAM_READ)
            check ^= stream_xor(u);
        else
            stream_store<STORE>((bf_u32x4 *)a.y + g, stream_value<MODE>(u, v, (uint32_t)g));
    } else if (i < a.n) {
        if (MODE == STREAM_COPY) a.y[i] = a.x[i];
        if (MODE == STREAM_READ) check ^= bf_ld_u32(a.x + i);
        if (MODE == STREAM_WRITE) a.y[i] = bf_bits_f(stream_word(i));
        if (MODE == STREAM_TRIAD) a.y[i] = bf_fma(3.0f, a.z[i], a.x[i]);
    }
    if (MODE == STREAM_READ) {
        for (int mask = 16; mask; mask /= 2) check ^= bf_shfl_xor(check, mask);
        if (bf_lane() == 0 && check) bf_atomic_xor_u32(a.c, check);
    }
}
BF_KERNEL_FN(stream_copy, stream_args, THREADS) { stream_wide<STREAM_COPY, 0>(a); }
BF_KERNEL_FN(stream_copy_cs, stream_args, THREADS) { stream_wide<STREAM_COPY, 1>(a); }
BF_KERNEL_FN(stream_read, stream_args, THREADS) { stream_wide<STREAM_READ, 0>(a); }
BF_KERNEL_FN(stream_write, stream_args, THREADS) { stream_wide<STREAM_WRITE, 0>(a); }
BF_KERNEL_FN(stream_write_cs, stream_args, THREADS) { stream_wide<STREAM_WRITE, 1>(a); }
BF_KERNEL_FN(stream_triad, stream_args, THREADS) { stream_wide<STREAM_TRIAD, 0>(a); }
BF_KERNEL_FN(stream_triad_cs, stream_args, THREADS) { stream_wide<STREAM_TRIAD, 1>(a); }

/* Where the shorter array's part of tile t begins. */
BF_FN int64_t stream_share(const stream_args &a, int64_t t) { return (int64_t)((uint64_t)t * a.share >> 20) & a.line; }

template <bool READS_MORE, int STORE> BF_FN void stream_mixed(const stream_args &a) {
    const bf_u32x4 *x = (const bf_u32x4 *)a.x;
    bf_u32x4 *y = (bf_u32x4 *)a.y;
    int64_t reads = a.n / 4, writes = a.m / 4, tiles = (READS_MORE ? reads : writes) / TILE;
    const bf_u32x4 zero = {0, 0, 0, 0};
    uint32_t check = 0;
    for (int64_t t = bf_bid_x(); t < tiles; t += bf_gdim_x()) {
        int64_t share = stream_share(a, t);
        int32_t length = (int32_t)(stream_share(a, t + 1) - share); /* at most TILE */
        const bf_u32x4 *from = x + (READS_MORE ? t * TILE : share);
        bf_u32x4 *to = y + (READS_MORE ? share : t * TILE);
        uint32_t first = (uint32_t)(READS_MORE ? share : t * TILE);
        bf_u32x4 u[UNROLL];
        UNROLLED
        for (int i = 0; i < UNROLL; i++) {
            int32_t k = i * THREADS + bf_tid_x();
            u[i] = READS_MORE || k < length ? bf_ld_u32x4(from + k) : zero;
        }
        UNROLLED
        for (int i = 0; i < UNROLL; i++) {
            int32_t k = i * THREADS + bf_tid_x();
            if (!READS_MORE || k < length) stream_store<STORE>(to + k, stream_value<STREAM_WRITE>(zero, zero, first + (uint32_t)k));
        }
        UNROLLED
        for (int i = 0; i < UNROLL; i++) check ^= stream_xor(u[i]);
    }
    int64_t thread = (int64_t)bf_bid_x() * THREADS + bf_tid_x(), threads = (int64_t)bf_gdim_x() * THREADS;
    int64_t longer = tiles * TILE, shorter = stream_share(a, tiles); /* what the tiles left over */
    for (int64_t g = thread + (READS_MORE ? longer : shorter); g < reads; g += threads) check ^= stream_xor(bf_ld_u32x4(x + g));
    for (int64_t g = thread + (READS_MORE ? shorter : longer); g < writes; g += threads)
        stream_store<STORE>(y + g, stream_value<STREAM_WRITE>(zero, zero, (uint32_t)g));
    if (4 * reads + thread < a.n) check ^= bf_ld_u32(a.x + 4 * reads + thread);
    if (4 * writes + thread < a.m) a.y[4 * writes + thread] = bf_bits_f(stream_word(4 * writes + thread));
    for (int mask = 16; mask; mask /= 2) check ^= bf_shfl_xor(check, mask);
    if (bf_lane() == 0 && check) bf_atomic_xor_u32(a.c, check);
}
BF_KERNEL_FN(stream_mix_read, stream_args, THREADS) { stream_mixed<true, 0>(a); }
BF_KERNEL_FN(stream_mix_read_cs, stream_args, THREADS) { stream_mixed<true, 1>(a); }
BF_KERNEL_FN(stream_mix_write, stream_args, THREADS) { stream_mixed<false, 0>(a); }
BF_KERNEL_FN(stream_mix_write_cs, stream_args, THREADS) { stream_mixed<false, 1>(a); }

#if BF_HOST
constexpr int NAIVE_BLOCKS = 4096;
/* A thread for each group after the last full tile, and for each odd element. */
constexpr int LEAST_BLOCKS = UNROLL + 1;
constexpr int MOST_BLOCKS = 960; /* four waves of eight blocks on 30 SMs */

static stream_args stream_make_args(const bf_problem *p) {
    stream_args a = {};
    a.x = (const float *)p->ptr[STREAM_X];
    a.z = (const float *)p->ptr[STREAM_Z];
    a.y = (float *)p->ptr[STREAM_Y];
    a.c = (uint32_t *)p->ptr[STREAM_C];
    a.n = p->dim[STREAM_N];
    a.mode = (int32_t)p->param[STREAM_MODE];
    if (a.mode != STREAM_MIX) return a;
    a.m = p->dim[STREAM_M];
    int64_t longer = a.n > a.m ? a.n / 4 : a.m / 4, shorter = a.n > a.m ? a.m / 4 : a.n / 4;
    a.share = longer ? (uint64_t)(((unsigned __int128)shorter * TILE << 20) / (uint64_t)longer) : 0;
    a.line = a.share >> 20 < TILE - 8 ? ~7 : ~0; /* a share that begins up to seven groups early is longer by as many */
    return a;
}
static int stream_accepts(const bf_problem *p) {
    int mode = (int)p->param[STREAM_MODE];
    return mode >= STREAM_COPY && mode <= STREAM_MIX;
}
static int stream_naive_accepts(const bf_problem *p) { return stream_accepts(p) && p->param[STREAM_STORE] == 0; }
static bool stream_sums(const stream_args &a) { return a.mode == STREAM_READ || a.mode == STREAM_MIX; }
static int64_t stream_longer(const stream_args &a) { return a.n > a.m ? a.n : a.m; }
static int stream_naive_plan(const bf_problem *p, bf_step *s) {
    stream_args a = stream_make_args(p);
    int steps = 0;
    if (stream_sums(a)) bf_step_set(&s[steps++], BF_STEP_FN(stream_zero), 1, 1, 32, 1, 0, a);
    bf_step_fn<stream_args> fn = BF_STEP_FN(stream_naive);
    if (a.mode == STREAM_MIX) fn = BF_STEP_FN(stream_mix_naive);
    bf_step_set(&s[steps++], fn, launch_blocks(stream_longer(a), NAIVE_THREADS, NAIVE_BLOCKS), 1, NAIVE_THREADS, 1, 0, a);
    return steps;
}
static const bf_kernel naive = {
    .op = "stream", .name = "stream_naive", .file = "stream", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, 32-bit accesses", .rank = 0, .accepts = stream_naive_accepts,
    .plan = stream_naive_plan,
};
BF_REGISTER(naive);

/* Pointers that are not 16-byte aligned take the plain kernel, and its plain stores. */
static int stream_vec_plan(const bf_problem *p, bf_step *s) {
    static const bf_step_fn<stream_args> kernels[][2] = {
        {BF_STEP_FN(stream_copy), BF_STEP_FN(stream_copy_cs)},
        {BF_STEP_FN(stream_read), BF_STEP_FN(stream_read)},
        {BF_STEP_FN(stream_write), BF_STEP_FN(stream_write_cs)},
        {BF_STEP_FN(stream_triad), BF_STEP_FN(stream_triad_cs)},
        {BF_STEP_FN(stream_mix_write), BF_STEP_FN(stream_mix_write_cs)},
        {BF_STEP_FN(stream_mix_read), BF_STEP_FN(stream_mix_read_cs)}, /* reads more than it writes */
    };
    stream_args a = stream_make_args(p);
    if (!launch_aligned16(a.x) || !launch_aligned16(a.y) || !launch_aligned16(a.z)) return stream_naive_plan(p, s);
    int steps = 0;
    int64_t blocks = launch_blocks(stream_longer(a), 4 * TILE, MOST_BLOCKS);
    int row = a.mode + (a.mode == STREAM_MIX && a.n > a.m);
    if (stream_sums(a)) bf_step_set(&s[steps++], BF_STEP_FN(stream_zero), 1, 1, 32, 1, 0, a);
    bf_step_set(&s[steps++], kernels[row][p->param[STREAM_STORE] != 0], blocks < LEAST_BLOCKS ? LEAST_BLOCKS : blocks,
                1, THREADS, 1, 0, a);
    return steps;
}
static const bf_kernel vec = {
    .op = "stream", .name = "stream_vec", .file = "stream", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "128-bit accesses, four a thread in flight, plain or streaming stores", .rank = 1,
    .accepts = stream_accepts, .plan = stream_vec_plan,
};
BF_REGISTER(vec);
#endif
