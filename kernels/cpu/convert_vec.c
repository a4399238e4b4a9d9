/* convert_vec.c: portable C, one loop for each pair of types with both constant. fp32 and bf16 are branch-free and become vector
 * code on any target; a conversion from or to fp16 stays scalar where the processor has no instruction for it. */
#include "convert_naive.h"

static void chunk(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const convert_job *j = arg;
    int plain = !j->c && !j->saturate;
    const uint16_t *x16 = j->x;
    const uint32_t *x32 = j->x;
    uint16_t *y16 = j->y;
    uint32_t *y32 = j->y;
    if (!plain) convert_chunk(j, begin, end, CONVERT_SOUND);
    else if (j->from == BF_BF16 && j->to == BF_F32)
        for (int64_t i = begin; i < end; i++) y32[i] = (uint32_t)x16[i] << 16;
    else if (j->from == BF_F32 && j->to == BF_BF16)
        for (int64_t i = begin; i < end; i++) {
            uint32_t u = x32[i], nan = (u & 0x7fffffffu) > 0x7f800000u;
            y16[i] = (uint16_t)((nan ? u | 0x400000u : u + 0x7fffu + (u >> 16 & 1u)) >> 16);
        }
    else if (j->from == j->to) {
        int64_t size = convert_size(j->to);
        memcpy((char *)j->y + begin * size, (const char *)j->x + begin * size, (size_t)((end - begin) * size));
    } else if (j->from == BF_F16 && j->to == BF_F32)
        for (int64_t i = begin; i < end; i++) y32[i] = bf_f16_to_f32_bits(x16[i]);
    else if (j->from == BF_F32 && j->to == BF_F16)
        for (int64_t i = begin; i < end; i++) y16[i] = (uint16_t)bf_f32_bits_to_f16(x32[i]);
    else convert_chunk(j, begin, end, CONVERT_SOUND);
}
static void run(const bf_problem *p, bf_pool *pool) { convert_run(p, pool, chunk, 65536); }

static const bf_kernel convert_vec = {
    .op = "convert", .name = "convert_vec", .file = "convert_vec", .target = BF_CPU, .role = BF_TUNED,
    .summary = "portable C, the compiler's vectors", .rank = 10, .accepts = convert_accepts, .run = run,
};
BF_REGISTER(convert_vec);
