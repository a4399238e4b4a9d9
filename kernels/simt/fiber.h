/* fiber.h: stacks and switches for runtime.cc, over boost.context's assembly; told to AddressSanitizer when that is
 * compiled in. Not for several host threads at once: runtime.cc holds a lock. */
#ifndef BF_SIMT_FIBER_H
#define BF_SIMT_FIBER_H

#include <stddef.h>

struct bf_fiber {
    void *context;     /* where it stopped; boost's fcontext_t */
    void *fake_stack;  /* AddressSanitizer's */
    void *bottom;      /* lowest usable address */
    size_t bytes;
};

enum { BF_FIBERS = 1024 };

/* A fiber that has not run `body` yet, or one put back by bf_fiber_idle. NULL: no memory for its stack. body never
 * returns and is the same in every call. */
bf_fiber *bf_fiber_take(void (*body)());
/* For a fiber that has nothing to do: bf_fiber_take hands it out again, and it goes on where it switched away. */
void bf_fiber_idle(bf_fiber *);

/* One past the highest byte of its stack. */
unsigned char *bf_fiber_top(const bf_fiber *);

/* The host thread's own stack, as the place to come back to. */
bf_fiber *bf_fiber_host();

/* Stops `from`, which is running, and goes on with `to`. */
void bf_fiber_switch(bf_fiber *from, bf_fiber *to);
/* The same, for good: `from` and all other fibers are forgotten. For the way out of a fault. */
[[noreturn]] void bf_fiber_abandon(bf_fiber *to);
/* To be called on the host's stack after bf_fiber_abandon. */
void bf_fiber_reset();

#endif
