/* devices_amd.c: why an AMD GPU of this machine is not used by HIP, and what the override variables do. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "backends/objects.h"
#include "devices_system.h"

#define INSTALL "use a kernel with amdgpu (gfx1151: Linux 6.11 or newer) and the linux-firmware of its age"
#define LIBRARY "install ROCm's HIP runtime (AMD's packages, 6.4 or newer for gfx1151; Debian: libamdhip64-5)"

enum { MAX_NODES = 16 };
typedef struct kfd_node {
    int number;
    unsigned long gfx, location, domain, compute; /* gfx_target_version, PCI bus/device/function, PCI domain, SIMDs */
} kfd_node;

void bf_gfx_from_kfd(unsigned long version, char *arch, size_t room) {
    snprintf(arch, room, "gfx%lu%lx%lx", version / 10000, version / 100 % 100, version % 100);
}

int bf_gfx_from_override(const char *text, char *arch, size_t room) {
    unsigned major, minor, step;
    int end = 0;
    if (sscanf(text, "%2u.%2u.%2u%n", &major, &minor, &step, &end) != 3 || text[end] || strspn(text, "0123456789.") != strlen(text) ||
        minor > 15 || step > 15)
        return -1;
    snprintf(arch, room, "gfx%u%x%x", major, minor, step);
    return 0;
}

static int have_object(const char *arch) {
    for (size_t i = 0; i < bf_object_count; i++)
        if (bf_objects[i].target == BF_HIP && !strcmp(bf_objects[i].arch, arch)) return 1;
    return 0;
}

static void embedded(char *out, size_t room) {
    out[0] = 0;
    for (size_t i = 0; i < bf_object_count; i++) {
        const bf_object *o = &bf_objects[i];
        if (o->target != BF_HIP || strstr(out, o->arch)) continue;
        size_t n = strlen(out);
        snprintf(out + n, room - n, "%s%s", n ? ", " : "", o->arch);
    }
    if (!out[0]) snprintf(out, room, "none");
}

void bf_devices_no_object(const char *what, const char *arch, bf_discovery *out) {
    char have[64], mend[256];
    embedded(have, sizeof have);
    if (!strcmp(have, "none"))
        snprintf(mend, sizeof mend, "ci/setup, then make: it prints why HIP is skipped");
    else if (!strncmp(arch, "gfx115", 6)) /* one instruction set, RDNA 3.5 */
        snprintf(mend, sizeof mend, "HSA_OVERRIDE_GFX_VERSION=11.5.1 runs the gfx1151 code (not supported by AMD)");
    else if (!strncmp(arch, "gfx110", 6)) /* one instruction set, RDNA 3 */
        snprintf(mend, sizeof mend, "HSA_OVERRIDE_GFX_VERSION=11.0.0 runs the gfx1100 code (not supported by AMD)");
    else
        snprintf(mend, sizeof mend, "no override fits another generation: add the arch to HIP_ARCHS in kernels/hip/rules.mk, make");
    bf_devices_finding(out, what, mend, "no code object for %.30s in this build (it has: %s)", arch, have);
}

/* ---- the kernel's topology ---- */

static unsigned long property(const bf_system *s, int node, const char *sub, const char *key) {
    char full[1024], line[256];
    unsigned long value = 0;
    snprintf(full, sizeof full, "%s/sys/class/kfd/kfd/topology/nodes/%d/%sproperties", s->root, node, sub);
    FILE *f = fopen(full, "re");
    while (f && fgets(line, sizeof line, f)) {
        char *space = strchr(line, ' ');
        if (!space || strncmp(line, key, (size_t)(space - line)) || strlen(key) != (size_t)(space - line)) continue;
        value = strtoul(space, NULL, 10);
        break;
    }
    if (f) fclose(f);
    return value;
}

/* The nodes that compute. A node whose properties the user may not read has no numbers and is left out. */
static int kfd_nodes(const bf_system *s, kfd_node node[MAX_NODES]) {
    char full[1024];
    int n = 0;
    snprintf(full, sizeof full, "%s/sys/class/kfd/kfd/topology/nodes", s->root);
    DIR *d = opendir(full);
    for (struct dirent *e; d && n < MAX_NODES && (e = readdir(d));) {
        char *end;
        long number = strtol(e->d_name, &end, 10);
        if (*end || end == e->d_name) continue;
        kfd_node k = {.number = (int)number, .gfx = property(s, (int)number, "", "gfx_target_version"),
                      .compute = property(s, (int)number, "", "simd_count"),
                      .location = property(s, (int)number, "", "location_id"),
                      .domain = property(s, (int)number, "", "domain")};
        if (k.compute && k.gfx) node[n++] = k;
    }
    if (d) closedir(d);
    return n;
}

/* The node at a PCI address; -1 unknown. */
static int node_at(const bf_system *s, const char *pci, kfd_node *out) {
    unsigned domain, bus, device, function;
    kfd_node node[MAX_NODES];
    if (sscanf(pci, "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4) return -1;
    int n = kfd_nodes(s, node);
    for (int i = 0; i < n; i++)
        if (node[i].domain == domain && node[i].location == (bus << 8 | device << 3 | function)) return *out = node[i], 0;
    return -1;
}

unsigned long long bf_kfd_cache(const bf_system *s, const char *pci) {
    kfd_node node;
    unsigned long best_level = 0, best_size = 0;
    if (node_at(s, pci, &node)) return 0;
    for (int c = 0; c < 1024; c++) {
        char sub[32];
        snprintf(sub, sizeof sub, "caches/%d/", c);
        unsigned long level = property(s, node.number, sub, "level"), size = property(s, node.number, sub, "size"); /* KiB */
        if (!level) break;
        if (level > best_level) best_level = level, best_size = 0;
        if (level == best_level && size > best_size) best_size = size;
    }
    return (unsigned long long)best_size << 10;
}

int bf_kfd_arch(const bf_system *s, const char *pci, char *arch, size_t room) {
    kfd_node node;
    if (node_at(s, pci, &node)) return -1;
    bf_gfx_from_kfd(node.gfx, arch, room);
    return 0;
}

/* ---- findings ---- */

/* What HSA_OVERRIDE_GFX_VERSION does here. 1 if it keeps the GPU from being used. */
static int override(const kfd_node *node, int nodes, bf_discovery *out) {
    const char *what = "HSA_OVERRIDE_GFX_VERSION", *text = getenv(what);
    char asked[32], real[32] = "";
    if (!text) return 0;
    if (bf_gfx_from_override(text, asked, sizeof asked)) {
        bf_devices_finding(out, what, "unset it, or write it as 11.5.1 (gfx1151) or 11.0.0 (gfx1100)",
                           "\"%.40s\" is no version of the form major.minor.step", text);
        return 1;
    }
    if (nodes) bf_gfx_from_kfd(node[0].gfx, real, sizeof real);
    if (!have_object(asked)) {
        char have[64];
        embedded(have, sizeof have);
        bf_devices_finding(out, what, "unset it, or set it to 11.5.1 (gfx1151) or 11.0.0 (gfx1100)",
                           "%.40s makes the runtime treat the GPU%s%s as %s, for which this build has no code (it has: %s)", text,
                           real[0] ? ", a " : "", real, asked, have);
        return 1;
    }
    if (real[0] && strcmp(real, asked)) {
        bf_devices_finding(out, what, have_object(real) ? "unset it: this build has code for the GPU itself" : "nothing, if results are right: check first",
                           "%.40s makes the runtime treat the GPU, a %s, as %s: the %s code runs", text, real, asked, asked);
    } else {
        bf_devices_finding(out, what, "none needed", "%.40s stands for %s%s", text, asked, real[0] ? ", which the GPU is" : "");
    }
    return 0;
}

/* 1 if a device node is missing or closed to this user. */
static int device_nodes(const bf_system *s, bf_discovery *out) {
    char path[64] = "/dev/kfd", group[64], mend[256];
    struct passwd *p = getpwuid(s->user);
    int render = 0;
    for (int i = -1; i < 64; i++) { /* /dev/kfd, then /dev/dri/renderD128 and up */
        if (i >= 0) snprintf(path, sizeof path, "/dev/dri/renderD%d", 128 + i);
        bf_access may = bf_system_access(s, path, group, sizeof group);
        render += i >= 0 && may == BF_ACCESS_OK;
        if (may == BF_ACCESS_OK || (i >= 0 && may == BF_ACCESS_ABSENT)) continue;
        if (may == BF_ACCESS_ABSENT) {
            bf_devices_finding(out, path, "modprobe amdgpu and look at dmesg for kfd; in a container add --device /dev/kfd --device /dev/dri",
                               "the compute device node is missing");
        } else {
            snprintf(mend, sizeof mend, "sudo usermod -aG render,video %.60s, log in again; in a container add --group-add %.60s",
                     p ? p->pw_name : "USER", group);
            bf_devices_finding(out, path, mend, "no permission: user %s may not read and write it (group %s)",
                               p ? p->pw_name : "of this process", group);
        }
        return 1;
    }
    if (render) return 0;
    bf_devices_finding(out, "/dev/dri", "in a container add --device /dev/dri; else look at dmesg for amdgpu", "there is no render node");
    return 1;
}

static int hidden(bf_discovery *out, const bf_driver_answer *a, int cards) {
    static const char *const name[] = {"ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "CUDA_VISIBLE_DEVICES"};
    char mend[64];
    int n = 0;
    for (int i = 0; i < 4; i++) {
        const char *text = getenv(name[i]);
        if (!text) continue;
        snprintf(mend, sizeof mend, "unset %s", name[i]);
        bf_devices_finding(out, name[i], mend, "set to \"%.60s\": the runtime lists %d of %d GPUs", text, a->listed, cards);
        n++;
    }
    return n;
}

void bf_devices_amd(const bf_system *s, const bf_driver_answer *a, bf_discovery *out) {
    bf_card card[BF_MAX_CARDS];
    kfd_node node[MAX_NODES];
    char real[32] = "unknown";
    int cards = bf_system_cards(s, 0x1002, card), bound = 0, explained = 0, nodes = kfd_nodes(s, node);
    if (cards <= 0 && !a->listed) {
        bf_devices_finding(out, "hip", cards < 0 ? "run where /sys is mounted" : "none, if there is no such GPU; else lspci -d 1002:",
                           cards < 0 ? "the PCI bus cannot be read%s" : "no AMD GPU on the PCI bus%s",
                           a->missing ? ", and no HIP runtime (libamdhip64)" : "");
        if (a->error) bf_devices_finding(out, "HIP runtime", "mend the above first", "%.250s", a->error);
        return;
    }
    if (a->listed >= cards) {
        override(node, nodes, out);
        return;
    }
    for (int i = 0; i < cards; i++) bound += !bf_system_unbound(s, &card[i], "AMD", "amdgpu", INSTALL, out);
    explained = bound < cards;
    if (bound && !a->listed) explained |= device_nodes(s, out);
    explained |= override(node, nodes, out);
    if (nodes) bf_gfx_from_kfd(node[0].gfx, real, sizeof real);
    if (a->missing) {
        bf_devices_finding(out, "libamdhip64", LIBRARY, "the HIP runtime does not load: %.180s", a->missing);
        return;
    }
    explained |= hidden(out, a, cards) > 0;
    if (!strcmp(real, "gfx1151") && a->runtime && a->runtime < 60400000) {
        bf_devices_finding(out, "HIP runtime", "install ROCm 6.4 or newer; until then HSA_OVERRIDE_GFX_VERSION=11.0.0 runs the gfx1100 code",
                           "version %d.%d is older than the first that supports gfx1151 (6.4)", a->runtime / 10000000,
                           a->runtime / 100000 % 100);
        explained = 1;
    }
    if (a->error)
        bf_devices_finding(out, "HIP runtime", explained ? "mend the above first" : "look at dmesg for amdgpu and kfd; rocminfo; reboot", "%.250s",
                           a->error);
    else if (!explained)
        bf_devices_finding(out, "HIP runtime", "look at dmesg for amdgpu and kfd, and at rocminfo; an APU's small GPU beside a card is no loss",
                           "lists %d of the %d AMD GPUs on the PCI bus (kernel topology: %d, first %s)", a->listed, cards, nodes, real);
}
