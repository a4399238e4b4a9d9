/* attention for gfx1151, one query (contract: kernels/common/attention.h; how: kernels/common/attention_gpu_decode.h).
 *
 * attention_decode   two launches: the key range split over blocks, then the parts put together. LPK lanes share a key (8, 16 or 32
 *                    for d up to 64, 128, 256), G = 1, 4 or 8 query heads of a group share what was read and widened.
 *
 * Expected bound: memory. 40 CUs issue 28 lane-instructions a byte at 212 GB/s and 2.3 GHz (no dual issue).
 *
 * Static counts (clang 19.1; `make isa`): loop over K, VALU an element of K in a lane, that is for 1, 4 or 8 heads, and
 * VGPRs, fp16 and d = 128: 2.3 (60), 6.1 (119), 11.3 (186). fp16 is widened inside v_fma_mix_f32, at no cost. No spills.
 *
 * Compiled, run under simt, not run on a GPU. Only this one: blackframe check attention --kernel attention_decode */
/* isa: attention_decode_*_l8_g1 unit=element per_trip=32 gate=load128 max=5.0 shared=1056 */
/* isa: attention_decode_*_l8_g4 unit=element per_trip=32 gate=load128 max=9.5 shared=4224 */
/* isa: attention_decode_*_l8_g8 unit=element per_trip=16 gate=load128 max=15.5 shared=8448 */
/* isa: attention_decode_*_l16_g1 unit=element per_trip=32 gate=load128 max=5.0 shared=2080 */
/* isa: attention_decode_*_l16_g4 unit=element per_trip=32 gate=load128 max=9.5 shared=8320 */
/* isa: attention_decode_*_l16_g8 unit=element per_trip=16 gate=load128 max=15.5 shared=16640 */
/* isa: attention_decode_*_l32_g1 unit=element per_trip=32 gate=load128 max=5.0 shared=4128 */
/* isa: attention_decode_*_l32_g4 unit=element per_trip=32 gate=load128 max=9.5 shared=16512 */
/* isa: attention_decode_*_l32_g8 unit=element per_trip=16 gate=load128 max=15.5 shared=33024 */
#include "../common/attention_gpu_decode.h"
#include "../common/attention_gpu_naive.h"

#define DECODE(NAME, LPK, G, TYPE) \
    BF_KERNEL_FN(attention_decode_##NAME, attention_args, 32 * DECODE_WARPS) { decode_body<LPK, G, TYPE>(a); }
#define EACH_G(TYPE, T) \
    DECODE(T##_l8_g1, 8, 1, TYPE) DECODE(T##_l8_g4, 8, 4, TYPE) DECODE(T##_l8_g8, 8, 8, TYPE) \
    DECODE(T##_l16_g1, 16, 1, TYPE) DECODE(T##_l16_g4, 16, 4, TYPE) DECODE(T##_l16_g8, 16, 8, TYPE) \
    DECODE(T##_l32_g1, 32, 1, TYPE) DECODE(T##_l32_g4, 32, 4, TYPE) DECODE(T##_l32_g8, 32, 8, TYPE)
EACH_G(BF_F32, f32)
EACH_G(BF_F16, f16)
EACH_G(BF_BF16, bf16)
BF_KERNEL_FN(attention_decode_combine, attention_args, 128) { decode_combine_body(a); }
/* Addresses that are not 16-byte aligned. */
BF_KERNEL_FN(attention_decode_any, attention_args, 32 * ATTENTION_NAIVE_WARPS) { attention_naive_body<ATTENTION_SOUND>(a); }

#if BF_HOST
constexpr int64_t BLOCKS = 160; /* 40 CUs, 4 blocks each */
#define ROW(T)                                                                                                               \
    {{BF_STEP_FN(attention_decode_##T##_l8_g1), BF_STEP_FN(attention_decode_##T##_l8_g4), BF_STEP_FN(attention_decode_##T##_l8_g8)},       \
     {BF_STEP_FN(attention_decode_##T##_l16_g1), BF_STEP_FN(attention_decode_##T##_l16_g4), BF_STEP_FN(attention_decode_##T##_l16_g8)},    \
     {BF_STEP_FN(attention_decode_##T##_l32_g1), BF_STEP_FN(attention_decode_##T##_l32_g4), BF_STEP_FN(attention_decode_##T##_l32_g8)}}
static const bf_step_fn<attention_args> decode_fn[3][3][3] = {ROW(f32), ROW(f16), ROW(bf16)};

static int decode_plan(const bf_problem *p, bf_step *s) {
    attention_args a = attention_arguments(p);
    if (!decode_aligned(a)) return attention_naive_plan(p, s, BF_STEP_FN(attention_decode_any));
    decode_split(a, BLOCKS);
    int lpk = decode_lpk(a), g = decode_g(a), type = a.kv_type == BF_F32 ? 0 : a.kv_type == BF_F16 ? 1 : 2;
    bf_step_set(&s[0], decode_fn[type][lpk == 8 ? 0 : lpk == 16 ? 1 : 2][g == 1 ? 0 : g == 4 ? 1 : 2], a.splits,
                (int64_t)(a.heads / a.group) * decode_chunks(a), 32 * DECODE_WARPS, 1, 4 * decode_floats(lpk, g), a);
    bf_step_set(&s[1], BF_STEP_FN(attention_decode_combine), a.heads, 1, DECODE_COMBINE_THREADS, 1, 0, a);
    return 2;
}
static int64_t chain(const bf_problem *p) { return decode_chain(p, BLOCKS); }
static const bf_kernel decode = {
    .op = "attention", .name = "attention_decode", .file = "attention_decode", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "one query: keys split over blocks, heads of a group share K and V; memory-bound", .rank = 20,
    .accepts = decode_accepts, .scratch = decode_scratch, .chain = chain, .plan = decode_plan,
};
BF_REGISTER(decode);
#endif
