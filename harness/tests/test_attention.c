/* attention: functions against MPFR, the C reference against golden data and a plain loop, kernels on buffers of exact size,
 * and a judge that is shown what can go wrong. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/attention.h"
#include "../../kernels/simt/runtime.h"
#include "../../kernels/simt/selftest.h"
#include "../../kernels/simt/simt_math.h"
#include "../../reference/number.h"
#include "../case.h"
#include "../compare.h"
#include "../expected.h"
#include "../formats/npy.h"
#include "../ops/ops.h"

/* ---- functions ---- */

static double mpfr_value(int (*f)(mpfr_t, const mpfr_t, mpfr_rnd_t), double x) {
    mpfr_t r;
    mpfr_init2(r, 80);
    mpfr_set_d(r, x, MPFR_RNDN);
    f(r, r, MPFR_RNDN);
    double y = mpfr_get_d(r, MPFR_RNDN);
    mpfr_clear(r);
    return y;
}
static int exp2_of(mpfr_t r, const mpfr_t x, mpfr_rnd_t m) { return mpfr_exp2(r, x, m); }

/* The models of the two devices: within what the manuals say, and not better than 1 ulp, or a kernel could rest on it. */
Test(attention, exp2_and_rcp_models) {
    double most[3] = {0};
    for (int i = 0; i < 200000; i++) {
        float x = (float)(-126 + i * (254.0 / 200000)), r = (float)(1e-3 + i * 0.37);
        double want = mpfr_value(exp2_of, x);
        if (x > 127.9f || x < -125.9f) continue;
        for (int cuda = 0; cuda < 2; cuda++) {
            double ulp = bf_ref_ulp(BF_F32, want), e = fabs(bf_simt_exp2(x, cuda) - want) / ulp;
            if (e > most[cuda]) most[cuda] = e;
        }
        double e = fabs(bf_simt_rcp(r) - 1 / (double)r) / bf_ref_ulp(BF_F32, 1 / (double)r);
        if (e > most[2]) most[2] = e;
    }
    cr_assert(most[0] > 0.9 && most[0] <= 1, "hip exp2: %g ulp", most[0]);
    cr_assert(most[1] > 1.4 && most[1] <= 2, "cuda exp2: %g ulp", most[1]);
    cr_assert(most[2] > 0.9 && most[2] <= 1, "rcp: %g ulp", most[2]);
    for (int cuda = 0; cuda < 2; cuda++) {
        cr_assert_eq(bf_simt_exp2(0, cuda), 1);
        cr_assert_eq(bf_simt_exp2(-126, cuda), 0x1p-126f);
        cr_assert_eq(bf_simt_exp2(-126.5f, cuda), 0);
        cr_assert_eq(bf_simt_exp2(-INFINITY, cuda), 0);
        cr_assert_eq(bf_simt_exp2(INFINITY, cuda), INFINITY);
        cr_assert(isnan(bf_simt_exp2(NAN, cuda)));
    }
}

static void run_functions(int mode, const float *x, float *y, int64_t n) {
    bf_step s;
    char message[256];
    selftest_args a = {.x = x, .y = y, .n = n, .mode = mode};
    cr_assert_eq(bf_simt_selftest("functions", &s, (n + 255) / 256, 1, 256, 1, 0, &a), 0);
    cr_assert_eq(bf_simt_run(BF_CUDA, &s, message, sizeof message), 0, "%s", message);
}

Test(attention, tanh_and_log_keep_their_promises) {
    enum { N = 120000 };
    static float x[N], y[N];
    for (int i = 0; i < N; i++) x[i] = (float)((i % 2 ? -1 : 1) * exp2(-30 + i * (36.0 / N)));
    run_functions(1, x, y, N);
    double most = 0;
    for (int i = 0; i < N; i++) {
        double want = mpfr_value(mpfr_tanh, x[i]);
        most = fmax(most, fabs(y[i] - want) / fabs(want) * 0x1p24);
    }
    cr_assert(most > 1 && most <= 12, "tanh: %g u", most);
    for (int i = 0; i < N; i++) x[i] = (float)(1 + (i < N / 2 ? i * (3.0 / N) : exp2((i - N / 2) * (50.0 / N))));
    run_functions(2, x, y, N);
    most = 0;
    for (int i = 0; i < N; i++) {
        double want = mpfr_value(mpfr_log, x[i]);
        most = want == 0 ? fmax(most, y[i] == 0 ? 0 : INFINITY) : fmax(most, fabs(y[i] - want) / bf_ref_ulp(BF_F32, want));
    }
    cr_assert(most <= 4, "log: %g ulp", most);
    static const float edge[4] = {INFINITY, -INFINITY, NAN, -0.0f};
    run_functions(1, edge, y, 4);
    cr_assert(y[0] == 1 && y[1] == -1 && isnan(y[2]) && y[3] == 0);
}

/* ---- cases ---- */

static bf_case_list cases;
static bf_case *c;
static bf_tensor t[BF_MAX_TENSORS];
static bf_expected *expected;
static bf_verdict v;
static bf_error err;
static const bf_kernel plain = {.op = "attention", .name = "test", .target = BF_CPU};

static void expect_again(void) {
    if (expected) c->op->release(expected);
    expected = c->op->expect(c, t, &err);
    cr_assert(expected, "%s", err.text);
}
/* Exact sizes, so that a sanitizer sees the first byte too far. */
static void begin(const char *line) {
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", err.text);
    c = &cases.item[cases.count - 1];
    cr_assert_eq(c->op->tensors(&c->problem, NULL, t, &err), 0, "%s", err.text);
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (t[i].role != BF_UNUSED) cr_assert_eq(posix_memalign(&t[i].data, 256, t[i].bytes), 0);
    cr_assert_eq(c->op->fill(c, t, &err), 0, "%s", err.text);
    expect_again();
}
static void end(void) {
    c->op->release(expected);
    for (int i = 0; i < BF_MAX_TENSORS; i++) free(t[i].data);
    memset(t, 0, sizeof t);
    expected = NULL;
    bf_case_list_free(&cases);
}
static bf_status judge(const bf_kernel *k) {
    c->op->judge(c, k, t, expected, &v);
    return v.status;
}
static float *values(int slot) { return t[slot].data; }

/* The reference, rounded to fp32: as right as a result can be. */
static void fill_right(void) {
    for (int s = ATTENTION_O; s <= ATTENTION_LSE; s++) {
        bf_dump d;
        cr_assert_eq(bf_op_dump(c, &plain, t, expected, s, &d, &err), 0);
        for (int64_t i = 0; i < d.count; i++) values(s)[i] = (float)d.ref[i];
        free(d.ref), free(d.bound);
    }
}
static double bound_of(int slot, int64_t i, const bf_kernel *k) {
    bf_dump d;
    cr_assert_eq(bf_op_dump(c, k, t, expected, slot, &d, &err), 0);
    double b = d.bound[i];
    free(d.ref), free(d.bound);
    return b;
}

/* One key: the log-sum-exp is its score, whose bound holds at least the worst case of a dot product of that length. */
Test(attention, a_score_has_the_bound_of_its_dot_product) {
    static const int lengths[] = {64, 80, 96, 112, 128, 192, 256};
    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        char line[100];
        snprintf(line, sizeof line, "attention queries=1 keys=1 d=%d scale=1 kv=f32", lengths[n]);
        begin(line);
        double size = 0, bound = bound_of(ATTENTION_LSE, 0, &plain);
        for (int i = 0; i < lengths[n]; i++) size += fabs((double)values(ATTENTION_Q)[i] * (double)values(ATTENTION_K)[i]);
        cr_assert(bound > bf_gamma(lengths[n]) * size && bound < 3 * bf_gamma(lengths[n]) * size, "d=%d: %g of %g", lengths[n], bound,
                  bf_gamma(lengths[n]) * size);
        end();
    }
}

/* Every kernel of every target that accepts the problem, run on the tensors. */
static void run_all(const char *what) {
    int ran = 0;
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (strcmp(k->op, "attention") || k->role == BF_TWIN || (k->available && !k->available())) continue;
        bf_problem p = c->problem;
        for (int s = 0; s < BF_MAX_TENSORS; s++) p.ptr[s] = t[s].data;
        if (!k->accepts(&p)) continue;
        uint64_t bytes = k->scratch ? k->scratch(&p) : 0;
        cr_assert_eq(posix_memalign(&p.scratch, 256, bytes ? bytes : 1), 0);
        memset(p.scratch, 0xff, bytes);
        memset(t[ATTENTION_O].data, 0xff, t[ATTENTION_O].bytes), memset(t[ATTENTION_LSE].data, 0xff, t[ATTENTION_LSE].bytes);
        if (k->target == BF_CPU) {
            k->run(&p, NULL);
        } else {
            bf_step step[BF_MAX_STEPS];
            char message[256] = "";
            int n = k->plan(&p, step);
            for (int s = 0; s < n; s++)
                cr_assert_eq(bf_simt_run(k->target, &step[s], message, sizeof message), 0, "%s: %s: %s", what, k->name, message);
        }
        judge(k);
        cr_expect(v.status == BF_PASS, "%s: target %d %s: %s %s at %lld", what, k->target, k->name, bf_status_name(v.status),
                  v.first[0].why ? v.first[0].why : v.note, (long long)v.first[0].index);
        free(p.scratch);
        ran++;
    }
    cr_assert_geq(ran, 3, "%s", what);
}

Test(attention, kernels_on_buffers_of_exact_size) {
    static const char *const lines[] = {
        "attention queries=1 keys=1 d=256",
        "attention heads=3 kv_heads=3 queries=2 keys=5 d=80 q=bf16 kv=f32",
        "attention heads=6 kv_heads=2 queries=1 keys=77 d=112 q=f16 kv=bf16 sink=f32",
        "attention heads=2 kv_heads=1 queries=19 keys=35 d=96 kv=f16 causal=1 window=9 mask=f32",
        "attention heads=2 queries=67 keys=129 d=64 kv=f32 causal=1 mask=f16 cap=3 scale=1",
        "attention heads=2 queries=5 keys=33 d=192 kv=f16 mask=f32 plant=excluded",
        "attention heads=5 kv_heads=1 queries=1 keys=515 d=128 kv=f16 mask=f16 plant=excluded window=300 causal=1",
        "attention heads=9 kv_heads=1 queries=1 keys=65 d=64 kv=f32 causal=1 plant=v-inf",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        begin(lines[i]);
        run_all(lines[i]);
        end();
    }
}

/* Aligned to the element only: GPU kernels with wide loads take their other path. */
Test(attention, kernels_at_odd_addresses) {
    static const char *const lines[] = {
        "attention heads=2 kv_heads=1 queries=19 keys=35 d=64 kv=f16 causal=1 mask=f32",
        "attention heads=4 kv_heads=2 queries=1 keys=37 d=80 kv=bf16 q=f16 sink=f32",
        "attention heads=2 queries=5 keys=40 d=96 kv=f32",
    };
    for (size_t l = 0; l < sizeof lines / sizeof *lines; l++) {
        begin(lines[l]);
        void *kept[BF_MAX_TENSORS], *block[BF_MAX_TENSORS];
        for (int s = 0; s < BF_MAX_TENSORS; s++) {
            uint64_t off = t[s].type == BF_F16 || t[s].type == BF_BF16 ? 2 : 4;
            kept[s] = t[s].data, block[s] = NULL;
            if (t[s].role == BF_UNUSED) continue;
            cr_assert(block[s] = malloc(t[s].bytes + off));
            t[s].data = memcpy((char *)block[s] + off, kept[s], t[s].bytes);
        }
        run_all(lines[l]);
        for (int s = 0; s < BF_MAX_TENSORS; s++) free(block[s]), t[s].data = kept[s];
        end();
    }
}

/* ---- the reference ---- */

/* o and lse of one row, term by term. */
static double plain_row(int64_t head, int64_t i, double *o) {
    const bf_problem *p = &c->problem;
    int64_t d = p->dim[ATTENTION_D], keys = p->dim[ATTENTION_KEYS], queries = p->dim[ATTENTION_QUERIES];
    int64_t g = head / (p->dim[ATTENTION_HEADS] / p->dim[ATTENTION_KV_HEADS]), last = i + keys - queries;
    double sum = 0, scale = (float)(1 / sqrt((double)d)), cap = p->param[ATTENTION_CAP];
    memset(o, 0, sizeof *o * (size_t)d);
    if (t[ATTENTION_SINK].role == BF_INPUT) sum = exp(bf_ref_at(BF_F32, t[ATTENTION_SINK].data, head));
    for (int64_t j = 0; j < keys; j++) {
        double dot = 0, mask = t[ATTENTION_MASK].role == BF_INPUT
                                   ? bf_ref_at(t[ATTENTION_MASK].type, t[ATTENTION_MASK].data, i * keys + j) : 0;
        if ((p->param[ATTENTION_CAUSAL] != 0 && j > last) || mask <= -FLT_MAX) continue;
        if (p->dim[ATTENTION_WINDOW] && j <= last - p->dim[ATTENTION_WINDOW]) continue;
        for (int64_t e = 0; e < d; e++)
            dot += bf_ref_at(t[ATTENTION_Q].type, t[ATTENTION_Q].data, (head * queries + i) * d + e) *
                   bf_ref_at(t[ATTENTION_K].type, t[ATTENTION_K].data, (g * keys + j) * d + e);
        dot *= scale;
        double w = exp((cap > 0 ? cap * tanh(dot / cap) : dot) + mask);
        sum += w;
        for (int64_t e = 0; e < d; e++) o[e] += w * bf_ref_at(t[ATTENTION_V].type, t[ATTENTION_V].data, (g * keys + j) * d + e);
    }
    for (int64_t e = 0; e < d; e++) o[e] = sum > 0 ? o[e] / sum : 0;
    return log(sum);
}

Test(attention, reference_agrees_with_a_plain_loop) {
    static const char *const lines[] = {
        "attention heads=4 kv_heads=2 queries=5 keys=23 causal=1 window=7 sink=f32 q=bf16",
        "attention heads=2 queries=70 keys=530 mask=f32 cap=4 kv=f32",
    };
    for (size_t n = 0; n < sizeof lines / sizeof *lines; n++) {
        begin(lines[n]);
        bf_dump o, lse;
        double row[64];
        cr_assert_eq(bf_op_dump(c, &plain, t, expected, ATTENTION_O, &o, &err), 0);
        cr_assert_eq(bf_op_dump(c, &plain, t, expected, ATTENTION_LSE, &lse, &err), 0);
        for (int64_t r = 0; r < lse.count; r++) {
            double l = plain_row(r / c->problem.dim[ATTENTION_QUERIES], r % c->problem.dim[ATTENTION_QUERIES], row);
            cr_assert_float_eq(lse.ref[r], l, 1e-12);
            for (int e = 0; e < 64; e++) cr_assert_float_eq(o.ref[r * 64 + e], row[e], 1e-12);
        }
        free(o.ref), free(o.bound), free(lse.ref), free(lse.bound);
        end();
    }
}

static void load(const char *tag, const char *name, int slot) {
    char path[128];
    npy_array a = {0};
    snprintf(path, sizeof path, "cases/golden/attention/%s.%s.npy", tag, name);
    cr_assert_eq(npy_open(path, &a, &err), 0, "%s", err.text);
    cr_assert_eq(a.bytes, t[slot].bytes, "%s", path);
    memcpy(t[slot].data, a.data, a.bytes);
    npy_close(&a);
}

/* K, V and q of ggml's own tests with results in double (cases/golden/README.md), y [queries][heads][d]. */
Test(attention, golden) {
    static const char *const rows[][2] = {
        {"d64_bf16", "attention heads=2 queries=2 keys=77 kv=bf16 mask=f16"},
        {"d64_f16_sharp", "attention heads=2 kv_heads=2 queries=3 keys=130 kv=f16 mask=f16"},
        {"d64_f16_vbias100", "attention heads=2 kv_heads=2 queries=3 keys=130 kv=f16"},
        {"d80_f32_odd", "attention heads=3 queries=2 keys=33 d=80 kv=f32 mask=f16"},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        char path[128];
        npy_array y = {0};
        bf_dump o;
        begin(rows[n][1]);
        load(rows[n][0], "q", ATTENTION_Q), load(rows[n][0], "k", ATTENTION_K), load(rows[n][0], "v", ATTENTION_V);
        if (t[ATTENTION_MASK].role == BF_INPUT) load(rows[n][0], "mask", ATTENTION_MASK);
        expect_again();
        snprintf(path, sizeof path, "cases/golden/attention/%s.y.npy", rows[n][0]);
        cr_assert_eq(npy_open(path, &y, &err), 0, "%s", err.text);
        cr_assert_eq(bf_op_dump(c, &plain, t, expected, ATTENTION_O, &o, &err), 0);
        int64_t heads = c->problem.dim[ATTENTION_HEADS], queries = c->problem.dim[ATTENTION_QUERIES], d = c->problem.dim[ATTENTION_D];
        cr_assert_eq((int64_t)y.elements, o.count);
        for (int64_t i = 0; i < o.count; i++) { /* theirs has the scale in double for some, in fp32 for others */
            int64_t head = i / d / queries, query = i / d % queries;
            double want = ((const double *)y.data)[(query * heads + head) * d + i % d];
            cr_assert(fabs(o.ref[i] - want) <= 2e-7 * (1 + fabs(want)) && fabs(o.ref[i] - want) <= o.bound[i],
                      "%s[%lld]: %.12g, golden %.12g", rows[n][0], (long long)i, o.ref[i], want);
        }
        npy_close(&y);
        free(o.ref), free(o.bound);
        run_all(rows[n][0]);
        end();
    }
}

/* ---- the judge ---- */

Test(attention, right_passes_and_each_wrong_result_fails) {
    begin("attention heads=2 queries=5 keys=40");
    fill_right();
    float *o = values(ATTENTION_O), *lse = values(ATTENTION_LSE), keep = o[77];
    cr_assert_eq(judge(&plain), BF_PASS, "%s", v.note);
    cr_assert_eq(v.outputs, 2 * 5 * 65);
    double bound = bound_of(ATTENTION_O, 77, &plain);
    cr_assert(bound > 0 && bound < 1e-4, "%g", bound);
    const float wrong[] = {keep + (float)(1.1 * bound) + 0x1p-22f, NAN, INFINITY, 0, -keep};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        o[77] = wrong[i];
        cr_expect_eq(judge(&plain), BF_FAIL, "%g", wrong[i]);
    }
    o[77] = keep, keep = lse[9];
    const float off[] = {keep * 1.001f, NAN, -INFINITY, INFINITY, 0};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        lse[9] = off[i];
        cr_expect_eq(judge(&plain), BF_FAIL, "%g", off[i]);
        cr_expect(strstr(v.note, "lse"));
    }
    lse[9] = keep;
    for (int i = 0; i < 320; i++) o[i] = o[320 + i]; /* the other head's */
    cr_assert_eq(judge(&plain), BF_FAIL);
    end();
}

static int64_t declared;
static int64_t declare(const bf_problem *p) {
    (void)p;
    return declared;
}

Test(attention, bound_follows_the_chain_and_its_cap) {
    bf_kernel k = plain;
    k.chain = declare;
    begin("attention queries=1 keys=4096 amp=2^-24 kv=f32");
    declared = 64;
    double few = bound_of(ATTENTION_O, 3, &k);
    declared = 4096;
    double all = bound_of(ATTENTION_O, 3, &k);
    cr_assert(all > 20 * few, "%g %g", all, few);
    declared = 1 << 20;
    cr_assert_geq(bound_of(ATTENTION_O, 3, &k), all);
    cr_assert_eq(bound_of(ATTENTION_O, 3, &k), bound_of(ATTENTION_O, 3, &plain));
    end();
}

/* Every policy: what must be NaN, what may be either, and that nothing else may. */
Test(attention, class_follows_the_policies) {
    begin("attention queries=4 keys=8 causal=1 plant=k-nan"); /* only the last row sees the last key */
    fill_right();
    float *o = values(ATTENTION_O), *lse = values(ATTENTION_LSE);
    cr_assert_eq(judge(&plain), BF_PASS);
    cr_assert(isnan(o[3 * 64]) && isnan(lse[3]) && isfinite(lse[2]));
    lse[3] = 0;
    cr_assert_eq(judge(&plain), BF_FAIL);
    lse[3] = NAN, o[3 * 64 + 5] = 0;
    cr_assert_eq(judge(&plain), BF_FAIL);
    o[3 * 64 + 5] = NAN, o[2 * 64 + 5] = NAN;
    cr_assert_eq(judge(&plain), BF_FAIL);
    end();

    begin("attention queries=4 keys=8 causal=1 plant=v-inf");
    fill_right();
    o = values(ATTENTION_O), lse = values(ATTENTION_LSE);
    o[3 * 64 + 3] = INFINITY;
    cr_assert_eq(judge(&plain), BF_PASS, "%s", v.first[0].why);
    cr_assert(isfinite(lse[3]));
    o[3 * 64 + 3] = 1;
    cr_assert_eq(judge(&plain), BF_FAIL);
    end();

    begin("attention queries=6 keys=8 mask=f32 pattern=rows expect=zeros"); /* rows 1, 4: -inf, 2, 5: -FLT_MAX */
    fill_right();
    o = values(ATTENTION_O), lse = values(ATTENTION_LSE);
    cr_assert_eq(judge(&plain), BF_PASS);
    cr_assert(o[64] == 0 && lse[1] == -INFINITY && lse[2] == -INFINITY);
    o[64] = 1e-30f;
    cr_assert_eq(judge(&plain), BF_FAIL);
    o[64] = 0, lse[2] = INFINITY;
    cr_assert_eq(judge(&plain), BF_FAIL);
    lse[2] = -FLT_MAX;
    cr_assert_eq(judge(&plain), BF_FAIL);
    end();
}

Test(attention, lowest_fp16_is_an_ordinary_number) {
    begin("attention queries=1 keys=8 mask=f16 kv=f32");
    for (int j = 0; j < 8; j++) ((uint16_t *)t[ATTENTION_MASK].data)[j] = 0xfbff; /* -65504 */
    expect_again();
    fill_right();
    cr_assert_eq(judge(&plain), BF_PASS);
    cr_assert(values(ATTENTION_O)[0] != 0 && values(ATTENTION_LSE)[0] < -65000 && isfinite(values(ATTENTION_LSE)[0]));
    run_all("-65504");
    end();
}

/* Planted values stay in their own rows, at the end of a row and of the tensor too: key 7 is excluded, is odd and the last. */
Test(attention, plants_reach_excluded_keys_only) {
    static const char *const d[] = {"64", "112", "128", "256"};
    for (size_t n = 0; n < sizeof d / sizeof *d; n++) {
        char line[128];
        snprintf(line, sizeof line, "attention heads=2 kv_heads=2 queries=2 keys=8 d=%s mask=f32 plant=excluded kv=f32", d[n]);
        begin(line);
        int64_t width = c->problem.dim[ATTENTION_D], planted[2] = {0};
        for (int64_t i = 0; i < 2 * 8 * width; i++) {
            float k = values(ATTENTION_K)[i], v_i = values(ATTENTION_V)[i];
            int excluded = i / width % 8 % 5 == 2;
            cr_assert(excluded || (isfinite(k) && isfinite(v_i)), "d=%s: key %lld", d[n], (long long)(i / width));
            planted[0] += !isfinite(k), planted[1] += !isfinite(v_i);
        }
        cr_assert_eq(planted[0], 4 * ((width + 2) / 3));
        cr_assert_eq(planted[1], planted[0]);
        end();
    }
}

/* It loads the first 32 values of a key at once. */
Test(attention, the_wmma_kernel_wants_32_values_a_key) {
    bf_problem p = {.dim = {1, 1, 4, 4, 32}, .type = {[ATTENTION_Q] = BF_F16, [ATTENTION_K] = BF_F16}};
    int seen = 0;
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *k = bf_kernel_at(i);
        if (strcmp(k->op, "attention") || !k->path || strcmp(k->path, "wmma") || k->role == BF_TWIN) continue;
        seen++;
        p.dim[ATTENTION_D] = 32;
        cr_expect(k->accepts(&p), "%s", k->name);
        p.dim[ATTENTION_D] = 16;
        cr_expect(!k->accepts(&p), "%s", k->name);
    }
    cr_assert_eq(seen, 1);
}

Test(attention, bad_shapes_are_refused) {
    static const char *const lines[] = {"attention heads=4 kv_heads=3 queries=1 keys=4", "attention queries=1 keys=4 d=144"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cr_assert_eq(bf_case_parse_line(lines[i], strlen(lines[i]), NULL, 0, &cases, &err), 0);
        c = &cases.item[cases.count - 1];
        cr_assert_eq(c->op->tensors(&c->problem, NULL, t, &err), -1);
    }
    bf_case_list_free(&cases);
}
