/*
 * The engine's sources: trackers over HTTP and UDP, names, LSD, PEX, magnet links; what strangers
 * may make it do; and hooks that act while it is at work.
 */
#include "engine_world.h"

static struct world world_memory;
static const char url[] = "http://80.1.1.1:6969/announce";

static struct world *fresh_with(const struct skep_config *config, const char *tracker)
{
    struct world *world = &world_memory;
    world_init(world, config);
    world_content(world, 4, 32768, true, false);
    world_add_file(world, &tracker, tracker != NULL);
    return world;
}

static struct world *fresh(const char *tracker)
{
    return fresh_with(NULL, tracker);
}

/* The tracker answers the GET under way. */
static void answer(struct world *world, int interval, const char *peers, size_t n)
{
    char body[400];
    int at = snprintf(body, sizeof body,
                      "d8:completei7e10:incompletei3e8:intervali%de5:peers%zu:", interval, n);
    memcpy(body + at, peers, n);
    body[at + (int)n] = 'e';
    uint64_t id = world->http_id;
    world->http_id = 0;
    sk_engine_http_done(world->engine, id, 200, sk_bytes(body, (size_t)at + n + 1), NULL,
                        world->now_ns);
    world_pump(world);
}

/* ---- HTTP trackers ---- */

static void test_claim(void **state)
{
    struct world *world = fresh(url);
    world_start(world);
    world_run(world, 1);
    assert_int_equal(skep_torrent_trackers_waiting(world->torrent), 1);
    assert_non_null(strstr(world->http_url, "80.1.1.1:6969/announce?"));
    assert_non_null(strstr(world->http_url, "event=started"));
    answer(world, 1800, "\x50\x02\x02\x02\x1b\x58\x50\x02\x02\x03\x1b\x58", 12);
    const struct seen_event *claim = world_seen(world, SKEP_EVENT_CLAIM, url);
    assert_non_null(claim);
    assert_int_equal(claim->claim.seeds, 7);
    assert_int_equal(claim->claim.leechers, 3);
    assert_int_equal(claim->claim.downloads, -1);
    assert_int_equal(claim->claim.peers, 2);
    assert_true(claim->claim.started && claim->claim.asked_ns);
    assert_int_equal(claim->claim.downloaded, 0);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "80.2.2.2:7000"), 1);
    assert_string_equal(world_seen(world, SKEP_EVENT_HEARD, NULL)->by, url);
    assert_int_equal(skep_torrent_trackers_waiting(world->torrent), 0);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, NULL), 2);
    world_deinit(world);
}

/* Every way to fail has its words, and says when the tracker is asked again. */
static void test_claim_failures(void **state)
{
    static const struct {
        int status;
        const char *body, *words;
    } cases[] = {
        {0, "could not connect", "could not connect"},
        {404, "", "404"},
        {200, "<html>", ""},
        {200, "d14:failure reason11:go away nowe", "go away now"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world *world = fresh(url);
        world_start(world);
        world_run(world, 1);
        sk_engine_http_done(world->engine, world->http_id, cases[i].status,
                            sk_bytes_text(cases[i].body), cases[i].status ? NULL : cases[i].body,
                            world->now_ns);
        world_pump(world);
        const struct seen_event *failed = world_seen(world, SKEP_EVENT_CLAIM_FAILED, url);
        if (!failed)
            fail_msg("case %zu: nothing was told", i);
        else
            assert_non_null(strstr(failed->reason, cases[i].words));
        assert_true(failed->claim.next_draw_ns > world->now_ns);
        assert_int_equal(skep_torrent_trackers_waiting(world->torrent), 0);
        world_deinit(world);
    }
}

/* A tracker that never answers is waited for, but not for ever. */
static void test_dead_tracker(void **state)
{
    struct world *world = fresh(url);
    world_start(world);
    world_run(world, 19);
    assert_int_equal(skep_torrent_trackers_waiting(world->torrent), 1);
    world_run(world, 3);
    assert_int_equal(skep_torrent_trackers_waiting(world->torrent), 0);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM_FAILED, url), 1);
    /* The answer comes after all: nobody waits for it. */
    uint64_t id = world->http_id;
    sk_engine_http_done(world->engine, id, 200, sk_bytes_text("d5:peers0:e"), NULL, world->now_ns);
    sk_engine_http_done(world->engine, id, 200, sk_bytes_text("d5:peers0:e"), NULL, world->now_ns);
    world_deinit(world);
}

/* Answers to things asked before the torrent stopped. */
static void test_answers_after_stop(void **state)
{
    struct world *world = fresh(url);
    assert_int_equal(skep_torrent_add_peer(world->torrent, "some.name:7000"), 0);
    world_start(world);
    world_run(world, 1);
    uint64_t http = world->http_id, name = world->resolve_id;
    skep_torrent_stop(world->torrent, world->now_ns);
    world_pump(world);
    assert_int_equal(world->http_cancelled, 1);
    assert_true(skep_torrent_stopped(world->torrent)); /* no welcome, no good-bye */
    sk_engine_http_done(world->engine, http, 0, sk_bytes(NULL, 0), "cancelled", world->now_ns);
    struct sk_endpoint found = world_endpoint("10.0.0.1:1");
    sk_engine_resolved(world->engine, name, &found, 1, NULL, world->now_ns);
    world_run(world, 60);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, NULL), 0);
    world_deinit(world);
}

static void test_goodbye(void **state)
{
    struct world *world = fresh(url);
    world_start(world);
    world_run(world, 1);
    answer(world, 1800, "", 0);
    world_run(world, 1);
    if (world->http_id) /* the scrape */
        sk_engine_http_done(world->engine, world->http_id, 404, sk_bytes(NULL, 0), NULL,
                            world->now_ns);
    world_run(world, 1);
    skep_torrent_stop(world->torrent, world->now_ns);
    world_pump(world);
    assert_non_null(strstr(world->http_url, "event=stopped"));
    assert_false(skep_torrent_stopped(world->torrent));
    answer(world, 1800, "", 0);
    assert_true(skep_torrent_stopped(world->torrent));
    world_deinit(world);
}

/* What the tracker is told of our transfers is true. */
static void test_progress_is_told(void **state)
{
    struct world *world = fresh(url);
    world_start(world);
    world_run(world, 1);
    assert_non_null(strstr(world->http_url, "downloaded=0&"));
    answer(world, 10, "", 0);
    world->torrent->taken = 4321;
    world->torrent->given = 1234;
    for (int i = 0; i < 20 && !strstr(world->http_url, "downloaded=4321"); i++) {
        if (world->http_id)
            answer(world, 10, "", 0);
        world_run(world, 1);
    }
    assert_non_null(strstr(world->http_url, "downloaded=4321"));
    assert_non_null(strstr(world->http_url, "uploaded=1234"));
    world_deinit(world);
}

/* A tracker on the internet tells addresses on this machine or in this network: not dialled. */
static void test_tracker_scope(void **state)
{
    struct world *world = fresh(url);
    world_start(world);
    world_run(world, 1);
    answer(world, 1800, "\x7f\x00\x00\x01\x1b\x58\x0a\x00\x00\x01\x1b\x58", 12);
    assert_failed(world, "127.0.0.1:7000", "address out of its source's scope");
    assert_failed(world, "10.0.0.1:7000", "address out of its source's scope");
    world_run(world, 5);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, NULL), 0);
    world_deinit(world);
}

/* threats: SSRF by the trackers of a stranger's torrent. */
static void test_strangers_trackers(void **state)
{
    static const struct {
        const char *url;
        bool asked;
        enum sk_scope scope;
    } cases[] = {
        {"http://80.1.1.1:6969/announce.php?key=1", true, SK_SCOPE_PUBLIC},
        {"http://80.1.1.1:22/announce", false, 0},
        {"http://80.1.1.1/announce", true, SK_SCOPE_PUBLIC},
        {"http://127.0.0.1:6969/announce", true, SK_SCOPE_LOOPBACK},
        {"http://127.0.0.1:6969/admin?reboot=1", false, 0},
        {"http://127.0.0.1:6969/announce?cmd=1", false, 0},
        {"http://user@localhost:6969/admin", false, 0},
        {"http://[::1]:6969/admin", false, 0},
        {"http://192.168.1.1:8080/admin", false, 0},
        {"http://192.168.1.1:8080/announce", true, SK_SCOPE_PRIVATE},
        {"http://router.example:8080/announce", true, SK_SCOPE_PRIVATE},
        {"http://router.example:8080/admin?reboot=1", true, SK_SCOPE_PUBLIC},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct world *world = fresh(cases[i].url);
        world_start(world);
        world_run(world, 1);
        if ((world->http_count == 1) != cases[i].asked ||
            (cases[i].asked && world->http_scope != cases[i].scope))
            fail_msg("%s: asked %zu times, scope %d", cases[i].url, world->http_count,
                     world->http_scope);
        world_deinit(world);
    }
    /* The user's own word is another matter. */
    struct world *world = fresh(NULL);
    assert_int_equal(skep_torrent_add_tracker(world->torrent, "http://127.0.0.1:81/x?y=1"), 0);
    assert_int_equal(skep_torrent_add_tracker(world->torrent, "127.0.0.1:81"), SKEP_ERR_INVALID);
    assert_int_equal(skep_torrent_add_tracker(world->torrent, "ftp://127.0.0.1:81/"),
                     SKEP_ERR_UNSUPPORTED);
    world_start(world);
    world_run(world, 1);
    assert_int_equal(world->http_count, 1);
    world_deinit(world);
}

/* ---- UDP trackers ---- */

static void test_udp_tracker(void **state)
{
    struct world *world = fresh("udp://80.1.1.1:6969/announce");
    world_start(world);
    world_run(world, 1);
    assert_int_equal(world->udp_count, 1);
    uint8_t connect[16] = {0};
    memcpy(connect + 4, world->udp + 12, 4); /* the transaction */
    memset(connect + 8, 9, 8);
    struct sk_endpoint tracker = world->udp_to, other = world_endpoint("80.1.1.2:6969");
    sk_engine_udp_input(world->engine, &other, sk_bytes(connect, 16), world->now_ns);
    world_pump(world);
    assert_int_equal(world->udp_count, 1); /* from another address: nobody's */
    sk_engine_udp_input(world->engine, &tracker, sk_bytes(connect, 16), world->now_ns);
    world_pump(world);
    assert_int_equal(world->udp_count, 2);
    uint8_t announce[26] = {[3] = 1, [10] = 7, [11] = 8, [15] = 3, [19] = 4};
    memcpy(announce + 4, world->udp + 12, 4);
    memcpy(announce + 20, "\x50\x02\x02\x02\x1b\x58", 6);
    sk_engine_udp_input(world->engine, &tracker, sk_bytes(announce, 26), world->now_ns);
    world_pump(world);
    const struct seen_event *claim = world_seen(world, SKEP_EVENT_CLAIM, NULL);
    assert_non_null(claim);
    assert_int_equal(claim->claim.seeds, 4);
    assert_int_equal(claim->claim.leechers, 3);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, "80.2.2.2:7000"), 1);
    world_deinit(world);
}

static void test_udp_tracker_without_name(void **state)
{
    struct world *world = fresh("udp://no.such.name:6969");
    world_start(world);
    world_run(world, 1);
    assert_string_equal(world->resolve_name, "no.such.name");
    sk_engine_resolved(world->engine, world->resolve_id, NULL, 0, "no such host", world->now_ns);
    world_pump(world);
    assert_non_null(strstr(world_seen(world, SKEP_EVENT_CLAIM_FAILED, NULL)->reason, "no such"));
    assert_int_equal(skep_torrent_trackers_waiting(world->torrent), 0);
    world_deinit(world);
}

/* ---- given peers ---- */

static void test_given_names(void **state)
{
    struct world *world = fresh(NULL);
    assert_int_equal(skep_torrent_add_peer(world->torrent, "a.name:7000"), 0);
    assert_int_equal(skep_torrent_add_peer(world->torrent, "a.name:70000"), SKEP_ERR_INVALID);
    assert_int_equal(skep_torrent_add_peer(world->torrent, "a.name"), SKEP_ERR_INVALID);
    assert_int_equal(skep_torrent_add_peer(world->torrent, "a:b:7000"), SKEP_ERR_INVALID);
    assert_int_equal(skep_torrent_add_peer(world->torrent, "10.0.0.1:0"), SKEP_ERR_INVALID);
    assert_int_equal(world->torrent->book.count, 0);
    assert_int_equal(skep_torrent_names_waiting(world->torrent), 1);
    world_start(world);
    world_run(world, 1);
    struct sk_endpoint found[2] = {world_endpoint("10.0.0.7:1"), world_endpoint("[fc00::7]:1")};
    sk_engine_resolved(world->engine, world->resolve_id, found, 2, NULL, world->now_ns);
    world_run(world, 1);
    assert_int_equal(skep_torrent_names_waiting(world->torrent), 0);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, "10.0.0.7:7000"), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, "[fc00::7]:7000"), 1);
    world_deinit(world);
}

/* The user may ask for a low port; a link from somewhere may not (threats: a tool for attack). */
static void test_low_ports(void **state)
{
    struct world *world = fresh(NULL);
    struct skep_torrent *other;
    assert_int_equal(skep_torrent_add_peer(world->torrent, "10.0.0.1:80"), 0);
    assert_int_equal(
        skep_engine_add_link(world->engine,
                             "magnet:?xt=urn:btih:00112233445566778899aabbccddeeff00112233"
                             "&x.pe=10.0.0.2:22&x.pe=10.0.0.2:7000&x.pe=some.host:25",
                             &other, NULL),
        0);
    world_start(world);
    assert_int_equal(skep_torrent_start(other, world->now_ns), 0);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, "10.0.0.1:80"), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, "10.0.0.2:7000"), 1);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, "10.0.0.2:22"), 0);
    assert_int_equal(world->resolve_id, 0);
    skep_torrent_stop(other, world->now_ns);
    world_deinit(world);
}

/* ---- LSD and private torrents ---- */

static void lsd(struct world *world, const char *from, const char *cookie)
{
    char hex[41], text[300];
    for (int i = 0; i < 20; i++)
        snprintf(hex + 2 * i, 3, "%02x", world->content.info_hash[i]);
    int n = snprintf(text, sizeof text,
                     "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 7000\r\n"
                     "Infohash: %s\r\ncookie: %s\r\n\r\n\r\n",
                     hex, cookie);
    struct sk_endpoint endpoint = world_endpoint(from);
    sk_engine_lsd_input(world->engine, &endpoint, sk_bytes(text, (size_t)n), world->now_ns);
    world_pump(world);
}

static void test_lsd(void **state)
{
    struct world *world = fresh_with(&(struct skep_config){.no_trackers = true}, NULL);
    world_start(world);
    world_run(world, 1);
    assert_int_equal(world->lsd_count, 2); /* both families */
    lsd(world, "192.168.0.5:6771", world->engine->lsd_cookie);
    assert_int_equal(world->torrent->book.count, 0); /* our own */
    lsd(world, "192.168.0.5:6771", "other");
    assert_int_equal(world_seen(world, SKEP_EVENT_HEARD, "192.168.0.5:7000")->source,
                     SKEP_SOURCE_LSD);
    world_run(world, 301);
    assert_int_equal(world->lsd_count, 4);
    world_deinit(world);
}

static void make_private(struct world *world)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 1 << 20);
    sk_buf_text(&buf, "d4:info");
    sk_buf_append(&buf, world->content.info.p, world->content.info.n - 1);
    sk_buf_text(&buf, "7:privatei1eee");
    assert_int_equal(skep_engine_add_file(world->engine, buf.p, buf.n, &world->torrent, NULL), 0);
    sk_buf_deinit(&buf);
}

/* BEP 27: a private torrent's peers come from its trackers alone. */
static void test_private(void **state)
{
    struct world *world = &world_memory;
    world_init(world, &(struct skep_config){.no_trackers = true});
    world_content(world, 4, 32768, true, false);
    make_private(world);
    memcpy(world->content.info_hash, skep_torrent_info_hash(world->torrent), 20);
    struct remote *teller = world_peer(world, "10.0.0.1:7000");
    struct sk_pex_peer told = {.endpoint = world_endpoint("10.0.0.2:7000")};
    teller->pex = &told;
    teller->pex_count = 1;
    world_start(world);
    world_run(world, 5);
    lsd(world, "192.168.0.5:6771", "other");
    assert_int_equal(teller->opened, 1);
    assert_int_equal(world->torrent->book.count, 1);
    assert_int_equal(world->lsd_count, 0);
    world_deinit(world);
}

static void test_no_pex(void **state)
{
    struct world *world = fresh_with(&(struct skep_config){.no_lsd = true, .no_pex = true}, NULL);
    struct remote *teller = world_peer(world, "10.0.0.1:7000");
    struct sk_pex_peer told = {.endpoint = world_endpoint("10.0.0.2:7000")};
    teller->pex = &told;
    teller->pex_count = 1;
    world_start(world);
    world_run(world, 5);
    assert_int_equal(world->torrent->book.count, 1);
    world_deinit(world);
}

static void test_pex_lost(void **state)
{
    struct world *world = fresh(NULL);
    struct remote *teller = world_peer(world, "10.0.0.1:7000");
    struct sk_pex_peer told[] = {{.endpoint = world_endpoint("10.0.0.2:7000"), .flags = 2},
                                 {.endpoint = world_endpoint("10.0.0.3:7000"), .dropped = true}};
    teller->pex = told;
    teller->pex_count = 2;
    world_start(world);
    world_run(world, 5);
    assert_string_equal(world_seen(world, SKEP_EVENT_LOST, "10.0.0.3:7000")->by, "10.0.0.1:7000");
    assert_int_equal(world_seen(world, SKEP_EVENT_HEARD, "10.0.0.2:7000")->flags, SK_PEX_SEED);
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, "10.0.0.3:7000"), 0);
    world_deinit(world);
}

/* ---- hooks that act ---- */

static void stop_on_heard(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_HEARD)
        skep_torrent_stop(event->torrent, event->now_ns);
}

/* The first of a tracker's many peers makes the program stop the torrent: the rest of the answer
 * must still be there to be read. */
static void test_hook_stops_in_answer(void **state)
{
    struct world *world = fresh(url);
    world->hook = stop_on_heard;
    world_start(world);
    world_run(world, 1);
    answer(world, 1800, "\x50\x02\x02\x02\x1b\x58\x50\x02\x02\x03\x1b\x58", 12);
    assert_int_equal(world_count(world, SKEP_EVENT_HEARD, NULL), 2);
    world_run(world, 30);
    assert_true(skep_torrent_stopped(world->torrent));
    assert_int_equal(world_count(world, SKEP_EVENT_DIALED, NULL), 0);
    world_deinit(world);
}

static void add_on_heard(const struct skep_event *event, void *ctx)
{
    static const char another[] = "http://80.1.1.9:6969/announce-with-a-path-that-is-rather-long";
    if (event->kind == SKEP_EVENT_HEARD)
        assert_int_equal(skep_torrent_add_tracker(event->torrent, another), 0);
}

static void test_hook_adds_tracker(void **state)
{
    struct world *world = fresh(url);
    world->hook = add_on_heard;
    world_start(world);
    world_run(world, 1);
    answer(world, 1800, "\x50\x02\x02\x02\x1b\x58", 6);
    world_run(world, 1);
    assert_int_equal(skep_torrent_trackers_waiting(world->torrent), 1);
    assert_int_equal(world->torrent->trackers_count, 2);
    world_run(world, 30);
    assert_int_equal(world_count(world, SKEP_EVENT_CLAIM_FAILED,
                                 sk_tracker_url(world->torrent->trackers[1]->machine)),
                     1);
    world_deinit(world);
}

struct closer {
    enum skep_event_kind kind;
    unsigned closed, after;
};

static void close_on(const struct skep_event *event, void *ctx)
{
    struct closer *closer = ctx;
    if (!event->peer)
        return;
    if (closer->closed && event->kind != SKEP_EVENT_CLOSED)
        closer->after += event->kind != closer->kind;
    if (event->kind != closer->kind)
        return;
    closer->closed++;
    skep_peer_close(event->peer);
    assert_int_equal(skep_peer_request(event->peer, 0, 0, 16384), SKEP_ERR_STATE);
    assert_int_equal(skep_peer_interest(event->peer, true), SKEP_ERR_STATE);
    assert_int_equal(skep_peer_request_leaves(event->peer, 0), SKEP_ERR_STATE);
}

static void request_on_unchoke(const struct skep_event *event, void *ctx)
{
    if (event->kind == SKEP_EVENT_OPEN)
        assert_int_equal(skep_peer_interest(event->peer, true), 0);
    if (event->kind == SKEP_EVENT_MESSAGE && event->message.kind == SKEP_MESSAGE_UNCHOKE)
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(skep_peer_request(event->peer, i, 0, 16384), 0);
}

/* A hook may end the peer that the event is about, whatever the event. */
static void test_hook_closes_its_peer(void **state)
{
    static const enum skep_event_kind kinds[] = {
        SKEP_EVENT_OPEN,    SKEP_EVENT_CLIENT, SKEP_EVENT_HAVE_SET,
        SKEP_EVENT_MESSAGE, SKEP_EVENT_BLOCK,  SKEP_EVENT_ARRIVAL,
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++) {
        struct world *world = fresh(NULL);
        struct remote *remote = world_peer(world, "10.0.0.1:7000");
        struct closer closer = {.kind = kinds[i]};
        skep_engine_hook_message(world->engine, SKEP_MESSAGE_UNCHOKE, request_on_unchoke, NULL);
        skep_engine_hook(world->engine, SKEP_EVENT_OPEN, request_on_unchoke, NULL);
        world->hook = close_on;
        world->context = &closer;
        if (kinds[i] == SKEP_EVENT_OPEN) /* the other hook of OPEN comes after the closing one */
            world->engine->hooks_count -= 1;
        world_start(world);
        world_run(world, 5);
        if (closer.closed != 1 || closer.after)
            fail_msg("kind %d: closed %u times, %u events after", kinds[i], closer.closed,
                     closer.after);
        assert_int_equal(world_count(world, SKEP_EVENT_CLOSED, NULL), 1);
        assert_int_equal(remote->dials, 1);
        assert_null(world->engine->peers);
        world_deinit(world);
    }
}

static unsigned slots_freed;

static void free_slot(void *data)
{
    slots_freed++;
    free(data);
}

static void fill_slot(const struct skep_event *event, void *ctx)
{
    int slot = *(int *)ctx;
    if (event->kind == SKEP_EVENT_OPEN) {
        assert_null(skep_peer_data(event->peer, slot));
        skep_peer_set_data(event->peer, slot, malloc(16));
    }
    if (event->kind == SKEP_EVENT_CLOSED)
        assert_non_null(skep_peer_data(event->peer, slot));
}

static void test_slots_are_freed(void **state)
{
    struct world *world = fresh(NULL);
    int slot = skep_engine_reserve_slot(world->engine, free_slot);
    slots_freed = 0;
    world->hook = fill_slot;
    world->context = &slot;
    for (int i = 1; i < SK_ENGINE_SLOTS_MAX; i++)
        assert_int_equal(skep_engine_reserve_slot(world->engine, NULL), i);
    assert_int_equal(skep_engine_reserve_slot(world->engine, NULL), SKEP_ERR_LIMIT);
    world_peer(world, "10.0.0.1:7000");
    world_peer(world, "10.0.0.2:7000");
    world_start(world);
    world_run(world, 1);
    world->links->ended = true;
    world_run(world, 1);
    assert_int_equal(slots_freed, 1);
    world_deinit(world);
    assert_int_equal(slots_freed, 2);
}

/* An address that a download gave up is dialled again when it is told a while later. */
static void test_told_again(void **state)
{
    struct world *world = fresh_with(&(struct skep_config){.no_lsd = true, .lasting = true}, NULL);
    struct remote *remote = world_remote(world, "10.0.0.1:7000");
    remote->answer = REFUSES;
    world_start(world);
    for (int i = 0; i < 2; i++) {
        (void)sk_discovery_hear(world->torrent, &remote->at, SK_SOURCE_TRACKER, SK_SCOPE_PRIVATE,
                                NULL, 0);
        sk_dial_pump(world->engine);
        world_run(world, 900);
        assert_failed(world, "10.0.0.1:7000", "refused");
    }
    assert_int_equal(remote->dials, 5);
    remote->answer = CONNECTS;
    (void)sk_discovery_hear(world->torrent, &remote->at, SK_SOURCE_TRACKER, SK_SCOPE_PRIVATE, NULL,
                            0);
    sk_dial_pump(world->engine);
    world_run(world, 1);
    assert_int_equal(world_count(world, SKEP_EVENT_OPEN, "10.0.0.1:7000"), 1);
    world_deinit(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim),
        cmocka_unit_test(test_claim_failures),
        cmocka_unit_test(test_dead_tracker),
        cmocka_unit_test(test_answers_after_stop),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_progress_is_told),
        cmocka_unit_test(test_tracker_scope),
        cmocka_unit_test(test_strangers_trackers),
        cmocka_unit_test(test_udp_tracker),
        cmocka_unit_test(test_udp_tracker_without_name),
        cmocka_unit_test(test_given_names),
        cmocka_unit_test(test_low_ports),
        cmocka_unit_test(test_lsd),
        cmocka_unit_test(test_private),
        cmocka_unit_test(test_no_pex),
        cmocka_unit_test(test_pex_lost),
        cmocka_unit_test(test_hook_stops_in_answer),
        cmocka_unit_test(test_hook_adds_tracker),
        cmocka_unit_test(test_hook_closes_its_peer),
        cmocka_unit_test(test_slots_are_freed),
        cmocka_unit_test(test_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
