/* What the auditor does with a peer after its probe, while it watches. */
#include "audit_world.h"

#define PIECES 1024

static const char address[] = "10.0.0.1:7000";

static struct world *begin(const struct sk_auditor_config *config)
{
    return audit_init(&(struct audit_setup){.config = *config, .pieces = PIECES});
}

/* Four times a second it has one piece more. */
static void have_more(struct world *world)
{
    audit_every(world);
    for (struct link *link = world->links; link; link = link->next) {
        struct sk_bitfield *holds = &link->remote->holds;
        uint32_t next = 0;
        while (next < holds->count && sk_bitfield_has(holds, next))
            next++;
        if (!link->session || link->ended || next == holds->count)
            continue;
        sk_bitfield_add(holds, next);
        (void)sk_peer_send_have(link->session, next);
    }
}

/* One of which a probe tells no capacity: a block every two seconds. */
static struct remote *slow(const struct sk_auditor_config *config)
{
    struct remote *remote = world_peer(begin(config), address);
    world_hold(remote, 0, 32);
    remote->block_s = 2;
    return remote;
}

/* A few blocks more, now and then; what was delivered is as the first lap said. */
static void test_laps(void **state)
{
    struct remote *remote = slow(&(struct sk_auditor_config){.watch_s = 180});
    audit_run(200);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_in_range(remote->interested, 8, SK_PROBE_LAPS + 1);
    assert_in_range(remote->given, 5 + 8 * SK_PROBE_LAP_BLOCKS,
                    6 + SK_PROBE_LAPS * SK_PROBE_LAP_BLOCKS);
    assert_float_equal(peer->delivered.rate, 8192, 400);
    assert_true(peer->delivered_span_s < 11);
    assert_int_equal(peer->delivered_bytes, remote->given * SK_BLOCK_SIZE);
    audit_deinit();
}

/* They come out of the same budget. */
static void test_laps_within_the_budget(void **state)
{
    struct remote *remote =
        slow(&(struct sk_auditor_config){.watch_s = 120, .probe_bytes = 8 * SK_BLOCK_SIZE});
    audit_run(150);
    assert_int_equal(remote->given, 8);
    audit_deinit();
}

/* Nor is more taken of one than it holds. */
static void test_laps_within_what_it_holds(void **state)
{
    struct remote *remote = slow(&(struct sk_auditor_config){.watch_s = 120});
    world_hold(remote, 0, 2);
    remote->block_s = 0.5;
    audit_run(150);
    assert_int_equal(remote->given, 2 * 4);
    assert_int_equal(audit_peer(address)->blocks_verified, 2 * 4);
    audit_deinit();
}

static uint32_t most_running;

static void count_laps(struct world *world)
{
    audit_every(world);
    bool first = false;
    for (size_t i = 0; i < audit.auditor->count; i++)
        first |= !sk_probe_is_measured(&audit.auditor->records[i]->probe);
    if (!first && audit.auditor->count == 9)
        most_running = SK_MAX(most_running, audit.auditor->running);
}

/* They leave slots to first probes. */
static void test_laps_leave_slots(void **state)
{
    struct world *world = begin(&(struct sk_auditor_config){.watch_s = 120, .probes_max = 6});
    for (int i = 0; i < 9; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i + 1);
        world_peer(world, text)->block_s = 2;
    }
    most_running = 0;
    world->every = count_laps;
    audit_run(150);
    assert_int_equal(most_running, 3);
    audit_deinit();
}

static void test_no_laps_unless_it_watches(void **state)
{
    struct remote *remote = slow(&(struct sk_auditor_config){0});
    audit_run(60);
    world_run(&audit.world, 60);
    assert_int_equal(remote->interested, 1);
    audit_deinit();
}

/* It chokes in the middle of a lap, and goes. */
static void test_choked_and_left_in_a_lap(void **state)
{
    struct remote *remote = slow(&(struct sk_auditor_config){.watch_s = 150});
    remote->chokes_after_s = 3;
    remote->leaves_after = 9;
    audit_run(200);
    const struct sk_report_peer *peer = audit_peer(address);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_in_range(peer->delivered.rate, 3000, 9000);
    assert_true(remote->opened > 1 && remote->given > 9);
    audit_deinit();
}

/* It offered pieces that it did not have yet. */
static void test_offered_before_it_is_had(void **state)
{
    struct world *world = begin(&(struct sk_auditor_config){.watch_s = 30});
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 8, 4);
    remote->never_unchokes = true;
    remote->allowed_fast = 3;
    world->every = have_more;
    audit_run(60);
    assert_outcome(address, SK_OUTCOME_SERVED);
    assert_in_range(audit_peer(address)->blocks_verified, 4, 26);
    audit_deinit();
}

/* Ends a connection in which nobody has wanted anything for half a minute. */
static uint64_t wanted_ns;

static void note_want(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_OPEN ||
        (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_REQUEST))
        wanted_ns = link->remote->world->now_ns;
}

static void hang_up(struct world *world)
{
    have_more(world);
    for (struct link *link = world->links; link; link = link->next)
        if (link->session && world->now_ns - wanted_ns > 30 * SK_SECOND_NS)
            link->ended = true;
}

static uint32_t run_hanging_up(uint32_t holds, uint64_t probe_bytes, uint32_t blocks_most)
{
    struct world *world =
        begin(&(struct sk_auditor_config){.watch_s = 200, .probe_bytes = probe_bytes});
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, holds);
    remote->block_s = 0.01;
    remote->allowed_fast = 200;
    remote->never_unchokes = true;
    remote->on_event = note_want;
    world->every = hang_up;
    audit_run(230);
    uint32_t opened = remote->opened;
    assert_in_range(remote->given, 64, blocks_most);
    audit_deinit();
    return opened;
}

/* Of one that hung up a block is taken now and then, and it stays. But none of one that gains
 * nothing. */
static void test_kept(void **state)
{
    assert_int_equal(run_hanging_up(100, 0, 64 + 200 / 20), 2);
    assert_in_range(run_hanging_up(PIECES, 0, 64 + 200 / 20), 4, 20);
}

/* Nor more of anybody than was allowed. */
static void test_kept_within_the_budget(void **state)
{
    assert_in_range(run_hanging_up(100, 64 * SK_BLOCK_SIZE, 64), 4, 20);
}

/* One that comes back from another port is known by the one it listens on, and not probed anew. */
static void test_probed_once(void **state)
{
    struct world *world = begin(&(struct sk_auditor_config){.watch_s = 60});
    struct remote *remote = world_remote(world, address);
    remote->block_s = 0.01;
    world_start(world);
    world_run(world, 1);
    struct link *link = world_connect(world, remote, "10.0.0.1:40000");
    assert_non_null(link);
    world_run(world, 20);
    uint32_t given = remote->given;
    assert_in_range(given, 16, 256);
    link->ended = true;
    world_run(world, 1);
    assert_non_null(world_connect(world, remote, "10.0.0.1:40001"));
    world_run(world, 2);
    assert_int_equal(remote->opened, 2);
    assert_in_range(remote->given, given, given + SK_PROBE_LAP_BLOCKS);
    audit_run(60);
    assert_true(audit_peer(address)->delivered.rate > 1e6);
    audit_deinit();
}

static bool hangs_up_when_asked;

static void hang_up_when_asked(struct link *link, const struct sk_peer_event *event)
{
    link->ended |= hangs_up_when_asked && event->kind == SK_PEER_EVENT_MESSAGE &&
                   event->msg.kind == SK_MSG_REQUEST;
}

/* One that hangs up when it is asked, and is back at once, is not asked each time. */
static void test_back_at_once(void **state)
{
    struct world *world = begin(&(struct sk_auditor_config){.watch_s = 120});
    struct remote *remote = world_remote(world, address);
    remote->block_s = 2;
    remote->on_event = hang_up_when_asked;
    hangs_up_when_asked = false;
    world_start(world);
    world_run(world, 1);
    assert_non_null(world_connect(world, remote, "10.0.0.1:40000"));
    world_run(world, 20);
    hangs_up_when_asked = true;
    for (int i = 1; i <= 40; i++) {
        char from[32];
        snprintf(from, sizeof from, "10.0.0.1:%d", 40000 + i);
        (void)world_connect(world, remote, from);
        world_run(world, 1);
    }
    assert_int_equal(audit.auditor->records[0]->probe.lap, 0); /* moved away from there */
    assert_in_range(audit.auditor->records[1]->probe.lap, 2, 1 + 40 / 4);
    audit_run(120);
    audit_deinit();
}

/* Peers whose packets came spaced as by such lines, and what came in three seconds. */
static void report_lines(const double *rates, size_t count, double most, const char *how)
{
    struct world *world = begin(&(struct sk_auditor_config){0});
    for (size_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%zu:7000", i + 1);
        world_peer(world, text)->block_s = 0.5;
    }
    world_start(world);
    world_run(world, 20);
    assert_int_equal(audit.auditor->count, count);
    for (size_t i = 0; i < count; i++) {
        struct sk_probe *probe = &audit.auditor->records[i]->probe;
        assert_int_equal(probe->state, SK_PROBE_DONE);
        probe->capacity.how = i ? "pairs" : how;
        probe->capacity.rate = (struct sk_rate){rates[i], 0.98 * rates[i], NAN};
    }
    audit.auditor->downlink.most = most;
    assert_int_equal(
        sk_auditor_report(audit.auditor, SK_STOPPED_TIME, world->now_ns, &audit.report), 0);
    audit.reported = true;
}

/* As wide as several others, and none is wider: it may be our line that is so wide. */
static void test_lines_alike(void **state)
{
    static const double rates[] = {2e6, 0.5e6, 1e6, 1.02e6, 0.98e6};
    for (int wider = 0; wider < 2; wider++) {
        report_lines(rates + 1, 4, wider ? 4e6 : 3e6, "pairs");
        for (size_t i = 0; i < 4; i++) {
            const struct sk_report_peer *peer = &audit.report.peers[i];
            bool stands = wider || i == 0;
            assert_float_equal(peer->capacity.rate, rates[i + 1], 0);
            assert_float_equal(peer->capacity.low,
                               stands ? 0.98 * rates[i + 1] : peer->delivered.low, 0);
            assert_int_equal(sk_capacity_is_known(&peer->capacity, peer->capacity_how), stands);
        }
        audit_deinit();
    }
    report_lines(rates + 1, 3, 3e6, "pairs"); /* two are not several */
    for (size_t i = 0; i < 3; i++)
        assert_float_equal(audit.report.peers[i].capacity.low, 0.98 * rates[i + 1], 0);
    audit_deinit();
    report_lines(rates, 5, 3e6, "trains"); /* one shows that our line is wider */
    for (size_t i = 0; i < 5; i++)
        assert_float_equal(audit.report.peers[i].capacity.low, 0.98 * rates[i], 0);
    audit_deinit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_laps),
        cmocka_unit_test(test_laps_within_the_budget),
        cmocka_unit_test(test_laps_within_what_it_holds),
        cmocka_unit_test(test_laps_leave_slots),
        cmocka_unit_test(test_no_laps_unless_it_watches),
        cmocka_unit_test(test_choked_and_left_in_a_lap),
        cmocka_unit_test(test_offered_before_it_is_had),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_kept_within_the_budget),
        cmocka_unit_test(test_probed_once),
        cmocka_unit_test(test_back_at_once),
        cmocka_unit_test(test_lines_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
