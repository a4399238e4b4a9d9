/* weights.h: cases made from the Q4_K, Q6_K, Q8_0 and MXFP4 tensors of a GGUF file. */
#ifndef BF_WEIGHTS_H
#define BF_WEIGHTS_H

#include "case.h"

/* Appends, for every Q4_K, Q6_K, Q8_0 and MXFP4 tensor whose name matches the glob (NULL: all), a dequantisation to fp32 and a mat-vec
 * with one column, or, with `line` given (an op and its keys, without m and k), that case on the tensors whose type the op
 * takes. m and k are the tensor's, bf_case.file is "FILE:TENSOR". The file stays mapped for the life of the process. -1 with
 * err when it is not a sound GGUF file or has no such tensor. skipped: the tensors of other types, which no kernel here takes or
 * this op does not, as text, "3 Q5_K and 2 Q4_0" (scan decodes those, check does not run them); "" when there are none. */
int bf_weights_cases(const char *path, const char *glob, const char *line, bf_case_list *, char *skipped, size_t size, bf_error *);

#endif
