/* attention.c: see attention.h. Written from the contract; shares no code with a kernel.
 *
 * Rows (head, query) are taken in blocks, keys in panels. Scores of a block are kept as one dense piece a panel,
 * [panel][row][key of the panel], so that both products are plain dgemm calls. Non-finite values are replaced by zero
 * before a product, and what they do to an output is worked out apart. */
#include "attention.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"
#include "number.h"

enum { PANEL = 512, ROWS = 64 };
#define TINY 0x1p-149
#define FLUSHED (-110.0)    /* weights whose logarithm is below this are zero in fp32 */
#define MAY_VANISH (-80.0) /* scores so far below the maximum may get a weight of zero in fp32 */

typedef struct block {
    const bf_ref_attention_problem *p;
    const bf_ref_attention_errors *e;
    bf_ref_attention_result *r;
    int64_t head, group, first, rows; /* queries [first, first + rows) of one head */
    double *q, *abs_q;                /* [rows][d] */
    int *nonzero;                     /* [rows] */
    double *k, *abs_k, *key_sum;      /* a panel: [PANEL][d], [PANEL] */
    double *v, *away, *abs_v;         /* a panel, transposed: [d][PANEL] */
    double *t, *e0, *e1;              /* scores and their errors, then weights: [keys][rows] in panels */
    double *product;                  /* [rows][max(d, PANEL)] */
    unsigned char *bad_q, *bad_key, *bad_value;
} block;

static double at(const bf_ref_attention_problem *p, const void *x, int64_t i) { return bf_ref_at(p->kv_type, x, i); }
static int64_t panel_keys(const block *b, int64_t from) { return b->p->keys - from < PANEL ? b->p->keys - from : PANEL; }
static int64_t place(const block *b, int64_t row, int64_t j) {
    int64_t from = j / PANEL * PANEL;
    return from * b->rows + row * panel_keys(b, from) + (j - from);
}

/* ---- which keys take part ---- */

static double mask_at(const block *b, int64_t i, int64_t j) {
    return b->p->mask_type == BF_NONE ? 0 : bf_ref_at(b->p->mask_type, b->p->mask, i * b->p->keys + j);
}
static int takes_part(const block *b, int64_t i, int64_t j) {
    const bf_ref_attention_problem *p = b->p;
    int64_t last = i + p->keys - p->queries;
    if (p->causal && j > last) return 0;
    if (p->window > 0 && j <= last - p->window) return 0;
    return !(mask_at(b, i, j) <= -FLT_MAX); /* -inf too; a NaN takes part */
}

/* ---- scores ---- */

static void widen_queries(block *b) {
    const bf_ref_attention_problem *p = b->p;
    for (int64_t i = 0; i < b->rows; i++) {
        b->nonzero[i] = b->bad_q[i] = 0;
        for (int64_t d = 0; d < p->d; d++) {
            double x = bf_ref_at(p->q_type, p->q, ((b->head * p->queries) + b->first + i) * p->d + d);
            b->nonzero[i] += x != 0;
            if (!isfinite(x)) b->bad_q[i] = 1, x = 0;
            b->q[i * p->d + d] = x, b->abs_q[i * p->d + d] = fabs(x);
        }
    }
}

static void widen_keys(block *b, int64_t from, int64_t n) {
    const bf_ref_attention_problem *p = b->p;
    for (int64_t j = 0; j < n; j++) {
        b->bad_key[j] = 0, b->key_sum[j] = 0;
        for (int64_t d = 0; d < p->d; d++) {
            double x = at(p, p->k, (b->group * p->keys + from + j) * p->d + d);
            if (!isfinite(x)) b->bad_key[j] = 1, x = 0;
            b->k[j * p->d + d] = x, b->abs_k[j * p->d + d] = fabs(x), b->key_sum[j] += fabs(x);
        }
    }
}

/* q . k where one of them has a value that is not finite: NaN or an infinity in any order of summation. */
static double special_dot(const block *b, int64_t i, int64_t j) {
    const bf_ref_attention_problem *p = b->p;
    double sum = 0;
    for (int64_t d = 0; d < p->d; d++)
        sum += bf_ref_at(p->q_type, p->q, ((b->head * p->queries) + b->first + i) * p->d + d) *
               at(p, p->k, (b->group * p->keys + j) * p->d + d);
    return sum;
}

/* The score of row i and key j and its error; -inf for an excluded key. *loose: a step may leave fp32. */
static double score(const block *b, int64_t i, int64_t j, double dot, double size, double key_sum, int special,
                    double error[2], int *loose) {
    const bf_ref_attention_problem *p = b->p;
    error[0] = error[1] = 0;
    if (!takes_part(b, b->first + i, j)) return -INFINITY;
    double mask = mask_at(b, b->first + i, j), t = p->scale * (special ? special_dot(b, i, j) : dot);
    double reach = size * (p->scale > 1 ? p->scale : 1), flush = TINY * (key_sum + (double)p->d * fmax(1, p->scale) + 4);
    if (!(reach < FLT_MAX / 4) || (p->cap > 0 && !(reach / p->cap < FLT_MAX / 4))) *loose = 1;
    if (p->cap > 0) t = p->cap * tanh(t / p->cap);
    if (!isfinite(t + mask)) return t + mask;
    if (!(fabs(t) + fabs(mask) < FLT_MAX * 0.999)) *loose = 1;
    for (int x = 0; x < 2; x++)
        error[x] = b->e->dot[x][b->nonzero[i]] * p->scale * size + b->e->score * (fabs(t) + fabs(t + mask)) +
                   b->e->mask * fabs(mask) + flush;
    return t + mask;
}

static void scores(block *b, unsigned char *loose) {
    const bf_ref_attention_problem *p = b->p;
    for (int64_t from = 0; from < p->keys; from += PANEL) {
        int64_t n = panel_keys(b, from);
        double *t = b->t + from * b->rows, *e0 = b->e0 + from * b->rows, *e1 = b->e1 + from * b->rows;
        widen_keys(b, from, n);
        bf_blas_product(b->rows, n, p->d, b->q, b->k, t, n);
        bf_blas_product(b->rows, n, p->d, b->abs_q, b->abs_k, e0, n);
        for (int64_t i = 0; i < b->rows; i++)
            for (int64_t j = 0; j < n; j++) {
                double error[2];
                int any = 0;
                t[i * n + j] = score(b, i, from + j, t[i * n + j], e0[i * n + j], b->key_sum[j],
                                     b->bad_q[i] || b->bad_key[j], error, &any);
                e0[i * n + j] = error[0], e1[i * n + j] = error[1];
                loose[i] |= any;
            }
    }
}

/* ---- softmax of a row: t becomes w, e0 and e1 become w (e^b - 1) ---- */

static double sink_of(const block *b) {
    return b->p->sink_type == BF_NONE ? -INFINITY : bf_ref_at(b->p->sink_type, b->p->sink, b->head);
}

/* Largest score and errors of a row; 1 when a NaN or +inf is among the scores. */
static int survey(const block *b, int64_t i, double *max, double most[2]) {
    int poisoned = 0;
    *max = sink_of(b), most[0] = most[1] = 0;
    if (isnan(*max) || *max == INFINITY) return 1;
    for (int64_t j = 0; j < b->p->keys; j++) {
        int64_t at = place(b, i, j);
        poisoned |= isnan(b->t[at]) || b->t[at] == INFINITY;
        if (b->t[at] > *max) *max = b->t[at];
        most[0] = fmax(most[0], b->e0[at]), most[1] = fmax(most[1], b->e1[at]);
    }
    return poisoned;
}

static void softmax(block *b, int64_t i, int loose, bf_ref_attention_row *row) {
    double most[2], sum = 0;
    int poisoned = survey(b, i, &row->max, most);
    *row = (bf_ref_attention_row){.max = row->max, .lse = -INFINITY, .allow = BF_REF_FINITE};
    if (loose) row->allow = BF_REF_ANY;
    else if (poisoned) row->allow = BF_REF_NAN, row->lse = NAN;
    else if (row->max == -INFINITY) row->allow = BF_REF_INF;
    int ordinary = row->allow == BF_REF_FINITE;
    for (int64_t j = 0; ordinary && j < b->p->keys; j++) sum += exp(b->t[place(b, i, j)] - row->max);
    double sink = sink_of(b), shift = ordinary ? sink - row->max : 0;
    if (ordinary) sum += exp(shift), row->lse = row->max + log(sum);
    for (int64_t j = 0; j < b->p->keys; j++) {
        int64_t at = place(b, i, j);
        double *e[2] = {&b->e0[at], &b->e1[at]}, w = ordinary ? exp(b->t[at] - row->max) / sum : 0;
        double log_w = ordinary ? b->t[at] - row->lse : -INFINITY;
        int counts = w > 0;
        for (int x = 0; x < 2; x++) {
            double off = log_w > -INFINITY ? *e[x] + b->e->argument * (fabs(b->t[at] - row->max) + 2 * most[x]) : 0;
            if (!(w > 0) && !(log_w + off > FLUSHED)) off = 0;
            counts |= off > 0; /* a weight of zero that an error of the score may lift counts too */
            if (off > row->worst[x]) row->worst[x] = off;
            *e[x] = off <= 1 ? w * expm1(off) : log_w + off > 700 ? INFINITY : exp(log_w + off);
            row->error[x] += *e[x];
            if (!(*e[x] < 1e30)) *e[x] = 1e30; /* dgemm must not see an infinity: 0 * inf */
        }
        row->keys += counts;
        b->t[at] = w;
    }
    if (!ordinary || sink == -INFINITY) return;
    for (int x = 0; x < 2; x++) row->error[x] += exp(shift) / sum * expm1(b->e->argument * (fabs(shift) + 2 * most[x]));
    row->keys++;
}

/* ---- the second product ---- */

static void survey_values(const bf_ref_attention_problem *p, int64_t group, bf_ref_attention_column *c) {
    for (int64_t d = 0; d < p->d; d++) {
        double sum = 0, n = 0;
        c[d] = (bf_ref_attention_column){.low = INFINITY, .high = -INFINITY};
        for (int64_t j = 0; j < p->keys; j++) {
            double v = at(p, p->v, (group * p->keys + j) * p->d + d);
            if (!isfinite(v)) continue;
            sum += v, n++;
            c[d].sum += fabs(v), c[d].low = fmin(c[d].low, v), c[d].high = fmax(c[d].high, v);
        }
        if (p->sink_type != BF_NONE || !n) c[d].low = fmin(c[d].low, 0), c[d].high = fmax(c[d].high, 0);
        c[d].center = n ? sum / n : 0;
    }
}

static void widen_values(block *b, int64_t from, int64_t n) {
    const bf_ref_attention_problem *p = b->p;
    const bf_ref_attention_column *c = b->r->column + b->group * p->d;
    for (int64_t j = 0; j < n; j++) {
        b->bad_value[j] = 0;
        for (int64_t d = 0; d < p->d; d++) {
            double v = at(p, p->v, (b->group * p->keys + from + j) * p->d + d);
            int finite = isfinite(v) != 0;
            if (!finite) b->bad_value[j] = 1, v = 0;
            b->v[d * n + j] = v, b->abs_v[d * n + j] = fabs(v), b->away[d * n + j] = finite ? fabs(v - c[d].center) : 0;
        }
    }
}

/* What a non-finite value of key j does to row i: `shift` is its score below the maximum. */
static void special_value(block *b, int64_t i, int64_t j, double w, double shift) {
    const bf_ref_attention_problem *p = b->p;
    int64_t out = (b->head * p->queries + b->first + i) * p->d;
    for (int64_t d = 0; d < p->d; d++) {
        double v = at(p, p->v, (b->group * p->keys + j) * p->d + d);
        unsigned char *allow = &b->r->allow[out + d];
        if (isfinite(v)) continue;
        if (!(w > 0) || shift < MAY_VANISH) *allow = *allow == BF_REF_FINITE ? BF_REF_ANY : *allow | BF_REF_NAN;
        else if (isnan(v)) *allow = BF_REF_NAN;
        else if (*allow != BF_REF_NAN) *allow = BF_REF_INF | BF_REF_NAN;
    }
}

static void add(block *b, int64_t n, const double *weights, const double *values, size_t offset) {
    const bf_ref_attention_problem *p = b->p;
    bf_blas_product(b->rows, p->d, n, weights, values, b->product, p->d);
    for (int64_t i = 0; i < b->rows * p->d; i++) {
        bf_ref_attention_element *e = &b->r->element[(b->head * p->queries + b->first) * p->d + i];
        *(double *)((char *)e + offset) += b->product[i];
    }
}

static void outputs(block *b) {
    const bf_ref_attention_problem *p = b->p;
    bf_ref_attention_row *rows = &b->r->row[b->head * p->queries + b->first];
    for (int64_t from = 0; from < p->keys; from += PANEL) {
        int64_t n = panel_keys(b, from);
        const double *w = b->t + from * b->rows, *e0 = b->e0 + from * b->rows, *e1 = b->e1 + from * b->rows;
        widen_values(b, from, n);
        add(b, n, w, b->v, offsetof(bf_ref_attention_element, o));
        add(b, n, w, b->abs_v, offsetof(bf_ref_attention_element, magnitude));
        add(b, n, w, b->away, offsetof(bf_ref_attention_element, spread));
        add(b, n, e0, b->away, offsetof(bf_ref_attention_element, moved[0]));
        add(b, n, e1, b->away, offsetof(bf_ref_attention_element, moved[1]));
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; b->bad_value[j] && i < b->rows; i++) {
                double weight = w[i * n + j];
                if (rows[i].allow == BF_REF_FINITE && takes_part(b, b->first + i, from + j))
                    special_value(b, i, from + j, weight, log(weight) + rows[i].lse - rows[i].max);
            }
    }
}

/* The sink's share: a key whose value is zero, |0 - c| away. */
static void add_sink(block *b, int64_t i) {
    const bf_ref_attention_problem *p = b->p;
    const bf_ref_attention_row *row = &b->r->row[b->head * p->queries + b->first + i];
    double sink = sink_of(b);
    if (sink == -INFINITY || row->allow != BF_REF_FINITE) return;
    double w = exp(sink - row->lse);
    for (int64_t d = 0; d < p->d; d++) {
        bf_ref_attention_element *e = &b->r->element[(b->head * p->queries + b->first + i) * p->d + d];
        double c = fabs(b->r->column[b->group * p->d + d].center);
        e->spread += w * c;
        for (int x = 0; x < 2; x++)
            e->moved[x] += w * c * expm1(b->e->argument * (fabs(sink - row->max) + 2 * row->worst[x]));
    }
}

static void run_block(block *b, unsigned char *loose) {
    const bf_ref_attention_problem *p = b->p;
    memset(loose, 0, (size_t)b->rows);
    widen_queries(b);
    scores(b, loose);
    for (int64_t i = 0; i < b->rows; i++) {
        int64_t row = b->head * p->queries + b->first + i;
        softmax(b, i, loose[i], &b->r->row[row]);
        unsigned char allow = b->r->row[row].allow == BF_REF_INF ? BF_REF_FINITE : b->r->row[row].allow;
        memset(b->r->allow + row * p->d, allow, (size_t)p->d);
    }
    outputs(b);
    for (int64_t i = 0; i < b->rows; i++) add_sink(b, i);
}

void bf_ref_attention_free(bf_ref_attention_result *r) {
    free(r->row), free(r->element), free(r->allow), free(r->column);
    *r = (bf_ref_attention_result){0};
}

static int reserve(const bf_ref_attention_problem *p, bf_ref_attention_result *r, block *b, double **room, void **flags) {
    size_t d = (size_t)p->d, keys = (size_t)p->keys, rows = (size_t)(p->heads * p->queries), wide = d > PANEL ? d : PANEL;
    *r = (bf_ref_attention_result){.row = calloc(rows, sizeof *r->row), .element = calloc(rows * d, sizeof *r->element),
                                   .allow = calloc(rows * d, 1),
                                   .column = calloc((size_t)p->kv_heads * d, sizeof *r->column)};
    double *x = *room = malloc(sizeof *x * (2 * ROWS * d + 5 * PANEL * d + PANEL + 3 * keys * ROWS + ROWS * wide));
    b->nonzero = *flags = malloc(ROWS * sizeof(int) + ROWS + 2 * PANEL);
    if (!r->row || !r->element || !r->allow || !r->column || !x || !*flags) return -1;
    b->q = x, b->abs_q = x += ROWS * d, b->k = x += ROWS * d, b->abs_k = x += PANEL * d, b->v = x += PANEL * d;
    b->away = x += PANEL * d, b->abs_v = x += PANEL * d, b->key_sum = x += PANEL * d, b->t = x += PANEL;
    b->e0 = x += keys * ROWS, b->e1 = x += keys * ROWS, b->product = x += keys * ROWS;
    b->bad_q = (unsigned char *)(b->nonzero + ROWS), b->bad_key = b->bad_q + ROWS, b->bad_value = b->bad_key + PANEL;
    return 0;
}

int bf_ref_attention(const bf_ref_attention_problem *p, const bf_ref_attention_errors *e, bf_ref_attention_result *r,
                     bf_error *err) {
    unsigned char loose[ROWS];
    double *room = NULL;
    void *flags = NULL;
    block b = {.p = p, .e = e, .r = r};
    if (bf_blas_open(err)) return -1;
    int rc = reserve(p, r, &b, &room, &flags);
    for (int64_t g = 0; !rc && g < p->kv_heads; g++) survey_values(p, g, r->column + g * p->d);
    for (b.head = 0; !rc && b.head < p->heads; b.head++) {
        b.group = b.head / (p->heads / p->kv_heads);
        for (b.first = 0; b.first < p->queries; b.first += ROWS) {
            b.rows = p->queries - b.first < ROWS ? p->queries - b.first : ROWS;
            run_block(&b, loose);
        }
    }
    free(room), free(flags);
    if (!rc) return 0;
    bf_ref_attention_free(r);
    return bf_fail(err, "attention: no memory for the reference");
}
