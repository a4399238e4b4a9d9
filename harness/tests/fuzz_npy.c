/* fuzz_npy.c: any bytes: the reader fails with one clean line, or shape, type and data agree and lie in the input. */
#include <stdlib.h>
#include <string.h>

#include "../formats/npy.h"

static void must(int holds) {
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static volatile unsigned sink;
    bf_error err = {""};
    npy_array a;
    if (npy_open_memory(data, size, "input", &a, &err)) {
        must(err.text[0] && !strchr(err.text, '\n') && strstr(err.text, "input: offset "));
        return 0;
    }
    uint64_t elements = 1;
    for (int i = 0; i < a.rank; i++) elements *= a.dim[i];
    must(elements == a.elements && a.bytes == elements * npy_type_bytes(a.type));
    must((const uint8_t *)a.data + a.bytes == data + size);
    for (uint64_t i = 0; i < a.bytes; i++) sink += ((const uint8_t *)a.data)[i];
    npy_close(&a);
    return 0;
}
