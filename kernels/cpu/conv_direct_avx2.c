/* conv_direct_avx2.c: convolutions with one or two channels of y a group (depthwise), where tiles would stay empty.
 *
 * A piece of work is some rows of outputs of one channel. For each channel of x and each tap row that meets the output row, the stretch of
 * x behind 256 outputs is widened once into a buffer, padding and all; then every tap is one fused multiply-add over it.
 * Expected bound: memory for few taps, FMA for many; strides beyond one cost gathers from the buffer.
 *
 * Only this one: blackframe check --kernel conv_direct_avx2 --backend cpu */
#include "conv_rows.h"

#if defined(__x86_64__)

enum { OUTPUTS = 256, ROOM = 4096 /* elements of x behind them, at most */ };

/* Elements of x behind n outputs of a row: of all the phase's taps. */
static int32_t stretch(const conv_shape *s, const conv_phase *f, int32_t n) {
    int32_t reach = (f->taps[2] - 1) * f->from_step[2];
    return (n - 1) * conv_in_step(s, 2) + (reach < 0 ? -reach : reach) + 1;
}

/* x of row `row` from place `at` on, n elements, zero outside: widened. */
BF_AVX2 static void fetch(const conv_job *j, int64_t row, int32_t at, int32_t n, float *to) {
    int32_t low = at < 0 ? -at : 0, high = j->s.size[2] - at;
    if (high > n) high = n;
    if (low > n) low = n;
    if (high < low) high = low;
    memset(to, 0, sizeof *to * (size_t)low);
    if (high > low) conv_widen(to + low, j->x, j->x_type, row + at + low, high - low, 1);
    memset(to + high, 0, sizeof *to * (size_t)(n - high));
}

BF_AVX2 static void multiply(float *sum, int32_t n, float w, const float *x, int32_t step) {
    __m256 weight = _mm256_set1_ps(w);
    int32_t i = 0;
    if (step == 1)
        for (; i + 8 <= n; i += 8) _mm256_storeu_ps(sum + i, _mm256_fmadd_ps(weight, _mm256_loadu_ps(x + i), _mm256_loadu_ps(sum + i)));
    for (; i < n; i++) sum[i] = __builtin_fmaf(w, x[(int64_t)i * step], sum[i]);
}

/* Outputs [x0, x0 + n) of row (z, y) of a phase, channel o. */
BF_AVX2 static void row(const conv_job *j, const conv_phase *f, int64_t item, int32_t o, int32_t z, int32_t y, int32_t x0, int32_t n) {
    const conv_shape *s = &j->s;
    float sum[OUTPUTS] = {0}, x[ROOM];
    int32_t g = o / s->out, step = conv_in_step(s, 2), room = stretch(s, f, n), back = f->from_step[2] < 0 ? (f->taps[2] - 1) * f->from_step[2] : 0;
    for (int32_t c = 0; c < s->in; c++) {
        int64_t w = (s->transposed ? (int64_t)(g * s->in + c) * s->out + o % s->out : (int64_t)o * s->in + c) * s->tap_count;
        for (int32_t i = 0; f->taps[2] && i < f->taps[0] * f->taps[1]; i++) {
            int32_t from[3], tap = conv_phase_tap(s, f, i * f->taps[2], from);
            int32_t sz = z * conv_in_step(s, 0) + from[0], sy = y * conv_in_step(s, 1) + from[1];
            if (sz < 0 || sz >= s->size[0] || sy < 0 || sy >= s->size[1]) continue;
            int64_t at = (((item * s->groups + g) * s->in + c) * s->size[0] + sz) * s->size[1] + sy;
            fetch(j, at * s->size[2], x0 * step + from[2] + back, room, x);
            for (int32_t t = 0; t < f->taps[2]; t++)
                multiply(sum, n, bf_load_float(j->w, j->w_type, w + tap + t * f->tap_step[2]), x - back + t * f->from_step[2], step);
        }
    }
    conv_finish_phase(j, f, item, o, (z * f->outs[1] + y) * f->outs[2] + x0, sum, n);
}

/* Rows of outputs [begin, end): of all phases, channels and items. */
static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    const conv_job *j = arg;
    const conv_shape *s = &j->s;
    int32_t most = conv_phase_size(s, 0, 0) * conv_phase_size(s, 1, 0), phases = conv_phases(s), channels = s->groups * s->out;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        conv_phase f = conv_phase_of(s, (int32_t)(i / most % phases));
        int32_t at = (int32_t)(i % most), o = (int32_t)(i / most / phases % channels);
        if (at >= f.outs[0] * f.outs[1]) continue;
        for (int32_t x = 0; x < f.outs[2]; x += OUTPUTS)
            row(j, &f, i / most / phases / channels, o, at / f.outs[1], at % f.outs[1], x, f.outs[2] - x < OUTPUTS ? f.outs[2] - x : OUTPUTS);
    }
}

static int accepts(const bf_problem *p) {
    conv_shape s;
    return conv_accepts(p) && conv_shape_of(p, &s) && s.out <= 2 &&
           (OUTPUTS - 1) * (int64_t)conv_in_step(&s, 2) + (int64_t)(s.taps[2] - 1) * s.dilation + 1 <= ROOM;
}
static void run(const bf_problem *p, bf_pool *pool) {
    conv_job j = conv_job_of(p);
    int64_t most = (int64_t)conv_phase_size(&j.s, 0, 0) * conv_phase_size(&j.s, 1, 0);
    bf_pool_run(pool, rows, &j, most * conv_phases(&j.s) * j.s.groups * j.s.out * j.s.batch, 1 + 4096 / (j.s.osize[2] + 64));
}

static const bf_kernel conv_direct_avx2 = {
    .op = "conv", .name = "conv_direct_avx2", .file = "conv_direct_avx2", .target = BF_CPU, .role = BF_TUNED,
    .summary = "one or two channels of y a group: a fused multiply-add a tap over widened rows", .rank = 30, .available = bf_has_avx2,
    .accepts = accepts, .chain = conv_plain_chain, .run = run,
};
BF_REGISTER(conv_direct_avx2);

#endif
