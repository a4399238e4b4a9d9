/* The choice of a ceiling, on a backend whose memory has a price for each mode instead of a speed. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/common/stream.h"
#include "../ceiling.h"

enum { COPIES = 3 };
static double price[5], nontemporal; /* seconds a byte of each mode; factor of non-temporal stores */
static int launches;
static bf_error err;

static void *fake_alloc(bf_context *x, uint64_t bytes, bf_error *e) {
    (void)x, (void)e;
    return malloc(bytes);
}
static void fake_free(bf_context *x, void *p) {
    (void)x;
    free(p);
}
static uint64_t bytes_of(const bf_problem *p) {
    int mode = (int)p->param[STREAM_MODE];
    int64_t n = p->dim[STREAM_N] * (mode == STREAM_COPY ? 2 : 1);
    return 4 * (uint64_t)(n + (mode == STREAM_MIX ? p->dim[STREAM_M] : 0));
}
static int fake_time(bf_context *x, const bf_kernel *k, const bf_problem *p, int count, double *seconds, bf_error *e) {
    (void)x, (void)e;
    for (int i = 0; i < count; i++) {
        seconds[i] = price[(int)p[i].param[STREAM_MODE]] * (double)bytes_of(&p[i]);
        if (k->role == BF_NAIVE) seconds[i] *= 2;
        if (p[i].param[STREAM_STORE] != 0) seconds[i] *= nontemporal;
        launches++;
    }
    return 0;
}
static const bf_backend fake = {.name = "fake", .target = BF_CPU, .alloc = fake_alloc, .free = fake_free, .time = fake_time};

static char memory[2][COPIES][4096] __attribute__((aligned(256)));
static bf_ceiling open_ceiling(uint64_t input, uint64_t output, uint64_t r, uint64_t w) {
    void *in[COPIES], *out[COPIES];
    bf_ceiling c;
    for (int i = 0; i < COPIES; i++) in[i] = memory[0][i], out[i] = memory[1][i];
    bf_ceiling_forget();
    cr_assert_eq(bf_ceiling_open(&fake, NULL, COPIES, in, input, out, output, r, w, &c, &err), 0, "%s", err.text);
    return c;
}
static void prices(double copy, double read, double write, double mix, double nt) {
    price[STREAM_COPY] = copy, price[STREAM_READ] = read, price[STREAM_WRITE] = write, price[STREAM_MIX] = mix;
    nontemporal = nt;
}

Test(ceiling, takes_the_mix_where_it_is_faster) {
    prices(1, 1, 1, 0.8, 0.9);
    bf_ceiling c = open_ceiling(1024, 2048, 1024, 2048);
    cr_assert(strstr(c.name, " mix nt") && !strstr(c.name, "+"), "%s", c.name);
    cr_assert_eq(c.bytes, 3072);
    cr_assert_null(c.part_kernel[1]);
    cr_assert_eq(c.part[0][2].dim[STREAM_N], 256);
    cr_assert_eq(c.part[0][2].dim[STREAM_M], 512);
    cr_assert_eq(c.part[0][2].ptr[STREAM_X], (void *)memory[0][2]);
    cr_assert_eq(c.part[0][2].ptr[STREAM_Y], (void *)memory[1][2]);
    double t[COPIES];
    cr_assert_eq(bf_ceiling_time(&c, t, &err), 0);
    cr_assert_float_eq(t[0], 3072 * 0.8 * 0.9, 1e-9);
    bf_ceiling_close(&c);
}

Test(ceiling, takes_the_parts_where_they_are_faster) {
    prices(1, 0.5, 0.5, 0.9, 1.1); /* copy of 1024 twice, write of 1024: 2560; mix: 2764.8 */
    bf_ceiling c = open_ceiling(1024, 2048, 1024, 2048);
    cr_assert(strstr(c.name, " copy + ") && strstr(c.name, " write") && !strstr(c.name, "nt"), "%s", c.name);
    cr_assert_eq(c.bytes, 3072);
    cr_assert_eq(c.part[1][1].ptr[STREAM_Y], (void *)(memory[1][1] + 1024));
    double t[COPIES];
    cr_assert_eq(bf_ceiling_time(&c, t, &err), 0);
    cr_assert_float_eq(t[1], 2560, 1e-9);
    bf_ceiling_close(&c);
    prices(1, 0.5, 0.5, 0.9, 1.1); /* reads left over */
    c = open_ceiling(2048, 1024, 2048, 1024);
    cr_assert(strstr(c.name, " copy + ") && strstr(c.name, " read"), "%s", c.name);
    cr_assert_eq(c.part[1][1].ptr[STREAM_X], (void *)(memory[0][1] + 1024));
    bf_ceiling_close(&c);
}

/* One side of less than 1 % is left out of both ways; the mix is not even tried. */
Test(ceiling, leaves_out_what_is_noise) {
    prices(1, 1, 1, 0.1, 1);
    bf_ceiling c = open_ceiling(4096, 4096, 4096, 32);
    cr_assert(strstr(c.name, " read") && !strstr(c.name, "mix"), "%s", c.name);
    cr_assert_eq(c.bytes, 4096);
    bf_ceiling_close(&c);
    c = open_ceiling(4096, 4096, 0, 4096);
    cr_assert(strstr(c.name, " write") && !strstr(c.name, "mix"), "%s", c.name);
    bf_ceiling_close(&c);
}

/* More to read than the largest input holds: the proportion of reads and writes stays. */
Test(ceiling, keeps_the_mix_when_it_cuts) {
    prices(1, 1, 1, 0.5, 1);
    bf_ceiling c = open_ceiling(1024, 1024, 2048, 1024);
    cr_assert_eq(c.bytes, 1536, "%lu", (unsigned long)c.bytes);
    cr_assert_eq(c.part[0][0].dim[STREAM_N], 256);
    cr_assert_eq(c.part[0][0].dim[STREAM_M], 128);
    bf_ceiling_close(&c);
    c = open_ceiling(1024, 1024, 1024, 4096);
    cr_assert_eq(c.part[0][0].dim[STREAM_N], 64);
    cr_assert_eq(c.part[0][0].dim[STREAM_M], 256);
    bf_ceiling_close(&c);
}

/* On the processor itself: whatever is chosen writes no byte outside of the output (sizes that the
 * rounding to lines cuts on both sides). */
Test(ceiling, stays_inside_the_buffers) {
    extern const bf_backend bf_backend_cpu;
    bf_device d = {.backend = &bf_backend_cpu, .name = "cpu"};
    bf_context *x = bf_backend_cpu.open(&d, &err);
    cr_assert_not_null(x, "%s", err.text);
    static const uint64_t sizes[][2] = {{1008, 2016}, {2016, 1008}, {3008, 432}, {496, 3504}, {2000, 2000}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        memset(memory, 0x5a, sizeof memory);
        void *in[COPIES], *out[COPIES];
        for (int i = 0; i < COPIES; i++) in[i] = memory[0][i], out[i] = memory[1][i];
        bf_ceiling c;
        cr_assert_eq(bf_ceiling_open(&bf_backend_cpu, x, COPIES, in, sizes[s][0], out, sizes[s][1], sizes[s][0], sizes[s][1], &c, &err), 0,
                     "%s", err.text);
        double t[COPIES];
        cr_assert_eq(bf_ceiling_time(&c, t, &err), 0);
        cr_assert_gt(t[COPIES - 1], 0);
        for (int i = 0; i < COPIES; i++) {
            for (size_t k = 0; k < 4096; k++) cr_assert_eq(memory[0][i][k], 0x5a, "input %zu", k);
            for (size_t k = sizes[s][1]; k < 4096; k++) cr_assert_eq(memory[1][i][k], 0x5a, "%s: output %zu", c.name, k);
        }
        bf_ceiling_close(&c);
    }
    bf_backend_cpu.close(x);
}

Test(ceiling, a_choice_is_kept_for_like_bytes_only) {
    void *in[COPIES], *out[COPIES];
    bf_ceiling c;
    for (int i = 0; i < COPIES; i++) in[i] = memory[0][i], out[i] = memory[1][i];
    prices(1, 1, 1, 0.8, 0.9);
    c = open_ceiling(1024, 2048, 1024, 2048);
    bf_ceiling_close(&c);
    prices(1, 1, 1, 1.5, 1.1); /* the parts with plain stores would win now */
    long before = launches;
    cr_assert_eq(bf_ceiling_open(&fake, NULL, COPIES, in, 1024, out, 2064, 1024, 2064, &c, &err), 0);
    cr_expect(strstr(c.name, " mix nt") && launches == before, "%s, %ld launches", c.name, launches - before);
    cr_expect_eq(c.part[0][2].dim[STREAM_M], 516);
    bf_ceiling_close(&c);
    cr_assert_eq(bf_ceiling_open(&fake, NULL, COPIES, in, 1024, out, 2048, 512, 2048, &c, &err), 0);
    cr_expect(strstr(c.name, "+") && launches > before, "%s", c.name);
    bf_ceiling_close(&c);
}
