/* convert_naive.c: one element after another, in integer code. The plain version that the others are measured against. */
#include "convert_naive.h"

static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    convert_chunk(arg, begin, end, CONVERT_SOUND);
}
static void run(const bf_problem *p, bf_pool *pool) { convert_run(p, pool, chunk, 65536); }

static const bf_kernel convert_naive = {
    .op = "convert", .name = "convert_naive", .file = "convert_naive", .target = BF_CPU, .role = BF_NAIVE,
    .summary = "element by element in integer code", .accepts = convert_accepts, .run = run,
};
BF_REGISTER(convert_naive);
