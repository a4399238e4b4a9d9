/* Backends: the registry, the proof, the CPU's memory, and the two drivers through stand-ins for their libraries
 * (fake_cuda.c, fake_hip.c): every error that a person meets, and that a CPU's answer never passes for a GPU's. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kernels/common/stream.h"
#include "../../kernels/simt/runtime.h"
#include "../backend.h"
#include "../backends/gpu.h"
#include "../op.h"
#include "../worker.h"

static bf_discovery found;
static bf_error err;

static const struct vendor {
    const char *name, *library, *variable;
} vendors[] = {{"cuda", BF_BUILD "/fake_cuda.so", "BF_CUDA_LIBRARY"}, {"hip", BF_BUILD "/fake_hip.so", "BF_HIP_LIBRARY"}};

static const struct vendor *vendor;
static const bf_backend *backend;

static int have_objects(bf_target t) {
    for (size_t i = 0; i < bf_object_count; i++)
        if (bf_objects[i].target == t) return 1;
    return 0;
}

/* Which fake to use. 0 when this build has no code objects for it, which the build reports itself. */
static int take(int which, const char *mode) {
    vendor = &vendors[which];
    backend = bf_backend_find(vendor->name);
    unsetenv("HSA_OVERRIDE_GFX_VERSION");
    setenv("BF_SYSROOT", "/nonexistent", 1); /* the machine under the tests may have anything */
    setenv(vendor->variable, vendor->library, 1);
    setenv("BF_FAKE", mode, 1);
    memset(&found, 0, sizeof found);
    memset(&err, 0, sizeof err);
    return have_objects(backend->target);
}

static bf_context *open_fake(int which, const char *mode) {
    if (!take(which, mode)) return NULL;
    backend->discover(&found);
    cr_assert_eq(found.devices, 1, "%s: %s", vendor->name, found.findings ? found.finding[0].why : "nothing said");
    bf_context *c = backend->open(&found.device[0], &err);
    cr_assert(c, "%s", err.text);
    return c;
}

static const bf_kernel *kernel_of(bf_target target, const char *name) {
    for (size_t i = 0; i < bf_kernel_count(); i++)
        if (bf_kernel_at(i)->target == target && !strcmp(bf_kernel_at(i)->name, name)) return bf_kernel_at(i);
    return NULL;
}

static int finding_has(const char *text) {
    for (int i = 0; i < found.findings; i++)
        if (strstr(found.finding[i].what, text) || strstr(found.finding[i].why, text) || strstr(found.finding[i].mend, text))
            return 1;
    return 0;
}
#define EXPECT_TEXT(text, part) cr_expect(strstr(text, part), "%s: \"%s\" is not in: %s", vendor->name, part, text)

/* What the fakes call in mode ok-host: the launch, run by the kernel's own source on the CPU. */
static const bf_kernel *launching;
static bf_problem launching_on;
int bf_fake_launch(const char *symbol, const uint32_t grid[3], const uint32_t block[3], uint32_t shared, const void *argument);
int bf_fake_launch(const char *symbol, const uint32_t grid[3], const uint32_t block[3], uint32_t shared, const void *argument) {
    static bf_step steps[BF_MAX_STEPS];
    char why[256];
    int n = launching ? launching->plan(&launching_on, steps) : 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(steps[i].symbol, symbol)) continue;
        /* What reached the driver, not what was planned, is what runs. */
        memcpy(steps[i].grid, grid, sizeof steps[i].grid);
        memcpy(steps[i].block, block, sizeof steps[i].block);
        steps[i].shared = shared;
        memcpy(steps[i].args, argument, steps[i].args_bytes);
        return bf_simt_run(launching->target, &steps[i], why, sizeof why);
    }
    return -1;
}

/* ---- registry, proof ---- */

Test(backends, registry_is_complete) {
    static const char *const names[] = {"cpu", "simt-cuda", "simt-hip", "cuda", "hip"};
    for (int i = 0; i < 5; i++) {
        const bf_backend *b = bf_backends[i];
        cr_assert(b && !strcmp(b->name, names[i]));
        cr_expect(bf_backend_find(names[i]) == b);
        cr_expect_eq(b->gpu, i >= 3, "%s", b->name);
        cr_expect(b->discover && b->open && b->close && b->alloc && b->free && b->upload && b->download && b->run && b->time &&
                  b->prove);
    }
    cr_expect(!bf_backends[5] && !bf_backend_find("gpu") && !bf_backend_find(""));
}

Test(backends, proof_depends_on_every_bit_of_the_nonce) {
    uint64_t base = bf_proof_expected(0x0123456789abcdefull);
    for (int bit = 0; bit < 64; bit++) {
        uint64_t other = bf_proof_expected(0x0123456789abcdefull ^ 1ull << bit) ^ base;
        cr_expect((uint32_t)other && (uint32_t)(other >> 32), "bit %d", bit);
    }
    cr_expect_neq(bf_proof_expected(0), 0);
}

Test(backends, cpu_and_simt_prove_themselves) {
    for (int i = 0; i < 3; i++) {
        const bf_backend *b = bf_backends[i];
        memset(&found, 0, sizeof found);
        b->discover(&found);
        cr_assert_eq(found.devices, 1);
        bf_context *c = b->open(&found.device[0], &err);
        cr_assert(c, "%s", err.text);
        for (uint64_t nonce = 1; nonce < 1ull << 60; nonce = nonce * 977 + 13) {
            uint64_t proof = 0;
            cr_assert_eq(b->prove(c, nonce, &proof, &err), 0, "%s", err.text);
            cr_assert_eq(proof, bf_proof_expected(nonce), "%s, nonce %llx", b->name, (unsigned long long)nonce);
        }
        b->close(c);
    }
}

/* ---- cpu ---- */

Test(backends, cpu_device_is_described_and_memory_is_aligned) {
    const bf_backend *b = bf_backend_find("cpu");
    memset(&found, 0, sizeof found);
    b->discover(&found);
    const bf_device *d = &found.device[0];
    cr_expect(d->units >= 1 && d->memory > 0 && d->warp == 1 && d->name[0] && !strcmp(d->object, "host"));
    bf_context *c = b->open(d, &err);
    cr_assert(c, "%s", err.text);
    for (uint64_t bytes = 1; bytes < 64u << 20; bytes = bytes * 3 + 1) {
        char *p = b->alloc(c, bytes, &err);
        cr_assert(p && (uintptr_t)p % 256 == 0, "%llu bytes", (unsigned long long)bytes);
        p[0] = p[bytes - 1] = 1;
        b->free(c, p);
    }
    cr_expect(!b->alloc(c, UINT64_MAX, &err) && strstr(err.text, "no memory"), "%s", err.text);
    const bf_kernel *foreign = kernel_of(BF_CUDA, "proof");
    bf_problem p = {.dim = {0}};
    cr_expect(foreign && b->run(c, foreign, &p, &err) == -1);
    b->close(c);
}

Test(backends, cpu_threads_from_the_environment) {
    const bf_backend *b = bf_backend_find("cpu");
    static const char *const bad[] = {"two", "-1", "3x", "99999", "0x2"};
    memset(&found, 0, sizeof found);
    b->discover(&found);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("BF_CPU_THREADS", bad[i], 1);
        cr_expect(!b->open(&found.device[0], &err) && strstr(err.text, "BF_CPU_THREADS"), "%s: %s", bad[i], err.text);
    }
    setenv("BF_CPU_THREADS", "1", 1);
    bf_context *c = b->open(&found.device[0], &err);
    cr_expect(c, "%s", err.text);
    b->close(c);
}

/* ---- the drivers' path, whole ---- */

Test(backends, a_fake_that_computes_passes_and_is_named_as_fake) {
    for (int v = 0; v < 2; v++) {
        bf_context *c = open_fake(v, "ok-host");
        if (!c) continue;
        EXPECT_TEXT(found.device[0].name, "fake");
        EXPECT_TEXT(found.device[0].driver, "_LIBRARY=fake_");
        cr_expect(finding_has(vendor->variable), "%s: no finding names the replaced library", vendor->name);
        launching = kernel_of(backend->target, "proof");
        /* prove() allocates the answer itself: it is the only thing in this problem that is not the nonce. */
        launching_on = (bf_problem){.dim = {4711}};
        uint64_t proof = 0;
        cr_assert_eq(backend->prove(c, 4711, &proof, &err), 0, "%s", err.text);
        cr_expect_eq(proof, bf_proof_expected(4711));
        backend->close(c);
    }
}

Test(backends, a_kernel_runs_and_is_timed_through_the_drivers) {
    enum { N = 1000 };
    for (int v = 0; v < 2; v++) {
        bf_context *c = open_fake(v, "ok-host");
        const bf_kernel *k = c ? kernel_of(backend->target, "stream_naive") : NULL;
        if (!k) continue;
        uint32_t y[N];
        memset(y, 0x7f, sizeof y);
        bf_problem p = {.dim = {N}, .param = {STREAM_WRITE, 0}};
        p.ptr[STREAM_Y] = backend->alloc(c, sizeof y, &err);
        cr_assert(p.ptr[STREAM_Y], "%s", err.text);
        launching = k, launching_on = p;
        cr_assert_eq(backend->upload(c, p.ptr[STREAM_Y], y, sizeof y, &err), 0, "%s", err.text);
        cr_assert_eq(backend->run(c, k, &p, &err), 0, "%s", err.text);
        cr_assert_eq(backend->download(c, y, p.ptr[STREAM_Y], sizeof y, &err), 0, "%s", err.text);
        for (uint32_t i = 0; i < N; i++) cr_assert_eq(y[i], 0x3f800000u | (i & 0xff), "%s: y[%u]", vendor->name, i);
        bf_problem many[5] = {p, p, p, p, p};
        double seconds[5] = {0};
        for (int round = 2; round <= 5; round++) { /* the events are kept and grown */
            cr_assert_eq(backend->time(c, k, many, round, seconds, &err), 0, "%s", err.text);
            for (int i = 0; i < round; i++) cr_expect(seconds[i] > 0 && seconds[i] < 10, "%g s", seconds[i]);
        }
        cr_expect_eq(backend->upload(c, (char *)p.ptr[STREAM_Y] + 8, y, sizeof y, &err), -1, "past the end");
        backend->free(c, p.ptr[STREAM_Y]);
        backend->close(c);
    }
}

Test(backends, a_device_that_does_not_compute_is_found_out) {
    static const char *const mode[] = {"ok", "wrong-proof"};
    for (int i = 0; i < 4; i++) {
        bf_context *c = open_fake(i / 2, mode[i % 2]);
        if (!c) continue;
        for (uint64_t nonce = 0; nonce < 40; nonce++) {
            uint64_t proof = bf_proof_expected(nonce); /* even if the caller had the answer lying about */
            cr_assert_eq(backend->prove(c, nonce, &proof, &err), 0, "%s", err.text);
            cr_expect_neq(proof, bf_proof_expected(nonce), "%s, %s: passed without a GPU", vendor->name, mode[i % 2]);
        }
        backend->close(c);
    }
}

/* ---- errors ---- */

Test(backends, errors_name_the_call_the_error_and_the_mend) {
    static const struct {
        const char *mode, *name[2], *mend;
    } want[] = {{"oom", {"cuMemAlloc: FAKE_ERROR_OUT_OF_MEMORY", "hipMalloc: FAKE_ERROR_OUT_OF_MEMORY"}, "mend: free device memory"},
                {"no-binary", {"cuModuleLoadDataEx: FAKE_ERROR_NO_BINARY_FOR_GPU", "hipModuleLoadData: FAKE_ERROR_NO_BINARY_FOR_GPU"}, "mend: this build has no code"},
                {"launch-fails", {"cuLaunchKernel: FAKE_ERROR_LAUNCH_OUT_OF_RESOURCES", "hipModuleLaunchKernel: FAKE_ERROR_LAUNCH_OUT_OF_RESOURCES"}, "mend: the kernel needs more registers"},
                {"sticky-error", {"FAKE_ERROR_ILLEGAL_ADDRESS", "FAKE_ERROR_ILLEGAL_ADDRESS"}, "AddressSanitizer"}};
    for (int i = 0; i < 8; i++) {
        bf_context *c = open_fake(i / 4, want[i % 4].mode);
        if (!c) continue;
        uint64_t proof = 0;
        cr_expect_eq(backend->prove(c, 1, &proof, &err), -1);
        EXPECT_TEXT(err.text, want[i % 4].name[i / 4]);
        EXPECT_TEXT(err.text, want[i % 4].mend);
        int sticky = !strcmp(want[i % 4].mode, "sticky-error");
        cr_expect_eq(backend->lost(c), sticky, "%s, %s: lost() = %d", vendor->name, want[i % 4].mode, backend->lost(c));
        if (sticky) cr_expect(!backend->alloc(c, 8, &err), "nothing works after a sticky error");
        backend->close(c);
    }
}

/* What the compiler really wrote: nvcc has a version of its own. */
Test(backends, a_driver_older_than_the_ptx_is_told_its_version) {
    bf_context *c = open_fake(0, "old-driver");
    if (!c) return;
    const bf_object *o = bf_gpu_object(BF_CUDA, "proof", "sm_61");
    char number[8] = "", want[64];
    for (const unsigned char *at = o->begin; at + 16 < o->end && !number[0]; at++)
        if (!memcmp(at, ".version ", 9)) memcpy(number, at + 9, strcspn((const char *)at + 9, "\n") % sizeof number);
    cr_assert(number[0]);
    snprintf(want, sizeof want, "the PTX of this build (ISA %s", number);
    uint64_t proof;
    cr_expect_eq(backend->prove(c, 1, &proof, &err), -1);
    EXPECT_TEXT(err.text, want);
    backend->close(c);
    int major, minor;
    static const unsigned char text[] = "//\n\n.version 7.8\n.target sm_61\n", cut[] = "\n.version 9";
    cr_expect(bf_gpu_ptx_isa(&(bf_object){.begin = text, .end = text + sizeof text - 1}, &major, &minor) && major == 7 && minor == 8);
    cr_expect(!bf_gpu_ptx_isa(&(bf_object){.begin = cut, .end = cut + sizeof cut - 1}, &major, &minor), "without a minor number");
    cr_expect(!bf_gpu_ptx_isa(&(bf_object){.begin = text, .end = text + 8}, &major, &minor), "no such line");
}

Test(backends, discovery_says_why_there_is_no_device) {
    static const struct {
        const char *mode, *says;
    } want[] = {{"no-device", "FAKE_ERROR_NO_DEVICE"}, {"init-fails", "FAKE_ERROR_UNKNOWN"}, {"mismatch", "FAKE_ERROR_SYSTEM_DRIVER_MISMATCH"}};
    for (int i = 0; i < 6; i++) {
        take(i / 3, want[i % 3].mode);
        backend->discover(&found);
        cr_expect_eq(found.devices, 0);
        cr_expect(finding_has(want[i % 3].says), "%s: nothing says %s", vendor->name, want[i % 3].says);
        bf_device d = {.backend = backend};
        cr_expect(!backend->open(&d, &err), "%s, %s: opened", vendor->name, want[i % 3].mode);
        EXPECT_TEXT(err.text, "FAKE_ERROR");
    }
}

Test(backends, a_library_that_is_none_is_refused) {
    for (int v = 0; v < 2; v++) {
        take(v, "ok");
        setenv(vendor->variable, "/nonexistent/driver.so", 1);
        backend->discover(&found);
        cr_expect(!found.devices && found.findings, "%s", vendor->name);
        bf_device d = {.backend = backend};
        cr_expect(!backend->open(&d, &err));
        EXPECT_TEXT(err.text, "/nonexistent/driver.so");
        EXPECT_TEXT(err.text, "mend: install");
        setenv(vendor->variable, "libm.so.6", 1);
        cr_expect(!backend->open(&d, &err));
        EXPECT_TEXT(err.text, v ? "has no hipInit" : "has no cuInit");
    }
}

Test(backends, the_code_object_follows_the_device) {
    if (take(0, "ok")) {
        static const struct {
            const char *capability, *object;
        } want[] = {{"6.1", "sm_61 cubin"}, {"6.2", "compute_61 PTX"}, {"9.0", "compute_61 PTX"}, {"12.0", "compute_61 PTX"}, {"6.0", NULL}, {"5.2", NULL}};
        const bf_object *o = bf_gpu_object(BF_CUDA, "proof", "sm_61");
        for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
            take(0, "ok");
            setenv("BF_FAKE_CAPABILITY", want[i].capability, 1);
            backend->discover(&found);
            cr_expect_eq(found.devices, want[i].object != NULL, "capability %s", want[i].capability);
            if (!found.devices) cr_expect(finding_has("older than 6.1"));
            if (found.devices && !strcmp(o->arch, "sm_61")) cr_expect_str_eq(found.device[0].object, want[i].object);
        }
    }
    if (take(0, "ok")) {
        setenv("BF_FAKE_CAPABILITY", "6.1", 1);
        setenv("CUDA_FORCE_PTX_JIT", "1", 1);
        backend->discover(&found);
        cr_expect_str_eq(found.device[0].object, "compute_61 PTX");
    }
    if (take(1, "ok")) {
        static const struct {
            const char *arch, *mend;
        } want[] = {{"gfx1151", NULL}, {"gfx1100", NULL}, {"gfx1151:sramecc-:xnack-", NULL}, {"gfx1103", "VERSION=11.0.0"}, {"gfx1150", "VERSION=11.5.1"}, {"gfx90a:sramecc+:xnack-", "HIP_ARCHS"}};
        for (size_t i = 0; i < sizeof want / sizeof *want; i++)
            for (int old = 0; old < 2; old++) {
                take(1, old ? "rocm5" : "ok");
                setenv("BF_FAKE_ARCH", want[i].arch, 1);
                backend->discover(&found);
                cr_expect_eq(found.devices, !want[i].mend, "%s, layout of ROCm %d", want[i].arch, old ? 5 : 6);
                if (want[i].mend) cr_expect(finding_has(want[i].mend) && finding_has("no code object"), "%s", want[i].arch);
                if (found.devices) cr_expect_arr_eq(found.device[0].arch, want[i].arch, strcspn(want[i].arch, ":"));
                if (found.devices) cr_expect(!strchr(found.device[0].arch, ':'), "%s", found.device[0].arch);
            }
    }
}

/* ---- limits: refused with numbers, before the driver sees the launch ---- */

static bf_step asked;
static int asked_count;
static int asked_plan(const bf_problem *p, bf_step *s) {
    (void)p;
    s[0] = asked;
    return asked_count;
}

Test(backends, launches_outside_the_limits_are_refused) {
    static const struct {
        uint32_t grid[3], block[3], shared;
        int count;
        const char *says;
    } want[] = {{{1, 1, 1}, {32, 1, 1}, 0, 1, NULL},          {{0, 1, 1}, {32, 1, 1}, 0, 1, "grid.x = 0"},
                {{1, 70000, 1}, {32, 1, 1}, 0, 1, "grid.y = 70000"}, {{1, 1, 1}, {2048, 1, 1}, 0, 1, "block.x = 2048"},
                {{1, 1, 1}, {64, 64, 1}, 0, 1, "4096 threads"},      {{1, 1, 1}, {32, 1, 0}, 0, 1, "block.z = 0"},
                {{1, 1, 1}, {32, 1, 1}, 1 << 20, 1, "1048576 bytes of shared memory"}, {{1, 1, 1}, {32, 1, 1}, 0, 9, "plans 9 launches"},
                {{1, 1, 1}, {32, 1, 1}, 0, 0, "plans 0 launches"},   {{1, 1, 1}, {32, 1, 1}, UINT32_MAX, 1, "shared memory"}};
    for (int v = 0; v < 2; v++) {
        bf_context *c = open_fake(v, "ok");
        if (!c) continue;
        bf_kernel k = {.op = "none", .name = "asked", .file = "proof", .target = backend->target, .plan = asked_plan};
        bf_problem p = {.dim = {0}};
        for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
            asked = (bf_step){.symbol = "proof_clear", .shared = want[i].shared, .args_bytes = 16};
            memcpy(asked.grid, want[i].grid, sizeof asked.grid);
            memcpy(asked.block, want[i].block, sizeof asked.block);
            asked_count = want[i].count;
            err.text[0] = 0;
            cr_expect_eq(backend->run(c, &k, &p, &err), want[i].says ? -1 : 0, "%s, row %zu: %s", vendor->name, i, err.text);
            if (want[i].says) EXPECT_TEXT(err.text, want[i].says);
        }
        asked = (bf_step){.symbol = "proof_clear", .grid = {8000000, 1, 1}, .block = {1024, 1, 1}}, asked_count = 1;
        cr_expect_eq(backend->run(c, &k, &p, &err), v ? -1 : 0, "HIP counts threads in 32 bits: %s", err.text);
        k.file = "no_such_file";
        asked.grid[0] = 1;
        cr_expect_eq(backend->run(c, &k, &p, &err), -1);
        EXPECT_TEXT(err.text, "no code object of no_such_file");
        k.target = BF_CPU;
        cr_expect_eq(backend->run(c, &k, &p, &err), -1);
        EXPECT_TEXT(err.text, "not for this device");
        backend->close(c);
    }
}

/* ---- a hang, seen from the watchdog ---- */

static bf_context *hung;
static int hang_open(bf_worker *w, bf_error *e) {
    (void)w;
    backend->discover(&found);
    hung = found.devices ? backend->open(&found.device[0], e) : NULL;
    return hung ? 0 : -1;
}
static int hang_job(bf_worker *w, size_t index, void *row) {
    (void)w, (void)index;
    return backend->prove(hung, 1, row, &err);
}
static int rows, hangs;
static void hang_done(bf_worker *w, size_t index, const void *row) { (void)w, (void)index, (void)row, rows++; }
static void hang_lost(bf_worker *w, size_t index, bf_status s, const char *why) {
    (void)w, (void)index, (void)why;
    hangs += s == BF_HANG;
}
static void hang_refused(bf_worker *w, const char *why) {
    (void)w;
    cr_expect(0, "%s", why);
}

Test(backends, a_device_that_hangs_is_put_down_by_the_watchdog) {
    for (int v = 0; v < 2; v++) {
        if (!take(v, "hang")) continue;
        volatile int stop = 0;
        bf_worker w = {.jobs = 1, .row_bytes = 8, .timeout = 0.5, .open = hang_open, .job = hang_job, .done = hang_done, .lost = hang_lost,
                       .refused = hang_refused};
        rows = hangs = 0;
        cr_expect_eq(bf_workers_run(&w, 1, 1, &stop, &err), 0);
        cr_expect(rows == 0 && hangs == 1, "%s: %d rows, %d hangs", vendor->name, rows, hangs);
    }
}

/* A driver that compiles PTX at its first use is at work, not hung: the job's clock starts again behind it. */
static int slow_job(bf_worker *w, size_t index, void *row) {
    (void)w, (void)index;
    usleep(300000);
    int rc = backend->prove(hung, 1, row, &err);
    usleep(300000);
    return rc;
}
Test(backends, loading_a_module_is_no_hang) {
    for (int v = 0; v < 2; v++) {
        if (!take(v, "slow-load")) continue;
        volatile int stop = 0;
        bf_worker w = {.jobs = 1, .row_bytes = 8, .timeout = 0.55, .open = hang_open, .job = slow_job, .done = hang_done, .lost = hang_lost,
                       .refused = hang_refused};
        rows = hangs = 0;
        cr_expect_eq(bf_workers_run(&w, 1, 1, &stop, &err), 0);
        cr_expect(rows == 1 && hangs == 0, "%s: %d rows, %d hangs", vendor->name, rows, hangs);
    }
}

/* ---- the command: a run that asked for a GPU and got none, or a pretender, is no success ---- */

static int command(const char *const *argument, char *out, size_t room) {
    int p[2], ws = -1;
    cr_assert_eq(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(p[1], 1), dup2(p[1], 2);
        execv(argument[0], (char *const *)(uintptr_t)argument);
        _exit(127);
    }
    close(p[1]);
    size_t n = 0;
    for (ssize_t r; n < room - 1 && (r = read(p[0], out + n, room - 1 - n)) > 0;) n += (size_t)r;
    out[n] = 0;
    close(p[0]);
    waitpid(pid, &ws, 0);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : -1;
}

Test(backends, the_command_counts_no_cpu_run_as_a_gpu_run) {
    static const struct {
        const char *mode, *says;
        int status;
    } want[] = {{"ok", "did not compute its proof", BF_EXIT_NO_DEVICE}, {"wrong-proof", "did not compute its proof", BF_EXIT_NO_DEVICE},
                {"no-device", "nothing ran in its place", BF_EXIT_NO_DEVICE}, {"oom", "OUT_OF_MEMORY", BF_EXIT_NO_DEVICE}};
    static char out[65536];
    if (access(BF_BUILD "/blackframe", X_OK)) cr_skip_test("the command is not built");
    for (int i = 0; i < 8; i++) {
        if (!take(i / 4, want[i % 4].mode)) continue;
        const char *argument[] = {BF_BUILD "/blackframe", "check", "--backend", vendor->name, "stream", "mode=copy", "n=64", NULL};
        int status = command(argument, out, sizeof out);
        cr_expect_eq(status, want[i % 4].status, "%s, %s: status %d: %s", vendor->name, want[i % 4].mode, status, out);
        cr_expect(strstr(out, want[i % 4].says), "%s, %s: %s", vendor->name, want[i % 4].mode, out);
        cr_expect(!strstr(out, "1 passed"), "%s", out);
    }
}
