#include "driver/tracker_server.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "driver/socket.h"

#include <errno.h>
#include <microhttpd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DATAGRAM_MAX = 2048,
    DATAGRAMS_MAX = 64, /* of one socket before others have their turn */
    PORT_TRIES = 10,    /* when the system chooses one that is free for TCP but not for UDP */
    TARGET_MAX = 4096,  /* bytes of a request's path and query */
    REQUEST_MEMORY = 16384,
    HANDLES = 3, /* of a listener */
};

/* One address, with a socket of either kind. */
struct listener {
    struct sk_tracker_server *server;
    int udp_fd;
    struct MHD_Daemon *daemon; /* owns its listening socket */
    uv_poll_t udp, http;
    uv_timer_t http_timer; /* libmicrohttpd's own deadlines */
};

struct sk_tracker_server {
    struct sk_tracker_server_config config;
    struct sk_responder *responder;
    uint16_t port;
    struct listener listeners[SK_TRACKER_SERVER_LISTEN_MAX];
    size_t count;
    unsigned handles; /* open ones; the last to close frees the server */
    struct sk_buf answer;
};

/* A request between its first line and its answer. */
struct request {
    bool seen;
    char target[];
};

static void tell(struct sk_tracker_server *server, const struct sk_heard *heard, uint64_t now_ns)
{
    if (heard->announced && server->config.announced)
        server->config.announced(server->config.ctx, &heard->announce, &heard->peer, now_ns);
}

static void clear(struct sk_buf *buf)
{
    buf->n = 0;
    buf->failed = false;
}

/* ------------------------------------------------------------------- UDP */

/* False where nothing more is to be read. */
static bool serve_datagram(struct listener *listener)
{
    struct sk_tracker_server *server = listener->server;
    uint8_t packet[DATAGRAM_MAX];
    struct sockaddr_storage addr;
    socklen_t addr_len = sizeof addr;
    struct sk_endpoint from;
    struct sk_heard heard;
    ssize_t n =
        recvfrom(listener->udp_fd, packet, sizeof packet, 0, (struct sockaddr *)&addr, &addr_len);
    if (n < 0)
        return errno == EINTR;
    if (sk_endpoint_from_sockaddr((struct sockaddr *)&addr, &from) < 0)
        return true;
    uint64_t now_ns = uv_hrtime();
    clear(&server->answer);
    sk_responder_udp(server->responder, sk_bytes(packet, (size_t)n), &from, now_ns, &server->answer,
                     &heard);
    if (server->answer.n && !server->answer.failed)
        sendto(listener->udp_fd, server->answer.p, server->answer.n, 0, (struct sockaddr *)&addr,
               addr_len); /* one that is lost is asked for again */
    tell(server, &heard, now_ns);
    return true;
}

static void on_udp(uv_poll_t *poll, int status, int events)
{
    for (int i = 0; i < DATAGRAMS_MAX && serve_datagram(poll->data); i++)
        ;
}

/* ------------------------------------------------------------------- HTTP */

/* The target as it came, before libmicrohttpd unescapes it: an info-hash may hold a NUL. */
static void *keep_target(void *ctx, const char *target, struct MHD_Connection *connection)
{
    size_t n = strlen(target);
    struct request *request = n < TARGET_MAX ? sk_mem_calloc(1, sizeof *request + n + 1) : NULL;
    if (request)
        memcpy(request->target, target, n);
    return request;
}

static void request_done(void *ctx, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    sk_mem_free(*request);
    *request = NULL;
}

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status,
                               struct sk_bytes body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.n, (void *)body.p, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **req_cls)
{
    struct sk_tracker_server *server = ((struct listener *)ctx)->server;
    struct request *request = *req_cls;
    if (!request)
        return MHD_NO; /* too long, or no memory: the connection closes */
    if (!request->seen) {
        request->seen = true;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return *upload_size ? MHD_NO
                            : respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, sk_bytes(NULL, 0));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct sk_endpoint from;
    struct sk_heard heard;
    if (!info || sk_endpoint_from_sockaddr(info->client_addr, &from) < 0)
        return MHD_NO;
    uint64_t now_ns = uv_hrtime();
    clear(&server->answer);
    unsigned status = sk_responder_http(server->responder, sk_bytes_text(request->target), &from,
                                        now_ns, &server->answer, &heard);
    enum MHD_Result result = respond(connection, status, sk_buf_bytes(&server->answer));
    tell(server, &heard, now_ns);
    return result;
}

static unsigned connections(const struct listener *listener)
{
    return MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
        ->num_connections;
}

static void on_http_timer(uv_timer_t *timer);

static void run_http(struct listener *listener)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    unsigned before;
    /* At its limit of connections it stops to listen, and only the run after that in which one
     * closed begins again. */
    do {
        before = connections(listener);
        MHD_run(listener->daemon);
    } while (connections(listener) < before);
    if (MHD_get_timeout(listener->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&listener->http_timer, on_http_timer, wait_ms, 0);
    else
        uv_timer_stop(&listener->http_timer);
}

static void on_http_timer(uv_timer_t *timer)
{
    run_http(timer->data);
}

static void on_http(uv_poll_t *poll, int status, int events)
{
    run_http(poll->data);
}

/* ------------------------------------------------------------------- life */

static void release(struct sk_tracker_server *server)
{
    sk_responder_free(server->responder);
    sk_buf_deinit(&server->answer);
    sk_mem_free(server);
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    struct sk_tracker_server *server = listener->server;
    if (--server->handles == 0)
        release(server);
}

void sk_tracker_server_free(struct sk_tracker_server *server)
{
    if (!server)
        return;
    if (server->handles == 0) {
        release(server);
        return;
    }
    for (size_t i = 0; i < server->count; i++) {
        struct listener *listener = &server->listeners[i];
        /* First the watchers, then what they watch. */
        uv_close((uv_handle_t *)&listener->udp, on_closed);
        uv_close((uv_handle_t *)&listener->http, on_closed);
        uv_close((uv_handle_t *)&listener->http_timer, on_closed);
        MHD_stop_daemon(listener->daemon);
        close(listener->udp_fd);
    }
}

void sk_tracker_server_counts(struct sk_tracker_server *server,
                              struct sk_registry_counts *ret_counts)
{
    sk_responder_counts(server->responder, uv_hrtime(), ret_counts);
}

uint16_t sk_tracker_server_port(const struct sk_tracker_server *server)
{
    return server->port;
}

/* Both sockets on the server's port, which the first listener may yet choose. A negative errno. */
static int open_sockets(struct sk_tracker_server *server, const struct sk_endpoint *own,
                        int *ret_tcp, int *ret_udp)
{
    enum sk_family family = (enum sk_family)own->family;
    int err = 0;
    for (int i = 0; i < (server->port ? 1 : PORT_TRIES); i++) {
        int tcp = sk_socket_serve(own, family, SOCK_STREAM, server->port);
        if (tcp < 0)
            return tcp;
        uint16_t port = sk_socket_port(tcp);
        int udp = sk_socket_serve(own, family, SOCK_DGRAM, port);
        if (udp >= 0 && listen(tcp, SOMAXCONN) == 0) {
            server->port = port;
            *ret_tcp = tcp;
            *ret_udp = udp;
            return 0;
        }
        err = udp < 0 ? udp : -errno;
        close(tcp);
        if (udp >= 0)
            close(udp);
    }
    return err;
}

/* The daemon takes the socket over, also where it fails. */
static struct MHD_Daemon *start_http(struct listener *listener, int fd)
{
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, listener, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)SK_TRACKER_SERVER_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SK_TRACKER_SERVER_IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MEMORY, MHD_OPTION_URI_LOG_CALLBACK,
        keep_target, listener, MHD_OPTION_NOTIFY_COMPLETED, request_done, listener, MHD_OPTION_END);
    if (!daemon)
        close(fd);
    return daemon;
}

static int add_listener(struct sk_tracker_server *server, const struct sk_endpoint *own,
                        const char **ret_reason)
{
    struct listener *listener = &server->listeners[server->count];
    uv_loop_t *loop = server->config.loop;
    int tcp_fd = -1;
    int err = open_sockets(server, own, &tcp_fd, &listener->udp_fd);
    if (err < 0) {
        errno = -err;
        *ret_reason = "cannot listen on the tracker's port";
        return SKEP_ERR_NETWORK;
    }
    listener->server = server;
    listener->daemon = start_http(listener, tcp_fd);
    if (!listener->daemon) {
        close(listener->udp_fd);
        *ret_reason = "cannot start the tracker's HTTP server";
        return SKEP_ERR_NETWORK;
    }
    int epoll_fd = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    /* These fail only for a descriptor that epoll cannot watch. */
    SK_ASSERT(uv_poll_init(loop, &listener->udp, listener->udp_fd) == 0);
    SK_ASSERT(uv_poll_init(loop, &listener->http, epoll_fd) == 0);
    SK_ASSERT(uv_timer_init(loop, &listener->http_timer) == 0);
    listener->udp.data = listener->http.data = listener->http_timer.data = listener;
    uv_poll_start(&listener->udp, UV_READABLE, on_udp);
    uv_poll_start(&listener->http, UV_READABLE, on_http);
    server->count++;
    server->handles += HANDLES;
    return 0;
}

static int make_responder(struct sk_tracker_server *server)
{
    struct sk_responder_config config = {.registry = server->config.registry,
                                         .trust_ip = server->config.trust_ip};
    if (getrandom(config.secret, sizeof config.secret, 0) != sizeof config.secret ||
        (!config.registry.seed &&
         getrandom(&config.registry.seed, sizeof config.registry.seed, 0) < 0))
        return SKEP_ERR_NETWORK;
    return sk_responder_new(&config, &server->responder);
}

int sk_tracker_server_new(const struct sk_tracker_server_config *config,
                          struct sk_tracker_server **ret_server, const char **ret_reason)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    struct sk_endpoint own = sk_endpoint_v4(loopback, 0);
    const struct sk_endpoint *all = config->listen_count ? config->listen : &own;
    size_t count = config->listen_count ? config->listen_count : 1;
    if (count > SK_TRACKER_SERVER_LISTEN_MAX)
        return SKEP_ERR_LIMIT;
    struct sk_tracker_server *server = sk_mem_calloc(1, sizeof *server);
    if (!server)
        return SKEP_ERR_NOMEM;
    server->config = *config;
    server->port = config->port;
    sk_buf_init(&server->answer, SK_RESPONDER_HTTP_MAX);
    const char *reason = "the system has no entropy";
    int err = make_responder(server);
    for (size_t i = 0; i < count && !err; i++)
        err = add_listener(server, &all[i], &reason);
    if (err < 0) {
        *ret_reason = reason;
        sk_tracker_server_free(server);
        return err;
    }
    *ret_server = server;
    return 0;
}
