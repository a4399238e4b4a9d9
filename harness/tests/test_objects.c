/* The embedded table and the descriptors must agree: a kernel whose object is missing would only be noticed on a GPU. */
#include <criterion/criterion.h>
#include <string.h>

#include "../backends/objects.h"
#include "../op.h"

static int have(bf_target target, const char *arch, const char *file) {
    int n = 0;
    for (size_t i = 0; i < bf_object_count; i++) {
        const bf_object *o = &bf_objects[i];
        n += o->target == target && (!arch || !strcmp(o->arch, arch)) && (!file || !strcmp(o->file, file));
    }
    return n;
}

Test(objects, every_gpu_kernel_has_its_object_once_for_each_architecture) {
    static const struct {
        bf_target target;
        const char *arch;
    } archs[] = {{BF_CUDA, "sm_61"}, {BF_CUDA, "compute_61"}, {BF_HIP, "gfx1151"}, {BF_HIP, "gfx1100"}};
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        if (!have(archs[a].target, archs[a].arch, NULL)) continue; /* skipped by the build, which says so */
        for (size_t i = 0; i < bf_kernel_count(); i++) {
            const bf_kernel *k = bf_kernel_at(i);
            if (k->target != archs[a].target) continue;
            cr_expect(have(k->target, archs[a].arch, k->file) == 1, "kernel %s: %d objects named \"%s\" for %s", k->name,
                      have(k->target, archs[a].arch, k->file), k->file, archs[a].arch);
        }
    }
}

Test(objects, hold_what_their_format_says) {
    for (size_t i = 0; i < bf_object_count; i++) {
        const bf_object *o = &bf_objects[i];
        const char *magic = !strcmp(o->format, "hsaco")    ? "\177ELF"
                            : !strcmp(o->format, "fatbin") ? "\x50\xed\x55\xba" /* fatbinary_section.h */
                                                           : "//";              /* PTX: LLVM's opening comment */
        cr_expect(o->end - o->begin > 64 && !memcmp(o->begin, magic, strlen(magic)), "%s.%s", o->file, o->format);
        cr_expect(*o->end == 0, "%s: no zero byte after the object", o->file);
        cr_expect((uintptr_t)o->begin % 256 == 0);
    }
}
