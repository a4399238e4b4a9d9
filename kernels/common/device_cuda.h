/* device_cuda.h: the dialect on NVIDIA GPUs, by clang's builtins or, under nvcc, the vendor's intrinsics.
 * Inline PTX (PTX ISA 6.3) wherever both take it. Included by device.h only. */
#ifndef BF_DEVICE_CUDA_H
#define BF_DEVICE_CUDA_H

#if defined(__NVCC__)
#define BF_VENDOR 1
#define BF_FN __device__ __forceinline__
#define BF_SHARED __shared__
#define BF_KERNEL_FN(name, args_type, max_threads) \
    extern "C" __global__ void __launch_bounds__(max_threads) name(const args_type a)
#define BF_SREG(reg, vendor) ((int)(vendor))
#else
#define BF_FN static __attribute__((device, always_inline)) inline
#define BF_SHARED static __attribute__((shared))
#define BF_KERNEL_FN(name, args_type, max_threads) \
    extern "C" __attribute__((global, launch_bounds(max_threads))) void name(const args_type a)
#define BF_SREG(reg, vendor) ((int)__nvvm_read_ptx_sreg_##reg())
#endif

BF_FN int bf_tid_x() { return BF_SREG(tid_x, threadIdx.x); }
BF_FN int bf_tid_y() { return BF_SREG(tid_y, threadIdx.y); }
BF_FN int bf_bid_x() { return BF_SREG(ctaid_x, blockIdx.x); }
BF_FN int bf_bid_y() { return BF_SREG(ctaid_y, blockIdx.y); }
BF_FN int bf_bid_z() { return BF_SREG(ctaid_z, blockIdx.z); }
BF_FN int bf_bdim_x() { return BF_SREG(ntid_x, blockDim.x); }
BF_FN int bf_bdim_y() { return BF_SREG(ntid_y, blockDim.y); }
BF_FN int bf_gdim_x() { return BF_SREG(nctaid_x, gridDim.x); }
BF_FN int bf_lane() {
    int l;
    asm("mov.u32 %0, %%laneid;" : "=r"(l));
    return l;
}

BF_FN void bf_sync() { __syncthreads(); }
BF_FN void bf_warp_sync() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

#if defined(BF_VENDOR)
extern __shared__ uint4 bf_dynamic_shared_base[];
#else
extern __attribute__((shared)) bf_u32x4 bf_dynamic_shared_base[];
#endif
BF_FN void *bf_dynamic_shared() { return bf_dynamic_shared_base; }

BF_FN uint32_t bf_f_bits(float f) {
    uint32_t u;
    asm("mov.b32 %0, %1;" : "=r"(u) : "f"(f));
    return u;
}
BF_FN float bf_bits_f(uint32_t u) {
    float f;
    asm("mov.b32 %0, %1;" : "=f"(f) : "r"(u));
    return f;
}

BF_FN uint32_t bf_shfl_xor(uint32_t v, int mask) {
    uint32_t r;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(v), "r"(mask));
    return r;
}
BF_FN uint32_t bf_shfl(uint32_t v, int lane) {
    uint32_t r;
    asm volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(v), "r"(lane));
    return r;
}

BF_FN int32_t bf_dp4a(int32_t a, int32_t b, int32_t c) {
    int32_t r;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}
BF_FN int32_t bf_dp4a_us(uint32_t a, int32_t b, int32_t c) {
    int32_t r;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

BF_FN uint32_t bf_prmt(uint32_t low, uint32_t high, uint32_t s) {
    uint32_t r;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(low), "r"(high), "r"(s));
    return r;
}

BF_FN uint32_t bf_ld_u16(const void *p) {
    uint16_t v;
    asm("{ .reg .u64 g; cvta.to.global.u64 g, %1; ld.global.nc.u16 %0, [g]; }" : "=h"(v) : "l"(p));
    return v;
}
BF_FN uint32_t bf_ld_u32(const void *p) {
    uint32_t v;
    asm("{ .reg .u64 g; cvta.to.global.u64 g, %1; ld.global.nc.u32 %0, [g]; }" : "=r"(v) : "l"(p));
    return v;
}
BF_FN bf_u32x2 bf_ld_u32x2(const void *p) {
    bf_u32x2 v;
    asm("{ .reg .u64 g; cvta.to.global.u64 g, %2; ld.global.nc.v2.u32 {%0, %1}, [g]; }"
        : "=r"(v.x), "=r"(v.y)
        : "l"(p));
    return v;
}
BF_FN bf_u32x4 bf_ld_u32x4(const void *p) {
    bf_u32x4 v;
    asm("{ .reg .u64 g; cvta.to.global.u64 g, %4; ld.global.nc.v4.u32 {%0, %1, %2, %3}, [g]; }"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(p));
    return v;
}
BF_FN bf_u32x4 bf_ld_u32x4_stream(const void *p) {
    bf_u32x4 v;
    asm("{ .reg .u64 g; cvta.to.global.u64 g, %4; ld.global.cs.v4.u32 {%0, %1, %2, %3}, [g]; }"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(p));
    return v;
}
BF_FN void bf_st_u32x2(void *p, bf_u32x2 v) {
    asm volatile("{ .reg .u64 g; cvta.to.global.u64 g, %0; st.global.v2.u32 [g], {%1, %2}; }" ::"l"(p), "r"(v.x),
                 "r"(v.y)
                 : "memory");
}
BF_FN void bf_st_u32x4(void *p, bf_u32x4 v) {
    asm volatile("{ .reg .u64 g; cvta.to.global.u64 g, %0; st.global.v4.u32 [g], {%1, %2, %3, %4}; }" ::"l"(p),
                 "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
}
BF_FN void bf_st_u32x4_stream(void *p, bf_u32x4 v) {
    asm volatile("{ .reg .u64 g; cvta.to.global.u64 g, %0; st.global.cs.v4.u32 [g], {%1, %2, %3, %4}; }" ::"l"(p),
                 "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
}

BF_FN void bf_atomic_add_u64(uint64_t *p, uint64_t v) {
    asm volatile("{ .reg .u64 g; cvta.to.global.u64 g, %0; red.global.add.u64 [g], %1; }" ::"l"(p), "l"(v) : "memory");
}
BF_FN void bf_atomic_xor_u32(uint32_t *p, uint32_t v) {
    asm volatile("{ .reg .u64 g; cvta.to.global.u64 g, %0; red.global.xor.b32 [g], %1; }" ::"l"(p), "r"(v) : "memory");
}

BF_FN float bf_fma(float a, float b, float c) {
    float r;
    asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(r) : "f"(a), "f"(b), "f"(c));
    return r;
}
BF_FN float bf_f16_to_f32(uint32_t h) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"((uint16_t)h));
    return f;
}
BF_FN float bf_apart(float f) { return f; }
BF_FN uint32_t bf_f32_to_f16(float f) {
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
}
BF_FN float bf_rint(float f) {
    float r;
    asm("cvt.rni.f32.f32 %0, %1;" : "=f"(r) : "f"(f));
    return r;
}
BF_FN float bf_max(float a, float b) {
    float r;
    asm("max.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
}
BF_FN float bf_min(float a, float b) {
    float r;
    asm("min.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
}
BF_FN float bf_rsqrt(float f) {
    float r;
    asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(f));
    return r;
}

/* PTX ISA: ex2.approx has a relative error of at most 2^-22, 2 ulp; rcp.approx of 1 ulp. */
BF_FN float bf_exp2(float f) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(f));
    return r;
}
BF_FN float bf_rcp(float f) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(f));
    return r;
}

BF_FN float bf_shfl_xor_f(float v, int mask) { return bf_bits_f(bf_shfl_xor(bf_f_bits(v), mask)); }
BF_FN float bf_shfl_f(float v, int lane) { return bf_bits_f(bf_shfl(bf_f_bits(v), lane)); }
BF_FN float bf_warp_sum_f(float v) {
    for (int m = 16; m; m >>= 1) v += bf_shfl_xor_f(v, m);
    return v;
}

#endif
