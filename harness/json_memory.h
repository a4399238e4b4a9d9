/* json_memory.h: whether JSON ran out of memory. Jansson's calls answer NULL or -1 for each of many reasons, and a field that could
 * not be set would only be missing: so its allocations are watched instead, and who writes or reads a record asks once at its end. */
#ifndef BF_JSON_MEMORY_H
#define BF_JSON_MEMORY_H

/* Before any other use of jansson, in the program that wants it; without it nothing is ever reported as starved. */
void bf_json_watch(void);
/* 1 when an allocation of jansson failed since the start of the program, in this process or the one it was forked from. */
int bf_json_starved(void);

#endif
