/* The runner's suspicions, each shown to a kernel that deserves it: a made-up op that adds one, on a made-up backend. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../runner.h"

/* ---- the op ---- */
enum { N = 16 };
static int tensors(const bf_problem *p, const char *path, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)p, (void)path, (void)err;
    memset(t, 0, sizeof *t * BF_MAX_TENSORS);
    for (int i = 0; i < 2; i++)
        t[i] = (bf_tensor){.name = i ? "y" : "x", .role = i ? BF_OUTPUT : BF_INPUT, .type = BF_F32, .rank = 1,
                           .dim = {N}, .bytes = 4 * N};
    return 0;
}
static int fill(const bf_case *c, bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)c, (void)err;
    for (int i = 0; i < N; i++) ((float *)t[0].data)[i] = (float)i;
    return 0;
}
static char token;
static bf_expected *expect(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS], bf_error *err) {
    (void)c, (void)t, (void)err;
    return (bf_expected *)(void *)&token;
}
static void release(bf_expected *e) { cr_assert(e == (bf_expected *)(void *)&token); }
static void judge(const bf_case *c, const bf_kernel *k, const bf_tensor t[BF_MAX_TENSORS], const bf_expected *e,
                  bf_verdict *v) {
    (void)c, (void)k, (void)e;
    memset(v, 0, sizeof *v);
    v->outputs = N;
    for (int i = 0; i < N; i++) v->mismatched += !(((float *)t[1].data)[i] == (float)i + 1);
    v->status = v->mismatched ? BF_FAIL : BF_PASS;
}
static const bf_op op = {.name = "add_one", .tensors = tensors, .fill = fill, .expect = expect, .release = release, .judge = judge};

/* ---- the backend ---- */
static int allocations;
static void *b_alloc(bf_context *x, uint64_t n, bf_error *err) {
    (void)x, (void)err;
    allocations++;
    return aligned_alloc(256, (n + 255) / 256 * 256);
}
static void b_free(bf_context *x, void *p) { (void)x, allocations--, free(p); }
static int b_copy(bf_context *x, void *d, const void *s, uint64_t n, bf_error *err) {
    (void)x, (void)err;
    memcpy(d, s, n);
    return 0;
}
static int b_run(bf_context *x, const bf_kernel *k, const bf_problem *p, bf_error *err) {
    (void)x;
    if (!k->run) return bf_fail(err, "launch failed: made up");
    k->run(p, NULL);
    return 0;
}
static const bf_backend backend = {.name = "made-up", .alloc = b_alloc, .free = b_free, .upload = b_copy, .download = b_copy, .run = b_run};

static uint64_t four_numbers(const bf_problem *p) { return (void)p, 16; }
static bf_verdict verdict_of(void (*run)(const bf_problem *, bf_pool *)) {
    bf_kernel k = {.op = "add_one", .name = "k", .run = run, .scratch = four_numbers};
    bf_case c = {.op = &op, .line = "add_one"};
    bf_device d = {.backend = &backend};
    bf_prepared pre;
    bf_row row;
    memset(&row, 0, sizeof row);
    cr_assert_eq(bf_prepare(&c, 1, &pre, NULL), 0);
    bf_run_case(&backend, NULL, &d, &pre, &k, NULL, &row);
    bf_unprepare(&pre);
    cr_assert_eq(allocations, 0, "device memory is given back");
    return row.verdict;
}

/* ---- the kernels ---- */
static void right(const bf_problem *p, bf_pool *pool) {
    (void)pool;
    for (int i = 0; i < N; i++) ((float *)p->ptr[1])[i] = ((float *)p->ptr[0])[i] + 1;
}
static void skips_one(const bf_problem *p, bf_pool *pool) {
    float keep = ((float *)p->ptr[1])[5];
    right(p, pool);
    ((float *)p->ptr[1])[5] = keep;
}
static void adds_to_what_is_there(const bf_problem *p, bf_pool *pool) {
    static int call;
    right(p, pool);
    if (call++ % 2) ((float *)p->ptr[1])[3] += 1;
}
static void writes_behind(const bf_problem *p, bf_pool *pool) { right(p, pool), ((float *)p->ptr[1])[N] = 7; }
static void writes_before(const bf_problem *p, bf_pool *pool) { right(p, pool), ((float *)p->ptr[1])[-1] = 7; }
static void writes_behind_its_input(const bf_problem *p, bf_pool *pool) { right(p, pool), ((char *)p->ptr[0])[4 * N] = 1; }
static void changes_its_input(const bf_problem *p, bf_pool *pool) { right(p, pool), ((float *)p->ptr[0])[2] = -1; }

static void writes_behind_its_scratch(const bf_problem *p, bf_pool *pool) { right(p, pool), ((float *)p->scratch)[4] = 7; }
/* Right as long as scratch memory keeps what the first run left there. */
static void leans_on_old_scratch(const bf_problem *p, bf_pool *pool) {
    static int call;
    right(p, pool);
    if (call++ % 2 == 0) ((float *)p->scratch)[0] = 1;
    ((float *)p->ptr[1])[0] = ((float *)p->ptr[0])[0] + ((float *)p->scratch)[0];
}

#if defined(__SANITIZE_ADDRESS__)
#define GUARDS_ARE_ON .disabled = 1 /* the sanitizer stops these itself */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GUARDS_ARE_ON .disabled = 1
#endif
#endif
#ifndef GUARDS_ARE_ON
#define GUARDS_ARE_ON .disabled = 0
#endif

Test(runner, a_right_kernel_passes) { cr_assert_eq(verdict_of(right).status, BF_PASS); }
Test(runner, an_unwritten_output_fails) {
    bf_verdict v = verdict_of(skips_one);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "never wrote y[5]"), "%s", v.note);
}
Test(runner, a_second_run_that_differs_fails) {
    bf_verdict v = verdict_of(adds_to_what_is_there);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "not repeatable: y[3]"), "%s", v.note);
}
Test(runner, writing_behind_the_output_fails, GUARDS_ARE_ON) {
    bf_verdict v = verdict_of(writes_behind);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "behind tensor y"), "%s", v.note);
}
Test(runner, writing_before_the_output_fails, GUARDS_ARE_ON) {
    bf_verdict v = verdict_of(writes_before);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "before tensor y"), "%s", v.note);
}
Test(runner, writing_behind_an_input_fails, GUARDS_ARE_ON) {
    bf_verdict v = verdict_of(writes_behind_its_input);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "behind tensor x"), "%s", v.note);
}
Test(runner, writing_behind_scratch_fails, GUARDS_ARE_ON) {
    bf_verdict v = verdict_of(writes_behind_its_scratch);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "behind its scratch"), "%s", v.note);
}
Test(runner, scratch_of_the_run_before_is_gone) {
    bf_verdict v = verdict_of(leans_on_old_scratch);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "not repeatable: y[0]"), "%s", v.note);
}
Test(runner, a_changed_input_fails) {
    bf_verdict v = verdict_of(changes_its_input);
    cr_assert(v.status == BF_FAIL && strstr(v.note, "changed its input x"), "%s", v.note);
}
Test(runner, a_failed_launch_is_an_error_in_words) {
    bf_verdict v = verdict_of(NULL);
    cr_assert(v.status == BF_ERROR && strstr(v.note, "launch failed: made up"), "%s", v.note);
}
Test(runner, both_poisons_of_a_type_differ_in_every_element) {
    for (int t = BF_F32; t < BF_DTYPES; t++) {
        if (bf_dtype_is_block(t)) continue;
        uint64_t size = bf_dtype_bytes(t, 1), a[2] = {0}, b[2] = {0};
        bf_poison(a, t, size, 0), bf_poison(b, t, size, 1);
        cr_assert(memcmp(a, b, size), "%s", bf_dtype_name(t));
    }
}
