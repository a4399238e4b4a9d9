/* simt_state.h: what the dialect (simt.h) and the runtime share: who runs now, and the calls a thread waits in. */
#ifndef BF_SIMT_STATE_H
#define BF_SIMT_STATE_H

#include <stddef.h>
#include <stdint.h>

enum { BF_SIMT_MAX_THREADS = 1024 }; /* a block's, on both devices */

struct bf_simt_thread {
    int tid_x, tid_y, lane;
};
struct bf_simt_grid {
    int bid_x, bid_y, bid_z, bdim_x, bdim_y, gdim_x;
    unsigned char *dynamic, *fixed; /* shared memory: the launch's own, and the static one of the kernel's file */
    uintptr_t dynamic_bytes, fixed_bytes;
};

extern "C" {
extern bf_simt_thread *bf_simt_self; /* the thread that runs now */
extern bf_simt_grid bf_simt_now;     /* the block that runs now */
extern const bool bf_simt_has_fma;   /* of this processor */

/* A kernel's entry, called without an argument, answers with this. file: the one that was compiled. */
void bf_simt_describe(const char *name, size_t args_bytes, int max_threads, const char *file);

/* Each returns when all threads of the block (lanes of the warp) are in the same call at the same place. */
void bf_simt_block_wait(const char *file, int line);
void bf_simt_warp_wait(const char *file, int line);
uint32_t bf_simt_shuffle(uint32_t v, int lane, const char *file, int line);
float bf_simt_warp_sum(float v, const char *file, int line);

/* One matrix step of a wave (device.h). a, b: 8 words of a lane (bytes: 4); c, d: 8 elements, c may be d. Ends the launch where
 * the halves of the wave do not hold the same A and B. */
enum bf_simt_matrix { BF_SIMT_WMMA_F16, BF_SIMT_WMMA_BF16, BF_SIMT_WMMA_I8, BF_SIMT_WMMA_U8I8 };
void bf_simt_wmma(bf_simt_matrix kind, const uint32_t *a, const uint32_t *b, const void *c, void *d, const char *file,
                  int line);

/* Ends the launch with a message: an access of `bytes` at p that is misaligned or to shared memory. */
[[noreturn]] void bf_simt_bad_access(const void *p, int bytes, const char *what);
}

#endif
