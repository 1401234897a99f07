#include "audit/reports.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

/* ---- whose ---- */

/* A peer id at an address; family NONE: anywhere. */
struct identity {
    uint8_t peer_id[20], addr[16];
    uint8_t family, zero[3];
};
#define SEVERAL UINTPTR_MAX
#define DAMAGED 2 /* lines, by accident */

static struct identity identity_of(const uint8_t peer_id[20], const struct sk_endpoint *endpoint)
{
    struct identity identity = {.family = endpoint ? endpoint->family : 0};
    memcpy(identity.peer_id, peer_id, sizeof identity.peer_id);
    if (endpoint)
        memcpy(identity.addr, endpoint->addr, sizeof identity.addr);
    return identity;
}

static uint64_t watched_ms(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < peer->watched_count; i++)
        sum += SK_MIN(peer->watched[i].until_ms, timeline->end_ms) - peer->watched[i].from_ms;
    return sum;
}

/* Of twins at one address (it came in, and was dialled) the one that was watched for longer. */
static int note_identity(struct sk_map *map, const struct sk_timeline *timeline, uint32_t index)
{
    const struct sk_timeline_peer *peer = &timeline->peers[index];
    if (!peer->has_peer_id)
        return 0;
    struct identity here = identity_of(peer->peer_id, &peer->endpoint);
    struct identity anywhere = identity_of(peer->peer_id, NULL);
    uintptr_t twin = (uintptr_t)sk_map_get(map, &here),
              other = (uintptr_t)sk_map_get(map, &anywhere);
    int err = 0;
    if (!twin || watched_ms(timeline, peer) > watched_ms(timeline, &timeline->peers[twin - 1]))
        err = sk_map_put(map, &here, (void *)(uintptr_t)(index + 1));
    bool alone = !other || (other != SEVERAL && other == twin);
    uintptr_t now = (uintptr_t)sk_map_get(map, &here);
    return err ? err : sk_map_put(map, &anywhere, (void *)(alone ? now : SEVERAL));
}

static uint32_t whose(const struct sk_map *map, const struct sk_timeline *timeline,
                      const struct sk_announce *announce)
{
    bool has_endpoint = announce->endpoint.family != SK_FAMILY_NONE;
    uint32_t by_endpoint =
        has_endpoint ? sk_timeline_find(timeline, &announce->endpoint) : UINT32_MAX;
    if (!announce->has_peer_id)
        return by_endpoint;
    struct identity identity =
        identity_of(announce->peer_id, has_endpoint ? &announce->endpoint : NULL);
    uintptr_t found = (uintptr_t)sk_map_get(map, &identity);
    return found && found != SEVERAL ? (uint32_t)(found - 1) : by_endpoint;
}

uint64_t sk_reports_client(const struct sk_announce *announce)
{
    uint64_t hash = announce->has_key ? announce->key + 1ull : 0;
    return announce->has_peer_id ? sk_hash_bytes(announce->peer_id, 20, hash) : hash;
}

/* ---- lines ---- */

#define COPY_S 50.0 /* BEP 15: an announce is sent again after 15 s, and after 30 s more */
/* What late lines say again, over what was uploaded: of logs in one, sent anew. */
#define AGAIN_TIMES 2.0

static int by_peer_and_time(const void *a, const void *b)
{
    const struct sk_reports_line *x = a, *y = b;
    if (x->peer != y->peer)
        return x->peer < y->peer ? -1 : 1;
    if (x->at_s != y->at_s)
        return x->at_s < y->at_s ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

/* When the log begins. Of the earliest lines DAMAGED may have a wrong time. */
static double find_begin(const struct sk_announce *announces, size_t count,
                         const uint8_t *info_hash, double began_unix_s)
{
    double earliest[DAMAGED + 1];
    for (size_t k = 0; k <= DAMAGED; k++)
        earliest[k] = INFINITY;
    for (size_t i = 0; i < count; i++) {
        double at_s = announces[i].at_unix_s - began_unix_s;
        if (isnan(at_s) || (info_hash && memcmp(info_hash, announces[i].info_hash, 20) != 0))
            continue;
        for (size_t k = 0; k <= DAMAGED; k++) {
            double later_s = SK_MAX(earliest[k], at_s);
            earliest[k] = SK_MIN(earliest[k], at_s);
            at_s = later_s;
        }
    }
    return earliest[DAMAGED];
}

static int take(struct sk_reports *reports, const struct sk_timeline *timeline,
                const struct sk_announce *announces, size_t count, const uint8_t *info_hash,
                double began_unix_s, uint32_t *strangers)
{
    struct sk_map map;
    int err = 0;
    reports->from_s = find_begin(announces, count, info_hash, began_unix_s);
    sk_map_init(&map, sizeof(struct identity), 2 * (size_t)timeline->peers_count + 1,
                timeline->begin_ns);
    for (uint32_t i = 0; i < timeline->peers_count && !err; i++)
        err = note_identity(&map, timeline, i);
    for (size_t i = 0; i < count && !err; i++) {
        const struct sk_announce *announce = &announces[i];
        if (info_hash && memcmp(info_hash, announce->info_hash, 20) != 0)
            continue;
        uint32_t peer = whose(&map, timeline, announce);
        uint64_t client = sk_reports_client(announce);
        double at_s = announce->at_unix_s - began_unix_s;
        if (!(fabs(at_s) < 1e10)) /* three hundred years; NaN */
            reports->malformed++;
        else if (sk_clock_is_own(timeline,
                                 announce)) /* the tracker may have told us of ourselves */
            reports->own++;
        else if (peer == UINT32_MAX)
            strangers[reports->unmatched++] = (uint32_t)i;
        else
            reports->lines[reports->count++] = (struct sk_reports_line){
                at_s, announce->uploaded, announce->downloaded, announce->left,       client,
                peer, (uint32_t)i,        announce->event,      announce->has_peer_id};
    }
    sk_map_deinit(&map);
    return err;
}

/* Of the lines [begin, end) of a peer those of the client that we know, and of others only what
 * does not come between them. Returns how many stay, moved to `to`. */
static uint32_t keep_own(struct sk_reports *reports, uint32_t begin, uint32_t end, uint64_t own,
                         uint32_t to)
{
    const struct sk_reports_line *lines = reports->lines;
    uint32_t first = end, last = begin, kept = 0;
    for (uint32_t i = begin; i < end; i++) {
        if (lines[i].client != own)
            continue;
        first = SK_MIN(first, i);
        last = i;
    }
    for (uint32_t i = begin; i < end; i++) {
        if (i > first && i < last && lines[i].client != own)
            reports->foreign++;
        else
            reports->lines[to + kept++] = lines[i];
    }
    return kept;
}

/* An announce sent anew, or exported twice, is one: what is wrong in it is wrong once. */
static bool is_copy(const struct sk_reports_line *last, const struct sk_reports_line *line)
{
    return line->at_s - last->at_s < COPY_S && line->client == last->client &&
           line->event == last->event && line->uploaded == last->uploaded &&
           line->downloaded == last->downloaded && line->left == last->left;
}

/* Returns how many stay. */
static uint32_t drop_copies(struct sk_reports *reports, uint32_t begin, uint32_t count)
{
    struct sk_reports_line *lines = reports->lines + begin;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!kept || !is_copy(&lines[kept - 1], &lines[i]))
            lines[kept++] = lines[i];
    reports->copies += count - kept;
    return kept;
}

/* Whether all that a line counts had come to no more than by the other one, as far as both say. */
static bool is_before(const struct sk_reports_line *line, const struct sk_reports_line *other)
{
    const uint64_t unknown = SK_ANNOUNCE_UNKNOWN; /* the largest */
    return (line->uploaded <= other->uploaded || line->uploaded == unknown) &&
           (line->downloaded <= other->downloaded || line->downloaded == unknown) &&
           (line->left >= other->left || other->left == unknown);
}

/*
 * Whether a line was sent before the last ones of the `count` that are in front of it, no longer
 * ago than `late_s`: what it counts lies between two of them that follow one another. A counter
 * that begins anew lies below all that its run has said, or says so.
 */
static bool is_late(const struct sk_reports_line *lines, uint32_t count,
                    const struct sk_reports_line *line, double late_s)
{
    if (line->event == SK_ANNOUNCE_STARTED)
        return false;
    for (uint32_t i = count; i-- > 0 && lines[i].client == line->client;) {
        if (is_before(&lines[i], line))
            return i + 1 < count && line->at_s - lines[i + 1].at_s <= late_s;
        if (!is_before(line, &lines[i]))
            return false;
    }
    return false;
}

/* Whether it is one of the `count` lines in front of it, sent anew: a `stopped` even after what
 * starts, but no `started` after what stopped. */
static bool is_repeated(const struct sk_reports_line *lines, uint32_t count,
                        const struct sk_reports_line *line)
{
    for (uint32_t i = count; i-- > 0 && line->at_s - lines[i].at_s < COPY_S;) {
        if (is_copy(&lines[i], line))
            return true;
        if (line->event == SK_ANNOUNCE_STARTED && lines[i].event == SK_ANNOUNCE_STOPPED)
            return false;
    }
    return false;
}

/* How much of what a peer uploaded is said again. */
struct again {
    uint64_t highest;      /* counter of the run, as far as it says when it starts */
    double uploaded, said; /* bytes: in all its runs; again by lines that are set aside */
};

/* Bytes that a tracker which adds up each rise counts anew, from a line to another or back. */
static double step(const struct sk_reports_line *from, const struct sk_reports_line *to)
{
    if (from->uploaded == SK_ANNOUNCE_UNKNOWN || to->uploaded == SK_ANNOUNCE_UNKNOWN)
        return 0;
    return fabs((double)to->uploaded - (double)from->uploaded);
}

/* A line stays. */
static void note_uploaded(struct again *again, const struct sk_reports_line *line, bool first)
{
    if (line->uploaded == SK_ANNOUNCE_UNKNOWN)
        return;
    if (first || line->event == SK_ANNOUNCE_STARTED)
        again->highest = line->uploaded;
    if (line->uploaded <= again->highest)
        return;
    again->uploaded += (double)(line->uploaded - again->highest);
    again->highest = line->uploaded;
}

/*
 * Sets aside what comes after later lines, of each peer, and then is a copy of the line before. Who
 * sends such lines by intent has a tracker that adds up each rise count more than once some of what
 * he uploaded: so they say again at most AGAIN_TIMES what he uploaded so far.
 */
static void drop_late(struct sk_reports *reports, uint32_t peers, double late_s)
{
    struct sk_reports_line *lines = reports->lines;
    uint32_t begin = 0, to = 0;
    for (uint32_t peer = 0; peer < peers; peer++) {
        uint32_t end = reports->begins[peer + 1], first = to;
        struct again again = {0};
        reports->begins[peer] = first;
        for (; begin < end; begin++) {
            const struct sk_reports_line *line = &lines[begin], *own = lines + first;
            uint32_t count = to - first;
            double more = count ? step(&own[count - 1], line) : 0;
            if (count && is_copy(&own[count - 1], line)) {
                reports->copies++;
            } else if (again.said + more <= AGAIN_TIMES * again.uploaded &&
                       (is_late(own, count, line, late_s) || is_repeated(own, count, line))) {
                reports->late++;
                again.said += more;
            } else {
                note_uploaded(&again, line, !count);
                lines[to++] = *line;
            }
        }
    }
    reports->begins[peers] = reports->count = to;
}

/* Counters add up: of too many announces every second says as much. The last one stays. */
static uint32_t thin(struct sk_reports *reports, uint32_t begin, uint32_t count)
{
    while (count > SK_REPORTS_PEER_MAX) {
        uint32_t kept = 0;
        for (uint32_t i = (count - 1) % 2; i < count; i += 2)
            reports->lines[begin + kept++] = reports->lines[begin + i];
        reports->dropped += count - kept;
        count = kept;
    }
    return count;
}

static uint64_t own_client(const struct sk_timeline_peer *peer, const struct sk_reports_line *lines,
                           uint32_t begin, uint32_t end, const struct sk_announce *announces)
{
    for (uint32_t i = end; i-- > begin && peer->has_peer_id;) {
        const struct sk_announce *announce = &announces[lines[i].number];
        if (announce->has_peer_id && memcmp(announce->peer_id, peer->peer_id, 20) == 0)
            return lines[i].client;
    }
    return 0;
}

static void arrange(struct sk_reports *reports, const struct sk_timeline *timeline,
                    const struct sk_announce *announces)
{
    qsort(reports->lines, reports->count, sizeof *reports->lines, by_peer_and_time);
    uint32_t begin = 0, to = 0;
    for (uint32_t peer = 0; peer < timeline->peers_count; peer++) {
        uint32_t end = begin;
        while (end < reports->count && reports->lines[end].peer == peer)
            end++;
        uint64_t own = own_client(&timeline->peers[peer], reports->lines, begin, end, announces);
        reports->begins[peer] = to;
        uint32_t kept = keep_own(reports, begin, end, own, to);
        kept = drop_copies(reports, to, kept);
        to += thin(reports, to, kept);
        begin = end;
    }
    reports->begins[timeline->peers_count] = reports->count = to;
}

/* ---- when ---- */

#define ROUNDING 1e-6       /* of sums of parts of clients, of milliseconds */
#define SETTINGS 4          /* times that a clock was set; of more it is not told which they were */
#define FAR_S 86400.0       /* beyond what it may be off, and at most */
#define FAR_SHARE (1 / 9.0) /* of the clients that agree, by whom that is noticed */
#define MINUTE_S 60.0

struct edge {
    double at_s;
    double step; /* from here on the difference is allowed by so many clients more */
};

static int by_time(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    if (x->at_s != y->at_s)
        return x->at_s < y->at_s ? -1 : 1;
    return (x->step < y->step) - (x->step > y->step);
}

/* Bytes of the pieces that a peer held at first. */
static uint64_t first_bytes(const struct sk_timeline *timeline, const struct sk_bitfield *first)
{
    uint64_t bytes = (uint64_t)first->set * timeline->piece_size;
    /* Only the last one is short, or any may be. */
    for (uint32_t i = timeline->bytes ? 0 : timeline->pieces - 1; i < timeline->pieces; i++)
        if (sk_bitfield_has(first, i))
            bytes -= timeline->piece_size - sk_timeline_piece_bytes(timeline, i);
    return bytes;
}

struct sk_tally sk_tally(const struct sk_timeline *timeline, const struct sk_timeline_peer *peer)
{
    uint32_t last = timeline->pieces - 1;
    struct sk_tally tally = {.timeline = timeline, .peer = peer};
    while (tally.last < peer->gains_count && peer->gains[tally.last].piece != last)
        tally.last++;
    if (peer->has_first)
        tally.first = first_bytes(timeline, &peer->first);
    return tally;
}

uint64_t sk_tally_bytes(const struct sk_tally *tally, uint32_t n)
{
    const struct sk_timeline *timeline = tally->timeline;
    if (timeline->bytes)
        return sk_timeline_gained_bytes(timeline, tally->peer, n);
    uint64_t bytes = (uint64_t)n * timeline->piece_size;
    if (tally->last < n)
        bytes -= timeline->piece_size - sk_timeline_piece_bytes(timeline, timeline->pieces - 1);
    return bytes;
}

static bool may_have_been(const struct sk_gain *gain, double until_ms)
{
    return gain->since_ms < gain->at_ms ? gain->since_ms < until_ms - ROUNDING
                                        : gain->at_ms <= until_ms + ROUNDING;
}

static uint32_t gains_until(const struct sk_tally *tally, double until_s, bool possible)
{
    double until_ms = until_s * 1e3;
    uint32_t low = 0, high = tally->peer->gains_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct sk_gain *gain = &tally->peer->gains[middle];
        if (possible ? may_have_been(gain, until_ms) : gain->at_ms <= until_ms + ROUNDING)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t sk_tally_told(const struct sk_tally *tally, double until_s)
{
    return gains_until(tally, until_s, false);
}

uint32_t sk_tally_possible(const struct sk_tally *tally, double until_s)
{
    return gains_until(tally, until_s, true);
}

/* When, by what it told, the peer lacked just so much: false where at no time, or where it cannot
 * be said. Only between two of its gains that HAVEs told: anything else may be a span of silence.
 */
static bool lacked(const struct sk_tally *tally, uint64_t left, struct sk_span *ret_span)
{
    const struct sk_timeline *timeline = tally->timeline;
    const struct sk_timeline_peer *peer = tally->peer;
    if (!peer->has_first || tally->first > timeline->size || left > timeline->size - tally->first ||
        sk_timeline_padding(timeline))
        return false;
    uint64_t gained = timeline->size - tally->first - left;
    uint64_t n = (gained + timeline->piece_size - 1) / timeline->piece_size;
    if (!n || n >= peer->gains_count || sk_tally_bytes(tally, (uint32_t)n) != gained)
        return false;
    const struct sk_gain *gain = &peer->gains[n - 1];
    *ret_span = (struct sk_span){gain->at_ms, gain[1].at_ms};
    return gain->since_ms == gain->at_ms && gain[1].since_ms == gain[1].at_ms;
}

/* What as many clients as do anywhere allow, or some fewer. */
struct agreement {
    double clients; /* 1: nothing is known */
    double low_s, high_s;
};

/* The search for it: announces that allow a difference in `but` are left out of account. */
struct search {
    const struct sk_reports *reports;
    const struct sk_timeline *timeline;
    double low_s, high_s;
    const struct agreement *but; /* NULL: none is */
    struct edge *edges;
    uint32_t count;
};

/* The differences that the announces of a peer allow. Together they are one client, however many
 * there are. */
static void collect_peer(struct search *search, uint32_t peer)
{
    const struct sk_reports *reports = search->reports;
    const struct agreement *but = search->but;
    struct sk_tally tally = sk_tally(search->timeline, &search->timeline->peers[peer]);
    uint32_t first = search->count, told = 0;
    for (uint32_t i = reports->begins[peer]; i < reports->begins[peer + 1]; i++) {
        const struct sk_reports_line *line = &reports->lines[i];
        struct sk_span span;
        if (!lacked(&tally, line->left, &span))
            continue;
        told++;
        double low = SK_MAX(line->at_s - span.until_ms / 1e3, search->low_s);
        double high = SK_MIN(line->at_s - span.from_ms / 1e3, search->high_s);
        if (low > high || (but && low <= but->high_s && high >= but->low_s))
            continue;
        search->edges[search->count++] = (struct edge){low, 1};
        search->edges[search->count++] = (struct edge){high, -1};
    }
    for (uint32_t i = first; i < search->count; i++)
        search->edges[i].step /= told;
}

/* From the first to the last difference that as many clients allow as do anywhere, or up to `spare`
 * fewer. */
static struct agreement most_agree(struct search *search, const struct agreement *but, double spare)
{
    struct agreement most = {.low_s = NAN};
    double clients = 0;
    search->but = but;
    search->count = 0;
    for (uint32_t peer = 0; peer < search->timeline->peers_count; peer++)
        if (search->reports->begins[peer] < search->reports->begins[peer + 1])
            collect_peer(search, peer);
    qsort(search->edges, search->count, sizeof *search->edges, by_time);
    for (uint32_t i = 0; i < search->count; i++) {
        clients += search->edges[i].step;
        most.clients = SK_MAX(most.clients, clients);
    }
    clients = 0;
    for (uint32_t i = 0; i < search->count; i++) {
        double before = clients, enough = most.clients - spare - ROUNDING;
        clients += search->edges[i].step;
        if (isnan(most.low_s) && clients >= enough)
            most.low_s = search->edges[i].at_s;
        if (before >= enough)
            most.high_s = search->edges[i].at_s;
    }
    return most;
}

/* Any one client may lie: where all but one agree is allowed, too. Where what is said besides makes
 * more than one client agree elsewhere, the clock was set in the middle. */
static struct agreement agree(struct search *search, double low_s, double high_s)
{
    search->low_s = low_s;
    search->high_s = high_s;
    struct agreement most = most_agree(search, NULL, 1), other = most;
    if (most.clients <= 1 + ROUNDING)
        return (struct agreement){1, low_s, high_s};
    for (int times = 0; times < SETTINGS; times++) {
        other = most_agree(search, &most, 0);
        if (other.clients <= 1 + ROUNDING)
            return most;
        most.low_s = SK_MIN(most.low_s, other.low_s);
        most.high_s = SK_MAX(most.high_s, other.high_s);
    }
    return (struct agreement){most.clients, low_s, high_s};
}

/* A clock that was set by more than it may be off, or two trackers of different clocks in one log:
 * where more than one client, and one in so many, say so, all that lies between is allowed. */
static void take_far(struct search *search, struct agreement *most)
{
    double enough = SK_MAX(1.0, most->clients * FAR_SHARE) + ROUNDING;
    search->low_s = -FAR_S;
    search->high_s = FAR_S;
    for (int times = 0; times < SETTINGS; times++) {
        struct agreement other = most_agree(search, most, 0);
        if (!(other.clients > enough))
            return;
        most->low_s = SK_MIN(most->low_s, other.low_s);
        most->high_s = SK_MAX(most->high_s, other.high_s);
    }
}

/* By how much times may be wrong that the log has rounded: to minutes, where all are. Seconds are
 * allowed for as it is. */
static double grain_s(const struct sk_announce *announces, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fmod(announces[i].at_unix_s, MINUTE_S) != 0)
            return 0;
    return MINUTE_S;
}

static int align(struct sk_reports *reports, const struct sk_timeline *timeline, double skew_max_s)
{
    struct edge *edges = sk_mem_alloc(SK_MAX(2 * (size_t)reports->count, 1u) * sizeof *edges);
    if (!edges)
        return SKEP_ERR_NOMEM;
    const struct sk_clock *clock = &reports->clock;
    struct search search = {.reports = reports, .timeline = timeline, .edges = edges};
    struct agreement most = agree(&search, clock->low_s, clock->high_s);
    if (clock->announces) {
        struct agreement anywhere = agree(&search, -skew_max_s, skew_max_s);
        if (anywhere.clients > most.clients + ROUNDING)
            most = (struct agreement){anywhere.clients, SK_MIN(anywhere.low_s, clock->low_s),
                                      SK_MAX(anywhere.high_s, clock->high_s)};
        else if (clock->set)
            most = (struct agreement){1, clock->low_s, clock->high_s};
    }
    take_far(&search, &most);
    reports->aligned = most.clients > 1;
    reports->offset_s = (most.low_s + most.high_s) / 2;
    reports->accuracy_s = (most.high_s - most.low_s) / 2;
    reports->from_s -= reports->offset_s;
    for (uint32_t i = 0; i < reports->count; i++)
        reports->lines[i].at_s -= reports->offset_s;
    sk_mem_free(edges);
    return 0;
}

const char *sk_reports_clock_how(const struct sk_reports *reports)
{
    if (!reports->clock.announces)
        return reports->aligned ? "left" : "assumed";
    return reports->aligned ? "own announces, left" : "own announces";
}

/* ---- all ---- */

int sk_reports_init(struct sk_reports *reports, const struct sk_timeline *timeline,
                    const struct sk_announce *announces, size_t count, const uint8_t *info_hash,
                    double began_unix_s, double skew_max_s)
{
    *reports = (struct sk_reports){0};
    if (!isfinite(began_unix_s) || !(skew_max_s >= 0))
        return SKEP_ERR_INVALID;
    if (count > SK_REPORTS_MAX) {
        reports->dropped = (uint32_t)SK_MIN(count - SK_REPORTS_MAX, (size_t)UINT32_MAX);
        count = SK_REPORTS_MAX;
    }
    reports->lines = sk_mem_alloc(SK_MAX(count, (size_t)1) * sizeof *reports->lines);
    reports->begins = sk_mem_calloc((size_t)timeline->peers_count + 1, sizeof *reports->begins);
    uint32_t *strangers = sk_mem_alloc(SK_MAX(count, (size_t)1) * sizeof *strangers);
    int err = reports->lines && reports->begins && strangers ? 0 : SKEP_ERR_NOMEM;
    if (!err)
        err = take(reports, timeline, announces, count, info_hash, began_unix_s, strangers);
    if (!err)
        err = sk_clock_find(timeline, announces, count, info_hash, began_unix_s, skew_max_s,
                            &reports->clock);
    if (!err) {
        arrange(reports, timeline, announces);
        err = align(reports, timeline, skew_max_s);
        reports->accuracy_s += grain_s(announces, count);
        /* In logs that were joined, clocks differ as much as each of them may. */
        drop_late(reports, timeline->peers_count,
                  COPY_S + 2 * SK_MAX(reports->accuracy_s, skew_max_s));
    }
    if (!err)
        err = sk_visits_init(&reports->visits, reports, timeline, announces, strangers,
                             reports->unmatched, began_unix_s);
    sk_mem_free(strangers);
    if (err)
        sk_reports_deinit(reports);
    return err;
}

void sk_reports_deinit(struct sk_reports *reports)
{
    sk_mem_free(reports->lines);
    sk_mem_free(reports->begins);
    sk_visits_deinit(&reports->visits);
    *reports = (struct sk_reports){0};
}
