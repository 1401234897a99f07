#include "driver/udp.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "driver/runtime.h"
#include "driver/socket.h"
#include "wire/lsd.h"
#include "wire/socks.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DATAGRAM_MAX = 4096, /* longer ones are asked for nowhere */
    BATCH_MAX = 64,
    BATCHES_MAX = 4, /* of one socket before others have their turn */
    SEND_MAX = 64,
    SEND_BYTES_MAX = 1536,    /* of one that waits; longer ones go out at once */
    RECEIVE_BUFFER = 4 << 20, /* in the kernel, as far as the system allows it */
    INTERFACES_MAX = 32,
};

struct sk_udp_batch {
    unsigned count;
    struct mmsghdr headers[SEND_MAX];
    struct iovec slots[SEND_MAX];
    struct sockaddr_storage to[SEND_MAX];
    uint8_t bytes[SEND_MAX][SEND_BYTES_MAX + SK_SOCKS_HEADER_MAX];
};

/* Takes the header off what the relay sent; whether it is from there and has one. */
static bool unwrap(const struct sk_proxy *proxy, struct sk_endpoint *from,
                   struct sk_bytes *datagram)
{
    size_t header;
    if (proxy->state != SK_PROXY_UP || !sk_endpoint_equal(from, &proxy->relay) ||
        sk_socks_read_header(*datagram, from, &header))
        return false;
    *datagram = sk_bytes(datagram->p + header, datagram->n - header);
    return true;
}

static void feed(const struct sk_udp_socket *sock, struct sk_endpoint from,
                 struct sk_bytes datagram, uint64_t now_ns)
{
    struct skep_runtime *runtime = sock->runtime;
    const struct sk_proxy *proxy = &runtime->proxy;
    struct sk_endpoint alias;
    if (proxy->runtime && !unwrap(proxy, &from, &datagram))
        return;
    /* Streams are not made to names, and would answer twice. */
    bool stream = datagram.n && (datagram.p[0] & 15) == 1;
    for (size_t at = 0;
         proxy->runtime && !stream && sk_proxy_next_alias(proxy, &from, now_ns, &at, &alias);) {
        sock->input(runtime->engine, &alias, datagram, now_ns);
        sk_runtime_drain(runtime);
    }
    sock->input(runtime->engine, &from, datagram, now_ns);
    sk_runtime_drain(runtime);
}

/* Returns how many datagrams the kernel gave. */
static int receive_batch(struct sk_udp_socket *sock)
{
    struct skep_runtime *runtime = sock->runtime;
    struct mmsghdr headers[BATCH_MAX] = {0};
    struct iovec slots[BATCH_MAX];
    struct sockaddr_storage from[BATCH_MAX];
    for (int i = 0; i < BATCH_MAX; i++) {
        slots[i] = (struct iovec){runtime->udp.receive + i * DATAGRAM_MAX, DATAGRAM_MAX};
        headers[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                             .msg_namelen = sizeof from[i],
                                             .msg_iov = &slots[i],
                                             .msg_iovlen = 1};
    }
    int n = recvmmsg(sock->fd, headers, BATCH_MAX, MSG_DONTWAIT, NULL);
    uint64_t now_ns = sk_runtime_stamp(runtime);
    runtime->udp.receiving = true;
    for (int i = 0; i < n; i++) {
        struct sk_endpoint endpoint;
        if (headers[i].msg_hdr.msg_flags & MSG_TRUNC ||
            sk_endpoint_from_sockaddr((struct sockaddr *)&from[i], &endpoint) != 0)
            continue;
        feed(sock, endpoint, sk_bytes(slots[i].iov_base, headers[i].msg_len), now_ns);
    }
    runtime->udp.receiving = false;
    sk_runtime_drain(runtime);
    return n;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    for (int i = 0; i < BATCHES_MAX; i++)
        if (receive_batch(poll->data) < BATCH_MAX)
            return;
}

static int add(struct sk_udp *udp, struct skep_runtime *runtime, int fd, enum sk_family family)
{
    SK_ASSERT(udp->count < SK_ARRAY_LEN(udp->sockets));
    struct sk_udp_socket *sock = &udp->sockets[udp->count];
    if (uv_poll_init(&runtime->loop, &sock->poll, fd) != 0) {
        sk_mem_free(sock->batch);
        close(fd);
        return SKEP_ERR_NOMEM;
    }
    sock->poll.data = sock;
    sock->runtime = runtime;
    sock->fd = fd;
    sock->family = family;
    udp->count++;
    return uv_poll_start(&sock->poll, UV_READABLE, on_readable) == 0 ? 0 : SKEP_ERR_NOMEM;
}

/* Whether the kernel may cut what is sent. */
static void set_whole(const struct sk_udp_socket *sock, bool whole)
{
    bool v6 = sock->family == SK_FAMILY_V6;
    int how = v6 ? (whole ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT)
                 : (whole ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
    setsockopt(sock->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
               &how, sizeof how);
}

int sk_udp_add(struct sk_udp *udp, struct skep_runtime *runtime, int fd, enum sk_family family)
{
    static const int size = RECEIVE_BUFFER;
    struct sk_udp_batch *batch = sk_mem_calloc(1, sizeof *batch);
    if (!udp->receive)
        udp->receive = sk_mem_alloc((size_t)BATCH_MAX * DATAGRAM_MAX);
    if (!batch || !udp->receive) {
        sk_mem_free(batch);
        close(fd);
        return SKEP_ERR_NOMEM;
    }
    for (int i = 0; i < SEND_MAX; i++) {
        batch->slots[i].iov_base = batch->bytes[i];
        batch->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->to[i], .msg_iov = &batch->slots[i], .msg_iovlen = 1};
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    udp->sockets[udp->count].fd = fd;
    udp->sockets[udp->count].family = family;
    set_whole(&udp->sockets[udp->count], false);
    udp->sockets[udp->count].batch = batch;
    udp->sockets[udp->count].input = sk_engine_udp_input;
    return add(udp, runtime, fd, family);
}

void sk_udp_deinit(struct sk_udp *udp)
{
    for (unsigned i = 0; i < udp->count; i++) {
        uv_close((uv_handle_t *)&udp->sockets[i].poll, NULL);
        close(udp->sockets[i].fd);
        sk_mem_free(udp->sockets[i].batch);
    }
    udp->count = 0;
    sk_mem_free(udp->receive);
    udp->receive = NULL;
}

static const struct sk_udp_socket *shared(const struct sk_udp *udp, enum sk_family family)
{
    for (unsigned i = 0; i < udp->count; i++)
        if ((udp->sockets[i].family == family || udp->sockets[i].runtime->proxy.runtime) &&
            udp->sockets[i].input == sk_engine_udp_input)
            return &udp->sockets[i];
    return NULL;
}

/* What the kernel refuses for one address does not hold up the others. */
static void flush(const struct sk_udp_socket *sock)
{
    struct sk_udp_batch *batch = sock->batch;
    for (unsigned done = 0; done < batch->count;) {
        int n = sendmmsg(sock->fd, batch->headers + done, batch->count - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        done += n > 0 ? (unsigned)n : 1;
    }
    batch->count = 0;
}

void sk_udp_flush(struct sk_udp *udp)
{
    for (unsigned i = 0; i < udp->count && !udp->receiving; i++)
        if (udp->sockets[i].batch && udp->sockets[i].batch->count)
            flush(&udp->sockets[i]);
}

/* The header that goes before a datagram to `to`, and where both go: with a proxy its relay. False:
 * it cannot be sent. */
static bool wrap(const struct sk_udp_socket *sock, const struct sk_endpoint *to, uint8_t *header,
                 size_t *ret_n, const struct sk_endpoint **ret_to)
{
    struct sk_proxy *proxy = &sock->runtime->proxy;
    *ret_n = 0;
    *ret_to = to;
    if (!proxy->runtime)
        return true;
    *ret_n = sk_proxy_wrap(proxy, to, sock->runtime->now_ns, header);
    *ret_to = &proxy->relay;
    return *ret_n > 0;
}

static void send_now(const struct sk_udp_socket *sock, const struct sk_endpoint *to,
                     struct sk_bytes datagram)
{
    struct sockaddr_storage addr;
    uint8_t header[SK_SOCKS_HEADER_MAX];
    struct iovec parts[] = {{header, 0}, {(void *)datagram.p, datagram.n}};
    struct msghdr message = {.msg_name = &addr, .msg_iov = parts, .msg_iovlen = 2};
    if (!wrap(sock, to, header, &parts[0].iov_len, &to))
        return;
    message.msg_namelen = sk_endpoint_to_sockaddr(to, &addr);
    (void)sendmsg(sock->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void sk_udp_send(struct sk_udp *udp, const struct sk_endpoint *to, struct sk_bytes datagram,
                 bool whole)
{
    const struct sk_udp_socket *sock = shared(udp, to->family);
    if (!sock)
        return;
    struct sk_udp_batch *batch = sock->batch;
    if (whole || datagram.n > SEND_BYTES_MAX) {
        flush(sock); /* what was to go before it does */
        if (whole)
            set_whole(sock, true);
        send_now(sock, to, datagram);
        if (whole)
            set_whole(sock, false);
        return;
    }
    if (batch->count == SEND_MAX)
        flush(sock);
    unsigned i = batch->count;
    size_t header;
    if (!wrap(sock, to, batch->bytes[i], &header, &to))
        return;
    batch->count++;
    memcpy(batch->bytes[i] + header, datagram.p, datagram.n);
    batch->slots[i].iov_len = header + datagram.n;
    batch->headers[i].msg_hdr.msg_namelen = sk_endpoint_to_sockaddr(to, &batch->to[i]);
}

/* Whether LSD goes through this interface: the one that has the bind address, or without one all
 * that can multicast. */
static bool usable(const struct ifaddrs *entry, enum sk_family family,
                   const struct sk_endpoint *bind)
{
    struct sk_endpoint own;
    if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP) ||
        sk_endpoint_from_sockaddr(entry->ifa_addr, &own) != 0 || own.family != family)
        return false;
    if (bind->family != SK_FAMILY_NONE && sk_endpoint_scope(bind) != SK_SCOPE_UNUSABLE)
        return sk_endpoint_same_ip(&own, bind) || (sk_endpoint_scope(bind) == SK_SCOPE_LOOPBACK &&
                                                   sk_endpoint_scope(&own) == SK_SCOPE_LOOPBACK);
    return entry->ifa_flags & IFF_MULTICAST;
}

/* Indices of the interfaces for LSD, each once; at most `max`. */
static unsigned interfaces(enum sk_family family, const struct sk_endpoint *bind, unsigned max,
                           unsigned *ret_indices)
{
    struct ifaddrs *list;
    unsigned count = 0;
    if (getifaddrs(&list) != 0)
        return 0;
    for (const struct ifaddrs *entry = list; entry && count < max; entry = entry->ifa_next) {
        unsigned index = usable(entry, family, bind) ? if_nametoindex(entry->ifa_name) : 0;
        bool known = index == 0;
        for (unsigned i = 0; i < count; i++)
            known |= ret_indices[i] == index;
        if (!known)
            ret_indices[count++] = index;
    }
    freeifaddrs(list);
    return count;
}

static int join(int fd, const struct sk_endpoint *group, unsigned index)
{
    if (group->family == SK_FAMILY_V6) {
        struct ipv6_mreq request = {.ipv6mr_interface = index};
        memcpy(&request.ipv6mr_multiaddr, group->addr, 16);
        return setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request);
    }
    struct ip_mreqn request = {.imr_ifindex = (int)index};
    memcpy(&request.imr_multiaddr, group->addr, 4);
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
}

/* A socket that hears the group's datagrams from these interfaces and nothing else; -1. */
static int open_group(const struct sk_endpoint *group, const unsigned *indices, unsigned count)
{
    static const int on = 1, off = 0;
    bool v6 = group->family == SK_FAMILY_V6;
    int fd = socket(sk_socket_af(group->family), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct sockaddr_storage addr;
    socklen_t len = sk_endpoint_to_sockaddr(group, &addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MULTICAST_ALL : IP_MULTICAST_ALL, &off,
               sizeof off);
    unsigned joined = 0;
    if (bind(fd, (struct sockaddr *)&addr, len) == 0)
        for (unsigned i = 0; i < count; i++)
            joined += join(fd, group, indices[i]) == 0;
    if (joined)
        return fd;
    close(fd);
    return -1;
}

void sk_udp_join_lsd(struct sk_udp *udp, struct skep_runtime *runtime)
{
    static const enum sk_family families[] = {SK_FAMILY_V4, SK_FAMILY_V6};
    for (size_t i = 0; i < SK_ARRAY_LEN(families); i++) {
        unsigned indices[INTERFACES_MAX];
        if (!shared(udp, families[i]))
            continue;
        unsigned count = interfaces(families[i], &runtime->bind, INTERFACES_MAX, indices);
        struct sk_endpoint group = sk_lsd_group(families[i]);
        int fd = count ? open_group(&group, indices, count) : -1;
        if (fd < 0)
            continue;
        udp->sockets[udp->count].input = sk_engine_lsd_input;
        (void)add(udp, runtime, fd, families[i]);
    }
}

void sk_udp_send_lsd(struct sk_udp *udp, enum sk_family family, struct sk_bytes datagram)
{
    const struct sk_udp_socket *sock = shared(udp, family);
    if (!sock || sock->runtime->proxy.runtime) /* multicast does not pass a proxy */
        return;
    unsigned indices[INTERFACES_MAX];
    unsigned count = interfaces(family, &sock->runtime->bind, INTERFACES_MAX, indices);
    struct sk_endpoint group = sk_lsd_group(family);
    for (unsigned i = 0; i < count; i++) {
        struct ip_mreqn v4 = {.imr_ifindex = (int)indices[i]};
        int err = family == SK_FAMILY_V6
                      ? setsockopt(sock->fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &indices[i],
                                   sizeof indices[i])
                      : setsockopt(sock->fd, IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof v4);
        if (err == 0)
            send_now(sock, &group, datagram);
    }
}
