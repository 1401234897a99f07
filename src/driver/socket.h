/*
 * Opening sockets. Layer: driver. Every socket of the program is opened here (c-ares opens its own
 * under the same rule), so that a bind address given by the user holds for all of them: a family
 * that does not fit it is refused, and a socket that cannot be bound is not used.
 *
 * All are non-blocking and close-on-exec. The functions return a descriptor or a negative errno.
 */
#ifndef SK_DRIVER_SOCKET_H
#define SK_DRIVER_SOCKET_H

#include "base/endpoint.h"

/* AF_INET or AF_INET6. */
int sk_socket_af(enum sk_family family);
/* A TCP socket for one outgoing connection. -EAFNOSUPPORT: not of the bind address's family. */
int sk_socket_dial(const struct sk_endpoint *bind, enum sk_family family);
/* A socket of `type` (SOCK_STREAM, SOCK_DGRAM) with a port that others can reach; 0 = any. */
int sk_socket_serve(const struct sk_endpoint *bind, enum sk_family family, int type, uint16_t port);
/* The socket's own port. */
uint16_t sk_socket_port(int fd);

#endif
