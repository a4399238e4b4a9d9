/* race.h: shows ThreadSanitizer the order of GPU threads, which the switching of fibers hides from it.
 *
 * Two passes, because one that looks right misses most races between blocks (the sanitizer keeps the history of about
 * 255 threads):
 *   threads  races inside a block: a sanitizer's fiber for each thread of a block, the same ones for every block;
 *            barriers order, shuffles do not
 *   blocks   races between blocks: a sanitizer's fiber for each block; nothing orders them. Blocks whose places in
 *            the order of execution differ by a multiple of 199 share one, and a race between just those is missed
 *            (another BF_SIMT_ORDER shows it); threads of a block likewise beyond 254
 * Chosen by the environment's BF_SIMT_RACE=threads|blocks; needs kernels compiled with -fsanitize=thread and a program
 * linked with it (racecheck.mk). This file and the runtime are compiled without. Shared memory and stacks are
 * forgotten before each block; global memory never. A kernel's frames may be 16 KiB deep; deeper ones would give false
 * alarms. */
#ifndef BF_SIMT_RACE_H
#define BF_SIMT_RACE_H

#include <stddef.h>
#include <stdint.h>

enum bf_race_pass { BF_RACE_OFF, BF_RACE_THREADS, BF_RACE_BLOCKS };
extern bf_race_pass bf_race;

/* Once a process: reads the environment, and races on purpose to see that the sanitizer looks. NULL, or why not. */
const char *bf_race_start();

void bf_race_launch(); /* on the host, before the first block */
void bf_race_block();  /* before a block */
void bf_race_forget(void *p, size_t bytes);
void bf_race_run(int thread);   /* this thread of the block runs from here */
void bf_race_begin(int thread); /* its first action */
void bf_race_end(bool last);    /* its last; `last`: the block's too */
void bf_race_host();            /* the host runs from here */
/* Around a barrier: the block's (-1) or a warp's. */
void bf_race_arrive(int warp, uint32_t phase);
void bf_race_leave(int warp, uint32_t phase, int thread);
/* After the launch: the number of races reported in it (on stderr, where the sanitizer writes). */
int bf_race_finish();

#endif
