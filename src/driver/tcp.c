#include "driver/tcp.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "driver/runtime.h"
#include "driver/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,  /* of one batch, which has one time stamp */
    ACCEPTS_MAX = 64, /* of one listener in a batch */
    READS_MAX = 8,    /* of one connection in a batch */
};

static const uint32_t edges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

static void ring_init(struct sk_tcp_io *head)
{
    head->prev = head->next = head;
}

static void ring_move(struct sk_tcp_io *io, struct sk_tcp_io *head)
{
    if (io->next) {
        io->next->prev = io->prev;
        io->prev->next = io->next;
    }
    io->prev = head->prev;
    io->next = head;
    head->prev->next = io;
    head->prev = io;
}

static int watch(struct sk_tcp *tcp, struct sk_tcp_io *io, int op, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = io};
    return epoll_ctl(tcp->epoll, op, io->fd, &event) == 0 ? 0 : -errno;
}

/* Writing the entry again reports anew whatever is ready. It cannot fail for an entry in place. */
static void rearm(struct sk_tcp *tcp, struct sk_tcp_io *io)
{
    watch(tcp, io, EPOLL_CTL_MOD, edges);
}

static void sweep(struct sk_tcp *tcp)
{
    while (tcp->dead.next != &tcp->dead) {
        struct sk_tcp_io *io = tcp->dead.next;
        tcp->dead.next = io->next;
        sk_mem_free(io->socks);
        sk_mem_free(io);
    }
    ring_init(&tcp->dead);
}

static const struct {
    int error;
    enum sk_conn_failure failure;
} failures[] = {
    {ECONNREFUSED, SK_CONN_REFUSED}, {ETIMEDOUT, SK_CONN_TIMEOUT},   {EMFILE, SK_CONN_LOCAL},
    {ENFILE, SK_CONN_LOCAL},         {EADDRNOTAVAIL, SK_CONN_LOCAL}, {EADDRINUSE, SK_CONN_LOCAL},
    {ENOBUFS, SK_CONN_LOCAL},        {ENOMEM, SK_CONN_LOCAL},        {EAGAIN, SK_CONN_LOCAL},
    {ENOSPC, SK_CONN_LOCAL},
};

enum sk_conn_failure sk_tcp_failure(int error)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(failures); i++)
        if (failures[i].error == error)
            return failures[i].failure;
    /* EHOSTUNREACH, ENETUNREACH, ENETDOWN, EACCES, EPERM, EAFNOSUPPORT, EINVAL (bound to an
     * address from which there is no way), and what else the kernel may say. */
    return SK_CONN_UNREACHABLE;
}

enum sk_conn_failure sk_tcp_proxy_failure(const struct sk_socks *socks)
{
    static const uint8_t told[] = {
        [SK_SOCKS_NO_FAILURE] = SK_CONN_PROXY,
        [SK_SOCKS_GENERAL] = SK_CONN_UNREACHABLE,
        [SK_SOCKS_NOT_ALLOWED] = SK_CONN_PROXY,
        [SK_SOCKS_NETWORK_UNREACHABLE] = SK_CONN_UNREACHABLE,
        [SK_SOCKS_HOST_UNREACHABLE] = SK_CONN_UNREACHABLE,
        [SK_SOCKS_REFUSED] = SK_CONN_REFUSED,
        [SK_SOCKS_TTL_EXPIRED] = SK_CONN_TIMEOUT,
        [SK_SOCKS_NO_COMMAND] = SK_CONN_PROXY,
        [SK_SOCKS_NO_ADDRESS_TYPE] = SK_CONN_UNREACHABLE,
    };
    /* OpenSSH hangs up where it cannot connect. */
    if (socks->stage == SK_SOCKS_REPLY)
        return SK_CONN_UNREACHABLE;
    return socks->failure < SK_ARRAY_LEN(told) ? told[socks->failure] : SK_CONN_PROXY;
}

static void fail_as(struct sk_tcp *tcp, struct sk_conn *conn, enum sk_conn_failure failure)
{
    struct sk_tcp_io *io = conn->io;
    if (io) {
        io->connecting = false;
        io->ended = true;
    }
    sk_engine_conn_failed(tcp->runtime->engine, conn, failure, tcp->runtime->now_ns);
}

static void fail(struct sk_tcp *tcp, struct sk_conn *conn, int error)
{
    enum sk_conn_failure failure = sk_tcp_failure(error);
    bool own = failure == SK_CONN_LOCAL || !tcp->runtime->proxy.runtime;
    fail_as(tcp, conn, own ? failure : SK_CONN_PROXY);
}

/* With a proxy it is the one that is connected to, whatever the peer's address. */
static int begin_dialogue(struct sk_tcp *tcp, struct sk_tcp_io *io,
                          const struct sk_endpoint *endpoint)
{
    struct sk_proxy *proxy = &tcp->runtime->proxy;
    io->socks = sk_mem_alloc(sizeof *io->socks);
    if (!io->socks)
        return -ENOMEM;
    return sk_socks_init(io->socks, SK_SOCKS_CONNECT, endpoint, sk_proxy_name(proxy, endpoint),
                         &proxy->account)
               ? -EAFNOSUPPORT
               : 0;
}

void sk_tcp_connect(struct sk_tcp *tcp, struct sk_conn *conn, const struct sk_endpoint *endpoint)
{
    const struct sk_proxy *proxy = &tcp->runtime->proxy;
    struct sk_tcp_io *io = sk_mem_calloc(1, sizeof *io);
    conn->io = io;
    if (!io) {
        fail(tcp, conn, ENOMEM);
        return;
    }
    io->conn = conn;
    io->connecting = true;
    ring_move(io, &tcp->open);
    io->fd = -1;
    int err = proxy->runtime ? begin_dialogue(tcp, io, endpoint) : 0;
    if (err) {
        fail(tcp, conn, -err);
        return;
    }
    if (proxy->runtime)
        endpoint = &proxy->endpoint;
    io->fd = sk_socket_dial(&tcp->runtime->bind, endpoint->family);
    if (io->fd < 0) {
        fail(tcp, conn, -io->fd);
        return;
    }
    struct sockaddr_storage addr;
    socklen_t len = sk_endpoint_to_sockaddr(endpoint, &addr);
    err = connect(io->fd, (struct sockaddr *)&addr, len) == 0 ? 0 : -errno;
    if (err == 0 || err == -EINPROGRESS)
        err = watch(tcp, io, EPOLL_CTL_ADD, edges);
    if (err)
        fail(tcp, conn, -err);
}

void sk_tcp_send(struct sk_tcp *tcp, struct sk_conn *conn)
{
    struct sk_tcp_io *io = conn->io;
    struct skep_runtime *runtime = tcp->runtime;
    while (io && io->fd >= 0 && !io->connecting && !io->blocked && !io->broken && !io->ended) {
        struct sk_bytes bytes = sk_engine_conn_output(conn);
        if (bytes.n == 0)
            return;
        ssize_t n = send(io->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n >= 0) {
            sk_engine_conn_sent(runtime->engine, conn, (size_t)n, runtime->now_ns);
        } else if (errno == EAGAIN) {
            io->blocked = true;
        } else if (errno != EINTR) {
            /* What the other side said before it left is read first. */
            io->broken = true;
            rearm(tcp, io);
        }
    }
}

void sk_tcp_close(struct sk_tcp *tcp, struct sk_conn *conn)
{
    struct sk_tcp_io *io = conn->io;
    if (io) {
        if (io->fd >= 0)
            close(io->fd);
        io->fd = -1;
        io->conn = NULL;
        ring_move(io, &tcp->dead);
        if (!tcp->in_batch)
            sweep(tcp);
    }
    conn->io = NULL;
    sk_engine_conn_gone(tcp->runtime->engine, conn);
}

void sk_tcp_pause(struct sk_tcp *tcp, struct sk_conn *conn, bool paused)
{
    struct sk_tcp_io *io = conn->io;
    if (!io || io->fd < 0 || io->ended || io->paused == paused)
        return;
    io->paused = paused;
    if (!paused && !io->connecting)
        rearm(tcp, io);
}

/* A connection from an ephemeral port to the same port of the same host meets itself. */
static bool met_itself(const struct sk_tcp_io *io)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    struct sk_endpoint own;
    return getsockname(io->fd, (struct sockaddr *)&addr, &len) == 0 &&
           sk_endpoint_from_sockaddr((struct sockaddr *)&addr, &own) == 0 &&
           sk_endpoint_equal(&own, &io->conn->endpoint);
}

/* Goes on with the dialogue; 1 when it is open, 0 when there is more to come, -1 when it failed.
 * What is sent is too short for a new stream not to take it whole. */
static int go_on(struct sk_tcp_io *io)
{
    struct sk_socks *socks = io->socks;
    uint8_t bytes[SK_SOCKS_HEADER_MAX];
    while (socks->stage != SK_SOCKS_OPEN && socks->stage != SK_SOCKS_FAILED) {
        struct sk_bytes out = sk_socks_output(socks);
        ssize_t n = out.n ? send(io->fd, out.p, out.n, MSG_NOSIGNAL) : 0;
        sk_socks_sent(socks, n > 0 ? (size_t)n : 0);
        n = recv(io->fd, bytes, sk_socks_wanted(socks), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return -1;
        sk_socks_input(socks, sk_bytes(bytes, (size_t)n));
    }
    return socks->stage == SK_SOCKS_OPEN ? 1 : -1;
}

/* Whether the proxy has connected us. */
static bool finish_dialogue(struct sk_tcp *tcp, struct sk_tcp_io *io)
{
    int done = go_on(io);
    if (done == 0)
        return false;
    enum sk_conn_failure failure = sk_tcp_proxy_failure(io->socks);
    sk_mem_free(io->socks);
    io->socks = NULL;
    if (done > 0)
        return true;
    fail_as(tcp, io->conn, failure);
    sk_runtime_drain(tcp->runtime);
    return false;
}

/* Whether the connection is open now. */
static bool finish_connect(struct sk_tcp *tcp, struct sk_tcp_io *io, uint32_t events)
{
    struct skep_runtime *runtime = tcp->runtime;
    int error = 0;
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP | (io->socks ? EPOLLIN : 0))))
        return false;
    if (events & (EPOLLERR | EPOLLHUP)) {
        socklen_t len = sizeof error;
        getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    /* These two come after the other side had accepted: it is open, and ends at once. */
    if (error == ECONNRESET || error == EPIPE)
        io->broken = true;
    else if (error == 0 && !io->socks && met_itself(io))
        error = ECONNREFUSED;
    if (error && !io->broken) {
        fail(tcp, io->conn, error);
        sk_runtime_drain(runtime);
        return false;
    }
    if (io->socks && !finish_dialogue(tcp, io))
        return false;
    io->connecting = false;
    sk_engine_conn_connected(runtime->engine, io->conn, runtime->now_ns);
    sk_runtime_drain(runtime);
    return io->fd >= 0;
}

static void read_input(struct sk_tcp *tcp, struct sk_tcp_io *io, uint32_t events)
{
    struct skep_runtime *runtime = tcp->runtime;
    bool leaving = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    size_t most = SK_MIN(sizeof runtime->receive, sk_engine_read_max(runtime->engine));
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(io->fd, runtime->receive, most, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && !io->broken)
            return;
        if (n <= 0) {
            io->ended = true;
            sk_engine_conn_eof(runtime->engine, io->conn, n < 0 || io->broken, runtime->now_ns);
            sk_runtime_drain(runtime);
            return;
        }
        sk_engine_conn_input(runtime->engine, io->conn, runtime->receive, (size_t)n,
                             runtime->now_ns);
        sk_runtime_drain(runtime);
        if (io->fd < 0 || io->paused)
            return;
        if ((size_t)n < most && !leaving && !io->broken)
            return;
    }
    rearm(tcp, io);
}

static void serve(struct sk_tcp *tcp, struct sk_tcp_io *io, uint32_t events)
{
    if (io->connecting && !finish_connect(tcp, io, events))
        return;
    if (events & EPOLLOUT && io->blocked) {
        io->blocked = false;
        sk_tcp_send(tcp, io->conn);
        sk_runtime_drain(tcp->runtime);
    }
    if (io->fd >= 0 && !io->paused && !io->ended && events & ~(uint32_t)EPOLLOUT)
        read_input(tcp, io, events);
}

static void admit(struct sk_tcp *tcp, int fd, const struct sockaddr *addr)
{
    struct skep_runtime *runtime = tcp->runtime;
    struct sk_endpoint endpoint;
    struct sk_tcp_io *io = sk_mem_calloc(1, sizeof *io);
    struct sk_conn *conn = NULL;
    if (io && sk_endpoint_from_sockaddr(addr, &endpoint) == 0)
        conn = sk_engine_conn_accepted(runtime->engine, &endpoint, runtime->now_ns);
    if (conn) {
        *io = (struct sk_tcp_io){.conn = conn, .fd = fd};
        conn->io = io;
        ring_move(io, &tcp->open);
        if (watch(tcp, io, EPOLL_CTL_ADD, edges) != 0) {
            io->ended = true;
            sk_engine_conn_eof(runtime->engine, conn, true, runtime->now_ns);
        }
    } else {
        sk_mem_free(io);
        close(fd);
    }
    sk_runtime_drain(runtime);
}

/* Without a descriptor the connection cannot be taken from the queue, and its peer would wait: the
 * spare one is lent to refuse it. Whether that was possible. */
static bool refuse_one(struct sk_tcp *tcp, int listener)
{
    close(tcp->spare);
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0)
        close(fd);
    tcp->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

/* The listener is edge-triggered too: what cannot be taken now waits without keeping us awake. */
static void accept_connections(struct sk_tcp *tcp, struct sk_tcp_io *listener)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage addr;
        socklen_t len = sizeof addr;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        bool none_left = fd < 0 && (errno == EMFILE || errno == ENFILE);
        if (fd >= 0)
            admit(tcp, fd, (struct sockaddr *)&addr);
        else if (none_left ? !refuse_one(tcp, listener->fd)
                           : errno != ECONNABORTED && errno != EINTR)
            return;
    }
    rearm(tcp, listener);
}

static void on_events(uv_poll_t *poll, int status, int uv_events)
{
    struct sk_tcp *tcp = poll->data;
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(tcp->epoll, events, EVENTS_MAX, 0);
    sk_runtime_stamp(tcp->runtime);
    tcp->in_batch = true;
    for (int i = 0; i < n; i++) {
        struct sk_tcp_io *io = events[i].data.ptr;
        if (io->fd < 0)
            continue;
        if (io->conn)
            serve(tcp, io, events[i].events);
        else
            accept_connections(tcp, io);
    }
    tcp->in_batch = false;
    sweep(tcp);
}

int sk_tcp_init(struct sk_tcp *tcp, struct skep_runtime *runtime)
{
    *tcp = (struct sk_tcp){.listeners = {{.fd = -1}, {.fd = -1}}};
    ring_init(&tcp->open);
    ring_init(&tcp->dead);
    tcp->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (tcp->epoll < 0)
        return SKEP_ERR_NETWORK;
    tcp->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (uv_poll_init(&runtime->loop, &tcp->poll, tcp->epoll) != 0) {
        close(tcp->epoll);
        close(tcp->spare);
        return SKEP_ERR_NOMEM;
    }
    tcp->poll.data = tcp;
    tcp->runtime = runtime;
    return uv_poll_start(&tcp->poll, UV_READABLE, on_events) == 0 ? 0 : SKEP_ERR_NETWORK;
}

int sk_tcp_listen(struct sk_tcp *tcp, int fd)
{
    struct sk_tcp_io *listener = &tcp->listeners[tcp->listeners[0].fd >= 0];
    SK_ASSERT(listener->fd < 0);
    listener->fd = fd;
    int err = listen(fd, SOMAXCONN) == 0 ? watch(tcp, listener, EPOLL_CTL_ADD, edges) : -errno;
    if (err) {
        close(fd);
        listener->fd = -1;
    }
    return err;
}

void sk_tcp_deinit(struct sk_tcp *tcp)
{
    if (!tcp->runtime)
        return;
    while (tcp->open.next != &tcp->open)
        sk_tcp_close(tcp, tcp->open.next->conn);
    for (size_t i = 0; i < SK_ARRAY_LEN(tcp->listeners); i++)
        if (tcp->listeners[i].fd >= 0)
            close(tcp->listeners[i].fd);
    uv_close((uv_handle_t *)&tcp->poll, NULL);
    close(tcp->epoll);
    if (tcp->spare >= 0)
        close(tcp->spare);
    tcp->runtime = NULL;
}
