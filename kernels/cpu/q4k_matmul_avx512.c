/* q4k_matmul_avx512.c: sixteen rows in the lanes of a vector; fp32 tile by FMA, int8 tile by VPDPBUSD (q4k_matmul_tile.h).
 * Only this: blackframe check --backend cpu --kernel 'q4k_matmul_*avx512*' q4k_matmul */
#include <string.h>

#include "../common/q4k_matmul.h"
#include "q4k_quantise_avx2.h"
#include "q4k_rows_avx512.h"

#if defined(__x86_64__)
typedef __m512 V;
typedef __m512i I, D;
enum { LANES = 16, FP32_R = 4, FP32_C = 6, INT8_R = 2, INT8_C = 6 };
#define SIMD BF_AVX512_INLINE
#define SIMD_CHUNK BF_AVX512 static
#define SIMD_DOT BF_VNNI_INLINE
#define DOT_CHUNK BF_VNNI static

SIMD V simd_zero(void) { return _mm512_setzero_ps(); }
SIMD V simd_set1(const float *p) { return _mm512_set1_ps(*p); }
SIMD V simd_load(const float *p) { return _mm512_loadu_ps(p); }
SIMD void simd_store(float *p, V v) { _mm512_storeu_ps(p, v); }
SIMD V simd_load_part(const float *p, int n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
SIMD void simd_store_part(float *p, V v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v); }
SIMD V simd_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
SIMD V simd_fms(V a, V b, V c) { return _mm512_fmsub_ps(a, b, c); }
SIMD V simd_mul(V a, V b) { return _mm512_mul_ps(a, b); }
SIMD V simd_add(V a, V b) { return _mm512_add_ps(a, b); }
SIMD I simd_load_i(const int32_t *p) { return _mm512_loadu_si512(p); }
SIMD void simd_store_i(int32_t *p, I v) { _mm512_storeu_si512(p, v); }
SIMD I simd_set1_i(const int32_t *p) { return _mm512_set1_epi32(*p); }
SIMD I simd_low(I v) { return _mm512_and_si512(v, _mm512_set1_epi32(0x0f0f0f0f)); }
SIMD I simd_high(I v) { return _mm512_and_si512(_mm512_srli_epi32(v, 4), _mm512_set1_epi32(0x0f0f0f0f)); }
/* A permutation looks at the low four bits of an index: mask and conversion in one. */
SIMD V simd_nibble(I v, const int shift) {
    const V value = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_permutexvar_ps((I)((__v16su)v >> shift), value);
}
SIMD void rows_scales(const char *w, int64_t s, V dsc[8], V dm[8]) {
    q4k_rows16 rows = q4k_rows_at(w, s);
    q4k_heads16 h = q4k_heads_of(&rows);
    V d = q4k_d16(&h), dmin = q4k_dmin16(&h);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        dsc[i] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(q4k_byte16(h.sc[i / 4], i % 4)));
        dm[i] = _mm512_mul_ps(dmin, _mm512_cvtepi32_ps(q4k_byte16(h.mn[i / 4], i % 4)));
    }
}
SIMD void rows_words(const char *w, int64_t s, int at, I v[8]) {
    q4k_rows16 rows = q4k_rows_at(w, s);
    q4k_transpose16(&rows, at, v);
}
SIMD_DOT D simd_dot_zero(void) { return _mm512_setzero_si512(); }
SIMD_DOT D simd_dot(D d, I w, I x) { return _mm512_dpbusd_epi32(d, w, x); }
SIMD_DOT V simd_dot_sum(D d) { return _mm512_cvtepi32_ps(d); }

#include "q4k_matmul_tile.h"

static const bf_kernel fp32 = {
    .op = "q4k_matmul", .name = "q4k_matmul_fp32_avx512", .file = "q4k_matmul_avx512", .target = BF_CPU, .role = BF_TUNED,
    .path = "fp32", .summary = "panels of weights decoded in cache, 64 rows x 6 columns in registers; compute-bound",
    .rank = 30, .available = bf_has_avx512, .accepts = tile_accepts, .scratch = tile_scratch_fp32, .chain = tile_chain_fp32,
    .run = tile_run_fp32,
};
BF_REGISTER(fp32);
static const bf_kernel int8 = {
    .op = "q4k_matmul", .name = "q4k_matmul_int8_avx512vnni", .file = "q4k_matmul_avx512", .target = BF_CPU, .role = BF_TUNED,
    .path = "int8", .summary = "panels of bytes in cache, VPDPBUSD, 32 rows x 6 columns in registers; compute-bound",
    .rank = 30, .available = bf_has_vnni, .accepts = tile_accepts, .scratch = tile_scratch_int8, .chain = tile_chain_int8,
    .run = tile_run_int8,
};
BF_REGISTER(int8);
#endif
