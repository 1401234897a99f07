#include "cmd/announced.h"

#include <string.h>
#include <time.h>

static enum sk_announce_event event_of(const struct sk_tracker_announce *announce)
{
    static const enum sk_announce_event events[] = {
        [SK_TRACKER_NONE] = SK_ANNOUNCE_NONE,
        [SK_TRACKER_COMPLETED] = SK_ANNOUNCE_COMPLETED,
        [SK_TRACKER_STARTED] = SK_ANNOUNCE_STARTED,
        [SK_TRACKER_STOPPED] = SK_ANNOUNCE_STOPPED,
    };
    if (announce->event == SK_TRACKER_NONE && announce->partial_seed)
        return SK_ANNOUNCE_PAUSED;
    return events[announce->event];
}

void sk_announced(const struct sk_tracker_announce *announce, const struct sk_endpoint *peer,
                  struct sk_announce *ret_record)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret_record = (struct sk_announce){
        .at_unix_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9,
        .has_peer_id = true,
        .endpoint = *peer,
        .uploaded = announce->uploaded,
        .downloaded = announce->downloaded,
        .left = announce->left,
        .event = event_of(announce),
        .has_key = announce->has_key,
        .key = announce->key,
    };
    memcpy(ret_record->info_hash, announce->info_hash, sizeof ret_record->info_hash);
    memcpy(ret_record->peer_id, announce->peer_id, sizeof ret_record->peer_id);
}
