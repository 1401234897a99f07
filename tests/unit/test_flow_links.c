/* Which links flows are laid on: as peer exchange told them, and what it leaves open. */
#include "base/assert.h"
#include "flow_world.h"

#include <skep/err.h>

static void test_no_link_no_flow(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, PIECES);
    tell_bits(&timeline, 1, 3, 0);
    tell_link(&timeline, 2, 3, 1);
    for (uint32_t i = 0; i < 4; i++)
        tell_have(&timeline, 20 + i, 3, i);
    estimate(&timeline, &usual, &flows);
    assert_float_equal(edge(&timeline, &flows, 1, 3).bytes, 4 * PIECE, 1);
    assert_float_equal(edge(&timeline, &flows, 2, 3).bytes, 0, 0);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* 2 told twice, and only the second time of 3: they met after the first. */
static void test_linked_later(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, PIECES);
    tell_bits(&timeline, 1, 3, 0);
    tell_link(&timeline, 2, 3, 1);
    tell_link(&timeline, 5, 2, 1);
    for (uint32_t i = 0; i < 4; i++)
        tell_have(&timeline, 12 + i, 3, i);
    tell_link(&timeline, 65, 2, 3);
    for (uint32_t i = 4; i < 8; i++)
        tell_have(&timeline, 66 + i, 3, i);
    estimate(&timeline, &usual, &flows);
    assert_true(edge(&timeline, &flows, 1, 3).bytes > 5.5 * PIECE);
    assert_true(edge(&timeline, &flows, 2, 3).bytes > PIECE);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* Who tells more links in all than go into one message has not filled one. */
static void test_many_messages(void **state)
{
    struct sk_timeline timeline;
    struct sk_flows flows;
    begin(&timeline);
    tell_bits(&timeline, 1, 1, PIECES);
    tell_bits(&timeline, 1, 2, PIECES);
    tell_bits(&timeline, 1, 3, 0);
    tell_link(&timeline, 2, 3, 1);
    for (uint32_t i = 0; i < 49; i++)
        tell_bits(&timeline, 1.5, 10 + i, 0);
    for (uint32_t i = 0; i < 49; i++)
        tell_link(&timeline, 2 + 60 * (i / 30), 3, 10 + i);
    for (uint32_t i = 0; i < 4; i++)
        tell_have(&timeline, 200 + i, 3, i);
    tell_link(&timeline, 400, 3, 2);
    estimate(&timeline, &usual, &flows);
    assert_float_equal(edge(&timeline, &flows, 1, 3).bytes, 4 * PIECE, 1);
    sk_flows_deinit(&flows);
    sk_timeline_deinit(&timeline);
}

/* What becomes of the link to 1, of which 3 told before we were away from 3. */
static void test_ended_while_away(void **state)
{
    static const struct {
        bool told, again, dropped, full, gives;
    } cases[] = {
        {.gives = true}, /* 3 tells nothing then: who knows */
        {.told = true},
        {.told = true, .again = true, .gives = true},
        {.told = true, .again = true, .dropped = true},
        {.told = true, .full = true, .gives = true}, /* there may be more to tell */
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_timeline timeline;
        struct sk_flows flows;
        two_sources(&timeline, 0);
        tell_link(&timeline, 2, 3, 1);
        tell_link(&timeline, 2, 3, 2);
        tell(&timeline, 200, 3, (struct sk_observation){.kind = SK_OBS_CLOSED});
        tell_bits(&timeline, 210, 3, 0);
        if (cases[i].told)
            tell_link(&timeline, 215, 3, 2);
        if (cases[i].again)
            tell_link(&timeline, 215, 3, 1);
        for (uint32_t n = 10; cases[i].full && n < 60; n++) {
            tell_bits(&timeline, 215, n, 0);
            tell_link(&timeline, 215, 3, n);
        }
        if (cases[i].dropped)
            tell(&timeline, 300, 1,
                 (struct sk_observation){.kind = SK_OBS_DROPPED, .by = address(3)});
        for (uint32_t piece = 0; piece < 4; piece++)
            tell_have(&timeline, 400 + piece, 3, piece);
        estimate(&timeline, &usual, &flows);
        assert_true(edge(&timeline, &flows, 2, 3).bytes > PIECE);
        assert_int_equal(cases[i].gives, edge(&timeline, &flows, 1, 3).bytes > PIECE);
        sk_flows_deinit(&flows);
        sk_timeline_deinit(&timeline);
    }
}

static void tell_open(struct sk_timeline *timeline, double at_s, uint32_t n, uint8_t id)
{
    const uint8_t peer_id[20] = {id};
    tell(timeline, at_s, n,
         (struct sk_observation){.kind = SK_OBS_OPEN, .bytes = sk_bytes(peer_id, sizeof peer_id)});
}

/* Lists that do not tell all: libtorrent's have no more than 100, aria2's what is a minute old. */
static void test_list_is_not_all(void **state)
{
    static const struct {
        uint8_t id;     /* of 3 when we are back; it was 1 */
        uint32_t links; /* in its list, none of them told before */
        bool later;     /* then another one */
        bool again;     /* the list has that to 2 */
        bool gives;     /* that to 1 may be there still */
    } cases[] = {
        {.id = 1, .links = 1, .gives = true},
        {.id = 1, .links = 1, .again = true},
        {.id = 2, .links = 1},
        {.id = 2, .links = 60, .again = true, .gives = true},
        {.id = 2, .links = 60, .again = true, .later = true, .gives = true},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_timeline timeline;
        struct sk_flows flows;
        begin(&timeline);
        tell_bits(&timeline, 1, 1, PIECES);
        tell_bits(&timeline, 1, 2, PIECES);
        for (uint32_t n = 10; n < 71; n++)
            tell_bits(&timeline, 1, n, 0);
        tell_open(&timeline, 1, 3, 1);
        tell_bits(&timeline, 1, 3, 0);
        tell_link(&timeline, 2, 3, 1);
        tell_link(&timeline, 2, 3, 2);
        tell(&timeline, 200, 3, (struct sk_observation){.kind = SK_OBS_CLOSED});
        tell_open(&timeline, 210, 3, cases[i].id);
        for (uint32_t n = 0; n < cases[i].links; n++)
            tell_link(&timeline, 215, 3, 10 + n);
        if (cases[i].again)
            tell_link(&timeline, 215, 3, 2);
        if (cases[i].later)
            tell_link(&timeline, 280, 3, 70);
        for (uint32_t piece = 0; piece < 4; piece++)
            tell_have(&timeline, 400 + piece, 3, piece);
        estimate(&timeline, &usual, &flows);
        assert_int_equal(cases[i].gives, edge(&timeline, &flows, 1, 3).bytes > PIECE);
        sk_flows_deinit(&flows);
        sk_timeline_deinit(&timeline);
    }
}

/* 1 tells of 3 when we come back, and did not before: they met at some time in between. */
static void test_begun_while_away(void **state)
{
    static const struct {
        uint32_t at_s;
        bool gives;
    } cases[] = {{90, false}, {600, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_timeline timeline;
        struct sk_flows flows;
        begin(&timeline);
        tell_bits(&timeline, 1, 1, PIECES);
        tell_bits(&timeline, 1, 2, 0);
        tell_bits(&timeline, 1, 3, 0);
        tell_link(&timeline, 2, 1, 2);
        for (uint32_t piece = 0; cases[i].at_s < 100 && piece < 4; piece++)
            tell_have(&timeline, cases[i].at_s + piece, 3, piece);
        tell(&timeline, 100, 1, (struct sk_observation){.kind = SK_OBS_CLOSED});
        for (uint32_t piece = 0; cases[i].at_s > 100 && piece < 4; piece++)
            tell_have(&timeline, cases[i].at_s + piece, 3, piece);
        tell_bits(&timeline, 1000, 1, PIECES);
        tell_link(&timeline, 1010, 1, 2);
        tell_link(&timeline, 1010, 1, 3);
        estimate(&timeline, &usual, &flows);
        assert_float_equal(edge(&timeline, &flows, 1, 3).bytes, cases[i].gives ? 4 * PIECE : 0, 1);
        sk_flows_deinit(&flows);
        sk_timeline_deinit(&timeline);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_link_no_flow), cmocka_unit_test(test_linked_later),
        cmocka_unit_test(test_many_messages),   cmocka_unit_test(test_ended_while_away),
        cmocka_unit_test(test_list_is_not_all), cmocka_unit_test(test_begun_while_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
