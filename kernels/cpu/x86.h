/* x86.h: instruction sets of the x86-64 kernels, chosen at run time; each function names its own, so that one binary runs
 * on every processor. Empty on other architectures. */
#ifndef BF_CPU_X86_H
#define BF_CPU_X86_H

#if defined(__x86_64__)
/* gcc 12 knows no latencies of these processors' 512-bit instructions: its second scheduling pass bunches loads and
 * prefetches, and costs q4k_matvec_int8_avx512vnni 5 % on AMD EPYC Zen 4. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns2")
#endif
#include <immintrin.h>

#define BF_AVX2 __attribute__((target("avx2,fma,f16c")))
#define BF_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))
#define BF_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
#define BF_AVX2_INLINE BF_AVX2 __attribute__((always_inline)) static inline
#define BF_AVX512_INLINE BF_AVX512 __attribute__((always_inline)) static inline
#define BF_VNNI_INLINE BF_VNNI __attribute__((always_inline)) static inline

static inline int bf_has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
static inline int bf_has_avx512(void) {
    return bf_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
static inline int bf_has_vnni(void) { return bf_has_avx512() && __builtin_cpu_supports("avx512vnni"); }

/* Hides a constant from the compiler, which otherwise rebuilds it from its parts in every turn of a loop (gcc 12). */
BF_AVX2_INLINE __m256i bf_keep256(__m256i v) {
    __asm__("" : "+x"(v));
    return v;
}
BF_AVX512_INLINE __m512i bf_keep512(__m512i v) {
    __asm__("" : "+v"(v));
    return v;
}
#endif
#endif
