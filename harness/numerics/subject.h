/* subject.h: a kernel that forms sums of products, under questions: one row of weights against many columns of x. Each column is one
 * question, a few values at chosen places over a background. A place is a leaf of the summation tree: a weight, or on an int8 path a
 * block of 32 with one value 127 * 2^e, which the quantiser takes exactly. The numerics card (sums.c) and the judge of declared chains
 * (probe.h) ask. */
#ifndef BF_SUBJECT_H
#define BF_SUBJECT_H

#include "numerics.h"

typedef struct bf_subject {
    bf_stand s;
    int w, x, y, int8; /* tensors; the path */
    bf_dtype type;     /* of the weights; BF_NONE: plain, as the kernel likes */
    int64_t k, columns, leaves, rows; /* rows of weights, all the same: the first one's results are looked at */
    int stride, unit;  /* weights a leaf; what stands for 1 in x */
} bf_subject;

typedef struct bf_question {
    double background;
    int64_t leaf[3];
    double value[3]; /* 0: nothing */
    double answer;   /* in units of the subject */
} bf_question;

/* Formats of weights that kernel k takes, 0: it forms no such sums (attention's, norm's are others); the name of one, with a blank before
 * it, "" where there is one only. */
int bf_subject_formats(const bf_kernel *);
const char *bf_subject_format(const bf_kernel *, int format);

/* Rows of `length` weights (a multiple of 256; int8 of 2,048), all ones; x of the widest type that the kernel takes. 0, 1: it takes no such
 * rows, -1 with err. bf_subject_close where it is 0 or -1. */
int bf_subject_open(bf_subject *, const bf_backend *, bf_context *, const bf_kernel *, int format, int64_t length, bf_error *);
void bf_subject_weights(bf_subject *, bf_row_kind);
/* n questions; their answers. 0, or -1 with err: the device failed. */
int bf_subject_ask(bf_subject *, bf_question *, int64_t n, bf_error *);
void bf_subject_close(bf_subject *);

#endif
