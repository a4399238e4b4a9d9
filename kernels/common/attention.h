/* attention: o = softmax(cap(scale * q k^T) + mask) v, with a log-sum-exp as second output.
 *
 * For query head h, query i, key j of kv head h / (heads / kv_heads):
 *   t = scale * sum over d of q[d] * k[d]       products and sums fp32
 *   t = cap * tanh(t / cap)                     when cap > 0 (soft cap)
 *   t = t + mask[i][j]                          when a mask is given; order: scale, soft cap, mask
 *   o = sum_j exp(t_j - max) v_j / sum_j exp(t_j - max);  lse = max + log(sum_j exp(t_j - max))
 * A sink s of the head takes part in max and sum like one more key whose value is zero. Scores, probabilities and sums are fp32
 * throughout; K and V are widened exactly, P is never rounded to 16 bits. scale = 0 stands for 1/sqrt(d), rounded to fp32. A
 * kernel rescales what it has summed so far (a new maximum) at most chain/16 + 2 times behind one output, chain being the
 * number of rounded additions that it declares.
 *
 * Paths: none, that is fp32 throughout, on every target; "wmma" (gfx1151), for q and K of the same 16-bit type: q . k by fp16 or bf16
 * matrix instructions, exact products and fp32 sums, which are not IEEE's (kernels/simt/wmma_adder.h); everything behind the scores is fp32 there too.
 *
 * A key is excluded when: causal and j > i + (keys - queries); window > 0 and j <= i + (keys - queries) - window; its
 * mask value is -inf or <= -FLT_MAX after widening (fp16's -65504 is an ordinary number). No key left: o = 0, lse = -inf;
 * with a sink: o = 0, lse = sink. A NaN or infinity in an excluded key or its value does not leak.
 *
 * Of the keys that take part: a NaN score (from q, k, mask or sink) poisons exactly its row (o and lse NaN), a score of +inf
 * likewise; a score of -inf is a weight of zero, and when no other is left the row is as with no key. A NaN in a value gives
 * NaN in that column, an infinity that infinity or NaN; but where the weight is zero or may underflow (t more than about
 * 87 below the maximum), such a value may also give the finite result of the other keys. Masks between -FLT_MAX and
 * -2.3e38 overflow when multiplied by log2(e): subtract the maximum first. */
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
enum { ATTENTION_SCALE, ATTENTION_CAP, ATTENTION_CAUSAL /* param; scale 0: 1/sqrt(d); cap 0: none */ };
enum {               /* tensors, row-major */
    ATTENTION_Q,    /* in  F32, F16 or BF16 [heads][queries][d] */
    ATTENTION_K,    /* in  F32, F16 or BF16 [kv_heads][keys][d] */
    ATTENTION_V,    /* in  the type of K    [kv_heads][keys][d]; type[ATTENTION_V] is not set, read K's */
    ATTENTION_MASK, /* in  F32 or F16 [queries][keys], the same for all heads, or BF_NONE */
    ATTENTION_SINK, /* in  F32 [heads], or BF_NONE */
    ATTENTION_O,    /* out F32 [heads][queries][d] */
    ATTENTION_LSE,  /* out F32 [heads][queries] */
    ATTENTION_TENSORS
};

/* At and below this a mask value excludes its key: -FLT_MAX. */
#define ATTENTION_EXCLUDES -0x1.fffffep127f

#endif
