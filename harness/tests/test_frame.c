/* test_frame.c: the decoder of latents, its pictures as PNG, and the picture that goes through a chain. */
#include <criterion/criterion.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../trace_frame.h"
#include "../trace_weights.h"

static bf_discovery found;
static bf_lab cpu(void) {
    bf_error err = {{0}};
    const bf_backend *b = bf_backend_find("cpu");
    memset(&found, 0, sizeof found);
    b->discover(&found);
    bf_lab lab = {b, b->open(&found.device[0], &err), &found.device[0], NULL};
    cr_assert(lab.context, "%s", err.text);
    return lab;
}

static void frame_of(const float *latent, int bt709, bf_frame *f) {
    bf_error err = {{0}};
    bf_lab lab = cpu();
    cr_assert_eq(bf_frame_decode(&lab, latent, bt709, f, &err), 0, "%s", err.text);
    lab.backend->close(lab.context);
}

static void expect_pixel(const bf_frame *f, bf_frame_road road, int x, int y, int r, int g, int b, int within) {
    unsigned char p[3];
    bf_frame_pixel(f, road, y * BF_FRAME_WIDTH + x, p);
    cr_expect(abs(p[0] - r) <= within && abs(p[1] - g) <= within && abs(p[2] - b) <= within, "(%d,%d): %d,%d,%d, want %d,%d,%d", x, y, p[0], p[1], p[2], r, g, b);
}

/* The picture's colours come back through the decoder, whichever road; limited range and bytes cost two steps. */
Test(frame, the_picture_decodes_to_its_colours) {
    static bf_frame f;
    float latent[BF_FRAME_LATENTS * BF_FRAME_CHANNELS];
    bf_frame_picture(latent);
    for (int bt709 = 0; bt709 < 2; bt709++) {
        frame_of(latent, bt709, &f);
        for (bf_frame_road road = BF_FRAME_AS_RGB; road <= BF_FRAME_AS_YUV709; road++) {
            if (road != BF_FRAME_AS_RGB && bt709 != (road == BF_FRAME_AS_YUV709)) continue;
            expect_pixel(&f, road, 0, 0, 97, 117, 158, 2);         /* 0.38 0.46 0.62: sky */
            expect_pixel(&f, road, 5 * 8, 2 * 8, 250, 237, 204, 2); /* 0.98 0.93 0.80: sun */
            expect_pixel(&f, road, 95, 5 * 8 + 7, 56, 69, 66, 2);  /* 0.22 0.27 0.26: hill */
        }
    }
}

Test(frame, nan_is_black_or_green) {
    static bf_frame f;
    float latent[BF_FRAME_LATENTS * BF_FRAME_CHANNELS];
    bf_frame_picture(latent);
    for (int i = 0; i < BF_FRAME_CHANNELS; i++) latent[i] = NAN;
    frame_of(latent, 0, &f);
    expect_pixel(&f, BF_FRAME_AS_RGB, 7, 7, 0, 0, 0, 0);
    expect_pixel(&f, BF_FRAME_AS_YUV601, 7, 7, 0, 136, 0, 0);
    expect_pixel(&f, BF_FRAME_AS_YUV709, 7, 7, 0, 77, 0, 0);
    expect_pixel(&f, BF_FRAME_AS_RGB, 8, 0, 97, 117, 158, 2); /* its neighbour is untouched */
}

/* Read back by libpng: the very pixels. */
Test(frame, png_holds_the_pixels) {
    static bf_frame f;
    static unsigned char back[3 * BF_FRAME_PIXELS];
    char path[] = "/tmp/bf-frame-XXXXXX";
    bf_error err = {{0}};
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && !close(fd));
    for (size_t i = 0; i < sizeof f.rgb; i++) f.rgb[i] = (unsigned char)(i * 7 + i / 251), f.yuv[i] = 0;
    for (bf_frame_road road = BF_FRAME_AS_RGB; road <= BF_FRAME_AS_YUV709; road++) {
        cr_assert_eq(bf_frame_png(path, &f, road, &err), 0, "%s", err.text);
        png_image image = {.version = PNG_IMAGE_VERSION};
        cr_assert(png_image_begin_read_from_file(&image, path), "%s", image.message);
        cr_assert(image.width == 96 && image.height == 64);
        image.format = PNG_FORMAT_RGB;
        cr_assert(png_image_finish_read(&image, NULL, back, 0, NULL), "%s", image.message);
        for (int at = 0; at < BF_FRAME_PIXELS; at++) {
            unsigned char p[3];
            bf_frame_pixel(&f, road, at, p);
            cr_assert(!memcmp(p, back + 3 * at, 3), "pixel %d", at);
        }
    }
    unlink(path);
    cr_expect_eq(bf_frame_png("/nonexistent/x.png", &f, BF_FRAME_AS_RGB, &err), -1);
    cr_expect(strstr(err.text, "/nonexistent/x.png"), "%s", err.text);
}

/* ---- through a chain ---- */

static bf_trace_chain chain;
static const char *const small[] = {"inner=16", "ainner=16", "words=4", "sounds=4", "massive=64000"};

static void load(const char *name, int64_t tokens) {
    bf_error err = {{0}};
    bf_trace_sizes sizes = {.depth = 2, .tokens = tokens, .set = small, .sets = strcmp(name, "ltx-video-2.3") ? 0 : 5};
    cr_assert_eq(bf_trace_load(name, "cases", &sizes, &chain, &err), 0, "%s", err.text);
}

static void through(const char *widened, bf_trace_frame *f) {
    bf_error err = {{0}};
    bf_lab lab = cpu();
    bf_trace_settings s = {.seed = 1};
    bf_trace_record record;
    int line, rc;
    float *picture;
    for (int i = 0; i < chain.lines; i++)
        s.mode[i] = chain.line[i].op == BF_TRACE_INPUT || strstr(widened, chain.kind[chain.line[i].kind]) ? BF_TRACE_FP32 : BF_TRACE_FP16;
    bf_trace_weights *w = bf_trace_weights_open(NULL, &chain, 1, &err);
    cr_assert_eq(bf_trace_frame_input(&chain, w, 1, &line, &picture, &err), 0, "%s", err.text);
    bf_trace_run *r = bf_trace_open(&lab, &chain, w, &s, 1, &err);
    bf_trace_replace(r, line, picture);
    while ((rc = bf_trace_step(r, &record, &err)) == 1) continue;
    cr_assert(!rc && !bf_trace_frame_decode(&lab, &chain, r, f, &err), "%s", err.text);
    bf_trace_close(r);
    bf_trace_weights_close(w);
    free(picture);
    lab.backend->close(lab.context);
}

/* Correlation of the green planes. */
static double alike(const bf_frame *a, const bf_frame *b) {
    const unsigned char *p = a->rgb + BF_FRAME_PIXELS, *q = b->rgb + BF_FRAME_PIXELS;
    double n = BF_FRAME_PIXELS, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < BF_FRAME_PIXELS; i++) x += p[i], y += q[i], xx += p[i] * p[i], yy += q[i] * q[i], xy += p[i] * q[i];
    return (xy - x * y / n) / sqrt((xx - x * x / n) * (yy - y * y / n));
}

/* One residual beyond fp16 in the last block but one: every latent is NaN. With what bisect finds in fp32 the picture is fp32's. */
Test(frame, ltx_in_fp16_is_black_and_green) {
    static bf_trace_frame f;
    static bf_frame original;
    float latent[BF_FRAME_LATENTS * BF_FRAME_CHANNELS];
    bf_frame_picture(latent);
    frame_of(latent, 0, &original);
    load("ltx-video-2.3", BF_TRACE_FRAME_TOKENS);
    through("", &f);
    cr_expect_eq(f.nan, BF_FRAME_LATENTS * BF_FRAME_CHANNELS);
    for (size_t i = 0; i < sizeof f.plan.rgb; i++) cr_assert(!f.plan.rgb[i] && !f.plan.yuv[i], "byte %zu", i);
    cr_expect(alike(&f.sound, &original) > 0.9, "the sound picture is not the one that went in: %g", alike(&f.sound, &original));
    through("norm residual", &f);
    cr_expect(!f.nan && !f.inf);
    for (size_t i = 0; i < sizeof f.plan.rgb; i++) cr_assert(abs(f.plan.rgb[i] - f.sound.rgb[i]) <= 2, "byte %zu: %d, fp32 %d", i, f.plan.rgb[i], f.sound.rgb[i]);
}

Test(frame, chains_without_latents_are_refused) {
    bf_error err = {{0}};
    int line;
    float *picture = NULL;
    for (int i = 0; i < 2; i++) {
        load(i ? "gemma-3-12b" : "ltx-video-2.3", i ? 108 : 95);
        bf_trace_weights *w = bf_trace_weights_open(NULL, &chain, 1, &err);
        cr_expect_eq(bf_trace_frame_input(&chain, w, 1, &line, &picture, &err), -1);
        cr_expect(strstr(err.text, "--frame") && !picture, "%s", err.text);
        bf_trace_weights_close(w);
    }
}
