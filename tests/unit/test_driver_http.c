/* The driver's HTTP client against servers that mean ill (threats: oversized and chunked answers,
 * compression bombs, redirects to file: and to narrower scopes, slow drips; bind is fail-closed).
 */
#include "http_world.h"

#include <stdlib.h>
#include <zlib.h>

/* ---- the server: what it does is in the path ---- */

static void send_ok(int fd)
{
    sayf(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static void send_missing(int fd)
{
    sayf(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
}

static void send_chunked(int fd)
{
    sayf(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 100; i++)
        sayf(fd, "a;x=y\r\n0123456789\r\n");
    sayf(fd, "0\r\nTrailer: 1\r\n\r\n");
}

/* n zeros, packed; `layers` times. */
static void send_packed(int fd, size_t n, int layers)
{
    static uint8_t a[256 << 10], b[256 << 10], zeros[65536];
    z_stream z = {0};
    deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_out = a;
    z.avail_out = sizeof a;
    for (size_t left = n; left;) {
        z.next_in = zeros;
        z.avail_in = (uInt)SK_MIN(left, sizeof zeros);
        left -= z.avail_in;
        deflate(&z, left ? Z_NO_FLUSH : Z_FINISH);
    }
    size_t size = z.total_out;
    deflateEnd(&z);
    if (layers == 2) {
        memcpy(b, a, size);
        z = (z_stream){.next_in = b, .avail_in = (uInt)size, .next_out = a, .avail_out = sizeof a};
        deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
        deflate(&z, Z_FINISH);
        size = z.total_out;
        deflateEnd(&z);
    }
    sayf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nContent-Encoding: %s\r\n\r\n", size,
         layers == 2 ? "gzip, gzip" : "gzip");
    say(fd, a, size);
}

static void send_gzip(int fd)
{
    send_packed(fd, 50000, 1);
}

static void send_bomb(int fd)
{
    send_packed(fd, 10u << 20, 1);
}

static void send_double_gzip(int fd)
{
    send_packed(fd, 50000, 2);
}

static void send_empty_gzip(int fd)
{
    static const uint8_t member[] = {31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 255, 255};
    sayf(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
    say(fd, member, sizeof member);
    for (int i = 0; i < 200000 && pause_ms(fd, 0); i++) /* stored blocks of nothing */
        say(fd, "\0\0\0\xff\xff\0\0\0\xff\xff\0\0\0\xff\xff\0\0\0\xff\xff", 20);
}

static void send_endless(int fd)
{
    static const char block[4096];
    sayf(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (pause_ms(fd, 0))
        say(fd, block, sizeof block);
}

static void send_endless_header(int fd)
{
    sayf(fd, "HTTP/1.1 200 OK\r\n");
    while (pause_ms(fd, 0))
        sayf(fd, "X-More: 0123456789012345678901234567890123456789\r\n");
}

static void send_drip(int fd)
{
    sayf(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (pause_ms(fd, 400))
        say(fd, "x", 1);
}

static void send_trickle(int fd) /* fast enough not to be slow, too long in all */
{
    sayf(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (pause_ms(fd, 50))
        say(fd, "0123456789", 10);
}

static void send_nothing(int fd)
{
    while (pause_ms(fd, 100)) {
    }
}

static void send_short(int fd)
{
    sayf(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot all of it");
}

static void send_rubbish(int fd)
{
    sayf(fd, "220 mail.example.org ESMTP\r\n");
}

static void send_loop(int fd)
{
    sayf(fd, REDIRECT "/loop\r\n\r\nmoved.");
}

static void send_relative(int fd)
{
    sayf(fd, REDIRECT "ok?a=b\r\n\r\nmoved.");
}

static void send_to_file(int fd)
{
    sayf(fd, REDIRECT "file:///etc/passwd\r\n\r\nmoved.");
}

static void send_to_gopher(int fd)
{
    sayf(fd, REDIRECT "gopher://127.0.0.1:%u/x\r\n\r\nmoved.", server.port);
}

static void send_to_low_port(int fd)
{
    sayf(fd, REDIRECT "http://127.0.0.1:25/\r\n\r\nmoved.");
}

static void send_to_loopback(int fd)
{
    sayf(fd, REDIRECT "http://127.0.0.1:%u/ok\r\n\r\nmoved.", server.port);
}

static void send_to_loopback_name(int fd)
{
    sayf(fd, REDIRECT "http://localhost:%u/ok\r\n\r\nmoved.", server.port);
}

static void send_to_mapped_loopback(int fd)
{
    sayf(fd, REDIRECT "http://[::ffff:127.0.0.1]:%u/ok\r\n\r\nmoved.", server.port);
}

static void send_to_odd_loopback(int fd)
{
    sayf(fd, REDIRECT "http://0x7f.1:%u/ok\r\n\r\nmoved.", server.port);
}

static void send_to_private(int fd)
{
    sayf(fd, REDIRECT "http://" SANDBOX_PRIVATE ":%u/ok\r\n\r\nmoved.", server.port);
}

static void send_nowhere(int fd)
{
    sayf(fd, "HTTP/1.1 302 Found\r\nContent-Length: 6\r\n\r\nmoved.");
}

static const struct act acts[] = {
    {"/ok", send_ok},
    {"/missing", send_missing},
    {"/chunked", send_chunked},
    {"/gzip", send_gzip},
    {"/bomb", send_bomb},
    {"/double-gzip", send_double_gzip},
    {"/empty-gzip", send_empty_gzip},
    {"/endless", send_endless},
    {"/endless-header", send_endless_header},
    {"/drip", send_drip},
    {"/trickle", send_trickle},
    {"/nothing", send_nothing},
    {"/short", send_short},
    {"/rubbish", send_rubbish},
    {"/loop", send_loop},
    {"/relative", send_relative},
    {"/to-file", send_to_file},
    {"/to-gopher", send_to_gopher},
    {"/to-low-port", send_to_low_port},
    {"/to-loopback", send_to_loopback},
    {"/to-loopback-name", send_to_loopback_name},
    {"/to-mapped-loopback", send_to_mapped_loopback},
    {"/to-odd-loopback", send_to_odd_loopback},
    {"/to-private", send_to_private},
    {"/nowhere", send_nowhere},
};

static void get_url(struct fixture *f, const char *url, enum sk_scope scope)
{
    unsigned before = f->answers;
    f->requests_before = server.requests;
    sk_http_get(&f->http, 42, url, BODY_MAX, scope);
    while (f->answers == before)
        assert_true(uv_run(&f->loop, UV_RUN_ONCE) || f->answers != before);
    assert_int_equal(before + 1, f->answers);
    assert_int_equal(42, f->id);
}

static void get_from(struct fixture *f, const char *host, const char *path, enum sk_scope scope)
{
    char url[256];
    snprintf(url, sizeof url, "http://%s:%u%s", host, server.port, path);
    get_url(f, url, scope);
}

static void get(struct fixture *f, const char *path)
{
    get_from(f, "127.0.0.1", path, SK_SCOPE_LOOPBACK);
}

static void assert_failed(const struct fixture *f, const char *error, unsigned requests)
{
    assert_string_equal(error, f->error);
    assert_int_equal(0, f->status);
    assert_int_equal(requests, server.requests - f->requests_before);
}

static void assert_hello(const struct fixture *f)
{
    assert_string_equal("", f->error);
    assert_int_equal(200, f->status);
    assert_int_equal(5, f->n);
    assert_memory_equal("hello", f->body, 5);
}

static void test_ok(void **state)
{
    struct fixture *f = *state;
    get(f, "/ok");
    assert_hello(f);
    assert_non_null(strstr(server.last, "\r\nUser-Agent: skep/"));
    assert_non_null(strstr(server.last, "\r\nAccept-Encoding: gzip\r\n"));
    get_from(f, "localhost", "/ok", SK_SCOPE_LOOPBACK);
    assert_hello(f);
    assert_non_null(strstr(server.last, "\r\nHost: localhost:"));
}

static void test_status_is_told(void **state)
{
    struct fixture *f = *state;
    get(f, "/missing");
    assert_int_equal(404, f->status);
    assert_int_equal(4, f->n);
    get(f, "/nowhere");
    assert_int_equal(302, f->status);
}

static void test_chunked(void **state)
{
    struct fixture *f = *state;
    get(f, "/chunked");
    assert_int_equal(200, f->status);
    assert_int_equal(1000, f->n);
    assert_memory_equal("01234567890", f->body, 11);
}

static void test_gzip(void **state)
{
    struct fixture *f = *state;
    get(f, "/gzip");
    assert_int_equal(200, f->status);
    assert_int_equal(50000, f->n);
    assert_int_equal(0, f->body[49999]);
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/ok", server.port);
    for (unsigned i = 0; i < 50; i++)
        sk_http_get(&f->http, i, url, BODY_MAX, SK_SCOPE_LOOPBACK);
    for (unsigned answers = 0; answers < 50; answers = f->answers) {
        while (f->answers == answers)
            uv_run(&f->loop, UV_RUN_ONCE);
        assert_hello(f);
    }
}

static void test_bombs(void **state)
{
    struct fixture *f = *state;
    get(f, "/bomb");
    assert_failed(f, "answer too large", 1);
    get(f, "/double-gzip");
    assert_failed(f, "compressed more than once", 1);
    get(f, "/empty-gzip");
    assert_failed(f, "answer too large", 1);
    get(f, "/endless");
    assert_failed(f, "answer too large", 1);
    get(f, "/endless-header");
    assert_failed(f, "header too large", 1);
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void test_slow(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {"/drip", "/nothing"};
    for (size_t i = 0; i < SK_ARRAY_LEN(paths); i++) {
        uint64_t from = now_ms();
        get(f, paths[i]);
        assert_int_equal(0, f->status);
        assert_true(now_ms() - from < TOTAL_MS); /* given up for its slowness */
    }
    uint64_t from = now_ms();
    get(f, "/trickle");
    assert_failed(f, "timed out", 1);
    assert_true(now_ms() - from >= TOTAL_MS - 50);
}

static void test_broken_answers(void **state)
{
    struct fixture *f = *state;
    get(f, "/short");
    assert_int_equal(0, f->status);
    assert_int_equal(0, f->n);
    get(f, "/rubbish");
    assert_int_equal(0, f->status);
    get(f, "/says-nothing");
    assert_int_equal(0, f->status);
}

static void test_redirects(void **state)
{
    struct fixture *f = *state;
    get(f, "/relative");
    assert_hello(f);
    assert_non_null(strstr(server.last, "GET /ok?a=b "));
    get(f, "/loop");
    assert_failed(f, "too many redirects", 1 + SK_HTTP_REDIRECTS_MAX);
    get(f, "/to-loopback");
    assert_hello(f);
}

static void test_redirects_to_other_schemes(void **state)
{
    struct fixture *f = *state;
    get(f, "/to-file");
    assert_failed(f, "not an http address", 1);
    get(f, "/to-gopher");
    assert_failed(f, "not an http address", 1);
    get(f, "/to-low-port");
    assert_failed(f, "port not allowed", 1);
}

#define FORBIDDEN "leads to an address that it may not name"

static void test_scope_of_first_hop(void **state)
{
    struct fixture *f = *state;
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]",
                                        "2130706433"};
    for (size_t i = 0; i < SK_ARRAY_LEN(hosts); i++) {
        get_from(f, hosts[i], "/ok", SK_SCOPE_PUBLIC);
        assert_failed(f, FORBIDDEN, 0);
        get_from(f, hosts[i], "/ok", SK_SCOPE_PRIVATE);
        assert_failed(f, FORBIDDEN, 0);
    }
    get_from(f, SANDBOX_PRIVATE, "/ok", SK_SCOPE_PUBLIC);
    assert_failed(f, FORBIDDEN, 0);
    get_from(f, "0.0.0.0", "/ok", SK_SCOPE_LOOPBACK);
    assert_failed(f, FORBIDDEN, 0);
}

/* Whatever the first hop was allowed: a server of a private address does not lead to loopback. */
static void test_redirect_to_narrower_scope(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {"/to-loopback", "/to-loopback-name", "/to-mapped-loopback",
                                        "/to-odd-loopback"};
    static const enum sk_scope scopes[] = {SK_SCOPE_PRIVATE, SK_SCOPE_LOOPBACK};
    if (!in_sandbox)
        skip();
    for (size_t i = 0; i < SK_ARRAY_LEN(paths); i++) {
        for (size_t j = 0; j < SK_ARRAY_LEN(scopes); j++) {
            get_from(f, SANDBOX_PRIVATE, paths[i], scopes[j]);
            assert_failed(f, FORBIDDEN, 1);
        }
    }
    get_from(f, SANDBOX_PRIVATE, "/to-private", SK_SCOPE_PRIVATE);
    assert_hello(f);
    get(f, "/to-private"); /* the other way there is nothing to protect */
    assert_hello(f);
}

static void test_first_address(void **state)
{
    struct fixture *f = *state;
    static const char *const urls[][2] = {
        {"file:///etc/passwd", "not an http address"},
        {"ftp://127.0.0.1/x", "not an http address"},
        {"udp://127.0.0.1:6969", "not an http address"},
        {"127.0.0.1/announce", "not an http address"},
        {"http://", "not an http address"},
        {"http://127.0.0.1:99999/", "not an http address"},
        {"http://127.0.0.1:0/", "port not allowed"},
        {"", "not an http address"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(urls); i++) {
        get_url(f, urls[i][0], SK_SCOPE_LOOPBACK);
        assert_failed(f, urls[i][1], 0);
    }
    get_url(f, "http://192.168.0.1:22/", SK_SCOPE_PRIVATE);
    assert_failed(f, "port not allowed", 0);
}

static void test_nobody_listens(void **state)
{
    struct fixture *f = *state;
    get_url(f, "http://127.0.0.1:1/", SK_SCOPE_LOOPBACK);
    assert_int_equal(0, f->status);
    assert_true(f->error[0]);
}

/* "localhost" has two addresses, and the server listens on one of them. */
static void test_next_address(void **state)
{
    struct fixture *f = *state;
    get_from(f, "localhost", "/ok", SK_SCOPE_LOOPBACK);
    assert_hello(f);
}

static void test_proxy_of_the_environment(void **state)
{
    struct fixture *f = *state;
    setenv("http_proxy", "http://127.0.0.1:1/", 1);
    setenv("ALL_PROXY", "socks5://127.0.0.1:1/", 1);
    get(f, "/ok");
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_hello(f);
}

static void test_bind(void **state)
{
    struct fixture *f = malloc(sizeof *f);
    char buffer[SK_ENDPOINT_TEXT_MAX];
    begin(f, "127.0.0.3");
    get(f, "/ok");
    assert_hello(f);
    assert_string_equal("127.0.0.3", sk_endpoint_ip_text(&server.client, buffer));
    void *ended = f;
    assert_int_equal(0, teardown(&ended));

    f = malloc(sizeof *f);
    begin(f, "::1"); /* a family that does not fit: nothing leaves */
    get(f, "/ok");
    assert_int_equal(0, f->status);
    assert_int_equal(0, server.requests - f->requests_before);
    ended = f;
    assert_int_equal(0, teardown(&ended));
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/nothing", server.port);
    sk_http_get(&f->http, 1, url, BODY_MAX, SK_SCOPE_LOOPBACK);
    sk_http_cancel(&f->http, 1);
    sk_http_get(&f->http, 2, url, BODY_MAX, SK_SCOPE_LOOPBACK);
    unsigned before = server.requests;
    while (server.requests == before)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    sk_http_cancel(&f->http, 2);
    sk_http_cancel(&f->http, 3);
    get(f, "/ok");
    assert_hello(f);
    assert_int_equal(1, f->answers);
}

static void test_end_with_requests_under_way(void **state)
{
    struct fixture *f = *state;
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/nothing", server.port);
    unsigned before = server.requests;
    sk_http_get(&f->http, 1, url, BODY_MAX, SK_SCOPE_LOOPBACK);
    while (server.requests == before)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    sk_http_get(&f->http, 2, "http://no-such-name.invalid/", BODY_MAX, SK_SCOPE_PUBLIC);
    assert_int_equal(0, f->answers);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ok),
        TEST(test_status_is_told),
        TEST(test_chunked),
        TEST(test_gzip),
        TEST(test_many_at_once),
        TEST(test_bombs),
        TEST(test_slow),
        TEST(test_broken_answers),
        TEST(test_redirects),
        TEST(test_redirects_to_other_schemes),
        TEST(test_scope_of_first_hop),
        TEST(test_redirect_to_narrower_scope),
        TEST(test_first_address),
        TEST(test_nobody_listens),
        TEST(test_next_address),
        TEST(test_proxy_of_the_environment),
        cmocka_unit_test(test_bind),
        TEST(test_cancel),
        TEST(test_end_with_requests_under_way),
    };
    server.acts = acts;
    server.acts_count = SK_ARRAY_LEN(acts);
    in_sandbox = sandbox_enter();
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
