/* library.c: libraries opened at run time: the drivers, and the vendors' BLAS. See gpu.h. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "gpu.h"

void *bf_gpu_library(const char *override, const char *const names[], char *why, size_t room) {
    const char *path = getenv(override);
    if (path && *path) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, room, "%s: %s", override, dlerror());
        return library;
    }
    for (int i = 0; names[i]; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library) return library;
        const char *text = dlerror();
        if (i == 0) snprintf(why, room, "%s", text ? text : names[i]); /* the usual name says most */
    }
    return NULL;
}

int bf_gpu_symbols(void *library, const bf_gpu_symbol *s, size_t count, bf_error *err) {
    for (size_t i = 0; i < count; i++) {
        *s[i].entry = dlsym(library, s[i].name);
        if (!*s[i].entry && !s[i].optional)
            return bf_fail(err, "the library has no %s: it is too old, or not what its name says", s[i].name);
    }
    return 0;
}
