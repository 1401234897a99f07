/*
 * Pieces that were stored and are given to others, and the bound on what is taken: the disk, slots,
 * requests that outlive their connection, and pauses in reading.
 */
#include "share_world.h"

#define PIECE 65536u
#define SLOTS 8

static struct world world_memory;

static struct world *fresh(void)
{
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){
                          .no_lsd = true, .save_dir = "/there", .give = true, .give_slots = SLOTS});
    world_content(world, 4, PIECE, true, false);
    world_add_file(world, NULL, 0);
    return world;
}

static int store(struct world *world, uint32_t piece)
{
    static uint8_t bytes[PIECE];
    uint32_t n = skep_torrent_piece_length(world->torrent, piece);
    sk_lab_content_read(&world->content, (uint64_t)piece * PIECE, bytes, n);
    return skep_torrent_store(world->torrent, piece, bytes, n);
}

/* ---- storing ---- */

static void test_store(void **state)
{
    struct world *world = fresh();
    world_start(world);
    static const uint8_t bytes[PIECE];
    assert_int_equal(skep_torrent_store(world->torrent, 4, bytes, PIECE), SKEP_ERR_INVALID);
    assert_int_equal(skep_torrent_store(world->torrent, 0, bytes, PIECE - 1), SKEP_ERR_INVALID);
    assert_int_equal(store(world, 1), 0);
    world_run(world, 1);
    assert_int_equal(world->writes, 1);
    assert_int_equal(world_seen(world, SKEP_EVENT_STORED, NULL)->error, 0);
    assert_int_equal(world->torrent->stored.set, 1);
    assert_int_equal(store(world, 1), 0); /* there already */
    world->disk_fails = true;
    assert_int_equal(store(world, 2), 0);
    world_run(world, 1);
    assert_int_equal(world->writes, 2);
    assert_int_equal(world_seen(world, SKEP_EVENT_STORED, NULL)->error, SKEP_ERR_IO);
    assert_int_equal(world->torrent->stored.set, 1);
    assert_int_equal(world->engine->store_bytes, 0);
    world_deinit(world);
}

/* The disk is slower than the network: what waits for it is bounded, and comes through later. */
static void test_store_is_bounded(void **state)
{
    struct world *world = fresh();
    world->disk_waits = true;
    world_start(world);
    int err = 0;
    for (uint32_t i = 0; i <= SK_ENGINE_STORE_MAX / PIECE && !err; i++)
        err = store(world, 0);
    assert_int_equal(err, SKEP_ERR_LIMIT);
    assert_int_equal(world->engine->store_bytes, SK_ENGINE_STORE_MAX);
    world_pump(world);
    sk_engine_disk_written(world->engine, world->waiting_write, 0, world->now_ns);
    sk_engine_disk_written(world->engine, world->waiting_write, 0, world->now_ns); /* twice */
    assert_int_equal(world->engine->store_bytes, SK_ENGINE_STORE_MAX - PIECE);
    assert_int_equal(store(world, 1), 0);
    world_deinit(world); /* with most of them still under way */
}

/* One is always taken, be it larger than all that may be on the way. */
static void test_store_takes_one(void **state)
{
    static const char huge[] = "d4:infod6:lengthi134217728e4:name1:n12:piece lengthi134217728e"
                               "6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
    static const uint8_t byte;
    const uint32_t n = 128u << 20;
    struct world *world = fresh();
    struct skep_torrent *torrent;
    assert_int_equal(skep_engine_add_file(world->engine, huge, sizeof huge - 1, &torrent, NULL), 0);
    world->disk_waits = true;
    assert_int_equal(skep_torrent_keep(torrent, 0, &byte, n - 1), SKEP_ERR_INVALID);
    assert_int_equal(skep_torrent_keep(torrent, 0, &byte, n), 0);
    assert_int_equal(skep_torrent_keep(torrent, 0, &byte, n), SKEP_ERR_LIMIT);
    assert_int_equal(store(world, 1), SKEP_ERR_LIMIT);
    world_pump(world);
    sk_engine_disk_written(world->engine, world->waiting_write, SKEP_ERR_MISMATCH, world->now_ns);
    assert_int_equal(world_seen(world, SKEP_EVENT_STORED, NULL)->error, SKEP_ERR_MISMATCH);
    assert_int_equal(torrent->stored.set, 0);
    assert_int_equal(store(world, 1), 0);
    world_deinit(world);
}

static void test_store_without_directory(void **state)
{
    struct world *world = &world_memory;
    world_init(world, NULL);
    world_content(world, 4, PIECE, true, false);
    world_add_file(world, NULL, 0);
    assert_int_equal(store(world, 1), SKEP_ERR_STATE);
    world_deinit(world);
}

/* ---- giving ---- */

/* A leecher that takes whatever it hears of. */
static void take(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_MESSAGE)
        return;
    if (event->msg.kind == SK_MSG_HAVE || event->msg.kind == SK_MSG_BITFIELD)
        (void)sk_peer_send_interest(link->session, true);
    if (event->msg.kind == SK_MSG_UNCHOKE)
        for (uint32_t begin = 0; begin < PIECE; begin += 16384)
            assert_int_equal(sk_peer_send_request(link->session, 1, begin, 16384, 1), 0);
}

static struct remote *leecher(struct world *world, unsigned number)
{
    char address[32];
    snprintf(address, sizeof address, "10.0.0.%u:7000", number);
    struct remote *remote = world_peer(world, address);
    world_hold(remote, 0, 0);
    remote->on_event = take;
    return remote;
}

static void test_give(void **state)
{
    struct world *world = fresh();
    struct remote *early = leecher(world, 1);
    world_start(world);
    world_run(world, 1);
    assert_int_equal(store(world, 1), 0);
    struct remote *late = leecher(world, 2);
    world_run(world, 1);
    assert_int_equal(early->got_bytes, PIECE);
    assert_int_equal(late->got_bytes, PIECE);
    assert_int_equal(world_count(world, SKEP_EVENT_SENT, NULL), 8);
    assert_int_equal(world_seen(world, SKEP_EVENT_SENT, NULL)->message.length, 16384);
    assert_int_equal(world->torrent->given, 2 * PIECE);
    world_deinit(world);
}

/* The disk fails: the request is rejected, not forgotten. */
static void test_give_disk_fails(void **state)
{
    struct world *world = fresh();
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    world_pump(world);
    world->disk_fails = true;
    struct remote *remote = leecher(world, 1);
    world_run(world, 1);
    assert_int_equal(world->reads, 1); /* four requests that follow each other are one */
    assert_int_equal(remote->got_bytes, 0);
    assert_int_equal(sk_peer_view(world->links->session)->requests_pending, 0);
    world_deinit(world);
}

static unsigned served_of(struct remote *const *remotes, size_t n)
{
    unsigned served = 0;
    for (size_t i = 0; i < n; i++)
        served += remotes[i]->got_bytes > 0;
    return served;
}

/* Slots are bounded, and who gets one that is free was waiting for it. */
static void test_slots(void **state)
{
    struct world *world = fresh();
    struct remote *remotes[SLOTS + 3];
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    world_pump(world);
    for (unsigned i = 0; i < SK_ARRAY_LEN(remotes); i++)
        remotes[i] = leecher(world, i + 1);
    world_run(world, 1);
    assert_int_equal(served_of(remotes, SK_ARRAY_LEN(remotes)), SLOTS);
    assert_int_equal(sk_choker_unchoked(world->torrent->choker), SLOTS);
    /* One served leaves, another loses interest, and does so twice. */
    struct link *link = world->links;
    while (!link->remote->got_bytes)
        link = link->next;
    link->ended = true;
    struct link *other = link->next;
    while (!other->remote->got_bytes)
        other = other->next;
    world_run(world, 1);
    assert_int_equal(served_of(remotes, SK_ARRAY_LEN(remotes)), SLOTS + 1);
    link = other;
    (void)sk_peer_send_interest(link->session, false);
    world_run(world, 1);
    (void)sk_peer_send_interest(link->session, true);
    (void)sk_peer_send_interest(link->session, false);
    world_run(world, 1);
    assert_int_equal(served_of(remotes, SK_ARRAY_LEN(remotes)), SLOTS + 2);
    world_deinit(world);
}

static void ask_while_choked(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        for (uint32_t piece = 0; piece < 3; piece++)
            (void)sk_peer_send_request(link->session, piece, 0, 16384, 1);
}

/* ---- super-seeding (BEP 16) ---- */

static struct {
    bool bitfield, upload_only;
    uint32_t haves, asked, fast;
    uint32_t told[8];
} super;

/* Takes what it is told of, and asks for what it is not. */
static void take_super(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        super.upload_only |= event->extended.upload_only > 0;
    if (event->kind == SK_PEER_EVENT_BLOCK && event->msg.begin + 16384 == PIECE)
        (void)sk_peer_send_have(link->session, event->msg.index);
    if (event->kind != SK_PEER_EVENT_MESSAGE)
        return;
    super.bitfield |= event->msg.kind == SK_MSG_BITFIELD || event->msg.kind == SK_MSG_HAVE_ALL;
    super.fast += event->msg.kind == SK_MSG_ALLOWED_FAST;
    if (event->msg.kind == SK_MSG_HAVE) {
        super.told[super.haves++ % SK_ARRAY_LEN(super.told)] = event->msg.index;
        (void)sk_peer_send_interest(link->session, true);
    }
    while (!sk_peer_view(link->session)->choked && super.asked < super.haves) {
        uint32_t piece = super.told[super.asked++ % SK_ARRAY_LEN(super.told)];
        for (uint32_t begin = 0; begin < PIECE; begin += 16384)
            (void)sk_peer_send_request(link->session, piece, begin, 16384, 1);
    }
}

static void test_super_seed(void **state)
{
    struct world *world = &world_memory;
    memset(&super, 0, sizeof super);
    world_init(world, &(struct skep_config){
                          .no_lsd = true, .save_dir = "/there", .give = true, .super_seed = true});
    world_content(world, 90, PIECE, true, false);
    world_add_file(world, NULL, 0);
    world_start(world);
    struct remote *first = leecher(world, 1), *second = leecher(world, 2);
    first->on_event = take_super;
    second->on_event = NULL;
    world_run(world, 1);
    assert_int_equal(super.haves, 0);
    for (uint32_t i = 0; i < 90; i++)
        skep_torrent_has_stored(world->torrent, i);
    world_run(world, 1);
    assert_false(super.bitfield || super.upload_only);
    assert_int_equal(super.fast, 0);
    assert_int_equal(super.haves, 2);
    assert_int_equal(first->got_bytes, 2 * PIECE);
    /* What it was not told of it does not get. */
    struct sk_peer *session = share_session(world, first);
    uint32_t other = 0;
    while (other == super.told[0] || other == super.told[1])
        other++;
    (void)sk_peer_send_request(session, other, 0, 16384, 1);
    world_run(world, 1);
    assert_int_equal(first->got_bytes, 2 * PIECE);
    assert_int_equal(sk_peer_view(session)->requests_pending, 0);
    /* It passes one on, and gets another. */
    (void)sk_peer_send_have(share_session(world, second), super.told[0]);
    world_run(world, 1);
    assert_int_equal(super.haves, 3);
    assert_int_equal(first->got_bytes, 3 * PIECE);
    /* The other one it keeps, as this one. In the end it gets more all the same. */
    world_run(world, 75);
    assert_int_equal(super.haves, 5);
    /* It has nobody to pass on to any more. */
    for (struct link *link = world->links; link; link = link->next)
        link->ended |= link->remote == second;
    second->answer = REFUSES;
    world_run(world, 1);
    assert_true(super.haves > 80);
    world_deinit(world);
}

/* ---- while choked (BEP 6) ---- */

static struct {
    uint32_t told[16], count;
} fast;

/* Asks for all of what it is allowed, and for one more; says never that it is interested. */
static void take_fast(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_MESSAGE || event->msg.kind != SK_MSG_ALLOWED_FAST)
        return;
    fast.told[fast.count++ % SK_ARRAY_LEN(fast.told)] = event->msg.index;
    for (uint32_t begin = 0; begin < 2 * 16384; begin += 16384)
        (void)sk_peer_send_request(link->session, event->msg.index, begin, 16384, 1);
}

static uint32_t not_allowed(void)
{
    uint32_t piece = 0;
    for (uint32_t i = 0; i < fast.count; i++)
        if (fast.told[i] == piece) {
            piece++;
            i = UINT32_MAX; /* from the first again */
        }
    return piece;
}

static struct world *fast_world(uint32_t holds, struct remote **ret_remote)
{
    struct world *world = &world_memory;
    fast.count = 0;
    world_init(world, &(struct skep_config){.no_lsd = true, .save_dir = "/there", .give = true});
    world_content(world, 96, 32768, true, false);
    world_add_file(world, NULL, 0);
    for (uint32_t i = 0; i < 96; i++)
        skep_torrent_has_stored(world->torrent, i);
    *ret_remote = world_peer(world, "10.0.0.1:7000");
    world_hold(*ret_remote, 0, holds);
    (*ret_remote)->on_event = take_fast;
    world_start(world);
    world_run(world, 1);
    return world;
}

static void test_allowed_fast(void **state)
{
    struct remote *remote;
    struct world *world = fast_world(0, &remote);
    struct sk_peer *session = world->links->session;
    assert_true(sk_peer_view(session)->choked);
    assert_int_equal(fast.count, 10);
    const uint64_t all = 10 * 32768;
    assert_int_equal(remote->got_bytes, all);
    /* Each of them once, and no others. */
    (void)sk_peer_send_request(session, fast.told[0], 0, 16384, 1);
    (void)sk_peer_send_request(session, not_allowed(), 0, 16384, 1);
    world_run(world, 1);
    assert_int_equal(remote->got_bytes, all);
    assert_int_equal(sk_peer_view(session)->requests_pending, 0);
    world_deinit(world);
}

static void test_fast_only_for_the_new(void **state)
{
    struct remote *remote;
    struct world *world = fast_world(10, &remote);
    assert_int_equal(fast.count, 10);
    world_deinit(world);
    world = fast_world(11, &remote);
    assert_int_equal(fast.count, 0);
    world_deinit(world);
    /* One that says that it got on. */
    world = fast_world(0, &remote);
    struct skep_peer *peer = (struct skep_peer *)world->links->conn;
    memset(peer->fast_give.given, 0, sizeof peer->fast_give.given);
    for (uint32_t i = 0; i < 11; i++)
        (void)sk_peer_send_have(world->links->session, i);
    (void)sk_peer_send_request(world->links->session, fast.told[0], 0, 16384, 1);
    world_run(world, 1);
    assert_int_equal(remote->got_bytes, 10 * 32768);
    world_deinit(world);
}

static void test_fast_quota(void **state)
{
    struct remote *remote;
    struct world *world = fast_world(0, &remote);
    struct skep_peer *peer = (struct skep_peer *)world->links->conn;
    for (uint64_t given = 10 * 32768; given < SK_ENGINE_FAST_BYTES; given += 32768) {
        peer->fast_give.given[0] = 0;
        assert_true(sk_fast_give_take(peer, fast.told[0], 32768));
    }
    peer->fast_give.given[0] = peer->fast_give.given[1] = 0;
    assert_false(sk_fast_give_take(peer, fast.told[0], 1));
    world_run(world, 61);
    assert_true(sk_fast_give_take(peer, fast.told[0], 1));
    world->engine->give_bucket.rate = 8000; /* of 480,000 bytes a minute an eighth */
    assert_true(sk_fast_give_take(peer, fast.told[0], 32767));
    assert_true(sk_fast_give_take(peer, fast.told[1], 60000 - 32768));
    assert_false(sk_fast_give_take(peer, fast.told[1], 1));
    world_deinit(world);
}

/* What waits when it is choked goes on where it is allowed. */
static void test_fast_outlives_choke(void **state)
{
    struct remote *remote;
    struct world *world = fast_world(0, &remote);
    struct link *link = world->links;
    struct skep_peer *peer = (struct skep_peer *)link->conn;
    memset(peer->fast_give.given, 0, sizeof peer->fast_give.given);
    world->disk_s = 0.5;
    (void)sk_peer_send_interest(link->session, true);
    world_run(world, 0.1);
    assert_false(sk_peer_view(link->session)->choked);
    uint64_t before = remote->got_bytes;
    for (uint32_t i = 0; i < 3; i++)
        (void)sk_peer_send_request(link->session, i == 1 ? not_allowed() : fast.told[i], 0, 16384,
                                   1);
    world_run(world, 0.1);
    (void)sk_peer_send_interest(link->session, false);
    world_run(world, 5);
    assert_true(sk_peer_view(link->session)->choked);
    assert_int_equal(remote->got_bytes - before, 2 * 16384);
    assert_int_equal(sk_peer_view(link->session)->requests_pending, 0);
    world_deinit(world);
}

/* Nothing is read for one who is choked, or for a piece that we do not have. */
static void test_refusals(void **state)
{
    struct world *world = fresh();
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    world_pump(world);
    struct remote *remote = leecher(world, 1);
    remote->on_event = ask_while_choked;
    world_run(world, 1);
    assert_int_equal(world->reads, 0);
    assert_int_equal(sk_peer_view(world->links->session)->requests_pending, 0);
    world_deinit(world);
}

/* The connection goes while the disk reads for it; a new one may lie at the same place in memory
 * and must not be given the old one's answer. */
static void test_read_outlives_connection(void **state)
{
    struct world *world = fresh();
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    world_pump(world);
    world->disk_waits = true;
    struct remote *first = leecher(world, 1);
    world_run(world, 1);
    first->answer = REFUSES; /* when it is dialled again */
    uint64_t old = world->read_id;
    assert_int_equal(world->reads, 1);
    world->links->ended = true;
    world_run(world, 1);
    assert_int_equal(world->engine->asks.count, 0);
    struct remote *other = leecher(world, 2);
    world_run(world, 0.5); /* the first one is dialled again later */
    assert_int_equal(world->reads, 2);
    static uint8_t bytes[16384];
    sk_engine_disk_read(world->engine, old, 0, sk_bytes(bytes, sizeof bytes), world->now_ns);
    world_run(world, 1);
    assert_int_equal(other->got_bytes, 0);
    world_deinit(world);
}

static void take_interest(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE &&
        (event->msg.kind == SK_MSG_HAVE || event->msg.kind == SK_MSG_BITFIELD))
        (void)sk_peer_send_interest(link->session, true);
}

/* Block by block, from the last one on: each is a read of its own. */
static void take_apart(struct link *link, const struct sk_peer_event *event)
{
    take_interest(link, event);
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE)
        for (uint32_t begin = PIECE; begin > 0; begin -= 16384)
            (void)sk_peer_send_request(link->session, 1, begin - 16384, 16384, 1);
}

static void ask_much(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind != SK_PEER_EVENT_MESSAGE)
        return;
    if (event->msg.kind == SK_MSG_HAVE || event->msg.kind == SK_MSG_BITFIELD)
        (void)sk_peer_send_interest(link->session, true);
    if (event->msg.kind != SK_MSG_UNCHOKE)
        return;
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(sk_peer_send_request(link->session, 1, 0, PIECE, 1), 0);
    link->remote->world->stuck = true; /* from now on nothing of ours reaches it */
}

/* 13 MB are asked for by one that reads slowly: nothing is dropped, and no more is read from the
 * disk than the output can hold. */
static void test_slow_reader(void **state)
{
    struct world *world = fresh();
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    world_pump(world);
    struct remote *remote = leecher(world, 1);
    remote->on_event = ask_much;
    world_run(world, 1);
    assert_true(world->stuck);
    assert_in_range(world->reads, 10, SK_PEER_OUTPUT_MAX / PIECE);
    world->stuck = false;
    world_run(world, 1);
    assert_int_equal(remote->got_bytes, 200 * PIECE);
    world_deinit(world);
}

/* As many at once as we say we take. */
static void ask_what_is_told(struct link *link, const struct sk_peer_event *event)
{
    take_interest(link, event);
    if (event->kind != SK_PEER_EVENT_MESSAGE || event->msg.kind != SK_MSG_UNCHOKE)
        return;
    uint32_t told = sk_peer_view(link->session)->extension.request_queue;
    assert_in_range(told, 2000, SK_PEER_REQUESTS_MAX);
    for (uint32_t i = 0; i < told; i++)
        assert_int_equal(sk_peer_send_request(link->session, 1, i * 32, 32, 1), 0);
}

/* Transmission asks twice a second, for so many: it gets all, and no queue is kept for it later. */
static void test_many_requests(void **state)
{
    struct world *world = fresh();
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    world_pump(world);
    struct remote *remote = leecher(world, 1);
    remote->on_event = ask_what_is_told;
    world_run(world, 1);
    assert_int_equal(remote->got_bytes, 2000 * 32);
    assert_non_null(world->engine->peers->give);
    (void)sk_peer_send_interest(world->links->session, false);
    world_run(world, 1);
    assert_null(world->engine->peers->give);
    world_deinit(world);
}

static void cancel_all(struct link *link, const struct sk_peer_event *event)
{
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE) {
        take(link, event);
        for (uint32_t begin = 0; begin < PIECE; begin += 16384)
            (void)sk_peer_send_cancel(link->session, 1, begin, 16384);
    } else {
        take(link, event);
    }
}

/* A cancel is answered, by the block or by a reject. */
static void test_cancel(void **state)
{
    struct world *world = fresh();
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    world_pump(world);
    struct remote *remote = leecher(world, 1);
    remote->on_event = cancel_all;
    world_run(world, 1);
    assert_int_equal(sk_peer_view(world->links->session)->requests_pending, 0);
    assert_int_equal(remote->got_bytes, 0); /* they came together: nothing was read yet */
    assert_int_equal(world->reads, 0);
    world_deinit(world);
}

/* Requests that follow each other are one read, of sixteen and of a megabyte at most. */
static void ask_in_bits(struct link *link, const struct sk_peer_event *event)
{
    take_interest(link, event);
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE)
        for (uint32_t i = 0; i < 40; i++)
            (void)sk_peer_send_request(link->session, 1, i * 1000, 1000, 1);
}

static void ask_in_chunks(struct link *link, const struct sk_peer_event *event)
{
    take_interest(link, event);
    if (event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE)
        for (uint32_t i = 0; i < 16; i++)
            (void)sk_peer_send_request(link->session, 0, i * SK_BLOCK_SIZE_MAX, SK_BLOCK_SIZE_MAX,
                                       1);
}

static void test_runs(void **state)
{
    struct world *world = fresh();
    world_start(world);
    assert_int_equal(store(world, 1), 0);
    struct remote *remote = leecher(world, 1);
    remote->on_event = ask_in_bits;
    world_run(world, 1);
    assert_int_equal(remote->got_bytes, 40000);
    assert_int_equal(world->reads, 3); /* 16, 16 and 8 */
    world_deinit(world);

    world_init(world, &(struct skep_config){.no_lsd = true, .save_dir = "/there", .give = true});
    world_content(world, 2, 16 * SK_BLOCK_SIZE_MAX, true, false);
    world_add_file(world, NULL, 0);
    world_start(world);
    assert_int_equal(skep_torrent_has_stored(world->torrent, 0), 0);
    remote = leecher(world, 1);
    remote->on_event = ask_in_chunks;
    world_run(world, 1);
    assert_int_equal(remote->got_bytes, 16 * SK_BLOCK_SIZE_MAX);
    assert_int_equal(world->reads, 2);
    world_deinit(world);
}

/* One whose blocks a slow disk is being asked for. */
static struct remote *reading(struct world *world)
{
    world->disk_s = 0.5;
    world_start(world);
    assert_int_equal(skep_torrent_has_stored(world->torrent, 1), 0);
    struct remote *remote = leecher(world, 1);
    remote->on_event = take_apart;
    world_run(world, 0.2);
    return remote;
}

/* A cancel comes while the disk reads: what is read already is sent, the rest rejected; each
 * request has one answer. */
static void test_cancel_while_reading(void **state)
{
    struct world *world = fresh();
    struct remote *remote = reading(world);
    assert_int_equal(world->reads, 1);
    struct link *link = world->links;
    for (uint32_t begin = 0; begin < PIECE; begin += 16384)
        (void)sk_peer_send_cancel(link->session, 1, begin, 16384);
    world_run(world, 5);
    assert_int_equal(world->reads, 1);
    assert_int_equal(remote->got_bytes, 16384);
    assert_int_equal(sk_peer_view(link->session)->requests_pending, 0);
    world_deinit(world);
}

/* It is choked while the disk reads for it: nothing is sent, all is rejected, and what it asks for
 * later is served. */
static void test_choked_while_reading(void **state)
{
    struct world *world = fresh();
    struct remote *remote = reading(world);
    struct link *link = world->links;
    (void)sk_peer_send_interest(link->session, false);
    world_run(world, 0.1);
    assert_true(sk_peer_view(link->session)->choked);
    assert_int_equal(sk_peer_view(link->session)->requests_pending, 0);
    (void)sk_peer_send_interest(link->session, true); /* and asks, when it is unchoked */
    world_run(world, 5);
    assert_int_equal(remote->got_bytes, PIECE);
    assert_int_equal(sk_peer_view(link->session)->requests_pending, 0);
    world_deinit(world);
}

/* ---- the bound on what is given ---- */

/* It asks without end, for blocks as large as its `lazy`, which is of no use else where nothing is
 * held. */
static void take_for_ever(struct link *link, const struct sk_peer_event *event)
{
    uint32_t length = link->remote->lazy;
    bool unchoked = event->kind == SK_PEER_EVENT_MESSAGE && event->msg.kind == SK_MSG_UNCHOKE;
    take_interest(link, event);
    for (unsigned i = 0; i < (unchoked ? 20u : event->kind == SK_PEER_EVENT_BLOCK); i++)
        (void)sk_peer_send_request(link->session, 1, i % 2 * length, length, 1);
}

/* Ten seconds of the limit are ten times the limit, and those who ask get the same each, whatever
 * they ask for, whenever they came, and whoever else is there. */
static void test_limit(void **state)
{
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){.no_lsd = true,
                                            .save_dir = "/there",
                                            .give = true,
                                            .give_slots = SLOTS,
                                            .give_limit_bytes_s = 500000});
    world_content(world, 4, PIECE, true, false);
    world_add_file(world, NULL, 0);
    world->disk_s = 0.0005;
    world_start(world);
    assert_int_equal(skep_torrent_has_stored(world->torrent, 1), 0);
    struct remote *takers[4];
    for (unsigned i = 0; i < 24; i++) {
        struct remote *remote = leecher(world, i + 1);
        remote->on_event = i % 6 ? NULL : take_for_ever;
        remote->lazy = i == 6 ? 32768 : i == 12 ? 4096 : 16384;
        if (i % 6 == 0)
            takers[i / 6] = remote;
    }
    takers[3]->on_event = NULL; /* later */
    world_run(world, 10);
    assert_in_range(world->torrent->given, 4850000, 5150000);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(takers[i]->got_bytes, 4850000 / 3, 5150000 / 3);
    uint64_t before = world->torrent->given, first = takers[0]->got_bytes;
    takers[3]->on_event = take_for_ever;
    for (struct link *link = world->links; link; link = link->next)
        if (link->remote == takers[3])
            (void)sk_peer_send_interest(link->session, true);
    world_run(world, 10);
    assert_in_range(world->torrent->given - before, 4850000, 5150000);
    assert_in_range(takers[3]->got_bytes, 4700000 / 4, 5150000 / 4); /* no more for having waited */
    assert_in_range(takers[0]->got_bytes - first, 4850000 / 4, 5300000 / 4);
    world_deinit(world);
}

/* ---- the bound on what is taken ---- */

static void request_all(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_OPEN)
        (void)skep_peer_interest(event->peer, true);
    if (event->kind == SKEP_EVENT_MESSAGE && event->message.kind == SKEP_MESSAGE_UNCHOKE)
        for (uint32_t piece = 0; piece < 60; piece++)
            for (uint32_t begin = 0; begin < PIECE; begin += 16384)
                (void)skep_peer_request(event->peer, piece, begin, 16384);
}

/* Two at once, at 100 kB/s together: as much as that arrives, with pauses, and none stays paused.
 */
static void test_rate_limit(void **state)
{
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){.no_lsd = true, .rate_limit_bytes_s = 100000});
    world_content(world, 64, PIECE, true, false);
    world_add_file(world, NULL, 0);
    world_peer(world, "10.0.0.1:7000");
    world_peer(world, "10.0.0.2:7000");
    world->hook = request_all;
    world_start(world);
    world_run(world, 20);
    uint64_t taken = world->torrent->taken;
    assert_in_range(taken, 1900000, 2200000); /* and one chunk of each beyond */
    assert_true(world->pauses > 10);
    assert_in_range(world->pauses - world->resumes, 0, 2);
    skep_peer_close(world->engine->peers); /* a paused one goes */
    world_run(world, 60);
    assert_int_equal(world->engine->paused_count, 0);
    world_deinit(world);
}

/* Ten read a chunk each at once: none reads again before all of that is paid for. */
static void test_rate_limit_of_many(void **state)
{
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){.no_lsd = true, .rate_limit_bytes_s = 100000});
    world_content(world, 64, PIECE, true, false);
    world_add_file(world, NULL, 0);
    for (int i = 1; i <= 10; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        world_peer(world, text);
    }
    world->hook = request_all;
    world_start(world);
    world_run(world, 4);
    assert_true(world->torrent->taken <= 10 * 65536);
    world_run(world, 16);
    assert_in_range(world->torrent->taken, 1800000, 2000000 + 10 * 65536);
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_store_is_bounded),
        cmocka_unit_test(test_store_takes_one),
        cmocka_unit_test(test_store_without_directory),
        cmocka_unit_test(test_give),
        cmocka_unit_test(test_give_disk_fails),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_super_seed),
        cmocka_unit_test(test_allowed_fast),
        cmocka_unit_test(test_fast_only_for_the_new),
        cmocka_unit_test(test_fast_quota),
        cmocka_unit_test(test_fast_outlives_choke),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_read_outlives_connection),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_many_requests),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_cancel_while_reading),
        cmocka_unit_test(test_choked_while_reading),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_rate_limit),
        cmocka_unit_test(test_rate_limit_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
