#include "../common/device.h"

#include "../common/kernel.h"
#include "../common/stream.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 256;

struct stream_args {
    const char *x, *z;
    char *y;
    uint32_t *c;
    int64_t n;
    int32_t mode;
};

BF_FN uint32_t stream_pattern(uint32_t i) { return 0x3f800000u | (i & 0xffu); }
BF_FN float stream_triad_of(uint32_t x, uint32_t z) { return bf_fma(3.0f, bf_bits_f(z), bf_bits_f(x)); }

BF_KERNEL_FN(stream_clear, stream_args, 32) {
    if (bf_tid_x() == 0) *a.c = 0;
}

/* A thread an element; also what the tuned kernel does with addresses that are not 16-byte aligned. */
BF_KERNEL_FN(stream_naive, stream_args, NAIVE_THREADS) {
    uint32_t all = 0, *y = (uint32_t *)a.y;
    int64_t step = (int64_t)bf_gdim_x() * NAIVE_THREADS;
    for (int64_t i = (int64_t)bf_bid_x() * NAIVE_THREADS + bf_tid_x(); i < a.n; i += step) {
        if (a.mode == STREAM_WRITE) {
            y[i] = stream_pattern((uint32_t)i);
            continue;
        }
        uint32_t x = bf_ld_u32(a.x + 4 * i);
        if (a.mode == STREAM_READ)
            all ^= x;
        else
            y[i] = a.mode == STREAM_COPY ? x : bf_f_bits(stream_triad_of(x, bf_ld_u32(a.z + 4 * i)));
    }
    if (a.mode == STREAM_READ && all) bf_atomic_xor_u32(a.c, all);
}

#if BF_HOST
constexpr int NAIVE_GROUPS = 2560;

static stream_args stream_arguments(const bf_problem *p) {
    return {(const char *)p->ptr[STREAM_X], (const char *)p->ptr[STREAM_Z], (char *)p->ptr[STREAM_Y],
            (uint32_t *)p->ptr[STREAM_C],   p->dim[STREAM_N],               (int32_t)p->param[STREAM_MODE]};
}
static int stream_steps(bf_step *s, const stream_args &a, bf_step_fn<stream_args> fn, int64_t groups, int threads) {
    int n = 0;
    if (a.mode == STREAM_READ) bf_step_set(&s[n++], BF_STEP_FN(stream_clear), 1, 1, 32, 1, 0, a);
    bf_step_set(&s[n++], fn, groups, 1, threads, 1, 0, a);
    return n;
}

static int naive_accepts(const bf_problem *p) {
    int mode = (int)p->param[STREAM_MODE];
    return mode >= STREAM_COPY && mode <= STREAM_TRIAD && p->param[STREAM_STORE] == 0;
}
static int naive_plan(const bf_problem *p, bf_step *s) {
    stream_args a = stream_arguments(p);
    return stream_steps(s, a, BF_STEP_FN(stream_naive), launch_groups(a.n, NAIVE_THREADS, NAIVE_GROUPS), NAIVE_THREADS);
}
static const bf_kernel naive = {
    .op = "stream", .name = "stream_naive", .file = "stream", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, 32-bit accesses", .rank = 0, .accepts = naive_accepts, .plan = naive_plan,
};
BF_REGISTER(naive);
#endif
