/* What a timeline makes of observations: gains and their times, links, stretches, bounds. */
#include "audit/timeline.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "swarm/source.h"

#include <skep/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PIECES 20
#define BEGIN_NS UINT64_C(5000000000)

static struct sk_endpoint address(uint8_t n)
{
    return sk_endpoint_v4((const uint8_t[]){10, 0, 0, n}, 6881);
}

struct world {
    struct sk_timeline timeline;
    int err;
};

static void begin(struct world *world)
{
    world->err = 0;
    assert_int_equal(
        sk_timeline_init(&world->timeline, BEGIN_NS, PIECES, 16384, (PIECES - 1) * 16384 + 100), 0);
}

/* Peer `n` at second `at_s`. */
static void tell(struct world *world, double at_s, uint8_t n, struct sk_observation observation)
{
    observation.at_ns = BEGIN_NS + (uint64_t)(at_s * 1e9 + 0.5);
    observation.peer = address(n);
    int err = sk_timeline_observe(&world->timeline, &observation);
    world->err = world->err ? world->err : err;
}

#define TELL(world, at_s, n, ...) tell(world, at_s, n, (struct sk_observation){__VA_ARGS__})

static void tell_bits(struct world *world, double at_s, uint8_t n, uint8_t first_byte)
{
    uint8_t bits[3] = {first_byte};
    TELL(world, at_s, n, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, 3));
}

static struct sk_timeline_peer *peer(struct world *world, uint8_t n)
{
    struct sk_endpoint endpoint = address(n);
    uint32_t index = sk_timeline_find(&world->timeline, &endpoint);
    assert_int_not_equal(index, UINT32_MAX);
    return &world->timeline.peers[index];
}

static void test_sizes(void **state)
{
    struct sk_timeline timeline;
    assert_int_equal(sk_timeline_init(&timeline, 0, 0, 16384, 0), SKEP_ERR_INVALID);
    assert_int_equal(sk_timeline_init(&timeline, 0, 2, 16384, 1), SKEP_ERR_INVALID);
    assert_int_equal(sk_timeline_init(&timeline, 0, 2, 16384, 32769), SKEP_ERR_INVALID);
    assert_int_equal(sk_timeline_init(&timeline, 0, 2, 16384, 16385), 0);
    assert_int_equal(sk_timeline_piece_bytes(&timeline, 0), 16384);
    assert_int_equal(sk_timeline_piece_bytes(&timeline, 1), 1);
    sk_timeline_deinit(&timeline);
}

/* ---- pieces of many sizes ---- */

static void tell_short(struct sk_timeline *timeline, size_t n, const uint8_t *list)
{
    const struct sk_observation seen = {
        .at_ns = BEGIN_NS, .kind = SK_OBS_SHORT_PIECES, .bytes = sk_bytes(list, n)};
    assert_int_equal(sk_timeline_observe(timeline, &seen), 0);
}

/* Four pieces of 16384, of which the second has 5 bytes and the last 256. */
static void test_short_pieces(void **state)
{
    static const uint8_t list[] = {0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 1, 0};
    static const uint8_t backwards[] = {0, 0, 0, 3, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 5};
    static const uint8_t beyond[] = {0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 1, 0};
    static const uint8_t other_sum[] = {0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 3, 0, 0, 1, 0};
    static const uint8_t whole[] = {0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 3, 0, 0, 1, 0};
    const uint64_t size = 2 * 16384 + 5 + 256;
    struct sk_timeline timeline;
    assert_int_equal(sk_timeline_init(&timeline, BEGIN_NS, 0, 0, 0), 0);
    tell_short(&timeline, sizeof list, list); /* of what is not known yet */
    assert_int_equal(sk_timeline_set_pieces(&timeline, 4, 16384, size), 0);
    tell_short(&timeline, sizeof list - 1, list);
    tell_short(&timeline, 8, list);
    tell_short(&timeline, 0, NULL);
    tell_short(&timeline, sizeof backwards, backwards);
    tell_short(&timeline, sizeof beyond, beyond);
    tell_short(&timeline, sizeof other_sum, other_sum);
    tell_short(&timeline, sizeof whole, whole);
    assert_null(timeline.bytes);
    assert_int_equal(sk_timeline_piece_bytes(&timeline, 1), 16384);
    tell_short(&timeline, sizeof list, list);
    tell_short(&timeline, sizeof other_sum, other_sum); /* once is enough */
    assert_int_equal(sk_timeline_piece_bytes(&timeline, 0), 16384);
    assert_int_equal(sk_timeline_piece_bytes(&timeline, 1), 5);
    assert_int_equal(sk_timeline_piece_bytes(&timeline, 3), 256);
    sk_timeline_deinit(&timeline);
}

/* Sums of gains are the same before it is closed, after it, and after gains that come later. */
static void test_gained_bytes(void **state)
{
    enum { MANY = 300, WHOLE = 16384 };
    uint8_t list[MANY * SK_TIMELINE_SHORT_BYTES], bits[(MANY + 7) / 8] = {0};
    struct world world = {.err = 0};
    uint64_t size = 0, sums[MANY + 1] = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t piece = i * 7 % MANY; /* in this order they come */
        sk_put_u32(list + i * SK_TIMELINE_SHORT_BYTES, i);
        sk_put_u32(list + i * SK_TIMELINE_SHORT_BYTES + 4, i + 1);
        size += i + 1;
        sums[i + 1] = sums[i] + piece + 1;
    }
    assert_int_equal(sk_timeline_init(&world.timeline, BEGIN_NS, MANY, WHOLE, size), 0);
    tell_short(&world.timeline, sizeof list, list);
    TELL(&world, 0, 1, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes(bits, sizeof bits));
    for (uint32_t i = 0; i < MANY; i++) {
        if (i == 200)
            sk_timeline_close(&world.timeline, BEGIN_NS);
        TELL(&world, 10 + i, 1, .kind = SK_OBS_HAVE, .a = i * 7 % MANY);
    }
    for (int closed = 0; closed < 2; closed++) {
        const struct sk_timeline_peer *it = peer(&world, 1);
        assert_int_equal(it->gains_count, MANY);
        assert_int_equal(it->sums_count, (closed ? MANY : 200) / SK_TIMELINE_SUM_STEP);
        for (uint32_t n = 0; n <= MANY; n++)
            assert_int_equal(sk_timeline_gained_bytes(&world.timeline, it, n), sums[n]);
        sk_timeline_close(&world.timeline, BEGIN_NS);
    }
    assert_int_equal(world.err, 0);
    sk_timeline_deinit(&world.timeline);
}

/* Without memory for sums it takes longer to know the same; without it for the list it is not
 * known. */
static void test_short_pieces_without_memory(void **state)
{
    static const uint8_t list[] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1};
    const struct sk_observation seen = {
        .at_ns = BEGIN_NS, .kind = SK_OBS_SHORT_PIECES, .bytes = sk_bytes(list, sizeof list)};
    struct sk_timeline timeline;
    assert_int_equal(sk_timeline_init(&timeline, BEGIN_NS, 3, 16384, 16386), 0);
    sk_mem_fail_nth(1);
    assert_int_equal(sk_timeline_observe(&timeline, &seen), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(0);
    assert_null(timeline.bytes);
    assert_int_equal(sk_timeline_observe(&timeline, &seen), 0);
    assert_int_equal(sk_timeline_piece_bytes(&timeline, 0), 1);
    sk_timeline_deinit(&timeline);
}

static void test_gains(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 1, 1, .kind = SK_OBS_OPEN, .bytes = sk_bytes("-XX0000-123456789012", 20));
    tell_bits(&world, 1.1, 1, 0xc0);
    TELL(&world, 2, 1, .kind = SK_OBS_HAVE, .a = 2); /* lazy: belongs to the bitfield */
    TELL(&world, 9, 1, .kind = SK_OBS_HAVE, .a = 5);
    TELL(&world, 9.5, 1, .kind = SK_OBS_HAVE, .a = 5); /* again */
    TELL(&world, 9.6, 1, .kind = SK_OBS_HAVE, .a = PIECES);
    TELL(&world, 9.7, 1, .kind = SK_OBS_HAVE, .a = -1);
    struct sk_timeline_peer *p = peer(&world, 1);
    assert_int_equal(p->first.set, 3);
    assert_int_equal(p->first_ms, 2000);
    assert_int_equal(p->gains_count, 1);
    assert_int_equal(p->gains[0].piece, 5);
    assert_int_equal(p->gains[0].at_ms, 9000);
    assert_int_equal(p->gains[0].since_ms, 9000);
    assert_true(sk_timeline_watched(p, 5000));
    assert_false(sk_timeline_watched(p, 500));
    sk_timeline_deinit(&world.timeline);
}

/* aria2: a bitfield in place of HAVEs, told as these. */
static void test_batch(void **state)
{
    struct world world;
    begin(&world);
    tell_bits(&world, 1, 1, 0);
    TELL(&world, 10, 1, .kind = SK_OBS_HAVE, .a = 0);
    for (int piece = 1; piece < 4; piece++)
        TELL(&world, 30, 1, .kind = SK_OBS_HAVE, .a = piece, .b = 1);
    TELL(&world, 31, 1, .kind = SK_OBS_HAVE, .a = 4);
    struct sk_timeline_peer *p = peer(&world, 1);
    assert_int_equal(p->gains_count, 5);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(p->gains[i].since_ms, 10000);
        assert_int_equal(p->gains[i].at_ms, 30000);
    }
    assert_int_equal(p->gains[4].since_ms, 31000);
    sk_timeline_deinit(&world.timeline);
}

/* What was gained while we were away; or, of who told of no gain, since it told what it holds. */
static void test_reconnection(void **state)
{
    for (int tells = 0; tells <= 1; tells++) {
        struct world world;
        begin(&world);
        TELL(&world, 1, 1, .kind = SK_OBS_OPEN);
        tell_bits(&world, 1, 1, 0x80);
        if (tells)
            TELL(&world, 10, 1, .kind = SK_OBS_HAVE, .a = 9);
        TELL(&world, 40, 1, .kind = SK_OBS_CLOSED);
        TELL(&world, 60, 1, .kind = SK_OBS_OPEN);
        tell_bits(&world, 60.1, 1, 0x60);                 /* and lost piece 0 */
        TELL(&world, 61, 1, .kind = SK_OBS_HAVE, .a = 8); /* lazy */
        TELL(&world, 70, 1, .kind = SK_OBS_HAVE, .a = 0); /* regained: no gain */
        struct sk_timeline_peer *p = peer(&world, 1);
        assert_true(p->shrank);
        assert_int_equal(p->gains_count, 3 + tells);
        for (int i = tells; i < 3 + tells; i++)
            assert_int_equal(p->gains[i].since_ms, tells ? 40000 : 1000);
        assert_int_equal(p->gains[2 + tells].at_ms, 61000);
        assert_int_equal(p->watched_count, 2);
        assert_int_equal(p->watched[0].tells, tells);
        assert_false(p->watched[1].tells);
        assert_false(sk_timeline_watched(p, 50000));
        sk_timeline_deinit(&world.timeline);
    }
}

/* It was us who went, for a moment; and who answers then. */
static void test_renewal(void **state)
{
    static const struct {
        const char *reason, *id;
        double again_s;
        bool renewed, same_id;
    } cases[] = {
        {"local", "-XX0000-123456789012", 50, true, true},
        {"local", "-XX0000-210987654321", 50, true, false},
        {"local", "-XX0000-123456789012", 101, false, true},
        {"closed", "-XX0000-123456789012", 41, false, true},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world world;
        begin(&world);
        TELL(&world, 1, 1, .kind = SK_OBS_OPEN, .bytes = sk_bytes_text("-XX0000-123456789012"));
        TELL(&world, 40, 1, .kind = SK_OBS_CLOSED, .bytes = sk_bytes_text(cases[i].reason));
        TELL(&world, cases[i].again_s, 1, .kind = SK_OBS_OPEN, .bytes = sk_bytes_text(cases[i].id));
        assert_false(peer(&world, 1)->watched[0].renewed);
        assert_int_equal(peer(&world, 1)->watched[1].renewed, cases[i].renewed);
        assert_int_equal(peer(&world, 1)->watched[1].same_id, cases[i].same_id);
        sk_timeline_deinit(&world.timeline);
    }
}

/* A bitfield that leaves pieces out, and HAVEs of these: nothing was lost. */
static void test_lazy_reconnection(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 1, 1, .kind = SK_OBS_OPEN);
    tell_bits(&world, 1, 1, 0xe0);
    TELL(&world, 1.5, 1, .kind = SK_OBS_HAVE, .a = 3);
    struct sk_timeline_peer *p = peer(&world, 1);
    assert_int_equal(p->listed, 3);
    assert_int_equal(p->first.set, 4);
    for (int lost = 0; lost <= 1; lost++) {
        TELL(&world, 40 + 40 * lost, 1, .kind = SK_OBS_CLOSED);
        TELL(&world, 60 + 40 * lost, 1, .kind = SK_OBS_OPEN);
        tell_bits(&world, 60.1 + 40 * lost, 1, 0x90);
        assert_true(p->shrank); /* as far as is known */
        TELL(&world, 60.2 + 40 * lost, 1, .kind = SK_OBS_HAVE, .a = 1);
        TELL(&world, 60.2 + 40 * lost, 1, .kind = SK_OBS_HAVE, .a = 9); /* new */
        if (!lost)
            TELL(&world, 60.3, 1, .kind = SK_OBS_HAVE, .a = 2);
        assert_int_equal(p->shrank, lost);
    }
    TELL(&world, 180, 1, .kind = SK_OBS_HAVE, .a = 2); /* fetched again */
    assert_true(p->shrank);
    sk_timeline_deinit(&world.timeline);
}

/* Who had nothing says nothing; its first HAVE is a gain. */
static void test_no_bitfield(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 3, 1, .kind = SK_OBS_OPEN);
    TELL(&world, 3.5, 1, .kind = SK_OBS_HAVE, .a = 1);
    struct sk_timeline_peer *p = peer(&world, 1);
    assert_true(p->has_first);
    assert_int_equal(p->first_ms, 3000);
    assert_int_equal(p->first.set, 0);
    assert_int_equal(p->gains_count, 1);
    TELL(&world, 4, 1, .kind = SK_OBS_DONT_HAVE, .a = 2);
    assert_false(p->shrank);
    TELL(&world, 4, 1, .kind = SK_OBS_DONT_HAVE, .a = 1);
    assert_true(p->shrank);
    sk_timeline_deinit(&world.timeline);
}

static void test_links(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 1, 1, .kind = SK_OBS_OPEN);
    TELL(&world, 2, 2, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
    assert_int_equal(world.timeline.links_count, 0);
    struct sk_observation told = {.kind = SK_OBS_HEARD, .source = SK_SOURCE_PEX, .by = address(1)};
    tell(&world, 3, 2, told);
    tell(&world, 4, 2, told); /* known */
    tell(&world, 4, 3, told);
    tell(&world, 4, 1, told); /* itself */
    TELL(&world, 5, 2, .kind = SK_OBS_DROPPED, .by = address(1));
    TELL(&world, 8, 1, .kind = SK_OBS_CLOSED);
    tell(&world, 9, 2, told);
    assert_int_equal(world.timeline.links_count, 3);
    struct sk_timeline_link *links = world.timeline.links;
    assert_int_equal(links[0].from_ms, 3000);
    assert_int_equal(links[0].until_ms, 5000);
    assert_int_equal(links[1].until_ms, 8000);
    assert_int_equal(links[2].until_ms, SK_TIME_OPEN);
    assert_int_equal(peer(&world, 2)->sources, SK_SOURCE_TRACKER | SK_SOURCE_PEX);
    sk_timeline_deinit(&world.timeline);
}

/* Who came in is known by the address it listens on, with what was seen and what it told. */
static void test_address(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 0, 9, .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER);
    TELL(&world, 1, 1, .kind = SK_OBS_OPEN, .bytes = sk_bytes("-XX0000-123456789012", 20));
    tell_bits(&world, 1, 1, 0x80);
    struct sk_observation told = {.kind = SK_OBS_HEARD, .source = SK_SOURCE_PEX, .by = address(1)};
    tell(&world, 2, 5, told);
    TELL(&world, 3, 9, .kind = SK_OBS_ADDRESS, .by = address(1));
    TELL(&world, 9, 9, .kind = SK_OBS_HAVE, .a = 3);
    struct sk_timeline_peer *p = peer(&world, 9);
    assert_int_equal(p->watched_count, 1);
    assert_int_equal(p->watched[0].from_ms, 1000);
    assert_int_equal(p->gains_count, 1);
    assert_true(p->sources & SK_SOURCE_TRACKER);
    assert_int_equal(peer(&world, 1)->watched_count, 0);
    struct sk_endpoint now = address(9);
    assert_int_equal(world.timeline.links[0].a, sk_timeline_find(&world.timeline, &now));
    TELL(&world, 10, 5, .kind = SK_OBS_DROPPED, .by = address(9));
    assert_int_equal(world.timeline.links[0].until_ms, 10000);
    sk_timeline_deinit(&world.timeline);
}

/* It hung up, and came in from another port: one history. */
static void test_address_again(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 1, 9, .kind = SK_OBS_OPEN);
    tell_bits(&world, 1, 9, 0x80);
    TELL(&world, 10, 9, .kind = SK_OBS_HAVE, .a = 4);
    TELL(&world, 20, 9, .kind = SK_OBS_CLOSED);
    TELL(&world, 30, 1, .kind = SK_OBS_OPEN);
    tell_bits(&world, 30, 1, 0xc8);
    TELL(&world, 40, 1, .kind = SK_OBS_HAVE, .a = 7);
    TELL(&world, 41, 9, .kind = SK_OBS_ADDRESS, .by = address(1));
    TELL(&world, 50, 9, .kind = SK_OBS_HAVE, .a = 8);
    struct sk_timeline_peer *p = peer(&world, 9), *other = peer(&world, 1);
    assert_int_equal(p->gains_count, 4);
    assert_int_equal(world.timeline.gains_total, 4); /* of these the tracers are a share */
    assert_int_equal(p->gains[1].piece, 1);
    assert_int_equal(p->gains[1].since_ms, 20000);
    assert_int_equal(p->gains[1].at_ms, 30000);
    assert_int_equal(p->gains[2].at_ms, 40000);
    assert_int_equal(p->gains[3].at_ms, 50000);
    assert_int_equal(p->watched_count, 2);
    assert_int_equal(p->watched[1].from_ms, 30000);
    assert_false(p->alias);
    assert_true(other->alias && !other->has_first && !other->watched_count);
    tell_bits(&world, 55, 1, 0x01); /* somebody else, from that port */
    assert_int_equal(peer(&world, 1)->first.set, 1);
    assert_int_equal(peer(&world, 1)->held.set, 1);
    TELL(&world, 60, 3, .kind = SK_OBS_FAILED, .bytes = sk_bytes_text("refused"));
    TELL(&world, 60, 4, .kind = SK_OBS_FAILED, .bytes = sk_bytes_text("self"));
    assert_true(!peer(&world, 3)->alias && peer(&world, 4)->alias);
    assert_int_equal(world.err, 0);
    sk_timeline_deinit(&world.timeline);
}

/* The same; what its bitfield leaves out and no HAVE with it tells is lost. */
static void test_address_again_with_less(void **state)
{
    for (int lost = 0; lost <= 1; lost++) {
        struct world world;
        begin(&world);
        TELL(&world, 1, 9, .kind = SK_OBS_OPEN);
        tell_bits(&world, 1, 9, 0xf0);
        TELL(&world, 20, 9, .kind = SK_OBS_CLOSED);
        TELL(&world, 30, 1, .kind = SK_OBS_OPEN);
        tell_bits(&world, 30, 1, 0xc0);
        TELL(&world, 30.1, 1, .kind = SK_OBS_HAVE, .a = 2);
        TELL(&world, 30.2, 9, .kind = SK_OBS_ADDRESS, .by = address(1));
        assert_true(peer(&world, 9)->shrank); /* as far as is known */
        if (!lost)
            TELL(&world, 30.3, 9, .kind = SK_OBS_HAVE, .a = 3);
        TELL(&world, 30.4, 9, .kind = SK_OBS_HAVE, .a = 4); /* gained meanwhile */
        struct sk_timeline_peer *p = peer(&world, 9);
        assert_int_equal(p->shrank, lost);
        assert_int_equal(p->held.set, 5);
        assert_int_equal(p->gains_count, 1);
        assert_true(p->gains[0].since_ms < 30000);
        sk_timeline_deinit(&world.timeline);
    }
}

/* Who is told by an address that it had, or was dialled at as well, is that peer. */
static void test_links_to_aliases(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 1, 1, .kind = SK_OBS_OPEN);
    TELL(&world, 1, 9, .kind = SK_OBS_OPEN);
    struct sk_observation told = {.kind = SK_OBS_HEARD, .source = SK_SOURCE_PEX, .by = address(1)};
    tell(&world, 2, 4, told);
    tell(&world, 2, 5, told);
    tell(&world, 2, 6, told);
    tell(&world, 2, 7, told);
    TELL(&world, 3, 4, .kind = SK_OBS_OPEN);
    TELL(&world, 4, 9, .kind = SK_OBS_ADDRESS, .by = address(4));
    TELL(&world, 5, 5, .kind = SK_OBS_FAILED, .bytes = sk_bytes_text("duplicate"),
         .by = address(4));
    TELL(&world, 5, 6, .kind = SK_OBS_FAILED, .bytes = sk_bytes_text("self"));
    sk_timeline_close(&world.timeline, 0);
    const struct sk_timeline_link *links = world.timeline.links;
    uint32_t real = (uint32_t)(peer(&world, 9) - world.timeline.peers);
    assert_int_equal(links[0].b, real);
    assert_int_equal(links[1].b, real);
    assert_ptr_equal(&world.timeline.peers[links[2].b], peer(&world, 6));
    assert_ptr_equal(&world.timeline.peers[links[3].b], peer(&world, 7));
    sk_timeline_deinit(&world.timeline);
}

static void test_taken(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 1, 1, .kind = SK_OBS_OPEN);
    TELL(&world, 2, 1, .kind = SK_OBS_ARRIVAL, .a = 1000);
    TELL(&world, 2.5, 1, .kind = SK_OBS_ARRIVAL, .a = 5000);
    TELL(&world, 2.6, 1, .kind = SK_OBS_ARRIVAL, .a = 4000); /* a count does not go back */
    TELL(&world, 9, 1, .kind = SK_OBS_ARRIVAL, .a = 6000);
    struct sk_timeline_peer *p = peer(&world, 1);
    assert_int_equal(p->taken_count, 2);
    assert_int_equal(p->taken[0].bytes, 5000);
    assert_int_equal(p->taken[0].until_ms, 2500);
    assert_int_equal(p->taken[1].bytes, 1000);
    for (int i = 0; i < 100; i++)
        TELL(&world, 20 + 2 * i, 1, .kind = SK_OBS_ARRIVAL, .a = 7000 + i);
    assert_int_equal(p->taken_count, SK_TIMELINE_TAKEN_MAX);
    sk_timeline_close(&world.timeline, BEGIN_NS + UINT64_C(300000000000));
    assert_int_equal(peer(&world, 1)->watched[0].until_ms, 300000);
    sk_timeline_deinit(&world.timeline);
}

static void test_damaged(void **state)
{
    struct world world;
    begin(&world);
    TELL(&world, 5, 1, .kind = SK_OBS_BITFIELD, .bytes = sk_bytes("12", 2));
    assert_false(peer(&world, 1)->has_first);
    tell_bits(&world, 4, 1, 0xff); /* time does not go back */
    assert_int_equal(peer(&world, 1)->first_ms, 5000);
    for (int i = 0; i < 2 * SK_TIMELINE_SPANS_MAX; i++) {
        TELL(&world, 6 + i, 1, .kind = SK_OBS_CLOSED);
        TELL(&world, 6 + i, 1, .kind = SK_OBS_OPEN);
    }
    assert_int_equal(peer(&world, 1)->watched_count, SK_TIMELINE_SPANS_MAX);
    assert_true(world.timeline.lost > 0);
    assert_int_equal(world.err, 0);
    sk_timeline_deinit(&world.timeline);
}

static void test_memory(void **state)
{
    for (size_t nth = 1; nth < 40; nth++) {
        struct world world;
        begin(&world);
        sk_mem_fail_nth(nth);
        tell_bits(&world, 1, 1, 0x80);
        TELL(&world, 9, 1, .kind = SK_OBS_HAVE, .a = 5);
        TELL(&world, 9, 2, .kind = SK_OBS_HEARD, .source = SK_SOURCE_PEX, .by = address(1));
        TELL(&world, 9, 1, .kind = SK_OBS_ARRIVAL, .a = 5);
        const struct sk_observation ours = {.at_ns = BEGIN_NS, .kind = SK_OBS_ANNOUNCED};
        int err = sk_timeline_observe(&world.timeline, &ours);
        world.err = world.err ? world.err : err;
        bool failed = sk_mem_fail_nth(0) >= nth;
        assert_int_equal(world.err, failed ? SKEP_ERR_NOMEM : 0);
        sk_timeline_deinit(&world.timeline);
        if (!failed)
            return;
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_gains),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_reconnection),
        cmocka_unit_test(test_renewal),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_lazy_reconnection),
        cmocka_unit_test(test_no_bitfield),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_address_again),
        cmocka_unit_test(test_address_again_with_less),
        cmocka_unit_test(test_links_to_aliases),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_short_pieces),
        cmocka_unit_test(test_gained_bytes),
        cmocka_unit_test(test_short_pieces_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
