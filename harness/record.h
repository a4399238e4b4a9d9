/* record.h: what a run leaves behind: JSON Lines (the source of every report) and JUnit XML for CI. */
#ifndef BF_RECORD_H
#define BF_RECORD_H

#include <jansson.h>

#include "backend.h"
#include "op.h"

typedef struct bf_record bf_record;

/* Either path may be NULL. Files appear under their names only when the record is closed, whole. */
bf_record *bf_record_open(const char *json_path, const char *junit_path, bf_error *);

/* Appends one line and takes ownership of the object. Lines are flushed, so an interrupted run keeps what it had. */
void bf_record_line(bf_record *, json_t *object);

/* One JUnit test case. `failure` NULL: passed; skipped: the text says why. */
void bf_record_test(bf_record *, const char *suite, const char *name, double seconds, int skipped, const char *failure);

/* Closes and renames. Also after an interruption. */
int bf_record_close(bf_record *, bf_error *);

/* Instead: nothing is replaced; for commands that did nothing. */
void bf_record_abandon(bf_record *);

/* The first line of every record: command, version, time, host, processor, BLAS core. */
json_t *bf_record_run(const char *command, int argc, char **argv);
/* proved: 1 the device answered a nonce, 0 it did not, -1 it was not asked (null in the record). */
json_t *bf_record_device(const bf_device *, int proved);
json_t *bf_record_finding(const bf_finding *); /* what was not used, why, and the mend */
json_t *bf_record_verdict(const bf_verdict *);
json_t *bf_json_real(double); /* null for NaN and infinities, which JSON cannot hold */

#endif
