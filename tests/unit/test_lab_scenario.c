/* Scenario files of skep lab: what each word does, and what each mistake is answered with. */
#include "base/assert.h"
#include "base/mem.h"
#include "cmd/lab_scenario.h"

#include <skep/err.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sk_lab_scenario *parse(const char *text)
{
    struct sk_lab_scenario *scenario = NULL;
    char reason[SK_LAB_REASON_MAX] = "";
    int err = sk_lab_scenario_parse("x.lab", sk_bytes_text(text), &scenario, reason);
    if (err)
        fail_msg("%s", reason);
    return scenario;
}

static void test_defaults(void **state)
{
    struct sk_lab_scenario *s = parse("[peers some]\nkind = seed\n");
    assert_true(s->torrent.size == 64u << 20 && s->torrent.piece_size == 256u << 10);
    assert_true(s->torrent.has_v1 && !s->torrent.has_v2);
    assert_true(s->tracker.http && s->tracker.udp);
    assert_int_equal(s->tracker.interval_s, 5);
    assert_int_equal(s->groups_count, 1);
    assert_int_equal(s->groups[0].count, 1);
    assert_null(s->groups[0].client);
    sk_mem_free(s);
}

static void test_every_key(void **state)
{
    struct sk_lab_scenario *s =
        parse("# all of them\r\n\n  [torrent]\t\nname = a b.iso\nsize=1GiB\npiece-size = 1M\n"
              "version = hybrid\nseed = 18446744073709551615\n"
              "[tracker]\nhttp = no\nudp = yes\ninterval = 60\nanswer = 7\n"
              "[peers all of it]\nkind = slow\ncount = 3\nclient = aria2\nshare = 0.25 .. 0.75\n"
              "rate = 20k..1M\ngrowth = 0.5\nunchoke-after = 3\nchoke-after = 2.5\n"
              "leave-after = 1m\ncorrupt = 0.1\nlazy = 5\nallowed-fast = 6\nencryption = plain\n"
              "tracker = no\npex = no\nmetadata = no\nfast = no\nextensions = no\n"
              "[peers more]\nkind = choking\nunchoke-after = never\nclient = mixed");
    assert_string_equal(s->torrent.name, "a b.iso");
    assert_true(s->torrent.size == 1u << 30 && s->torrent.piece_size == 1u << 20);
    assert_true(s->torrent.has_v1 && s->torrent.has_v2 && s->torrent.seed == UINT64_MAX);
    assert_true(!s->tracker.http && s->tracker.udp && s->tracker.want_max == 7);
    const struct sk_lab_group *g = &s->groups[0];
    const struct sk_lab_behaviour *b = &g->behaviour;
    assert_string_equal(g->name, "all of it");
    assert_string_equal(g->kind->name, "slow");
    assert_string_equal(g->client->word, "aria2");
    assert_int_equal(g->count, 3);
    assert_true(b->share.low == 0.25 && b->share.high == 0.75);
    assert_true(b->rate_bytes_s.low == 20480 && b->rate_bytes_s.high == 1048576);
    assert_true(b->growth_pieces_s == 0.5 && b->corrupt == 0.1);
    assert_true(b->unchoke_after_s == 3 && b->choke_after_s == 2.5 && b->leave_after_s == 60);
    assert_true(b->lazy == 5 && b->allowed_fast == 6);
    assert_int_equal(b->encryption, SK_LAB_ENCRYPTION_PLAIN);
    assert_true(b->hidden && b->no_pex && b->no_metadata && b->no_fast && b->no_extensions);
    assert_true(isinf(s->groups[1].behaviour.unchoke_after_s));
    sk_mem_free(s);
}

static void test_keys_of_leechers(void **state)
{
    struct sk_lab_scenario *s =
        parse("[peers a]\nkind = leecher\ncount = 3\nshare = 0 .. 0.5\nup = 20k .. 1M\n"
              "down = 2M\njoin = 1.5 .. 1m\nleave = 2m\nencryption = required\npex = no\n"
              "lie = ghost\nlie-rate = 20k\ntell-after = 1.5\n"
              "[peers b]\nkind = leecher\nleave = when complete\ntell-after = never\n"
              "lie = rotate\nlie-factor = 2.5\n"
              "[peers c]\nkind = leecher\nleave = never\njoin = 0\n");
    const struct sk_lab_behaviour *b = &s->groups[0].behaviour;
    assert_true(b->trades && b->share.low == 0 && b->share.high == 0.5);
    assert_true(b->trade.up_bytes_s.low == 20480 && b->trade.up_bytes_s.high == 1048576);
    assert_true(b->trade.down_bytes_s.low == 2097152 && b->trade.down_bytes_s.high == 2097152);
    assert_true(b->trade.join_s.low == 1.5 && b->trade.join_s.high == 60);
    assert_int_equal(b->trade.leave, SK_LAB_LEAVE_TIME);
    assert_true(b->trade.leave_s == 120 && b->no_pex);
    assert_int_equal(b->trade.lies.kind, SK_LAB_LIE_GHOST);
    assert_true(b->trade.lies.factor == 0 && b->trade.lies.rate_bytes_s == 20480);
    assert_true(s->groups[1].behaviour.trade.lies.factor == 2.5);
    assert_int_equal(b->encryption, SK_LAB_ENCRYPTION_REQUIRED);
    assert_true(b->trade.tell_after_s == 1.5 && !sk_lab_hides(b));
    assert_true(sk_lab_hides(&s->groups[1].behaviour));
    assert_int_equal(s->groups[1].behaviour.trade.leave, SK_LAB_LEAVE_COMPLETE);
    assert_int_equal(s->groups[2].behaviour.trade.leave, SK_LAB_LEAVE_NEVER);
    assert_true(s->groups[2].behaviour.trade.up_bytes_s.high == 0);
    sk_mem_free(s);
}

static void test_every_kind_and_client(void **state)
{
    char text[200];
    for (size_t i = 0; sk_lab_kind_at(i); i++) {
        snprintf(text, sizeof text, "[peers a]\nkind = %s\n", sk_lab_kind_at(i)->name);
        sk_mem_free(parse(text));
    }
    for (size_t i = 0; sk_lab_client_at(i); i++) {
        snprintf(text, sizeof text, "[peers a]\nkind=seed\nclient=%s", sk_lab_client_at(i)->word);
        sk_mem_free(parse(text));
    }
}

static void test_demonstration_has_60_peers(void **state)
{
    struct sk_lab_scenario *s = parse(sk_lab_demo_scenario);
    uint32_t peers = 0;
    for (size_t i = 0; i < s->groups_count; i++)
        peers += s->groups[i].count;
    assert_int_equal(peers, 60);
    sk_mem_free(s);
}

static void test_mistakes_are_told_with_their_line(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "x.lab:1: there are no peers"},
        {"[torrent]\n", "x.lab:1: there are no peers"},
        {"size = 1M", "x.lab:1: expected a [SECTION]"},
        {"\n[torents]", "x.lab:2: there is no section [torents]"},
        {"[torrent", "x.lab:1: expected ]"},
        {"[torrent]\nsize 5", "x.lab:2: expected KEY = VALUE"},
        {"[torrent]\nsize = 5X", "x.lab:2: size = 5X: expected a size"},
        {"[torrent]\nsize = 0", "x.lab:2: size = 0: expected"},
        {"[torrent]\nsize = 5GiB", "x.lab:2: size = 5GiB: expected"},
        {"[torrent]\nsize = ", "x.lab:2: size = : expected"},
        {"[torrent]\nsize = 1M\nsize = 1M", "x.lab:3: a second 'size'"},
        {"[torrent]\n[torrent]", "x.lab:2: a second [torrent]"},
        {"[torrent]\npiece-size = 100k", "x.lab:2: piece-size = 100k: expected a power of two"},
        {"[torrent]\nversion = v3", "x.lab:2: version = v3: expected v1, v2 or hybrid"},
        {"[torrent]\nname = ../x", "x.lab:2: name = ../x: expected a file's name"},
        {"[torrent]\nrate = 5", "x.lab:2: [torrent] has no key 'rate'"},
        {"[torrent]\nseed = -1", "x.lab:2: seed = -1: expected a number"},
        {"[tracker]\nhttp = maybe", "x.lab:2: http = maybe: expected yes or no"},
        {"[tracker]\ninterval = 0", "x.lab:2: interval = 0: expected"},
        {"[peers]", "x.lab:1: expected [peers NAME]"},
        {"[peers a]", "x.lab:1: peers 'a' have no kind"},
        {"[peers a]\n[peers b]\nkind=seed", "x.lab:1: peers 'a' have no kind"},
        {"[peers a]\ncount = 3", "x.lab:2: kind has to come first"},
        {"[peers a]\nkind = sed", "x.lab:2: kind = sed: expected one of the kinds"},
        {"[peers a]\nkind=seed\ncount = 0", "x.lab:3: count = 0: expected"},
        {"[peers a]\nkind=seed\ncount = 10001", "x.lab:3: count = 10001: expected"},
        {"[peers a]\nkind=seed\ncount=9999\n[peers b]\nkind=seed\ncount=2",
         "more than 10000 peers"},
        {"[peers a]\nkind=seed\n[peers a]", "x.lab:3: there are peers 'a' already"},
        {"[peers a]\nkind=seed\nshare = 1.5", "x.lab:3: share = 1.5: expected"},
        {"[peers a]\nkind=seed\nshare = 0.1 .. x", "x.lab:3: share = 0.1 .. x: expected"},
        {"[peers a]\nkind=seed\nrate = fast", "x.lab:3: rate = fast: expected"},
        {"[peers a]\nkind=seed\ncorrupt = nan", "x.lab:3: corrupt = nan: expected"},
        {"[peers a]\nkind=seed\nlazy = 65", "x.lab:3: lazy = 65: expected"},
        {"[peers a]\nkind=seed\nclient = mosaic", "x.lab:3: client = mosaic: expected"},
        {"[peers a]\nkind=seed\nencryption = some", "x.lab:3: encryption = some: expected"},
        {"[peers a]\nkind=seed\nfast = no", "x.lab:1: peers 'a': without fast"},
        {"[peers a]\nkind=choking\nchoke-after = 2", "x.lab:1: peers 'a': what never unchokes"},
        {"[peers a]\nkind=seed\nup = 5k", "x.lab:3: up is for leechers"},
        {"[peers a]\nkind=seed\nleave = 5", "x.lab:3: leave is for leechers"},
        {"[peers a]\nkind=leecher\nrate = 5k", "x.lab:3: leechers have no rate"},
        {"[peers a]\nkind=leecher\nclient = aria2", "x.lab:3: leechers have no client"},
        {"[peers a]\nkind=leecher\nup = much", "x.lab:3: up = much: expected bytes a second"},
        {"[peers a]\nkind=leecher\njoin = never", "x.lab:3: join = never: expected seconds, or"},
        {"[peers a]\nkind=leecher\njoin = 1 .. x", "x.lab:3: join = 1 .. x: expected seconds"},
        {"[peers a]\nkind=seed\ntell-after = 5", "x.lab:3: tell-after is for leechers"},
        {"[peers a]\nkind=leecher\ntell-after = late", "expected seconds, or never"},
        {"[peers a]\nkind=leecher\nlie-rate = 5k", "x.lab:1: peers 'a': lie-rate is for lie = "},
        {"[peers a]\nkind=leecher\nlie=seed\nlie-factor = 2", "peers 'a': lie-factor is for lie"},
        {"[peers a]\nkind=leecher\nlie=ghost\nlie-rate = 0", "expected bytes a second such as"},
        {"[peers a]\nkind=leecher\nlie=collude\ncount=3", "in pairs: count has to be even"},
        {"[peers a]\nkind=leecher\nlie = yes", "expected none, upload, ghost,"},
        {"[peers a]\nkind=leecher\nlie-factor = 0", "expected a number above 0"},
        {"[peers a]\nkind=leecher\nlie-factor = 2x", "expected a number above 0"},
        {"[peers a]\nkind=leecher\nlie-rate = 1k .. 2k", "expected bytes a second such as 50k"},
        {"[peers a]\nkind=seed\nlie = ghost", "x.lab:3: lie is for leechers"},
        {"[peers a]\nkind=leecher\nleave = complete", "expected seconds, when complete, or never"},
        {"[peers a]\nkind=leecher\njoin = 9 .. 2\nleave = 9", "x.lab:1: peers 'a' leave before"},
        {"[peers a]\nkind=leecher\njoin = 2 .. 9\nleave = 9", "x.lab:1: peers 'a' leave before"},
        {"[peers a]\nkind=leecher\ncount = 201", "more than 200 leechers"},
        {"[tracker]\ninterval=4\n[peers a]\nkind=leecher", "interval = 5 at least"},
        {"[tracker]\nhttp=no\nudp=no\n[peers a]\nkind=leecher", "leechers find nobody"},
        {"[torrent]\nsize=4GiB\npiece-size=16k\n[peers a]\nkind=seed\n[peers \x1b[2J]\n",
         "x.lab:6: peers '\x1b[2J' have no kind"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_lab_scenario *s;
        char reason[SK_LAB_REASON_MAX] = "";
        assert_int_equal(sk_lab_scenario_parse("x.lab", sk_bytes_text(cases[i].text), &s, reason),
                         SKEP_ERR_INVALID);
        if (!strstr(reason, cases[i].says))
            fail_msg("'%s' and not '%s'", reason, cases[i].says);
    }
}

static void test_lines_that_are_no_text(void **state)
{
    struct sk_lab_scenario *s;
    char reason[SK_LAB_REASON_MAX], line[600];
    assert_int_equal(sk_lab_scenario_parse("x", sk_bytes("# a\0b", 5), &s, reason),
                     SKEP_ERR_INVALID);
    assert_non_null(strstr(reason, "x:1: this is no text"));
    memset(line, '#', sizeof line);
    assert_int_equal(sk_lab_scenario_parse("x", sk_bytes(line, sizeof line), &s, reason),
                     SKEP_ERR_INVALID);
    assert_non_null(strstr(reason, "a line of more than"));
}

static void test_groups_are_bounded(void **state)
{
    struct sk_buf text;
    struct sk_lab_scenario *s;
    char reason[SK_LAB_REASON_MAX];
    sk_buf_init(&text, 1 << 20);
    for (int i = 0; i <= SK_LAB_GROUPS_MAX; i++)
        sk_buf_printf(&text, "[peers %d]\nkind = seed\n", i);
    assert_int_equal(sk_lab_scenario_parse("x", sk_buf_bytes(&text), &s, reason), SKEP_ERR_INVALID);
    assert_non_null(strstr(reason, "more than 200 groups"));
    sk_buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_keys_of_leechers),
        cmocka_unit_test(test_every_kind_and_client),
        cmocka_unit_test(test_demonstration_has_60_peers),
        cmocka_unit_test(test_mistakes_are_told_with_their_line),
        cmocka_unit_test(test_lines_that_are_no_text),
        cmocka_unit_test(test_groups_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
