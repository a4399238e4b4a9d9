/* launch.h: sizes of the launches of the HIP kernels; host part only. */
#ifndef BF_HIP_LAUNCH_H
#define BF_HIP_LAUNCH_H

#if BF_HOST
/* Workgroups that cover n items, `each` a group; one at least, because a launch of none is an error. Kernels that
 * walk on by the size of the grid say how many groups are enough. */
static inline int64_t launch_groups(int64_t n, int64_t each, int64_t enough = INT32_MAX) {
    int64_t groups = (n + each - 1) / each;
    return groups < 1 ? 1 : groups > enough ? enough : groups;
}
/* Wide accesses need their natural alignment; a case may ask for addresses aligned to the element only. */
static inline int launch_aligned(const void *p, uintptr_t bytes) { return (uintptr_t)p % bytes == 0; }
#endif
#endif
