/*
 * The downloader with web seeds: alone, beside peers, with either of them lying; within the rate
 * limit; and with each allocation failing in turn.
 */
#include "download_world.h"
#include "engine/web.h"

#define REQUESTS_MAX 8
#define CHUNK 30000

/* A server for all web seeds. */
static struct {
    struct request {
        uint64_t id; /* 0: none */
        uint64_t at, end;
        bool told, paused, lies;
    } requests[REQUESTS_MAX];
    int status;  /* of all answers; 0: 206 */
    bool silent; /* it answers nothing */
    unsigned asked, cancelled;
    uint64_t largest; /* request */
} server;

static struct request *request_of(uint64_t id)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        if (server.requests[i].id == id)
            return &server.requests[i];
    return NULL;
}

static void on_sent(struct world *world, const struct sk_out *out)
{
    struct request *request = request_of(out->kind == SK_OUT_HTTP_RANGE ? 0 : out->id);
    if (!request)
        return;
    switch (out->kind) {
    case SK_OUT_HTTP_RANGE:
        *request = (struct request){.id = out->id,
                                    .at = out->offset,
                                    .end = out->offset + out->length64,
                                    .lies = strstr(out->text, "liar") != NULL};
        server.asked++;
        server.largest = SK_MAX(server.largest, out->length64);
        break;
    case SK_OUT_HTTP_CANCEL:
        server.cancelled++;
        request->id = 0;
        break;
    default:
        request->paused = out->kind == SK_OUT_HTTP_PAUSE;
        break;
    }
}

static void tell_head(struct world *world, struct request *request)
{
    struct sk_webseed_head head = {.status = server.status ? server.status : 206,
                                   .first = request->at,
                                   .total = world->content.torrent.size,
                                   .length = request->end - request->at};
    if (head.status == 200) {
        request->at = 0;
        request->end = head.length = world->content.torrent.size;
    }
    request->told = true;
    sk_engine_web_head(world->engine, request->id, &head, world->now_ns);
}

static void serve(struct world *world, struct request *request)
{
    static uint8_t bytes[CHUNK];
    uint64_t id = request->id;
    if (!request->told)
        tell_head(world, request);
    bool body = !server.status || server.status == 200;
    for (unsigned i = 0; body && i < 10 && !request->paused && request->at < request->end; i++) {
        size_t n = (size_t)SK_MIN((uint64_t)CHUNK, request->end - request->at);
        sk_lab_content_read(&world->content, request->at, bytes, n);
        if (request->lies)
            bytes[n / 2] ^= 1;
        request->at += n;
        if (!sk_engine_web_data(world->engine, id, sk_bytes(bytes, n), world->now_ns))
            request->paused = true;
    }
    if (!body || request->at == request->end) {
        request->id = 0;
        sk_engine_http_done(world->engine, id, 206, sk_bytes(NULL, 0), NULL, world->now_ns);
    }
}

static void web_every(struct world *world)
{
    download_every(world);
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        if (!server.silent && server.requests[i].id && !server.requests[i].paused)
            serve(world, &server.requests[i]);
}

static struct world *begin(struct download_setup setup)
{
    struct world *world = download_begin(&setup);
    memset(&server, 0, sizeof server);
    world->every = web_every;
    world->range_sent = on_sent;
    return world;
}

static void add(const char *url)
{
    assert_int_equal(sk_downloader_add_web_seed(download.downloader, url), 0);
}

static struct sk_downloader_web_seed web(size_t i)
{
    struct sk_downloader_web_seed seed;
    assert_true(sk_downloader_web_seed(download.downloader, i, download.world.now_ns, &seed));
    return seed;
}

static void test_alone(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        struct world *world =
            begin((struct download_setup){.pieces = 100, .v2 = kind == 1, .hybrid = kind == 2});
        add("http://10.0.0.9/");
        world_start(world);
        download_run(10);
        download_assert_done(0);
        assert_int_equal(download_status().received_bytes, world->content.torrent.size);
        assert_int_equal(download_status().web_seeds, 1);
        assert_int_equal(web(0).received_bytes, world->content.torrent.size);
        assert_null(web(0).reason);
        assert_int_equal(server.asked, 1); /* a long stretch */
        download_end();
    }
}

static void test_memory(void **state)
{
    struct world *world = begin((struct download_setup){
        .pieces = 100, .config = {.partial_bytes_max = UINT64_C(16) * PIECE}});
    add("http://10.0.0.9/");
    world->disk_s = 0.02;
    world_start(world);
    download_run(60);
    download_assert_done(0);
    assert_true(server.asked >= 25 && server.largest <= UINT64_C(4) * PIECE);
    assert_true(download.held_max <= UINT64_C(17) * PIECE);
    download_end();
}

/* The whole file in one answer, with a disk that is slower: it is read as fast as that goes. */
static void test_without_ranges(void **state)
{
    struct world *world = begin((struct download_setup){
        .pieces = 100, .config = {.partial_bytes_max = UINT64_C(40) * PIECE}});
    add("http://10.0.0.9/");
    server.status = 200;
    world->disk_s = 0.05;
    world_start(world);
    download_run(60);
    download_assert_done(UINT64_C(8) * PIECE);
    assert_true(server.asked <= 3);
    download_end();
}

static void assert_dropped(size_t i)
{
    assert_string_equal(web(i).state, "dropped");
    assert_non_null(strstr(web(i).reason, "wrong data"));
}

/* Who lied is dropped, whether or not others gave of the same pieces; nobody else is. */
static void test_liar(void **state)
{
    for (int hybrid = 0; hybrid < 2; hybrid++) {
        struct world *world = begin((struct download_setup){.pieces = 30, .hybrid = hybrid});
        add("http://10.0.0.9/liar/");
        add("http://10.0.0.8/");
        struct remote *honest = world_peer(world, "10.0.0.1:7000");
        honest->block_s = 0.01;
        world_start(world);
        download_run(60);
        assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
        assert_dropped(0);
        assert_string_not_equal(web(1).state, "dropped");
        assert_int_equal(download_status().web_seeds, 1);
        assert_int_equal(download_status().banned, 0);
        download_end();
    }
}

static void test_liar_alone(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 30});
    add("http://10.0.0.9/liar/");
    world_start(world);
    download_run(5);
    assert_dropped(0);
    assert_int_equal(download_status().counts.pieces_have, 0);
    unsigned asked = server.asked;
    download_run(30);
    assert_int_equal(server.asked, asked);
    assert_int_equal(sk_picker_availability(download.downloader->picker, 3), 0);
    world_peer(world, "10.0.0.1:7000"); /* what was asked of it is free */
    skep_torrent_add_peer(world->torrent, "10.0.0.1:7000");
    download_run(20);
    assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
    download_end();
}

static void test_lying_peer(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 30});
    add("http://10.0.0.8/");
    struct remote *liar = world_peer(world, "10.0.0.1:7000");
    liar->blocks = WRONG;
    world_start(world);
    download_run(30);
    assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
    assert_string_not_equal(web(0).state, "dropped");
    assert_true(liar->given == 0 || sk_peer_book_is_banned(&world->torrent->book, &liar->at));
    download_end();
}

static void test_missing(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 30});
    add("http://10.0.0.8/");
    server.status = 404;
    world_start(world);
    download_run(2);
    assert_string_equal(web(0).state, "dropped");
    assert_non_null(strstr(web(0).reason, "404"));
    assert_int_equal(server.asked, 1);
    download_end();
}

static void test_waits(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 30});
    add("http://10.0.0.8/");
    server.status = 503;
    world_start(world);
    download_run(4);
    assert_int_equal(server.asked, 1);
    assert_string_equal(web(0).state, "waiting");
    server.status = 0;
    download_run(4);
    download_assert_done(0);
    download_end();
}

/* What comes from web seeds counts for the limit, also with many requests. */
static void test_limit(void **state)
{
    static const uint32_t piece_sizes[] = {PIECE, SK_BLOCK_SIZE};
    for (size_t i = 0; i < SK_ARRAY_LEN(piece_sizes); i++) {
        uint64_t memory = piece_sizes[i] * UINT64_C(4); /* runs of a piece */
        struct world *world =
            begin((struct download_setup){.engine = {.rate_limit_bytes_s = UINT64_C(100000)},
                                          .pieces = 50,
                                          .piece_size = piece_sizes[i],
                                          .config = {.partial_bytes_max = memory}});
        add("http://10.0.0.8/");
        world_start(world);
        double took_s = download_run(120);
        download_assert_done(0);
        double fastest_s = (double)world->content.torrent.size / 100000;
        assert_true(took_s > fastest_s * 0.9 && took_s < fastest_s * 1.3);
        download_end();
    }
}

/* What it does not give comes from a peer in the end, and is not waited for any more. */
static void test_silent(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 20});
    add("http://10.0.0.8/");
    server.silent = true;
    world_peer(world, "10.0.0.1:7000");
    world_start(world);
    download_run(60);
    download_assert_done(0);
    world_run(world, 1);
    assert_int_equal(server.asked, 1);
    assert_int_equal(server.cancelled, 1);
    download_end();
}

/* Nothing is asked any more, and what is on its way is not waited for. */
static void test_stop(void **state)
{
    struct world *world = begin((struct download_setup){.pieces = 200});
    add("http://10.0.0.8/");
    world_start(world);
    world_run(world, 0.25);
    assert_int_equal(server.asked - server.cancelled, 1);
    skep_torrent_stop(world->torrent, world->now_ns);
    struct sk_downloader_web_seed seed;
    assert_true(sk_downloader_web_seed(download.downloader, 0, world->now_ns, &seed));
    assert_string_equal(seed.reason, "it had not answered in full yet");
    world_run(world, 30);
    assert_int_equal(server.asked, server.cancelled);
    download_end();
}

static void test_judge(void **state)
{
    static const struct {
        const char *url;
        bool stranger, given;
    } rows[] = {
        {"http://example.org/", true, true},
        {"HTTPS://example.org/a?b=c", true, true},
        {"http://192.0.2.1:8080/", true, true},
        {"http://example.org:443/", true, true},
        {"http://example.org:22/", false, true},
        {"http://127.0.0.1/", false, true},
        {"http://localhost:8080/", false, true},
        {"http://user@LOCALHOST/", false, true},
        {"http://[::1]/", false, true},
        {"http://[::ffff:10.0.0.1]:8080/", false, true},
        {"http://10.1.2.3/", false, true},
        {"http://192.168.1.1/", false, true},
        {"http:///", false, true},
        {"ftp://example.org/", false, false},
        {"file:///etc/passwd", false, false},
        {"example.org", false, false},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(rows); i++) {
        enum sk_scope scope;
        if (rows[i].stranger != !sk_web_judge(rows[i].url, false, &scope))
            fail_msg("a stranger's %s", rows[i].url);
        assert_int_equal(scope, SK_SCOPE_PUBLIC); /* so names cannot lead inside either */
        if (rows[i].given != !sk_web_judge(rows[i].url, true, &scope))
            fail_msg("the user's %s", rows[i].url);
    }
}

static void test_too_many(void **state)
{
    begin((struct download_setup){.pieces = 2});
    char url[64];
    for (int i = 0; i < SK_WEBSEEDS_MAX; i++) {
        snprintf(url, sizeof url, "http://10.0.0.8/%d/", i);
        add(url);
    }
    add(url); /* it is there */
    assert_int_equal(sk_downloader_add_web_seed(download.downloader, "http://h/"), SKEP_ERR_LIMIT);
    assert_int_equal(sk_downloader_add_web_seed(download.downloader, "ftp://h/"), SKEP_ERR_INVALID);
    world_start(&download.world);
    download_run(10);
    download_assert_done(0);
    download_end();
}

static void test_no_memory(void **state)
{
    size_t nth = 1, made = nth;
    for (; made >= nth; nth++) {
        struct world *world = begin((struct download_setup){.pieces = 5, .hybrid = nth % 2});
        add("http://10.0.0.9/liar/");
        add("http://10.0.0.8/");
        world_peer(world, "10.0.0.1:7000")->block_s = 0.05;
        sk_mem_fail_nth(nth);
        skep_torrent_start(world->torrent, world->now_ns);
        world_run(world, 0.5);
        made = sk_mem_fail_nth(0);
        world_run(world, 30);
        if (download.downloader->picker && download_state() != SK_DOWNLOADER_FAILED)
            assert_int_equal(download_state(), SK_DOWNLOADER_DONE);
        assert_string_not_equal(web(1).reason ? web(1).reason : "", "it gave wrong data");
        download_end();
    }
    assert_true(nth > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),          cmocka_unit_test(test_memory),
        cmocka_unit_test(test_without_ranges), cmocka_unit_test(test_liar),
        cmocka_unit_test(test_liar_alone),     cmocka_unit_test(test_lying_peer),
        cmocka_unit_test(test_missing),        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_limit),          cmocka_unit_test(test_silent),
        cmocka_unit_test(test_stop),           cmocka_unit_test(test_judge),
        cmocka_unit_test(test_too_many),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
