#include "audit/visits.h"

#include "audit/reports.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/order.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_S 1800.0 /* of most trackers, where the log does not show it */
#define INTERVAL_MAX_S 3600.0
#define INTERVAL_SHARE 0.9 /* of known clients' announces, that come no later after one another */
#define MAGNET_LEFT 16384  /* what one with a magnet link alone may say to lack */
#define VISITORS_LEAST 8u  /* that count, however few peers the audit knows */

/* An announce of somebody that nobody told us of. */
struct call {
    uint64_t place, client;
    double at_s;
    uint64_t downloaded, left;
    uint32_t number;
    enum sk_announce_event event;
};

/* A time in which one may have taken something. */
struct stay {
    double from_s, until_s;
    double said; /* bytes by its own word; NAN: it does not tell */
    double most; /* where it does not */
};

/* A stay begins or ends. The sums are of all until and with this one. */
struct sk_visits_edge {
    double at_s;
    double begun_said, begun_most; /* bytes of stays that began, */
    double ended_said, ended_most; /* that ended */
    double there;                  /* that do not tell what they take, now */
    double seconds;                /* of these, as far as they count */
};

/* Where its edges are. */
struct sk_visits_place {
    uint64_t place;
    uint32_t first, count;
};

/* ---- whose they are ---- */

/* Who has one IPv6 address has a network of them. Without addresses all are at one place. */
static size_t network_bytes(const struct sk_endpoint *endpoint)
{
    return endpoint->family == SK_FAMILY_NONE ? 0 : endpoint->family == SK_FAMILY_V4 ? 4 : 8;
}

static uint64_t place_of(const struct sk_visits *visits, const struct sk_endpoint *endpoint)
{
    return sk_hash_bytes(endpoint->addr, network_bytes(endpoint), visits->seed + endpoint->family);
}

/* The places and peer ids of all that the audit knows. */
struct known {
    struct sk_map places, ids;
};

static int note_id(struct known *known, const uint8_t id[20])
{
    return sk_map_put(&known->ids, id, known);
}

static int find_known(struct known *known, const struct sk_visits *visits,
                      const struct sk_reports *reports, const struct sk_timeline *timeline,
                      const struct sk_announce *announces)
{
    int err = 0;
    sk_map_init(&known->places, sizeof(uint64_t), timeline->peers_count, visits->seed);
    sk_map_init(&known->ids, 20, (size_t)timeline->peers_count + reports->count, visits->seed);
    for (uint32_t i = 0; i < timeline->peers_count && !err; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        uint64_t place = place_of(visits, &peer->endpoint);
        err = sk_map_put(&known->places, &place, known);
        if (!err && peer->has_peer_id)
            err = note_id(known, peer->peer_id);
    }
    /* Some have another peer id for each connection, and one of its own for the tracker. */
    for (uint32_t i = 0; i < reports->count && !err; i++)
        if (reports->lines[i].named)
            err = note_id(known, announces[reports->lines[i].number].peer_id);
    return err;
}

/* ---- when they were there ---- */

/* How soon clients announce again. */
static int find_interval(struct sk_visits *visits, const struct sk_reports *reports)
{
    double *gaps = sk_mem_alloc(((size_t)reports->count + 1) * sizeof *gaps);
    uint32_t count = 0;
    if (!gaps)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 1; i < reports->count; i++) {
        const struct sk_reports_line *from = &reports->lines[i - 1], *line = from + 1;
        if (from->peer == line->peer && from->client == line->client &&
            line->event == SK_ANNOUNCE_NONE && from->event != SK_ANNOUNCE_STOPPED)
            gaps[count++] = line->at_s - from->at_s;
    }
    qsort(gaps, count, sizeof *gaps, sk_order_doubles);
    visits->interval_s =
        count ? SK_MIN(gaps[(uint32_t)ceil(INTERVAL_SHARE * (count - 1))], INTERVAL_MAX_S)
              : INTERVAL_S;
    sk_mem_free(gaps);
    return 0;
}

static int by_place_and_time(const void *a, const void *b)
{
    const struct call *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    if (x->at_s != y->at_s)
        return x->at_s < y->at_s ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

/* Those of nobody that is known, about the time of the audit; how many. */
static uint32_t gather(struct sk_visits *visits, const struct sk_reports *reports,
                       const struct sk_timeline *timeline, const struct sk_announce *announces,
                       const uint32_t *strangers, uint32_t count, double began_unix_s,
                       const struct known *known, struct call *calls)
{
    double end_s = timeline->end_ms / 1e3, about_s = 2 * INTERVAL_MAX_S;
    uint32_t gathered = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct sk_announce *announce = &announces[strangers[i]];
        double at_s = announce->at_unix_s - began_unix_s - reports->offset_s;
        if (at_s < -about_s || at_s > end_s + about_s ||
            (announce->has_peer_id && sk_map_get(&known->ids, announce->peer_id)))
            continue;
        if (gathered == SK_VISITS_MAX) {
            visits->dropped++;
            continue;
        }
        calls[gathered++] = (struct call){.place = place_of(visits, &announce->endpoint),
                                          .client = sk_reports_client(announce),
                                          .at_s = at_s,
                                          .downloaded = announce->downloaded,
                                          .left = announce->left,
                                          .number = strangers[i],
                                          .event = announce->event};
    }
    qsort(calls, gathered, sizeof *calls, by_place_and_time);
    return gathered;
}

/* What it says to lack, if that is no guess. */
static double lacks(const struct sk_visits *visits, const struct call *call)
{
    bool guess = call->left == SK_ANNOUNCE_UNKNOWN || (call->left && call->left <= MAGNET_LEFT);
    return guess ? visits->size : SK_MIN((double)call->left, visits->size);
}

/* After an announce it may have been there until the next one was due, or came. */
static struct stay stay_after(const struct sk_visits *visits, const struct call *call,
                              double until_s)
{
    bool left = call->event == SK_ANNOUNCE_STOPPED;
    return (struct stay){call->at_s, SK_MIN(call->at_s + visits->interval_s, until_s), NAN,
                         left ? 0 : lacks(visits, call)};
}

/* Before the first that we have of it: it has taken what it says at most. */
static struct stay stay_before(const struct sk_visits *visits, const struct call *call,
                               double from_s)
{
    double had = call->downloaded == SK_ANNOUNCE_UNKNOWN ? visits->size : (double)call->downloaded;
    bool began = call->event == SK_ANNOUNCE_STARTED;
    return (struct stay){SK_MAX(call->at_s - visits->interval_s, from_s), call->at_s, NAN,
                         began ? 0 : SK_MIN(had, visits->size)};
}

/* Whether the counter tells what it took between two announces. */
static bool is_told(const struct call *from, const struct call *to)
{
    return from->client == to->client && to->event != SK_ANNOUNCE_STARTED &&
           from->downloaded != SK_ANNOUNCE_UNKNOWN && to->downloaded != SK_ANNOUNCE_UNKNOWN &&
           to->downloaded >= from->downloaded;
}

static void add_stay(struct stay *stays, uint32_t *count, struct stay stay)
{
    if (stay.said > 0 || stay.most > 0)
        stays[(*count)++] = stay;
}

/* Of what was called from one place, in order of time; how many. */
static uint32_t make_stays(const struct sk_visits *visits, const struct call *calls, uint32_t count,
                           struct stay *stays)
{
    double word = visits->size; /* that is still believed */
    uint32_t made = 0;
    add_stay(stays, &made, stay_before(visits, &calls[0], -INFINITY));
    for (uint32_t i = 1; i < count; i++) {
        const struct call *from = &calls[i - 1], *to = &calls[i];
        if (is_told(from, to)) {
            double said = SK_MIN((double)(to->downloaded - from->downloaded), word);
            add_stay(stays, &made, (struct stay){from->at_s, to->at_s, said, 0});
            word -= said;
            continue;
        }
        struct stay after = stay_after(visits, from, to->at_s);
        add_stay(stays, &made, after);
        add_stay(stays, &made,
                 stay_before(visits, to, after.most > 0 ? after.until_s : from->at_s));
    }
    add_stay(stays, &made, stay_after(visits, &calls[count - 1], INFINITY));
    return made;
}

/* ---- all of them ---- */

static int by_time(const void *a, const void *b)
{
    const struct sk_visits_edge *x = a, *y = b;
    return (x->at_s > y->at_s) - (x->at_s < y->at_s);
}

static void add_edges(struct sk_visits_edge *edges, uint32_t *count, const struct stay *stay)
{
    bool silent = isnan(stay->said);
    double said = silent ? 0 : stay->said, most = silent ? stay->most : 0;
    edges[(*count)++] = (struct sk_visits_edge){
        .at_s = stay->from_s, .begun_said = said, .begun_most = most, .there = silent};
    edges[(*count)++] = (struct sk_visits_edge){
        .at_s = stay->until_s, .ended_said = said, .ended_most = most, .there = -(double)silent};
}

static double seconds_until(const struct sk_visits *visits, const struct sk_visits_edge *edge,
                            double at_s)
{
    return edge->seconds + SK_MIN(edge->there, visits->most_at_once) * (at_s - edge->at_s);
}

static void sum_up(const struct sk_visits *visits, struct sk_visits_edge *edges, uint32_t count)
{
    qsort(edges, count, sizeof *edges, by_time);
    for (uint32_t i = 1; i < count; i++) {
        struct sk_visits_edge *edge = &edges[i], *last = edge - 1;
        edge->begun_said += last->begun_said;
        edge->begun_most += last->begun_most;
        edge->ended_said += last->ended_said;
        edge->ended_most += last->ended_most;
        edge->there += last->there;
        edge->seconds = seconds_until(visits, last, edge->at_s);
    }
}

/* Once more what stays at a place where there is a peer, too. */
static void add_place(struct sk_visits *visits, uint64_t place, const struct stay *stays,
                      uint32_t count)
{
    struct sk_visits_place *added = &visits->places[visits->places_count];
    uint32_t first = visits->places_count ? added[-1].first + added[-1].count : visits->count;
    *added = (struct sk_visits_place){place, first, 0};
    for (uint32_t i = 0; i < count; i++)
        add_edges(visits->edges + first, &added->count, &stays[i]);
    sum_up(visits, visits->edges + first, added->count);
    visits->places_count++;
}

/* The calls from one place are [begin, the result). */
static uint32_t end_of_place(const struct call *calls, uint32_t begin, uint32_t count)
{
    uint32_t end = begin + 1;
    while (end < count && calls[end].place == calls[begin].place)
        end++;
    return end;
}

/* How many calls come from places where there are peers, too; and of how many such places. */
static uint32_t count_shared(const struct call *calls, uint32_t count, const struct known *known,
                             uint32_t *ret_places)
{
    uint32_t shared = 0, places = 0;
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        end = end_of_place(calls, begin, count);
        bool is_shared = sk_map_get(&known->places, &calls[begin].place);
        shared += is_shared ? end - begin : 0;
        places += is_shared;
    }
    *ret_places = places;
    return shared;
}

static int arrange(struct sk_visits *visits, const struct call *calls, uint32_t count,
                   const struct known *known)
{
    uint32_t places, shared = count_shared(calls, count, known, &places);
    /* A stay after each announce, one before it; two edges each. */
    struct stay *stays = sk_mem_alloc((2 * (size_t)count + 1) * sizeof *stays);
    visits->edges = sk_mem_alloc((4 * ((size_t)count + shared) + 1) * sizeof *visits->edges);
    visits->places = sk_mem_alloc(((size_t)places + 1) * sizeof *visits->places);
    int err = stays && visits->edges && visits->places ? 0 : SKEP_ERR_NOMEM;
    for (uint32_t begin = 0, end; begin < count && !err; begin = end) {
        end = end_of_place(calls, begin, count);
        uint32_t made = make_stays(visits, &calls[begin], end - begin, stays);
        for (uint32_t i = 0; i < made; i++)
            add_edges(visits->edges, &visits->count, &stays[i]);
    }
    for (uint32_t begin = 0, end; begin < count && !err; begin = end) {
        end = end_of_place(calls, begin, count);
        if (sk_map_get(&known->places, &calls[begin].place))
            add_place(visits, calls[begin].place, stays,
                      make_stays(visits, &calls[begin], end - begin, stays));
    }
    if (!err)
        sum_up(visits, visits->edges, visits->count);
    sk_mem_free(stays);
    return err;
}

int sk_visits_init(struct sk_visits *visits, const struct sk_reports *reports,
                   const struct sk_timeline *timeline, const struct sk_announce *announces,
                   const uint32_t *strangers, uint32_t count, double began_unix_s)
{
    struct known known = {0};
    *visits = (struct sk_visits){.seed = timeline->begin_ns,
                                 .most_at_once = SK_MAX(timeline->peers_count, VISITORS_LEAST),
                                 .size = (double)timeline->size};
    if (!count)
        return 0;
    struct call *calls = sk_mem_alloc(((size_t)SK_MIN(count, SK_VISITS_MAX) + 1) * sizeof *calls);
    int err = calls ? find_known(&known, visits, reports, timeline, announces) : SKEP_ERR_NOMEM;
    if (!err)
        err = find_interval(visits, reports);
    if (!err) {
        uint32_t gathered = gather(visits, reports, timeline, announces, strangers, count,
                                   began_unix_s, &known, calls);
        err = arrange(visits, calls, gathered, &known);
    }
    if (calls) {
        sk_map_deinit(&known.places);
        sk_map_deinit(&known.ids);
    }
    sk_mem_free(calls);
    return err;
}

void sk_visits_deinit(struct sk_visits *visits)
{
    sk_mem_free(visits->edges);
    sk_mem_free(visits->places);
    *visits = (struct sk_visits){0};
}

/* ---- a look ---- */

/* How many edges are before that time, or at it too. */
static uint32_t edges_until(const struct sk_visits_edge *edges, uint32_t count, double at_s,
                            bool with)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        double edge_s = edges[middle].at_s;
        if (with ? edge_s <= at_s : edge_s < at_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What may have been taken in a time. */
struct amount {
    double said; /* by what they say; where they do not, */
    double most; /* what they lack, in */
    double seconds;
};

static struct amount amount_in(const struct sk_visits *visits, const struct sk_visits_edge *edges,
                               uint32_t count, double from_s, double until_s)
{
    uint32_t begun = edges_until(edges, count, until_s, true);
    uint32_t ended = edges_until(edges, count, from_s, false);
    if (!begun)
        return (struct amount){0};
    const struct sk_visits_edge none = {0}, *last = &edges[begun - 1];
    const struct sk_visits_edge *first = ended ? &edges[ended - 1] : &none;
    double before = ended ? seconds_until(visits, first, from_s) : 0;
    return (struct amount){last->begun_said - first->ended_said,
                           last->begun_most - first->ended_most,
                           seconds_until(visits, last, until_s) - before};
}

static int by_place(const void *a, const void *b)
{
    const struct sk_visits_place *x = a, *y = b;
    return (x->place > y->place) - (x->place < y->place);
}

static double bytes_of(const struct sk_visits *visits, const struct amount *amount,
                       double busy_bytes_s)
{
    double said = SK_MAX(amount->said, 0.0), most = SK_MAX(amount->most, 0.0);
    double silent = amount->seconds > 0 ? SK_MIN(amount->seconds * busy_bytes_s, most) : 0;
    return SK_MIN(said, visits->most_at_once * visits->size) + silent;
}

double sk_visits_taken(const struct sk_visits *visits, const struct sk_endpoint *giver,
                       double from_s, double until_s, double busy_bytes_s, double *ret_beside)
{
    *ret_beside = 0;
    if (!visits->count || from_s >= until_s)
        return 0;
    const struct sk_visits_place wanted = {.place = place_of(visits, giver)};
    const struct sk_visits_place *beside =
        bsearch(&wanted, visits->places, visits->places_count, sizeof wanted, by_place);
    struct amount all = amount_in(visits, visits->edges, visits->count, from_s, until_s);
    double bytes = bytes_of(visits, &all, busy_bytes_s);
    if (beside) {
        struct amount own =
            amount_in(visits, visits->edges + beside->first, beside->count, from_s, until_s);
        struct amount others = {all.said - own.said, all.most - own.most,
                                all.seconds - own.seconds};
        *ret_beside = bytes - bytes_of(visits, &others, busy_bytes_s);
    }
    return bytes;
}
