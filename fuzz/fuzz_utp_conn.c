/*
 * Two whole uTP ports and whoever is between them. The input is a list of actions: owners connect,
 * write, pause, close; time passes; datagrams on their way are delivered, lost, doubled, overtaken,
 * spoilt; strangers and one in the middle send packets made from pieces of what was seen. What must
 * hold whatever comes:
 *
 *   - each port finds no fault in itself; no deadline stays in the past; outputs come to an end
 *   - what a port sends can be read, and no more than one datagram, no larger than what came, goes
 *     to an address that has not proved itself
 *   - without forged packets each stream is what was written, in order and from its beginning
 *   - a connection begins once and ends once, and nothing of it is told after its end
 */
#include "proto/utp/utp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "wire/utp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACTIONS_MAX 400
#define CHANNEL_MAX 512
#define CONNS_MAX 8
#define STRANGERS 4
#define MS UINT64_C(1000000)
#define DATAGRAM_MAX 2000

#define MUST(holds, rule) ((holds) ? (void)0 : broken(rule))

static void broken(const char *rule)
{
    fprintf(stderr, "broken: %s\n", rule);
    abort();
}

struct end { /* of a connection: what its owner sees */
    struct sk_utp_conn *conn;
    uint64_t written, read;
    bool opened, ended;
};

struct side {
    struct sk_utp *utp;
    struct sk_endpoint address;
    struct end ends[CONNS_MAX];
};

struct datagram {
    int from;
    size_t n;
    uint8_t bytes[DATAGRAM_MAX];
};

struct world {
    struct side sides[2];
    struct datagram channel[CHANNEL_MAX];
    size_t count;
    uint64_t now_ns;
    bool forged;               /* somebody meddled: streams may be anything */
    struct sk_utp_packet last; /* the header that was sent last */
    struct sk_bytes input;
    uint64_t to_strangers, from_strangers; /* bytes */
};

static uint8_t take(struct world *world)
{
    if (!world->input.n)
        return 0;
    world->input.n--;
    return *world->input.p++;
}

static uint8_t stream_byte(int side, uint64_t at)
{
    return (uint8_t)(sk_hash_mix(at / 8 + (uint64_t)side * 77777) >> at % 8 * 8);
}

static struct end *free_end(struct side *side)
{
    for (int i = 0; i < CONNS_MAX; i++)
        if (!side->ends[i].conn)
            return &side->ends[i];
    return NULL;
}

/* ---- what a port does ---- */

static void told(struct world *world, int s, const struct sk_utp_event *event)
{
    struct side *side = &world->sides[s];
    struct end *end = event->owner;
    if (event->kind == SK_UTP_EVENT_INCOMING) {
        MUST(!end, "an incoming connection has no owner yet");
        /* A stranger that has seen our answer may prove itself, and say anything. */
        world->forged |=
            !sk_endpoint_equal(sk_utp_endpoint(event->conn), &world->sides[!s].address);
        end = free_end(side);
        if (!end) {
            sk_utp_reset(side->utp, event->conn);
            return;
        }
        *end = (struct end){.conn = event->conn, .opened = true};
        sk_utp_set_owner(event->conn, end);
        return;
    }
    MUST(end && end->conn == event->conn, "what is told is of a connection that is there");
    switch (event->kind) {
    case SK_UTP_EVENT_CONNECTED:
        MUST(!end->opened, "a connection is opened once");
        end->opened = true;
        break;
    case SK_UTP_EVENT_DATA:
        MUST(end->opened && !end->ended && event->n > 0, "data comes between beginning and end");
        for (size_t i = 0; i < event->n; i++) {
            MUST(world->forged || event->data[i] == stream_byte(!s, end->read + i),
                 "the stream is what was written");
            event->data[i] = 0xee;
        }
        end->read += event->n;
        break;
    case SK_UTP_EVENT_EOF:
        MUST(!end->ended, "a stream ends once");
        end->ended = true;
        break;
    case SK_UTP_EVENT_CLOSED:
        end->conn = NULL;
        break;
    default:
        MUST(end->opened, "only what is open is writable");
    }
}

static void sent(struct world *world, int s, const struct sk_utp_out *out)
{
    MUST(sk_utp_read(out->bytes, &world->last) == 0, "what is sent can be read");
    world->last.sack = (struct sk_bytes){0};
    MUST(out->bytes.n <= 1472, "what is sent fits a frame");
    if (!sk_endpoint_equal(&out->to, &world->sides[!s].address)) {
        world->to_strangers += out->bytes.n;
        MUST(world->forged || world->to_strangers <= world->from_strangers,
             "strangers get no more than they send");
        return;
    }
    if (world->count == CHANNEL_MAX)
        return;
    struct datagram *datagram = &world->channel[world->count++];
    datagram->from = s;
    datagram->n = out->bytes.n;
    memcpy(datagram->bytes, out->bytes.p, out->bytes.n);
}

static void drain(struct world *world, int s, bool outputs)
{
    struct sk_utp *utp = world->sides[s].utp;
    struct sk_utp_event event;
    struct sk_utp_out out;
    bool any = true;
    for (int i = 0; any; i++) {
        MUST(i < 100, "a port comes to rest");
        any = false;
        for (int k = 0; sk_utp_next_event(utp, &event); k++, any = true) {
            MUST(k < 20000, "events come to an end");
            told(world, s, &event);
        }
        for (int k = 0; outputs && sk_utp_next_output(utp, world->now_ns, &out); k++, any = true) {
            MUST(k < 20000, "outputs come to an end");
            sent(world, s, &out);
        }
    }
    const char *fault = sk_utp_fault(utp);
    if (fault)
        broken(fault);
}

static void pass_time(struct world *world, uint64_t by_ns)
{
    world->now_ns += by_ns;
    for (int s = 0; s < 2; s++) {
        for (int i = 0; sk_utp_deadline(world->sides[s].utp) <= world->now_ns; i++) {
            MUST(i < 8, "a deadline that was met is not in the past");
            sk_utp_tick(world->sides[s].utp, world->now_ns);
            drain(world, s, true);
        }
    }
}

static void feed(struct world *world, int to, const struct sk_endpoint *from, const uint8_t *bytes,
                 size_t n)
{
    /* A copy of exactly its size, gone once it is dealt with. */
    uint8_t *copy = malloc(n + !n);
    SK_ASSERT(copy);
    if (n)
        memcpy(copy, bytes, n);
    sk_utp_input(world->sides[to].utp, from, copy, n, world->now_ns);
    drain(world, to, false);
    free(copy);
}

/* ---- actions ---- */

/* One on its way, by its place; what is delivered is gone, unless it is doubled. */
static void deliver(struct world *world, uint8_t how, size_t place, bool spoil)
{
    if (!world->count)
        return;
    place %= world->count;
    struct datagram datagram = world->channel[place];
    if (how != 2) {
        memmove(&world->channel[place], &world->channel[place + 1],
                (world->count - place - 1) * sizeof datagram);
        world->count--;
    }
    if (how == 1)
        return;
    if (spoil) {
        world->forged = true;
        datagram.bytes[take(world) % datagram.n] ^= take(world);
        datagram.n -= SK_MIN(datagram.n, (size_t)take(world) % 4);
    }
    feed(world, !datagram.from, &world->sides[datagram.from].address, datagram.bytes, datagram.n);
    drain(world, !datagram.from, true);
}

static void deliver_all(struct world *world)
{
    for (int i = 0; world->count && i < 3000; i++)
        deliver(world, 0, 0, false);
    world->count = 0;
}

static void connect_end(struct world *world, int s)
{
    struct side *side = &world->sides[s];
    struct end *end = free_end(side);
    struct sk_utp_conn *conn;
    if (!end || sk_utp_connect(side->utp, &world->sides[!s].address, world->now_ns, &conn))
        return;
    *end = (struct end){.conn = conn};
    sk_utp_set_owner(conn, end);
}

static void write_end(struct world *world, int s, struct end *end, size_t n)
{
    static uint8_t bytes[255 * 64];
    for (size_t i = 0; i < n; i++)
        bytes[i] = stream_byte(s, end->written + i);
    size_t taken = sk_utp_write(world->sides[s].utp, end->conn, sk_bytes(bytes, n));
    MUST(taken <= n, "no more is taken than there is");
    end->written += taken;
}

static void act_on_end(struct world *world, uint8_t action, int s)
{
    struct side *side = &world->sides[s];
    struct end *end = &side->ends[take(world) % CONNS_MAX];
    if (!end->conn)
        return;
    switch (action) {
    case 0:
        write_end(world, s, end, take(world) * (size_t)64);
        break;
    case 1:
        write_end(world, s, end, take(world));
        break;
    case 2:
        sk_utp_pause(side->utp, end->conn, take(world) & 1);
        break;
    case 3:
        sk_utp_close(side->utp, end->conn);
        end->conn = NULL;
        break;
    default:
        sk_utp_reset(side->utp, end->conn);
        end->conn = NULL;
    }
}

/* A packet near what was seen last, from the other side's address or a stranger's. */
static void forge(struct world *world, bool strange)
{
    uint8_t mask[SK_UTP_SACK_MAX], bytes[DATAGRAM_MAX] = {0};
    struct sk_utp_packet packet = world->last;
    int to = take(world) & 1;
    struct sk_endpoint from = world->sides[!to].address;
    packet.type = take(world) % 5;
    packet.connection_id = (uint16_t)(packet.connection_id + take(world) % 4 - 1);
    packet.seq_nr = (uint16_t)(packet.seq_nr + (int8_t)take(world));
    packet.ack_nr = (uint16_t)(packet.ack_nr + (int8_t)take(world));
    packet.window = (uint32_t)take(world) << 6;
    packet.timestamp_us += take(world) * 1000u;
    packet.timestamp_diff_us = take(world) * 1000u;
    size_t words = take(world) % 8;
    memset(mask, take(world), sizeof mask);
    packet.sack = sk_bytes(mask, words * 4);
    size_t n = sk_utp_write_header(&packet, bytes) + take(world);
    if (strange) {
        from.addr[3] = (uint8_t)(200 + take(world) % STRANGERS);
        world->from_strangers += n;
    } else {
        world->forged = true;
    }
    feed(world, to, &from, bytes, n);
    drain(world, to, true);
}

static void act(struct world *world)
{
    uint8_t action = take(world);
    int s = action >> 7;
    switch (action % 12) {
    case 0:
        connect_end(world, s);
        break;
    case 1:
    case 2:
    case 3:
        act_on_end(world, take(world) % 5, s);
        break;
    case 4:
        pass_time(world, take(world) * MS);
        break;
    case 5:
        pass_time(world, take(world) * MS * 250);
        break;
    case 6:
        deliver_all(world);
        break;
    case 7:
        deliver(world, take(world) % 3, take(world), false);
        break;
    case 8:
        deliver(world, 0, take(world), true);
        break;
    case 9:
        forge(world, false);
        break;
    case 10:
        forge(world, true);
        break;
    default: {
        uint8_t bytes[64];
        size_t n = take(world) % sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = take(world);
        world->forged = true;
        feed(world, s, &world->sides[!s].address, bytes, n);
    }
    }
    for (int i = 0; i < 2; i++)
        drain(world, i, true);
}

/* Nothing gets lost any more: without forgery all that was written arrives, or the connection has
 * ended. */
static void finish(struct world *world)
{
    for (int round = 0; round < 60 && !world->forged; round++) {
        deliver_all(world);
        pass_time(world, 1000 * MS);
    }
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < CONNS_MAX; i++)
            if (world->sides[s].ends[i].conn)
                sk_utp_close(world->sides[s].utp, world->sides[s].ends[i].conn);
    /* What is closed is forgotten, whether the other side answers or not. */
    for (int round = 0; round < 100; round++)
        pass_time(world, 1000 * MS);
    for (int s = 0; s < 2; s++) {
        struct sk_utp_stats stats;
        sk_utp_stats(world->sides[s].utp, &stats);
        MUST(stats.connections == 0, "nothing is left of connections that are over");
        sk_utp_free(world->sides[s].utp);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    world.count = 0;
    world.now_ns = 1000000 * MS;
    world.forged = false;
    world.last = (struct sk_utp_packet){0};
    world.input = sk_bytes(data, size);
    world.to_strangers = world.from_strangers = 0;
    for (int s = 0; s < 2; s++) {
        const uint8_t addr[4] = {80, 1, 1, (uint8_t)s};
        const struct sk_utp_config config = {
            .seed = (uint64_t)s + 1, .connections_max = 6, .accepts = true, .window = 40000};
        memset(world.sides[s].ends, 0, sizeof world.sides[s].ends);
        world.sides[s].address = sk_endpoint_v4(addr, 6881);
        SK_ASSERT(sk_utp_new(&config, world.now_ns, &world.sides[s].utp) == 0);
    }
    for (int i = 0; world.input.n && i < ACTIONS_MAX; i++)
        act(&world);
    finish(&world);
    return 0;
}
