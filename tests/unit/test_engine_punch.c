/* Holepunching (BEP 55) in the engine: introducing others, asking to be, being called; bounds. */
#include "engine_world.h"
#include "wire/utp.h"

static struct world world_memory;

/* What the remotes heard, in order. */
static struct {
    struct {
        const struct remote *who;
        struct sk_holepunch message;
    } list[100];
    size_t count;
} heard;

static void hear(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_HOLEPUNCH)
        return;
    assert_in_range(heard.count, 0, SK_ARRAY_LEN(heard.list) - 1);
    heard.list[heard.count].who = link->remote;
    heard.list[heard.count++].message = event->holepunch;
}

static void assert_heard(size_t i, const struct remote *who, enum sk_holepunch_kind kind,
                         const char *about, enum sk_holepunch_error error)
{
    struct sk_endpoint endpoint = world_endpoint(about);
    assert_in_range(heard.count, i + 1, SK_ARRAY_LEN(heard.list));
    assert_ptr_equal(heard.list[i].who, who);
    assert_int_equal(heard.list[i].message.kind, kind);
    assert_true(sk_endpoint_equal(&heard.list[i].message.endpoint, &endpoint));
    assert_int_equal(heard.list[i].message.error, error);
}

/* SYNs that went to this address, and where the last packet went. */
static struct {
    struct sk_endpoint to;
    size_t syns, others;
    uint16_t id, seq_nr; /* of the last SYN */
} sent;

static bool count_packets(struct world *world)
{
    struct sk_out out;
    bool any = false;
    while (sk_engine_next_packet(world->engine, &out)) {
        bool syn = out.bytes.p[0] >> 4 == SK_UTP_SYN && sk_endpoint_equal(&out.endpoint, &sent.to);
        sent.syns += syn;
        sent.others += !syn;
        if (syn) {
            sent.id = sk_get_u16(out.bytes.p + 2);
            sent.seq_nr = sk_get_u16(out.bytes.p + 16);
        }
        any = true;
    }
    return any;
}

static struct world *begin(const struct skep_config *config)
{
    static const struct skep_config usual = {.no_lsd = true,
                                             .transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP};
    struct world *world = &world_memory;
    memset(&heard, 0, sizeof heard);
    memset(&sent, 0, sizeof sent);
    world_init(world, config ? config : &usual);
    world_content(world, 4, 32768, true, false);
    world_add_file(world, NULL, 0);
    world->net_pump = count_packets;
    return world;
}

static struct remote *add(struct world *world, const char *address, bool speaks)
{
    struct remote *remote = world_peer(world, address);
    remote->session.holepunch = speaks;
    remote->on_event = hear;
    return remote;
}

static struct sk_peer *session(const struct world *world, const struct remote *remote)
{
    for (struct link *link = world->links; link; link = link->next)
        if (link->remote == remote && !link->gone)
            return link->session;
    fail_msg("not connected");
    return NULL;
}

static void say(struct world *world, const struct remote *remote, enum sk_holepunch_kind kind,
                const char *about, enum sk_holepunch_error error)
{
    struct sk_holepunch message = {.kind = kind, .endpoint = world_endpoint(about), .error = error};
    assert_int_equal(sk_peer_send_holepunch(session(world, remote), &message), 0);
    world_run(world, 0.5);
}

static void rendezvous(struct world *world, const struct remote *from, const char *with)
{
    say(world, from, SK_HOLEPUNCH_RENDEZVOUS, with, SK_HOLEPUNCH_NO_ERROR);
}

/* ---- relaying ---- */

static void test_introduces(void **state)
{
    struct world *world = begin(NULL);
    struct remote *a = add(world, "10.0.0.1:7000", true), *b = add(world, "10.0.0.2:7000", true);
    world_start(world);
    world_run(world, 1);
    rendezvous(world, a, "10.0.0.2:7000");
    assert_int_equal(heard.count, 2);
    assert_heard(0, b, SK_HOLEPUNCH_CONNECT, "10.0.0.1:7000", SK_HOLEPUNCH_NO_ERROR);
    assert_heard(1, a, SK_HOLEPUNCH_CONNECT, "10.0.0.2:7000", SK_HOLEPUNCH_NO_ERROR);
    world_deinit(world);
}

static void test_errors_of_a_relay(void **state)
{
    static const struct {
        const char *about;
        enum sk_holepunch_error error;
    } cases[] = {
        {"10.0.0.3:7000", SK_HOLEPUNCH_NO_SUPPORT},
        {"10.0.0.9:7000", SK_HOLEPUNCH_NOT_CONNECTED},
        {"10.0.0.1:7000", SK_HOLEPUNCH_NO_SELF},
        {"127.0.0.1:7000", SK_HOLEPUNCH_NO_SUCH_PEER}, /* nearer than it may point */
        {"224.0.0.1:7000", SK_HOLEPUNCH_NO_SUCH_PEER},
        {"10.0.0.2:0", SK_HOLEPUNCH_NO_SUCH_PEER},
    };
    struct world *world = begin(NULL);
    struct remote *a = add(world, "10.0.0.1:7000", true);
    add(world, "10.0.0.2:7000", true);
    add(world, "10.0.0.3:7000", false);
    world_start(world);
    world_run(world, 1);
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        rendezvous(world, a, cases[i].about);
        assert_int_equal(heard.count, i + 1);
        assert_heard(i, a, SK_HOLEPUNCH_ERROR, cases[i].about, cases[i].error);
    }
    world_deinit(world);
}

/* A peer of a public address is told of none that is nearer. */
static void test_no_narrower_address_is_told(void **state)
{
    struct world *world = begin(NULL);
    struct remote *a = add(world, "10.0.0.1:7000", true), *b = add(world, "8.8.4.4:7000", true);
    world_start(world);
    world_run(world, 1);
    rendezvous(world, a, "8.8.4.4:7000");
    assert_heard(0, a, SK_HOLEPUNCH_ERROR, "8.8.4.4:7000", SK_HOLEPUNCH_NO_SUCH_PEER);
    rendezvous(world, b, "10.0.0.1:7000");
    assert_heard(1, b, SK_HOLEPUNCH_ERROR, "10.0.0.1:7000", SK_HOLEPUNCH_NO_SUCH_PEER);
    assert_int_equal(heard.count, 2);
    world_deinit(world);
}

static void test_relays_are_bounded(void **state)
{
    struct world *world = begin(NULL);
    struct remote *a = add(world, "10.0.0.1:7000", true);
    add(world, "10.0.0.2:7000", true);
    world_start(world);
    world_run(world, 1);
    for (int i = 0; i < SK_ENGINE_PUNCHES_MAX + 8; i++)
        rendezvous(world, a, "10.0.0.2:7000");
    assert_int_equal(heard.count, 2 * SK_ENGINE_PUNCHES_MAX);
    world_run(world, 60);
    rendezvous(world, a, "10.0.0.2:7000");
    assert_int_equal(heard.count, 2 * SK_ENGINE_PUNCHES_MAX + 2);
    world_deinit(world);
}

/* Where peers do not tell each other of peers, or nobody could be called. */
static void test_off(void **state)
{
    static const struct skep_config configs[] = {
        {.no_lsd = true, .no_pex = true, .transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP},
        {.no_lsd = true, .transports = SKEP_TRANSPORT_TCP},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(configs); i++) {
        struct world *world = begin(&configs[i]);
        struct remote *a = add(world, "10.0.0.1:7000", true);
        add(world, "10.0.0.2:7000", true);
        world_start(world);
        world_run(world, 1);
        const struct sk_extension_handshake *ours = &sk_peer_view(session(world, a))->extension;
        assert_int_equal(ours->ids[SK_EXT_HOLEPUNCH], 0);
        /* Said all the same, by the number that it would have had. */
        uint8_t bytes[] = {0, 0, 10, 0, 0, 2, 0x1b, 0x58, 0, 0, 0, 0};
        struct sk_msg msg = {.kind = SK_MSG_EXTENDED,
                             .extended_id = SK_EXT_HOLEPUNCH,
                             .data = sk_bytes(bytes, sizeof bytes)};
        assert_int_equal(sk_peer_send_message(session(world, a), &msg), 0);
        world_run(world, 1);
        assert_int_equal(heard.count, 0);
        world_deinit(world);
    }
}

/* Who does not take the messages is not answered. */
static void test_silent_to_who_does_not_speak(void **state)
{
    struct world *world = begin(NULL);
    struct remote *a = add(world, "10.0.0.1:7000", false);
    add(world, "10.0.0.2:7000", true);
    world_start(world);
    world_run(world, 1);
    rendezvous(world, a, "10.0.0.2:7000");
    assert_int_equal(heard.count, 0);
    world_deinit(world);
}

/* ---- asking ---- */

static const char hidden[] = "10.0.0.7:7000"; /* TCP is refused there, uTP silent */

/* A relay whose PEX tells of the hidden one; runs until it may have been asked. */
static struct remote *ask(struct world *world, unsigned flags, bool speaks)
{
    static struct sk_pex_peer told;
    struct remote *relay = add(world, "10.0.0.1:7000", speaks);
    world_remote(world, hidden)->answer = REFUSES;
    told = (struct sk_pex_peer){.endpoint = world_endpoint(hidden), .flags = (uint8_t)flags};
    relay->pex = &told;
    relay->pex_count = 1;
    sent.to = told.endpoint;
    world_start(world);
    for (int i = 0; i < 200 && !heard.count; i++)
        world_run(world, 0.1);
    return relay;
}

static void test_asks_a_relay(void **state)
{
    struct world *world = begin(NULL);
    struct remote *relay = ask(world, SK_PEX_UTP | SK_PEX_HOLEPUNCH, true);
    assert_heard(0, relay, SK_HOLEPUNCH_RENDEZVOUS, hidden, SK_HOLEPUNCH_NO_ERROR);
    assert_in_range(sent.syns, 1, 3); /* it was tried over uTP before */
    size_t before = sent.syns;
    say(world, relay, SK_HOLEPUNCH_CONNECT, hidden, SK_HOLEPUNCH_NO_ERROR);
    assert_in_range(sent.syns, before + 1, before + 1);
    world_run(world, 20); /* asked once */
    assert_int_equal(heard.count, 1);
    assert_failed(world, hidden, "refused");
    world_deinit(world);
}

static void test_relay_says_no(void **state)
{
    struct world *world = begin(NULL);
    struct remote *relay = ask(world, SK_PEX_HOLEPUNCH, true);
    assert_null(world_seen(world, SKEP_EVENT_FAILED, hidden));
    size_t before = sent.syns;
    say(world, relay, SK_HOLEPUNCH_ERROR, hidden, SK_HOLEPUNCH_NOT_CONNECTED);
    assert_failed(world, hidden, "refused");
    assert_int_equal(sent.syns, before);
    world_deinit(world);
}

static void test_relay_says_nothing(void **state)
{
    struct world *world = begin(NULL);
    ask(world, SK_PEX_HOLEPUNCH, true);
    world_run(world, 2.5);
    assert_null(world_seen(world, SKEP_EVENT_FAILED, hidden));
    world_run(world, 1);
    assert_failed(world, hidden, "refused");
    world_deinit(world);
}

static void test_nobody_to_ask(void **state)
{
    for (int speaks = 0; speaks < 2; speaks++) {
        struct world *world = begin(NULL);
        ask(world, speaks ? SK_PEX_UTP : SK_PEX_HOLEPUNCH, speaks);
        assert_int_equal(heard.count, 0);
        assert_failed(world, hidden, "refused");
        world_deinit(world);
    }
}

/* A download goes on dialling, and asks again in each round. */
static void test_asks_in_every_round(void **state)
{
    struct world *world = begin(&(struct skep_config){
        .no_lsd = true, .lasting = true, .transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP});
    ask(world, SK_PEX_HOLEPUNCH, true);
    world_run(world, 120);
    assert_in_range(heard.count, 2, 8);
    world_deinit(world);
}

/* One that we were connected to: while a relay is asked, what worked then is not tried once more.
 */
static void test_waits_for_the_relay(void **state)
{
    struct world *world = begin(&(struct skep_config){
        .no_lsd = true, .lasting = true, .transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP});
    struct remote *peer = add(world, hidden, true), *relay = add(world, "10.0.0.1:7000", true);
    struct sk_pex_peer told = {.endpoint = peer->at, .flags = SK_PEX_HOLEPUNCH};
    relay->pex = &told;
    relay->pex_count = 1;
    world_start(world);
    world_run(world, 1);
    assert_int_equal(peer->opened, 1);
    peer->answer = REFUSES;
    for (struct link *link = world->links; link; link = link->next)
        link->ended |= link->remote == peer;
    for (int i = 0; i < 200 && !heard.count; i++)
        world_run(world, 0.1);
    assert_heard(0, relay, SK_HOLEPUNCH_RENDEZVOUS, hidden, SK_HOLEPUNCH_NO_ERROR);
    assert_int_equal(peer->dials, 2);
    world_run(world, 3.5);
    assert_int_equal(peer->dials, 2);
    assert_string_equal(world_seen(world, SKEP_EVENT_FAILED, hidden)->reason, "refused");
    world_deinit(world);
}

/* ---- being called ---- */

static struct remote *called(struct world *world)
{
    struct remote *relay = add(world, "10.0.0.1:7000", true);
    sent.to = world_endpoint(hidden);
    world_start(world);
    world_run(world, 1);
    return relay;
}

static void test_calls_back_over_utp(void **state)
{
    struct world *world = begin(NULL);
    struct remote *relay = called(world);
    struct remote *other = world_remote(world, hidden);
    say(world, relay, SK_HOLEPUNCH_CONNECT, hidden, SK_HOLEPUNCH_NO_ERROR);
    assert_int_equal(sent.syns, 1);
    assert_int_equal(other->dials, 0);
    assert_non_null(world_seen(world, SKEP_EVENT_HEARD, hidden));
    world_run(world, 20); /* TCP is tried when that came to nothing */
    assert_int_equal(other->dials, 1);
    world_deinit(world);
}

static void test_whom_it_does_not_call(void **state)
{
    static const char *const never[] = {"127.0.0.1:7000", "224.0.0.1:7000", "10.0.0.8:0",
                                        "10.0.0.8:80", "10.0.0.1:7000"};
    struct world *world = begin(NULL);
    struct remote *relay = called(world);
    for (size_t i = 0; i < SK_ARRAY_LEN(never); i++) {
        sent.to = world_endpoint(never[i]);
        say(world, relay, SK_HOLEPUNCH_CONNECT, never[i], SK_HOLEPUNCH_NO_ERROR);
    }
    assert_int_equal(sent.syns + sent.others, 0);
    assert_int_equal(relay->dials, 1);
    world_deinit(world);
}

static void test_calls_are_bounded(void **state)
{
    char address[40];
    struct world *world = begin(NULL);
    struct remote *relay = called(world);
    for (int i = 0; i < SK_ENGINE_PUNCHES_MAX + 8; i++) {
        snprintf(address, sizeof address, "10.0.1.%d:7000", i + 1);
        say(world, relay, SK_HOLEPUNCH_CONNECT, address, SK_HOLEPUNCH_NO_ERROR);
    }
    snprintf(address, sizeof address, "10.0.1.%d:7000", SK_ENGINE_PUNCHES_MAX);
    assert_non_null(world_seen(world, SKEP_EVENT_HEARD, address));
    snprintf(address, sizeof address, "10.0.1.%d:7000", SK_ENGINE_PUNCHES_MAX + 1);
    assert_null(world_seen(world, SKEP_EVENT_HEARD, address));
    world_deinit(world);
}

/* Many relays that name one victim have it called no more often than one could. */
static void test_victim_of_many_relays(void **state)
{
    struct world *world = begin(&(struct skep_config){
        .no_lsd = true, .lasting = true, .transports = SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP});
    struct remote *relays[8];
    for (int i = 0; i < 8; i++) {
        char address[40];
        snprintf(address, sizeof address, "10.0.2.%d:7000", i + 1);
        relays[i] = add(world, address, true);
    }
    called(world);
    world_remote(world, hidden)->answer = REFUSES;
    uint8_t refusal[SK_UTP_HEADER_SIZE];
    for (int i = 0; i < 80; i++) {
        say(world, relays[i % 8], SK_HOLEPUNCH_CONNECT, hidden, SK_HOLEPUNCH_NO_ERROR);
        sk_utp_write_header(&(struct sk_utp_packet){.type = SK_UTP_RESET,
                                                    .connection_id = sent.id,
                                                    .ack_nr = sent.seq_nr},
                            refusal);
        sk_engine_udp_input(world->engine, &sent.to, sk_bytes(refusal, sizeof refusal),
                            world->now_ns); /* at once: it could be called again */
    }
    assert_in_range(sent.syns, 2, 12); /* in 40 seconds */
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_introduces),
        cmocka_unit_test(test_errors_of_a_relay),
        cmocka_unit_test(test_no_narrower_address_is_told),
        cmocka_unit_test(test_relays_are_bounded),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_silent_to_who_does_not_speak),
        cmocka_unit_test(test_asks_a_relay),
        cmocka_unit_test(test_relay_says_no),
        cmocka_unit_test(test_relay_says_nothing),
        cmocka_unit_test(test_nobody_to_ask),
        cmocka_unit_test(test_asks_in_every_round),
        cmocka_unit_test(test_waits_for_the_relay),
        cmocka_unit_test(test_calls_back_over_utp),
        cmocka_unit_test(test_whom_it_does_not_call),
        cmocka_unit_test(test_calls_are_bounded),
        cmocka_unit_test(test_victim_of_many_relays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
