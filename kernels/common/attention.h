/* attention: o = softmax(cap(scale * q k^T) + mask) v, with a log-sum-exp as second output.
 *
 * For query head h, query i, key j of kv head h / (heads / kv_heads):
 *   t = scale * sum over d of q[d] * k[d]       products and sums fp32
 *   t = cap * tanh(t / cap)                     when cap > 0 (soft cap)
 *   t = t + mask[i][j]                          when a mask is given; order: scale, soft cap, mask
 *   o = sum_j exp(t_j - max) v_j / sum_j exp(t_j - max);  lse = max + log(sum_j exp(t_j - max))
 * A sink s of the head takes part in max and sum like one more key whose value is zero. Scores, probabilities and sums are fp32
 * throughout; K and V are widened exactly, P is never rounded to 16 bits.
 *
 * A key is excluded when: causal and j > i + (keys - queries); window > 0 and j <= i + (keys - queries) - window; its
 * mask value is -inf or <= -FLT_MAX after widening (fp16's -65504 is an ordinary number). No key left: o = 0, lse = -inf;
 * with a sink: o = 0, lse = sink. A NaN or infinity in an excluded key or its value does not leak. A NaN in a key that takes
 * part poisons exactly its rows (o and lse NaN); an infinity in a value that takes part gives that infinity or NaN in that
 * column. A score of +inf gives NaN in that row; -inf is a weight of zero. */
#ifndef BF_OP_ATTENTION_H
#define BF_OP_ATTENTION_H

enum { /* dim */
    ATTENTION_HEADS,    /* query heads; a multiple of kv_heads */
    ATTENTION_KV_HEADS, /* key and value heads */
    ATTENTION_QUERIES,
    ATTENTION_KEYS,
    ATTENTION_D,        /* head dimension: 64, 80, 96, 112, 128, 192, 256 */
    ATTENTION_WINDOW    /* sliding window in keys; 0: none */
};
enum { ATTENTION_SCALE, ATTENTION_CAP, ATTENTION_CAUSAL /* param; cap 0: none */ };
enum {               /* tensors, row-major */
    ATTENTION_Q,    /* in  F32, F16 or BF16 [heads][queries][d] */
    ATTENTION_K,    /* in  F32, F16 or BF16 [kv_heads][keys][d] */
    ATTENTION_V,    /* in  type of K        [kv_heads][keys][d] */
    ATTENTION_MASK, /* in  F32 or F16 [queries][keys], the same for all heads, or BF_NONE */
    ATTENTION_SINK, /* in  F32 [heads], or BF_NONE */
    ATTENTION_O,    /* out F32 [heads][queries][d] */
    ATTENTION_LSE,  /* out F32 [heads][queries] */
    ATTENTION_TENSORS
};

#endif
