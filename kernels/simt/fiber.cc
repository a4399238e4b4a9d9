/* fiber.cc: see fiber.h. */
#include "fiber.h"

#include <boost/context/detail/fcontext.hpp>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BF_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define BF_ASAN 1
#endif
#if defined(BF_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace ctx = boost::context::detail;

namespace {

constexpr size_t STACK = 256 << 10; /* a sanitizer's frames, and its reports, take many times a kernel's */
constexpr size_t GUARD = 4 << 10;

bf_fiber host, fibers[BF_FIBERS];
bf_fiber *idle[BF_FIBERS];
int made, idles;
unsigned char *stacks; /* BF_FIBERS times guard page and stack */
void (*entry)();

/* On arrival: notes where the fiber we come from stopped. */
void arrived(ctx::transfer_t from) {
    if (from.data) static_cast<bf_fiber *>(from.data)->context = from.fctx;
}

void start(ctx::transfer_t from) {
#if defined(BF_ASAN)
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (from.data == &host) host.bottom = const_cast<void *>(bottom), host.bytes = bytes;
#endif
    arrived(from);
    entry();
    abort(); /* body returned */
}

void prepare(bf_fiber *f) {
    /* Tops at different offsets in their pages, or all fibers would share a few sets of the cache. */
    size_t colour = static_cast<size_t>(f - fibers) % 32 * 128;
    unsigned char *low = stacks + static_cast<size_t>(f - fibers) * (STACK + GUARD) + GUARD;
    f->bottom = low;
    f->bytes = STACK;
    f->fake_stack = nullptr;
    f->context = ctx::make_fcontext(low + STACK - colour, STACK - colour, start);
}

} // namespace

unsigned char *bf_fiber_top(const bf_fiber *f) { return static_cast<unsigned char *>(f->bottom) + f->bytes; }

bf_fiber *bf_fiber_host() { return &host; }

bf_fiber *bf_fiber_take(void (*body)()) {
    entry = body;
    if (idles) return idle[--idles];
    if (!stacks) {
        void *p = mmap(nullptr, BF_FIBERS * (STACK + GUARD), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) return nullptr;
        stacks = static_cast<unsigned char *>(p);
    }
    if (made == BF_FIBERS) return nullptr;
    bf_fiber *f = &fibers[made];
    if (mprotect(stacks + static_cast<size_t>(made) * (STACK + GUARD), GUARD, PROT_NONE)) return nullptr;
    prepare(f);
    ++made;
    return f;
}

void bf_fiber_idle(bf_fiber *f) { idle[idles++] = f; }

void bf_fiber_switch(bf_fiber *from, bf_fiber *to) {
#if defined(BF_ASAN)
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->bytes);
#endif
    arrived(ctx::jump_fcontext(to->context, from));
#if defined(BF_ASAN)
    __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

void bf_fiber_abandon(bf_fiber *to) {
#if defined(BF_ASAN)
    __sanitizer_start_switch_fiber(nullptr, to->bottom, to->bytes);
#endif
    ctx::jump_fcontext(to->context, nullptr);
    abort();
}

void bf_fiber_reset() {
#if defined(BF_ASAN)
    if (stacks) __asan_unpoison_memory_region(stacks, BF_FIBERS * (STACK + GUARD));
#endif
    idles = 0;
    for (int i = 0; i < made; ++i) {
        prepare(&fibers[i]);
        idle[idles++] = &fibers[i];
    }
}
