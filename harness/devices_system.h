/* devices_system.h: reading /sys, /proc, /dev and /lib/modules below a root that tests can replace. For devices_*.c. */
#ifndef BF_DEVICES_SYSTEM_H
#define BF_DEVICES_SYSTEM_H

#include "devices.h"

enum { BF_MAX_CARDS = 32 };

typedef struct bf_card {
    char address[32]; /* "0000:03:00.0" */
    unsigned device;  /* PCI device id */
    char driver[32];  /* bound kernel driver; "" none */
} bf_card;

/* First line of a file, without the newline; "" and -1 if it cannot be read. */
int bf_system_line(const bf_system *, const char *path, char *out, size_t room);
int bf_system_exists(const bf_system *, const char *path);

typedef enum bf_access { BF_ACCESS_ABSENT, BF_ACCESS_DENIED, BF_ACCESS_OK } bf_access;
/* May the user open it for reading and writing? group: name (or number) of the group that owns it; may be NULL. */
bf_access bf_system_access(const bf_system *, const char *path, char *group, size_t room);

/* Display, 3D and accelerator functions of a PCI vendor; -1 when the PCI bus cannot be read. */
int bf_system_cards(const bf_system *, unsigned vendor, bf_card card[BF_MAX_CARDS]);

/* Looks for a kernel module ("nvidia", "amdgpu") in /lib/modules. Returns 1 if one is there for the running kernel, else 0;
 * `running` gets that kernel's release, `other` one for which the module was built, or "". */
int bf_system_module(const bf_system *, const char *module, char *running, char *other, size_t room);

/* Appends a finding for a card that the wanted kernel driver does not hold: bound to another, module missing, not built for
 * the running kernel, not loaded. 1 if it did. `install`: how to get the driver. */
int bf_system_unbound(const bf_system *, const bf_card *, const char *vendor, const char *module, const char *install,
                      bf_discovery *);

#endif
