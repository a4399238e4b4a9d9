/* atomic_file.h: an output file that is either the old one or the new one, never half of it.
 *
 *     bf_atomic_file f;
 *     if (bf_atomic_open(&f, path, err)) return -1;
 *     fprintf(f.stream, ...);
 *     return bf_atomic_commit(&f, err);        or bf_atomic_abandon(&f)
 *
 * What is written goes to a new file in the same directory; commit flushes it to the disk and renames it over `path`. A run that
 * is killed by SIGKILL leaves the old file, and beside it at worst the temporary one (PATH.XXXXXX). A symbolic link is
 * followed; a device or pipe (/dev/stdout) has no old content to keep and is written directly. */
#ifndef BF_ATOMIC_FILE_H
#define BF_ATOMIC_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "error.h"

typedef struct bf_atomic_file {
    FILE *stream;
    char *path, *temporary; /* temporary NULL: written directly */
    int reason;             /* errno of the first write that the caller saw fail; 0: none */
} bf_atomic_file;

int bf_atomic_open(bf_atomic_file *, const char *path, bf_error *);
/* Errors of all writes since the open are reported here, once; on failure the old file stands and the temporary is gone. Either
 * way *f is closed. */
int bf_atomic_commit(bf_atomic_file *, bf_error *);
/* Closes and removes the temporary file; safe after a failed open and after commit. */
void bf_atomic_abandon(bf_atomic_file *);
/* Removes the temporary files of this process that are still open. For signal handlers, before the process dies. */
void bf_atomic_unlink_all(void);

int bf_atomic_write(const char *path, const void *data, size_t bytes, bf_error *);

#endif
