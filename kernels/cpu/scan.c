/* scan.c: scan.h for every processor, and which is taken. */
#include "scan_threshold.h"
#include "x86.h"

#define TARGET
#define BODY(name) scan_plain_##name
#define VECTOR 16
#include "scan_body.h"

static const bf_scan_kernel plain = {"portable", scan_plain_count, scan_plain_full};

#if defined(__x86_64__)
extern const bf_scan_kernel bf_scan_avx2;
#endif

const bf_scan_kernel *bf_scan_kernel_at(int i) {
    const bf_scan_kernel *have[2];
    int n = 0;
#if defined(__x86_64__)
    if (bf_has_avx2()) have[n++] = &bf_scan_avx2;
#endif
    have[n++] = &plain;
    return i >= 0 && i < n ? have[i] : NULL;
}

const bf_scan_kernel *bf_scan_kernel_best(void) { return bf_scan_kernel_at(0); }
