#include "driver/lab.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "driver/lab_announcer.h"
#include "driver/lab_leecher.h"
#include "driver/socket.h"
#include "driver/tracker_server.h"
#include "swarm/lab_conn.h"

#include <errno.h>
#include <math.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define URL_MAX 64
#define SOONEST_NS (SK_SECOND_NS / 1000) /* a connection is looked at again, at most so often, */
#define BLOCKED_NS (SK_SECOND_NS / 20)   /* and so often where its socket is full */
#define ACCEPTS_MAX 256                  /* of one wake-up */

struct link; /* a connection and its socket */

struct sk_lab {
    uv_loop_t loop;
    const struct sk_lab_scenario *scenario;
    struct sk_lab_swarm swarm;
    struct sk_tracker_server *tracker;
    struct sk_lab_announcer announcer;
    struct sk_lab_leechers *leechers;
    bool announcing;
    uv_poll_t listener;
    int listen_fd;
    int *shut_fds; /* bound and not listening: what dials them is refused */
    uint32_t shut_count;
    uv_signal_t signals[2];
    uv_timer_t limit, tick;
    struct sk_heap timers; /* of links and of growing peers */
    struct gain *gains;    /* one a peer */
    struct link *links;
    unsigned dials;
    char urls[SK_LAB_TRACKERS_MAX][URL_MAX];
    double started_unix_s;
    sk_tracker_server_fn announced; /* may be NULL */
    void *announced_ctx;
    int (*ready)(void *ctx);
    void *ctx;
    int result;
    uint8_t receive[64 << 10];
};

enum timer_kind { TIMER_LINK, TIMER_GAIN };

struct timer {
    struct sk_timer base;
    enum timer_kind kind;
};

struct gain {
    struct timer timer;
    struct sk_lab_peer *peer;
};

struct link {
    struct timer timer;
    struct sk_lab *lab;
    struct link *next, *prev;
    struct sk_lab_conn *conn;
    uv_poll_t poll;
    int fd;
    bool connecting, blocked, closing;
};

/* ---- time ---- */

static void arm(struct sk_lab *lab);

/* One that finds no memory is late: the next event on its connection looks again. */
static void set_timer(struct sk_lab *lab, struct timer *timer, uint64_t at_ns)
{
    (void)sk_heap_set(&lab->timers, &timer->base, at_ns);
}

/* ---- connections ---- */

static void on_link_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    sk_mem_free(link);
}

static void close_link(struct link *link, bool reset)
{
    static const struct linger at_once = {.l_onoff = 1};
    struct sk_lab *lab = link->lab;
    if (link->closing)
        return;
    link->closing = true;
    sk_heap_remove(&lab->timers, &link->timer.base);
    if (link->prev)
        link->prev->next = link->next;
    else
        lab->links = link->next;
    if (link->next)
        link->next->prev = link->prev;
    if (reset)
        setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    uv_close((uv_handle_t *)&link->poll, on_link_closed);
    close(link->fd);
    sk_lab_conn_free(link->conn);
    link->conn = NULL;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Sends what may go now and sees to what comes next. */
static void pump(struct link *link)
{
    struct sk_lab *lab = link->lab;
    uint64_t now = uv_hrtime();
    bool blocked = false;
    while (!blocked && !link->connecting) {
        struct sk_bytes out = sk_lab_conn_output(link->conn, now);
        ssize_t n = out.n ? send(link->fd, out.p, out.n, MSG_NOSIGNAL) : 0;
        if (n > 0)
            sk_lab_conn_sent(link->conn, (size_t)n, now);
        else if (n < 0 && errno == EAGAIN)
            blocked = true;
        else if (n < 0 && errno != EINTR)
            break; /* the end of the stream will be read */
        else if (n == 0)
            break;
    }
    if (sk_lab_conn_over(link->conn)) {
        close_link(link, false);
        return;
    }
    if (blocked != link->blocked) {
        link->blocked = blocked;
        uv_poll_start(&link->poll, UV_READABLE | (blocked ? UV_WRITABLE : 0), on_poll);
    }
    uint64_t at = sk_lab_conn_deadline(link->conn);
    set_timer(lab, &link->timer, SK_MAX(at, now + (blocked ? BLOCKED_NS : SOONEST_NS)));
}

static void read_link(struct link *link)
{
    struct sk_lab *lab = link->lab;
    ssize_t n = recv(link->fd, lab->receive, sizeof lab->receive, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_link(link, false);
        return;
    }
    sk_lab_conn_input(link->conn, lab->receive, (size_t)n, uv_hrtime());
    pump(link);
}

static void on_connected(struct link *link)
{
    int err = 0;
    socklen_t len = sizeof err;
    link->connecting = false;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 || err) {
        close_link(link, false);
        return;
    }
    link->blocked = true; /* that is what the watcher waits for */
    pump(link);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct link *link = poll->data;
    if (link->connecting)
        on_connected(link);
    else if (status < 0 || (events & UV_READABLE))
        read_link(link);
    else
        pump(link);
    arm(link->lab);
}

/* Takes the socket over, also where it fails. */
static void open_link(struct sk_lab *lab, struct sk_lab_peer *peer,
                      const struct sk_endpoint *remote, int fd, bool dialed)
{
    struct link *link = sk_mem_calloc(1, sizeof *link);
    if (!link || lab->swarm.conns_count >= SK_LAB_CONNS_MAX ||
        sk_lab_conn_new(&lab->swarm, peer, remote, dialed, uv_hrtime(), &link->conn)) {
        sk_mem_free(link);
        close(fd);
        return;
    }
    link->lab = lab;
    link->conn->owner = link;
    link->fd = fd;
    link->timer.kind = TIMER_LINK;
    link->connecting = dialed;
    link->next = lab->links;
    if (link->next)
        link->next->prev = link;
    lab->links = link;
    uv_poll_init(&lab->loop, &link->poll, fd);
    link->poll.data = link;
    uv_poll_start(&link->poll, dialed ? UV_WRITABLE : UV_READABLE, on_poll);
    if (peer->group->behaviour.door == SK_LAB_DOOR_RESET)
        close_link(link, true);
    else
        set_timer(lab, &link->timer, sk_lab_conn_deadline(link->conn));
}

/* ---- who connects ---- */

static bool is_loopback(const struct sk_endpoint *endpoint)
{
    return endpoint->family == SK_FAMILY_V4 && endpoint->addr[0] == 127;
}

/* Both ends of a connection; false for what is not of this machine. */
static bool look_at(int fd, struct sk_endpoint *ret_own, struct sk_endpoint *ret_remote)
{
    struct sockaddr_storage own, remote;
    socklen_t own_len = sizeof own, remote_len = sizeof remote;
    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&remote, &remote_len) == 0 &&
           sk_endpoint_from_sockaddr((struct sockaddr *)&own, ret_own) == 0 &&
           sk_endpoint_from_sockaddr((struct sockaddr *)&remote, ret_remote) == 0 &&
           is_loopback(ret_own) && is_loopback(ret_remote);
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
    static const struct linger at_once = {.l_onoff = 1};
    struct sk_lab *lab = poll->data;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sk_endpoint own, remote;
        int fd = accept4(lab->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        struct sk_lab_peer *peer =
            look_at(fd, &own, &remote) ? sk_lab_swarm_at(&lab->swarm, &own) : NULL;
        bool here = peer && peer->group->behaviour.door != SK_LAB_DOOR_SHUT;
        if (here && !peer->group->behaviour.trades) {
            open_link(lab, peer, &remote, fd, false);
            continue;
        }
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
    }
    arm(lab);
}

/* Peers that dial go to whoever announces himself, once. */
static void dial(struct sk_lab *lab, struct sk_lab_peer *peer, const struct sk_endpoint *remote)
{
    struct sockaddr_storage addr;
    if (lab->dials >= SK_LAB_DIALS_MAX * lab->swarm.count)
        return;
    int fd = sk_socket_dial(&peer->endpoint, SK_FAMILY_V4);
    if (fd < 0)
        return;
    lab->dials++;
    socklen_t len = sk_endpoint_to_sockaddr(remote, &addr);
    if (connect(fd, (struct sockaddr *)&addr, len) != 0 && errno != EINPROGRESS) {
        close(fd);
        return;
    }
    open_link(lab, peer, remote, fd, true);
}

static bool has_dialed(const struct sk_lab_peer *peer, const struct sk_endpoint *remote)
{
    for (const struct sk_lab_conn *conn = peer->conns; conn; conn = conn->peer_next)
        if (sk_endpoint_equal(&conn->remote, remote))
            return true;
    return false;
}

static void on_announced(void *ctx, const struct sk_tracker_announce *announce,
                         const struct sk_endpoint *who, uint64_t now_ns)
{
    struct sk_lab *lab = ctx;
    if (lab->announced)
        lab->announced(lab->announced_ctx, announce, who, now_ns);
    if (announce->event == SK_TRACKER_STOPPED || who->port == 0 || !is_loopback(who) ||
        sk_lab_swarm_at(&lab->swarm, who))
        return;
    for (uint32_t i = 0; i < lab->swarm.count; i++) {
        struct sk_lab_peer *peer = &lab->swarm.peers[i];
        if (peer->group->behaviour.dials && !has_dialed(peer, who))
            dial(lab, peer, who);
    }
    arm(lab);
}

/* ---- the clock ---- */

static void on_gain(struct sk_lab *lab, struct gain *gain, uint64_t now_ns)
{
    sk_lab_peer_tick(&lab->swarm, gain->peer, now_ns);
    set_timer(lab, &gain->timer, gain->peer->gain_ns);
    /* Its connections have something to say. */
    for (struct sk_lab_conn *conn = gain->peer->conns; conn; conn = conn->peer_next)
        set_timer(lab, &((struct link *)conn->owner)->timer, now_ns);
}

static void on_tick(uv_timer_t *tick)
{
    struct sk_lab *lab = tick->data;
    uint64_t now = uv_hrtime();
    struct sk_timer *first;
    while ((first = sk_heap_first(&lab->timers)) && first->at_ns <= now) {
        struct timer *timer = SK_CONTAINER_OF(first, struct timer, base);
        sk_heap_remove(&lab->timers, first);
        if (timer->kind == TIMER_GAIN) {
            on_gain(lab, SK_CONTAINER_OF(timer, struct gain, timer), now);
            continue;
        }
        struct link *link = SK_CONTAINER_OF(timer, struct link, timer);
        sk_lab_conn_tick(link->conn, now);
        pump(link);
    }
    arm(lab);
}

static void arm(struct sk_lab *lab)
{
    const struct sk_timer *first = sk_heap_first(&lab->timers);
    uint64_t now = uv_hrtime();
    if (!first)
        return;
    uint64_t wait_ns = first->at_ns > now ? first->at_ns - now : 0;
    uv_update_time(&lab->loop);
    uv_timer_start(&lab->tick, on_tick, (wait_ns + 999999) / 1000000, 0);
}

/* ---- life ---- */

/* Keeps strangers from seeing the port at all; where that is not allowed, they are reset. */
static void keep_inside(int fd)
{
    static const char interface[] = "lo";
    (void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, sizeof interface);
}

static int listen_for_all(struct sk_lab *lab, uint16_t port, const char **ret_reason)
{
    static const struct sk_endpoint any = {.family = SK_FAMILY_NONE};
    lab->listen_fd = sk_socket_serve(&any, SK_FAMILY_V4, SOCK_STREAM, port);
    if (lab->listen_fd < 0) {
        errno = -lab->listen_fd;
        *ret_reason = "cannot listen on the peers' port";
        return SKEP_ERR_NETWORK;
    }
    keep_inside(lab->listen_fd);
    if (listen(lab->listen_fd, SOMAXCONN) != 0) {
        *ret_reason = "cannot listen on the peers' port";
        return SKEP_ERR_NETWORK;
    }
    uv_poll_init(&lab->loop, &lab->listener, lab->listen_fd);
    lab->listener.data = lab;
    uv_poll_start(&lab->listener, UV_READABLE, on_accept);
    return 0;
}

/* Ports that are taken and refuse: nothing else can come to listen there meanwhile. */
static int shut_doors(struct sk_lab *lab, const char **ret_reason)
{
    lab->shut_fds = sk_mem_calloc(lab->swarm.count, sizeof *lab->shut_fds);
    if (!lab->shut_fds)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < lab->swarm.count; i++) {
        struct sk_lab_peer *peer = &lab->swarm.peers[i];
        if (peer->group->behaviour.door != SK_LAB_DOOR_SHUT)
            continue;
        int fd = sk_socket_serve(&peer->endpoint, SK_FAMILY_V4, SOCK_STREAM, 0);
        if (fd < 0) {
            errno = -fd;
            *ret_reason = "cannot reserve a port for a peer that refuses";
            return SKEP_ERR_NETWORK;
        }
        lab->shut_fds[lab->shut_count++] = fd;
        peer->endpoint.port = sk_socket_port(fd);
    }
    return 0;
}

static int start_tracker(struct sk_lab *lab, uint16_t port, const char **ret_reason)
{
    const struct sk_lab_scenario *s = lab->scenario;
    struct sk_tracker_server_config config = {
        .loop = &lab->loop,
        .port = port,
        .registry = {.interval_s = s->tracker.interval_s,
                     .min_interval_s = s->tracker.interval_s,
                     .want_max = s->tracker.want_max,
                     .seed = sk_prng_u64(&lab->swarm.prng)},
        .trust_ip = true,
        .announced = on_announced,
        .ctx = lab,
    };
    int err = sk_tracker_server_new(&config, &lab->tracker, ret_reason);
    if (err)
        return err;
    uint16_t own = sk_tracker_server_port(lab->tracker);
    size_t n = 0;
    if (s->tracker.http)
        snprintf(lab->urls[n++], URL_MAX, "http://127.0.0.1:%u/announce", own);
    if (s->tracker.udp)
        snprintf(lab->urls[n++], URL_MAX, "udp://127.0.0.1:%u/announce", own);
    return 0;
}

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int make(struct sk_lab *lab, uint16_t port, const char **ret_reason)
{
    int err = listen_for_all(lab, port, ret_reason);
    if (!err)
        err = sk_lab_swarm_init(&lab->swarm, lab->scenario, sk_socket_port(lab->listen_fd),
                                uv_hrtime());
    if (!err)
        err = shut_doors(lab, ret_reason);
    if (!err)
        err = sk_lab_leechers_new(&lab->swarm, &lab->loop, &lab->leechers, ret_reason);
    if (!err)
        err = start_tracker(lab, port ? (uint16_t)(port + 1) : 0, ret_reason);
    if (err)
        return err;
    lab->gains = sk_mem_calloc(lab->swarm.count, sizeof *lab->gains);
    if (!lab->gains)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < lab->swarm.count; i++)
        lab->gains[i] = (struct gain){.timer.kind = TIMER_GAIN, .peer = &lab->swarm.peers[i]};
    return 0;
}

int sk_lab_new(const struct sk_lab_scenario *scenario, uint16_t port, struct sk_lab **ret_lab,
               const char **ret_reason)
{
    struct sk_lab *lab = sk_mem_calloc(1, sizeof *lab);
    if (!lab)
        return SKEP_ERR_NOMEM;
    if (uv_loop_init(&lab->loop) != 0) {
        sk_mem_free(lab);
        return SKEP_ERR_NOMEM;
    }
    raise_descriptors();
    lab->scenario = scenario;
    lab->listen_fd = -1;
    const char *reason = NULL;
    int err = make(lab, port, &reason);
    if (err) {
        int why = errno;
        sk_lab_free(lab);
        errno = why;
        *ret_reason = reason;
        return err;
    }
    *ret_lab = lab;
    return 0;
}

static void close_rest(uv_handle_t *handle, void *ctx)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void sk_lab_free(struct sk_lab *lab)
{
    if (!lab)
        return;
    while (lab->links)
        close_link(lab->links, false);
    sk_tracker_server_free(lab->tracker);
    if (lab->announcing)
        sk_lab_announcer_deinit(&lab->announcer);
    sk_lab_leechers_end(lab->leechers);
    uv_walk(&lab->loop, close_rest, NULL);
    if (lab->listen_fd >= 0)
        close(lab->listen_fd);
    for (uint32_t i = 0; i < lab->shut_count; i++)
        close(lab->shut_fds[i]);
    uv_run(&lab->loop, UV_RUN_DEFAULT);
    SK_ASSERT(uv_loop_close(&lab->loop) == 0);
    sk_heap_deinit(&lab->timers);
    sk_lab_leechers_free(lab->leechers);
    sk_lab_swarm_deinit(&lab->swarm);
    sk_mem_free(lab->shut_fds);
    sk_mem_free(lab->gains);
    sk_mem_free(lab);
}

const struct sk_lab_swarm *sk_lab_swarm(const struct sk_lab *lab)
{
    return &lab->swarm;
}

size_t sk_lab_trackers(const struct sk_lab *lab, const char *ret_urls[SK_LAB_TRACKERS_MAX])
{
    size_t n = 0;
    while (n < SK_LAB_TRACKERS_MAX && lab->urls[n][0]) {
        ret_urls[n] = lab->urls[n];
        n++;
    }
    return n;
}

void sk_lab_on_announced(struct sk_lab *lab, sk_tracker_server_fn fn, void *ctx)
{
    lab->announced = fn;
    lab->announced_ctx = ctx;
}

double sk_lab_started_unix_s(const struct sk_lab *lab)
{
    return lab->started_unix_s;
}

/* ---- the run ---- */

static void on_first_round(void *ctx)
{
    struct sk_lab *lab = ctx;
    if (!lab->ready)
        return;
    lab->result = lab->ready(lab->ctx);
    if (lab->result)
        uv_stop(&lab->loop);
}

static void on_end(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    uv_stop(handle->loop);
}

/* The swarm's time begins now, not when its hashes were computed. */
static void start_growing(struct sk_lab *lab)
{
    struct timespec now;
    uint64_t old = lab->swarm.started_ns;
    clock_gettime(CLOCK_REALTIME, &now);
    lab->started_unix_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    lab->swarm.started_ns = uv_hrtime();
    for (uint32_t i = 0; i < lab->swarm.count; i++) {
        struct sk_lab_peer *peer = &lab->swarm.peers[i];
        if (peer->gain_ns == SK_TIME_NEVER)
            continue;
        peer->gain_ns += lab->swarm.started_ns - old;
        set_timer(lab, &lab->gains[i].timer, peer->gain_ns);
    }
}

static int start_leechers(struct sk_lab *lab)
{
    const char *urls[SK_LAB_TRACKERS_MAX];
    size_t count = sk_lab_trackers(lab, urls);
    struct sk_buf torrent;
    sk_buf_init(&torrent, SK_METAINFO_BYTES_MAX);
    int err = sk_lab_content_write(&lab->swarm.content, urls, count, &torrent);
    if (!err)
        err = sk_lab_leechers_start(lab->leechers, sk_buf_bytes(&torrent));
    sk_buf_deinit(&torrent);
    return err;
}

int sk_lab_run(struct sk_lab *lab, double seconds, int (*ready)(void *ctx), void *ctx)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    lab->ready = ready;
    lab->ctx = ctx;
    uv_update_time(&lab->loop); /* computing the hashes took a while */
    uv_timer_init(&lab->loop, &lab->tick);
    uv_timer_init(&lab->loop, &lab->limit);
    lab->tick.data = lab;
    if (seconds > 0)
        uv_timer_start(&lab->limit, on_end, (uint64_t)ceil(seconds * 1000), 0);
    for (size_t i = 0; i < SK_ARRAY_LEN(numbers); i++) {
        uv_signal_init(&lab->loop, &lab->signals[i]);
        uv_signal_start(&lab->signals[i], on_signal, numbers[i]);
    }
    start_growing(lab);
    int err = sk_lab_announcer_init(&lab->announcer, &lab->swarm, &lab->loop,
                                    sk_tracker_server_port(lab->tracker),
                                    lab->scenario->tracker.interval_s, on_first_round, lab);
    if (err)
        return err;
    lab->announcing = true;
    err = start_leechers(lab);
    if (err)
        return err;
    arm(lab);
    uv_run(&lab->loop, UV_RUN_DEFAULT);
    return lab->result;
}
