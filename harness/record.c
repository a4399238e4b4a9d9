/* record.c: JSON Lines and JUnit. */
#define _GNU_SOURCE
#include "record.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "../reference/blas.h"
#include "atomic_file.h"
#include "json_memory.h"
#include "version.h"

struct bf_record {
    bf_atomic_file json, junit; /* stream NULL: not wanted */
    char *tests; /* JUnit bodies, written at the end behind the counts */
    size_t tests_bytes;
    FILE *tests_stream;
    long count, failures, skipped;
    long lost; /* lines that could not be made */
};

bf_record *bf_record_open(const char *json_path, const char *junit_path, bf_error *err) {
    bf_record *r = calloc(1, sizeof *r);
    if (!r) return bf_fail(err, "out of memory"), NULL;
    if ((json_path && bf_atomic_open(&r->json, json_path, err)) ||
        (junit_path && bf_atomic_open(&r->junit, junit_path, err))) {
        if (json_path) bf_atomic_abandon(&r->json);
        if (junit_path) bf_atomic_abandon(&r->junit);
        free(r);
        return NULL;
    }
    if (r->junit.stream && !(r->tests_stream = open_memstream(&r->tests, &r->tests_bytes))) {
        bf_fail(err, "%s: out of memory", junit_path);
        bf_atomic_abandon(&r->json), bf_atomic_abandon(&r->junit);
        free(r);
        return NULL;
    }
    return r;
}

void bf_record_line(bf_record *r, json_t *object) {
    if (r->json.stream) {
        /* Whole in memory first: half a line would spoil those before it. */
        char *text = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
        if (text && !bf_json_starved()) fputs(text, r->json.stream), fputc('\n', r->json.stream);
        else r->lost++;
        if (fflush(r->json.stream) && !r->json.reason) r->json.reason = errno;
        free(text);
    }
    json_decref(object);
}

static void xml_text(FILE *f, const char *s) {
    for (; *s; s++) switch (*s) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc((unsigned char)*s < 32 && *s != '\n' && *s != '\t' ? '?' : *s, f);
        }
}

void bf_record_test(bf_record *r, const char *suite, const char *name, double seconds, int skipped,
                    const char *failure) {
    FILE *f = r->tests_stream;
    if (!f) return;
    fputs("  <testcase classname=\"", f), xml_text(f, suite);
    fputs("\" name=\"", f), xml_text(f, name);
    fprintf(f, "\" time=\"%.6f\"", seconds);
    r->count++;
    if (!failure) {
        fputs("/>\n", f);
        return;
    }
    *(skipped ? &r->skipped : &r->failures) += 1;
    fprintf(f, "><%s message=\"", skipped ? "skipped" : "failure"), xml_text(f, failure);
    fputs("\"/></testcase>\n", f);
}

int bf_record_close(bf_record *r, bf_error *err) {
    if (!r) return 0;
    int rc = 0;
    if (r->json.stream && (r->lost || bf_json_starved())) {
        rc = bf_json_starved() ? bf_fail(err, "%s: out of memory, nothing replaced", r->json.path)
                               : bf_fail(err, "%s: %ld lines have text that is not UTF-8 (the name of a file?), nothing replaced", r->json.path, r->lost);
        bf_atomic_abandon(&r->json);
    }
    int starved = r->tests_stream && ferror(r->tests_stream);
    if (r->tests_stream && (fclose(r->tests_stream) || starved)) {
        rc = bf_fail(err, "%s: out of memory, nothing replaced", r->junit.path);
        bf_atomic_abandon(&r->junit);
    } else if (r->tests_stream) {
        FILE *f = r->junit.stream;
        fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"blackframe\" tests=\"%ld\" failures=\"%ld\" skipped=\"%ld\">\n",
                r->count, r->failures, r->skipped);
        fwrite(r->tests, 1, r->tests_bytes, f);
        fputs("</testsuite>\n", f);
    }
    free(r->tests);
    if (r->json.stream && bf_atomic_commit(&r->json, err)) rc = -1;
    if (r->junit.stream && bf_atomic_commit(&r->junit, err)) rc = -1;
    free(r);
    return rc;
}

void bf_record_abandon(bf_record *r) {
    if (!r) return;
    bf_atomic_abandon(&r->json), bf_atomic_abandon(&r->junit);
    if (r->tests_stream) fclose(r->tests_stream);
    free(r->tests);
    free(r);
}

json_t *bf_json_real(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static void processor(char *name, size_t room) {
    char line[512];
    snprintf(name, room, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
            snprintf(name, room, "%s", strchr(line, ':') + 2);
            name[strcspn(name, "\n")] = 0;
            break;
        }
    if (f) fclose(f);
}

json_t *bf_record_run(const char *command, int argc, char **argv) {
    char when[32], cpu[256];
    time_t now = time(NULL);
    struct utsname u;
    uname(&u);
    processor(cpu, sizeof cpu);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    json_t *args = json_array();
    for (int i = 1; i < argc; i++) json_array_append_new(args, json_string(argv[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:i, s:s}", "type", "run", "command", command, "version",
                     BF_VERSION, "time", when, "arguments", args, "system", u.sysname, "kernel", u.release, "processor",
                     cpu, "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "blas", bf_blas_core());
}

json_t *bf_record_device(const bf_device *d, int proved) {
    return json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:b, s:o}", "type", "device", "backend",
                     d->backend->name, "index", d->index, "name", d->name, "arch", d->arch, "object", d->object,
                     "identity", d->identity, "driver", d->driver, "memory", (json_int_t)d->memory, "cache",
                     (json_int_t)d->cache, "units", d->units, "gpu", d->backend->gpu, "proved",
                     proved < 0 ? json_null() : json_boolean(proved));
}

json_t *bf_record_finding(const bf_finding *f) {
    return json_pack("{s:s, s:s, s:s, s:s}", "type", "finding", "what", f->what, "why", f->why, "mend", f->mend);
}

static json_t *mismatch(const bf_mismatch *m) {
    char got[20], want[20];
    snprintf(got, sizeof got, "0x%llx", (unsigned long long)m->got_bits);
    snprintf(want, sizeof want, "0x%llx", (unsigned long long)m->want_bits);
    return json_pack("{s:s, s:I, s:s, s:s, s:o, s:o, s:o, s:s}", "tensor", m->tensor ? m->tensor : "", "index",
                     (json_int_t)m->index, "got_bits", got, "want_bits", want, "got", bf_json_real(m->got), "want",
                     bf_json_real(m->want), "bound", bf_json_real(m->bound), "why", m->why ? m->why : "");
}

json_t *bf_record_verdict(const bf_verdict *v) {
    json_t *first = json_array();
    for (int i = 0; i < v->count; i++) json_array_append_new(first, mismatch(&v->first[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:s}", "status", bf_status_name(v->status),
                     "worst", bf_json_real(v->worst), "worst_prob", bf_json_real(v->worst_prob), "total_error",
                     bf_json_real(v->total_error), "outputs", (json_int_t)v->outputs, "mismatched",
                     (json_int_t)v->mismatched, "nan", (json_int_t)v->nan, "inf", (json_int_t)v->inf, "zero",
                     (json_int_t)v->zero, "first", first, "note", v->note);
}
