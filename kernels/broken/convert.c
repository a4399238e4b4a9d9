/* Twins of convert: the plain kernel with one defect each. A witness case must catch every one of them. */
#include "../cpu/convert_naive.h"

#define TWIN(id, text, constant, what)                                                                    \
    static void id##_chunk(void *arg, int64_t begin, int64_t end, int thread) {                           \
        (void)thread;                                                                                     \
        convert_chunk(arg, begin, end, constant);                                                         \
    }                                                                                                     \
    static void id##_run(const bf_problem *p, bf_pool *pool) { convert_run(p, pool, id##_chunk, 65536); } \
    static const bf_kernel id = {.op = "convert", .name = "convert_twin_" text, .file = "broken_convert", \
                                 .target = BF_CPU, .role = BF_TWIN, .twin = text, .summary = what,        \
                                 .accepts = convert_accepts, .run = id##_run};                            \
    BF_REGISTER(id)

TWIN(trunc, "trunc", CONVERT_TRUNC, "truncates where it should round");
TWIN(half_away, "half-away", CONVERT_HALF_AWAY, "ties go away from zero");
TWIN(flush, "flush-subnormal", CONVERT_FLUSH, "subnormal inputs and results become zero");
TWIN(nan_to_inf, "nan-to-inf", CONVERT_NAN_TO_INF, "a NaN with only low payload bits becomes an infinity");
