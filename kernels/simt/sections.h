/* sections.h: finds a section of the running program by name. */
#ifndef BF_SIMT_SECTIONS_H
#define BF_SIMT_SECTIONS_H

#include <stddef.h>

struct bf_section {
    unsigned char *begin;
    size_t bytes;
};

/* {NULL, 0} when the program has none of that name, or has lost its section table. */
bf_section bf_section_find(const char *name);

#endif
