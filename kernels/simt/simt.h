/* simt.h: the dialect of device.h as host C++ (C++20, clang++ 19 or g++ 12), for kernels/simt/runtime.cc.
 *
 * How a kernel file looks; everything below is all it includes and all it says:
 *
 *     #include "../common/device.h"
 *     #include "../common/myop.h"
 *
 *     struct myop_args { const void *x; void *y; int64_t n; };
 *     enum { THREADS = 128 };
 *
 *     BF_KERNEL_FN(myop_naive, myop_args, THREADS) {
 *         BF_SHARED float tile[THREADS];                     // static shared memory
 *         int64_t i = (int64_t)bf_bid_x() * THREADS + bf_tid_x();
 *         ...                                                // `a` is the argument
 *     }
 *
 *     #if BF_HOST                                            // compiled once, for simt; serves the GPU as well
 *     static int naive_plan(const bf_problem *p, bf_step *s) {
 *         myop_args a = {p->ptr[MYOP_X], p->ptr[MYOP_Y], p->dim[MYOP_N]};
 *         //               kernel                  grid x                           y  block x, y  shared  args
 *         bf_step_set(&s[0], BF_STEP_FN(myop_naive), (a.n + THREADS - 1) / THREADS, 1, THREADS, 1, 0, a);
 *         return 1;                                          // launches
 *     }
 *     static const bf_kernel naive = {
 *         .op = "myop", .name = "myop_naive", .file = "myop", .target = BF_STEP_TARGET, .role = BF_NAIVE,
 *         .summary = "...", .accepts = naive_accepts, .plan = naive_plan,
 *     };
 *     BF_REGISTER(naive);
 *     #endif
 *
 * bf_step_set refuses, at compile time, an argument of another type than the kernel's, and one larger than
 * BF_MAX_ARGS. grid z: set s[0].grid[2] afterwards. Compile with
 * -DBF_SIMT -DBF_SIMT_CUDA (or -DBF_SIMT_HIP) -x c++ -std=c++20 -ffp-contract=off, without fast-math.
 *
 * Static shared memory lies in a section of its own for each kernel file, so that the runtime finds it; the dot in
 * the name matters: AddressSanitizer leaves variables in sections named like C identifiers unfenced. (g++ fences them
 * only with -fsanitize-sections='bf.shared.*'.) */
#ifndef BF_SIMT_H
#define BF_SIMT_H

#include <stdint.h>
#include <string.h>
#include <type_traits>

#include "runtime.h"
#include "simt_math.h"
#include "simt_state.h"

#if defined(BF_SIMT_CUDA) == defined(BF_SIMT_HIP)
#error "define one of BF_SIMT_CUDA and BF_SIMT_HIP"
#endif
#if defined(BF_SIMT_CUDA)
#define BF_STEP_TARGET BF_CUDA
#else
#define BF_STEP_TARGET BF_HIP
#endif

/* Descriptors name the fields they use; the rest is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunknown-pragmas" /* #pragma unroll, under g++ */

struct alignas(8) bf_u32x2 { uint32_t x, y; };
struct alignas(16) bf_u32x4 { uint32_t x, y, z, w; };
struct alignas(16) bf_f32x4 { float x, y, z, w; };
struct alignas(32) bf_u32x8 { uint32_t v[8]; };
struct alignas(32) bf_f32x8 { float v[8]; };
struct alignas(32) bf_i32x8 { int32_t v[8]; };

#define BF_FN static inline __attribute__((unused))
#define BF_SHARED static __attribute__((section("bf.shared." __BASE_FILE__)))

/* The entry asked with NULL describes the kernel instead of running it. */
#define BF_KERNEL_FN(name, args_type, max_threads)                                                                   \
    typedef args_type name##_args_type;                                                                              \
    static_assert(std::is_trivially_copyable_v<args_type> && alignof(args_type) <= 8, "kernel argument: plain data"); \
    static_assert(int(max_threads) <= int(BF_SIMT_MAX_THREADS), "more threads than a block can have");                       \
    static void name(const args_type a);                                                                             \
    __attribute__((unused)) static void name##_simt(const void *args) {                                              \
        if (args)                                                                                                    \
            name(*static_cast<const args_type *>(args));                                                             \
        else                                                                                                         \
            bf_simt_describe(#name, sizeof(args_type), max_threads, __BASE_FILE__);                                  \
    }                                                                                                                \
    static void name([[maybe_unused]] const args_type a)

/* ---- host part of kernel files: one launch in one line ---- */
template <class Args> struct bf_step_fn {
    const char *symbol;
    void (*host)(const void *);
};
#define BF_STEP_FN(name) (bf_step_fn<name##_args_type>{#name, name##_simt})

template <class Args>
static inline void bf_step_set(bf_step *s, bf_step_fn<Args> fn, int64_t grid_x, int64_t grid_y, int64_t block_x,
                               int64_t block_y, int64_t shared_bytes, const std::type_identity_t<Args> &args) {
    static_assert(sizeof(Args) <= BF_MAX_ARGS, "kernel argument larger than BF_MAX_ARGS");
    /* Out of range becomes 0 (or the largest size of shared memory), which every backend refuses. */
    auto dim = [](int64_t v) { return v < 0 || v > UINT32_MAX ? 0u : static_cast<uint32_t>(v); };
    *s = bf_step{};
    s->symbol = fn.symbol;
    s->host = fn.host;
    s->grid[0] = dim(grid_x), s->grid[1] = dim(grid_y), s->grid[2] = 1;
    s->block[0] = dim(block_x), s->block[1] = dim(block_y), s->block[2] = 1;
    s->shared = shared_bytes < 0 || shared_bytes > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(shared_bytes);
    s->args_bytes = sizeof(Args);
    memcpy(s->args, &args, sizeof(Args));
}

/* ---- indices ---- */
BF_FN int bf_tid_x() { return bf_simt_self->tid_x; }
BF_FN int bf_tid_y() { return bf_simt_self->tid_y; }
BF_FN int bf_lane() { return bf_simt_self->lane; }
BF_FN int bf_bid_x() { return bf_simt_now.bid_x; }
BF_FN int bf_bid_y() { return bf_simt_now.bid_y; }
BF_FN int bf_bid_z() { return bf_simt_now.bid_z; }
BF_FN int bf_bdim_x() { return bf_simt_now.bdim_x; }
BF_FN int bf_bdim_y() { return bf_simt_now.bdim_y; }
BF_FN int bf_gdim_x() { return bf_simt_now.gdim_x; }
BF_FN void *bf_dynamic_shared() { return bf_simt_now.dynamic; }

/* ---- collectives. file and line are the caller's: threads that wait together must wait at one place. ---- */
#define BF_SIMT_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
BF_FN void bf_sync(BF_SIMT_SITE) { bf_simt_block_wait(file, line); }
BF_FN void bf_warp_sync(BF_SIMT_SITE) { bf_simt_warp_wait(file, line); }
BF_FN uint32_t bf_shfl(uint32_t v, int lane, BF_SIMT_SITE) { return bf_simt_shuffle(v, lane & 31, file, line); }
BF_FN uint32_t bf_shfl_xor(uint32_t v, int mask, BF_SIMT_SITE) {
    return bf_simt_shuffle(v, (bf_lane() ^ mask) & 31, file, line);
}
BF_FN uint32_t bf_f_bits(float f) { return bf_simt_f_bits(f); }
BF_FN float bf_bits_f(uint32_t u) { return bf_simt_bits_f(u); }
BF_FN float bf_shfl_f(float v, int lane, BF_SIMT_SITE) { return bf_bits_f(bf_shfl(bf_f_bits(v), lane, file, line)); }
BF_FN float bf_shfl_xor_f(float v, int mask, BF_SIMT_SITE) {
    return bf_bits_f(bf_shfl_xor(bf_f_bits(v), mask, file, line));
}
/* One step instead of five; the sum is formed in the butterfly's order. */
BF_FN float bf_warp_sum_f(float v, BF_SIMT_SITE) { return bf_simt_warp_sum(v, file, line); }

#if defined(BF_SIMT_HIP) || defined(BF_SIMT_SELFTEST)
BF_FN bf_f32x8 bf_wmma_f16(const bf_u32x8 &a, const bf_u32x8 &b, const bf_f32x8 &c, BF_SIMT_SITE) {
    bf_f32x8 d;
    bf_simt_wmma(BF_SIMT_WMMA_F16, a.v, b.v, c.v, d.v, file, line);
    return d;
}
BF_FN bf_f32x8 bf_wmma_bf16(const bf_u32x8 &a, const bf_u32x8 &b, const bf_f32x8 &c, BF_SIMT_SITE) {
    bf_f32x8 d;
    bf_simt_wmma(BF_SIMT_WMMA_BF16, a.v, b.v, c.v, d.v, file, line);
    return d;
}
BF_FN bf_i32x8 bf_wmma_i8(const bf_u32x4 &a, const bf_u32x4 &b, const bf_i32x8 &c, BF_SIMT_SITE) {
    const uint32_t a4[4] = {a.x, a.y, a.z, a.w}, b4[4] = {b.x, b.y, b.z, b.w};
    bf_i32x8 d;
    bf_simt_wmma(BF_SIMT_WMMA_I8, a4, b4, c.v, d.v, file, line);
    return d;
}
BF_FN bf_i32x8 bf_wmma_u8i8(const bf_u32x4 &a, const bf_u32x4 &b, const bf_i32x8 &c, BF_SIMT_SITE) {
    const uint32_t a4[4] = {a.x, a.y, a.z, a.w}, b4[4] = {b.x, b.y, b.z, b.w};
    bf_i32x8 d;
    bf_simt_wmma(BF_SIMT_WMMA_U8I8, a4, b4, c.v, d.v, file, line);
    return d;
}
#endif

/* ---- global memory ---- */
BF_FN void bf_simt_global(const void *p, uintptr_t bytes, const char *what) {
    uintptr_t at = reinterpret_cast<uintptr_t>(p);
    if (__builtin_expect((at & (bytes - 1)) != 0 ||
                             at - reinterpret_cast<uintptr_t>(bf_simt_now.dynamic) < bf_simt_now.dynamic_bytes ||
                             at - reinterpret_cast<uintptr_t>(bf_simt_now.fixed) < bf_simt_now.fixed_bytes,
                         0))
        bf_simt_bad_access(p, static_cast<int>(bytes), what);
}
template <class T> static inline T bf_simt_load(const void *p) {
    bf_simt_global(p, sizeof(T), "load");
    T v;
    memcpy(&v, p, sizeof v);
    return v;
}
template <class T> static inline void bf_simt_store(void *p, T v) {
    bf_simt_global(p, sizeof(T), "store");
    memcpy(p, &v, sizeof v);
}
BF_FN uint32_t bf_ld_u16(const void *p) { return bf_simt_load<uint16_t>(p); }
BF_FN uint32_t bf_ld_u32(const void *p) { return bf_simt_load<uint32_t>(p); }
BF_FN bf_u32x2 bf_ld_u32x2(const void *p) { return bf_simt_load<bf_u32x2>(p); }
BF_FN bf_u32x4 bf_ld_u32x4(const void *p) { return bf_simt_load<bf_u32x4>(p); }
BF_FN bf_u32x4 bf_ld_u32x4_stream(const void *p) { return bf_simt_load<bf_u32x4>(p); }
BF_FN void bf_st_u32x2(void *p, bf_u32x2 v) { bf_simt_store(p, v); }
BF_FN void bf_st_u32x4(void *p, bf_u32x4 v) { bf_simt_store(p, v); }
BF_FN void bf_st_u32x4_stream(void *p, bf_u32x4 v) { bf_simt_store(p, v); }
BF_FN void bf_atomic_add_u64(uint64_t *p, uint64_t v) {
    bf_simt_global(p, sizeof *p, "atomic");
    __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
BF_FN void bf_atomic_xor_u32(uint32_t *p, uint32_t v) {
    bf_simt_global(p, sizeof *p, "atomic");
    __atomic_fetch_xor(p, v, __ATOMIC_RELAXED);
}

/* ---- arithmetic ---- */
BF_FN int32_t bf_dp4a(int32_t a, int32_t b, int32_t c) { return bf_simt_dp4a(a, b, c); }
BF_FN int32_t bf_dp4a_us(uint32_t a, int32_t b, int32_t c) { return bf_simt_dp4a_us(a, b, c); }
#if defined(BF_SIMT_HIP)
BF_FN uint32_t bf_perm(uint32_t low, uint32_t high, uint32_t s) { return bf_simt_perm(low, high, s); }
#else
BF_FN uint32_t bf_prmt(uint32_t low, uint32_t high, uint32_t s) { return bf_simt_prmt(low, high, s); }
#endif
/* libm's fmaf is correctly rounded too, but a call; objects are compiled for any x86-64. */
BF_FN float bf_fma(float a, float b, float c) {
#if defined(__x86_64__) && !defined(__FMA__)
    if (__builtin_expect(bf_simt_has_fma, 1)) {
        asm("vfmadd213ss %2, %1, %0" : "+x"(a) : "x"(b), "x"(c));
        return a;
    }
#endif
    return __builtin_fmaf(a, b, c);
}
BF_FN float bf_apart(float f) { return f; }
BF_FN float bf_rint(float f) { return __builtin_rintf(f); }
BF_FN float bf_rcp(float f) { return bf_simt_rcp(f); }
#if defined(BF_SIMT_CUDA)
BF_FN float bf_f16_to_f32(uint32_t h) { return bf_bits_f(bf_simt_f16_to_f32_cuda(h)); }
BF_FN uint32_t bf_f32_to_f16(float f) { return bf_simt_f32_to_f16_cuda(bf_f_bits(f)); }
BF_FN float bf_exp2(float f) { return bf_simt_exp2(f, 1); }
BF_FN float bf_max(float a, float b) { return bf_simt_max(a, b, 0x7fffffffu); }
BF_FN float bf_min(float a, float b) { return bf_simt_min(a, b, 0x7fffffffu); }
BF_FN float bf_rsqrt(float f) { return bf_simt_rsqrt(f, 0x1.8p-22); } /* 2^-21.4 is 1.516 times 2^-22 */
#else
BF_FN float bf_f16_to_f32(uint32_t h) { return bf_bits_f(bf_simt_f16_to_f32_hip(h)); }
BF_FN uint32_t bf_f32_to_f16(float f) { return bf_simt_f32_to_f16_hip(bf_f_bits(f)); }
BF_FN float bf_exp2(float f) { return bf_simt_exp2(f, 0); }
BF_FN float bf_max(float a, float b) { return bf_simt_max(a, b, bf_f_bits(a) | 0x00400000u); }
BF_FN float bf_min(float a, float b) { return bf_simt_min(a, b, bf_f_bits(a) | 0x00400000u); }
BF_FN float bf_rsqrt(float f) { return bf_simt_rsqrt(f, 0x1p-23); } /* one ulp is 2^-23 of the least in a binade */
#endif

#endif
