/*
 * Names of clients: from peer ids (BEP 20) and from the v key of BEP 10.
 */
#ifndef SK_WIRE_CLIENT_NAME_H
#define SK_WIRE_CLIENT_NAME_H

#include "base/bytes.h"
#include "base/limits.h"

/*
 * Writes a name such as "Transmission 3.00", "libtorrent 2.0.8", "aria2 1.36.0" or "qBittorrent
 * 4.5.2". `v` (may be empty) wins over the peer id where it says something. Unknown ids give the
 * printable beginning of the id in quotes, or "unknown". The result is safe to show (see
 * base/text.h). Returns ret_name.
 */
char *sk_client_name(const uint8_t peer_id[20], struct sk_bytes v,
                     char ret_name[SK_CLIENT_NAME_MAX]);

#endif
