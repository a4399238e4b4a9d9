/* Shapes beyond 2^31 elements, without the memory: sizes of tensors, scratch and launches are computed in 64 bits, or refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "../case.h"

static const char *const shapes[] = {
    "convert n=4294967297 from=f32 to=f16", "convert n=8589934593 from=bf16 to=f32 count=1", "stream n=8589934596 mode=copy,read,write,triad",
    "stream n=4294967300 m=8589934592 mode=mix", "linear m=65537 k=65536 n=1,8,64", "linear m=8 k=1048576 n=4096 x=bf16", "linear m=1048576 k=64 n=4096",
    "q4k_dequant m=65537 k=65536", "q4k_matvec m=65537 k=65536 n=1,8", "q4k_matmul m=65537 k=65536 n=16", "norm kind=rms m=1048577 k=4096",
    "norm kind=layer m=536870912 k=8 x=bf16", "attention heads=8 kv_heads=8 queries=1 keys=1048576 d=256", "attention heads=64 kv_heads=8 queries=1048576 keys=8 d=64",
    "conv rank=1 in=256 out=256 w=16777216 taps=3 pad=1",
};

static void check_tensors(const bf_case *c, const bf_tensor t[BF_MAX_TENSORS]) {
    int huge = 0;
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (t[i].role == BF_UNUSED || t[i].rank == 0) continue;
        __int128 n = 1;
        for (int d = 0; d < t[i].rank; d++) n *= t[i].dim[d];
        cr_assert(n >= 0 && n < (__int128)1 << 62, "%s: %s", c->line, t[i].name);
        cr_expect_eq(t[i].bytes, bf_dtype_bytes(t[i].type, (int64_t)n), "%s: %s has %llu bytes", c->line, t[i].name, (unsigned long long)t[i].bytes);
        huge |= n > INT32_MAX;
    }
    cr_expect(huge, "%s: nothing in it is large", c->line);
}

/* Limits of both vendors: 2^31 - 1 blocks in x, 65,535 in y and z. */
static int check_plan(const bf_case *c, const bf_kernel *k, const bf_problem *p) {
    bf_step steps[BF_MAX_STEPS];
    memset(steps, 0, sizeof steps);
    uint64_t scratch = k->scratch ? k->scratch(p) : 0;
    cr_expect_lt(scratch, UINT64_C(1) << 46, "%s: %s wants %llu bytes of scratch", c->line, k->name, (unsigned long long)scratch);
    if (!k->plan) return 0;
    int n = k->plan(p, steps);
    cr_expect(n >= 1 && n <= BF_MAX_STEPS, "%s: %s plans %d launches", c->line, k->name, n);
    for (int s = 0; s < n; s++) {
        const uint32_t *g = steps[s].grid, *b = steps[s].block;
        cr_expect(g[0] >= 1 && g[0] <= INT32_MAX && g[1] >= 1 && g[1] <= 65535 && g[2] >= 1 && g[2] <= 65535, "%s: %s: grid %u %u %u", c->line, k->name, g[0], g[1], g[2]);
        cr_expect(b[0] * b[1] * b[2] >= 1 && b[0] * b[1] * b[2] <= 1024, "%s: %s: block %u %u %u", c->line, k->name, b[0], b[1], b[2]);
    }
    return 1;
}

Test(huge, sizes_and_launches_are_computed_in_64_bits) {
    int plans = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        bf_case_list list = {0};
        bf_error err = {{0}};
        cr_assert_eq(bf_case_parse_line(shapes[i], strlen(shapes[i]), NULL, 0, &list, &err), 0, "%s", err.text);
        for (size_t n = 0; n < list.count; n++) {
            bf_case *c = &list.item[n];
            bf_tensor t[BF_MAX_TENSORS];
            cr_assert_eq(c->op->tensors(&c->problem, NULL, t, &err), 0, "%s: %s", c->line, err.text);
            check_tensors(c, t);
            for (int s = 0; s < BF_MAX_TENSORS; s++)
                if (t[s].role != BF_UNUSED) c->problem.type[s] = t[s].type;
            cr_expect_gt(c->op->bytes_read(&c->problem) + c->op->bytes_written(&c->problem), (uint64_t)INT32_MAX, "%s", c->line);
            for (size_t k = 0; k < bf_kernel_count(); k++)
                if (!strcmp(bf_kernel_at(k)->op, c->op->name) && bf_kernel_at(k)->accepts(&c->problem)) plans += check_plan(c, bf_kernel_at(k), &c->problem);
        }
        bf_case_list_free(&list);
    }
    cr_log_info("%d plans", plans);
    cr_expect_geq(plans, 20, "%d plans", plans);
}

/* Beyond 64 bits: -1 with a line that says so, from every tensor of an op that can be too large. */
Test(huge, what_overflows_is_refused) {
    static const char *const lines[] = {"convert n=4611686018427387904 from=f32 to=f16", "linear m=4611686018427387904 k=64 n=1",
                                        "linear m=1 k=64 n=4611686018427387904", "q4k_dequant m=4611686018427387904 k=256",
                                        "q4k_matvec m=4611686018427387904 k=256 n=1", "q4k_matmul m=1 k=256 n=4611686018427387904",
                                        "qblock_matmul w=q8_0 m=4611686018427387904 k=256 n=1", "norm kind=rms m=4611686018427387904 k=8",
                                        "attention heads=4611686018427387904 queries=1 keys=8", "attention queries=1 keys=4611686018427387904",
                                        "conv rank=1 in=4611686018427387904 out=1 w=8", "stream n=4611686018427387904 mode=copy"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bf_case_list list = {0};
        bf_error err = {{0}};
        bf_tensor t[BF_MAX_TENSORS];
        int refused = bf_case_parse_line(lines[i], strlen(lines[i]), NULL, 0, &list, &err);
        if (!refused) refused = list.item[0].op->tensors(&list.item[0].problem, NULL, t, &err);
        cr_expect_eq(refused, -1, "%s: %d", lines[i], refused);
        cr_expect_gt(strlen(err.text), 10);
        bf_case_list_free(&list);
    }
}
