/* fuzz_gguf.c: any bytes: the reader fails with one clean line, or every promise of gguf.h holds. */
#include <stdlib.h>
#include <string.h>

#include "../formats/gguf.h"

static void must(int holds) {
    if (!holds) abort();
}

static void check_error(const bf_error *err) {
    must(err->text[0] != 0);
    must(!strchr(err->text, '\n'));
    must(!!strstr(err->text, "input: offset "));
}

static unsigned touch(const void *data, uint64_t bytes) {
    unsigned sum = 0;
    for (uint64_t i = 0; i < bytes; i++) sum += ((const uint8_t *)data)[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static volatile unsigned sink;
    bf_error err = {""};
    gguf_file *f = gguf_open_memory(data, size, "input", &err);
    if (!f) {
        check_error(&err);
        return 0;
    }
    for (size_t i = 0; i < gguf_tensor_count(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        must(gguf_tensor_find(f, t->name) == t);
        must(!t->bytes || (t->offset <= size && t->bytes <= size - t->offset && (const uint8_t *)t->data == data + t->offset));
        must(!gguf_type_at(t->type) == !strcmp(t->type_name, "unknown"));
        sink += touch(t->data, t->bytes);
    }
    for (size_t i = 0; i < gguf_value_count(f); i++) {
        const gguf_value *v = gguf_value_at(f, i);
        uint64_t u;
        int64_t s;
        double d;
        char text[64];
        must(gguf_value_find(f, v->key) == v);
        must(v->data >= data && v->data <= data + size && v->bytes <= (uint64_t)(data + size - v->data));
        must(v->kind == GGUF_ARRAY ? v->bytes >= v->count : v->kind != GGUF_STRING || v->bytes == v->count);
        sink += touch(v->data, v->bytes) + (unsigned)(gguf_value_u64(v, &u) + gguf_value_i64(v, &s) + gguf_value_f64(v, &d));
        if (!gguf_value_string(v, text, sizeof text)) must(strlen(text) == v->count);
    }
    gguf_close(f);
    return 0;
}
