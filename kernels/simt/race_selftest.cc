/* race_selftest.cc: the race checker's own check, a program. A checker that has gone blind reports nothing, as for
 * sound kernels; so each kind of race is here beside its sound twin, and both answers must be right, in both passes.
 *
 *     race_selftest threads|blocks      exit status 0 when all answers are right
 *
 * The dialect has no fence and no atomic that returns a value, so the last-block pattern cannot be written in it. */
#define BF_SIMT_CUDA 1
#include "../common/device.h"

#include <stdio.h>
#include <stdlib.h>

struct race_args {
    uint32_t *y;
    uint64_t *count;
};

/* ---- inside a block ---- */
BF_KERNEL_FN(exchange_racing, race_args, 1024) { /* no barrier between write and read */
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x(), n = bf_bdim_x();
    tile[t] = static_cast<uint32_t>(t);
    a.y[bf_bid_x() * n + t] = tile[n - 1 - t];
}
BF_KERNEL_FN(exchange_sound, race_args, 1024) {
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x(), n = bf_bdim_x();
    tile[t] = static_cast<uint32_t>(t);
    bf_sync();
    a.y[bf_bid_x() * n + t] = tile[n - 1 - t];
}

BF_KERNEL_FN(crowd_racing, race_args, 1024) { /* as exchange, in the largest block and behind a barrier */
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x();
    bf_sync();
    tile[t] = static_cast<uint32_t>(t);
    a.y[t] = tile[(t + 1) % 1024];
}

BF_KERNEL_FN(reuse_racing, race_args, 1024) { /* written again while neighbours may still read */
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x(), n = bf_bdim_x();
    uint32_t sum = 0;
    for (int i = 0; i < 3; ++i) {
        tile[t] = static_cast<uint32_t>(t + i);
        bf_sync();
        sum += tile[(t + 1) % n];
    }
    a.y[bf_bid_x() * n + t] = sum;
}
BF_KERNEL_FN(reuse_sound, race_args, 1024) {
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x(), n = bf_bdim_x();
    uint32_t sum = 0;
    for (int i = 0; i < 3; ++i) {
        tile[t] = static_cast<uint32_t>(t + i);
        bf_sync();
        sum += tile[(t + 1) % n];
        bf_sync();
    }
    a.y[bf_bid_x() * n + t] = sum;
}

BF_KERNEL_FN(large_racing, race_args, 1024) { /* as exchange, the two threads far apart, in the largest block */
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x();
    bf_sync();
    if (t == 300) tile[0] = 1;
    if (t == 700) a.y[0] = tile[0];
}
BF_KERNEL_FN(large_sound, race_args, 1024) {
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x();
    if (t == 300) tile[0] = 1;
    bf_sync();
    if (t == 700) a.y[bf_bid_x()] = tile[0];
}

BF_KERNEL_FN(early_racing, race_args, 1024) { /* no barrier at all; comes after other launches of this size */
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x();
    if (t == 300) tile[0] = 1;
    if (t == 700) a.y[0] = tile[0];
}

BF_KERNEL_FN(warp_racing, race_args, 1024) { /* a shuffle exchanges a value and orders no memory */
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x();
    tile[t] = bf_shfl_xor(static_cast<uint32_t>(t), 1);
    uint32_t v = bf_shfl(0, 0);
    a.y[bf_bid_x() * bf_bdim_x() + t] = tile[t ^ 1] + v;
}
BF_KERNEL_FN(warp_sound, race_args, 1024) {
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x();
    tile[t] = bf_shfl_xor(static_cast<uint32_t>(t), 1);
    bf_warp_sync();
    a.y[bf_bid_x() * bf_bdim_x() + t] = tile[t ^ 1];
}
BF_KERNEL_FN(warps_racing, race_args, 1024) { /* a warp barrier orders nothing between warps */
    BF_SHARED uint32_t tile[1024];
    int t = bf_tid_x();
    tile[t] = 1;
    bf_warp_sync();
    a.y[bf_bid_x() * bf_bdim_x() + t] = tile[t ^ 32];
}

BF_KERNEL_FN(dynamic_racing, race_args, 1024) {
    uint32_t *tile = static_cast<uint32_t *>(bf_dynamic_shared());
    if (bf_lane() == 0) tile[0] = static_cast<uint32_t>(bf_tid_x());
}
BF_KERNEL_FN(dynamic_sound, race_args, 1024) {
    uint32_t *tile = static_cast<uint32_t *>(bf_dynamic_shared());
    if (bf_lane() == 0) tile[bf_tid_x() / 32] = static_cast<uint32_t>(bf_tid_x());
}

/* A function of its own, or the sanitizer would leave the array alone. */
__attribute__((noinline)) static void fill(volatile uint32_t *p, int n, int value) {
    for (int i = 0; i < n; ++i) p[i] = static_cast<uint32_t>(value + i);
}

BF_KERNEL_FN(locals_sound, race_args, 1024) { /* arrays of one thread's own, on stacks that others had before */
    uint32_t local[64];
    fill(local, 64, bf_tid_x());
    a.y[bf_bid_x() * bf_bdim_x() + bf_tid_x()] = local[bf_lane()];
}

/* ---- between blocks ---- */
BF_KERNEL_FN(pair_racing, race_args, 1024) { /* two blocks, the first launch of the process */
    if (bf_tid_x() == 3) a.y[0] = 1;
}
BF_KERNEL_FN(write_racing, race_args, 1024) { /* neighbouring blocks overlap by one element */
    int n = bf_bdim_x();
    a.y[bf_bid_x() * (n - 1) + bf_tid_x()] = 1;
}
BF_KERNEL_FN(write_sound, race_args, 1024) {
    int n = bf_bdim_x();
    a.y[bf_bid_x() * n + bf_tid_x()] = 1;
}
BF_KERNEL_FN(far_racing, race_args, 1024) { /* the first block and the last, hundreds of blocks apart */
    if (bf_tid_x() == 0) a.y[bf_bid_x() == bf_gdim_x() - 1 ? 0 : bf_bid_x()] = 1;
}
BF_KERNEL_FN(barrier_racing, race_args, 1024) { /* a block's barrier orders nothing between blocks */
    bf_sync();
    if (bf_tid_x() == 0) a.y[0] = static_cast<uint32_t>(bf_bid_x());
    bf_sync();
}

/* ---- atomics ---- */
BF_KERNEL_FN(atomic_racing, race_args, 1024) { /* against a plain store, in all blocks and threads */
    bf_atomic_add_u64(a.count, 1);
    if (bf_tid_x() == 7) *a.count = 0;
}
BF_KERNEL_FN(atomic_sound, race_args, 1024) {
    bf_atomic_add_u64(a.count, 1);
    bf_atomic_xor_u32(a.y, 1);
}

struct pair {
    bf_step_fn<race_args> fn;
    int grid, block;
    int races[2]; /* in the pass over threads, over blocks */
};
static const pair table[] = {
    {BF_STEP_FN(pair_racing), 2, 32, {-1, 1}},      {BF_STEP_FN(exchange_racing), 1, 64, {1, 0}},
    {BF_STEP_FN(exchange_sound), 3, 64, {0, 0}},    {BF_STEP_FN(crowd_racing), 1, 1024, {1, 0}},
    {BF_STEP_FN(reuse_racing), 3, 128, {1, 0}},     {BF_STEP_FN(reuse_sound), 3, 128, {0, 0}},
    {BF_STEP_FN(large_racing), 1, 1024, {1, 0}},    {BF_STEP_FN(large_sound), 3, 1024, {0, 0}},
    {BF_STEP_FN(exchange_sound), 2, 1024, {0, 0}},  {BF_STEP_FN(reuse_sound), 2, 1024, {0, 0}},
    {BF_STEP_FN(early_racing), 1, 1024, {1, 0}},
    {BF_STEP_FN(warp_racing), 2, 64, {1, 0}},       {BF_STEP_FN(warp_sound), 2, 64, {0, 0}},
    {BF_STEP_FN(warps_racing), 2, 64, {1, 0}},      {BF_STEP_FN(dynamic_racing), 2, 64, {1, 0}},
    {BF_STEP_FN(dynamic_sound), 2, 64, {0, 0}},     {BF_STEP_FN(locals_sound), 4, 1024, {0, 0}},
    {BF_STEP_FN(write_racing), 600, 64, {-1, 1}},   {BF_STEP_FN(write_sound), 600, 64, {0, 0}},
    {BF_STEP_FN(far_racing), 600, 32, {-1, 1}},     {BF_STEP_FN(barrier_racing), 600, 32, {-1, 1}},
    {BF_STEP_FN(atomic_racing), 4, 64, {1, 1}},     {BF_STEP_FN(atomic_sound), 4, 64, {0, 0}},
};

int main(int argc, char **argv) {
    const int pass = argc == 2 && !strcmp(argv[1], "blocks");
    if (argc != 2 || (!pass && strcmp(argv[1], "threads"))) {
        fprintf(stderr, "usage: race_selftest threads|blocks\n");
        return 2;
    }
    setenv("BF_SIMT_RACE", argv[1], 1);
    static uint32_t y[600 * 1024];
    static uint64_t count;
    int wrong = 0, asked = 0;
    for (const pair &p : table) {
        if (p.races[pass] < 0) continue; /* seen or not: the other pass' business */
        bf_step s;
        char why[512] = "";
        bf_step_set(&s, p.fn, p.grid, 1, p.block, 1, 4096, race_args{y, &count});
        int rc = bf_simt_run(BF_CUDA, &s, why, sizeof why);
        int seen = strstr(why, "data races") != nullptr, bad = seen != p.races[pass] || (rc && !seen);
        printf("racecheck %s: %-16s %4d x %4d: %s%s\n", argv[1], p.fn.symbol, p.grid, p.block,
               bad ? "WRONG: " : "", rc ? why : "no race");
        wrong += bad, ++asked;
    }
    printf("racecheck %s: %d answers, %d wrong\n", argv[1], asked, wrong);
    fflush(stdout);
    _Exit(wrong != 0); /* the sanitizer would turn the status into its own */
}
