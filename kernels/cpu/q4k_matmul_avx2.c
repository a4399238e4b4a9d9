/* q4k_matmul_avx2.c: eight rows in the lanes of a vector; fp32 tile by FMA, int8 tile by VPMADDUBSW (q4k_matmul_tile.h).
 *
 * A pair of byte products is at most 2 * 15 * 127 = 3,810 and a block of 32 has eight of them in a lane: 30,480, so that
 * they are summed in 16 bits and widened once a block.
 *
 * Only this: blackframe check --backend cpu --kernel 'q4k_matmul_*_avx2' q4k_matmul */
#include <string.h>

#include "../common/q4k_matmul.h"
#include "q4k_quantise_avx2.h"

#if defined(__x86_64__)
typedef __m256 V;
typedef __m256i I, D;
enum { LANES = 8, FP32_R = 2, FP32_C = 6, INT8_R = 2, INT8_C = 3 };
#define SIMD BF_AVX2_INLINE
#define SIMD_CHUNK BF_AVX2 static
#define SIMD_DOT SIMD
#define DOT_CHUNK SIMD_CHUNK

SIMD V simd_zero(void) { return _mm256_setzero_ps(); }
SIMD V simd_set1(const float *p) { return _mm256_broadcast_ss(p); }
SIMD V simd_load(const float *p) { return _mm256_loadu_ps(p); }
SIMD void simd_store(float *p, V v) { _mm256_storeu_ps(p, v); }
SIMD I simd_first(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
SIMD V simd_load_part(const float *p, int n) { return _mm256_maskload_ps(p, simd_first(n)); }
SIMD void simd_store_part(float *p, V v, int n) { _mm256_maskstore_ps(p, simd_first(n), v); }
SIMD V simd_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
SIMD V simd_fms(V a, V b, V c) { return _mm256_fmsub_ps(a, b, c); }
SIMD V simd_mul(V a, V b) { return _mm256_mul_ps(a, b); }
SIMD V simd_add(V a, V b) { return _mm256_add_ps(a, b); }
SIMD I simd_load_i(const int32_t *p) { return _mm256_loadu_si256((const void *)p); }
SIMD void simd_store_i(int32_t *p, I v) { _mm256_storeu_si256((void *)p, v); }
SIMD I simd_set1_i(const int32_t *p) { return _mm256_set1_epi32(*p); }
SIMD I simd_low(I v) { return _mm256_and_si256(v, _mm256_set1_epi32(0x0f0f0f0f)); }
SIMD I simd_high(I v) { return _mm256_and_si256(_mm256_srli_epi32(v, 4), _mm256_set1_epi32(0x0f0f0f0f)); }
SIMD V simd_nibble(I v, const int shift) {
    return _mm256_cvtepi32_ps(_mm256_and_si256((I)((__v8su)v >> shift), _mm256_set1_epi32(15)));
}
/* Headers are read row by row: an eighth of a per cent of the work at 512 columns. */
SIMD void rows_scales(const char *w, int64_t s, V dsc[8], V dm[8]) {
    uint16_t d[LANES], dmin[LANES];
    int32_t sc[2][LANES], mn[2][LANES];
    for (int i = 0; i < LANES; i++, w += s) {
        uint32_t word[4], a[2], b[2];
        memcpy(word, w, sizeof word);
        bf_q4_k_scales(word[1], word[2], word[3], a, b);
        d[i] = (uint16_t)word[0], dmin[i] = (uint16_t)(word[0] >> 16);
        for (int half = 0; half < 2; half++) sc[half][i] = (int32_t)a[half], mn[half][i] = (int32_t)b[half];
    }
    V vd = _mm256_cvtph_ps(_mm_loadu_si128((const void *)d)), vm = _mm256_cvtph_ps(_mm_loadu_si128((const void *)dmin));
    for (int i = 0; i < 8; i++) {
        I a = _mm256_and_si256((I)((__v8su)simd_load_i(sc[i / 4]) >> 8 * (i % 4)), _mm256_set1_epi32(255));
        I b = _mm256_and_si256((I)((__v8su)simd_load_i(mn[i / 4]) >> 8 * (i % 4)), _mm256_set1_epi32(255));
        dsc[i] = _mm256_mul_ps(vd, _mm256_cvtepi32_ps(a)), dm[i] = _mm256_mul_ps(vm, _mm256_cvtepi32_ps(b));
    }
}
/* Eight by eight words, transposed. */
SIMD void rows_words(const char *w, int64_t s, int at, I v[8]) {
    I z[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) z[i] = _mm256_loadu_si256((const void *)(w + i * s + at));
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) t[i] = _mm256_unpacklo_epi32(z[i], z[i + 1]), t[i + 1] = _mm256_unpackhi_epi32(z[i], z[i + 1]);
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        z[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]), z[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        z[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]), z[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        v[i] = _mm256_permute2x128_si256(z[i], z[i + 4], 0x20), v[i + 4] = _mm256_permute2x128_si256(z[i], z[i + 4], 0x31);
}
SIMD D simd_dot_zero(void) { return _mm256_setzero_si256(); }
SIMD D simd_dot(D d, I w, I x) { return _mm256_add_epi16(d, _mm256_maddubs_epi16(w, x)); }
SIMD V simd_dot_sum(D d) { return _mm256_cvtepi32_ps(_mm256_madd_epi16(d, _mm256_set1_epi16(1))); }

#include "q4k_matmul_tile.h"

static const bf_kernel fp32 = {
    .op = "q4k_matmul", .name = "q4k_matmul_fp32_avx2", .file = "q4k_matmul_avx2", .target = BF_CPU, .role = BF_TUNED,
    .path = "fp32", .summary = "panels of weights decoded in cache, 16 rows x 6 columns in registers; compute-bound",
    .rank = 20, .available = bf_has_avx2, .accepts = tile_accepts, .scratch = tile_scratch_fp32, .chain = tile_chain_fp32,
    .run = tile_run_fp32,
};
BF_REGISTER(fp32);
static const bf_kernel int8 = {
    .op = "q4k_matmul", .name = "q4k_matmul_int8_avx2", .file = "q4k_matmul_avx2", .target = BF_CPU, .role = BF_TUNED,
    .path = "int8", .summary = "panels of bytes in cache, VPMADDUBSW, 16 rows x 3 columns in registers; compute-bound",
    .rank = 20, .available = bf_has_avx2, .accepts = tile_accepts, .scratch = tile_scratch_int8, .chain = tile_chain_int8,
    .run = tile_run_int8,
};
BF_REGISTER(int8);
#endif
