/* The runtime with its sockets, on loopback, with a stand-in for the engine (threats: bind is
 * fail-closed for every socket; descriptors run out). */
#include <skep/runtime.h>

#include "driver/tcp.h"
#include "driver/udp.h"
#include "fake_engine.h"
#include "sandbox.h"
#include "wire/krpc.h"
#include "wire/lsd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#define LOOPBACK "127.0.0.1"

static bool in_sandbox;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct skep_runtime *make(const struct skep_config *config)
{
    struct skep_runtime *runtime = NULL;
    const char *why = NULL;
    fake_reset();
    if (skep_runtime_new(config, &runtime, &why) != 0)
        fail_msg("no runtime: %s", why);
    return runtime;
}

static void end(struct skep_runtime *runtime)
{
    skep_runtime_free(runtime);
    assert_true(fake.freed);
    assert_int_equal(0, fake.conns);
    assert_int_equal(0, fake.backward);
}

static const char *at(const char *ip, uint16_t port)
{
    static char text[80];
    snprintf(text, sizeof text, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
    return text;
}

/* Runs until the count is reached; fails after `seconds`. */
static void run_until(struct skep_runtime *runtime, const unsigned *count, unsigned wanted)
{
    uint64_t limit = now_ns() + UINT64_C(10000000000);
    while (*count < wanted && now_ns() < limit)
        skep_runtime_run(runtime, 0.01);
    assert_int_equal(wanted, *count);
}

/* A plain socket of the test's own. */
static int raw_socket(int type, const char *ip, uint16_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    inet_pton(AF_INET, ip, &addr.sin_addr);
    int fd = socket(AF_INET, type, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&addr, len));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&addr, &len));
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static int raw_listener(uint16_t *ret_port)
{
    int fd = raw_socket(SOCK_STREAM, LOOPBACK, ret_port);
    assert_int_equal(0, listen(fd, 100));
    return fd;
}

static int raw_accept(struct skep_runtime *runtime, int listener)
{
    int fd = -1;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (int i = 0; fd < 0 && i < 200; i++) {
        skep_runtime_run(runtime, 0.01);
        fd = accept(listener, NULL, NULL);
    }
    assert_true(fd >= 0);
    return fd;
}

/* ---- ports and bind ---- */

static int try_bind(int type, const char *ip, uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &addr.sin_addr);
    int fd = socket(AF_INET, type, 0);
    int err = bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0 ? 0 : errno;
    close(fd);
    return err;
}

static void test_one_port_for_all(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    uint16_t port = skep_runtime_port(runtime);
    assert_int_not_equal(0, port);
    assert_int_equal(port, fake.config.port);
    assert_int_not_equal(0, fake.config.seed);
    assert_int_equal(EADDRINUSE, try_bind(SOCK_STREAM, "0.0.0.0", port));
    assert_int_equal(EADDRINUSE, try_bind(SOCK_DGRAM, "0.0.0.0", port));

    struct skep_runtime *second = runtime;
    const char *why = NULL;
    struct skep_config taken = {.port = port};
    assert_int_equal(SKEP_ERR_NETWORK, skep_runtime_new(&taken, &second, &why));
    assert_ptr_equal(runtime, second);
    assert_non_null(strstr(why, "in use"));
    end(runtime);
}

static void test_no_listen(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){.no_listen = true});
    assert_int_equal(0, skep_runtime_port(runtime));
    assert_int_equal(EADDRINUSE, try_bind(SOCK_DGRAM, "0.0.0.0", fake.config.port));
    fake_dial(at(LOOPBACK, fake.config.port), 0);
    run_until(runtime, &fake.failed, 1);
    assert_int_equal(SK_CONN_REFUSED, fake.status);
    end(runtime);
}

static void test_bad_bind(void **state)
{
    static const struct {
        const char *bind;
        int err;
    } cases[] = {
        {"nonsense", SKEP_ERR_INVALID},  {"127.0.0.1:80", SKEP_ERR_INVALID},
        {"localhost", SKEP_ERR_INVALID}, {"", SKEP_ERR_INVALID},
        {"192.0.2.9", SKEP_ERR_NETWORK}, {"2001:db8::9", SKEP_ERR_NETWORK},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct skep_runtime *runtime = NULL;
        const char *why = NULL;
        struct skep_config config = {.bind = cases[i].bind};
        fake_reset();
        assert_int_equal(cases[i].err, skep_runtime_new(&config, &runtime, &why));
        assert_null(runtime);
        assert_true(why && *why);
        assert_int_equal(cases[i].err, skep_runtime_new(&config, &runtime, NULL));
    }
}

static void test_bind_holds_for_all(void **state)
{
    uint16_t port, udp_port;
    char text[SK_ENDPOINT_TEXT_MAX];
    struct skep_runtime *runtime = make(&(struct skep_config){.bind = "127.0.0.3"});
    int listener = raw_listener(&port);
    int udp = raw_socket(SOCK_DGRAM, LOOPBACK, &udp_port);
    /* Its port is taken there and nowhere else. */
    assert_int_equal(0, try_bind(SOCK_STREAM, LOOPBACK, skep_runtime_port(runtime)));
    assert_int_equal(EADDRINUSE, try_bind(SOCK_STREAM, "127.0.0.3", skep_runtime_port(runtime)));

    fake_dial(at(LOOPBACK, port), 1);
    struct sk_endpoint to;
    sk_endpoint_parse(at(LOOPBACK, udp_port), 0, &to);
    fake_push((struct sk_out){.kind = SK_OUT_UDP, .endpoint = to, .bytes = sk_bytes("u", 1)});
    run_until(runtime, &fake.connected, 1);

    struct sockaddr_storage from;
    struct sk_endpoint client;
    socklen_t len = sizeof from;
    int fd = accept(listener, (struct sockaddr *)&from, &len);
    sk_endpoint_from_sockaddr((struct sockaddr *)&from, &client);
    assert_string_equal("127.0.0.3", sk_endpoint_ip_text(&client, text));
    char byte;
    len = sizeof from;
    assert_int_equal(1, recvfrom(udp, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len));
    sk_endpoint_from_sockaddr((struct sockaddr *)&from, &client);
    assert_string_equal("127.0.0.3", sk_endpoint_ip_text(&client, text));
    assert_int_equal(skep_runtime_port(runtime), client.port);

    /* The other family is refused, though it would be reachable. */
    fake_dial(at("::1", port), 0);
    run_until(runtime, &fake.failed, 1);
    assert_int_equal(SK_CONN_UNREACHABLE, fake.status);
    close(fd);
    close(udp);
    close(listener);
    end(runtime);
}

/* ---- connections ---- */

static void test_failures_have_names(void **state)
{
    static const struct {
        int error;
        enum sk_conn_failure failure;
    } cases[] = {
        {ECONNREFUSED, SK_CONN_REFUSED},
        {ETIMEDOUT, SK_CONN_TIMEOUT},
        {EHOSTUNREACH, SK_CONN_UNREACHABLE},
        {ENETUNREACH, SK_CONN_UNREACHABLE},
        {EACCES, SK_CONN_UNREACHABLE},
        {EPERM, SK_CONN_UNREACHABLE},
        {EMFILE, SK_CONN_LOCAL},
        {EADDRNOTAVAIL, SK_CONN_LOCAL},
        {ENOBUFS, SK_CONN_LOCAL},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        assert_int_equal(cases[i].failure, sk_tcp_failure(cases[i].error));
}

static void test_refused_and_unreachable(void **state)
{
    uint16_t port;
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    int closed = raw_socket(SOCK_STREAM, LOOPBACK, &port); /* bound, but nobody listens */
    fake_dial(at(LOOPBACK, port), 0);
    run_until(runtime, &fake.failed, 1);
    assert_int_equal(SK_CONN_REFUSED, fake.status);
    run_until(runtime, &fake.gone, 1);
    if (in_sandbox) {
        fake_dial("192.0.2.1:6881", 0);
        run_until(runtime, &fake.failed, 2);
        assert_int_equal(SK_CONN_UNREACHABLE, fake.status);
        run_until(runtime, &fake.gone, 2);
    }
    assert_int_equal(0, fake.eofs);
    close(closed);
    end(runtime);
}

static void test_echo(struct skep_runtime *runtime, const char *ip, size_t size)
{
    fake.accept_echoes = true;
    struct fake_conn *conn = fake_dial(at(ip, skep_runtime_port(runtime)), size);
    uint64_t limit = now_ns() + UINT64_C(20000000000);
    while (conn->received < size && now_ns() < limit)
        skep_runtime_run(runtime, 0.02);
    assert_int_equal(size, conn->received);
    assert_int_equal(size, conn->sent);
    assert_false(conn->wrong);
    fake_close(conn);
    unsigned gone = fake.gone;
    run_until(runtime, &fake.gone, gone + 2); /* the other side sees the end and closes */
}

static void test_megabytes_there_and_back(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    test_echo(runtime, LOOPBACK, 50u << 20);
    assert_true(fake.pauses > 0);
    test_echo(runtime, "127.9.9.9", 1);
    assert_int_equal(2, fake.connected);
    assert_int_equal(2, fake.accepted);
    assert_int_equal(2, fake.eofs);
    end(runtime);
}

static void test_ipv6(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){.bind = NULL});
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof own) == 0;
    if (fd >= 0)
        close(fd);
    if (have) {
        test_echo(runtime, "::1", 3u << 20);
        assert_int_equal(SK_FAMILY_V6, fake.last_from.family);
    }
    end(runtime);
    if (!have)
        skip();
}

static void test_engine_refuses(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    fake.refuse = true;
    struct fake_conn *conn = fake_dial(at(LOOPBACK, skep_runtime_port(runtime)), 10);
    (void)conn;
    run_until(runtime, &fake.eofs, 1);
    assert_int_equal(0, fake.accepted);
    run_until(runtime, &fake.gone, 1);
    end(runtime);
}

/* What the other side said before it left arrives, though sending to it fails. */
static void test_last_words(void **state)
{
    uint16_t port;
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    int listener = raw_listener(&port);
    for (int with_reset = 0; with_reset < 2; with_reset++) {
        struct fake_conn *conn = fake_dial(at(LOOPBACK, port), 0);
        int fd = raw_accept(runtime, listener);
        run_until(runtime, &fake.connected, (unsigned)with_reset + 1);
        assert_int_equal(1000, send(fd, fake_pattern_bytes(), 1000, 0));
        struct linger hard = {.l_onoff = with_reset};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
        conn->to_send = 100;
        fake_send(conn);
        run_until(runtime, &fake.gone, (unsigned)with_reset + 1);
        assert_int_equal(1000, fake.last_gone.received);
        assert_false(fake.last_gone.wrong);
        assert_true(fake.last_gone.ended);
        assert_int_equal(with_reset, fake.last_gone.reset);
    }
    close(listener);
    end(runtime);
}

static void run_until_all_gone(struct skep_runtime *runtime)
{
    uint64_t limit = now_ns() + UINT64_C(10000000000);
    while (fake.conns && now_ns() < limit)
        skep_runtime_run(runtime, 0.01);
    assert_int_equal(0, fake.conns);
}

/* The wish to connect and the wish to close wait in the same ring. */
static void test_connect_then_close_at_once(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){.bind = LOOPBACK});
    fake_close(fake_dial(at(LOOPBACK, skep_runtime_port(runtime)), 0));
    run_until_all_gone(runtime);
    assert_int_equal(0, fake.failed);
    fake_close(fake_dial("[::1]:1", 0)); /* fails before it is closed */
    run_until_all_gone(runtime);
    assert_int_equal(1, fake.failed);
    end(runtime);
}

/* Closing sends what was handed over before. */
static void test_sends_before_closing(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    uint16_t port;
    int listener = raw_listener(&port);
    struct fake_conn *conn = fake_dial(at(LOOPBACK, port), 5000);
    conn->close_at_once = true;
    int fd = raw_accept(runtime, listener);
    run_until(runtime, &fake.gone, 1);
    char bytes[6000];
    assert_int_equal(5000, recv(fd, bytes, sizeof bytes, MSG_WAITALL));
    assert_memory_equal(fake_pattern_bytes(), bytes, 5000);
    close(fd);
    close(listener);
    end(runtime);
}

static void test_a_thousand_peers(void **state)
{
    enum { PEERS = 1000, EACH = 2000 };
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    fake.accept_echoes = true;
    static struct fake_conn *conns[PEERS];
    for (int i = 0; i < PEERS; i++)
        conns[i] = fake_dial(at(LOOPBACK, skep_runtime_port(runtime)), EACH);
    run_until(runtime, &fake.connected, PEERS);
    uint64_t limit = now_ns() + UINT64_C(10000000000);
    size_t done = 0;
    while (done < PEERS && now_ns() < limit) {
        skep_runtime_run(runtime, 0.01);
        done = 0;
        for (int i = 0; i < PEERS; i++)
            done += conns[i]->received == EACH && !conns[i]->wrong;
    }
    assert_int_equal(PEERS, done);
    for (int i = 0; i < PEERS / 2; i++)
        fake_close(conns[i]);
    run_until(runtime, &fake.gone, PEERS);
    end(runtime); /* the other half is open */
    assert_int_equal(2 * PEERS, fake.gone);
}

static void test_descriptors_run_out(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    struct rlimit before, none;
    assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
    assert_int_equal(before.rlim_max, before.rlim_cur); /* it was raised */
    int client = socket(AF_INET, SOCK_STREAM, 0);
    int lowest = dup(client);
    close(lowest);
    none = before;
    none.rlim_cur = (rlim_t)lowest; /* all below are in use */
    assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &none));
    fake_dial(at(LOOPBACK, skep_runtime_port(runtime)), 0);
    run_until(runtime, &fake.failed, 1);
    int failure = fake.status;
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(skep_runtime_port(runtime))};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connected = connect(client, (struct sockaddr *)&addr, sizeof addr);
    skep_runtime_run(runtime, 0.1);
    char byte;
    ssize_t got = recv(client, &byte, 1, MSG_DONTWAIT);
    assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
    assert_int_equal(SK_CONN_LOCAL, failure);
    assert_int_equal(0, connected);
    assert_int_equal(0, fake.accepted);
    assert_int_equal(0, got); /* not left waiting in the queue */
    test_echo(runtime, LOOPBACK, 100);
    close(client);
    end(runtime);
}

/* ---- datagrams ---- */

static void test_datagrams(void **state)
{
    static const char *const ips[] = {LOOPBACK, "::1"};
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    unsigned sent = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(ips); i++) {
        struct sk_endpoint to;
        assert_int_equal(0, sk_endpoint_parse(at(ips[i], skep_runtime_port(runtime)), 0, &to));
        for (int j = 0; j < 40; j++) /* more than a batch */
            fake_push((struct sk_out){
                .kind = SK_OUT_UDP, .endpoint = to, .bytes = sk_bytes_text("a datagram")});
        sent += 40;
        skep_runtime_run(runtime, 0.05);
        if (i == 1 && fake.datagrams == 40)
            break; /* a host without IPv6 */
        run_until(runtime, &fake.datagrams, sent);
        assert_string_equal("a datagram", fake.datagram);
        assert_true(sk_endpoint_equal(&to, &fake.last_from));
    }
    end(runtime);
}

/* Short, long, and refused by the kernel, all at once: each one that can go out does. */
static void test_datagrams_in_batches(void **state)
{
    enum { COUNT = 100, LONG_EACH = 7 }; /* more than one batch, less than a socket holds */
    static uint8_t bytes[COUNT][2000], got[2000];
    struct skep_runtime *runtime = make(&(struct skep_config){.bind = LOOPBACK});
    struct sk_endpoint to, nowhere;
    uint16_t port;
    int fd = raw_socket(SOCK_DGRAM, LOOPBACK, &port);
    sk_endpoint_parse(at(LOOPBACK, port), 0, &to);
    sk_endpoint_parse("255.255.255.255:9", 0, &nowhere); /* broadcasts are not allowed */
    for (unsigned i = 0; i < COUNT; i++) {
        sk_put_u16(bytes[i], (uint16_t)i);
        size_t n = i % LONG_EACH == 0 ? 2000 : 100 + i;
        fake_push(
            (struct sk_out){.kind = SK_OUT_UDP, .endpoint = to, .bytes = sk_bytes(bytes[i], n)});
        fake_push((struct sk_out){
            .kind = SK_OUT_UDP, .endpoint = nowhere, .bytes = sk_bytes(bytes[i], 10)});
    }
    skep_runtime_run(runtime, 0.1);
    unsigned long_ones = 0, short_ones = 0;
    for (ssize_t n; (n = recv(fd, got, sizeof got, MSG_DONTWAIT)) >= 0;) {
        unsigned number = sk_get_u16(got);
        bool is_long = number % LONG_EACH == 0;
        assert_int_equal(is_long ? 2000 : 100 + number, n);
        long_ones += is_long;
        short_ones += !is_long;
    }
    assert_int_equal((COUNT + LONG_EACH - 1) / LONG_EACH, long_ones);
    assert_int_equal(COUNT, long_ones + short_ones);
    close(fd);
    end(runtime);
}

static void test_oversized_datagrams_are_dropped(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    static char big[9000];
    uint16_t port;
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(skep_runtime_port(runtime))};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = raw_socket(SOCK_DGRAM, LOOPBACK, &port);
    sendto(fd, big, sizeof big, 0, (struct sockaddr *)&addr, sizeof addr);
    sendto(fd, "", 0, 0, (struct sockaddr *)&addr, sizeof addr);
    sendto(fd, "x", 1, 0, (struct sockaddr *)&addr, sizeof addr);
    run_until(runtime, &fake.datagrams, 2);
    assert_string_equal("x", fake.datagram);
    assert_int_equal(port, fake.last_from.port);
    close(fd);
    end(runtime);
}

/* The DHT is in the networks that there are sockets for. */
static void test_families_of_the_dht(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){.bind = LOOPBACK});
    assert_int_equal(SK_KRPC_WANT_V4, fake.families);
    assert_int_equal(skep_runtime_port(runtime), skep_runtime_udp_port(runtime));
    end(runtime);
    runtime = make(&(struct skep_config){.bind = LOOPBACK, .no_listen = true});
    assert_int_equal(0, skep_runtime_port(runtime));
    assert_int_not_equal(0, skep_runtime_udp_port(runtime));
    end(runtime);
    runtime = make(&(struct skep_config){0});
    assert_true(fake.families & SK_KRPC_WANT_V4);
    end(runtime);
}

static void test_lsd(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){.bind = "127.0.0.1"});
    fake_push((struct sk_out){
        .kind = SK_OUT_LSD, .endpoint.family = SK_FAMILY_V4, .bytes = sk_bytes_text("BT-SEARCH")});
    fake_push((struct sk_out){.kind = SK_OUT_LSD,
                              .endpoint.family = SK_FAMILY_V6,
                              .bytes = sk_bytes_text("not of our family")});
    run_until(runtime, &fake.announces, 1);
    assert_string_equal("BT-SEARCH", fake.datagram);
    char text[SK_ENDPOINT_TEXT_MAX];
    assert_string_equal("127.0.0.1", sk_endpoint_ip_text(&fake.last_from, text));
    assert_int_equal(skep_runtime_port(runtime), fake.last_from.port);
    assert_int_equal(0, fake.datagrams);
    end(runtime);

    runtime = make(&(struct skep_config){.bind = "127.0.0.1", .no_lsd = true});
    fake_push((struct sk_out){
        .kind = SK_OUT_LSD, .endpoint.family = SK_FAMILY_V4, .bytes = sk_bytes_text("BT-SEARCH")});
    skep_runtime_run(runtime, 0.1);
    assert_int_equal(0, fake.announces);
    end(runtime);
}

/* ---- time and signals ---- */

static void test_deadline(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    uint64_t begin = skep_runtime_now(runtime);
    fake.deadline_ns = begin + 30500000;
    uint64_t wanted = fake.deadline_ns;
    run_until(runtime, &fake.ticks, 1);
    assert_int_equal(0, fake.early_ticks);
    assert_true(fake.last_now_ns >= wanted);
    fake.deadline_ns = begin; /* past */
    run_until(runtime, &fake.ticks, 2);
    fake.deadline_ns = now_ns() + UINT64_C(3600000000000);
    skep_runtime_run(runtime, 0.02);
    fake.deadline_ns = SK_TIME_NEVER;
    skep_runtime_run(runtime, 0.02);
    assert_int_equal(2, fake.ticks);
    end(runtime);
}

static void test_run_ends_in_time(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    uint64_t begin = now_ns();
    assert_int_equal(0, skep_runtime_run(runtime, 0.05));
    uint64_t took = now_ns() - begin;
    assert_true(took >= 49000000 && took < 2000000000);
    assert_int_equal(0, skep_runtime_run(runtime, 0));
    end(runtime);
}

static void count_and_stop(struct skep_runtime *runtime, void *ctx)
{
    assert_int_equal(SKEP_ERR_STATE, skep_runtime_run(runtime, 0));
    if (++*(int *)ctx == 3)
        skep_runtime_stop(runtime);
}

static void test_every(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    int calls = 0;
    assert_int_equal(SKEP_ERR_INVALID, skep_runtime_every(runtime, 0, count_and_stop, &calls));
    assert_int_equal(0, skep_runtime_every(runtime, 0.01, count_and_stop, &calls));
    skep_runtime_run(runtime, -1);
    assert_int_equal(3, calls);
    assert_int_equal(0, skep_runtime_every(runtime, 0, NULL, NULL));
    skep_runtime_run(runtime, 0.05);
    assert_int_equal(3, calls);
    end(runtime);
}

/* What was set up for a run that never came, or was told to end before it began, can be freed. */
static void test_free_without_run(void **state)
{
    int calls = 0;
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    assert_int_equal(0, skep_runtime_every(runtime, 0.001, count_and_stop, &calls));
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    end(runtime);
    runtime = make(&(struct skep_config){0});
    assert_int_equal(0, skep_runtime_every(runtime, 0.001, count_and_stop, &calls));
    skep_runtime_stop(runtime);
    end(runtime);
    assert_int_equal(0, calls);
}

static void stop_on_signal(struct skep_runtime *runtime, int signum, void *ctx)
{
    *(int *)ctx = signum;
    skep_runtime_stop(runtime);
}

static void send_signal(struct skep_runtime *runtime, void *ctx)
{
    kill(getpid(), *(int *)ctx);
    skep_runtime_every(runtime, 0, NULL, NULL);
}

static void test_signals(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){0});
    int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        int got = 0;
        skep_runtime_on_signal(runtime, stop_on_signal, &got);
        skep_runtime_every(runtime, 0.01, send_signal, &signals[i]);
        skep_runtime_run(runtime, 10);
        assert_int_equal(signals[i], got);
    }
    struct sigaction action;
    sigaction(SIGINT, NULL, &action); /* not ours any more when it does not run */
    assert_ptr_equal(SIG_DFL, action.sa_handler);
    end(runtime);
}

/* ---- names, HTTP, disk: that they are joined to the engine ---- */

static void test_names_and_http(void **state)
{
    struct skep_runtime *runtime = make(&(struct skep_config){.bind = "127.0.0.1"});
    fake_push((struct sk_out){.kind = SK_OUT_RESOLVE, .text = "localhost", .id = 11});
    run_until(runtime, &fake.resolved, 1);
    assert_int_equal(11, fake.id);
    assert_int_equal(1, fake.found);
    char url[100];
    snprintf(url, sizeof url, "http://%s/", at(LOOPBACK, skep_runtime_port(runtime)));
    fake.accept_sends = 100;
    fake.accept_closes = true;
    struct sk_out get = {.kind = SK_OUT_HTTP_GET,
                         .text = url,
                         .id = 12,
                         .bytes_max = 100,
                         .scope = SK_SCOPE_LOOPBACK};
    fake_push(get); /* the answer is a pattern, no HTTP */
    run_until(runtime, &fake.http, 1);
    assert_int_equal(12, fake.id);
    assert_int_equal(0, fake.status);
    assert_true(fake.data[0]);
    get.scope = SK_SCOPE_PUBLIC;
    get.id = 13;
    fake_push(get);
    run_until(runtime, &fake.http, 2);
    assert_int_equal(13, fake.id);
    get.scope = SK_SCOPE_LOOPBACK;
    fake_push(get);
    fake_push((struct sk_out){.kind = SK_OUT_HTTP_CANCEL, .id = 13});
    skep_runtime_run(runtime, 0.05);
    assert_int_equal(2, fake.http);
    fake_push(get); /* under way when all ends */
    skep_runtime_run(runtime, 0);
    end(runtime);
}

static void test_disk(void **state)
{
    char dir[] = "/tmp/skep-test-runtime-XXXXXX", path[80], command[100];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/save", dir);
    struct skep_runtime *runtime = make(&(struct skep_config){.save_dir = path});
    struct sk_out out = {.kind = SK_OUT_WRITE, .id = 21, .offset = 3, .bytes = sk_bytes("abc", 3)};
    fake_push(out);
    run_until(runtime, &fake.written, 1);
    assert_int_equal(21, fake.id);
    assert_int_equal(0, fake.err);
    fake_push((struct sk_out){.kind = SK_OUT_READ, .id = 22, .offset = 4, .length = 2});
    run_until(runtime, &fake.read, 1);
    assert_int_equal(22, fake.id);
    assert_string_equal("bc", fake.data);
    out.offset = 10;
    fake_push(out); /* under way when all ends: it is still written */
    skep_runtime_run(runtime, 0);
    end(runtime);
    struct stat about;
    strcat(path, "/dir/file");
    assert_int_equal(0, stat(path, &about));
    assert_int_equal(13, about.st_size);

    const char *why = NULL;
    struct skep_config config = {.save_dir = path};
    assert_int_equal(SKEP_ERR_IO, skep_runtime_new(&config, &runtime, &why));
    assert_non_null(strstr(why, "Not a directory"));
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(0, system(command));
}

static void test_free_of_nothing(void **state)
{
    skep_runtime_free(NULL);
    end(make(&(struct skep_config){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_port_for_all),
        cmocka_unit_test(test_no_listen),
        cmocka_unit_test(test_bad_bind),
        cmocka_unit_test(test_bind_holds_for_all),
        cmocka_unit_test(test_failures_have_names),
        cmocka_unit_test(test_refused_and_unreachable),
        cmocka_unit_test(test_megabytes_there_and_back),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_engine_refuses),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_connect_then_close_at_once),
        cmocka_unit_test(test_sends_before_closing),
        cmocka_unit_test(test_a_thousand_peers),
        cmocka_unit_test(test_descriptors_run_out),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_datagrams_in_batches),
        cmocka_unit_test(test_families_of_the_dht),
        cmocka_unit_test(test_oversized_datagrams_are_dropped),
        cmocka_unit_test(test_lsd),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_run_ends_in_time),
        cmocka_unit_test(test_every),
        cmocka_unit_test(test_free_without_run),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_names_and_http),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_free_of_nothing),
    };
    in_sandbox = sandbox_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
