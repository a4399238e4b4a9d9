/* devices_system.c: what the kernel says of the machine's cards, modules and device nodes. */
#define _GNU_SOURCE
#include "devices_system.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 1024 };

void bf_system_init(bf_system *s) {
    memset(s, 0, sizeof *s);
    const char *root = getenv("BF_SYSROOT"), *user = getenv("BF_SYSUSER");
    if (root) snprintf(s->root, sizeof s->root, "%s", root);
    s->user = geteuid();
    if (root && user && *user) {
        s->pretend = 1;
        s->user = (uid_t)strtoul(user, NULL, 10);
        return;
    }
    int n = getgroups((int)(sizeof s->group / sizeof *s->group) - 1, s->group);
    s->groups = n < 0 ? 0 : n;
    s->group[s->groups++] = getegid();
}

static const char *under(const bf_system *s, const char *path, char out[PATH]) {
    snprintf(out, PATH, "%s%s", s->root, path);
    return out;
}

int bf_system_line(const bf_system *s, const char *path, char *out, size_t room) {
    char full[PATH];
    out[0] = 0;
    FILE *f = fopen(under(s, path, full), "re");
    if (!f) return -1;
    char *line = fgets(out, (int)room, f);
    fclose(f);
    if (!line) return out[0] = 0, -1;
    out[strcspn(out, "\n")] = 0;
    return 0;
}

int bf_system_exists(const bf_system *s, const char *path) {
    char full[PATH];
    struct stat st;
    return !lstat(under(s, path, full), &st);
}

bf_access bf_system_access(const bf_system *s, const char *path, char *group, size_t room) {
    char full[PATH];
    struct stat st;
    if (stat(under(s, path, full), &st)) return errno == EACCES ? BF_ACCESS_DENIED : BF_ACCESS_ABSENT;
    if (group) {
        struct group *g = getgrgid(st.st_gid);
        if (g)
            snprintf(group, room, "%s", g->gr_name);
        else
            snprintf(group, room, "%u", (unsigned)st.st_gid);
    }
    if (!s->pretend) return access(full, R_OK | W_OK) ? BF_ACCESS_DENIED : BF_ACCESS_OK;
    if (s->user == 0) return BF_ACCESS_OK;
    unsigned shift = 0;
    for (int i = 0; i < s->groups; i++)
        if (s->group[i] == st.st_gid) shift = 3;
    if (s->user == st.st_uid) shift = 6;
    return (st.st_mode >> shift & 6) == 6 ? BF_ACCESS_OK : BF_ACCESS_DENIED;
}

/* ---- PCI ---- */

static unsigned long hex_file(const bf_system *s, const char *directory, const char *name) {
    char path[PATH], text[64];
    snprintf(path, sizeof path, "%.700s/%s", directory, name);
    return bf_system_line(s, path, text, sizeof text) ? 0 : strtoul(text, NULL, 16);
}

static int by_address(const void *a, const void *b) {
    return strcmp(((const bf_card *)a)->address, ((const bf_card *)b)->address);
}

int bf_system_cards(const bf_system *s, unsigned vendor, bf_card card[BF_MAX_CARDS]) {
    char full[PATH], path[PATH], link[PATH];
    DIR *d = opendir(under(s, "/sys/bus/pci/devices", full));
    if (!d) return -1;
    int n = 0;
    for (struct dirent *e; n < BF_MAX_CARDS && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", e->d_name);
        unsigned long class = hex_file(s, path, "class") >> 16; /* 0x03: display, 0x12: processing accelerator */
        if (hex_file(s, path, "vendor") != vendor || (class != 0x03 && class != 0x12)) continue;
        bf_card *c = &card[n++];
        snprintf(c->address, sizeof c->address, "%.31s", e->d_name);
        c->device = (unsigned)hex_file(s, path, "device");
        c->driver[0] = 0;
        strncat(path, "/driver", sizeof path - strlen(path) - 1);
        ssize_t length = readlink(under(s, path, full), link, sizeof link - 1);
        if (length > 0) {
            link[length] = 0;
            const char *slash = strrchr(link, '/');
            snprintf(c->driver, sizeof c->driver, "%.31s", slash ? slash + 1 : link);
        }
    }
    closedir(d);
    qsort(card, (size_t)n, sizeof *card, by_address);
    return n;
}

/* ---- kernel modules ---- */

/* "nvidia.ko", "nvidia.ko.zst", Debian's "nvidia-current.ko"; not nvidia-drm, nvidiafb, nvidia-wmi-ec-backlight. */
static int is_module(const char *file, const char *module) {
    size_t n = strlen(module);
    if (strncmp(file, module, n)) return 0;
    const char *rest = file + n;
    if (!strncmp(rest, ".ko", 3)) return 1;
    if (strcmp(module, "nvidia") || !strstr(rest, ".ko") || strstr(rest, "drm") || strstr(rest, "modeset") ||
        strstr(rest, "uvm") || strstr(rest, "peermem"))
        return 0;
    return !strncmp(rest, "-current", 8) || !strncmp(rest, "-tesla", 6) || !strncmp(rest, "-legacy", 7);
}

static int holds_module(const char *directory, const char *module, int depth) {
    char path[PATH];
    int found = 0;
    DIR *d = opendir(directory);
    if (!d) return 0;
    for (struct dirent *e; !found && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        if (is_module(e->d_name, module)) {
            found = 1;
        } else if (depth > 0 && (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN)) {
            snprintf(path, sizeof path, "%.700s/%.255s", directory, e->d_name);
            found = holds_module(path, module, depth - 1);
        }
    }
    closedir(d);
    return found;
}

int bf_system_module(const bf_system *s, const char *module, char *running, char *other, size_t room) {
    char full[PATH], path[PATH];
    int here = 0;
    other[0] = 0;
    bf_system_line(s, "/proc/sys/kernel/osrelease", running, room);
    DIR *d = opendir(under(s, "/lib/modules", full));
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%.700s/%.255s", full, e->d_name);
        if (!holds_module(path, module, 8)) continue;
        if (!strcmp(e->d_name, running))
            here = 1;
        else
            snprintf(other, room, "%s", e->d_name);
    }
    if (d) closedir(d);
    return here;
}

int bf_system_unbound(const bf_system *s, const bf_card *c, const char *vendor, const char *module, const char *install,
                      bf_discovery *out) {
    char what[96], mend[256], running[128], other[128], path[128];
    if (!strcmp(c->driver, module)) return 0;
    snprintf(what, sizeof what, "%s GPU at %s (%04x)", vendor, c->address, c->device);
    if (!strncmp(c->driver, "vfio", 4) || !strcmp(c->driver, "pci-stub")) {
        snprintf(mend, sizeof mend, "give it back to the host: take its id out of the vfio-pci options and reboot");
        bf_devices_finding(out, what, mend, "it is reserved for a virtual machine (driver %s)", c->driver);
        return 1;
    }
    snprintf(path, sizeof path, "/sys/module/%s", module);
    int loaded = bf_system_exists(s, path), here = bf_system_module(s, module, running, other, sizeof running);
    if (loaded && c->driver[0] == 0) {
        snprintf(mend, sizeof mend, "look at dmesg for the module's words about %s; %s", c->address, install);
        bf_devices_finding(out, what, mend, "kernel module %s is loaded but did not take this GPU", module);
    } else if (!here && other[0]) {
        snprintf(mend, sizeof mend, "install linux-headers-%.60s, run dkms autoinstall, then modprobe %s (or reboot)", running, module);
        bf_devices_finding(out, what, mend, "kernel module %s was built for kernel %.60s, not for the running %.60s", module,
                           other, running);
    } else if (c->driver[0]) {
        snprintf(mend, sizeof mend, "%s; keep %s off it (blacklist), reboot", install, c->driver);
        bf_devices_finding(out, what, mend, "kernel driver %s holds it, not %s", c->driver, module);
    } else if (here) {
        snprintf(mend, sizeof mend, "modprobe %s; if that fails, dmesg says why (Secure Boot refuses unsigned modules)", module);
        bf_devices_finding(out, what, mend, "kernel module %s is installed but not loaded", module);
    } else {
        bf_devices_finding(out, what, install, "no kernel driver: module %s is neither loaded nor installed", module);
    }
    return 1;
}

void bf_devices_finding(bf_discovery *d, const char *what, const char *mend, const char *format, ...) {
    if (d->findings == BF_MAX_FINDINGS) return;
    bf_finding *f = &d->finding[d->findings++];
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->why, sizeof f->why, format, ap);
    va_end(ap);
    snprintf(f->what, sizeof f->what, "%s", what);
    snprintf(f->mend, sizeof f->mend, "%s", mend);
}
