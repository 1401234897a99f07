/*
 * What a tracker of ours heard, as its log has it. Layer: cmd.
 */
#ifndef SK_CMD_ANNOUNCED_H
#define SK_CMD_ANNOUNCED_H

#include "audit/announce.h"
#include "wire/tracker_message.h"

/* An announce of this peer, with the time of now. */
void sk_announced(const struct sk_tracker_announce *announce, const struct sk_endpoint *peer,
                  struct sk_announce *ret_record);

#endif
