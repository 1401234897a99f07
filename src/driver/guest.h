/*
 * A runtime in a loop of somebody else's: several engines then share one thread. Layer: driver.
 *
 * The runtime keeps its own libuv loop. The host's watches that one's descriptor and its next
 * timer, and turns it whenever something waits there (uv_backend_fd(3)). Nothing of the runtime
 * runs outside of such a turn, and a turn does not block.
 */
#ifndef SK_DRIVER_GUEST_H
#define SK_DRIVER_GUEST_H

#include "driver/runtime.h"

struct sk_guest {
    struct skep_runtime *runtime; /* NULL: not a guest (any more) */
    uv_poll_t poll;
    uv_timer_t timer;
    void (*turned)(void *ctx);
    void *ctx;
};

/* From now on the host's loop runs it; skep_runtime_run() must not be called. `turned` follows each
 * turn, outside of the runtime: it may end the guest, and free the runtime. SKEP_ERR_NETWORK. */
int sk_guest_init(struct sk_guest *guest, uv_loop_t *host, struct skep_runtime *runtime,
                  void (*turned)(void *ctx), void *ctx);
/* Something was asked of the engine from outside of a turn: it is looked at. */
void sk_guest_wake(struct sk_guest *guest);
/* Before the runtime is freed. The host's loop has to run once more before the memory may go. */
void sk_guest_deinit(struct sk_guest *guest);

#endif
