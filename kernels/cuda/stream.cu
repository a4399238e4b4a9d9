#include "../common/device.h"

#include "../common/kernel.h"
#include "../common/stream.h"
#include "launch.h"

constexpr int NAIVE_THREADS = 256, NAIVE_BLOCKS = 4096;

struct stream_args {
    const float *x, *z;
    float *y;
    uint32_t *c;
    int64_t n;
    int32_t mode;
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

#if BF_HOST
static stream_args stream_make_args(const bf_problem *p) {
    stream_args a = {};
    a.x = (const float *)p->ptr[STREAM_X];
    a.z = (const float *)p->ptr[STREAM_Z];
    a.y = (float *)p->ptr[STREAM_Y];
    a.c = (uint32_t *)p->ptr[STREAM_C];
    a.n = p->dim[STREAM_N];
    a.mode = (int32_t)p->param[STREAM_MODE];
    return a;
}
static int stream_accepts(const bf_problem *p) {
    int mode = (int)p->param[STREAM_MODE];
    return mode >= STREAM_COPY && mode <= STREAM_TRIAD;
}
static int stream_naive_accepts(const bf_problem *p) { return stream_accepts(p) && p->param[STREAM_STORE] == 0; }
static int stream_naive_plan(const bf_problem *p, bf_step *s) {
    stream_args a = stream_make_args(p);
    int steps = 0;
    if (a.mode == STREAM_READ) bf_step_set(&s[steps++], BF_STEP_FN(stream_zero), 1, 1, 32, 1, 0, a);
    bf_step_set(&s[steps++], BF_STEP_FN(stream_naive), launch_blocks(a.n, NAIVE_THREADS, NAIVE_BLOCKS), 1, NAIVE_THREADS,
                1, 0, a);
    return steps;
}
static const bf_kernel naive = {
    .op = "stream", .name = "stream_naive", .file = "stream", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "a thread an element, 32-bit accesses", .rank = 0, .accepts = stream_naive_accepts,
    .plan = stream_naive_plan,
};
BF_REGISTER(naive);
#endif
