/* attention.h: softmax(cap(scale q k^T) + mask) v in float64, and the sums of magnitudes that its bounds need. */
#ifndef BF_REF_ATTENTION_H
#define BF_REF_ATTENTION_H

#include <stdint.h>

#include "../harness/error.h"
#include "../kernels/common/kernel.h"

/* One problem, row-major as the contract has it; mask_type and sink_type BF_NONE: absent. */
typedef struct bf_ref_attention_problem {
    int64_t heads, kv_heads, queries, keys, d, window;
    double scale, cap;
    int causal;
    bf_dtype q_type, kv_type, mask_type, sink_type;
    const void *q, *k, *v, *mask, *sink;
} bf_ref_attention_problem;

/* How far a kernel's score t_j may lie from the exact one:
 *   e_j = dot[x][z] scale sum|q||k| + score (|t_j - mask| + |t_j|) + mask |mask| + underflow,  z: values of q that are not zero,
 * and its weight, when it is formed from a maximum m: b_j = e_j + argument (|t_j - m| + 2 max e).
 * x: 0 worst case, 1 probabilistic. */
typedef struct bf_ref_attention_errors {
    double dot[2][257];
    double score, mask, argument;
} bf_ref_attention_errors;

/* What may come out, one byte an element. */
enum { BF_REF_FINITE = 1, BF_REF_INF = 2, BF_REF_NAN = 4, BF_REF_ANY = 7 };

typedef struct bf_ref_attention_row {
    double lse, max;       /* max over keys and sink; -inf: none */
    double error[2];       /* sum of w_j (e^b_j - 1); the sink is one of the keys */
    double worst[2];       /* largest b_j, but of keys that stay below 2^-126 whatever their error */
    double keys;           /* keys whose weight is or may be above zero, and the sink */
    unsigned char allow;   /* of lse */
} bf_ref_attention_row;

/* w_j: the weights, summing to one. c: a constant of the column, near its mean, so that what is common to all
 * values does not count as an error of the weights. */
typedef struct bf_ref_attention_element {
    double o;
    double spread;         /* sum w_j |v_j - c| */
    double moved[2];       /* sum w_j (e^b_j - 1) |v_j - c| */
    double magnitude;      /* sum w_j |v_j| */
} bf_ref_attention_element;

typedef struct bf_ref_attention_column { /* of one kv head */
    double center, low, high, sum; /* c; least and largest value; sum of magnitudes; finite values only */
} bf_ref_attention_column;

typedef struct bf_ref_attention_result {
    bf_ref_attention_row *row;         /* [heads][queries] */
    bf_ref_attention_element *element; /* [heads][queries][d] */
    unsigned char *allow;              /* [heads][queries][d] */
    bf_ref_attention_column *column;   /* [kv_heads][d] */
} bf_ref_attention_result;

/* Products by OpenBLAS dgemm in panels of keys. -1 with err: no memory, no OpenBLAS. */
int bf_ref_attention(const bf_ref_attention_problem *, const bf_ref_attention_errors *, bf_ref_attention_result *,
                     bf_error *);
void bf_ref_attention_free(bf_ref_attention_result *);

#endif
