/*
 * What a tracker of ours heard, into its log. Layer: cmd.
 */
#ifndef SK_CMD_ANNOUNCED_H
#define SK_CMD_ANNOUNCED_H

#include "store/announce_log.h"
#include "wire/tracker_message.h"

/* Records an announce of this peer, with the time of now. Failures are kept in the log. */
void sk_announced_record(struct sk_announce_log *log, const struct sk_tracker_announce *announce,
                         const struct sk_endpoint *peer, uint64_t now_ns);

#endif
