/* public_product.c: failures of products, of dispatch and of launches that others met in public. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/fail.h"
#include "../../kernels/common/linear.h"
#include "../../kernels/common/q4k_matmul.h"
#include "failures.h"

/* ---- B1: the block sum of quantised activations ---- */

static int b1(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { M = 8, K = 512, N = 8 };
    static const float mean[N] = {1000, -1500, 2000, 2047, 2048, -2100, 4096, 60000};
    bf_job_run j;
    int agree = 0;
    snprintf(r->input, sizeof r->input,
             "q4k_matvec m=%d k=%d n=%d, path int8; columns of constant x from 1,000 to 60,000", M, K, N);
    int rc = bf_lab_open(&j, err, "q4k_matvec m=%d k=%d n=%d x=f32", M, K, N);
    for (int64_t i = 0; !rc && i < N * K; i++) bf_lab_put(&j.t[Q4K_MATVEC_X], i, mean[i / K]);
    if (!rc) rc = bf_lab_pair(lab, &j, e, Q4K_MATVEC_Y, r, err);
    if (!rc) bf_fail_row(r, 3, "#mean of the block", "32 x mean", "outputs not finite");
    for (int c = 0; !rc && c < N; c++) {
        int bad = 0;
        for (int i = 0; i < M; i++) bad += !isfinite(bf_lab_get(&j.t[Q4K_MATVEC_Y], c * M + i));
        agree += bad == (fabsf(32 * mean[c]) >= 65520 ? M : 0);
        bf_fail_row(r, 3, bf_fail_text("%g", (double)mean[c]), bf_fail_text("%g", 32 * (double)mean[c]),
                    bf_fail_text("%d of %d", bad, M));
    }
    if (!rc) {
        bf_fail_require(r, agree == N, "%d of %d columns behave as predicted", agree, N);
        bf_fail_require(r, !r->sound.inf && !r->sound.nan, "the sound kernel is not finite");
        snprintf(r->seen, sizeof r->seen,
                 "inf or NaN in exactly the columns whose 32 values have a mean beyond 2,047");
    }
    bf_lab_close(&j);
    return rc;
}
const bf_fail_entry bf_fail_b1 = {
    "B1",
    "q8_1-sum-overflow",
    BF_FAIL_NUMERIC,
    "The sum of a block of 32 quantised activations is kept in fp16 beside it: it overflows when the block's mean "
    "passes 2,047.",
    "llama.cpp#21652, #22571 (on the GPU only, CPU clean)",
    "exact integer block sums (q4k_matvec, path int8)",
    {"q4k_matvec_int8_twin_sum-fp16", BF_NONE, 0},
    {"q4k_matvec_int8_naive", BF_NONE, 0},
    b1,
};

/* ---- B2: results change with the batch ---- */

/* Columns 1 to n, of which the first is always the same; n > 8 goes to the way's kernel. */
static int batch(const bf_lab *lab, int n, const char *kernel, bf_fail_side *side, bf_error *err) {
    enum { M = 16, K = 256 };
    bf_job_run j;
    int rc = bf_lab_open(&j, err, "q4k_matmul m=%d k=%d n=%d x=f32 scale=2^16", M, K, n);
    if (!rc) rc = bf_lab_run(lab, &j, "q4k_matmul", n > 8 ? kernel : "q4k_matmul_fp32_naive", err);
    if (!rc) bf_lab_census(side, &j.t[Q4K_MATMUL_Y], 0, M, NULL), bf_lab_name(side, &j, ", first column at n=%d", n);
    bf_lab_close(&j);
    return rc;
}
static int b2(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    static const int n[] = {1, 8, 9, 63, 64};
    int agree = 0;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "q4k_matmul m=16 k=256, the same first column of activations near 2^16 at n = 1, 8, 9, 63, 64; from n = "
             "9 on another path");
    bf_fail_row(r, 3, "#n", "first column not finite", "sound");
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        memset(&r->broken, 0, sizeof r->broken), memset(&r->sound, 0, sizeof r->sound);
        if (batch(lab, n[i], e->broken.kernel, &r->broken, err) || batch(lab, n[i], e->sound.kernel, &r->sound, err))
            return -1;
        int64_t bad = r->broken.inf + r->broken.nan;
        agree += n[i] > 8 ? bad > 0 : !bad;
        bf_fail_require(r, !r->sound.inf && !r->sound.nan, "n=%d: the sound path is not finite", n[i]);
        bf_fail_row(r, 3, bf_fail_text("%d", n[i]), bf_fail_text("%lld of 16", (long long)bad), "0 of 16");
    }
    bf_fail_require(r, agree == sizeof n / sizeof *n, "%d of %zu batches behave as predicted", agree,
                    sizeof n / sizeof *n);
    snprintf(
        r->seen, sizeof r->seen,
        "the same column is finite at n = 8 and infinite at n = 9: the path for batches rounds activations to fp16");
    return 0;
}
const bf_fail_entry bf_fail_b2 = {
    "B2",
    "dispatch-boundary",
    BF_FAIL_NUMERIC,
    "From a batch of 9 (or 64) on another kernel runs, which rounds to fp16: the same prompt fails in a batch and "
    "not alone.",
    "llama.cpp#27016, #13101",
    "a path whose range is that of its input (paths fp32 and int8), at every n",
    {"q4k_matmul_f16_naive", BF_NONE, 0},
    {"q4k_matmul_fp32_naive", BF_NONE, 0},
    b2,
};

/* ---- B3: the host launches other than the code was built for ---- */

static int b3(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    enum { N = 1024 };
    const bf_fail_way *way[2] = {&e->broken, &e->sound};
    bf_fail_side *side[2] = {&r->broken, &r->sound};
    double y[2] = {0, 0};
    int rc = 0;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "the sum of %d ones, %d partial sums in the code, launched with %d warps (cpu: partial sums in scratch "
             "memory)",
             N, FAIL_REDUCE_WARPS, e->broken.number);
    for (int w = 0; w < 2 && !rc; w++) {
        bf_job_run j = {.p = {.dim = {[FAIL_N] = N}, .param = {[FAIL_REDUCE_LAUNCHED] = way[w]->number}}};
        rc = bf_lab_tensor(&j, FAIL_REDUCE_X, "x", BF_INPUT, BF_F32, N, err) ||
             bf_lab_tensor(&j, FAIL_REDUCE_Y, "y", BF_OUTPUT, BF_F32, 1, err);
        for (int i = 0; !rc && i < N; i++) bf_lab_put(&j.t[FAIL_REDUCE_X], i, 1);
        if (!rc) rc = bf_lab_run(lab, &j, "fail_reduce", way[w]->kernel, err);
        if (!rc) {
            y[w] = bf_lab_get(&j.t[FAIL_REDUCE_Y], 0);
            bf_lab_census(side[w], &j.t[FAIL_REDUCE_Y], 0, 1, NULL);
            bf_lab_name(side[w], &j, ", %d warps launched", way[w]->number);
            if (y[w] != N) side[w]->wrong = isfinite(y[w]), bf_lab_first(side[w], &j.t[FAIL_REDUCE_Y], 0, N);
        }
        bf_lab_close(&j);
    }
    bf_fail_require(r, rc || y[0] != N, "the sum is right: unwritten memory held nothing");
    bf_fail_require(r, rc || y[1] == N, "the sound sum is %g", y[1]);
    snprintf(r->seen, sizeof r->seen, "partial sums that no warp wrote are added: %g in place of %d", y[0], N);
    return rc;
}
const bf_fail_entry bf_fail_b3 = {
    "B3",
    "launch-disagreement",
    BF_FAIL_NUMERIC,
    "The host launches fewer warps than the code was built for, and memory that no warp wrote is added.",
    "llama.cpp#25620",
    "launch constants and device code in one file (every kernel here); simt poisons shared memory, runs are repeated",
    {NULL, BF_NONE, 4},
    {NULL, BF_NONE, FAIL_REDUCE_WARPS},
    b3,
};

/* ---- what needs hardware: the kernels of this build where such hardware is found ---- */

static int on_hardware(const bf_lab *lab, const char *line, const char *kernel, const char *what, bf_fail_result *r,
                       bf_error *err) {
    bf_job_run j;
    bf_fail_side s = {.nan = 0};
    snprintf(r->input, sizeof r->input, "%s", line);
    int rc = bf_lab_open(&j, err, "%s", line);
    if (!rc) rc = bf_lab_expect(lab, &j, err) || bf_lab_run(lab, &j, "linear", kernel, err);
    if (!rc) {
        double bias = 0, size = 0;
        int pass = bf_lab_judge(&j, &s);
        bf_lab_census(&s, &j.t[LINEAR_Y], 0, j.ref[LINEAR_Y].count, NULL);
        for (int64_t i = 0; i < j.ref[LINEAR_Y].count; i++) {
            double d = bf_lab_get(&j.t[LINEAR_Y], i) - j.ref[LINEAR_Y].ref[i];
            bias += d * (j.ref[LINEAR_Y].ref[i] < 0 ? -1 : 1), size += fabs(d);
        }
        snprintf(r->seen, sizeof r->seen,
                 "%s, %s: %.60s; %lld of %lld zero; mean error away from zero %.2g of the mean error", what,
                 j.kernel->name, s.judged, (long long)s.zero, (long long)s.values, size > 0 ? bias / size : 0);
        bf_fail_require(r, pass, "%s: %s", j.kernel->name, s.judged);
    }
    bf_lab_close(&j);
    return rc;
}

static int b13(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)e;
    if (!lab->backend->gpu)
        return bf_fail_skip(r, "a GPU: the thread is about a vendor's product with more than 2^19 rows"), 0;
    return on_hardware(lab, "linear m=524352 k=32 w=bf16", NULL, "524,352 rows", r, err);
}
const bf_fail_entry bf_fail_b13 = {
    "B13",
    "rows-beyond-2^19",
    BF_FAIL_MEASUREMENT,
    "A product with more than 2^19 rows is silently wrong, 93 % of it zero.",
    "rocm-libraries#5706",
    "check at the size in use; MISTRUSTED names results that are mostly zero",
    {NULL, BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b13,
};

static int b14(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)e;
    if (!lab->backend->gpu || lab->backend->target != BF_HIP)
        return bf_fail_skip(r, "an AMD GPU with bf16 dot or matrix instructions (gfx11)"), 0;
    return on_hardware(lab, "linear m=64 k=1024 n=16 w=bf16 x=bf16", "linear_wmma", "bf16 matrix instructions", r,
                       err);
}
const bf_fail_entry bf_fail_b14 = {
    "B14",
    "truncating-bf16-dot",
    BF_FAIL_MEASUREMENT,
    "bf16 dot instructions that truncate instead of rounding pull every result towards zero.",
    "triton#11227",
    "look at the sign of the error, not its size alone",
    {NULL, BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b14,
};

static int b18(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    (void)e;
    if (!lab->backend->gpu || lab->backend->target != BF_HIP)
        return bf_fail_skip(r, "an AMD GPU of RDNA 3 or 3.5 (gfx11)"), 0;
    return on_hardware(lab, "linear m=64 k=1024 n=16 w=f16 x=f16 wscale=1 fill=integer", "linear_wmma",
                       "small integers through WMMA", r, err);
}
const bf_fail_entry bf_fail_b18 = {
    "B18",
    "small-integer-exactness",
    BF_FAIL_MEASUREMENT,
    "dot2 and WMMA of RDNA 3 may be inexact even for small integers.",
    "rocm-systems#12056",
    "exact-match checks only on fp32 FMA and int8 paths",
    {NULL, BF_NONE, 0},
    {NULL, BF_NONE, 0},
    b18,
};
