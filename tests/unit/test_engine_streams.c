/* Connections over uTP in the engine: dialling after TCP, taking, both ways of ending, pausing. */
#include "engine_world.h"
#include "wire/utp.h"

/* A peer that speaks uTP: another machine, 20 ms away. */
struct far {
    struct sk_utp *utp;
    struct sk_endpoint at, us;
    struct remote *remote;
    struct link link;         /* not among the world's: no bytes go by it */
    struct sk_utp_conn *conn; /* NULL: none, or gone */
    bool deaf;                /* takes no datagram */
    uint32_t syns, eofs, closed;
    size_t first_data; /* bytes that came in the first packet */
    struct {
        uint64_t at_ns;
        bool to_us;
        size_t n;
        uint8_t bytes[1500];
    } way[4096]; /* a ring */
    size_t first, count;
};

static struct world world_memory;
static struct far far;

#define DELAY_NS (10 * UINT64_C(1000000))
static const char far_address[] = "10.0.0.1:7000";

static void far_send(struct world *world, bool to_us, struct sk_bytes bytes)
{
    assert_true(far.count < SK_ARRAY_LEN(far.way) && bytes.n <= sizeof far.way[0].bytes);
    size_t i = (far.first + far.count++) % SK_ARRAY_LEN(far.way);
    far.way[i].at_ns = world->now_ns + DELAY_NS;
    far.way[i].to_us = to_us;
    far.way[i].n = bytes.n;
    memcpy(far.way[i].bytes, bytes.p, bytes.n);
}

static void far_event(struct world *world, const struct sk_utp_event *event)
{
    switch (event->kind) {
    case SK_UTP_EVENT_INCOMING:
    case SK_UTP_EVENT_CONNECTED:
        far.conn = event->conn;
        open_session(&far.link, event->kind == SK_UTP_EVENT_CONNECTED);
        break;
    case SK_UTP_EVENT_DATA:
        if (!far.first_data)
            far.first_data = event->n;
        sk_peer_input(far.link.session, event->data, event->n, world->now_ns);
        remote_drain(&far.link);
        break;
    case SK_UTP_EVENT_WRITABLE:
        break;
    case SK_UTP_EVENT_EOF:
        far.eofs++;
        sk_utp_close(far.utp, far.conn);
        far.conn = NULL;
        break;
    case SK_UTP_EVENT_CLOSED:
        far.closed++;
        far.conn = NULL;
        break;
    }
}

static void far_events(struct world *world)
{
    struct sk_utp_event event;
    while (sk_utp_next_event(far.utp, &event))
        far_event(world, &event);
}

static void far_says(struct world *world)
{
    struct sk_utp_out out;
    while (far.conn) {
        struct sk_bytes bytes = sk_peer_output(far.link.session);
        size_t n = bytes.n ? sk_utp_write(far.utp, far.conn, bytes) : 0;
        if (!n)
            break;
        sk_peer_sent(far.link.session, n, world->now_ns);
    }
    while (sk_utp_next_output(far.utp, world->now_ns, &out))
        far_send(world, true, out.bytes);
}

static bool far_arrives(struct world *world)
{
    if (!far.count || far.way[far.first].at_ns > world->now_ns)
        return false;
    size_t i = far.first, n = far.way[i].n;
    struct sk_bytes bytes = sk_bytes(far.way[i].bytes, n);
    far.first = (far.first + 1) % SK_ARRAY_LEN(far.way);
    far.count--;
    if (far.way[i].to_us) {
        sk_engine_udp_input(world->engine, &far.at, bytes, world->now_ns);
        return true;
    }
    far.syns += far.way[i].bytes[0] >> 4 == SK_UTP_SYN;
    if (!far.deaf)
        assert_true(sk_utp_input(far.utp, &far.us, far.way[i].bytes, n, world->now_ns));
    far_events(world);
    return true;
}

static bool far_pump(struct world *world)
{
    struct sk_out out;
    bool any = far_arrives(world);
    if (any)
        return true;
    while (sk_engine_next_packet(world->engine, &out)) {
        assert_true(sk_endpoint_equal(&out.endpoint, &far.at));
        far_send(world, false, out.bytes);
        any = true;
    }
    if (sk_utp_deadline(far.utp) <= world->now_ns) {
        sk_utp_tick(far.utp, world->now_ns);
        far_events(world);
        any = true;
    }
    if (far.link.session && far.conn)
        remote_tick(&far.link, world->now_ns);
    far_says(world);
    return any;
}

static uint64_t far_deadline(const struct world *world)
{
    uint64_t at = sk_utp_deadline(far.utp);
    if (far.count)
        at = SK_MIN(at, far.way[far.first].at_ns);
    return far.conn ? SK_MIN(at, remote_deadline(&far.link)) : at;
}

static struct world *fresh(const struct skep_config *config, bool accepts)
{
    struct world *world = &world_memory;
    world_init(world, config);
    world_content(world, 64, 32768, true, false);
    world_add_file(world, NULL, 0);
    far = (struct far){.at = world_endpoint(far_address), .us = world_endpoint("10.0.0.9:5000")};
    far.remote = world_remote(world, far_address);
    far.link.remote = far.remote;
    const struct sk_utp_config utp = {.seed = 7, .connections_max = 4, .accepts = accepts};
    assert_int_equal(sk_utp_new(&utp, world->now_ns, &far.utp), 0);
    world->net_pump = far_pump;
    world->net_deadline = far_deadline;
    return world;
}

static struct world *dialling(unsigned transports, bool accepts)
{
    struct world *world =
        fresh(&(struct skep_config){.no_lsd = true, .transports = transports}, accepts);
    assert_int_equal(skep_torrent_add_peer(world->torrent, far_address), 0);
    return world;
}

static void done(struct world *world)
{
    if (world->torrent)
        skep_torrent_stop(world->torrent, world->now_ns);
    world_run(world, 1);
    sk_utp_free(far.utp);
    world->net_pump = NULL;
    world->net_deadline = NULL;
    sk_peer_free(far.link.session);
    world_deinit(world);
}

/* ---- dialling ---- */

static void test_dials(void **state)
{
    struct world *world = dialling(SKEP_TRANSPORT_UTP, true);
    world_start(world);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, far_address), 1);
    assert_true(skep_peer_utp(world->engine->peers));
    assert_true(skep_peer_encrypted(world->engine->peers));
    assert_int_equal(world_count(world, SKEP_EVENT_HAVE_SET, far_address), 1);
    assert_int_equal(far.remote->dials, 0); /* over TCP */
    /* Its end is told as one, without a loss. */
    skep_torrent_stop(world->torrent, world->now_ns);
    world_run(world, 1);
    assert_int_equal(far.eofs, 1);
    assert_int_equal(far.closed, 0);
    done(world);
}

static void test_after_tcp(void **state)
{
    struct world *world = dialling(SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP, true);
    far.remote->answer = REFUSES;
    world_start(world);
    world_run(world, 1);
    assert_int_equal(far.remote->dials, 1); /* the other handshake would be refused too */
    assert_int_equal(far.syns, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, far_address), 1);
    assert_true(skep_peer_utp(world->engine->peers));
    done(world);
}

static void test_tcp_is_enough(void **state)
{
    struct world *world = dialling(SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP, true);
    world_start(world);
    world_run(world, 1);
    assert_int_equal(far.syns, 0);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, far_address), 1);
    assert_false(skep_peer_utp(world->engine->peers));
    done(world);
}

/* Both transports fail: what TCP said is told. */
static void test_nobody(void **state)
{
    static const struct {
        unsigned transports;
        bool accepts, deaf;
        const char *reason;
    } cases[] = {
        {SKEP_TRANSPORT_UTP, true, true, "connect-timeout"},
        {SKEP_TRANSPORT_UTP, false, false, "refused"},
        {SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP, true, true, "unreachable"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world *world = dialling(cases[i].transports, cases[i].accepts);
        far.remote->answer = UNREACHABLE;
        far.deaf = cases[i].deaf;
        world_start(world);
        world_run(world, 30);
        assert_failed(world, far_address, cases[i].reason);
        assert_int_equal(far.syns, cases[i].deaf ? 3 : 1);
        done(world);
    }
}

/* ---- both at once ---- */

static struct world *racing(bool accepts, bool deaf)
{
    struct world *world = dialling(SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP, accepts);
    far.remote->answer = NO_ANSWER;
    far.deaf = deaf;
    world_start(world);
    world_run(world, 0.29);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, far_address), 1);
    assert_int_equal(far.syns, 0);
    world_run(world, 0.015); /* the SYN is sent, and has not arrived */
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, far_address), 2);
    assert_int_equal(world->engine->races, 1);
    assert_int_equal(world->engine->peers_count, 2);
    return world;
}

/* It ended with one connection, over this transport, and nothing was told of the other. */
static void assert_won(const struct world *world, bool utp)
{
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, far_address), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_CLOSED, far_address), 0);
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, far_address), 0);
    assert_int_equal(world->engine->peers_count, 1);
    assert_int_equal(world->engine->races, 0);
    assert_int_equal(skep_peer_utp(world->engine->peers), utp);
}

static void test_utp_wins(void **state)
{
    struct world *world = racing(true, false);
    world_run(world, 0.1);
    assert_won(world, true);
    world_run(world, 30);
    assert_won(world, true);
    assert_int_equal(far.remote->dials, 1);
    done(world);
}

static void test_tcp_wins(void **state)
{
    struct world *world = racing(true, false);
    far.remote->answer = CONNECTS;
    world_run(world, 30);
    assert_won(world, false);
    assert_int_equal(far.syns, 1);
    assert_null(far.conn);
    done(world);
}

/* TCP wins and then hangs up: the other, which was sent away, is asked after all. */
static void test_winner_hangs_up(void **state)
{
    struct world *world = racing(true, false);
    far.remote->answer = CONNECTS;
    far.remote->hangs_up = true;
    world_run(world, 30);
    assert_won(world, true);
    assert_int_equal(far.remote->mse, 1);
    assert_int_equal(far.remote->plain, 1);
    assert_true(skep_peer_encrypted(world->engine->peers)); /* the handshake that was cut short */
    done(world);
}

static void test_utp_drops_out(void **state)
{
    struct world *world = racing(false, false);
    world_run(world, 0.1);
    assert_int_equal(world->engine->races, 0);
    assert_int_equal(world->engine->peers_count, 1);
    far.remote->answer = CONNECTS;
    world_run(world, 30);
    assert_won(world, false);
    done(world);
}

static void test_tcp_drops_out(void **state)
{
    struct world *world = racing(true, true);
    far.remote->answer = REFUSES;
    world_run(world, 1);
    assert_int_equal(world->engine->peers_count, 1);
    far.deaf = false; /* the second SYN */
    world_run(world, 5);
    assert_won(world, true);
    done(world);
}

/* A silent peer costs no more than over TCP alone, and fails once, by what TCP said. */
static void test_race_without_winner(void **state)
{
    static const struct {
        enum remote_answer tcp;
        bool deaf;
        double seconds;
        const char *reason;
    } cases[] = {
        {NO_ANSWER, true, 10, "connect-timeout"},
        {NO_ANSWER, false, 10, "connect-timeout"},
        {REFUSES, true, 3.3, "refused"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world *world = racing(false, cases[i].deaf);
        far.remote->answer = cases[i].tcp;
        world_run(world, cases[i].seconds - 0.4);
        assert_int_equal(world_count(world, SKEP_EVENT_FAILED, far_address), 0);
        world_run(world, 0.2);
        assert_failed(world, far_address, cases[i].reason);
        assert_int_equal(world_count(world, SKEP_EVENT_FAILED, far_address), 1);
        assert_int_equal(world->engine->peers_count, 0);
        world_run(world, 60);
        assert_int_equal(world_count(world, SKEP_EVENT_DIALED, far_address), 2);
        done(world);
    }
}

/* The two are one dial where connections are counted. */
static void test_race_is_one_dial(void **state)
{
    const struct skep_config config = {.no_lsd = true,
                                       .connections_max = 4,
                                       .transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP};
    struct world *world = fresh(&config, true);
    assert_int_equal(skep_torrent_add_peer(world->torrent, far_address), 0);
    far.remote->answer = NO_ANSWER;
    far.deaf = true;
    world_start(world);
    world_run(world, 0.5);
    assert_int_equal(world->engine->peers_count, 2);
    struct remote *other = world_peer(world, "10.0.0.2:7000");
    other->answer = NO_ANSWER;
    world_run(world, 0.2);
    assert_int_equal(other->dials, 1);
    assert_int_equal(world->engine->peers_count, 3);
    skep_torrent_stop(world->torrent, world->now_ns); /* in the middle of it */
    world_run(world, 0);
    assert_int_equal(world->engine->peers_count, 0);
    assert_int_equal(world->engine->races, 0);
    done(world);
}

/* ---- taking ---- */

static struct world *taken(void)
{
    const struct skep_config config = {.no_lsd = true, .transports = SKEP_TRANSPORT_UTP};
    struct world *world = fresh(&config, false);
    struct sk_utp_conn *conn;
    world_start(world);
    assert_int_equal(sk_utp_connect(far.utp, &far.us, world->now_ns, &conn), 0);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, far_address), 1);
    assert_true(skep_peer_utp(world->engine->peers));
    assert_true(skep_peer_incoming(world->engine->peers));
    return world;
}

static void test_takes(void **state)
{
    struct world *world = taken();
    sk_utp_close(far.utp, far.conn);
    far.conn = NULL;
    world_run(world, 1);
    assert_string_equal(world_seen(world, SKEP_EVENT_CLOSED, far_address)->reason, "closed");
    assert_int_equal(world->engine->peers_count, 0);
    done(world);
}

/* Nothing comes with our handshake. */
static void test_handshake_apart(void **state)
{
    const struct skep_config config = {.no_lsd = true, .transports = SKEP_TRANSPORT_UTP};
    struct world *world = fresh(&config, false);
    struct sk_utp_conn *conn;
    far.remote->session.mse = 0;
    world_start(world);
    assert_int_equal(sk_utp_connect(far.utp, &far.us, world->now_ns, &conn), 0);
    world_run(world, 1);
    assert_int_equal(far.first_data, SK_HANDSHAKE_SIZE);
    assert_int_equal(world_count(world, SKEP_EVENT_HAVE_SET, far_address), 1);
    done(world);
}

static void test_reset(void **state)
{
    struct world *world = taken();
    sk_utp_reset(far.utp, far.conn);
    far.conn = NULL;
    world_run(world, 1);
    assert_string_equal(world_seen(world, SKEP_EVENT_CLOSED, far_address)->reason, "reset");
    assert_int_equal(world->engine->peers_count, 0);
    done(world);
}

static void test_takes_nobody(void **state)
{
    const struct skep_config config = {
        .no_lsd = true, .no_listen = true, .transports = SKEP_TRANSPORT_UTP};
    struct world *world = fresh(&config, false);
    struct sk_utp_conn *conn;
    world_start(world);
    assert_int_equal(sk_utp_connect(far.utp, &far.us, world->now_ns, &conn), 0);
    world_run(world, 1);
    assert_int_equal(far.closed, 1);
    assert_int_equal(world->engine->peers_count, 0);
    done(world);
}

/* ---- bytes ---- */

static void request_all(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_OPEN)
        assert_int_equal(skep_peer_interest(event->peer, true), 0);
    if (event->kind == SKEP_EVENT_MESSAGE && event->message.kind == SKEP_MESSAGE_UNCHOKE)
        for (uint32_t i = 0; i < 2 * 63; i++)
            assert_int_equal(skep_peer_request(event->peer, i / 2, i % 2 * 16384, 16384), 0);
}

/* 2 MB; with a limit no more than that, also of what came while it was paused. */
static void test_blocks(void **state)
{
    static const uint64_t limits[] = {0, 100000};
    for (size_t i = 0; i < SK_ARRAY_LEN(limits); i++) {
        const struct skep_config config = {
            .no_lsd = true, .transports = SKEP_TRANSPORT_UTP, .rate_limit_bytes_s = limits[i]};
        struct world *world = fresh(&config, true);
        assert_int_equal(skep_torrent_add_peer(world->torrent, far_address), 0);
        world->hook = request_all;
        world_start(world);
        world_run(world, 5);
        uint64_t taken = world->torrent->taken;
        if (limits[i])
            assert_in_range(taken, 400000, 650000);
        else
            assert_int_equal(taken, 63 * 32768);
        world_run(world, 25);
        assert_int_equal(world->torrent->taken, 63 * 32768);
        done(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dials),
        cmocka_unit_test(test_after_tcp),
        cmocka_unit_test(test_tcp_is_enough),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_utp_wins),
        cmocka_unit_test(test_tcp_wins),
        cmocka_unit_test(test_winner_hangs_up),
        cmocka_unit_test(test_utp_drops_out),
        cmocka_unit_test(test_tcp_drops_out),
        cmocka_unit_test(test_race_without_winner),
        cmocka_unit_test(test_race_is_one_dial),
        cmocka_unit_test(test_takes),
        cmocka_unit_test(test_handshake_apart),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_takes_nobody),
        cmocka_unit_test(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
