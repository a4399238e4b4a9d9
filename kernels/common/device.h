/* device.h: the dialect that the GPU kernels are written in.
 *
 * Freestanding: no vendor header is needed. One source compiles as
 *   CUDA by clang (device only, no CUDA headers)        BF_DEVICE_CUDA
 *   CUDA by nvcc (vendor's intrinsics)                  BF_DEVICE_CUDA, BF_VENDOR
 *   HIP by clang (device only, no HIP headers)          BF_DEVICE_HIP
 *   HIP by hipcc (vendor's header)                      BF_DEVICE_HIP, BF_VENDOR
 *   host C++ on fibers, kernels/simt                    BF_SIMT with BF_SIMT_CUDA or BF_SIMT_HIP
 * In the first four only device code is seen; under BF_SIMT the file's host part (`#if BF_HOST`: descriptor,
 * launch constants, plan) is compiled as well, and serves the GPU backends too.
 *
 * Rules of the dialect:
 *   - all arithmetic is as written: compiled with -ffp-contract=off (nvcc: -fmad=false); use bf_fma;
 *   - a warp (wave) is 32 threads, blockDim.x a multiple of 32; shuffles and warp barriers are called by all
 *     lanes of the warp together;
 *   - a kernel is BF_KERNEL_FN(name, args_type, max_threads) { ... a.field ... }: one structure by value;
 *   - BF_SHARED for static shared memory, bf_dynamic_shared() for the launch's;
 *   - wide loads and stores need their natural alignment; simt aborts when it is missing. */
#ifndef BF_DEVICE_H
#define BF_DEVICE_H

#include <stdint.h>

#define BF_WARP 32

#if defined(BF_SIMT)
#include "../simt/simt.h"
#define BF_HOST 1
#else
#define BF_HOST 0

struct alignas(8) bf_u32x2 { uint32_t x, y; };
struct alignas(16) bf_u32x4 { uint32_t x, y, z, w; };
struct alignas(16) bf_f32x4 { float x, y, z, w; };
struct alignas(32) bf_u32x8 { uint32_t v[8]; };
struct alignas(32) bf_f32x8 { float v[8]; };
struct alignas(32) bf_i32x8 { int32_t v[8]; };

#if defined(__HIP__) || defined(__HIPCC__)
#define BF_DEVICE_HIP 1
#include "device_hip.h"
#else
#define BF_DEVICE_CUDA 1
#include "device_cuda.h"
#endif
#endif

/* What every target provides (shown as prototypes; each is BF_FN, always inlined):
 *
 * int      bf_tid_x() bf_tid_y() bf_bid_x() bf_bid_y() bf_bid_z()  bf_bdim_x() bf_bdim_y() bf_gdim_x()
 * int      bf_lane()                            0..31 in the warp (threads numbered x first)
 * void     bf_sync()                            block barrier, orders shared and global memory
 * void     bf_warp_sync()                       warp barrier, orders shared memory inside the warp
 * void    *bf_dynamic_shared()                  16-byte aligned
 * uint32_t bf_shfl_xor(uint32_t, int mask)      value of lane ^ mask
 * uint32_t bf_shfl(uint32_t, int lane)          value of that lane
 * float    bf_shfl_xor_f(float, int) bf_shfl_f(float, int)
 * float    bf_warp_sum_f(float)                 butterfly 16, 8, 4, 2, 1: every lane has the same bits
 * int32_t  bf_dp4a(int32_t a, int32_t b, int32_t c)    c + sum of signed a.byte[i] * signed b.byte[i], wraps
 * int32_t  bf_dp4a_us(uint32_t a, int32_t b, int32_t c)  a unsigned bytes
 * uint32_t bf_ld_u16(const void *) bf_ld_u32(const void *)    read-only global loads
 * bf_u32x2 bf_ld_u32x2(const void *)   bf_u32x4 bf_ld_u32x4(const void *)
 * void     bf_st_u32x2(void *, bf_u32x2) bf_st_u32x4(void *, bf_u32x4)
 * bf_u32x4 bf_ld_u32x4_stream(const void *)  void bf_st_u32x4_stream(void *, bf_u32x4)   evict first
 * void     bf_atomic_add_u64(uint64_t *, uint64_t) bf_atomic_xor_u32(uint32_t *, uint32_t)   relaxed, global
 * float    bf_fma(float a, float b, float c)    fused
 * float    bf_bits_f(uint32_t)  uint32_t bf_f_bits(float)
 * float    bf_f16_to_f32(uint32_t low16)  uint32_t bf_f32_to_f16(float)  round to nearest even; NaN by the device's
 *                                               own rule (convert.h)
 * float    bf_apart(float)                      the same value; what computes it and what takes it stay two instructions. For
 *                                               products that become fp16: bf_f32_to_f16(bf_apart(a * b))
 * float    bf_rint(float)                       to nearest, ties to even
 * float    bf_max(float, float) bf_min(float, float)  a NaN operand is ignored (IEEE maxNum), both NaN: NaN
 * float    bf_exp2(float)                       2^x, to 2 ulp (ex2.approx, v_exp_f32), exact at 0, results below 2^-126: 0
 * float    bf_rcp(float)                        1/x, to 1 ulp (rcp.approx, v_rcp_f32); x and 1/x normal, 0 or infinite
 * More functions, made of these: device_math.h.
 * float    bf_rsqrt(float)                      1/sqrt of a normal number to 2^-21.4 of itself; +0 gives inf. cuda:
 *                                               rsqrt.approx, 2^-22.4 absolute for operands from 1 to 4 (PTX ISA 6.3; later
 *                                               editions: 2^-22.9 relative); hip: v_rsq_f32, 1 ulp (RDNA 3.5 ISA)
 *
 * On NVIDIA GPUs only:
 * uint32_t bf_prmt(uint32_t low, uint32_t high, uint32_t s)    byte i of the result is byte (s.nibble[i] & 7) of high:low, or, where bit 3
 *                                               of that nibble is set, eight times its sign; the upper half of s is not looked at
 * On AMD GPUs only:
 * uint32_t bf_perm(uint32_t low, uint32_t high, uint32_t s)    byte i of the result is byte s.byte[i], 0 to 7, of high:low
 *
 * On AMD GPUs only (gfx11), by all 32 lanes of a wave together: D = A B + C of 16 x 16 tiles, k 16 long.
 * bf_f32x8 bf_wmma_f16(bf_u32x8 a, bf_u32x8 b, bf_f32x8 c)     bf_wmma_bf16 alike
 * bf_i32x8 bf_wmma_i8(bf_u32x4 a, bf_u32x4 b, bf_i32x8 c)      signed bytes; bf_wmma_u8i8: A unsigned. Sums wrap
 *   a: row l % 16 of A, its k in order, two fp16 (four bytes) a word, the lower half first; the same in lanes l and
 *      l + 16. b: column l % 16 of B alike. c and the result: element i of lane l is row 2 i + l / 16, column l % 16.
 *   Products of 16-bit values and their sums are fp32; order and rounding of the sums inside are the hardware's, not IEEE's
 *   (simt: what was measured on gfx1151, kernels/simt/wmma_adder.h).
 */
#endif
