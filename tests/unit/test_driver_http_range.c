/* The driver's HTTP client asked for ranges: what is told of them, when it pauses, and what of a
 * hostile server's answers is not told. */
#include "http_world.h"

#define PART "HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: "

static void send_hello(int fd)
{
    sayf(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static void send_part(int fd)
{
    static char bytes[200000];
    sayf(fd, PART "bytes 1000-200999/5000000000\r\n\r\n", 200000);
    say(fd, bytes, sizeof bytes);
}

static void send_packed_part(int fd)
{
    sayf(fd, PART "bytes 0-4/9\r\nContent-Encoding: gzip\r\n\r\nhello", 5);
}

static void send_odd_part(int fd)
{
    sayf(fd, PART "bytes */x\r\n\r\nhello", 5);
}

static void send_busy(int fd)
{
    sayf(fd, "HTTP/1.1 503 Busy\r\nRetry-After: 77\r\nContent-Length: 4\r\n\r\nnone");
}

static void send_endless_missing(int fd)
{
    static const char block[4096];
    sayf(fd, "HTTP/1.1 404 Not Found\r\n\r\n");
    while (pause_ms(fd, 0))
        say(fd, block, sizeof block);
}

static void send_to_part(int fd)
{
    sayf(fd, REDIRECT "/part\r\n\r\nmoved.");
}

static void send_drip(int fd)
{
    sayf(fd, PART "bytes 1000-200999/200999\r\n\r\n", 200000);
    while (pause_ms(fd, 100))
        say(fd, "0123456789", 10);
}

static const struct act acts[] = {
    {"/hello", send_hello},       {"/part", send_part}, {"/packed-part", send_packed_part},
    {"/odd-part", send_odd_part}, {"/busy", send_busy}, {"/endless-missing", send_endless_missing},
    {"/to-part", send_to_part},   {"/drip", send_drip},
};

static void begin_range(struct fixture *f, const char *path, enum sk_scope scope)
{
    char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server.port, path);
    f->heads = f->parts = f->fed = 0;
    f->got = 0;
    f->requests_before = server.requests;
    sk_http_get_range(&f->http, 42, url, scope, 1000, 200000);
}

static void get_range(struct fixture *f, const char *path)
{
    unsigned before = f->answers;
    /* No connection is used again that the server is about to close. */
    for (int ms = 0; server.closed < server.requests && ms < 1000; ms++)
        usleep(1000);
    begin_range(f, path, SK_SCOPE_LOOPBACK);
    while (f->answers == before)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(0, f->n);
}

static void test_range(void **state)
{
    struct fixture *f = *state;
    get_range(f, "/part");
    assert_int_equal(206, f->status);
    assert_int_equal(206, f->head.status);
    assert_int_equal(1000, f->head.first);
    assert_int_equal(UINT64_C(5000000000), f->head.total);
    assert_int_equal(200000, f->head.length);
    assert_int_equal(200000, f->got);
    assert_false(f->head.moved);
    assert_true(f->fed > 0);
    assert_non_null(strstr(server.last, "\r\nRange: bytes=1000-200999\r\n"));
    assert_null(strstr(server.last, "Accept-Encoding"));
    get_range(f, "/hello");
    assert_int_equal(200, f->head.status);
    assert_int_equal(5, f->head.length);
    assert_int_equal(5, f->got);
    get_range(f, "/odd-part");
    assert_true(f->head.first == SK_WEBSEED_UNKNOWN && f->head.total == SK_WEBSEED_UNKNOWN);
}

/* The head is that of the last hop, with where that was. */
static void test_moved(void **state)
{
    struct fixture *f = *state;
    get_range(f, "/to-part");
    assert_int_equal(1, f->heads);
    assert_int_equal(206, f->head.status);
    assert_true(f->head.moved);
    assert_int_equal(SK_SCOPE_LOOPBACK, f->head.scope);
    assert_non_null(strstr(f->url, "/part"));
    assert_int_equal(200000, f->got);
    assert_non_null(strstr(server.last, "\r\nRange: bytes=1000-200999\r\n"));
}

/* Of what is no answer to a range nothing is told but its status. */
static void test_refused(void **state)
{
    struct fixture *f = *state;
    get_range(f, "/busy");
    assert_int_equal(503, f->head.status);
    assert_int_equal(77, f->head.retry_after_s);
    get_range(f, "/endless-missing");
    assert_int_equal(404, f->head.status);
    assert_int_equal(0, f->parts);
    get_range(f, "/packed-part");
    assert_int_equal(0, f->status);
    assert_string_equal("compressed, though nobody asked for it", f->error);
    assert_int_equal(0, f->parts);
}

static void test_scope(void **state)
{
    struct fixture *f = *state;
    unsigned before = f->answers;
    begin_range(f, "/part", SK_SCOPE_PUBLIC);
    while (f->answers == before)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_string_equal("leads to an address that it may not name", f->error);
    assert_int_equal(0, server.requests - f->requests_before);
}

static void test_slow(void **state)
{
    struct fixture *f = *state;
    uint64_t from = uv_hrtime();
    get_range(f, "/drip");
    assert_int_equal(0, f->status);
    assert_true(uv_hrtime() - from < TOTAL_MS * UINT64_C(1000000)); /* for its slowness */
}

static void run_ms(struct fixture *f, uint64_t ms)
{
    uint64_t until = uv_hrtime() + ms * 1000000;
    while (uv_hrtime() < until)
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

#define READ_MAX (UINT64_C(128) << 10) /* what was read already is told all the same */

/* Paused, it reads no more, is not found slow, and goes on where it was. */
static void test_paused(void **state)
{
    struct fixture *f = *state;
    unsigned before = f->answers, rounds = 0;
    uint64_t got = 0;
    f->pauses = true;
    begin_range(f, "/part", SK_SCOPE_LOOPBACK);
    for (; f->answers == before; rounds++) {
        run_ms(f, rounds ? 30 : (SLOW_S + 1) * 1000);
        assert_true(f->got <= got + READ_MAX);
        got = f->got;
        sk_http_pause(&f->http, 42, false);
    }
    assert_true(rounds > 1);
    assert_int_equal(206, f->status);
    assert_int_equal(200000, f->got);
    begin_range(f, "/part", SK_SCOPE_LOOPBACK);
    run_ms(f, 100);
    got = f->got;
    assert_true(got > 0 && got <= READ_MAX);
    sk_http_cancel(&f->http, 42);
    run_ms(f, 100);
    assert_int_equal(got, f->got);
    assert_int_equal(before + 1, f->answers);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_range), TEST(test_moved), TEST(test_refused),
        TEST(test_scope), TEST(test_slow),  TEST(test_paused),
    };
    server.acts = acts;
    server.acts_count = SK_ARRAY_LEN(acts);
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
