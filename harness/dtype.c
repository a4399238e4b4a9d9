/* dtype.c: names and sizes of the element types: the one table of them. */
#include <string.h>

#include "op.h"

static const struct {
    const char *name;
    uint32_t bytes, elements; /* `bytes` hold `elements` */
} dtypes[BF_DTYPES] = {
    [BF_NONE] = {"none", 0, 1}, [BF_F32] = {"f32", 4, 1},       [BF_F16] = {"f16", 2, 1}, [BF_BF16] = {"bf16", 2, 1},
    [BF_F64] = {"f64", 8, 1},   [BF_Q4_K] = {"q4_k", 144, 256}, [BF_Q6_K] = {"q6_k", 210, 256}, [BF_Q8_0] = {"q8_0", 34, 32},
    [BF_MXFP4] = {"mxfp4", 17, 32},
    [BF_I8] = {"i8", 1, 1},   [BF_I32] = {"i32", 4, 1},
    [BF_U32] = {"u32", 4, 1},   [BF_U64] = {"u64", 8, 1},
};

static int known(bf_dtype type) { return type > BF_NONE && type < BF_DTYPES; }

/* 0 for no type, a negative count or a part of a block; UINT64_MAX, which no allocation grants, when the size does not fit. */
uint64_t bf_dtype_bytes(bf_dtype type, int64_t elements) {
    if (!known(type) || elements < 0 || elements % dtypes[type].elements) return 0;
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)elements / dtypes[type].elements, dtypes[type].bytes, &bytes)) return UINT64_MAX;
    return bytes;
}

int bf_dtype_is_block(bf_dtype type) { return known(type) && dtypes[type].elements > 1; }

const char *bf_dtype_name(bf_dtype type) { return known(type) ? dtypes[type].name : dtypes[BF_NONE].name; }

bf_dtype bf_dtype_parse(const char *name) {
    for (int t = BF_NONE + 1; t < BF_DTYPES; t++)
        if (name && !strcmp(name, dtypes[t].name)) return (bf_dtype)t;
    return BF_NONE;
}
