/* gates.cu: kernels on which every gate of ci/isa.py must fire, and one that must pass; compiled as .hip as well.
 * ci/isa-selftest builds them and compares the failures with gates.expected. */
/* isa: ok_int8_matvec unit=weight per_trip=16 cols=1 gate=dot,load128 max=2 */
/* isa: many_int8_matvec unit=weight per_trip=16 cols=1 gate=dot,load128 max=0.5 */
/* isa: lies_* unit=weight per_trip=32 cols=1 gate=dot,load128 */
/* isa: narrow_int8_matvec unit=weight per_trip=16 cols=1 gate=dot,load128 */
/* isa: nodot_int8_matvec unit=weight per_trip=16 gate=dot,load128 */
/* isa: sharing unit=word per_trip=4 gate=wmma share=FFMA:75 */
/* isa: gone unit=weight per_trip=16 */
#include "../common/device.h"
struct gate_args { const void *x; const void *w; float *y; int n; };
enum { N = 256 };
#define BODY(LD, DOT) \
    int s = 0; \
    _Pragma("unroll 1") for (int i = bf_tid_x(); i < a.n; i += 128) { \
        bf_u32x4 v = LD((const char *)a.x + i * 16); \
        bf_u32x4 w = LD((const char *)a.w + i * 16); \
        s = DOT((int)v.x, (int)w.x, DOT((int)v.y, (int)w.y, s)); \
        s = DOT((int)v.z, (int)w.z, DOT((int)v.w, (int)w.w, s)); \
    } \
    a.y[bf_tid_x()] = (float)s;
BF_FN bf_u32x4 narrow(const void *p) {
    const char *q = (const char *)p;
    return {bf_ld_u16(q), bf_ld_u16(q + 4), bf_ld_u16(q + 8), bf_ld_u16(q + 12)};
}
BF_FN int plain(int x, int y, int s) { return s + x * y; }
BF_KERNEL_FN(ok_int8_matvec, gate_args, 128) { BODY(bf_ld_u32x4, bf_dp4a) }
BF_KERNEL_FN(many_int8_matvec, gate_args, 128) { BODY(bf_ld_u32x4, bf_dp4a) }
BF_KERNEL_FN(lies_int8_matvec, gate_args, 128) { BODY(bf_ld_u32x4, bf_dp4a) }
BF_KERNEL_FN(narrow_int8_matvec, gate_args, 128) { BODY(narrow, bf_dp4a) }
BF_KERNEL_FN(nodot_int8_matvec, gate_args, 128) { BODY(bf_ld_u32x4, plain) }
BF_KERNEL_FN(undeclared_int8_matvec, gate_args, 128) { BODY(bf_ld_u32x4, plain) }
BF_KERNEL_FN(sharing, gate_args, 128) { BODY(bf_ld_u32x4, plain) }
BF_KERNEL_FN(zero_sign, gate_args, 128) {
    const float *x = (const float *)a.x + 2 * bf_tid_x();
    uint32_t low = bf_f32_to_f16(x[0] * x[1]), high = bf_f32_to_f16(x[2] * x[3]);
    ((uint32_t *)(void *)a.y)[bf_tid_x()] = low | high << 16;
}
BF_KERNEL_FN(zero_sign_apart, gate_args, 128) {
    const float *x = (const float *)a.x + 2 * bf_tid_x();
    uint32_t low = bf_f32_to_f16(bf_apart(x[0] * x[1])), high = bf_f32_to_f16(bf_fma(x[2], x[3], x[1]));
    ((uint32_t *)(void *)a.y)[bf_tid_x()] = low | high << 16;
}
BF_KERNEL_FN(spills, gate_args, 1024) {
    float r[N];
    const float *x = (const float *)a.x;
#pragma unroll
    for (int i = 0; i < N; i++) r[i] = x[i * 1024 + bf_tid_x()];
    for (int k = 0; k < a.n; k++) {
#pragma unroll
        for (int i = 0; i < N; i++) r[i] = bf_fma(r[i], r[(i * 7 + 5) % N], 1.0f);
    }
    float s = 0;
#pragma unroll
    for (int i = 0; i < N; i++) s += r[i];
    a.y[bf_tid_x()] = s;
}
