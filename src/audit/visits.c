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

/* ---- whose they are ---- */

/* Who has one IPv6 address has a network of them. Without addresses all are at one place. */
static size_t network_bytes(const struct sk_endpoint *endpoint)
{
    return endpoint->family == SK_FAMILY_NONE ? 0 : endpoint->family == SK_FAMILY_V4 ? 4 : 8;
}

static uint64_t place_of(const struct sk_timeline *timeline, const struct sk_endpoint *endpoint)
{
    return sk_hash_bytes(endpoint->addr, network_bytes(endpoint),
                         timeline->begin_ns + endpoint->family);
}

/* The places and peer ids of all that the audit knows. */
struct known {
    struct sk_map places, ids;
};

static int note_id(struct known *known, const uint8_t id[20])
{
    return sk_map_put(&known->ids, id, known);
}

static int find_known(struct known *known, const struct sk_reports *reports,
                      const struct sk_timeline *timeline, const struct sk_announce *announces)
{
    int err = 0;
    sk_map_init(&known->places, sizeof(uint64_t), timeline->peers_count, timeline->begin_ns);
    sk_map_init(&known->ids, 20, (size_t)timeline->peers_count + reports->count,
                timeline->begin_ns);
    for (uint32_t i = 0; i < timeline->peers_count && !err; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        uint64_t place = place_of(timeline, &peer->endpoint);
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
        uint64_t place = place_of(timeline, &announce->endpoint);
        if (at_s < -about_s || at_s > end_s + about_s || sk_map_get(&known->places, &place) ||
            (announce->has_peer_id && sk_map_get(&known->ids, announce->peer_id)))
            continue;
        if (gathered == SK_VISITS_MAX) {
            visits->dropped++;
            continue;
        }
        calls[gathered++] = (struct call){.place = place,
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

static void add_edges(struct sk_visits *visits, const struct stay *stay)
{
    bool silent = isnan(stay->said);
    double said = silent ? 0 : stay->said, most = silent ? stay->most : 0;
    visits->edges[visits->count++] = (struct sk_visits_edge){
        .at_s = stay->from_s, .begun_said = said, .begun_most = most, .there = silent};
    visits->edges[visits->count++] = (struct sk_visits_edge){
        .at_s = stay->until_s, .ended_said = said, .ended_most = most, .there = -(double)silent};
}

static double seconds_until(const struct sk_visits *visits, const struct sk_visits_edge *edge,
                            double at_s)
{
    return edge->seconds + SK_MIN(edge->there, visits->most_at_once) * (at_s - edge->at_s);
}

static void sum_up(struct sk_visits *visits)
{
    qsort(visits->edges, visits->count, sizeof *visits->edges, by_time);
    for (uint32_t i = 1; i < visits->count; i++) {
        struct sk_visits_edge *edge = &visits->edges[i], *last = edge - 1;
        edge->begun_said += last->begun_said;
        edge->begun_most += last->begun_most;
        edge->ended_said += last->ended_said;
        edge->ended_most += last->ended_most;
        edge->there += last->there;
        edge->seconds = seconds_until(visits, last, edge->at_s);
    }
}

static int arrange(struct sk_visits *visits, const struct call *calls, uint32_t count)
{
    /* One after each announce, one before it. */
    struct stay *stays = sk_mem_alloc((2 * (size_t)count + 1) * sizeof *stays);
    visits->edges = sk_mem_alloc((4 * (size_t)count + 1) * sizeof *visits->edges);
    if (!stays || !visits->edges) {
        sk_mem_free(stays);
        return SKEP_ERR_NOMEM;
    }
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && calls[end].place == calls[begin].place; end++)
            ;
        uint32_t made = make_stays(visits, &calls[begin], end - begin, stays);
        for (uint32_t i = 0; i < made; i++)
            add_edges(visits, &stays[i]);
    }
    sk_mem_free(stays);
    sum_up(visits);
    return 0;
}

int sk_visits_init(struct sk_visits *visits, const struct sk_reports *reports,
                   const struct sk_timeline *timeline, const struct sk_announce *announces,
                   const uint32_t *strangers, uint32_t count, double began_unix_s)
{
    struct known known = {0};
    *visits =
        (struct sk_visits){.most_at_once = timeline->peers_count, .size = (double)timeline->size};
    if (!count)
        return 0;
    struct call *calls = sk_mem_alloc(((size_t)SK_MIN(count, SK_VISITS_MAX) + 1) * sizeof *calls);
    int err = calls ? find_known(&known, reports, timeline, announces) : SKEP_ERR_NOMEM;
    if (!err)
        err = find_interval(visits, reports);
    if (!err) {
        uint32_t gathered = gather(visits, reports, timeline, announces, strangers, count,
                                   began_unix_s, &known, calls);
        err = arrange(visits, calls, gathered);
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
    *visits = (struct sk_visits){0};
}

/* How many edges are before that time, or at it too. */
static uint32_t edges_until(const struct sk_visits *visits, double at_s, bool with)
{
    uint32_t low = 0, high = visits->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        double edge_s = visits->edges[middle].at_s;
        if (with ? edge_s <= at_s : edge_s < at_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

double sk_visits_taken(const struct sk_visits *visits, double from_s, double until_s,
                       double busy_bytes_s)
{
    uint32_t begun = edges_until(visits, until_s, true), ended = edges_until(visits, from_s, false);
    if (!begun || from_s >= until_s)
        return 0;
    const struct sk_visits_edge none = {0}, *last = &visits->edges[begun - 1];
    const struct sk_visits_edge *first = ended ? &visits->edges[ended - 1] : &none;
    double said = SK_MAX(last->begun_said - first->ended_said, 0.0);
    double most = SK_MAX(last->begun_most - first->ended_most, 0.0);
    double seconds = seconds_until(visits, last, until_s);
    seconds -= ended ? seconds_until(visits, first, from_s) : 0;
    double silent = seconds > 0 ? SK_MIN(seconds * busy_bytes_s, most) : 0;
    return SK_MIN(said, visits->most_at_once * visits->size) + silent;
}
