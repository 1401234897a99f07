/* When an audit is done: each rule, and each thing that holds it back. */
#include "audit/stopping.h"

#include "base/assert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* An audit in which nothing is left to wait for. */
static struct sk_stopping_input quiet(void)
{
    return (struct sk_stopping_input){
        .elapsed_s = 60,
        .has_metadata = true,
        .known = 10,
        .trackers = 1,
        .next_draw_s = INFINITY,
        .old_run = 10,
        .hidden_most = NAN,
        .since_new_s = 30,
        .linger_s = 5,
    };
}

#define RULE(change, rule)                                                                         \
    do {                                                                                           \
        struct sk_stopping_input in = quiet();                                                     \
        change;                                                                                    \
        assert_int_equal(sk_stopping_decide(&in), rule);                                           \
    } while (0)

static void test_exhausted(void **state)
{
    RULE(, SK_STOPPING_EXHAUSTED);
    RULE(in.unsettled = 1, SK_STOPPING_GO_ON);
    RULE(in.trackers_waiting = 1, SK_STOPPING_GO_ON);
    RULE(in.dht_waiting = true, SK_STOPPING_GO_ON);
    RULE(in.pex_waiting = 1, SK_STOPPING_GO_ON);
    RULE(in.next_draw_s = 10, SK_STOPPING_GO_ON);
    RULE(in.next_draw_s = 10; in.tracker_repeats = 1, SK_STOPPING_EXHAUSTED);
    RULE(in.next_draw_s = SK_STOPPING_PATIENCE_S, SK_STOPPING_EXHAUSTED);
    RULE(in.elapsed_s = 4, SK_STOPPING_GO_ON);
    RULE(in.since_new_s = 0.5, SK_STOPPING_GO_ON);
    RULE(in.since_new_s = INFINITY, SK_STOPPING_EXHAUSTED);
}

static void test_draws_old(void **state)
{
    RULE(in.old_run = SK_STOPPING_DRAWS, SK_STOPPING_DRAWS_OLD);
    RULE(in.old_run = SK_STOPPING_DRAWS; in.pex_waiting = 5, SK_STOPPING_GO_ON);
    RULE(in.old_run = SK_STOPPING_DRAWS; in.trackers_waiting = 1, SK_STOPPING_GO_ON);
    RULE(in.old_run = SK_STOPPING_DRAWS; in.dht_waiting = true, SK_STOPPING_GO_ON);
    RULE(in.old_run = SK_STOPPING_DRAWS; in.unsettled = 1, SK_STOPPING_GO_ON);
    RULE(in.old_run = SK_STOPPING_DRAWS - 1; in.pex_waiting = 5, SK_STOPPING_GO_ON);
}

/* Where hidden peers can be estimated, their share decides. */
static void test_seen(void **state)
{
    RULE(in.present = 990; in.hidden_most = 10, SK_STOPPING_SEEN);
    RULE(in.present = 990; in.hidden_most = 10; in.old_run = 0, SK_STOPPING_SEEN);
    RULE(in.present = 989; in.hidden_most = 10; in.pex_waiting = 1, SK_STOPPING_GO_ON);
    RULE(in.present = 990; in.hidden_most = 10; in.pex_waiting = 1, SK_STOPPING_GO_ON);
    RULE(in.present = 990; in.hidden_most = 10; in.trackers_waiting = 1, SK_STOPPING_GO_ON);
    RULE(in.present = 990; in.hidden_most = 10; in.unsettled = 1, SK_STOPPING_GO_ON);
    RULE(in.present = 990; in.hidden_most = 10; in.has_metadata = false, SK_STOPPING_NO_METADATA);
    RULE(in.present = 0; in.hidden_most = 0; in.known = 0, SK_STOPPING_NOBODY);
    RULE(in.hidden_most = 20; in.present = 990, SK_STOPPING_EXHAUSTED);
#define MANY_OLD                                                                                   \
    in.next_draw_s = 1;                                                                            \
    in.old_run = 1000
    /* In a crowd old draws in a row do not replace it; in a small swarm they do, unless it says
     * that more than the 5 % that they bound may be hidden. */
    RULE(MANY_OLD; in.present = SK_STOPPING_CROWD; in.hidden_most = 4, SK_STOPPING_GO_ON);
    RULE(MANY_OLD; in.present = SK_STOPPING_CROWD - 1; in.hidden_most = 4, SK_STOPPING_DRAWS_OLD);
    RULE(MANY_OLD; in.present = 95; in.hidden_most = 5, SK_STOPPING_DRAWS_OLD);
    RULE(MANY_OLD; in.present = 94; in.hidden_most = 6, SK_STOPPING_GO_ON);
    RULE(MANY_OLD; in.present = SK_STOPPING_CROWD, SK_STOPPING_DRAWS_OLD);
#undef MANY_OLD
}

static void test_given_only(void **state)
{
    RULE(in.sources_off = true; in.elapsed_s = 0, SK_STOPPING_GIVEN_DONE);
    RULE(in.sources_off = true; in.unsettled = 1, SK_STOPPING_GO_ON);
    RULE(in.sources_off = true; in.has_metadata = false, SK_STOPPING_NO_METADATA);
    RULE(in.sources_off = true; in.known = 0; in.elapsed_s = 4, SK_STOPPING_GO_ON);
    RULE(in.sources_off = true; in.known = 0, SK_STOPPING_NOBODY);
}

static void test_watched(void **state)
{
    RULE(in.watch_s = 61, SK_STOPPING_GO_ON);
    RULE(in.watch_s = 60, SK_STOPPING_WATCHED);
    RULE(in.watch_s = 60; in.unsettled = 1, SK_STOPPING_WATCHED);
    RULE(in.watch_s = 60; in.has_metadata = false, SK_STOPPING_NO_METADATA);
    RULE(in.watch_s = 300; in.known = 0, SK_STOPPING_NOBODY);
}

static void test_nobody_and_nothing(void **state)
{
    RULE(in.known = 0, SK_STOPPING_NOBODY);
    RULE(in.known = 0; in.has_metadata = false, SK_STOPPING_NOBODY);
    RULE(in.known = 0; in.trackers_waiting = 1, SK_STOPPING_GO_ON);
    RULE(in.has_metadata = false, SK_STOPPING_NO_METADATA);
    RULE(in.has_metadata = false; in.old_run = 1000, SK_STOPPING_NO_METADATA);
}

static void test_texts(void **state)
{
    char text[256];
    struct sk_stopping_input in = quiet();
    in.old_run = 120;
    sk_stopping_text(SK_STOPPING_DRAWS_OLD, &in, text, sizeof text);
    assert_string_equal(text, "every known peer is settled; the last 120 addresses told were all "
                              "known, so at most 2.5 % of what the sources tell is unseen (95 %)");
    in.present = 995;
    in.hidden_most = 5;
    sk_stopping_text(SK_STOPPING_SEEN, &in, text, sizeof text);
    assert_string_equal(text, "every known peer is settled; of the peers that can be reached at "
                              "most 0.5 % are hidden (95 %)");
    in.hidden_most = NAN;
    in.old_run = 3;
    sk_stopping_text(SK_STOPPING_EXHAUSTED, &in, text, sizeof text);
    assert_non_null(strstr(text, "too few addresses were told twice"));
    for (int rule = SK_STOPPING_GO_ON; rule <= SK_STOPPING_NO_METADATA; rule++)
        assert_true(strlen(sk_stopping_text((enum sk_stopping_rule)rule, &in, text, sizeof text)) >
                    10);
    assert_int_equal(strlen(sk_stopping_text(SK_STOPPING_DRAWS_OLD, &in, text, 12)), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_draws_old),
        cmocka_unit_test(test_given_only),
        cmocka_unit_test(test_watched),
        cmocka_unit_test(test_nobody_and_nothing),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
