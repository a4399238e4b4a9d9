/* fail.h: the steps of the failure laboratory that are no op of their own, on every target. They have no contract that
 * `check` could hold them to: `fail` runs them twice, once broken and once sound, on the same input.
 *
 * fail_swiglu  y = gate / (1 + exp(-gate)) * up, rounded once to y's type: in fp16 the product saturates.
 * fail_frame   the end of a pipeline. Each latent of 4 channels becomes a square of FAIL_FRAME_SQUARE^2 pixels by one fixed
 *              matrix, r g b in [0, 1]; then to bytes in two ways, as RGB planes, and as planes Y, U, V of limited range.
 *              To a byte: NaN gives 0 (a rule of this kernel; a C cast of NaN is undefined), else rounded and clamped to 0..255.
 * fail_reduce  the sum of n values by FAIL_REDUCE_WARPS partial sums in shared memory (cpu: scratch), launched with param
 *              FAIL_REDUCE_LAUNCHED warps. Fewer than the code was built for, and it adds what nobody wrote. */
#ifndef BF_FAIL_KERNELS_H
#define BF_FAIL_KERNELS_H

enum { FAIL_N /* dim 0: elements; fail_frame: latents in a row */, FAIL_ROWS /* fail_frame: rows of latents */ };
enum { FAIL_REDUCE_WARPS = 8, FAIL_FRAME_SQUARE = 8 };

enum { FAIL_SWIGLU_GATE /* in F32 [n] */, FAIL_SWIGLU_UP /* in F32 [n] */, FAIL_SWIGLU_Y /* out F32, F16, BF16 [n] */ };

enum {                 /* fail_frame, w and h in pixels */
    FAIL_FRAME_LATENT, /* in  F32 [rows][n][4] */
    FAIL_FRAME_RGB,    /* out bytes [3][h][w] */
    FAIL_FRAME_YUV     /* out bytes [3][h][w] */
};
enum { FAIL_FRAME_BT709 /* param: 0 BT.601, 1 BT.709 */ };

enum { FAIL_REDUCE_X /* in F32 [n] */, FAIL_REDUCE_Y /* out F32 [1] */ };
enum { FAIL_REDUCE_LAUNCHED /* param: 1 to FAIL_REDUCE_WARPS */ };

/* r, g, b from the four channels of a latent, before 0.5 is added: rows as of published latent previews, to a few digits. */
#define FAIL_FRAME_MATRIX \
    {{0.15f, 0.10f, -0.05f, -0.09f}, {0.09f, 0.14f, 0.08f, -0.11f}, {0.07f, 0.12f, 0.13f, -0.06f}}
/* Weights of red and blue in luma: ITU-R BT.601-7 section 2.5.1, BT.709-6 item 3.2. */
#define FAIL_KR(bt709) ((bt709) ? 0.2126f : 0.299f)
#define FAIL_KB(bt709) ((bt709) ? 0.0722f : 0.114f)

#endif
