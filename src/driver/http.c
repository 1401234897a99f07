#include "driver/http.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "driver/socket.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum {
    CONNECT_MS = 10000, /* to one of several addresses */
    SLOW_BYTES_S = 10,
    SLOW_RANGE_BYTES_S = 1000,
    RANGE_BUFFER_BYTES = 128 << 10, /* read at a time: small enough to stay in the cache */
    RANGE_CONNECTIONS_MAX = 16,     /* kept for the next range */
};

struct sk_http_request {
    struct sk_http *http;
    struct sk_http_request *next;
    unsigned holds; /* the list's, the timer's, the resolver's */
    bool over;      /* done or cancelled */
    uint64_t id;
    uv_timer_t timer; /* total time */
    CURL *easy;
    struct curl_slist *connect_to;
    char *url;
    char *host;
    struct sk_buf body;
    size_t header_bytes;
    unsigned encodings, redirects;
    enum sk_scope scope;
    bool any_port;
    bool by_name; /* this hop's host is a name that the proxy looks up; it has no address here */
    uint16_t port;
    struct sk_endpoint addresses[SK_RESOLVER_ADDRESSES_MAX];
    size_t addresses_count, at;
    const char *refused; /* why we broke off */
    /* Of a range: */
    uint64_t from, length; /* 0: none, but the whole */
    uint64_t first, total; /* of this hop's Content-Range */
    uint64_t ignored;      /* bytes of a body that is of no use */
    bool told;             /* its head */
};

struct sk_http_socket {
    uv_poll_t poll;
    struct sk_http *http;
    curl_socket_t fd;
};

static void start_hop(struct sk_http_request *request);

/* ---- life of a request ---- */

static void release(struct sk_http_request *request)
{
    if (--request->holds == 0)
        sk_mem_free(request);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

/* Takes it off everything but the hold that the caller must release. */
static void end(struct sk_http_request *request)
{
    struct sk_http_request **link = &request->http->requests;
    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    request->over = true;
    if (request->easy) {
        curl_multi_remove_handle(request->http->multi, request->easy);
        curl_easy_cleanup(request->easy);
    }
    curl_slist_free_all(request->connect_to);
    curl_free(request->host);
    sk_mem_free(request->url);
    uv_close((uv_handle_t *)&request->timer, on_timer_closed);
}

static void cancel(struct sk_http_request *request)
{
    end(request);
    sk_buf_deinit(&request->body);
    release(request);
}

static void finish(struct sk_http_request *request, int status, const char *error)
{
    const struct sk_http_config *config = &request->http->config;
    end(request);
    config->fn(config->ctx, request->id, status,
               status ? sk_buf_bytes(&request->body) : sk_bytes(NULL, 0), status ? NULL : error);
    sk_buf_deinit(&request->body);
    release(request);
}

static void on_total_time(uv_timer_t *timer)
{
    finish(timer->data, 0, "timed out");
}

/* ---- what libcurl may do ---- */

static size_t refuse(struct sk_http_request *request, const char *why)
{
    request->refused = why;
    return 0;
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The head of the last hop, once. */
static void tell_head(struct sk_http_request *request, long status)
{
    const struct sk_http_config *config = &request->http->config;
    curl_off_t length = -1, retry_after_s = 0;
    if (request->told)
        return;
    request->told = true;
    uv_timer_stop(&request->timer); /* from now on it has to be fast enough, no more */
    curl_easy_getinfo(request->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    struct sk_webseed_head head = {
        .status = (int)status,
        .first = request->first,
        .total = request->total,
        .length = length < 0 ? SK_WEBSEED_UNKNOWN : (uint64_t)length,
        .retry_after_s = (uint32_t)SK_MIN(SK_MAX(retry_after_s, 0), UINT32_MAX),
        .moved = request->redirects > 0,
        .url = request->url,
        .scope = request->scope,
    };
    config->head(config->ctx, request->id, &head);
}

static size_t on_range(struct sk_http_request *request, const char *bytes, size_t n)
{
    const struct sk_http_config *config = &request->http->config;
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!is_redirect(status))
        tell_head(request, status);
    if (status == 200 || status == 206) {
        if (!config->data(config->ctx, request->id, sk_bytes(bytes, n)))
            curl_easy_pause(request->easy, CURLPAUSE_RECV);
        return n;
    }
    request->ignored += n;
    return request->ignored > SK_HTTP_ERROR_BYTES_MAX ? refuse(request, "answer too large") : n;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct sk_http_request *request = data;
    if (request->length)
        return on_range(request, bytes, size * count);
    int err = sk_buf_append(&request->body, bytes, size * count);
    if (err)
        return refuse(request, err == SKEP_ERR_LIMIT ? "answer too large" : "out of memory");
    return size * count;
}

/* Where a header begins with this name (small letters and a colon), its value; else NULL. */
static const char *value_of(const char *bytes, size_t n, const char *name)
{
    size_t length = strlen(name);
    return n > length && strncasecmp(bytes, name, length) == 0 ? bytes + length : NULL;
}

/* "bytes 0-99/200": the last may be a star. */
static void read_content_range(struct sk_http_request *request, const char *value, size_t n)
{
    char text[96];
    unsigned long long first, last, total;
    snprintf(text, sizeof text, "%.*s", (int)SK_MIN(n, sizeof text - 1), value);
    int found = sscanf(text, " bytes %20llu-%20llu/%20llu", &first, &last, &total);
    request->first = found >= 2 ? first : SK_WEBSEED_UNKNOWN;
    request->total = found == 3 ? total : SK_WEBSEED_UNKNOWN;
}

/* One layer of compression: layers on layers would cost time that no limit on the result shows. */
static size_t on_header(char *bytes, size_t size, size_t count, void *data)
{
    struct sk_http_request *request = data;
    size_t n = size * count;
    request->header_bytes += n;
    if (request->header_bytes > SK_HTTP_HEADER_BYTES_MAX)
        return refuse(request, "header too large");
    const char *value = value_of(bytes, n, "content-encoding:");
    if (value && request->length)
        return refuse(request, "compressed, though nobody asked for it");
    if (value && (++request->encodings > 1 || memchr(bytes, ',', n)))
        return refuse(request, "compressed more than once");
    value = request->length ? value_of(bytes, n, "content-range:") : NULL;
    if (value)
        read_content_range(request, value, n - (size_t)(value - bytes));
    return n;
}

/* Compressed bytes are bounded as well, for a stream that unpacks to nothing. */
static int on_progress(void *data, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    struct sk_http_request *request = data;
    if (request->length || now <= (curl_off_t)request->body.max)
        return 0;
    refuse(request, "answer too large");
    return 1;
}

/* The last gate: whatever led here, only the address that was judged is connected to. */
static curl_socket_t on_open(void *data, curlsocktype purpose, struct curl_sockaddr *addr)
{
    const struct sk_http_request *request = data;
    const struct sk_proxy *proxy = request->http->config.proxy;
    const struct sk_endpoint *allowed = proxy ? &proxy->endpoint : &request->addresses[request->at];
    struct sk_endpoint endpoint;
    if (sk_endpoint_from_sockaddr(&addr->addr, &endpoint) != 0 ||
        !sk_endpoint_equal(&endpoint, allowed))
        return CURL_SOCKET_BAD;
    int fd = sk_socket_dial(&request->http->config.bind, endpoint.family);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* ---- hops ---- */

static int configure_range(struct sk_http_request *request)
{
    char range[64];
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)request->from,
             (unsigned long long)(request->from + request->length - 1));
    curl_easy_setopt(request->easy, CURLOPT_BUFFERSIZE, (long)RANGE_BUFFER_BYTES);
    return curl_easy_setopt(request->easy, CURLOPT_RANGE, range) ? SKEP_ERR_NOMEM : 0;
}

/* Where libcurl is to go in place of the URL's host; nothing where the proxy knows. */
static int set_route(struct sk_http_request *request)
{
    const struct sk_endpoint *to = &request->addresses[request->at];
    char address[SK_ENDPOINT_TEXT_MAX], route[SK_ENDPOINT_TEXT_MAX + 2];
    curl_slist_free_all(request->connect_to);
    request->connect_to = NULL;
    if (!request->by_name) {
        snprintf(route, sizeof route, "::%s", sk_endpoint_text(to, address));
        request->connect_to = curl_slist_append(NULL, route);
        if (!request->connect_to)
            return SKEP_ERR_NOMEM;
    }
    curl_easy_setopt(request->easy, CURLOPT_CONNECT_TO, request->connect_to);
    return 0;
}

/* Never one of the environment. */
static int set_proxy(CURL *easy, const struct sk_proxy *proxy)
{
    char address[SK_ENDPOINT_TEXT_MAX];
    const char *text = proxy ? sk_endpoint_text(&proxy->endpoint, address) : "";
    bool failed =
        curl_easy_setopt(easy, CURLOPT_PROXY, text) || curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    if (!proxy || failed)
        return failed ? SKEP_ERR_NOMEM : 0;
    curl_easy_setopt(easy, CURLOPT_PROXYTYPE, (long)CURLPROXY_SOCKS5_HOSTNAME);
    curl_easy_setopt(easy, CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
    if (!proxy->account.user[0])
        return 0;
    failed = curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, proxy->account.user) ||
             curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, proxy->account.password);
    return failed ? SKEP_ERR_NOMEM : 0;
}

static int configure(struct sk_http_request *request)
{
    const struct sk_http_config *config = &request->http->config;
    CURL *easy = request->easy;
    if (set_route(request) || set_proxy(easy, config->proxy) ||
        curl_easy_setopt(easy, CURLOPT_URL, request->url) ||
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, request->length ? NULL : "gzip") ||
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "skep/" SKEP_VERSION))
        return SKEP_ERR_NOMEM;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->length ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->length ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT,
                     (long)(request->length ? SLOW_RANGE_BYTES_S : SLOW_BYTES_S));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)config->slow_s);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, request);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    return request->length ? configure_range(request) : 0;
}

/* Fetches from the address whose turn it is. */
static void fetch(struct sk_http_request *request)
{
    if (!request->easy)
        request->easy = curl_easy_init();
    request->encodings = 0;
    request->body.n = 0;
    request->ignored = 0;
    request->first = request->total = SK_WEBSEED_UNKNOWN;
    if (!request->easy || configure(request) != 0 ||
        curl_multi_add_handle(request->http->multi, request->easy) != CURLM_OK)
        finish(request, 0, "out of memory");
}

static void on_resolved(void *ctx, uint64_t id, const struct sk_endpoint *found, size_t count,
                        const char *error)
{
    struct sk_http_request *request = ctx;
    if (request->over) {
        release(request);
        return;
    }
    request->holds--;
    request->addresses_count = request->at = 0;
    for (size_t i = 0; i < count; i++) {
        struct sk_endpoint address = found[i];
        address.port = request->port;
        if (sk_endpoint_reachable_from(&address, request->scope))
            request->addresses[request->addresses_count++] = address;
    }
    if (request->addresses_count)
        fetch(request);
    else
        finish(request, 0, count ? "leads to an address that it may not name" : error);
}

/* The parts of the URL that decide where it leads; NULL, or what is wrong with it. `ret_host` is
 * freed by the caller also on failure. */
static const char *judge_url(const struct sk_http_request *request, char **ret_host,
                             uint16_t *ret_port)
{
    const char *wrong = "not an http address";
    char *scheme = NULL, *port = NULL;
    CURLU *url = curl_url();
    if (!url)
        return "out of memory";
    if (curl_url_set(url, CURLUPART_URL, request->url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
        curl_url_get(url, CURLUPART_HOST, ret_host, CURLU_PUNYCODE) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        unsigned long number = strtoul(port, NULL, 10);
        bool usual = number == 80 || number == 443 || (number >= 1024 && number <= UINT16_MAX);
        wrong = usual || (request->any_port && number > 0 && number <= UINT16_MAX)
                    ? NULL
                    : "port not allowed";
        *ret_port = (uint16_t)number;
    }
    curl_free(scheme);
    curl_free(port);
    curl_url_cleanup(url);
    return wrong;
}

/* Such a name needs no alias, and whoever redirects us could use them up. */
static bool is_for_proxy(const struct sk_http_request *request)
{
    struct sk_endpoint address;
    return request->http->config.proxy && sk_endpoint_parse(request->host, 1, &address) != 0 &&
           !sk_proxy_known(request->host, &address);
}

/* Nothing may touch the request after this: it can be over at once. */
static void start_hop(struct sk_http_request *request)
{
    curl_free(request->host);
    request->host = NULL;
    const char *wrong = judge_url(request, &request->host, &request->port);
    if (wrong) {
        finish(request, 0, wrong);
        return;
    }
    request->by_name = is_for_proxy(request);
    if (request->by_name) {
        request->addresses_count = 1;
        request->at = 0;
        fetch(request);
        return;
    }
    request->holds++;
    sk_resolver_lookup(request->http->config.resolver, request->host, on_resolved, request, 0);
}

static void redirect(struct sk_http_request *request, const char *target)
{
    const struct sk_endpoint *from = &request->addresses[request->at];
    enum sk_scope scope = request->by_name ? SK_SCOPE_PUBLIC : sk_endpoint_scope(from);
    char *url = sk_mem_strdup(target);
    if (!url) {
        finish(request, 0, "out of memory");
        return;
    }
    sk_mem_free(request->url);
    request->url = url;
    /* A stranger's server may not lead us further inside than where it is itself. */
    request->scope = SK_MIN(request->scope, scope);
    request->any_port = false;
    if (++request->redirects > SK_HTTP_REDIRECTS_MAX)
        finish(request, 0, "too many redirects");
    else
        start_hop(request);
}

/* libcurl is through with one hop. */
static void on_fetched(struct sk_http_request *request, CURLcode result)
{
    long status = 0;
    char *target = NULL;
    curl_off_t connected_us = 0;
    CURL *easy = request->easy;
    curl_multi_remove_handle(request->http->multi, easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &target);
    curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    if (result == CURLE_OK && is_redirect(status) && target) {
        redirect(request, target);
    } else if (result == CURLE_OK) {
        if (request->length && status)
            tell_head(request, status);
        finish(request, (int)status, status ? NULL : "not an http answer");
    } else if (!connected_us && !request->told && request->at + 1 < request->addresses_count) {
        request->at++;
        fetch(request);
    } else {
        finish(request, 0, request->refused ? request->refused : curl_easy_strerror(result));
    }
}

/* ---- libcurl on the loop ---- */

static void collect(struct sk_http *http)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        struct sk_http_request *request = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        on_fetched(request, result);
    }
}

static void act(struct sk_http *http, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(http->multi, fd, events, &running);
    collect(http);
    if (http->config.fed && http->multi)
        http->config.fed(http->config.ctx);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    const struct sk_http_socket *sock = handle->data;
    int flags = status < 0 ? CURL_CSELECT_ERR
                           : (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
                                 (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    act(sock->http, sock->fd, flags);
}

static void free_socket(uv_handle_t *handle)
{
    sk_mem_free(handle->data);
}

static struct sk_http_socket *add_socket(struct sk_http *http, curl_socket_t fd)
{
    struct sk_http_socket *sock = sk_mem_calloc(1, sizeof *sock);
    if (!sock)
        return NULL;
    if (uv_poll_init(http->config.loop, &sock->poll, fd) != 0) {
        sk_mem_free(sock);
        return NULL;
    }
    sock->poll.data = sock;
    sock->http = http;
    sock->fd = fd;
    curl_multi_assign(http->multi, fd, sock);
    return sock;
}

/* libcurl tells which of its sockets it waits for. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct sk_http *http = data;
    struct sk_http_socket *sock = socket_data;
    if (what == CURL_POLL_REMOVE) {
        if (sock)
            uv_close((uv_handle_t *)&sock->poll, free_socket);
        curl_multi_assign(http->multi, fd, NULL);
        return 0;
    }
    if (!sock && !(sock = add_socket(http, fd)))
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&sock->poll, events, on_ready) == 0 ? 0 : -1;
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_set_timer(CURLM *multi, long wait_ms, void *data)
{
    struct sk_http *http = data;
    if (wait_ms < 0)
        uv_timer_stop(&http->timer);
    else
        uv_timer_start(&http->timer, on_timer, (uint64_t)wait_ms, 0);
    return 0;
}

int sk_http_init(struct sk_http *http, const struct sk_http_config *config)
{
    *http = (struct sk_http){.config = *config};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return SKEP_ERR_NOMEM;
    http->multi = curl_multi_init();
    if (!http->multi) {
        curl_global_cleanup();
        return SKEP_ERR_NOMEM;
    }
    uv_timer_init(config->loop, &http->timer);
    http->timer.data = http;
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)RANGE_CONNECTIONS_MAX);
    return 0;
}

void sk_http_deinit(struct sk_http *http)
{
    if (!http->multi)
        return;
    while (http->requests)
        cancel(http->requests);
    curl_multi_cleanup(http->multi);
    http->multi = NULL;
    uv_close((uv_handle_t *)&http->timer, NULL);
    curl_global_cleanup();
}

static void get(struct sk_http *http, const struct sk_http_request *ask, const char *url,
                size_t bytes_max)
{
    const struct sk_http_config *config = &http->config;
    struct sk_http_request *request = sk_mem_dup(ask, sizeof *ask);
    char *copy = sk_mem_strdup(url);
    if (!request || !copy) {
        sk_mem_free(request);
        sk_mem_free(copy);
        config->fn(config->ctx, ask->id, 0, sk_bytes(NULL, 0), "out of memory");
        return;
    }
    request->http = http;
    request->holds = 2;
    request->url = copy;
    request->any_port = ask->scope == SK_SCOPE_LOOPBACK;
    sk_buf_init(&request->body, bytes_max);
    uv_timer_init(config->loop, &request->timer);
    request->timer.data = request;
    uv_timer_start(&request->timer, on_total_time, config->total_ms, 0);
    request->next = http->requests;
    http->requests = request;
    start_hop(request);
}

void sk_http_get(struct sk_http *http, uint64_t id, const char *url, size_t bytes_max,
                 enum sk_scope scope)
{
    get(http, &(struct sk_http_request){.id = id, .scope = scope}, url, bytes_max);
}

void sk_http_get_range(struct sk_http *http, uint64_t id, const char *url, enum sk_scope scope,
                       uint64_t from, uint64_t length)
{
    SK_ASSERT(length > 0);
    get(http, &(struct sk_http_request){.id = id, .scope = scope, .from = from, .length = length},
        url, 0);
}

static struct sk_http_request *find(const struct sk_http *http, uint64_t id)
{
    struct sk_http_request *request = http->requests;
    while (request && request->id != id)
        request = request->next;
    return request;
}

void sk_http_pause(struct sk_http *http, uint64_t id, bool pause)
{
    const struct sk_http_request *request = find(http, id);
    if (request && request->easy && request->told)
        curl_easy_pause(request->easy, pause ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

void sk_http_cancel(struct sk_http *http, uint64_t id)
{
    struct sk_http_request *request = find(http, id);
    if (request)
        cancel(request);
}
