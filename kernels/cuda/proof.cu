#include "../common/device.h"
#include "../common/kernel.h"

/* Proof that this device computes: answers the harness' nonce (harness/backend.h, bf_proof_expected).
 *
 * Every thread starts from the nonce and its own block, thread and lane as the hardware counts them, takes in the values
 * of other lanes by five shuffles, and lane 0 of each warp adds to the two words of the answer by atomic exclusive or.
 * A device that drops a block, a lane, a shuffle or an atomic gives another number. */
enum { BLOCKS = 4, THREADS = 64 };

struct proof_args {
    uint64_t nonce;
    uint32_t *answer; /* [2], low word first */
};

BF_FN uint32_t proof_mix(uint32_t h) {
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

BF_KERNEL_FN(proof_clear, proof_args, 32) {
    if (bf_tid_x() < 2) a.answer[bf_tid_x()] = 0;
}

BF_KERNEL_FN(proof_answer, proof_args, THREADS) {
    uint32_t warp = ((uint32_t)bf_bid_x() * (uint32_t)bf_bdim_x() + (uint32_t)bf_tid_x()) / BF_WARP;
    uint32_t id = warp * BF_WARP + (uint32_t)bf_lane();
    uint32_t v = proof_mix(proof_mix((uint32_t)a.nonce + id * 0x9e3779b9u) ^ (uint32_t)(a.nonce >> 32));
    for (int mask = BF_WARP / 2; mask; mask >>= 1) v = proof_mix(v * 3u + bf_shfl_xor(v, mask) + (uint32_t)mask);
    if (bf_lane() == 0) {
        bf_atomic_xor_u32(&a.answer[0], v);
        bf_atomic_xor_u32(&a.answer[1], proof_mix(v + warp));
    }
}

#if BF_HOST
static int proof_accepts(const bf_problem *) { return 1; }
static int proof_plan(const bf_problem *p, bf_step *s) {
    proof_args a = {(uint64_t)p->dim[0], (uint32_t *)p->ptr[0]};
    bf_step_set(&s[0], BF_STEP_FN(proof_clear), 1, 1, 32, 1, 0, a);
    bf_step_set(&s[1], BF_STEP_FN(proof_answer), BLOCKS, 1, THREADS, 1, 0, a);
    return 2;
}
static const bf_kernel proof = {
    .op = "proof", .name = "proof", .file = "proof", .target = BF_STEP_TARGET, .role = BF_NAIVE,
    .summary = "answers the harness' nonce", .rank = 0, .accepts = proof_accepts, .plan = proof_plan,
};
BF_REGISTER(proof);
#endif
