/*
 * Compact peers (BEP 23, BEP 7): 6 bytes for IPv4, 18 for IPv6.
 */
#ifndef SK_WIRE_COMPACT_H
#define SK_WIRE_COMPACT_H

#include "base/bytes.h"
#include "base/endpoint.h"

/*
 * Reads at most `max` endpoints from a string of 6-byte (v4) or 18-byte (v6) entries; returns how
 * many. A tail shorter than an entry is left out and *ret_rest (may be NULL) says how many bytes.
 */
size_t sk_compact_read(struct sk_bytes bytes, enum sk_family family, struct sk_endpoint *ret_peers,
                       size_t max, size_t *ret_rest);
/* Appends one endpoint in its family's form. */
int sk_compact_write(struct sk_buf *buf, const struct sk_endpoint *peer);

#endif
