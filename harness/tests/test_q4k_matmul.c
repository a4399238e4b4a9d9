/* test_q4k_matmul.c: the judge of the paths with 16-bit operands, and every sound kernel of q4k_matmul on every target it
 * was built for (GPU kernels by simt), on exact-size buffers, so that a sanitizer sees the edge, with odd shapes, all
 * types of x and addresses that are aligned to the element only. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/q4k_matmul.h"
#include "../../kernels/cpu/pool.h"
#include "../../kernels/simt/runtime.h"
#include "../../reference/number.h"
#include "../../reference/q4k_matvec.h"
#include "../case.h"
#include "../compare.h"
#include "../expected.h"

static bf_case_list cases;
static bf_case *c;
static bf_tensor t[BF_MAX_TENSORS];
static void *block[BF_MAX_TENSORS];
static bf_expected *expected;
static bf_verdict v;
static bf_error err;

/* `offset` elements (Q4_K: pairs of bytes) past an aligned address; poisoned outputs; not a byte too many. */
static void begin(const char *line, const char *path, int offset) {
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", err.text);
    c = &cases.item[cases.count - 1];
    cr_assert_eq(c->op->tensors(&c->problem, path, t, &err), 0, "%s", err.text);
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (t[i].role == BF_UNUSED) continue;
        uint64_t skip = (uint64_t)offset * (t[i].type == BF_Q4_K ? 2 : bf_dtype_bytes(t[i].type, 1));
        cr_assert_eq(posix_memalign(&block[i], 256, t[i].bytes + skip), 0);
        memset(block[i], 0xff, t[i].bytes + skip);
        t[i].data = (char *)block[i] + skip;
        c->problem.ptr[i] = t[i].data;
    }
    cr_assert_eq(c->op->fill(c, t, &err), 0, "%s", err.text);
    expected = c->op->expect(c, t, &err);
    cr_assert(expected, "%s", err.text);
}
static void end(void) {
    c->op->release(expected);
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(block[i]), block[i] = NULL;
    memset(t, 0, sizeof t);
    bf_case_list_free(&cases);
}
static bf_status judge(const bf_kernel *k) {
    c->op->judge(c, k, t, expected, &v);
    return v.status;
}
static float *y(void) { return t[Q4K_MATMUL_Y].data; }

/* ---- the judge ---- */
static int64_t short_chain(const bf_problem *p) { return p->dim[Q4K_MATMUL_K] / 32 + 2; }
static const bf_kernel f16 = {.op = "q4k_matmul", .name = "test", .target = BF_CPU, .path = "f16", .chain = short_chain};
static const bf_kernel bf16 = {.op = "q4k_matmul", .name = "test", .target = BF_CPU, .path = "bf16", .chain = short_chain};

/* y with both factors rounded to `type`, in double; `how` towards zero for the weights when 1. */
static void product(bf_dtype type, int truncate) {
    int64_t m = c->problem.dim[Q4K_MATMUL_M], k = c->problem.dim[Q4K_MATMUL_K], n = c->problem.dim[Q4K_MATMUL_N];
    double *one = calloc((size_t)k, sizeof *one), *w = calloc((size_t)(m * k), sizeof *w), *size = malloc(sizeof *size * (size_t)m);
    double *column = malloc(sizeof *column * (size_t)m);
    unsigned char *bad = malloc((size_t)m);
    for (int64_t i = 0; i < k; i++) { /* columns of W by products with unit vectors */
        one[i] = 1;
        cr_assert_eq(bf_ref_q4k_matvec(t[Q4K_MATMUL_W].data, m, k, one, 1, column, size, bad, &err), 0);
        one[i] = 0;
        for (int64_t r = 0; r < m; r++) {
            double exact = column[r], near = bf_ref_decode(type, bf_ref_encode(type, exact));
            if (truncate && fabs(near) > fabs(exact)) near -= copysign(bf_ref_ulp(type, exact), exact);
            w[r * k + i] = near;
        }
    }
    for (int64_t o = 0; o < m * n; o++) {
        double sum = 0;
        for (int64_t i = 0; i < k; i++)
            sum += w[o % m * k + i] * bf_ref_decode(type, bf_ref_encode(type, bf_element_value(&t[Q4K_MATMUL_X], o / m * k + i)));
        y()[o] = (float)sum;
    }
    free(one), free(w), free(size), free(column), free(bad);
}

Test(q4k_matmul, rounding_to_16_bits_passes_and_truncating_does_not) {
    static const char *const lines[] = {"q4k_matmul m=40 k=256 n=11 x=f16 fill=onehot", "q4k_matmul m=40 k=256 n=11 x=bf16 fill=onehot",
                                        "q4k_matmul m=24 k=256 n=9 x=f32 fill=sparse", "q4k_matmul m=24 k=256 n=9 x=f16 fill=sparse",
                                        "q4k_matmul m=9 k=512 n=9 x=f16 fill=gauss", "q4k_matmul m=9 k=512 n=9 x=f32 fill=gauss"};
    for (int i = 0; i < 6; i++) {
        const bf_kernel *k = i % 2 ? &bf16 : &f16;
        begin(lines[i], k->path, 0);
        product(i % 2 ? BF_BF16 : BF_F16, 0);
        cr_assert_eq(judge(k), BF_PASS, "%s %s: %s", lines[i], k->path, v.first[0].why);
        cr_assert(v.worst > 0.02 && v.worst <= 1, "%g", v.worst);
        product(i % 2 ? BF_BF16 : BF_F16, 1);
        if (i < 2) cr_assert_eq(judge(k), BF_FAIL, "%s %s: truncated weights, worst %g", lines[i], k->path, v.worst);
        end();
    }
}

/* bf16 rounds sixteen times as coarsely: its results are not f16's. */
/* Matrix instructions: 3 u an addition, but never more than 4 u a product that is not zero. */
static int64_t declared;
static int64_t declare(const bf_problem *p) {
    (void)p;
    return declared;
}
Test(q4k_matmul, additions_on_a_grid_follow_the_chain_up_to_a_cap) {
    static const bf_kernel grid = {.op = "q4k_matmul", .name = "test", .target = BF_HIP, .path = "f16", .chain = declare};
    static const int64_t chains[] = {10, 20, 100000, 200000};
    double bound[4];
    begin("q4k_matmul m=3 k=256 n=1", "f16", 0);
    for (int i = 0; i < 4; i++) {
        bf_dump d;
        declared = chains[i];
        cr_assert_eq(bf_op_dump(c, &grid, t, expected, Q4K_MATMUL_Y, &d, &err), 0, "%s", err.text);
        bound[i] = d.bound[1];
        free(d.ref), free(d.bound);
    }
    cr_assert(bound[0] < bound[1] && bound[1] < bound[2] && bound[2] == bound[3], "%g %g %g %g", bound[0], bound[1], bound[2], bound[3]);
    end();
}

Test(q4k_matmul, bf16_results_fail_on_the_f16_path) {
    begin("q4k_matmul m=24 k=256 n=9 x=f32 fill=sparse", "f16", 0);
    product(BF_BF16, 0);
    cr_assert_eq(judge(&f16), BF_FAIL);
    end();
}

/* |w| or |x| beyond 65,504: those outputs may be anything, their neighbours may not. */
Test(q4k_matmul, what_leaves_fp16_is_not_judged_and_nothing_else) {
    begin("q4k_matmul m=6 k=256 n=3 x=f32 fill=gauss", "f16", 0);
    c->op->release(expected);
    ((float *)t[Q4K_MATMUL_X].data)[256 + 7] = 70000;         /* column 1 */
    memcpy((char *)t[Q4K_MATMUL_W].data + 4 * 144, (uint16_t[]){0x7bff}, 2); /* row 4: weights to 65504 * 63 * 15 */
    expected = c->op->expect(c, t, &err);
    bf_dump d;
    cr_assert_eq(bf_op_dump(c, &f16, t, expected, Q4K_MATMUL_Y, &d, &err), 0);
    for (int64_t i = 0; i < d.count; i++) {
        cr_assert_eq(isinf(d.bound[i]) != 0, i / 6 == 1 || i % 6 == 4, "output %ld", (long)i);
        y()[i] = (float)d.ref[i];
    }
    free(d.ref), free(d.bound);
    y()[6] = INFINITY, y()[7] = NAN, y()[8] = 3, y()[4] = -INFINITY;
    cr_assert_eq(judge(&f16), BF_PASS, "%s", v.first[0].why);
    y()[3] = INFINITY;
    cr_assert_eq(judge(&f16), BF_FAIL);
    cr_assert_eq(v.mismatched, 1);
    end();
}

/* Products too large for the block form of the int8 reference are summed by dgemm; both say the same. */
Test(q4k_matmul, both_int8_references_agree) {
    enum { M = 260, K = 4096, N = 65 }; /* 69 million terms */
    static const bf_kernel int8 = {.op = "q4k_matmul", .name = "test", .target = BF_CPU, .path = "int8", .chain = short_chain};
    begin("q4k_matmul m=260 k=4096 n=65 x=bf16 fill=outlier", "int8", 0);
    int8_t *q = t[Q4K_MATMUL_XQ].data;
    float *d = t[Q4K_MATMUL_XD].data;
    for (int64_t i = 0; i < N * K; i++) q[i] = (int8_t)(i * 37 % 255 - 127);
    for (int64_t i = 0; i < N * K / 32; i++) d[i] = (float)(1 + i % 19) * 0x1p-9f;
    bf_dump big;
    cr_assert_eq(bf_op_dump(c, &int8, t, expected, Q4K_MATMUL_Y, &big, &err), 0);
    double *want = malloc(sizeof(double) * M * N * 2);
    unsigned char skip[N] = {0};
    bf_ref_q4k_matvec_int8(t[Q4K_MATMUL_W].data, M, K, q, d, N, skip, want, want + M * N);
    for (int64_t i = 0; i < M * N; i++)
        cr_assert(fabs(want[i] - big.ref[i]) <= 1e-11 * want[M * N + i], "output %ld: %.17g and %.17g", (long)i, want[i], big.ref[i]);
    free(want), free(big.ref), free(big.bound);
    end();
}

/* ---- the kernels ---- */
static bf_pool *pool;
static void run(const bf_kernel *k) {
    bf_step steps[BF_MAX_STEPS];
    char why[512] = "";
    uint64_t room = k->scratch ? k->scratch(&c->problem) : 0;
    c->problem.scratch = NULL;
    if (room) cr_assert_eq(posix_memalign(&c->problem.scratch, 256, room), 0);
    if (room) memset(c->problem.scratch, 0xff, room);
    if (k->target == BF_CPU) {
        k->run(&c->problem, pool);
    } else {
        int n = k->plan(&c->problem, steps);
        for (int i = 0; i < n; i++)
            cr_assert_eq(bf_simt_run(k->target, &steps[i], why, sizeof why), 0, "%s: %s", k->name, why);
    }
    free(c->problem.scratch);
}
static int usable(const bf_kernel *k) {
    return !strcmp(k->op, "q4k_matmul") && k->role != BF_TWIN && (!k->available || k->available());
}

Test(q4k_matmul, kernels_stay_within_bounds_and_buffers, .timeout = 300) {
    static const char *const lines[] = {
        "q4k_matmul m=1 k=256 n=1 x=f32 fill=gauss",       "q4k_matmul m=35 k=512 n=9 x=bf16 fill=outlier",
        "q4k_matmul m=130 k=256 n=33 x=f16 fill=heavy",    "q4k_matmul m=129 k=768 n=66 x=f32 fill=uniform",
        "q4k_matmul m=17 k=1280 n=129 x=bf16 fill=gauss",  "q4k_matmul m=31 k=256 n=12 x=f32 fill=integer",
        "q4k_matmul m=16 k=512 n=12 x=f32 fill=edge seed=1", "q4k_matmul m=16 k=512 n=7 x=f16 fill=edge seed=2"};
    int kernels = 0;
    pool = bf_pool_new(2);
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (!usable(k)) continue;
        kernels++;
        for (size_t l = 0; l < 2 * sizeof lines / sizeof *lines; l++) {
            begin(lines[l / 2], k->path, l % 2);
            cr_assert(k->accepts(&c->problem), "%s refuses %s", k->name, lines[l / 2]);
            run(k);
            cr_assert_eq(judge(k), BF_PASS, "%s, target %d, offset %d, %s: %s at %ld: %.9g, want %.9g +- %.3g", k->name, (int)k->target,
                         (int)(l % 2), lines[l / 2], v.first[0].why, (long)v.first[0].index, v.first[0].got, v.first[0].want,
                         v.first[0].bound);
            end();
        }
    }
    bf_pool_free(pool);
    cr_assert(kernels >= 4);
}

/* A judge that passes everything would pass the test above: one wrong output of each kind is found. */
Test(q4k_matmul, the_judge_sees_one_wrong_output) {
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (!usable(k) || k->target != BF_CPU || k->role != BF_NAIVE) continue;
        begin("q4k_matmul m=20 k=256 n=17 x=f32 fill=gauss witness=scale-1.02", k->path, 0);
        run(k);
        cr_assert_eq(judge(k), BF_PASS);
        static const float wrong[] = {NAN, INFINITY, 1e30f, 0};
        for (int w = 0; w < 4; w++) {
            int64_t at = 20 * 16 + 19;
            float was = y()[at];
            y()[at] = wrong[w];
            cr_assert_eq(judge(k), BF_FAIL, "%s: %g for %g", k->name, wrong[w], was);
            cr_assert_eq(v.mismatched, 1);
            cr_assert_eq(v.first[0].index, at);
            y()[at] = was;
        }
        end();
    }
}
