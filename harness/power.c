/* power.c: see the header. */
#define _GNU_SOURCE
#include "power.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devices_system.h"
#include "worker.h"

enum { PERIOD_US = 10000, MOST_PACKAGES = 16 };

/* NVML's declarations as far as they are used; nvmlReturn_t is 0 on success. */
typedef struct nvml {
    void *library, *device;
    int (*init)(void), (*shutdown)(void), (*handle)(const char *pci, void **);
    int (*power)(void *, unsigned *), (*clock)(void *, int, unsigned *), (*temperature)(void *, int, unsigned *);
    int (*reasons)(void *, unsigned long long *);
} nvml;

/* nvmlClocksThrottleReasons: those that hold a busy GPU back. Idle and clocks that the user set are none. */
static const struct { unsigned long long bit; const char *name; } reasons[] = {
    {0x4, "power cap"}, {0x8, "hardware slowdown"}, {0x20, "thermal"}, {0x40, "hardware thermal"}, {0x80, "power brake"}};
enum { THERMAL_COUNT = 1 << 16 }; /* a processor's throttle count went up */

/* One look at the device. watts < 0: joules is a counter instead. */
typedef struct look {
    double at, watts, joules, mhz, celsius;
    unsigned long long held;
} look;

struct bf_power {
    nvml nv;
    bf_system system;
    char hwmon[300], watt_file[16];
    int packages;
    double range[MOST_PACKAGES], last[MOST_PACKAGES], turned[MOST_PACKAGES]; /* J: where a counter wraps, where it was, what wraps added */
    double throttle_count;
    int (*read)(bf_power *, look *);
    pthread_t thread;
    volatile int stop;
    int running;
    look first, before;
    double joules;
    unsigned long long held;
    bf_power_reading r;
};

static double file_number(bf_power *p, const char *folder, const char *name) {
    char path[400], text[64], *end;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (bf_system_line(&p->system, path, text, sizeof text)) return -1;
    double v = strtod(text, &end);
    return end != text && v >= 0 && v < 1e18 ? v : -1;
}

/* ---- NVIDIA ---- */

static int nvml_read(bf_power *p, look *l) {
    unsigned mw = 0, v = 0;
    if (p->nv.power(p->nv.device, &mw)) return -1;
    l->watts = mw * 1e-3;
    if (p->nv.clock && !p->nv.clock(p->nv.device, 1, &v)) l->mhz = v; /* NVML_CLOCK_SM */
    if (p->nv.temperature && !p->nv.temperature(p->nv.device, 0, &v)) l->celsius = v;
    if (p->nv.reasons && p->nv.reasons(p->nv.device, &l->held)) l->held = 0;
    return 0;
}

static int nvml_open(bf_power *p, const bf_device *d, char *why, size_t room) {
    const char *path = getenv("BF_NVML_LIBRARY");
    nvml *n = &p->nv;
    char pci[32];
    snprintf(pci, sizeof pci, "%.31s", d->identity);
    pci[strcspn(pci, " ")] = 0;
    n->library = dlopen(path && *path ? path : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!n->library) return snprintf(why, room, "%.200s", dlerror()), -1;
    const struct { void *to; const char *name; } calls[] = {
        {&n->init, "nvmlInit_v2"}, {&n->shutdown, "nvmlShutdown"}, {&n->handle, "nvmlDeviceGetHandleByPciBusId_v2"},
        {&n->power, "nvmlDeviceGetPowerUsage"}, {&n->clock, "nvmlDeviceGetClockInfo"}, {&n->temperature, "nvmlDeviceGetTemperature"},
        {&n->reasons, "nvmlDeviceGetCurrentClocksThrottleReasons"}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) *(void **)calls[i].to = dlsym(n->library, calls[i].name);
    if (!n->init || !n->shutdown || !n->handle || !n->power || n->init()) return snprintf(why, room, "NVML does not start"), -1;
    if (n->handle(pci, &n->device)) {
        n->shutdown();
        return snprintf(why, room, "NVML knows no device %s", pci), -1;
    }
    p->read = nvml_read;
    return 0;
}

/* ---- AMD ---- */

static int amd_read(bf_power *p, look *l) {
    double uw = file_number(p, p->hwmon, p->watt_file), hz = file_number(p, p->hwmon, "freq1_input"), mc = file_number(p, p->hwmon, "temp1_input");
    if (uw < 0) return -1;
    l->watts = uw * 1e-6, l->mhz = hz > 0 ? hz * 1e-6 : 0, l->celsius = mc > 0 ? mc * 1e-3 : 0;
    return 0;
}

static int amd_open(bf_power *p, const bf_device *d, char *why, size_t room) {
    char folder[128], full[400];
    static const char *const files[] = {"power1_average", "power1_input"};
    snprintf(folder, sizeof folder, "/sys/bus/pci/devices/%.20s/hwmon", d->identity);
    snprintf(full, sizeof full, "%s%s", p->system.root, folder);
    DIR *dir = opendir(full);
    for (struct dirent *e; dir && !p->read && (e = readdir(dir));)
        for (int i = 0; i < 2 && !p->read && e->d_name[0] != '.'; i++) {
            snprintf(p->hwmon, sizeof p->hwmon, "%s/%.60s", folder, e->d_name);
            snprintf(p->watt_file, sizeof p->watt_file, "%s", files[i]);
            if (file_number(p, p->hwmon, files[i]) >= 0) p->read = amd_read;
        }
    if (dir) closedir(dir);
    return p->read ? 0 : (snprintf(why, room, "no power1_average in %s", folder), -1);
}

/* ---- CPU ---- */

static double throttle_count(bf_power *p) {
    double v = file_number(p, "/sys/devices/system/cpu/cpu0/thermal_throttle", "package_throttle_count");
    return v < 0 ? 0 : v;
}

static int rapl_read(bf_power *p, look *l) {
    char folder[64];
    l->watts = -1, l->joules = 0;
    for (int i = 0; i < p->packages; i++) {
        snprintf(folder, sizeof folder, "/sys/class/powercap/intel-rapl:%d", i);
        double uj = file_number(p, folder, "energy_uj");
        if (uj < 0) return -1;
        if (uj * 1e-6 < p->last[i]) p->turned[i] += p->range[i];
        p->last[i] = uj * 1e-6;
        l->joules += p->last[i] + p->turned[i];
    }
    double khz = file_number(p, "/sys/devices/system/cpu/cpu0/cpufreq", "scaling_cur_freq"), count = throttle_count(p);
    if (khz > 0) l->mhz = khz * 1e-3;
    if (count > p->throttle_count) l->held = THERMAL_COUNT;
    p->throttle_count = count;
    return 0;
}

static int rapl_open(bf_power *p, char *why, size_t room) {
    char folder[64];
    for (; p->packages < MOST_PACKAGES; p->packages++) {
        snprintf(folder, sizeof folder, "/sys/class/powercap/intel-rapl:%d", p->packages);
        double range = file_number(p, folder, "max_energy_range_uj");
        if (file_number(p, folder, "energy_uj") < 0 || range <= 0) break;
        p->range[p->packages] = range * 1e-6;
    }
    p->throttle_count = throttle_count(p);
    if (!p->packages) return snprintf(why, room, "no readable energy counter in /sys/class/powercap/intel-rapl:0 (root may read it)"), -1;
    p->read = rapl_read;
    return 0;
}

bf_power *bf_power_open(const bf_device *d, char *why, size_t room) {
    bf_power *p = calloc(1, sizeof *p);
    why[0] = 0;
    if (!p) return NULL;
    bf_system_init(&p->system);
    int rc = !d->backend->gpu ? rapl_open(p, why, room)
             : d->backend->target == BF_CUDA ? nvml_open(p, d, why, room) : amd_open(p, d, why, room);
    if (!rc) return p;
    if (p->nv.library) dlclose(p->nv.library);
    free(p);
    return NULL;
}

void bf_power_close(bf_power *p) {
    bf_power_reading unused;
    if (!p) return;
    if (p->running) (void)bf_power_end(p, &unused);
    if (p->nv.library) p->nv.shutdown(), dlclose(p->nv.library);
    free(p);
}

/* ---- sampling ---- */

static void take(bf_power *p) {
    look l = {.at = bf_now()};
    if (p->read(p, &l)) return;
    bf_power_reading *r = &p->r;
    if (!r->samples++) p->first = l;
    else if (l.watts >= 0) p->joules += 0.5 * (l.watts + p->before.watts) * (l.at - p->before.at); /* trapezoids */
    else p->joules = l.joules - p->first.joules;
    if (l.mhz > 0 && (r->clock_low <= 0 || l.mhz < r->clock_low)) r->clock_low = l.mhz;
    if (l.mhz > r->clock_high) r->clock_high = l.mhz;
    if (l.celsius > r->temperature) r->temperature = l.celsius;
    unsigned long long held = l.held & THERMAL_COUNT;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) held |= l.held & reasons[i].bit;
    r->throttled += held != 0, p->held |= held;
    p->before = l;
}

static void *sampler(void *arg) {
    bf_power *p = arg;
    while (!p->stop) usleep(PERIOD_US), take(p);
    return NULL;
}

int bf_power_begin(bf_power *p) {
    p->r = (bf_power_reading){0};
    p->joules = 0, p->held = 0, p->stop = 0;
    take(p);
    p->running = !pthread_create(&p->thread, NULL, sampler, p);
    return p->running ? 0 : -1;
}

int bf_power_end(bf_power *p, bf_power_reading *r) {
    if (!p->running) return -1;
    p->stop = 1, p->running = 0;
    pthread_join(p->thread, NULL);
    take(p);
    *r = p->r;
    r->joules = p->joules, r->seconds = p->before.at - p->first.at;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (p->held & reasons[i].bit)
            snprintf(r->why + strlen(r->why), sizeof r->why - strlen(r->why), "%s%s", *r->why ? ", " : "", reasons[i].name);
    if (p->held & THERMAL_COUNT) snprintf(r->why, sizeof r->why, "thermal");
    if (r->samples < 2 || !(r->seconds > 0)) return -1;
    r->watts = r->joules / r->seconds;
    return 0;
}
