/* attention for sm_61, many queries (contract: kernels/common/attention.h; how: kernels/common/attention_gpu_prefill.h).
 *
 * attention_prefill   64 rows x 64 keys a block, online softmax, all of it fp32 FMA. A kernel for d up to 64, 128 and 256.
 *
 * Expected bound: FMA issue. 30 SM x 128 FMA x 1.53 GHz = 11.7 TFLOP/s on a P40, of which 84 % are left by the count below.
 *
 * Static counts (clang 19.1, ptxas 11.8; `make isa`): loop of the scores, 512 FFMA of 606 instructions with fp16 K (84 %; ggml's tile 67 %),
 * 205 registers for d = 128, 168 for 64, 255 for 256. No spills; all global loads of the loops are 128 bit.
 *
 * Compiled, run under simt, not run on a GPU. Only this one: blackframe check attention --kernel attention_prefill */
/* isa: attention_prefill_*_64 unit=product per_trip=512 gate=load128 share=FFMA:70 shared=25872 */
/* isa: attention_prefill_*_128 unit=product per_trip=512 gate=load128 share=FFMA:70 shared=25872 */
/* isa: attention_prefill_*_256 unit=product per_trip=512 gate=load128 share=FFMA:70 shared=25872 */
#include "../common/attention_gpu_prefill.h"

#define PREFILL(T, TYPE, DMAX) \
    BF_KERNEL_FN(attention_prefill_##T##_##DMAX, attention_args, PREFILL_THREADS) { prefill_body<TYPE, DMAX, false>(a); }
#define EACH_D(T, TYPE) PREFILL(T, TYPE, 64) PREFILL(T, TYPE, 128) PREFILL(T, TYPE, 256)
EACH_D(f32, BF_F32)
EACH_D(f16, BF_F16)
EACH_D(bf16, BF_BF16)
BF_KERNEL_FN(attention_prefill_widen_q, attention_args, PREFILL_WIDEN_THREADS) { prefill_widen_q_body(a); }
/* Addresses that are not 16-byte aligned. */
BF_KERNEL_FN(attention_prefill_any, attention_args, 32 * ATTENTION_NAIVE_WARPS) { attention_naive_body<ATTENTION_SOUND>(a); }

#if BF_HOST
#define ROW(T) {BF_STEP_FN(attention_prefill_##T##_64), BF_STEP_FN(attention_prefill_##T##_128), BF_STEP_FN(attention_prefill_##T##_256)}
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
#endif
