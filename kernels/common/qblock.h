/* qblock.h: the block formats whose weights are a scale times a signed integer, w = d*sc*q: Q6_K and Q8_0, the rest of a
 * Q4_K_M file, and MXFP4, whose d is a half scale 2^(e-128) and q twice the element. Two ops:
 *
 * qblock_dequant  y[i] = w[i] to fp32, fp16 or bf16. w is exact in fp32 (q6_k.h, q8_0.h; MXFP4 weights of 2^128 and more become infinite,
 *                 mxfp4.h), to the 16-bit types rounded once to nearest even: bit for bit. NaN: any NaN.
 * qblock_matmul   y[c][r] = sum over k of W[r][k] * x[c][k], any number n of columns, decode and prefill in one.
 *                 Path "fp32": x widened, products and sums fp32. Path "int8": x quantised in blocks of 32 as q4k_matvec.h says,
 *                 its three outputs included: a file mixes formats, and one quantised x then serves all its matrices. A
 *                 block's share of y is d_x * (d * sum(sc * q * q_x)); the sum, at most 16*32*127*128*2 < 2^24, is exact
 *                 as an integer and as a float, so that no step overflows before y itself does.
 *
 * They are ops of their own and not formats of q4k_*: there a weight has a minimum, the bound holds its part, and the block sum of
 * x is needed. One op for all formats without one, and not one a format: reference, bound, fill and kernels differ by the
 * decoder alone. Slots and dims have the numbers of q4k_matvec.h, so that quantiser and judge are shared.
 *
 * Non-finite policy: a row with a non-finite d or a column with a non-finite x gives NaN or an infinity (which is not
 * promised); all other outputs are finite unless the sum itself leaves fp32. MXFP4 besides: a row may also give NaN or an
 * infinity where a weight, or on path int8 127 * 32 times a weight, is beyond fp32 (e of 253, or 241, and more).
 * k: a multiple of 256 (Q6_K) or 32 (Q8_0, MXFP4). */
#ifndef BF_OP_QBLOCK_H
#define BF_OP_QBLOCK_H

#include "q4k_dequant.h"
#include "q4k_matmul.h"

enum { QBLOCK_MAX_N = Q4K_MATMUL_MAX_N };

#endif
