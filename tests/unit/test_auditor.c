/* The auditor over scripted peers: what it reports of each kind, and when it is done. */
#include "audit_world.h"

static const char address[] = "10.0.0.1:7000";

static struct remote *one(const struct audit_setup *setup)
{
    struct world *world = audit_init(setup ? setup : &(struct audit_setup){0});
    return world_peer(world, address);
}

/* ---- who serves ---- */

static void test_served(void **state)
{
    one(NULL)->block_s = 0.01;
    double seconds = audit_run(10);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_true(seconds < 3);
    assert_int_equal(peer->delivered_bytes, audit.world.content.torrent.size);
    assert_int_equal(peer->blocks_verified, 62); /* 15 * 4 and the 2 of the last piece */
    assert_int_equal(peer->blocks_corrupt + peer->blocks_unverified, 0);
    assert_float_equal(peer->share, 1, 0);
    assert_string_equal(peer->client, "remote 1.0");
    assert_string_equal(peer->encryption, "rc4");
    assert_string_equal(peer->delivered_how, "theil-sen");
    assert_float_equal(peer->delivered.rate, 16384 / 0.01, 16384 / 0.01 * 0.05);
    assert_int_equal(audit.report.seeds, 1);
    assert_int_equal(audit.report.pieces_missing, 0);
    assert_int_equal(audit.report.delivered_bytes, peer->delivered_bytes);
    assert_int_equal(sk_auditor_rule(audit.auditor), SK_STOPPING_GIVEN_DONE);
    audit_deinit();
}

/* What a file of the audit holds is what the report was made of: leaving it adds nothing. */
static void count_observation(const struct sk_observation *observation, void *ctx)
{
    ++*(unsigned *)ctx;
}

static void test_nothing_is_seen_after_the_report(void **state)
{
    unsigned seen = 0;
    one(&(struct audit_setup){.config = {.observe = count_observation, .observe_ctx = &seen}})
        ->block_s = 0.01;
    audit_run(10);
    unsigned reported = seen;
    uint32_t end_ms = sk_auditor_timeline(audit.auditor)->end_ms;
    assert_float_equal(audit.report.seconds, end_ms / 1e3, 0);
    audit.world.now_ns += SK_SECOND_NS;
    skep_torrent_stop(audit.world.torrent, audit.world.now_ns);
    world_run(&audit.world, 1);
    assert_true(reported > 0);
    assert_int_equal(reported, seen);
    assert_int_equal(end_ms, sk_auditor_timeline(audit.auditor)->end_ms);
    audit_deinit();
}

/* A slow one is left after its seconds, with the rate that it had. */
static void test_slow(void **state)
{
    one(NULL)->block_s = 0.5;
    double seconds = audit_run(30);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_true(seconds > 9 && seconds < 12);
    assert_float_equal(peer->delivered.rate, 16384 / 0.5, 16384 / 0.5 * 0.05);
    assert_true(peer->blocks_verified >= 16);
    audit_deinit();
}

static void test_v2_served(void **state)
{
    one(&(struct audit_setup){.v2 = true, .link = true})->block_s = 0.01;
    audit_run(20);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_int_equal(peer->blocks_verified, 62);
    assert_int_equal(peer->blocks_unverified, 0);
    audit_deinit();
}

static void test_magnet(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){.link = true});
    world_peer(world, address);
    world_peer(world, "10.0.0.2:7000")->metadata = WRONG;
    world_peer(world, "10.0.0.3:7000")->metadata = SILENT;
    audit_run(60);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_outcome("10.0.0.3:7000", SK_OUTCOME_SERVED);
    assert_string_equal(audit.report.name, "a test");
    assert_int_equal(audit.report.pieces, 16);
    audit_deinit();
}

/* Nobody has the metadata: the audit says so, after having given each its time. */
static void test_no_metadata(void **state)
{
    one(&(struct audit_setup){.link = true})->metadata_size = -1;
    double seconds = audit_run(60);
    assert_true(seconds >= 40 && seconds < 42);
    assert_int_equal(sk_auditor_rule(audit.auditor), SK_STOPPING_NO_METADATA);
    assert_false(audit.report.has_metadata);
    assert_outcome(address, SK_OUTCOME_IDLE);
    assert_int_equal(audit.report.pieces_missing, -1);
    audit_deinit();
}

/* ---- who does not ---- */

static void test_choked(void **state)
{
    one(NULL)->never_unchokes = true;
    double seconds = audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_true(seconds >= 40 && seconds < 42);
    assert_outcome(address, SK_OUTCOME_CHOKED);
    assert_true(isnan(peer->delivered.rate)); /* unknown, never 0 */
    assert_true(isnan(peer->unchoked_after_s));
    assert_int_equal(peer->delivered_bytes, 0);
    audit_deinit();
}

static void test_unchokes_late(void **state)
{
    one(NULL)->unchokes_after_s = 30;
    audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_float_equal(peer->unchoked_after_s, 30, 0.3);
    audit_deinit();
}

static void test_rejects(void **state)
{
    struct remote *remote = one(NULL);
    remote->blocks = REJECTS;
    double seconds = audit_run(30);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_true(seconds < 12);
    assert_outcome(address, SK_OUTCOME_IDLE);
    assert_string_equal(peer->reason, "unchoked, gave nothing");
    assert_true(remote->requested < 1000); /* it is not asked as fast as it can say no */
    audit_deinit();
}

/* BEP 6, unchoked, and no answer to any request. */
static void test_silent(void **state)
{
    struct remote *remote = one(NULL);
    remote->blocks = SILENT;
    double seconds = audit_run(30);
    assert_true(seconds < 12);
    assert_outcome(address, SK_OUTCOME_IDLE);
    assert_in_range(remote->requested, SK_PROBE_WINDOW_LEAST, SK_PROBE_WINDOW_FIRST);
    audit_deinit();
}

static void test_corrupts(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){0});
    world_peer(world, address)->blocks = WRONG;
    world_peer(world, "10.0.0.2:7000");
    audit_run(30);
    const struct sk_report_peer *liar = audit_peer(address);
    const struct sk_report_peer *honest = audit_peer("10.0.0.2:7000");
    assert_int_equal(liar->blocks_verified, 0);
    assert_true(liar->blocks_corrupt > 0);
    assert_int_equal(honest->blocks_corrupt, 0);
    assert_true(honest->blocks_verified > 0);
    assert_int_equal(audit.report.corrupt_peers, 1);
    audit_deinit();
}

/* threats: "a malicious peer that sends corrupt blocks among good ones: the culprit is found, [...]
 * innocents are not". Pieces larger than what is taken of one peer, so that several share each. */
static void smart_ban(uint64_t seed)
{
    struct world *world = audit_init(&(struct audit_setup){
        .pieces = 9, .piece_size = 8 * PIECE, .config = {.probe_bytes = 3 * PIECE, .seed = seed}});
    char text[32];
    for (int i = 1; i <= 12; i++) {
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        struct remote *remote = world_peer(world, text);
        world_hold(remote, 0, 8); /* the large ones */
        remote->block_s = 0.005;
        remote->unchokes_after_s = i;
        if (i == 2)
            remote->blocks = WRONG;
    }
    audit_run(60);
    for (int i = 1; i <= 12; i++) {
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        const struct sk_report_peer *peer = audit_peer(text);
        assert_outcome(text, SK_OUTCOME_SERVED);
        if ((peer->blocks_corrupt > 0) != (i == 2))
            fail_msg("%s: %u right, %u wrong, %u unknown", text, peer->blocks_verified,
                     peer->blocks_corrupt, peer->blocks_unverified);
        assert_true(peer->blocks_verified + peer->blocks_corrupt + peer->blocks_unverified >=
                    peer->delivered_bytes / 16384);
    }
    audit_deinit();
}

static void test_smart_ban(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        smart_ban(seed);
}

/* The same in a v2 torrent: by the hashes of its blocks the liar shows at once. */
static void test_v2_liar_shows_at_once(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){
        .v2 = true, .pieces = 2, .piece_size = 8 * PIECE, .config = {.probe_bytes = PIECE}});
    struct remote *liar = world_peer(world, address);
    liar->blocks = WRONG;
    world_hold(liar, 0, 1); /* the large piece */
    world_hold(world_peer(world, "10.0.0.2:7000"), 0, 1);
    audit_run(30);
    assert_true(audit_peer(address)->blocks_corrupt >= 4);
    assert_int_equal(audit_peer(address)->blocks_verified, 0);
    assert_int_equal(audit_peer("10.0.0.2:7000")->blocks_verified, 4);
    assert_int_equal(audit_peer("10.0.0.2:7000")->blocks_unverified, 0);
    audit_deinit();
}

/* Less than a piece, less than a block. */
static void test_tiny_budget(void **state)
{
    one(&(struct audit_setup){.config = {.probe_bytes = 1}});
    audit_run(30);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_int_equal(peer->delivered_bytes, 16384);
    assert_int_equal(peer->blocks_unverified, 1);
    audit_deinit();
}

/* ---- what they hold ---- */

static void test_partial(void **state)
{
    struct remote *remote = one(NULL);
    world_hold(remote, 4, 4);
    audit_run(30);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_float_equal(peer->share, 0.25, 0);
    assert_int_equal(peer->delivered_bytes, 4 * PIECE);
    assert_int_equal(audit.report.leechers, 1);
    assert_int_equal(audit.report.pieces_missing, 12);
    audit_deinit();
}

static void test_lazy_bitfield(void **state)
{
    one(NULL)->lazy = 5;
    audit_run(30);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_float_equal(peer->share, 1, 0);
    assert_float_equal(peer->share_change, 0, 0); /* it did not grow: it was only told late */
    assert_int_equal(peer->haves, 5);
    audit_deinit();
}

static void test_haves_only(void **state)
{
    one(NULL)->tells = TELLS_HAVES;
    audit_run(30);
    assert_float_equal(audit_peer(address)->share, 1, 0);
    assert_outcome(address, SK_OUTCOME_SERVED);
    audit_deinit();
}

/* Nothing told at all: it holds nothing. */
static void test_tells_nothing(void **state)
{
    one(NULL)->tells = TELLS_NOTHING;
    double seconds = audit_run(30);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_true(seconds < 7);
    assert_outcome(address, SK_OUTCOME_IDLE);
    assert_true(peer->has_share);
    assert_int_equal(peer->pieces, 0);
    assert_string_equal(peer->reason, "has no pieces");
    audit_deinit();
}

static void have_more(struct world *world)
{
    audit_every(world);
    struct link *link = world->links;
    uint32_t next = link->remote->holds.set;
    if (world->now_ns % SK_SECOND_NS == 0 && next < 16) {
        sk_bitfield_add(&link->remote->holds, next);
        (void)sk_peer_send_have(link->session, next);
    }
}

static void test_growing(void **state)
{
    struct remote *remote = one(NULL);
    world_hold(remote, 0, 4);
    remote->never_unchokes = true;
    audit.world.every = have_more;
    audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_int_equal(peer->pieces, 16);
    assert_in_range(peer->pieces_first, 4, 6);
    assert_true(peer->share_change > 0.6);
    assert_true(peer->haves >= 11);
    audit_deinit();
}

static void say_upload_only(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        (void)sk_peer_send_extension_handshake(link->session,
                                               (int64_t)link->remote->content->info.n, 1);
}

static void test_upload_only(void **state)
{
    struct remote *remote = one(NULL);
    world_hold(remote, 0, 8);
    remote->on_event = say_upload_only;
    audit_run(30);
    assert_int_equal(audit_peer(address)->upload_only, 1);
    assert_float_equal(audit_peer(address)->share, 0.5, 0);
    audit_deinit();
}

/* ---- allowed-fast (BEP 6) ---- */

static void allowed_fast(bool first, bool link)
{
    struct remote *remote = one(&(struct audit_setup){.link = link});
    remote->never_unchokes = true;
    remote->allowed_fast = 3;
    remote->offers_first = first;
    double seconds = audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    if (peer->outcome != SK_OUTCOME_SERVED)
        fail_msg("%s, offered %s the bitfield: %s", link ? "link" : "file",
                 first ? "before" : "after", sk_peer_outcome_name(peer->outcome));
    assert_int_equal(peer->delivered_bytes, 3 * PIECE);
    assert_int_equal(peer->blocks_verified, 12);
    assert_true(seconds < 5);
    audit_deinit();
}

static void test_allowed_fast(void **state)
{
    allowed_fast(false, false);
    allowed_fast(true, false);
    allowed_fast(false, true);
    allowed_fast(true, true);
}

/* Offered, and rejected when taken up: it is still waited for, and probed once it unchokes. */
static void reject_while_choked(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_REQUEST)
        link->remote->blocks = sk_peer_view(link->session)->choking ? REJECTS : RIGHT;
}

static void test_allowed_fast_rejected(void **state)
{
    struct remote *remote = one(NULL);
    remote->allowed_fast = 3;
    remote->unchokes_after_s = 25;
    remote->on_event = reject_while_choked;
    audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_int_equal(peer->blocks_verified, 62);
    audit_deinit();
}

/* ---- coming and going ---- */

/* It leaves after some blocks and is dialled again: the probe goes on, and the rate is that of the
 * times that it was there. */
static void test_leaves_and_comes_back(void **state)
{
    struct remote *remote = one(NULL);
    remote->block_s = 0.05;
    remote->leaves_after = 20;
    audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_int_equal(remote->dials, 4);
    assert_true(peer->blocks_verified >= 55);
    assert_float_equal(peer->delivered.rate, 16384 / 0.05, 16384 / 0.05 * 0.2);
    audit_deinit();
}

/* The connection ends while blocks are on their way, and it is not to be had again. */
static void test_leaves_for_good(void **state)
{
    struct remote *remote = one(NULL);
    remote->block_s = 0.05;
    remote->leaves_after = 3;
    audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_int_equal(peer->delivered_bytes, 4 * 3 * 16384);
    assert_int_equal(peer->blocks_verified + peer->blocks_unverified, 12);
    audit_deinit();
}

static void test_failures(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){0});
    world_peer(world, "10.0.0.1:7000")->answer = REFUSES;
    world_peer(world, "10.0.0.2:7000")->answer = NO_ANSWER;
    world_peer(world, "10.0.0.3:7000")->mute = true;
    world_peer(world, "10.0.0.4:7000")->hangs_up = true;
    world_peer(world, "10.0.0.5:7000");
    audit_run(60);
    assert_outcome("10.0.0.1:7000", SK_OUTCOME_REFUSED);
    assert_outcome("10.0.0.2:7000", SK_OUTCOME_TIMEOUT);
    assert_outcome("10.0.0.3:7000", SK_OUTCOME_TIMEOUT);
    assert_outcome("10.0.0.4:7000", SK_OUTCOME_CLOSED);
    assert_outcome("10.0.0.5:7000", SK_OUTCOME_SERVED);
    assert_int_equal(audit.report.known, 5);
    assert_int_equal(audit.report.connected, 1);
    audit_deinit();
}

/* One that came in: known by its listening port, with all that was seen under the first address. */
static void test_incoming(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){0});
    struct remote *remote = world_remote(world, address);
    world_start(world);
    world_run(world, 1);
    assert_non_null(world_connect(world, remote, "10.0.0.1:40000"));
    audit_run(60);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_true(peer->incoming);
    assert_int_equal(peer->sources, SK_SOURCE_INCOMING);
    assert_int_equal(peer->blocks_verified, 62);
    assert_outcome("10.0.0.1:40000", SK_OUTCOME_DUPLICATE);
    assert_int_equal(audit.report.known, 1);
    audit_deinit();
}

/* Two addresses of one peer. */
static void test_duplicate(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){0});
    struct remote *a = world_peer(world, address);
    struct remote *b = world_peer(world, "10.0.0.2:7000");
    memcpy(b->session.peer_id, a->session.peer_id, 20);
    audit_run(60);
    assert_int_equal(audit.report.known, 1);
    assert_int_equal(audit.report.seeds, 1);
    audit_deinit();
}

/* ---- what it does not do ---- */

static void test_no_probe(void **state)
{
    struct remote *remote = one(&(struct audit_setup){.config = {.no_probe = true}});
    audit_run(10);
    assert_outcome(address, SK_OUTCOME_OBSERVED);
    assert_int_equal(remote->requested + remote->interested, 0);
    assert_float_equal(audit_peer(address)->share, 1, 0);
    audit_deinit();
}

/* Interest is taken back when all is taken. */
static void test_interest_ends(void **state)
{
    one(NULL);
    audit_run(10);
    world_run(&audit.world, 1);
    assert_false(sk_peer_view(audit.world.links->session)->peer_interested);
    audit_deinit();
}

/* No more than probes_max at a time; everyone's turn comes. */
static void test_slots(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){.config = {.probes_max = 2}});
    for (int i = 1; i <= 12; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        world_peer(world, text)->block_s = 0.01;
    }
    world_start(world);
    for (int i = 0; i < 40 && !audit.done; i++) {
        world_run(world, 0.1);
        assert_true(audit.auditor->running <= 2);
    }
    audit_run(30);
    for (size_t i = 0; i < audit.report.peers_count; i++)
        assert_int_equal(audit.report.peers[i].outcome, SK_OUTCOME_SERVED);
    audit_deinit();
}

/* More peers than connections: the settled ones make room. */
static void test_makes_room(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){.engine = {.connections_max = 10},
                                                           .config = {.connections_max = 10}});
    for (int i = 1; i <= 60; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        world_peer(world, text);
    }
    audit_run(60);
    assert_int_equal(audit.report.connected, 60);
    for (size_t i = 0; i < audit.report.peers_count; i++)
        assert_int_equal(audit.report.peers[i].outcome, SK_OUTCOME_SERVED);
    audit_deinit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_served),
        cmocka_unit_test(test_nothing_is_seen_after_the_report),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_v2_served),
        cmocka_unit_test(test_magnet),
        cmocka_unit_test(test_no_metadata),
        cmocka_unit_test(test_choked),
        cmocka_unit_test(test_unchokes_late),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_corrupts),
        cmocka_unit_test(test_smart_ban),
        cmocka_unit_test(test_v2_liar_shows_at_once),
        cmocka_unit_test(test_tiny_budget),
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_lazy_bitfield),
        cmocka_unit_test(test_haves_only),
        cmocka_unit_test(test_tells_nothing),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_upload_only),
        cmocka_unit_test(test_allowed_fast),
        cmocka_unit_test(test_allowed_fast_rejected),
        cmocka_unit_test(test_leaves_and_comes_back),
        cmocka_unit_test(test_leaves_for_good),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_incoming),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_no_probe),
        cmocka_unit_test(test_interest_ends),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
