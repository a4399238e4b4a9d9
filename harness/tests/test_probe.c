/* The summation-order probe on plain kernels whose trees are known. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/q4k_matvec.h"
#include "../../reference/q4_k.h"
#include "../probe.h"

static void *host_alloc(bf_context *x, uint64_t n, bf_error *e) {
    (void)x, (void)e;
    return calloc(1, n + 1);
}
static void host_free(bf_context *x, void *p) {
    (void)x;
    free(p);
}
static int host_copy(bf_context *x, void *to, const void *from, uint64_t n, bf_error *e) {
    (void)x, (void)e;
    memcpy(to, from, n);
    return 0;
}
static int host_run(bf_context *x, const bf_kernel *k, const bf_problem *p, bf_error *e) {
    (void)x, (void)e;
    k->run(p, NULL);
    return 0;
}
static const bf_backend host = {.name = "host",
                                .target = BF_CPU,
                                .alloc = host_alloc,
                                .free = host_free,
                                .upload = host_copy,
                                .download = host_copy,
                                .run = host_run};

static float sequential(const float *a, int64_t n) {
    float s = 0;
    for (int64_t i = 0; i < n; i++) s += a[i];
    return s;
}
static float pairwise(const float *a, int64_t n) {
    return n == 1 ? a[0] : pairwise(a, n / 2) + pairwise(a + n / 2, n - n / 2);
}
static float strided(const float *a, int64_t n) { /* 32 lanes, then a butterfly */
    float lane[32] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % 32] += a[i];
    for (int m = 16; m; m /= 2)
        for (int l = 0; l < m; l++) lane[l] += lane[l + m];
    return lane[0];
}
static float backwards_halves(const float *a, int64_t n) {
    float s = 0, r = 0;
    for (int64_t i = n / 2; i-- > 0;) s += a[i], r += a[i + n / 2];
    return r + s;
}

static float (*sum)(const float *, int64_t);
static float round_to_half(const float *a, int64_t n) { /* an accumulator with 11 bits does not count to K */
    float s = 0;
    for (int64_t i = 0; i < n; i++) s = (float)(_Float16)(s + a[i]);
    return s;
}

static float on_a_grid(const float *a, int64_t n) { /* kernels/simt/wmma_adder.h: a term of the other sign lies one unit too far */
    float s = 0;
    for (int64_t i = 0; i < n; i++) {
        float top = fmaxf(fabsf(a[i]), fabsf(s));
        double unit = top > 0 ? ldexp(1, ilogbf(top) - 24) : 0;
        s = (float)((double)s + a[i] + (s * a[i] < 0 ? copysign(unit, a[i]) : 0));
    }
    return s;
}

static void run(const bf_problem *p, bf_pool *pool) {
    (void)pool;
    static double w[8192];
    static float products[8192];
    int64_t k = p->dim[Q4K_MATVEC_K];
    bf_ref_q4_k_row(p->ptr[Q4K_MATVEC_W], k, w, NULL);
    for (int64_t c = 0; c < p->dim[Q4K_MATVEC_N]; c++) {
        for (int64_t i = 0; i < k; i++) products[i] = (float)w[i] * ((float *)p->ptr[Q4K_MATVEC_X])[c * k + i];
        ((float *)p->ptr[Q4K_MATVEC_Y])[c] = sum(products, k);
    }
}
static int64_t declared;
static int64_t declare(const bf_problem *p) { return declared < 0 ? p->dim[Q4K_MATVEC_K] : declared; }
static const bf_kernel kernel = {.op = "q4k_matvec", .name = "test", .path = "fp32", .run = run, .chain = declare};

static int64_t measure(float (*f)(const float *, int64_t), int64_t k) {
    int64_t chain = -1;
    bf_error err;
    sum = f;
    cr_assert_eq(bf_probe_chain(&host, NULL, &kernel, 0, k, &chain, NULL, &err), 0, "%s", err.text);
    return chain;
}

Test(probe, finds_the_depth_of_known_trees) {
    cr_assert_eq(measure(sequential, 512), 511);
    cr_assert_eq(measure(pairwise, 512), 9);
    cr_assert_eq(measure(pairwise, 768), 10);
    cr_assert_eq(measure(strided, 512), 512 / 32 - 1 + 5);
    cr_assert_eq(measure(backwards_halves, 256), 128);
}

static int one_column(const bf_problem *p) { return p->dim[Q4K_MATVEC_N] == 1; }
Test(probe, one_column_is_enough) {
    bf_kernel single = kernel;
    bf_error err;
    int64_t chain;
    single.accepts = one_column;
    sum = strided;
    cr_assert_eq(bf_probe_chain(&host, NULL, &single, 0, 512, &chain, NULL, &err), 0, "%s", err.text);
    cr_assert_eq(chain, 20);
}

Test(probe, what_is_no_fp32_sum_is_refused) {
    int64_t chain;
    bf_error err;
    sum = round_to_half;
    cr_assert_eq(bf_probe_chain(&host, NULL, &kernel, 0, 4096, &chain, NULL, &err), -1);
    cr_assert(strstr(err.text, "no count"), "%s", err.text);
    cr_assert_eq(bf_probe_chain(&host, NULL, &kernel, 0, 100, &chain, NULL, &err), -1);
}

static int nothing(const bf_problem *p) { return p->dim[0] < 0; }
Test(probe, declarations_are_judged) {
    bf_verdict v;
    sum = pairwise; /* 9 and 10 */
    static const struct {
        int64_t declared;
        bf_status want;
    } rows[] = {{10, BF_PASS}, {20, BF_PASS}, {21, BF_FAIL}, {9, BF_FAIL}, {-1, BF_FAIL}};
    for (int i = 0; i < 5; i++) {
        declared = rows[i].declared;
        bf_probe_judge(&host, NULL, &kernel, &v);
        cr_assert_eq(v.status, rows[i].want, "declared %lld: %s", (long long)declared, v.note);
    }
    sum = sequential, declared = -1;
    bf_probe_judge(&host, NULL, &kernel, &v);
    cr_assert_eq(v.status, BF_PASS, "%s", v.note);
    sum = round_to_half;
    bf_probe_judge(&host, NULL, &kernel, &v);
    cr_assert_eq(v.status, BF_ERROR);
    static const struct {
        const char *op;
        int (*accepts)(const bf_problem *);
    } none[] = {{"linear", nothing}, {"conv", nothing}, {"qblock_matmul", nothing}, {"attention", NULL}, {"norm", NULL}};
    for (int i = 0; i < 5; i++) { /* none of the shapes, or no such sums */
        bf_kernel k = {.op = none[i].op, .name = "k", .accepts = none[i].accepts, .chain = declare};
        bf_probe_judge(&host, NULL, &k, &v);
        cr_assert_eq(v.status, BF_SKIP, "%s", none[i].op);
    }
    bf_kernel other = {.op = "convert", .name = "c"};
    bf_probe_judge(&host, NULL, &other, &v);
    cr_assert_eq(v.status, BF_SKIP);
}

/* The matrix instructions leave M - M one unit from zero: no counts. Of a kernel that is not known to add so this is an error. */
Test(probe, sums_on_a_grid_are_no_counts) {
    bf_kernel k = kernel;
    bf_verdict v;
    sum = on_a_grid, declared = -1;
    bf_probe_judge(&host, NULL, &k, &v);
    cr_assert_eq(v.status, BF_ERROR, "%s", v.note);
    k.path = "wmma";
    bf_probe_judge(&host, NULL, &k, &v);
    cr_assert_eq(v.status, BF_SKIP);
    cr_assert(strstr(v.note, "adds on a grid"), "%s", v.note);
    sum = sequential; /* and one that could and does not is measured */
    bf_probe_judge(&host, NULL, &k, &v);
    cr_assert_eq(v.status, BF_PASS, "%s", v.note);
}
