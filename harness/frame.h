/* frame.h: the end of a pipeline: latents decoded to a picture by one fixed linear decoder (kernels/common/fail.h, fail_frame), on the
 * device, in two ways: to bytes as RGB, and colour-converted first. Entry A8 and `trace --frame` show what becomes of NaN there. */
#ifndef BF_FRAME_H
#define BF_FRAME_H

#include "../kernels/common/fail.h"
#include "fail.h"

enum {
    BF_FRAME_ACROSS = 12, /* latents */
    BF_FRAME_DOWN = 8,
    BF_FRAME_LATENTS = BF_FRAME_ACROSS * BF_FRAME_DOWN,
    BF_FRAME_CHANNELS = 4,
    BF_FRAME_WIDTH = BF_FRAME_ACROSS * FAIL_FRAME_SQUARE, /* pixels */
    BF_FRAME_HEIGHT = BF_FRAME_DOWN * FAIL_FRAME_SQUARE,
    BF_FRAME_PIXELS = BF_FRAME_WIDTH * BF_FRAME_HEIGHT
};

typedef struct bf_frame { /* three planes each; Y, U, V of limited range */
    unsigned char rgb[3 * BF_FRAME_PIXELS], yuv[3 * BF_FRAME_PIXELS];
} bf_frame;

typedef enum bf_frame_road { BF_FRAME_AS_RGB, BF_FRAME_AS_YUV601, BF_FRAME_AS_YUV709 } bf_frame_road;

/* latent: [BF_FRAME_LATENTS][BF_FRAME_CHANNELS], row by row. */
int bf_frame_decode(const bf_lab *, const float *latent, int bt709, bf_frame *, bf_error *);
/* How a screen shows Y, U, V of limited range. */
void bf_frame_shown(const unsigned char yuv[3], int bt709, unsigned char rgb[3]);
/* One pixel as that road shows it. */
void bf_frame_pixel(const bf_frame *, bf_frame_road, int at, unsigned char rgb[3]);
/* Writes it as PNG; the old file stands until the new one is whole. */
int bf_frame_png(const char *path, const bf_frame *, bf_frame_road, bf_error *);
/* Latents that the decoder turns into a picture: a low sun over hills and their reflection. */
void bf_frame_picture(float latent[BF_FRAME_LATENTS * BF_FRAME_CHANNELS]);

#endif
