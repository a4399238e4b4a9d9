/* Peers: OpenBLAS on a small product is judged right, and wrong when it is made wrong; fakes of cuBLAS and rocBLAS beside the fake drivers.
 * ggml is not part of a test machine. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The whole way: a fake GPU that computes through simt, its BLAS, the record. Returns how many rows of peers there are; of the last
 * one, its name, how and worst error. */
static int beside_gpu(const char *vendor, const char *how, const char *line, char *said, size_t room, double *worst) {
    char record[] = "/tmp/bf-peer-XXXXXX", command[1024], row[1 << 14];
    int hip = !strcmp(vendor, "hip"), rows = 0, fd = mkstemp(record);
    cr_assert(fd >= 0);
    close(fd);
    snprintf(command, sizeof command, "BF_FAKE=simt BF_FAKE_CACHE=4096 BF_FAKE_ARCH=gfx1100 BF_FAKE_BLAS=%s %s=%s/fake_%s.so %s=%s/fake_%s.so %s/blackframe bench --backend %s --best --peers "
             "--seconds 0.01 --json %s '%s' >/dev/null 2>&1", how, hip ? "BF_HIP_LIBRARY" : "BF_CUDA_LIBRARY", BF_BUILD, vendor,
             hip ? "BF_ROCBLAS_LIBRARY" : "BF_CUBLAS_LIBRARY", BF_BUILD, hip ? "rocblas" : "cublas", BF_BUILD, vendor, record, line);
    int status = WEXITSTATUS(system(command));
    FILE *f = fopen(record, "r");
    cr_assert(f && (status == 0 || status == 3), "%s: exit status %d", command, status);
    *said = 0, *worst = NAN;
    while (fgets(row, sizeof row, f)) {
        const char *name = strstr(row, "\"peer\":\""), *of = strstr(row, "\"worst\":");
        if (!name) continue;
        snprintf(said, room, "%.150s", name + 8);
        *worst = of ? strtod(of + 8, NULL) : NAN;
        rows++;
    }
    fclose(f), remove(record);
    return status == 3 ? -1 : rows;
}

Test(peer, blas_of_the_vendor_beside_a_gpu) {
    static const struct { const char *vendor, *line, *name, *how; } list[] = {
        {"cuda", "q4k_matvec m=8 k=256 n=1", "cuBLAS 12.8", "weights widened"}, {"cuda", "linear m=5 k=64 n=3 w=f16 x=f16", "cuBLAS 12.8", "fp16 gemm"},
        {"cuda", "linear m=5 k=64 n=3 w=bf16 x=f32", "cuBLAS 12.8", "weights widened"}, {"hip", "linear m=5 k=64 n=3 w=bf16 x=bf16", "rocBLAS 4.4", "bf16 gemm"},
        {"hip", "linear m=5 k=64 n=3 w=f32 x=f32", "rocBLAS 4.4", "sgemm, the same"}};
    char said[200];
    double worst;
    if (access(BF_BUILD "/blackframe", X_OK)) cr_skip_test("the command is not built");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        int rows = beside_gpu(list[i].vendor, "", list[i].line, said, sizeof said, &worst);
        if (rows < 0) cr_skip_test("no %s code objects in this build", list[i].vendor);
        cr_expect(rows >= 1 && strstr(said, list[i].name) && strstr(said, list[i].how), "%s: %d, %s", list[i].line, rows, said);
        cr_expect(worst >= 0 && worst < 1, "%s: %g", list[i].line, worst);
    }
    cr_expect(beside_gpu("cuda", "wrong", "q4k_matvec m=8 k=256 n=1", said, sizeof said, &worst) >= 1 && worst > 1, "%s: %g", said, worst);
    cr_expect_eq(beside_gpu("cuda", "unsupported", "q4k_matvec m=8 k=256 n=1", said, sizeof said, &worst), 0, "%s", said);
    cr_expect_eq(beside_gpu("cuda", "", "linear m=5 k=64 n=3 w=f16 x=f16 b=f32", said, sizeof said, &worst), 0, "%s", said);
}
