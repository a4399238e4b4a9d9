/* Discovery explains itself: each fault of a machine is fabricated as a tree of /sys, /proc, /dev and /lib/modules, and the
 * first finding must name its cause and its mend. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../backends/objects.h"
#include "../devices.h"

static bf_system machine;
static bf_discovery found;

static void empty_machine(void) {
    static const char *const hidden[] = {"HSA_OVERRIDE_GFX_VERSION", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) unsetenv(hidden[i]);
    memset(&machine, 0, sizeof machine);
    strcpy(machine.root, "/tmp/bf-devices-XXXXXX");
    cr_assert(mkdtemp(machine.root));
    machine.pretend = 1, machine.user = 54321, machine.group[0] = 54321, machine.groups = 1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}
static void no_machine(void) { nftw(machine.root, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* The full path, its folders made. */
static const char *place(const char *path) {
    static char full[1024];
    snprintf(full, sizeof full, "%s%s", machine.root, path);
    for (char *p = full + strlen(machine.root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0755);
        *p = '/';
    }
    return full;
}
__attribute__((format(printf, 2, 3))) static void put(const char *path, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    FILE *f = fopen(place(path), "w");
    cr_assert(f, "%s", path);
    vfprintf(f, format, ap);
    va_end(ap);
    fclose(f);
}
static void node(const char *path, mode_t mode) {
    remove(place(path)); /* one without permissions could not be opened again by anyone but root */
    put(path, "%s", "");
    cr_assert_eq(chmod(place(path), mode), 0);
}
static void erase(const char *path) { cr_assert_eq(remove(place(path)), 0); }
static void card(const char *address, unsigned vendor, unsigned device, const char *class, const char *driver) {
    char path[256], target[128];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vendor", address);
    put(path, "0x%04x\n", vendor);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/device", address);
    put(path, "0x%04x\n", device);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", address);
    put(path, "%s\n", class);
    if (!driver) return;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver", address);
    snprintf(target, sizeof target, "../../../bus/pci/drivers/%s", driver);
    cr_assert_eq(symlink(target, place(path)), 0);
}

/* A Tesla P40 in working order, branch 535, for this user. */
static void p40(const char *driver) {
    empty_machine();
    card("0000:03:00.0", 0x10de, 0x1b38, "0x030200", driver);
    card("0000:03:00.1", 0x10de, 0x10f0, "0x040300", NULL); /* its audio function is no GPU */
    put("/proc/sys/kernel/osrelease", "6.1.0-30-amd64\n");
    put("/lib/modules/6.1.0-30-amd64/updates/dkms/nvidia-current.ko", "x");
    put("/lib/modules/6.1.0-30-amd64/kernel/drivers/video/fbdev/nvidia/nvidiafb.ko", "x");
    put("/sys/module/nvidia/version", "535.216.01\n");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.216.01  Tue Sep 17 16:54:04 UTC 2024\nGCC version: gcc 12.2.0\n");
    node("/dev/nvidiactl", 0666);
    node("/dev/nvidia0", 0666);
    node("/dev/nvidia-uvm", 0666);
}
static const bf_driver_answer blind = {.library = "/usr/lib/x86_64-linux-gnu/libcuda.so.535.216.01", .error = "cuda: cuInit: CUDA_ERROR_NO_DEVICE"};

/* A Strix Halo in working order. */
static void halo(const char *driver) {
    empty_machine();
    card("0000:c5:00.0", 0x1002, 0x1586, "0x038000", driver);
    put("/proc/sys/kernel/osrelease", "6.14.0\n");
    put("/lib/modules/6.14.0/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz", "x");
    put("/sys/module/amdgpu/refcnt", "1\n");
    node("/dev/kfd", 0666);
    node("/dev/dri/renderD128", 0666);
    put("/sys/class/kfd/kfd/topology/nodes/0/properties", "cpu_cores_count 32\nsimd_count 0\ngfx_target_version 0\n");
    put("/sys/class/kfd/kfd/topology/nodes/1/properties",
        "cpu_cores_count 0\nsimd_count 80\ngfx_target_version 110501\nlocation_id 50432\ndomain 0\n");
    put("/sys/class/kfd/kfd/topology/nodes/1/caches/0/properties", "level 1\nsize 32\n");
    put("/sys/class/kfd/kfd/topology/nodes/1/caches/1/properties", "level 2\nsize 2048\n");
    put("/sys/class/kfd/kfd/topology/nodes/1/caches/2/properties", "level 3\nsize 32768\n");
}
static const bf_driver_answer no_hip = {.error = "hip: hipGetDeviceCount: hipErrorNoDevice", .runtime = 60443484};

static void look(void (*scan)(const bf_system *, const bf_driver_answer *, bf_discovery *), const bf_driver_answer *a) {
    memset(&found, 0, sizeof found);
    scan(&machine, a, &found);
    for (int i = 0; i < found.findings; i++)
        cr_expect(found.finding[i].what[0] && found.finding[i].why[0] && found.finding[i].mend[0], "finding %d is not whole", i);
}
/* The first finding is the cause. */
#define CAUSE(why_part, mend_part)                                                                                   \
    do {                                                                                                             \
        cr_assert(found.findings, "nothing found, expected: %s", why_part);                                          \
        cr_expect(strstr(found.finding[0].why, why_part), "\"%s\" is not in: %s", why_part, found.finding[0].why);    \
        cr_expect(strstr(found.finding[0].mend, mend_part), "\"%s\" is not in: %s", mend_part, found.finding[0].mend); \
        no_machine();                                                                                                \
    } while (0)

/* ---- no card, no library ---- */

Test(devices, no_card) {
    bf_driver_answer missing = {.missing = "libcuda.so.1: cannot open shared object file"};
    empty_machine();
    card("0000:00:02.0", 0x8086, 0x1234, "0x030000", "i915");
    card("0000:01:00.1", 0x10de, 0x10f0, "0x040300", NULL);
    look(bf_devices_nvidia, &missing);
    cr_expect_eq(found.findings, 1);
    cr_expect(strstr(found.finding[0].why, "no NVIDIA GPU on the PCI bus, and no driver library"), "%s", found.finding[0].why);
    look(bf_devices_amd, &missing);
    CAUSE("no AMD GPU on the PCI bus", "lspci -d 1002:");
    look(bf_devices_nvidia, &missing); /* the tree is gone: as in a container without /sys */
    CAUSE("the PCI bus cannot be read", "/sys");
}

Test(devices, library_missing_although_the_driver_runs) {
    bf_driver_answer missing = {.missing = "libcuda.so.1: cannot open shared object file"};
    p40("nvidia");
    look(bf_devices_nvidia, &missing);
    CAUSE("the driver's library does not load: libcuda.so.1: cannot open", "libcuda1");
    halo("amdgpu");
    missing.missing = "libamdhip64.so: cannot open shared object file";
    look(bf_devices_amd, &missing);
    CAUSE("the HIP runtime does not load: libamdhip64.so", "ROCm");
}

/* ---- kernel modules ---- */

Test(devices, module_not_installed) {
    p40(NULL);
    erase("/sys/module/nvidia/version"), erase("/sys/module/nvidia");
    erase("/lib/modules/6.1.0-30-amd64/updates/dkms/nvidia-current.ko");
    look(bf_devices_nvidia, &blind);
    CAUSE("module nvidia is neither loaded nor installed", "install the NVIDIA driver");
    halo(NULL);
    erase("/sys/module/amdgpu/refcnt"), erase("/sys/module/amdgpu");
    erase("/lib/modules/6.14.0/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz");
    look(bf_devices_amd, &no_hip);
    CAUSE("module amdgpu is neither loaded nor installed", "Linux 6.11");
}

Test(devices, module_not_rebuilt_for_the_running_kernel) {
    p40("nouveau"); /* which then takes the card */
    erase("/sys/module/nvidia/version"), erase("/sys/module/nvidia");
    put("/proc/sys/kernel/osrelease", "6.12.9-amd64\n");
    put("/lib/modules/6.12.9-amd64/kernel/drivers/gpu/drm/nouveau/nouveau.ko", "x");
    look(bf_devices_nvidia, &blind);
    CAUSE("was built for kernel 6.1.0-30-amd64, not for the running 6.12.9-amd64", "install linux-headers-6.12.9-amd64, run dkms autoinstall");
}

Test(devices, module_installed_but_not_loaded) {
    p40(NULL);
    erase("/sys/module/nvidia/version"), erase("/sys/module/nvidia");
    look(bf_devices_nvidia, &blind);
    CAUSE("module nvidia is installed but not loaded", "modprobe nvidia");
}

Test(devices, another_driver_holds_the_card) {
    p40("nouveau");
    erase("/sys/module/nvidia/version"), erase("/sys/module/nvidia");
    look(bf_devices_nvidia, &blind);
    CAUSE("kernel driver nouveau holds it", "blacklist");
    p40("vfio-pci");
    look(bf_devices_nvidia, &blind);
    CAUSE("reserved for a virtual machine", "vfio-pci");
    halo("vfio-pci");
    look(bf_devices_amd, &no_hip);
    CAUSE("reserved for a virtual machine", "vfio-pci");
    halo(NULL);
    look(bf_devices_amd, &no_hip);
    CAUSE("amdgpu is loaded but did not take this GPU", "dmesg");
}

/* ---- NVIDIA versions ---- */

Test(devices, library_and_module_differ) {
    p40("nvidia");
    bf_driver_answer a = blind;
    a.library = "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14";
    look(bf_devices_nvidia, &a);
    CAUSE("the loaded kernel module is 535.216.01, libcuda is 550.54.14", "reboot");
}

Test(devices, branch_without_pascal) {
    p40("nvidia");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  590.44.01  Mon Nov 3 2025\n");
    bf_driver_answer a = blind;
    a.library = "/usr/lib/x86_64-linux-gnu/libcuda.so.590.44.01";
    look(bf_devices_nvidia, &a);
    CAUSE("590.44.01 no longer knows Pascal", "branch 580");
    /* 580 does, and so does 590 know an H100. */
    p40("nvidia");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Mon Nov 3 2025\n");
    a.library = "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05";
    look(bf_devices_nvidia, &a);
    CAUSE("CUDA_ERROR_NO_DEVICE", "dmesg");
    empty_machine();
    card("0000:03:00.0", 0x10de, 0x2330, "0x030200", "nvidia");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  590.44.01  Release Build\n");
    a.library = NULL;
    node("/dev/nvidiactl", 0666), node("/dev/nvidia0", 0666), node("/dev/nvidia-uvm", 0666);
    look(bf_devices_nvidia, &a);
    CAUSE("CUDA_ERROR_NO_DEVICE", "dmesg");
}

Test(devices, open_module_with_pascal) {
    p40("nvidia");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.216.01  Release Build\n");
    look(bf_devices_nvidia, &blind);
    CAUSE("open kernel module 535.216.01 knows Turing and newer only", "proprietary");
}

/* ---- device nodes ---- */

Test(devices, node_missing_or_closed) {
    static const char *const path[] = {"/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm"};
    for (int i = 0; i < 3; i++) {
        p40("nvidia");
        erase(path[i]);
        look(bf_devices_nvidia, &blind);
        cr_expect_str_eq(found.finding[0].what, path[i]);
        CAUSE("device node is missing", "nvidia-modprobe");
        p40("nvidia");
        node(path[i], 0660);
        look(bf_devices_nvidia, &blind);
        cr_expect_str_eq(found.finding[0].what, path[i]);
        CAUSE("no permission", "usermod -aG");
    }
    halo("amdgpu");
    erase("/dev/kfd");
    look(bf_devices_amd, &no_hip);
    CAUSE("the compute device node is missing", "--device /dev/kfd");
    halo("amdgpu");
    node("/dev/kfd", 0660);
    look(bf_devices_amd, &no_hip);
    CAUSE("no permission", "usermod -aG render,video");
    halo("amdgpu");
    node("/dev/dri/renderD128", 0660);
    look(bf_devices_amd, &no_hip);
    cr_expect_str_eq(found.finding[0].what, "/dev/dri/renderD128");
    CAUSE("no permission", "usermod -aG render,video");
    halo("amdgpu");
    erase("/dev/dri/renderD128");
    look(bf_devices_amd, &no_hip);
    CAUSE("no render node", "/dev/dri");
}

Test(devices, permission_by_owner_group_and_others) {
    struct stat st;
    halo("amdgpu");
    cr_assert_eq(stat(place("/dev/kfd"), &st), 0);
    static const struct {
        mode_t mode;
        int owner, group, may;
    } row[] = {{0600, 1, 0, 1}, {0600, 0, 1, 0}, {0660, 0, 1, 1}, {0660, 0, 0, 0}, {0606, 0, 0, 1}, {0606, 0, 1, 0}, {0440, 1, 1, 0}, {0604, 0, 0, 0}, {0602, 0, 0, 0}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        node("/dev/kfd", row[i].mode);
        machine.user = row[i].owner ? st.st_uid : 54321;
        machine.group[0] = row[i].group ? st.st_gid : 54321;
        if (machine.user == 0) continue; /* root may everything; the row cannot be made as root */
        look(bf_devices_amd, &no_hip);
        cr_expect_eq(!strstr(found.finding[0].why, "no permission"), row[i].may, "row %zu: %s", i, found.finding[0].why);
    }
    no_machine();
}

/* ---- overrides and what hides devices ---- */

static int have_hip(void) {
    int both = 0;
    for (size_t i = 0; i < bf_object_count; i++)
        both |= (strcmp(bf_objects[i].arch, "gfx1151") ? 0 : 1) | (strcmp(bf_objects[i].arch, "gfx1100") ? 0 : 2);
    return both == 3;
}

Test(devices, override_is_explained) {
    static const struct {
        const char *value, *why, *mend;
    } row[] = {{"11.0.0", "the GPU, a gfx1151, as gfx1100: the gfx1100 code runs", "unset it"},
               {"11.5.1", "stands for gfx1151, which the GPU is", "none"},
               {"10.3.0", "as gfx1030, for which this build has no code (it has: gfx1151, gfx1100)", "11.5.1"},
               {"9.0.10", "as gfx90a, for which this build has no code", "11.5.1"},
               {"gfx1151", "is no version", "11.5.1"},
               {"", "is no version", "11.5.1"},
               {"11.5.1.2", "is no version", "11.5.1"},
               {"11.5.99", "is no version", "11.5.1"}};
    if (!have_hip()) cr_skip_test("built without HIP code objects");
    for (int listed = 0; listed < 2; listed++)
        for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
            bf_driver_answer a = no_hip;
            if (listed) a.error = NULL, a.listed = 1;
            halo("amdgpu");
            setenv("HSA_OVERRIDE_GFX_VERSION", row[i].value, 1);
            look(bf_devices_amd, &a);
            CAUSE(row[i].why, row[i].mend);
        }
}

Test(devices, runtime_too_old_for_the_gpu) {
    bf_driver_answer a = no_hip;
    a.runtime = 50222804;
    halo("amdgpu");
    look(bf_devices_amd, &a);
    CAUSE("version 5.2 is older", "ROCm 6.4");
}

Test(devices, hidden_by_a_variable) {
    p40("nvidia");
    setenv("CUDA_VISIBLE_DEVICES", "-1", 1);
    look(bf_devices_nvidia, &blind);
    CAUSE("set to \"-1\": the driver lists 0 of 1 GPUs", "unset CUDA_VISIBLE_DEVICES");
    halo("amdgpu");
    setenv("ROCR_VISIBLE_DEVICES", "7", 1);
    look(bf_devices_amd, &no_hip);
    CAUSE("set to \"7\": the runtime lists 0 of 1 GPUs", "unset ROCR_VISIBLE_DEVICES");
}

Test(devices, one_of_several_is_missing) {
    bf_driver_answer a = {.listed = 3};
    p40("nvidia");
    card("0000:04:00.0", 0x10de, 0x1b38, "0x030200", "nvidia");
    card("0000:81:00.0", 0x10de, 0x1b38, "0x030200", "nvidia");
    card("0000:82:00.0", 0x10de, 0x1b38, "0x030200", NULL);
    look(bf_devices_nvidia, &a);
    cr_expect(strstr(found.finding[0].what, "0000:82:00.0"), "%s", found.finding[0].what);
    CAUSE("did not take this GPU", "0000:82:00.0");
}

Test(devices, nothing_to_say_when_all_is_well) {
    bf_driver_answer a = {.listed = 1, .library = "/usr/lib/x86_64-linux-gnu/libcuda.so.535.216.01"};
    p40("nvidia");
    look(bf_devices_nvidia, &a);
    cr_expect_eq(found.findings, 0, "%s", found.finding[0].why);
    no_machine();
    halo("amdgpu");
    look(bf_devices_amd, &a);
    cr_expect_eq(found.findings, 0, "%s", found.finding[0].why);
    no_machine();
}

/* ---- the pieces ---- */

Test(devices, arch_names) {
    char arch[32];
    static const struct {
        unsigned long kfd;
        const char *override, *arch;
    } row[] = {{110501, "11.5.1", "gfx1151"}, {110000, "11.0.0", "gfx1100"}, {90010, "9.0.10", "gfx90a"}, {100306, "10.3.6", "gfx1036"}, {120001, "12.0.1", "gfx1201"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bf_gfx_from_kfd(row[i].kfd, arch, sizeof arch);
        cr_expect_str_eq(arch, row[i].arch);
        cr_expect_eq(bf_gfx_from_override(row[i].override, arch, sizeof arch), 0);
        cr_expect_str_eq(arch, row[i].arch);
    }
    halo("amdgpu");
    cr_expect_eq(bf_kfd_cache(&machine, "0000:c5:00.0"), 32ull << 20);
    cr_expect_eq(bf_kfd_cache(&machine, "0000:c6:00.0"), 0);
    cr_expect_eq(bf_kfd_cache(&machine, "nonsense"), 0);
    cr_expect_eq(bf_kfd_arch(&machine, "0000:c5:00.0", arch, sizeof arch), 0);
    cr_expect_str_eq(arch, "gfx1151");
    no_machine();
}

Test(devices, shown_as_text_and_json) {
    memset(&found, 0, sizeof found);
    found.devices = 1;
    found.device[0] = (bf_device){.backend = bf_backend_find("cuda"), .index = 2, .name = "Tesla P40", .arch = "sm_61", .object = "sm_61 cubin",
                                  .identity = "0000:03:00.0", .driver = "CUDA 12.4", .memory = 24ull << 30, .cache = 3 << 20, .units = 30};
    for (int i = 0; i < BF_MAX_FINDINGS + 3; i++) bf_devices_finding(&found, "a node", "a mend", "%0300d", i); /* too many, too long */
    cr_expect_eq(found.findings, BF_MAX_FINDINGS);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    bf_devices_print(f, &found);
    fclose(f);
    static const char *const parts[] = {"Tesla P40", "sm_61 cubin", "24.0 GiB", "3.0 MiB", "30 units", "0000:03:00.0", "CUDA 12.4", "a node: 0000", "mend: a mend"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) cr_expect(strstr(text, parts[i]), "%s", parts[i]);
    free(text);
    json_t *all = bf_devices_json(&found);
    cr_assert(all);
    json_t *d = json_array_get(json_object_get(all, "devices"), 0), *g = json_array_get(json_object_get(all, "findings"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(d, "name")), "Tesla P40");
    cr_expect_eq(json_integer_value(json_object_get(d, "memory")), 24ll << 30);
    cr_expect(json_is_null(json_object_get(d, "proved"))); /* nobody asked it */
    cr_expect_str_eq(json_string_value(json_object_get(g, "what")), "a node");
    cr_expect_str_eq(json_string_value(json_object_get(g, "mend")), "a mend");
    cr_expect_eq(json_array_size(json_object_get(all, "findings")), BF_MAX_FINDINGS);
    json_decref(all);
}

Test(devices, the_tree_comes_from_the_environment) {
    setenv("BF_SYSROOT", "/some/tree", 1);
    setenv("BF_SYSUSER", "4242", 1);
    bf_system_init(&machine);
    cr_expect(!strcmp(machine.root, "/some/tree") && machine.pretend && machine.user == 4242 && !machine.groups);
    unsetenv("BF_SYSROOT"); /* a user alone must not change how the real machine is judged */
    bf_system_init(&machine);
    cr_expect(!machine.root[0] && !machine.pretend && machine.user == geteuid() && machine.groups > 0);
}
