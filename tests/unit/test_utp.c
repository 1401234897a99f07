/* wire/utp and proto/utp: bytes of packets, handshake, the stream whatever gets lost, ends. */
#include "utp_world.h"

/* ---- bytes ---- */

static const uint8_t state_with_mask[] = {
    0x21, 1,    0x12, 0x34,                      /* STATE, version 1; a mask follows; id */
    1,    2,    3,    4,    0,    0,    1, 0x2c, /* timestamp, difference 300 */
    0,    0x10, 0,    0,    0xff, 0xff, 0, 5,    /* window 1 MiB, seq_nr, ack_nr */
    0,    4,    0x81, 0,    0,    0x80,          /* no further extension; 4 bytes */
};

static void test_header(void **state)
{
    struct sk_utp_packet packet;
    uint8_t written[sizeof state_with_mask];
    struct sk_bytes bytes = sk_bytes(state_with_mask, sizeof state_with_mask);
    assert_int_equal(sk_utp_read(bytes, &packet), 0);
    assert_int_equal(packet.type, SK_UTP_STATE);
    assert_int_equal(packet.connection_id, 0x1234);
    assert_int_equal(packet.timestamp_us, 0x01020304);
    assert_int_equal(packet.timestamp_diff_us, 300);
    assert_int_equal(packet.window, 1 << 20);
    assert_int_equal(packet.seq_nr, 0xffff);
    assert_int_equal(packet.ack_nr, 5);
    assert_int_equal(packet.sack.n, 4);
    assert_int_equal(packet.payload, sizeof state_with_mask);
    /* ack_nr + 2, + 9 and + 33 */
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(sk_utp_sack_has(packet.sack, i), i == 0 || i == 7 || i == 31);
    assert_int_equal(sk_utp_write_header(&packet, written), sizeof written);
    assert_memory_equal(written, state_with_mask, sizeof written);
}

static int read_with(size_t n, size_t at, uint8_t byte)
{
    struct sk_utp_packet packet;
    uint8_t *copy = malloc(n + !n); /* reading past its end is seen */
    memcpy(copy, state_with_mask, n);
    if (at < n)
        copy[at] = byte;
    int err = sk_utp_read(sk_bytes(copy, n), &packet);
    free(copy);
    return err;
}

static void test_malformed(void **state)
{
    for (size_t n = 0; n < sizeof state_with_mask; n++)
        assert_int_equal(read_with(n, SIZE_MAX, 0), SKEP_ERR_MALFORMED);
    assert_int_equal(read_with(26, 0, 0x22), SKEP_ERR_MALFORMED); /* version 2 */
    assert_int_equal(read_with(26, 0, 0x51), SKEP_ERR_MALFORMED); /* type 5 */
    assert_int_equal(read_with(26, 20, 1), SKEP_ERR_MALFORMED);   /* another extension: where? */
    assert_int_equal(read_with(26, 21, 0), SKEP_ERR_MALFORMED);   /* an empty mask */
    assert_int_equal(read_with(26, 21, 8), SKEP_ERR_MALFORMED);   /* beyond the end */
    assert_int_equal(read_with(25, 21, 3), 0);                    /* no words: libtorrent's */
    /* An unknown extension is skipped, also one that is empty; what follows is payload. */
    assert_int_equal(read_with(26, 1, 77), 0);
    const uint8_t two[26] = {0x01, 2, [20] = 3, 0, 0, 2, 9, 9};
    struct sk_utp_packet packet;
    assert_int_equal(sk_utp_read(sk_bytes(two, sizeof two), &packet), 0);
    assert_int_equal(packet.payload, 26);
    assert_int_equal(packet.sack.n, 0);
}

/* ---- handshake ---- */

struct seen {
    struct sk_utp_packet packets[8];
    size_t sizes[8];
    int from[8];
    size_t count;
};
static struct seen seen;

static bool see(struct world *world, int from, const struct sk_utp_out *out)
{
    if (seen.count < 8) {
        seen.from[seen.count] = from;
        seen.sizes[seen.count] = out->bytes.n;
        assert_int_equal(sk_utp_read(out->bytes, &seen.packets[seen.count]), 0);
        seen.packets[seen.count++].sack = (struct sk_bytes){0};
    }
    return true;
}

static void test_handshake(void **state)
{
    struct world world;
    world_init(&world, 1, NULL);
    world.passes = see;
    seen.count = 0;
    world.sides[0].to_write = 100;
    world_open(&world);
    const struct sk_utp_packet *syn = &seen.packets[0], *answer = &seen.packets[1],
                               *data = &seen.packets[2];
    assert_int_equal(syn->type, SK_UTP_SYN);
    assert_int_equal(seen.sizes[0], SK_UTP_HEADER_SIZE);
    assert_int_equal(syn->timestamp_diff_us, 0);
    assert_int_equal(seen.from[1], 1);
    assert_int_equal(answer->type, SK_UTP_STATE);
    assert_int_equal(seen.sizes[1], SK_UTP_HEADER_SIZE);
    assert_int_equal(answer->connection_id, syn->connection_id);
    assert_int_equal(answer->ack_nr, syn->seq_nr);
    assert_true(answer->window >= 1 << 20);
    assert_int_equal(data->type, SK_UTP_DATA);
    assert_int_equal(data->connection_id, (uint16_t)(syn->connection_id + 1));
    assert_int_equal(data->seq_nr, (uint16_t)(syn->seq_nr + 1));
    assert_int_equal(data->ack_nr, (uint16_t)(answer->seq_nr - 1));
    assert_int_equal(seen.sizes[2], SK_UTP_HEADER_SIZE + 100);
    assert_int_equal(world.sides[1].read, 100);
    world_deinit(&world);
}

/* Who accepted speaks first: the other side has nothing to say, and still proves itself. */
static void test_accepter_speaks_first(void **state)
{
    struct world world;
    world_init(&world, 2, NULL);
    world.sides[1].to_write = 5000;
    world_open(&world);
    world_run(&world, SECOND);
    assert_int_equal(world.sides[0].read, 5000);
    world_deinit(&world);
}

static bool nothing_passes(struct world *world, int from, const struct sk_utp_out *out)
{
    return false;
}

static void test_connect_times_out(void **state)
{
    struct world world;
    world_init(&world, 3, NULL);
    world.passes = nothing_passes;
    world_connect(&world);
    world_run(&world, 2900 * MS);
    assert_int_equal(world.sides[0].closed, 0);
    world_run(&world, 200 * MS);
    assert_int_equal(world.sides[0].closed, 1);
    assert_int_equal(world.sides[0].reason, SK_UTP_REASON_TIMEOUT);
    assert_int_equal(world.sides[0].sent, 3);
    world_deinit(&world);
}

static void test_refused(void **state)
{
    struct world world;
    world_init(&world, 4, NULL);
    world.sides[1].utp->config.accepts = false;
    world_connect(&world);
    world_run(&world, SECOND);
    assert_int_equal(world.sides[0].closed, 1);
    assert_int_equal(world.sides[0].reason, SK_UTP_REASON_REFUSED);
    world_deinit(&world);
}

/* ---- the stream ---- */

/* Both ways, to the last byte, then both sides close. */
static void transfer(struct world *world, uint64_t bytes, uint64_t within_ns)
{
    for (int i = 0; i < 2; i++) {
        world->sides[i].to_write = bytes;
        world->sides[i].close_at_eof = i == 1;
    }
    world_connect(world);
    uint64_t end_ns = world->now_ns + within_ns;
    while (world->now_ns < end_ns &&
           (world->sides[0].read < bytes || world->sides[1].read < bytes) &&
           !world->sides[0].closed && !world->sides[1].closed) {
        world_run(world, 100 * MS);
        /* Three SYNs in a row may get lost. */
        if (world->sides[0].closed && !world->sides[0].opened) {
            world->sides[0].closed = 0;
            world_connect(world);
        }
    }
    assert_int_equal(world->sides[0].read, bytes);
    assert_int_equal(world->sides[1].read, bytes);
    assert_int_equal(world->sides[0].closed + world->sides[1].closed, 0);
}

static void close_both(struct world *world)
{
    struct sk_utp_stats stats;
    sk_utp_close(world->sides[0].utp, world->sides[0].conn);
    world->sides[0].conn = NULL;
    world_run(world, 80 * SECOND);
    assert_int_equal(world->sides[1].eof, 1);
    for (int i = 0; i < 2; i++) {
        sk_utp_stats(world->sides[i].utp, &stats);
        assert_int_equal(stats.connections, 0);
        assert_int_equal(world->sides[i].utp->held_bytes, 0);
    }
}

static void test_channels(void **state)
{
    static const struct {
        double loss, doubled;
        uint64_t delay_ms, jitter_ms;
    } channels[] = {
        {0, 0, 25, 0},    {0.01, 0, 25, 0},   {0.05, 0, 25, 0},      {0.2, 0, 25, 0},
        {0.2, 0, 5, 0},   {0, 0.3, 25, 0},    {0, 0, 5, 30},         {0, 0, 50, 200},
        {0.1, 0.1, 0, 0}, {0.1, 0.1, 10, 50}, {0.02, 0.05, 100, 20}, {0.02, 0.5, 1, 3},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(channels); i++) {
        for (uint64_t seed = 1; seed <= 4; seed++) {
            struct world world;
            world_init(&world, seed * 100 + i, NULL);
            world.loss = channels[i].loss;
            world.doubled = channels[i].doubled;
            world.delay_ns = channels[i].delay_ms * MS;
            world.jitter_ns = channels[i].jitter_ms * MS;
            transfer(&world, 200000, 600 * SECOND);
            close_both(&world);
            world_deinit(&world);
        }
    }
}

/* Every pattern of losses of the first ten datagrams of each direction. */
static uint32_t pattern;
static uint32_t passed_so_far[2];

static bool by_pattern(struct world *world, int from, const struct sk_utp_out *out)
{
    uint32_t number = passed_so_far[from]++;
    return number >= 5 || !(pattern >> (from * 5 + number) & 1);
}

static void test_patterns(void **state)
{
    for (pattern = 0; pattern < 1024; pattern++) {
        struct world world;
        world_init(&world, pattern, NULL);
        world.passes = by_pattern;
        passed_so_far[0] = passed_so_far[1] = 0;
        /* Three SYNs or their answers lost is a connection that cannot be made. */
        uint32_t syns = pattern & 7, answers = pattern >> 5 & 7;
        if (syns == 7 || answers == 7 ||
            __builtin_popcount(syns) + __builtin_popcount(answers) > 2) {
            world_deinit(&world);
            continue;
        }
        transfer(&world, 6000, 60 * SECOND);
        close_both(&world);
        world_deinit(&world);
    }
}

/* Numbers wrap: 70,000 packets of one byte each way. */
static void test_wraps(void **state)
{
    struct world world;
    struct sk_utp_conn_stats stats;
    world_init(&world, 9, NULL);
    world.unchecked = true;
    world.loss = 0.001;
    world.delay_ns = 2 * MS;
    world_open(&world);
    struct sk_utp_conn *conn = world.sides[0].conn;
    for (int i = 0; i < 70000; i++) {
        world.sides[0].to_write++;
        world_write(&world, 0);
        /* Not packed together: each goes out. */
        world.sides[0].conn->small_nr = world.sides[0].conn->acked_nr;
        world_run(&world, MS / 10);
    }
    world_run(&world, 10 * SECOND);
    assert_int_equal(world.sides[1].read, 70000);
    sk_utp_conn_stats(conn, &stats);
    assert_true(stats.packets_out > 65536);
    assert_null(sk_utp_fault(world.sides[0].utp));
    world_deinit(&world);
}

/* ---- losses ---- */

static uint32_t dropped, seen_data;
static uint16_t victim;
static bool drops_resent;

/* One packet, each time but the third. */
static bool drop_one_twice(struct world *world, int from, const struct sk_utp_out *out)
{
    if (from != 0 || out->bytes.p[0] >> 4 != SK_UTP_DATA)
        return true;
    uint16_t seq_nr = sk_get_u16(out->bytes.p + 16);
    if (++seen_data == 200)
        victim = seq_nr;
    bool drop = seen_data >= 200 && seq_nr == victim && dropped < 2;
    dropped += drop;
    return !drop;
}

static void test_lost_twice(void **state)
{
    struct world world;
    struct sk_utp_conn_stats stats;
    world_init(&world, 40, NULL);
    world.passes = drop_one_twice;
    dropped = seen_data = 0;
    world.sides[0].to_write = 2000000;
    world_open(&world);
    world_run(&world, 20 * SECOND);
    sk_utp_conn_stats(world.sides[0].conn, &stats);
    assert_int_equal(world.sides[1].read, 2000000);
    assert_int_equal(dropped, 2);
    assert_int_equal(stats.resent, 2);
    assert_int_equal(stats.timeouts, 0);
    world_deinit(&world);
}

/* An implementation that tells of 32 packets only, as libutp does. */
static bool shorten_masks(struct world *world, int from, const struct sk_utp_out *out)
{
    struct sk_utp_packet packet;
    uint8_t bytes[SK_UTP_HEADER_SIZE + 6];
    if (from == 0) {
        bool again = sk_utp_distance(victim, sk_get_u16(out->bytes.p + 16)) <= 0;
        bool drop = out->bytes.n > 500 && (!again || drops_resent) && ++seen_data % 40 == 7;
        victim = again ? victim : sk_get_u16(out->bytes.p + 16);
        dropped += drop;
        return !drop;
    }
    assert_int_equal(sk_utp_read(out->bytes, &packet), 0);
    if (packet.sack.n <= 4)
        return true;
    packet.sack.n = 4;
    size_t n = sk_utp_write_header(&packet, bytes);
    world_deliver_at(world, 0, sk_bytes(bytes, n), world->now_ns + world->delay_ns);
    return false;
}

static void transfer_with_short_masks(struct sk_utp_conn_stats *ret_stats)
{
    struct world world;
    world_init(&world, 41, NULL);
    world.passes = shorten_masks;
    dropped = seen_data = 0;
    world.sides[0].to_write = 1000000;
    world_connect(&world);
    victim = world.sides[0].conn->acked_nr;
    world_run(&world, 5 * SECOND);
    sk_utp_conn_stats(world.sides[0].conn, ret_stats);
    assert_int_equal(world.sides[1].read, 1000000);
    world_deinit(&world);
}

static void test_short_masks(void **state)
{
    struct sk_utp_conn_stats stats;
    /* What lies beyond the mask is not taken for lost. */
    drops_resent = false;
    transfer_with_short_masks(&stats);
    assert_int_equal(stats.resent, dropped);
    assert_int_equal(stats.timeouts, 0);
    /* After a time-out what is missing goes first, not what was sent first. */
    drops_resent = true;
    transfer_with_short_masks(&stats);
    assert_in_range(stats.timeouts, 1, 2);
}

/* The end of a window: nothing follows that would tell of the loss. */
static bool drop_the_end(struct world *world, int from, const struct sk_utp_out *out)
{
    bool data = from == 0 && out->bytes.p[0] >> 4 == SK_UTP_DATA;
    bool again = sk_utp_distance(victim, sk_get_u16(out->bytes.p + 16)) <= 0;
    if (!data || again)
        return true;
    victim = sk_get_u16(out->bytes.p + 16);
    const struct side *side = &world->sides[0];
    bool drop = side->written == side->to_write && side->conn->unsent_bytes < 20000;
    dropped += drop;
    return !drop;
}

static void test_lost_end(void **state)
{
    struct world world;
    struct sk_utp_conn_stats stats;
    world_init(&world, 43, NULL);
    world.passes = drop_the_end;
    dropped = 0;
    world_open(&world);
    victim = world.sides[0].conn->sent_nr;
    world.sides[0].to_write = 300000;
    world_write(&world, 0);
    world_run(&world, 20 * SECOND);
    assert_int_equal(world.sides[1].read, 300000);
    sk_utp_conn_stats(world.sides[0].conn, &stats);
    assert_in_range(dropped, 4, 40);
    assert_in_range(stats.resent, dropped, dropped + 1);
    assert_int_equal(stats.timeouts, 0);
    world_deinit(&world);
}

static uint32_t masks_told;
static bool narrows;

/* libtorrent's packets with payload acknowledge without a mask, and no packet without payload
 * follows them. */
static bool strip_masks(struct world *world, int from, const struct sk_utp_out *out)
{
    struct sk_utp_packet packet;
    uint8_t bytes[SK_UTP_HEADER_SIZE];
    if (from == 0) {
        bool drop = out->bytes.n > 500 && ++seen_data == 200;
        dropped += drop;
        return !drop;
    }
    assert_int_equal(sk_utp_read(out->bytes, &packet), 0);
    if (!packet.sack.n || dropped == 0 || world->sides[0].conn->resent)
        return true;
    if (narrows)
        world->sides[0].conn->ledbat.window = 3000;
    if (masks_told > 0) {
        masks_told--;
        return true;
    }
    packet.sack.n = 0;
    packet.type = SK_UTP_DATA; /* not counted as one that repeats itself */
    packet.seq_nr = world->sides[0].conn->ack_nr;
    size_t n = sk_utp_write_header(&packet, bytes);
    world_deliver_at(world, 0, sk_bytes(bytes, n), world->now_ns + world->delay_ns);
    return false;
}

static void transfer_without_masks(uint32_t resent_max)
{
    struct world world;
    struct sk_utp_conn_stats stats;
    world_init(&world, 44, NULL);
    world.passes = strip_masks;
    dropped = seen_data = 0;
    world.sides[0].to_write = 1000000;
    world_open(&world);
    world_run(&world, 20 * SECOND);
    assert_int_equal(world.sides[1].read, 1000000);
    sk_utp_conn_stats(world.sides[0].conn, &stats);
    assert_in_range(stats.resent, 1, resent_max);
    assert_int_equal(stats.timeouts, 0);
    world_deinit(&world);
}

static void test_masks_left_out(void **state)
{
    masks_told = 0;
    narrows = false;
    transfer_without_masks(2); /* the last one, and what was missing */
    /* It is known to be missing, and waits for a window that has become small. */
    masks_told = 3;
    narrows = true;
    transfer_without_masks(1);
}

/* ---- windows ---- */

static void test_pause(void **state)
{
    struct world world;
    const struct sk_utp_config config = {.window = 100000};
    struct sk_utp_conn_stats stats;
    world_init(&world, 10, &config);
    world.sides[0].to_write = 1000000;
    world.sides[1].keeps_paused = true;
    world_open(&world);
    world_run(&world, 3 * SECOND);
    /* What was offered was taken: only what probes the shut window is sent in vain. */
    sk_utp_conn_stats(world.sides[0].conn, &stats);
    assert_true(stats.resent <= 1);
    world_run(&world, 27 * SECOND);
    /* It was told what came with the datagram that opened it; the rest waits within the window. */
    assert_true(world.sides[1].read < 1500);
    assert_true(world.sides[1].conn->held_bytes <= 102000);
    assert_true(world.sides[1].conn->held_bytes > 80000);
    sk_utp_conn_stats(world.sides[0].conn, &stats);
    assert_true(stats.their_window < 1500);
    /* For as long as it takes: the connection lives on probes. */
    world_run(&world, 300 * SECOND);
    assert_non_null(world.sides[0].conn);
    assert_true(world.sides[0].sent < 400);
    sk_utp_pause(world.sides[1].utp, world.sides[1].conn, false);
    world_run(&world, 60 * SECOND);
    assert_int_equal(world.sides[1].read, 1000000);
    assert_true(world.sides[0].writable > 0);
    world_deinit(&world);
}

/* The update that opens the window gets lost: a probe finds out. */
static bool no_states_of_1(struct world *world, int from, const struct sk_utp_out *out)
{
    return from != 1 || out->bytes.p[0] >> 4 != SK_UTP_STATE;
}

static void test_window_update_lost(void **state)
{
    struct world world;
    const struct sk_utp_config config = {.window = 20000};
    world_init(&world, 11, &config);
    world.sides[0].to_write = 100000;
    world.sides[1].keeps_paused = true;
    world_open(&world);
    world_run(&world, 5 * SECOND);
    world.passes = no_states_of_1;
    sk_utp_pause(world.sides[1].utp, world.sides[1].conn, false);
    world_run(&world, 100 * MS);
    world.passes = NULL;
    world_run(&world, 60 * SECOND);
    assert_int_equal(world.sides[1].read, 100000);
    world_deinit(&world);
}

/* The other side is gone for good. */
static void test_silence(void **state)
{
    struct world world;
    world_init(&world, 12, NULL);
    world.sides[0].to_write = 100;
    world_open(&world);
    world.passes = nothing_passes;
    world.sides[0].to_write = 200;
    world_write(&world, 0);
    world_run(&world, 40 * SECOND);
    assert_int_equal(world.sides[0].closed, 1);
    assert_int_equal(world.sides[0].reason, SK_UTP_REASON_TIMEOUT);
    assert_true(world.sides[0].sent < 15);
    world_deinit(&world);
}

/* ---- cost ---- */

static void test_packs_small_writes(void **state)
{
    struct world world;
    world_init(&world, 14, NULL);
    world_open(&world);
    uint64_t before = world.sides[0].sent;
    world.sides[0].write_size = 17;
    for (int i = 0; i < 100; i++) {
        world.sides[0].to_write += 17;
        world_write(&world, 0);
        world_run(&world, MS);
    }
    world_run(&world, SECOND);
    assert_int_equal(world.sides[1].read, 1700);
    assert_true(world.sides[0].sent - before < 10);
    world_deinit(&world);
}

static void test_idle(void **state)
{
    struct world world;
    struct sk_utp_stats stats;
    assert_true(sizeof(struct sk_utp_conn) + (sizeof(struct sk_utp_key) + sizeof(void *)) * 8 / 3 <=
                SK_UTP_IDLE_BYTES);
    world_init(&world, 15, NULL);
    world.sides[0].to_write = world.sides[1].to_write = 100000;
    world_open(&world);
    world_run(&world, 30 * SECOND);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world.sides[i].conn->held_bytes, 0);
        assert_true(world.sides[i].conn->sent.capacity <= 16);
        assert_true(world.sides[i].conn->received.capacity <= 16);
    }
    /* A packet each half a minute keeps a NAT's door open. */
    uint64_t before = world.sides[0].sent;
    world_run(&world, 290 * SECOND);
    assert_in_range(world.sides[0].sent - before, 9, 11);
    sk_utp_stats(world.sides[0].utp, &stats);
    assert_int_equal(stats.connections, 1);
    world_deinit(&world);
}

/* ---- path ---- */

static void test_path(void **state)
{
    static const struct {
        uint32_t mtu_max;
        size_t mtu, least;
    } paths[] = {{0, 0, 1472}, {0, 1400, 1380}, {0, 600, 570}, {0, 1471, 1440}, {9000, 0, 9000}};
    for (size_t i = 0; i < SK_ARRAY_LEN(paths); i++) {
        struct world world;
        struct sk_utp_conn_stats stats;
        const struct sk_utp_config config = {.mtu_max = paths[i].mtu_max};
        world_init(&world, 16 + i, &config);
        world.mtu = paths[i].mtu;
        world.unchecked = true;
        transfer(&world, 10000000, 60 * SECOND);
        sk_utp_conn_stats(world.sides[0].conn, &stats);
        assert_in_range(stats.mtu, paths[i].least, paths[i].mtu ? paths[i].mtu : 9000);
        /* Probes that were lost are no congestion. */
        assert_true(stats.timeouts == 0);
        world_deinit(&world);
    }
}

/* ---- ends ---- */

static void test_close_after_write(void **state)
{
    struct world world;
    world_init(&world, 20, NULL);
    world.loss = 0.1;
    world.sides[0].to_write = 100000;
    world.sides[0].close_when_written = true;
    world.sides[1].close_at_eof = true;
    world_connect(&world);
    world_run(&world, 60 * SECOND);
    assert_int_equal(world.sides[1].read, 100000);
    assert_int_equal(world.sides[1].eof, 1);
    assert_int_equal(world.sides[0].closed + world.sides[1].closed, 0);
    assert_int_equal(world.sides[0].utp->conns.count + world.sides[1].utp->conns.count, 0);
    world_deinit(&world);
}

/* Only one side closes: the other may go on, and what it says is dropped. */
static void test_half_closed(void **state)
{
    struct world world;
    world_init(&world, 21, NULL);
    world.sides[0].to_write = 1000;
    world_open(&world);
    sk_utp_close(world.sides[0].utp, world.sides[0].conn);
    world.sides[0].conn = NULL;
    world_run(&world, SECOND);
    assert_int_equal(world.sides[1].eof, 1);
    world.sides[1].to_write = 1000;
    world_write(&world, 1);
    world_run(&world, 60 * SECOND);
    assert_int_equal(world.sides[0].read, 0);
    assert_int_equal(world.sides[0].utp->conns.count, 0);
    /* Nobody is there any more. */
    world.sides[1].to_write = 2000;
    world_write(&world, 1);
    world_run(&world, 10 * SECOND);
    assert_int_equal(world.sides[1].closed, 1);
    assert_int_equal(world.sides[1].reason, SK_UTP_REASON_RESET);
    world_deinit(&world);
}

static void test_both_close(void **state)
{
    struct world world;
    world_init(&world, 22, NULL);
    world.sides[0].to_write = world.sides[1].to_write = 1000;
    world_open(&world);
    for (int i = 0; i < 2; i++) {
        sk_utp_close(world.sides[i].utp, world.sides[i].conn);
        world.sides[i].conn = NULL;
    }
    world_run(&world, 10 * SECOND);
    assert_int_equal(world.sides[0].utp->conns.count + world.sides[1].utp->conns.count, 0);
    world_deinit(&world);
}

static void test_reset(void **state)
{
    struct world world;
    world_init(&world, 23, NULL);
    world.sides[0].to_write = 1000;
    world_open(&world);
    sk_utp_reset(world.sides[0].utp, world.sides[0].conn);
    world.sides[0].conn = NULL;
    world_run(&world, SECOND);
    assert_int_equal(world.sides[1].closed, 1);
    assert_int_equal(world.sides[1].reason, SK_UTP_REASON_RESET);
    assert_int_equal(world.sides[0].utp->conns.count + world.sides[1].utp->conns.count, 0);
    world_deinit(&world);
}

static void test_close_while_connecting(void **state)
{
    struct world world;
    world_init(&world, 24, NULL);
    world_connect(&world);
    world_run(&world, 30 * MS);
    sk_utp_close(world.sides[0].utp, world.sides[0].conn);
    world.sides[0].conn = NULL;
    world_run(&world, 20 * SECOND);
    assert_int_equal(world.sides[1].opened, 0);
    assert_int_equal(world.sides[1].utp->conns.count, 0);
    world_deinit(&world);
}

/* ---- memory ---- */

/* A failed allocation costs time, never a byte of the stream. */
static void test_allocations(void **state)
{
    for (size_t nth = 1; nth < 400; nth++) {
        struct world world;
        struct sk_utp *utp;
        const struct sk_utp_config config = {.connections_max = 1};
        sk_mem_fail_nth(1);
        assert_int_equal(sk_utp_new(&config, 1, &utp), SKEP_ERR_NOMEM);
        world_init(&world, nth, NULL);
        world.loss = 0.05;
        sk_mem_fail_nth(nth);
        world.sides[0].to_write = world.sides[1].to_write = 30000;
        world.sides[1].close_at_eof = true;
        int err = sk_utp_connect(world.sides[0].utp, &world.sides[1].address, world.now_ns,
                                 &world.sides[0].conn);
        if (err) {
            assert_int_equal(err, SKEP_ERR_NOMEM);
            world_connect(&world);
        }
        world_run(&world, 60 * SECOND);
        /* A SYN for which there was no memory is refused. */
        if (!world.sides[0].closed) {
            assert_int_equal(world.sides[0].read, 30000);
            assert_int_equal(world.sides[1].read, 30000);
        } else {
            assert_int_equal(world.sides[0].reason, SK_UTP_REASON_REFUSED);
        }
        sk_mem_fail_nth(0);
        world_deinit(&world);
    }
}

static void test_config(void **state)
{
    static const struct sk_utp_config bad[] = {
        {.connections_max = 0},
        {.connections_max = SK_UTP_CONNECTIONS_MAX + 1},
        {.connections_max = 1, .mtu_max = SK_UTP_MTU_FLOOR - 1},
        {.connections_max = 1, .mtu_max = 65536},
        {.connections_max = 1, .window = SK_UTP_WINDOW_MAX + 1},
    };
    struct sk_utp *utp;
    struct sk_utp_conn *conn;
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++)
        assert_int_equal(sk_utp_new(&bad[i], 1, &utp), SKEP_ERR_INVALID);
    const struct sk_utp_config one = {.connections_max = 1};
    const struct sk_endpoint nobody = {0},
                             there = sk_endpoint_v4((const uint8_t[]){80, 1, 1, 1}, 6881);
    assert_int_equal(sk_utp_new(&one, 1, &utp), 0);
    assert_int_equal(sk_utp_connect(utp, &nobody, 1, &conn), SKEP_ERR_INVALID);
    assert_int_equal(sk_utp_connect(utp, &there, 1, &conn), 0);
    assert_int_equal(sk_utp_connect(utp, &there, 1, &conn), SKEP_ERR_LIMIT);
    sk_utp_free(utp);
    sk_utp_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_accepter_speaks_first),
        cmocka_unit_test(test_connect_times_out),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_wraps),
        cmocka_unit_test(test_lost_twice),
        cmocka_unit_test(test_short_masks),
        cmocka_unit_test(test_lost_end),
        cmocka_unit_test(test_masks_left_out),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_window_update_lost),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_packs_small_writes),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_close_after_write),
        cmocka_unit_test(test_half_closed),
        cmocka_unit_test(test_both_close),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_close_while_connecting),
        cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
