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
#include "driver/resolver.h"
#include "driver/tcp.h"
#include "driver/udp.h"
#include "engine/engine.h"

#include <uv.h>

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
    struct sk_resolver resolver;
    struct sk_http http;
    struct sk_disk disk;
    uint8_t receive[SK_RUNTIME_RECEIVE_BYTES];
};

/* Reads the clock for the batch of events that begins here. */
uint64_t sk_runtime_stamp(struct skep_runtime *runtime);
/* Carries out the engine's outputs until there are none. Nested calls do nothing. */
void sk_runtime_drain(struct skep_runtime *runtime);

#endif
