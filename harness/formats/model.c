/* model.c: see model.h. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../json_memory.h"
#include "gguf.h"
#include "safetensors.h"

enum { MAX_FILES = 4096, MAX_INDEX = 100000000 };

typedef struct part {
    char *path;
    gguf_file *gguf;
    safetensors_file *tensors;
} part;

struct bf_model {
    part *part;
    int parts;
    bf_model_tensor *tensor;
    size_t count;
};

static void *refuse(bf_error *err, const char *path, const char *why) {
    bf_fail(err, "%s: %s", path, why);
    return NULL;
}

/* rows and row from the sizes, slowest first. */
static void shape(bf_model_tensor *t, const uint64_t *dim, int rank, int step) {
    uint64_t fastest = rank ? dim[step > 0 ? rank - 1 : 0] : 1, slowest = rank ? dim[step > 0 ? 0 : rank - 1] : 1;
    int convolution = !t->blocks && (rank >= 4 || (rank == 3 && fastest < 32));
    t->rank = rank;
    t->rows = convolution ? slowest : fastest ? t->elements / fastest : 0;
    t->row = t->rows ? t->elements / t->rows : 0;
}

static bf_dtype dtype_of(const char *name) {
    return !strcmp(name, "F32") ? BF_F32 : !strcmp(name, "F16") ? BF_F16 : !strcmp(name, "BF16") ? BF_BF16 : BF_NONE;
}

static void add_gguf(bf_model *m, int file) {
    for (size_t i = 0; i < gguf_tensor_count(m->part[file].gguf); i++) {
        const gguf_tensor *g = gguf_tensor_at(m->part[file].gguf, i);
        bf_model_tensor *t = &m->tensor[m->count++];
        *t = (bf_model_tensor){.name = g->name, .type = g->type_name, .dtype = dtype_of(g->type_name), .blocks = bf_block_format_of(g->type_name),
                               .elements = g->elements, .bytes = g->bytes, .offset = g->offset, .data = g->data, .file = file};
        shape(t, g->dim, g->rank, -1);
    }
}

static void add_safetensors(bf_model *m, int file) {
    for (size_t i = 0; i < safetensors_count(m->part[file].tensors); i++) {
        const safetensors_tensor *s = safetensors_at(m->part[file].tensors, i);
        bf_model_tensor *t = &m->tensor[m->count++];
        *t = (bf_model_tensor){.name = s->name, .type = s->type, .dtype = dtype_of(s->type), .elements = s->elements, .bytes = s->bytes,
                               .offset = s->offset, .data = s->data, .file = file};
        shape(t, s->dim, s->rank, 1);
    }
}

static int ends_with(const char *text, const char *end) {
    size_t n = strlen(text), e = strlen(end);
    return n >= e && !strcmp(text + n - e, end);
}

static int open_part(part *p, const char *path, int must_be_safetensors, bf_error *err) {
    char magic[40] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        struct stat st;
        ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, magic, sizeof magic - 1) : 0;
        (void)got; /* what is short or no file is refused by its reader */
        close(fd);
    }
    if (!(p->path = strdup(path))) return bf_fail(err, "out of memory");
    if (!strncmp(magic, "version https://git-lfs", 23))
        return bf_fail(err, "%s: a pointer of Git LFS, not the model: `git lfs pull` fetches it", path);
    if (magic[0] == '<') return bf_fail(err, "%s: a web page, not a model: fetch the file itself", path);
    if (!must_be_safetensors && magic[0] && ends_with(path, ".gguf") && memcmp(magic, "GGUF", 4))
        return bf_fail(err, "%s: offset 0: magic: not a GGUF file", path);
    if (!must_be_safetensors && !memcmp(magic, "GGUF", 4)) p->gguf = gguf_open(path, err);
    else p->tensors = safetensors_open(path, err);
    return p->gguf || p->tensors ? 0 : -1;
}

static int open_parts(bf_model *m, bf_error *err) {
    size_t n = 0;
    for (int i = 0; i < m->parts; i++)
        n += m->part[i].gguf ? gguf_tensor_count(m->part[i].gguf) : safetensors_count(m->part[i].tensors);
    m->tensor = calloc(n + 1, sizeof *m->tensor);
    if (!m->tensor) return bf_fail(err, "out of memory");
    for (int i = 0; i < m->parts; i++) {
        if (m->part[i].gguf) add_gguf(m, i);
        else add_safetensors(m, i);
    }
    return 0;
}

/* ---- the index of a sharded model ---- */

/* A name in the index is a file beside it: no way out of the directory. */
static int plain_name(const char *name) { return name && name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < 200; }

static int open_shard(bf_model *m, const char *index, const char *name, bf_error *err) {
    char path[4096];
    const char *slash = strrchr(index, '/');
    if (snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - index + 1) : 0, index, name) >= (int)sizeof path)
        return bf_fail(err, "%s: weight_map: the path of %.60s is too long", index, name);
    for (int i = 0; i < m->parts; i++)
        if (!strcmp(m->part[i].path, path)) return i;
    if (m->parts == MAX_FILES) return bf_fail(err, "%s: weight_map: more than %d files", index, MAX_FILES);
    part *more = realloc(m->part, sizeof *more * (size_t)(m->parts + 1));
    if (!more) return bf_fail(err, "out of memory");
    m->part = more, m->part[m->parts] = (part){0};
    return open_part(&m->part[m->parts++], path, 1, err) ? -1 : m->parts - 1;
}

static int open_index(bf_model *m, const char *path, bf_error *err) {
    json_error_t e;
    struct stat st;
    if (stat(path, &st)) return bf_fail(err, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_INDEX) return bf_fail(err, "%s: no index of a sharded model: not a file of at most %d bytes", path, MAX_INDEX);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &e), *map = json_object_get(root, "weight_map"), *file;
    const char *name;
    int status = 0;
    if (!root) return bf_json_starved() ? bf_fail(err, "%s: out of memory", path) : bf_fail(err, "%s: line %d: %s", path, e.line, e.text);
    if (!json_is_object(map) || !json_object_size(map)) status = bf_fail(err, "%s: weight_map: missing or empty (is it model.safetensors.index.json?)", path);
    if (!status) json_object_foreach(map, name, file) {
        if (!plain_name(json_string_value(file))) {
            status = bf_fail(err, "%s: weight_map: %.80s: wants the name of a file beside the index", path, name);
            break;
        }
        int shard = open_shard(m, path, json_string_value(file), err);
        if (shard < 0) status = -1;
        else if (!safetensors_find(m->part[shard].tensors, name))
            status = bf_fail(err, "%s: weight_map: %.80s: not in %.80s", path, name, json_string_value(file));
        if (status) break;
    }
    json_decref(root);
    return status;
}

/* ---- the model ---- */

bf_model *bf_model_open(const char *path, bf_error *err) {
    bf_model *m = calloc(1, sizeof *m);
    if (!m) return refuse(err, path, "out of memory");
    int status;
    if (ends_with(path, ".json"))
        status = open_index(m, path, err);
    else if (!(m->part = calloc(1, sizeof *m->part)))
        status = bf_fail(err, "out of memory");
    else
        m->parts = 1, status = open_part(m->part, path, 0, err);
    if (status || open_parts(m, err)) {
        bf_model_close(m);
        return NULL;
    }
    return m;
}

void bf_model_close(bf_model *m) {
    if (!m) return;
    for (int i = 0; i < m->parts; i++) {
        if (m->part[i].gguf) gguf_close(m->part[i].gguf);
        safetensors_close(m->part[i].tensors);
        free(m->part[i].path);
    }
    free(m->part), free(m->tensor), free(m);
}

size_t bf_model_count(const bf_model *m) { return m->count; }
const bf_model_tensor *bf_model_at(const bf_model *m, size_t i) { return i < m->count ? &m->tensor[i] : NULL; }
int bf_model_files(const bf_model *m) { return m->parts; }
const char *bf_model_file(const bf_model *m, int file) { return m->part[file].path; }
const char *bf_model_format(const bf_model *m) { return m->parts && m->part[0].gguf ? "GGUF" : "safetensors"; }
