/*
 * A tracker against hostile clients: steps of a byte that chooses, a byte of length, and bytes.
 * Nothing is longer than its question before the address is proved, and counts stay in bounds.
 */
#include "proto/tracker/responder.h"

#include "base/assert.h"
#include "wire/tracker_http.h"
#include "wire/tracker_udp.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS_MAX = 20, SWARMS_MAX = 3 };

struct world {
    struct sk_responder *responder;
    struct sk_buf reply;
    struct sk_endpoint from;
    uint64_t now, connection;
};

static void step_udp(struct world *world, struct sk_bytes bytes)
{
    struct sk_heard heard;
    sk_responder_udp(world->responder, bytes, &world->from, world->now, &world->reply, &heard);
    SK_ASSERT(world->reply.n <= bytes.n && !heard.announced);
}

/* With a connection id that holds. */
static void step_udp_connected(struct world *world, struct sk_bytes bytes)
{
    struct sk_heard heard;
    struct sk_announce_answer answer;
    uint8_t packet[272];
    struct sk_buf connect;
    sk_buf_init(&connect, 100);
    sk_tracker_udp_write_connect(&connect, 1);
    sk_responder_udp(world->responder, sk_buf_bytes(&connect), &world->from, world->now,
                     &world->reply, &heard);
    sk_buf_deinit(&connect);
    SK_ASSERT(sk_tracker_udp_read_connect(sk_buf_bytes(&world->reply), &world->connection) == 0);
    sk_put_u64(packet, world->connection);
    if (bytes.n)
        memcpy(packet + 8, bytes.p, bytes.n);
    world->reply.n = 0;
    sk_responder_udp(world->responder, sk_bytes(packet, bytes.n + 8), &world->from, world->now,
                     &world->reply, &heard);
    SK_ASSERT(world->reply.n <= SK_RESPONDER_UDP_MAX && !world->reply.failed);
    if (!heard.announced)
        return;
    SK_ASSERT(sk_tracker_udp_read_announce(sk_buf_bytes(&world->reply),
                                           (enum sk_family)world->from.family, &answer) == 0);
    SK_ASSERT(answer.seeds + answer.leechers <= PEERS_MAX);
    SK_ASSERT(answer.peers_count <= PEERS_MAX);
    sk_announce_answer_deinit(&answer);
}

static void step_http(struct world *world, struct sk_bytes bytes)
{
    struct sk_heard heard;
    unsigned status =
        sk_responder_http(world->responder, bytes, &world->from, world->now, &world->reply, &heard);
    SK_ASSERT(status == 200 || (status == 404 && !world->reply.n));
}

/* A sound announce: swarm, port, and event are chosen. */
static void step_announce(struct world *world, struct sk_bytes bytes)
{
    static const char *const events[] = {"", "started", "stopped", "completed"};
    char target[256];
    if (bytes.n < 3)
        return;
    int n = snprintf(target, sizeof target,
                     "/announce?info_hash=aaaaaaaaaaaaaaaaaaa%c&peer_id=bbbbbbbbbbbbbbbbbbbb&"
                     "port=%u&left=%u&event=%s",
                     'a' + bytes.p[0] % 5, bytes.p[1], bytes.p[2] >> 7, events[bytes.p[2] & 3]);
    step_http(world, sk_bytes(target, (size_t)n));
}

static void step_time(struct world *world, struct sk_bytes bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        world->now += (uint64_t)bytes.p[i] << 30;
}

static void step_move(struct world *world, struct sk_bytes bytes)
{
    uint8_t addr[16] = {127, 0, 0, 1};
    if (!bytes.n)
        return;
    addr[15] = addr[3] = bytes.p[0] >> 1;
    world->from = bytes.p[0] & 1 ? sk_endpoint_v6(addr, 5) : sk_endpoint_v4(addr, 5);
}

static void (*const steps[])(struct world *, struct sk_bytes) = {
    step_udp, step_udp_connected, step_http, step_announce, step_time, step_move,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {0};
    struct sk_responder_config config = {
        .registry = {.interval_s = 60, .swarms_max = SWARMS_MAX, .peers_max = PEERS_MAX},
        .trust_ip = size && data[0] & 1};
    SK_ASSERT(sk_responder_new(&config, &world.responder) == 0);
    sk_buf_init(&world.reply, SK_RESPONDER_HTTP_MAX);
    step_move(&world, sk_bytes("\2", 1));
    for (; size >= 2;) {
        size_t n = SK_MIN((size_t)data[1], size - 2);
        world.reply.n = 0;
        steps[data[0] / 2 % SK_ARRAY_LEN(steps)](&world, sk_bytes(data + 2, n));
        data += 2 + n;
        size -= 2 + n;
    }
    sk_buf_deinit(&world.reply);
    sk_responder_free(world.responder);
    return 0;
}
