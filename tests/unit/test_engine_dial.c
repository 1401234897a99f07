/*
 * The engine's connections: whom it dials and how, what every failure is called, who is a
 * duplicate, and the bounds that keep it from being a tool for attack.
 */
#include "engine_world.h"

static struct world *fresh(const struct skep_config *config)
{
    static struct world world;
    world_init(&world, config);
    world_content(&world, 4, 32768, true, false);
    world_add_file(&world, NULL, 0);
    return &world;
}

static const char given[] = "10.0.0.1:7000";

/* ---- handshakes by policy ---- */

struct policy_case {
    enum skep_encryption policy;
    bool hates_mse, hates_plain;
    uint32_t mse, plain;
    bool opens, encrypted;
};

static void on_open_note(const struct skep_event *event, void *ctx)
{
    bool *encrypted = ctx;
    if (event->kind == SKEP_EVENT_OPEN)
        *encrypted = skep_peer_encrypted(event->peer);
}

static void try_policy(const struct policy_case *c)
{
    struct world *world = fresh(&(struct skep_config){.no_lsd = true, .encryption = c->policy});
    struct remote *remote = world_peer(world, given);
    remote->hates_mse = c->hates_mse;
    remote->hates_plain = c->hates_plain;
    bool encrypted = false;
    world->hook = on_open_note;
    world->context = &encrypted;
    world_start(world);
    world_run(world, 60);
    assert_int_equal(encrypted, c->encrypted);
    assert_int_equal(remote->mse, c->mse);
    assert_int_equal(remote->plain, c->plain);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, given), c->opens);
    /* who hung up is asked once more */
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, given), c->opens ? 0 : 2);
    if (!c->opens)
        assert_failed(world, given, "closed-at-once");
    world_deinit(world);
}

static void test_policies(void **state)
{
    static const struct policy_case cases[] = {
        {SKEP_ENCRYPTION_PREFER, false, false, 1, 0, true, true},
        {SKEP_ENCRYPTION_PREFER, true, false, 1, 1, true, false},
        {SKEP_ENCRYPTION_PREFER, true, true, 2, 2, false, false},
        {SKEP_ENCRYPTION_ALLOW, false, false, 0, 1, true, false},
        {SKEP_ENCRYPTION_ALLOW, false, true, 1, 1, true, true},
        {SKEP_ENCRYPTION_ALLOW, true, true, 2, 2, false, false},
        {SKEP_ENCRYPTION_REQUIRE, false, false, 1, 0, true, true},
        {SKEP_ENCRYPTION_REQUIRE, true, false, 2, 0, false, false},
        {SKEP_ENCRYPTION_OFF, false, false, 0, 1, true, false},
        {SKEP_ENCRYPTION_OFF, false, true, 0, 2, false, false},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        try_policy(&cases[i]);
}

/* What worked is remembered: the second dial begins with it. */
static void test_mode_remembered(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    remote->hates_mse = true;
    world_start(world);
    world_run(world, 1);
    assert_int_equal(remote->plain, 1);
    world->links->ended = true; /* hangs up after having been open */
    world_run(world, 10);
    assert_int_equal(remote->mse, 1);
    assert_int_equal(remote->plain, 2);
    assert_int_equal(remote->opened, 2);
    world_deinit(world);
}

/* A peer that PEX calls encrypted-only, with a policy that offers no encryption. */
static void test_encrypted_only(void **state)
{
    struct world *world =
        fresh(&(struct skep_config){.no_lsd = true, .encryption = SKEP_ENCRYPTION_OFF});
    struct remote *teller = world_peer(world, given);
    struct remote *other = world_remote(world, "10.0.0.2:7000");
    struct sk_pex_peer told = {.endpoint = other->at, .flags = SK_PEX_ENCRYPTION};
    teller->pex = &told;
    teller->pex_count = 1;
    other->hates_plain = true;
    world_start(world);
    world_run(world, 30);
    assert_failed(world, "10.0.0.2:7000", "encrypted-only");
    world_deinit(world);
}

/* ---- each failure by its name ---- */

static void fails_as(void (*prepare)(struct remote *), const char *reason)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    prepare(remote);
    world_start(world);
    world_run(world, 120);
    assert_failed(world, given, reason);
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, NULL), 1 + remote->hangs_up);
    assert_int_equal(skep_torrent_untried(world->torrent), 0);
    assert_true(remote->dials <= 4);
    world_deinit(world);
}

static void refuse(struct remote *remote)
{
    remote->answer = REFUSES;
}

static void be_unreachable(struct remote *remote)
{
    remote->answer = UNREACHABLE;
}

static void not_answer(struct remote *remote)
{
    remote->answer = NO_ANSWER;
}

static void be_mute(struct remote *remote)
{
    remote->mute = true;
}

static void hang_up(struct remote *remote)
{
    remote->hangs_up = true;
}

static void know_another_torrent(struct remote *remote)
{
    remote->session.info_hash[0] ^= 1;
    remote->hates_mse = true; /* whose keys would not fit */
}

static void be_ourselves(struct remote *remote)
{
    memcpy(remote->session.peer_id, remote->world->engine->peer_id, 20);
}

static void test_failures(void **state)
{
    fails_as(refuse, "refused");
    fails_as(be_unreachable, "unreachable");
    fails_as(not_answer, "connect-timeout");
    fails_as(be_mute, "handshake-timeout");
    fails_as(hang_up, "closed-at-once");
    fails_as(know_another_torrent, "wrong-info-hash");
}

static void send_other_hash(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_HELLO) {
        struct sk_peer_config config = link->remote->session;
        config.info_hash[3] ^= 1;
        (void)sk_peer_accept(link->session, &config);
    }
}

/* They answer our handshake with another torrent's hash. */
static void test_wrong_info_hash(void **state)
{
    struct world *world =
        fresh(&(struct skep_config){.no_lsd = true, .encryption = SKEP_ENCRYPTION_OFF});
    struct remote *remote = world_peer(world, given);
    remote->session.info_hash[3] ^= 1;
    remote->on_event = send_other_hash;
    world_start(world);
    world_run(world, 5);
    assert_failed(world, given, "wrong-info-hash");
    world_deinit(world);
}

static void violate(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_OPEN)
        remote_send(link, &(struct sk_msg){.kind = SK_MSG_ALLOWED_FAST, .index = 4});
}

/* A protocol error is called by the rule that was broken, and is not dialled again. */
static void test_protocol_error(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    remote->on_event = violate;
    world_start(world);
    world_run(world, 30);
    const struct seen_event *closed = world_seen(world, SKEP_EVENT_CLOSED, given);
    assert_non_null(closed);
    assert_string_equal(closed->reason, sk_peer_violation_text(SK_PEER_VIOLATION_INDEX));
    assert_true(closed->final);
    assert_int_equal(remote->dials, 1);
    world_deinit(world);
}

static void test_reset_is_named(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    remote->resets = true;
    world_start(world);
    world_run(world, 1);
    world->links->ended = true;
    world_run(world, 1);
    assert_string_equal(world_seen(world, SKEP_EVENT_CLOSED, given)->reason, "reset");
    world_deinit(world);
}

/* ---- dialling again ---- */

/* libtorrent hangs up a second connection from an IP while it has not seen the end of the first. */
static void test_busy_for_a_moment(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    remote->hangs_up = true;
    world_start(world);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, given), 1);
    assert_false(world_seen(world, SKEP_EVENT_FAILED, given)->final);
    assert_int_equal(skep_torrent_untried(world->torrent), 1);
    remote->hangs_up = false;
    world_run(world, 5);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, given), 1);
    world_deinit(world);
}

static struct world *lasting(void)
{
    return fresh(&(struct skep_config){.no_lsd = true, .lasting = true});
}

/* A download's peer that is there only later. */
static void test_comes_late(void **state)
{
    struct world *world = lasting();
    struct remote *remote = world_peer(world, given);
    remote->answer = REFUSES;
    world_start(world);
    world_run(world, 1800);
    uint32_t dials = remote->dials; /* once a minute, in the end */
    assert_in_range(dials, 20, 40);
    remote->answer = CONNECTS;
    world_run(world, 61);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, given), 1);
    assert_int_equal(remote->dials, dials + 1);
    world_deinit(world);
}

/* One that works is never given up. */
static void test_useful_is_kept(void **state)
{
    struct world *world = lasting();
    struct remote *remote = world_peer(world, given);
    world_start(world);
    for (uint32_t i = 1; i < 12; i++) {
        world_run(world, 70);
        assert_int_equal(remote->opened, i);
        world->links->ended = true;
    }
    world_deinit(world);
}

/* Two that have everything have nothing for each other. */
static void test_seeds_part(void **state)
{
    struct world *world = lasting();
    struct remote *remote = world_peer(world, given);
    for (uint32_t i = 0; i < world->content.pieces; i++)
        assert_int_equal(skep_torrent_has_stored(world->torrent, i), 0);
    world_start(world);
    world_run(world, 1);
    world->links->ended = true;
    world_run(world, 600);
    assert_int_equal(remote->dials, 1);
    assert_true(world_seen(world, SKEP_EVENT_CLOSED, given)->final);
    world_deinit(world);
}

/* ---- bounds ---- */

static void leave_at_once(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        link->ended = true;
}

/* threats: "at most a few attempts an address". */
static void test_redials_are_bounded(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    remote->on_event = leave_at_once;
    world_start(world);
    world_run(world, 300);
    assert_int_equal(remote->dials, 4);
    assert_int_equal(world_count(world, SKEP_EVENT_CLOSED, given), 4);
    assert_true(world_seen(world, SKEP_EVENT_CLOSED, given)->final);
    assert_int_equal(skep_torrent_untried(world->torrent), 0);
    world_deinit(world);
}

static void add_many(struct world *world, unsigned count, unsigned first_octet, const char *ports)
{
    for (unsigned i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%u.%u.%u.%u:%s", first_octet, i / 65536 % 256, i / 256 % 256,
                 i % 256, ports);
        assert_int_equal(skep_torrent_add_peer(world->torrent, text), 0);
    }
}

static uint32_t half_open_max;

static void watch_half_open(const struct skep_event *event, void *ctx)
{
    const struct world *world = *(struct world *const *)ctx;
    half_open_max = SK_MAX(half_open_max, world->engine->half_open);
}

/* threats: "an upper bound on packets a second": half-open connections, and connections in all. */
static void test_half_open_limit(void **state)
{
    struct world *world = fresh(&(struct skep_config){.no_lsd = true, .connections_max = 5000});
    static struct world *self;
    self = world;
    half_open_max = 0;
    skep_engine_hook(world->engine, SKEP_EVENT_DIALED, watch_half_open, &self);
    for (unsigned i = 0; i < 1500; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.1.%u.%u:7000", i / 256, i % 256);
        world_peer(world, text)->answer = NO_ANSWER;
    }
    world_start(world);
    world_run(world, 1);
    assert_int_equal(half_open_max, SK_ENGINE_HALF_OPEN_MAX);
    assert_int_equal(world->engine->half_open, SK_ENGINE_HALF_OPEN_MAX);
    world_run(world, 30);
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, NULL), 1500);
    assert_int_equal(world->engine->half_open, 0);
    world_deinit(world);
}

static void test_connections_limit(void **state)
{
    struct world *world = fresh(&(struct skep_config){.no_lsd = true, .connections_max = 10});
    for (unsigned i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.1.0.%u:7000", i);
        world_peer(world, text);
    }
    world_start(world);
    world_run(world, 5);
    assert_int_equal(skep_torrent_open(world->torrent), 10);
    assert_int_equal(skep_torrent_queued(world->torrent), 10);
    assert_int_equal(skep_engine_room(world->engine), 0);
    assert_true(world->ticks < 500); /* waiting for room does not keep it awake */
    world_deinit(world);
}

/* Public addresses at connect_rate a second; and the wait for tokens costs no work. */
static void test_dial_rate(void **state)
{
    struct world *world = fresh(&(struct skep_config){.no_lsd = true, .connect_rate = 20});
    add_many(world, 3000, 80, "7000");
    world_start(world);
    world_run(world, 10);
    size_t dialled = world_count(world, SKEP_EVENT_DIALED, NULL);
    assert_in_range(dialled, 20 + 199, 20 + 201); /* a first burst of one second's worth */
    assert_true(world->ticks < 1000);
    world_deinit(world);
}

/* threats: "peers told to us by one peer cannot make us hammer a victim". */
static void test_victim_by_pex(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *teller = world_peer(world, given);
    static struct sk_pex_peer told[SK_PEX_PEERS_MAX];
    for (unsigned i = 0; i < SK_PEX_PEERS_MAX; i++)
        told[i].endpoint = sk_endpoint_v4((uint8_t[]){10, 9, 9, 9}, (uint16_t)(800 + i));
    teller->pex = told;
    teller->pex_count = SK_PEX_PEERS_MAX;
    world_start(world);
    world_run(world, 60);
    size_t dials = world_count(world, SKEP_EVENT_DIALED, NULL) - teller->dials;
    assert_true(dials > 0 && dials <= SK_BOOK_PORTS_PER_IP_MAX);
    assert_failed(world, "10.9.9.9:1023", "port below 1024");
    assert_failed(world, "10.9.9.9:1199", "too many ports of one address");
    assert_int_equal(skep_torrent_untried(world->torrent), 0);
    world_deinit(world);
}

/* threats: "a public torrent [must not lead] to loopback or to private ranges". */
static void test_scope_of_pex(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *teller = world_peer(world, "80.0.0.1:7000");
    struct sk_pex_peer told[] = {
        {.endpoint = world_endpoint("127.0.0.1:6379")},
        {.endpoint = world_endpoint("192.168.1.1:8080")},
        {.endpoint = world_endpoint("[::1]:8080")},
        {.endpoint = world_endpoint("[fe80::1]:8080")},
        {.endpoint = world_endpoint("80.0.0.2:8080")},
        {.endpoint = world_endpoint("224.0.0.1:8080")},
    };
    teller->pex = told;
    teller->pex_count = SK_ARRAY_LEN(told);
    world_start(world);
    world_run(world, 5);
    const char *skipped = "address out of its source's scope";
    assert_failed(world, "127.0.0.1:6379", skipped);
    assert_failed(world, "192.168.1.1:8080", skipped);
    assert_failed(world, "[::1]:8080", skipped);
    assert_failed(world, "[fe80::1]:8080", skipped);
    assert_failed(world, "224.0.0.1:8080", skipped);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, NULL), 2);
    world_deinit(world);
}

/* One who fills the book alone leaves room for what others tell. */
static void test_pex_flood(void **state)
{
    struct world *world = fresh(&(struct skep_config){.no_lsd = true, .connect_rate = 1});
    struct remote *teller = world_peer(world, given);
    static struct sk_pex_peer told[SK_PEX_PEERS_MAX];
    teller->pex = told;
    world_start(world);
    world_run(world, 1);
    struct link *link = world->links;
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < SK_PEX_PEERS_MAX; i++)
            told[i].endpoint = sk_endpoint_v4(
                (uint8_t[]){80, (uint8_t)round, (uint8_t)(i / 256), (uint8_t)i}, 7000);
        (void)sk_peer_send_pex(link->session, told, SK_PEX_PEERS_MAX);
        world_run(world, 0.01);
    }
    assert_int_equal(world->torrent->book.count, SK_ENGINE_PEX_NEW_MAX + 1);
    world_deinit(world);
}

/* Without sockets: tried again for a while, then given up; and no more at a time than there are. */
static void test_no_sockets(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    remote->answer = NO_SOCKETS;
    world_start(world);
    world_run(world, 3);
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, given), 0);
    assert_int_equal(world->engine->config.connections_max, SK_ENGINE_CONNECTIONS_MIN);
    world_run(world, 100);
    assert_failed(world, given, "no sockets left here");
    assert_int_equal(remote->dials, SK_BOOK_STARVED_MAX + 1);
    world_deinit(world);
}

/* A peer that is given while all is quiet is dialled at once. */
static void test_given_later(void **state)
{
    struct world *world = fresh(NULL);
    world_peer(world, given);
    world_start(world);
    world_run(world, 30);
    world_peer(world, "10.0.0.2:7000");
    world_run(world, 0.1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, "10.0.0.2:7000"), 1);
    world_deinit(world);
}

/* ---- duplicates ---- */

/* Two addresses of one peer: the second connection goes, the address is known for the same. */
static void test_two_addresses(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *a = world_peer(world, given);
    world_start(world);
    world_run(world, 1);
    struct remote *b = world_peer(world, "10.0.0.2:7000");
    memcpy(b->session.peer_id, a->session.peer_id, 20);
    world_run(world, 30);
    assert_failed(world, "10.0.0.2:7000", "duplicate");
    assert_string_equal(world_seen(world, SKEP_EVENT_FAILED, NULL)->by, given);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    assert_int_equal(b->dials, 1);
    world_deinit(world);
}

/* It came in, and we dial it too: the connection that stays is known by the address that we
 * dialled. */
static void test_incoming_then_dialled(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_remote(world, given);
    remote->session.quiet = true; /* does not tell its listening port */
    remote->metadata_size = -1;
    world_start(world);
    assert_non_null(world_connect(world, remote, "10.0.0.1:40000"));
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, "10.0.0.1:40000"), 1);
    assert_int_equal(skep_torrent_add_peer(world->torrent, given), 0);
    world_run(world, 30);
    assert_int_equal(world_count(world, SKEP_EVENT_ADDRESS, "10.0.0.1:40000"), 1);
    assert_string_equal(skep_peer_address(world->engine->peers), given);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, NULL), 0);
    world_deinit(world);
}

/* The listening port comes with the extension handshake. */
static void test_listen_port(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_remote(world, given);
    world_start(world);
    assert_non_null(world_connect(world, remote, "10.0.0.1:40000"));
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_ADDRESS, "10.0.0.1:40000"), 1);
    assert_string_equal(skep_peer_address(world->engine->peers), given);
    /* Told by somebody else then: known, and not dialled. */
    assert_int_equal(skep_torrent_add_peer(world->torrent, given), 0);
    assert_false(world_seen(world, SKEP_EVENT_HEARD, given)->is_new);
    world_run(world, 5);
    assert_int_equal(remote->dials, 0);
    /* It leaves: now we dial it. */
    world->links->ended = true;
    world_run(world, 10);
    assert_int_equal(remote->dials, 1);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    world_deinit(world);
}

/* A connection from the very address that we are connected to, by one who says to be another. */
static void test_same_address_other_id(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, given);
    world_start(world);
    world_run(world, 1);
    struct remote *liar = world_remote(world, "10.0.0.9:9000");
    assert_non_null(world_connect(world, liar, given));
    world_run(world, 5);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, NULL), 1);
    assert_int_equal(remote->opened, 1);
    world_deinit(world);
}

/* The same while our dial is under way: who opens first stays. */
static void test_dialled_and_dialling(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *slow = world_peer(world, given);
    slow->answer = NO_ANSWER;
    world_start(world);
    world_run(world, 1);
    assert_non_null(world_connect(world, slow, given));
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, given), 1);
    world_run(world, 30); /* our dial comes to nothing meanwhile, and nobody hears of it */
    assert_int_equal(world_count(world, SKEP_EVENT_FAILED, NULL), 0);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    world_deinit(world);
}

/* Our own address, told to us by a tracker: we dial ourselves and are called. Nobody is a peer. */
static void test_self_comes_in(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *self = world_peer(world, "10.0.0.1:5000"); /* the port that we listen on */
    be_ourselves(self);
    self->mute = true; /* as it looks to the one who dials */
    world_start(world);
    world_run(world, 1);
    struct remote *caller = world_remote(world, "10.0.0.1:5001");
    be_ourselves(caller);
    assert_non_null(world_connect(world, caller, "10.0.0.1:40000"));
    world_run(world, 30);
    assert_failed(world, "10.0.0.1:5000", "self");
    assert_int_equal(self->dials, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "10.0.0.1:40000"), 0);
    assert_int_equal(world->torrent->book.count, 1);
    world_deinit(world);
}

/* ---- incoming ---- */

static void test_incoming_policies(void **state)
{
    static const struct {
        enum skep_encryption policy;
        unsigned mse;
        bool opens;
    } cases[] = {
        {SKEP_ENCRYPTION_PREFER, 0, true},
        {SKEP_ENCRYPTION_PREFER, SK_MSE_RC4, true},
        {SKEP_ENCRYPTION_ALLOW, SK_MSE_PLAIN | SK_MSE_RC4, true},
        {SKEP_ENCRYPTION_REQUIRE, SK_MSE_RC4, true},
        {SKEP_ENCRYPTION_REQUIRE, SK_MSE_PLAIN, false},
        {SKEP_ENCRYPTION_REQUIRE, 0, false},
        {SKEP_ENCRYPTION_OFF, 0, true},
        {SKEP_ENCRYPTION_OFF, SK_MSE_RC4, false},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world *world =
            fresh(&(struct skep_config){.no_lsd = true, .encryption = cases[i].policy});
        struct remote *remote = world_remote(world, given);
        remote->session.mse = cases[i].mse;
        world_start(world);
        assert_non_null(world_connect(world, remote, "10.0.0.1:40000"));
        world_run(world, 30);
        if ((skep_torrent_open(world->torrent) == 1) != cases[i].opens)
            fail_msg("case %zu", i);
        world_deinit(world);
    }
}

static void test_incoming_other_torrent(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_remote(world, given);
    remote->session.info_hash[5] ^= 1;
    remote->session.mse = 0;
    world_start(world);
    assert_non_null(world_connect(world, remote, "10.0.0.1:40000"));
    world_run(world, 1);
    assert_null(world->engine->peers);
    assert_int_equal(world->torrent->book.count, 0);
    world_deinit(world);
}

/* threats: strangers who come in cannot take all places: dialling goes on. */
static void test_incoming_flood(void **state)
{
    struct world *world = fresh(&(struct skep_config){.no_lsd = true, .connections_max = 20});
    struct remote *mute = world_remote(world, "10.5.0.1:9000");
    mute->mute = true;
    world_start(world);
    unsigned taken = 0;
    for (unsigned i = 0; i < 100; i++) {
        char from[32];
        snprintf(from, sizeof from, "10.5.0.1:%u", 10000 + i);
        taken += world_connect(world, mute, from) != NULL;
    }
    assert_int_equal(taken, 10);
    world_peer(world, given);
    world_run(world, 1);
    assert_int_equal(skep_torrent_open(world->torrent), 1);
    world_run(world, 15); /* silent ones are not kept */
    assert_int_equal(world->engine->peers_count, 1);
    world_deinit(world);
}

static void stop_on_failed(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_FAILED)
        skep_torrent_stop(event->torrent, event->now_ns);
}

/* It hung up one address and is met again at another: the first is its duplicate, of which a hook
 * hears, which stops the torrent, before the second is open. */
static void test_hook_stops_in_identity(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *a = world_peer(world, given);
    world_start(world);
    world_run(world, 1);
    world->links->ended = true;
    world_run(world, 1);
    struct remote *b = world_peer(world, "10.0.0.2:7000");
    memcpy(b->session.peer_id, a->session.peer_id, 20);
    world->hook = stop_on_failed;
    world_run(world, 30);
    assert_failed(world, given, "duplicate");
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, NULL), 1);
    assert_int_equal(world->engine->peers_count, 0);
    assert_int_equal(a->dials, 1);
    world_deinit(world);
}

static void stop_on_address(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_ADDRESS)
        skep_torrent_stop(event->torrent, event->now_ns);
}

/* Nothing is told of a peer after its end. */
static void test_hook_stops_at_address(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_remote(world, given);
    world->hook = stop_on_address;
    world_start(world);
    assert_non_null(world_connect(world, remote, "10.0.0.1:40000"));
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_CLOSED, NULL), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_CLIENT, NULL), 0);
    world_deinit(world);
}

static void stop_on_dialed(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_DIALED)
        skep_torrent_stop(event->torrent, event->now_ns);
}

/* A hook stops the torrent at the first dial: no other follows. */
static void test_hook_stops_at_dial(void **state)
{
    struct world *world = fresh(NULL);
    for (int i = 1; i <= 5; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        world_peer(world, text);
    }
    world->hook = stop_on_dialed;
    world_start(world);
    world_run(world, 30);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, NULL), 1);
    assert_int_equal(world->engine->peers_count, 0);
    world_deinit(world);
}

/* An engine that is full of a torrent that stops: what was being dialled goes too. */
static void test_stop_while_dialling(void **state)
{
    struct world *world = fresh(NULL);
    world_peer(world, given)->answer = NO_ANSWER;
    world_peer(world, "10.0.0.2:7000")->mute = true;
    world_peer(world, "10.0.0.3:7000");
    world_start(world);
    world_run(world, 1);
    assert_int_equal(world->engine->half_open, 1);
    skep_torrent_stop(world->torrent, world->now_ns);
    world_run(world, 30);
    assert_int_equal(world->engine->peers_count, 0);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, NULL), 3);
    assert_true(skep_torrent_stopped(world->torrent));
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_mode_remembered),
        cmocka_unit_test(test_encrypted_only),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_wrong_info_hash),
        cmocka_unit_test(test_protocol_error),
        cmocka_unit_test(test_reset_is_named),
        cmocka_unit_test(test_busy_for_a_moment),
        cmocka_unit_test(test_comes_late),
        cmocka_unit_test(test_useful_is_kept),
        cmocka_unit_test(test_seeds_part),
        cmocka_unit_test(test_redials_are_bounded),
        cmocka_unit_test(test_half_open_limit),
        cmocka_unit_test(test_connections_limit),
        cmocka_unit_test(test_dial_rate),
        cmocka_unit_test(test_victim_by_pex),
        cmocka_unit_test(test_scope_of_pex),
        cmocka_unit_test(test_pex_flood),
        cmocka_unit_test(test_no_sockets),
        cmocka_unit_test(test_given_later),
        cmocka_unit_test(test_two_addresses),
        cmocka_unit_test(test_incoming_then_dialled),
        cmocka_unit_test(test_listen_port),
        cmocka_unit_test(test_same_address_other_id),
        cmocka_unit_test(test_dialled_and_dialling),
        cmocka_unit_test(test_self_comes_in),
        cmocka_unit_test(test_incoming_policies),
        cmocka_unit_test(test_incoming_other_torrent),
        cmocka_unit_test(test_incoming_flood),
        cmocka_unit_test(test_hook_stops_at_dial),
        cmocka_unit_test(test_hook_stops_in_identity),
        cmocka_unit_test(test_hook_stops_at_address),
        cmocka_unit_test(test_stop_while_dialling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
