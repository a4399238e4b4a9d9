/* devices.h: why a GPU is not used, read from the system itself (sysfs, procfs, device nodes), and how discovery is
 * shown. A driver's library only says "no device"; the causes lie below it. */
#ifndef BF_DEVICES_H
#define BF_DEVICES_H

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

#include "backend.h"

/* What is looked at, and as whom. Tests give a fabricated tree. */
typedef struct bf_system {
    char root[256];  /* before /sys, /proc, /dev, /lib/modules; "" for the real machine */
    int pretend;     /* 1: judge permissions by the mode bits for `user` and `group`, not by the kernel's own answer */
    uid_t user;
    gid_t group[64]; /* all groups of the user */
    int groups;
} bf_system;

/* The machine itself, or the tree in $BF_SYSROOT (then as the user number in $BF_SYSUSER, without groups, if set). */
void bf_system_init(bf_system *);

/* What the driver's library said; filled by the backend before it asks for causes. */
typedef struct bf_driver_answer {
    const char *missing; /* why the library did not load; NULL: it did */
    const char *library; /* path of the loaded library; NULL unknown */
    const char *error;   /* what failed before devices could be listed; NULL: nothing */
    int listed;          /* devices that the library listed */
    int runtime;         /* HIP: hipRuntimeGetVersion (6.4.2 = 60443484); 0 unknown */
} bf_driver_answer;

/* Append to `findings` what explains the answer: first the cause that has to be mended first. With every GPU of the machine
 * listed, only what still matters (an override, a library that does not fit the kernel module). */
void bf_devices_nvidia(const bf_system *, const bf_driver_answer *, bf_discovery *findings);
void bf_devices_amd(const bf_system *, const bf_driver_answer *, bf_discovery *findings);

/* Appends one, cut to fit; nothing when the list is full. */
void bf_devices_finding(bf_discovery *, const char *what, const char *mend, const char *why_format, ...)
    __attribute__((format(printf, 4, 5)));

/* The finding that this build has no code for an AMD GPU of this arch, and what would run on it. */
void bf_devices_no_object(const char *what, const char *arch, bf_discovery *findings);

/* "11.5.1" -> "gfx1151", "9.0.10" -> "gfx90a" (the last number in hexadecimal, as HSA does). 0, or -1 if it is no version. */
int bf_gfx_from_override(const char *version, char *arch, size_t room);
/* gfx_target_version of the kernel's topology: 110501 -> "gfx1151". */
void bf_gfx_from_kfd(unsigned long version, char *arch, size_t room);
/* Bytes of the largest last-level cache of the GPU at this PCI address ("0000:c5:00.0"), MALL included; 0 unknown. */
unsigned long long bf_kfd_cache(const bf_system *, const char *pci);
/* Its arch, as the kernel names it (no override applied). 0, or -1 unknown. */
int bf_kfd_arch(const bf_system *, const char *pci, char *arch, size_t room);

/* The list that `blackframe devices` prints, and the same as JSON: {"devices": [...], "findings": [...]}. The caller
 * owns the reference; NULL when out of memory. */
void bf_devices_print(FILE *, const bf_discovery *);
json_t *bf_devices_json(const bf_discovery *);
/* Says that no GPU is among the devices, if so: results of simt must not be taken for a GPU's. */
void bf_devices_no_gpu(FILE *, const bf_discovery *);

#endif
