/* trace_frame.c: see trace_frame.h. */
#include "trace_frame.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../kernels/cpu/fp16.h"
#include "trace_weights.h"

/* Amplitude of the picture over that of the input's synthetic values: what the blocks add must not drown it. */
#define AMPLITUDE 6.0

static const bf_trace_line *last_of(const bf_trace_chain *c) { return &c->line[c->lines - 1]; }

/* x[token] += amplitude * p[c] W[c] / |W[c]|. */
static void embed(const bf_trace_matrix *w, const float *picture, int64_t k, double amplitude, float *x) {
    for (int c = 0; c < BF_FRAME_CHANNELS; c++) {
        double norm = 0;
        for (int64_t i = 0; i < k; i++) norm += pow(bf_load_float(w->data, w->type, c * k + i), 2);
        for (int64_t at = 0; norm > 0 && at < BF_FRAME_LATENTS * k; at++)
            x[at] += (float)(amplitude / sqrt(norm) * picture[at / k * BF_FRAME_CHANNELS + c] * bf_load_float(w->data, w->type, c * k + at % k));
    }
}

int bf_trace_frame_input(const bf_trace_chain *c, bf_trace_weights *w, uint64_t seed, int *line, float **values, bf_error *err) {
    const bf_trace_line *last = last_of(c), *in;
    float picture[BF_FRAME_LATENTS * BF_FRAME_CHANNELS];
    bf_trace_matrix m;
    *line = -1;
    for (int i = c->begin - 1; i >= 0 && last->op == BF_TRACE_LINEAR; i--)
        if (c->line[i].op == BF_TRACE_INPUT && c->line[i].width == last->k && c->line[i].rows == last->rows) *line = i;
    if (*line < 0 || last->width < BF_FRAME_CHANNELS || last->rows < BF_FRAME_LATENTS)
        return bf_fail(err, "--frame: %s does not end in a linear op from the width of an input to latents: %d channels or more on %d tokens or more (ltx-video-2.3 does)",
                       c->name, BF_FRAME_CHANNELS, BF_FRAME_LATENTS);
    in = &c->line[*line];
    *values = malloc((size_t)(in->rows * in->width) * sizeof **values);
    if (!*values) return bf_fail(err, "--frame: no memory for %s", in->label);
    if (bf_trace_weights_get(w, c->lines - 1, -2, BF_TRACE_WEIGHT, BF_TRACE_FP32, &m, err)) return -1;
    bf_trace_input(c, *line, seed, *values);
    bf_frame_picture(picture);
    float *from = *values + (in->rows - BF_FRAME_LATENTS) * in->width;
    embed(&m, picture, in->width, AMPLITUDE * in->scale, from);
    return 0;
}

static int decode(const bf_lab *lab, const bf_trace_line *last, const float *v, bf_frame *f, int *nan, int *inf, bf_error *err) {
    float latent[BF_FRAME_LATENTS * BF_FRAME_CHANNELS];
    *nan = *inf = 0;
    for (int l = 0; l < BF_FRAME_LATENTS; l++)
        for (int d = 0; d < BF_FRAME_CHANNELS; d++) {
            float x = v[(last->rows - BF_FRAME_LATENTS + l) * last->width + d];
            latent[l * BF_FRAME_CHANNELS + d] = x;
            *nan += isnan(x) != 0, *inf += isinf(x) != 0;
        }
    return bf_frame_decode(lab, latent, 0, f, err);
}

int bf_trace_frame_decode(const bf_lab *lab, const bf_trace_chain *c, const bf_trace_run *r, bf_trace_frame *f, bf_error *err) {
    const bf_trace_line *last = last_of(c);
    int nan, inf;
    return decode(lab, last, bf_trace_values(r, 1, last->result), &f->sound, &nan, &inf, err) ||
           decode(lab, last, bf_trace_values(r, 0, last->result), &f->plan, &f->nan, &f->inf, err);
}

/* "black", "green", or what the most frequent pixel is. */
static const char *looks(const bf_frame *f, bf_frame_road road, char text[64]) {
    unsigned char first[3], rgb[3];
    int same = 0;
    bf_frame_pixel(f, road, 0, first);
    for (int at = 0; at < BF_FRAME_PIXELS; at++) bf_frame_pixel(f, road, at, rgb), same += !memcmp(rgb, first, 3);
    if (same < BF_FRAME_PIXELS) return "a picture";
    const char *name = !first[0] && !first[1] && !first[2] ? "black" : !first[0] && first[1] && !first[2] ? "green" : "one colour";
    snprintf(text, 64, "%s, all pixels (%d,%d,%d)", name, first[0], first[1], first[2]);
    return text;
}

int bf_trace_frame_write(FILE *say, const char *directory, const char *plan, const bf_trace_frame *f, bf_error *err) {
    const struct {
        const char *name, *why;
        const bf_frame *frame;
        bf_frame_road road;
    } picture[] = {{"rgb", "to bytes as RGB", &f->plan, BF_FRAME_AS_RGB},
                   {"yuv", "to Y, U, V first, then to bytes", &f->plan, BF_FRAME_AS_YUV601},
                   {NULL, "the fp32 chain", &f->sound, BF_FRAME_AS_RGB}};
    if (mkdir(directory, 0777) && errno != EEXIST) return bf_fail(err, "--frame: %s: cannot make: %s", directory, strerror(errno));
    fprintf(say, "frame: %d of %d latent values are NaN, %d infinite in %s\n", f->nan, BF_FRAME_LATENTS * BF_FRAME_CHANNELS, f->inf, plan);
    for (int i = 0; i < 3; i++) {
        char path[4400], text[64];
        if (picture[i].name) snprintf(path, sizeof path, "%s/frame-%s-%s.png", directory, plan, picture[i].name);
        else snprintf(path, sizeof path, "%s/frame-sound.png", directory);
        if (bf_frame_png(path, picture[i].frame, picture[i].road, err)) return -1;
        fprintf(say, "       %s: %s, %s\n", path, looks(picture[i].frame, picture[i].road, text), picture[i].why);
    }
    return 0;
}

json_t *bf_trace_frame_json(const bf_trace_chain *c, const char *plan, const bf_trace_frame *f, const char *place) {
    char rgb[64], yuv[64], sound[64];
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s, s:s, s:s}", "type", "trace-frame", "chain", c->name, "backend", place, "plan", plan, "values",
                     BF_FRAME_LATENTS * BF_FRAME_CHANNELS, "nan", f->nan, "inf", f->inf, "rgb", looks(&f->plan, BF_FRAME_AS_RGB, rgb), "yuv",
                     looks(&f->plan, BF_FRAME_AS_YUV601, yuv), "sound", looks(&f->sound, BF_FRAME_AS_RGB, sound));
}
