/* atomic_file.c: see atomic_file.h. */
#define _GNU_SOURCE
#include "atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_open(bf_atomic_file *f, const char *what, bf_error *err) {
    int reason = errno;
    bf_fail(err, "%s: %s: %s", f->path ? f->path : "output file", what, strerror(reason));
    bf_atomic_abandon(f);
    return -1;
}

/* ---- what a signal must take away ---- */

enum { LIVE = 8 };
static struct {
    char *volatile temporary;
    volatile pid_t owner; /* a child has its parent's entries too */
} live[LIVE];

static void remember(char *temporary) {
    for (int i = 0; i < LIVE; i++)
        if (!live[i].temporary) {
            live[i].owner = getpid(), live[i].temporary = temporary;
            return;
        }
}

static void forget(const char *temporary) {
    for (int i = 0; temporary && i < LIVE; i++)
        if (live[i].temporary == temporary) live[i].temporary = NULL;
}

void bf_atomic_unlink_all(void) {
    for (int i = 0; i < LIVE; i++)
        if (live[i].temporary && live[i].owner == getpid()) unlink(live[i].temporary);
}

/* The rights the file had, or those that open(2) would give a new one. Reading the umask means setting it. */
static mode_t rights(const struct stat *old) {
    if (old) return old->st_mode & 07777;
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

int bf_atomic_open(bf_atomic_file *f, const char *path, bf_error *err) {
    struct stat st;
    *f = (bf_atomic_file){0};
    int exists = !stat(path, &st);
    char *resolved = exists ? realpath(path, NULL) : NULL; /* a link stays a link */
    f->path = resolved && S_ISREG(st.st_mode) ? resolved : strdup(path);
    if (f->path != resolved) free(resolved);
    if (!f->path) return fail_open(f, "out of memory", err);
    if (exists && S_ISDIR(st.st_mode)) return errno = EISDIR, fail_open(f, "cannot write", err);
    if (exists && !S_ISREG(st.st_mode)) {
        f->stream = fopen(f->path, "we");
        return f->stream ? 0 : fail_open(f, "cannot write", err);
    }
    if (asprintf(&f->temporary, "%s.XXXXXX", f->path) < 0) return f->temporary = NULL, fail_open(f, "out of memory", err);
    int fd = mkostemp(f->temporary, O_CLOEXEC);
    if (fd < 0) {
        int reason = errno;
        free(f->temporary), f->temporary = NULL; /* not ours to remove */
        errno = reason;
        return fail_open(f, "cannot write beside it", err);
    }
    remember(f->temporary);
    if (fchmod(fd, rights(exists ? &st : NULL)) || !(f->stream = fdopen(fd, "w"))) {
        int reason = errno;
        close(fd);
        errno = reason;
        return fail_open(f, "cannot write", err);
    }
    return 0;
}

/* The rename itself must reach the disk. Some file systems refuse to sync a directory; the data are safe all the same. */
static void sync_directory(const char *path) {
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) return;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

int bf_atomic_commit(bf_atomic_file *f, bf_error *err) {
    if (!f->stream) return bf_fail(err, "%s: not open", f->path ? f->path : "output file");
    errno = 0;
    int bad = fflush(f->stream) || ferror(f->stream) || (f->temporary && fsync(fileno(f->stream)));
    int reason = errno;
    if (fclose(f->stream) && !bad) bad = 1, reason = errno;
    f->stream = NULL;
    errno = f->reason ? f->reason : reason ? reason : EIO; /* a write that failed earlier has lost its reason, unless it was kept */
    if (bad) return fail_open(f, "write failed, nothing replaced", err);
    if (f->temporary) {
        if (rename(f->temporary, f->path)) return fail_open(f, "cannot rename over it", err);
        sync_directory(f->path);
        forget(f->temporary);
        free(f->temporary), f->temporary = NULL;
    }
    bf_atomic_abandon(f);
    return 0;
}

void bf_atomic_abandon(bf_atomic_file *f) {
    if (f->stream) fclose(f->stream);
    if (f->temporary) unlink(f->temporary);
    forget(f->temporary);
    free(f->temporary), free(f->path);
    *f = (bf_atomic_file){0};
}

int bf_atomic_write(const char *path, const void *data, size_t bytes, bf_error *err) {
    bf_atomic_file f;
    if (bf_atomic_open(&f, path, err)) return -1;
    if (fwrite(data, 1, bytes, f.stream) != bytes) f.reason = errno; /* commit reports it */
    return bf_atomic_commit(&f, err);
}
