/* attention for processors with AVX2, FMA and F16C (contract: common/attention.h; how: attention_vec.h). As attention_avx512.c with
 * vectors of eight: four heads x two keys a tree of sums; products of 6 x 16.
 *
 * Measured (AMD EPYC with AVX-512, two cores, two threads; 32 query and 8 kv heads, d = 128): decode at 16,384 keys
 * 81 % with fp16, 85 % with fp32;
 * prefill, 128 queries, 4,096 keys, fp16 K and V: 176 GFLOP/s (95 % interval wider than 1 %).
 *
 * Only these: blackframe check attention --kernel 'attention_*_avx2' --backend cpu */
#include <string.h>

#include "attention.h"
#include "x86.h"

#if defined(__x86_64__)
#define ISA BF_AVX2
#define ISA_INLINE BF_AVX2_INLINE
#define VEC __m256
enum { W = 8 };

ISA_INLINE VEC v_load(const float *p) { return _mm256_loadu_ps(p); }
ISA_INLINE void v_store(float *p, VEC v) { _mm256_storeu_ps(p, v); }
ISA_INLINE VEC v_set1(float f) { return _mm256_set1_ps(f); }
ISA_INLINE VEC v_add(VEC a, VEC b) { return _mm256_add_ps(a, b); }
ISA_INLINE VEC v_sub(VEC a, VEC b) { return _mm256_sub_ps(a, b); }
ISA_INLINE VEC v_mul(VEC a, VEC b) { return _mm256_mul_ps(a, b); }
ISA_INLINE VEC v_div(VEC a, VEC b) { return _mm256_div_ps(a, b); }
ISA_INLINE VEC v_fma(VEC a, VEC b, VEC c) { return _mm256_fmadd_ps(a, b, c); }
ISA_INLINE VEC v_max(VEC a, VEC b) { return _mm256_max_ps(a, b); } /* the second one, if either is NaN */
ISA_INLINE VEC v_rint(VEC v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ISA_INLINE VEC v_scale2(VEC v, VEC n) {
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));
}
ISA_INLINE VEC v_if_none(VEC x, VEC yes, VEC no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, _mm256_set1_ps(-INFINITY), _CMP_EQ_OQ));
}
ISA_INLINE VEC v_if_less(VEC x, VEC y, VEC yes, VEC no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, y, _CMP_LT_OQ)); }
ISA_INLINE int v_bad(VEC v) { /* v - v is not zero */
    return _mm256_movemask_ps(_mm256_cmp_ps(_mm256_sub_ps(v, v), _mm256_setzero_ps(), _CMP_NEQ_UQ)) != 0;
}
ISA_INLINE VEC v_widen(const char *p, bf_dtype type) {
    if (type == BF_F32) return _mm256_loadu_ps((const float *)p);
    __m128i h = _mm_loadu_si128((const __m128i *)p);
    if (type == BF_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
ISA_INLINE VEC pairs(VEC a, VEC b) { return _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)); }
ISA_INLINE VEC fours(VEC a, VEC b, VEC c, VEC d) {
    __m256d x = _mm256_castps_pd(pairs(a, b)), y = _mm256_castps_pd(pairs(c, d));
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)), _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
}
ISA_INLINE VEC v_sums(const VEC a[8]) {
    VEC x = fours(a[0], a[1], a[2], a[3]), y = fours(a[4], a[5], a[6], a[7]);
    return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}
ISA_INLINE void v_transpose(VEC a[8]) {
    VEC b[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) { /* 4 x 4 inside each 128 bits */
        __m256d l0 = _mm256_castps_pd(_mm256_unpacklo_ps(a[i], a[i + 1])), h0 = _mm256_castps_pd(_mm256_unpackhi_ps(a[i], a[i + 1]));
        __m256d l1 = _mm256_castps_pd(_mm256_unpacklo_ps(a[i + 2], a[i + 3])), h1 = _mm256_castps_pd(_mm256_unpackhi_ps(a[i + 2], a[i + 3]));
        b[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(l0, l1)), b[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(l0, l1));
        b[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(h0, h1)), b[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(h0, h1));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        a[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        a[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

#include "attention_vec.h"

static const bf_kernel attention_decode_avx2 = {
    .op = "attention", .name = "attention_decode_avx2", .file = "attention_avx2", .target = BF_CPU, .role = BF_TUNED,
    .summary = "one query: parts of the keys, four heads share K and V; memory-bound", .rank = 30, .available = bf_has_avx2,
    .accepts = attention_decode_accepts, .scratch = attention_decode_scratch, .chain = attention_decode_chain, .run = decode_run,
};
BF_REGISTER(attention_decode_avx2);
static const bf_kernel attention_prefill_avx2 = {
    .op = "attention", .name = "attention_prefill_avx2", .file = "attention_avx2", .target = BF_CPU, .role = BF_TUNED,
    .summary = "96 rows x 64 keys, 6 x 16 products in registers; FMA-bound", .rank = 10, .available = bf_has_avx2,
    .accepts = attention_accepts, .chain = attention_prefill_chain, .run = prefill_run,
};
BF_REGISTER(attention_prefill_avx2);
#endif
