/*
 * Two uTP ports in virtual time with a channel between them that loses, doubles, delays and
 * reorders datagrams, by chance from a seed or as a test says. Each side writes a stream of known
 * bytes and looks at what comes; every step looks at the invariants.
 */
#ifndef SK_TEST_UTP_WORLD_H
#define SK_TEST_UTP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "proto/utp/utp_internal.h"

#define MS SK_UTP_MS
#define SECOND SK_UTP_SECOND
#define CHANNEL_MAX 20000

struct world;

struct side {
    struct sk_utp *utp;
    struct sk_endpoint address;
    struct sk_utp_conn *conn; /* the newest; NULL once it is gone */
    uint64_t to_write, written, read;
    uint32_t opened, eof, closed, writable; /* events */
    enum sk_utp_reason reason;
    uint64_t sent; /* datagrams */
    bool close_when_written, close_at_eof, keeps_paused;
    uint32_t write_size; /* at a time; 0: all */
};

struct datagram {
    uint64_t at_ns, order;
    uint8_t *p;
    size_t n;
    int to;
};

struct world {
    struct side sides[2]; /* 0 connects to 1 */
    struct sk_prng prng;
    uint64_t now_ns, order;
    uint64_t delay_ns, jitter_ns; /* one way */
    double loss, doubled;
    size_t mtu; /* longer datagrams that may not be fragmented are lost; 0: all pass */
    /* Whether this datagram gets through, asked before chance is. */
    bool (*passes)(struct world *world, int from, const struct sk_utp_out *out);
    uint64_t largest; /* datagram that got through */
    struct datagram *channel;
    size_t count;
    bool unchecked; /* the invariants are not looked at */
};

static inline uint8_t stream_byte(int side, uint64_t at)
{
    return (uint8_t)(sk_hash_mix(at / 8 + (uint64_t)side * 77777) >> at % 8 * 8);
}

static inline void world_init(struct world *world, uint64_t seed,
                              const struct sk_utp_config *config)
{
    *world = (struct world){.now_ns = 1000 * SECOND, .delay_ns = 25 * MS};
    sk_prng_init(&world->prng, seed);
    world->channel = calloc(CHANNEL_MAX, sizeof *world->channel);
    assert_non_null(world->channel);
    for (int i = 0; i < 2; i++) {
        struct sk_utp_config copy = config ? *config : (struct sk_utp_config){0};
        const uint8_t addr[4] = {80, 1, 1, (uint8_t)(i + 1)};
        copy.seed = seed * 2 + (uint64_t)i;
        copy.connections_max = copy.connections_max ? copy.connections_max : 10;
        copy.accepts = true;
        world->sides[i].address = sk_endpoint_v4(addr, (uint16_t)(6000 + i));
        assert_int_equal(sk_utp_new(&copy, world->now_ns, &world->sides[i].utp), 0);
    }
}

static inline void world_deinit(struct world *world)
{
    for (size_t i = 0; i < world->count; i++)
        free(world->channel[i].p);
    free(world->channel);
    for (int i = 0; i < 2; i++)
        sk_utp_free(world->sides[i].utp);
}

static inline void world_deliver_at(struct world *world, int to, struct sk_bytes bytes,
                                    uint64_t at_ns)
{
    assert_true(world->count < CHANNEL_MAX);
    uint8_t *p = malloc(bytes.n + 1);
    assert_non_null(p);
    memcpy(p, bytes.p, bytes.n);
    size_t i = world->count++;
    struct datagram new = {.at_ns = at_ns, .order = world->order++, .p = p, .n = bytes.n, .to = to};
    /* The earliest is the last. */
    for (; i > 0 && world->channel[i - 1].at_ns <= at_ns; i--)
        world->channel[i] = world->channel[i - 1];
    world->channel[i] = new;
}

static inline void world_send(struct world *world, int from, const struct sk_utp_out *out)
{
    world->sides[from].sent++;
    if (world->passes && !world->passes(world, from, out))
        return;
    if (world->mtu && out->dont_fragment && out->bytes.n > world->mtu)
        return;
    if (world->loss > 0 && sk_prng_unit(&world->prng) < world->loss)
        return;
    world->largest = SK_MAX(world->largest, out->bytes.n);
    int copies = world->doubled > 0 && sk_prng_unit(&world->prng) < world->doubled ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        uint64_t jitter = world->jitter_ns ? sk_prng_below(&world->prng, world->jitter_ns) : 0;
        world_deliver_at(world, !from, out->bytes, world->now_ns + world->delay_ns + jitter);
    }
}

static inline void world_write(struct world *world, int i)
{
    struct side *side = &world->sides[i];
    static uint8_t bytes[16384];
    while (side->conn && side->written < side->to_write) {
        size_t n = SK_MIN(side->to_write - side->written, sizeof bytes);
        n = side->write_size ? SK_MIN(n, side->write_size) : n;
        for (size_t k = 0; k < n; k++)
            bytes[k] = stream_byte(i, side->written + k);
        size_t taken = sk_utp_write(side->utp, side->conn, sk_bytes(bytes, n));
        side->written += taken;
        if (taken < n || side->write_size)
            return;
    }
    if (side->conn && side->close_when_written) {
        sk_utp_close(side->utp, side->conn);
        side->conn = NULL;
    }
}

static inline void world_event(struct world *world, int i, const struct sk_utp_event *event)
{
    struct side *side = &world->sides[i];
    switch (event->kind) {
    case SK_UTP_EVENT_INCOMING:
    case SK_UTP_EVENT_CONNECTED:
        side->opened++;
        side->conn = event->conn;
        sk_utp_pause(side->utp, side->conn, side->keeps_paused);
        world_write(world, i);
        break;
    case SK_UTP_EVENT_DATA:
        assert_ptr_equal(event->conn, side->conn);
        assert_true(event->n > 0);
        for (size_t k = 0; k < event->n; k++) {
            assert_int_equal(event->data[k], stream_byte(!i, side->read + k));
            event->data[k] = 0xee; /* it is ours to write to */
        }
        side->read += event->n;
        break;
    case SK_UTP_EVENT_WRITABLE:
        side->writable++;
        world_write(world, i);
        break;
    case SK_UTP_EVENT_EOF:
        side->eof++;
        if (side->close_at_eof) {
            sk_utp_close(side->utp, side->conn);
            side->conn = NULL;
        }
        break;
    case SK_UTP_EVENT_CLOSED:
        side->closed++;
        side->reason = event->reason;
        side->conn = NULL;
        break;
    }
}

static inline void world_check(const struct world *world, int i)
{
    const char *fault = world->unchecked ? NULL : sk_utp_fault(world->sides[i].utp);
    if (fault)
        fail_msg("%s", fault);
}

static inline void world_drain(struct world *world, int i, bool outputs)
{
    struct side *side = &world->sides[i];
    struct sk_utp_event event;
    struct sk_utp_out out;
    bool any = true;
    while (any) {
        any = false;
        while (sk_utp_next_event(side->utp, &event)) {
            world_event(world, i, &event);
            any = true;
        }
        while (outputs && sk_utp_next_output(side->utp, world->now_ns, &out)) {
            world_send(world, i, &out);
            any = true;
        }
    }
    world_check(world, i);
}

static inline uint64_t world_next(const struct world *world)
{
    uint64_t next = SK_TIME_NEVER;
    for (int i = 0; i < 2; i++)
        next = SK_MIN(next, sk_utp_deadline(world->sides[i].utp));
    if (world->count)
        next = SK_MIN(next, world->channel[world->count - 1].at_ns);
    return next;
}

/* What happens now: datagrams are fed as a batch, with events between them and outputs after. */
static inline void world_step(struct world *world)
{
    while (world->count && world->channel[world->count - 1].at_ns <= world->now_ns) {
        struct datagram datagram = world->channel[--world->count];
        struct side *side = &world->sides[datagram.to];
        sk_utp_input(side->utp, &world->sides[!datagram.to].address, datagram.p, datagram.n,
                     world->now_ns);
        world_drain(world, datagram.to, false);
        free(datagram.p);
    }
    for (int i = 0; i < 2; i++) {
        if (sk_utp_deadline(world->sides[i].utp) <= world->now_ns)
            sk_utp_tick(world->sides[i].utp, world->now_ns);
        world_drain(world, i, true);
    }
}

/* Until it is so late. */
static inline void world_run(struct world *world, uint64_t for_ns)
{
    uint64_t end_ns = world->now_ns + for_ns;
    world_step(world);
    for (uint64_t next; (next = world_next(world)) <= end_ns;) {
        world->now_ns = SK_MAX(next, world->now_ns);
        world_step(world);
    }
    world->now_ns = end_ns;
}

static inline void world_connect(struct world *world)
{
    struct side *side = &world->sides[0];
    assert_int_equal(
        sk_utp_connect(side->utp, &world->sides[1].address, world->now_ns, &side->conn), 0);
}

/* Connected, both sides told. The first side says a byte, as the protocol's users do. */
static inline void world_open(struct world *world)
{
    world_connect(world);
    world_run(world, 200 * MS);
    assert_int_equal(world->sides[0].opened, 1);
    assert_int_equal(world->sides[1].opened, 1);
}

/* Datagrams of a third side, or in another's name. */
static inline void world_inject(struct world *world, int to, const struct sk_endpoint *from,
                                const struct sk_utp_packet *packet, size_t payload)
{
    uint8_t bytes[SK_UTP_HEADER_SIZE + 2 + SK_UTP_SACK_MAX + 1500] = {0};
    size_t n = sk_utp_write_header(packet, bytes) + payload;
    assert_true(sk_utp_input(world->sides[to].utp, from, bytes, n, world->now_ns));
    world_drain(world, to, false);
}

#endif
