/* frame.c: A8: latents that are not finite, decoded to pixels. */
#include <math.h>
#include <string.h>

#include "../../kernels/common/fail.h"
#include "../../kernels/common/linear.h"
#include "failures.h"

enum {
    ACROSS = 12,
    DOWN = 8,
    LATENTS = ACROSS * DOWN,
    CHANNELS = 4,
    K = 64,
    PIXELS = LATENTS * FAIL_FRAME_SQUARE * FAIL_FRAME_SQUARE
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

typedef struct picture {
    unsigned char rgb[3 * PIXELS], yuv[3 * PIXELS];
} picture;

static int decode(const bf_lab *lab, const float *latent, int bt709, picture *p, bf_error *err) {
    bf_job_run j = {.p = {.dim = {[FAIL_N] = ACROSS, [FAIL_ROWS] = DOWN}, .param = {[FAIL_FRAME_BT709] = bt709}}};
    int rc = bf_lab_tensor(&j, FAIL_FRAME_LATENT, "latent", BF_INPUT, BF_F32, LATENTS * CHANNELS, err) ||
             bf_lab_tensor(&j, FAIL_FRAME_RGB, "rgb", BF_OUTPUT, BF_I8, 3 * PIXELS, err) ||
             bf_lab_tensor(&j, FAIL_FRAME_YUV, "yuv", BF_OUTPUT, BF_I8, 3 * PIXELS, err);
    if (!rc)
        memcpy(j.t[FAIL_FRAME_LATENT].data, latent, LATENTS * CHANNELS * sizeof *latent),
            rc = bf_lab_run(lab, &j, "fail_frame", NULL, err);
    if (!rc)
        memcpy(p->rgb, j.t[FAIL_FRAME_RGB].data, sizeof p->rgb),
            memcpy(p->yuv, j.t[FAIL_FRAME_YUV].data, sizeof p->yuv);
    bf_lab_close(&j);
    return rc;
}

/* How a screen shows Y, U, V of limited range. */
static void shown(const unsigned char yuv[3], int bt709, int rgb[3]) {
    double kr = FAIL_KR(bt709), kb = FAIL_KB(bt709), y = (yuv[0] - 16) / 219.0, cb = (yuv[1] - 128) / 112.0,
           cr = (yuv[2] - 128) / 112.0;
    double c[3] = {y + (1 - kr) * cr, 0, y + (1 - kb) * cb};
    c[1] = (y - kr * c[0] - kb * c[2]) / (1 - kr - kb);
    for (int i = 0; i < 3; i++) rgb[i] = c[i] <= 0 ? 0 : c[i] >= 1 ? 255 : (int)lrint(255 * c[i]);
}

static void pixel(const unsigned char *planes, int at, unsigned char out[3]) {
    for (int k = 0; k < 3; k++) out[k] = planes[k * PIXELS + at];
}

/* One row of the table: what pixel `at` is on both roads, and how many pixels are like it. */
static void road(bf_fail_result *r, const char *name, const picture *p, int at, int bt709) {
    unsigned char rgb[3], yuv[3], other[3];
    int screen[3], same = 0;
    pixel(p->rgb, at, rgb), pixel(p->yuv, at, yuv), shown(yuv, bt709, screen);
    for (int i = 0; i < PIXELS; i++) pixel(p->rgb, i, other), same += !memcmp(rgb, other, 3);
    bf_fail_row(r, 5, name, bf_fail_text("%d,%d,%d", rgb[0], rgb[1], rgb[2]),
                bf_fail_text("%d,%d,%d", yuv[0], yuv[1], yuv[2]),
                bf_fail_text("%d,%d,%d", screen[0], screen[1], screen[2]), bf_fail_text("%d of %d", same, PIXELS));
}

static int both(const bf_lab *lab, const float *latent, const char *name, int at, picture p[2], bf_fail_result *r,
                bf_error *err) {
    for (int bt709 = 0; bt709 < 2; bt709++) {
        if (decode(lab, latent, bt709, &p[bt709], err)) return -1;
        road(r, bf_fail_text("%s, BT.%s", name, bt709 ? "709" : "601"), &p[bt709], at, bt709);
    }
    return 0;
}

static void count(bf_fail_side *s, const picture *p, const char *what) {
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
    static picture black[2], right[2], spot[2];
    unsigned char rgb[3], yuv[3], next[3];
    int green[2][3], nan = 0;
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
        shown((const unsigned char[3]){0, 0, 0}, bt709, green[bt709]);
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
