/* The timing engine on a device whose times are known: the CPU backend, its clock replaced by prices. What the engine says must be
 * within 1 % of them, through noise, outliers and a neighbour that slows everything for a while. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/stream.h"
#include "../case.h"
#include "../ceiling.h"
#include "../compare_runs.h"
#include "../measure.h"

#define STREAM_BYTE 1e-8 /* seconds a byte, the fastest stream kernel: a slow device, so that small buffers take long */

static struct world {
    double kernel_s;  /* of one launch, exactly */
    double noise;     /* each launch +- so much, evenly */
    int outlier;      /* each so-manieth launch takes three times as long; 0: none */
    double neighbour; /* every other round both take so much longer */
    uint64_t random;
    long launches;
} world;

static double uniform(void) {
    world.random = world.random * 6364136223846793005u + 1442695040888963407u;
    return (double)(world.random >> 11) * 0x1p-53;
}

static uint64_t streamed(const bf_problem *p) {
    int mode = (int)p->param[STREAM_MODE];
    return 4 * (uint64_t)(p->dim[STREAM_N] * (mode == STREAM_COPY ? 2 : 1) + (mode == STREAM_MIX ? p->dim[STREAM_M] : 0));
}

static int known_time(bf_context *x, const bf_kernel *k, const bf_problem *p, int count, double *seconds, bf_error *e) {
    static int busy;
    int ceiling = !strcmp(k->op, "stream");
    (void)x, (void)e;
    if (!ceiling) busy = !busy; /* a round is the kernel, then its ceiling */
    double slow = busy ? 1 + world.neighbour : 1;
    for (int i = 0; i < count; i++) {
        double s = ceiling ? STREAM_BYTE * (double)streamed(&p[i]) : world.kernel_s;
        if (ceiling && k->role == BF_NAIVE) s *= 1.5;
        s *= slow * (1 + world.noise * (2 * uniform() - 1));
        if (world.outlier && ++world.launches % world.outlier == 0) s *= 3;
        seconds[i] = s;
    }
    return 0;
}

/* bf16 to fp32, 4096 elements: 24576 bytes, of which the ceiling needs 0.24576 ms. */
#define CEILING_S (24576 * STREAM_BYTE)

static bf_measurement measure(struct world w) {
    static bf_backend fake;
    bf_device device = {.backend = &fake, .name = "known times", .cache = 1 << 16, .memory = 1 << 24};
    bf_discovery found = {0};
    bf_error err = {{0}};
    bf_case_list cases = {0};
    static const char line[] = "convert n=4096 from=bf16 to=f32";
    bf_prepared pre;
    bf_measurement m = {0};
    const bf_backend *cpu = bf_backend_find("cpu");
    fake = *cpu, fake.time = known_time;
    world = w, world.random = 1;
    bf_ceiling_forget();
    cpu->discover(&found);
    bf_context *x = cpu->open(&found.device[0], &err);
    cr_assert(x, "%s", err.text);
    cr_assert_eq(bf_case_parse_line(line, sizeof line - 1, NULL, 0, &cases, &err), 0, "%s", err.text);
    cr_assert_eq(bf_prepare(&cases.item[0], 1, &pre, &err), 0, "%s", err.text);
    const bf_kernel *k = NULL;
    for (size_t i = 0; i < bf_kernel_count(); i++)
        if (bf_kernel_at(i)->target == BF_CPU && !strcmp(bf_kernel_at(i)->name, "convert_naive")) k = bf_kernel_at(i);
    cr_assert_eq(bf_measure(&device, x, k, &pre, &(bf_measure_options){.seconds = 0.2}, &m, &err), 0, "%s", err.text);
    bf_unprepare(&pre);
    bf_case_list_free(&cases);
    cpu->close(x);
    return m;
}

static int within(double got, double want) { return fabs(got / want - 1) <= 0.01; }
#define EXPECT_WITHIN(got, want) cr_expect(within(got, want), #got " is %g, known to be %g", got, want)

Test(measure, known_times_are_measured_within_1_percent) {
    static const struct world worlds[] = {
        {.kernel_s = 0.3e-3}, {.kernel_s = 0.3e-3, .noise = 0.02}, {.kernel_s = 0.3e-3, .noise = 0.02, .outlier = 7},
        {.kernel_s = 25e-3, .noise = 0.01, .outlier = 3}};
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        double want = worlds[i].kernel_s;
        bf_measurement m = measure(worlds[i]);
        EXPECT_WITHIN(m.steady.median, want);
        EXPECT_WITHIN(m.hot, want);
        EXPECT_WITHIN(m.ceiling.median, CEILING_S);
        EXPECT_WITHIN(m.ratio.median, CEILING_S / want);
        cr_expect(m.steady.low <= m.steady.median && m.steady.median <= m.steady.high);
        cr_expect_eq(m.status, BF_VALID, "world %zu: %s", i, bf_bench_status_name(m.status));
        cr_expect_eq(m.bytes_read + m.bytes_written, 24576);
        cr_expect(m.distinct >= 8 << 16, "%llu bytes of distinct buffers", (unsigned long long)m.distinct);
    }
}

/* Times are then worth nothing, the ratio is. */
Test(measure, a_neighbour_that_slows_both_does_not_shift_the_ratio) {
    bf_measurement m = measure((struct world){.kernel_s = 0.3e-3, .noise = 0.005, .neighbour = 0.4});
    EXPECT_WITHIN(m.ratio.median, CEILING_S / 0.3e-3);
    cr_expect_eq(m.status, BF_VALID, "%s", bf_bench_status_name(m.status));
    cr_expect(m.steady.high > 1.2 * m.steady.min, "the neighbour was not seen");
}

Test(measure, what_is_no_figure_is_called_so) {
    cr_expect_eq(measure((struct world){.kernel_s = 0.9 * CEILING_S, .noise = 0.01}).status, BF_INVALID, "faster than memory");
    cr_expect_eq(measure((struct world){.kernel_s = CEILING_S / 1.02, .noise = 0.005}).status, BF_VALID, "within 3 %%");
    cr_expect_eq(measure((struct world){.kernel_s = 10e-6}).status, BF_SHORT);
    cr_expect_eq(measure((struct world){.kernel_s = 25e-3, .noise = 0.9}).status, BF_UNSETTLED);
}

/* The whole way: engine, interval, verdict. */
Test(measure, an_injected_slowdown_is_found_and_a_breath_is_not) {
    static const struct {
        double factor;
        bf_change_verdict want;
    } rows[] = {{1.05, BF_SLOWER}, {1.002, BF_SAME}, {1, BF_SAME}, {1 / 1.05, BF_FASTER}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bf_bench_line line[2];
        for (int side = 0; side < 2; side++) {
            bf_measurement m = measure((struct world){.kernel_s = 0.3e-3 * (side ? rows[i].factor : 1), .noise = 0.01, .outlier = 11});
            line[side] = (bf_bench_line){.op = "convert", .ceiling = "the same", .status = m.status,
                                         .seconds = {m.steady.median, m.steady.low, m.steady.high},
                                         .ratio = {m.ratio.median, m.ratio.low, m.ratio.high}};
        }
        bf_change c = bf_change_of(&line[0], &line[1], 0.02);
        cr_expect_eq(c.verdict, rows[i].want, "factor %g: %s, %+.2f %% [%+.2f, %+.2f]", rows[i].factor, bf_change_verdict_name(c.verdict),
                     100 * (c.speed.median - 1), 100 * (c.speed.low - 1), 100 * (c.speed.high - 1));
    }
}
