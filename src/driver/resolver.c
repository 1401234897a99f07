#include "driver/resolver.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "driver/socket.h"

#include <ares.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    TRY_MS = 2000, /* of one question to one server, doubled with each round */
    TRIES = 2,
};

struct sk_resolver_poll {
    uv_poll_t poll;
    struct sk_resolver *resolver;
    ares_socket_t fd;
    struct sk_resolver_poll *next;
};

struct lookup {
    sk_resolver_fn fn;
    void *ctx;
    uint64_t id;
};

static void on_timer(uv_timer_t *timer);

/* c-ares may want to be woken by time alone, to repeat a question or give up. */
static void arm(struct sk_resolver *resolver)
{
    struct timeval wait;
    if (ares_timeout(resolver->channel, NULL, &wait))
        uv_timer_start(&resolver->timer, on_timer,
                       (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000 + 1, 0);
    else
        uv_timer_stop(&resolver->timer);
}

static void on_timer(uv_timer_t *timer)
{
    struct sk_resolver *resolver = timer->data;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(resolver);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct sk_resolver_poll *poll = handle->data;
    struct sk_resolver *resolver = poll->resolver;
    ares_socket_t fd = poll->fd;
    bool readable = status < 0 || events & UV_READABLE;
    bool writable = status < 0 || events & UV_WRITABLE;
    ares_process_fd(resolver->channel, readable ? fd : ARES_SOCKET_BAD,
                    writable ? fd : ARES_SOCKET_BAD);
    arm(resolver);
}

static void free_poll(uv_handle_t *handle)
{
    sk_mem_free(handle->data);
}

static void unwatch(struct sk_resolver_poll **link)
{
    struct sk_resolver_poll *poll = *link;
    *link = poll->next;
    uv_close((uv_handle_t *)&poll->poll, free_poll);
}

/* c-ares tells which of its sockets it waits for. A socket that cannot be watched times out. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct sk_resolver *resolver = data;
    struct sk_resolver_poll **link = &resolver->polls;
    while (*link && (*link)->fd != fd)
        link = &(*link)->next;
    if (!readable && !writable) {
        if (*link)
            unwatch(link);
        return;
    }
    if (!*link) {
        struct sk_resolver_poll *poll = sk_mem_calloc(1, sizeof *poll);
        if (!poll)
            return;
        if (uv_poll_init(resolver->loop, &poll->poll, fd) != 0) {
            sk_mem_free(poll);
            return;
        }
        poll->poll.data = poll;
        poll->resolver = resolver;
        poll->fd = fd;
        *link = poll;
    }
    uv_poll_start(&(*link)->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                  on_ready);
}

/* Name servers of the other family than the bind address are out of reach: fail-closed. */
static int on_socket_made(ares_socket_t fd, int type, void *data)
{
    const struct sk_resolver *resolver = data;
    int af = 0;
    socklen_t len = sizeof af;
    if (resolver->bind.family == SK_FAMILY_NONE)
        return 0;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &af, &len) == 0 &&
                   af == sk_socket_af(resolver->bind.family)
               ? 0
               : -1;
}

static size_t collect(const struct ares_addrinfo *result, enum sk_family family, size_t count,
                      struct sk_endpoint *found)
{
    for (const struct ares_addrinfo_node *node = result->nodes;
         node && count < SK_RESOLVER_ADDRESSES_MAX; node = node->ai_next) {
        struct sk_endpoint endpoint;
        if (sk_endpoint_from_sockaddr(node->ai_addr, &endpoint) != 0 || endpoint.family != family)
            continue;
        endpoint.port = 0;
        found[count++] = endpoint;
    }
    return count;
}

static const char *error_text(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
        return "name not found";
    case ARES_EBADNAME:
        return "not a host name";
    case ARES_ETIMEOUT:
        return "name servers do not answer";
    case ARES_ECONNREFUSED:
        return "no name server can be reached";
    default:
        return "name look-up failed";
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
    struct lookup lookup = *(struct lookup *)arg;
    struct sk_endpoint found[SK_RESOLVER_ADDRESSES_MAX];
    size_t count = 0;
    sk_mem_free(arg);
    if (status == ARES_SUCCESS && result) {
        count = collect(result, SK_FAMILY_V4, count, found);
        count = collect(result, SK_FAMILY_V6, count, found);
        status = count ? status : ARES_ENODATA;
    }
    ares_freeaddrinfo(result);
    lookup.fn(lookup.ctx, lookup.id, found, count, count ? NULL : error_text(status));
}

void sk_resolver_lookup(struct sk_resolver *resolver, const char *name, sk_resolver_fn fn,
                        void *ctx, uint64_t id)
{
    struct sk_endpoint literal;
    if (sk_endpoint_parse(name, 1, &literal) == 0) {
        literal.port = 0;
        fn(ctx, id, &literal, 1, NULL);
        return;
    }
    if (resolver->proxy && sk_proxy_known(name, &literal)) {
        fn(ctx, id, &literal, 1, NULL);
        return;
    }
    if (resolver->proxy) {
        int err = sk_proxy_alias(resolver->proxy, name, &literal);
        fn(ctx, id, &literal, !err, err ? "not a name that the proxy can be asked for" : NULL);
        return;
    }
    struct lookup *lookup = sk_mem_alloc(sizeof *lookup);
    if (!lookup) {
        fn(ctx, id, NULL, 0, "out of memory");
        return;
    }
    *lookup = (struct lookup){.fn = fn, .ctx = ctx, .id = id};
    /* Sorting would open unbound sockets to try routes. */
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT,
        .ai_family = resolver->bind.family == SK_FAMILY_NONE ? AF_UNSPEC
                                                             : sk_socket_af(resolver->bind.family),
        .ai_socktype = SOCK_STREAM,
    };
    ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_answer, lookup);
    arm(resolver);
}

static void set_bind(struct sk_resolver *resolver)
{
    if (resolver->bind.family == SK_FAMILY_V4)
        ares_set_local_ip4(resolver->channel, sk_get_u32(resolver->bind.addr));
    else if (resolver->bind.family == SK_FAMILY_V6)
        ares_set_local_ip6(resolver->channel, resolver->bind.addr);
    ares_set_socket_configure_callback(resolver->channel, on_socket_made, resolver);
}

int sk_resolver_init(struct sk_resolver *resolver, uv_loop_t *loop, const struct sk_endpoint *bind,
                     const char *servers)
{
    *resolver = (struct sk_resolver){.loop = loop, .bind = *bind};
    struct ares_options options = {.timeout = TRY_MS,
                                   .tries = TRIES,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = resolver};
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return SKEP_ERR_NETWORK;
    int status = ares_init_options(&resolver->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        resolver->channel = NULL;
        ares_library_cleanup();
        return status == ARES_ENOMEM ? SKEP_ERR_NOMEM : SKEP_ERR_NETWORK;
    }
    uv_timer_init(loop, &resolver->timer);
    resolver->timer.data = resolver;
    set_bind(resolver);
    if (servers && ares_set_servers_ports_csv(resolver->channel, servers) != ARES_SUCCESS)
        return SKEP_ERR_INVALID;
    return 0;
}

void sk_resolver_init_proxy(struct sk_resolver *resolver, struct sk_proxy *proxy)
{
    *resolver = (struct sk_resolver){.proxy = proxy};
}

void sk_resolver_deinit(struct sk_resolver *resolver)
{
    if (!resolver->channel)
        return;
    ares_destroy(resolver->channel);
    resolver->channel = NULL;
    while (resolver->polls)
        unwatch(&resolver->polls);
    uv_close((uv_handle_t *)&resolver->timer, NULL);
    ares_library_cleanup();
}
