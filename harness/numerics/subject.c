/* subject.c: see subject.h. */
#include "subject.h"

#include <string.h>

#include "../../kernels/common/conv.h"
#include "../../kernels/common/linear.h"
#include "../../kernels/common/q4k_matvec.h"
#include "../compare.h"

enum { W = 0, X = 1, M_SLOT = 0, K_SLOT = 1, N_SLOT = 2 }; /* the same in all ops but conv */
_Static_assert((int)LINEAR_W == W && (int)LINEAR_X == X && (int)Q4K_MATVEC_W == W && (int)Q4K_MATVEC_X == X, "tensors");
_Static_assert((int)LINEAR_M == M_SLOT && (int)LINEAR_K == K_SLOT && (int)LINEAR_N == N_SLOT, "dimensions of linear");
_Static_assert((int)Q4K_MATVEC_M == M_SLOT && (int)Q4K_MATVEC_K == K_SLOT && (int)Q4K_MATVEC_N == N_SLOT, "dimensions");

static const bf_dtype formats[] = {BF_Q6_K, BF_Q8_0, BF_MXFP4};
static int is(const bf_kernel *k, const char *op) { return !strcmp(k->op, op); }
int bf_subject_formats(const bf_kernel *k) {
    if (is(k, "qblock_matmul")) return sizeof formats / sizeof *formats;
    return is(k, "linear") || is(k, "conv") || is(k, "q4k_matvec") || is(k, "q4k_matmul");
}
const char *bf_subject_format(const bf_kernel *k, int format) {
    static const char *const of[] = {" q6_k", " q8_0", " mxfp4"};
    return is(k, "qblock_matmul") ? of[format] : "";
}

/* A row of length k is a filter of as many taps and channels, a column an image of its size: the same bytes as linear's. */
static bf_problem filter(int64_t length, int64_t channels, int64_t rows, int64_t columns, bf_dtype w, bf_dtype x) {
    return (bf_problem){.dim = {[CONV_BATCH] = columns, [CONV_IN] = channels, [CONV_OUT] = rows, [CONV_GROUPS] = 1, [CONV_Z] = 1, [CONV_H] = 1,
                                [CONV_W] = length / channels},
                        .param = {[CONV_RANK] = 1, [CONV_TAPS] = (double)(length / channels), [CONV_STRIDE] = 1, [CONV_DILATION] = 1},
                        .type = {[CONV_X] = x, [CONV_WT] = w, [CONV_Y] = BF_F32}};
}

/* The widest x and the fewest columns that the kernel takes; 0: none. */
static int shape(const bf_kernel *k, bf_problem *p, bf_subject *u) {
    static const bf_dtype x_types[] = {BF_F32, BF_BF16, BF_F16};
    static const int64_t columns[] = {8, 64, 1};
    static const struct {
        int64_t channels, rows;
    } filters[] = {{64, 1}, {1, 1}, {64, 16}};
    int conv = is(k, "conv");
    for (int t = 0; t < 3; t++)
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < (conv ? 3 : 1); i++) {
                bf_dtype w = u->type != BF_NONE ? u->type : x_types[t] == BF_F16 ? BF_F16 : BF_BF16;
                *p = (bf_problem){.dim = {[M_SLOT] = 1, [K_SLOT] = u->k, [N_SLOT] = columns[c]}, .type = {[W] = w, [X] = x_types[t]}};
                if (u->type == BF_NONE) p->type[LINEAR_Y] = BF_F32;
                if (conv) *p = filter(u->k, filters[i].channels, filters[i].rows, columns[c], w, x_types[t]);
                u->columns = columns[c], u->rows = conv ? filters[i].rows : 1;
                if (!k->accepts || k->accepts(p)) return 1;
            }
    return 0;
}

int bf_subject_open(bf_subject *u, const bf_backend *b, bf_context *x, const bf_kernel *k, int format, int64_t length, bf_error *err) {
    int plain = is(k, "linear") || is(k, "conv"), int8 = k->path && !strcmp(k->path, "int8");
    *u = (bf_subject){.w = W, .x = X, .y = plain ? (int)LINEAR_Y : (int)Q4K_MATVEC_Y, .int8 = int8, .k = length,
                      .type = plain ? BF_NONE : is(k, "qblock_matmul") ? formats[format] : BF_Q4_K,
                      .stride = int8 ? Q4K_MATVEC_QBLOCK : 1, .unit = int8 ? 127 : 1};
    if (is(k, "conv")) u->w = CONV_WT, u->x = CONV_X, u->y = CONV_Y;
    u->leaves = u->k / u->stride;
    bf_problem p;
    if (!shape(k, &p, u)) return 1;
    if (bf_stand_open(&u->s, b, x, k, &p, err)) return -1;
    bf_subject_weights(u, BF_ROW_ONES);
    return 0;
}

void bf_subject_close(bf_subject *u) { bf_stand_close(&u->s); }
void bf_subject_weights(bf_subject *u, bf_row_kind kind) { bf_row_fill(&u->s.t[u->w], kind); }

int bf_subject_ask(bf_subject *u, bf_question *q, int64_t n, bf_error *err) {
    bf_tensor *x = &u->s.t[u->x];
    for (int64_t first = 0; first < n; first += u->columns) {
        memset(x->data, 0, x->bytes);
        for (int64_t c = 0; c < u->columns && first + c < n; c++) {
            const bf_question *a = &q[first + c];
            for (int64_t i = 0; a->background != 0 && i < u->leaves; i++)
                bf_stand_put(x, c * u->k + i * u->stride, a->background * u->unit);
            for (int i = 0; i < 3; i++)
                if (a->value[i] != 0) bf_stand_put(x, c * u->k + a->leaf[i] * u->stride, a->value[i] * u->unit);
        }
        if (bf_stand_run(&u->s, err)) return -1;
        for (int64_t c = 0; c < u->columns && first + c < n; c++)
            q[first + c].answer = bf_element_value(&u->s.t[u->y], c * u->rows) / u->unit;
    }
    return 0;
}
