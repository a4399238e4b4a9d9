/* frame.c: see frame.h. */
#include "frame.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <string.h>

#include "atomic_file.h"

int bf_frame_decode(const bf_lab *lab, const float *latent, int bt709, bf_frame *f, bf_error *err) {
    bf_job_run j = {.p = {.dim = {[FAIL_N] = BF_FRAME_ACROSS, [FAIL_ROWS] = BF_FRAME_DOWN}, .param = {[FAIL_FRAME_BT709] = bt709}}};
    int rc = bf_lab_tensor(&j, FAIL_FRAME_LATENT, "latent", BF_INPUT, BF_F32, BF_FRAME_LATENTS * BF_FRAME_CHANNELS, err) ||
             bf_lab_tensor(&j, FAIL_FRAME_RGB, "rgb", BF_OUTPUT, BF_I8, sizeof f->rgb, err) ||
             bf_lab_tensor(&j, FAIL_FRAME_YUV, "yuv", BF_OUTPUT, BF_I8, sizeof f->yuv, err);
    if (!rc) {
        memcpy(j.t[FAIL_FRAME_LATENT].data, latent, BF_FRAME_LATENTS * BF_FRAME_CHANNELS * sizeof *latent);
        rc = bf_lab_run(lab, &j, "fail_frame", NULL, err);
    }
    if (!rc) {
        memcpy(f->rgb, j.t[FAIL_FRAME_RGB].data, sizeof f->rgb);
        memcpy(f->yuv, j.t[FAIL_FRAME_YUV].data, sizeof f->yuv);
    }
    bf_lab_close(&j);
    return rc ? -1 : 0;
}

void bf_frame_shown(const unsigned char yuv[3], int bt709, unsigned char rgb[3]) {
    double kr = FAIL_KR(bt709), kb = FAIL_KB(bt709), y = (yuv[0] - 16) / 219.0, cb = (yuv[1] - 128) / 112.0,
           cr = (yuv[2] - 128) / 112.0;
    double c[3] = {y + (1 - kr) * cr, 0, y + (1 - kb) * cb};
    c[1] = (y - kr * c[0] - kb * c[2]) / (1 - kr - kb);
    for (int i = 0; i < 3; i++) rgb[i] = c[i] <= 0 ? 0 : c[i] >= 1 ? 255 : (unsigned char)lrint(255 * c[i]);
}

void bf_frame_pixel(const bf_frame *f, bf_frame_road road, int at, unsigned char rgb[3]) {
    const unsigned char *planes = road == BF_FRAME_AS_RGB ? f->rgb : f->yuv;
    unsigned char p[3];
    for (int k = 0; k < 3; k++) p[k] = planes[k * BF_FRAME_PIXELS + at];
    if (road == BF_FRAME_AS_RGB) memcpy(rgb, p, 3);
    else bf_frame_shown(p, road == BF_FRAME_AS_YUV709, rgb);
}

int bf_frame_png(const char *path, const bf_frame *f, bf_frame_road road, bf_error *err) {
    unsigned char pixels[3 * BF_FRAME_PIXELS];
    png_image image = {.version = PNG_IMAGE_VERSION, .width = BF_FRAME_WIDTH, .height = BF_FRAME_HEIGHT, .format = PNG_FORMAT_RGB};
    bf_atomic_file out;
    for (int at = 0; at < BF_FRAME_PIXELS; at++) bf_frame_pixel(f, road, at, pixels + 3 * at);
    if (bf_atomic_open(&out, path, err)) return -1;
    if (!png_image_write_to_stdio(&image, out.stream, 0, pixels, 0, NULL)) {
        bf_atomic_abandon(&out);
        return bf_fail(err, "%s: cannot write: %s", path, image.message);
    }
    return bf_atomic_commit(&out, err);
}

/* ---- a picture ---- */

/* Least latents of a colour: the pseudo-inverse of FAIL_FRAME_MATRIX. The matrix is nearly singular, so colours are muted. */
static const double inverse[BF_FRAME_CHANNELS][3] = {
    {9.785, -16.622, 13.245}, {-0.474, 4.261, -1.023}, {-2.130, -4.444, 8.889}, {5.854, -20.500, 15.999}};

static void colour(int row, int column, double rgb[3]) {
    static const double sky[2][3] = {{0.38, 0.46, 0.62}, {0.86, 0.80, 0.74}}, sun[3] = {0.98, 0.93, 0.80}, hill[3] = {0.22, 0.27, 0.26}, lake[3] = {0.45, 0.51, 0.58};
    static const int ridge[BF_FRAME_ACROSS] = {3, 2, 3, 4, 5, 5, 5, 5, 4, 4, 3, 3}; /* the first row of the hills */
    double down = row / 5.0;
    for (int k = 0; k < 3; k++) {
        rgb[k] = sky[0][k] + (sky[1][k] - sky[0][k]) * down;
        if (row >= ridge[column]) rgb[k] = hill[k];
        if (row > 5) rgb[k] = lake[k] + (row == 6 && column >= 5 && column <= 7 ? 0.25 : 0);
        if ((row == 3 || row == 2) && column >= 5 && column <= 6) rgb[k] = sun[k];
    }
}

void bf_frame_picture(float latent[BF_FRAME_LATENTS * BF_FRAME_CHANNELS]) {
    for (int l = 0; l < BF_FRAME_LATENTS; l++) {
        double rgb[3];
        colour(l / BF_FRAME_ACROSS, l % BF_FRAME_ACROSS, rgb);
        for (int d = 0; d < BF_FRAME_CHANNELS; d++)
            latent[l * BF_FRAME_CHANNELS + d] =
                (float)(inverse[d][0] * (rgb[0] - 0.5) + inverse[d][1] * (rgb[1] - 0.5) + inverse[d][2] * (rgb[2] - 0.5));
    }
}
