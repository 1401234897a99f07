/* proto/utp: what strangers and hostile peers send. */
#include "utp_world.h"

static struct sk_endpoint stranger(uint32_t number)
{
    const uint8_t addr[4] = {90, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    return sk_endpoint_v4(addr, 7000);
}

/* Takes the outputs of a side without sending them; returns how many, and their bytes. */
static uint32_t take_outputs(struct world *world, int i, uint64_t *ret_bytes)
{
    struct sk_utp_out out;
    uint32_t count = 0;
    *ret_bytes = 0;
    for (; sk_utp_next_output(world->sides[i].utp, world->now_ns, &out); count++)
        *ret_bytes += out.bytes.n;
    return count;
}

/* SYNs from anywhere: each gets one answer no larger than itself, a bounded number of them is
 * remembered, none is told. */
static void test_syn_flood(void **state)
{
    struct world world;
    struct sk_utp_stats stats;
    const struct sk_utp_config config = {.connections_max = 1000};
    world_init(&world, 1, &config);
    for (uint32_t i = 0; i < 5000; i++) {
        struct sk_endpoint from = stranger(i);
        const struct sk_utp_packet syn = {.type = SK_UTP_SYN, .connection_id = 7, .seq_nr = 1};
        uint64_t bytes;
        world_inject(&world, 1, &from, &syn, 0);
        assert_int_equal(take_outputs(&world, 1, &bytes), 1);
        assert_int_equal(bytes, SK_UTP_HEADER_SIZE);
        world_check(&world, 1);
    }
    sk_utp_stats(world.sides[1].utp, &stats);
    assert_int_equal(stats.half_open, SK_UTP_HALF_OPEN_MAX);
    assert_int_equal(world.sides[1].opened, 0);
    /* Nothing more goes to them, and they are forgotten. */
    uint64_t sent = world.sides[1].sent;
    world_run(&world, 15 * SECOND);
    assert_int_equal(world.sides[1].sent, sent);
    sk_utp_stats(world.sides[1].utp, &stats);
    assert_int_equal(stats.connections, 0);
    world_deinit(&world);
}

/* Who does not know the number of our answer has not got it. */
static void test_address_must_be_proved(void **state)
{
    struct world world;
    struct sk_endpoint from = stranger(1);
    uint64_t bytes;
    world_init(&world, 2, NULL);
    const struct sk_utp_packet syn = {.type = SK_UTP_SYN, .connection_id = 7, .seq_nr = 1};
    world_inject(&world, 1, &from, &syn, 0);
    struct sk_utp_conn *conn = sk_utp_conn_find(world.sides[1].utp, &from, 8);
    assert_non_null(conn);
    take_outputs(&world, 1, &bytes);
    for (uint32_t ack_nr = 0; ack_nr < 65536; ack_nr++) {
        struct sk_utp_packet data = {.connection_id = 8, .seq_nr = 2, .ack_nr = (uint16_t)ack_nr};
        if (data.ack_nr == conn->acked_nr)
            continue;
        world_inject(&world, 1, &from, &data, 100);
        assert_int_equal(world.sides[1].opened, 0);
    }
    assert_int_equal(take_outputs(&world, 1, &bytes), 0);
    world_deinit(&world);
}

/* Packets of no connection: so many resets a second, none for a reset. */
static void test_unknown(void **state)
{
    struct world world;
    uint64_t bytes, count = 0;
    world_init(&world, 3, NULL);
    for (uint32_t i = 0; i < 10000; i++) {
        struct sk_endpoint from = stranger(i);
        const struct sk_utp_packet data = {.connection_id = 9, .seq_nr = 5};
        const struct sk_utp_packet reset = {.type = SK_UTP_RESET, .connection_id = 9};
        world_inject(&world, 1, &from, &data, 0);
        uint32_t sent = take_outputs(&world, 1, &bytes);
        assert_true(sent <= 1 && bytes <= SK_UTP_HEADER_SIZE);
        count += sent;
        world_inject(&world, 1, &from, &reset, 0);
        assert_int_equal(take_outputs(&world, 1, &bytes), 0);
        world.now_ns += MS;
    }
    assert_in_range(count, 10 * SK_UTP_RESETS_S, 11 * SK_UTP_RESETS_S + 1);
    world_deinit(&world);
}

static struct sk_utp_packet packet_to_0(const struct world *world, enum sk_utp_type type)
{
    const struct sk_utp_conn *conn = world->sides[0].conn;
    return (struct sk_utp_packet){.type = type,
                                  .connection_id = conn->recv_id,
                                  .window = 1 << 20,
                                  .seq_nr = (uint16_t)(conn->ack_nr + 1),
                                  .ack_nr = conn->acked_nr};
}

/* Acknowledgements of what was not sent, numbers from nowhere, resets that name nothing. */
static void test_forged(void **state)
{
    struct world world;
    struct sk_utp_stats before, after;
    world_init(&world, 4, NULL);
    world.sides[0].to_write = 1000;
    world_open(&world);
    const struct sk_endpoint *peer = &world.sides[1].address;
    struct sk_utp_conn *conn = world.sides[0].conn;
    sk_utp_stats(world.sides[0].utp, &before);
    for (uint32_t off = 1; off < 65536 - SK_UTP_ACK_AGE; off++) {
        struct sk_utp_packet forged = packet_to_0(&world, SK_UTP_DATA);
        forged.ack_nr = (uint16_t)(conn->sent_nr - 1 + off);
        world_inject(&world, 0, peer, &forged, 10);
        forged.type = SK_UTP_RESET;
        forged.ack_nr++;
        if (off < 65000)
            world_inject(&world, 0, peer, &forged, 0);
    }
    for (uint32_t off = SK_UTP_SPAN_MAX + 1; off < 65536 - SK_UTP_SPAN_MAX; off++) {
        struct sk_utp_packet forged = packet_to_0(&world, SK_UTP_DATA);
        forged.seq_nr = (uint16_t)(conn->ack_nr + off);
        world_inject(&world, 0, peer, &forged, 10);
    }
    sk_utp_stats(world.sides[0].utp, &after);
    assert_true(after.implausible - before.implausible > 180000);
    assert_int_equal(world.sides[0].read, 0);
    assert_int_equal(world.sides[0].closed, 0);
    /* One that does name something ends it. */
    struct sk_utp_packet reset = packet_to_0(&world, SK_UTP_RESET);
    world_inject(&world, 0, peer, &reset, 0);
    assert_int_equal(world.sides[0].closed, 1);
    world_deinit(&world);
}

/* A mask of everything, of more than was sent. */
static void test_mask_overrun(void **state)
{
    struct world world;
    uint8_t ones[SK_UTP_SACK_MAX];
    uint64_t bytes;
    memset(ones, 0xff, sizeof ones);
    world_init(&world, 5, NULL);
    world_open(&world);
    world.sides[0].to_write = 100000;
    world_write(&world, 0);
    assert_true(take_outputs(&world, 0, &bytes) >= 3);
    struct sk_utp_packet state_packet = packet_to_0(&world, SK_UTP_STATE);
    state_packet.sack = sk_bytes(ones, sizeof ones);
    for (int i = 0; i < 100; i++) {
        world_inject(&world, 0, &world.sides[1].address, &state_packet, 0);
        world_check(&world, 0);
        take_outputs(&world, 0, &bytes);
    }
    assert_non_null(world.sides[0].conn);
    assert_true(world.sides[0].conn->flight_bytes <= SK_UTP_SEND_MAX);
    world_deinit(&world);
}

/* One byte in each of as many packets as may be out of order: memory stays within the window. */
static void test_holes(void **state)
{
    struct world world;
    const struct sk_utp_config config = {.window = 65536};
    uint64_t bytes;
    world_init(&world, 6, &config);
    world_open(&world);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 1; i < SK_UTP_SPAN_MAX; i++) {
            struct sk_utp_packet data = packet_to_0(&world, SK_UTP_DATA);
            data.seq_nr = (uint16_t)(data.seq_nr + i);
            world_inject(&world, 0, &world.sides[1].address, &data, 1 + i % 1400);
        }
        world_check(&world, 0);
        assert_true(world.sides[0].conn->held_bytes <= config.window + 1600);
    }
    take_outputs(&world, 0, &bytes);
    assert_int_equal(world.sides[0].read, 0);
    world_deinit(&world);
}

/* Data after the end, two ends, an end before what came. */
static void test_ends_that_disagree(void **state)
{
    struct world world;
    world_init(&world, 7, NULL);
    world_open(&world);
    const struct sk_endpoint *peer = &world.sides[1].address;
    uint16_t first = (uint16_t)(world.sides[0].conn->ack_nr + 1);
    struct sk_utp_packet data = packet_to_0(&world, SK_UTP_DATA);
    struct sk_utp_packet fin = packet_to_0(&world, SK_UTP_FIN);
    data.seq_nr = (uint16_t)(first + 4);
    world_inject(&world, 0, peer, &data, 10);
    fin.seq_nr = (uint16_t)(first + 2);
    world_inject(&world, 0, peer, &fin, 0);
    assert_false(world.sides[0].conn->has_eof);
    fin.seq_nr = (uint16_t)(first + 5);
    world_inject(&world, 0, peer, &fin, 0);
    assert_true(world.sides[0].conn->has_eof);
    fin.seq_nr = (uint16_t)(first + 6);
    world_inject(&world, 0, peer, &fin, 0);
    data.seq_nr = (uint16_t)(first + 7);
    world_inject(&world, 0, peer, &data, 10);
    assert_int_equal(world.sides[0].conn->eof_nr, (uint16_t)(first + 5));
    assert_int_equal(world.sides[0].eof, 0);
    for (uint16_t i = 0; i < 4; i++) {
        data.seq_nr = (uint16_t)(first + i);
        world.sides[0].conn->bytes_in = world.sides[0].read = 0;
        world.unchecked = true;
        struct sk_utp_event event;
        uint8_t bytes[SK_UTP_HEADER_SIZE];
        sk_utp_write_header(&data, bytes);
        sk_utp_input(world.sides[0].utp, peer, bytes, sizeof bytes, world.now_ns);
        while (sk_utp_next_event(world.sides[0].utp, &event))
            world.sides[0].eof += event.kind == SK_UTP_EVENT_EOF;
    }
    assert_int_equal(world.sides[0].eof, 1);
    world_deinit(&world);
}

/* A window of 0 for ever costs a packet a minute, and no more memory than a buffer. */
static void test_shut_for_ever(void **state)
{
    struct world world;
    uint64_t bytes;
    world_init(&world, 8, NULL);
    world_open(&world);
    world.sides[0].to_write = 100000000;
    uint32_t count = 0;
    for (int s = 0; s < 600; s++) {
        struct sk_utp_packet shut = packet_to_0(&world, SK_UTP_STATE);
        shut.window = 0;
        world_inject(&world, 0, &world.sides[1].address, &shut, 0);
        world_write(&world, 0);
        world.now_ns += SECOND;
        sk_utp_tick(world.sides[0].utp, world.now_ns);
        world_drain(&world, 0, false);
        count += take_outputs(&world, 0, &bytes);
    }
    assert_non_null(world.sides[0].conn);
    assert_true(count < 60);
    assert_true(world.sides[0].conn->unsent_bytes <= SK_UTP_CONN_UNSENT_MAX + 1472);
    world_deinit(&world);
}

/* A closed connection whose other side never answers is forgotten, as are many. */
static void test_closing_is_bounded(void **state)
{
    struct world world;
    uint64_t bytes;
    const struct sk_utp_config config = {.connections_max = SK_UTP_CONNECTIONS_MAX};
    world_init(&world, 9, &config);
    for (uint32_t i = 0; i < SK_UTP_CLOSING_MAX + 100; i++) {
        struct sk_endpoint from = stranger(i);
        struct sk_utp_packet packet = {.type = SK_UTP_SYN, .connection_id = 7, .seq_nr = 1};
        world_inject(&world, 1, &from, &packet, 0);
        take_outputs(&world, 1, &bytes);
        const struct sk_utp_conn *conn = sk_utp_conn_find(world.sides[1].utp, &from, 8);
        packet = (struct sk_utp_packet){
            .connection_id = 8, .seq_nr = 2, .ack_nr = conn->acked_nr, .window = 1000};
        world_inject(&world, 1, &from, &packet, 0);
        sk_utp_close(world.sides[1].utp, world.sides[1].conn);
        world.sides[1].conn = NULL;
        take_outputs(&world, 1, &bytes);
    }
    assert_int_equal(world.sides[1].utp->closing_count, SK_UTP_CLOSING_MAX);
    world_run(&world, 60 * SECOND);
    assert_int_equal(world.sides[1].utp->conns.count, 0);
    world_deinit(&world);
}

/* Ids and first numbers of two ports with different seeds have nothing in common. */
static void test_ids(void **state)
{
    struct world world;
    uint32_t same = 0;
    const struct sk_utp_config config = {.connections_max = 1000};
    world_init(&world, 10, &config);
    for (uint32_t i = 0; i < 500; i++) {
        struct sk_endpoint to = stranger(0);
        struct sk_utp_conn *a, *b;
        assert_int_equal(sk_utp_connect(world.sides[0].utp, &to, world.now_ns, &a), 0);
        assert_int_equal(sk_utp_connect(world.sides[1].utp, &to, world.now_ns, &b), 0);
        same += a->recv_id == b->recv_id;
        same += a->seq_nr == b->seq_nr;
    }
    assert_true(same <= 2);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syn_flood),
        cmocka_unit_test(test_address_must_be_proved),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_mask_overrun),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_ends_that_disagree),
        cmocka_unit_test(test_shut_for_ever),
        cmocka_unit_test(test_closing_is_bounded),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
