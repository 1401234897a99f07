/* The auditor's new connections to peers that are silent: who is called again, when, and what the
 * report makes of it. */
#include "audit_world.h"

static const char address[] = "10.0.0.1:7000";

static struct remote *watch(double seconds)
{
    struct world *world =
        audit_init(&(struct audit_setup){.config = {.watch_s = seconds}, .pieces = 64});
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 4);
    return remote;
}

/* A piece a minute, of which it says nothing. */
static void gain_in_silence(struct world *world)
{
    audit_every(world);
    uint64_t at_s = (world->now_ns - audit.auditor->started_ns) / SK_SECOND_NS;
    for (struct remote *remote = world->remotes; remote; remote = remote->next)
        for (uint32_t i = 0; i < 4 + at_s / 60 && i < remote->holds.count; i++)
            sk_bitfield_add(&remote->holds, i);
}

static const struct sk_timeline_peer *timeline_peer(void)
{
    struct sk_endpoint endpoint = world_endpoint(address);
    uint32_t index = sk_timeline_find(&audit.auditor->timeline, &endpoint);
    assert_int_not_equal(index, UINT32_MAX);
    return &audit.auditor->timeline.peers[index];
}

static void test_silence_is_asked(void **state)
{
    struct remote *remote = watch(360);
    audit.world.every = gain_in_silence;
    audit_run(380);
    assert_int_equal(remote->dials, 2);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_null(peer->reason);
    assert_int_equal(peer->pieces, 7);
    assert_int_equal(peer->pieces_first, 4);
    assert_true(peer->connected_s < 2);
    assert_float_equal(peer->seen_s, 350, 2);
    assert_int_equal(peer->delivered_bytes, 7 * PIECE); /* each piece once: it was probed once */
    const struct sk_timeline_peer *seen = timeline_peer();
    assert_int_equal(seen->watched_count, 2);
    assert_true(seen->watched[1].renewed && seen->watched[1].same_id);
    assert_in_range(seen->watched[0].until_ms, 180000, 181000);
    assert_in_range(seen->watched[1].from_ms - seen->watched[0].until_ms, 10000, 10500);
    assert_int_equal(seen->gains_count, 3);
    for (uint32_t i = 0; i < seen->gains_count; i++) {
        assert_true(seen->gains[i].since_ms < 2000);
        assert_in_range(seen->gains[i].at_ms, 190000, 192000);
    }
    assert_int_equal(world_count(&audit.world, SKEP_EVENT_FAILED, NULL), 0);
    audit_deinit();
}

/* As long as it shows something new, every three minutes; not many times. */
static void test_gains_in_silence(void **state)
{
    struct remote *remote = watch(1400);
    audit.world.every = gain_in_silence;
    audit_run(1500);
    assert_int_equal(remote->dials, 1 + 7);
    assert_in_range(audit_peer(address)->pieces, 25, 27);
    audit_deinit();
}

static void test_ever_less_often(void **state)
{
    struct remote *remote = watch(3600);
    audit_run(3700);
    assert_int_equal(remote->dials, 1 + 4); /* after 3, 6, 12 and 24 minutes more */
    assert_float_equal(audit_peer(address)->seen_s, 3560, 3);
    audit_deinit();
}

static void test_policy(void **state)
{
    const uint64_t minute = 60 * SK_SECOND_NS;
    struct sk_renewal renewal = {0};
    uint32_t renewed = 0;
    sk_renewal_opened(&renewal, minute);
    sk_renewal_told(&renewal, 5, minute);
    assert_int_equal(sk_renewal_due(&renewal), 4 * minute);
    sk_renewal_told(&renewal, 6, 2 * minute); /* a HAVE */
    assert_int_equal(sk_renewal_due(&renewal), 5 * minute);
    sk_renewal_told(&renewal, 6, 3 * minute);
    assert_int_equal(sk_renewal_due(&renewal), 5 * minute);
    sk_renewal_begun(&renewal);
    sk_renewal_opened(&renewal, 10 * minute);
    sk_renewal_told(&renewal, 6, 10 * minute); /* as many as before */
    assert_int_equal(sk_renewal_due(&renewal), 16 * minute);
    sk_renewal_told(&renewal, 7, 12 * minute);
    assert_int_equal(sk_renewal_due(&renewal), 15 * minute);
    uint64_t at_ns = sk_renewal_due(&renewal), gap_ns = 0;
    for (renewed = renewal.count; at_ns != UINT64_MAX; renewed++) {
        assert_true(sk_renewal_due(&renewal) - renewal.told_ns >= gap_ns); /* never sooner */
        gap_ns = at_ns - renewal.told_ns;
        sk_renewal_begun(&renewal);
        sk_renewal_opened(&renewal, at_ns);
        sk_renewal_told(&renewal, 8 + renewed, at_ns);
        at_ns = sk_renewal_due(&renewal);
    }
    assert_int_equal(renewed, SK_RENEWALS_MAX);
    assert_int_equal(gap_ns, 48 * minute);
}

static void test_no_watch(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){0});
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 4);
    remote->never_unchokes = true;
    world_start(world);
    world_run(world, 400);
    assert_int_equal(remote->dials, 1);
    audit_deinit();
}

static void tell_each_minute(struct world *world)
{
    static uint32_t told;
    audit_every(world);
    uint32_t piece = (uint32_t)((world->now_ns - audit.auditor->started_ns) / (60 * SK_SECOND_NS));
    for (struct link *link = world->links; link && piece != told; link = link->next)
        if (link->session)
            (void)sk_peer_send_have(link->session, 4 + piece);
    told = piece;
}

/* Who tells, who has all, and who came in. */
static void test_others_are_left_alone(void **state)
{
    struct remote *teller = watch(500);
    struct world *world = &audit.world;
    struct remote *seed = world_peer(world, "10.0.0.2:7000");
    struct remote *visitor = world_remote(world, "10.0.0.3:7000");
    world_hold(visitor, 0, 4);
    world->every = tell_each_minute;
    world_start(world);
    world_run(world, 1);
    assert_non_null(world_connect(world, visitor, "10.0.0.3:40000"));
    audit_run(520);
    assert_int_equal(teller->dials, 1);
    assert_int_equal(seed->dials, 1);
    assert_int_equal(visitor->dials, 0);
    assert_float_equal(audit_peer("10.0.0.3:7000")->seen_s, 499, 2);
    audit_deinit();
}

/* Many whom we cannot call do not hold up those whom we can. */
static void test_visitors_take_no_turn(void **state)
{
    struct world *world =
        audit_init(&(struct audit_setup){.config = {.watch_s = 240}, .pieces = 64});
    world_start(world);
    for (int i = 1; i <= 40; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.1.%d:7000", i);
        struct remote *visitor = world_remote(world, text);
        world_hold(visitor, 0, 4);
        assert_non_null(world_connect(world, visitor, text));
    }
    world_run(world, 5);
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 4);
    audit_run(260);
    assert_int_equal(remote->dials, 2);
    audit_deinit();
}

static struct sk_pex_peer told[2];

/* Of one it tells from the first minute on, of the other since five minutes. */
static void tell_by_pex(struct world *world)
{
    audit_every(world);
    uint64_t at_s = (world->now_ns - audit.auditor->started_ns) / SK_SECOND_NS;
    world->remotes->pex_count = 1;
    for (struct link *link = world->links; link && at_s >= 300 && !world->context;
         link = link->next) {
        if (!link->session)
            continue;
        assert_int_equal(sk_peer_send_pex(link->session, &told[1], 1), 0);
        world->context = link;
    }
}

static const struct sk_record *record_at(const char *text)
{
    struct sk_endpoint endpoint = world_endpoint(text);
    const struct sk_record *record = sk_map_get(&audit.auditor->by_endpoint, &endpoint);
    assert_non_null(record);
    return record;
}

/* What a peer tells again in a new connection is no other draw; what it tells then first is one. */
static void test_told_again(void **state)
{
    struct remote *remote = watch(340);
    told[0].endpoint = world_endpoint("10.0.0.8:7000");
    told[1].endpoint = world_endpoint("10.0.0.9:7000");
    remote->pex = told;
    audit.world.every = tell_by_pex;
    audit_run(360);
    assert_int_equal(remote->dials, 2);
    assert_non_null(audit.world.context);
    assert_int_equal(record_at("10.0.0.8:7000")->told, 1);
    assert_int_equal(record_at("10.0.0.9:7000")->told, 1);
    audit_deinit();
}

/* Others say that they could connect to one that came in. */
static void test_who_came_in_can_be_reached(void **state)
{
    (void)watch(300);
    struct world *world = &audit.world;
    struct remote *visitor = world_remote(world, "10.0.0.3:7000");
    struct sk_endpoint endpoint = world_endpoint("10.0.0.3:7000");
    world_hold(visitor, 0, 4);
    world_start(world);
    world_run(world, 1);
    assert_non_null(world_connect(world, visitor, "10.0.0.3:40000"));
    world_run(world, 10);
    sk_peer_book_find(&world->torrent->book, &endpoint)->pex_flags = SK_PEX_REACHABLE;
    audit_run(320);
    assert_int_equal(visitor->dials, 1);
    assert_false(audit_peer("10.0.0.3:7000")->incoming);
    audit_deinit();
}

/* With no room left its own place is free for it. */
static void test_no_room(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){
        .engine = {.connections_max = 2}, .config = {.connections_max = 2, .watch_s = 300}});
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 4);
    world_peer(world, "10.0.0.2:7000");
    audit_run(320);
    assert_int_equal(remote->dials, 2);
    audit_deinit();
}

static unsigned visits;

/* A visitor comes while we are away from the one that is silent. */
static void visit(struct world *world)
{
    audit_every(world);
    bool away = world->links && !world->links->next;
    if (!away || visits)
        return;
    visits++;
    assert_null(world_connect(world, world_remote(world, "10.0.0.3:7000"), "10.0.0.3:40000"));
}

/* It has its own place still, and nobody else is hung up on for it. */
static void test_place_is_kept(void **state)
{
    struct world *world = audit_init(&(struct audit_setup){
        .engine = {.connections_max = 2}, .config = {.connections_max = 2, .watch_s = 300}});
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 4);
    world_peer(world, "10.0.0.2:7000");
    world_start(world);
    world_run(world, 5);
    visits = 0;
    world->every = visit;
    audit_run(320);
    assert_int_equal(visits, 1);
    assert_int_equal(remote->dials, 2);
    assert_float_equal(audit_peer("10.0.0.2:7000")->seen_s, 300, 3);
    assert_float_equal(audit_peer(address)->seen_s, 290, 3);
    audit_deinit();
}

/* A teller of HAVEs of what it had already told is silent. */
static void repeat_each_second(struct world *world)
{
    audit_every(world);
    for (struct link *link = world->links; link; link = link->next)
        if (link->session && world->now_ns % SK_SECOND_NS == 0)
            (void)sk_peer_send_have(link->session, 0);
}

static void test_what_is_told_again_is_no_gain(void **state)
{
    struct remote *remote = watch(300);
    audit.world.every = repeat_each_second;
    audit_run(320);
    assert_int_equal(remote->dials, 2);
    audit_deinit();
}

static void refuse_later(struct world *world)
{
    audit_every(world);
    if (world->now_ns - audit.auditor->started_ns > 100 * SK_SECOND_NS)
        world->remotes->answer = REFUSES;
}

/* Whom we do not reach any more has not left, for all we know. */
static void test_not_let_in_again(void **state)
{
    struct remote *remote = watch(300);
    audit.world.every = refuse_later;
    audit_run(320);
    assert_int_equal(remote->dials, 1 + 4);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_null(audit_peer(address)->reason);
    assert_int_equal(audit_peer(address)->pieces, 4);
    assert_false(audit.auditor->records[0]->left);
    assert_true(audit.auditor->records[0]->settled);
    struct sk_hidden hidden;
    uint32_t present;
    sk_auditor_hidden(audit.auditor, audit.world.now_ns, &hidden, &present);
    assert_int_equal(present, 1);
    audit_deinit();
}

static void come_in_between(struct world *world)
{
    audit_every(world);
    struct sk_record *record = audit.auditor->records[0];
    if (record->renews && world->remotes->dials == 1 && !world->context)
        world->context = world_connect(world, world->remotes, "10.0.0.1:40000");
}

/* The peer calls us while we are away: both connections are of one peer, that was measured. */
static void test_comes_by_itself(void **state)
{
    struct remote *remote = watch(300);
    remote->block_s = 0.05;
    audit.world.every = come_in_between;
    audit_run(320);
    assert_non_null(audit.world.context);
    assert_int_equal(remote->dials, 1);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_true(peer->incoming);
    assert_int_equal(peer->delivered_bytes, 4 * PIECE);
    assert_float_equal(peer->delivered.rate, 16384 / 0.05, 16384 / 0.05 * 0.2);
    assert_true(peer->connected_s < 2);
    assert_float_equal(peer->seen_s, 300, 3);
    assert_int_equal(audit.report.known, 1);
    assert_int_equal(timeline_peer()->watched_count, 2);
    assert_true(timeline_peer()->watched[1].renewed);
    audit_deinit();
}

static uint64_t opened_ns[20];
static uint32_t opened_count;

static void note_opened(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_CLOSED && opened_count < SK_ARRAY_LEN(opened_ns))
        opened_ns[opened_count++] = event->now_ns;
}

/* Twenty that are silent: one after the other. */
static void test_one_at_a_time(void **state)
{
    (void)watch(300);
    for (int i = 2; i <= 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        world_hold(world_peer(&audit.world, text), 0, 4);
    }
    opened_count = 0;
    audit.world.hook = note_opened;
    audit_run(320);
    assert_int_equal(opened_count, 20);
    for (uint32_t i = 1; i < opened_count; i++)
        assert_true(opened_ns[i] - opened_ns[i - 1] >= SK_RENEWAL_PAUSE_NS);
    audit_deinit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_is_asked),
        cmocka_unit_test(test_gains_in_silence),
        cmocka_unit_test(test_ever_less_often),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_no_watch),
        cmocka_unit_test(test_others_are_left_alone),
        cmocka_unit_test(test_visitors_take_no_turn),
        cmocka_unit_test(test_told_again),
        cmocka_unit_test(test_who_came_in_can_be_reached),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_place_is_kept),
        cmocka_unit_test(test_what_is_told_again_is_no_gain),
        cmocka_unit_test(test_not_let_in_again),
        cmocka_unit_test(test_comes_by_itself),
        cmocka_unit_test(test_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
