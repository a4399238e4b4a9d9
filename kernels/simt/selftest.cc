/* selftest.cc: see selftest.h. Each kernel shows one thing to harness/tests/test_simt.c, which holds what is
 * expected. The models differ only in simt_math.h, which the test reaches by itself. */
#define BF_SIMT_CUDA 1
#define BF_SIMT_SELFTEST 1 /* the matrix steps of HIP too */
#include "../common/device.h"
#include "../common/device_math.h"

#include "selftest.h"

/* y[6 * thread]: tid x and y, lane, bid x, y and z. */
BF_KERNEL_FN(indices, selftest_args, 1024) {
    int block = (bf_bid_z() * 3 + bf_bid_y()) * bf_gdim_x() + bf_bid_x();
    int thread = (block * bf_bdim_y() + bf_tid_y()) * bf_bdim_x() + bf_tid_x();
    int *y = static_cast<int *>(a.y) + 6 * thread;
    y[0] = bf_tid_x(), y[1] = bf_tid_y(), y[2] = bf_lane();
    y[3] = bf_bid_x(), y[4] = bf_bid_y(), y[5] = bf_bid_z();
}

/* y[t][m] = value of lane ^ m, y[t][32 + m] = value of lane m, value = 1000 * thread + m. */
BF_KERNEL_FN(shuffles, selftest_args, 1024) {
    uint32_t *y = static_cast<uint32_t *>(a.y) + 64 * bf_tid_x();
    for (int m = 0; m < 32; ++m) {
        uint32_t v = static_cast<uint32_t>(1000 * bf_tid_x() + m);
        y[m] = bf_shfl_xor(v, m);
        y[32 + m] = bf_shfl(v, m);
    }
}

/* y[0][t]: the block reversed through static shared memory, y[1][t]: through dynamic, with a second pass over the
 * same memory behind a barrier, y[2][t]: exchanged inside the warp. */
BF_KERNEL_FN(reversals, selftest_args, 1024) {
    BF_SHARED uint32_t fixed[1024];
    uint32_t *dynamic = static_cast<uint32_t *>(bf_dynamic_shared());
    uint32_t *y = static_cast<uint32_t *>(a.y);
    int t = bf_tid_x(), n = bf_bdim_x();
    uint32_t v = static_cast<uint32_t>(t * 7 + bf_bid_x());
    fixed[t] = v;
    bf_sync();
    y[t] = fixed[n - 1 - t];
    dynamic[t] = v;
    bf_sync();
    uint32_t other = dynamic[n - 1 - t];
    bf_sync();
    dynamic[t] = other + 1;
    bf_sync();
    y[n + t] = dynamic[n - 1 - t];
    fixed[t] = v;
    bf_warp_sync();
    y[2 * n + t] = fixed[t ^ 31];
}

/* y[2 i], y[2 i + 1]: dp4a, dp4a_us of words x[3 i .. 3 i + 2]. */
BF_KERNEL_FN(dots, selftest_args, 256) {
    int64_t i = static_cast<int64_t>(bf_bid_x()) * bf_bdim_x() + bf_tid_x();
    if (i >= a.n) return;
    const int32_t *x = static_cast<const int32_t *>(a.x) + 3 * i;
    int32_t *y = static_cast<int32_t *>(a.y) + 2 * i;
    y[0] = bf_dp4a(x[0], x[1], x[2]);
    y[1] = bf_dp4a_us(static_cast<uint32_t>(x[0]), x[1], x[2]);
}

/* Of floats x[3 i .. 3 i + 2], in y[6 i ..]: fma, rint, max, min, fp16 bits of the first and back. */
BF_KERNEL_FN(floats, selftest_args, 256) {
    int64_t i = static_cast<int64_t>(bf_bid_x()) * bf_bdim_x() + bf_tid_x();
    if (i >= a.n) return;
    const float *x = static_cast<const float *>(a.x) + 3 * i;
    uint32_t *y = static_cast<uint32_t *>(a.y) + 6 * i;
    y[0] = bf_f_bits(bf_fma(x[0], x[1], x[2]));
    y[1] = bf_f_bits(bf_rint(x[0]));
    y[2] = bf_f_bits(bf_max(x[0], x[1]));
    y[3] = bf_f_bits(bf_min(x[0], x[1]));
    y[4] = bf_f32_to_f16(x[0]);
    y[5] = bf_f_bits(bf_f16_to_f32(y[4]));
}

/* y[2 t]: bf_warp_sum_f, y[2 t + 1]: five shuffles. */
BF_KERNEL_FN(sums, selftest_args, 256) {
    int t = bf_bid_x() * bf_bdim_x() + bf_tid_x();
    float v = static_cast<const float *>(a.x)[t], w = v;
    static_cast<float *>(a.y)[2 * t] = bf_warp_sum_f(v);
    for (int m = 16; m; m >>= 1) w += bf_shfl_xor_f(w, m);
    static_cast<float *>(a.y)[2 * t + 1] = w;
}

/* D = A B + C: x = A [16][16] by rows and B [16][16] by columns, of 16-bit values (mode 2, 3: bytes); z = C, y = D [16][16].
 * n: lane 20 brings another A than lane 4 (1), another B (2). */
BF_KERNEL_FN(matrices, selftest_args, 256) {
    int lane = bf_lane(), t = lane % 16, words = a.mode < 2 ? 8 : 4;
    const uint32_t *x = static_cast<const uint32_t *>(a.x);
    const uint32_t *c = static_cast<const uint32_t *>(a.z);
    uint32_t *y = static_cast<uint32_t *>(a.y), u[8] = {}, v[8] = {};
    for (int i = 0; i < words; ++i) u[i] = x[words * t + i], v[i] = x[words * (16 + t) + i];
    if (lane == 20 && a.n) (a.n == 1 ? u : v)[words - 1] ^= 1u;
    bf_u32x8 wide_a = {{u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7]}};
    bf_u32x8 wide_b = {{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]}};
    bf_f32x8 f, fd;
    bf_i32x8 s, sd;
    for (int i = 0; i < 8; ++i) {
        f.v[i] = bf_bits_f(c[16 * (2 * i + lane / 16) + t]);
        s.v[i] = static_cast<int32_t>(c[16 * (2 * i + lane / 16) + t]);
    }
    if (a.mode < 2) fd = a.mode == 0 ? bf_wmma_f16(wide_a, wide_b, f) : bf_wmma_bf16(wide_a, wide_b, f);
    else sd = a.mode == 2 ? bf_wmma_i8({u[0], u[1], u[2], u[3]}, {v[0], v[1], v[2], v[3]}, s)
                          : bf_wmma_u8i8({u[0], u[1], u[2], u[3]}, {v[0], v[1], v[2], v[3]}, s);
    for (int i = 0; i < 8; ++i)
        y[16 * (2 * i + lane / 16) + t] = a.mode < 2 ? bf_f_bits(fd.v[i]) : static_cast<uint32_t>(sd.v[i]);
}

/* Shared memory as it is found: y[t] static, y[n + t] dynamic; then written, which the next block must not see. */
BF_KERNEL_FN(unwritten, selftest_args, 1024) {
    BF_SHARED uint32_t fixed[1024];
    uint32_t *dynamic = static_cast<uint32_t *>(bf_dynamic_shared());
    int t = bf_tid_x(), n = bf_bdim_x();
    uint32_t *y = static_cast<uint32_t *>(a.y) + 2 * n * bf_bid_x();
    y[t] = fixed[t];
    y[n + t] = dynamic[t];
    fixed[t] = dynamic[t] = 1;
}

/* y[block] = its place in the order of execution; x: a counter. */
BF_KERNEL_FN(sequence, selftest_args, 64) {
    int64_t *counter = static_cast<int64_t *>(const_cast<void *>(a.x));
    if (bf_tid_x() == 0) static_cast<int64_t *>(a.y)[bf_bid_y() * bf_gdim_x() + bf_bid_x()] = (*counter)++;
}

/* Wide loads and stores, and both atomics: y[0] u64 sum of thread numbers, y[1] u32 xor of them; z <- x. */
BF_KERNEL_FN(memory, selftest_args, 128) {
    uint32_t t = static_cast<uint32_t>(bf_bid_x() * bf_bdim_x() + bf_tid_x());
    const char *x = static_cast<const char *>(a.x) + 32 * t;
    char *z = static_cast<char *>(const_cast<void *>(a.z)) + 32 * t;
    bf_st_u32x4(z, bf_ld_u32x4_stream(x));
    bf_st_u32x2(z + 16, bf_ld_u32x2(x + 16));
    bf_st_u32x2(z + 24, {bf_ld_u32(x + 24), bf_ld_u16(x + 28) | bf_ld_u16(x + 30) << 16});
    bf_atomic_add_u64(static_cast<uint64_t *>(a.y), t);
    bf_atomic_xor_u32(static_cast<uint32_t *>(a.y) + 2, t);
}

BF_KERNEL_FN(fault, selftest_args, 256) {
    BF_SHARED float tile[256];
    int t = bf_tid_x();
    float v = 0;
    switch (a.mode) {
    case SELFTEST_EARLY_RETURN:
        if (t < bf_bdim_x() / 2) return;
        bf_sync();
        break;
    case SELFTEST_LATE_RETURN:
        if (t == bf_bdim_x() - 1) return;
        bf_sync();
        break;
    case SELFTEST_TWO_BARRIERS:
        if (t / 32 % 2)
            bf_sync();
        else
            bf_sync();
        break;
    case SELFTEST_EXITED_LANES:
        if (bf_lane() < 5) return;
        v = bf_shfl_f(1, 0);
        break;
    case SELFTEST_LATE_LANE:
        if (bf_lane() == 31) return;
        bf_warp_sync();
        break;
    case SELFTEST_MIXED:
        if (bf_lane() < 16)
            bf_sync();
        else
            v = bf_warp_sum_f(1);
        break;
    case SELFTEST_TWO_SHUFFLES:
        if (bf_lane() < 16)
            v = bf_shfl_f(1, 0);
        else
            v = bf_shfl_f(1, 0);
        break;
    case SELFTEST_MISALIGNED: v = bf_bits_f(bf_ld_u32x4(static_cast<const char *>(a.x) + a.n).y); break;
    case SELFTEST_MISALIGNED_ST: bf_st_u32x2(static_cast<char *>(a.y) + a.n, {1, 2}); break;
    case SELFTEST_SHARED_AS_GLOBAL:
        tile[t] = 1;
        bf_sync();
        v = bf_bits_f(bf_ld_u32(&tile[t]));
        break;
    }
    static_cast<float *>(a.y)[t] = v;
}

/* Writes one element past shared memory: mode 0 static, 1 dynamic, 2: reads one past x. For AddressSanitizer. */
BF_KERNEL_FN(overflow, selftest_args, 64) {
    BF_SHARED float fixed[64];
    float *dynamic = static_cast<float *>(bf_dynamic_shared());
    int64_t i = bf_tid_x() + a.n;
    float *at = a.mode == 1 ? dynamic : fixed;
    if (a.mode == 2)
        static_cast<float *>(a.y)[bf_tid_x()] = static_cast<const float *>(a.x)[i];
    else
        at[i] = 1;
    bf_sync();
}

/* y[t] = f(x[t]), f by mode: bf_exp, bf_tanh, bf_log. */
BF_KERNEL_FN(functions, selftest_args, 1024) {
    int64_t i = (int64_t)bf_bid_x() * bf_bdim_x() + bf_tid_x();
    if (i >= a.n) return;
    float x = static_cast<const float *>(a.x)[i];
    static_cast<float *>(a.y)[i] = a.mode == 0 ? bf_exp(x) : a.mode == 1 ? bf_tanh(x) : bf_log(x);
}

/* n barriers, shuffles or sums a thread, by mode; 3: none. For the throughput. */
BF_KERNEL_FN(steps, selftest_args, 1024) {
    uint32_t v = static_cast<uint32_t>(bf_tid_x());
    for (int64_t i = 0; i < a.n; ++i) {
        if (a.mode == 0) bf_sync();
        if (a.mode == 1) v += bf_shfl_xor(v, 1);
        if (a.mode == 2) v += bf_f_bits(bf_warp_sum_f(1));
    }
    static_cast<uint32_t *>(a.y)[bf_tid_x()] = v;
}

#if BF_HOST
static const bf_step_fn<selftest_args> kernels[] = {
    BF_STEP_FN(indices),   BF_STEP_FN(shuffles), BF_STEP_FN(reversals), BF_STEP_FN(dots),     BF_STEP_FN(sums),
    BF_STEP_FN(unwritten), BF_STEP_FN(sequence), BF_STEP_FN(memory),    BF_STEP_FN(fault),    BF_STEP_FN(overflow),
    BF_STEP_FN(steps),     BF_STEP_FN(floats),   BF_STEP_FN(matrices), BF_STEP_FN(functions),
};

int bf_simt_selftest(const char *kernel, bf_step *s, int64_t grid_x, int64_t grid_y, int64_t block_x, int64_t block_y,
                     int64_t shared, const selftest_args *args) {
    for (const auto &k : kernels) {
        if (strcmp(k.symbol, kernel)) continue;
        bf_step_set(s, k, grid_x, grid_y, block_x, block_y, shared, *args);
        return 0;
    }
    return -1;
}
#endif
