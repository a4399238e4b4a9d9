/* fuzz_safetensors.c: any bytes: the reader fails with one clean line, or every promise of safetensors.h holds. */
#include <stdlib.h>
#include <string.h>

#include "../formats/safetensors.h"

static void must(int holds) {
    if (!holds) abort();
}

static unsigned touch(const void *data, uint64_t bytes) {
    unsigned sum = 0;
    for (uint64_t i = 0; i < bytes; i++) sum += ((const uint8_t *)data)[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static volatile unsigned sink;
    bf_error err = {""};
    safetensors_file *f = safetensors_open_memory(data, size, "input", &err);
    if (!f) {
        must(err.text[0] && !strchr(err.text, '\n') && !!strstr(err.text, "input: offset "));
        return 0;
    }
    uint64_t at = 0;
    for (size_t i = 0; i < safetensors_count(f); i++) {
        const safetensors_tensor *t = safetensors_at(f, i);
        uint64_t elements = 1;
        must(safetensors_find(f, t->name) == t && t->rank >= 0 && t->rank <= SAFETENSORS_MAX_RANK);
        for (int d = 0; d < t->rank; d++) must(!__builtin_mul_overflow(elements, t->dim[d], &elements));
        uint64_t each = safetensors_type_bytes(t->type); /* 0: a type that is not read */
        must(t->elements == elements && (!each || t->bytes == elements * each));
        must(t->offset <= size && t->bytes <= size - t->offset && (const uint8_t *)t->data == data + t->offset);
        must(!at || t->offset == at); /* without holes */
        at = t->offset + t->bytes;
        sink += touch(t->data, t->bytes);
    }
    must(!at || at == size);
    must(!safetensors_at(f, safetensors_count(f)) && !safetensors_find(f, "no such tensor, surely"));
    safetensors_close(f);
    return 0;
}
