/* Power: a fake NVML, and fake trees of sysfs for amdgpu and RAPL; joules must be what watts and time say. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../power.h"

static char root[64];
static void machine(void) {
    strcpy(root, "/tmp/bf-power-XXXXXX");
    cr_assert(mkdtemp(root));
    setenv("BF_SYSROOT", root, 1);
}
static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}
static void no_machine(void) {
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    unsetenv("BF_SYSROOT");
}
TestSuite(power, .init = machine, .fini = no_machine);

static void place(const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') *p = 0, mkdir(full, 0755);
    FILE *f = fopen(full, "w");
    cr_assert(f);
    fputs(text, f);
    fclose(f);
}

static bf_power *open_device(const char *backend, const char *identity) {
    bf_device d = {.backend = bf_backend_find(backend)};
    char why[256];
    snprintf(d.identity, sizeof d.identity, "%s", identity);
    bf_power *p = bf_power_open(&d, why, sizeof why);
    cr_expect(p || *why, "no reason is given");
    return p;
}

Test(power, nvml_is_sampled_integrated_and_its_reasons_named) {
    setenv("BF_NVML_LIBRARY", BF_BUILD "/fake_nvml.so", 1);
    setenv("FAKE_NVML_REASONS", "0x25", 1); /* idle, power cap, thermal */
    cr_expect_null(open_device("cuda", "0000:99:00.0"));
    bf_power *p = open_device("cuda", "0000:03:00.0 GPU-0011");
    cr_assert(p);
    bf_power_reading r;
    cr_assert_eq(bf_power_begin(p), 0);
    usleep(300000);
    cr_assert_eq(bf_power_end(p, &r), 0);
    cr_expect(r.samples > 12 && r.seconds > 0.29, "%d samples in %g s", r.samples, r.seconds);
    cr_expect(r.watts > 110 && r.watts < 200, "100 W, then 200 W: %g", r.watts);
    cr_expect_float_eq(r.joules, r.watts * r.seconds, 1e-9);
    cr_expect(r.clock_low == 1300 && r.clock_high == 1531 && r.temperature == 71);
    cr_expect_eq(r.throttled, r.samples);
    cr_expect_str_eq(r.why, "power cap, thermal");
    setenv("FAKE_NVML_REASONS", "0x3", 1); /* idle, clocks that the user set: neither is throttling */
    cr_assert_eq(bf_power_begin(p), 0);
    usleep(30000);
    cr_assert_eq(bf_power_end(p, &r), 0);
    cr_expect(r.throttled == 0 && !*r.why && fabs(r.watts - 200) < 1e-6, "%g W, %s", r.watts, r.why);
    bf_power_close(p);
    setenv("BF_NVML_LIBRARY", "/nonexistent.so", 1);
    cr_expect_null(open_device("cuda", "0000:03:00.0"));
    unsetenv("BF_NVML_LIBRARY");
}

Test(power, amdgpu_is_read_below_its_pci_device) {
    cr_expect_null(open_device("hip", "0000:c5:00.0"));
    place("/sys/bus/pci/devices/0000:c5:00.0/hwmon/hwmon4/power1_average", "55000000\n");
    place("/sys/bus/pci/devices/0000:c5:00.0/hwmon/hwmon4/freq1_input", "2900000000\n");
    bf_power *p = open_device("hip", "0000:c5:00.0");
    cr_assert(p);
    bf_power_reading r;
    cr_assert_eq(bf_power_begin(p), 0);
    usleep(50000);
    cr_assert_eq(bf_power_end(p, &r), 0);
    cr_expect(fabs(r.watts - 55) < 1e-9 && r.clock_high == 2900 && r.temperature == 0, "%g W", r.watts);
    bf_power_close(p);
}

Test(power, rapl_counts_all_packages_and_survives_a_wrap) {
    cr_expect_null(open_device("cpu", ""));
    place("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "100000000\n");
    place("/sys/class/powercap/intel-rapl:0/energy_uj", "99000000\n");
    place("/sys/class/powercap/intel-rapl:1/max_energy_range_uj", "100000000\n");
    place("/sys/class/powercap/intel-rapl:1/energy_uj", "5000000\n");
    place("/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "7\n");
    bf_power *p = open_device("cpu", "");
    cr_assert(p);
    bf_power_reading r;
    cr_assert_eq(bf_power_begin(p), 0);
    usleep(20000);
    place("/sys/class/powercap/intel-rapl:0/energy_uj", "2000000\n"); /* 3 J, over the wrap */
    place("/sys/class/powercap/intel-rapl:1/energy_uj", "9000000\n"); /* 4 J */
    place("/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "8\n");
    usleep(20000);
    cr_assert_eq(bf_power_end(p, &r), 0);
    cr_expect_float_eq(r.joules, 7, 1e-9, "%g J", r.joules);
    cr_expect(r.throttled == 1 && !strcmp(r.why, "thermal"), "%d %s", r.throttled, r.why);
    bf_power_close(p);
}

Test(power, rubbish_is_no_power) {
    place("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "many\n");
    place("/sys/class/powercap/intel-rapl:0/energy_uj", "-1\n");
    cr_expect_null(open_device("cpu", ""));
}

/* The whole way: a fake GPU that computes through simt, its fake NVML, the record. */
Test(power, bench_records_watts_joules_and_throttling) {
    char record[128], line[1 << 16], command[1024];
    if (access(BF_BUILD "/blackframe", X_OK)) cr_skip_test("the command is not built");
    snprintf(record, sizeof record, "%s/bench.jsonl", root);
    snprintf(command, sizeof command, "BF_FAKE=simt BF_FAKE_CACHE=4096 BF_CUDA_LIBRARY=%s BF_NVML_LIBRARY=%s FAKE_NVML_REASONS=0x4 %s bench --backend cuda --kernel stream_naive "
             "--seconds 0.01 --json %s stream n=256 mode=copy >/dev/null 2>&1", BF_BUILD "/fake_cuda.so", BF_BUILD "/fake_nvml.so", BF_BUILD "/blackframe", record);
    int status = system(command);
    if (WEXITSTATUS(status) == 3) cr_skip_test("no cuda code objects in this build");
    FILE *f = fopen(record, "r");
    cr_assert(f, "%s: exit status %d", command, WEXITSTATUS(status));
    int rows = 0;
    while (fgets(line, sizeof line, f)) {
        if (!strstr(line, "\"type\":\"bench\"") && !strstr(line, "\"type\": \"bench\"")) continue;
        const char *watts = strstr(line, "\"watts\":"), *joules = strstr(line, "\"joules\":");
        rows++;
        cr_assert(watts && joules && strstr(line, "power cap"), "%s", line);
        double w = strtod(watts + 8, NULL), j = strtod(joules + 9, NULL);
        cr_expect(w > 100 && w <= 200 && j > 0 && j < 200, "%g W, %g J", w, j);
    }
    fclose(f);
    cr_expect_eq(rows, 1);
}
