/* card.c: `blackframe devices --numerics`: every family on every kernel of every device, each device in a child process. */
#define _GNU_SOURCE

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../options.h"
#include "../record.h"
#include "../runner.h"
#include "../worker.h"
#include "card.h"
#include "numerics.h"

extern const bf_family bf_family_sums, bf_family_conversions, bf_family_functions;
const bf_family *const bf_families[] = {&bf_family_sums, &bf_family_conversions, &bf_family_functions, NULL};

typedef struct entry {
    const bf_family *family;
    const bf_kernel *kernel;
    int variant;
    bf_traits found;
} entry;

typedef struct card {
    const bf_device *device;
    bf_context *context;
    char refused[256];
    size_t entries, room;
    entry *entry;
} card;

/* 0, or -1: no memory. */
static int collect(card *c, const bf_selection *s) {
    for (int f = 0; bf_families[f]; f++)
        for (size_t i = 0; i < bf_kernel_count(); i++) {
            const bf_kernel *k = bf_kernel_at(i);
            if (k->target != c->device->backend->target || (k->role == BF_TWIN) != s->twins) continue;
            if ((k->available && !k->available()) || (s->kernel && fnmatch(s->kernel, k->name, 0))) continue;
            int n = bf_families[f]->variants(k);
            for (int v = 0; v < n; v++) {
                if (c->entries == c->room) {
                    entry *more = realloc(c->entry, (c->room = 2 * c->room + 64) * sizeof *more);
                    if (!more) return -1;
                    c->entry = more;
                }
                c->entry[c->entries++] = (entry){.family = bf_families[f], .kernel = k, .variant = v};
            }
        }
    return 0;
}

static int child_open(bf_worker *w, bf_error *err) {
    card *c = w->user;
    c->context = bf_open_proved(c->device, err);
    return c->context ? 0 : -1;
}
static int child_job(bf_worker *w, size_t i, void *row) {
    card *c = w->user;
    const bf_backend *b = c->device->backend;
    bf_numerics_probe(c->entry[i].family, b, c->context, c->entry[i].kernel, c->entry[i].variant, row);
    return b->lost && b->lost(c->context);
}
static void done(bf_worker *w, size_t i, const void *row) {
    card *c = w->user;
    memcpy(&c->entry[i].found, row, sizeof(bf_traits));
}
static void lost(bf_worker *w, size_t i, bf_status status, const char *why) {
    card *c = w->user;
    c->entry[i].found.failed = 1;
    snprintf(c->entry[i].found.why, sizeof c->entry[i].found.why, "%s: %.150s", bf_status_name(status), why);
}
static void refused(bf_worker *w, const char *why) {
    card *c = w->user;
    snprintf(c->refused, sizeof c->refused, "%s", why);
}

/* ---- the page ---- */

enum { COLUMNS = BF_MAX_TRAITS };
typedef struct column {
    const char *key, *title;
    int width;
} column;

static int columns_of(const card *c, const bf_family *f, column col[COLUMNS]) {
    int n = 0;
    for (size_t i = 0; i < c->entries; i++)
        for (int t = 0; c->entry[i].family == f && t < c->entry[i].found.count; t++) {
            const bf_trait *trait = &c->entry[i].found.trait[t];
            int at = 0;
            while (at < n && strcmp(col[at].key, trait->key)) at++;
            if (at == COLUMNS) continue;
            if (at == n) col[n++] = (column){trait->key, trait->title, (int)strlen(trait->title)};
            if ((int)strlen(trait->text) > col[at].width) col[at].width = (int)strlen(trait->text);
        }
    return n;
}

static void print_family(FILE *out, const card *c, const bf_family *f) {
    column col[COLUMNS];
    int n = columns_of(c, f, col), width = (int)strlen(f->title), rows = 0;
    char name[128];
    for (size_t i = 0; i < c->entries; i++)
        if (c->entry[i].family == f && (c->entry[i].found.count || c->entry[i].found.failed)) {
            int w = snprintf(name, sizeof name, "%s%s", c->entry[i].kernel->name, f->label(c->entry[i].kernel, c->entry[i].variant));
            if (w > width) width = w;
            rows++;
        }
    if (!rows) return;
    fprintf(out, "\n  %-*s", width, f->title);
    for (int k = 0; k < n; k++) fprintf(out, "  %-*s", k + 1 < n ? col[k].width : 0, col[k].title);
    fputc('\n', out);
    for (size_t i = 0; i < c->entries; i++) {
        const entry *e = &c->entry[i];
        if (e->family != f || !(e->found.count || e->found.failed)) continue;
        snprintf(name, sizeof name, "%s%s", e->kernel->name, f->label(e->kernel, e->variant));
        fprintf(out, "  %-*s", width, name);
        if (e->found.failed) fprintf(out, "  failed: %s", e->found.why);
        for (int k = 0; k < n && !e->found.failed; k++) {
            const bf_trait *t = bf_numerics_find(&e->found, col[k].key);
            fprintf(out, "  %-*s", k + 1 < n ? col[k].width : 0, t ? t->text : "-");
        }
        fputc('\n', out);
    }
}

/* Exact mode: cases of small integers must come out exact. What would have to be judged by bounds alone is named. */
static void print_mode(FILE *out, const card *c) {
    int asked = 0, exact = 0;
    for (size_t i = 0; i < c->entries; i++) {
        const bf_trait *t = bf_numerics_find(&c->entry[i].found, "integers_wrong");
        asked += t != NULL, exact += t && t->value == 0;
    }
    if (!asked) return;
    fprintf(out, "\n  mode: %s: small integers come out exact from %d of %d kernels and formats", exact == asked ? "exact" : "bounded", exact, asked);
    for (size_t i = 0, named = 0; i < c->entries; i++) {
        const entry *e = &c->entry[i];
        const bf_trait *t = bf_numerics_find(&e->found, "integers_wrong");
        if (t && t->value != 0) fprintf(out, "%s%s%s", named++ ? ", " : "; judged by bounds alone: ", e->kernel->name, e->family->label(e->kernel, e->variant));
    }
    fputc('\n', out);
}

static void print_card(FILE *out, const card *c, int twins) {
    fprintf(out, "%s %d  %s, %s\n", c->device->backend->name, c->device->index, c->device->name, c->device->arch);
    if (c->refused[0]) fprintf(out, "  refused: %s\n", c->refused);
    else {
        for (int f = 0; bf_families[f]; f++) print_family(out, c, bf_families[f]);
        if (!twins) print_mode(out, c);
    }
    fputc('\n', out);
}

static void record_card(bf_record *r, const card *c) {
    for (size_t i = 0; i < c->entries; i++) {
        const entry *e = &c->entry[i];
        if (!e->found.count && !e->found.failed) continue;
        json_t *line = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", "numerics", "backend", c->device->backend->name, "device",
                                 c->device->index, "family", e->family->name, "op", e->kernel->op, "kernel", e->kernel->name);
        if (e->family->label(e->kernel, e->variant)[0]) json_object_set_new(line, "variant", json_string(e->family->label(e->kernel, e->variant) + 1));
        if (e->found.failed) json_object_set_new(line, "error", json_string(e->found.why));
        for (int t = 0; t < e->found.count; t++) {
            const bf_trait *trait = &e->found.trait[t];
            json_object_set_new(line, trait->key, !isnan(trait->value) ? bf_json_real(trait->value) : strcmp(trait->text, "-") ? json_string(trait->text) : json_null());
        }
        bf_record_line(r, line);
    }
}

int bf_card(const bf_options *o, const bf_discovery *found, bf_record *record, FILE *out, bf_error *err) {
    card *c = calloc(BF_MAX_DEVICES, sizeof *c);
    bf_worker *w = calloc(BF_MAX_DEVICES, sizeof *w);
    int rc = c && w ? 0 : bf_fail(err, "numerics: no memory"), failed = 0;
    size_t probes = 0;
    int proved[BF_MAX_DEVICES] = {0};
    for (int i = 0; !rc && i < found->devices; i++) {
        c[i].device = &found->device[i];
        if (collect(&c[i], &o->select)) rc = bf_fail(err, "numerics: no memory");
        probes += c[i].entries;
        w[i] = (bf_worker){.user = &c[i], .jobs = c[i].entries, .row_bytes = sizeof(bf_traits), .timeout = o->timeout,
                           .open = child_open, .job = child_job, .done = done, .lost = lost, .refused = refused};
    }
    if (!rc && !probes) rc = bf_fail(err, "no such kernel: nothing was probed");
    if (!rc) rc = bf_workers_run(w, (size_t)found->devices, o->parallel > 0 ? o->parallel : 1, NULL, err);
    for (int i = 0; !rc && i < found->devices; i++) {
        if (!c[i].entries) continue;
        print_card(out, &c[i], o->select.twins);
        if (record) record_card(record, &c[i]);
        failed |= c[i].refused[0] != 0;
        proved[i] = !c[i].refused[0];
        for (size_t e = 0; e < c[i].entries; e++) failed |= c[i].entry[e].found.failed;
    }
    if (!rc && failed && bf_select_proved(&o->select, found, proved, err)) failed = 3;
    for (int i = 0; c && i < BF_MAX_DEVICES; i++) free(c[i].entry);
    free(c), free(w);
    return rc ? -1 : failed;
}
