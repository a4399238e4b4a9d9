/* select.c: cases, devices, jobs. */
#define _GNU_SOURCE
#include "select.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guess.h"
#include "weights.h"

/* ---- suites ---- */

const char *bf_cases_directory(const char *wanted) {
    static char path[PATH_MAX + 32];
    struct stat st;
    if (wanted) return wanted;
    const char *env = getenv("BF_CASES");
    if (env) return env;
    if (!stat("cases/smoke.case", &st)) return "cases";
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    if (n <= 0) return "cases";
    path[n] = 0;
    char *slash = strrchr(path, '/');
    strcpy(slash ? slash : path, "/../cases");
    return path;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* All *.case files of a directory and of its folders, sorted, so that case numbers are the same everywhere. */
static int load_directory(const char *dir, int depth, bf_case_list *list, bf_error *err) {
    DIR *d = opendir(dir);
    if (!d) return bf_fail(err, "%s: cannot read the cases directory: %s", dir, strerror(errno));
    char **names = NULL;
    size_t count = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char **more = realloc(names, (count + 1) * sizeof *names);
        if (more) names = more;
        if (!more || asprintf(&names[count], "%s/%s", dir, e->d_name) < 0) {
            closedir(d);
            return bf_fail(err, "out of memory");
        }
        count++;
    }
    closedir(d);
    if (count) qsort(names, count, sizeof *names, by_name);
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        size_t len = strlen(names[i]);
        if (!rc && !stat(names[i], &st)) {
            if (S_ISDIR(st.st_mode) && depth < 3)
                rc = load_directory(names[i], depth + 1, list, err);
            else if (S_ISREG(st.st_mode) && len > 5 && !strcmp(names[i] + len - 5, ".case"))
                rc = bf_case_load(names[i], list, err);
        }
        free(names[i]);
    }
    free(names);
    return rc;
}

static int load_suite(const bf_selection *s, const char *name, bf_case_list *list, bf_error *err) {
    char path[PATH_MAX];
    if (strchr(name, '/') || strstr(name, ".case")) return bf_case_load(name, list, err);
    snprintf(path, sizeof path, "%s/%s.case", bf_cases_directory(s->cases), name);
    if (!access(path, F_OK) || access(bf_cases_directory(s->cases), F_OK)) return bf_case_load(path, list, err);
    bf_guess g = {.wanted = name};
    char text[600];
    bf_guess_directory(&g, bf_cases_directory(s->cases), ".case");
    return bf_fail(err, "unknown suite '%.60s' in %s (%s)", name, bf_cases_directory(s->cases), bf_guess_text(&g, text, sizeof text));
}

/* ---- command line ---- */

static int is_case_line(const bf_selection *s) {
    for (int i = 0; i < s->word_count; i++)
        if (strchr(s->words[i], '=')) return 1;
    return 0;
}

static int join_words(const bf_selection *s, char *line, size_t room, bf_error *err) {
    size_t n = 0;
    line[0] = 0;
    for (int i = 0; i < s->word_count; i++) {
        int w = snprintf(line + n, room - n, "%s%s", i ? " " : "", s->words[i]);
        if (w < 0 || (size_t)w >= room - n) return bf_fail(err, "command line: the case is longer than %zu bytes", room);
        n += (size_t)w;
    }
    return 0;
}

static int op_named(const bf_selection *s, const char *op) {
    if (!s->word_count) return 1;
    for (int i = 0; i < s->word_count; i++)
        if (!strcmp(s->words[i], op)) return 1;
    return 0;
}

static int tier_runs(const char *wanted, const bf_case *c) {
    if (wanted && !strcmp(wanted, "bench")) return 1; /* sizes for timing: too large to check everywhere */
    if (wanted && !strcmp(wanted, "full")) return !c->tier || strcmp(c->tier, "bench");
    return !c->tier || !strcmp(c->tier, "quick");
}

static void free_case(bf_case *c) {
    bf_case_list one = {.item = malloc(sizeof *c), .count = 1, .room = 1};
    if (!one.item) return;
    one.item[0] = *c;
    bf_case_list_free(&one);
}

static void keep_matching(const bf_selection *s, int filtered, bf_case_list *list) {
    size_t kept = 0, matching = 0;
    for (size_t i = 0; i < list->count; i++) {
        bf_case *c = &list->item[i];
        int keep = !filtered || (op_named(s, c->op->name) && tier_runs(s->tier, c));
        if (s->twins && !c->witness) keep = 0;
        if (keep && s->shards) keep = (int)(matching++ % (size_t)s->shards) == s->shard - 1;
        if (keep)
            list->item[kept++] = *c;
        else
            free_case(c);
    }
    list->count = kept;
}

static int reseed(const bf_selection *s, bf_case_list *list, bf_error *err) {
    bf_case_list fresh = {0};
    for (size_t i = 0; i < list->count; i++) {
        /* Through the text, so that the canonical line and the seed never part. */
        char line[8192], *seed;
        bf_case *c = &list->item[i];
        snprintf(line, sizeof line, "%s", c->line);
        if ((seed = strstr(line, " seed="))) {
            size_t skip = strcspn(seed + 1, " ") + 1;
            memmove(seed, seed + skip, strlen(seed + skip) + 1);
        }
        size_t end = strlen(line);
        snprintf(line + end, sizeof line - end, " seed=%llu", (unsigned long long)s->seed);
        size_t at = fresh.count;
        if (bf_case_parse_line(line, strlen(line), c->file, c->lineno, &fresh, err)) {
            bf_case_list_free(&fresh);
            return -1;
        }
        if (fresh.count == at) continue; /* the same line twice */
        bf_case *n = &fresh.item[at];
        n->real = c->real, n->real_bytes = c->real_bytes, n->golden = c->golden, n->golden_slot = c->golden_slot;
        n->tensor = c->tensor && n->file ? n->file + (c->tensor - c->file) : NULL;
    }
    bf_case_list_free(list);
    *list = fresh;
    return 0;
}

/* Types that no field chooses (weights, the int8 path's outputs) come from the op's tensors; sizes are checked on the way. */
static int complete(bf_case_list *list, bf_error *err) {
    for (size_t i = 0; i < list->count; i++) {
        bf_case *c = &list->item[i];
        bf_tensor t[BF_MAX_TENSORS];
        bf_error why = {{0}};
        if (c->op->tensors(&c->problem, NULL, t, &why)) {
            char line[16] = "";
            if (c->lineno) snprintf(line, sizeof line, ":%d", c->lineno);
            size_t op = strlen(c->op->name); /* some of the words begin with it */
            int named = !strncmp(why.text, c->op->name, op) && !strncmp(why.text + op, ": ", 2);
            return bf_fail(err, "%s%s: %s%s%.200s", c->file ? c->file : "command line", line, named ? "" : c->op->name, named ? "" : ": ", why.text);
        }
        for (int n = 0; n < BF_MAX_TENSORS; n++)
            if (t[n].role != BF_UNUSED) c->problem.type[n] = t[n].type;
    }
    return 0;
}

int bf_select_cases(const bf_selection *s, bf_case_list *list, bf_error *err) {
    int rc = 0, line = is_case_line(s);
    if (!line)
        for (int i = 0; i < s->word_count; i++)
            if (!bf_op_find(s->words[i]))
                return bf_fail(err, "command line: unknown op '%s' (`blackframe list` names them)", s->words[i]);
    if (s->weights) {
        char text[8192] = "", skipped[512];
        if (line && join_words(s, text, sizeof text, err)) return -1;
        rc = bf_weights_cases(s->weights, s->tensor, line ? text : NULL, list, skipped, sizeof skipped, err);
        if (!rc && *skipped) fprintf(stderr, "blackframe: %s: not run: %s (%s)\n", s->weights, skipped, line ? "other types than this op takes" : "only Q4_K, Q6_K, Q8_0 and MXFP4 have kernels; scan reads the others");
    } else if (line) {
        char text[8192];
        if (join_words(s, text, sizeof text, err)) return -1;
        rc = bf_case_parse_line(text, strlen(text), NULL, 0, list, err);
    } else if (s->suite_count || (s->tier && !strcmp(s->tier, "smoke"))) {
        for (int i = 0; i < s->suite_count && !rc; i++) rc = load_suite(s, s->suites[i], list, err);
        if (!s->suite_count) rc = load_suite(s, "smoke", list, err);
    } else if (s->twins)
        rc = load_suite(s, "witness", list, err);
    else
        rc = load_directory(bf_cases_directory(s->cases), 0, list, err);
    if (rc) return -1;
    keep_matching(s, !line, list);
    if (s->have_seed && reseed(s, list, err)) return -1;
    if (complete(list, err)) return -1;
    if (!list->count) return bf_fail(err, "no case matches (tier %s): nothing was checked", s->tier ? s->tier : "quick");
    return 0;
}

/* ---- devices ---- */

static int named(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; p && *p;) {
        size_t w = strcspn(p, ",");
        if (w == n && !strncmp(p, name, n)) return 1;
        p += w + (p[w] == ',');
    }
    return 0;
}

static const char *backend_names(void) {
    static char text[128];
    text[0] = 0;
    for (int i = 0; bf_backends[i]; i++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s", i ? ", " : "", bf_backends[i]->name);
    }
    return text;
}

static int names_known(const char *list, const char *option, bf_error *err) {
    char name[64];
    if (list && !*list) return bf_fail(err, "--%s: empty (%s)", option, backend_names());
    for (const char *p = list; p && *p;) {
        size_t w = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)w, p);
        if (!bf_backend_find(name))
            return bf_fail(err, "--%s: unknown backend '%s' (%s)", option, name, backend_names());
        p += w + (p[w] == ',');
    }
    return 0;
}

/* Drivers leave threads and contexts behind in the process that touched them; the parent stays clean. */
static int discover_in_child(const bf_backend *b, bf_discovery *d, char *why, size_t room) {
    snprintf(why, room, "looking for devices: no pipe or child process to be had");
    int p[2];
    if (pipe(p)) return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bf_discovery *own = calloc(1, sizeof *own);
        close(p[0]);
        alarm(60);
        if (own) b->discover(own);
        for (size_t n = 0; own && n < sizeof *own;) {
            ssize_t w = write(p[1], (char *)own + n, sizeof *own - n);
            if (w <= 0) break;
            n += (size_t)w;
        }
        _exit(0);
    }
    close(p[1]);
    size_t n = 0;
    for (ssize_t r; pid > 0 && n < sizeof *d && (r = read(p[0], (char *)d + n, sizeof *d - n)) > 0;) n += (size_t)r;
    close(p[0]);
    int ws = 0;
    if (pid > 0) waitpid(pid, &ws, 0);
    if (n == sizeof *d) return 0;
    if (WIFSIGNALED(ws)) snprintf(why, room, "looking for devices crashed: signal %d (%s)", WTERMSIG(ws), strsignal(WTERMSIG(ws)));
    else if (pid > 0) snprintf(why, room, "looking for devices ended early: too little memory?");
    return -1;
}

static void append(bf_discovery *all, const bf_discovery *one) {
    for (int i = 0; i < one->devices && all->devices < BF_MAX_DEVICES; i++) all->device[all->devices++] = one->device[i];
    for (int i = 0; i < one->findings && all->findings < BF_MAX_FINDINGS; i++)
        all->finding[all->findings++] = one->finding[i];
}

int bf_select_devices(const bf_selection *s, bf_discovery *all, bf_error *err) {
    if (names_known(s->backends, "backend", err) || names_known(s->require, "require", err)) return BF_EXIT_USAGE;
    bf_discovery *one = malloc(sizeof *one);
    if (!one) return bf_fail(err, "out of memory"), BF_EXIT_FAILED;
    memset(all, 0, sizeof *all);
    int status = BF_EXIT_OK;
    for (int i = 0; bf_backends[i]; i++) {
        const bf_backend *b = bf_backends[i];
        int must = named(s->require, b->name) || (s->backends && named(s->backends, b->name));
        if (s->backends && !must) continue;
        memset(one, 0, sizeof *one);
        char why[sizeof one->finding[0].why];
        if (discover_in_child(b, one, why, sizeof why)) {
            memset(one, 0, sizeof *one);
            one->findings = 1;
            snprintf(one->finding[0].what, sizeof one->finding[0].what, "%s", b->name);
            snprintf(one->finding[0].why, sizeof one->finding[0].why, "%s", why);
            snprintf(one->finding[0].mend, sizeof one->finding[0].mend, "run `blackframe devices`; check the driver and the free memory");
        }
        append(all, one);
        if (must && !one->devices && status == BF_EXIT_OK) {
            const bf_finding *f = one->findings ? &one->finding[0] : NULL;
            bf_fail(err, "%s was asked for and has no device: %s%s%s (mend: %s); nothing ran in its place", b->name,
                    f ? f->what : "nothing found", f ? ": " : "", f ? f->why : "", f ? f->mend : "see `blackframe devices`");
            status = BF_EXIT_NO_DEVICE;
        }
    }
    free(one);
    if (!status && !all->devices) {
        bf_fail(err, "no device found");
        return BF_EXIT_NO_DEVICE;
    }
    return status;
}

int bf_select_proved(const bf_selection *s, const bf_discovery *d, const int proved[BF_MAX_DEVICES], bf_error *err) {
    for (int i = 0; bf_backends[i]; i++) {
        int must = named(s->require, bf_backends[i]->name) || (s->backends && named(s->backends, bf_backends[i]->name)), there = 0;
        for (int n = 0; n < d->devices; n++) there |= d->device[n].backend == bf_backends[i] && proved[n];
        if (!must || there) continue;
        bf_fail(err, "%s was asked for and none of its devices computes; the reason and the mend stand behind REFUSED; nothing ran in its place",
                bf_backends[i]->name);
        return BF_EXIT_NO_DEVICE;
    }
    return BF_EXIT_OK;
}

/* ---- jobs ---- */

static int kernel_runs(const bf_selection *s, const bf_case *c, const bf_kernel *k, const bf_device *d) {
    if (k->target != d->backend->target || strcmp(k->op, c->op->name)) return 0;
    if (s->twins) {
        if (k->role != BF_TWIN || !c->witness || strcmp(c->witness, k->twin)) return 0;
    } else if (k->role == BF_TWIN)
        return 0;
    if (s->tuned && k->role == BF_NAIVE && !(s->kernel && !strcmp(s->kernel, k->name))) return 0; /* unless named in full */
    if (s->kernel && fnmatch(s->kernel, k->name, 0)) return 0;
    if (c->kernel && fnmatch(c->kernel, k->name, 0)) return 0;
    if (k->available && !k->available()) return 0;
    return k->accepts(&c->problem);
}

/* Another kernel of the same path that runs here and is meant to be preferred. */
static int outranked(const bf_selection *s, const bf_case *c, const bf_kernel *k, const bf_device *d) {
    for (size_t i = 0; i < bf_kernel_count(); i++) {
        const bf_kernel *other = bf_kernel_at(i);
        if (other == k || other->rank <= k->rank || strcmp(other->path ? other->path : "", k->path ? k->path : "")) continue;
        if (kernel_runs(s, c, other, d)) return 1;
    }
    return 0;
}

int bf_select_jobs(const bf_selection *s, const bf_case_list *cases, const bf_device *d, bf_job_list *jobs,
                   bf_error *err) {
    for (size_t i = 0; i < cases->count; i++)
        for (size_t k = 0; k < bf_kernel_count(); k++) {
            if (!kernel_runs(s, &cases->item[i], bf_kernel_at(k), d)) continue;
            if (s->best && outranked(s, &cases->item[i], bf_kernel_at(k), d)) continue;
            if (jobs->count == jobs->room) {
                size_t room = jobs->room ? 2 * jobs->room : 256;
                bf_job *more = realloc(jobs->item, room * sizeof *more);
                if (!more) return bf_fail(err, "out of memory");
                jobs->item = more, jobs->room = room;
            }
            jobs->item[jobs->count++] = (bf_job){(uint32_t)i, (uint32_t)k};
        }
    return 0;
}
