/* Twins of q4k_matvec, both paths: the plain kernel with one defect each. A witness case must catch every one. */
#include "../cuda/launch.h"
#include "../cuda/q4k_matvec_naive.h"

constexpr int THREADS = 128;

BF_KERNEL_FN(matvec_twin_acc_fp16, matvec_args, THREADS) { matvec_fp32_body<MATVEC_ACC_FP16>(a); }
BF_KERNEL_FN(matvec_twin_acc_bf16, matvec_args, THREADS) { matvec_fp32_body<MATVEC_ACC_BF16>(a); }
BF_KERNEL_FN(matvec_twin_x_fp16, matvec_args, THREADS) { matvec_fp32_body<MATVEC_X_FP16>(a); }
BF_KERNEL_FN(matvec_twin_x_bf16, matvec_args, THREADS) { matvec_fp32_body<MATVEC_X_BF16>(a); }
BF_KERNEL_FN(matvec_twin_x_tf32, matvec_args, THREADS) { matvec_fp32_body<MATVEC_X_TF32>(a); }
BF_KERNEL_FN(matvec_twin_dsc_fp16, matvec_args, THREADS) { matvec_fp32_body<MATVEC_DSC_FP16>(a); }
BF_KERNEL_FN(matvec_twin_partial_fp16, matvec_args, THREADS) { matvec_fp32_body<MATVEC_PARTIAL_FP16>(a); }
BF_KERNEL_FN(matvec_twin_drop_block, matvec_args, THREADS) { matvec_fp32_body<MATVEC_DROP_BLOCK>(a); }
BF_KERNEL_FN(matvec_twin_scale_102, matvec_args, THREADS) { matvec_fp32_body<MATVEC_SCALE_102>(a); }

BF_KERNEL_FN(quantise_twin_sound, matvec_args, THREADS) { matvec_quantise_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(quantise_twin_trunc, matvec_args, THREADS) { matvec_quantise_body<MATVEC_TRUNC_QUANT>(a); }
BF_KERNEL_FN(matvec_int8_twin_sound, matvec_args, THREADS) { matvec_int8_body<MATVEC_SOUND>(a); }
BF_KERNEL_FN(matvec_int8_twin_acc_fp16, matvec_args, THREADS) { matvec_int8_body<MATVEC_ACC_FP16>(a); }
BF_KERNEL_FN(matvec_int8_twin_dsc_fp16, matvec_args, THREADS) { matvec_int8_body<MATVEC_DSC_FP16>(a); }
BF_KERNEL_FN(matvec_int8_twin_partial_fp16, matvec_args, THREADS) { matvec_int8_body<MATVEC_PARTIAL_FP16>(a); }
BF_KERNEL_FN(matvec_int8_twin_sum_fp16, matvec_args, THREADS) { matvec_int8_body<MATVEC_SUM_FP16>(a); }
BF_KERNEL_FN(matvec_int8_twin_drop_block, matvec_args, THREADS) { matvec_int8_body<MATVEC_DROP_BLOCK>(a); }
BF_KERNEL_FN(matvec_int8_twin_scale_102, matvec_args, THREADS) { matvec_int8_body<MATVEC_SCALE_102>(a); }

#if BF_HOST
static int plan_fp32(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> product) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], product, launch_blocks((int64_t)a.m * a.n, THREADS), 1, THREADS, 1, 0, a);
    return 1;
}
static int plan_int8(const bf_problem *p, bf_step *s, bf_step_fn<matvec_args> quantise, bf_step_fn<matvec_args> product) {
    matvec_args a = matvec_make_args(p);
    bf_step_set(&s[0], quantise, launch_blocks((int64_t)a.n * a.k / 32, THREADS), 1, THREADS, 1, 0, a);
    bf_step_set(&s[1], product, launch_blocks((int64_t)a.m * a.n, THREADS), 1, THREADS, 1, 0, a);
    return 2;
}
typedef int plan_fn(const bf_problem *, bf_step *);
static constexpr bf_kernel twin(const char *path, const char *name, const char *defect, const char *summary, plan_fn *plan) {
    return {.op = "q4k_matvec", .name = name, .file = "broken_q4k_matvec", .target = BF_STEP_TARGET, .role = BF_TWIN,
            .path = path, .twin = defect, .summary = summary, .accepts = matvec_accepts,
            .chain = path[0] == 'f' ? matvec_fp32_naive_chain : matvec_int8_naive_chain, .plan = plan};
}

#define FP32_TWIN(id, defect, summary)                                                                        \
    static constexpr bf_kernel fp32_##id = twin(                                                                  \
        "fp32", "q4k_matvec_twin_" defect, defect, summary,                                                   \
        [](const bf_problem *p, bf_step *s) { return plan_fp32(p, s, BF_STEP_FN(matvec_twin_##id)); });       \
    BF_REGISTER(fp32_##id)
#define INT8_TWIN(id, defect, quantise, product, summary)                                                     \
    static constexpr bf_kernel int8_##id =                                                                        \
        twin("int8", "q4k_matvec_int8_twin_" defect, defect, summary, [](const bf_problem *p, bf_step *s) {   \
            return plan_int8(p, s, BF_STEP_FN(quantise), BF_STEP_FN(product));                                \
        });                                                                                                   \
    BF_REGISTER(int8_##id)

FP32_TWIN(acc_fp16, "acc-fp16", "every partial sum rounded to fp16");
FP32_TWIN(acc_bf16, "acc-bf16", "every partial sum rounded to bf16");
FP32_TWIN(x_fp16, "x-fp16", "x rounded to fp16");
FP32_TWIN(x_bf16, "x-bf16", "x rounded to bf16");
FP32_TWIN(x_tf32, "x-tf32", "x rounded to tf32's 11 significand bits");
FP32_TWIN(dsc_fp16, "dsc-fp16", "d*sc rounded to fp16");
FP32_TWIN(partial_fp16, "partial-fp16", "sums of 32-blocks stored in fp16");
FP32_TWIN(drop_block, "drop-block", "the middle 32-block of every row skipped");
FP32_TWIN(scale_102, "scale-1.02", "results times 1.02");

INT8_TWIN(trunc, "trunc-quant", quantise_twin_trunc, matvec_int8_twin_sound, "q truncated instead of rounded");
INT8_TWIN(acc_fp16, "acc-fp16", quantise_twin_sound, matvec_int8_twin_acc_fp16, "chain over the blocks in fp16");
INT8_TWIN(dsc_fp16, "dsc-fp16", quantise_twin_sound, matvec_int8_twin_dsc_fp16, "d*sc rounded to fp16");
INT8_TWIN(partial_fp16, "partial-fp16", quantise_twin_sound, matvec_int8_twin_partial_fp16,
          "shares of 32-blocks stored in fp16");
INT8_TWIN(sum_fp16, "sum-fp16", quantise_twin_sound, matvec_int8_twin_sum_fp16,
          "block sum d*s held in fp16: overflows when |mean of 32 x| passes 2,047");
INT8_TWIN(drop_block, "drop-block", quantise_twin_sound, matvec_int8_twin_drop_block,
          "the middle 32-block of every row skipped");
INT8_TWIN(scale_102, "scale-1.02", quantise_twin_sound, matvec_int8_twin_scale_102, "results times 1.02");
#endif
