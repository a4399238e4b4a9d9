/* runtime.h: runs the GPU kernels' own source on the CPU, one fiber for each GPU thread.
 *
 * A launch is one bf_step whose `host` is the entry that BF_KERNEL_FN left (simt.h). Blocks run one after the
 * other, the threads of a block on fibers that switch at barriers and shuffles only, so a run is repeatable bit by
 * bit. Shared memory, static and dynamic, is filled with BF_SIMT_POISON before each block.
 *
 * What the model refuses, with kernel, block, thread and source line: a barrier or shuffle that not all threads
 * (lanes) reach at the same place, misaligned wide accesses, global accesses to shared memory, launches outside
 * the device's limits. What it does not model: time, memory ordering between threads (racecheck.mk does), the NaN
 * bits that + - * / give (the host's). */
#ifndef BF_SIMT_RUNTIME_H
#define BF_SIMT_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "../common/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A NaN as fp32 and, in both halves, as fp16 and bf16; a large number as an integer. */
#define BF_SIMT_POISON 0x7fba7fbau

/* The order in which the blocks of a grid run; a sound kernel gives the same bits in all of them. */
typedef enum bf_simt_order { BF_SIMT_FORWARD, BF_SIMT_REVERSE, BF_SIMT_SHUFFLE } bf_simt_order;

/* For the launches that follow. Without a call: the environment's BF_SIMT_ORDER=forward|reverse|shuffle, else
 * forward. */
void bf_simt_set_order(bf_simt_order order);

/* Runs one launch to its end. model: BF_CUDA (sm_61 limits) or BF_HIP (gfx1151 limits). 0, or -1 with one line in
 * message[room]; after a fault inside the kernel the outputs are undefined, and the next launch starts afresh.
 * Launches of several host threads queue up: static shared memory exists once. */
int bf_simt_run(bf_target model, const bf_step *step, char *message, size_t room);

#ifdef __cplusplus
}
#endif
#endif
