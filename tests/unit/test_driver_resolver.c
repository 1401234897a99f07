/* The driver's resolver, against a name server of its own on loopback. */
#include "driver/resolver.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "sandbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct sk_endpoint anywhere;

/* ---- a name server: "two.test" has addresses, "many.test" too many, "mute.test" no answer ---- */

static struct {
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic unsigned questions;
    struct sk_endpoint asker;
} server;

struct record {
    uint16_t type;
    uint8_t addr[16];
    size_t n;
};

static size_t put_answers(uint8_t *packet, size_t n, const struct record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sk_put_u16(packet + n, 0xc00c);
        sk_put_u16(packet + n + 2, records[i].type);
        sk_put_u16(packet + n + 4, 1);
        sk_put_u32(packet + n + 6, 60);
        sk_put_u16(packet + n + 10, (uint16_t)records[i].n);
        memcpy(packet + n + 12, records[i].addr, records[i].n);
        n += 12 + records[i].n;
    }
    sk_put_u16(packet + 6, (uint16_t)count);
    return n;
}

/* The length of the answer, made in place; 0 for none. */
static size_t answer(uint8_t *packet, size_t n)
{
    static const struct record v4[] = {{1, {10, 1, 2, 3}, 4}, {1, {10, 1, 2, 4}, 4}};
    static const struct record v6[] = {{28, {0xfd, [15] = 9}, 16}};
    struct record many[20];
    const char *name = (const char *)packet + 12;
    size_t end = 12 + strlen(name) + 1 + 4; /* labels end in 0, then type and class */
    uint16_t type = sk_get_u16(packet + end - 4);
    if (end > n || strstr(name, "mute"))
        return 0;
    bool two = strstr(name, "two"), lots = strstr(name, "many");
    sk_put_u16(packet + 2, two || lots ? 0x8180 : 0x8183);
    memset(packet + 6, 0, 6);
    for (uint8_t i = 0; i < 20; i++)
        many[i] = (struct record){1, {10, 9, 9, i}, 4};
    if (two && type == 28)
        return put_answers(packet, end, v6, 1);
    if (two)
        return put_answers(packet, end, v4, 2);
    return lots && type == 1 ? put_answers(packet, end, many, 20) : end;
}

static void *serve(void *arg)
{
    uint8_t packet[1024];
    for (;;) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(server.fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &len);
        if (n <= 12)
            return NULL;
        server.questions++;
        sk_endpoint_from_sockaddr((struct sockaddr *)&from, &server.asker);
        size_t size = answer(packet, (size_t)n);
        if (size)
            sendto(server.fd, packet, size, 0, (struct sockaddr *)&from, len);
    }
}

static int start_server(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    server.fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(server.fd, (struct sockaddr *)&addr, len) != 0 ||
        getsockname(server.fd, (struct sockaddr *)&addr, &len) != 0)
        return -1;
    server.port = ntohs(addr.sin_port);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(server.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sendto(server.fd, "", 0, 0, (struct sockaddr *)&addr, sizeof addr);
    pthread_join(server.thread, NULL);
    close(server.fd);
    return 0;
}

/* ---- the resolver ---- */

struct fixture {
    uv_loop_t loop;
    struct sk_resolver resolver;
    unsigned answers;
    uint64_t id;
    struct sk_endpoint found[16];
    size_t count;
    char error[64];
};

static void on_found(void *ctx, uint64_t id, const struct sk_endpoint *found, size_t count,
                     const char *error)
{
    struct fixture *f = ctx;
    f->answers++;
    f->id = id;
    f->count = count;
    assert_true(count <= SK_ARRAY_LEN(f->found));
    assert_true((count == 0) == (error != NULL));
    if (count)
        memcpy(f->found, found, count * sizeof *found);
    snprintf(f->error, sizeof f->error, "%s", error ? error : "");
}

static void begin(struct fixture *f, const struct sk_endpoint *bind)
{
    char servers[40];
    memset(f, 0, sizeof *f);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", server.port);
    uv_loop_init(&f->loop);
    assert_int_equal(0, sk_resolver_init(&f->resolver, &f->loop, bind, servers));
}

static void end(struct fixture *f)
{
    sk_resolver_deinit(&f->resolver);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(0, uv_loop_close(&f->loop));
}

static void look_up(struct fixture *f, const char *name)
{
    unsigned before = f->answers;
    sk_resolver_lookup(&f->resolver, name, on_found, f, 77);
    while (f->answers == before)
        assert_true(uv_run(&f->loop, UV_RUN_ONCE) || f->answers != before);
    assert_int_equal(before + 1, f->answers);
    assert_int_equal(77, f->id);
}

static void assert_found(const struct fixture *f, size_t i, const char *text)
{
    char buffer[SK_ENDPOINT_TEXT_MAX];
    assert_true(i < f->count);
    assert_int_equal(0, f->found[i].port);
    assert_string_equal(text, sk_endpoint_ip_text(&f->found[i], buffer));
}

static void test_literals_at_once(void **state)
{
    static const char *const texts[][2] = {{"192.0.2.7", "192.0.2.7"},
                                           {"2001:db8::1", "2001:db8::1"},
                                           {"[2001:db8::1]", "2001:db8::1"}};
    struct fixture f;
    begin(&f, &anywhere);
    for (unsigned i = 0; i < SK_ARRAY_LEN(texts); i++) {
        sk_resolver_lookup(&f.resolver, texts[i][0], on_found, &f, i);
        assert_int_equal(i + 1, f.answers);
        assert_int_equal(1, f.count);
        assert_found(&f, 0, texts[i][1]);
    }
    end(&f);
}

static void test_localhost_asks_nobody(void **state)
{
    struct fixture f;
    unsigned before = server.questions;
    begin(&f, &anywhere);
    look_up(&f, "localhost");
    assert_found(&f, 0, "127.0.0.1");
    for (size_t i = 0; i < f.count; i++)
        assert_int_equal(SK_SCOPE_LOOPBACK, sk_endpoint_scope(&f.found[i]));
    assert_int_equal(before, server.questions);
    end(&f);
}

/* Some name of /etc/hosts with an IPv4 address that is not localhost. */
static bool hosts_entry(char ip[64], char name[64])
{
    FILE *file = fopen("/etc/hosts", "r");
    char line[256];
    bool got = false;
    while (file && !got && fgets(line, sizeof line, file))
        got = sscanf(line, "%63[0-9.] %63s", ip, name) == 2 && strncmp(name, "localhost", 9) != 0;
    if (file)
        fclose(file);
    return got;
}

static void test_hosts_file(void **state)
{
    struct fixture f;
    char ip[64], name[64];
    if (!hosts_entry(ip, name))
        skip();
    unsigned before = server.questions;
    struct sk_endpoint v4_only;
    assert_int_equal(0, sk_endpoint_parse("127.0.0.1", 1, &v4_only));
    begin(&f, &v4_only);
    look_up(&f, name);
    assert_true(f.count > 0);
    assert_int_equal(before, server.questions);
    end(&f);
}

static void test_asks_the_name_server(void **state)
{
    struct fixture f;
    begin(&f, &anywhere);
    look_up(&f, "two.test");
    assert_int_equal(3, f.count);
    assert_found(&f, 0, "10.1.2.3");
    assert_found(&f, 1, "10.1.2.4");
    assert_found(&f, 2, "fd00::9");
    end(&f);
}

static void test_missing_name(void **state)
{
    struct fixture f;
    begin(&f, &anywhere);
    look_up(&f, "nothing-of-this-name.test");
    assert_int_equal(0, f.count);
    assert_string_equal("name not found", f.error);
    end(&f);
}

static void test_no_name(void **state)
{
    struct fixture f;
    char long_name[400];
    memset(long_name, 'a', sizeof long_name);
    long_name[399] = 0;
    begin(&f, &anywhere);
    const char *const names[] = {"", "..", "a..b", long_name};
    for (unsigned i = 0; i < SK_ARRAY_LEN(names); i++) {
        look_up(&f, names[i]);
        assert_int_equal(0, f.count);
    }
    end(&f);
}

static void test_answer_is_bounded(void **state)
{
    struct fixture f;
    begin(&f, &anywhere);
    look_up(&f, "many.test");
    assert_int_equal(SK_RESOLVER_ADDRESSES_MAX, f.count);
    end(&f);
}

static void test_obeys_bind(void **state)
{
    struct fixture f;
    char buffer[SK_ENDPOINT_TEXT_MAX];
    struct sk_endpoint bind_to;
    assert_int_equal(0, sk_endpoint_parse("127.0.0.9", 1, &bind_to));
    begin(&f, &bind_to);
    look_up(&f, "two.test");
    assert_string_equal("127.0.0.9", sk_endpoint_ip_text(&server.asker, buffer));
    assert_int_equal(2, f.count); /* and only of the family that can be reached */
    end(&f);
}

/* Bound to IPv6, an IPv4 name server is out of reach: no question leaves by another address. */
static void test_bind_is_fail_closed(void **state)
{
    struct fixture f;
    struct sk_endpoint bind_to;
    unsigned before = server.questions;
    assert_int_equal(0, sk_endpoint_parse("::1", 1, &bind_to));
    begin(&f, &bind_to);
    look_up(&f, "two.test");
    assert_int_equal(0, f.count);
    assert_int_equal(before, server.questions);
    end(&f);
}

static void test_end_with_questions_under_way(void **state)
{
    struct fixture f;
    begin(&f, &anywhere);
    sk_resolver_lookup(&f.resolver, "mute.test", on_found, &f, 1);
    sk_resolver_lookup(&f.resolver, "mute2.test", on_found, &f, 2);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(0, f.answers);
    end(&f);
    assert_int_equal(2, f.answers);
    assert_int_equal(0, f.count);
}

static void test_refuses_bad_servers(void **state)
{
    struct fixture f;
    memset(&f, 0, sizeof f);
    uv_loop_init(&f.loop);
    assert_int_equal(SKEP_ERR_INVALID,
                     sk_resolver_init(&f.resolver, &f.loop, &anywhere, "no server"));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_at_once),
        cmocka_unit_test(test_localhost_asks_nobody),
        cmocka_unit_test(test_hosts_file),
        cmocka_unit_test(test_asks_the_name_server),
        cmocka_unit_test(test_missing_name),
        cmocka_unit_test(test_no_name),
        cmocka_unit_test(test_answer_is_bounded),
        cmocka_unit_test(test_obeys_bind),
        cmocka_unit_test(test_bind_is_fail_closed),
        cmocka_unit_test(test_end_with_questions_under_way),
        cmocka_unit_test(test_refuses_bad_servers),
    };
    sandbox_enter(); /* welcome, not needed */
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
