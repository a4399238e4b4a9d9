/* selftest.h: kernels that exercise the simt runtime itself; only the tests link them (harness/tests/test_simt.c). */
#ifndef BF_SIMT_SELFTEST_H
#define BF_SIMT_SELFTEST_H

#include <stdint.h>

#include "../common/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct selftest_args {
    const void *x, *z;
    void *y;
    int64_t n;
    int mode; /* of "fault": one of SELFTEST_... */
} selftest_args;

enum {
    SELFTEST_EARLY_RETURN,   /* half of the threads return, the rest wait at a barrier */
    SELFTEST_LATE_RETURN,    /* the last thread returns while the rest wait */
    SELFTEST_TWO_BARRIERS,   /* even and odd warps wait at different lines */
    SELFTEST_EXITED_LANES,   /* lanes return, then the others of their warp shuffle */
    SELFTEST_LATE_LANE,      /* a lane returns while the others wait in a shuffle */
    SELFTEST_MIXED,          /* one half of a warp at the barrier, the other in a shuffle */
    SELFTEST_TWO_SHUFFLES,   /* the halves of a warp shuffle at different lines */
    SELFTEST_MISALIGNED,     /* 16-byte load from x + n */
    SELFTEST_MISALIGNED_ST,  /* 8-byte store to y + n */
    SELFTEST_SHARED_AS_GLOBAL /* global load from shared memory */
};

/* Fills the launch of the kernel of that name: 0, or -1 if there is none. */
int bf_simt_selftest(const char *kernel, bf_step *, int64_t grid_x, int64_t grid_y, int64_t block_x, int64_t block_y,
                     int64_t shared, const selftest_args *);

#ifdef __cplusplus
}
#endif
#endif
