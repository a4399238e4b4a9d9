/* q4k_matvec.c: both paths in portable C, for processors without a kernel of their own.
 *
 * Idea: a row at a time, its nibbles unpacked to bytes once for all columns, loops over 32 that any compiler turns into
 * vectors; sums in as many parts as a 128-bit register has lanes, so that nothing has to be reassociated. */
#include "q4k_matvec_naive.h"

enum { PARTS = 8 /* fp32: partial sums of a sub-block */ };

static void unpack(const bf_q4_k *b, uint8_t q[BF_Q4_K_WEIGHTS]) {
    for (int g = 0; g < 4; g++)
        for (int l = 0; l < 32; l++) {
            q[64 * g + l] = b->qs[32 * g + l] & 15;
            q[64 * g + 32 + l] = b->qs[32 * g + l] >> 4;
        }
}

/* The eight scales and minima, decoded. */
static void decode(const bf_q4_k *b, float dsc[8], float dm[8]) {
    for (int s = 0; s < 8; s++) matvec_scales(b, s, MATVEC_SOUND, &dsc[s], &dm[s]);
}

static float fp32_block(const uint8_t *q, const float *x, float dsc, float dm) {
    float a[PARTS] = {0};
    for (int l = 0; l < 32; l += PARTS)
        for (int i = 0; i < PARTS; i++) a[i] += (dsc * (float)q[l + i] - dm) * x[l + i];
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

static int32_t int8_block(const uint8_t *q, const int8_t *x) {
    int32_t dot = 0;
    for (int l = 0; l < 32; l++) dot += (int16_t)q[l] * (int16_t)x[l];
    return dot;
}

static void fp32_unit(const matvec_units *u, int64_t begin, int64_t end, const char *ahead) {
    (void)ahead;
    const matvec_job *j = &u->job;
    const float *x = j->scratch;
    for (int64_t r = begin; r < end; r++) {
        const bf_q4_k *row = j->w + r * (j->k / BF_Q4_K_WEIGHTS);
        float y[Q4K_MATVEC_MAX_N] = {0};
        for (int64_t b = 0; b < j->k / BF_Q4_K_WEIGHTS; b++) {
            uint8_t q[BF_Q4_K_WEIGHTS];
            float dsc[8], dm[8];
            unpack(row + b, q);
            decode(row + b, dsc, dm);
            for (int c = 0; c < j->n; c++)
                for (int s = 0; s < 8; s++)
                    y[c] += fp32_block(q + 32 * s, x + c * j->k + b * BF_Q4_K_WEIGHTS + 32 * s, dsc[s], dm[s]);
        }
        for (int c = 0; c < j->n; c++) j->y[c * j->m + r] = y[c];
    }
}

static void int8_unit(const matvec_units *u, int64_t begin, int64_t end, const char *ahead) {
    (void)ahead;
    const matvec_job *j = &u->job;
    int64_t blocks = j->k / Q4K_MATVEC_QBLOCK;
    for (int64_t r = begin; r < end; r++) {
        const bf_q4_k *row = j->w + r * (j->k / BF_Q4_K_WEIGHTS);
        float y[Q4K_MATVEC_MAX_N] = {0};
        for (int64_t b = 0; b < j->k / BF_Q4_K_WEIGHTS; b++) {
            uint8_t q[BF_Q4_K_WEIGHTS];
            float dsc[8], dm[8];
            unpack(row + b, q);
            decode(row + b, dsc, dm);
            for (int c = 0; c < j->n; c++)
                for (int s = 0; s < 8; s++) {
                    int64_t at = c * blocks + b * 8 + s;
                    float dot = (float)int8_block(q + 32 * s, j->xq + at * Q4K_MATVEC_QBLOCK);
                    y[c] += j->xd[at] * (dsc[s] * dot - dm[s] * (float)j->xs[at]);
                }
        }
        for (int c = 0; c < j->n; c++) j->y[c * j->m + r] = y[c];
    }
}

static void quantise(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    matvec_quantise_chunk(arg, begin, end, MATVEC_SOUND);
}

static void run_fp32(const bf_problem *p, bf_pool *pool) {
    matvec_units u = {.job = matvec_job_of(p), .unit = fp32_unit};
    for (int64_t i = 0; i < u.job.n * u.job.k; i++) ((float *)u.job.scratch)[i] = bf_load_float(u.job.x, u.job.x_type, i);
    matvec_units_run(&u, pool, 1);
}
static void run_int8(const bf_problem *p, bf_pool *pool) {
    matvec_units u = {.job = matvec_job_of(p), .unit = int8_unit};
    bf_pool_run(pool, quantise, &u.job, u.job.n * u.job.k / Q4K_MATVEC_QBLOCK, 256);
    matvec_units_run(&u, pool, 1);
}

static uint64_t fp32_scratch(const bf_problem *p) {
    return (uint64_t)(p->dim[Q4K_MATVEC_N] * p->dim[Q4K_MATVEC_K]) * sizeof(float);
}
/* Three additions in a part of a sub-block, three to join its parts, one a sub-block less the first, which is to zero. */
static int64_t fp32_chain(const bf_problem *p) { return 3 + 3 + p->dim[Q4K_MATVEC_K] / Q4K_MATVEC_QBLOCK - 1; }
static int64_t int8_chain(const bf_problem *p) { return p->dim[Q4K_MATVEC_K] / Q4K_MATVEC_QBLOCK; }

static const bf_kernel q4k_matvec_fp32 = {
    .op = "q4k_matvec", .name = "q4k_matvec_fp32", .file = "q4k_matvec", .target = BF_CPU, .role = BF_TUNED, .path = "fp32",
    .summary = "portable C, a row at a time", .rank = 10, .accepts = matvec_accepts, .scratch = fp32_scratch,
    .chain = fp32_chain, .run = run_fp32,
};
BF_REGISTER(q4k_matvec_fp32);
static const bf_kernel q4k_matvec_int8 = {
    .op = "q4k_matvec", .name = "q4k_matvec_int8", .file = "q4k_matvec", .target = BF_CPU, .role = BF_TUNED, .path = "int8",
    .summary = "portable C, a row at a time", .rank = 10, .accepts = matvec_accepts, .chain = int8_chain, .run = run_int8,
};
BF_REGISTER(q4k_matvec_int8);
