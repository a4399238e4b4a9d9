/* device_hip.h: the dialect on AMD GPUs (RDNA, wave32), by clang's builtins; hipcc takes the same ones.
 * Included by device.h only. */
#ifndef BF_DEVICE_HIP_H
#define BF_DEVICE_HIP_H

#define BF_FN static __attribute__((device, always_inline)) inline
#define BF_SHARED static __attribute__((shared))
#define BF_KERNEL_FN(name, args_type, max_threads)                                                       \
    extern "C" __attribute__((global, amdgpu_flat_work_group_size(1, max_threads))) void name(const args_type a)

BF_FN int bf_tid_x() { return (int)__builtin_amdgcn_workitem_id_x(); }
BF_FN int bf_tid_y() { return (int)__builtin_amdgcn_workitem_id_y(); }
BF_FN int bf_bid_x() { return (int)__builtin_amdgcn_workgroup_id_x(); }
BF_FN int bf_bid_y() { return (int)__builtin_amdgcn_workgroup_id_y(); }
BF_FN int bf_bid_z() { return (int)__builtin_amdgcn_workgroup_id_z(); }
BF_FN int bf_bdim_x() { return (int)__builtin_amdgcn_workgroup_size_x(); }
BF_FN int bf_bdim_y() { return (int)__builtin_amdgcn_workgroup_size_y(); }
BF_FN int bf_gdim_x() { return (int)(__builtin_amdgcn_grid_size_x() / __builtin_amdgcn_workgroup_size_x()); }
BF_FN int bf_lane() { return (int)__builtin_amdgcn_mbcnt_lo(~0u, 0u); }

BF_FN void bf_sync() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
BF_FN void bf_warp_sync() {
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
    __builtin_amdgcn_wave_barrier();
}

extern __attribute__((shared)) bf_u32x4 bf_dynamic_shared_base[];
BF_FN void *bf_dynamic_shared() { return bf_dynamic_shared_base; }

BF_FN uint32_t bf_f_bits(float f) { return __builtin_bit_cast(uint32_t, f); }
BF_FN float bf_bits_f(uint32_t u) { return __builtin_bit_cast(float, u); }

/* ds_bpermute rather than DPP or permlanex16: clang 19 can sink a v_permlanex16 into a divergent branch. */
BF_FN uint32_t bf_shfl(uint32_t v, int lane) { return (uint32_t)__builtin_amdgcn_ds_bpermute(lane << 2, (int)v); }
BF_FN uint32_t bf_shfl_xor(uint32_t v, int mask) { return bf_shfl(v, bf_lane() ^ mask); }

/* v_dot4_i32_iu8: each operand's sign is an immediate of the instruction (RDNA 3 ISA). */
BF_FN int32_t bf_dp4a(int32_t a, int32_t b, int32_t c) { return __builtin_amdgcn_sudot4(true, a, true, b, c, false); }
BF_FN int32_t bf_dp4a_us(uint32_t a, int32_t b, int32_t c) {
    return __builtin_amdgcn_sudot4(false, (int)a, true, b, c, false);
}

/* v_perm_b32: selectors 0 to 3 are the bytes of its second operand. */
BF_FN uint32_t bf_perm(uint32_t low, uint32_t high, uint32_t s) { return __builtin_amdgcn_perm(high, low, s); }

/* v_wmma, wave32 (RDNA 3 ISA, section 7.9). */
typedef _Float16 bf_v16h __attribute__((ext_vector_type(16)));
typedef short bf_v16s __attribute__((ext_vector_type(16)));
typedef int bf_v4i __attribute__((ext_vector_type(4)));
typedef int bf_v8i __attribute__((ext_vector_type(8)));
typedef float bf_v8f __attribute__((ext_vector_type(8)));
BF_FN bf_f32x8 bf_wmma_f16(const bf_u32x8 &a, const bf_u32x8 &b, const bf_f32x8 &c) {
    return __builtin_bit_cast(bf_f32x8,
                              __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(__builtin_bit_cast(bf_v16h, a),
                                                                         __builtin_bit_cast(bf_v16h, b),
                                                                         __builtin_bit_cast(bf_v8f, c)));
}
BF_FN bf_f32x8 bf_wmma_bf16(const bf_u32x8 &a, const bf_u32x8 &b, const bf_f32x8 &c) {
    return __builtin_bit_cast(bf_f32x8,
                              __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(__builtin_bit_cast(bf_v16s, a),
                                                                          __builtin_bit_cast(bf_v16s, b),
                                                                          __builtin_bit_cast(bf_v8f, c)));
}
BF_FN bf_i32x8 bf_wmma_i8(const bf_u32x4 &a, const bf_u32x4 &b, const bf_i32x8 &c) {
    return __builtin_bit_cast(bf_i32x8, __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(
                                            true, __builtin_bit_cast(bf_v4i, a), true, __builtin_bit_cast(bf_v4i, b),
                                            __builtin_bit_cast(bf_v8i, c), false));
}
BF_FN bf_i32x8 bf_wmma_u8i8(const bf_u32x4 &a, const bf_u32x4 &b, const bf_i32x8 &c) {
    return __builtin_bit_cast(bf_i32x8, __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(
                                            false, __builtin_bit_cast(bf_v4i, a), true, __builtin_bit_cast(bf_v4i, b),
                                            __builtin_bit_cast(bf_v8i, c), false));
}

typedef uint32_t bf_v2u __attribute__((ext_vector_type(2)));
typedef uint32_t bf_v4u __attribute__((ext_vector_type(4)));
#define BF_GLOBAL(type, p) ((__attribute__((address_space(1))) type *)(p))

BF_FN uint32_t bf_ld_u16(const void *p) { return *BF_GLOBAL(const uint16_t, p); }
BF_FN uint32_t bf_ld_u32(const void *p) { return *BF_GLOBAL(const uint32_t, p); }
BF_FN bf_u32x2 bf_ld_u32x2(const void *p) {
    bf_v2u v = *BF_GLOBAL(const bf_v2u, p);
    return {v.x, v.y};
}
BF_FN bf_u32x4 bf_ld_u32x4(const void *p) {
    bf_v4u v = *BF_GLOBAL(const bf_v4u, p);
    return {v.x, v.y, v.z, v.w};
}
BF_FN bf_u32x4 bf_ld_u32x4_stream(const void *p) {
    bf_v4u v = __builtin_nontemporal_load(BF_GLOBAL(const bf_v4u, p));
    return {v.x, v.y, v.z, v.w};
}
BF_FN void bf_st_u32x2(void *p, bf_u32x2 v) { *BF_GLOBAL(bf_v2u, p) = bf_v2u{v.x, v.y}; }
BF_FN void bf_st_u32x4(void *p, bf_u32x4 v) { *BF_GLOBAL(bf_v4u, p) = bf_v4u{v.x, v.y, v.z, v.w}; }
BF_FN void bf_st_u32x4_stream(void *p, bf_u32x4 v) {
    __builtin_nontemporal_store(bf_v4u{v.x, v.y, v.z, v.w}, BF_GLOBAL(bf_v4u, p));
}

BF_FN void bf_atomic_add_u64(uint64_t *p, uint64_t v) {
    __hip_atomic_fetch_add(BF_GLOBAL(uint64_t, p), v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
BF_FN void bf_atomic_xor_u32(uint32_t *p, uint32_t v) {
    __hip_atomic_fetch_xor(BF_GLOBAL(uint32_t, p), v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

BF_FN float bf_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
BF_FN float bf_f16_to_f32(uint32_t h) { return (float)__builtin_bit_cast(_Float16, (uint16_t)h); }
BF_FN uint32_t bf_f32_to_f16(float f) { return __builtin_bit_cast(uint16_t, (_Float16)f); }
/* Without it clang 19 makes (_Float16)(a * b) one v_fma_mixlo_f16 with the addend +0, and +0 of a product that is -0: the
 * addend must be -0 (LLVM pull request 214544, merged 2026-08). ci/isa.py fails on every such instruction. */
BF_FN float bf_apart(float f) {
    asm("" : "+v"(f));
    return f;
}
BF_FN float bf_rint(float f) { return __builtin_rintf(f); }
BF_FN float bf_max(float a, float b) { return __builtin_fmaxf(a, b); }
BF_FN float bf_min(float a, float b) { return __builtin_fminf(a, b); }
BF_FN float bf_rsqrt(float f) { return __builtin_amdgcn_rsqf(f); }

/* v_exp_f32 and v_rcp_f32: 1 ulp, no subnormals (RDNA 3.5 ISA). */
BF_FN float bf_exp2(float f) { return __builtin_amdgcn_exp2f(f); }
BF_FN float bf_rcp(float f) { return __builtin_amdgcn_rcpf(f); }

BF_FN float bf_shfl_xor_f(float v, int mask) { return bf_bits_f(bf_shfl_xor(bf_f_bits(v), mask)); }
BF_FN float bf_shfl_f(float v, int lane) { return bf_bits_f(bf_shfl(bf_f_bits(v), lane)); }
BF_FN float bf_warp_sum_f(float v) {
    for (int m = 16; m; m >>= 1) v += bf_shfl_xor_f(v, m);
    return v;
}

#endif
