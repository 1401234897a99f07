#include "swarm/lab_kind.h"

#include "base/assert.h"

#include <math.h>
#include <string.h>

#define NEVER INFINITY
#define ALL                                                                                        \
    {                                                                                              \
        1, 1                                                                                       \
    }
#define SOME                                                                                       \
    {                                                                                              \
        0.2, 0.8                                                                                   \
    }

static const struct sk_lab_kind kinds[] = {
    {"seed", "has everything and gives it", {.share = ALL}},
    {"partial", "has a part and gives it", {.share = SOME}},
    {"slow", "gives at a limited rate", {.share = ALL, .rate_bytes_s = {64e3, 64e3}}},
    {"choking", "never unchokes", {.share = SOME, .unchoke_after_s = NEVER}},
    {"late", "unchokes after a while", {.share = ALL, .unchoke_after_s = 4}},
    {"rotating",
     "unchokes and chokes in turn",
     {.share = ALL, .rate_bytes_s = {200e3, 200e3}, .unchoke_after_s = 2, .choke_after_s = 2}},
    {"generous",
     "chokes, but allows a few pieces (BEP 6)",
     {.share = ALL, .unchoke_after_s = NEVER, .allowed_fast = 4}},
    {"growing", "gains pieces and says so", {.share = {0.3, 0.6}, .growth_pieces_s = 2}},
    {"empty", "has nothing yet", {.share = {0, 0}}},
    {"lazy", "tells some of its pieces by HAVE", {.share = SOME, .lazy = 12}},
    {"corrupting", "some of its blocks are wrong", {.share = ALL, .corrupt = 0.25}},
    {"encrypted",
     "refuses plain streams",
     {.share = ALL, .encryption = SK_LAB_ENCRYPTION_REQUIRED}},
    {"plain", "refuses encrypted streams", {.share = ALL, .encryption = SK_LAB_ENCRYPTION_PLAIN}},
    {"old",
     "plain, without BEP 6 and BEP 10",
     {.share = SOME,
      .encryption = SK_LAB_ENCRYPTION_PLAIN,
      .no_fast = true,
      .no_extensions = true}},
    {"hidden", "only other peers know it", {.share = ALL, .hidden = true}},
    {"dialing",
     "cannot be reached, connects by itself",
     {.share = SOME, .door = SK_LAB_DOOR_SHUT, .dials = true}},
    {"leaving", "closes after a while", {.share = SOME, .leave_after_s = 5}},
    {"refusing", "nothing listens there", {.share = ALL, .door = SK_LAB_DOOR_SHUT}},
    {"silent", "takes connections, says nothing", {.share = ALL, .door = SK_LAB_DOOR_MUTE}},
    {"resetting", "takes connections, resets", {.share = ALL, .door = SK_LAB_DOOR_RESET}},
    {"stranger", "answers for another torrent", {.share = ALL, .stranger = true}},
    {"broken", "sends a bitfield of a wrong length", {.share = SOME, .broken = true}},
    {"leecher", "downloads, and gives by the choker", {.share = {0, 0}, .trades = true}},
    {"suppressor",
     "a leecher that tells nobody what it gains",
     {.share = {0, 0}, .trades = true, .trade.tell_after_s = NEVER}},
    {"super-seeder",
     "a leecher that has everything, and shows it piece by piece (BEP 16)",
     {.share = ALL, .trades = true, .trade.super_seeds = true}},
};

static const struct sk_lab_client clients[] = {
    {"qbittorrent", "-qB4520-", "qBittorrent/4.5.2", "qBittorrent 4.5.2", "qBittorrent 4.5.2",
     true},
    {"transmission", "-TR3000-", "Transmission 3.00", "Transmission 3.00", "Transmission 3.00",
     false},
    {"deluge", "-DE2110-", "Deluge 2.1.1", "Deluge 2.1.1", "Deluge 2.1.1", true},
    {"utorrent", "-UT3550-", "\xc2\xb5Torrent 3.5.5", "\xc2\xb5Torrent 3.5.5",
     "\xc2\xb5Torrent 3.5.5", false},
    {"libtorrent", "-LT2080-", "libtorrent/2.0.8.0", "libtorrent 2.0.8", "libtorrent 2.0.8", true},
    {"aria2", "A2-1-36-0-", "aria2/1.36.0", "aria2 1.36.0", "aria2 1.36.0", false},
    {"biglybt", "-BI3400-", "BiglyBT 3.4.0.0", "BiglyBT 3.4.0", "BiglyBT 3.4.0", true},
    {"ktorrent", "-KT5220-", "KTorrent 22.12.3", "KTorrent 22.12.3", "KTorrent 5.2.2", false},
    {"rtorrent", "-lt0D80-", "libTorrent 0.13.8", "rTorrent (libTorrent) 0.13.8",
     "rTorrent (libTorrent) 0.13.8", false},
    /* What a stranger may call himself. */
    {"odd", "-qB4520-", "\x1b[2Jodd", "\\x1b[2Jodd", "qBittorrent 4.5.2", false},
};

bool sk_lab_hides(const struct sk_lab_behaviour *behaviour)
{
    return behaviour->trade.super_seeds || isinf(behaviour->trade.tell_after_s);
}

const struct sk_lab_kind *sk_lab_kind_at(size_t i)
{
    return i < SK_ARRAY_LEN(kinds) ? &kinds[i] : NULL;
}

const struct sk_lab_kind *sk_lab_kind_find(const char *name)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

const struct sk_lab_client *sk_lab_client_at(size_t i)
{
    return i < SK_ARRAY_LEN(clients) ? &clients[i] : NULL;
}

const struct sk_lab_client *sk_lab_client_find(const char *word)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(clients); i++)
        if (strcmp(clients[i].word, word) == 0)
            return &clients[i];
    return NULL;
}
