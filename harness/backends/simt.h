/* simt.h: the two backends that run GPU kernel source on the CPU; listed in registry.c. */
#ifndef BF_BACKEND_SIMT_H
#define BF_BACKEND_SIMT_H

#include "../backend.h"

extern const bf_backend bf_backend_simt_cuda; /* kernels of target BF_CUDA */
extern const bf_backend bf_backend_simt_hip;  /* kernels of target BF_HIP */

#endif
