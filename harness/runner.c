/* runner.c: one case, one kernel. */
#include "runner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"
#include "dump.h"
#include "worker.h"

#if defined(__SANITIZE_ADDRESS__)
#define GUARD 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GUARD 0
#endif
#endif
#ifndef GUARD
#define GUARD 512 /* bytes on each side; keeps the 256-byte alignment */
#endif

enum { GUARD_BYTE = 0xa5 };

const char *bf_status_name(bf_status s) {
    static const char *const name[] = {"PASS", "FAIL", "MISTRUSTED", "SKIP", "CRASH", "HANG", "ERROR"};
    return s <= BF_ERROR ? name[s] : "ERROR";
}

bf_context *bf_open_proved(const bf_device *d, bf_error *err) {
    bf_context *x = d->backend->open(d, err);
    uint64_t nonce = (uint64_t)getpid() * 0x9e3779b97f4a7c15ull ^ (uint64_t)(bf_now() * 1e9), proof = 0;
    if (!x || d->backend->prove(x, nonce, &proof, err)) return NULL;
    if (proof == bf_proof_expected(nonce)) return x;
    bf_fail(err, "%s: the device did not compute its proof (nonce 0x%llx, got 0x%llx, want 0x%llx): refused; mend: it runs nothing or runs it wrongly: reload the driver or restart", d->name,
            (unsigned long long)nonce, (unsigned long long)proof, (unsigned long long)bf_proof_expected(nonce));
    return NULL;
}

int bf_prepare(const bf_case *c, int want_reference, bf_prepared *p, bf_error *err) {
    memset(p, 0, sizeof *p);
    p->c = c;
    if (c->op->tensors(&c->problem, NULL, p->t, err)) return -1;
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        bf_tensor *t = &p->t[i];
        if (t->role != BF_INPUT) continue;
        /* Rounded up to the alignment that aligned_alloc asks for; one byte at least. */
        t->data = aligned_alloc(64, (t->bytes + 64) / 64 * 64);
        if (!t->data) {
            bf_fail(err, "%s: no memory for %s (%llu bytes)", c->op->name, t->name, (unsigned long long)t->bytes);
            bf_unprepare(p);
            return -1;
        }
    }
    if (c->op->fill(c, p->t, err) || (want_reference && !(p->expected = c->op->expect(c, p->t, err)))) {
        bf_unprepare(p);
        return -1;
    }
    return 0;
}

void bf_unprepare(bf_prepared *p) {
    if (p->expected) p->c->op->release(p->expected);
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (p->t[i].role == BF_INPUT) free(p->t[i].data);
    memset(p, 0, sizeof *p);
}

void bf_poison(void *data, bf_dtype type, uint64_t bytes, int round) {
    unsigned char *d = data;
    if (type == BF_F16 || type == BF_BF16) { /* signalling NaNs of both types */
        uint16_t v = round ? 0x7fa5 : 0x7fba;
        for (uint64_t i = 0; i + 2 <= bytes; i += 2) memcpy(d + i, &v, 2);
    } else if (type == BF_I8) {
        memset(d, round ? 0x7f : 0x80, bytes);
    } else { /* a signalling NaN as fp32, far off as an integer; two of them are one as fp64 */
        uint32_t v = round ? 0x7fa5a5a5u : 0x7fbadbadu;
        for (uint64_t i = 0; i + 4 <= bytes; i += 4) memcpy(d + i, &v, 4);
    }
}

int bf_arena_open(const bf_backend *b, bf_context *x, const bf_tensor t[BF_MAX_TENSORS], uint64_t scratch,
                  bf_problem *p, bf_arena *a, bf_error *err) {
    memset(a, 0, sizeof *a);
    a->backend = b, a->context = x;
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        p->ptr[i] = NULL;
        if (t[i].role == BF_UNUSED) continue;
        a->bytes[i] = t[i].bytes;
        a->base[i] = b->alloc(x, t[i].bytes + 2 * GUARD, err);
        if (!a->base[i]) {
            bf_arena_close(a);
            return -1;
        }
        p->ptr[i] = (char *)a->base[i] + GUARD;
    }
    p->scratch = NULL;
    if (scratch) {
        a->scratch = b->alloc(x, scratch + 2 * GUARD, err), a->scratch_bytes = scratch;
        if (!a->scratch) {
            bf_arena_close(a);
            return -1;
        }
        p->scratch = (char *)a->scratch + GUARD;
    }
    return 0;
}

void bf_arena_close(bf_arena *a) {
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (a->base[i]) a->backend->free(a->context, a->base[i]);
    if (a->scratch) a->backend->free(a->context, a->scratch);
    memset(a, 0, sizeof *a);
}

/* ---- one run ---- */

typedef struct run {
    const bf_backend *b;
    bf_context *x;
    const bf_device *d;
    bf_tensor t[BF_MAX_TENSORS]; /* of this kernel's path; outputs own their data */
    void *spare[BF_MAX_TENSORS]; /* the second round's outputs, and room to read inputs back */
    bf_problem p;
    bf_arena arena;
} run;

static void note(bf_verdict *v, bf_status s, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void note(bf_verdict *v, bf_status s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    v->status = s;
    vsnprintf(v->note, sizeof v->note, format, ap);
    va_end(ap);
}

static int fence(run *r, char *base, uint64_t bytes, bf_error *err) {
    unsigned char g[GUARD + 1];
    memset(g, GUARD_BYTE, sizeof g);
    if (!GUARD) return 0;
    return r->b->upload(r->x, base, g, GUARD, err) || r->b->upload(r->x, base + GUARD + bytes, g, GUARD, err);
}

/* 0 intact, 1 overwritten, -1 error. */
static int fence_broken(run *r, const char *base, uint64_t bytes, const char **where, bf_error *err) {
    unsigned char g[GUARD + 1];
    if (!GUARD) return 0;
    for (int side = 0; side < 2; side++) {
        if (r->b->download(r->x, g, base + (side ? GUARD + bytes : 0), GUARD, err)) return -1;
        for (int k = 0; k < GUARD; k++)
            if (g[k] != GUARD_BYTE) {
                *where = side ? "behind" : "before";
                return 1;
            }
    }
    return 0;
}

/* Between two runs too: what the first left there must not serve the second. */
static int poison_scratch(run *r, int round, bf_error *err) {
    enum { PIECE = 1 << 16 };
    static uint32_t piece[PIECE / 4];
    uint64_t n = r->arena.scratch_bytes;
    if (!r->arena.scratch) return 0;
    bf_poison(piece, BF_F32, PIECE, round);
    for (uint64_t at = 0; at < n; at += PIECE)
        if (r->b->upload(r->x, (char *)r->p.scratch + at, piece, n - at < PIECE ? n - at : PIECE, err)) return -1;
    return round ? 0 : fence(r, r->arena.scratch, n, err);
}

static int load(run *r, int round, bf_error *err) {
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        bf_tensor *t = &r->t[i];
        if (t->role == BF_UNUSED) continue;
        void *data = t->data;
        if (t->role == BF_OUTPUT) {
            data = round ? r->spare[i] : t->data;
            bf_poison(data, t->type, t->bytes, round);
        }
        if ((round == 0 || t->role == BF_OUTPUT) && r->b->upload(r->x, r->p.ptr[i], data, t->bytes, err)) return -1;
        if (round == 0 && fence(r, r->arena.base[i], t->bytes, err)) return -1;
    }
    return poison_scratch(r, round, err);
}

static int fetch(run *r, int round, bf_error *err) {
    for (int i = 0; i < BF_MAX_TENSORS; i++)
        if (r->t[i].role == BF_OUTPUT &&
            r->b->download(r->x, round ? r->spare[i] : r->t[i].data, r->p.ptr[i], r->t[i].bytes, err))
            return -1;
    return 0;
}

/* Nothing but the outputs may have changed. */
static int surroundings(run *r, bf_verdict *v, bf_error *err) {
    const char *side = "";
    int beyond = r->arena.scratch ? fence_broken(r, r->arena.scratch, r->arena.scratch_bytes, &side, err) : 0;
    if (beyond < 0) return -1;
    if (beyond) {
        note(v, BF_FAIL, "wrote %s its scratch memory of %llu bytes: guard region changed", side, (unsigned long long)r->arena.scratch_bytes);
        return 1;
    }
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        if (r->t[i].role == BF_UNUSED) continue;
        const char *where = "";
        int broken = fence_broken(r, r->arena.base[i], r->t[i].bytes, &where, err);
        if (broken < 0) return -1;
        if (broken) {
            note(v, BF_FAIL, "wrote %s tensor %s: guard region changed", where, r->t[i].name);
            return 1;
        }
        if (r->t[i].role != BF_INPUT) continue;
        if (r->b->download(r->x, r->spare[i], r->p.ptr[i], r->t[i].bytes, err)) return -1;
        if (memcmp(r->spare[i], r->t[i].data, r->t[i].bytes)) {
            note(v, BF_FAIL, "changed its input %s", r->t[i].name);
            return 1;
        }
    }
    return 0;
}

static uint64_t element(const void *data, uint64_t i, uint64_t size) {
    uint64_t v = 0;
    memcpy(&v, (const char *)data + i * size, size);
    return v;
}

/* The second round started from another poison; a right kernel does not care. */
static int repeats(run *r, bf_verdict *v) {
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        bf_tensor *t = &r->t[i];
        if (t->role != BF_OUTPUT || !memcmp(t->data, r->spare[i], t->bytes)) continue;
        uint64_t size = bf_dtype_bytes(t->type, 1), k = 0, poison = 0;
        while (element(t->data, k, size) == element(r->spare[i], k, size)) k++;
        bf_poison(&poison, t->type, size, 0);
        note(v, BF_FAIL, element(t->data, k, size) == poison ? "never wrote %s[%llu] (poison 0x%llx is still there)"
                                                             : "not repeatable: %s[%llu] was 0x%llx, second run 0x%llx",
             t->name, (unsigned long long)k, (unsigned long long)element(t->data, k, size),
             (unsigned long long)element(r->spare[i], k, size));
        return 1;
    }
    return 0;
}

static int buffers(run *r, const bf_prepared *pre, bf_error *err) {
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        bf_tensor *t = &r->t[i];
        if (t->role == BF_UNUSED) continue;
        r->spare[i] = malloc(t->bytes ? t->bytes : 1);
        t->data = t->role == BF_INPUT ? pre->t[i].data : malloc(t->bytes ? t->bytes : 1);
        if (!r->spare[i] || !t->data) return bf_fail(err, "no host memory for tensor %s", t->name);
    }
    return 0;
}

static void drop(run *r) {
    bf_arena_close(&r->arena);
    for (int i = 0; i < BF_MAX_TENSORS; i++) {
        free(r->spare[i]);
        if (r->t[i].role == BF_OUTPUT) free(r->t[i].data);
    }
}

/* The file's own values, made by another implementation. */
static void golden(const bf_case *c, const bf_tensor *y, bf_verdict *v) {
    const uint32_t *got = y->data, *want = (const uint32_t *)(const void *)c->golden;
    for (uint64_t i = 0; i < y->bytes / 4; i++) {
        int nan_got = (got[i] & 0x7fffffffu) > 0x7f800000u, nan_want = (want[i] & 0x7fffffffu) > 0x7f800000u;
        if (got[i] == want[i] || (nan_got && nan_want)) continue;
        v->mismatched++;
        note(v, BF_FAIL, "%s[%llu] is 0x%08x, the file's own dequantised value 0x%08x", y->name,
             (unsigned long long)i, got[i], want[i]);
        return;
    }
    if (v->status == BF_PASS) note(v, BF_PASS, "bit-identical to the file's own dequantised values");
}

/* The four stations; -1 with err when the device or the host fails on the way. */
static int stations(run *r, const bf_prepared *pre, const bf_kernel *k, const char *dump, bf_row *row,
                    bf_error *err) {
    bf_verdict *v = &row->verdict;
    if (load(r, 0, err)) return -1;
    double t0 = bf_now();
    if (r->b->run(r->x, k, &r->p, err)) return -1;
    row->seconds = bf_now() - t0;
    if (fetch(r, 0, err)) return -1;
    pre->c->op->judge(pre->c, k, r->t, pre->expected, v);
    if (pre->c->golden) golden(pre->c, &r->t[pre->c->golden_slot], v);
    if (dump && bf_dump_case(dump, pre, r->t, r->b->name, k, err)) return -1;
    if (pre->archive && bf_archive_append(pre->archive, r->d, pre->c, k, r->t, v->status, err)) return -1;
    /* A failed judgement keeps its own words; what follows only adds failures. */
    int worse = surroundings(r, v, err);
    if (worse) return worse < 0 ? -1 : 0;
    if (load(r, 1, err) || r->b->run(r->x, k, &r->p, err) || fetch(r, 1, err)) return -1;
    repeats(r, v);
    return 0;
}

void bf_run_case(const bf_backend *b, bf_context *x, const bf_device *d, const bf_prepared *pre, const bf_kernel *k,
                 const char *dump, bf_row *row) {
    bf_error err = {{0}};
    run r = {.b = b, .x = x, .d = d, .p = pre->c->problem};
    bf_verdict *v = &row->verdict;
    int rc = pre->c->op->tensors(&r.p, k->path, r.t, &err);
    uint64_t need = k->scratch ? k->scratch(&r.p) + 2 * GUARD : 0;
    for (int i = 0; i < BF_MAX_TENSORS; i++) need += r.t[i].role == BF_UNUSED ? 0 : r.t[i].bytes + 2 * GUARD;
    if (!rc && d->memory && need > d->memory) {
        note(v, BF_SKIP, "needs %.1f GB, the device has %.1f", (double)need / 1e9, (double)d->memory / 1e9);
        return;
    }
    if (rc || buffers(&r, pre, &err) ||
        bf_arena_open(b, x, r.t, k->scratch ? k->scratch(&r.p) : 0, &r.p, &r.arena, &err) ||
        stations(&r, pre, k, dump, row, &err))
        note(v, BF_ERROR, "%.250s", err.text);
    drop(&r);
}
