/*
 * The auditor among those who want it to err or never to end (the network classes of threats that
 * an audit can meet), and its stopping rules with trackers and PEX.
 */
#include "audit_world.h"

static const char address[] = "10.0.0.1:7000";
static const char url[] = "http://10.9.9.9:6969/announce";

static struct world *fresh(const struct audit_setup *setup)
{
    return audit_init(setup ? setup : &(struct audit_setup){0});
}

/* ---- audits that must end ---- */

/* Chokes soon after it was asked, and unchokes again, without end. */
static void flap(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_REQUEST &&
        !link->choke_ns) {
        link->choke_ns = link->remote->world->now_ns + SK_SECOND_NS / 50;
        link->unchoke_ns = link->choke_ns + SK_SECOND_NS / 2;
    }
}

static void test_chokes_for_ever(void **state)
{
    struct world *world = fresh(&(struct audit_setup){.config = {.probes_max = 500}});
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        struct remote *remote = world_peer(world, text);
        remote->unchokes_after_s = 0.0027 * i;
        remote->blocks = REJECTS;
        remote->on_event = flap;
    }
    double seconds = audit_run(60);
    assert_true(seconds >= 40);
    audit_deinit();
}

/* Every fast peer that chokes owes a reject for each request; this one gives none. */
static void choke_once(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_REQUEST &&
        link->remote->requested == 1) {
        (void)sk_peer_send_choke(link->session, true);
        link->unchoke_ns = link->remote->world->now_ns + 5 * SK_SECOND_NS;
    }
}

static void test_owes_rejects(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, address);
    remote->blocks = SILENT;
    remote->on_event = choke_once;
    audit_run(40);
    assert_outcome(address, SK_OUTCOME_IDLE);
    audit_deinit();
}

static void leave_when_open(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        link->ended = true;
}

static void test_leaves_each_time(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, address);
    remote->on_event = leave_when_open;
    double seconds = audit_run(40);
    assert_true(seconds < 25);
    assert_int_equal(remote->dials, 4);
    assert_outcome(address, SK_OUTCOME_CLOSED);
    audit_deinit();
}

/* Our own address comes back from a source: we call ourselves. */
static void test_self(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *self = world_peer(world, "10.0.0.1:5000");
    self->mute = true;
    memcpy(self->session.peer_id, world->engine->peer_id, 20);
    world_start(world);
    world_run(world, 1);
    struct remote *caller = world_remote(world, "10.0.0.1:5001");
    memcpy(caller->session.peer_id, world->engine->peer_id, 20);
    assert_non_null(world_connect(world, caller, "10.0.0.1:40000"));
    double seconds = audit_run(20);
    assert_true(seconds < 5);
    assert_outcome("10.0.0.1:5000", SK_OUTCOME_SELF);
    assert_int_equal(audit.report.known, 0);
    audit_deinit();
}

/* Who has two identities at one address does not bring two connections onto one record. */
static void test_two_ids_at_one_address(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, address);
    remote->block_s = 0.2;
    world_start(world);
    world_run(world, 1);
    struct remote *liar = world_remote(world, "10.0.0.1:7001");
    assert_non_null(world_connect(world, liar, address));
    world_run(world, 1);
    world->links->ended = true;
    audit_run(40);
    assert_outcome(address, SK_OUTCOME_SERVED);
    audit_deinit();
}

/* Both handshakes were tried, twice, then it calls us from the very same port and leaves: it is
 * dialled once more, which ends the matter. */
static void test_calls_and_leaves(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *remote = world_peer(world, address);
    remote->hangs_up = true;
    world_start(world);
    world_run(world, 5);
    assert_failed(world, address, "closed-at-once");
    struct remote *caller = world_remote(world, "10.0.0.9:7000");
    caller->session.listen_port = 0;
    caller->never_unchokes = true;
    struct link *link = world_connect(world, caller, address);
    assert_non_null(link);
    world_run(world, 0.1);
    link->ended = true;
    audit.done = false;
    audit.auditor->rule = SK_STOPPING_GO_ON;
    audit_run(20);
    assert_int_equal(remote->dials, 6);
    audit_deinit();
}

/* A given name is being looked up: nothing is over before its peer was seen. */
static void test_name_is_waited_for(void **state)
{
    struct world *world = fresh(NULL);
    world_peer(world, address);
    struct remote *named = world_remote(world, "10.0.0.2:7000");
    assert_int_equal(skep_torrent_add_peer(world->torrent, "slow.name:7000"), 0);
    world_start(world);
    world_run(world, 15);
    assert_false(audit.done);
    struct sk_endpoint found = named->at;
    sk_engine_resolved(world->engine, world->resolve_id, &found, 1, NULL, world->now_ns);
    audit_run(20);
    assert_outcome("10.0.0.2:7000", SK_OUTCOME_SERVED);
    audit_deinit();
}

/* PEX told it and our rules skipped it; then the user gives it. It is waited for again. */
static void test_skipped_then_given(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *teller = world_peer(world, address);
    struct sk_pex_peer low = {.endpoint = world_endpoint("10.0.0.2:500")};
    teller->pex = &low;
    teller->pex_count = 1;
    teller->block_s = 0.02;
    world_start(world);
    world_run(world, 0.5);
    assert_failed(world, "10.0.0.2:500", "port below 1024");
    world_peer(world, "10.0.0.2:500")->mute = true;
    audit_run(40);
    assert_outcome("10.0.0.2:500", SK_OUTCOME_TIMEOUT);
    audit_deinit();
}

/* The system has fewer sockets than we would like: settled peers make room, and all are seen. */
static void starve(struct world *world)
{
    unsigned open = 0;
    audit_every(world);
    for (struct link *link = world->links; link; link = link->next)
        open += !link->gone && !link->connecting;
    for (struct remote *remote = world->remotes; remote; remote = remote->next)
        remote->answer = open >= 20 ? NO_SOCKETS : CONNECTS;
}

static void test_few_sockets(void **state)
{
    struct world *world = fresh(NULL);
    for (int i = 1; i <= 100; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.1.%d:7000", i);
        struct remote *remote = world_peer(world, text);
        remote->answer = i <= 20 ? CONNECTS : NO_SOCKETS;
    }
    world->every = starve;
    audit_run(60);
    assert_int_equal(audit.report.connected, 100);
    audit_deinit();
}

/* ---- memory for pieces ---- */

/* Pieces so large that few fit into memory at a time: probes wait for each other, and nobody is
 * called idle because we had no room for what he would give. */
static void test_large_pieces(void **state)
{
    struct world *world = fresh(&(struct audit_setup){
        .pieces = 2, .piece_size = 64u << 20, .config = {.probe_bytes = 4u << 20}});
    for (int i = 1; i <= 12; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.1.%d:7000", i);
        struct remote *remote = world_peer(world, text);
        world_hold(remote, 0, 1);
        remote->block_s = 0.002;
    }
    audit_run(60);
    for (size_t i = 0; i < audit.report.peers_count; i++) {
        const struct sk_report_peer *peer = &audit.report.peers[i];
        assert_int_equal(peer->outcome, SK_OUTCOME_SERVED);
        assert_int_equal(peer->blocks_unverified, (4u << 20) / 16384);
        assert_int_equal(peer->blocks_corrupt, 0);
    }
    audit_deinit();
}

/* Each takes a whole piece: no more begin at a time than fit. */
static void test_large_pieces_of_each(void **state)
{
    struct world *world = fresh(&(struct audit_setup){
        .pieces = 2, .piece_size = 32u << 20, .config = {.probe_bytes = 32u << 20}});
    for (int i = 1; i <= 12; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.1.%d:7000", i);
        struct remote *remote = world_peer(world, text);
        world_hold(remote, 0, 1);
        remote->block_s = 0.001;
    }
    audit_run(60);
    for (size_t i = 0; i < audit.report.peers_count; i++) {
        assert_int_equal(audit.report.peers[i].outcome, SK_OUTCOME_SERVED);
        assert_int_equal(audit.report.peers[i].blocks_verified, 2048);
    }
    audit_deinit();
}

/* Idle shared pieces are given up when others need the room. */
static void test_idle_pieces_make_room(void **state)
{
    struct world *world = fresh(&(struct audit_setup){
        .pieces = 8, .piece_size = 64u << 20, .config = {.probe_bytes = 1u << 20}});
    for (uint32_t i = 0; i < 7; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.1.%u:7000", i + 1);
        world_hold(world_peer(world, text), i, 1); /* each holds another piece */
    }
    audit_run(60);
    for (size_t i = 0; i < audit.report.peers_count; i++)
        assert_int_equal(audit.report.peers[i].outcome, SK_OUTCOME_SERVED);
    assert_true(audit.auditor->assembly.bytes <= SK_ASSEMBLY_BYTES_MAX);
    audit_deinit();
}

/* ---- stopping with trackers ---- */

static void answer(struct world *world, int interval, unsigned first, unsigned count)
{
    char body[4096];
    int at =
        snprintf(body, sizeof body,
                 "d8:completei7e10:incompletei3e8:intervali%de5:peers%u:", interval, count * 6);
    for (unsigned i = 0; i < count; i++) {
        memcpy(body + at, (uint8_t[]){10, 0, 0, (uint8_t)(first + i), 0x1b, 0x58}, 6);
        at += 6;
    }
    body[at++] = 'e';
    uint64_t id = world->http_id;
    world->http_id = 0;
    sk_engine_http_done(world->engine, id, 200, sk_bytes(body, (size_t)at), NULL, world->now_ns);
    world_pump(world);
}

static void refuse(struct world *world)
{
    uint64_t id = world->http_id;
    world->http_id = 0;
    sk_engine_http_done(world->engine, id, 500, sk_bytes(NULL, 0), NULL, world->now_ns);
    world_pump(world);
}

static struct world *with_tracker(unsigned peers)
{
    struct world *world = fresh(&(struct audit_setup){.tracker = url});
    for (unsigned i = 1; i <= peers; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%u:7000", i);
        world_remote(world, text);
    }
    world_start(world);
    world_run(world, 1);
    return world;
}

/* One that says to be left alone for half an hour: its one answer is all there is. */
static void test_tracker_once(void **state)
{
    struct world *world = with_tracker(3);
    answer(world, 1800, 1, 3);
    for (int i = 0; i < 40 && !audit.done; i++) {
        world_run(world, 1);
        if (world->http_id)
            refuse(world); /* the scrape */
    }
    audit_run(60);
    assert_int_equal(sk_auditor_rule(audit.auditor), SK_STOPPING_EXHAUSTED);
    assert_int_equal(audit.report.connected, 3);
    assert_int_equal(audit.report.claims_count, 1);
    assert_int_equal(audit.report.claims[0].seeds, 7);
    assert_int_equal(audit.report.claims[0].peers_told, 3);
    assert_null(audit.report.claims[0].error);
    audit_deinit();
}

/* It answered once and then dies: its second answer, allowed soon, never comes. */
static void test_tracker_dies(void **state)
{
    struct world *world = with_tracker(3);
    answer(world, 5, 1, 3);
    double waited = 0;
    for (; waited < 200 && !audit.done; waited += 1) {
        world_run(world, 1);
        if (world->http_id)
            refuse(world);
    }
    assert_true(audit.done);
    assert_int_equal(sk_auditor_rule(audit.auditor), SK_STOPPING_EXHAUSTED);
    audit_deinit();
}

/* Many old draws in a row: it need not wait for anything else. */
static void test_old_draws(void **state)
{
    struct world *world = with_tracker(40);
    answer(world, 5, 1, 40);
    for (int i = 0; i < 60 && !audit.done; i++) {
        world_run(world, 1);
        if (world->http_id && strstr(world->http_url, "announce"))
            answer(world, 5, 1, 40);
        else if (world->http_id)
            refuse(world);
    }
    audit_run(1);
    assert_int_equal(sk_auditor_rule(audit.auditor), SK_STOPPING_DRAWS_OLD);
    assert_true(audit.report.draws_old >= 80);
    assert_true(audit.report.unseen_share_max <= 3.0 / 80 + 1e-9);
    assert_non_null(strstr(audit.report.stop_rule, "all known"));
    audit_deinit();
}

/* Nobody at all. */
static void test_nobody(void **state)
{
    struct world *world = with_tracker(0);
    answer(world, 1800, 1, 0);
    for (int i = 0; i < 40 && !audit.done; i++) {
        world_run(world, 1);
        if (world->http_id)
            refuse(world);
    }
    audit_run(1);
    assert_int_equal(sk_auditor_rule(audit.auditor), SK_STOPPING_NOBODY);
    assert_int_equal(audit.report.known, 0);
    audit_deinit();
}

/* A dead tracker and a slow one are both waited for. */
static void test_dead_tracker(void **state)
{
    struct world *world = with_tracker(0);
    world_peer(world, address);
    double seconds = audit_run(90);
    assert_true(seconds > 18);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_int_equal(audit.report.claims_count, 1);
    assert_non_null(audit.report.claims[0].error);
    assert_int_equal(audit.report.claims[0].seeds, -1);
    audit_deinit();
}

/* ---- liars over PEX ---- */

static struct sk_pex_peer told[SK_PEX_PEERS_MAX];

/* Tells the same known addresses over and over: that is no proof that the swarm is seen. */
static void test_pex_repeats(void **state)
{
    struct world *world = with_tracker(0);
    struct remote *liar = world_peer(world, address);
    for (int i = 0; i < 3; i++)
        told[i].endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 0, 1}, 7000);
    liar->pex = told;
    liar->pex_count = 3;
    world_run(world, 1);
    struct link *link = world->links;
    for (int i = 0; i < 60; i++) {
        (void)sk_peer_send_pex(link->session, told, 3);
        world_run(world, 0.05);
    }
    assert_in_range(audit.auditor->coverage.old_run, 1, 20);
    assert_false(audit.done);
    audit_deinit();
}

/* Tells more and more addresses that do not exist: bounded, and so is the audit. */
static void test_pex_invents(void **state)
{
    struct world *world = fresh(&(struct audit_setup){.tracker = url});
    struct remote *liar = world_peer(world, address);
    world_start(world);
    world_run(world, 1);
    answer(world, 1800, 1, 0);
    struct link *link = world->links;
    while (link && link->remote != liar)
        link = link->next;
    assert_non_null(link);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < SK_PEX_PEERS_MAX; i++)
            told[i].endpoint = sk_endpoint_v4(
                (uint8_t[]){10, (uint8_t)(100 + round), (uint8_t)(i / 256), (uint8_t)i}, 7000);
        (void)sk_peer_send_pex(link->session, told, SK_PEX_PEERS_MAX);
        world_run(world, 0.1);
        if (world->http_id)
            refuse(world);
    }
    audit_run(120);
    assert_int_equal(audit.report.known, SK_ENGINE_PEX_NEW_MAX + 1);
    assert_int_equal(audit.report.connected, 1);
    /* Nor do they make it believe in others like them; and unknown is not 0. */
    assert_null(audit.report.hidden_how);
    assert_true(isnan(audit.report.hidden) && isnan(audit.report.hidden_high));
    audit_deinit();
}

/* The tracker tells 1 to 30, peers tell 21 to 40: by what both tell, 20 * 10 / 10 more are there.
 */
static void test_hidden(void **state)
{
    struct world *world = with_tracker(40);
    for (unsigned i = 0; i < 20; i++)
        told[i].endpoint = sk_endpoint_v4((uint8_t[]){10, 0, 0, (uint8_t)(21 + i)}, 7000);
    for (unsigned i = 1; i <= 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%u:7000", i);
        struct remote *teller = world_remote(world, text);
        teller->pex = told;
        teller->pex_count = 20;
    }
    answer(world, 1800, 1, 30);
    for (int i = 0; i < 60 && !audit.done; i++) {
        world_run(world, 1);
        if (world->http_id)
            refuse(world);
    }
    audit_run(1);
    assert_int_equal(audit.report.connected, 40);
    assert_true(audit.report.hidden > 15 && audit.report.hidden < 25);
    assert_true(audit.report.hidden_low > 3 && isnan(audit.report.hidden_high));
    assert_non_null(strstr(audit.report.hidden_how, "two sources"));
    audit_deinit();
}

/* ---- other torrents in the same engine ---- */

static void test_another_torrent(void **state)
{
    struct world *world = fresh(NULL);
    struct skep_torrent *other;
    world_peer(world, address);
    assert_int_equal(skep_engine_add_link(world->engine, "00112233445566778899aabbccddeeff00112233",
                                          &other, NULL),
                     0);
    struct remote *elsewhere = world_remote(world, "10.0.0.2:7000");
    memcpy(elsewhere->session.info_hash, skep_torrent_info_hash(other), 20);
    elsewhere->metadata_size = -1;
    assert_int_equal(skep_torrent_start(other, world->now_ns), 0);
    assert_int_equal(skep_torrent_add_peer(other, "10.0.0.2:7000"), 0);
    world_run(world, 1);
    assert_int_equal(skep_torrent_open(other), 1);
    audit_run(20);
    assert_int_equal(audit.report.peers_count, 1);
    assert_int_equal(audit.report.known, 1);
    skep_torrent_stop(other, world->now_ns);
    audit_deinit();
}

/* The audit's end comes while everything is under way. */
static void test_stopped_in_the_middle(void **state)
{
    struct world *world = fresh(&(struct audit_setup){.link = true});
    for (int i = 1; i <= 30; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        struct remote *remote = world_peer(world, text);
        remote->block_s = 0.1;
        remote->answer = i % 5 == 0 ? NO_ANSWER : CONNECTS;
        remote->mute = i % 7 == 0;
    }
    world_start(world);
    world_run(world, 1.1);
    skep_torrent_stop(world->torrent, world->now_ns);
    world_run(world, 1);
    audit_check();
    assert_int_equal(audit.auditor->running, 0);
    assert_int_equal(
        sk_auditor_report(audit.auditor, SK_STOPPED_TIME, world->now_ns, &audit.report), 0);
    audit.reported = true;
    assert_true(audit.report.delivered_bytes > 0);
    audit_deinit();
}

/* ---- who fills the log ---- */

#define MANY 512

static uint32_t rows;

static void count_rows(const struct sk_observation *observation, void *ctx)
{
    rows += observation->kind >= SK_OBS_BITFIELD && observation->kind <= SK_OBS_UPLOAD_ONLY;
}

/* It told a HAVE before: five bytes that are a row for each piece. */
static void has_all_now(struct link *link, const struct sk_peer_event *event)
{
    struct sk_bitfield all;
    if (event->kind != SK_PEER_EVENT_EXTENDED)
        return;
    assert_int_equal(sk_bitfield_init(&all, MANY), 0);
    sk_bitfield_fill(&all);
    assert_int_equal(sk_peer_send_bitfield(link->session, &all), 0);
    sk_bitfield_deinit(&all);
}

/* It calls again and again, and has got everything anew each time. */
static void test_tells_all_each_time(void **state)
{
    const struct audit_setup setup = {
        .pieces = MANY, .piece_size = 16384, .config = {.observe = count_rows, .watch_s = 60}};
    struct world *world = fresh(&setup);
    struct remote *remote = world_remote(world, address);
    uint32_t taken = 0, all = SK_ALLOWANCE_ROUNDS * (MANY + SK_ALLOWANCE_SPARE);
    rows = 0;
    world_hold(remote, 0, 1);
    remote->tells = TELLS_HAVES;
    remote->on_event = has_all_now;
    remote->never_unchokes = true;
    world_start(world);
    for (int i = 0; i < 40; i++) {
        uint32_t before = rows;
        assert_non_null(world_connect(world, remote, address));
        world_run(world, 0.5);
        taken += rows > before;
        for (struct link *link = world->links; link; link = link->next)
            link->ended = true;
        world_run(world, 0.5);
    }
    assert_int_equal(taken, all / MANY + 1);    /* the last one not wholly */
    assert_in_range(rows, all, all + all / 50); /* time gives back a little */
    audit.auditor->rule = SK_STOPPING_GO_ON;
    audit_run(60);
    assert_outcome(address, SK_OUTCOME_PROTOCOL_ERROR);
    assert_string_equal(audit_peer(address)->reason, "banned");
    audit_deinit();
}

/* One host calls from a port of its own each time, and tells no more than one peer may. Where so
 * many are clients of one house that each tell all once, nobody is sent away. */
static void call_from_ports(uint32_t calls, uint32_t ports)
{
    const struct audit_setup setup = {
        .pieces = MANY, .piece_size = 16384, .config = {.observe = count_rows, .watch_s = 60}};
    struct world *world = fresh(&setup);
    struct remote *remote = world_remote(world, address);
    char from[SK_ENDPOINT_TEXT_MAX];
    rows = 0;
    world_hold(remote, 0, 1);
    remote->tells = TELLS_HAVES;
    remote->on_event = has_all_now;
    remote->never_unchokes = true;
    remote->session.listen_port = 0;
    world_start(world);
    for (uint32_t i = 0; i < calls; i++) {
        snprintf(from, sizeof from, "10.0.0.9:%u", 20000 + i % ports);
        assert_non_null(world_connect(world, remote, from));
        world_run(world, 0.05);
        for (struct link *link = world->links; link; link = link->next)
            link->ended = true;
        world_run(world, 0.05);
    }
}

static void test_tells_all_from_each_port(void **state)
{
    uint32_t all = SK_ALLOWANCE_PEERS * SK_ALLOWANCE_ROUNDS * (MANY + SK_ALLOWANCE_SPARE);
    call_from_ports(300, 300);
    assert_in_range(rows, all, all + all / 20);
    audit_deinit();
    call_from_ports(90, 30);
    assert_in_range(rows, 90 * MANY, 91 * MANY);
    audit_deinit();
}

/* Who gains quickly while nobody gives us the metadata is not sent away; not for ever, though. */
static void test_tells_before_the_metadata(void **state)
{
    struct sk_allowance allowance = {0};
    for (uint64_t i = 0; i < 50000; i++)
        assert_true(sk_allowance_take(&allowance, 1, 0, 0, i * SK_SECOND_NS / 100));
    for (int i = 0; i < 270000; i++)
        (void)sk_allowance_take(&allowance, 1, 0, 0, 500 * SK_SECOND_NS);
    assert_false(sk_allowance_take(&allowance, 1, 0, 0, 500 * SK_SECOND_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chokes_for_ever),
        cmocka_unit_test(test_owes_rejects),
        cmocka_unit_test(test_leaves_each_time),
        cmocka_unit_test(test_self),
        cmocka_unit_test(test_two_ids_at_one_address),
        cmocka_unit_test(test_calls_and_leaves),
        cmocka_unit_test(test_name_is_waited_for),
        cmocka_unit_test(test_skipped_then_given),
        cmocka_unit_test(test_few_sockets),
        cmocka_unit_test(test_large_pieces),
        cmocka_unit_test(test_large_pieces_of_each),
        cmocka_unit_test(test_idle_pieces_make_room),
        cmocka_unit_test(test_tracker_once),
        cmocka_unit_test(test_tracker_dies),
        cmocka_unit_test(test_old_draws),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_dead_tracker),
        cmocka_unit_test(test_pex_repeats),
        cmocka_unit_test(test_pex_invents),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_another_torrent),
        cmocka_unit_test(test_stopped_in_the_middle),
        cmocka_unit_test(test_tells_all_each_time),
        cmocka_unit_test(test_tells_all_from_each_port),
        cmocka_unit_test(test_tells_before_the_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
