/* compare_outputs.c: `blackframe compare --outputs A B`. */
#include "compare_outputs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "options.h"
#include "record.h"

/* ---- two tensors ---- */

static int width_of(bf_dtype t) { return (int)(8 * bf_dtype_bytes(t, 1)); }

/* Bits of the significand that are stored; -1: an integer. */
static int mantissa_of(bf_dtype t) { return t == BF_F64 ? 52 : t == BF_F32 ? 23 : t == BF_F16 ? 10 : t == BF_BF16 ? 7 : -1; }

uint64_t bf_output_bits(const bf_output *o, uint64_t i) {
    uint64_t v = 0, size = bf_dtype_bytes(o->type, 1);
    memcpy(&v, o->bytes + i * size, size);
    return v;
}

double bf_output_value(const bf_output *o, uint64_t i) {
    bf_tensor t = {.type = o->type, .data = o->bytes};
    return bf_element_value(&t, (int64_t)i);
}

static uint64_t apart(int64_t a, int64_t b) { return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a; }

typedef struct number {
    int nan, infinite;
    int64_t rank; /* neighbours differ by one; both zeros have 0 */
} number;

static number read_number(uint64_t bits, bf_dtype type) {
    int width = width_of(type), m = mantissa_of(type);
    uint64_t sign = UINT64_C(1) << (width - 1), magnitude = bits & (sign - 1);
    if (m < 0) { /* ranks of unsigned 64 bits wrap, and their difference is right for all that are less than 2^63 apart */
        int64_t v = (int64_t)bits;
        if (type == BF_I8) v = (int8_t)bits;
        if (type == BF_I32) v = (int32_t)bits;
        return (number){0, 0, v};
    }
    uint64_t infinity = sign - (UINT64_C(1) << m);
    return (number){magnitude > infinity, magnitude == infinity, bits & sign ? -(int64_t)magnitude : (int64_t)magnitude};
}

static int bin_of(uint64_t d) {
    static const uint64_t most[] = {1, 2, 4, 16, 256, 65536};
    int b = 0;
    while (b < BF_ULP_MORE && d > most[b]) b++;
    return b;
}

void bf_output_compare(const bf_output *a, const bf_output *b, uint64_t ulps, bf_output_difference *d) {
    *d = (bf_output_difference){.elements = a->elements, .first = -1};
    if (!a->bytes || !b->bytes) {
        d->unknown = a->hash != b->hash;
        return;
    }
    for (uint64_t i = 0; i < a->elements; i++) {
        uint64_t x = bf_output_bits(a, i), y = bf_output_bits(b, i), distance = 0;
        if (x == y) continue;
        number p = read_number(x, a->type), q = read_number(y, b->type);
        int beyond = !ulps;
        d->different++;
        if (p.nan != q.nan || p.infinite != q.infinite || (p.infinite && p.rank != q.rank)) d->classes++, beyond = 1;
        else if (p.nan) d->payload++;
        else if (!(distance = apart(p.rank, q.rank))) d->sign++;
        else d->bin[bin_of(distance)]++, beyond |= distance > ulps;
        if (distance > d->worst) d->worst = distance;
        d->beyond += (uint64_t)beyond;
        if (beyond && d->first < 0) d->first = (int64_t)i;
    }
}

/* ---- the command ---- */

typedef struct sum { /* of a kernel */
    const bf_output *of;
    bf_output_difference d;
    uint64_t outputs, same, within;
} sum;

typedef struct comparison {
    bf_options *o;
    bf_output_list side[2];
    int across; /* the sides have no backend in common: kernels are matched by name alone */
    sum *kernel;
    size_t kernels;
    uint64_t both, beyond, unlike, alone[2];
    bf_record *record;
} comparison;

static int across; /* for qsort */
static int order(const void *p, const void *q) {
    const bf_output *a = p, *b = q;
    int by = across ? 0 : strcmp(a->backend, b->backend);
    if (!by) by = strcmp(a->op, b->op);
    if (!by) by = strcmp(a->kernel, b->kernel);
    if (!by) by = strcmp(a->what, b->what);
    return by ? by : strcmp(a->tensor, b->tensor);
}

static int has_backend(const bf_output_list *l, const char *name) {
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->item[i].backend, name)) return 1;
    return 0;
}

static int read_side(comparison *c, int side, bf_error *err) {
    bf_output_list *l = &c->side[side];
    if (bf_archive_read(c->o->select.words[side], l, err)) return -1;
    return l->count ? 0 : bf_fail(err, "%s: no outputs in it: make one with blackframe check --archive FILE", c->o->select.words[side]);
}

static int alike(const bf_output *a, const bf_output *b) {
    return a->type == b->type && a->rank == b->rank && !memcmp(a->dim, b->dim, sizeof a->dim);
}

/* Sorted, each output once: a case that stands in two suites ran twice, with the same result. */
static int arrange(comparison *c, int side, bf_error *err) {
    bf_output_list *l = &c->side[side];
    across = c->across;
    qsort(l->item, l->count, sizeof *l->item, order);
    size_t kept = 0;
    int rc = 0;
    for (size_t i = 0; i < l->count; i++) {
        bf_output *o = &l->item[i], *last = kept ? &l->item[kept - 1] : NULL;
        if (!last || order(last, o)) {
            if (kept != i) l->item[kept] = *o, *o = (bf_output){0};
            kept++;
        } else {
            if (!rc && (last->hash != o->hash || !alike(last, o)))
                rc = bf_fail(err, "%s: %s: '%s' is there twice, with different outputs (%s, %s): archive one device of one backend (check --backend)",
                             c->o->select.words[side], o->kernel, o->what, last->backend, o->backend);
            bf_output_free(o);
        }
    }
    l->count = kept;
    return rc;
}

static sum *sum_of(comparison *c, const bf_output *a) {
    sum *last = c->kernels ? &c->kernel[c->kernels - 1] : NULL;
    if (last && !strcmp(last->of->kernel, a->kernel) && !strcmp(last->of->op, a->op) && (c->across || !strcmp(last->of->backend, a->backend))) return last;
    c->kernel[c->kernels] = (sum){.of = a};
    return &c->kernel[c->kernels++];
}

static void show_place(const comparison *c, const bf_output *a, const bf_output *b, const bf_output_difference *d) {
    printf("%s%s%s %s: %s\n", a->backend, c->across ? " and " : "", c->across ? b->backend : "", a->kernel, a->what);
    if (d->unknown) {
        printf("     %s: the bytes differ; its values are not in the archive (more than %d bytes)\n", a->tensor, BF_ARCHIVE_VALUES);
        return;
    }
    uint64_t i = (uint64_t)d->first, x = bf_output_bits(a, i), y = bf_output_bits(b, i);
    int digits = width_of(a->type) / 4;
    number p = read_number(x, a->type), q = read_number(y, b->type);
    printf("     %s[%" PRIu64 "] 0x%0*" PRIx64 " %.9g, 0x%0*" PRIx64 " %.9g", a->tensor, i, digits, x, bf_output_value(a, i), digits, y, bf_output_value(b, i));
    if (p.nan != q.nan || p.infinite != q.infinite) printf(": classes differ");
    else if (p.nan) printf(": NaN with other bits");
    else printf(": %" PRIu64 " ulp", apart(p.rank, q.rank));
    printf("; %" PRIu64 " of %" PRIu64 " values differ, %" PRIu64 " of them by more than allowed\n", d->different, d->elements, d->beyond);
}

static void record_pair(comparison *c, const bf_output *a, const bf_output *b, const bf_output_difference *d) {
    json_t *bins = json_array();
    for (int i = 0; i < BF_ULP_BINS; i++) json_array_append_new(bins, json_integer((json_int_t)d->bin[i]));
    bf_record_line(c->record, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "type", "difference", "backend", a->backend,
                                        "other", b->backend, "kernel", a->kernel, "case", a->what, "tensor", a->tensor, "elements", (json_int_t)d->elements,
                                        "different", (json_int_t)d->different, "beyond", (json_int_t)d->beyond, "classes", (json_int_t)d->classes, "payload",
                                        (json_int_t)d->payload, "sign", (json_int_t)d->sign, "worst_ulp", (json_int_t)d->worst, "first", (json_int_t)d->first,
                                        "unknown", d->unknown, "ulp_bins", bins));
}

static void pair(comparison *c, const bf_output *a, const bf_output *b) {
    bf_output_difference d;
    sum *s = sum_of(c, a);
    c->both++, s->outputs++;
    if (!alike(a, b)) {
        c->unlike++, c->beyond++;
        printf("%s %s: %s\n     %s: another type or shape: %s and %s\n", a->backend, a->kernel, a->what, a->tensor, bf_dtype_name(a->type), bf_dtype_name(b->type));
        return;
    }
    bf_output_compare(a, b, (uint64_t)c->o->ulps, &d);
    int same = !d.different && !d.unknown, beyond = d.beyond || d.unknown;
    s->same += same, s->within += !same && !beyond;
    s->d.elements += d.elements, s->d.different += d.different, s->d.classes += d.classes, s->d.payload += d.payload, s->d.sign += d.sign;
    for (int i = 0; i < BF_ULP_BINS; i++) s->d.bin[i] += d.bin[i];
    if (d.worst > s->d.worst) s->d.worst = d.worst;
    if (!same) record_pair(c, a, b, &d);
    if (beyond && (!c->beyond++ || c->o->verbose)) {
        if (c->beyond == 1) printf("first difference: ");
        show_place(c, a, b, &d);
    }
}

static void alone(comparison *c, int side, const bf_output *o) {
    if (c->alone[side]++ < 5 || c->o->verbose) printf("only %s  %s %s: %s %s\n", side ? "B" : "A", o->backend, o->kernel, o->what, o->tensor);
}

static void table(const comparison *c) {
    printf("\n%-11s %-30s %7s %7s %7s %10s %10s  %s\n", "backend", "kernel", "outputs", "same", "within", "values", "different",
           "by ulp: 1, 2, 4, 16, 256, 65536, more; other class, NaN bits, sign of 0; worst");
    for (size_t i = 0; i < c->kernels; i++) {
        const sum *s = &c->kernel[i];
        printf("%-11s %-30s %7" PRIu64 " %7" PRIu64 " %7" PRIu64 " %10" PRIu64 " %10" PRIu64, c->across ? "both" : s->of->backend, s->of->kernel, s->outputs, s->same,
               s->within, s->d.elements, s->d.different);
        if (s->d.different) {
            printf(" ");
            for (int b = 0; b < BF_ULP_BINS; b++) printf(" %" PRIu64, s->d.bin[b]);
            printf("; %" PRIu64 ", %" PRIu64 ", %" PRIu64 "; %" PRIu64, s->d.classes, s->d.payload, s->d.sign, s->d.worst);
        }
        puts("");
    }
}

static int compare(comparison *c, bf_error *err) {
    const bf_output_list *a = &c->side[0], *b = &c->side[1];
    c->across = 1;
    for (size_t i = 0; i < a->count && c->across; i++) c->across = !has_backend(b, a->item[i].backend);
    if (arrange(c, 0, err) || arrange(c, 1, err)) return -1;
    if (!(c->kernel = calloc(a->count, sizeof *c->kernel))) return bf_fail(err, "out of memory");
    for (size_t i = 0, j = 0; i < a->count || j < b->count;) {
        int by = i == a->count ? 1 : j == b->count ? -1 : order(&a->item[i], &b->item[j]);
        if (!by) pair(c, &a->item[i++], &b->item[j++]);
        else if (by < 0) alone(c, 0, &a->item[i++]);
        else alone(c, 1, &b->item[j++]);
    }
    return c->both ? 0 : bf_fail(err, "%s, %s: no output of the same case and kernel in both", c->o->select.words[0], c->o->select.words[1]);
}

int bf_command_compare_outputs(bf_options *o) {
    comparison c = {.o = o};
    bf_error err = {{0}};
    int rc = o->select.word_count == 2 ? 0 : bf_fail(&err, "compare --outputs: A and B are wanted, %d names were given", o->select.word_count);
    for (int i = 0; i < 2 && !rc; i++) rc = read_side(&c, i, &err);
    if (!rc && !(c.record = bf_record_open(o->json, NULL, &err))) rc = -1;
    if (!rc) bf_record_line(c.record, bf_record_run("compare", o->argc, o->argv));
    if (!rc) rc = compare(&c, &err);
    if (!rc) {
        table(&c);
        printf("\n%" PRIu64 " outputs compared, %" PRIu64 " differ by more than %g ulp; only in A %" PRIu64 ", only in B %" PRIu64 "\n", c.both, c.beyond, o->ulps, c.alone[0],
               c.alone[1]);
        bf_record_line(c.record, json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "type", "summary", "compared", (json_int_t)c.both, "beyond", (json_int_t)c.beyond,
                                           "only_a", (json_int_t)c.alone[0], "only_b", (json_int_t)c.alone[1], "ulps", o->ulps));
    }
    if (rc) bf_record_abandon(c.record);
    else if (c.record && bf_record_close(c.record, &err)) rc = -1;
    for (int i = 0; i < 2; i++) bf_archive_free(&c.side[i]);
    free(c.kernel);
    if (rc) fprintf(stderr, "blackframe: %s\n", err.text);
    return rc ? BF_EXIT_USAGE : c.beyond ? BF_EXIT_FAILED : BF_EXIT_OK;
}
