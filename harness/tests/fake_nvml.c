/* fake_nvml.c: a library that plays NVML for the tests: 100 W, then 200 W from the 11th look on; clock, temperature and throttle reason
 * by $FAKE_NVML_REASONS. */
#include <stdlib.h>
#include <string.h>

static int looks;

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **device) {
    *device = &looks;
    return strcmp(pci, "0000:03:00.0") && strcmp(pci, "0000:fa:00.0") ? 6 : 0; /* the latter is fake_cuda's */
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) { return *mw = ++*(int *)device > 10 ? 200000 : 100000, 0; }
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz) {
    return *mhz = type == 1 ? (*(int *)device > 10 ? 1300 : 1531) : 0, 0;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) { return (void)device, *celsius = sensor ? 0 : 71, 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    const char *text = getenv("FAKE_NVML_REASONS");
    return (void)device, *reasons = text ? strtoull(text, NULL, 0) : 1, 0;
}
