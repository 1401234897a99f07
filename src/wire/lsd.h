/*
 * Local service discovery (BEP 14): its datagrams.
 */
#ifndef SK_WIRE_LSD_H
#define SK_WIRE_LSD_H

#include "base/bytes.h"
#include "base/endpoint.h"

#define SK_LSD_PORT 6771
#define SK_LSD_HASHES_MAX 16 /* info-hashes read from one datagram */

struct sk_lsd {
    uint16_t port;
    uint8_t hashes[SK_LSD_HASHES_MAX][20];
    size_t hashes_count;
    char cookie[64]; /* printable ASCII; "" when absent, longer, or with other bytes in it */
};

/* The group's address with SK_LSD_PORT: 239.192.152.143 or ff15::efc0:988f. */
struct sk_endpoint sk_lsd_group(enum sk_family family);
/* Info-hashes of another length, and those above the maximum, are left out. SKEP_ERR_MALFORMED for
 * another first line, without a port or without any info-hash. */
int sk_lsd_read(struct sk_bytes datagram, struct sk_lsd *ret_lsd);
/* The family decides which group stands in it. SKEP_ERR_NOMEM or SKEP_ERR_LIMIT of the buffer. */
int sk_lsd_write(struct sk_buf *buf, enum sk_family family, const struct sk_lsd *lsd);

#endif
