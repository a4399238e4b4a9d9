/* attention_vec.h: the vectorised attention kernels, written once over W lanes. attention_avx512.c and attention_avx2.c include it
 * after defining
 *   VEC, W, ISA (the attribute of a function), ISA_INLINE
 *   v_load v_store v_set1 v_add v_sub v_mul v_div v_fma (a b + c) v_max (NaN in the first operand is ignored) v_rint
 *   v_scale2(v, n)             v * 2^n, n integral, -126..127
 *   v_widen(p, type)           W elements of fp32, fp16 or bf16
 *   v_if_none(x, yes, no)      by lane: x == -inf ? yes : no
 *   v_if_less(x, y, yes, no)   by lane: x < y ? yes : no; NaN: no
 *   v_sums(a[W])               lane i: the sum of a[i]
 *   v_transpose(a[W])          lane i of a[j] and lane j of a[i] change places
 *   v_bad(v)                   is a lane infinite or NaN?
 * All arithmetic fp32; K and V are widened exactly. */

enum { TILE = 64 /* keys */, VECS = TILE / W, DECODE_ROWS = 8, BLOCK_ROWS = 96, MICRO = 6, PAIR = 32 /* columns of a product */ };

/* e^x for x <= 0 or NaN: below 2^-126 zero. n = rint(x log2 e), f = x log2 e - n in one fused step: relative error |x| u of the
 * constant, and at most 3 u of the polynomial (least squares on Chebyshev points, 0.3 u) and its evaluation. */
ISA_INLINE VEC v_exp(VEC x) {
    const VEC log2e = v_set1(0x1.715476p+0f);
    VEC y = v_max(v_set1(-110.0f), v_max(x, v_set1(-110.0f)));
    y = v_if_less(x, v_set1(-1e30f), y, x); /* -inf would give NaN below */
    y = v_if_less(y, v_set1(-110.0f), v_set1(-110.0f), y);
    VEC n = v_rint(v_mul(y, log2e)), f = v_fma(y, log2e, v_sub(v_set1(0), n));
    VEC p = v_fma(v_set1(0x1.445fc8p-13f), f, v_set1(0x1.5f48c8p-10f));
    p = v_fma(p, f, v_set1(0x1.3b29eep-7f));
    p = v_fma(p, f, v_set1(0x1.c6aeccp-5f));
    p = v_fma(p, f, v_set1(0x1.ebfbe0p-3f));
    p = v_fma(p, f, v_set1(0x1.62e430p-1f));
    p = v_fma(p, f, v_set1(1));
    VEC small = v_set1(-87.0f);
    return v_if_less(y, small, v_set1(0), v_scale2(p, v_if_less(y, small, v_set1(0), n)));
}

/* As bf_tanh of device_math.h. */
ISA_INLINE VEC v_tanh(VEC x) {
    VEC zero = v_set1(0), minus = v_sub(zero, x), a = v_if_less(x, zero, minus, x), z = v_mul(x, x);
    VEC p = v_fma(v_set1(-0x1.9b14e4p-8f), z, v_set1(0x1.59370cp-6f));
    p = v_fma(p, z, v_set1(-0x1.b9278cp-5f));
    p = v_fma(p, z, v_set1(0x1.110d1ep-3f));
    p = v_fma(p, z, v_set1(-0x1.55554ap-2f));
    VEC small = v_fma(v_mul(p, z), x, x), e = v_exp(v_mul(a, v_set1(-2))); /* (1 - e) / (1 + e) */
    VEC large = v_div(v_sub(v_set1(1), e), v_add(v_set1(1), e));
    large = v_if_less(x, zero, v_sub(zero, large), large);
    return v_if_less(a, v_set1(0.55f), small, large);
}

ISA_INLINE float lanes_max(VEC v) {
    float x[W], m = -INFINITY;
    v_store(x, v);
    for (int i = 0; i < W; i++) m = x[i] > m ? x[i] : m;
    return m;
}
ISA_INLINE float lanes_sum(VEC v) {
    float x[W];
    v_store(x, v);
    for (int w = W / 2; w; w /= 2)
        for (int i = 0; i < w; i++) x[i] += x[i + w];
    return x[0];
}

/* What is added to the scores of keys [key, key + TILE) of query i: the mask, -inf for an excluded key. NULL: nothing, no key is
 * excluded. *any: is one? */
ISA_INLINE const float *additions(const attention_job *j, int64_t i, int64_t key, float add[TILE], int *any) {
    int64_t from = attention_first(j, i), to = attention_end(j, i);
    int inside = key >= from && key + TILE <= to;
    *any = !inside;
    if (inside && j->mask_type == BF_NONE) return NULL;
    for (int n = 0; n < TILE; n++) {
        int in = key + n >= from && key + n < to;
        float m = in ? attention_mask(j, i, key + n) : -INFINITY;
        int out = m <= ATTENTION_EXCLUDES;
        add[n] = out ? -INFINITY : m;
        *any |= out;
    }
    return add;
}

/* A row of TILE dot products becomes P; an excluded key's is -0. max and sum go on. Returns what earlier sums are multiplied
 * by. */
ISA_INLINE float softmax_row(const attention_job *j, float *s, const float *add, float *max, float *sum) {
    VEC t[VECS], scale = v_set1(j->scale), most = v_set1(-INFINITY), none = v_set1(-INFINITY);
    for (int n = 0; n < VECS; n++) {
        t[n] = v_mul(v_load(s + n * W), scale);
        if (j->cap > 0) t[n] = v_mul(v_set1(j->cap), v_tanh(v_div(t[n], v_set1(j->cap))));
        if (add) t[n] = v_if_none(v_load(add + n * W), none, v_add(t[n], v_load(add + n * W)));
        most = v_max(t[n], most);
    }
    float higher = lanes_max(most), before = *max;
    if (!(higher > before)) higher = before;
    float base = higher == -INFINITY ? 0.0f : higher;
    VEC total = v_set1(0), from = v_set1(base);
    for (int n = 0; n < VECS; n++) {
        VEC p = v_exp(v_sub(t[n], from));
        if (add) p = v_if_none(v_load(add + n * W), v_set1(-0.0f), p);
        total = v_add(total, p);
        v_store(s + n * W, p);
    }
    float factor = higher == before ? 1.0f : expf(before - base);
    *max = higher;
    *sum = *sum * factor + lanes_sum(total);
    return factor;
}

/* ---- decode: one query, up to DECODE_ROWS heads of a group, one part of the keys ---- */

typedef struct part { /* [heads][splits] */
    float max, sum;
} part;

ISA_INLINE int64_t bytes_of(bf_dtype type) { return type == BF_F32 ? 4 : 2; }

/* s[r][key] for R rows of q [R][d] and `n` keys at k; W / R keys at a time, whose W sums make one vector. */
ISA_INLINE void decode_scores(const float *q, int64_t d, const char *k, int n, bf_dtype type, int R, float s[][TILE], const char *ahead) {
    int64_t row = d * bytes_of(type);
    int K = W / R;
    for (int key = 0; key < TILE && key < n; key += K) {
        VEC a[W];
#pragma GCC unroll 16
        for (int i = 0; i < W; i++) a[i] = v_set1(0);
        const char *at[W];
#pragma GCC unroll 16
        for (int i = 0; i < K; i++) at[i] = k + (key + i < n ? key + i : n - 1) * row;
        for (int64_t e = 0; e < d; e += W) {
            VEC x[W];
            /* The other operand's tile into L2, this one's next keys into L1: what a step reads is asked for in each step. */
            int step = K * W * (int)bytes_of(type), lines = step >= 64 || e % (2 * W) == 0 ? (step + 63) / 64 : 0;
#pragma GCC unroll 16
            for (int line = 0; line < lines; line++) {
                __builtin_prefetch(ahead + key * row + e * K * bytes_of(type) + line * 64, 0, 2);
                __builtin_prefetch(k + (key + K) * row + e * K * bytes_of(type) + line * 64, 0, 3);
            }
#pragma GCC unroll 16
            for (int i = 0; i < K; i++) x[i] = v_widen(at[i] + e * bytes_of(type), type);
#pragma GCC unroll 16
            for (int r = 0; r < R; r++) {
                VEC y = v_load(q + r * d + e);
#pragma GCC unroll 16
                for (int i = 0; i < K; i++) a[r * K + i] = v_fma(x[i], y, a[r * K + i]);
            }
        }
        float out[W];
        v_store(out, v_sums(a));
        for (int r = 0; r < R; r++) memcpy(s[r] + key, out + r * K, sizeof(float) * (size_t)K);
    }
}

/* acc[r][e] += sum over keys of p[r][key] v[key][e], four vectors of columns at a time. Excluded keys are read from `zeros`. */
ISA_INLINE void decode_add(float p[][TILE], const char *v, int n, int64_t d, bf_dtype type, int R, int excluded,
                           const char *zeros, float *acc, const char *ahead) {
    enum { C = W == 16 ? 4 : 2 }; /* 16 sums of 32 registers, 8 of 16 */
    int64_t row = d * bytes_of(type);
    for (int64_t e = 0; e < d; e += C * W) {
        int c = d - e < C * W ? (int)((d - e) / W) : C;
        VEC o[8][C];
        for (int r = 0; r < R; r++)
            for (int i = 0; i < C; i++) o[r][i] = i < c ? v_load(acc + r * d + e + i * W) : v_set1(0);
        for (int key = 0; key < n; key++) {
            const char *at = v + key * row + e * bytes_of(type);
            if (excluded && p[0][key] == 0.0f && signbit(p[0][key])) at = zeros;
            for (int64_t line = 0; line < C * W * bytes_of(type); line += 64)
                __builtin_prefetch(ahead + (e * TILE + key * C * W) * bytes_of(type) + line, 0, 2);
            VEC x[C];
            if (c == C)
                for (int i = 0; i < C; i++) x[i] = v_widen(at + i * W * bytes_of(type), type);
            else
                for (int i = 0; i < C; i++) x[i] = i < c ? v_widen(at + i * W * bytes_of(type), type) : v_set1(0);
            for (int r = 0; r < R; r++)
                for (int i = 0; i < C; i++) o[r][i] = v_fma(v_set1(p[r][key]), x[i], o[r][i]);
        }
        for (int r = 0; r < R; r++)
            for (int i = 0; i < c; i++) v_store(acc + r * d + e + i * W, o[r][i]);
    }
}

/* Rows [0, R) of q (R 1, 2, 4: heads `head` on), keys [from, to) of kv head g, into acc [R][d]. */
ISA_INLINE void decode_rows(const attention_job *j, int64_t head, int64_t g, int64_t from, int64_t to, bf_dtype type, int R,
                            float *acc, part *out, int64_t out_stride) {
    float q[4 * ATTENTION_MAX_D] __attribute__((aligned(64))), s[4][TILE] __attribute__((aligned(64)));
    float add[TILE] __attribute__((aligned(64)));
    static const char zeros[4 * ATTENTION_MAX_D] __attribute__((aligned(64)));
    part state[4];
    int64_t row = j->d * bytes_of(type);
    for (int r = 0; r < R; r++) {
        state[r] = (part){-INFINITY, 0};
        for (int64_t e = 0; e < j->d; e++) q[r * j->d + e] = bf_load_float(j->q, j->q_type, (head + r) * j->d + e);
    }
    memset(acc, 0, sizeof(float) * (size_t)(R * j->d));
    for (int64_t key = from; key < to; key += TILE) {
        int n = to - key < TILE ? (int)(to - key) : TILE, any;
        const char *k = (const char *)j->k + (g * j->keys + key) * row, *v = (const char *)j->v + (g * j->keys + key) * row;
        decode_scores(q, j->d, k, n, type, R, s, v);
        const float *extra = additions(j, 0, key, add, &any);
        for (int i = n; extra && i < TILE; i++) add[i] = -INFINITY; /* the next part's */
        if (n < TILE && !extra) {
            for (int i = 0; i < TILE; i++) add[i] = i < n ? 0 : -INFINITY;
            extra = add;
        }
        for (int r = 0; r < R; r++) {
            float f = softmax_row(j, s[r], extra, &state[r].max, &state[r].sum);
            for (int64_t e = 0; f != 1.0f && e < j->d; e += W) v_store(acc + r * j->d + e, v_mul(v_load(acc + r * j->d + e), v_set1(f)));
        }
        decode_add(s, v, n, j->d, type, R, any, zeros, acc, k + TILE * row);
    }
    for (int r = 0; r < R; r++) out[r * out_stride] = state[r];
}

typedef void decode_fn(const attention_job *, int64_t head, int64_t g, int64_t from, int64_t to, float *acc, part *out, int64_t);
#define DECODE(type, R)                                                                                            \
    ISA static void decode_##type##_##R(const attention_job *j, int64_t head, int64_t g, int64_t from, int64_t to,  \
                                        float *acc, part *out, int64_t stride) {                                    \
        decode_rows(j, head, g, from, to, type, R, acc, out, stride);                                               \
    }
DECODE(BF_F32, 1) DECODE(BF_F32, 2) DECODE(BF_F32, 4)
DECODE(BF_F16, 1) DECODE(BF_F16, 2) DECODE(BF_F16, 4)
DECODE(BF_BF16, 1) DECODE(BF_BF16, 2) DECODE(BF_BF16, 4)
static decode_fn *const decode_of[3][3] = {{decode_BF_F32_1, decode_BF_F32_2, decode_BF_F32_4},
                                           {decode_BF_F16_1, decode_BF_F16_2, decode_BF_F16_4},
                                           {decode_BF_BF16_1, decode_BF_BF16_2, decode_BF_BF16_4}};

/* Items [begin, end) of (kv head, part): outputs and states of all heads of the group. */
static void decode_parts(void *arg, int64_t begin, int64_t end, int thread) {
    const attention_job *j = arg;
    float *acc = (float *)j->scratch; /* [heads][splits][d], then the parts [heads][splits] */
    part *parts = (part *)(acc + j->heads * j->splits * j->d);
    int type = j->kv_type == BF_F32 ? 0 : j->kv_type == BF_F16 ? 1 : 2;
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        int64_t g = item / j->splits, split = item % j->splits, first = attention_first(j, 0), stop = attention_end(j, 0);
        int64_t from = first + split * j->per_split, to = from + j->per_split < stop ? from + j->per_split : stop;
        for (int64_t h = 0; h < j->group;) {
            int R = j->group - h >= 4 ? 4 : j->group - h >= 2 ? 2 : 1;
            float rows[4 * ATTENTION_MAX_D] __attribute__((aligned(64)));
            int64_t head = g * j->group + h, at = head * j->splits + split;
            decode_of[type][R / 2](j, head, g, from, to, rows, &parts[at], j->splits);
            for (int r = 0; r < R; r++)
                memcpy(acc + (at + r * j->splits) * j->d, rows + r * j->d, sizeof(float) * (size_t)j->d);
            h += R;
        }
    }
}

static void decode_combine(void *arg, int64_t begin, int64_t end, int thread) {
    const attention_job *j = arg;
    const float *acc = (const float *)j->scratch;
    const part *parts = (const part *)(acc + j->heads * j->splits * j->d);
    (void)thread;
    for (int64_t head = begin; head < end; head++) {
        const part *p = parts + head * j->splits;
        float sink = attention_sink(j, head), max = sink, *o = j->o + head * j->d;
        for (int64_t s = 0; s < j->splits; s++) max = fmaxf(max, p[s].max);
        float base = max == -INFINITY ? 0.0f : max, sum = sink == -INFINITY ? 0.0f : expf(sink - base);
        memset(o, 0, sizeof(float) * (size_t)j->d);
        for (int64_t s = 0; s < j->splits; s++) {
            float f = expf(p[s].max - base);
            sum += p[s].sum * f;
            for (int64_t e = 0; e < j->d; e++) o[e] += acc[(head * j->splits + s) * j->d + e] * f;
        }
        for (int64_t e = 0; e < j->d; e++) o[e] = sum == 0.0f ? 0.0f : o[e] / sum;
        j->lse[head] = attention_lse(base, sum);
    }
}

static void decode_run(const bf_problem *p, bf_pool *pool) {
    attention_job j = attention_job_of(p);
    attention_split(&j);
    /* Neighbouring parts to one thread: what it prefetched behind the end of a part is then its own. */
    int64_t items = j.kv_heads * j.splits, grain = items / (8 * (pool ? bf_pool_threads(pool) : 1));
    bf_pool_run(pool, decode_parts, &j, items, grain < 1 ? 1 : grain);
    bf_pool_run(pool, decode_combine, &j, j.heads, 1);
}

/* ---- prefill: blocks of rows against tiles of keys, two matrix products ---- */

typedef struct block {
    float q[BLOCK_ROWS * ATTENTION_MAX_D], o[BLOCK_ROWS * ATTENTION_MAX_D]; /* [rows][d], [rows][columns] */
    float p[BLOCK_ROWS * TILE];                                             /* [rows][TILE] */
    float k[ATTENTION_MAX_D * TILE], v[TILE * ATTENTION_MAX_D];             /* [d][TILE], [TILE][columns] */
    float max[BLOCK_ROWS], sum[BLOCK_ROWS], add[TILE];
} __attribute__((aligned(64))) block;

/* C[MICRO][columns 0 .. N vectors) (+)= A[MICRO][k] B[k][ldb]. */
ISA_INLINE void product(const float *a, int64_t lda, int64_t k, const float *b, int64_t ldb, float *c, int64_t ldc, int N, int add) {
    VEC s[MICRO][4];
#pragma GCC unroll 6
    for (int r = 0; r < MICRO; r++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) s[r][n] = add ? v_load(c + r * ldc + n * W) : v_set1(0);
    for (int64_t i = 0; i < k; i++) {
        VEC x[4];
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) x[n] = v_load(b + i * ldb + n * W);
#pragma GCC unroll 6
        for (int r = 0; r < MICRO; r++) {
            VEC y = v_set1(a[r * lda + i]);
#pragma GCC unroll 4
            for (int n = 0; n < N; n++) s[r][n] = v_fma(y, x[n], s[r][n]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < MICRO; r++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) v_store(c + r * ldc + n * W, s[r][n]);
}
/* Rows a multiple of MICRO; columns a multiple of PAIR. */
ISA_INLINE void matrix_product(const float *a, int64_t lda, int rows, int64_t k, const float *b, int64_t ldb, float *c, int64_t ldc,
                               int64_t columns, int add) {
    enum { WIDE = W == 16 ? 4 : 2 };
    for (int64_t n = 0; n < columns;) {
        int wide = columns - n >= WIDE * W;
        for (int r = 0; r < rows; r += MICRO) {
            if (wide) product(a + r * lda, lda, k, b + n, ldb, c + r * ldc + n, ldc, WIDE, add);
            else product(a + r * lda, lda, k, b + n, ldb, c + r * ldc + n, ldc, 2, add);
        }
        n += wide ? WIDE * W : 2 * W;
    }
}

/* K of keys [key, key + n) widened and turned, V widened; what is missing is zero. Returns 1 when V has a value that is not finite. */
ISA_INLINE int widen_tile(const attention_job *j, int64_t g, int64_t key, int n, bf_dtype type, int64_t columns, block *b) {
    int64_t row = j->d * bytes_of(type);
    const char *k = (const char *)j->k + (g * j->keys + key) * row, *v = (const char *)j->v + (g * j->keys + key) * row;
    int bad = 0;
    for (int at = 0; at < TILE; at += W)
        for (int64_t e = 0; e < j->d; e += W) {
            VEC x[W];
#pragma GCC unroll 16
            for (int i = 0; i < W; i++) x[i] = at + i < n ? v_widen(k + (at + i) * row + e * bytes_of(type), type) : v_set1(0);
            v_transpose(x);
#pragma GCC unroll 16
            for (int i = 0; i < W; i++) v_store(b->k + (e + i) * TILE + at, x[i]);
        }
    for (int at = 0; at < TILE; at++)
        for (int64_t e = 0; e < columns; e += W) {
            VEC x = at < n && e < j->d ? v_widen(v + at * row + e * bytes_of(type), type) : v_set1(0);
            bad |= v_bad(x);
            v_store(b->v + at * columns + e, x);
        }
    return bad;
}

/* o += P V where V has NaN or infinities: key by key, excluded ones (P = -0) left out. */
ISA static void add_carefully(block *b, int rows, int n, int64_t columns) {
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < n; i++) {
            float p = b->p[r * TILE + i];
            if (p == 0.0f && signbit(p)) continue;
            for (int64_t e = 0; e < columns; e += W) {
                float *o = b->o + r * columns + e;
                v_store(o, v_fma(v_set1(p), v_load(b->v + i * columns + e), v_load(o)));
            }
        }
}

/* Row r of the rows of kv head g, [group][queries]: its query, and its place in q and o. */
ISA_INLINE int64_t query_of(const attention_job *j, int64_t row) { return row % j->queries; }
ISA_INLINE int64_t place_of(const attention_job *j, int64_t g, int64_t row) { return g * j->group * j->queries + row; }

ISA_INLINE void prefill_block(const attention_job *j, int64_t g, int64_t first, int rows, bf_dtype type, block *b) {
    int64_t columns = (j->d + PAIR - 1) / PAIR * PAIR, from = j->keys, to = 0;
    int padded = (rows + MICRO - 1) / MICRO * MICRO;
    memset(b->q, 0, sizeof(float) * (size_t)(padded * j->d)), memset(b->o, 0, sizeof(float) * (size_t)(padded * columns));
    memset(b->p, 0, sizeof(float) * (size_t)(padded * TILE));
    for (int r = 0; r < rows; r++) {
        int64_t i = query_of(j, first + r), at = place_of(j, g, first + r) * j->d;
        b->max[r] = attention_sink(j, place_of(j, g, first + r) / j->queries);
        b->sum[r] = b->max[r] == -INFINITY ? 0.0f : b->max[r] - b->max[r] == 0.0f ? 1.0f : NAN;
        if (attention_first(j, i) < from) from = attention_first(j, i);
        if (attention_end(j, i) > to) to = attention_end(j, i);
        for (int64_t e = 0; e < j->d; e++) b->q[r * j->d + e] = bf_load_float(j->q, j->q_type, at + e);
    }
    for (int64_t key = from; key < to; key += TILE) {
        int n = j->keys - key < TILE ? (int)(j->keys - key) : TILE, any;
        int bad = widen_tile(j, g, key, n, type, columns, b);
        matrix_product(b->q, j->d, padded, j->d, b->k, TILE, b->p, TILE, TILE, 0);
        for (int r = 0; r < rows; r++) {
            const float *add = additions(j, query_of(j, first + r), key, b->add, &any);
            float f = softmax_row(j, b->p + r * TILE, add, &b->max[r], &b->sum[r]), *o = b->o + r * columns;
            for (int64_t e = 0; f != 1.0f && e < columns; e += W) v_store(o + e, v_mul(v_load(o + e), v_set1(f)));
        }
        if (bad) add_carefully(b, rows, n, columns);
        else matrix_product(b->p, TILE, padded, n, b->v, columns, b->o, columns, columns, 1);
    }
    for (int r = 0; r < rows; r++) {
        int64_t at = place_of(j, g, first + r);
        float sum = b->sum[r], base = b->max[r] == -INFINITY ? 0.0f : b->max[r];
        for (int64_t e = 0; e < j->d; e++) j->o[at * j->d + e] = sum == 0.0f ? 0.0f : b->o[r * columns + e] / sum;
        j->lse[at] = attention_lse(base, sum);
    }
}

#define PREFILL(type)                                                                                                     \
    ISA static void prefill_##type(const attention_job *j, int64_t g, int64_t first, int rows, block *b) {                \
        prefill_block(j, g, first, rows, type, b);                                                                        \
    }
PREFILL(BF_F32) PREFILL(BF_F16) PREFILL(BF_BF16)

static void prefill_blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const attention_job *j = arg;
    int64_t all = j->group * j->queries, blocks = (all + BLOCK_ROWS - 1) / BLOCK_ROWS;
    block b;
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        int64_t g = item / blocks, first = item % blocks * BLOCK_ROWS;
        int rows = all - first < BLOCK_ROWS ? (int)(all - first) : BLOCK_ROWS;
        (j->kv_type == BF_F32 ? prefill_BF_F32 : j->kv_type == BF_F16 ? prefill_BF_F16 : prefill_BF_BF16)(j, g, first, rows, &b);
    }
}
static void prefill_run(const bf_problem *p, bf_pool *pool) {
    attention_job j = attention_job_of(p);
    bf_pool_run(pool, prefill_blocks, &j, j.kv_heads * ((j.group * j.queries + BLOCK_ROWS - 1) / BLOCK_ROWS), 1);
}
