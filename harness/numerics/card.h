/* card.h: the numerics card as the command prints it. */
#ifndef BF_CARD_H
#define BF_CARD_H

#include <stdio.h>

#include "../options.h"
#include "../record.h"

/* Probes the kernels that o->select names (all sound ones; with twins the broken ones) on every device found, prints a
 * card for each and writes a line a kernel to `record` (NULL: none). 0; 1 when a device or a probe failed; 3 with err when one that
 * was asked for does not compute; -1 with err when nothing could be probed. */
int bf_card(const bf_options *, const bf_discovery *, bf_record *record, FILE *, bf_error *);

#endif
