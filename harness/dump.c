/* dump.c: one directory a run. */
#include "dump.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "atomic_file.h"
#include "expected.h"
#include "formats/npy.h"
#include "json_memory.h"

enum { DUMP_LIMIT = 1 << 20 }; /* bytes of one tensor; what is larger is not a small case */

static const char *npy_type(bf_dtype t) {
    switch (t) {
    case BF_F32: return "f4";
    case BF_F64: return "f8";
    case BF_F16:
    case BF_BF16: return "u2";
    case BF_I8: return "i1";
    case BF_I32: return "i4";
    case BF_U32: return "u4";
    case BF_U64: return "u8";
    default: return "u1";
    }
}

static int write_tensor(const char *dir, const bf_tensor *t, bf_error *err) {
    char path[4400];
    int64_t dim[4], bytes = (int64_t)t->bytes;
    snprintf(path, sizeof path, "%s/%s.npy", dir, t->name);
    for (int i = 0; i < t->rank; i++) dim[i] = t->dim[i];
    if (bf_dtype_is_block(t->type)) return npy_write(path, "u1", 1, &bytes, t->data, err);
    return npy_write(path, npy_type(t->type), t->rank, dim, t->data, err);
}

static int write_reference(const char *dir, const bf_prepared *pre, const bf_tensor out[BF_MAX_TENSORS], int slot,
                           const bf_kernel *k, bf_error *err) {
    bf_dump d;
    char path[4400];
    int rc = bf_op_dump(pre->c, k, out, pre->expected, slot, &d, err);
    if (rc) return rc < 0 ? -1 : 0;
    snprintf(path, sizeof path, "%s/ref-%s.npy", dir, out[slot].name);
    rc = npy_write(path, "f8", 1, &d.count, d.ref, err);
    snprintf(path, sizeof path, "%s/bound-%s.npy", dir, out[slot].name);
    if (!rc) rc = npy_write(path, "f8", 1, &d.count, d.bound, err);
    free(d.ref), free(d.bound);
    return rc;
}

static int write_json(const char *dir, const bf_prepared *pre, const bf_tensor out[BF_MAX_TENSORS],
                      const char *backend, const bf_kernel *k, bf_error *err) {
    char path[4400];
    const bf_case *c = pre->c;
    json_t *tensors = json_object(), *fields = json_object();
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (out[i].role != BF_UNUSED) json_object_set_new(tensors, out[i].name, json_string(bf_dtype_name(out[i].type)));
    for (const bf_field *f = c->op->fields; f->key; f++) {
        json_t *v = f->kind == BF_FIELD_DIM    ? json_integer((json_int_t)c->problem.dim[f->slot])
                    : f->kind == BF_FIELD_TYPE ? json_string(bf_dtype_name(c->problem.type[f->slot]))
                    : f->kind == BF_FIELD_CHOICE
                        ? json_string(f->choices[(int)c->problem.param[f->slot]])
                        : json_real(c->problem.param[f->slot]);
        json_object_set_new(fields, f->key, v);
    }
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "case", c->line, "op", c->op->name, "kernel", k->name,
                          "backend", backend, "path", k->path ? k->path : "", "tensors", tensors, "fields", fields);
    snprintf(path, sizeof path, "%s/case.json", dir);
    char *text = json_dumps(o, JSON_INDENT(1));
    int rc = text && !bf_json_starved() ? bf_atomic_write(path, text, strlen(text), err) : bf_fail(err, "out of memory");
    free(text);
    json_decref(o);
    return rc;
}

int bf_dump_case(const char *dir, const bf_prepared *pre, const bf_tensor out[BF_MAX_TENSORS], const char *backend,
                 const bf_kernel *k, bf_error *err) {
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (out[i].role != BF_UNUSED && out[i].bytes > DUMP_LIMIT) return 0;
    if (mkdir(dir, 0777) && errno != EEXIST) return bf_fail(err, "%s: cannot make: %s", dir, strerror(errno));
    if (write_json(dir, pre, out, backend, k, err)) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (out[i].role != BF_UNUSED && write_tensor(dir, &out[i], err)) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (out[i].role == BF_OUTPUT && write_reference(dir, pre, out, i, k, err)) return -1;
    return 0;
}
