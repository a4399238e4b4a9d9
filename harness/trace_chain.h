/* trace_chain.h: a chain of transformer blocks as text, one line an op (cases/trace/NAME.chain).
 *
 *     # comment
 *     chain gemma-3 depth=48 tokens=16                 first line: name, blocks, tokens
 *     size width=3840:256 heads=16:4 d=256:64          symbols; REAL:REDUCED wherever a number stands
 *     input x width=width fill=gauss scale=1 plant=0,0,4000
 *     block                                            what follows is repeated `depth` times
 *     norm n x plus_one=1 weight=0.5,0.1               KIND RESULT OPERAND... KEY=VALUE...
 *     linear q n rows=heads*d tensor=model.layers.{}.self_attn.q_proj.weight gguf=blk.{}.attn_q.weight
 *     ...
 *     residual x x o                                   a result may take the place of an earlier value
 *     after                                            once, behind the blocks
 *     norm y x
 *
 * Values are matrices [tokens][width], the result of the last line is the chain's. Kinds, operands, keys:
 *
 *     input      -       width, rows (default tokens), fill (a fill of fill.h), scale
 *     norm       x       eps (1e-6), plus_one, layer (1: subtracts the mean), over (length that is normalised; default: the width), weight=MEAN,DEV or none
 *     linear     x       rows (outputs), gain (1), bias (deviation, 0: none)
 *     attention  q k v   heads, kv_heads (default heads), causal, window (keys; 0 none), full_every (N: no window in every
 *                        N-th block)
 *     residual   a b     a + b
 *     mul        a b     a * b, element by element
 *     gelu, silu x       gelu by tanh
 *     modulate   x       x * (1 + s) + t, a vector each, shift=DEV scale=DEV
 *     gate       x       x * g, one vector g, weight=MEAN,DEV
 *     headgate   x g     x * 2 sigmoid(g), one g for each group of width / heads columns
 *
 * Every op: label (default: the result's name), kind (what --set and --bisect call it; default: the first word),
 * plant=ROW,COLUMN,VALUE[@BLOCK[-BLOCK]] (linear: into the weights, ROW,bias,VALUE into the bias; input: TOKEN,COLUMN,VALUE), plant=COLUMN,VALUE[@...] (norm,
 * modulate's scale, gate), tensor and gguf: names of the weight in a file, {} is the block; bias_tensor, bias_gguf.
 *
 * Positions are not encoded: a rotation keeps magnitudes. A weight of linear is Gaussian with the power of two nearest to
 * gain / sqrt(k) as deviation; all synthetic weights are bf16. */
#ifndef BF_TRACE_CHAIN_H
#define BF_TRACE_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef enum bf_trace_op {
    BF_TRACE_INPUT, BF_TRACE_NORM, BF_TRACE_LINEAR, BF_TRACE_ATTENTION, BF_TRACE_RESIDUAL, BF_TRACE_MUL, BF_TRACE_GELU,
    BF_TRACE_SILU, BF_TRACE_MODULATE, BF_TRACE_GATE, BF_TRACE_HEADGATE, BF_TRACE_OPS
} bf_trace_op;
extern const char *const bf_trace_op_name[BF_TRACE_OPS];

enum { BF_TRACE_LINES = 128, BF_TRACE_VALUES = 64, BF_TRACE_KINDS = 16, BF_TRACE_PLANTS = 6, BF_TRACE_DEPTH = 96,
       BF_TRACE_NAME = 32, BF_TRACE_TENSOR = 96 };

typedef struct bf_trace_plant {
    int64_t row, column;
    int bias; /* of linear: into the bias, at `row` */
    double value;
    int first, last; /* blocks */
} bf_trace_plant;

/* One line. Shapes are worked out: rows x width is the result's. */
typedef struct bf_trace_line {
    bf_trace_op op;
    int lineno, kind; /* index into kind[] */
    char label[BF_TRACE_NAME];
    int operand[3], result; /* values; -1: none */
    int64_t rows, width;    /* of the result */
    int64_t k;              /* linear: columns of the weights; norm: length that is normalised */
    int64_t heads, kv_heads, window, full_every;
    int causal, plus_one, layer, weighted, fill;
    double eps, mean, deviation, shift, scale, gain, bias;
    int plants;
    bf_trace_plant plant[BF_TRACE_PLANTS];
    char tensor[BF_TRACE_TENSOR], gguf[BF_TRACE_TENSOR], bias_tensor[BF_TRACE_TENSOR], bias_gguf[BF_TRACE_TENSOR];
} bf_trace_line;

typedef struct bf_trace_chain {
    char name[BF_TRACE_NAME];
    int depth;
    int64_t tokens;
    int lines, begin, end; /* line[0..begin) once before, [begin, end) each block, [end, lines) once behind */
    bf_trace_line line[BF_TRACE_LINES];
    int values;
    char value[BF_TRACE_VALUES][BF_TRACE_NAME];
    int kinds;
    char kind[BF_TRACE_KINDS][BF_TRACE_NAME]; /* of the ops that compute, in order of appearance */
} bf_trace_chain;

/* How a chain is read: which of REAL:REDUCED, and what replaces symbols and counts. */
typedef struct bf_trace_sizes {
    int real;       /* 1: real widths */
    int depth;      /* 0: the file's */
    int64_t tokens; /* 0: the file's */
    const char *const *set; /* "width=512", ... */
    int sets;
} bf_trace_sizes;

/* 0, or -1 with "file:line: ...". At most 64 KiB of text, 128 ops, 96 blocks, 2^20 columns, 2^16 tokens. */
int bf_trace_parse(const char *text, size_t length, const char *file, const bf_trace_sizes *, bf_trace_chain *, bf_error *);
/* A name of cases/trace (directory: of the suites), or a path. */
int bf_trace_load(const char *name, const char *directory, const bf_trace_sizes *, bf_trace_chain *, bf_error *);
/* The value of a name, -1 unknown. */
int bf_trace_value(const bf_trace_chain *, const char *name);

#endif
