#include "driver/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

int sk_socket_af(enum sk_family family)
{
    return family == SK_FAMILY_V6 ? AF_INET6 : AF_INET;
}

static int open_socket(const struct sk_endpoint *bind, enum sk_family family, int type)
{
    if (bind->family != SK_FAMILY_NONE && bind->family != family)
        return -EAFNOSUPPORT;
    int fd = socket(sk_socket_af(family), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static int fail(int fd)
{
    int err = -errno;
    close(fd);
    return err;
}

static int bind_socket(int fd, struct sk_endpoint own)
{
    struct sockaddr_storage addr;
    socklen_t len = sk_endpoint_to_sockaddr(&own, &addr);
    return bind(fd, (struct sockaddr *)&addr, len);
}

int sk_socket_dial(const struct sk_endpoint *bind_to, enum sk_family family)
{
    static const int on = 1;
    int fd = open_socket(bind_to, family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind_to->family == SK_FAMILY_NONE)
        return fd;
    /* The port is chosen when connecting: one port then serves many connections. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sk_endpoint own = *bind_to;
    own.port = 0;
    return bind_socket(fd, own) == 0 ? fd : fail(fd);
}

int sk_socket_serve(const struct sk_endpoint *bind_to, enum sk_family family, int type,
                    uint16_t port)
{
    static const int on = 1;
    int fd = open_socket(bind_to, family, type);
    if (fd < 0)
        return fd;
    struct sk_endpoint own = {.family = (uint8_t)family};
    if (bind_to->family != SK_FAMILY_NONE)
        own = *bind_to;
    own.port = port;
    if (family == SK_FAMILY_V6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return fail(fd);
    if (type == SOCK_STREAM) {
        /* Accepted connections inherit it. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
            return fail(fd);
    }
    return bind_socket(fd, own) == 0 ? fd : fail(fd);
}

uint16_t sk_socket_port(int fd)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    struct sk_endpoint own;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0 ||
        sk_endpoint_from_sockaddr((struct sockaddr *)&addr, &own) != 0)
        return 0;
    return own.port;
}
