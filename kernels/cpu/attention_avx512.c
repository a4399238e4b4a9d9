/* attention for processors with AVX-512 (contract: common/attention.h; how: attention_vec.h).
 *
 * attention_decode_avx512    one query. The key range in parts of 512 keys, so that threads take (kv head, part); up to four heads
 *                            of a group share K and V as they are widened. Scores: four heads x four keys, whose 16 sums
 *                            over d come out of one tree of shuffles as one vector. P.V: 64 columns of four heads in registers.
 *                            The other operand's tile is prefetched into L2 meanwhile, the next keys into L1. Bound: memory.
 * attention_prefill_avx512   blocks of 96 rows (heads of a group x queries) against tiles of 64 keys: K widened and transposed, V
 *                            widened, once a block; two products of 6 x 64 tiles in registers. Bound: FMA issue.
 *
 * Measured (AMD EPYC with AVX-512, two cores, two threads; 32 query and 8 kv heads, d = 128): decode at 16,384 keys
 * 84-90 % of the read ceiling with fp16 or bf16 K and V, 84-87 % with fp32 (one thread: 52 and 63 %);
 * prefill, 128 queries, 4,096 keys, fp16 K and V: 183 GFLOP/s (95 % interval wider than 1 %).
 *
 * Only these: blackframe check attention --kernel 'attention_*_avx512' --backend cpu */
#include <string.h>

#include "attention.h"
#include "x86.h"

#if defined(__x86_64__)
#define ISA BF_AVX512
#define ISA_INLINE BF_AVX512_INLINE
#define VEC __m512
enum { W = 16 };

ISA_INLINE VEC v_load(const float *p) { return _mm512_loadu_ps(p); }
ISA_INLINE void v_store(float *p, VEC v) { _mm512_storeu_ps(p, v); }
ISA_INLINE VEC v_set1(float f) { return _mm512_set1_ps(f); }
ISA_INLINE VEC v_add(VEC a, VEC b) { return _mm512_add_ps(a, b); }
ISA_INLINE VEC v_sub(VEC a, VEC b) { return _mm512_sub_ps(a, b); }
ISA_INLINE VEC v_mul(VEC a, VEC b) { return _mm512_mul_ps(a, b); }
ISA_INLINE VEC v_div(VEC a, VEC b) { return _mm512_div_ps(a, b); }
ISA_INLINE VEC v_fma(VEC a, VEC b, VEC c) { return _mm512_fmadd_ps(a, b, c); }
ISA_INLINE VEC v_max(VEC a, VEC b) { return _mm512_max_ps(a, b); } /* the second one, if either is NaN */
ISA_INLINE VEC v_rint(VEC v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ISA_INLINE VEC v_scale2(VEC v, VEC n) { return _mm512_scalef_ps(v, n); }
ISA_INLINE VEC v_if_none(VEC x, VEC yes, VEC no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ), no, yes);
}
ISA_INLINE VEC v_if_less(VEC x, VEC y, VEC yes, VEC no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), no, yes);
}
ISA_INLINE int v_bad(VEC v) { return _mm512_fpclass_ps_mask(v, 0x99) != 0; } /* NaN, infinities */
ISA_INLINE VEC v_widen(const char *p, bf_dtype type) {
    if (type == BF_F32) return _mm512_loadu_ps((const float *)p);
    __m256i h = _mm256_loadu_si256((const __m256i *)p);
    if (type == BF_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
ISA_INLINE VEC pairs(VEC a, VEC b) { return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); }
ISA_INLINE VEC fours(VEC a, VEC b, VEC c, VEC d) {
    __m512d x = _mm512_castps_pd(pairs(a, b)), y = _mm512_castps_pd(pairs(c, d));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
ISA_INLINE VEC blocks(VEC a, VEC b) { return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd)); }
ISA_INLINE VEC v_sums(const VEC a[16]) {
    VEC x = blocks(fours(a[0], a[1], a[2], a[3]), fours(a[4], a[5], a[6], a[7]));
    return blocks(x, blocks(fours(a[8], a[9], a[10], a[11]), fours(a[12], a[13], a[14], a[15])));
}
ISA_INLINE void v_transpose(VEC a[16]) {
    VEC b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) { /* 4 x 4 inside each 128 bits */
        __m512d l0 = _mm512_castps_pd(_mm512_unpacklo_ps(a[i], a[i + 1])), h0 = _mm512_castps_pd(_mm512_unpackhi_ps(a[i], a[i + 1]));
        __m512d l1 = _mm512_castps_pd(_mm512_unpacklo_ps(a[i + 2], a[i + 3])), h1 = _mm512_castps_pd(_mm512_unpackhi_ps(a[i + 2], a[i + 3]));
        b[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(l0, l1)), b[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(l0, l1));
        b[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(h0, h1)), b[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(h0, h1));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* then the 4 x 4 blocks of 128 bits */
        VEC x = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88), y = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
        VEC z = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88), t = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
        a[i] = _mm512_shuffle_f32x4(x, z, 0x88), a[i + 8] = _mm512_shuffle_f32x4(x, z, 0xdd);
        a[i + 4] = _mm512_shuffle_f32x4(y, t, 0x88), a[i + 12] = _mm512_shuffle_f32x4(y, t, 0xdd);
    }
}

#include "attention_vec.h"

static const bf_kernel attention_decode_avx512 = {
    .op = "attention", .name = "attention_decode_avx512", .file = "attention_avx512", .target = BF_CPU, .role = BF_TUNED,
    .summary = "one query: parts of the keys, four heads share K and V; memory-bound", .rank = 40, .available = bf_has_avx512,
    .accepts = attention_decode_accepts, .scratch = attention_decode_scratch, .chain = attention_decode_chain, .run = decode_run,
};
BF_REGISTER(attention_decode_avx512);
static const bf_kernel attention_prefill_avx512 = {
    .op = "attention", .name = "attention_prefill_avx512", .file = "attention_avx512", .target = BF_CPU, .role = BF_TUNED,
    .summary = "96 rows x 64 keys, 6 x 64 products in registers; FMA-bound", .rank = 20, .available = bf_has_avx512,
    .accepts = attention_accepts, .chain = attention_prefill_chain, .run = prefill_run,
};
BF_REGISTER(attention_prefill_avx512);
#endif
