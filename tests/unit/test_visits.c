/* Clients that a tracker's log tells of and no source told us of: what they may have taken, for the
 * good of who gave it, and how much of that anybody could make up. */
#include "verdict_world.h"

#define SEED 1
#define LEECHER 2
#define VISITOR 9
#define OTHER 10
#define PERIODS 8
#define END_S 2500
#define RATE (PIECE / 30.0) /* of the leecher */

/* A seed, and a leecher that gains ten pieces in each five minutes. */
static void begin_trade(struct world *world)
{
    begin(world);
    join(world, 0, SEED, PIECES);
    join(world, 0.5, LEECHER, 10);
    gain(world, LEECHER, 10, 90, 0.5, PERIODS * PERIOD_S + 0.5);
    for (int k = 0; k <= PERIODS; k++) {
        uint64_t bytes = (uint64_t)SK_MIN((4 + k * PERIOD_S) / 30, 80) * PIECE;
        say(world, 5 + k * PERIOD_S, LEECHER, 0, bytes, SIZE - 10 * (uint64_t)PIECE - bytes);
    }
}

/* The seed has uploaded what the leecher gained, and so many pieces more by each announce. */
static void say_uploads(struct world *world, const uint64_t more[PERIODS + 1])
{
    for (int k = 0; k <= PERIODS; k++)
        say(world, 5 + k * PERIOD_S, SEED, ((uint64_t)k * 10 + more[k]) * PIECE, 0, 0);
}

/* So many pieces in each period. */
static void say_uploads_more(struct world *world, uint64_t each)
{
    uint64_t more[PERIODS + 1];
    for (uint64_t k = 0; k <= PERIODS; k++)
        more[k] = k * each;
    say_uploads(world, more);
}

/* Somebody comes, takes so many pieces and goes. */
static void visit(struct world *world, double from_s, double until_s, uint8_t n, uint64_t pieces)
{
    say(world, from_s, n, 0, 0, SIZE)->event = SK_ANNOUNCE_STARTED;
    say(world, until_s, n, 0, pieces * PIECE, SIZE - pieces * PIECE)->event = SK_ANNOUNCE_STOPPED;
}

/* From now on what `visit()` announced so many times comes from behind the address of a peer. */
static void move(struct world *world, size_t visits, uint8_t to)
{
    for (size_t i = world->count - 2 * visits; i < world->count; i++) {
        world->announces[i].endpoint = address(to);
        world->announces[i].endpoint.port = 7000;
    }
}

/* What visitors may have taken of a peer from a time to another, at so many bytes a second: those
 * behind its own address, and others. */
static double beside_of(const struct world *world, uint8_t giver, double from_s, double until_s,
                        double rate, double *ret_others)
{
    const struct sk_endpoint endpoint = address(giver);
    double beside, all = sk_visits_taken(&world->verdicts.reports.visits, &endpoint, from_s,
                                         until_s, rate, &beside);
    *ret_others = all - beside;
    return beside;
}

static double taken_of(const struct world *world, uint8_t giver, double from_s, double until_s,
                       double rate)
{
    double others;
    beside_of(world, giver, from_s, until_s, rate, &others);
    return others;
}

static double taken(const struct world *world, double from_s, double until_s, double rate)
{
    return taken_of(world, SEED, from_s, until_s, rate);
}

static void assert_taken(const struct world *world, double from_s, double until_s, double rate,
                         double bytes)
{
    assert_true(fabs(taken(world, from_s, until_s, rate) - bytes) < 1);
}

/* ---- who gave it ---- */

static void test_giver(void **state)
{
    static const uint64_t more[PERIODS + 1] = {0, 0, 0, 30, 30, 30, 60, 60, 60};
    for (int visits = 0; visits <= 1; visits++) {
        struct world world;
        begin_trade(&world);
        if (visits) {
            visit(&world, 650, 750, VISITOR, 30);
            visit(&world, 1600, 1700, OTHER, 30);
        }
        say_uploads(&world, more);
        judge(&world, END_S);
        if (visits)
            assert_clear(&world, SEED);
        else
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        end(&world);
    }
}

/* Their `stopped` got lost, or the log has no more of them than one announce amidst. */
static void test_giver_of_one_announce(void **state)
{
    static const enum sk_announce_event events[] = {SK_ANNOUNCE_STARTED, SK_ANNOUNCE_NONE};
    static const uint64_t more[PERIODS + 1] = {0, 0, 9, 9, 9, 9, 18, 18, 18};
    for (size_t i = 0; i < SK_ARRAY_LEN(events); i++) {
        struct world world;
        begin_trade(&world);
        uint64_t had = events[i] == SK_ANNOUNCE_STARTED ? 0 : 9 * PIECE;
        say(&world, had ? 590 : 310, VISITOR, 0, had, SIZE - had)->event = events[i];
        say(&world, had ? 1790 : 1510, OTHER, 0, had, SIZE - had)->event = events[i];
        say_uploads(&world, more);
        judge(&world, END_S);
        assert_clear(&world, SEED);
        end(&world);
    }
}

/* Behind the address of a peer that we know is somebody whom we do not, who took something of
 * another one: not of that peer. */
static void test_giver_to_a_neighbour(void **state)
{
    static const uint64_t more[PERIODS + 1] = {0, 0, 0, 30, 30, 30, 60, 60, 60};
    struct world world;
    begin_trade(&world);
    visit(&world, 650, 750, VISITOR, 30);
    visit(&world, 1600, 1700, OTHER, 30);
    move(&world, 2, LEECHER);
    say_uploads(&world, more);
    judge(&world, END_S);
    assert_clear(&world, SEED);
    assert_int_not_equal(verdict(&world, SEED)->why, SK_WHY_NEIGHBOUR);
    assert_taken(&world, 0, END_S, 1e9, 60 * PIECE);
    assert_true(taken_of(&world, LEECHER, 0, END_S, 1e9) == 0);
    end(&world);
}

static void assert_neighbour(const struct world *world, uint8_t n)
{
    const struct sk_verdict_peer *peer = verdict(world, n);
    assert_int_equal(peer->result, SK_VERDICT_CANNOT_TELL);
    assert_int_equal(peer->why, SK_WHY_NEIGHBOUR);
    assert_int_equal(peer->findings[SK_CHECK_UPLOADED_GAINS].against, 0);
    struct sk_verdict told;
    sk_verdict_write(&world->verdicts, (uint32_t)(peer - world->verdicts.peers), &told);
    assert_string_equal(told.why, "neighbour");
    assert_string_equal(told.evidence, sk_verdict_why_words("neighbour"));
}

/* Behind the giver's own address: nobody can tell whether it is one that the giver made up. The
 * tracker may know when it left, or not. Where the giver gave it nothing, it does not matter. */
static void test_giver_to_its_own_neighbour(void **state)
{
    static const uint64_t gave[PERIODS + 1] = {0, 0, 0, 9, 9, 9, 18, 18, 18}, nothing[PERIODS + 1];
    for (int k = 0; k < 3; k++) {
        struct world world;
        begin_trade(&world);
        visit(&world, 650, 750, VISITOR, 9);
        visit(&world, 1600, 1700, OTHER, 9);
        move(&world, 2, SEED);
        for (size_t i = world.count - 4; k == 1 && i < world.count; i++)
            world.announces[i].downloaded = SK_ANNOUNCE_UNKNOWN;
        say_uploads(&world, k < 2 ? gave : nothing);
        judge(&world, END_S);
        if (k < 2)
            assert_neighbour(&world, SEED);
        else
            assert_int_not_equal(verdict(&world, SEED)->why, SK_WHY_NEIGHBOUR);
        end(&world);
    }
}

/* One that feeds visitors alone, more of them than there are peers that we know. */
static void test_giver_to_visitors_alone(void **state)
{
    static const uint64_t more[PERIODS + 1] = {0, 0, 0, 90, 90, 180, 180, 270, 270};
    struct world world;
    begin(&world);
    join(&world, 0, SEED, PIECES);
    for (uint8_t k = 0; k < 3; k++)
        visit(&world, 650 + 600 * k, 750 + 600 * k, (uint8_t)(VISITOR + k), 90);
    for (int k = 0; k <= PERIODS; k++)
        say(&world, 5 + k * PERIOD_S, SEED, more[k] * PIECE, 0, 0);
    judge(&world, END_S);
    assert_clear(&world, SEED);
    end(&world);
}

/* ---- who lies ---- */

/* Twice as much as it gave: without visitors, with one of long before, and with seeds. */
static void test_doubled(void **state)
{
    for (int k = 0; k < 3; k++) {
        struct world world;
        begin_trade(&world);
        if (k == 1)
            visit(&world, -4 * 3600, -3 * 3600, VISITOR, 90);
        for (int i = 0; k == 2 && i < 8; i++)
            say(&world, 100 + 250 * i, (uint8_t)(VISITOR + i), 0, 0, 0);
        say_uploads_more(&world, 10);
        judge(&world, END_S);
        assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        end(&world);
    }
}

/* Bytes for nobody, 50 KB/s: one that comes for three minutes explains no more than these. */
static void test_ghost(void **state)
{
    struct world world;
    begin_trade(&world);
    visit(&world, 650, 830, VISITOR, 9);
    say_uploads_more(&world, 15);
    judge(&world, END_S);
    assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
    end(&world);
}

/* Clients that are made up, at the address of one that we know or under its peer id: under the
 * address they explain what one visitor can have taken, and make nobody consistent. */
static void test_made_up_by_a_peer(void **state)
{
    static const struct {
        bool own_id;
        uint64_t more;
        bool found;
    } cases[] = {{true, 10, true}, {false, 10, false}, {false, 30, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world world;
        begin_trade(&world);
        for (int k = 0; k < PERIODS; k++)
            visit(&world, 6 + k * PERIOD_S, 300 + k * PERIOD_S, VISITOR, 10);
        if (!cases[i].own_id)
            move(&world, PERIODS, SEED);
        for (size_t k = world.count - 2 * (size_t)PERIODS; cases[i].own_id && k < world.count; k++)
            world.announces[k].peer_id[19] = SEED;
        say_uploads_more(&world, cases[i].more);
        judge(&world, END_S);
        assert_int_equal(world.verdicts.reports.unmatched, 2 * PERIODS);
        double others, beside = beside_of(&world, SEED, 0, END_S, RATE, &others);
        assert_true(others == 0);
        assert_true(cases[i].own_id == (beside == 0));
        assert_true(fabs(taken_of(&world, LEECHER, 0, END_S, RATE) - beside) < 1);
        if (cases[i].found)
            assert_false_by(&world, SEED, SK_CHECK_UPLOADED_GAINS);
        else
            assert_neighbour(&world, SEED);
        end(&world);
    }
}

/* ---- how much ---- */

static void test_amounts(void **state)
{
    struct world world;
    begin_trade(&world);
    say(&world, 600, VISITOR, 0, 0, 20 * PIECE)->event = SK_ANNOUNCE_STARTED;
    judge(&world, END_S);
    /* Until the next announce is due, by those of the leecher. */
    assert_taken(&world, 0, END_S, 1000, 300 * 1000);
    assert_taken(&world, 500, 700, 1000, 100 * 1000);
    assert_taken(&world, 850, 1000, 1000, 50 * 1000);
    assert_true(taken(&world, 0, 599, 1000) == 0 && taken(&world, 901, END_S, 1000) == 0);
    assert_true(taken(&world, 700, 700, 1000) == 0);
    /* Never more than it lacks. */
    assert_taken(&world, 0, END_S, INFINITY, 20 * PIECE);
    assert_true(taken(&world, 901, END_S, INFINITY) == 0);
    end(&world);

    begin_trade(
        &world); /* before the first announce there is of it: no more than it says to have */
    say(&world, 600, VISITOR, 0, 5 * PIECE, 0);
    judge(&world, END_S);
    assert_taken(&world, 0, END_S, 1000, 300 * 1000);
    assert_taken(&world, 0, END_S, INFINITY, 5 * PIECE);
    assert_true(taken(&world, 0, 299, 1000) == 0 && taken(&world, 601, END_S, 1000) == 0);
    end(&world);

    begin_trade(&world); /* its own word, whichever part of the time is looked at */
    visit(&world, 600, 800, VISITOR, 30);
    judge(&world, END_S);
    assert_taken(&world, 0, END_S, 1e9, 30 * PIECE);
    assert_taken(&world, 700, 701, 1, 30 * PIECE);
    assert_true(taken(&world, 801, END_S, 1e9) == 0 && taken(&world, 0, 599, 1e9) == 0);
    end(&world);
}

/* With a magnet link alone one says to lack a byte; some say nothing at all. */
static void test_untold(void **state)
{
    static const uint64_t lefts[] = {1, 16384, SK_ANNOUNCE_UNKNOWN};
    for (size_t i = 0; i < SK_ARRAY_LEN(lefts); i++) {
        struct world world;
        begin_trade(&world);
        struct sk_announce *announce = say(&world, 600, VISITOR, 0, SK_ANNOUNCE_UNKNOWN, lefts[i]);
        announce->event = SK_ANNOUNCE_STARTED;
        announce->has_peer_id = false;
        announce->endpoint.family = SK_FAMILY_NONE;
        judge(&world, END_S);
        assert_taken(&world, 0, END_S, 1000, 300 * 1000);
        assert_taken(&world, 0, END_S, INFINITY, (double)SIZE);
        end(&world);
    }
}

/* One address is one visitor, however many clients it makes up, and takes the torrent once. */
static void test_one_address(void **state)
{
    for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
        struct world world;
        begin_trade(&world);
        for (int i = 0; i < 100; i++) {
            visit(&world, 10 + i * 20, 20 + i * 20, (uint8_t)(100 + i), 90);
            for (size_t k = world.count - 2; k < world.count; k++) {
                struct sk_endpoint *at = &world.announces[k].endpoint;
                at->addr[3] = VISITOR;
                if (ipv6)
                    *at = (struct sk_endpoint){
                        .family = SK_FAMILY_V6, .addr = {0x20, 1, [15] = (uint8_t)i}, .port = 6881};
            }
        }
        judge(&world, END_S);
        assert_taken(&world, 0, END_S, 0, (double)SIZE);
        end(&world);

        begin_trade(&world);
        for (int i = 0; i < 100; i++)
            say(&world, 10 + i * 20, (uint8_t)(100 + i), 0, PIECE, SIZE)->endpoint.addr[3] =
                VISITOR;
        judge(&world, END_S);
        assert_true(taken(&world, 0, 1000, 1000) <= 1000.0 * 1000);
        end(&world);
    }
}

/* Many addresses are no more visitors at a time than we know peers, or eight. */
#define MOST 8
static void test_many_addresses(void **state)
{
    struct world world;
    begin_trade(&world);
    for (int i = 0; i < 200; i++)
        visit(&world, 10, 2000, (uint8_t)(20 + i), 90);
    judge(&world, END_S);
    assert_taken(&world, 0, END_S, 1e9, (double)MOST * SIZE);
    end(&world);

    begin_trade(&world);
    for (int i = 0; i < 200; i++)
        say(&world, 600, (uint8_t)(20 + i), 0, 0, SIZE)->event = SK_ANNOUNCE_STARTED;
    judge(&world, END_S);
    assert_taken(&world, 0, END_S, 1000, MOST * 300 * 1000);
    assert_taken(&world, 700, 800, 1000, MOST * 100 * 1000);
    end(&world);
}

/* No more than there is room for, nor what is told of a time far from the audit. */
static void test_room(void **state)
{
    struct world world;
    begin_trade(&world);
    size_t count = SK_VISITS_MAX + 5;
    struct sk_announce *announces = sk_mem_calloc(count, sizeof *announces);
    assert_non_null(announces);
    for (size_t i = 0; i < count; i++) {
        announces[i] = world.announces[0];
        announces[i].has_peer_id = false;
        announces[i].endpoint = sk_endpoint_v4(
            (const uint8_t[]){11, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}, 6881);
        announces[i].at_unix_s = UNIX_S + (i < 3 ? 1e6 : (double)(i % 2000));
    }
    sk_mem_free(world.announces);
    world.announces = announces;
    world.count = count;
    judge(&world, END_S);
    assert_int_equal(world.verdicts.reports.unmatched, count);
    assert_int_equal(world.verdicts.reports.visits.dropped, 2);
    assert_true(taken(&world, 0, END_S, 1000) <= MOST * END_S * 1000.0 + 1);
    end(&world);
}

static void test_memory(void **state)
{
    struct world world;
    begin_trade(&world);
    visit(&world, 650, 750, VISITOR, 30);
    say_uploads_more(&world, 0);
    sk_timeline_close(&world.timeline, BEGIN_NS + (uint64_t)(END_S * 1e9));
    int err = SKEP_ERR_NOMEM;
    size_t nth = 0;
    while (err == SKEP_ERR_NOMEM) {
        sk_mem_fail_nth(++nth);
        err = sk_verdicts_init(&world.verdicts, &world.timeline, world.announces, world.count,
                               &world.config);
    }
    sk_mem_fail_nth(0);
    assert_int_equal(err, 0);
    assert_true(nth > 10);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_giver),
        cmocka_unit_test(test_giver_of_one_announce),
        cmocka_unit_test(test_giver_to_a_neighbour),
        cmocka_unit_test(test_giver_to_its_own_neighbour),
        cmocka_unit_test(test_giver_to_visitors_alone),
        cmocka_unit_test(test_doubled),
        cmocka_unit_test(test_ghost),
        cmocka_unit_test(test_made_up_by_a_peer),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_untold),
        cmocka_unit_test(test_one_address),
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
