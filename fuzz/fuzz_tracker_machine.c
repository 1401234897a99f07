/*
 * A tracker machine against a hostile tracker, resolver and clock. The first byte chooses the
 * address and the scrape; after it come steps: a byte that chooses, a byte of length, bytes.
 * Whatever happens: announces keep their distance, outputs end, no deadline stays in the past, and
 * what has ended stays so.
 */
#include "proto/tracker/tracker.h"

#include "base/assert.h"
#include "base/heap.h"
#include "wire/tracker_udp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUTPUTS_MAX 8 /* in a row: of each address a result and a packet, and the look-up's */

struct world {
    struct sk_tracker *tracker;
    uint64_t now;
    bool stopped, resolving;
    uint32_t request, transaction;
    struct sk_endpoint to;
    uint64_t answered_ns[2]; /* the last announce's end, by address */
};

static unsigned place(const struct sk_endpoint *endpoint)
{
    return endpoint->family == SK_FAMILY_V6;
}

static void keep_distance(const struct world *world, unsigned at)
{
    uint64_t last = world->answered_ns[at];
    SK_ASSERT(!last || world->now >= last + SK_TRACKER_REPEAT_MIN_S * 1000000000ull);
}

static void on_packet(struct world *world, const struct sk_tracker_out *out)
{
    struct sk_udp_request request;
    SK_ASSERT(sk_tracker_udp_read_request(out->datagram, &request) == 0);
    SK_ASSERT(out->datagram.n <= 4096);
    world->transaction = request.transaction;
    world->to = out->to;
    if (request.action == SK_UDP_ANNOUNCE && request.announce.event != SK_TRACKER_STOPPED)
        keep_distance(world, place(&out->to));
}

static void on_get(struct world *world, const struct sk_tracker_out *out)
{
    world->request = out->request;
    SK_ASSERT(out->timeout_ns > 0);
    if (!strstr(out->url, "/scrape") && !strstr(out->url, "event=stopped"))
        keep_distance(world, 0);
}

static void on_result(struct world *world, const struct sk_tracker_result *result)
{
    SK_ASSERT(result->asked_ns <= result->answered_ns && result->answered_ns <= world->now);
    SK_ASSERT(memchr(result->text, 0, sizeof result->text));
    SK_ASSERT(!result->announce || result->failure == SK_TRACKER_ANSWERED);
    if (result->announce)
        for (size_t i = 0; i < result->announce->peers_count; i++)
            SK_ASSERT(result->announce->peers[i].family != SK_FAMILY_NONE);
    if (result->ask == SK_TRACKER_ANNOUNCE && result->failure != SK_TRACKER_UNRESOLVED)
        world->answered_ns[place(&result->from)] = world->now;
}

static void drain(struct world *world)
{
    struct sk_tracker_out out;
    for (int i = 0; sk_tracker_next_output(world->tracker, &out); i++) {
        SK_ASSERT(i < OUTPUTS_MAX);
        switch (out.kind) {
        case SK_TRACKER_OUT_HTTP_GET:
            on_get(world, &out);
            break;
        case SK_TRACKER_OUT_RESOLVE:
            SK_ASSERT(out.host[0] && out.port);
            world->resolving = true;
            break;
        case SK_TRACKER_OUT_UDP_SEND:
            on_packet(world, &out);
            break;
        case SK_TRACKER_OUT_RESULT:
            on_result(world, out.result);
            break;
        }
    }
}

/* ------------------------------------------------------------------- steps */

static void step_tick(struct world *world, struct sk_bytes bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        world->now += (uint64_t)bytes.p[i] << (i % 3 * 12);
    sk_tracker_tick(world->tracker, world->now);
}

/* What ends in one tick may leave the next thing due at once, but not for ever. */
static void step_deadline(struct world *world, struct sk_bytes bytes)
{
    uint64_t at = sk_tracker_deadline(world->tracker);
    if (at > UINT64_MAX / 4) /* never, or after so many absurd intervals that the clock would end */
        return;
    world->now = SK_MAX(world->now, at);
    for (int i = 0; sk_tracker_deadline(world->tracker) <= world->now; i++) {
        SK_ASSERT(i < 3);
        sk_tracker_tick(world->tracker, world->now);
        drain(world);
    }
}

/* The right action, or any; the right transaction id. */
static void step_udp(struct world *world, struct sk_bytes bytes)
{
    uint8_t packet[260];
    if (bytes.n < 4)
        return;
    memcpy(packet, bytes.p, 4);
    packet[0] = packet[1] = packet[2] = 0;
    packet[3] &= 3;
    sk_put_u32(packet + 4, world->transaction);
    memcpy(packet + 8, bytes.p + 4, bytes.n - 4);
    sk_tracker_input_udp(world->tracker, &world->to, sk_bytes(packet, bytes.n + 4), world->now);
}

static void step_udp_stranger(struct world *world, struct sk_bytes bytes)
{
    struct sk_endpoint from = world->to;
    from.port ^= 1;
    SK_ASSERT(!sk_tracker_input_udp(world->tracker, &from, bytes, world->now));
}

static void step_http(struct world *world, struct sk_bytes bytes)
{
    static const uint16_t statuses[] = {200, 0, 404, 301};
    if (bytes.n)
        sk_tracker_input_http(world->tracker, world->request, statuses[bytes.p[0] % 4],
                              sk_bytes(bytes.p + 1, bytes.n - 1), world->now);
}

static void step_resolved(struct world *world, struct sk_bytes bytes)
{
    struct sk_endpoint found[4];
    size_t count = SK_MIN(bytes.n, SK_ARRAY_LEN(found));
    uint8_t addr[16] = {0x20, 1};
    if (!world->resolving)
        return;
    world->resolving = false;
    for (size_t i = 0; i < count; i++) {
        addr[15] = addr[3] = bytes.p[i];
        found[i] = bytes.p[i] & 1 ? sk_endpoint_v4(addr, 0) : sk_endpoint_v6(addr, 0);
    }
    sk_tracker_input_resolved(world->tracker, found, count, "x", world->now);
}

static void step_unsent(struct world *world, struct sk_bytes bytes)
{
    sk_tracker_input_unsent(world->tracker, &world->to, "x", world->now);
}

static void step_stop(struct world *world, struct sk_bytes bytes)
{
    world->stopped = true;
    sk_tracker_stop(world->tracker, world->now);
}

static void (*const steps[])(struct world *, struct sk_bytes) = {
    step_tick, step_deadline, step_udp,    step_udp_stranger,
    step_http, step_resolved, step_unsent, step_stop,
};

static void run(struct world *world, const uint8_t *data, size_t size)
{
    while (size >= 2) {
        size_t n = SK_MIN((size_t)data[1], size - 2);
        steps[data[0] % SK_ARRAY_LEN(steps)](world, sk_bytes(data + 2, n));
        drain(world);
        data += 2 + n;
        size -= 2 + n;
        if (sk_tracker_state(world->tracker) == SK_TRACKER_ENDED)
            SK_ASSERT(sk_tracker_next_draw_ns(world->tracker) == SK_TIME_NEVER);
    }
    /* A stop ends within its time, whatever was under way. */
    step_stop(world, sk_bytes(NULL, 0));
    drain(world);
    for (int i = 0; i < 2 && sk_tracker_deadline(world->tracker) != SK_TIME_NEVER; i++)
        step_deadline(world, sk_bytes(NULL, 0));
    SK_ASSERT(sk_tracker_state(world->tracker) == SK_TRACKER_ENDED);
    SK_ASSERT(sk_tracker_deadline(world->tracker) == SK_TIME_NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const urls[] = {"http://t/announce", "https://t/a", "udp://t:1/announce?x",
                                       "udp://127.0.0.1:9", "udp://[::1]:9"};
    struct world world = {.now = 1};
    struct sk_prng prng;
    if (!size)
        return 0;
    sk_prng_init(&prng, data[0]);
    struct sk_tracker_config config = {.url = urls[(data[0] >> 1) % SK_ARRAY_LEN(urls)],
                                       .scrape = data[0] & 1,
                                       .announce = {.port = 1},
                                       .prng = &prng};
    SK_ASSERT(sk_tracker_new(&config, &world.tracker) == 0);
    run(&world, data + 1, size - 1);
    sk_tracker_free(world.tracker);
    return 0;
}
