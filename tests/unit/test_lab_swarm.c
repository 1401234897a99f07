/* What is true of a lab's peers that trade, and the ledgers of all. */
#include "base/heap.h"
#include "base/mem.h"
#include "swarm/lab_swarm.h"

#include <skep/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define START (100 * SK_SECOND_NS)

static const struct sk_lab_torrent small = {
    .name = "a.bin", .size = 1000000, .piece_size = 65536, .has_v1 = true, .seed = 5};

static void test_ledger_is_bounded(void **state)
{
    struct sk_lab_ledger ledger = {0};
    uint8_t id[20] = {0};
    for (int i = 0; i < SK_LAB_LEDGER_MAX + 50; i++) {
        id[0] = (uint8_t)i;
        id[1] = (uint8_t)(i >> 8);
        sk_lab_account(&ledger, id)->bytes += 1;
    }
    assert_int_equal(ledger.count, SK_LAB_LEDGER_MAX);
    assert_true(ledger.list[0].bytes == 1 && ledger.list[SK_LAB_LEDGER_MAX - 1].bytes == 51);
    sk_mem_free(ledger.list);
}

static void test_leechers_are_told_of_while_they_are_there(void **state)
{
    struct sk_lab_scenario scenario = {.torrent = small, .groups_count = 1};
    struct sk_lab_group *group = &scenario.groups[0];
    struct sk_lab_swarm swarm;
    *group = (struct sk_lab_group){.count = 3, .kind = sk_lab_kind_find("leecher")};
    group->behaviour = group->kind->behaviour;
    group->behaviour.share = (struct sk_lab_range){0, 1};
    group->behaviour.trade.up_bytes_s = (struct sk_lab_range){1000, 3000};
    group->behaviour.trade.join_s = (struct sk_lab_range){0, 8};
    assert_int_equal(sk_lab_swarm_init(&swarm, &scenario, 1234, START), 0);
    struct sk_lab_peer *peer = &swarm.peers[1];
    assert_int_equal(swarm.traders, 3);
    assert_true(peer->up_bytes_s == 2000 && peer->down_bytes_s == 0 && peer->join_s == 4);
    assert_int_equal(peer->have.set, 8); /* of 16 */
    assert_false(sk_lab_peer_readable(peer));
    assert_int_equal(sk_lab_swarm_pieces_missing(&swarm), 16);
    struct sk_bitfield lacked = {0};
    assert_int_equal(sk_bitfield_init(&lacked, 16), 0);
    for (uint32_t piece = 0; piece < 16; piece++)
        if (!sk_bitfield_has(&peer->have, piece))
            sk_bitfield_add(&lacked, piece);
    peer->presence = SK_LAB_HERE;
    assert_true(sk_lab_peer_readable(peer));
    assert_int_equal(sk_lab_swarm_pieces_missing(&swarm), 8);
    for (uint32_t i = 0; i < 2 * swarm.content.pieces; i++)
        sk_lab_peer_gained(peer, i % swarm.content.pieces, i);
    assert_true(sk_bitfield_full(&peer->have));
    assert_int_equal(peer->gained_count, 8); /* what it had is no gain, nor what comes twice */
    for (uint32_t i = 0; i < 8; i++)
        assert_true(sk_bitfield_has(&lacked, (uint32_t)peer->gained_s[i]));
    sk_bitfield_deinit(&lacked);
    assert_int_equal(peer->pieces_first, 8);
    peer->presence = SK_LAB_LEFT;
    assert_true(sk_lab_peer_readable(peer)); /* it was */
    sk_lab_swarm_deinit(&swarm);
    group->count = SK_LAB_TRADERS_MAX + 1;
    assert_int_equal(sk_lab_swarm_init(&swarm, &scenario, 1234, START), SKEP_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger_is_bounded),
        cmocka_unit_test(test_leechers_are_told_of_while_they_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
