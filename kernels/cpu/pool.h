/* pool.h: the worker threads of the CPU kernels. Pinned, one a core; work is handed out in small
 * chunks from one counter, so that a busy neighbour delays one chunk and not the whole launch. */
#ifndef BF_POOL_H
#define BF_POOL_H

#include <stdint.h>

#include "../common/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* threads = 0: one for each core this process may use. NULL when out of memory or threads. */
bf_pool *bf_pool_new(int threads);
void bf_pool_free(bf_pool *);
int bf_pool_threads(const bf_pool *);

/* Calls fn(arg, begin, end, thread) until [0, n) is covered; chunks are multiples of `grain` elements (the last
 * may be shorter). `thread` is 0 .. threads-1. Returns when all is done. pool = NULL: in the caller. */
void bf_pool_run(bf_pool *, void (*fn)(void *arg, int64_t begin, int64_t end, int thread), void *arg, int64_t n,
                 int64_t grain);

#ifdef __cplusplus
}
#endif
#endif
