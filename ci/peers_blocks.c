/* peers_blocks.c: attention and norms beside ggml's (ci/peers). Both sides work on the same K, V and rows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/attention.h"
#include "../kernels/common/norm.h"
#include "peers.h"

enum { HEADS = 32, KV_HEADS = 8, D = 128, MOST_KV = 4 };

static uint32_t state = 1;
static float uniform(void) {
    state = state * 1664525u + 1013904223u;
    return (float)(int32_t)state * 0x1p-31f;
}
static void put(void *to, int64_t i, float v, int half) {
    if (half) ((_Float16 *)to)[i] = (_Float16)v;
    else ((float *)to)[i] = v;
}

/* What two results of one problem differ by, as a share of the largest value: that both do the same work. ggml's rows are
 * [query][head], ours [head][query]. */
static double difference(const float *ours, const float *theirs, int64_t heads, int64_t queries) {
    double most = 0, scale = 0;
    for (int64_t h = 0; h < heads; h++)
        for (int64_t q = 0; q < queries; q++)
            for (int64_t i = 0; i < D; i++) {
                double a = ours[(h * queries + q) * D + i], b = theirs[(q * heads + h) * D + i];
                most = fmax(most, fabs(a - b)), scale = fmax(scale, fabs(a));
            }
    return most / scale;
}

static void attention(int64_t queries, int64_t keys, int half, int copies, int rounds) {
    int64_t values = KV_HEADS * keys * D;
    uint64_t kv_bytes = (uint64_t)values * (half ? 2 : 4);
    void *context = ggml.backend ? ggml.init((ggml_params){2 * kv_bytes * (uint64_t)copies + ((size_t)64 << 20), NULL, false}) : NULL;
    runner r[2] = {{.name = "ggml flash_attn_ext"},
                   {.problem = {.dim = {HEADS, KV_HEADS, queries, keys, D, 0}}, .slot = {ATTENTION_K, ATTENTION_V}}};
    bf_problem *p = &r[1].problem;
    float *q = peers_room((uint64_t)(HEADS * queries * D) * 4);
    void *theirs = NULL, *tq = context ? ggml.tensor3(context, GGML_F32, D, queries, HEADS) : NULL;
    for (int64_t i = 0; i < HEADS * queries * D; i++) q[i] = 4 * uniform();
    if (tq) memcpy(ggml.data(tq), q, (size_t)(HEADS * queries * D) * 4);
    for (int c = 0; c < copies; c++) {
        void *tensor[2];
        for (int s = 0; s < 2; s++) {
            tensor[s] = context ? ggml.tensor3(context, half ? GGML_F16 : GGML_F32, D, keys, KV_HEADS) : NULL;
            r[1].copy[c][s] = tensor[s] ? ggml.data(tensor[s]) : peers_room(kv_bytes);
            for (int64_t i = 0; i < values; i++) put(r[1].copy[c][s], i, uniform(), half);
        }
        if (!context) continue;
        theirs = ggml.attention(context, tq, tensor[0], tensor[1], NULL, 1 / sqrtf(D), 0, 0);
        r[0].graph[c] = peers_graph(context, theirs);
    }
    p->type[ATTENTION_Q] = BF_F32, p->type[ATTENTION_K] = half ? BF_F16 : BF_F32;
    p->ptr[ATTENTION_Q] = q, p->ptr[ATTENTION_O] = peers_room((uint64_t)(HEADS * queries * D) * 4);
    p->ptr[ATTENTION_LSE] = peers_room((uint64_t)(HEADS * queries) * 4);
    peers_kernel(&r[1], "attention", NULL);
    char label[64];
    snprintf(label, sizeof label, "queries=%lld keys=%lld kv=%s", (long long)queries, (long long)keys, half ? "f16" : "f32");
    peers_compare(label, context ? r : r + 1, context ? 2 : 1, copies, rounds, 2 * (double)kv_bytes,
                  4.0 * HEADS * D * (double)queries * (double)keys);
    if (context)
        printf("%-28s results differ by %.1e of the largest value\n", label,
               difference(p->ptr[ATTENTION_O], ggml.data(theirs), HEADS, queries));
    for (int c = 0; !context && c < copies; c++) free(r[1].copy[c][0]), free(r[1].copy[c][1]);
    if (context) ggml.free(context);
    free(q), free(p->ptr[ATTENTION_O]), free(p->ptr[ATTENTION_LSE]), free(p->scratch);
}

void peers_attention(void) {
    for (int half = 1; half >= 0; half--) {
        attention(1, 16384, half, MOST_KV, 15);
        attention(128, 4096, half, 1, 9);
    }
}

enum { ROWS = 131072, WIDTH = 4096 }; /* 2 GiB of fp32 */
static void copy_2gib(runner *r) { memcpy(r->problem.ptr[NORM_Y], r->problem.ptr[NORM_X], (size_t)ROWS * WIDTH * 4); }

/* The same 2 GiB in for all; out, one buffer for ours and for memcpy, one for each of ggml's. */
static void norm(int kind, const char *label) {
    uint64_t bytes = (uint64_t)ROWS * WIDTH * 4;
    void *context = ggml.backend ? ggml.init((ggml_params){2 * bytes + ((size_t)16 << 20), NULL, false}) : NULL;
    void *in = context ? ggml.tensor(context, GGML_F32, WIDTH, ROWS) : NULL;
    float *x = in ? ggml.data(in) : peers_room(bytes), *y = peers_room(bytes);
    for (int64_t i = 0; i < (int64_t)ROWS * WIDTH; i++) x[i] = uniform();
    runner r[3] = {{.name = "memcpy, one thread", .call = copy_2gib}, {.name = NULL}, {.name = "ggml"}};
    for (int i = 0; i < 2; i++) {
        bf_problem *p = &r[i].problem;
        p->dim[NORM_M] = ROWS, p->dim[NORM_K] = WIDTH, p->dim[NORM_GROUPS] = p->dim[NORM_INNER] = 1;
        p->param[NORM_KIND] = kind, p->param[NORM_EPS] = 1e-6;
        p->type[NORM_X] = p->type[NORM_Y] = BF_F32, p->ptr[NORM_X] = x, p->ptr[NORM_Y] = y;
    }
    peers_kernel(&r[1], "norm", NULL);
    if (context) r[2].graph[0] = peers_graph(context, (kind == NORM_RMS ? ggml.rms_norm : ggml.norm)(context, in, 1e-6f));
    peers_compare(label, r, context ? 3 : 2, 1, 5, 2 * (double)bytes, 0);
    if (context) ggml.free(context);
    else free(x);
    free(y), free(r[1].problem.scratch);
}

void peers_norm(void) {
    norm(NORM_RMS, "rms norm, 2 GiB fp32");
    norm(NORM_LAYER, "layer norm, 2 GiB fp32");
}
