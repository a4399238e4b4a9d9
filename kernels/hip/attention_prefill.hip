/* attention for gfx1151, many queries (contract: kernels/common/attention.h; how: kernels/common/attention_gpu_prefill.h).
 *
 * attention_prefill   64 rows x 64 keys a block, online softmax, all of it fp32 FMA. A kernel for d up to 64 and for 128; beyond, two blocks share d.
 * attention_wmma      the same, q . k by v_wmma_f32_16x16x16 with fp32 sums where q and K have the same 16-bit type
 *                     (attention_wmma.h). P stays fp32, so P.V is fp32 FMA: split into the three 16-bit parts that hold it, it
 *                     would cost three matrix steps, which is no faster than the dual-issued v_dual_fmac.
 *
 * Expected bound: FMA issue of P.V, 40 CUs x 128 FMA x 2.9 GHz = 29.7 TFLOP/s where all pairs dual-issue; q . k by WMMA twice that.
 *
 * Static counts (clang 19.1, gfx1151; `make isa`): loop of the scores, fp16 K, 0.56 VALU a multiply-add (v_dual_fmac_f32), 233 VGPRs for
 * d = 128, 188 for 64; wmma: 8 matrix steps of 27 VALU, 240 and 208 VGPRs. No spills, here and on gfx1100; global loads 128 bit.
 *
 * Compiled, run under simt, not run on a GPU. Only this one: blackframe check attention --kernel attention_prefill */
/* isa: attention_prefill_*_64 unit=product per_trip=512 gate=load128 share=v_dual_fmac:80 shared=25872 */
/* isa: attention_prefill_*_128 unit=product per_trip=512 gate=load128 share=v_dual_fmac:80 shared=25872 */
/* isa: attention_wmma_*_64 unit=product per_trip=1024 gate=wmma,load128 shared=25872 */
/* isa: attention_wmma_*_128 unit=product per_trip=1024 gate=wmma,load128 shared=25872 */
#include "attention_wmma.h"

#define PREFILL(T, TYPE, DMAX) \
    BF_KERNEL_FN(attention_prefill_##T##_##DMAX, attention_args, PREFILL_THREADS) { prefill_body<TYPE, DMAX, false>(a); }
#define EACH_D(T, TYPE) PREFILL(T, TYPE, 64) PREFILL(T, TYPE, 128)
EACH_D(f32, BF_F32)
EACH_D(f16, BF_F16)
EACH_D(bf16, BF_BF16)
#define WMMA(T, TYPE, DMAX) \
    BF_KERNEL_FN(attention_wmma_##T##_##DMAX, attention_args, PREFILL_THREADS) { prefill_body<TYPE, DMAX, true>(a); }
#define WMMA_EACH_D(T, TYPE) WMMA(T, TYPE, 64) WMMA(T, TYPE, 128)
WMMA_EACH_D(f16, BF_F16)
WMMA_EACH_D(bf16, BF_BF16)
BF_KERNEL_FN(attention_prefill_widen_q, attention_args, PREFILL_WIDEN_THREADS) { prefill_widen_q_body(a); }
/* Addresses that are not 16-byte aligned. */
BF_KERNEL_FN(attention_prefill_any, attention_args, 32 * ATTENTION_NAIVE_WARPS) { attention_naive_body<ATTENTION_SOUND>(a); }

#if BF_HOST
#define ROW(T) {BF_STEP_FN(attention_prefill_##T##_64), BF_STEP_FN(attention_prefill_##T##_128), {}}
static const bf_step_fn<attention_args> prefill_fn[3][3] = {ROW(f32), ROW(f16), ROW(bf16)};
static int plan(const bf_problem *p, bf_step *s) {
    bf_dtype kv = p->type[ATTENTION_K];
    return prefill_plan(p, s, prefill_fn[kv == BF_F32 ? 0 : kv == BF_F16 ? 1 : 2], BF_STEP_FN(attention_prefill_widen_q),
                        BF_STEP_FN(attention_prefill_any));
}
static const bf_kernel prefill = {
    .op = "attention", .name = "attention_prefill", .file = "attention_prefill", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .summary = "64 rows x 64 keys a block, online softmax; FMA-bound", .rank = 10,
    .accepts = prefill_accepts, .scratch = prefill_scratch, .chain = prefill_chain, .plan = plan,
};
BF_REGISTER(prefill);

#define WMMA_ROW(T) {BF_STEP_FN(attention_wmma_##T##_64), BF_STEP_FN(attention_wmma_##T##_128), {}}
static const bf_step_fn<attention_args> wmma_fn[2][3] = {WMMA_ROW(f16), WMMA_ROW(bf16)};
static int wmma_plan(const bf_problem *p, bf_step *s) {
    return attention_wmma_plan(p, s, wmma_fn[p->type[ATTENTION_K] == BF_F16 ? 0 : 1], BF_STEP_FN(attention_prefill_any));
}
static const bf_kernel wmma = {
    .op = "attention", .name = "attention_wmma", .file = "attention_prefill", .target = BF_STEP_TARGET, .role = BF_TUNED,
    .path = "wmma",
    .summary = "64 rows x 64 keys a block, q . k by WMMA, P.V by fp32 FMA; FMA-bound", .rank = 15,
    .accepts = attention_wmma_accepts, .chain = prefill_chain, .plan = wmma_plan,
};
BF_REGISTER(wmma);
#endif
