/* devices_nvidia.c: why an NVIDIA GPU of this machine is not listed by libcuda. */
#define _GNU_SOURCE
#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices_system.h"

#define INSTALL "install the NVIDIA driver (Debian: nvidia-driver and libcuda1, component non-free) and reboot"

/* PCI device ids of Pascal (GP100 15f0, GP102 to GP108 1b00-1d7f, among them the Tesla P40, 1b38) and Volta (1d80-1dff), which
 * have no GSP and were dropped together. Source: the PCI ID list, pci-ids.ucw.cz; NVIDIA's deprecation schedule ("release 580
 * will be the last to support Maxwell, Pascal and Volta"). */
static int is_before_turing(unsigned device) {
    return (device >= 0x15f0 && device <= 0x15ff) || (device >= 0x1b00 && device <= 0x1dff);
}

/* The first word of `text` that looks like a driver version: digits, a dot, digits. "" when there is none. */
static void version_in(const char *text, char *out, size_t room) {
    out[0] = 0;
    for (const char *p = text; *p; p++) {
        if (!isdigit((unsigned char)*p) || (p > text && (isdigit((unsigned char)p[-1]) || p[-1] == '.'))) continue;
        size_t n = strspn(p, "0123456789.");
        size_t major = strspn(p, "0123456789");
        if (major < 2 || major > 4 || p[major] != '.' || !isdigit((unsigned char)p[major + 1])) continue;
        while (n && p[n - 1] == '.') n--;
        snprintf(out, room, "%.*s", (int)n, p);
        return;
    }
}

/* The loaded kernel module against the cards and against the library. 1 if something was found. */
static int module_version(const bf_system *s, const bf_driver_answer *a, const bf_card *card, int cards, bf_discovery *out) {
    char line[256], module[32] = "", user[32] = "";
    int before = out->findings, old = -1;
    for (int i = 0; i < cards; i++)
        if (is_before_turing(card[i].device)) old = i;
    if (!bf_system_line(s, "/proc/driver/nvidia/version", line, sizeof line)) {
        version_in(line, module, sizeof module);
    } else {
        bf_system_line(s, "/sys/module/nvidia/version", line, sizeof line);
        version_in(line, module, sizeof module);
    }
    if (!module[0]) return 0;
    const char *file = a->library ? strrchr(a->library, '/') : NULL;
    if (file && strstr(file, "libcuda.so.")) version_in(strstr(file, "libcuda.so.") + strlen("libcuda.so."), user, sizeof user);
    if (user[0] && strcmp(user, module))
        bf_devices_finding(out, "NVIDIA driver", "reboot; or, with no program using the GPU: modprobe -r nvidia_uvm nvidia && modprobe nvidia",
                           "the loaded kernel module is %s, libcuda is %s: after an update they must be of one version", module,
                           user);
    if (old >= 0 && atoi(module) >= 590)
        bf_devices_finding(out, "NVIDIA driver", "install branch 580 (Debian, Ubuntu: a package with 580 in its name) and hold it there",
                           "kernel module %s no longer knows Pascal and Volta (GPU at %s, %04x): 580 was the last branch that does", module,
                           card[old].address, card[old].device);
    else if (old >= 0 && strstr(line, "Open Kernel Module"))
        bf_devices_finding(out, "NVIDIA driver", "install the proprietary module of branch 580 or older (not nvidia-open)",
                           "the open kernel module %s knows Turing and newer only; the GPU at %s (%04x) is older", module,
                           card[old].address, card[old].device);
    return out->findings > before;
}

/* 1 if a device node is missing or closed to this user. */
static int nodes(const bf_system *s, bf_discovery *out) {
    static const char *const path[] = {"/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm"};
    char group[64], mend[256];
    struct passwd *p = getpwuid(s->user);
    for (int i = 0; i < 3; i++) {
        bf_access may = bf_system_access(s, path[i], group, sizeof group);
        if (may == BF_ACCESS_OK) continue;
        if (may == BF_ACCESS_ABSENT) {
            bf_devices_finding(out, path[i], "nvidia-modprobe -c=0 -u; in a container start it with --gpus all (NVIDIA container toolkit)",
                               "the kernel module is loaded but the device node is missing");
        } else {
            snprintf(mend, sizeof mend, "sudo usermod -aG %.60s %.60s, log in again (or NVreg_DeviceFileMode=0666 for the module)", group,
                     p ? p->pw_name : "USER");
            bf_devices_finding(out, path[i], mend, "no permission: user %s may not read and write it (group %s)",
                               p ? p->pw_name : "of this process", group);
        }
        return 1;
    }
    return 0;
}

void bf_devices_nvidia(const bf_system *s, const bf_driver_answer *a, bf_discovery *out) {
    bf_card card[BF_MAX_CARDS];
    int cards = bf_system_cards(s, 0x10de, card), bound = 0, explained = 0;
    if (cards <= 0) {
        if (a->listed) return;
        bf_devices_finding(out, "cuda", cards < 0 ? "run where /sys is mounted" : "none, if there is no such card; else seat, power, and lspci -d 10de:",
                           cards < 0 ? "the PCI bus cannot be read%s" : "no NVIDIA GPU on the PCI bus%s",
                           a->missing ? ", and no driver library (libcuda.so.1)" : "");
        if (a->error) bf_devices_finding(out, "libcuda", "mend the above first", "%.250s", a->error);
        return;
    }
    if (a->listed >= cards) return;
    for (int i = 0; i < cards; i++) bound += !bf_system_unbound(s, &card[i], "NVIDIA", "nvidia", INSTALL, out);
    explained = bound < cards;
    if (bound) explained |= module_version(s, a, card, cards, out);
    if (bound && !a->listed) explained |= nodes(s, out);
    if (a->missing) {
        bf_devices_finding(out, "libcuda.so.1", INSTALL "; in a container start it with --gpus all", "the driver's library does not load: %.180s",
                           a->missing);
        return;
    }
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible) {
        bf_devices_finding(out, "CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES",
                           "set to \"%.60s\": the driver lists %d of %d GPUs", visible, a->listed, cards);
        explained = 1;
    }
    if (a->error)
        bf_devices_finding(out, "libcuda", explained ? "mend the above first" : "look at dmesg for NVRM; nvidia-smi; reboot", "%.250s",
                           a->error);
    else if (!explained)
        bf_devices_finding(out, "libcuda", "look at dmesg for NVRM and at nvidia-smi", "lists %d of the %d NVIDIA GPUs on the PCI bus",
                           a->listed, cards);
}
