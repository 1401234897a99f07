#include "driver/proxy.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"
#include "driver/runtime.h"
#include "driver/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WAIT_FIRST_MS = 1000,
    WAIT_MAX_MS = 60000, /* between attempts, doubled from the first on */
};
#define NAME_ANSWERS_NS (30 * SK_SECOND_NS) /* answers for a name come within this */

/* ---- what the user says ---- */

static int parse_account(const char *text, size_t n, struct sk_socks_account *ret_account)
{
    const char *colon = memchr(text, ':', n);
    size_t user = colon ? (size_t)(colon - text) : n;
    size_t password = colon ? n - user - 1 : 0;
    if (user == 0 || user > SK_SOCKS_ACCOUNT_MAX || password > SK_SOCKS_ACCOUNT_MAX)
        return SKEP_ERR_INVALID;
    memset(ret_account, 0, sizeof *ret_account);
    memcpy(ret_account->user, text, user);
    if (colon)
        memcpy(ret_account->password, colon + 1, password);
    return 0;
}

int sk_proxy_parse(const char *text, const char *account, struct sk_endpoint *ret_endpoint,
                   struct sk_socks_account *ret_account)
{
    static const char local[] = "localhost:";
    const char *at = strrchr(text, '@');
    struct sk_socks_account said = {0};
    char host[SK_ENDPOINT_TEXT_MAX];
    if (at && parse_account(text, (size_t)(at - text), &said))
        return SKEP_ERR_INVALID;
    if (account && parse_account(account, strlen(account), &said))
        return SKEP_ERR_INVALID;
    text = at ? at + 1 : text;
    if (strncmp(text, local, sizeof local - 1) == 0) {
        snprintf(host, sizeof host, "127.0.0.1:%.20s", text + sizeof local - 1);
        text = host;
    }
    if (sk_endpoint_parse(text, 0, ret_endpoint) || ret_endpoint->port == 0)
        return SKEP_ERR_INVALID;
    *ret_account = said;
    return 0;
}

/* ---- names ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), length = strlen(end);
    return n >= length && strcasecmp(text + n - length, end) == 0;
}

bool sk_proxy_known(const char *name, struct sk_endpoint *ret_address)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    char text[SK_SOCKS_NAME_MAX + 1];
    struct in_addr addr;
    size_t n = strlen(name);
    while (n > 0 && name[n - 1] == '.')
        n--;
    if (n >= sizeof text)
        return false;
    memcpy(text, name, n);
    text[n] = 0;
    if (strcasecmp(text, "localhost") == 0 || ends_with(text, ".localhost"))
        *ret_address = sk_endpoint_v4(loopback, 0);
    else if (inet_aton(text, &addr))
        *ret_address = sk_endpoint_v4((const uint8_t *)&addr, 0);
    else
        return false;
    return true;
}

int sk_proxy_alias(struct sk_proxy *proxy, const char *name, struct sk_endpoint *ret_alias)
{
    size_t i = 0, n = strlen(name);
    if (n == 0 || n > SK_SOCKS_NAME_MAX)
        return SKEP_ERR_INVALID;
    while (i < proxy->names_count && strcmp(proxy->names[i].text, name) != 0)
        i++;
    if (i == SK_PROXY_NAMES_MAX)
        return SKEP_ERR_LIMIT;
    if (i == proxy->names_count) {
        struct sk_proxy_name *names = sk_mem_realloc(proxy->names, i + 1, sizeof *names);
        if (names)
            proxy->names = names;
        char *text = sk_mem_strdup(name);
        if (!names || !text) {
            sk_mem_free(text);
            return SKEP_ERR_NOMEM;
        }
        names[proxy->names_count++] = (struct sk_proxy_name){.text = text};
    }
    uint8_t addr[4];
    sk_put_u32(addr, SK_ENDPOINT_ALIAS_NET << 24 | (uint32_t)(i + 1));
    *ret_alias = sk_endpoint_v4(addr, 0);
    return 0;
}

static struct sk_proxy_name *find(const struct sk_proxy *proxy, const struct sk_endpoint *endpoint)
{
    if (!sk_endpoint_is_alias(endpoint))
        return NULL;
    size_t i = sk_get_u32(endpoint->addr) & 0xffffff;
    return i > 0 && i <= proxy->names_count ? &proxy->names[i - 1] : NULL;
}

const char *sk_proxy_name(const struct sk_proxy *proxy, const struct sk_endpoint *endpoint)
{
    const struct sk_proxy_name *name = find(proxy, endpoint);
    return name ? name->text : NULL;
}

size_t sk_proxy_wrap(struct sk_proxy *proxy, const struct sk_endpoint *to, uint64_t now_ns,
                     uint8_t *ret_header)
{
    if (proxy->state != SK_PROXY_UP)
        return 0;
    struct sk_proxy_name *name = find(proxy, to);
    if (name) {
        name->port = to->port;
        name->sent_ns = now_ns;
    }
    return sk_socks_write_header(to, name ? name->text : NULL, ret_header);
}

bool sk_proxy_next_alias(const struct sk_proxy *proxy, const struct sk_endpoint *from,
                         uint64_t now_ns, size_t *at, struct sk_endpoint *ret_alias)
{
    for (; *at < proxy->names_count; ++*at) {
        const struct sk_proxy_name *name = &proxy->names[*at];
        if (!name->sent_ns || name->port != from->port || now_ns > name->sent_ns + NAME_ANSWERS_NS)
            continue;
        uint8_t addr[4];
        sk_put_u32(addr, SK_ENDPOINT_ALIAS_NET << 24 | (uint32_t)++ * at);
        *ret_alias = sk_endpoint_v4(addr, from->port);
        return true;
    }
    return false;
}

/* ---- the association ---- */

static void on_timer(uv_timer_t *timer);

static void free_poll(uv_handle_t *handle)
{
    sk_mem_free(handle);
}

static void hang_up(struct sk_proxy *proxy)
{
    if (proxy->poll)
        uv_close((uv_handle_t *)proxy->poll, free_poll);
    proxy->poll = NULL;
    if (proxy->fd >= 0)
        close(proxy->fd);
    proxy->fd = -1;
    proxy->relay = (struct sk_endpoint){0};
}

/* Once it was up it is tried again for ever; before that it is the start, which ends. */
static void give_up(struct sk_proxy *proxy, const char *what, const char *why)
{
    snprintf(proxy->reason, sizeof proxy->reason, "%s%s", what, why);
    hang_up(proxy);
    uv_timer_stop(&proxy->timer);
    proxy->state = SK_PROXY_OFF;
    if (!proxy->wait_ms)
        return;
    proxy->state = SK_PROXY_WAITING;
    uv_timer_start(&proxy->timer, on_timer, proxy->wait_ms, 0);
    proxy->wait_ms = SK_MIN(proxy->wait_ms * 2, (uint64_t)WAIT_MAX_MS);
}

static void on_open(struct sk_proxy *proxy)
{
    struct sk_endpoint relay = proxy->socks.bound;
    static const uint8_t zeros[16];
    /* "Where you reached me" is what many mean by an address of zeros. */
    if (relay.family == SK_FAMILY_NONE || memcmp(relay.addr, zeros, sizeof relay.addr) == 0) {
        relay = proxy->endpoint;
        relay.port = proxy->socks.bound.port;
    }
    if (relay.family != proxy->endpoint.family || !relay.port) {
        give_up(proxy, "it names a relay that cannot be used", "");
        return;
    }
    proxy->relay = relay;
    proxy->state = SK_PROXY_UP;
    proxy->wait_ms = WAIT_FIRST_MS;
    uv_timer_stop(&proxy->timer);
}

/* Reads what the dialogue wants; once it is open nothing may come but its end. */
static bool take_input(struct sk_proxy *proxy)
{
    uint8_t bytes[SK_SOCKS_HEADER_MAX];
    size_t wanted = proxy->state == SK_PROXY_UP ? sizeof bytes : sk_socks_wanted(&proxy->socks);
    ssize_t n = recv(proxy->fd, bytes, wanted, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        give_up(proxy, "it hung up", "");
        return false;
    }
    if (proxy->state == SK_PROXY_UP) { /* reading it for ever could take all our time */
        give_up(proxy, "it sends what nobody asked for", "");
        return false;
    }
    sk_socks_input(&proxy->socks, sk_bytes(bytes, (size_t)n));
    return true;
}

static void talk(struct sk_proxy *proxy)
{
    do {
        struct sk_bytes out = sk_socks_output(&proxy->socks);
        ssize_t n = out.n ? send(proxy->fd, out.p, out.n, MSG_NOSIGNAL) : 0;
        if (n > 0)
            sk_socks_sent(&proxy->socks, (size_t)n);
        if (!take_input(proxy))
            return;
        if (proxy->socks.stage == SK_SOCKS_FAILED)
            give_up(proxy, "it ", sk_socks_failure_text(proxy->socks.failure));
        else if (proxy->socks.stage == SK_SOCKS_OPEN && proxy->state == SK_PROXY_TALKING)
            on_open(proxy);
    } while (proxy->state == SK_PROXY_TALKING);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct sk_proxy *proxy = poll->data;
    int error = 0;
    socklen_t len = sizeof error;
    if (proxy->state == SK_PROXY_DIALING) {
        if (getsockopt(proxy->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
            give_up(proxy, "", strerror(error));
            return;
        }
        proxy->state = SK_PROXY_TALKING;
        uv_poll_start(proxy->poll, UV_READABLE, on_events);
    }
    talk(proxy);
}

static int begin(struct sk_proxy *proxy)
{
    struct skep_runtime *runtime = proxy->runtime;
    struct sockaddr_storage addr;
    socklen_t len = sk_endpoint_to_sockaddr(&proxy->endpoint, &addr);
    proxy->fd = sk_socket_dial(&runtime->bind, proxy->endpoint.family);
    if (proxy->fd < 0)
        return proxy->fd;
    (void)sk_socks_init(&proxy->socks, SK_SOCKS_ASSOCIATE, &proxy->endpoint, NULL, &proxy->account);
    if (connect(proxy->fd, (struct sockaddr *)&addr, len) != 0 && errno != EINPROGRESS)
        return -errno;
    proxy->poll = sk_mem_calloc(1, sizeof *proxy->poll);
    if (!proxy->poll)
        return -ENOMEM;
    if (uv_poll_init(&runtime->loop, proxy->poll, proxy->fd) != 0) {
        sk_mem_free(proxy->poll);
        proxy->poll = NULL;
        return -ENOMEM;
    }
    proxy->poll->data = proxy;
    uv_poll_start(proxy->poll, UV_WRITABLE, on_events);
    uv_timer_start(&proxy->timer, on_timer, proxy->patience_ms, 0);
    proxy->state = SK_PROXY_DIALING;
    return 0;
}

static void try(struct sk_proxy *proxy)
{
    int err = begin(proxy);
    if (err)
        give_up(proxy, "", strerror(-err));
}

static void on_timer(uv_timer_t *timer)
{
    struct sk_proxy *proxy = timer->data;
    if (proxy->state == SK_PROXY_WAITING)
        try(proxy);
    else
        give_up(proxy, "it does not answer", "");
}

int sk_proxy_open(struct sk_proxy *proxy, struct skep_runtime *runtime,
                  const struct sk_endpoint *endpoint, const struct sk_socks_account *account,
                  uint64_t patience_ms)
{
    *proxy =
        (struct sk_proxy){.runtime = runtime, .endpoint = *endpoint, .account = *account, .fd = -1};
    uv_timer_init(&runtime->loop, &proxy->timer);
    proxy->timer.data = proxy;
    proxy->patience_ms =
        patience_ms ? SK_MIN(patience_ms, (uint64_t)SK_PROXY_PATIENCE_MS) : SK_PROXY_PATIENCE_MS;
    try(proxy);
    while (proxy->state == SK_PROXY_DIALING || proxy->state == SK_PROXY_TALKING)
        uv_run(&runtime->loop, UV_RUN_ONCE);
    proxy->patience_ms = SK_PROXY_PATIENCE_MS; /* with later attempts nobody waits */
    /* It understood us and let us in, and does not want to relay datagrams. */
    bool refused =
        proxy->socks.stage == SK_SOCKS_FAILED && proxy->socks.failure <= SK_SOCKS_NO_ADDRESS_TYPE;
    bool odd_relay = proxy->socks.stage == SK_SOCKS_OPEN;
    bool hung_up = proxy->socks.stage == SK_SOCKS_REPLY; /* OpenSSH's way to refuse */
    return proxy->state == SK_PROXY_UP || refused || odd_relay || hung_up ? 0 : SKEP_ERR_NETWORK;
}

void sk_proxy_deinit(struct sk_proxy *proxy)
{
    if (!proxy->runtime)
        return;
    hang_up(proxy);
    uv_close((uv_handle_t *)&proxy->timer, NULL);
    for (size_t i = 0; i < proxy->names_count; i++)
        sk_mem_free(proxy->names[i].text);
    sk_mem_free(proxy->names);
    explicit_bzero(&proxy->account, sizeof proxy->account);
    proxy->names = NULL;
    proxy->names_count = 0;
    proxy->runtime = NULL;
}
