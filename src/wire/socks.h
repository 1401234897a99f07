/*
 * SOCKS5 (RFC 1928, RFC 1929): addresses as its requests, replies and datagrams carry them, and the
 * header of a datagram that goes through a proxy. Layer: wire. The dialogue itself is
 * proto/socks.
 */
#ifndef SK_WIRE_SOCKS_H
#define SK_WIRE_SOCKS_H

#include "base/bytes.h"
#include "base/endpoint.h"

#define SK_SOCKS_NAME_MAX 255                            /* bytes of a host name */
#define SK_SOCKS_ADDRESS_MAX (2 + SK_SOCKS_NAME_MAX + 2) /* kind, length, name, port */
#define SK_SOCKS_HEADER_MAX (3 + SK_SOCKS_ADDRESS_MAX)   /* of a datagram */

/* Writes the endpoint, or, where `name` is not NULL, that name with the endpoint's port: it is then
 * the proxy that looks it up. Returns how many bytes; 0 where the name is empty or too long, or the
 * endpoint has no family. `ret_bytes` has room for SK_SOCKS_ADDRESS_MAX. */
size_t sk_socks_write_address(const struct sk_endpoint *endpoint, const char *name,
                              uint8_t *ret_bytes);
/* How long the address is that begins so: its kind and the byte after it. 0: of no known kind. */
size_t sk_socks_address_size(const uint8_t head[2]);
/* Reads the address at the beginning and says how long it was. A host name gives family NONE.
 * SKEP_ERR_MALFORMED: too short, of no known kind, an empty name. */
int sk_socks_read_address(struct sk_bytes bytes, struct sk_endpoint *ret_endpoint,
                          size_t *ret_size);

/* The header of a datagram to `endpoint` or `name`, as above; `ret_bytes` has room for
 * SK_SOCKS_HEADER_MAX. */
size_t sk_socks_write_header(const struct sk_endpoint *endpoint, const char *name,
                             uint8_t *ret_bytes);
/* From whom a datagram came, and where its payload begins. SKEP_ERR_MALFORMED; also where it is a
 * fragment (the RFC has those dropped by who does not put them together) or came from a name. */
int sk_socks_read_header(struct sk_bytes datagram, struct sk_endpoint *ret_from, size_t *ret_size);

#endif
