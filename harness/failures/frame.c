/* frame.c: A8: latents that are not finite, decoded to pixels. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/linear.h"
#include "../frame.h"
#include "failures.h"

enum {
    ACROSS = BF_FRAME_ACROSS,
    DOWN = BF_FRAME_DOWN,
    LATENTS = BF_FRAME_LATENTS,
    CHANNELS = BF_FRAME_CHANNELS,
    K = 64,
    PIXELS = BF_FRAME_PIXELS
};

/* Three linear layers with results in `storage`: hidden states of about 2^21, latents near 1. */
static int latents(const bf_lab *lab, bf_dtype storage, float *latent, bf_error *err) {
    static const char *const scale[] = {"2^-3", "2^-3", "2^-23"};
    float h[LATENTS * K];
    int rc = 0;
    for (int l = 0; l < 3 && !rc; l++) {
        bf_job_run j;
        int m = l == 2 ? CHANNELS : K;
        rc = bf_lab_open(&j, err, "linear m=%d k=%d n=%d w=bf16 x=f32 y=%s scale=%s wscale=%s seed=%d", m, K, LATENTS,
                         bf_dtype_name(storage), l ? "1" : "2^20", scale[l], l + 1);
        for (int64_t i = 0; !rc && l && i < LATENTS * K; i++) bf_lab_put(&j.t[LINEAR_X], i, h[i]);
        if (!rc) rc = bf_lab_run(lab, &j, "linear", NULL, err);
        for (int64_t i = 0; !rc && i < LATENTS * m; i++)
            (l == 2 ? latent : h)[i] = (float)bf_lab_get(&j.t[LINEAR_Y], i);
        bf_lab_close(&j);
    }
    return rc;
}

static void pixel(const unsigned char *planes, int at, unsigned char out[3]) {
    for (int k = 0; k < 3; k++) out[k] = planes[k * PIXELS + at];
}

/* One row of the table: what pixel `at` is on both roads, and how many pixels are like it. */
static void road(bf_fail_result *r, const char *name, const bf_frame *p, int at, int bt709) {
    unsigned char rgb[3], yuv[3], screen[3], other[3];
    int same = 0;
    pixel(p->rgb, at, rgb), pixel(p->yuv, at, yuv), bf_frame_shown(yuv, bt709, screen);
    for (int i = 0; i < PIXELS; i++) pixel(p->rgb, i, other), same += !memcmp(rgb, other, 3);
    bf_fail_row(r, 5, name, bf_fail_text("%d,%d,%d", rgb[0], rgb[1], rgb[2]),
                bf_fail_text("%d,%d,%d", yuv[0], yuv[1], yuv[2]),
                bf_fail_text("%d,%d,%d", screen[0], screen[1], screen[2]), bf_fail_text("%d of %d", same, PIXELS));
}

static int both(const bf_lab *lab, const float *latent, const char *name, int at, bf_frame p[2], bf_fail_result *r,
                bf_error *err) {
    for (int bt709 = 0; bt709 < 2; bt709++) {
        if (bf_frame_decode(lab, latent, bt709, &p[bt709], err)) return -1;
        road(r, bf_fail_text("%s, BT.%s", name, bt709 ? "709" : "601"), &p[bt709], at, bt709);
    }
    return 0;
}

static void count(bf_fail_side *s, const bf_frame *p, const char *what) {
    bf_tensor t = {.name = "rgb",
                   .role = BF_OUTPUT,
                   .type = BF_I8,
                   .rank = 1,
                   .dim = {3 * PIXELS},
                   .bytes = 3 * PIXELS,
                   .data = (void *)(uintptr_t)p->rgb};
    bf_lab_census(s, &t, 0, 3 * PIXELS, NULL);
    snprintf(s->what, sizeof s->what, "%s", what);
}

static int run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    float bad[LATENTS * CHANNELS], good[LATENTS * CHANNELS];
    static bf_frame black[2], right[2], spot[2];
    unsigned char rgb[3], yuv[3], next[3], green[2][3];
    int nan = 0;
    r->sides = 2;
    snprintf(r->input, sizeof r->input,
             "%d x %d latents of %d channels from three linear layers (hidden states near 2^21), decoded to %d x %d "
             "pixels as RGB and as Y, U, V",
             ACROSS, DOWN, CHANNELS, ACROSS * FAIL_FRAME_SQUARE, DOWN * FAIL_FRAME_SQUARE);
    bf_fail_row(r, 5, "#latents", "RGB", "Y,U,V", "shown as", "pixels alike");
    if (latents(lab, e->broken.type, bad, err) || latents(lab, e->sound.type, good, err)) return -1;
    if (both(lab, bad, bf_fail_text("chain in %s", bf_dtype_name(e->broken.type)), 0, black, r, err) ||
        both(lab, good, bf_fail_text("chain in %s", bf_dtype_name(e->sound.type)), 0, right, r, err))
        return -1;
    count(&r->broken, &black[0], bf_fail_text("chain in %s, RGB", bf_dtype_name(e->broken.type)));
    count(&r->sound, &right[0], bf_fail_text("chain in %s, RGB", bf_dtype_name(e->sound.type)));
    for (int i = 0; i < LATENTS * CHANNELS; i++) nan += isnan(bad[i]) != 0;
    bf_fail_require(r, nan == LATENTS * CHANNELS, "%d of %d latents are NaN", nan, LATENTS * CHANNELS);
    for (int bt709 = 0; bt709 < 2; bt709++) {
        int black_pixels = 0;
        for (int i = 0; i < 3 * PIXELS; i++) black_pixels += !black[bt709].rgb[i] && !black[bt709].yuv[i];
        bf_fail_require(r, black_pixels == 3 * PIXELS, "%d of %d bytes are zero", black_pixels, 3 * PIXELS);
        bf_frame_shown((const unsigned char[3]){0, 0, 0}, bt709, green[bt709]);
        bf_fail_require(r, !green[bt709][0] && green[bt709][1] == (bt709 ? 77 : 136) && !green[bt709][2],
                        "Y=U=V=0 is shown as %d,%d,%d", green[bt709][0], green[bt709][1], green[bt709][2]);
    }
    /* One bad latent in a sound frame costs its own square. */
    good[5 * CHANNELS] = e->broken.type == e->sound.type ? good[5 * CHANNELS] : bad[0];
    if (both(lab, good, "one NaN latent", 5 * FAIL_FRAME_SQUARE, spot, r, err)) return -1;
    int at = 5 * FAIL_FRAME_SQUARE, lost = 0;
    pixel(spot[0].rgb, at, rgb), pixel(spot[0].yuv, at, yuv), pixel(spot[0].rgb, at - 1, next);
    for (int i = 0; i < PIXELS; i++) lost += spot[0].rgb[i] != right[0].rgb[i] || spot[0].yuv[i] != right[0].yuv[i];
    bf_fail_require(r, !rgb[0] && !yuv[0] && (next[0] || next[1] || next[2]), "one NaN latent gives RGB %d and Y %d",
                    rgb[0], yuv[0]);
    bf_fail_require(r, lost == FAIL_FRAME_SQUARE * FAIL_FRAME_SQUARE, "one NaN latent changes %d pixels", lost);
    snprintf(r->seen, sizeof r->seen,
             "to bytes as RGB: black (0,0,0); colour-converted first: Y=U=V=0, which a screen shows green: (0,136,0) "
             "by BT.601, (0,77,0) by BT.709; one NaN latent: its %dx%d pixels",
             FAIL_FRAME_SQUARE, FAIL_FRAME_SQUARE);
    return 0;
}

const bf_fail_entry bf_fail_a8 = {
    "A8",
    "frame",
    BF_FAIL_NUMERIC,
    "Latents that are NaN become bytes: 0 where NaN is made 0, which is black as RGB and green as Y, U, V.",
    "home-lab P40 logs: black and green frames after minutes of sampling",
    "fp32 activations in the chain; check latents for NaN before they are decoded",
    {NULL, BF_F16, 0},
    {NULL, BF_F32, 0},
    run,
};
