/* conv_naive.c: one output after another, one chain over channels and taps. The plain version that the others are
 * measured against. */
#include "conv_naive.h"

static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    conv_naive_chunk(arg, begin, end, CONV_SOUND);
}
static void run(const bf_problem *p, bf_pool *pool) { conv_naive_run(p, pool, chunk); }

static const bf_kernel conv_naive = {
    .op = "conv", .name = "conv_naive", .file = "conv_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "output by output, one chain", .accepts = conv_accepts, .chain = conv_plain_chain, .run = run,
};
BF_REGISTER(conv_naive);
