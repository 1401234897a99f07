/*
 * An HTTP server of a test whose paths say what it does, and the driver's client beside it.
 */
#ifndef SK_TEST_HTTP_WORLD_H
#define SK_TEST_HTTP_WORLD_H

#include "driver/http.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "sandbox.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { TOTAL_MS = 5000, SLOW_S = 2, BODY_MAX = 100000 };

static bool in_sandbox;

struct act {
    const char *path;
    void (*act)(int fd);
};

/* ---- the server: what it does is in the path ---- */

static struct {
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic unsigned requests, closed; /* connections that it ended */
    char last[2048];
    struct sk_endpoint client;
    const struct act *acts;
    size_t acts_count;
} server;

static inline void say(int fd, const void *p, size_t n)
{
    for (const char *at = p; n;) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        n -= (size_t)sent;
    }
}

__attribute__((format(printf, 2, 3))) static inline void sayf(int fd, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(fd, text, (size_t)n);
}

/* Whether the client is still there after so many milliseconds. */
static inline bool pause_ms(int fd, int ms)
{
    struct pollfd client = {.fd = fd, .events = POLLRDHUP};
    return poll(&client, 1, ms) == 0 && !server.stopping;
}

#define REDIRECT "HTTP/1.1 302 Found\r\nContent-Length: 6\r\nLocation: "

static inline void answer(int fd)
{
    size_t n = 0;
    char path[64] = "";
    while (n < sizeof server.last - 1) {
        ssize_t got = recv(fd, server.last + n, sizeof server.last - 1 - n, 0);
        if (got <= 0)
            return;
        n += (size_t)got;
        server.last[n] = 0;
        if (strstr(server.last, "\r\n\r\n"))
            break;
    }
    server.requests++;
    sscanf(server.last, "GET %63[^ ?]", path);
    for (size_t i = 0; i < server.acts_count; i++)
        if (strcmp(server.acts[i].path, path) == 0)
            server.acts[i].act(fd);
}

static inline void *serve(void *arg)
{
    while (!server.stopping) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        int fd = accept(server.fd, (struct sockaddr *)&from, &len);
        if (fd < 0)
            continue;
        sk_endpoint_from_sockaddr((struct sockaddr *)&from, &server.client);
        answer(fd);
        shutdown(fd, SHUT_WR);
        close(fd);
        server.closed++;
    }
    return NULL;
}

static inline int start_server(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    addr.sin_addr.s_addr = htonl(in_sandbox ? INADDR_ANY : INADDR_LOOPBACK);
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server.fd, (struct sockaddr *)&addr, len) != 0 || listen(server.fd, 100) != 0 ||
        getsockname(server.fd, (struct sockaddr *)&addr, &len) != 0)
        return -1;
    server.port = ntohs(addr.sin_port);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static inline int stop_server(void **state)
{
    server.stopping = true;
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    return 0;
}

/* ---- the client ---- */

struct fixture {
    uv_loop_t loop;
    struct sk_resolver resolver;
    struct sk_http http;
    unsigned answers, requests_before;
    uint64_t id;
    int status;
    uint8_t body[BODY_MAX];
    size_t n;
    char error[128];
    /* Of a range: */
    unsigned heads, parts, fed;
    struct sk_webseed_head head;
    char url[256];
    uint64_t got;
    bool pauses; /* after each part */
};

static inline void on_http(void *ctx, uint64_t id, int status, struct sk_bytes body,
                           const char *error)
{
    struct fixture *f = ctx;
    assert_true((status == 0) == (error != NULL));
    f->answers++;
    f->id = id;
    f->status = status;
    f->n = body.n;
    assert_true(body.n <= sizeof f->body);
    if (body.n)
        memcpy(f->body, body.p, body.n);
    snprintf(f->error, sizeof f->error, "%s", error ? error : "");
}

static inline void on_head(void *ctx, uint64_t id, const struct sk_webseed_head *head)
{
    struct fixture *f = ctx;
    assert_int_equal(0, f->got);
    f->heads++;
    f->head = *head;
    snprintf(f->url, sizeof f->url, "%s", head->url);
}

static inline bool on_data(void *ctx, uint64_t id, struct sk_bytes bytes)
{
    struct fixture *f = ctx;
    assert_int_equal(1, f->heads);
    f->parts++;
    f->got += bytes.n;
    return !f->pauses;
}

static inline void on_fed(void *ctx)
{
    struct fixture *f = ctx;
    f->fed++;
}

static inline void begin(struct fixture *f, const char *bind)
{
    struct sk_endpoint own = {0};
    memset(f, 0, sizeof *f);
    if (bind)
        assert_int_equal(0, sk_endpoint_parse(bind, 1, &own));
    uv_loop_init(&f->loop);
    assert_int_equal(0, sk_resolver_init(&f->resolver, &f->loop, &own, NULL));
    struct sk_http_config config = {.loop = &f->loop,
                                    .resolver = &f->resolver,
                                    .bind = own,
                                    .total_ms = TOTAL_MS,
                                    .slow_s = SLOW_S,
                                    .fn = on_http,
                                    .head = on_head,
                                    .data = on_data,
                                    .fed = on_fed,
                                    .ctx = f};
    assert_int_equal(0, sk_http_init(&f->http, &config));
}

static inline int setup(void **state)
{
    struct fixture *f = malloc(sizeof *f);
    begin(f, NULL);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    sk_http_deinit(&f->http);
    sk_resolver_deinit(&f->resolver);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    int busy = uv_loop_close(&f->loop);
    free(f);
    return busy;
}

#endif
