#include "audit/observation.h"

#include "base/assert.h"

static const char *const names[] = {
    [SK_OBS_HEARD] = "heard",
    [SK_OBS_DROPPED] = "dropped",
    [SK_OBS_TRACKER_CLAIM] = "tracker-claim",
    [SK_OBS_TRACKER_FAILED] = "tracker-failed",
    [SK_OBS_DIALED] = "dialed",
    [SK_OBS_FAILED] = "failed",
    [SK_OBS_OPEN] = "open",
    [SK_OBS_ADDRESS] = "address",
    [SK_OBS_CLIENT] = "client",
    [SK_OBS_CLOSED] = "closed",
    [SK_OBS_BITFIELD] = "bitfield",
    [SK_OBS_HAVE] = "have",
    [SK_OBS_DONT_HAVE] = "dont-have",
    [SK_OBS_CHOKE] = "choke",
    [SK_OBS_UNCHOKE] = "unchoke",
    [SK_OBS_INTERESTED] = "interested",
    [SK_OBS_UPLOAD_ONLY] = "upload-only",
    [SK_OBS_REQUESTED] = "requested",
    [SK_OBS_ARRIVAL] = "arrival",
    [SK_OBS_BLOCK] = "block",
    [SK_OBS_VERIFIED] = "verified",
    [SK_OBS_CORRUPT] = "corrupt",
    [SK_OBS_OFFERED] = "offered",
    [SK_OBS_GIVEN] = "given",
    [SK_OBS_SHORT_PIECES] = "short-pieces",
    [SK_OBS_SELF] = "self",
    [SK_OBS_ANNOUNCED] = "announced",
};
_Static_assert(SK_ARRAY_LEN(names) == SK_OBS_KIND_COUNT, "every kind has a name");

const char *sk_observation_kind_name(enum sk_observation_kind kind)
{
    SK_ASSERT((unsigned)kind < SK_OBS_KIND_COUNT);
    return names[kind];
}
