/*
 * The embedded tracker over real sockets on loopback: both protocols on one port, and clients that
 * are slow, broken or too many.
 */
#include "driver/tracker_server.h"

#include <skep/err.h>

#include "base/assert.h"
#include "wire/tracker_http.h"
#include "wire/tracker_udp.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define QUERY "info_hash=%61aaaaaaaaaaaaaaaa%00%20%2B&peer_id=bbbbbbbbbbbbbbbbbbbb&port=7001&left=0"

static uv_loop_t loop;
static struct sk_tracker_server *server;
static unsigned heard;
static struct sk_tracker_announce last;
static struct sk_endpoint last_peer;

static void on_announce(void *ctx, const struct sk_tracker_announce *announce,
                        const struct sk_endpoint *peer, uint64_t now_ns)
{
    assert_ptr_equal(&loop, ctx);
    assert_true(now_ns > 0);
    heard++;
    last = *announce;
    last_peer = *peer;
}

static int start(const char *const *listen, size_t count, uint16_t port)
{
    struct sk_endpoint endpoints[SK_TRACKER_SERVER_LISTEN_MAX + 1];
    const char *reason = NULL;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(0, sk_endpoint_parse(listen[i], 1, &endpoints[i]));
    struct sk_tracker_server_config config = {.loop = &loop,
                                              .listen = endpoints,
                                              .listen_count = count,
                                              .port = port,
                                              .registry = {.interval_s = 60},
                                              .announced = on_announce,
                                              .ctx = &loop};
    int err = sk_tracker_server_new(&config, &server, &reason);
    if (err == SKEP_ERR_NETWORK)
        assert_non_null(reason);
    return err;
}

static int setup(void **state)
{
    heard = 0;
    return uv_loop_init(&loop);
}

static int teardown(void **state)
{
    sk_tracker_server_free(server);
    server = NULL;
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static int dial(int type, const char *from, const char *to)
{
    struct sk_endpoint endpoint;
    struct sockaddr_storage addr;
    assert_int_equal(0, sk_endpoint_parse(from, 1, &endpoint));
    int fd = socket(endpoint.family == SK_FAMILY_V6 ? AF_INET6 : AF_INET, type, 0);
    endpoint.port = 0;
    unsigned n = sk_endpoint_to_sockaddr(&endpoint, &addr);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&addr, n));
    assert_int_equal(0, sk_endpoint_parse(to, 1, &endpoint));
    endpoint.port = sk_tracker_server_port(server);
    n = sk_endpoint_to_sockaddr(&endpoint, &addr);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&addr, n));
    return fd;
}

/* Runs the loop until the socket has something to read; how much that was, 0 at its end. */
static size_t receive(int fd, void *to, size_t size)
{
    for (int i = 0; i < 5000; i++) {
        ssize_t n = recv(fd, to, size, MSG_DONTWAIT);
        if (n >= 0)
            return (size_t)n;
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    fail_msg("no answer");
    return 0;
}

/* The status of a request, and its body as a text. */
static int http(int fd, const char *request, char *body, size_t size)
{
    char text[8192];
    size_t n = 0;
    int status = 0;
    assert_int_equal(strlen(request), send(fd, request, strlen(request), 0));
    do {
        size_t more = receive(fd, text + n, sizeof text - 1 - n);
        n += more;
        text[n] = 0;
        if (!more)
            break;
    } while (!strstr(text, "\r\n\r\n"));
    sscanf(text, "HTTP/1.1 %d", &status);
    char *at = strstr(text, "\r\n\r\n");
    size_t length = 0;
    const char *header = strcasestr(text, "content-length: ");
    if (header)
        length = strtoul(header + 16, NULL, 10);
    while (at && n < (size_t)(at + 4 - text) + length)
        n += receive(fd, text + n, sizeof text - 1 - n);
    text[n] = 0;
    snprintf(body, size, "%s", at ? at + 4 : "");
    return status;
}

static int get(const char *from, const char *to, const char *target, char *body, size_t size)
{
    char request[8192];
    int fd = dial(SOCK_STREAM, from, to);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", target);
    int status = http(fd, request, body, size);
    close(fd);
    return status;
}

static void test_http(void **state)
{
    char body[4096], text[SK_ENDPOINT_TEXT_MAX];
    assert_int_equal(0, start(NULL, 0, 0));
    assert_int_equal(200, get("127.0.3.4", "127.0.0.1", "/announce?" QUERY, body, sizeof body));
    assert_string_equal("d8:completei1e10:downloadedi0e10:incompletei0e8:intervali60e5:peers0:e",
                        body);
    assert_int_equal(1, heard);
    assert_string_equal("127.0.3.4:7001", sk_endpoint_text(&last_peer, text));
    assert_memory_equal("aaaaaaaaaaaaaaaaa\0 +", last.info_hash, 20);
    assert_int_equal(404, get("127.0.3.4", "127.0.0.1", "/", body, sizeof body));
    assert_int_equal(200, get("127.0.3.4", "127.0.0.1", "/announce?a%", body, sizeof body));
    assert_string_equal("d14:failure reason49:info_hash, peer_id, port or a number is not valide",
                        body);
    assert_int_equal(1, heard);
}

static void test_http_keeps_alive(void **state)
{
    char body[4096];
    assert_int_equal(0, start(NULL, 0, 0));
    int fd = dial(SOCK_STREAM, "127.0.0.2", "127.0.0.1");
    for (int i = 0; i < 3; i++)
        assert_int_equal(200, http(fd, "GET /announce?" QUERY " HTTP/1.1\r\nHost: t\r\n\r\n", body,
                                   sizeof body));
    assert_int_equal(3, heard);
    close(fd);
}

static void test_http_of_strangers(void **state)
{
    static const char *const requests[] = {
        "POST /announce?" QUERY " HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
        "POST /announce?" QUERY " HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc",
        "\x16\x03\x01\x02\x01\x01\r\n\r\n",
        "\x13"
        "BitTorrent protocol\r\n\r\n",
    };
    char body[4096], target[6000] = "/announce?" QUERY "&x=";
    assert_int_equal(0, start(NULL, 0, 0));
    for (size_t i = 0; i < SK_ARRAY_LEN(requests); i++) {
        int fd = dial(SOCK_STREAM, "127.0.0.2", "127.0.0.1");
        assert_int_not_equal(200, http(fd, requests[i], body, sizeof body));
        close(fd);
    }
    memset(target + strlen(target), 'x', 5000);
    assert_int_not_equal(200, get("127.0.0.2", "127.0.0.1", target, body, sizeof body));
    assert_int_equal(0, heard);
    assert_int_equal(200, get("127.0.0.2", "127.0.0.1", "/announce?" QUERY, body, sizeof body));
}

static void test_udp(void **state)
{
    struct sk_tracker_announce announce = {.want = 50, .left = 5, .port = 7002};
    struct sk_announce_answer answer;
    uint64_t connection;
    uint8_t bytes[2048];
    char body[4096], text[SK_ENDPOINT_TEXT_MAX];
    struct sk_buf packet;
    sk_buf_init(&packet, sizeof bytes);
    assert_int_equal(0, start(NULL, 0, 0));
    assert_int_equal(200, get("127.0.3.4", "127.0.0.1", "/announce?" QUERY, body, sizeof body));

    int fd = dial(SOCK_DGRAM, "127.0.0.9", "127.0.0.1");
    send(fd, "junk", 4, 0);
    sk_tracker_udp_write_connect(&packet, 7);
    send(fd, packet.p, packet.n, 0);
    size_t n = receive(fd, bytes, sizeof bytes);
    assert_int_equal(0, sk_tracker_udp_read_connect(sk_bytes(bytes, n), &connection));
    packet.n = 0;
    memcpy(announce.info_hash, "aaaaaaaaaaaaaaaaa\0 +", 20);
    sk_tracker_udp_write_announce(&packet, connection, 8, &announce, sk_bytes_text("/announce"));
    send(fd, packet.p, packet.n, 0);
    n = receive(fd, bytes, sizeof bytes);
    assert_int_equal(0, sk_tracker_udp_read_announce(sk_bytes(bytes, n), SK_FAMILY_V4, &answer));
    assert_int_equal(1, answer.seeds);
    assert_int_equal(1, answer.leechers);
    assert_int_equal(1, answer.peers_count);
    assert_string_equal("127.0.3.4:7001", sk_endpoint_text(&answer.peers[0], text));
    assert_int_equal(2, heard);
    assert_string_equal("127.0.0.9:7002", sk_endpoint_text(&last_peer, text));
    sk_announce_answer_deinit(&answer);
    sk_buf_deinit(&packet);
    close(fd);
}

static void test_two_addresses_one_memory(void **state)
{
    static const char *const both[] = {"127.0.0.1", "::1"};
    char body[4096];
    assert_int_equal(0, start(both, 2, 0));
    assert_int_equal(200, get("::1", "::1", "/announce?" QUERY, body, sizeof body));
    assert_int_equal(SK_FAMILY_V6, last_peer.family);
    assert_int_equal(200, get("127.0.0.7", "127.0.0.1", "/announce?" QUERY, body, sizeof body));
    assert_non_null(strstr(body, "8:completei2e"));
    assert_non_null(strstr(body, "6:peers618:"));
}

static void test_port_taken(void **state)
{
    static const char *const three[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
    assert_int_equal(0, start(NULL, 0, 0));
    struct sk_tracker_server *first = server;
    uint16_t port = sk_tracker_server_port(first);
    assert_int_not_equal(0, port);
    assert_int_equal(SKEP_ERR_NETWORK, start(NULL, 0, port));
    assert_int_equal(SKEP_ERR_LIMIT, start(three, 3, 0));
    assert_ptr_equal(first, server);
    sk_tracker_server_free(first);
    server = NULL;
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(0, start(NULL, 0, port)); /* free again */
}

static void test_more_connections_than_allowed(void **state)
{
    static int fds[SK_TRACKER_SERVER_CONNECTIONS_MAX + 20];
    char body[4096];
    assert_int_equal(0, start(NULL, 0, 0));
    for (size_t i = 0; i < SK_ARRAY_LEN(fds); i++) {
        fds[i] = dial(SOCK_STREAM, "127.0.0.2", "127.0.0.1");
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(fds); i++)
        close(fds[i]);
    assert_int_equal(200, get("127.0.0.2", "127.0.0.1", "/announce?" QUERY, body, sizeof body));
}

static void test_stops_with_a_request_half_read(void **state)
{
    assert_int_equal(0, start(NULL, 0, 0));
    int fd = dial(SOCK_STREAM, "127.0.0.2", "127.0.0.1");
    assert_int_equal(12, send(fd, "GET /announc", 12, 0));
    for (int i = 0; i < 20; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    teardown(NULL);
    char byte;
    assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0);
    close(fd);
    setup(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_http),
        TEST(test_http_keeps_alive),
        TEST(test_http_of_strangers),
        TEST(test_udp),
        TEST(test_two_addresses_one_memory),
        TEST(test_port_taken),
        TEST(test_more_connections_than_allowed),
        TEST(test_stops_with_a_request_half_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
