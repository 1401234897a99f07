/* The auditor gives a few pieces to chosen peers, sees how they spread, and says so. */
#include "audit_world.h"

#include "audit/flow_tracer.h"
#include "share_world.h"

#define PIECES 256u
#define GAINED 220u /* by the two together; at one in a hundred two can be offered */

static struct {
    uint32_t haves, got;
    uint32_t piece[8];
} taker;

/* Takes what it is told of, and tells when it has it. */
static void take(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_BLOCK && event->msg.begin + 16384 == PIECE) {
        taker.got++;
        (void)sk_peer_send_have(link->session, event->msg.index);
    }
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_HAVE) {
        taker.piece[taker.haves++ % SK_ARRAY_LEN(taker.piece)] = event->msg.index;
        (void)sk_peer_send_interest(link->session, true);
    }
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE)
        for (uint32_t i = 0; i < taker.haves; i++)
            for (uint32_t begin = 0; begin < PIECE; begin += 16384)
                (void)sk_peer_send_request(link->session, taker.piece[i], begin, 16384, 1);
}

static void count_kind(const struct sk_observation *observation, void *ctx)
{
    ((uint32_t *)ctx)[observation->kind]++;
}

static struct remote *leecher(const char *address)
{
    struct remote *remote = world_peer(&audit.world, address);
    world_hold(remote, 0, 0);
    return remote;
}

static void gain(struct remote *remote, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)sk_peer_send_have(share_session(&audit.world, remote), first + i);
    world_run(&audit.world, 1);
}

static struct world *begin(bool tracer, uint32_t *seen)
{
    memset(&taker, 0, sizeof taker);
    struct world *world = audit_init(&(struct audit_setup){
        .pieces = PIECES,
        .engine = {.save_dir = "/there", .give = tracer, .give_chosen = tracer},
        .config = {.tracer = tracer,
                   .watch_s = 60,
                   .no_probe = true,
                   .observe = count_kind,
                   .observe_ctx = seen}});
    for (uint32_t piece = 100; piece < PIECES - 1; piece++)
        skep_torrent_has_stored(world->torrent, piece);
    return world;
}

static void test_traced(void **state)
{
    uint32_t seen[SK_OBS_KIND_COUNT] = {0};
    struct world *world = begin(true, seen);
    struct remote *first = leecher("10.0.0.1:7000"), *other = leecher("10.0.0.2:7000");
    first->on_event = take;
    world_start(world);
    world_run(world, 3);
    gain(first, 0, GAINED / 2);
    world_run(world, 12); /* a hundred and ten pieces: one */
    assert_int_equal(seen[SK_OBS_OFFERED], 1);
    uint32_t piece = taker.piece[0];
    assert_true(piece >= GAINED / 2 && piece < PIECES - 1);
    world_run(world, 12);
    assert_int_equal(taker.got, 1);
    assert_int_equal(seen[SK_OBS_GIVEN], PIECE / 16384);
    assert_int_equal(other->got_bytes, 0);
    gain(other, piece, 1);
    world_run(world, 12);
    assert_int_equal(seen[SK_OBS_OFFERED], 1); /* the budget is spent */
    audit_run(60);
    assert_int_equal(audit.report.tracers_count, 1);
    const struct sk_report_tracer *tracer = &audit.report.tracers[0];
    struct sk_endpoint to = world_endpoint("10.0.0.1:7000");
    assert_true(sk_endpoint_equal(&tracer->to, &to));
    assert_int_equal(tracer->piece, piece);
    assert_int_equal(tracer->given_bytes, PIECE);
    assert_int_equal(tracer->held_by, 0);
    assert_int_equal(tracer->spread_to, 1);
    assert_true(tracer->given_s >= tracer->offered_s);
    assert_int_equal(audit.report.given_bytes, PIECE);
    /* What came from us is nobody's upload; what went on from there is. */
    assert_int_equal(audit.report.flows_count, 1);
    assert_true(sk_endpoint_equal(&audit.report.flows[0].from, &to));
    assert_float_equal(audit.report.flows[0].bytes, PIECE, 1);
    audit_deinit();
}

/* Asks for what it was told of again and again. */
static void take_again(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_HAVE)
        (void)sk_peer_send_interest(link->session, true);
    bool more = event->kind == SK_PEER_EVENT_BLOCK ||
                (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_HAVE);
    if (more)
        taker.piece[0] = event->msg.index;
    if (more || (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE))
        (void)sk_peer_send_request(link->session, taker.piece[0], 0, 16384, 1);
}

/* What is given is one piece in a hundred, whatever is asked for: a piece is no well. */
static void test_no_well(void **state)
{
    uint32_t seen[SK_OBS_KIND_COUNT] = {0};
    struct world *world = begin(true, seen);
    struct remote *greedy = leecher("10.0.0.1:7000");
    greedy->on_event = take_again;
    world_start(world);
    world_run(world, 3);
    gain(greedy, 0, GAINED / 2);
    audit_run(60);
    assert_int_equal(seen[SK_OBS_OFFERED], 1);
    assert_in_range(seen[SK_OBS_GIVEN], PIECE / 16384, 2 * (PIECE / 16384 + 1));
    audit_deinit();
}

/* Who has shown no gain is not chosen: nothing would be seen. Nor is anything offered unasked. */
static void test_not_to_the_idle(void **state)
{
    for (int tracer = 0; tracer < 2; tracer++) {
        uint32_t seen[SK_OBS_KIND_COUNT] = {0};
        struct world *world = begin(tracer, seen);
        struct remote *idle = leecher("10.0.0.1:7000"), *busy = leecher("10.0.0.2:7000");
        idle->on_event = take;
        world_start(world);
        world_run(world, 3);
        gain(busy, 0, GAINED / 2);
        world_run(world, 12);
        assert_int_equal(taker.haves, 0);
        assert_int_equal(seen[SK_OBS_OFFERED], tracer);
        audit_run(120);
        assert_int_equal(audit.report.tracers_count, tracer);
        audit_deinit();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_traced),
                                       cmocka_unit_test(test_no_well),
                                       cmocka_unit_test(test_not_to_the_idle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
