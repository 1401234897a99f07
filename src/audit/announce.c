#include "audit/announce.h"

#include "base/assert.h"
#include "base/bytes.h"

static const char *const names[] = {
    [SK_ANNOUNCE_NONE] = "none",       [SK_ANNOUNCE_STARTED] = "started",
    [SK_ANNOUNCE_STOPPED] = "stopped", [SK_ANNOUNCE_COMPLETED] = "completed",
    [SK_ANNOUNCE_PAUSED] = "paused",
};
_Static_assert(SK_ARRAY_LEN(names) == SK_ANNOUNCE_EVENT_COUNT, "every event has a name");

const char *sk_announce_event_name(enum sk_announce_event event)
{
    SK_ASSERT((unsigned)event < SK_ANNOUNCE_EVENT_COUNT);
    return names[event];
}
