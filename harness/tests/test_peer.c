/* Peers: OpenBLAS on a small product is judged right, and wrong when it is made wrong. ggml is not part of a test machine. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/q4k_matmul.h"
#include "../../reference/blas.h"
#include "../case.h"
#include "../peer.h"

static void product(const char *line, int expected) {
    bf_error err = {{0}};
    bf_case_list cases = {0};
    bf_prepared pre;
    bf_peer p;
    cr_assert_eq(bf_case_parse_line(line, strlen(line), NULL, 0, &cases, &err), 0, "%s", err.text);
    cr_assert_eq(bf_prepare(&cases.item[0], 1, &pre, &err), 0, "%s", err.text);
    bf_tensor t[BF_MAX_TENSORS];
    cr_assert_eq(cases.item[0].op->tensors(&cases.item[0].problem, "fp32", t, &err), 0);
    bf_problem q = cases.item[0].problem;
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (t[i].role == BF_INPUT) t[i].data = q.ptr[i] = pre.t[i].data;
        if (t[i].role == BF_OUTPUT) t[i].data = calloc(1, t[i].bytes), q.ptr[i] = calloc(1, t[i].bytes);
    }
    cr_assert_eq(bf_peer_blas_open(&pre, &q, 1, 2, &p), expected, "%s", line);
    if (expected) {
        int y = bf_peer_output(&cases.item[0]);
        cr_assert_eq(p.run(&p, 0), 0);
        double worst = bf_peer_judge(&p, t);
        cr_expect(worst > 0 && worst < 1, "%s: %g", line, worst);
        cr_expect_eq(bf_peer_error(&pre, t), worst);
        ((float *)q.ptr[y])[2] *= 1.02f;
        cr_expect(bf_peer_judge(&p, t) > 1, "2 %% too large is right");
        ((float *)q.ptr[y])[2] = NAN;
        cr_expect(isinf(bf_peer_judge(&p, t)), "NaN is right");
        p.close(&p);
    }
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (t[i].role == BF_OUTPUT) free(t[i].data), free(q.ptr[i]);
    bf_unprepare(&pre);
    bf_case_list_free(&cases);
}

Test(peer, openblas_is_judged_as_a_kernel_is) {
    bf_error err;
    if (bf_blas_open(&err)) cr_skip_test("no OpenBLAS: %s", err.text);
    product("q4k_matvec m=5 k=512 n=1", 1);
    product("q4k_matmul m=5 k=512 n=20", 1);
    product("linear m=6 k=100 n=3 w=f32 x=f32", 1);
    product("linear m=6 k=100 n=3 w=f16 x=f32", 0);
    product("linear m=6 k=100 n=3 w=f32 x=f32 b=f32", 0);
    product("q4k_matmul m=5 k=512 n=20 x=bf16", 0);
}

Test(peer, a_folder_without_ggml_is_no_peer) {
    bf_error err = {{0}};
    bf_case_list cases = {0};
    bf_prepared pre;
    bf_peer p;
    static const char line[] = "norm m=2 k=8";
    cr_assert_eq(bf_case_parse_line(line, sizeof line - 1, NULL, 0, &cases, &err), 0, "%s", err.text);
    cr_assert_eq(bf_prepare(&cases.item[0], 1, &pre, &err), 0, "%s", err.text);
    cr_expect_eq(bf_peer_ggml_open("/nonexistent", &pre, &cases.item[0].problem, 1, 1, &p), 0);
    bf_unprepare(&pre);
    bf_case_list_free(&cases);
}
