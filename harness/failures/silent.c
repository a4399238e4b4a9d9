/* silent.c: A11: a GPU that is present and not used. Each fault is injected below discovery: a fabricated tree of
 * /sys, /proc and /dev, stand-ins for the drivers' libraries (built beside the command from harness/tests/fake_*.c),
 * or a variable. The command itself runs, asked for the GPU, and must end in exit status 3 with the cause and the
 * mend. */
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failures.h"

enum { P40 = 1, HALO = 2 };

typedef struct fault {
    const char *name, *backend;
    int machine;
    const char *fake;           /* mode of the stand-in; NULL: there is no library */
    const char *variable;       /* NAME=VALUE, or NULL */
    const char *path, *content; /* a file of the tree that differs; content NULL: it is closed to the user */
    const char *cause, *mend;   /* words that the message must hold */
} fault;

static const fault faults[] = {
    {"driver's library missing", "cuda", P40, NULL, NULL, NULL, NULL, "libcuda", "install"},
    {"runtime's library missing", "hip", HALO, NULL, NULL, NULL, NULL, "libamdhip64", "install"},
    {"no permission on /dev/kfd", "hip", HALO, "no-device", NULL, "/dev/kfd", NULL, "no permission",
     "usermod -aG render"},
    {"no permission on /dev/nvidia0", "cuda", P40, "no-device", NULL, "/dev/nvidia0", NULL, "no permission",
     "usermod"},
    {"override of another generation", "hip", HALO, "no-device", "HSA_OVERRIDE_GFX_VERSION=10.3.0", NULL, NULL,
     "gfx1030", "11.5.1"},
    {"override that is no version", "hip", HALO, "no-device", "HSA_OVERRIDE_GFX_VERSION=gfx1151", NULL, NULL,
     "no version", "11.5.1"},
    {"no code object for the arch", "hip", HALO, "ok", "BF_FAKE_ARCH=gfx1030", NULL, NULL,
     "no code object for gfx1030", "HIP_ARCHS"},
    {"toolkit without sm_61", "cuda", P40, "no-binary", NULL, NULL, NULL, "NO_BINARY_FOR_GPU", "knows sm_61"},
    {"driver branch without Pascal", "cuda", P40, "no-device", NULL, "/proc/driver/nvidia/version",
     "NVRM version: NVIDIA UNIX x86_64 Kernel Module  590.44.01  Tue Dec  2 16:54:04 UTC 2025\n",
     "no longer knows Pascal", "580"},
    {"module not built for this kernel", "cuda", P40, "no-device", NULL, "/proc/sys/kernel/osrelease",
     "6.12.0-1-amd64\n", "not for the running 6.12.0-1-amd64", "dkms"},
    {"enumerates, does not launch", "cuda", P40, "launch-fails", NULL, NULL, NULL, "cuLaunchKernel", "mend"},
    {"enumerates, does not launch", "hip", HALO, "launch-fails", NULL, NULL, NULL, "hipModuleLaunchKernel", "mend"},
    {"launches, does not compute", "cuda", P40, "wrong-proof", NULL, NULL, NULL, "did not compute its proof", "mend"},
};
enum { FAULTS = sizeof faults / sizeof *faults };

/* ---- the fabricated machine ---- */

static int put(const char *root, const char *path, const char *text, mode_t mode) {
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof full) return -1;
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0755);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    if (!f) return -1;
    fputs(text, f);
    return fclose(f) || chmod(full, mode) ? -1 : 0;
}

static int card(const char *root, const char *address, const char *vendor, const char *device, const char *class,
                const char *driver) {
    const char *const name[] = {"vendor", "device", "class"}, *const text[] = {vendor, device, class};
    char path[128], full[PATH_MAX], target[64];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", address, name[i]);
        if (put(root, path, text[i], 0644)) return -1;
    }
    int n = snprintf(full, sizeof full, "%s/sys/bus/pci/devices/%s/driver", root, address);
    snprintf(target, sizeof target, "../../../bus/pci/drivers/%s", driver);
    return n < 0 || (size_t)n >= sizeof full || symlink(target, full) ? -1 : 0;
}

/* A Tesla P40 of branch 535 or a Strix Halo, in working order for every user, and then the fault. */
static int machine(const char *root, const fault *f) {
    static const struct {
        int machine;
        const char *path, *text;
        mode_t mode;
    } file[] = {
        {P40, "/proc/sys/kernel/osrelease", "6.1.0-30-amd64\n", 0644},
        {P40, "/lib/modules/6.1.0-30-amd64/updates/dkms/nvidia-current.ko", "x", 0644},
        {P40, "/sys/module/nvidia/version", "535.216.01\n", 0644},
        {P40, "/proc/driver/nvidia/version",
         "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.216.01  Tue Sep 17 16:54:04 UTC 2024\n", 0644},
        {P40, "/dev/nvidiactl", "", 0666},
        {P40, "/dev/nvidia0", "", 0666},
        {P40, "/dev/nvidia-uvm", "", 0666},
        {HALO, "/proc/sys/kernel/osrelease", "6.14.0\n", 0644},
        {HALO, "/lib/modules/6.14.0/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz", "x", 0644},
        {HALO, "/sys/module/amdgpu/refcnt", "1\n", 0644},
        {HALO, "/dev/kfd", "", 0666},
        {HALO, "/dev/dri/renderD128", "", 0666},
        {HALO, "/sys/class/kfd/kfd/topology/nodes/0/properties",
         "cpu_cores_count 32\nsimd_count 0\ngfx_target_version 0\n", 0644},
        {HALO, "/sys/class/kfd/kfd/topology/nodes/1/properties",
         "cpu_cores_count 0\nsimd_count 80\ngfx_target_version 110501\nlocation_id 50432\ndomain 0\n", 0644},
    };
    /* Another kernel than the one that the module was built for: it cannot load, and nouveau takes the card. */
    int stale = f->path && strstr(f->path, "osrelease");
    int rc = f->machine == P40
                 ? card(root, "0000:03:00.0", "0x10de\n", "0x1b38\n", "0x030200\n", stale ? "nouveau" : "nvidia")
                 : card(root, "0000:c5:00.0", "0x1002\n", "0x1586\n", "0x038000\n", "amdgpu");
    for (size_t i = 0; !rc && i < sizeof file / sizeof *file; i++)
        if (file[i].machine == f->machine && !(stale && strstr(file[i].path, "nvidia/version")))
            rc = put(root, file[i].path, file[i].text, file[i].mode);
    if (!rc && f->path) rc = put(root, f->path, f->content ? f->content : "", f->content ? 0644 : 0600);
    if (!rc && stale)
        rc = put(root, "/lib/modules/6.12.0-1-amd64/kernel/drivers/gpu/drm/nouveau/nouveau.ko", "x", 0644);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

/* ---- the command ---- */

/* Where the stand-ins are: beside the running program. */
static int beside(const char *name, char *out, size_t room) {
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return -1;
    self[n] = 0;
    char *slash = strrchr(self, '/');
    if (!slash) return -1;
    *slash = 0;
    int w = snprintf(out, room, "%s/%s", self, name);
    return w < 0 || (size_t)w >= room || access(out, R_OK) ? -1 : 0;
}

static void child(const bf_lab *lab, const char *backend, const fault *f, const char *root, const char *library,
                  int out) {
    static const char *const hides[] = {"HSA_OVERRIDE_GFX_VERSION", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
                                        "ROCR_VISIBLE_DEVICES",     "GPU_DEVICE_ORDINAL",   "BF_FAKE_ARCH",
                                        "BF_FAKE_DEVICES",          "BF_FAKE_CAPABILITY",   "CUDA_FORCE_PTX_JIT"};
    dup2(out, 1), dup2(out, 2);
    for (size_t i = 0; f && i < sizeof hides / sizeof *hides; i++) unsetenv(hides[i]);
    if (f) {
        setenv("BF_SYSROOT", root, 1), setenv("BF_SYSUSER", "54321", 1);
        setenv(f->machine == P40 ? "BF_CUDA_LIBRARY" : "BF_HIP_LIBRARY", f->fake ? library : "/nonexistent/driver.so",
               1);
        setenv("BF_FAKE", f->fake ? f->fake : "", 1);
        if (f->variable) putenv((char *)(uintptr_t)f->variable);
    }
    execlp(lab->program, lab->program, "check", "--backend", backend, "--kernel", "convert_naive", "convert", "n=33",
           "from=f32", "to=bf16", (char *)NULL);
    _exit(127);
}

/* Exit status of the command under the fault (NULL: none), and what it said. */
static int command(const bf_lab *lab, const char *backend, const fault *f, const char *root, const char *library,
                   char *said, size_t room, bf_error *err) {
    int p[2], ws = 0;
    size_t n = 0;
    if (pipe(p)) return bf_fail(err, "cannot make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        child(lab, backend, f, root, library, p[1]);
    }
    close(p[1]);
    for (ssize_t r; pid > 0 && n + 1 < room && (r = read(p[0], said + n, room - 1 - n)) > 0;) n += (size_t)r;
    said[n] = 0;
    close(p[0]);
    if (pid < 0 || waitpid(pid, &ws, 0) < 0) return bf_fail(err, "cannot run %s: %s", lab->program, strerror(errno));
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : 128;
}

static int inject(const bf_lab *lab, const bf_fail_entry *e, const fault *f, bf_fail_result *r, bf_error *err) {
    char root[] = "/tmp/blackframe-fault-XXXXXX", library[PATH_MAX], said[8192];
    if (beside(f->machine == P40 ? "fake_cuda.so" : "fake_hip.so", library, sizeof library))
        return bf_fail(
            err,
            "the stand-ins for the drivers, fake_cuda.so and fake_hip.so, are not beside the command; mend: make");
    if (!mkdtemp(root)) return bf_fail(err, "%s: %s", root, strerror(errno));
    int status = machine(root, f);
    if (status)
        bf_fail(err, "%s: cannot write: %s", root, strerror(errno));
    else
        status = command(lab, e->broken.kernel ? f->backend : "cpu", e->broken.kernel ? f : NULL, root, library, said,
                         sizeof said, err);
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (status < 0) return -1;
    int cause = strstr(said, f->cause) != NULL, mend = strstr(said, "mend") && strstr(said, f->mend),
        other = strstr(said, "PASS") || strstr(said, "1 passed");
    bf_fail_row(r, 5, f->name, f->backend, bf_fail_text("%d", status), cause ? "named" : "-", mend ? "named" : "-");
    bf_fail_require(r, status == BF_EXIT_NO_DEVICE, "%s (%s): exit status %d", f->name, f->backend, status);
    bf_fail_require(r, cause, "%s (%s): '%s' is not in the message", f->name, f->backend, f->cause);
    bf_fail_require(r, mend, "%s (%s): '%s' is not in the message", f->name, f->backend, f->mend);
    bf_fail_require(r, !other, "%s (%s): something ran in its place", f->name, f->backend);
    return 0;
}

static int run(const bf_lab *lab, const bf_fail_entry *e, bf_fail_result *r, bf_error *err) {
    char said[8192];
    snprintf(r->input, sizeof r->input, "%d faults below discovery; each time: %s check --backend cuda or hip",
             FAULTS, "blackframe");
    bf_fail_row(r, 5, "#fault", "asked for", "exit status", "cause", "mend");
    for (int i = 0; i < FAULTS; i++)
        if (inject(lab, e, &faults[i], r, err)) return -1;
    int status = command(lab, "cpu", NULL, "", "", said, sizeof said, err);
    bf_fail_require(r, status == BF_EXIT_OK, "without a fault, cpu: exit status %d", status);
    snprintf(r->seen, sizeof r->seen,
             "each of %d faults ends the run with status 3, cause and mend, and nothing runs in the GPU's place; "
             "without a fault (cpu) status %d",
             FAULTS, status);
    return status < 0 ? -1 : 0;
}

const bf_fail_entry bf_fail_a11 = {
    "A11",
    "silent-cpu",
    BF_FAIL_FAULT,
    "The GPU is there and not used: a library, a permission, an override, a code object or the driver is wrong, and "
    "a program that does not insist computes on the CPU.",
    "home-lab logs: \"GPU\" runs at CPU speed, one core at 100 %",
    "blackframe devices names the cause; check --require cuda (or hip) fails where nothing would",
    {"inject", BF_NONE, 0},
    {NULL, BF_NONE, 0},
    run,
};
