/* fill.h: the data of a case. A counter-based generator, so that element i of stream s under seed k is a function of
 * (k, s, i) alone: the same bytes on every machine, compiler and thread count, and any element can be made on its
 * own.
 *
 * Generator: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11), from
 * Random123. No libm function is called; what is not integer is +, -, *, / in double on exact operands. */
#ifndef BF_FILL_H
#define BF_FILL_H

#include <stdint.h>

#include "../kernels/common/kernel.h"

typedef enum bf_fill {
    BF_FILL_GAUSS,       /* N(0,1); weights of deviation about 0.025 */
    BF_FILL_OUTLIER,     /* gauss, 1 % of the values times 50; one weight row in eight times 50 */
    BF_FILL_HEAVY,       /* gauss times 2^-8..2^8: heavy tails; weight blocks likewise */
    BF_FILL_UNIFORM,     /* uniform in [-1, 1) */
    BF_FILL_INTEGER,     /* the exactness fill, see bf_fill_values and bf_fill_q4_k */
    BF_FILL_EDGE,        /* table of edge values: zeros, subnormals, ties, limits, infinities, NaNs */
    BF_FILL_FINITE_EDGE, /* the finite part of that table */
    BF_FILL_CONSTANT,    /* one value for all, chosen by the seed from 1, -1, 0.1, 2047, -3 ... */
    BF_FILL_ONEHOT,      /* one 1 in each row of x: y is a column of W */
    BF_FILL_SPARSE,      /* four non-zero Gaussians in each row of x: bounds are then a few units in the last place */
    BF_FILL_SWAMP,       /* 4096 first, ones behind it, weights of one sign: a narrow accumulator stops growing */
    BF_FILL_BITS,        /* random bit patterns, NaNs and infinities among them; weights of random bytes */
    BF_FILL_TIES,        /* values half-way between two neighbours of a 16-bit type */
    BF_FILL_ALL16,       /* element i has the bit pattern i mod 65,536 (fp32: in its upper half) */
    BF_FILL_ZEROS,       /* +0 and -0 */
    BF_FILLS
} bf_fill;

const char *bf_fill_name(bf_fill);
/* 1 for Gaussian, outlier, heavy, uniform, sparse: rounding errors on such data have no preferred sign. */
int bf_fill_random(bf_fill);
int bf_fill_known(const char *name);
int bf_fill_parse(const char *name); /* the bf_fill, or -1 */

/* Four random words, the generator itself. */
void bf_random4(uint64_t seed, uint32_t stream, uint64_t counter, uint32_t r[4]);

/* Standard normal from four random words: the number of ones among 96 random bits (binomial, mean 48, variance 24)
 * plus a uniform dither, normalised. Moments to the third are the Gaussian's, the fourth is 2.98 instead of 3, the
 * largest value is 9.9. Exact arithmetic up to one multiplication, hence the same bits everywhere. */
double bf_random_gauss(const uint32_t r[4]);

/* rows x columns values of `type` (F32, F16, BF16) at `out`, rounded to nearest even, times 2^pow2 (value fills only;
 * bit fills ignore it). The position of what a fill treats apart (the one of onehot, the odd rows of edge) is a
 * function of seed and row.
 *
 * integer: row r is 2^e(r) times integers; one element of each 32 is +-127, all others are -1, 0 or 1. With the
 * weights of bf_fill_q4_k every partial sum is an integer below 2^24 times the row's unit up to K = 64 * 256, and the
 * 8-bit quantiser loses nothing: results are exact in every order and on every path.
 *
 * rows 0: a list of `columns` values.
 *
 * edge and finite-edge: a list walks the whole table from a place that the seed picks. In rows (vectors of a product)
 * the values go up to 2^63 only, so that sums stay within fp32; but rows with (row + seed) % 4 = 1 hold infinities
 * and NaN here and there (edge), those with 3 values up to the largest. */
void bf_fill_values(bf_fill, uint64_t seed, uint32_t stream, bf_dtype type, int64_t rows, int64_t columns, int pow2,
                    void *out);

/* rows x blocks Q4_K super-blocks of 144 bytes (layout: the GGUF specification).
 *
 * d, dmin: fp16 so that weights have deviation near 0.025 and mean near 0. integer: d = dmin = 2^e(row), scales
 * up to 7, minima up to 15. edge: one row in four has d or dmin infinite or NaN; the others have d subnormal, largest
 * finite, negative or zero, scales and minima of 0, 1, 62 and 63. bits: random bytes. */
void bf_fill_q4_k(bf_fill, uint64_t seed, uint32_t stream, int64_t rows, int64_t blocks, void *out);

/* The same for Q6_K, Q8_0 and MXFP4 (type BF_Q6_K, BF_Q8_0, BF_MXFP4; 210, 34 and 17 bytes a block): signs of scales and integers vary;
 * integer: scales -3..3 (Q6_K), d = 2^e(row) (MXFP4: the half scale); edge: scales of 0, 1, 127 and -128. MXFP4, edge: scales from 2^-127 to
 * 2^125; in one row of four some of 2^126, 2^127 and NaN. */
void bf_fill_qblock(bf_fill, bf_dtype type, uint64_t seed, uint32_t stream, int64_t rows, int64_t blocks, void *out);

/* e(row) of the integer fill, for the judge of exactness. */
int bf_fill_integer_exponent(uint64_t seed, uint32_t stream, int64_t row);

#endif
