/* peer_ggml.c: ggml's CPU library: products, norms, attention. Its tensors are laid over our own buffers, so that both sides read the
 * same bytes; graphs are built before the clock starts. Declarations as in ggml.h, ggml-alloc.h, ggml-backend.h and ggml-cpu.h of
 * version 0.13; type numbers are the GGUF format's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/common/attention.h"
#include "../kernels/common/linear.h"
#include "../kernels/common/norm.h"
#include "../kernels/common/q4k_matmul.h"
#include "peer.h"

typedef struct ggml_params { size_t size; void *memory; bool no_alloc; } ggml_params;
typedef void tensor; /* struct ggml_tensor, never looked into */

static struct ggml {
    void *(*init)(ggml_params);
    tensor *(*tensor3)(void *, int, int64_t, int64_t, int64_t), *(*mul_mat)(void *, tensor *, tensor *), *(*mul)(void *, tensor *, tensor *);
    tensor *(*add)(void *, tensor *, tensor *), *(*rms_norm)(void *, tensor *, float), *(*norm)(void *, tensor *, float);
    tensor *(*attention)(void *, tensor *q, tensor *k, tensor *v, tensor *mask, float scale, float max_bias, float cap);
    void *(*graph)(void *), *(*buffer)(void *, size_t), *(*cpu)(void);
    void (*expand)(void *, tensor *), (*threads)(void *, int), (*free)(void *), (*buffer_free)(void *);
    void (*lay)(void *buffer, tensor *, void *address); /* aborts on what does not fit; some versions return a status besides */
    int (*compute)(void *, void *);
    const char *(*version)(void);
    void *backend;
} g;

static int load(const char *folder) {
    static int tried;
    if (tried) return g.backend != NULL;
    tried = 1;
    char base[1024], cpu[1024];
    snprintf(base, sizeof base, "%.900s%slibggml-base.so", folder, *folder ? "/" : "");
    snprintf(cpu, sizeof cpu, "%.900s%slibggml-cpu.so", folder, *folder ? "/" : "");
    void *b = dlopen(base, RTLD_NOW | RTLD_GLOBAL), *c = b ? dlopen(cpu, RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!c) return 0;
    const struct { void *to; const char *name; void *from; } calls[] = {
        {&g.init, "ggml_init", b}, {&g.tensor3, "ggml_new_tensor_3d", b}, {&g.mul_mat, "ggml_mul_mat", b}, {&g.mul, "ggml_mul", b},
        {&g.add, "ggml_add", b}, {&g.rms_norm, "ggml_rms_norm", b}, {&g.norm, "ggml_norm", b}, {&g.attention, "ggml_flash_attn_ext", b},
        {&g.graph, "ggml_new_graph", b}, {&g.buffer, "ggml_backend_cpu_buffer_from_ptr", b}, {&g.cpu, "ggml_backend_cpu_init", c},
        {&g.expand, "ggml_build_forward_expand", b}, {&g.threads, "ggml_backend_cpu_set_n_threads", c}, {&g.free, "ggml_free", b},
        {&g.buffer_free, "ggml_backend_buffer_free", b}, {&g.lay, "ggml_backend_tensor_alloc", b}, {&g.compute, "ggml_backend_graph_compute", b},
        {&g.version, "ggml_version", b}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!(*(void **)calls[i].to = dlsym(calls[i].from, calls[i].name))) return 0;
    g.backend = g.cpu();
    return g.backend != NULL;
}

typedef struct plans {
    void *context, **graph, **buffer;
    int buffers;
} plans;

static void ggml_close(bf_peer *p) {
    plans *s = p->state;
    if (!s) return;
    if (s->context) g.free(s->context);
    for (int i = 0; i < s->buffers; i++) g.buffer_free(s->buffer[i]);
    free(s->graph), free(s->buffer), free(s);
}

static int ggml_run(bf_peer *p, int copy) { return g.compute(g.backend, ((plans *)p->state)->graph[copy]) ? -1 : 0; }

static int type_of(bf_dtype t) { return t == BF_F32 ? 0 : t == BF_F16 ? 1 : t == BF_Q4_K ? 12 : t == BF_BF16 ? 30 : -1; }

/* Binds a tensor to memory of ours. */
static tensor *over(plans *s, tensor *t, void *data, uint64_t bytes) {
    void *b = t ? g.buffer(data, bytes) : NULL;
    if (!b) return NULL;
    s->buffer[s->buffers++] = b;
    g.lay(b, t, data);
    return t;
}

static tensor *leaf(plans *s, bf_dtype type, int64_t n0, int64_t n1, int64_t n2, void *data) {
    uint64_t bytes = bf_dtype_bytes(type, n0 * n1 * n2);
    return over(s, g.tensor3(s->context, type_of(type), n0, n1, n2), data, bytes);
}

static tensor *product(plans *s, const bf_problem *q, int y) {
    int64_t m = q->dim[LINEAR_M], k = q->dim[LINEAR_K], n = q->dim[LINEAR_N];
    tensor *w = leaf(s, q->type[LINEAR_W], k, m, 1, q->ptr[LINEAR_W]), *x = leaf(s, BF_F32, k, n, 1, q->ptr[LINEAR_X]);
    return w && x ? over(s, g.mul_mat(s->context, w, x), q->ptr[y], (uint64_t)(m * n) * 4) : NULL;
}

/* With a weight or bias a graph of two or three ops, each writing over the other's result as its allocator would have it. */
static tensor *norm(plans *s, const bf_problem *q) {
    int64_t m = q->dim[NORM_M], k = q->dim[NORM_K];
    uint64_t bytes = (uint64_t)(m * k) * 4;
    tensor *x = leaf(s, BF_F32, k, m, 1, q->ptr[NORM_X]), *y = NULL;
    float eps = (float)q->param[NORM_EPS];
    if (x) y = over(s, (q->param[NORM_KIND] == NORM_RMS ? g.rms_norm : g.norm)(s->context, x, eps), q->ptr[NORM_Y], bytes);
    for (int i = NORM_W; i <= NORM_B && y; i++) {
        if (q->type[i] == BF_NONE) continue;
        tensor *v = leaf(s, BF_F32, k, 1, 1, q->ptr[i]);
        y = v ? over(s, (i == NORM_W ? g.mul : g.add)(s->context, y, v), q->ptr[NORM_Y], bytes) : NULL;
    }
    return y;
}

static tensor *attention(plans *s, const bf_problem *q) {
    int64_t heads = q->dim[ATTENTION_HEADS], kv = q->dim[ATTENTION_KV_HEADS], queries = q->dim[ATTENTION_QUERIES],
            keys = q->dim[ATTENTION_KEYS], d = q->dim[ATTENTION_D];
    bf_dtype type = q->type[ATTENTION_K];
    double scale = q->param[ATTENTION_SCALE] > 0 ? q->param[ATTENTION_SCALE] : 1 / sqrt((double)d);
    tensor *a = leaf(s, BF_F32, d, queries, heads, q->ptr[ATTENTION_Q]), *k = leaf(s, type, d, keys, kv, q->ptr[ATTENTION_K]);
    tensor *v = leaf(s, type, d, keys, kv, q->ptr[ATTENTION_V]);
    if (!a || !k || !v) return NULL;
    return over(s, g.attention(s->context, a, k, v, NULL, (float)scale, 0, 0), q->ptr[ATTENTION_O], (uint64_t)(heads * queries * d) * 4);
}

/* ggml's rows are [query][head], ours [head][query]. */
static void by_head(bf_peer *p, bf_tensor *out, int slot) {
    const bf_problem *q = &p->pre->c->problem;
    int64_t heads = q->dim[ATTENTION_HEADS], queries = q->dim[ATTENTION_QUERIES], d = q->dim[ATTENTION_D];
    const float *from = p->problem[0].ptr[slot];
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < queries; i++)
            memcpy((float *)out->data + (h * queries + i) * d, from + (i * heads + h) * d, (size_t)d * 4);
}

static int fits(const bf_case *c) {
    const bf_problem *q = &c->problem;
    const char *op = c->op->name;
    if (!strncmp(op, "q4k_mat", 7)) return q->type[Q4K_MATMUL_X] == BF_F32;
    if (!strcmp(op, "linear"))
        return q->type[LINEAR_X] == BF_F32 && q->type[LINEAR_Y] == BF_F32 && q->type[LINEAR_B] == BF_NONE && type_of(q->type[LINEAR_W]) >= 0;
    if (!strcmp(op, "norm")) {
        int plain = q->param[NORM_KIND] != NORM_GROUP && q->type[NORM_X] == BF_F32 && q->type[NORM_Y] == BF_F32 && q->type[NORM_R] == BF_NONE;
        return plain && !q->param[NORM_PLUS_ONE] && (q->type[NORM_W] == BF_NONE || q->type[NORM_W] == BF_F32) &&
               (q->type[NORM_B] == BF_NONE || q->type[NORM_B] == BF_F32);
    }
    return !strcmp(op, "attention") && q->type[ATTENTION_Q] == BF_F32 && type_of(q->type[ATTENTION_K]) >= 0 && q->type[ATTENTION_MASK] == BF_NONE &&
           q->type[ATTENTION_SINK] == BF_NONE && !q->dim[ATTENTION_WINDOW] && !q->param[ATTENTION_CAP] && !q->param[ATTENTION_CAUSAL];
}

static const char *how(const bf_case *c) {
    if (!strcmp(c->op->name, "norm")) return c->problem.type[NORM_W] == BF_NONE ? "one op" : "norm, then mul (and add), as graphs do";
    if (!strcmp(c->op->name, "attention")) return "flash_attn_ext on the same keys and values";
    return !strcmp(c->op->name, "linear") ? "mul_mat on the same weights" : "mul_mat on the same Q4_K, activations in 8 bits";
}

int bf_peer_ggml_open(const char *folder, const bf_prepared *pre, const bf_problem *problem, int copies, int threads, bf_peer *p) {
    const char *op = pre->c->op->name;
    if (!fits(pre->c) || !load(folder)) return 0;
    plans *s = calloc(1, sizeof *s);
    *p = (bf_peer){.pre = pre, .problem = problem, .copies = copies, .threads = threads, .state = s, .run = ggml_run, .close = ggml_close};
    if (s) s->graph = calloc((size_t)copies, sizeof(void *)), s->buffer = calloc((size_t)copies, 8 * sizeof(void *));
    /* A tensor's description is below 512 bytes, a graph of the default size below 512 KiB. */
    if (s && s->graph && s->buffer) s->context = g.init((ggml_params){(size_t)copies * (512u << 10), NULL, true});
    if (!s || !s->context) return ggml_close(p), 0;
    g.threads(g.backend, threads);
    for (int i = 0; i < copies; i++) {
        tensor *y = !strcmp(op, "norm") ? norm(s, &problem[i]) : !strcmp(op, "attention") ? attention(s, &problem[i])
                                                                                           : product(s, &problem[i], bf_peer_output(pre->c));
        if (!y) return ggml_close(p), 0;
        g.expand(s->graph[i] = g.graph(s->context), y);
    }
    if (!strcmp(op, "attention") && problem->dim[ATTENTION_QUERIES] > 1) p->result = by_head;
    snprintf(p->name, sizeof p->name, "ggml %.40s", g.version());
    snprintf(p->how, sizeof p->how, "%s", how(pre->c));
    return 1;
}
