/* stream: the ceiling of the memory system, measured in the same run as the kernels it judges.
 *
 * n elements of fp32 in each array (n a multiple of 4; tails are the kernel's to handle).
 *   copy  y = x                    reads n, writes n
 *   read  c = XOR of all words     reads n (c: one U32; the result proves that every word was read)
 *   write y = bit pattern 0x3f800000 | (i & 0xff)   writes n
 *   triad y = x + 3 * z            reads 2n, writes n (exact on the integer fill)
 *   mix   read of n words and write of m words, interleaved in the proportion n : m, as a kernel with that mix of reads
 *         and writes would: c as in read, y as in write. Right for every n and m; meant to be fast where neither is
 *         more than 16 times the other (m a multiple of 4 as well)
 * store: 0 plain, 1 non-temporal (streaming) stores. */
#ifndef BF_OP_STREAM_H
#define BF_OP_STREAM_H

enum { STREAM_N, STREAM_M /* dim; m: mode mix only, 0 otherwise */ };
enum { STREAM_MODE, STREAM_STORE /* param */ };
enum { STREAM_COPY, STREAM_READ, STREAM_WRITE, STREAM_TRIAD, STREAM_MIX /* values of STREAM_MODE */ };
enum { /* tensors */
    STREAM_X, /* in  F32 [n], copy, read, triad, mix */
    STREAM_Z, /* in  F32 [n], triad */
    STREAM_Y, /* out F32 [n], copy, write, triad; [m], mix */
    STREAM_C, /* out U32 [1], read, mix; the kernel zeroes it itself */
    STREAM_TENSORS
};

#endif
