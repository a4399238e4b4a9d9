/* scan_avx2.c: scan.h for AVX2. */
#include "scan_threshold.h"
#include "x86.h"

#if defined(__x86_64__)
#define TARGET BF_AVX2
#define BODY(name) scan_avx2_##name
#define VECTOR 32
#include "scan_body.h"

const bf_scan_kernel bf_scan_avx2 = {"avx2", scan_avx2_count, scan_avx2_full};
#endif
