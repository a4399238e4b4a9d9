/* power.h: what a device draws while a kernel runs: sampled in the background, power integrated to joules.
 *
 *   cuda  NVML (libnvidia-ml.so.1, or $BF_NVML_LIBRARY): power, SM clock, temperature, throttle reasons
 *   hip   amdgpu's hwmon below the PCI device: power1_average or power1_input (uW), freq1_input (Hz), temp1_input (mC)
 *   cpu   RAPL, the packages' energy counters (/sys/class/powercap, readable by root since CVE-2020-8694); throttle counts
 *
 * Sources: NVML API reference; the kernel's Documentation/hwmon/sysfs-interface and admin-guide/power_capping. Files are read below
 * $BF_SYSROOT where that is set. A GPU's figure is the board's, a processor's that of its packages, without memory. */
#ifndef BF_POWER_H
#define BF_POWER_H

#include <stddef.h>

#include "backend.h"

typedef struct bf_power bf_power;

typedef struct bf_power_reading {
    double joules, seconds, watts;      /* watts: joules over seconds */
    double clock_low, clock_high;       /* MHz; 0: not known */
    double temperature;                 /* highest, degrees Celsius; 0: not known */
    int samples, throttled;             /* throttled: samples in which the device said it holds itself back */
    char why[64];                       /* the reasons of those: "power cap, thermal" */
} bf_power_reading;

/* NULL: nothing of this device can be read; why says what is missing. */
bf_power *bf_power_open(const bf_device *, char *why, size_t room);
void bf_power_close(bf_power *);

/* Samples every 10 ms from begin to end. 0, or -1: no thread, or fewer than two samples with a power. */
int bf_power_begin(bf_power *);
int bf_power_end(bf_power *, bf_power_reading *);

#endif
