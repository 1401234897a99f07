/*
 * uTP packets (BEP 29): the header of 20 bytes, its extensions, and what follows them. Layer: wire.
 *
 * Of the extensions the selective acknowledgement is read; others are skipped. In its mask bit i
 * (the lowest of the first byte is 0) stands for the packet ack_nr + 2 + i.
 */
#ifndef SK_WIRE_UTP_H
#define SK_WIRE_UTP_H

#include "base/bytes.h"

#define SK_UTP_HEADER_SIZE 20
#define SK_UTP_SACK_MAX 255       /* bytes of a mask: what its length byte can say */
#define SK_UTP_SACK_WORDS_MAX 252 /* the same where it is to be of whole words */

enum sk_utp_type {
    SK_UTP_DATA = 0,
    SK_UTP_FIN = 1,
    SK_UTP_STATE = 2,
    SK_UTP_RESET = 3,
    SK_UTP_SYN = 4,
};

struct sk_utp_packet {
    enum sk_utp_type type;
    uint16_t connection_id;
    uint32_t timestamp_us;      /* the sender's clock */
    uint32_t timestamp_diff_us; /* what the sender last saw: its clock less our timestamp; 0 none */
    uint32_t window;            /* bytes that the sender can take */
    uint16_t seq_nr, ack_nr;
    struct sk_bytes sack; /* mask, up to SK_UTP_SACK_MAX bytes; empty none */
    size_t payload;       /* where it begins in the datagram; ends with it. Reading only */
};

/* Views borrow the datagram. SKEP_ERR_MALFORMED: shorter than a header or than its extensions say,
 * another version, no known type, an empty mask. The first mask counts where there are several. The
 * BEP has masks of whole words, libtorrent writes as many bytes as it needs: both are read. */
int sk_utp_read(struct sk_bytes datagram, struct sk_utp_packet *ret_packet);
/* Writes the header and the mask, if there is one (of whole words, for others to read it); returns
 * how many bytes (the payload goes after them). `ret_bytes` has room for SK_UTP_HEADER_SIZE, with a
 * mask for 2 + sack.n more. */
size_t sk_utp_write_header(const struct sk_utp_packet *packet, uint8_t *ret_bytes);

static inline bool sk_utp_sack_has(struct sk_bytes sack, size_t bit)
{
    return bit / 8 < sack.n && (sack.p[bit / 8] >> bit % 8 & 1);
}

#endif
