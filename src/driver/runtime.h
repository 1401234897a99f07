/*
 * The inside of a runtime: what the parts of the driver share. Layer: driver.
 *
 * One thread, one libuv loop. A part that hears something from the world calls the engine with the
 * time of sk_runtime_stamp() and then sk_runtime_drain(), which carries out everything that the
 * engine wants. Draining after each event keeps the engine's ring of outputs short, and makes sure
 * that no event is told of a connection whose end already waits in the ring.
 */
#ifndef SK_DRIVER_RUNTIME_H
#define SK_DRIVER_RUNTIME_H

#include "driver/disk.h"
#include "driver/http.h"
#include "driver/proxy.h"
#include "driver/resolver.h"
#include "driver/tcp.h"
#include "driver/udp.h"
#include "engine/engine.h"

#include <uv.h>

/* What takes the disk's place. Both answer at once: 0, or an error as of sk_disk_fn
 * (driver/disk.h). */
struct sk_runtime_store {
    int (*write)(void *ctx, const struct sk_out *out);
    int (*read)(void *ctx, const struct sk_out *out, uint8_t *ret_bytes); /* out->length of them */
    void *ctx;
};

/* Received bytes lie here until the engine has seen them; small enough to stay in the cache. */
#define SK_RUNTIME_RECEIVE_BYTES (128u << 10)
#define SK_RUNTIME_REASON_MAX 160

struct skep_runtime {
    uv_loop_t loop;
    struct skep_engine *engine;
    struct sk_endpoint bind; /* family SK_FAMILY_NONE: all addresses */
    uint16_t port;           /* TCP and UDP */
    bool listening, running, draining;
    uint64_t now_ns;   /* of this batch of events */
    uint64_t armed_ns; /* the deadline that `tick` is armed for */
    uv_prepare_t prepare;
    uv_timer_t tick, every, limit;
    uv_signal_t signals[2];
    void (*every_fn)(struct skep_runtime *runtime, void *ctx);
    void *every_ctx;
    void (*signal_fn)(struct skep_runtime *runtime, int signal, void *ctx);
    void *signal_ctx;
    struct sk_tcp tcp;
    struct sk_udp udp;
    struct sk_proxy proxy;
    struct sk_resolver resolver;
    struct sk_http http;
    struct sk_disk disk;
    struct sk_runtime_store store; /* write NULL: the disk is it */
    uint8_t receive[SK_RUNTIME_RECEIVE_BYTES];
};

/* As skep_runtime_new(), with a store in place of the disk unless it is NULL: config->save_dir is
 * not looked at then. */
int sk_runtime_new(const struct skep_config *config, const struct sk_runtime_store *store,
                   struct skep_runtime **ret_runtime, const char **ret_reason);
/* Reads the clock for the batch of events that begins here. */
uint64_t sk_runtime_stamp(struct skep_runtime *runtime);
/* Carries out the engine's outputs until there are none. Nested calls do nothing. */
void sk_runtime_drain(struct skep_runtime *runtime);
/* Before the loop sleeps: what hooks and timers asked for is done, and the alarm clock set. */
void sk_runtime_settle(struct skep_runtime *runtime);

#endif
