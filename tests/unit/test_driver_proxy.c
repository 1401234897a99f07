/* Behind a SOCKS proxy: what the user says of it, the names it is to look up, and what its replies
 * mean. That nothing goes past one is tests/interop/test_socks.py. */
#include "driver/proxy.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"
#include "driver/http.h"
#include "driver/resolver.h"
#include "driver/runtime.h"
#include "driver/socket.h"
#include "driver/tcp.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(0, sk_endpoint_parse(text, 0, &endpoint));
    return endpoint;
}

static void test_parse(void **state)
{
    static const struct {
        const char *text, *account, *address, *user, *password;
    } cases[] = {
        {"192.0.2.1:1080", NULL, "192.0.2.1:1080", "", ""},
        {"[2001:db8::1]:1080", NULL, "[2001:db8::1]:1080", "", ""},
        {"localhost:9050", NULL, "127.0.0.1:9050", "", ""},
        {"u:p@192.0.2.1:1080", NULL, "192.0.2.1:1080", "u", "p"},
        {"u:p@x:y@192.0.2.1:1080", NULL, "192.0.2.1:1080", "u", "p@x:y"},
        {"u@192.0.2.1:1080", NULL, "192.0.2.1:1080", "u", ""},
        {"u:@192.0.2.1:1080", NULL, "192.0.2.1:1080", "u", ""},
        {"u:p@192.0.2.1:1080", "v:q", "192.0.2.1:1080", "v", "q"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_endpoint endpoint, wanted = at(cases[i].address);
        struct sk_socks_account account;
        assert_int_equal(0, sk_proxy_parse(cases[i].text, cases[i].account, &endpoint, &account));
        assert_true(sk_endpoint_equal(&wanted, &endpoint));
        assert_string_equal(cases[i].user, account.user);
        assert_string_equal(cases[i].password, account.password);
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const texts[] = {
        "",
        "192.0.2.1",
        "192.0.2.1:0",
        "proxy.test:1080",
        "localhost",
        "localhost:",
        "localhostile:1080",
        "@192.0.2.1:1080",
        ":@192.0.2.1:1080",
        ":p@192.0.2.1:1080",
        "u:p@",
        "2001:db8::1:1080x",
        "socks5://192.0.2.1:1080",
    };
    struct sk_endpoint endpoint;
    struct sk_socks_account account;
    for (size_t i = 0; i < SK_ARRAY_LEN(texts); i++)
        assert_int_equal(SKEP_ERR_INVALID, sk_proxy_parse(texts[i], NULL, &endpoint, &account));
    char text[600];
    for (int too_long = 0; too_long < 2; too_long++) {
        snprintf(text, sizeof text, "u:%0*d@192.0.2.1:1080", SK_SOCKS_ACCOUNT_MAX + too_long, 0);
        assert_int_equal(too_long ? SKEP_ERR_INVALID : 0,
                         sk_proxy_parse(text, NULL, &endpoint, &account));
    }
    assert_int_equal(SKEP_ERR_INVALID, sk_proxy_parse("192.0.2.1:1", ":", &endpoint, &account));
}

static void drop_names(struct sk_proxy *proxy)
{
    for (size_t i = 0; i < proxy->names_count; i++)
        sk_mem_free(proxy->names[i].text);
    sk_mem_free(proxy->names);
}

static void test_aliases(void **state)
{
    struct sk_proxy proxy = {0};
    struct sk_endpoint a, b, again;
    assert_int_equal(0, sk_proxy_alias(&proxy, "a.test", &a));
    assert_int_equal(0, sk_proxy_alias(&proxy, "b.test", &b));
    assert_int_equal(0, sk_proxy_alias(&proxy, "a.test", &again));
    assert_true(sk_endpoint_equal(&a, &again) && !sk_endpoint_equal(&a, &b));
    assert_true(sk_endpoint_is_alias(&a));
    a.port = 6881;
    assert_string_equal("a.test", sk_proxy_name(&proxy, &a));
    assert_string_equal("b.test", sk_proxy_name(&proxy, &b));
    static const char *const others[] = {"240.0.0.0:1", "240.0.0.3:1", "10.0.0.1:1", "[::1]:1"};
    for (size_t i = 0; i < SK_ARRAY_LEN(others); i++) {
        struct sk_endpoint other = at(others[i]);
        assert_null(sk_proxy_name(&proxy, &other));
    }
    /* Only the user and we ourselves may point there. */
    assert_true(sk_endpoint_reachable_from(&a, SK_SCOPE_LOOPBACK));
    assert_false(sk_endpoint_reachable_from(&a, SK_SCOPE_PRIVATE));
    assert_false(sk_endpoint_reachable_from(&a, SK_SCOPE_PUBLIC));
    drop_names(&proxy);
}

static void test_names_are_bounded(void **state)
{
    struct sk_proxy proxy = {0};
    struct sk_endpoint alias;
    char name[SK_SOCKS_NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(SKEP_ERR_INVALID, sk_proxy_alias(&proxy, name, &alias));
    assert_int_equal(SKEP_ERR_INVALID, sk_proxy_alias(&proxy, "", &alias));
    for (int i = 0; i <= SK_PROXY_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "%d.test", i);
        assert_int_equal(i < SK_PROXY_NAMES_MAX ? 0 : SKEP_ERR_LIMIT,
                         sk_proxy_alias(&proxy, name, &alias));
    }
    assert_int_equal(0, sk_proxy_alias(&proxy, "0.test", &alias));
    drop_names(&proxy);
}

static void test_datagrams_of_names(void **state)
{
    struct sk_proxy proxy = {.state = SK_PROXY_UP};
    struct sk_endpoint alias, found, from = at("192.0.2.1:6969"), other = at("192.0.2.1:6970");
    uint8_t header[SK_SOCKS_HEADER_MAX];
    size_t i = 0;
    uint64_t now_ns = 1000 * SK_SECOND_NS;
    assert_int_equal(0, sk_proxy_alias(&proxy, "other.test", &alias));
    assert_int_equal(0, sk_proxy_alias(&proxy, "t.test", &alias));
    alias.port = 6969;
    assert_false(sk_proxy_next_alias(&proxy, &from, now_ns, &i, &found));
    assert_int_equal(13, sk_proxy_wrap(&proxy, &alias, now_ns, header));
    assert_memory_equal("\0\0\0\3\6t.test\x1b\x39", header, 13);
    assert_int_equal(10, sk_proxy_wrap(&proxy, &from, now_ns, header));
    assert_true(sk_proxy_next_alias(&proxy, &from, now_ns, (i = 0, &i), &found));
    assert_true(sk_endpoint_equal(&alias, &found));
    assert_false(sk_proxy_next_alias(&proxy, &from, now_ns, &i, &found));
    assert_false(sk_proxy_next_alias(&proxy, &other, now_ns, (i = 0, &i), &found));
    now_ns += 31 * SK_SECOND_NS;
    assert_false(sk_proxy_next_alias(&proxy, &from, now_ns, (i = 0, &i), &found));
    proxy.state = SK_PROXY_WAITING; /* nothing is sent to a relay of before */
    assert_int_equal(0, sk_proxy_wrap(&proxy, &from, now_ns, header));
    drop_names(&proxy);
}

static void on_found(void *ctx, uint64_t id, const struct sk_endpoint *found, size_t count,
                     const char *error)
{
    assert_int_equal(count == 0, error != NULL);
    *(struct sk_endpoint *)ctx = count ? *found : (struct sk_endpoint){0};
}

/* There is no channel that could ask a name server. */
static void test_nothing_is_looked_up(void **state)
{
    struct sk_proxy proxy = {0};
    struct sk_resolver resolver;
    struct sk_endpoint found, literal = at("192.0.2.1:1");
    sk_resolver_init_proxy(&resolver, &proxy);
    assert_null(resolver.channel);
    sk_resolver_lookup(&resolver, "peer.test", on_found, &found, 1);
    assert_string_equal("peer.test", sk_proxy_name(&proxy, &found));
    sk_resolver_lookup(&resolver, "192.0.2.1", on_found, &found, 1);
    assert_true(sk_endpoint_same_ip(&literal, &found));
    sk_resolver_lookup(&resolver, "", on_found, &found, 1);
    assert_int_equal(SK_FAMILY_NONE, found.family);
    sk_resolver_deinit(&resolver);
    drop_names(&proxy);
}

/* Addresses in disguise are told as what they are, for their scope to be judged. */
static void test_known_names(void **state)
{
    static const struct {
        const char *name, *address;
    } cases[] = {
        {"localhost", "127.0.0.1:1"},   {"LOCALHOST.", "127.0.0.1:1"},
        {"a.localhost", "127.0.0.1:1"}, {"127.0.0.1.", "127.0.0.1:1"},
        {"127.1", "127.0.0.1:1"},       {"2130706433", "127.0.0.1:1"},
        {"0x7f.0.0.1", "127.0.0.1:1"},  {"192.168.1.1..", "192.168.1.1:1"},
        {"notlocalhost", NULL},         {"localhost.test", NULL},
        {"127.0.0.1.test", NULL},       {"1.2.3.4.5", NULL},
    };
    struct sk_proxy proxy = {0};
    struct sk_resolver resolver;
    sk_resolver_init_proxy(&resolver, &proxy);
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_endpoint found, wanted;
        sk_resolver_lookup(&resolver, cases[i].name, on_found, &found, 1);
        if (cases[i].address) {
            wanted = at(cases[i].address);
            assert_true(sk_endpoint_same_ip(&wanted, &found));
        } else {
            assert_string_equal(cases[i].name, sk_proxy_name(&proxy, &found));
        }
    }
    drop_names(&proxy);
}

static void on_answer(void *ctx, uint64_t id, int status, struct sk_bytes body, const char *error)
{
    *(const char **)ctx = error;
}

/* No stranger's URL leads to this machine, or to a name by the number that we gave it. */
static void test_urls_of_strangers(void **state)
{
    static const char *const urls[] = {"http://localhost/",       "http://localhost.:8080/",
                                       "http://a.localhost/",     "http://127.0.0.1./",
                                       "http://192.168.1.1.:80/", "http://240.0.0.1:8080/"};
    const char *error = NULL;
    uv_loop_t loop;
    struct sk_proxy proxy = {.endpoint = at("127.0.0.1:1")};
    struct sk_resolver resolver;
    struct sk_endpoint alias;
    struct sk_http http;
    struct sk_http_config config = {.loop = &loop,
                                    .resolver = &resolver,
                                    .proxy = &proxy,
                                    .total_ms = 1000,
                                    .slow_s = 1,
                                    .fn = on_answer,
                                    .ctx = &error};
    uv_loop_init(&loop);
    sk_resolver_init_proxy(&resolver, &proxy);
    assert_int_equal(0, sk_proxy_alias(&proxy, "a.test", &alias));
    assert_int_equal(0, sk_http_init(&http, &config));
    for (size_t i = 0; i < SK_ARRAY_LEN(urls); i++) {
        error = NULL;
        sk_http_get(&http, i, urls[i], 100, SK_SCOPE_PUBLIC);
        assert_non_null(error);
        assert_string_equal("leads to an address that it may not name", error);
    }
    sk_http_get(&http, 100, "http://b.test/", 100, SK_SCOPE_PUBLIC);
    assert_int_equal(1, proxy.names_count); /* names in redirects could have no end */
    sk_http_deinit(&http);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(0, uv_loop_close(&loop));
    drop_names(&proxy);
}

/* A proxy that goes on talking once the association is there. */
static void *chatter(void *arg)
{
    static const uint8_t bound[] = {5, 0, 0, 1, 127, 0, 0, 1, 0, 9, 'x'};
    uint8_t bytes[10];
    int fd = accept(*(int *)arg, NULL, NULL);
    (void)recv(fd, bytes, 3, MSG_WAITALL);
    (void)send(fd, "\5", 2, MSG_NOSIGNAL);
    (void)recv(fd, bytes, sizeof bytes, MSG_WAITALL);
    (void)send(fd, bound, sizeof bound, MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void test_chatter(void **state)
{
    struct skep_runtime *runtime = calloc(1, sizeof *runtime);
    struct sk_proxy *proxy = &runtime->proxy;
    struct sk_socks_account nobody = {0};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sk_endpoint endpoint;
    socklen_t len = sizeof addr;
    pthread_t thread;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&addr, len));
    assert_int_equal(0, listen(fd, 1));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&addr, &len));
    assert_int_equal(0, sk_endpoint_from_sockaddr((struct sockaddr *)&addr, &endpoint));
    assert_int_equal(0, pthread_create(&thread, NULL, chatter, &fd));
    uv_loop_init(&runtime->loop);
    assert_int_equal(0, sk_proxy_open(proxy, runtime, &endpoint, &nobody, 0));
    for (int i = 0; i < 20 && proxy->state == SK_PROXY_UP; i++)
        uv_run(&runtime->loop, UV_RUN_ONCE);
    assert_int_equal(SK_PROXY_WAITING, proxy->state);
    assert_string_equal("it sends what nobody asked for", proxy->reason);
    sk_proxy_deinit(proxy);
    uv_run(&runtime->loop, UV_RUN_DEFAULT);
    assert_int_equal(0, uv_loop_close(&runtime->loop));
    pthread_join(thread, NULL);
    close(fd);
    free(runtime);
}

static void test_failures_have_names(void **state)
{
    static const struct {
        enum sk_socks_stage stage;
        enum sk_socks_failure failure;
        enum sk_conn_failure means;
    } cases[] = {
        {SK_SOCKS_FAILED, SK_SOCKS_REFUSED, SK_CONN_REFUSED},
        {SK_SOCKS_FAILED, SK_SOCKS_HOST_UNREACHABLE, SK_CONN_UNREACHABLE},
        {SK_SOCKS_FAILED, SK_SOCKS_GENERAL, SK_CONN_UNREACHABLE},
        {SK_SOCKS_FAILED, SK_SOCKS_TTL_EXPIRED, SK_CONN_TIMEOUT},
        {SK_SOCKS_FAILED, SK_SOCKS_ACCOUNT_REFUSED, SK_CONN_PROXY},
        {SK_SOCKS_FAILED, SK_SOCKS_UNKNOWN_REPLY, SK_CONN_PROXY},
        {SK_SOCKS_METHOD, SK_SOCKS_NO_FAILURE, SK_CONN_PROXY}, /* it hung up */
        {SK_SOCKS_REPLY, SK_SOCKS_NO_FAILURE, SK_CONN_UNREACHABLE},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_socks socks = {.stage = cases[i].stage, .failure = cases[i].failure};
        assert_int_equal(cases[i].means, sk_tcp_proxy_failure(&socks));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_names_are_bounded),
        cmocka_unit_test(test_datagrams_of_names),
        cmocka_unit_test(test_nothing_is_looked_up),
        cmocka_unit_test(test_known_names),
        cmocka_unit_test(test_urls_of_strangers),
        cmocka_unit_test(test_chatter),
        cmocka_unit_test(test_failures_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
